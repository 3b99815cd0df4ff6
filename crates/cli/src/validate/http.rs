//! Requests and answers as HTTP/1.1 writes them, one after another.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

use fleetwire_validation::Severity;
use fleetwire_validation::message::{Operation, Request, Response};
use http::{HeaderMap, StatusCode};

use super::LONGEST_MESSAGE;
use super::format::is_http;
use super::session::{At, Missed, Session, Stop, Within, headers};

/// The longest head of a message, and the longest line of a chunk's size.
const LONGEST_HEAD: usize = 64 * 1024;
/// The most headers of a message.
const MOST_HEADERS: usize = 128;

/// The most requests that wait for their answers.
const MOST_WAITING: usize = 10_000;

/// A request whose answer is still to come.
struct Waiting {
    operation: Result<Operation, Missed>,
    /// Whether its answer has no body, whatever length that has.
    is_head: bool,
}

/// Reads a file. An answer belongs to the request that has waited longest for one.
pub(super) fn read(source: impl Read, name: &str, session: &mut Session) -> Result<(), Stop> {
    let mut source =
        Source { reader: BufReader::with_capacity(128 * 1024, source), line: 1, begun: Vec::new() };
    let mut waiting: VecDeque<Waiting> = VecDeque::new();
    let (mut head, mut body) = (Vec::new(), Vec::new());
    loop {
        source.skip_blank_lines()?;
        let at = At { file: name, within: Within::Line(source.line) };
        head.clear();
        body.clear();
        if !source.head(&mut head)? {
            return Ok(());
        }
        let message = parse(&head).map_err(|why| at_line(at, &format!("is no head of a message: {why}")))?;
        let asked_for_head = waiting.front().is_some_and(|request| request.is_head);
        let framing = framing(&message, asked_for_head).map_err(|why| at_line(at, &why))?;
        let is_whole = match framing {
            Framing::Sized(size) => source.sized(size, &mut body)?,
            Framing::Chunked => source.chunked(&mut body)?,
            Framing::Nothing => true,
            Framing::Unsaid => {
                let is_whole = source.unmeasured(&mut body)?;
                if matches!(message.line, Line::Request { .. }) && !body.trim_ascii().is_empty() {
                    let message = "has a body without its length, which no server reads";
                    session.remark(at, Severity::Lint, "capture.length", message)?;
                }
                is_whole
            }
        };
        if !is_whole {
            let message = format!("has a body of more than {LONGEST_MESSAGE} bytes, which is not looked at");
            session.remark(at, Severity::Refuse, "capture.too_long", message)?;
        }
        let captured_body = is_whole.then_some(&body[..]);
        match message.line {
            Line::Request { method, target } => {
                let route = session.recognise(at, &method, &target, Some(&message.headers));
                if waiting.len() == MOST_WAITING {
                    // A capture of requests alone: nobody answers the first of them any more.
                    waiting.pop_front();
                }
                let operation = route.map(|route| route.operation);
                waiting.push_back(Waiting { operation, is_head: method == "HEAD" });
                let Ok(route) = route else { continue };
                let request = Request {
                    route: Some(&route),
                    headers: Some(&message.headers),
                    body: captured_body,
                    credentials: true,
                };
                session.request(at, route.operation, &request, None)?;
            }
            // The answer is still to come.
            Line::Answer(status) if status.is_informational() => {}
            Line::Answer(status) => {
                let request = waiting.pop_front().map(|request| request.operation);
                let operation = match request.unwrap_or_else(|| session.alone().ok_or(Missed::Stray)) {
                    Ok(operation) => operation,
                    Err(Missed::PassedOver) => {
                        session.pass_over();
                        continue;
                    }
                    Err(Missed::Stray) => {
                        let what = format!("an answer {}", status.as_u16());
                        session.stray(at, &what, "its request is not recognised");
                        continue;
                    }
                };
                let headers = Some(&message.headers);
                let response = Response { status: Some(status), headers, body: captured_body };
                session.response(at, operation, &response)?;
            }
        }
    }
}

