//! What a type cannot see in a body that is JSON: members that are there twice, and numbers that are not kept as
//! they were written.

use std::fmt::Write;
use std::ops::Range;

use fleetwire_protocol::{Place, Violation};

/// A member that its object has more than once, where reading it is no fault already.
const DUPLICATE: &str = "lint.duplicate";
/// A number whose digits do not fit what it is read as.
const LOSSY: &str = "lint.lossy_number";
/// More levels of nesting than are looked at.
const DEPTH: &str = "lint.depth";

/// The most levels of nesting that are looked at; no more are read where a value is kept.
const MAX_DEPTH: usize = 128;
/// As many significant digits survive a double, whichever they are.
const SAFE_DIGITS: usize = 15;
/// Up to as many members are compared with each other; more are sorted.
const FEW: usize = 16;

/// Looks at one text after another and keeps its buffers.
#[derive(Debug, Default)]
pub(super) struct Lints {
    frames: Vec<Frame>,
    members: Vec<Member>,
    unescaped: Vec<String>,
}

/// An object or list that has begun.
#[derive(Debug)]
struct Frame {
    /// The first of its members, for an object.
    members: Option<usize>,
    /// The position in a list.
    index: usize,
}

#[derive(Debug, Clone)]
struct Member {
    digest: u64,
    /// In the text, or in the list of names that had to be unescaped.
    name: Result<Range<usize>, usize>,
}

impl Lints {
    /// Looks at a text that has been read as JSON, and hands over what it finds in the order of the text.
    pub(super) fn look(&mut self, text: &str, found: &mut dyn FnMut(Violation)) {
        self.frames.clear();
        self.members.clear();
        self.unescaped.clear();
        let bytes = text.as_bytes();
        let (mut at, mut name_is_next) = (0, false);
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'{' | b'[' => {
                    if self.frames.len() == MAX_DEPTH {
                        let message = format!("nests deeper than {MAX_DEPTH} levels and is not looked at");
                        found(Violation { place: self.place(text), rule: DEPTH, message });
                        return;
                    }
                    let members = (byte == b'{').then_some(self.members.len());
                    self.frames.push(Frame { members, index: 0 });
                    name_is_next = byte == b'{';
                    at += 1;
                }
                b'}' | b']' => {
                    self.close(text, found);
                    name_is_next = false;
                    at += 1;
                }
                b',' => {
                    if let Some(frame) = self.frames.last_mut() {
                        frame.index += 1;
                        name_is_next = frame.members.is_some();
                    }
                    at += 1;
                }
                b'"' => {
                    let (end, is_escaped) = end_of_string(bytes, at + 1);
                    if name_is_next {
                        self.name(text, at + 1..end, is_escaped);
                        name_is_next = false;
                    }
                    at = end + 1;
                }
                b'-' | b'0'..=b'9' => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let is_in_number = |b: &u8| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                    let length = rest.iter().position(|b| !is_in_number(b)).unwrap_or(rest.len());
                    self.number(text, at..at + length, found);
                    at += length;
                }
                _ => at += 1,
            }
        }
    }

    fn name(&mut self, text: &str, range: Range<usize>, is_escaped: bool) {
        let unescaped = is_escaped
            .then(|| serde_json::from_str::<String>(text.get(range.start - 1..range.end + 1)?).ok())
            .flatten();
        let member = match unescaped {
            Some(name) => {
                self.unescaped.push(name);
                let name = self.unescaped.len() - 1;
                Member { digest: digest(self.unescaped[name].as_bytes()), name: Err(name) }
            }
            None => Member {
                digest: digest(text.as_bytes().get(range.clone()).unwrap_or_default()),
                name: Ok(range),
            },
        };
        self.members.push(member);
    }

    /// Ends an object or list; an object's members are compared then.
    fn close(&mut self, text: &str, found: &mut dyn FnMut(Violation)) {
        let Some(frame) = self.frames.pop() else { return };
        let Some(first) = frame.members else { return };
        let members = self.members.get(first..).unwrap_or_default();
        let has_repeats = if members.len() <= FEW {
            let same = |(at, one): (usize, &Member)| members[..at].iter().any(|m| m.digest == one.digest);
            members.iter().enumerate().any(same)
        } else {
            let mut digests: Vec<_> = members.iter().map(|member| member.digest).collect();
            digests.sort_unstable();
            digests.windows(2).any(|pair| pair[0] == pair[1])
        };
        if has_repeats {
            self.repeats(text, first, found);
        }
        self.members.truncate(first);
    }

    #[cold]
    fn repeats(&self, text: &str, first: usize, found: &mut dyn FnMut(Violation)) {
        let mut names: Vec<_> =
            self.members.iter().skip(first).map(|member| self.text_of(text, member)).collect();
        names.sort_unstable();
        for group in names.chunk_by(|one, other| one == other).filter(|group| group.len() > 1) {
            let mut pointer = self.pointer(text, first);
            push(&mut pointer, group[0]);
            let message = format!("is there {} times", group.len());
            found(Violation::body(pointer, DUPLICATE, message));
        }
    }

    fn text_of<'a>(&'a self, text: &'a str, member: &Member) -> &'a str {
        match &member.name {
            Ok(range) => text.get(range.clone()),
            Err(index) => self.unescaped.get(*index).map(String::as_str),
        }
        .unwrap_or_default()
    }

    fn number(&self, text: &str, range: Range<usize>, found: &mut dyn FnMut(Violation)) {
        // Short numbers without an exponent are most numbers, and none of them is lossy.
        let literal = text.get(range).unwrap_or_default();
        let has_exponent = literal.bytes().any(|b| matches!(b, b'e' | b'E'));
        if literal.len() <= SAFE_DIGITS && !has_exponent {
            return;
        }
        if let Some(read) = lossy(literal) {
            found(Violation { place: self.place(text), rule: LOSSY, message: format!("is read as {read}") });
        }
    }

    /// Where the value stands that is being looked at.
    fn place(&self, text: &str) -> Place {
        Place::Body(self.pointer(text, self.members.len()))
    }

    /// The pointer made of the current members of all frames, of those before `end`.
    fn pointer(&self, text: &str, end: usize) -> String {
        let mut pointer = String::new();
        for (depth, frame) in self.frames.iter().enumerate() {
            let Some(_) = frame.members else {
                // Writing to a `String` does not fail.
                let _ = write!(pointer, "/{}", frame.index);
                continue;
            };
            // The current member of an object is the last one before its child's first.
            let next = self.frames.iter().skip(depth + 1).find_map(|frame| frame.members);
            let last = next.unwrap_or(end).min(end);
            if let Some(member) = last.checked_sub(1).and_then(|last| self.members.get(last)) {
                push(&mut pointer, self.text_of(text, member));
            }
        }
        pointer
    }
}

