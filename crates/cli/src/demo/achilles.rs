//! One life of an Achilles agent: token, enrolment, heartbeat, task, result, rotation, update.

use anyhow::{Context, Result};
use fleetwire_protocol::achilles::{
    AgentCredentials, AgentStatus, BinaryWish, CheckUpdate, DownloadBinary, DownloadUpdate, Enroll,
    EnrollRequest, Heartbeat, HeartbeatRequest, PollTasks, ReportResult, ReportStatus, RunningVersion,
    TaskId, TaskPath, TaskResultRequest, TaskStatus, TaskStatusUpdate, UpdateWish, Version,
};
use fleetwire_protocol::wire::{OrNull, Timestamp};
use fleetwire_protocol::{Call, File, FileBody, Part, TASK_STATE};
use fleetwire_server::SystemClock;
use fleetwire_server_core::Clock;
use fleetwire_server_core::keys::{hex, sha256, unhex};
use http::Method;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use super::steps::{Steps, proof, refusal};

const ENROLL: &str = include_str!("../../fixtures/achilles/enroll/request.json");
const HEARTBEAT: &str = include_str!("../../fixtures/achilles/heartbeat/request.json");
const RESULT: &str = include_str!("../../fixtures/achilles/report_result/request.json");

/// The source's heartbeat, its stale timestamp set to now.
fn heartbeat() -> Result<HeartbeatRequest> {
    let mut request: HeartbeatRequest = serde_json::from_str(HEARTBEAT)?;
    request.timestamp = Timestamp::seconds(SystemClock.now());
    Ok(request)
}

