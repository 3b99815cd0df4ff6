use std::cell::Cell;
use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{File, FileBody, FileHead, Json, Part, Piece, Violation, codec};

/// The answers of an operation that mean success.
pub trait Reply: Send + Sync + 'static {
    /// What a handler returns and a caller gets.
    type Value: Send + 'static;
    /// The answers in plain terms, the usual one first.
    const SHAPES: &'static [Shape];

    /// Writes an answer.
    ///
    /// # Errors
    /// A value that JSON cannot carry, such as NaN.
    fn write(value: &Self::Value) -> Result<Response<Bytes>, serde_json::Error>;

    /// Whether an answer with this status is a reply, and not a refusal.
    #[must_use]
    fn reads(status: StatusCode) -> bool {
        status.is_success()
    }

    /// Reads an answer whose status is that of a reply.
    ///
    /// # Errors
    /// The answer has none of the shapes.
    fn read(response: &Response<Bytes>) -> Result<Self::Value, Violation>;

    /// The stored bytes that whoever sends an answer sends after it.
    #[must_use]
    fn piece(_value: &Self::Value) -> Option<Piece> {
        None
    }
}

/// One answer in plain terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Its status.
    pub status: u16,
    /// What it carries.
    pub content: Content,
    /// Its headers beyond those of HTTP itself.
    pub headers: &'static [&'static str],
}

/// What an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// JSON of the reply's type.
    Json,
    /// Nothing.
    Nothing,
    /// Bytes of a file.
    Bytes,
}

/// Builds an answer with a JSON body.
pub(crate) fn json<T: Serialize>(
    status: StatusCode,
    value: &T,
) -> Result<Response<Bytes>, serde_json::Error> {
    let mut response = Response::new(pooled(value)?);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(codec::JSON));
    Ok(response)
}

/// Bytes that a pool holds from which answers are cut.
const POOL: usize = 4096;

thread_local! {
    /// Where an answer is written: in hundreds of small steps, which a `Vec` takes far quicker than a `BytesMut`.
    static WRITTEN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Answers are cut from it one after the other, and it is used anew once they are all sent: most need no memory
    /// of their own.
    static ANSWERS: Cell<BytesMut> = Cell::default();
}

/// Writes JSON into memory that earlier answers have left.
fn pooled<T: Serialize>(value: &T) -> Result<Bytes, serde_json::Error> {
    let mut written = WRITTEN.take();
    written.clear();
    serde_json::to_writer(&mut written, value)?;
    // A large one goes as it is, so that it is neither copied nor kept for those that are small.
    if written.len() > POOL {
        return Ok(Bytes::from(written));
    }
    let mut pool = ANSWERS.take();
    if pool.capacity() < written.len() {
        pool.reserve(POOL);
    }
    pool.extend_from_slice(&written);
    let answer = pool.split().freeze();
    ANSWERS.set(pool);
    WRITTEN.set(written);
    Ok(answer)
}

const fn status(code: u16) -> StatusCode {
    match StatusCode::from_u16(code) {
        Ok(status) => status,
        Err(_) => panic!("not a status code"),
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static, const STATUS: u16> Reply for Json<T, STATUS> {
    type Value = T;
    const SHAPES: &'static [Shape] = &[Shape { status: STATUS, content: Content::Json, headers: &[] }];

    fn write(value: &T) -> Result<Response<Bytes>, serde_json::Error> {
        json(const { status(STATUS) }, value)
    }
    fn read(response: &Response<Bytes>) -> Result<T, Violation> {
        codec::from_json(response.body())
    }
}

/// 200 with JSON, or 204 with nothing. An empty body counts as nothing whatever the status.
#[derive(Debug, Clone, Copy)]
pub struct JsonOr204<T>(PhantomData<fn() -> T>);

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Reply for JsonOr204<T> {
    type Value = Option<T>;
    const SHAPES: &'static [Shape] = &[
        Shape { status: 200, content: Content::Json, headers: &[] },
        Shape { status: 204, content: Content::Nothing, headers: &[] },
    ];

    fn write(value: &Option<T>) -> Result<Response<Bytes>, serde_json::Error> {
        match value {
            Some(value) => json(StatusCode::OK, value),
            None => {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok(response)
            }
        }
    }
    fn read(response: &Response<Bytes>) -> Result<Option<T>, Violation> {
        if response.status() == StatusCode::NO_CONTENT || response.body().is_empty() {
            return Ok(None);
        }
        codec::from_json(response.body()).map(Some)
    }
}

/// 200 with JSON which says when the request had been answered before, and then carries
/// `F0-Task-State: terminal-idempotent`.
#[derive(Debug, Clone, Copy)]
pub struct Repeatable<T>(PhantomData<fn() -> T>);

/// A body that knows whether it answers a repeated request.
pub trait MarksRepeats {
    /// Whether the request had been answered before.
    fn is_repeat(&self) -> bool;
}

/// The header that marks the answer to a repeated request.
pub const TASK_STATE: &str = "F0-Task-State";

impl<T: MarksRepeats + Serialize + DeserializeOwned + Send + Sync + 'static> Reply for Repeatable<T> {
    type Value = T;
    const SHAPES: &'static [Shape] = &[Shape { status: 200, content: Content::Json, headers: &[TASK_STATE] }];

    fn write(value: &T) -> Result<Response<Bytes>, serde_json::Error> {
        let mut response = json(StatusCode::OK, value)?;
        if value.is_repeat() {
            let name = http::HeaderName::from_static("f0-task-state");
            response.headers_mut().insert(name, http::HeaderValue::from_static("terminal-idempotent"));
        }
        Ok(response)
    }
    fn read(response: &Response<Bytes>) -> Result<T, Violation> {
        codec::from_json(response.body())
    }
}

