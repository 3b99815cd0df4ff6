//! What a file holds, by how it begins.

use std::io::{self, Read};

use clap::ValueEnum;
use serde::de::IgnoredAny;

use super::session::Stop;

/// How much is looked at.
const LOOKED_AT: usize = 64 * 1024;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One body, or one captured message, as JSON
    Json,
    /// One of either a line
    Jsonl,
    /// HTTP Archive 1.2
    Har,
    /// Requests and answers as HTTP/1.1 writes them
    Http,
}

/// Looks at how a stream begins, and gives back what was read of it.
pub(super) fn detect(source: &mut impl Read, told: Option<Format>) -> Result<(Format, Vec<u8>), Stop> {
    let mut start = Vec::new();
    let mut is_whole = false;
    loop {
        let is_full = start.len() >= LOOKED_AT;
        if let Some(found) = look(&start, is_whole, is_full, told) {
            let format = found.map_err(|why| Stop::Unreadable(format!(" {why}")))?;
            if start.starts_with(BOM) {
                start.drain(..BOM.len());
            }
            return Ok((format, start));
        }
        let wanted = (LOOKED_AT - start.len()) as u64;
        match read_some(source, wanted, &mut start) {
            Ok(0) => is_whole = true,
            Ok(_) => {}
            Err(error) => return Err(Stop::Unreadable(format!(": cannot be read: {error}"))),
        }
    }
}

/// Reads once, so that what is typed or piped slowly is seen as soon as it is there.
fn read_some(source: &mut impl Read, wanted: u64, into: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 8192];
    let room = usize::try_from(wanted).unwrap_or(chunk.len()).min(chunk.len());
    loop {
        match source.read(&mut chunk[..room]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(count) => {
                into.extend_from_slice(&chunk[..count]);
                return Ok(count);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The mark that some editors of one system put in front of UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What begins like something that has to be unpacked or converted first.
const PACKED: [(&[u8], &str); 6] = [
    (b"\x1f\x8b", "is packed by gzip: unpack it first, `gzip -dc FILE | fleetwire validate`"),
    (b"\x28\xb5\x2f\xfd", "is packed by zstd: unpack it first, `zstd -dc FILE | fleetwire validate`"),
    (b"PK\x03\x04", "is a zip archive: unpack it first"),
    (b"BZh", "is packed by bzip2: unpack it first, `bzip2 -dc FILE | fleetwire validate`"),
    (b"\xff\xfe", "is UTF-16: convert it first, `iconv -f UTF-16 -t UTF-8 FILE | fleetwire validate`"),
    (b"\xfe\xff", "is UTF-16: convert it first, `iconv -f UTF-16 -t UTF-8 FILE | fleetwire validate`"),
];

/// What a beginning is the beginning of; `None` if more has to be seen.
fn look(start: &[u8], is_whole: bool, is_full: bool, told: Option<Format>) -> Option<Result<Format, String>> {
    let is_all = is_whole || is_full;
    if start.len() < 4 && !is_all {
        return None;
    }
    if let Some((_, what)) = PACKED.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(Err((*what).to_owned()));
    }
    if let Some(told) = told {
        return Some(Ok(told));
    }
    let text = start.strip_prefix(BOM).unwrap_or(start).trim_ascii_start();
    let Some(first) = text.first() else {
        // Nothing but blanks: there are no messages, and any format says so.
        return is_all.then_some(Ok(Format::Jsonl));
    };
    let line_end = memchr::memchr(b'\n', text);
    if line_end.is_none() && !is_all {
        return None;
    }
    let (line, rest) = line_end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 1..]));
    if matches!(first, b'{' | b'[') {
        if !is_all && text.len() < 64 {
            return None;
        }
        return Some(Ok(look_at_json(text, line.trim_ascii_end(), rest, line_end.is_some(), is_whole)));
    }
    if is_http(line) {
        return Some(Ok(Format::Http));
    }
    let is_text = text.iter().all(|byte| *byte >= b' ' || matches!(byte, b'\n' | b'\r' | b'\t'));
    Some(Err(if is_text {
        "is neither JSON nor the text of HTTP; --input-format says what it is".to_owned()
    } else {
        "is binary".to_owned()
    }))
}

