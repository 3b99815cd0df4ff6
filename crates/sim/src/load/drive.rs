//! The load itself: who is due sends, what comes back is heard, and figures are made of it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use fleetwire_protocol::wire::Timestamp;

use super::engine::{
    self, Answer, Counts, Due, Failure, Latencies, Observer, Pacing, Plan, Request, Run, Snapshot, Source,
    Tally, cpu,
};
use super::enrol::{hint, refused};
use super::fleet::{self, Moment, OPERATIONS, Operation, Party, Templates, excerpt, heard, seconds};
use super::report::{bars, figure, milliseconds, round};
use super::schedule::Schedule;
use super::{
    Asked, Example, FORMAT, Figures, Generator, Latency, Limits, Live, LoadError, Report, Rhythm, Room,
    Second, ServerReport, ServerSecond, Watch,
};

/// How a load goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// When agents report.
    pub rhythm: Rhythm,
    /// How long, the ramp included. All of it is measured.
    pub duration: Duration,
    /// The time over which agents join.
    pub ramp: Duration,
    /// Connections at one time; one for each agent, as far as there is room, if nothing is said.
    pub connections: Option<usize>,
    /// How long a request may take.
    pub timeout: Duration,
    /// Whether agents ask for work, and do it: they run nothing and say so.
    pub work: bool,
    /// What decides who reports when.
    pub seed: u64,
    /// What the run is held to.
    pub limits: Limits,
    /// The server's process, if it runs on this machine.
    pub server_pid: Option<u32>,
}

impl Settings {
    /// Each agent reports once in `interval`, for `duration`.
    #[must_use]
    pub fn every(interval: Duration, duration: Duration) -> Self {
        Self {
            rhythm: Rhythm::Interval(interval),
            duration,
            ramp: Duration::ZERO,
            connections: None,
            timeout: Duration::from_secs(30),
            work: false,
            seed: 0,
            limits: Limits::default(),
            server_pid: None,
        }
    }
}

/// What has been due for this long and has not left when the time is over will not have been the last moment's.
const OVERDUE: Duration = Duration::from_millis(100);

/// Sends one check-in of the first agent of each party, so that what is wrong is known before all of them send.
///
/// # Errors
/// One of them is not taken.
pub fn probe(parties: &[Party], timeout: Duration) -> Result<(), LoadError> {
    for party in parties {
        let mut first = party.clone();
        first.active = first.active.min(1);
        if first.active == 0 {
            continue;
        }
        let mut fleet = Fleet::new(vec![first], Rhythm::Rate(1000.0), Duration::ZERO, 0, false)?;
        fleet.most = 1;
        let mut plan = Plan::new(party.base.target.address, 1, Pacing::Closed, timeout);
        plan.keep_alive = party.base.keep_alive;
        plan.timeout = timeout;
        let (run, fleet) = engine::run(&plan, fleet, &mut ()).map_err(LoadError::System)?;
        let total = run.tally.total();
        let what = OPERATIONS[fleet.last];
        if total.failures.connect > 0 {
            return Err(LoadError::Unreachable { address: party.base.target.authority.clone() });
        }
        if let Some((status, _)) = total.statuses.iter().find(|(status, _)| !(200..300).contains(*status)) {
            let body = fleet.refusals.into_values().next().unwrap_or_default();
            let came = format!("{status} {body}");
            // Too much of it, or trouble of the server's own, is what a load may be there to find.
            if !matches!(status, 408 | 425 | 429 | 500..=599) {
                return Err(refused(party, what, Some(*status), &came, &hint(party, *status, false)));
            }
        } else if total.failures.garbled > 0 {
            return Err(refused(party, what, None, &Failure::Garbled.to_string(), "; is it an HTTP server?"));
        }
    }
    Ok(())
}

