use std::collections::HashMap;
use std::sync::Arc;

use super::SchemaId;
use super::node::{Literal, Node};
use super::outside::Outside;
use super::tags::Tags;
use super::types::Types;
use super::values::Values;

/// Lists longer than this are not copied into lists around them.
const WIDEST_FLAT: usize = 500;

#[derive(Debug)]
pub(super) struct Entry {
    node: Node,
    /// The types of which some value may be accepted, and of which some may be refused.
    accepts: Types,
    refuses: Types,
    /// How deep schemas stand in each other here, references apart.
    height: u32,
    pub(super) tags: Option<Tags>,
}

/// Schemas higher than this are referred to, so that nothing that walks the arena goes too deep.
const HIGHEST: u32 = 100;

/// All schemas of a prover, each once.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    pub(super) entries: Vec<Entry>,
    ids: HashMap<Node, SchemaId>,
    /// What the references stand for; `None` while it is being read.
    targets: Vec<Option<SchemaId>>,
    references: HashMap<SchemaId, SchemaId>,
    /// Judges the patterns and formats that are not modelled here.
    pub(super) outside: Outside,
}

impl Arena {
    pub(crate) fn new() -> Self {
        let mut arena = Self::default();
        arena.intern(Node::Always);
        arena.intern(Node::Never);
        arena
    }

    pub(crate) const ALWAYS: SchemaId = SchemaId(0);
    pub(crate) const NEVER: SchemaId = SchemaId(1);

    pub(crate) fn node(&self, id: SchemaId) -> &Node {
        self.entries.get(id.0 as usize).map_or(&Node::Always, |entry| &entry.node)
    }

    pub(crate) fn intern(&mut self, node: Node) -> SchemaId {
        if let Some(id) = self.ids.get(&node) {
            return *id;
        }
        let (accepts, refuses) = self.masks(&node);
        // Half of the numbers are for literals. A document would have to hold two thousand million schemas.
        let id = SchemaId(u32::try_from(self.entries.len()).unwrap_or(u32::MAX) & (u32::MAX >> 1));
        let height = node.children().map(|child| self.height(child)).max().unwrap_or(0).saturating_add(1);
        self.ids.insert(node.clone(), id);
        self.entries.push(Entry { node, accepts, refuses, height, tags: None });
        id
    }

    fn height(&self, id: SchemaId) -> u32 {
        self.entries.get(id.0 as usize).map_or(0, |entry| entry.height)
    }

    /// The same schema, behind a reference if it is too high to be built upon.
    pub(crate) fn low(&mut self, id: SchemaId) -> SchemaId {
        if self.height(id) <= HIGHEST {
            return id;
        }
        if let Some(known) = self.references.get(&id) {
            return *known;
        }
        let (reference, schema) = self.promise();
        self.keep_promise(reference, id);
        self.references.insert(id, schema);
        schema
    }

    /// The types of which the literal may hold for some value. It may hold for none, after all.
    pub(crate) fn types(&self, literal: Literal) -> Types {
        let mut schema = literal.schema();
        if let Node::Reference(reference) = self.node(schema) {
            schema = self.target(*reference).unwrap_or(schema);
        }
        match self.entries.get(schema.0 as usize) {
            Some(entry) if literal.positive() => entry.accepts,
            Some(entry) => entry.refuses,
            None => Types::ALL,
        }
    }

    pub(super) fn accepts(&self, id: SchemaId) -> Types {
        self.types(Literal::holds(id))
    }

    fn refuses(&self, id: SchemaId) -> Types {
        self.types(Literal::fails(id))
    }

