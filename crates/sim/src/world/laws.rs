//! What must hold throughout, whatever befalls a world.

use std::collections::BTreeMap;
use std::fmt;

use fleetwire_server_core::domain::{No, Vendor, WorkState};
use fleetwire_server_core::events::{Event, EventKind};
use fleetwire_server_core::keys::{hex, sha256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chance::millis;

macro_rules! laws {
    ($($name:ident = $word:literal, $meaning:literal;)*) => {
        /// A law of every world.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum Law {
            $(#[doc = $meaning] $name,)*
        }

        impl Law {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it says, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

laws! {
    KeyWorks = "key-works", "No agent that may sign in is locked out: one of the keys that it has kept is good, whatever was lost.";
    InTimeIsOnline = "in-time-is-online", "Nobody who reports in time is told offline, nor before one interval after the server's return.";
    SilenceIsNoticed = "silence-is-noticed", "Who is silent for longer than its vendor allows is told offline with the next flush.";
    WorkRunsOnce = "work-runs-once", "Each execution of work is begun once; another is begun only where one more was allowed.";
    ResultsAreKept = "results-are-kept", "What an agent was told is taken is at its end on the server, each execution ends once, and no result is dropped.";
    NoStampede = "no-stampede", "No second has over twice the usual requests, whatever has brought agents together.";
    JournalAlternates = "journal-alternates", "Online and offline alternate in the journal, once for each gap, and numbers grow.";
    TenantsApart = "tenants-apart", "Nothing of one tenant is seen or changed with a key of another.";
    Understood = "understood", "Agents and server understand each other: nothing that one writes is refused for what it says.";
    CommittedStays = "committed-stays", "What was committed before the server died is there when it is back.";
    EverybodyReturns = "everybody-returns", "Once faults are over, everybody is online again and nothing waits to be handed over.";
    NoPanic = "no-panic", "Nothing panics, and the core never has to wait for a store that is in memory.";
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A law that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Violation {
    /// Which.
    pub law: Law,
    /// When, in milliseconds since the world began.
    pub at: u64,
    /// The agent that it was broken for, if it was for one.
    pub agent: Option<String>,
    /// How.
    pub how: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at / 1000;
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let agent = self.agent.as_deref().unwrap_or("the server");
        write!(f, "{} at {hours:02}:{minutes:02}:{rest:02}, {agent}: {}", self.law, self.how)
    }
}

/// How late an answer may come to an agent that has waited for it all the while.
pub(super) const PATIENCE: u64 = 30_000;

/// What is known of an agent from outside, by those who watch.
#[derive(Debug)]
pub(super) struct Person {
    /// What names it in draws, whoever else lives.
    pub(super) number: u64,
    pub(super) vendor: Vendor,
    pub(super) tenant: No,
    /// Its name in reports.
    pub(super) name: String,
    /// Its id on the server, once it has one.
    pub(super) id: Option<String>,
    /// Its rows on the server: its own, and that of the agent on a host.
    pub(super) rows: Vec<No>,
    /// When the server last took a report, as far as it knows: what was not flushed is lost when it dies.
    pub(super) last_beat: Option<u64>,
    /// The last report but one, if the last is not flushed; and during which flush it came.
    before: Option<u64>,
    came_during: u64,
    /// How many operators have shut it out.
    pub(super) shut_out: u32,
    /// When it was last let in again.
    pub(super) let_in: u64,
}

impl Person {
    /// Somebody who has not reported yet.
    pub(super) const fn new(number: u64, vendor: Vendor, tenant: No, name: String) -> Self {
        Self {
            number,
            vendor,
            tenant,
            name,
            id: None,
            rows: Vec::new(),
            last_beat: None,
            before: None,
            came_during: 0,
            shut_out: 0,
            let_in: 0,
        }
    }
}

/// A row of the server in the journal.
#[derive(Debug)]
struct Row {
    person: usize,
    tenant: No,
    online: bool,
}

/// A piece of work.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) person: usize,
    pub(super) state: WorkState,
    /// How often each execution was begun.
    runs: BTreeMap<u32, u32>,
    /// How often each was told to have ended.
    ends: u32,
}

/// How the server's process came and went.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// When it last started.
    pub(super) started: u64,
    /// When it last said that it was up before that.
    pub(super) up_until: Option<u64>,
    /// When it last flushed, and how often it has.
    pub(super) flushed: u64,
    pub(super) flushes: u64,
}

/// Looks on, and speaks up when a law is broken.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) people: Vec<Person>,
    rows: BTreeMap<No, Row>,
    /// Work by tenant and id.
    pub(super) work: BTreeMap<(No, String), Piece>,
    /// Ids of work by its number, in the dialects that show numbers.
    pub(super) numbered: BTreeMap<String, String>,
    /// What agents were told is taken, to be looked up while the server is there.
    pub(super) taken: Vec<(No, String, u32)>,
    pub(super) server: Life,
    /// How many pieces of work are in each state, in the order of [`WorkState::ALL`].
    pub(super) states: [u32; 7],
    last_event: BTreeMap<No, i64>,
    digest: [u8; 32],
    pub(super) events: u64,
    pub(super) broken: Option<Violation>,
    /// How far apart flushes are, in milliseconds.
    flush: u64,
}

/// A vendor's silence that means offline, and the interval with its grace, in milliseconds.
pub(super) fn bounds(vendor: Vendor) -> (u64, u64) {
    let cadence = fleetwire_server_core::lease::Cadence::default_of(vendor);
    let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    (millis(cadence.offline_after), millis(cadence.interval + cadence.grace))
}

impl Watch {
    /// Watches over a server that flushes so often, in milliseconds.
    pub(super) fn new(flush: u64) -> Self {
        Self { flush, ..Self::default() }
    }

    /// A law is broken. The first one counts.
    pub(super) fn breaks(&mut self, law: Law, at: u64, person: Option<usize>, how: String) {
        let agent = person.and_then(|person| self.people.get(person)).map(|person| person.name.clone());
        self.broken.get_or_insert(Violation { law, at, agent, how });
    }

    /// A row of the server is an agent's.
    pub(super) fn owns(&mut self, person: usize, row: No) {
        let tenant = self.people[person].tenant;
        self.people[person].rows.push(row);
        self.rows.entry(row).or_insert(Row { person, tenant, online: false });
    }

    /// An agent has enrolled as this row.
    pub(super) fn becomes(&mut self, person: usize, row: No, now: u64) {
        // One whose enrolment could not be repeated any more is another agent, if it has never reported.
        let before = std::mem::take(&mut self.people[person].rows);
        if !before.is_empty() && self.people[person].last_beat.is_some() {
            self.breaks(Law::KeyWorks, now, Some(person), "has enrolled again, as another agent".to_owned());
        }
        for row in before {
            self.rows.remove(&row);
        }
        self.owns(person, row);
    }

    /// An agent begins an execution of work.
    pub(super) fn begins(&mut self, person: usize, id: &str, execution: u32, now: u64) {
        let tenant = self.people[person].tenant;
        let id = self.numbered.get(id).cloned().unwrap_or_else(|| id.to_owned());
        let Some(piece) = self.work.get_mut(&(tenant, id.clone())) else {
            return self.breaks(
                Law::TenantsApart,
                now,
                Some(person),
                format!("was given {id}, which is no work of its tenant"),
            );
        };
        if piece.person != person {
            return self.breaks(
                Law::TenantsApart,
                now,
                Some(person),
                format!("was given {id}, which is another agent's"),
            );
        }
        let runs = piece.runs.entry(execution).or_default();
        *runs += 1;
        if *runs > 1 {
            self.breaks(
                Law::WorkRunsOnce,
                now,
                Some(person),
                format!("begins execution {execution} of {id} again"),
            );
        }
    }

    /// An agent was told that the end of an execution is taken.
    pub(super) fn was_taken(&mut self, person: usize, id: &str, execution: u32) {
        let tenant = self.people[person].tenant;
        let id = self.numbered.get(id).cloned().unwrap_or_else(|| id.to_owned());
        self.taken.push((tenant, id, execution));
    }

    /// Reads on in the journal of a tenant.
    pub(super) fn journal(&mut self, tenant: No, events: Vec<Event>, now: u64) {
        let mut lines: Vec<String> = Vec::with_capacity(events.len());
        for event in events {
            let last = self.last_event.insert(tenant, event.no);
            if last.is_some_and(|last| last >= event.no) {
                self.breaks(
                    Law::JournalAlternates,
                    now,
                    None,
                    format!("event {} comes after {last:?}", event.no),
                );
            }
            if event.tenant != tenant {
                let how = format!("the journal of tenant {tenant} tells of tenant {}", event.tenant);
                self.breaks(Law::TenantsApart, now, None, how);
            }
            self.events += 1;
            let detail = serde_json::to_string(&event.detail).unwrap_or_default();
            let (agent, kind, at) = (event.agent.unwrap_or_default(), event.kind.as_str(), event.at);
            lines.push(format!("{tenant} {agent} {kind} {} {detail}\n", at.timestamp_millis()));
            match event.kind {
                EventKind::Online | EventKind::Offline => self.turn(&event, now),
                EventKind::WorkQueued
                | EventKind::WorkDelivered
                | EventKind::WorkStarted
                | EventKind::WorkEnded => {
                    self.work_event(&event, now);
                }
                _ => {}
            }
        }
        if !lines.is_empty() {
            // A flush tells of several agents in the order in which a hash table has them, which differs from run to run.
            lines.sort_unstable();
            let mut text = self.digest.to_vec();
            text.extend(lines.concat().into_bytes());
            self.digest = sha256(&text);
        }
    }

    fn turn(&mut self, event: &Event, now: u64) {
        let online = event.kind == EventKind::Online;
        let Some(row) = event.agent.and_then(|no| self.rows.get_mut(&no)) else { return };
        let person = row.person;
        if row.tenant != event.tenant {
            return self.breaks(
                Law::TenantsApart,
                now,
                Some(person),
                "is told of to another tenant".to_owned(),
            );
        }
        let before = std::mem::replace(&mut row.online, online);
        if before == online {
            let how = format!("is told {} twice in a row", event.kind.as_str());
            return self.breaks(Law::JournalAlternates, now, Some(person), how);
        }
        if !online && let Some(why) = self.is_wronged(person, before, millis(event.at)) {
            self.breaks(Law::InTimeIsOnline, now, Some(person), why);
        }
    }

    /// Why it is wrong to call an agent offline at a time, if it is.
    pub(super) fn is_wronged(&self, person: usize, was_online: bool, at: u64) -> Option<String> {
        let person = self.people.get(person)?;
        let (offline_after, in_time) = bounds(person.vendor);
        let silence = at.saturating_sub(person.last_beat?);
        if silence < offline_after {
            return Some(format!("is called offline {:.1} s after its last report", seconds(silence)));
        }
        let up = at.saturating_sub(self.server.started);
        if was_online && self.server.up_until.is_some() && up < in_time {
            return Some(format!(
                "was online, and is called offline {:.1} s after the server's return",
                seconds(up)
            ));
        }
        None
    }

    /// The server has taken a report.
    pub(super) fn reported(&mut self, person: usize, now: u64) {
        let person = &mut self.people[person];
        if person.came_during != self.server.flushes {
            person.before = person.last_beat;
        }
        person.last_beat = Some(now);
        person.came_during = self.server.flushes;
    }

    /// The server's process is gone.
    pub(super) fn server_died(&mut self, orderly: bool) {
        let Life { flushed, started, flushes, .. } = self.server;
        self.server.up_until = Some(flushed.max(started));
        for person in self.people.iter_mut().filter(|person| !orderly && person.came_during == flushes) {
            person.last_beat = person.before;
        }
    }

    /// Who should have been told offline by now, and is not.
    pub(super) fn look_for_silence(&mut self, now: u64) {
        let Life { started, flushed, .. } = self.server;
        let mut unnoticed = None;
        for row in self.rows.values().filter(|row| row.online) {
            let Some(person) = self.people.get(row.person) else { continue };
            let (offline_after, in_time) = bounds(person.vendor);
            let last = person.last_beat.unwrap_or_default();
            let due = (last + offline_after).max(started + in_time) + self.flush;
            // The flush before this look has told it, if it was due by then.
            if flushed > due {
                unnoticed = Some((row.person, now.saturating_sub(last)));
            }
        }
        if let Some((person, silence)) = unnoticed {
            let how = format!("has been silent for {:.1} s and is not told offline", seconds(silence));
            self.breaks(Law::SilenceIsNoticed, now, Some(person), how);
        }
    }

    /// Who is not told online.
    pub(super) fn is_told_online(&self, person: usize) -> bool {
        let Some(person) = self.people.get(person) else { return false };
        person.rows.iter().all(|no| self.rows.get(no).is_some_and(|row| row.online))
    }

    fn work_event(&mut self, event: &Event, now: u64) {
        let Some(id) = event.detail.get("work").and_then(Value::as_str) else { return };
        let state = match event.kind {
            EventKind::WorkQueued => WorkState::Queued,
            EventKind::WorkDelivered => WorkState::Delivered,
            EventKind::WorkStarted => WorkState::Running,
            _ => {
                let end = event.detail.get("end").and_then(Value::as_str);
                end.and_then(WorkState::parse).unwrap_or(WorkState::Failed)
            }
        };
        let Some(piece) = self.work.get_mut(&(event.tenant, id.to_owned())) else { return };
        let person = piece.person;
        if self.people[person].rows.iter().all(|no| event.agent != Some(*no)) {
            return self.breaks(
                Law::TenantsApart,
                now,
                Some(person),
                format!("{id} is told of another agent"),
            );
        }
        let before = std::mem::replace(&mut piece.state, state);
        if state.is_terminal() {
            piece.ends += 1;
            if piece.ends > 1 {
                self.breaks(Law::ResultsAreKept, now, Some(person), format!("{id} comes to an end twice"));
                return;
            }
        }
        for (place, known) in WorkState::ALL.into_iter().enumerate() {
            self.states[place] -= u32::from(known == before);
            self.states[place] += u32::from(known == state);
        }
    }

    /// Work was queued.
    pub(super) fn queued(&mut self, person: usize, id: String, number: Option<String>) {
        let tenant = self.people[person].tenant;
        if let Some(number) = number {
            self.numbered.insert(number, id.clone());
        }
        let piece = Piece { person, state: WorkState::Queued, runs: BTreeMap::new(), ends: 0 };
        self.states[0] += 1;
        self.work.insert((tenant, id), piece);
    }

    /// What tells the journal of this world from that of another.
    pub(super) fn digest(&self) -> String {
        hex(&self.digest)
    }

    /// Where to read on in the journal of a tenant.
    pub(super) fn read_to(&self, tenant: No) -> i64 {
        self.last_event.get(&tenant).copied().unwrap_or_default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) fn seconds(millis: u64) -> f64 {
    millis as f64 / 1e3
}
