//! A connection that does not wait for ever for its peer: neither to read, nor to ask.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BufMut as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, sleep_until};

/// The most bytes that an answer has which is put together before it is written.
const SMALL: usize = 512;

/// A stream that breaks when nothing can be written for too long.
///
/// A body is asked for its next piece only when there is room for it, so that a peer who does not read would hold
/// a file open for as long as it likes.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    patience: Duration,
    /// Since when nothing could be written.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) const fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waiting: None }
    }

    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Head and body of a small answer go as one: to put them together costs less than to hand over a list.
        let mut gathered = [0; SMALL];
        let length = slices.iter().map(|slice| slice.len()).sum();
        let written = match gathered.get_mut(..length) {
            Some(whole) => {
                let mut rest = &mut *whole;
                for slice in slices {
                    rest.put_slice(slice);
                }
                Pin::new(&mut self.stream).poll_write(context, whole)
            }
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        };
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(context, shut)
    }
}

/// The timer of one connection, for the heads of its requests.
///
/// hyper makes a timer for each head and drops it when the head is there. Here they share one of the runtime's, which
/// is left as it is when the next head has longer: it goes off early once, and then is set to what is due. So a
/// request costs none.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeadTimer(Arc<Mutex<Option<Alarm>>>);

#[derive(Debug)]
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// Whom it wakes.
    wakes: Waker,
}

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(HeadSleep { timer: self.clone(), deadline })
    }
}

/// A wait for a head.
struct HeadSleep {
    timer: HeadTimer,
    deadline: Instant,
}

impl hyper::rt::Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.into();
        let mut shared = self.timer.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Alarm { sleep, wakes }) = &*shared
            && sleep.deadline() <= deadline
            && !sleep.is_elapsed()
            && wakes.will_wake(context.waker())
        {
            return Poll::Pending;
        }
        let new = || Alarm { sleep: Box::pin(sleep_until(deadline)), wakes: context.waker().clone() };
        let Alarm { sleep, wakes } = shared.get_or_insert_with(new);
        wakes.clone_from(context.waker());
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_reads_now_and_then_is_waited_for_and_one_that_does_not_is_not() {
        let (ours, mut theirs) = duplex(16);
        let mut ours = Patient::new(ours, Duration::from_secs(20));
        let writing = tokio::spawn(async move { ours.write_all(&[7; 64]).await });
        let mut read = [0; 16];
        for _ in 0..3 {
            sleep(Duration::from_millis(5)).await;
            theirs.read_exact(&mut read).await.unwrap();
        }
        assert!(writing.await.unwrap().is_ok(), "the last 16 bytes have room");

        let (ours, _theirs) = duplex(16);
        let broken = Patient::new(ours, Duration::from_millis(20)).write_all(&[7; 64]).await.unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::TimedOut);
    }
    #[tokio::test]
    async fn waits_for_heads_share_a_timer_and_each_ends_at_its_own_time() {
        let timer = HeadTimer::default();
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut first = timer.sleep_until(after(40));
        assert!(futures_poll(&mut first).await.is_pending());
        drop(first);
        // The timer is set to 40 ms and stays so.
        timer.sleep_until(after(120)).await;
        assert!(Instant::now() >= after(120));
        timer.sleep_until(after(130)).await;
        assert!(Instant::now() >= after(130));
        let mut far = timer.sleep_until(after(60_000));
        assert!(futures_poll(&mut far).await.is_pending());
        tokio::time::timeout(Duration::from_secs(20), timer.sleep_until(after(140))).await.unwrap();
        assert!(Instant::now() >= after(140));
    }

    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
    }
}
