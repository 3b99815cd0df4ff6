use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::answer::Reason;
use super::conjunction::Conjunction;
use crate::schema::{Arena, Automata, Literal, Node, SchemaId, Types};

/// How deep a search may go, values and choices together.
const DEEPEST: usize = 120;
/// How many reasons are told.
const MOST_REASONS: usize = 8;

/// What is known of the values that satisfy a goal.
#[derive(Debug, Clone)]
pub(super) enum Sought {
    /// There is none.
    Empty,
    /// These do; `complete`: no other does.
    Found { values: Vec<Value>, complete: bool },
    /// These might.
    Unknown { candidates: Vec<Value>, reasons: Vec<Reason> },
}

/// What is known, and on which assumption.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) sought: Sought,
    /// The outermost goal under way that was taken to be empty when it was met again inside itself: its smallest
    /// value does not contain another of its values. `usize::MAX`: none.
    pub(super) rests_on: usize,
}

impl Answer {
    pub(super) const EMPTY: Self = Self { sought: Sought::Empty, rests_on: usize::MAX };

    pub(super) fn is_empty(&self) -> bool {
        matches!(self.sought, Sought::Empty)
    }

    pub(super) fn unknown(reason: Reason) -> Self {
        Self {
            sought: Sought::Unknown { candidates: Vec::new(), reasons: vec![reason] },
            rests_on: usize::MAX,
        }
    }

    /// The values to build with, found or not, and the reasons if they are merely candidates.
    pub(super) fn values(&self) -> (&[Value], &[Reason]) {
        match &self.sought {
            Sought::Empty => (&[], &[]),
            Sought::Found { values, .. } => (values, &[]),
            Sought::Unknown { candidates, reasons } => (candidates, reasons),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.sought, Sought::Empty | Sought::Found { complete: true, .. })
            && self.rests_on == usize::MAX
    }
}

/// Answers of several alternatives, brought together.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) want: usize,
    pub(super) values: Vec<Value>,
    candidates: Vec<Value>,
    reasons: Vec<Reason>,
    /// Something was neither found nor excluded.
    unknown: bool,
    complete: bool,
    pub(super) rests_on: usize,
}

impl Gathered {
    pub(super) fn new(want: usize) -> Self {
        Self {
            want: want.max(1),
            values: Vec::new(),
            candidates: Vec::new(),
            reasons: Vec::new(),
            unknown: false,
            complete: true,
            rests_on: usize::MAX,
        }
    }

    pub(super) fn is_enough(&self) -> bool {
        self.values.len() >= self.want
    }

    pub(super) fn rest_on(&mut self, answer: &Answer) {
        self.rests_on = self.rests_on.min(answer.rests_on);
    }

    pub(super) fn found(&mut self, value: Value) {
        if self.is_enough() {
            self.complete = false;
        } else if !self.values.contains(&value) {
            self.values.push(value);
        }
    }

    pub(super) fn incomplete(&mut self) {
        self.complete = false;
    }

    pub(super) fn candidate(&mut self, value: Value) {
        if self.candidates.len() < 16 {
            self.candidates.push(value);
        }
    }

    pub(super) fn unknown(&mut self, reasons: &[Reason]) {
        self.unknown = true;
        for reason in reasons {
            if self.reasons.len() < MOST_REASONS && !self.reasons.contains(reason) {
                self.reasons.push(reason.clone());
            }
        }
    }

    pub(super) fn add(&mut self, answer: Answer) {
        self.rest_on(&answer);
        match answer.sought {
            Sought::Empty => {}
            Sought::Found { values, complete } => {
                self.complete &= complete;
                for value in values {
                    self.found(value);
                }
            }
            Sought::Unknown { candidates, reasons } => {
                self.unknown(&reasons);
                for value in candidates {
                    self.candidate(value);
                }
            }
        }
    }

    pub(super) fn answer(self) -> Answer {
        let sought = if !self.values.is_empty() {
            let complete = self.complete && !self.unknown && self.rests_on == usize::MAX;
            Sought::Found { values: self.values, complete }
        } else if self.unknown {
            Sought::Unknown { candidates: self.candidates, reasons: self.reasons }
        } else {
            Sought::Empty
        };
        Answer { sought, rests_on: self.rests_on }
    }
}

