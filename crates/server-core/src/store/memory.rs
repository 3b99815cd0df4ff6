use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::{Catalogue, Directory, Founding, Images, Keys, Leases, Outcome, Restored, StoreError, WorkQueue};
use crate::domain::{
    Agent, BatchLimits, Completed, Completion, Credential, Delivery, Enrolled, Enrolment, HIGHEST_NO,
    HostReport, Hosted, Kind, Model, ModelReport, NewAgent, NewImage, NewToken, NewWork, No, Observation,
    Reconciled, Recorded, Release, Token, Vendor, Work,
};
use crate::keys::{Digest, Foundation};
use crate::lease::LeaseRow;

/// A store that forgets everything when the process ends: for demonstrations and tests.
///
/// Every call holds the one lock from its first look to its last change, which makes it a transaction; and it
/// looks at everything that may refuse before it changes anything, so that a refused call leaves nothing behind.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<State>);

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct State {
    foundation: Option<Foundation>,
    up_until: Option<DateTime<Utc>>,
    agents: BTreeMap<No, Agent>,
    names: HashMap<(No, Vendor, Kind, String), No>,
    /// The agents of each host.
    hosted: HashMap<No, BTreeSet<No>>,
    keys: HashMap<Digest, Credential>,
    tokens: Vec<IssuedToken>,
    leases: HashMap<No, LeaseRow>,
    works: BTreeMap<No, Work>,
    work_ids: HashMap<(No, String), No>,
    /// The work of each agent that has not come to its end.
    open: HashMap<No, BTreeSet<No>>,
    models: HashMap<(No, String), Model>,
    releases: Vec<Release>,
    batches: HashMap<No, Batch>,
    batch_ids: HashSet<String>,
    /// Images by device and storage key, each under the batch that it went into.
    images: HashMap<No, HashMap<String, NewImage>>,
    image_ids: HashSet<String>,
}

#[derive(Debug)]
struct IssuedToken {
    digest: Digest,
    token: Token,
    /// The latest agent made for each identity, and when.
    enrolments: HashMap<String, (No, DateTime<Utc>)>,
}

/// The batch that a device's images go into.
#[derive(Debug)]
struct Batch {
    id: String,
    images: u32,
    opened_at: DateTime<Utc>,
}

impl State {
    fn agent(&self, no: No) -> Outcome<&Agent> {
        self.agents.get(&no).ok_or(StoreError::Missing("agent"))
    }

    fn agent_mut(&mut self, no: No) -> Outcome<&mut Agent> {
        self.agents.get_mut(&no).ok_or(StoreError::Missing("agent"))
    }

    fn named(&self, tenant: No, vendor: Vendor, kind: Kind, id: &str) -> Option<No> {
        self.names.get(&(tenant, vendor, kind, id.to_owned())).copied()
    }

    fn check_parent(&self, tenant: No, parent: Option<No>) -> Outcome<()> {
        let known = |no| self.agents.get(&no).is_some_and(|host| host.tenant == tenant);
        if parent.is_none_or(known) { Ok(()) } else { Err(StoreError::Missing("host")) }
    }

    /// The number after the highest. A number that somebody else has as an id would be refused as an id.
    fn next_agent(&self, agent: &NewAgent) -> No {
        let highest = self.agents.range(..HIGHEST_NO).next_back().map_or(0, |(no, _)| *no);
        let mut no = highest.max(0) + 1;
        while self.agents.contains_key(&no)
            || agent.id.is_none()
                && self.named(agent.tenant, agent.vendor, agent.kind, &no.to_string()).is_some()
        {
            no += 1;
        }
        no
    }

