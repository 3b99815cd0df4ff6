//! Liveness, apart from everything else: renewed in memory at every check-in, written behind in batches.
//!
//! ```
//! use chrono::{DateTime, TimeDelta, Utc};
//! use fleetwire_server_core::domain::Vendor;
//! use fleetwire_server_core::lease::{Cadence, Liveness, liveness};
//!
//! let cadence = Cadence::default_of(Vendor::Acusight);
//! let seen = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(1);
//! let after = |seconds| liveness(seen + TimeDelta::seconds(seconds), Some(seen), &cadence, None, false);
//! assert_eq!(after(30), Liveness::Online);
//! assert_eq!(after(3600), Liveness::Offline);
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};

use crate::domain::{No, Vendor};
use crate::events::Gap;
pub use crate::packed::PackedReport;

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

/// The note in which an agent says why it was away.
pub const RECONNECT_REASON: &str = "reconnect_reason";

/// A report that was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When it came.
    pub at: DateTime<Utc>,
    /// What was said.
    pub report: Report,
}

/// How often a report is kept, and for how long.
///
/// Each agent has as many places as intervals go into that time, and its reports take them in turn: so what is kept
/// of one is bounded, nothing has to be deleted, and agents take their turns at different moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// The time between two reports that are kept. At least a minute.
    pub every: Duration,
    /// How long they are kept.
    pub keep: Duration,
}

impl Default for Sampling {
    /// One an hour, for 30 days.
    fn default() -> Self {
        Self { every: Duration::from_secs(3600), keep: Duration::from_secs(30 * 86_400) }
    }
}

impl Sampling {
    /// Reports that are kept of an agent at most.
    #[must_use]
    pub fn places(&self) -> u32 {
        let places = self.keep.as_secs() / self.every.as_secs().max(60);
        u32::try_from(places).unwrap_or(u32::MAX).max(1)
    }

    /// Which interval of an agent a time lies in.
    fn turn(&self, agent: No, at: DateTime<Utc>) -> i64 {
        let every = i64::try_from(self.every.as_secs().max(60)).unwrap_or(i64::MAX);
        // Numbers that follow each other are to be far apart.
        let ahead = agent.wrapping_mul(2_654_435_761).rem_euclid(every);
        at.timestamp().saturating_add(ahead).div_euclid(every)
    }

    /// The place of an interval.
    fn place(&self, turn: i64) -> u32 {
        u32::try_from(turn.rem_euclid(i64::from(self.places()))).unwrap_or_default()
    }
}

/// A lease as stores keep it.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseRow {
    /// The agent.
    pub agent: No,
    /// When it last checked in.
    pub last_seen: DateTime<Utc>,
    /// What it last said.
    pub report: Option<PackedReport>,
    /// The place in the agent's history where the report is kept as well, if it is its turn.
    pub place: Option<u32>,
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
/// already stays offline. Who is `told_online`, being online in the journal, was alive however long it was not seen:
/// it had no whole interval yet since an earlier absence.
#[must_use]
pub fn liveness(
    now: DateTime<Utc>,
    last_seen: Option<DateTime<Utc>>,
    cadence: &Cadence,
    downtime: Option<Downtime>,
    told_online: bool,
) -> Liveness {
    let Some(last_seen) = last_seen else { return Liveness::Never };
    // A clock that steps back must not make anybody late.
    let since = |time: DateTime<Utc>| (now - time).to_std().unwrap_or_default();
    if let Some(downtime) = downtime.filter(|downtime| last_seen < downtime.to) {
        let before = (downtime.from - last_seen).to_std().unwrap_or_default();
        let after = since(downtime.to);
        if (told_online || before < cadence.offline_after) && after < cadence.interval + cadence.grace {
            let silence = before + after;
            return match cadence.judge(silence) {
                Liveness::Offline => Liveness::Delayed,
                in_time => in_time,
            };
        }
    }
    cadence.judge(since(last_seen))
}

/// A time as a lease holds it.
fn time(millis: i64) -> Option<DateTime<Utc>> {
    if millis == 0 { None } else { Utc.timestamp_millis_opt(millis).single() }
}

