use std::cell::Cell;

use serde_json::{Map, Value};

use super::SchemaId;
use super::arena::Arena;
use super::node::{Literal, Node};
use super::number::Decimal;
use super::types::Types;
use super::values::Key;
use crate::openapi::escape;

/// How deep an evaluation may go.
const DEEPEST: usize = 300;
/// How many steps it may take.
const STEPS: usize = 1_000_000;

/// Tells whether documents are valid. Answers `None` where that cannot be told within bounds.
struct Evaluator<'a> {
    arena: &'a Arena,
    /// What is left of the steps that may be taken.
    steps: &'a Cell<usize>,
}

/// Where a document is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where in the document.
    pub(crate) pointer: String,
    /// What refuses it.
    pub(crate) schema: SchemaId,
}

impl Arena {
    /// Whether the schema accepts the value.
    pub(crate) fn holds(&self, schema: SchemaId, value: &Value) -> Option<bool> {
        self.holds_within(schema, value, &Cell::new(STEPS))
    }

    /// The same, out of a number of steps that several evaluations share.
    pub(crate) fn holds_within(&self, schema: SchemaId, value: &Value, steps: &Cell<usize>) -> Option<bool> {
        Evaluator { arena: self, steps }.holds(schema, value, 0)
    }

    pub(crate) fn satisfies(&self, literal: Literal, value: &Value) -> Option<bool> {
        Some(self.holds(literal.schema(), value)? == literal.positive())
    }

    /// What in the schema refuses the value, as far within both as can be told.
    pub(crate) fn fault(&self, schema: SchemaId, value: &Value) -> Option<Fault> {
        let steps = Cell::new(STEPS);
        let evaluator = Evaluator { arena: self, steps: &steps };
        if evaluator.holds(schema, value, 0) != Some(false) {
            return None;
        }
        Some(evaluator.fault(schema, value, String::new(), 0))
    }
}

/// Whether all hold: one that fails decides, else one that is unknown.
fn all(mut each: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    each.try_fold(Some(true), |so_far, one| match one {
        Some(false) => Err(()),
        Some(true) => Ok(so_far),
        None => Ok(None),
    })
    .unwrap_or(Some(false))
}

