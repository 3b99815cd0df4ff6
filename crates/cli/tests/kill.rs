//! A server that is killed under load loses nothing that it answered as committed, and at most one flush of
//! leases. Real binary, real sockets, real database.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::HashMap;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_client::{Check, Client, ReqwestTransport, RetryPolicy, Transport};
use fleetwire_protocol::Call;
use fleetwire_protocol::achilles::{
    AgentCredentials, AgentStatus, Arch, Enroll, EnrollRequest, Heartbeat, HeartbeatRequest, Os, PollTasks,
    ReportResult, SystemMetrics, TaskPath, TaskResultRequest,
};
use fleetwire_protocol::acusight::{
    DeviceKey, ImageNotificationRequest, ImageNotificationResponse, NotifyImage,
};
use fleetwire_protocol::wire::Timestamp;
use http::{Method, Request};
use serde_json::{Value, json};
use support::Server;
use tokio::task::JoinSet;

fn client(server: &Server, base: &str) -> Client<ReqwestTransport> {
    let transport = ReqwestTransport::new().unwrap();
    let client = Client::new(&format!("{}{base}", server.address), transport).unwrap();
    // The results here are as empty as a server puts up with.
    client.with_retries(RetryPolicy::none()).check_before_send(Check::Off)
}

async fn operate(address: &str, token: &str, method: Method, path: &str, body: Value) -> Value {
    try_operate(address, token, method, path, body).await.unwrap()
}

