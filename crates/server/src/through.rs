//! Requests that are gone through with, whoever hangs up.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// What is still to be done.
type Rest<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Goes through with a request that was begun, even if its caller hangs up: the store may have done it already, and
/// only the rest of its handler lets the core know.
///
/// It runs where its caller polls it. Only what is dropped in the middle becomes a task of its own, so that an answer
/// costs none.
pub(crate) struct Through<T: Send + 'static>(State<T>);

enum State<T> {
    /// There was nothing to wait for.
    Answered(T),
    Fresh(Rest<T>),
    Begun(Rest<T>),
    /// It was answered, or has panicked.
    Over,
}

impl<T: Send + 'static> Through<T> {
    /// A request that is begun when it is first polled.
    pub(crate) fn new(request: impl Future<Output = T> + Send + 'static) -> Self {
        Self(State::Fresh(Box::pin(request)))
    }

    /// A request that has its answer.
    pub(crate) const fn answered(answer: T) -> Self {
        Self(State::Answered(answer))
    }
}

impl<T: Send + 'static> Unpin for Through<T> {}

impl<T: Send + 'static> Future for Through<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out, so that what panics is not gone on with.
        match std::mem::replace(&mut self.0, State::Over) {
            State::Answered(answer) => Poll::Ready(answer),
            State::Fresh(mut rest) | State::Begun(mut rest) => {
                let answer = rest.as_mut().poll(context);
                if answer.is_pending() {
                    self.0 = State::Begun(rest);
                }
                answer
            }
            State::Over => Poll::Pending,
        }
    }
}

impl<T: Send + 'static> Drop for Through<T> {
    fn drop(&mut self) {
        if let State::Begun(rest) = std::mem::replace(&mut self.0, State::Over)
            // Without a runtime the process is going down, and everybody with it.
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(rest);
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Through<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Through(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Waker;
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::*;

    /// A request that waits in the middle; `end` is told when it has come to its end.
    fn request(middle: &Arc<Notify>, end: &Arc<Notify>) -> Through<()> {
        let (middle, end) = (Arc::clone(middle), Arc::clone(end));
        Through::new(async move {
            middle.notified().await;
            end.notify_one();
        })
    }

    fn poll<T: Send + 'static>(through: &mut Through<T>) -> Poll<T> {
        Pin::new(through).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn what_was_begun_comes_to_its_end_when_it_is_dropped() {
        let (middle, end) = (Arc::default(), Arc::default());
        let mut begun = request(&middle, &end);
        assert!(poll(&mut begun).is_pending());
        drop(begun);
        middle.notify_one();
        tokio::time::timeout(Duration::from_secs(20), end.notified()).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_not_begun_is_dropped_with_its_caller() {
        let (middle, end): (Arc<Notify>, Arc<Notify>) = Default::default();
        drop(request(&middle, &end));
        assert_eq!((Arc::strong_count(&middle), Arc::strong_count(&end)), (1, 1));
    }

    #[tokio::test]
    async fn what_is_answered_at_once_makes_no_task() {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let before = tasks();
        let mut quiet = Through::new(async { 7 });
        assert_eq!(poll(&mut quiet), Poll::Ready(7));
        drop(quiet);
        assert_eq!(poll(&mut Through::answered(8)), Poll::Ready(8));
        assert_eq!(tasks(), before);
    }

    #[tokio::test]
    async fn what_has_panicked_is_not_gone_on_with() {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let before = tasks();
        let failing = Through::<()>::new(async { panic!("on purpose") });
        assert!(tokio::spawn(failing).await.unwrap_err().is_panic());
        assert_eq!(tasks(), before);
    }
}
