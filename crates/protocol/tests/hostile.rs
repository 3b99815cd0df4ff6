//! What strangers send: every operation refuses it in its vendor's words, and says which rule was broken.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use fleetwire_protocol::codec::{self, ReplyError};
use fleetwire_protocol::{
    Endpoint, Envelope, Fault, Place, Reply, Request, Subject, Violation, Violations, achilles, acusight,
    agentmc, for_each_endpoint, zstack,
};
use http::{HeaderMap, Method, Response, StatusCode, header};
use serde_json::Value;

fn refusal<E: Endpoint>(body: &[u8]) -> (Violation, Response<Bytes>) {
    let path = |_: &str| Some("agent-1");
    let Err(fault) = codec::decode::<E>(path, None, &HeaderMap::new(), body) else {
        panic!("{} reads {}", E::ID, String::from_utf8_lossy(body))
    };
    let answer = codec::encode_fault::<E::Error>(E::status(&fault), &fault);
    let Fault::Invalid(violations) = fault else { panic!("{fault:?}") };
    (violations.as_slice()[0].clone(), answer)
}

fn is_refused<E: Endpoint>(body: &[u8], pointer: &str, rule: &str) {
    let (violation, answer) = refusal::<E>(body);
    assert_eq!((&violation.place, violation.rule), (&Place::Body(pointer.to_owned()), rule), "{violation}");
    let vendors = [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY];
    assert!(vendors.contains(&answer.status()), "{}", answer.status());
    let envelope: E::Error = serde_json::from_slice(answer.body()).expect("an envelope");
    assert!(envelope.message().is_some());
}

/// `[[[…]]]`
fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

macro_rules! of_every_operation_with_a_body {
    ([$check:ident] $($op:path,)*) => { $(
        if <<$op as Endpoint>::Request as Request>::MEDIA.is_some() {
            $check::<$op>();
        }
    )* };
}

#[test]
fn bytes_that_are_not_json_are_told_from_json_of_the_wrong_form() {
    fn check<E: Endpoint>() {
        is_refused::<E>(b"{\"a\":\"\xff\"}", "", "json.utf8");
        is_refused::<E>(b"\xef\xbb\xbf{}", "", "json.syntax");
        for text in ["", " ", "{", "{'a':1}", "{\"a\":01}", "{\"a\":NaN}", "{\"\\ud800\":1}", "nul"] {
            is_refused::<E>(text.as_bytes(), "", "json.syntax");
        }
        for text in ["null", "true", "7", "\"text\"", "[]", " [{\"device_id\":\"d\"}]", "[\"d\",\"m\"]", "["]
        {
            is_refused::<E>(text.as_bytes(), "", "json.type");
        }
        // Of these nothing is required.
        if ![acusight::DeviceCheckin::ID, zstack::SendAction::ID].contains(&E::ID) {
            let (violation, _) = refusal::<E>(b"{}");
            assert_eq!(violation.rule, "json.required");
        }
    }
    for_each_endpoint!(of_every_operation_with_a_body!(check));
}