/// A time as a lease holds those that need no more than seconds: since 1970, and not the first and the last of them.
pub(crate) fn seconds(time: DateTime<Utc>) -> u32 {
    u32::try_from(time.timestamp().max(1)).unwrap_or(u32::MAX).min(u32::MAX - 1)
}

/// The lease of one agent. There may be a million of them, so that its figures are as short as they can be.
#[derive(Debug)]
pub struct Lease {
    /// Milliseconds since 1970; 0 means never.
    last_seen: AtomicI64,
    /// From when on there may be work to be handed over, in [`seconds`]; 0 is always, `u32::MAX` never.
    work_due: AtomicU32,
    /// When anything was last heard of its agent, in [`seconds`]; 0 means not since the start.
    heard: AtomicU32,
    /// The interval of which a report was last kept.
    sampled: AtomicU32,
    /// Whether the row in the store is behind.
    dirty: AtomicBool,
    /// Whether the last that the journal was told of it is that it is online.
    online: AtomicBool,
    /// Whether what its agent was at has been given up since something was heard of it.
    given_up: AtomicBool,
    latest: Mutex<Latest>,
}

/// That no report was ever kept.
const NEVER_SAMPLED: u32 = 0;

/// That nobody knows whether a report of the present interval was kept, since the server has started.
const MAYBE_SAMPLED: u32 = u32::MAX;

/// An interval as a lease holds it.
fn mark(turn: i64) -> u32 {
    u32::try_from(turn.rem_euclid(i64::from(MAYBE_SAMPLED - 1)) + 1).unwrap_or(1)
}

/// What changes together.
#[derive(Debug, Default)]
struct Latest {
    report: Option<PackedReport>,
    /// The end of a silence that the journal has not been told of.
    gap: Option<Box<Gap>>,
}

impl Default for Lease {
    /// That of an agent which is new: it has never reported, and nobody has given it work.
    fn default() -> Self {
        Self {
            last_seen: AtomicI64::new(0),
            work_due: AtomicU32::new(u32::MAX),
            heard: AtomicU32::new(0),
            sampled: AtomicU32::new(NEVER_SAMPLED),
            dirty: AtomicBool::new(false),
            online: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            latest: Mutex::default(),
        }
    }
}

impl Lease {
    /// A lease as it was stored; `online` says whether the journal has it as online, `works` whether its agent has work.
    #[must_use]
    pub fn restore(
        last_seen: Option<DateTime<Utc>>,
        report: Option<PackedReport>,
        online: bool,
        works: bool,
    ) -> Self {
        Self {
            last_seen: AtomicI64::new(last_seen.map_or(0, |time| time.timestamp_millis())),
            // When it is due is not known until the store is asked.
            work_due: AtomicU32::new(if works { 0 } else { u32::MAX }),
            sampled: AtomicU32::new(if last_seen.is_some() { MAYBE_SAMPLED } else { NEVER_SAMPLED }),
            online: AtomicBool::new(online),
            latest: Mutex::new(Latest { report, gap: None }),
            ..Self::default()
        }
    }

    /// Becomes as another that nobody has renewed yet. To be called while nobody else knows of it.
    pub(crate) fn become_as(&self, other: Self) {
        self.last_seen.store(other.last_seen.into_inner(), Ordering::Release);
        self.work_due.store(other.work_due.into_inner(), Ordering::Release);
        self.sampled.store(other.sampled.into_inner(), Ordering::Release);
        self.online.store(other.online.into_inner(), Ordering::Release);
        *self.latest() = other.latest.into_inner().unwrap_or_else(PoisonError::into_inner);
    }

    /// Renews it. Later wins: a renewal that comes late does not set it back. Says whether the caller must
    /// hand it to the next flush.
    pub fn renew(&self, now: DateTime<Utc>, report: impl Into<PackedReport>) -> bool {
        let report = report.into();
        let millis = now.timestamp_millis();
        let since = self.last_seen.fetch_max(millis, Ordering::AcqRel);
        let mut latest = self.latest();
        if !self.online.load(Ordering::Acquire) && latest.gap.is_none() {
            let reason = report.notes().find(|(name, _)| *name == RECONNECT_REASON);
            let reason = reason.map(|(_, reason)| reason.to_owned());
            let before = latest.report.as_ref().map(PackedReport::report);
            latest.gap = Some(Box::new(Gap { until: now, since: time(since), before, reason }));
        }
        if since <= millis {
            latest.report = Some(report);
        }
        drop(latest);
        !self.dirty.swap(true, Ordering::AcqRel)
    }

