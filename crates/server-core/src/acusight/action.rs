//! Actions, as devices are told of them.

use chrono::{DateTime, Utc};
use fleetwire_protocol::Fault;
use fleetwire_protocol::acusight::{ActionKind, ActionStatus, DeviceAction, FileExt};
use fleetwire_protocol::wire::{IntOrText, JsonText, Timestamp};
use serde_json::Value;

use crate::domain::{Agent, MODEL_UPDATE, ModelReport, Work, WorkState};
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Origin};

impl<S: Store> Core<S> {
    /// The actions that wait for a device, once the model that it says it runs has been compared with the desired one.
    /// Asks the store only if there is something to do.
    pub(super) async fn actions_for(
        &self,
        device: &AgentRecord,
        origin: &Origin<'_>,
        model: Option<String>,
        at: DateTime<Utc>,
    ) -> Result<Vec<DeviceAction>, Fault> {
        if is_quiet(device, model.as_deref(), at) {
            return Ok(Vec::new());
        }
        let report =
            ModelReport { agent: device.no(), model, action: self.new_id(), ttl: self.config.work_ttl, at };
        let call = || self.store.reconcile_model(report);
        let reconciled = self.handing_over(device, call, |found| &found.handed_over).await?;
        let device = reconciled.agent;
        let addressed = |work: Work| {
            let work = if work.kind == MODEL_UPDATE { self.with_address(origin, work) } else { work };
            action(&work, &device)
        };
        let actions = reconciled.handed_over.work.into_iter().map(addressed).collect();
        self.registry.put(device);
        Ok(actions)
    }
}

/// Whether a check-in changes nothing but the lease.
fn is_quiet(device: &AgentRecord, model: Option<&str>, now: DateTime<Utc>) -> bool {
    let says_nothing_new = device.look(|row| {
        let (current, desired) = (row.current_model(), row.desired_model());
        let running = model.or(current);
        running == current && (desired.is_none() || desired == running)
    });
    says_nothing_new && !device.lease().has_work(now)
}

fn action(work: &Work, device: &Agent) -> DeviceAction {
    let text = |name: &str| work.payload.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut action = DeviceAction::default();
    action.id = Some(IntOrText::Int(work.no));
    action.device_id = Some(device.id.as_str().into());
    action.kind = Some(ActionKind::from(work.kind.as_str()));
    // The dialect has no word for an action that came to another end, and is not sent any.
    action.status = Some(ActionStatus::from(word(work.state).unwrap_or_else(|| work.state.as_str())));
    if work.kind == MODEL_UPDATE {
        action.model_id = text("model_id").map(Into::into);
        action.model_name = text("model_name");
        action.version = text("version");
        action.download_url = text("download_url");
        action.file_ext = text("file_ext").map(|word| FileExt::from(word.as_str()));
        action.label_map = text("label_map").map(JsonText::new);
    } else if !work.payload.is_empty() {
        action.payload = Some(work.payload.clone().into_iter().collect());
    }
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