    fn register(&mut self, mut agent: NewAgent) -> Outcome<Agent> {
        let no = agent.no.unwrap_or_else(|| self.next_agent(&agent));
        let key = agent.key.take();
        let agent = agent.into_agent(no);
        if self.agents.contains_key(&no) {
            return Err(StoreError::Taken("number"));
        }
        if self.named(agent.tenant, agent.vendor, agent.kind, &agent.id).is_some() {
            return Err(StoreError::Taken("id"));
        }
        self.check_parent(agent.tenant, agent.parent)?;
        if let Some(digest) = key {
            let bound =
                Credential { tenant: agent.tenant, vendor: agent.vendor, agent: Some(no), candidate: false };
            self.add_key(digest, bound)?;
        }
        self.names.insert((agent.tenant, agent.vendor, agent.kind, agent.id.clone()), no);
        self.put(agent.clone());
        Ok(agent)
    }

    /// Writes a row, and under which host it is found.
    fn put(&mut self, agent: Agent) {
        let before = self.agents.get(&agent.no).and_then(|agent| agent.parent);
        if let Some(host) = before {
            self.hosted.entry(host).or_default().remove(&agent.no);
        }
        if let Some(host) = agent.parent {
            self.hosted.entry(host).or_default().insert(agent.no);
        }
        self.agents.insert(agent.no, agent);
    }

    fn observe(&mut self, no: No, seen: Observation, at: DateTime<Utc>) -> Outcome<Agent> {
        let mut agent = self.agent(no)?.clone();
        self.check_parent(agent.tenant, seen.parent)?;
        seen.apply(&mut agent, at);
        self.put(agent.clone());
        Ok(agent)
    }

    fn hosted_by_key(&self, host: No, key: &str) -> Option<No> {
        let mut on_host = self.hosted.get(&host)?.iter().copied();
        on_host.find(|no| self.agents.get(no).and_then(Agent::hosted_key) == Some(key))
    }

    fn add_key(&mut self, digest: Digest, credential: Credential) -> Outcome<()> {
        if self.keys.contains_key(&digest) {
            return Err(StoreError::Taken("key"));
        }
        self.keys.insert(digest, credential);
        Ok(())
    }

    fn add_work(&mut self, work: NewWork) -> Outcome<Work> {
        if self.agent(work.agent)?.tenant != work.tenant {
            return Err(StoreError::Missing("agent"));
        }
        let name = (work.tenant, work.id.clone());
        if self.work_ids.contains_key(&name) {
            return Err(StoreError::Taken("work"));
        }
        let no = self.works.last_key_value().map_or(0, |(no, _)| *no) + 1;
        let work = work.into_work(no);
        self.work_ids.insert(name, no);
        self.put_work(work.clone());
        Ok(work)
    }

    fn put_work(&mut self, work: Work) {
        let open = self.open.entry(work.agent).or_default();
        if work.state.is_terminal() {
            open.remove(&work.no);
        } else {
            open.insert(work.no);
        }
        self.works.insert(work.no, work);
    }

    /// The open work of an agent, the most urgent first, then the oldest.
    fn open_work(&self, agent: No) -> Vec<Work> {
        let numbers = self.open.get(&agent).into_iter().flatten();
        let mut open: Vec<Work> = numbers.filter_map(|no| self.works.get(no)).cloned().collect();
        open.sort_by_key(|work| (std::cmp::Reverse(work.priority), work.created_at, work.no));
        open
    }
}

impl Founding for MemoryStore {
    async fn found(&self, fresh: Foundation) -> Outcome<(Foundation, bool)> {
        let mut state = self.state();
        let first = state.foundation.is_none();
        Ok((state.foundation.get_or_insert(fresh).clone(), first))
    }

    async fn restore(&self) -> Outcome<Restored> {
        let state = self.state();
        let agents = state
            .agents
            .values()
            .map(|agent| (agent.clone(), state.leases.get(&agent.no).cloned()))
            .collect();
        Ok(Restored { agents, up_until: state.up_until })
    }
}

impl Directory for MemoryStore {
    async fn credential(&self, digest: Digest) -> Outcome<Option<Credential>> {
        Ok(self.state().keys.get(&digest).copied())
    }

    async fn agent(&self, no: No) -> Outcome<Option<Agent>> {
        Ok(self.state().agents.get(&no).cloned())
    }

