//! Everything that can go wrong between an agent and its server, over real sockets: each row of the table of
//! faults, for every operation it applies to. Whatever is refused leaves nothing behind, and the server goes on.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use fleetwire_protocol::{Endpoint, achilles, acusight, agentmc, zstack};
use fleetwire_server::Settings;
use fleetwire_server_core::domain::{
    Agent, Announced, Asked, BatchLimits, Binary, Credential, DEFAULT_TENANT, Delivery, Enrolled, Enrolment,
    Execution, FindingFilter, FoundRow, Freed, HandedOver, HostReport, Hosted, Instructions, Kind, Model,
    ModelReport, NewAgent, NewImage, NewToken, NewWork, No, Observation, Queued, Reconciled, Recorded,
    Release, Reported, SigningKey, Standing, Swept, Token, Vendor, Work, WorkFilter, WorkReport,
};
use fleetwire_server_core::domain::{Batch, BatchFilter, ImageFilter, ImageRow};
use fleetwire_server_core::events::{Event, EventQuery, NewEvent};
use fleetwire_server_core::keys::{Digest, Foundation};
use fleetwire_server_core::lease::{Downtime, LeaseRow, Sample};
use fleetwire_server_core::operator::{Registration, WorkWish};
use fleetwire_server_core::store::{
    Catalogue, Directory, Founding, Images, Journal, Keys, Leases, MemoryStore, Outcome, Restored,
    StoreError, Taker, WorkQueue,
};
use fleetwire_server_core::{Clock, Config, Rate};
use fleetwire_validation::{MAX_OPEN_MEMBERS, MAX_REPORTED};
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use support::{Answer, Ask, Connection, TestClock, TestServer, in_time};

mod support;

// ---------------------------------------------------------------------------------------------------------
// A store that fails when it is told to.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Corrupt,
    Unavailable,
}

/// What a store says of its insides, and nobody else may.
const INSIDES: &str = "table agents, page 17 of /srv/fleet.db";

#[derive(Debug, Clone, Default)]
struct FaultyStore(Arc<FaultyState>);

#[derive(Debug, Default)]
struct FaultyState {
    memory: MemoryStore,
    failure: Mutex<Option<Failure>>,
    /// Where those wait who ask for a key, if they are to.
    gate: Mutex<Option<Arc<Semaphore>>>,
    waiting: AtomicUsize,
}

impl FaultyStore {
    fn fail(&self, failure: impl Into<Option<Failure>>) {
        *self.0.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure.into();
    }

    fn open(&self) -> Outcome<&MemoryStore> {
        match *self.0.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(&self.0.memory),
            Some(Failure::Corrupt) => Err(StoreError::Corrupt(INSIDES.to_owned())),
            Some(Failure::Unavailable) => Err(StoreError::Unavailable(INSIDES.to_owned())),
        }
    }
}

impl Founding for FaultyStore {
    async fn found(&self, fresh: Foundation) -> Outcome<(Foundation, bool)> {
        self.open()?.found(fresh).await
    }
    async fn restore(&self) -> Outcome<Restored> {
        self.open()?.restore().await
    }
    async fn restore_agents(&self, numbers: RangeInclusive<No>, take: Taker) -> Outcome<()> {
        self.open()?.restore_agents(numbers, take).await
    }
}

impl Directory for FaultyStore {
    async fn credential(&self, digest: Digest) -> Outcome<Option<Credential>> {
        let gate = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(gate) = gate {
            self.0.waiting.fetch_add(1, Ordering::SeqCst);
            drop(gate.acquire().await);
        }
        self.open()?.credential(digest).await
    }
    async fn agent(&self, no: No) -> Outcome<Option<Agent>> {
        self.open()?.agent(no).await
    }
    async fn agent_named(
        &self,
        tenant: No,
        vendor: Vendor,
        kind: Kind,
        id: String,
    ) -> Outcome<Option<Agent>> {
        self.open()?.agent_named(tenant, vendor, kind, id).await
    }
    async fn register(&self, agent: NewAgent) -> Outcome<Agent> {
        self.open()?.register(agent).await
    }
    async fn announce(&self, agent: NewAgent, most: u64) -> Outcome<Announced> {
        self.open()?.announce(agent, most).await
    }
    async fn observe(&self, no: No, seen: Observation, at: DateTime<Utc>) -> Outcome<Agent> {
        self.open()?.observe(no, seen, at).await
    }
    async fn stand(&self, no: No, standing: Standing, at: DateTime<Utc>) -> Outcome<Agent> {
        self.open()?.stand(no, standing, at).await
    }
    async fn report_host(&self, report: HostReport) -> Outcome<Hosted> {
        self.open()?.report_host(report).await
    }
}

impl Keys for FaultyStore {
    async fn issue_token(&self, token: NewToken) -> Outcome<Token> {
        self.open()?.issue_token(token).await
    }
    async fn tokens(&self, tenant: No) -> Outcome<Vec<Token>> {
        self.open()?.tokens(tenant).await
    }
    async fn revoke_token(&self, tenant: No, id: String, at: DateTime<Utc>) -> Outcome<bool> {
        self.open()?.revoke_token(tenant, id, at).await
    }
    async fn enroll(&self, enrolment: Enrolment) -> Outcome<Enrolled> {
        self.open()?.enroll(enrolment).await
    }
    async fn add_key(&self, digest: Digest, credential: Credential) -> Outcome<()> {
        self.open()?.add_key(digest, credential).await
    }
    async fn offer_key(&self, no: No, rotation: u32, digest: Digest, at: DateTime<Utc>) -> Outcome<Agent> {
        self.open()?.offer_key(no, rotation, digest, at).await
    }
    async fn replace_keys(&self, no: No, digest: Digest, at: DateTime<Utc>) -> Outcome<Agent> {
        self.open()?.replace_keys(no, digest, at).await
    }
    async fn settle_key(&self, digest: Digest, at: DateTime<Utc>) -> Outcome<Agent> {
        self.open()?.settle_key(digest, at).await
    }
}

impl Leases for FaultyStore {
    async fn flush(&self, leases: Vec<LeaseRow>, events: Vec<NewEvent>, now: DateTime<Utc>) -> Outcome<()> {
        self.open()?.flush(leases, events, now).await
    }
    async fn history(&self, agent: No, since: DateTime<Utc>) -> Outcome<Vec<Sample>> {
        self.open()?.history(agent, since).await
    }
}

impl WorkQueue for FaultyStore {
    async fn queue(&self, work: NewWork) -> Outcome<Queued> {
        self.open()?.queue(work).await
    }
    async fn ask(&self, work: NewWork, most: u32) -> Outcome<Asked> {
        self.open()?.ask(work, most).await
    }
    async fn deliver(&self, agent: No, delivery: Delivery, at: DateTime<Utc>) -> Outcome<HandedOver> {
        self.open()?.deliver(agent, delivery, at).await
    }
    async fn report_work(&self, report: WorkReport) -> Outcome<Reported> {
        self.open()?.report_work(report).await
    }
    async fn take_work(&self, tenant: No, id: String, at: DateTime<Utc>) -> Outcome<Reported> {
        self.open()?.take_work(tenant, id, at).await
    }
    async fn cancel_work(&self, tenant: No, id: String, at: DateTime<Utc>) -> Outcome<Reported> {
        self.open()?.cancel_work(tenant, id, at).await
    }
    async fn give_up_work(&self, agents: Vec<No>, at: DateTime<Utc>) -> Outcome<Swept> {
        self.open()?.give_up_work(agents, at).await
    }
    async fn sweep_work(&self, at: DateTime<Utc>, limit: u32) -> Outcome<Swept> {
        self.open()?.sweep_work(at, limit).await
    }
    async fn excuse(&self, downtime: Downtime) -> Outcome<()> {
        self.open()?.excuse(downtime).await
    }
    async fn work_named(&self, tenant: No, id: String) -> Outcome<Option<(Work, Vec<Execution>)>> {
        self.open()?.work_named(tenant, id).await
    }
    async fn findings(&self, tenant: No, filter: FindingFilter) -> Outcome<Vec<FoundRow>> {
        self.open()?.findings(tenant, filter).await
    }
    async fn reconcile_model(&self, report: ModelReport) -> Outcome<Reconciled> {
        self.open()?.reconcile_model(report).await
    }
    async fn work(&self, tenant: No, filter: WorkFilter) -> Outcome<Vec<Work>> {
        self.open()?.work(tenant, filter).await
    }
}

impl Catalogue for FaultyStore {
    async fn add_model(&self, model: Model) -> Outcome<()> {
        self.open()?.add_model(model).await
    }
    async fn set_desired_model(&self, no: No, model: String, at: DateTime<Utc>) -> Outcome<Agent> {
        self.open()?.set_desired_model(no, model, at).await
    }
    async fn set_instructions(&self, files: Instructions) -> Outcome<()> {
        self.open()?.set_instructions(files).await
    }
    async fn drop_instructions(&self, tenant: No, agent: Option<No>) -> Outcome<bool> {
        self.open()?.drop_instructions(tenant, agent).await
    }
    async fn instructions(&self, tenant: No, agent: Option<No>) -> Outcome<Option<Instructions>> {
        self.open()?.instructions(tenant, agent).await
    }
    async fn models(&self, tenant: No) -> Outcome<Vec<Model>> {
        self.open()?.models(tenant).await
    }
    async fn remove_model(&self, tenant: No, id: String) -> Outcome<Freed> {
        self.open()?.remove_model(tenant, id).await
    }
    async fn releases(&self, tenant: No) -> Outcome<Vec<Release>> {
        self.open()?.releases(tenant).await
    }
    async fn remove_release(&self, tenant: No, no: No) -> Outcome<Freed> {
        self.open()?.remove_release(tenant, no).await
    }
    async fn put_binary(&self, binary: Binary) -> Outcome<Freed> {
        self.open()?.put_binary(binary).await
    }
    async fn binary(&self, tenant: No, name: String) -> Outcome<Option<Binary>> {
        self.open()?.binary(tenant, name).await
    }
    async fn binaries(&self, tenant: No) -> Outcome<Vec<Binary>> {
        self.open()?.binaries(tenant).await
    }
    async fn remove_binary(&self, tenant: No, name: String) -> Outcome<Freed> {
        self.open()?.remove_binary(tenant, name).await
    }
    async fn signing_keys(&self) -> Outcome<Vec<SigningKey>> {
        self.open()?.signing_keys().await
    }
    async fn add_signing_key(&self, seed: [u8; 32], at: DateTime<Utc>) -> Outcome<SigningKey> {
        self.open()?.add_signing_key(seed, at).await
    }
    async fn retire_signing_key(&self, no: No, at: DateTime<Utc>) -> Outcome<SigningKey> {
        self.open()?.retire_signing_key(no, at).await
    }
    async fn add_release(&self, release: Release) -> Outcome<Release> {
        self.open()?.add_release(release).await
    }
    async fn latest_release(&self, tenant: No, os: String, arch: String) -> Outcome<Option<Release>> {
        self.open()?.latest_release(tenant, os, arch).await
    }
}

impl Journal for FaultyStore {
    async fn events(&self, tenant: No, query: EventQuery) -> Outcome<Vec<Event>> {
        self.open()?.events(tenant, query).await
    }
    async fn forget_events(&self, before: DateTime<Utc>, limit: u32) -> Outcome<u32> {
        self.open()?.forget_events(before, limit).await
    }
}

