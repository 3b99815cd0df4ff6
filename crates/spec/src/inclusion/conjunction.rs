use std::collections::BTreeMap;
use std::sync::Arc;

use super::answer::Reason;
use super::search::Search;
use crate::schema::{Literal, Name, Node, SchemaId, Types, Values};

/// One way to fulfil a choice.
#[derive(Debug, Clone)]
pub(super) enum Alternative {
    One(Literal),
    Several(Arc<[Literal]>),
}

impl Alternative {
    pub(super) fn literals(&self) -> &[Literal] {
        match self {
            Self::One(literal) => std::slice::from_ref(literal),
            Self::Several(literals) => literals,
        }
    }
}

/// Something of which one alternative must hold.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) origin: Literal,
    pub(super) alternatives: Vec<Alternative>,
}

/// What must hold of one value, all at once.
#[derive(Debug, Clone)]
pub(super) struct Conjunction {
    pub(super) types: Types,
    /// Atoms, sorted.
    pub(super) literals: Vec<Literal>,
    /// Logic that is taken apart already, sorted.
    seen: Vec<Literal>,
    pub(super) choices: Vec<Choice>,
    /// What holds besides, but is modelled by something weaker: candidates are held against these.
    pub(super) exact: Vec<Literal>,
    /// Why something weaker is searched.
    pub(super) doubts: Vec<Reason>,
}

/// A union of more branches than this that may overlap is not searched for values of two of them.
const WIDEST_OVERLAP: usize = 100;
/// A `oneOf` that needs more literals than this to say that each branch holds alone is taken for an `anyOf`.
const MOST_LITERALS: usize = 40_000;

fn insert(sorted: &mut Vec<Literal>, literal: Literal) -> bool {
    match sorted.binary_search(&literal) {
        Ok(_) => false,
        Err(index) => {
            sorted.insert(index, literal);
            true
        }
    }
}

impl Conjunction {
    pub(super) fn new() -> Self {
        Self {
            types: Types::ALL,
            literals: Vec::new(),
            seen: Vec::new(),
            choices: Vec::new(),
            exact: Vec::new(),
            doubts: Vec::new(),
        }
    }

    /// How much there is to look through.
    pub(super) fn size(&self) -> usize {
        let alternatives = self.choices.iter().flat_map(|choice| &choice.alternatives);
        self.literals.len() + alternatives.map(|alternative| alternative.literals().len()).sum::<usize>()
    }

    fn contains(&self, literal: Literal) -> bool {
        self.literals.binary_search(&literal).is_ok() || self.seen.binary_search(&literal).is_ok()
    }
}

