use std::time::Duration;

use chrono::TimeDelta;

use super::{Flight, Instructing, Machine, Riding};
use crate::agent::cadence;
use crate::agent::command::Command;
use crate::agent::dialect::{Beat, Dialect, Signing, Step, Stream, Trouble, TroubleKind};
use crate::agent::gap::{Away, Reconnect};
use crate::agent::input::Signer;
use crate::agent::moment::Moment;

/// How long an application to be enrolled is repeated by the same applicant.
const APPLICATION: TimeDelta = TimeDelta::hours(1);

/// What is due, and in which order.
impl<D: Dialect> Machine<D> {
    pub(super) fn proceed(&mut self, moment: &Moment) -> Command<D> {
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
    pub(super) fn stream_open(&self, stream: Stream) -> Duration {
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
            bound += self.longest_unsaved();
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

    pub(super) fn sign(&self, signer: Signer<D>, moment: &Moment) {
        let member = self.state.member.as_ref();
        let key = member.and_then(|member| {
            let saved = self.saving.saved >= self.saving.keys;
            member.keys.get(member.keys.choose(moment.monotonic, saved))
        });
        let now = self.clock.now(moment);
        let identity = member.map(|member| &member.identity);
        signer.sign(&self.dialect, &Signing { identity, key, now });
    }

    /// Hands over a message; `None` if it cannot be read, and then it is gone.
    pub(super) fn deliver(&mut self, seq: u64, moment: &Moment) -> Option<Command<D>> {
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

    pub(super) fn send(&mut self, mut flight: Flight<D>, moment: &Moment) -> Command<D> {
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
