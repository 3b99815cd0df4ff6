//! What has happened, as operators read it over a real socket; and the page about it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use fleetwire_server::Settings;
use fleetwire_server_core::Config;
use fleetwire_server_core::domain::{DEFAULT_TENANT, Kind, No, Vendor};
use fleetwire_server_core::events::EventKind;
use fleetwire_server_core::operator::Registration;
use fleetwire_server_core::store::MemoryStore;
use serde_json::{Map, Value, json};

use support::{Ask, TestClock, TestServer, in_time};

#[expect(dead_code, reason = "these requests are as they should be")]
mod support;

const OTHER_TENANT: No = 2;

/// A server whose flushes come at once.
async fn server() -> TestServer<MemoryStore> {
    let settings = Settings { flush_interval: Duration::from_millis(5), ..Settings::default() };
    TestServer::start(MemoryStore::new(), TestClock::new(), Config::default(), settings).await
}

/// Asks as the operator: the status and the body.
async fn get(server: &TestServer<MemoryStore>, query: &str) -> (u16, Value) {
    let token = format!("Bearer {}", server.operator.as_deref().unwrap());
    let ask = Ask::new("GET", &format!("/control/v1/events{query}")).header("Authorization", &token);
    let answer = server.ask(&ask).await;
    (answer.status, answer.json())
}