/// Lets the agents of parties report, and measures what comes of it. Blocks the calling thread, which must not be one of an
/// async runtime. Gives the parties back as they are now: keys may have changed.
///
/// # Errors
/// There is nobody, parties are at different addresses, or the named process cannot be seen.
pub fn load(
    parties: Vec<Party>,
    settings: &Settings,
    watch: &mut impl Watch,
) -> Result<(Report, Vec<Party>), LoadError> {
    let first = parties.first().ok_or(LoadError::Nobody)?;
    let (address, keep_alive) = (first.base.target.address, first.base.keep_alive);
    let target = first.address();
    if parties.iter().any(|party| party.base.target.address != address) {
        return Err(LoadError::Addresses);
    }
    let agents: usize = parties.iter().map(|party| party.active).sum();
    if agents == 0 {
        return Err(LoadError::Nobody);
    }
    let room = Room::look();
    let (connections, note) = room.connections(agents, settings.connections);
    let mut notes = Vec::from_iter(note);
    notes.extend(strained_ports(&room, settings, address, keep_alive, agents));

    let fleet = Fleet::new(parties, settings.rhythm, settings.ramp, settings.seed, settings.work)?;
    let asked = Asked {
        per_second: round(fleet.schedule.rate()),
        interval_seconds: match settings.rhythm {
            Rhythm::Interval(interval) => Some(interval.as_secs_f64()),
            Rhythm::Rate(_) => None,
        },
        duration_seconds: settings.duration.as_secs_f64(),
        ramp_seconds: settings.ramp.as_secs_f64(),
        connections,
        keep_alive,
        work: settings.work,
        seed: settings.seed,
    };
    let mut plan = Plan::new(address, connections, Pacing::Closed, settings.duration);
    plan.keep_alive = keep_alive;
    plan.timeout = settings.timeout;
    let server = settings.server_pid.map(Server::look).transpose()?;
    let mut seen = Seen { watch, server, course: Vec::new(), errors: 0, before: Duration::ZERO };
    let (run, mut fleet) = engine::run(&plan, fleet, &mut seen).map_err(LoadError::System)?;

    let window = run.window;
    let unsent =
        if run.behind > OVERDUE { fleet.schedule.count_until(window.saturating_sub(OVERDUE)) } else { 0 };
    let mut operations = BTreeMap::new();
    for (operation, counts) in OPERATIONS.iter().zip(run.tally.kinds()) {
        let figures = figures(counts, window, 0);
        if figures.requests > 0 {
            operations.insert(*operation, figures);
        }
    }
    let all = run.tally.total();
    let total = figures(&all, window, unsent);
    let thresholds = settings.limits.hold(&total);
    let server = seen.server.map(|server| server.report(window, total.requests));
    let mut counted: BTreeMap<&'static str, usize> = BTreeMap::new();
    for party in &fleet.parties {
        *counted.entry(party.vendor().as_str()).or_default() += party.active;
    }
    let starved = starved(&room, &run, &all, keep_alive);
    let report = Report {
        format: FORMAT,
        fleetwire: env!("CARGO_PKG_VERSION"),
        target,
        asked,
        agents: counted,
        enrolment: None,
        notes,
        seconds: round(window.as_secs_f64()),
        ok: thresholds.iter().all(|threshold| threshold.ok),
        thresholds,
        operations,
        refusals: examples(std::mem::take(&mut fleet.refusals)),
        course: seen.course,
        histogram: bars(&all.latency),
        generator: generator(&run, &plan, unsent, starved),
        server,
        total,
    };
    Ok((report, fleet.parties))
}

/// Says so beforehand where connections are made faster than the system gives their ports free again.
fn strained_ports(
    room: &Room,
    settings: &Settings,
    address: SocketAddr,
    keep_alive: bool,
    agents: usize,
) -> Option<String> {
    /// Seconds that a port of a closed connection is not used again, towards other machines.
    const RESTS: f64 = 60.0;
    let rate = match settings.rhythm {
        Rhythm::Rate(rate) => rate,
        Rhythm::Interval(interval) => figure(agents as u64) / interval.as_secs_f64().max(f64::MIN_POSITIVE),
    };
    let ports = figure(room.ports? as u64);
    (!keep_alive && !address.ip().is_loopback() && rate * RESTS > ports).then(|| {
        format!(
            "A connection for each request takes {rate:.0} ports a second; the system has {ports:.0} and lets each rest \
             for a minute: more than {:.0} requests a second run out of them.",
            ports / RESTS
        )
    })
}

/// What tells that ports ran out.
fn starved(room: &Room, run: &Run, all: &Counts, keep_alive: bool) -> Option<String> {
    let ports = room.ports? as u64;
    let failed = all.failures.connect;
    (!keep_alive && failed > 0 && run.connects >= ports).then(|| {
        format!(
            "{failed} connections could not be made after {} were, and the system has {ports} ports for them",
            run.connects
        )
    })
}

fn generator(run: &Run, plan: &Plan, unsent: u64, starved: Option<String>) -> Generator {
    let micros = |time: Duration| round(time.as_secs_f64() * 1e6);
    let cpu = run.cpu.unwrap_or_default().as_secs_f64();
    let mut evidence: Vec<_> =
        run.bottleneck(plan).map(|bottleneck| bottleneck.to_string()).into_iter().collect();
    evidence.extend(starved);
    Generator {
        cpu_seconds: round(cpu),
        cpu_share: round(cpu / run.window.as_secs_f64().max(f64::MIN_POSITIVE)),
        cpu_per_request_us: run.cpu_per_request().map_or(0.0, micros),
        lateness: Latency::of(&run.lateness),
        unsent,
        connections_made: run.connects,
        bottleneck: !evidence.is_empty(),
        evidence,
    }
}

