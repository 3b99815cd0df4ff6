use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize};

/// A member that must be there and may be null.
///
/// Always written; a peer that leaves the member out is read as if it had sent null, provided the field
/// carries `#[serde(default)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
pub struct OrNull<T>(pub Option<T>);

impl<T> OrNull<T> {
    /// Null.
    pub const NULL: Self = Self(None);
}

impl<T> Default for OrNull<T> {
    fn default() -> Self {
        Self::NULL
    }
}

impl<T> From<Option<T>> for OrNull<T> {
    fn from(value: Option<T>) -> Self {
        Self(value)
    }
}

impl<T> Deref for OrNull<T> {
    type Target = Option<T>;
    fn deref(&self) -> &Option<T> {
        &self.0
    }
}

impl<T> DerefMut for OrNull<T> {
    fn deref_mut(&mut self) -> &mut Option<T> {
        &mut self.0
    }
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for OrNull<T> {
    fn inline_schema() -> bool {
        true
    }
    // An answer that carries one is named after what it carries.
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        format!("OrNull<{}>", T::schema_id()).into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Option::<T>::json_schema(generator)
    }
}

/// Reads null as the type's default, for lists and maps that a Go or PHP peer sends as null when empty.
///
/// # Errors
/// Whatever reading a `T` fails with.
pub fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
    struct Members {
        #[serde(default)]
        task: OrNull<String>,
        #[serde(default, deserialize_with = "null_as_default")]
        list: Vec<u8>,
    }

    #[test]
    fn absent_and_null_are_one_and_null_is_written() {
        for text in ["{}", r#"{"task":null}"#, r#"{"list":null}"#, r#"{"task":null,"list":[]}"#] {
            let read: Members = serde_json::from_str(text).unwrap();
            assert_eq!(read, Members::default(), "{text}");
        }
        assert_eq!(serde_json::to_string(&Members::default()).unwrap(), r#"{"task":null,"list":[]}"#);
    }

    #[test]
    fn value_survives() {
        let text = r#"{"task":"t1","list":[1,2]}"#;
        let read: Members = serde_json::from_str(text).unwrap();
        assert_eq!((read.task.as_deref(), read.list.as_slice()), (Some("t1"), &[1, 2][..]));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