fn push(pointer: &mut String, member: &str) {
    pointer.push('/');
    pointer.push_str(&member.replace('~', "~0").replace('/', "~1"));
}

/// Where a string ends that begins at `at`, and whether anything in it is escaped.
fn end_of_string(bytes: &[u8], mut at: usize) -> (usize, bool) {
    let mut is_escaped = false;
    loop {
        match bytes.get(at) {
            Some(b'\\') => {
                is_escaped = true;
                at += 2;
            }
            Some(b'"') | None => return (at.min(bytes.len()), is_escaped),
            Some(_) => at += 1,
        }
    }
}

/// A digest that tells names apart well enough: those that share one are compared in full.
fn digest(name: &[u8]) -> u64 {
    let mut digest = name.len() as u64;
    for chunk in name.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        digest = (digest ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    }
    digest
}

/// As what a number is read, if that is not what was written.
fn lossy(literal: &str) -> Option<String> {
    if literal.parse::<i64>().is_ok() || literal.parse::<u64>().is_ok() {
        return None;
    }
    let read: f64 = literal.parse().ok()?;
    let shown = format!("{read:e}");
    (decimal(literal) != decimal(&shown)).then_some(shown)
}

/// The significant digits of a number and the power of ten of the last one.
fn decimal(literal: &str) -> (String, i64) {
    let (mantissa, exponent) = match literal.split_once(['e', 'E']) {
        // An exponent beyond an i64 belongs to nought or to what is out of every range.
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().unwrap_or_default()),
        None => (literal, 0),
    };
    let mantissa = mantissa.trim_start_matches(['-', '+']);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - kept.len()).unwrap_or(i64::MAX);
    let places = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() {
        return (String::new(), 0);
    }
    (kept.to_owned(), exponent.saturating_sub(places).saturating_add(dropped))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &str) -> Vec<(String, &'static str)> {
        let _: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut all = Vec::new();
        Lints::default().look(text, &mut |violation| {
            let Place::Body(pointer) = violation.place else { panic!("{violation}") };
            all.push((pointer, violation.rule));
        });
        all
    }

    #[test]
    fn members_that_are_there_twice_are_named_with_their_place() {
        for (text, pointers) in [
            (r#"{"a":1,"b":2}"#, &[][..]),
            (r#"{"a":1,"a":2}"#, &["/a"]),
            (r#"{"a":{"x":1},"b":{"x":1}}"#, &[]),
            (r#"{"a":[{"x":1},{"x":1,"y":{"x":2},"x":3}]}"#, &["/a/1/x"]),
            (r#"{"a":{"p":1,"q":[[],{"z":{},"z":[]}]},"a":{}}"#, &["/a/q/1/z", "/a"]),
            (r#"[[{"k":0}],[{"k":1,"k":1,"k":1}]]"#, &["/1/0/k"]),
            (r#"{"a":1,"\u0061":2}"#, &["/a"]),
            (r#"{"a/b":1,"a~":[{"c":1,"c":1}],"a/b":2}"#, &["/a~0/0/c", "/a~1b"]),
            (r#"{"a":"\"b\":{","b":"}","c":"\\","d":",\"a\":"}"#, &[]),
            (r#"{"":1,"":1}"#, &["/"]),
            (r#"{"a":{"b":[1,{"c":2}],"d":{"e":1,"e":2}}}"#, &["/a/d/e"]),
        ] {
            let seen: Vec<_> = look(text).into_iter().map(|(pointer, _)| pointer).collect();
            assert_eq!(seen, pointers, "{text}");
        }
    }

    #[test]
    fn many_members_are_compared_too() {
        let members = |last: usize| {
            let all: Vec<_> = (0..100_000).chain([last]).map(|n| format!("\"member-{n}\":0")).collect();
            format!("{{{}}}", all.join(","))
        };
        assert_eq!(look(&members(100_000)), []);
        assert_eq!(look(&members(77)), [("/member-77".to_owned(), DUPLICATE)]);
    }

    #[test]
    fn number_that_is_not_kept_is_told() {
        for kept in [
            "0",
            "-0",
            "1",
            "9007199254740993",
            "18446744073709551615",
            "-9223372036854775808",
            "0.1",
            "640.0",
            "6.4e2",
            "1e22",
            "0.30000000000000004",
            "5e-324",
            "1.7976931348623157e308",
            "1.50000000000000000000",
            "0e999",
            "100000000000000000000000",
        ] {
            assert_eq!(look(&format!("[{kept}]")), [], "{kept}");
        }
        for lost in [
            "18446744073709551616",
            "-9223372036854775809",
            "0.1234567890123456789",
            "1e-400",
            "3.00000000000000001",
            "123456789012345678901234567890",
        ] {
            assert_eq!(look(&format!("{{\"a\":[0, {lost} ]}}")), [("/a/1".to_owned(), LOSSY)], "{lost}");
        }
        let mut said = String::new();
        Lints::default().look("[3.00000000000000001]", &mut |violation| said = violation.to_string());
        assert_eq!(said, "/0: is read as 3e0");
    }

    #[test]
    fn what_nests_too_deep_is_told_and_left() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(look(&deep(MAX_DEPTH - 1)), []);
        let mut rules = Vec::new();
        Lints::default().look(&deep(1_000_000), &mut |violation| rules.push(violation.rule));
        assert_eq!(rules, [DEPTH]);
    }

    #[test]
    fn text_that_is_no_json_does_no_harm() {
        for text in
            ["", "\"", "\"\\", "{\"a", "}}]],,", "-", "1e", "{\"\\u12\":1,\"\\u12\":2}", "[}{]", "\u{feff}{"]
        {
            Lints::default().look(text, &mut |_| {});
        }
    }
}
