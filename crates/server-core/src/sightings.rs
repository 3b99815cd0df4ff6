//! Whether two hosts report as one agent.
//!
//! A machine that was copied reports with the same key or id as the one it was copied from. What tells them apart
//! is what they say of themselves: the host's name, and how long it has been up. A host that was renamed, moved or
//! started anew is another one from then on; the one before does not come back. So a host that is seen again while
//! it would still count as online, and another one was seen in between, means two.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

/// Hosts that are kept in mind: more that take turns in a fixed order are not noticed.
const IN_MIND: usize = 4;

/// How far two times of start may lie apart and be the same: the way of a request, and clocks that are put right.
const SAME_START: TimeDelta = TimeDelta::minutes(10);

/// How long nothing more is said of an agent after it was suspected.
const SAID_ONCE_IN: TimeDelta = TimeDelta::hours(1);

/// What a report says of the host that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Host<'a> {
    /// What the host is called, or what else it is known by.
    pub(crate) name: Option<&'a str>,
    /// Seconds since it, or the agent's process, was started.
    pub(crate) up: Option<f64>,
}

/// A host, and when it was last seen.
#[derive(Debug)]
struct Sighting {
    name: Option<Box<str>>,
    started: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
}

impl Sighting {
    fn is_of(&self, host: &Host<'_>, started: Option<DateTime<Utc>>) -> bool {
        let same_start = match (self.started, started) {
            (Some(one), Some(other)) => (one - other).abs() <= SAME_START,
            _ => true,
        };
        self.name.as_deref() == host.name && same_start
    }

    fn detail(&self) -> Value {
        let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut detail = json!({"last_seen": text(self.at)});
        if let Some(name) = &self.name {
            detail["host"] = json!(name);
        }
        if let Some(started) = self.started {
            detail["started"] = json!(text(started));
        }
        detail
    }
}

/// The two hosts of a suspicion.
#[derive(Debug, PartialEq)]
pub(crate) struct Suspicion {
    /// The one that reports now.
    pub(crate) newer: Value,
    /// The one that reported before it.
    pub(crate) older: Value,
}

/// The hosts that an agent was last seen on, the latest first.
#[derive(Debug, Default)]
pub(crate) struct Sightings(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    hosts: Vec<Sighting>,
    suspected: Option<DateTime<Utc>>,
}

impl Sightings {
    /// Notes a report. `alive_for` is the silence after which a host would no longer count as online.
    pub(crate) fn note(&self, host: &Host<'_>, now: DateTime<Utc>, alive_for: Duration) -> Option<Suspicion> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let started = host.up.and_then(|up| started(now, up));
        let known = seen.hosts.iter().position(|sighting| sighting.is_of(host, started));
        if let Some(place) = known {
            let sighting = seen.hosts.get_mut(place)?;
            let silence = (now - sighting.at).to_std().unwrap_or_default();
            sighting.at = now;
            sighting.started = started;
            if place == 0 {
                return None;
            }
            seen.hosts.get_mut(..=place)?.rotate_right(1);
            let said = seen.suspected.is_some_and(|at| (now - at).abs() < SAID_ONCE_IN);
            if silence >= alive_for || said {
                return None;
            }
            seen.suspected = Some(now);
            let [newer, older, ..] = seen.hosts.as_slice() else { return None };
            return Some(Suspicion { newer: newer.detail(), older: older.detail() });
        }
        seen.hosts.truncate(IN_MIND - 1);
        seen.hosts.insert(0, Sighting { name: host.name.map(Box::from), started, at: now });
        None
    }
}

/// When something that has been up for so many seconds was started; `None` if that makes no time.
fn started(now: DateTime<Utc>, up: f64) -> Option<DateTime<Utc>> {
    let up = Duration::try_from_secs_f64(up).ok()?;
    now.checked_sub_signed(TimeDelta::from_std(up).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIVE_FOR: Duration = Duration::from_secs(180);
    const NOBODY: [i64; 0] = [];

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_774_103_400 + seconds, 0).unwrap()
    }

    /// Says at which of the reports, each a second, a name and an uptime, somebody is suspected.
    fn suspected(reports: &[(i64, &str, f64)]) -> Vec<i64> {
        let sightings = Sightings::default();
        let reports = reports.iter().filter(|(second, name, up)| {
            let host = Host { name: Some(name), up: Some(*up) };
            sightings.note(&host, at(*second), ALIVE_FOR).is_some()
        });
        reports.map(|(second, ..)| *second).collect()
    }

    #[test]
    fn two_hosts_in_turn_are_suspected_once_an_hour() {
        let turns: Vec<_> = (0..130)
            .map(|n| {
                (
                    n * 30,
                    if n % 2 == 0 { "a" } else { "b" },
                    9e5 + f64::from(i32::try_from(n).unwrap()) * 30.0,
                )
            })
            .collect();
        assert_eq!(suspected(&turns), [60, 3660]);
    }

    #[test]
    fn copies_of_one_name_are_told_apart_by_their_start() {
        assert_eq!(suspected(&[(0, "a", 90_000.0), (30, "a", 1200.0), (60, "a", 90_060.0)]), [60]);
        assert_eq!(suspected(&[(0, "a", 90_000.0), (30, "a", 89_500.0), (60, "a", 90_060.0)]), NOBODY);
    }

    #[test]
    fn three_hosts_in_a_fixed_order_are_noticed() {
        assert_eq!(suspected(&[(0, "a", 9e5), (20, "b", 9e5), (40, "c", 9e5), (60, "a", 9e5 + 60.0)]), [60]);
    }

    #[test]
    fn rename_move_and_new_start_are_no_copies() {
        assert_eq!(suspected(&[(0, "a", 9e5), (60, "b", 9e5 + 60.0), (120, "b", 9e5 + 120.0)]), NOBODY);
        assert_eq!(suspected(&[(0, "a", 9e5), (60, "a", 5.0), (120, "a", 65.0), (180, "a", 5.0)]), NOBODY);
        // Back on the first host after that one had been silent for too long.
        assert_eq!(suspected(&[(0, "a", 9e5), (60, "b", 9e5), (180, "a", 9e5 + 180.0)]), NOBODY);
    }

    #[test]
    fn clock_that_drifts_and_figures_that_are_none_are_nobody_else() {
        let drifting: Vec<_> = (0..100).map(|n| (n * 60, "a", 9e5)).collect();
        assert_eq!(suspected(&drifting), NOBODY);
        let odd = [f64::NAN, -1.0, f64::INFINITY, 1e300, 5.0];
        let odd: Vec<_> = (0..).zip(odd).map(|(n, up)| (n * 60, "a", up)).collect();
        assert_eq!(suspected(&odd), NOBODY);
    }

    #[test]
    fn a_suspicion_shows_both_and_the_newer_first() {
        let sightings = Sightings::default();
        let on = |name| Host { name: Some(name), up: None };
        assert_eq!(sightings.note(&on("a"), at(0), ALIVE_FOR), None);
        assert_eq!(sightings.note(&on("b"), at(30), ALIVE_FOR), None);
        let suspicion = sightings.note(&on("a"), at(60), ALIVE_FOR).unwrap();
        assert_eq!(suspicion.newer, json!({"host": "a", "last_seen": "2026-03-21T14:31:00.000Z"}));
        assert_eq!(suspicion.older, json!({"host": "b", "last_seen": "2026-03-21T14:30:30.000Z"}));
    }
}
