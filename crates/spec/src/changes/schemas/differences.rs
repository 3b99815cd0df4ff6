//! What differs between two schemas for one value, not counting what differs inside its members and items.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::change::Said;
use super::super::rules::Direction;
use super::Judge;
use super::kind::Kind;
use super::view::{Types, Union, View};
use crate::document::{Place, child};

/// Letters of a value that a finding shows.
const SHOWN: usize = 60;

/// One of the two documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Version {
    Old,
    New,
}

/// A schema that one end demands of a value; its references lead into one of the documents.
#[derive(Debug, Clone)]
pub(super) struct Demand {
    pub(super) schema: Value,
    pub(super) of: Version,
}

impl Demand {
    const fn old(schema: Value) -> Option<Self> {
        Some(Self { schema, of: Version::Old })
    }

    const fn new(schema: Value) -> Option<Self> {
        Some(Self { schema, of: Version::New })
    }
}

/// A difference.
#[derive(Debug, Clone)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    /// Where it is seen from the value: empty, or the member that it is about.
    pub(super) at: String,
    pub(super) old: Said,
    pub(super) new: Said,
    /// What the new document demands here, which what the old one allows may not meet.
    pub(super) by_new: Option<Demand>,
    /// What the old document promises here, which what the new one allows may not keep.
    pub(super) by_old: Option<Demand>,
    /// The same of what only may be relied on: the document does not say that anybody is meant to.
    pub(super) faint_by_new: Option<Demand>,
    pub(super) faint_by_old: Option<Demand>,
    /// The only way that it matters.
    pub(super) only: Option<Direction>,
}

/// Alternatives beside one.
#[derive(Debug, Clone)]
pub(super) struct Others {
    /// Where they stand, as JSON pointers.
    pub(super) pointers: Vec<String>,
    /// Whether null is one of them.
    pub(super) with_null: bool,
}

/// A step from a value to one inside it, or to one of its alternatives.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Member(String),
    /// An item by its place.
    Item(usize),
    /// Items from this place on.
    Items(usize),
    /// Members other than those named or matched.
    Extra {
        names: Vec<String>,
        patterns: Vec<String>,
    },
    /// Members that match.
    Pattern(String),
    /// An alternative, with the others on either side.
    Branch {
        old: Others,
        new: Others,
    },
}

impl Step {
    /// How a finding shows it.
    pub(super) fn shown(&self, at: &str) -> String {
        match self {
            Self::Member(name) => child(at, name),
            Self::Item(place) => child(at, &place.to_string()),
            Self::Items(_) | Self::Extra { .. } | Self::Pattern(_) => child(at, "*"),
            Self::Branch { .. } => at.to_owned(),
        }
    }
}

/// A pair of schemas for a value inside this one.
pub(super) struct Inner<'a> {
    pub(super) step: Step,
    pub(super) old: Place<'a>,
    pub(super) new: Place<'a>,
}

/// Compares two schemas for one value.
pub(super) fn compare<'a>(
    judge: &mut Judge<'_, 'a>,
    old: &Place<'a>,
    new: &Place<'a>,
) -> (Vec<Difference>, Vec<Inner<'a>>) {
    let (old, new) = (View::new(old), View::new(new));
    let mut comparison = Comparison { judge, found: Vec::new(), inner: Vec::new() };
    if old.is_broken || new.is_broken {
        // Nothing is known of what cannot be read. If it is the same on both sides, it has not changed.
        if !(old.is_broken && new.is_broken && old.place.value() == new.place.value()) {
            let text = |view: &View<'_>| if view.is_broken { "refers to nothing" } else { "a schema" };
            let said = |view: &View<'_>| said_place(&view.place, text(view));
            comparison.found(Kind::OtherChanged, said(&old), said(&new));
        }
        return (comparison.found, comparison.inner);
    }
    let alike = old.reads_like(&new);
    let delegated = comparison.unions(&old, &new, alike);
    if !alike {
        comparison.null(&old, &new, delegated);
    }
    if !delegated {
        if !alike {
            comparison.values(&old, &new);
        }
        comparison.members(&old, &new);
        comparison.items(&old, &new);
    }
    if !alike {
        comparison.annotations(&old, &new);
        // What accepts the same values, however it is written, does not differ in what it accepts.
        if comparison.found.iter().any(|found| found.kind.is_about_values())
            && comparison.judge.are_equivalent(&old.place, &new.place)
        {
            comparison.found.retain(|found| !found.kind.is_about_values());
        }
    }
    (comparison.found, comparison.inner)
}

