//! What can be asked of a core, and what it answers, both in few words.

use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use fleetwire_protocol::achilles::{self, AgentCredentials, EnrollRequest, TaskPath};
use fleetwire_protocol::acusight::{
    Checkin, CheckinRequest, DeviceAction, DeviceCheckin, DeviceKey, ImageNotificationRequest, NotifyImage,
    Provision, ProvisionRequest,
};
use fleetwire_protocol::agentmc::{self, ApiKey, HostFingerprint};
use fleetwire_protocol::wire::Timestamp;
use fleetwire_protocol::zstack::{self, AgentPath, BearerAuth, BearerToken};
use fleetwire_protocol::{Auth, Call, Endpoint, Fault, Reply, Request, codec};
use fleetwire_validation::Validate;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::stage::{moment, seconds};
use crate::domain::{Kind, No, Standing, Vendor, WorkEvent};
use crate::operator::{NewRelease, OperatorError, Registration, WorkWish, WorkWord};
use crate::store::Store;
use crate::{Core, Handle, Origin, admit, answer};

/// A message of an agent or a wish of an operator, with all that it carries.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ask {
    // Achilles
    Enrol { token: String, newcomer: usize },
    Beat { signed: Signed, version: u8 },
    Poll { signed: Signed },
    Result { signed: Signed, work: usize, task: String, number: u32 },
    Status { signed: Signed, work: usize, task: String, number: u32, word: u8 },
    Update { signed: Signed },
    // Acusight
    Checkin { key: String, device: String, model: Option<u8> },
    DeviceCheckin { key: String },
    Provision { token: String, newcomer: usize },
    Notify { key: String, device: String, image: u8 },
    // ZStack
    Pulse { key: String, uuid: String, version: u8 },
    Announce { key: String, uuid: String, version: u8 },
    Action { key: String, uuid: String, action: u8 },
    // AgentMC
    Hosts { key: String, host: String, version: u8, agents: Vec<(Option<No>, u8)> },
    // Operator
    Register { tenant: No, vendor: Vendor, kind: Kind, id: Option<String> },
    TenantKey { tenant: No, vendor: Vendor },
    Issue { tenant: No, vendor: Vendor, ttl: i64, uses: u32 },
    Revoke { tenant: No, token: String },
    Rotate { tenant: No, agent: String },
    RevokeKeys { tenant: No, agent: String },
    Stand { tenant: No, agent: String, standing: Standing },
    Queue { tenant: No, agent: String, wish: Wish },
    Word { tenant: No, work: usize, id: String, event: WorkEvent },
    Cancel { tenant: No, work: usize, id: String },
    Assign { tenant: No, device: String, model: u8 },
    Publish { tenant: No, version: u8 },
    // The server itself
    Flush,
    Sweep,
    CloseBatches,
}

/// What an agent of Achilles signs in with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Signed {
    pub(super) key: String,
    pub(super) agent: String,
    pub(super) at: i64,
}

/// Work that an operator wishes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) key: Option<u8>,
    pub(super) retries: u32,
    /// Seconds that an execution may take, the grace aside.
    pub(super) timeout: u16,
    pub(super) priority: i64,
    /// Seconds before which it is not handed over.
    pub(super) not_before: Option<i64>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Done,
    Enrolled { agent: String, key: String },
    Beat { offered: Option<String> },
    Task(Option<String>),
    Result { task: String, again: bool },
    Update(Option<String>),
    Actions(Vec<(No, String)>),
    Image { image: String, batch: String },
    Pulse { version: Option<String> },
    Hosts { host: No, agents: Vec<No>, total: i64 },
    Registered { no: No, key: String },
    Key(String),
    Token { id: String, text: String },
    Queued { id: String, now: bool },
    Action(String),
    Changed(bool),
    Swept(u32),
    Refused(Refusal),
}

/// Why it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Unauthenticated,
    Token,
    NotYours,
    Unknown,
    Transition,
    Conflict,
    Full,
    Unsuitable,
    Other(String),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unauthenticated => Self::Unauthenticated,
            Fault::TokenRefused | Fault::TokenExpired => Self::Token,
            Fault::NotYours(_) => Self::NotYours,
            Fault::Unknown(_) => Self::Unknown,
            Fault::Transition { .. } => Self::Transition,
            Fault::Conflict(_) | Fault::Taken(_) => Self::Conflict,
            Fault::Overloaded { .. } => Self::Full,
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<OperatorError> for Refusal {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Missing(_) => Self::Unknown,
            OperatorError::Taken(_) | OperatorError::KeyTaken { .. } => Self::Conflict,
            OperatorError::Transition(_) => Self::Transition,
            OperatorError::Unsuitable(_) => Self::Unsuitable,
            other => Self::Other(other.to_string()),
        }
    }
}

type Answered = Result<Answer, Refusal>;

