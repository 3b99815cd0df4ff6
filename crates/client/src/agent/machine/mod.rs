mod answers;
mod failures;
mod saving;
mod steps;
mod stopping;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::saving::Saving;
use self::stopping::Stopping;
use self::work::Running;
use super::clock::Clock;
use super::command::Command;
use super::dialect::{Dialect, Step, Stream, Trouble};
use super::event::Event;
use super::input::Input;
use super::keyring::{Keyring, Which};
use super::moment::Moment;
use super::settings::Settings;
use super::spool::Spool;
use super::state::{Member, State};
use crate::store::Saved;

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// What was kept is no state of this version.
    #[error("the kept state cannot be read: {0}")]
    Unreadable(serde_json::Error),
    /// What was kept is the state of an agent that speaks another dialect.
    #[error("the kept state is that of an agent of {0}")]
    OtherVendor(String),
    /// There is no identity, and none can be asked for.
    #[error("the agent was neither provisioned nor can it enrol")]
    Nobody,
}

/// An agent without IO: time, randomness and what happens go in, what is to be done comes out.
///
/// Whoever drives it asks [`next`](Self::next) for a command, does it, tells with [`input`](Self::input) what came of
/// it, and asks again. Between two commands anything may be put in. The same inputs give the same commands.
///
/// Nothing is acted on before it is saved: a key is not used, work is not begun, and an identity does not report
/// while a crash could still forget it. At most one request is under way.
pub struct Machine<D: Dialect> {
    dialect: D,
    settings: Settings,
    state: State<D>,
    spool: Spool,
    clock: Clock,
    schedule: Schedule,
    /// How the last heartbeats went.
    streak: Streak,
    started: Start,
    flight: Option<Flight<D>>,
    again: Option<Flight<D>>,
    instructing: Instructing,
    riding: Riding,
    /// Whether heartbeats go the dialect's other way.
    otherwise: bool,
    report: Option<D::Report>,
    running: Option<Running>,
    runs: u64,
    saving: Saving,
    events: VecDeque<Event<D>>,
    stopping: Option<Stopping>,
}

/// When what is due, by the monotonic clock.
struct Schedule {
    enrol: Duration,
    enrol_failures: u32,
    beat: Duration,
    /// Before this no heartbeat leaves for what travels with it alone: a server could answer each with more work.
    extra: Duration,
    poll: Duration,
    poll_failures: u32,
    update: Option<Duration>,
    /// Before this the server wants to hear nothing.
    hold: Duration,
    /// Before this it wants to hear nothing of a stream.
    streams: BTreeMap<Stream, Duration>,
    /// How many messages may still be handed over before the next good heartbeat.
    deliveries: u32,
    /// Whether the agent has found its place among the others: the wait after the first heartbeat is drawn from the
    /// whole interval, since they may all have been started at once.
    placed: bool,
}

#[derive(Default)]
struct Streak {
    failures: u32,
    first_failure: Option<DateTime<Utc>>,
    last: Option<Trouble>,
    suspended: bool,
    keys_refused: bool,
}

/// How the process came up.
struct Start {
    monotonic: Duration,
    uptime: Option<Duration>,
    /// Whether a heartbeat was taken since.
    met: bool,
    clean: bool,
    updated: bool,
}

/// A request under way.
struct Flight<D: Dialect> {
    step: Step<D>,
    which: Which,
    /// Whether it was sent before with another time, and with another key.
    retimed: bool,
    rekeyed: bool,
    /// Whether it was put another way.
    rerouted: bool,
}

/// How it stands with the instructions that are asked for before the first heartbeat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Instructing {
    /// They are asked for before the next heartbeat.
    Due,
    /// They were asked for before this heartbeat, and did not come.
    Missed,
    /// They came, the server will not give them, or nobody asks.
    Over,
}

/// How many messages travel with a heartbeat. One heartbeat that is refused for what it says must not lead to all of
/// them being refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Riding {
    /// As many as there is room for.
    All,
    /// None, to see whether it was for them.
    None,
    /// One, to see for which: it was for one of them.
    One,
}