impl Search<'_> {
    /// Takes literals up. `false`: they contradict what holds already.
    pub(super) fn assume(&mut self, conjunction: &mut Conjunction, mut literals: Vec<Literal>) -> bool {
        loop {
            while let Some(literal) = literals.pop() {
                if !self.take_up(conjunction, literal, &mut literals) {
                    return false;
                }
            }
            let types = conjunction.types;
            conjunction.literals.retain(|literal| self.arena.types(literal.opposite()).meets(types));
            match self.sift(conjunction) {
                None => return false,
                Some(forced) if forced.is_empty() => return true,
                Some(forced) => literals = forced,
            }
        }
    }

    fn take_up(&mut self, conjunction: &mut Conjunction, literal: Literal, rest: &mut Vec<Literal>) -> bool {
        let types = self.arena.types(literal);
        if !types.meets(conjunction.types) || conjunction.contains(literal.opposite()) {
            return false;
        }
        if !self.arena.types(literal.opposite()).meets(conjunction.types) || conjunction.contains(literal) {
            return true;
        }
        conjunction.types = conjunction.types & types;
        let positive = literal.positive();
        let (schema, parts) = match (self.arena.node(literal.schema()), positive) {
            (Node::Always | Node::Never | Node::Open | Node::Type(_), _) => return true,
            (Node::All(parts), true) | (Node::Any(parts), false) => {
                rest.extend(parts.iter().map(|part| Literal::new(*part, positive)));
                insert(&mut conjunction.seen, literal);
                return true;
            }
            (Node::All(parts), false) | (Node::Any(parts), true) => {
                let alternatives =
                    parts.iter().map(|part| Alternative::One(Literal::new(*part, positive))).collect();
                conjunction.choices.push(Choice { origin: literal, alternatives });
                insert(&mut conjunction.seen, literal);
                return true;
            }
            (Node::Not(inner), _) => {
                rest.push(Literal::new(*inner, !positive));
                insert(&mut conjunction.seen, literal);
                return true;
            }
            (Node::Reference(reference), _) => {
                insert(&mut conjunction.seen, literal);
                match self.arena.target(*reference) {
                    Some(target) => rest.push(Literal::new(target, positive)),
                    None => {
                        conjunction.doubts.push(self.reason(literal.schema(), "a reference leads nowhere"));
                    }
                }
                return true;
            }
            (Node::UnevaluatedProperties { of, schema } | Node::UnevaluatedItems { of, schema }, _) => {
                (*schema, vec![*of])
            }
            (Node::One(parts), _) => (literal.schema(), parts.to_vec()),
            _ => {
                insert(&mut conjunction.literals, literal);
                return true;
            }
        };
        insert(&mut conjunction.seen, literal);
        if matches!(self.arena.node(literal.schema()), Node::One(_)) {
            self.exactly_one(conjunction, literal, &parts);
        } else if let Some(of) = parts.first() {
            self.unevaluated(conjunction, literal, *of, schema, rest);
        }
        true
    }

    fn exactly_one(&mut self, conjunction: &mut Conjunction, literal: Literal, parts: &[SchemaId]) {
        let mut alternatives = Vec::new();
        if literal.positive() {
            let mut left = MOST_LITERALS;
            for (index, part) in parts.iter().enumerate() {
                let mut literals = vec![Literal::holds(*part)];
                for (other_index, other) in parts.iter().enumerate() {
                    if other_index != index && !self.arena.excludes(*part, *other) {
                        literals.push(Literal::fails(*other));
                    }
                }
                let Some(fewer) = left.checked_sub(literals.len()) else {
                    self.doubt_overlap(conjunction, literal);
                    alternatives = parts.iter().map(|part| Alternative::One(Literal::holds(*part))).collect();
                    break;
                };
                left = fewer;
                alternatives.push(Alternative::Several(literals.into()));
            }
        } else {
            alternatives.push(Alternative::Several(parts.iter().map(|part| Literal::fails(*part)).collect()));
            let overlapping = parts.len() <= WIDEST_OVERLAP;
            for (index, one) in parts.iter().enumerate() {
                for other in parts.get(index + 1..).unwrap_or_default() {
                    if overlapping && !self.arena.excludes(*one, *other) {
                        let both = [Literal::holds(*one), Literal::holds(*other)];
                        alternatives.push(Alternative::Several(Arc::new(both)));
                    }
                }
            }
            if !overlapping {
                self.doubt_overlap(conjunction, literal);
                return;
            }
        }
        conjunction.choices.push(Choice { origin: literal, alternatives });
    }

    fn doubt_overlap(&self, conjunction: &mut Conjunction, literal: Literal) {
        let reason = self.reason(literal.schema(), "a oneOf has very many branches that may overlap");
        conjunction.doubts.push(reason);
        conjunction.exact.push(literal);
    }

    /// Drops the alternatives that cannot hold and the choices that are fulfilled. Answers what is left without
    /// an alternative, `None` if a choice has none at all.
    fn sift(&mut self, conjunction: &mut Conjunction) -> Option<Vec<Literal>> {
        let mut forced = Vec::new();
        if conjunction.choices.is_empty() {
            return Some(forced);
        }
        let tags = self.tags(conjunction);
        let choices = std::mem::take(&mut conjunction.choices);
        for mut choice in choices {
            if self.implied(conjunction, &tags, choice.origin) {
                continue;
            }
            let mut fulfilled = false;
            choice.alternatives.retain(|alternative| {
                let literals = alternative.literals();
                let possible = literals
                    .iter()
                    .all(|literal| !self.implied_or_seen(conjunction, &tags, literal.opposite()));
                fulfilled |= possible
                    && literals.iter().all(|literal| self.implied_or_seen(conjunction, &tags, *literal));
                possible
            });
            if fulfilled {
                continue;
            }
            match choice.alternatives.as_slice() {
                [] => return None,
                [only] => forced.extend_from_slice(only.literals()),
                _ => conjunction.choices.push(choice),
            }
        }
        Some(forced)
    }

    fn implied_or_seen(&mut self, conjunction: &Conjunction, tags: &Tagged, literal: Literal) -> bool {
        conjunction.contains(literal) || self.implied(conjunction, tags, literal)
    }

    /// Whether a literal holds at first sight, from types and tags.
    fn implied(&mut self, conjunction: &Conjunction, tags: &Tagged, literal: Literal) -> bool {
        if !self.arena.types(literal.opposite()).meets(conjunction.types) {
            return true;
        }
        if literal.positive() || tags.is_empty() {
            return false;
        }
        if let Node::Property(name, schema) = self.arena.node(literal.schema()) {
            return tags.get(name).is_some_and(|values| {
                self.arena.few(*schema).is_some_and(|others| others.is_disjoint(values))
            });
        }
        self.arena
            .tags(literal.schema())
            .iter()
            .any(|(name, values)| tags.get(name).is_some_and(|others| others.is_disjoint(values)))
    }

    /// The members that are there for sure, with the few values that they may have.
    fn tags(&self, conjunction: &Conjunction) -> Tagged {
        let mut tags = BTreeMap::new();
        if conjunction.types != Types::OBJECT {
            return tags;
        }
        let positive = || conjunction.literals.iter().filter(|literal| literal.positive());
        for literal in positive() {
            if let Node::Property(name, schema) = self.arena.node(literal.schema())
                && let Some(values) = self.arena.few(*schema)
                && positive()
                    .any(|literal| matches!(self.arena.node(literal.schema()), Node::Has(has) if has == name))
            {
                tags.insert(Arc::clone(name), values);
            }
        }
        tags
    }
}

type Tagged = BTreeMap<Name, Arc<Values>>;
