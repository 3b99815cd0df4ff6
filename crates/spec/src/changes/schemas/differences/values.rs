//! What a value may be: types, null, words, bounds, patterns, formats.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Map, Value, json};

use super::super::super::change::Said;
use super::super::kind::Kind;
use super::super::view::{Types, View};
use super::alternatives::listed;
use super::members::{anything, named};
use super::{Comparison, Demand, cut, said_of, shown_list};
use crate::document::Place;

impl<'a> Comparison<'_, '_, 'a> {
    pub(super) fn values(&mut self, old: &View<'a>, new: &View<'a>) {
        self.types(old, new);
        self.words(old, new);
        self.bounds(old, new);
        self.texts(old, new, "pattern", Kind::PatternChanged);
        self.texts(old, new, "format", Kind::FormatChanged);
        self.openness(old, new);
        self.others(old, new);
    }

    pub(super) fn types(&mut self, old: &View<'a>, new: &View<'a>) {
        let (was, is) = (without_null(&old.types), without_null(&new.types));
        let demand = |types: &Types| {
            let names: Vec<&str> =
                types.as_ref()?.iter().map(String::as_str).chain(std::iter::once("null")).collect();
            Some(json!({ "type": names }))
        };
        let kind = match (&was, &is) {
            (None, None) => return,
            (None, Some(_)) => Kind::TypeNarrowed,
            (Some(_), None) => Kind::TypeWidened,
            (Some(was), Some(is)) if was == is => return,
            (Some(was), Some(is)) if takes_in(was, is) => Kind::TypeNarrowed,
            (Some(was), Some(is)) if takes_in(is, was) => Kind::TypeWidened,
            _ => Kind::TypeChanged,
        };
        let (null, now_null) = (self.judge.accepts_null(&old.place), self.judge.accepts_null(&new.place));
        let (before, after) = (said_types(old, null), said_types(new, now_null));
        let found = self.found(kind, before, after);
        found.by_old = demand(&was).and_then(Demand::old);
        found.by_new = demand(&is).and_then(Demand::new);
    }

    /// Null is asked for and not looked up, for it is written in many ways. It is told apart from the types where
    /// both sides list types, or only one lists null as an alternative; `by_lists` says that nothing but the lists
    /// of alternatives is compared.
    pub(super) fn null(&mut self, old: &View<'a>, new: &View<'a>, by_lists: bool) {
        let listed = old.lists_null() != new.lists_null();
        let typed = old.types.is_some() && new.types.is_some();
        if !listed && (by_lists || !typed) {
            return;
        }
        let (null, now_null) = (self.judge.accepts_null(&old.place), self.judge.accepts_null(&new.place));
        if null == now_null {
            return;
        }
        // Whoever is told of it knows a list of types, and wrote no `not`.
        let not_null = json!({ "type": ["boolean", "number", "string", "array", "object"] });
        let kind = if now_null { Kind::BecameNullable } else { Kind::BecameNotNullable };
        let (before, after) = (said_types(old, null), said_types(new, now_null));
        let found = self.found(kind, before, after);
        if now_null {
            found.by_old = Demand::old(not_null);
        } else {
            found.by_new = Demand::new(not_null);
        }
    }

