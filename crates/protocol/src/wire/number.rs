use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

/// A JSON number that may have a fraction.
///
/// A whole number is written without one: what came as `15` does not leave as `15.0`. Never NaN or
/// infinite on the wire: writing such a value is an error, where plain serde_json would write null.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Number(f64);

impl Number {
    /// Wraps a double.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self(value)
    }

    /// The double.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Deref for Number {
    type Target = f64;
    fn deref(&self) -> &f64 {
        &self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self(value)
    }
}
impl From<f32> for Number {
    fn from(value: f32) -> Self {
        Self(value.into())
    }
}
impl From<i32> for Number {
    fn from(value: i32) -> Self {
        Self(value.into())
    }
}
impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Self(value.into())
    }
}

impl Serialize for Number {
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2⁵³, tested in the same line")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if !self.0.is_finite() {
            return Err(ser::Error::custom("NaN and infinity are not JSON numbers"));
        }
        if self.0.fract() == 0.0 && self.0.abs() < EXACT {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::scalar::number(deserializer).map(Self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Number {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_number_is_written_without_a_fraction() {
        for (read, written) in [
            ("15", "15"),
            ("15.0", "15"),
            ("1.5e1", "15"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("12.5", "12.5"),
            ("-0.25", "-0.25"),
            ("9007199254740991", "9007199254740991"),
        ] {
            let number: Number = serde_json::from_str(read).unwrap();
            assert_eq!(serde_json::to_string(&number).unwrap(), written, "{read}");
        }
    }

    #[test]
    fn number_too_large_to_be_exact_is_still_that_number() {
        let large: Number = serde_json::from_str("1e300").unwrap();
        let text = serde_json::to_string(&large).unwrap();
        assert_eq!(serde_json::from_str::<Number>(&text).unwrap(), large);
    }

    #[test]
    fn what_json_cannot_carry_is_neither_written_nor_read() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(serde_json::to_string(&Number::new(number)).is_err(), "{number}");
        }
        for text in ["1e400", "-1e400", "NaN", "Infinity", "null", "\"15\"", "true", "[15]", "{}"] {
            assert!(serde_json::from_str::<Number>(text).is_err(), "{text}");
        }
    }
}
