//! What stands inside schemas: every difference is named by walking both sides together, and what it comes to is
//! decided by inclusion.

mod differences;
mod kind;
mod questions;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use self::differences::{Difference, Step, Version};
use self::questions::Questions;
use super::change::{Affected, Change, OperationName, Said, Witness};
use super::rules::{Direction, Rule};
use crate::document::{Dialect, Document, Place};
use crate::finding::Severity;
use crate::inclusion::{Inclusion, Prover, SchemaId};

/// Steps into a message that are looked at, and within which a witness can be asked for.
const DEPTH: usize = 40;

/// Messages in which a shared place is judged. In others it is what it was in these.
const JUDGED: usize = 2;

/// Reasons that a finding shows for its not being decided.
const REASONS_SHOWN: usize = 3;

/// A message, parameter or header whose schemas are to be compared.
#[derive(Clone)]
pub(super) struct Use<'a> {
    pub(super) operation: Option<OperationName>,
    pub(super) part: String,
    pub(super) direction: Direction,
    pub(super) affects: Affected,
    /// Where the schemas stand; nothing where a document has none.
    pub(super) old: Option<Place<'a>>,
    pub(super) new: Option<Place<'a>>,
}

/// Reads schemas and asks about them.
pub(super) struct Judge<'p, 'a> {
    prover: &'p mut Prover,
    old: &'a Document,
    questions: usize,
}

impl<'a> Judge<'_, 'a> {
    fn read(&mut self, place: &Place<'a>) -> Option<SchemaId> {
        let document = place.document();
        self.prover.read(document.value(), document.dialect(), place.pointer()).ok()
    }

    fn accepts_null(&mut self, place: &Place<'a>) -> bool {
        self.read(place).is_some_and(|schema| self.prover.accepts(schema, &Value::Null))
    }

    fn same_schema(&mut self, one: &Place<'a>, other: &Place<'a>) -> bool {
        let one = self.read(one);
        one.is_some() && one == self.read(other)
    }

    fn are_equivalent(&mut self, one: &Place<'a>, other: &Place<'a>) -> bool {
        let (Some(one), Some(other)) = (self.read(one), self.read(other)) else { return false };
        one == other || (self.is_included(one, other) && self.is_included(other, one))
    }

    fn is_included(&mut self, narrow: SchemaId, wide: SchemaId) -> bool {
        matches!(self.included(narrow, wide), Inclusion::Proved)
    }

    fn included(&mut self, narrow: SchemaId, wide: SchemaId) -> Inclusion {
        self.questions += 1;
        self.prover.included(narrow, wide)
    }
}

/// Two schemas for one value, by their places with references followed.
struct Pair<'a> {
    old: Place<'a>,
    new: Place<'a>,
    differences: Vec<Difference>,
    inner: Vec<(Step, usize)>,
    /// Whether there is a difference here or further inside.
    differs: bool,
}

/// All pairs that were met, each of them compared once.
#[derive(Default)]
struct Pairs<'a> {
    pairs: Vec<Pair<'a>>,
    numbers: BTreeMap<(String, String), usize>,
}

impl<'a> Pairs<'a> {
    /// The number of a pair, which is compared with all that it leads to if it has not been met.
    fn meet(&mut self, judge: &mut Judge<'_, 'a>, old: &Place<'a>, new: &Place<'a>) -> usize {
        let mut open = Vec::new();
        let number = self.number(old, new, &mut open);
        while let Some(next) = open.pop() {
            let Some(pair) = self.pairs.get(next) else { continue };
            let (old, new) = (pair.old.clone(), pair.new.clone());
            let (differences, inner) = differences::compare(judge, &old, &new);
            let inner = inner
                .into_iter()
                .map(|inner| (inner.step, self.number(&inner.old, &inner.new, &mut open)))
                .collect();
            if let Some(pair) = self.pairs.get_mut(next) {
                pair.differences = differences;
                pair.inner = inner;
            }
        }
        number
    }

    fn number(&mut self, old: &Place<'a>, new: &Place<'a>, open: &mut Vec<usize>) -> usize {
        let (old, new) = (view::canonical(old), view::canonical(new));
        let key = (old.pointer().to_owned(), new.pointer().to_owned());
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = self.pairs.len();
        self.pairs.push(Pair { old, new, differences: Vec::new(), inner: Vec::new(), differs: false });
        self.numbers.insert(key, number);
        open.push(number);
        number
    }

