//! Numbers as peers really write them.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Unexpected, Visitor};

/// The key under which serde_json hands numbers to `deserialize_any` when some crate in the build has
/// switched `arbitrary_precision` on.
pub(super) const ARBITRARY_PRECISION: &str = "$serde_json::private::Number";

/// A JSON number (or digits in a string) before it is fitted into a Rust type.
enum Scalar {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl Scalar {
    /// Reads number text; exact for integers that fit 64 bits.
    fn parse(text: &str) -> Option<Self> {
        // Rust also takes a leading plus, "inf" and "nan", none of which is a JSON number.
        let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
        if !plain || text.starts_with('+') {
            return None;
        }
        if let Ok(n) = text.parse() {
            return Some(Self::Unsigned(n));
        }
        if let Ok(n) = text.parse() {
            return Some(Self::Signed(n));
        }
        let n: f64 = text.parse().ok()?;
        n.is_finite().then_some(Self::Float(n))
    }
}

/// The longest text that is read as a number.
pub(super) const LONGEST_DIGITS: usize = 200;

/// Whether number text cannot be beyond a double. A schema has to say the same of a text, which it does not
/// compute: 200 characters and two digits of an exponent stay below 10³⁰⁰.
fn is_surely_finite(text: &str) -> bool {
    let exponent = text.split_once(['e', 'E']).map_or("", |(_, exponent)| exponent);
    text.len() <= LONGEST_DIGITS && exponent.trim_start_matches(['+', '-']).len() <= 2
}

struct ScalarVisitor {
    /// Whether digits inside a string count.
    text: bool,
    expecting: &'static str,
}

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Scalar, E> {
        Ok(Scalar::Unsigned(n))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Scalar, E> {
        Ok(Scalar::Signed(n))
    }
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(n))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
        if self.text
            && is_surely_finite(text)
            && let Some(scalar) = Scalar::parse(text)
        {
            return Ok(scalar);
        }
        Err(E::invalid_type(Unexpected::Str(text), &self))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        if map.next_key::<String>()?.as_deref() == Some(ARBITRARY_PRECISION) {
            let text: String = map.next_value()?;
            return Scalar::parse(&text)
                .ok_or_else(|| de::Error::invalid_value(Unexpected::Str(&text), &self));
        }
        Err(de::Error::invalid_type(Unexpected::Map, &self))
    }
}

/// Integers: `640`, `640.0` and `6.4e2` are the same JSON integer; `640` is what we write.
pub mod int {
    use super::{Deserializer, Scalar, ScalarVisitor, Unexpected, de};
    use serde::Deserialize;

