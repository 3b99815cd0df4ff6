use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::wire::{FreeMap, TextOr};
use crate::{Envelope, Fault, Subject};

/// The error envelope: an error code under `error`.
///
/// Origin: the vendor's page of the ReleaseLock operation, the only one that shows a failure; a text in place
/// of the object occurs in other answers (ZS-9) and is read too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ErrorReply {
    /// What went wrong.
    pub error: TextOr<ErrorCode>,
}

/// What went wrong.
///
/// Origin: `code`, `description` and `details` as [`ErrorReply`]; the rest from the vendor's sibling API.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ErrorCode {
    /// Class and number, such as `SYS.1001`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The class in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What happened in this case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// What to do about it. Read, never written by our server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elaboration: Option<String>,
    /// Particulars. Read, never written by our server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<FreeMap>,
    /// The error code behind this one. Read, never written by our server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<FreeMap>,
}

impl Envelope for ErrorReply {
    fn status(fault: &Fault) -> StatusCode {
        match fault {
            // A token of one agent is told so; of another agent it is told what it is told of none.
            Fault::NotYours(Subject::Fleet) => StatusCode::FORBIDDEN,
            Fault::NotYours(_) => StatusCode::NOT_FOUND,
            other => other.usual_status(),
        }
    }

    // The documents show one code, SYS.1001. The others are ours, in the same form, so that a program can
    // tell the classes apart.
    fn from_fault(fault: &Fault) -> Self {
        let (code, description) = match fault {
            Fault::Unauthenticated | Fault::TokenRefused | Fault::TokenExpired => {
                ("SYS.1002", "not authenticated")
            }
            Fault::NotYours(Subject::Fleet) => ("SYS.1003", "operation not allowed with this token"),
            Fault::NotYours(_) | Fault::Unknown(_) => ("SYS.1005", "resource not found"),
            Fault::NoRoute => ("SYS.1006", "no such API"),
            Fault::MethodNotAllowed { .. } => ("SYS.1006", "no such API for this method"),
            Fault::Invalid(_) => ("SYS.1007", "invalid argument"),
            Fault::Transition { .. } | Fault::Taken(_) | Fault::Conflict(_) => {
                ("SYS.1008", "operation not allowed in this state")
            }
            Fault::TooLarge { .. } => ("SYS.1009", "request too large"),
            Fault::TooSlow => ("SYS.1010", "timeout"),
            Fault::Limited { .. } | Fault::Overloaded { .. } => ("SYS.1011", "busy, try again later"),
            Fault::Internal => ("SYS.1000", "internal error"),
        };
        let details = match fault {
            Fault::NotYours(subject) if *subject != Subject::Fleet => Fault::Unknown(*subject).to_string(),
            other => other.to_string(),
        };
        Self {
            error: TextOr::Other(ErrorCode {
                code: Some(code.to_owned()),
                description: Some(description.to_owned()),
                details: Some(details),
                ..ErrorCode::default()
            }),
        }
    }

    fn code(&self) -> Option<&str> {
        self.error.as_other()?.code.as_deref()
    }

    fn message(&self) -> Option<&str> {
        match &self.error {
            TextOr::Text(text) => Some(text),
            TextOr::Other(error) => error.details.as_deref().or(error.description.as_deref()),
        }
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(ErrorReply, ErrorCode);
