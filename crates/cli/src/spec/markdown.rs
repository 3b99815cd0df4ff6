//! Findings as a comment on a pull request.

use std::fmt::Write;

use fleetwire_spec::Severity;

use super::report::{Entry, Report, pretty};

pub(super) fn render(report: &Report) -> String {
    // Writing to a `String` does not fail.
    let mut text = String::new();
    let _ = writeln!(text, "### {}\n\n{}", code(&report.title), report.summary());
    for (severity, heading) in [(Severity::Error, "Errors"), (Severity::Warning, "Warnings")] {
        let entries: Vec<&Entry> = report.entries.iter().filter(|entry| entry.severity == severity).collect();
        if entries.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n#### {heading}");
        for entry in entries {
            one(&mut text, entry);
        }
    }
    let infos: Vec<&Entry> = report.entries.iter().filter(|entry| entry.severity == Severity::Info).collect();
    if !infos.is_empty() {
        let count = infos.len();
        let word = if count == 1 { "info" } else { "infos" };
        let _ = writeln!(text, "\n<details><summary>{count} {word}</summary>\n");
        for entry in infos {
            let _ = writeln!(text, "- {}", head(entry));
        }
        text.push_str("\n</details>\n");
    }
    if !report.remarks.is_empty() {
        text.push('\n');
        for remark in &report.remarks {
            let _ = writeln!(text, "- {}", plain(remark));
        }
    }
    text
}

fn head(entry: &Entry) -> String {
    let group = if entry.group.is_empty() { String::new() } else { format!("{}: ", code(&entry.group)) };
    let places: Vec<String> = entry.places.iter().map(|spot| code(&spot.place())).collect();
    let statement =
        entry.statement.as_ref().map_or(String::new(), |statement| format!("{} ", plain(statement)));
    let mut origin = vec![code(&entry.rule)];
    if !places.is_empty() {
        origin.push(places.join(" → "));
    }
    format!("{group}{statement}{} ({})", plain(&entry.what), origin.join(", "))
}

fn one(text: &mut String, entry: &Entry) {
    let _ = writeln!(text, "\n- {}", head(entry));
    if let Some(whom) = &entry.whom {
        let _ = writeln!(text, "  - for {}", plain(whom));
    }
    for note in &entry.notes {
        let _ = writeln!(text, "  - because {}", plain(note));
    }
    if entry.advice != "nothing" {
        let _ = writeln!(text, "  - do: {}", plain(&entry.advice));
    }
    if let Some((witness, becomes)) = &entry.witness {
        let lines = pretty(witness);
        let longest = lines.iter().map(|line| run_of_backticks(line)).max().unwrap_or_default();
        let fence = "`".repeat(longest.max(2) + 1);
        let becomes = becomes.as_ref().map_or(String::new(), |becomes| format!(" {}", plain(becomes)));
        let _ = writeln!(text, "  - witness{becomes}\n\n    {fence}json");
        for line in lines {
            let _ = writeln!(text, "    {line}");
        }
        let _ = writeln!(text, "    {fence}");
    }
}

/// The longest run of backticks.
fn run_of_backticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

/// A text as code, whatever stands in it.
fn code(text: &str) -> String {
    let text = text.replace(['\r', '\n'], " ");
    match run_of_backticks(&text) {
        0 => format!("`{text}`"),
        run => {
            let fence = "`".repeat(run + 1);
            format!("{fence} {text} {fence}")
        }
    }
}

/// A text in which nothing is marked up but what stands between backticks, as it is in our own sentences.
fn plain(text: &str) -> String {
    let text = text.replace(['\r', '\n'], " ");
    let even = text.matches('`').count().is_multiple_of(2);
    let mut shown = String::new();
    for (at, piece) in text.split('`').enumerate() {
        if at > 0 {
            shown.push_str(if even { "`" } else { "\\`" });
        }
        if even && at % 2 == 1 {
            shown.push_str(piece);
            continue;
        }
        for c in piece.chars() {
            match c {
                '<' => shown.push_str("&lt;"),
                '&' => shown.push_str("&amp;"),
                // A name behind it would be notified.
                '@' => shown.push_str("&#64;"),
                '\\' | '*' | '_' | '[' | ']' | '#' | '|' | '~' => shown.extend(['\\', c]),
                c => shown.push(c),
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_document_is_not_marked_up() {
        assert_eq!(plain("a `b*c` <i> @all [x](y)"), "a `b*c` &lt;i> &#64;all \\[x\\](y)");
        assert_eq!(plain("a ` <i>\nb"), "a \\` &lt;i> b");
        assert_eq!(code("a``b"), "``` a``b ```");
    }
}
