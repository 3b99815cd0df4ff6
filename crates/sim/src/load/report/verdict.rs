//! What a run is held to, and whether the generator could keep up.

use serde::Serialize;

use super::{Figures, Generator};

/// What a run is held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The largest share of errors among requests, 0 to 1.
    pub max_error_rate: f64,
    /// The largest 99th percentile of latency, in milliseconds.
    pub max_p99_ms: Option<f64>,
}

impl Default for Limits {
    /// No error, however slow.
    fn default() -> Self {
        Self { max_error_rate: 0.0, max_p99_ms: None }
    }
}

/// One thing that a run was held to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Threshold {
    /// What was measured: `error_rate`, `p99_ms` or `requests`.
    pub of: &'static str,
    /// The most that it may be; of `requests` the least.
    pub limit: f64,
    /// What it was; nothing if there was nothing to measure.
    pub measured: Option<f64>,
    /// Whether that is within the limit.
    pub ok: bool,
}

impl Limits {
    /// Holds figures to the limits. A run in which nothing was answered has kept to none.
    pub(in crate::load) fn hold(&self, total: &Figures) -> Vec<Threshold> {
        let mut thresholds = vec![
            Threshold {
                of: "requests",
                limit: 1.0,
                measured: Some(super::figure(total.requests)),
                ok: total.requests > 0,
            },
            Threshold {
                of: "error_rate",
                limit: self.max_error_rate,
                measured: Some(total.error_rate),
                ok: total.error_rate <= self.max_error_rate,
            },
        ];
        if let Some(limit) = self.max_p99_ms {
            let measured = total.latency.map(|latency| latency.p99_ms);
            let ok = measured.is_some_and(|measured| measured <= limit);
            thresholds.push(Threshold { of: "p99_ms", limit, measured, ok });
        }
        thresholds
    }
}

impl Generator {
    /// The judgement as a sentence.
    #[must_use]
    pub fn verdict(&self) -> String {
        if self.bottleneck {
            format!("The generator was the bottleneck: {}.", self.evidence.join("; "))
        } else {
            format!(
                "The generator kept up: it used {:.0} % of one core, {} µs a request.",
                self.cpu_share * 100.0,
                self.cpu_per_request_us
            )
        }
    }
}
