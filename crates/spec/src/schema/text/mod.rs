//! The solver for goals on one text: lengths, patterns and formats.
//!
//! Patterns and lengths are exact. A format that is no regular language, or not known to be one, stands between two
//! patterns: one that admits at least its texts, from which emptiness is proved, and one that admits at most its texts.
//! What lies between is asked of the format itself, text by text.

mod automaton;
mod format;
mod language;
mod pattern;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use self::automaton::{Automaton, TooLarge};
use self::language::{Effort, Lengths, Listing, Literal};
use super::outcome::Outcome;
pub(crate) use format::Format;
pub(crate) use pattern::{Pattern, PatternError};

/// A text that has to be longer is not looked for.
const LONGEST: u64 = 100_000;
/// The length at which it is still worth proving that there is none.
const LONG: u32 = 1_000;
/// How many texts are asked of a format one by one.
const TRIED: usize = 64;
/// How many texts are handed on for another judge.
const CANDIDATES: usize = 8;
/// Positions that one search may meet, as long as all searches together have not met too many.
const NODES: usize = 150_000;
const NODES_OF_ALL: usize = 5_000_000;
/// Positions that each search may meet after that, which is enough for ordinary patterns.
const NODES_LATER: usize = 5_000;
/// How many literals are taken two by two if all of them together are too many.
const PAIRED: usize = 6;
/// What all automata together may hold, in numbers of 32 bits.
const HELD: usize = 30_000_000;

/// Automata of the patterns and formats met so far; one is kept for all questions of a prover.
#[derive(Debug, Default)]
pub(crate) struct Automata {
    patterns: HashMap<String, Arc<Pattern>>,
    automata: HashMap<Arc<Pattern>, Automaton>,
    held: usize,
    /// Positions that the searches met so far.
    spent: usize,
}

impl Automata {
    /// The pattern with this text, compiled once.
    ///
    /// # Errors
    /// The text is no regular expression.
    pub(crate) fn pattern(&mut self, text: &str) -> Result<Arc<Pattern>, PatternError> {
        if let Some(known) = self.patterns.get(text) {
            return Ok(Arc::clone(known));
        }
        let pattern = Arc::new(Pattern::ecma(text)?);
        self.patterns.insert(text.to_owned(), Arc::clone(&pattern));
        Ok(pattern)
    }

    /// Whether already one or two of the literals leave no text.
    fn part_is_empty(&mut self, literals: &Literals, lengths: &Lengths) -> bool {
        let listed: Vec<_> = literals.patterns.iter().take(PAIRED).collect();
        let mut parts: Vec<Literals> = Vec::new();
        for (at, left) in listed.iter().enumerate() {
            for right in listed.iter().skip(at) {
                let mut part = Literals::default();
                part.add(left.0, *left.1);
                part.add(right.0, *right.1);
                parts.push(part);
            }
        }
        parts.sort_by_key(|part| part.patterns.len());
        parts.iter().any(|part| {
            let listing = self.list_within(NODES_LATER, part, lengths, &BTreeSet::new(), 1);
            listing.is_ok_and(|listing| listing.texts.is_empty())
        })
    }

    fn list(
        &mut self,
        literals: &Literals,
        lengths: &Lengths,
        excluded: &BTreeSet<String>,
        want: usize,
    ) -> Result<Listing, TooLarge> {
        let most = if self.spent > NODES_OF_ALL { NODES_LATER } else { NODES };
        self.list_within(most, literals, lengths, excluded, want)
    }

    fn list_within(
        &mut self,
        most: usize,
        literals: &Literals,
        lengths: &Lengths,
        excluded: &BTreeSet<String>,
        want: usize,
    ) -> Result<Listing, TooLarge> {
        let mut taken = Vec::with_capacity(literals.patterns.len());
        for (pattern, &holds) in &literals.patterns {
            let Some(program) = pattern.program() else {
                continue;
            };
            let automaton = match self.automata.remove(pattern) {
                Some(known) => {
                    self.held = self.held.saturating_sub(known.held());
                    known
                }
                None => Automaton::new(program),
            };
            taken.push((pattern, program, holds, automaton));
        }
        let mut borrowed: Vec<Literal<'_>> = taken
            .iter_mut()
            .map(|(_, program, holds, automaton)| Literal { program, automaton, holds: *holds })
            .collect();
        let mut effort = Effort { most, spent: self.spent };
        let listing = language::list(&mut borrowed, lengths, excluded, want, &mut effort);
        self.spent = effort.spent;
        for (pattern, _, _, automaton) in taken {
            if self.held + automaton.held() > HELD {
                self.automata.clear();
                self.held = 0;
            }
            // One that has grown too large begins anew.
            if listing.is_ok() {
                self.held += automaton.held();
                self.automata.insert(Arc::clone(pattern), automaton);
            }
        }
        listing
    }
}

