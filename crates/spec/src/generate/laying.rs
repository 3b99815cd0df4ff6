//! Rules as schema keywords at their places.

use std::collections::{BTreeMap, BTreeSet};

use fleetwire_protocol::wire::schema::ALIAS_OF;
use fleetwire_validation::{Keyword, Rule};
use serde_json::{Map, Value, json};

use super::contract::component_of;

/// Rules by their places, as a tree of pointer segments.
#[derive(Default)]
pub(super) struct Tree {
    rules: Vec<&'static Rule>,
    below: BTreeMap<&'static str, Self>,
}

impl Tree {
    pub(super) fn of(rules: &[&'static Rule]) -> Self {
        let mut root = Self::default();
        for &rule in rules {
            let mut node = &mut root;
            for segment in rule.pointer.split('/').skip(1) {
                node = node.below.entry(segment).or_default();
            }
            node.rules.push(rule);
        }
        root
    }

    pub(super) fn at_root(rules: impl Iterator<Item = &'static Rule>) -> Self {
        Self { rules: rules.collect(), below: BTreeMap::new() }
    }

    fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.below.is_empty()
    }
}

/// Lays rules over schemas.
pub(super) struct Laying<'a> {
    components: &'a mut Map<String, Value>,
    /// Components that several places refer to: the rules of one place must not reach the others.
    shared: &'a BTreeSet<String>,
    laid: BTreeSet<&'static str>,
    /// Whether the schema at hand is a copy of a shared one, so that whatever it refers to is shared too.
    in_copy: bool,
}

impl<'a> Laying<'a> {
    pub(super) fn new(components: &'a mut Map<String, Value>, shared: &'a BTreeSet<String>) -> Self {
        Self { components, shared, laid: BTreeSet::new(), in_copy: false }
    }

    /// The ids of the rules that keywords now say.
    pub(super) fn into_laid(self) -> BTreeSet<&'static str> {
        self.laid
    }

    pub(super) fn lay(&mut self, schema: &mut Value, tree: &Tree) {
        if tree.is_empty() {
            return;
        }
        if let Some(name) = component_of(schema) {
            self.lay_referred(schema, &name, tree);
            return;
        }
        let Value::Object(node) = schema else { return };
        for keyword in ["allOf", "anyOf", "oneOf"] {
            if let Some(Value::Array(branches)) = node.get_mut(keyword) {
                for branch in branches {
                    self.lay(branch, tree);
                }
            }
        }
        for (&segment, child) in &tree.below {
            self.lay_member(node, segment, child);
        }
        for rule in &tree.rules {
            if state(node, rule.keyword) {
                self.laid.insert(rule.id);
            }
        }
    }

    fn lay_referred(&mut self, schema: &mut Value, name: &str, tree: &Tree) {
        let Some(mut component) = self.components.get(name).cloned() else { return };
        if self.in_copy || self.shared.contains(name) {
            let outer = std::mem::replace(&mut self.in_copy, true);
            self.lay(&mut component, tree);
            self.in_copy = outer;
            let (Value::Object(node), Value::Object(mut copy)) = (schema, component) else { return };
            node.remove("$ref");
            copy.insert("title".to_owned(), name.into());
            // What the place says of itself goes before what the type says.
            copy.extend(std::mem::take(node));
            *node = copy;
        } else {
            self.lay(&mut component, tree);
            self.components.insert(name.to_owned(), component);
        }
    }

    fn lay_member(&mut self, node: &mut Map<String, Value>, segment: &str, child: &Tree) {
        if segment == "*" {
            if let Some(items) = node.get_mut("items") {
                self.lay(items, child);
            }
            return;
        }
        let Some(Value::Object(members)) = node.get_mut("properties") else { return };
        if !members.contains_key(segment) {
            return;
        }
        // A member that is not sent is no part of the contract; that it must not be sent, no keyword of the
        // contract says, since it leaves unknown members open.
        if child.rules.iter().any(|rule| rule.keyword == Keyword::Absent) {
            members.remove(segment);
            return;
        }
        for (name, member) in members {
            let is_alias = || member.get(ALIAS_OF).is_some_and(|of| of == segment);
            if name == segment || is_alias() {
                self.lay(member, child);
            }
        }
        for rule in &child.rules {
            if rule.keyword != Keyword::Required {
                continue;
            }
            if let Value::Array(required) = node.entry("required").or_insert_with(|| json!([])) {
                if !required.iter().any(|name| name == segment) {
                    required.push(segment.into());
                    required.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
                }
                self.laid.insert(rule.id);
            }
        }
    }
}

/// States a keyword on a schema of a type that it is about; false where no schema can say it.
fn state(node: &mut Map<String, Value>, keyword: Keyword) -> bool {
    let Some(Value::Object(said)) = keyword.schema() else { return false };
    if !is(node, keyword.types()) {
        return false;
    }
    for (keyword, value) in said {
        match keyword.as_str() {
            "minimum" | "minLength" | "minItems" => bounded(node, &keyword, value, |own, new| own < new),
            "maximum" | "maxLength" | "maxItems" | "maxProperties" => {
                bounded(node, &keyword, value, |own, new| own > new);
            }
            _ => {
                node.insert(keyword, value);
            }
        }
    }
    true
}

/// Whether a schema admits one of the types by name.
fn is(node: &Map<String, Value>, types: &[&str]) -> bool {
    match node.get("type") {
        Some(Value::String(own)) => types.contains(&own.as_str()),
        Some(Value::Array(own)) => own.iter().any(|own| own.as_str().is_some_and(|own| types.contains(&own))),
        _ => false,
    }
}

/// Sets a bound unless the schema has a stricter one.
fn bounded(node: &mut Map<String, Value>, keyword: &str, bound: Value, is_looser: fn(f64, f64) -> bool) {
    let own = node.get(keyword).and_then(Value::as_f64);
    if own.zip(bound.as_f64()).is_none_or(|(own, new)| is_looser(own, new)) {
        node.insert(keyword.to_owned(), bound);
    }
}
