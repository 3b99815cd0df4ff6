//! Devices that are provisioned by a token and check in with the key that they got, over a real socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::time::Duration;

use fleetwire_server::Settings;
use fleetwire_server_core::Config;
use fleetwire_server_core::domain::{DEFAULT_TENANT, Kind, Standing, Token, Vendor};
use fleetwire_server_core::operator::{Registration, WorkWish};
use fleetwire_server_core::store::MemoryStore;
use fleetwire_store_sqlite::SqliteStore;
use serde_json::{Map, Value, json};

use support::{Answer, Ask, Connection, TestClock, TestServer};

#[expect(dead_code, reason = "these requests are as they should be")]
mod support;

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: i64 = 60_000;

async fn server() -> TestServer<MemoryStore> {
    TestServer::start(MemoryStore::new(), TestClock::new(), Config::default(), Settings::default()).await
}

async fn token(server: &TestServer<MemoryStore>, uses: impl Into<Option<u32>>) -> String {
    server.core.issue_token(DEFAULT_TENANT, Vendor::Acusight, DAY, uses).await.unwrap().1
}

/// The token made last.
async fn latest(server: &TestServer<MemoryStore>) -> Token {
    server.core.tokens(DEFAULT_TENANT).await.unwrap().remove(0)
}

fn provision(token: &str, device: &str) -> Ask {
    Ask::new("POST", "/acusight/api/devices/provision")
        .json(&json!({"token": token, "device_info": {"device_id": device}}))
}

/// The key that a device gets.
async fn provisioned(server: &TestServer<MemoryStore>, token: &str, device: &str) -> String {
    let answer = server.ask(&provision(token, device)).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()["data"]["api_key"].as_str().unwrap().to_owned()
}

fn myself(key: &str) -> Ask {
    Ask::new("GET", "/acusight/api/device/self").header("X-Device-Key", key)
}

fn checkin(key: &str, body: &Value) -> Ask {
    Ask::new("POST", "/acusight/api/device/checkin").header("X-Device-Key", key).json(body)
}

async fn status(server: &TestServer<MemoryStore>, ask: &Ask) -> u16 {
    server.ask(ask).await.status
}

