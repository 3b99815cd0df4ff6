//! The server's time and secrets, the same in every run.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use fleetwire_server_core::{Clock, Entropy};

use crate::dice::{GAP, mix};

/// When every world begins: 2026-03-21T14:30:00Z.
const START: i64 = 1_774_103_400_000;

/// The server's clock, in milliseconds since the world began.
#[derive(Debug, Default)]
pub(super) struct VirtualClock(AtomicI64);

impl VirtualClock {
    pub(super) fn set(&self, millis: u64) {
        self.0.store(i64::try_from(millis).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        time(self.0.load(Ordering::Relaxed))
    }
}

/// The time of day so many milliseconds after the world began.
pub(super) fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(START.saturating_add(millis)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Milliseconds from the beginning of the world to a time.
pub(super) fn millis(time: DateTime<Utc>) -> u64 {
    u64::try_from(time.timestamp_millis() - START).unwrap_or_default()
}

/// What the server draws its keys from. They need not be secret here, only different.
#[derive(Debug)]
pub(super) struct Draws(AtomicU64);

impl Draws {
    pub(super) const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(mix(seed)))
    }
}

impl Entropy for Draws {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let state = self.0.fetch_add(GAP, Ordering::Relaxed);
            chunk.copy_from_slice(&mix(state).to_be_bytes()[..chunk.len()]);
        }
    }
}
