//! Reading a body that a stranger sends.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use fleetwire_protocol::{Fault, Violation};
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt;

/// Reads a body of at most `limit` bytes that arrives within `patience`.
///
/// A body that announces itself as too long is refused before a byte of it is read.
pub(crate) async fn read<B>(
    headers: &HeaderMap,
    body: B,
    limit: usize,
    patience: Duration,
) -> Result<Bytes, Fault>
where
    B: Body + Send,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    let announced = headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(Fault::TooLarge { limit });
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    tokio::time::timeout(patience, collect(body, limit)).await.unwrap_or(Err(Fault::TooSlow))
}

async fn collect<B>(body: B, limit: usize) -> Result<Bytes, Fault>
where
    B: Body + Send,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    let mut body = std::pin::pin!(body);
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|broken| {
            Fault::from(Violation::body("", "body.interrupted", format!("did not arrive whole: {broken}")))
        })?;
        let Ok(mut data) = frame.into_data() else { continue };
        length += data.remaining();
        if length > limit {
            return Err(Fault::TooLarge { limit });
        }
        // Most bodies come in one piece, which is taken as it is.
        let piece = data.copy_to_bytes(data.remaining());
        match &first {
            None => first = Some(piece),
            Some(whole) => {
                if rest.is_empty() {
                    rest.extend_from_slice(whole);
                }
                rest.extend_from_slice(&piece);
            }
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
}
