//! Members of objects and items of lists.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::super::change::Said;
use super::super::super::rules::Direction;
use super::super::kind::Kind;
use super::super::view::View;
use super::{Comparison, Demand, Step, mark, said_of, said_place};
use crate::document::{Place, child};

impl<'a> Comparison<'_, '_, 'a> {
    pub(super) fn members(&mut self, old: &View<'a>, new: &View<'a>) {
        let (was, is) = (old.members(), new.members());
        let (required, now_required) = (old.required(), new.required());
        let mut removed: Vec<&'a str> = was.keys().filter(|name| !is.contains_key(*name)).copied().collect();
        let mut added: Vec<&'a str> = is.keys().filter(|name| !was.contains_key(*name)).copied().collect();

        for (name, schemas) in &was {
            let Some(others) = is.get(name) else { continue };
            for (one, other) in schemas.iter().zip(others) {
                let only = ignored(one).filter(|only| ignored(other) == Some(*only));
                self.link(Step::Member { name: (*name).to_owned(), only }, one, other);
            }
            if schemas.len() != others.len() {
                self.repeated(name, schemas, others);
            }
            if let (Some(one), Some(other)) = (schemas.first(), others.first()) {
                self.marks(name, one, other);
            }
        }

        for (name, other) in self.renames(&was, &is, &mut removed, &mut added) {
            let (Some(one), Some(other_place)) =
                (was.get(name).and_then(|list| list.first()), is.get(other).and_then(|list| list.first()))
            else {
                continue;
            };
            let (must, now_must) = (required.contains_key(name), now_required.contains_key(other));
            let mut by_new = Vec::new();
            if now_must {
                by_new.push(json!({ "required": [other] }));
            }
            if new.is_closed() {
                by_new.push(json!({ "properties": { name: false } }));
            }
            // A member that must be there is sent, whether the schema describes it or not.
            if required.contains_key(other) {
                by_new.push(json!({ "properties": { other: other_place.value() } }));
            }
            let mut by_old = Vec::new();
            if must {
                by_old.push(json!({ "required": [name] }));
            }
            if now_required.contains_key(name) {
                by_old.push(json!({ "properties": { name: one.value() } }));
            }
            if old.is_closed() {
                by_old.push(json!({ "properties": { other: false } }));
            }
            let before = said_place(one, format!("{name}, {}", mark(must)));
            let after = said_place(other_place, format!("{other}, {}", mark(now_must)));
            let faint = json!({ "properties": { name: one.value() } });
            let now_faint = json!({ "properties": { other: other_place.value() } });
            let found = self.found(Kind::MemberRenamed, before, after);
            found.faint_by_new = Demand::new(now_faint);
            found.at = child("", name);
            found.by_new = all_of(by_new).and_then(Demand::new);
            found.by_old = all_of(by_old).and_then(Demand::old);
            found.faint_by_old = Demand::old(faint);
            self.link(Step::Member { name: name.to_owned(), only: None }, one, other_place);
        }

        for name in removed {
            let Some(one) = was.get(name).and_then(|list| list.first()) else { continue };
            let must = required.contains_key(name);
            let before = said_place(one, format!("{name}, {}", mark(must)));
            let after = said_of(new, "properties", "no such member");
            let gone = unnamed_member(new, name);
            let is_sent = now_required.contains_key(name);
            let faint = json!({ "properties": { name: one.value() } });
            let only = ignored(one);
            let found = self.found(Kind::MemberRemoved, before, after);
            found.at = child("", name);
            found.by_new = gone.and_then(Demand::new);
            found.by_old = match (must, is_sent) {
                (_, true) => Demand::old(faint.clone()),
                (true, false) => Demand::old(json!({ "required": [name] })),
                (false, false) => None,
            };
            found.faint_by_old = Demand::old(faint);
            found.only = only;
        }
        for name in added {
            let Some(other) = is.get(name).and_then(|list| list.first()) else { continue };
            let must = now_required.contains_key(name) && !required.contains_key(name);
            let kind = match (must, old.is_declared_open()) {
                (true, _) => Kind::MemberAddedRequired,
                (false, true) => Kind::OpenMemberNamed,
                (false, false) => Kind::MemberAdded,
            };
            let before = said_of(old, "properties", "no such member");
            let after = said_place(other, format!("{name}, {}", mark(must)));
            let unknown = unnamed_member(old, name);
            let mut by_new = json!({ "properties": { name: other.value() } });
            if must && let Some(demand) = by_new.as_object_mut() {
                demand.insert("required".to_owned(), json!([name]));
            }
            let only = ignored(other);
            let found = self.found(kind, before, after);
            found.at = child("", name);
            found.by_new = Demand::new(by_new);
            found.by_old = unknown.and_then(Demand::old);
            found.only = only;
        }

        self.required(&required, &now_required, &was, &is, old, new);
        self.loose_members(old, new);
    }

