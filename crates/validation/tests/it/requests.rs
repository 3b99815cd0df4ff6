//! Whole requests: the sources' examples, several faults at once, and the hostile side.

use std::time::Duration;

use crate::common::{FINGERPRINT, Sample, agentmc_example, now, valid};
use fleetwire_protocol::agentmc::{self, ApiError};
use fleetwire_protocol::wire::Number;
use fleetwire_protocol::{Call, Envelope, Fault, Violations, achilles, codec, zstack};
use fleetwire_validation::{Context, MAX_REPORTED, Side, Validate, check, lint};
use serde_json::{Value, json};

#[test]
fn the_examples_of_the_sources_pass_on_both_sides() {
    for sample in [
        crate::common::zstack_example(),
        agentmc_example(),
        crate::common::enroll_example(),
        crate::common::achilles_example(),
    ] {
        assert_eq!(sample.broken(Side::Accept), [], "{}", sample.operation);
        assert_eq!(sample.broken(Side::Emit), [], "{}", sample.operation);
    }
}

#[test]
fn what_deployed_peers_send_passes_the_server() {
    // AM-5: a newer host reports a list, agents without ids, and processor as an object.
    let mut newer = agentmc_example();
    newer.remove("/agent");
    newer.set("/agents", json!([{"name": "Jarvis", "type": "openclaw", "identity": {"agent_key": "main"}}]));
    newer.set("/host/meta/cpu", json!({"model": "Intel Xeon"}));
    assert_eq!(newer.broken(Side::Accept), []);
    // PA-8: the result of an update is hardly filled in.
    let mut update = valid("achilles.report_result", Side::Accept);
    update.remove("/bundle_results");
    update.set("/os", json!(""));
    update.set("/arch", json!(""));
    assert_eq!(update.broken(Side::Accept), []);
    // ZS-1: the table's form of the uptime.
    let mut text = crate::common::zstack_example();
    text.set("/uptime", json!("86400"));
    assert_eq!(text.broken(Side::Accept), []);
    // AM-9: a switch has no length.
    let mut switch = agentmc_example();
    switch.set("/meta/thinking_mode", json!(false));
    assert_eq!(switch.broken(Side::Accept), []);
}

#[test]
fn five_faults_are_five_violations_in_the_vendors_names() {
    let mut sample = agentmc_example();
    sample.set("/meta/type", json!("x".repeat(300)));
    sample.set("/host/fingerprint", json!("short"));
    sample.set("/host/meta/ip", json!("not an address"));
    sample.set("/host/meta/cpu_cores", json!(0));
    sample.set("/agent/id", json!(0));
    let faults = sample.faults(Side::Accept, &Context::at(now())).unwrap();
    let envelope =
        serde_json::to_value(ApiError::from_fault(&Fault::Invalid(Violations::from(faults)))).unwrap();
    assert_eq!(
        envelope["error"]["details"]["fields"],
        json!({
            "meta.type": ["The meta.type field must have at most 120 characters, not 300."],
            "host.fingerprint": ["The host.fingerprint field must have at least 64 characters, not 5."],
            "host.meta.ip": ["The host.meta.ip field must be an IPv4 or IPv6 address, not \"not an address\"."],
            "host.meta.cpu_cores": ["The host.meta.cpu_cores field must be between 1 and 4096, not 0."],
            "agent.id": ["The agent.id field must be at least 1, not 0."],
        })
    );
}

#[test]
fn one_member_can_break_two_rules() {
    let mut sample = agentmc_example();
    sample.set("/host/fingerprint", json!("a b"));
    let rules: Vec<_> = sample.broken(Side::Accept).into_iter().map(|(_, rule)| rule).collect();
    assert_eq!(
        rules,
        ["agentmc.heartbeat.host.fingerprint.min_length", "agentmc.heartbeat.host.fingerprint.pattern"]
    );
}

/// Places of the faults of a heartbeat with these fingerprints in body and header.
fn places_of_fingerprints(body: Option<&str>, header: Option<&str>, side: Side) -> Vec<String> {
    let mut sample = agentmc_example();
    match body {
        Some(body) => sample.set("/host/fingerprint", json!(body)),
        None => sample.remove("/host/fingerprint"),
    }
    sample.fingerprint = header.map(str::to_owned);
    sample.broken(side).into_iter().map(|(place, _)| place).collect()
}

