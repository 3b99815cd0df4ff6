//! The operators' API, asked without a socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use axum::Router;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, TimeZone, Utc};
use fleetwire_server::control::{self, KeyBody, NewTokenBody, TokenCreated};
use fleetwire_server_core::store::MemoryStore;
use fleetwire_server_core::{Clock, Config, Core, Entropy};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

/// It is always noon.
struct Noon;

impl Clock for Noon {
    fn now(&self) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2025, 3, 1, 12, 0, 0).unwrap()
    }
}

/// No two fills are alike, and every run makes the same ones.
#[derive(Default)]
struct Counted(AtomicU8);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

struct Operator {
    router: Router,
    token: String,
}

impl Operator {
    async fn new() -> Self {
        let core = Core::start(
            MemoryStore::default(),
            Arc::new(Noon),
            Arc::new(Counted::default()),
            Config::default(),
        );
        let (core, token) = core.await.unwrap();
        Self { router: control::router(Arc::new(core)), token: token.unwrap() }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        // Probes answer in plain text, a revocation in none.
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8(body.to_vec()).unwrap()));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn ask(&self, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/control/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, Body::empty()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, body.to_string()).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PUT, path, body.to_string()).await
    }

    /// Registers an agent, and gives its JSON.
    async fn registered(&self, vendor: &str, id: &str) -> Value {
        let answer = self.post("/agents", json!({"vendor": vendor, "id": id})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["agent"].clone()
    }
}

/// What a refusal says, after its status and code were compared.
#[track_caller]
fn refused(answer: &Answer, status: StatusCode, code: &str) -> String {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.body["error"]["code"], code);
    let error = answer.body["error"].as_object().unwrap();
    assert_eq!(error.contains_key("state"), code == "illegal_transition", "{error:?}");
    assert_eq!(error.len(), 2 + usize::from(error.contains_key("state")), "{error:?}");
    error["message"].as_str().unwrap().to_owned()
}

#[track_caller]
fn invalid(answer: &Answer) -> String {
    refused(answer, StatusCode::UNPROCESSABLE_ENTITY, "invalid")
}

// ---- who ----

#[tokio::test]
async fn without_a_good_token_nothing_under_control_answers() {
    let operator = Operator::new().await;
    let good = &operator.token;
    let presented = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some(good.clone()),
        Some(format!("Basic {good}")),
        Some(format!("Bearer {good}0")),
        Some(format!("Bearer {}", &good[..good.len() - 1])),
        Some(format!("Bearer {}", good.to_uppercase())),
        Some(format!("Bearer fwo_{}", "f".repeat(64))),
    ];
    for authorization in presented {
        for path in ["/agents", "/tokens/some", "/nowhere", "/agents/zstack/x/model"] {
            for method in [Method::GET, Method::DELETE, Method::POST] {
                let mut request = Request::builder().method(method).uri(format!("/control/v1{path}"));
                if let Some(value) = &authorization {
                    request = request.header(header::AUTHORIZATION, value);
                }
                let answer = operator.send(request.body(Body::empty()).unwrap()).await;
                refused(&answer, StatusCode::UNAUTHORIZED, "unauthenticated");
                assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
                assert!(!answer.body.to_string().contains(good.as_str()));
            }
        }
    }
}

#[tokio::test]
async fn scheme_of_the_token_is_read_in_any_case() {
    let operator = Operator::new().await;
    let request = Request::get("/control/v1/agents")
        .header(header::AUTHORIZATION, format!("bEARER {}", operator.token))
        .body(Body::empty());
    assert_eq!(operator.send(request.unwrap()).await.status, StatusCode::OK);
}

/// A body that notes when somebody reads it.
struct Watched(Arc<AtomicBool>);

impl http_body::Body for Watched {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        self.0.store(true, Ordering::Relaxed);
        std::task::Poll::Ready(None)
    }
}

#[tokio::test]
async fn body_of_a_stranger_is_not_read() {
    let operator = Operator::new().await;
    for (authorization, expected, read) in [
        ("Bearer fwo_wrong".to_owned(), StatusCode::UNAUTHORIZED, false),
        (format!("Bearer {}", operator.token), StatusCode::UNPROCESSABLE_ENTITY, true),
    ] {
        let seen = Arc::new(AtomicBool::new(false));
        let request = Request::post("/control/v1/tokens")
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::new(Watched(Arc::clone(&seen))));
        assert_eq!(operator.send(request.unwrap()).await.status, expected);
        assert_eq!(seen.load(Ordering::Relaxed), read);
    }
}