/// 200 with JSON, as the source has it; a peer's 204 or empty body is read as the default.
#[derive(Debug, Clone, Copy)]
pub struct JsonReading204<T>(PhantomData<fn() -> T>);

impl<T: Default + Serialize + DeserializeOwned + Send + Sync + 'static> Reply for JsonReading204<T> {
    type Value = T;
    const SHAPES: &'static [Shape] = <Json<T> as Reply>::SHAPES;

    fn write(value: &T) -> Result<Response<Bytes>, serde_json::Error> {
        <Json<T> as Reply>::write(value)
    }
    fn read(response: &Response<Bytes>) -> Result<T, Violation> {
        JsonOr204::read(response).map(Option::unwrap_or_default)
    }
}

/// A file, or the part of one that is wanted: 200, 206, 304 or 416, as HTTP has them. With `VERSIONED` it holds a
/// program, and `X-Agent-Version` names its version.
///
/// A handler answers a [`File::stored`]; the bytes are sent after what is written here.
#[derive(Debug, Clone, Copy)]
pub struct Streamed<const VERSIONED: bool = false>;

impl<const VERSIONED: bool> Reply for Streamed<VERSIONED> {
    type Value = File;
    const SHAPES: &'static [Shape] = {
        const fn shapes(headers: &'static [&'static str]) -> [Shape; 4] {
            [
                Shape { status: 200, content: Content::Bytes, headers },
                Shape { status: 206, content: Content::Bytes, headers },
                Shape { status: 304, content: Content::Nothing, headers: &[] },
                Shape { status: 416, content: Content::Nothing, headers: &[] },
            ]
        }
        if VERSIONED { &const { shapes(&[crate::file::AGENT_VERSION]) } } else { &const { shapes(&[]) } }
    };

    fn write(file: &File) -> Result<Response<Bytes>, serde_json::Error> {
        let bytes = match &file.body {
            FileBody::Bytes(bytes) => bytes.clone(),
            FileBody::Stored(_) => Bytes::new(),
        };
        Ok(file.head.write(bytes))
    }
    fn reads(status: StatusCode) -> bool {
        FileHead::reads(status)
    }
    fn read(response: &Response<Bytes>) -> Result<File, Violation> {
        let mut head = FileHead::read(response.status(), response.headers())?;
        let bytes = response.body().clone();
        let count = bytes.len() as u64;
        match &head.part {
            Part::Whole if head.size.is_none() => head.size = Some(count),
            Part::Whole | Part::Range(_) => {
                let announced = head.bytes().map_or(0, |range| range.end - range.start);
                if announced != count {
                    let message = format!("has {count} bytes where {announced} were announced");
                    return Err(Violation::body("", "file.length", message));
                }
            }
            _ => return Ok(File::with_bytes(head, Bytes::new())),
        }
        Ok(File::with_bytes(head, bytes))
    }
    fn piece(file: &File) -> Option<Piece> {
        file.piece()
    }
}
