//! The prover and the comparison of documents, held against other tools that answer the same questions.
//!
//! The others live in `tools/oracles`, outside of the workspace, and are asked by process.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use fleetwire_spec::Severity;
use fleetwire_spec::changes::{Options, compare};
use fleetwire_spec::document::{Dialect, Document};
use fleetwire_spec::inclusion::{Inclusion, Prover, SchemaError, Settings};
use serde_json::Value;

use crate::cargo::Cargo;

const BUILD: Cargo = Cargo::new(&[
    "build",
    "--quiet",
    "--locked",
    "--manifest-path",
    "tools/oracles/Cargo.toml",
    "--target-dir",
    "target/oracles",
]);
/// Where questions and answers are kept, and the program that has been built.
const FOLDER: &str = "target/oracles";
/// What is known of the cases that `drift` ships.
const CASES: &str = "tools/oracles/drift-cases.txt";
/// How that list begins.
const HEAD: &str = "\
# The cases that the package `drift` ships, and what each tool makes of them for the peers of the old document.
# `cargo xtask ci oracles` holds this list against the answers of the day; docs/spec-guard.md says why they differ.
";
/// The seed of the generated pairs, the same as that of the tests, and how many of each tier. As there,
/// `SPEC_CORPUS_SEED` and `SPEC_CORPUS_PAIRS` ask for others.
const SEED: &str = "1592598566";
const PAIRS: &str = "1000";

/// Asks all of them.
///
/// # Errors
/// An answer of ours is wrong, or the cases of `drift` are no longer answered as the committed list says.
pub(crate) fn check(root: &Path) -> Result<()> {
    BUILD.run(root)?;
    let asked_for = |name, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.to_owned());
    let (seed, pairs) = (asked_for("SPEC_CORPUS_SEED", SEED), asked_for("SPEC_CORPUS_PAIRS", PAIRS));
    let mut wrong = Vec::new();
    for (name, questions) in [
        ("pairs of tier A", &["pairs", "a", &seed, &pairs] as &[&str]),
        ("pairs of tier B", &["pairs", "b", &seed, &pairs]),
        ("cases of jsoncompat", &["jsoncompat-cases"]),
    ] {
        let told = schemas(root, questions)?;
        println!("{name}: {}", told.counts);
        wrong.extend(told.wrong);
    }
    ensure!(wrong.is_empty(), "answers of ours are wrong:\n{}", wrong.join("\n"));
    documents(root)
}

/// How our answers about pairs of schemas stand to those of `jsoncompat`.
struct Told {
    counts: String,
    wrong: Vec<String>,
}

fn schemas(root: &Path, questions: &[&str]) -> Result<Told> {
    let asked = asked(root, questions, "schemas")?;
    let mut counts = BTreeMap::<String, usize>::new();
    let mut wrong = Vec::new();
    for (question, answer) in &asked {
        let theirs = &answer["jsoncompat"];
        let (narrow, wide) = (&question["narrow"], &question["wide"]);
        let ours = included(narrow, wide);
        let is = match &ours {
            Ok(Inclusion::Proved) => "proved",
            Ok(Inclusion::Refuted(_)) => "refuted",
            Ok(Inclusion::Undecided(_)) => "undecided",
            Err(_) => "error",
        };
        let they = theirs["is"].as_str().unwrap_or("error");
        let mut kind = format!("we {is}, they {they}");
        // Where one has a document to show, it settles who is right.
        let refuting = match (&ours, they) {
            (Ok(Inclusion::Refuted(witness)), "proved") => Some((&witness.document, false)),
            (Ok(Inclusion::Proved), "refuted") => Some((&theirs["document"], true)),
            _ => None,
        };
        if let Some((document, is_theirs)) = refuting {
            let holds = judge(narrow, document)? && !judge(wide, document)?;
            let we_are_wrong = holds == is_theirs;
            kind.push_str(if we_are_wrong { " and are right" } else { " and are wrong" });
            if we_are_wrong {
                wrong.push(format!("{}: {is}, but {document}\n  {narrow}\n  {wide}", question["id"]));
            } else {
                println!("{}: {they} by jsoncompat, but {document}\n  {narrow}\n  {wide}", question["id"]);
            }
        }
        if matches!(is, "undecided" | "error") {
            println!("{}: {they} by jsoncompat, {ours:?}\n  {narrow}\n  {wide}", question["id"]);
        }
        *counts.entry(kind).or_default() += 1;
    }
    Ok(Told { counts: format!("{}{}", asked.len(), listed(&counts)), wrong })
}

fn listed(counts: &BTreeMap<String, usize>) -> String {
    counts.iter().map(|(kind, count)| format!("\n  {count:>5} {kind}")).collect()
}

fn included(narrow: &Value, wide: &Value) -> Result<Inclusion, SchemaError> {
    let mut prover = Prover::new(Settings::default());
    let mut read = |schema: &Value| prover.read(&Arc::new(schema.clone()), Dialect::Draft202012, "");
    let (narrow, wide) = (read(narrow)?, read(wide)?);
    Ok(prover.included(narrow, wide))
}

