use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use fleetwire_server::SystemClock;
use fleetwire_server_core::Clock;
use fleetwire_spec::Severity;
use fleetwire_spec::changes::{Change, Changes, Direction, Grade, Options, Policy, Rule, Said, compare};
use fleetwire_spec::document::Document;
use fleetwire_spec::inclusion::{Prover, Settings};
use serde_json::{Value, json};

use super::report::{Entry, Report, Spot};
use super::{EXIT_CODES, Output, input};

/// `fleetwire spec diff`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Diff {
    /// The document as it was: a file, or REV:PATH out of a git repository
    old: String,
    /// The document as it is
    new: String,
    /// A TOML file of findings that are accepted, each with its reason and date
    #[arg(long, value_name = "FILE")]
    accept: Option<PathBuf>,
    /// Grade a rule otherwise, as in operation-id-changed=info, or take grades from a TOML file; may be given again.
    /// Severities are error, warning, info and off
    #[arg(long, value_name = "RULE=SEVERITY|FILE", value_parser = graded)]
    grade: Vec<Graded>,
    /// For plain schemas: which way the documents go
    #[arg(long, value_name = "DIRECTION", value_parser = ["request", "response", "both"], default_value = "both")]
    direction: String,
    #[command(flatten)]
    output: Output,
}

/// What `--grade` was given.
#[derive(Debug, Clone)]
enum Graded {
    One(Rule, Grade),
    File(PathBuf),
}

fn graded(text: &str) -> Result<Graded, String> {
    // A rule has a sign of equality behind it, and a file of that name can be written ./so.
    match text.split_once('=') {
        Some((rule, grade)) if !rule.contains(['/', '.']) => {
            let rule = Rule::from_str(rule).map_err(|error| error.to_string())?;
            Ok(Graded::One(rule, grade.parse()?))
        }
        _ => Ok(Graded::File(PathBuf::from(text))),
    }
}

impl Diff {
    pub(super) fn run(self) -> Result<ExitCode> {
        let options = self.options()?;
        let (old, new) = (input::read(&self.old)?, input::read(&self.new)?);
        let changes = compare(&old, &new, &options, &mut Prover::new(Settings::default()))?;
        let ends = Ends {
            on_disk: [&self.old, &self.new].map(|name| Path::new(name).exists()),
            old: &old,
            new: &new,
        };
        let report = ends.report(&changes);
        self.output.conclude(report)
    }

    fn options(&self) -> Result<Options> {
        let mut options = Options::default();
        options.today = Some(SystemClock.now().date_naive());
        if let Some(file) = &self.accept {
            options.policy = policy(file)?;
        }
        for graded in &self.grade {
            match graded {
                Graded::One(rule, grade) => options.policy.grades.set(*rule, *grade),
                Graded::File(file) => {
                    let grades = policy(file)?.grades;
                    for rule in Rule::ALL {
                        if let Some(grade) = grades.get(*rule) {
                            options.policy.grades.set(*rule, grade);
                        }
                    }
                }
            }
        }
        match self.direction.as_str() {
            "request" => options.directions = vec![Direction::Request],
            "response" => options.directions = vec![Direction::Response],
            _ => {}
        }
        Ok(options)
    }
}

fn policy(file: &Path) -> Result<Policy> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
    Policy::parse(&text).map_err(|error| anyhow!("{name}: {error}"))
}

struct Ends<'a> {
    old: &'a Document,
    new: &'a Document,
    /// Whether they are files of the work tree.
    on_disk: [bool; 2],
}

impl Ends<'_> {
    fn report(&self, changes: &Changes) -> Report {
        let entries: Vec<Entry> = changes.findings.iter().map(|change| self.entry(change)).collect();
        let mut remarks: Vec<String> = changes
            .accepted
            .iter()
            .map(|accepted| {
                format!("accepted since {}: {}; {}", accepted.date, accepted.change, accepted.reason)
            })
            .collect();
        if entries.is_empty() {
            remarks.push("No differences were found that a peer could notice.".to_owned());
        }
        let count = |severity| changes.count(severity);
        let findings: Vec<Value> = changes.findings.iter().map(|change| self.machine(change)).collect();
        let accepted: Vec<Value> = changes
            .accepted
            .iter()
            .map(|accepted| {
                let mut change = self.machine(&accepted.change);
                if let Value::Object(members) = &mut change {
                    members.insert("reason".to_owned(), accepted.reason.clone().into());
                    members.insert("date".to_owned(), accepted.date.clone().into());
                }
                change
            })
            .collect();
        let json = json!({
            "old": self.old.name(),
            "new": self.new.name(),
            "findings": findings,
            "accepted": accepted,
            "operations": changes.operations,
            "questions": changes.questions,
            "errors": count(Severity::Error),
            "warnings": count(Severity::Warning),
            "infos": count(Severity::Info),
        });
        Report { title: format!("{} → {}", self.old.name(), self.new.name()), entries, remarks, json }
    }

    fn entry(&self, change: &Change) -> Entry {
        let mut what = change.part.clone();
        if !change.at.is_empty() {
            what.push_str(if what.is_empty() { "at " } else { " at " });
            what.push_str(&change.at);
        }
        if !what.is_empty() {
            what.push_str(": ");
        }
        what.push_str(&match (change.old.text.as_str(), change.new.text.as_str()) {
            (old, "") => old.to_owned(),
            ("", new) => new.to_owned(),
            (old, new) => format!("{old} → {new}"),
        });
        let mut notes = change.reasons.clone();
        if change.other_count > 0 {
            let named = change.others.join(", ");
            let more = change.other_count.saturating_sub(change.others.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            notes.push(format!("the same place is used by {named}{more}"));
        }
        let witness = change.witness.as_ref().map(|witness| {
            let place =
                if witness.pointer.is_empty() { String::new() } else { format!(" at {}", witness.pointer) };
            (witness.document.clone(), Some(format!("is refused by `{}`{place}", witness.keyword)))
        });
        Entry {
            severity: change.severity,
            rule: change.rule.to_string(),
            group: change.operation.as_ref().map(ToString::to_string).unwrap_or_default(),
            statement: Some(change.rule.statement().to_owned()),
            what,
            whom: change.affects.map(|affected| affected.to_string()),
            witness,
            places: self.spots(change),
            advice: change.advice.to_owned(),
            notes,
        }
    }

    fn spots(&self, change: &Change) -> Vec<Spot> {
        let [old_on_disk, new_on_disk] = self.on_disk;
        let old = change.old.pointer.as_ref().map(|pointer| Spot::new("old", self.old, pointer, old_on_disk));
        let new = change.new.pointer.as_ref().map(|pointer| Spot::new("new", self.new, pointer, new_on_disk));
        old.into_iter().chain(new).collect()
    }

    /// A finding as the library writes it, with the lines.
    fn machine(&self, change: &Change) -> Value {
        let mut value = serde_json::to_value(change).unwrap_or_default();
        let ends: [(&str, &Said, &Document); 2] =
            [("old", &change.old, self.old), ("new", &change.new, self.new)];
        for (end, said, document) in ends {
            let line = said.pointer.as_ref().and_then(|pointer| document.line(pointer));
            if let (Some(line), Some(Value::Object(members))) = (line, value.get_mut(end)) {
                members.insert("line".to_owned(), json!(line));
            }
        }
        value
    }
}