#[test]
fn the_server_takes_the_fingerprint_from_body_or_header() {
    let places = |body, header| places_of_fingerprints(body, header, Side::Accept);
    let other = "B".repeat(64);
    assert_eq!(places(Some(FINGERPRINT), None), [""; 0]);
    assert_eq!(places(None, Some(FINGERPRINT)), [""; 0]);
    assert_eq!(places(Some(FINGERPRINT), Some(&other)), [""; 0]);
    assert_eq!(places(Some(FINGERPRINT), Some("bad")), [""; 0]);
    assert_eq!(places(None, None), ["/host/fingerprint"]);
    assert_eq!(places(None, Some("bad")), ["header X-Host-Fingerprint"]);
    assert_eq!(places(None, Some("")), ["header X-Host-Fingerprint"; 2]);
    // A good header does not mend a bad body: the body wins.
    assert_eq!(places(Some("bad"), Some(FINGERPRINT)), ["/host/fingerprint"]);
    assert_eq!(places(Some(""), Some(FINGERPRINT)), ["/host/fingerprint"; 2]);
}

#[test]
fn the_client_sends_the_fingerprint_in_the_body_and_no_bad_header() {
    let places = |body, header| places_of_fingerprints(body, header, Side::Emit);
    assert_eq!(places(Some(FINGERPRINT), None), [""; 0]);
    assert_eq!(places(Some(FINGERPRINT), Some(FINGERPRINT)), [""; 0]);
    assert_eq!(places(None, Some(FINGERPRINT)), ["/host/fingerprint"]);
    assert_eq!(places(Some(FINGERPRINT), Some("bad")), ["header X-Host-Fingerprint"]);
}

#[test]
fn what_is_missing_is_said_to_be_required() {
    let mut sample = agentmc_example();
    sample.remove("/host/fingerprint");
    sample.remove("/agent");
    for side in [Side::Accept, Side::Emit] {
        let faults = sample.faults(side, &Context::at(now())).unwrap();
        let said: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["/host/fingerprint: is required", "/agent: is required"], "{side:?}");
    }
}

#[test]
fn an_empty_list_of_agents_reports_nobody() {
    let mut sample = agentmc_example();
    sample.remove("/agent");
    sample.set("/agents", json!([]));
    assert_eq!(
        sample.broken(Side::Accept),
        [("/agent".to_owned(), "agentmc.heartbeat.agent.required_unless")]
    );
}

