use serde::{Deserialize, Serialize};

use crate::wire::{FreeMap, TextOr};
use crate::{Envelope, Fault};

/// The envelope of a failure. The source shows none: the form is deployed. An object in place of the text is
/// read too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ErrorReply {
    /// False; the status decides.
    #[serde(default)]
    pub success: bool,
    /// What went wrong.
    pub error: TextOr<FreeMap>,
    /// Everything wrong with the form of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Vec<ErrorDetail>>,
}

/// One thing wrong with the form of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ErrorDetail {
    /// Where, in dots.
    pub path: String,
    /// What.
    pub message: String,
}

impl Envelope for ErrorReply {
    fn from_fault(fault: &Fault) -> Self {
        let (error, details) = match fault {
            Fault::Unauthenticated => ("Invalid agent credentials".to_owned(), None),
            Fault::TokenRefused | Fault::TokenExpired => {
                ("Invalid or expired enrollment token".to_owned(), None)
            }
            Fault::Invalid(violations) => {
                let details: Vec<_> = violations
                    .iter()
                    .map(|violation| ErrorDetail {
                        path: violation.place.dotted().into_owned(),
                        message: violation.message.clone(),
                    })
                    .collect();
                // The deployed text names the first three.
                let first: Vec<_> =
                    details.iter().take(3).map(|d| format!("{}: {}", d.path, d.message)).collect();
                let mut text = format!("Validation failed: {}", first.join("; "));
                if violations.more() > 0 {
                    text.push_str(&format!("; {} more are not in the details", violations.more()));
                }
                (text, Some(details))
            }
            Fault::NoRoute => ("Not Found".to_owned(), None),
            other => (other.to_string(), None),
        };
        Self { success: false, error: TextOr::Text(error), details }
    }

    fn code(&self) -> Option<&str> {
        self.error.as_other()?.get("code")?.as_str()
    }

    fn message(&self) -> Option<&str> {
        match &self.error {
            TextOr::Text(text) => Some(text),
            TextOr::Other(error) => {
                error.get("message").or_else(|| error.get("description")).and_then(|text| text.as_str())
            }
        }
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(ErrorReply, ErrorDetail);
