//! What has happened in a fleet: an append-only journal for each tenant.
//!
//! An event is written by the store in the same transaction as the change that it tells of. What no change tells
//! of, that an agent fell silent, is back, or seems to be two, is found out by [`Core::flush`] and written with
//! the leases.
//!
//! ```
//! use fleetwire_server_core::domain::DEFAULT_TENANT;
//! use fleetwire_server_core::events::{EventKind, EventQuery};
//! use fleetwire_server_core::operator::OperatorError;
//! use fleetwire_server_core::{Core, store::Store};
//!
//! # async fn look<S: Store>(core: &Core<S>) -> Result<(), OperatorError> {
//! // From the beginning on, a hundred at a time; the last number is where to go on.
//! let mut query = EventQuery { after: Some(0), kind: Some(EventKind::Offline), ..EventQuery::default() };
//! let page = core.events(DEFAULT_TENANT, query).await?;
//! query.after = page.last().map(|event| event.no).or(query.after);
//! # Ok(())
//! # }
//! ```

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::Core;
use crate::domain::{Agent, Batch, No, Standing, Token, WhyClosed, Work, WorkState};
use crate::lease::Report;
use crate::operator::Done;
use crate::sightings::Suspicion;
use crate::store::{Store, StoreError};

/// How many old events one transaction of [`Core::forget_events`] takes away, so that nobody waits for it long.
const FORGET_AT_ONCE: u32 = 1000;

macro_rules! kinds {
    ($($name:ident = $word:literal, $meaning:literal;)*) => {
        /// What kind of thing has happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum EventKind {
            $(#[doc = $meaning] $name,)*
        }

        impl EventKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word that stores and operators use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

kinds! {
    Registered = "registered", "An operator, or the first report of its host, has made the agent.";
    Enrolled = "enrolled", "A newcomer has traded an enrolment token for the agent.";
    EnrolledAgain = "enrolled_again", "A newcomer whose answer was lost was given the same agent and a fresh key.";
    Online = "online", "The agent reports for the first time, or again after it was offline.";
    Offline = "offline", "The agent has been silent for too long.";
    VersionChanged = "version_changed", "The agent says that it runs another version of its program.";
    KeyOffered = "key_offered", "The agent is offered a new key; its old one stays good until it uses the new one.";
    KeyRotated = "key_rotated", "The agent has used the key that it was offered, which ended its other keys.";
    KeyUnused = "key_unused", "The agent has not used the key that it was offered for some minutes; both keys stay good.";
    KeysRevoked = "keys_revoked", "An operator has ended every key of the agent; another one is good in their place.";
    Disabled = "disabled", "An operator has shut the agent out.";
    Enabled = "enabled", "An operator has let the agent in again.";
    Decommissioned = "decommissioned", "An operator has sent the agent away for good: its keys have ended and its open work is called off.";
    Uninstalled = "uninstalled", "The agent has removed itself, as it was told to: its keys have ended and its open work is called off.";
    TokenIssued = "token_issued", "An operator has made an enrolment token.";
    TokenRevoked = "token_revoked", "An operator has taken an enrolment token back.";
    WorkQueued = "work_queued", "The agent has work that waits to be handed over.";
    WorkDelivered = "work_delivered", "Work was handed to the agent for the first time.";
    WorkStarted = "work_started", "The agent has begun with its work.";
    WorkEnded = "work_ended", "Work came to its end.";
    BatchOpened = "batch_opened", "An image has opened a batch.";
    BatchClosed = "batch_closed", "A batch takes no more images: it is full or old, the device works for another project, or an operator has closed it.";
    ModelAssigned = "model_assigned", "An operator has said which model the device is to run.";
    ModelReported = "model_reported", "The device says that it runs another model.";
    CloneSuspected = "clone_suspected", "Two hosts seem to report as the one agent in turn.";
}

impl EventKind {
    /// The kind of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the journal: what is seen later has a higher number, and no number is given twice. Some are
    /// left out.
    pub no: i64,
    /// Whose it is.
    pub tenant: No,
    /// The agent that it is about; `None` where it is about none.
    pub agent: Option<No>,
    /// What kind of thing has happened.
    pub kind: EventKind,
    /// Its particulars, which depend on the kind.
    pub detail: Map<String, Value>,
    /// When, by the server's clock.
    pub at: DateTime<Utc>,
}

/// Something that happens, before it has its place in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Whose it is to be.
    pub tenant: No,
    /// The agent that it is about.
    pub agent: Option<No>,
    /// What kind of thing happens.
    pub kind: EventKind,
    /// Its particulars.
    pub detail: Map<String, Value>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Which events to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventQuery {
    /// Those after this number, the earliest of them; the latest that there are if there is none. Either way the
    /// earlier comes first.
    pub after: Option<i64>,
    /// Only those about an agent.
    pub agent: Option<No>,
    /// Only those of a kind.
    pub kind: Option<EventKind>,
    /// How many at most.
    pub limit: u32,
}

impl Default for EventQuery {
    /// The latest hundred.
    fn default() -> Self {
        Self { after: None, agent: None, kind: None, limit: 100 }
    }
}

impl EventQuery {
    /// Whether an event of the tenant is wanted, its place aside.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        self.agent.is_none_or(|agent| event.agent == Some(agent))
            && self.kind.is_none_or(|kind| event.kind == kind)
    }
}

/// Why an agent may have fallen silent, as its last figures have it.
#[must_use]
pub fn probable_cause(last: &Report) -> Option<&'static str> {
    const MIB: f64 = 1024.0 * 1024.0;
    let figure = |name: &str| last.metrics.get(name).copied();
    // Some hosts cannot tell the size of their disk and say 0.
    let disk_known = figure("disk_total_bytes").is_none_or(|total| total > 0.0);
    let free_mb = figure("disk_free_mb").or(figure("disk_free_bytes").map(|bytes| bytes / MIB));
    if disk_known && free_mb.is_some_and(|free| free < 100.0) {
        return Some("disk_pressure");
    }
    let total_mb = figure("total_memory_mb").filter(|total| *total > 0.0);
    let used_percent = figure("memory_percent").or_else(|| Some(figure("memory_mb")? / total_mb? * 100.0));
    match used_percent {
        Some(percent) => (percent > 90.0).then_some("memory_pressure"),
        // A busy processor says little where it is known that memory was at hand.
        None => figure("cpu_percent").is_some_and(|percent| percent > 95.0).then_some("cpu_saturation"),
    }
}

