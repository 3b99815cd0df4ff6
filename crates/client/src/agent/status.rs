use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::keyring::Keyring;
use super::machine::StartError;
use crate::store::Saved;

/// What a kept state says of its agent, whichever dialect that speaks, for who looks on from outside. It holds no key.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// The dialect.
    pub vendor: String,
    /// Who the agent is to the server, in the dialect's own members; `None` before it has been taken in.
    pub identity: Option<Value>,
    /// How many keys it holds: its own, one that it is offered, and the one before its own.
    pub keys: usize,
    /// The last heartbeat that was taken, by the server's clock. While the agent runs, it may be some heartbeats later.
    pub last_taken: Option<DateTime<Utc>>,
    /// Whether the agent stopped when it was asked to: then that time is exact.
    pub stopped: bool,
    /// How many pieces of work wait for their turn.
    pub queued: usize,
    /// Whether work is at hand, or was when the agent went down.
    pub at_work: bool,
    /// How many messages wait to be handed over.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
}

impl Status {
    /// What was kept; `None` if nothing was.
    ///
    /// # Errors
    /// It is no state of this version.
    pub fn of(saved: &Saved) -> Result<Option<Self>, StartError> {
        /// Of a state, what is read here: the rest is its dialect's.
        #[derive(Deserialize)]
        struct Kept {
            vendor: String,
            member: Option<Member>,
            seen: Option<i64>,
            #[serde(default)]
            stopped: bool,
            #[serde(default)]
            queue: Vec<Value>,
            in_hand: Option<Value>,
        }
        #[derive(Deserialize)]
        struct Member {
            identity: Value,
            keys: Keyring,
        }

        let Some(state) = &saved.state else { return Ok(None) };
        let kept: Kept = serde_json::from_slice(state).map_err(StartError::Unreadable)?;
        Ok(Some(Self {
            vendor: kept.vendor,
            keys: kept.member.as_ref().map_or(0, |member| member.keys.count()),
            identity: kept.member.map(|member| member.identity),
            last_taken: kept.seen.and_then(DateTime::from_timestamp_millis),
            stopped: kept.stopped,
            queued: kept.queue.len(),
            at_work: kept.in_hand.is_some(),
            waiting: saved.messages.len(),
            waiting_bytes: saved.messages.iter().map(|(_, bytes)| bytes.len()).sum(),
        }))
    }
}
