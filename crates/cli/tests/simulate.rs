//! `fleetwire simulate` against `fleetwire serve`, and against servers that stall, refuse, break off and talk nonsense.
//! Real binaries, real sockets. Nothing here depends on how fast the machine is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::Server;

/// The statuses of a run that kept to its limits: on a machine that has other things to do, the generator may say of
/// itself that it was too slow, which is no matter here.
const WELL: [i32; 2] = [0, 4];
/// The status of a run that did not keep to its limits.
const BEYOND: i32 = 3;

fn simulate(url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fleetwire"))
        .args(["simulate", url])
        .args(arguments)
        .env_remove("FLEETWIRE_TOKEN")
        .output()
        .unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The report of a run, and its status.
fn report(url: &str, arguments: &[&str]) -> (Value, i32) {
    let output = simulate(url, &[arguments, &["--json"]].concat());
    let status = output.status.code().unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("status {status}, {error}: {}", complaint(&output)));
    (report, status)
}

/// What a run that cannot begin says of why.
fn refusal(url: &str, arguments: &[&str]) -> String {
    let output = simulate(url, arguments);
    assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
    assert!(output.stdout.is_empty());
    complaint(&output)
}

fn operate(server: &Server, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_fleetwire"))
        .args(arguments)
        .env("FLEETWIRE_SERVER", &server.address)
        .env("FLEETWIRE_TOKEN", server.token.as_ref().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", complaint(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A file of agents that no server has taken in.
fn state_of(folder: &Path, base: &str, agents: usize) -> String {
    let agents: Vec<_> = (0..agents)
        .map(|number| json!({"name": format!("cam-{number}"), "id": format!("cam-{number}"), "key": "adk_1"}))
        .collect();
    let path = folder.join("agents.json");
    let state = json!({"format": 1, "vendors": {"acusight": {"base": base, "agents": agents}}});
    fs::write(&path, state.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Sums the counts of a member of objects by a condition.
fn sum(list: &Value, fits: impl Fn(&Value) -> bool) -> u64 {
    list.as_array().unwrap().iter().filter(|bar| fits(bar)).map(|bar| bar["answers"].as_u64().unwrap()).sum()
}

/// What a double of a server does with its connection, given how many requests came before.
type Manner = dyn Fn(usize, &mut TcpStream) -> bool + Send + Sync;

const GOOD: &str = r#"{"success":true,"pending_actions":[]}"#;

fn answer(stream: &mut TcpStream, status: &str, body: &str) -> bool {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).is_ok()
}

/// A server that reads requests whole and then does as it is told; `false` ends the connection.
fn double(manner: impl Fn(usize, &mut TcpStream) -> bool + Send + Sync + 'static) -> String {
    fn talk(stream: TcpStream, count: &AtomicUsize, manner: &Manner) -> Option<()> {
        let mut out = stream.try_clone().ok()?;
        let mut lines = BufReader::new(stream);
        loop {
            let (mut length, mut line) = (0, String::new());
            loop {
                line.clear();
                if lines.read_line(&mut line).ok()? == 0 {
                    return None;
                }
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().ok()?;
                }
                if line == "\r\n" {
                    break;
                }
            }
            lines.read_exact(&mut vec![0; length]).ok()?;
            if !manner(count.fetch_add(1, Ordering::SeqCst), &mut out) {
                return None;
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (count, manner) = (Arc::new(AtomicUsize::new(0)), Arc::new(manner));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (count, manner) = (Arc::clone(&count), Arc::clone(&manner));
            thread::spawn(move || talk(stream.unwrap(), &count, &*manner));
        }
    });
    address
}

#[test]
fn agents_of_every_vendor_enrol_and_report_with_an_operators_token_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let token = server.token.as_ref().unwrap();
    let page = folder.path().join("report.html");
    let (report, status) = report(
        &server.address,
        &[
            "--token",
            token,
            "--agents",
            "10",
            "--interval",
            "1",
            "--duration",
            "3",
            "--html",
            page.to_str().unwrap(),
        ],
    );
    assert!(WELL.contains(&status), "{report:#}");
    assert_eq!(report["ok"], true);
    // What does not divide falls to the first.
    assert_eq!(report["agents"], json!({"acusight": 3, "zstack": 3, "agentmc": 2, "achilles": 2}));
    assert_eq!(report["enrolment"]["agents"], 10);
    let operations = report["operations"].as_object().unwrap();
    let names: Vec<_> = operations.keys().map(String::as_str).collect();
    assert_eq!(names, ["achilles.heartbeat", "acusight.checkin", "agentmc.heartbeat", "zstack.heartbeat"]);
    for (operation, figures) in operations {
        let statuses = figures["statuses"].as_object().unwrap();
        assert_eq!(statuses.keys().collect::<Vec<_>>(), ["200"], "{operation}: {figures:#}");
        assert_eq!(figures["errors"], 0);
    }
    // Three turns each, at moments of their own, the last of which may fall to the end.
    assert!(report["total"]["requests"].as_u64().unwrap() >= 20, "{report:#}");

    let listed: Value = serde_json::from_str(&operate(&server, &["devices", "list", "--json"])).unwrap();
    let listed = listed["agents"].as_array().unwrap();
    let online = |vendor: &str| {
        listed.iter().filter(|agent| agent["vendor"] == vendor && agent["status"] == "online").count()
    };
    // A host and its agent are two.
    assert_eq!([online("acusight"), online("zstack"), online("agentmc"), online("achilles")], [3, 3, 4, 2]);
    assert!(fs::read_to_string(&page).unwrap().contains("<svg"));
}

#[test]
fn a_vendors_token_and_base_address_are_enough_and_the_file_of_state_serves_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let token = operate(&server, &["tokens", "create", "achilles", "--max-uses", "3", "--quiet"]);
    let base = format!("{}/achilles/", server.address);
    let state = folder.path().join("agents.json");
    let state = state.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let always = ["--vendor", "achilles", "--rate", "50", "--duration", "1", "--state", state];
        report(&base, &[&always, arguments].concat())
    };
    let (first, status) = run(&["--agents", "3", "--token", &token]);
    assert!(WELL.contains(&status), "{first:#}");
    assert_eq!((&first["enrolment"]["agents"], &first["asked"]["per_second"]), (&json!(3), &json!(50.0)));
    // The token is used up: they come from the file.
    let (second, status) = run(&["--agents", "2"]);
    assert!(WELL.contains(&status), "{second:#}");
    assert_eq!((&second["enrolment"], &second["agents"]["achilles"]), (&Value::Null, &json!(2)));
    assert_eq!(second["total"]["statuses"].as_object().unwrap().keys().collect::<Vec<_>>(), ["200"]);
    let kept: Value = serde_json::from_str(&fs::read_to_string(state).unwrap()).unwrap();
    assert_eq!(kept["vendors"]["achilles"]["agents"].as_array().unwrap().len(), 3);

    let complaint = refusal(
        &format!("{}/zstack", server.address),
        &["--vendor", "achilles", "--agents", "2", "--state", state],
    );
    assert!(complaint.contains("are known at"), "{complaint}");
}

