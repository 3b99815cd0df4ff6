//! What each keyword asks, in code. A failed test returns the end of the sentence that the rule's statement
//! begins.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fleetwire_protocol::wire::{FreeMap, Number, TextOr, Timestamp};
use fleetwire_protocol::{achilles, acusight, agentmc};
use serde_json::Value;

/// The longest value that is repeated to its sender.
const ECHO: usize = 64;

/// What has a length in characters.
pub(crate) trait Text {
    /// The text; `None` where another form than text was sent.
    fn text(&self) -> Option<&str>;
}

macro_rules! text {
    ($($type:ty: $text:ident;)+) => { $(
        impl Text for $type {
            fn text(&self) -> Option<&str> {
                Some(self.$text())
            }
        }
    )+ };
}

text! {
    String: as_str;
    Timestamp: as_str;
    acusight::DeviceId: as_str;
    agentmc::Fingerprint: as_str;
    achilles::AgentStatus: as_str;
    achilles::Arch: as_str;
    achilles::EnrollmentToken: expose;
    achilles::Os: as_str;
}

impl<T> Text for TextOr<T> {
    fn text(&self) -> Option<&str> {
        self.as_text()
    }
}

/// What has a size as a number.
pub(crate) trait Size {
    fn size(&self) -> f64;
}

impl Size for Number {
    fn size(&self) -> f64 {
        self.get()
    }
}

macro_rules! size {
    ($($type:ty)+) => { $(
        impl Size for $type {
            #[expect(clippy::cast_precision_loss, reason = "no bound is near 2⁵³, where doubles get coarse")]
            fn size(&self) -> f64 {
                *self as f64
            }
        }
    )+ };
}

size! { i64 u64 }

impl Size for u32 {
    fn size(&self) -> f64 {
        f64::from(*self)
    }
}

/// What has members that its type does not name.
pub(crate) trait Members {
    /// How many, those of objects inside it included.
    fn members(&self) -> usize;
}

impl Members for FreeMap {
    fn members(&self) -> usize {
        self.values().map(|value| 1 + nested(value)).sum()
    }
}

impl Members for BTreeMap<String, bool> {
    fn members(&self) -> usize {
        self.len()
    }
}

impl<T: Members> Members for TextOr<T> {
    fn members(&self) -> usize {
        self.as_other().map_or(0, Members::members)
    }
}

fn nested(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(|value| 1 + nested(value)).sum(),
        Value::Array(elements) => elements.iter().map(nested).sum(),
        _ => 0,
    }
}

pub(crate) fn minimum(value: &impl Size, min: i32) -> Option<String> {
    let size = value.size();
    let good = size.is_finite() && size >= f64::from(min);
    (!good).then(|| not_number(size))
}

pub(crate) fn range(value: &impl Size, min: i32, max: i32) -> Option<String> {
    let size = value.size();
    let good = (f64::from(min)..=f64::from(max)).contains(&size);
    (!good).then(|| not_number(size))
}

pub(crate) fn min_length(value: &impl Text, min: usize) -> Option<String> {
    let text = value.text()?;
    // No character has more than four bytes: a long text need not be counted.
    if text.len() >= min.saturating_mul(4) {
        return None;
    }
    let length = text.chars().count();
    (length < min).then(|| if min == 1 { String::new() } else { format!(", not {length}") })
}

pub(crate) fn max_length(value: &impl Text, max: usize) -> Option<String> {
    let text = value.text()?;
    // No character has less than one byte: a short text need not be counted.
    if text.len() <= max {
        return None;
    }
    let length = text.chars().count();
    (length > max).then(|| format!(", not {length}"))
}

pub(crate) fn pattern(value: &impl Text, pattern: &str) -> Option<String> {
    (!matches_class(pattern, value.text()?)).then(String::new)
}

pub(crate) fn ip(value: &impl Text) -> Option<String> {
    let text = value.text()?;
    text.parse::<IpAddr>().is_err().then(|| not_text(text))
}