/// Patterns that texts must match, or must not.
#[derive(Clone, Default)]
struct Literals {
    patterns: BTreeMap<Arc<Pattern>, bool>,
    /// A pattern is to be matched and not to be matched.
    contradictory: bool,
}

impl Literals {
    fn add(&mut self, pattern: &Arc<Pattern>, holds: bool) {
        let known = *self.patterns.entry(Arc::clone(pattern)).or_insert(holds);
        self.contradictory |= known != holds;
    }
}

/// What a text has to satisfy.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextGoal {
    /// Least number of code points.
    pub(crate) min_length: u64,
    /// Greatest number of code points.
    pub(crate) max_length: Option<u64>,
    /// The text has a match of each.
    pub(crate) patterns: Vec<Arc<Pattern>>,
    /// The text has a match of none.
    pub(crate) not_patterns: Vec<Arc<Pattern>>,
    /// The text satisfies each of these formats, as asserted.
    pub(crate) formats: Vec<Format>,
    /// The text satisfies none of these formats.
    pub(crate) not_formats: Vec<Format>,
    pub(crate) excluded: BTreeSet<String>,
    /// How many distinct texts are wanted; 0 counts as 1.
    pub(crate) want: usize,
}

impl TextGoal {
    /// Texts that satisfy the goal, or the proof that there is none.
    pub(crate) fn solve(&self, automata: &mut Automata) -> Outcome<String> {
        let want = self.want.max(1);
        let Some(model) = Model::new(self) else {
            return Outcome::Empty;
        };
        let least = self.min_length.max(model.window.0);
        let greatest = self.max_length.into_iter().chain(model.window.1).min();
        if greatest.is_some_and(|greatest| greatest < least) {
            return Outcome::Empty;
        }
        let mut reasons = model.reasons;
        let Some(lengths) =
            u32::try_from(least).ok().filter(|_| least <= LONGEST).map(|least| Lengths { least, greatest })
        else {
            let shorter = Lengths { least: LONG, greatest };
            return match automata.list(&model.widest, &shorter, &BTreeSet::new(), 1) {
                Ok(listing) if listing.texts.is_empty() => Outcome::Empty,
                _ => {
                    reasons.push(format!("texts of {least} characters and more are not looked for"));
                    Outcome::Unknown { candidates: Vec::new(), reasons }
                }
            };
        };
        let exact = reasons.is_empty();
        let tried = if exact { want } else { want.max(TRIED) };
        let mut found: Vec<String> = Vec::new();
        let mut candidates: Vec<String> = Vec::new();
        match automata.list(&model.widest, &lengths, &self.excluded, tried) {
            Ok(listing) if exact => return self.outcome(listing.texts, listing.complete),
            Ok(listing) => {
                let mut complete = listing.complete;
                for text in listing.texts {
                    match self.accepts(&text) {
                        Some(true) if found.len() < want => found.push(text),
                        Some(true) => complete = false,
                        Some(false) => {}
                        None => {
                            complete = false;
                            candidates.push(text);
                        }
                    }
                }
                if complete {
                    return self.outcome(found, true);
                }
            }
            Err(TooLarge) if automata.part_is_empty(&model.widest, &lengths) => return Outcome::Empty,
            Err(TooLarge) => reasons.push(model.size),
        }
        if !exact
            && found.len() < want
            && let Some(narrowest) = &model.narrowest
            && let Ok(listing) = automata.list(narrowest, &lengths, &self.excluded, want)
        {
            self.keep(listing.texts, want, &mut found, &mut candidates);
        }
        let samples = self.formats.iter().flat_map(|format| format.samples());
        let others = self.not_formats.iter().flat_map(|format| format.others());
        self.keep(samples.chain(others).map(|&sample| sample.to_owned()), want, &mut found, &mut candidates);
        if !found.is_empty() {
            return self.outcome(found, false);
        }
        candidates.truncate(CANDIDATES);
        Outcome::Unknown { candidates, reasons }
    }

    /// Keeps those texts that satisfy the goal, and those that may.
    fn keep(
        &self,
        texts: impl IntoIterator<Item = String>,
        want: usize,
        found: &mut Vec<String>,
        candidates: &mut Vec<String>,
    ) {
        for text in texts {
            if found.len() >= want || found.contains(&text) || candidates.contains(&text) {
                continue;
            }
            match self.accepts(&text) {
                Some(true) => found.push(text),
                Some(false) => {}
                None => candidates.push(text),
            }
        }
    }

