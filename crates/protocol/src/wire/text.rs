//! Words, ids and secrets: text with a type.

/// A word list that the source gives but does not close.
pub trait Word: AsRef<str> + for<'a> From<&'a str> {
    /// The words that a source or a deployed peer is known to use.
    const KNOWN: &'static [&'static str];
}

/// Declares a word list: known words as variants, any other kept and resent as it came.
///
/// The catch-all cannot be matched on from outside, so that a word which becomes known later becomes a
/// variant without breaking a caller.
///
/// ```
/// use fleetwire_protocol::achilles::AgentStatus;
/// assert!(AgentStatus::from("idle").is_known());
/// assert_eq!(AgentStatus::from("draining").as_str(), "draining");
/// ```
#[macro_export]
macro_rules! open_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        $vis enum $name {
            $($(#[$variant_meta])* $variant,)+
            #[doc(hidden)]
            _Unlisted($crate::private::Unlisted),
        }

        impl $name {
            /// The word as it stands on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::_Unlisted(word) => word.as_str(),
                }
            }

            /// Whether the word is one of the documented ones.
            #[must_use]
            pub fn is_known(&self) -> bool {
                !matches!(self, Self::_Unlisted(_))
            }
        }

        impl $crate::wire::Word for $name {
            const KNOWN: &'static [&'static str] = &[$($text),+];
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($text => Self::$variant,)+
                    other => Self::_Unlisted($crate::private::Unlisted::new(other)),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::private::word(deserializer)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "x-known-values": <Self as $crate::wire::Word>::KNOWN,
                })
            }
        }

        #[cfg(feature = "openapi")]
        $crate::__to_schema!($name);

        #[cfg(feature = "arbitrary")]
        impl proptest::arbitrary::Arbitrary for $name {
            type Parameters = ();
            type Strategy = proptest::strategy::BoxedStrategy<Self>;
            fn arbitrary_with((): ()) -> Self::Strategy {
                $crate::wire::arbitrary::word()
            }
        }
    };
}

/// Declares an id: opaque text with a type of its own.
#[macro_export]
macro_rules! text_id {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident;)+) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
        #[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
        $vis struct $name(String);

        #[cfg(feature = "openapi")]
        $crate::__to_schema!($name);

        impl $name {
            /// Wraps a text; every text is an id.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
            /// The text, owned.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+ };
}

/// Declares a secret: text that has no `Display` and whose `Debug` shows its prefix only.
#[macro_export]
macro_rules! secret {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident($prefix:literal);)+) => { $(
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
        #[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
        $vis struct $name(String);

        #[cfg(feature = "openapi")]
        $crate::__to_schema!($name);

        impl $name {
            /// What keys that we mint begin with.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a text; nothing says that it is a good key.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }
            /// The secret itself. Never log it.
            #[must_use]
            pub fn expose(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(", $prefix, "…)"))
            }
        }
    )+ };
}

#[cfg(all(test, feature = "achilles"))]
mod tests {
    use super::Word;
    use crate::achilles::{AgentKey, Os, TaskId};

    #[test]
    fn known_word_becomes_its_variant() {
        assert_eq!(serde_json::from_str::<Os>("\"linux\"").unwrap(), Os::Linux);
        assert_eq!(serde_json::to_string(&Os::Darwin).unwrap(), "\"darwin\"");
        assert_eq!(Os::KNOWN, ["windows", "linux", "darwin"]);
        assert!(Os::from("windows").is_known());
        // An escape hides no known word.
        assert_eq!(serde_json::from_str::<Os>(r#""\u006cinux""#).unwrap(), Os::Linux);
    }

    #[test]
    fn unknown_word_survives_round_trip() {
        for word in ["plan9", "", "LINUX", "linux ", "ü"] {
            let wire = serde_json::to_string(word).unwrap();
            let read: Os = serde_json::from_str(&wire).unwrap();
            assert!(!read.is_known(), "{word:?}");
            assert_eq!((read.as_str(), read.to_string().as_str()), (word, word));
            assert_eq!(serde_json::to_string(&read).unwrap(), wire);
        }
    }

    #[test]
    fn word_is_a_string() {
        for json in ["1", "null", "true", "[\"linux\"]", "{\"linux\":null}"] {
            assert!(serde_json::from_str::<Os>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn id_is_opaque_text() {
        let id: TaskId = serde_json::from_str("\" a/b%\\u0000\"").unwrap();
        assert_eq!(id.as_str(), " a/b%\0");
        assert_eq!(id, TaskId::new(" a/b%\0"));
        assert!(serde_json::from_str::<TaskId>("5").is_err());
    }

    #[test]
    fn secret_travels_whole_and_shows_its_prefix_only() {
        let key: AgentKey = serde_json::from_str("\"ak_topsecret\"").unwrap();
        assert_eq!(key.expose(), "ak_topsecret");
        assert_eq!(serde_json::to_string(&key).unwrap(), "\"ak_topsecret\"");
        assert_eq!(format!("{key:?} {:?}", Some(&key)), "AgentKey(ak_…) Some(AgentKey(ak_…))");
    }
}