    pub(super) fn words(&mut self, old: &View<'a>, new: &View<'a>) {
        let demand = |words: &[Value]| json!({ "enum": words.iter().cloned().chain(std::iter::once(Value::Null)).collect::<Vec<_>>() });
        let said = |view: &View<'_>, words: &[Value]| {
            let keyword = if view.values("const").next().is_some() { "const" } else { "enum" };
            said_of(view, keyword, shown_list(words))
        };
        match (&old.words, &new.words) {
            (None, None) => {}
            (None, Some(words)) => {
                let any = said_of(old, "enum", "any word");
                self.found(Kind::Tightened, any, said(new, words)).by_new = Demand::new(demand(words));
            }
            (Some(words), None) => {
                let any = said_of(new, "enum", "any word");
                self.found(Kind::Loosened, said(old, words), any).by_old = Demand::old(demand(words));
            }
            (Some(was), Some(is)) => {
                let (removed, added) = (missing(was, is), missing(is, was));
                let both = missing(was, &removed);
                if !removed.is_empty() {
                    let now = said_of(new, "enum", shown_list(is));
                    self.found(Kind::WordRemoved, said(old, &removed), now).by_new =
                        Demand::new(demand(&both));
                }
                if !added.is_empty() {
                    let before = said_of(old, "enum", shown_list(was));
                    self.found(Kind::WordAdded, before, said(new, &added)).by_old =
                        Demand::old(demand(&both));
                }
            }
        }
    }

    pub(super) fn bounds(&mut self, old: &View<'a>, new: &View<'a>) {
        for (keyword, exclusive, upper) in
            [("minimum", "exclusiveMinimum", false), ("maximum", "exclusiveMaximum", true)]
        {
            let (was, is) = (limit(old, keyword, exclusive, upper), limit(new, keyword, exclusive, upper));
            let order = match (&was, &is) {
                (None, None) => continue,
                (None, Some(_)) => Ordering::Less,
                (Some(_), None) => Ordering::Greater,
                (Some(was), Some(is)) => was.tightness(is, upper),
            };
            let Some(kind) = by_tightness(order) else { continue };
            let said = |view: &View<'_>, limit: &Option<Limit>| match limit {
                None => said_of(view, keyword, format!("no {keyword}")),
                Some(limit) => {
                    let written = if limit.exclusive { exclusive } else { keyword };
                    said_of(view, written, format!("{written} {}", limit.number))
                }
            };
            let demand = |limit: &Option<Limit>| {
                let limit = limit.as_ref()?;
                let written = if limit.exclusive { exclusive } else { keyword };
                Some(json!({ written: limit.number }))
            };
            let (before, after) = (said(old, &was), said(new, &is));
            let found = self.found(kind, before, after);
            found.by_old = demand(&was).and_then(Demand::old);
            found.by_new = demand(&is).and_then(Demand::new);
        }
        for (keyword, upper) in [
            ("minLength", false),
            ("maxLength", true),
            ("minItems", false),
            ("maxItems", true),
            ("minProperties", false),
            ("maxProperties", true),
            ("multipleOf", false),
            ("uniqueItems", false),
        ] {
            let (was, is) = (tightest(old, keyword, upper), tightest(new, keyword, upper));
            // Nothing is what these say of themselves.
            let idle = |value: &Option<Value>| match value {
                None => true,
                Some(Value::Bool(flag)) => !flag,
                Some(Value::Number(number)) => {
                    !upper && keyword != "multipleOf" && number.as_u64() == Some(0)
                }
                Some(_) => false,
            };
            let (was, is) = (
                was.filter(|value| !idle(&Some(value.clone()))),
                is.filter(|value| !idle(&Some(value.clone()))),
            );
            let order = match (&was, &is) {
                (None, None) => continue,
                (None, Some(_)) => Ordering::Less,
                (Some(_), None) => Ordering::Greater,
                (Some(was), Some(is)) if was == is => continue,
                (Some(was), Some(is)) => match (compared(was, is), keyword) {
                    (Ordering::Equal, _) => continue,
                    // A step that goes into the other is the looser one; of two that do not, the new one asks more.
                    (_, "multipleOf") if divides(is, was) => Ordering::Greater,
                    (_, "multipleOf") => Ordering::Less,
                    (order, _) if upper => order.reverse(),
                    (order, _) => order,
                },
            };
            let Some(kind) = by_tightness(order) else { continue };
            let said = |view: &View<'_>, value: &Option<Value>| match value {
                None => said_of(view, keyword, format!("no {keyword}")),
                Some(value) => said_of(view, keyword, format!("{keyword} {value}")),
            };
            let demand = |value: &Option<Value>| Some(json!({ keyword: value.as_ref()? }));
            let (before, after) = (said(old, &was), said(new, &is));
            let found = self.found(kind, before, after);
            found.by_old = demand(&was).and_then(Demand::old);
            found.by_new = demand(&is).and_then(Demand::new);
        }
    }

    /// Patterns and formats, of which several may hold.
    pub(super) fn texts(&mut self, old: &View<'a>, new: &View<'a>, keyword: &str, kind: Kind) {
        let listed = |view: &View<'a>| -> BTreeMap<&'a str, Place<'a>> {
            view.values(keyword).filter_map(|value| Some((value.value().as_str()?, value))).collect()
        };
        let (was, is) = (listed(old), listed(new));
        if was.keys().eq(is.keys()) {
            return;
        }
        let said = |view: &View<'_>, list: &BTreeMap<&str, Place<'_>>| match list.is_empty() {
            true => said_of(view, keyword, format!("no {keyword}")),
            false => said_of(view, keyword, cut(&list.keys().copied().collect::<Vec<_>>().join(" and "))),
        };
        let demand = |list: &BTreeMap<&str, Place<'_>>, others: &BTreeMap<&str, Place<'_>>| {
            let more: Vec<Value> = list
                .keys()
                .filter(|text| !others.contains_key(*text))
                .map(|text| json!({ keyword: text }))
                .collect();
            (!more.is_empty()).then(|| json!({ "allOf": more }))
        };
        let kind = match (kind, was.is_empty(), is.is_empty()) {
            (Kind::PatternChanged, true, false) => Kind::Tightened,
            (Kind::PatternChanged, false, true) => Kind::Loosened,
            (Kind::FormatChanged, true, false) => Kind::FormatAdded,
            (Kind::FormatChanged, false, true) => Kind::FormatDropped,
            (Kind::FormatChanged, ..) => match (was.keys().next(), is.keys().next()) {
                (Some(one), Some(other)) if is_narrower(one, other) => Kind::FormatDropped,
                (Some(one), Some(other)) if is_narrower(other, one) => Kind::FormatAdded,
                _ => kind,
            },
            (kind, ..) => kind,
        };
        let (by_new, by_old) = (demand(&is, &was), demand(&was, &is));
        let (before, after) = (said(old, &was), said(new, &is));
        let found = self.found(kind, before, after);
        found.by_new = by_new.and_then(Demand::new);
        found.by_old = by_old.and_then(Demand::old);
    }

    pub(super) fn openness(&mut self, old: &View<'a>, new: &View<'a>) {
        let (was, is) = (old.is_closed(), new.is_closed());
        let said = |view: &View<'_>, closed: bool| {
            let text = match (closed, view.is_declared_open()) {
                (true, _) => "closed",
                (false, true) => "declared open",
                (false, false) => "open",
            };
            said_of(view, "additionalProperties", text)
        };
        // What became of single members is told apart from that.
        let closed = || {
            let (names, patterns) = named(old, new);
            json!({
                "properties": anything(&names),
                "patternProperties": anything(&patterns),
                "additionalProperties": false,
            })
        };
        let (before, after) = (said(old, was), said(new, is));
        match (was, is) {
            (false, true) => {
                let demand = closed();
                self.found(Kind::ObjectClosed, before, after).by_new = Demand::new(demand);
            }
            (true, false) => {
                let demand = closed();
                self.found(Kind::ObjectOpened, before, after).by_old = Demand::old(demand);
            }
            _ => {}
        }
    }

    /// Keywords of which nothing more particular can be said than that they changed.
    pub(super) fn others(&mut self, old: &View<'a>, new: &View<'a>) {
        for keywords in [
            &["not"][..],
            &["if", "then", "else"],
            &["contains", "minContains", "maxContains"],
            &["dependentRequired"],
            &["dependentSchemas"],
            &["dependencies"],
            &["propertyNames"],
            &["unevaluatedProperties"],
            &["unevaluatedItems"],
            &["contentEncoding"],
        ] {
            let groups = |view: &View<'a>| -> Vec<Value> {
                let mut groups = Vec::new();
                for part in &view.parts {
                    let mut group = Map::new();
                    for keyword in keywords {
                        if let Some(value) = part.value().get(*keyword) {
                            group.insert((*keyword).to_owned(), value.clone());
                        }
                    }
                    let group = Value::Object(group);
                    if group.as_object().is_some_and(|group| !group.is_empty()) && !groups.contains(&group) {
                        groups.push(group);
                    }
                }
                groups
            };
            let (was, is) = (groups(old), groups(new));
            let missing = |list: &[Value], others: &[Value]| -> Vec<Value> {
                list.iter().filter(|group| !others.contains(group)).cloned().collect()
            };
            let (lost, gained) = (missing(&was, &is), missing(&is, &was));
            if lost.is_empty() && gained.is_empty() {
                continue;
            }
            let keyword = keywords[0];
            // `false` closes, of which `openness` speaks.
            let closes =
                |list: &[Value]| list.iter().all(|group| group.get(keyword) == Some(&Value::Bool(false)));
            if keyword == "unevaluatedProperties" && closes(&lost) && closes(&gained) {
                continue;
            }
            let said = |view: &View<'_>, list: &[Value]| {
                let text = match list.is_empty() {
                    true => format!("no {keyword}"),
                    false => cut(&list.iter().map(Value::to_string).collect::<Vec<_>>().join(" and ")),
                };
                said_of(view, keyword, text)
            };
            let (before, after) = (said(old, &lost), said(new, &gained));
            // These look at what their neighbours have seen, and mean nothing alone.
            let alone = !keyword.starts_with("unevaluated") && keyword != "contentEncoding";
            let found = self.found(Kind::OtherChanged, before, after);
            if alone && !gained.is_empty() {
                found.by_new = Demand::new(json!({ "allOf": gained }));
            }
            if alone && !lost.is_empty() {
                found.by_old = Demand::old(json!({ "allOf": lost }));
            }
        }
    }
}

