use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::de::{self, Deserializer, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scalar::ARBITRARY_PRECISION;

/// An object whose members the source leaves open. Kept whole and in the order of its keys.
///
/// It holds what a stranger sent: its size is bounded by the body limit of its operation and its depth by
/// the JSON parser (128 levels).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct FreeMap(pub BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for FreeMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FreeMapVisitor;
        impl<'de> Visitor<'de> for FreeMapVisitor {
            type Value = FreeMap;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FreeMap, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    // Where a text or an object may stand, `arbitrary_precision` passes a number off as one.
                    if key == ARBITRARY_PRECISION {
                        return Err(de::Error::invalid_type(Unexpected::Other("number"), &self));
                    }
                    members.insert(key, map.next_value()?);
                }
                Ok(FreeMap(members))
            }
        }
        deserializer.deserialize_map(FreeMapVisitor)
    }
}

impl Deref for FreeMap {
    type Target = BTreeMap<String, Value>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for FreeMap {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for FreeMap {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        Self(members.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for FreeMap {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FreeMap".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object", "additionalProperties": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Open {
        name: String,
        #[serde(flatten)]
        extra: FreeMap,
    }

    #[test]
    fn members_are_kept_whole_and_written_in_order() {
        let read: FreeMap = serde_json::from_str(r#"{"b":[1,2.5,null],"a":{"x":"y"}}"#).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"a":{"x":"y"},"b":[1,2.5,null]}"#);
    }

    #[test]
    fn unknown_members_of_an_open_object_survive() {
        let text = r#"{"name":"n","emoji":"🤖","load":0.5,"n":7,"nested":{"deep":[true]}}"#;
        let read: Open = serde_json::from_str(text).unwrap();
        assert_eq!(read.extra.len(), 4);
        assert!(!read.extra.contains_key("name"));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn only_an_object_is_one() {
        for json in ["5", "1.5", "null", "[]", "\"text\"", "true"] {
            assert!(serde_json::from_str::<FreeMap>(json).is_err(), "{json}");
        }
    }
}
