//! `fleetwire spec lint`, `diff` and `conform`: guards of anybody's OpenAPI documents and JSON Schemas. They need no
//! server and no network.
//!
//! # As JSON
//! `--format json` writes one object. Its names are stable; more may be added.
//!
//! * `lint`: `documents`, a list of `document`, `dialect`, `findings`, `errors`, `warnings`, `infos`. A finding has
//!   `rule`, `severity` (`error`, `warning`, `info`), `file`, `pointer`, `message`, `advice`, and where there is one
//!   `operation`, `witness` and `line` (`file`, `line`, `column`, from 1).
//! * `diff`: `old`, `new`, `findings`, `accepted`, `operations`, `questions`, `errors`, `warnings`, `infos`. A finding
//!   is a `fleetwire_spec::changes::Change`, its `old` and `new` with a `line` as above; an accepted one also has
//!   `reason` and `date`.
//! * `conform`: `source`, `ours`, `role`, `holds`, `claims`, `coverage`: `fleetwire_spec::claims::Claimed` and
//!   `fleetwire_spec::coverage::Coverage`.
//!
//! # Exit codes
//! They end with 0 if nothing as bad as `--fail-on` was found, with 1 if something was, and with 2 if a document
//! cannot be read or the command was not understood.

mod conform;
mod diff;
mod github;
mod input;
mod lint;
mod markdown;
mod report;
mod text;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use fleetwire_spec::Severity;
use serde_json::Value;

use report::Report;
use text::Paint;

const EXIT_CODES: &str = "Exit codes: 0 nothing as bad as --fail-on was found, 1 something was, \
                          2 a document cannot be read or the command was not understood.";
/// The code for what was not understood or cannot be read.
const UNREADABLE: u8 = 2;
/// The code for findings.
const FOUND: u8 = 1;

/// What is to be found out about documents.
#[derive(Debug, Subcommand)]
#[command(after_help = EXIT_CODES)]
pub(crate) enum SpecCommand {
    /// Find what is wrong within documents: examples that contradict their schemas, schemas that nothing satisfies,
    /// references that lead nowhere, and more.
    Lint(lint::Lint),
    /// Name what changed between two versions of a document, and for whom it breaks.
    Diff(diff::Diff),
    /// Prove that one document conforms to another, operation by operation.
    Conform(conform::Conform),
}

/// How findings are shown, and which of them fail the command.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// The least severity that makes the command end with 1
    #[arg(long, value_name = "SEVERITY", default_value = "err")]
    fail_on: Limit,
    /// How findings are shown
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print nothing; the exit code tells
    #[arg(long, short, conflicts_with_all = ["format", "json"])]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Limit {
    #[value(name = "err", alias = "error")]
    Error,
    #[value(name = "warn", alias = "warning")]
    Warning,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For machines
    Json,
    /// For a comment on a pull request
    Markdown,
    /// Commands of a GitHub workflow, which shows findings beside their lines
    Github,
}

impl SpecCommand {
    /// Does it and prints what was found.
    pub(crate) fn run(self) -> ExitCode {
        let outcome = match self {
            Self::Lint(lint) => lint.run(),
            Self::Diff(diff) => diff.run(),
            Self::Conform(conform) => conform.run(),
        };
        outcome.unwrap_or_else(|error| {
            complain(&error);
            ExitCode::from(UNREADABLE)
        })
    }
}

fn complain(error: &anyhow::Error) {
    // Standard error may be closed; the exit code still tells.
    let text: Vec<String> =
        format!("{error:#}").lines().map(|text| crate::table::line(text).into_owned()).collect();
    let _ = writeln!(io::stderr(), "fleetwire: {}", text.join("\n"));
}

impl Output {
    /// Prints reports, one behind the other; as JSON they become one value.
    fn show(&self, reports: &[Report], whole: impl FnOnce(Vec<&Value>) -> Value) -> Result<()> {
        let each =
            |render: &dyn Fn(&Report) -> String| reports.iter().map(render).collect::<Vec<_>>().join("\n");
        let text = match (self.quiet, self.json, self.format) {
            (true, ..) => return Ok(()),
            (_, true, _) | (_, _, Format::Json) => {
                let whole = whole(reports.iter().map(|report| &report.json).collect());
                let mut text = serde_json::to_string_pretty(&whole).context("the findings are no JSON")?;
                text.push('\n');
                text
            }
            (_, _, Format::Text) => {
                let paint = Paint::for_stdout();
                each(&|report| text::render(report, &paint))
            }
            (_, _, Format::Markdown) => each(&markdown::render),
            (_, _, Format::Github) => each(&github::render),
        };
        match io::stdout().lock().write_all(text.as_bytes()) {
            // Whoever reads us, `head` perhaps, has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome.context("the findings cannot be written"),
        }
    }

    /// Prints one report and tells how the command ends.
    fn conclude(&self, report: Report) -> Result<ExitCode> {
        let reports = [report];
        self.show(&reports, |values| values.into_iter().next().cloned().unwrap_or_default())?;
        Ok(self.code(&reports))
    }

    fn code(&self, reports: &[Report]) -> ExitCode {
        let limit = match self.fail_on {
            Limit::Error => Severity::Error,
            Limit::Warning => Severity::Warning,
        };
        let fails = reports.iter().any(|report| report.fails(limit));
        if fails { ExitCode::from(FOUND) } else { ExitCode::SUCCESS }
    }
}
