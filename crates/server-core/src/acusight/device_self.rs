use fleetwire_protocol::Fault;
use fleetwire_protocol::acusight::{DeviceSelf, DeviceSelfData, DeviceStatus, Enveloped};
use fleetwire_validation::Checked;

use super::organization;
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<DeviceSelf> for Core<S> {
    async fn handle(
        &self,
        device: AgentRecord,
        _: &Origin<'_>,
        _: Checked<DeviceSelf>,
    ) -> Result<Enveloped<DeviceSelfData>, Fault> {
        let mut data = DeviceSelfData::default();
        device.look(|row| {
            data.device_id = Some(row.id().into());
            data.endpoint_id = Some(row.id().into());
            data.name = Some(row.name().to_owned());
            data.organization_id = Some(organization(row.tenant));
        });
        // A token makes a device approved at once, and one that is shut out cannot sign in.
        data.status = Some(DeviceStatus::Approved);
        Ok(Enveloped::new(data))
    }
}
