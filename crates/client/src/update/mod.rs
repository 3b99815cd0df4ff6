//! Self-update: a program that changes itself for a newer version, if it opts in, and back if that one is no good.
//!
//! [`SelfUpdate`] judges what is offered, puts it in the place of the program, and looks after it until the program
//! says that it is well. It runs nothing and ends nothing: the embedding program starts itself anew.
//!
//! ```no_run
//! use fleetwire_client::update::{SelfUpdate, Started};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let update = SelfUpdate::of_this_program(env!("CARGO_PKG_VERSION"))?;
//! match update.on_start()? {
//!     // This is no good, and the old version is in its place again: end, and be started anew as that one.
//!     Started::RolledBack { version, why } => return Err(format!("{version} was given up: {why}").into()),
//!     // Something new. It says so once it is well; an agent with `self_update` does with its first heartbeat.
//!     Started::OnTrial { .. } => {
//!         update.confirm()?;
//!     }
//!     _ => {}
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! * A program takes this one's place only if its size and SHA-256 are those that were offered, somebody who is trusted
//!   has signed that SHA-256, and it is newer or mandatory: in this order.
//! * A crash at any byte leaves the old program or the new one in its place, whole. Where a program that runs cannot be
//!   replaced but only moved (Windows), there is an instant between two moves with none there, and `on_start` of any
//!   program that was told the path puts the old one back.
//! * A version that is not confirmed within so many starts, or so much time, gives way to the one before it, and is not
//!   taken again.
//!
//! `docs/self-update.md` in the repository has the files, the steps, and how keys are changed.

#[cfg(feature = "achilles")]
mod agent;
mod files;
mod journal;
mod offer;
mod swap;
#[cfg(test)]
mod tests;
mod version;

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use files::Disk;
pub use offer::Offer;
use offer::Trust;
use swap::{Rules, Swap};

use crate::runtime::since_start;

type Trial = Box<dyn Fn(&Path) -> Result<(), String> + Send + Sync>;

/// A program that can change itself for another version.
///
/// The folder of the program must be its user's to write to, and nobody else's. One process at a time looks after the
/// updates of one program.
pub struct SelfUpdate {
    swap: Swap<Disk>,
    version: String,
    trust: Trust,
    starts: u32,
    deadline: Duration,
    trial: Trial,
    confirm_with_heartbeat: bool,
    /// Whether the version that runs is not confirmed yet.
    on_trial: AtomicBool,
    /// Whether another version is in the program's place than the one that runs.
    replaced: AtomicBool,
}

/// How a program has come up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Started {
    /// No update is under way.
    Settled,
    /// This is a new version that was not confirmed yet.
    OnTrial {
        /// The version.
        version: String,
        /// Which start of it this is, from 1.
        start: u32,
        /// After how many that go unconfirmed it is given up.
        of: u32,
    },
    /// The version that runs was given up, and the one before it is in its place again. This process is to end, so that
    /// that one starts.
    RolledBack {
        /// The version that was given up.
        version: String,
        /// Why.
        why: String,
    },
    /// This is the old version again: a newer one was given up. Said once.
    Returned {
        /// The version that was given up.
        version: String,
        /// Why.
        why: String,
    },
    /// The last update ended before it changed anything. It can be tried again.
    Abandoned {
        /// The version that it was for.
        version: String,
    },
}

