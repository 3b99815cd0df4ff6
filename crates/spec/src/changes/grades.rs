use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

use super::change::Change;
use super::rules::Rule;
use crate::finding::Severity;

/// Rules that are graded otherwise than in the table.
///
/// ```
/// use fleetwire_spec::Severity;
/// use fleetwire_spec::changes::{Grade, Grades, Rule};
///
/// let mut grades = Grades::default();
/// grades.set(Rule::OperationIdChanged, Grade::Severity(Severity::Error));
/// grades.set(Rule::TagsChanged, Grade::Off);
/// assert_eq!(grades.get(Rule::TagsChanged), Some(Grade::Off));
/// assert_eq!(grades.get(Rule::ServerAdded), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grades(BTreeMap<Rule, Grade>);

/// How a rule is graded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// Its findings are this bad, whatever the table or a proof says.
    Severity(Severity),
    /// It finds nothing.
    Off,
}

impl Grades {
    /// Grades a rule.
    pub fn set(&mut self, rule: Rule, grade: Grade) {
        self.0.insert(rule, grade);
    }

    /// How a rule is graded, if otherwise than in the table.
    #[must_use]
    pub fn get(&self, rule: Rule) -> Option<Grade> {
        self.0.get(&rule).copied()
    }

    /// Grades findings; those of rules that are off are left out.
    pub(super) fn apply(&self, findings: &mut Vec<Change>) {
        findings.retain_mut(|change| match self.get(change.rule) {
            Some(Grade::Off) => false,
            Some(Grade::Severity(severity)) => {
                change.severity = severity;
                true
            }
            None => true,
        });
    }
}

impl std::str::FromStr for Grade {
    type Err = String;

    /// `error`, `warning`, `info` (or `err`, `warn`) and `off`.
    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match word {
            "error" | "err" => Self::Severity(Severity::Error),
            "warning" | "warn" => Self::Severity(Severity::Warning),
            "info" => Self::Severity(Severity::Info),
            "off" => Self::Off,
            other => return Err(format!("`{other}` is none of error, warning, info and off")),
        })
    }
}

impl<'de> Deserialize<'de> for Grade {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Grades {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = BTreeMap::<String, Grade>::deserialize(deserializer)?;
        let grade = |(id, grade): (String, Grade)| Ok((id.parse().map_err(de::Error::custom)?, grade));
        words.into_iter().map(grade).collect::<Result<_, _>>().map(Self)
    }
}
