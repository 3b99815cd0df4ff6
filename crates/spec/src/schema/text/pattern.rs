//! Patterns as ECMA-262 defines them.
//!
//! A pattern is rewritten once into the syntax of `regex-syntax`, every character and class spelled out, so that
//! nothing of that crate's own dialect is left to meet. What is regular becomes an automaton; look-around is matched
//! by backtracking and proves nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};

use super::automaton::Program;

/// A longer pattern is not modelled.
const LONGEST: usize = 50_000;
/// Groups nested deeper are not modelled.
const DEEPEST: usize = 60;
/// Each property is a table of several hundred ranges.
const PROPERTIES: usize = 50;
/// What look-around may cost on one text before its answer is left open.
const BACKTRACKS: usize = 100_000;
/// Bytes that the parts of a look-around pattern may take when compiled.
const COMPILED: usize = 1 << 20;

const DIGITS: &str = "0-9";
const WORDS: &str = "0-9A-Z_a-z";
/// White space and line terminators of ECMA-262.
const SPACES: &str =
    r"\x{9}-\x{D}\x{20}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{FEFF}";
const LINE_ENDS: &str = r"\x{A}\x{D}\x{2028}\x{2029}";
const EVERYTHING: &str = r"\x{0}-\x{10FFFF}";

/// A pattern of JSON Schema: a regular expression of ECMA-262 in Unicode mode, searched anywhere in the text.
///
/// Equality, order and hash are those of the text.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: String,
    meaning: Meaning,
}

#[derive(Debug)]
enum Meaning {
    Regular(Program),
    LookAround { matcher: Box<fancy_regex::Regex>, reason: String },
    Opaque { reason: String },
}

impl Pattern {
    /// Reads a pattern. One that no automaton models is read too: see [`Pattern::undecidable`].
    ///
    /// Beyond Unicode mode, what older engines take without a second meaning is taken: a brace that begins no
    /// repetition, a closing bracket alone, and a backslash before any punctuation.
    ///
    /// # Errors
    /// The text is no regular expression in any mode of ECMA-262.
    pub(crate) fn ecma(text: &str) -> Result<Self, PatternError> {
        let meaning = match Reader::read(text, false) {
            Ok(reading) => Self::meaning(text, &reading),
            Err(Stop::Malformed(error)) => return Err(error),
            Err(Stop::Opaque(reason)) => Meaning::Opaque { reason },
        };
        Ok(Self { text: text.to_owned(), meaning })
    }

