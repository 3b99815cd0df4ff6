//! One row: rounds of both servers in turns, then latencies at a constant rate.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use fleetwire_server::SystemClock;
use fleetwire_server_core::Clock;
use fleetwire_sim::load::engine::{
    self, Answer, Due, Failure, Observer, Pacing, Plan, Request, Run, Snapshot, Source, Target, cpu,
};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::Arguments;
use crate::fleet::Fleet;
use crate::rows::{COUNTER, Row};
use crate::server::{Server, Variant};

/// How much of the highest rate is sent while latencies are measured.
const SHARE: f64 = 0.5;

/// Goes up over all rounds, so that no request is sent twice that must not be.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Requests that are ready, sent in scattered order.
pub(crate) struct Ready {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Where digits are within each request that every sending has others for.
    digits: Option<Vec<Range<usize>>>,
    at: usize,
    step: usize,
    /// How many are sent at the most.
    left: u64,
    sent: u64,
    waits: bool,
    pub(crate) refused: Option<String>,
}

impl Ready {
    pub(crate) fn new(server: &Server, requests: &[http::Request<Bytes>]) -> Self {
        let target =
            Target { address: server.address, authority: server.address.to_string(), prefix: String::new() };
        let (mut bytes, mut ends, mut digits) = (Vec::new(), Vec::new(), Vec::new());
        for request in requests {
            let start = bytes.len();
            target.write(request, true, &mut bytes);
            let written = &bytes[start..];
            let found = written.windows(COUNTER.len()).position(|window| window == COUNTER.as_bytes());
            digits.extend(found.map(|at| at..at + COUNTER.len()));
            ends.push(bytes.len());
        }
        let digits = (digits.len() == ends.len()).then_some(digits);
        // A prime that no number of agents is a multiple of, so that neighbours are not asked one after another.
        Self { bytes, ends, digits, at: 0, step: 7919, left: u64::MAX, sent: 0, waits: false, refused: None }
    }

    /// The same, each request once.
    pub(crate) fn once(mut self) -> Self {
        (self.left, self.step) = (self.ends.len() as u64, 1);
        self
    }

    /// The same, and nothing more until the run is ended.
    pub(crate) fn then_wait(mut self) -> Self {
        self.waits = true;
        self
    }
}

impl Source for Ready {
    fn kinds(&self) -> usize {
        1
    }

    fn due(&mut self, _now: Duration) -> Due {
        match self.left {
            0 if self.waits => Due::At(Duration::MAX),
            0 => Due::Idle,
            _ => Due::Now,
        }
    }

    fn write(&mut self, _now: Duration, into: &mut Vec<u8>) -> Request {
        self.left -= 1;
        self.sent += 1;
        self.at = (self.at + self.step) % self.ends.len();
        let start = if self.at == 0 { 0 } else { self.ends[self.at - 1] };
        into.extend_from_slice(&self.bytes[start..self.ends[self.at]]);
        if let Some(digits) = &self.digits {
            let mut number = COUNT.fetch_add(1, Ordering::Relaxed);
            for digit in into[digits[self.at].clone()].iter_mut().rev() {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
        }
        Request { kind: 0, ticket: 0 }
    }

    fn answered(&mut self, _request: Request, _now: Duration, outcome: Result<Answer<'_>, Failure>) {
        let wrong = match outcome {
            Ok(answer) if (200..300).contains(&answer.status) => return,
            Ok(answer) => format!("{}: {}", answer.status, String::from_utf8_lossy(answer.body)),
            Err(failure) => failure.to_string(),
        };
        self.refused.get_or_insert(wrong);
    }
}

/// Reads a server's CPU time at both ends of the window.
struct Watch {
    pid: u32,
    begin: Option<cpu::Usage>,
    used: Option<Duration>,
}

impl Observer for Watch {
    fn begin(&mut self) {
        self.begin = cpu::Usage::of(self.pid).ok();
    }

    fn second(&mut self, _: &Snapshot<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn end(&mut self) {
        let end = cpu::Usage::of(self.pid).ok();
        self.used = self.begin.as_ref().zip(end).map(|(begin, end)| end.since(begin));
    }
}

/// One round of one server.
pub(crate) struct Round {
    /// Of the server, per request, in microseconds.
    pub(crate) micros: f64,
    pub(crate) run: Run,
    /// Requests that were sent, those of the warm-up too.
    all: u64,
}

pub(crate) fn round(server: &Server, plan: &Plan, ready: Ready) -> Result<Round> {
    let mut watch = Watch { pid: server.pid(), begin: None, used: None };
    let (run, ready) = engine::run(plan, ready, &mut watch)?;
    if let Some(refused) = &ready.refused {
        bail!("not every request was answered well: {refused}");
    }
    let used = watch.used.context("the server's time in /proc cannot be read")?;
    if run.sent == 0 {
        bail!("nothing was sent");
    }
    Ok(Round { micros: used.as_secs_f64() * 1e6 / run.sent as f64, run, all: ready.sent })
}

/// Our server as a row wants it, where every agent of the row has asked before.
struct Stand<'a> {
    row: &'a Row,
    fleet: &'a Fleet,
    duration: Duration,
    ours: Server,
    place: PathBuf,
    /// Requests that were sent so far.
    sent: u64,
    /// What one cost the generator while it could sleep.
    generator: Duration,
}

impl<'a> Stand<'a> {
    fn new(
        row: &'a Row,
        fleet: &'a Fleet,
        folder: &Path,
        duration: Duration,
        arguments: &Arguments,
    ) -> Result<Self> {
        let place = folder.join("server");
        fleet.copy(&place)?;
        let ours = Server::ours(arguments.core, &place, row.variant)?;
        let mut stand = Self { row, fleet, duration, ours, place, sent: 0, generator: Duration::ZERO };
        let plan = Plan {
            duration: Duration::from_secs(120),
            warm_up: Duration::ZERO,
            wakeful: false,
            ..stand.plan(&stand.ours, Pacing::Closed)
        };
        // At the first use of a key the store is asked, and whoever asks for another key meanwhile asks again.
        for _ in 0..2 {
            let all = round(&stand.ours, &plan, stand.ready(&stand.ours)?.once())?;
            stand.sent += all.all;
            stand.generator = all.run.cpu_per_request().unwrap_or_default();
        }
        Ok(stand)
    }

