//! What a server keeps of its agents and shows page by page: batches and images, reports, agents, offered keys.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleetwire_server::Settings;
use fleetwire_server_core::Config;
use fleetwire_server_core::domain::{DEFAULT_TENANT, Kind, Vendor};
use fleetwire_server_core::lease::Sampling;
use fleetwire_server_core::operator::Registration;
use fleetwire_server_core::store::{MemoryStore, Store};
use fleetwire_store_sqlite::SqliteStore;
use serde_json::{Map, Value, json};

use support::{Ask, TestClock, TestServer, in_time};

#[expect(dead_code, reason = "these requests are as they should be")]
mod support;

/// A server whose flushes come at once.
async fn server<S: Store>(store: S, config: Config) -> TestServer<S> {
    let settings = Settings { flush_interval: Duration::from_millis(5), ..Settings::default() };
    TestServer::start(store, TestClock::new(), config, settings).await
}

async fn registered<S: Store>(
    server: &TestServer<S>,
    vendor: Vendor,
    id: &str,
    labels: &[(&str, &str)],
) -> String {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let wish = Registration {
        vendor,
        kind: Kind::Agent,
        no: None,
        id: Some(id.to_owned()),
        name: None,
        facts: Map::new(),
        labels: labels.collect(),
    };
    server.core.register(DEFAULT_TENANT, wish).await.unwrap().1
}

/// Asks as the operator: the status and the body.
async fn operate<S: Store>(server: &TestServer<S>, method: &str, path: &str) -> (u16, Value) {
    let token = format!("Bearer {}", server.operator.as_deref().unwrap());
    let ask = Ask::new(method, &format!("/control/v1{path}")).header("Authorization", &token);
    let answer = server.ask(&ask).await;
    (answer.status, answer.json())
}

