//! Whether an agent belongs to the fleet.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Agent, Vendor, Work, WorkState};

/// The kind of work by which an Achilles agent removes itself.
pub const UNINSTALL: &str = "uninstall";

/// How an agent stands. Only an active one may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It belongs to the fleet.
    Active,
    /// It is shut out until an operator lets it in again; it keeps its keys and its work.
    Disabled,
    /// An operator has sent it away, for good.
    Decommissioned,
    /// It has removed itself, as it was told to, for good.
    Uninstalled,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Disabled, Self::Decommissioned, Self::Uninstalled];

    /// The word that stores and operators use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Decommissioned => "decommissioned",
            Self::Uninstalled => "uninstalled",
        }
    }

    /// The standing of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == word)
    }

    /// Whether it is one from which nothing leads back: its keys have ended and its open work is called off.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Decommissioned | Self::Uninstalled)
    }
}

impl Agent {
    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.departed {
            Some(standing) => standing,
            None if self.disabled => Standing::Disabled,
            None => Standing::Active,
        }
    }

    /// Has it stand so. Says whether that changes anything: it may stand so already, or have left for good.
    pub fn stand(&mut self, standing: Standing, at: DateTime<Utc>) -> bool {
        if self.departed.is_some() || self.standing() == standing {
            return false;
        }
        self.disabled = standing != Standing::Active;
        if standing.is_final() {
            self.departed = Some(standing);
            self.end_keys();
        }
        self.turns = self.turns.saturating_add(1);
        self.updated_at = at;
        true
    }

    /// All its keys have ended: none waits to be used, and no enrolment can be repeated that would make another.
    pub fn end_keys(&mut self) {
        self.rotating = false;
        self.activated = true;
    }

    /// Whether it has removed itself by this work, which has just come to its end. One that could not is not shut out
    /// for it, so that it can be told again.
    #[must_use]
    pub fn has_left_by(&self, work: &Work) -> bool {
        let removed = work.result.as_ref().and_then(|result| result.get("exit_code")).and_then(Value::as_i64);
        self.vendor == Vendor::Achilles
            && work.kind == UNINSTALL
            && work.state == WorkState::Succeeded
            && removed == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::{Map, json};

    use super::*;
    use crate::domain::{Kind, NewAgent, NewWork};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_774_103_400 + seconds, 0).unwrap()
    }

    fn agent() -> Agent {
        let new = NewAgent {
            tenant: 1,
            vendor: Vendor::Achilles,
            kind: Kind::Agent,
            no: None,
            id: Some("a-7".to_owned()),
            parent: None,
            name: "ws".to_owned(),
            version: None,
            facts: Map::new(),
            labels: BTreeMap::new(),
            key: None,
            at: at(0),
        };
        new.into_agent(7)
    }

    #[test]
    fn every_word_is_read_as_what_it_was_written_for() {
        for standing in Standing::ALL {
            assert_eq!(Standing::parse(standing.as_str()), Some(standing));
        }
        assert_eq!(Standing::parse("Active"), None);
    }

    #[test]
    fn who_is_shut_out_can_be_let_in_and_who_has_left_cannot() {
        for first in Standing::ALL {
            for second in Standing::ALL {
                let mut agent = agent();
                assert_eq!(agent.stand(first, at(1)), first != Standing::Active);
                let left = first.is_final();
                assert_eq!(agent.stand(second, at(2)), !left && second != first, "{first:?}, {second:?}");
                let stands = if left { first } else { second };
                assert_eq!(agent.standing(), stands, "{first:?}, {second:?}");
                assert_eq!(agent.disabled, stands != Standing::Active);
            }
        }
    }

    #[test]
    fn who_leaves_waits_for_no_key_and_repeats_no_enrolment() {
        let mut agent = Agent { rotating: true, rotation: 3, ..agent() };
        assert!(agent.clone().stand(Standing::Disabled, at(1)));
        assert!(agent.stand(Standing::Decommissioned, at(1)));
        assert_eq!((agent.rotating, agent.rotation, agent.activated), (false, 3, true));
        assert_eq!((agent.turns, agent.updated_at), (1, at(1)));
    }

    #[test]
    fn agent_is_gone_only_by_an_uninstall_that_went_well() {
        let new = NewWork {
            id: "w".to_owned(),
            key: None,
            tenant: 1,
            agent: 7,
            kind: UNINSTALL.to_owned(),
            payload: Map::new(),
            priority: 0,
            not_before: None,
            ttl: Duration::from_secs(60),
            timeout: None,
            max_retries: 0,
            at: at(0),
        };
        let done =
            Work { state: WorkState::Succeeded, result: Some(json!({"exit_code": 0})), ..new.into_work(1) };
        assert!(agent().has_left_by(&done));
        for other in [
            Work { kind: "execute_command".to_owned(), ..done.clone() },
            Work { state: WorkState::Failed, ..done.clone() },
            Work { result: Some(json!({"exit_code": 1})), ..done.clone() },
            Work { result: None, ..done.clone() },
        ] {
            assert!(!agent().has_left_by(&other), "{other:?}");
        }
        assert!(!Agent { vendor: Vendor::ZStack, ..agent() }.has_left_by(&done));
    }
}
