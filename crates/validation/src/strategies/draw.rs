//! Values of a shape that keep the rules of their place.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta, Utc};
use fleetwire_protocol::wire::arbitrary::json;
use proptest::arbitrary::any;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::sample::select;
use proptest::strategy::{BoxedStrategy, Just, Strategy, Union};
use serde_json::{Map, Value};

use super::shape::{Kind, Member, Open, Shape};
use crate::{Context, Keyword, Rule};

/// The most that a double holds exactly.
const EXACT: i128 = 1 << 53;

/// A member with its name.
type Named = (String, Value);

/// What a drawn message is to be like.
#[derive(Clone)]
pub(super) struct Plan<'a> {
    /// The rules that it keeps.
    pub(super) rules: &'a [&'static Rule],
    pub(super) context: &'a Context,
    /// Whether it may use what is read and never written: other names, other spellings, members that nobody
    /// knows.
    pub(super) tolerant: bool,
    /// Places that it must have, whatever else is optional, and what must be there.
    pub(super) wanted: Vec<(String, Want)>,
}

/// What must stand at a wanted place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Anything,
    List,
    Object,
    /// What a rule asks something of.
    Asked(Keyword),
}

impl Want {
    fn fits(self, kind: &Kind) -> bool {
        match self {
            Self::Anything => !matches!(kind, Kind::Null),
            Self::List => matches!(kind, Kind::List(_)),
            Self::Object => matches!(kind, Kind::Object(..)),
            Self::Asked(keyword) => {
                let name = match kind {
                    Kind::Null => "null",
                    Kind::Boolean => "boolean",
                    // The number is asked, whether or not it comes in a text.
                    Kind::Integer { .. } | Kind::Number | Kind::Digits => "number",
                    Kind::Text(_) => "string",
                    Kind::List(_) => "array",
                    Kind::Object(..) => "object",
                    Kind::Any => return true,
                };
                keyword.types().contains(&name)
            }
        }
    }
}

impl Plan<'_> {
    fn rules_at<'a>(&'a self, place: &'a str) -> impl Iterator<Item = Keyword> + 'a {
        self.rules.iter().filter(move |rule| rule.pointer == place).map(|rule| rule.keyword)
    }

    /// What must stand at a place that is wanted, or leads to one that is.
    fn want(&self, place: &str) -> Option<Want> {
        self.wanted.iter().find_map(|(wanted, want)| {
            let rest = wanted.strip_prefix(place)?;
            match rest.as_bytes() {
                [] => Some(*want),
                [b'/', b'*', ..] => Some(Want::List),
                [b'/', ..] => Some(Want::Object),
                _ => None,
            }
        })
    }

    pub(super) fn value(&self, shape: &Shape, place: &str) -> BoxedStrategy<Value> {
        let want = self.want(place);
        let fitting: Vec<_> =
            shape.kinds.iter().filter(|kind| want.is_none_or(|want| want.fits(kind))).collect();
        let kinds = if fitting.is_empty() { shape.kinds.iter().collect() } else { fitting };
        let strategies: Vec<_> = kinds.into_iter().map(|kind| self.of_kind(kind, place)).collect();
        match <[BoxedStrategy<Value>; 1]>::try_from(strategies) {
            Ok([only]) => only,
            Err(several) if several.is_empty() => Just(Value::Null).boxed(),
            Err(several) => Union::new(several).boxed(),
        }
    }

    fn of_kind(&self, kind: &Kind, place: &str) -> BoxedStrategy<Value> {
        let limits = Limits::of(self.rules_at(place));
        match kind {
            Kind::Null => Just(Value::Null).boxed(),
            Kind::Boolean => any::<bool>().prop_map(Value::from).boxed(),
            Kind::Integer { least, greatest } => self.spelled(integer(
                limits.min.map_or(*least, |min| min.max(*least)),
                limits.max.map_or(*greatest, |max| max.min(*greatest)),
            )),
            Kind::Number => self.spelled(number(&limits)),
            Kind::Digits => number(&limits).prop_map(|number| Value::from(number.to_string())).boxed(),
            Kind::Text(known) => limits.text(known, self).prop_map(Value::from).boxed(),
            Kind::List(element) => {
                let element = self.value(element, &format!("{place}/*"));
                let least = usize::from(self.want(place).is_some());
                match limits.items {
                    Some(exactly) => vec(element, exactly).prop_map(Value::from).boxed(),
                    None => vec(element, least..4).prop_map(Value::from).boxed(),
                }
            }
            Kind::Object(members, open) => self.object(members, open, place),
            Kind::Any => json(),
        }
    }

    /// A number, as a reader may meet it: whole ones with a fraction too.
    fn spelled(&self, number: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
        if !self.tolerant {
            return number;
        }
        let spell = |(number, fraction): (Value, bool)| match number.as_i64() {
            Some(whole) if fraction && i128::from(whole).abs() < EXACT => double(whole),
            _ => number,
        };
        (number, any::<bool>()).prop_map(spell).boxed()
    }

    fn object(&self, members: &[Member], open: &Open, place: &str) -> BoxedStrategy<Value> {
        let named: Vec<_> = members.iter().filter_map(|member| self.member(member, place)).collect();
        let others = match open {
            Open::Anything => others(json(), 3),
            Open::Only(shape) => others(self.value(shape, &format!("{place}/?")), 3),
            Open::Silent if self.tolerant => others(json(), 2),
            Open::Silent => Just(BTreeMap::new()).boxed(),
        };
        let put = |(named, others): (Vec<Option<Named>>, BTreeMap<String, Value>)| {
            others.into_iter().chain(named.into_iter().flatten()).collect::<Map<_, _>>().into()
        };
        (named, others).prop_map(put).boxed()
    }

    fn member(&self, member: &Member, place: &str) -> Option<BoxedStrategy<Option<Named>>> {
        let place = format!("{place}/{}", member.name);
        let must_not_be = self.rules_at(&place).any(|keyword| keyword == Keyword::Absent);
        if must_not_be {
            return None;
        }
        let must_be = self
            .rules_at(&place)
            .any(|keyword| matches!(keyword, Keyword::Required | Keyword::RequiredUnless(_)));
        let is_wanted = self.want(&place).is_some();
        let value = self.value(&member.shape, &place);
        // Null reads as absent.
        let value = if must_be && !is_wanted {
            value.prop_filter("null is nothing", |value| !value.is_null()).boxed()
        } else {
            value
        };
        let mut names = vec![member.name.clone()];
        // A wanted place is known by its own name.
        if self.tolerant && self.wanted.is_empty() {
            names.extend(member.aliases.iter().cloned());
        }
        let named = (select(names), value);
        Some(if member.required || must_be || is_wanted {
            named.prop_map(Some).boxed()
        } else {
            option::of(named).boxed()
        })
    }
}

