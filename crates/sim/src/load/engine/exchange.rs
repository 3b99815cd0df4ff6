//! One connection: a request's bytes out, an answer's bytes in.
//!
//! A whole client costs more than the server that it measures, so this reads the little of HTTP/1.1 that an answer
//! is made of, into a buffer that is used again.

use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use httparse::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Failure;

/// An answer that is larger is not read.
const MOST: usize = 64 << 20;
/// A head that is larger is no head.
const MOST_HEAD: usize = 64 << 10;
const MOST_HEADERS: usize = 64;
/// What is read at once at the least.
const PIECE: usize = 1 << 10;
/// A buffer that has grown beyond this for one answer is not kept.
const KEPT: usize = 64 << 10;

/// An answer, as it lies in the buffer of its connection.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body, without the marks of chunks.
    pub body: &'a [u8],
    head: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The value of a header, whichever case its name is in; `None` also where it is no ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        // Looked up when asked for, since most sources ask for none.
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        response.parse(self.head).ok()?;
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().filter(|value| value.is_ascii())
    }
}

/// Where an answer lies in the buffer.
#[derive(Debug)]
struct Laid {
    status: u16,
    head: usize,
    body: Range<usize>,
    /// Whether another request may follow on the connection.
    open: bool,
}

/// How long the body of an answer is.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilEnd,
}

/// A connection that is made when it is needed, and again when it is gone.
#[derive(Debug)]
pub(super) struct Exchange {
    address: SocketAddr,
    keep_alive: bool,
    timeout: Duration,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    /// Armed for some request and left alone until it fires: setting it for each one would cost a place in the
    /// timer wheel every time.
    timer: Pin<Box<Sleep>>,
    /// How often a connection was made.
    pub(super) connects: u64,
}

impl Exchange {
    pub(super) fn new(address: SocketAddr, keep_alive: bool, timeout: Duration) -> Self {
        let timer = Box::pin(sleep_until(Instant::now() + timeout));
        Self { address, keep_alive, timeout, stream: None, buffer: Vec::new(), timer, connects: 0 }
    }

    /// Whether a connection is held.
    pub(super) const fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Sends a request and reads its answer, within the time allowed. Beside the answer: how many bytes it was.
    pub(super) async fn send(&mut self, request: &[u8]) -> Result<(Answer<'_>, usize), Failure> {
        let deadline = Instant::now() + self.timeout;
        if self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
        let outcome = {
            let attempt =
                attempt(self.address, &mut self.stream, &mut self.buffer, &mut self.connects, request);
            tokio::pin!(attempt);
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut attempt => break outcome,
                    () = self.timer.as_mut() => {
                        if Instant::now() >= deadline {
                            break Err(Failure::Timeout);
                        }
                        self.timer.as_mut().reset(deadline);
                    }
                }
            }
        };
        match outcome {
            Ok(laid) => {
                if !(laid.open && self.keep_alive) {
                    self.stream = None;
                }
                let (head, bytes) = self.buffer.split_at(laid.head.min(self.buffer.len()));
                let body =
                    laid.body.start.saturating_sub(head.len())..laid.body.end.saturating_sub(head.len());
                let answer = Answer { status: laid.status, body: bytes.get(body).unwrap_or_default(), head };
                Ok((answer, self.buffer.len()))
            }
            Err(failure) => {
                self.stream = None;
                Err(failure)
            }
        }
    }
}

async fn attempt(
    address: SocketAddr,
    kept: &mut Option<TcpStream>,
    buffer: &mut Vec<u8>,
    connects: &mut u64,
    request: &[u8],
) -> Result<Laid, Failure> {
    // A server may end a quiet connection whenever it likes. An agent finds that out before it sends, and so does this;
    // no system call is made where nothing has come.
    if kept.as_ref().is_some_and(is_gone) {
        *kept = None;
    }
    let stream = match kept {
        Some(stream) => stream,
        None => {
            *connects += 1;
            let stream = TcpStream::connect(address).await.map_err(|_| Failure::Connect)?;
            stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
            kept.insert(stream)
        }
    };
    stream.write_all(request).await.map_err(|_| Failure::Reset)?;
    buffer.clear();
    read_answer(stream, buffer, request.starts_with(b"HEAD ")).await
}

