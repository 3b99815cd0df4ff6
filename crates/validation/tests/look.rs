//! What a second look tells of a refused request, and what it keeps to itself.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy sees only the functions marked as tests"
)]

use chrono::{DateTime, Utc};
use fleetwire_protocol::achilles::{Enroll, ErrorReply};
use fleetwire_protocol::acusight::{Checkin, CheckinRequest, ErrorMap, NotifyImage};
use fleetwire_protocol::{Envelope, Fault, Violations, achilles, agentmc, codec, zstack};
use fleetwire_validation::look::{Raw, look};
use fleetwire_validation::{Context, HouseRules, MAX_REPORTED, Validate};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

fn now() -> DateTime<Utc> {
    "2026-03-21T14:30:00Z".parse().unwrap()
}

fn found<E: Validate>(headers: &[(&'static str, &str)], body: &str, context: &Context) -> Option<Violations> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    let raw = Raw { segment: &|_| Some("an-id"), query: None, headers: &map, body: body.as_bytes() };
    look::<E>(&raw, context)
}

/// Place and rule of each fault.
fn told<E: Validate>(body: &str) -> Vec<(String, &'static str)> {
    let faults = found::<E>(&[], body, &Context::at(now()));
    faults.iter().flat_map(Violations::iter).map(|one| (one.place.to_string(), one.rule)).collect()
}

fn said<E: Validate>(body: &str) -> Vec<String> {
    let faults = found::<E>(&[], body, &Context::at(now()));
    faults.iter().flat_map(Violations::iter).map(ToString::to_string).collect()
}

fn heartbeat() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/agentmc/heartbeat/request.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
fn a_request_that_is_taken_has_no_fault() {
    assert_eq!(found::<agentmc::Heartbeat>(&[], &heartbeat().to_string(), &Context::at(now())), None);
    // No body is looked at where none belongs.
    assert_eq!(found::<achilles::PollTasks>(&[], "{{{", &Context::at(now())), None);
}

#[test]
fn faults_stand_in_the_order_of_the_text() {
    let body = r#"{ "storage_key": 5, "width": 1.5, "annotations": [
        {"confidence": 2, "x_center": "left"}, 7, {"geometry": [0, 1, 2]}
    ], "height": 99999999999999999999, "filename": null }"#;
    assert_eq!(
        said::<NotifyImage>(body),
        [
            "/storage_key: must be a string, not a number",
            "/width: must be an integer, not 1.5",
            "/annotations/0/confidence: must be between 0 and 1, not 2",
            "/annotations/0/x_center: must be a number, not \"left\"",
            "/annotations/1: must be an object, not 7",
            "/annotations/2/geometry: must have exactly 4 elements, not 3",
            "/annotations/2/geometry/2: must be between 0 and 1, not 2",
            "/height: must be between -9223372036854775808 and 9223372036854775807, not 99999999999999999999",
            "/filename: must be a string, not null",
            "/device_id: is required",
        ]
    );
}

#[test]
fn an_integer_that_its_type_cannot_hold_breaks_the_rule_of_its_place() {
    let mut body = heartbeat();
    body["host"]["meta"]["cpu_cores"] = json!(-1);
    body["meta"]["tokens_in"] = json!(-1);
    assert_eq!(
        told::<agentmc::Heartbeat>(&body.to_string()),
        [
            ("/host/meta/cpu_cores".to_owned(), "agentmc.heartbeat.host.meta.cpu_cores.range"),
            ("/meta/tokens_in".to_owned(), "agentmc.heartbeat.meta.tokens_in.minimum"),
        ]
    );
}

#[test]
fn nothing_is_concluded_from_what_is_at_fault_itself() {
    // Whether an agent is reported cannot be said where the list of them is none.
    let mut body = heartbeat();
    body.as_object_mut().unwrap().remove("agent");
    body["agents"] = json!("many");
    assert_eq!(told::<agentmc::Heartbeat>(&body.to_string()), [("/agents".to_owned(), "json.type")]);
    // Nor whether a fingerprint is somewhere, where there is no host.
    let mut body = heartbeat();
    body["host"] = json!(null);
    assert_eq!(told::<agentmc::Heartbeat>(&body.to_string()), [("/host".to_owned(), "json.type")]);
    // An element keeps its number.
    let mut body = heartbeat();
    body["agents"] = json!([0, {"name": "x".repeat(256), "identity": "i"}]);
    assert_eq!(
        told::<agentmc::Heartbeat>(&body.to_string()),
        [
            ("/agents/0".to_owned(), "json.type"),
            ("/agents/1/name".to_owned(), "agentmc.heartbeat.agents.name.max_length"),
        ]
    );
}

