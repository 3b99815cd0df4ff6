use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::SchemaId;
use super::arena::Arena;
use super::node::{Name, Node};
use super::number::{Bound, Decimal};
use super::text::Pattern;
use super::types::Types;

/// A change of a whole schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    /// Members that no schema of the object names are forbidden, unless one declares the object open.
    Closed,
    /// Integers without bounds of their own are those of 64 bits, with or without sign.
    MachineIntegers,
}

/// Changed schemas by what they were made of; `true` where the schema is the whole of a value's.
pub(crate) type Changed = HashMap<(SchemaId, Change, bool), SchemaId>;

/// A change that is under way.
struct Changing<'a> {
    arena: &'a mut Arena,
    changed: &'a mut Changed,
    change: Change,
    /// References whose targets wait to be changed.
    rest: Vec<(u32, u32, bool)>,
}

impl Arena {
    /// The schema after a change.
    pub(crate) fn changed(&mut self, changed: &mut Changed, change: Change, schema: SchemaId) -> SchemaId {
        let mut changing = Changing { arena: self, changed, change, rest: Vec::new() };
        let result = changing.schema(schema, true);
        while let Some((old, new, whole)) = changing.rest.pop() {
            if let Some(target) = changing.arena.target(old) {
                let target = changing.schema(target, whole);
                changing.arena.keep_promise(new, target);
            }
        }
        result
    }
}

impl Changing<'_> {
    /// `whole`: this is all that is said of a value at this place, and not only a part of it.
    fn schema(&mut self, id: SchemaId, whole: bool) -> SchemaId {
        let key = (id, self.change, whole);
        if let Some(known) = self.changed.get(&key) {
            return *known;
        }
        let mut new = self.node(id, whole);
        if whole && self.change == Change::Closed && !matches!(self.arena.node(id), Node::Reference(_)) {
            let (mut naming, mut looks) = (Naming::default(), LOOKS);
            naming.collect(self.arena, id, &[], &mut looks);
            if let Some(others) = naming.others() {
                let others = self.arena.intern(others);
                new = self.arena.all([new, others]);
            }
        }
        self.changed.insert(key, new);
        // A change that was made is not made again.
        self.changed.entry((new, self.change, whole)).or_insert(new);
        new
    }

    fn node(&mut self, id: SchemaId, whole: bool) -> SchemaId {
        let node = match self.arena.node(id).clone() {
            Node::Reference(old) => {
                let (new, schema) = self.arena.promise();
                self.rest.push((old, new, whole));
                return schema;
            }
            Node::All(parts) => {
                let mut new: Vec<_> = parts.iter().map(|part| self.schema(*part, false)).collect();
                if self.change == Change::MachineIntegers {
                    new.extend(self.bounds(&parts));
                }
                return self.arena.all(new);
            }
            Node::Any(parts) => {
                let new: Vec<_> = parts.iter().map(|part| self.schema(*part, false)).collect();
                return self.arena.any(new);
            }
            Node::One(parts) => {
                // A changed branch may accept less, and so would let in what two branches accepted.
                let new: Vec<_> = parts.iter().map(|part| self.schema(*part, false)).collect();
                let any = self.arena.any(new);
                return self.arena.all([id, any]);
            }
            Node::Type(_) if self.change == Change::MachineIntegers => {
                let bounds = self.bounds(&[id]);
                return self.arena.all(bounds.into_iter().chain([id]));
            }
            Node::Item(index, schema) => Node::Item(index, self.schema(schema, true)),
            Node::Rest(from, schema) => Node::Rest(from, self.schema(schema, true)),
            Node::Property(name, schema) => Node::Property(name, self.schema(schema, true)),
            Node::Matching(pattern, schema) => Node::Matching(pattern, self.schema(schema, true)),
            Node::Others { names, patterns, schema } => {
                Node::Others { names, patterns, schema: self.schema(schema, true) }
            }
            Node::UnevaluatedItems { of, schema } => {
                Node::UnevaluatedItems { of, schema: self.schema(schema, true) }
            }
            Node::UnevaluatedProperties { of, schema } => {
                Node::UnevaluatedProperties { of, schema: self.schema(schema, true) }
            }
            _ => return id,
        };
        self.arena.intern(node)
    }

    /// The bounds that a list of schemas of one value lacks, if it asks for integers.
    fn bounds(&mut self, parts: &[SchemaId]) -> Vec<SchemaId> {
        let is = |what: &dyn Fn(&Node) -> bool| parts.iter().any(|part| what(self.arena.node(*part)));
        let integer = is(
            &|node| matches!(node, Node::Type(types) if types.has(Types::INTEGER) && !types.has(Types::FRACTION)),
        );
        let (lower, upper) =
            (is(&|node| matches!(node, Node::Lower(_))), is(&|node| matches!(node, Node::Upper(_))));
        let bound = |value| Bound { value, exclusive: false };
        let mut bounds = Vec::new();
        if integer && !lower {
            bounds.push(self.arena.intern(Node::Lower(bound(Decimal::from(i64::MIN)))));
        }
        if integer && !upper {
            bounds.push(self.arena.intern(Node::Upper(bound(Decimal::from(i64::MAX)))));
        }
        bounds
    }
}

