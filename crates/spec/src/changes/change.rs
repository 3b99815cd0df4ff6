use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::rules::{Area, Direction, Rule};
use crate::finding::Severity;
use crate::inclusion;

/// How many other uses of the same place a change names.
pub(super) const OTHERS_SHOWN: usize = 5;

/// One difference between two versions of a document.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The rule that found it.
    pub rule: Rule,
    /// How bad it is here: an error breaks a peer, a warning may, an info does not.
    pub severity: Severity,
    /// What it is about.
    pub area: Area,
    /// Which way the message goes; none where no message is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The operation, callback or webhook; none for what stands in the document as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationName>,
    /// The part of the operation, such as `request body application/json`, `query parameter limit` or
    /// `response 200 header ETag`. Empty for the operation or document as a whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub part: String,
    /// Where in the message, as a JSON pointer in which `*` stands for every item of a list and every value of a
    /// map. Empty for the message as a whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// What was.
    pub old: Said,
    /// What is.
    pub new: Said,
    /// For whom it breaks, or may; none where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affects: Option<Affected>,
    /// A message that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// Why it is not known whether it breaks anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Other operations in which the same place changed in the same way; the first few.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// How many of them there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub other_count: usize,
    /// The last of them: the operations come one after another.
    #[serde(skip)]
    last_other: Option<OperationName>,
    /// What to do.
    pub advice: &'static str,
}

impl Change {
    /// A finding of a rule as the table grades it, about the documents as a whole.
    pub(super) fn new(rule: Rule, old: Said, new: Said) -> Self {
        let severity = rule.severity();
        let affects = match (severity, rule.direction()) {
            (Severity::Info, _) => None,
            (_, Some(Direction::Request)) => Some(Affected::Senders),
            (_, Some(Direction::Response)) => Some(Affected::Readers),
            (_, None) => (rule.area() == Area::Operations).then_some(Affected::Senders),
        };
        Self {
            rule,
            severity,
            area: rule.area(),
            direction: rule.direction(),
            operation: None,
            part: String::new(),
            at: String::new(),
            old,
            new,
            affects,
            witness: None,
            reasons: Vec::new(),
            others: Vec::new(),
            other_count: 0,
            last_other: None,
            advice: rule.advice(),
        }
    }

    /// Takes down that another operation has the same change of the same place.
    pub(super) fn also(&mut self, operation: Option<&OperationName>) {
        let Some(operation) = operation else { return };
        if self.operation.as_ref() == Some(operation) || self.last_other.as_ref() == Some(operation) {
            return;
        }
        self.other_count += 1;
        if self.others.len() < OTHERS_SHOWN {
            self.others.push(operation.request_line());
        }
        self.last_other = Some(operation.clone());
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// An operation by the names that it has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub struct OperationName {
    /// Its method, in capitals.
    pub method: String,
    /// Its path as the old document writes it, or as the new one does where the old one has none. For a webhook
    /// `webhook NAME`, for a callback the path of its operation, `callback NAME` and the expression.
    pub path: String,
    /// Its `operationId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl OperationName {
    /// Method and path, as in `POST /agents/{id}`.
    #[must_use]
    pub fn request_line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl fmt::Display for OperationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// What one of the two documents says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Said {
    /// Where, as a JSON pointer into that document, references followed. Where the document has nothing, the
    /// place in which it would stand; none if there is no such place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What it says, in a few words.
    pub text: String,
}

/// Who is affected by a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Affected {
    /// Peers that send requests made after the old document.
    Senders,
    /// Peers that read answers after the old document.
    Readers,
    /// Peers that are called back and were made after the old document.
    Called,
    /// Those who make clients from the document.
    Generators,
}

impl fmt::Display for Affected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Senders => "callers that send what the old document allowed",
            Self::Readers => "callers that read what the old document promised",
            Self::Called => "peers that are called back",
            Self::Generators => "callers that are generated from the document",
        })
    }
}

/// A message that one end may send and the other refuses.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Witness {
    /// The message: a whole body, or the value of the parameter or header.
    pub document: Value,
    /// Where in it the refusing end refuses it, as a JSON pointer.
    pub pointer: String,
    /// The keyword that refuses it.
    pub keyword: String,
}

impl From<inclusion::Witness> for Witness {
    fn from(witness: inclusion::Witness) -> Self {
        Self { document: witness.document, pointer: witness.pointer, keyword: witness.keyword }
    }
}

impl fmt::Display for Change {
    /// One line: severity, rule, operation, part, place, what was and what is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = format!("{} {}", self.severity, self.rule);
        if let Some(operation) = &self.operation {
            line.push_str(&format!(" {operation}"));
        }
        if !self.part.is_empty() {
            line.push_str(&format!(", {}", self.part));
        }
        if !self.at.is_empty() {
            line.push_str(&format!(" at {}", self.at));
        }
        line.push_str(&format!(": {} → {}", self.old.text, self.new.text));
        match self.other_count {
            0 => {}
            1 => line.push_str(" (also in 1 other operation)"),
            count => line.push_str(&format!(" (also in {count} other operations)")),
        }
        // Names of documents are shown on terminals, and may hold anything.
        f.write_str(&line.replace(char::is_control, " "))
    }
}

/// What a comparison of two documents found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Changes {
    /// The findings, operation by operation in the order of the old document.
    pub findings: Vec<Change>,
    /// The findings that somebody accepted, with the reason.
    pub accepted: Vec<AcceptedChange>,
    /// How many operations, callbacks and webhooks both documents have.
    pub operations: usize,
    /// How many inclusions were asked for.
    pub questions: usize,
}

/// A finding that somebody accepted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AcceptedChange {
    /// What was found.
    pub change: Change,
    /// Why it is accepted.
    pub reason: String,
    /// Since when, as `YYYY-MM-DD`.
    pub date: String,
}

impl Changes {
    /// The worst severity among the findings that are not accepted.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|change| change.severity).min()
    }

    /// How many findings have this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|change| change.severity == severity).count()
    }
}