#[test]
fn a_key_that_is_rotated_meanwhile_is_taken_over_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let state = folder.path().join("agents.json");
    let token = server.token.as_ref().unwrap();
    let run = |duration: &str| {
        let (report, status) = report(
            &server.address,
            &[
                "--vendor",
                "achilles",
                "--agents",
                "1",
                "--interval",
                "0.2",
                "--duration",
                duration,
                "--token",
                token,
                "--state",
                state.to_str().unwrap(),
            ],
        );
        assert!(WELL.contains(&status), "{report:#}");
        let kept: Value = serde_json::from_str(&fs::read_to_string(&state).unwrap()).unwrap();
        kept["vendors"]["achilles"]["agents"][0].clone()
    };
    let before = run("1");
    operate(&server, &["devices", "rotate-key", "achilles", before["id"].as_str().unwrap()]);
    let after = run("2");
    assert_eq!(before["id"], after["id"]);
    assert_ne!(before["key"], after["key"]);
    // It was used, so that the old one is good for nothing.
    assert_eq!(run("1")["key"], after["key"]);
}

#[test]
fn work_is_done_by_agents_that_are_told_to_so_that_none_piles_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let state = folder.path().join("agents.json");
    let token = server.token.as_ref().unwrap();
    let always = [
        "--vendor",
        "achilles",
        "--agents",
        "2",
        "--interval",
        "0.4",
        "--duration",
        "2",
        "--token",
        token,
        "--state",
        state.to_str().unwrap(),
    ];
    report(&server.address, &always);
    let kept: Value = serde_json::from_str(&fs::read_to_string(&state).unwrap()).unwrap();
    let agent = kept["vendors"]["achilles"]["agents"][1]["id"].as_str().unwrap().to_owned();
    let payload = json!({"command": "id"}).to_string();
    let add = ["work", "add", "achilles", &agent, "execute_command", "--payload", &payload, "--quiet"];
    let tasks: Vec<_> = (0..3).map(|_| operate(&server, &add)).collect();
    let (report, status) = report(&server.address, &[&always[..], &["--work"]].concat());
    assert!(WELL.contains(&status), "{report:#}");
    for task in tasks {
        let work: Value =
            serde_json::from_str(&operate(&server, &["work", "show", &task, "--json"])).unwrap();
        assert_eq!(work["state"], "succeeded", "{work:#}");
    }
    assert_eq!(report["operations"]["achilles.report_result"]["requests"], 3, "{report:#}");
    let polls = &report["operations"]["achilles.poll_tasks"]["statuses"];
    assert_eq!(polls["200"], 3, "{report:#}");
    assert!(polls["204"].as_u64().unwrap() > 0, "{report:#}");
}

