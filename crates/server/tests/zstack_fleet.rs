//! A fleet of ZStack agents over real sockets: agents that are made by their own word or by a platform's, listed by
//! state, told to do something, and reported on by somebody else.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[expect(dead_code, reason = "other tests need more of it")]
mod support;

use std::time::{Duration, Instant};

use fleetwire_client::{SendError, connect};
use fleetwire_protocol::Call;
use fleetwire_protocol::zstack::{
    ActionPath, ActionRequest, ActionResultPath, ActionStatus, AgentPath, AgentStatus, AgentUuid,
    AutoRegisterHeartbeat, AutoRegisterRequest, BearerToken, GetActionResult, Heartbeat, HeartbeatRequest,
    LifecycleQuery, ListByLifecycleStatus, Register, RegisterRequest, SendAction,
};
use fleetwire_server::{Settings, control};
use fleetwire_server_core::Config;
use fleetwire_server_core::domain::{Agent, DEFAULT_TENANT, Kind, Vendor, WorkState};
use fleetwire_server_core::operator::Registration;
use fleetwire_server_core::store::{Directory, Keys, MemoryStore};
use fleetwire_store_sqlite::SqliteStore;
use serde_json::{Value, json};
use support::{Answer, Ask, TestClock, TestServer};
use tower::ServiceExt;

const MINUTE: i64 = 60_000;

/// A server over memory with a token of the tenant.
struct Fleet {
    server: TestServer<MemoryStore>,
    token: String,
}

impl Fleet {
    async fn new(config: Config) -> Self {
        let server =
            TestServer::start(MemoryStore::default(), TestClock::new(), config, Settings::default()).await;
        let token = server.core.issue_tenant_key(DEFAULT_TENANT, Vendor::ZStack).await.unwrap();
        Self { server, token }
    }

    /// Registers an agent by hand; gives its own token.
    async fn agent_of_its_own(&self, id: &str) -> String {
        let wish = Registration {
            vendor: Vendor::ZStack,
            kind: Kind::Agent,
            no: None,
            id: Some(id.to_owned()),
            name: None,
            facts: serde_json::Map::new(),
            labels: [].into(),
        };
        self.server.core.register(DEFAULT_TENANT, wish).await.unwrap().1
    }

