//! Formats, as the `format` keyword asserts them.
//!
//! What counts is what the `jsonschema` crate takes, since it is the judge of every witness. Where that is a regular
//! language, it is spelled out as a pattern; elsewhere one pattern admits at least, another at most, what it takes.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, OnceLock};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::pattern::Pattern;

/// A format that is asserted: a word of JSON Schema 2020-12.
///
/// Equality, order and hash are those of the word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format(&'static Known);

impl Format {
    /// The format with this word. A word that JSON Schema does not know constrains nothing, and gives `None`.
    pub(crate) fn named(word: &str) -> Option<Self> {
        FORMATS.iter().find(|known| known.word == word).map(Self)
    }

    /// The word.
    pub(crate) fn word(self) -> &'static str {
        self.0.word
    }

    /// Whether a text satisfies the format; `None` where it is not modelled.
    pub(crate) fn accepts(self, text: &str) -> Option<bool> {
        if self.is_exact() {
            return self.widest()?.is_match(text);
        }
        let judge = self.0.judge.get_or_init(|| self.0.compile_judge());
        judge.as_ref().map(|judge| judge.is_valid(&Value::String(text.to_owned())))
    }

    /// Texts that satisfy the format, the best known first.
    pub(super) fn samples(self) -> &'static [&'static str] {
        self.0.samples
    }

    /// Texts that do not, of a format of which no pattern is known.
    pub(super) fn others(self) -> &'static [&'static str] {
        match self.0.shape {
            Shape::Opaque => &["(", "a b", "<>"],
            Shape::Exact(_) | Shape::Between { .. } => &[],
        }
    }

    /// A pattern that matches every text of the format; `None` if nothing is known of them.
    pub(super) fn widest(self) -> Option<Arc<Pattern>> {
        self.0.widest.get_or_init(|| compile(self.0.shape.widest())).clone()
    }

    /// A pattern that matches only texts of the format; `None` if none is known.
    pub(super) fn narrowest(self) -> Option<Arc<Pattern>> {
        if self.is_exact() {
            return self.widest();
        }
        self.0.narrowest.get_or_init(|| compile(self.0.shape.narrowest())).clone()
    }

    /// Whether a pattern matches the texts of the format and no others.
    pub(super) fn is_exact(self) -> bool {
        matches!(self.0.shape, Shape::Exact(_))
    }

    /// Whether every text of this format is one of the other, as far as patterns cannot show it.
    pub(super) fn is_within(self, other: Self) -> bool {
        let wider: &[&str] = match self.word() {
            "uri" => &["uri-reference", "iri", "iri-reference"],
            "uri-reference" | "iri" => &["iri-reference"],
            _ => &[],
        };
        self == other || wider.contains(&other.word())
    }

    /// Bounds on the length of every text of the format, in code points.
    pub(super) fn lengths(self) -> (u64, Option<u64>) {
        self.0.lengths
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.word() == other.word()
    }
}

impl Eq for Format {}

impl Hash for Format {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.word().hash(state);
    }
}

impl PartialOrd for Format {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Format {
    fn cmp(&self, other: &Self) -> Ordering {
        self.word().cmp(other.word())
    }
}

/// The texts of a format, as patterns.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Exact(fn() -> String),
    Between { narrowest: fn() -> String, widest: fn() -> String },
    Opaque,
}

impl Shape {
    fn widest(self) -> Option<String> {
        match self {
            Self::Exact(pattern) | Self::Between { widest: pattern, .. } => Some(pattern()),
            Self::Opaque => None,
        }
    }

    fn narrowest(self) -> Option<String> {
        match self {
            Self::Exact(pattern) | Self::Between { narrowest: pattern, .. } => Some(pattern()),
            Self::Opaque => None,
        }
    }
}

fn compile(pattern: Option<String>) -> Option<Arc<Pattern>> {
    Pattern::ecma(&pattern?).ok().map(Arc::new)
}

#[derive(Debug)]
struct Known {
    word: &'static str,
    shape: Shape,
    lengths: (u64, Option<u64>),
    samples: &'static [&'static str],
    widest: OnceLock<Option<Arc<Pattern>>>,
    narrowest: OnceLock<Option<Arc<Pattern>>>,
    judge: OnceLock<Option<Validator>>,
}

impl Known {
    fn new(
        word: &'static str,
        shape: Shape,
        lengths: (u64, Option<u64>),
        samples: &'static [&'static str],
    ) -> Self {
        let (widest, narrowest, judge) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { word, shape, lengths, samples, widest, narrowest, judge }
    }

    /// `None` for the formats that the crate leaves out here, since they want tables of their own.
    fn compile_judge(&self) -> Option<Validator> {
        if self.word.starts_with("idn-") {
            return None;
        }
        jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&json!({ "format": self.word }))
            .ok()
    }
}