    /// When the agent last checked in.
    #[must_use]
    pub fn last_seen(&self) -> Option<DateTime<Utc>> {
        time(self.last_seen.load(Ordering::Acquire))
    }

    /// What the agent last said.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        self.latest().report.as_ref().map(PackedReport::report)
    }

    /// Takes what the store is to be told. A renewal from here on makes it dirty again.
    #[must_use]
    pub fn take(&self, agent: No) -> Option<LeaseRow> {
        // A swap, not a store: a store may take effect after the reads below, and then wipes out the mark of a
        // renewal that they have missed.
        self.dirty.swap(false, Ordering::AcqRel);
        let report = self.latest().report.clone();
        Some(LeaseRow { agent, last_seen: self.last_seen()?, report, place: None })
    }

    /// Says where in its history the report of a row is to be kept, if its turn has come. A flush that fails must
    /// [give the turn back](Self::give_turn_back).
    pub(crate) fn take_turn(&self, row: &LeaseRow, sampling: &Sampling) -> Option<u32> {
        row.report.as_ref()?;
        let turn = sampling.turn(row.agent, row.last_seen);
        let before = self.sampled.swap(mark(turn), Ordering::AcqRel);
        (before != mark(turn) && before != MAYBE_SAMPLED).then(|| sampling.place(turn))
    }

    pub(crate) fn give_turn_back(&self) {
        self.sampled.store(NEVER_SAMPLED, Ordering::Release);
    }

    /// Whether the journal has it as online.
    pub(crate) fn is_online(&self) -> bool {
        self.online.load(Ordering::Acquire)
    }

    /// Takes the end of a silence, which makes it online. To be called by the flush only.
    pub(crate) fn turn_online(&self) -> Option<Gap> {
        let gap = self.latest().gap.take()?;
        self.online.store(true, Ordering::Release);
        Some(*gap)
    }

    /// Makes it offline, unless it was renewed after `last_seen`. Returns what it last said. To be called by the
    /// flush only.
    pub(crate) fn turn_offline(&self, last_seen: DateTime<Utc>) -> Option<Option<Report>> {
        // A renewal that comes after this look waits for the lock, and then finds the lease offline.
        let latest = self.latest();
        if self.last_seen() != Some(last_seen) || !self.online.swap(false, Ordering::AcqRel) {
            return None;
        }
        Some(latest.report.as_ref().map(PackedReport::report))
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something was heard of its agent, be it no report. Says whether what it was at had been given up.
    pub(crate) fn hear(&self, now: DateTime<Utc>) -> bool {
        self.heard.fetch_max(seconds(now), Ordering::SeqCst);
        // Most often there is nothing to be changed, and who only looks keeps nobody else waiting.
        self.given_up.load(Ordering::SeqCst) && self.given_up.swap(false, Ordering::SeqCst)
    }

    /// When something was last heard of its agent, in seconds, unless that has been acted on.
    pub(crate) fn waits_since(&self) -> Option<u32> {
        (!self.given_up.load(Ordering::SeqCst)).then(|| self.heard.load(Ordering::SeqCst))
    }

    /// Notes that the silence of its agent is acted on. Says whether it was not before.
    pub(crate) fn give_up(&self, is_done: bool) -> bool {
        !self.given_up.swap(is_done, Ordering::SeqCst)
    }

    /// Marks it for the next flush again, after one that failed. Says whether it was not marked already.
    #[must_use]
    pub fn retake(&self) -> bool {
        !self.dirty.swap(true, Ordering::AcqRel)
    }

    /// Whether the store has to be asked for work.
    #[must_use]
    pub fn has_work(&self, now: DateTime<Utc>) -> bool {
        self.work_due.load(Ordering::Acquire) <= seconds(now)
    }

    /// Says that there may be work to be handed over from a time on; `None` means now, whatever the clock says.
    /// The earliest time of which that was said counts.
    pub fn expect_work(&self, from: Option<DateTime<Utc>>) {
        let from = from.map_or(0, seconds);
        self.work_due.fetch_min(from, Ordering::AcqRel);
    }

    /// Forgets what was said: there is no work, unless it is said again.
    pub fn expect_no_work(&self) {
        self.work_due.store(u32::MAX, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const CADENCE: Cadence = Cadence::seconds(60);

    fn at(seconds: i64) -> DateTime<Utc> {
        Utc.timestamp_opt(1_774_103_400 + seconds, 0).unwrap()
    }

    fn said(status: &str) -> Report {
        Report { status: Some(status.to_owned()), ..Report::default() }
    }

    #[test]
    fn an_agent_is_online_until_interval_and_grace_and_offline_from_three_intervals() {
        let moment = Duration::from_nanos(1);
        for (silence, expected) in [
            (Duration::ZERO, Liveness::Online),
            (Duration::from_secs(90), Liveness::Online),
            (Duration::from_secs(90) + moment, Liveness::Delayed),
            (Duration::from_secs(180) - moment, Liveness::Delayed),
            (Duration::from_secs(180), Liveness::Offline),
            (Duration::MAX, Liveness::Offline),
        ] {
            assert_eq!(CADENCE.judge(silence), expected, "{silence:?}");
            if let Ok(silence) = TimeDelta::from_std(silence) {
                assert_eq!(
                    liveness(at(0) + silence, Some(at(0)), &CADENCE, None, false),
                    expected,
                    "{silence:?}"
                );
            }
        }
    }

    #[test]
    fn achilles_is_offline_after_its_180_seconds_and_acusight_after_90() {
        assert_eq!(Cadence::default_of(Vendor::Achilles).offline_after, Duration::from_secs(180));
        assert_eq!(Cadence::default_of(Vendor::Acusight).interval, Duration::from_secs(30));
        assert_eq!(Cadence::default_of(Vendor::Acusight).offline_after, Duration::from_secs(90));
    }

    #[test]
    fn who_never_reported_is_neither_online_nor_offline() {
        let downtime = Some(Downtime { from: at(-10), to: at(0) });
        assert_eq!(liveness(at(0), None, &CADENCE, None, false), Liveness::Never);
        assert_eq!(liveness(at(1_000_000), None, &CADENCE, downtime, false), Liveness::Never);
    }

    #[test]
    fn a_clock_that_steps_back_makes_nobody_late() {
        assert_eq!(liveness(at(-86_400), Some(at(0)), &CADENCE, None, false), Liveness::Online);
        // The server starts before it went down, by its own clock.
        let downtime = Some(Downtime { from: at(0), to: at(-86_400) });
        assert_eq!(liveness(at(-86_400), Some(at(0)), &CADENCE, downtime, false), Liveness::Online);
        assert_eq!(liveness(at(-86_400), Some(at(-86_500)), &CADENCE, downtime, false), Liveness::Delayed);
    }

    #[test]
    fn nobody_who_was_alive_is_offline_before_one_interval_after_a_restart() {
        let downtime = Downtime { from: at(0), to: at(86_400) };
        for silent_before in [0, 1, 89, 90, 91, 179] {
            for up in 0..90 {
                let seen =
                    liveness(at(86_400 + up), Some(at(-silent_before)), &CADENCE, Some(downtime), false);
                assert_ne!(seen, Liveness::Offline, "silent for {silent_before} s before, up for {up} s");
            }
            let late = liveness(at(86_400 + 90), Some(at(-silent_before)), &CADENCE, Some(downtime), false);
            assert_eq!(late, Liveness::Offline, "silent for {silent_before} s before");
        }
    }

    #[test]
    fn the_servers_absence_does_not_count_as_silence() {
        let downtime = Some(Downtime { from: at(0), to: at(86_400) });
        assert_eq!(liveness(at(86_400), Some(at(-90)), &CADENCE, downtime, false), Liveness::Online);
        assert_eq!(liveness(at(86_401), Some(at(-90)), &CADENCE, downtime, false), Liveness::Delayed);
        // Seen after the flush that last said the server was up.
        assert_eq!(liveness(at(86_400), Some(at(5)), &CADENCE, downtime, false), Liveness::Online);
    }

    #[test]
    fn who_was_offline_before_a_restart_stays_offline() {
        let downtime = Some(Downtime { from: at(0), to: at(10) });
        assert_eq!(liveness(at(10), Some(at(-180)), &CADENCE, downtime, false), Liveness::Offline);
        assert_eq!(liveness(at(10), Some(at(-179)), &CADENCE, downtime, false), Liveness::Delayed);
    }

    #[test]
    fn who_is_online_in_the_journal_is_given_an_interval_after_each_of_two_absences() {
        // Away from 120 on, back at 234, and away again for a second: nobody could report in between.
        let second = Some(Downtime { from: at(238), to: at(239) });
        assert_eq!(liveness(at(239), Some(at(58)), &CADENCE, second, true), Liveness::Delayed);
        assert_eq!(liveness(at(239), Some(at(58)), &CADENCE, second, false), Liveness::Offline);
        let over = at(239) + CADENCE.interval + CADENCE.grace;
        assert_eq!(liveness(over, Some(at(58)), &CADENCE, second, true), Liveness::Offline);
    }

    #[test]
    fn a_report_after_the_restart_is_judged_as_ever() {
        let downtime = Some(Downtime { from: at(0), to: at(86_400) });
        let seen = Some(at(86_400));
        assert_eq!(liveness(at(86_490), seen, &CADENCE, downtime, false), Liveness::Online);
        assert_eq!(liveness(at(86_491), seen, &CADENCE, downtime, false), Liveness::Delayed);
        assert_eq!(liveness(at(86_580), seen, &CADENCE, downtime, false), Liveness::Offline);
    }

    #[test]
    fn the_later_of_two_renewals_wins() {
        let lease = Lease::default();
        lease.renew(at(10), said("late"));
        lease.renew(at(5), said("early"));
        assert_eq!((lease.last_seen(), lease.report()), (Some(at(10)), Some(said("late"))));
        lease.renew(at(10), said("at the same time"));
        assert_eq!(lease.report(), Some(said("at the same time")));
    }

    #[test]
    fn a_renewal_is_handed_to_the_flush_once() {
        let lease = Lease::default();
        assert!(lease.renew(at(0), said("a")));
        assert!(!lease.renew(at(1), said("b")));
        let row = lease.take(7).unwrap();
        assert_eq!((row.agent, row.last_seen, row.report), (7, at(1), Some(said("b").into())));
        assert!(lease.renew(at(2), said("c")));
    }

    #[test]
    fn a_flush_that_fails_loses_no_renewal() {
        let quiet = Lease::default();
        quiet.renew(at(0), said("a"));
        quiet.take(1).unwrap();
        assert!(quiet.retake(), "nobody else has marked it");
        assert!(!quiet.renew(at(1), said("b")), "it waits for the next flush already");

        let busy = Lease::default();
        busy.renew(at(0), said("a"));
        busy.take(2).unwrap();
        assert!(busy.renew(at(1), said("b")), "renewed while the flush was under way");
        assert!(!busy.retake(), "it must not be in the next flush twice");
        assert_eq!(busy.take(2).unwrap().last_seen, at(1));
    }

    #[test]
    fn a_renewal_during_a_flush_is_in_that_one_or_in_the_next() {
        // However the two threads fall, the last renewal must be in a row or still be marked.
        for _ in 0..200 {
            let lease = Lease::default();
            lease.renew(at(0), said("0"));
            let (mut taken, mut marked) = (None, false);
            std::thread::scope(|scope| {
                let flush = scope.spawn(|| lease.take(1));
                for second in 1..=20 {
                    marked |= lease.renew(at(second), said("later"));
                }
                taken = flush.join().unwrap();
            });
            assert!(marked || taken.unwrap().last_seen == at(20));
        }
    }

    #[test]
    fn the_end_of_a_silence_is_taken_once_with_what_was_before_it() {
        let lease = Lease::restore(Some(at(0)), Some(said("before").into()), false, true);
        let mut back = said("after");
        back.notes.insert(RECONNECT_REASON.to_owned(), "network_recovery".to_owned());
        lease.renew(at(500), back);
        lease.renew(at(501), said("and on"));
        assert!(!lease.is_online(), "nobody was told yet");
        let gap = lease.turn_online().unwrap();
        assert_eq!((gap.until, gap.since), (at(500), Some(at(0))));
        assert_eq!((gap.before, gap.reason.as_deref()), (Some(said("before")), Some("network_recovery")));
        assert!(lease.is_online());
        lease.renew(at(502), said("quiet"));
        assert_eq!(lease.turn_online(), None);
    }

    #[test]
    fn who_reports_while_it_is_looked_at_is_not_made_offline() {
        let lease = Lease::restore(Some(at(0)), Some(said("last").into()), true, true);
        lease.renew(at(500), said("just now"));
        assert_eq!(lease.turn_offline(at(0)), None, "it is no longer what was looked at");
        assert!(lease.is_online());
        assert_eq!(lease.turn_offline(at(500)), Some(Some(said("just now"))));
        assert_eq!(lease.turn_offline(at(500)), None, "once");
    }

    #[test]
    fn one_report_of_each_interval_is_kept_and_the_oldest_gives_way() {
        let sampling = Sampling { every: Duration::from_secs(600), keep: Duration::from_secs(1800) };
        assert_eq!(sampling.places(), 3);
        let lease = Lease::default();
        let mut places = Vec::new();
        for minute in 0..60 {
            lease.renew(at(minute * 60), said("a"));
            let row = lease.take(7).unwrap();
            places.extend(lease.take_turn(&row, &sampling));
        }
        assert!((6..=7).contains(&places.len()), "{places:?}");
        assert!(places.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 3), "{places:?}");
    }

    #[test]
    fn after_a_restart_the_next_interval_is_the_first_to_be_kept() {
        let sampling = Sampling::default();
        let lease = Lease::restore(Some(at(0)), Some(said("a").into()), true, true);
        let turn = |seconds| {
            lease.renew(at(seconds), said("b"));
            lease.take_turn(&lease.take(1).unwrap(), &sampling)
        };
        assert_eq!((turn(1), turn(2)), (None, None));
        assert!(turn(3601).is_some());
        lease.give_turn_back();
        assert!(turn(3602).is_some(), "the flush had failed");
        assert_eq!(turn(3603), None);
    }

    #[test]
    fn agents_take_their_turns_at_different_moments() {
        let sampling = Sampling::default();
        let due = |second| {
            let begins =
                |agent: &No| sampling.turn(*agent, at(second)) != sampling.turn(*agent, at(second - 1));
            (1..=36_000).filter(begins).count()
        };
        assert!((0..3600).all(|second| due(second) <= 60), "ten a second on average");
    }

    #[test]
    fn a_lease_that_was_never_renewed_has_no_row() {
        assert_eq!(Lease::default().take(1), None);
        assert_eq!(Lease::restore(None, None, false, true).last_seen(), None);
    }

    #[test]
    fn a_restored_lease_is_as_it_was_and_clean_and_asks_for_work() {
        let lease = Lease::restore(Some(at(3)), Some(said("a").into()), true, true);
        assert_eq!((lease.last_seen(), lease.report()), (Some(at(3)), Some(said("a"))));
        assert!(lease.has_work(at(-1000)), "nobody knows before the store is asked");
        assert!(lease.renew(at(4), said("b")), "it was clean");
    }

    #[test]
    fn work_is_expected_from_the_earliest_time_that_was_said() {
        let lease = Lease::restore(None, None, false, true);
        lease.expect_no_work();
        assert!(!lease.has_work(at(i64::from(u32::MAX))));
        lease.expect_work(Some(at(9)));
        lease.expect_work(Some(at(20)));
        assert_eq!([8, 9, 10].map(|seconds| lease.has_work(at(seconds))), [false, true, true]);
        lease.renew(at(0), said("a"));
        assert!(lease.has_work(at(9)), "reporting does no work");
        lease.expect_work(None);
        assert!(lease.has_work(at(-1000)), "the clock does not matter");
        lease.expect_no_work();
        assert!(!lease.has_work(at(9)));
    }
}
