//! What the core costs over the store in a file: enrolments and results of 64 clients, each committed before it is
//! answered, and the flush of 100,000 leases.
//!
//! `cargo bench -p fleetwire-store-sqlite`; prints a table and fails where a bound is missed. Everything but the
//! socket is real: the requests are signed, checked by the rules and handled as the server does it. The file lies under
//! `target`, on a disk that is waited for.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use fleetwire_protocol::achilles::{
    AgentCredentials, Enroll, EnrollRequest, PollTasks, ReportResult, TaskPath, TaskResultRequest,
};
use fleetwire_protocol::wire::Timestamp;
use fleetwire_protocol::zstack::{self, AgentPath, BearerToken};
use fleetwire_protocol::{Auth, Call, Endpoint};
use fleetwire_server_core::domain::{DEFAULT_TENANT, Kind, NewAgent, Vendor};
use fleetwire_server_core::keys::sha256;
use fleetwire_server_core::operator::WorkWish;
use fleetwire_server_core::store::Directory;
use fleetwire_server_core::{Clock, Config, Core, Entropy, Origin, admit, answer};
use fleetwire_store_sqlite::SqliteStore;
use http::HeaderMap;
use serde_json::{Map, json};
use tokio::task::JoinSet;

const CLIENTS: usize = 64;
/// Operations of each client in a row of the table.
const EACH: usize = 500;
const LEASES: usize = 100_000;

const ORIGIN: Origin<'static> = Origin { public_url: None, scheme: "http", host: "fleet.test", mount: "" };

/// Seconds since a fixed time, moved by hand.
#[derive(Default)]
struct Time(AtomicI64);