struct Comparison<'c, 'p, 'a> {
    judge: &'c mut Judge<'p, 'a>,
    found: Vec<Difference>,
    inner: Vec<Inner<'a>>,
}

impl<'a> Comparison<'_, '_, 'a> {
    fn found(&mut self, kind: Kind, old: Said, new: Said) -> &mut Difference {
        self.found.push(Difference {
            kind,
            at: String::new(),
            old,
            new,
            by_new: None,
            by_old: None,
            faint_by_new: None,
            faint_by_old: None,
            only: None,
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    fn link(&mut self, step: Step, old: &Place<'a>, new: &Place<'a>) {
        self.inner.push(Inner { step, old: old.clone(), new: new.clone() });
    }

    // --- what a value may be ---

    fn values(&mut self, old: &View<'a>, new: &View<'a>) {
        self.types(old, new);
        self.words(old, new);
        self.bounds(old, new);
        self.texts(old, new, "pattern", Kind::PatternChanged);
        self.texts(old, new, "format", Kind::FormatChanged);
        self.openness(old, new);
        self.others(old, new);
    }

    fn types(&mut self, old: &View<'a>, new: &View<'a>) {
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
    fn null(&mut self, old: &View<'a>, new: &View<'a>, by_lists: bool) {
        let listed = old.lists_null() != new.lists_null();
        let typed = old.types.is_some() && new.types.is_some();
        if !listed && (by_lists || !typed) {
            return;
        }
        let (null, now_null) = (self.judge.accepts_null(&old.place), self.judge.accepts_null(&new.place));
        if null == now_null {
            return;
        }
        let not_null = json!({ "not": { "const": null } });
        let kind = if now_null { Kind::BecameNullable } else { Kind::BecameNotNullable };
        let (before, after) = (said_types(old, null), said_types(new, now_null));
        let found = self.found(kind, before, after);
        if now_null {
            found.by_old = Demand::old(not_null);
        } else {
            found.by_new = Demand::new(not_null);
        }
    }

    fn words(&mut self, old: &View<'a>, new: &View<'a>) {
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
                let missing = |words: &[Value], others: &[Value]| -> Vec<Value> {
                    words.iter().filter(|word| !others.contains(word)).cloned().collect()
                };
                let (removed, added) = (missing(was, is), missing(is, was));
                let both: Vec<Value> = was.iter().filter(|word| is.contains(word)).cloned().collect();
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

    fn bounds(&mut self, old: &View<'a>, new: &View<'a>) {
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
    fn texts(&mut self, old: &View<'a>, new: &View<'a>, keyword: &str, kind: Kind) {
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
            (kind, ..) => kind,
        };
        let (by_new, by_old) = (demand(&is, &was), demand(&was, &is));
        let (before, after) = (said(old, &was), said(new, &is));
        let found = self.found(kind, before, after);
        found.by_new = by_new.and_then(Demand::new);
        found.by_old = by_old.and_then(Demand::old);
    }

    fn openness(&mut self, old: &View<'a>, new: &View<'a>) {
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
    fn others(&mut self, old: &View<'a>, new: &View<'a>) {
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

    // --- members and items ---

    fn members(&mut self, old: &View<'a>, new: &View<'a>) {
        let (was, is) = (old.members(), new.members());
        let (required, now_required) = (old.required(), new.required());
        let mut removed: Vec<&'a str> = was.keys().filter(|name| !is.contains_key(*name)).copied().collect();
        let mut added: Vec<&'a str> = is.keys().filter(|name| !was.contains_key(*name)).copied().collect();

        for (name, schemas) in &was {
            let Some(others) = is.get(name) else { continue };
            for (one, other) in schemas.iter().zip(others) {
                self.link(Step::Member((*name).to_owned()), one, other);
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
            self.link(Step::Member(name.to_owned()), one, other_place);
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
    fn required(
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
    fn repeated(&mut self, name: &str, was: &[Place<'a>], is: &[Place<'a>]) {
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

    fn marks(&mut self, name: &str, one: &Place<'a>, other: &Place<'a>) {
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
    fn loose_members(&mut self, old: &View<'a>, new: &View<'a>) {
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
    fn renames(
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

    fn items(&mut self, old: &View<'a>, new: &View<'a>) {
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

    // --- alternatives ---

    /// Compares the alternatives. Returns whether that is all there is to compare, one side being one of several
    /// alternatives of the other.
    fn unions(&mut self, old: &View<'a>, new: &View<'a>, alike: bool) -> bool {
        match (old.unions.as_slice(), new.unions.as_slice()) {
            ([], []) => false,
            ([one], [other]) => {
                self.branches(one, other, alike);
                false
            }
            ([one], []) if old.is_only_union() => {
                let other = as_union(new);
                !self.matched(one, &other).0.is_empty() && {
                    self.branches(one, &other, alike);
                    true
                }
            }
            ([], [other]) if new.is_only_union() => {
                let one = as_union(old);
                !self.matched(&one, other).0.is_empty() && {
                    self.branches(&one, other, alike);
                    true
                }
            }
            (was, is) => {
                // Several lists that all hold go by their number.
                for (one, other) in was.iter().zip(is) {
                    self.branches(one, other, alike);
                }
                for one in was.get(is.len()..).unwrap_or_default() {
                    let before = said_place(&one.place, format!("{} alternatives", one.branches.len()));
                    let after = said_of(new, "anyOf", "no alternatives");
                    let demand = one.demand();
                    self.found(Kind::OtherChanged, before, after).by_old = Demand::old(demand);
                }
                for other in is.get(was.len()..).unwrap_or_default() {
                    let before = said_of(old, "anyOf", "no alternatives");
                    let after = said_place(&other.place, format!("{} alternatives", other.branches.len()));
                    let demand = other.demand();
                    self.found(Kind::OtherChanged, before, after).by_new = Demand::new(demand);
                }
                false
            }
        }
    }

    fn branches(&mut self, one: &Union<'a>, other: &Union<'a>, alike: bool) {
        let (pairs, removed, added) = if alike {
            ((0..one.branches.len()).map(|index| (index, index)).collect(), Vec::new(), Vec::new())
        } else {
            self.matched(one, other)
        };
        for (index, other_index) in pairs {
            let (Some(branch), Some(other_branch)) =
                (one.branches.get(index), other.branches.get(other_index))
            else {
                continue;
            };
            let step = Step::Branch { old: one.all_but(index), new: other.all_but(other_index) };
            self.link(step, branch, other_branch);
        }
        // An alternative less or more is asked for with the others as the sending end has them.
        for &index in &removed {
            let Some(branch) = one.branches.get(index) else { continue };
            let before = said_place(branch, label(branch));
            let after = said_place(&other.place, listed(other));
            let by_new = one.without(index);
            let by_old = one.one_of.then(|| one.demand());
            let found = self.found(Kind::BranchRemoved, before, after);
            found.by_new = Demand::old(by_new);
            found.by_old = by_old.and_then(Demand::old);
        }
        for &index in &added {
            let Some(branch) = other.branches.get(index) else { continue };
            let before = said_place(&one.place, listed(one));
            let after = said_place(branch, label(branch));
            let by_old = other.without(index);
            let by_new = other.one_of.then(|| other.demand());
            let found = self.found(Kind::BranchAdded, before, after);
            found.by_old = Demand::new(by_old);
            found.by_new = by_new.and_then(Demand::new);
        }
        if one.one_of != other.one_of && removed.is_empty() && added.is_empty() {
            let text = |union: &Union<'_>| match union.one_of {
                true => "exactly one must match",
                false => "any may match",
            };
            let (before, after) = (said_place(&one.place, text(one)), said_place(&other.place, text(other)));
            let (by_old, by_new) = (one.demand(), other.demand());
            let found = self.found(Kind::OtherChanged, before, after);
            found.by_old = Demand::old(by_old);
            found.by_new = Demand::new(by_new);
        }
    }

    /// Which alternatives are the same ones: by what they accept, by name, by the word that tells them apart, by
    /// type.
    fn matched(
        &mut self,
        one: &Union<'a>,
        other: &Union<'a>,
    ) -> (Vec<(usize, usize)>, Vec<usize>, Vec<usize>) {
        let mut pairs = Vec::new();
        let mut removed: Vec<usize> = (0..one.branches.len()).collect();
        let mut added: Vec<usize> = (0..other.branches.len()).collect();
        for step in 0..5 {
            removed.retain(|&index| {
                let Some(branch) = one.branches.get(index) else { return false };
                let found = added.iter().position(|&other_index| {
                    let Some(other_branch) = other.branches.get(other_index) else { return false };
                    let named = |key: fn(&Place<'_>) -> Option<String>| {
                        let name = key(branch);
                        name.is_some() && name == key(other_branch)
                    };
                    match step {
                        0 => self.judge.same_schema(branch, other_branch),
                        1 => named(reference_name),
                        2 => named(telling_word),
                        3 => named(|place| place.text("title").map(str::to_owned)),
                        _ => named(type_names),
                    }
                });
                match found {
                    Some(place) => {
                        pairs.push((index, added.remove(place)));
                        false
                    }
                    None => true,
                }
            });
        }
        pairs.sort_unstable();
        (pairs, removed, added)
    }

    // --- what does not decide what a value may be ---

    fn annotations(&mut self, old: &View<'a>, new: &View<'a>) {
        let (was, is) = (old.annotation("default"), new.annotation("default"));
        if was != is {
            let text = |default: Option<&Value>| match default {
                Some(value) => format!("default {}", shown(value)),
                None => "no default".to_owned(),
            };
            let (before, after) = (said_of(old, "default", text(was)), said_of(new, "default", text(is)));
            self.found(Kind::DefaultChanged, before, after);
        }
        let flag = |value: Option<&Value>| value == Some(&Value::Bool(true));
        if flag(new.annotation("deprecated")) && !flag(old.annotation("deprecated")) {
            let (before, after) =
                (said_of(old, "deprecated", "not deprecated"), said_of(new, "deprecated", "deprecated"));
            self.found(Kind::Deprecated, before, after);
        }
        let (was, is) = (discriminator(old), discriminator(new));
        if was != is {
            let text = |discriminator: &Option<(String, BTreeMap<String, String>)>| match discriminator {
                Some((member, words)) if words.is_empty() => member.clone(),
                Some((member, words)) => {
                    cut(&format!("{member}: {}", words.keys().cloned().collect::<Vec<_>>().join(", ")))
                }
                None => "no discriminator".to_owned(),
            };
            let (before, after) =
                (said_of(old, "discriminator", text(&was)), said_of(new, "discriminator", text(&is)));
            self.found(Kind::DiscriminatorChanged, before, after);
        }
        self.known_words(old, new);
    }

    fn known_words(&mut self, old: &View<'a>, new: &View<'a>) {
        let listed = |view: &View<'a>| -> Option<(&'static str, Vec<Value>)> {
            ["x-extensible-enum", "x-known-values"]
                .into_iter()
                .find_map(|keyword| Some((keyword, view.annotation(keyword)?.as_array()?.clone())))
        };
        let (Some((keyword, was)), Some((new_keyword, is))) = (listed(old), listed(new)) else { return };
        let missing = |words: &[Value], others: &[Value]| -> Vec<Value> {
            words.iter().filter(|word| !others.contains(word)).cloned().collect()
        };
        let (removed, added) = (missing(&was, &is), missing(&is, &was));
        if !removed.is_empty() {
            let (before, after) =
                (said_of(old, keyword, shown_list(&removed)), said_of(new, new_keyword, shown_list(&is)));
            self.found(Kind::KnownWordRemoved, before, after);
        }
        if !added.is_empty() {
            let (before, after) =
                (said_of(old, keyword, shown_list(&was)), said_of(new, new_keyword, shown_list(&added)));
            self.found(Kind::KnownWordAdded, before, after);
        }
    }
}

/// A schema as an alternative to the alternatives of another, or what it lists as such.
fn as_union<'a>(view: &View<'a>) -> Union<'a> {
    match (view.lists.as_slice(), &view.single) {
        ([list], _) if view.is_only_union() => list.clone(),
        (_, Some(single)) => single.clone(),
        _ => Union {
            place: view.place.clone(),
            one_of: false,
            with_null: false,
            branches: vec![view.place.clone()],
        },
    }
}

impl Union<'_> {
    fn all_but(&self, index: usize) -> Others {
        let others = self.branches.iter().enumerate().filter(|(other, _)| *other != index);
        Others {
            pointers: others.map(|(_, branch)| branch.pointer().to_owned()).collect(),
            with_null: self.with_null,
        }
    }

    /// The list without one of its alternatives.
    fn without(&self, index: usize) -> Value {
        let left = self.branches.iter().enumerate().filter(|(other, _)| *other != index);
        let null = self.with_null.then(|| json!({ "const": null }));
        let left: Vec<Value> =
            null.into_iter().chain(left.map(|(_, branch)| branch.value().clone())).collect();
        // An empty list is no schema.
        if left.is_empty() { Value::Bool(false) } else { json!({ "anyOf": left }) }
    }

    /// What the list demands.
    fn demand(&self) -> Value {
        let branches: Vec<&Value> = self.branches.iter().map(Place::value).collect();
        let demand = json!({ if self.one_of { "oneOf" } else { "anyOf" }: branches });
        if self.with_null { json!({ "anyOf": [{ "const": null }, demand] }) } else { demand }
    }
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
fn named(old: &View<'_>, new: &View<'_>) -> (Vec<String>, Vec<String>) {
    let names: BTreeSet<String> =
        old.members().keys().chain(new.members().keys()).map(|name| (*name).to_owned()).collect();
    let patterns: BTreeSet<String> =
        old.patterns().keys().chain(new.patterns().keys()).map(|name| (*name).to_owned()).collect();
    (names.into_iter().collect(), patterns.into_iter().collect())
}

/// A map from names to what accepts anything.
pub(super) fn anything(names: &[String]) -> Value {
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

pub(super) fn is_marked(place: &Place<'_>, mark: &str) -> bool {
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

fn reference_name(place: &Place<'_>) -> Option<String> {
    let (_, name) = place.text("$ref")?.rsplit_once('/')?;
    Some(name.to_owned())
}

/// A member whose one word tells an alternative from the others.
fn telling_word(place: &Place<'_>) -> Option<String> {
    let members = View::new(place).members();
    members.iter().find_map(|(name, schemas)| {
        let schema = View::new(schemas.first()?);
        match schema.words.as_deref() {
            Some([word]) => Some(format!("{name} {word}")),
            _ => None,
        }
    })
}

fn type_names(place: &Place<'_>) -> Option<String> {
    let mut types = View::new(place).types?;
    types.remove("null");
    Some(types.into_iter().collect::<Vec<_>>().join(" or "))
}

/// What an alternative is called.
fn label(place: &Place<'_>) -> String {
    let title = || place.text("title").map(str::to_owned);
    let other = || cut(&place.value().to_string());
    reference_name(place)
        .or_else(title)
        .or_else(|| telling_word(place))
        .or_else(|| type_names(place))
        .unwrap_or_else(other)
}

fn listed(union: &Union<'_>) -> String {
    cut(&union.branches.iter().map(label).collect::<Vec<_>>().join(" or "))
}

/// The member that tells alternatives apart, and the words for them. What a word refers to goes by its name.
fn discriminator(view: &View<'_>) -> Option<(String, BTreeMap<String, String>)> {
    let discriminator = view.annotation("discriminator")?;
    let member = discriminator.get("propertyName")?.as_str()?.to_owned();
    let mapping = discriminator.get("mapping").and_then(Value::as_object);
    let words = mapping.into_iter().flatten().map(|(word, target)| {
        let target = target.as_str().unwrap_or_default();
        (word.clone(), target.rsplit('/').next().unwrap_or_default().to_owned())
    });
    Some((member, words.collect()))
}

const fn mark(required: bool) -> &'static str {
    if required { "required" } else { "optional" }
}

fn shown(value: &Value) -> String {
    cut(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn shown_list(words: &[Value]) -> String {
    cut(&words.iter().map(shown).collect::<Vec<_>>().join(", "))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a schema says by a keyword: at the keyword if it has it, else at the schema.
fn said_of(view: &View<'_>, keyword: &str, text: impl Into<String>) -> Said {
    let pointer = view
        .values(keyword)
        .next()
        .map_or_else(|| view.place.pointer().to_owned(), |value| value.pointer().to_owned());
    Said { pointer: Some(pointer), text: text.into() }
}

fn said_place(place: &Place<'_>, text: impl Into<String>) -> Said {
    Said { pointer: Some(place.pointer().to_owned()), text: text.into() }
}
