//! Lines of a stream, in room that does not grow with it.

use std::io::{self, Read};

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// Splits a stream into lines.
pub(super) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// What of the buffer is filled and not handed out yet.
    start: usize,
    end: usize,
    number: u64,
    longest: usize,
    is_over: bool,
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Text(&'a [u8]),
    /// It has more bytes than are read; so many.
    TooLong(u64),
}

impl<R: Read> Lines<R> {
    pub(super) fn new(source: R, longest: usize) -> Self {
        Self { source, buffer: vec![0; CHUNK], start: 0, end: 0, number: 0, longest, is_over: false }
    }

    /// The next line with its number, from 1.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        // How much of what is left is known to hold no line end.
        let mut searched = 0;
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[self.start + searched..self.end]) {
                let line = self.start..self.start + searched + found;
                self.start = line.end + 1;
                self.number += 1;
                return Ok(Some((self.number, self.text(line))));
            }
            searched = self.end - self.start;
            if self.is_over {
                let line = self.start..self.end;
                self.start = self.end;
                if line.is_empty() {
                    return Ok(None);
                }
                self.number += 1;
                return Ok(Some((self.number, self.text(line))));
            }
            if searched > self.longest {
                self.number += 1;
                return Ok(Some((self.number, Line::TooLong(self.pass_over()?))));
            }
            self.fill()?;
        }
    }

    fn text(&self, line: std::ops::Range<usize>) -> Line<'_> {
        let length = line.len();
        if length > self.longest { Line::TooLong(length as u64) } else { Line::Text(&self.buffer[line]) }
    }

    /// Reads more behind what is left.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let count = read(&mut self.source, &mut self.buffer[self.end..])?;
        self.end += count;
        self.is_over = count == 0;
        Ok(())
    }

    /// Passes over the rest of a line, and says how long it was.
    fn pass_over(&mut self) -> io::Result<u64> {
        let mut length = 0;
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[self.start..self.end]) {
                self.start += found + 1;
                return Ok(length + found as u64);
            }
            length += (self.end - self.start) as u64;
            (self.start, self.end) = (0, 0);
            self.buffer.truncate(CHUNK);
            let count = read(&mut self.source, &mut self.buffer)?;
            self.end = count;
            if count == 0 {
                self.is_over = true;
                return Ok(length);
            }
        }
    }
}

fn read(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len()).min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn split(text: &[u8], step: usize, longest: usize) -> Vec<String> {
        let mut lines = Lines::new(Slow(text, step), longest);
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            all.push(match line {
                Line::Text(text) => format!("{number} {}", String::from_utf8_lossy(text)),
                Line::TooLong(length) => format!("{number} of {length}"),
            });
        }
        all
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(split(b"", step, 9), Vec::<String>::new());
            assert_eq!(split(b"a", step, 9), ["1 a"]);
            assert_eq!(split(b"a\n", step, 9), ["1 a"]);
            assert_eq!(split(b"\n\nbc\r\n\nd", step, 9), ["1 ", "2 ", "3 bc\r", "4 ", "5 d"]);
        }
    }

    #[test]
    fn line_that_is_too_long_is_passed_over_and_measured() {
        for step in [1, 3, 1000] {
            assert_eq!(split(b"abcd\nabcde\nab", step, 4), ["1 abcd", "2 of 5", "3 ab"]);
            assert_eq!(split(b"abcdefgh", step, 4), ["1 of 8"]);
        }
        let long = [b"x".repeat(3 * CHUNK), b"y\nz".to_vec()].concat();
        assert_eq!(split(&long, 1000, CHUNK), [format!("1 of {}", 3 * CHUNK + 1), "2 z".to_owned()]);
        assert_eq!(split(&long, 1000, 4 * CHUNK).len(), 2);
    }
}