/// A goal: what must hold of one value.
type Goal = (Types, Box<[Literal]>);

#[derive(Debug)]
pub(super) struct Remembered {
    answer: Answer,
    want: usize,
}

/// Answers that rest on no assumption.
pub(super) type Memory = HashMap<Goal, Remembered>;

/// The search for values that satisfy goals.
pub(super) struct Search<'a> {
    pub(super) arena: &'a mut Arena,
    pub(super) automata: &'a mut Automata,
    pub(super) places: &'a HashMap<SchemaId, Arc<str>>,
    memory: &'a mut Memory,
    under_way: HashMap<Goal, usize>,
    steps: usize,
    /// Steps that the evaluation of candidates may take.
    evaluation: Cell<usize>,
    depth: usize,
}

/// Steps of evaluation in one question.
const EVALUATION: usize = 20_000_000;

impl<'a> Search<'a> {
    pub(super) fn new(
        arena: &'a mut Arena,
        automata: &'a mut Automata,
        places: &'a HashMap<SchemaId, Arc<str>>,
        memory: &'a mut Memory,
        steps: usize,
    ) -> Self {
        Self {
            arena,
            automata,
            places,
            memory,
            under_way: HashMap::new(),
            steps,
            evaluation: Cell::new(EVALUATION),
            depth: 0,
        }
    }

    pub(super) fn reason(&self, schema: SchemaId, message: &str) -> Reason {
        let pointer = self.places.get(&schema).map(ToString::to_string).unwrap_or_default();
        Reason { pointer, message: message.to_owned() }
    }

