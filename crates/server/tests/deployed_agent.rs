//! A double of the deployed Achilles agent, a Go program, and the life that it leads on our server.
//!
//! It is written after what is known of that program and of its wire, with texts and JSON of its own: none of our
//! types, no client of ours. It lives under a clock that moves when it waits, over real sockets, on either store; and at
//! the end what the server has stored is held against what the agent did.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[expect(dead_code, reason = "other tests need more of it")]
mod support;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fleetwire_server::Settings;
use fleetwire_server_core::store::{MemoryStore, Store};
use fleetwire_server_core::{Clock, Config};
use fleetwire_store_sqlite::SqliteStore;
use ring::{digest, signature};
use serde_json::{Value, json};
use support::{Answer, Ask, Connection, TestClock, TestServer};

const HEARTBEAT: i64 = 60;
const POLL: i64 = 30;
const UPDATE_CHECK: i64 = 3600;
const JITTER: i64 = 5;
/// Results that wait on its disk at most.
const QUEUE: usize = 100;

/// The way from the agent to whatever serves at the time, and what goes wrong on it.
#[derive(Clone)]
struct Net(Arc<Mutex<Way>>);

struct Way {
    server: Option<SocketAddr>,
    /// Of requests whose target ends so, the answer is lost, once each.
    lost_answers: Vec<&'static str>,
    /// Every request that went out: its line, its status (0 if none came back), and the key that it was signed with.
    log: Vec<(String, u16, String)>,
}

impl Net {
    fn new(server: SocketAddr) -> Self {
        Self(Arc::new(Mutex::new(Way { server: Some(server), lost_answers: Vec::new(), log: Vec::new() })))
    }

    fn serve_from(&self, server: Option<SocketAddr>) {
        self.0.lock().unwrap().server = server;
    }

    fn lose_answer_of(&self, target: &'static str) {
        self.0.lock().unwrap().lost_answers.push(target);
    }

    fn log(&self) -> Vec<(String, u16, String)> {
        self.0.lock().unwrap().log.clone()
    }

    /// One exchange on a connection of its own; `None` is an error of the network.
    async fn exchange(&self, ask: &Ask) -> Option<Answer> {
        let server = self.0.lock().unwrap().server;
        let answer = match server {
            Some(server) => {
                let mut connection = Connection::open(server).await;
                connection.send(&ask.to_bytes()).await;
                connection.receive().await
            }
            None => None,
        };
        let mut way = self.0.lock().unwrap();
        let lost = way.lost_answers.iter().position(|target| ask.target.ends_with(target));
        let answer = match lost.filter(|_| answer.is_some()) {
            Some(place) => {
                way.lost_answers.remove(place);
                None
            }
            None => answer,
        };
        let key = ask.headers.iter().find(|(name, _)| name == "Authorization");
        let key = key.map(|(_, value)| value.clone()).unwrap_or_default();
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        way.log.push((format!("{} {}", ask.method, ask.target), status, key));
        answer
    }
}

/// What it keeps on its disk, and so over a restart.
#[derive(Clone, Default)]
struct Disk {
    agent_id: String,
    agent_key: String,
    server_url: String,
    public_key: String,
    /// Results that could not be delivered: the task and the body.
    queue: VecDeque<(String, Value)>,
}

/// What a task is to come to, which the test decides in the place of a machine.
#[derive(Clone)]
struct Part {
    /// Seconds that it takes.
    takes: i64,
    exit_code: i64,
    /// Why its binary cannot be run, if it cannot.
    broken: Option<&'static str>,
    bundle: Option<Value>,
    /// Something that happens in the middle of it.
    meanwhile: Option<Meanwhile>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    ServerFalls,
}

impl Default for Part {
    fn default() -> Self {
        Self { takes: 20, exit_code: 0, broken: None, bundle: None, meanwhile: None }
    }
}

/// The agent.
struct GoAgent {
    net: Net,
    clock: TestClock,
    disk: Disk,
    hostname: &'static str,
    version: String,
    /// The bytes that it runs.
    program: Vec<u8>,
    process_start: DateTime<Utc>,
    status: &'static str,
    current_task: Option<String>,
    last_task_completed: Option<String>,
    last_good_heartbeat: Option<DateTime<Utc>>,
    first_failure: Option<DateTime<Utc>>,
    failures: u32,
    most_failures: u32,
    /// Why it was away, to be said in the next heartbeat that arrives.
    reason: Option<&'static str>,
    next_heartbeat: DateTime<Utc>,
    next_poll: DateTime<Utc>,
    next_update_check: DateTime<Utc>,
    uninstalled: bool,
    seed: u32,
    /// What it was told that tasks come to, by their names.
    parts: BTreeMap<String, Part>,
    /// What it has done: the task, its type, and how that ended.
    done: Vec<(String, String, String)>,
    /// Keys that it was given, in their order.
    keys: Vec<String>,
    versions: Vec<String>,
}

