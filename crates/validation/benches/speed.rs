//! What a check costs beside the parse, and beside a schema validator on the same body.
//!
//! `cargo bench -p fleetwire-validation`; prints a table and fails where a bound is missed. The cases of a body
//! take turns in many short rounds, and a ratio is the median of the rounds' ratios: what else the machine does
//! meanwhile slows both sides of it.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use fleetwire_protocol::{Call, Params, Request, Vendor, for_each_endpoint};
use fleetwire_validation::strategies::Drawable;
use fleetwire_validation::{Context, Side, check, lint};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const ROUNDS: usize = 301;
/// How long one case runs in a round.
const TURN: Duration = Duration::from_micros(250);

/// The most that the checks may take of the parse.
const OF_PARSE: f64 = 0.15;
/// How much faster parse and checks are at least than a parse into a `Value` and a schema validator, for bodies
/// that have a type.
const OF_VALIDATOR: f64 = 1.5;
/// The same where a typed value is wanted as well.
const OF_VALIDATOR_TYPED: f64 = 2.0;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

struct Body {
    name: String,
    bytes: Vec<u8>,
    /// Whether nearly all of it is left open by its type. What is open is kept as a `Value` by both sides of the
    /// comparison with a schema validator, which then asks nothing of it: the bounds of that comparison are for
    /// bodies that have a type.
    open: bool,
}

impl Body {
    /// As it comes over the wire, without the spaces of a file for people.
    fn new(name: &str, body: &Value, open: bool) -> Self {
        let name = name.trim_start_matches("request.").trim_end_matches("json").trim_end_matches('.');
        let name = if name.is_empty() { "the source's example" } else { name };
        Self { name: name.to_owned(), bytes: body.to_string().into_bytes(), open }
    }
}

/// The bodies of an operation: the source's example, the longest good one, and long ones where lists and open
/// objects allow them.
fn bodies(operation: &str) -> Vec<Body> {
    let folder = root().join("fixtures").join(operation.replace('.', "/"));
    let mut good: Vec<(String, Value)> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            name.starts_with("request.") && !name.contains(".accepted.") && !name.contains(".refused.")
        })
        .map(|name| (name.clone(), serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()))
        .collect();
    good.sort_by_key(|(name, body)| (name != "request.json", body.to_string().len()));
    let is_open = |name: &str| operation == "acusight.checkin" && name.contains("payload");
    let example = good.first().unwrap().1.clone();
    let mut bodies = vec![Body::new("request.json", &example, false)];
    if let Some((name, longest)) = good[1..].last() {
        bodies.push(Body::new(name, longest, is_open(name)));
    }
    let mut with = |name: &str, member: &str, value: Value, open: bool| {
        let mut body = example.clone();
        body[member] = value;
        bodies.push(Body::new(name, &body, open));
    };
    if operation == "acusight.checkin" {
        let log = "all is well, and the lens is clean\n".repeat(1700);
        with(
            "60 kB of open text",
            "pending_requests",
            json!([{ "type": "log", "payload": { "log": log } }]),
            true,
        );
        let entry = |index: u32| json!({ "at": index, "share": f64::from(index) / 7.0, "text": "a line" });
        let log: Vec<_> = (0..200).map(entry).collect();
        with(
            "200 open entries",
            "pending_requests",
            json!([{ "type": "log", "payload": { "log": log } }]),
            true,
        );
    }
    if operation == "acusight.notify_image" {
        let annotation = json!({
            "class_value": "defect", "confidence": 0.931, "x_center": 0.521, "y_center": 0.48,
            "width": 0.204, "height": 0.113,
        });
        with("50 annotations", "annotations", json!(vec![annotation; 50]), false);
    }
    bodies
}

