use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
#[cfg(any(feature = "system", all(feature = "update", feature = "achilles")))]
use std::time::Duration;

/// What somebody else was asked for: waited for on a thread, or as a future.
pub(crate) struct Asked<T>(Arc<Slot<T>>);

/// Gives what was asked for. `None` comes of one that is dropped.
pub(crate) struct Answerer<T>(Arc<Slot<T>>);

struct Slot<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

struct State<T> {
    /// The inner is `None` if there will be no answer.
    answer: Option<Option<T>>,
    waker: Option<Waker>,
}

/// A question and who answers it.
pub(crate) fn ask<T>() -> (Answerer<T>, Asked<T>) {
    let slot = Slot { state: Mutex::new(State { answer: None, waker: None }), arrived: Condvar::new() };
    let slot = Arc::new(slot);
    (Answerer(Arc::clone(&slot)), Asked(slot))
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, answer: Option<T>) {
        let mut state = self.lock();
        if state.answer.is_none() {
            state.answer = Some(answer);
        }
        let waker = state.waker.take();
        drop(state);
        self.arrived.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Answerer<T> {
    pub(crate) fn answer(self, answer: T) {
        self.0.give(Some(answer));
    }
}

impl<T> Drop for Answerer<T> {
    fn drop(&mut self) {
        self.0.give(None);
    }
}

impl<T> Asked<T> {
    /// Waits for so long; the inner is `None` if there will be no answer.
    #[cfg(any(feature = "system", all(feature = "update", feature = "achilles")))]
    pub(crate) fn wait(&self, longest: Duration) -> Option<Option<T>> {
        let state = self.0.lock();
        let waited = self.0.arrived.wait_timeout_while(state, longest, |state| state.answer.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.answer.take()
    }
}

impl<T> Future for Asked<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for Answerer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answerer")
    }
}
