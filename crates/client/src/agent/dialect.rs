use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_protocol::codec::{self, EncodeError, ReplyError};
use fleetwire_protocol::{Endpoint, Envelope, FaultKind, Reply, RetryAfter};
use http::{Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Reconnect;
use super::keyring::Secret;
use crate::Cause;

/// A vendor's way to say what every agent says: how a step becomes a request, and an answer what it means.
///
/// Pure: no clock, no randomness, no IO. The machine decides when, with which key, and what follows.
pub trait Dialect: Sized + Send + 'static {
    /// Who the agent is to the server, as enrolment has settled it.
    type Identity: Clone + PartialEq + fmt::Debug + Serialize + DeserializeOwned + Send;
    /// Who asks to be enrolled. Kept until it is, so that an enrolment whose answer was lost is repeated by the same.
    type Applicant: Clone + fmt::Debug + Serialize + DeserializeOwned + Send;
    /// What the agent says of itself at each heartbeat.
    type Report: Clone + Send + 'static;
    /// What the agent is asked to do.
    type Work: Clone + fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What comes of work that was done.
    type Outcome: Clone + fmt::Debug + Send + 'static;
    /// What waits in the spool until the server has taken it.
    type Message: Clone + fmt::Debug + Serialize + DeserializeOwned + Send + 'static;
    /// A newer version of the agent.
    type Update: Clone + fmt::Debug + Send + 'static;
    /// What the agent is told to work by.
    type Instructions: Clone + fmt::Debug + Send + 'static;

    /// The vendor's short name. A state of another vendor's agent is not taken.
    const VENDOR: &'static str;
    /// Time between two heartbeats where neither server nor settings say otherwise.
    const HEARTBEAT: Duration = Duration::from_secs(60);
    /// Whether the agent asks for work besides its heartbeats.
    const POLLS: bool = false;
    /// Whether the agent can ask for a newer version of itself.
    const CHECKS_UPDATES: bool = false;

    /// The identity and key that the agent was given beforehand; `None` for one that has to enrol. A key that differs
    /// from those of the kept state takes their place once the server has accepted it.
    fn provisioned(&self) -> Option<(Self::Identity, Secret)>;

    /// The key that the program has given the agent, whoever it is by now. One that differs from those of the kept
    /// state takes their place once the server has accepted it.
    fn given_key(&self) -> Option<Secret> {
        self.provisioned().map(|(_, key)| key)
    }

    /// Whether the agent asks for instructions before its first heartbeat.
    fn asks_for_instructions(&self) -> bool {
        false
    }

    /// Who asks to be enrolled; `None` where the dialect has no enrolment.
    fn applicant(&self) -> Option<Self::Applicant>;

    /// What an agent reports that was given no source of reports: its machine's own facts, in the dialect's words.
    /// `None` where they are no report.
    #[cfg(feature = "host-facts")]
    fn report(&self, facts: &crate::host::Facts) -> Option<Self::Report> {
        let _ = facts;
        None
    }

    /// Learns from the program's first report what the agent is to say of itself before it has reported. Says for how
    /// long the machine has been up, if the report does.
    fn introduce(&mut self, report: &Self::Report) -> Option<Duration>;

    /// The request of a step.
    ///
    /// # Errors
    /// A value that cannot be carried, such as a key with a line break or a figure that is no number.
    fn request(&self, step: &Step<Self>, signing: &Signing<'_, Self>) -> Result<Request<Bytes>, EncodeError>;

    /// What the answer to a step means.
    ///
    /// # Errors
    /// The server refused, or answered with something that is no reply.
    fn read(&self, step: &Step<Self>, response: &Response<Bytes>) -> Result<Answer<Self>, Trouble>;

    /// What names a piece of work among the others.
    fn work_id(work: &Self::Work) -> String;

    /// Whether an id names one piece of work for ever. Work under another id is work anew when it is handed over again
    /// after it was not.
    fn is_unique(id: &str) -> bool {
        let _ = id;
        true
    }

    /// What kind of work it is, in the dialect's word.
    fn work_kind(work: &Self::Work) -> &str;

    /// How long the work may take; `None` for as long as it likes.
    fn work_timeout(work: &Self::Work) -> Option<Duration>;

    /// How far work is when it begins.
    fn begins_with(work: &Self::Work) -> Progress {
        let _ = work;
        Progress::Running
    }

    /// The same step put another way, where the server does not know the first; `None` where there is none.
    fn otherwise(&self, step: &Step<Self>, trouble: &Trouble) -> Option<Step<Self>> {
        let _ = (step, trouble);
        None
    }

    /// What the server is told of a step of the work; `None` where the dialect has no words for it.
    fn progress(
        &self,
        identity: &Self::Identity,
        work: &Self::Work,
        progress: Progress,
    ) -> Option<Self::Message>;

    /// What the server is told of work that has ended; `None` where the dialect has no words for it.
    fn ended(
        &self,
        identity: &Self::Identity,
        work: &Self::Work,
        end: &Ended<Self::Outcome>,
    ) -> Option<Self::Message>;

    /// The stream that a message belongs to.
    fn stream(message: &Self::Message) -> Stream;

    /// The work that a message tells the end of.
    fn ends_work(message: &Self::Message) -> Option<&str>;
}

/// What a dialect does not have: nothing is of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Never {}

/// What a request is for.
pub enum Step<D: Dialect> {
    /// Trade a token for an identity and a key.
    Enroll(D::Applicant),
    /// Ask what to work by, before the first heartbeat.
    Instruct,
    /// Report.
    Beat(Beat<D::Report, D::Message>),
    /// Ask for work.
    Poll,
    /// Hand over what waits in the spool.
    Deliver {
        /// Its number in the spool.
        seq: u64,
        /// What it says.
        message: D::Message,
    },
    /// Ask for a newer version.
    CheckUpdate {
        /// Whether in the dialect's other way, since the server does not know the first.
        otherwise: bool,
    },
}

impl<D: Dialect> Step<D> {
    /// The step in a word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Enroll(_) => "enroll",
            Self::Instruct => "instructions",
            Self::Beat(_) => "heartbeat",
            Self::Poll => "poll",
            Self::Deliver { .. } => "deliver",
            Self::CheckUpdate { .. } => "check_update",
        }
    }
}