/// Counts as figures. Requests that never left are errors: an agent would have found nobody.
fn figures(counts: &Counts, window: Duration, unsent: u64) -> Figures {
    let mut failures = BTreeMap::new();
    for (cause, count) in [
        ("connect", counts.failures.connect),
        ("reset", counts.failures.reset),
        ("timeout", counts.failures.timeout),
        ("garbled", counts.failures.garbled),
        ("unsent", unsent),
    ] {
        if count > 0 {
            failures.insert(cause, count);
        }
    }
    let failed: u64 = failures.values().sum();
    let requests = counts.answers() + failed;
    let errors = requests - counts.class(2);
    Figures {
        requests,
        per_second: round(figure(requests) / window.as_secs_f64().max(f64::MIN_POSITIVE)),
        errors,
        error_rate: if requests == 0 { 0.0 } else { figure(errors) / figure(requests) },
        latency: Latency::of(&counts.latency),
        statuses: counts.statuses.clone(),
        failures,
        bytes_sent: counts.bytes_sent,
        bytes_received: counts.bytes_received,
    }
}

fn examples(refusals: BTreeMap<(Operation, u16), String>) -> Vec<Example> {
    let example = |((operation, status), body)| Example { operation: OPERATIONS[operation], status, body };
    refusals.into_iter().map(example).collect()
}

/// Everybody who sends.
struct Fleet {
    parties: Vec<Party>,
    templates: Vec<Templates>,
    /// Party and place in it, of each agent that the schedule names.
    agents: Vec<(u8, u32)>,
    schedule: Schedule,
    /// What is sent before anything else: since when, what, whose, and the request.
    follow_ups: VecDeque<(Duration, Operation, u32, Vec<u8>)>,
    work: bool,
    /// The second that `text` is of.
    second: u64,
    text: String,
    refusals: BTreeMap<(Operation, u16), String>,
    /// How many it sends at most.
    most: u64,
    /// What it sent last.
    last: Operation,
}

impl Fleet {
    fn new(
        parties: Vec<Party>,
        rhythm: Rhythm,
        ramp: Duration,
        seed: u64,
        work: bool,
    ) -> Result<Self, LoadError> {
        let templates: Vec<_> = parties.iter().map(Party::templates).collect::<Result<_, _>>()?;
        let (mut agents, mut polls) = (Vec::new(), Vec::new());
        for ((number, party), templates) in (0_u8..).zip(&parties).zip(&templates) {
            let places = 0..u32::try_from(party.active).unwrap_or(u32::MAX);
            agents.extend(places.map(|place| (number, place)));
            polls.resize(agents.len(), work && templates.polls());
        }
        Ok(Self {
            schedule: Schedule::new(&polls, rhythm, ramp, seed),
            parties,
            templates,
            agents,
            follow_ups: VecDeque::new(),
            work,
            second: u64::MAX,
            text: String::new(),
            refusals: BTreeMap::new(),
            most: u64::MAX,
            last: 0,
        })
    }
}

impl Source for Fleet {
    fn kinds(&self) -> usize {
        OPERATIONS.len()
    }

    fn due(&mut self, _: Duration) -> Due {
        if let Some((since, ..)) = self.follow_ups.front() {
            return Due::At(*since);
        }
        match self.schedule.peek() {
            Some((at, _)) if self.most > 0 => Due::At(at),
            _ => Due::Idle,
        }
    }

    fn write(&mut self, _: Duration, into: &mut Vec<u8>) -> Request {
        if let Some((_, operation, agent, request)) = self.follow_ups.pop_front() {
            into.extend_from_slice(&request);
            return Request { kind: operation, ticket: agent.into() };
        }
        let now = fleet::now();
        let second = seconds(now);
        if second != self.second {
            self.second = second;
            Timestamp::seconds(now).as_str().clone_into(&mut self.text);
        }
        let Some((_, turn)) = self.schedule.peek() else { return Request { kind: 0, ticket: u64::MAX } };
        self.schedule.advance();
        self.most -= 1;
        let moment = Moment { text: &self.text, seconds: second };
        let agent = self.agents.get(turn.agent as usize).and_then(|(party, place)| {
            let number = usize::from(*party);
            Some((self.templates.get(number)?, self.parties.get(number)?.agents.get(*place as usize)?))
        });
        if let Some((templates, agent)) = agent {
            self.last = templates.write(agent, turn.poll, &moment, into);
        }
        Request { kind: self.last, ticket: turn.agent.into() }
    }

