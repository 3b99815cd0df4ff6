use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::{
    Catalogue, Directory, Founding, Images, Journal, Keys, Leases, Outcome, Restored, StoreError, WorkQueue,
};
use crate::domain::{
    Agent, BatchLimits, Credential, Delivery, Enrolled, Enrolment, Execution, Finding, FindingFilter,
    FoundRow, HIGHEST_NO, HandedOver, HostReport, Hosted, Kind, MODEL_UPDATE, Model, ModelReport, Moved,
    NewAgent, NewImage, NewToken, NewWork, No, Observation, Queued, Reconciled, Recorded, Release, Reported,
    Swept, Token, Vendor, Work, WorkReport,
};
use crate::events::{Event, EventQuery, NewEvent};
use crate::keys::{Digest, Foundation};
use crate::lease::{Downtime, LeaseRow};

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
    work_keys: HashMap<(No, String), No>,
    /// The executions of work that were followed by another.
    executions: HashMap<No, Vec<Execution>>,
    findings: Vec<FoundRow>,
    finding_ids: HashSet<(No, String)>,
    models: HashMap<(No, String), Model>,
    releases: Vec<Release>,
    batches: HashMap<No, Batch>,
    batch_ids: HashSet<String>,
    /// Images by device and storage key, each under the batch that it went into.
    images: HashMap<No, HashMap<String, NewImage>>,
    image_ids: HashSet<String>,
    /// Events by number.
    events: BTreeMap<i64, Event>,
    last_event: i64,
    /// The agents whose latest event of that sort says that they are online.
    online: BTreeSet<No>,
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
    /// Writes an event.
    fn tell(&mut self, event: impl Into<Option<NewEvent>>) {
        if let Some(event) = event.into() {
            self.last_event += 1;
            self.events.insert(self.last_event, event.into_event(self.last_event));
        }
    }

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

    fn register_and_tell(&mut self, agent: NewAgent) -> Outcome<Agent> {
        let agent = self.register(agent)?;
        self.tell(NewEvent::registered(&agent, agent.created_at));
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
        let version = agent.version.clone();
        seen.apply(&mut agent, at);
        self.tell(NewEvent::version_changed(version.as_deref(), &agent, at));
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

    fn add_work(&mut self, work: NewWork) -> Outcome<Queued> {
        if self.agent(work.agent)?.tenant != work.tenant {
            return Err(StoreError::Missing("agent"));
        }
        let key = work.key.clone().map(|key| (work.agent, key));
        if let Some(known) = key.as_ref().and_then(|key| self.works.get(self.work_keys.get(key)?)) {
            return Ok(work.meets(known.clone()));
        }
        let name = (work.tenant, work.id.clone());
        if self.work_ids.contains_key(&name) {
            return Err(StoreError::Taken("work"));
        }
        let no = self.works.last_key_value().map_or(0, |(no, _)| *no) + 1;
        let work = work.into_work(no);
        self.work_ids.insert(name, no);
        if let Some(key) = key {
            self.work_keys.insert(key, no);
        }
        self.put_work(work.clone());
        Ok(Queued::Now(work))
    }

    fn put_executions(&mut self, ended: &[Execution]) {
        for execution in ended {
            self.executions.entry(execution.work).or_default().push(execution.clone());
        }
    }

    fn put_findings(&mut self, work: &Work, findings: Vec<Finding>, at: DateTime<Utc>) {
        for finding in findings {
            if self.finding_ids.insert((work.tenant, finding.id.clone())) {
                let no = self.findings.last().map_or(0, |row| row.no) + 1;
                let (tenant, agent, execution) = (work.tenant, work.agent, work.execution_number);
                let work = work.id.clone();
                self.findings.push(FoundRow { no, tenant, agent, work, execution, finding, at });
            }
        }
    }

    fn work_named(&self, tenant: No, id: String) -> Option<&Work> {
        self.works.get(self.work_ids.get(&(tenant, id))?)
    }

    /// Writes what has happened to work, and returns what to answer.
    fn put_moved(&mut self, moved: Moved) -> Reported {
        self.put_executions(&moved.ended);
        if let Some(work) = moved.stored {
            self.put_work(work);
        }
        moved.outcome
    }

    /// Hands over the open work of an agent.
    fn hand_over(&mut self, agent: No, delivery: Delivery, at: DateTime<Utc>) -> HandedOver {
        let mut open = self.open_work(agent);
        let handed_over = delivery.hand_over(&mut open, at);
        open.into_iter().for_each(|work| self.put_work(work));
        self.put_executions(&handed_over.ended);
        handed_over
    }

    fn put_work(&mut self, work: Work) {
        let before = self.works.get(&work.no).map(|work| (work.state, work.execution_number));
        self.tell(NewEvent::work(before, &work));
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
        Ok(Restored { agents, up_until: state.up_until, online: state.online.clone() })
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
        self.state().register_and_tell(agent)
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
            None => state.register_and_tell(report.new_host())?.no,
        };
        let mut numbers = Vec::new();
        for agent in &report.agents {
            let Some(no) = agent.no.or_else(|| state.hosted_by_key(host, &agent.key)) else {
                numbers.push(state.register_and_tell(report.new_agent(agent, host))?.no);
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
        state.tell(NewEvent::token_issued(&token));
        state.tokens.push(IssuedToken { digest, token: token.clone(), enrolments: HashMap::new() });
        Ok(token)
    }

    async fn tokens(&self, tenant: No) -> Outcome<Vec<Token>> {
        let state = self.state();
        let tokens = state.tokens.iter().rev().map(|issued| &issued.token);
        Ok(tokens.filter(|token| token.tenant == tenant).cloned().collect())
    }

    async fn revoke_token(&self, tenant: No, id: String, at: DateTime<Utc>) -> Outcome<bool> {
        let mut state = self.state();
        let mut tokens = state.tokens.iter_mut().map(|issued| &mut issued.token);
        let Some(token) = tokens.find(|token| token.tenant == tenant && token.id == id) else {
            return Ok(false);
        };
        if !std::mem::replace(&mut token.revoked, true) {
            state.tell(NewEvent::token_revoked(tenant, &id, at));
        }
        Ok(true)
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
        let (token, at) = (issued.token.id.clone(), enrolment.agent.at);
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
            state.tell(NewEvent::enrolled(&agent, &token, true, at));
            return Ok(Enrolled::Again(agent));
        }
        if !issued.token.is_live(at) {
            return Ok(Enrolled::Refused);
        }
        enrolment.agent.tenant = issued.token.tenant;
        let agent = state.register(enrolment.agent)?;
        if let Some(issued) = state.tokens.get_mut(place) {
            issued.token.uses += 1;
            issued.enrolments.insert(enrolment.identity, (agent.no, at));
        }
        state.tell(NewEvent::enrolled(&agent, &token, false, at));
        Ok(Enrolled::New(agent))
    }

    async fn add_key(&self, digest: Digest, credential: Credential) -> Outcome<()> {
        let mut state = self.state();
        if let Some(no) = credential.agent {
            state.agent(no)?;
        }
        state.add_key(digest, credential)
    }

    async fn offer_key(&self, no: No, rotation: u32, digest: Digest, at: DateTime<Utc>) -> Outcome<Agent> {
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
        let agent = agent.clone();
        state.tell(NewEvent::key_offered(&agent, at));
        Ok(agent)
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
        if key.candidate {
            state.tell(NewEvent::key_rotated(&agent, at));
        }
        Ok(agent)
    }
}

