use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use fleetwire_protocol::{FaultKind, RetryAfter};
use http::{Request, Response, header};

use super::cadence::{self, Cadence};
use super::clock::Clock;
use super::dialect::{
    Answer, Beat, Dialect, Ended, Ending, Progress, Signing, Step, Stream, Taken, Trouble, TroubleKind,
};
use super::gap::{Away, Reconnect};
use super::keyring::{Keyring, Which};
use super::moment::{Dice, Moment};
use super::spool::{Spool, SpoolLimits};
use super::state::{InHand, Member, QUEUE, State};
use crate::Cause;
use crate::store::{Change, Saved};

/// How an agent behaves.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// How often it does what.
    pub cadence: Cadence,
    /// How much may wait to be handed over.
    pub spool: SpoolLimits,
    /// How many messages are handed over after each good heartbeat at most, so that a fleet which has been cut off
    /// does not hand over everything at once; 16 by default.
    pub deliveries_per_beat: u32,
    /// How long work that is called off may take to end, and how long work may go on once the agent is asked to
    /// stop before it is called off; 10 s by default.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cadence: Cadence::default(),
            spool: SpoolLimits::default(),
            deliveries_per_beat: 16,
            grace: Duration::from_secs(10),
        }
    }
}

/// What happens to an agent.
#[derive(Debug)]
pub enum Input<D: Dialect> {
    /// The answer to [`Command::Send`], or why there is none.
    Answered(Result<Response<Bytes>, NoAnswer>),
    /// What became of [`Command::Persist`]; the text is the store's own.
    Persisted(Result<(), String>),
    /// The answer to [`Command::Collect`].
    Collected(D::Report),
    /// How far the work is.
    Progressed {
        /// The run that [`Command::Run`] began.
        run: u64,
        /// How far.
        progress: Progress,
    },
    /// The work has ended.
    Ended {
        /// The run that [`Command::Run`] began.
        run: u64,
        /// How.
        ending: Ending<D::Outcome>,
    },
    /// A request of somebody who works beside the agent's steps, to be signed as the agent's own.
    Sign(Signer<D>),
    /// A message of the embedding program, for the spool.
    Post(D::Message),
    /// The agent is to ask now whether there is a newer version of it. [`Event::UpdateOffered`],
    /// [`Event::UpToDate`] or [`Event::Failed`] says what came of it.
    CheckUpdate,
    /// What came of an update: the version that is in the program's place now, or why it is not.
    Updated(Result<String, String>),
    /// Another version of the program is in its place: the next start is that of an update.
    ExpectUpdate,
    /// The agent is to stop.
    Stop,
}

/// Has a request signed with the agent's identity, key and time. What it was asked for goes its own way.
pub struct Signer<D: Dialect>(Box<Sign<D>>);

type Sign<D> = dyn FnOnce(&D, &Signing<'_, D>) + Send;

impl<D: Dialect> Signer<D> {
    /// Signs something as soon as the agent comes to it.
    pub fn new(sign: impl FnOnce(&D, &Signing<'_, D>) + Send + 'static) -> Self {
        Self(Box::new(sign))
    }
}

impl<D: Dialect> fmt::Debug for Signer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    /// The cause.
    pub cause: Cause,
    /// The transport's own words.
    pub text: String,
}

/// What an agent wants done. One at a time: the next is asked for when it has been done.
pub enum Command<D: Dialect> {
    /// Send this and give [`Input::Answered`]. One attempt: when to try again is the machine's business.
    Send(Request<Bytes>),
    /// Make this change and give [`Input::Persisted`].
    Persist(Change),
    /// Say how things stand: [`Input::Collected`].
    Collect,
    /// Begin this work, beside everything else.
    Run(Assignment<D::Work>),
    /// Ask the work of this run to end soon.
    Cancel(u64),
    /// Tell whoever watches.
    Report(Event<D>),
    /// Nothing is to be done before this time of the monotonic clock, unless something happens; `None` is for ever.
    Wait(Option<Duration>),
    /// It is over.
    Stopped(Stopped),
}

impl<D: Dialect> fmt::Debug for Command<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(request) => write!(f, "Send({} {})", request.method(), request.uri().path()),
            Self::Persist(change) => write!(f, "Persist({change:?})"),
            Self::Collect => f.write_str("Collect"),
            Self::Run(assignment) => write!(f, "Run({assignment:?})"),
            Self::Cancel(run) => write!(f, "Cancel({run})"),
            Self::Report(event) => write!(f, "Report({event:?})"),
            Self::Wait(until) => write!(f, "Wait({until:?})"),
            Self::Stopped(stopped) => write!(f, "Stopped({stopped:?})"),
        }
    }
}

/// Work to begin.
#[derive(Debug, Clone)]
pub struct Assignment<W> {
    /// Names this run of it.
    pub run: u64,
    /// What to do.
    pub work: W,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Whether it was begun before and the agent went down over it. It is then to be done only if doing it again
    /// is known to be harmless, and otherwise to be ended as [`Ending::Interrupted`].
    pub interrupted: bool,
}

/// Why an agent is no longer at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It was asked to stop.
    Asked,
    /// The server does not take it in: the enrolment token is not good, say. Asking again does not help.
    NotTakenIn(Trouble),
}