impl<D: Dialect> Clone for Step<D> {
    fn clone(&self) -> Self {
        match self {
            Self::Enroll(applicant) => Self::Enroll(applicant.clone()),
            Self::Instruct => Self::Instruct,
            Self::Beat(beat) => Self::Beat(beat.clone()),
            Self::Poll => Self::Poll,
            Self::Deliver { seq, message } => Self::Deliver { seq: *seq, message: message.clone() },
            Self::CheckUpdate { otherwise } => Self::CheckUpdate { otherwise: *otherwise },
        }
    }
}

impl<D: Dialect> fmt::Debug for Step<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who signs a request, and when.
#[derive(Debug)]
pub struct Signing<'a, D: Dialect> {
    /// Who the agent is; `None` before enrolment.
    pub identity: Option<&'a D::Identity>,
    /// The key to sign with; `None` before enrolment.
    pub key: Option<&'a Secret>,
    /// The time by the server's clock, as far as the agent can tell.
    pub now: DateTime<Utc>,
}

/// A heartbeat.
#[derive(Debug, Clone)]
pub struct Beat<R, M> {
    /// What the embedding program says.
    pub report: R,
    /// What travels with it, of [`Stream::Beat`], each with its number in the spool.
    pub riders: Vec<(u64, M)>,
    /// Whether it goes the dialect's other way, since the server does not know the first.
    pub otherwise: bool,
    /// The work at hand.
    pub current: Option<String>,
    /// The work last ended.
    pub last: Option<String>,
    /// Why the agent was away, after a gap.
    pub reconnect: Option<Reconnect>,
    /// When the agent's process started.
    pub process_start: DateTime<Utc>,
}