    async fn agent_named(
        &self,
        tenant: No,
        vendor: Vendor,
        kind: Kind,
        id: String,
    ) -> Outcome<Option<Agent>> {
        let state = self.state();
        let no = state.named(tenant, vendor, kind, &id);
        Ok(no.and_then(|no| state.agents.get(&no)).cloned())
    }

    async fn register(&self, agent: NewAgent) -> Outcome<Agent> {
        self.state().register(agent)
    }

    async fn observe(&self, no: No, seen: Observation, at: DateTime<Utc>) -> Outcome<Agent> {
        self.state().observe(no, seen, at)
    }

    async fn report_host(&self, report: HostReport) -> Outcome<Hosted> {
        let mut state = self.state();
        let known = state.named(report.tenant, Vendor::AgentMc, Kind::Host, &report.fingerprint);
        if report.bound.is_some() && report.bound != known {
            return Ok(Hosted::OtherHost);
        }
        for no in report.agents.iter().filter_map(|agent| agent.no) {
            let agent = state.agents.get(&no).filter(|agent| {
                agent.tenant == report.tenant && agent.vendor == Vendor::AgentMc && agent.kind == Kind::Agent
            });
            let Some(agent) = agent else { return Ok(Hosted::UnknownAgent) };
            if report.bound.is_some() && agent.parent.is_some() && agent.parent != known {
                return Ok(Hosted::OtherAgent);
            }
        }
        state.check_parent(report.tenant, report.host.parent)?;

        let host = match known {
            Some(no) if report.host.changes(state.agent(no)?) => {
                state.observe(no, report.host.clone(), report.at)?.no
            }
            Some(no) => no,
            None => state.register(report.new_host())?.no,
        };
        let mut numbers = Vec::new();
        for agent in &report.agents {
            let Some(no) = agent.no.or_else(|| state.hosted_by_key(host, &agent.key)) else {
                numbers.push(state.register(report.new_agent(agent, host))?.no);
                continue;
            };
            let seen = agent.observation(host);
            if seen.changes(state.agent(no)?) {
                state.observe(no, seen, report.at)?;
            }
            numbers.push(no);
        }
        Ok(Hosted::Taken {
            host: state.agent(host)?.clone(),
            agents: numbers.into_iter().map(|no| state.agent(no).cloned()).collect::<Outcome<_>>()?,
            all: state.hosted.get(&host).into_iter().flatten().copied().collect(),
        })
    }
}

impl Keys for MemoryStore {
    async fn issue_token(&self, token: NewToken) -> Outcome<Token> {
        let mut state = self.state();
        let taken = state.tokens.iter().any(|issued| {
            issued.digest == token.digest
                || (issued.token.tenant, &issued.token.id) == (token.tenant, &token.id)
        });
        if taken {
            return Err(StoreError::Taken("token"));
        }
        let digest = token.digest;
        let token = token.into_token();
        state.tokens.push(IssuedToken { digest, token: token.clone(), enrolments: HashMap::new() });
        Ok(token)
    }

    async fn tokens(&self, tenant: No) -> Outcome<Vec<Token>> {
        let state = self.state();
        let tokens = state.tokens.iter().rev().map(|issued| &issued.token);
        Ok(tokens.filter(|token| token.tenant == tenant).cloned().collect())
    }

    async fn revoke_token(&self, tenant: No, id: String) -> Outcome<bool> {
        let mut state = self.state();
        let mut tokens = state.tokens.iter_mut().map(|issued| &mut issued.token);
        let token = tokens.find(|token| token.tenant == tenant && token.id == id);
        Ok(token.map(|token| token.revoked = true).is_some())
    }

