use std::collections::BTreeSet;
use std::sync::Arc;

use super::conjunction::Conjunction;
use super::search::Search;
use crate::schema::{Arena, Literal, Name, Node, Pattern, SchemaId, Types};

/// Which members or items a schema evaluates.
#[derive(Debug, Clone, Default, PartialEq)]
struct Evaluated {
    names: BTreeSet<Name>,
    patterns: Vec<Arc<Pattern>>,
    /// Items before this index.
    items: usize,
    everything: bool,
}

/// How many schemas are looked at for what they evaluate.
const LOOKS: usize = 20_000;
/// A reference counts as so many, since references may go in circles.
const REFERENCE: usize = 2_000;

impl Evaluated {
    fn include(&mut self, other: Self) {
        self.names.extend(other.names);
        for pattern in other.patterns {
            if !self.patterns.contains(&pattern) {
                self.patterns.push(pattern);
            }
        }
        self.items = self.items.max(other.items);
        self.everything |= other.everything;
    }
}

impl Search<'_> {
    /// `unevaluated…` as plain `additionalProperties` or `items`: exactly where what is evaluated does not depend on
    /// the value, and else as something weaker.
    pub(super) fn unevaluated(
        &mut self,
        conjunction: &mut Conjunction,
        literal: Literal,
        of: SchemaId,
        schema: SchemaId,
        rest: &mut Vec<Literal>,
    ) {
        let (mut always, mut perhaps) = (Evaluated::default(), Evaluated::default());
        let mut looks = LOOKS;
        let members = matches!(self.arena.node(literal.schema()), Node::UnevaluatedProperties { .. });
        let fixed = evaluated(self.arena, of, members, &mut always, &mut perhaps, &mut looks);
        if !fixed {
            let reason = self.reason(literal.schema(), "what is evaluated here depends on the value");
            conjunction.doubts.push(reason);
            conjunction.exact.push(literal);
        }
        // The weaker statement covers less if it must hold, and more if it must fail.
        let covered = if literal.positive() { perhaps } else { always };
        let atom = if covered.everything {
            Arena::ALWAYS
        } else if members {
            let others = Node::Others {
                names: covered.names.into_iter().collect(),
                patterns: covered.patterns.into(),
                schema,
            };
            self.arena.intern(others)
        } else {
            self.arena.intern(Node::Rest(covered.items, schema))
        };
        rest.push(Literal::new(atom, literal.positive()));
    }
}

/// What a schema evaluates in any case, and what it may evaluate, of members or else of items. Answers whether that is
/// the same.
fn evaluated(
    arena: &Arena,
    id: SchemaId,
    members: bool,
    always: &mut Evaluated,
    perhaps: &mut Evaluated,
    looks: &mut usize,
) -> bool {
    *looks = looks.saturating_sub(1);
    let mut own = Evaluated::default();
    match arena.node(id) {
        _ if *looks == 0 => {
            perhaps.everything = true;
            return false;
        }
        Node::All(parts) => {
            let mut fixed = true;
            for part in parts.iter() {
                fixed &= evaluated(arena, *part, members, always, perhaps, looks);
            }
            return fixed;
        }
        Node::Any(parts) | Node::One(parts) => {
            let kind = if members { Types::OBJECT } else { Types::ARRAY };
            let live = |part: &&SchemaId| arena.types(Literal::holds(**part)).meets(kind);
            for part in parts.iter().filter(live) {
                evaluated(arena, *part, members, &mut Evaluated::default(), perhaps, looks);
            }
            return always == perhaps;
        }
        Node::Reference(reference) => {
            *looks = looks.saturating_sub(REFERENCE);
            if let Some(target) = arena.target(*reference) {
                return evaluated(arena, target, members, always, perhaps, looks);
            }
            perhaps.everything = true;
            return false;
        }
        Node::ContainsMin(..) if !members => {
            perhaps.everything = true;
            return false;
        }
        Node::Property(name, _) if members => {
            own.names.insert(Arc::clone(name));
        }
        Node::Matching(pattern, _) if members => own.patterns.push(Arc::clone(pattern)),
        Node::Others { .. } | Node::UnevaluatedProperties { .. } => own.everything = members,
        Node::Item(index, _) if !members => own.items = index + 1,
        Node::Rest(..) | Node::UnevaluatedItems { .. } => own.everything = !members,
        _ => {}
    }
    always.include(own.clone());
    perhaps.include(own);
    true
}