/// What an answer says.
pub enum Answer<D: Dialect> {
    /// The agent is enrolled.
    Enrolled {
        /// Who it is.
        identity: D::Identity,
        /// Its key.
        key: Secret,
        /// The time between two polls that the server asks for.
        poll: Option<Duration>,
    },
    /// What to work by.
    Instructed {
        /// The time between two heartbeats that the server asks for.
        interval: Option<Duration>,
        /// The instructions; `None` if they are those that the agent has.
        instructions: Option<D::Instructions>,
    },
    /// The heartbeat was taken.
    Taken(Taken<D::Work, D::Identity>),
    /// Work to do; none where there is none.
    Work(Vec<D::Work>),
    /// The message was taken.
    Delivered,
    /// The newer version; `None` where there is none.
    Update(Option<D::Update>),
}

/// What the answer to a heartbeat says.
#[derive(Debug, Clone)]
pub struct Taken<W, I> {
    /// Who the agent is from now on, if that has changed.
    pub identity: Option<I>,
    /// The server's time, where the dialect has it.
    pub server_time: Option<DateTime<Utc>>,
    /// A key to change to.
    pub new_key: Option<Secret>,
    /// The time between two heartbeats that the server asks for.
    pub interval: Option<Duration>,
    /// Work to do, where heartbeats are answered with it.
    pub work: Vec<W>,
}

impl<W, I> Default for Taken<W, I> {
    fn default() -> Self {
        Self { identity: None, server_time: None, new_key: None, interval: None, work: Vec::new() }
    }
}

/// A step of work under way. Work goes from one to a later one, and may leave any out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Progress {
    /// What the work needs is being fetched.
    Fetching,
    /// The work itself has begun.
    Running,
}

/// Work that has ended.
#[derive(Debug, Clone)]
pub struct Ended<O> {
    /// How.
    pub ending: Ending<O>,
    /// When it began, by the server's clock.
    pub started: DateTime<Utc>,
    /// When it ended, by the server's clock.
    pub ended: DateTime<Utc>,
    /// How long it took.
    pub took: Duration,
}

/// How work ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending<O> {
    /// It was done.
    Done(O),
    /// It was not begun, for a reason: there is nobody who does such work, say.
    Refused(String),
    /// It could not be done.
    Failed(String),
    /// It took longer than it might.
    TimedOut,
    /// It was called off: the agent was asked to stop.
    Canceled,
    /// The agent went down while it was at work. Nobody knows how far it got.
    Interrupted,
}

/// What waits in the spool is handed over in order within each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// How far work is. The first to be dropped when there is no more room.
    Status,
    /// Notifications, such as those of images. The next to be dropped.
    Notification,
    /// Results of work. An agent without room for one more asks for no work, so that none is dropped.
    Result,
    /// What travels with heartbeats, until one was taken with it: the next one leaves at once. As results.
    Beat,
}

/// Why a step did not do what it was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it was.
    pub kind: TroubleKind,
    /// When the server wants to be asked again.
    pub retry_after: Option<RetryAfter>,
    /// What was said, for people. It holds no secret.
    pub text: String,
}

/// What kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TroubleKind {
    /// No answer came.
    NoAnswer(Cause),
    /// The server refused, in its own words.
    Refused(FaultKind, StatusCode),
    /// The server has somebody of that name already, and only an operator can make room.
    Taken(StatusCode),
    /// Something answered that does not speak the vendor's language: a proxy's page, a redirect, half a body.
    Foreign(StatusCode),
    /// The request could not be written.
    Unwritten,
}

impl Trouble {
    pub(crate) fn no_answer(cause: Cause, text: String) -> Self {
        Self { kind: TroubleKind::NoAnswer(cause), retry_after: None, text }
    }