#[test]
fn refusals_are_counted_by_status_with_an_example_and_fail_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let address = double(|count, stream| match count % 3 {
        0 => answer(stream, "500 No", r#"{"error":"out of order"}"#),
        1 => answer(stream, "429 Slower", r#"{"error":"too many"}"#),
        _ => answer(stream, "200 OK", GOOD),
    });
    let state = state_of(folder.path(), &address, 4);
    let always =
        ["--vendor", "acusight", "--agents", "4", "--rate", "60", "--duration", "1", "--state", &state];
    let (strict, status) = report(&address, &always);
    assert_eq!(status, BEYOND, "{strict:#}");
    assert_eq!(strict["ok"], false);
    let total = &strict["total"];
    let count = |status: &str| total["statuses"][status].as_u64().unwrap();
    assert!(count("500") > 5 && count("429") > 5 && count("200") > 5, "{strict:#}");
    assert_eq!(total["errors"].as_u64().unwrap(), count("500") + count("429"));
    assert_eq!(total["failures"], json!({}));
    let examples = strict["refusals"].as_array().unwrap();
    let said: Vec<_> = examples.iter().map(|example| (&example["status"], &example["body"])).collect();
    assert!(said.contains(&(&json!(500), &json!(r#"{"error":"out of order"}"#))), "{said:?}");
    assert_eq!(said.len(), 2);

    let (lenient, status) = report(&address, &[&always[..], &["--max-error-rate", "0.9"]].concat());
    assert!(WELL.contains(&status), "{lenient:#}");
    let (slow, status) =
        report(&address, &[&always[..], &["--max-error-rate", "0.9", "--max-p99", "0.001"]].concat());
    assert_eq!(status, BEYOND, "{slow:#}");
    let missed: Vec<_> =
        slow["thresholds"].as_array().unwrap().iter().filter(|limit| limit["ok"] == false).collect();
    assert_eq!(missed.len(), 1);
    assert_eq!((&missed[0]["of"], &missed[0]["limit"]), (&json!("p99_ms"), &json!(0.001)));
}

#[test]
fn answers_that_are_none_are_counted_by_cause() {
    let folder = tempfile::tempdir().unwrap();
    let address = double(|count, stream| match count {
        // The first is good, so that the load begins.
        0 => answer(stream, "200 OK", GOOD),
        count if count % 3 == 0 => answer(stream, "200 OK", GOOD),
        count if count % 3 == 1 => {
            // Nonsense from a connection that is then of no use.
            let _ = stream.write_all(b"ICY what is this\r\n\r\n");
            false
        }
        _ => false,
    });
    let state = state_of(folder.path(), &address, 4);
    let (report, status) = report(
        &address,
        &["--vendor", "acusight", "--agents", "4", "--rate", "60", "--duration", "1", "--state", &state],
    );
    assert_eq!(status, BEYOND);
    let failures = &report["total"]["failures"];
    assert!(failures["garbled"].as_u64().unwrap() > 5, "{report:#}");
    assert!(failures["reset"].as_u64().unwrap() > 5, "{report:#}");
    let failed: u64 = failures.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(report["total"]["errors"], failed);
    assert_eq!(report["total"]["statuses"].as_object().unwrap().keys().collect::<Vec<_>>(), ["200"]);
}

#[test]
fn a_server_that_does_not_answer_in_time_is_a_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let address = double(|count, stream| {
        if count > 0 {
            thread::sleep(Duration::from_secs(3));
        }
        answer(stream, "200 OK", GOOD)
    });
    let state = state_of(folder.path(), &address, 2);
    let (report, status) = report(
        &address,
        &[
            "--vendor",
            "acusight",
            "--agents",
            "2",
            "--rate",
            "10",
            "--duration",
            "1",
            "--timeout",
            "0.3",
            "--state",
            &state,
        ],
    );
    assert_eq!(status, BEYOND);
    assert!(report["total"]["failures"]["timeout"].as_u64().unwrap() > 0, "{report:#}");
    assert_eq!(report["total"]["latency"], Value::Null);
}

#[test]
fn a_stall_is_seen_by_all_who_were_due_in_it() {
    let folder = tempfile::tempdir().unwrap();
    // Once, everything waits for 600 ms.
    let all = Mutex::new(());
    let address = double(move |count, stream| {
        let _turn = all.lock().unwrap();
        if count == 40 {
            thread::sleep(Duration::from_millis(600));
        }
        answer(stream, "200 OK", GOOD)
    });
    let state = state_of(folder.path(), &address, 100);
    let (report, _) = report(
        &address,
        &[
            "--vendor",
            "acusight",
            "--agents",
            "100",
            "--rate",
            "100",
            "--duration",
            "2",
            "--connections",
            "1",
            "--state",
            &state,
        ],
    );
    // Sixty were due while one was answered; who counted from when they were sent would see one.
    let slow = sum(&report["histogram"], |bar| bar["to_ms"].as_f64().unwrap() >= 100.0);
    assert!(slow >= 30, "{slow} of {report:#}");
    let latency = &report["total"]["latency"];
    let at = |name: &str| latency[name].as_f64().unwrap();
    assert!(at("p50_ms") <= at("p90_ms") && at("p90_ms") <= at("p99_ms") && at("p99_ms") <= at("p999_ms"));
    assert!(at("p999_ms") <= at("max_ms") && at("max_ms") >= 600.0, "{latency:#}");
    assert_eq!(report["total"]["errors"], 0);
    let shared = report["notes"][0].as_str().unwrap();
    assert!(shared.contains("100 agents share 1 connections"), "{shared}");
}

#[test]
fn without_keep_alive_each_request_has_a_connection_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let address = double(|_, stream| {
        answer(stream, "200 OK", GOOD);
        false
    });
    let state = state_of(folder.path(), &address, 5);
    let (report, status) = report(
        &address,
        &[
            "--vendor",
            "acusight",
            "--agents",
            "5",
            "--rate",
            "50",
            "--duration",
            "1",
            "--keep-alive",
            "false",
            "--state",
            &state,
        ],
    );
    assert!(WELL.contains(&status), "{report:#}");
    assert_eq!(report["generator"]["connections_made"], report["total"]["requests"]);
    assert_eq!(report["asked"]["keep_alive"], false);
}

#[test]
fn mistakes_in_the_address_and_the_token_are_told_with_what_to_try() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let token = operate(&server, &["tokens", "create", "acusight", "--quiet"]);
    let acusight = ["--vendor", "acusight", "--agents", "2", "--duration", "1", "--token"];
    let with = |url: &str, token: &str| refusal(url, &[&acusight[..], &[token]].concat());

    // The server's address where the vendor's base should be.
    let said = with(&server.address, &token);
    assert!(said.contains("404") && said.contains("acusight.provision") && said.contains("base"), "{said}");
    assert!(said.contains(&server.address), "{said}");
    let base = format!("{}/acusight/api", server.address);
    let said = with(&base, "apt_0000");
    assert!(said.contains("401") && said.contains("--token must be"), "{said}");
    let said = with(&server.address, "fwo_0000");
    assert!(said.contains("does not know this token"), "{said}");
    let said = refusal(&base, &acusight[..6]);
    assert!(said.contains("fleetwire tokens create acusight"), "{said}");

    let said = with("https://127.0.0.1:1", &token);
    assert!(said.contains("https is not spoken here"), "{said}");
    let said = with("http://me:hunter2@127.0.0.1:1", &token);
    assert!(said.contains("must not hold a user name or password") && !said.contains("hunter2"), "{said}");
    let said = with("127.0.0.1:8787", &token);
    assert!(said.contains("must be one such as http://"), "{said}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = with(&format!("http://{nobody}"), &token);
    assert!(said.contains(&format!("cannot connect to {nobody}")), "{said}");
    // Nothing that takes anybody in was shown on the way.
    assert!(!said.contains(&token));
}

#[test]
fn agents_whose_keys_the_server_does_not_know_are_told_of_before_the_load() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let base = format!("{}/acusight/api", server.address);
    let state = state_of(folder.path(), &base, 3);
    let said = refusal(&base, &["--vendor", "acusight", "--agents", "3", "--state", &state]);
    assert!(said.contains("acusight.checkin") && said.contains("401") && said.contains("--state"), "{said}");
}

#[test]
fn something_that_speaks_no_http_is_told_of_before_the_load() {
    let folder = tempfile::tempdir().unwrap();
    let address = double(|_, stream| stream.write_all(b"220 mail.example ready\r\n\r\n").is_err());
    let state = state_of(folder.path(), &address, 1);
    let said = refusal(&address, &["--vendor", "acusight", "--agents", "1", "--state", &state]);
    assert!(said.contains("is it an HTTP server?"), "{said}");
}

#[test]
fn enrolment_waits_as_long_as_the_server_asks_and_goes_on() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let address = double(move |count, stream| {
        if count == 0 {
            let head = "HTTP/1.1 429 Slower\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
            return stream.write_all(head.as_bytes()).is_ok();
        }
        if counted.fetch_add(1, Ordering::SeqCst) < 2 {
            return answer(stream, "200 OK", r#"{"accepted":true,"agentId":"z-1"}"#);
        }
        answer(stream, "200 OK", r#"{"uuid":"z-1"}"#)
    });
    let (report, status) = report(
        &address,
        &["--vendor", "zstack", "--agents", "2", "--rate", "20", "--duration", "1", "--token", "anything"],
    );
    assert!(WELL.contains(&status), "{report:#}");
    assert_eq!(report["enrolment"]["agents"], 2);
    assert!(report["enrolment"]["repeated"].as_u64().unwrap() >= 1, "{report:#}");
    assert!(report["enrolment"]["seconds"].as_f64().unwrap() >= 1.0, "{report:#}");
    assert!(taken.load(Ordering::SeqCst) > 10);
}

#[test]
fn a_server_that_wants_to_be_left_alone_for_long_ends_the_run_and_who_was_taken_in_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let address = double(|count, stream| {
        if count < 2 {
            return answer(stream, "200 OK", &format!(r#"{{"accepted":true,"agentId":"z-{count}"}}"#));
        }
        let head = "HTTP/1.1 503 Full\r\nretry-after: 300\r\ncontent-length: 4\r\n\r\nfull";
        stream.write_all(head.as_bytes()).is_ok()
    });
    let state = folder.path().join("agents.json");
    let said = refusal(
        &address,
        &["--vendor", "zstack", "--agents", "5", "--token", "anything", "--state", state.to_str().unwrap()],
    );
    assert!(said.contains("503 full") && said.contains("left alone for 300 s"), "{said}");
    let kept: Value = serde_json::from_str(&fs::read_to_string(&state).unwrap()).unwrap();
    assert_eq!(kept["vendors"]["zstack"]["agents"].as_array().unwrap().len(), 2);
}

#[test]
fn the_process_of_the_server_is_reported_where_the_system_tells_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let address = double(|_, stream| answer(stream, "200 OK", GOOD));
    let state = state_of(folder.path(), &address, 2);
    let own = std::process::id().to_string();
    let always =
        ["--vendor", "acusight", "--agents", "2", "--rate", "50", "--duration", "2", "--state", &state];
    if cfg!(target_os = "linux") {
        let (report, _) = report(&address, &[&always[..], &["--server-pid", &own]].concat());
        assert_eq!(report["server"]["pid"].to_string(), own);
        assert!(report["server"]["rss_max_bytes"].as_u64().unwrap() > 100_000, "{report:#}");
        assert!(report["server"]["course"].as_array().unwrap().len() >= 2, "{report:#}");
    }
    let said = refusal(&address, &[&always[..], &["--server-pid", "4294967295"]].concat());
    assert!(said.contains("nothing can be learnt of process 4294967295"), "{said}");
}

/// The members of a document, lists being `[]` and the names of maps `*`.
fn members(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    const MAPS: [&str; 4] = ["agents", "operations", "statuses", "failures"];
    let is_map = MAPS.iter().any(|map| at.rsplit('.').next() == Some(map));
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                members(value, &format!("{at}.{}", if is_map { "*" } else { name }), found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| members(value, &format!("{at}[]"), found)),
        _ => {
            found.insert(at.trim_start_matches('.').to_owned());
        }
    }
}

#[test]
fn the_report_as_json_has_the_members_that_are_documented() {
    let folder = tempfile::tempdir().unwrap();
    let address = double(|count, stream| match count % 5 {
        4 => answer(stream, "500 No", "no"),
        3 => false,
        _ => answer(stream, "200 OK", GOOD),
    });
    let state = state_of(folder.path(), &address, 2);
    let own = std::process::id().to_string();
    let mut arguments = vec![
        "--vendor",
        "acusight",
        "--agents",
        "2",
        "--rate",
        "50",
        "--duration",
        "2",
        "--connections",
        "1",
        "--state",
        &state,
    ];
    if cfg!(target_os = "linux") {
        arguments.extend(["--server-pid", &own]);
    }
    let (report, _) = report(&address, &arguments);
    let mut found = BTreeSet::new();
    members(&report, "", &mut found);
    let documented = include_str!("../../../docs/simulate.md");
    for member in &found {
        let name = member.rsplit('.').next().unwrap().trim_end_matches("[]");
        assert!(
            name == "*" || documented.contains(&format!("`{name}`")),
            "{member} is in no line of docs/simulate.md"
        );
    }
    for member in [
        "format",
        "ok",
        "total.requests",
        "total.per_second",
        "total.errors",
        "total.error_rate",
        "total.latency.p50_ms",
        "total.latency.p90_ms",
        "total.latency.p99_ms",
        "total.latency.p999_ms",
        "total.latency.max_ms",
        "total.statuses.*",
        "total.failures.*",
        "operations.*.requests",
        "course[].at",
        "course[].latency.p99_ms",
        "histogram[].to_ms",
        "histogram[].answers",
        "generator.bottleneck",
        "generator.cpu_share",
        "thresholds[].of",
        "thresholds[].ok",
        "asked.per_second",
        "agents.*",
        "seconds",
    ] {
        assert!(found.contains(member), "{member} is missing: {report:#}");
    }
    assert_eq!(report["format"], 1);
}