/// A silence that was noticed, and its end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gap {
    /// When the agent reported again.
    pub(crate) until: DateTime<Utc>,
    /// When it had last reported; `None` if it never had.
    pub(crate) since: Option<DateTime<Utc>>,
    /// What it had last said.
    pub(crate) before: Option<Report>,
    /// Why it was away, in its own word.
    pub(crate) reason: Option<String>,
}

fn text(time: DateTime<Utc>) -> Value {
    Value::String(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// The members of an object, without those that are null.
fn members(detail: Value) -> Map<String, Value> {
    match detail {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

impl NewEvent {
    fn about(agent: &Agent, kind: EventKind, detail: Value, at: DateTime<Utc>) -> Self {
        Self { tenant: agent.tenant, agent: Some(agent.no), kind, detail: members(detail), at }
    }

    /// An agent was made, by an operator or by the first report of its host.
    #[must_use]
    pub fn registered(agent: &Agent, at: DateTime<Utc>) -> Self {
        let detail = json!({"name": agent.name, "version": agent.version, "host": agent.parent});
        Self::about(agent, EventKind::Registered, detail, at)
    }

    /// A newcomer has traded the token of this id for an agent.
    #[must_use]
    pub fn enrolled(agent: &Agent, token: &str, again: bool, at: DateTime<Utc>) -> Self {
        let kind = if again { EventKind::EnrolledAgain } else { EventKind::Enrolled };
        let detail = json!({"name": agent.name, "version": agent.version, "token": token});
        Self::about(agent, kind, detail, at)
    }

    /// An agent was seen with another version than `before`. The first that is known of it is no change.
    #[must_use]
    pub fn version_changed(before: Option<&str>, agent: &Agent, at: DateTime<Utc>) -> Option<Self> {
        let before = before.filter(|before| agent.version.as_deref() != Some(*before))?;
        let detail = json!({"from": before, "to": agent.version});
        Some(Self::about(agent, EventKind::VersionChanged, detail, at))
    }

    /// An agent is offered the key of the number that its row says.
    #[must_use]
    pub fn key_offered(agent: &Agent, at: DateTime<Utc>) -> Self {
        Self::about(agent, EventKind::KeyOffered, json!({"rotation": agent.rotation}), at)
    }

    /// An agent has not used the key that it was offered then.
    #[must_use]
    pub fn key_unused(agent: &Agent, rotation: u32, offered: DateTime<Utc>, at: DateTime<Utc>) -> Self {
        let detail = json!({"rotation": rotation, "offered_at": text(offered)});
        Self::about(agent, EventKind::KeyUnused, detail, at)
    }

    /// An agent has used the key that it was offered.
    #[must_use]
    pub fn key_rotated(agent: &Agent, at: DateTime<Utc>) -> Self {
        Self::about(agent, EventKind::KeyRotated, json!({"rotation": agent.rotation}), at)
    }

    /// Every key of an agent has ended and another one was made.
    #[must_use]
    pub fn keys_revoked(agent: &Agent, at: DateTime<Utc>) -> Self {
        Self::about(agent, EventKind::KeysRevoked, json!({"name": agent.name}), at)
    }

    /// An agent stands as its row says, and did not before.
    #[must_use]
    pub fn stands(agent: &Agent, at: DateTime<Utc>) -> Self {
        let kind = match agent.standing() {
            Standing::Active => EventKind::Enabled,
            Standing::Disabled => EventKind::Disabled,
            Standing::Decommissioned => EventKind::Decommissioned,
            Standing::Uninstalled => EventKind::Uninstalled,
        };
        Self::about(agent, kind, json!({"name": agent.name, "version": agent.version}), at)
    }

    /// A token was made.
    #[must_use]
    pub fn token_issued(token: &Token) -> Self {
        let detail = json!({
            "token": token.id,
            "vendor": token.vendor.as_str(),
            "max_uses": token.max_uses,
            "expires_at": token.expires_at.map(text),
        });
        let (kind, at) = (EventKind::TokenIssued, token.created_at);
        Self { tenant: token.tenant, agent: None, kind, detail: members(detail), at }
    }

    /// The token of this id was taken back.
    #[must_use]
    pub fn token_revoked(tenant: No, token: &str, at: DateTime<Utc>) -> Self {
        let detail = members(json!({"token": token}));
        Self { tenant, agent: None, kind: EventKind::TokenRevoked, detail, at }
    }

    /// Work is in another state or execution than `before`, or was made if there is none.
    #[must_use]
    pub fn work(before: Option<(WorkState, u32)>, work: &Work) -> Option<Self> {
        if before == Some((work.state, work.execution_number)) {
            return None;
        }
        let kind = match work.state {
            WorkState::Queued => EventKind::WorkQueued,
            WorkState::Delivered => EventKind::WorkDelivered,
            WorkState::Running => EventKind::WorkStarted,
            WorkState::Succeeded | WorkState::Failed | WorkState::Expired | WorkState::Canceled => {
                EventKind::WorkEnded
            }
        };
        let mut detail =
            members(json!({"work": work.id, "type": work.kind, "execution": work.execution_number}));
        if kind == EventKind::WorkEnded {
            detail.insert("end".to_owned(), json!(work.state.as_str()));
        }
        Some(Self { tenant: work.tenant, agent: Some(work.agent), kind, detail, at: work.updated_at })
    }

    /// A device's image has opened a batch.
    #[must_use]
    pub fn batch_opened(device: &Agent, batch: &str, at: DateTime<Utc>) -> Self {
        Self::about(device, EventKind::BatchOpened, json!({"batch": batch}), at)
    }

    /// A device's batch takes no more images.
    #[must_use]
    pub fn batch_closed(device: &Agent, batch: &Batch, why: WhyClosed, at: DateTime<Utc>) -> Self {
        let detail = json!({"batch": batch.id, "images": batch.images, "why": why.as_str()});
        Self::about(device, EventKind::BatchClosed, detail, at)
    }

    /// A device is to run the model that its row says. Nothing has happened if that is the one of `before`.
    #[must_use]
    pub fn model_assigned(before: Option<&str>, device: &Agent, at: DateTime<Utc>) -> Option<Self> {
        let model = device.desired_model.as_deref().filter(|model| before != Some(*model))?;
        let detail = json!({"from": before, "to": model});
        Some(Self::about(device, EventKind::ModelAssigned, detail, at))
    }

    /// A device says that it runs the model that its row says. Nothing has happened if that is the one of
    /// `before`.
    #[must_use]
    pub fn model_reported(before: Option<&str>, device: &Agent, at: DateTime<Utc>) -> Option<Self> {
        let model = device.current_model.as_deref().filter(|model| before != Some(*model))?;
        let detail = json!({"from": before, "to": model});
        Some(Self::about(device, EventKind::ModelReported, detail, at))
    }

    /// An agent reports again. One that was just started anew was away for what its last figures say.
    pub(crate) fn online(agent: &Agent, gap: &Gap) -> Self {
        let reason = gap.reason.as_deref().unwrap_or("unknown");
        let cause = gap.before.as_ref().filter(|_| reason == "service_restart").and_then(probable_cause);
        let detail = json!({
            "reason": reason,
            "probable_cause": cause,
            "last_seen": gap.since.map(text),
        });
        Self::about(agent, EventKind::Online, detail, gap.until)
    }

    /// An agent has been silent for too long.
    pub(crate) fn offline(
        agent: &Agent,
        last_seen: DateTime<Utc>,
        last: Option<&Report>,
        at: DateTime<Utc>,
    ) -> Self {
        let detail = json!({
            "last_seen": text(last_seen),
            "probable_cause": last.and_then(probable_cause),
            "status": last.and_then(|report| report.status.as_deref()),
            "metrics": last.map(|report| &report.metrics).filter(|metrics| !metrics.is_empty()),
        });
        Self::about(agent, EventKind::Offline, detail, at)
    }

    pub(crate) fn clone_suspected(agent: &Agent, suspicion: &Suspicion, at: DateTime<Utc>) -> Self {
        let detail = json!({"newer": suspicion.newer, "older": suspicion.older});
        Self::about(agent, EventKind::CloneSuspected, detail, at)
    }

    /// Whether it says that an agent is online, or that it no longer is; `None` if it says neither.
    #[must_use]
    pub fn turns_online(&self) -> Option<bool> {
        match self.kind {
            EventKind::Online => Some(true),
            EventKind::Offline => Some(false),
            _ => None,
        }
    }

    /// The number of the offered key of which it says that it is not used; `None` if it says something else.
    #[must_use]
    pub fn unused_rotation(&self) -> Option<u32> {
        let rotation = (self.kind == EventKind::KeyUnused).then(|| self.detail.get("rotation")).flatten();
        u32::try_from(rotation?.as_u64()?).ok()
    }

    /// What it becomes in its place.
    #[must_use]
    pub fn into_event(self, no: i64) -> Event {
        let Self { tenant, agent, kind, detail, at } = self;
        Event { no, tenant, agent, kind, detail, at }
    }
}

impl<S: Store> Core<S> {
    /// Events of a tenant, the earlier first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn events(&self, tenant: No, query: EventQuery) -> Done<Vec<Event>> {
        Ok(self.store.events(tenant, query).await?)
    }

    /// Forgets some of the events that are older than [`Config::keep_events`](crate::Config::keep_events). Says
    /// whether there may be more.
    ///
    /// # Errors
    /// The store fails.
    pub async fn forget_events(&self) -> Result<bool, StoreError> {
        let Ok(keep) = chrono::Duration::from_std(self.config.keep_events) else { return Ok(false) };
        let Some(before) = self.now().checked_sub_signed(keep) else { return Ok(false) };
        Ok(self.store.forget_events(before, FORGET_AT_ONCE).await? >= FORGET_AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn said(metrics: &[(&str, f64)]) -> Report {
        let metrics = metrics.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect();
        Report { status: None, metrics, notes: BTreeMap::new() }
    }

    #[test]
    fn every_word_is_read_as_what_it_was_written_for_and_is_nobody_elses() {
        let words: BTreeSet<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), EventKind::ALL.len());
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.as_str()), Some(*kind));
        }
        assert_eq!(EventKind::parse("Online"), None);
    }

    #[test]
    fn the_cause_is_disk_before_memory_and_processor_only_where_memory_is_unknown() {
        for (metrics, cause) in [
            (&[("disk_free_mb", 99.9), ("memory_percent", 99.0)][..], Some("disk_pressure")),
            (&[("disk_free_mb", 100.0)], None),
            (&[("disk_free_bytes", 0.0), ("disk_total_bytes", 0.0)], None),
            (&[("disk_free_bytes", 1e6), ("disk_total_bytes", 1e12)], Some("disk_pressure")),
            (&[("memory_mb", 91.0), ("total_memory_mb", 100.0)], Some("memory_pressure")),
            (&[("memory_mb", 90.0), ("total_memory_mb", 100.0), ("cpu_percent", 99.0)], None),
            (&[("memory_mb", 91.0), ("cpu_percent", 95.1)], Some("cpu_saturation")),
            (&[("memory_mb", 91.0), ("total_memory_mb", 0.0), ("cpu_percent", 95.0)], None),
            (&[("memory_percent", 90.1)], Some("memory_pressure")),
            (&[("memory_percent", f64::NAN), ("disk_free_mb", f64::NAN)], None),
            (&[], None),
        ] {
            assert_eq!(probable_cause(&said(metrics)), cause, "{metrics:?}");
        }
    }
}
