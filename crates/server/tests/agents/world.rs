//! A server and one agent in the same process, under a virtual clock, with a wire and a disk that can be told to
//! misbehave.
//!
//! The server is all of it but the socket: mounts, routes, bodies, codec, rules and the core over the memory store. The
//! agent is the client's machine; what drives it here does what a driver does, one command at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_client::Cause;
use fleetwire_client::agent::{Command, Dialect, Ending, Event, Input, Machine, Moment, NoAnswer, Settings};
use fleetwire_client::store::{Change, MemoryStore as Disk, Store as _};
use fleetwire_protocol::{Envelope, Fault as Refusal, Vendor, codec};
use fleetwire_server::AgentService;
use fleetwire_server_core::store::MemoryStore;
use fleetwire_server_core::{Clock, Config, Core, Entropy};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tokio::runtime::{Builder, Runtime};
use tower_service::Service;

/// When the world begins, in milliseconds.
const START: i64 = 1_774_103_400_000;
/// How long an agent that was not taken in waits for somebody to start it again.
const LOOKED_AFTER: Duration = Duration::from_secs(60);
/// By how much a late request is late.
const LATE_BY: Duration = Duration::from_secs(45);
/// How long a server that says when to come back wants to hear nothing.
const SENT_AWAY: Duration = Duration::from_secs(90);

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().unwrap();
}

/// Runs a future of the server's to its end. The memory store never waits, so that it is there at once.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Virtual time, the server's clock.
#[derive(Clone, Default)]
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
    /// It arrives twice, and the second answer is the one that comes back.
    Duplicate,
    /// The answer to it comes back, and a copy of it arrives after that.
    Copied,
    /// It arrives when the agent has long stopped waiting for its answer.
    Late,
    /// It arrives when the message after it has been answered.
    Overtaken,
    Truncated,
    /// It is done, and its answer comes back with another status.
    WrongStatus,
    ProxyPage,
    ProxyRefusal,
    ProxyNotFound,
    ProxyPageAsSuccess,
    NoContent,
    Redirect,
    /// Credentials that are good are refused this once, in the vendor's words.
    Refused,
    /// 429 with `Retry-After`.
    Limited,
    /// 503 with `Retry-After`.
    Busy,
}

impl Fault {
    pub(crate) const ALL: [Self; 17] = [
        Self::LostRequest,
        Self::LostAnswer,
        Self::Duplicate,
        Self::Copied,
        Self::Late,
        Self::Overtaken,
        Self::Truncated,
        Self::WrongStatus,
        Self::ProxyPage,
        Self::ProxyRefusal,
        Self::ProxyNotFound,
        Self::ProxyPageAsSuccess,
        Self::NoContent,
        Self::Redirect,
        Self::Refused,
        Self::Limited,
        Self::Busy,
    ];
}

/// When the agent's process comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Before the change of this number is on the disk.
    Before(usize),
    /// Once it is there, before anything else.
    After(usize),
    /// When the server has done what the message of this number asks, before the answer is there.
    Unanswered(usize),
    /// Not killed, but asked to stop while the message of this number is on its way, and started again when it has.
    Stopped(usize),
}

/// A disk that is full or read-only from some change on, for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Break {
    pub(crate) change: usize,
    pub(crate) lasts: Duration,
    /// Whether the process is killed just before the disk is well again.
    pub(crate) kills: bool,
}

/// What goes wrong in one life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Luck {
    pub(crate) faults: Vec<(usize, Fault)>,
    pub(crate) crashes: Vec<Crash>,
    pub(crate) breaks: Option<Break>,
    /// Whether a crash costs all that was ever on the disk.
    pub(crate) forgets: bool,
}

impl Luck {
    pub(crate) fn of(fault: Option<(usize, Fault)>, crash: Option<Crash>) -> Self {
        let (faults, crashes) = (fault.into_iter().collect(), crash.into_iter().collect());
        Self { faults, crashes, ..Self::default() }
    }
}

