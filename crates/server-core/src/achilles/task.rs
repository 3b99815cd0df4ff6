//! A piece of work in Achilles's words.

use fleetwire_protocol::Fault;
use fleetwire_protocol::achilles::{ResultAnswer, Task, TaskPayload, TaskStatus, TaskType};
use fleetwire_protocol::wire::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::organisation;
use crate::domain::{Agent, Work, WorkState};

/// The dialect's word for a state.
pub(crate) const fn word(state: WorkState, acknowledged: bool) -> &'static str {
    match state {
        WorkState::Queued => "pending",
        WorkState::Delivered if acknowledged => "downloading",
        WorkState::Delivered => "assigned",
        WorkState::Running => "executing",
        WorkState::Succeeded => "completed",
        WorkState::Failed => "failed",
        WorkState::Expired | WorkState::Canceled => "expired",
    }
}

/// The dialect's word for how far work is.
pub(super) const fn status(work: &Work) -> &'static str {
    word(work.state, work.acknowledged_at.is_some())
}

/// What divides a work's id from the number of a later execution. The dialect makes a task anew for each, under an
/// id of its own, so that word of an earlier one is not taken for word of a later one.
const EXECUTION: char = '.';

/// The id of the task that an execution is.
pub(super) fn task_id(work: &str, execution: u32) -> String {
    if execution == 1 { work.to_owned() } else { format!("{work}{EXECUTION}{execution}") }
}

/// The work and the execution of it that a task's id names.
pub(super) fn named(task: &str) -> (&str, u32) {
    task.rsplit_once(EXECUTION)
        .and_then(|(work, number)| Some((work, number.parse().ok()?)))
        // Only what is written as it would be written here.
        .filter(|(work, execution)| *execution > 1 && task_id(work, *execution) == task)
        .unwrap_or((task, 1))
}

pub(super) fn task(work: &Work, agent: &Agent) -> Result<Task, Fault> {
    let payload = TaskPayload::deserialize(&Value::Object(work.payload.clone())).map_err(|error| {
        tracing::error!(work = work.id, %error, "stored work has a payload that is none");
        Fault::Internal
    })?;
    let mut task =
        Task::new(task_id(&work.id, work.execution_number), TaskType::from(work.kind.as_str()), payload);
    task.agent_id = Some(agent.id.as_str().into());
    task.org_id = Some(organisation(work.tenant));
    task.priority = Some(work.priority);
    task.status = Some(TaskStatus::from(status(work)));
    task.result = work.result.as_ref().and_then(|result| Deserialize::deserialize(result).ok());
    task.created_at = Some(Timestamp::millis(work.created_at));
    task.assigned_at = work.delivered_at.map(Timestamp::millis);
    task.completed_at = work.completed_at.map(Timestamp::millis);
    task.ttl = i64::try_from(work.ttl.as_secs()).ok();
    if work.max_retries > 0 {
        task.max_retries = Some(work.max_retries.into());
        task.retry_count = Some(work.execution_number.saturating_sub(1).into());
    }
    if work.execution_number > 1 {
        task.original_task_id = Some(work.id.as_str().into());
    }
    Ok(task)
}

/// The answer to what an agent says of a task, which does not tell again what only the task itself tells.
pub(super) fn answer(work: &Work, agent: &Agent, repeated: bool) -> Result<ResultAnswer, Fault> {
    let mut task = task(work, agent)?;
    task.payload.env_vars = None;
    Ok(ResultAnswer::new(task, repeated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_of_a_task_names_its_work_and_execution() {
        for (work, execution, id) in [("a-1", 1, "a-1"), ("a-1", 2, "a-1.2"), ("a.b", 30, "a.b.30")] {
            assert_eq!(task_id(work, execution), id);
            assert_eq!(named(id), (work, execution));
        }
        for other in ["", ".", "a.", "a.1", "a.0", "a.02", "a.+2", "a.-2", "a.2b", "a.4294967296", ".."] {
            assert_eq!(named(other), (other, 1), "{other}");
        }
    }

    #[test]
    fn every_word_is_one_of_the_dialect() {
        for state in WorkState::ALL {
            for acknowledged in [false, true] {
                let word = word(state, acknowledged);
                assert!(TaskStatus::from(word).is_known(), "{word}");
            }
        }
    }
}
