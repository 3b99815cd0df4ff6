//! Randomness and time that are the same in every run.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use fleetwire_server_core::{Clock, Entropy};

/// When every world begins: 2026-03-21T14:30:00Z.
const START: i64 = 1_774_103_400_000;

/// SplitMix64: neighbouring seeds give unrelated numbers.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// Dice of their own for everything that has another `place`.
    pub(super) const fn new(seed: u64, place: u64) -> Self {
        Self(mix(seed ^ mix(place)))
    }

    pub(super) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `end`, which is at least 1.
    pub(super) const fn below(&mut self, end: u64) -> u64 {
        // The bias is that of one in 2^64 / end.
        self.draw() % end
    }

    /// From `least` to `most`.
    pub(super) const fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Happens so many times in a thousand.
    pub(super) const fn happens(&mut self, permille: u16) -> bool {
        self.below(1000) < permille as u64
    }
}

pub(super) const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

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
            let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            chunk.copy_from_slice(&mix(state).to_be_bytes()[..chunk.len()]);
        }
    }
}
