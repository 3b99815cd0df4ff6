//! AgentMC's own programs as they are known to behave, on a server that fails them in every way that it can: the host
//! supervisor of the newer generation, and the runtime of the source's.
//!
//! They are written after what the vendor's programs do, and speak plain HTTP: none of our types, and none of our
//! client's manners, stands between them and the server. Time is virtual and passes as they wait.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fleetwire_server::{Settings, serve};
use fleetwire_server_core::domain::{DEFAULT_TENANT, InstructionFile, Kind, No, Vendor, WorkState};
use fleetwire_server_core::events::{EventKind, EventQuery};
use fleetwire_server_core::keys::{hex, sha256};
use fleetwire_server_core::lease::{Cadence, Liveness};
use fleetwire_server_core::operator::{Registration, WorkWish};
use fleetwire_server_core::{Config, Core, Entropy};
use fleetwire_store_sqlite::SqliteStore;
use serde_json::{Map, Value, json};
use support::{Answer, Ask, Connection, TestClock, in_time};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[expect(dead_code, reason = "other tests need more of it")]
mod support;

const HOST: &str = "a3f56f330f311a2159f8c101eaf1439a29f1d57f007375d56aa79f304bc4f112";
const OTHER_HOST: &str = "b3f56f330f311a2159f8c101eaf1439a29f1d57f007375d56aa79f304bc4f112";

// The site: a server that can go away and come back, and a line that can be cut.

/// Bytes that never come twice, in whatever process.
#[derive(Debug, Default)]
struct Chance(AtomicU64);

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = sha256(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// What becomes of the next messages.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Line {
    /// They get through.
    Up,
    /// So many answers are lost; what they answer was done.
    LosesAnswers(u32),
    /// Nothing gets through.
    Cut,
}

/// A network error, as far as the other end can tell.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unreachable;

struct Site {
    folder: TempDir,
    clock: TestClock,
    chance: Arc<Chance>,
    config: Config,
    line: Line,
    up: Option<Up>,
    /// How many requests the server has answered.
    answered: u32,
    /// The operator's token.
    operator: Option<String>,
}

struct Up {
    address: SocketAddr,
    core: Arc<Core<SqliteStore>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Site {
    async fn start() -> Self {
        let mut site = Self {
            folder: TempDir::new().unwrap(),
            clock: TestClock::new(),
            chance: Arc::default(),
            config: Config::default(),
            line: Line::Up,
            up: None,
            answered: 0,
            operator: None,
        };
        site.open().await;
        site
    }

    async fn open(&mut self) {
        let store = SqliteStore::open(self.folder.path().join("fleet.sqlite")).unwrap();
        let clock = Arc::new(self.clock.clone());
        let (core, operator) =
            Core::start(store, clock, Arc::clone(&self.chance) as _, self.config.clone()).await.unwrap();
        self.operator = self.operator.take().or(operator);
        let core = Arc::new(core);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        // Leases are written when the test says so.
        let settings = Settings { flush_interval: Duration::from_secs(3600), ..Settings::default() };
        let serving = tokio::spawn(serve(listener, Arc::clone(&core), settings, async move {
            let _ = stopped.await;
        }));
        self.up = Some(Up { address, core, stop, serving });
    }

    /// Stops the server in good order.
    async fn close(&mut self) {
        let Up { stop, serving, core, .. } = self.up.take().unwrap();
        stop.send(()).unwrap();
        in_time(serving).await.unwrap().unwrap();
        drop(core);
    }

    async fn restart(&mut self) {
        self.close().await;
        self.open().await;
    }

    fn core(&self) -> &Core<SqliteStore> {
        &self.up.as_ref().unwrap().core
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(i64::try_from(seconds).unwrap() * 1000);
    }

    /// A message and its answer.
    async fn exchange(&mut self, ask: Ask) -> Result<Answer, Unreachable> {
        let Some(up) = self.up.as_ref().filter(|_| self.line != Line::Cut) else { return Err(Unreachable) };
        let mut connection = Connection::open(up.address).await;
        connection.send(&ask.to_bytes()).await;
        let answer = connection.receive().await.ok_or(Unreachable)?;
        self.answered += 1;
        match self.line {
            Line::LosesAnswers(0 | 1) => self.line = Line::Up,
            Line::LosesAnswers(more) => self.line = Line::LosesAnswers(more - 1),
            Line::Up | Line::Cut => return Ok(answer),
        }
        Err(Unreachable)
    }

    async fn register(&self, kind: Kind, id: Option<&str>, no: Option<No>) -> (No, String) {
        let wish = Registration {
            vendor: Vendor::AgentMc,
            kind,
            no,
            id: id.map(str::to_owned),
            name: None,
            facts: Map::new(),
            labels: BTreeMap::new(),
        };
        let (view, key) = self.core().register(DEFAULT_TENANT, wish).await.unwrap();
        (view.agent.no, key)
    }

    /// Has a host told to make an agent. Returns the work's id.
    async fn command(&self, host: &str, name: &str, key: &str) -> String {
        let payload = json!({"agent_name": name, "runtime_key": key, "agent_emoji": "🤖"});
        let Value::Object(payload) = payload else { unreachable!() };
        let wish = WorkWish { kind: "agent.provision".to_owned(), payload, ..WorkWish::default() };
        let (view, _) = self.core().queue_work(DEFAULT_TENANT, Vendor::AgentMc, host, wish).await.unwrap();
        view.work.id
    }

    async fn work(&self, id: &str) -> (WorkState, Option<Value>) {
        let work = self.core().work_named(DEFAULT_TENANT, id.to_owned()).await.unwrap().work;
        (work.state, work.result)
    }

    async fn told(&self, kind: EventKind) -> usize {
        let query = EventQuery { after: Some(0), kind: Some(kind), limit: 1000, agent: None };
        self.core().events(DEFAULT_TENANT, query).await.unwrap().len()
    }

    fn liveness(&self, id: &str) -> Liveness {
        self.core().find_agent(DEFAULT_TENANT, Vendor::AgentMc, id).unwrap().liveness
    }

    async fn instruct(&self, agent: Option<No>, files: &[(&str, &str)]) -> String {
        let file = |(path, content): &(&str, &str)| InstructionFile {
            path: (*path).to_owned(),
            content: (*content).to_owned(),
        };
        let files = files.iter().map(file).collect();
        self.core().set_instructions(DEFAULT_TENANT, agent, files).await.unwrap().version()
    }
}

// What both programs share: the vendor's package for HTTP.

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq)]
enum Trouble {
    /// The server was not reached in three attempts.
    Network,
    /// It refused, with a status and a code.
    Refused(u16, String),
}