fn at_line(at: At<'_>, why: &str) -> Stop {
    let Within::Line(number) = at.within else { return Stop::Unreadable(format!(" {why}")) };
    Stop::Unreadable(format!(" line {number} {why}"))
}

struct Message {
    line: Line,
    headers: HeaderMap,
}

enum Line {
    Request { method: String, target: String },
    Answer(StatusCode),
}

/// How the end of a body is known.
enum Framing {
    Sized(u64),
    Chunked,
    Nothing,
    Unsaid,
}

/// Reads a head.
fn parse(head: &[u8]) -> Result<Message, String> {
    let mut room = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let because = |error: httparse::Error| error.to_string();
    const CUT: &str = "it ends before an empty line";
    let map = |all: &[httparse::Header<'_>]| headers(all.iter().map(|header| (header.name, header.value)));
    if head.starts_with(b"HTTP/") {
        let mut response = httparse::Response::new(&mut room);
        if response.parse(head).map_err(because)?.is_partial() {
            return Err(CUT.to_owned());
        }
        let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or("its status is none")?;
        return Ok(Message { line: Line::Answer(status), headers: map(response.headers) });
    }
    let mut request = httparse::Request::new(&mut room);
    if request.parse(head).map_err(because)?.is_partial() {
        return Err(CUT.to_owned());
    }
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err("it has no request line".to_owned());
    };
    let line = Line::Request { method: method.to_owned(), target: target.to_owned() };
    Ok(Message { line, headers: map(request.headers) })
}

fn framing(message: &Message, asked_for_head: bool) -> Result<Framing, String> {
    if let Line::Answer(status) = message.line
        && (asked_for_head || status.is_informational() || matches!(status.as_u16(), 204 | 304))
    {
        return Ok(Framing::Nothing);
    }
    let encodings = message.headers.get_all("transfer-encoding");
    if let Some(last) = encodings.iter().next_back() {
        let is_chunked = last.to_str().is_ok_and(|last| {
            last.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
        });
        return if is_chunked { Ok(Framing::Chunked) } else { Ok(Framing::Unsaid) };
    }
    let mut size = None;
    for value in message.headers.get_all("content-length") {
        let value = value.to_str().unwrap_or_default();
        for one in value.split(',') {
            let one: u64 = one.trim().parse().map_err(|_| format!("has the Content-Length {value:?}"))?;
            if size.is_some_and(|size| size != one) {
                return Err("has two Content-Lengths that differ".to_owned());
            }
            size = Some(one);
        }
    }
    Ok(size.map_or(Framing::Unsaid, Framing::Sized))
}

/// A stream with the number of the line that comes next.
struct Source<R> {
    reader: BufReader<R>,
    line: u64,
    /// The first line of the next message, where the one before ended with it.
    begun: Vec<u8>,
}

impl<R: Read> Source<R> {
    fn failed(&self, why: &str) -> Stop {
        Stop::Unreadable(format!(" line {}: {why}", self.line))
    }

    fn failed_to_read(&self, error: &io::Error) -> Stop {
        self.failed(&format!("cannot be read: {error}"))
    }

    fn filled(&mut self) -> Result<&[u8], Stop> {
        let line = self.line;
        self.reader
            .fill_buf()
            .map_err(|error| Stop::Unreadable(format!(" line {line}: cannot be read: {error}")))
    }

    /// Takes bytes that have been looked at.
    fn take(&mut self, count: usize) {
        self.line += memchr::memchr_iter(b'\n', &self.reader.buffer()[..count]).count() as u64;
        self.reader.consume(count);
    }

    fn skip_blank_lines(&mut self) -> Result<(), Stop> {
        while self.begun.is_empty() {
            let blanks = self.filled()?.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if blanks == 0 {
                break;
            }
            self.take(blanks);
        }
        Ok(())
    }