fn judge(schema: &Value, document: &Value) -> Result<bool> {
    let validator = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| anyhow::anyhow!("{schema} does not compile: {error}"))?;
    Ok(validator.is_valid(document))
}

/// The cases of `drift`, each with what the three make of it on one line, against the committed list.
fn documents(root: &Path) -> Result<()> {
    let asked = asked(root, &["drift-cases"], "documents")?;
    let mut lines = HEAD.to_owned();
    let mut counts = BTreeMap::<String, usize>::new();
    for (question, answer) in &asked {
        let id = question["id"].as_str().context("a question has no id")?;
        let (ours, rules) = changed(&question["old"], &question["new"])?;
        let (drift, jsoncompat) = (drift(&answer["drift"]), jsoncompat(&answer["jsoncompat"]));
        // Whether it finds a message that shows the break is chance.
        let proof = if matches!(jsoncompat, "breaks" | "unknown") { "has no proof" } else { jsoncompat };
        writeln!(lines, "{id}: drift {drift}, jsoncompat {proof}, ours {ours}{rules}")?;
        *counts.entry(format!("ours {ours}, drift {drift}")).or_default() += 1;
        *counts.entry(format!("ours {ours}, jsoncompat {jsoncompat}")).or_default() += 1;
    }
    println!("cases of drift: {}{}", asked.len(), listed(&counts));
    let found = root.join(FOLDER).join("drift-cases.txt");
    fs::write(&found, &lines)?;
    let committed =
        fs::read_to_string(root.join(CASES)).with_context(|| format!("{CASES} cannot be read"))?;
    if committed != lines {
        for line in lines.lines().filter(|line| !committed.lines().any(|known| known == *line)) {
            println!("+ {line}");
        }
        for line in committed.lines().filter(|line| !lines.lines().any(|now| now == *line)) {
            println!("- {line}");
        }
        bail!("{CASES} says otherwise; if the new answers are right, copy {} over it", found.display());
    }
    Ok(())
}

/// Our verdict, and the rules that found something.
fn changed(old: &Value, new: &Value) -> Result<(&'static str, String)> {
    let document = |name: &str, value: &Value| Document::parse(name, value.to_string().as_bytes());
    let (old, new) = (document("old.json", old)?, document("new.json", new)?);
    let changes = compare(&old, &new, &Options::default(), &mut Prover::new(Settings::default()))?;
    let mut rules: Vec<String> =
        changes.findings.iter().map(|found| format!("{} {}", found.severity, found.rule)).collect();
    rules.sort();
    rules.dedup();
    let worst = match changes.worst() {
        Some(Severity::Error) => "breaks",
        Some(Severity::Warning) => "may break",
        _ => "holds",
    };
    let rules = if rules.is_empty() { String::new() } else { format!(" ({})", rules.join(", ")) };
    Ok((worst, rules))
}

fn drift(answer: &Value) -> &'static str {
    let classes: Vec<&str> = changes(answer).filter_map(|change| change["class"].as_str()).collect();
    if answer["is"] == "error" {
        "error"
    } else if classes.iter().any(|class| matches!(*class, "BackwardIncompatible" | "Incompatible")) {
        "breaks"
    } else if classes.contains(&"Unhandled") {
        "unhandled"
    } else {
        "holds"
    }
}

fn jsoncompat(answer: &Value) -> &'static str {
    let kinds: Vec<&str> = changes(answer).filter_map(|change| change["kind"]["status"].as_str()).collect();
    if answer["is"] == "error" {
        "error"
    } else if kinds.iter().any(|kind| *kind != "unknown") {
        "breaks"
    } else if kinds.is_empty() {
        "holds"
    } else {
        "unknown"
    }
}

fn changes(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["changes"].as_array().into_iter().flatten()
}

/// Questions that the program makes, each with the answer that it gives to `question`.
fn asked(root: &Path, questions: &[&str], kind: &str) -> Result<Vec<(Value, Value)>> {
    let folder = root.join(FOLDER);
    let file = folder.join(format!("{}.jsonl", questions.concat()));
    let mut make = Command::new(folder.join("debug/oracles"));
    fs::write(&file, output(make.args(questions))?)?;
    let mut answer = Command::new(folder.join("debug/oracles"));
    let answers = output(answer.arg(kind).stdin(File::open(&file)?))?;
    let parsed = |text: &str| text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    let (questions, answers) = (parsed(&fs::read_to_string(&file)?)?, parsed(&answers)?);
    let in_step = questions.iter().map(|one| &one["id"]).eq(answers.iter().map(|one| &one["id"]));
    ensure!(
        in_step && !questions.is_empty(),
        "there is not one answer to each question of {}",
        file.display()
    );
    Ok(questions.into_iter().zip(answers).collect())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} could not be started"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