/// Sends a request; what does not get through is tried three times, 350 ms apart, then 700 ms. What is refused is not
/// tried again.
async fn call(site: &mut Site, ask: &Ask) -> Result<Value, Trouble> {
    for attempt in 0..3_u32 {
        if attempt > 0 {
            site.clock.advance((350 << (attempt - 1)).min(2000));
        }
        let Ok(answer) = site.exchange(ask.clone()).await else { continue };
        if (200..300).contains(&answer.status) {
            return Ok(answer.json());
        }
        // The code stands in an envelope or alone.
        let body = answer.json();
        let code = body.pointer("/error/code").or_else(|| body.get("code"));
        let code = code.and_then(Value::as_str).unwrap_or("unknown").to_owned();
        return Err(Trouble::Refused(answer.status, code));
    }
    Err(Trouble::Network)
}

fn ask(method: &str, path: &str, key: &str) -> Ask {
    Ask::new(method, &format!("/agentmc/api/v1{path}"))
        .header("X-Api-Key", key)
        .header("Accept", "application/json")
        .header("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)")
}

fn host_meta(cpu: &Value, disk: u64) -> Value {
    json!({
        "hostname": "w1", "ip": "10.0.2.15",
        "network": {"private_ip": "10.0.2.15", "public_ip": "10.0.2.15"},
        "os": "linux", "os_version": "6.8.0", "arch": "x64", "cpu": cpu, "cpu_cores": 8, "ram_gb": 31.25,
        "disk": {"total_bytes": disk, "free_bytes": disk / 2}, "uptime_seconds": 86400,
        "runtime": {"name": "openclaw", "version": "2026.2.26"},
    })
}

// The newer generation's host supervisor.

/// The codes on which it stops for good.
const FATAL: [&str; 5] = [
    "auth.invalid_api_key",
    "auth.insufficient_scope",
    "auth.api_key_expired",
    "auth.team_not_found",
    "auth.unsupported_token",
];

#[derive(Debug, Clone, PartialEq)]
struct Local {
    name: String,
    key: String,
    id: Option<i64>,
}

struct Supervisor {
    key: String,
    agents: Vec<Local>,
    /// Seconds to the next heartbeat.
    interval: u64,
    /// What became of commands, kept until a heartbeat has succeeded.
    updates: Vec<Value>,
    /// How often each command was run.
    runs: BTreeMap<i64, u32>,
    /// Commands for agents of this name cannot be done.
    impossible: &'static str,
    stopped: Option<String>,
}

impl Supervisor {
    fn new(key: String, agents: &[(&str, &str)]) -> Self {
        let local =
            |(name, key): &(&str, &str)| Local { name: (*name).to_owned(), key: (*key).to_owned(), id: None };
        Self {
            key,
            agents: agents.iter().map(local).collect(),
            interval: 60,
            updates: Vec::new(),
            runs: BTreeMap::new(),
            impossible: "Impossible",
            stopped: None,
        }
    }

