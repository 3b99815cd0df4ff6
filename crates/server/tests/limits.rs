//! What strangers are held to: by address, by what is under way at one time, and by listener.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fleetwire_server::{
    AddressLimits, Listener, Rooting, Settings, SystemClock, SystemEntropy, serve, serve_all,
};
use fleetwire_server_core::domain::{DEFAULT_TENANT, Kind, Vendor};
use fleetwire_server_core::operator::Registration;
use fleetwire_server_core::store::{Founding, MemoryStore, Store};
use fleetwire_server_core::{Clock, Config, Core, Rate};
use fleetwire_store_sqlite::SqliteStore;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use support::{Answer, Ask, Connection, TestClock, TestServer, in_time};

#[expect(dead_code, reason = "these tests have servers of their own besides")]
mod support;

/// Agents at three addresses, behind a proxy on this machine.
fn behind_a_proxy(limits: AddressLimits) -> Settings {
    let mut addresses = limits;
    addresses.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    Settings { addresses, ..Settings::default() }
}

async fn start(settings: Settings) -> TestServer<MemoryStore> {
    TestServer::start(MemoryStore::new(), TestClock::new(), Config::default(), settings).await
}

async fn registered<S: Store>(core: &Core<S>, vendor: Vendor, id: &str) -> String {
    let wish = Registration {
        vendor,
        kind: Kind::Agent,
        no: None,
        id: Some(id.to_owned()),
        name: None,
        facts: Map::new(),
        labels: [].into(),
    };
    core.register(DEFAULT_TENANT, wish).await.unwrap().1
}

fn from(address: &str, ask: Ask) -> Ask {
    ask.header("X-Forwarded-For", address)
}

fn zstack(key: &str) -> Ask {
    Ask::new("PUT", "/zstack/api/v1/agents/a-1/heartbeat")
        .header("Authorization", &format!("Bearer {key}"))
        .json(&json!({"version": "1.0", "uptime": 5, "cpuUsage": 1.5, "memUsage": 2.5}))
}

fn acusight(key: &str) -> Ask {
    let body = json!({"device_id": "cam-1", "status": "healthy"});
    Ask::new("POST", "/acusight/api/core/agent/checkin").header("X-Device-Key", key).json(&body)
}

fn agentmc(key: &str) -> Ask {
    Ask::new("POST", "/agentmc/api/v1/agents/heartbeat").header("X-Api-Key", key).json(&json!({}))
}

fn poll(server: &TestServer<MemoryStore>, key: &str) -> Ask {
    Ask::new("GET", "/achilles/api/agent/tasks")
        .header("X-Agent-Key", key)
        .header("X-Agent-ID", "a-1")
        .header("X-Request-Timestamp", &server.clock.text(0))
}

fn enroll() -> Ask {
    let body = json!({
        "token": "acht_wrong", "hostname": "ws", "os": "linux", "arch": "amd64", "agent_version": "1.0.0",
    });
    Ask::new("POST", "/achilles/api/agent/enroll").json(&body)
}

fn retry_after(answer: &Answer) -> u64 {
    let text = answer.header("retry-after").unwrap_or_else(|| panic!("{answer:?}"));
    text.parse().unwrap()
}

async fn statuses<S: Store>(server: &TestServer<S>, asks: impl IntoIterator<Item = Ask>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for ask in asks {
        statuses.push(server.ask(&ask).await.status);
    }
    statuses
}

#[tokio::test]
async fn newcomers_at_one_address_are_slowed_and_those_at_others_are_not() {
    let newcomers = Some(Rate { per_minute: 60, burst: 3 });
    let server = start(behind_a_proxy(AddressLimits { newcomers, ..AddressLimits::default() })).await;
    let at = |address: &'static str| from(address, enroll());
    assert_eq!(statuses(&server, vec![at("192.0.2.1"); 3]).await, [401; 3]);
    let refused = server.ask(&at("192.0.2.1")).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["success"], false);
    assert!((1..=4).contains(&retry_after(&refused)), "{refused:?}");
    assert_eq!(server.ask(&at("192.0.2.2")).await.status, 401);
    // Whoever claims to come from elsewhere is still where the last proxy says.
    assert_eq!(server.ask(&at("192.0.2.9, 192.0.2.1")).await.status, 429);
    // What agents send every day is no newcomer's.
    let key = registered(&server.core, Vendor::Acusight, "cam-1").await;
    assert_eq!(server.ask(&from("192.0.2.1", acusight(&key))).await.status, 200);
    server.clock.advance(1000);
    assert_eq!(statuses(&server, vec![at("192.0.2.1"); 2]).await, [401, 429]);
    server.stop().await;
}