/// The words that are not among the others.
pub(super) fn missing(words: &[Value], others: &[Value]) -> Vec<Value> {
    let others: HashSet<&Value> = others.iter().collect();
    words.iter().filter(|word| !others.contains(word)).cloned().collect()
}

/// Whether both list types, and no value is of a type of either.
pub(super) fn are_apart(old: &View<'_>, new: &View<'_>) -> bool {
    let (Some(was), Some(is)) = (without_null(&old.types), without_null(&new.types)) else { return false };
    !was.is_empty()
        && !is.is_empty()
        && !was.iter().any(|name| takes_in(&is, &BTreeSet::from([name.clone()])))
        && !is.iter().any(|name| takes_in(&was, &BTreeSet::from([name.clone()])))
}

/// Whether every value of a format of numbers is one of another.
fn is_narrower(one: &str, other: &str) -> bool {
    matches!((one, other), ("int32", "int64") | ("float", "double"))
}

fn without_null(types: &Types) -> Types {
    types.as_ref().map(|types| types.iter().filter(|name| *name != "null").cloned().collect())
}

fn said_types(view: &View<'_>, null: bool) -> Said {
    let mut text = match without_null(&view.types) {
        Some(types) => types.into_iter().collect::<Vec<_>>().join(" or "),
        None if view.unions.is_empty() => "any type".to_owned(),
        None => view.unions.iter().map(listed).collect::<Vec<_>>().join(" and "),
    };
    if text.is_empty() {
        text.push_str("null");
    } else if null && (view.types.is_some() || !view.unions.is_empty()) {
        text.push_str(" or null");
    }
    said_of(view, "type", text)
}

