//! Where an agent's state lies between its runs.
//!
//! A [`Store`] keeps one state and numbered messages. It knows nothing of what they say. `DiskStore` keeps them in a
//! folder (feature `disk`); [`MemoryStore`] forgets them with the process.

#[cfg(feature = "disk")]
mod disk;
mod memory;
#[cfg(feature = "disk")]
mod seal;

use std::error::Error;
use std::fmt;
use std::path::Path;

use bytes::Bytes;

#[cfg(feature = "disk")]
pub use disk::{DiskError, DiskStore};
pub use memory::MemoryStore;
#[cfg(feature = "disk")]
pub use seal::SealKey;

/// What keeps an agent's state. Each change is whole: after a crash it has been made or it has not.
pub trait Store: Send + 'static {
    /// Why the store failed.
    type Error: Error + Send + Sync + 'static;

    /// What has been kept. Called once, before any change.
    ///
    /// # Errors
    /// There is something, and it cannot be read. That there is nothing is no error.
    fn load(&mut self) -> Result<Saved, Self::Error>;

    /// Makes a change. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// The change may not have been made. The agent goes on without it where it can, and asks again.
    fn apply(&mut self, change: &Change) -> Result<(), Self::Error>;

    /// The folder that it lies in, if that is what it lies in: its disk is the one that matters to the agent.
    fn folder(&self) -> Option<&Path> {
        None
    }
}

/// What a store has kept.
#[derive(Default)]
pub struct Saved {
    /// The state; `None` where there was none yet.
    pub state: Option<Bytes>,
    /// The messages by their numbers, which grow.
    pub messages: Vec<(u64, Bytes)>,
    /// What was found damaged and set aside, in words for people.
    pub damaged: Vec<String>,
}

impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved")
            .field("state_bytes", &self.state.as_ref().map(Bytes::len))
            .field("messages", &self.messages.len())
            .field("damaged", &self.damaged)
            .finish()
    }
}

/// A change to what a store keeps. The bytes hold keys: they are not for the eyes of anybody else, and `Debug` shows
/// their number only.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Put the state in place of the one before.
    Save(Bytes),
    /// Keep a message under a number that is greater than that of every message before it.
    Append(u64, Bytes),
    /// Forget a message. That there is none of this number is no error.
    Remove(u64),
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Save(bytes) => write!(f, "Save({} bytes)", bytes.len()),
            Self::Append(seq, bytes) => write!(f, "Append({seq}, {} bytes)", bytes.len()),
            Self::Remove(seq) => write!(f, "Remove({seq})"),
        }
    }
}
