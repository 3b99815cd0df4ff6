use std::error::Error;
use std::fmt;

use bytes::Bytes;
use fleetwire_protocol::codec::EncodeError;
use fleetwire_protocol::{Envelope, FaultKind, Refusal, RetryAfter, Violation, Violations};
use http::StatusCode;

use crate::TransportError;
use crate::retry::is_retryable;

/// Why a call gave no reply. What the server sent is never lost.
///
/// `B` is the vendor's error envelope, `T` the transport's error.
#[non_exhaustive]
pub enum SendError<B, T> {
    /// The call breaks rules; nothing was sent. Only a client that checks before it sends says so (feature
    /// `check`).
    Invalid {
        /// The operation's id.
        operation: &'static str,
        /// Every rule that it breaks, with its place.
        violations: Violations,
    },
    /// The request could not be written; nothing was sent.
    Encode {
        /// The operation's id.
        operation: &'static str,
        /// Why.
        error: EncodeError,
    },
    /// No answer came to the last attempt.
    Transport {
        /// The operation's id.
        operation: &'static str,
        /// Why.
        error: T,
        /// How many attempts were made.
        attempts: u32,
    },
    /// The server refused, or sent us elsewhere: redirects are not followed.
    Refused {
        /// The operation's id.
        operation: &'static str,
        /// What it said.
        refusal: Refusal<B>,
        /// How many attempts were made.
        attempts: u32,
    },
    /// The status means success, but the body is something else. The server has most likely acted on the
    /// request, so it is not sent again.
    Garbled {
        /// The operation's id.
        operation: &'static str,
        /// The status.
        status: StatusCode,
        /// The body as it came.
        body: Bytes,
        /// What is wrong with it.
        why: Box<Violation>,
        /// How many attempts were made.
        attempts: u32,
    },
}

impl<B, T> SendError<B, T> {
    /// The id of the operation that failed, such as `acusight.checkin`.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        match self {
            Self::Invalid { operation, .. }
            | Self::Encode { operation, .. }
            | Self::Transport { operation, .. }
            | Self::Refused { operation, .. }
            | Self::Garbled { operation, .. } => operation,
        }
    }

    /// How many times the request was sent, or tried to be.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        match self {
            Self::Invalid { .. } | Self::Encode { .. } => 0,
            Self::Transport { attempts, .. }
            | Self::Refused { attempts, .. }
            | Self::Garbled { attempts, .. } => *attempts,
        }
    }

    /// The rules that the call breaks, if it was not sent therefore.
    #[must_use]
    pub const fn violations(&self) -> Option<&Violations> {
        match self {
            Self::Invalid { violations, .. } => Some(violations),
            _ => None,
        }
    }

    /// What the server said, if it refused.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal<B>> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    /// What the refusal means.
    #[must_use]
    pub fn kind(&self) -> Option<FaultKind> {
        self.refusal().map(Refusal::kind)
    }

    /// The status of the answer, if there was one.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.status),
            Self::Garbled { status, .. } => Some(*status),
            Self::Invalid { .. } | Self::Encode { .. } | Self::Transport { .. } => None,
        }
    }

    /// When the server wants to be asked again, if it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<RetryAfter> {
        self.refusal()?.retry_after
    }
}

impl<B, T: TransportError> SendError<B, T> {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transport { error, .. } => error.is_retryable(),
            Self::Refused { refusal, .. } => is_retryable(refusal.status),
            Self::Invalid { .. } | Self::Encode { .. } | Self::Garbled { .. } => false,
        }
    }
}

impl<B: Envelope, T: fmt::Display> fmt::Display for SendError<B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation())?;
        match self {
            Self::Invalid { violations, .. } => write!(f, " was not sent: {violations}")?,
            Self::Encode { error, .. } => write!(f, " was not sent: {error}")?,
            Self::Transport { error, .. } => write!(f, " got no answer: {error}")?,
            Self::Refused { refusal, .. } => {
                write!(f, " was refused: {refusal}")?;
                match refusal.retry_after {
                    Some(RetryAfter::Delay(delay)) => write!(f, "; the server asks to wait {delay:?}")?,
                    Some(RetryAfter::At(time)) => write!(f, "; the server asks to wait until {time}")?,
                    None => {}
                }
            }
            Self::Garbled { status, body, why, .. } => {
                let length = body.len();
                write!(f, " was answered with {status} and {length} bytes that are no reply: {why}")?;
            }
        }
        match self.attempts() {
            0 | 1 => Ok(()),
            attempts => write!(f, " (after {attempts} attempts)"),
        }
    }
}

/// Bodies are shown by their length only: a reply may hold a new key.
impl<B: fmt::Debug, T: fmt::Debug> fmt::Debug for SendError<B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { operation, violations } => f
                .debug_struct("Invalid")
                .field("operation", operation)
                .field("violations", violations)
                .finish(),
            Self::Encode { operation, error } => {
                f.debug_struct("Encode").field("operation", operation).field("error", error).finish()
            }
            Self::Transport { operation, error, attempts } => f
                .debug_struct("Transport")
                .field("operation", operation)
                .field("error", error)
                .field("attempts", attempts)
                .finish(),
            Self::Refused { operation, refusal, attempts } => f
                .debug_struct("Refused")
                .field("operation", operation)
                .field("status", &refusal.status)
                .field("envelope", &refusal.envelope)
                .field("retry_after", &refusal.retry_after)
                .field("body_bytes", &refusal.body.len())
                .field("attempts", attempts)
                .finish(),
            Self::Garbled { operation, status, body, why, attempts } => f
                .debug_struct("Garbled")
                .field("operation", operation)
                .field("status", status)
                .field("why", why)
                .field("body_bytes", &body.len())
                .field("attempts", attempts)
                .finish(),
        }
    }
}

impl<B: Envelope, T: TransportError> Error for SendError<B, T> {
    // `Display` has the text of the error itself, so the chain goes on with what lies under it.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Encode { error, .. } => error.source(),
            Self::Transport { error, .. } => error.source(),
            Self::Invalid { .. } | Self::Refused { .. } | Self::Garbled { .. } => None,
        }
    }
}
