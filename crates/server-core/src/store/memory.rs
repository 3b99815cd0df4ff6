use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::{Bound, RangeInclusive};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

mod catalogue;
mod images;

use super::{
    Directory, Founding, Journal, Keys, Leases, Numbers, Offer, Outcome, Restored, RestoredAgent, StoreError,
    Taker, WorkQueue,
};
use crate::domain::Batch;
use crate::domain::{
    Agent, Announced, Asked, Binary, CommandUpdate, Credential, Delivery, Enrolled, Enrolment, Execution,
    Finding, FindingFilter, FoundRow, HIGHEST_NO, HandedOver, HostReport, Hosted, Instructions, Kind,
    MODEL_UPDATE, Model, ModelReport, Moved, NewAgent, NewImage, NewToken, NewWork, No, Observation, Queued,
    Reconciled, Release, Reported, SigningKey, Standing, Swept, Token, Vendor, Work, WorkFilter, WorkReport,
};
use crate::events::{Event, EventQuery, NewEvent};
use crate::keys::{Digest, Foundation};
use crate::lease::{Downtime, LeaseRow, Sample};

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
    /// How many agents each tenant has.
    sizes: HashMap<No, u64>,
    names: HashMap<(No, Vendor, Kind, String), No>,
    /// The agents of each host.
    hosted: HashMap<No, BTreeSet<No>>,
    keys: HashMap<Digest, Credential>,
    tokens: Vec<IssuedToken>,
    leases: HashMap<No, LeaseRow>,
    /// Reports by agent and place.
    history: HashMap<No, BTreeMap<u32, Sample>>,
    /// When the keys were offered that agents have, and whether it was told that one is not used.
    offers: HashMap<No, (Offer, bool)>,
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
    /// Files to work by, of a tenant and of its agents.
    instructions: HashMap<(No, Option<No>), Instructions>,
    releases: Vec<Release>,
    last_release: No,
    binaries: BTreeMap<(No, String), Binary>,
    signing_keys: Vec<SigningKey>,
    batches: BTreeMap<No, Batch>,
    batch_ids: HashMap<String, No>,
    /// The batch of each device that takes images.
    open_batches: HashMap<No, No>,
    /// Images by number, each with the batch that it went into.
    images: BTreeMap<No, NewImage>,
    /// Images by device and storage key.
    image_keys: HashMap<No, HashMap<String, No>>,
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

impl State {
    /// Writes an event.
    fn tell(&mut self, event: impl Into<Option<NewEvent>>) {
        if let Some(event) = event.into() {
            self.last_event += 1;
            self.events.insert(self.last_event, event.into_event(self.last_event));
        }
    }