/// The words of versions.
pub(super) fn version(number: u8) -> String {
    format!("1.{number}")
}

/// The machine that a newcomer runs on.
pub(super) fn hostname(newcomer: usize) -> String {
    format!("ws-{newcomer}")
}

/// The name of a model.
pub(super) fn model(number: u8) -> String {
    format!("m-{number}")
}

/// The id of a device that brings a token.
pub(super) fn device(newcomer: usize) -> String {
    format!("dev-{newcomer}")
}

/// What agents of ZStack can be told to do.
const ACTIONS: [&str; 2] = ["start", "stop"];

/// What an agent may say of a task.
pub(super) const WORDS: [&str; 5] = ["downloading", "executing", "completed", "failed", "expired"];

/// What agents on hosts are called.
pub(super) fn hosted(number: u8) -> String {
    format!("a-{number}")
}

/// How long every machine has been up; long ago, so that no clock makes it look started anew.
fn uptime(at: DateTime<Utc>) -> u32 {
    u32::try_from(seconds(at)).unwrap_or_default() + 10_000_000
}

const ORIGIN: Origin<'_> = Origin { public_url: None, scheme: "http", host: "fleet.test", mount: "/vendor" };

/// Sends a call over the line: what is written is what is read.
async fn send<E, S>(
    core: &Core<S>,
    credentials: &<E::Auth as Auth>::Credentials,
    at: DateTime<Utc>,
    segment: Option<&str>,
    call: Call<E>,
) -> Result<<E::Reply as Reply>::Value, Fault>
where
    E: Validate + Endpoint,
    S: Store,
    Core<S>: Handle<E>,
{
    let mut headers = HeaderMap::new();
    E::Auth::attach(credentials, at, &mut headers).map_err(|_| Fault::Internal)?;
    let body = E::Request::write(&call.body).map_err(|_| Fault::Internal)?;
    drop(call);
    let caller = admit::<E, _>(core, &headers, core.now()).await?;
    let call = codec::decode::<E>(|_| segment, None, &headers, &body)?;
    answer::<E, _>(core, caller, &ORIGIN, call, &core.context(core.now())).await
}

/// Has the core do what is asked.
pub(super) async fn perform<S: Store>(core: &Core<S>, ask: Ask) -> Answer {
    perform_as(core, ask).await.unwrap_or_else(Answer::Refused)
}