fn said_of_timestamp(timestamp: &str, context: &Context, side: Side) -> Vec<String> {
    let mut sample = crate::common::achilles_example();
    sample.set("/timestamp", json!(timestamp));
    sample.faults(side, context).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn a_stale_time_is_told_by_how_much() {
    let context = Context::at(now());
    assert_eq!(
        said_of_timestamp("2026-03-21T14:24:59Z", &context, Side::Accept),
        ["/timestamp: must be within 300 s of the reader's clock, not 301 s behind"]
    );
    assert_eq!(
        said_of_timestamp("2026-03-21T14:35:00.5Z", &context, Side::Accept),
        ["/timestamp: must be within 300 s of the reader's clock, not 300.500 s ahead"]
    );
}

#[test]
fn the_window_can_be_changed_and_switched_off() {
    let wide = Context::at(now()).with_clock_window(Some(Duration::from_secs(3600)));
    assert_eq!(said_of_timestamp("2026-03-21T15:30:00Z", &wide, Side::Accept), [""; 0]);
    assert_eq!(
        said_of_timestamp("2026-03-21T15:30:01Z", &wide, Side::Accept),
        ["/timestamp: must be within 3600 s of the reader's clock, not 3601 s ahead"]
    );
    let endless = Context::at(now()).with_clock_window(Some(Duration::MAX));
    assert_eq!(said_of_timestamp("0001-01-01T00:00:00Z", &endless, Side::Accept), [""; 0]);

    let off = Context::at(now()).with_clock_window(None);
    assert_eq!(said_of_timestamp("1999-01-01T00:00:00Z", &off, Side::Accept), [""; 0]);
    // Nobody reads the time then, and a heartbeat is not lost over one; a client still writes a good one.
    assert_eq!(said_of_timestamp("soon", &off, Side::Accept), [""; 0]);
    assert_eq!(
        said_of_timestamp("soon", &off, Side::Emit),
        ["/timestamp: must be a time as RFC 3339 writes it, not \"soon\""]
    );
}

#[test]
fn times_at_the_ends_of_the_calendar_are_stale_and_nothing_worse() {
    for time in ["+262142-12-31 23:59:59", "-262143-01-01 00:00:00", "2016-12-31T23:59:60Z"] {
        let said = said_of_timestamp(time, &Context::at(now()), Side::Accept);
        assert_eq!(said.len(), 1, "{time}");
    }
}

#[test]
fn secrets_and_long_values_are_not_repeated() {
    let secret = "s3cr3t".repeat(20);
    let mut sample = agentmc_example();
    sample.set("/host/fingerprint", json!(format!("{secret}!")));
    sample.set("/host/meta/ip", json!(secret));
    sample.set("/agent/name", json!(secret.repeat(10)));
    let faults = sample.faults(Side::Accept, &Context::at(now())).unwrap();
    assert_eq!(faults.len(), 3);
    assert!(faults.iter().all(|fault| !fault.message.contains("s3cr3t")), "{faults:?}");
}

#[test]
fn a_long_list_of_faults_is_cut() {
    let annotations = vec![json!({"confidence": 2, "x_center": -1}); 10_000];
    let mut sample = valid("acusight.notify_image", Side::Accept);
    sample.set("/annotations", Value::Array(annotations));
    let faults = sample.faults(Side::Accept, &Context::at(now())).unwrap();
    assert_eq!(faults.len(), MAX_REPORTED);
}

#[test]
fn what_is_hidden_in_lists_and_objects_counts_by_its_depth_and_its_bytes() {
    let said = |payload: Value| {
        let mut sample = valid("acusight.checkin", Side::Accept);
        sample.set("/pending_requests/1/payload", payload);
        let faults = sample.faults(Side::Accept, &Context::at(now())).unwrap();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let many: Vec<_> = (0..257).map(|index| json!({"n": index})).collect();
    assert_eq!(said(json!({ "list": many })), [""; 0]);
    let more = vec![json!({"n": 1_234_567}); 5000];
    assert_eq!(
        said(json!({ "list": more })),
        ["/pending_requests/1/payload: must have at most 65536 bytes, not 70010"]
    );
    let deep = (0..100).fold(json!(0), |inner, _| json!([inner]));
    assert_eq!(said(json!({ "list": deep })), ["/pending_requests/1/payload: must have at most 32 levels"]);
}

#[test]
fn what_is_no_number_cannot_be_read() {
    for number in ["NaN", "Infinity", "-Infinity", "1e999", "\"NaN\"", "\"inf\"", "\"1e999\""] {
        let body = format!(r#"{{"version":"1","uptime":1,"cpuUsage":{number},"memUsage":1}}"#);
        let read = codec::from_json::<zstack::HeartbeatRequest>(body.as_bytes());
        assert!(read.is_err(), "{number}");
    }
}

#[test]
fn what_is_no_number_is_not_sent() {
    let call: Call<zstack::Heartbeat> = Call::with(
        zstack::AgentPath::new("a"),
        zstack::HeartbeatRequest::new("1", Number::new(f64::INFINITY), f64::NAN, 35.2),
    );
    let said: Vec<_> = lint(&call, &Context::at(now())).iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["/uptime: must be at least 0, not inf", "/cpuUsage: must be between 0 and 100, not NaN"]
    );
}

#[test]
fn a_good_call_allocates_no_list() {
    fn allocated<E: Validate>(call: &Call<E>) -> usize {
        let mut out = Vec::new();
        E::violations(call, &Context::at(now()), Side::Accept, &mut out);
        out.capacity()
    }
    let body = serde_json::from_value(valid("agentmc.heartbeat", Side::Accept).body).unwrap();
    let call: Call<agentmc::Heartbeat> = Call::with(agentmc::HostFingerprint::default(), body);
    assert_eq!(allocated(&call), 0);
}

#[test]
fn a_checked_call_gives_its_parts() {
    let call: Call<achilles::Enroll> =
        Call::new(serde_json::from_value(crate::common::enroll_example().body).unwrap());
    let checked = check(call, &Context::at(now())).unwrap();
    assert_eq!(checked.params(), &());
    assert_eq!(checked.body().hostname, "WORKSTATION-01");
    assert!(!format!("{checked:?}").contains("enrollment-token-string"));
    assert_eq!(checked.into_inner().body.agent_version, "1.0.0");
}

#[test]
fn a_box_over_the_edge_is_taken_and_can_be_marked() {
    use fleetwire_validation::acusight::reaches_over_edge;
    assert!(!reaches_over_edge([0.52, 0.48, 0.2, 0.1]));
    assert!(reaches_over_edge([0.95, 0.48, 0.2, 0.1]));

    let mut sample = Sample::new("acusight.notify_image", valid("acusight.notify_image", Side::Accept).body);
    sample.set("/annotations/1/geometry", json!([0.95, 0.48, 0.2, 0.1]));
    assert_eq!(sample.broken(Side::Accept), []);
}
