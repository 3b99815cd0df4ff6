use std::sync::Arc;

use fleetwire_protocol::Fault;
use fleetwire_protocol::acusight::{Checkin, CheckinResponse, ModelId};
use fleetwire_validation::Checked;

use super::own;
use crate::lease::Report;
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<Checkin> for Core<S> {
    async fn handle(
        &self,
        device: Arc<AgentRecord>,
        origin: &Origin<'_>,
        call: Checked<Checkin>,
    ) -> Result<CheckinResponse, Fault> {
        let request = call.into_inner().body;
        own(&device, request.device_id.as_str())?;
        let model = request.current_model_id.map(ModelId::into_string);
        let actions = self.actions_for(&device, origin, model).await?;

        let mut report = Report { status: request.status, ..Report::default() };
        if let Some(address) = request.ip_address {
            report.notes.insert("ip_address".to_owned(), address);
        }
        self.renew(&device, report);
        Ok(CheckinResponse::new(actions))
    }
}
