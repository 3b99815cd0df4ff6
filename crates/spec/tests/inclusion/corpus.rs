//! Generated pairs of schemas, each answer held against documents that `jsonschema` judges.

use std::sync::Arc;

use fleetwire_spec::document::Dialect;
use fleetwire_spec::inclusion::{Inclusion, Prover, Settings};
use jsonschema::{Draft, Validator};
use serde_json::Value;

use crate::generate::{Random, Tier};

/// The seed of the corpus. `SPEC_CORPUS_SEED` and `SPEC_CORPUS_PAIRS` ask for another one, or a longer one.
const SEED: u64 = 0x5eed_2026;
const PAIRS: usize = 500;
const SAMPLES: usize = 80;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[derive(Debug, Default)]
struct Counts {
    proved: usize,
    refuted: usize,
    undecided: usize,
    /// Undecided though a sample refutes it.
    missed: usize,
}

fn validator(schema: &Value, dialect: Dialect) -> Validator {
    let draft = if dialect == Dialect::Draft07 { Draft::Draft7 } else { Draft::Draft202012 };
    jsonschema::options()
        .with_draft(draft)
        .should_validate_formats(true)
        .build(schema)
        .unwrap_or_else(|error| panic!("{schema} does not compile: {error}"))
}

fn run(tier: Tier, dialect: Dialect) -> Counts {
    let pairs = from_environment("SPEC_CORPUS_PAIRS").map_or(PAIRS, |pairs| pairs as usize);
    let seed = from_environment("SPEC_CORPUS_SEED").unwrap_or(SEED);
    let verbose = std::env::var("SPEC_CORPUS_VERBOSE").is_ok();
    let mut counts = Counts::default();
    let mut wrong = Vec::new();
    for number in 0..pairs {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        let (narrow, wide) = random.pair(tier);
        let (narrow_judge, wide_judge) = (validator(&narrow, dialect), validator(&wide, dialect));
        let mut prover = Prover::new(Settings::default());
        let narrow_id = prover.read(&Arc::new(narrow.clone()), dialect, "").unwrap();
        let wide_id = prover.read(&Arc::new(wide.clone()), dialect, "").unwrap();
        let started = std::time::Instant::now();
        let inclusion = prover.included(narrow_id, wide_id);
        let took = started.elapsed();
        if verbose && took.as_millis() > 500 {
            eprintln!("pair {number} took {took:?}:\n  {narrow}\n  {wide}");
        }
        let mut last = Value::Null;
        let counter = (0..SAMPLES).find_map(|round| {
            let sample = if round % 3 == 2 { random.nudged(&last) } else { random.sample(&narrow, &wide) };
            for (id, judge) in [(narrow_id, &narrow_judge), (wide_id, &wide_judge)] {
                let (ours, theirs) = (prover.accepts(id, &sample), judge.is_valid(&sample));
                if ours != theirs {
                    wrong.push(format!(
                        "pair {number}: evaluation of {sample} is {ours}\n  {narrow}\n  {wide}"
                    ));
                }
            }
            if narrow_judge.is_valid(&sample) {
                last = sample.clone();
            }
            (narrow_judge.is_valid(&sample) && !wide_judge.is_valid(&sample)).then_some(sample)
        });
        match inclusion {
            Inclusion::Proved => {
                counts.proved += 1;
                if let Some(sample) = counter {
                    wrong.push(format!("pair {number}: proved, but {sample}\n  {narrow}\n  {wide}"));
                }
            }
            Inclusion::Refuted(witness) => {
                counts.refuted += 1;
                let document = &witness.document;
                if !narrow_judge.is_valid(document) || wide_judge.is_valid(document) {
                    wrong.push(format!("pair {number}: {document} is no witness\n  {narrow}\n  {wide}"));
                }
            }
            Inclusion::Undecided(reasons) => {
                counts.undecided += 1;
                counts.missed += usize::from(counter.is_some());
                if verbose {
                    let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
                    eprintln!(
                        "pair {number} undecided {reasons:?} (sample {counter:?})\n  {narrow}\n  {wide}"
                    );
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {pairs} wrong ({counts:?}):\n{}",
        wrong.len(),
        wrong[..wrong.len().min(6)].join("\n")
    );
    eprintln!("{dialect:?}, tier {tier:?}, seed {seed:#x}, {pairs} pairs: {counts:?}");
    assert!(counts.refuted > pairs / 10 && counts.proved > pairs / 10, "{counts:?}");
    counts
}

#[test]
fn tier_a_is_decided_and_never_wrongly() {
    let counts = run(Tier::A, Dialect::Draft202012);
    let pairs = counts.proved + counts.refuted + counts.undecided;
    assert!(counts.undecided * 100 <= pairs, "{counts:?}");
}

#[test]
fn tier_b_is_never_decided_wrongly() {
    let counts = run(Tier::B, Dialect::Draft202012);
    let pairs = counts.proved + counts.refuted + counts.undecided;
    assert!(counts.undecided * 10 <= pairs, "{counts:?}");
}

#[test]
fn draft_07_is_never_decided_wrongly() {
    let counts = run(Tier::B, Dialect::Draft07);
    let pairs = counts.proved + counts.refuted + counts.undecided;
    assert!(counts.undecided * 50 <= pairs, "{counts:?}");
}