/// What an agent tells whoever watches it.
#[non_exhaustive]
pub enum Event<D: Dialect> {
    /// The server has taken it in.
    Enrolled(D::Identity),
    /// The server says what to work by.
    Instructed(D::Instructions),
    /// A heartbeat was taken. Says after how many that were not.
    Taken {
        /// How many.
        after_failures: u32,
    },
    /// A step failed.
    Failed {
        /// Which.
        step: &'static str,
        /// Why, and whether the same may succeed later.
        trouble: Trouble,
        /// When it is tried again; `None` when it is not.
        next: Option<Duration>,
    },
    /// The server's time is not the machine's: the machine's is behind by so many milliseconds, or ahead if
    /// negative. Everything that is sent is corrected for it.
    ClockOff(i64),
    /// The server offers a new key.
    KeyOffered,
    /// The server has accepted the new key, which is from now on the agent's.
    KeyChanged,
    /// The server refuses every key that the agent has. They are kept and tried again.
    KeysRefused,
    /// Work was accepted.
    Accepted(D::Work),
    /// There is no room for this work now; the server is left to hand it over again.
    TurnedAway(D::Work),
    /// Work was asked to end and does not. Until it does, no other is begun.
    Stuck(D::Work),
    /// The server has taken a message.
    Delivered(D::Message),
    /// A message is lost: the server refuses it for good, or it had to make room.
    Dropped {
        /// The message; `None` if it could not be read any more.
        message: Option<D::Message>,
        /// Why.
        why: String,
    },
    /// There is a newer version of the agent.
    UpdateOffered(D::Update),
    /// There is no newer version of the agent.
    UpToDate,
    /// Another version of the program is in its place, and runs from the next start on.
    Updated(String),
    /// The program was not changed for another version, or is changed back.
    UpdateFailed(String),
    /// The store failed; tried again soon.
    StoreFailed(String),
    /// The store found something damaged.
    StoreDamaged(String),
}

impl<D: Dialect> fmt::Debug for Event<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instructed(_) => f.write_str("Instructed"),
            Self::Enrolled(identity) => write!(f, "Enrolled({identity:?})"),
            Self::Taken { after_failures } => write!(f, "Taken(after {after_failures} failures)"),
            Self::Failed { step, trouble, next } => write!(f, "Failed({step}: {trouble}; again in {next:?})"),
            Self::ClockOff(millis) => write!(f, "ClockOff({millis} ms)"),
            Self::KeyOffered => f.write_str("KeyOffered"),
            Self::KeyChanged => f.write_str("KeyChanged"),
            Self::KeysRefused => f.write_str("KeysRefused"),
            Self::Accepted(work) => write!(f, "Accepted({})", D::work_id(work)),
            Self::TurnedAway(work) => write!(f, "TurnedAway({})", D::work_id(work)),
            Self::Stuck(work) => write!(f, "Stuck({})", D::work_id(work)),
            Self::Delivered(message) => write!(f, "Delivered({:?})", D::stream(message)),
            Self::Dropped { why, .. } => write!(f, "Dropped({why})"),
            Self::UpdateOffered(update) => write!(f, "UpdateOffered({update:?})"),
            Self::UpToDate => f.write_str("UpToDate"),
            Self::Updated(version) => write!(f, "Updated({version})"),
            Self::UpdateFailed(why) => write!(f, "UpdateFailed({why})"),
            Self::StoreFailed(why) => write!(f, "StoreFailed({why})"),
            Self::StoreDamaged(what) => write!(f, "StoreDamaged({what})"),
        }
    }
}

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

/// How long a time may go unsaved, in heartbeats: what is saved is written to flash memory.
const TIMES_SAVED_EVERY: u32 = 5;
/// How long to wait after a store has failed.
const STORE_REST: Duration = Duration::from_secs(10);
/// The least time between two heartbeats that leave for what travels with them.
const EXTRA: Duration = Duration::from_secs(5);
/// How long an application to be enrolled is repeated by the same applicant.
const APPLICATION: TimeDelta = TimeDelta::hours(1);

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

/// Work under way.
struct Running {
    run: u64,
    began: Duration,
    deadline: Option<Duration>,
    called_off: Option<CalledOff>,
    /// Whether its end has been told without waiting for it any longer.
    given_up: bool,
    /// How far it was when that was last told.
    so_far: Option<Progress>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct CalledOff {
    at: Duration,
    too_late: bool,
}

/// What is to be saved. A generation is the state after some change of it.
#[derive(Default)]
struct Saving {
    generation: u64,
    saved: u64,
    /// The generations that identity, candidate and begun work need.
    member: u64,
    keys: u64,
    in_hand: u64,
    applied: u64,
    appends: VecDeque<u64>,
    removes: VecDeque<u64>,
    under_way: Option<UnderWay>,
    rest_until: Duration,
    /// When the time of the last heartbeat was last among what was saved.
    seen_saved: Option<Duration>,
}

#[derive(Clone, Copy)]
enum UnderWay {
    Append(u64),
    State(u64),
    Remove(u64),
}

struct Stopping {
    since: Duration,
    settled: bool,
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
            Some(bytes) => serde_json::from_slice(bytes).map_err(StartError::Unreadable)?,
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
            Input::Answered(outcome) => self.answered(outcome, moment),
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

/// What is due, and in which order.
impl<D: Dialect> Machine<D> {
    fn proceed(&mut self, moment: &Moment) -> Command<D> {
        let now = moment.monotonic;
        let hold = self.schedule.hold;
        let mut wake = self.wake_for_work();
        let mut due = |at: Duration| {
            if at <= now {
                return true;
            }
            wake = Some(wake.map_or(at, |earlier: Duration| earlier.min(at)));
            false
        };
        if self.saving.is_pending() {
            due(self.saving.rest_until);
        }
        let member_saved = self.state.member.is_some() && self.saving.saved >= self.saving.member;
        if self.state.member.is_none() {
            if due(self.schedule.enrol.max(hold)) {
                return self.enrol(moment);
            }
        } else if member_saved && self.stopping.is_none() && due(self.schedule.beat.max(hold)) {
            if self.instructing == Instructing::Due {
                return self.send(Flight::new(Step::Instruct), moment);
            }
            return self.beat(moment);
        }
        if !member_saved || !self.started.met {
            return Command::Wait(wake);
        }
        let cut_off = cadence::is_cut_off(self.streak.failures);
        if self.streak.failures == 0 && self.schedule.deliveries > 0 {
            for stream in [Stream::Result, Stream::Status, Stream::Notification] {
                if self.spool.next(|other| other == stream).is_some() {
                    due(self.stream_open(stream).max(hold));
                }
            }
            let open = |stream| stream != Stream::Beat && self.stream_open(stream).max(hold) <= now;
            let next = self.spool.next(open);
            if let Some(seq) = next
                && let Some(command) = self.deliver(seq, moment)
            {
                return command;
            }
        }
        if self.stopping.is_some() {
            return Command::Wait(wake);
        }
        if D::POLLS
            && !cut_off
            && !self.is_busy()
            && self.spool.has_room_for_result(&self.settings.spool)
            && due(self.schedule.poll.max(hold))
        {
            return self.send(Flight::new(Step::Poll), moment);
        }
        if D::CHECKS_UPDATES
            && !cut_off
            && let Some(at) = self.schedule.update
            && due(at.max(hold))
        {
            return self.send(Flight::new(Step::CheckUpdate { otherwise: false }), moment);
        }
        Command::Wait(wake)
    }