/// Why a program is not changed for another.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// It is larger than any program that is taken.
    #[error("the offer is of {size} bytes, and no more than {most} are taken: release a smaller program")]
    TooLarge {
        /// Bytes.
        size: u64,
        /// Bytes.
        most: u64,
    },
    /// Its size is not what was offered.
    #[error("the program has {}: fetch it again, or register the release anew", size(*.promised, *.came))]
    WrongSize {
        /// Bytes that were offered.
        promised: u64,
        /// Bytes that came; one more than was offered stands for any number above it.
        came: u64,
    },
    /// The offer names no SHA-256.
    #[error("the offer's SHA-256 is not 64 hex digits: register the release anew")]
    NoDigest,
    /// Its SHA-256 is not what was offered.
    #[error("the program's SHA-256 is {came}, not {promised}: fetch it again, or register the release anew")]
    WrongDigest {
        /// Hex.
        promised: String,
        /// Hex.
        came: String,
    },
    /// No key is known to check a signature by.
    #[error(
        "no key is known to check the update by: enrol where there is one, name one with `trust`, or allow unsigned updates"
    )]
    NoKey,
    /// There is no signature, and a key to check it by.
    #[error("the update is not signed, and this agent has a key to check it by: sign the release")]
    Unsigned,
    /// The signature has not the form of one.
    #[error("the update's signature is not 128 hex digits: sign the digest of the release anew")]
    NoSignature,
    /// The key that the agent was given is none, and no other fits.
    #[error(
        "the key that this agent was given is not base64 of 32 bytes: enrol anew, or name the key with `trust`"
    )]
    BadKey,
    /// Nobody who is trusted has signed this.
    #[error(
        "the update's signature is by no key that this agent trusts: sign it with the key that the agent was given"
    )]
    WrongSignature,
    /// This version runs already.
    #[error("version {0} runs already: there is nothing to do")]
    AlreadyRuns(String),
    /// It is older, and not mandatory.
    #[error("{offered} is older than {running}, which runs: mark the release as mandatory to go back")]
    Older {
        /// The version that is offered.
        offered: String,
        /// The version that runs.
        running: String,
    },
    /// Nobody can tell which one is older, and it is not mandatory.
    #[error(
        "nobody can tell whether {offered:?} is newer than {running:?}, which runs: name versions like 1.2.3, or mark the release as mandatory"
    )]
    NoOrder {
        /// The version that is offered.
        offered: String,
        /// The version that runs.
        running: String,
    },
    /// It was tried before.
    #[error("version {version} was given up before ({why}): release a newer one")]
    GivenUpBefore {
        /// The version.
        version: String,
        /// Why.
        why: String,
    },
    /// Another update comes first.
    #[error("version {0} waits to be started and confirmed: restart and confirm it first")]
    Unconfirmed(String),
    /// The trial that the embedding program makes of a new one has failed.
    #[error("the new program failed its trial, and was not put in place: {0}")]
    Trial(String),
    /// There is no program to be replaced.
    #[error("there is no program at {}: install it there", .0.display())]
    NoProgram(PathBuf),
    /// The version before is not there any more as it was, so that this one stays.
    #[error("{} is not the version that ran before: this one stays; install a good one by hand", .0.display())]
    NothingToReturnTo(PathBuf),
    /// It could not be fetched.
    #[error("the program could not be fetched: {0}")]
    Fetch(Box<dyn std::error::Error + Send + Sync>),
    /// The file system said no. Nothing is lost; the next start puts in order what was begun.
    #[error("{}: {error}: make room, and let the agent write to the folder of its program", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

fn size(promised: u64, came: u64) -> String {
    let more = if came > promised { "or more " } else { "" };
    format!("{came} {more}bytes, not {promised}")
}

impl UpdateError {
    /// Whether the same offer may be taken later, without anybody doing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::WrongSize { .. }
                | Self::WrongDigest { .. }
                | Self::Unconfirmed(_)
                | Self::Fetch(_)
                | Self::Io { .. }
        )
    }
}

/// A text that is no key: base64 of 32 bytes of Ed25519.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key: base64 of the 32 bytes of an Ed25519 public key is one")]
pub struct KeyError;

impl SelfUpdate {
    /// Looks after the program in a file, of which this version runs.
    pub fn new(program: impl Into<PathBuf>, version: impl Into<String>) -> Self {
        Self {
            swap: Swap::new(Disk, program.into()),
            version: version.into(),
            trust: Trust::default(),
            starts: 3,
            deadline: Duration::from_secs(3600),
            trial: Box::new(|_| Ok(())),
            confirm_with_heartbeat: false,
            on_trial: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
        }
    }

    /// Looks after the program that this process runs.
    ///
    /// # Errors
    /// The system does not say which file that is.
    pub fn of_this_program(version: impl Into<String>) -> io::Result<Self> {
        Ok(Self::new(std::env::current_exe()?, version))
    }

    /// Trusts a key besides the one that the agent was given when it enrolled: the one to come, when keys are about to
    /// be changed. Base64 of 32 bytes.
    ///
    /// # Errors
    /// The text is no key.
    pub fn trust(mut self, key: &str) -> Result<Self, KeyError> {
        self.trust.named.push(offer::key(key).ok_or(KeyError)?);
        Ok(self)
    }

    /// Takes updates that nobody has signed, where no key is known. Where one is, they are refused all the same: else
    /// whoever leaves a signature out would need none.
    #[must_use]
    pub const fn allow_unsigned(mut self) -> Self {
        self.trust.unsigned = true;
        self
    }

    /// After how many starts that go unconfirmed a new version is given up: 3 unless said otherwise, and 1 at least.
    #[must_use]
    pub fn starts(mut self, starts: u32) -> Self {
        self.starts = starts.max(1);
        self
    }