#[tokio::test]
async fn callers_on_the_same_machine_have_no_bound_unless_it_is_wanted() {
    let newcomers = Some(Rate { per_minute: 60, burst: 2 });
    for (loopback, last) in [(false, 401), (true, 429)] {
        let addresses = AddressLimits { newcomers, loopback, ..AddressLimits::default() };
        let server = start(Settings { addresses, ..Settings::default() }).await;
        assert_eq!(statuses(&server, vec![enroll(); 3]).await, [401, 401, last]);
        server.stop().await;
    }
}

#[tokio::test]
async fn guessing_keys_is_slowed_in_every_dialect_and_tells_no_good_key_from_a_wrong_one() {
    let failures = Some(Rate { per_minute: 60, burst: 5 });
    let server = start(behind_a_proxy(AddressLimits { failures, ..AddressLimits::default() })).await;
    let known = registered(&server.core, Vendor::Acusight, "cam-1").await;
    let fresh = registered(&server.core, Vendor::ZStack, "a-1").await;
    let here = |ask| from("192.0.2.1", ask);
    assert_eq!(server.ask(&here(acusight(&known))).await.status, 200);
    let guesses = (0..5).map(|n| here(zstack(&format!("zsk_{n}"))));
    assert_eq!(statuses(&server, guesses).await, [401; 5]);

    let mut answers = BTreeSet::new();
    for ask in [zstack("zsk_6"), zstack(&fresh)] {
        let answer = server.ask(&here(ask)).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (429, Some("SYS.1011")));
        assert!((1..=4).contains(&retry_after(&answer)));
        answers.insert(answer.body);
    }
    assert_eq!(answers.len(), 1, "the answer tells which key is good");
    for (ask, error) in
        [(acusight("adk_x"), json!("too many requests")), (poll(&server, "ak_x"), json!("too many requests"))]
    {
        let answer = server.ask(&here(ask)).await;
        assert_eq!((answer.status, answer.json()["error"].clone()), (429, error));
        retry_after(&answer);
    }
    let answer = server.ask(&here(agentmc("cc_x"))).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].clone()), (429, json!("rate_limit.exceeded")));

    assert_eq!(server.ask(&here(acusight(&known))).await.status, 200, "known from before");
    assert_eq!(server.ask(&from("192.0.2.2", zstack(&fresh))).await.status, 200, "elsewhere");
    server.clock.advance(1000);
    assert_eq!(server.ask(&here(zstack(&fresh))).await.status, 200, "later");
    server.stop().await;
}

#[tokio::test]
async fn operators_tokens_are_guessed_no_faster() {
    let failures = Some(Rate { per_minute: 60, burst: 3 });
    let server = start(behind_a_proxy(AddressLimits { failures, ..AddressLimits::default() })).await;
    let ask = |token: &str| {
        let ask = Ask::new("GET", "/control/v1/agents").header("Authorization", &format!("Bearer {token}"));
        from("192.0.2.1", ask)
    };
    let good = server.operator.clone().unwrap();
    assert_eq!(statuses(&server, vec![ask("fwo_no"); 4]).await, [401, 401, 401, 429]);
    let refused = server.ask(&ask(&good)).await;
    assert_eq!((refused.status, refused.json()["error"]["code"].clone()), (429, json!("limited")));
    assert!((1..=4).contains(&retry_after(&refused)));
    server.clock.advance(1000);
    assert_eq!(server.ask(&ask(&good)).await.status, 200);
    assert_eq!(statuses(&server, vec![ask("fwo_no"); 3]).await, [401, 429, 429]);
    assert_eq!(server.ask(&ask(&good)).await.status, 200, "known from before");
    server.stop().await;
}

#[tokio::test]
async fn an_agent_is_held_to_the_pace_that_its_vendor_documents() {
    let server = start(behind_a_proxy(AddressLimits::default())).await;
    let one = registered(&server.core, Vendor::Achilles, "a-1").await;
    let device = registered(&server.core, Vendor::Acusight, "cam-1").await;
    let polls = vec![from("192.0.2.1", poll(&server, &one)); 31];
    let polled = statuses(&server, polls).await;
    assert!(polled[..30].iter().all(|status| *status == 204), "{polled:?}");
    assert_eq!(polled[30], 429);
    let devices = vec![from("192.0.2.1", acusight(&device)); 40];
    assert_eq!(statuses(&server, devices).await, [200; 40], "this vendor documents none");
    server.stop().await;
}

