//! Requests over real sockets, and the time that their answers take.
//!
//! A [`Source`] writes requests as bytes and hears what came of each. [`run`] sends them over a bounded number of
//! connections as a [`Plan`] says, on the calling thread, which can be pinned to one core.
//!
//! * **No coordinated omission.** A request has a moment at which it is due, and its latency counts from then,
//!   whether or not a connection was free. [`Run::behind`] says how far the end of the run lagged behind its schedule.
//! * **Honest about itself.** A run knows the CPU time of its own thread and how late it woke up;
//!   [`Run::bottleneck`] says when its figures are its own rather than the server's.
//! * **Cheap.** Nothing is allocated per request once buffers have grown; there is no task, lock that waits or timer
//!   per request beyond the one that waits for what is due next.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use fleetwire_sim::load::engine::{self, Pacing, Plan, Request, Source, Target};
//!
//! struct Health(Target);
//!
//! impl Source for Health {
//!     fn kinds(&self) -> usize {
//!         1
//!     }
//!
//!     fn write(&mut self, _now: Duration, into: &mut Vec<u8>) -> Request {
//!         let request = http::Request::get("/healthz").body(Bytes::new()).expect("a request");
//!         self.0.write(&request, true, into);
//!         Request { kind: 0, ticket: 0 }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let target = Target::find("http://127.0.0.1:8080")?;
//! let plan = Plan::new(target.address, 8, Pacing::Rate(500.0), Duration::from_secs(10));
//! let (run, _) = engine::run(&plan, Health(target), &mut ())?;
//! let health = &run.tally.kinds()[0];
//! println!("{} answers, p99 {:?}", health.answers(), health.latency.quantile(0.99));
//! # Ok(())
//! # }
//! ```

pub mod cpu;
mod exchange;
mod tally;
mod target;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use self::exchange::Answer;
use self::exchange::Exchange;
use self::tally::Sent;
pub use self::tally::{Counts, Failures, Latencies, Tally};
pub use self::target::{Target, TargetError};

/// How long one looks at the clock instead of sleeping, if it is to be exact: timers are good to a millisecond.
const SPIN: Duration = Duration::from_millis(2);

/// What to send where, how fast and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where connections go.
    pub address: SocketAddr,
    /// The most connections at a time, and so the most requests under way. They take turns.
    pub connections: usize,
    /// When requests are due.
    pub pacing: Pacing,
    /// Whether a connection is used for more than one request.
    pub keep_alive: bool,
    /// What is due in this time from the start is sent and not counted.
    pub warm_up: Duration,
    /// What is due in this time after the warm-up is counted.
    pub duration: Duration,
    /// How long one request may take, with the making of its connection.
    pub timeout: Duration,
    /// Whether to look at the clock again and again for the last two milliseconds before a request is due, so that it
    /// leaves to the microsecond. It takes all of a core, and so says nothing of the CPU that load costs.
    pub exact: bool,
    /// Whether to look for answers again and again instead of sleeping until there are some. Where both sides are on one
    /// machine, it is the server that is charged with waking a generator that sleeps, and the quicker the server the more
    /// often. It takes all of a core too.
    pub wakeful: bool,
}

impl Plan {
    /// A plan without warm-up that keeps its connections and allows 10 s for each request.
    #[must_use]
    pub const fn new(address: SocketAddr, connections: usize, pacing: Pacing, duration: Duration) -> Self {
        Self {
            address,
            connections,
            pacing,
            keep_alive: true,
            warm_up: Duration::ZERO,
            duration,
            timeout: Duration::from_secs(10),
            exact: false,
            wakeful: false,
        }
    }

    /// From the start to the moment after which nothing is sent any more.
    const fn end(&self) -> Duration {
        self.warm_up.saturating_add(self.duration)
    }
}

/// When requests are due, as far as their [`Source`] does not say so itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pacing {
    /// So many per second, at even distances, whatever becomes of them. Not above zero: none.
    Rate(f64),
    /// Each connection sends its next request as soon as it has an answer.
    Closed,
}

/// When the next request of a [`Source`] is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Whenever the plan's pacing wants one.
    Now,
    /// So long after the start of the run, and not before the plan's pacing wants one.
    At(Duration),
    /// There is none until an answer changes that. The run ends when none is under way either.
    Idle,
}

/// What a [`Source`] says of the request that it wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Which kind it is, from zero and below [`Source::kinds`].
    pub kind: usize,
    /// Whatever the source wants to know it by when it is answered.
    pub ticket: u64,
}