    /// Marks the pairs from which a difference can be reached.
    fn mark(&mut self) {
        let mut outer: Vec<Vec<usize>> = vec![Vec::new(); self.pairs.len()];
        let mut open = Vec::new();
        for (number, pair) in self.pairs.iter().enumerate() {
            for (_, inner) in &pair.inner {
                if let Some(outer) = outer.get_mut(*inner) {
                    outer.push(number);
                }
            }
            if !pair.differences.is_empty() {
                open.push(number);
            }
        }
        while let Some(number) = open.pop() {
            let Some(pair) = self.pairs.get_mut(number) else { continue };
            if !std::mem::replace(&mut pair.differs, true) {
                open.extend(outer.get(number).into_iter().flatten());
            }
        }
    }

    /// The differences within a pair in messages that go one way, each with its number and the shortest way to it, and whether there may be
    /// more that are too deep inside.
    fn within(&self, root: usize, direction: Direction) -> (Vec<Found<'_>>, bool) {
        let mut found = Vec::new();
        let mut is_cut = false;
        // Pairs that were reached, each with the one before it and the step from there.
        let mut reached: BTreeMap<usize, Option<(usize, usize)>> = BTreeMap::from([(root, None)]);
        let mut open = VecDeque::from([(root, 0)]);
        while let Some((number, depth)) = open.pop_front() {
            let Some(pair) = self.pairs.get(number).filter(|pair| pair.differs) else { continue };
            if !pair.differences.is_empty() {
                let way = Rc::new(self.way(number, &reached));
                let differences = pair.differences.iter().enumerate();
                found.extend(differences.map(|(index, difference)| Found {
                    number: (number, index),
                    way: Rc::clone(&way),
                    difference,
                }));
            }
            for (index, (step, inner)) in pair.inner.iter().enumerate() {
                let other_way = matches!(step, Step::Member { only: Some(only), .. } if *only != direction);
                if other_way || reached.contains_key(inner) {
                    continue;
                }
                if depth >= DEPTH {
                    is_cut |= self.pairs.get(*inner).is_some_and(|pair| pair.differs);
                    continue;
                }
                reached.insert(*inner, Some((number, index)));
                open.push_back((*inner, depth + 1));
            }
        }
        (found, is_cut)
    }

    fn way(&self, mut number: usize, reached: &BTreeMap<usize, Option<(usize, usize)>>) -> Vec<Step> {
        let mut way = Vec::new();
        while let Some(Some((before, step))) = reached.get(&number) {
            let step = self.pairs.get(*before).and_then(|pair| pair.inner.get(*step));
            way.extend(step.map(|(step, _)| step.clone()));
            number = *before;
        }
        way.reverse();
        way
    }
}

/// A difference within a message.
struct Found<'d> {
    /// That of its pair, and its own there.
    number: (usize, usize),
    way: Rc<Vec<Step>>,
    difference: &'d Difference,
}

/// What differences of shared places came to in the messages that were looked at first.
type Known = BTreeMap<((usize, usize), Direction), Vec<Verdict>>;

/// What a difference came to in a message.
#[derive(Clone)]
pub(super) struct Verdict {
    pub(super) severity: Severity,
    witness: Option<Witness>,
    reasons: Vec<String>,
}

/// A difference with what it comes to.
pub(super) struct Graded {
    pub(super) rule: Rule,
    at: String,
    pub(super) old: Said,
    pub(super) new: Said,
    pub(super) verdict: Verdict,
}

/// A message as a whole: the schemas of the end that sends and of the end that reads.
struct Whole {
    narrow: SchemaId,
    wide: SchemaId,
    answer: Inclusion,
}

/// Compares the schemas of all messages. Returns the findings of each, and how many questions were asked.
pub(super) fn compare<'a>(
    old: &'a Document,
    new: &'a Document,
    uses: &[Use<'a>],
    prover: &mut Prover,
) -> (Vec<Rc<Vec<Graded>>>, usize) {
    let mut judge = Judge { prover, old, questions: 0 };
    let mut pairs = Pairs::default();
    let roots: Vec<Option<usize>> = uses
        .iter()
        .map(|one| match (&one.old, &one.new) {
            (Some(old), Some(new)) => Some(pairs.meet(&mut judge, old, new)),
            _ => None,
        })
        .collect();
    pairs.mark();

    let directed = Directed::new(old, new);
    // The same pair of schemas is one question, in however many operations it is used.
    let mut graded: BTreeMap<(usize, Direction), Rc<Vec<Graded>>> = BTreeMap::new();
    let mut known = Known::new();
    for (one, root) in uses.iter().zip(&roots) {
        let Some(key) = root.map(|root| (root, one.direction)) else { continue };
        graded
            .entry(key)
            .or_insert_with(|| Rc::new(grade(&mut judge, &pairs, &directed, &mut known, [old, new], key)));
    }

    let mut findings = Vec::with_capacity(uses.len());
    for (one, root) in uses.iter().zip(&roots) {
        findings.push(match root.and_then(|root| graded.get(&(root, one.direction))) {
            Some(graded) => Rc::clone(graded),
            None => Rc::new(one_sided(one).into_iter().collect()),
        });
    }
    (findings, judge.questions)
}

