//! One walk over a message that lists every fault of its form.

use std::borrow::Cow;

use fleetwire_protocol::{Place, Violation};

use super::cursor::{Cursor, Start};
use super::shape::{Forms, Node, Rest, Shape};
use super::{ECHO, Found};
use crate::redact::redact_name;
use crate::{Context, Keyword, MAX_REPORTED, Rule, Side, redact};

/// How many lists and objects may stand in each other: what serde_json goes down to.
const DEEPEST: usize = 127;

/// How many faults are counted. A message of nothing else must not cost more than a good one.
const ENOUGH: usize = 10_000;

/// The longest member's name that is repeated to its sender, in bytes.
const NAME: usize = 64;

/// The name that serde_json gives the one member of a number in disguise; no object may have it.
const DISGUISE: &str = "$serde_json::private::Number";

/// What a walk brings.
#[derive(Debug, Default)]
pub(super) struct Walked<'a> {
    /// The first faults, in the order of their places.
    pub(super) faults: Vec<Found>,
    /// How many there are in all; counting ends at ten thousand.
    pub(super) count: usize,
    /// The places whose values are not their sender's in the repaired message.
    pub(super) replaced: Vec<String>,
    /// What to change so that the message has the form of its type.
    edits: Vec<Edit<'a>>,
    /// A text that no reader can read; there is nothing else to say then.
    pub(super) unreadable: Option<Violation>,
}

/// A piece of the message and what to put in its place.
#[derive(Debug)]
struct Edit<'a> {
    start: usize,
    end: usize,
    put: Put<'a>,
}

#[derive(Debug)]
enum Put<'a> {
    Text(&'static str),
    /// The least value of a place.
    Least(usize),
    /// The least members of an object that has others.
    Members {
        node: &'a Node,
        places: Vec<usize>,
        others: bool,
    },
}

impl Walked<'_> {
    /// The message with every fault of its form taken out; `None` if there are more than were listed.
    pub(super) fn repaired(&mut self, text: &str, shape: &Shape) -> Option<String> {
        if self.count > MAX_REPORTED {
            return None;
        }
        self.edits.sort_by_key(|edit| edit.start);
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for edit in &self.edits {
            out.push_str(text.get(at..edit.start)?);
            at = edit.end;
            match &edit.put {
                Put::Text(text) => out.push_str(text),
                Put::Least(node) => shape.least(*node, &mut out),
                Put::Members { node, places, others } => {
                    shape.least_members(node, places, &mut out);
                    if *others {
                        out.push(',');
                    }
                }
            }
        }
        out.push_str(text.get(at..)?);
        Some(out)
    }
}

/// Walks over a text that is JSON.
pub(super) fn walk<'a>(
    text: &'a str,
    shape: &'a Shape,
    rules: &'static [Rule],
    context: &'a Context,
) -> Walked<'a> {
    let mut walk = Walk {
        text,
        shape,
        rules,
        context,
        cursor: Cursor::new(text),
        path: Vec::new(),
        out: Walked::default(),
    };
    match walk.value(shape.root) {
        Ok(()) => {}
        Err(Stop::Enough) => walk.out.count = ENOUGH,
        Err(Stop::Unreadable(violation)) => walk.out.unreadable = Some(violation),
    }
    walk.out
}

/// Why a walk ends early.
enum Stop {
    /// A text has escapes that are no characters.
    Unreadable(Violation),
    /// Nobody wants to know of more faults.
    Enough,
}

#[derive(Debug)]
enum Step<'a> {
    Member(Cow<'a, str>),
    Element(usize),
}

