//! How often a key may be used.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

/// A rate with room for a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a minute, in the long run. At least 1.
    pub per_minute: u32,
    /// Requests that may come at once after a quiet time. At least 1.
    pub burst: u32,
}

/// Counts against a [`Rate`] (the generic cell rate algorithm): one number, no lock, and the time is given.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// When the requests taken so far are worked off at the long-run rate, in microseconds since 1970.
    settled: AtomicI64,
}

impl Meter {
    /// Takes a request, or says how long to wait for the next one that will be taken.
    pub(crate) fn take(&self, now: DateTime<Utc>, rate: Rate) -> Result<(), Duration> {
        let now = now.timestamp_micros();
        let each = 60_000_000 / i64::from(rate.per_minute.max(1));
        let room = each.saturating_mul(i64::from(rate.burst.max(1)));
        let mut wait = 0;
        let taken = self.settled.fetch_update(Ordering::AcqRel, Ordering::Acquire, |settled| {
            // Further ahead than a burst can put it: the clock has stepped back, which must shut nobody out.
            let stepped_back = settled > now.saturating_add(room);
            let settled = if stepped_back { now } else { settled.max(now) }.saturating_add(each);
            wait = settled.saturating_sub(now).saturating_sub(room);
            (wait <= 0).then_some(settled)
        });
        match taken {
            Ok(_) => Ok(()),
            Err(_) => Err(Duration::from_micros(u64::try_from(wait).unwrap_or_default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_minute: 60, burst: 3 };

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_000 + millis).unwrap()
    }

    #[test]
    fn a_burst_is_taken_and_then_one_a_second() {
        let meter = Meter::default();
        for _ in 0..3 {
            assert_eq!(meter.take(at(0), RATE), Ok(()));
        }
        assert_eq!(meter.take(at(0), RATE), Err(Duration::from_secs(1)));
        assert_eq!(meter.take(at(400), RATE), Err(Duration::from_millis(600)));
        assert_eq!(meter.take(at(1000), RATE), Ok(()));
        assert!(meter.take(at(1000), RATE).is_err());
    }

    #[test]
    fn a_refused_request_costs_nothing() {
        let meter = Meter::default();
        for _ in 0..100 {
            let _ = meter.take(at(0), RATE);
        }
        assert_eq!(meter.take(at(1000), RATE), Ok(()));
    }

    #[test]
    fn a_quiet_time_gives_the_burst_back_and_no_more() {
        let meter = Meter::default();
        let taken = |now: i64| (0..10).filter(|_| meter.take(at(now), RATE).is_ok()).count();
        assert_eq!(taken(0), 3);
        assert_eq!(taken(3_600_000), 3);
    }

    #[test]
    fn a_clock_that_steps_back_shuts_nobody_out() {
        let meter = Meter::default();
        for _ in 0..3 {
            meter.take(at(0), RATE).unwrap();
        }
        assert_eq!(meter.take(at(-86_400_000), RATE), Ok(()));
    }
}