    fn meaning(text: &str, reading: &Reading) -> Meaning {
        if let Some(what) = reading.look_around {
            let reason = format!("the pattern {} has a {what}", shortened(text));
            // The second reading spells word boundaries as look-around.
            let matcher = Reader::read(text, true).ok().and_then(|reading| {
                fancy_regex::RegexBuilder::new(&reading.regular)
                    .backtrack_limit(BACKTRACKS)
                    .delegate_size_limit(COMPILED)
                    .delegate_dfa_size_limit(COMPILED)
                    .build()
                    .ok()
            });
            return match matcher {
                Some(matcher) => Meaning::LookAround { matcher: Box::new(matcher), reason },
                None => Meaning::Opaque { reason },
            };
        }
        let parsed = regex_syntax::ParserBuilder::new()
            // Our own repetitions and classes nest as well.
            .nest_limit(4 * DEEPEST as u32)
            .build()
            .parse(&reading.regular);
        match parsed.ok().as_ref().map(Program::new) {
            Some(Ok(program)) => Meaning::Regular(program),
            Some(Err(_)) | None => {
                Meaning::Opaque { reason: format!("the pattern {} is too large", shortened(text)) }
            }
        }
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Why no automaton models this pattern, as the end of a sentence ("the pattern (?=a) has a look-ahead").
    pub(crate) fn undecidable(&self) -> Option<&str> {
        match &self.meaning {
            Meaning::Regular(_) => None,
            Meaning::LookAround { reason, .. } | Meaning::Opaque { reason } => Some(reason),
        }
    }

    /// Whether the text has a match; `None` where this cannot be told within bounds.
    pub(crate) fn is_match(&self, text: &str) -> Option<bool> {
        match &self.meaning {
            Meaning::Regular(program) => program.is_match(text),
            Meaning::LookAround { matcher, .. } => matcher.is_match(text).ok(),
            Meaning::Opaque { .. } => None,
        }
    }

    pub(super) fn program(&self) -> Option<&Program> {
        match &self.meaning {
            Meaning::Regular(program) => Some(program),
            Meaning::LookAround { .. } | Meaning::Opaque { .. } => None,
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

/// A text that is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}, at character {at} of the pattern")]
pub(crate) struct PatternError {
    /// What is wrong.
    pub(crate) reason: String,
    /// Which character, counted from 0.
    pub(crate) at: usize,
}

/// A pattern as far as a message needs it.
pub(super) fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Why a pattern is not read to its end.
enum Stop {
    Malformed(PatternError),
    Opaque(String),
}

struct Reading {
    /// The pattern in the syntax of `regex-syntax` and `fancy-regex`.
    regular: String,
    look_around: Option<&'static str>,
}

/// What the next character follows, which decides whether it may be repeated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Atom,
    Look,
}

/// One member of a class.
enum Member {
    /// A code point, which may be a surrogate.
    Point(u32),
    /// The inside of a class.
    Set(String),
}

struct Reader<'a> {
    text: &'a str,
    characters: Vec<char>,
    at: usize,
    out: String,
    /// Word boundaries are spelled as look-around, which is how `fancy-regex` takes them.
    backtracking: bool,
    look_around: Option<&'static str>,
    /// Those that are known, and how often any was named.
    properties: BTreeSet<String>,
    named: usize,
}

impl<'a> Reader<'a> {
    fn read(text: &'a str, backtracking: bool) -> Result<Reading, Stop> {
        if text.len() > LONGEST {
            return Err(Stop::Opaque(format!("the pattern {} is too large", shortened(text))));
        }
        let mut reader = Self {
            text,
            characters: text.chars().collect(),
            at: 0,
            out: String::with_capacity(text.len()),
            backtracking,
            look_around: None,
            properties: BTreeSet::new(),
            named: 0,
        };
        reader.pattern()?;
        Ok(Reading { regular: reader.out, look_around: reader.look_around })
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    fn eat(&mut self, expected: &str) -> bool {
        let mut rest = self.characters.iter().skip(self.at);
        let found = expected.chars().all(|wanted| rest.next() == Some(&wanted));
        if found {
            self.at += expected.chars().count();
        }
        found
    }

    fn malformed<T>(&self, at: usize, reason: &str) -> Result<T, Stop> {
        Err(Stop::Malformed(PatternError { reason: reason.to_owned(), at }))
    }

    fn opaque<T>(&self, reason: &str) -> Result<T, Stop> {
        Err(Stop::Opaque(format!("the pattern {} {reason}", shortened(self.text))))
    }

    fn pattern(&mut self) -> Result<(), Stop> {
        // Whether each open group is a look-around.
        let mut groups: Vec<bool> = Vec::new();
        let mut before = Before::Nothing;
        while let Some(next) = self.bump() {
            let at = self.at - 1;
            before = match next {
                '|' => {
                    self.out.push('|');
                    Before::Nothing
                }
                '(' => {
                    groups.push(self.group()?);
                    if groups.len() > DEEPEST {
                        return self.opaque("nests its groups too deep");
                    }
                    Before::Nothing
                }
                ')' => match groups.pop() {
                    Some(look) => {
                        self.out.push(')');
                        if look { Before::Look } else { Before::Atom }
                    }
                    None => return self.malformed(at, "a parenthesis is closed that was not opened"),
                },
                '*' | '+' | '?' => {
                    self.repeated(before, at)?;
                    self.out.push(next);
                    self.eat("?");
                    Before::Nothing
                }
                '{' => match self.counts()? {
                    Some(counts) => {
                        self.repeated(before, at)?;
                        self.out.push_str(&counts);
                        self.eat("?");
                        Before::Nothing
                    }
                    None => {
                        self.point(u32::from('{'));
                        Before::Atom
                    }
                },
                '^' => {
                    self.out.push_str(r"\A");
                    Before::Nothing
                }
                '$' => {
                    self.out.push_str(r"\z");
                    Before::Nothing
                }
                '.' => self.set(true, LINE_ENDS),
                '[' => self.class(at)?,
                '\\' => self.escape(at)?,
                _ => {
                    self.point(u32::from(next));
                    Before::Atom
                }
            };
        }
        if !groups.is_empty() {
            return self.malformed(self.at, "a parenthesis is not closed");
        }
        Ok(())
    }

    fn repeated(&self, before: Before, at: usize) -> Result<(), Stop> {
        match before {
            Before::Atom => Ok(()),
            Before::Look => self.opaque("repeats a look-around"),
            Before::Nothing => self.malformed(at, "there is nothing to repeat"),
        }
    }

    /// The opening parenthesis is read. Whether the group is a look-around.
    fn group(&mut self) -> Result<bool, Stop> {
        for (opening, what) in [
            ("?=", "look-ahead"),
            ("?!", "negative look-ahead"),
            ("?<=", "look-behind"),
            ("?<!", "negative look-behind"),
        ] {
            if self.eat(opening) {
                self.look_around.get_or_insert(what);
                self.out.push('(');
                self.out.push_str(opening);
                return Ok(true);
            }
        }
        if self.eat("?<") {
            self.group_name()?;
        } else if !self.eat("?:") && self.peek() == Some('?') {
            return self.opaque("has a group that ECMA-262 does not have, or has with modifiers");
        }
        self.out.push_str("(?:");
        Ok(false)
    }

    fn group_name(&mut self) -> Result<(), Stop> {
        let start = self.at;
        while let Some(next) = self.bump() {
            if next == '>' {
                if self.at == start + 1 {
                    break;
                }
                return Ok(());
            }
            if !(next.is_alphanumeric() || matches!(next, '_' | '$' | '\\' | '{' | '}')) {
                break;
            }
        }
        self.malformed(start, "a group has no proper name")
    }

    /// `{n}`, `{n,}` or `{n,m}` after the opening brace; `None`, and nothing read, if it is none of these.
    fn counts(&mut self) -> Result<Option<String>, Stop> {
        let start = self.at;
        let least = self.digits();
        let range = self.eat(",");
        let greatest = if range { self.digits() } else { String::new() };
        if least.is_empty() || !self.eat("}") {
            self.at = start;
            return Ok(None);
        }
        let number = |digits: &str| digits.parse::<u32>().ok();
        let Some(from) = number(&least) else {
            return self.opaque("repeats too often");
        };
        if greatest.is_empty() {
            return Ok(Some(if range { format!("{{{from},}}") } else { format!("{{{from}}}") }));
        }
        let Some(to) = number(&greatest) else {
            return self.opaque("repeats too often");
        };
        if from > to {
            return self.malformed(start, "the numbers of a repetition are out of order");
        }
        Ok(Some(format!("{{{from},{to}}}")))
    }

    fn digits(&mut self) -> String {
        let mut digits = String::new();
        while let Some(next) = self.peek().filter(char::is_ascii_digit) {
            digits.push(next);
            self.at += 1;
        }
        digits
    }

    /// Writes one code point; a surrogate is in no text.
    fn point(&mut self, point: u32) {
        match char::from_u32(point) {
            Some(character) if character.is_alphanumeric() => self.out.push(character),
            Some(_) => {
                // Writing to a `String` cannot fail.
                let _ = write!(self.out, r"\x{{{point:X}}}");
            }
            None => {
                self.set(true, EVERYTHING);
            }
        }
    }

    fn set(&mut self, negated: bool, members: &str) -> Before {
        self.out.push_str(if negated { "[^" } else { "[" });
        self.out.push_str(members);
        self.out.push(']');
        Before::Atom
    }

    /// An escape outside a class; the backslash is read.
    fn escape(&mut self, at: usize) -> Result<Before, Stop> {
        match self.peek() {
            Some(kind @ ('b' | 'B')) => {
                self.at += 1;
                self.word_boundary(kind == 'B');
                Ok(Before::Nothing)
            }
            Some('1'..='9' | 'k') => self.opaque("has a back-reference"),
            _ => {
                match self.escaped(at)? {
                    Member::Point(point) => self.point(point),
                    Member::Set(members) => {
                        self.set(false, &members);
                    }
                }
                Ok(Before::Atom)
            }
        }
    }

    fn word_boundary(&mut self, negated: bool) {
        if !self.backtracking {
            self.out.push_str(if negated { r"(?-u:\B)" } else { r"(?-u:\b)" });
            return;
        }
        let (first, second) = if negated { ("(?=", "(?!") } else { ("(?!", "(?=") };
        let _ = write!(self.out, "(?:(?<=[{WORDS}]){first}[{WORDS}])|(?<![{WORDS}]){second}[{WORDS}]))");
    }

    /// An escape that stands for one code point or a class, as both sides of a class bracket have them.
    fn escaped(&mut self, at: usize) -> Result<Member, Stop> {
        let Some(next) = self.bump() else {
            return self.malformed(at, "a backslash stands at the end");
        };
        let point = match next {
            'd' => return Ok(Member::Set(DIGITS.to_owned())),
            'w' => return Ok(Member::Set(WORDS.to_owned())),
            's' => return Ok(Member::Set(SPACES.to_owned())),
            'D' => return Ok(Member::Set(format!("[^{DIGITS}]"))),
            'W' => return Ok(Member::Set(format!("[^{WORDS}]"))),
            'S' => return Ok(Member::Set(format!("[^{SPACES}]"))),
            'p' | 'P' => return self.property(next).map(Member::Set),
            't' => 0x9,
            'n' => 0xA,
            'v' => 0xB,
            'f' => 0xC,
            'r' => 0xD,
            '0' if !self.peek().is_some_and(|digit| digit.is_ascii_digit()) => 0,
            'c' => match self.bump() {
                Some(letter) if letter.is_ascii_alphabetic() => u32::from(letter) % 32,
                _ => return self.opaque(r"has \c without a letter"),
            },
            'x' => match self.hexadecimal(2) {
                Some(point) => point,
                None => return self.opaque(r"has \x without two hexadecimal digits"),
            },
            'u' => match self.code_point() {
                Some(point) => point,
                None => return self.opaque(r"has \u without a code point"),
            },
            other if !other.is_alphanumeric() => u32::from(other),
            other => return self.opaque(&format!(r"has the escape \{other}, which ECMA-262 does not have")),
        };
        Ok(Member::Point(point))
    }

    fn hexadecimal(&mut self, digits: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..digits {
            value = value * 16 + self.bump()?.to_digit(16)?;
        }
        Some(value)
    }

    /// What follows `\u`: four digits, of which a pair may name one code point, or digits in braces.
    fn code_point(&mut self) -> Option<u32> {
        if self.eat("{") {
            let mut value: u32 = 0;
            let start = self.at;
            while !self.eat("}") {
                value = value.checked_mul(16)?.checked_add(self.bump()?.to_digit(16)?)?;
            }
            return (self.at > start + 1 && value <= 0x10_FFFF).then_some(value);
        }
        let lead = self.hexadecimal(4)?;
        let after = self.at;
        if (0xD800..0xDC00).contains(&lead) && self.eat(r"\u") {
            match self.hexadecimal(4) {
                Some(trail) if (0xDC00..0xE000).contains(&trail) => {
                    return Some(0x1_0000 + ((lead - 0xD800) << 10) + (trail - 0xDC00));
                }
                _ => self.at = after,
            }
        }
        Some(lead)
    }

    /// What follows `\p` or `\P`, as a member of a class.
    fn property(&mut self, kind: char) -> Result<String, Stop> {
        if !self.eat("{") {
            return self.opaque(r"has \p without a property");
        }
        let mut name = String::new();
        loop {
            match self.bump() {
                Some('}') => break,
                Some(next) if next.is_ascii_alphanumeric() || matches!(next, '_' | '=') => name.push(next),
                _ => return self.opaque(r"has \p without a property"),
            }
        }
        let escape = format!(r"\{kind}{{{name}}}");
        self.named += 1;
        if self.named > PROPERTIES {
            return self.opaque("names too many properties");
        }
        if !self.properties.contains(&name) {
            if regex_syntax::parse(&escape).is_err() {
                return self.opaque(&format!("has the property {name}, which is not known"));
            }
            self.properties.insert(name);
        }
        Ok(escape)
    }

    /// A class; the opening bracket is read.
    fn class(&mut self, at: usize) -> Result<Before, Stop> {
        let negated = self.eat("^");
        let mut members = String::new();
        loop {
            if self.eat("]") {
                break;
            }
            let first = self.member(at)?;
            let dash = self.at;
            if !self.eat("-") {
                push(&mut members, &first);
                continue;
            }
            if self.peek() == Some(']') {
                self.at = dash;
                push(&mut members, &first);
                continue;
            }
            let second = self.member(at)?;
            match (&first, &second) {
                (Member::Point(from), Member::Point(to)) if from > to => {
                    return self.malformed(dash, "a range of characters is out of order");
                }
                (Member::Point(from), Member::Point(to)) => push_range(&mut members, *from, *to),
                // Beside a class, a dash is itself.
                _ => {
                    push(&mut members, &first);
                    push(&mut members, &Member::Point(u32::from('-')));
                    push(&mut members, &second);
                }
            }
        }
        if members.is_empty() {
            return Ok(self.set(!negated, EVERYTHING));
        }
        Ok(self.set(negated, &members))
    }

    fn member(&mut self, class: usize) -> Result<Member, Stop> {
        let at = self.at;
        match self.bump() {
            None => self.malformed(class, "a class is not closed"),
            Some('\\') => match self.peek() {
                Some('b') => {
                    self.at += 1;
                    Ok(Member::Point(0x8))
                }
                _ => self.escaped(at),
            },
            Some(other) => Ok(Member::Point(u32::from(other))),
        }
    }
}

fn push(members: &mut String, member: &Member) {
    match member {
        Member::Point(point) => push_range(members, *point, *point),
        Member::Set(set) => members.push_str(set),
    }
}

/// Surrogates are in no text, so a range leaves them out.
fn push_range(members: &mut String, from: u32, to: u32) {
    for (from, to) in [(from, to.min(0xD7FF)), (from.max(0xE000), to)] {
        if from <= to {
            let _ = write!(members, r"\x{{{from:X}}}-\x{{{to:X}}}");
        }
    }
}