/// What the schemas of one value say of its members.
#[derive(Default)]
struct Naming {
    names: BTreeSet<Name>,
    patterns: Vec<Arc<Pattern>>,
    open: bool,
}

/// How many schemas are looked at for the names of one object.
const LOOKS: usize = 100_000;

impl Naming {
    /// All other members, forbidden; `None` if the object is open.
    fn others(self) -> Option<Node> {
        if self.open || (self.names.is_empty() && self.patterns.is_empty()) {
            return None;
        }
        Some(Node::Others {
            names: self.names.into_iter().collect(),
            patterns: self.patterns.into(),
            schema: Arena::NEVER,
        })
    }

    fn collect(&mut self, arena: &Arena, id: SchemaId, within: &[SchemaId], looks: &mut usize) {
        if self.open || within.len() > 200 {
            return;
        }
        match looks.checked_sub(1) {
            Some(left) => *looks = left,
            // What is too vast to be looked through is not closed.
            None => self.open = true,
        }
        match arena.node(id) {
            Node::Open => self.open = true,
            Node::Has(name) | Node::Property(name, _) => {
                self.names.insert(Arc::clone(name));
            }
            Node::Matching(pattern, _) => self.pattern(Arc::clone(pattern)),
            Node::All(parts) => parts.iter().for_each(|part| self.collect(arena, *part, within, looks)),
            Node::Any(parts) | Node::One(parts) => {
                for part in parts.iter() {
                    self.branch(arena, *part, within, looks);
                }
            }
            Node::Not(inner) => {
                // What must be absent is named all the same.
                if let Node::Has(name) = arena.node(*inner) {
                    self.names.insert(Arc::clone(name));
                }
            }
            Node::Reference(reference) => {
                if let Some(target) = arena.target(*reference)
                    && !within.contains(&target)
                {
                    self.collect(arena, target, &[within, &[target]].concat(), looks);
                }
            }
            _ => {}
        }
    }

    /// A branch that asks for an object and names no member is an open object.
    fn branch(&mut self, arena: &Arena, id: SchemaId, within: &[SchemaId], looks: &mut usize) {
        let mut own = Self::default();
        own.collect(arena, id, within, looks);
        let nothing = own.names.is_empty() && own.patterns.is_empty();
        self.open |= own.open || (nothing && asks_for_object(arena, id));
        self.names.extend(own.names);
        own.patterns.into_iter().for_each(|pattern| self.pattern(pattern));
    }

    fn pattern(&mut self, pattern: Arc<Pattern>) {
        if !self.patterns.contains(&pattern) {
            self.patterns.push(pattern);
        }
    }
}

fn asks_for_object(arena: &Arena, id: SchemaId) -> bool {
    let explicit = |id: SchemaId| matches!(arena.node(id), Node::Type(types) if types.has(Types::OBJECT));
    let target = match arena.node(id) {
        Node::Reference(reference) => arena.target(*reference).unwrap_or(id),
        _ => id,
    };
    // One that lists values lists all objects that it has.
    let listed = |id: SchemaId| matches!(arena.node(id), Node::Values(_));
    match arena.node(target) {
        Node::Always => true,
        Node::All(parts) => {
            parts.iter().any(|part| explicit(*part)) && !parts.iter().any(|part| listed(*part))
        }
        _ => explicit(target),
    }
}