struct Walk<'a> {
    text: &'a str,
    shape: &'a Shape,
    rules: &'static [Rule],
    context: &'a Context,
    cursor: Cursor<'a>,
    path: Vec<Step<'a>>,
    out: Walked<'a>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, at: usize) -> Result<(), Stop> {
        if self.out.count >= ENOUGH {
            return Err(Stop::Enough);
        }
        let node = self.shape.node(at);
        let start = self.cursor.start();
        if !node.forms.take(start) {
            self.wrong_type(at, node, start);
            return Ok(());
        }
        match start {
            Start::Null | Start::Bool => self.cursor.skip(),
            Start::Number => self.number(at, node),
            Start::Text => self.text(at, node)?,
            Start::List => self.list(node)?,
            Start::Object => self.object(node)?,
        }
        Ok(())
    }

    #[cold]
    fn wrong_type(&mut self, at: usize, node: &Node, start: Start) {
        let from = self.cursor.at;
        self.cursor.skip();
        let found = match start {
            Start::Object => "an object".into(),
            Start::List => "an array".into(),
            Start::Text => self.echo_text(self.cursor.since(from)),
            Start::Null | Start::Bool | Start::Number => self.echo(self.cursor.since(from)),
        };
        self.fault(from, "json.type", || format!("must be {}, not {found}", node.expected()));
        self.replace(from, Put::Least(at));
    }

    fn number(&mut self, at: usize, node: &Node) {
        let from = self.cursor.at;
        let number = self.cursor.scalar();
        if let Some(width) = node.width.filter(|_| !node.forms.has(Forms::NUMBER)) {
            if width.reads(number) {
                return;
            }
            match serde_json::from_str::<f64>(number) {
                Err(_) => self.fault(from, "json.value", beyond_double),
                Ok(value) if value.fract() != 0.0 => {
                    let found = self.echo(number);
                    self.fault(from, "json.value", || format!("must be an integer, not {found}"));
                }
                Ok(value) => self.out_of_range(from, number, value, width.bounds()),
            }
            self.replace(from, Put::Least(at));
            return;
        }
        if is_beyond_double(number) {
            self.fault(from, "json.value", beyond_double);
            self.replace(from, Put::Least(at));
        }
    }

    /// An integer that its type cannot hold breaks the rule of its place, if that has one about its size.
    #[cold]
    fn out_of_range(&mut self, from: usize, number: &str, value: f64, (least, greatest): (i128, i128)) {
        let found = self.echo(number);
        let breaks = |keyword| match keyword {
            Keyword::Minimum(min) => value < f64::from(min),
            Keyword::Range { min, max } => !(f64::from(min)..=f64::from(max)).contains(&value),
            _ => false,
        };
        if let Some(rule) = self.rule(&self.path, None, breaks) {
            self.fault(from, rule.id, || format!("{}, not {found}", rule.statement));
            return;
        }
        // What is no plain integer and yet within the bounds is beyond what a double says exactly.
        #[expect(clippy::cast_precision_loss, reason = "plain integers are compared as such")]
        let is_within = number.parse::<i128>().is_err() && (least as f64..=greatest as f64).contains(&value);
        self.fault(from, "json.value", || {
            if is_within {
                format!("must be an integer that is written without a fraction, not {found}")
            } else {
                format!("must be between {least} and {greatest}, not {found}")
            }
        });
    }

    fn text(&mut self, at: usize, node: &Node) -> Result<(), Stop> {
        let from = self.cursor.at;
        let text = self.cursor.scalar();
        let read = self.read(from, text)?;
        if node.digits && !is_digits(&read) {
            let found = self.echo_text(text);
            self.fault(from, "json.type", || format!("must be {}, not {found}", node.expected()));
            self.replace(from, Put::Least(at));
        }
        Ok(())
    }

    fn list(&mut self, node: &'a Node) -> Result<(), Stop> {
        let Some(items) = node.items else { return self.kept() };
        self.cursor.enter();
        let mut index = 0;
        while self.cursor.next() {
            self.path.push(Step::Element(index));
            self.value(items)?;
            self.path.pop();
            index += 1;
        }
        Ok(())
    }

    fn object(&mut self, node: &'a Node) -> Result<(), Stop> {
        let opening = self.cursor.at;
        self.cursor.enter();
        let inside = self.cursor.at;
        let (mut seen, mut count) = (0_u128, 0_usize);
        loop {
            // From the comma on, so that a second coming can be taken out with it.
            let before = self.cursor.at;
            if !self.cursor.next() {
                break;
            }
            count += 1;
            let from = self.cursor.at;
            let written = self.cursor.name();
            let name = self.read(from, written)?;
            if let Some(member) = node.member(&name) {
                let bit = 1_u128 << member.place;
                let is_again = seen & bit != 0;
                seen |= bit;
                let own = member.alias_of.as_deref().filter(|_| is_again);
                self.path.push(Step::Member(own.map_or(name, |own| Cow::Owned(own.to_owned()))));
                if is_again {
                    self.cursor.skip();
                    self.fault(from, "json.duplicate", || "is there twice".to_owned());
                    self.edit(before, self.cursor.at, Put::Text(""));
                    if self.out.count >= ENOUGH {
                        return Err(Stop::Enough);
                    }
                } else {
                    self.value(member.node)?;
                }
                self.path.pop();
                continue;
            }
            if node.rest == Rest::Kept && name == DISGUISE {
                self.fault(opening, "json.type", || "must be an object, not a number".to_owned());
                self.edit(from, from + written.len(), Put::Text("\"\""));
            }
            self.path.push(Step::Member(name));
            match node.rest {
                Rest::Ignored => self.cursor.skip(),
                Rest::Kept => self.kept()?,
                Rest::Each(each) => self.value(each)?,
            }
            self.path.pop();
        }
        self.missing(node, seen, inside, count > 0);
        Ok(())
    }

    fn missing(&mut self, node: &'a Node, seen: u128, inside: usize, others: bool) {
        let closing = self.cursor.at.saturating_sub(1);
        let mut places = Vec::new();
        for &place in &node.required {
            if seen & (1_u128 << place) != 0 {
                continue;
            }
            let Some(member) = node.members.get(place) else { continue };
            let rule = self.rule(&self.path, Some(&member.name), |keyword| keyword == Keyword::Required);
            // What a switched-off rule asks for need not be there.
            if rule.is_some_and(|rule| !self.context.house_rules.keeps(rule)) {
                continue;
            }
            let (id, says) = rule.map_or(("json.required", "is required"), |rule| (rule.id, rule.statement));
            if self.out.count < MAX_REPORTED {
                places.push(place);
                self.path.push(Step::Member(Cow::Owned(member.name.clone())));
                self.fault(closing, id, || says.to_owned());
                self.out.replaced.push(self.pointer());
                self.path.pop();
            } else {
                self.out.count += 1;
            }
        }
        if !places.is_empty() {
            self.edit(inside, inside, Put::Members { node, places, others });
        }
    }

    /// A value that is kept as it is: anything JSON goes, as far as a reader of JSON goes.
    fn kept(&mut self) -> Result<(), Stop> {
        self.cursor.settle();
        let from = self.cursor.at;
        if self.open(self.path.len())? {
            return Ok(());
        }
        self.cursor.at = from;
        self.cursor.skip();
        self.too_deep(from);
        self.out.edits.retain(|edit| edit.start < from);
        self.replace(from, Put::Text("null"));
        Ok(())
    }

    /// What is deeper than any reader goes is deeper than the rule of the open object around it allows.
    #[cold]
    fn too_deep(&mut self, from: usize) {
        let is_depth = |keyword| matches!(keyword, Keyword::MaxDepth(_));
        let around = (0..=self.path.len()).rev().find_map(|length| {
            let rule = self.rule(&self.path[..length], None, is_depth)?;
            self.context.house_rules.keeps(rule).then_some((length, rule))
        });
        let Some((length, rule)) = around else {
            self.fault(from, "json.depth", || format!("must not be nested deeper than {DEEPEST} levels"));
            return;
        };
        let below = self.path.split_off(length);
        let pointer = self.pointer();
        let is_told = |found: &Found| {
            let violation = &found.violation;
            violation.rule == rule.id && matches!(&violation.place, Place::Body(told) if *told == pointer)
        };
        if !self.out.faults.iter().any(is_told) {
            self.fault(from, rule.id, || rule.statement.to_owned());
        }
        self.path.extend(below);
    }

    /// Goes through a value below `level` others; false when it is too deep.
    fn open(&mut self, level: usize) -> Result<bool, Stop> {
        let start = self.cursor.start();
        let from = self.cursor.at;
        match start {
            Start::Null | Start::Bool => self.cursor.skip(),
            Start::Number => {
                let number = self.cursor.scalar();
                if is_beyond_double(number) {
                    self.fault(from, "json.value", beyond_double);
                    self.replace(from, Put::Text("null"));
                }
            }
            Start::Text => {
                let text = self.cursor.scalar();
                self.read(from, text)?;
            }
            Start::List | Start::Object if level >= DEEPEST => return Ok(false),
            Start::List => {
                self.cursor.enter();
                let mut index = 0;
                while self.cursor.next() {
                    self.path.push(Step::Element(index));
                    let is_good = self.open(level + 1)?;
                    self.path.pop();
                    if !is_good {
                        return Ok(false);
                    }
                    index += 1;
                }
            }
            Start::Object => {
                self.cursor.enter();
                while self.cursor.next() {
                    let from = self.cursor.at;
                    let name = self.cursor.name();
                    let name = self.read(from, name)?;
                    self.path.push(Step::Member(name));
                    let is_good = self.open(level + 1)?;
                    self.path.pop();
                    if !is_good {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Reads a text of the message; most are read as they stand.
    fn read(&self, from: usize, text: &'a str) -> Result<Cow<'a, str>, Stop> {
        let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
        if !inner.as_bytes().contains(&b'\\') {
            return Ok(Cow::Borrowed(inner));
        }
        serde_json::from_str(text).map(Cow::Owned).map_err(|error| self.unreadable(from, &error))
    }

    #[cold]
    fn unreadable(&self, from: usize, error: &serde_json::Error) -> Stop {
        let said = error.to_string();
        let what = said.split(" at line ").next().unwrap_or_default();
        let at = from + error.column();
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
        let message = format!("is not JSON: {what} at line {line} column {column}");
        Stop::Unreadable(Violation::body("", "json.syntax", message))
    }

    /// The rule for readers, at a place or at a member of it, that a test finds.
    fn rule(
        &self,
        place: &[Step<'_>],
        member: Option<&str>,
        test: impl Fn(Keyword) -> bool,
    ) -> Option<&'static Rule> {
        let is_here = |rule: &&Rule| {
            let mut segments = rule.pointer.split('/').skip(1);
            let here = place.iter().all(|step| match (step, segments.next()) {
                (Step::Member(name), Some(segment)) => name == segment,
                (Step::Element(_), Some(segment)) => segment == "*",
                (_, None) => false,
            });
            here && rule.pointer.starts_with('/') && segments.next() == member && segments.next().is_none()
        };
        let counts = |rule: &&Rule| rule.sides.cover(Side::Accept) && test(rule.keyword);
        self.rules.iter().filter(counts).find(is_here)
    }

    fn fault(&mut self, at: usize, rule: &'static str, message: impl FnOnce() -> String) {
        self.out.count += 1;
        if self.out.count <= MAX_REPORTED {
            let violation = Violation::body(self.pointer(), rule, message());
            self.out.faults.push(Found { at, violation });
        }
    }

    /// Replaces what was passed since a place, the value at hand.
    fn replace(&mut self, start: usize, put: Put<'a>) {
        if self.out.count <= MAX_REPORTED {
            self.out.replaced.push(self.pointer());
        }
        self.edit(start, self.cursor.at, put);
    }

    fn edit(&mut self, start: usize, end: usize, put: Put<'a>) {
        if self.out.count <= MAX_REPORTED {
            self.out.edits.push(Edit { start, end, put });
        }
    }

    /// The place as a JSON pointer; a name that would fill the answer is cut, and so is what looks like a key.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Element(index) => pointer.push_str(&index.to_string()),
                Step::Member(name) => {
                    let shown = name.char_indices().take_while(|(at, _)| *at < NAME).last();
                    let end = shown.map_or(0, |(at, last)| at + last.len_utf8());
                    let (shown, cut) = name.split_at_checked(end).unwrap_or((name, ""));
                    pointer.push_str(&redact_name(shown).replace('~', "~0").replace('/', "~1"));
                    if !cut.is_empty() {
                        pointer.push('…');
                    }
                }
            }
        }
        pointer
    }

    /// Whether the member at hand carries what nobody else may see.
    fn is_secret(&self) -> bool {
        self.path.iter().any(|step| match step {
            Step::Member(name) => {
                let name = name.to_ascii_lowercase();
                ["token", "secret", "password", "key"].iter().any(|word| name.ends_with(word))
            }
            Step::Element(_) => false,
        })
    }

    /// Repeats a text, with its quotes, if it is short and no secret.
    fn echo_text(&self, text: &str) -> Cow<'static, str> {
        let looks_secret = matches!(redact(text), Cow::Owned(_));
        if self.is_secret() || looks_secret {
            "a string".into()
        } else if text.len() > ECHO {
            "a longer string".into()
        } else {
            text.to_owned().into()
        }
    }

    /// Repeats a number, a boolean or null.
    fn echo(&self, scalar: &str) -> Cow<'static, str> {
        if scalar.len() > ECHO {
            "a longer number".into()
        } else if self.is_secret() && scalar.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        {
            "a number".into()
        } else {
            scalar.to_owned().into()
        }
    }
}

fn beyond_double() -> String {
    "is out of the range of a double".to_owned()
}

/// Whether a number is too large for a double, which no reader takes.
fn is_beyond_double(number: &str) -> bool {
    // Below 300 digits without an exponent none is.
    let is_plain = number.len() < 300 && !number.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    !is_plain && serde_json::from_str::<f64>(number).is_err()
}

/// Whether the codec reads a text as a number.
fn is_digits(text: &str) -> bool {
    let text = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
    fleetwire_protocol::wire::digits::deserialize(text).is_ok()
}