    /// For how long a new version may run unconfirmed before it is given up: an hour unless said otherwise.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Confirms a new version when the server has taken its first heartbeat, in an agent that is given this by
    /// `self_update`. Without it the program says [`confirm`](Self::confirm) itself.
    #[must_use]
    pub const fn confirm_after_first_heartbeat(mut self) -> Self {
        self.confirm_with_heartbeat = true;
        self
    }

    /// Makes a trial of a new program after every check and before it takes the old one's place, such as running it
    /// for its version. An error keeps the old one.
    #[must_use]
    pub fn trial(mut self, trial: impl Fn(&Path) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.trial = Box::new(trial);
        self
    }

    /// The file of the program.
    #[must_use]
    pub fn program(&self) -> &Path {
        self.swap.program()
    }

    /// The version that runs.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// To be called first of all when the program starts, once. Puts in order what a crash has left, counts the starts of
    /// a version on trial, and puts the old one back when there were too many.
    ///
    /// # Errors
    /// The file system says no, or a version is to be given up and the one before it is gone. What runs can go on.
    pub fn on_start(&self) -> Result<Started, UpdateError> {
        since_start();
        let started = self.note(self.swap.start(&self.version, self.starts)?);
        self.on_trial.store(matches!(started, Started::OnTrial { .. }), Ordering::Relaxed);
        Ok(started)
    }

    /// Whether another version is in the program's place than the one that runs: it is time to end and be started anew.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }

    #[cfg(feature = "achilles")]
    fn confirms_with_heartbeat(&self) -> bool {
        self.confirm_with_heartbeat && self.on_trial.load(Ordering::Relaxed)
    }

    fn note(&self, started: Started) -> Started {
        if let Started::RolledBack { .. } = started {
            self.on_trial.store(false, Ordering::Relaxed);
            self.replaced.store(true, Ordering::Relaxed);
        }
        started
    }

    /// Whether an offer would be taken, by all that can be said before its bytes are there. `enrolled` is the key that
    /// the agent was given when it enrolled, in base64.
    ///
    /// # Errors
    /// It would be refused.
    pub fn look_at(&self, offer: &Offer, enrolled: Option<&str>) -> Result<(), UpdateError> {
        self.swap.look_at(offer, &self.rules(enrolled)).map(drop)
    }

    /// Puts the program that `bytes` give in the place of this one, if it is what was offered and may be. It runs from the
    /// next start on, and is then on trial. `enrolled` is the key that the agent was given when it enrolled.
    ///
    /// # Errors
    /// It may not, or the file system says no. The program is then what it was before.
    pub fn install(
        &self,
        offer: &Offer,
        enrolled: Option<&str>,
        mut bytes: impl Read,
    ) -> Result<(), UpdateError> {
        self.swap.install(offer, &mut bytes, &self.rules(enrolled))?;
        self.replaced.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Says that the version that runs is well, so that it stays. Whether it was on trial.
    ///
    /// # Errors
    /// The file system says no: it stays on trial.
    pub fn confirm(&self) -> Result<bool, UpdateError> {
        let confirmed = self.swap.confirm()?;
        self.on_trial.store(false, Ordering::Relaxed);
        Ok(confirmed)
    }

    /// Gives up the version that runs, if it is on trial, and puts the one before it in its place.
    ///
    /// # Errors
    /// The file system says no, or the version before is gone.
    pub fn give_up(&self, why: impl Into<String>) -> Result<Started, UpdateError> {
        self.swap.revert(why.into()).map(|started| self.note(started))
    }

    /// Gives up the version that runs, if it is on trial and has been running for longer than it may. An agent that is
    /// given this by `self_update` looks at each of its events, every half an hour at least.
    ///
    /// # Errors
    /// As [`give_up`](Self::give_up).
    pub fn check_deadline(&self) -> Result<Started, UpdateError> {
        let up = since_start();
        if up < self.deadline || !self.on_trial.load(Ordering::Relaxed) {
            return Ok(Started::Settled);
        }
        self.give_up(format!("it ran for {} s and was not confirmed", up.as_secs()))
    }

    fn rules<'a>(&'a self, enrolled: Option<&'a str>) -> Rules<'a> {
        Rules { running: &self.version, trust: &self.trust, enrolled, trial: &*self.trial }
    }
}

impl fmt::Debug for SelfUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfUpdate")
            .field("program", &self.program())
            .field("version", &self.version)
            .field("starts", &self.starts)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
