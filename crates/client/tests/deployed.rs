//! The same agent before a server that behaves like the vendor's deployed one: bearer keys only, one task object or
//! 204, an offer of a key that never ends (PA-12), a new key that is refused for half a minute (PA-13), a result that is
//! refused unless the task was said to be at work, a word that is refused when it comes again (PA-19), and the binary
//! itself where the source has the update check (PA-4). Its schemas refuse null where something may be left out,
//! members of `reconnect_context` that they do not know, a time that is off by more than 300 s, and more than thirty
//! requests in a minute. It is written from what is known of that server, with nothing of ours in it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[expect(dead_code, reason = "each test uses what it needs of it")]
mod world;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use fleetwire_client::agent::{Input, Progress};
use http::{Request, Response};
use serde_json::Value;
use world::{Crash, Fault, World};

/// What the double has seen.
#[derive(Default)]
struct Seen {
    first_try: Option<u64>,
    promoted: bool,
    refused: u32,
    /// Steps and results of the task in the order in which they came, refused ones with a `!`.
    told: Vec<String>,
    version_checks: u32,
    /// What the server's own schemas refuse of what it was sent.
    broken: Vec<String>,
    /// The seconds of the last requests.
    recent: VecDeque<u64>,
}

/// What becomes of a task of the deployed server that is told a word: `None` is a refusal.
fn transition(from: &str, word: &str) -> Option<&'static str> {
    Some(match (from, word) {
        ("assigned", "downloading") => "downloading",
        ("assigned" | "downloading", "executing") => "executing",
        ("assigned" | "downloading" | "executing", "failed") => "failed",
        ("downloading" | "executing", "result") => "completed",
        ("completed", _) => "completed",
        ("failed", _) => "failed",
        _ => return None,
    })
}

fn answer(status: u16, body: &str) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap()
}