/// Where requests come from.
///
/// All times are since the start of the run. A source is asked by one thread; several threads have one each.
pub trait Source: Send + 'static {
    /// How many kinds of requests are told apart.
    fn kinds(&self) -> usize;

    /// When the next request is due. Asked often: before each request, and after each answer while one waits.
    fn due(&mut self, now: Duration) -> Due {
        let _ = now;
        Due::Now
    }

    /// Writes the next request, which is sent at once, as it goes over the wire, into an empty buffer.
    /// [`Target::write`] helps; what is written once and patched afterwards is cheaper.
    fn write(&mut self, now: Duration, into: &mut Vec<u8>) -> Request;

    /// Hears what came of a request.
    fn answered(&mut self, request: Request, now: Duration, outcome: Result<Answer<'_>, Failure>) {
        let _ = (request, now, outcome);
    }
}

/// Why a request was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There was no connection to be had.
    #[error("no connection")]
    Connect,
    /// The connection broke before anything of the answer came.
    #[error("connection broken")]
    Reset,
    /// It took longer than the plan allows.
    #[error("no answer in time")]
    Timeout,
    /// What came is no whole HTTP answer.
    #[error("no HTTP answer")]
    Garbled,
}

/// How a run stands.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// Since the start.
    pub at: Duration,
    /// Whether the warm-up is over.
    pub measuring: bool,
    /// Requests that wait for their answer.
    pub in_flight: usize,
    /// Connections that are held.
    pub connections: usize,
    /// How late the next request is that waits to be sent; zero if none is.
    pub behind: Duration,
    /// What was answered since the last snapshot.
    pub second: &'a Tally,
    /// What was answered and counts, since the warm-up.
    pub total: &'a Tally,
}

/// Who watches a run. `()` does not.
pub trait Observer {
    /// The warm-up is over.
    fn begin(&mut self) {}

    /// Another second has passed. A break ends the run as if its time were over.
    fn second(&mut self, snapshot: &Snapshot<'_>) -> ControlFlow<()> {
        let _ = snapshot;
        ControlFlow::Continue(())
    }

    /// Nothing more is sent; answers may still be under way.
    fn end(&mut self) {}
}

impl Observer for () {}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Of all requests that were due after the warm-up.
    pub tally: Tally,
    /// How long requests were sent after the warm-up: the plan's duration, or less if the run ended early.
    pub window: Duration,
    /// CPU time of this thread from the end of the warm-up to the end of the window; `None` where the system does not tell.
    pub cpu: Option<Duration>,
    /// Requests that were sent between the same two moments.
    pub sent: u64,
    /// How late those were sent that were waited for with a free connection: the generator's own fault.
    pub lateness: Latencies,
    /// How long the oldest request had been due that was not sent when the time was over, because no connection was
    /// free: zero if the schedule was kept. Such requests are in no other figure.
    pub behind: Duration,
    /// Connections that were made, the first of each among them.
    pub connects: u64,
}

/// Why a run measured itself rather than the server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bottleneck {
    /// It was on the CPU for this share of the window, from 0 to 1.
    Cpu(f64),
    /// One request in a hundred left this late, though a connection was free for it.
    Late(Duration),
}

impl fmt::Display for Bottleneck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(share) => {
                write!(formatter, "the generator was busy {:.0} % of the time", share * 100.0)
            }
            Self::Late(by) => {
                write!(
                    formatter,
                    "the generator itself sent 1 % of the requests {} ms or more late",
                    by.as_millis()
                )
            }
        }
    }
}

impl Run {
    /// Answers per second of the window, whichever their status.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let answers: u64 = self.tally.kinds().iter().map(Counts::answers).sum();
        if self.window.is_zero() { 0.0 } else { answers as f64 / self.window.as_secs_f64() }
    }

    /// CPU time of the generator per request that it sent.
    #[must_use]
    pub fn cpu_per_request(&self) -> Option<Duration> {
        let sent = u32::try_from(self.sent).ok().filter(|sent| *sent > 0)?;
        self.cpu.map(|cpu| cpu / sent)
    }

    /// Whether the generator was too slow for what it was to measure. Says nothing of a run that was to be exact or
    /// wakeful, which is always busy.
    #[must_use]
    pub fn bottleneck(&self, plan: &Plan) -> Option<Bottleneck> {
        let late = self.lateness.quantile(0.99);
        if late > Duration::from_millis(10) {
            return Some(Bottleneck::Late(late));
        }
        let busy = self.cpu?.as_secs_f64() / self.window.as_secs_f64().max(f64::MIN_POSITIVE);
        (busy > 0.9 && !plan.exact && !plan.wakeful).then_some(Bottleneck::Cpu(busy))
    }

    /// Adds what another thread has seen in the same time.
    pub fn merge(&mut self, other: &Self) {
        self.tally.merge(&other.tally);
        self.window = self.window.max(other.window);
        self.cpu = self.cpu.zip(other.cpu).map(|(mine, theirs)| mine + theirs);
        self.sent += other.sent;
        self.lateness.merge(&other.lateness);
        self.behind = self.behind.max(other.behind);
        self.connects += other.connects;
    }
}