#[test]
fn nesting_beyond_128_levels_is_refused_wherever_it_is_kept() {
    let deep = nested(200);
    let checkin = format!(r#"{{"device_id":"d","pending_requests":[{{"payload":{{"a":{deep}}}}}]}}"#);
    is_refused::<acusight::Checkin>(checkin.as_bytes(), "", "json.syntax");
    let heartbeat = format!(r#"{{"meta":{{"x":{deep}}}}}"#);
    is_refused::<agentmc::Heartbeat>(heartbeat.as_bytes(), "", "json.syntax");

    // An answer is kept even then.
    let mut response = Response::new(Bytes::from(format!(r#"{{"success":false,"error":{{"a":{deep}}}}}"#)));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    let Err(ReplyError::Refused(refusal)) = codec::decode_reply::<achilles::Heartbeat>(&response) else {
        panic!("502 is a refusal")
    };
    assert_eq!((refusal.envelope, refusal.body.len()), (None, response.body().len()));
}

#[test]
fn nesting_in_a_member_that_nobody_reads_does_no_harm() {
    let body = format!(r#"{{"device_id":"d","unknown":{}}}"#, nested(100_000));
    let path = |_: &str| None;
    let read = codec::decode::<acusight::Checkin>(path, None, &HeaderMap::new(), body.as_bytes());
    assert_eq!(read.unwrap().body, acusight::CheckinRequest::new("d"));
}

#[test]
fn number_beyond_a_double_is_refused_with_its_place() {
    let body = br#"{"device_id":"d","filename":"f","storage_key":"k","width":1e400,"height":1}"#;
    is_refused::<acusight::NotifyImage>(body, "/width", "json.value");
    let body = br#"{"version":"1","uptime":1,"cpuUsage":-1e400,"memUsage":1}"#;
    let (violation, _) = refusal::<zstack::Heartbeat>(body);
    assert_eq!(violation.place, Place::Body("/cpuUsage".to_owned()));
}

#[test]
fn number_is_neither_a_text_nor_an_object() {
    let cpu = r#"{"meta":{"runtime":{"name":"n","version":"1"}},"host":{"name":"h","meta":{"cpu":5}}}"#;
    is_refused::<agentmc::Heartbeat>(cpu.as_bytes(), "/host/meta/cpu", "json.type");
    let model = r#"{"meta":{"runtime":{"name":"n","version":"1"},"models":["a",1.5]}}"#;
    is_refused::<agentmc::Heartbeat>(model.as_bytes(), "/meta/models/1", "json.type");
    let identity = r#"{"meta":{"runtime":{"name":"n","version":"1"}},"agent":{"name":"a","identity":-1}}"#;
    is_refused::<agentmc::Heartbeat>(identity.as_bytes(), "/agent/identity", "json.type");

    let labels = Response::new(Bytes::from_static(br#"{"labels":5}"#));
    let Err(ReplyError::Garbled { why, .. }) = codec::decode_reply::<zstack::Heartbeat>(&labels) else {
        panic!("a number is no JSON text")
    };
    assert_eq!((why.place, why.rule), (Place::Body("/labels".to_owned()), "json.type"));
}

#[test]
fn pointer_escapes_slash_and_tilde() {
    let body = r#"{"meta":{"runtime":{"name":"n","version":"1"},"tool_availability":{"a/b~c":"yes"}}}"#;
    let (violation, answer) = refusal::<agentmc::Heartbeat>(body.as_bytes());
    assert_eq!(violation.place, Place::Body("/meta/tool_availability/a~1b~0c".to_owned()));
    assert_eq!(violation.place.dotted(), "meta.tool_availability.a/b~c");
    assert!(String::from_utf8_lossy(answer.body()).contains("meta.tool_availability.a/b~c"));
}

#[test]
fn key_in_the_wrong_member_is_not_sent_back() {
    let key = "ak_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let body = format!(r#"{{"device_id":"d","filename":"f","storage_key":"k","width":"{key}","height":1}}"#);
    let (violation, answer) = refusal::<acusight::NotifyImage>(body.as_bytes());
    assert_eq!(violation.message, "must be an integer (i64), not a longer string");
    assert!(!String::from_utf8_lossy(answer.body()).contains(key));
}

#[test]
fn list_of_the_members_is_no_object() {
    let checkin = r#"{"device_id":"d","pending_requests":[{},["upload_url"]]}"#;
    is_refused::<acusight::Checkin>(checkin.as_bytes(), "/pending_requests/1", "json.type");
    let image = r#"{"device_id":"d","filename":"f","storage_key":"k","width":1,"height":1,
        "annotations":[["defect"]]}"#;
    is_refused::<acusight::NotifyImage>(image.as_bytes(), "/annotations/0", "json.type");
    is_refused::<zstack::Heartbeat>(br#"["1.0.0",1,1,1]"#, "", "json.type");
    let disk = r#"{"meta":{"runtime":{"name":"n","version":"1"}},"host":{"name":"h","meta":{"disk":[5,4]}}}"#;
    is_refused::<agentmc::Heartbeat>(disk.as_bytes(), "/host/meta/disk", "json.type");
    let system = r#"{"timestamp":"2026-03-21T14:30:00Z","status":"idle","current_task":null,
        "system":["h","windows","amd64",1,1,1,1,1],"agent_version":"0"}"#;
    is_refused::<achilles::Heartbeat>(system.as_bytes(), "/system", "json.type");

    // A list without items would be a struct whose members are all optional.
    let empty = br#"{"device_id":"d","pending_requests":[[]]}"#;
    let (violation, _) = refusal::<acusight::Checkin>(empty);
    assert_eq!(violation.place, Place::Body("/pending_requests/0".to_owned()));
    assert_eq!(violation.message, "must be an object, not an array");
}

/// Collects the place of every object.
fn objects(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.push(pointer.to_owned());
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                objects(member, &format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                objects(item, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// The places in the fixtures' messages where a list is no fault, for all that an object stands there; those
/// within such a place are not named.
const LISTS: [&str; 11] = [
    // Several tasks are a list (PA-3); the fault is that of its items.
    "achilles.poll_tasks response /data",
    // What the source does not name is not looked at.
    "acusight.checkin request /metrics",
    "acusight.notify_image request /metadata",
    "achilles.report_result request /usage",
    // An open object may hold anything.
    "acusight.checkin request /pending_requests/0/payload/deep/0",
    "acusight.checkin request /pending_requests/0/payload/nested",
    "acusight.device_checkin request /metrics/disks/0",
    "acusight.notify_image response /quota",
    "agentmc.heartbeat request /meta/openclaw_models_status",
    "agentmc.heartbeat response /host/meta/runtime",
    // What went wrong may have any form, as in an envelope.
    "zstack.action_result response /error",
];

#[test]
fn list_in_place_of_any_object_is_refused_where_it_stands() {
    fn check<E: Endpoint>(unrefused: &mut BTreeSet<String>) {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(E::ID.replace('.', "/"));
        for entry in fs::read_dir(folder).expect("a folder of fixtures") {
            let file = entry.expect("a fixture");
            let name = file.file_name().into_string().expect("a name in UTF-8");
            let (body, _) = name.split_once('.').expect("the body's name");
            // An error envelope is read as far as it can be, whatever its form.
            if body == "error" || name.ends_with(".refused.json") {
                continue;
            }
            let violation = |message: &Value| {
                let bytes = Bytes::from(message.to_string());
                match body {
                    "request" => E::Request::read(&bytes).err(),
                    _ => E::Reply::read(&Response::new(bytes)).err(),
                }
            };
            let message: Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
            assert_eq!(violation(&message), None, "{name}");
            let mut pointers = Vec::new();
            objects(&message, "", &mut pointers);
            assert!(!pointers.is_empty(), "{name}");
            for pointer in pointers {
                let mut message = message.clone();
                let object = message.pointer_mut(&pointer).unwrap();
                *object = object.as_object().unwrap().values().cloned().collect();
                let place = Place::Body(pointer.clone());
                let refused = violation(&message).is_some_and(|violation| {
                    (violation.place, violation.rule) == (place, "json.type")
                        && violation.message.ends_with("an object, not an array")
                });
                if !refused {
                    unrefused.insert(format!("{} {body} {pointer}", E::ID));
                }
            }
        }
    }
    macro_rules! visit {
        ([$unrefused:ident] $($op:path,)*) => { $( check::<$op>(&mut $unrefused); )* };
    }
    let mut unrefused = BTreeSet::new();
    for_each_endpoint!(visit!(unrefused));
    let is_within = |place: &String| {
        unrefused
            .iter()
            .any(|around| place.strip_prefix(around.as_str()).is_some_and(|rest| rest.starts_with('/')))
    };
    let outermost: BTreeSet<_> = unrefused.iter().filter(|place| !is_within(place)).cloned().collect();
    assert_eq!(outermost, BTreeSet::from(LISTS.map(str::to_owned)));
}

/// Every fault, with what it names.
fn faults() -> Vec<Fault> {
    let retry_after = Duration::from_millis(1_500);
    let two = vec![
        Violation { place: Place::Header("X-Test"), rule: "test.header", message: "is required".to_owned() },
        Violation::body("/a~1b/0", "test.body", "must be less"),
    ];
    let several = vec![
        Violation::body("/host/name", "json.type", "must be a string, not 7"),
        Violation::body("/agents/1/id", "test.minimum", "must be at least 1, not 0"),
        Violation::body("/agents/1/id", "test.odd", "must be odd"),
        Violation::body("/meta", "json.required", "is required"),
    ];
    vec![
        Fault::Unauthenticated,
        Fault::TokenRefused,
        Fault::NotYours(Subject::Agent),
        Fault::Unknown(Subject::Device),
        Fault::Invalid(Violations::from(two)),
        Fault::Invalid(Violations::from(several).with_more(37)),
        Fault::Transition { subject: Subject::Task, from: "pending", to: "completed" },
        Fault::Conflict("the token was used up"),
        Fault::TooLarge { limit: 262_144 },
        Fault::TooSlow,
        Fault::NoRoute,
        Fault::MethodNotAllowed { allow: vec![Method::GET, Method::POST] },
        Fault::Limited { retry_after },
        Fault::Internal,
        Fault::Overloaded { what: "no slot in a batch could be reserved", retry_after },
    ]
}

#[test]
fn every_fault_leaves_in_the_words_of_its_operation() {
    fn table<E: Endpoint>() {
        let mut text = String::new();
        for fault in faults() {
            let answer = codec::encode_reply::<E>(Err(fault.clone()));
            writeln!(text, "{fault:?}\n{}", answer.status()).unwrap();
            for name in [header::RETRY_AFTER, header::ALLOW] {
                if let Some(value) = answer.headers().get(&name) {
                    writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
                }
            }
            assert_eq!(answer.headers()[header::CONTENT_TYPE], codec::JSON);
            // Read into the envelope first: its members come in one order, whatever serde_json does.
            let envelope: E::Error = serde_json::from_slice(answer.body()).unwrap();
            writeln!(text, "{}\n", serde_json::to_string_pretty(&envelope).unwrap()).unwrap();
        }
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("{}.faults", E::ID), text));
    }
    macro_rules! visit {
        ([] $($op:path,)*) => { $( table::<$op>(); )* };
    }
    for_each_endpoint!(visit!());
}