impl Images for FaultyStore {
    async fn record_image(&self, image: NewImage, limits: BatchLimits) -> Outcome<Recorded> {
        self.open()?.record_image(image, limits).await
    }
    async fn close_old_batches(&self, age: Duration, at: DateTime<Utc>, limit: u32) -> Outcome<u32> {
        self.open()?.close_old_batches(age, at, limit).await
    }
    async fn close_batch(&self, tenant: No, id: String, at: DateTime<Utc>) -> Outcome<Option<Batch>> {
        self.open()?.close_batch(tenant, id, at).await
    }
    async fn batch_named(&self, tenant: No, id: String) -> Outcome<Option<Batch>> {
        self.open()?.batch_named(tenant, id).await
    }
    async fn batches(&self, tenant: No, filter: BatchFilter) -> Outcome<Vec<Batch>> {
        self.open()?.batches(tenant, filter).await
    }
    async fn images(&self, tenant: No, filter: ImageFilter) -> Outcome<Vec<ImageRow>> {
        self.open()?.images(tenant, filter).await
    }
}

// ---------------------------------------------------------------------------------------------------------
// A fleet with agents of every dialect, and one good request of every operation.

/// A tenant beside the one that operators have.
const OTHER_TENANT: No = 2;

const DEVICE: &str = "ABCD:1234:5678:EFGH";
const ZSTACK_AGENT: &str = "agent-abc123-def456";
const FINGERPRINT: &str = "a3f56f330f311a2159f8c101eaf1439a29f1d57f007375d56aa79f304bc4f112";
const HOSTED_AGENT: No = 42;
const ACHILLES_AGENT: &str = "6f1c1c52-0f5f-4f6e-9a43-1f0b1c2d3e4f";

/// The same of a second agent of each dialect, and of agents of the other tenant.
const SECOND: Ids = Ids {
    device: "SECOND:DEVICE",
    zstack: "agent-second",
    fingerprint: "second-host-second-host-second-host-second-host-second-host-second",
    hosted: 43,
    achilles: "00000000-0000-4000-8000-000000000002",
};
const FOREIGN: Ids = Ids {
    device: "FOREIGN:DEVICE",
    zstack: "agent-foreign",
    fingerprint: "foreign-host-foreign-host-foreign-host-foreign-host-foreign-host-f",
    hosted: 9043,
    achilles: "00000000-0000-4000-8000-000000000003",
};
const FOREIGN_TASK: &str = "task-of-the-other-tenant";
/// Ids that nobody has.
const UNKNOWN: Ids = Ids {
    device: "NOBODY:DEVICE",
    zstack: "agent-nobody",
    fingerprint: "unknown-host-unknown-host-unknown-host-unknown-host-unknown-host-u",
    hosted: 7777,
    achilles: "00000000-0000-4000-8000-000000000009",
};

struct Ids {
    device: &'static str,
    zstack: &'static str,
    fingerprint: &'static str,
    hosted: No,
    achilles: &'static str,
}

/// A request that is served, and what is known of its operation.
#[derive(Clone)]
struct Operation {
    id: &'static str,
    vendor: Vendor,
    good: Ask,
    /// The status of success.
    success: u16,
    /// The most bytes that its body may have; `None` if it has none.
    limit: Option<usize>,
    /// A required member and a value of the wrong type for it.
    wrong_type: Option<(&'static str, Value)>,
}

impl Operation {
    fn of<E: Endpoint>(vendor: Vendor, success: u16, good: Ask) -> Self {
        let limit = (!good.body.is_empty()).then_some(E::BODY_LIMIT);
        Self { id: E::ID, vendor, good, success, limit, wrong_type: None }
    }

    fn wrong(self, member: &'static str, value: Value) -> Self {
        Self { wrong_type: Some((member, value)), ..self }
    }

    fn body(&self) -> Value {
        serde_json::from_slice(&self.good.body).unwrap()
    }

    /// Its good request with a member changed; the place is in dots.
    fn with(&self, place: &str, value: Value) -> Ask {
        let mut body = self.body();
        *body.pointer_mut(&pointer(place)).unwrap() = value;
        self.good.clone().json(&body)
    }

    /// Its good request without a member.
    fn lacking(&self, place: &str) -> Ask {
        let mut body = self.body();
        let (parent, member) = place.rsplit_once('.').unwrap_or(("", place));
        let parent = if parent.is_empty() { String::new() } else { pointer(parent) };
        body.pointer_mut(&parent).unwrap().as_object_mut().unwrap().remove(member).unwrap();
        self.good.clone().json(&body)
    }
}

fn pointer(place: &str) -> String {
    format!("/{}", place.replace('.', "/"))
}

struct Fleet {
    server: TestServer<FaultyStore>,
    store: FaultyStore,
    /// A good key of each dialect: of the device, of all ZStack agents, of the host, of the Achilles agent.
    keys: BTreeMap<Vendor, String>,
    /// A key of the one ZStack agent.
    bound_key: String,
    /// A key of all AgentMC hosts.
    all_hosts_key: String,
    enrollment_token: String,
    /// Work of the Achilles agent: handed over, and waiting behind it.
    task: String,
    waiting_task: String,
    /// Work of the second one.
    second_task: String,
}

/// Settings under which leases are written only when a test says so.
fn calm() -> Settings {
    Settings { flush_interval: Duration::from_secs(3600), ..Settings::default() }
}

impl Fleet {
    async fn start() -> Self {
        Self::with(Config::default(), calm()).await
    }

    /// Starts a server, registers agents and lets each of them sign in once.
    async fn with(config: Config, settings: Settings) -> Self {
        let store = FaultyStore::default();
        let clock = TestClock::new();
        settle_other_tenant(&store, clock.now()).await;
        let server = TestServer::start(store.clone(), clock, config, settings).await;
        let core = &server.core;

        let register = async |vendor, kind, no, id: Option<&str>| {
            let facts = json!({ "hostname": "WORKSTATION-01", "os": "windows", "arch": "amd64" });
            let wish = Registration {
                vendor,
                kind,
                no,
                id: id.map(str::to_owned),
                name: None,
                facts: facts.as_object().unwrap().clone(),
                labels: BTreeMap::new(),
            };
            core.register(DEFAULT_TENANT, wish).await.unwrap().1
        };
        let device_key = register(Vendor::Acusight, Kind::Agent, None, Some(DEVICE)).await;
        register(Vendor::Acusight, Kind::Agent, None, Some(SECOND.device)).await;
        let bound_key = register(Vendor::ZStack, Kind::Agent, None, Some(ZSTACK_AGENT)).await;
        register(Vendor::ZStack, Kind::Agent, None, Some(SECOND.zstack)).await;
        let host_key = register(Vendor::AgentMc, Kind::Host, None, Some(FINGERPRINT)).await;
        let second_host_key = register(Vendor::AgentMc, Kind::Host, None, Some(SECOND.fingerprint)).await;
        register(Vendor::AgentMc, Kind::Agent, Some(HOSTED_AGENT), None).await;
        let all_hosts_key = server.core.issue_tenant_key(DEFAULT_TENANT, Vendor::AgentMc).await.unwrap();
        register(Vendor::AgentMc, Kind::Agent, Some(SECOND.hosted), None).await;
        let agent_key = register(Vendor::Achilles, Kind::Agent, None, Some(ACHILLES_AGENT)).await;
        register(Vendor::Achilles, Kind::Agent, None, Some(SECOND.achilles)).await;
        let zstack_key = core.issue_tenant_key(DEFAULT_TENANT, Vendor::ZStack).await.unwrap();
        let hour = Duration::from_secs(3600);
        let (_, enrollment_token) =
            core.issue_token(DEFAULT_TENANT, Vendor::Achilles, hour, 10).await.unwrap();

        let queue = async |agent: &str, priority| {
            let payload = json!({ "command": "id", "arguments": [] }).as_object().unwrap().clone();
            let kind = "execute_command".to_owned();
            let wish = WorkWish { kind, payload, priority: Some(priority), ..WorkWish::default() };
            let queued = core.queue_work(DEFAULT_TENANT, Vendor::Achilles, agent, wish).await.unwrap();
            queued.0.work.id
        };
        let task = queue(ACHILLES_AGENT, 10).await;
        let waiting_task = queue(ACHILLES_AGENT, 1).await;
        let second_task = queue(SECOND.achilles, 1).await;

        let keys = BTreeMap::from([
            (Vendor::Acusight, device_key),
            (Vendor::ZStack, zstack_key),
            (Vendor::AgentMc, host_key),
            (Vendor::Achilles, agent_key),
        ]);
        let fleet = Self {
            server,
            store,
            keys,
            bound_key,
            all_hosts_key,
            enrollment_token,
            task,
            waiting_task,
            second_task,
        };
        // What is not about sign-in must not meet a first one; and the second host gets its agent.
        for id in ["acusight.checkin", "zstack.heartbeat", "agentmc.heartbeat", "achilles.poll_tasks"] {
            fleet.goes_on(id).await;
        }
        let bound = with_key(&fleet.operation("zstack.heartbeat").good, Vendor::ZStack, &fleet.bound_key);
        assert_eq!(fleet.server.ask(&bound).await.status, 200);
        let heartbeat = fleet.operation("agentmc.heartbeat");
        let mut body = heartbeat.body();
        body["host"]["fingerprint"] = json!(SECOND.fingerprint);
        body["agent"]["id"] = json!(SECOND.hosted);
        let ask = heartbeat.good.json(&body).header("X-Api-Key", &second_host_key);
        assert_eq!(fleet.server.ask(&ask).await.status, 200);
        fleet
    }

    fn key(&self, vendor: Vendor) -> &str {
        &self.keys[&vendor]
    }

    /// Every operation with a request that is good at this moment.
    fn operations(&self) -> Vec<Operation> {
        let now = self.server.clock.text(0);
        let acusight = |path: &str, body: Value| {
            let path = format!("/acusight/api{path}");
            Ask::new("POST", &path).header("X-Device-Key", self.key(Vendor::Acusight)).json(&body)
        };
        let agentmc = |path: &str| {
            let path = format!("/agentmc/api/v1{path}");
            Ask::new("POST", &path).header("X-Api-Key", self.key(Vendor::AgentMc)).json(&host_heartbeat())
        };
        let achilles = |method: &str, path: &str| {
            Ask::new(method, &format!("/achilles/api/agent{path}"))
                .header("X-Agent-Key", self.key(Vendor::Achilles))
                .header("X-Agent-ID", ACHILLES_AGENT)
                .header("X-Request-Timestamp", &now)
        };
        vec![
            Operation::of::<acusight::Checkin>(
                Vendor::Acusight,
                200,
                acusight(
                    "/core/agent/checkin",
                    json!({
                        "device_id": DEVICE, "status": "healthy", "ip_address": "192.168.1.50",
                        "pending_requests": [{ "type": "upload_url", "payload": { "count": 3 } }]
                    }),
                ),
            )
            .wrong("device_id", json!(7)),
            Operation::of::<acusight::NotifyImage>(
                Vendor::Acusight,
                201,
                acusight(
                    "/data/agent/images/notify",
                    json!({
                        "device_id": DEVICE, "filename": "frame.jpg", "storage_key": "raw/frame.jpg",
                        "width": 1920, "height": 1080,
                        "annotations": [
                            { "class_value": "defect", "confidence": 0.87, "x_center": 0.52,
                              "y_center": 0.48, "width": 0.2, "height": 0.1 },
                            { "class_value": "ok", "confidence": 1, "x_center": 0.5 }
                        ]
                    }),
                ),
            )
            .wrong("width", json!("wide")),
            Operation::of::<zstack::Heartbeat>(
                Vendor::ZStack,
                200,
                Ask::new("PUT", &format!("/zstack/api/v1/agents/{ZSTACK_AGENT}/heartbeat"))
                    .header("Authorization", &format!("Bearer {}", self.key(Vendor::ZStack)))
                    .json(
                        &json!({ "version": "1.2.3", "uptime": 86400, "cpuUsage": 12.5, "memUsage": 35.2 }),
                    ),
            )
            .wrong("version", json!(true)),
            Operation::of::<agentmc::Heartbeat>(Vendor::AgentMc, 200, agentmc("/agents/heartbeat"))
                .wrong("host.name", json!(5)),
            Operation::of::<agentmc::Heartbeat>(Vendor::AgentMc, 200, agentmc("/hosts/heartbeat"))
                .wrong("host.meta.disk.total_bytes", json!([])),
            Operation::of::<achilles::Enroll>(
                Vendor::Achilles,
                201,
                Ask::new("POST", "/achilles/api/agent/enroll").json(&json!({
                    "token": self.enrollment_token, "hostname": "NEWCOMER", "os": "linux",
                    "arch": "arm64", "agent_version": "0.5.11"
                })),
            )
            .wrong("hostname", json!({})),
            Operation::of::<achilles::Heartbeat>(
                Vendor::Achilles,
                200,
                achilles("POST", "/heartbeat").json(&json!({
                    "timestamp": now, "status": "idle", "current_task": null,
                    "system": {
                        "hostname": "WORKSTATION-01", "os": "windows", "arch": "amd64",
                        "uptime_seconds": 86400, "cpu_percent": 15, "memory_mb": 4096,
                        "disk_free_mb": 50000, "process_cpu_percent": 2, "process_memory_mb": 25
                    },
                    "agent_version": "0.5.11", "last_task_completed": null
                })),
            )
            .wrong("system.cpu_percent", json!("busy")),
            Operation::of::<achilles::PollTasks>(Vendor::Achilles, 200, achilles("GET", "/tasks")),
            Operation::of::<achilles::ReportResult>(
                Vendor::Achilles,
                200,
                achilles("POST", &format!("/tasks/{}/result", self.task)).json(&json!({
                    "task_id": self.task, "test_uuid": "", "exit_code": 0, "stdout": "done\n", "stderr": "",
                    "started_at": now, "completed_at": now, "execution_duration_ms": 12.25,
                    "binary_sha256": "", "hostname": "WORKSTATION-01", "os": "windows", "arch": "amd64"
                })),
            )
            .wrong("exit_code", json!("zero")),
            Operation::of::<achilles::CheckUpdate>(Vendor::Achilles, 200, achilles("GET", "/update")),
        ]
    }

