//! What came of a load: figures as data, which is what `--json` prints, and as a page.

mod page;
mod plots;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::engine::Latencies;

pub use verdict::{Limits, Threshold};

/// The number of the form that a [`Report`] has as JSON. Members may be added under the same number; none is renamed,
/// moved or taken away.
pub const FORMAT: u32 = 1;

/// What came of a load.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of this program.
    pub fleetwire: &'static str,
    /// Where the load went.
    pub target: String,
    /// What was asked for.
    pub asked: Asked,
    /// Agents by the short names of their vendors.
    pub agents: BTreeMap<&'static str, usize>,
    /// How they were taken in; nothing if all of them were known.
    pub enrolment: Option<EnrolmentReport>,
    /// What is to be known of this run besides figures, in sentences.
    pub notes: Vec<String>,
    /// How long was measured.
    pub seconds: f64,
    /// All operations together.
    pub total: Figures,
    /// Each operation that was sent, by its id.
    pub operations: BTreeMap<&'static str, Figures>,
    /// What was refused, in the server's own words: one example for each operation and status.
    pub refusals: Vec<Example>,
    /// The figures of each second.
    pub course: Vec<Second>,
    /// How many answers took how long.
    pub histogram: Vec<Bar>,
    /// This side.
    pub generator: Generator,
    /// The server's process, if it was named.
    pub server: Option<ServerReport>,
    /// What the run was held to.
    pub thresholds: Vec<Threshold>,
    /// Whether it kept to all of that.
    pub ok: bool,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Asked {
    /// Requests a second once all agents have joined.
    pub per_second: f64,
    /// Seconds between two reports of one agent; nothing if a rate was asked for.
    pub interval_seconds: Option<f64>,
    /// How long the load lasts, the ramp included.
    pub duration_seconds: f64,
    /// The time over which agents join.
    pub ramp_seconds: f64,
    /// Connections at one time.
    pub connections: usize,
    /// Whether a connection carries more than one request.
    pub keep_alive: bool,
    /// Whether agents ask for work and do it.
    pub work: bool,
    /// What decides who reports when, and what agents are called.
    pub seed: u64,
}

/// How agents were taken in.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EnrolmentReport {
    /// How many.
    pub agents: usize,
    /// In which time.
    pub seconds: f64,
    /// How many a second.
    pub per_second: f64,
    /// Requests that were put off by the server, or had no answer, and were sent again.
    pub repeated: u64,
}

impl EnrolmentReport {
    /// Both, one after the other.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let (agents, seconds) = (self.agents + other.agents, self.seconds + other.seconds);
        Self {
            agents,
            seconds: round(seconds),
            per_second: round(figure(agents as u64) / seconds.max(0.001)),
            repeated: self.repeated + other.repeated,
        }
    }
}

/// Figures of one operation, or of all.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// Requests that came to an end: answered, or failed.
    pub requests: u64,
    /// Of them, a second.
    pub per_second: f64,
    /// Of them, those that were not answered by a status of success.
    pub errors: u64,
    /// Errors among requests, 0 to 1.
    pub error_rate: f64,
    /// How long answers took, counted from when the request was due; nothing if there was none.
    pub latency: Option<Latency>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a whole answer, by cause: `connect`, `reset`, `timeout`, `garbled`, and others that the engine
    /// tells apart.
    pub failures: BTreeMap<&'static str, u64>,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Bytes of answers.
    pub bytes_received: u64,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Latency {
    /// The mean.
    pub mean_ms: f64,
    /// Half of them are no slower.
    pub p50_ms: f64,
    /// 90 % of them are no slower.
    pub p90_ms: f64,
    /// 99 % of them are no slower.
    pub p99_ms: f64,
    /// 99.9 % of them are no slower.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Latency {
    /// Of times; `None` if there are none.
    pub(super) fn of(times: &Latencies) -> Option<Self> {
        let at = |share| milliseconds(times.quantile(share));
        (times.count() > 0).then(|| Self {
            mean_ms: milliseconds(times.mean()),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: milliseconds(times.longest()),
        })
    }
}

/// An answer that was a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Example {
    /// The operation.
    pub operation: &'static str,
    /// The status.
    pub status: u16,
    /// The beginning of the body.
    pub body: String,
}

/// One second of the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Second {
    /// Its end, in seconds since the start.
    pub at: f64,
    /// Requests that came to an end in it, a second.
    pub per_second: f64,
    /// Errors in it.
    pub errors: u64,
    /// The latencies of its answers; nothing if there was none.
    pub latency: Option<Latency>,
}

/// How many answers took no longer than this, and longer than the bar before allows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Bar {
    /// The longest time, in milliseconds.
    pub to_ms: f64,
    /// How many.
    pub answers: u64,
}

/// What the generator itself did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Generator {
    /// Processor time of the threads that send, in seconds.
    pub cpu_seconds: f64,
    /// The same as a share of the one core that they may use, 0 to 1.
    pub cpu_share: f64,
    /// The same for each request, in microseconds.
    pub cpu_per_request_us: f64,
    /// How late requests left, where that was this side's own doing; nothing if none left.
    pub lateness: Option<Latency>,
    /// Requests that were due and never left.
    pub unsent: u64,
    /// Connections that were made.
    pub connections_made: u64,
    /// Whether what was measured is this side and not the server.
    pub bottleneck: bool,
    /// What tells so.
    pub evidence: Vec<String>,
}

/// What the server's process did while it was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerReport {
    /// The process.
    pub pid: u32,
    /// Its processor time, in seconds.
    pub cpu_seconds: f64,
    /// The same in cores: 1 is one core all the time.
    pub cpu_cores: f64,
    /// The same for each request, in microseconds.
    pub cpu_per_request_us: f64,
    /// The most memory that it held, in bytes.
    pub rss_max_bytes: u64,
    /// The same, looked at each second.
    pub course: Vec<ServerSecond>,
}

/// One look at the server's process.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerSecond {
    /// When, in seconds since the start.
    pub at: f64,
    /// Cores that it used since the look before.
    pub cpu_cores: f64,
    /// Memory that it holds, in bytes.
    pub rss_bytes: u64,
}

impl Report {
    /// The report as a page that needs nothing besides itself.
    #[must_use]
    pub fn page(&self) -> String {
        page::page(self)
    }
}

/// Times as bars, each a quarter wider than the one before, so that fast and slow are both seen.
pub(super) fn bars(times: &Latencies) -> Vec<Bar> {
    let mut bars: Vec<Bar> = Vec::new();
    let mut to = Duration::from_micros(50);
    for (time, answers) in times.steps() {
        while time > to {
            to += to / 4;
            // None before the first that has any.
            if !bars.is_empty() {
                bars.push(Bar { to_ms: milliseconds(to), answers: 0 });
            }
        }
        if bars.is_empty() {
            bars.push(Bar { to_ms: milliseconds(to), answers: 0 });
        }
        if let Some(bar) = bars.last_mut() {
            bar.answers += answers;
        }
    }
    bars
}

/// A time in milliseconds, to the microsecond.
pub(super) fn milliseconds(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1000.0)
}

/// To three digits after the point: more of them mean nothing.
pub(super) fn round(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

/// A count as a figure to reckon with.
pub(super) const fn figure(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "nobody counts 2^53 of anything here")]
    let figure = count as f64;
    figure
}

#[cfg(test)]
mod tests;
