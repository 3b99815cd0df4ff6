//! What only the prover can tell: whether schemas can be satisfied, and whether branches overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::outline::Outline;
use super::schemas::shown;
use super::{Findings, LintRule};
use crate::document::{Document, Place};
use crate::inclusion::{Inhabitant, Prover, Reason, SchemaId};

/// The member under which the parts of schemas are put that have no place of their own. No document has it.
const PARTS: &str = "x-fleetwire-parts";

/// Pairs of branches of one `oneOf` that are looked at: those of 64 branches.
const PAIRS: usize = 2016;

/// The schemas that could be read, by their pointers.
pub(super) type Readable = BTreeMap<String, SchemaId>;

pub(super) fn look(outline: &Outline<'_>, prover: &mut Prover, findings: &mut Findings<'_>) -> Readable {
    let document = findings.document;
    let (root, parts) = with_parts(outline, document);
    let mut readable = Readable::new();
    for place in outline.schemas() {
        match prover.read(&root, document.dialect(), place.pointer()) {
            Ok(id) => drop(readable.insert(place.pointer().to_owned(), id)),
            Err(error) => {
                // Shown where it is broken, unless the keyword has its finding already.
                let at = document.at(&error.pointer).unwrap_or_else(|| place.clone());
                let told =
                    [LintRule::KeywordMalformed, LintRule::PatternMalformed, LintRule::ReferenceUnresolved];
                // A reference is told of where the schema stands that is one.
                let around = error.pointer.strip_suffix("/$ref").and_then(|pointer| document.at(pointer));
                let told = told
                    .iter()
                    .any(|rule| std::iter::once(&at).chain(&around).any(|at| told_at(findings, *rule, at)));
                if !told && !findings.has(LintRule::SchemaUnreadable, &at) {
                    findings.add(LintRule::SchemaUnreadable, &at, error.message);
                }
            }
        }
    }
    satisfiable(outline, &readable, prover, findings);
    for place in outline.schemas() {
        let rest = parts.get(place.pointer()).map(|pointer| prover.read(&root, document.dialect(), pointer));
        overlap(place, rest.and_then(Result::ok), &readable, prover, findings);
    }
    readable
}

/// Whether a rule is known to be broken at a place or right beneath it.
fn told_at(findings: &Findings<'_>, rule: LintRule, place: &Place<'_>) -> bool {
    findings.has(rule, place) || place.members().any(|(_, member)| findings.has(rule, &member))
}

/// The document with, beside it, each schema that has a `oneOf` and other demands: without the `oneOf`. By the
/// pointers of those schemas, where the rest of each stands.
fn with_parts(outline: &Outline<'_>, document: &Document) -> (Arc<Value>, BTreeMap<String, String>) {
    let mut rests = Vec::new();
    let mut parts = BTreeMap::new();
    for place in outline.schemas() {
        let Some(members) = place.value().as_object() else { continue };
        if members.contains_key("oneOf") {
            let mut rest: Map<String, Value> = members.clone();
            rest.remove("oneOf");
            rest.remove("discriminator");
            rest.remove("$id");
            rest.remove("$anchor");
            if rest.is_empty() {
                continue;
            }
            parts.insert(place.pointer().to_owned(), format!("/{PARTS}/{}", rests.len()));
            rests.push(Value::Object(rest));
        }
    }
    match (&**document.value(), rests.is_empty()) {
        (Value::Object(members), false) => {
            let mut members = members.clone();
            members.insert(PARTS.to_owned(), Value::Array(rests));
            (Arc::new(Value::Object(members)), parts)
        }
        _ => (Arc::clone(document.value()), parts),
    }
}

