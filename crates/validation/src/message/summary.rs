use std::cmp::Reverse;
use std::collections::BTreeMap;

use fleetwire_protocol::Violation;

use super::Finding;
use crate::Severity;

/// Findings of many messages by rule, in room that does not grow with their number.
///
/// ```
/// use fleetwire_protocol::Violation;
/// use fleetwire_validation::Severity;
/// use fleetwire_validation::message::{Finding, Summary};
///
/// let violation = Violation::body("/uptime", "json.required", "is required");
/// let findings = [Finding { severity: Severity::Refuse, violation }];
/// let mut summary = Summary::default();
/// summary.add(&findings, || "line 3".to_owned());
/// summary.add(&findings, || "line 9".to_owned());
/// let rows = summary.rows();
/// assert_eq!((rows[0].rule, rows[0].count, rows[0].first.as_str()), ("json.required", 2, "line 3"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Summary {
    rows: BTreeMap<(Severity, &'static str), Row>,
}

/// What was found against one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// What breaking it means where the message is read.
    pub severity: Severity,
    /// The id of the rule.
    pub rule: &'static str,
    /// How often it is broken.
    pub count: u64,
    /// The message in which it was broken first, as its reader names it.
    pub first: String,
    /// Where and how it was broken there.
    pub violation: Violation,
}

impl Summary {
    /// Adds what was found in one message; `at` names it, and is asked for only where a rule is new.
    pub fn add(&mut self, findings: &[Finding], at: impl Fn() -> String) {
        for Finding { severity, violation } in findings {
            self.rows
                .entry((*severity, violation.rule))
                .and_modify(|row| row.count = row.count.saturating_add(1))
                .or_insert_with(|| Row {
                    severity: *severity,
                    rule: violation.rule,
                    count: 1,
                    first: at(),
                    violation: violation.clone(),
                });
        }
    }

    /// The rows, faults first, the most frequent first, then by rule.
    #[must_use]
    pub fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<_> = self.rows.values().collect();
        rows.sort_by_key(|row| (Reverse(row.severity), Reverse(row.count), row.rule));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_counted_and_the_first_place_is_kept() {
        let finding =
            |severity, rule, place: &str| Finding { severity, violation: Violation::body(place, rule, "m") };
        let mut summary = Summary::default();
        summary.add(&[finding(Severity::Lint, "w", "/a"), finding(Severity::Refuse, "b", "/a")], || {
            "1".to_owned()
        });
        summary.add(
            &[
                finding(Severity::Refuse, "c", "/x"),
                finding(Severity::Refuse, "b", "/y"),
                finding(Severity::Refuse, "a", "/z"),
            ],
            || "2".to_owned(),
        );
        let rows: Vec<_> = summary
            .rows()
            .into_iter()
            .map(|row| (row.rule, row.count, row.first.as_str(), row.violation.place.to_string()))
            .collect();
        assert_eq!(
            rows,
            [
                ("b", 2, "1", "/a".to_owned()),
                ("a", 1, "2", "/z".to_owned()),
                ("c", 1, "2", "/x".to_owned()),
                ("w", 1, "1", "/a".to_owned()),
            ]
        );
    }
}