    /// Puts texts that people know first: a date of this century rather than the first of the year 0.
    fn outcome(&self, mut texts: Vec<String>, complete: bool) -> Outcome<String> {
        if texts.is_empty() {
            // A listing without texts is complete, or it would be an error.
            return Outcome::Empty;
        }
        let samples = self.formats.iter().filter_map(|format| format.samples().first());
        for sample in samples.rev() {
            if let Some(at) = texts.iter().position(|text| text == sample) {
                texts.remove(at);
            } else if complete || self.accepts(sample) != Some(true) {
                continue;
            }
            texts.insert(0, (*sample).to_owned());
        }
        if !complete {
            texts.truncate(self.want.max(1));
        }
        Outcome::Found { values: texts, complete }
    }

    /// Whether a text satisfies the goal; `None` where a pattern or a format cannot tell.
    pub(crate) fn accepts(&self, text: &str) -> Option<bool> {
        let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        if length < self.min_length
            || self.max_length.is_some_and(|greatest| length > greatest)
            || self.excluded.contains(text)
        {
            return Some(false);
        }
        let negate = |answer: Option<bool>| answer.map(|holds| !holds);
        let answers = (self.patterns.iter().map(|pattern| pattern.is_match(text)))
            .chain(self.not_patterns.iter().map(|pattern| negate(pattern.is_match(text))))
            .chain(self.formats.iter().map(|format| format.accepts(text)))
            .chain(self.not_formats.iter().map(|format| negate(format.accepts(text))));
        let mut known = Some(true);
        for answer in answers {
            match answer {
                Some(false) => return Some(false),
                Some(true) => {}
                None => known = None,
            }
        }
        known
    }
}

/// A goal as automata see it.
struct Model {
    /// What every text of the goal satisfies.
    widest: Literals,
    /// What only texts of the goal satisfy; `None` if nothing is known to.
    narrowest: Option<Literals>,
    /// The lengths that the formats leave.
    window: (u64, Option<u64>),
    /// Why the two differ; if there is no reason, they do not.
    reasons: Vec<String>,
    /// What to say if the automata grow too large.
    size: String,
}

impl Model {
    /// `None` if the goal contradicts itself.
    fn new(goal: &TextGoal) -> Option<Self> {
        let mut widest = Literals::default();
        let mut narrowest = Some(Literals::default());
        let mut window = (0, None);
        let mut reasons = Vec::new();
        let named =
            |patterns: &[Arc<Pattern>]| -> BTreeSet<Arc<Pattern>> { patterns.iter().cloned().collect() };
        let (patterns, not_patterns) = (named(&goal.patterns), named(&goal.not_patterns));
        if !patterns.is_disjoint(&not_patterns)
            || goal.formats.iter().any(|format| goal.not_formats.iter().any(|other| format.is_within(*other)))
        {
            return None;
        }
        for (pattern, holds) in
            patterns.iter().map(|p| (p, true)).chain(not_patterns.iter().map(|p| (p, false)))
        {
            match pattern.undecidable() {
                None => {
                    widest.add(pattern, holds);
                    if let Some(narrowest) = &mut narrowest {
                        narrowest.add(pattern, holds);
                    }
                }
                Some(reason) => {
                    narrowest = None;
                    reasons.push(reason.to_owned());
                }
            }
        }
        let formats = goal.formats.iter().map(|format| (format, true));
        for (format, holds) in formats.chain(goal.not_formats.iter().map(|format| (format, false))) {
            let (outer, inner) = if holds {
                (format.widest(), format.narrowest())
            } else {
                (format.narrowest(), format.widest())
            };
            if let Some(outer) = &outer {
                widest.add(outer, holds);
            }
            match (&mut narrowest, &inner) {
                (Some(narrowest), Some(inner)) => narrowest.add(inner, holds),
                _ => narrowest = None,
            }
            if !format.is_exact() {
                reasons.push(format!("the format {} is known in part only", format.word()));
            }
            if holds {
                let (least, greatest) = format.lengths();
                window.0 = window.0.max(least);
                window.1 = window.1.into_iter().chain(greatest).min();
            }
        }
        if widest.contradictory {
            return None;
        }
        reasons.sort();
        reasons.dedup();
        let texts: Vec<String> =
            patterns.union(&not_patterns).map(|pattern| pattern::shortened(pattern.text())).collect();
        let size = match texts.as_slice() {
            [] => "the automata of the formats grow too large".to_owned(),
            texts => format!("the automata grow too large for {}", texts.join(" with ")),
        };
        Some(Self {
            widest,
            narrowest: narrowest.filter(|narrowest| !narrowest.contradictory),
            window,
            reasons,
            size,
        })
    }
}

#[cfg(test)]
mod tests;