/// The code of a refusal, which is in the envelope.
fn refused(answer: &Answer, status: u16) -> String {
    let body = answer.json();
    assert_eq!((answer.status, &body["success"]), (status, &json!(false)), "{body}");
    let error = body["error"].as_object().unwrap();
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    assert!(body.get("data").is_none(), "{body}");
    error["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn device_gets_a_key_and_signs_in_under_the_address_that_it_was_told() {
    let server = server().await;
    let token = token(&server, 1).await;
    assert!(token.starts_with("apt_"), "{token}");
    let info = json!({"device_id": "ABCD:1", "name": "gate", "agent_version": "1.0", "ip_address": "10.0.0.7", "board": "RPi4"});
    let ask = provision(&token, "").json(&json!({"token": token, "device_info": info}));
    let answer = server.ask(&ask).await.json();
    let data = &answer["data"];
    let key = data["api_key"].as_str().unwrap();
    assert!(key.starts_with("adk_") && answer["success"] == json!(true), "{answer}");
    assert_eq!((&data["device_id"], &data["endpoint_id"]), (&json!("ABCD:1"), &json!("ABCD:1")));
    let path = data["api_endpoint"].as_str().unwrap().strip_prefix("http://fleet.test").unwrap();
    assert_eq!(path, "/acusight/api");

    let ask = Ask::new("GET", &format!("{path}/device/self")).header("X-Device-Key", key);
    let known = server.ask(&ask).await.json();
    assert_eq!(known["data"]["name"], json!("gate"));
    assert_eq!(known["data"]["status"], json!("approved"));
    assert_eq!(known["data"]["organization_id"].as_str().map(str::len), Some(36));
    let agent = server.core.find_agent(DEFAULT_TENANT, Vendor::Acusight, "ABCD:1").unwrap().agent;
    assert_eq!(agent.version.as_deref(), Some("1.0"));
    let facts = json!({"ip_address": "10.0.0.7", "device_info": {"board": "RPi4"}});
    assert_eq!(Value::Object(agent.facts.clone()), facts);
    server.stop().await;
}

#[tokio::test]
async fn all_three_routes_stand_under_core_as_well() {
    let server = server().await;
    let token = token(&server, 1).await;
    let mut ask = provision(&token, "d");
    ask.target = "/acusight/api/core/devices/provision".to_owned();
    let key = server.ask(&ask).await.json()["data"]["api_key"].as_str().unwrap().to_owned();
    for mut ask in [myself(&key), checkin(&key, &json!({}))] {
        ask.target = ask.target.replace("/api/", "/api/core/");
        assert_eq!(status(&server, &ask).await, 200, "{}", ask.target);
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_tokens_are_told_apart_by_nothing_but_their_time() {
    let server = server().await;
    provisioned(&server, &token(&server, 1).await, "known").await;
    let revoked = token(&server, 1).await;
    let id = latest(&server).await.id;
    server.core.revoke_token(DEFAULT_TENANT, id).await.unwrap();
    let used_up = token(&server, 1).await;
    provisioned(&server, &used_up, "other").await;
    let other_vendors = server.core.issue_token(DEFAULT_TENANT, Vendor::Achilles, DAY, 1).await.unwrap().1;
    let unknown = format!("apt_{}", "0".repeat(64));

    let mut answers = BTreeSet::new();
    for token in [revoked.as_str(), &used_up, &other_vendors, &unknown, "", "apt_", "no token", "é"] {
        // Whether a device of that id is known is not told, either.
        for device in ["known", "nobody"] {
            let answer = server.ask(&provision(token, device)).await;
            assert_eq!(refused(&answer, 401), "INVALID_TOKEN", "{token}, {device}");
            answers.insert(answer.body);
        }
    }
    assert_eq!(answers.len(), 1, "all are told the same");

    let expiring = token(&server, None).await;
    server.clock.advance(24 * 60 * MINUTE);
    for (token, code) in
        [(&expiring, "TOKEN_EXPIRED"), (&revoked, "INVALID_TOKEN"), (&other_vendors, "INVALID_TOKEN")]
    {
        for device in ["known", "nobody"] {
            assert_eq!(refused(&server.ask(&provision(token, device)).await, 401), code);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn known_device_is_not_provisioned_again() {
    let server = server().await;
    let token = token(&server, None).await;
    let key = provisioned(&server, &token, "signed in").await;
    assert_eq!(status(&server, &myself(&key)).await, 200);
    let wish = Registration {
        vendor: Vendor::Acusight,
        kind: Kind::Agent,
        no: None,
        id: Some("registered".to_owned()),
        name: None,
        facts: Map::new(),
        labels: [].into(),
    };
    server.core.register(DEFAULT_TENANT, wish).await.unwrap();
    provisioned(&server, &token, "disabled").await;
    let disabled = server.core.stand(DEFAULT_TENANT, Vendor::Acusight, "disabled", Standing::Disabled).await;
    assert_eq!(disabled.unwrap().agent.standing(), Standing::Disabled);
    for after in [0, 11 * MINUTE] {
        server.clock.advance(after);
        for device in ["signed in", "registered", "disabled"] {
            let answer = server.ask(&provision(&token, device)).await;
            assert_eq!(refused(&answer, 409), "DEVICE_EXISTS", "{device}");
        }
    }
    assert_eq!(status(&server, &myself(&key)).await, 200, "its key is as good as before");
    assert_eq!(latest(&server).await.uses, 2);
    server.stop().await;
}

#[tokio::test]
async fn disabled_device_is_told_what_any_stranger_is() {
    let server = server().await;
    let key = provisioned(&server, &token(&server, 1).await, "d").await;
    assert_eq!(status(&server, &myself(&key)).await, 200);
    server.core.stand(DEFAULT_TENANT, Vendor::Acusight, "d", Standing::Disabled).await.unwrap();
    for (known, stranger) in
        [(myself(&key), myself("adk_0000")), (checkin(&key, &json!({})), checkin("adk_0000", &json!({})))]
    {
        let (known, stranger) = (server.ask(&known).await, server.ask(&stranger).await);
        assert_eq!(refused(&known, 401), "UNAUTHORIZED");
        assert_eq!(known.body, stranger.body);
    }
    server.stop().await;
}

#[tokio::test]
async fn lost_answer_is_repeated_until_the_device_has_signed_in() {
    let server = server().await;
    let single = token(&server, 1).await;
    let lost = provisioned(&server, &single, "d").await;
    server.clock.advance(10 * MINUTE);
    let fresh = provisioned(&server, &single, "d").await;
    assert_ne!(lost, fresh);
    assert_eq!(latest(&server).await.uses, 1);
    assert_eq!(status(&server, &myself(&fresh)).await, 200);
    assert_eq!(status(&server, &myself(&lost)).await, 401, "the first sign-in ends the other key");
    assert_eq!(refused(&server.ask(&provision(&single, "d")).await, 401), "INVALID_TOKEN");
    server.stop().await;
}

#[tokio::test]
async fn device_that_never_came_is_provisioned_anew_after_the_window() {
    let server = server().await;
    let many = token(&server, None).await;
    let lost = provisioned(&server, &many, "d").await;
    let other = token(&server, 1).await;
    assert_eq!(refused(&server.ask(&provision(&other, "d")).await, 409), "DEVICE_EXISTS");
    server.clock.advance(10 * MINUTE + 1);
    let key = provisioned(&server, &other, "d").await;
    assert_eq!(latest(&server).await.uses, 1);
    assert_eq!(status(&server, &myself(&lost)).await, 200, "whichever key is used first is the device's");
    assert_eq!(status(&server, &myself(&key)).await, 401);
    server.stop().await;
}

#[tokio::test]
async fn token_without_bounds_makes_devices_after_years() {
    let server = server().await;
    let issued = server.core.issue_token(DEFAULT_TENANT, Vendor::Acusight, None, None).await.unwrap();
    assert_eq!((issued.0.expires_at, issued.0.max_uses), (None, None));
    server.clock.advance(10 * 366 * 24 * 60 * MINUTE);
    for device in ["a", "b", "c"] {
        provisioned(&server, &issued.1, device).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn last_use_of_a_token_goes_to_one_of_those_who_come_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("fleet.db")).unwrap();
    let server = TestServer::start(store, TestClock::new(), Config::default(), Settings::default()).await;
    let text = server.core.issue_token(DEFAULT_TENANT, Vendor::Acusight, DAY, 1).await.unwrap().1;
    let attempt = |n| {
        let (address, ask) = (server.address, provision(&text, &format!("d-{n}")));
        tokio::spawn(async move {
            let mut connection = Connection::open(address).await;
            connection.send(&ask.to_bytes()).await;
            connection.receive().await.unwrap()
        })
    };
    let attempts: Vec<_> = (0..16).map(attempt).collect();
    let mut answers = Vec::new();
    for attempt in attempts {
        answers.push(attempt.await.unwrap());
    }
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        // Who was there when the token was still good has lost a race; who came later has a bad token.
        let code = refused(answer, if answer.status == 409 { 409 } else { 401 });
        assert!(["CONFLICT", "INVALID_TOKEN"].contains(&code.as_str()), "{code}");
    }
    let token = server.core.tokens(DEFAULT_TENANT).await.unwrap().remove(0);
    assert_eq!(token.uses, 1);
    server.stop().await;
}

#[tokio::test]
async fn malformed_request_is_told_every_fault() {
    let server = server().await;
    for (body, places) in [
        (json!({}), &["/token", "/device_info"][..]),
        (json!({"token": "apt_1", "device_info": null}), &["/device_info"]),
        (json!({"token": 7, "device_info": {"device_id": ""}}), &["/token", "/device_info/device_id"]),
        (
            json!({"token": "apt_1", "device_info": {"device_id": "d".repeat(256)}}),
            &["/device_info/device_id"],
        ),
        (json!([]), &["body"]),
    ] {
        let answer = server.ask(&provision("", "").json(&body)).await;
        assert_eq!(refused(&answer, 400), "VALIDATION_ERROR");
        let details = answer.json()["error"]["details"].as_str().unwrap().to_owned();
        for place in places {
            assert!(details.contains(&format!("{place}: ")), "{place}: {details}");
        }
    }
    let long = provision("", "").body(vec![b' '; 64 * 1024 + 1]);
    assert_eq!(refused(&server.ask(&long).await, 413), "REQUEST_TOO_LARGE");
    server.stop().await;
}

#[tokio::test]
async fn checkin_is_kept_as_it_was_said_and_renews_the_lease() {
    let server = server().await;
    let key = provisioned(&server, &token(&server, 1).await, "d").await;
    let seen = || server.core.find_agent(DEFAULT_TENANT, Vendor::Acusight, "d").unwrap();
    assert_eq!(seen().last_seen, None);
    let body = json!({"status": "on fire", "metrics": {"cpu_usage": 45.2, "uptime": 86_400, "fan": "off"}});
    let answer = server.ask(&checkin(&key, &body)).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"success": true, "data": {"actions": []}})));
    let report = seen().report.unwrap();
    assert_eq!(report.status.as_deref(), Some("on fire"));
    assert_eq!((report.metrics["cpu_usage"], report.metrics["uptime"]), (45.2, 86_400.0));
    assert_eq!(report.notes["fan"], "off");
    let first = seen().last_seen;
    server.clock.advance(30_000);
    assert_eq!(status(&server, &checkin(&key, &json!({}))).await, 200);
    assert!(seen().last_seen > first);

    let crowded: Map<String, Value> = (0..257).map(|n| (n.to_string(), json!(n))).collect();
    for metrics in [json!(crowded), json!({"log": "x".repeat(70_000)}), json!([1]), json!("hot")] {
        let answer = server.ask(&checkin(&key, &json!({"metrics": metrics}))).await;
        assert_eq!(refused(&answer, 400), "VALIDATION_ERROR");
    }
    let huge = checkin(&key, &json!({"metrics": {"log": "x".repeat(300_000)}}));
    assert_eq!(refused(&server.ask(&huge).await, 413), "REQUEST_TOO_LARGE");
    server.stop().await;
}

#[tokio::test]
async fn strangers_are_told_so_in_the_words_of_the_route() {
    let server = server().await;
    for ask in
        [myself("adk_0000"), checkin("adk_0000", &json!({})), checkin("", &json!({})).without("X-Device-Key")]
    {
        assert_eq!(refused(&server.ask(&ask).await, 401), "UNAUTHORIZED");
    }
    // Who is no operation's is answered flat.
    for (ask, status) in [
        (Ask::new("GET", "/acusight/api/device/nobody"), 404),
        (Ask::new("DELETE", "/acusight/api/device/self"), 405),
        (Ask::new("POST", "/acusight/api/core/agent/checkin").json(&json!({"device_id": "d"})), 401),
    ] {
        let answer = server.ask(&ask).await;
        assert_eq!(answer.status, status);
        assert!(answer.json()["error"].is_string(), "{}", answer.json());
    }
    server.stop().await;
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let config =
        Config { rate: Some(fleetwire_server_core::Rate { per_minute: 1, burst: 1 }), ..Config::default() };
    let server = TestServer::start(MemoryStore::new(), TestClock::new(), config, Settings::default()).await;
    let key = provisioned(&server, &token(&server, 1).await, "d").await;
    let mut last = server.ask(&myself(&key)).await;
    for _ in 0..3 {
        last = server.ask(&myself(&key)).await;
    }
    assert_eq!(refused(&last, 429), "RATE_LIMITED");
    assert!(last.header("retry-after").is_some());
    server.stop().await;
}

#[tokio::test]
async fn operators_action_is_handed_over_until_somebody_ends_it() {
    let server = server().await;
    let key = provisioned(&server, &token(&server, 1).await, "d").await;
    let payload = json!({"stack_id": "counting", "replicas": 2});
    let wish = WorkWish {
        kind: "deploy".to_owned(),
        payload: payload.as_object().unwrap().clone(),
        ..WorkWish::default()
    };
    let queued = server.core.queue_work(DEFAULT_TENANT, Vendor::Acusight, "d", wish).await.unwrap().0;
    let bare = Ask::new("POST", "/acusight/api/core/agent/checkin")
        .header("X-Device-Key", &key)
        .json(&json!({"device_id": "d"}));
    for (ask, place) in [
        (checkin(&key, &json!({})), "/data/actions/0"),
        (bare.clone(), "/pending_actions/0"),
        (checkin(&key, &json!({})), "/data/actions/0"),
    ] {
        let answer = server.ask(&ask).await.json();
        let action = answer.pointer(place).unwrap();
        assert_eq!((&action["type"], &action["payload"]), (&json!("deploy"), &payload), "{answer}");
        assert_eq!((&action["id"], &action["status"]), (&json!(queued.work.no), &json!("pending")));
        assert!(action.get("model_id").is_none(), "{action}");
    }
    server.core.cancel_work(DEFAULT_TENANT, queued.work.id).await.unwrap();
    assert_eq!(server.ask(&checkin(&key, &json!({}))).await.json()["data"]["actions"], json!([]));

    let wish =
        WorkWish { kind: "reboot".to_owned(), ttl: Some(Duration::from_secs(60)), ..WorkWish::default() };
    server.core.queue_work(DEFAULT_TENANT, Vendor::Acusight, "d", wish).await.unwrap();
    let action = server.ask(&bare).await.json()["pending_actions"][0].clone();
    assert!(action["type"] == json!("reboot") && action.get("payload").is_none(), "{action}");
    server.clock.advance(60_001);
    assert_eq!(server.ask(&bare).await.json()["pending_actions"], json!([]));
    server.stop().await;
}
