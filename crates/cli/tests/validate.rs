//! `fleetwire validate` as people and programs use it: the real binary on files and on standard input.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy sees only the functions marked as tests"
)]

#[path = "../../protocol/tests/fixture/mod.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod fixture;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fixture::{Class, Kind, folder};
use fleetwire_protocol::{Endpoint, Vendor, for_each_endpoint};
use serde_json::{Value, json};
use tempfile::TempDir;

const ZSTACK: &str = r#"{"version":"1.2.3","uptime":60,"cpuUsage":12.5,"memUsage":35.2}"#;

struct Run {
    status: i32,
    out: String,
    err: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetwire"));
    command.arg("validate").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn validate(arguments: &[&str], input: &[u8]) -> Run {
    let mut child = command(arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It need not read all of it.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Run {
        status: output.status.code().expect("it ends by itself"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What is printed as JSON, object by object.
fn objects(run: &Run) -> Vec<Value> {
    run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `line rule` of everything that is found.
fn found(run: &Run) -> Vec<String> {
    let objects = objects(run);
    let messages = objects.iter().filter(|object| object["kind"] == "message");
    messages
        .flat_map(|message| {
            let at = message.get("line").or_else(|| message.get("entry")).unwrap_or(&Value::Null);
            let findings = message["findings"].as_array().unwrap().iter();
            findings.map(move |finding| format!("{at} {}", finding["rule"].as_str().unwrap()))
        })
        .collect()
}

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn har(entries: &[Value]) -> String {
    json!({"log": {"version": "1.2", "entries": entries}}).to_string()
}

fn entry(body: &str) -> Value {
    json!({
        "request": {
            "method": "PUT",
            "url": "https://h/zstack/api/v1/agents/a-1/heartbeat",
            "headers": [],
            "postData": {"text": body},
        },
        "response": {"status": 0},
    })
}

/// Method and path of an operation.
fn request_line(id: &str) -> (String, String) {
    macro_rules! find {
        ([] $($op:path,)*) => {
            match id {
                $(_ if id == <$op as Endpoint>::ID => {
                    let base = <<$op as Endpoint>::Vendor as Vendor>::BASE;
                    (<$op as Endpoint>::METHOD.to_string(), format!("{base}{}", <$op as Endpoint>::PATH))
                })*
                other => panic!("no operation {other}"),
            }
        };
    }
    for_each_endpoint!(find!())
}

#[test]
fn every_fixture_is_judged_as_its_name_says() {
    let mut entries = Vec::new();
    let mut expected = Vec::new();
    for fixture in fixture::fixtures(&folder()) {
        let (method, mut path) = request_line(&fixture.operation);
        for name in ["uuid", "id"] {
            path = path.replace(&format!("{{{name}}}"), fixture.segment(name).unwrap_or("some-id"));
        }
        let vendor = fixture.operation.split('.').next().unwrap();
        let headers: Vec<_> = fixture
            .origin
            .headers
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        let content = json!({"text": STANDARD.encode(&fixture.body), "encoding": "base64"});
        let mut entry = json!({"request": {
            "method": method, "url": format!("http://127.0.0.1:8787/{vendor}{path}"), "headers": [],
        }});
        match fixture.kind {
            Kind::Request => {
                // Where a header stands for a member it has to be known that there are no others.
                let some = json!({"name": "Host", "value": "127.0.0.1:8787"});
                entry["request"]["headers"] = [vec![some], headers].concat().into();
                entry["request"]["postData"] = content;
                let own = || serde_json::from_slice::<Value>(&fixture.body).ok()?.get("timestamp").cloned();
                let time = fixture.origin.at.clone().map(Value::String).or_else(own);
                entry["startedDateTime"] = time.filter(Value::is_string).unwrap_or_default();
            }
            Kind::Response(status) | Kind::Error(status) => {
                let status = status.as_u16();
                entry["response"] = json!({"status": status, "headers": headers, "content": content});
            }
        }
        entries.push(entry);
        // What a proxy says in the server's place is no fault of the server.
        let is_proxys = fixture.path.ends_with("/error.502.page.refused.json");
        expected.push((fixture.path.clone(), fixture.class == Class::Refused && !is_proxys));
    }
    assert!(expected.len() > 200, "{}", expected.len());

    let run = validate(&["--json", "--no-credentials"], har(&entries).as_bytes());
    let mut refused = vec![false; expected.len()];
    for message in objects(&run).iter().filter(|object| object["kind"] == "message") {
        let entry = usize::try_from(message["entry"].as_u64().unwrap()).unwrap();
        refused[entry] |=
            message["findings"].as_array().unwrap().iter().any(|finding| finding["severity"] == "fault");
    }
    let wrong: Vec<_> =
        expected.iter().zip(refused).filter(|((_, is_refused), seen)| is_refused != seen).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", run.err);
    let summary = objects(&run).pop().unwrap();
    assert_eq!(summary["unrecognised"], 0, "{summary:#}");
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let bad = format!("{ZSTACK}\n{{\"uptime\":1}}\n");
    let files = [
        folder.path().join("missing.json"),
        folder.path().to_owned(),
        write(&folder, "packed.gz", b"\x1f\x8b\x08\x00rest"),
        write(&folder, "wide.json", b"\xff\xfe{\0}\0"),
        write(&folder, "program", b"\x7fELF\0\0\0\0"),
        write(&folder, "form.txt", b"device_id=1\n"),
        write(&folder, "cut.har", &har(&[entry(ZSTACK), entry("{}"), entry(ZSTACK)]).as_bytes()[..560]),
        write(&folder, "bad.jsonl", bad),
    ];
    let names: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
    let run = validate(&[&["--operation", "zstack.heartbeat"], &names[..]].concat(), b"");
    assert_eq!(run.status, 2);
    for (name, why) in names.iter().zip([
        "cannot be read: No such file",
        "is a folder",
        "gzip -dc",
        "UTF-16",
        "is binary",
        "--input-format",
        "cannot be read after entry 1: EOF",
    ]) {
        let of_file = |line: &&str| {
            let rest = line.strip_prefix(&format!("fleetwire: {name}"));
            rest.is_some_and(|rest| rest.starts_with([':', ' ']))
        };
        let line = run.err.lines().find(of_file);
        assert!(line.is_some_and(|line| line.contains(why)), "{name}: {why}\n{}", run.err);
    }
    assert_eq!(run.err.lines().count(), 7, "{}", run.err);
    assert!(run.out.contains("cut.har entry 1: zstack.heartbeat request"), "{}", run.out);
    assert!(run.out.contains("bad.jsonl line 2: zstack.heartbeat request"), "{}", run.out);

    let run = validate(&[&["--json", "--operation", "zstack.heartbeat"], &names[..]].concat(), b"");
    let unreadable = objects(&run).iter().filter(|object| object["kind"] == "unreadable").count();
    assert_eq!((unreadable, &objects(&run).pop().unwrap()["unreadable"]), (7, &json!(7)));
}

#[test]
fn har_of_the_wrong_types_is_named_by_place() {
    for (text, why) in [
        ("{\"log\":{}}", "no list /log/entries"),
        ("{\"log\":{\"entries\":{}}}", "expected a list of entries"),
        ("{\"log\":{\"entries\":[}}", "before its first entry is over"),
        ("{\"log\":{\"entries\":[]}} {", "trailing characters"),
        ("{\"log\":{\"entries\":[],\"x\":\"\\ud8", "EOF"),
        ("[]", "an object with `log`"),
        ("{\"log\":[]}", "an object with `entries`"),
        ("\0", "expected value"),
    ] {
        let run = validate(&["--input-format", "har"], text.as_bytes());
        assert_eq!(run.status, 2, "{text}");
        assert!(
            run.err.starts_with("fleetwire: standard input ") && run.err.contains(why),
            "{text}: {}",
            run.err
        );
    }
    // An entry of its own kind keeps no other from being read.
    let mut ill = [entry("{}"), json!(7), json!({"request": 7}), entry(ZSTACK), entry("{}")];
    ill[3]["request"]["postData"] = json!({"text": "???", "encoding": "base64"});
    let run = validate(&["--json"], har(&ill).as_bytes());
    let faults = found(&run);
    let forms: Vec<_> = faults.iter().filter(|found| found.contains("capture.")).collect();
    assert_eq!(forms, ["1 capture.form", "2 capture.form", "3 capture.base64"]);
    assert_eq!(faults.iter().filter(|found| *found == "4 json.required").count(), 4, "{faults:?}");
    assert_eq!(run.status, 1);
}

#[test]
fn har_without_bodies_or_headers_is_checked_for_what_it_has() {
    let mut bare = entry(ZSTACK);
    bare["request"].as_object_mut().unwrap().remove("postData");
    bare["response"] = json!({"status": 200, "headers": [], "content": {"size": 400}});
    let run = validate(&["--json"], har(std::slice::from_ref(&bare)).as_bytes());
    assert_eq!((run.status, found(&run)), (0, vec![]));
    // That there is none is something else.
    bare["request"]["bodySize"] = json!(0);
    bare["response"]["content"]["size"] = json!(0);
    let run = validate(&["--json"], har(&[bare]).as_bytes());
    assert_eq!((run.status, found(&run)), (1, vec!["0 json.syntax".to_owned(), "0 json.syntax".to_owned()]));
}

#[test]
fn lines_are_read_whatever_stands_between_them() {
    let mut text = b"\xef\xbb\xbf".to_vec();
    for line in [
        ZSTACK.as_bytes(),
        b"",
        b"  \t",
        b"{\"version\":\"a\0b\"}",
        b"{\"version\":\"\xff\"}",
        b"{\"version\":",
        b"not JSON",
        ZSTACK.as_bytes(),
        b"[]",
        b"null",
    ] {
        text.extend_from_slice(line);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(ZSTACK.as_bytes());
    let run = validate(&["--json", "--operation", "zstack.heartbeat"], &text);
    assert_eq!(
        found(&run),
        ["4 json.syntax", "5 json.utf8", "6 json.syntax", "7 json.syntax", "9 json.type", "10 json.type"]
    );
    assert_eq!((run.status, run.err.as_str()), (1, ""));
    assert_eq!(objects(&run).pop().unwrap()["messages"], 9);
}

#[test]
fn document_over_several_lines_is_one_body() {
    let pretty = serde_json::to_string_pretty(&json!({"version": "1", "uptime": -1})).unwrap();
    let run = validate(&["--operation", "zstack.heartbeat"], pretty.as_bytes());
    assert!(run.out.starts_with("standard input: zstack.heartbeat request\n"), "{}", run.out);
    assert_eq!(run.status, 1);
}

#[test]
fn line_that_is_too_long_is_a_fault_of_its_own() {
    let long = format!("{{\"version\":\"{}\"}}", "x".repeat(17 << 20));
    let text = format!("{ZSTACK}\n{long}\n{{}}\n");
    let run = validate(&["--json", "--operation", "zstack.heartbeat"], text.as_bytes());
    assert_eq!(found(&run)[..2], ["2 capture.too_long", "3 json.required"]);
    let run =
        validate(&["--json", "--operation", "zstack.heartbeat", "--input-format", "json"], long.as_bytes());
    assert_eq!(found(&run), ["null capture.too_long"]);
}

#[test]
fn deep_nesting_harms_nobody() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let body = ZSTACK.replace('}', &format!(",\"x\":{deep}}}"));
    // A body of that length is refused before anything is looked at, so that one is deep and not long.
    let short = ZSTACK.replace('}', &format!(",\"x\":{}{}}}", "[".repeat(1000), "]".repeat(1000)));
    let line = json!({"method": "PUT", "path": "/api/v1/agents/a/heartbeat"});
    let captured = line.to_string().replace('}', &format!(",\"x\":{deep},\"body\":{short}}}"));
    for (text, rule) in [
        (&deep, "1 json.syntax"),
        (&body, "1 body.limit"),
        (&short, "1 lint.depth"),
        (&captured, "1 lint.depth"),
    ] {
        let run = validate(
            &["--json", "--operation", "zstack.heartbeat", "--input-format", "jsonl"],
            text.as_bytes(),
        );
        let rules = found(&run);
        assert!(
            rules.iter().any(|found| found == rule) || rule == "1 json.syntax" && rules.len() == 1,
            "{rules:?}"
        );
    }
    let run = validate(&["--json", "--input-format", "har"], deep.as_bytes());
    assert_eq!(run.status, 2, "{}", run.err);
    let mut nested = entry(&short);
    nested["_extra"] = json!("here");
    let text = har(&[nested]).replace("\"here\"", &deep);
    let run = validate(&["--json"], text.as_bytes());
    assert_eq!(found(&run), ["0 lint.depth"], "{}", run.err);
}

#[test]
fn capture_without_messages_is_a_fault_only_if_one_insists() {
    for empty in ["", "\n\r\n  \n", "\u{feff}"] {
        let run = validate(&[], empty.as_bytes());
        assert_eq!((run.status, run.err.as_str()), (0, ""));
        assert!(run.out.starts_with("0 messages: "), "{}", run.out);
        assert_eq!(validate(&["--strict"], empty.as_bytes()).status, 1);
    }
    let empty = har(&[]);
    assert_eq!(validate(&[], empty.as_bytes()).status, 0);
    assert_eq!(validate(&["--strict", "--operation", "zstack.heartbeat"], ZSTACK.as_bytes()).status, 0);
}

#[test]
fn captured_lines_say_what_they_are() {
    let lines = [
        r#"{"method":"PUT","url":"https://h/zstack/api/v1/agents/a/heartbeat?x=1","headers":{"Authorization":["Bearer zsk_1"],"content-type":"application/json"},"body":BODY}"#,
        r#"{"method":"PUT","path":"/api/v1/agents/a/heartbeat","body":"{\"version\":1}"}"#,
        r#"{"method":"PUT","path":"/api/v1/agents/a/heartbeat","body":null}"#,
        r#"{"method":"PUT","path":"/api/v1/agents/a/heartbeat","body":""}"#,
        r#"{"method":"PUT","path":"/api/v1/agents/a/heartbeat","status":200,"body":{"uuid":7}}"#,
        r#"{"method":"PUT","path":"/api/v1/agents/a/heartbeat","status":99}"#,
        r#"{"method":"PUT","path":7}"#,
        r#"{"method":"PUT"}"#,
        r#"{"path":"/api/v1/agents/a/heartbeat","method":"PUT","#,
        r#"{"method":"PUT","path":"/api/v1/agents/a/heartbeat","path":"/x"}"#,
    ];
    let run = validate(
        &["--json", "--operation", "zstack.heartbeat"],
        lines.join("\n").replace("BODY", ZSTACK).as_bytes(),
    );
    let seen = found(&run);
    let starting = |line: &str| seen.iter().filter(|found| found.starts_with(&format!("{line} "))).count();
    assert_eq!([starting("1"), starting("3")], [0, 0], "{seen:?}");
    assert!(
        seen.contains(&"2 json.type".to_owned()) && seen.contains(&"4 json.syntax".to_owned()),
        "{seen:?}"
    );
    assert!(seen.contains(&"5 json.type".to_owned()), "{seen:?}");
    for line in 6..=10 {
        assert!(seen.contains(&format!("{line} capture.form")), "{line}: {seen:?}");
    }
    // The first line says of which kind the lines are, even if it is no good one.
    let run = validate(&["--json"], format!("{{\"method\":1,\"url\":[]}}\n{}\n", lines[2]).as_bytes());
    assert_eq!(found(&run), ["1 capture.form"]);
}

#[test]
fn times_are_held_against_the_clock_that_is_named() {
    let line = |time: &str| {
        let body: Value =
            serde_json::from_slice(&std::fs::read(folder().join("achilles/heartbeat/request.json")).unwrap())
                .unwrap();
        json!({"method": "POST", "path": "/api/agent/heartbeat", "time": time, "body": body}).to_string()
            + "\n"
    };
    let stale = vec!["1 achilles.heartbeat.timestamp.window".to_owned()];
    let faults = |arguments: &[&str], time: &str| {
        let run = validate(&[&["--json"], arguments].concat(), line(time).as_bytes());
        found(&run).into_iter().filter(|found| found.ends_with("window")).collect::<Vec<_>>()
    };
    assert_eq!(faults(&[], "2026-03-21T14:30:10Z"), [""; 0]);
    assert_eq!(faults(&[], "2026-03-21T15:30:10Z"), stale);
    assert_eq!(faults(&["--now", "none"], "2026-03-21T15:30:10Z"), [""; 0]);
    assert_eq!(faults(&["--now", "2026-03-21T14:34:00Z"], "2026-03-21T15:30:10Z"), [""; 0]);
    assert_eq!(faults(&["--now", "2026-03-21 14:40:00"], ""), stale);
    assert_eq!(faults(&[], "some day"), [""; 0]);
    assert_eq!(
        faults(&["--without", "achilles.heartbeat.timestamp.window"], "2026-03-21T15:30:10Z"),
        [""; 0]
    );
    let run = validate(&["--now", "soon"], b"");
    assert!(run.status == 2 && run.err.contains("2026-03-21T14:30:00Z"), "{}", run.err);
}

/// A message of HTTP/1.1 with its length.
fn http(start: &str, headers: &str, body: &str) -> String {
    format!(
        "{start}\r\nHost: h\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn text_of_http_is_read_message_by_message() {
    const LINE: &str = "PUT /zstack/api/v1/agents/a/heartbeat HTTP/1.1";
    const KEY: &str = "Authorization: Bearer zsk_1\r\n";
    let chunked = format!(
        "{LINE}\r\n{KEY}Content-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{:x};why=not\r\n{}\r\n{:X}\r\n{}\r\n0\r\nTrailer: x\r\n\r\n",
        10,
        &ZSTACK[..10],
        ZSTACK.len() - 10,
        &ZSTACK[10..]
    );
    let ok = r#"{"uuid":"a","status":"online"}"#;
    let text = [
        http(LINE, KEY, ZSTACK),
        chunked,
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        http("HTTP/1.1 200 OK", "", ok),
        http("HTTP/1.1 200 OK", "", "[]"),
        http("GET /elsewhere HTTP/1.1", "", ""),
        http("HTTP/1.1 200 OK", "", "<html>"),
        http(LINE, "", ZSTACK).replace("\r\n", "\n"),
    ];
    let starts: Vec<_> = (0..text.len())
        .map(|count| 1 + text[..count].iter().map(|text| text.matches('\n').count()).sum::<usize>())
        .collect();
    let run = validate(&["--json"], text.concat().as_bytes());
    let expected =
        [format!("{} json.type", starts[4] + 1), format!("{} credentials.required", starts[7] + 1)];
    // Bodies end without a line break, so that each message begins on the last line of the one before.
    let seen = found(&run);
    assert_eq!(seen.len(), 2, "{seen:?} {}", run.err);
    for (seen, expected) in seen.iter().zip(&expected) {
        assert_eq!(seen.split(' ').next_back(), expected.split(' ').next_back());
    }
    let summary = objects(&run).pop().unwrap();
    let numbers =
        ["messages", "requests", "responses", "unrecognised"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(numbers, [7, 3, 2, 2]);
    assert_eq!(summary["not_recognised"][1]["request"], "an answer 200");
}

/// Messages, requests, answers and those that are not recognised.
fn numbers(run: &Run) -> [u64; 4] {
    let summary = objects(run).pop().unwrap();
    ["messages", "requests", "responses", "unrecognised"].map(|name| summary[name].as_u64().unwrap())
}

#[test]
fn body_without_its_length_ends_where_the_next_message_begins() {
    const HEAD: &str = "PUT /zstack/api/v1/agents/a/heartbeat HTTP/1.1\nAuthorization: Bearer zsk_1\nContent-Type: application/json\n\n";
    let bad = ZSTACK.replace("12.5", "112.5");
    let text = [
        &format!("{HEAD}{ZSTACK}\n\n{HEAD}{bad}\n")[..],
        "HTTP/1.1 200 OK\nContent-Type: application/json\n\n{\"uuid\":\"a\",\"status\":\"online\"}\n",
        "HTTP/1.1 502 Bad Gateway\nContent-Type: text/html\n\n<html>\n<p>HTTP/1.1 is spoken here\n</html>\n\n",
        "GET /elsewhere HTTP/1.1\n\n\n",
        "HTTP/1.1 200 OK\n\n",
    ]
    .concat();
    let run = validate(&["--json"], text.as_bytes());
    assert_eq!((run.status, numbers(&run)), (1, [6, 2, 2, 2]), "{} {}", run.out, run.err);
    let seen = found(&run);
    assert_eq!(seen.iter().filter(|found| found.ends_with("capture.length")).count(), 2, "{seen:?}");
    assert_eq!(
        seen.iter().filter(|found| found.starts_with("7 ")).collect::<Vec<_>>(),
        ["7 capture.length", "7 zstack.heartbeat.cpuUsage.range"]
    );
    assert!(!seen.iter().any(|found| found.ends_with("json.utf8")));
}

#[test]
fn answer_to_a_question_for_the_head_has_no_body() {
    const LINE: &str = "PUT /zstack/api/v1/agents/a/heartbeat HTTP/1.1";
    let text = [
        "HEAD /zstack/api/v1/agents/a/heartbeat HTTP/1.1\r\nHost: h\r\n\r\n",
        "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 4000\r\nAllow: PUT\r\n\r\n",
        &http(LINE, "Authorization: Bearer zsk_1\r\n", ZSTACK),
        &http("HTTP/1.1 200 OK", "", r#"{"uuid":"a","status":"online"}"#),
    ]
    .concat();
    let run = validate(&["--json"], text.as_bytes());
    assert_eq!((run.status, numbers(&run)), (0, [4, 1, 1, 2]), "{} {}", run.out, run.err);
}

#[test]
fn what_is_no_time_is_a_fault_whatever_the_clock() {
    let body =
        std::fs::read(folder().join("achilles/heartbeat/request.timestamp-in-words.refused.json")).unwrap();
    for arguments in [&["--now", "none"][..], &[]] {
        let arguments = [&["--json", "--operation", "achilles.heartbeat"], arguments].concat();
        let run = validate(&arguments, &body);
        assert_eq!(run.status, 1, "{}", run.out);
        assert!(run.out.contains("achilles.heartbeat.timestamp.time"), "{}", run.out);
    }
}

#[test]
fn har_of_a_browser_that_did_not_keep_everything_is_checked_for_what_it_has() {
    let mut entry = entry(&ZSTACK.replace("12.5", "112.5"));
    entry["request"]["headers"] = json!([
        {"name": ":authority", "value": "h"},
        {"name": "x-unknown", "value": null},
        {"name": "authorization", "value": "Bearer zsk_1"},
        {"name": "content-type", "value": "application/json"},
    ]);
    let content = json!({"size": 0, "mimeType": "x-unknown"});
    entry["response"] = json!({"status": 200, "headers": [], "content": content, "bodySize": -1});
    let mut empty = entry.clone();
    empty["response"]["bodySize"] = json!(0);
    let run = validate(&["--json"], har(&[entry, empty]).as_bytes());
    let range = "zstack.heartbeat.cpuUsage.range";
    assert_eq!(found(&run), [format!("0 {range}"), format!("1 {range}"), "1 json.syntax".to_owned()]);
}

#[test]
fn body_that_was_unpacked_by_what_recorded_it_is_read() {
    let packed = |body: &Value| {
        let mut entry = entry(ZSTACK);
        let headers = json!([{"name": "content-encoding", "value": "gzip"}, {"name": "authorization", "value": "Bearer zsk_1"}, {"name": "content-type", "value": "application/json"}]);
        entry["request"]["headers"] = headers.clone();
        entry["response"] = json!({"status": 200, "headers": headers, "content": {"text": body.to_string()}});
        entry
    };
    let run = validate(&["--json"], har(&[packed(&json!({"uuid": "a", "status": "online"}))]).as_bytes());
    // On the wire it was packed, and no server unpacks it.
    assert_eq!((run.status, found(&run)), (0, vec!["0 body.encoding".to_owned()]));
}

#[test]
fn text_of_http_that_breaks_off_is_named_by_line() {
    const LINE: &str = "PUT /zstack/api/v1/agents/a/heartbeat HTTP/1.1\r\n";
    for (rest, why) in [
        ("Host", "line 1 is no head of a message"),
        ("Ho st: h\r\n\r\n", "line 1 is no head of a message"),
        ("Content-Length: ten\r\n\r\n", "line 1 has the Content-Length \"ten\""),
        ("Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "line 1 has two Content-Lengths"),
        ("Content-Length: 100\r\n\r\n{\n", "line 5: ends 98 bytes before the body"),
        ("Transfer-Encoding: chunked\r\n\r\n", "line 4: ends before the last chunk"),
        ("Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "line 5: follows a line that is no size"),
        ("Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "line 6: follows a chunk that is longer"),
        (
            "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc\r\n",
            "before the body of a message is over",
        ),
    ] {
        let run = validate(&[], format!("{LINE}{rest}").as_bytes());
        assert_eq!(run.status, 2, "{rest:?}");
        assert!(run.err.contains(why), "{rest:?}: {}", run.err);
    }
    let endless = format!("{LINE}X: {}", "x".repeat(100_000));
    assert!(validate(&[], endless.as_bytes()).err.contains("has more than 65536 bytes"));
    // Written by hand, a body may come without its length.
    let text =
        format!("{LINE}Authorization: Bearer zsk_1\r\nContent-Type: application/json\r\n\r\n{ZSTACK}\n");
    let run = validate(&["--json"], text.as_bytes());
    assert_eq!((run.status, found(&run)), (0, vec!["1 capture.length".to_owned()]));
}

#[test]
fn operations_are_looked_for_as_asked() {
    let text =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/captures/morning.har")).unwrap();
    let tally = |arguments: &[&str]| {
        let run = validate(&[&["--json", "--summary"], arguments].concat(), &text);
        let summary = objects(&run).pop().unwrap();
        ["requests", "responses", "unrecognised", "passed_over", "faults"]
            .map(|name| summary[name].as_u64().unwrap())
    };
    assert_eq!(tally(&[]), [5, 5, 1, 0, 3]);
    assert_eq!(tally(&["--side", "request"]), [5, 0, 1, 0, 2]);
    assert_eq!(tally(&["--side", "response"]), [0, 5, 1, 0, 1]);
    assert_eq!(tally(&["--vendor", "achilles"]), [2, 2, 1, 3, 1]);
    assert_eq!(tally(&["--operation", "achilles.poll_tasks"]), [1, 1, 1, 4, 0]);
    // A vendor with several operations does not say what a body is that comes alone.
    let run = validate(&["--vendor", "acusight"], br#"{"device_id":"d"}"#);
    assert!(run.out.contains("name its operation with --operation"), "{}", run.out);
    assert_eq!(validate(&["--strict", "--vendor", "acusight"], br#"{"device_id":"d"}"#).status, 1);
    for arguments in
        [&["--vendor", "nobody"][..], &["--operation", "x"], &["--without", "x"], &["--quiet", "--json"]]
    {
        assert_ne!(validate(arguments, b"").status, 0, "{arguments:?}");
    }
}

#[test]
fn no_secret_is_ever_printed() {
    const SECRET: &str = "5ec7e75ec7e7";
    let body = |value: &str| ZSTACK.replace("60", &format!("\"{value}\""));
    let mut texts = Vec::new();
    for prefix in ["adk_", "ak_", "cc_", "zsk_", "acht_", "Bearer ", "apt_", "fwo_"] {
        let key = format!("{prefix}{SECRET}");
        texts.push(body(&key));
        texts.push(json!({
            "method": "PUT", "path": format!("/zstack/api/v1/agents/a/heartbeat?key={key}"),
            "headers": {"Authorization": key, "X-Api-Key": key}, "body": {"version": {key.clone(): key}, "uptime": key},
        }).to_string());
        texts
            .push(json!({"method": key, "path": format!("https://{key}@h/{key}?k={key}#{key}")}).to_string());
        texts.push(json!({"method": "PUT", "path": "/x", "headers": key}).to_string());
        texts.push(har(&[json!({"request": key}), entry(&body(&key))]));
        texts.push(format!(
            "PUT /zstack/api/v1/agents/a/heartbeat HTTP/1.1\r\nX-Api-Key: {key}\r\n\r\n{}",
            body(&key)
        ));
        texts.push(format!("GET /{key} HTTP/1.1\r\nAuthorization: {key}\r\n\r\n"));
    }
    texts.push(json!({"token": 7, "hostname": "h", "os": "o", "arch": "a"}).to_string());
    for text in &texts {
        for arguments in [&[][..], &["--json"], &["--summary"], &["--operation", "zstack.heartbeat"]] {
            let run = validate(arguments, text.as_bytes());
            assert!(!run.out.contains(SECRET) && !run.err.contains(SECRET), "{text}\n{}{}", run.out, run.err);
        }
    }
}

#[test]
fn terminal_is_not_steered_by_what_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let line = json!({"method": "PUT", "path": "/\u{1b}[2J\u{202e}", "body": {}}).to_string();
    let twice = ZSTACK.replace('}', ",\"\\u001b[2J\":1,\"\\u001b[2J\":2}");
    let file = write(&folder, "a\u{1b}[2Jb.jsonl", format!("{line}\n"));
    let run = validate(&["--operation", "zstack.heartbeat", file.to_str().unwrap(), "-"], twice.as_bytes());
    assert!(run.out.contains("NOT RECOGNISED") && run.out.contains("is there 2 times"), "{}", run.out);
    assert!(!run.out.contains(['\u{1b}', '\u{202e}']), "{:?}", run.out);
}

#[test]
fn list_of_strangers_is_bounded() {
    let lines: String =
        (0..60).map(|n| format!("{}\n", json!({"method": "GET", "path": format!("/{n:02}")}))).collect();
    let run = validate(&[], lines.as_bytes());
    assert_eq!(run.out.lines().filter(|line| line.contains("no operation has this path")).count(), 50);
    assert!(run.out.contains("\nand 10 of other request lines\n"), "{}", run.out);
    assert_eq!((run.status, validate(&["--strict"], lines.as_bytes()).status), (0, 1));
}

#[test]
fn quiet_prints_nothing_and_its_status_tells() {
    for (text, status) in [(ZSTACK, 0), ("{}", 1), ("\x1f\u{fffd}", 2)] {
        let run = validate(&["--quiet", "--operation", "zstack.heartbeat"], text.as_bytes());
        assert_eq!((run.status, run.out.as_str()), (status, ""), "{text}");
    }
}

#[test]
fn reader_that_goes_away_is_no_failure() {
    let mut child = command(&["--operation", "zstack.heartbeat"]).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || drop(stdin.write_all("{}\n".repeat(100_000).as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(1), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn room_does_not_grow_with_the_capture() {
    const MIB: usize = 1024 * 1024;
    let mut child = command(&["--summary", "--operation", "zstack.heartbeat"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = format!("{}{{}}\n", format!("{ZSTACK}\n").repeat(4 * MIB / ZSTACK.len()));
    for _ in 0..4 {
        stdin.write_all(lines.as_bytes()).unwrap();
    }
    let long = vec![b'x'; 4 * MIB];
    for _ in 0..32 {
        stdin.write_all(&long).unwrap();
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("capture.too_long"));
    assert!(peak < 96 * 1024, "{peak} KiB for 144 MiB");
}