pub(crate) type Fleet = Core<MemoryStore>;

/// What an operator or the embedding program does in the course of a life, and when at the earliest.
pub(crate) struct Act<L> {
    pub(crate) second: u64,
    pub(crate) act: fn(&mut L, &Fleet) -> Then,
}

/// What follows an act.
pub(crate) enum Then {
    Nothing,
    /// The program is started again, with what it has been given.
    Restart,
}

/// An agent of one vendor, its work, and what is expected of both.
pub(crate) trait Life: Sized + 'static {
    type Vendor: Vendor;
    type Speaks: Dialect;

    /// What happens, in its order.
    const ACTS: &'static [Act<Self>];

    /// Makes what the agent needs to begin.
    fn prepare(core: &Fleet) -> Self;

    /// The program as it starts.
    fn dialect(&self) -> Self::Speaks;

    fn report(&self) -> <Self::Speaks as Dialect>::Report;

    /// Does work.
    fn work(
        &mut self,
        work: &<Self::Speaks as Dialect>::Work,
        interrupted: bool,
    ) -> Ending<<Self::Speaks as Dialect>::Outcome>;

    /// What the embedding program has to hand over by now and has not handed to the agent yet.
    fn posts(&mut self) -> Vec<<Self::Speaks as Dialect>::Message> {
        Vec::new()
    }

    /// Whether the server knows the agent.
    fn is_known(&self, core: &Fleet) -> bool;

    /// Whether all has come to the end that it should come to.
    fn is_over(&self, world: &World<Self>) -> bool;

    /// Says what is wrong at the end of the life.
    fn judge(&self, world: &World<Self>) -> Result<(), String>;
}

pub(crate) struct World<L: Life> {
    pub(crate) core: Arc<Fleet>,
    pub(crate) life: L,
    pub(crate) requests: Vec<Request<Bytes>>,
    /// How many messages there had been when everything was over.
    pub(crate) messages: usize,
    pub(crate) changes: usize,
    pub(crate) crashes: usize,
    /// How often somebody had to start an agent that was not taken in.
    pub(crate) ended: usize,
    /// How often work was found begun by a process that had died over it.
    pub(crate) interrupted: usize,
    pub(crate) events: Vec<String>,
    pub(crate) dropped: usize,
    /// How many messages of each method the server has got.
    served: BTreeMap<String, usize>,
    service: AgentService<MemoryStore>,
    time: Virtual,
    disk: Disk,
    /// Until when the disk is broken.
    broken_until: Option<Duration>,
    asked_to_stop: bool,
    machine: Option<Machine<L::Speaks>>,
    luck: Luck,
    late: Vec<(Duration, Request<Bytes>)>,
    overtaken: Vec<(usize, Request<Bytes>)>,
    /// What the program has handed over and the agent has not saved yet: after a crash it hands that over again.
    unsaved: Vec<<L::Speaks as Dialect>::Message>,
    /// From when on a process that ended may be started again.
    starts: Duration,
    random: u64,
}

/// What a step led to.
enum Went {
    On,
    Waiting(Option<Duration>),
    Crashed,
    Stopped,
    NotTakenIn,
}

impl<L: Life> World<L> {
    fn new(luck: &Luck) -> Self {
        let time = Virtual::default();
        let clock = Arc::new(time.clone());
        let entropy = Arc::new(Counted::default());
        let started = Core::start(MemoryStore::default(), clock, entropy, Config::default());
        let core = Arc::new(now(started).unwrap().0);
        Self {
            life: L::prepare(&core),
            service: AgentService::new(Arc::clone(&core)),
            core,
            time,
            requests: Vec::new(),
            messages: 0,
            changes: 0,
            crashes: 0,
            ended: 0,
            interrupted: 0,
            events: Vec::new(),
            dropped: 0,
            served: BTreeMap::new(),
            disk: Disk::default(),
            broken_until: None,
            asked_to_stop: false,
            machine: None,
            luck: luck.clone(),
            late: Vec::new(),
            overtaken: Vec::new(),
            unsaved: Vec::new(),
            starts: Duration::ZERO,
            random: 7,
        }
    }

