use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Param, ParamPlace};

/// Why a request was not served, in nobody's dialect. The vendor's [`Envelope`] puts it into words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No, unknown or revoked credentials.
    #[error("no usable credentials")]
    Unauthenticated,
    /// An enrolment token that is unknown, expired, used up or revoked; which of them is not told.
    #[error("the enrolment token is not valid")]
    TokenRefused,
    /// An enrolment token whose time is over. Told only to who holds it; most dialects do not tell it apart.
    #[error("the enrolment token has expired")]
    TokenExpired,
    /// Good credentials that do not cover what was named.
    #[error("the credentials do not cover this {0}")]
    NotYours(Subject),
    /// Something named that is not here.
    #[error("no such {0}")]
    Unknown(Subject),
    /// The request does not have the documented form.
    #[error("{0}")]
    Invalid(Violations),
    /// A step that the work's state does not allow.
    #[error("a {from} {subject} cannot become {to}")]
    Transition {
        /// What was to be moved.
        subject: Subject,
        /// The state it is in, in the vendor's word.
        from: &'static str,
        /// The state asked for, in the vendor's word.
        to: &'static str,
    },
    /// There is one of that id already.
    #[error("this {0} is there already")]
    Taken(Subject),
    /// Somebody else was first.
    #[error("{0}")]
    Conflict(&'static str),
    /// The body is longer than the operation allows.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// The most bytes allowed.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the request did not arrive in time")]
    TooSlow,
    /// No operation has this path.
    #[error("no such route")]
    NoRoute,
    /// The path has operations, but none with this method.
    #[error("the method is not allowed here")]
    MethodNotAllowed {
        /// The methods that are.
        allow: Vec<Method>,
    },
    /// Too many requests.
    #[error("too many requests")]
    Limited {
        /// When to come back.
        retry_after: Duration,
    },
    /// Our own failure; its cause stands in the log.
    #[error("internal error")]
    Internal,
    /// No room at the moment.
    #[error("{what}")]
    Overloaded {
        /// What there is no room for.
        what: &'static str,
        /// When to come back.
        retry_after: Duration,
    },
}

/// What a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// A device.
    Device,
    /// An agent.
    Agent,
    /// A host.
    Host,
    /// A task.
    Task,
    /// A file.
    File,
    /// Something that an agent was told to do.
    Action,
    /// All agents of a tenant.
    Fleet,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Device => "device",
            Self::Agent => "agent",
            Self::Host => "host",
            Self::Task => "task",
            Self::File => "file",
            Self::Action => "action",
            Self::Fleet => "fleet",
        })
    }
}

