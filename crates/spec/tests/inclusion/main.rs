//! The prover: each keyword in both directions, hostile input, and a corpus of generated pairs of schemas that is held
//! against sampling.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
#![expect(clippy::needless_pass_by_value, reason = "schemas are written where they are used")]

mod closed;
#[cfg(test)]
mod corpus;
mod dialects;
mod generate;
mod hostile;
mod keywords;
#[cfg(test)]
mod mutants;

use std::sync::Arc;

use fleetwire_spec::document::Dialect;
use fleetwire_spec::inclusion::{Inclusion, Prover, Settings, Witness};
use serde_json::Value;

fn compare_in(dialect: Dialect, narrow: Value, wide: Value) -> Inclusion {
    let mut prover = Prover::new(Settings::default());
    let narrow = prover.read(&Arc::new(narrow), dialect, "").unwrap();
    let wide = prover.read(&Arc::new(wide), dialect, "").unwrap();
    prover.included(narrow, wide)
}

fn compare(narrow: Value, wide: Value) -> Inclusion {
    compare_in(Dialect::Draft202012, narrow, wide)
}

#[track_caller]
fn proved(narrow: Value, wide: Value) {
    assert_eq!(compare(narrow.clone(), wide.clone()), Inclusion::Proved, "{narrow} in {wide}");
}

#[track_caller]
fn witness(narrow: Value, wide: Value) -> Witness {
    match compare(narrow.clone(), wide.clone()) {
        Inclusion::Refuted(witness) => witness,
        other => panic!("{narrow} in {wide}: {other:?}"),
    }
}

#[track_caller]
fn refuted(narrow: Value, wide: Value, document: Value) {
    assert_eq!(witness(narrow.clone(), wide.clone()).document, document, "{narrow} in {wide}");
}

/// The narrow schema is in the wide one, and this document tells the wide one from it.
#[track_caller]
fn strictly(narrow: Value, wide: Value, document: Value) {
    proved(narrow.clone(), wide.clone());
    refuted(wide, narrow, document);
}
