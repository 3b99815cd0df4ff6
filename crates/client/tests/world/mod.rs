//! A fleet server in the same process, under a virtual clock, and an agent's machine driven against it.
//!
//! The server is the real core over the memory store; between it and the agent lies the codec, and a wire that can be
//! told to misbehave.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_client::Cause;
use fleetwire_client::achilles::{Achilles, Applicant, TaskOutcome};
use fleetwire_client::agent::{Command, Ending, Event, Input, Machine, Moment, NoAnswer, Settings};
use fleetwire_client::protocol::achilles::{
    CheckUpdate, Enroll, Heartbeat, PollTasks, ReportResult, ReportStatus, SystemMetrics, Version,
};
use fleetwire_client::protocol::{Fault as Refusal, codec};
use fleetwire_client::store::{MemoryStore, Store};
use fleetwire_server_core::domain::{DEFAULT_TENANT, Vendor};
use fleetwire_server_core::operator::WorkWish;
use fleetwire_server_core::{Clock, Config, Core, Entropy, Handle, Origin, admit, answer};
use fleetwire_validation::Validate;
use http::{Request, Response};

pub(crate) const BASE: &str = "http://fleet.test";
/// When the world begins, in milliseconds.
pub(crate) const START: i64 = 1_774_103_400_000;

/// Runs a future that never waits.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the memory store never waits"),
    }
}

/// The server's clock: virtual time.
#[derive(Clone)]
pub(crate) struct Virtual(Arc<AtomicI64>);

impl Clock for Virtual {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(START + self.0.load(Ordering::Relaxed)).unwrap()
    }
}

#[derive(Default)]
struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = (self.0.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes();
            chunk.copy_from_slice(&number[8 - chunk.len()..]);
        }
    }
}

/// What may happen to one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    LostRequest,
    LostAnswer,
    Duplicate,
    WrongStatus,
    ProxyPage,
    ProxyPageAsSuccess,
    Truncated,
    NoContent,
    Redirect,
    /// It arrives when the agent has long stopped waiting for its answer.
    Late,
}

impl Fault {
    pub(crate) const ALL: [Self; 10] = [
        Self::LostRequest,
        Self::LostAnswer,
        Self::Duplicate,
        Self::WrongStatus,
        Self::ProxyPage,
        Self::ProxyPageAsSuccess,
        Self::Truncated,
        Self::NoContent,
        Self::Redirect,
        Self::Late,
    ];
}

/// When the agent's process is killed, counted in changes of its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    Before(usize),
    After(usize),
}

/// A store that fails from some change on, for a while.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Break {
    pub(crate) change: usize,
    pub(crate) lasts: Duration,
    /// Whether the process is killed just before the store is well again.
    pub(crate) kills: bool,
}

type Double = std::cell::RefCell<Box<dyn FnMut(&Request<Bytes>, u64) -> Response<Bytes>>>;

pub(crate) struct World {
    pub(crate) core: Core<fleetwire_server_core::store::MemoryStore>,
    pub(crate) time: Virtual,
    pub(crate) token: String,
    pub(crate) disk: MemoryStore,
    pub(crate) settings: Settings,
    /// How far the agent's wall clock is ahead, in milliseconds.
    pub(crate) wall_off: i64,
    /// How far its monotonic clock is behind: the time for which the machine was suspended.
    pub(crate) suspended: u64,
    /// Which requests meet with what.
    pub(crate) faults: BTreeMap<usize, Fault>,
    pub(crate) crash: Option<Crash>,
    /// Further crashes, where one is not enough.
    pub(crate) crashes_at: Vec<Crash>,
    pub(crate) breaks: Option<Break>,
    mended_at: Option<Duration>,
    /// By how much a late request is late, and those that are on their way.
    pub(crate) late_by: Duration,
    late: Vec<(Duration, Request<Bytes>)>,
    /// Until when everything is answered with 429 and that time.
    pub(crate) limited_until: Duration,
    /// Whether nothing is answered at all.
    pub(crate) down: bool,
    /// Whether the store fails.
    pub(crate) disk_full: bool,
    /// Whether work goes on until it is ended from outside, and whether it does not even end when called off.
    pub(crate) hold_work: bool,
    pub(crate) deaf: bool,
    pub(crate) uptime: Option<Duration>,
    pub(crate) hostname: &'static str,
    held: Option<u64>,
    refuse_keys: bool,
    /// Another server in the place of ours; told the second.
    pub(crate) double: Option<Double>,
    pub(crate) requests: Vec<String>,
    pub(crate) beats: Vec<serde_json::Value>,
    pub(crate) changes: usize,
    pub(crate) crashes: usize,
    /// How often which task was begun.
    pub(crate) begun: BTreeMap<String, u32>,
    pub(crate) interrupted: u32,
    pub(crate) events: Vec<String>,
    machine: Option<Machine<Achilles>>,
    random: u64,
}