/// Sends the requests of a source as the plan says, and gives the source back. Blocks the calling thread, which must not
/// be one of an async runtime.
///
/// # Errors
/// When the system has no event queue for it. What becomes of requests is no error: see [`Run::tally`].
///
/// # Panics
/// If the source or the observer does.
pub fn run<S: Source, O: Observer>(plan: &Plan, source: S, observer: &mut O) -> io::Result<(Run, S)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let worker = runtime.block_on(drive(plan, source, observer));
    drop(runtime);
    // Every task has ended, and its share of the worker with it.
    let worker = Arc::into_inner(worker).ok_or_else(|| io::Error::other("a connection outlived its run"))?;
    let state = worker.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let window = state.end.saturating_sub(plan.warm_up);
    let run = Run {
        tally: state.total,
        window,
        cpu: state.cpu_at_begin.zip(state.cpu_at_end).map(|(begin, end)| end.saturating_sub(begin)),
        sent: state.sent_at_end.saturating_sub(state.sent_at_begin),
        lateness: state.lateness,
        behind: state.behind,
        connects: state.connects,
    };
    Ok((run, state.source))
}

/// What all connections share. One thread has it, so that its locks are never waited for; that they are locks and no cells
/// lets the tasks run on the runtime itself rather than in a set of its own.
struct Worker<S> {
    plan: Plan,
    start: Instant,
    state: Mutex<State<S>>,
    /// Whoever has it waits for what is due next; the others wait in line.
    turn: tokio::sync::Mutex<()>,
    /// Something is due sooner than whoever has the turn thinks.
    sooner: Notify,
}

struct State<S> {
    source: S,
    /// How many requests the pacing has had.
    paced: u64,
    /// Until when whoever has the turn waits.
    waiting: Option<Duration>,
    end: Duration,
    in_flight: usize,
    connections: usize,
    connects: u64,
    sent: u64,
    sent_at_begin: u64,
    sent_at_end: u64,
    cpu_at_begin: Option<Duration>,
    cpu_at_end: Option<Duration>,
    lateness: Latencies,
    behind: Duration,
    second: Tally,
    total: Tally,
}

/// A request that is to be sent now.
struct Claim {
    request: Request,
    due: Duration,
    sent: Duration,
}

impl<S: Source> State<S> {
    /// When the next request is due; `None` if there is none until an answer changes that.
    fn due(&mut self, pacing: Pacing, now: Duration) -> Option<Duration> {
        let paced = match pacing {
            Pacing::Closed => None,
            Pacing::Rate(rate) => {
                Some(Duration::try_from_secs_f64(self.paced as f64 / rate.max(0.0)).unwrap_or(Duration::MAX))
            }
        };
        match self.source.due(now) {
            Due::Idle => None,
            Due::Now => Some(paced.unwrap_or(now)),
            Due::At(at) => Some(at.max(paced.unwrap_or_default())),
        }
    }
}

impl<S: Source> Worker<S> {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        // A source that panicked ends the run with its panic: see `drive`.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request is due and has it written; `None` when there will be none.
    async fn claim(&self, into: &mut Vec<u8>) -> Option<Claim> {
        let _turn = self.turn.lock().await;
        let mut waited_for = None;
        loop {
            let now = self.now();
            let until = {
                let mut state = self.state();
                state.waiting = None;
                if now >= state.end {
                    return None;
                }
                let due = state.due(self.plan.pacing, now);
                match due {
                    Some(due) if due <= now => {
                        if waited_for == Some(due) && now >= self.plan.warm_up {
                            state.lateness.record(now - due);
                        }
                        state.paced += 1;
                        state.sent += 1;
                        state.in_flight += 1;
                        into.clear();
                        let request = state.source.write(now, into);
                        return Some(Claim { request, due, sent: now });
                    }
                    None if state.in_flight == 0 => return None,
                    due => {
                        waited_for = due;
                        let until = due.unwrap_or(Duration::MAX).min(state.end);
                        state.waiting = Some(until);
                        until
                    }
                }
            };
            if self.plan.exact && until.saturating_sub(now) < SPIN {
                tokio::task::yield_now().await;
                continue;
            }
            let wake = if self.plan.exact { until.saturating_sub(SPIN / 2) } else { until };
            tokio::select! {
                () = sleep_until(self.start + wake) => {}
                () = self.sooner.notified() => {}
            }
        }
    }

