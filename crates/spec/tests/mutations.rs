//! One thing is changed in a source, or in the schemas of our types, and the check has to notice: by a document
//! that proves a claim false, or by a finding that names what is lost, added, renamed or bounded otherwise.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy sees only the functions marked as tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fleetwire_spec::claims::Standing;
use fleetwire_spec::deviations::{self, Deviation};
use fleetwire_spec::document::Dialect;
use fleetwire_spec::inclusion::{Inclusion, Prover, Settings};
use fleetwire_spec::source::{self, Source};
use fleetwire_spec::{Contracts, Finding, Held, Kind, Proof, names, prove_vendor};
use serde_json::{Map, Value, json};

/// A change of one node of a document.
#[derive(Debug, Clone)]
struct Mutation {
    /// Where the schema stands.
    at: String,
    /// What happens there.
    what: String,
    /// What becomes of the schema.
    schema: Value,
}

impl Mutation {
    fn applied(&self, document: &Value) -> Value {
        let mut document = document.clone();
        *document.pointer_mut(&self.at).unwrap() = self.schema.clone();
        document
    }
}

/// Every change of one keyword, name, word, mark or branch, at every schema of a document.
fn mutations(document: &Value) -> Vec<Mutation> {
    let mut all = Vec::new();
    walk(document, "", false, &mut all);
    all
}

const SCHEMAS: [&str; 4] = ["schema", "items", "additionalProperties", "not"];
const LISTS: [&str; 3] = ["oneOf", "anyOf", "allOf"];
const MAPS: [&str; 2] = ["properties", "schemas"];

fn walk(node: &Value, at: &str, is_schema: bool, all: &mut Vec<Mutation>) {
    let Value::Object(members) = node else {
        if let Value::Array(items) = node {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{at}/{index}"), false, all);
            }
        }
        return;
    };
    if is_schema && !members.contains_key("$ref") {
        mutate(members, at, all);
    }
    for (key, value) in members {
        let below = format!("{at}/{}", escape(key));
        if key.starts_with("x-")
            || ["example", "examples", "default", "enum", "required"].contains(&key.as_str())
        {
            continue;
        }
        if SCHEMAS.contains(&key.as_str()) {
            walk(value, &below, true, all);
        } else if MAPS.contains(&key.as_str()) {
            for (name, schema) in value.as_object().into_iter().flatten() {
                walk(schema, &format!("{below}/{}", escape(name)), true, all);
            }
        } else if LISTS.contains(&key.as_str()) {
            for (index, schema) in value.as_array().into_iter().flatten().enumerate() {
                walk(schema, &format!("{below}/{index}"), true, all);
            }
        } else {
            walk(value, &below, false, all);
        }
    }
}