/// What the wire and the process do to a step.
enum Went {
    On,
    Waiting(Option<Duration>),
    Crashed,
    Over,
}

impl World {
    pub(crate) fn new() -> Self {
        let time = Virtual(Arc::new(AtomicI64::new(0)));
        let clock = Arc::new(time.clone());
        let core = Core::start(
            fleetwire_server_core::store::MemoryStore::default(),
            clock,
            Arc::new(Counted::default()),
            Config::default(),
        );
        let (core, _) = now(core).unwrap();
        let ttl = Duration::from_secs(24 * 3600);
        let (_, token) = now(core.issue_token(DEFAULT_TENANT, Vendor::Achilles, ttl, 1)).unwrap();
        Self {
            core,
            time,
            token,
            disk: MemoryStore::default(),
            settings: Settings::default(),
            wall_off: 0,
            suspended: 0,
            faults: BTreeMap::new(),
            crash: None,
            crashes_at: Vec::new(),
            breaks: None,
            mended_at: None,
            late_by: Duration::from_secs(45),
            late: Vec::new(),
            limited_until: Duration::ZERO,
            down: false,
            disk_full: false,
            hold_work: false,
            deaf: false,
            uptime: None,
            hostname: "host-1",
            held: None,
            refuse_keys: false,
            double: None,
            requests: Vec::new(),
            beats: Vec::new(),
            changes: 0,
            crashes: 0,
            begun: BTreeMap::new(),
            interrupted: 0,
            events: Vec::new(),
            machine: None,
            random: 7,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.time.0.load(Ordering::Relaxed)).unwrap())
    }

    fn advance_to(&self, to: Duration) {
        self.time.0.fetch_max(i64::try_from(to.as_millis()).unwrap(), Ordering::Relaxed);
    }

    fn moment(&mut self) -> Moment {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Moment {
            monotonic: self.elapsed() - Duration::from_millis(self.suspended),
            wall: self.time.now() + chrono::TimeDelta::milliseconds(self.wall_off),
            random: self.random,
        }
    }

    fn boot(&mut self) -> Machine<Achilles> {
        let dialect = Achilles::new(BASE, self.token.as_str(), Applicant::new(self.hostname, "1.0.0"));
        let saved = self.disk.load().unwrap();
        let moment = self.moment();
        Machine::start(dialect, self.settings.clone(), &saved, &moment, self.uptime).unwrap()
    }

    /// Kills the process without a word.
    pub(crate) fn kill(&mut self) {
        self.machine = None;
        self.crashes += 1;
    }

    /// Time passes without anybody being there.
    pub(crate) fn pass(&self, time: Duration) {
        self.advance_to(self.elapsed() + time);
    }

    /// The machine is suspended: time passes, and the monotonic clock stands still.
    pub(crate) fn sleep_for(&mut self, time: Duration) {
        self.pass(time);
        self.suspended += u64::try_from(time.as_millis()).unwrap();
    }

    /// The work that was held ends well.
    pub(crate) fn end_work(&mut self) {
        let run = self.held.take().unwrap();
        let ending = Ending::Done(TaskOutcome::printed("done"));
        self.input(Input::Ended { run, ending });
    }

    /// Whether every key is refused.
    pub(crate) fn disable(&mut self, disabled: bool) {
        self.refuse_keys = disabled;
    }

    pub(crate) fn machine(&mut self) -> &mut Machine<Achilles> {
        self.machine.as_mut().unwrap()
    }

    pub(crate) fn input(&mut self, input: Input<Achilles>) {
        let moment = self.moment();
        self.machine().input(&moment, input);
    }

    /// Lives until so many seconds after the world began. Whether the agent is still at work.
    pub(crate) fn run_until(&mut self, seconds: u64) -> bool {
        let until = Duration::from_secs(seconds);
        let mut steps_at_once = 0;
        while self.elapsed() < until {
            let mut machine = match self.machine.take() {
                Some(machine) => machine,
                None => self.boot(),
            };
            match self.step(&mut machine) {
                Went::On => {
                    steps_at_once += 1;
                    assert!(steps_at_once < 1000, "the agent does not come to rest: {:?}", self.events);
                    self.machine = Some(machine);
                }
                Went::Waiting(due) => {
                    let offset = Duration::from_millis(self.suspended);
                    let due = due.map_or(until, |due| (due + offset).min(until));
                    if due > self.elapsed() {
                        steps_at_once = 0;
                    }
                    // Time goes on in whole milliseconds.
                    self.advance_to(due + Duration::from_millis(1));
                    self.machine = Some(machine);
                }
                Went::Crashed => self.crashes += 1,
                Went::Over => {
                    self.machine = Some(machine);
                    return false;
                }
            }
        }
        true
    }

    fn crashes(&self, at: Crash) -> bool {
        self.crash == Some(at) || self.crashes_at.contains(&at)
    }

    fn step(&mut self, machine: &mut Machine<Achilles>) -> Went {
        if self.mended_at.is_some_and(|at| at <= self.elapsed()) {
            (self.mended_at, self.disk_full) = (None, false);
            if self.breaks.is_some_and(|broken| broken.kills) {
                return Went::Crashed;
            }
        }
        let moment = self.moment();
        let input = match machine.next(&moment) {
            Command::Send(request) => Input::Answered(self.wire(&request)),
            Command::Persist(change) => {
                self.changes += 1;
                if self.crashes(Crash::Before(self.changes)) {
                    return Went::Crashed;
                }
                if let Some(broken) = self.breaks.filter(|broken| broken.change == self.changes) {
                    self.disk_full = true;
                    self.mended_at = Some(self.elapsed() + broken.lasts);
                }
                if self.disk_full {
                    machine.input(&moment, Input::Persisted(Err("no space left on device".to_owned())));
                    return Went::On;
                }
                self.disk.apply(&change).unwrap();
                if self.crashes(Crash::After(self.changes)) {
                    return Went::Crashed;
                }
                Input::Persisted(Ok(()))
            }
            Command::Collect => Input::Collected(metrics()),
            Command::Run(assignment) => {
                let id = assignment.work.id.as_str().to_owned();
                if assignment.interrupted {
                    self.interrupted += 1;
                    Input::Ended { run: assignment.run, ending: Ending::Interrupted }
                } else {
                    *self.begun.entry(id).or_default() += 1;
                    if self.hold_work {
                        self.held = Some(assignment.run);
                        return Went::On;
                    }
                    let outcome = TaskOutcome::printed("done");
                    Input::Ended { run: assignment.run, ending: Ending::Done(outcome) }
                }
            }
            Command::Cancel(_) if self.deaf => return Went::On,
            Command::Cancel(run) => Input::Ended { run, ending: Ending::Canceled },
            Command::Report(event) => {
                if !matches!(event, Event::Taken { after_failures: 0 }) {
                    self.events.push(format!("{:?} {event:?}", self.elapsed()));
                }
                return Went::On;
            }
            Command::Wait(due) => return Went::Waiting(due),
            Command::Stopped(stopped) => {
                self.events.push(format!("{stopped:?}"));
                return Went::Over;
            }
        };
        let moment = self.moment();
        machine.input(&moment, input);
        Went::On
    }

    /// A request on its way there and back.
    fn wire(&mut self, request: &Request<Bytes>) -> Result<Response<Bytes>, NoAnswer> {
        self.requests.push(format!("{} {}", request.method(), request.uri().path()));
        if request.uri().path().ends_with("/heartbeat") {
            self.beats.push(serde_json::from_slice(request.body()).unwrap());
        }
        let none = |cause| Err(NoAnswer { cause, text: "injected".to_owned() });
        if self.down {
            return none(Cause::Unreachable);
        }
        let now = self.elapsed();
        for (_, late) in self.late.extract_if(.., |(due, _)| *due <= now).collect::<Vec<_>>() {
            self.serve(&late);
        }
        if let Some(away) = self.limited_until.checked_sub(now).filter(|away| !away.is_zero()) {
            return Ok(codec::encode_reply::<Heartbeat>(Err(Refusal::Limited { retry_after: away })));
        }
        let page = |status: u16| {
            let body = Bytes::from_static(b"<html><body>Sign in to the guest network</body></html>");
            Ok(Response::builder().status(status).body(body).unwrap())
        };
        match self.faults.get(&self.requests.len()) {
            Some(Fault::LostRequest) => none(Cause::Timeout),
            Some(Fault::LostAnswer) => {
                self.serve(request);
                none(Cause::Broken)
            }
            Some(Fault::Duplicate) => {
                self.serve(request);
                Ok(self.serve(request))
            }
            Some(Fault::WrongStatus) => {
                let mut answer = self.serve(request);
                *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                Ok(answer)
            }
            Some(Fault::ProxyPage) => page(401),
            Some(Fault::ProxyPageAsSuccess) => page(200),
            Some(Fault::Truncated) => {
                let answer = self.serve(request);
                let half = answer.body().slice(..answer.body().len() / 2);
                Ok(answer.map(|_| half))
            }
            Some(Fault::NoContent) => Ok(Response::builder().status(204).body(Bytes::new()).unwrap()),
            Some(Fault::Redirect) => Ok(Response::builder()
                .status(302)
                .header("location", "http://elsewhere.test/")
                .body(Bytes::from_static(b"{}"))
                .unwrap()),
            Some(Fault::Late) => {
                self.late.push((now + self.late_by, request.clone()));
                none(Cause::Timeout)
            }
            None => Ok(self.serve(request)),
        }
    }

    fn serve(&self, request: &Request<Bytes>) -> Response<Bytes> {
        if let Some(double) = &self.double {
            return (double.borrow_mut())(request, self.elapsed().as_secs());
        }
        if self.refuse_keys {
            return codec::encode_reply::<Heartbeat>(Err(Refusal::Unauthenticated));
        }
        let path = request.uri().path();
        let named = |end| path.strip_prefix("/api/agent/tasks/").and_then(|rest| rest.strip_suffix(end));
        let (result, status) = (named("/result"), named("/status"));
        let none = |_: &str| None;
        let mut answer = match (request.method().as_str(), path) {
            ("POST", "/api/agent/enroll") => self.operation::<Enroll>(request, none),
            ("POST", "/api/agent/heartbeat") => self.operation::<Heartbeat>(request, none),
            ("GET", "/api/agent/tasks") => self.operation::<PollTasks>(request, none),
            ("GET", "/api/agent/update") => self.operation::<CheckUpdate>(request, none),
            ("GET", "/api/agent/version") => self.operation::<Version>(request, none),
            ("POST", _) if result.is_some() => self.operation::<ReportResult>(request, |_| result),
            ("PATCH", _) if status.is_some() => self.operation::<ReportStatus>(request, |_| status),
            other => panic!("{other:?}"),
        };
        let date = self.time.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        answer.headers_mut().insert("date", date.parse().unwrap());
        answer
    }

    fn operation<'a, E>(
        &self,
        request: &'a Request<Bytes>,
        segment: impl Fn(&str) -> Option<&'a str>,
    ) -> Response<Bytes>
    where
        E: Validate,
        Core<fleetwire_server_core::store::MemoryStore>: Handle<E>,
    {
        let origin = Origin { public_url: None, scheme: "http", host: "fleet.test", mount: "" };
        let outcome = now(async {
            let caller = admit::<E, _>(&self.core, request.headers(), self.core.now()).await?;
            let call = codec::decode::<E>(segment, None, request.headers(), request.body())?;
            answer(&self.core, caller, &origin, call, &self.core.context(self.core.now())).await
        });
        codec::encode_reply::<E>(outcome)
    }

    /// Whether the server knows an agent.
    pub(crate) fn is_known(&self) -> bool {
        !self.core.agents(DEFAULT_TENANT).is_empty()
    }

    /// The id of the one agent that the server knows.
    pub(crate) fn agent_id(&self) -> String {
        let agents = self.core.agents(DEFAULT_TENANT);
        assert_eq!(agents.len(), 1, "an agent enrols once");
        agents[0].agent.id.clone()
    }

    pub(crate) fn rotate(&self) {
        now(self.core.rotate_key(DEFAULT_TENANT, Vendor::Achilles, &self.agent_id())).unwrap();
    }

    pub(crate) fn is_rotating(&self) -> bool {
        self.core.agents(DEFAULT_TENANT)[0].agent.rotating
    }

    /// Queues a task and says its id.
    pub(crate) fn queue(&self, key: &str) -> String {
        let payload = serde_json::json!({ "command": "true" });
        let serde_json::Value::Object(payload) = payload else { unreachable!() };
        let wish = WorkWish {
            kind: "execute_command".to_owned(),
            payload,
            key: Some(key.to_owned()),
            ..WorkWish::default()
        };
        now(self.core.queue_work(DEFAULT_TENANT, Vendor::Achilles, &self.agent_id(), wish)).unwrap().0.work.id
    }

    pub(crate) fn work(&self, id: &str) -> fleetwire_server_core::domain::Work {
        now(self.core.work_named(DEFAULT_TENANT, id.to_owned())).unwrap().work
    }
}

pub(crate) fn metrics() -> SystemMetrics {
    let applicant = Applicant::new("host-1", "1.0.0");
    SystemMetrics::new("host-1", applicant.os, applicant.arch, 100, 1, 64, 1024)
}