    /// An operation by its id; of AgentMC's two paths the first.
    fn operation(&self, id: &str) -> Operation {
        self.operations().into_iter().find(|operation| operation.id == id).unwrap()
    }

    /// All that is kept, in the store and in memory.
    async fn kept(&self) -> String {
        self.server.core.flush().await.unwrap();
        let agents = [DEFAULT_TENANT, OTHER_TENANT].map(|tenant| self.server.core.agents(tenant));
        format!("{:?}\n{agents:?}", self.store.0.memory)
    }

    /// A good request on a new connection is served.
    async fn goes_on(&self, id: &str) {
        let operation = self.operation(id);
        let answer = self.server.ask(&operation.good).await;
        assert_eq!(answer.status, operation.success, "{id}: {}", String::from_utf8_lossy(&answer.body));
    }

    /// Does something hostile to an operation. Nothing may be kept of it, and good requests must be served
    /// afterwards.
    async fn suffer<T>(&self, operation: &Operation, hostile: impl Future<Output = T>) -> T {
        // A renewed lease would show a later time.
        self.server.clock.advance(1);
        let before = self.kept().await;
        let outcome = hostile.await;
        let after = self.kept().await;
        let same = before.bytes().zip(after.bytes()).take_while(|(before, after)| before == after).count();
        let shown = String::from_utf8_lossy(&after.as_bytes()[same.saturating_sub(300)..]);
        assert!(after == before, "{}: something was stored: {shown:.600}", operation.id);
        self.goes_on(operation.id).await;
        outcome
    }

    /// Sends a request that is refused.
    async fn refused(&self, operation: &Operation, ask: &Ask) -> Refused {
        let answer = self.suffer(operation, self.server.ask(ask)).await;
        Refused::read(operation.vendor, &answer)
    }

    /// Sends bytes, and reads the answer if there is one.
    async fn refused_bytes(&self, operation: &Operation, bytes: &[u8]) -> Option<Answer> {
        let hostile = async {
            let mut connection = self.server.connect().await;
            connection.send(bytes).await;
            connection.receive().await
        };
        self.suffer(operation, hostile).await
    }

    /// Sends a request whose head is all that will ever come of it.
    async fn refused_head(&self, operation: &Operation, ask: &Ask) -> Refused {
        let answer = self.refused_bytes(operation, ask.head().as_bytes()).await;
        Refused::read(operation.vendor, &answer.unwrap())
    }
}

/// Agents, keys and work of a tenant that no operator of the server sees.
async fn settle_other_tenant(store: &FaultyStore, at: DateTime<Utc>) {
    let agents = [
        (Vendor::Acusight, Kind::Agent, None, Some(FOREIGN.device)),
        (Vendor::ZStack, Kind::Agent, None, Some(FOREIGN.zstack)),
        (Vendor::AgentMc, Kind::Host, None, Some(FOREIGN.fingerprint)),
        (Vendor::AgentMc, Kind::Agent, Some(FOREIGN.hosted), None),
        (Vendor::Achilles, Kind::Agent, None, Some(FOREIGN.achilles)),
    ];
    for (vendor, kind, no, id) in agents {
        let agent = NewAgent {
            tenant: OTHER_TENANT,
            vendor,
            kind,
            no,
            id: id.map(str::to_owned),
            parent: None,
            name: "foreign".to_owned(),
            version: None,
            facts: Map::new(),
            labels: BTreeMap::new(),
            key: Some(Digest::of(&foreign_key(vendor, kind))),
            at,
        };
        let agent = store.register(agent).await.unwrap();
        if vendor == Vendor::Achilles {
            let work = NewWork {
                id: FOREIGN_TASK.to_owned(),
                tenant: OTHER_TENANT,
                agent: agent.no,
                key: None,
                kind: "execute_command".to_owned(),
                payload: Map::new(),
                priority: 1,
                not_before: None,
                ttl: Duration::from_secs(3600),
                timeout: None,
                max_retries: 0,
                at,
            };
            store.queue(work).await.unwrap();
            store.deliver(agent.no, Delivery::All, at).await.unwrap();
        }
    }
}

fn foreign_key(vendor: Vendor, kind: Kind) -> String {
    format!("foreign_{vendor}_{}", kind.as_str())
}

fn host_heartbeat() -> Value {
    json!({
        "meta": {
            "type": "codex",
            "runtime": { "name": "openclaw", "version": "2026.2.26", "build": "bc50708", "mode": "openclaw" },
            "openclaw_version": "2026.2.26", "openclaw_build": "bc50708", "models": ["openai/gpt-5-codex"],
            "node_version": "v22.14.0", "runtime_mode": "openclaw",
            "tool_availability": { "chat_realtime": true }
        },
        "host": {
            "fingerprint": FINGERPRINT,
            "name": "worker-01",
            "meta": {
                "hostname": "worker-01", "ip": "10.0.2.15",
                "network": { "private_ip": "10.0.2.15", "public_ip": "34.222.10.10" },
                "os": "Ubuntu", "os_version": "24.04", "arch": "x86_64", "cpu": "Intel Xeon", "cpu_cores": 8,
                "ram_gb": 32, "disk": { "total_bytes": 536_870_912_000_u64, "free_bytes": 322_122_547_200_u64 },
                "uptime_seconds": 86400, "runtime": { "name": "codex", "version": "2026.02.1" }
            }
        },
        "agent": { "id": HOSTED_AGENT, "name": "Jarvis", "identity": { "name": "Jarvis" } }
    })
}

/// A refusal in a vendor's envelope, whose shape has been checked.
#[derive(Debug)]
struct Refused {
    status: u16,
    /// What tells its kind: the code where the vendor has one, else the text.
    kind: String,
    /// The places in the request that it names, in dots.
    places: BTreeSet<String>,
    answer: Answer,
}

impl Refused {
    #[track_caller]
    fn read(vendor: Vendor, answer: &Answer) -> Self {
        assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
        let body = answer.json();
        let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (kind, places) = match vendor {
            Vendor::Acusight => {
                let map: BTreeMap<String, String> = serde_json::from_value(body).expect("a flat map of text");
                let places = map.keys().filter(|name| *name != "error").cloned().collect();
                (map["error"].clone(), places)
            }
            Vendor::ZStack => {
                assert_eq!(members(&body), ["error"]);
                let error = &body["error"];
                assert_eq!(members(error), ["code", "description", "details"]);
                let code = text(&error["code"]);
                let places = if code == "SYS.1007" {
                    let faults = text(&error["details"]);
                    let places = faults.split("; ").map(|fault| fault.split(": ").next().unwrap());
                    let bare =
                        |place: &str| place.rsplit(' ').next().unwrap().trim_start_matches('/').to_owned();
                    places.map(|place| bare(place).replace('/', ".")).collect()
                } else {
                    BTreeSet::new()
                };
                (code, places)
            }
            Vendor::AgentMc => {
                assert_eq!(members(&body), ["error"]);
                let error = &body["error"];
                assert!(!text(&error["message"]).is_empty());
                let fields = error.pointer("/details/fields").map(members).unwrap_or_default();
                for field in &fields {
                    let texts = error["details"]["fields"][field].as_array().unwrap();
                    assert!(texts.iter().all(Value::is_string) && !texts.is_empty(), "{error}");
                }
                (text(&error["code"]), BTreeSet::from_iter(fields))
            }
            Vendor::Achilles => {
                assert_eq!(body["success"], false);
                let details = body["details"].as_array().cloned().unwrap_or_default();
                for detail in &details {
                    assert_eq!(members(detail), ["message", "path"]);
                    assert!(!text(&detail["message"]).is_empty());
                }
                (text(&body["error"]), details.iter().map(|detail| text(&detail["path"])).collect())
            }
        };
        Self { status: answer.status, kind, places, answer: answer.clone() }
    }

    #[track_caller]
    fn is(&self, status: u16, kind: &str) {
        assert_eq!((self.status, self.kind.as_str()), (status, kind), "{self:?}");
        assert!(self.places.is_empty(), "{self:?}");
    }

    /// Whether it is what each vendor says to a request of the wrong form, and names these places.
    #[track_caller]
    fn names(&self, vendor: Vendor, places: &[&str]) {
        let (status, kind) = match vendor {
            Vendor::Acusight => (400, "invalid request payload: "),
            Vendor::ZStack => (400, "SYS.1007"),
            Vendor::AgentMc => (422, "validation.failed"),
            Vendor::Achilles => (400, "Validation failed: "),
        };
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.kind.starts_with(kind), "{self:?}");
        let places: BTreeSet<String> = places.iter().map(|place| (*place).to_owned()).collect();
        assert_eq!(self.places, places, "{self:?}");
    }
}

/// What each vendor says to a stranger.
const fn stranger(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Acusight => "missing or invalid device key",
        Vendor::ZStack => "SYS.1002",
        Vendor::AgentMc => "auth.invalid_api_key",
        Vendor::Achilles => "Invalid agent credentials",
    }
}

const fn key_header(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Acusight => "X-Device-Key",
        Vendor::ZStack => "Authorization",
        Vendor::AgentMc => "X-Api-Key",
        Vendor::Achilles => "X-Agent-Key",
    }
}

fn with_key(ask: &Ask, vendor: Vendor, key: &str) -> Ask {
    let value = if vendor == Vendor::ZStack { format!("Bearer {key}") } else { key.to_owned() };
    ask.clone().header(key_header(vendor), &value)
}

// ---------------------------------------------------------------------------------------------------------
// Who is calling.

