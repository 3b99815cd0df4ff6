//! One simulated agent: the SDK's machine, what it has kept, and the work at hand.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fleetwire_client::Cause;
use fleetwire_client::agent::{
    Command, Ending, Event, Input, Machine, Moment, NoAnswer, Settings, Trouble, TroubleKind,
};
use fleetwire_client::store::{Change, Saved};
use fleetwire_protocol::FaultKind;
use http::{Response, StatusCode};

use super::Defect;
use super::chance::time;
use super::hub::{Happening, Hub, Sent};
use super::laws::{Law, PATIENCE};
use super::roles::Role;
use crate::dice::Dice;

/// What came of a request.
pub(super) type Outcome = Result<Response<Bytes>, NoAnswer>;

pub(super) fn no_answer(cause: Cause) -> Outcome {
    Err(NoAnswer { cause, text: cause.as_str().to_owned() })
}

/// What survives the process.
#[derive(Default)]
struct Kept {
    state: Option<Bytes>,
    messages: BTreeMap<u64, Bytes>,
}

/// An agent, its process and its machine.
pub(super) struct Life<D: Role> {
    /// Its place among all.
    place: usize,
    dialect: D,
    report: D::Report,
    kept: Kept,
    /// `None` while the process is away.
    machine: Option<Box<Machine<D>>>,
    dice: Dice,
    /// How far the machine's clock is ahead, in milliseconds.
    ahead: i64,
    /// For how long the machine was suspended so far, in milliseconds.
    suspended: u64,
    /// Until when it is suspended, and for how long.
    suspended_until: u64,
    suspended_for: u64,
    /// The wake-up that counts; others are of the past.
    stamp: u32,
    /// The request that is under way, or was last.
    ticket: u32,
    /// Whether one is under way.
    flying: bool,
    /// How often the process was started.
    boots: u32,
    /// The work that is being done.
    doing: Option<(u32, u64, D::Work)>,
    /// After how many further steps the process dies, and for how long, in milliseconds.
    doom: Option<(u16, u64)>,
    /// Whether its next report comes because it has just begun, or woken up.
    fresh: bool,
    /// When its last request left.
    last_sent: Option<u64>,
}

impl<D: Role> Life<D> {
    pub(super) fn new(place: usize, dialect: D, report: D::Report, dice: Dice) -> Self {
        Self {
            place,
            dialect,
            report,
            kept: Kept::default(),
            machine: None,
            dice,
            ahead: 0,
            suspended: 0,
            suspended_until: 0,
            suspended_for: 0,
            stamp: 0,
            ticket: 0,
            flying: false,
            boots: 0,
            doing: None,
            doom: None,
            fresh: true,
            last_sent: None,
        }
    }

    fn moment(&mut self, now: u64) -> Moment {
        let wall = i64::try_from(now).unwrap_or(i64::MAX).saturating_add(self.ahead);
        Moment {
            monotonic: Duration::from_millis(now - self.suspended),
            wall: time(wall),
            random: self.dice.draw(),
        }
    }

    /// Starts the process over what was kept.
    pub(super) fn start<F: Defect>(&mut self, hub: &mut Hub<F>) {
        let messages = self.kept.messages.iter().map(|(seq, bytes)| (*seq, bytes.clone())).collect();
        let saved = Saved { state: self.kept.state.clone(), messages, damaged: Vec::new() };
        let moment = self.moment(hub.now);
        match Machine::start(self.dialect.clone(), Settings::default(), &saved, &moment, None) {
            Ok(machine) => self.machine = Some(Box::new(machine)),
            Err(error) => {
                let how = format!("does not start over what it has kept: {error}");
                return hub.watch.breaks(Law::KeyWorks, hub.now, Some(self.place), how);
            }
        }
        self.boots += 1;
        self.fresh = true;
        self.drive(hub);
    }

    /// The process is to die after so many further steps.
    pub(super) fn doom<F: Defect>(&mut self, steps: u16, away: u64, hub: &mut Hub<F>) {
        if self.machine.is_none() || self.doom.is_some() || hub.now < self.suspended_until {
            return;
        }
        if steps == 0 {
            return self.die(away, hub);
        }
        self.doom = Some((steps, away));
    }

    fn die<F: Defect>(&mut self, away: u64, hub: &mut Hub<F>) {
        self.machine = None;
        self.doom = None;
        self.doing = None;
        self.ticket += 1;
        self.flying = false;
        self.stamp += 1;
        hub.plan(hub.now + away.max(1), Happening::Start(self.place));
    }