static FORMATS: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let between = |narrowest, widest| Shape::Between { narrowest, widest };
    vec![
        Known::new("date", Shape::Exact(|| format!("^{DATE}$")), (10, Some(10)), &["2020-01-01"]),
        Known::new("time", between(narrow_time, wide_time), (9, None), &["12:00:00Z"]),
        Known::new(
            "date-time",
            between(narrow_date_time, wide_date_time),
            (20, None),
            &["2020-01-01T12:00:00Z", "2016-12-31T23:59:60Z"],
        ),
        Known::new("duration", Shape::Exact(duration), (3, None), &["P1D"]),
        Known::new("uuid", Shape::Exact(uuid), (36, Some(36)), &["00000000-0000-4000-8000-000000000000"]),
        Known::new("ipv4", Shape::Exact(|| format!("^{}$", ipv4())), (7, Some(15)), &["192.0.2.1"]),
        Known::new("ipv6", Shape::Exact(|| format!("^{}$", ipv6())), (2, Some(45)), &["2001:db8::1"]),
        Known::new(
            "hostname",
            between(|| format!("^{}$", narrow_host()), || format!("^{}$", wide_host())),
            (1, Some(253)),
            &["example.com", "xn--nxasmq6b"],
        ),
        Known::new("email", between(narrow_email, wide_email), (3, None), &["a@example.com"]),
        Known::new(
            "uri",
            between(|| uri(true, false), || uri(true, true)),
            (2, None),
            &["https://example.com/"],
        ),
        Known::new(
            "uri-reference",
            between(|| uri(false, false), || uri(false, true)),
            (0, None),
            &["/a", "https://example.com/"],
        ),
        Known::new("uri-template", Shape::Exact(uri_template), (0, None), &["/a/{b}"]),
        Known::new("json-pointer", Shape::Exact(|| format!("^{POINTER}$")), (0, None), &["/a"]),
        Known::new("relative-json-pointer", Shape::Exact(relative_pointer), (1, None), &["0"]),
        Known::new("iri", Shape::Opaque, (2, None), &["https://example.com/", "https://example.com/é"]),
        Known::new("iri-reference", Shape::Opaque, (0, None), &["/a", "/é"]),
        Known::new("regex", Shape::Opaque, (0, None), &["a", "^a$"]),
        Known::new("idn-email", Shape::Opaque, (0, None), &["a@example.com"]),
        Known::new("idn-hostname", Shape::Opaque, (0, None), &["example.com"]),
    ]
});

/// Leap years are those divisible by 4, without the centuries that 400 does not divide.
const DATE: &str = "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])\
    |(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))\
    |(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)";
const HOUR: &str = "(?:[01][0-9]|2[0-3])";
const SIXTY: &str = "[0-5][0-9]";
const FRACTION: &str = "(?:\\.[0-9]+)?";

/// Leap seconds are the last of a day in UTC, whatever the offset: here, only those that are written in UTC.
fn narrow_clock() -> String {
    format!(
        "(?:{HOUR}:{SIXTY}:{SIXTY}{FRACTION}(?:[Zz]|[+-]{HOUR}:{SIXTY})|23:59:60{FRACTION}(?:[Zz]|[+-]00:00))"
    )
}

fn wide_clock() -> String {
    format!(
        "(?:{HOUR}:{SIXTY}:{SIXTY}{FRACTION}(?:[Zz]|[+-]{HOUR}:{SIXTY})\
         |23:59:60{FRACTION}[Zz]|{HOUR}:{SIXTY}:60{FRACTION}[+-]{HOUR}:{SIXTY})"
    )
}

fn narrow_time() -> String {
    format!("^{}$", narrow_clock())
}

fn wide_time() -> String {
    format!("^{}$", wide_clock())
}

fn narrow_date_time() -> String {
    format!("^{DATE}[Tt]{}$", narrow_clock())
}

fn wide_date_time() -> String {
    format!("^{DATE}[Tt]{}$", wide_clock())
}

/// Units in their order, none left out between two others; weeks stand alone.
fn duration() -> String {
    let units = |first: char, second: char, third: char| {
        let third = format!("[0-9]+{third}");
        let second = format!("[0-9]+{second}(?:{third})?");
        format!("(?:[0-9]+{first}(?:{second})?|{second}|{third})")
    };
    let (date, time) = (units('Y', 'M', 'D'), units('H', 'M', 'S'));
    format!("^P(?:[0-9]+W|{date}(?:T{time})?|T{time})$")
}

fn uuid() -> String {
    let hex = "[0-9A-Fa-f]";
    format!("^{hex}{{8}}(?:-{hex}{{4}}){{3}}-{hex}{{12}}$")
}