    /// From when on a stream may be handed over. What work came to does not overtake how far it was.
    fn stream_open(&self, stream: Stream) -> Duration {
        let open = |stream| self.schedule.streams.get(&stream).copied().unwrap_or_default();
        if stream == Stream::Result && self.spool.next(|other| other == Stream::Status).is_some() {
            return open(Stream::Result).max(open(Stream::Status));
        }
        open(stream)
    }

    fn is_busy(&self) -> bool {
        self.running.is_some() || self.state.in_hand.is_some() || !self.state.queue.is_empty()
    }

    fn enrol(&mut self, moment: &Moment) -> Command<D> {
        let wall = moment.wall.timestamp_millis();
        let applied = self.state.applied.as_ref().filter(|(_, at)| {
            let age = wall.saturating_sub(*at);
            (0..=APPLICATION.num_milliseconds()).contains(&age)
        });
        if let Some((applicant, _)) = applied {
            if self.saving.saved >= self.saving.applied {
                let step = Step::Enroll(applicant.clone());
                return self.send(Flight::new(step), moment);
            }
        } else {
            self.state.applied = self.dialect.applicant().map(|applicant| (applicant, wall));
            self.saving.applied = self.touch();
        }
        // Saved first: who has applied must be who applies again.
        match self.change(moment) {
            Some(change) => Command::Persist(change),
            None => Command::Wait(Some(self.saving.rest_until)),
        }
    }

    fn beat(&mut self, moment: &Moment) -> Command<D> {
        let Some(report) = self.report.take() else { return Command::Collect };
        let offset = self.clock.offset();
        let up = TimeDelta::from_std(moment.monotonic.saturating_sub(self.started.monotonic));
        let began = up.ok().and_then(|up| moment.wall.checked_sub_signed(up)).unwrap_or(moment.wall);
        if self.instructing == Instructing::Missed {
            self.instructing = Instructing::Due;
        }
        let beat = Beat {
            report,
            riders: self.riders(),
            otherwise: self.otherwise,
            current: self.in_hand_id(),
            last: self.state.last.clone(),
            reconnect: self.reconnect(moment),
            process_start: began.checked_add_signed(offset).unwrap_or(began),
        };
        self.send(Flight::new(Step::Beat(beat)), moment)
    }

    /// What travels with the next heartbeat.
    fn riders(&self) -> Vec<(u64, D::Message)> {
        let room = match self.riding {
            Riding::All => usize::try_from(self.settings.deliveries_per_beat).unwrap_or(usize::MAX),
            Riding::None => 0,
            Riding::One => 1,
        };
        // What is not saved yet may be lost, and would then be done and told again.
        let saved = |seq: &u64| !self.saving.appends.contains(seq);
        let waiting = self.spool.all(Stream::Beat).filter(saved);
        let read = |seq: u64| Some((seq, serde_json::from_slice(&self.spool.get(seq)?.bytes).ok()?));
        waiting.filter_map(read).take(room).collect()
    }

    /// Why the agent was away, if it was away for more than two intervals.
    fn reconnect(&self, moment: &Moment) -> Option<Reconnect> {
        let seen = self.state.seen_at()?;
        let away = self.clock.now(moment).signed_duration_since(seen).to_std().ok()?;
        let mut bound = self.interval() * 2;
        if !self.started.met && !self.started.clean {
            // What was saved last may be this much older than what happened last.
            bound += self.interval() * TIMES_SAVED_EVERY;
        }
        // An update is told of however short it was.
        let updated = !self.started.met && self.started.updated;
        if away <= bound && !updated {
            return None;
        }
        let reason = if !self.started.met {
            match self.started.uptime {
                _ if updated => Away::UpdateRestart,
                Some(uptime) if uptime < away => Away::MachineReboot,
                _ => Away::ProcessRestart,
            }
        } else if self.streak.suspended {
            Away::Suspended
        } else {
            match self.streak.last.as_ref().map(|trouble| trouble.kind) {
                Some(TroubleKind::NoAnswer(cause)) => Away::Network(cause),
                Some(_) => Away::Refused,
                None => Away::Suspended,
            }
        };
        Some(Reconnect {
            reason,
            away,
            failures: self.streak.failures,
            first_failure: self.streak.first_failure,
            detail: self.streak.last.as_ref().map(ToString::to_string),
        })
    }