#[tokio::test]
async fn bad_keys_are_refused_in_each_vendors_words_whatever_the_body_says() {
    let fleet = Fleet::start().await;
    for operation in fleet.operations() {
        if operation.id == "achilles.enroll" {
            continue;
        }
        let (vendor, good) = (operation.vendor, &operation.good);
        let mut bad = vec![
            good.clone().without(key_header(vendor)),
            good.clone().header(key_header(vendor), ""),
            with_key(good, vendor, ""),
            with_key(good, vendor, "unknown"),
            with_key(good, vendor, &fleet.key(vendor)[..fleet.key(vendor).len() - 1]),
            with_key(good, vendor, &format!("{}0", fleet.key(vendor))),
            with_key(good, vendor, &fleet.key(vendor).to_uppercase()),
            // Not ASCII, and very long.
            with_key(good, vendor, "kéy"),
            with_key(good, vendor, &"k".repeat(8000)),
            // An enrolment token is no key, nor is the operator's.
            with_key(good, vendor, &fleet.enrollment_token),
            with_key(good, vendor, fleet.server.operator.as_deref().unwrap()),
        ];
        for other in Vendor::ALL {
            if other != vendor {
                // Somebody else's key in the right place, and in the place where it is good.
                bad.push(with_key(good, vendor, fleet.key(other)));
                bad.push(with_key(&good.clone().without(key_header(vendor)), other, fleet.key(other)));
            }
        }
        if vendor == Vendor::ZStack {
            let key = fleet.key(vendor);
            for value in
                [key.to_owned(), format!("bearer {key}"), format!("Basic {key}"), format!("Bearer  {key}")]
            {
                bad.push(good.clone().header("Authorization", &value));
            }
        }
        let mut answers = BTreeSet::new();
        for ask in &bad {
            let refused = fleet.refused(&operation, ask).await;
            refused.is(401, stranger(vendor));
            answers.insert(refused.answer.body);
        }
        let unknown = with_key(good, vendor, "unknown");
        if operation.limit.is_some() {
            for body in [&b"{"[..], b"", b"\xff", b"[]", b"{}"] {
                let refused = fleet.refused(&operation, &unknown.clone().body(body)).await;
                refused.is(401, stranger(vendor));
                answers.insert(refused.answer.body);
            }
            fleet
                .refused(&operation, &unknown.clone().header("Content-Type", "text/plain"))
                .await
                .is(401, stranger(vendor));
        }
        // No byte of the body is waited for.
        for length in ["99999999", "5"] {
            let announced = unknown.clone().header("Content-Length", length);
            fleet.refused_head(&operation, &announced).await.is(401, stranger(vendor));
        }
        assert_eq!(answers.len(), 1, "{}: a stranger is not told what was wrong", operation.id);
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn an_achilles_request_with_anything_wrong_in_its_head_gets_the_uniform_401() {
    let fleet = Fleet::start().await;
    let key = fleet.key(Vendor::Achilles).to_owned();
    let bearer = format!("Bearer {key}");
    let mut answers = BTreeSet::new();
    for operation in fleet.operations() {
        if operation.vendor != Vendor::Achilles || operation.id == "achilles.enroll" {
            continue;
        }
        let good = &operation.good;
        let at = |millis| good.clone().header("X-Request-Timestamp", &fleet.server.clock.text(millis));
        let bad = [
            good.clone().without("X-Agent-ID"),
            good.clone().header("X-Agent-ID", ""),
            good.clone().header("X-Agent-ID", SECOND.achilles),
            good.clone().header("X-Agent-ID", FOREIGN.achilles),
            good.clone().header("X-Agent-ID", UNKNOWN.achilles),
            good.clone().header("X-Agent-ID", &ACHILLES_AGENT.to_uppercase()),
            good.clone().without("X-Request-Timestamp"),
            good.clone().header("X-Request-Timestamp", ""),
            good.clone().header("X-Request-Timestamp", "yesterday"),
            good.clone().header("X-Request-Timestamp", "1774103400"),
            good.clone().header("X-Request-Timestamp", "2026-02-30T14:30:00Z"),
            good.clone().header("X-Request-Timestamp", "9999-12-31T23:59:59Z"),
            good.clone().header("X-Request-Timestamp", "-9999-12-31T23:59:59Z"),
            at(-301_000),
            at(301_000),
            at(-300_001),
            good.clone().header("Authorization", "Bearer ak_another"),
            good.clone().header("Authorization", "Basic dXNlcjpwYXNz"),
            good.clone().header("X-Agent-Key", "ak_another").header("Authorization", &bearer),
            good.clone().without("X-Agent-Key").header("Authorization", &key),
        ];
        for ask in &bad {
            let refused = fleet.refused(&operation, ask).await;
            refused.is(401, stranger(Vendor::Achilles));
            answers.insert(refused.answer.body);
        }
    }
    assert_eq!(
        answers,
        BTreeSet::from([br#"{"success":false,"error":"Invalid agent credentials"}"#.to_vec()])
    );
    fleet.server.stop().await;
}

#[tokio::test]
async fn an_achilles_agent_signs_in_by_either_header_with_a_clock_five_minutes_off() {
    let fleet = Fleet::start().await;
    let bearer = format!("Bearer {}", fleet.key(Vendor::Achilles));
    for operation in fleet.operations() {
        if operation.vendor != Vendor::Achilles || operation.id == "achilles.enroll" {
            continue;
        }
        let good = &operation.good;
        let at = |millis| good.clone().header("X-Request-Timestamp", &fleet.server.clock.text(millis));
        for ask in [
            at(-300_000),
            at(300_000),
            at(0),
            good.clone().header("X-Request-Timestamp", "2026-03-21T15:30:00.123456789+01:00"),
            good.clone().header("Authorization", &bearer),
            good.clone().without("X-Agent-Key").header("Authorization", &bearer),
        ] {
            assert_eq!(fleet.server.ask(&ask).await.status, operation.success, "{ask:?}");
        }
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_key_ends_with_the_first_use_of_its_successor_and_not_before() {
    let mut fleet = Fleet::start().await;
    fleet.server.core.rotate_key(DEFAULT_TENANT, Vendor::Achilles, ACHILLES_AGENT).await.unwrap();
    let heartbeat = fleet.operation("achilles.heartbeat");
    let old = heartbeat.good.clone();
    let offered = fleet.server.ask(&old).await;
    let new_key = offered.json()["data"]["new_api_key"].as_str().unwrap().to_owned();
    // Seen with a stale head the new key is not used: it must not end the old one.
    let stale = with_key(&old, Vendor::Achilles, &new_key)
        .header("X-Request-Timestamp", &fleet.server.clock.text(-301_000));
    fleet.refused(&heartbeat, &stale).await.is(401, stranger(Vendor::Achilles));

    let ended = fleet.keys.insert(Vendor::Achilles, new_key).unwrap();
    fleet.goes_on("achilles.heartbeat").await;
    for operation in fleet.operations() {
        if operation.vendor == Vendor::Achilles && operation.id != "achilles.enroll" {
            let ask = with_key(&operation.good, Vendor::Achilles, &ended);
            fleet.refused(&operation, &ask).await.is(401, stranger(Vendor::Achilles));
        }
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn an_enrolment_token_that_is_not_good_is_refused_without_a_reason() {
    let fleet = Fleet::start().await;
    let core = &fleet.server.core;
    let issue = async |seconds, uses| {
        let ttl = Duration::from_secs(seconds);
        core.issue_token(DEFAULT_TENANT, Vendor::Achilles, ttl, uses).await.unwrap()
    };
    let (_, short) = issue(1, 5).await;
    let (token, revoked) = issue(3600, 5).await;
    core.revoke_token(DEFAULT_TENANT, token.id).await.unwrap();
    let (_, spent) = issue(3600, 1).await;
    let enroll = fleet.operation("achilles.enroll");
    assert_eq!(fleet.server.ask(&enroll.with("token", json!(spent))).await.status, 201);
    fleet.server.clock.advance(1000);

    let mut answers = BTreeSet::new();
    let others = [fleet.key(Vendor::Achilles), fleet.server.operator.as_deref().unwrap(), "et_unknown"];
    for token in others.into_iter().chain([short.as_str(), &revoked]) {
        let refused = fleet.refused(&enroll, &enroll.with("token", json!(token))).await;
        refused.is(401, "Invalid or expired enrollment token");
        answers.insert(refused.answer.body);
    }
    let mut other = enroll.body();
    other["token"] = json!(spent);
    other["hostname"] = json!("ANOTHER");
    let refused = fleet.refused(&enroll, &enroll.good.clone().json(&other)).await;
    answers.insert(refused.answer.body);
    assert_eq!(answers.len(), 1);
    fleet.server.stop().await;
}

// ---------------------------------------------------------------------------------------------------------
// What a good key does not cover.

#[tokio::test]
async fn a_good_key_does_not_reach_another_agent_and_nothing_crosses_tenants() {
    let fleet = Fleet::start().await;

    let checkin = fleet.operation("acusight.checkin");
    let notify = fleet.operation("acusight.notify_image");
    for (operation, status) in [(&checkin, 404), (&notify, 400)] {
        let mut answers = BTreeSet::new();
        for id in [SECOND.device, FOREIGN.device, UNKNOWN.device, "", "abcd:1234:5678:efgh"] {
            let refused = fleet.refused(operation, &operation.with("device_id", json!(id))).await;
            refused.is(status, "device not registered");
            answers.insert(refused.answer.body);
        }
        assert_eq!(answers.len(), 1, "{}: the answer tells which devices there are", operation.id);
    }

    let heartbeat = fleet.operation("zstack.heartbeat");
    let named =
        |id: &str| Ask { target: format!("/zstack/api/v1/agents/{id}/heartbeat"), ..heartbeat.good.clone() };
    let mut answers = BTreeSet::new();
    for id in [FOREIGN.zstack, UNKNOWN.zstack, "AGENT-ABC123-DEF456", "%00", "a%2Fb"] {
        let refused = fleet.refused(&heartbeat, &named(id)).await;
        refused.is(404, "SYS.1005");
        answers.insert(refused.answer.body);
    }
    for id in [SECOND.zstack, FOREIGN.zstack, UNKNOWN.zstack] {
        let ask = with_key(&named(id), Vendor::ZStack, &fleet.bound_key);
        let refused = fleet.refused(&heartbeat, &ask).await;
        refused.is(404, "SYS.1005");
        answers.insert(refused.answer.body);
    }
    assert_eq!(answers.len(), 1, "the answer tells which agents there are");
    assert_eq!(
        fleet.server.ask(&with_key(&named(ZSTACK_AGENT), Vendor::ZStack, &fleet.bound_key)).await.status,
        200
    );

    // Keys of the other tenant are good, but not for this one's agents.
    let foreign = |ask: &Ask, vendor, kind| with_key(ask, vendor, &foreign_key(vendor, kind));
    let mut foreign_asks = vec![
        (&checkin, foreign(&checkin.good, Vendor::Acusight, Kind::Agent), 404),
        (&notify, foreign(&notify.good, Vendor::Acusight, Kind::Agent), 400),
        (&heartbeat, foreign(&heartbeat.good, Vendor::ZStack, Kind::Agent), 404),
    ];
    let poll = fleet.operation("achilles.poll_tasks");
    foreign_asks.push((&poll, foreign(&poll.good, Vendor::Achilles, Kind::Agent), 401));
    for (operation, ask, status) in foreign_asks {
        // Its first sign-in is written down, whatever becomes of it.
        fleet.server.ask(&ask).await;
        assert_eq!(fleet.refused(operation, &ask).await.status, status, "{}", operation.id);
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn an_agentmc_key_does_not_reach_another_host_or_its_agents() {
    let fleet = Fleet::start().await;
    let heartbeat = fleet.operation("agentmc.heartbeat");
    let with_all = |ask: &Ask| with_key(ask, Vendor::AgentMc, &fleet.all_hosts_key);

    // A host's key, an agent of another host.
    let refused = fleet.refused(&heartbeat, &heartbeat.with("agent.id", json!(SECOND.hosted))).await;
    refused.is(403, "auth.insufficient_scope");
    let listed = json!([{ "id": HOSTED_AGENT, "name": "a", "identity": "a" }, { "id": SECOND.hosted, "name": "b", "identity": "b" }]);
    let mut body = heartbeat.body();
    body["agents"] = listed;
    body["agent"] = Value::Null;
    let refused = fleet.refused(&heartbeat, &heartbeat.good.clone().json(&body)).await;
    refused.is(403, "auth.insufficient_scope");

    // Numbers that the tenant has no agent of: nobody's, another tenant's, a host's.
    let host = fleet.server.core.find_agent(DEFAULT_TENANT, Vendor::AgentMc, FINGERPRINT).unwrap().agent.no;
    let device = fleet.server.core.find_agent(DEFAULT_TENANT, Vendor::Acusight, DEVICE).unwrap().agent.no;
    let mut answers = BTreeSet::new();
    for number in [UNKNOWN.hosted, FOREIGN.hosted, host, device, No::MAX] {
        let ask = heartbeat.with("agent.id", json!(number));
        for ask in [ask.clone(), with_all(&ask)] {
            let refused = fleet.refused(&heartbeat, &ask).await;
            refused.is(404, "resource.not_found");
            answers.insert(refused.answer.body);
        }
    }
    assert_eq!(answers.len(), 1, "the answer tells which agents there are");

    // A host's key, another host: one of ours, one of the other tenant, one that nobody has seen.
    let mut answers = BTreeSet::new();
    for fingerprint in [SECOND.fingerprint, FOREIGN.fingerprint, UNKNOWN.fingerprint] {
        let refused =
            fleet.refused(&heartbeat, &heartbeat.with("host.fingerprint", json!(fingerprint))).await;
        refused.is(403, "auth.insufficient_scope");
        answers.insert(refused.answer.body);
    }
    assert_eq!(answers.len(), 1, "the answer tells which hosts there are");

    // A key of all hosts meets a host of the same fingerprint as the other tenant's: it is another host.
    let mut body = heartbeat.body();
    body["host"]["fingerprint"] = json!(FOREIGN.fingerprint);
    body["agent"] = json!({ "name": "new", "identity": "new" });
    let answer = fleet.server.ask(&with_all(&heartbeat.good.clone().json(&body))).await;
    assert_eq!(answer.status, 200);
    let foreign = fleet.server.core.find_agent(OTHER_TENANT, Vendor::AgentMc, FOREIGN.fingerprint).unwrap();
    assert_ne!(answer.json()["host"]["id"], json!(foreign.agent.no));
    assert_eq!(foreign.last_seen, None);
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_result_is_taken_from_nobody_but_the_tasks_agent_and_not_before_it_was_handed_over() {
    let fleet = Fleet::start().await;
    let report = fleet.operation("achilles.report_result");
    let of = |task: &str| Ask {
        target: format!("/achilles/api/agent/tasks/{task}/result"),
        ..report.good.clone()
    };

    fleet.refused(&report, &of(&fleet.second_task)).await.is(403, "the credentials do not cover this task");
    fleet.refused(&report, &of(&fleet.waiting_task)).await.is(400, "a pending task cannot become completed");
    let mut answers = BTreeSet::new();
    for task in [FOREIGN_TASK, "nothing", &fleet.task.to_uppercase(), "%00", "..%2f..%2fetc"] {
        let refused = fleet.refused(&report, &of(task)).await;
        refused.is(404, "no such task");
        answers.insert(refused.answer.body);
    }
    assert_eq!(answers.len(), 1, "the answer tells which tasks there are");
    // Segments that are no text name no task at all.
    fleet.refused(&report, &of("%ff")).await.names(Vendor::Achilles, &["id"]);
    fleet.server.stop().await;
}

// ---------------------------------------------------------------------------------------------------------
// Requests of the wrong form.

#[tokio::test]
async fn a_body_that_is_not_the_documented_object_is_refused_as_a_whole() {
    let fleet = Fleet::start().await;
    for operation in fleet.operations().into_iter().filter(|operation| operation.limit.is_some()) {
        let good = &operation.good.body;
        let mut byte_order_mark = b"\xef\xbb\xbf".to_vec();
        byte_order_mark.extend(good);
        let bodies: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b" ".to_vec(),
            b"{".to_vec(),
            b"nul".to_vec(),
            good[..good.len() - 1].to_vec(),
            good[..good.len() / 2].to_vec(),
            [good.as_slice(), b"x"].concat(),
            [good.as_slice(), good.as_slice()].concat(),
            good[1..].to_vec(),
            b"null".to_vec(),
            b"true".to_vec(),
            b"42".to_vec(),
            b"\"text\"".to_vec(),
            b"[]".to_vec(),
            [b"[".as_slice(), good, b"]"].concat(),
            b"\xff\xfe\x00".to_vec(),
            [&good[..good.len() - 1], b",\"x\":\"\xc3\x28\"}"].concat(),
            byte_order_mark,
            vec![b'['; 10_000],
            b"{\"x\":".repeat(10_000),
            b"{'device_id': 1}".to_vec(),
            b"device_id=1&status=2".to_vec(),
            b"{\"x\": NaN}".to_vec(),
            b"\"\\ud800\"".to_vec(),
            b"\0".repeat(1000),
        ];
        for body in bodies {
            let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
            // A body is announced, even an empty one.
            let ask = operation.good.clone().header("Content-Type", "application/json").body(body);
            let refused = fleet.refused(&operation, &ask).await;
            assert_eq!(refused.places, BTreeSet::from(["body".to_owned()]), "{} {shown}", operation.id);
            refused.names(operation.vendor, &["body"]);
        }
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn deep_nesting_is_refused_where_it_would_be_kept_and_skipped_where_nobody_reads() {
    let fleet = Fleet::start().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (id, beside, place) in [
        ("acusight.checkin", "\"payload\":{", "pending_requests.0.payload"),
        ("agentmc.heartbeat", "\"meta\":{", "meta"),
        ("agentmc.heartbeat", "\"identity\":{", "agent.identity"),
    ] {
        let operation = fleet.operation(id);
        let body = operation.body().to_string().replace(beside, &format!("{beside}\"x\":{deep},"));
        fleet.refused(&operation, &operation.good.clone().body(body)).await.names(operation.vendor, &[place]);
    }
    for id in ["acusight.checkin", "zstack.heartbeat", "achilles.enroll", "achilles.heartbeat"] {
        let operation = fleet.operation(id);
        let body = operation.body().to_string().replacen('{', &format!("{{\"x\":{deep},"), 1);
        assert_eq!(fleet.server.ask(&operation.good.body(body)).await.status, operation.success, "{id}");
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn the_values_of_an_object_in_a_list_are_not_the_object() {
    let fleet = Fleet::start().await;
    let token = &fleet.enrollment_token;
    for (id, list) in [
        ("acusight.checkin", json!([DEVICE])),
        ("zstack.heartbeat", json!(["1.2.3", 86400, 12.5, 35.2])),
        ("achilles.enroll", json!([token, "NEWCOMER", "linux", "arm64", "0.5.11"])),
    ] {
        let operation = fleet.operation(id);
        fleet
            .refused(&operation, &operation.good.clone().json(&list))
            .await
            .names(operation.vendor, &["body"]);
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_member_that_is_missing_null_of_the_wrong_type_or_twice_is_named() {
    let fleet = Fleet::start().await;
    for operation in fleet.operations() {
        let Some((member, wrong)) = &operation.wrong_type else { continue };
        let mut asks = vec![
            operation.lacking(member),
            operation.with(member, Value::Null),
            operation.with(member, wrong.clone()),
        ];
        // Nested as far as an envelope can be asked to carry back.
        asks.push(operation.with(member, json!([[[[{ "a": [{}] }]]]])));
        for ask in &asks {
            fleet.refused(&operation, ask).await.names(operation.vendor, &[member]);
        }
        // The first level is enough to show that a member is not there twice.
        let name = member.split('.').next().unwrap();
        let value = &operation.body()[name];
        let twice = format!("{{\"{name}\":{value},{}", &operation.body().to_string()[1..]);
        fleet.refused(&operation, &operation.good.clone().body(twice)).await.names(operation.vendor, &[name]);
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn everything_that_breaks_a_rule_is_named_at_once() {
    let fleet = Fleet::start().await;
    let stale = fleet.server.clock.text(-301_000);
    let ahead = fleet.server.clock.text(302_000);
    let crowd: Map<String, Value> = (0..=MAX_OPEN_MEMBERS).map(|n| (format!("m{n}"), json!(n))).collect();
    let long = "x".repeat(256);
    type Change<'a> = (&'a str, Value);
    let table: Vec<(&str, Vec<Change<'_>>)> = vec![
        ("acusight.checkin", vec![("pending_requests.0.payload", Value::Object(crowd.clone()))]),
        (
            "acusight.notify_image",
            vec![
                ("annotations.0.confidence", json!(1.5)),
                ("annotations.0.width", json!(-0.1)),
                ("annotations.1.x_center", json!(1e300)),
            ],
        ),
        (
            "zstack.heartbeat",
            vec![("uptime", json!(-1)), ("cpuUsage", json!(100.5)), ("memUsage", json!("101"))],
        ),
        (
            "agentmc.heartbeat",
            vec![
                ("host.name", json!(long)),
                ("host.fingerprint", json!("short")),
                ("host.meta.ip", json!("nowhere")),
                ("host.meta.cpu_cores", json!(0)),
                ("host.meta.network.public_ip", json!("300.1.1.1")),
                ("agent.id", json!(0)),
                ("agent.identity", Value::Object(crowd)),
            ],
        ),
        ("achilles.enroll", ["token", "hostname", "os", "arch"].map(|name| (name, json!(""))).to_vec()),
        ("achilles.heartbeat", vec![("timestamp", json!(stale)), ("status", json!(""))]),
        ("achilles.heartbeat", vec![("timestamp", json!(ahead))]),
        ("achilles.heartbeat", vec![("timestamp", json!("soon"))]),
    ];
    for (id, changes) in table {
        let operation = fleet.operation(id);
        let mut body = operation.body();
        for (place, value) in &changes {
            *body.pointer_mut(&pointer(place)).unwrap() = value.clone();
        }
        let places: Vec<&str> = changes.iter().map(|(place, _)| *place).collect();
        fleet.refused(&operation, &operation.good.clone().json(&body)).await.names(operation.vendor, &places);
    }
    // At the edge of the window a heartbeat is recent.
    for millis in [-300_000, 300_000] {
        let heartbeat = fleet.operation("achilles.heartbeat");
        let ask = heartbeat.with("timestamp", json!(fleet.server.clock.text(millis)));
        assert_eq!(fleet.server.ask(&ask).await.status, 200);
    }
    fleet.server.stop().await;
}

/// A request that is wrong in several ways at once: what to change, what to leave out, and what is said.
struct Wrong {
    operation: &'static str,
    change: Vec<(&'static str, Value)>,
    lack: Vec<&'static str>,
    said: Value,
}

/// Faults of form and broken rules together, each under its own name.
fn wrong_in_several_ways() -> Vec<Wrong> {
    vec![
        Wrong {
            operation: "agentmc.heartbeat",
            change: vec![
                ("host.fingerprint", json!("short!")),
                ("host.meta.cpu_cores", json!(-1)),
                ("host.meta.disk.free_bytes", json!(null)),
                ("agent.id", json!("42")),
            ],
            lack: vec!["host.meta.os"],
            said: json!({
                "error": {
                    "code": "validation.failed",
                    "message": "Validation failed.",
                    "details": { "fields": {
                        "host.fingerprint": [
                            "The host.fingerprint field must have at least 64 characters, not 6.",
                            "The host.fingerprint field must match ^[A-Za-z0-9._-]+$."
                        ],
                        "host.meta.cpu_cores": ["The host.meta.cpu_cores field must be between 1 and 4096, not -1."],
                        "host.meta.disk.free_bytes": ["The host.meta.disk.free_bytes field must be an integer, not null."],
                        "host.meta.os": ["The host.meta.os field is required."],
                        "agent.id": ["The agent.id field must be an integer, not \"42\"."]
                    } }
                }
            }),
        },
        Wrong {
            operation: "achilles.heartbeat",
            change: vec![
                ("status", json!("")),
                ("system.cpu_percent", json!("15")),
                ("system.memory_mb", json!(null)),
                ("timestamp", json!("soon")),
            ],
            lack: vec!["system.hostname"],
            said: json!({
                "success": false,
                "error": "Validation failed: status: must not be empty; \
                          system.cpu_percent: must be a number, not \"15\"; \
                          system.memory_mb: must be a number, not null",
                "details": [
                    { "path": "status", "message": "must not be empty" },
                    { "path": "system.cpu_percent", "message": "must be a number, not \"15\"" },
                    { "path": "system.memory_mb", "message": "must be a number, not null" },
                    { "path": "system.hostname", "message": "is required" },
                    { "path": "timestamp", "message": "must be a time as RFC 3339 writes it, not \"soon\"" }
                ]
            }),
        },
        Wrong {
            operation: "acusight.notify_image",
            change: vec![("annotations.0.confidence", json!("high")), ("annotations.1.x_center", json!(2))],
            lack: vec!["storage_key"],
            said: json!({
                "error": "invalid request payload: \
                          /annotations/0/confidence: must be a number, not \"high\"; \
                          /annotations/1/x_center: must be between 0 and 1, not 2; \
                          /storage_key: is required",
                "annotations.0.confidence": "must be a number, not \"high\"",
                "annotations.1.x_center": "must be between 0 and 1, not 2",
                "storage_key": "is required"
            }),
        },
        Wrong {
            operation: "zstack.heartbeat",
            change: vec![("cpuUsage", json!(true)), ("memUsage", json!(101))],
            lack: vec!["version"],
            said: json!({
                "error": {
                    "code": "SYS.1007",
                    "description": "invalid argument",
                    "details": "/cpuUsage: must be a number, or digits in a string, not true; \
                                /memUsage: must be between 0 and 100, not 101; \
                                /version: is required"
                }
            }),
        },
    ]
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once_in_the_vendors_words() {
    let fleet = Fleet::start().await;
    for Wrong { operation, change, lack, said } in wrong_in_several_ways() {
        let operation = fleet.operation(operation);
        let mut body = operation.body();
        for (place, value) in &change {
            *body.pointer_mut(&pointer(place)).unwrap() = value.clone();
        }
        for place in &lack {
            let (parent, member) = place.rsplit_once('.').unwrap_or(("", place));
            let parent = if parent.is_empty() { String::new() } else { pointer(parent) };
            body.pointer_mut(&parent).unwrap().as_object_mut().unwrap().remove(member).unwrap();
        }
        let places: Vec<&str> = change.iter().map(|(place, _)| *place).chain(lack).collect();
        let refused = fleet.refused(&operation, &operation.good.clone().json(&body)).await;
        refused.names(operation.vendor, &places);
        assert_eq!(refused.answer.json(), said, "{}", operation.id);
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn faults_of_a_header_and_of_the_body_are_told_together() {
    let fleet = Fleet::start().await;
    let heartbeat = fleet.operation("agentmc.heartbeat");
    let mut body = heartbeat.body();
    body["host"].as_object_mut().unwrap().remove("fingerprint");
    body["host"]["meta"]["arch"] = json!(64);
    body["agent"]["id"] = json!(0);
    let ask = heartbeat.good.clone().json(&body).header("X-Host-Fingerprint", &"f".repeat(129));
    let refused = fleet.refused(&heartbeat, &ask).await;
    refused.names(Vendor::AgentMc, &["X-Host-Fingerprint", "host.meta.arch", "agent.id"]);
    fleet.server.stop().await;
}

#[tokio::test]
async fn more_faults_than_anybody_reads_are_counted() {
    let fleet = Fleet::start().await;
    let notify = fleet.operation("acusight.notify_image");
    let mut body = notify.body();
    body["annotations"] = Value::Array(vec![json!({"width": "wide"}); 10_000]);
    let refused = fleet.refused(&notify, &notify.good.clone().json(&body)).await;
    assert_eq!((refused.status, refused.places.len()), (400, MAX_REPORTED));
    assert!(refused.kind.ends_with("; 9900 more are not listed"), "{}", refused.kind);
    assert!(refused.answer.body.len() < 20_000);
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_fingerprint_in_the_header_is_held_to_the_same_rules() {
    let fleet = Fleet::start().await;
    let heartbeat = fleet.operation("agentmc.heartbeat");
    let bare = heartbeat.lacking("host.fingerprint");
    assert_eq!(fleet.server.ask(&bare.clone().header("X-Host-Fingerprint", FINGERPRINT)).await.status, 200);
    fleet.refused(&heartbeat, &bare).await.names(Vendor::AgentMc, &["host.fingerprint"]);
    let short = bare.clone().header("X-Host-Fingerprint", "short");
    fleet.refused(&heartbeat, &short).await.names(Vendor::AgentMc, &["X-Host-Fingerprint"]);
    let another = bare.header("X-Host-Fingerprint", SECOND.fingerprint);
    fleet.refused(&heartbeat, &another).await.is(403, "auth.insufficient_scope");
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_body_of_another_media_type_is_malformed_and_one_of_none_is_json() {
    let fleet = Fleet::start().await;
    for operation in fleet.operations().into_iter().filter(|operation| operation.limit.is_some()) {
        for media in
            ["text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data", "jsön"]
        {
            let ask = operation.good.clone().header("Content-Type", media);
            fleet.refused(&operation, &ask).await.names(operation.vendor, &["Content-Type"]);
        }
        for media in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/problem+json", ""] {
            let ask = operation.good.clone().header("Content-Type", media);
            assert_eq!(fleet.server.ask(&ask).await.status, operation.success, "{} {media}", operation.id);
        }
        let mut connection = fleet.server.connect().await;
        let head = operation.good.head().replace("Content-Type: application/json\r\n", "");
        connection.send(&[head.as_bytes(), &operation.good.body].concat()).await;
        assert_eq!(connection.receive().await.unwrap().status, operation.success, "{}", operation.id);
    }
    fleet.server.stop().await;
}

// ---------------------------------------------------------------------------------------------------------
// Too large, no such route, no such method.

/// What each vendor says to a body that is too large.
fn too_large(vendor: Vendor, limit: usize) -> String {
    match vendor {
        Vendor::ZStack => "SYS.1009".to_owned(),
        Vendor::AgentMc => "request.too_large".to_owned(),
        Vendor::Acusight | Vendor::Achilles => format!("the body has more than {limit} bytes"),
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_served() {
    let fleet = Fleet::start().await;
    for operation in fleet.operations() {
        let Some(limit) = operation.limit else { continue };
        let kind = too_large(operation.vendor, limit);
        // No byte of it needs to be sent.
        for length in [limit + 1, usize::MAX / 2] {
            let announced = operation.good.clone().header("Content-Length", &length.to_string());
            fleet.refused_head(&operation, &announced).await.is(413, &kind);
        }

        // Without a length it is read as far as the limit, in chunks that each are small enough.
        let mut chunked = operation.good.clone().header("Transfer-Encoding", "chunked").head().into_bytes();
        let mut padded = operation.good.body.clone();
        padded.resize(limit + 1, b' ');
        for chunk in padded.chunks(48 * 1024) {
            chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
            chunked.extend(chunk);
            chunked.extend(b"\r\n");
        }
        let answer = fleet.refused_bytes(&operation, &chunked).await.unwrap();
        Refused::read(operation.vendor, &answer).is(413, &kind);

        padded.truncate(limit);
        let answer = fleet.server.ask(&operation.good.clone().body(padded)).await;
        assert_eq!(answer.status, operation.success, "{}", operation.id);
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_body_where_none_belongs_is_not_waited_for() {
    let fleet = Fleet::start().await;
    for operation in fleet.operations().into_iter().filter(|operation| operation.limit.is_none()) {
        let mut connection = fleet.server.connect().await;
        connection.send(operation.good.clone().header("Content-Length", "999999999").head().as_bytes()).await;
        assert_eq!(connection.receive().await.unwrap().status, operation.success, "{}", operation.id);
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_path_without_an_operation_is_answered_in_the_words_of_its_mount() {
    let fleet = Fleet::start().await;
    let table = [
        ("acusight.checkin", "/acusight", "/api", "no such route"),
        ("zstack.heartbeat", "/zstack", "", "SYS.1006"),
        ("agentmc.heartbeat", "/agentmc", "/api/v1", "route.not_found"),
        ("achilles.heartbeat", "/achilles", "", "Not Found"),
    ];
    for (id, mount, base, kind) in table {
        let operation = fleet.operation(id);
        let known = &operation.good.target;
        let long = format!("{mount}/{}", "x".repeat(8000));
        let paths = [
            mount.to_owned(),
            format!("{mount}/"),
            format!("{mount}{base}"),
            format!("{mount}{base}/nothing"),
            format!("{mount}//"),
            format!("{mount}/.."),
            format!("{mount}/%2e%2e/%2e%2e/etc/passwd"),
            format!("{mount}/%00"),
            format!("{mount}/%"),
            format!("{mount}/%zz%ff"),
            format!("{mount}/{{uuid}}/{{*rest}}"),
            format!("{mount}/ö"),
            format!("{known}/"),
            format!("{known}//"),
            format!("{known}/more"),
            format!("{known}%20"),
            known.replacen(mount, &format!("{mount}/"), 1),
            known.to_uppercase().replacen(&mount.to_uppercase(), mount, 1),
            known[..known.len() - 1].to_owned(),
            long,
        ];
        for target in paths {
            for method in ["GET", operation.good.method.as_str()] {
                let ask = Ask { target: target.clone(), method: method.to_owned(), ..operation.good.clone() };
                let refused = fleet.refused(&operation, &ask).await;
                assert_eq!((refused.status, refused.kind.as_str()), (404, kind), "{method} {target}");
                if operation.vendor == Vendor::Achilles {
                    let ask = ask.without("X-Agent-Key");
                    fleet.refused(&operation, &ask).await.is(401, stranger(operation.vendor));
                }
            }
        }
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_path_outside_every_mount_is_not_found() {
    let fleet = Fleet::start().await;
    let checkin = fleet.operation("acusight.checkin");
    for path in [
        "/nothing",
        "/acusightx",
        "/Acusight/api/core/agent/checkin",
        "/api/core/agent/checkin",
        "/%2e%2e",
        "//",
    ] {
        let ask = Ask { target: path.to_owned(), ..checkin.good.clone() };
        let answer = fleet.suffer(&checkin, fleet.server.ask(&ask)).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn odd_request_lines_are_answered_and_harm_nobody() {
    let fleet = Fleet::start().await;
    let checkin = fleet.operation("acusight.checkin");
    let lines = [
        "OPTIONS * HTTP/1.1",
        "CONNECT fleet.test:443 HTTP/1.1",
        "GET http://other.test/zstack/nothing HTTP/1.1",
        "GET http://user:secret@other.test:99999/zstack HTTP/1.1",
        "GET ?query HTTP/1.1",
        "GET /zstack?&&==&%zz HTTP/1.1",
        "GET /zstack/../achilles HTTP/1.1",
        "GET /zstack#fragment HTTP/1.1",
        "GET zstack HTTP/1.1",
        "GET  /zstack HTTP/1.1",
        "GET /zst\u{0}ack HTTP/1.1",
        "GET / HTTP/9.9",
        "GET /",
        "G@T / HTTP/1.1",
        "BREW /acusight/api/core/agent/checkin HTTP/1.1",
    ];
    for line in lines {
        let bytes = format!("{line}\r\nHost: fleet.test\r\nConnection: close\r\n\r\n");
        let answer =
            fleet.refused_bytes(&checkin, bytes.as_bytes()).await.unwrap_or_else(|| panic!("{line}"));
        assert!((400..500).contains(&answer.status), "{line}: {answer:?}");
    }
    for length in [20_000, 70_000] {
        let line = format!("GET /acusight/{} HTTP/1.1\r\nHost: x\r\n\r\n", "y".repeat(length));
        let answer = fleet.refused_bytes(&checkin, line.as_bytes()).await.unwrap();
        assert!(matches!(answer.status, 404 | 414 | 431), "{answer:?}");
    }
    // A host that is none does not get into an address that is handed out.
    let enroll = fleet.operation("achilles.enroll");
    for host in ["", "a b", "user@host", "x\"><script>", "[::1", "ö"] {
        let answer = fleet.server.ask(&enroll.good.clone().header("Host", host)).await;
        let url = answer.json()["data"]["server_url"].as_str().unwrap().to_owned();
        assert_eq!(url, "http://localhost/achilles", "{host}");
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_told_the_one_it_has() {
    let fleet = Fleet::start().await;
    for operation in fleet.operations() {
        let kind = match operation.vendor {
            Vendor::ZStack => "SYS.1006",
            Vendor::AgentMc => "route.method_not_allowed",
            Vendor::Acusight | Vendor::Achilles => "the method is not allowed here",
        };
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if method == operation.good.method {
                continue;
            }
            let ask = Ask { method: method.to_owned(), ..operation.good.clone() };
            let answer = fleet.suffer(&operation, fleet.server.ask(&ask)).await;
            assert_eq!(
                answer.header("allow"),
                Some(operation.good.method.as_str()),
                "{method} {}",
                operation.id
            );
            if method == "HEAD" {
                assert_eq!(answer.status, 405);
            } else {
                Refused::read(operation.vendor, &answer).is(405, kind);
            }
        }
    }
    fleet.server.stop().await;
}

// ---------------------------------------------------------------------------------------------------------
// Failures of our own.

#[tokio::test]
async fn an_image_beyond_the_quota_is_put_off() {
    let mut config = Config::default();
    config.batches.quota = 1;
    let fleet = Fleet::with(config, calm()).await;
    fleet.goes_on("acusight.notify_image").await;
    let notify = fleet.operation("acusight.notify_image");
    let another = notify.with("storage_key", json!("raw/another.jpg"));
    let refused = fleet.refused(&notify, &another).await;
    refused.is(503, "no batch slot could be reserved: the device's image quota is full");
    assert!(retry_after(&refused.answer, 60..=90));
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_key_that_is_used_too_often_is_put_off_and_another_is_not() {
    const BURST: usize = 40;
    let config = Config { rate: Some(Rate { per_minute: 60, burst: 40 }), ..Config::default() };
    let fleet = Fleet::with(config, calm()).await;
    let limited = [
        ("acusight.checkin", "too many requests"),
        ("zstack.heartbeat", "SYS.1011"),
        ("agentmc.heartbeat", "rate_limit.exceeded"),
        ("achilles.poll_tasks", "too many requests"),
    ];
    for (id, kind) in limited {
        let operation = fleet.operation(id);
        let ask = match operation.vendor {
            Vendor::ZStack => with_key(&operation.good, Vendor::ZStack, &fleet.bound_key),
            _ => operation.good.clone(),
        };
        let mut served = 0;
        let answer = loop {
            let answer = fleet.server.ask(&ask).await;
            if answer.status != operation.success {
                break answer;
            }
            served += 1;
            assert!(served <= BURST, "{id} is never put off");
        };
        Refused::read(operation.vendor, &answer).is(429, kind);
        assert!(retry_after(&answer, 1..=4), "{id}: {answer:?}");
        if operation.vendor == Vendor::ZStack {
            let status = fleet.server.ask(&operation.good).await.status;
            assert_eq!(status, operation.success, "a key of the whole tenant has no bound");
        }
    }
    fleet.server.clock.advance(1000);
    let operation = fleet.operation("acusight.checkin");
    assert_eq!(fleet.server.ask(&operation.good).await.status, operation.success, "a second later");
    fleet.server.stop().await;
}

/// Whether an answer puts its caller off for a time within these seconds: it is a different one for each.
fn retry_after(answer: &Answer, seconds: RangeInclusive<u64>) -> bool {
    answer.header("retry-after").is_some_and(|text| seconds.contains(&text.parse().unwrap()))
}

/// Each operation with a request that cannot be served without the store, since it says something new.
fn asks_of_the_store(fleet: &Fleet, news: &str) -> Vec<(Operation, Ask)> {
    let operations = fleet.operations().into_iter();
    let asks = operations.map(|operation| {
        let ask = match operation.id {
            "acusight.checkin" => {
                let mut body = operation.body();
                body["current_model_id"] = json!(news);
                operation.good.clone().json(&body)
            }
            "acusight.notify_image" => operation.with("storage_key", json!(news)),
            "zstack.heartbeat" => operation.with("version", json!(news)),
            "agentmc.heartbeat" => operation.with("host.name", json!(news)),
            "achilles.heartbeat" => operation.with("agent_version", json!(news)),
            _ => operation.good.clone(),
        };
        (operation, ask)
    });
    asks.collect()
}

#[tokio::test]
async fn a_store_that_fails_is_an_internal_error_or_a_busy_server_and_tells_nothing_of_its_insides() {
    let fleet = Fleet::start().await;
    for failure in [Failure::Corrupt, Failure::Unavailable] {
        for (operation, ask) in asks_of_the_store(&fleet, &format!("{failure:?}")) {
            let hostile = async {
                fleet.store.fail(failure);
                let answers = [fleet.server.ask(&ask).await, {
                    // Nobody is turned away as a stranger because the keys cannot be looked up.
                    let unknown = with_key(&operation.good, operation.vendor, "unknown");
                    fleet.server.ask(&unknown).await
                }];
                fleet.store.fail(None);
                answers
            };
            for answer in fleet.suffer(&operation, hostile).await {
                let refused = Refused::read(operation.vendor, &answer);
                match failure {
                    Failure::Corrupt => {
                        let kind = match operation.vendor {
                            Vendor::ZStack => "SYS.1000",
                            Vendor::AgentMc => "server.error",
                            Vendor::Acusight | Vendor::Achilles => "internal error",
                        };
                        refused.is(500, kind);
                        assert_eq!(answer.header("retry-after"), None);
                    }
                    Failure::Unavailable => {
                        let kind = match operation.vendor {
                            Vendor::ZStack => "SYS.1011",
                            Vendor::AgentMc => "server.overloaded",
                            Vendor::Acusight | Vendor::Achilles => "the server is busy",
                        };
                        refused.is(503, kind);
                        assert!(retry_after(&answer, 5..=8));
                    }
                }
                let text = String::from_utf8(answer.body).unwrap();
                for word in ["agents", "page", "fleet.db", "unexpected", "not available", "store"] {
                    assert!(!text.contains(word), "{}: {text}", operation.id);
                }
            }
            // What failed is served once the store is back.
            assert_eq!(fleet.server.ask(&ask).await.status, operation.success, "{}", operation.id);
            // And what was new is not new any more.
            fleet.goes_on(operation.id).await;
        }
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn leases_that_could_not_be_written_are_kept_for_the_next_flush() {
    let fleet = Fleet::start().await;
    fleet.server.core.flush().await.unwrap();
    fleet.server.clock.advance(5000);
    fleet.store.fail(Failure::Unavailable);
    // A heartbeat that says nothing new asks the store for nothing.
    fleet.goes_on("zstack.heartbeat").await;
    assert!(fleet.server.core.flush().await.is_err());
    fleet.store.fail(None);
    assert_eq!(fleet.server.core.flush().await.unwrap(), 1);
    fleet.server.stop().await;
}

#[tokio::test]
async fn check_ins_that_could_not_be_committed_are_put_off_all_of_them_and_kept_for_the_next_flush() {
    let fleet = Fleet::with(Config { commits_check_ins: true, ..Config::default() }, calm()).await;
    fleet.server.core.flush().await.unwrap();
    let operations = fleet.operations();
    let beat = operations.iter().find(|operation| operation.id == "zstack.heartbeat").unwrap();
    fleet.server.clock.advance(5000);
    fleet.store.fail(Failure::Unavailable);
    let ask = || fleet.server.ask(&beat.good);
    let answers: [Answer; 4] = tokio::join!(ask(), ask(), ask(), ask()).into();
    for answer in answers {
        Refused::read(beat.vendor, &answer).is(503, "SYS.1011");
        assert!(retry_after(&answer, 5..=8));
    }
    fleet.store.fail(None);
    assert_eq!(fleet.server.core.flush_renewed().await.unwrap(), 1);
    fleet.goes_on(beat.id).await;
    assert_eq!(
        fleet.server.core.flush_renewed().await.unwrap(),
        0,
        "it was committed before it was answered"
    );
    fleet.server.stop().await;
}

// ---------------------------------------------------------------------------------------------------------
// The connection itself.

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let settings = Settings { header_timeout: Duration::from_millis(300), ..calm() };
    let fleet = Fleet::with(Config::default(), settings).await;
    let checkin = fleet.operation("acusight.checkin");
    let head = checkin.good.head();
    for part in ["", "P", &head[..head.len() / 2], &head[..head.len() - 2]] {
        let answer = fleet.refused_bytes(&checkin, part.as_bytes()).await;
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 408), "{part}: {answer:?}");
    }
    // Nor is a connection kept on which nothing more is asked.
    let mut idle = fleet.server.connect().await;
    idle.send(&fleet.operation("acusight.checkin").good.to_bytes()).await;
    assert_eq!(idle.receive().await.unwrap().status, 200);
    assert_eq!(idle.receive().await, None);
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up_in_the_vendors_words() {
    let settings = Settings { body_timeout: Duration::from_millis(200), ..calm() };
    let fleet = Fleet::with(Config::default(), settings).await;
    for operation in fleet.operations().into_iter().filter(|operation| operation.limit.is_some()) {
        let kind = match operation.vendor {
            Vendor::ZStack => "SYS.1010",
            Vendor::AgentMc => "request.timeout",
            Vendor::Acusight | Vendor::Achilles => "the request did not arrive in time",
        };
        let bytes = operation.good.to_bytes();
        let answer = fleet.refused_bytes(&operation, &bytes[..bytes.len() - 1]).await.unwrap();
        Refused::read(operation.vendor, &answer).is(408, kind);
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_big_is_refused() {
    let settings = Settings { headers: 20, header_bytes: 8192, ..calm() };
    let fleet = Fleet::with(Config::default(), settings).await;
    let checkin = fleet.operation("acusight.checkin");
    let mut many = checkin.good.clone();
    for number in 0..30 {
        many = many.header(&format!("X-Many-{number}"), "1");
    }
    let mut same = checkin.good.clone();
    same.headers.extend((0..30).map(|_| ("X-Same".to_owned(), "1".to_owned())));
    let big = checkin.good.clone().header("X-Big", &"b".repeat(20_000));
    let long_name = checkin.good.clone().header(&"X".repeat(20_000), "1");
    for ask in [many, same, big, long_name] {
        let answer = fleet.refused_bytes(&checkin, &ask.to_bytes()).await.unwrap();
        assert_eq!(answer.status, 431, "{answer:?}");
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_ends() {
    let settings = Settings { connections: 2, ..calm() };
    let fleet = Fleet::with(Config::default(), settings).await;
    let good = fleet.operation("zstack.heartbeat").good.to_bytes();
    let mut first = fleet.server.connect().await;
    let mut second = fleet.server.connect().await;
    for connection in [&mut first, &mut second] {
        connection.send(&good).await;
        assert_eq!(connection.receive().await.unwrap().status, 200);
    }
    let mut third = fleet.server.connect().await;
    third.send(&good).await;
    let waiting = tokio::spawn(async move { third.receive().await.unwrap().status });
    // The others are served all the while.
    for _ in 0..50 {
        first.send(&good).await;
        assert_eq!(first.receive().await.unwrap().status, 200);
    }
    assert!(!waiting.is_finished());
    drop(second);
    assert_eq!(in_time(waiting).await.unwrap(), 200);
    drop(first);
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_caller_who_stops_in_the_middle_of_a_body_leaves_nothing_behind() {
    let fleet = Fleet::start().await;
    for operation in fleet.operations().into_iter().filter(|operation| operation.limit.is_some()) {
        let bytes = operation.good.to_bytes();
        let mut chunked = operation.good.clone().header("Transfer-Encoding", "chunked").head().into_bytes();
        chunked.extend(format!("{:x}\r\n", operation.good.body.len()).bytes());
        chunked.extend(&operation.good.body);
        for bytes in [&bytes[..bytes.len() - 1], &chunked] {
            let hostile = async {
                let mut connection = fleet.server.connect().await;
                connection.send(bytes).await;
                connection.send_no_more().await;
                connection.receive().await
            };
            if let Some(answer) = fleet.suffer(&operation, hostile).await {
                Refused::read(operation.vendor, &answer).names(operation.vendor, &["body"]);
            }
        }
    }

    // Those who hang up altogether are noticed at the latest when the server stops and waits for them.
    fleet.server.clock.advance(1);
    let before = fleet.kept().await;
    for operation in fleet.operations() {
        let ask = if operation.limit.is_some() { operation.good } else { operation.good.body("never sent") };
        let bytes = ask.to_bytes();
        let end = if operation.limit.is_some() { bytes.len() - 1 } else { 20 };
        let mut connection = fleet.server.connect().await;
        connection.send(&bytes[..end]).await;
        drop(connection);
    }
    let Fleet { server, store, .. } = fleet;
    let core = Arc::clone(&server.core);
    server.stop().await;
    let agents = [DEFAULT_TENANT, OTHER_TENANT].map(|tenant| core.agents(tenant));
    assert!(format!("{:?}\n{agents:?}", store.0.memory) == before, "something was stored");
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order() {
    let fleet = Fleet::start().await;
    let checkin = fleet.operation("acusight.checkin").good;
    let bad = checkin.clone().body("[");
    let poll = fleet.operation("achilles.poll_tasks").good;
    let asks = [&checkin, &bad, &poll, &checkin];
    let mut connection = fleet.server.connect().await;
    connection.send(&asks.map(Ask::to_bytes).concat()).await;
    for status in [200, 400, 200, 200] {
        assert_eq!(connection.receive().await.unwrap().status, status);
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_refused_body_is_never_taken_for_the_next_request() {
    let fleet = Fleet::start().await;
    let enroll = fleet.operation("achilles.enroll");
    // A body that reads like a request, after heads whose body is not read.
    let inner = enroll.good.to_bytes();
    let outer =
        fleet.operation("acusight.checkin").good.header("X-Device-Key", "unknown").body(inner.clone());
    let over = fleet.operation("acusight.checkin").good.header("Content-Length", "9999999");
    for bytes in [outer.to_bytes(), [over.head().into_bytes(), inner].concat()] {
        let hostile = async {
            let mut connection = fleet.server.connect().await;
            connection.send(&bytes).await;
            connection.send_no_more().await;
            let mut statuses = Vec::new();
            while let Some(answer) = connection.receive().await {
                statuses.push(answer.status);
            }
            statuses
        };
        let statuses = fleet.suffer(&enroll, hostile).await;
        assert!(matches!(statuses[..], [401] | [413]), "{statuses:?}");
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn older_and_slower_ways_of_asking_work() {
    let fleet = Fleet::start().await;
    for operation in fleet.operations() {
        let ask = &operation.good;
        // HTTP/1.0, without a host.
        let old = ask.head().replace("HTTP/1.1", "HTTP/1.0").replace("Host: fleet.test\r\n", "");
        let mut connection = fleet.server.connect().await;
        connection.send(&[old.as_bytes(), &ask.body].concat()).await;
        assert_eq!(connection.receive().await.unwrap().status, operation.success, "{}", operation.id);
        assert_eq!(connection.receive().await, None, "a connection of HTTP/1.0 ends with its answer");

        if operation.limit.is_none() {
            continue;
        }
        // The body only when it is asked for.
        let mut connection = fleet.server.connect().await;
        connection.send(ask.clone().header("Expect", "100-continue").head().as_bytes()).await;
        assert_eq!(connection.receive().await.unwrap().status, 100, "{}", operation.id);
        connection.send(&ask.body).await;
        assert_eq!(connection.receive().await.unwrap().status, operation.success, "{}", operation.id);

        // In chunks of one byte, with an extension and a trailer.
        let mut chunked = ask.clone().header("Transfer-Encoding", "chunked").head().into_bytes();
        for byte in &ask.body {
            chunked.extend(b"1;x=y\r\n");
            chunked.extend([*byte, b'\r', b'\n']);
        }
        chunked.extend(b"0\r\nX-Trailer: 1\r\n\r\n");
        let mut connection = fleet.server.connect().await;
        connection.send(&chunked).await;
        assert_eq!(connection.receive().await.unwrap().status, operation.success, "{}", operation.id);
    }
    // Who is not let in is not asked for a body.
    let checkin = fleet.operation("acusight.checkin");
    let unknown = with_key(&checkin.good, Vendor::Acusight, "unknown").header("Expect", "100-continue");
    fleet.refused_head(&checkin, &unknown).await.is(401, stranger(Vendor::Acusight));
    fleet.server.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_request_end_the_connection_and_nothing_else() {
    let fleet = Fleet::start().await;
    let checkin = fleet.operation("acusight.checkin");
    let good = checkin.good.head();
    let framed =
        |headers: &str| good.replace("Content-Length:", &format!("{headers}\r\nX-Was:")).into_bytes();
    let garbage: Vec<Vec<u8>> = vec![
        // The beginning of a TLS handshake, of HTTP/2, of a protocol that is none.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"\x00\xff\x00\xff\r\n\r\n".to_vec(),
        b"hello\r\n\r\n".to_vec(),
        (0..=255).cycle().take(30_000).collect(),
        good.replace("Host:", "Ho st:").into_bytes(),
        good.replace("Host: ", "Host: \0").into_bytes(),
        // Lengths that are none, or not one.
        framed("Content-Length: many"),
        framed("Content-Length: -1"),
        framed("Content-Length: 99999999999999999999999999"),
        framed("Content-Length: 5\r\nContent-Length: 6"),
        framed("Transfer-Encoding: chunked, gzip"),
        [framed("Transfer-Encoding: chunked"), b"zz\r\n".to_vec()].concat(),
        [framed("Transfer-Encoding: chunked"), b"fffffffffffffffff\r\n".to_vec()].concat(),
        [framed("Transfer-Encoding: chunked"), b"3\r\nabcdef\r\n".to_vec()].concat(),
    ];
    for bytes in garbage {
        let hostile = async {
            let mut connection = fleet.server.connect().await;
            connection.send(&bytes).await;
            let answer = connection.receive().await;
            connection.send_no_more().await;
            // Whatever was said, the connection is over.
            (answer, connection.receive().await)
        };
        let (answer, more) = fleet.suffer(&checkin, hostile).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        assert!(
            answer.as_ref().is_none_or(|answer| (400..500).contains(&answer.status)),
            "{shown}: {answer:?}"
        );
        assert_eq!(more, None, "{shown}");
    }
    fleet.server.stop().await;
}

// ---------------------------------------------------------------------------------------------------------
// The stop.

#[tokio::test]
async fn a_stop_lets_requests_end_closes_the_door_and_writes_the_leases() {
    let mut fleet = Fleet::start().await;
    fleet.server.core.flush().await.unwrap();
    fleet.server.clock.advance(5000);
    let address = fleet.server.address;
    let heartbeat = fleet.operation("achilles.heartbeat").good;

    let mut idle = fleet.server.connect().await;
    idle.send(&fleet.operation("zstack.heartbeat").good.to_bytes()).await;
    assert_eq!(idle.receive().await.unwrap().status, 200);
    let mut busy = fleet.server.connect().await;
    busy.send(heartbeat.clone().header("Expect", "100-continue").head().as_bytes()).await;
    // Now it has begun.
    assert_eq!(busy.receive().await.unwrap().status, 100);

    fleet.server.ask_to_stop();
    assert_eq!(idle.receive().await, None, "an idle connection is closed");
    in_time(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    busy.send(&heartbeat.body).await;
    let answer = busy.receive().await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(busy.receive().await, None, "no further request is taken");

    let now = fleet.server.clock.now();
    let Fleet { server, store, .. } = fleet;
    server.stop().await;
    assert_eq!(store.restore().await.unwrap().up_until, Some(now));
    let (give, taken) = std::sync::mpsc::channel();
    let take = Box::new(move |restored| give.send(restored).unwrap());
    store.restore_agents(No::MIN..=No::MAX, take).await.unwrap();
    let seen: Vec<String> = taken
        .into_iter()
        .filter(|restored| restored.lease.as_ref().is_some_and(|lease| lease.last_seen == now))
        .map(|restored| restored.agent.id)
        .collect();
    assert_eq!(seen, [ZSTACK_AGENT, ACHILLES_AGENT]);
}

#[tokio::test]
async fn a_request_that_does_not_end_does_not_hold_up_the_stop() {
    let settings = Settings { stop_within: Duration::from_millis(100), ..calm() };
    let fleet = Fleet::with(Config::default(), settings).await;
    let checkin = fleet.operation("acusight.checkin").good;
    let mut busy: Connection = fleet.server.connect().await;
    busy.send(checkin.header("Expect", "100-continue").head().as_bytes()).await;
    assert_eq!(busy.receive().await.unwrap().status, 100);
    // It would be waited for until the body is given up, which takes longer than a test may.
    fleet.server.stop().await;
}

#[tokio::test]
async fn a_stop_whose_last_flush_fails_says_so() {
    let mut fleet = Fleet::start().await;
    fleet.server.clock.advance(1000);
    fleet.goes_on("zstack.heartbeat").await;
    fleet.store.fail(Failure::Corrupt);
    fleet.server.ask_to_stop();
    assert!(fleet.server.outcome().await.is_err());
}

#[tokio::test]
async fn what_is_beyond_the_requests_under_way_is_put_off_and_heard_once_they_are_over() {
    let fleet = Fleet::with(Config::default(), Settings { in_flight: 2, ..calm() }).await;
    let check_in = |key: &str| {
        Ask::new("POST", "/acusight/api/core/agent/checkin")
            .header("X-Device-Key", key)
            .json(&json!({ "device_id": DEVICE }))
    };
    let good = check_in(&fleet.keys[&Vendor::Acusight]);
    assert_eq!(fleet.server.ask(&good).await.status, 200);

    // Nobody knows these keys but the store, if it does.
    let gate = Arc::new(Semaphore::new(0));
    *fleet.store.0.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let mut held = Vec::new();
    for key in ["adk_one", "adk_two"] {
        let mut connection = fleet.server.connect().await;
        connection.send(&check_in(key).to_bytes()).await;
        held.push(connection);
    }
    in_time(async {
        while fleet.store.0.waiting.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    for _ in 0..40 {
        let answer = fleet.server.ask(&good).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json()["error"], "the server is busy with other requests");
        let wait = answer.header("retry-after").unwrap().parse::<u64>().unwrap();
        assert!((2..=5).contains(&wait), "{wait}");
    }
    gate.close();
    for mut connection in held {
        assert_eq!(in_time(connection.receive()).await.unwrap().status, 401);
    }
    assert_eq!(fleet.server.ask(&good).await.status, 200);
    fleet.server.stop().await;
}
