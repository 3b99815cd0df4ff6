//! Alternatives: `anyOf` and `oneOf`.

use serde_json::{Value, json};

use super::super::kind::Kind;
use super::super::view::{Union, View};
use super::{Comparison, Demand, Others, Step, cut, said_of, said_place};
use crate::document::Place;

impl<'a> Comparison<'_, '_, 'a> {
    /// Compares the alternatives. Returns whether that is all there is to compare, one side being one of several
    /// alternatives of the other.
    pub(super) fn unions(&mut self, old: &View<'a>, new: &View<'a>, alike: bool) -> bool {
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

    pub(super) fn branches(&mut self, one: &Union<'a>, other: &Union<'a>, alike: bool) {
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
    pub(super) fn matched(
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

pub(super) fn listed(union: &Union<'_>) -> String {
    cut(&union.branches.iter().map(label).collect::<Vec<_>>().join(" or "))
}