/// A finding of a message. What is shared by many messages has one: with its witness it may be large.
pub(super) fn finding(one: &Use<'_>, graded: &Graded) -> Change {
    let mut change = Change::new(graded.rule, graded.old.clone(), graded.new.clone());
    let verdict = &graded.verdict;
    change.severity = verdict.severity;
    change.affects = (verdict.severity != Severity::Info).then_some(one.affects);
    change.operation.clone_from(&one.operation);
    change.part.clone_from(&one.part);
    change.at.clone_from(&graded.at);
    change.witness.clone_from(&verdict.witness);
    change.reasons.clone_from(&verdict.reasons);
    if verdict.severity == Severity::Info {
        change.advice = "nothing";
    }
    change
}

/// Where one document has no schema, it says nothing of what may be there.
fn one_sided(one: &Use<'_>) -> Option<Graded> {
    let said =
        |place: &Place<'_>| Said { pointer: Some(place.pointer().to_owned()), text: "a schema".to_owned() };
    let (rule, old, new, which) = match (&one.old, &one.new, one.direction) {
        (None, Some(new), Direction::Request) => (Rule::RequestUndecided, None, Some(new), Some("old")),
        (None, Some(new), Direction::Response) => (Rule::ResponseConstraintTightened, None, Some(new), None),
        (Some(old), None, Direction::Request) => (Rule::RequestConstraintLoosened, Some(old), None, None),
        (Some(old), None, Direction::Response) => (Rule::ResponseUndecided, Some(old), None, Some("new")),
        _ => return None,
    };
    let text = |place: Option<&Place<'_>>| {
        place.map_or_else(|| Said { pointer: None, text: "no schema".to_owned() }, said)
    };
    let graded = Graded {
        rule,
        at: String::new(),
        old: text(old),
        new: text(new),
        verdict: Verdict {
            severity: rule.severity(),
            witness: None,
            reasons: which
                .map(|which| format!("the {which} document does not say what it is"))
                .into_iter()
                .collect(),
        },
    };
    Some(graded)
}

/// The documents as they hold in either direction: a member that only goes the other way is not sent, and who reads
/// it nevertheless ignores it.
struct Directed {
    request: [Arc<Value>; 2],
    response: [Arc<Value>; 2],
}

impl Directed {
    fn new(old: &Document, new: &Document) -> Self {
        Self {
            request: [without(old, "readOnly", false), without(new, "readOnly", true)],
            response: [without(old, "writeOnly", true), without(new, "writeOnly", false)],
        }
    }

    const fn root(&self, direction: Direction, version: Version) -> &Arc<Value> {
        let [old, new] = match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        };
        match version {
            Version::Old => old,
            Version::New => new,
        }
    }
}

