use std::collections::BTreeMap;
use std::sync::Arc;

use super::SchemaId;
use super::arena::Arena;
use super::node::{Name, Node};
use super::types::Types;
use super::values::Values;

/// Members that every object of a schema has, with the few values that each may be: what tells the branches of a
/// union apart.
pub(crate) type Tags = Arc<BTreeMap<Name, Arc<Values>>>;

/// Tags of more values than this are of no use in telling branches apart.
const MOST_TAG_VALUES: usize = 64;

impl Arena {
    /// Whether the branches of a union exclude each other, at first sight.
    pub(super) fn apart(&mut self, parts: &[SchemaId]) -> bool {
        // By a tag that all have, in one walk, since a union may be wide.
        let types = parts.iter().try_fold(Types::NONE, |seen, part| {
            let accepts = self.accepts(*part);
            if seen.meets(accepts) { None } else { Some(seen | accepts) }
        });
        if types.is_some() {
            return true;
        }
        if parts.iter().any(|part| self.accepts(*part) != Types::OBJECT) {
            return parts.len() <= 64
                && parts.iter().enumerate().all(|(index, one)| {
                    parts.get(index + 1..).unwrap_or_default().iter().all(|other| self.excludes(*one, *other))
                });
        }
        let tags: Vec<_> = parts.iter().map(|part| self.tags(*part)).collect();
        let Some((first, rest)) = tags.split_first() else { return true };
        first.iter().any(|(name, values)| {
            let mut seen: Values = (**values).clone();
            rest.iter().all(|tags| match tags.get(name) {
                Some(values) if values.is_disjoint(&seen) => {
                    seen = seen.union(values);
                    true
                }
                _ => false,
            })
        })
    }

    /// Whether no value can be of both, at first sight.
    pub(crate) fn excludes(&mut self, one: SchemaId, other: SchemaId) -> bool {
        let both = self.accepts(one) & self.accepts(other);
        if both == Types::NONE {
            return true;
        }
        if both != Types::OBJECT {
            return false;
        }
        let (one, other) = (self.tags(one), self.tags(other));
        one.iter().any(|(name, values)| other.get(name).is_some_and(|others| others.is_disjoint(values)))
    }

    /// The tags of a schema's objects.
    pub(crate) fn tags(&mut self, id: SchemaId) -> Tags {
        if let Some(tags) = self.entries.get(id.0 as usize).and_then(|entry| entry.tags.clone()) {
            return tags;
        }
        let tags = Arc::new(self.find_tags(id));
        // A reference may not have its target yet.
        let settled = !matches!(self.node(id), Node::Reference(_));
        if settled && let Some(entry) = self.entries.get_mut(id.0 as usize) {
            entry.tags = Some(Arc::clone(&tags));
        }
        tags
    }

    fn find_tags(&mut self, id: SchemaId) -> BTreeMap<Name, Arc<Values>> {
        let mut tags = BTreeMap::new();
        match self.node(id).clone() {
            Node::All(parts) => {
                for part in parts.iter() {
                    match self.node(*part) {
                        Node::Property(name, schema) => {
                            if let Some(values) = self.few(*schema)
                                && parts
                                    .iter()
                                    .any(|part| matches!(self.node(*part), Node::Has(has) if has == name))
                            {
                                tags.insert(name.clone(), values);
                            }
                        }
                        Node::Any(_) | Node::One(_) => {
                            for (name, values) in self.tags(*part).iter() {
                                tags.entry(name.clone()).or_insert_with(|| Arc::clone(values));
                            }
                        }
                        _ => {}
                    }
                }
            }
            Node::Any(parts) | Node::One(parts) => {
                let objects: Vec<_> =
                    parts.iter().filter(|part| self.accepts(**part).meets(Types::OBJECT)).copied().collect();
                let mut each =
                    objects.into_iter().map(|part| self.tags(part)).collect::<Vec<_>>().into_iter();
                if let Some(first) = each.next() {
                    tags = (*first).clone();
                    for other in each {
                        tags.retain(|name, values| match other.get(name) {
                            Some(others) => {
                                *values = Arc::new(values.union(others));
                                values.len() <= MOST_TAG_VALUES
                            }
                            None => false,
                        });
                    }
                }
            }
            _ => {}
        }
        tags
    }

    /// The values of a schema that says them in so many words.
    pub(crate) fn few(&self, id: SchemaId) -> Option<Arc<Values>> {
        let values = match self.node(id) {
            Node::Values(values) => Some(values),
            Node::All(parts) => parts.iter().find_map(|part| match self.node(*part) {
                Node::Values(values) => Some(values),
                _ => None,
            }),
            _ => None,
        };
        values.filter(|values| values.len() <= MOST_TAG_VALUES).cloned()
    }
}
