use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use fleetwire_spec::document::Document;
use fleetwire_spec::inclusion::{Prover, Settings};
use fleetwire_spec::{Severity, lint};
use serde_json::{Value, json};

use super::report::{Entry, Report, Spot};
use super::{EXIT_CODES, Output, UNREADABLE, complain, input};

/// `fleetwire spec lint`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Lint {
    /// The documents: files, or REV:PATH out of a git repository
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    output: Output,
}

impl Lint {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut unreadable = false;
        let mut reports = Vec::new();
        for file in &self.files {
            match input::read(file) {
                Ok(document) => {
                    let found = lint::lint(&document, &mut Prover::new(Settings::default()));
                    let on_disk = Path::new(file).exists();
                    reports.push(Report {
                        title: document.name().to_owned(),
                        json: machine(&document, &found),
                        entries: found.into_iter().map(|lint| entry(lint, on_disk)).collect(),
                        remarks: Vec::new(),
                    });
                }
                Err(error) => {
                    unreadable = true;
                    complain(&error);
                }
            }
        }
        if !reports.is_empty() {
            self.output.show(&reports, |documents| json!({ "documents": documents }))?;
        }
        Ok(if unreadable { ExitCode::from(UNREADABLE) } else { self.output.code(&reports) })
    }
}

fn machine(document: &Document, found: &[lint::Lint]) -> Value {
    let count = |severity| found.iter().filter(|lint| lint.severity == severity).count();
    json!({
        "document": document.name(),
        "dialect": document.dialect().to_string(),
        "findings": found,
        "errors": count(Severity::Error),
        "warnings": count(Severity::Warning),
        "infos": count(Severity::Info),
    })
}

fn entry(lint: lint::Lint, on_disk: bool) -> Entry {
    Entry {
        severity: lint.severity,
        rule: lint.rule.to_string(),
        group: lint.operation.unwrap_or_default(),
        statement: None,
        what: lint.message,
        whom: None,
        witness: lint.witness.map(|witness| (witness, None)),
        places: vec![Spot { end: "", file: lint.file, line: lint.line, pointer: lint.pointer, on_disk }],
        advice: lint.advice.to_owned(),
        notes: Vec::new(),
    }
}
