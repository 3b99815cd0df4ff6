//! What drives an agent's machine: asks it for a command, does it, and tells it what came of it.

mod asynchronous;
#[cfg(feature = "system")]
mod blocking;
mod inbox;
mod source;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use inbox::Handle;
pub(crate) use inbox::Inbox;
#[cfg(all(feature = "update", feature = "achilles"))]
pub(crate) use inbox::Wanted;
use source::{Reporter, Source};

use crate::agent::{
    Assignment, Dialect, Event, Input, Machine, Moment, Settings, StartError, Stopped, Trouble,
};
#[cfg(all(feature = "disk", any(feature = "reqwest", feature = "ureq")))]
use crate::store::DiskStore;
use crate::store::{Change, Store};
use crate::work::{AsyncHandler, Context, Doing, Either, Handler, Handlers, begin};

type Observer<D> = Box<dyn FnMut(&Event<D>) + Send>;
/// Who sees each event before the observer does, and the machine with it.
pub(crate) type Watch<D> = Box<dyn FnMut(&Event<D>, &Machine<D>, &Moment) + Send>;

/// An agent of some vendor: who it is, how it behaves, what it does.
///
/// The vendors' modules make one, `achilles::Agent::enroll` for example; what is set here is the same for all.
#[must_use = "an agent does nothing until it runs"]
pub struct Agent<D: Dialect> {
    pub(crate) dialect: D,
    settings: Settings,
    report: Option<Reporter<D>>,
    handlers: Handlers<D>,
    observer: Observer<D>,
    pub(crate) watch: Option<Watch<D>>,
    pub(crate) inbox: Arc<Inbox<D>>,
}

/// Why an agent ended before it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// What was kept cannot be read.
    #[error("the agent's state cannot be read: {0}")]
    Store(Box<dyn std::error::Error + Send + Sync>),
    /// What was kept is not this agent's.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The agent does not know what to report: [`Agent::report`] was not called, and the machine's own facts (feature
    /// `host-facts`) are not there or are no report.
    #[error("nothing to report: the agent was given no source of reports")]
    NoReport,
    /// The handler of a kind of work is async, and the driver is not.
    #[error("the handler of {0:?} is async, and the blocking driver cannot run it")]
    AsyncHandler(String),
    /// The transport cannot be set up.
    #[error("no transport: {0}")]
    Transport(Box<dyn std::error::Error + Send + Sync>),
    /// The server does not take the agent in. Asking again with the same does not help.
    #[error("the server does not take the agent in: {0}")]
    NotTakenIn(Trouble),
}

impl<D: Dialect> Agent<D> {
    /// An agent that speaks a dialect, with every default.
    pub fn new(dialect: D) -> Self {
        Self {
            dialect,
            settings: Settings::default(),
            report: None,
            handlers: Handlers::default(),
            observer: Box::new(|_| {}),
            watch: None,
            inbox: Arc::default(),
        }
    }

    /// Where the agent's reports come from; with the feature `host-facts`, the machine's own facts unless given. Asked
    /// before each heartbeat, on the thread of the driver: it should not take long.
    pub fn report<R: Into<D::Report>>(mut self, mut report: impl FnMut() -> R + Send + 'static) -> Self {
        self.report = Some(Box::new(move || report().into()));
        self
    }

    /// Who does work of a kind, on a thread of its own. Work of any other kind is refused, and the server told so.
    pub fn on(mut self, kind: impl AsRef<str>, handler: impl Handler<D>) -> Self {
        self.handlers.set(kind.as_ref(), Either::Blocking(Arc::new(handler)));
        self
    }

    /// Who does work of a kind, in the async driver.
    pub fn on_async(mut self, kind: impl AsRef<str>, handler: impl AsyncHandler<D>) -> Self {
        self.handlers.set(kind.as_ref(), Either::Async(Arc::new(handler)));
        self
    }