    /// Lives a whole life, and says what was wrong with it.
    pub(crate) fn live(luck: &Luck) -> Result<Self, String> {
        // Longer than any way back takes: the agent is sent away, or takes what it has for refused, more than once.
        const END: u64 = 2400;
        let mut world = Self::new(luck);
        // Later by as much as the agent needs to be taken in.
        let mut late = 0;
        for Act { second, act } in L::ACTS {
            world.run_until(second + late);
            while late < END && !world.life.is_known(&world.core) {
                late += 60;
                world.run_until(second + late);
            }
            if let Then::Restart = act(&mut world.life, &world.core) {
                (world.machine, world.asked_to_stop) = (None, false);
            }
            world.post();
        }
        let mut second = world.elapsed().as_secs() + 35;
        world.run_until(second);
        while second < END + late && !(world.is_at_rest() && world.life.is_over(&world)) {
            second += 30;
            world.run_until(second);
        }
        world.messages = world.requests.len();
        // Whatever it would do twice, it has the time to. What goes wrong meanwhile it has to get over as well.
        second += 100;
        world.run_until(second);
        while second < 2 * END && world.judge().is_err() {
            second += 30;
            world.run_until(second);
        }
        world.judge().map_err(|fault| {
            let requests: Vec<_> = world
                .requests
                .iter()
                .map(|request| format!("{} {}", request.method(), request.uri()))
                .collect();
            format!("{fault}: {luck:?}\n{}\n{}", requests.join("\n"), world.events.join("\n"))
        })?;
        Ok(world)
    }

    fn is_at_rest(&self) -> bool {
        self.machine.as_ref().is_some_and(|machine| machine.failures() == 0 && machine.waiting() == 0)
    }

    /// What every agent's life has to come to.
    fn judge(&self) -> Result<(), String> {
        if !self.is_at_rest() {
            return Err(format!("it has not come to rest: {:?}", self.machine));
        }
        let refusals = self.luck.faults.iter().filter(|(_, fault)| *fault == Fault::Refused).count();
        if self.ended > refusals {
            return Err(format!("it was sent away {} times", self.ended));
        }
        if self.dropped > 0 {
            return Err("a message was dropped".to_owned());
        }
        self.life.judge(self)
    }

    /// Whether something may have been told without having been kept.
    pub(crate) fn has_broken_disk(&self) -> bool {
        self.luck.breaks.is_some()
    }

    /// How many messages of a method the server has got.
    pub(crate) fn served(&self, method: &Method) -> usize {
        self.served.get(method.as_str()).copied().unwrap_or_default()
    }