/// The kinds of what is told, and the number to go on from.
async fn kinds(server: &TestServer<MemoryStore>, query: &str) -> (Vec<String>, i64) {
    let (status, body) = get(server, query).await;
    assert_eq!(status, 200, "{body}");
    let kinds =
        body["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap().to_owned());
    (kinds.collect(), body["next"].as_i64().unwrap())
}

/// Waits until so many events are there.
async fn until(server: &TestServer<MemoryStore>, count: usize) {
    in_time(async {
        while kinds(server, "?after=0").await.0.len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn registered(server: &TestServer<MemoryStore>, tenant: No, vendor: Vendor, id: &str) -> String {
    let wish = Registration {
        vendor,
        kind: Kind::Agent,
        no: None,
        id: Some(id.to_owned()),
        name: None,
        facts: Map::new(),
        labels: [].into(),
    };
    server.core.register(tenant, wish).await.unwrap().1
}

fn beat(key: &str, version: &str) -> Ask {
    Ask::new("PUT", "/zstack/api/v1/agents/a-1/heartbeat")
        .header("Authorization", &format!("Bearer {key}"))
        .json(&json!({"version": version, "uptime": 86400, "cpuUsage": 12.5, "memUsage": 95}))
}

#[tokio::test]
async fn a_gap_is_read_on_from_the_last_number() {
    let server = server().await;
    let key = registered(&server, DEFAULT_TENANT, Vendor::ZStack, "a-1").await;
    assert_eq!(kinds(&server, "").await, (vec!["registered".to_owned()], 1));
    assert_eq!(server.ask(&beat(&key, "1.0")).await.status, 200);
    until(&server, 2).await;
    server.clock.advance(180_000);
    until(&server, 3).await;
    assert_eq!(server.ask(&beat(&key, "1.1")).await.status, 200);
    until(&server, 5).await;

    let (first, next) = kinds(&server, "?after=0&limit=2").await;
    assert_eq!(first, ["registered", "online"]);
    let (status, rest) = get(&server, &format!("?after={next}&limit=2")).await;
    assert_eq!(status, 200);
    let agent = json!({"number": 1, "vendor": "zstack", "id": "a-1", "name": "a-1"});
    let offline = json!({
        "number": 3, "at": "2026-03-21T14:33:00.000Z", "kind": "offline", "agent": agent,
        "detail": {
            "last_seen": "2026-03-21T14:30:00.000Z", "probable_cause": "memory_pressure",
            "metrics": {"uptime_seconds": 86400.0, "cpu_percent": 12.5, "memory_percent": 95.0},
        },
    });
    let changed = json!({
        "number": 4, "at": "2026-03-21T14:33:00.000Z", "kind": "version_changed", "agent": agent,
        "detail": {"from": "1.0", "to": "1.1"},
    });
    assert_eq!(rest, json!({"events": [offline, changed], "next": 4}));
    assert_eq!(
        kinds(&server, "?limit=2").await,
        (vec!["version_changed".to_owned(), "online".to_owned()], 5)
    );
    assert_eq!(kinds(&server, "?kind=online").await.0.len(), 2);
    assert_eq!(kinds(&server, "?agent=a-1&vendor=zstack&kind=offline&after=0").await.1, 3);
    assert_eq!(kinds(&server, "?after=5&agent=a-1").await, (Vec::new(), 5));
    server.stop().await;
}

#[tokio::test]
async fn who_is_silent_is_told_once_however_often_it_is_looked_at() {
    let server = server().await;
    let key = registered(&server, DEFAULT_TENANT, Vendor::ZStack, "a-1").await;
    assert_eq!(server.ask(&beat(&key, "1.0")).await.status, 200);
    until(&server, 2).await;
    server.clock.advance(3_600_000);
    until(&server, 3).await;
    for _ in 0..20 {
        server.core.flush().await.unwrap();
    }
    assert_eq!(kinds(&server, "?kind=offline").await.0.len(), 1);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_its_place() {
    let server = server().await;
    for (query, status, said) in [
        ("?limit=0", 422, "limit"),
        ("?limit=1001", 422, "limit"),
        ("?limit=99999999999999999999", 422, "limit"),
        ("?after=-1", 422, "after"),
        ("?after=9007199254740992", 422, "after"),
        ("?after=9223372036854775808", 422, "after"),
        ("?after=x", 422, "after"),
        ("?kind=Offline", 422, "kind: must be one of registered"),
        ("?kind=", 422, "kind"),
        ("?vendor=zstack", 422, "agent"),
        ("?vendor=nobody&agent=a", 422, "vendor"),
        ("?afer=1", 422, "afer"),
        ("?agent=nobody", 404, "no such agent"),
        ("?agent=", 404, "no such agent"),
        ("?agent=%00%ff", 404, "no such agent"),
    ] {
        let (answered, body) = get(&server, query).await;
        let message = body["error"]["message"].as_str().unwrap();
        assert!(answered == status && message.contains(said), "{query}: {answered} {message}");
    }
    assert_eq!(kinds(&server, "?after=9007199254740991").await, (Vec::new(), 9_007_199_254_740_991));
    let answer = server.ask(&Ask::new("GET", "/control/v1/events")).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn agents_of_another_tenant_are_not_there_and_neither_is_what_they_did() {
    let server = server().await;
    let key = registered(&server, OTHER_TENANT, Vendor::ZStack, "a-1").await;
    assert_eq!(server.ask(&beat(&key, "1.0")).await.status, 200);
    server.core.flush().await.unwrap();
    assert_eq!(kinds(&server, "?after=0").await, (Vec::new(), 0));
    let (status, theirs) = get(&server, "?agent=a-1").await;
    let (nobodys, nobody) = get(&server, "?agent=a-2").await;
    assert_eq!((status, theirs), (nobodys, nobody), "not even that it exists is told");
}

#[tokio::test]
async fn an_id_that_two_vendors_have_needs_the_vendor() {
    let server = server().await;
    registered(&server, DEFAULT_TENANT, Vendor::ZStack, "a-1").await;
    registered(&server, DEFAULT_TENANT, Vendor::Acusight, "a-1").await;
    let (status, body) = get(&server, "?agent=a-1").await;
    let message = body["error"]["message"].as_str().unwrap();
    assert!(status == 422 && message.contains("acusight, zstack"), "{message}");
    assert_eq!(kinds(&server, "?agent=a-1&vendor=acusight").await, (vec!["registered".to_owned()], 2));
}

#[test]
fn the_page_lists_every_kind_with_its_meaning() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows: Vec<_> = rows.filter_map(|(kind, rest)| Some((kind, rest.split_once(" | ")?.0))).collect();
    let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| (kind.as_str(), kind.meaning())).collect();
    assert_eq!(rows, kinds);
}