    fn sign(&self, signer: Signer<D>, moment: &Moment) {
        let member = self.state.member.as_ref();
        let key = member.and_then(|member| {
            let saved = self.saving.saved >= self.saving.keys;
            member.keys.get(member.keys.choose(moment.monotonic, saved))
        });
        let now = self.clock.now(moment);
        let identity = member.map(|member| &member.identity);
        signer.0(&self.dialect, &Signing { identity, key, now });
    }

    /// Hands over a message; `None` if it cannot be read, and then it is gone.
    fn deliver(&mut self, seq: u64, moment: &Moment) -> Option<Command<D>> {
        let bytes = self.spool.get(seq)?.bytes.clone();
        match serde_json::from_slice(&bytes) {
            Ok(message) => {
                self.schedule.deliveries -= 1;
                Some(self.send(Flight::new(Step::Deliver { seq, message }), moment))
            }
            Err(error) => {
                self.forget(seq, Some(format!("no message: {error}")));
                None
            }
        }
    }

    fn send(&mut self, mut flight: Flight<D>, moment: &Moment) -> Command<D> {
        let now = self.clock.now(moment);
        let (identity, key) = match &self.state.member {
            Some(member) => {
                if !flight.rekeyed {
                    flight.which =
                        member.keys.choose(moment.monotonic, self.saving.saved >= self.saving.keys);
                }
                (Some(&member.identity), member.keys.get(flight.which))
            }
            None => (None, None),
        };
        match self.dialect.request(&flight.step, &Signing { identity, key, now }) {
            Ok(request) => {
                self.flight = Some(flight);
                Command::Send(request)
            }
            Err(error) => {
                self.failed(flight, Trouble::unwritten(&error), moment);
                // Whatever failed has been put off; what else there is to do is asked for next.
                Command::Wait(Some(moment.monotonic))
            }
        }
    }
}

/// What answers mean.
impl<D: Dialect> Machine<D> {
    fn answered(&mut self, outcome: Result<Response<Bytes>, NoAnswer>, moment: &Moment) {
        let Some(mut flight) = self.flight.take() else { return };
        let (read, date) = match outcome {
            Ok(response) => (self.dialect.read(&flight.step, &response), date(&response)),
            Err(none) => (Err(Trouble::no_answer(none.cause, none.text)), None),
        };
        let told = match &read {
            Ok(Answer::Taken(Taken { server_time: Some(time), .. })) => Some(*time),
            Ok(_) => date,
            // What stands between agent and server tells the time of its own clock.
            Err(trouble) => date.filter(|_| trouble.is_from_server()),
        };
        let corrected = told.is_some_and(|time| self.clock.told(moment, time));
        if corrected {
            self.events.push_back(Event::ClockOff(self.clock.offset().num_milliseconds()));
        }
        match read {
            Ok(answer) => {
                if let Some(member) = &mut self.state.member
                    && member.keys.accepted(flight.which, moment.monotonic)
                {
                    self.saving.keys = self.touch();
                    self.events.push_back(Event::KeyChanged);
                }
                self.streak.keys_refused = false;
                self.take(flight.step, answer, moment);
            }
            Err(trouble) => {
                let timed = trouble.is_unauthenticated()
                    || matches!(trouble.kind, TroubleKind::Refused(FaultKind::Invalid, _));
                if corrected && timed && !flight.retimed {
                    flight.retimed = true;
                    self.again = Some(flight);
                    return;
                }
                if trouble.is_unauthenticated() && self.try_another_key(&mut flight, moment) {
                    self.again = Some(flight);
                    return;
                }
                if let Some(step) =
                    self.dialect.otherwise(&flight.step, &trouble).filter(|_| !flight.rerouted)
                {
                    self.again = Some(Flight { rerouted: true, ..Flight::new(step) });
                    return;
                }
                self.failed(flight, trouble, moment);
            }
        }
    }

    /// After a refusal of its key, whether the request is to be sent again at once with another.
    fn try_another_key(&mut self, flight: &mut Flight<D>, moment: &Moment) -> bool {
        let Some(member) = &mut self.state.member else { return false };
        let saved = self.saving.saved >= self.saving.keys;
        let other = member.keys.other(flight.which, moment.monotonic, saved);
        member.keys.refused(flight.which, moment.monotonic);
        match other.filter(|_| !flight.rekeyed) {
            Some(other) => {
                flight.which = other;
                flight.rekeyed = true;
                true
            }
            None => {
                if !std::mem::replace(&mut self.streak.keys_refused, true) {
                    self.events.push_back(Event::KeysRefused);
                }
                false
            }
        }
    }

