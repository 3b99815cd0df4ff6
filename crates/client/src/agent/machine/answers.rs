use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_protocol::FaultKind;
use http::{Response, header};

use super::{Flight, Instructing, Machine, Riding};
use crate::agent::cadence;
use crate::agent::dialect::{Answer, Dialect, Step, Taken, Trouble, TroubleKind};
use crate::agent::event::Event;
use crate::agent::input::NoAnswer;
use crate::agent::keyring::Keyring;
use crate::agent::moment::{Dice, Moment};
use crate::agent::state::{Member, QUEUE};

/// The least time between two heartbeats that leave for what travels with them.
const EXTRA: Duration = Duration::from_secs(5);

/// What answers mean.
impl<D: Dialect> Machine<D> {
    pub(super) fn answered(&mut self, outcome: &Result<Response<Bytes>, NoAnswer>, moment: &Moment) {
        let Some(mut flight) = self.flight.take() else { return };
        let read = match outcome {
            Ok(response) => self.dialect.read(&flight.step, response),
            Err(none) => Err(Trouble::no_answer(none.cause, none.text.clone())),
        };
        let told = match &read {
            Ok(Answer::Taken(Taken { server_time: Some(time), .. })) => Some(*time),
            // What stands between agent and server tells the time of its own clock.
            Err(trouble) if !trouble.is_from_server() => None,
            _ => outcome.as_ref().ok().and_then(date),
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

    pub(super) fn take(&mut self, step: Step<D>, answer: Answer<D>, moment: &Moment) {
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
    pub(super) fn turned_back(&mut self, riders: &[(u64, D::Message)], trouble: &Trouble) {
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
        let unsaved = self.longest_unsaved();
        let is_stale = self.saving.seen_saved.is_none_or(|saved| now.saturating_sub(saved) >= unsaved);
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
    pub(super) fn place(&mut self, wait: Duration, dice: &mut Dice) -> Duration {
        if std::mem::replace(&mut self.schedule.placed, true) {
            self.settings.cadence.spread(wait, dice)
        } else {
            dice.upto(wait)
        }
    }

    pub(super) fn plan_update(&mut self, moment: &Moment, dice: &mut Dice) {
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
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The time at which an answer says that it was written.
fn date(response: &Response<Bytes>) -> Option<DateTime<Utc>> {
    let text = response.headers().get(header::DATE)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text).ok().map(|time| time.with_timezone(&Utc))
}
