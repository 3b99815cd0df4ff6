use std::fmt;
use std::time::Duration;

use super::dialect::{Dialect, Trouble};

/// What an agent tells whoever watches it.
#[non_exhaustive]
pub enum Event<D: Dialect> {
    /// The server has taken it in.
    Enrolled(D::Identity),
    /// The server says what to work by.
    Instructed(D::Instructions),
    /// A heartbeat was taken. Says after how many that were not.
    Taken {
        /// How many.
        after_failures: u32,
    },
    /// A step failed.
    Failed {
        /// Which.
        step: &'static str,
        /// Why, and whether the same may succeed later.
        trouble: Trouble,
        /// When it is tried again; `None` when it is not.
        next: Option<Duration>,
    },
    /// The server's time is not the machine's: the machine's is behind by so many milliseconds, or ahead if
    /// negative. Everything that is sent is corrected for it.
    ClockOff(i64),
    /// The server offers a new key.
    KeyOffered,
    /// The server has accepted the new key, which is from now on the agent's.
    KeyChanged,
    /// The server refuses every key that the agent has. They are kept and tried again.
    KeysRefused,
    /// Work was accepted.
    Accepted(D::Work),
    /// There is no room for this work now; the server is left to hand it over again.
    TurnedAway(D::Work),
    /// Work was asked to end and does not. Until it does, no other is begun.
    Stuck(D::Work),
    /// The server has taken a message.
    Delivered(D::Message),
    /// A message is lost: the server refuses it for good, or it had to make room.
    Dropped {
        /// The message; `None` if it could not be read any more.
        message: Option<D::Message>,
        /// Why.
        why: String,
    },
    /// There is a newer version of the agent.
    UpdateOffered(D::Update),
    /// There is no newer version of the agent.
    UpToDate,
    /// Another version of the program is in its place, and runs from the next start on.
    Updated(String),
    /// The program was not changed for another version, or is changed back.
    UpdateFailed(String),
    /// The store failed; tried again soon.
    StoreFailed(String),
    /// The store found something damaged.
    StoreDamaged(String),
}

impl<D: Dialect> fmt::Debug for Event<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instructed(_) => f.write_str("Instructed"),
            Self::Enrolled(identity) => write!(f, "Enrolled({identity:?})"),
            Self::Taken { after_failures } => write!(f, "Taken(after {after_failures} failures)"),
            Self::Failed { step, trouble, next } => write!(f, "Failed({step}: {trouble}; again in {next:?})"),
            Self::ClockOff(millis) => write!(f, "ClockOff({millis} ms)"),
            Self::KeyOffered => f.write_str("KeyOffered"),
            Self::KeyChanged => f.write_str("KeyChanged"),
            Self::KeysRefused => f.write_str("KeysRefused"),
            Self::Accepted(work) => write!(f, "Accepted({})", D::work_id(work)),
            Self::TurnedAway(work) => write!(f, "TurnedAway({})", D::work_id(work)),
            Self::Stuck(work) => write!(f, "Stuck({})", D::work_id(work)),
            Self::Delivered(message) => write!(f, "Delivered({:?})", D::stream(message)),
            Self::Dropped { why, .. } => write!(f, "Dropped({why})"),
            Self::UpdateOffered(update) => write!(f, "UpdateOffered({update:?})"),
            Self::UpToDate => f.write_str("UpToDate"),
            Self::Updated(version) => write!(f, "Updated({version})"),
            Self::UpdateFailed(why) => write!(f, "UpdateFailed({why})"),
            Self::StoreFailed(why) => write!(f, "StoreFailed({why})"),
            Self::StoreDamaged(what) => write!(f, "StoreDamaged({what})"),
        }
    }
}
