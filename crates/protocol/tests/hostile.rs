//! What strangers send: every operation refuses it in its vendor's words, and says which rule was broken.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use fleetwire_protocol::codec::{self, ReplyError};
use fleetwire_protocol::{
    Endpoint, Envelope, Fault, Place, Request, Subject, Violation, Violations, achilles, acusight, agentmc,
    for_each_endpoint, zstack,
};
use http::{HeaderMap, Method, Response, StatusCode, header};

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
        let (violation, _) = refusal::<E>(b"{}");
        assert_eq!(violation.rule, "json.required");
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

/// Every fault, with what it names.
fn faults() -> Vec<Fault> {
    let retry_after = Duration::from_millis(1_500);
    let two = vec![
        Violation { place: Place::Header("X-Test"), rule: "test.header", message: "is required".to_owned() },
        Violation::body("/a~1b/0", "test.body", "must be less"),
    ];
    vec![
        Fault::Unauthenticated,
        Fault::TokenRefused,
        Fault::NotYours(Subject::Agent),
        Fault::Unknown(Subject::Device),
        Fault::Invalid(Violations::from(two)),
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