fn is_gone(stream: &TcpStream) -> bool {
    !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>, bodiless: bool) -> Result<Laid, Failure> {
    loop {
        let head = match read_head(buffer)? {
            // On the way to the answer; nothing here changes protocols.
            Some(head) if (100..200).contains(&head.status) && head.status != 101 => {
                buffer.drain(..head.length);
                continue;
            }
            Some(head) => head,
            None if buffer.len() > MOST_HEAD => return Err(Failure::Garbled),
            None => {
                if more(stream, buffer).await? == 0 {
                    // Nothing at all is a connection that went; a piece of an answer is a broken one.
                    return Err(if buffer.is_empty() { Failure::Reset } else { Failure::Garbled });
                }
                continue;
            }
        };
        let framing =
            if bodiless || matches!(head.status, 204 | 304) { Framing::Length(0) } else { head.framing };
        let (body, open) = match framing {
            Framing::Length(length) => {
                let end =
                    head.length.checked_add(length).filter(|end| *end <= MOST).ok_or(Failure::Garbled)?;
                fill(stream, buffer, end).await?;
                (head.length..end, head.open)
            }
            Framing::Chunked => (read_chunks(stream, buffer, head.length).await?, head.open),
            Framing::UntilEnd => {
                while more(stream, buffer).await? > 0 {
                    if buffer.len() > MOST {
                        return Err(Failure::Garbled);
                    }
                }
                (head.length..buffer.len(), false)
            }
        };
        // What nobody asked for follows: it would be taken for the next answer.
        if buffer.len() > body.end && framing != Framing::Chunked {
            return Err(Failure::Garbled);
        }
        return Ok(Laid { status: head.status, head: head.length, body, open });
    }
}

/// Reads once, and says how much.
async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<usize, Failure> {
    if buffer.capacity() - buffer.len() < PIECE {
        buffer.reserve(PIECE);
    }
    stream.read_buf(buffer).await.map_err(|_| Failure::Reset)
}

/// Reads until there are so many bytes.
async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>, end: usize) -> Result<(), Failure> {
    while buffer.len() < end {
        if more(stream, buffer).await? == 0 {
            return Err(Failure::Garbled);
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Head {
    status: u16,
    length: usize,
    framing: Framing,
    open: bool,
}

/// The head at the beginning of the buffer, once it is whole.
fn read_head(buffer: &[u8]) -> Result<Option<Head>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let Status::Complete(length) = response.parse(buffer).map_err(|_| Failure::Garbled)? else {
        return Ok(None);
    };
    let mut framing = None;
    let mut open = response.version == Some(1);
    for header in response.headers.iter() {
        let value = header.value.trim_ascii();
        if header.name.eq_ignore_ascii_case("content-length") {
            let stated = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            let stated = Framing::Length(stated.ok_or(Failure::Garbled)?);
            if framing.as_ref().is_some_and(|framing| *framing != stated) {
                return Err(Failure::Garbled);
            }
            framing = Some(stated);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if framing.is_some() || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Failure::Garbled);
            }
            framing = Some(Framing::Chunked);
        } else if header.name.eq_ignore_ascii_case("connection") {
            open = !value.eq_ignore_ascii_case(b"close");
        }
    }
    let status = response.code.ok_or(Failure::Garbled)?;
    Ok(Some(Head { status, length, framing: framing.unwrap_or(Framing::UntilEnd), open }))
}

/// Reads chunks and puts them together in place.
async fn read_chunks(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    start: usize,
) -> Result<Range<usize>, Failure> {
    let (mut from, mut to) = (start, start);
    loop {
        let size = loop {
            match httparse::parse_chunk_size(buffer.get(from..).unwrap_or_default()) {
                Ok(Status::Complete((line, size))) => {
                    from += line;
                    break usize::try_from(size).map_err(|_| Failure::Garbled)?;
                }
                // A line of a size is short, so that whoever sends a long one sends none.
                Ok(Status::Partial) if buffer.len() - from < MOST_HEAD => {
                    fill(stream, buffer, buffer.len() + 1).await?;
                }
                _ => return Err(Failure::Garbled),
            }
        };
        if size == 0 {
            break;
        }
        let end = from.checked_add(size).filter(|end| *end <= MOST).ok_or(Failure::Garbled)?;
        fill(stream, buffer, end + 2).await?;
        if buffer.get(end..end + 2) != Some(b"\r\n") {
            return Err(Failure::Garbled);
        }
        buffer.copy_within(from..end, to);
        to += size;
        from = end + 2;
    }
    // Trailers, and the empty line after them.
    loop {
        let mut trailers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        match httparse::parse_headers(buffer.get(from..).unwrap_or_default(), &mut trailers) {
            Ok(Status::Complete((length, _))) if from + length == buffer.len() => return Ok(start..to),
            Ok(Status::Partial) if buffer.len() - from < MOST_HEAD => {
                fill(stream, buffer, buffer.len() + 1).await?;
            }
            _ => return Err(Failure::Garbled),
        }
    }
}
