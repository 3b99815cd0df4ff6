//! Acusight's operations.

mod action;
mod checkin;
mod device_checkin;
mod device_self;
mod notify_image;
mod provision;
mod wish;

pub(crate) use action::word;
pub(crate) use wish::settle;

use chrono::{DateTime, Utc};
use fleetwire_protocol::acusight::{DeviceKey, DeviceKeyAuth};
use fleetwire_protocol::{Fault, Subject};

use crate::domain::{No, Vendor};
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Identify};

impl<S: Store> Identify<DeviceKeyAuth> for Core<S> {
    type Caller = AgentRecord;

    async fn identify(&self, key: DeviceKey, now: DateTime<Utc>) -> Result<AgentRecord, Fault> {
        self.sign_in(Vendor::Acusight, key.expose(), now, |_| true).await
    }
}

/// The device that a message names must be the one that its key belongs to.
fn own(device: &AgentRecord, named: &str) -> Result<(), Fault> {
    if device.look(|row| row.id() == named) { Ok(()) } else { Err(Fault::NotYours(Subject::Device)) }
}

/// The organization that a tenant is called in this dialect: a UUID made of its number.
fn organization(tenant: No) -> String {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(b"fleetwir");
    bytes[8..].copy_from_slice(&tenant.to_be_bytes());
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_organization_is_a_uuid_of_its_own_and_stays_the_same() {
        let tenants = [0, 1, 2, 255, 256, 1 << 40, crate::domain::HIGHEST_NO];
        assert_eq!(tenants.map(organization).into_iter().collect::<BTreeSet<_>>().len(), tenants.len());
        assert_eq!(organization(1), "666c6565-7477-8972-8000-000000000001");
    }
}
