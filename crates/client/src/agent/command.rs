use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::Request;

use super::dialect::{Dialect, Trouble};
use super::event::Event;
use crate::store::Change;

/// What an agent wants done. One at a time: the next is asked for when it has been done.
pub enum Command<D: Dialect> {
    /// Send this and give [`Input::Answered`](super::Input::Answered). One attempt: when to try again is the machine's
    /// business.
    Send(Request<Bytes>),
    /// Make this change and give [`Input::Persisted`](super::Input::Persisted).
    Persist(Change),
    /// Say how things stand: [`Input::Collected`](super::Input::Collected).
    Collect,
    /// Begin this work, beside everything else.
    Run(Assignment<D::Work>),
    /// Ask the work of this run to end soon.
    Cancel(u64),
    /// Tell whoever watches.
    Report(Event<D>),
    /// Nothing is to be done before this time of the monotonic clock, unless something happens; `None` is for ever.
    Wait(Option<Duration>),
    /// It is over.
    Stopped(Stopped),
}

impl<D: Dialect> fmt::Debug for Command<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(request) => write!(f, "Send({} {})", request.method(), request.uri().path()),
            Self::Persist(change) => write!(f, "Persist({change:?})"),
            Self::Collect => f.write_str("Collect"),
            Self::Run(assignment) => write!(f, "Run({assignment:?})"),
            Self::Cancel(run) => write!(f, "Cancel({run})"),
            Self::Report(event) => write!(f, "Report({event:?})"),
            Self::Wait(until) => write!(f, "Wait({until:?})"),
            Self::Stopped(stopped) => write!(f, "Stopped({stopped:?})"),
        }
    }
}

/// Work to begin.
#[derive(Debug, Clone)]
pub struct Assignment<W> {
    /// Names this run of it.
    pub run: u64,
    /// What to do.
    pub work: W,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Whether it was begun before and the agent went down over it. It is then to be done only if doing it again
    /// is known to be harmless, and otherwise to be ended as [`Ending::Interrupted`](super::Ending::Interrupted).
    pub interrupted: bool,
}

/// Why an agent is no longer at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It was asked to stop.
    Asked,
    /// The server does not take it in: the enrolment token is not good, say. Asking again does not help.
    NotTakenIn(Trouble),
}