fn second_precision(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn nanosecond_precision(time: DateTime<Utc>) -> String {
    (time + TimeDelta::nanoseconds(123_456_789)).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

impl GoAgent {
    /// Enrols: trades a token for an identity, which goes to its disk.
    async fn enroll(net: &Net, clock: &TestClock, token: &str) -> Self {
        let now = clock.now();
        let mut agent = Self {
            net: net.clone(),
            clock: clock.clone(),
            disk: Disk::default(),
            hostname: "WORKSTATION-01",
            version: "0.5.11".to_owned(),
            program: b"the agent, 0.5.11".to_vec(),
            process_start: now,
            status: "idle",
            current_task: None,
            last_task_completed: None,
            last_good_heartbeat: None,
            first_failure: None,
            failures: 0,
            most_failures: 0,
            reason: None,
            next_heartbeat: now,
            next_poll: now,
            next_update_check: now,
            uninstalled: false,
            seed: 1,
            parts: BTreeMap::new(),
            done: Vec::new(),
            keys: Vec::new(),
            versions: vec!["0.5.11".to_owned()],
        };
        let body = json!({
            "token": token, "hostname": agent.hostname, "os": "linux", "arch": "amd64",
            "agent_version": agent.version,
        });
        let ask = Ask::new("POST", "/achilles/api/agent/enroll").json(&body);
        let answer = agent.net.exchange(&ask).await.unwrap();
        // It takes 200 as well.
        assert_eq!(answer.status, 201, "{}", answer.json());
        let data = &answer.json()["data"];
        let text =
            |name: &str| data[name].as_str().unwrap_or_else(|| panic!("no {name} in {data}")).to_owned();
        assert_eq!((&data["poll_interval"], text("org_id").is_empty()), (&json!(30), false));
        agent.disk = Disk {
            agent_id: text("agent_id"),
            agent_key: text("agent_key"),
            server_url: text("server_url"),
            public_key: text("update_public_key"),
            queue: VecDeque::new(),
        };
        // It refuses plain HTTP except to itself; the test's server is called by a name.
        assert!(agent.disk.server_url.starts_with("http://"), "{}", agent.disk.server_url);
        assert!(agent.disk.agent_key.starts_with("ak_") && agent.disk.agent_key.len() == 67);
        agent.keys.push(agent.disk.agent_key.clone());
        agent
    }

    /// What it adds to or takes from an interval.
    fn jitter(&mut self) -> i64 {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i64::from(self.seed >> 16) % (2 * JITTER + 1) - JITTER
    }

    fn after(&mut self, seconds: i64) -> DateTime<Utc> {
        let jitter = self.jitter();
        self.clock.now() + TimeDelta::seconds(seconds + jitter)
    }

    /// A request as its HTTP client writes it: the server's address and the path behind it, and its headers on
    /// everything.
    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Ask {
        let (_, rest) = self.disk.server_url.split_once("://").unwrap();
        let mount = rest.find('/').map_or("", |at| &rest[at..]);
        let ask = Ask::new(method, &format!("{mount}/api/agent{path}"))
            .header("Authorization", &format!("Bearer {}", self.disk.agent_key))
            .header("X-Agent-ID", &self.disk.agent_id)
            .header("X-Request-Timestamp", &second_precision(self.clock.now()))
            .header("X-Agent-Version", &self.version)
            .header("Content-Type", "application/json");
        match body {
            Some(body) => ask.json(body),
            None => ask,
        }
    }

    /// A request with its three further tries, after 1, 2 and 4 s; `Retry-After` is ignored. `None` is an error of the
    /// network.
    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        for wait in [0, 1, 2, 4] {
            self.clock.advance(wait * 1000);
            // Signed anew each time, with the key that it has then.
            let answer = self.net.exchange(&self.request(method, path, body)).await;
            match answer {
                Some(answer) if answer.status != 429 && answer.status < 500 => return Some(answer),
                _ => {}
            }
        }
        None
    }

    fn system(&self) -> Value {
        json!({
            "hostname": self.hostname, "os": "linux", "arch": "amd64",
            "uptime_seconds": (self.clock.now() - self.process_start).num_seconds() + 3600,
            "cpu_percent": 15, "memory_mb": 4096, "total_memory_mb": 16384, "disk_free_mb": 50000,
            "process_cpu_percent": 2, "process_memory_mb": 25,
        })
    }

    async fn heartbeat(&mut self) {
        let now = self.clock.now();
        let mut body = json!({
            "timestamp": nanosecond_precision(now),
            "status": self.status,
            "current_task": self.current_task,
            "system": self.system(),
            "agent_version": self.version,
            "last_task_completed": self.last_task_completed,
        });
        let gap = self.last_good_heartbeat.map_or(0, |last| (now - last).num_seconds());
        if self.reason.is_none() && self.failures > 0 && gap > 2 * HEARTBEAT {
            self.reason = Some("server_unreachable");
        }
        if let Some(reason) = self.reason {
            // The flat fields are for servers that know nothing of the context.
            body["reconnect_reason"] = json!(reason);
            body["process_start_time"] = json!(second_precision(self.process_start));
            let mut context = json!({
                "reason": reason,
                "offline_duration_seconds": gap,
                "failure_count": self.failures,
                "process_start_time": second_precision(self.process_start),
                "network_state": "up",
            });
            if let Some(first) = self.first_failure {
                context["first_failure_at"] = json!(second_precision(first));
                context["detail"] = json!("dial tcp: connect: connection refused");
                context["system_at_failure"] = json!({"disk_free_mb": 50000, "memory_mb": 4096, "total_memory_mb": 16384, "cpu_percent": 15});
            }
            body["reconnect_context"] = context;
        }
        // A status other than 429 and 5xx counts as success, whatever it is.
        let Some(answer) = self.send("POST", "/heartbeat", Some(&body)).await else {
            self.failures += 1;
            self.most_failures = self.most_failures.max(self.failures);
            self.first_failure.get_or_insert(now);
            let pause = match self.failures {
                ..=5 => HEARTBEAT,
                6..=10 => 5 * 60,
                11..=20 => 15 * 60,
                _ => 30 * 60,
            };
            self.next_heartbeat = self.after(pause);
            return;
        };
        self.next_heartbeat = self.after(HEARTBEAT);
        let first = self.last_good_heartbeat.is_none();
        self.last_good_heartbeat = Some(self.clock.now());
        (self.failures, self.first_failure, self.reason) = (0, None, None);
        let data = if answer.status == 200 { answer.json()["data"].clone() } else { Value::Null };
        if let Some(key) = data["new_api_key"].as_str().filter(|key| *key != self.disk.agent_key) {
            // In memory and on disk at once: the next request is signed with it.
            key.clone_into(&mut self.disk.agent_key);
            self.keys.push(key.to_owned());
        }
        self.drain().await;
        if first {
            self.next_update_check = self.clock.now();
        }
    }

    /// Sends what waits on its disk, in order, until one does not arrive.
    async fn drain(&mut self) {
        while let Some((task, result)) = self.disk.queue.front().cloned() {
            match self.send("POST", &format!("/tasks/{task}/result"), Some(&result)).await {
                Some(answer) if answer.status < 300 || matches!(answer.status, 400 | 404) => {
                    self.disk.queue.pop_front();
                }
                _ => return,
            }
        }
    }

    /// Delivers a result: four tries with 2, 4 and 8 s between them, then the word that the task has failed, and the
    /// disk.
    async fn deliver(&mut self, task: &str, result: Value) -> Option<Answer> {
        let path = format!("/tasks/{task}/result");
        for wait in [0, 2, 4, 8] {
            self.clock.advance(wait * 1000);
            match self.send("POST", &path, Some(&result)).await {
                // Dropped for good, if it is a 400 or 404.
                Some(answer) if answer.status < 300 || matches!(answer.status, 400 | 404) => {
                    return Some(answer);
                }
                _ => {}
            }
        }
        self.patch(task, &json!({"status": "failed", "error": "result could not be delivered"})).await;
        if self.disk.queue.len() < QUEUE {
            self.disk.queue.push_back((task.to_owned(), result));
        }
        None
    }

    async fn patch(&self, task: &str, body: &Value) -> Option<Answer> {
        self.send("PATCH", &format!("/tasks/{task}/status"), Some(body)).await
    }

    /// Asks for a task and does it.
    async fn poll(&mut self, world: &mut impl World) {
        self.next_poll = self.after(POLL);
        let Some(answer) = self.send("GET", "/tasks", None).await else { return };
        if answer.status != 200 {
            assert!(matches!(answer.status, 204 | 401), "{}", answer.status);
            assert!(answer.status != 204 || answer.body.is_empty());
            return;
        }
        let task = answer.json()["data"].clone();
        // It reads these three and nothing else.
        let (id, kind) = (task["id"].as_str().unwrap().to_owned(), task["type"].as_str().unwrap().to_owned());
        let payload = task["payload"].as_object().unwrap().clone();
        let name = payload.get("test_name").or(payload.get("command")).and_then(Value::as_str);
        let part = name.and_then(|name| self.parts.get(name)).cloned().unwrap_or_default();
        (self.status, self.current_task) = ("executing", Some(id.clone()));
        let end = match kind.as_str() {
            "execute_test" | "execute_command" => {
                self.execute(world, &id, &kind, &payload.into(), part).await
            }
            "update_agent" => self.update_by_task(world, &id).await,
            "uninstall" => self.uninstall(&id).await,
            other => panic!("a task of type {other}"),
        };
        self.done.push((id.clone(), kind, end));
        (self.status, self.current_task, self.last_task_completed) = ("idle", None, Some(id));
    }

    /// Runs something, and goes on with its heartbeats meanwhile.
    async fn execute(
        &mut self,
        world: &mut impl World,
        task: &str,
        kind: &str,
        payload: &Value,
        part: Part,
    ) -> String {
        let started = self.clock.now();
        if kind == "execute_test" {
            let answer = self.patch(task, &json!({"status": "downloading"})).await.unwrap();
            assert_eq!((answer.status, &answer.json()["data"]["status"]), (200, &json!("downloading")));
            self.fetch_binary(payload).await;
            if let Some(error) = part.broken {
                let answer = self.patch(task, &json!({"status": "failed", "error": error})).await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.json());
                return "failed".to_owned();
            }
        }
        let answer = self.patch(task, &json!({"status": "executing"})).await.unwrap();
        assert_eq!((answer.status, &answer.json()["data"]["status"]), (200, &json!("executing")));
        if part.meanwhile == Some(Meanwhile::ServerFalls) {
            world.fall().await;
        }
        let ends = self.clock.now() + TimeDelta::seconds(part.takes);
        while self.clock.now() < ends {
            let next = self.next_heartbeat.min(ends);
            world.wait_until(next).await;
            if self.clock.now() >= self.next_heartbeat {
                self.heartbeat().await;
            }
        }
        let mut result = json!({
            "task_id": task,
            "test_uuid": payload["test_uuid"].as_str().unwrap_or_default(),
            "exit_code": part.exit_code,
            "stdout": "done\n",
            "stderr": "",
            "started_at": nanosecond_precision(started),
            "completed_at": nanosecond_precision(self.clock.now()),
            "execution_duration_ms": (self.clock.now() - started).num_milliseconds(),
            "binary_sha256": payload["binary_sha256"].as_str().unwrap_or_default(),
            "hostname": self.hostname,
            "os": "linux",
            "arch": "amd64",
        });
        if let Some(bundle) = part.bundle {
            // Attached only if it is the bundle of this test.
            assert_eq!(bundle["bundle_id"], result["test_uuid"]);
            result["bundle_results"] = bundle;
        }
        match self.deliver(task, result).await {
            Some(answer) => format!("delivered: {}", answer.status),
            None => "queued".to_owned(),
        }
    }

    /// Fetches the binary of a test and holds it to what its task says of it.
    async fn fetch_binary(&self, payload: &Value) {
        let text = |name: &str| payload[name].as_str().unwrap();
        let path = format!("/binary/{}?test_uuid={}", text("binary_name"), text("test_uuid"));
        let answer = self.send("GET", &path, None).await.unwrap();
        assert_eq!((answer.status, json!(answer.body.len())), (200, payload["binary_size"].clone()));
        let sha256 = digest::digest(&digest::SHA256, &answer.body);
        assert_eq!(hex(sha256.as_ref()), text("binary_sha256"));
    }

    /// The result of anything but a run has hardly anything in it.
    fn bare_result(stdout: &str) -> Value {
        json!({
            "task_id": "", "test_uuid": "", "exit_code": 0, "stdout": stdout, "stderr": "", "started_at": "",
            "completed_at": "", "execution_duration_ms": 0, "binary_sha256": "", "hostname": "", "os": "",
            "arch": "",
        })
    }

    async fn update_by_task(&mut self, world: &mut impl World, task: &str) -> String {
        let answer = self.patch(task, &json!({"status": "executing"})).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        let updated = self.update().await;
        let said = if updated { "updated" } else { "already up to date" };
        let answer = self.deliver(task, Self::bare_result(said)).await;
        if updated {
            self.restart(world, "update_restart").await;
        }
        format!("{said}: {}", answer.map_or(0, |answer| answer.status))
    }

    async fn uninstall(&mut self, task: &str) -> String {
        let answer = self.patch(task, &json!({"status": "executing"})).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        let answer = self.deliver(task, Self::bare_result("uninstalled")).await.unwrap();
        self.uninstalled = true;
        format!("uninstalled: {}", answer.status)
    }

    /// Looks for another version and changes to it; says whether it has.
    async fn update(&mut self) -> bool {
        self.next_update_check = self.after(UPDATE_CHECK);
        let Some(answer) = self.send("GET", "/version", None).await else { return false };
        if answer.status != 200 {
            assert_eq!(answer.status, 204);
            return false;
        }
        let offered = answer.json()["data"].clone();
        let version = offered["version"].as_str().unwrap();
        let number =
            |version: &str| -> Vec<u32> { version.split('.').map(|part| part.parse().unwrap()).collect() };
        if number(version) <= number(&self.version) && offered["mandatory"] != json!(true) {
            return false;
        }
        let answer = self.send("GET", "/update?os=linux&arch=amd64", None).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        assert_eq!(answer.header("x-agent-version"), Some(version));
        let bytes = answer.body;
        assert_eq!(json!(bytes.len()), offered["size"]);
        let sha256 = digest::digest(&digest::SHA256, &bytes);
        assert_eq!(hex(sha256.as_ref()), offered["sha256"].as_str().unwrap());
        // Over the 32 bytes of the digest: neither its hex text nor the file.
        let key = base64::engine::general_purpose::STANDARD.decode(&self.disk.public_key).unwrap();
        assert_eq!(key.len(), 32);
        signature::UnparsedPublicKey::new(&signature::ED25519, key)
            .verify(sha256.as_ref(), &unhex(offered["signature"].as_str().unwrap()))
            .expect("a release is signed by the key that it was given");
        version.clone_into(&mut self.version);
        self.versions.push(version.to_owned());
        self.program = bytes;
        true
    }

    /// Ends and begins anew, some minutes later, with what is on its disk.
    async fn restart(&mut self, world: &mut impl World, reason: &'static str) {
        world.wait_until(self.clock.now() + TimeDelta::seconds(240)).await;
        let now = self.clock.now();
        self.process_start = now;
        (self.next_heartbeat, self.next_poll, self.reason) = (now, now, Some(reason));
        (self.status, self.current_task) = ("idle", None);
    }

    /// Lives for so long.
    async fn live(&mut self, world: &mut impl World, seconds: i64) {
        let end = self.clock.now() + TimeDelta::seconds(seconds);
        while self.clock.now() < end && !self.uninstalled {
            // Polling stops while too many heartbeats have failed.
            let polls = self.failures <= 5;
            let mut next = self.next_heartbeat.min(self.next_update_check);
            if polls {
                next = next.min(self.next_poll);
            }
            world.wait_until(next.min(end)).await;
            let now = self.clock.now();
            if now >= self.next_heartbeat {
                self.heartbeat().await;
            }
            if now >= self.next_update_check && self.failures == 0 && self.last_good_heartbeat.is_some() {
                if self.update().await {
                    self.restart(world, "update_restart").await;
                }
            } else if now >= self.next_update_check {
                self.next_update_check = self.after(UPDATE_CHECK);
            }
            if polls && now >= self.next_poll && self.failures <= 5 {
                self.poll(world).await;
            }
        }
    }
}