impl Evaluator<'_> {
    fn holds(&self, schema: SchemaId, value: &Value, depth: usize) -> Option<bool> {
        self.steps.set(self.steps.get().checked_sub(1)?);
        if depth > DEEPEST {
            return None;
        }
        let next = depth + 1;
        match self.arena.node(schema) {
            Node::Always | Node::Open => Some(true),
            Node::Never => Some(false),
            Node::All(parts) => all(parts.iter().map(|part| self.holds(*part, value, next))),
            Node::Any(parts) => {
                all(parts.iter().map(|part| self.holds(*part, value, next).map(|holds| !holds)))
                    .map(|none| !none)
            }
            Node::One(parts) => self.one(parts, value, next),
            Node::Not(inner) => self.holds(*inner, value, next).map(|holds| !holds),
            Node::Reference(reference) => self.holds(self.arena.target(*reference)?, value, next),
            Node::Type(types) => Some(types.has(Types::of(value))),
            Node::Values(values) => Some(values.contains(value)),
            node => match value {
                Value::Number(number) => Some(number_holds(node, &Decimal::from_number(number)?)),
                Value::String(text) => self.text(node, text),
                Value::Array(items) => self.array(node, items, value, next),
                Value::Object(members) => self.object(node, members, value, next),
                Value::Null | Value::Bool(_) => Some(true),
            },
        }
    }

    fn one(&self, parts: &[SchemaId], value: &Value, depth: usize) -> Option<bool> {
        let (mut count, mut unknown) = (0, 0);
        for part in parts {
            match self.holds(*part, value, depth) {
                Some(true) => count += 1,
                Some(false) => {}
                None => unknown += 1,
            }
        }
        match (count, unknown) {
            (2.., _) => Some(false),
            (_, 0) => Some(count == 1),
            _ => None,
        }
    }

    fn text(&self, node: &Node, text: &str) -> Option<bool> {
        Some(match node {
            Node::MinLength(least) => text.chars().count() as u64 >= *least,
            Node::MaxLength(most) => text.chars().count() as u64 <= *most,
            Node::Pattern(pattern) => return self.arena.matches(pattern, text),
            Node::Format(format) => return self.arena.has_format(format, text),
            _ => true,
        })
    }

    fn array(&self, node: &Node, items: &[Value], value: &Value, depth: usize) -> Option<bool> {
        let each =
            |schema: SchemaId, items: &[Value]| all(items.iter().map(|item| self.holds(schema, item, depth)));
        match node {
            Node::MinItems(least) => Some(items.len() as u64 >= *least),
            Node::MaxItems(most) => Some(items.len() as u64 <= *most),
            Node::Unique => {
                let mut keys: Vec<_> = items.iter().map(Key::of).collect();
                keys.sort_unstable();
                Some(!keys.windows(2).any(|pair| matches!(pair, [one, other] if one == other)))
            }
            Node::Item(index, schema) => match items.get(*index) {
                Some(item) => self.holds(*schema, item, depth),
                None => Some(true),
            },
            Node::Rest(from, schema) => each(*schema, items.get(*from..).unwrap_or_default()),
            Node::ContainsMin(schema, least) => {
                self.contained(*schema, items, depth, |count| count >= *least)
            }
            Node::ContainsMax(schema, most) => self.contained(*schema, items, depth, |count| count <= *most),
            Node::UnevaluatedItems { of, schema } => {
                let mut marks = vec![false; items.len()];
                self.mark(*of, value, &mut marks, depth)?;
                all(items
                    .iter()
                    .zip(marks)
                    .filter(|(_, mark)| !mark)
                    .map(|(item, _)| self.holds(*schema, item, depth)))
            }
            _ => Some(true),
        }
    }

    fn contained(
        &self,
        schema: SchemaId,
        items: &[Value],
        depth: usize,
        enough: impl Fn(u64) -> bool,
    ) -> Option<bool> {
        let (mut count, mut unknown) = (0_u64, 0_u64);
        for item in items {
            match self.holds(schema, item, depth) {
                Some(true) => count += 1,
                Some(false) => {}
                None => unknown += 1,
            }
        }
        let (fewest, most) = (enough(count), enough(count + unknown));
        (fewest == most).then_some(fewest)
    }

    fn object(&self, node: &Node, members: &Map<String, Value>, value: &Value, depth: usize) -> Option<bool> {
        match node {
            Node::MinProperties(least) => Some(members.len() as u64 >= *least),
            Node::MaxProperties(most) => Some(members.len() as u64 <= *most),
            Node::Has(name) => Some(members.contains_key(&**name)),
            Node::Property(name, schema) => match members.get(&**name) {
                Some(member) => self.holds(*schema, member, depth),
                None => Some(true),
            },
            Node::Names(schema) => {
                all(members.keys().map(|name| self.holds(*schema, &Value::String(name.clone()), depth)))
            }
            Node::Matching(..) | Node::Others { .. } => {
                all(members.iter().map(|(name, member)| match self.covers(node, name) {
                    Some(false) => Some(true),
                    covers => match (covers, self.holds(node.children().next()?, member, depth)) {
                        (_, Some(true)) => Some(true),
                        (Some(true), holds) => holds,
                        _ => None,
                    },
                }))
            }
            Node::UnevaluatedProperties { of, schema } => {
                let mut marks = vec![false; members.len()];
                self.mark(*of, value, &mut marks, depth)?;
                all(members
                    .values()
                    .zip(marks)
                    .filter(|(_, mark)| !mark)
                    .map(|(member, _)| self.holds(*schema, member, depth)))
            }
            _ => Some(true),
        }
    }

    /// Whether an atom speaks of the member with this name.
    fn covers(&self, node: &Node, name: &str) -> Option<bool> {
        match node {
            Node::Property(own, _) => Some(**own == *name),
            Node::Matching(pattern, _) => self.arena.matches(pattern, name),
            Node::Others { names, patterns, .. } => {
                if names.binary_search_by(|own| (**own).cmp(name)).is_ok() {
                    return Some(false);
                }
                all(patterns.iter().map(|pattern| Some(!self.arena.matches(pattern, name)?)))
            }
            Node::UnevaluatedProperties { .. } => Some(true),
            _ => Some(false),
        }
    }

    /// Marks the items or members that a schema evaluates.
    fn mark(&self, schema: SchemaId, value: &Value, marks: &mut [bool], depth: usize) -> Option<()> {
        self.steps.set(self.steps.get().checked_sub(1)?);
        if depth > DEEPEST {
            return None;
        }
        let next = depth + 1;
        match (self.arena.node(schema), value) {
            (Node::All(parts), _) => {
                for part in parts.iter() {
                    self.mark(*part, value, marks, next)?;
                }
            }
            (Node::Any(parts) | Node::One(parts), _) => {
                for part in parts.iter() {
                    if self.holds(*part, value, next)? {
                        self.mark(*part, value, marks, next)?;
                    }
                }
            }
            (Node::Reference(reference), _) => {
                self.mark(self.arena.target(*reference)?, value, marks, next)?;
            }
            (node, Value::Object(members)) => {
                for (mark, name) in marks.iter_mut().zip(members.keys()) {
                    *mark |= self.covers(node, name)?;
                }
            }
            (Node::Item(index, _), Value::Array(_)) => {
                if let Some(mark) = marks.get_mut(*index) {
                    *mark = true;
                }
            }
            (Node::Rest(from, _), Value::Array(_)) => {
                marks.iter_mut().skip(*from).for_each(|mark| *mark = true);
            }
            (Node::UnevaluatedItems { .. }, Value::Array(_)) => marks.fill(true),
            (Node::ContainsMin(schema, _), Value::Array(items)) => {
                for (mark, item) in marks.iter_mut().zip(items) {
                    *mark |= self.holds(*schema, item, next)?;
                }
            }
            _ => {}
        }
        Some(())
    }

    /// The innermost part of a schema that refuses the value.
    fn fault(&self, schema: SchemaId, value: &Value, pointer: String, depth: usize) -> Fault {
        let next = depth + 1;
        let here = |pointer| Fault { pointer, schema };
        if depth > DEEPEST {
            return here(pointer);
        }
        let refuses = |schema: SchemaId, value: &Value| self.holds(schema, value, next) == Some(false);
        match (self.arena.node(schema), value) {
            (Node::All(parts), _) => match parts.iter().find(|part| refuses(**part, value)) {
                Some(part) => self.fault(*part, value, pointer, next),
                None => here(pointer),
            },
            (Node::Reference(reference), _) => match self.arena.target(*reference) {
                Some(target) => self.fault(target, value, pointer, next),
                None => here(pointer),
            },
            (
                node @ (Node::Property(_, inner)
                | Node::Matching(_, inner)
                | Node::Others { schema: inner, .. }),
                Value::Object(members),
            ) => {
                let member = members
                    .iter()
                    .find(|(name, member)| self.covers(node, name) == Some(true) && refuses(*inner, member));
                match member {
                    Some((name, _)) if *inner == Arena::NEVER => here(format!("{pointer}/{}", escape(name))),
                    Some((name, member)) => {
                        self.fault(*inner, member, format!("{pointer}/{}", escape(name)), next)
                    }
                    None => here(pointer),
                }
            }
            (Node::Item(from, inner) | Node::Rest(from, inner), Value::Array(items)) => {
                match items.iter().enumerate().skip(*from).find(|(_, item)| refuses(*inner, item)) {
                    Some((index, item)) => self.fault(*inner, item, format!("{pointer}/{index}"), next),
                    None => here(pointer),
                }
            }
            _ => here(pointer),
        }
    }
}

fn number_holds(node: &Node, number: &Decimal) -> bool {
    match node {
        Node::Lower(bound) if bound.exclusive => *number > bound.value,
        Node::Lower(bound) => *number >= bound.value,
        Node::Upper(bound) if bound.exclusive => *number < bound.value,
        Node::Upper(bound) => *number <= bound.value,
        Node::MultipleOf(step) => number.is_multiple_of(step),
        _ => true,
    }
}
