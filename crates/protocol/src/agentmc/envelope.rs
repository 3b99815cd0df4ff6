use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::wire::FreeMap;
use crate::{Envelope, Fault, codec};

/// The error envelope.
///
/// Origin: `agentmc-heartbeat-openapi`, `#/components/schemas/ApiError`. A bare `{code, message}`, which the
/// vendor's client tolerates, is read too.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ApiError {
    /// What went wrong.
    pub error: ApiErrorBody,
}

/// What went wrong.
///
/// Origin: `agentmc-heartbeat-openapi`, `#/components/schemas/ApiError/properties/error`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ApiErrorBody {
    /// Class and kind, such as `validation.failed`.
    pub code: String,
    /// The text for people.
    pub message: String,
    /// Particulars; for a failed validation `fields`, a map from name to texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<FreeMap>,
}

impl<'de> Deserialize<'de> for ApiError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Map::deserialize(deserializer)?;
        let body = match members.remove("error") {
            Some(error) => error,
            None => Value::Object(members),
        };
        ApiErrorBody::deserialize(body).map(|error| Self { error }).map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ApiError {
    fn schema_name() -> Cow<'static, str> {
        "ApiError".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let bare = generator.subschema_for::<ApiErrorBody>();
        let mut schema = schemars::json_schema!({
            "description": "The error envelope.\n\nOrigin: `agentmc-heartbeat-openapi`, `#/components/schemas/ApiError`.",
            "type": "object",
            "properties": { "error": bare },
            "required": ["error"],
        });
        if generator.contract().is_deserialize() {
            let wrapped = serde_json::json!({ "required": ["error"] });
            let bare = serde_json::json!({ "allOf": [bare], "not": { "required": ["error"] } });
            schema.insert("anyOf".to_owned(), serde_json::json!([wrapped, bare]));
            schema.remove("required");
        }
        schema
    }
}

impl Envelope for ApiError {
    fn status(fault: &Fault) -> StatusCode {
        match fault {
            Fault::Invalid(_) | Fault::Transition { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            other => other.usual_status(),
        }
    }

    // The auth codes and validation.failed are the vendor's. It publishes no others: ours follow their form.
    fn from_fault(fault: &Fault) -> Self {
        let code = match fault {
            Fault::Unauthenticated | Fault::TokenRefused | Fault::TokenExpired => "auth.invalid_api_key",
            Fault::NotYours(_) => "auth.insufficient_scope",
            Fault::Invalid(_) | Fault::Transition { .. } => "validation.failed",
            Fault::Unknown(_) => "resource.not_found",
            Fault::NoRoute => "route.not_found",
            Fault::MethodNotAllowed { .. } => "route.method_not_allowed",
            Fault::Taken(_) | Fault::Conflict(_) => "resource.conflict",
            Fault::TooLarge { .. } => "request.too_large",
            Fault::TooSlow => "request.timeout",
            Fault::Limited { .. } => "rate_limit.exceeded",
            Fault::Internal => "server.error",
            Fault::Overloaded { .. } => "server.overloaded",
        };
        let (message, details) = match fault {
            Fault::Invalid(violations) => {
                // By name, also where a build has switched on the `preserve_order` of serde_json.
                let mut fields: BTreeMap<Cow<'_, str>, Vec<Value>> = BTreeMap::new();
                for violation in violations {
                    let name = violation.place.dotted();
                    let text = format!("The {name} field {}.", violation.message);
                    fields.entry(name).or_default().push(text.into());
                }
                let fields: Map<String, Value> =
                    fields.into_iter().map(|(name, texts)| (name.into_owned(), texts.into())).collect();
                let message = match violations.more() {
                    0 => "Validation failed.".to_owned(),
                    more => format!("Validation failed. {more} more faults are not listed."),
                };
                (message, Some(FreeMap::from_iter([("fields", fields)])))
            }
            Fault::Unauthenticated => ("Missing or invalid API key.".to_owned(), None),
            Fault::Limited { retry_after } | Fault::Overloaded { retry_after, .. } => {
                let seconds = codec::whole_seconds(*retry_after).max(1);
                (fault.to_string(), Some(FreeMap::from_iter([("retry_after", seconds)])))
            }
            other => (other.to_string(), None),
        };
        Self { error: ApiErrorBody { code: code.to_owned(), message, details } }
    }

    fn code(&self) -> Option<&str> {
        Some(&self.error.code)
    }

    fn message(&self) -> Option<&str> {
        Some(&self.error.message)
    }

    fn retry_after(&self) -> Option<Duration> {
        self.error.details.as_ref()?.get("retry_after")?.as_u64().map(Duration::from_secs)
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(ApiErrorBody, ApiError);