#[test]
fn a_known_member_twice_is_a_fault_and_any_other_is_not() {
    let twice = r#"{"device_id":"d","x":1,"x":2,"pending_requests":[{"payload":{"a":1,"a":2}}]}"#;
    assert_eq!(told::<Checkin>(twice), []);
    let twice = r#"{"device_id":"d","status":"a","status":5,"status":"b"}"#;
    assert_eq!(
        told::<Checkin>(twice),
        [("/status".to_owned(), "json.duplicate"), ("/status".to_owned(), "json.duplicate")]
    );
    // A member under another of its names is the same member.
    let twice = r#"{"version":"1","uptime":1,"memory":1,"cpu":101,"cpuUsage":1}"#;
    assert_eq!(
        told::<zstack::Heartbeat>(twice),
        [
            ("/cpuUsage".to_owned(), "json.duplicate"),
            ("/cpuUsage".to_owned(), "zstack.heartbeat.cpuUsage.range"),
        ]
    );
}

#[test]
fn what_is_too_deep_is_told_where_it_is_kept() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let body = |levels| {
        format!(r#"{{"pending_requests":[{{"payload":{{"a":{0},"b":{0}}}}}],"x":{0}}}"#, deep(levels))
    };
    let expected = [
        ("/pending_requests/0/payload".to_owned(), "acusight.checkin.pending_requests.payload.max_depth"),
        ("/device_id".to_owned(), "json.required"),
    ];
    // Deeper than the rule allows, and deeper than any reader goes.
    for levels in [40, 200, 20_000] {
        assert_eq!(told::<Checkin>(&body(levels)), expected, "{levels}");
    }
    // Without the rule the reader's bound is left.
    let off = HouseRules::without(["acusight.checkin.pending_requests.payload.max_depth"]).unwrap();
    let faults = found::<Checkin>(&[], &body(200), &Context::at(now()).with_house_rules(off)).unwrap();
    let places: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        places,
        [
            "/pending_requests/0/payload/a: must not be nested deeper than 127 levels",
            "/pending_requests/0/payload/b: must not be nested deeper than 127 levels",
            "/device_id: is required",
        ]
    );
}

#[test]
fn what_is_no_json_is_told_alone_and_where_it_ends_to_be() {
    assert_eq!(
        said::<Checkin>("{\"device_id\": 5,\n \"status\": tru }"),
        ["body: is not JSON: expected ident at line 2 column 15"]
    );
    // A text that no reader can read is found where it stands, as the codec has it.
    let good = "{\n \"device_id\": \"\\ud800\"}";
    let by_codec = codec::from_json::<CheckinRequest>(good.as_bytes()).unwrap_err().to_string();
    assert_eq!(said::<Checkin>(&good.replace('{', "{\"status\": 5,")), [by_codec]);
    // Faults beside the body are told with it, and a body of another media type is not looked at.
    let other = found::<Checkin>(&[("content-type", "text/plain")], "{", &Context::at(now())).unwrap();
    assert_eq!(other.to_string(), "header Content-Type: must be application/json");
}

#[test]
fn a_header_is_told_before_the_body() {
    let mut body = heartbeat();
    body["host"].as_object_mut().unwrap().remove("fingerprint");
    body["host"]["name"] = json!([]);
    let faults = found::<agentmc::Heartbeat>(
        &[("x-host-fingerprint", "short!")],
        &body.to_string(),
        &Context::at(now()),
    );
    let rules: Vec<_> = faults.unwrap().iter().map(|one| one.rule).collect();
    assert_eq!(
        rules,
        [
            "agentmc.heartbeat.header.x_host_fingerprint.min_length",
            "agentmc.heartbeat.header.x_host_fingerprint.pattern",
            "json.type",
        ]
    );
}

#[test]
fn secrets_and_long_values_are_not_repeated() {
    let body =
        json!({"token": 123_456_789, "hostname": ["ak_00ff"], "os": true, "arch": 5, "agent_version": 1e40});
    let all = said::<Enroll>(&body.to_string()).join("\n");
    assert_eq!(all.lines().count(), 5);
    assert!(!all.contains("123456789") && !all.contains("00ff"), "{all}");

    let mut body = heartbeat();
    let secret = "s3cr3t".repeat(20);
    body["host"]["meta"]["cpu_cores"] = json!("cc_00ff");
    body["host"]["meta"]["ram_gb"] = json!(secret);
    body["meta"]["tool_availability"] = json!({ secret.clone(): 1, "~/".repeat(100): 1 });
    let said = said::<agentmc::Heartbeat>(&body.to_string());
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(
        said.iter().all(|one| one.len() < 220 && !one.contains("cc_00ff") && !one.contains(&secret)),
        "{said:?}"
    );
}

