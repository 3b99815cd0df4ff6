//! What is wrong within one document: examples that contradict their schemas, schemas that nothing satisfies,
//! references that lead nowhere, and what else makes a document say something else than was meant.
//!
//! ```
//! use fleetwire_spec::document::Document;
//! use fleetwire_spec::inclusion::{Prover, Settings};
//! use fleetwire_spec::lint::{LintRule, lint};
//!
//! let document = Document::parse("beat.yaml", b"
//! openapi: 3.1.0
//! info: {title: Beat, version: 1.0.0}
//! paths:
//!   /beat:
//!     post:
//!       requestBody:
//!         content:
//!           application/json:
//!             schema: {type: object, properties: {uptime: {type: integer}}}
//!             example: {uptime: 3 days}
//!       responses: {204: {description: It was taken.}}
//! ")?;
//! let findings = lint(&document, &mut Prover::new(Settings::default()));
//! assert_eq!(findings[0].rule, LintRule::ExampleInvalid);
//! assert_eq!(findings[0].line.as_ref().map(|line| line.line), Some(11));
//! assert_eq!(findings[0].operation.as_deref(), Some("POST /beat"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing is passed over: what could not be decided is a finding of its own, [`LintRule::Undecided`].

mod operations;
mod outline;
mod proofs;
mod rules;
mod schemas;
mod values;

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use self::outline::Outline;
pub use self::rules::{LintRule, UnknownLintRule};
use crate::document::{Document, Line, Place, tokens};
use crate::finding::Severity;
use crate::inclusion::Prover;

/// Something that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Lint {
    /// The rule that is broken.
    pub rule: LintRule,
    /// How bad it is.
    pub severity: Severity,
    /// The operation in which it stands, such as `POST /beat`; none for what operations share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The file in which it stands.
    pub file: String,
    /// Where it stands in that file, as a JSON pointer.
    pub pointer: String,
    /// Its line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<Line>,
    /// What is wrong, in a few words.
    pub message: String,
    /// A document that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Value>,
    /// What to do.
    pub advice: &'static str,
}

impl fmt::Display for Lint {
    /// One line: place, severity, rule and what is wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.line {
            Some(line) => write!(f, "{line}: ")?,
            None => write!(f, "{}: ", self.file)?,
        }
        write!(f, "{} {}: {}, at {}", self.severity, self.rule, self.message, self.pointer)
    }
}

/// Everything that is wrong with a document, in the order in which it is written.
#[must_use]
pub fn lint(document: &Document, prover: &mut Prover) -> Vec<Lint> {
    let outline = Outline::of(document);
    let mut findings = Findings { document, found: Vec::new(), broken: BTreeSet::new() };
    for error in &outline.broken {
        if let Some(place) = document.at(&error.pointer) {
            let message = format!("the reference `{}` {}", error.target, error.why);
            findings.add(LintRule::ReferenceUnresolved, &place, message);
        }
    }
    operations::look(&outline, &mut findings);
    schemas::look(&outline, &mut findings);
    let readable = proofs::look(&outline, prover, &mut findings);
    values::look(&outline, &readable, prover, &mut findings);
    findings.sorted()
}

struct Findings<'a> {
    document: &'a Document,
    found: Vec<Lint>,
    /// Which rules are broken where.
    broken: BTreeSet<(LintRule, String)>,
}

impl Findings<'_> {
    fn add(&mut self, rule: LintRule, place: &Place<'_>, message: impl Into<String>) {
        self.add_with(rule, place, message, None);
    }

    fn add_with(
        &mut self,
        rule: LintRule,
        place: &Place<'_>,
        message: impl Into<String>,
        witness: Option<Value>,
    ) {
        let (file, pointer) = self.document.origin(place.pointer());
        self.broken.insert((rule, place.pointer().to_owned()));
        self.found.push(Lint {
            rule,
            severity: rule.severity(),
            operation: operation(place.pointer()),
            file: file.to_owned(),
            pointer: pointer.to_owned(),
            line: place.line(),
            message: message.into(),
            witness,
            advice: rule.advice(),
        });
    }

    /// Whether a rule is broken at a place.
    fn has(&self, rule: LintRule, place: &Place<'_>) -> bool {
        self.broken.contains(&(rule, place.pointer().to_owned()))
    }

    fn sorted(mut self) -> Vec<Lint> {
        let main = self.document.name();
        let key = |lint: &Lint| (lint.file != main, lint.line.clone(), lint.severity, lint.rule);
        self.found.sort_by(|one, other| {
            key(one)
                .cmp(&key(other))
                .then_with(|| (&one.pointer, &one.message).cmp(&(&other.pointer, &other.message)))
        });
        self.found.dedup();
        self.found
    }
}

/// The operation that a pointer leads into.
fn operation(pointer: &str) -> Option<String> {
    let mut tokens = tokens(pointer);
    let root = tokens.next()?;
    if root != "paths" && root != "webhooks" {
        return None;
    }
    let (path, method) = (tokens.next()?, tokens.next()?);
    let webhook = if root == "webhooks" { "webhook " } else { "" };
    match method.as_str() {
        "parameters" | "summary" | "description" | "servers" | "$ref" => None,
        _ => Some(format!("{} {webhook}{path}", method.to_ascii_uppercase())),
    }
}
