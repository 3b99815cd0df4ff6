//! Acusight's operations.

mod checkin;
mod notify_image;

pub(crate) use checkin::word;

use std::sync::Arc;

use fleetwire_protocol::acusight::{DeviceKey, DeviceKeyAuth};
use fleetwire_protocol::{Fault, Subject};

use crate::domain::Vendor;
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Identify};

impl<S: Store> Identify<DeviceKeyAuth> for Core<S> {
    type Caller = Arc<AgentRecord>;

    async fn identify(&self, key: DeviceKey) -> Result<Arc<AgentRecord>, Fault> {
        self.sign_in(Vendor::Acusight, key.expose(), |_| true).await
    }
}

/// The device that a message names must be the one that its key belongs to.
fn own(device: &AgentRecord, named: &str) -> Result<(), Fault> {
    if device.agent().id == named { Ok(()) } else { Err(Fault::NotYours(Subject::Device)) }
}