    /// Integers that a wire type may hold.
    pub trait Integer: TryFrom<u64> + TryFrom<i64> {
        /// What a fault says was expected.
        const EXPECTING: &'static str;
    }
    macro_rules! integers { ($($t:ident)*) => { $(
        impl Integer for $t { const EXPECTING: &'static str = concat!("an integer (", stringify!($t), ")"); }
    )* } }
    integers! { u8 u16 u32 u64 i32 i64 }

    /// A whole `f64` is exact as an integer only below 2⁵³.
    const EXACT: f64 = 9_007_199_254_740_992.0;

    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2⁵³, tested in the same line")]
    fn fit<T: Integer, E: de::Error>(scalar: &Scalar) -> Result<T, E> {
        let (fitted, seen) = match *scalar {
            Scalar::Unsigned(n) => (T::try_from(n).ok(), Unexpected::Unsigned(n)),
            Scalar::Signed(n) => (T::try_from(n).ok(), Unexpected::Signed(n)),
            Scalar::Float(n) if n.fract() == 0.0 && n.abs() < EXACT => {
                (T::try_from(n as i64).ok(), Unexpected::Float(n))
            }
            Scalar::Float(n) => (None, Unexpected::Float(n)),
        };
        fitted.ok_or_else(|| E::invalid_value(seen, &T::EXPECTING))
    }

    /// Reads an integer.
    ///
    /// # Errors
    /// Not a number, a fraction, or out of the range of `T`.
    pub fn deserialize<'de, D: Deserializer<'de>, T: Integer>(deserializer: D) -> Result<T, D::Error> {
        // The hint keeps serde_json on its fast path, where `arbitrary_precision` changes nothing.
        let scalar = deserializer.deserialize_i64(ScalarVisitor { text: false, expecting: T::EXPECTING })?;
        fit(&scalar)
    }

    struct Wrapped<T>(T);
    impl<'de, T: Integer> Deserialize<'de> for Wrapped<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserialize(deserializer).map(Self)
        }
    }

    /// Reads an integer or null, as [`deserialize`].
    ///
    /// # Errors
    /// As [`deserialize`].
    pub fn option<'de, D: Deserializer<'de>, T: Integer>(deserializer: D) -> Result<Option<T>, D::Error> {
        Ok(Option::<Wrapped<T>>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }

    /// Reads an integer or null into an [`OrNull`](crate::wire::OrNull), as [`deserialize`].
    ///
    /// # Errors
    /// As [`deserialize`].
    pub fn or_null<'de, D: Deserializer<'de>, T: Integer>(
        deserializer: D,
    ) -> Result<crate::wire::OrNull<T>, D::Error> {
        option(deserializer).map(crate::wire::OrNull)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a JSON number without a stated range is a double")]
fn widen(scalar: &Scalar) -> f64 {
    match *scalar {
        Scalar::Unsigned(n) => n as f64,
        Scalar::Signed(n) => n as f64,
        Scalar::Float(n) => n,
    }
}

pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let visitor = ScalarVisitor { text: false, expecting: "a number" };
    deserializer.deserialize_f64(visitor).map(|scalar| widen(&scalar))
}

/// Numbers that some peers write as digits in a string (ZS-1, ZS-2).
pub mod digits {
    use super::{Deserializer, ScalarVisitor, widen};
    use crate::wire::Number;
    use serde::Deserialize;

    /// Reads a number, or digits in a string.
    ///
    /// # Errors
    /// Neither a number nor number text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        let visitor = ScalarVisitor { text: true, expecting: "a number, or digits in a string" };
        deserializer.deserialize_any(visitor).map(|scalar| Number::new(widen(&scalar)))
    }

    struct Wrapped(Number);
    impl<'de> Deserialize<'de> for Wrapped {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserialize(deserializer).map(Self)
        }
    }

    /// Reads a number, digits in a string, or null.
    ///
    /// # Errors
    /// As [`deserialize`].
    pub fn option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Number>, D::Error> {
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::wire::{Number, OrNull};

    #[derive(Debug, PartialEq, Deserialize)]
    struct Ints {
        #[serde(default, deserialize_with = "int::option")]
        small: Option<u8>,
        #[serde(default, deserialize_with = "int::or_null")]
        wide: OrNull<i64>,
        #[serde(default, deserialize_with = "int::option")]
        whole: Option<u64>,
    }

    fn ints(text: &str) -> Result<Ints, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
    fn wide(number: &str) -> Result<Option<i64>, String> {
        ints(&format!("{{\"wide\":{number}}}")).map(|ints| ints.wide.0)
    }
    fn digits(json: &str) -> Option<f64> {
        digits::deserialize(&mut serde_json::Deserializer::from_str(json)).ok().map(Number::get)
    }

    #[test]
    fn integer_is_read_in_each_of_its_spellings() {
        for text in ["640", "640.0", "6.4e2", "64e1", "6400e-1"] {
            assert_eq!(wide(text), Ok(Some(640)), "{text}");
        }
        assert_eq!(wide("1e3"), Ok(Some(1000)));
        assert_eq!(wide("-0"), Ok(Some(0)));
        assert_eq!(wide("-0.0"), Ok(Some(0)));
        assert_eq!(wide("-2.0"), Ok(Some(-2)));
        assert_eq!(wide("null"), Ok(None));
        assert_eq!(ints("{}"), Ok(Ints { small: None, wide: OrNull::NULL, whole: None }));
    }

    #[test]
    fn integer_keeps_all_64_bits() {
        assert_eq!(wide("9223372036854775807"), Ok(Some(i64::MAX)));
        assert_eq!(wide("-9223372036854775808"), Ok(Some(i64::MIN)));
        let whole = |text: &str| ints(&format!("{{\"whole\":{text}}}")).map(|ints| ints.whole);
        assert_eq!(whole("18446744073709551615"), Ok(Some(u64::MAX)));
        // Beyond 2⁵³ a double is no longer exact, so that its integer would be a guess.
        assert_eq!(whole("9007199254740991.0"), Ok(Some(9_007_199_254_740_991)));
        assert!(whole("9007199254740993.0").is_err());
        assert!(whole("18446744073709551616").is_err());
    }

    #[test]
    fn what_is_no_integer_is_refused() {
        for text in ["640.5", "1e-1", "1e400", "-1e400", "9223372036854775808", "\"640\"", "true", "[]", "{}"]
        {
            assert!(wide(text).is_err(), "{text}");
        }
        for text in ["256", "-1", "255.5", "1e3"] {
            assert!(ints(&format!("{{\"small\":{text}}}")).is_err(), "{text}");
        }
        assert_eq!(ints(r#"{"small":255.0}"#).unwrap().small, Some(255));
    }

    #[test]
    fn object_that_looks_like_a_precise_number_is_none_in_disguise() {
        // The spelling that `arbitrary_precision` uses inside serde_json.
        let disguised = format!("{{\"{ARBITRARY_PRECISION}\":\"640\"}}");
        assert!(wide(&disguised).is_err());
    }

    #[test]
    fn digits_in_a_string_are_a_number() {
        for (json, expected) in [
            ("86400", 86400.0),
            ("\"86400\"", 86400.0),
            ("\"12.5\"", 12.5),
            ("12.5", 12.5),
            ("\"-3\"", -3.0),
            ("\"6.4e2\"", 640.0),
            ("\"18446744073709551615\"", 18_446_744_073_709_551_615.0),
        ] {
            assert_eq!(digits(json), Some(expected), "{json}");
        }
    }

    #[test]
    fn text_that_is_no_number_is_refused() {
        for text in [
            "", " ", "inf", "-inf", "infinity", "nan", "NaN", "+5", "+5.5", " 5", "5 ", "5%", "0x10", "1_000",
        ] {
            assert_eq!(digits(&format!("\"{text}\"")), None, "{text:?}");
        }
        for json in ["\"1e400\"", "1e400", "null", "true", "[5]", "{\"a\":5}"] {
            assert_eq!(digits(json), None, "{json}");
        }
    }

    #[test]
    fn digits_that_may_be_beyond_a_double_are_refused_by_their_looks() {
        let nines = |count| format!("\"{}\"", "9".repeat(count));
        assert_eq!(digits("\"1e99\""), Some(1e99));
        assert_eq!(digits("\"1e-99\""), Some(1e-99));
        assert_eq!(digits("\"1e100\""), None);
        assert_eq!(digits("\"0e100\""), None);
        assert!(digits(&nines(LONGEST_DIGITS)).is_some_and(f64::is_finite));
        assert_eq!(digits(&nines(LONGEST_DIGITS + 1)), None);
        assert!(digits(&format!("\"{}e99\"", "9".repeat(LONGEST_DIGITS - 3))).is_some_and(f64::is_finite));
    }

    #[test]
    fn optional_digits_read_null_as_nothing() {
        let read = |json| digits::option(&mut serde_json::Deserializer::from_str(json)).ok();
        assert_eq!(read("null"), Some(None));
        assert_eq!(read("\"5\""), Some(Some(Number::new(5.0))));
        assert_eq!(read("\"five\""), None);
    }
}
