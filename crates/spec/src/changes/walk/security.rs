//! Security schemes, and what operations require of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::rules::Rule;
use super::{NOTHING, Operation, Walk, listed, said, said_at};
use crate::document::{Document, Place};

impl<'a> Walk<'a> {
    /// Compares the security schemes; returns what old schemes are called in the new document where that differs,
    /// by the new names.
    pub(super) fn schemes(&mut self) -> BTreeMap<String, String> {
        let documents = (self.old, self.new);
        let mut listed = |document: &'a Document| {
            let schemes = document.at("/components/securitySchemes");
            let members: Vec<_> = schemes.iter().flat_map(Place::members).collect();
            let mut listed = BTreeMap::new();
            for (name, scheme) in members {
                if let Some(scheme) = self.resolve(&scheme, Rule::RequestUndecided) {
                    let text = scheme_text(&scheme);
                    listed.insert(name.to_owned(), (scheme, text));
                }
            }
            listed
        };
        let (old, mut new) = (listed(documents.0), listed(documents.1));
        let mut renamed = BTreeMap::new();
        let mut lost = Vec::new();
        for (name, (place, text)) in &old {
            match new.remove(name) {
                Some((_, other)) if other == *text => {}
                Some((other, now)) => {
                    self.found(Rule::SecuritySchemeChanged, said(place, text), said(&other, now));
                }
                None => lost.push((name, place, text)),
            }
        }
        for (name, place, text) in lost {
            // A name of a scheme does not travel.
            let other = new.iter().find(|(_, (_, now))| now == text).map(|(name, _)| name.clone());
            match other {
                Some(other) => {
                    new.remove(&other);
                    renamed.insert(other, name.clone());
                }
                None => {
                    let nothing = said_at(Some("/components/securitySchemes".to_owned()), NOTHING);
                    self.found(Rule::SecuritySchemeRemoved, said(place, format!("{name}: {text}")), nothing);
                }
            }
        }
        for (name, (place, text)) in new {
            let nothing = said_at(Some("/components/securitySchemes".to_owned()), NOTHING);
            self.found(Rule::SecuritySchemeAdded, nothing, said(&place, format!("{name}: {text}")));
        }
        renamed
    }

    pub(super) fn security(
        &mut self,
        was: &Operation<'a>,
        is: &Operation<'a>,
        renamed: &BTreeMap<String, String>,
    ) {
        let (old, old_place) = required(self.old, &was.place, &BTreeMap::new());
        let (new, new_place) = required(self.new, &is.place, renamed);
        let old_said = |text: String| said_at(Some(old_place.clone()), text);
        let new_said = |text: String| said_at(Some(new_place.clone()), text);
        let (open, now_open) = (is_open(&old), is_open(&new));
        match (open, now_open) {
            (true, false) => self.found(
                Rule::AnonymousRefused,
                old_said("no credentials".to_owned()),
                new_said(sets(&new)),
            ),
            (false, true) => self.found(
                Rule::AnonymousAccepted,
                old_said(sets(&old)),
                new_said("no credentials".to_owned()),
            ),
            _ => {}
        }
        for (set, other) in unmet(&old, &new) {
            let rule = if other.is_some() { Rule::ScopeRequired } else { Rule::CredentialsRefused };
            let now = other.map_or_else(|| sets(&new), credentials);
            self.found(rule, old_said(credentials(set)), new_said(now));
        }
        for (set, other) in unmet(&new, &old) {
            let rule = if other.is_some() { Rule::ScopeDropped } else { Rule::CredentialsAccepted };
            let before = other.map_or_else(|| sets(&old), credentials);
            self.found(rule, old_said(before), new_said(credentials(set)));
        }
    }
}

fn scheme_text(scheme: &Place<'_>) -> String {
    let text = |member: &str| scheme.text(member).unwrap_or_default();
    match text("type") {
        "apiKey" if text("in") == "header" => {
            format!("key in header {}", text("name").to_ascii_lowercase())
        }
        "apiKey" => format!("key in {} {}", text("in"), text("name")),
        "http" => format!("http {}", text("scheme").to_ascii_lowercase()),
        "openIdConnect" => format!("openIdConnect {}", text("openIdConnectUrl")),
        "oauth2" => {
            let flows = scheme.get("flows");
            let flows = flows.iter().flat_map(Place::members).map(|(name, flow)| {
                let text = |member: &str| flow.text(member).unwrap_or_default();
                format!("{name} {} {}", text("authorizationUrl"), text("tokenUrl"))
            });
            format!("oauth2 {}", flows.collect::<Vec<_>>().join(", "))
        }
        other => other.to_owned(),
    }
}

/// Schemes that are taken together, each with its scopes.
type Set = BTreeMap<String, BTreeSet<String>>;

/// The sets that an operation takes.
type Sets = Vec<Set>;

/// What an operation requires, and where that stands. An empty list requires nothing.
fn required(
    document: &Document,
    operation: &Place<'_>,
    renamed: &BTreeMap<String, String>,
) -> (Sets, String) {
    let own = operation.get("security").or_else(|| document.at("/security"));
    let Some(place) = own else {
        return (vec![BTreeMap::new()], crate::document::child(operation.pointer(), "security"));
    };
    let mut sets: Sets = Vec::new();
    for set in place.items() {
        let schemes = set.members().map(|(name, scopes)| {
            let name = renamed.get(name).map_or(name, String::as_str).to_owned();
            let scopes = scopes.value().as_array().into_iter().flatten();
            (name, scopes.filter_map(Value::as_str).map(str::to_owned).collect())
        });
        let set = schemes.collect();
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    if sets.is_empty() {
        sets.push(BTreeMap::new());
    }
    (sets, place.pointer().to_owned())
}

fn is_open(sets: &Sets) -> bool {
    sets.iter().any(BTreeMap::is_empty)
}

/// The sets of credentials of one list that the other does not take, each with a set of the other that differs
/// from it in scopes alone.
fn unmet<'s>(sets: &'s Sets, others: &'s Sets) -> Vec<(&'s Set, Option<&'s Set>)> {
    let suffices = |set: &Set, other: &Set| {
        other.iter().all(|(name, scopes)| set.get(name).is_some_and(|held| scopes.is_subset(held)))
    };
    let unmet = sets.iter().filter(|set| !set.is_empty() && !others.iter().any(|other| suffices(set, other)));
    unmet.map(|set| (set, others.iter().find(|other| other.keys().eq(set.keys())))).collect()
}

fn credentials(set: &Set) -> String {
    if set.is_empty() {
        return "no credentials".to_owned();
    }
    let scheme = |(name, scopes): (&String, &BTreeSet<String>)| match scopes.is_empty() {
        true => name.clone(),
        false => format!("{name} ({})", listed(scopes)),
    };
    set.iter().map(scheme).collect::<Vec<_>>().join(" + ")
}

fn sets(sets: &Sets) -> String {
    sets.iter().map(credentials).collect::<Vec<_>>().join(" or ")
}