/// A server whose new key is refused for `seconds` after it was first tried.
fn deployed(seconds: u64) -> (World, Rc<RefCell<Seen>>) {
    deployed_with(seconds, r#"{"command":"id","arguments":[]}"#)
}

fn deployed_with(seconds: u64, payload: &'static str) -> (World, Rc<RefCell<Seen>>) {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let told = Rc::clone(&seen);
    let mut task = "pending";
    let mut serve = move |request: &Request<Bytes>, now: u64| {
        let mut seen = told.borrow_mut();
        let path = request.uri().path();
        if let Some(refused) = refusal(request, now, &mut seen) {
            return refused;
        }
        if path.ends_with("/enroll") {
            // A second agent has the first one's place: there is room for one here.
            let data = r#"{"agent_id":"a-1","agent_key":"ak_old","org_id":"o","server_url":"http://x","poll_interval":30,"update_public_key":""}"#;
            return answer(201, &format!(r#"{{"success":true,"data":{data}}}"#));
        }
        let bearer = request.headers()["authorization"].to_str().unwrap();
        let good = match bearer {
            "Bearer ak_old" => !seen.promoted,
            "Bearer ak_new" => {
                // A row that was read with the old key is believed for so long.
                let first = *seen.first_try.get_or_insert(now);
                now >= first + seconds
            }
            other => panic!("{other}"),
        };
        if !good {
            seen.refused += 1;
            return answer(401, r#"{"success":false,"error":"Invalid agent credentials"}"#);
        }
        seen.promoted |= bearer.ends_with("new");
        match path {
            "/api/agent/heartbeat" => {
                // The offer goes on after the key has been taken.
                let offer = if now >= 60 { r#","new_api_key":"ak_new""# } else { "" };
                let time = time(now).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
                let data = format!(r#"{{"acknowledged":true,"server_time":"{time}"{offer}}}"#);
                answer(200, &format!(r#"{{"success":true,"data":{data}}}"#))
            }
            "/api/agent/tasks" if task == "pending" && now >= 120 => {
                task = "assigned";
                let task = format!(
                    r#"{{"id":"t-1","type":"execute_command","status":"assigned","payload":{payload}}}"#
                );
                answer(200, &format!(r#"{{"success":true,"data":{task}}}"#))
            }
            "/api/agent/tasks" => answer(204, ""),
            "/api/agent/tasks/t-1/result" | "/api/agent/tasks/t-1/status" => {
                let body: Value = serde_json::from_slice(request.body()).unwrap();
                let word = body["status"].as_str().unwrap_or("result");
                let terminal = matches!(task, "completed" | "failed");
                let Some(to) = transition(task, word) else {
                    seen.told.push(format!("!{word}"));
                    let why =
                        format!(r#"{{"success":false,"error":"Invalid transition: {task} -> {word}"}}"#);
                    return answer(400, &why);
                };
                task = to;
                seen.told.push(word.to_owned());
                let data =
                    format!(r#"{{"id":"t-1","type":"execute_command","status":"{task}","payload":{{}}}}"#);
                let repeated = if terminal { r#","idempotent":true"# } else { "" };
                answer(200, &format!(r#"{{"success":true,"data":{data}{repeated}}}"#))
            }
            "/api/agent/version" => {
                assert_eq!(request.headers()["x-agent-version"], "1.0.0");
                seen.version_checks += 1;
                answer(204, "")
            }
            other => panic!("{other}"),
        }
    };
    let dated = move |request: &Request<Bytes>, now: u64| {
        let mut answer = serve(request, now);
        let date = time(now).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        answer.headers_mut().insert("date", date.parse().unwrap());
        answer
    };
    let mut world = World::new();
    world.double = Some(RefCell::new(Box::new(dated)));
    (world, seen)
}

/// The server's time at a second.
fn time(now: u64) -> DateTime<Utc> {
    let start = DateTime::from_timestamp_millis(world::START).unwrap();
    start + TimeDelta::seconds(i64::try_from(now).unwrap())
}

/// What the deployed server refuses before it looks at the key: too many requests, missing or malformed credentials, a
/// stale time, and a body that its schemas do not take.
fn refusal(request: &Request<Bytes>, now: u64, seen: &mut Seen) -> Option<Response<Bytes>> {
    let is_agents = !request.uri().path().ends_with("/enroll");
    if is_agents {
        seen.recent.retain(|second| second + 60 > now);
        seen.recent.push_back(now);
        if seen.recent.len() > 30 {
            seen.broken.push(format!("{} requests in a minute", seen.recent.len()));
            return Some(answer(
                429,
                r#"{"success":false,"error":"Too many agent requests, try again later"}"#,
            ));
        }
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let is_signed = header("authorization").is_some_and(|value| {
            value.strip_prefix("Bearer ").is_some_and(|key| key.starts_with("ak_") && !key.contains(' '))
        }) && header("x-agent-id") == Some("a-1")
            && header("x-request-timestamp").is_some();
        let is_fresh = header("x-request-timestamp").is_some_and(|text| is_fresh(text, now));
        if !is_signed {
            seen.broken.push(format!("not signed: {request:?}"));
        }
        if !is_signed || !is_fresh {
            return Some(answer(401, r#"{"success":false,"error":"Invalid agent credentials"}"#));
        }
    }
    if request.method() == "GET" {
        return None;
    }
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let path = request.uri().path();
    let fault = match path.rsplit('/').next().unwrap_or_default() {
        "enroll" => in_enrolment(&body),
        "heartbeat" => in_heartbeat(&body),
        "status" => in_status(&body),
        _ => in_result(&body),
    };
    if let Some(fault) = fault {
        seen.broken.push(format!("{path}: {fault} in {body}"));
        let refused = format!(r#"{{"success":false,"error":"Validation failed: {fault}"}}"#);
        return Some(answer(400, &refused));
    }
    let is_stale = || !body["timestamp"].as_str().is_some_and(|text| is_fresh(text, now));
    (path.ends_with("/heartbeat") && is_stale())
        .then(|| answer(400, r#"{"success":false,"error":"Stale or invalid heartbeat timestamp"}"#))
}

/// Whether a time is within 300 s of the server's, both ends included.
fn is_fresh(text: &str, now: u64) -> bool {
    let told = DateTime::parse_from_rfc3339(text);
    told.is_ok_and(|told| (told.with_timezone(&Utc) - time(now)).abs() <= TimeDelta::seconds(300))
}

const OS: [&str; 3] = ["windows", "linux", "darwin"];
const ARCH: [&str; 2] = ["amd64", "arm64"];
const REASONS: [&str; 14] = [
    "service_restart",
    "network_recovery",
    "machine_reboot",
    "update_restart",
    "network_adapter_disabled",
    "dns_failure",
    "server_unreachable",
    "network_unreachable",
    "connection_timeout",
    "connection_reset",
    "tls_error",
    "disk_pressure_crash",
    "memory_pressure_crash",
    "unknown",
];

/// The first member that is no text.
fn no_text(body: &Value, names: &[&'static str]) -> Option<&'static str> {
    names.iter().copied().find(|name| !body[*name].is_string())
}

/// The first member that is no number.
fn no_number(body: &Value, names: &[&'static str]) -> Option<&'static str> {
    names.iter().copied().find(|name| !body[*name].is_number())
}

/// Whether a text is one of some words.
fn is_one_of(value: &Value, words: &[&str]) -> bool {
    value.as_str().is_some_and(|text| words.contains(&text))
}

/// Whether a member that may be left out is there and is something else: null is something else.
fn is_amiss(body: &Value, name: &str, good: impl Fn(&Value) -> bool) -> bool {
    body.get(name).is_some_and(|value| !good(value))
}

fn in_enrolment(body: &Value) -> Option<&'static str> {
    let texts = ["token", "hostname", "agent_version"];
    let empty = texts[..2].iter().copied().find(|name| body[*name] == "");
    let platform = !is_one_of(&body["os"], &OS) || !is_one_of(&body["arch"], &ARCH);
    no_text(body, &texts).or(empty).or(platform.then_some("os or arch"))
}

fn in_heartbeat(body: &Value) -> Option<&'static str> {
    let system = &body["system"];
    let status = is_one_of(&body["status"], &["idle", "executing", "updating", "error", "offline"]);
    let nullable = |name: &str| body.get(name).is_some_and(|value| value.is_null() || value.is_string());
    let optional = ["total_memory_mb", "process_cpu_percent", "process_memory_mb"];
    let context = body.get("reconnect_context").and_then(in_context);
    no_text(body, &["timestamp", "agent_version"])
        .or((!status).then_some("status"))
        .or(["current_task", "last_task_completed"].into_iter().find(|name| !nullable(name)))
        .or(no_text(system, &["hostname"]))
        .or((!is_one_of(&system["os"], &OS) || !is_one_of(&system["arch"], &ARCH)).then_some("os or arch"))
        .or(no_number(system, &["uptime_seconds", "cpu_percent", "memory_mb", "disk_free_mb"]))
        .or(optional.into_iter().find(|name| is_amiss(system, name, Value::is_number)))
        .or(is_amiss(body, "reconnect_reason", |reason| is_one_of(reason, &REASONS)).then_some("reason"))
        .or(is_amiss(body, "process_start_time", Value::is_string).then_some("process_start_time"))
        .or(context)
}

/// The one place where the deployed server refuses members that it does not know.
fn in_context(context: &Value) -> Option<&'static str> {
    let known = [
        "reason",
        "offline_duration_seconds",
        "failure_count",
        "detail",
        "first_failure_at",
        "network_state",
        "process_start_time",
        "system_at_failure",
    ];
    let Some(members) = context.as_object() else { return Some("reconnect_context") };
    let texts = ["detail", "first_failure_at", "network_state", "process_start_time"];
    members
        .keys()
        .any(|name| !known.contains(&name.as_str()))
        .then_some("an unknown member of reconnect_context")
        .or((!is_one_of(&context["reason"], &REASONS)).then_some("reason"))
        .or(no_number(context, &["offline_duration_seconds"]))
        .or((!context["failure_count"].is_u64()).then_some("failure_count"))
        .or(texts.into_iter().find(|name| is_amiss(context, name, Value::is_string)))
}

fn in_status(body: &Value) -> Option<&'static str> {
    let words = ["pending", "assigned", "downloading", "executing", "completed", "failed", "expired"];
    let status = is_one_of(&body["status"], &words);
    (!status).then_some("status").or(is_amiss(body, "error", Value::is_string).then_some("error"))
}

fn in_result(body: &Value) -> Option<&'static str> {
    let texts = [
        "task_id",
        "test_uuid",
        "stdout",
        "stderr",
        "started_at",
        "completed_at",
        "binary_sha256",
        "hostname",
    ];
    no_text(body, &texts)
        .or((!body["exit_code"].is_i64()).then_some("exit_code"))
        .or(no_number(body, &["execution_duration_ms"]))
        .or((!is_one_of(&body["os"], &OS) || !is_one_of(&body["arch"], &ARCH)).then_some("os or arch"))
        .or(is_amiss(body, "error", Value::is_string).then_some("error"))
        .or(is_amiss(body, "bundle_results", Value::is_object).then_some("bundle_results"))
}

#[test]
fn a_new_key_that_is_refused_at_first_costs_no_heartbeat() {
    for seconds in [0, 29, 30, 31, 59, 600] {
        let (mut world, seen) = deployed(seconds);
        world.run_until(3600);
        let seen = seen.borrow();
        assert!(seen.promoted && seen.broken.is_empty(), "{seconds}: {:?}", seen.broken);
        assert_eq!((seen.refused == 0, seen.told.join(" ").as_str()), (seconds == 0, "executing result"));
        assert!(seen.version_checks > 0, "{seconds}");
        assert!(seen.refused < 12, "{} refusals in {seconds} s", seen.refused);
        assert!(!world.events.iter().any(|event| event.contains("Failed")), "{seconds}: {:?}", world.events);
        assert_eq!(world.events.iter().filter(|event| event.contains("KeyOffered")).count(), 1);
    }
}

#[test]
fn a_crash_at_any_change_of_the_store_loses_neither_key_nor_result() {
    for change in 1..14 {
        for crash in [Crash::Before(change), Crash::After(change)] {
            let (mut world, seen) = deployed(30);
            world.crash = Some(crash);
            world.run_until(1800);
            let seen = seen.borrow();
            assert!(seen.broken.is_empty(), "{crash:?}: {:?}", seen.broken);
            assert!(seen.promoted && world.machine().failures() == 0, "{crash:?}: {:?}", world.events);
            // The deployed server hands a task over once: one that was lost before it was saved is its to fail. Of
            // any other it hears the end, after a step that allows it.
            let ends: Vec<_> =
                seen.told.iter().filter(|word| matches!(word.as_str(), "result" | "failed")).collect();
            assert!(ends.len() <= 2, "{crash:?}: {:?}", seen.told);
            assert!(seen.told.is_empty() || !ends.is_empty(), "{crash:?}: {:?}", seen.told);
            assert!(!seen.told.iter().any(|word| word == "!result" || word == "!failed"), "{:?}", seen.told);
            assert_eq!(world.machine().waiting(), 0, "{crash:?}");
        }
    }
}

#[test]
fn a_task_with_a_binary_is_downloading_first() {
    let payload = r#"{"binary_name":"probe","arguments":[]}"#;
    let (mut world, seen) = deployed_with(0, payload);
    world.run_until(600);
    assert_eq!(seen.borrow().told, ["downloading", "result"]);

    let (mut world, seen) = deployed_with(0, payload);
    world.hold_work = true;
    world.run_until(200);
    world.input(Input::Progressed { run: 1, progress: Progress::Running });
    world.input(Input::Progressed { run: 1, progress: Progress::Running });
    world.input(Input::Progressed { run: 1, progress: Progress::Fetching });
    world.run_until(300);
    world.end_work();
    world.run_until(400);
    assert_eq!(
        seen.borrow().told,
        ["downloading", "executing", "result"],
        "no word comes twice or goes back"
    );
}

/// The requests of a life in which nothing goes wrong, by their number, that a predicate picks.
fn numbers(picked: impl Fn(&str) -> bool) -> Vec<usize> {
    let (mut world, _) = deployed(0);
    world.run_until(600);
    let requests = world.requests.iter().enumerate();
    requests.filter(|(_, request)| picked(request)).map(|(number, _)| number + 1).collect()
}

#[test]
fn a_result_does_not_overtake_a_status_that_is_lost_on_the_way() {
    let status = numbers(|request| request.ends_with("/status"))[0];
    for fault in [Fault::LostRequest, Fault::WrongStatus, Fault::ProxyPage, Fault::Truncated, Fault::Redirect]
    {
        let (mut world, seen) = deployed(0);
        world.faults.insert(status, fault);
        world.run_until(1200);
        let seen = seen.borrow();
        let told: Vec<_> = seen.told.iter().filter(|word| !word.starts_with('!')).collect();
        assert_eq!(told, ["executing", "result"], "{fault:?}: {:?}", seen.told);
        assert!(!seen.told.iter().any(|word| word == "!result"), "{fault:?}: {:?}", seen.told);
    }
}

#[test]
fn a_status_that_is_refused_for_good_does_not_keep_the_result() {
    // The answer to the first was lost, and the deployed server refuses the same word (PA-19).
    let status = numbers(|request| request.ends_with("/status"))[0];
    let (mut world, seen) = deployed(0);
    world.faults.insert(status, Fault::LostAnswer);
    world.run_until(1200);
    assert_eq!(seen.borrow().told, ["executing", "!executing", "result"]);
    assert_eq!(world.machine().waiting(), 0);
}

#[test]
fn a_proxy_that_lets_no_status_pass_does_not_keep_the_result_for_ever() {
    let (mut world, seen) = deployed(0);
    let inner = world.double.take().unwrap();
    let proxy = move |request: &Request<Bytes>, now: u64| {
        if request.method() == "PATCH" {
            return answer(405, "<html>Method not allowed</html>");
        }
        (inner.borrow_mut())(request, now)
    };
    world.double = Some(RefCell::new(Box::new(proxy)));
    world.run_until(3600);
    // It is refused here, for want of the step. A server of the source would have taken it.
    assert_eq!(seen.borrow().told, ["!result"]);
}

#[test]
fn a_server_of_the_source_is_asked_for_updates_in_its_own_way() {
    let (mut world, _) = deployed(0);
    let inner = world.double.take().unwrap();
    let asked = Rc::new(RefCell::new(0));
    let told = Rc::clone(&asked);
    let source = move |request: &Request<Bytes>, now: u64| match request.uri().path() {
        "/api/agent/version" => answer(404, r#"{"success":false,"error":"Not Found"}"#),
        "/api/agent/update" => {
            *told.borrow_mut() += 1;
            let update = r#"{"version":"2.0.0","download_url":"http://x/a","sha256":"00","size":1}"#;
            answer(200, &format!(r#"{{"success":true,"data":{update}}}"#))
        }
        _ => (inner.borrow_mut())(request, now),
    };
    world.double = Some(RefCell::new(Box::new(source)));
    world.run_until(7200);
    assert!(*asked.borrow() > 0);
    assert!(world.events.iter().any(|event| event.contains("UpdateOffered") && event.contains("2.0.0")));
    assert!(!world.events.iter().any(|event| event.contains("Failed(check_update")), "{:?}", world.events);
}

#[test]
fn a_gap_is_explained_in_words_that_the_deployed_server_takes() {
    let (mut world, seen) = deployed(0);
    world.run_until(200);
    for cause in ["down", "suspended", "killed", "rebooted"] {
        let from = world.elapsed().as_secs();
        match cause {
            "down" => world.down = true,
            "suspended" => world.sleep_for(Duration::from_secs(8 * 3600)),
            _ => {
                world.kill();
                world.uptime = (cause == "rebooted").then(|| Duration::from_secs(60));
                world.pass(Duration::from_secs(3600));
            }
        }
        world.run_until(from + 1800);
        world.down = false;
        let (beats, now) = (world.beats.len(), world.elapsed().as_secs());
        world.run_until(now + 1200);
        let explained = world.beats.iter().filter(|beat| beat.get("reconnect_context").is_some()).count();
        assert!(explained > 0 && world.beats.len() > beats, "{cause}");
        assert!(seen.borrow().broken.is_empty(), "{cause}: {:?}", seen.borrow().broken);
        assert_eq!(world.machine().failures(), 0, "{cause}: {:?}", world.events);
    }
}

#[test]
fn a_clock_that_is_wrong_is_corrected_by_the_date_of_the_deployed_servers_refusal() {
    for wrong in [365 * 86_400_000, -365 * 86_400_000, 301_000, -301_000] {
        let (mut world, seen) = deployed(0);
        world.wall_off = wrong;
        world.run_until(600);
        assert!(!world.events.iter().any(|event| event.contains("Failed")), "{:?}", world.events);
        assert!(seen.borrow().broken.is_empty() && seen.borrow().promoted, "{:?}", seen.borrow().broken);
    }
}

/// Several faults in each of many lives. The deployed server hands a task over once and repeats no enrolment, so that
/// what is lost with those two answers is lost; nothing else is.
#[test]
fn messages_that_fare_badly_cost_neither_key_nor_result() {
    let lives = std::env::var("FLEETWIRE_FAULT_LIVES").map_or(150, |text| text.parse().unwrap());
    for seed in 0_u64..lives {
        let (mut world, seen) = deployed([0, 30][usize::from(seed % 2 == 1)]);
        let mut bits = seed;
        for _ in 0..1 + seed % 5 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let fault = Fault::ALL[usize::try_from((bits >> 33) % 10).unwrap()];
            world.faults.insert(usize::try_from(2 + (bits >> 45) % 24).unwrap(), fault);
        }
        world.run_until(3600);
        let seen = seen.borrow();
        assert!(seen.broken.is_empty(), "{seed}: {:?}", seen.broken);
        assert!(seen.promoted && world.machine().failures() == 0, "{seed}: {:?}", world.events);
        assert_eq!(world.machine().waiting(), 0, "{seed}: {:?}", world.events);
        let results = seen.told.iter().filter(|word| *word == "result").count();
        assert!(results > 0 || seen.told.is_empty() && world.begun.is_empty(), "{seed}: {:?}", seen.told);
        assert!(world.begun.values().all(|times| *times == 1), "{seed}");
    }
}