fn satisfiable(outline: &Outline<'_>, readable: &Readable, prover: &mut Prover, findings: &mut Findings<'_>) {
    let mut empty: Vec<Place<'_>> = Vec::new();
    for place in outline.schemas() {
        let Some(id) = readable.get(place.pointer()) else { continue };
        match prover.inhabitant(*id) {
            Inhabitant::Empty => empty.push(place.clone()),
            Inhabitant::Found(_) => {}
            Inhabitant::Undecided(reasons) => {
                // What refers to it is undecided for the same reason.
                if place.text("$ref").is_none() && is_own(&reasons, place) {
                    undecided(place, "whether anything satisfies the schema", &reasons, findings);
                }
            }
        }
    }
    let pointers: BTreeSet<String> = empty.iter().map(|place| place.pointer().to_owned()).collect();
    for place in &empty {
        // Where a part of it can never be satisfied, the part is the fault.
        let part = format!("{}/", place.pointer());
        let inner = pointers.range(part.clone()..).next().is_some_and(|other| other.starts_with(&part));
        let meant = is_no(place.value());
        let elsewhere = place.text("$ref").is_some_and(|target| {
            place
                .follow(target)
                .is_ok_and(|target| is_no(target.value()) || pointers.contains(target.pointer()))
        });
        let told = place
            .get("required")
            .iter()
            .flat_map(Place::items)
            .any(|name| findings.has(LintRule::RequiredUnknown, &name));
        if !inner && !meant && !elsewhere && !told {
            findings.add(LintRule::SchemaUnsatisfiable, place, "no document satisfies this schema");
        }
    }
}

/// Whether a schema is written to refuse everything.
fn is_no(schema: &Value) -> bool {
    *schema == json!(false)
        || schema.as_object().is_some_and(|members| {
            members.get("not").is_some_and(|not| *not == json!({}) || *not == json!(true))
        })
}

/// Whether what stands in the way stands in this schema, and not in one that it contains or refers to.
fn is_own(reasons: &[Reason], place: &Place<'_>) -> bool {
    let inner = |pointer: &str| {
        pointer.strip_prefix(place.pointer()).is_some_and(|rest| rest.matches('/').count() <= 1)
    };
    reasons.is_empty() || reasons.iter().any(|reason| reason.pointer.is_empty() || inner(&reason.pointer))
}

pub(super) fn undecided(place: &Place<'_>, question: &str, reasons: &[Reason], findings: &mut Findings<'_>) {
    let reasons: Vec<String> = reasons.iter().map(|reason| reason.message.clone()).collect();
    let because =
        if reasons.is_empty() { String::new() } else { format!(", because {}", reasons.join("; ")) };
    findings.add(LintRule::Undecided, place, format!("it is not known {question}{because}"));
}

fn overlap(
    place: &Place<'_>,
    rest: Option<SchemaId>,
    readable: &Readable,
    prover: &mut Prover,
    findings: &mut Findings<'_>,
) {
    let Some(list) = place.get("oneOf") else { return };
    let branches: Vec<(Place<'_>, SchemaId)> =
        list.items().filter_map(|branch| Some((branch.clone(), *readable.get(branch.pointer())?))).collect();
    let pairs = branches.len().saturating_mul(branches.len().saturating_sub(1)) / 2;
    if pairs > PAIRS {
        let message =
            format!("it is not known whether branches overlap, because there are {pairs} pairs of them");
        findings.add(LintRule::Undecided, &list, message);
        return;
    }
    for (at, (_, one)) in branches.iter().enumerate() {
        for (other_at, (branch, other)) in branches.iter().enumerate().skip(at + 1) {
            let both: Vec<SchemaId> = [Some(*one), Some(*other), rest].into_iter().flatten().collect();
            let both = prover.all(&both);
            match prover.inhabitant(both) {
                Inhabitant::Empty => {}
                Inhabitant::Found(witness) => {
                    let message = format!("{} satisfies branch {at} and branch {other_at}", shown(&witness));
                    findings.add_with(LintRule::OneOfOverlap, branch, message, Some(witness));
                }
                Inhabitant::Undecided(reasons) => {
                    let question = format!("whether branch {at} and branch {other_at} overlap");
                    undecided(branch, &question, &reasons, findings);
                }
            }
        }
    }
}
