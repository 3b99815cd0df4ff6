use chrono::{DateTime, Utc};
use fleetwire_protocol::Call;
use fleetwire_protocol::achilles::{
    AgentCredentials, AgentStatus, Answer, Arch, Enroll, EnrollData, EnrollRequest, Heartbeat, HeartbeatData,
    HeartbeatRequest, Os, PollTasks, ReportResult, SystemMetrics, Task, TaskPath, TaskResultRequest,
};
use fleetwire_protocol::codec::EncodeError;
use fleetwire_protocol::wire::{OneOrMany, Timestamp};

use super::{ACHILLES_HEARTBEAT, ACHILLES_RESULT, Agent, FollowUp, Templates, VERSION, contains, now};
use crate::load::template::{Base, mark, marked, marked_time, written};

pub(super) fn enrolment(
    base: &Base,
    token: &str,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, EncodeError> {
    let request = EnrollRequest::new(token, name, Os::Linux, Arch::Amd64, VERSION);
    written(base, &(), now, &Call::<Enroll>::new(request))
}

/// The address that a server gives an agent to report to is not followed: load goes where it was told to.
pub(super) fn enrolled(name: &str, body: &[u8]) -> Option<Agent> {
    let data = serde_json::from_slice::<Answer<EnrollData>>(body).ok()?.data;
    let key = data.key()?;
    Some(Agent::new(name, data.agent_id.as_str(), key.expose()))
}

pub(super) fn templates(base: &Base) -> Result<Templates, EncodeError> {
    let credentials = AgentCredentials::new(mark::ID, mark::KEY);
    let mut system =
        SystemMetrics::new(mark::NAME, Os::Linux, Arch::Amd64, mark::UPTIME, mark::LOAD, 4096, 50_000);
    system.total_memory_mb = Some(16_384.into());
    system.process_cpu_percent = Some(1.into());
    system.process_memory_mb = Some(25.into());
    let request = HeartbeatRequest::new(marked_time(), AgentStatus::Idle, system, VERSION);
    let plain = marked(base, &credentials, &Call::<Heartbeat>::new(request))?;
    let poll = Some(marked(base, &credentials, &Call::<PollTasks>::new(()))?);
    Ok(Templates { operation: ACHILLES_HEARTBEAT, plain, told: None, poll })
}

/// A new key, which is the agent's from its next request on.
pub(super) fn rotated(body: &[u8]) -> Option<FollowUp> {
    if !contains(body, b"new_api_key") {
        return None;
    }
    let answer: Answer<HeartbeatData> = serde_json::from_slice(body).ok()?;
    let key = answer.data.new_api_key?;
    Some(FollowUp { key: Some(Box::from(key.expose())), ..FollowUp::default() })
}

/// A task, whose result is sent at once: the agent ran nothing, and says so.
pub(super) fn task(base: &Base, agent: &Agent, body: &[u8]) -> Option<FollowUp> {
    if body.is_empty() {
        return None;
    }
    let answer: Answer<OneOrMany<Task>> = serde_json::from_slice(body).ok()?;
    let task = answer.data.0.into_iter().next()?;
    let now = now();
    let at = Timestamp::millis(now);
    let mut result = TaskResultRequest::new(task.id.clone(), 0, at.clone(), at, 0);
    result.stdout = "simulated: nothing was run".to_owned();
    result.hostname = agent.name.to_string();
    (result.os, result.arch) = (Os::Linux, Arch::Amd64);
    let call = Call::<ReportResult>::with(TaskPath::new(task.id), result);
    let credentials = AgentCredentials::new(&*agent.id, &*agent.key);
    let request = written(base, &credentials, now, &call).ok()?;
    Some(FollowUp { send: Some((ACHILLES_RESULT, request)), ..FollowUp::default() })
}