    fn plan(&self, server: &Server, pacing: Pacing) -> Plan {
        Plan {
            warm_up: self.duration / 3,
            wakeful: true,
            ..Plan::new(server.address, self.row.clients, pacing, self.duration)
        }
    }

    /// Made anew for each round, since some requests carry their time.
    fn ready(&self, server: &Server) -> Result<Ready> {
        Ok(Ready::new(server, &(self.row.requests)(self.fleet, SystemClock.now())?))
    }

    fn round(&mut self, plan: &Plan) -> Result<Round> {
        let round = round(&self.ours, plan, self.ready(&self.ours)?)?;
        self.sent += round.all;
        Ok(round)
    }

    /// Ends the server; see [`Server::stop`].
    fn end(self) -> Result<Option<(u64, u64)>> {
        let committed = self.ours.stop()?;
        std::fs::remove_dir_all(&self.place)?;
        Ok(committed)
    }
}

/// Has `perf` write down what our server does while it serves a row.
pub(crate) fn record(
    row: &Row,
    fleet: &Fleet,
    folder: &Path,
    duration: Duration,
    arguments: &Arguments,
    file: &Path,
) -> Result<()> {
    let mut stand = Stand::new(row, fleet, folder, duration, arguments)?;
    let plan = stand.plan(&stand.ours, Pacing::Closed);
    let mut perf = Command::new("perf")
        .args(["record", "--quiet", "--freq", "999", "--call-graph", "dwarf,16384"])
        .args(["--pid", &stand.ours.pid().to_string(), "--output"])
        .arg(file)
        // It ends with the command that it was given.
        .args(["--", "sleep", &duration.as_secs_f64().to_string()])
        .spawn()
        .context("perf could not be started; it writes down what a server does (Debian: linux-perf)")?;
    stand.round(&plan)?;
    let status = perf.wait()?;
    ensure!(status.success(), "perf ended with {status}");
    stand.end()?;
    Ok(())
}

/// All of a row, as JSON.
pub(crate) fn row(
    row: &Row,
    fleet: &Fleet,
    bare: &Server,
    folder: &Path,
    duration: Duration,
    arguments: &Arguments,
    bar: &ProgressBar,
) -> Result<Value> {
    let mut stand = Stand::new(row, fleet, folder, duration, arguments)?;
    bar.inc(1);

    let mut rounds = Vec::new();
    let mut best: f64 = 0.0;
    for _ in 0..arguments.rounds.max(1) {
        let least = round(bare, &stand.plan(bare, Pacing::Closed), stand.ready(bare)?)?;
        let full = stand.round(&stand.plan(&stand.ours, Pacing::Closed))?;
        best = best.max(full.run.rate());
        rounds.push(json!({
            "bare_us": least.micros, "ours_us": full.micros,
            "bare_rate": least.run.rate(), "ours_rate": full.run.rate(),
        }));
        bar.inc(1);
    }
    let steady = Plan { exact: true, ..stand.plan(&stand.ours, Pacing::Rate(best * SHARE)) };
    let steady = stand.round(&steady)?.run;
    let counts = steady.tally.total();
    let micros = |share| counts.latency.quantile(share).as_micros();
    bar.inc(1);

    let (answered, generator) = (stand.sent, stand.generator);
    let committed = stand.end()?;
    let batch = committed.and_then(|(groups, calls)| {
        // A check-in shares a call with others; anything else that is committed is a call of its own.
        let committed = if row.variant == Variant::Committed { answered } else { calls };
        (committed * 2 > answered).then(|| committed as f64 / groups.max(1) as f64)
    });
    Ok(json!({
        "row": row.name, "operation": row.operation, "variant": row.variant.name(), "clients": row.clients,
        "known": fleet.acusight.len(), "rounds": rounds, "generator_us": generator.as_secs_f64() * 1e6,
        "latency": {
            "rate": best * SHARE, "p50_us": micros(0.5), "p99_us": micros(0.99), "p999_us": micros(0.999),
            "answers": counts.answers(), "behind_us": steady.behind.as_micros(),
        },
        "mean_batch": batch,
    }))
}
