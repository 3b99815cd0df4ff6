//! Findings as commands of a GitHub workflow, which shows them beside the lines that they are about.

use std::fmt::Write;

use fleetwire_spec::Severity;

use super::report::{Entry, Report};

pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    for entry in &report.entries {
        let command = match entry.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        // The last place is that of the newer document, which is the one under review.
        let spot = entry.places.iter().rev().find(|spot| spot.on_disk);
        let mut properties = Vec::new();
        if let Some(spot) = spot {
            properties.push(format!("file={}", property(&spot.file)));
            if let Some(line) = &spot.line {
                properties.push(format!("line={},col={}", line.line, line.column));
            }
        }
        properties.push(format!("title={}", property(&entry.rule)));
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "::{command} {}::{}", properties.join(","), data(&message(entry)));
    }
    let _ = writeln!(text, "{}: {}", flat(&report.title), report.summary());
    for remark in &report.remarks {
        let _ = writeln!(text, "{}", flat(remark));
    }
    text
}

fn message(entry: &Entry) -> String {
    let mut message = if entry.group.is_empty() { String::new() } else { format!("{}: ", entry.group) };
    if let Some(statement) = &entry.statement {
        let _ = writeln!(message, "{statement}");
    }
    message.push_str(&entry.what);
    if let Some(whom) = &entry.whom {
        let _ = write!(message, "\nfor: {whom}");
    }
    if let Some((witness, becomes)) = &entry.witness {
        let _ = write!(message, "\nwitness: {witness}");
        if let Some(becomes) = becomes {
            let _ = write!(message, " {becomes}");
        }
    }
    for note in &entry.notes {
        let _ = write!(message, "\nbecause: {note}");
    }
    if entry.advice != "nothing" {
        let _ = write!(message, "\ndo: {}", entry.advice);
    }
    message
}

/// The part of a command behind its second pair of colons.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A line of its own, which must not be taken for a command.
fn flat(text: &str) -> String {
    let text = text.replace(['\r', '\n'], " ");
    if text.trim_start().starts_with("::") || text.starts_with("##[") { format!("- {text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_document_cannot_end_a_command_or_begin_one() {
        assert_eq!(data("100%\r\n::error::x"), "100%25%0D%0A::error::x");
        assert_eq!(property("a:b,c\nd"), "a%3Ab%2Cc%0Ad");
        assert_eq!(flat("::error::\nx"), "- ::error:: x");
        assert_eq!(flat("a\n::error::x"), "a ::error::x");
    }
}
