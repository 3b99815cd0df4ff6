use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use dashmap::DashMap;

use crate::domain::{Agent, Credential, Kind, No, Vendor};
use crate::events::NewEvent;
use crate::keys::Digest;
use crate::lease::Lease;
use crate::rate::{Meter, Rate};
use crate::sightings::Sightings;
use crate::store::Offer;

/// An agent that this process knows: its row and its lease.
#[derive(Debug)]
pub struct AgentRecord {
    agent: RwLock<Arc<Agent>>,
    /// Its liveness.
    pub lease: Lease,
    /// The hosts that it was last seen on.
    pub(crate) sightings: Sightings,
}

impl AgentRecord {
    fn new(agent: Agent, lease: Lease) -> Self {
        Self { agent: RwLock::new(Arc::new(agent)), lease, sightings: Sightings::default() }
    }

    /// The row as it last was.
    #[must_use]
    pub fn agent(&self) -> Arc<Agent> {
        Arc::clone(&self.agent.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a row as the store gave it. Two answers of the store may overtake each other; what only ever goes
    /// forward is kept where it is further on, or an offered key would be forgotten here until a restart.
    fn set(&self, mut agent: Agent) {
        let mut known = self.agent.write().unwrap_or_else(PoisonError::into_inner);
        agent.activated |= known.activated;
        let progress = |agent: &Agent| (agent.rotation, !agent.rotating);
        if progress(&agent) < progress(&known) {
            agent.rotation = known.rotation;
            agent.rotating = known.rotating;
        }
        if known.departed.is_some() || agent.turns < known.turns {
            agent.disabled = known.disabled;
            agent.departed = known.departed;
            agent.turns = known.turns;
        }
        *known = Arc::new(agent);
    }
}

#[derive(Debug)]
struct KnownKey {
    credential: Credential,
    meter: Meter,
}

type Name = (No, Vendor, Kind, Box<str>);

/// What this process knows of keys and agents, so that a quiet check-in asks no store. Everything in it comes
/// from the store, and whatever is changed through this process is changed here in the same step.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    keys: DashMap<Digest, KnownKey>,
    /// The keys known of each agent, so that they can be forgotten without a walk through all.
    bound: DashMap<No, Vec<Digest>>,
    agents: DashMap<No, Arc<AgentRecord>>,
    names: DashMap<Name, No>,
    /// The agents of each host.
    members: DashMap<No, Vec<No>>,
    /// Counts how often keys were forgotten.
    epoch: AtomicU64,
    /// Leases that the next flush has to write.
    renewed: Mutex<Vec<Arc<AgentRecord>>>,
    /// Events that the next flush has to write.
    noted: Mutex<Vec<NewEvent>>,
    /// Keys that were offered and that nobody has looked after yet, by their agents.
    offers: Mutex<BTreeMap<No, Offer>>,
}

impl Registry {
    pub(crate) fn key(&self, digest: &Digest) -> Option<Credential> {
        self.keys.get(digest).map(|known| known.credential)
    }

    /// Counts a use of a key; says how long to wait if it was one too many.
    pub(crate) fn meter(&self, digest: &Digest, now: DateTime<Utc>, rate: Rate) -> Result<(), Duration> {
        self.keys.get(digest).map_or(Ok(()), |known| known.meter.take(now, rate))
    }

    /// To be read before the store is asked about a key.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Takes what the store said about a key, unless keys were forgotten since it was asked: then the answer
    /// may be out of date, and caching it would keep an ended key alive.
    pub(crate) fn learn_key(&self, digest: Digest, credential: Credential, asked: u64) {
        if let Some(no) = credential.agent {
            let mut bound = self.bound.entry(no).or_default();
            if !bound.contains(&digest) {
                bound.push(digest);
            }
        }
        self.keys.insert(digest, KnownKey { credential, meter: Meter::default() });
        if self.epoch() != asked {
            self.keys.remove(&digest);
        }
    }

    /// Forgets every key of an agent, so that the next use of each is looked up again.
    pub(crate) fn forget_keys(&self, agent: No) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        for digest in self.bound.remove(&agent).map(|(_, digests)| digests).unwrap_or_default() {
            self.keys.remove(&digest);
        }
    }

