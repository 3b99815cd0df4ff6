//! What the exported macros need; not for use.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserializer, Visitor};

/// A word that no source lists.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unlisted(Box<str>);

impl Unlisted {
    #[doc(hidden)]
    #[must_use]
    pub fn new(word: &str) -> Self {
        Self(word.into())
    }
    #[doc(hidden)]
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads a word without owning it first: known words cost no allocation.
#[doc(hidden)]
pub fn word<'de, D: Deserializer<'de>, T: for<'a> From<&'a str>>(deserializer: D) -> Result<T, D::Error> {
    struct WordVisitor<T>(PhantomData<T>);
    impl<T: for<'a> From<&'a str>> Visitor<'_> for WordVisitor<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
            Ok(T::from(word))
        }
    }
    deserializer.deserialize_str(WordVisitor(PhantomData))
}

/// Text of a header, if it is visible ASCII.
#[doc(hidden)]
pub fn header(headers: &http::HeaderMap, name: impl http::header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// A header of a text that arrives as it is: visible ASCII, without the surrounding blanks that HTTP drops.
pub(crate) fn header_value(text: &str) -> Option<http::HeaderValue> {
    let value = http::HeaderValue::from_str(text).ok()?;
    (value.to_str().is_ok() && text.trim() == text).then_some(value)
}