impl Leases for MemoryStore {
    async fn flush(&self, leases: Vec<LeaseRow>, events: Vec<NewEvent>, now: DateTime<Utc>) -> Outcome<()> {
        let mut state = self.state();
        for lease in leases {
            let late = state.leases.get(&lease.agent).is_some_and(|known| known.last_seen > lease.last_seen);
            if !late && state.agents.contains_key(&lease.agent) {
                state.leases.insert(lease.agent, lease);
            }
        }
        for event in events {
            let known = event.agent.filter(|no| state.agents.contains_key(no));
            let turns = match (event.turns_online(), known) {
                (None, _) => true,
                (Some(true), Some(no)) => state.online.insert(no),
                (Some(false), Some(no)) => state.online.remove(&no),
                (Some(_), None) => false,
            };
            state.tell(turns.then_some(event));
        }
        state.up_until = state.up_until.max(Some(now));
        Ok(())
    }
}

impl WorkQueue for MemoryStore {
    async fn queue(&self, work: NewWork) -> Outcome<Queued> {
        self.state().add_work(work)
    }

    async fn deliver(&self, agent: No, delivery: Delivery, at: DateTime<Utc>) -> Outcome<HandedOver> {
        Ok(self.state().hand_over(agent, delivery, at))
    }

    async fn report_work(&self, report: WorkReport) -> Outcome<Reported> {
        let mut state = self.state();
        let Some(work) = state.work_named(report.tenant, report.work.clone()).cloned() else {
            return Ok(Reported::Unknown);
        };
        let earlier = state.executions.get(&work.no).map_or(&[][..], Vec::as_slice);
        let moved = work.report(earlier, &report);
        let reported = state.put_moved(moved);
        if let Reported::Now(work) = &reported {
            state.put_findings(work, report.findings, report.at);
        }
        Ok(reported)
    }

    async fn cancel_work(&self, tenant: No, id: String, at: DateTime<Utc>) -> Outcome<Reported> {
        let mut state = self.state();
        let Some(work) = state.work_named(tenant, id).cloned() else { return Ok(Reported::Unknown) };
        Ok(state.put_moved(work.cancel(at)))
    }

