//! What changed between two versions of one document, and for whom it breaks.
//!
//! The peers of the old document stay as they are, and the other end takes the new one. What they send must still
//! be accepted, and what they receive must have been promised to them; in callbacks and webhooks, where the server
//! calls, it is the other way round. A difference that breaks this is an error, one of which the documents do not
//! say enough a warning, any other an info. The rules are a table ([`Rule`]).
//!
//! Around the schemas, rules compare the two documents. Inside them every difference is named by walking both
//! sides together, and what it comes to is decided by [inclusion](crate::inclusion): a difference breaks exactly if
//! a message shows it, and the message is part of the finding.
//!
//! ```
//! use fleetwire_spec::Severity;
//! use fleetwire_spec::changes::{Options, Rule, compare};
//! use fleetwire_spec::document::Document;
//! use fleetwire_spec::inclusion::{Prover, Settings};
//!
//! let document = |host: &str| {
//!     let text = format!(
//!         "{{openapi: 3.1.0, info: {{title: t, version: 1.4.0}}, paths: {{/beat: {{post: {{
//!           requestBody: {{content: {{application/json: {{schema: {{type: object, properties: {{ {host} }} }} }} }} }},
//!           responses: {{'204': {{description: taken}} }} }} }} }} }}"
//!     );
//!     Document::parse("beat.yaml", text.as_bytes())
//! };
//! let old = document("host: {type: [string, 'null']}")?;
//! let new = document("host: {type: string, maxLength: 8}")?;
//!
//! let mut prover = Prover::new(Settings::default());
//! let changes = compare(&old, &new, &Options::default(), &mut prover)?;
//! assert_eq!(changes.worst(), Some(Severity::Error));
//! assert!(changes.findings.iter().any(|found| found.rule == Rule::RequestBecameNotNullable));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is not compared
//! Texts, examples and extensions, but for `x-sunset`, `x-extensible-enum` and `x-known-values`. An object that does
//! not say whether it is open is taken as closed for who sends (nobody is promised what is not named) and as open
//! for who reads.

mod change;
mod grades;
mod media;
mod policy;
mod rules;
mod schemas;
mod version;
mod walk;

use std::collections::BTreeMap;

use chrono::NaiveDate;

pub use self::change::{AcceptedChange, Affected, Change, Changes, OperationName, Said, Witness};
pub use self::grades::{Grade, Grades};
pub use self::policy::{Acceptance, Policy, PolicyError};
pub use self::rules::{Area, Direction, Rule, UnknownRule};
use self::schemas::Use;
use self::walk::{Entry, NOTHING, Walk};
use crate::document::{Dialect, Document};
use crate::finding::Severity;
use crate::inclusion::Prover;

/// How two documents are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// What the project has decided.
    pub policy: Policy,
    /// The day of the comparison, for sunsets and for acceptances that end. Without it no day has come.
    pub today: Option<NaiveDate>,
    /// Which way documents go that are plain schemas. Unless set, both.
    pub directions: Vec<Direction>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            today: None,
            directions: vec![Direction::Request, Direction::Response],
        }
    }
}

/// Two documents that have nothing to do with each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{old} is {old_dialect} and {new} is {new_dialect}, which cannot be compared")]
pub struct Incomparable {
    /// The name of the old document.
    pub old: String,
    /// What it is written in.
    pub old_dialect: Dialect,
    /// The name of the new document.
    pub new: String,
    /// What that is written in.
    pub new_dialect: Dialect,
}

/// Compares two versions of one document: OpenAPI of either version, or two plain schemas.
///
/// # Errors
/// One is OpenAPI and the other is not.
pub fn compare(
    old: &Document,
    new: &Document,
    options: &Options,
    prover: &mut Prover,
) -> Result<Changes, Incomparable> {
    let openapi = old.dialect().is_openapi();
    if openapi != new.dialect().is_openapi() {
        return Err(Incomparable {
            old: old.name().to_owned(),
            old_dialect: old.dialect(),
            new: new.name().to_owned(),
            new_dialect: new.dialect(),
        });
    }
    let mut changes = Changes::default();
    let entries = if openapi {
        let mut walk = Walk::new(old, new);
        walk.documents(options.today);
        changes.operations = walk.operations;
        walk.entries
    } else {
        options.directions.iter().map(|direction| plain(old, new, *direction)).collect()
    };
    // Whatever a document says, it says the same of itself: there is nothing to ask, decidable or not.
    if old.dialect() != new.dialect() || old.value() != new.value() {
        collect(old, new, entries, prover, &mut changes);
    }

    let grades = &options.policy.grades;
    grades.apply(&mut changes.findings);
    if openapi {
        let open: Vec<&Change> =
            changes.findings.iter().filter(|change| !options.policy.accepts(change, options.today)).collect();
        changes.findings.extend(version::finding(old, new, &open));
    }
    grades.apply(&mut changes.findings);
    options.policy.settle(&mut changes, options.today);
    grades.apply(&mut changes.findings);
    Ok(changes)
}

fn plain<'a>(old: &'a Document, new: &'a Document, direction: Direction) -> Entry<'a> {
    Entry::Schemas(Use {
        operation: None,
        part: String::new(),
        direction,
        affects: match direction {
            Direction::Request => Affected::Senders,
            Direction::Response => Affected::Readers,
        },
        old: Some(old.root()),
        new: Some(new.root()),
    })
}

/// What makes two findings one: the same rule and outcome for the same places.
type Key = (Rule, Severity, Option<String>, Option<String>);

/// Puts the findings in order, those of a shared place together.
fn collect(
    old: &Document,
    new: &Document,
    entries: Vec<Entry<'_>>,
    prover: &mut Prover,
    changes: &mut Changes,
) {
    let uses: Vec<Use<'_>> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Schemas(one) => Some(one.clone()),
            Entry::Found(_) => None,
        })
        .collect();
    let (found, questions) = schemas::compare(old, new, &uses, prover);
    changes.questions = questions;
    let mut found = found.into_iter();
    let mut known: BTreeMap<Key, usize> = BTreeMap::new();
    // Where one side has nothing, it is the other one that is shared.
    let place = |said: &Said| said.pointer.clone().filter(|_| said.text != NOTHING);
    let mut add =
        |key: Key, operation: Option<&OperationName>, change: &dyn Fn() -> Change| match known.get(&key) {
            Some(index) => {
                if let Some(first) = changes.findings.get_mut(*index) {
                    first.also(operation);
                }
            }
            None => {
                known.insert(key, changes.findings.len());
                changes.findings.push(change());
            }
        };
    for entry in entries {
        match entry {
            Entry::Found(change) => {
                let key = (change.rule, change.severity, place(&change.old), place(&change.new));
                add(key, change.operation.as_ref(), &|| Change::clone(&change));
            }
            Entry::Schemas(one) => {
                for graded in found.next().iter().flat_map(|graded| graded.iter()) {
                    let key = (graded.rule, graded.verdict.severity, place(&graded.old), place(&graded.new));
                    add(key, one.operation.as_ref(), &|| schemas::finding(&one, graded));
                }
            }
        }
    }
}
