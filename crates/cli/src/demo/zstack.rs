//! ZStack agents: one that an operator has registered, with its uptime in both spellings; one that a platform registers;
//! and one that is there by its own word, is told to restart, and learns from whoever does that what came of it.

use anyhow::{Context, Result};
use fleetwire_protocol::Call;
use fleetwire_protocol::zstack::{
    ActionPath, ActionRequest, ActionResultPath, ActionStatus, AgentPath, AgentStatus, AutoRegisterHeartbeat,
    AutoRegisterRequest, BearerToken, GetActionResult, Heartbeat, HeartbeatRequest, LifecycleQuery,
    ListByLifecycleStatus, Register, RegisterRequest, SendAction,
};
use http::Method;
use serde_json::{Value, json};

use super::steps::{Steps, differing, proof, refusal};

const HEARTBEAT: &str = include_str!("../../fixtures/zstack/heartbeat/request.json");
const ANSWER: &str = include_str!("../../fixtures/zstack/heartbeat/response.200.json");
const REGISTER: &str = include_str!("../../fixtures/zstack/register/request.zs-4-undocumented-members.json");
const AUTO_REGISTER: &str =
    include_str!("../../fixtures/zstack/auto_register_heartbeat/request.zs-3-figures.json");
const UPTIME_AS_TEXT: &str =
    include_str!("../../fixtures/zstack/heartbeat/request.zs-1-uptime-text.accepted.json");

pub(super) async fn live(steps: &mut Steps) -> Result<()> {
    let example: Value = serde_json::from_str(ANSWER)?;
    let text = |name: &str| example.get(name).cloned().unwrap_or_default();
    let uuid = text("uuid").as_str().context("the source's answer has a uuid")?.to_owned();
    let wish = json!({
        "vendor": "zstack", "id": uuid, "name": text("name"), "labels": {"env": "prod", "team": "ops"},
        "facts": {
            "type": text("type"), "endpoint": text("endpoint"),
            "platformId": text("platformId"), "region": text("region"),
        },
    });
    steps.operate(Method::POST, "/agents", &wish).await?;
    let issued = steps.operate(Method::POST, "/keys", &json!({"vendor": "zstack"})).await?;
    let token =
        issued.get("key").and_then(Value::as_str).context("a tenant's token is shown once")?.to_owned();
    let bearer = BearerToken::from(token.as_str());

    let request: HeartbeatRequest = serde_json::from_str(HEARTBEAT)?;
    let call = Call::<Heartbeat>::with(AgentPath::new(uuid.as_str()), request.clone());
    steps
        .send("source example, uptime a number", &bearer, &call, |answer, _| {
            let answer = serde_json::to_value(answer).unwrap_or_default();
            let differing = differing(ANSWER, &answer);
            let labels = answer.get("labels").and_then(Value::as_str);
            proof(
                "every member of the source's answer, and labels as text",
                &[
                    (differing.is_empty(), &differing.join(", ")),
                    (labels == Some(r#"{"env":"prod","team":"ops"}"#), "labels"),
                    (answer.get("lastHeartbeatAt").is_some(), "lastHeartbeatAt"),
                ],
            )
        })
        .await?;
    let path = format!("/api/v1/agents/{uuid}/heartbeat");
    let authorization = format!("Bearer {token}");
    steps
        .send_raw::<Heartbeat>(
            "uptime as text",
            &path,
            &[("authorization", &authorization)],
            UPTIME_AS_TEXT,
            |answer| {
                proof(
                    "read as the table has it",
                    &[(answer.get("status") == Some(&json!("online")), "online")],
                )
            },
        )
        .await?;
    fleet(steps, &bearer).await?;
    steps.keep::<Heartbeat>(bearer, move || Call::with(AgentPath::new(uuid.as_str()), request.clone()))
}

/// The companions: agents that are made without an operator, and what is done with them.
async fn fleet(steps: &mut Steps, bearer: &BearerToken) -> Result<()> {
    let wish: RegisterRequest = serde_json::from_str(REGISTER)?;
    let labels = wish.labels.clone();
    steps
        .send("labels as JSON text", bearer, &Call::<Register>::new(wish), |answer, _| {
            proof(
                "an agent under an id of the server's, not yet heard of",
                &[
                    (answer.uuid.is_some(), "it has an id"),
                    (answer.status == Some(AgentStatus::Offline), "offline"),
                    (answer.labels == labels, "labels as they were sent"),
                ],
            )
        })
        .await?;

    let mut own: AutoRegisterRequest = serde_json::from_str(AUTO_REGISTER)?;
    own.agent_id = "agent-of-its-own".into();
    let beat = Call::<AutoRegisterHeartbeat>::new(own.clone());
    for what in ["an id that nobody knows", "the same again"] {
        steps
            .send(what, bearer, &beat, |answer, _| {
                proof(
                    "one agent, under the id that it gave",
                    &[
                        (answer.accepted == Some(true), "accepted"),
                        (answer.agent_id.as_ref() == Some(&own.agent_id), "its id"),
                    ],
                )
            })
            .await?;
    }
    let listed = Call::<ListByLifecycleStatus>::with(LifecycleQuery::new("online"), ());
    steps
        .send("online", bearer, &listed, |answer, _| {
            let is_own = |id: Option<&_>| id == Some(&own.agent_id);
            proof(
                "both that have reported, and no other",
                &[
                    (answer.total == Some(2), "two of them"),
                    (
                        answer.items.iter().any(|item| is_own(item.agent_id.as_ref())),
                        "the one that came by itself",
                    ),
                ],
            )
        })
        .await?;

    let restart = ActionPath::new(own.agent_id.clone(), "restart");
    let restart = Call::<SendAction>::with(restart, ActionRequest::default());
    let sent = steps
        .send("restart", bearer, &restart, |answer, _| {
            proof("the action is taken down", &[(answer.action_id.is_some(), "it has an id")])
        })
        .await?
        .action_id
        .context("an action has an id")?;
    steps
        .send("restart again, its answer lost", bearer, &restart, |answer, _| {
            proof("no second restart", &[(answer.action_id.as_ref() == Some(&sent), "the same action")])
        })
        .await?;
    let upgrade = ActionPath::new(own.agent_id.clone(), "upgrade");
    let upgrade = Call::<SendAction>::with(upgrade, ActionRequest::default());
    steps
        .refused("an action that there is not", bearer, &upgrade, |answer| {
            refusal(answer, 400, "start, stop, restart", "those that there are are named")
        })
        .await?;
    let result = ActionResultPath::new(own.agent_id, sent.clone());
    let result = Call::<GetActionResult>::with(result, ());
    let report = format!("/work/{sent}/report");
    for (what, said, status) in [
        ("nobody is at it", None, ActionStatus::Pending),
        ("taken by an operator's program", Some("acknowledge"), ActionStatus::Pending),
        ("begun by it", Some("start"), ActionStatus::Running),
        ("done by it", Some("succeed"), ActionStatus::Success),
    ] {
        if let Some(said) = said {
            steps.operate(Method::POST, &report, &json!({"state": said})).await?;
        }
        steps
            .send(what, bearer, &result, |answer, _| {
                proof(
                    "the result says so, and has no error",
                    &[
                        (answer.status.as_ref() == Some(&status), status.as_str()),
                        (answer.error.is_none(), "no error"),
                    ],
                )
            })
            .await?;
    }
    Ok(())
}
