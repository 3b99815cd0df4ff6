use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::Machine;
use crate::agent::dialect::{Dialect, Stream};
use crate::agent::event::Event;
use crate::agent::moment::{Dice, Moment};
use crate::store::Change;

/// How long the time of the last heartbeat may go unsaved: so many heartbeats, and never less than so long. What is
/// saved is written to flash memory, and a heartbeat after which nothing else has changed is not worth it.
const TIMES_SAVED: (u32, Duration) = (5, Duration::from_secs(60));
/// How long to wait after a store has failed.
const STORE_REST: Duration = Duration::from_secs(10);

/// What is to be saved. A generation is the state after some change of it.
#[derive(Default)]
pub(super) struct Saving {
    pub(super) generation: u64,
    pub(super) saved: u64,
    /// The generations that identity, candidate and begun work need.
    pub(super) member: u64,
    pub(super) keys: u64,
    pub(super) in_hand: u64,
    pub(super) applied: u64,
    pub(super) appends: VecDeque<u64>,
    pub(super) removes: VecDeque<u64>,
    pub(super) under_way: Option<UnderWay>,
    pub(super) rest_until: Duration,
    /// When the time of the last heartbeat was last among what was saved.
    pub(super) seen_saved: Option<Duration>,
}

#[derive(Clone, Copy)]
pub(super) enum UnderWay {
    Append(u64),
    State(u64),
    Remove(u64),
}

/// The spool and the store.
impl<D: Dialect> Machine<D> {
    /// By how much the saved time of the last heartbeat may be behind.
    pub(super) fn longest_unsaved(&self) -> Duration {
        (self.interval() * TIMES_SAVED.0).max(TIMES_SAVED.1)
    }

    /// Puts a message into the spool. Whether there was room.
    pub(super) fn post(&mut self, message: &D::Message) -> bool {
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
    pub(super) fn forget(&mut self, seq: u64, lost: Option<String>) {
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
    pub(super) fn change(&mut self, moment: &Moment) -> Option<Change> {
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

    pub(super) fn persisted(&mut self, outcome: Result<(), String>, moment: &Moment) {
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
}

impl Saving {
    /// Takes a message out of the store, or sees to it that it does not get there.
    pub(super) fn forget(&mut self, seq: u64) {
        let unsaved = self.appends.iter().any(|waiting| *waiting == seq);
        self.appends.retain(|waiting| *waiting != seq);
        if !unsaved {
            self.removes.push_back(seq);
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        self.saved < self.generation || !self.appends.is_empty() || !self.removes.is_empty()
    }
}