/// What goes on around the agent.
trait World {
    /// Lets time pass, in which the server does what it does by itself.
    async fn wait_until(&mut self, time: DateTime<Utc>);
    /// The server falls, in the middle of a task.
    async fn fall(&mut self);
}

/// A server that can fall and come back, over the same store.
struct Home<S: Store, K: Keeper<S>> {
    keeper: K,
    server: Option<TestServer<S>>,
    net: Net,
    clock: TestClock,
    operator: String,
    settings: Settings,
    /// When it comes back, if it is down.
    back_at: Option<DateTime<Utc>>,
}

/// Where a store is while no server runs.
trait Keeper<S: Store> {
    async fn open(&mut self) -> S;
    /// Takes the core of a server that has stopped.
    async fn close(&mut self, core: Arc<fleetwire_server_core::Core<S>>);
}

struct InMemory(Option<MemoryStore>);

impl Keeper<MemoryStore> for InMemory {
    async fn open(&mut self) -> MemoryStore {
        self.0.take().unwrap()
    }
    async fn close(&mut self, core: Arc<fleetwire_server_core::Core<MemoryStore>>) {
        self.0 = Some(Arc::into_inner(core).expect("nobody holds it any more").into_store());
    }
}

struct OnDisk(PathBuf);

impl Keeper<SqliteStore> for OnDisk {
    async fn open(&mut self) -> SqliteStore {
        SqliteStore::open(&self.0).unwrap()
    }
    async fn close(&mut self, core: Arc<fleetwire_server_core::Core<SqliteStore>>) {
        // Everything that was answered is in the file: another process would find it there.
        Arc::into_inner(core).expect("nobody holds it any more").into_store().close().unwrap();
    }
}