async fn get<S: Store>(server: &TestServer<S>, path: &str) -> Value {
    let (status, body) = operate(server, "GET", path).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

fn notify(key: &str, number: u32) -> Ask {
    let body = json!({
        "device_id": "cam-1", "filename": format!("{number}.jpg"), "storage_key": format!("raw/{number}"),
        "width": 640, "height": 480,
        "annotations": [
            {"class_value": "cat", "confidence": 0.75, "x_center": 0.5, "y_center": 0.5, "width": 0.25, "height": 0.25},
            {"class_value": "dog", "confidence": 0.5, "x_center": 0.95, "y_center": 0.5, "width": 0.25, "height": 0.25},
        ],
    });
    Ask::new("POST", "/acusight/api/data/agent/images/notify").header("X-Device-Key", key).json(&body)
}

/// The batch that an image went into.
async fn batch_of<S: Store>(server: &TestServer<S>, key: &str, number: u32) -> String {
    let answer = server.ask(&notify(key, number)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["batch_id"].as_str().unwrap().to_owned()
}

async fn closed<S: Store>(server: &TestServer<S>) -> Vec<Value> {
    let body = get(server, "/events?after=0&limit=1000&kind=batch_closed").await;
    body["events"].as_array().unwrap().iter().map(|event| event["detail"].clone()).collect()
}

#[tokio::test]
async fn a_batch_is_closed_by_time_by_number_and_by_hand_and_each_is_told_once() {
    let mut config = Config::default();
    config.batches.images = 3;
    let server = server(MemoryStore::new(), config).await;
    let key = registered(&server, Vendor::Acusight, "cam-1", &[("project", "gate")]).await;

    let old = batch_of(&server, &key, 0).await;
    server.clock.advance(30 * 60 * 1000 + 1);
    in_time(async {
        while closed(&server).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let shown = get(&server, &format!("/batches/{old}")).await;
    assert_eq!((&shown["state"], &shown["why_closed"]), (&json!("closed"), &json!("old")));
    assert_eq!((&shown["project"], &shown["device"]), (&json!("gate"), &json!("cam-1")));

    let full = batch_of(&server, &key, 1).await;
    assert_ne!(full, old);
    assert_eq!(
        (batch_of(&server, &key, 2).await, batch_of(&server, &key, 3).await),
        (full.clone(), full.clone())
    );
    let by_hand = batch_of(&server, &key, 4).await;
    let (status, first) = operate(&server, "POST", &format!("/batches/{by_hand}/close")).await;
    assert_eq!((status, &first["why_closed"]), (200, &json!("operator")));
    server.clock.advance(1000);
    assert_eq!(operate(&server, "POST", &format!("/batches/{by_hand}/close")).await, (200, first));
    let open = batch_of(&server, &key, 5).await;
    assert_eq!(operate(&server, "POST", "/batches/none/close").await.0, 404);

    // What is looked at again and again is told once.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let told = [(&old, 1, "old"), (&full, 3, "full"), (&by_hand, 1, "operator")];
    let told = told.map(|(batch, images, why)| json!({"batch": batch, "images": images, "why": why}));
    assert_eq!(closed(&server).await, told);

    let listed = |query: &'static str| {
        let server = &server;
        async move {
            let body = get(server, &format!("/batches{query}")).await;
            let batches = body["batches"].as_array().unwrap();
            let ids: Vec<_> = batches.iter().map(|batch| batch["id"].as_str().unwrap().to_owned()).collect();
            (ids, body["next"].as_i64())
        }
    };
    assert_eq!(listed("?state=open&device=cam-1").await, (vec![open.clone()], None));
    let (page, next) = listed("?limit=3").await;
    assert_eq!(page, [open, by_hand, full]);
    let rest = get(&server, &format!("/batches?limit=3&before={}", next.unwrap())).await;
    assert_eq!((&rest["batches"][0]["id"], &rest["next"]), (&json!(old), &Value::Null));
    for query in ["?limit=0", "?before=0", "?state=full", "?page=1"] {
        assert_eq!(operate(&server, "GET", &format!("/batches{query}")).await.0, 422, "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_image_is_known_again_and_shown_with_what_was_found_in_it() {
    let server = server(MemoryStore::new(), Config::default()).await;
    let key = registered(&server, Vendor::Acusight, "cam-1", &[]).await;
    let first = server.ask(&notify(&key, 7)).await;
    let again = server.ask(&notify(&key, 7)).await;
    assert_eq!((first.status, again.status, first.json()), (201, 201, again.json()));
    batch_of(&server, &key, 8).await;

    let batch = first.json()["batch_id"].as_str().unwrap().to_owned();
    let page = get(&server, &format!("/batches/{batch}/images?limit=1")).await;
    assert_eq!(page["images"][0]["storage_key"], "raw/8");
    let next = page["next"].as_i64().unwrap();
    let page = get(&server, &format!("/batches/{batch}/images?limit=5&before={next}")).await;
    let image = &page["images"][0];
    assert_eq!((&image["id"], &image["storage_key"]), (&first.json()["image_id"], &json!("raw/7")));
    assert_eq!((&image["width"], &image["height"], &page["next"]), (&json!(640), &json!(480), &Value::Null));
    let dog =
        json!({"class": "dog", "confidence": 0.5, "bounds": [0.95, 0.5, 0.25, 0.25], "crosses_edge": true});
    assert_eq!(image["annotations"][0]["crosses_edge"], false);
    assert_eq!(image["annotations"][1], dog);
    assert_eq!(operate(&server, "GET", "/batches/none/images").await.0, 404);
    server.stop().await;
}

/// Sixty-four devices' worth of haste for the last slots.
async fn contention<S: Store>(store: S) {
    let mut config = Config::default();
    (config.batches.images, config.batches.quota) = (20, 50);
    let server = server(store, config).await;
    let key = registered(&server, Vendor::Acusight, "cam-1", &[]).await;
    for number in 0..15 {
        batch_of(&server, &key, number).await;
    }
    let mut asked = Vec::new();
    for number in 100..164 {
        let (request, mut connection) = (notify(&key, number), server.connect().await);
        asked.push(tokio::spawn(async move {
            connection.send(&request.to_bytes()).await;
            connection.receive().await.unwrap()
        }));
    }
    let (mut taken, mut full) = (BTreeMap::new(), 0);
    for answer in asked {
        let answer = answer.await.unwrap();
        match answer.status {
            201 => {
                *taken.entry(answer.json()["batch_id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            }
            503 => {
                full += 1;
                assert!((60..=90).contains(&answer.header("retry-after").unwrap().parse::<u64>().unwrap()));
            }
            other => panic!("{other}: {answer:?}"),
        }
    }
    let mut counts: Vec<i32> = taken.into_values().collect();
    counts.sort_unstable();
    assert_eq!((counts, full), (vec![5, 10, 20], 64 - 35));
    let body = get(&server, "/batches").await;
    let images: Vec<_> =
        body["batches"].as_array().unwrap().iter().map(|batch| batch["images"].clone()).collect();
    assert_eq!(images, [10, 20, 20]);
    // A full quota still knows what it has.
    assert_eq!(server.ask(&notify(&key, 3)).await.status, 201);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn last_slots_go_to_as_many_as_there_are_in_memory() {
    contention(MemoryStore::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn last_slots_go_to_as_many_as_there_are_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    contention(SqliteStore::open(folder.path().join("fleet.sqlite")).unwrap()).await;
}

#[tokio::test]
async fn reports_are_kept_in_their_turn_and_shown_from_a_time_on() {
    let sampling = Sampling { every: Duration::from_secs(600), keep: Duration::from_secs(3600) };
    let server = server(MemoryStore::new(), Config { sampling, ..Config::default() }).await;
    let key = registered(&server, Vendor::ZStack, "a-1", &[]).await;
    for minute in 0..120 {
        let beat = Ask::new("PUT", "/zstack/api/v1/agents/a-1/heartbeat")
            .header("Authorization", &format!("Bearer {key}"))
            .json(&json!({"version": "1", "uptime": minute * 60, "cpuUsage": 12.5, "memUsage": 50}));
        assert_eq!(server.ask(&beat).await.status, 200);
        server.core.flush().await.unwrap();
        server.clock.advance(60_000);
    }
    let body = get(&server, "/agents/zstack/a-1/history").await;
    assert_eq!((&body["every_seconds"], &body["keep_seconds"]), (&json!(600), &json!(3600)));
    let reports = body["reports"].as_array().unwrap();
    assert!((5..=6).contains(&reports.len()), "{reports:?}");
    let uptimes: Vec<_> =
        reports.iter().map(|kept| kept["report"]["metrics"]["uptime_seconds"].as_f64().unwrap()).collect();
    assert!(uptimes.windows(2).all(|pair| pair[1] - pair[0] == 600.0), "{uptimes:?}");
    let last = reports.last().unwrap()["at"].as_str().unwrap();
    let since = get(&server, &format!("/agents/zstack/a-1/history?since={last}")).await;
    assert_eq!(since["reports"].as_array().unwrap().len(), 1);
    for (path, status) in [("a-2/history", 404), ("a-1/history?since=now", 422), ("a-1/history?limit=1", 422)]
    {
        assert_eq!(operate(&server, "GET", &format!("/agents/zstack/{path}")).await.0, status, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn agents_are_read_page_by_page_each_once() {
    let server = server(MemoryStore::new(), Config::default()).await;
    for number in 0..25 {
        let vendor = if number % 5 == 0 { Vendor::Acusight } else { Vendor::ZStack };
        registered(&server, vendor, &format!("a-{number}"), &[]).await;
    }
    for (filter, count) in [("", 25), ("&vendor=acusight", 5), ("&status=online", 0)] {
        let (mut seen, mut after) = (BTreeSet::new(), 0);
        loop {
            let body = get(&server, &format!("/agents?limit=4&after={after}{filter}")).await;
            let page = body["agents"].as_array().unwrap();
            assert!(page.len() <= 4);
            seen.extend(page.iter().map(|agent| agent["number"].as_i64().unwrap()));
            match body["next"].as_i64() {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(seen.len(), count, "{filter}");
    }
    for query in ["limit=0", "limit=1001", "after=-1"] {
        assert_eq!(operate(&server, "GET", &format!("/agents?{query}")).await.0, 422, "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_offered_key_that_is_not_used_is_told_once_and_both_stay_good() {
    let server = server(MemoryStore::new(), Config::default()).await;
    let key = registered(&server, Vendor::Achilles, "a-1", &[]).await;
    let poll = |server: &TestServer<MemoryStore>| {
        Ask::new("GET", "/achilles/api/agent/tasks")
            .header("X-Agent-Key", &key)
            .header("X-Agent-ID", "a-1")
            .header("X-Request-Timestamp", &server.clock.text(0))
    };
    let unused = || get(&server, "/events?after=0&kind=key_unused");
    assert_eq!(server.ask(&poll(&server)).await.status, 204);
    assert_eq!(operate(&server, "POST", "/agents/achilles/a-1/rotate-key").await.0, 200);
    server.clock.advance(299_999);
    server.core.flush().await.unwrap();
    assert_eq!(unused().await["events"], json!([]));
    server.clock.advance(1);
    for _ in 0..3 {
        server.core.flush().await.unwrap();
    }
    assert_eq!(operate(&server, "POST", "/agents/achilles/a-1/rotate-key").await.0, 200, "the same offer");
    server.clock.advance(600_000);
    for _ in 0..3 {
        server.core.flush().await.unwrap();
    }
    let told = unused().await;
    assert_eq!(told["events"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["events"][0]["detail"]["rotation"], 1);
    assert_eq!(server.ask(&poll(&server)).await.status, 204, "the old key is good");
    assert_eq!(get(&server, "/agents/achilles/a-1").await["rotating"], true);
    server.stop().await;
}
