//! Findings as they are shown, whichever command found them.

use fleetwire_spec::Severity;
use fleetwire_spec::document::{Document, Line};
use serde_json::Value;

/// One finding.
pub(super) struct Entry {
    pub(super) severity: Severity,
    /// The id of its rule.
    pub(super) rule: String,
    /// The operation that it is about; empty for the document as a whole.
    pub(super) group: String,
    /// What the rule says, if `what` does not say it.
    pub(super) statement: Option<String>,
    /// What is wrong, in one sentence.
    pub(super) what: String,
    /// For whom it breaks.
    pub(super) whom: Option<String>,
    /// A document that shows it, and what becomes of it.
    pub(super) witness: Option<(Value, Option<String>)>,
    /// Where it stands, with the word for that end (`old`, `new`) where there are two.
    pub(super) places: Vec<Spot>,
    /// What to do.
    pub(super) advice: String,
    /// Why it is not known.
    pub(super) notes: Vec<String>,
}

/// A place in a document.
pub(super) struct Spot {
    /// Which end of a comparison; empty where there is but one document.
    pub(super) end: &'static str,
    pub(super) file: String,
    pub(super) line: Option<Line>,
    pub(super) pointer: String,
    /// Whether the file is one of the work tree, so that remarks can be pinned to it.
    pub(super) on_disk: bool,
}

impl Spot {
    pub(super) fn new(end: &'static str, document: &Document, pointer: &str, on_disk: bool) -> Self {
        let (file, inner) = document.origin(pointer);
        Self { end, file: file.to_owned(), line: document.line(pointer), pointer: inner.to_owned(), on_disk }
    }

    /// File and line.
    pub(super) fn place(&self) -> String {
        self.line.as_ref().map_or_else(|| self.file.clone(), ToString::to_string)
    }
}

/// Everything that one command found.
pub(super) struct Report {
    /// What was looked at, such as `old.yaml → new.yaml`.
    pub(super) title: String,
    pub(super) entries: Vec<Entry>,
    /// What else is to be said, line by line, after the findings.
    pub(super) remarks: Vec<String>,
    /// The same for machines.
    pub(super) json: Value,
}

impl Report {
    pub(super) fn count(&self, severity: Severity) -> usize {
        self.entries.iter().filter(|entry| entry.severity == severity).count()
    }

    /// Whether something is at least as bad as `limit`.
    pub(super) fn fails(&self, limit: Severity) -> bool {
        // The worse, the less.
        self.entries.iter().any(|entry| entry.severity <= limit)
    }

    /// `2 errors, 1 warning, no infos`.
    pub(super) fn summary(&self) -> String {
        let counted = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Info, "info")];
        let counted = counted.map(|(severity, word)| match self.count(severity) {
            0 => format!("no {word}s"),
            1 => format!("1 {word}"),
            count => format!("{count} {word}s"),
        });
        counted.join(", ")
    }

    /// The entries by operation, in the order in which operations are first met; those of no operation last.
    pub(super) fn groups(&self) -> Vec<(&str, Vec<&Entry>)> {
        let mut groups: Vec<(&str, Vec<&Entry>)> = Vec::new();
        for entry in &self.entries {
            match groups.iter_mut().find(|(name, _)| *name == entry.group) {
                Some((_, entries)) => entries.push(entry),
                None => groups.push((&entry.group, vec![entry])),
            }
        }
        groups.sort_by_key(|(name, _)| name.is_empty());
        groups
    }
}

/// A document on one line if it is short, and else indented, cut where it becomes long.
pub(super) fn pretty(document: &Value) -> Vec<String> {
    const WIDTH: usize = 90;
    const LINES: usize = 16;
    let line = document.to_string();
    if line.chars().count() <= WIDTH {
        return vec![line];
    }
    let text = serde_json::to_string_pretty(document).unwrap_or(line);
    let mut lines: Vec<String> = text.lines().map(|line| cut(line, WIDTH * 2)).collect();
    if lines.len() > LINES {
        let more = lines.len() - LINES;
        lines.truncate(LINES);
        lines.push(format!("… {more} lines more with --format json"));
    }
    lines
}

fn cut(line: &str, width: usize) -> String {
    match line.char_indices().nth(width) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}
