//! When whom: the fixed order in which agents come round, each once (or, with polls, three times) a period.

use std::time::Duration;

use super::report::figure;
use crate::dice::Dice;

/// One turn of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// When in each period, in nanoseconds.
    phase: u64,
    /// When the agent joins, in nanoseconds from the start: its turns before that are passed over.
    joins: u64,
    /// Which agent.
    pub(super) agent: u32,
    /// Whether it asks for work instead of reporting.
    pub(super) poll: bool,
}

/// Turns of agents that repeat with a period.
#[derive(Debug)]
pub(super) struct Schedule {
    period: u64,
    /// In the order of their phases.
    turns: Vec<Turn>,
    next: usize,
    round: u64,
}

/// How turns lie in a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rhythm {
    /// Each agent once in this time, at a moment of its own, as fleets do.
    Interval(Duration),
    /// So many requests a second, at even distances, agents taking their turns.
    Rate(f64),
}

impl Schedule {
    /// Turns of `polls.len()` agents; one that polls does so twice a period besides its report. `ramp` is the time
    /// over which they join.
    pub(super) fn new(polls: &[bool], rhythm: Rhythm, ramp: Duration, seed: u64) -> Self {
        let mut dice = Dice::seeded(seed);
        let agents = u32::try_from(polls.len()).unwrap_or(u32::MAX);
        let mut joining: Vec<u32> = (0..agents).collect();
        shuffle(&mut joining, &mut dice);
        let ramp = nanos(ramp);
        let mut joins = vec![0; polls.len()];
        for (rank, agent) in joining.iter().enumerate() {
            joins[*agent as usize] = part(ramp, rank, polls.len());
        }
        let mut turns = Vec::new();
        for (agent, (polls, joins)) in (0..agents).zip(polls.iter().zip(&joins)) {
            let turn = |poll| Turn { phase: 0, joins: *joins, agent, poll };
            turns.push(turn(false));
            if *polls {
                turns.extend([turn(true), turn(true)]);
            }
        }
        let period = match rhythm {
            Rhythm::Interval(interval) => {
                let period = nanos(interval).max(1);
                let (mut report, mut poll) = (0, 0);
                let mut is_second = false;
                for turn in &mut turns {
                    turn.phase = match (turn.poll, is_second) {
                        (false, _) => {
                            report = dice.below(period);
                            report
                        }
                        // A quarter on either side of the reports, so that the two are half a period apart.
                        (true, false) => {
                            poll = (report + period / 4) % period;
                            poll
                        }
                        (true, true) => (poll + period / 2) % period,
                    };
                    is_second = turn.poll && !is_second;
                }
                period
            }
            Rhythm::Rate(rate) => {
                let seconds = figure(turns.len() as u64) / rate.max(f64::MIN_POSITIVE);
                let period = Duration::try_from_secs_f64(seconds).map_or(u64::MAX, nanos).max(1);
                shuffle(&mut turns, &mut dice);
                let count = turns.len();
                for (place, turn) in turns.iter_mut().enumerate() {
                    turn.phase = part(period, place, count);
                }
                period
            }
        };
        turns.sort_by_key(|turn| turn.phase);
        Self { period, turns, next: 0, round: 0 }
    }

    /// The turn that is next, and when it is due after the start.
    pub(super) fn peek(&mut self) -> Option<(Duration, Turn)> {
        // Everybody has joined after as many rounds as the ramp has periods; two passes find whoever is next.
        loop {
            let turn = *self.turns.get(self.next)?;
            let due = self.round.saturating_mul(self.period).saturating_add(turn.phase);
            if due >= turn.joins {
                return Some((Duration::from_nanos(due), turn));
            }
            self.advance();
        }
    }

    /// Turns a second, once everybody has joined.
    pub(super) fn rate(&self) -> f64 {
        figure(self.turns.len() as u64) / Duration::from_nanos(self.period).as_secs_f64()
    }

    /// How many turns are left that are due before a time; passes to the first that is not.
    pub(super) fn count_until(&mut self, end: Duration) -> u64 {
        let mut count = 0;
        while self.peek().is_some_and(|(due, _)| due < end) {
            self.advance();
            count += 1;
        }
        count
    }