    /// Members that are required on one side only, and named on both or on neither.
    pub(super) fn required(
        &mut self,
        required: &BTreeMap<&'a str, String>,
        now_required: &BTreeMap<&'a str, String>,
        was: &BTreeMap<&'a str, Vec<Place<'a>>>,
        is: &BTreeMap<&'a str, Vec<Place<'a>>>,
        old: &View<'a>,
        new: &View<'a>,
    ) {
        let said_list = |view: &View<'_>, place: Option<&String>| match place {
            Some(pointer) => Said { pointer: Some(pointer.clone()), text: "required".to_owned() },
            None => said_of(view, "required", "optional"),
        };
        let names: BTreeSet<&str> = required.keys().chain(now_required.keys()).copied().collect();
        for name in names {
            let (must, now_must) = (required.get(name), now_required.get(name));
            if must.is_some() == now_must.is_some() || was.contains_key(name) != is.contains_key(name) {
                continue;
            }
            let schema = |list: &BTreeMap<&'a str, Vec<Place<'a>>>| list.get(name)?.first().cloned();
            let only = schema(is).or_else(|| schema(was)).and_then(|place| ignored(&place));
            let demand = json!({ "required": [name] });
            let (before, after) = (said_list(old, must), said_list(new, now_must));
            let found = if now_must.is_some() {
                let found = self.found(Kind::MemberBecameRequired, before, after);
                found.by_new = Demand::new(demand);
                found
            } else {
                let found = self.found(Kind::MemberBecameOptional, before, after);
                found.by_old = Demand::old(demand);
                found
            };
            found.at = child("", name);
            found.only = only;
        }
    }

    /// A member that several schemas speak of which all hold, and not as many on the other side.
    pub(super) fn repeated(&mut self, name: &str, was: &[Place<'a>], is: &[Place<'a>]) {
        let (Some(one), Some(other)) = (was.first(), is.first()) else { return };
        let demand = |more: &[Place<'_>]| {
            let more: Vec<&Value> = more.iter().map(Place::value).collect();
            (!more.is_empty()).then(|| json!({ "properties": { name: { "allOf": more } } }))
        };
        let (more, now_more) =
            (was.get(is.len()..).unwrap_or_default(), is.get(was.len()..).unwrap_or_default());
        let text = |count: usize| format!("{count} schemas that all hold");
        let (before, after) = (said_place(one, text(was.len())), said_place(other, text(is.len())));
        let (by_old, by_new) = (demand(more), demand(now_more));
        let found = self.found(Kind::OtherChanged, before, after);
        found.at = child("", name);
        found.by_old = by_old.and_then(Demand::old);
        found.by_new = by_new.and_then(Demand::new);
    }

    pub(super) fn marks(&mut self, name: &str, one: &Place<'a>, other: &Place<'a>) {
        for (mark, lost, gained) in [
            ("readOnly", Kind::BecameWritable, Kind::BecameReadOnly),
            ("writeOnly", Kind::BecameReadable, Kind::BecameWriteOnly),
        ] {
            let (was, is) = (is_marked(one, mark), is_marked(other, mark));
            if was != is {
                let text = |marked: bool| if marked { mark.to_owned() } else { format!("not {mark}") };
                let kind = if is { gained } else { lost };
                let (before, after) = (said_place(one, text(was)), said_place(other, text(is)));
                self.found(kind, before, after).at = child("", name);
            }
        }
    }

    /// Members under patterns and those that are not named.
    pub(super) fn loose_members(&mut self, old: &View<'a>, new: &View<'a>) {
        let (was, is) = (old.patterns(), new.patterns());
        for (pattern, one) in &was {
            match is.get(pattern) {
                Some(other) => self.link(Step::Pattern((*pattern).to_owned()), one, other),
                None => {
                    let before = said_place(one, format!("members like {pattern}"));
                    let after = said_of(new, "patternProperties", "no such members");
                    let demand = json!({ "patternProperties": { *pattern: one.value() } });
                    let gone = new.is_closed().then(|| json!({ "patternProperties": { *pattern: false } }));
                    let found = self.found(Kind::OtherChanged, before, after);
                    found.by_old = Demand::old(demand);
                    found.by_new = gone.and_then(Demand::new);
                }
            }
        }
        for (pattern, other) in &is {
            if !was.contains_key(pattern) {
                let before = said_of(old, "patternProperties", "no such members");
                let after = said_place(other, format!("members like {pattern}"));
                let demand = json!({ "patternProperties": { *pattern: other.value() } });
                let unknown = old.is_closed().then(|| json!({ "patternProperties": { *pattern: false } }));
                let found = self.found(Kind::OtherChanged, before, after);
                found.by_new = Demand::new(demand);
                found.by_old = unknown.and_then(Demand::old);
            }
        }

        let (one, other) = (old.extra(), new.extra());
        let (names, patterns) = named(old, new);
        match (one, other) {
            (Some(one), Some(other)) => self.link(Step::Extra { names, patterns }, &one, &other),
            (None, Some(other)) if !old.is_closed() => {
                let before = said_of(old, "additionalProperties", "other members are anything");
                let after = said_place(&other, "other members have a schema");
                let demand = json!({
                    "properties": anything(&names),
                    "patternProperties": anything(&patterns),
                    "additionalProperties": other.value(),
                });
                self.found(Kind::Tightened, before, after).by_new = Demand::new(demand);
            }
            (Some(one), None) if !new.is_closed() => {
                let before = said_place(&one, "other members have a schema");
                let after = said_of(new, "additionalProperties", "other members are anything");
                let demand = json!({
                    "properties": anything(&names),
                    "patternProperties": anything(&patterns),
                    "additionalProperties": one.value(),
                });
                self.found(Kind::Loosened, before, after).by_old = Demand::old(demand);
            }
            _ => {}
        }
    }

    /// Members that are gone with others that came, where both have the same schema and names that are alike.
    pub(super) fn renames(
        &mut self,
        was: &BTreeMap<&'a str, Vec<Place<'a>>>,
        is: &BTreeMap<&'a str, Vec<Place<'a>>>,
        removed: &mut Vec<&'a str>,
        added: &mut Vec<&'a str>,
    ) -> Vec<(&'a str, &'a str)> {
        let mut renames = Vec::new();
        removed.retain(|name| {
            let mut best: Option<(usize, usize)> = None;
            for (index, other) in added.iter().enumerate() {
                let Some(distance) = likeness(name, other) else { continue };
                if best.is_some_and(|(least, _)| least <= distance) {
                    continue;
                }
                let (Some(one), Some(two)) = (
                    was.get(name).and_then(|list| list.first()),
                    is.get(other).and_then(|list| list.first()),
                ) else {
                    continue;
                };
                if self.judge.are_equivalent(one, two) {
                    best = Some((distance, index));
                }
            }
            match best {
                Some((_, index)) => {
                    renames.push((*name, added.remove(index)));
                    false
                }
                None => true,
            }
        });
        renames
    }

    pub(super) fn items(&mut self, old: &View<'a>, new: &View<'a>) {
        let ((first, rest), (new_first, new_rest)) = (old.items(), new.items());
        for (index, (one, other)) in first.iter().zip(&new_first).enumerate() {
            self.link(Step::Item(index), one, other);
        }
        let long = first.len().max(new_first.len());
        if first.len() != new_first.len() {
            let text = |count: usize| format!("{count} items by place");
            let demand = |list: &[Place<'_>], from: usize, rest: &Option<Place<'_>>| {
                let mut schemas: Vec<Value> = list
                    .iter()
                    .enumerate()
                    .map(|(index, place)| match index < from {
                        true => Value::Bool(true),
                        false => place.value().clone(),
                    })
                    .collect();
                // Where the list is shorter, the schema of the others holds.
                if let Some(rest) = rest {
                    schemas.resize(long, rest.value().clone());
                }
                (!schemas.is_empty()).then(|| json!({ "prefixItems": schemas }))
            };
            let by_new = demand(&new_first, first.len(), &new_rest);
            let by_old = demand(&first, new_first.len(), &rest);
            let (before, after) = (
                said_of(old, "prefixItems", text(first.len())),
                said_of(new, "prefixItems", text(new_first.len())),
            );
            let found = self.found(Kind::OtherChanged, before, after);
            found.by_new = by_new.and_then(Demand::new);
            found.by_old = by_old.and_then(Demand::old);
        }
        let demand = |place: &Place<'_>| {
            let skipped: Vec<Value> = vec![Value::Bool(true); long];
            match long {
                0 => json!({ "items": place.value() }),
                _ => json!({ "prefixItems": skipped, "items": place.value() }),
            }
        };
        match (rest, new_rest) {
            (Some(one), Some(other)) => self.link(Step::Items(long), &one, &other),
            (None, Some(other)) => {
                let before = said_of(old, "items", "items are anything");
                let after = said_place(&other, "items have a schema");
                self.found(Kind::Tightened, before, after).by_new = Demand::new(demand(&other));
            }
            (Some(one), None) => {
                let before = said_place(&one, "items have a schema");
                let after = said_of(new, "items", "items are anything");
                self.found(Kind::Loosened, before, after).by_old = Demand::old(demand(&one));
            }
            (None, None) => {}
        }
    }
}

