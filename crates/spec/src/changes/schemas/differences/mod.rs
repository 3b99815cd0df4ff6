//! What differs between two schemas for one value, not counting what differs inside its members and items.

mod alternatives;
mod members;
mod values;

use std::collections::BTreeMap;

use serde_json::Value;

pub(super) use self::members::{anything, is_marked};
use super::super::change::Said;
use super::super::rules::Direction;
use super::Judge;
use super::kind::Kind;
use super::view::View;
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

impl Difference {
    /// What the end with this document demands: by what it says, and by what may be relied on.
    pub(super) const fn demands(&self, of: Version) -> [Option<&Demand>; 2] {
        match of {
            Version::Old => [self.by_old.as_ref(), self.faint_by_old.as_ref()],
            Version::New => [self.by_new.as_ref(), self.faint_by_new.as_ref()],
        }
    }
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
    Member {
        name: String,
        /// The only way that it goes in either document.
        only: Option<Direction>,
    },
    /// An item by its place.
    Item(usize),
    /// Items from this place on.
    Items(usize),
    /// Members other than those named or matched.
    Extra { names: Vec<String>, patterns: Vec<String> },
    /// Members that match.
    Pattern(String),
    /// An alternative, with the others on either side.
    Branch { old: Others, new: Others },
}

impl Step {
    /// How a finding shows it.
    pub(super) fn shown(&self, at: &str) -> String {
        match self {
            Self::Member { name, .. } => child(at, name),
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
    if !delegated && values::are_apart(&old, &new) {
        // Where no value is one of both, what else is said of either says nothing of the other.
        comparison.types(&old, &new);
    } else if !delegated {
        if !alike {
            comparison.values(&old, &new);
        }
        comparison.members(&old, &new);
        comparison.items(&old, &new);
    }
    comparison.heirs(&old, &new);
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
        if was != is && !self.is_told_by_branches(&was, &is) {
            let text = |discriminator: &Telling| match discriminator {
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

    /// Whether the words differ in those alone which stand for alternatives that came or are gone.
    fn is_told_by_branches(&self, old: &Telling, new: &Telling) -> bool {
        let (Some((member, was)), Some((now_member, is))) = (old, new) else { return false };
        let told = |kind: Kind, name: &str| {
            self.found.iter().any(|found| {
                let said = if kind == Kind::BranchAdded { &found.new } else { &found.old };
                found.kind == kind && said.text == name
            })
        };
        let settled = |words: &BTreeMap<String, String>, others: &BTreeMap<String, String>, kind: Kind| {
            words.iter().all(|(word, name)| match others.get(word) {
                Some(other) => other == name,
                None => told(kind, name),
            })
        };
        member == now_member && settled(was, is, Kind::BranchRemoved) && settled(is, was, Kind::BranchAdded)
    }

    /// What a discriminator tells apart may stand in no list: schemas that have this one in their `allOf`. They are
    /// not part of what is proved, and that one of them changed is told.
    fn heirs(&mut self, old: &View<'a>, new: &View<'a>) {
        if !old.unions.is_empty() || !new.unions.is_empty() {
            return;
        }
        let (was, is) = (heirs(old), heirs(new));
        for (name, one) in &was {
            let Some(other) = is.get(name) else { continue };
            if !self.judge.are_equivalent(one, other) {
                let (before, after) =
                    (said_place(one, format!("{name} as it was")), said_place(other, "changed"));
                self.found(Kind::DiscriminatorChanged, before, after);
            }
        }
    }

    fn known_words(&mut self, old: &View<'a>, new: &View<'a>) {
        let listed = |view: &View<'a>| -> Option<(&'static str, Vec<Value>)> {
            ["x-extensible-enum", "x-known-values"]
                .into_iter()
                .find_map(|keyword| Some((keyword, view.annotation(keyword)?.as_array()?.clone())))
        };
        let (Some((keyword, was)), Some((new_keyword, is))) = (listed(old), listed(new)) else { return };
        let (removed, added) = (values::missing(&was, &is), values::missing(&is, &was));
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

/// The schemas that words of a discriminator refer to, by their names; those of the schema itself are left out.
fn heirs<'a>(view: &View<'a>) -> BTreeMap<String, Place<'a>> {
    let mut heirs = BTreeMap::new();
    let Some(words) = view.values("discriminator").find_map(|place| place.get("mapping")) else {
        return heirs;
    };
    for (_, word) in words.members() {
        let Some(target) = word.value().as_str() else { continue };
        let reference = match target.contains(['#', '/', '.']) {
            true => target.to_owned(),
            false => format!("#/components/schemas/{target}"),
        };
        let Ok(place) = word.follow(&reference) else { continue };
        let name = reference.rsplit('/').next().unwrap_or_default().to_owned();
        if place.pointer() != view.place.pointer() {
            heirs.insert(name, place);
        }
    }
    heirs
}

/// A member with the words that it may be, each with the name of what it stands for.
type Telling = Option<(String, BTreeMap<String, String>)>;

/// The member that tells alternatives apart, and the words for them. What a word refers to goes by its name.
fn discriminator(view: &View<'_>) -> Telling {
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