impl<S: Store, K: Keeper<S>> Home<S, K> {
    async fn new(mut keeper: K, objects: PathBuf) -> Self {
        let clock = TestClock::new();
        let settings = Settings { objects: Some(objects), ..Settings::default() };
        let store = keeper.open().await;
        let server = TestServer::start(store, clock.clone(), Config::default(), settings.clone()).await;
        let operator = server.operator.clone().unwrap();
        let net = Net::new(server.address);
        Self { keeper, server: Some(server), net, clock, operator, settings, back_at: None }
    }

    async fn stop(&mut self) {
        self.net.serve_from(None);
        let server = self.server.take().unwrap();
        let core = Arc::clone(&server.core);
        server.stop().await;
        self.keeper.close(core).await;
    }

    async fn start(&mut self) {
        let store = self.keeper.open().await;
        let server =
            TestServer::start(store, self.clock.clone(), Config::default(), self.settings.clone()).await;
        self.net.serve_from(Some(server.address));
        self.server = Some(server);
        self.back_at = None;
    }

    fn operated(&self, method: &str, path: &str) -> Ask {
        let token = format!("Bearer {}", self.operator);
        Ask::new(method, &format!("/control/v1{path}")).header("Authorization", &token)
    }

    /// What an operator is answered.
    async fn operate(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let ask = self.operated(method, path);
        let ask = match body {
            Some(body) => ask.json(&body),
            None => ask,
        };
        let answer = self.server.as_ref().unwrap().ask(&ask).await;
        assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.json());
        answer.json()
    }

    async fn queue(&self, agent: &GoAgent, wish: Value) -> String {
        let path = format!("/agents/achilles/{}/work", agent.disk.agent_id);
        let queued = self.operate("POST", &path, Some(wish)).await;
        queued["id"].as_str().unwrap().to_owned()
    }
}