    async fn ask(&self, token: &str, method: &str, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        let ask = Ask::new(method, &format!("/zstack/api/v1/agents{path}"));
        self.server.ask(&ask.header("authorization", &format!("Bearer {token}")).body(body)).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&self.token, "GET", path, "").await
    }

    async fn says(&self, body: &Value) -> Answer {
        self.ask(&self.token, "POST", "/heartbeat", body.to_string()).await
    }

    async fn act(&self, id: &str, action: &str) -> String {
        let answer = self.ask(&self.token, "POST", &format!("/{id}/actions/{action}"), "{}").await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()["actionId"].as_str().unwrap().to_owned()
    }

    async fn result(&self, id: &str, action: &str) -> Value {
        let answer = self.get(&format!("/{id}/actions/{action}/result")).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    }

    async fn listed(&self, status: &str) -> Vec<String> {
        let page = self.get(&format!("/by-lifecycle-status/{status}")).await;
        assert_eq!(page.status, 200, "{}", page.json());
        let items = page.json()["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["agentId"].as_str().unwrap().to_owned()).collect()
    }

    /// Asks the control API.
    async fn operate(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/control/v1{path}"))
            .header("authorization", format!("Bearer {}", self.server.operator.as_ref().unwrap()))
            .header("content-type", "application/json");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let router = control::router(std::sync::Arc::clone(&self.server.core));
        let answer = router.oneshot(request.body(axum::body::Body::from(body)).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn report(&self, action: &str, body: Value) -> (u16, Value) {
        self.operate("POST", &format!("/work/{action}/report"), &body).await
    }
}

fn says(id: &str) -> Value {
    json!({"agentId": id, "name": format!("name of {id}"), "type": "log", "version": "1.2.3", "uptime": 86400})
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) -> String {
    assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    let error = answer.json()["error"].clone();
    assert_eq!(error["code"], code, "{error}");
    error["details"].as_str().unwrap().to_owned()
}

/// Seconds; the server spreads those whom it sends away alike.
fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").unwrap().parse().unwrap()
}

// ---- the whole way ----

#[tokio::test]
async fn an_agent_is_made_reports_is_told_to_restart_and_the_platform_learns_what_came_of_it() {
    let fleet = Fleet::new(Config::default()).await;
    let client = connect(&format!("http://{}/zstack", fleet.server.address)).unwrap();
    let token = BearerToken::from(fleet.token.as_str());

    let wish = RegisterRequest::new("web-1", "metric", "1.0", "http://10.0.0.1:7890", "plat-1");
    let made = client.send(&token, &Call::<Register>::new(wish)).await.unwrap();
    let uuid = made.uuid.clone().unwrap();
    assert_eq!(
        (made.status, made.last_heartbeat_at),
        (Some(AgentStatus::Offline), None),
        "it never reported"
    );

    let beat = HeartbeatRequest::new("1.1", 60, 12.5, 35.2);
    let beat = Call::<Heartbeat>::with(AgentPath::new(uuid.clone()), beat);
    let seen = client.send(&token, &beat).await.unwrap();
    assert_eq!((seen.status, seen.version.as_deref()), (Some(AgentStatus::Online), Some("1.1")));
    assert_eq!(seen.platform_id.as_deref(), Some("plat-1"));

    let own = AutoRegisterRequest::new("agent/of its own", "db-1", "log", "2.0", 10);
    let reply = client.send(&token, &Call::<AutoRegisterHeartbeat>::new(own)).await.unwrap();
    let own = reply.agent_id.unwrap();
    assert_eq!((reply.accepted, own.as_str()), (Some(true), "agent/of its own"));
    // An id with anything in it goes through a path.
    let beat = HeartbeatRequest::new("2.0", 11, 1, 2);
    let beat = Call::<Heartbeat>::with(AgentPath::new(own.clone()), beat);
    assert_eq!(client.send(&token, &beat).await.unwrap().uuid, Some(own.clone()));

    let online = || Call::<ListByLifecycleStatus>::with(LifecycleQuery::new("online"), ());
    let page = client.send(&token, &online()).await.unwrap();
    let ids: Vec<_> = page.items.iter().filter_map(|item| item.agent_id.clone()).collect();
    assert_eq!((ids, page.total), (vec![uuid, own.clone()], Some(2)));

    let path = ActionPath::new(own.clone(), "restart");
    let sent = client.send(&token, &Call::<SendAction>::with(path, ActionRequest::default())).await.unwrap();
    let action = sent.action_id.unwrap();
    let result = || async {
        let path = ActionResultPath::new(own.clone(), action.clone());
        client.send(&token, &Call::<GetActionResult>::with(path, ())).await.unwrap()
    };
    let before = result().await;
    assert_eq!((before.status, before.agent_id.clone()), (Some(ActionStatus::Pending), Some(own.clone())));
    assert_eq!((before.error, before.action), (None, Some("restart".into())));

    let (_, waiting) = fleet.operate("GET", "/work?vendor=zstack&state=queued", &Value::Null).await;
    assert_eq!(waiting["work"][0]["id"], action.as_str());
    assert_eq!(waiting["work"][0]["agent"]["id"], own.as_str());
    for (body, word) in [
        (json!({"state": "acknowledge"}), ActionStatus::Pending),
        (json!({"state": "start"}), ActionStatus::Running),
        (json!({"state": "succeed", "result": {"took_ms": 40}}), ActionStatus::Success),
    ] {
        let (status, answer) = fleet.report(action.as_str(), body.clone()).await;
        assert_eq!((status, &answer["changed"]), (200, &json!(true)), "{body}: {answer}");
        assert_eq!(result().await.status, Some(word), "{body}");
        let (status, again) = fleet.report(action.as_str(), body.clone()).await;
        assert_eq!((status, &again["changed"]), (200, &json!(false)), "said again: {body}: {again}");
        assert_eq!(again["work"], answer["work"]);
    }
    assert_eq!(result().await.error, None, "an action that went well has no error");
    fleet.server.stop().await;
}

// ---- made by their own word ----

#[tokio::test]
async fn either_pair_of_names_is_read_and_what_is_said_becomes_the_agent() {
    let fleet = Fleet::new(Config::default()).await;
    let mut body = says("a");
    for (cpu, memory, value) in [("cpu", "memory", json!(12.5)), ("cpuUsage", "memUsage", json!("40"))] {
        let mut body = body.clone();
        body[cpu] = value.clone();
        body[memory] = value.clone();
        body["queueDepth"] = json!(4);
        assert_eq!(fleet.says(&body).await.json(), json!({"accepted": true, "agentId": "a"}));
        let seen = fleet.server.core.find_agent(DEFAULT_TENANT, Vendor::ZStack, "a").unwrap();
        let metrics = seen.report.unwrap().metrics;
        let number = value.as_f64().unwrap_or(40.0);
        assert_eq!((metrics["cpu_percent"], metrics["memory_percent"]), (number, number));
        assert_eq!((metrics["uptime_seconds"], metrics["queue_depth"]), (86400.0, 4.0));
    }
    body["name"] = json!("renamed");
    body["version"] = json!("2.0");
    body["type"] = json!("trace");
    body["uptime"] = json!("7");
    assert_eq!(fleet.says(&body).await.status, 200);
    let seen = fleet.server.core.find_agent(DEFAULT_TENANT, Vendor::ZStack, "a").unwrap();
    assert_eq!((seen.agent.name.as_str(), seen.agent.version.as_deref()), ("renamed", Some("2.0")));
    assert_eq!(seen.agent.facts["type"], "trace");
    assert_eq!(fleet.server.core.agents(DEFAULT_TENANT).len(), 1);
    fleet.server.stop().await;
}

#[tokio::test]
async fn agents_that_say_the_same_id_at_once_are_one_agent_on_disk_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("fleet.sqlite")).unwrap();
    let server = TestServer::start(store, TestClock::new(), Config::default(), Settings::default()).await;
    let token = server.core.issue_tenant_key(DEFAULT_TENANT, Vendor::ZStack).await.unwrap();
    let ask = Ask::new("POST", "/zstack/api/v1/agents/heartbeat")
        .header("authorization", &format!("Bearer {token}"))
        .json(&says("a"));
    let mut connections = Vec::new();
    for _ in 0..16 {
        connections.push(server.connect().await);
    }
    for connection in &mut connections {
        connection.send(&ask.to_bytes()).await;
    }
    for connection in &mut connections {
        assert_eq!(connection.receive().await.unwrap().status, 200);
    }
    assert_eq!(server.core.agents(DEFAULT_TENANT).len(), 1);
    drop(connections);
    server.stop().await;
}