/// A server of these settings on the given sockets.
struct Own {
    core: Arc<Core<MemoryStore>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Own {
    async fn start(clock: Arc<dyn Clock>, listeners: Vec<Listener>, settings: Settings) -> Self {
        let entropy = Arc::new(SystemEntropy::default());
        let core = Core::start(MemoryStore::new(), clock, entropy, Config::default()).await.unwrap().0;
        let core = Arc::new(core);
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let serving = tokio::spawn(serve_all(listeners, Arc::clone(&core), settings, stopped));
        Self { core, stop, serving }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        in_time(self.serving).await.unwrap().unwrap();
    }
}

async fn socket() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn ask(address: SocketAddr, ask: &Ask) -> Answer {
    let mut connection = Connection::open(address).await;
    connection.send(&ask.to_bytes()).await;
    connection.receive().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_slow_bodies_is_bounded_and_check_ins_go_on() {
    const FLOOD: usize = 100;
    const PIECE: usize = 16 * 1024;
    let (socket, address) = socket().await;
    let settings = Settings {
        // Four of the bodies find room.
        body_bytes: 4 * 3 * PIECE,
        body_timeout: Duration::from_secs(3),
        ..Settings::default()
    };
    let core = Core::start(
        MemoryStore::new(),
        Arc::new(SystemClock),
        Arc::new(SystemEntropy::default()),
        Config::default(),
    );
    let core = Arc::new(core.await.unwrap().0);
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let serving = tokio::spawn(serve(socket, Arc::clone(&core), settings, stopped));
    let key = registered(&core, Vendor::Acusight, "cam-1").await;

    let slow = acusight(&key).body(vec![b' '; 200_000]);
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        let slow = slow.clone();
        flood.push(tokio::spawn(async move {
            let mut connection = Connection::open(address).await;
            connection.send(slow.head().as_bytes()).await;
            for _ in 0..3 {
                connection.send(&vec![b' '; PIECE]).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            connection.receive().await
        }));
    }
    // While they are on their way, and until they are given up, whoever has little to say is answered at once.
    let mut beats = 0;
    while !flood.iter().all(JoinHandle::is_finished) {
        assert_eq!(ask(address, &acusight(&key)).await.status, 200);
        beats += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(beats > 10);
    let (mut busy, mut slow) = (0, 0);
    for sender in flood {
        let answer = sender.await.unwrap().unwrap();
        match answer.status {
            503 => {
                busy += 1;
                assert!((5..=8).contains(&retry_after(&answer)));
            }
            408 => slow += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(busy + slow, FLOOD);
    // A body takes room in steps of what has arrived: those that go on hold no more than there is.
    assert!((1..=6).contains(&slow), "{slow} bodies found room for four");
    // The room is there again.
    let mut large = acusight(&key);
    large.body.extend(vec![b' '; 150_000]);
    assert_eq!(ask(address, &large).await.status, 200);
    stop.send(()).unwrap();
    in_time(serving).await.unwrap().unwrap();
}

/// The code of a refusal of either vendor whose request lines collide.
async fn refusal(address: SocketAddr, host: &str) -> String {
    let nobody = Ask::new("POST", "/api/v1/agents/heartbeat").header("Host", host).json(&json!({}));
    let answer = ask(address, &nobody).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    match &answer.json()["error"]["code"] {
        Value::String(code) => code.clone(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn vendors_whose_request_lines_collide_stand_at_the_roots_of_hosts_and_listeners() {
    let ((main, at_main), (first, at_agentmc), (second, at_zstack)) =
        (socket().await, socket().await, socket().await);
    let hosts = [("mc.test", "agentmc"), ("zs.test", "zstack")];
    let hosts = hosts.map(|(host, vendor)| (host.to_owned(), vendor.to_owned())).into();
    let settings = Settings { rooting: Rooting { hosts, listener: None }, ..Settings::default() };
    let listeners = vec![
        Listener { socket: main, vendor: None },
        Listener { socket: first, vendor: Some("agentmc".to_owned()) },
        Listener { socket: second, vendor: Some("zstack".to_owned()) },
    ];
    let server = Own::start(Arc::new(SystemClock), listeners, settings).await;

    for (address, host, code) in [
        (at_main, "mc.test", "auth.invalid_api_key"),
        (at_main, "mc.test:8787", "auth.invalid_api_key"),
        (at_agentmc, "anything.test", "auth.invalid_api_key"),
        // A vendor has its listener for itself, whatever name it is called by.
        (at_agentmc, "zs.test", "auth.invalid_api_key"),
    ] {
        assert_eq!(refusal(address, host).await, code, "{host}");
    }
    for (address, host) in [(at_main, "zs.test"), (at_zstack, "anything.test"), (at_zstack, "mc.test")] {
        assert_ne!(refusal(address, host).await, "auth.invalid_api_key", "{host}");
    }
    // Under a name of neither, the line is nobody's; under their prefixes both are there.
    let line = Ask::new("POST", "/api/v1/agents/heartbeat").header("Host", "other.test").json(&json!({}));
    assert_eq!(ask(at_main, &line).await.status, 404);
    assert_eq!(ask(at_main, &agentmc("cc_x")).await.status, 401);

    let key = registered(&server.core, Vendor::ZStack, "a-1").await;
    let beat = zstack(&key);
    assert_eq!(ask(at_main, &beat).await.status, 200);
    let rooted = Ask { target: "/api/v1/agents/a-1/heartbeat".to_owned(), ..beat };
    assert_eq!(ask(at_zstack, &rooted).await.status, 200);
    assert_eq!(ask(at_main, &rooted.clone().header("Host", "zs.test")).await.status, 200);
    // There is such a path there too, which takes another method.
    let elsewhere = ask(at_agentmc, &rooted).await;
    assert_eq!((elsewhere.status, elsewhere.header("allow")), (405, Some("POST")));
    // Operators have the main listener only.
    assert_eq!(ask(at_main, &Ask::new("GET", "/healthz")).await.status, 200);
    assert_eq!(ask(at_zstack, &Ask::new("GET", "/healthz")).await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn every_listener_stops_when_asked_and_lets_its_requests_end() {
    let ((main, at_main), (own, at_own)) = (socket().await, socket().await);
    let listeners = vec![
        Listener { socket: main, vendor: None },
        Listener { socket: own, vendor: Some("acusight".to_owned()) },
    ];
    let server = Own::start(Arc::new(SystemClock), listeners, Settings::default()).await;
    let key = registered(&server.core, Vendor::Acusight, "cam-1").await;
    let rooted = Ask { target: "/api/core/agent/checkin".to_owned(), ..acusight(&key) };
    let mut under_way = Connection::open(at_own).await;
    under_way.send(rooted.head().as_bytes()).await;
    // It is under way once the server has read its head.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopping = tokio::spawn(server.stop());
    in_time(async {
        for address in [at_main, at_own] {
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    })
    .await;
    under_way.send(&rooted.body).await;
    assert_eq!(under_way.receive().await.unwrap().status, 200);
    in_time(stopping).await.unwrap();
}

#[tokio::test]
async fn a_committed_check_in_is_in_the_store_before_it_is_answered() {
    for commits_check_ins in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.sqlite");
        let config = Config { commits_check_ins, ..Config::default() };
        // Nothing is flushed by the way but once, at the start.
        let settings = Settings { flush_interval: Duration::from_secs(3600), ..Settings::default() };
        let server =
            TestServer::start(SqliteStore::open(&path).unwrap(), TestClock::new(), config, settings).await;
        let beside = SqliteStore::open(&path).unwrap();
        in_time(async {
            while beside.restore().await.unwrap().up_until.is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let key = registered(&server.core, Vendor::Acusight, "cam-1").await;
        assert_eq!(server.ask(&acusight(&key)).await.status, 200);
        server.clock.advance(7000);
        assert_eq!(server.ask(&acusight(&key)).await.status, 200);
        let now = server.core.now();
        let (give, taken) = std::sync::mpsc::channel();
        let take = Box::new(move |restored| give.send(restored).unwrap());
        beside.restore_agents(i64::MIN..=i64::MAX, take).await.unwrap();
        let seen: Vec<_> = taken.into_iter().filter_map(|restored| Some(restored.lease?.last_seen)).collect();
        assert_eq!(seen, if commits_check_ins { vec![now] } else { Vec::new() });
        server.stop().await;
    }
}

#[tokio::test]
async fn check_ins_at_once_that_are_committed_share_their_flushes() {
    let config = Config { commits_check_ins: true, ..Config::default() };
    let server = TestServer::start(MemoryStore::new(), TestClock::new(), config, Settings::default()).await;
    let mut beats = Vec::new();
    for n in 0..32 {
        let id = format!("cam-{n}");
        let key = registered(&server.core, Vendor::Acusight, &id).await;
        let body = json!({"device_id": id, "status": "healthy"});
        let request = acusight(&key).json(&body);
        let address = server.address;
        beats.push(tokio::spawn(async move { ask(address, &request).await.status }));
    }
    for beat in beats {
        assert_eq!(in_time(beat).await.unwrap(), 200);
    }
    assert_eq!(server.core.flush_renewed().await.unwrap(), 0, "nothing is left to be written");
    server.stop().await;
}

#[tokio::test]
async fn those_who_are_put_off_come_back_at_times_of_their_own() {
    let entropy = Arc::new(SystemEntropy::default());
    let core = Core::start(MemoryStore::new(), Arc::new(SystemClock), entropy, Config::default());
    let core = core.await.unwrap().0;
    let wait = Duration::from_secs(60);
    let waits: BTreeSet<_> = (0..40).map(|_| core.spread(wait)).collect();
    assert!(waits.len() > 30 && waits.iter().all(|spread| (wait..=wait * 2).contains(spread)), "{waits:?}");
}
