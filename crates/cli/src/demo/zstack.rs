//! A ZStack agent, and its uptime in both spellings.

use anyhow::{Context, Result};
use fleetwire_protocol::Call;
use fleetwire_protocol::zstack::{AgentPath, BearerToken, Heartbeat, HeartbeatRequest};
use http::Method;
use serde_json::{Value, json};

use super::steps::{Steps, differing, proof};

const HEARTBEAT: &str = include_str!("../../fixtures/zstack/heartbeat/request.json");
const ANSWER: &str = include_str!("../../fixtures/zstack/heartbeat/response.200.json");
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
    steps.keep::<Heartbeat>(bearer, move || Call::with(AgentPath::new(uuid.as_str()), request.clone()))
}
