use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::agent::{Dialect, Input};

/// What waits for the driver: words of handlers and of the embedding program. One for both drivers, so that handlers
/// and handles need not know which it is.
pub(crate) struct Inbox<D: Dialect> {
    waiting: Mutex<Waiting<D>>,
    arrived: Condvar,
}

struct Waiting<D: Dialect> {
    inputs: VecDeque<Input<D>>,
    waker: Option<Waker>,
}

impl<D: Dialect> Default for Inbox<D> {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(Waiting { inputs: VecDeque::new(), waker: None }),
            arrived: Condvar::new(),
        }
    }
}

impl<D: Dialect> Inbox<D> {
    fn lock(&self) -> MutexGuard<'_, Waiting<D>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, input: Input<D>) {
        let mut waiting = self.lock();
        waiting.inputs.push_back(input);
        let waker = waiting.waker.take();
        drop(waiting);
        self.arrived.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn pop(&self) -> Option<Input<D>> {
        self.lock().inputs.pop_front()
    }

    /// Waits until something is there, or for so long.
    #[cfg(feature = "system")]
    pub(crate) fn wait(&self, longest: Option<std::time::Duration>) {
        let waiting = self.lock();
        if !waiting.inputs.is_empty() {
            return;
        }
        // Waking for nothing is harmless: the machine is asked again.
        match longest {
            Some(longest) => drop(self.arrived.wait_timeout(waiting, longest)),
            None => drop(self.arrived.wait(waiting)),
        }
    }

    pub(crate) fn poll_arrived(&self, context: &Context<'_>) -> Poll<()> {
        let mut waiting = self.lock();
        if waiting.inputs.is_empty() {
            waiting.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// Reaches an agent from outside: stops it, hands it messages. Clones reach the same.
pub struct Handle<D: Dialect>(Arc<Inbox<D>>);

impl<D: Dialect> Handle<D> {
    pub(super) const fn new(inbox: Arc<Inbox<D>>) -> Self {
        Self(inbox)
    }

    /// Asks the agent to stop: work at hand gets its grace, then is called off; what it came to is sent or kept.
    pub fn stop(&self) {
        self.0.push(Input::Stop);
    }

    /// Says that another version of the program is in its place, so that the server is told so after the next start. To
    /// be said before [`stop`](Self::stop), by a program that updates itself without the SDK.
    pub fn expect_update(&self) {
        self.0.push(Input::ExpectUpdate);
    }

    /// Asks the server now whether there is a newer version, where the vendor has such a question. The observer is told
    /// what came of it.
    pub fn check_update(&self) {
        self.0.push(Input::CheckUpdate);
    }

    /// Puts a message into the agent's spool, such as the notification of an image. It is kept when the driver has
    /// come to it, and sent when the server is there.
    pub fn post(&self, message: D::Message) {
        self.0.push(Input::Post(message));
    }
}

impl<D: Dialect> Clone for Handle<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Dialect> fmt::Debug for Handle<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}