/// Members that no type names: the prefix keeps them apart from those that one does.
fn others(value: BoxedStrategy<Value>, most: usize) -> BoxedStrategy<BTreeMap<String, Value>> {
    btree_map(word("abcdefgh", 1..5).prop_map(|word| format!("x_{word}")), value, 0..most).boxed()
}

fn word(letters: &str, length: impl Into<proptest::collection::SizeRange>) -> BoxedStrategy<String> {
    let letters: Vec<char> = letters.chars().collect();
    vec(select(letters), length).prop_map(String::from_iter).boxed()
}

/// The value of a parameter: what a path and a header can carry, in the bounds of its rules.
pub(super) fn parameter(plan: &Plan<'_>, place: &str) -> BoxedStrategy<String> {
    const CARRIED: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    let limits = Limits::of(plan.rules_at(place));
    if limits.class.is_some() { limits.text(&[], plan) } else { word(CARRIED, 1..37) }
}

/// The bounds that the rules of a place set together.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) min: Option<i128>,
    pub(super) max: Option<i128>,
    pub(super) shortest: usize,
    pub(super) longest: Option<usize>,
    pub(super) class: Option<&'static str>,
    pub(super) words: Option<&'static str>,
    pub(super) items: Option<usize>,
    pub(super) ip: bool,
    pub(super) uuid: bool,
    pub(super) time: bool,
    pub(super) window: bool,
}

impl Limits {
    pub(super) fn of(keywords: impl Iterator<Item = Keyword>) -> Self {
        let mut limits = Self::default();
        for keyword in keywords {
            match keyword {
                Keyword::Minimum(min) => limits.min = limits.min.max(Some(min.into())),
                Keyword::Range { min, max } => {
                    limits.min = limits.min.max(Some(min.into()));
                    limits.max = Some(limits.max.map_or(max.into(), |own| own.min(max.into())));
                }
                Keyword::MinLength(min) => limits.shortest = limits.shortest.max(min),
                Keyword::MaxLength(max) => {
                    limits.longest = Some(limits.longest.map_or(max, |own| own.min(max)));
                }
                Keyword::Pattern(pattern) => limits.class = Some(pattern),
                Keyword::Words(words) => limits.words = Some(words),
                Keyword::Items(exactly) => limits.items = Some(exactly),
                Keyword::Ip => limits.ip = true,
                Keyword::Uuid => limits.uuid = true,
                Keyword::Time => limits.time = true,
                Keyword::Window { .. } => limits.window = true,
                // About what is there at all, and kept where that is decided; or so wide that nothing drawn comes
                // near it.
                Keyword::Required
                | Keyword::RequiredUnless(_)
                | Keyword::RequiredWith(_)
                | Keyword::OnlyWith(_)
                | Keyword::Absent
                | Keyword::MaxMembers(_)
                | Keyword::MaxOpenMembers(_)
                | Keyword::MaxDepth(_)
                | Keyword::MaxBytes(_)
                | Keyword::Custom => {}
            }
        }
        limits
    }