#[tokio::test]
async fn probes_need_no_token() {
    let operator = Operator::new().await;
    for (path, text) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let answer = operator.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, json!(text)));
    }
}

// ---- what is refused everywhere ----

#[tokio::test]
async fn unknown_address_is_refused_in_the_envelope() {
    let operator = Operator::new().await;
    for path in ["/nowhere", "/agents/zstack", "/agents/zstack/x/y/z", "/agents/", "/"] {
        refused(&operator.get(path).await, StatusCode::NOT_FOUND, "not_found");
    }
    for path in ["/", "/nowhere", "/control/v2/agents"] {
        let answer = operator.send(Request::get(path).body(Body::empty()).unwrap()).await;
        refused(&answer, StatusCode::NOT_FOUND, "not_found");
    }
}

#[tokio::test]
async fn wrong_method_is_told_the_right_ones() {
    let operator = Operator::new().await;
    for (method, path, allow) in [
        (Method::DELETE, "/agents", "GET,HEAD,POST"),
        (Method::GET, "/tokens/x", "DELETE"),
        (Method::POST, "/release-key", "GET,HEAD"),
        (Method::PATCH, "/agents/zstack/x/model", "PUT"),
    ] {
        let answer = operator.ask(method, path, Body::empty()).await;
        refused(&answer, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
        assert_eq!(answer.headers[header::ALLOW], allow);
    }
}

#[tokio::test]
async fn body_beyond_the_limit_is_refused() {
    let operator = Operator::new().await;
    let body = json!({"vendor": "acusight", "name": "x".repeat(1 << 20)});
    let answer = operator.post("/agents", body).await;
    let message = refused(&answer, StatusCode::PAYLOAD_TOO_LARGE, "too_large");
    assert!(message.contains("1048576"), "{message}");
}

#[tokio::test]
async fn body_that_is_no_json_is_refused() {
    let operator = Operator::new().await;
    for body in ["", "{", "nonsense", "{\"vendor\":\"zstack\"} trailing", "\u{0}", "[[[["] {
        let answer = operator.ask(Method::POST, "/keys", body).await;
        invalid(&answer);
    }
    let request = Request::post("/control/v1/keys")
        .header(header::AUTHORIZATION, format!("Bearer {}", operator.token))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("vendor=zstack"));
    let answer = operator.send(request.unwrap()).await;
    refused(&answer, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
}

#[tokio::test]
async fn deeply_nested_body_is_refused_and_not_followed() {
    let operator = Operator::new().await;
    let body =
        format!("{{\"vendor\":\"acusight\",\"facts\":{{\"a\":{}1{}}}}}", "[".repeat(9000), "]".repeat(9000));
    invalid(&operator.ask(Method::POST, "/agents", body).await);
}

#[tokio::test]
async fn unknown_member_is_named_wherever_one_can_be_sent() {
    let operator = Operator::new().await;
    operator.registered("acusight", "cam").await;
    for (path, body) in [
        ("/agents", json!({"vendor": "acusight", "lables": {}})),
        ("/agents/achilles/a/work", json!({"type": "t", "lables": 1})),
        ("/tokens", json!({"vendor": "achilles", "lables": 1})),
        ("/keys", json!({"vendor": "zstack", "lables": 1})),
        ("/models", json!({"name": "n", "version": "1", "download_url": "http://h/m", "lables": 1})),
        ("/releases", json!({"lables": 1})),
    ] {
        let message = invalid(&operator.post(path, body).await);
        assert!(message.contains("unknown field `lables`"), "{path}: {message}");
    }
    let answer = operator.put("/agents/acusight/cam/model", json!({"model": "m", "lables": 1})).await;
    assert!(invalid(&answer).contains("unknown field `lables`"));
    for path in ["/agents?lables=1", "/work?lables=1"] {
        let message = invalid(&operator.get(path).await);
        assert!(message.contains("unknown field `lables`"), "{path}: {message}");
    }
}

#[tokio::test]
async fn fault_of_type_is_told_with_its_place() {
    let operator = Operator::new().await;
    let message =
        invalid(&operator.post("/agents", json!({"vendor": "acusight", "labels": {"site": 7}})).await);
    assert!(message.starts_with("labels.site: "), "{message}");
    let message = invalid(&operator.post("/tokens", json!({"vendor": "achilles", "max_uses": -1})).await);
    assert!(message.starts_with("max_uses: "), "{message}");
    let message = invalid(&operator.get("/work?limit=many").await);
    assert!(message.starts_with("limit: "), "{message}");
}

#[tokio::test]
async fn every_fault_of_a_request_is_told_at_once() {
    let operator = Operator::new().await;
    let release = json!({
        "version": " ", "os": "", "arch": "a\u{1b}[2J", "sha256": "zz", "size": 0, "download_url": "ftp://h/f",
    });
    let message = invalid(&operator.post("/releases", release).await);
    let places: Vec<_> = message.split("; ").map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["version", "os", "arch", "sha256", "size", "download_url"], "{message}");
}