    async fn enroll(&self, mut enrolment: Enrolment) -> Outcome<Enrolled> {
        let mut state = self.state();
        let place = state.tokens.iter().position(|issued| issued.digest == enrolment.token);
        let Some((place, issued)) = place.and_then(|place| Some((place, state.tokens.get(place)?))) else {
            return Ok(Enrolled::Refused);
        };
        if issued.token.vendor != enrolment.agent.vendor || issued.token.revoked {
            return Ok(Enrolled::Refused);
        }
        let earlier = issued.enrolments.get(&enrolment.identity).and_then(|(no, at)| {
            let agent = state.agents.get(no)?;
            enrolment.repeats(*at, agent).then(|| agent.clone())
        });
        if let Some(agent) = earlier {
            if let Some(digest) = enrolment.agent.key {
                state.add_key(
                    digest,
                    Credential {
                        tenant: agent.tenant,
                        vendor: agent.vendor,
                        agent: Some(agent.no),
                        candidate: false,
                    },
                )?;
            }
            return Ok(Enrolled::Again(agent));
        }
        let at = enrolment.agent.at;
        if !issued.token.is_live(at) {
            return Ok(Enrolled::Refused);
        }
        enrolment.agent.tenant = issued.token.tenant;
        let agent = state.register(enrolment.agent)?;
        if let Some(issued) = state.tokens.get_mut(place) {
            issued.token.uses += 1;
            issued.enrolments.insert(enrolment.identity, (agent.no, at));
        }
        Ok(Enrolled::New(agent))
    }

    async fn add_key(&self, digest: Digest, credential: Credential) -> Outcome<()> {
        let mut state = self.state();
        if let Some(no) = credential.agent {
            state.agent(no)?;
        }
        state.add_key(digest, credential)
    }

    async fn offer_key(&self, no: No, rotation: u32, digest: Digest) -> Outcome<Agent> {
        let mut state = self.state();
        let agent = state.agent(no)?;
        if !agent.takes_offer(rotation) {
            return Ok(agent.clone());
        }
        let offered =
            Credential { tenant: agent.tenant, vendor: agent.vendor, agent: Some(no), candidate: true };
        state.add_key(digest, offered)?;
        let agent = state.agent_mut(no)?;
        agent.rotation = rotation;
        agent.rotating = true;
        Ok(agent.clone())
    }

    async fn settle_key(&self, digest: Digest, at: DateTime<Utc>) -> Outcome<Agent> {
        let mut state = self.state();
        let key = *state.keys.get(&digest).ok_or(StoreError::Missing("key"))?;
        let no = key.agent.ok_or(StoreError::Missing("agent"))?;
        let agent = state.agent_mut(no)?;
        agent.settle(key.candidate, at);
        let agent = agent.clone();
        state.keys.retain(|other, credential| {
            *other == digest || credential.agent != Some(no) || (credential.candidate && !key.candidate)
        });
        state.keys.insert(digest, Credential { candidate: false, ..key });
        Ok(agent)
    }
}

impl Leases for MemoryStore {
    async fn flush(&self, leases: Vec<LeaseRow>, now: DateTime<Utc>) -> Outcome<()> {
        let mut state = self.state();
        for lease in leases {
            let late = state.leases.get(&lease.agent).is_some_and(|known| known.last_seen > lease.last_seen);
            if !late && state.agents.contains_key(&lease.agent) {
                state.leases.insert(lease.agent, lease);
            }
        }
        state.up_until = state.up_until.max(Some(now));
        Ok(())
    }
}

impl WorkQueue for MemoryStore {
    async fn queue(&self, work: NewWork) -> Outcome<Work> {
        self.state().add_work(work)
    }

    async fn deliver(&self, agent: No, delivery: Delivery, at: DateTime<Utc>) -> Outcome<Vec<Work>> {
        let mut state = self.state();
        let mut open = state.open_work(agent);
        let handed_over = delivery.hand_over(&mut open, at);
        open.into_iter().for_each(|work| state.put_work(work));
        Ok(handed_over)
    }

    async fn complete(&self, completion: Completion) -> Outcome<Completed> {
        let mut state = self.state();
        let no = state.work_ids.get(&(completion.tenant, completion.work.clone()));
        let Some(work) = no.and_then(|no| state.works.get(no)).cloned() else {
            return Ok(Completed::Unknown);
        };
        let completed = work.complete(completion);
        if let Completed::Now(work) = &completed {
            state.put_work(work.clone());
        }
        Ok(completed)
    }

