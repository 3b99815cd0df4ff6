//! Findings for people at a terminal.

use std::fmt::Write;

use clap::builder::styling::{AnsiColor, Style};
use fleetwire_spec::Severity;

use super::report::{Entry, Report, pretty};
use crate::table::line;

/// How words are set off.
pub(super) struct Paint {
    colours: bool,
}

impl Paint {
    /// Colours on a terminal that does not ask for none.
    pub(super) fn for_stdout() -> Self {
        let asked_for_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { colours: std::io::IsTerminal::is_terminal(&std::io::stdout()) && !asked_for_none }
    }

    fn painted(&self, style: Style, text: &str) -> String {
        if self.colours { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn bold(&self, text: &str) -> String {
        self.painted(Style::new().bold(), text)
    }

    fn dim(&self, text: &str) -> String {
        self.painted(Style::new().dimmed(), text)
    }

    fn severity(&self, severity: Severity) -> String {
        let (colour, word) = match severity {
            Severity::Error => (AnsiColor::Red, "error  "),
            Severity::Warning => (AnsiColor::Yellow, "warning"),
            Severity::Info => (AnsiColor::Cyan, "info   "),
        };
        self.painted(Style::new().bold().fg_color(Some(colour.into())), word)
    }
}

/// The whole report.
pub(super) fn render(report: &Report, paint: &Paint) -> String {
    let mut text = format!("{}\n", paint.bold(&line(&report.title)));
    for (group, entries) in report.groups() {
        let name = if group.is_empty() { "outside of operations" } else { group };
        let _ = writeln!(text, "\n{}", paint.bold(&line(name)));
        for entry in entries {
            one(&mut text, entry, paint);
        }
    }
    if !report.remarks.is_empty() {
        text.push('\n');
        for remark in &report.remarks {
            let _ = writeln!(text, "{}", line(remark));
        }
    }
    let _ = writeln!(text, "\n{}", report.summary());
    text
}

/// Writing to a `String` does not fail.
fn one(text: &mut String, entry: &Entry, paint: &Paint) {
    let places: Vec<String> = entry.places.iter().map(super::report::Spot::place).collect();
    let places = places.join(" → ");
    let _ = writeln!(
        text,
        "  {} {}  {}",
        paint.severity(entry.severity),
        paint.bold(&line(&entry.rule)),
        paint.dim(&line(&places))
    );
    for sentence in entry.statement.iter().chain([&entry.what]) {
        let _ = writeln!(text, "    {}", line(sentence));
    }
    let mut said = |word: &str, what: &str| {
        let _ = writeln!(text, "    {} {}", paint.dim(&format!("{word:<8}")), line(what));
    };
    if let Some(whom) = &entry.whom {
        said("for", whom);
    }
    if let Some((witness, becomes)) = &entry.witness {
        for (at, shown) in pretty(witness).iter().enumerate() {
            said(if at == 0 { "witness" } else { "" }, shown);
        }
        if let Some(becomes) = becomes {
            said("", becomes);
        }
    }
    for note in &entry.notes {
        said("because", note.strip_prefix("undecided because ").unwrap_or(note));
    }
    let mut pointers = entry.places.iter().map(|spot| (spot.end, spot.pointer.as_str()));
    match (pointers.next(), pointers.next()) {
        // Often nothing has moved.
        (Some((_, one)), Some((_, other))) if one == other => {
            if !one.is_empty() {
                said("at", one);
            }
        }
        _ => {
            for spot in entry.places.iter().filter(|spot| !spot.pointer.is_empty()) {
                said(if spot.end.is_empty() { "at" } else { spot.end }, &spot.pointer);
            }
        }
    }
    if entry.advice != "nothing" {
        said("do", &entry.advice);
    }
}
