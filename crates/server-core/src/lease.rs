//! Liveness, apart from everything else: renewed in memory at every check-in, written behind in batches.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};

use crate::domain::{No, Vendor};

/// The latest that an agent has said of itself and that changes all the time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// What it is doing or how it is, in its own word.
    pub status: Option<String>,
    /// Figures by name, in the units of the dialect.
    pub metrics: BTreeMap<String, f64>,
    /// Texts by name.
    pub notes: BTreeMap<String, String>,
}

/// A lease as stores keep it.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseRow {
    /// The agent.
    pub agent: No,
    /// When it last checked in.
    pub last_seen: DateTime<Utc>,
    /// What it last said.
    pub report: Option<Report>,
}

/// Whether an agent reports in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It does.
    Online,
    /// It is late.
    Delayed,
    /// It has been silent for too long.
    Offline,
    /// It has never reported.
    Never,
}

impl Liveness {
    /// The word that operators see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Delayed => "delayed",
            Self::Offline => "offline",
            Self::Never => "never",
        }
    }
}

/// How often agents of a vendor are to report, and what silence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// The time between two check-ins that the server asks for.
    pub interval: Duration,
    /// How much later than that is still in time.
    pub grace: Duration,
    /// Silence that means offline.
    pub offline_after: Duration,
}

impl Cadence {
    /// A cadence of so many seconds: late after that and half as much again, offline after three times that.
    #[must_use]
    pub const fn seconds(interval: u64) -> Self {
        Self {
            interval: Duration::from_secs(interval),
            grace: Duration::from_secs(interval / 2),
            offline_after: Duration::from_secs(interval * 3),
        }
    }

    /// The defaults: 30 s for Acusight, 60 s for the others; so Achilles is offline after its 180 s.
    #[must_use]
    pub const fn default_of(vendor: Vendor) -> Self {
        match vendor {
            Vendor::Acusight => Self::seconds(30),
            Vendor::ZStack | Vendor::AgentMc | Vendor::Achilles => Self::seconds(60),
        }
    }

    /// What a silence of this length means.
    #[must_use]
    pub fn judge(&self, silence: Duration) -> Liveness {
        if silence >= self.offline_after {
            Liveness::Offline
        } else if silence > self.interval + self.grace {
            Liveness::Delayed
        } else {
            Liveness::Online
        }
    }
}

/// The time during which the server was not there to be reported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downtime {
    /// When the server was last known to be up.
    pub from: DateTime<Utc>,
    /// When it started.
    pub to: DateTime<Utc>,
}

/// Whether an agent last seen at `last_seen` reports in time.
///
/// An agent is not to blame for the server's absence: one that was alive when the server went down is given
/// one whole interval after its return before it is called offline. One that had been silent for too long
/// already stays offline.
#[must_use]
pub fn liveness(
    now: DateTime<Utc>,
    last_seen: Option<DateTime<Utc>>,
    cadence: &Cadence,
    downtime: Option<Downtime>,
) -> Liveness {
    let Some(last_seen) = last_seen else { return Liveness::Never };
    // A clock that steps back must not make anybody late.
    let since = |time: DateTime<Utc>| (now - time).to_std().unwrap_or_default();
    if let Some(downtime) = downtime.filter(|downtime| last_seen < downtime.to) {
        let before = (downtime.from - last_seen).to_std().unwrap_or_default();
        let after = since(downtime.to);
        if before < cadence.offline_after && after < cadence.interval + cadence.grace {
            let silence = before + after;
            return match cadence.judge(silence) {
                Liveness::Offline => Liveness::Delayed,
                in_time => in_time,
            };
        }
    }
    cadence.judge(since(last_seen))
}

/// The lease of one agent.
#[derive(Debug, Default)]
pub struct Lease {
    /// Milliseconds since 1970; 0 means never.
    last_seen: AtomicI64,
    /// Whether the row in the store is behind.
    dirty: AtomicBool,
    /// Whether there may be work that has not come to its end.
    has_work: AtomicBool,
    report: Mutex<Option<Report>>,
}

impl Lease {
    /// A lease as it was stored.
    #[must_use]
    pub fn restore(last_seen: Option<DateTime<Utc>>, report: Option<Report>) -> Self {
        Self {
            last_seen: AtomicI64::new(last_seen.map_or(0, |time| time.timestamp_millis())),
            report: Mutex::new(report),
            // Unknown until the store is asked.
            has_work: AtomicBool::new(true),
            dirty: AtomicBool::new(false),
        }
    }

    /// Renews it. Later wins: a renewal that comes late does not set it back. Says whether the caller must
    /// hand it to the next flush.
    pub fn renew(&self, now: DateTime<Utc>, report: Report) -> bool {
        let now = now.timestamp_millis();
        if self.last_seen.fetch_max(now, Ordering::AcqRel) <= now {
            *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        }
        !self.dirty.swap(true, Ordering::AcqRel)
    }

    /// When the agent last checked in.
    #[must_use]
    pub fn last_seen(&self) -> Option<DateTime<Utc>> {
        match self.last_seen.load(Ordering::Acquire) {
            0 => None,
            millis => Utc.timestamp_millis_opt(millis).single(),
        }
    }

    /// What the agent last said.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what the store is to be told. A renewal from here on makes it dirty again.
    #[must_use]
    pub fn take(&self, agent: No) -> Option<LeaseRow> {
        self.dirty.store(false, Ordering::Release);
        Some(LeaseRow { agent, last_seen: self.last_seen()?, report: self.report() })
    }

    /// Marks it for the next flush again, after one that failed. Says whether it was not marked already.
    #[must_use]
    pub fn retake(&self) -> bool {
        !self.dirty.swap(true, Ordering::AcqRel)
    }

    /// Whether the store has to be asked for work.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.has_work.load(Ordering::Acquire)
    }

    /// Says whether there is work that has not come to its end.
    pub fn set_has_work(&self, has_work: bool) {
        self.has_work.store(has_work, Ordering::Release);
    }
}