    /// Notes that it is told of an offered key that it is not used. Says whether that is still to be told.
    fn notes_unused(&mut self, no: No, rotation: u32) -> bool {
        let waits = self.agents.get(&no).is_some_and(|agent| agent.rotating && agent.rotation == rotation);
        let told = self.offers.get_mut(&no).map(|(_, told)| told);
        waits && told.is_some_and(|told| !std::mem::replace(told, true))
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
        *self.sizes.entry(agent.tenant).or_default() += 1;
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

    fn stand(&mut self, no: No, standing: Standing, at: DateTime<Utc>) -> Outcome<Agent> {
        let mut agent = self.agent(no)?.clone();
        if agent.stand(standing, at) {
            self.tell(NewEvent::stands(&agent, at));
            if standing.is_final() {
                self.keys.retain(|_, credential| credential.agent != Some(no));
                for work in self.open_work(no) {
                    self.put_moved(work.cancel(at));
                }
            }
            self.put(agent.clone());
        }
        Ok(agent)
    }

    /// Whether the tenant of a host may have another agent.
    fn has_room(&self, report: &HostReport) -> bool {
        report.limits.has_room(self.sizes.get(&report.tenant).copied().unwrap_or(0))
    }

    /// Takes what a host says of a command that it was given.
    fn tell_command(&mut self, report: &HostReport, host: No, update: &CommandUpdate) -> Reported {
        let work = self.works.get(&update.no).filter(|work| work.tenant == report.tenant).cloned();
        let Some(work) = work else { return Reported::Unknown };
        let word = report.word_of(host, &work, update);
        let earlier = self.executions.get(&work.no).map_or(&[][..], Vec::as_slice);
        let moved = work.report(earlier, &word);
        self.put_moved(moved)
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

    fn add_key_of(&mut self, agent: &Agent, digest: Option<Digest>) -> Outcome<()> {
        let bound = Credential {
            tenant: agent.tenant,
            vendor: agent.vendor,
            agent: Some(agent.no),
            candidate: false,
        };
        digest.map_or(Ok(()), |digest| self.add_key(digest, bound))
    }

    /// The agent that has the id of one to be made.
    fn known_by_id(&self, agent: &NewAgent) -> Option<Agent> {
        let no = self.named(agent.tenant, agent.vendor, agent.kind, agent.id.as_deref()?)?;
        self.agents.get(&no).cloned()
    }

    /// Whether a newcomer takes over the agent of its id.
    fn may_take_over(&self, enrolment: &Enrolment, known: &Agent) -> bool {
        let enrolments = self.tokens.iter().flat_map(|issued| issued.enrolments.values());
        let latest = enrolments.filter(|(no, _)| *no == known.no).map(|(_, at)| *at).max();
        latest.is_some_and(|at| enrolment.may_take_over(at, known))
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

    fn ask(&mut self, work: NewWork, most: u32) -> Outcome<Asked> {
        let open = self.open.get(&work.agent);
        let last = open.and_then(BTreeSet::last).and_then(|no| self.works.get(no));
        // One of another tenant's agent is none of this wish's.
        if let Some(last) = last.filter(|last| last.tenant == work.tenant && work.repeats(last)) {
            return Ok(Asked::Waiting(last.clone()));
        }
        if open.is_some_and(|open| open.len() as u64 >= u64::from(most)) {
            return Ok(Asked::Full);
        }
        Ok(match self.add_work(work)? {
            Queued::Now(work) => Asked::Now(work),
            Queued::Before(work) | Queued::Conflict(work) => Asked::Waiting(work),
        })
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
        if first {
            let seed = fresh.signing;
            state.signing_keys.push(SigningKey { no: 1, seed, created_at: None, retired_at: None });
        }
        Ok((state.foundation.get_or_insert(fresh).clone(), first))
    }

    async fn restore(&self) -> Outcome<Restored> {
        let state = self.state();
        let waits = |offer: &Offer| state.agents.get(&offer.agent).is_some_and(|agent| agent.rotating);
        let offers = state.offers.values().filter(|(offer, told)| !told && waits(offer));
        let offers = offers.map(|(offer, _)| *offer).collect();
        let (count, keys) = (state.agents.len(), || state.agents.keys().copied());
        let ends = keys().next().zip(keys().next_back());
        let numbers = ends.zip(keys().nth(count.saturating_sub(1) / 2));
        let numbers = numbers.map(|((lowest, highest), middle)| Numbers { count, lowest, middle, highest });
        Ok(Restored { numbers, up_until: state.up_until, offers })
    }

    async fn restore_agents(&self, numbers: RangeInclusive<No>, take: Taker) -> Outcome<()> {
        let state = self.state();
        // A map takes a range that is the wrong way round for a mistake.
        if numbers.is_empty() {
            return Ok(());
        }
        let restored = state.agents.range(numbers).map(|(no, agent)| RestoredAgent {
            agent: agent.clone(),
            lease: state.leases.get(no).cloned(),
            online: state.online.contains(no),
            works: state.open.get(no).is_some_and(|open| !open.is_empty()),
        });
        restored.for_each(take);
        Ok(())
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

    async fn announce(&self, agent: NewAgent, most: u64) -> Outcome<Announced> {
        let mut state = self.state();
        let id = agent.id.as_deref();
        let known = id.and_then(|id| state.named(agent.tenant, agent.vendor, agent.kind, id));
        let Some(no) = known else {
            if state.sizes.get(&agent.tenant).is_some_and(|size| *size >= most) {
                return Ok(Announced::Full);
            }
            return Ok(Announced::New(state.register_and_tell(agent)?));
        };
        let (row, seen) = (state.agent(no)?, agent.observation());
        if row.disabled || !seen.changes(row) {
            return Ok(Announced::Known(row.clone()));
        }
        Ok(Announced::Known(state.observe(no, seen, agent.at)?))
    }

    async fn observe(&self, no: No, seen: Observation, at: DateTime<Utc>) -> Outcome<Agent> {
        self.state().observe(no, seen, at)
    }

    async fn stand(&self, no: No, standing: Standing, at: DateTime<Utc>) -> Outcome<Agent> {
        self.state().stand(no, standing, at)
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
        if known.is_none() && !state.has_room(&report) {
            return Ok(Hosted::Full);
        }

        let host = match known {
            Some(no) if report.host.changes(state.agent(no)?) => {
                state.observe(no, report.host.clone(), report.at)?.no
            }
            Some(no) => no,
            None => state.register_and_tell(report.new_host())?.no,
        };
        let mut numbers = Vec::new();
        for agent in &report.agents {
            let known = agent.no.or_else(|| state.hosted_by_key(host, &agent.key));
            let is_here = match known {
                Some(no) => state.agent(no)?.parent == Some(host),
                None => false,
            };
            let on_host = state.hosted.get(&host).map_or(0, BTreeSet::len);
            let is_left_out = !is_here
                && (!report.limits.has_room_on_host(on_host) || known.is_none() && !state.has_room(&report));
            if is_left_out {
                numbers.push(None);
                continue;
            }
            let Some(no) = known else {
                numbers.push(Some(state.register_and_tell(report.new_agent(agent, host))?.no));
                continue;
            };
            let seen = agent.observation(host);
            if seen.changes(state.agent(no)?) {
                state.observe(no, seen, report.at)?;
            }
            numbers.push(Some(no));
        }
        let told = report.updates.iter().map(|update| state.tell_command(&report, host, update)).collect();
        let handed_over = match report.commands {
            true => state.hand_over(host, Delivery::All, report.at),
            false => HandedOver::default(),
        };
        let agent = |no: Option<No>| no.map(|no| state.agent(no).cloned()).transpose();
        Ok(Hosted::Taken {
            host: state.agent(host)?.clone(),
            agents: numbers.into_iter().map(agent).collect::<Outcome<_>>()?,
            all: state.hosted.get(&host).into_iter().flatten().copied().collect(),
            told,
            handed_over,
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
        let at = enrolment.agent.at;
        let refusal = issued.token.refusal(enrolment.agent.vendor, at);
        if issued.token.vendor != enrolment.agent.vendor || issued.token.revoked {
            return Ok(Enrolled::Refused);
        }
        let token = issued.token.id.clone();
        let earlier = issued.enrolments.get(&enrolment.identity).and_then(|(no, at)| {
            let agent = state.agents.get(no)?;
            enrolment.repeats(*at, agent).then(|| agent.clone())
        });
        if let Some(agent) = earlier {
            state.add_key_of(&agent, enrolment.agent.key)?;
            state.tell(NewEvent::enrolled(&agent, &token, true, at));
            return Ok(Enrolled::Again(agent));
        }
        if let Some(refusal) = refusal {
            return Ok(refusal);
        }
        enrolment.agent.tenant = issued.token.tenant;
        let agent = match state.known_by_id(&enrolment.agent) {
            Some(known) if !state.may_take_over(&enrolment, &known) => return Ok(Enrolled::Exists),
            Some(known) => {
                state.add_key_of(&known, enrolment.agent.key)?;
                known
            }
            None => state.register(enrolment.agent)?,
        };
        if let Some(issued) = state.tokens.get_mut(place) {
            issued.token.uses = issued.token.uses.saturating_add(1);
            issued.token.last_used_at = Some(at);
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
        state.offers.insert(no, (Offer { agent: no, rotation, at }, false));
        state.tell(NewEvent::key_offered(&agent, at));
        Ok(agent)
    }

    async fn replace_keys(&self, no: No, digest: Digest, at: DateTime<Utc>) -> Outcome<Agent> {
        let mut state = self.state();
        let mut agent = state.agent(no)?.clone();
        if agent.departed.is_some() {
            return Ok(agent);
        }
        let bound =
            Credential { tenant: agent.tenant, vendor: agent.vendor, agent: Some(no), candidate: false };
        state.add_key(digest, bound)?;
        state.keys.retain(|known, credential| *known == digest || credential.agent != Some(no));
        agent.end_keys();
        agent.updated_at = at;
        state.tell(NewEvent::keys_revoked(&agent, at));
        state.put(agent.clone());
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
                if let (Some(place), Some(report)) = (lease.place, &lease.report) {
                    let sample = Sample { at: lease.last_seen, report: report.report() };
                    state.history.entry(lease.agent).or_default().insert(place, sample);
                }
                state.leases.insert(lease.agent, LeaseRow { place: None, ..lease });
            }
        }
        for event in events {
            let known = event.agent.filter(|no| state.agents.contains_key(no));
            if let Some(rotation) = event.unused_rotation()
                && !known.is_some_and(|no| state.notes_unused(no, rotation))
            {
                continue;
            }
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

    async fn history(&self, agent: No, since: DateTime<Utc>) -> Outcome<Vec<Sample>> {
        let state = self.state();
        let samples = state.history.get(&agent).into_iter().flat_map(BTreeMap::values);
        let mut samples: Vec<_> = samples.filter(|sample| sample.at >= since).cloned().collect();
        samples.sort_by_key(|sample| sample.at);
        Ok(samples)
    }
}

impl WorkQueue for MemoryStore {
    async fn queue(&self, work: NewWork) -> Outcome<Queued> {
        self.state().add_work(work)
    }

    async fn ask(&self, work: NewWork, most: u32) -> Outcome<Asked> {
        self.state().ask(work, most)
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
            if state.agent(work.agent)?.has_left_by(work) {
                state.stand(work.agent, Standing::Uninstalled, report.at)?;
            }
        }
        Ok(reported)
    }

    async fn take_work(&self, tenant: No, id: String, at: DateTime<Utc>) -> Outcome<Reported> {
        let mut state = self.state();
        let Some(work) = state.work_named(tenant, id).cloned() else { return Ok(Reported::Unknown) };
        Ok(state.put_moved(work.take_up(at)))
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

    async fn give_up_work(&self, agents: Vec<No>, at: DateTime<Utc>) -> Outcome<Swept> {
        let mut state = self.state();
        let mut swept = Swept::default();
        for work in agents.into_iter().flat_map(|agent| state.open_work(agent)).collect::<Vec<_>>() {
            let mut given_up = work.clone();
            let ended = given_up.give_up(at);
            if given_up != work {
                swept.note(&given_up);
                state.put_work(given_up);
                state.put_executions(ended.as_slice());
            }
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

    async fn work(&self, tenant: No, filter: WorkFilter) -> Outcome<Vec<Work>> {
        let state = self.state();
        let of_vendor = |work: &Work| {
            let agent = state.agents.get(&work.agent);
            filter.vendor.is_none_or(|vendor| agent.is_some_and(|agent| agent.vendor == vendor))
        };
        let works = state.works.values().rev();
        let asked_for =
            works.filter(|work| work.tenant == tenant && filter.asks_for(work) && of_vendor(work));
        Ok(asked_for.take(usize::try_from(filter.limit).unwrap_or(usize::MAX)).cloned().collect())
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