    async fn reconcile_model(&self, report: ModelReport) -> Outcome<Reconciled> {
        let mut state = self.state();
        let mut agent = state.agent(report.agent)?.clone();
        let mut open = state.open_work(agent.no);
        if let Some(model) = report.reconcile(&mut agent, &mut open) {
            let model = state.models.get(&(agent.tenant, model)).ok_or(StoreError::Missing("model"))?;
            let action = report.action(&agent, model);
            state.add_work(action)?;
        }
        open.into_iter().for_each(|work| state.put_work(work));
        state.put(agent.clone());
        let mut open = state.open_work(agent.no);
        let work = Delivery::All.hand_over(&mut open, report.at);
        open.into_iter().for_each(|work| state.put_work(work));
        Ok(Reconciled { agent, work })
    }

    async fn work(&self, tenant: No, agent: Option<No>, limit: u32) -> Outcome<Vec<Work>> {
        let state = self.state();
        let works = state.works.values().rev();
        let asked_for =
            works.filter(|work| work.tenant == tenant && agent.is_none_or(|agent| work.agent == agent));
        Ok(asked_for.take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect())
    }
}

impl Catalogue for MemoryStore {
    async fn add_model(&self, model: Model) -> Outcome<()> {
        let mut state = self.state();
        let name = (model.tenant, model.id.clone());
        if state.models.contains_key(&name) {
            return Err(StoreError::Taken("model"));
        }
        state.models.insert(name, model);
        Ok(())
    }

    async fn set_desired_model(&self, no: No, model: String, at: DateTime<Utc>) -> Outcome<Agent> {
        let mut state = self.state();
        let name = (state.agent(no)?.tenant, model);
        if !state.models.contains_key(&name) {
            return Err(StoreError::Missing("model"));
        }
        let agent = state.agent_mut(no)?;
        agent.desired_model = Some(name.1);
        agent.updated_at = at;
        Ok(agent.clone())
    }

    async fn add_release(&self, release: Release) -> Outcome<()> {
        self.state().releases.push(release);
        Ok(())
    }

    async fn latest_release(&self, tenant: No, os: String, arch: String) -> Outcome<Option<Release>> {
        let state = self.state();
        let mut latest = state.releases.iter().rev();
        Ok(latest
            .find(|release| release.tenant == tenant && release.os == os && release.arch == arch)
            .cloned())
    }
}

impl Images for MemoryStore {
    async fn record_image(&self, mut image: NewImage, limits: BatchLimits) -> Outcome<Recorded> {
        let mut state = self.state();
        let agent = state.agent(image.agent)?.no;
        let images = state.images.get(&agent);
        if let Some(known) = images.and_then(|images| images.get(&image.storage_key)) {
            return Ok(Recorded::Before { image: known.id.clone(), batch: known.batch.clone() });
        }
        if images.is_some_and(|images| images.len() as u64 >= limits.quota) {
            return Ok(Recorded::Full);
        }
        if state.image_ids.contains(&image.id) {
            return Err(StoreError::Taken("image"));
        }
        match state.batches.get_mut(&agent) {
            Some(batch) if limits.takes_another(batch.images, batch.opened_at, image.at) => {
                batch.images += 1;
                image.batch.clone_from(&batch.id);
            }
            _ => {
                if !state.batch_ids.insert(image.batch.clone()) {
                    return Err(StoreError::Taken("batch"));
                }
                let opened = Batch { id: image.batch.clone(), images: 1, opened_at: image.at };
                state.batches.insert(agent, opened);
            }
        }
        let recorded = Recorded::Now { image: image.id.clone(), batch: image.batch.clone() };
        state.image_ids.insert(image.id.clone());
        state.images.entry(agent).or_default().insert(image.storage_key.clone(), image);
        Ok(recorded)
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryStore;

    async fn fresh() -> Box<MemoryStore> {
        Box::new(MemoryStore::new())
    }

    crate::store_contract!(fresh);
}