    pub(crate) fn machine(&self) -> &Machine<L::Speaks> {
        self.machine.as_ref().unwrap()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.time.now()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.time.0.load(Ordering::Relaxed)).unwrap())
    }

    fn moment(&mut self) -> Moment {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Moment { monotonic: self.elapsed(), wall: self.time.now(), random: self.random }
    }

    fn advance_to(&self, to: Duration) {
        self.time.0.fetch_max(i64::try_from(to.as_millis()).unwrap(), Ordering::Relaxed);
        // As a server does every second: it also notices who has fallen silent.
        now(self.service.flush()).unwrap();
    }

    fn boot(&mut self) -> Machine<L::Speaks> {
        let saved = self.disk.load().unwrap();
        let moment = self.moment();
        let mut machine =
            Machine::start(self.life.dialect(), Settings::default(), &saved, &moment, None).unwrap();
        for message in &self.unsaved {
            machine.input(&moment, Input::Post(message.clone()));
        }
        machine
    }

    /// Hands over what the embedding program has.
    fn post(&mut self) {
        let moment = self.moment();
        for message in self.life.posts() {
            self.unsaved.push(message.clone());
            if let Some(machine) = &mut self.machine {
                machine.input(&moment, Input::Post(message));
            }
        }
    }

    fn run_until(&mut self, seconds: u64) {
        let until = Duration::from_secs(seconds);
        let mut steps_at_once = 0;
        while self.elapsed() < until {
            if self.machine.is_none() && self.starts > self.elapsed() {
                self.advance_to(self.starts.min(until));
                continue;
            }
            let mut machine = match self.machine.take() {
                Some(machine) => machine,
                None => self.boot(),
            };
            match self.step(&mut machine) {
                Went::On => {
                    steps_at_once += 1;
                    assert!(
                        steps_at_once < 1000,
                        "the agent does not come to rest: {:?} {:#?}",
                        self.luck,
                        self.events
                    );
                    self.machine = Some(machine);
                }
                Went::Waiting(due) => {
                    let due = due.map_or(until, |due| due.min(until));
                    if due > self.elapsed() {
                        steps_at_once = 0;
                    }
                    // Time goes on in whole milliseconds.
                    self.advance_to(due + Duration::from_millis(1));
                    self.machine = Some(machine);
                }
                Went::Crashed => {
                    self.asked_to_stop = false;
                    self.crashes += 1;
                    if self.luck.forgets {
                        self.disk = Disk::default();
                    }
                }
                Went::Stopped => {}
                Went::NotTakenIn => {
                    self.ended += 1;
                    self.starts = self.elapsed() + LOOKED_AFTER;
                }
            }
        }
    }

    fn step(&mut self, machine: &mut Machine<L::Speaks>) -> Went {
        if self.broken_until.is_some_and(|until| until <= self.elapsed()) {
            self.broken_until = None;
            if self.luck.breaks.is_some_and(|broken| broken.kills) {
                return Went::Crashed;
            }
        }
        let moment = self.moment();
        let input = match machine.next(&moment) {
            Command::Send(request) => {
                let answer = self.wire(&request);
                let sent = self.requests.len();
                for (_, late) in self.overtaken.extract_if(.., |(by, _)| *by <= sent).collect::<Vec<_>>() {
                    self.serve(&late);
                }
                if self.luck.crashes.contains(&Crash::Unanswered(sent)) {
                    return Went::Crashed;
                }
                if self.luck.crashes.contains(&Crash::Stopped(sent)) {
                    self.asked_to_stop = true;
                    machine.input(&moment, Input::Stop);
                }
                Input::Answered(answer)
            }
            Command::Persist(change) => {
                self.changes += 1;
                if self.luck.crashes.contains(&Crash::Before(self.changes)) {
                    return Went::Crashed;
                }
                if let Some(broken) = self.luck.breaks.filter(|broken| broken.change == self.changes) {
                    self.broken_until = Some(self.elapsed() + broken.lasts);
                }
                if self.broken_until.is_some() {
                    machine.input(&moment, Input::Persisted(Err("no space left on device".to_owned())));
                    return Went::On;
                }
                self.disk.apply(&change).unwrap();
                if let Change::Append(_, kept) = &change {
                    let saved = |message: &_| serde_json::to_vec(message).unwrap() == *kept;
                    self.unsaved.retain(|message| !saved(message));
                }
                if self.luck.crashes.contains(&Crash::After(self.changes)) {
                    return Went::Crashed;
                }
                Input::Persisted(Ok(()))
            }
            Command::Collect => Input::Collected(self.life.report()),
            Command::Run(assignment) => {
                self.interrupted += usize::from(assignment.interrupted);
                let ending = self.life.work(&assignment.work, assignment.interrupted);
                Input::Ended { run: assignment.run, ending }
            }
            Command::Cancel(run) => Input::Ended { run, ending: Ending::Canceled },
            Command::Report(event) => {
                self.dropped += usize::from(matches!(event, Event::Dropped { .. }));
                self.events.push(format!("{:?} {event:?}", self.elapsed()));
                return Went::On;
            }
            Command::Wait(due) => return Went::Waiting(due),
            Command::Stopped(_) if std::mem::take(&mut self.asked_to_stop) => return Went::Stopped,
            Command::Stopped(_) => return Went::NotTakenIn,
        };
        let moment = self.moment();
        machine.input(&moment, input);
        Went::On
    }

    /// A request on its way there and back.
    fn wire(&mut self, request: &Request<Bytes>) -> Result<Response<Bytes>, NoAnswer> {
        self.requests.push(request.clone());
        let now = self.elapsed();
        for (_, late) in self.late.extract_if(.., |(due, _)| *due <= now).collect::<Vec<_>>() {
            self.serve(&late);
        }
        let number = self.requests.len();
        let fault = self.luck.faults.iter().find(|(message, _)| *message == number);
        let none = |cause| Err(NoAnswer { cause, text: "injected".to_owned() });
        match fault.map(|(_, fault)| *fault) {
            None => Ok(self.serve(request)),
            Some(Fault::LostRequest) => none(Cause::Timeout),
            Some(Fault::LostAnswer) => {
                self.serve(request);
                none(Cause::Broken)
            }
            Some(Fault::Duplicate) => {
                self.serve(request);
                Ok(self.serve(request))
            }
            Some(Fault::Copied) => {
                let answer = self.serve(request);
                self.serve(request);
                Ok(answer)
            }
            Some(Fault::Late) => {
                self.late.push((now + LATE_BY, request.clone()));
                none(Cause::Timeout)
            }
            Some(Fault::Overtaken) => {
                self.overtaken.push((number + 1, request.clone()));
                none(Cause::Timeout)
            }
            Some(Fault::Truncated) => {
                let answer = self.serve(request);
                let half = answer.body().slice(..answer.body().len() / 2);
                Ok(answer.map(|_| half))
            }
            Some(Fault::WrongStatus) => {
                let mut answer = self.serve(request);
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                Ok(answer)
            }
            Some(Fault::ProxyPage) => Ok(page(502)),
            Some(Fault::ProxyRefusal) => Ok(page(401)),
            Some(Fault::ProxyNotFound) => Ok(page(404)),
            Some(Fault::ProxyPageAsSuccess) => Ok(page(200)),
            Some(Fault::NoContent) => Ok(Response::builder().status(204).body(Bytes::new()).unwrap()),
            Some(Fault::Redirect) => Ok(Response::builder()
                .status(302)
                .header(header::LOCATION, "http://elsewhere.test/")
                .body(Bytes::from_static(b"{}"))
                .unwrap()),
            Some(Fault::Refused) => Ok(refuse::<L::Vendor>(&Refusal::Unauthenticated)),
            Some(Fault::Limited) => Ok(refuse::<L::Vendor>(&Refusal::Limited { retry_after: SENT_AWAY })),
            Some(Fault::Busy) => {
                let busy = Refusal::Overloaded { what: "too much to do", retry_after: SENT_AWAY };
                Ok(refuse::<L::Vendor>(&busy))
            }
        }
    }

    fn serve(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        *self.served.entry(request.method().to_string()).or_default() += 1;
        let mut service = self.service.clone();
        let request = request.clone().map(Full::new);
        let (parts, body) = now(async {
            let (parts, body) = service.call(request).await.unwrap().into_parts();
            (parts, body.collect().await.unwrap().to_bytes())
        });
        let mut answer = Response::from_parts(parts, body);
        let date = self.time.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        answer.headers_mut().insert(header::DATE, date.parse().unwrap());
        answer
    }
}

impl<L: Life> fmt::Debug for World<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("luck", &self.luck).finish_non_exhaustive()
    }
}

fn page(status: u16) -> Response<Bytes> {
    let body = Bytes::from_static(b"<html><body>Sign in to the guest network</body></html>");
    Response::builder().status(status).header(header::CONTENT_TYPE, "text/html").body(body).unwrap()
}

fn refuse<V: Vendor>(fault: &Refusal) -> Response<Bytes> {
    codec::encode_fault::<V::Error>(V::Error::status(fault), fault)
}