fn look_at_json(text: &[u8], line: &[u8], rest: &[u8], has_end: bool, is_whole: bool) -> Format {
    if is_har(text) {
        return Format::Har;
    }
    if !has_end {
        // A line longer than what is looked at is more likely one of many.
        return if is_whole { Format::Json } else { Format::Jsonl };
    }
    let is_complete = serde_json::from_slice::<IgnoredAny>(line).is_ok();
    let next_begins = line.len() > 1 && rest.first() == Some(&b'{');
    if is_complete || next_begins { Format::Jsonl } else { Format::Json }
}

/// Whether it begins with the one member that a HAR file has.
fn is_har(text: &[u8]) -> bool {
    let mut rest = text;
    for token in [&b"{"[..], b"\"log\"", b":", b"{"] {
        let Some(behind) = rest.trim_ascii_start().strip_prefix(token) else { return false };
        rest = behind;
    }
    true
}

/// Whether a line begins a request or an answer of HTTP/1.
pub(super) fn is_http(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    if line.starts_with(b"HTTP/1.") {
        return true;
    }
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let is_method = !method.is_empty() && method.iter().all(u8::is_ascii_uppercase);
    is_method && words.next_back().is_some_and(|version| version.starts_with(b"HTTP/1."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &[u8]) -> Result<Format, String> {
        look(text, true, false, None).unwrap()
    }

    #[test]
    fn formats_are_told_by_what_is_in_them() {
        for (text, expected) in [
            (&b""[..], Format::Jsonl),
            (b" \r\n\t\n", Format::Jsonl),
            (b"{\"a\":1}", Format::Json),
            (b"{\"a\":1}\n", Format::Jsonl),
            (b"{\"a\":1}\r\n{\"a\":2}\r\n", Format::Jsonl),
            (b"{\"a\":\n{\"a\":2}\n", Format::Jsonl),
            (b"{\n  \"a\": 1\n}\n", Format::Json),
            (b"{\n{\"a\":2}\n}\n", Format::Json),
            (b"[\n{\"a\":2}\n]\n", Format::Json),
            (b"\xef\xbb\xbf {\"log\":{\"version\":\"1.2\"}}", Format::Har),
            (b"{\n  \"log\" : {\n", Format::Har),
            (b"{\"log\":1}\n", Format::Jsonl),
            (b"POST /x HTTP/1.1\r\nHost: h\r\n\r\n", Format::Http),
            (b"\nHTTP/1.1 200 OK\n\n", Format::Http),
        ] {
            assert_eq!(format(text), Ok(expected), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_is_none_of_them_says_what_to_do() {
        for (text, hint) in [
            (&b"\x1f\x8b\x08\x00"[..], "gzip -dc"),
            (b"\xff\xfe{\0", "iconv"),
            (b"\x7fELF\0\0", "binary"),
            (b"\0\0\0\0", "binary"),
            (b"device_id=1", "--input-format"),
            (b"post /x HTTP/1.1\n", "--input-format"),
            (b"GET /x HTTP/2\n", "--input-format"),
        ] {
            let why = format(text).unwrap_err();
            assert!(why.contains(hint), "{why}");
        }
        // What has to be unpacked is no other format because somebody says so.
        assert!(look(b"\x1f\x8b\x08\x00", true, false, Some(Format::Json)).unwrap().is_err());
    }

    #[test]
    fn stream_is_waited_for_no_longer_than_needed() {
        assert_eq!(look(b"{", false, false, None), None);
        let line = format!("{{\"a\":\"{}\"}}", "x".repeat(100));
        assert_eq!(look(line.as_bytes(), false, false, None), None);
        assert_eq!(look(format!("{line}\n").as_bytes(), false, false, None), Some(Ok(Format::Jsonl)));
        assert_eq!(look(line.as_bytes(), false, true, None), Some(Ok(Format::Jsonl)));
    }
}
