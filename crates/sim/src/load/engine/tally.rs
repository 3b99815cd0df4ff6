//! What came of the requests.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::Failure;

/// Times from 1 µs to [`Latencies::MOST`], exact to three digits, in constant memory.
#[derive(Clone)]
pub struct Latencies(Histogram<u32>);

impl Latencies {
    /// What takes longer is counted as this long.
    pub const MOST: Duration = Duration::from_secs(120);

    /// No time at all yet.
    #[must_use]
    pub fn new() -> Self {
        let most = u64::try_from(Self::MOST.as_micros()).unwrap_or(u64::MAX);
        // Both bounds are constants that the crate allows.
        Self(Histogram::new_with_max(most, 3).expect("bounds of the histogram"))
    }

    /// Counts a time. Never allocates.
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// The time that this share of all, from 0 to 1, did not exceed; zero if there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(share))
    }

    /// The longest; zero if there are none.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// The mean; zero if there are none.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e6)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds, which is the one thing that addition can fail over.
        let _ = self.0.add(&other.0);
    }

    /// How many took how long: the upper end of each step and its count, steps without any left out.
    pub fn steps(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.0
            .iter_recorded()
            .map(|step| (Duration::from_micros(step.value_iterated_to()), step.count_since_last_iteration()))
    }

    fn clear(&mut self) {
        self.0.reset();
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Latencies")
            .field("count", &self.count())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("longest", &self.longest())
            .finish()
    }
}

/// Requests that were not answered, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures {
    /// See [`Failure::Connect`].
    pub connect: u64,
    /// See [`Failure::Reset`].
    pub reset: u64,
    /// See [`Failure::Timeout`].
    pub timeout: u64,
    /// See [`Failure::Garbled`].
    pub garbled: u64,
}

impl Failures {
    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.connect + self.reset + self.timeout + self.garbled
    }

    const fn count(&mut self, failure: Failure) {
        match failure {
            Failure::Connect => self.connect += 1,
            Failure::Reset => self.reset += 1,
            Failure::Timeout => self.timeout += 1,
            Failure::Garbled => self.garbled += 1,
        }
    }

    const fn merge(&mut self, other: &Self) {
        self.connect += other.connect;
        self.reset += other.reset;
        self.timeout += other.timeout;
        self.garbled += other.garbled;
    }
}

/// What came of the requests of one kind.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// From the moment at which a request was due, to the last byte of its answer: what whoever sent it waited,
    /// however late it could be sent. Answered requests only.
    pub latency: Latencies,
    /// From the moment at which it was sent, to the last byte of its answer.
    pub service: Latencies,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub failures: Failures,
    /// Bytes of requests, head and body.
    pub bytes_sent: u64,
    /// Bytes of answers, head and body.
    pub bytes_received: u64,
}

impl Counts {
    /// How many were answered, with whichever status.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// How many were answered with a status of this class: 2 for 200 to 299.
    #[must_use]
    pub fn class(&self, class: u16) -> u64 {
        let first = class.saturating_mul(100);
        self.statuses.range(first..first.saturating_add(100)).map(|(_, count)| count).sum()
    }

    /// Adds what came of others.
    pub fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.failures.merge(&other.failures);
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
    }

    fn clear(&mut self) {
        self.latency.clear();
        self.service.clear();
        self.statuses.clear();
        self.failures = Failures::default();
        (self.bytes_sent, self.bytes_received) = (0, 0);
    }
}

/// One request and what came of it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) kind: usize,
    pub(super) latency: Duration,
    pub(super) service: Duration,
    pub(super) bytes_sent: usize,
    /// Status and bytes of its answer.
    pub(super) outcome: Result<(u16, usize), Failure>,
}

/// What came of all requests, by kind.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    kinds: Vec<Counts>,
}

impl Tally {
    /// Nothing yet, for so many kinds.
    #[must_use]
    pub fn new(kinds: usize) -> Self {
        Self { kinds: vec![Counts::default(); kinds] }
    }

    /// What came of each kind, by its index.
    #[must_use]
    pub fn kinds(&self) -> &[Counts] {
        &self.kinds
    }

    /// What came of all kinds together.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.kinds.iter().for_each(|counts| total.merge(counts));
        total
    }

    /// Adds what another worker has seen of the same kinds.
    pub fn merge(&mut self, other: &Self) {
        if self.kinds.len() < other.kinds.len() {
            self.kinds.resize_with(other.kinds.len(), Counts::default);
        }
        for (mine, theirs) in self.kinds.iter_mut().zip(&other.kinds) {
            mine.merge(theirs);
        }
    }

    pub(super) fn count(&mut self, sent: &Sent) {
        // A source that names a kind which it did not announce is counted with its last one.
        let last = self.kinds.len().saturating_sub(1);
        let Some(counts) = self.kinds.get_mut(sent.kind.min(last)) else { return };
        counts.bytes_sent += sent.bytes_sent as u64;
        match sent.outcome {
            Ok((status, bytes)) => {
                counts.latency.record(sent.latency);
                counts.service.record(sent.service);
                *counts.statuses.entry(status).or_default() += 1;
                counts.bytes_received += bytes as u64;
            }
            Err(failure) => counts.failures.count(failure),
        }
    }

    pub(super) fn clear(&mut self) {
        self.kinds.iter_mut().for_each(Counts::clear);
    }
}
