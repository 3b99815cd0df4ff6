//! An AgentMC host with its fingerprint in the body, in the header, and nowhere.

use anyhow::{Context, Result};
use fleetwire_protocol::Call;
use fleetwire_protocol::agentmc::{ApiKey, Heartbeat, HeartbeatRequest, HostFingerprint, HostStatus};
use http::Method;
use serde_json::{Value, json};

use super::steps::{Steps, proof, refusal};

const HEARTBEAT: &str = include_str!("../../fixtures/agentmc/heartbeat/request.json");

pub(super) async fn live(steps: &mut Steps) -> Result<()> {
    let request: HeartbeatRequest = serde_json::from_str(HEARTBEAT)?;
    let agent = request.agent.as_ref().context("the source's example has an agent")?;
    let wish = json!({"vendor": "agentmc", "number": agent.id, "name": agent.name});
    let registered = steps.operate(Method::POST, "/agents", &wish).await?;
    let key = registered.get("key").and_then(Value::as_str).context("an agent gets a key")?;
    let key = ApiKey::from(key);

    let in_body = Call::<Heartbeat>::with(HostFingerprint::default(), request.clone());
    let host = steps
        .send("source example, fingerprint in the body", &key, &in_body, |answer, _| {
            let host = answer.host.as_ref();
            proof(
                "host made, agent 42 on it, both online",
                &[
                    (answer.ok, "ok"),
                    (host.is_some_and(|host| host.status == HostStatus::Online), "online"),
                    (
                        host.is_some_and(|host| (host.agents_total, host.agents_online) == (1, 1)),
                        "its agents",
                    ),
                ],
            )
        })
        .await?
        .host;
    let mut bare = request.clone();
    let fingerprint = bare.host.fingerprint.take();
    let in_header = Call::<Heartbeat>::with(HostFingerprint { fingerprint }, bare.clone());
    steps
        .send("fingerprint in the header only", &key, &in_header, |answer, _| {
            let same = answer.host.as_ref().map(|host| host.id) == host.as_ref().map(|host| host.id);
            proof("the same host", &[(same, "the same host")])
        })
        .await?;
    let nowhere = Call::<Heartbeat>::with(HostFingerprint::default(), bare);
    steps
        .refused("fingerprint nowhere", &key, &nowhere, |answer| {
            refusal(answer, 422, "host.fingerprint", "422 names host.fingerprint")
        })
        .await?;
    steps.keep::<Heartbeat>(key, move || Call::with(HostFingerprint::default(), request.clone()))
}