    fn body(&self) -> Value {
        let agent = |agent: &Local| {
            let identity = json!({"name": agent.name, "agent_key": agent.key, "openclaw_agent": agent.key});
            let mut row = json!({"name": agent.name, "type": "openclaw", "identity": identity});
            if let Some(id) = agent.id {
                row["id"] = json!(id);
            }
            row
        };
        let mut body = json!({
            "meta": {
                "runtime": {"name": "openclaw", "version": "2026.2.26", "mode": "openclaw"},
                "type": "openclaw", "runtime_mode": "openclaw", "models": ["openai/gpt-5-codex"],
            },
            // The fingerprint is in the body alone, and nobody has looked at the disk.
            "host": {"fingerprint": HOST, "name": "w1", "meta": host_meta(&json!({"model": "Intel Xeon"}), 0)},
            "agents": self.agents.iter().map(agent).collect::<Vec<_>>(),
        });
        if !self.updates.is_empty() {
            body["host_runtime_updates"] = json!(self.updates);
        }
        body
    }

    /// The first heartbeat, again and again until it has succeeded. Returns the waits.
    async fn start(&mut self, site: &mut Site) -> Vec<u64> {
        let mut waits = Vec::new();
        while self.stopped.is_none() && self.beat(site).await.is_err() {
            let wait = (5 << waits.len()).min(60);
            waits.push(wait);
            site.pass(wait);
            if waits.len() == 5 {
                site.line = Line::Up;
            }
        }
        waits
    }

    /// Waits for the interval, then reports; does nothing once it has stopped.
    async fn tick(&mut self, site: &mut Site) -> Result<(), Trouble> {
        if self.stopped.is_some() {
            return Ok(());
        }
        site.pass(self.interval);
        self.beat(site).await
    }

    /// A heartbeat, and one more at once for what was done.
    async fn beat(&mut self, site: &mut Site) -> Result<(), Trouble> {
        while self.report(site).await? {}
        Ok(())
    }

    /// Reports once. Says whether commands were run.
    async fn report(&mut self, site: &mut Site) -> Result<bool, Trouble> {
        let request = ask("POST", "/hosts/heartbeat", &self.key).json(&self.body());
        let answer = match call(site, &request).await {
            Ok(answer) => answer,
            Err(trouble) => {
                if let Trouble::Refused(_, code) = &trouble
                    && FATAL.contains(&code.as_str())
                {
                    self.stopped = Some(code.clone());
                }
                return Err(trouble);
            }
        };
        self.updates.clear();
        let defaults = answer.get("defaults");
        let interval = defaults.and_then(|defaults| {
            defaults.get("heartbeat_interval_seconds").or_else(|| defaults.get("heartbeatIntervalSeconds"))
        });
        if let Some(interval) = interval.and_then(Value::as_u64).filter(|seconds| *seconds >= 1) {
            self.interval = interval;
        }
        for row in answer["agents"].as_array().into_iter().flatten() {
            let key =
                ["runtime_key", "runtimeKey", "agent_key"].iter().find_map(|name| row.get(name)?.as_str());
            let known = self.agents.iter_mut().find(|agent| match key {
                Some(key) => agent.key == key,
                None => row["name"] == agent.name.as_str(),
            });
            if let Some(known) = known {
                known.id = row["id"].as_i64();
            }
        }
        let commands = answer["host_runtime_commands"].as_array().cloned().unwrap_or_default();
        for command in &commands {
            self.run(command);
        }
        Ok(!commands.is_empty())
    }

    fn run(&mut self, command: &Value) {
        let id = command["id"].as_i64().unwrap();
        *self.runs.entry(id).or_default() += 1;
        assert_eq!((&command["type"], &command["provider"]), (&json!("agent.provision"), &json!("openclaw")));
        let payload = &command["payload"];
        let (name, key) = (payload["agent_name"].as_str().unwrap(), payload["runtime_key"].as_str().unwrap());
        if name == self.impossible {
            self.updates.push(json!({"id": id, "status": "failed", "error": "the workspace is not empty"}));
            return;
        }
        self.agents.push(Local { name: name.to_owned(), key: key.to_owned(), id: None });
        let result = json!({"runtime_key": key, "runtime_agent_name": name, "workspace_dir": "/srv/agents"});
        self.updates.push(json!({"id": id, "status": "completed", "result": result}));
    }

    fn ids(&self) -> Vec<Option<i64>> {
        self.agents.iter().map(|agent| agent.id).collect()
    }
}

