//! A world from its first millisecond to its last.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fleetwire_client::achilles::{Achilles, Applicant};
use fleetwire_client::acusight::Acusight;
use fleetwire_client::agentmc::AgentMc;
use fleetwire_client::zstack::{Report as ZStackReport, ZStack};
use fleetwire_protocol::achilles::{Arch, EnrollmentToken, Os, SystemMetrics};
use fleetwire_protocol::acusight::{Checkin, CheckinRequest, DeviceInfo, DeviceKey, ProvisioningToken};
use fleetwire_protocol::agentmc::{ApiKey, Heartbeat as HostHeartbeat, HostFingerprint};
use fleetwire_protocol::zstack::{AgentPath, BearerToken, Heartbeat, HeartbeatRequest};
use fleetwire_protocol::{Call, achilles, acusight, agentmc, codec, zstack};
use fleetwire_server_core::Config;
use fleetwire_server_core::domain::{Kind, No, Standing, Vendor, WorkState};
use fleetwire_server_core::lease::Liveness;
use fleetwire_server_core::operator::{Done, Registration, WorkWish};
use serde_json::{Map, Value, json};

use super::chance::VirtualClock;
use super::hub::{Happening, Hub};
use super::laws::{Law, Person, Watch};
use super::life::{Life, Outcome as Heard};
use super::roles::{fingerprint, host};
use super::scenario::{Scenario, What};
use super::server::{Server, at_once, base};
use super::{Defect, Sample, Series, TENANTS, World};
use crate::dice::Dice;

/// The server's default.
const FLUSH: u64 = 1000;
/// How often somebody looks how everybody is: so many times in a world, and not more than once a minute.
const LOOKS: u64 = 240;
/// How long an action of a device waits: its dialect has no word for its end.
const ACTION_TTL: Duration = Duration::from_secs(7200);
/// How soon an operator tries again who has found no server.
const OPERATOR_RETRY: u64 = 5000;

/// An agent of any vendor.
enum Anybody {
    Acusight(Box<Life<Acusight>>),
    ZStack(Box<Life<ZStack>>),
    AgentMc(Box<Life<AgentMc>>),
    Achilles(Box<Life<Achilles>>),
}

macro_rules! each {
    ($anybody:expr, $life:ident => $done:expr) => {
        match $anybody {
            Anybody::Acusight($life) => $done,
            Anybody::ZStack($life) => $done,
            Anybody::AgentMc($life) => $done,
            Anybody::Achilles($life) => $done,
        }
    };
}

/// A key that an operator has made for an agent, for those who try it where it is no good.
struct Carried {
    person: usize,
    key: String,
}

struct Run<'a, F> {
    scenario: &'a Scenario,
    hub: Hub<'a, F>,
    agents: Vec<Anybody>,
    carried: Vec<Carried>,
    /// How many reasons there are for the server to be down.
    down: u32,
    /// Who is shut out by which fault.
    shut_out: Vec<BTreeSet<usize>>,
    series: Series,
    /// How many pieces of work were wished for.
    pieces: u64,
}

pub(super) fn run<F: Defect>(scenario: &Scenario, defect: &mut F) -> World {
    let clock = Arc::new(VirtualClock::default());
    let server = Server::new(Arc::clone(&clock), scenario.seed, Config::default());
    let watch = Watch::new(FLUSH);
    let hub = Hub::new(server, clock, watch, Dice::new(scenario.seed, 1), defect);
    let mut run = Run {
        scenario,
        hub,
        agents: Vec::new(),
        carried: Vec::new(),
        down: 0,
        shut_out: vec![BTreeSet::new(); scenario.faults.len()],
        series: Series::default(),
        pieces: 0,
    };
    if let Err(why) = run.begin() {
        run.hub.watch.breaks(Law::CommittedStays, 0, None, why);
    }
    run.live();
    run.finish()
}