    /// Tells the source and the tally what came of a request.
    fn answered(&self, claim: &Claim, bytes_sent: usize, outcome: Result<(Answer<'_>, usize), Failure>) {
        let now = self.now();
        let sent = Sent {
            kind: claim.request.kind,
            latency: now.saturating_sub(claim.due),
            service: now.saturating_sub(claim.sent),
            bytes_sent,
            outcome: outcome.map(|(answer, bytes)| (answer.status, bytes)),
        };
        let mut state = self.state();
        state.in_flight -= 1;
        state.second.count(&sent);
        if claim.due >= self.plan.warm_up {
            state.total.count(&sent);
        }
        state.source.answered(claim.request, now, outcome.map(|(answer, _)| answer));
        if let Some(waiting) = state.waiting {
            let sooner = match state.due(self.plan.pacing, now) {
                Some(due) => due < waiting,
                None => state.in_flight == 0,
            };
            if sooner {
                self.sooner.notify_one();
            }
        }
    }

    async fn serve_connection(self: Arc<Self>) {
        let mut exchange = Exchange::new(self.plan.address, self.plan.keep_alive, self.plan.timeout);
        let mut request = Vec::new();
        while let Some(claim) = self.claim(&mut request).await {
            let (was, made) = (exchange.is_connected(), exchange.connects);
            let outcome = exchange.send(&request).await;
            self.answered(&claim, request.len(), outcome);
            let mut state = self.state();
            state.connects += exchange.connects - made;
            match (was, exchange.is_connected()) {
                (false, true) => state.connections += 1,
                (true, false) => state.connections -= 1,
                _ => {}
            }
        }
    }

    /// Takes down how far the schedule was kept.
    fn behind(&self, state: &mut State<S>, now: Duration) -> Duration {
        state.due(self.plan.pacing, now).map_or(Duration::ZERO, |due| now.saturating_sub(due))
    }
}

/// Runs all connections on the current runtime, and watches them.
async fn drive<S: Source, O: Observer>(plan: &Plan, source: S, observer: &mut O) -> Arc<Worker<S>> {
    let kinds = source.kinds();
    let state = State {
        source,
        paced: 0,
        waiting: None,
        end: plan.end(),
        in_flight: 0,
        connections: 0,
        connects: 0,
        sent: 0,
        sent_at_begin: 0,
        sent_at_end: 0,
        cpu_at_begin: None,
        cpu_at_end: None,
        lateness: Latencies::new(),
        behind: Duration::ZERO,
        second: Tally::new(kinds),
        total: Tally::new(kinds),
    };
    let worker = Arc::new(Worker {
        plan: plan.clone(),
        start: Instant::now(),
        state: Mutex::new(state),
        turn: tokio::sync::Mutex::new(()),
        sooner: Notify::new(),
    });

    if plan.wakeful {
        // Whoever has something to do does not sleep. It ends with the runtime.
        drop(tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        }));
    }
    let mut tasks = JoinSet::new();
    for _ in 0..plan.connections.max(1) {
        tasks.spawn(Arc::clone(&worker).serve_connection());
    }
    let mut begun = false;
    let mut ended = false;
    let mut second = Duration::from_secs(1);
    loop {
        {
            let now = worker.now();
            let mut guard = worker.state();
            let state = &mut *guard;
            if !begun && now >= plan.warm_up {
                begun = true;
                state.sent_at_begin = state.sent;
                state.cpu_at_begin = cpu::of_this_thread();
                observer.begin();
            }
            if now >= second {
                second += Duration::from_secs(1);
                let behind = if ended { Duration::ZERO } else { worker.behind(state, now) };
                let snapshot = Snapshot {
                    at: now,
                    measuring: begun,
                    in_flight: state.in_flight,
                    connections: state.connections,
                    behind,
                    second: &state.second,
                    total: &state.total,
                };
                if observer.second(&snapshot).is_break() && !ended {
                    state.end = state.end.min(now);
                    worker.sooner.notify_one();
                }
                state.second.clear();
            }
            if !ended && now >= state.end {
                ended = true;
                finish(&worker, state, now, observer);
            }
        }
        let next = {
            let end = worker.state().end;
            let next = if begun { second } else { second.min(plan.warm_up) };
            if ended { next } else { next.min(end) }
        };
        tokio::select! {
            biased;
            () = sleep_until(worker.start + next) => {}
            task = tasks.join_next() => match task {
                Some(Ok(())) => continue,
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Some(Err(_)) => continue,
                None => break,
            },
        }
    }
    if !ended {
        // The source had nothing more.
        let mut state = worker.state();
        let now = worker.now();
        state.end = state.end.min(now);
        finish(&worker, &mut state, now, observer);
    }
    worker
}

/// Takes down what holds at the end of the window.
fn finish<S: Source, O: Observer>(worker: &Worker<S>, state: &mut State<S>, now: Duration, observer: &mut O) {
    state.behind = worker.behind(state, now);
    state.sent_at_end = state.sent;
    state.cpu_at_end = cpu::of_this_thread();
    observer.end();
}
