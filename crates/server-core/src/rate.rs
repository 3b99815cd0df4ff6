//! How often a key may be used, and how often an address may ask.
//!
//! The counter is thirty lines of arithmetic on a time that is given. Crates that do this read a clock of their
//! own, which must never step back, and keep every key until somebody walks through all; here the time is the
//! [`Clock`](crate::Clock)'s, may step, and [`Meters`] have a bound.

use std::hash::Hash;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use dashmap::DashMap;

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
        let mut next = Ok(0);
        let taken = self.settled.fetch_update(Ordering::AcqRel, Ordering::Acquire, |settled| {
            next = rate.next(settled, now);
            next.ok()
        });
        taken.map(drop).or(next.map(drop))
    }

    /// Whether a request would be taken; it is not counted.
    fn look(&self, now: DateTime<Utc>, rate: Rate) -> Result<(), Duration> {
        rate.next(self.settled.load(Ordering::Acquire), now).map(drop)
    }

    fn is_settled(&self, now: i64) -> bool {
        self.settled.load(Ordering::Acquire) <= now
    }
}

impl Rate {
    /// When everything is worked off once another request is taken, or how long to wait before it will be.
    fn next(self, settled: i64, now: DateTime<Utc>) -> Result<i64, Duration> {
        let now = now.timestamp_micros();
        let each = 60_000_000 / i64::from(self.per_minute.max(1));
        let room = each.saturating_mul(i64::from(self.burst.max(1)));
        // Further ahead than a burst can put it: the clock has stepped back, which must shut nobody out.
        let stepped_back = settled > now.saturating_add(room);
        let settled = if stepped_back { now } else { settled.max(now) }.saturating_add(each);
        let wait = settled.saturating_sub(now).saturating_sub(room);
        if wait <= 0 { Ok(settled) } else { Err(Duration::from_micros(wait.unsigned_abs())) }
    }
}

/// Counts by key, for keys that strangers can make up: a bounded number of them, each forgotten once its
/// requests are worked off.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use fleetwire_server_core::{Meters, Rate};
///
/// let meters = Meters::new(1000);
/// let (now, rate) = (DateTime::<Utc>::UNIX_EPOCH, Rate { per_minute: 60, burst: 1 });
/// assert!(meters.take("10.0.0.1", now, rate).is_ok());
/// assert!(meters.take("10.0.0.1", now, rate).is_err());
/// assert!(meters.take("10.0.0.2", now, rate).is_ok());
/// ```
#[derive(Debug)]
pub struct Meters<K: Eq + Hash> {
    meters: DashMap<K, Meter>,
    count: AtomicUsize,
    most: usize,
    /// When the settled ones were last forgotten for want of room, in microseconds since 1970.
    cleared: AtomicI64,
}

impl<K: Eq + Hash> Meters<K> {
    /// Between two walks through all of them, in microseconds: strangers must not be able to ask for one each.
    const CLEAR_EVERY: i64 = 1_000_000;

    /// Counts for at most so many keys at a time, give or take those that come in the same moment.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { meters: DashMap::new(), count: AtomicUsize::new(0), most, cleared: AtomicI64::new(i64::MIN) }
    }

    /// Takes a request of a key. One that finds no room for a count is taken uncounted: who can make up that
    /// many keys is held back by none of them.
    ///
    /// # Errors
    /// It is one too many: how long to wait.
    pub fn take(&self, key: K, now: DateTime<Utc>, rate: Rate) -> Result<(), Duration> {
        self.with(key, now, |meter| meter.take(now, rate)).unwrap_or(Ok(()))
    }

    /// Says whether a request of a key would be taken, without counting it.
    ///
    /// # Errors
    /// It would not be: how long to wait.
    pub fn look(&self, key: &K, now: DateTime<Utc>, rate: Rate) -> Result<(), Duration> {
        self.meters.get(key).map_or(Ok(()), |meter| meter.look(now, rate))
    }

    /// Remembers a key until a time, if there is room for it.
    pub fn mark(&self, key: K, now: DateTime<Utc>, until: DateTime<Utc>) {
        let until = until.timestamp_micros();
        self.with(key, now, |meter| meter.settled.fetch_max(until, Ordering::AcqRel));
    }

    /// Whether a key is remembered.
    pub fn is_marked(&self, key: &K, now: DateTime<Utc>) -> bool {
        self.meters.get(key).is_some_and(|meter| !meter.is_settled(now.timestamp_micros()))
    }

    /// Forgets the keys that have nothing left to be worked off.
    pub fn forget_settled(&self, now: DateTime<Utc>) {
        let now = now.timestamp_micros();
        self.meters.retain(|_, meter| {
            let settled = meter.is_settled(now);
            if settled {
                self.count.fetch_sub(1, Ordering::AcqRel);
            }
            !settled
        });
    }

    /// How many keys are known.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    fn with<T>(&self, key: K, now: DateTime<Utc>, count: impl FnOnce(&Meter) -> T) -> Option<T> {
        if let Some(meter) = self.meters.get(&key) {
            return Some(count(&meter));
        }
        if self.count() >= self.most {
            let at = now.timestamp_micros();
            let cleared = self.cleared.load(Ordering::Acquire);
            if at.saturating_sub(cleared).unsigned_abs() >= Self::CLEAR_EVERY.unsigned_abs()
                && self.cleared.compare_exchange(cleared, at, Ordering::AcqRel, Ordering::Acquire).is_ok()
            {
                self.forget_settled(now);
            }
            if self.count() >= self.most {
                return None;
            }
        }
        let meter = self.meters.entry(key).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::AcqRel);
            Meter::default()
        });
        Some(count(&meter))
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

    #[test]
    fn keys_that_strangers_make_up_are_bounded_and_forgotten() {
        let meters = Meters::new(100);
        for key in 0..1000 {
            assert_eq!(meters.take(key, at(0), RATE), Ok(()));
        }
        assert_eq!(meters.count(), 100);
        // A second later each has worked its request off, so that there is room again.
        for key in 1000..1050 {
            assert_eq!(meters.take(key, at(1000), RATE), Ok(()));
        }
        assert_eq!(meters.count(), 50);
        meters.forget_settled(at(2000));
        assert_eq!(meters.count(), 0);
    }

    #[test]
    fn one_key_is_no_other_and_a_look_is_not_counted() {
        let meters = Meters::new(100);
        for _ in 0..3 {
            assert_eq!(meters.look(&"a", at(0), RATE), Ok(()));
            meters.take("a", at(0), RATE).unwrap();
        }
        for _ in 0..10 {
            assert_eq!(meters.look(&"a", at(0), RATE), Err(Duration::from_secs(1)));
        }
        assert_eq!(meters.take("a", at(0), RATE), Err(Duration::from_secs(1)));
        assert_eq!(meters.take("b", at(0), RATE), Ok(()));
        assert_eq!(meters.take("a", at(1000), RATE), Ok(()));
    }

    #[test]
    fn what_is_marked_is_known_until_its_time() {
        let meters = Meters::new(1);
        meters.mark("a", at(0), at(1000));
        meters.mark("b", at(0), at(1000));
        assert!(meters.is_marked(&"a", at(999)) && !meters.is_marked(&"a", at(1000)));
        assert!(!meters.is_marked(&"b", at(0)), "there was no room");
        meters.forget_settled(at(1000));
        meters.mark("b", at(1000), at(2000));
        assert!(meters.is_marked(&"b", at(1999)));
    }
}
