use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Moment;

/// What two clocks may differ by without anybody having set one of them.
const TOLERANCE: TimeDelta = TimeDelta::seconds(2);
/// How far the server's time may be from ours before ours is corrected: an answer is under way for a while, and
/// some servers tell their time in whole seconds.
const SKEW: TimeDelta = TimeDelta::seconds(5);

/// The server's time, as far as the agent can tell.
///
/// A wall clock that is set back does not deceive it, since the monotonic one goes on. One that has leapt forward
/// cannot be told from a suspended machine, whose monotonic clock has stood still: that is what is assumed, and the
/// next answer of the server puts it right.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The server's time minus the wall's.
    offset: TimeDelta,
    seen: Option<Moment>,
}

impl Clock {
    /// Looks at both clocks. The time for which the monotonic one seems to have stood still, if it has.
    pub(crate) fn look(&mut self, moment: &Moment) -> Option<Duration> {
        let seen = self.seen.replace(*moment)?;
        if seen.wall == moment.wall && seen.monotonic == moment.monotonic {
            return None;
        }
        let steady = moment.monotonic.saturating_sub(seen.monotonic);
        let steady = TimeDelta::from_std(steady).unwrap_or(TimeDelta::MAX);
        let leap = moment.wall.signed_duration_since(seen.wall).checked_sub(&steady)?;
        if leap < -TOLERANCE {
            self.offset = self.offset.checked_sub(&leap).unwrap_or(self.offset);
            return None;
        }
        (leap > TOLERANCE).then(|| leap.to_std().unwrap_or_default())
    }

    /// The server's time.
    pub(crate) fn now(&self, moment: &Moment) -> DateTime<Utc> {
        if self.offset.is_zero() {
            return moment.wall;
        }
        moment.wall.checked_add_signed(self.offset).unwrap_or(moment.wall)
    }

    /// How far the wall clock is behind the server's; negative when it is ahead.
    pub(crate) const fn offset(&self) -> TimeDelta {
        self.offset
    }

    /// Takes the server's word for its time. Whether ours had to be corrected.
    pub(crate) fn told(&mut self, moment: &Moment, server: DateTime<Utc>) -> bool {
        let off = server.signed_duration_since(self.now(moment));
        if off.abs() <= SKEW {
            return false;
        }
        self.offset = server.signed_duration_since(moment.wall);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: DateTime<Utc> = DateTime::from_timestamp_nanos(1_774_103_400_000_000_000);
    const YEAR: i64 = 365 * 86_400;

    fn at(monotonic: u64, wall: i64) -> Moment {
        Moment {
            monotonic: Duration::from_secs(monotonic),
            wall: START + TimeDelta::seconds(wall),
            random: 0,
        }
    }

    #[test]
    fn a_clock_that_is_wrong_by_a_year_is_corrected_by_the_server_and_stays_so() {
        for wrong in [YEAR, -YEAR, 301, -301] {
            let mut clock = Clock::default();
            clock.look(&at(10, wrong));
            assert!(clock.told(&at(10, wrong), START));
            assert_eq!(clock.now(&at(70, wrong + 60)), START + TimeDelta::seconds(60));
            assert!(!clock.told(&at(70, wrong + 60), START + TimeDelta::seconds(61)));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_change_the_time() {
        let mut clock = Clock::default();
        assert_eq!(clock.look(&at(10, 0)), None);
        assert_eq!(clock.look(&at(20, 10 - YEAR)), None);
        assert_eq!(clock.now(&at(20, 10 - YEAR)), START + TimeDelta::seconds(10));
    }

    #[test]
    fn a_clock_that_leaps_forward_is_a_suspended_machine_until_the_server_says_otherwise() {
        let mut clock = Clock::default();
        clock.look(&at(10, 0));
        assert_eq!(clock.look(&at(12, 8 * 3600)), Some(Duration::from_secs(8 * 3600 - 2)));
        assert_eq!(clock.now(&at(12, 8 * 3600)), START + TimeDelta::hours(8));
        assert!(clock.told(&at(13, 8 * 3600 + 1), START + TimeDelta::seconds(3)), "it was only set");
        assert_eq!(clock.now(&at(14, 8 * 3600 + 2)), START + TimeDelta::seconds(4));
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        let mut clock = Clock::default();
        let ends = [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC];
        for wall in [ends[0], ends[1], ends[0], START] {
            let moment = Moment { monotonic: Duration::MAX, wall, random: 0 };
            clock.look(&moment);
            for server in ends {
                clock.told(&moment, server);
                clock.now(&moment);
            }
        }
    }
}