#[tokio::test]
async fn lease_is_renewed_by_word_of_ones_own_as_by_a_heartbeat() {
    let fleet = Fleet::new(Config::default()).await;
    fleet.says(&says("a")).await;
    fleet.says(&says("b")).await;
    assert_eq!(fleet.listed("online").await, ["a", "b"]);
    fleet.server.clock.advance(2 * MINUTE);
    fleet.says(&says("a")).await;
    assert_eq!(fleet.listed("online").await, ["a"]);
    assert_eq!(fleet.listed("delayed").await, ["b"]);
    fleet.server.clock.advance(MINUTE);
    assert_eq!(fleet.listed("offline").await, ["b"]);
    fleet.server.stop().await;
}

#[tokio::test]
async fn id_that_is_also_a_word_of_the_paths_names_an_agent() {
    let fleet = Fleet::new(Config::default()).await;
    for id in ["heartbeat", "actions", "by-lifecycle-status", "%", "a/b", "агент", "..", " "] {
        assert_eq!(fleet.says(&says(id)).await.json()["agentId"], id, "{id:?}");
        let escaped: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let beat = r#"{"version":"2.0","uptime":1,"cpuUsage":1,"memUsage":1}"#;
        let answer = fleet.ask(&fleet.token, "PUT", &format!("/{escaped}/heartbeat"), beat).await;
        assert_eq!((answer.status, &answer.json()["uuid"]), (200, &json!(id)), "{escaped}");
        let action = fleet.act(&escaped, "stop").await;
        assert_eq!(fleet.result(&escaped, &action).await["agentId"], id);
    }
    // Written out, the static line is the one that is meant.
    let answer = fleet.ask(&fleet.token, "PUT", "/heartbeat", "{}").await;
    refused(&answer, 405, "SYS.1006");
    assert_eq!(answer.header("allow"), Some("POST"));
    fleet.server.stop().await;
}

