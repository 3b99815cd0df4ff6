//! What each keyword asks, in code. A failed test returns the end of the sentence that the rule's statement
//! begins.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fleetwire_protocol::wire::{FreeMap, Number, TextOr, Timestamp};
use fleetwire_protocol::{achilles, acusight, agentmc, zstack};
use serde_json::Value;

use crate::redact;

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
    achilles::TaskId: as_str;
    achilles::TaskStatus: as_str;
    zstack::AgentUuid: as_str;
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

/// An object whose members its type does not name, or what may be one.
pub(crate) trait Open {
    /// How many members.
    fn members(&self) -> usize;
    /// Whether it has more levels than a bound.
    fn is_deeper_than(&self, max: usize) -> bool;
}

impl Open for FreeMap {
    fn members(&self) -> usize {
        self.len()
    }
    fn is_deeper_than(&self, max: usize) -> bool {
        max == 0 || self.values().any(|value| is_deeper(value, max - 1))
    }
}

impl Open for BTreeMap<String, bool> {
    fn members(&self) -> usize {
        self.len()
    }
    fn is_deeper_than(&self, max: usize) -> bool {
        max == 0
    }
}

impl<T: Open> Open for TextOr<T> {
    fn members(&self) -> usize {
        self.as_other().map_or(0, Open::members)
    }
    fn is_deeper_than(&self, max: usize) -> bool {
        self.as_other().is_some_and(|other| other.is_deeper_than(max))
    }
}

/// Goes no further down than the bound, however deep the value is.
fn is_deeper(value: &Value, max: usize) -> bool {
    match value {
        Value::Object(members) => max == 0 || members.values().any(|value| is_deeper(value, max - 1)),
        Value::Array(elements) => max == 0 || elements.iter().any(|value| is_deeper(value, max - 1)),
        _ => false,
    }
}

/// What takes bytes on the wire.
pub(crate) trait Bytes {
    /// How many, with so many for each number in it. Texts count as they are, without escapes, so that a long
    /// one costs no more than a short one.
    fn bytes(&self, number: fn(&serde_json::Number) -> usize) -> usize;
}

impl Bytes for String {
    fn bytes(&self, _: fn(&serde_json::Number) -> usize) -> usize {
        self.len()
    }
}

impl Bytes for FreeMap {
    fn bytes(&self, number: fn(&serde_json::Number) -> usize) -> usize {
        object_bytes(self.iter(), |value| value_bytes(value, number))
    }
}

impl Bytes for BTreeMap<String, bool> {
    fn bytes(&self, _: fn(&serde_json::Number) -> usize) -> usize {
        object_bytes(self.iter(), bool_bytes)
    }
}

impl<T: Bytes> Bytes for TextOr<T> {
    fn bytes(&self, number: fn(&serde_json::Number) -> usize) -> usize {
        self.as_other().map_or(0, |other| other.bytes(number))
    }
}

fn value_bytes(value: &Value, number: fn(&serde_json::Number) -> usize) -> usize {
    match value {
        Value::Null => "null".len(),
        Value::Bool(is) => bool_bytes(is),
        Value::Number(value) => number(value),
        Value::String(text) => quoted(text),
        Value::Array(elements) => {
            within_brackets(elements.len(), elements.iter().map(|element| value_bytes(element, number)))
        }
        Value::Object(members) => object_bytes(members.iter(), |value| value_bytes(value, number)),
    }
}

fn object_bytes<'a, T: 'a>(
    members: impl ExactSizeIterator<Item = (&'a String, &'a T)>,
    value: impl Fn(&T) -> usize,
) -> usize {
    let colon = 1;
    within_brackets(members.len(), members.map(|(name, member)| quoted(name) + colon + value(member)))
}

/// What stands between brackets, with its commas.
fn within_brackets(count: usize, parts: impl Iterator<Item = usize>) -> usize {
    2 + count.saturating_sub(1) + parts.sum::<usize>()
}

const fn quoted(text: &str) -> usize {
    text.len() + 2
}

const fn bool_bytes(is: &bool) -> usize {
    if *is { "true".len() } else { "false".len() }
}

/// No double or 64-bit integer is written longer.
const fn longest_number(_: &serde_json::Number) -> usize {
    32
}