    fn take(&mut self, step: Step<D>, answer: Answer<D>, moment: &Moment) {
        let mut dice = Dice::new(moment);
        let now = moment.monotonic;
        match (step, answer) {
            (Step::Enroll(_), Answer::Enrolled { identity, key, poll }) => {
                let poll = poll.and_then(cadence::asked).map(millis);
                self.events.push_back(Event::Enrolled(identity.clone()));
                self.state.member = Some(Member { identity, keys: Keyring::new(key), poll, beat: None });
                self.state.applied = None;
                self.saving.member = self.touch();
                self.schedule.enrol_failures = 0;
                self.schedule.beat = now;
            }
            (Step::Instruct, Answer::Instructed { interval, instructions }) => {
                self.instructing = Instructing::Over;
                self.keep_to(interval);
                self.events.extend(instructions.map(Event::Instructed));
            }
            (Step::Beat(beat), Answer::Taken(taken)) => {
                self.otherwise = beat.otherwise;
                self.arrived(&beat.riders, now);
                self.beaten(taken, moment);
            }
            (Step::Poll, Answer::Work(work)) => {
                self.schedule.poll_failures = 0;
                let wait = self.settings.cadence.spread(self.poll_interval(), &mut dice);
                self.schedule.poll = now.saturating_add(wait);
                self.accept(work);
            }
            (Step::Deliver { seq, .. }, Answer::Delivered) => self.forget(seq, None),
            (Step::CheckUpdate { .. }, Answer::Update(update)) => {
                self.plan_update(moment, &mut dice);
                self.events.push_back(update.map_or(Event::UpToDate, Event::UpdateOffered));
            }
            // A dialect that reads one step's answer as another's has not read it.
            (step, _) => {
                let trouble = Trouble {
                    kind: TroubleKind::Foreign(http::StatusCode::OK),
                    retry_after: None,
                    text: "the answer belongs to another step".to_owned(),
                };
                self.failed(Flight::new(step), trouble, moment);
            }
        }
    }

    /// Keeps to the time between two heartbeats that the server asks for.
    fn keep_to(&mut self, interval: Option<Duration>) {
        let asked = interval.and_then(cadence::asked).map(millis);
        if let Some(member) = &mut self.state.member
            && asked.is_some()
            && asked != member.beat
        {
            member.beat = asked;
            self.touch();
        }
    }

    /// A heartbeat was taken with these messages.
    fn arrived(&mut self, riders: &[(u64, D::Message)], now: Duration) {
        if !riders.is_empty() {
            self.schedule.extra = now.saturating_add(EXTRA);
        }
        self.riding = match self.riding {
            // It was taken without them: for one of them it was refused.
            Riding::None => Riding::One,
            Riding::All | Riding::One => Riding::All,
        };
        for (seq, _) in riders {
            self.forget(*seq, None);
        }
    }

    /// A heartbeat was refused for what it says.
    fn turned_back(&mut self, riders: &[(u64, D::Message)], trouble: &Trouble) {
        match (self.riding, riders) {
            (Riding::One, [(seq, _)]) => self.forget(*seq, Some(trouble.to_string())),
            (Riding::All, [_, ..]) => self.riding = Riding::None,
            // It was not for them.
            _ => self.riding = Riding::All,
        }
    }

    /// A heartbeat was taken.
    fn beaten(&mut self, taken: Taken<D::Work, D::Identity>, moment: &Moment) {
        let mut dice = Dice::new(moment);
        let now = moment.monotonic;
        let streak = std::mem::take(&mut self.streak);
        self.events.push_back(Event::Taken { after_failures: streak.failures });
        if let Some(member) = &mut self.state.member {
            if let Some(key) = &taken.new_key
                && member.keys.offered(key)
            {
                self.saving.generation += 1;
                self.saving.keys = self.saving.generation;
                self.events.push_back(Event::KeyOffered);
            }
            if let Some(identity) = taken.identity.filter(|identity| *identity != member.identity) {
                member.identity = identity;
                self.saving.generation += 1;
            }
        }
        self.keep_to(taken.interval);
        self.state.seen = Some(self.clock.now(moment).timestamp_millis());
        let stale = self.interval() * TIMES_SAVED_EVERY;
        let is_stale = self.saving.seen_saved.is_none_or(|saved| now.saturating_sub(saved) >= stale);
        if is_stale || self.state.stopped || self.state.updating {
            self.state.stopped = false;
            // One that is still to come was announced by the program that is about to stop.
            self.state.updating &= self.stopping.is_some();
            self.touch();
        }
        self.schedule.deliveries = self.settings.deliveries_per_beat;
        let first = !std::mem::replace(&mut self.started.met, true);
        if first || cadence::is_cut_off(streak.failures) {
            self.schedule.poll = now.saturating_add(dice.upto(self.poll_interval()));
            self.schedule.poll_failures = 0;
        }
        if first && self.settings.cadence.update.is_some() {
            // Not at once: it is one more request of everybody who was started together.
            self.schedule.update = Some(now.saturating_add(dice.upto(self.interval() * 10)));
        }
        let wait = self.place(self.interval(), &mut dice);
        self.schedule.beat = now.saturating_add(wait);
        if !D::POLLS {
            let offered: BTreeSet<_> = taken.work.iter().map(D::work_id).collect();
            if self.state.offered_again(&offered) {
                self.touch();
            }
        }
        self.accept(taken.work);
    }

    /// The wait before the next heartbeat.
    fn place(&mut self, wait: Duration, dice: &mut Dice) -> Duration {
        if std::mem::replace(&mut self.schedule.placed, true) {
            self.settings.cadence.spread(wait, dice)
        } else {
            dice.upto(wait)
        }
    }

    fn plan_update(&mut self, moment: &Moment, dice: &mut Dice) {
        let wait = self.settings.cadence.update.map(|wait| self.settings.cadence.spread(wait, dice));
        self.schedule.update = wait.map(|wait| moment.monotonic.saturating_add(wait));
    }