const CLOSES: &str = "it is no longer said what other members are";

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn mutate(schema: &Map<String, Value>, at: &str, all: &mut Vec<Mutation>) {
    let mut add = |what: String, change: &dyn Fn(&mut Map<String, Value>)| {
        let mut changed = schema.clone();
        change(&mut changed);
        if changed != *schema {
            all.push(Mutation { at: at.to_owned(), what, schema: changed.into() });
        }
    };
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(own)) => vec![own],
        Some(Value::Array(own)) => own.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |kind: &str| types.contains(&kind);

    if let [own] = types.as_slice() {
        let other = match *own {
            "string" => "integer",
            "integer" | "boolean" | "number" => "string",
            "object" => "array",
            _ => "object",
        };
        add(format!("type {own} becomes {other}"), &|schema| {
            drop(schema.insert("type".into(), other.into()));
        });
    }
    for keyword in
        ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties", "pattern"]
    {
        match schema.get(keyword) {
            Some(bound) => {
                add(format!("{keyword} is removed"), &|schema| drop(schema.remove(keyword)));
                if let Some(bound) = bound.as_i64() {
                    for changed in [bound.saturating_sub(1), bound.saturating_add(1)] {
                        add(format!("{keyword} {bound} becomes {changed}"), &|schema| {
                            schema.insert(keyword.into(), changed.into());
                        });
                    }
                }
            }
            None => {
                let bound = match keyword {
                    "minimum" if is("integer") || is("number") => json!(7),
                    "maximum" if is("integer") || is("number") => json!(7),
                    "minLength" if is("string") => json!(3),
                    "maxLength" if is("string") => json!(3),
                    "pattern" if is("string") => json!("^a"),
                    "minItems" if is("array") => json!(1),
                    "maxItems" if is("array") => json!(1),
                    _ => continue,
                };
                add(format!("{keyword} {bound} is added"), &|schema| {
                    drop(schema.insert(keyword.into(), bound.clone()));
                });
            }
        }
    }
    if is("string") {
        match schema.get("format") {
            Some(_) => add("format is removed".into(), &|schema| drop(schema.remove("format"))),
            None => add("format date is added".into(), &|schema| {
                drop(schema.insert("format".into(), "date".into()));
            }),
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for name in properties.into_iter().flatten().map(|(name, _)| name) {
        let require = |schema: &mut Map<String, Value>, from: &str, to: Option<&str>| {
            let list = schema.entry("required").or_insert_with(|| json!([])).as_array_mut().unwrap();
            list.retain(|item| item.as_str() != Some(from));
            list.extend(to.map(Value::from));
            if list.is_empty() {
                schema.remove("required");
            }
        };
        let is_required = required.contains(&name.as_str());
        add(format!("{name} is removed"), &|schema| {
            schema["properties"].as_object_mut().unwrap().remove(name);
            require(schema, name, None);
        });
        add(format!("{name} is renamed"), &|schema| {
            let members = schema["properties"].as_object_mut().unwrap();
            let member = members.remove(name).unwrap();
            let renamed = format!("{name}_renamed");
            members.insert(renamed.clone(), member);
            require(schema, name, is_required.then_some(&renamed));
        });
        match is_required {
            true => add(format!("{name} becomes optional"), &|schema| require(schema, name, None)),
            false => add(format!("{name} becomes required"), &|schema| require(schema, name, Some(name))),
        }
    }
    if is("object") {
        add("a member is added".into(), &|schema| {
            let members = schema.entry("properties").or_insert_with(|| json!({}));
            members["member_added"] = json!({"type": "string"});
        });
        match schema.get("additionalProperties") {
            Some(_) => add(CLOSES.into(), &|schema| {
                schema.remove("additionalProperties");
            }),
            None => add("other members are forbidden".into(), &|schema| {
                schema.insert("additionalProperties".into(), false.into());
            }),
        }
    }
    for list in ["enum", "x-words", "x-known-values"] {
        let Some(words) = schema.get(list).and_then(Value::as_array) else { continue };
        for word in words.iter().filter(|_| words.len() > 1) {
            add(format!("{list} loses {word}"), &|schema| {
                schema[list].as_array_mut().unwrap().retain(|own| own != word);
            });
        }
        add(format!("{list} gains a word"), &|schema| {
            schema[list].as_array_mut().unwrap().push("word-added".into());
        });
        let other = if list == "enum" { "x-words" } else { "enum" };
        add(format!("{list} becomes {other}"), &|schema| {
            let words = schema.remove(list).unwrap();
            schema.insert(other.into(), words);
        });
    }
    for union in ["oneOf", "anyOf"] {
        let Some(branches) = schema.get(union).and_then(Value::as_array) else { continue };
        for index in (0..branches.len()).filter(|_| branches.len() > 1) {
            add(format!("{union} loses branch {index}"), &|schema| {
                schema[union].as_array_mut().unwrap().remove(index);
            });
        }
        add(format!("{union} gains a branch"), &|schema| {
            schema[union].as_array_mut().unwrap().push(json!({"type": "boolean"}));
        });
    }
}

/// Whether two schemas in the same place say the same: a mutation of words and not of what is meant.
fn says_the_same(prover: &mut Prover, dialect: Dialect, before: &Value, after: &Value, at: &str) -> bool {
    let mut closed = |document: &Value| {
        let schema = prover.read(&Arc::new(document.clone()), dialect, at).unwrap();
        prover.closed(schema)
    };
    let (before, after) = (closed(before), closed(after));
    prover.included(before, after) == Inclusion::Proved && prover.included(after, before) == Inclusion::Proved
}

/// Who writes fewer members than the source leaves open, or fewer alternatives, keeps every promise. So does who
/// takes back a limit of our own: no source has it, and that the documents have the rules is the generator's.
fn keeps_every_promise(prover: &mut Prover, mutation: &Mutation, before: &Value, after: &Value) -> bool {
    let mut read = |document: &Value| {
        let schema = prover.read(&Arc::new(document.clone()), Dialect::OpenApi31, &mutation.at).unwrap();
        prover.closed(schema)
    };
    let (before, after) = (read(before), read(after));
    mutation.what == CLOSES
        || mutation.what.ends_with("gains a branch") && prover.included(after, before) == Inclusion::Proved
        || mutation.what.ends_with("is removed") && prover.included(before, after) == Inclusion::Proved
}

/// Whether a bound is that of a machine's integer: a named tolerance, since sources have no machine.
fn is_of_a_machine(mutation: &Mutation, document: &Value) -> bool {
    let schema = document.pointer(&mutation.at).unwrap();
    ["minimum", "maximum"].iter().any(|keyword| {
        mutation.what.starts_with(keyword)
            && schema.get(keyword).and_then(Value::as_f64).is_some_and(|bound| {
                let width = bound.abs().log2().round();
                width >= 7.0 && (bound.abs() - width.exp2()).abs() <= 1.0
                    || bound == 0.0
                        && schema
                            .get("format")
                            .and_then(Value::as_str)
                            .is_some_and(|own| own.starts_with("uint"))
            })
    })
}

/// The places of a document's shared schemas that only silent parts of the source lead to: nothing is claimed of
/// them, and what the generator makes of them is compared with what is committed.
///
/// The second value has such answers themselves.
fn claimed(document: &Value, vendor: &str, claims: &[Held]) -> (BTreeSet<String>, Vec<String>) {
    let (mut reached, mut unclaimed) = (BTreeSet::new(), Vec::new());
    let ids: BTreeMap<String, String> = names()
        .into_iter()
        .filter(|name| name.id.starts_with(vendor))
        .map(|name| (format!("{} {}", name.method.to_lowercase(), name.path), name.id))
        .collect();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = &ids[&format!("{method} {path}")];
            let is_silent = |side: &str| {
                let of =
                    |held: &&Held| held.claimed.operation == *id && held.claimed.side.to_string() == side;
                claims.iter().filter(of).any(|held| held.claimed.standing == Standing::Silent)
            };
            if !is_silent("request") {
                reach(document, &operation["requestBody"], &mut reached);
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                let of_class = status.starts_with('2') && is_silent("response 2XX");
                if !of_class && !is_silent(&format!("response {status}")) {
                    reach(document, response, &mut reached);
                } else {
                    let path = path.replace('~', "~0").replace('/', "~1");
                    unclaimed.push(format!("/paths/{path}/{method}/responses/{status}/"));
                }
            }
        }
    }
    (reached, unclaimed)
}