// ---- agents ----

#[tokio::test]
async fn registered_agent_is_shown_with_its_key_once_and_can_be_found() {
    let operator = Operator::new().await;
    let wish = json!({
        "vendor": "acusight", "id": "ABCD:1234", "name": "gate", "facts": {"rack": 7}, "labels": {"site": "north"},
    });
    let answer = operator.post("/agents", wish).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let key = answer.body["key"].as_str().unwrap();
    assert!(key.starts_with("adk_") && key.len() == 68, "{key}");
    let expected = json!({
        "number": 1, "vendor": "acusight", "kind": "agent", "id": "ABCD:1234", "name": "gate", "version": null,
        "status": "never", "last_seen": null, "host": null, "current_model": null, "desired_model": null,
        "standing": "active", "rotating": false, "disabled": false, "labels": {"site": "north"}, "facts": {"rack": 7}, "report": null,
        "created_at": "2025-03-01T12:00:00.000Z", "updated_at": "2025-03-01T12:00:00.000Z",
    });
    assert_eq!(answer.body["agent"], expected);

    let found = operator.get("/agents/acusight/ABCD%3A1234").await;
    assert_eq!((found.status, &found.body), (StatusCode::OK, &expected));
    assert_eq!(operator.get("/agents").await.body, json!({"agents": [expected], "next": null}));
}

