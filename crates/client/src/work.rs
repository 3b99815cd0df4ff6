//! Work and who does it. The SDK itself does none: it runs no command, and fetches what work needs only where a handler
//! asks for it, into the handler's folder.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::agent::{Dialect, Ending, Input, Progress};
use crate::driver::Inbox;
use crate::runtime::since_start;

/// Does work of one kind, on a thread of its own.
///
/// A closure that takes the work and its [`Context`] is a handler.
pub trait Handler<D: Dialect>: Send + Sync + 'static {
    /// Does the work. It should look at [`Context::is_called_off`] often enough to end within the agent's grace.
    ///
    /// # Errors
    /// The work was not done, and why.
    fn handle(&self, work: &D::Work, context: &Context<D>) -> Result<D::Outcome, WorkError>;

    /// Whether work that was begun when the agent went down may be done again. It may not, unless said otherwise:
    /// the server is then told that it was interrupted.
    fn may_repeat(&self, work: &D::Work) -> bool {
        let _ = work;
        false
    }
}

impl<D: Dialect, F> Handler<D> for F
where
    F: Fn(&D::Work, &Context<D>) -> Result<D::Outcome, WorkError> + Send + Sync + 'static,
{
    fn handle(&self, work: &D::Work, context: &Context<D>) -> Result<D::Outcome, WorkError> {
        self(work, context)
    }
}

/// Does work of one kind in the async driver, beside the heartbeats and on their thread: it must not block.
pub trait AsyncHandler<D: Dialect>: Send + Sync + 'static {
    /// Does the work. It is dropped where it waits when it is called off.
    fn handle(
        &self,
        work: D::Work,
        context: Context<D>,
    ) -> impl Future<Output = Result<D::Outcome, WorkError>> + Send;

    /// Whether work that was begun when the agent went down may be done again. It may not, unless said otherwise.
    fn may_repeat(&self, work: &D::Work) -> bool {
        let _ = work;
        false
    }
}

impl<D: Dialect, F, R> AsyncHandler<D> for F
where
    F: Fn(D::Work, Context<D>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<D::Outcome, WorkError>> + Send,
{
    fn handle(
        &self,
        work: D::Work,
        context: Context<D>,
    ) -> impl Future<Output = Result<D::Outcome, WorkError>> + Send {
        self(work, context)
    }
}

/// Why work was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    /// It was not begun, for a reason that the server is told.
    #[error("refused: {0}")]
    Refused(String),
    /// It was begun and could not be done.
    #[error("{0}")]
    Failed(String),
    /// It ended because it was called off.
    #[error("called off")]
    CalledOff,
}

#[cfg(feature = "disk")]
impl From<crate::download::DownloadError> for WorkError {
    fn from(error: crate::download::DownloadError) -> Self {
        match error {
            crate::download::DownloadError::CalledOff => Self::CalledOff,
            error => Self::Failed(error.to_string()),
        }
    }
}

impl<O> From<Result<O, WorkError>> for Ending<O> {
    fn from(outcome: Result<O, WorkError>) -> Self {
        match outcome {
            Ok(outcome) => Self::Done(outcome),
            Err(WorkError::Refused(why)) => Self::Refused(why),
            Err(WorkError::Failed(why)) => Self::Failed(why),
            Err(WorkError::CalledOff) => Self::Canceled,
        }
    }
}

/// What work knows of the agent that does it.
pub struct Context<D: Dialect> {
    run: u64,
    deadline: Option<Duration>,
    called_off: Arc<AtomicBool>,
    inbox: Arc<Inbox<D>>,
}

impl<D: Dialect> Context<D> {
    pub(crate) fn new(run: u64, timeout: Option<Duration>, inbox: Arc<Inbox<D>>) -> Self {
        let deadline = timeout.map(|timeout| since_start().saturating_add(timeout));
        Self { run, deadline, called_off: Arc::default(), inbox }
    }

    /// Whether the work should end now: it has taken too long, or the agent stops.
    #[must_use]
    pub fn is_called_off(&self) -> bool {
        self.called_off.load(Ordering::Acquire)
    }

    /// How long the work may still take; `None` for as long as it likes.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_sub(since_start()))
    }

    /// Says how far the work is. The server is told where its dialect has words for it.
    pub fn progress(&self, progress: Progress) {
        self.inbox.push(Input::Progressed { run: self.run, progress });
    }

    /// A file that the agent's server keeps for its agents, to be fetched into a folder under this name. `sign` writes the
    /// request for all of it, anew for each connection and as the agent's own: with its identity, its key and its time,
    /// or says why it cannot. Its end is the end of the work.
    ///
    /// # Errors
    /// The name is not that of a file in the folder.
    #[cfg(feature = "disk")]
    pub fn signed_download(
        &self,
        sign: impl Fn(&D, &crate::agent::Signing<'_, D>) -> Result<http::Request<bytes::Bytes>, String>
        + Clone
        + Send
        + Sync
        + 'static,
        folder: impl Into<std::path::PathBuf>,
        name: &str,
    ) -> Result<crate::download::Download, crate::download::DownloadError> {
        use crate::agent::Signer;
        use crate::download::{Download, ask};

        let inbox = Arc::clone(&self.inbox);
        let signed = move || {
            let (answerer, asked) = ask();
            let sign = sign.clone();
            let signer = Signer::new(move |dialect: &D, signing: &_| answerer.answer(sign(dialect, signing)));
            inbox.push(Input::Sign(signer));
            asked
        };
        let download = Download::signed(signed, folder.into(), name)?;
        let called_off = Arc::clone(&self.called_off);
        let download = download.stop_if(move || called_off.load(Ordering::Acquire));
        Ok(match self.remaining() {
            Some(remaining) => download.within(remaining),
            None => download,
        })
    }

    /// What calls the work off.
    pub(crate) fn switch(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.called_off)
    }
}

