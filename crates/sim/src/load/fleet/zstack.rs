use chrono::{DateTime, Utc};
use fleetwire_protocol::Call;
use fleetwire_protocol::codec::EncodeError;
use fleetwire_protocol::zstack::{
    AgentPath, AutoRegisterHeartbeat, AutoRegisterReply, AutoRegisterRequest, BearerToken, Heartbeat,
    HeartbeatRequest,
};

use super::{Agent, Templates, VERSION, ZSTACK_HEARTBEAT, seconds, uptime};
use crate::load::template::{Base, mark, marked, written};

pub(super) fn enrolment(
    base: &Base,
    token: &str,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, EncodeError> {
    let request = AutoRegisterRequest::new(name, name, "metric", VERSION, figure(uptime(name, seconds(now))));
    written(base, &BearerToken::from(token), now, &Call::<AutoRegisterHeartbeat>::new(request))
}

/// A count of seconds as the dialect's numbers are.
fn figure(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// The id need not be the one that was sent.
pub(super) fn enrolled(name: &str, token: &str, body: &[u8]) -> Option<Agent> {
    let reply: AutoRegisterReply = serde_json::from_slice(body).ok()?;
    let id = reply.agent_id.filter(|_| reply.accepted != Some(false))?;
    Some(Agent::new(name, id.as_str(), token))
}

pub(super) fn templates(base: &Base) -> Result<Templates, EncodeError> {
    let request = HeartbeatRequest::new(VERSION, mark::UPTIME, mark::LOAD, 35.2);
    let call = Call::<Heartbeat>::with(AgentPath::new(mark::ID), request);
    let plain = marked(base, &BearerToken::from(mark::KEY), &call)?;
    Ok(Templates { operation: ZSTACK_HEARTBEAT, plain, told: None, poll: None })
}