#[tokio::test]
async fn agent_whose_dialect_shows_numbers_is_found_by_its_number() {
    let operator = Operator::new().await;
    let answer = operator.post("/agents", json!({"vendor": "agentmc", "number": 42, "name": "main"})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    assert_eq!(answer.body["agent"]["id"], "42");
    assert_eq!(operator.get("/agents/agentmc/42").await.body["number"], 42);

    let answer = operator.post("/agents", json!({"vendor": "agentmc", "id": "mine"})).await;
    assert!(invalid(&answer).contains("number"));
    let answer = operator.post("/agents", json!({"vendor": "agentmc", "kind": "host", "id": "print"})).await;
    assert_eq!((answer.status, &answer.body["agent"]["kind"]), (StatusCode::CREATED, &json!("host")));
    let answer = operator.post("/agents", json!({"vendor": "zstack", "kind": "host"})).await;
    assert!(invalid(&answer).contains("no hosts"));
}

#[tokio::test]
async fn agent_of_a_taken_id_or_number_is_refused() {
    let operator = Operator::new().await;
    operator.registered("zstack", "one").await;
    let answer = operator.post("/agents", json!({"vendor": "zstack", "id": "one"})).await;
    refused(&answer, StatusCode::CONFLICT, "taken");
    let answer = operator.post("/agents", json!({"vendor": "zstack", "id": "two", "number": 1})).await;
    refused(&answer, StatusCode::CONFLICT, "taken");
    // Another vendor's ids are another matter.
    operator.registered("acusight", "one").await;
    assert_eq!(operator.get("/agents").await.body["agents"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn agents_are_listed_by_vendor_and_by_status() {
    let operator = Operator::new().await;
    for (vendor, id) in [("acusight", "a"), ("zstack", "b"), ("zstack", "c")] {
        operator.registered(vendor, id).await;
    }
    for (query, ids) in [
        ("", &["a", "b", "c"][..]),
        ("?vendor=zstack", &["b", "c"]),
        ("?vendor=agentmc", &[]),
        ("?status=never", &["a", "b", "c"]),
        ("?status=online", &[]),
        ("?vendor=acusight&status=never", &["a"]),
    ] {
        let answer = operator.get(&format!("/agents{query}")).await;
        let found: Vec<_> =
            answer.body["agents"].as_array().unwrap().iter().map(|agent| &agent["id"]).collect();
        assert_eq!(found, ids, "{query}");
    }
    let message = invalid(&operator.get("/agents?vendor=acme&status=lost").await);
    assert!(message.contains("vendor: must be one of acusight, zstack, agentmc, achilles"), "{message}");
    assert!(message.contains("status: must be one of online, delayed, offline, never"), "{message}");
    assert!(invalid(&operator.get("/agents?vendor=zstack&vendor=zstack").await).contains("duplicate field"));
}

#[tokio::test]
async fn registration_out_of_bounds_is_refused_and_registers_nobody() {
    let operator = Operator::new().await;
    let long = "ä".repeat(1025);
    let many: serde_json::Map<_, _> = (0..65).map(|n| (n.to_string(), json!("x"))).collect();
    for (member, value) in [
        ("vendor", json!("acme")),
        ("kind", json!("robot")),
        ("number", json!(0)),
        ("number", json!(-1)),
        ("number", json!(1_i64 << 53)),
        ("id", json!("")),
        ("id", json!("a\nb")),
        ("id", json!(long)),
        ("name", json!(long)),
        ("labels", json!({"": "x"})),
        ("labels", json!({"a": long})),
        ("labels", json!(many)),
    ] {
        let mut wish = json!({"vendor": "acusight"});
        wish[member] = value;
        let message = invalid(&operator.post("/agents", wish).await);
        assert!(message.starts_with(member), "{member}: {message}");
    }
    assert_eq!(operator.get("/agents").await.body, json!({"agents": [], "next": null}));

    let fits = json!({"vendor": "acusight", "name": "ä".repeat(1024), "labels": {"a": ""}});
    assert_eq!(operator.post("/agents", fits).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn unknown_agent_or_vendor_is_not_found() {
    let operator = Operator::new().await;
    operator.registered("zstack", "here").await;
    for path in ["/agents/zstack/gone", "/agents/acusight/here", "/agents/acme/here", "/agents/ZSTACK/here"] {
        refused(&operator.get(path).await, StatusCode::NOT_FOUND, "not_found");
    }
    // Bytes that are no text cannot name an agent.
    invalid(&operator.get("/agents/zstack/%ff").await);
}

#[tokio::test]
async fn rotation_is_offered_once_until_it_is_used() {
    let operator = Operator::new().await;
    operator.registered("achilles", "runner").await;
    for _ in 0..2 {
        let answer = operator.ask(Method::POST, "/agents/achilles/runner/rotate-key", Body::empty()).await;
        assert_eq!((answer.status, &answer.body["rotating"]), (StatusCode::OK, &json!(true)));
        // The agent is told the key, not the operator.
        assert!(!answer.body.to_string().contains("ak_"), "{}", answer.body);
    }
    let answer = operator.ask(Method::POST, "/agents/achilles/gone/rotate-key", Body::empty()).await;
    refused(&answer, StatusCode::NOT_FOUND, "not_found");
    operator.registered("zstack", "z").await;
    invalid(&operator.ask(Method::POST, "/agents/zstack/z/rotate-key", Body::empty()).await);
}

// ---- models ----

#[tokio::test]
async fn registered_model_can_be_assigned_to_a_device() {
    let operator = Operator::new().await;
    operator.registered("acusight", "cam").await;
    let wish = json!({
        "id": "m1", "name": "people", "version": "3", "download_url": "https://h.example/m.onnx",
        "file_ext": "onnx", "label_map": "{\"0\":\"person\"}",
    });
    let answer = operator.post("/models", wish.clone()).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let mut expected = wish.clone();
    expected["created_at"] = json!("2025-03-01T12:00:00.000Z");
    // Its file is elsewhere, and nothing is known of it.
    (expected["sha256"], expected["size"]) = (json!(null), json!(null));
    assert_eq!(answer.body, expected);
    refused(&operator.post("/models", wish).await, StatusCode::CONFLICT, "taken");

    let answer = operator.put("/agents/acusight/cam/model", json!({"model": "m1"})).await;
    assert_eq!((answer.status, &answer.body["desired_model"]), (StatusCode::OK, &json!("m1")));
    assert_eq!(operator.get("/agents/acusight/cam").await.body["desired_model"], "m1");

    let answer = operator.put("/agents/acusight/cam/model", json!({"model": "m2"})).await;
    assert!(refused(&answer, StatusCode::NOT_FOUND, "not_found").contains("model"));
    let answer = operator.put("/agents/acusight/gone/model", json!({"model": "m1"})).await;
    assert!(refused(&answer, StatusCode::NOT_FOUND, "not_found").contains("agent"));
    operator.registered("zstack", "z").await;
    let answer = operator.put("/agents/zstack/z/model", json!({"model": "m1"})).await;
    assert!(invalid(&answer).contains("no models"));
    assert_eq!(operator.get("/agents/acusight/cam").await.body["desired_model"], "m1");
}

#[tokio::test]
async fn model_without_an_id_gets_one() {
    let operator = Operator::new().await;
    let wish = json!({"name": "n", "version": "1", "download_url": "http://h/m"});
    let answer = operator.post("/models", wish).await;
    assert!(answer.body["id"].as_str().unwrap().starts_with("model_"), "{}", answer.body);
}

#[tokio::test]
async fn model_out_of_bounds_is_refused() {
    let operator = Operator::new().await;
    for (member, value) in [
        ("id", json!("")),
        ("name", json!("")),
        ("version", json!("\u{7}")),
        ("download_url", json!("")),
        ("download_url", json!("/m.onnx")),
        ("download_url", json!("file:///etc/passwd")),
        ("download_url", json!("https://")),
        ("file_ext", json!("x".repeat(1025))),
        ("label_map", json!("{person}")),
        ("label_map", json!(format!("[{}1]", "1,".repeat(40_000)))),
    ] {
        let mut wish = json!({"name": "n", "version": "1", "download_url": "http://h/m"});
        wish[member] = value;
        let message = invalid(&operator.post("/models", wish).await);
        assert!(message.starts_with(member), "{member}: {message}");
    }
}

// ---- work ----

#[tokio::test]
async fn queued_work_is_listed_the_latest_first() {
    let operator = Operator::new().await;
    operator.registered("achilles", "one").await;
    operator.registered("achilles", "two").await;
    let wish = json!({
        "type": "execute_command", "priority": 9,
        "payload": {"command": "uptime", "arguments": ["-p"], "metadata": {"target": "linux"}, "test_uuid": null},
    });
    let answer = operator.post("/agents/achilles/one/work", wish).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let id = answer.body["id"].as_str().unwrap();
    assert!(!id.is_empty());
    let expected = json!({
        "number": 1, "id": id, "agent": {"number": 1, "vendor": "achilles", "id": "one"},
        "type": "execute_command", "state": "queued", "priority": 9, "ttl_seconds": 604_800, "result": null,
        "key": null, "not_before": null, "expires_at": "2025-03-08T12:00:00.000Z", "timeout_seconds": 300,
        "max_retries": 0, "execution_number": 1, "deadline": null, "acknowledged_at": null,
        "payload": {"command": "uptime", "arguments": ["-p"], "metadata": {"target": "linux"}, "test_uuid": null},
        "created_at": "2025-03-01T12:00:00.000Z", "delivered_at": null, "completed_at": null,
        "updated_at": "2025-03-01T12:00:00.000Z",
    });
    assert_eq!(answer.body, expected);
    let answer = operator.post("/agents/achilles/two/work", json!({"type": "uninstall"})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);

    for (query, numbers) in [
        ("", &[2, 1][..]),
        ("?limit=1", &[2]),
        ("?vendor=achilles&agent=one", &[1]),
        ("?vendor=achilles&agent=two&limit=1000", &[2]),
    ] {
        let answer = operator.get(&format!("/work{query}")).await;
        let found: Vec<_> =
            answer.body["work"].as_array().unwrap().iter().map(|work| &work["number"]).collect();
        assert_eq!(found, numbers, "{query}");
    }
    assert_eq!(
        operator.get("/work?vendor=achilles&agent=one").await.body,
        json!({"work": [expected], "next": null})
    );
}

#[tokio::test]
async fn work_of_one_key_is_made_once_shown_and_called_off() {
    let operator = Operator::new().await;
    operator.registered("achilles", "one").await;
    let wish = json!({
        "type": "execute_test", "key": "nightly", "not_before": "2025-03-02T01:00:00+01:00", "ttl_seconds": 60,
        "timeout_seconds": 90,
    });
    let made = operator.post("/agents/achilles/one/work", wish.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.body["not_before"], "2025-03-02T00:00:00.000Z");
    assert_eq!(made.body["expires_at"], "2025-03-02T00:01:00.000Z");
    assert_eq!(made.body["payload"], json!({"execution_timeout": 90}));
    assert_eq!((&made.body["max_retries"], &made.body["execution_number"]), (&json!(2), &json!(1)));
    let again = operator.post("/agents/achilles/one/work", wish.clone()).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &made.body));
    let mut other = wish;
    other["priority"] = json!(2);
    let id = made.body["id"].as_str().unwrap();
    let message =
        refused(&operator.post("/agents/achilles/one/work", other).await, StatusCode::CONFLICT, "taken");
    assert!(message.contains(id), "{message}");

    assert_eq!(operator.get(&format!("/work/{id}")).await.body, made.body);
    for _ in 0..2 {
        let answer = operator.post(&format!("/work/{id}/cancel"), json!({})).await;
        assert_eq!((answer.status, &answer.body["state"]), (StatusCode::OK, &json!("canceled")));
    }
    for path in ["/work/gone", "/work/gone/cancel"] {
        let answer = if path.ends_with("cancel") {
            operator.post(path, json!({})).await
        } else {
            operator.get(path).await
        };
        refused(&answer, StatusCode::NOT_FOUND, "not_found");
    }
    assert_eq!(operator.get("/results").await.body, json!({"results": [], "next": null}));
}

#[tokio::test]
async fn work_out_of_bounds_is_refused() {
    let operator = Operator::new().await;
    operator.registered("achilles", "one").await;
    for (wish, place) in [
        (json!({"type": "t", "key": ""}), "key"),
        (json!({"type": "t", "not_before": "tomorrow"}), "not_before"),
        (json!({"type": "t", "not_before": "2026-03-05T00:00:00Z"}), "not_before"),
        (json!({"type": "t", "ttl_seconds": 0}), "ttl_seconds"),
        (json!({"type": "t", "timeout_seconds": 86_401}), "timeout_seconds"),
        (json!({"type": "t", "timeout_seconds": 9, "payload": {"execution_timeout": 8}}), "timeout_seconds"),
        (json!({"type": "execute_test", "max_retries": 6}), "max_retries"),
        (json!({"type": "uninstall", "max_retries": 1}), "max_retries"),
    ] {
        let message = invalid(&operator.post("/agents/achilles/one/work", wish).await);
        assert!(message.starts_with(&format!("{place}: ")), "{place}: {message}");
    }
    for (query, place) in [("?limit=0", "limit"), ("?agent=one", "vendor")] {
        assert!(invalid(&operator.get(&format!("/results{query}")).await).starts_with(place), "{query}");
    }
}

#[tokio::test]
async fn question_for_work_that_makes_no_sense_is_refused() {
    let operator = Operator::new().await;
    for (query, place) in [
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=-1", "limit"),
        ("?vendor=acme", "vendor"),
        ("?agent=one", "vendor"),
        ("?vendor=acme&agent=one", "vendor"),
        ("?state=waiting", "state"),
    ] {
        let message = invalid(&operator.get(&format!("/work{query}")).await);
        assert!(message.starts_with(place), "{query}: {message}");
    }
    let answer = operator.get("/work?vendor=achilles&agent=gone").await;
    refused(&answer, StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn work_that_its_agent_could_not_be_given_is_not_queued() {
    let operator = Operator::new().await;
    operator.registered("achilles", "one").await;
    for (wish, place) in [
        (json!({"type": ""}), "type"),
        (json!({"type": "t", "priority": 1001}), "priority"),
        (json!({"type": "t", "priority": -1001}), "priority"),
        (json!({"type": "t", "payload": []}), "payload"),
        (json!({"type": "t", "payload": {"arguments": "-p"}}), "payload.arguments"),
        (json!({"type": "t", "payload": {"arguments": ["-p", 1]}}), "payload.arguments.1"),
        (json!({"type": "t", "payload": {"binary_size": -1}}), "payload.binary_size"),
        (json!({"type": "t", "payload": {"comand": "uptime"}}), "payload.comand"),
        (json!({"type": "t", "payload": {"metadata": {"severty": "low"}}}), "payload.metadata.severty"),
    ] {
        let message = invalid(&operator.post("/agents/achilles/one/work", wish).await);
        assert!(message.starts_with(&format!("{place}: ")), "{place}: {message}");
    }
    let answer = operator.post("/agents/achilles/gone/work", json!({"type": "t"})).await;
    refused(&answer, StatusCode::NOT_FOUND, "not_found");
    operator.registered("zstack", "z").await;
    assert!(
        invalid(&operator.post("/agents/zstack/z/work", json!({"type": "t"})).await)
            .contains("start, stop, restart")
    );
    assert_eq!(operator.get("/work").await.body, json!({"work": [], "next": null}));
}

// ---- tokens and keys ----

#[tokio::test]
async fn token_is_shown_once_and_listed_until_it_is_forgotten() {
    let operator = Operator::new().await;
    let answer = operator.post("/tokens", json!({"vendor": "achilles"})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let (id, text) = (answer.body["id"].as_str().unwrap(), answer.body["token"].as_str().unwrap());
    let expected = json!({
        "id": id, "token": text, "vendor": "achilles", "expires_at": "2025-03-02T12:00:00.000Z", "max_uses": 1,
    });
    assert_eq!(answer.body, expected);

    let mut listed = json!({
        "id": id, "vendor": "achilles", "expires_at": "2025-03-02T12:00:00.000Z", "max_uses": 1, "uses": 0,
        "revoked": false, "created_at": "2025-03-01T12:00:00.000Z",
    });
    assert_eq!(operator.get("/tokens").await.body, json!({"tokens": [listed]}));

    let revoked = operator.ask(Method::DELETE, &format!("/tokens/{id}"), Body::empty()).await;
    assert_eq!((revoked.status, revoked.body), (StatusCode::NO_CONTENT, json!("")));
    listed["revoked"] = json!(true);
    assert_eq!(operator.get("/tokens").await.body, json!({"tokens": [listed]}));
    let answer = operator.ask(Method::DELETE, "/tokens/gone", Body::empty()).await;
    refused(&answer, StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn token_out_of_bounds_is_not_made() {
    let operator = Operator::new().await;
    for (member, value) in [
        ("ttl_seconds", json!(0)),
        ("ttl_seconds", json!(30 * 86_400 + 1)),
        ("ttl_seconds", json!(u64::MAX)),
        ("max_uses", json!(0)),
        ("max_uses", json!(100_001)),
        ("vendor", json!("acme")),
    ] {
        let mut wish = json!({"vendor": "achilles"});
        wish[member] = value;
        let message = invalid(&operator.post("/tokens", wish).await);
        assert!(message.starts_with(member), "{message}");
    }
    assert!(invalid(&operator.post("/tokens", json!({"vendor": "zstack"})).await).contains("not enrolled"));
    assert_eq!(operator.get("/tokens").await.body, json!({"tokens": []}));

    let most = json!({"vendor": "achilles", "ttl_seconds": 30 * 86_400, "max_uses": 100_000});
    assert_eq!(operator.post("/tokens", most).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn token_has_the_bounds_that_are_usual_with_its_vendor_unless_they_are_set_or_lifted() {
    let operator = Operator::new().await;
    let never = Value::Null;
    for (wish, expires, uses) in [
        (json!({"vendor": "acusight"}), json!("2025-03-31T12:00:00.000Z"), &never),
        (json!({"vendor": "acusight", "max_uses": 1}), json!("2025-03-31T12:00:00.000Z"), &json!(1)),
        (json!({"vendor": "acusight", "ttl_seconds": null}), Value::Null, &never),
        (json!({"vendor": "achilles", "ttl_seconds": null, "max_uses": null}), Value::Null, &never),
    ] {
        let answer = operator.post("/tokens", wish).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        assert_eq!((&answer.body["expires_at"], &answer.body["max_uses"]), (&expires, uses));
        let listed = &operator.get("/tokens").await.body["tokens"][0];
        assert_eq!((&listed["expires_at"], &listed["max_uses"]), (&expires, uses));
    }
}

#[tokio::test]
async fn key_of_the_whole_tenant_is_made_where_the_dialect_has_one() {
    let operator = Operator::new().await;
    for (vendor, prefix) in [("zstack", "zsk_"), ("agentmc", "cc_")] {
        let answer = operator.post("/keys", json!({"vendor": vendor})).await;
        assert_eq!((answer.status, &answer.body["vendor"]), (StatusCode::CREATED, &json!(vendor)));
        assert!(answer.body["key"].as_str().unwrap().starts_with(prefix));
    }
    for vendor in ["acusight", "achilles", "acme"] {
        invalid(&operator.post("/keys", json!({"vendor": vendor})).await);
    }
}

#[test]
fn debug_shows_no_key_and_no_token() {
    let key: KeyBody = serde_json::from_value(json!({"vendor": "zstack", "key": "zsk_secret"})).unwrap();
    let token: TokenCreated = serde_json::from_value(
        json!({"id": "i", "token": "et_secret", "vendor": "achilles", "expires_at": "t", "max_uses": 1}),
    )
    .unwrap();
    assert_eq!(key.key.reveal(), "zsk_secret");
    assert!(!format!("{key:?}{token:?}").contains("secret"));
}

#[test]
fn bounds_of_a_token_leave_as_they_were_asked_for() {
    for sent in [
        json!({"vendor": "achilles"}),
        json!({"vendor": "achilles", "ttl_seconds": null, "max_uses": null}),
        json!({"vendor": "achilles", "ttl_seconds": 60, "max_uses": 2}),
    ] {
        let read: NewTokenBody = serde_json::from_value(sent.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), sent);
    }
}

// ---- releases ----

#[tokio::test]
async fn release_is_signed_with_the_key_that_is_told() {
    let operator = Operator::new().await;
    let sha256 = "Ab".repeat(32);
    let wish = json!({
        "version": "1.4.0", "os": "linux", "arch": "amd64", "sha256": sha256, "size": 12,
        "download_url": "https://h.example/agent", "mandatory": true,
    });
    let answer = operator.post("/releases", wish).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let signature = answer.body["signature"].as_str().unwrap();
    let expected = json!({
        "number": 1, "version": "1.4.0", "os": "linux", "arch": "amd64", "sha256": "ab".repeat(32), "size": 12,
        "download_url": "https://h.example/agent", "mandatory": true, "signature": signature,
        "created_at": "2025-03-01T12:00:00.000Z",
    });
    assert_eq!(answer.body, expected);

    let told = operator.get("/release-key").await;
    assert_eq!((told.status, &told.body["algorithm"]), (StatusCode::OK, &json!("ed25519")));
    // The second fill made the seed of rotations, the third that of signatures.
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap();
    let key = ring::signature::KeyPair::public_key(&pair).as_ref();
    assert_eq!(told.body["public_key"], BASE64.encode(key));
    let signature: [u8; 64] = fleetwire_server_core::keys::unhex(signature).unwrap();
    let verifier = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key);
    verifier.verify(&[0xab; 32], &signature).unwrap();
}

#[tokio::test]
async fn release_whose_digest_or_size_cannot_be_is_refused() {
    let operator = Operator::new().await;
    let good = json!({
        "version": "1", "os": "linux", "arch": "arm64", "sha256": "0".repeat(64), "size": 1,
        "download_url": "http://h/f",
    });
    for (member, value) in [
        ("sha256", json!("0".repeat(63))),
        ("sha256", json!("0".repeat(66))),
        ("sha256", json!("g".repeat(64))),
        ("sha256", json!("ä".repeat(32))),
        ("size", json!(0)),
        ("size", json!(1_u64 << 53)),
        ("size", json!(1.5)),
    ] {
        let mut wish = good.clone();
        wish[member] = value;
        let message = invalid(&operator.post("/releases", wish).await);
        assert!(message.starts_with(member), "{message}");
    }
    let answer = operator.post("/releases", good).await;
    assert_eq!((answer.status, &answer.body["mandatory"]), (StatusCode::CREATED, &json!(false)));
}