    fn accept(&mut self, work: Vec<D::Work>) {
        for work in work {
            let id = D::work_id(&work);
            if self.state.knows(&id) || self.spool.tells_end_of(&id) {
                continue;
            }
            let is_full = self.state.queue.len() >= QUEUE || !D::POLLS && self.state.is_full();
            if is_full || self.stopping.is_some() {
                self.events.push_back(Event::TurnedAway(work));
                continue;
            }
            self.events.push_back(Event::Accepted(work.clone()));
            self.state.queue.push(work);
            self.touch();
        }
    }

    /// A step did not do what it was for: says when it is tried again.
    fn failed(&mut self, flight: Flight<D>, trouble: Trouble, moment: &Moment) {
        let mut dice = Dice::new(moment);
        let now = moment.monotonic;
        let interval = self.interval();
        let asked = trouble.retry_after.map(|when| self.asked_to_wait(when, moment));
        let held = asked.map(|asked| cadence::held(asked, interval, &mut dice));
        // Who was held has a place already.
        self.schedule.placed |= held.is_some();
        let limited = matches!(
            trouble.kind,
            TroubleKind::Refused(FaultKind::Limited, _)
                | TroubleKind::Foreign(http::StatusCode::TOO_MANY_REQUESTS)
        );
        if let Some(held) = held
            && (limited || matches!(flight.step, Step::Beat(_) | Step::Instruct))
        {
            self.schedule.hold = self.schedule.hold.max(now.saturating_add(held));
        }
        let step = flight.step.name();
        let wait = match flight.step {
            Step::Enroll(_) => {
                let token_refused = trouble.is_unauthenticated();
                if trouble.is_from_server() && (token_refused || !trouble.is_retryable()) {
                    self.stopping = Some(Stopping { since: now, settled: true });
                    self.streak.last = Some(trouble.clone());
                    self.events.push_back(Event::Failed { step, trouble, next: None });
                    return;
                }
                self.schedule.enrol_failures = self.schedule.enrol_failures.saturating_add(1);
                let wait = cadence::enrol_wait(self.schedule.enrol_failures, &mut dice)
                    .max(held.unwrap_or_default());
                self.schedule.enrol = now.saturating_add(wait);
                wait
            }
            Step::Instruct => {
                // Without them the agent reports all the same, at once.
                let for_good = trouble.is_from_server() && !trouble.is_retryable();
                self.instructing = if for_good { Instructing::Over } else { Instructing::Missed };
                self.schedule.beat.max(self.schedule.hold).saturating_sub(now)
            }
            Step::Beat(beat) => {
                if let TroubleKind::Refused(FaultKind::Invalid | FaultKind::TooLarge, _) = trouble.kind {
                    self.turned_back(&beat.riders, &trouble);
                }
                self.streak.failures = self.streak.failures.saturating_add(1);
                self.streak.first_failure.get_or_insert(self.clock.now(moment));
                self.streak.last = Some(trouble.clone());
                let wait = self.place(cadence::backed_off(interval, self.streak.failures), &mut dice);
                let wait = wait.max(held.unwrap_or_default());
                self.schedule.beat = now.saturating_add(wait);
                wait
            }
            Step::Poll => {
                self.schedule.poll_failures = self.schedule.poll_failures.saturating_add(1);
                let wait = cadence::backed_off(self.poll_interval(), self.schedule.poll_failures);
                let wait = self.settings.cadence.spread(wait, &mut dice).max(held.unwrap_or_default());
                self.schedule.poll = now.saturating_add(wait);
                wait
            }
            Step::CheckUpdate { .. } => {
                self.plan_update(moment, &mut dice);
                self.schedule.update.map_or(Duration::ZERO, |at| at.saturating_sub(now))
            }
            Step::Deliver { seq, message } => {
                if !trouble.is_retryable() {
                    self.events.push_back(Event::Failed { step, trouble: trouble.clone(), next: None });
                    self.forget(seq, Some(trouble.to_string()));
                    return;
                }
                if trouble.is_from_server() {
                    self.spool.failed(seq);
                } else {
                    // Whatever is on the way would fail the others as well: the next good heartbeat opens it.
                    self.schedule.deliveries = 0;
                    if D::stream(&message) == Stream::Status {
                        // Some proxies let no such request pass: results do not wait behind it for ever.
                        self.spool.failed(seq);
                    }
                }
                let wait =
                    self.settings.cadence.spread(interval / 2, &mut dice).max(held.unwrap_or_default());
                self.schedule.streams.insert(D::stream(&message), now.saturating_add(wait));
                wait
            }
        };
        self.events.push_back(Event::Failed { step, trouble, next: Some(wait) });
    }

