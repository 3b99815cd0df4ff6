use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{MemoryStore, State};
use crate::domain::{
    Agent, Batch, BatchFilter, BatchLimits, ImageFilter, ImageRow, NewImage, No, PROJECT_LABEL, Recorded,
    WhyClosed, is_within,
};
use crate::events::NewEvent;
use crate::store::{Images, Outcome, StoreError};

impl State {
    /// Closes a batch that is open, and tells of it.
    fn close_batch(&mut self, no: No, why: WhyClosed, at: DateTime<Utc>) {
        let Some(batch) = self.batches.get_mut(&no).filter(|batch| batch.closed.is_none()) else { return };
        batch.closed = Some((why, at));
        let batch = batch.clone();
        self.open_batches.remove(&batch.agent);
        if let Some(device) = self.agents.get(&batch.agent) {
            let event = NewEvent::batch_closed(device, &batch, why, at);
            self.tell(event);
        }
    }

    /// Takes a slot in the batch that a device's images go into; opens one if there is none. Returns its id.
    fn slot(&mut self, device: &Agent, image: &NewImage, limits: &BatchLimits) -> Outcome<String> {
        let open = self.open_batches.get(&device.no).copied();
        let open = open.and_then(|no| self.batches.get(&no)).cloned();
        let refused = open.as_ref().map(|batch| batch.refuses(device, limits, image.at));
        let (no, id, images) = match (open, refused) {
            (Some(batch), Some(None)) => {
                let images = batch.images + 1;
                if let Some(batch) = self.batches.get_mut(&batch.no) {
                    batch.images = images;
                }
                (batch.no, batch.id, images)
            }
            (open, why) => {
                if self.batch_ids.contains_key(&image.batch) {
                    return Err(StoreError::Taken("batch"));
                }
                if let (Some(batch), Some(Some(why))) = (open, why) {
                    self.close_batch(batch.no, why, image.at);
                }
                let no = self.batches.last_key_value().map_or(0, |(no, _)| *no) + 1;
                let batch = Batch {
                    no,
                    id: image.batch.clone(),
                    agent: device.no,
                    project: device.labels.get(PROJECT_LABEL).cloned(),
                    images: 1,
                    opened_at: image.at,
                    closed: None,
                };
                self.batch_ids.insert(batch.id.clone(), no);
                self.open_batches.insert(device.no, no);
                self.batches.insert(no, batch);
                self.tell(NewEvent::batch_opened(device, &image.batch, image.at));
                (no, image.batch.clone(), 1)
            }
        };
        if images >= limits.images {
            self.close_batch(no, WhyClosed::Full, image.at);
        }
        Ok(id)
    }

    fn is_of(&self, agent: No, tenant: No) -> bool {
        self.agents.get(&agent).is_some_and(|agent| agent.tenant == tenant)
    }

    fn batch_named(&self, tenant: No, id: &str) -> Option<&Batch> {
        let batch = self.batches.get(self.batch_ids.get(id)?)?;
        self.is_of(batch.agent, tenant).then_some(batch)
    }
}

impl Images for MemoryStore {
    async fn record_image(&self, mut image: NewImage, limits: BatchLimits) -> Outcome<Recorded> {
        let mut state = self.state();
        let device = state.agent(image.agent)?.clone();
        let known = state.image_keys.get(&device.no);
        let count = known.map_or(0, |known| known.len() as u64);
        let before = known.and_then(|known| known.get(&image.storage_key));
        if let Some(known) = before.and_then(|no| state.images.get(no)) {
            return Ok(Recorded::Before { image: known.id.clone(), batch: known.batch.clone() });
        }
        if count >= limits.quota {
            return Ok(Recorded::Full);
        }
        if state.image_ids.contains(&image.id) {
            return Err(StoreError::Taken("image"));
        }
        image.batch = state.slot(&device, &image, &limits)?;
        let recorded = Recorded::Now { image: image.id.clone(), batch: image.batch.clone() };
        let no = state.images.last_key_value().map_or(0, |(no, _)| *no) + 1;
        state.image_ids.insert(image.id.clone());
        state.image_keys.entry(device.no).or_default().insert(image.storage_key.clone(), no);
        state.images.insert(no, image);
        Ok(recorded)
    }

    async fn close_old_batches(&self, age: Duration, at: DateTime<Utc>, limit: u32) -> Outcome<u32> {
        let mut state = self.state();
        let open = state.open_batches.values().filter_map(|no| state.batches.get(no));
        let old = open.filter(|batch| !is_within(at, batch.opened_at, age));
        let mut old: Vec<_> = old.map(|batch| (batch.opened_at, batch.no)).collect();
        old.sort_unstable();
        old.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        for (_, no) in &old {
            state.close_batch(*no, WhyClosed::Old, at);
        }
        Ok(u32::try_from(old.len()).unwrap_or(u32::MAX))
    }

    async fn close_batch(&self, tenant: No, id: String, at: DateTime<Utc>) -> Outcome<Option<Batch>> {
        let mut state = self.state();
        let Some(no) = state.batch_named(tenant, &id).map(|batch| batch.no) else { return Ok(None) };
        state.close_batch(no, WhyClosed::Operator, at);
        Ok(state.batches.get(&no).cloned())
    }

    async fn batch_named(&self, tenant: No, id: String) -> Outcome<Option<Batch>> {
        Ok(self.state().batch_named(tenant, &id).cloned())
    }

    async fn batches(&self, tenant: No, filter: BatchFilter) -> Outcome<Vec<Batch>> {
        let state = self.state();
        let batches = state.batches.values().rev();
        let wanted = batches.filter(|batch| state.is_of(batch.agent, tenant) && filter.asks_for(batch));
        Ok(wanted.take(usize::try_from(filter.limit).unwrap_or(usize::MAX)).cloned().collect())
    }

    async fn images(&self, tenant: No, filter: ImageFilter) -> Outcome<Vec<ImageRow>> {
        let state = self.state();
        let rows = state.images.iter().rev().filter(|(_, image)| state.is_of(image.agent, tenant));
        let rows = rows.map(|(no, image)| ImageRow { no: *no, image: image.clone() });
        let wanted = rows.filter(|row| filter.asks_for(row));
        Ok(wanted.take(usize::try_from(filter.limit).unwrap_or(usize::MAX)).collect())
    }
}