    /// Every agent, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<AgentRecord>> {
        self.agents.iter().map(|record| Arc::clone(&record)).collect()
    }

    /// Agents after a number, in no order.
    pub(crate) fn all_after(&self, after: No) -> Vec<(No, Arc<AgentRecord>)> {
        let agents = self.agents.iter().filter(|agent| *agent.key() > after);
        agents.map(|agent| (*agent.key(), Arc::clone(&agent))).collect()
    }

    pub(crate) fn agent(&self, no: No) -> Option<Arc<AgentRecord>> {
        self.agents.get(&no).map(|record| Arc::clone(&record))
    }

    pub(crate) fn named(&self, tenant: No, vendor: Vendor, kind: Kind, id: &str) -> Option<Arc<AgentRecord>> {
        let no = *self.names.get(&(tenant, vendor, kind, Box::from(id)))?;
        self.agent(no)
    }

    /// Takes an agent's row as it now stands. A lease that is known already is kept.
    pub(crate) fn put(&self, agent: Agent) -> Arc<AgentRecord> {
        self.put_with(agent, Lease::default)
    }

    /// As [`put`](Self::put), with the lease to begin with if none is known.
    pub(crate) fn put_with(&self, agent: Agent, lease: impl FnOnce() -> Lease) -> Arc<AgentRecord> {
        let no = agent.no;
        let name = (agent.tenant, agent.vendor, agent.kind, Box::from(agent.id.as_str()));
        let record = match self.agents.entry(no) {
            dashmap::Entry::Occupied(known) => {
                known.get().set(agent);
                Arc::clone(known.get())
            }
            dashmap::Entry::Vacant(vacant) => {
                let record = Arc::new(AgentRecord::new(agent, lease()));
                vacant.insert(Arc::clone(&record));
                record
            }
        };
        self.names.insert(name, no);
        record
    }

    /// The agents of a host, if they are known.
    pub(crate) fn members(&self, host: No) -> Option<Vec<No>> {
        self.members.get(&host).map(|members| members.clone())
    }

    pub(crate) fn set_members(&self, host: No, members: Vec<No>) {
        self.members.insert(host, members);
    }

    /// Takes an agent's row; if it has moved, the host that it left has it no longer.
    pub(crate) fn put_member(&self, agent: Agent) {
        let left = self.agent(agent.no).and_then(|known| known.agent().parent);
        if let Some(left) = left.filter(|left| Some(*left) != agent.parent)
            && let Some(mut members) = self.members.get_mut(&left)
        {
            members.retain(|no| *no != agent.no);
        }
        self.put(agent);
    }

    /// Notes that a lease has to be written.
    pub(crate) fn renewed(&self, record: Arc<AgentRecord>) {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    /// Agents that the journal has as online and that have not reported after `before`.
    pub(crate) fn silent_since(&self, before: DateTime<Utc>) -> Vec<Arc<AgentRecord>> {
        let silent = |record: &AgentRecord| {
            record.lease.is_online() && record.lease.last_seen().is_some_and(|seen| seen <= before)
        };
        self.agents.iter().filter(|record| silent(record)).map(|record| Arc::clone(&record)).collect()
    }

    /// Agents of a vendor of which nothing was heard after `before` and that were not given up since, at most `limit`.
    pub(crate) fn lost_since(
        &self,
        vendor: Vendor,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Vec<Arc<AgentRecord>> {
        let lost = |record: &AgentRecord| record.lease.is_lost(before) && record.agent().vendor == vendor;
        let agents = self.agents.iter().filter(|record| lost(record));
        agents.take(limit).map(|record| Arc::clone(&record)).collect()
    }

    /// Notes that a key was offered. Said again of the same key, its first time counts.
    pub(crate) fn offered(&self, offer: Offer) {
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = offers.entry(offer.agent).or_insert(offer);
        if known.rotation < offer.rotation {
            *known = offer;
        }
    }

    /// Takes the offers of keys that were made by a time.
    pub(crate) fn take_offers_until(&self, before: DateTime<Utc>) -> Vec<Offer> {
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        let due: Vec<_> = offers.values().filter(|offer| offer.at <= before).copied().collect();
        offers.retain(|_, offer| offer.at > before);
        due
    }

    /// Notes an event for the next flush.
    pub(crate) fn note(&self, event: NewEvent) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Takes the events that have to be written.
    pub(crate) fn take_noted(&self) -> Vec<NewEvent> {
        std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts events back that could not be written, before those that came later.
    pub(crate) fn put_noted_back(&self, mut events: Vec<NewEvent>) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        events.append(&mut noted);
        *noted = events;
    }

    /// Takes the leases that have to be written.
    pub(crate) fn take_renewed(&self) -> Vec<Arc<AgentRecord>> {
        std::mem::take(&mut *self.renewed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::{DateTime, Utc};
    use serde_json::Map;

    use super::*;
    use crate::domain::{NewAgent, Standing};
    use crate::lease::Report;

    fn agent(no: No) -> Agent {
        let new = NewAgent {
            tenant: 1,
            vendor: Vendor::Achilles,
            kind: Kind::Agent,
            no: None,
            id: Some(format!("a-{no}")),
            parent: None,
            name: "ws".to_owned(),
            version: None,
            facts: Map::new(),
            labels: BTreeMap::new(),
            key: None,
            at: DateTime::<Utc>::UNIX_EPOCH,
        };
        new.into_agent(no)
    }

    fn key_of(agent: Option<No>) -> Credential {
        Credential { tenant: 1, vendor: Vendor::Achilles, agent, candidate: false }
    }

    #[test]
    fn an_answer_that_is_older_than_a_forgetting_is_not_kept() {
        let registry = Registry::default();
        let digest = Digest::of("key");
        let asked = registry.epoch();
        registry.forget_keys(7);
        registry.learn_key(digest, key_of(Some(7)), asked);
        assert_eq!(registry.key(&digest), None);
        registry.learn_key(digest, key_of(Some(7)), registry.epoch());
        assert_eq!(registry.key(&digest), Some(key_of(Some(7))));
    }

    #[test]
    fn forgetting_an_agents_keys_leaves_all_others() {
        let registry = Registry::default();
        let keys = [("old", Some(7)), ("new", Some(7)), ("other", Some(8)), ("tenant", None)];
        for (key, agent) in keys {
            registry.learn_key(Digest::of(key), key_of(agent), registry.epoch());
        }
        registry.forget_keys(7);
        let kept = keys.map(|(key, _)| registry.key(&Digest::of(key)).is_some());
        assert_eq!(kept, [false, false, true, true]);
    }

    #[test]
    fn an_agent_is_found_by_its_whole_name_only() {
        let registry = Registry::default();
        registry.put(agent(7));
        let found = |tenant, vendor, kind, id| registry.named(tenant, vendor, kind, id).is_some();
        assert!(found(1, Vendor::Achilles, Kind::Agent, "a-7"));
        assert!(!found(2, Vendor::Achilles, Kind::Agent, "a-7"));
        assert!(!found(1, Vendor::ZStack, Kind::Agent, "a-7"));
        assert!(!found(1, Vendor::Achilles, Kind::Host, "a-7"));
        assert!(!found(1, Vendor::Achilles, Kind::Agent, "a-8"));
    }

    #[test]
    fn a_changed_row_keeps_its_lease() {
        let registry = Registry::default();
        let record = registry.put(agent(7));
        record.lease.renew(DateTime::from_timestamp(5, 0).unwrap(), Report::default());
        let again = registry.put_with(Agent { name: "renamed".to_owned(), ..agent(7) }, || unreachable!());
        assert!(Arc::ptr_eq(&record, &again));
        assert_eq!(record.agent().name, "renamed");
        assert!(record.lease.last_seen().is_some());
        assert_eq!(registry.all().len(), 1);
    }

    #[test]
    fn a_row_that_comes_late_takes_back_no_offer_and_no_sign_in() {
        let registry = Registry::default();
        let row = |rotation, rotating, activated| Agent { rotation, rotating, activated, ..agent(7) };
        let record = registry.put(row(0, false, false));
        let keys = || {
            let agent = record.agent();
            (agent.rotation, agent.rotating, agent.activated)
        };
        registry.put(row(0, false, true));
        registry.put(row(1, true, true));
        registry.put(row(0, false, false));
        assert_eq!(keys(), (1, true, true), "an offer is not lost");
        registry.put(row(1, false, true));
        registry.put(row(1, true, true));
        assert_eq!(keys(), (1, false, true), "an offer that was taken is not made again");
        registry.put(row(2, true, true));
        assert_eq!(keys(), (2, true, true), "the next one is made");
    }

    #[test]
    fn a_row_that_comes_late_lets_nobody_in_again() {
        let registry = Registry::default();
        let row = |turns, disabled, departed| Agent { turns, disabled, departed, ..agent(7) };
        let record = registry.put(row(0, false, None));
        let stands = || {
            let agent = record.agent();
            (agent.standing(), agent.disabled)
        };
        registry.put(row(1, true, None));
        registry.put(row(0, false, None));
        assert_eq!(stands(), (Standing::Disabled, true));
        registry.put(row(2, false, None));
        assert_eq!(stands(), (Standing::Active, false), "an operator has let it in");
        registry.put(row(3, true, Some(Standing::Uninstalled)));
        registry.put(row(9, false, None));
        assert_eq!(stands(), (Standing::Uninstalled, true), "nothing leads back");
    }

    #[test]
    fn an_agent_is_lost_once_until_it_is_heard_again() {
        let registry = Registry::default();
        let record = registry.put(agent(7));
        let at = |seconds: i64| DateTime::from_timestamp(1_774_103_400 + seconds, 0).unwrap();
        let lost = |vendor, seconds| registry.lost_since(vendor, at(seconds), 9).len();
        record.lease.hear(at(0));
        assert_eq!((lost(Vendor::Achilles, 0), lost(Vendor::Achilles, 1)), (0, 1));
        assert_eq!(lost(Vendor::ZStack, 1), 0);
        assert!(record.lease.give_up(true), "nobody has before");
        assert_eq!(lost(Vendor::Achilles, 1), 0);
        record.lease.hear(at(5));
        assert_eq!((lost(Vendor::Achilles, 5), lost(Vendor::Achilles, 6)), (0, 1));
    }

    #[test]
    fn an_agent_that_moved_is_no_member_of_the_host_it_left() {
        let registry = Registry::default();
        let on = |host| Agent { parent: Some(host), ..agent(2) };
        registry.put_member(on(100));
        registry.set_members(100, vec![1, 2, 3]);
        registry.put_member(on(200));
        registry.set_members(200, vec![2, 4]);
        assert_eq!(registry.members(100), Some(vec![1, 3]));
        assert_eq!(registry.members(200), Some(vec![2, 4]));
        assert_eq!(registry.members(300), None);
    }

    #[test]
    fn what_was_renewed_is_taken_once() {
        let registry = Registry::default();
        let record = registry.put(agent(7));
        registry.renewed(record);
        assert_eq!(registry.take_renewed().len(), 1);
        assert!(registry.take_renewed().is_empty());
    }
}
