//! An AgentMC host with its fingerprint in the body, in the header, and nowhere; the newer generation's host with its list
//! of agents and its commands; and the files that an agent is to work by.

use anyhow::{Context, Result};
use fleetwire_protocol::Call;
use fleetwire_protocol::agentmc::{
    ApiKey, Heartbeat, HeartbeatRequest, HostFingerprint, HostStatus, Instructions, InstructionsParams,
    RuntimeUpdate, UpdateStatus,
};
use http::Method;
use serde_json::{Value, json};

use super::steps::{Steps, proof, refusal};

const HEARTBEAT: &str = include_str!("../../fixtures/agentmc/heartbeat/request.json");
const NEWER: &str = include_str!("../../fixtures/agentmc/heartbeat/request.am-5-agents-only.json");

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
    let in_header = Call::<Heartbeat>::with(HostFingerprint { fingerprint, agent: None }, bare.clone());
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
    instruct(steps, &key).await?;
    supervise(steps).await?;
    steps.keep::<Heartbeat>(key, move || Call::with(HostFingerprint::default(), request.clone()))
}

/// The source generation asks for its instructions before anything else; its key says which agent it is.
async fn instruct(steps: &mut Steps, key: &ApiKey) -> Result<()> {
    let files = json!({"files": [{"path": "AGENTS.md", "content": "Be kind.\n"}]});
    steps.operate(Method::PUT, "/instructions", &files).await?;
    let call = Call::<Instructions>::with(InstructionsParams::default(), ());
    let answer = steps
        .send("instructions, no bundle yet", key, &call, |answer, _| {
            let is_file =
                answer.files.iter().any(|file| file.path == "AGENTS.md" && file.content == "Be kind.\n");
            proof(
                "the file with its digest, for agent 42",
                &[(answer.changed, "changed"), (is_file, "the file"), (answer.agent.id == 42, "the agent")],
            )
        })
        .await?;
    let known = InstructionsParams {
        current_bundle_version: Some(answer.bundle_version),
        ..InstructionsParams::default()
    };
    steps
        .send(
            "instructions, the bundle is known",
            key,
            &Call::<Instructions>::with(known, ()),
            |answer, _| {
                let is_quiet = !answer.changed && answer.files.is_empty();
                proof("nothing has changed", &[(is_quiet, "no files")])
            },
        )
        .await?;
    Ok(())
}

/// The newer generation: a host's own key, agents in a list without ids, and a command that the host does.
async fn supervise(steps: &mut Steps) -> Result<()> {
    let mut request: HeartbeatRequest = serde_json::from_str(NEWER)?;
    let fingerprint = "b".repeat(64);
    request.host.fingerprint = Some(fingerprint.as_str().into());
    let wish = json!({"vendor": "agentmc", "kind": "host", "id": fingerprint});
    let registered = steps.operate(Method::POST, "/agents", &wish).await?;
    let key = registered.get("key").and_then(Value::as_str).context("a host gets a key")?;
    let key = ApiKey::from(key);
    let wish = json!({
        "type": "agent.provision",
        "payload": {"agent_name": "Edith", "agent_emoji": "🤖", "runtime_key": "edith"},
    });
    steps.operate(Method::POST, &format!("/agents/agentmc/{fingerprint}/work"), &wish).await?;

    let beat =
        |request: &HeartbeatRequest| Call::<Heartbeat>::with(HostFingerprint::default(), request.clone());
    let answer = steps
        .send("newer host, agents without ids", &key, &beat(&request), |answer, _| {
            let told = answer.host_runtime_commands.first();
            proof(
                "agents made, interval told, a command handed over",
                &[
                    (!answer.agents.is_empty(), "agents with ids"),
                    (answer.defaults.is_some(), "the interval"),
                    (told.is_some_and(|command| command.payload.agent_name == "Edith"), "the command"),
                ],
            )
        })
        .await?;
    let command = answer.host_runtime_commands.first().context("a command was handed over")?.id;
    request.host_runtime_updates = vec![RuntimeUpdate::new(command, UpdateStatus::Completed)];
    for sent in ["what became of the command", "the same again"] {
        steps
            .send(sent, &key, &beat(&request), |answer, _| {
                proof(
                    "it is done, and not told again",
                    &[(answer.host_runtime_commands.is_empty(), "no command")],
                )
            })
            .await?;
    }
    let work = steps.operate(Method::GET, "/work?limit=1", &Value::Null).await?;
    let state = work.pointer("/work/0/state").and_then(Value::as_str).unwrap_or_default();
    anyhow::ensure!(state == "succeeded", "the operator sees the command {state}, not succeeded");
    Ok(())
}
