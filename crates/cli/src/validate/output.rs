//! What is printed, for people and as JSON, one object a line.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use clap::ValueEnum;
use fleetwire_validation::message::{Finding, Findings, Operation, Summary, word};
use serde::Serialize;

use super::session::{At, Stray, Tally, Within};
use crate::table::{Table, line};

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shown {
    /// For people
    Text,
    /// One JSON object a line
    Json,
    #[value(skip)]
    Nothing,
}

/// Where findings go.
pub(super) struct Output {
    shown: Shown,
    /// Whether each message with findings is printed, or only what comes of all.
    is_listing: bool,
    writer: BufWriter<io::Stdout>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Object<'a> {
    Message {
        file: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        entry: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        operation: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        side: Option<&'a str>,
        findings: Vec<FindingObject<'a>>,
        /// How many findings there are beyond those listed.
        beyond: usize,
    },
    Unreadable {
        file: &'a str,
        message: &'a str,
    },
    Summary {
        #[serde(flatten)]
        tally: &'a Tally,
        rules: Vec<RuleObject<'a>>,
        not_recognised: Vec<StrayObject<'a>>,
    },
}

#[derive(Serialize)]
struct FindingObject<'a> {
    severity: &'static str,
    place: String,
    rule: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct RuleObject<'a> {
    severity: &'static str,
    rule: &'a str,
    count: u64,
    first: &'a str,
    place: String,
    message: &'a str,
}

#[derive(Serialize)]
struct StrayObject<'a> {
    request: &'a str,
    count: u64,
    first: &'a str,
    why: &'a str,
}

impl Output {
    pub(super) fn new(shown: Shown, is_listing: bool) -> Self {
        Self { shown, is_listing, writer: BufWriter::new(io::stdout()) }
    }

    /// Prints what was found in a message.
    pub(super) fn message(
        &mut self,
        at: At<'_>,
        what: Option<(Operation, &str)>,
        Findings { listed: findings, beyond }: Findings<'_>,
    ) -> io::Result<()> {
        if !self.is_listing {
            return Ok(());
        }
        match self.shown {
            Shown::Nothing => Ok(()),
            Shown::Json => {
                let findings = findings.iter().map(|Finding { severity, violation }| FindingObject {
                    severity: word(*severity),
                    place: violation.place.to_string(),
                    rule: violation.rule,
                    message: &violation.message,
                });
                let (line, entry) = match at.within {
                    Within::Whole => (None, None),
                    Within::Line(number) => (Some(number), None),
                    Within::Entry(number) => (None, Some(number)),
                };
                self.object(&Object::Message {
                    file: at.file,
                    line,
                    entry,
                    operation: what.map(|(operation, _)| operation.id()),
                    side: what.map(|(_, side)| side),
                    findings: findings.collect(),
                    beyond,
                })
            }
            Shown::Text => {
                match what {
                    Some((operation, side)) => writeln!(self.writer, "{at}: {} {side}", operation.id())?,
                    None => writeln!(self.writer, "{at}")?,
                }
                for Finding { severity, violation } in findings {
                    let shown = format!("{}: {} ({})", violation.place, violation.message, violation.rule);
                    writeln!(self.writer, "  {:<6}{}", word(*severity), line(&shown))?;
                }
                if beyond > 0 {
                    writeln!(self.writer, "  and {beyond} more")?;
                }
                Ok(())
            }
        }
    }

    /// Prints that a file cannot be read; people are told on standard error.
    pub(super) fn unreadable(&mut self, file: &str, message: &str) -> io::Result<()> {
        // The order of the two streams is that of the files, where both go to one place.
        self.writer.flush()?;
        if self.shown != Shown::Json {
            return Ok(());
        }
        self.object(&Object::Unreadable { file, message: message.trim_start_matches([' ', ':']) })
    }

    /// Prints what comes of all.
    pub(super) fn finish(
        &mut self,
        tally: &Tally,
        summary: &Summary,
        strays: &BTreeMap<String, Stray>,
    ) -> io::Result<()> {
        match self.shown {
            Shown::Nothing => {}
            Shown::Json => {
                let rows = summary.rows();
                let rules = rows.iter().map(|row| RuleObject {
                    severity: word(row.severity),
                    rule: row.rule,
                    count: row.count,
                    first: &row.first,
                    place: row.violation.place.to_string(),
                    message: &row.violation.message,
                });
                let strays = strays.iter().map(|(request, stray)| StrayObject {
                    request,
                    count: stray.count,
                    first: &stray.first,
                    why: &stray.why,
                });
                let object =
                    Object::Summary { tally, rules: rules.collect(), not_recognised: strays.collect() };
                self.object(&object)?;
            }
            Shown::Text => self.finish_text(tally, summary, strays)?,
        }
        self.writer.flush()
    }

    fn finish_text(
        &mut self,
        tally: &Tally,
        summary: &Summary,
        strays: &BTreeMap<String, Stray>,
    ) -> io::Result<()> {
        if !self.is_listing {
            let rows = summary.rows();
            if !rows.is_empty() {
                let mut table = Table::new(["COUNT", "", "RULE", "FIRST", "PLACE"]);
                for row in rows {
                    let place = row.violation.place.to_string();
                    table.row([&row.count.to_string(), word(row.severity), row.rule, &row.first, &place]);
                }
                self.writer.write_all(table.finish("").as_bytes())?;
            }
        }
        if !strays.is_empty() {
            let mut table = Table::new(["COUNT", "NOT RECOGNISED", "FIRST", "WHY"]);
            for (request, stray) in strays {
                table.row([&stray.count.to_string(), request, &stray.first, &stray.why]);
            }
            self.writer.write_all(table.finish("").as_bytes())?;
            let listed: u64 = strays.values().map(|stray| stray.count).sum();
            if listed < tally.unrecognised {
                writeln!(self.writer, "and {} of other request lines", tally.unrecognised - listed)?;
            }
        }
        let Tally { messages, requests, responses, unrecognised, passed_over, faults, marks, lints, .. } =
            *tally;
        let mut seen = format!(
            "{}: {}, {}, {unrecognised} not recognised",
            counted(messages, "message"),
            counted(requests, "request"),
            counted(responses, "response"),
        );
        if passed_over > 0 {
            seen.push_str(&format!(", {passed_over} not looked for"));
        }
        let (faults, marks, lints) =
            (counted(faults, "fault"), counted(marks, "mark"), counted(lints, "lint"));
        writeln!(self.writer, "{seen}; {faults}, {marks}, {lints}")
    }

    fn object(&mut self, object: &Object<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.writer, object)?;
        self.writer.write_all(b"\n")
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