pub(crate) fn time(value: &Timestamp) -> Option<String> {
    value.parse().is_none().then(|| not_text(value.as_str()))
}

pub(crate) fn items<T>(value: &[T], exactly: usize) -> Option<String> {
    (value.len() != exactly).then(|| format!(", not {}", value.len()))
}

pub(crate) fn max_members(value: &impl Members, max: usize) -> Option<String> {
    let members = value.members();
    (members > max).then(|| format!(", not {members}"))
}

/// Whether a text matches `^[class]+$`, the one form of pattern that the sources use.
fn matches_class(pattern: &str, text: &str) -> bool {
    let class = pattern.strip_prefix("^[").and_then(|rest| rest.strip_suffix("]+$")).unwrap_or_default();
    !text.is_empty() && text.chars().all(|character| in_class(class, character))
}

fn in_class(class: &str, character: char) -> bool {
    let mut rest = class.chars();
    while let Some(first) = rest.next() {
        let mut ahead = rest.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) => {
                rest = ahead;
                last
            }
            _ => first,
        };
        if (first..=last).contains(&character) {
            return true;
        }
    }
    false
}

fn not_number(size: f64) -> String {
    // Plain digits of 1e300 would fill the answer.
    if size != 0.0 && !(1e-6..1e15).contains(&size.abs()) {
        format!(", not {size:e}")
    } else {
        format!(", not {size}")
    }
}

/// Repeats a text, escaped, if it is short.
fn not_text(text: &str) -> String {
    if text.len() <= ECHO { format!(", not {text:?}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_ranges_and_its_single_characters() {
        let pattern = "^[A-Za-z0-9._-]+$";
        for good in ["a", "Z", "0", ".", "_", "-", "Az09._-"] {
            assert!(matches_class(pattern, good), "{good}");
        }
        for bad in ["", " ", "a b", "ä", "@", "[", "`", "{", "/", ":", "a\n", "+", ","] {
            assert!(!matches_class(pattern, bad), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_counted_in_characters_not_bytes() {
        assert_eq!(max_length(&"🦞".repeat(120), 120), None);
        assert_eq!(max_length(&"🦞".repeat(121), 120).as_deref(), Some(", not 121"));
        assert_eq!(min_length(&"🦞".repeat(63), 64).as_deref(), Some(", not 63"));
        assert_eq!(min_length(&"🦞".repeat(64), 64), None);
    }

    #[test]
    fn what_is_no_number_is_out_of_every_range() {
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(range(&Number::new(odd), 0, 100).is_some());
            assert!(minimum(&Number::new(odd), 0).is_some());
        }
        assert_eq!(range(&Number::new(f64::NAN), 0, 1).as_deref(), Some(", not NaN"));
    }

    #[test]
    fn long_values_are_not_repeated() {
        assert_eq!(ip(&"x".repeat(65)).as_deref(), Some(""));
        assert_eq!(ip(&"1.2.3".to_owned()).as_deref(), Some(", not \"1.2.3\""));
        assert_eq!(ip(&"\u{1b}[2J".to_owned()).as_deref(), Some(", not \"\\u{1b}[2J\""));
        assert_eq!(range(&Number::new(1e300), 0, 1).as_deref(), Some(", not 1e300"));
    }

    #[test]
    fn members_of_members_count() {
        let map: FreeMap = serde_json::from_str(r#"{"a":{"b":1,"c":[{"d":2},3]},"e":null}"#).unwrap();
        assert_eq!(map.members(), 5);
    }

    #[test]
    fn an_address_is_ipv4_or_ipv6_and_nothing_beside() {
        for good in ["10.0.2.15", "::1", "2001:db8::8a2e:370:7334", "::ffff:10.0.0.1"] {
            assert_eq!(ip(&good.to_owned()), None, "{good}");
        }
        for bad in ["", "10.0.2", "10.0.2.256", "10.0.02.15", "10.0.2.15:80", "[::1]", "fe80::1%eth0", "h"] {
            assert!(ip(&bad.to_owned()).is_some(), "{bad}");
        }
    }
}