fn ipv4() -> String {
    let octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    format!("(?:{octet}(?:\\.{octet}){{3}})")
}

/// Eight groups, the last two of which may be an IPv4 address; `::` stands for at least one.
fn ipv6() -> String {
    let (group, ipv4) = ("[0-9A-Fa-f]{1,4}", ipv4());
    let mut forms = vec![format!("(?:{group}:){{7}}{group}"), format!("(?:{group}:){{6}}{ipv4}")];
    for before in 0..=7 {
        let head = match before {
            0 => String::new(),
            _ => format!("{group}(?::{group}){{{}}}", before - 1),
        };
        let mut tails = Vec::new();
        if before <= 6 {
            tails.push(format!("{group}(?::{group}){{0,{}}}", 6 - before));
        }
        if before <= 5 {
            tails.push(format!("(?:{group}:){{0,{}}}{ipv4}", 5 - before));
        }
        forms.push(format!("{head}::(?:{})?", tails.join("|")));
    }
    format!("(?:{})", forms.join("|"))
}

/// Labels of a host; those that begin with `xn--` are texts in another alphabet, which no pattern can check.
fn wide_host() -> String {
    let label = "[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?";
    format!("(?:{label}(?:\\.{label})*)")
}

/// At most four labels of at most 61 characters, without adjacent hyphens.
fn narrow_host() -> String {
    let label = "[0-9A-Za-z](?:-?[0-9A-Za-z]){0,30}";
    format!("(?:{label}(?:\\.{label}){{0,3}})")
}

const ATOM: &str = "[0-9A-Za-z!#$%&'*+/=?^_`{|}~-]";

fn narrow_email() -> String {
    format!("^{ATOM}(?:\\.?{ATOM}){{0,31}}@{}$", narrow_host())
}

/// A local part may be quoted, and a name may stand before an address in angle brackets.
fn wide_email() -> String {
    let local = format!("(?:{ATOM}+(?:\\.{ATOM}+)*|\"(?:[\\t !#-\\[\\]-~]|\\\\[!-~])*\")");
    let domain = format!("(?:{}|\\[[0-9A-Fa-fIiPpVv:.]*\\])", wide_host());
    format!("^(?:{local}@{domain}|[^]* <[^]*@{domain}>[^]*)$")
}

/// RFC 3986; what stands in brackets is an address of some later kind, which only the widest pattern takes.
fn uri(absolute: bool, wide: bool) -> String {
    let common = "[0-9A-Za-z._~!$&'()*+,;=-]";
    let encoded = "%[0-9A-Fa-f]{2}";
    let character = format!("(?:{common}|[:@]|{encoded})");
    let user = format!("(?:(?:{common}|:|{encoded})*@)?");
    let name = format!("(?:{common}|{encoded})*");
    let later = if wide { "[0-9A-Za-z._~!$&'()*+,;=:-]*" } else { "" };
    let bracketed = if wide { later.to_owned() } else { ipv6() };
    let host = format!("(?:{name}|\\[{bracketed}\\])");
    let authority = format!("//{user}{host}(?::[0-9]*)?(?:/{character}*)*");
    let rooted = format!("/(?:{character}+(?:/{character}*)*)?");
    let scheme = "[A-Za-z][0-9A-Za-z+.-]*:";
    let after = format!("(?:{authority}|{rooted}|{character}+(?:/{character}*)*)?");
    let tail = format!("(?:\\?(?:{character}|[/?])*)?(?:#(?:{character}|[/?])*)?");
    if absolute {
        return format!("^{scheme}{after}{tail}$");
    }
    // Without a scheme, the first part of a path has no colon.
    let first = format!("(?:{common}|@|{encoded})+");
    let relative = format!("(?:{authority}|{rooted}|{first}(?:/{character}*)*)?");
    format!("^(?:{scheme}{after}|{relative}){tail}$")
}

fn uri_template() -> String {
    let encoded = "%[0-9A-Fa-f]{2}";
    let literal = format!("(?:[^\\0- \"<>%\\\\^`{{|}}\\x7F]|{encoded})");
    let name = format!("(?:[0-9A-Za-z_]|{encoded})+");
    let variable = format!("{name}(?:\\.{name})*(?::[1-9][0-9]{{0,3}}|\\*)?");
    format!("^(?:{literal}|\\{{[+#./;?&=,!@|]?{variable}(?:,{variable})*\\}})*$")
}

const POINTER: &str = "(?:/(?:[^~/]|~[01])*)*";

fn relative_pointer() -> String {
    format!("^(?:0|[1-9][0-9]*)(?:#|{POINTER})$")
}
