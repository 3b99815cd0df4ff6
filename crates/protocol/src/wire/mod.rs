//! The field shapes that the four vendors' messages are made of: one spelling for each.
//!
//! | the source says | Rust |
//! |---|---|
//! | required | `T` |
//! | required, may be null | [`OrNull<T>`], `#[serde(default)]` |
//! | optional | `Option<T>`, default, skipped when `None`; null reads as absent |
//! | integer | a Rust integer read by [`int`] |
//! | number | [`Number`] |
//! | number, or digits in a string | [`Number`] read by [`digits`] |
//! | list that may be null | `Vec<T>` read by [`null_as_default`] |
//! | open object | [`FreeMap`] |
//! | text or object, text or bool | [`TextOr<T>`] |
//! | one or several | [`OneOrMany<T>`] |
//! | a word | [`open_enum!`](crate::open_enum) |
//! | time | [`Timestamp`] |
//! | id, digest | a newtype of text ([`text_id!`](crate::text_id)) |
//! | key, token | a newtype that never shows itself ([`secret!`](crate::secret)) |
//! | JSON text inside a string | [`JsonText`] |
//!
//! ```
//! use fleetwire_protocol::wire::{Number, OrNull, Timestamp};
//!
//! // A number leaves as it came, and a time that is none is kept as its text.
//! let number: Number = serde_json::from_str("15").unwrap();
//! assert_eq!(serde_json::to_string(&number).unwrap(), "15");
//! let time: Timestamp = serde_json::from_str(r#""soon""#).unwrap();
//! assert_eq!((time.as_str(), time.parse()), ("soon", None));
//! let nothing: OrNull<u32> = serde_json::from_str("null").unwrap();
//! assert_eq!(serde_json::to_string(&nothing).unwrap(), "null");
//! ```
//!
//! None of them uses an untagged enum: those buffer their input, lose the place of a fault, and misread
//! numbers when a dependent switches serde_json's `arbitrary_precision` on.

mod free_map;
mod json_text;
mod number;
mod or_null;
mod scalar;
mod text;
mod timestamp;
mod union;

pub use free_map::FreeMap;
pub use json_text::JsonText;
pub use number::Number;
pub use or_null::{OrNull, null_as_default};
pub use scalar::{digits, int};
pub use text::Word;
pub use timestamp::Timestamp;
#[cfg(feature = "achilles")]
pub(crate) use timestamp::parse as parse_time;
pub use union::{IntOrText, OneOrMany, TextOr, one_or_many};

#[cfg(feature = "arbitrary")]
pub mod arbitrary;
#[cfg(feature = "schema")]
pub mod schema;
