use std::time::Duration;

use chrono::{DateTime, Utc};

/// What an agent's machine takes from the world at one step: two clocks and a draw.
///
/// The machine plans by the monotonic clock, which nobody sets, and tells times by the wall clock as corrected by
/// the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Time since an arbitrary point that stays the same while the process lives. It may stand still while the
    /// machine is suspended.
    pub monotonic: Duration,
    /// The time of day, as wrong as it may be.
    pub wall: DateTime<Utc>,
    /// 64 random bits, drawn anew for each step; they need not be secret.
    pub random: u64,
}

/// Several draws from one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(moment: &Moment) -> Self {
        Self::seeded(moment.random)
    }

    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// At least 0 and below 1, evenly spread.
    pub(crate) fn unit(&mut self) -> f64 {
        crate::runtime::unit_interval(self.bits())
    }

    /// 64 bits, evenly spread.
    pub(crate) const fn bits(&mut self) -> u64 {
        // SplitMix64: neighbouring seeds give unrelated numbers.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Between nothing and `most`, evenly spread.
    pub(crate) fn upto(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.unit())
    }
}