    fn answered(&mut self, request: Request, now: Duration, outcome: Result<Answer<'_>, Failure>) {
        // Failures are in the tally.
        let Ok(answer) = outcome else { return };
        if !(200..300).contains(&answer.status) {
            let what = (request.kind, answer.status);
            self.refusals.entry(what).or_insert_with(|| excerpt(answer.body));
            return;
        }
        let found = usize::try_from(request.ticket).ok().and_then(|ticket| self.agents.get(ticket));
        let Some((party, place)) = found.map(|(party, place)| (usize::from(*party), *place as usize)) else {
            return;
        };
        let Some(party) = self.parties.get_mut(party) else { return };
        let Some(agent) = party.agents.get(place) else { return };
        let Some(follow_up) = heard(party, agent, request.kind, answer.body, self.work) else { return };
        if let Some(agent) = party.agents.get_mut(place) {
            if let Some(key) = follow_up.key {
                agent.key = key;
            }
            if let Some(model) = follow_up.model {
                agent.model = model;
            }
        }
        if let (Some((operation, bytes)), Ok(agent)) = (follow_up.send, u32::try_from(request.ticket)) {
            self.follow_ups.push_back((now, operation, agent, bytes));
        }
    }
}

/// The process of the server.
struct Server {
    pid: u32,
    first: cpu::Usage,
    last: (Duration, cpu::Usage),
    course: Vec<ServerSecond>,
}

impl Server {
    fn look(pid: u32) -> Result<Self, LoadError> {
        let process = |error| LoadError::Process { pid, error };
        let usage = cpu::Usage::of(pid).map_err(process)?;
        let rss_bytes = cpu::resident(pid).map_err(process)?;
        let course = vec![ServerSecond { at: 0.0, cpu_cores: 0.0, rss_bytes }];
        Ok(Self { pid, first: usage.clone(), last: (Duration::ZERO, usage), course })
    }

    /// A process that is gone is not looked at any more: the errors tell.
    fn look_again(&mut self, at: Duration) {
        let (Ok(usage), Ok(rss_bytes)) = (cpu::Usage::of(self.pid), cpu::resident(self.pid)) else { return };
        let passed = at.saturating_sub(self.last.0).as_secs_f64();
        if passed > 0.0 {
            let cpu_cores = round(usage.since(&self.last.1).as_secs_f64() / passed);
            self.course.push(ServerSecond { at: round(at.as_secs_f64()), cpu_cores, rss_bytes });
            self.last = (at, usage);
        }
    }

    fn report(mut self, window: Duration, requests: u64) -> ServerReport {
        self.look_again(window.max(self.last.0));
        let used = self.last.1.since(&self.first).as_secs_f64();
        let passed = self.last.0.as_secs_f64().max(f64::MIN_POSITIVE);
        ServerReport {
            pid: self.pid,
            cpu_seconds: round(used),
            cpu_cores: round(used / passed),
            cpu_per_request_us: round(used * 1e6 / figure(requests.max(1))),
            rss_max_bytes: self.course.iter().map(|second| second.rss_bytes).max().unwrap_or_default(),
            course: self.course,
        }
    }
}

/// Takes down each second, and tells whoever watches.
struct Seen<'a, W> {
    watch: &'a mut W,
    server: Option<Server>,
    course: Vec<Second>,
    errors: u64,
    before: Duration,
}

impl<W: Watch> Observer for Seen<'_, W> {
    fn second(&mut self, snapshot: &Snapshot<'_>) -> ControlFlow<()> {
        if let Some(server) = &mut self.server {
            server.look_again(snapshot.at);
        }
        let second = second(snapshot.second, snapshot.at, self.before);
        self.before = snapshot.at;
        self.errors += second.errors;
        self.course.push(second);
        self.watch.second(&Live {
            at: snapshot.at,
            second,
            errors: self.errors,
            connections: snapshot.connections,
            behind: snapshot.behind,
        })
    }
}

/// The figures of a second.
fn second(tally: &Tally, at: Duration, before: Duration) -> Second {
    let mut times = Latencies::new();
    let (mut requests, mut errors) = (0, 0);
    for counts in tally.kinds() {
        let answers = counts.answers();
        // Adding up histograms takes time that the next request may be due in.
        if answers > 0 {
            times.merge(&counts.latency);
        }
        requests += answers + counts.failures.all();
        errors += answers - counts.class(2) + counts.failures.all();
    }
    let passed = at.saturating_sub(before).as_secs_f64().max(f64::MIN_POSITIVE);
    Second {
        at: milliseconds(at) / 1000.0,
        per_second: round(figure(requests) / passed),
        errors,
        latency: Latency::of(&times),
    }
}
