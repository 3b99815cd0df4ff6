use std::time::Duration;

use chrono::DateTime;

use super::Machine;
use crate::agent::command::{Assignment, Command};
use crate::agent::dialect::{Dialect, Ended, Ending, Progress};
use crate::agent::event::Event;
use crate::agent::moment::Moment;
use crate::agent::state::InHand;

/// Work under way.
pub(super) struct Running {
    pub(super) run: u64,
    pub(super) began: Duration,
    pub(super) deadline: Option<Duration>,
    pub(super) called_off: Option<CalledOff>,
    /// Whether its end has been told without waiting for it any longer.
    pub(super) given_up: bool,
    /// How far it was when that was last told.
    pub(super) so_far: Option<Progress>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct CalledOff {
    pub(super) at: Duration,
    pub(super) too_late: bool,
}

/// Work.
impl<D: Dialect> Machine<D> {
    /// Begins work, and calls off what takes too long.
    pub(super) fn attend_to_work(&mut self, moment: &Moment) -> Option<Command<D>> {
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
    pub(super) fn wake_for_work(&self) -> Option<Duration> {
        let running = self.running.as_ref().filter(|running| !running.given_up)?;
        let stop = self.stopping.as_ref().map(|stopping| stopping.since.saturating_add(self.settings.grace));
        match running.called_off {
            Some(off) => Some(off.at.saturating_add(self.settings.grace)),
            None => [running.deadline, stop].into_iter().flatten().min(),
        }
    }

    pub(super) fn progressed(&mut self, run: u64, progress: Progress) {
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

    pub(super) fn ended(&mut self, run: u64, ending: Ending<D::Outcome>, moment: &Moment) {
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
    pub(super) fn settle(&mut self, ending: Ending<D::Outcome>, began: Duration, moment: &Moment) {
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
    pub(super) fn release(&mut self, id: &str) {
        if self.in_hand_id().as_deref() == Some(id) {
            self.state.in_hand = None;
            self.saving.in_hand = self.touch();
        }
    }
}