pub(super) async fn live(steps: &mut Steps) -> Result<()> {
    let token = steps
        .operate(Method::POST, "/tokens", &json!({"vendor": "achilles", "max_uses": 1, "ttl_seconds": 600}))
        .await?;
    let token = token.get("token").and_then(Value::as_str).context("a token is shown once")?;

    let mut request: EnrollRequest = serde_json::from_str(ENROLL)?;
    request.token = token.into();
    let call = Call::<Enroll>::new(request);
    let data = steps
        .send("source example, its token a real one", &(), &call, |answer, _| {
            let data = &answer.data;
            proof(
                "id and key under both names",
                &[
                    (
                        data.api_key.is_some() && data.api_key == data.agent_key,
                        "the key comes under both names",
                    ),
                    (
                        data.public_key.is_some() && data.public_key == data.update_public_key,
                        "so does the public key",
                    ),
                    (
                        data.server_url.as_deref().is_some_and(|url| url.ends_with("/achilles")),
                        "the server's address",
                    ),
                ],
            )
        })
        .await?
        .data;
    let again = steps
        .send("the same again, its answer lost", &(), &call, |answer, _| {
            proof(
                "same agent, fresh key, no further use counted",
                &[
                    (answer.data.agent_id == data.agent_id, "the agent is the same"),
                    (answer.data.key() != data.key(), "the key is fresh"),
                ],
            )
        })
        .await?
        .data;
    let mut stranger: EnrollRequest = serde_json::from_str(ENROLL)?;
    stranger.token = token.into();
    stranger.hostname = "ANOTHER-01".to_owned();
    steps
        .refused(
            "another machine, the same single-use token",
            &(),
            &Call::<Enroll>::new(stranger),
            |answer| refusal(answer, 401, "enrollment token", "a token is used up"),
        )
        .await?;

    let key = again.key().context("an enrolment brings a key")?.clone();
    let mut agent = AgentCredentials::new(data.agent_id.clone(), key);
    let id = data.agent_id.as_str();
    let beat = Call::<Heartbeat>::new(heartbeat()?);
    steps
        .send("source example, its timestamp now", &agent, &beat, |answer, _| {
            proof(
                "acknowledged; no key is rotated",
                &[
                    (answer.data.acknowledged, "acknowledged"),
                    (answer.data.new_api_key.is_none(), "no new key"),
                ],
            )
        })
        .await?;
    let stale = Call::<Heartbeat>::new(serde_json::from_str(HEARTBEAT)?);
    steps
        .refused("source example as it stands", &agent, &stale, |answer| {
            refusal(answer, 400, "timestamp", "a stale timestamp is named")
        })
        .await?;

    let poll = Call::<PollTasks>::new(());
    steps
        .send("nothing queued", &agent, &poll, |answer, _| {
            proof("204 when there is no work", &[(answer.is_none(), "no task")])
        })
        .await?;
    let wish = json!({"type": "execute_command", "payload": {"command": "hostname", "arguments": []}});
    let queued = steps.operate(Method::POST, &format!("/agents/achilles/{id}/work"), &wish).await?;
    let task = queued.get("id").and_then(Value::as_str).context("work has an id")?.to_owned();
    for what in ["a task queued", "again, the answer lost"] {
        steps
            .send(what, &agent, &poll, |answer, _| {
                let polled = answer.as_ref().and_then(|answer| answer.data.0.first());
                proof(
                    "one task, assigned, until its result is in",
                    &[
                        (
                            polled.is_some_and(|polled| polled.id == TaskId::from(task.as_str())),
                            "it is the task",
                        ),
                        (
                            polled.is_some_and(|polled| polled.status == Some(TaskStatus::Assigned)),
                            "assigned",
                        ),
                    ],
                )
            })
            .await?;
    }

    let word =
        |status| Call::<ReportStatus>::with(TaskPath::new(task.as_str()), TaskStatusUpdate::new(status));
    for (what, status) in [
        ("its binary is on the way", TaskStatus::Downloading),
        ("at work", TaskStatus::Executing),
        ("the same again, the answer lost", TaskStatus::Executing),
    ] {
        steps
            .send(what, &agent, &word(status.clone()), |answer, headers| {
                proof(
                    "the task is as far as was said, and nothing is marked a repeat",
                    &[
                        (answer.data.status.as_ref() == Some(&status), "the status"),
                        (
                            answer.idempotent.is_none() && !headers.contains_key(TASK_STATE),
                            "it is not marked a repeat",
                        ),
                    ],
                )
            })
            .await?;
    }
    steps
        .refused("back to its download", &agent, &word(TaskStatus::Downloading), |answer| {
            refusal(answer, 400, "executing", "a step that cannot follow names where the task is")
        })
        .await?;
    steps
        .send("polled at work", &agent, &poll, |answer, _| {
            proof("what an agent has is not handed over again", &[(answer.is_none(), "no task")])
        })
        .await?;

    let mut result: TaskResultRequest = serde_json::from_str(RESULT)?;
    result.task_id = task.as_str().into();
    let report = Call::<ReportResult>::with(TaskPath::new(task.as_str()), result);
    steps
        .send("fixture with bundle_results", &agent, &report, |answer, headers| {
            proof(
                "the task is completed",
                &[
                    (answer.data.status == Some(TaskStatus::Completed), "completed"),
                    (
                        answer.idempotent.is_none() && !headers.contains_key(TASK_STATE),
                        "it is not marked a repeat",
                    ),
                ],
            )
        })
        .await?;
    steps
        .send("the same result again", &agent, &report, |answer, headers| {
            let marked = headers.get(TASK_STATE).is_some_and(|mark| mark == "terminal-idempotent");
            proof(
                "200, idempotent: true, F0-Task-State",
                &[
                    (answer.idempotent == Some(true), "idempotent"),
                    (marked, "the header"),
                    (answer.data.status == Some(TaskStatus::Completed), "completed still"),
                ],
            )
        })
        .await?;
    steps
        .send("after the result", &agent, &poll, |answer, _| {
            proof("done work is not handed over again", &[(answer.is_none(), "no task")])
        })
        .await?;

    steps.operate(Method::POST, &format!("/agents/achilles/{id}/rotate-key"), &Value::Null).await?;
    let offered = steps
        .send("a key rotation begun", &agent, &beat, |answer, _| {
            proof("a new key is offered", &[(answer.data.new_api_key.is_some(), "a new key")])
        })
        .await?
        .data
        .new_api_key
        .context("a rotation offers a key")?;
    steps
        .send("the old key, the answer lost", &agent, &beat, |answer, _| {
            proof(
                "the old key works, the same key is offered",
                &[(answer.data.new_api_key.as_ref() == Some(&offered), "the same key")],
            )
        })
        .await?;
    let old = std::mem::replace(&mut agent, AgentCredentials::new(id, offered));
    steps
        .send("the new key", &agent, &beat, |answer, _| {
            proof("the rotation is over", &[(answer.data.new_api_key.is_none(), "no further key")])
        })
        .await?;
    steps
        .refused("the old key, after the new one", &old, &beat, |answer| {
            refusal(answer, 401, "Invalid agent credentials", "the old key has ended")
        })
        .await?;

    let check = Call::<CheckUpdate>::new(());
    let version = Call::<Version>::with(RunningVersion::new("0.5.11"), ());
    steps
        .send("no release registered", &agent, &version, |answer, _| {
            proof("204 when there is nothing newer", &[(answer.is_none(), "no version")])
        })
        .await?;
    steps
        .send("no release registered", &agent, &check, |answer, _| {
            proof("data is null when there is nothing newer", &[(answer.data.is_none(), "null")])
        })
        .await?;
    let digest = sha256(b"the bytes of agent 0.6.0");
    let release = json!({
        "version": "0.6.0", "os": "windows", "arch": "amd64", "sha256": hex(&digest), "size": 24,
        "download_url": "https://downloads.example.org/agent-0.6.0.exe", "mandatory": false,
    });
    steps.operate(Method::POST, "/releases", &release).await?;
    let public_key = data.update_key().context("an enrolment brings the public key")?.to_owned();
    steps
        .send("a release registered", &agent, &version, |answer, _| {
            let info = answer.as_ref().map(|answer| &answer.data);
            proof(
                "the version, without an address",
                &[(info.is_some_and(|info| info.version == "0.6.0"), "the version")],
            )
        })
        .await?;
    steps
        .send("a release registered", &agent, &check, |answer, _| {
            let info = answer.data.as_ref();
            let signature = info.and_then(|info| unhex::<64>(info.signature.as_deref()?));
            let public_key = decode_public_key(&public_key);
            let genuine = match (signature, public_key) {
                (Some(signature), Some(key)) => {
                    UnparsedPublicKey::new(&ED25519, key).verify(&digest, &signature).is_ok()
                }
                _ => false,
            };
            proof(
                "its Ed25519 signature holds under the enrolled key",
                &[
                    (info.is_some_and(|info| info.version == "0.6.0"), "the version"),
                    (info.is_some_and(|info| info.sha256 == hex(&digest)), "the digest"),
                    (genuine, "the signature"),
                ],
            )
        })
        .await?;
    let mut updated = heartbeat()?;
    updated.agent_version = "0.6.0".to_owned();
    updated.reconnect_reason = Some("update_restart".into());
    steps
        .send("after the update", &agent, &Call::<Heartbeat>::new(updated), |answer, _| {
            proof("the new version is known", &[(answer.data.acknowledged, "acknowledged")])
        })
        .await?;
    steps
        .send("the latest version running", &agent, &check, |answer, _| {
            proof("nothing newer", &[(answer.data.is_none(), "null")])
        })
        .await?;

    download(steps, &agent).await?;

    let template: HeartbeatRequest = heartbeat()?;
    steps.keep::<Heartbeat>(agent, move || {
        let mut request = template.clone();
        request.timestamp = Timestamp::millis(SystemClock.now());
        request.status = AgentStatus::Idle;
        request.agent_version = "0.6.0".to_owned();
        request.current_task = OrNull::NULL;
        request.reconnect_reason = None;
        request.process_start_time = None;
        Call::new(request)
    })
}