    fn asked_to_wait(&self, when: RetryAfter, moment: &Moment) -> Duration {
        when.delay(self.clock.now(moment))
    }
}

/// Work.
impl<D: Dialect> Machine<D> {
    /// Begins work, and calls off what takes too long.
    fn attend_to_work(&mut self, moment: &Moment) -> Option<Command<D>> {
        let now = moment.monotonic;
        let stopping = self.stopping.as_ref().map(|stopping| stopping.since);
        if let Some(running) = &mut self.running {
            let too_late = running.deadline.is_some_and(|deadline| now >= deadline);
            let stop = stopping.is_some_and(|since| now >= since.saturating_add(self.settings.grace));
            match running.called_off {
                None if too_late || stop => {
                    running.called_off = Some(CalledOff { at: now, too_late });
                    return Some(Command::Cancel(running.run));
                }
                Some(off) if !running.given_up && now >= off.at.saturating_add(self.settings.grace) => {
                    running.given_up = true;
                    let began = running.began;
                    let work = self.state.in_hand.as_ref().map(|in_hand| in_hand.work.clone());
                    self.events.extend(work.map(Event::Stuck));
                    if off.too_late {
                        self.settle(Ending::TimedOut, began, moment);
                    }
                    return Some(self.next(moment));
                }
                _ => return None,
            }
        }
        if stopping.is_some() {
            return None;
        }
        let interrupted = self.state.in_hand.is_some() && self.saving.in_hand == 0;
        if self.state.in_hand.is_none() && !self.state.queue.is_empty() {
            let since = self.clock.now(moment).timestamp_millis();
            self.state.in_hand = Some(InHand { work: self.state.queue.remove(0), since });
            self.saving.in_hand = self.touch();
            // Saved first: work is not begun while a crash could forget that it was.
            return self.change(moment).map(Command::Persist);
        }
        let in_hand = self.state.in_hand.as_ref()?;
        let id = D::work_id(&in_hand.work);
        if self.saving.saved < self.saving.in_hand || self.spool.tells_end_of(&id) {
            return None;
        }
        self.runs += 1;
        let timeout = D::work_timeout(&in_hand.work);
        let work = in_hand.work.clone();
        let assignment = Assignment { run: self.runs, work: work.clone(), timeout, interrupted };
        self.running = Some(Running {
            run: self.runs,
            began: now,
            deadline: timeout.map(|timeout| now.saturating_add(timeout)),
            called_off: None,
            given_up: false,
            so_far: None,
        });
        // Of interrupted work as well: nobody knows whether the server was told the first time.
        self.progressed(self.runs, D::begins_with(&work));
        Some(Command::Run(assignment))
    }

    /// When work needs to be looked at.
    fn wake_for_work(&self) -> Option<Duration> {
        let running = self.running.as_ref().filter(|running| !running.given_up)?;
        let stop = self.stopping.as_ref().map(|stopping| stopping.since.saturating_add(self.settings.grace));
        match running.called_off {
            Some(off) => Some(off.at.saturating_add(self.settings.grace)),
            None => [running.deadline, stop].into_iter().flatten().min(),
        }
    }

    fn progressed(&mut self, run: u64, progress: Progress) {
        // Servers take no step twice, and none back.
        let running = self.running.as_mut();
        let current = running.filter(|running| running.run == run && !running.given_up);
        let Some(current) = current.filter(|running| running.so_far < Some(progress)) else { return };
        current.so_far = Some(progress);
        if let (Some(in_hand), Some(member)) = (&self.state.in_hand, &self.state.member)
            && let Some(message) = self.dialect.progress(&member.identity, &in_hand.work, progress)
        {
            self.post(&message);
        }
    }

    fn ended(&mut self, run: u64, ending: Ending<D::Outcome>, moment: &Moment) {
        let Some(running) = self.running.take_if(|running| running.run == run) else { return };
        if running.given_up && self.state.in_hand.is_none() {
            return;
        }
        let ending = match (ending, running.called_off) {
            (Ending::Done(outcome), _) => Ending::Done(outcome),
            (_, Some(CalledOff { too_late: true, .. })) => Ending::TimedOut,
            (_, Some(CalledOff { too_late: false, .. })) => Ending::Canceled,
            (ending, None) => ending,
        };
        self.settle(ending, running.began, moment);
    }

    /// The work at hand is over: its end is put into the spool, and only then it is no longer at hand.
    fn settle(&mut self, ending: Ending<D::Outcome>, began: Duration, moment: &Moment) {
        let Some(InHand { work, since }) = &self.state.in_hand else { return };
        let (work, since) = (work.clone(), *since);
        let id = D::work_id(&work);
        if self.spool.tells_end_of(&id) {
            return;
        }
        let ended = self.clock.now(moment);
        let took = moment.monotonic.saturating_sub(began);
        let end =
            Ended { ending, started: DateTime::from_timestamp_millis(since).unwrap_or(ended), ended, took };
        self.state.last = Some(id.clone());
        if !D::POLLS {
            // Heartbeats may still be answered with it.
            self.state.settle(&id);
        }
        let member = self.state.member.as_ref();
        let message = member.and_then(|member| self.dialect.ended(&member.identity, &work, &end));
        if message.is_none_or(|message| !self.post(&message)) {
            self.state.settle(&id);
            self.release(&id);
        }
    }

    /// The work of this id is no longer at hand.
    fn release(&mut self, id: &str) {
        if self.in_hand_id().as_deref() == Some(id) {
            self.state.in_hand = None;
            self.saving.in_hand = self.touch();
        }
    }
}

/// The spool and the store.
impl<D: Dialect> Machine<D> {
    /// Puts a message into the spool. Whether there was room.
    fn post(&mut self, message: &D::Message) -> bool {
        let stream = D::stream(message);
        let fits = serde_json::to_vec(message).map_err(|error| error.to_string()).and_then(|bytes| {
            let gone = self.spool.in_the_way(stream, bytes.len(), &self.settings.spool);
            gone.map(|gone| (bytes, gone)).ok_or_else(|| "there is no room for it in the spool".to_owned())
        });
        match fits {
            Ok((bytes, gone)) => {
                for gone in gone {
                    self.forget(gone, Some("it had to make room in the spool".to_owned()));
                }
                let ends = D::ends_work(message).map(ToOwned::to_owned);
                let seq = self.spool.push(stream, Bytes::from(bytes), ends);
                if stream == Stream::Beat && self.started.met && self.streak.failures == 0 {
                    self.schedule.beat = self.schedule.beat.min(self.schedule.extra);
                }
                self.saving.appends.push_back(seq);
                true
            }
            Err(why) => {
                self.events.push_back(Event::Dropped { message: Some(message.clone()), why });
                false
            }
        }
    }

