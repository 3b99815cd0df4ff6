use fleetwire_protocol::Fault;
use fleetwire_protocol::acusight::{Checkin, CheckinResponse, ModelId};
use fleetwire_validation::Checked;

use super::own;
use crate::lease::PackedReport;
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<Checkin> for Core<S> {
    async fn handle(
        &self,
        device: AgentRecord,
        origin: &Origin<'_>,
        call: Checked<Checkin>,
    ) -> Result<CheckinResponse, Fault> {
        let at = call.at();
        let request = call.into_inner().body;
        own(&device, request.device_id.as_str())?;
        let model = request.current_model_id.map(ModelId::into_string);
        let actions = self.actions_for(&device, origin, model, at).await?;

        let address = request.ip_address.as_deref().map(|address| ("ip_address", address));
        let report = PackedReport::new(request.status.as_deref(), [].into_iter(), address.into_iter());
        self.renew(&device, report, at);
        Ok(CheckinResponse::new(actions))
    }
}
