use std::fmt;

use http::StatusCode;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::wire::int;
use crate::{Envelope, Fault, codec};

/// The envelope of the routes beside the two source operations. Nothing in it is required.
///
/// Origin: the vendor's page "Device health check-in", response 200.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "{T}Enveloped"))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
#[non_exhaustive]
pub struct Enveloped<T> {
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<T>,
    /// What went wrong; not beside `data`. Read, never written by our server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// Which part of a list it is. Read, never written by our server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
    /// Whether it was done; the status decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
}

impl<T> Enveloped<T> {
    /// A successful answer.
    pub const fn new(data: T) -> Self {
        Self { data: Some(data), error: None, meta: None, success: Some(true) }
    }
}

/// What went wrong, in an envelope. Nothing in it is required.
///
/// Origin: the vendor's page "Device health check-in", response 200, `error`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ErrorBody {
    /// What it is called, such as `DEVICE_EXISTS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Particulars, in a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Which part of a list an answer is. Nothing in it is required.
///
/// Origin: the vendor's page "Device health check-in", response 200, `meta`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct Meta {
    /// How many there are in it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub count: Option<i64>,
    /// How many there can be in it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub limit: Option<i64>,
    /// How many come before it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub offset: Option<i64>,
    /// How many there are in all.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub total: Option<i64>,
}

/// The envelope of failures on the routes beside the two source operations.
///
/// We write a code, a sentence and, for a request of the wrong form, its faults one by one in `details`. We read any
/// map, also one whose `error` is a text or whose members stand outside (AC-4).
///
/// Origin: the vendor's pages "Device health check-in", `error`, and "Provision device", errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ErrorEnvelope {
    /// What went wrong.
    pub error: ErrorBody,
    /// False.
    #[cfg_attr(feature = "arbitrary", proptest(value = "false"))]
    pub success: bool,
}

impl<'de> Deserialize<'de> for ErrorEnvelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;
        impl<'de> Visitor<'de> for MapVisitor {
            type Value = ErrorEnvelope;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an error object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ErrorEnvelope, A::Error> {
                let (mut inner, mut outer) = (ErrorBody::default(), ErrorBody::default());
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    match (key.as_str(), value) {
                        ("error", Value::Object(members)) => {
                            members.iter().for_each(|(key, value)| inner.read(key, value));
                        }
                        ("error", value) => inner.read("message", &value),
                        (key, value) => outer.read(key, &value),
                    }
                }
                let error = ErrorBody {
                    code: inner.code.or(outer.code),
                    details: inner.details.or(outer.details),
                    message: inner.message.or(outer.message),
                };
                Ok(ErrorEnvelope { error, success: false })
            }
        }
        deserializer.deserialize_map(MapVisitor)
    }
}

impl ErrorBody {
    /// Takes a member under its name; what is no text is kept as JSON.
    fn read(&mut self, key: &str, value: &Value) {
        let member = match key {
            "code" => &mut self.code,
            "details" => &mut self.details,
            "message" => &mut self.message,
            _ => return,
        };
        *member = match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ErrorEnvelope {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ErrorEnvelope".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        const DESCRIPTION: &str = "The envelope of failures on the routes beside the two source operations.";
        if generator.contract().is_serialize() {
            let error = generator.subschema_for::<ErrorBody>();
            schemars::json_schema!({
                "description": DESCRIPTION,
                "type": "object",
                "properties": { "error": error, "success": { "type": "boolean" } },
                "required": ["error", "success"],
            })
        } else {
            schemars::json_schema!({ "description": DESCRIPTION, "type": "object", "additionalProperties": true })
        }
    }
}

impl Envelope for ErrorEnvelope {
    fn status(fault: &Fault) -> StatusCode {
        match fault {
            Fault::NotYours(_) => StatusCode::NOT_FOUND,
            other => other.usual_status(),
        }
    }

    // VALIDATION_ERROR, INVALID_TOKEN, TOKEN_EXPIRED and DEVICE_EXISTS are the vendor's. It publishes no others: ours
    // follow their form.
    fn from_fault(fault: &Fault) -> Self {
        let code = match fault {
            Fault::Invalid(_) | Fault::Transition { .. } => "VALIDATION_ERROR",
            Fault::TokenRefused => "INVALID_TOKEN",
            Fault::TokenExpired => "TOKEN_EXPIRED",
            Fault::Taken(_) => "DEVICE_EXISTS",
            Fault::Conflict(_) => "CONFLICT",
            Fault::Unauthenticated => "UNAUTHORIZED",
            Fault::NotYours(_) | Fault::Unknown(_) | Fault::NoRoute => "NOT_FOUND",
            Fault::MethodNotAllowed { .. } => "METHOD_NOT_ALLOWED",
            Fault::TooLarge { .. } => "REQUEST_TOO_LARGE",
            Fault::TooSlow => "REQUEST_TIMEOUT",
            Fault::Limited { .. } => "RATE_LIMITED",
            Fault::Internal => "INTERNAL_ERROR",
            Fault::Overloaded { .. } => "SERVICE_UNAVAILABLE",
        };
        let (message, details) = match fault {
            Fault::Invalid(violations) => {
                ("the request does not have the documented form".to_owned(), Some(violations.to_string()))
            }
            Fault::TokenRefused => ("the provisioning token is not valid".to_owned(), None),
            Fault::TokenExpired => ("the provisioning token has expired".to_owned(), None),
            Fault::Taken(_) => ("the device is registered already".to_owned(), None),
            Fault::Unauthenticated => ("missing or invalid device key".to_owned(), None),
            Fault::NotYours(_) | Fault::Unknown(_) => ("device not registered".to_owned(), None),
            Fault::Limited { retry_after } | Fault::Overloaded { retry_after, .. } => {
                let seconds = codec::whole_seconds(*retry_after).max(1);
                (fault.to_string(), Some(format!("come back in {seconds} s")))
            }
            other => (other.to_string(), None),
        };
        let error = ErrorBody { code: Some(code.to_owned()), details, message: Some(message) };
        Self { error, success: false }
    }

    fn code(&self) -> Option<&str> {
        self.error.code.as_deref()
    }

    fn message(&self) -> Option<&str> {
        self.error.message.as_deref().or(self.error.details.as_deref())
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(ErrorBody, Meta, ErrorEnvelope);

#[cfg(feature = "openapi")]
crate::__to_schema!(@<T> Enveloped<T>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::from_json;

    #[test]
    fn every_shape_of_a_failure_is_read() {
        let read = |text: &str| from_json::<ErrorEnvelope>(text.as_bytes()).unwrap().error;
        let whole = read(r#"{"success":false,"error":{"code":"A","message":"m","details":"d"}}"#);
        assert_eq!(
            (whole.code.as_deref(), whole.message.as_deref(), whole.details.as_deref()),
            (Some("A"), Some("m"), Some("d"))
        );
        assert_eq!(read(r#"{"error":"m"}"#).message.as_deref(), Some("m"));
        assert_eq!(read(r#"{"message":"m","code":7}"#).code.as_deref(), Some("7"));
        assert_eq!(read(r#"{"error":{"message":"in"},"message":"out"}"#).message.as_deref(), Some("in"));
        assert_eq!(read(r#"{"error":null}"#), ErrorBody::default());
        assert_eq!(read("{}"), ErrorBody::default());
    }
}