/// A document whose members with a mark are not required, and may be anything or must not be there.
fn without(document: &Document, mark: &str, anything: bool) -> Arc<Value> {
    fn marked(value: &Value, mark: &str) -> bool {
        match value {
            Value::Object(members) => {
                members.get(mark) == Some(&Value::Bool(true))
                    || members.values().any(|value| marked(value, mark))
            }
            Value::Array(items) => items.iter().any(|value| marked(value, mark)),
            _ => false,
        }
    }
    fn lift(document: &Document, value: &mut Value, pointer: &str, mark: &str, anything: bool) {
        match value {
            Value::Object(members) => {
                let names = match members.contains_key("required") {
                    true => document.at(pointer).map(|place| one_way(&place, mark)).unwrap_or_default(),
                    false => BTreeSet::new(),
                };
                if let Some(Value::Array(required)) = members.get_mut("required") {
                    required.retain(|name| !name.as_str().is_some_and(|name| names.contains(name)));
                }
                for (name, value) in members.iter_mut() {
                    lift(document, value, &crate::document::child(pointer, name), mark, anything);
                }
                let place = document.at(pointer).and_then(|place| place.get("properties"));
                for (name, member) in place.iter().flat_map(Place::members) {
                    if let Some(schema) = members.get_mut("properties").and_then(|list| list.get_mut(name))
                        && differences::is_marked(&member, mark)
                    {
                        *schema = Value::Bool(anything);
                    }
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter_mut().enumerate() {
                    lift(
                        document,
                        value,
                        &crate::document::child(pointer, &index.to_string()),
                        mark,
                        anything,
                    );
                }
            }
            _ => {}
        }
    }
    if !marked(document.value(), mark) {
        return Arc::clone(document.value());
    }
    let mut root = Value::clone(document.value());
    lift(document, &mut root, "", mark, anything);
    Arc::new(root)
}

/// The members of a schema that go only one way.
fn one_way(place: &Place<'_>, mark: &str) -> BTreeSet<String> {
    let members = view::View::new(place).members();
    members
        .into_iter()
        .filter(|(_, schemas)| schemas.iter().any(|schema| differences::is_marked(schema, mark)))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Says what the differences within a pair of schemas come to for messages that go one way.
fn grade<'a>(
    judge: &mut Judge<'_, 'a>,
    pairs: &Pairs<'a>,
    directed: &Directed,
    known: &mut Known,
    [old, new]: [&'a Document; 2],
    (root, direction): (usize, Direction),
) -> Vec<Graded> {
    let Some(pair) = pairs.pairs.get(root) else { return Vec::new() };
    let (mut differences, is_cut) = pairs.within(root, direction);
    differences.retain(|found| found.difference.only.is_none_or(|only| only == direction));
    let (narrow, wide) = match direction {
        Direction::Request => (Version::Old, Version::New),
        Direction::Response => (Version::New, Version::Old),
    };
    let verdict = |known: &Known, number: (usize, usize)| -> Option<Verdict> {
        let judged = known.get(&(number, direction)).filter(|judged| judged.len() >= JUDGED)?;
        judged.iter().min_by_key(|one| one.severity).cloned()
    };
    // Where a break is known already, and nothing is to be asked, the message as a whole has nothing to add.
    let mut is_explained = false;
    let is_settled = differences.iter().all(|Found { number, difference, .. }| {
        let known = verdict(known, *number);
        is_explained |= known.as_ref().is_some_and(|verdict| verdict.witness.is_some());
        known.is_some() || difference.demands(wide).iter().all(Option::is_none)
    });
    let whole = match is_settled && is_explained {
        true => None,
        false => Some(whole(judge, pair, directed, direction)),
    };
    let is_proved = matches!(whole, Some(Ok(Whole { answer: Inclusion::Proved, .. })));

    let mut found: Vec<Graded> = Vec::new();
    let mut questions = Questions::new(old, new);
    let mut asked: Vec<Asked> = Vec::new();
    let mut explained = false;
    for Found { number, way, difference } in differences {
        let Some(rule) = difference.kind.rule(direction) else { continue };
        let mut at = String::new();
        for step in way.iter() {
            at = step.shown(&at);
        }
        at.push_str(&difference.at);
        let severity = rule.otherwise().unwrap_or(rule.severity());
        let mut graded = Verdict { severity, witness: None, reasons: Vec::new() };
        if rule.otherwise().is_some() && !is_proved {
            if let Some(verdict) = verdict(known, number) {
                explained |= verdict.witness.is_some();
                graded = verdict;
            } else {
                for (demand, is_strict) in difference.demands(wide).into_iter().zip([true, false]) {
                    let Some(demand) = demand else { continue };
                    let pointer = questions.ask(demand, &way, narrow);
                    asked.push(Asked { index: found.len(), number, pointer, is_strict });
                }
            }
        }
        let verdict = graded;
        found.push(Graded { rule, at, old: difference.old.clone(), new: difference.new.clone(), verdict });
    }
    if is_cut {
        let reason = format!("there are differences more than {DEPTH} levels inside");
        found.push(generic(pair, undecided(direction), vec![reason], None));
    }

    match whole {
        None => {}
        Some(Ok(whole)) => {
            explained |= settle(judge, &whole, &questions.finish(), &asked, &mut found);
            let mut last = None;
            for Asked { index, number, .. } in asked {
                if last.replace(index) != Some(index)
                    && let Some(graded) = found.get(index)
                {
                    known.entry((number, direction)).or_default().push(graded.verdict.clone());
                }
            }
            if !explained {
                found.extend(unexplained(pair, direction, whole.answer));
            }
        }
        Some(Err(reason)) => {
            for graded in &mut found {
                if graded.rule.otherwise().is_some() {
                    graded.verdict.severity = Severity::Warning;
                    graded.verdict.reasons.push(reason.clone());
                }
            }
            if found.is_empty() && !pair.old.value().eq(pair.new.value()) {
                found.push(generic(pair, undecided(direction), vec![reason], None));
            }
        }
    }
    found
}

/// A question about one difference.
struct Asked {
    /// Which finding it is about.
    index: usize,
    number: (usize, usize),
    pointer: String,
    /// Whether a break is one by what the documents promise, and not merely by what peers may rely on.
    is_strict: bool,
}

/// Asks about a message as a whole.
fn whole<'a>(
    judge: &mut Judge<'_, 'a>,
    pair: &Pair<'a>,
    directed: &Directed,
    direction: Direction,
) -> Result<Whole, String> {
    let mut read = |place: &Place<'a>| {
        let old = std::ptr::eq(place.document(), judge.old);
        let root = directed.root(direction, if old { Version::Old } else { Version::New });
        let schema = judge.prover.read(root, place.document().dialect(), place.pointer());
        schema.map_err(|error| format!("undecided because the schema cannot be read: {error}"))
    };
    let (old, new) = (read(&pair.old)?, read(&pair.new)?);
    let (narrow, wide) = match direction {
        Direction::Request => (old, new),
        Direction::Response => (new, old),
    };
    if narrow == wide {
        return Ok(Whole { narrow, wide, answer: Inclusion::Proved });
    }
    // A peer sends what the document names. That an open object lets it send more is no promise to anybody.
    let narrow = judge.prover.closed(narrow);
    let answer = judge.included(narrow, wide);
    Ok(Whole { narrow, wide, answer })
}

