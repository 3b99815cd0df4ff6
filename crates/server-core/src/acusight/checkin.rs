use std::sync::Arc;

use chrono::{DateTime, Utc};
use fleetwire_protocol::Fault;
use fleetwire_protocol::acusight::{
    ActionKind, ActionStatus, Checkin, CheckinResponse, DeviceAction, FileExt,
};
use fleetwire_protocol::wire::{IntOrText, JsonText, Timestamp};
use fleetwire_validation::Checked;
use serde_json::Value;

use super::own;
use crate::domain::{Agent, ModelReport, Work, WorkState};
use crate::lease::Report;
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<Checkin> for Core<S> {
    async fn handle(
        &self,
        device: Arc<AgentRecord>,
        _: &Origin<'_>,
        call: Checked<Checkin>,
    ) -> Result<CheckinResponse, Fault> {
        let request = call.into_inner().body;
        own(&device, request.device_id.as_str())?;
        let agent = device.agent();
        let model = request.current_model_id.map(fleetwire_protocol::acusight::ModelId::into_string);

        let actions = if is_quiet(&device, &agent, model.as_deref(), self.now()) {
            Vec::new()
        } else {
            let report = ModelReport {
                agent: agent.no,
                model,
                action: self.new_id(),
                ttl: self.config.work_ttl,
                at: self.now(),
            };
            let call = || self.store.reconcile_model(report);
            let reconciled = self.handing_over(&device, call, |found| &found.handed_over).await?;
            let actions =
                reconciled.handed_over.work.iter().map(|work| action(work, &reconciled.agent)).collect();
            self.registry.put(reconciled.agent);
            actions
        };

        let mut report = Report { status: request.status, ..Report::default() };
        if let Some(address) = request.ip_address {
            report.notes.insert("ip_address".to_owned(), address);
        }
        self.renew(&device, report);
        Ok(CheckinResponse::new(actions))
    }
}

/// Whether a check-in changes nothing but the lease.
fn is_quiet(device: &AgentRecord, agent: &Agent, model: Option<&str>, now: DateTime<Utc>) -> bool {
    let running = model.or(agent.current_model.as_deref());
    !device.lease.has_work(now)
        && running == agent.current_model.as_deref()
        && (agent.desired_model.is_none() || agent.desired_model.as_deref() == running)
}

fn action(work: &Work, device: &Agent) -> DeviceAction {
    let text = |name: &str| work.payload.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut action = DeviceAction::default();
    action.id = Some(IntOrText::Int(work.no));
    action.device_id = Some(device.id.as_str().into());
    action.kind = Some(ActionKind::from(work.kind.as_str()));
    // The dialect has no word for an action that came to another end, and is not sent any.
    action.status = Some(ActionStatus::from(word(work.state).unwrap_or_else(|| work.state.as_str())));
    action.model_id = text("model_id").map(Into::into);
    action.model_name = text("model_name");
    action.version = text("version");
    action.download_url = text("download_url");
    action.file_ext = text("file_ext").map(|word| FileExt::from(word.as_str()));
    action.label_map = text("label_map").map(JsonText::new);
    action.created_at = Some(Timestamp::seconds(work.created_at));
    action.updated_at = Some(Timestamp::seconds(work.updated_at));
    action.completed_at = work.completed_at.map(Timestamp::seconds);
    action
}

/// The dialect's word for a state, where it has one.
pub(crate) const fn word(state: WorkState) -> Option<&'static str> {
    match state {
        WorkState::Queued | WorkState::Delivered | WorkState::Running => Some("pending"),
        WorkState::Succeeded => Some("completed"),
        WorkState::Failed | WorkState::Expired | WorkState::Canceled => None,
    }
}