    async fn sweep_work(&self, at: DateTime<Utc>, limit: u32) -> Outcome<Swept> {
        let mut state = self.state();
        let open = state.open.values().flatten().filter_map(|no| state.works.get(no));
        let mut due: Vec<_> = open.filter_map(|work| Some((work.due_since(at)?, work.no))).collect();
        due.sort_unstable();
        let mut swept = Swept::default();
        for (_, no) in due.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            let Some(mut work) = state.works.get(&no).cloned() else { continue };
            let ended = work.look(at);
            swept.note(&work);
            state.put_work(work);
            state.put_executions(ended.as_slice());
        }
        Ok(swept)
    }

    async fn excuse(&self, downtime: Downtime) -> Outcome<()> {
        let mut state = self.state();
        let late: Vec<_> = state.open.values().flatten().copied().collect();
        for no in late {
            if let Some(work) = state.works.get_mut(&no) {
                work.excuse(downtime);
            }
        }
        state.up_until = state.up_until.max(Some(downtime.to));
        Ok(())
    }

    async fn work_named(&self, tenant: No, id: String) -> Outcome<Option<(Work, Vec<Execution>)>> {
        let state = self.state();
        let Some(work) = state.work_named(tenant, id) else { return Ok(None) };
        let earlier = state.executions.get(&work.no).cloned().unwrap_or_default();
        Ok(Some((work.clone(), earlier)))
    }

    async fn findings(&self, tenant: No, filter: FindingFilter) -> Outcome<Vec<FoundRow>> {
        let state = self.state();
        let rows = state.findings.iter().rev().filter(|row| row.tenant == tenant && filter.asks_for(row));
        Ok(rows.take(usize::try_from(filter.limit).unwrap_or(usize::MAX)).cloned().collect())
    }

    async fn reconcile_model(&self, report: ModelReport) -> Outcome<Reconciled> {
        let mut state = self.state();
        let mut agent = state.agent(report.agent)?.clone();
        let before = agent.current_model.clone();
        let mut open = state.open_work(agent.no);
        let wanted = report.reconcile(&mut agent, &mut open);
        let gave_up = |work: &&Work| work.agent == agent.no && work.kind == MODEL_UPDATE;
        let last = wanted.is_some().then(|| state.works.values().rev().find(gave_up)).flatten();
        if let Some(model) = wanted.filter(|_| !last.is_some_and(|action| agent.gave_up(action))) {
            let model = state.models.get(&(agent.tenant, model)).ok_or(StoreError::Missing("model"))?;
            let action = report.action(&agent, model);
            state.add_work(action)?;
        }
        state.tell(NewEvent::model_reported(before.as_deref(), &agent, report.at));
        open.into_iter().for_each(|work| state.put_work(work));
        state.put(agent.clone());
        let handed_over = state.hand_over(agent.no, Delivery::All, report.at);
        Ok(Reconciled { agent, handed_over })
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
        let before = agent.desired_model.replace(name.1);
        agent.desired_at = Some(at);
        agent.updated_at = at;
        let agent = agent.clone();
        state.tell(NewEvent::model_assigned(before.as_deref(), &agent, at));
        Ok(agent)
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
        let device = state.agent(image.agent)?.clone();
        let agent = device.no;
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
                if let Some(Batch { id, images, .. }) = state.batches.insert(agent, opened) {
                    state.tell(NewEvent::batch_closed(&device, &id, images, &limits, image.at));
                }
                state.tell(NewEvent::batch_opened(&device, &image.batch, image.at));
            }
        }
        let recorded = Recorded::Now { image: image.id.clone(), batch: image.batch.clone() };
        state.image_ids.insert(image.id.clone());
        state.images.entry(agent).or_default().insert(image.storage_key.clone(), image);
        Ok(recorded)
    }
}

impl Journal for MemoryStore {
    async fn events(&self, tenant: No, query: EventQuery) -> Outcome<Vec<Event>> {
        let state = self.state();
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let wanted = |event: &&Event| event.tenant == tenant && query.wants(event);
        let Some(after) = query.after else {
            let mut latest: Vec<_> =
                state.events.values().rev().filter(wanted).take(limit).cloned().collect();
            latest.reverse();
            return Ok(latest);
        };
        let later = state.events.range((Bound::Excluded(after), Bound::Unbounded));
        Ok(later.map(|(_, event)| event).filter(wanted).take(limit).cloned().collect())
    }

    async fn forget_events(&self, before: DateTime<Utc>, limit: u32) -> Outcome<u32> {
        let mut state = self.state();
        let mut forgotten = 0;
        state.events.retain(|_, event| {
            let forget = event.at < before && forgotten < limit;
            forgotten += u32::from(forget);
            !forget
        });
        Ok(forgotten)
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