fn reach(document: &Value, node: &Value, reached: &mut BTreeSet<String>) {
    if let Some(reference) = node.get("$ref").and_then(Value::as_str) {
        let pointer = reference.strip_prefix('#').unwrap();
        if reached.insert(pointer.to_owned()) {
            reach(document, document.pointer(pointer).unwrap(), reached);
        }
    }
    match node {
        Value::Object(members) => members.values().for_each(|value| reach(document, value, reached)),
        Value::Array(items) => items.iter().for_each(|value| reach(document, value, reached)),
        _ => {}
    }
}

/// The vendors' sources with our documents of the same vendor.
fn vendors() -> Vec<(Source, Contracts)> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let sources = source::read(root).unwrap();
    sources.into_iter().map(|source| (source.clone(), Contracts::of(&source.vendor).unwrap())).collect()
}

fn patches() -> Vec<Deviation> {
    deviations::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))).unwrap()
}

/// Every how many mutations are tried: all of them in the second tier.
fn stride() -> usize {
    match std::env::var("FLEETWIRE_MUTATIONS").as_deref() {
        Ok("all") => 1,
        _ => 7,
    }
}

fn brief(finding: &Finding) -> String {
    format!("{} {}", finding.id, finding.pointer)
}

/// Whether a finding shows what broke: a document that proves it, or the name of what differs.
fn shows(finding: &Finding) -> bool {
    match finding.id {
        Kind::ClaimRefuted | Kind::SchemaUntrue => finding.witness.is_some(),
        Kind::ClaimUndecided => false,
        _ => true,
    }
}