async fn perform_as<S: Store>(core: &Core<S>, ask: Ask) -> Answered {
    let now = core.now();
    match ask {
        Ask::Enrol { token, newcomer } => {
            let request = EnrollRequest::new(
                token.as_str(),
                hostname(newcomer),
                "linux".into(),
                "amd64".into(),
                version(0),
            );
            let data = send(core, &(), now, None, Call::<achilles::Enroll>::new(request)).await?.data;
            let key = data.key().ok_or(Refusal::Other("no key".to_owned()))?;
            Ok(Answer::Enrolled { agent: data.agent_id.to_string(), key: key.expose().to_owned() })
        }
        Ask::Beat { signed, version: number } => {
            let (credentials, at) = signed.credentials();
            let system = achilles::SystemMetrics::new(
                "ws".to_owned(),
                "linux".into(),
                "amd64".into(),
                uptime(at),
                15,
                4096,
                50_000,
            );
            let status = achilles::AgentStatus::Idle;
            let request =
                achilles::HeartbeatRequest::new(Timestamp::seconds(at), status, system, version(number));
            let call = Call::<achilles::Heartbeat>::new(request);
            let data = send(core, &credentials, at, None, call).await?.data;
            Ok(Answer::Beat { offered: data.new_api_key.map(|key| key.expose().to_owned()) })
        }
        Ask::Poll { signed } => {
            let (credentials, at) = signed.credentials();
            let answer = send(core, &credentials, at, None, Call::<achilles::PollTasks>::new(())).await?;
            let tasks = answer.map(|answer| answer.data.0).unwrap_or_default();
            Ok(Answer::Task(tasks.first().map(|task| task.id.to_string())))
        }
        Ask::Result { signed, task, .. } => {
            let (credentials, at) = signed.credentials();
            let time = Timestamp::seconds(at);
            let result = achilles::TaskResultRequest::new(task.as_str(), 0, time.clone(), time, 5);
            let call = Call::<achilles::ReportResult>::with(TaskPath::new(task.as_str()), result);
            let answer = send(core, &credentials, at, Some(&task), call).await?;
            let again = answer.idempotent == Some(true);
            Ok(Answer::Result { task: answer.data.id.to_string(), again })
        }
        Ask::Status { signed, task, word, .. } => {
            let (credentials, at) = signed.credentials();
            let word = WORDS.get(usize::from(word)).copied().unwrap_or_default();
            let update = achilles::TaskStatusUpdate::new(achilles::TaskStatus::from(word));
            let call = Call::<achilles::ReportStatus>::with(TaskPath::new(task.as_str()), update);
            let answer = send(core, &credentials, at, Some(&task), call).await?;
            let again = answer.idempotent == Some(true);
            Ok(Answer::Result { task: answer.data.id.to_string(), again })
        }
        Ask::Update { signed } => {
            let (credentials, at) = signed.credentials();
            let answer = send(core, &credentials, at, None, Call::<achilles::CheckUpdate>::new(())).await?;
            Ok(Answer::Update(answer.data.0.map(|update| update.version)))
        }
        Ask::Checkin { key, device, model: number } => {
            let mut request = CheckinRequest::new(device);
            request.current_model_id = number.map(|number| model(number).into());
            let credentials = DeviceKey::from(key);
            let answer = send(core, &credentials, now, None, Call::<Checkin>::new(request)).await?;
            Ok(actions(answer.pending_actions))
        }
        Ask::DeviceCheckin { key } => {
            let request = serde_json::from_value(json!({"status": "healthy"}));
            let request = request.map_err(|error| Refusal::Other(error.to_string()))?;
            let call = Call::<DeviceCheckin>::new(request);
            let answer = send(core, &DeviceKey::from(key), now, None, call).await?;
            Ok(actions(answer.data.actions))
        }
        Ask::Provision { token, newcomer } => {
            let request = ProvisionRequest::new(token.as_str(), device(newcomer));
            let data = send(core, &(), now, None, Call::<Provision>::new(request)).await?.data;
            let given = data.and_then(|data| data.device_id.zip(data.api_key));
            let (agent, key) = given.ok_or(Refusal::Other("no key".to_owned()))?;
            Ok(Answer::Enrolled { agent: agent.to_string(), key: key.expose().to_owned() })
        }
        Ask::Notify { key, device, image } => {
            let request =
                ImageNotificationRequest::new(device, "frame.jpg", format!("raw/{image}"), 640, 480);
            let credentials = DeviceKey::from(key);
            let answer = send(core, &credentials, now, None, Call::<NotifyImage>::new(request)).await?;
            let answer = serde_json::to_value(answer).unwrap_or_default();
            let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
            Ok(Answer::Image { image: text("image_id"), batch: text("batch_id") })
        }
        Ask::Pulse { key, uuid, version: number } => {
            let request = zstack::HeartbeatRequest::new(version(number), uptime(now), 12.5, 35.25);
            let call = Call::<zstack::Heartbeat>::with(AgentPath::new(uuid.as_str()), request);
            let answer = send(core, &BearerToken::from(key), now, Some(&uuid), call).await?;
            Ok(Answer::Pulse { version: answer.version })
        }
        Ask::Announce { key, uuid, version: number } => {
            let name = uuid.clone();
            let request =
                zstack::AutoRegisterRequest::new(uuid, name, "worker", version(number), uptime(now));
            let call = Call::<zstack::AutoRegisterHeartbeat>::new(request);
            send(core, &BearerToken::from(key), now, None, call).await?;
            Ok(Answer::Done)
        }
        Ask::Action { key, uuid, action } => {
            let action = ACTIONS.get(usize::from(action)).copied().unwrap_or_default();
            let path = zstack::ActionPath::new(uuid.as_str(), action);
            let credentials = BearerToken::from(key);
            let mut headers = HeaderMap::new();
            BearerAuth::attach(&credentials, now, &mut headers).map_err(|_| Fault::Internal)?;
            let caller = admit::<zstack::SendAction, _>(core, &headers, core.now()).await?;
            let call = Call::<zstack::SendAction>::with(path, Default::default());
            let answer = answer(core, caller, &ORIGIN, call, &core.context(core.now())).await?;
            Ok(Answer::Action(answer.action_id.map(|id| id.to_string()).unwrap_or_default()))
        }
        Ask::Hosts { key, host, version: number, agents } => {
            let request = serde_json::from_value(host_report(&host, number, &agents, now));
            let request = request.map_err(|error| Refusal::Other(error.to_string()))?;
            let call = Call::<agentmc::Heartbeat>::with(HostFingerprint::default(), request);
            let answer = send(core, &ApiKey::from(key), now, None, call).await?;
            let host = answer.host.ok_or(Refusal::Other("no host".to_owned()))?;
            let agents = answer.agent.iter().chain(&answer.agents).map(|agent| agent.id).collect();
            Ok(Answer::Hosts { host: host.id, agents, total: host.agents_total })
        }
        Ask::Register { tenant, vendor, kind, id } => {
            let wish =
                Registration { vendor, kind, no: None, id, name: None, facts: Map::new(), labels: [].into() };
            let (view, key) = core.register(tenant, wish).await?;
            Ok(Answer::Registered { no: view.agent.no, key })
        }
        Ask::TenantKey { tenant, vendor } => Ok(Answer::Key(core.issue_tenant_key(tenant, vendor).await?)),
        Ask::Issue { tenant, vendor, ttl, uses } => {
            let ttl = Duration::from_secs(ttl.unsigned_abs());
            let (token, text) = core.issue_token(tenant, vendor, ttl, uses).await?;
            Ok(Answer::Token { id: token.id, text })
        }
        Ask::Revoke { tenant, token } => Ok(core.revoke_token(tenant, token).await.map(|()| Answer::Done)?),
        Ask::Rotate { tenant, agent } => {
            Ok(core.rotate_key(tenant, Vendor::Achilles, &agent).await.map(|_| Answer::Done)?)
        }
        Ask::RevokeKeys { tenant, agent } => {
            let (_, key) = core.revoke_keys(tenant, Vendor::Achilles, &agent).await?;
            Ok(Answer::Key(key))
        }
        Ask::Stand { tenant, agent, standing } => {
            Ok(core.stand(tenant, Vendor::Achilles, &agent, standing).await.map(|_| Answer::Done)?)
        }
        Ask::Queue { tenant, agent, wish } => {
            let wish = WorkWish {
                kind: "execute_test".to_owned(),
                payload: Map::from_iter([("test_uuid".to_owned(), json!("t"))]),
                priority: Some(wish.priority),
                key: wish.key.map(|key| key.to_string()),
                not_before: wish.not_before.map(moment),
                ttl: None,
                timeout: Some(Duration::from_secs(wish.timeout.into())),
                max_retries: Some(wish.retries),
            };
            let (view, now) = core.queue_work(tenant, Vendor::Achilles, &agent, wish).await?;
            Ok(Answer::Queued { id: view.work.id, now })
        }
        Ask::Word { tenant, id, event, .. } => {
            let said = WorkWord { event, execution: None, result: None };
            Ok(Answer::Changed(core.report_work(tenant, id, said).await?.1))
        }
        Ask::Cancel { tenant, id, .. } => Ok(core.cancel_work(tenant, id).await.map(|_| Answer::Done)?),
        Ask::Assign { tenant, device, model: number } => {
            let assigned = core.assign_model(tenant, Vendor::Acusight, &device, model(number)).await;
            Ok(assigned.map(|_| Answer::Done)?)
        }
        Ask::Publish { tenant, version: number } => {
            let release = NewRelease {
                version: version(number),
                os: "linux".to_owned(),
                arch: "amd64".to_owned(),
                sha256: [number; 32],
                size: 5,
                download_url: Some("https://fleet.test/agent".to_owned()),
                mandatory: false,
            };
            Ok(core.add_release(tenant, release).await.map(|_| Answer::Done)?)
        }
        Ask::Flush => {
            core.flush().await.map_err(OperatorError::from)?;
            Ok(Answer::Done)
        }
        Ask::Sweep => Ok(Answer::Swept(core.sweep_work().await.map_err(OperatorError::from)?)),
        Ask::CloseBatches => Ok(Answer::Swept(core.sweep_batches().await.map_err(OperatorError::from)?)),
    }
}