    /// Reads a line with its end behind what is there; false at the end of the stream.
    fn line(&mut self, into: &mut Vec<u8>, longest: usize) -> Result<bool, Stop> {
        let before = into.len();
        let mut limited = (&mut self.reader).take(longest.saturating_sub(before) as u64 + 1);
        let read = limited.read_until(b'\n', into);
        read.map_err(|error| self.failed_to_read(&error))?;
        if into.len() > longest {
            return Err(self.failed(&format!("has more than {longest} bytes before a line is over")));
        }
        self.line += u64::from(into.ends_with(b"\n"));
        Ok(into.len() > before)
    }

    /// Reads a head with the empty line that ends it; false if there is nothing more.
    fn head(&mut self, head: &mut Vec<u8>) -> Result<bool, Stop> {
        if !self.begun.is_empty() {
            head.append(&mut self.begun);
            self.line += u64::from(head.ends_with(b"\n"));
        }
        loop {
            let before = head.len();
            if !self.line(head, LONGEST_HEAD)? {
                // What is there may be a head whose empty line was cut off.
                return Ok(!head.is_empty());
            }
            if matches!(&head[before..], b"\n" | b"\r\n") {
                return Ok(true);
            }
        }
    }

    /// Reads so many bytes; false if they are more than are kept.
    fn sized(&mut self, size: u64, body: &mut Vec<u8>) -> Result<bool, Stop> {
        let mut left = size;
        while left > 0 {
            let available = self.filled()?;
            if available.is_empty() {
                return Err(self.failed(&format!("ends {left} bytes before the body of a message is over")));
            }
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(available.len());
            let room = (LONGEST_MESSAGE + 1).saturating_sub(body.len());
            body.extend_from_slice(&available[..count.min(room)]);
            self.take(count);
            left -= count as u64;
        }
        Ok(body.len() <= LONGEST_MESSAGE)
    }

    fn chunked(&mut self, body: &mut Vec<u8>) -> Result<bool, Stop> {
        let mut is_whole = true;
        let mut line = Vec::new();
        loop {
            line.clear();
            if !self.line(&mut line, LONGEST_HEAD)? {
                return Err(self.failed("ends before the last chunk of a message"));
            }
            let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            let size =
                std::str::from_utf8(size).ok().filter(|size| size.bytes().all(|b| b.is_ascii_hexdigit()));
            let size = size.and_then(|size| u64::from_str_radix(size, 16).ok());
            let Some(size) = size else {
                return Err(self.failed("follows a line that is no size of a chunk"));
            };
            if size == 0 {
                break;
            }
            is_whole = self.sized(size, body)? && is_whole;
            line.clear();
            self.line(&mut line, LONGEST_HEAD)?;
            if !matches!(&line[..], b"\n" | b"\r\n") {
                return Err(self.failed("follows a chunk that is longer than it says"));
            }
        }
        // What follows the last chunk is like headers, and ends like them.
        line.clear();
        self.head(&mut line)?;
        Ok(is_whole)
    }

    /// Reads up to the line that begins the next message; false if it is more than is kept.
    fn unmeasured(&mut self, body: &mut Vec<u8>) -> Result<bool, Stop> {
        let (mut piece, mut is_line_start) = (Vec::new(), true);
        loop {
            piece.clear();
            let read = (&mut self.reader).take(LONGEST_HEAD as u64).read_until(b'\n', &mut piece);
            let count = read.map_err(|error| self.failed_to_read(&error))?;
            if is_line_start && is_http(&piece) {
                self.begun = piece;
            } else if count > 0 {
                is_line_start = piece.ends_with(b"\n");
                self.line += u64::from(is_line_start);
                let room = (LONGEST_MESSAGE + 1).saturating_sub(body.len());
                body.extend_from_slice(&piece[..count.min(room)]);
                continue;
            }
            // Empty lines between two messages are no body.
            if body.trim_ascii().is_empty() {
                body.clear();
            }
            return Ok(body.len() <= LONGEST_MESSAGE);
        }
    }
}