    /// Passes to the next turn.
    pub(super) const fn advance(&mut self) {
        self.next += 1;
        if self.next >= self.turns.len() {
            self.next = 0;
            self.round += 1;
        }
    }
}

/// A part of a time that is cut into so many.
fn part(whole: u64, place: usize, of: usize) -> u64 {
    let part = u128::from(whole) * place as u128 / of.max(1) as u128;
    u64::try_from(part).unwrap_or(u64::MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Puts items into an order of the dice's.
fn shuffle<T>(items: &mut [T], dice: &mut Dice) {
    for last in (1..items.len()).rev() {
        let place = dice.below(last as u64 + 1) as usize;
        items.swap(last, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(schedule: &mut Schedule, until: Duration) -> Vec<(Duration, Turn)> {
        let mut turns = Vec::new();
        while let Some((due, turn)) = schedule.peek().filter(|(due, _)| *due < until) {
            turns.push((due, turn));
            schedule.advance();
        }
        turns
    }

    #[test]
    fn each_agent_has_one_turn_in_each_interval_at_the_same_moment_of_it() {
        let interval = Duration::from_secs(60);
        let mut schedule = Schedule::new(&[false; 500], Rhythm::Interval(interval), Duration::ZERO, 7);
        let all = turns(&mut schedule, 3 * interval);
        assert_eq!(all.len(), 1500);
        assert!(all.is_sorted_by_key(|(due, _)| *due));
        for agent in 0..500 {
            let own: Vec<_> =
                all.iter().filter(|(_, turn)| turn.agent == agent).map(|(due, _)| *due).collect();
            assert_eq!(own.len(), 3);
            assert_eq!((own[1] - own[0], own[2] - own[1]), (interval, interval));
        }
        // Spread over the interval, not in step.
        assert!(all.iter().filter(|(due, _)| *due < interval / 10).count() < 100);
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_one_another() {
        let of = |seed| {
            turns(
                &mut Schedule::new(
                    &[false; 9],
                    Rhythm::Interval(Duration::from_secs(1)),
                    Duration::ZERO,
                    seed,
                ),
                Duration::from_secs(1),
            )
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn a_rate_is_kept_to_at_even_distances() {
        let mut schedule = Schedule::new(&[false; 7], Rhythm::Rate(100.0), Duration::ZERO, 1);
        let all = turns(&mut schedule, Duration::from_secs(7));
        assert_eq!(all.len(), 700);
        for pair in all.windows(2) {
            let distance = (pair[1].0 - pair[0].0).as_micros();
            assert!((9_999..=10_001).contains(&distance), "{distance}");
        }
    }

    #[test]
    fn agents_join_over_the_ramp_and_not_before() {
        let second = Duration::from_secs(1);
        let mut schedule = Schedule::new(&[false; 1000], Rhythm::Interval(second), 10 * second, 3);
        let all = turns(&mut schedule, 12 * second);
        let within = |from: u32, to: u32| {
            all.iter().filter(|(due, _)| *due >= from * second && *due < to * second).count()
        };
        assert!((20..100).contains(&within(0, 1)), "{}", within(0, 1));
        assert!((450..550).contains(&within(4, 6).div_ceil(2)), "{}", within(4, 6));
        assert_eq!(within(11, 12), 1000);
    }

    #[test]
    fn who_polls_does_so_twice_between_two_reports() {
        let mut schedule =
            Schedule::new(&[true], Rhythm::Interval(Duration::from_secs(60)), Duration::ZERO, 5);
        let all = turns(&mut schedule, Duration::from_secs(60));
        assert_eq!(all.iter().filter(|(_, turn)| turn.poll).count(), 2);
        let polls: Vec<_> = all.iter().filter(|(_, turn)| turn.poll).map(|(due, _)| *due).collect();
        assert_eq!(polls[1] - polls[0], Duration::from_secs(30));
        assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "{all:?}");
    }

    #[test]
    fn no_agents_have_no_turns() {
        assert!(Schedule::new(&[], Rhythm::Rate(1.0), Duration::from_secs(1), 0).peek().is_none());
    }
}