    /// Who watches what happens. Called on the thread of the driver.
    pub fn observe(mut self, observer: impl FnMut(&Event<D>) + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// How the agent behaves.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// What stops the agent and hands it messages, from anywhere.
    pub fn handle(&self) -> Handle<D> {
        Handle::new(Arc::clone(&self.inbox))
    }

    /// Is an agent until it is asked to stop, with its state in a folder of its own, over HTTP by reqwest. See
    /// [`run`](Self::run).
    ///
    /// # Errors
    /// As [`run`](Self::run), and the folder is in use or TLS cannot be set up.
    #[cfg(all(feature = "reqwest", feature = "disk"))]
    pub async fn run_in(self, folder: impl Into<std::path::PathBuf>) -> Result<(), RunError> {
        let store = DiskStore::open(folder).map_err(|error| RunError::Store(Box::new(error)))?;
        let transport =
            crate::ReqwestTransport::new().map_err(|error| RunError::Transport(Box::new(error)))?;
        self.run(store, transport, crate::TokioRuntime).await
    }

    /// Is an agent on this thread until it is asked to stop, with its state in a folder of its own, over HTTP by
    /// ureq. See [`run_blocking`](Self::run_blocking).
    ///
    /// # Errors
    /// As [`run_blocking`](Self::run_blocking), and the folder is in use or TLS cannot be set up.
    #[cfg(all(feature = "ureq", feature = "disk"))]
    pub fn run_blocking_in(self, folder: impl Into<std::path::PathBuf>) -> Result<(), RunError> {
        let store = DiskStore::open(folder).map_err(|error| RunError::Store(Box::new(error)))?;
        let transport = crate::UreqTransport::new().map_err(|error| RunError::Transport(Box::new(error)))?;
        self.run_blocking(store, &transport)
    }

    /// Loads what was kept and makes the machine.
    fn begin(self, store: &mut impl Store, moment: &Moment) -> Result<Driven<D>, RunError> {
        let mut dialect = self.dialect;
        let (report, first) =
            Source::begin(self.report, &dialect, store.folder()).ok_or(RunError::NoReport)?;
        let uptime = dialect.introduce(&first);
        let saved = store.load().map_err(|error| RunError::Store(Box::new(error)))?;
        let machine = Machine::start(dialect, self.settings, &saved, moment, uptime)?;
        Ok(Driven {
            machine,
            report,
            handlers: self.handlers,
            observer: self.observer,
            watch: self.watch,
            inbox: self.inbox,
            called_off: Arc::default(),
        })
    }
}

/// What both drivers have in common.
struct Driven<D: Dialect> {
    machine: Machine<D>,
    report: Source<D>,
    handlers: Handlers<D>,
    observer: Observer<D>,
    watch: Option<Watch<D>>,
    inbox: Arc<Inbox<D>>,
    /// Calls off the work at hand.
    called_off: Arc<AtomicBool>,
}

impl<D: Dialect> Driven<D> {
    fn collect(&mut self) -> Input<D> {
        Input::Collected(self.report.report(self.machine.dialect()))
    }

    fn tell(&mut self, event: &Event<D>, moment: &Moment) {
        if let Some(watch) = &mut self.watch {
            watch(event, &self.machine, moment);
        }
        (self.observer)(event);
    }

    fn persist(store: &mut impl Store, change: &Change) -> Input<D> {
        Input::Persisted(store.apply(change).map_err(|error| error.to_string()))
    }

    /// Begins work. What comes back is to be polled beside everything else.
    fn run(&mut self, assignment: Assignment<D::Work>) -> Option<Doing<D::Outcome>> {
        let Assignment { run, work, timeout, interrupted } = assignment;
        let context = Context::new(run, timeout, Arc::clone(&self.inbox));
        self.called_off = context.switch();
        match self.handlers.find(&work, interrupted) {
            Ok(Either::Blocking(handler)) => {
                begin(handler, work, context);
                None
            }
            Ok(Either::Async(handler)) => Some(Arc::clone(handler).begin(work, context)),
            Err(ending) => {
                self.inbox.push(Input::Ended { run, ending });
                None
            }
        }
    }

    fn call_off(&self) {
        self.called_off.store(true, Ordering::Release);
    }

    fn outcome(stopped: Stopped) -> Result<(), RunError> {
        match stopped {
            Stopped::Asked => Ok(()),
            Stopped::NotTakenIn(trouble) => Err(RunError::NotTakenIn(trouble)),
        }
    }
}

impl<D: Dialect> std::fmt::Debug for Agent<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("vendor", &D::VENDOR)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