/// Reads base64 of 32 bytes.
fn decode_public_key(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    let key = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    (key.len() == 32).then_some(key)
}

/// Files that the server holds: the program of a release, in two parts, and the binary of a test.
async fn download(steps: &mut Steps, agent: &AgentCredentials) -> Result<()> {
    const PROGRAM: &[u8] = b"the bytes of agent 0.6.1";
    const BINARY: &[u8] = b"the bytes of a test";
    let come = |file: &File, bytes: &[u8]| matches!(&file.body, FileBody::Bytes(come) if come == bytes);
    let mut wish = UpdateWish::new("windows".into(), "amd64".into());
    steps
        .refused(
            "a file that is elsewhere",
            agent,
            &Call::<DownloadUpdate>::with(wish.clone(), ()),
            |answer| refusal(answer, 404, "file", "a release registered by address is not served here"),
        )
        .await?;
    steps.bring("/releases?version=0.6.1&os=windows&arch=amd64", PROGRAM).await?;
    wish.range = Some("bytes=0-9".to_owned());
    let begun = steps
        .send("its first bytes", agent, &Call::<DownloadUpdate>::with(wish.clone(), ()), |file, _| {
            proof(
                "206, a part of the file, its tag and version",
                &[
                    (file.head.part == Part::Range(0..10) && come(file, &PROGRAM[..10]), "the part"),
                    (file.head.etag == Some(format!("\"{}\"", hex(&sha256(PROGRAM)))), "the tag"),
                    (file.head.version.as_deref() == Some("0.6.1"), "the version"),
                ],
            )
        })
        .await?;
    wish.range = Some("bytes=10-".to_owned());
    wish.if_range = begun.head.etag;
    steps
        .send("the rest of the same file", agent, &Call::<DownloadUpdate>::with(wish, ()), |file, _| {
            proof("the download goes on where it stopped", &[(come(file, &PROGRAM[10..]), "the rest")])
        })
        .await?;
    steps.bring("/binaries?name=t1.exe", BINARY).await?;
    steps
        .send(
            "a test's binary",
            agent,
            &Call::<DownloadBinary>::with(BinaryWish::new("t1.exe"), ()),
            |file, _| proof("the bytes that were brought", &[(come(file, BINARY), "the bytes")]),
        )
        .await?;
    let climbing = Call::<DownloadBinary>::with(BinaryWish::new("../fleetwire.sqlite"), ());
    steps
        .refused("a name that climbs", agent, &climbing, |answer| {
            refusal(answer, 404, "file", "nothing outside the folder is reached")
        })
        .await
}