fn schema<E: Drawable>() -> jsonschema::Validator {
    let name = <<E::Request as Request>::Body as JsonSchema>::schema_name();
    let file = root().join(format!("schemas/json-schema/{}/{name}.accept.json", E::Vendor::ID));
    let schema: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

/// The clock of a body: its own time, where it has one.
fn context(body: &[u8]) -> Context {
    let body: Value = serde_json::from_slice(body).unwrap();
    let own =
        body.get("timestamp").and_then(Value::as_str).and_then(|text| text.parse::<DateTime<Utc>>().ok());
    Context::at(own.unwrap_or_default())
}

/// Nanoseconds of each case in each round.
fn measure<const N: usize>(cases: [&dyn Fn(); N]) -> [Vec<f64>; N] {
    let repeats = cases.map(|case| {
        let start = Instant::now();
        let mut runs = 0_u32;
        while start.elapsed() < TURN * 20 {
            case();
            runs += 1;
        }
        (runs / 20).max(1)
    });
    let mut nanos = cases.map(|_| Vec::with_capacity(ROUNDS));
    for round in 0..ROUNDS {
        for turn in 0..N {
            let index = (round + turn) % N;
            let start = Instant::now();
            for _ in 0..repeats[index] {
                cases[index]();
            }
            nanos[index].push(start.elapsed().as_nanos() as f64 / f64::from(repeats[index]));
        }
    }
    nanos
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn ratio(of: &[f64], to: &[f64]) -> f64 {
    median(of.iter().zip(to).map(|(of, to)| of / to).collect())
}

/// Measures the bodies of an operation; the bounds that are missed.
fn operation<E: Drawable>() -> Vec<String>
where
    <E::Request as Request>::Body: DeserializeOwned,
{
    let mut missed = Vec::new();
    if E::Request::MEDIA.is_none() {
        return missed;
    }
    let validator = schema::<E>();
    for Body { name, bytes: body, open } in bodies(E::ID) {
        let context = context(&body);
        // Parameters do not depend on the body; theirs is no parse to speak of.
        let parse = || E::Request::read(&body).unwrap();
        let good = parse();
        let call = Call::<E>::with(params::<E>(), good);
        let violations = |call: &Call<E>, side| {
            let mut out = Vec::new();
            E::violations(call, &context, side, &mut out);
            out
        };
        assert!(violations(&call, Side::Accept).is_empty(), "{} {name} is good", E::ID);
        let value = || serde_json::from_slice::<Value>(&body).unwrap();
        assert!(validator.is_valid(&value()), "{} {name} is good by its schema", E::ID);

        let [parsed, parsed_and_checked, checked, linted, validated, validated_typed] = measure([
            &|| drop(black_box(parse())),
            &|| drop(black_box(check(Call::<E>::with(params::<E>(), parse()), &context).unwrap())),
            &|| drop(black_box(violations(black_box(&call), Side::Accept))),
            &|| drop(black_box(lint(black_box(&call), &context))),
            &|| {
                let value = value();
                assert!(validator.is_valid(&value));
                drop(black_box(value));
            },
            &|| {
                let value = value();
                assert!(validator.is_valid(&value));
                let typed = serde_json::from_value::<<E::Request as Request>::Body>(value).unwrap();
                drop(black_box(typed));
            },
        ]);
        let of_parse = ratio(&checked, &parsed);
        let of_validator = ratio(&validated, &parsed_and_checked);
        let of_validator_typed = ratio(&validated_typed, &parsed_and_checked);
        println!(
            "| {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.3} | {:.2} | {:.2} |",
            E::ID,
            name,
            body.len(),
            median(parsed.clone()),
            median(checked),
            median(linted),
            median(parsed_and_checked),
            of_parse,
            of_validator,
            of_validator_typed,
        );
        if of_parse > OF_PARSE {
            missed.push(format!("{} {name}: the checks take {of_parse:.3} of the parse", E::ID));
        }
        if !open && (of_validator < OF_VALIDATOR || of_validator_typed < OF_VALIDATOR_TYPED) {
            missed.push(format!(
                "{} {name}: {of_validator:.2} and {of_validator_typed:.2} times faster",
                E::ID
            ));
        }
    }
    missed
}

/// Parameters as short as they can be.
fn params<E: Drawable>() -> E::Params {
    E::Params::read(&|param| param.required.then(|| "x".into())).unwrap()
}

macro_rules! every_operation {
    ([] $($operation:path,)*) => { [$(operation::<$operation>()),*].concat() };
}

fn main() -> ExitCode {
    println!(
        "| operation | body | bytes | parse, ns | checks, ns | lint, ns | parse and checks, ns \
         | checks / parse | Value and jsonschema / ours | the same and typed / ours |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let missed = for_each_endpoint!(every_operation!());
    println!(
        "\nbounds: checks ≤ {OF_PARSE} × parse, Value and jsonschema ≥ {OF_VALIDATOR} × ours, \
         ≥ {OF_VALIDATOR_TYPED} × where a typed value is wanted too"
    );
    if missed.is_empty() {
        println!("all kept");
        return ExitCode::SUCCESS;
    }
    for line in &missed {
        println!("missed: {line}");
    }
    ExitCode::FAILURE
}