/// Whether the types of one list are all among those of the other.
fn takes_in(wide: &BTreeSet<String>, narrow: &BTreeSet<String>) -> bool {
    narrow.iter().all(|name| wide.contains(name) || (name == "integer" && wide.contains("number")))
}

fn by_tightness(order: Ordering) -> Option<Kind> {
    match order {
        Ordering::Less => Some(Kind::Tightened),
        Ordering::Greater => Some(Kind::Loosened),
        Ordering::Equal => None,
    }
}

/// A bound on a number.
struct Limit {
    number: serde_json::Number,
    exclusive: bool,
}

impl Limit {
    /// `Less` where the other is tighter.
    fn tightness(&self, other: &Self, upper: bool) -> Ordering {
        let order = numbers(&self.number, &other.number);
        let order = if upper { order.reverse() } else { order };
        order.then(self.exclusive.cmp(&other.exclusive))
    }
}

/// The tightest bound of all that hold, in the spelling of either dialect.
fn limit(view: &View<'_>, keyword: &str, exclusive: &str, upper: bool) -> Option<Limit> {
    let mut tightest: Option<Limit> = None;
    for part in &view.parts {
        let number = |keyword: &str| part.value().get(keyword).and_then(Value::as_number).cloned();
        let flagged = part.value().get(exclusive) == Some(&Value::Bool(true));
        let bounds = [
            number(keyword).map(|number| Limit { number, exclusive: flagged }),
            number(exclusive).map(|number| Limit { number, exclusive: true }),
        ];
        for bound in bounds.into_iter().flatten() {
            if tightest.as_ref().is_none_or(|other| other.tightness(&bound, upper) == Ordering::Less) {
                tightest = Some(bound);
            }
        }
    }
    tightest
}

/// The tightest of the values of a keyword.
fn tightest(view: &View<'_>, keyword: &str, upper: bool) -> Option<Value> {
    let values = view.values(keyword).map(|place| place.value().clone());
    values.reduce(|one, other| {
        let order = compared(&one, &other);
        let other_is_tighter = if upper { order == Ordering::Greater } else { order == Ordering::Less };
        if other_is_tighter { other } else { one }
    })
}

fn compared(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => numbers(one, other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        _ => Ordering::Equal,
    }
}

/// Good enough to name a difference: what it does, inclusion decides.
fn numbers(one: &serde_json::Number, other: &serde_json::Number) -> Ordering {
    match (one.as_i64(), other.as_i64(), one.as_u64(), other.as_u64()) {
        (Some(one), Some(other), ..) => one.cmp(&other),
        (.., Some(one), Some(other)) => one.cmp(&other),
        _ => one.as_f64().unwrap_or_default().total_cmp(&other.as_f64().unwrap_or_default()),
    }
}

fn divides(step: &Value, other: &Value) -> bool {
    let (Some(step), Some(other)) = (step.as_f64(), other.as_f64()) else { return false };
    step != 0.0 && (other / step).fract() == 0.0
}