    pub(super) fn set_clock(&mut self, by: i64) {
        self.ahead = self.ahead.saturating_add(by);
    }

    pub(super) fn suspend<F: Defect>(&mut self, span: u64, hub: &mut Hub<F>) {
        if self.machine.is_none() || hub.now < self.suspended_until {
            return;
        }
        self.suspended_until = hub.now + span;
        self.suspended_for = span;
        // The network card sleeps as well: what is under way has no answer.
        if self.flying {
            let at = self.suspended_until + 1;
            self.ticket += 1;
            hub.plan_answer(at, self.place, self.ticket, no_answer(Cause::Broken));
        }
        self.stamp += 1;
        hub.plan(self.suspended_until, Happening::Resume(self.place));
    }

    pub(super) fn resume<F: Defect>(&mut self, hub: &mut Hub<F>) {
        self.suspended += self.suspended_for;
        self.fresh = true;
        self.drive(hub);
    }

    /// It is time to look whether there is something to do.
    pub(super) fn wake<F: Defect>(&mut self, stamp: u32, hub: &mut Hub<F>) {
        if stamp == self.stamp {
            self.drive(hub);
        }
    }

    /// An answer comes, or none does.
    pub(super) fn hear<F: Defect>(&mut self, ticket: u32, outcome: Outcome, hub: &mut Hub<F>) {
        if !self.flying || ticket != self.ticket {
            return;
        }
        self.flying = false;
        if self.take(outcome, hub) {
            self.drive(hub);
        }
    }

    /// Work comes to its end.
    pub(super) fn finish<F: Defect>(&mut self, boot: u32, hub: &mut Hub<F>) {
        if boot != self.boots {
            return;
        }
        if hub.now < self.suspended_until {
            return hub.plan(self.suspended_until + 1, Happening::Finish(self.place, boot));
        }
        let Some((_, run, work)) = self.doing.take_if(|(begun, _, _)| *begun == boot) else { return };
        self.end(run, D::done(&work), hub.now);
        self.drive(hub);
    }

    fn end(&mut self, run: u64, ending: Ending<D::Outcome>, now: u64) {
        let moment = self.moment(now);
        if let Some(machine) = &mut self.machine {
            machine.input(&moment, Input::Ended { run, ending });
        }
    }

    /// Gives the machine an answer. Whether it is still there.
    fn take<F: Defect>(&mut self, outcome: Outcome, hub: &mut Hub<F>) -> bool {
        if let Ok(response) = &outcome
            && hub.defect.forgets(response)
        {
            self.kept = Kept::default();
            self.die(1000, hub);
            return false;
        }
        let moment = self.moment(hub.now);
        if let Some(machine) = &mut self.machine {
            machine.input(&moment, Input::Answered(outcome));
        }
        true
    }

    /// Does what the machine wants done, until it wants to wait.
    fn drive<F: Defect>(&mut self, hub: &mut Hub<F>) {
        if hub.now < self.suspended_until {
            return;
        }
        loop {
            let moment = self.moment(hub.now);
            let Some(machine) = &mut self.machine else { return };
            let command = machine.next(&moment);
            let idle = matches!(command, Command::Wait(_) | Command::Report(_));
            if !idle && let Some((steps, away)) = self.doom {
                if steps == 0 {
                    return self.die(away, hub);
                }
                self.doom = Some((steps - 1, away));
            }
            let Some(machine) = &mut self.machine else { return };
            match command {
                Command::Send(request) => {
                    // What follows an answer at once is the same request with another key or time.
                    let at_once = self.last_sent == Some(hub.now);
                    self.last_sent = Some(hub.now);
                    let rides = machine.waiting() > 0;
                    let counts = !(self.fresh || at_once || rides);
                    self.ticket += 1;
                    match hub.send(self.place, self.ticket, request, counts) {
                        Sent::Answered(outcome) => {
                            if !self.take(outcome, hub) {
                                return;
                            }
                        }
                        Sent::OnItsWay => {
                            self.flying = true;
                            self.stamp += 1;
                            return;
                        }
                    }
                }
                Command::Persist(change) => {
                    match change {
                        Change::Save(state) => self.kept.state = Some(state),
                        Change::Append(seq, message) => {
                            self.kept.messages.insert(seq, message);
                        }
                        Change::Remove(seq) => {
                            self.kept.messages.remove(&seq);
                        }
                    }
                    machine.input(&moment, Input::Persisted(Ok(())));
                }
                Command::Collect => machine.input(&moment, Input::Collected(self.report.clone())),
                Command::Run(assignment) => {
                    let id = D::work_id(&assignment.work);
                    let (work, execution) = D::execution(&id);
                    if assignment.interrupted {
                        self.end(assignment.run, Ending::Interrupted, hub.now);
                        continue;
                    }
                    hub.watch.begins(self.place, work, execution, hub.now);
                    hub.counts.runs += 1;
                    let takes = hub.takes(work);
                    self.doing = Some((self.boots, assignment.run, assignment.work));
                    hub.plan(hub.now + takes, Happening::Finish(self.place, self.boots));
                }
                Command::Cancel(run) => {
                    if self.doing.take_if(|(_, doing, _)| *doing == run).is_some() {
                        self.end(run, Ending::Canceled, hub.now);
                    }
                }
                Command::Report(event) => self.note(event, hub),
                Command::Wait(None) => {
                    self.stamp += 1;
                    return;
                }
                Command::Wait(Some(until)) => {
                    let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
                    // The part of a millisecond that was cut off.
                    let at = until.saturating_add(self.suspended + 1).max(hub.now + 1);
                    self.stamp += 1;
                    hub.plan(at, Happening::Wake(self.place, self.stamp));
                    return;
                }
                Command::Stopped(why) => {
                    let how = format!("has stopped: {why:?}");
                    hub.watch.breaks(Law::KeyWorks, hub.now, Some(self.place), how);
                    self.machine = None;
                    return;
                }
            }
        }
    }

