//! The rows: which operation, how it is sent, and under which flushes.

use anyhow::{Context, Result};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_protocol::achilles::{
    self, AgentCredentials, BinaryWish, RunningVersion, TaskPath, TaskStatus, TaskStatusUpdate, UpdateWish,
};
use fleetwire_protocol::acusight::{self, DeviceKey};
use fleetwire_protocol::agentmc::{self, ApiKey, HostFingerprint, InstructionsParams};
use fleetwire_protocol::wire::Timestamp;
use fleetwire_protocol::zstack::{
    self, ActionPath, ActionResultPath, AgentPath, BearerToken, LifecycleQuery,
};
use fleetwire_protocol::{Auth, Call, Endpoint, Vendor as _, codec};
use fleetwire_server::mounts;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::fleet::{BINARY, Fleet, Member};
use crate::server::Variant;

/// Digits that each request has others for, where a request must not be the same as another.
pub(crate) const COUNTER: &str = "0070707070";

type Requests = Result<Vec<http::Request<Bytes>>>;

/// One row.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) variant: Variant,
    pub(crate) clients: usize,
    pub(crate) requests: fn(&Fleet, DateTime<Utc>) -> Requests,
}

/// Clients of a row that does not say otherwise.
const CLIENTS: usize = 64;

macro_rules! rows {
    ($($name:literal: $operation:path, $variant:ident, $clients:expr, $requests:expr;)*) => {
        &[$(Row {
            name: $name,
            operation: <$operation as Endpoint>::ID,
            variant: Variant::$variant,
            clients: $clients,
            requests: $requests,
        }),*]
    };
}

pub(crate) const ROWS: &[Row] = rows! {
    "acusight check-in, in memory": acusight::Checkin, Memory, CLIENTS, short_checkins;
    "acusight check-in, leases flushed every second": acusight::Checkin, Flushed, CLIENTS, short_checkins;
    "acusight check-in, leases and reports flushed every second": acusight::Checkin, Flushed, CLIENTS, checkins;
    "zstack heartbeat": zstack::Heartbeat, Flushed, CLIENTS, zstack_heartbeats;
    "achilles heartbeat": achilles::Heartbeat, Flushed, CLIENTS, achilles_heartbeats;
    "agentmc heartbeat, 938 bytes": agentmc::Heartbeat, Flushed, CLIENTS, agentmc_heartbeats;
    "acusight check-in, committed, 256 clients": acusight::Checkin, Committed, 256, checkins;
    "acusight check-in, committed, 64 clients": acusight::Checkin, Committed, 64, checkins;
    "zstack heartbeat, committed, 256 clients": zstack::Heartbeat, Committed, 256, zstack_heartbeats;
    "zstack heartbeat, committed, 64 clients": zstack::Heartbeat, Committed, 64, zstack_heartbeats;
    "achilles heartbeat, committed, 256 clients": achilles::Heartbeat, Committed, 256, achilles_heartbeats;
    "achilles heartbeat, committed, 64 clients": achilles::Heartbeat, Committed, 64, achilles_heartbeats;
    "agentmc heartbeat, committed, 256 clients": agentmc::Heartbeat, Committed, 256, agentmc_heartbeats;
    "agentmc heartbeat, committed, 64 clients": agentmc::Heartbeat, Committed, 64, agentmc_heartbeats;
    "image notify with 50 annotations, committed": acusight::NotifyImage, Flushed, CLIENTS, images;
    "acusight provision": acusight::Provision, Flushed, CLIENTS, provisions;
    "acusight device check-in": acusight::DeviceCheckin, Flushed, CLIENTS, device_checkins;
    "acusight device self": acusight::DeviceSelf, Flushed, CLIENTS, selves;
    "zstack register": zstack::Register, Flushed, CLIENTS, registers;
    "zstack auto-register heartbeat": zstack::AutoRegisterHeartbeat, Flushed, CLIENTS, auto_registers;
    "zstack list by lifecycle status": zstack::ListByLifecycleStatus, Flushed, CLIENTS, lists;
    "zstack send action, the same again": zstack::SendAction, Flushed, CLIENTS, actions;
    "zstack get action result": zstack::GetActionResult, Flushed, CLIENTS, action_results;
    "agentmc instructions": agentmc::Instructions, Flushed, CLIENTS, instructions;
    "achilles enrol": achilles::Enroll, Flushed, CLIENTS, enrolments;
    "achilles poll, nothing to do": achilles::PollTasks, Flushed, CLIENTS, polls;
    "achilles report result, mostly again": achilles::ReportResult, Flushed, CLIENTS, results;
    "achilles report status, mostly again": achilles::ReportStatus, Flushed, CLIENTS, statuses;
    "achilles check update": achilles::CheckUpdate, Flushed, CLIENTS, update_checks;
    "achilles version": achilles::Version, Flushed, CLIENTS, versions;
    "achilles download update, 4 KiB": achilles::DownloadUpdate, Flushed, CLIENTS, updates;
    "achilles download binary, 4 KiB": achilles::DownloadBinary, Flushed, CLIENTS, binaries;
};