    /// Takes a message out of the spool: it was taken, or is `lost` for a reason.
    fn forget(&mut self, seq: u64, lost: Option<String>) {
        let Some(waiting) = self.spool.remove(seq) else { return };
        let message: Option<D::Message> = serde_json::from_slice(&waiting.bytes).ok();
        if let Some(id) = &waiting.ends {
            if lost.is_some() {
                // The server would hand it over again, for ever.
                self.state.settle(id);
                self.touch();
            }
            self.release(id);
        }
        self.saving.forget(seq);
        match (lost, message) {
            (Some(why), message) => self.events.push_back(Event::Dropped { message, why }),
            (None, Some(message)) => self.events.push_back(Event::Delivered(message)),
            (None, None) => {}
        }
    }

    /// The next change to be made, if the store is not resting. Messages go first: what the state says of work that
    /// is over must not be kept before its end is.
    fn change(&mut self, moment: &Moment) -> Option<Change> {
        if moment.monotonic < self.saving.rest_until {
            return None;
        }
        while let Some(&seq) = self.saving.appends.front() {
            if let Some(waiting) = self.spool.get(seq) {
                self.saving.under_way = Some(UnderWay::Append(seq));
                return Some(Change::Append(seq, waiting.bytes.clone()));
            }
            self.saving.appends.pop_front();
        }
        if self.saving.saved < self.saving.generation {
            match serde_json::to_vec(&self.state) {
                Ok(bytes) => {
                    self.saving.under_way = Some(UnderWay::State(self.saving.generation));
                    return Some(Change::Save(Bytes::from(bytes)));
                }
                Err(error) => self.store_failed(error.to_string(), moment),
            }
        }
        let &seq = self.saving.removes.front()?;
        self.saving.under_way = Some(UnderWay::Remove(seq));
        Some(Change::Remove(seq))
    }

    fn store_failed(&mut self, why: String, moment: &Moment) {
        let wait = self.settings.cadence.spread(STORE_REST, &mut Dice::new(moment));
        self.saving.rest_until = moment.monotonic.saturating_add(wait);
        self.events.push_back(Event::StoreFailed(why));
    }

    fn persisted(&mut self, outcome: Result<(), String>, moment: &Moment) {
        let Some(under_way) = self.saving.under_way.take() else { return };
        if let Err(why) = outcome {
            self.store_failed(why, moment);
            return;
        }
        match under_way {
            UnderWay::Append(seq) => {
                self.saving.appends.retain(|waiting| *waiting != seq);
                match self.spool.get(seq).map(|waiting| waiting.ends.clone()) {
                    Some(Some(id)) => self.release(&id),
                    Some(None) => {}
                    // It has gone meanwhile.
                    None => self.saving.removes.push_back(seq),
                }
            }
            UnderWay::State(generation) => {
                self.saving.saved = generation;
                if self.started.met {
                    self.saving.seen_saved = Some(moment.monotonic);
                }
            }
            UnderWay::Remove(seq) => self.saving.removes.retain(|waiting| *waiting != seq),
        }
    }

    /// Comes to an end: work has had its time, the rest is saved. `None` while there is still something to do.
    fn wind_up(&mut self, since: Duration, moment: &Moment) -> Option<Command<D>> {
        let now = moment.monotonic;
        if self.running.as_ref().is_some_and(|running| !running.given_up) {
            return Some(Command::Wait(self.wake_for_work()));
        }
        let deadline = since.saturating_add(self.settings.grace.saturating_mul(3));
        let deliverable = self.started.met && self.streak.failures == 0 && self.schedule.deliveries > 0;
        let told = |stream| matches!(stream, Stream::Status | Stream::Result);
        let results = self.spool.next(|stream| told(stream) && self.stream_open(stream) <= now);
        if deliverable && now < deadline && now >= self.schedule.hold {
            if let Some(again) = self.again.take() {
                return Some(self.send(again, moment));
            }
            if let Some(seq) = results {
                return self.deliver(seq, moment).or(Some(Command::Wait(Some(now))));
            }
        }
        if let Some(stopping) = self.stopping.as_mut().filter(|stopping| !stopping.settled) {
            stopping.settled = true;
            self.state.stopped = true;
            self.touch();
            return self.change(moment).map(Command::Persist).or(Some(Command::Wait(Some(now))));
        }
        if self.saving.is_pending() && now < deadline && self.state.stopped {
            return Some(Command::Wait(Some(self.saving.rest_until.min(deadline))));
        }
        Some(Command::Stopped(match (&self.state.member, &self.streak.last) {
            (None, Some(trouble)) => Stopped::NotTakenIn(trouble.clone()),
            _ => Stopped::Asked,
        }))
    }
}

impl Saving {
    /// Takes a message out of the store, or sees to it that it does not get there.
    fn forget(&mut self, seq: u64) {
        let unsaved = self.appends.iter().any(|waiting| *waiting == seq);
        self.appends.retain(|waiting| *waiting != seq);
        if !unsaved {
            self.removes.push_back(seq);
        }
    }

    fn is_pending(&self) -> bool {
        self.saved < self.generation || !self.appends.is_empty() || !self.removes.is_empty()
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The time at which an answer says that it was written.
fn date(response: &Response<Bytes>) -> Option<DateTime<Utc>> {
    let text = response.headers().get(header::DATE)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text).ok().map(|time| time.with_timezone(&Utc))
}