    /// Listens to what the machine tells.
    fn note<F: Defect>(&mut self, event: Event<D>, hub: &mut Hub<F>) {
        let now = hub.now;
        match event {
            Event::Enrolled(identity) => self.is_known_as(&identity, hub),
            Event::Taken { .. } => {
                self.fresh = false;
                if hub.watch.people[self.place].rows.is_empty()
                    && let Some(identity) =
                        self.machine.as_ref().and_then(|machine| machine.identity()).cloned()
                {
                    self.is_known_as(&identity, hub);
                }
            }
            Event::Failed { step, trouble, .. } => {
                self.fresh = false;
                hub.counts.failures += 1;
                self.blame(step, &trouble, hub);
            }
            Event::Delivered(message) => {
                if let Some(id) = D::ends_work(&message) {
                    let (work, execution) = D::execution(id);
                    hub.counts.results += 1;
                    hub.watch.was_taken(self.place, work, execution);
                }
            }
            Event::Dropped { why, .. } => {
                hub.watch.breaks(
                    Law::ResultsAreKept,
                    now,
                    Some(self.place),
                    format!("drops a message: {why}"),
                );
            }
            Event::KeyChanged => hub.counts.keys += 1,
            _ => {}
        }
    }

    fn is_known_as<F: Defect>(&self, identity: &D::Identity, hub: &mut Hub<F>) {
        let person = &mut hub.watch.people[self.place];
        person.id = Some(D::server_id(identity, &person.name));
        hub.find_rows(self.place);
    }

    /// Whether a refusal is one that no agent should get.
    fn blame<F: Defect>(&self, step: &str, trouble: &Trouble, hub: &mut Hub<F>) {
        let kind = match trouble.kind {
            TroubleKind::NoAnswer(_) => return,
            // Something stands before the server for a while.
            TroubleKind::Foreign(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => return,
            TroubleKind::Refused(kind, _) => kind,
            // Somebody else has its name: it has forgotten that this is itself.
            TroubleKind::Taken(_) => FaultKind::Unauthenticated,
            _ => FaultKind::Other,
        };
        let person = &hub.watch.people[self.place];
        // What was sent while it was shut out may have its answer later.
        let shut_out = person.shut_out > 0 || hub.now <= person.let_in + 2 * PATIENCE;
        let law = match kind {
            // To some dialects who is shut out is not there.
            FaultKind::Unauthenticated | FaultKind::Forbidden | FaultKind::NotFound if shut_out => return,
            FaultKind::Unauthenticated | FaultKind::Forbidden => Law::KeyWorks,
            FaultKind::Limited | FaultKind::Overloaded => return,
            _ => Law::Understood,
        };
        hub.watch.breaks(law, hub.now, Some(self.place), format!("{step} is {trouble}"));
    }

    /// What is wrong with it once everything should be well.
    pub(super) fn ails(&self) -> Option<String> {
        let Some(machine) = &self.machine else { return Some("its process is not there".to_owned()) };
        if machine.failures() > 0 {
            return Some(format!("{} reports in a row have failed", machine.failures()));
        }
        let waiting = machine.waiting();
        (waiting > 0).then(|| format!("{waiting} messages wait to be handed over"))
    }
}
