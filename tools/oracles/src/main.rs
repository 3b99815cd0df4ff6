//! Other tools as judges, asked by process: each line read is a question in JSON, each line written an answer.
//!
//! * `schemas`: `{id, narrow, wide}` → `{id, jsoncompat}`: is every document of `narrow` one of `wide`?
//! * `documents`: `{id, old, new}` → `{id, drift, jsoncompat}`: what changed between two OpenAPI documents?
//! * `pairs TIER SEED COUNT`: writes questions for `schemas`, made as the tests of the spec crate make them.
//! * `drift-cases`, `jsoncompat-cases`: write the cases that those packages ship, as questions for `documents` and
//!   `schemas`.

mod cases;
mod documents;
mod schemas;

use std::io::{self, BufRead, Write};
use std::panic::{self, AssertUnwindSafe};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["schemas"] => answer(schemas::answer),
        ["documents"] => answer(documents::answer),
        ["pairs", tier, seed, count] => cases::pairs(tier, seed.parse()?, count.parse()?),
        ["drift-cases"] => cases::of_drift(),
        ["jsoncompat-cases"] => cases::of_jsoncompat(),
        _ => bail!(
            "usage: oracles schemas | documents | pairs TIER SEED COUNT | drift-cases | jsoncompat-cases"
        ),
    }
}

fn answer(judges: fn(&Value) -> Result<Value>) -> Result<()> {
    // What a judge has to say when it panics goes into its answer.
    panic::set_hook(Box::new(|_| {}));
    for line in io::stdin().lock().lines() {
        let line = line?;
        let question: Value = serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?;
        let mut answer = judges(&question)?;
        answer["id"] = question["id"].clone();
        write(&answer)?;
    }
    Ok(())
}

fn write(value: &Value) -> Result<()> {
    writeln!(io::stdout().lock(), "{value}").context("standard output is closed")
}

/// The answer of a judge that may fail, or panic.
fn judged<E: std::fmt::Display>(judge: impl FnOnce() -> Result<Value, E>) -> Value {
    match panic::catch_unwind(AssertUnwindSafe(judge)) {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => json!({"is": "error", "error": format!("{error:#}")}),
        Err(_) => json!({"is": "error", "error": "it panicked"}),
    }
}
