use std::time::Duration;

use super::Machine;
use crate::agent::command::{Command, Stopped};
use crate::agent::dialect::{Dialect, Stream};
use crate::agent::moment::Moment;

pub(super) struct Stopping {
    pub(super) since: Duration,
    pub(super) settled: bool,
}

/// The end.
impl<D: Dialect> Machine<D> {
    /// Comes to an end: work has had its time, the rest is saved. `None` while there is still something to do.
    pub(super) fn wind_up(&mut self, since: Duration, moment: &Moment) -> Option<Command<D>> {
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
