use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use dashmap::DashMap;

use crate::domain::{Agent, Credential, Kind, No, Vendor};
use crate::keys::Digest;
use crate::lease::Lease;

/// An agent that this process knows: its row and its lease.
#[derive(Debug)]
pub struct AgentRecord {
    agent: RwLock<Arc<Agent>>,
    /// Its liveness.
    pub lease: Lease,
}

impl AgentRecord {
    fn new(agent: Agent, lease: Lease) -> Self {
        Self { agent: RwLock::new(Arc::new(agent)), lease }
    }

    /// The row as it last was.
    #[must_use]
    pub fn agent(&self) -> Arc<Agent> {
        Arc::clone(&self.agent.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, agent: Agent) {
        *self.agent.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(agent);
    }
}

type Name = (No, Vendor, Kind, Box<str>);

/// What this process knows of keys and agents, so that a quiet check-in asks no store. Everything in it comes
/// from the store, and whatever is changed through this process is changed here in the same step.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    keys: DashMap<Digest, Credential>,
    agents: DashMap<No, Arc<AgentRecord>>,
    names: DashMap<Name, No>,
    /// The agents of each host.
    members: DashMap<No, Vec<No>>,
    /// Counts how often keys were forgotten.
    epoch: AtomicU64,
    /// Leases that the next flush has to write.
    renewed: Mutex<Vec<Arc<AgentRecord>>>,
}

impl Registry {
    pub(crate) fn key(&self, digest: &Digest) -> Option<Credential> {
        self.keys.get(digest).map(|credential| *credential)
    }

    /// To be read before the store is asked about a key.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Takes what the store said about a key, unless keys were forgotten since it was asked: then the answer
    /// may be out of date, and caching it would keep an ended key alive.
    pub(crate) fn learn_key(&self, digest: Digest, credential: Credential, asked: u64) {
        self.keys.insert(digest, credential);
        if self.epoch() != asked {
            self.keys.remove(&digest);
        }
    }

    pub(crate) fn put_key(&self, digest: Digest, credential: Credential) {
        self.keys.insert(digest, credential);
    }

    /// Forgets every key of an agent, so that the next use of each is looked up again.
    pub(crate) fn forget_keys(&self, agent: No) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.keys.retain(|_, credential| credential.agent != Some(agent));
    }

    /// Every agent, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<AgentRecord>> {
        self.agents.iter().map(|record| Arc::clone(&record)).collect()
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
        // An agent that has moved is no longer a member of the host that it left.
        for mut other in self.members.iter_mut().filter(|other| *other.key() != host) {
            other.retain(|no| !members.contains(no));
        }
        self.members.insert(host, members);
    }

    /// Notes that a lease has to be written.
    pub(crate) fn renewed(&self, record: Arc<AgentRecord>) {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    /// Takes the leases that have to be written.
    pub(crate) fn take_renewed(&self) -> Vec<Arc<AgentRecord>> {
        std::mem::take(&mut *self.renewed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