#[tokio::test]
async fn hostile_bodies_are_refused_with_every_fault_and_make_no_agent() {
    let fleet = Fleet::new(Config::default()).await;
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let long = "a".repeat(17 * 1024);
    for (body, status, code, named) in [
        ("", 400, "SYS.1007", "body"),
        ("null", 400, "SYS.1007", "body"),
        ("[]", 400, "SYS.1007", "body"),
        ("{\"agentId\": \"a\"", 400, "SYS.1007", ""),
        ("{}", 400, "SYS.1007", "/agentId"),
        (
            r#"{"agentId":"","name":"n","type":"t","version":"1","uptime":-1,"cpu":101}"#,
            400,
            "SYS.1007",
            "/uptime",
        ),
        (r#"{"agentId":["a"],"name":7,"type":"t","version":"1","uptime":"x"}"#, 400, "SYS.1007", "/name"),
        (
            r#"{"agentId":"a","agentId":"b","name":"n","type":"t","version":"1","uptime":1}"#,
            400,
            "SYS.1007",
            "agentId",
        ),
        (&deep, 400, "SYS.1007", ""),
        (&long, 413, "SYS.1009", "16384"),
    ] {
        let answer = fleet.ask(&fleet.token, "POST", "/heartbeat", body).await;
        let told = refused(&answer, status, code);
        assert!(told.contains(named), "{told} of {body:.60}");
    }
    let answer = fleet.ask(&fleet.token, "POST", "", r#"{"name":"n","labels":[1]}"#).await;
    let told = refused(&answer, 400, "SYS.1007");
    for place in ["/type", "/version", "/endpoint", "/platformId", "/labels"] {
        assert!(told.contains(place), "{place}: {told}");
    }
    for (body, status) in [("", 400), ("null", 400), ("7", 400), ("{\"a\":", 400)] {
        let answer = fleet.ask(&fleet.token, "POST", "/a/actions/stop", body).await;
        refused(&answer, status, "SYS.1007");
    }
    assert!(fleet.server.core.agents(DEFAULT_TENANT).is_empty());
    fleet.server.stop().await;
}

#[tokio::test]
async fn labels_are_told_as_they_were_registered_unless_an_operator_has_set_some() {
    let fleet = Fleet::new(Config::default()).await;
    let wish = |labels: Value| {
        let wish = json!({"name": "n", "type": "log", "version": "1", "endpoint": "e", "platformId": "p"});
        let mut wish = wish.as_object().unwrap().clone();
        wish.insert("labels".to_owned(), labels);
        Value::Object(wish)
    };
    for (sent, told) in [
        (json!(r#"{"env": "prod"}"#), json!(r#"{"env": "prod"}"#)),
        (json!({"env": "prod"}), json!(r#"{"env":"prod"}"#)),
        (json!("no JSON"), json!("no JSON")),
        (json!(null), json!("{}")),
    ] {
        let answer = fleet.ask(&fleet.token, "POST", "", wish(sent.clone()).to_string()).await;
        assert_eq!((answer.status, &answer.json()["labels"]), (200, &told), "{sent}");
    }
    // Each call makes an agent: nothing on the wire says that it is meant to be the same one.
    let agents = fleet.server.core.agents(DEFAULT_TENANT);
    let ids: std::collections::BTreeSet<_> = agents.iter().map(|view| view.agent.id.clone()).collect();
    assert_eq!(ids.len(), 4);
    fleet.server.stop().await;
}

// ---- how many ----

#[tokio::test]
async fn full_fleet_refuses_newcomers_and_goes_on_with_those_it_has() {
    let config = Config { agents_per_tenant: 2, ..Config::default() };
    let fleet = Fleet::new(config).await;
    assert_eq!(fleet.says(&says("a")).await.status, 200);
    fleet.agent_of_its_own("b").await;
    let register = json!({"name": "n", "type": "log", "version": "1", "endpoint": "e", "platformId": "p"});
    let register = fleet.ask(&fleet.token, "POST", "", register.to_string()).await;
    for answer in [fleet.says(&says("c")).await, register] {
        let told = refused(&answer, 503, "SYS.1011");
        assert_eq!(told, "the fleet has as many agents as it may have");
        assert!(retry_after(&answer) >= 300);
    }
    assert_eq!(fleet.says(&says("a")).await.status, 200);
    assert_eq!(fleet.says(&says("b")).await.status, 200);
    fleet.agent_of_its_own("c").await;
    assert_eq!(fleet.says(&says("c")).await.status, 200, "an operator has made room for it");
    assert_eq!(fleet.server.core.agents(DEFAULT_TENANT).len(), 3);
    fleet.server.stop().await;
}

#[tokio::test]
async fn ten_thousand_agents_are_listed_page_by_page_in_their_order() {
    let fleet = Fleet::new(Config::default()).await;
    let started = Instant::now();
    let mut connection = fleet.server.connect().await;
    let head = Ask::new("POST", "/zstack/api/v1/agents/heartbeat")
        .header("authorization", &format!("Bearer {}", fleet.token));
    for number in 0..10_000 {
        connection.send(&head.clone().json(&says(&format!("agent-{number:05}"))).to_bytes()).await;
        assert_eq!(connection.receive().await.unwrap().status, 200);
    }
    let made = started.elapsed();

    let started = Instant::now();
    let mut seen = Vec::new();
    for offset in (0..10_500).step_by(1000) {
        let page = fleet.get(&format!("/by-lifecycle-status/online?limit=1000&offset={offset}")).await;
        assert!(page.body.len() < 200_000, "a page is bounded: {} bytes", page.body.len());
        let page = page.json();
        assert_eq!(
            (&page["total"], &page["limit"], &page["offset"]),
            (&json!(10_000), &json!(1000), &json!(offset))
        );
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["agentId"].as_str().unwrap().to_owned()));
    }
    let expected: Vec<_> = (0..10_000).map(|number| format!("agent-{number:05}")).collect();
    assert_eq!(seen, expected, "each once, in the order in which they were made");
    // Eleven pages look at every agent once each: less than making them, which was one look at a time.
    assert!(
        started.elapsed() < made + Duration::from_secs(5),
        "{:?} to list, {made:?} to make",
        started.elapsed()
    );
    let first = fleet.get("/by-lifecycle-status/online").await.json();
    assert_eq!((first["items"].as_array().unwrap().len(), &first["limit"]), (100, &json!(100)));
    drop(connection);
    fleet.server.stop().await;
}

#[tokio::test]
async fn state_that_nobody_is_in_is_an_empty_page_and_a_figure_that_is_none_is_refused() {
    let fleet = Fleet::new(Config::default()).await;
    fleet.says(&says("a")).await;
    for word in ["upgrading", "delayed", "offline", "parked", "ONLINE", "%F0%9F%A4%96", "a%2Fb"] {
        let page = fleet.get(&format!("/by-lifecycle-status/{word}")).await;
        let empty = json!({"items": [], "total": 0, "limit": 100, "offset": 0});
        assert_eq!((page.status, page.json()), (200, empty), "{word}");
    }
    for (query, named) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=%2B1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=", "limit"),
        ("limit=99999999999999999999999999", "limit"),
        ("offset=-1", "offset"),
        ("offset=x", "offset"),
        ("offset=18446744073709551615", "offset"),
    ] {
        let answer = fleet.get(&format!("/by-lifecycle-status/online?{query}")).await;
        let told = refused(&answer, 400, "SYS.1007");
        assert!(told.starts_with(&format!("query parameter {named}: must be digits")), "{query}: {told}");
    }
    let beyond = fleet.get("/by-lifecycle-status/online?offset=9007199254740991").await;
    assert_eq!((beyond.status, &beyond.json()["total"]), (200, &json!(1)));
    fleet.server.stop().await;
}

// ---- whose ----

#[tokio::test]
async fn token_of_one_agent_is_good_for_that_agent_and_tells_none_what_to_do() {
    let fleet = Fleet::new(Config::default()).await;
    let token = fleet.agent_of_its_own("mine").await;
    fleet.says(&says("other")).await;
    let action = fleet.act("other", "stop").await;
    let own = fleet.act("mine", "stop").await;

    let said = fleet.ask(&token, "POST", "/heartbeat", says("mine").to_string()).await;
    assert_eq!(said.status, 200);
    let page = fleet.ask(&token, "GET", "/by-lifecycle-status/online", "").await.json();
    assert_eq!((&page["total"], &page["items"][0]["agentId"]), (&json!(1), &json!("mine")), "it sees itself");
    assert_eq!(fleet.ask(&token, "GET", &format!("/mine/actions/{own}/result"), "").await.status, 200);

    // Of others it is told what it is told of none.
    for id in ["other", "nobody"] {
        let said = fleet.ask(&token, "POST", "/heartbeat", says(id).to_string()).await;
        assert_eq!(refused(&said, 404, "SYS.1005"), "no such agent");
        let told = fleet.ask(&token, "POST", &format!("/{id}/actions/stop"), "{}").await;
        assert_eq!(refused(&told, 404, "SYS.1005"), "no such agent");
        let told = fleet.ask(&token, "GET", &format!("/{id}/actions/{action}/result"), "").await;
        assert_eq!(refused(&told, 404, "SYS.1005"), "no such agent");
    }
    let told = fleet.ask(&token, "POST", "/mine/actions/stop", "{}").await;
    refused(&told, 403, "SYS.1003");
    let register = json!({"name": "n", "type": "log", "version": "1", "endpoint": "e", "platformId": "p"});
    let told = fleet.ask(&token, "POST", "", register.to_string()).await;
    refused(&told, 403, "SYS.1003");
    assert_eq!(fleet.server.core.agents(DEFAULT_TENANT).len(), 2);
    fleet.server.stop().await;
}

#[tokio::test]
async fn nothing_crosses_tenants() {
    const THEIRS: i64 = 2;
    let store = MemoryStore::default();
    let theirs = |id: &str| fleetwire_server_core::domain::NewAgent {
        tenant: THEIRS,
        vendor: Vendor::ZStack,
        kind: Kind::Agent,
        no: None,
        id: Some(id.to_owned()),
        parent: None,
        name: id.to_owned(),
        version: None,
        facts: serde_json::Map::new(),
        labels: [].into(),
        key: None,
        at: chrono::DateTime::UNIX_EPOCH,
    };
    let known: Agent = store.register(theirs("same")).await.unwrap();
    let key = fleetwire_server_core::keys::Digest::of("zsk_theirs");
    let credential = fleetwire_server_core::domain::Credential {
        tenant: THEIRS,
        vendor: Vendor::ZStack,
        agent: None,
        candidate: false,
    };
    store.add_key(key, credential).await.unwrap();
    let server = TestServer::start(store, TestClock::new(), Config::default(), Settings::default()).await;
    let token = server.core.issue_tenant_key(DEFAULT_TENANT, Vendor::ZStack).await.unwrap();
    let fleet = Fleet { server, token };

    let theirs_says = fleet.ask("zsk_theirs", "POST", "/heartbeat", says("same").to_string()).await;
    assert_eq!(theirs_says.status, 200);
    let action = fleet.ask("zsk_theirs", "POST", "/same/actions/stop", "{}").await.json();
    let action = action["actionId"].as_str().unwrap().to_owned();

    let told = fleet.ask(&fleet.token, "POST", "/same/actions/stop", "{}").await;
    assert_eq!(refused(&told, 404, "SYS.1005"), "no such agent");
    assert_eq!(fleet.listed("online").await, [""; 0]);
    assert_eq!(fleet.says(&says("same")).await.status, 200, "the id is free here");
    assert_eq!(fleet.listed("online").await, ["same"]);
    let told = fleet.get(&format!("/same/actions/{action}/result")).await;
    assert_eq!(refused(&told, 404, "SYS.1005"), "no such action");
    let (status, _) = fleet.report(&action, json!({"state": "acknowledge"})).await;
    assert_eq!(status, 404, "nor does their operator's work concern ours");
    assert_eq!(known.tenant, THEIRS);
    fleet.server.stop().await;
}

// ---- actions ----

#[tokio::test]
async fn action_that_waits_is_not_made_twice_and_the_last_word_counts() {
    let fleet = Fleet::new(Config::default()).await;
    fleet.says(&says("a")).await;
    let start = fleet.act("a", "start").await;
    assert_eq!(fleet.act("a", "start").await, start, "sent again, perhaps since its answer was lost");
    let stop = fleet.act("a", "stop").await;
    let start_again = fleet.act("a", "start").await;
    assert_eq!(std::collections::BTreeSet::from([&start, &stop, &start_again]).len(), 3);
    fleet.report(&start_again, json!({"state": "acknowledge"})).await;
    assert_ne!(fleet.act("a", "start").await, start_again, "that one is taken already");

    for action in ["upgrade", "START", "", "%2e%2e", "restart%20"] {
        let answer = fleet.ask(&fleet.token, "POST", &format!("/a/actions/{action}"), "{}").await;
        if action.is_empty() {
            refused(&answer, 404, "SYS.1006");
        } else {
            let told = refused(&answer, 400, "SYS.1007");
            assert_eq!(told, "path parameter action: must be one of start, stop, restart", "{action}");
        }
    }
    let told = fleet.ask(&fleet.token, "POST", "/nobody/actions/start", "{}").await;
    assert_eq!(refused(&told, 404, "SYS.1005"), "no such agent");
    fleet.server.stop().await;
}

#[tokio::test]
async fn more_actions_than_may_wait_are_refused_until_some_are_done() {
    let fleet = Fleet::new(Config::default()).await;
    fleet.says(&says("a")).await;
    for number in 0..100 {
        fleet.act("a", ["start", "stop"][number % 2]).await;
    }
    let answer = fleet.ask(&fleet.token, "POST", "/a/actions/restart", "{}").await;
    assert_eq!(refused(&answer, 503, "SYS.1011"), "too many actions wait for this agent");
    assert!(retry_after(&answer) >= 60);
    let (_, waiting) = fleet.operate("GET", "/work?vendor=zstack&state=queued&limit=1", &Value::Null).await;
    let id = waiting["work"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(fleet.operate("POST", &format!("/work/{id}/cancel"), &Value::Null).await.0, 200);
    fleet.act("a", "restart").await;
    fleet.server.stop().await;
}

#[tokio::test]
async fn result_says_how_an_action_ended_and_why() {
    let fleet = Fleet::new(Config::default()).await;
    for id in ["a", "b", "c", "d", "e"] {
        fleet.says(&says(id)).await;
    }
    let failed = fleet.act("a", "restart").await;
    fleet.report(&failed, json!({"state": "acknowledge"})).await;
    fleet.report(&failed, json!({"state": "fail", "result": {"error": "no such unit", "code": 5}})).await;
    let mute = fleet.act("b", "restart").await;
    fleet.report(&mute, json!({"state": "acknowledge"})).await;
    fleet.report(&mute, json!({"state": "fail"})).await;
    let canceled = fleet.act("c", "restart").await;
    fleet.operate("POST", &format!("/work/{canceled}/cancel"), &Value::Null).await;
    let stuck = fleet.act("d", "restart").await;
    fleet.report(&stuck, json!({"state": "acknowledge"})).await;
    let unbegun = fleet.act("e", "restart").await;
    fleet.server.clock.advance(8 * 24 * 60 * MINUTE);
    for (id, action, error) in [
        ("a", &failed, "no such unit"),
        ("b", &mute, WorkState::Failed.meaning()),
        ("c", &canceled, WorkState::Canceled.meaning()),
        ("d", &stuck, "the execution took too long"),
        ("e", &unbegun, WorkState::Expired.meaning()),
    ] {
        let result = fleet.result(id, action).await;
        assert_eq!((&result["status"], &result["error"]), (&json!("failed"), &json!(error)), "{id}");
        assert_eq!(result["createdAt"], "2026-03-21T14:30:00Z");
    }
    let told = fleet.get(&format!("/b/actions/{failed}/result")).await;
    assert_eq!(refused(&told, 404, "SYS.1005"), "no such action", "it is another agent's");
    let told = fleet.get("/a/actions/nothing%2Fsuch/result").await;
    assert_eq!(refused(&told, 404, "SYS.1005"), "no such action");
    fleet.server.stop().await;
}

#[tokio::test]
async fn report_that_the_state_does_not_allow_is_answered_with_the_state() {
    let fleet = Fleet::new(Config::default()).await;
    fleet.says(&says("a")).await;
    let action = fleet.act("a", "restart").await;
    for state in ["start", "succeed", "fail"] {
        let (status, answer) = fleet.report(&action, json!({"state": state})).await;
        let error = &answer["error"];
        assert_eq!((status, &error["code"]), (409, &json!("illegal_transition")), "{answer}");
        assert_eq!(error["state"], "queued", "nobody has taken it");
    }
    for (body, named) in [
        (json!({"state": "expire"}), "state"),
        (json!({"state": "acknowledge", "result": 1}), "result"),
        (json!({"state": "start", "result": 1}), "result"),
        (json!({"state": "acknowledge", "execution_number": 1}), "execution_number"),
        (json!({"state": "succeed", "execution_number": -1}), "execution_number"),
        (json!({"state": "succeed", "verdict": 1}), "verdict"),
        (json!({}), "state"),
    ] {
        let (status, answer) = fleet.report(&action, body.clone()).await;
        assert_eq!(status, 422, "{body}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(named), "{body}: {answer}");
    }
    let (status, _) = fleet.report("nothing", json!({"state": "acknowledge"})).await;
    assert_eq!(status, 404);

    // What is said of an end changes nothing, and neither does word of an execution that there never was.
    fleet.report(&action, json!({"state": "acknowledge"})).await;
    let (status, _) = fleet.report(&action, json!({"state": "succeed", "execution_number": 2})).await;
    assert_eq!(status, 404);
    fleet.report(&action, json!({"state": "succeed"})).await;
    let (status, answer) = fleet.report(&action, json!({"state": "fail"})).await;
    assert_eq!(
        (status, &answer["changed"], &answer["work"]["state"]),
        (200, &json!(false), &json!("succeeded"))
    );
    fleet.server.stop().await;
}

#[tokio::test]
async fn work_whose_agents_report_for_themselves_is_not_for_operators_to_report() {
    let fleet = Fleet::new(Config::default()).await;
    fleet.operate("POST", "/agents", &json!({"vendor": "achilles", "id": "w"})).await;
    let wish = json!({"type": "execute_command", "payload": {"command": "hostname", "arguments": []}});
    let (status, work) = fleet.operate("POST", "/agents/achilles/w/work", &wish).await;
    assert_eq!(status, 201, "{work}");
    let (status, answer) = fleet.report(work["id"].as_str().unwrap(), json!({"state": "acknowledge"})).await;
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("invalid")), "{answer}");
    fleet.server.stop().await;
}

#[tokio::test]
async fn an_operator_queues_actions_with_a_key_and_retries() {
    let fleet = Fleet::new(Config::default()).await;
    fleet.says(&says("a")).await;
    let wish = json!({"type": "restart", "key": "nightly", "max_retries": 1, "timeout_seconds": 60});
    let (status, work) = fleet.operate("POST", "/agents/zstack/a/work", &wish).await;
    assert_eq!((status, &work["state"]), (201, &json!("queued")), "{work}");
    let (status, again) = fleet.operate("POST", "/agents/zstack/a/work", &wish).await;
    assert_eq!((status, &again["id"]), (200, &work["id"]));
    let id = work["id"].as_str().unwrap();
    fleet.report(id, json!({"state": "acknowledge"})).await;
    let (_, failed) = fleet.report(id, json!({"state": "fail", "execution_number": 1})).await;
    assert_eq!((&failed["changed"], &failed["work"]["state"]), (&json!(true), &json!("failed")), "{failed}");
    assert_eq!(fleet.result("a", id).await["status"], "pending", "another execution follows");
    let (_, taken) = fleet.report(id, json!({"state": "acknowledge"})).await;
    assert_eq!(taken["work"]["execution_number"], 2, "{taken}");
    let (_, late) = fleet.report(id, json!({"state": "succeed", "execution_number": 1})).await;
    assert_eq!((&late["changed"], &late["work"]["state"]), (&json!(false), &json!("failed")), "{late}");
    fleet.report(id, json!({"state": "succeed", "execution_number": 2})).await;
    assert_eq!(fleet.result("a", id).await["status"], "success");

    for (wish, named) in [
        (json!({"type": "upgrade"}), "type: must be one of start, stop, restart"),
        (json!({"type": "stop", "payload": {"force": true}}), "payload: must be empty"),
    ] {
        let (status, answer) = fleet.operate("POST", "/agents/zstack/a/work", &wish).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 422 && message.contains(named), "{answer}");
    }
    fleet.server.stop().await;
}

#[tokio::test]
async fn what_waits_is_listed_by_vendor_state_and_page() {
    let fleet = Fleet::new(Config::default()).await;
    let mut actions = Vec::new();
    for number in 0..5 {
        let id = format!("a{number}");
        fleet.says(&says(&id)).await;
        actions.push(fleet.act(&id, "restart").await);
    }
    fleet.report(&actions[4], json!({"state": "acknowledge"})).await;
    let mut path = "/work?vendor=zstack&state=queued&limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let (status, page) = fleet.operate("GET", &path, &Value::Null).await;
        assert_eq!(status, 200, "{page}");
        let work = page["work"].as_array().unwrap();
        assert!(work.len() <= 2);
        seen.extend(work.iter().map(|work| work["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_i64() else { break };
        path = format!("/work?vendor=zstack&state=queued&limit=2&before={next}");
    }
    seen.reverse();
    assert_eq!(seen, actions[..4]);
    for (query, named) in [
        ("vendor=nobody", "vendor"),
        ("state=waiting", "state"),
        ("agent=a0", "vendor"),
        ("limit=0", "limit"),
    ] {
        let (status, answer) = fleet.operate("GET", &format!("/work?{query}"), &Value::Null).await;
        assert!(status == 422 && answer["error"]["message"].as_str().unwrap().contains(named), "{answer}");
    }
    // What has expired does not wait, even before the store is told so.
    fleet.server.clock.advance(8 * 24 * 60 * MINUTE);
    let (_, page) = fleet.operate("GET", "/work?vendor=zstack&state=queued", &Value::Null).await;
    assert_eq!(page["work"], json!([]));
    fleet.server.stop().await;
}

#[tokio::test]
async fn refusals_reach_the_client_in_the_vendors_envelope() {
    let fleet = Fleet::new(Config::default()).await;
    let client = connect(&format!("http://{}/zstack", fleet.server.address)).unwrap();
    let bad = BearerToken::from("zsk_nobody");
    let path = ActionPath::new(AgentUuid::from("a"), "stop");
    let call = Call::<SendAction>::with(path, ActionRequest::default());
    let told = client.clone().send(&bad, &call).await;
    let Err(SendError::Refused { refusal, .. }) = told else { panic!("{told:?}") };
    assert_eq!(refusal.status, 401);
    let good = BearerToken::from(fleet.token.as_str());
    let told = client.send(&good, &call).await;
    let Err(SendError::Refused { refusal, .. }) = told else { panic!("{told:?}") };
    assert_eq!(refusal.status, 404);
    assert_eq!(refusal.envelope.unwrap().error.as_other().unwrap().code.as_deref(), Some("SYS.1005"));
    fleet.server.stop().await;
}