impl<D: Dialect> Machine<D> {
    /// An agent that goes on where the last one left off. `uptime` says for how long the machine has been up, if
    /// that is known.
    ///
    /// # Errors
    /// What was kept is not an agent's of this dialect, or there is no identity to begin with.
    pub fn start(
        dialect: D,
        settings: Settings,
        saved: &Saved,
        moment: &Moment,
        uptime: Option<Duration>,
    ) -> Result<Self, StartError> {
        let mut state = match &saved.state {
            Some(bytes) => State::read(bytes).map_err(StartError::Unreadable)?,
            None => State::<D>::new(),
        };
        if state.vendor != D::VENDOR {
            return Err(StartError::OtherVendor(state.vendor));
        }
        let mut events: VecDeque<_> = saved.damaged.iter().cloned().map(Event::StoreDamaged).collect();
        let mut saving = Saving::default();
        let mut spool = Spool::default();
        for (seq, bytes) in &saved.messages {
            match serde_json::from_slice::<D::Message>(bytes) {
                Ok(message) => {
                    let ends = D::ends_work(&message).map(ToOwned::to_owned);
                    spool.restore(*seq, D::stream(&message), bytes.clone(), ends);
                }
                Err(error) => {
                    saving.removes.push_back(*seq);
                    events.push_back(Event::Dropped { message: None, why: format!("no message: {error}") });
                }
            }
        }
        match (&mut state.member, dialect.provisioned()) {
            (Some(member), Some((identity, key))) => {
                member.identity = identity;
                if !member.keys.holds(&key) && member.keys.offered(&key) {
                    saving.generation = 1;
                    saving.keys = 1;
                }
            }
            (Some(member), None) => {
                let given = dialect.given_key().filter(|key| !member.keys.holds(key));
                if given.is_some_and(|key| member.keys.offered(&key)) {
                    saving.generation = 1;
                    saving.keys = 1;
                }
            }
            (member @ None, Some((identity, key))) => {
                *member = Some(Member { identity, keys: Keyring::new(key), poll: None, beat: None });
                saving.generation = 1;
                saving.member = 1;
            }
            (None, None) if dialect.applicant().is_none() => return Err(StartError::Nobody),
            (None, None) => {}
        }
        let now = moment.monotonic;
        let started =
            Start { monotonic: now, uptime, met: false, clean: state.stopped, updated: state.updating };
        let instructing = if dialect.asks_for_instructions() { Instructing::Due } else { Instructing::Over };
        let mut machine = Self {
            instructing,
            riding: Riding::All,
            otherwise: false,
            schedule: Schedule {
                enrol: now,
                enrol_failures: 0,
                beat: now,
                extra: now,
                poll: now,
                poll_failures: 0,
                update: None,
                hold: Duration::ZERO,
                streams: BTreeMap::new(),
                deliveries: 0,
                placed: false,
            },
            dialect,
            settings,
            state,
            spool,
            clock: Clock::default(),
            streak: Streak::default(),
            started,
            flight: None,
            again: None,
            report: None,
            running: None,
            runs: 0,
            saving,
            events,
            stopping: None,
        };
        machine.clock.look(moment);
        // The crash came between the two: the result was kept, and that the work is over was not.
        if let Some(id) = machine.in_hand_id().filter(|id| machine.spool.tells_end_of(id)) {
            if !D::POLLS {
                machine.state.settle(&id);
            }
            machine.release(&id);
        }
        Ok(machine)
    }