#[tokio::test]
async fn host_supervisor_lives_through_lost_answers_outages_and_a_restart() {
    let mut site = Site::start().await;
    let (host, key) = site.register(Kind::Host, Some(HOST), None).await;
    let mut supervisor = Supervisor::new(key, &[("Jarvis", "main"), ("Friday", "second")]);

    // Nothing gets through at first.
    site.line = Line::Cut;
    assert_eq!(supervisor.start(&mut site).await, [5, 10, 20, 40, 60]);
    assert!(supervisor.ids().iter().all(Option::is_some), "{:?}", supervisor.agents);
    assert_eq!(supervisor.interval, 60);
    let ids = supervisor.ids();
    assert_eq!(site.core().agents(DEFAULT_TENANT).len(), 3, "the host was known, two agents were made");

    // Two commands, one of which cannot be done; the heartbeat that tells so is not answered, three times.
    let good = site.command(HOST, "Edith", "third").await;
    let bad = site.command(HOST, "Impossible", "fourth").await;
    site.pass(supervisor.interval);
    assert_eq!(supervisor.report(&mut site).await, Ok(true));
    assert_eq!(
        (site.work(&good).await.0, site.work(&bad).await.0),
        (WorkState::Delivered, WorkState::Delivered)
    );
    site.line = Line::LosesAnswers(3);
    assert_eq!(supervisor.beat(&mut site).await, Err(Trouble::Network));
    assert_eq!(supervisor.updates.len(), 2, "they are kept until a heartbeat succeeds");
    let result = json!({"result": {
        "runtime_agent_name": "Edith", "runtime_key": "third", "workspace_dir": "/srv/agents",
    }});
    let expected = [
        (WorkState::Succeeded, Some(result)),
        (WorkState::Failed, Some(json!({"error": "the workspace is not empty"}))),
    ];
    assert_eq!([site.work(&good).await, site.work(&bad).await], expected);
    supervisor.tick(&mut site).await.unwrap();
    assert!(supervisor.updates.is_empty());
    assert_eq!([site.work(&good).await, site.work(&bad).await], expected, "told again it is as it was");
    assert_eq!(supervisor.runs.values().copied().collect::<Vec<_>>(), [1, 1]);
    assert_eq!(site.told(EventKind::WorkEnded).await, 2, "once each");
    assert!(supervisor.ids()[2].is_some(), "the new one is reported and has its id");
    assert_eq!(supervisor.ids()[..2], ids, "nobody is made twice");

    // The heartbeat that would have told of a command is not answered: it is told again.
    let late = site.command(HOST, "Karen", "fifth").await;
    site.line = Line::LosesAnswers(3);
    assert_eq!(supervisor.tick(&mut site).await, Err(Trouble::Network));
    assert_eq!(site.work(&late).await.0, WorkState::Delivered);
    assert_eq!(supervisor.runs.len(), 2);
    supervisor.tick(&mut site).await.unwrap();
    assert_eq!(site.work(&late).await.0, WorkState::Succeeded);
    site.core().flush().await.unwrap();

    // Ten minutes without a network.
    let offline = site.told(EventKind::Offline).await;
    site.line = Line::Cut;
    for _ in 0..10 {
        assert_eq!(supervisor.tick(&mut site).await, Err(Trouble::Network));
        site.core().flush().await.unwrap();
    }
    assert_eq!(site.liveness(HOST), Liveness::Offline);
    assert_eq!(
        site.told(EventKind::Offline).await,
        offline + 5,
        "the host and the four agents on it, once each"
    );
    site.line = Line::Up;
    supervisor.tick(&mut site).await.unwrap();
    site.core().flush().await.unwrap();
    assert_eq!(site.liveness(HOST), Liveness::Online);
    assert_eq!(site.told(EventKind::Offline).await, offline + 5);

    // Ten minutes without a server, which comes back with another interval; a command waits meanwhile.
    let waiting = site.command(HOST, "Veronica", "sixth").await;
    let known = supervisor.ids();
    site.close().await;
    for _ in 0..10 {
        assert_eq!(supervisor.tick(&mut site).await, Err(Trouble::Network));
    }
    site.config.agentmc = Cadence::seconds(120);
    site.open().await;
    assert_ne!(site.liveness(HOST), Liveness::Offline, "the server's absence is not the host's");
    supervisor.tick(&mut site).await.unwrap();
    assert_eq!(supervisor.interval, 120, "taken at once");
    assert_eq!(supervisor.ids()[..4], known);
    assert_eq!(site.work(&waiting).await.0, WorkState::Succeeded);
    assert!(supervisor.runs.values().all(|runs| *runs == 1), "{:?}", supervisor.runs);
    site.core().flush().await.unwrap();
    assert_eq!(site.told(EventKind::Offline).await, offline + 5);

    // Its key ends: it stops, and asks no more.
    site.core().revoke_keys(DEFAULT_TENANT, Vendor::AgentMc, HOST).await.unwrap();
    let refused = Trouble::Refused(401, "auth.invalid_api_key".to_owned());
    assert_eq!(supervisor.tick(&mut site).await, Err(refused));
    assert_eq!(supervisor.stopped.as_deref(), Some("auth.invalid_api_key"));
    let answered = site.answered;
    supervisor.tick(&mut site).await.unwrap();
    assert_eq!(site.answered, answered);
    assert_eq!(site.core().find_agent(DEFAULT_TENANT, Vendor::AgentMc, HOST).unwrap().agent.no, host);
    site.close().await;
}

