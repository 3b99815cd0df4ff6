use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::agent::{Dialect, Input};
#[cfg(all(feature = "update", feature = "achilles"))]
use crate::download::{Answerer, Download, DownloadError, Downloaded};

/// What waits for the driver: words of handlers and of the embedding program. One for both drivers, so that handlers
/// and handles need not know which it is.
pub(crate) struct Inbox<D: Dialect> {
    waiting: Mutex<Waiting<D>>,
    arrived: Condvar,
}

/// A file that the agent itself needs, and who is told what came of it. It is dropped if the driver cannot fetch it.
#[cfg(all(feature = "update", feature = "achilles"))]
pub(crate) struct Wanted {
    pub(crate) download: Download,
    pub(crate) answerer: Answerer<Result<Downloaded, DownloadError>>,
}

struct Waiting<D: Dialect> {
    inputs: VecDeque<Input<D>>,
    #[cfg(all(feature = "update", feature = "achilles"))]
    wanted: Option<Wanted>,
    waker: Option<Waker>,
}

impl<D: Dialect> Default for Inbox<D> {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                inputs: VecDeque::new(),
                #[cfg(all(feature = "update", feature = "achilles"))]
                wanted: None,
                waker: None,
            }),
            arrived: Condvar::new(),
        }
    }
}

impl<D: Dialect> Waiting<D> {
    fn is_empty(&self) -> bool {
        #[cfg(all(feature = "update", feature = "achilles"))]
        if self.wanted.is_some() {
            return false;
        }
        self.inputs.is_empty()
    }
}

impl<D: Dialect> Inbox<D> {
    fn lock(&self) -> MutexGuard<'_, Waiting<D>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, input: Input<D>) {
        self.put(|waiting| waiting.inputs.push_back(input));
    }

    /// Has the driver fetch a file. There is one at a time.
    #[cfg(all(feature = "update", feature = "achilles"))]
    pub(crate) fn want(&self, wanted: Wanted) {
        self.put(|waiting| waiting.wanted = Some(wanted));
    }

    /// The file that is to be fetched, once.
    #[cfg(all(feature = "update", feature = "achilles"))]
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        self.lock().wanted.take()
    }

    fn put(&self, put: impl FnOnce(&mut Waiting<D>)) {
        let mut waiting = self.lock();
        put(&mut waiting);
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
        if !waiting.is_empty() {
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
        if waiting.is_empty() {
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