    fn text(&self, known: &[String], plan: &Plan<'_>) -> BoxedStrategy<String> {
        if let Some(words) = self.words {
            return select(words.split(", ").map(str::to_owned).collect::<Vec<_>>()).boxed();
        }
        if self.ip {
            let four = any::<Ipv4Addr>().prop_map(|address| address.to_string());
            let six = any::<Ipv6Addr>().prop_map(|address| address.to_string());
            return Union::new([four.boxed(), six.boxed()]).boxed();
        }
        if self.uuid {
            return any::<u128>().prop_map(uuid).boxed();
        }
        if self.time || self.window {
            return times(plan, self.window);
        }
        let shortest = self.shortest.max(usize::from(self.class.is_some()));
        let usual = shortest + 12;
        let mut texts =
            vec![self.characters(shortest..=self.longest.map_or(usual, |longest| longest.min(usual)))];
        texts.extend(self.longest.map(|longest| self.characters(longest..=longest)));
        let words: Vec<_> = known.iter().filter(|word| word.chars().count() >= shortest).cloned().collect();
        if !words.is_empty() {
            texts.push(select(words).boxed());
        }
        Union::new(texts).boxed()
    }

    /// So many characters of the class, or any.
    pub(super) fn characters(&self, length: std::ops::RangeInclusive<usize>) -> BoxedStrategy<String> {
        match self.class {
            Some(pattern) => vec(select(class(pattern)), length).prop_map(String::from_iter).boxed(),
            None => vec(any::<char>(), length).prop_map(String::from_iter).boxed(),
        }
    }
}

/// The characters that a pattern admits: it is `^[…]+$` with single characters and ranges in it.
pub(super) fn class(pattern: &str) -> Vec<char> {
    let mut members = Vec::new();
    let mut rest = pattern.trim_start_matches("^[").trim_end_matches("]+$").chars().peekable();
    while let Some(first) = rest.next() {
        let mut ahead = rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) => {
                members.extend(first..=last);
                rest = ahead;
            }
            _ => members.push(first),
        }
    }
    members
}

fn uuid(bits: u128) -> String {
    let digits = format!("{bits:032x}");
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| &digits[group]);
    groups.join("-")
}

/// A whole number as JSON that shows a fraction.
#[expect(clippy::cast_precision_loss, reason = "below 2⁵³, tested by the caller")]
fn double(whole: i64) -> Value {
    Value::from(whole as f64)
}

pub(super) fn integer_value(number: i128) -> Value {
    let signed = || i64::try_from(number).map(Value::from);
    u64::try_from(number).map(Value::from).or_else(|_| signed()).unwrap_or_default()
}

/// Integers near both ends and in between.
pub(super) fn integer(least: i128, greatest: i128) -> BoxedStrategy<Value> {
    let greatest = greatest.max(least);
    let near = least.max((-1000).min(greatest))..=greatest.min(1_000_000.max(least));
    Union::new([Just(least).boxed(), Just(greatest).boxed(), near.boxed()]).prop_map(integer_value).boxed()
}

/// Whole numbers and thousandths.
fn number(limits: &Limits) -> BoxedStrategy<Value> {
    let (least, greatest) = (limits.min.unwrap_or(-1_000_000), limits.max.unwrap_or(1_000_000));
    let whole = integer(least, greatest.max(least));
    let thousandths = least * 1000..=greatest.max(least) * 1000;
    Union::new([whole, thousandths.prop_map(thousandth).boxed()]).boxed()
}

/// So many thousandths, without a fraction where there is none.
#[expect(clippy::cast_precision_loss, reason = "a fraction is drawn from what is small")]
pub(super) fn thousandth(thousandths: i128) -> Value {
    if thousandths % 1000 == 0 {
        integer_value(thousandths / 1000)
    } else {
        Value::from(thousandths as f64 / 1000.0)
    }
}

/// Times that everybody reads; near the clock where they must be.
fn times(plan: &Plan<'_>, near: bool) -> BoxedStrategy<String> {
    let now = plan.context.now;
    let window =
        plan.context.clock_window.filter(|_| near).and_then(|window| i64::try_from(window.as_millis()).ok());
    // A century, where nothing bounds it.
    let furthest = window.unwrap_or(i64::MAX).min(3_155_760_000_000);
    let tolerant = plan.tolerant;
    let zones = if tolerant { 0..3_u8 } else { 0..1 };
    (-furthest..=furthest, zones)
        .prop_map(move |(away, zone)| {
            let time = now.checked_add_signed(TimeDelta::milliseconds(away)).unwrap_or(now);
            spell(time, zone)
        })
        .boxed()
}

/// RFC 3339 in UTC, in another zone, and SQL text.
pub(super) fn spell(time: DateTime<Utc>, zone: u8) -> String {
    match (zone, FixedOffset::east_opt(2 * 3600)) {
        (1, Some(east)) => time.with_timezone(&east).to_rfc3339_opts(SecondsFormat::AutoSi, true),
        (2, _) => time.format("%Y-%m-%d %H:%M:%S%.f").to_string(),
        _ => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    }
}