impl<D: Dialect> Clone for Context<D> {
    fn clone(&self) -> Self {
        Self {
            run: self.run,
            deadline: self.deadline,
            called_off: Arc::clone(&self.called_off),
            inbox: Arc::clone(&self.inbox),
        }
    }
}

impl<D: Dialect> fmt::Debug for Context<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("run", &self.run).field("called_off", &self.is_called_off()).finish()
    }
}

/// The end of work, once it is there.
pub(crate) type Doing<O> = Pin<Box<dyn Future<Output = Ending<O>> + Send>>;

/// A handler of either sort.
pub(crate) enum Either<D: Dialect> {
    Blocking(Arc<dyn Handler<D>>),
    Async(Arc<dyn Boxed<D>>),
}

/// An async handler whose futures have no name.
pub(crate) trait Boxed<D: Dialect>: Send + Sync {
    fn begin(self: Arc<Self>, work: D::Work, context: Context<D>) -> Doing<D::Outcome>;
    fn may_repeat(&self, work: &D::Work) -> bool;
}

impl<D: Dialect, H: AsyncHandler<D>> Boxed<D> for H {
    fn begin(self: Arc<Self>, work: D::Work, context: Context<D>) -> Doing<D::Outcome> {
        Box::pin(async move { self.handle(work, context).await.into() })
    }

    fn may_repeat(&self, work: &D::Work) -> bool {
        AsyncHandler::may_repeat(self, work)
    }
}

/// Who does work of which kind.
pub(crate) struct Handlers<D: Dialect>(BTreeMap<String, Either<D>>);

impl<D: Dialect> Default for Handlers<D> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<D: Dialect> Handlers<D> {
    pub(crate) fn set(&mut self, kind: &str, handler: Either<D>) {
        self.0.insert(kind.to_owned(), handler);
    }

    /// Who does this work, or how it ends without anybody doing it.
    pub(crate) fn find(&self, work: &D::Work, interrupted: bool) -> Result<&Either<D>, Ending<D::Outcome>> {
        let kind = D::work_kind(work);
        let handler = self.0.get(kind).ok_or_else(|| {
            let known: Vec<_> = self.0.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            // The kind is a stranger's text.
            let kind: String = kind.chars().take(64).collect();
            Ending::Refused(format!("this agent does no work of kind {kind:?}; it does: {known}"))
        })?;
        let may_repeat = match handler {
            Either::Blocking(handler) => handler.may_repeat(work),
            Either::Async(handler) => handler.may_repeat(work),
        };
        if interrupted && !may_repeat { Err(Ending::Interrupted) } else { Ok(handler) }
    }

    /// A kind whose handler needs an async driver, if there is one.
    #[cfg(feature = "system")]
    pub(crate) fn asynchronous(&self) -> Option<&str> {
        let mut kinds = self.0.iter();
        kinds.find(|(_, handler)| matches!(handler, Either::Async(_))).map(|(kind, _)| kind.as_str())
    }
}

/// Begins blocking work on a thread of its own. Its end comes through the inbox, whatever becomes of it.
pub(crate) fn begin<D: Dialect>(handler: &Arc<dyn Handler<D>>, work: D::Work, context: Context<D>) {
    /// Tells the end even if the handler panics.
    struct Teller<D: Dialect> {
        run: u64,
        inbox: Arc<Inbox<D>>,
        ending: Option<Ending<D::Outcome>>,
    }
    impl<D: Dialect> Drop for Teller<D> {
        fn drop(&mut self) {
            let panicked = || Ending::Failed("its handler panicked".to_owned());
            let ending = self.ending.take().unwrap_or_else(panicked);
            self.inbox.push(Input::Ended { run: self.run, ending });
        }
    }

    let (run, inbox) = (context.run, Arc::clone(&context.inbox));
    let handler = Arc::clone(handler);
    let thread = std::thread::Builder::new().name(format!("work-{run}"));
    let told = Arc::clone(&inbox);
    let begun = thread.spawn(move || {
        let mut teller = Teller { run, inbox, ending: None };
        teller.ending = Some(handler.handle(&work, &context).into());
    });
    if let Err(error) = begun {
        let ending = Ending::Failed(format!("no thread for it: {error}"));
        told.push(Input::Ended { run, ending });
    }
}