impl<S: Store, K: Keeper<S>> World for Home<S, K> {
    async fn wait_until(&mut self, time: DateTime<Utc>) {
        while self.clock.now() < time {
            if self.back_at.is_some_and(|back| back <= self.clock.now()) {
                self.start().await;
            }
            let step = (time - self.clock.now()).min(TimeDelta::seconds(10));
            self.clock.advance(step.num_milliseconds().max(1));
            if let Some(server) = &self.server {
                // Its own flush goes by another clock.
                server.core.flush().await.unwrap();
                server.core.sweep_work().await.unwrap();
            }
        }
    }

    async fn fall(&mut self) {
        self.stop().await;
        self.back_at = Some(self.clock.now() + TimeDelta::minutes(10));
    }
}

/// A bundle as the agent writes it: what was not in the bundle's file is null.
fn bundle(id: &str) -> Value {
    let control = |id: &str, compliant: bool| {
        json!({
            "control_id": id, "control_name": "a control", "validator": "v", "exit_code": if compliant { 0 } else { 101 },
            "compliant": compliant, "severity": "high", "category": "cyber-hygiene", "subcategory": "identity",
            "techniques": null, "tactics": null, "expected": "on", "actual": if compliant { "on" } else { "off" },
            "details": "", "skipped": false, "error_message": "",
        })
    };
    json!({
        "schema_version": "1.0", "bundle_id": id, "bundle_name": "baseline", "bundle_category": "cyber-hygiene",
        "bundle_subcategory": "baseline", "execution_id": "e-1", "started_at": "2026-03-21T14:30:00.123456789Z",
        "completed_at": "2026-03-21T14:30:20.5Z", "overall_exit_code": 101, "total_controls": 2,
        "passed_controls": 1, "failed_controls": 1, "controls": [control("c-1", true), control("c-2", false)],
    })
}