/// The actions that a device is told of.
fn actions(told: Vec<DeviceAction>) -> Answer {
    let actions = serde_json::to_value(told).unwrap_or_default();
    let told = |action: &Value| {
        let model = action["model_id"].as_str().unwrap_or_default().to_owned();
        (action["id"].as_i64().unwrap_or_default(), model)
    };
    Answer::Actions(actions.as_array().into_iter().flatten().map(told).collect())
}

impl Signed {
    fn credentials(&self) -> (AgentCredentials, DateTime<Utc>) {
        (AgentCredentials::new(self.agent.as_str(), self.key.as_str()), moment(self.at))
    }
}

fn host_report(host: &str, number: u8, agents: &[(Option<No>, u8)], at: DateTime<Utc>) -> Value {
    let agent = |(no, name): &(Option<No>, u8)| {
        let mut agent = json!({"name": hosted(*name), "identity": hosted(*name)});
        if let Some(no) = no {
            agent["id"] = json!(no);
        }
        agent
    };
    json!({
        "meta": {"runtime": {"name": "r", "version": "1"}, "models": []},
        "host": {
            "fingerprint": host, "name": host,
            "meta": {
                "hostname": host, "ip": "10.0.2.15",
                "network": {"private_ip": "10.0.2.15", "public_ip": "34.222.10.10"},
                "os": "Ubuntu", "os_version": "24.04", "arch": "x86_64", "cpu": "Xeon", "cpu_cores": 8,
                "ram_gb": 32, "disk": {"total_bytes": 500, "free_bytes": 300}, "uptime_seconds": uptime(at),
                "runtime": {"name": "codex", "version": version(number)},
            },
        },
        "agents": agents.iter().map(agent).collect::<Vec<_>>(),
    })
}