    pub(crate) fn unwritten(error: &EncodeError) -> Self {
        Self { kind: TroubleKind::Unwritten, retry_after: None, text: error.to_string() }
    }

    /// Of an answer that is no reply. Apart from the operation's type, so that a program has it once for each envelope.
    fn unread<B: Envelope>(error: ReplyError<B>) -> Self {
        match error {
            ReplyError::Refused(refusal) => {
                let (kind, status) = (refusal.kind(), refusal.status);
                let (kind, text) = match refusal.envelope.as_ref().filter(|_| !status.is_redirection()) {
                    Some(envelope) => (TroubleKind::Refused(kind, status), said(envelope)),
                    None => {
                        let text = format!("{} bytes that are no error envelope", refusal.body.len());
                        (TroubleKind::Foreign(status), text)
                    }
                };
                Self { kind, retry_after: refusal.retry_after, text }
            }
            ReplyError::Garbled { status, body, why } => Self {
                kind: TroubleKind::Foreign(status),
                retry_after: None,
                text: format!("{} bytes that are no reply, by rule {}", body.len(), why.rule),
            },
        }
    }

    /// An answer that is no reply for a reason that no type tells.
    #[must_use]
    pub fn foreign(response: &Response<Bytes>, text: impl Into<String>) -> Self {
        Self { kind: TroubleKind::Foreign(response.status()), retry_after: None, text: text.into() }
    }

    /// Whether the credentials were refused.
    #[must_use]
    pub const fn is_unauthenticated(&self) -> bool {
        matches!(self.kind, TroubleKind::Refused(FaultKind::Unauthenticated, _))
    }

    /// Whether the server itself has answered, and not something on the way to it.
    #[must_use]
    pub const fn is_from_server(&self) -> bool {
        matches!(self.kind, TroubleKind::Refused(..) | TroubleKind::Taken(_))
    }

    /// Whether the same request may succeed later. What a server refuses for what it says, and what cannot be
    /// written, will not.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        !matches!(
            self.kind,
            TroubleKind::Unwritten
                | TroubleKind::Taken(_)
                | TroubleKind::Refused(
                    FaultKind::Invalid | FaultKind::NotFound | FaultKind::Forbidden | FaultKind::TooLarge,
                    _
                )
        )
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TroubleKind::NoAnswer(cause) => write!(f, "no answer, {}: {}", cause.as_str(), self.text),
            TroubleKind::Refused(_, status) | TroubleKind::Taken(status) => {
                write!(f, "refused with {status}: {}", self.text)
            }
            TroubleKind::Foreign(status) => {
                write!(f, "answered with {status}, not by the server: {}", self.text)
            }
            TroubleKind::Unwritten => write!(f, "not sent: {}", self.text),
        }
    }
}

impl std::error::Error for Trouble {}

/// What a server has said, with its code where it has one.
fn said(envelope: &impl Envelope) -> String {
    let message = envelope.message().unwrap_or_default();
    match envelope.code() {
        Some(code) if message.is_empty() => code.to_owned(),
        Some(code) => format!("{code}: {message}"),
        None => message.to_owned(),
    }
}

/// The code of a refusal, where the dialect has codes.
#[cfg(any(feature = "acusight", feature = "agentmc"))]
pub(crate) fn code_of<E: Endpoint>(response: &Response<Bytes>) -> Option<String> {
    let envelope: E::Error = serde_json::from_slice(response.body()).ok()?;
    envelope.code().map(ToOwned::to_owned)
}

/// Reads the answer of an operation.
///
/// # Errors
/// A refusal, or something that is no reply. Nothing of a reply's body is repeated, since it may hold a key.
pub fn read_reply<E: Endpoint>(response: &Response<Bytes>) -> Result<<E::Reply as Reply>::Value, Trouble> {
    codec::decode_reply::<E>(response).map_err(Trouble::unread)
}