impl Fault {
    /// The status that most vendors send for it.
    #[must_use]
    pub const fn usual_status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated | Self::TokenRefused | Self::TokenExpired => StatusCode::UNAUTHORIZED,
            Self::NotYours(_) => StatusCode::FORBIDDEN,
            Self::Unknown(_) | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Invalid(_) | Self::Transition { .. } => StatusCode::BAD_REQUEST,
            Self::Taken(_) | Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Overloaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// When the caller may come back, if that was said.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited { retry_after } | Self::Overloaded { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

impl From<Violations> for Fault {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl From<Violation> for Fault {
    fn from(violation: Violation) -> Self {
        Self::Invalid(violation.into())
    }
}

/// One thing wrong with a request: where, against which rule, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where.
    pub place: Place,
    /// The rule's stable id, such as `json.required` or `agentmc.heartbeat.host.name.max_length`.
    pub rule: &'static str,
    /// What was expected and what was found.
    pub message: String,
}

/// Where in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the body, at a JSON pointer (RFC 6901); empty for the whole of it.
    Body(String),
    /// In a header.
    Header(&'static str),
    /// In a path parameter.
    Path(&'static str),
    /// In a query parameter.
    Query(&'static str),
}

impl Place {
    /// The place in dots instead of slashes, as PHP and JavaScript peers write it (`host.meta.ip`); `body`
    /// for the body as a whole.
    #[must_use]
    pub fn dotted(&self) -> Cow<'_, str> {
        match self {
            Self::Body(pointer) if pointer.is_empty() => Cow::Borrowed("body"),
            Self::Body(pointer) => {
                let path = pointer[1..].replace('/', ".");
                Cow::Owned(path.replace("~1", "/").replace("~0", "~"))
            }
            Self::Header(name) | Self::Path(name) | Self::Query(name) => Cow::Borrowed(name),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(pointer) if pointer.is_empty() => f.write_str("body"),
            Self::Body(pointer) => f.write_str(pointer),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Path(name) => write!(f, "path parameter {name}"),
            Self::Query(name) => write!(f, "query parameter {name}"),
        }
    }
}

impl Violation {
    /// A violation in the body.
    pub fn body(pointer: impl Into<String>, rule: &'static str, message: impl Into<String>) -> Self {
        Self { place: Place::Body(pointer.into()), rule, message: message.into() }
    }

    /// A parameter that had to be there.
    #[must_use]
    pub fn missing_param(param: &Param) -> Self {
        let place = match param.place {
            ParamPlace::Path => Place::Path(param.name),
            ParamPlace::Query => Place::Query(param.name),
            ParamPlace::Header => Place::Header(param.name),
        };
        Self { place, rule: "param.required", message: "is required".to_owned() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// What is wrong with a request. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations {
    listed: Vec<Violation>,
    more: usize,
}

impl Violations {
    /// The violations in the order in which they were found.
    #[must_use]
    pub fn as_slice(&self) -> &[Violation] {
        &self.listed
    }

    /// Iterates over them.
    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.listed.iter()
    }

    /// How many more were found: a list that a stranger can make as long as a message is cut.
    #[must_use]
    pub const fn more(&self) -> usize {
        self.more
    }

    /// The same with a number of violations that are not listed.
    #[must_use]
    pub const fn with_more(mut self, more: usize) -> Self {
        self.more = more;
        self
    }

    /// `Ok` if there is none.
    ///
    /// # Errors
    /// The violations, if there are any.
    pub fn check(violations: Vec<Violation>) -> Result<(), Self> {
        if violations.is_empty() { Ok(()) } else { Err(Self::from(violations)) }
    }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self::from(vec![violation])
    }
}

impl From<Vec<Violation>> for Violations {
    fn from(violations: Vec<Violation>) -> Self {
        debug_assert!(!violations.is_empty(), "a refusal names at least one fault");
        Self { listed: violations, more: 0 }
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a Violation;
    type IntoIter = std::slice::Iter<'a, Violation>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{violation}")?;
        }
        if self.more > 0 {
            write!(f, "; {} more are not listed", self.more)?;
        }
        Ok(())
    }
}

/// The shape in which a vendor says that a request failed.
pub trait Envelope:
    Serialize + DeserializeOwned + fmt::Debug + Clone + PartialEq + Send + Sync + 'static
{
    /// The status under which a fault leaves.
    #[must_use]
    fn status(fault: &Fault) -> StatusCode {
        fault.usual_status()
    }

    /// Puts a fault into the vendor's words.
    fn from_fault(fault: &Fault) -> Self;

    /// The machine-readable code, where the vendor has one.
    fn code(&self) -> Option<&str> {
        None
    }

    /// The text for people.
    fn message(&self) -> Option<&str>;

    /// When to come back, where the vendor says it in the body.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// An answer that is not success, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal<B> {
    /// Its status.
    pub status: StatusCode,
    /// Its body in the vendor's envelope; `None` when it was something else, such as a proxy's page.
    pub envelope: Option<B>,
    /// When to come back, if header or body said so.
    pub retry_after: Option<RetryAfter>,
    /// The body as it came.
    pub body: Bytes,
}

impl<B> Refusal<B> {
    /// What the status means, whatever the body says (AM-2, ZS-9).
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        match self.status.as_u16() {
            401 => FaultKind::Unauthenticated,
            403 => FaultKind::Forbidden,
            404 | 410 => FaultKind::NotFound,
            405 => FaultKind::MethodNotAllowed,
            409 => FaultKind::Conflict,
            400 | 422 => FaultKind::Invalid,
            413 => FaultKind::TooLarge,
            408 | 425 | 429 => FaultKind::Limited,
            503 => FaultKind::Overloaded,
            500..=599 => FaultKind::Server,
            _ => FaultKind::Other,
        }
    }
}

impl<B: Envelope> fmt::Display for Refusal<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)?;
        match self.envelope.as_ref().and_then(Envelope::message) {
            Some(message) => write!(f, ": {message}"),
            None => write!(f, ", with a body of {} bytes that is no error envelope", self.body.len()),
        }
    }
}

impl<B: Envelope> std::error::Error for Refusal<B> {}

/// What a refusal means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// 401: the credentials are not good.
    Unauthenticated,
    /// 403: they are good, but not for this.
    Forbidden,
    /// 404, 410: not here, or not registered.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 409: somebody else was first.
    Conflict,
    /// 400, 422: sending the same again is pointless.
    Invalid,
    /// 413.
    TooLarge,
    /// 408, 425, 429: later.
    Limited,
    /// 503: later.
    Overloaded,
    /// Any other 5xx.
    Server,
    /// A status that means none of these.
    Other,
}

/// When to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// After a while.
    Delay(Duration),
    /// At a time.
    At(DateTime<Utc>),
}

impl RetryAfter {
    /// Reads the value of a `Retry-After` header: seconds or an HTTP date.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Self::Delay(Duration::from_secs(seconds)));
        }
        DateTime::parse_from_rfc2822(value).ok().map(|time| Self::At(time.with_timezone(&Utc)))
    }

    /// How long that is from `now`; nothing when the time has passed.
    #[must_use]
    pub fn delay(self, now: DateTime<Utc>) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            Self::At(time) => (time - now).to_std().unwrap_or_default(),
        }
    }
}