async fn try_operate(
    address: &str,
    token: &str,
    method: Method,
    path: &str,
    body: Value,
) -> Result<Value, <ReqwestTransport as Transport>::Error> {
    let request = Request::builder()
        .method(method)
        .uri(format!("{address}/control/v1{path}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Bytes::from(if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() }))
        .unwrap();
    let response = ReqwestTransport::new().unwrap().exchange(request).await?;
    assert!(response.status().is_success(), "{path}: {:?}", response.body());
    Ok(serde_json::from_slice(response.body()).unwrap_or_default())
}

#[expect(clippy::disallowed_methods, reason = "the server is a process of its own, with the machine's clock")]
fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

fn heartbeat() -> Call<Heartbeat> {
    let system = SystemMetrics::new("host", Os::Linux, Arch::Amd64, 5, 1, 100, 1000);
    Call::new(HeartbeatRequest::new(Timestamp::millis(now()), AgentStatus::Idle, system, "1.0.0"))
}

fn result(task: &str, exit_code: i64) -> Call<ReportResult> {
    let time = Timestamp::seconds(now());
    let result = TaskResultRequest::new(task, exit_code, time.clone(), time, 1);
    Call::with(TaskPath::new(task), result)
}

fn image(number: usize) -> Call<NotifyImage> {
    let name = format!("frame-{number}.jpg");
    Call::new(ImageNotificationRequest::new("cam-1", name.as_str(), format!("raw/{name}"), 640, 480))
}

/// What the server has answered, and so must still know.
#[derive(Default)]
struct Answered {
    agents: Vec<AgentCredentials>,
    /// By agent id: when a heartbeat was last acknowledged.
    seen: HashMap<String, DateTime<Utc>>,
    /// Task, its agent, and the exit code reported first.
    results: Vec<(String, AgentCredentials, i64)>,
    images: Vec<(usize, ImageNotificationResponse)>,
}

/// Longer than a flush interval with its commit, on a machine that has other things to do.
const FLUSH: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_keeps_all_that_it_answered() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let token = server.token.clone().expect("a first start prints the operator's token");
    let wish = json!({"vendor": "achilles", "max_uses": 100_000});
    let enrolment = operate(&server.address, &token, Method::POST, "/tokens", wish).await;
    let enrolment = enrolment["token"].as_str().unwrap().to_owned();
    let wish = json!({"vendor": "acusight", "id": "cam-1"});
    let device = operate(&server.address, &token, Method::POST, "/agents", wish).await;
    let device = DeviceKey::from(device["key"].as_str().unwrap());

    let answered = Arc::new(Mutex::new(Answered::default()));
    let mut load = JoinSet::new();
    for worker in 0..8 {
        let client = client(&server, "/achilles");
        let answered = Arc::clone(&answered);
        let (address, token, enrolment) = (server.address.clone(), token.clone(), enrolment.clone());
        load.spawn(async move {
            for round in 0.. {
                let host = format!("host-{worker}-{round}");
                let request = EnrollRequest::new(enrolment.as_str(), host, Os::Linux, Arch::Amd64, "1.0.0");
                let Ok(answer) = client.send(&(), &Call::<Enroll>::new(request)).await else { return };
                let agent =
                    AgentCredentials::new(answer.data.agent_id.clone(), answer.data.key().unwrap().expose());
                let id = agent.agent_id.to_string();
                answered.lock().unwrap().agents.push(agent.clone());
                let sent = now();
                if client.send(&agent, &heartbeat()).await.is_err() {
                    return;
                }
                answered.lock().unwrap().seen.insert(id.clone(), sent);
                if round % 4 == 0 {
                    let wish = json!({"type": "execute_command", "payload": {"command": "true"}});
                    let path = format!("/agents/achilles/{id}/work");
                    let Ok(work) = try_operate(&address, &token, Method::POST, &path, wish).await else {
                        return;
                    };
                    let task = work["id"].as_str().unwrap().to_owned();
                    let polled = client.send(&agent, &Call::<PollTasks>::new(())).await;
                    let Ok(Some(polled)) = polled else { return };
                    assert_eq!(polled.data.0[0].id.as_str(), task);
                    let exit_code = i64::from(round) + 1;
                    if client.send(&agent, &result(&task, exit_code)).await.is_err() {
                        return;
                    }
                    answered.lock().unwrap().results.push((task, agent, exit_code));
                }
            }
        });
    }
    {
        let client = client(&server, "/acusight/api");
        let (answered, device) = (Arc::clone(&answered), device.clone());
        load.spawn(async move {
            for number in 0.. {
                let Ok(answer) = client.send(&device, &image(number)).await else { return };
                answered.lock().unwrap().images.push((number, answer));
            }
        });
    }

    // Long enough that some leases are older than a flush and some are not.
    tokio::time::sleep(FLUSH + Duration::from_secs(2)).await;
    let killed = now();
    drop(server);
    while load.join_next().await.is_some() {}
    let answered = Arc::into_inner(answered).unwrap().into_inner().unwrap();
    assert!(answered.agents.len() > 20 && answered.results.len() > 4 && answered.images.len() > 20);

    let server = Server::start(data.path());
    assert_eq!(server.token, None, "the operator's token is made once");
    let mut listed = HashMap::new();
    let mut after = Some(0);
    while let Some(number) = after {
        let path = format!("/agents?vendor=achilles&limit=1000&after={number}");
        let page = operate(&server.address, &token, Method::GET, &path, Value::Null).await;
        for agent in page["agents"].as_array().unwrap() {
            listed.insert(agent["id"].as_str().unwrap().to_owned(), agent.clone());
        }
        after = page["next"].as_i64();
    }
    for (id, sent) in &answered.seen {
        let agent = &listed[id];
        let last_seen = agent["last_seen"].as_str().and_then(|time| time.parse::<DateTime<Utc>>().ok());
        let due = (killed - *sent).to_std().unwrap_or_default() > FLUSH;
        if due {
            assert!(
                last_seen.is_some_and(|seen| seen >= *sent - chrono::TimeDelta::milliseconds(1)),
                "{agent}"
            );
        }
        // One whose only lease was lost with the last flush has never been seen, which is no false alarm.
        assert_ne!(agent["status"], "offline", "{agent}");
    }

    let achilles = client(&server, "/achilles");
    for agent in &answered.agents {
        achilles.send(agent, &heartbeat()).await.expect("a key that was answered works");
    }
    for (task, agent, exit_code) in &answered.results {
        let again = achilles.send(agent, &result(task, 77)).await.unwrap();
        assert_eq!(again.idempotent, Some(true), "a result that was answered is known");
        assert_eq!(again.data.result.unwrap().exit_code, Some(*exit_code), "and it is the first one");
    }
    let acusight = client(&server, "/acusight/api");
    for (number, answer) in &answered.images {
        let again = acusight.send(&device, &image(*number)).await.unwrap();
        assert_eq!(again, *answer, "an image that was answered is the same image");
    }
}

#[test]
fn a_second_server_on_the_same_folder_is_refused_with_the_way_out() {
    let data = tempfile::tempdir().unwrap();
    let _first = Server::start(data.path());
    let mut second = Command::new(env!("CARGO_BIN_EXE_fleetwire"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut text = String::new();
    second.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(!second.wait().unwrap().success());
    assert!(text.contains("another server runs on") && text.contains("--data"), "{text}");
}
