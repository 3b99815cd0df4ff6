use chrono::DateTime;

use super::{Done, OperatorError};
use crate::Core;
use crate::domain::{Batch, BatchFilter, ImageFilter, ImageRow, No, Vendor};
use crate::lease::Sample;
use crate::store::Store;

impl<S: Store> Core<S> {
    /// The batches of a tenant, the latest first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn batches(&self, tenant: No, filter: BatchFilter) -> Done<Vec<Batch>> {
        Ok(self.store.batches(tenant, filter).await?)
    }

    /// A batch by its id.
    ///
    /// # Errors
    /// The tenant has no such batch, or the store fails.
    pub async fn batch(&self, tenant: No, id: String) -> Done<Batch> {
        self.store.batch_named(tenant, id).await?.ok_or(OperatorError::Missing("batch"))
    }

    /// Closes a batch, so that the next image of its device opens another. One that is closed stays as it is.
    ///
    /// # Errors
    /// The tenant has no such batch, or the store fails.
    pub async fn close_batch(&self, tenant: No, id: String) -> Done<Batch> {
        self.store.close_batch(tenant, id, self.now()).await?.ok_or(OperatorError::Missing("batch"))
    }

    /// The images of a tenant with their annotations, the latest first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn images(&self, tenant: No, filter: ImageFilter) -> Done<Vec<ImageRow>> {
        Ok(self.store.images(tenant, filter).await?)
    }

    /// The reports of an agent that are kept, from a time on, the earliest first. There are at most
    /// [`places`](crate::lease::Sampling::places) of them, and none that is older than reports are kept.
    ///
    /// # Errors
    /// The tenant has no such agent, or the store fails.
    pub async fn history(
        &self,
        tenant: No,
        vendor: Vendor,
        id: &str,
        since: Option<DateTime<chrono::Utc>>,
    ) -> Done<Vec<Sample>> {
        let agent = self.find_agent(tenant, vendor, id)?.agent.no;
        let keep = chrono::Duration::from_std(self.config().sampling.keep).ok();
        // What a changed setting has left behind is older than that.
        let oldest = keep.and_then(|keep| self.now().checked_sub_signed(keep)).unwrap_or_default();
        let mut samples = self.store.history(agent, oldest.max(since.unwrap_or(oldest))).await?;
        let most = usize::try_from(self.config().sampling.places()).unwrap_or(usize::MAX);
        // A time that steps back leaves two reports of one interval.
        samples.drain(..samples.len().saturating_sub(most));
        Ok(samples)
    }
}