/// What a schema demands of a member that it does not name.
fn unnamed_member(view: &View<'_>, name: &str) -> Option<Value> {
    if view.is_closed() {
        let mut demand = json!({ "properties": { name: false } });
        // A pattern may let it in.
        let patterns: Vec<&str> = view.patterns().keys().copied().collect();
        if !patterns.is_empty() {
            demand = json!({
                "propertyNames": { "anyOf": [
                    { "not": { "const": name } },
                    { "anyOf": patterns.iter().map(|pattern| json!({ "pattern": pattern })).collect::<Vec<_>>() },
                ] },
            });
        }
        return Some(demand);
    }
    view.extra().map(|extra| json!({ "properties": { name: extra.value() } }))
}

/// The members and patterns that either side names.
pub(super) fn named(old: &View<'_>, new: &View<'_>) -> (Vec<String>, Vec<String>) {
    let names: BTreeSet<String> =
        old.members().keys().chain(new.members().keys()).map(|name| (*name).to_owned()).collect();
    let patterns: BTreeSet<String> =
        old.patterns().keys().chain(new.patterns().keys()).map(|name| (*name).to_owned()).collect();
    (names.into_iter().collect(), patterns.into_iter().collect())
}

/// A map from names to what accepts anything.
pub(in super::super) fn anything(names: &[String]) -> Value {
    names.iter().map(|name| (name.clone(), Value::Bool(true))).collect::<Map<_, _>>().into()
}

