use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// JSON inside a string, such as ZStack's `labels` or Acusight's `label_map`.
///
/// Kept and resent byte for byte, parsed only on demand. An object is read too, as its compact text
/// (ZS-6), since some peers forget to quote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
pub struct JsonText(String);

impl JsonText {
    /// The text as it stands on the wire; nothing says that it is JSON.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the text as JSON.
    ///
    /// # Errors
    /// The text is not JSON, or not a `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

impl From<&Value> for JsonText {
    fn from(value: &Value) -> Self {
        Self(value.to_string())
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = JsonText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON text in a string, or an object")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<JsonText, E> {
                Ok(JsonText(text.to_owned()))
            }
            fn visit_string<E: de::Error>(self, text: String) -> Result<JsonText, E> {
                Ok(JsonText(text))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<JsonText, A::Error> {
                let value = Value::deserialize(de::value::MapAccessDeserializer::new(map))?;
                // `arbitrary_precision` passes a number off as a map.
                if !value.is_object() {
                    return Err(de::Error::invalid_type(de::Unexpected::Other("number"), &self));
                }
                Ok(JsonText::from(&value))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for JsonText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JsonText".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        if generator.contract().is_serialize() {
            schemars::json_schema!({ "type": "string" })
        } else {
            schemars::json_schema!({ "type": ["string", "object"], "additionalProperties": true })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn text_is_resent_byte_for_byte() {
        for text in [r#"{"env" : "prod"}"#, "not JSON", "", "[1,  2]"] {
            let wire = serde_json::to_string(text).unwrap();
            let read: JsonText = serde_json::from_str(&wire).unwrap();
            assert_eq!(read.as_str(), text);
            assert_eq!(serde_json::to_string(&read).unwrap(), wire);
        }
    }

    #[test]
    fn object_is_read_as_its_text() {
        let read: JsonText = serde_json::from_str(r#"{ "env": "prod", "n": 1.5 }"#).unwrap();
        assert_eq!(read.as_str(), r#"{"env":"prod","n":1.5}"#);
        assert_eq!(JsonText::from(&serde_json::json!({ "env": "prod", "n": 1.5 })), read);
    }

    #[test]
    fn what_is_neither_text_nor_object_is_refused() {
        for json in ["5", "-1.5", "1e3", "true", "null", "[]", "[\"a\"]"] {
            assert!(serde_json::from_str::<JsonText>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn text_is_parsed_on_demand_only() {
        let labels: BTreeMap<String, String> = JsonText::new(r#"{"env":"prod"}"#).parse().unwrap();
        assert_eq!(labels["env"], "prod");
        assert!(JsonText::new("not JSON").parse::<Value>().is_err());
    }
}
