use chrono::{DateTime, Utc};
use fleetwire_protocol::Call;
use fleetwire_protocol::agentmc::{
    AgentReport, ApiKey, Disk, Heartbeat, HeartbeatRequest, HeartbeatResponse, HostFacts, HostFingerprint,
    HostReport, HostRuntime, Network, Runtime, RuntimeMeta, RuntimeUpdate, UpdateStatus,
};
use fleetwire_protocol::codec::EncodeError;
use fleetwire_protocol::wire::TextOr;

use super::{AGENTMC_HEARTBEAT, Agent, FollowUp, Templates, VERSION, contains, now, seconds, uptime};
use crate::load::template::{Base, mark, marked, written};

/// A host of a fingerprint, with one agent on it.
fn request(fingerprint: &str, name: &str, number: Option<i64>, uptime: u64) -> HeartbeatRequest {
    let facts = HostFacts::new(
        name,
        "192.0.2.1",
        Network::new("192.0.2.1", "198.51.100.1"),
        "Ubuntu",
        "24.04",
        "x86_64",
        TextOr::Text("Intel Xeon".to_owned()),
        8,
        32,
        Disk::new(536_870_912_000, 322_122_547_200),
        uptime,
        HostRuntime::new("simulated", VERSION),
    );
    let mut runtime = Runtime::new("simulated", VERSION);
    runtime.mode = Some("simulated".to_owned());
    let mut meta = RuntimeMeta::new(runtime);
    meta.models = vec![TextOr::Text("simulated/model".to_owned())];
    let mut agent = AgentReport::new(0, name, TextOr::Text(name.to_owned()));
    agent.id = number;
    HeartbeatRequest::new(meta, HostReport::new(fingerprint, name, facts), agent)
}

/// The fingerprint of the host of an agent: of the least length that the source allows.
fn fingerprint(name: &str) -> String {
    format!("{name:0<64}")
}

pub(super) fn enrolment(
    base: &Base,
    token: &str,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, EncodeError> {
    let call = Call::<Heartbeat>::with(
        HostFingerprint::default(),
        request(&fingerprint(name), name, None, uptime(name, seconds(now))),
    );
    written(base, &ApiKey::from(token), now, &call)
}

pub(super) fn enrolled(name: &str, token: &str, body: &[u8]) -> Option<Agent> {
    let answer: HeartbeatResponse = serde_json::from_slice(body).ok()?;
    let mut agent = Agent::new(name, fingerprint(name), token);
    agent.number = answer.agent.and_then(|told| u64::try_from(told.id).ok()).unwrap_or_default();
    Some(agent)
}

pub(super) fn templates(base: &Base) -> Result<Templates, EncodeError> {
    let of = |number| {
        let request = request(mark::ID, mark::NAME, number, mark::UPTIME.into());
        let call = Call::<Heartbeat>::with(HostFingerprint::default(), request);
        marked(base, &ApiKey::from(mark::KEY), &call)
    };
    let (plain, told) = (of(None)?, Some(of(Some(mark::NUMBER))?));
    Ok(Templates { operation: AGENTMC_HEARTBEAT, plain, told, poll: None })
}

/// Commands, whose updates are sent at once: none was carried out.
pub(super) fn commanded(base: &Base, agent: &Agent, body: &[u8]) -> Option<FollowUp> {
    if !contains(body, b"host_runtime_commands\":[{") {
        return None;
    }
    let answer: HeartbeatResponse = serde_json::from_slice(body).ok()?;
    let number = i64::try_from(agent.number).ok().filter(|number| *number > 0);
    let now = now();
    let mut request = request(&agent.id, &agent.name, number, uptime(&agent.name, seconds(now)));
    for command in &answer.host_runtime_commands {
        let mut update = RuntimeUpdate::new(command.id, UpdateStatus::Failed);
        update.error = Some("simulated: nothing was done".to_owned());
        request.host_runtime_updates.push(update);
    }
    let call = Call::<Heartbeat>::with(HostFingerprint::default(), request);
    let request = written(base, &ApiKey::from(&*agent.key), now, &call).ok()?;
    (!answer.host_runtime_commands.is_empty())
        .then(|| FollowUp { send: Some((AGENTMC_HEARTBEAT, request)), ..FollowUp::default() })
}
