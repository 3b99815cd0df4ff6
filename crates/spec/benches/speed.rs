//! What the checks of documents cost: our own, a comparison of two large documents, and hard questions.
//!
//! `cargo bench -p fleetwire-spec`; prints a table and fails where a bound is missed. Every round starts with
//! nothing: documents are read again and a prover has seen no question.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]

#[path = "../tests/changes/large.rs"]
mod large;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleetwire_spec::changes::{self, Changes};
use fleetwire_spec::document::{Dialect, Document};
use fleetwire_spec::inclusion::{Inclusion, Prover, Settings};
use fleetwire_spec::lint::lint;
use fleetwire_spec::{Verdict, check};
use serde_json::{Value, json};

const ROUNDS: usize = 7;
const ROUNDS_OF_GROWTH: usize = 15;
/// The most that one check, one comparison or one row of questions may take.
const LONGEST: Duration = Duration::from_secs(1);
/// How long the texts of the compared documents are at least.
const LARGE: usize = 400_000;
/// How much more an operation may cost in the largest of the documents than in the smallest.
const GROWTH: f64 = 1.5;
const OPERATIONS: [usize; 4] = [100, 200, 400, 800];
const INCLUSIONS: usize = 2_000;

fn prover() -> Prover {
    Prover::new(Settings::default())
}

/// Rows of the table, and the bounds that they missed.
#[derive(Default)]
struct Table {
    missed: Vec<String>,
}

impl Table {
    /// Measures a case; `run` says what came out of it.
    fn row(&mut self, case: &str, size: &str, mut run: impl FnMut() -> String) {
        let (mut outcome, mut times) = (String::new(), Vec::new());
        for _ in 0..ROUNDS {
            let start = Instant::now();
            outcome = run();
            times.push(start.elapsed());
        }
        self.add(case, size, &outcome, times);
    }

    /// Prints a row. The best time of it.
    fn add(&mut self, case: &str, size: &str, outcome: &str, mut times: Vec<Duration>) -> Duration {
        times.sort();
        let (best, median) = (times[0], times[times.len() / 2]);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!("| {case} | {size} | {outcome} | {:.1} | {:.1} |", ms(best), ms(median));
        if median > LONGEST {
            self.missed.push(format!("{case}: {:.0} ms", ms(median)));
        }
        best
    }
}

/// The document as one writes it in OpenAPI 3.0.
fn in_30(mut document: Value) -> Value {
    fn schema(node: &mut Value) {
        match node {
            Value::Object(members) => {
                let words = members.get("type").and_then(Value::as_array).cloned();
                if let Some([word, _]) = words.as_deref() {
                    members.insert("type".to_owned(), word.clone());
                    members.insert("nullable".to_owned(), json!(true));
                }
                let one = members.get("anyOf").and_then(|list| list.get(0)).cloned();
                if let Some(one) = one {
                    members.remove("anyOf");
                    members.insert("allOf".to_owned(), json!([one]));
                    members.insert("nullable".to_owned(), json!(true));
                }
                members.values_mut().for_each(schema);
            }
            Value::Array(items) => items.iter_mut().for_each(schema),
            _ => {}
        }
    }
    schema(&mut document["components"]["schemas"]);
    document["openapi"] = json!("3.0.3");
    document
}

/// A dozen changes as they come with a release.
fn with_a_dozen(mut document: Value) -> Value {
    let mut member = |number: usize, name: &str, schema: Value| {
        document["components"]["schemas"][format!("resource{number}")]["properties"][name] = schema;
    };
    member(3, "note", json!({"type": "string"}));
    member(14, "name", json!({"type": "string", "minLength": 1, "maxLength": 64}));
    member(15, "state", json!({"type": "string", "enum": ["new", "active", "gone", "lost"]}));
    member(92, "state", json!({"type": "string", "enum": ["new", "active"]}));
    member(65, "weight", json!({"type": "string", "pattern": "^[0-9]+$"}));
    member(35, "labels", json!({"type": "array", "items": {"type": "string"}}));
    member(89, "id", json!({"type": "string"}));
    let required = |number: usize| format!("/components/schemas/resource{number}/required");
    document.pointer_mut(&required(79)).unwrap().as_array_mut().unwrap().push(json!("weight"));
    document.pointer_mut(&required(32)).unwrap().as_array_mut().unwrap().pop();
    document["paths"].as_object_mut().unwrap().remove("/v1/resource38/{id}");
    document["paths"]["/v1/resource46/{id}"]["post"]["parameters"][1]["required"] = json!(true);
    document["paths"]["/v1/resource26/{id}"]["post"]["responses"].as_object_mut().unwrap().remove("404");
    document
}

