use std::collections::{BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use fleetwire_protocol::codec;
use serde::de::Error;
use serde::{Deserialize, Serialize};

use super::Dialect;
use super::keyring::Keyring;

/// How much accepted work may wait for its turn.
pub(crate) const QUEUE: usize = 16;
/// How many pieces of work are remembered as settled.
const SETTLED: usize = 256;

/// What an agent must not forget.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct State<D: Dialect> {
    /// The dialect: the state of another vendor's agent is not taken.
    pub(crate) vendor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) member: Option<Member<D>>,
    /// Who has asked to be enrolled, and when, in milliseconds of the machine's own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) applied: Option<(D::Applicant, i64)>,
    /// The last heartbeat that was taken, in milliseconds of the server's time; up to some intervals old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<i64>,
    /// Whether the agent stopped when it was asked to, so that `seen` is exact.
    #[serde(default)]
    pub(crate) stopped: bool,
    /// Whether the agent went down to change its version.
    #[serde(default)]
    pub(crate) updating: bool,
    /// Work that was accepted and not begun.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub(crate) queue: Vec<D::Work>,
    /// Work that was begun. It is not begun again unless its handler says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) in_hand: Option<InHand<D>>,
    /// The work last ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<String>,
    /// Work that is not begun again though it be handed over again. What was settled or handed over last stands last.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) settled: VecDeque<String>,
    /// How many of these the last heartbeat was answered with.
    #[serde(skip)]
    pub(crate) still_offered: usize,
}

/// An agent that the server knows.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Member<D: Dialect> {
    pub(crate) identity: D::Identity,
    pub(crate) keys: Keyring,
    /// Milliseconds between two polls that the server asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) poll: Option<u64>,
    /// Milliseconds between two heartbeats that the server asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) beat: Option<u64>,
}

/// Work that was begun.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct InHand<D: Dialect> {
    pub(crate) work: D::Work,
    /// When it began, in milliseconds of the server's time.
    pub(crate) since: i64,
}

impl<D: Dialect> State<D> {
    pub(crate) fn new() -> Self {
        Self {
            vendor: D::VENDOR.to_owned(),
            member: None,
            applied: None,
            seen: None,
            stopped: false,
            updating: false,
            queue: Vec::new(),
            in_hand: None,
            last: None,
            settled: VecDeque::new(),
            still_offered: 0,
        }
    }

    /// What was kept.
    ///
    /// Read as messages are, so that a program has one reader of the work that lies in both.
    pub(crate) fn read(kept: &[u8]) -> serde_json::Result<Self> {
        codec::from_json(kept).map_err(serde_json::Error::custom)
    }

    /// Whether a piece of work is known: accepted, at hand, or settled.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.queue.iter().any(|work| D::work_id(work) == id)
            || self.in_hand.as_ref().is_some_and(|in_hand| D::work_id(&in_hand.work) == id)
            || self.settled.iter().any(|settled| settled == id)
    }

    /// Remembers work that is not to be begun again.
    pub(crate) fn settle(&mut self, id: &str) {
        self.settled.retain(|settled| settled != id);
        self.settled.push_back(id.to_owned());
        while self.settled.len() > SETTLED {
            self.settled.pop_front();
        }
    }

    /// A heartbeat was answered with work of these ids: the others are forgotten first, or at once if they may name
    /// other work. Whether any was forgotten.
    pub(crate) fn offered_again(&mut self, offered: &BTreeSet<String>) -> bool {
        let known = self.settled.len();
        if known == 0 {
            return false;
        }
        self.settled.retain(|id| offered.contains(id) || D::is_unique(id));
        let (still, others): (VecDeque<_>, VecDeque<_>) =
            self.settled.drain(..).partition(|id| offered.contains(id));
        self.still_offered = still.len();
        self.settled = others;
        self.settled.extend(still);
        self.settled.len() < known
    }

    /// Whether settling more work would forget some that is still handed over.
    pub(crate) fn is_full(&self) -> bool {
        self.still_offered + self.queue.len() + usize::from(self.in_hand.is_some()) >= SETTLED
    }

    pub(crate) fn seen_at(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.seen?)
    }
}