#[tokio::test]
async fn supervisor_with_another_hosts_key_stops_and_is_told_nothing() {
    let mut site = Site::start().await;
    site.register(Kind::Host, Some(HOST), None).await;
    let (_, other) = site.register(Kind::Host, Some(OTHER_HOST), None).await;
    let work = site.command(HOST, "Edith", "third").await;
    let mut supervisor = Supervisor::new(other, &[("Jarvis", "main")]);
    assert_eq!(supervisor.start(&mut site).await, [5], "it stops, and does not try again");
    assert_eq!(supervisor.stopped.as_deref(), Some("auth.insufficient_scope"));
    assert_eq!(site.work(&work).await.0, WorkState::Queued);
    assert_eq!(site.core().agents(DEFAULT_TENANT).len(), 2);
    site.close().await;
}

#[tokio::test]
async fn agents_beyond_the_plan_are_left_out_and_the_rest_live_on() {
    let mut site = Site::start().await;
    site.close().await;
    site.config.agents_per_host = 2;
    site.open().await;
    let (_, key) = site.register(Kind::Host, Some(HOST), None).await;
    let agents = [("a", "a"), ("b", "b"), ("c", "c")];
    let mut supervisor = Supervisor::new(key, &agents);
    for _ in 0..3 {
        supervisor.tick(&mut site).await.unwrap();
        assert_eq!(supervisor.ids().iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
    }
    let kept = supervisor.ids();
    // The plan is a larger one.
    site.close().await;
    site.config.agents_per_host = 3;
    site.open().await;
    supervisor.tick(&mut site).await.unwrap();
    assert_eq!(supervisor.ids()[..2], kept[..2]);
    assert!(supervisor.ids()[2].is_some());

    // A tenant that is full takes no new host; the vendor's newer document has a status for that.
    site.close().await;
    site.config.agents_per_tenant = 4;
    site.open().await;
    let team = site.core().issue_tenant_key(DEFAULT_TENANT, Vendor::AgentMc).await.unwrap();
    let mut body = supervisor.body();
    body["host"]["fingerprint"] = json!(OTHER_HOST);
    for agent in body["agents"].as_array_mut().unwrap() {
        agent.as_object_mut().unwrap().remove("id");
    }
    let answer = site.exchange(ask("POST", "/hosts/heartbeat", &team).json(&body)).await.unwrap();
    assert_eq!((answer.status, answer.json()["error"]["message"].is_string()), (402, true));
    supervisor.tick(&mut site).await.unwrap();
    site.close().await;
}

#[tokio::test]
async fn updates_of_other_hosts_and_of_unknown_words_are_passed_over() {
    let mut site = Site::start().await;
    let (_, key) = site.register(Kind::Host, Some(HOST), None).await;
    site.register(Kind::Host, Some(OTHER_HOST), None).await;
    let team = site.core().issue_tenant_key(DEFAULT_TENANT, Vendor::AgentMc).await.unwrap();
    let theirs = site.command(OTHER_HOST, "Edith", "third").await;
    let own = site.command(HOST, "Karen", "third").await;
    let mut supervisor = Supervisor::new(key, &[("Jarvis", "main")]);
    let mut other = supervisor.body();
    other["host"]["fingerprint"] = json!(OTHER_HOST);
    let told = site.exchange(ask("POST", "/hosts/heartbeat", &team).json(&other)).await.unwrap().json();
    let id = told["host_runtime_commands"][0]["id"].as_i64().unwrap();

    supervisor.updates = vec![
        json!({"id": id, "status": "completed"}),
        json!({"id": 987_654, "status": "failed", "error": "who?"}),
    ];
    assert_eq!(supervisor.report(&mut site).await, Ok(true), "a host with old updates is not turned away");
    assert_eq!(site.work(&theirs).await, (WorkState::Delivered, None));
    // A word that is neither end leaves its command open, and it is told again.
    let mut deferred = supervisor.updates.clone();
    let karen = deferred[0]["id"].as_i64().unwrap();
    deferred[0]["status"] = json!("deferred");
    supervisor.updates = deferred;
    assert_eq!(supervisor.report(&mut site).await, Ok(true));
    assert_eq!((site.work(&own).await.0, supervisor.runs[&karen]), (WorkState::Delivered, 2));
    supervisor.report(&mut site).await.unwrap();
    assert_eq!(site.work(&own).await.0, WorkState::Succeeded);
    site.close().await;
}

// The source generation's runtime: one agent, which asks for its instructions first.

struct Runtime {
    key: String,
    /// The agent's id, which it learns from its instructions.
    id: Option<i64>,
    interval: Option<u64>,
    bundle: Option<String>,
    files: BTreeMap<String, String>,
}

impl Runtime {
    fn new(key: String) -> Self {
        Self { key, id: None, interval: None, bundle: None, files: BTreeMap::new() }
    }

    /// Asks for instructions, and takes the files if there are others. Says whether there were.
    async fn ask_for_instructions(&mut self, site: &mut Site) -> Result<bool, Trouble> {
        let query = self.bundle.as_ref().map(|bundle| format!("?current_bundle_version={bundle}"));
        let path = format!("/agents/instructions{}", query.unwrap_or_default());
        let answer = call(site, &ask("GET", &path, &self.key)).await?;
        self.id = answer["agent"]["id"].as_i64();
        // Less than that it does not take, and without an interval it does not start.
        let interval = answer["defaults"]["heartbeat_interval_seconds"].as_u64();
        self.interval = Some(interval.filter(|seconds| *seconds >= 5).unwrap());
        self.bundle = answer["bundle_version"].as_str().map(str::to_owned);
        let changed = answer["changed"].as_bool().unwrap();
        let files = answer["files"].as_array().unwrap();
        assert!(changed || files.is_empty());
        if changed {
            self.files.clear();
        }
        for file in files {
            let content = file["content"].as_str().unwrap();
            assert_eq!(file["sha256"], hex(&sha256(content.as_bytes())).as_str());
            assert!(file["id"].is_string());
            self.files.insert(file["path"].as_str().unwrap().to_owned(), content.to_owned());
        }
        Ok(changed)
    }

    fn body(&self, name: &str) -> Value {
        json!({
            "meta": {
                "type": "codex", "runtime": {"name": "openclaw", "version": "2026.2.26"},
                "models": ["openai/gpt-5-codex"], "emoji": "🤖",
                "tool_availability": {"chat_realtime": false, "docs_realtime": false},
            },
            "host": {
                "fingerprint": HOST, "name": "worker-01", "meta": host_meta(&json!("Intel Xeon"), 536_870_912_000),
            },
            "agent": {"id": self.id, "name": name, "type": "runtime", "identity": {"name": name, "vibe": "calm"}},
        })
    }

    async fn beat(&self, site: &mut Site, name: &str) -> Result<Value, Trouble> {
        // The fingerprint stands in both places.
        let request = ask("POST", "/agents/heartbeat", &self.key).header("X-Host-Fingerprint", HOST);
        site.pass(self.interval.unwrap());
        call(site, &request.json(&self.body(name))).await
    }
}

#[tokio::test]
async fn source_runtime_asks_for_instructions_then_reports_through_a_restart() {
    let mut site = Site::start().await;
    let (_, key) = site.register(Kind::Agent, None, Some(42)).await;
    let mut runtime = Runtime::new(key.clone());

    // Nobody has set any: that is an answer, too.
    assert_eq!(runtime.ask_for_instructions(&mut site).await, Ok(true));
    assert_eq!((runtime.id, runtime.interval, runtime.files.len()), (Some(42), Some(60), 0));
    let first = runtime.beat(&mut site, "Jarvis").await.unwrap();
    assert_eq!((&first["ok"], &first["agent"]["id"]), (&json!(true), &json!(42)));
    assert_eq!((&first["host"]["status"], &first["host"]["agents_total"]), (&json!("online"), &json!(1)));
    assert!(first.get("agents").is_none() && first.get("host_runtime_commands").is_none());
    assert_eq!(runtime.ask_for_instructions(&mut site).await, Ok(false));

    // For all, then for this one alone.
    let all = site.instruct(None, &[("AGENTS.md", "Be kind.\n"), (".agentmc/skills/a.md", "🤖")]).await;
    assert_eq!(runtime.ask_for_instructions(&mut site).await, Ok(true));
    assert_eq!((runtime.files.len(), runtime.bundle.as_ref()), (2, Some(&all)));
    let own = site.instruct(Some(42), &[("AGENTS.md", "Be quick.\n")]).await;
    site.restart().await;
    let mut runtime = Runtime { bundle: runtime.bundle, files: runtime.files, ..Runtime::new(key) };
    assert_eq!(runtime.ask_for_instructions(&mut site).await, Ok(true), "before any heartbeat");
    assert_eq!((&runtime.files["AGENTS.md"], runtime.files.len()), (&"Be quick.\n".to_owned(), 1));
    assert_eq!((runtime.id, runtime.bundle.as_ref()), (Some(42), Some(&own)));
    assert_eq!(runtime.ask_for_instructions(&mut site).await, Ok(false));
    assert_eq!(runtime.beat(&mut site, "Jarvis").await.unwrap()["host"]["id"], first["host"]["id"]);

    // An answer is lost, and the network for ten minutes.
    site.line = Line::LosesAnswers(1);
    runtime.beat(&mut site, "Jarvis").await.unwrap();
    site.line = Line::Cut;
    for _ in 0..10 {
        assert_eq!(runtime.beat(&mut site, "Jarvis").await, Err(Trouble::Network));
    }
    assert_eq!(site.liveness("42"), Liveness::Offline);
    site.line = Line::Up;
    assert_eq!(runtime.beat(&mut site, "Jarvis II").await.unwrap()["agent"]["name"], "Jarvis II");
    assert_eq!(site.liveness("42"), Liveness::Online);
    assert_eq!(site.core().agents(DEFAULT_TENANT).len(), 2, "one host and one agent, all along");

    // Its key is good for no other agent, and brings it no commands of the host.
    let (other, _) = site.register(Kind::Agent, None, None).await;
    let work = site.command(HOST, "Edith", "third").await;
    let answer = runtime.beat(&mut site, "Jarvis").await.unwrap();
    assert!(answer.get("host_runtime_commands").is_none());
    assert_eq!(site.work(&work).await.0, WorkState::Queued);
    let insufficient = Err(Trouble::Refused(403, "auth.insufficient_scope".to_owned()));
    let strange = Runtime { id: Some(other), ..Runtime::new(runtime.key.clone()) };
    let strange = ask("POST", "/agents/heartbeat", &strange.key).json(&strange.body("x"));
    assert_eq!(call(&mut site, &strange).await, insufficient);
    let path = format!("/agents/instructions?agent_id={other}");
    assert_eq!(call(&mut site, &ask("GET", &path, &runtime.key)).await, insufficient);
    site.close().await;
}

#[tokio::test]
async fn older_path_names_the_agent_that_the_body_leaves_out() {
    let mut site = Site::start().await;
    let (no, _) = site.register(Kind::Agent, None, Some(42)).await;
    let (other, _) = site.register(Kind::Agent, None, Some(43)).await;
    let key = site.core().issue_tenant_key(DEFAULT_TENANT, Vendor::AgentMc).await.unwrap();
    let old = async |site: &mut Site, agent: &str, body: &Value| {
        let request = ask("POST", &format!("/agents/{agent}/heartbeat"), &key).json(body);
        site.exchange(request).await.unwrap()
    };
    let mut body = Runtime::new(String::new()).body("Jarvis");
    for id in [None, Some(Value::Null), Some(json!(42))] {
        match id {
            Some(id) => body["agent"]["id"] = id,
            None => drop(body["agent"].as_object_mut().unwrap().remove("id")),
        }
        let answer = old(&mut site, "42", &body).await;
        assert_eq!((answer.status, &answer.json()["agent"]["id"]), (200, &json!(no)), "{:?}", answer.json());
    }
    // The body names another one; the path names none.
    for (path, id) in [("42", Some(other)), ("none", None), ("0", None), ("-42", None), ("4%32x", None)] {
        body["agent"]["id"] = json!(id);
        let answer = old(&mut site, path, &body).await;
        assert_eq!(answer.status, 422, "{path}");
        let fields = answer.json()["error"]["details"]["fields"].clone();
        assert_eq!(fields.as_object().unwrap().keys().collect::<Vec<_>>(), ["agent"], "{path}");
    }
    // In a list it has to be one of those, or the only one that says no id.
    let agents = |agents: Value| {
        let mut body = body.clone();
        body.as_object_mut().unwrap().remove("agent");
        body["agents"] = agents;
        body
    };
    let row = |id: Option<No>, name: &str| json!({"id": id, "name": name, "identity": "x"});
    let only = old(&mut site, "42", &agents(json!([row(None, "Jarvis")]))).await;
    assert_eq!((only.status, &only.json()["agents"][0]["id"]), (200, &json!(42)));
    let both = agents(json!([row(Some(43), "Friday"), row(Some(42), "Jarvis")]));
    assert_eq!(old(&mut site, "42", &both).await.status, 200);
    let neither = agents(json!([row(Some(43), "Friday"), row(None, "Jarvis")]));
    assert_eq!(old(&mut site, "42", &neither).await.status, 422);
    // A path of its own wins over the one with an agent in it.
    body["agent"]["id"] = json!(42);
    let answer = site.exchange(ask("POST", "/agents/heartbeat", &key).json(&body)).await.unwrap();
    assert_eq!(answer.status, 200);
    site.close().await;
}

#[tokio::test]
async fn instructions_are_for_an_agent_that_the_key_covers() {
    let mut site = Site::start().await;
    let (_, key) = site.register(Kind::Host, Some(HOST), None).await;
    let (stranger, _) = site.register(Kind::Agent, None, None).await;
    let team = site.core().issue_tenant_key(DEFAULT_TENANT, Vendor::AgentMc).await.unwrap();
    let version = site.instruct(None, &[("AGENTS.md", "Be kind.\n")]).await;
    let mut supervisor = Supervisor::new(key.clone(), &[("Jarvis", "main")]);
    let get = async |site: &mut Site, key: &str, query: &str, header: Option<&str>| {
        let mut request = ask("GET", &format!("/agents/instructions{query}"), key);
        if let Some(id) = header {
            request = request.header("X-Agent-Id", id);
        }
        let answer = site.exchange(request).await.unwrap();
        (answer.status, answer.json())
    };

    // A host without agents, then with one, then with two.
    assert_eq!(get(&mut site, &key, "", None).await.0, 422);
    supervisor.tick(&mut site).await.unwrap();
    let jarvis = supervisor.ids()[0].unwrap();
    let (status, answer) = get(&mut site, &key, "", None).await;
    assert_eq!(
        (status, &answer["agent"]["id"], &answer["bundle_version"]),
        (200, &json!(jarvis), &json!(version))
    );
    site.restart().await;
    assert_eq!(get(&mut site, &key, "", None).await.0, 200, "before any heartbeat");
    supervisor.agents.push(Local { name: "Friday".to_owned(), key: "second".to_owned(), id: None });
    supervisor.tick(&mut site).await.unwrap();
    let (status, answer) = get(&mut site, &key, "", None).await;
    let told = &answer["error"]["details"]["fields"]["X-Agent-Id"][0];
    assert_eq!((status, told), (422, &json!("The X-Agent-Id field is required.")));

    let friday = supervisor.ids()[1].unwrap();
    let id = friday.to_string();
    for (query, header) in [(String::new(), Some(id.as_str())), (format!("?agent_id={id}"), None)] {
        for key in [&key, &team] {
            let (status, answer) = get(&mut site, key, &query, header).await;
            assert_eq!((status, &answer["agent"]["id"]), (200, &json!(friday)), "{query}");
        }
    }
    // The header comes first, and what it says wrongly is told.
    let query = format!("?agent_id={jarvis}");
    assert_eq!(get(&mut site, &key, &query, Some(&id)).await.1["agent"]["id"], friday);
    for (query, header, status, code) in [
        (String::new(), Some("x"), 422, "validation.failed"),
        ("?agent_id=-1".to_owned(), None, 422, "validation.failed"),
        ("?agent_id=987654".to_owned(), None, 404, "resource.not_found"),
        (format!("?agent_id={stranger}"), None, 403, "auth.insufficient_scope"),
        (format!("?agent_id={id}&current_bundle_version=a%20b"), None, 422, "validation.failed"),
        (
            format!("?agent_id={id}&current_bundle_version={}", "x".repeat(121)),
            None,
            422,
            "validation.failed",
        ),
    ] {
        let (given, answer) = get(&mut site, &key, &query, header).await;
        assert_eq!((given, &answer["error"]["code"]), (status, &json!(code)), "{query} {header:?}");
    }
    assert_eq!(get(&mut site, &team, &format!("?agent_id={stranger}"), None).await.0, 200);
    assert_eq!(get(&mut site, "cc_unknown", "", None).await.0, 401);
    site.close().await;
}

#[tokio::test]
async fn operators_set_see_and_forget_instructions() {
    let mut site = Site::start().await;
    site.register(Kind::Agent, None, Some(42)).await;
    site.register(Kind::Host, Some(HOST), None).await;
    let token = site.operator.clone().unwrap();
    let control = async |site: &mut Site, method: &str, path: &str, body: Value| {
        let request = Ask::new(method, &format!("/control/v1{path}"));
        let request = request.header("Authorization", &format!("Bearer {token}"));
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = site.exchange(request).await.unwrap();
        (answer.status, if answer.body.is_empty() { Value::Null } else { answer.json() })
    };
    let (all, own) = ("/instructions", "/agents/agentmc/42/instructions");
    let files = |path: &str, text: &str| json!({"files": [{"path": path, "content": text}]});
    assert_eq!(control(&mut site, "GET", all, Value::Null).await.0, 404);
    let (status, set) = control(&mut site, "PUT", all, files("AGENTS.md", "Be kind.")).await;
    assert_eq!((status, &set["agent"], set["version"].as_str().unwrap().len()), (200, &Value::Null, 64));
    assert_eq!(
        control(&mut site, "GET", own, Value::Null).await,
        (200, set.clone()),
        "everybody's are its own"
    );
    let (status, mine) = control(&mut site, "PUT", own, files("AGENTS.md", "Be quick.")).await;
    assert_eq!(
        (status, &mine["agent"], &mine["files"][0]["content"]),
        (200, &json!(42), &json!("Be quick."))
    );
    assert_eq!(control(&mut site, "GET", own, Value::Null).await.1, mine);
    assert_eq!(control(&mut site, "DELETE", own, Value::Null).await, (204, Value::Null));
    assert_eq!(control(&mut site, "GET", own, Value::Null).await.1, set);
    assert_eq!(control(&mut site, "DELETE", own, Value::Null).await.0, 404, "its own are forgotten already");

    for (path, body, status) in [
        (all, files("../etc/passwd", "x"), 422),
        (all, files("a", &"x".repeat(300 * 1024)), 422),
        (all, json!({"files": [{"path": "a", "content": "x", "mode": 7}]}), 422),
        ("/agents/agentmc/43/instructions", files("a", "x"), 404),
        (&format!("/agents/agentmc/{HOST}/instructions"), files("a", "x"), 422),
        ("/agents/nobody/42/instructions", files("a", "x"), 404),
    ] {
        assert_eq!(control(&mut site, "PUT", path, body).await.0, status, "{path}");
    }
    assert_eq!(control(&mut site, "GET", all, Value::Null).await.1, set);
    site.close().await;
}
