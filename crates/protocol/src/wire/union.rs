//! Members that come in two shapes.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{BoolDeserializer, MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A text, or something else: an object, a boolean.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
pub enum TextOr<T> {
    /// The text form.
    Text(String),
    /// The other form.
    Other(T),
}

impl<T> TextOr<T> {
    /// The text, if that is the form.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other(_) => None,
        }
    }

    /// The other form, if it is that.
    pub fn as_other(&self) -> Option<&T> {
        match self {
            Self::Text(_) => None,
            Self::Other(other) => Some(other),
        }
    }
}

impl<T> From<&str> for TextOr<T> {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Serialize> Serialize for TextOr<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Other(other) => other.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrVisitor<T> {
            type Value = TextOr<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or its other documented form")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOr::Text(text.to_owned()))
            }
            fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(TextOr::Text(text))
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                T::deserialize(BoolDeserializer::new(value)).map(TextOr::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(TextOr::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                T::deserialize(SeqAccessDeserializer::new(seq)).map(TextOr::Other)
            }
        }
        deserializer.deserialize_any(TextOrVisitor(PhantomData))
    }
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for TextOr<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("TextOr{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let other = generator.subschema_for::<T>();
        schemars::json_schema!({ "oneOf": [{ "type": "string" }, other] })
    }
}

/// A value, a list of values, or null for none (PA-3).
///
/// One value is written as itself, none as null, several as a list.
#[derive(Debug, Clone, PartialEq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> From<T> for OneOrMany<T> {
    fn from(one: T) -> Self {
        Self(vec![one])
    }
}

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => serializer.serialize_none(),
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value, a list of them, or null")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(StrDeserializer::new(text)).map(|one| OneOrMany(vec![one]))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(OneOrMany(Vec::new()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| OneOrMany(vec![one]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(OneOrMany)
            }
        }
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }
    // An answer that carries one is named after what it carries.
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany<{}>", T::schema_id()).into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = generator.subschema_for::<T>();
        if generator.contract().is_serialize() {
            return one;
        }
        schemars::json_schema!({ "anyOf": [one, { "type": "array", "items": one }, { "type": "null" }] })
    }
}

/// Reads one value, a list, or null into a list, for a member that is always written as a list.
///
/// # Errors
/// Whatever reading a `T` fails with.
pub fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    OneOrMany::deserialize(deserializer).map(|list| list.0)
}

/// An id that is an integer in the source and a string at some peers (AC-3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
pub enum IntOrText {
    /// The form of the source.
    Int(i64),
    /// The form that other pages show.
    Text(String),
}

impl From<i64> for IntOrText {
    fn from(id: i64) -> Self {
        Self::Int(id)
    }
}

impl fmt::Display for IntOrText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(id) => id.fmt(f),
            Self::Text(id) => id.fmt(f),
        }
    }
}

impl Serialize for IntOrText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(id) => serializer.serialize_i64(*id),
            Self::Text(id) => serializer.serialize_str(id),
        }
    }
}

impl<'de> Deserialize<'de> for IntOrText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl<'de> Visitor<'de> for IdVisitor {
            type Value = IntOrText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer or a string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<IntOrText, E> {
                Ok(IntOrText::Text(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, id: i64) -> Result<IntOrText, E> {
                Ok(IntOrText::Int(id))
            }
            fn visit_u64<E: de::Error>(self, id: u64) -> Result<IntOrText, E> {
                self.visit_f_or(super::scalar::int::deserialize(de::value::U64Deserializer::new(id)))
            }
            fn visit_f64<E: de::Error>(self, id: f64) -> Result<IntOrText, E> {
                self.visit_f_or(super::scalar::int::deserialize(de::value::F64Deserializer::new(id)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<IntOrText, A::Error> {
                // Only serde_json's `arbitrary_precision` spells a number as a map.
                super::scalar::int::deserialize(MapAccessDeserializer::new(map)).map(IntOrText::Int)
            }
        }
        impl IdVisitor {
            fn visit_f_or<E: de::Error>(self, id: Result<i64, E>) -> Result<IntOrText, E> {
                id.map(IntOrText::Int)
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for IntOrText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IntOrText".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["integer", "string"], "format": "int64" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::FreeMap;

    fn survives<T: for<'de> Deserialize<'de> + Serialize>(json: &str) {
        let read: T = serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }

    #[test]
    fn text_or_other_keeps_the_form_it_came_in() {
        survives::<TextOr<FreeMap>>("\"Intel Xeon\"");
        survives::<TextOr<FreeMap>>("\"\"");
        survives::<TextOr<FreeMap>>("{\"model\":\"Intel Xeon\",\"n\":1.5}");
        survives::<TextOr<FreeMap>>("{}");
        survives::<TextOr<bool>>("false");
        survives::<TextOr<bool>>("\"off\"");
        survives::<TextOr<Vec<u8>>>("[1,2]");
    }

    #[test]
    fn number_is_neither_text_nor_object() {
        for json in ["5", "-1", "1.5", "1e3", "null", "true", "[]"] {
            assert!(serde_json::from_str::<TextOr<FreeMap>>(json).is_err(), "{json}");
        }
        for json in ["5", "1.5", "null", "{}"] {
            assert!(serde_json::from_str::<TextOr<bool>>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn one_several_and_none_are_told_apart() {
        let many = |json| serde_json::from_str::<OneOrMany<FreeMap>>(json).unwrap().0.len();
        assert_eq!(many("{\"id\":\"t1\"}"), 1);
        assert_eq!(many("[{\"id\":\"t1\"},{}]"), 2);
        assert_eq!(many("[]"), 0);
        assert_eq!(many("null"), 0);
        assert_eq!(serde_json::from_str::<OneOrMany<String>>("\"a\"").unwrap().0, ["a"]);
    }

    #[test]
    fn one_or_many_is_written_in_its_shortest_form() {
        let written = |list: &[&str]| serde_json::to_string(&OneOrMany(list.to_vec())).unwrap();
        assert_eq!(written(&[]), "null");
        assert_eq!(written(&["a"]), "\"a\"");
        assert_eq!(written(&["a", "b"]), "[\"a\",\"b\"]");
    }

    #[test]
    fn id_is_an_integer_or_a_text() {
        survives::<IntOrText>("17");
        survives::<IntOrText>("-9223372036854775808");
        survives::<IntOrText>("\"act_123456\"");
        survives::<IntOrText>("\"17\"");
        assert_eq!(serde_json::from_str::<IntOrText>("17.0").unwrap(), IntOrText::Int(17));
        for json in ["17.5", "9223372036854775808", "1e400", "null", "true", "{}", "{\"a\":1}", "[17]"] {
            assert!(serde_json::from_str::<IntOrText>(json).is_err(), "{json}");
        }
    }
}