impl<F: Defect> Run<'_, F> {
    /// The server starts, and everybody is registered or given a token.
    fn begin(&mut self) -> Result<(), String> {
        self.hub.server.start().map_err(|error| error.to_string())?;
        let fleet = self.scenario.fleet;
        let mut tokens = Vec::new();
        for tenant in TENANTS {
            let core = self.hub.server.core().ok_or("the server does not start")?;
            for vendor in [Vendor::Acusight, Vendor::Achilles] {
                let (_, token) = settled(core.issue_token(tenant, vendor, None, None))?;
                tokens.push(((tenant, vendor), token));
            }
            let key = settled(core.issue_tenant_key(tenant, Vendor::ZStack))?;
            tokens.push(((tenant, Vendor::ZStack), key));
        }
        let token = |tenant: No, vendor: Vendor| {
            let found = tokens.iter().find(|(whose, _)| *whose == (tenant, vendor));
            found.map(|(_, token)| token.clone()).unwrap_or_default()
        };
        for (place, vendor) in Vendor::ALL.into_iter().enumerate() {
            let numbers = fleet.of(vendor);
            for number in numbers.first..numbers.first.saturating_add(numbers.count) {
                let tenant = TENANTS[usize::from(number % 2 == 1)];
                let name = format!("{vendor}-{number}");
                let unique = (place as u64) << 32 | u64::from(number);
                self.settle(vendor, number, tenant, name, unique, &token(tenant, vendor))?;
            }
        }
        for (place, fault) in self.scenario.faults.iter().enumerate() {
            self.hub.plan(u64::from(fault.at) * 1000, Happening::Begin(place));
        }
        for place in 0..self.agents.len() {
            self.hub.plan(0, Happening::Start(place));
        }
        self.hub.plan(FLUSH, Happening::Flush);
        self.hub.plan(self.look_every(), Happening::Look);
        Ok(())
    }

    fn look_every(&self) -> u64 {
        // Not in step with minutes.
        (u64::from(self.scenario.end()) * 1000 / LOOKS).max(60_000) + 333
    }

    /// Makes an agent.
    fn settle(
        &mut self,
        vendor: Vendor,
        number: u32,
        tenant: No,
        name: String,
        unique: u64,
        token: &str,
    ) -> Result<(), String> {
        let place = self.agents.len();
        let id = if vendor == Vendor::AgentMc { fingerprint(&name) } else { name.clone() };
        let dice = Dice::new(self.scenario.seed, unique + 2);
        self.hub.watch.people.push(Person::new(unique, vendor, tenant, name));
        let agent = match vendor {
            Vendor::Acusight => {
                let report = CheckinRequest::new(id.as_str());
                let dialect = if number % 3 == 2 {
                    let device = DeviceInfo::new(id.as_str());
                    Acusight::newcomer(base::<acusight::Acusight>(), ProvisioningToken::from(token), device)
                } else {
                    let key = self.register(place, Kind::Agent, Some(&id))?;
                    Acusight::new(base::<acusight::Acusight>(), id.as_str(), key)
                };
                Anybody::Acusight(Box::new(Life::new(place, dialect, report.into(), dice)))
            }
            Vendor::ZStack => {
                let report = HeartbeatRequest::new("1.2.3", 86_400, 12.5, 35.2);
                let url = base::<zstack::ZStack>();
                let dialect = if number % 3 == 2 {
                    ZStack::announcing(url, BearerToken::from(token), id.as_str(), id.as_str(), "log")
                } else {
                    let key = self.register(place, Kind::Agent, Some(&id))?;
                    ZStack::new(url, id.as_str(), key)
                };
                Anybody::ZStack(Box::new(Life::new(place, dialect, ZStackReport::from(report), dice)))
            }
            Vendor::AgentMc => {
                let key = self.register(place, Kind::Host, Some(&id))?;
                self.register(place, Kind::Agent, None)?;
                let member = self.hub.watch.people[place].rows.last().copied().unwrap_or_default();
                let dialect = AgentMc::new(base::<agentmc::AgentMc>(), key);
                Anybody::AgentMc(Box::new(Life::new(place, dialect, host(&id, member), dice)))
            }
            Vendor::Achilles => {
                let applicant = Applicant::new(id.as_str(), "1.0.0");
                let report = SystemMetrics::new(id.as_str(), Os::Linux, Arch::Amd64, 86_400, 5, 128, 9000);
                let token = EnrollmentToken::from(token);
                let dialect = Achilles::new(base::<achilles::Achilles>(), token, applicant);
                Anybody::Achilles(Box::new(Life::new(place, dialect, report, dice)))
            }
        };
        self.agents.push(agent);
        Ok(())
    }

    fn register(&mut self, place: usize, kind: Kind, id: Option<&str>) -> Result<String, String> {
        let Person { tenant, vendor, .. } = self.hub.watch.people[place];
        let core = self.hub.server.core().ok_or("the server is not there")?;
        let wish = Registration {
            vendor,
            kind,
            no: None,
            id: id.map(ToOwned::to_owned),
            // The agent on a host is called so in its report.
            name: id.is_none().then(|| "Jarvis".to_owned()),
            facts: Map::new(),
            labels: std::collections::BTreeMap::new(),
        };
        let (view, key) = settled(core.register(tenant, wish))?;
        self.hub.watch.owns(place, view.agent.no);
        if let Some(id) = id {
            self.hub.watch.people[place].id = Some(id.to_owned());
            self.carried.push(Carried { person: place, key: key.clone() });
        }
        Ok(key)
    }

    fn live(&mut self) {
        let end = u64::from(self.scenario.end()) * 1000;
        while self.hub.watch.broken.is_none()
            && let Some(happening) = self.hub.next(end)
        {
            let Self { hub, agents, .. } = self;
            match happening {
                Happening::Wake(place, stamp) => each!(&mut agents[place], life => life.wake(stamp, hub)),
                Happening::Start(place) => each!(&mut agents[place], life => life.start(hub)),
                Happening::Resume(place) => each!(&mut agents[place], life => life.resume(hub)),
                Happening::Finish(place, boot) => each!(&mut agents[place], life => life.finish(boot, hub)),
                Happening::Arrive(letter) => hub.arrive(letter),
                Happening::Answer(letter) => {
                    if let Some((place, ticket, outcome)) = hub.answer(letter) {
                        let outcome: Heard = outcome;
                        each!(&mut agents[place], life => life.hear(ticket, outcome, hub));
                    }
                }
                Happening::Begin(fault) => self.befall(fault),
                Happening::Over(fault) => self.relieve(fault),
                Happening::Flush => self.flush(),
                Happening::Look => self.look(),
            }
        }
    }

    fn flush(&mut self) {
        self.hub.flush();
        self.hub.plan(self.hub.now + FLUSH, Happening::Flush);
        let Some(core) = self.hub.server.core() else { return };
        if !matches!(at_once(core.sweep_work()), Some(Ok(_))) {
            self.hub.watch.breaks(Law::NoPanic, self.hub.now, None, "a sweep fails".to_owned());
        }
    }

    /// Those whom a fault befalls.
    fn befallen(&self, fault: usize) -> Vec<usize> {
        let who = self.scenario.faults[fault].who;
        let people = self.hub.watch.people.iter().enumerate();
        people.filter(|(_, person)| who.holds(person.number)).map(|(place, _)| place).collect()
    }

    fn befall(&mut self, place: usize) {
        let fault = &self.scenario.faults[place];
        let span = u64::from(fault.what.seconds()) * 1000;
        let over = self.hub.now + span;
        match fault.what {
            What::ServerDown { orderly, .. } => {
                if orderly {
                    self.hub.flush();
                }
                if self.hub.server.core().is_some() {
                    self.hub.watch.server_died(orderly);
                    self.hub.server.die();
                }
                self.down += 1;
                self.hub.plan(over, Happening::Over(place));
            }
            What::Unreachable { .. }
            | What::Refused { .. }
            | What::RequestsLost { .. }
            | What::AnswersLost { .. }
            | What::Slow { .. }
            | What::Duplicated { .. } => {
                self.hub.line.push((place, fault.clone()));
                self.hub.plan(over, Happening::Over(place));
            }
            What::ClockSet { by } => {
                for agent in self.befallen(place) {
                    each!(&mut self.agents[agent], life => life.set_clock(i64::from(by) * 1000));
                }
            }
            What::Suspended { .. } => {
                for agent in self.befallen(place) {
                    each!(&mut self.agents[agent], life => life.suspend(span, &mut self.hub));
                }
            }
            What::Crashed { steps, .. } => {
                for agent in self.befallen(place) {
                    each!(&mut self.agents[agent], life => life.doom(steps, span, &mut self.hub));
                }
            }
            What::KeysRotated => self.rotate_keys(place),
            What::WorkQueued { takes } => self.queue_work(place, takes),
            What::WorkCanceled => self.cancel_work(place),
            What::Disabled { .. } => {
                for agent in self.befallen(place) {
                    if self.stand(agent, Standing::Disabled) {
                        self.hub.watch.people[agent].shut_out += 1;
                        self.shut_out[place].insert(agent);
                    }
                }
                self.hub.plan(over, Happening::Over(place));
            }
            What::Trespass => self.trespass(place),
        }
    }

    fn relieve(&mut self, place: usize) {
        match self.scenario.faults[place].what {
            What::ServerDown { .. } => {
                self.down -= 1;
                if self.down == 0 {
                    self.return_of_the_server();
                }
            }
            What::Disabled { .. } => {
                if self.hub.server.core().is_none() {
                    return self.hub.plan(self.hub.now + OPERATOR_RETRY, Happening::Over(place));
                }
                for agent in std::mem::take(&mut self.shut_out[place]) {
                    let person = &mut self.hub.watch.people[agent];
                    person.shut_out -= 1;
                    if person.shut_out == 0 {
                        person.let_in = self.hub.now;
                        self.stand(agent, Standing::Active);
                    }
                }
            }
            _ => self.hub.line.retain(|(known, _)| *known != place),
        }
    }

    fn return_of_the_server(&mut self) {
        let now = self.hub.now;
        if let Err(error) = self.hub.server.start() {
            return self.hub.watch.breaks(Law::CommittedStays, now, None, format!("does not start: {error}"));
        }
        self.hub.watch.server.started = now;
        self.hub.counts.returns += 1;
        self.series.returns.push(u32::try_from(now / 1000).unwrap_or(u32::MAX));
        let Some(core) = self.hub.server.core() else { return };
        for tenant in TENANTS {
            let rows: BTreeSet<_> = core.agents(tenant).iter().map(|view| view.agent.no).collect();
            let people = self.hub.watch.people.iter().enumerate();
            let lost = people
                .filter(|(_, person)| person.tenant == tenant)
                .find(|(_, person)| person.rows.iter().any(|no| !rows.contains(no)))
                .map(|(place, _)| place);
            if let Some(place) = lost {
                let how = "is not known any more after a restart".to_owned();
                return self.hub.watch.breaks(Law::CommittedStays, now, Some(place), how);
            }
        }
        // What has come to its end is looked up again, of the latest work.
        let ended = self.hub.watch.work.iter().rev().filter(|(_, piece)| piece.state.is_terminal()).take(256);
        for ((tenant, id), piece) in ended {
            let found = at_once(core.work_named(*tenant, id.clone())).and_then(Result::ok);
            if found.is_none_or(|view| view.work.state != piece.state) {
                let (how, person) =
                    (format!("{id} was at its end, and is not after a restart"), piece.person);
                return self.hub.watch.breaks(Law::CommittedStays, now, Some(person), how);
            }
        }
    }

    fn stand(&mut self, place: usize, standing: Standing) -> bool {
        let person = &self.hub.watch.people[place];
        let (Some(core), Some(id)) = (self.hub.server.core(), &person.id) else { return false };
        settled(core.stand(person.tenant, person.vendor, id, standing)).is_ok()
    }

    fn rotate_keys(&mut self, fault: usize) {
        for place in self.befallen(fault) {
            let person = &self.hub.watch.people[place];
            let (Some(core), Some(id)) = (self.hub.server.core(), &person.id) else { continue };
            if person.vendor == Vendor::Achilles {
                // One that is known and has not left can be offered a key.
                if let Err(why) = settled(core.rotate_key(person.tenant, person.vendor, id)) {
                    self.hub.watch.breaks(Law::KeyWorks, self.hub.now, Some(place), why);
                }
            }
        }
    }

    fn queue_work(&mut self, fault: usize, takes: u32) {
        for place in self.befallen(fault) {
            let person = &self.hub.watch.people[place];
            let (Some(core), Some(id)) = (self.hub.server.core(), &person.id) else { continue };
            self.pieces += 1;
            let wish = |kind: &str, payload: Value| {
                let Value::Object(payload) = payload else { return WorkWish::default() };
                WorkWish { kind: kind.to_owned(), payload, ..WorkWish::default() }
            };
            let wish = match person.vendor {
                // What no agent is told of is an operator's own work.
                Vendor::ZStack => continue,
                Vendor::Acusight => WorkWish { ttl: Some(ACTION_TTL), ..wish("deploy", json!({})) },
                Vendor::AgentMc => {
                    wish("agent.provision", json!({"agent_name": "J", "runtime_key": "jarvis"}))
                }
                Vendor::Achilles if self.pieces.is_multiple_of(2) => {
                    wish("execute_command", json!({"command": "true", "execution_timeout": 300}))
                }
                Vendor::Achilles => {
                    wish("execute_test", json!({"test_uuid": "t-1", "execution_timeout": 300}))
                }
            };
            match settled(core.queue_work(person.tenant, person.vendor, id, wish)) {
                Ok((view, _)) => {
                    let number = (person.vendor != Vendor::Achilles).then(|| view.work.no.to_string());
                    self.hub.takes.insert(view.work.id.clone(), u64::from(takes) * 1000);
                    self.hub.watch.queued(place, view.work.id, number);
                    self.hub.counts.work += 1;
                }
                Err(why) => self.hub.watch.breaks(Law::Understood, self.hub.now, Some(place), why),
            }
        }
    }

    fn cancel_work(&mut self, fault: usize) {
        let befallen: BTreeSet<_> = self.befallen(fault).into_iter().collect();
        let Some(core) = self.hub.server.core() else { return };
        let open = self.hub.watch.work.iter().filter(|(_, piece)| !piece.state.is_terminal());
        for ((tenant, id), _) in open.filter(|(_, piece)| befallen.contains(&piece.person)) {
            // It may have ended since the journal was read.
            let _ = settled(core.cancel_work(*tenant, id.clone()));
        }
    }

    /// Agents try their keys on those of the other tenant.
    fn trespass(&mut self, fault: usize) {
        let who = self.scenario.faults[fault].who;
        for carried in &self.carried {
            let person = &self.hub.watch.people[carried.person];
            let other = self.carried.iter().map(|other| &self.hub.watch.people[other.person]).find(|other| {
                other.tenant != person.tenant && other.vendor == person.vendor && !other.rows.is_empty()
            });
            let Some(other) = other.filter(|_| who.holds(person.number)) else { continue };
            let (now, Some(id)) = (super::chance::time(0), &other.id) else { continue };
            let request = match person.vendor {
                Vendor::Acusight => {
                    let call = Call::<Checkin>::new(CheckinRequest::new(id.as_str()));
                    let key = DeviceKey::from(carried.key.as_str());
                    codec::encode(&base::<acusight::Acusight>(), &key, now, &call)
                }
                Vendor::ZStack => {
                    let body = HeartbeatRequest::new("9.9.9", 1, 1, 1);
                    let call = Call::<Heartbeat>::with(AgentPath::new(id.as_str()), body);
                    let key = BearerToken::from(carried.key.as_str());
                    codec::encode(&base::<zstack::ZStack>(), &key, now, &call)
                }
                Vendor::AgentMc => {
                    let member = other.rows.last().copied().unwrap_or_default();
                    let report = host(person.id.as_deref().unwrap_or_default(), member);
                    let call = Call::<HostHeartbeat>::with(HostFingerprint::default(), report);
                    let key = ApiKey::from(carried.key.as_str());
                    codec::encode(&base::<agentmc::AgentMc>(), &key, now, &call)
                }
                Vendor::Achilles => continue,
            };
            let Ok(request) = request else { continue };
            let Some(core) = self.hub.server.core() else { return };
            let seen = |tenant| core.find_agent(tenant, other.vendor, id).map(|view| view.last_seen).ok();
            let (before, stranger) = (seen(other.tenant), seen(person.tenant).is_some());
            let Some(served) = self.hub.server.serve(&request) else { return };
            self.hub.counts.trespasses += 1;
            let Some(core) = self.hub.server.core() else { return };
            let after = core.find_agent(other.tenant, other.vendor, id).map(|view| view.last_seen).ok();
            let status = served.response.status();
            if stranger || status.is_success() || before != after {
                let how = format!("its key is answered with {status} for {id}, which is another tenant's");
                return self.hub.watch.breaks(Law::TenantsApart, self.hub.now, Some(carried.person), how);
            }
        }
    }

    /// Looks how everybody is.
    fn look(&mut self) {
        let now = self.hub.now;
        self.hub.plan(now + self.look_every(), Happening::Look);
        let mut sample = Sample {
            second: u32::try_from(now / 1000).unwrap_or(u32::MAX),
            server: self.hub.server.core().is_some(),
            work: WorkState::ALL
                .map(WorkState::as_str)
                .into_iter()
                .map(str::to_owned)
                .zip(self.hub.watch.states)
                .collect(),
            ..Sample::default()
        };
        if let Some(core) = self.hub.server.core() {
            let owners: std::collections::BTreeMap<No, usize> = self
                .hub
                .watch
                .people
                .iter()
                .enumerate()
                .flat_map(|(place, person)| person.rows.iter().map(move |no| (*no, place)))
                .collect();
            let mut broken = None;
            for tenant in TENANTS {
                for view in core.agents(tenant) {
                    match view.liveness {
                        Liveness::Online => sample.online += 1,
                        Liveness::Delayed => sample.delayed += 1,
                        Liveness::Offline => sample.offline += 1,
                        Liveness::Never => sample.never += 1,
                    }
                    let Some(place) = owners.get(&view.agent.no).copied() else { continue };
                    if self.hub.watch.people[place].tenant != tenant {
                        let how = "is listed for another tenant".to_owned();
                        broken = Some((Law::TenantsApart, place, how));
                    }
                    if view.liveness == Liveness::Offline
                        && let Some(how) =
                            self.hub.watch.is_wronged(place, self.hub.watch.is_told_online(place), now)
                    {
                        broken = Some((Law::InTimeIsOnline, place, how));
                    }
                }
            }
            if let Some((law, place, how)) = broken {
                self.hub.watch.breaks(law, now, Some(place), how);
            }
            self.hub.watch.look_for_silence(now);
        }
        self.series.samples.push(sample);
    }

    /// Requests of all agents in a usual second.
    fn usual(&self) -> f64 {
        let of = |vendor: Vendor, per: f64| f64::from(self.scenario.fleet.of(vendor).count) / per;
        of(Vendor::Acusight, 30.0)
            + of(Vendor::ZStack, 60.0)
            + of(Vendor::AgentMc, 60.0)
            + of(Vendor::Achilles, 60.0)
            + of(Vendor::Achilles, 30.0)
    }

    fn finish(mut self) -> World {
        let now = self.hub.now;
        let usual = self.usual();
        // Where there are few agents chance alone makes a second twice as busy: seven times what it usually differs by.
        let bound = (2.0 * usual).max(usual + 7.0 * usual.sqrt() + 4.0);
        let busiest = self.hub.usual.iter().enumerate().max_by_key(|(_, count)| **count);
        let busiest = busiest.map(|(second, count)| (second as u64, *count)).unwrap_or_default();
        if self.hub.watch.broken.is_none() && f64::from(busiest.1) > bound {
            let how = format!("{} requests in one second, where {usual:.0} are usual", busiest.1);
            self.hub.watch.breaks(Law::NoStampede, busiest.0 * 1000, None, how);
        }
        let is_over = self.hub.watch.broken.is_none() && self.scenario.settle > 0;
        if is_over && self.down == 0 {
            self.hub.flush();
            self.look();
            for (place, anybody) in self.agents.iter().enumerate() {
                let ails = each!(anybody, life => life.ails());
                let offline =
                    || (!self.hub.watch.is_told_online(place)).then(|| "is not told online".to_owned());
                if let Some(how) = ails.or_else(offline) {
                    self.hub.watch.breaks(Law::EverybodyReturns, now, Some(place), how);
                    break;
                }
            }
        }
        self.series.sent = self.hub.sent;
        self.hub.counts.events = self.hub.watch.events;
        World {
            broken: self.hub.watch.broken.clone(),
            digest: self.hub.watch.digest(),
            seconds: now / 1000,
            usual,
            busiest: busiest.1,
            counts: self.hub.counts,
            series: self.series,
        }
    }
}

/// What an operator's wish came to.
fn settled<T>(wish: impl Future<Output = Done<T>>) -> Result<T, String> {
    at_once(wish).ok_or("the store has the core wait")?.map_err(|error| error.to_string())
}