#[test]
fn a_rule_that_is_switched_off_is_not_told_of() {
    let body = r#"{"device_id":"d","filename":"f","storage_key":"s","width":1,"height":null,
        "annotations":[{"geometry":[0,1,2,0]}]}"#;
    let ids = |context: &Context| -> Vec<_> {
        found::<NotifyImage>(&[], body, context).unwrap().iter().map(|one| one.rule).collect()
    };
    let id = "acusight.notify_image.annotations.geometry.range";
    assert_eq!(ids(&Context::at(now())), ["json.type", id]);
    let off = HouseRules::without([id]).unwrap();
    assert_eq!(ids(&Context::at(now()).with_house_rules(off)), ["json.type"]);
}

#[test]
fn the_rest_of_a_long_list_is_counted_in_every_envelope() {
    let annotations = vec![json!({"confidence": "x", "x_center": -1}); 150];
    let body = json!({"device_id": "d", "filename": "f", "storage_key": "s", "width": 1, "height": 1,
        "annotations": annotations});
    let faults = found::<NotifyImage>(&[], &body.to_string(), &Context::at(now())).unwrap();
    assert_eq!((faults.as_slice().len(), faults.more()), (MAX_REPORTED, 50));
    // Where the form is good, rules are what is too many.
    let body = body.to_string().replace("\"x\"", "7");
    let broken = found::<NotifyImage>(&[], &body, &Context::at(now())).unwrap();
    assert_eq!((broken.as_slice().len(), broken.more()), (MAX_REPORTED, 200));

    let fault = Fault::Invalid(faults);
    let acusight = ErrorMap::from_fault(&fault);
    assert_eq!(acusight.0.len(), 1 + MAX_REPORTED);
    assert!(acusight.message().unwrap().ends_with("; 50 more are not listed"));
    let achilles = ErrorReply::from_fault(&fault);
    assert_eq!(achilles.details.as_ref().unwrap().len(), MAX_REPORTED);
    assert!(achilles.message().unwrap().ends_with("; 50 more are not in the details"));
    let agentmc = agentmc::ApiError::from_fault(&fault);
    assert_eq!(agentmc.message(), Some("Validation failed. 50 more faults are not listed."));
    let zstack = zstack::ErrorReply::from_fault(&fault);
    assert!(zstack.message().unwrap().ends_with("; 50 more are not listed"));
}

#[test]
fn counting_ends_so_that_a_message_of_faults_costs_no_more_than_a_good_one() {
    let body = format!(r#"{{"bundle_results":{{"controls":[{}5]}}}}"#, "{},".repeat(50_000));
    let faults = found::<achilles::ReportResult>(&[], &body, &Context::at(now())).unwrap();
    assert_eq!((faults.as_slice().len(), faults.more()), (MAX_REPORTED, 10_000 - MAX_REPORTED));
}

#[test]
fn no_fault_repeats_a_key_in_the_wrong_place() {
    let mut body = heartbeat();
    body["host"]["meta"]["ip"] = json!("cc_00112233");
    body["host"]["meta"]["network"]["public_ip"] = json!("Bearer 00112233");
    body["host"]["meta"]["cpu_cores"] = json!("fwo_00112233");
    let body =
        body.to_string().replacen("\"network\":{", "\"network\":{\"adk_00112233445566778899\":1e999,", 1);
    let said = said::<agentmc::Heartbeat>(&body).join("\n");
    assert!(said.lines().count() == 4 && said.contains("cc_…"), "{said}");
    assert!(!said.contains("00112233"), "{said}");
}

#[test]
fn what_is_packed_is_told_by_its_header() {
    let packed = |encoding: &str, body: &str| {
        let faults = found::<zstack::Heartbeat>(&[("content-encoding", encoding)], body, &Context::at(now()));
        faults.iter().flat_map(Violations::iter).map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        packed("gzip", "\u{1f}\u{8b}"),
        ["header Content-Encoding: is gzip, which no operation unpacks"]
    );
    assert_eq!(packed("identity", "{").len(), 1);
    assert!(packed("identity", "{")[0].starts_with("body: is not JSON"));
    // What says that it is packed and is not is read.
    let body = r#"{"version":"1","uptime":1,"cpuUsage":1,"memUsage":1}"#;
    assert_eq!(packed("br", body), Vec::<String>::new());
}

#[test]
fn counting_faults_of_form_ends() {
    for part in [r#","version":1"#, r#","x":[{}]"#] {
        let body = format!(r#"{{"version":"1"{}}}"#, part.repeat(30_000));
        let faults = found::<zstack::Heartbeat>(&[], &body, &Context::at(now())).unwrap();
        let count = faults.iter().count() + faults.more();
        assert!(count <= 10_000, "{count}");
    }
}