fn all_of(mut demands: Vec<Value>) -> Option<Value> {
    match demands.len() {
        0 | 1 => demands.pop(),
        _ => Some(json!({ "allOf": demands })),
    }
}

/// The only way that a member goes, if it goes but one.
fn ignored(place: &Place<'_>) -> Option<Direction> {
    if is_marked(place, "readOnly") {
        Some(Direction::Response)
    } else if is_marked(place, "writeOnly") {
        Some(Direction::Request)
    } else {
        None
    }
}

pub(in super::super) fn is_marked(place: &Place<'_>, mark: &str) -> bool {
    place.value().get(mark) == Some(&Value::Bool(true))
        || View::new(place).annotation(mark) == Some(&Value::Bool(true))
}

/// How far apart two names are which may be the same one written otherwise; nothing if they are strangers.
fn likeness(one: &str, other: &str) -> Option<usize> {
    let bare = |name: &str| -> String {
        name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let (one, other) = (bare(one), bare(other));
    if one == other {
        return Some(0);
    }
    let short = one.chars().count().min(other.chars().count());
    let distance = strsim::damerau_levenshtein(&one, &other);
    let part = short >= 4
        && (one.starts_with(&other)
            || other.starts_with(&one)
            || one.ends_with(&other)
            || other.ends_with(&one));
    (part || distance * 3 <= short).then_some(distance.max(1))
}