    /// One deeper, for a goal of so many literals: large ones are more than one step. The reason to go no further, if
    /// there is one.
    pub(super) fn enter(&mut self, size: usize) -> Option<Answer> {
        let stop = |message: &str| {
            Some(Answer::unknown(Reason { pointer: String::new(), message: message.to_owned() }))
        };
        match self.steps.checked_sub(1 + size / 16) {
            None => {
                self.steps = 0;
                return stop("the search took more steps than its budget allows");
            }
            Some(steps) => self.steps = steps,
        }
        if self.depth >= DEEPEST {
            return stop("the search went too deep");
        }
        self.depth += 1;
        None
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// At least so many values that satisfy all of the literals, if there are.
    pub(super) fn solve(&mut self, literals: Vec<Literal>, want: usize) -> Answer {
        // What is remembered is cheap, and yet it may be asked for without end.
        self.steps = self.steps.saturating_sub(1);
        let mut conjunction = Conjunction::new();
        if !self.assume(&mut conjunction, literals) {
            return Answer::EMPTY;
        }
        let mut literals = conjunction.literals.clone();
        literals.extend(conjunction.choices.iter().map(|choice| choice.origin));
        literals.extend(conjunction.exact.iter());
        literals.sort_unstable();
        literals.dedup();
        let goal = (conjunction.types, literals.into_boxed_slice());
        if let Some(known) = self.memory.get(&goal) {
            let enough = match &known.answer.sought {
                Sought::Empty => true,
                Sought::Found { values, complete } => *complete || values.len() >= want,
                Sought::Unknown { .. } => false,
            };
            if enough || known.want >= want {
                return known.answer.clone();
            }
        }
        if let Some(index) = self.under_way.get(&goal) {
            return Answer { sought: Sought::Empty, rests_on: *index };
        }
        if let Some(stop) = self.enter(goal.1.len()) {
            return stop;
        }
        let index = self.under_way.len();
        self.under_way.insert(goal.clone(), index);
        let mut answer = self.by_type(&conjunction, want);
        self.under_way.remove(&goal);
        self.leave();
        let settled = answer.rests_on >= index || matches!(answer.sought, Sought::Found { .. });
        if settled {
            answer.rests_on = usize::MAX;
            if self.steps > 0 {
                self.memory.insert(goal, Remembered { answer: answer.clone(), want });
            }
        }
        answer
    }

    fn by_type(&mut self, conjunction: &Conjunction, want: usize) -> Answer {
        if let Some(answer) = self.among_values(conjunction, want) {
            return answer;
        }
        let mut gathered = Gathered::new(want);
        for kind in Types::KINDS {
            if !conjunction.types.meets(kind) {
                continue;
            }
            if gathered.is_enough() {
                gathered.incomplete();
                break;
            }
            let mut of_kind = conjunction.clone();
            of_kind.types = of_kind.types & kind;
            if self.assume(&mut of_kind, Vec::new()) {
                let answer = self.by_choice(of_kind, kind, want);
                gathered.add(answer);
            }
        }
        gathered.answer()
    }

    /// Where an `enum` or a `const` must hold, its values are looked at one by one.
    pub(super) fn among_values(&mut self, conjunction: &Conjunction, want: usize) -> Option<Answer> {
        let values = conjunction
            .literals
            .iter()
            .filter(|literal| literal.positive())
            .filter_map(|literal| match self.arena.node(literal.schema()) {
                Node::Values(values) => Some(values),
                _ => None,
            })
            .min_by_key(|values| values.len())?;
        let values = Arc::clone(values);
        let mut gathered = Gathered::new(want);
        for value in values.iter() {
            if gathered.is_enough() {
                gathered.incomplete();
                break;
            }
            match self.verify(conjunction, value) {
                Some(true) => gathered.found(value.clone()),
                Some(false) => {}
                None => {
                    let reason = Reason {
                        pointer: String::new(),
                        message: "a value of an enum could not be judged".to_owned(),
                    };
                    gathered.unknown(&[reason]);
                }
            }
        }
        Some(gathered.answer())
    }

    /// Whether a value satisfies everything, the choices that are left included.
    pub(super) fn verify(&self, conjunction: &Conjunction, value: &Value) -> Option<bool> {
        if !conjunction.types.has(Types::of(value)) {
            return Some(false);
        }
        let mut unknown = false;
        let choices = conjunction.choices.iter().map(|choice| &choice.origin);
        for literal in conjunction.literals.iter().chain(&conjunction.exact).chain(choices) {
            match self.arena.holds_within(literal.schema(), value, &self.evaluation) {
                Some(holds) if holds == literal.positive() => {}
                Some(_) => return Some(false),
                None => unknown = true,
            }
        }
        if unknown { None } else { Some(true) }
    }

    pub(super) fn atoms(&mut self, conjunction: &Conjunction, kind: Types, want: usize) -> Answer {
        match kind {
            Types::NULL => self.constants(conjunction, [Value::Null].as_slice(), want),
            Types::BOOLEAN => {
                self.constants(conjunction, [Value::Bool(false), Value::Bool(true)].as_slice(), want)
            }
            Types::NUMBER => self.number(conjunction, want),
            Types::STRING => self.text(conjunction, want),
            Types::ARRAY => self.array(conjunction, want),
            _ => self.object(conjunction, want),
        }
    }

    fn constants(&mut self, conjunction: &Conjunction, values: &[Value], want: usize) -> Answer {
        let mut gathered = Gathered::new(want);
        for value in values {
            let excluded = conjunction
                .literals
                .iter()
                .any(|literal| !literal.positive() && self.arena.satisfies(*literal, value) == Some(false));
            if !excluded {
                gathered.found(value.clone());
            }
        }
        gathered.answer()
    }

    /// Where something weaker was searched than what must hold, values are candidates until they have been judged;
    /// and a candidate that is judged to be good is found.
    pub(super) fn confirmed(&mut self, conjunction: &Conjunction, answer: Answer, want: usize) -> Answer {
        let doubtful = !conjunction.doubts.is_empty() || !conjunction.exact.is_empty();
        let rests_on = answer.rests_on;
        let (values, reasons) = match answer.sought {
            Sought::Found { values, .. } if doubtful => (values, conjunction.doubts.clone()),
            Sought::Unknown { candidates, reasons } => (candidates, reasons),
            sought => return Answer { sought, rests_on },
        };
        let mut gathered = Gathered::new(want);
        gathered.rests_on = rests_on;
        gathered.unknown(&reasons);
        gathered.unknown(&conjunction.doubts);
        for value in values {
            match self.verify(conjunction, &value) {
                Some(true) => gathered.found(value),
                Some(false) => {}
                None => gathered.candidate(value),
            }
        }
        gathered.answer()
    }
}