/// What a number takes, counted and not kept.
fn written(number: &serde_json::Number) -> usize {
    use std::fmt::Write;

    struct Count(usize);
    impl Write for Count {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut count = Count(0);
    write!(count, "{number}").map_or_else(|_| longest_number(number), |()| count.0)
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

pub(crate) fn pattern(value: &impl Text, class: Class) -> Option<String> {
    (!class.fills(value.text()?)).then(String::new)
}

pub(crate) fn words(value: &impl Text, words: &str) -> Option<String> {
    let text = value.text()?;
    (!words.split(", ").any(|word| word == text)).then(|| not_text(text))
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

pub(crate) fn max_members(value: &impl Open, max: usize) -> Option<String> {
    let members = value.members();
    (members > max).then(|| format!(", not {members}"))
}

pub(crate) fn max_depth(value: &impl Open, max: usize) -> Option<String> {
    value.is_deeper_than(max).then(String::new)
}

pub(crate) fn max_bytes(value: &impl Bytes, max: usize) -> Option<String> {
    // Most values are far below the bound: what their numbers take need not be known.
    if value.bytes(longest_number) <= max {
        return None;
    }
    let bytes = value.bytes(written);
    (bytes > max).then(|| format!(", not {bytes}"))
}

pub(crate) fn uuid(value: &impl Text) -> Option<String> {
    let text = value.text()?;
    (!is_uuid(text)).then(|| not_text(text))
}

fn is_uuid(text: &str) -> bool {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| {
            if HYPHENS.contains(&index) { byte == b'-' } else { byte.is_ascii_hexdigit() }
        })
}

/// The characters of a pattern `^[…]+$`, the one form that the sources use: a bit for each of ASCII.
#[derive(Clone, Copy)]
pub(crate) struct Class(u128);

impl Class {
    /// Reads a pattern, at compile time: one of another form, or with other characters, does not compile.
    pub(crate) const fn of(pattern: &str) -> Self {
        let pattern = pattern.as_bytes();
        let end = pattern.len() - 3;
        assert!(pattern[0] == b'^' && pattern[1] == b'[', "a pattern begins with ^[");
        assert!(
            pattern[end] == b']' && pattern[end + 1] == b'+' && pattern[end + 2] == b'$',
            "and ends with ]+$"
        );
        let mut members = 0;
        let mut at = 2;
        while at < end {
            let is_range = at + 2 < end && pattern[at + 1] == b'-';
            let last = if is_range { pattern[at + 2] } else { pattern[at] };
            assert!(last.is_ascii(), "a class holds ASCII");
            let mut member = pattern[at];
            while member <= last {
                members |= 1 << member;
                member += 1;
            }
            at += if is_range { 3 } else { 1 };
        }
        Self(members)
    }

    /// Whether a text has at least one character and no other.
    fn fills(self, text: &str) -> bool {
        // Bytes of what is not ASCII are none of the class.
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii() && self.0 >> byte & 1 == 1)
    }
}

fn not_number(size: f64) -> String {
    // Plain digits of 1e300 would fill the answer.
    if size != 0.0 && !(1e-6..1e15).contains(&size.abs()) {
        format!(", not {size:e}")
    } else {
        format!(", not {size}")
    }
}

/// Repeats a text, escaped and without what looks like a key, if it is short.
fn not_text(text: &str) -> String {
    if text.len() <= ECHO { format!(", not {:?}", redact(text)) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_ranges_and_its_single_characters() {
        let class = Class::of("^[A-Za-z0-9._-]+$");
        for good in ["a", "Z", "0", ".", "_", "-", "Az09._-"] {
            assert!(class.fills(good), "{good}");
        }
        for bad in ["", " ", "a b", "ä", "@", "[", "`", "{", "/", ":", "a\n", "+", ","] {
            assert!(!class.fills(bad), "{bad:?}");
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
    fn what_looks_like_a_key_is_not_repeated() {
        assert_eq!(ip(&"cc_0011".to_owned()).as_deref(), Some(", not \"cc_…\""));
        assert_eq!(uuid(&"Bearer 0011".to_owned()).as_deref(), Some(", not \"Bearer …\""));
        assert_eq!(time(&Timestamp::from_text("adk_0011")).as_deref(), Some(", not \"adk_…\""));
    }

    fn map(text: &str) -> FreeMap {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn only_an_objects_own_members_count() {
        assert_eq!(map(r#"{"a":{"b":1,"c":[{"d":2},3]},"e":null}"#).members(), 2);
    }

    #[test]
    fn an_object_is_a_level_and_each_within_is_one_more() {
        for (text, levels) in
            [("{}", 1), (r#"{"a":1}"#, 1), (r#"{"a":[],"b":1}"#, 2), (r#"{"a":[{"b":{}}]}"#, 4)]
        {
            let map = map(text);
            assert!(!map.is_deeper_than(levels) && map.is_deeper_than(levels - 1), "{text}");
        }
    }

    #[test]
    fn bytes_are_those_of_the_json_and_never_more_than_the_quick_guess() {
        for text in [
            "{}",
            r#"{"a":-1.7976931348623157e308,"b":[true,false,null],"c":{"d":18446744073709551615}}"#,
            r#"{"a":[[],{}],"🦞":"€","n":[0,-1,0.1]}"#,
        ] {
            let map = map(text);
            let json = serde_json::to_string(&map).unwrap();
            assert_eq!(map.bytes(written), json.len(), "{text}");
            assert!(map.bytes(longest_number) >= json.len(), "{text}");
        }
    }

    #[test]
    fn what_json_escapes_counts_as_it_is() {
        assert_eq!(map(r#"{"\n":"\u0000\""}"#).bytes(written), "{'n':'0q'}".len());
    }

    #[test]
    fn a_uuid_is_five_groups_of_hexadecimal_digits() {
        for good in ["6f1b2c3d-0000-4abc-8def-0123456789ab", "6F1B2C3D-0000-0000-0000-0123456789AB"] {
            assert_eq!(uuid(&good.to_owned()), None, "{good}");
        }
        for bad in ["", "6f1b2c3d00004abc8def0123456789ab", "6f1b2c3d-0000-4abc-8def-0123456789ag", "task-1"]
        {
            assert!(uuid(&bad.to_owned()).is_some(), "{bad}");
        }
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
