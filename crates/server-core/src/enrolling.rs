//! Newcomers with a token, whichever dialect they speak.

use chrono::{DateTime, Utc};
use dashmap::DashMap;
use fleetwire_protocol::{Fault, Subject};

use crate::Core;
use crate::core::internal;
use crate::domain::{Agent, Enrolled, Enrolment};
use crate::keys::Digest;
use crate::store::{Outcome, Store};

impl<S: Store> Core<S> {
    /// Trades a token for an agent. Whoever has no good token learns nothing of the agents that there are.
    pub(crate) async fn enroll(&self, enrolment: Enrolment) -> Result<Agent, Fault> {
        let (token, at) = (enrolment.token, enrolment.agent.at);
        let agent = self.rivals.trade(token, at, self.store.enroll(enrolment)).await?;
        self.registry.put(agent.clone());
        Ok(agent)
    }
}

/// The tokens that newcomers ask with at the moment. A token that was good when somebody came and was used up by
/// another before it was his turn is a lost race, and no bad token.
#[derive(Debug, Default)]
pub(crate) struct Rivals(DashMap<Digest, Rivalry>);

/// Requests with one token of which each met another.
#[derive(Debug)]
struct Rivalry {
    /// How many are under way.
    asking: usize,
    /// When the first of them came.
    since: DateTime<Utc>,
    /// Whether there has been more than one.
    contested: bool,
}

/// A newcomer's part in it, from the question to the answer.
pub(crate) struct Entered<'a> {
    rivals: &'a Rivals,
    token: Digest,
}

impl Rivals {
    /// Waits for what comes of a trade with a token, and tells a lost race from a bad token.
    async fn trade(
        &self,
        token: Digest,
        at: DateTime<Utc>,
        outcome: impl Future<Output = Outcome<Enrolled>>,
    ) -> Result<Agent, Fault> {
        let entered = self.enter(token, at);
        match outcome.await.map_err(internal)? {
            Enrolled::New(agent) | Enrolled::Again(agent) => Ok(agent),
            Enrolled::UsedUp(last_use) if entered.has_lost(last_use) => {
                Err(Fault::Conflict("the enrolment token has just been used up"))
            }
            Enrolled::Refused | Enrolled::UsedUp(_) => Err(Fault::TokenRefused),
            Enrolled::Expired => Err(Fault::TokenExpired),
            // Where newcomers say who they are, they are devices.
            Enrolled::Exists => Err(Fault::Taken(Subject::Device)),
        }
    }

    fn enter(&self, token: Digest, at: DateTime<Utc>) -> Entered<'_> {
        self.0
            .entry(token)
            .and_modify(|rivalry| {
                rivalry.asking += 1;
                rivalry.contested = true;
            })
            .or_insert(Rivalry { asking: 1, since: at, contested: false });
        Entered { rivals: self, token }
    }
}

impl Entered<'_> {
    /// Whether the token's last use, by who came at this time, went to a rival.
    fn has_lost(&self, last_use: DateTime<Utc>) -> bool {
        let rivalry = self.rivals.0.get(&self.token);
        rivalry.is_some_and(|rivalry| rivalry.contested && last_use >= rivalry.since)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(mut rivalry) = self.rivals.0.get_mut(&self.token) {
            rivalry.asking -= 1;
        }
        self.rivals.0.remove_if(&self.token, |_, rivalry| rivalry.asking == 0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Map;
    use tokio::sync::Barrier;

    use super::*;
    use crate::domain::{Kind, NewAgent, Vendor};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn agent() -> Agent {
        let new = NewAgent {
            tenant: 1,
            vendor: Vendor::Acusight,
            kind: Kind::Agent,
            no: None,
            id: Some("cam-1".to_owned()),
            parent: None,
            name: "cam".to_owned(),
            version: None,
            facts: Map::new(),
            labels: BTreeMap::new(),
            key: None,
            at: at(0),
        };
        new.into_agent(1)
    }

    /// What comes of two trades that are under way at the same time.
    async fn both(one: Enrolled, other: Enrolled) -> [Result<Agent, Fault>; 2] {
        let (rivals, token, meet) = (Rivals::default(), Digest::of("apt_1"), Barrier::new(2));
        let outcome = async |enrolled| {
            meet.wait().await;
            Ok(enrolled)
        };
        let trades = tokio::join!(
            rivals.trade(token, at(5), outcome(one)),
            rivals.trade(token, at(6), outcome(other))
        );
        assert!(rivals.0.is_empty(), "nothing is left of it");
        trades.into()
    }

    #[tokio::test]
    async fn who_met_the_winner_has_lost_a_race() {
        let [winner, loser] = both(Enrolled::New(agent()), Enrolled::UsedUp(at(5))).await;
        assert_eq!(winner, Ok(agent()));
        assert!(matches!(loser, Err(Fault::Conflict(_))), "{loser:?}");
        // Whichever of the two came first.
        let [loser, winner] = both(Enrolled::UsedUp(at(6)), Enrolled::New(agent())).await;
        assert_eq!(winner, Ok(agent()));
        assert!(matches!(loser, Err(Fault::Conflict(_))), "{loser:?}");
    }

    #[tokio::test]
    async fn two_with_a_token_that_was_used_up_long_ago_have_a_bad_token() {
        for trade in both(Enrolled::UsedUp(at(4)), Enrolled::UsedUp(at(4))).await {
            assert_eq!(trade, Err(Fault::TokenRefused));
        }
        for trade in both(Enrolled::Refused, Enrolled::Refused).await {
            assert_eq!(trade, Err(Fault::TokenRefused));
        }
    }

    #[tokio::test]
    async fn who_comes_after_the_winner_has_a_bad_token() {
        let (rivals, token) = (Rivals::default(), Digest::of("apt_1"));
        let trade = async |outcome| rivals.trade(token, at(0), async { Ok(outcome) }).await;
        assert_eq!(trade(Enrolled::New(agent())).await, Ok(agent()));
        assert_eq!(trade(Enrolled::UsedUp(at(0))).await, Err(Fault::TokenRefused));
    }

    #[tokio::test]
    async fn one_that_is_given_up_leaves_nothing_behind() {
        let (rivals, token) = (Rivals::default(), Digest::of("apt_1"));
        let trade = rivals.trade(token, at(0), std::future::pending());
        let waited = tokio::time::timeout(std::time::Duration::from_millis(1), trade).await;
        assert!(waited.is_err(), "it is dropped unfinished");
        assert!(rivals.0.is_empty());
    }
}