    /// What is to be done next.
    pub fn next(&mut self, moment: &Moment) -> Command<D> {
        self.look(moment);
        if let Some(event) = self.events.pop_front() {
            return Command::Report(event);
        }
        if self.saving.under_way.is_some() || self.flight.is_some() {
            // Whoever drives has not said yet what came of the last command.
            return Command::Wait(None);
        }
        if let Some(change) = self.change(moment) {
            return Command::Persist(change);
        }
        if let Some(command) = self.attend_to_work(moment) {
            return command;
        }
        if let Some(stopping) = &self.stopping
            && let Some(command) = self.wind_up(stopping.since, moment)
        {
            return command;
        }
        if let Some(again) = self.again.take() {
            return self.send(again, moment);
        }
        self.proceed(moment)
    }

    /// Tells what has happened.
    pub fn input(&mut self, moment: &Moment, input: Input<D>) {
        self.look(moment);
        match input {
            Input::Answered(outcome) => self.answered(&outcome, moment),
            Input::Persisted(outcome) => self.persisted(outcome, moment),
            Input::Collected(report) => self.report = Some(report),
            Input::Progressed { run, progress } => self.progressed(run, progress),
            Input::Ended { run, ending } => self.ended(run, ending, moment),
            Input::Sign(signer) => self.sign(signer, moment),
            Input::Post(message) => {
                self.post(&message);
            }
            Input::CheckUpdate => self.schedule.update = Some(moment.monotonic),
            Input::Updated(outcome) => {
                self.events.push_back(outcome.map_or_else(Event::UpdateFailed, Event::Updated));
            }
            Input::ExpectUpdate => self.expect_update(),
            Input::Stop => {
                self.stopping.get_or_insert(Stopping { since: moment.monotonic, settled: false });
            }
        }
    }

    pub(crate) const fn dialect(&self) -> &D {
        &self.dialect
    }

    /// Who the agent is to the server; `None` before it has enrolled.
    pub fn identity(&self) -> Option<&D::Identity> {
        self.state.member.as_ref().map(|member| &member.identity)
    }

    /// How many heartbeats in a row have failed.
    pub const fn failures(&self) -> u32 {
        self.streak.failures
    }

    /// How many messages wait to be handed over.
    pub fn waiting(&self) -> usize {
        self.spool.len()
    }

    /// The server's time, as far as the agent can tell.
    pub fn server_time(&self, moment: &Moment) -> DateTime<Utc> {
        self.clock.now(moment)
    }

    /// Says that the process is about to end for another version of itself, so that the next start can tell. To be said
    /// before the agent is asked to stop.
    pub fn expect_update(&mut self) {
        self.state.updating = true;
        self.touch();
    }

    fn interval(&self) -> Duration {
        let asked = self.state.member.as_ref().and_then(|member| member.beat).map(Duration::from_millis);
        asked.or(self.settings.cadence.heartbeat).unwrap_or(D::HEARTBEAT)
    }

    fn poll_interval(&self) -> Duration {
        let asked = self.state.member.as_ref().and_then(|member| member.poll).map(Duration::from_millis);
        asked.unwrap_or(self.settings.cadence.poll)
    }

    fn in_hand_id(&self) -> Option<String> {
        self.state.in_hand.as_ref().map(|in_hand| D::work_id(&in_hand.work))
    }

    /// Marks the state as changed. The generation that has the change in it.
    const fn touch(&mut self) -> u64 {
        self.saving.generation += 1;
        self.saving.generation
    }

    /// Looks at the clocks; a machine that seems to have been suspended reports at once.
    fn look(&mut self, moment: &Moment) {
        if let Some(still) = self.clock.look(moment)
            && still > self.interval() * 2
        {
            self.streak.suspended = true;
            self.schedule.beat = self.schedule.beat.min(moment.monotonic);
        }
    }
}

impl<D: Dialect> Flight<D> {
    const fn new(step: Step<D>) -> Self {
        Self { step, which: Which::Current, retimed: false, rekeyed: false, rerouted: false }
    }
}

impl<D: Dialect> fmt::Debug for Machine<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("vendor", &D::VENDOR)
            .field("identity", &self.identity())
            .field("failures", &self.streak.failures)
            .field("waiting", &self.spool.len())
            .finish_non_exhaustive()
    }
}
