//! Examples and defaults, held against their own schemas.

use std::sync::Arc;

use serde_json::{Value, json};

use super::outline::{Kind, Outline};
use super::proofs::{Readable, undecided};
use super::schemas::shown;
use super::{Findings, LintRule};
use crate::document::{Dialect, Document, Place};
use crate::inclusion::{Inclusion, Prover};

/// A value that is to satisfy a schema.
struct Sample<'a> {
    rule: LintRule,
    /// Where the value stands.
    place: Place<'a>,
    /// Where the schema stands.
    schema: String,
}

pub(super) fn look(
    outline: &Outline<'_>,
    readable: &Readable,
    prover: &mut Prover,
    findings: &mut Findings<'_>,
) {
    let mut samples = Vec::new();
    for place in outline.schemas() {
        of_schema(place, &mut samples);
    }
    for kind in [Kind::MediaType, Kind::Parameter, Kind::Header] {
        for place in outline.of_kind(kind) {
            beside_schema(kind, place, &mut samples, findings);
        }
    }
    let document = findings.document;
    let relaxed = relaxed(outline, document);
    // A value is the schema of nothing but itself, so that the prover says where the other schema refuses it.
    let values: Vec<Value> = samples.iter().map(|sample| json!({ "const": sample.place.value() })).collect();
    let values = Arc::new(Value::Array(values));
    for (at, sample) in samples.iter().enumerate() {
        // A schema that could not be read has a finding of its own.
        let Some(strict) = readable.get(&sample.schema) else { continue };
        let schema = match &relaxed {
            Some(root) => prover.read(root, document.dialect(), &sample.schema).unwrap_or(*strict),
            None => *strict,
        };
        let value = match prover.read(&values, Dialect::Draft202012, &format!("/{at}")) {
            Ok(value) => value,
            Err(error) => {
                let message = format!(
                    "it is not known whether the value satisfies its schema, because {}",
                    error.message
                );
                findings.add(LintRule::Undecided, &sample.place, message);
                continue;
            }
        };
        match prover.included(value, schema) {
            Inclusion::Proved => {}
            Inclusion::Refuted(witness) => {
                let refused = sample.place.value().pointer(&witness.pointer).unwrap_or(&Value::Null);
                let refused = match witness.pointer.as_str() {
                    "" => shown(refused),
                    pointer => format!("{} at {pointer}", shown(refused)),
                };
                let message = format!(
                    "{refused} is refused by `{}`{}",
                    witness.keyword,
                    keyword(&witness.schema, &witness.keyword, sample)
                );
                findings.add(sample.rule, &sample.place, message);
            }
            Inclusion::Undecided(reasons) => {
                undecided(&sample.place, "whether the value satisfies its schema", &reasons, findings);
            }
        }
    }
}

/// The document with no member required that is for one direction only; none if there is no such member. An example
/// of a request may lack what only answers have, and the other way round.
fn relaxed(outline: &Outline<'_>, document: &Document) -> Option<Arc<Value>> {
    let mut root: Option<Value> = None;
    for place in outline.schemas() {
        let Some(required) = place.get("required") else { continue };
        let kept: Vec<Value> = required
            .items()
            .filter(|name| !name.value().as_str().is_some_and(|name| is_one_way(place, name)))
            .map(|name| name.value().clone())
            .collect();
        if kept.len() < required.items().count() {
            let root = root.get_or_insert_with(|| (**document.value()).clone());
            if let Some(list) = root.pointer_mut(required.pointer()) {
                *list = Value::Array(kept);
            }
        }
    }
    root.map(Arc::new)
}

/// Whether a member is marked for one direction, where the schema or one that it builds upon names it.
fn is_one_way(place: &Place<'_>, name: &str) -> bool {
    let marked = |schema: &Place<'_>| {
        let member = schema.get("properties").and_then(|members| members.get(name));
        let resolved = member.as_ref().and_then(|member| member.resolved().ok());
        member.iter().chain(&resolved).any(|member| {
            ["readOnly", "writeOnly"].iter().any(|mark| member.value().get(mark) == Some(&Value::Bool(true)))
        })
    };
    marked(place)
        || place
            .get("allOf")
            .iter()
            .flat_map(Place::items)
            .any(|part| part.resolved().is_ok_and(|part| marked(&part)))
}

/// What the refusing keyword demands, if it can be shown.
fn keyword(schema: &str, keyword: &str, sample: &Sample<'_>) -> String {
    let document = sample.place.document();
    let pointer = if schema.ends_with(&format!("/{keyword}")) {
        schema.to_owned()
    } else {
        format!("{schema}/{keyword}")
    };
    match document.at(&pointer) {
        Some(place) if !schema.is_empty() => format!(": {}", shown(place.value())),
        _ => String::new(),
    }
}

fn of_schema<'a>(place: &Place<'a>, samples: &mut Vec<Sample<'a>>) {
    let dialect = place.document().dialect();
    // What stands beside a reference is nobody's example there, but a habit all the same: it is held against the
    // schema that the reference leads to.
    let schema = place.pointer().to_owned();
    let mut add = |rule, value: Option<Place<'a>>| {
        samples.extend(value.map(|place| Sample { rule, place, schema: schema.clone() }));
    };
    add(LintRule::DefaultInvalid, place.get("default"));
    if dialect.is_openapi() {
        add(LintRule::ExampleInvalid, place.get("example"));
    }
    if dialect != Dialect::OpenApi30 {
        for example in place.get("examples").iter().flat_map(Place::items) {
            add(LintRule::ExampleInvalid, Some(example));
        }
    }
}

/// The examples of what has a schema beside them.
fn beside_schema<'a>(
    kind: Kind,
    place: &Place<'a>,
    samples: &mut Vec<Sample<'a>>,
    findings: &mut Findings<'_>,
) {
    let Some(schema) = place.get("schema") else { return };
    let mut values = Vec::new();
    values.extend(place.get("example"));
    for (_, example) in place.get("examples").iter().flat_map(|it| it.members().collect::<Vec<_>>()) {
        let Ok(example) = example.resolved() else { continue };
        match example.get("value") {
            Some(value) => values.push(value),
            None if example.get("externalValue").is_some() => {
                findings.add(LintRule::ExampleUnchecked, &example, "the example is in another file");
            }
            None => findings.add(LintRule::FieldMissing, &example, "`value` is missing"),
        }
    }
    for value in values {
        // A text is all that can be written of an example in XML.
        if kind == Kind::MediaType && !is_json(place) && value.value().is_string() && !takes_text(&schema) {
            let message = "the example is a text in a media type that is no JSON";
            findings.add(LintRule::ExampleUnchecked, &value, message);
            continue;
        }
        let schema = schema.pointer().to_owned();
        samples.push(Sample { rule: LintRule::ExampleInvalid, place: value, schema });
    }
}

fn is_json(media_type: &Place<'_>) -> bool {
    let name = crate::document::tokens(media_type.pointer()).last().unwrap_or_default();
    let name = name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    name == "application/json" || name.ends_with("+json") || name.ends_with("/*")
}

fn takes_text(schema: &Place<'_>) -> bool {
    let Ok(schema) = schema.resolved() else { return false };
    schema
        .get("type")
        .is_some_and(|word| word.value() == "string" || word.items().any(|word| word.value() == "string"))
}