fn written<E: Endpoint>(
    credentials: &<E::Auth as Auth>::Credentials,
    now: DateTime<Utc>,
    call: &Call<E>,
) -> Result<http::Request<Bytes>> {
    let mount =
        mounts().iter().find(|mount| mount.vendor == E::Vendor::ID).context("a vendor has a mount")?;
    let base = format!("http://fleet.test{}{}", mount.prefix, mount.base);
    Ok(codec::encode::<E>(&base, credentials, now, call)?)
}

macro_rules! fixture {
    ($path:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../fixtures/", $path, "/request.json")))?
    };
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T> {
    Ok(T::deserialize(value)?)
}

/// A request of each device.
fn of_devices<E: Endpoint<Auth: Auth<Credentials = DeviceKey>>>(
    fleet: &Fleet,
    now: DateTime<Utc>,
    call: impl Fn(&Member) -> Result<Call<E>>,
) -> Requests {
    let one = |device: &Member| written::<E>(&DeviceKey::from(device.key.as_str()), now, &call(device)?);
    fleet.acusight.iter().map(one).collect()
}

fn short_checkins(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    checkins_of(&fleet.acusight, now)
}

/// Check-ins that say nothing but who is there.
pub(crate) fn checkins_of(devices: &[Member], now: DateTime<Utc>) -> Requests {
    let one = |device: &Member| {
        let call = Call::new(acusight::CheckinRequest::new(device.id.as_str()));
        written::<acusight::Checkin>(&DeviceKey::from(device.key.as_str()), now, &call)
    };
    devices.iter().map(one).collect()
}

/// The source's example, without the request for an address to upload to, which hardly any check-in makes.
fn checkins(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let mut body = fixture!("acusight/checkin");
    body["pending_requests"] = json!([]);
    of_devices::<acusight::Checkin>(fleet, now, |device| {
        let mut request: acusight::CheckinRequest = typed(&body)?;
        request.device_id = device.id.as_str().into();
        Ok(Call::new(request))
    })
}

fn images(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let mut body = fixture!("acusight/notify_image");
    let annotation = body["annotations"][0].clone();
    body["annotations"] = vec![annotation; 50].into();
    body["storage_key"] = format!("raw-data/ABCD/2024-01-15/frame-{COUNTER}.jpg").into();
    of_devices::<acusight::NotifyImage>(fleet, now, |device| {
        let mut request: acusight::ImageNotificationRequest = typed(&body)?;
        request.device_id = device.id.as_str().into();
        Ok(Call::new(request))
    })
}

fn device_checkins(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let body = fixture!("acusight/device_checkin");
    of_devices::<acusight::DeviceCheckin>(fleet, now, |_| Ok(Call::new(typed(&body)?)))
}

fn selves(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    of_devices::<acusight::DeviceSelf>(fleet, now, |_| Ok(Call::new(())))
}

fn provisions(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let mut body = fixture!("acusight/provision");
    body["token"] = fleet.provisioning.as_str().into();
    body["device_info"]["device_id"] = format!("NEW:{COUNTER}").into();
    Ok(vec![written::<acusight::Provision>(&(), now, &Call::new(typed(&body)?))?])
}

fn bearer(fleet: &Fleet) -> BearerToken {
    BearerToken::from(fleet.zstack_token.as_str())
}

fn zstack_heartbeats(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let body = fixture!("zstack/heartbeat");
    let one = |agent: &Member| {
        let call = Call::with(AgentPath::new(agent.id.as_str()), typed(&body)?);
        written::<zstack::Heartbeat>(&bearer(fleet), now, &call)
    };
    fleet.zstack.iter().map(one).collect()
}

fn registers(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let mut body = fixture!("zstack/register");
    body["name"] = format!("agent-{COUNTER}").into();
    Ok(vec![written::<zstack::Register>(&bearer(fleet), now, &Call::new(typed(&body)?))?])
}

fn auto_registers(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let mut body = fixture!("zstack/auto_register_heartbeat");
    let mut one = |number| {
        body["agentId"] = format!("own-{number}").into();
        written::<zstack::AutoRegisterHeartbeat>(&bearer(fleet), now, &Call::new(typed(&body)?))
    };
    (0..crate::fleet::OTHERS).map(&mut one).collect()
}

fn lists(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let call = Call::with(LifecycleQuery::new("offline"), ());
    Ok(vec![written::<zstack::ListByLifecycleStatus>(&bearer(fleet), now, &call)?])
}

fn actions(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let path = ActionPath::new(fleet.action.0.as_str(), "restart");
    let call = Call::with(path, zstack::ActionRequest::default());
    Ok(vec![written::<zstack::SendAction>(&bearer(fleet), now, &call)?])
}

fn action_results(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let path = ActionResultPath::new(fleet.action.0.as_str(), fleet.action.1.as_str());
    Ok(vec![written::<zstack::GetActionResult>(&bearer(fleet), now, &Call::with(path, ()))?])
}

fn agentmc_heartbeats(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let mut body = fixture!("agentmc/heartbeat");
    let one = |(number, agent): (usize, &Member)| {
        body["agent"]["id"] = agent.id.parse::<i64>()?.into();
        body["host"]["fingerprint"] = format!("{number:064x}").into();
        let call = Call::with(HostFingerprint::default(), typed(&body)?);
        written::<agentmc::Heartbeat>(&ApiKey::from(agent.key.as_str()), now, &call)
    };
    fleet.agentmc.iter().enumerate().map(one).collect()
}

fn instructions(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let one = |agent: &Member| {
        let call = Call::with(InstructionsParams::default(), ());
        written::<agentmc::Instructions>(&ApiKey::from(agent.key.as_str()), now, &call)
    };
    fleet.agentmc.iter().map(one).collect()
}

fn of_agents<E: Endpoint<Auth: Auth<Credentials = AgentCredentials>>>(
    agents: &[Member],
    now: DateTime<Utc>,
    call: impl Fn() -> Result<Call<E>>,
) -> Requests {
    agents.iter().map(|agent| written::<E>(&credentials(agent), now, &call()?)).collect()
}

fn credentials(agent: &Member) -> AgentCredentials {
    AgentCredentials::new(agent.id.as_str(), agent.key.as_str())
}

fn achilles_heartbeats(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let body = fixture!("achilles/heartbeat");
    of_agents::<achilles::Heartbeat>(&fleet.achilles, now, || {
        let mut request: achilles::HeartbeatRequest = typed(&body)?;
        request.timestamp = Timestamp::seconds(now);
        // What only the first heartbeat after a start has.
        request.reconnect_reason = None;
        Ok(Call::new(request))
    })
}

fn enrolments(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let mut body = fixture!("achilles/enroll");
    body["token"] = fleet.enrolment.as_str().into();
    body["hostname"] = format!("WS-{COUNTER}").into();
    Ok(vec![written::<achilles::Enroll>(&(), now, &Call::new(typed(&body)?))?])
}

fn polls(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    of_agents::<achilles::PollTasks>(&fleet.achilles, now, || Ok(Call::new(())))
}

fn results(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let mut body = fixture!("achilles/report_result");
    let one = |(agent, task): &(Member, String)| {
        body["task_id"] = task.as_str().into();
        let call = Call::with(TaskPath::new(task.as_str()), typed(&body)?);
        written::<achilles::ReportResult>(&credentials(agent), now, &call)
    };
    fleet.tasks.iter().map(one).collect()
}

fn statuses(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    let one = |(agent, task): &(Member, String)| {
        let call = Call::with(TaskPath::new(task.as_str()), TaskStatusUpdate::new(TaskStatus::Downloading));
        written::<achilles::ReportStatus>(&credentials(agent), now, &call)
    };
    fleet.tasks.iter().map(one).collect()
}

fn update_checks(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    of_agents::<achilles::CheckUpdate>(&fleet.achilles, now, || Ok(Call::new(())))
}

fn versions(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    of_agents::<achilles::Version>(&fleet.achilles, now, || Ok(Call::with(RunningVersion::new("0.5.11"), ())))
}

fn updates(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    of_agents::<achilles::DownloadUpdate>(&fleet.achilles, now, || {
        Ok(Call::with(UpdateWish::new("windows".into(), "amd64".into()), ()))
    })
}

fn binaries(fleet: &Fleet, now: DateTime<Utc>) -> Requests {
    of_agents::<achilles::DownloadBinary>(&fleet.achilles, now, || {
        Ok(Call::with(BinaryWish::new(BINARY), ()))
    })
}