impl Clock for Time {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(1_774_103_400 + self.0.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Chance(AtomicU64);

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = sha256(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

type Server = Arc<Core<SqliteStore>>;

/// Processor time of this process; `None` where the system does not tell it in this way.
fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name before them may hold anything but ends with the last parenthesis. Ticks are hundredths of a second.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// The stage of all rows, and the bounds that they missed.
struct Table {
    store: Option<SqliteStore>,
    time: Arc<Time>,
    chance: Arc<Chance>,
    missed: Vec<String>,
}

impl Table {
    /// Starts a server, has it do something and prints a row. `least` is how many it must do in a second.
    async fn row<T>(
        &mut self,
        case: &str,
        operations: usize,
        least: Option<f64>,
        work: impl AsyncFnOnce(Server) -> T,
    ) -> T {
        let store = self.store.take().unwrap();
        let (groups, calls) = store.committed();
        let (time, chance) = (Arc::clone(&self.time), Arc::clone(&self.chance));
        let server = Arc::new(Core::start(store, time, chance, Config::default()).await.unwrap().0);

        let (start, before) = (Instant::now(), processor_time());
        let done = work(Arc::clone(&server)).await;
        let (wall, after) = (start.elapsed(), processor_time());

        let store = Arc::into_inner(server).unwrap().into_store();
        let (after_groups, after_calls) = store.committed();
        self.store = Some(store);
        let count = operations as f64;
        let rate = count / wall.as_secs_f64();
        let processor = after.zip(before).map(|(after, before)| after.saturating_sub(before));
        let each = processor.map(|processor| format!("{:.1}", processor.as_secs_f64() * 1e6 / count));
        let group = (after_calls - calls) as f64 / (after_groups - groups).max(1) as f64;
        let bound = least.map(|least| format!("{least:.0}"));
        let shown = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        println!("| {case} | {operations} | {rate:.0} | {} | {} | {group:.1} |", shown(bound), shown(each));
        if let Some(least) = least.filter(|least| rate < *least) {
            self.missed.push(format!("{case}: {rate:.0} a second, and not {least:.0}"));
        }
        done
    }
}

/// Has every client do its share, all of them at once.
async fn by_all<T, F>(server: &Server, client: impl Fn(Server, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = Vec<T>> + Send + 'static,
{
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(Arc::clone(server), number));
    }
    clients.join_all().await.into_iter().flatten().collect()
}

fn signed(agent: &AgentCredentials, at: DateTime<Utc>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    <PollTasks as Endpoint>::Auth::attach(agent, at, &mut headers).unwrap();
    headers
}

async fn enrol(server: Server, token: Arc<str>, client: usize) -> Vec<AgentCredentials> {
    let mut agents = Vec::with_capacity(EACH);
    for number in 0..EACH {
        let host = format!("ws-{client}-{number}");
        let request = EnrollRequest::new(&*token, host, "linux".into(), "amd64".into(), "0.5.11");
        let call = Call::<Enroll>::new(request);
        let data = answer(&*server, (), &ORIGIN, call, &server.context(server.now())).await.unwrap().data;
        agents.push(AgentCredentials::new(data.agent_id.clone(), data.key().unwrap().clone()));
    }
    agents
}

async fn queue(server: Server, agents: Vec<AgentCredentials>) -> Vec<()> {
    for agent in agents {
        let wish = WorkWish {
            kind: "execute_command".to_owned(),
            payload: Map::from_iter([("command".to_owned(), json!("hostname"))]),
            ..WorkWish::default()
        };
        server.queue_work(DEFAULT_TENANT, Vendor::Achilles, agent.agent_id.as_str(), wish).await.unwrap();
    }
    Vec::new()
}

async fn poll(server: Server, agents: Vec<AgentCredentials>) -> Vec<(AgentCredentials, String)> {
    let mut tasks = Vec::with_capacity(agents.len());
    for agent in agents {
        let caller = admit::<PollTasks, _>(&*server, &signed(&agent, Time::default().now()), server.now())
            .await
            .unwrap();
        let call = Call::<PollTasks>::new(());
        let polled = answer(&*server, caller, &ORIGIN, call, &server.context(server.now())).await.unwrap();
        tasks.push((agent, polled.unwrap().data.0[0].id.to_string()));
    }
    tasks
}

async fn report(server: Server, tasks: Vec<(AgentCredentials, String)>) -> Vec<()> {
    let time = Timestamp::seconds(Time::default().now());
    for (agent, task) in tasks {
        let caller = admit::<ReportResult, _>(&*server, &signed(&agent, Time::default().now()), server.now())
            .await
            .unwrap();
        let mut result = TaskResultRequest::new(task.as_str(), 0, time.clone(), time.clone(), 1500);
        result.stdout = "ws-1\n".to_owned();
        let call = Call::<ReportResult>::with(TaskPath::new(task), result);
        let answer = answer(&*server, caller, &ORIGIN, call, &server.context(server.now())).await.unwrap();
        assert_eq!(answer.idempotent, None);
    }
    Vec::new()
}

/// Gives every client its share.
fn share<T: Clone>(all: &[T], client: usize) -> Vec<T> {
    all.chunks(EACH).nth(client).unwrap().to_vec()
}

/// Agents of ZStack, which all sign in with one key; made a group at a time.
async fn populate(store: &Arc<SqliteStore>) {
    let mut made = JoinSet::new();
    for number in 0..LEASES {
        let agent = NewAgent {
            tenant: DEFAULT_TENANT,
            vendor: Vendor::ZStack,
            kind: Kind::Agent,
            no: None,
            id: Some(format!("uuid-{number}")),
            parent: None,
            name: "agent".to_owned(),
            version: Some("1.2.3".to_owned()),
            facts: Map::new(),
            labels: [].into(),
            key: None,
            at: Time::default().now(),
        };
        let store = Arc::clone(store);
        made.spawn(async move { store.register(agent).await.map(drop) });
        if made.len() == 1024 {
            while let Some(made) = made.join_next().await {
                made.unwrap().unwrap();
            }
        }
    }
    made.join_all().await;
}

async fn renew_all(server: &Server, token: &BearerToken) {
    let mut headers = HeaderMap::new();
    <zstack::Heartbeat as Endpoint>::Auth::attach(token, Time::default().now(), &mut headers).unwrap();
    for number in 0..LEASES {
        let caller = admit::<zstack::Heartbeat, _>(&**server, &headers, server.now()).await.unwrap();
        let request = zstack::HeartbeatRequest::new("1.2.3", 3600, 12.5, 35.25);
        let call = Call::<zstack::Heartbeat>::with(AgentPath::new(format!("uuid-{number}")), request);
        answer(&**server, caller, &ORIGIN, call, &server.context(server.now())).await.unwrap();
    }
}

/// Renews all leases over and over, and measures the flushes after that.
async fn flush(table: &mut Table) {
    let time = Arc::clone(&table.time);
    let store = Arc::new(table.store.take().unwrap());
    populate(&store).await;
    table.store = Arc::into_inner(store);
    let store = table.store.take().unwrap();
    let (clock, chance) = (Arc::clone(&time), Arc::clone(&table.chance));
    let server = Arc::new(Core::start(store, clock, chance, Config::default()).await.unwrap().0);
    let token = BearerToken::from(server.issue_tenant_key(DEFAULT_TENANT, Vendor::ZStack).await.unwrap());
    for (case, most) in [("flush, everybody is online for the first time", None), ("flush", Some(1.0))] {
        time.0.fetch_add(60, Ordering::Relaxed);
        renew_all(&server, &token).await;
        let (start, before) = (Instant::now(), processor_time());
        assert_eq!(server.flush().await.unwrap(), LEASES);
        let (wall, after) = (start.elapsed(), processor_time());
        let processor = after.zip(before).map(|(after, before)| after.saturating_sub(before));
        let seconds = processor.map(|processor| processor.as_secs_f64());
        let shown = seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.2}"));
        println!("{case}: {LEASES} leases, {:.2} s, {shown} s of processor time", wall.as_secs_f64());
        if seconds.zip(most).is_some_and(|(seconds, most)| seconds > most) {
            table.missed.push(format!("{case}: {shown} s of processor time"));
        }
    }
    table.store = Some(Arc::into_inner(server).unwrap().into_store());
}

#[tokio::main]
async fn main() -> ExitCode {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = tempfile::tempdir_in(target).unwrap();
    let store = SqliteStore::open(folder.path().join("fleet.db")).unwrap();
    let mut table =
        Table { store: Some(store), time: Arc::default(), chance: Arc::default(), missed: Vec::new() };
    let all = CLIENTS * EACH;
    println!(
        "| case, {CLIENTS} clients | operations | a second | at least | µs of processor each | calls in a commit |"
    );
    println!("|---|---|---|---|---|---|");

    let agents = table
        .row("enrolment", all, Some(4000.0), async |server| {
            let ttl = Duration::from_secs(3600);
            let uses = u32::try_from(all).unwrap();
            let token = server.issue_token(DEFAULT_TENANT, Vendor::Achilles, ttl, uses).await.unwrap().1;
            let token: Arc<str> = Arc::from(token);
            by_all(&server, |server, client| enrol(server, Arc::clone(&token), client)).await
        })
        .await;
    let queued = async |server| by_all(&server, |server, client| queue(server, share(&agents, client))).await;
    table.row("work queued", all, None, queued).await;
    let polled = async |server| by_all(&server, |server, client| poll(server, share(&agents, client))).await;
    let tasks = table.row("first sign-in and poll", all, None, polled).await;
    let reported =
        async |server| by_all(&server, |server, client| report(server, share(&tasks, client))).await;
    table.row("result", all, Some(5000.0), reported).await;

    flush(&mut table).await;
    table.store.take().unwrap().close().unwrap();
    for missed in &table.missed {
        println!("MISSED {missed}");
    }
    if table.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
