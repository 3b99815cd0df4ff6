use chrono::NaiveDate;
use serde::Deserialize;

use super::change::{AcceptedChange, Change, Changes, Said};
use super::grades::Grades;
use super::rules::Rule;

/// What a project has decided about changes: how rules are graded, and which findings it accepts.
///
/// ```
/// use fleetwire_spec::changes::Policy;
///
/// let policy = Policy::parse(r#"
///     [grades]
///     operation-id-changed = "info"
///
///     [[accepted]]
///     rule = "request-member-removed"
///     operation = "POST /agents/heartbeat"
///     pointer = "/meta/queue"
///     reason = "No agent has ever sent it."
///     date = "2026-11-22"
///     until = "2027-06-30"
/// "#)?;
/// assert_eq!(policy.accepted.len(), 1);
/// # Ok::<(), fleetwire_spec::changes::PolicyError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Policy {
    /// Rules that are graded otherwise than in the table.
    #[serde(default)]
    pub grades: Grades,
    /// Findings that are accepted.
    #[serde(default)]
    pub accepted: Vec<Acceptance>,
}

/// A finding that is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// The id of the rule.
    pub rule: String,
    /// The operation as `METHOD /path` or by its `operationId`; any if it is not given.
    #[serde(default)]
    pub operation: Option<String>,
    /// The place: that in the message, or the pointer into one of the two documents; any if it is not given.
    #[serde(default)]
    pub pointer: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Since when, as `YYYY-MM-DD`.
    #[serde(default)]
    pub date: String,
    /// Until when, as `YYYY-MM-DD`, that day included; for good if it is not given.
    #[serde(default)]
    pub until: Option<String>,
}

/// A policy that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the policy is not well-formed: {0}")]
pub struct PolicyError(#[from] toml::de::Error);

impl Policy {
    /// Reads a policy from TOML.
    ///
    /// # Errors
    /// The text is not TOML, has members that a policy does not have, or grades a rule that there is not.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Ok(toml::from_str(text)?)
    }

    /// Whether a finding is accepted.
    pub(super) fn accepts(&self, change: &Change, today: Option<NaiveDate>) -> bool {
        self.accepted.iter().any(|acceptance| acceptance.fault(today).is_none() && acceptance.is_of(change))
    }

    /// Takes the accepted findings out of the others, and reports what is wrong with the list.
    pub(super) fn settle(&self, changes: &mut Changes, today: Option<NaiveDate>) {
        for (index, acceptance) in self.accepted.iter().enumerate() {
            if let Some((rule, fault)) = acceptance.fault(today) {
                changes.findings.push(acceptance.finding(index, rule, fault));
                continue;
            }
            let (taken, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut changes.findings)
                .into_iter()
                .partition(|change| acceptance.is_of(change));
            changes.findings = rest;
            if taken.is_empty() {
                let fault = "no such finding".to_owned();
                changes.findings.push(acceptance.finding(index, Rule::AcceptanceNeedless, fault));
            }
            changes.accepted.extend(taken.into_iter().map(|change| AcceptedChange {
                change,
                reason: acceptance.reason.clone(),
                date: acceptance.date.clone(),
            }));
        }
    }
}

impl Acceptance {
    fn fault(&self, today: Option<NaiveDate>) -> Option<(Rule, String)> {
        if self.rule.parse::<Rule>().is_err() {
            return Some((Rule::AcceptanceUnknown, format!("there is no rule `{}`", self.rule)));
        }
        if self.reason.trim().is_empty() {
            return Some((Rule::AcceptanceIncomplete, "no reason".to_owned()));
        }
        if self.date.parse::<NaiveDate>().is_err() {
            return Some((Rule::AcceptanceIncomplete, format!("`{}` is no date", self.date)));
        }
        let until = self.until.as_ref()?;
        match until.parse::<NaiveDate>() {
            Err(_) => Some((Rule::AcceptanceIncomplete, format!("`{until}` is no date"))),
            Ok(until) if today.is_some_and(|today| today > until) => {
                Some((Rule::AcceptanceExpired, format!("accepted until {until}")))
            }
            Ok(_) => None,
        }
    }

    fn is_of(&self, change: &Change) -> bool {
        let operation = |wanted: &String| {
            change.operation.as_ref().is_some_and(|operation| {
                operation.request_line() == *wanted || operation.id.as_ref() == Some(wanted)
            })
        };
        let pointer = |wanted: &String| {
            change.at == *wanted
                || [&change.old, &change.new].into_iter().any(|said| said.pointer.as_ref() == Some(wanted))
        };
        change.rule.as_str() == self.rule
            && self.operation.as_ref().is_none_or(operation)
            && self.pointer.as_ref().is_none_or(pointer)
    }

    fn finding(&self, index: usize, rule: Rule, fault: String) -> Change {
        let mut text = format!("acceptance {} ({}", index + 1, self.rule);
        for part in [&self.operation, &self.pointer].into_iter().flatten() {
            text.push_str(", ");
            text.push_str(part);
        }
        text.push(')');
        Change::new(rule, Said { pointer: None, text }, Said { pointer: None, text: fault })
    }
}