/// Asks about single differences. Returns whether they explain the answer for the whole.
fn settle(
    judge: &mut Judge<'_, '_>,
    whole: &Whole,
    document: &Arc<Value>,
    asked: &[Asked],
    found: &mut [Graded],
) -> bool {
    if matches!(whole.answer, Inclusion::Proved) {
        return true;
    }
    let mut explained = false;
    for Asked { index, pointer, is_strict, .. } in asked {
        let Some(Graded { rule, verdict, .. }) = found.get_mut(*index) else { continue };
        if verdict.witness.is_some() {
            continue;
        }
        let Ok(demand) = judge.prover.read(document, Dialect::Draft202012, pointer) else { continue };
        let mut answer = judge.included(whole.narrow, demand);
        // Another difference may make up for this one, or merely for the message that was found first.
        if let Inclusion::Refuted(witness) = &answer
            && judge.prover.accepts(whole.wide, &witness.document)
        {
            let refused = judge.prover.not(whole.wide);
            let refused = judge.prover.all(&[whole.narrow, refused]);
            answer = match judge.included(refused, demand) {
                Inclusion::Undecided(_) => Inclusion::Proved,
                other => other,
            };
        }
        match answer {
            Inclusion::Proved => {}
            Inclusion::Refuted(witness) => {
                explained = true;
                verdict.witness = Some(witness.into());
                verdict.reasons.clear();
                if *is_strict {
                    verdict.severity = rule.severity();
                }
            }
            Inclusion::Undecided(reasons) => {
                explained |= matches!(whole.answer, Inclusion::Undecided(_));
                verdict.severity = verdict.severity.min(Severity::Warning);
                verdict.reasons = shown(&reasons);
            }
        }
    }
    explained
}

fn shown(reasons: &[crate::inclusion::Reason]) -> Vec<String> {
    let mut shown: Vec<String> = reasons.iter().take(REASONS_SHOWN).map(ToString::to_string).collect();
    if shown.is_empty() {
        shown.push("undecided".to_owned());
    }
    shown
}

const fn undecided(direction: Direction) -> Rule {
    match direction {
        Direction::Request => Rule::RequestUndecided,
        Direction::Response => Rule::ResponseUndecided,
    }
}

/// What the whole comes to where no single difference says so.
fn unexplained(pair: &Pair<'_>, direction: Direction, answer: Inclusion) -> Option<Graded> {
    let (rule, reasons, witness) = match answer {
        Inclusion::Proved => return None,
        Inclusion::Refuted(witness) => {
            let rule = match direction {
                Direction::Request => Rule::RequestNarrowed,
                Direction::Response => Rule::ResponseWidened,
            };
            (rule, Vec::new(), Some(Witness::from(witness)))
        }
        Inclusion::Undecided(reasons) => (undecided(direction), shown(&reasons), None),
    };
    Some(generic(pair, rule, reasons, witness))
}

fn generic(pair: &Pair<'_>, rule: Rule, reasons: Vec<String>, witness: Option<Witness>) -> Graded {
    let said =
        |place: &Place<'_>| Said { pointer: Some(place.pointer().to_owned()), text: "the schema".to_owned() };
    Graded {
        rule,
        at: String::new(),
        old: said(&pair.old),
        new: said(&pair.new),
        verdict: Verdict { severity: rule.severity(), witness, reasons },
    }
}