/// A life: enrolment, three tasks, a rotation whose answer is lost, an update, ten minutes without a server, and the end.
async fn lives<S: Store, K: Keeper<S>>(keeper: K) {
    let objects = tempfile::tempdir().unwrap();
    let mut home = Home::new(keeper, objects.path().to_owned()).await;
    let wish = json!({"vendor": "achilles", "max_uses": 1, "ttl_seconds": 3600});
    let token = home.operate("POST", "/tokens", Some(wish)).await["token"].as_str().unwrap().to_owned();
    let mut agent = GoAgent::enroll(&home.net, &home.clock, &token).await;
    let clock = home.clock.clone();
    agent.live(&mut home, 120).await;

    // Three tasks: a command, a test whose binary is broken the first time, and a bundle.
    bring(&home, "/binaries?name=t.bin", b"the test").await;
    let sha256 = hex(digest::digest(&digest::SHA256, b"the test").as_ref());
    let test = |name: &str, id: &str| {
        json!({"type": "execute_test", "payload": {
            "test_uuid": id, "test_name": name, "binary_name": "t.bin", "binary_sha256": sha256, "binary_size": 8,
        }})
    };
    let secret = json!({"command": "hostname", "arguments": [], "env_vars": {"LAB_TOKEN": "s3cret"}});
    let command = home.queue(&agent, json!({"type": "execute_command", "payload": secret})).await;
    agent.live(&mut home, 90).await;
    agent.parts.insert("broken".to_owned(), Part { broken: Some("checksum mismatch"), ..Part::default() });
    let retried = home.queue(&agent, test("broken", "0b1c")).await;
    while !agent.done.iter().any(|(id, ..)| *id == retried) {
        agent.live(&mut home, 10).await;
    }
    agent.parts.insert("broken".to_owned(), Part::default());
    agent.live(&mut home, 90).await;
    agent.parts.insert(
        "bundle".to_owned(),
        Part { takes: 200, exit_code: 101, bundle: Some(bundle("5e2f")), ..Part::default() },
    );
    let bundled = home.queue(&agent, test("bundle", "5e2f")).await;
    // Of one of its words the answer is lost, and it says it again.
    home.net.lose_answer_of("/status");
    agent.live(&mut home, 360).await;

    // A rotation of which one answer is lost: the same key comes with the next.
    home.operate("POST", &format!("/agents/achilles/{}/rotate-key", agent.disk.agent_id), None).await;
    home.net.lose_answer_of("/heartbeat");
    agent.live(&mut home, 150).await;
    assert_eq!(agent.keys.len(), 2);

    // A release, found at the next look for one.
    let release = b"the agent, 0.6.0".to_vec();
    register_release(&home, "0.6.0", &release).await;
    agent.live(&mut home, UPDATE_CHECK + 300).await;
    assert_eq!((agent.version.as_str(), &agent.program), ("0.6.0", &release));
    // An older one is offered, since it was registered later, and not taken.
    register_release(&home, "0.4.0", b"the agent, 0.4.0").await;
    let update = home.queue(&agent, json!({"type": "update_agent"})).await;
    agent.live(&mut home, 120).await;
    assert_eq!(agent.version, "0.6.0");

    // The server is gone for ten minutes in the middle of a command, and comes back over the same store.
    agent.parts.insert(
        "long".to_owned(),
        Part { takes: 120, meanwhile: Some(Meanwhile::ServerFalls), ..Part::default() },
    );
    let outlived =
        home.queue(&agent, json!({"type": "execute_command", "payload": {"command": "long"}})).await;
    let fell_at = clock.now();
    while home.server.is_none() || !agent.done.iter().any(|(id, ..)| *id == outlived) {
        agent.live(&mut home, 30).await;
        assert!(clock.now() - fell_at < TimeDelta::hours(1), "it does not come back");
    }
    assert_eq!(agent.disk.queue.len(), 1, "its result waits on its disk");
    agent.live(&mut home, 30 * 60).await;
    assert!(agent.disk.queue.is_empty(), "it was taken at the next good heartbeat");

    let uninstall = home.queue(&agent, json!({"type": "uninstall", "payload": {"command": "cleanup"}})).await;
    agent.live(&mut home, 120).await;
    assert!(agent.uninstalled);

    // What it did is what is stored: nothing was lost, and nothing was done twice.
    let again = format!("{retried}.2");
    let expected = [
        (&command, "execute_command", "delivered: 200"),
        (&retried, "execute_test", "failed"),
        (&again, "execute_test", "delivered: 200"),
        (&bundled, "execute_test", "delivered: 200"),
        (&update, "update_agent", "already up to date: 200"),
        (&outlived, "execute_command", "queued"),
        (&uninstall, "uninstall", "uninstalled: 200"),
    ];
    let done: Vec<_> = agent.done.iter().map(|(id, kind, end)| (id, kind.as_str(), end.as_str())).collect();
    assert_eq!(done, expected);
    let stored = home.operate("GET", "/work?limit=100", None).await;
    let stored: BTreeMap<_, _> = stored["work"]
        .as_array()
        .unwrap()
        .iter()
        .map(|work| {
            (work["id"].as_str().unwrap(), (work["state"].as_str().unwrap(), &work["execution_number"]))
        })
        .collect();
    assert_eq!(stored.len(), 6);
    for (id, executions) in
        [(&command, 1), (&retried, 2), (&bundled, 1), (&update, 1), (&outlived, 1), (&uninstall, 1)]
    {
        assert_eq!(stored[id.as_str()], ("succeeded", &json!(executions)), "{id}");
    }
    let work = async |id: &str| home.operate("GET", &format!("/work/{id}"), None).await;
    let first = work(&retried).await["earlier_executions"][0].clone();
    assert_eq!((&first["state"], &first["result"]["error"]), (&json!("failed"), &json!("checksum mismatch")));
    let kept = work(&command).await;
    assert_eq!(kept["payload"].get("env_vars"), None, "what was secret is no longer there");
    // What was left out of a result is as enrolled.
    let bare = work(&update).await["result"].clone();
    assert_eq!((&bare["os"], &bare["hostname"]), (&json!("linux"), &json!("WORKSTATION-01")));

    let results = home.operate("GET", "/results?limit=100", None).await;
    let results: Vec<_> = results["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| (result["id"].as_str().unwrap(), &result["exit_code"], &result["compliant"]))
        .collect();
    assert_eq!(
        results,
        [
            (format!("{bundled}::c-2").as_str(), &json!(101), &json!(false)),
            (format!("{bundled}::c-1").as_str(), &json!(0), &json!(true)),
            (again.as_str(), &json!(0), &Value::Null),
        ]
    );

    let shown = home.operate("GET", &format!("/agents/achilles/{}", agent.disk.agent_id), None).await;
    assert_eq!((&shown["standing"], &shown["disabled"]), (&json!("uninstalled"), &json!(true)));
    assert_eq!((&shown["version"], &shown["rotating"]), (&json!("0.6.0"), &json!(false)));
    let events = home.operate("GET", "/events?after=0&limit=1000", None).await;
    let events = events["events"].as_array().unwrap();
    let told: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    let count = |kind: &str| told.iter().filter(|told| **told == kind).count();
    for (kind, times) in [
        ("enrolled", 1),
        ("enrolled_again", 0),
        ("key_offered", 1),
        ("key_rotated", 1),
        ("version_changed", 1),
        ("work_queued", 7),
        ("work_delivered", 7),
        ("work_started", 6),
        ("work_ended", 6),
        ("uninstalled", 1),
        ("clone_suspected", 0),
    ] {
        assert_eq!(count(kind), times, "{kind}: {told:?}");
    }
    // Whoever falls silent is back later, and says why.
    let turns: Vec<_> = told.iter().filter(|kind| matches!(**kind, "online" | "offline")).collect();
    assert!(turns.chunks(2).all(|turn| *turn[0] == "online"), "{turns:?}");
    let reasons: Vec<_> = events
        .iter()
        .filter(|event| event["kind"] == json!("online"))
        .map(|event| event["detail"]["reason"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(reasons.first(), Some(&"unknown"), "the first heartbeat of all says nothing of it");
    // While the server was away nobody was silent: the agent was back in time, and was never called offline.
    assert_eq!(reasons[1..], ["update_restart"]);

    // Nobody was locked out on the way. The first key was good until the second was used, and not used any more.
    let log = home.net.log();
    let refused: Vec<_> = log.iter().filter(|(_, status, _)| *status >= 400).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let signed: Vec<_> = log.iter().map(|(.., key)| key).filter(|key| !key.is_empty()).collect();
    let mut by_key: Vec<_> = signed.iter().map(|key| key.strip_prefix("Bearer ").unwrap()).collect();
    by_key.dedup();
    assert_eq!(by_key, agent.keys, "each key in its time");
    // While the server was away it went on in its own slower pace, and asked for no task.
    assert!(agent.most_failures > 5, "{}", agent.most_failures);
    let last_failure = log.iter().rposition(|(line, status, _)| *status == 0 && line.ends_with("/heartbeat"));
    let polls =
        |(line, status, _): &(String, u16, String)| *status == 0 && line == "GET /achilles/api/agent/tasks";
    let unheard = log.iter().filter(|entry| polls(entry)).count();
    assert!(last_failure.is_some() && unheard <= 4 * 12, "{unheard}");
    let last = home.net.exchange(&agent.request("POST", "/heartbeat", Some(&json!({})))).await.unwrap();
    assert_eq!((last.status, &last.json()["error"]), (401, &json!("Invalid agent credentials")));
    home.stop().await;
}

/// Brings a file, as an operator does.
async fn bring<S: Store, K: Keeper<S>>(home: &Home<S, K>, path: &str, file: &[u8]) {
    let ask = home.operated("POST", path).header("Content-Type", "application/octet-stream").body(file);
    let answer = home.server.as_ref().unwrap().ask(&ask).await;
    assert!(answer.status < 300, "{path}: {}", answer.json());
}

async fn register_release<S: Store, K: Keeper<S>>(home: &Home<S, K>, version: &str, file: &[u8]) {
    bring(home, &format!("/releases?version={version}&os=linux&arch=amd64"), file).await;
}

#[tokio::test]
async fn deployed_agent_lives_on_the_memory_store() {
    lives(InMemory(Some(MemoryStore::default()))).await;
}

#[tokio::test]
async fn deployed_agent_lives_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    lives(OnDisk(folder.path().join("fleet.db"))).await;
}
