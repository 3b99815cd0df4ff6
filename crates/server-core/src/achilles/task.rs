//! A piece of work in Achilles's words.

use fleetwire_protocol::Fault;
use fleetwire_protocol::achilles::{Task, TaskPayload, TaskStatus, TaskType};
use fleetwire_protocol::wire::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::organisation;
use crate::domain::{Agent, Work, WorkState};

/// The dialect's word for a state.
pub(super) const fn status(state: WorkState) -> TaskStatus {
    match state {
        WorkState::Queued => TaskStatus::Pending,
        WorkState::Delivered => TaskStatus::Assigned,
        WorkState::Running => TaskStatus::Executing,
        WorkState::Succeeded => TaskStatus::Completed,
        WorkState::Failed => TaskStatus::Failed,
        WorkState::Expired | WorkState::Canceled => TaskStatus::Expired,
    }
}

pub(super) fn task(work: &Work, agent: &Agent) -> Result<Task, Fault> {
    let payload = TaskPayload::deserialize(&Value::Object(work.payload.clone())).map_err(|error| {
        tracing::error!(work = work.id, %error, "stored work has a payload that is none");
        Fault::Internal
    })?;
    let mut task = Task::new(work.id.as_str(), TaskType::from(work.kind.as_str()), payload);
    task.agent_id = Some(agent.id.as_str().into());
    task.org_id = Some(organisation(work.tenant));
    task.priority = Some(work.priority);
    task.status = Some(status(work.state));
    task.result = work.result.as_ref().and_then(|result| Deserialize::deserialize(result).ok());
    task.created_at = Some(Timestamp::millis(work.created_at));
    task.assigned_at = work.delivered_at.map(Timestamp::millis);
    task.completed_at = work.completed_at.map(Timestamp::millis);
    task.ttl = i64::try_from(work.ttl.as_secs()).ok();
    Ok(task)
}
