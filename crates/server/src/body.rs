//! Reading a body that a stranger sends.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use fleetwire_protocol::{Fault, Violation};
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};

/// What [`Room`] is counted in.
const UNIT: usize = 1024;

/// When to come back with a body for which there was no room.
const RETRY: Duration = Duration::from_secs(5);

/// Bytes that bodies may hold which did not come in one piece: those of slow or of large ones.
#[derive(Debug)]
pub(crate) struct Room(Semaphore);

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Semaphore::new((bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS)))
    }
}

/// A body, and the room that it takes until it is dropped.
pub(crate) struct Whole<'a> {
    pub(crate) bytes: Bytes,
    /// Whether it was waited for, so that time has passed.
    pub(crate) is_late: bool,
    _room: Option<SemaphorePermit<'a>>,
}

impl Whole<'_> {
    pub(crate) const fn empty() -> Self {
        Self { bytes: Bytes::new(), is_late: false, _room: None }
    }
}

/// Reads a body of at most `limit` bytes that arrives within `patience`.
///
/// A body that announces itself as too long is refused before a byte of it is read. What has arrived of bodies
/// that come piece by piece takes from `room`; there is none for a piece too many.
pub(crate) async fn read<'a, B>(
    headers: &HeaderMap,
    body: B,
    limit: usize,
    patience: Duration,
    room: &'a Room,
) -> Result<Whole<'a>, Fault>
where
    B: Body + Send,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    let announced = body.size_hint().exact().or_else(|| {
        let said = headers.get(http::header::CONTENT_LENGTH)?;
        said.to_str().ok()?.parse::<u64>().ok()
    });
    if announced.is_some_and(|length| u64::try_from(limit).is_ok_and(|limit| length > limit)) {
        return Err(Fault::TooLarge { limit });
    }
    if body.is_end_stream() {
        return Ok(Whole::empty());
    }
    let mut arriving = std::pin::pin!(collect(body, limit, room));
    // Most bodies have come with their heads, and need no timer.
    let at_once = poll_fn(|context| Poll::Ready(arriving.as_mut().poll(context))).await;
    match at_once {
        Poll::Ready(whole) => whole,
        Poll::Pending => {
            let late = tokio::time::timeout(patience, arriving).await.unwrap_or(Err(Fault::TooSlow))?;
            Ok(Whole { is_late: true, ..late })
        }
    }
}

async fn collect<B>(body: B, limit: usize, room: &Room) -> Result<Whole<'_>, Fault>
where
    B: Body + Send,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    let mut body = std::pin::pin!(body);
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut length = 0;
    let mut held: Option<SemaphorePermit<'_>> = None;
    // One that knows its length is at its end with the last piece.
    while !body.is_end_stream()
        && let Some(frame) = body.frame().await
    {
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
                let units = length.div_ceil(UNIT) - held.as_ref().map_or(0, SemaphorePermit::num_permits);
                let more = u32::try_from(units).ok().and_then(|units| room.0.try_acquire_many(units).ok());
                let more = more.ok_or(Fault::Overloaded {
                    what: "the server is busy with other requests",
                    retry_after: RETRY,
                })?;
                match &mut held {
                    Some(held) => held.merge(more),
                    None => held = Some(more),
                }
                if rest.is_empty() {
                    rest.extend_from_slice(whole);
                }
                rest.extend_from_slice(&piece);
            }
        }
    }
    let bytes = if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() };
    Ok(Whole { bytes, is_late: false, _room: held })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    /// A body of so many pieces of so many bytes each.
    struct Pieces(usize, usize);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Self(count, size) = &mut *self;
            let Some(left) = count.checked_sub(1) else { return Poll::Ready(None) };
            *count = left;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; *size])))))
        }
    }

    async fn take(body: Pieces, room: &Room) -> Result<Whole<'_>, Fault> {
        read(&HeaderMap::new(), body, 1 << 20, Duration::from_secs(5), room).await
    }

    #[tokio::test]
    async fn bodies_in_pieces_share_a_bounded_room_and_give_it_back() {
        let room = Room::new(16 * UNIT);
        let first = take(Pieces(12, UNIT), &room).await.unwrap();
        assert_eq!((first.bytes.len(), room.0.available_permits()), (12 * UNIT, 4));
        assert!(matches!(take(Pieces(5, UNIT), &room).await, Err(Fault::Overloaded { .. })));
        assert_eq!(room.0.available_permits(), 4, "what was refused holds nothing");
        let whole = take(Pieces(1, 256 * UNIT), &room).await.unwrap();
        assert_eq!(whole.bytes.len(), 256 * UNIT, "what comes in one piece was there already");
        drop(first);
        assert_eq!(take(Pieces(16, UNIT), &room).await.unwrap().bytes.len(), 16 * UNIT);
        assert_eq!(room.0.available_permits(), 16);
    }

    #[tokio::test]
    async fn many_small_pieces_take_the_room_of_their_sum() {
        let room = Room::new(2 * UNIT);
        let body = take(Pieces(2048, 1), &room).await.unwrap();
        assert_eq!((body.bytes.len(), room.0.available_permits()), (2048, 0));
    }
}