    fn masks(&self, node: &Node) -> (Types, Types) {
        let unless_always = |schema: &SchemaId, own: Types| {
            if self.refuses(*schema) == Types::NONE { Types::NONE } else { own }
        };
        match node {
            Node::Always | Node::Open => (Types::ALL, Types::NONE),
            Node::Never => (Types::NONE, Types::ALL),
            Node::Type(types) => (*types, !*types),
            Node::Values(values) => (values.types(), !values.exhausted()),
            Node::Lower(_) | Node::Upper(_) | Node::MultipleOf(_) => (Types::ALL, Types::NUMBER),
            Node::MinLength(0) => (Types::ALL, Types::NONE),
            Node::MinLength(_) | Node::MaxLength(_) | Node::Pattern(_) | Node::Format(_) => {
                (Types::ALL, Types::STRING)
            }
            Node::MinItems(0) | Node::ContainsMin(_, 0) => (Types::ALL, Types::NONE),
            Node::MinItems(_)
            | Node::MaxItems(_)
            | Node::Unique
            | Node::ContainsMin(..)
            | Node::ContainsMax(..) => (Types::ALL, Types::ARRAY),
            Node::Item(_, schema) | Node::Rest(_, schema) | Node::UnevaluatedItems { schema, .. } => {
                (Types::ALL, unless_always(schema, Types::ARRAY))
            }
            Node::MinProperties(0) => (Types::ALL, Types::NONE),
            Node::MinProperties(_) | Node::MaxProperties(_) | Node::Has(_) => (Types::ALL, Types::OBJECT),
            Node::Property(_, schema)
            | Node::Matching(_, schema)
            | Node::Others { schema, .. }
            | Node::UnevaluatedProperties { schema, .. } => {
                (Types::ALL, unless_always(schema, Types::OBJECT))
            }
            Node::Names(schema) => {
                let refuses =
                    if self.refuses(*schema).meets(Types::STRING) { Types::OBJECT } else { Types::NONE };
                (Types::ALL, refuses)
            }
            Node::All(parts) => (
                parts.iter().fold(Types::ALL, |types, part| types & self.accepts(*part)),
                parts.iter().fold(Types::NONE, |types, part| types | self.refuses(*part)),
            ),
            Node::Any(parts) => (
                parts.iter().fold(Types::NONE, |types, part| types | self.accepts(*part)),
                parts.iter().fold(Types::ALL, |types, part| types & self.refuses(*part)),
            ),
            Node::One(parts) => {
                let (mut once, mut twice, mut none) = (Types::NONE, Types::NONE, Types::ALL);
                for part in parts.iter() {
                    let accepts = self.accepts(*part);
                    twice = twice | (once & accepts);
                    once = once | accepts;
                    none = none & self.refuses(*part);
                }
                (once, none | twice)
            }
            Node::Not(inner) => (self.refuses(*inner), self.accepts(*inner)),
            Node::Reference(_) => (Types::ALL, Types::ALL),
        }
    }

    pub(crate) fn all(&mut self, parts: impl IntoIterator<Item = SchemaId>) -> SchemaId {
        let mut flat = Vec::new();
        for part in parts {
            match self.node(part) {
                Node::Always => {}
                Node::Never => return Self::NEVER,
                Node::All(inner) if inner.len() <= WIDEST_FLAT => flat.extend_from_slice(inner),
                _ => flat.push(part),
            }
        }
        self.group(flat, Self::ALWAYS, Node::All)
    }

    pub(crate) fn any(&mut self, parts: impl IntoIterator<Item = SchemaId>) -> SchemaId {
        let mut flat = Vec::new();
        for part in parts {
            match self.node(part) {
                Node::Never => {}
                Node::Any(inner) if inner.len() <= WIDEST_FLAT => flat.extend_from_slice(inner),
                _ => flat.push(part),
            }
        }
        self.group(flat, Self::NEVER, Node::Any)
    }

    /// Exactly one holds. Where the branches exclude each other at first sight, that is as much as any of them.
    pub(crate) fn one(&mut self, parts: Vec<SchemaId>) -> SchemaId {
        let parts: Vec<_> = parts.into_iter().filter(|part| *part != Self::NEVER).collect();
        if self.apart(&parts) { self.any(parts) } else { self.intern(Node::One(parts.into())) }
    }

    fn group(
        &mut self,
        mut parts: Vec<SchemaId>,
        none: SchemaId,
        node: impl Fn(Arc<[SchemaId]>) -> Node,
    ) -> SchemaId {
        parts.sort_unstable();
        parts.dedup();
        match parts.as_slice() {
            [] => none,
            [single] => *single,
            _ => self.intern(node(parts.into())),
        }
    }

    pub(crate) fn not(&mut self, schema: SchemaId) -> SchemaId {
        match self.node(schema) {
            Node::Always => Self::NEVER,
            Node::Never => Self::ALWAYS,
            Node::Type(types) => {
                let types = !*types;
                self.type_of(types)
            }
            _ => self.intern(Node::Not(schema)),
        }
    }

    pub(crate) fn type_of(&mut self, types: Types) -> SchemaId {
        match types {
            Types::ALL => Self::ALWAYS,
            Types::NONE => Self::NEVER,
            _ => self.intern(Node::Type(types)),
        }
    }

    pub(crate) fn values(&mut self, values: impl IntoIterator<Item = serde_json::Value>) -> SchemaId {
        self.intern(Node::Values(Arc::new(Values::new(values))))
    }

    /// A reference whose target is still to be read.
    pub(crate) fn promise(&mut self) -> (u32, SchemaId) {
        let reference = u32::try_from(self.targets.len()).unwrap_or(u32::MAX);
        self.targets.push(None);
        (reference, self.intern(Node::Reference(reference)))
    }

    pub(crate) fn keep_promise(&mut self, reference: u32, target: SchemaId) {
        if let Some(slot) = self.targets.get_mut(reference as usize) {
            *slot = Some(target);
        }
    }

    /// What a reference stands for.
    pub(crate) fn target(&self, reference: u32) -> Option<SchemaId> {
        self.targets.get(reference as usize).copied().flatten()
    }
}