/// The document with a change in every schema: a member more, and shorter names.
fn with_every_schema_changed(mut document: Value) -> Value {
    for schema in document["components"]["schemas"].as_object_mut().unwrap().values_mut() {
        schema["properties"]["note"] = json!({"type": "string", "maxLength": 500});
        if let Some(name) = schema["properties"].get_mut("name") {
            name["maxLength"] = json!(64);
        }
    }
    document
}

fn yaml(document: &Value) -> String {
    yaml_serde::to_string(document).unwrap()
}

fn read(text: &str) -> Document {
    let name = if text.starts_with('{') { "large.json" } else { "large.yaml" };
    Document::parse(name, text.as_bytes()).unwrap()
}

/// What `fleetwire spec diff` does with two texts.
fn diff(old: &str, new: &str) -> Changes {
    changes::compare(&read(old), &read(new), &changes::Options::default(), &mut prover()).unwrap()
}

fn kilobytes(text: &str) -> String {
    format!("{} kB", text.len() / 1000)
}

fn large_documents(table: &mut Table) {
    let operations =
        (1..).map(|some| some * 50).find(|some| yaml(&large::document(*some, false)).len() >= LARGE);
    let operations = operations.unwrap();
    let first = large::document(operations, false);
    let (as_yaml, as_json) = (yaml(&first), serde_json::to_string_pretty(&first).unwrap());
    for (kind, text) in [("YAML", &as_yaml), ("JSON", &as_json)] {
        table.row(&format!("reading {kind}"), &kilobytes(text), || read(text).dialect().to_string());
    }
    for (version, first, write) in [
        ("3.1", first.clone(), yaml as fn(&Value) -> String),
        ("3.0", in_30(first), |document| yaml(document)),
    ] {
        let text = write(&first);
        let again = large::document(operations, true);
        let second = if version == "3.0" { in_30(again) } else { again };
        for (difference, other) in [
            ("no difference", first.clone()),
            ("a dozen differences", with_a_dozen(first.clone())),
            ("a tenth and what is shared", second),
            ("every schema", with_every_schema_changed(first.clone())),
        ] {
            let other = write(&other);
            table.row(
                &format!("diff, OpenAPI {version}, {difference}"),
                &format!("{operations} operations, 2 × {}", kilobytes(&text)),
                || {
                    let changes = diff(&text, &other);
                    format!("{} findings, {} questions", changes.findings.len(), changes.questions)
                },
            );
        }
        table.row(&format!("lint, OpenAPI {version}"), &kilobytes(&text), || {
            format!("{} findings", lint(&read(&text), &mut prover()).len())
        });
    }
}

/// Whether an operation costs the same, however many there are. The sizes take turns, so that what else the machine
/// does meanwhile slows all of them.
fn growth(table: &mut Table) {
    let texts = OPERATIONS
        .map(|operations| [false, true].map(|second| large::document(operations, second).to_string()));
    let mut times = OPERATIONS.map(|_| Vec::new());
    let mut questions = OPERATIONS.map(|_| 0);
    for _ in 0..ROUNDS_OF_GROWTH {
        for (index, [old, new]) in texts.iter().enumerate() {
            let start = Instant::now();
            questions[index] = diff(old, new).questions;
            times[index].push(start.elapsed());
        }
    }
    let mut each = Vec::new();
    for ((operations, times), questions) in OPERATIONS.into_iter().zip(times).zip(questions) {
        let (size, outcome) = (format!("{operations} operations"), format!("{questions} questions"));
        let best = table.add("diff, growing", &size, &outcome, times);
        each.push(best.as_secs_f64() * 1e6 / operations as f64);
    }
    let (first, last) = (each[0], each[each.len() - 1]);
    let growth = last / first;
    println!("| time per operation | | {first:.0} to {last:.0} µs, × {growth:.2} | | |");
    if growth > GROWTH {
        table.missed.push(format!("an operation of {} costs {growth:.2} of one of 100", OPERATIONS[3]));
    }
}

/// An object of twenty members, of which one is its own.
fn object(number: usize, longest: usize) -> Value {
    let mut members: serde_json::Map<String, Value> = (0..19)
        .map(|member| {
            let schema = match member % 4 {
                0 => json!({"type": "string", "maxLength": 64}),
                1 => json!({"type": ["integer", "null"], "minimum": 0, "maximum": 1000}),
                2 => json!({"type": "array", "items": {"type": "string", "format": "uuid"}, "maxItems": 9}),
                _ => json!({"type": "string", "enum": ["up", "down", "lost"]}),
            };
            (format!("member{member}"), schema)
        })
        .collect();
    members.insert(format!("own{number}"), json!({"type": "string", "maxLength": longest}));
    json!({"type": "object", "required": ["member0", "member1"], "properties": members})
}

