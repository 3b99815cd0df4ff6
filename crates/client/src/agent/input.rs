use std::fmt;

use bytes::Bytes;
use http::Response;

use super::dialect::{Dialect, Ending, Progress, Signing};
use crate::Cause;

/// What happens to an agent.
#[derive(Debug)]
pub enum Input<D: Dialect> {
    /// The answer to [`Command::Send`](super::Command::Send), or why there is none.
    Answered(Result<Response<Bytes>, NoAnswer>),
    /// What became of [`Command::Persist`](super::Command::Persist); the text is the store's own.
    Persisted(Result<(), String>),
    /// The answer to [`Command::Collect`](super::Command::Collect).
    Collected(D::Report),
    /// How far the work is.
    Progressed {
        /// The run that [`Command::Run`](super::Command::Run) began.
        run: u64,
        /// How far.
        progress: Progress,
    },
    /// The work has ended.
    Ended {
        /// The run that [`Command::Run`](super::Command::Run) began.
        run: u64,
        /// How.
        ending: Ending<D::Outcome>,
    },
    /// A request of somebody who works beside the agent's steps, to be signed as the agent's own.
    Sign(Signer<D>),
    /// A message of the embedding program, for the spool.
    Post(D::Message),
    /// The agent is to ask now whether there is a newer version of it. An event says what came of it:
    /// [`UpdateOffered`](super::Event::UpdateOffered), [`UpToDate`](super::Event::UpToDate) or
    /// [`Failed`](super::Event::Failed).
    CheckUpdate,
    /// What came of an update: the version that is in the program's place now, or why it is not.
    Updated(Result<String, String>),
    /// Another version of the program is in its place: the next start is that of an update.
    ExpectUpdate,
    /// The agent is to stop.
    Stop,
}

/// Has a request signed with the agent's identity, key and time. What it was asked for goes its own way.
pub struct Signer<D: Dialect>(Box<Sign<D>>);

type Sign<D> = dyn FnOnce(&D, &Signing<'_, D>) + Send;

impl<D: Dialect> Signer<D> {
    /// Signs something as soon as the agent comes to it.
    pub fn new(sign: impl FnOnce(&D, &Signing<'_, D>) + Send + 'static) -> Self {
        Self(Box::new(sign))
    }

    pub(super) fn sign(self, dialect: &D, signing: &Signing<'_, D>) {
        (self.0)(dialect, signing);
    }
}

impl<D: Dialect> fmt::Debug for Signer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    /// The cause.
    pub cause: Cause,
    /// The transport's own words.
    pub text: String,
}
