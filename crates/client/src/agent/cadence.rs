use std::time::Duration;

use super::moment::Dice;

/// The least and the longest time between two heartbeats that a server may ask for.
const BEAT_BOUNDS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(24 * 3600));
/// The longest that a server may send an agent away for.
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);
/// Enrolment is tried again after at most this: its answer can be repeated for some minutes only.
const ENROL_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often an agent does what.
///
/// Each wait is spread after it has been lengthened and capped, never before, so that agents which failed together
/// do not come back together.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Cadence {
    /// Time between two heartbeats, unless the server asks for another; the dialect's own by default.
    pub heartbeat: Option<Duration>,
    /// Time between two polls, unless the server asks for another; 30 s by default.
    pub poll: Duration,
    /// Time between two looks for a newer version; 1 h by default, `None` for never.
    pub update: Option<Duration>,
    /// By which share of itself a wait is lengthened or shortened at most, 0 to 0.5; 0.1 by default.
    pub spread: f64,
}

impl Default for Cadence {
    fn default() -> Self {
        Self {
            heartbeat: None,
            poll: Duration::from_secs(30),
            update: Some(Duration::from_secs(3600)),
            spread: 0.1,
        }
    }
}

impl Cadence {
    /// Spreads a wait.
    pub(crate) fn spread(&self, wait: Duration, dice: &mut Dice) -> Duration {
        // A setting that is no number spreads nothing.
        let share = if self.spread.is_finite() { self.spread.clamp(0.0, 0.5) } else { 0.0 };
        wait.mul_f64(1.0 + share * (2.0 * dice.unit() - 1.0))
    }
}

/// The interval that a server asks for, if it makes sense: nothing at all is no interval.
pub(crate) fn asked(interval: Duration) -> Option<Duration> {
    (!interval.is_zero()).then(|| interval.clamp(BEAT_BOUNDS.0, BEAT_BOUNDS.1))
}

/// The time between two heartbeats after so many that failed in a row.
pub(crate) fn backed_off(interval: Duration, failures: u32) -> Duration {
    let minutes = match failures {
        0..=5 => 0,
        6..=10 => 5,
        11..=20 => 15,
        _ => 30,
    };
    interval.max(Duration::from_secs(minutes * 60))
}

/// Whether so many failures in a row end polling and sending of what waits.
pub(crate) const fn is_cut_off(failures: u32) -> bool {
    failures > 5
}

/// How long to stay away when a server says so: at least what it asks for, and then anywhere within one interval,
/// since it may have said the same to everybody at once.
pub(crate) fn held(asked: Duration, interval: Duration, dice: &mut Dice) -> Duration {
    asked.min(LONGEST_HOLD) + dice.upto(interval)
}

/// How long to wait after so many enrolments that failed, at least one.
pub(crate) fn enrol_wait(failures: u32, dice: &mut Dice) -> Duration {
    let bound =
        ENROL_BACKOFF.0.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(ENROL_BACKOFF.1);
    // Never at once: a server that answers at all would be asked in a tight loop.
    bound / 4 + dice.upto(bound - bound / 4)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::Moment;
    use super::*;

    fn dice(random: u64) -> Dice {
        Dice::new(&Moment { monotonic: Duration::ZERO, wall: DateTime::UNIX_EPOCH, random })
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn waits_grow_in_steps_and_are_never_shorter_than_the_interval() {
        for (failures, minutes) in
            [(0, 1), (5, 1), (6, 5), (10, 5), (11, 15), (20, 15), (21, 30), (u32::MAX, 30)]
        {
            assert_eq!(backed_off(MINUTE, failures), MINUTE * minutes, "{failures}");
        }
        assert_eq!(backed_off(MINUTE * 20, 7), MINUTE * 20);
    }

    #[test]
    fn the_longest_wait_is_spread_as_well() {
        let cadence = Cadence::default();
        let waits: Vec<_> =
            (0..1000).map(|seed| cadence.spread(backed_off(MINUTE, 99), &mut dice(seed))).collect();
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*least < MINUTE * 275 / 10 && *least >= MINUTE * 27, "{least:?}");
        assert!(*most > MINUTE * 325 / 10 && *most <= MINUTE * 33, "{most:?}");
    }

    #[test]
    fn an_interval_of_nothing_is_no_interval() {
        assert_eq!(asked(Duration::ZERO), None);
        assert_eq!(asked(Duration::from_millis(1)), Some(Duration::from_secs(5)));
        assert_eq!(asked(MINUTE * 15), Some(MINUTE * 15));
        assert_eq!(asked(Duration::MAX), Some(Duration::from_secs(86_400)));
    }

    #[test]
    fn who_is_sent_away_stays_away_for_that_long_and_comes_back_within_an_interval() {
        for seed in 0..1000 {
            let wait = held(MINUTE, MINUTE, &mut dice(seed));
            assert!((MINUTE..MINUTE * 2).contains(&wait), "{wait:?}");
        }
        assert!(held(Duration::MAX, MINUTE, &mut dice(1)) <= LONGEST_HOLD + MINUTE);
    }

    #[test]
    fn enrolment_is_never_tried_again_at_once_nor_later_than_in_a_minute() {
        for failures in [1, 2, 7, u32::MAX] {
            for seed in 0..100 {
                let wait = enrol_wait(failures, &mut dice(seed));
                assert!(wait >= Duration::from_millis(250) && wait <= MINUTE, "{wait:?}");
            }
        }
    }

    #[test]
    fn a_spread_that_is_no_number_spreads_nothing() {
        for spread in [f64::NAN, f64::INFINITY, -1.0] {
            let cadence = Cadence { spread, ..Cadence::default() };
            assert_eq!(cadence.spread(MINUTE, &mut dice(7)), MINUTE);
        }
        let wide = Cadence { spread: 9.0, ..Cadence::default() };
        assert!((0..100).all(|seed| wide.spread(MINUTE, &mut dice(seed)) >= MINUTE / 2));
    }
}