/// Asks a prover that has seen none of them; how many answers were as expected.
fn ask(schemas: &Arc<Value>, pairs: &[(String, String)], expected: fn(&Inclusion) -> bool) -> usize {
    let mut prover = prover();
    let mut read = |pointer: &str| prover.read(schemas, Dialect::Draft202012, pointer).unwrap();
    let pairs: Vec<_> = pairs.iter().map(|(narrow, wide)| (read(narrow), read(wide))).collect();
    pairs.iter().filter(|(narrow, wide)| expected(&prover.included(*narrow, *wide))).count()
}

fn questions(table: &mut Table) {
    let schemas: Vec<[Value; 2]> =
        (0..INCLUSIONS).map(|number| [object(number, 20), object(number, 40)]).collect();
    let schemas = Arc::new(json!(schemas));
    let pairs: Vec<(String, String)> =
        (0..INCLUSIONS).map(|number| (format!("/{number}/0"), format!("/{number}/1"))).collect();
    let turned: Vec<(String, String)> =
        pairs.iter().map(|(narrow, wide)| (wide.clone(), narrow.clone())).collect();
    let size = format!("{INCLUSIONS} × 20 members");
    table.row("inclusions of objects, proved", &size, || {
        let proved = ask(&schemas, &pairs, |answer| matches!(answer, Inclusion::Proved));
        assert_eq!(proved, INCLUSIONS);
        format!("{proved} proved")
    });
    table.row("inclusions of objects, refuted", &size, || {
        let refuted = ask(&schemas, &turned, |answer| matches!(answer, Inclusion::Refuted(_)));
        assert_eq!(refuted, INCLUSIONS);
        format!("{refuted} refuted")
    });

    let union = |word: &str, branches: usize, longest: usize| {
        let branches: Vec<Value> = (0..branches)
            .map(|branch| {
                let mut schema = object(branch, longest);
                schema["properties"]["kind"] = json!({word: format!("kind{branch}")});
                schema["required"] = json!(["kind", "member0"]);
                schema
            })
            .collect();
        json!({"oneOf": branches})
    };
    let unions = Arc::new(json!([union("const", 30, 20), union("const", 30, 40)]));
    let pair = |narrow: &str, wide: &str| [(narrow.to_owned(), wide.to_owned())];
    table.row("tagged union in a wider one", "30 × 30 branches", || {
        assert_eq!(ask(&unions, &pair("/0", "/1"), |answer| matches!(answer, Inclusion::Proved)), 1);
        "proved".to_owned()
    });
    table.row("tagged union in a narrower one", "30 × 30 branches", || {
        assert_eq!(ask(&unions, &pair("/1", "/0"), |answer| matches!(answer, Inclusion::Refuted(_))), 1);
        "refuted".to_owned()
    });

    // Ten in nine places, and no place for two: a search sees that only by trying.
    let at = |one: usize, place: usize| format!("m{one}at{place}");
    let somewhere = (0..10).map(|one| {
        let places: Vec<Value> = (0..9).map(|place| json!({"required": [at(one, place)]})).collect();
        json!({ "anyOf": places })
    });
    let alone = (0..9).flat_map(|place| {
        let pairs = (0..10).flat_map(|one| (0..one).map(move |other| (one, other)));
        pairs.map(move |(one, other)| json!({"not": {"required": [at(one, place), at(other, place)]}}))
    });
    let demands: Vec<Value> = somewhere.chain(alone).collect();
    let hard = Arc::new(json!([{"type": "object", "allOf": demands}, false]));
    table.row("ten in nine places", "9¹⁰ ways", || {
        assert_eq!(ask(&hard, &pair("/0", "/1"), |answer| matches!(answer, Inclusion::Undecided(_))), 1);
        "undecided".to_owned()
    });
}

fn main() -> ExitCode {
    println!("| case | size | outcome | best, ms | median, ms |");
    println!("|---|---|---|--:|--:|");
    let mut table = Table::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    table.row("check of our documents", "4 vendors", || {
        let report = check(&root).unwrap();
        assert_ne!(report.verdict, Verdict::Broken);
        format!("{} claims, {} deviations", report.claims.len(), report.deviations.len())
    });
    large_documents(&mut table);
    growth(&mut table);
    questions(&mut table);
    println!(
        "\nbounds: every median ≤ {} ms, an operation of {} ≤ {GROWTH} × one of {}",
        LONGEST.as_millis(),
        OPERATIONS[3],
        OPERATIONS[0]
    );
    if table.missed.is_empty() {
        println!("all kept");
        return ExitCode::SUCCESS;
    }
    for line in &table.missed {
        println!("missed: {line}");
    }
    ExitCode::FAILURE
}
