use serde_json::Value;

use super::answer::Reason;
use super::conjunction::Conjunction;
use super::search::{Answer, Gathered, Search, Sought};
use crate::schema::{Bound, Decimal, Node, NumberGoal, Outcome, TextGoal, Types};

impl Search<'_> {
    pub(super) fn number(&mut self, conjunction: &Conjunction, want: usize) -> Answer {
        let mut goal = NumberGoal { want, ..NumberGoal::default() };
        goal.integer = match (conjunction.types.has(Types::INTEGER), conjunction.types.has(Types::FRACTION)) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        };
        for literal in &conjunction.literals {
            let positive = literal.positive();
            match self.arena.node(literal.schema()) {
                Node::Lower(bound) if positive => raise(&mut goal.lower, bound.clone()),
                Node::Lower(bound) => lower(&mut goal.upper, beyond(bound)),
                Node::Upper(bound) if positive => lower(&mut goal.upper, bound.clone()),
                Node::Upper(bound) => raise(&mut goal.lower, beyond(bound)),
                Node::MultipleOf(step) if positive => goal.multiples.push(step.clone()),
                Node::MultipleOf(step) => goal.not_multiples.push(step.clone()),
                Node::Values(values) => goal.excluded.extend(
                    values.iter().filter_map(|value| value.as_number().and_then(Decimal::from_number)),
                ),
                _ => {}
            }
        }
        let answer = goal.solve();
        self.told(conjunction, answer, Value::Number)
    }

    pub(super) fn text(&mut self, conjunction: &Conjunction, want: usize) -> Answer {
        let mut goal = TextGoal { want, ..TextGoal::default() };
        for literal in &conjunction.literals {
            let positive = literal.positive();
            match self.arena.node(literal.schema()) {
                Node::MinLength(least) if positive => goal.min_length = goal.min_length.max(*least),
                Node::MinLength(least) => shorten(&mut goal.max_length, least.saturating_sub(1)),
                Node::MaxLength(most) if positive => shorten(&mut goal.max_length, *most),
                Node::MaxLength(most) => goal.min_length = goal.min_length.max(most.saturating_add(1)),
                Node::Pattern(pattern) if positive => goal.patterns.push(pattern.clone()),
                Node::Pattern(pattern) => goal.not_patterns.push(pattern.clone()),
                Node::Format(format) if positive => goal.formats.push(*format),
                Node::Format(format) => goal.not_formats.push(*format),
                Node::Values(values) => {
                    goal.excluded.extend(values.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                _ => {}
            }
        }
        let answer = goal.solve(self.automata);
        self.told(conjunction, answer, Value::String)
    }

    fn told<T>(&self, conjunction: &Conjunction, outcome: Outcome<T>, value: impl Fn(T) -> Value) -> Answer {
        let sought = match outcome {
            Outcome::Empty => return Answer::EMPTY,
            Outcome::Found { values, complete } => {
                Sought::Found { values: values.into_iter().map(value).collect(), complete }
            }
            Outcome::Unknown { candidates, reasons } => {
                let pointer = conjunction
                    .literals
                    .iter()
                    .find_map(|literal| match self.arena.node(literal.schema()) {
                        Node::Pattern(_) | Node::Format(_) | Node::MultipleOf(_) => {
                            self.places.get(&literal.schema())
                        }
                        _ => None,
                    })
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let mut gathered = Gathered::new(1);
                let reasons: Vec<_> =
                    reasons.into_iter().map(|message| Reason { pointer: pointer.clone(), message }).collect();
                gathered.unknown(&reasons);
                for candidate in candidates {
                    gathered.candidate(value(candidate));
                }
                return gathered.answer();
            }
        };
        Answer { sought, rests_on: usize::MAX }
    }
}

/// The end of what lies beyond a bound.
fn beyond(bound: &Bound) -> Bound {
    Bound { value: bound.value.clone(), exclusive: !bound.exclusive }
}

fn raise(end: &mut Option<Bound>, bound: Bound) {
    let tighter = end.as_ref().is_none_or(|end| {
        bound.value > end.value || (bound.value == end.value && bound.exclusive && !end.exclusive)
    });
    if tighter {
        *end = Some(bound);
    }
}

fn lower(end: &mut Option<Bound>, bound: Bound) {
    let tighter = end.as_ref().is_none_or(|end| {
        bound.value < end.value || (bound.value == end.value && bound.exclusive && !end.exclusive)
    });
    if tighter {
        *end = Some(bound);
    }
}

fn shorten(most: &mut Option<u64>, length: u64) {
    *most = Some(most.map_or(length, |most| most.min(length)));
}
