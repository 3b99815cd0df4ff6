use std::collections::BTreeMap;
use std::fmt;

use http::StatusCode;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{Envelope, Fault};

/// The flat envelope: a map of text to text.
///
/// The source fixes no key. We write `error` with a sentence, and for a request of the wrong form one more
/// member per fault, named by its place. We read any map, also one whose `error` is an object (AC-4).
///
/// Origin: `acusight-agent-heartbeat`, `#/paths/~1core~1agent~1checkin/post/responses/400`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
pub struct ErrorMap(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for ErrorMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;
        impl<'de> Visitor<'de> for MapVisitor {
            type Value = ErrorMap;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an error object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ErrorMap, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    match value {
                        Value::String(text) => {
                            members.insert(key, text);
                        }
                        // The nested family: {"error":{"code","message","details"}}.
                        Value::Object(inner) if key == "error" => {
                            for (key, value) in inner {
                                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                                members.insert(key, text);
                            }
                        }
                        other => {
                            members.insert(key, other.to_string());
                        }
                    }
                }
                Ok(ErrorMap(members))
            }
        }
        deserializer.deserialize_map(MapVisitor)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ErrorMap {
    // The source has no name for it.
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ErrorMap".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        if generator.contract().is_serialize() {
            schemars::json_schema!({ "type": "object", "additionalProperties": { "type": "string" } })
        } else {
            schemars::json_schema!({ "type": "object", "additionalProperties": true })
        }
    }
}

impl Envelope for ErrorMap {
    fn status(fault: &Fault) -> StatusCode {
        match fault {
            Fault::NotYours(_) => StatusCode::NOT_FOUND,
            other => other.usual_status(),
        }
    }

    fn from_fault(fault: &Fault) -> Self {
        let mut members = BTreeMap::new();
        let text = match fault {
            Fault::Invalid(violations) => {
                for violation in violations {
                    let text: &mut String = members.entry(violation.place.dotted().into_owned()).or_default();
                    if !text.is_empty() {
                        text.push_str("; ");
                    }
                    text.push_str(&violation.message);
                }
                format!("invalid request payload: {violations}")
            }
            Fault::NotYours(_) | Fault::Unknown(_) => "device not registered".to_owned(),
            Fault::Unauthenticated => "missing or invalid device key".to_owned(),
            other => other.to_string(),
        };
        members.insert("error".to_owned(), text);
        Self(members)
    }

    fn code(&self) -> Option<&str> {
        self.0.get("code").map(String::as_str)
    }

    fn message(&self) -> Option<&str> {
        let first = || self.0.values().next();
        self.0.get("error").or_else(|| self.0.get("message")).or_else(first).map(String::as_str)
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(ErrorMap);