#[test]
fn every_mutation_of_a_source_is_found() {
    let (names, patches) = (names(), patches());
    let mut prover = Prover::new(Settings::default());
    let mut kinds = BTreeMap::<String, usize>::new();
    let (mut tried, mut passed) = (0, Vec::new());
    for (source, ours) in vendors() {
        let unchanged = prove_vendor(&source.vendor, &source.document, &ours, &patches, &names, &mut prover);
        assert_eq!(unchanged.coverage.findings, [], "{}", source.vendor);
        for (index, mutation) in mutations(&source.document).into_iter().enumerate() {
            let of_silence = source.document.pointer(&mutation.at).unwrap().get("x-silent").is_some();
            // Where a source is silent, ours may name more than it does.
            if index % stride() != 0 || of_silence {
                continue;
            }
            tried += 1;
            let mutant = mutation.applied(&source.document);
            let Proof { coverage, .. } =
                prove_vendor(&source.vendor, &mutant, &ours, &patches, &names, &mut prover);
            let found: Vec<&Finding> = coverage.findings.iter().filter(|finding| shows(finding)).collect();
            for finding in &found {
                *kinds.entry(finding.id.to_string()).or_default() += 1;
            }
            let dialect = Dialect::OpenApi30;
            if found.is_empty()
                && !says_the_same(&mut prover, dialect, &source.document, &mutant, &mutation.at)
            {
                let undecided: Vec<_> = coverage.findings.iter().map(brief).collect();
                passed.push(format!("{} {}: {} {undecided:?}", source.vendor, mutation.at, mutation.what));
            }
        }
    }
    println!("{tried} mutations; findings by kind: {kinds:?}");
    assert!(tried > 200, "{tried}");
    assert!(passed.is_empty(), "{} of {tried} passed:\n{}", passed.len(), passed.join("\n"));
}

#[test]
fn every_mutation_of_what_our_types_write_is_found() {
    let (names, patches) = (names(), patches());
    let mut prover = Prover::new(Settings::default());
    let (mut tried, mut passed) = (0, Vec::new());
    for (source, ours) in vendors() {
        let unchanged = prove_vendor(&source.vendor, &source.document, &ours, &patches, &names, &mut prover);
        let (claimed, unclaimed) = claimed(&ours.emit, &source.vendor, &unchanged.claims);
        for (index, mutation) in mutations(&ours.emit).into_iter().enumerate() {
            let component = mutation.at.split('/').take(4).collect::<Vec<_>>().join("/");
            let is_claimed = (!component.starts_with("/components/schemas/") || claimed.contains(&component))
                && !unclaimed.iter().any(|answer| mutation.at.starts_with(answer));
            if index % stride() != 0 || !is_claimed || is_of_a_machine(&mutation, &ours.emit) {
                continue;
            }
            tried += 1;
            let mutant = Contracts { emit: mutation.applied(&ours.emit), accept: ours.accept.clone() };
            let Proof { coverage, .. } =
                prove_vendor(&source.vendor, &source.document, &mutant, &patches, &names, &mut prover);
            if !coverage.findings.iter().any(shows)
                && !keeps_every_promise(&mut prover, &mutation, &ours.emit, &mutant.emit)
                && !says_the_same(&mut prover, Dialect::OpenApi31, &ours.emit, &mutant.emit, &mutation.at)
            {
                passed.push(format!("{} {}: {}", source.vendor, mutation.at, mutation.what));
            }
        }
    }
    println!("{tried} mutations");
    assert!(tried > 150, "{tried}");
    assert!(passed.is_empty(), "{} of {tried} passed:\n{}", passed.len(), passed.join("\n"));
}

/// What our types read may be wider than a source and never narrower. That it is narrower in a place is found by
/// a document of the source that is no longer read, whatever was mutated; and the claim is never left open.
#[test]
fn no_mutation_of_what_our_types_read_leaves_a_claim_undecided() {
    let (names, patches) = (names(), patches());
    let mut prover = Prover::new(Settings::default());
    let (mut tried, mut refuted, mut passed) = (0, 0, Vec::new());
    for (source, ours) in vendors() {
        for (index, mutation) in mutations(&ours.accept).into_iter().enumerate() {
            if index % stride() != 0 {
                continue;
            }
            tried += 1;
            let mutant = Contracts { emit: ours.emit.clone(), accept: mutation.applied(&ours.accept) };
            let Proof { coverage, .. } =
                prove_vendor(&source.vendor, &source.document, &mutant, &patches, &names, &mut prover);
            refuted += usize::from(coverage.findings.iter().any(|finding| finding.witness.is_some()));
            if coverage.findings.iter().any(|finding| !shows(finding)) {
                passed.push(format!("{} {}: {}", source.vendor, mutation.at, mutation.what));
            }
        }
    }
    println!("{tried} mutations, {refuted} of them refuted by a document");
    assert!(refuted > 50, "{refuted} of {tried}");
    assert!(passed.is_empty(), "{} of {tried} undecided:\n{}", passed.len(), passed.join("\n"));
}
