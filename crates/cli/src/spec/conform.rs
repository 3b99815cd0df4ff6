use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use fleetwire_spec::claims::{Claimed, Role, Standing, conform};
use fleetwire_spec::document::{Document, Place};
use fleetwire_spec::inclusion::{Prover, Settings};
use fleetwire_spec::{Finding, Severity, deviations};
use serde_json::json;

use super::report::{Entry, Report, Spot};
use super::{EXIT_CODES, Output, input};

/// `fleetwire spec conform`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Conform {
    /// The document to conform to: a file, or REV:PATH out of a git repository
    #[arg(long, value_name = "FILE")]
    source: String,
    /// The document that is to conform
    #[arg(long, value_name = "FILE")]
    ours: String,
    /// Which end ours is
    #[arg(long)]
    role: End,
    /// A TOML file of patches to the source, each with its reason
    #[arg(long, value_name = "FILE")]
    deviations: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum End {
    /// It takes every request of the source, and sends only answers of the source
    Server,
    /// It sends only requests of the source, and reads every answer of the source
    Client,
}

impl Conform {
    pub(super) fn run(self) -> Result<ExitCode> {
        let deviations = match &self.deviations {
            Some(file) => {
                let name = file.display();
                let text = std::fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
                deviations::parse(&text).map_err(|error| anyhow!("{name}: {error}"))?
            }
            None => Vec::new(),
        };
        let (source, ours) = (input::read(&self.source)?, input::read(&self.ours)?);
        let role = match self.role {
            End::Server => Role::Server,
            End::Client => Role::Client,
        };
        let proved = conform(&source, &ours, role, &deviations, &mut Prover::new(Settings::default()));
        let on_disk = [&self.source, &self.ours].map(|name| Path::new(name).exists());
        let spots = |operation: Option<&str>| {
            let mut spots = Vec::new();
            for (end, document, on_disk) in [("source", &source, on_disk[0]), ("ours", &ours, on_disk[1])] {
                let pointer = operation.and_then(|name| pointer(document, name));
                spots.extend(pointer.map(|pointer| Spot::new(end, document, &pointer, on_disk)));
            }
            spots
        };
        let mut entries = Vec::new();
        for claimed in &proved.claims {
            entries.extend(
                claim(claimed).map(|entry| Entry { places: spots(Some(&claimed.operation)), ..entry }),
            );
        }
        for finding in &proved.coverage.findings {
            entries.push(Entry { places: spots(finding.operation.as_deref()), ..covered(finding) });
        }
        let count = |wanted: fn(&Standing) -> bool| {
            proved.claims.iter().filter(|claimed| wanted(&claimed.standing)).count()
        };
        let remarks = vec![format!(
            "As a {role}, over all operations ({}): claims {}, proved {}, silent {}, undecided {}, refuted {}.",
            proved.coverage.compared.operations,
            proved.claims.len(),
            count(|standing| matches!(standing, Standing::Proved)),
            count(|standing| matches!(standing, Standing::Silent)),
            proved.undecided().count(),
            proved.refuted().count(),
        )];
        let json = json!({
            "source": source.name(),
            "ours": ours.name(),
            "role": role,
            "holds": proved.holds(),
            "claims": proved.claims,
            "coverage": proved.coverage,
        });
        let title = format!("{} → {}", source.name(), ours.name());
        let report = Report { title, entries, remarks, json };
        self.output.conclude(report)
    }
}

/// A claim that does not stand.
fn claim(claimed: &Claimed) -> Option<Entry> {
    let part = if claimed.part.is_empty() { String::new() } else { format!(", {}", claimed.part) };
    let what = format!("{}{part}", claimed.side);
    let entry = |severity, rule: &str, advice: &str| Entry {
        severity,
        rule: rule.to_owned(),
        group: claimed.operation.clone(),
        statement: Some(format!("It is claimed that {}.", claimed.claim)),
        what: what.clone(),
        whom: None,
        witness: None,
        places: Vec::new(),
        advice: advice.to_owned(),
        notes: Vec::new(),
    };
    Some(match &claimed.standing {
        Standing::Proved | Standing::Silent => return None,
        Standing::Refuted(refutation) => {
            let place = if refutation.pointer.is_empty() {
                String::new()
            } else {
                format!(" at {}", refutation.pointer)
            };
            let becomes = format!("is refused by `{}`{place}", refutation.keyword);
            let advice = if claimed.claim.is_about_writing() {
                "do not write such a document, or write down the deviation"
            } else {
                "accept such a document, or write down the deviation"
            };
            Entry {
                witness: Some((refutation.document.clone(), Some(becomes))),
                ..entry(Severity::Error, "claim-refuted", advice)
            }
        }
        Standing::Undecided { reasons } => Entry {
            notes: reasons.clone(),
            ..entry(Severity::Warning, "claim-undecided", "say it in plainer keywords, or test it")
        },
        Standing::Untrue { document, disagreement } => Entry {
            witness: Some((document.clone(), None)),
            notes: vec![disagreement.clone()],
            ..entry(Severity::Error, "claim-untrue", "make the document of ours say what the code does")
        },
        other => Entry {
            notes: vec![format!("{other:?}")],
            ..entry(Severity::Error, "claim-unknown", "use a newer version")
        },
    })
}

fn covered(finding: &Finding) -> Entry {
    let side = finding.side.as_ref().map(ToString::to_string);
    let place: Vec<&str> = side
        .as_deref()
        .into_iter()
        .chain([finding.pointer.as_str()])
        .filter(|part| !part.is_empty())
        .collect();
    let place = if place.is_empty() { String::new() } else { format!("{}: ", place.join(" ")) };
    Entry {
        severity: finding.severity,
        rule: finding.id.as_str().to_owned(),
        group: finding.operation.clone().unwrap_or_default(),
        statement: None,
        what: format!("{place}{} → {}", finding.source, finding.ours),
        whom: None,
        witness: finding.witness.clone().map(|witness| (witness, None)),
        places: Vec::new(),
        advice: finding.advice.clone(),
        notes: Vec::new(),
    }
}

/// Where an operation stands that is called by its request line or id.
fn pointer(document: &Document, name: &str) -> Option<String> {
    let paths = document.at("/paths")?;
    for (path, item) in paths.members() {
        let item = item.resolved().ok()?;
        for (method, operation) in item.members() {
            if format!("{} {path}", method.to_ascii_uppercase()) == name
                || operation.text("operationId") == Some(name)
            {
                return Some(Place::pointer(&operation).to_owned());
            }
        }
    }
    None
}
