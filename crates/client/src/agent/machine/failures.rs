use std::time::Duration;

use fleetwire_protocol::{FaultKind, RetryAfter};

use super::stopping::Stopping;
use super::{Flight, Instructing, Machine};
use crate::agent::cadence;
use crate::agent::dialect::{Dialect, Step, Stream, Trouble, TroubleKind};
use crate::agent::event::Event;
use crate::agent::moment::{Dice, Moment};

/// What is tried again, and when.
impl<D: Dialect> Machine<D> {
    /// A step did not do what it was for: says when it is tried again.
    pub(super) fn failed(&mut self, flight: Flight<D>, trouble: Trouble, moment: &Moment) {
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
                // Nothing of the sort is at this address, which says nothing of the token.
                let misled = matches!(trouble.kind, TroubleKind::Refused(FaultKind::NotFound, _));
                if trouble.is_from_server() && !misled && (token_refused || !trouble.is_retryable()) {
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
