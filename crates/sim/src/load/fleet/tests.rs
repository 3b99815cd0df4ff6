use chrono::DateTime;
use fleetwire_protocol::{Call, codec};
use fleetwire_validation as validation;

use super::*;

/// A time of a check-in.
const AT: i64 = 1_800_000_000;

fn party(vendor: Vendor) -> Party {
    Party::new(vendor, Target::find("http://127.0.0.1:1/below").unwrap(), true).token("token-of-a-test")
}

fn agent() -> Agent {
    Agent::new("sim-00000001-000007", "id-7", "key-7")
}

fn moment() -> DateTime<Utc> {
    DateTime::from_timestamp(AT, 0).unwrap()
}

/// The request line and the body of a request.
fn parts(request: &[u8]) -> (String, Vec<u8>) {
    let end = memchr::memmem::find(request, b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&request[..end]).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let body = request[end + 4..].to_vec();
    assert_eq!(length.map_or(0, |length| length.parse().unwrap()), body.len(), "{head}");
    (head.lines().next().unwrap().to_owned(), body)
}

/// Reads a request as a server would, and holds it to every rule.
fn taken<E: validation::Validate>(request: &[u8], params: &[(&str, &str)]) -> Call<E> {
    let (_, body) = parts(request);
    let param = |name: &str| params.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let call = codec::decode::<E>(param, None, &http::HeaderMap::new(), &body)
        .unwrap_or_else(|fault| panic!("{}: {fault:?}", String::from_utf8_lossy(&body)));
    validation::check(call, &validation::Context::at(moment()))
        .unwrap_or_else(|fault| panic!("{fault:?}"))
        .into_inner()
}

fn written(party: &Party, agent: &Agent, poll: bool) -> (Operation, Vec<u8>) {
    let mut bytes = Vec::new();
    let text = "2027-01-15T08:00:00Z";
    let moment = Moment { text, seconds: AT.unsigned_abs() };
    let operation = party.templates().unwrap().write(agent, poll, &moment, &mut bytes);
    (operation, bytes)
}

#[test]
fn what_is_sent_over_and_over_is_read_by_our_own_codec_and_breaks_no_rule() {
    let mut agent = agent();
    let (operation, bytes) = written(&party(Vendor::Acusight), &agent, false);
    assert_eq!(operation, ACUSIGHT_CHECKIN);
    let call = taken::<acusight_wire::Checkin>(&bytes, &[]);
    assert_eq!((call.body.device_id.as_str(), call.body.current_model_id), ("id-7", None));
    agent.model = "model-9".into();
    let (_, bytes) = written(&party(Vendor::Acusight), &agent, false);
    let call = taken::<acusight_wire::Checkin>(&bytes, &[]);
    assert_eq!(call.body.current_model_id.unwrap().as_str(), "model-9");

    let (operation, bytes) = written(&party(Vendor::ZStack), &agent, false);
    assert_eq!(operation, ZSTACK_HEARTBEAT);
    assert_eq!(parts(&bytes).0, "PUT /below/api/v1/agents/id-7/heartbeat HTTP/1.1");
    taken::<zstack_wire::Heartbeat>(&bytes, &[("uuid", "id-7")]);

    agent.id = format!("{:0<64}", agent.name).into();
    let (operation, bytes) = written(&party(Vendor::AgentMc), &agent, false);
    assert_eq!(operation, AGENTMC_HEARTBEAT);
    assert_eq!(taken::<agentmc_wire::Heartbeat>(&bytes, &[]).body.agent.unwrap().id, None);
    agent.number = 42;
    let (_, bytes) = written(&party(Vendor::AgentMc), &agent, false);
    assert_eq!(taken::<agentmc_wire::Heartbeat>(&bytes, &[]).body.agent.unwrap().id, Some(42));

    let (operation, bytes) = written(&party(Vendor::Achilles), &agent, false);
    assert_eq!(operation, ACHILLES_HEARTBEAT);
    let call = taken::<achilles_wire::Heartbeat>(&bytes, &[]);
    assert_eq!(call.body.timestamp.as_str(), "2027-01-15T08:00:00Z");
    assert_eq!(call.body.system.hostname, "sim-00000001-000007");
    let (operation, bytes) = written(&party(Vendor::Achilles), &agent, true);
    assert_eq!((operation, parts(&bytes).1.len()), (ACHILLES_POLL, 0));
}

#[test]
fn enrolments_are_read_by_our_own_codec_and_break_no_rule() {
    let name = "sim-00000001-000007";
    let of = |vendor| party(vendor).enrolment(name, moment()).unwrap();
    let (operation, bytes) = of(Vendor::Achilles);
    assert_eq!(OPERATIONS[operation], "achilles.enroll");
    assert_eq!(taken::<achilles_wire::Enroll>(&bytes, &[]).body.hostname, name);
    let (operation, bytes) = of(Vendor::Acusight);
    assert_eq!(OPERATIONS[operation], "acusight.provision");
    assert_eq!(taken::<acusight_wire::Provision>(&bytes, &[]).body.device_info.device_id.as_str(), name);
    let (operation, bytes) = of(Vendor::ZStack);
    assert_eq!(OPERATIONS[operation], "zstack.auto_register_heartbeat");
    assert_eq!(taken::<zstack_wire::AutoRegisterHeartbeat>(&bytes, &[]).body.agent_id.as_str(), name);
    let (operation, bytes) = of(Vendor::AgentMc);
    assert_eq!(OPERATIONS[operation], "agentmc.heartbeat");
    let host = taken::<agentmc_wire::Heartbeat>(&bytes, &[]).body.host;
    assert_eq!(host.fingerprint.unwrap().as_str().len(), 64);
}

#[test]
fn answers_of_each_vendor_make_an_agent_and_anything_else_none() {
    let achilles = br#"{"success":true,"data":{"agent_id":"a-1","api_key":"ak_1"}}"#;
    let enrolled = party(Vendor::Achilles).enrolled("n", achilles).unwrap();
    assert_eq!((&*enrolled.id, &*enrolled.key, &*enrolled.name), ("a-1", "ak_1", "n"));
    let acusight = br#"{"success":true,"data":{"device_id":"d-1","api_key":"adk_1"}}"#;
    let enrolled = party(Vendor::Acusight).enrolled("n", acusight).unwrap();
    assert_eq!((&*enrolled.id, &*enrolled.key), ("d-1", "adk_1"));
    // The id need not be the one that was asked for.
    let enrolled = party(Vendor::ZStack).enrolled("n", br#"{"accepted":true,"agentId":"z-1"}"#).unwrap();
    assert_eq!((&*enrolled.id, &*enrolled.key), ("z-1", "token-of-a-test"));
    let agentmc = br#"{"ok":true,"server_time":"2026-01-01T00:00:00Z","agent":{"id":9,"name":"n"}}"#;
    let enrolled = party(Vendor::AgentMc).enrolled("n", agentmc).unwrap();
    assert_eq!((enrolled.number, &*enrolled.key), (9, "token-of-a-test"));

    for vendor in Vendor::ALL {
        for body in
            [&b""[..], b"null", b"<html>", br#"{"success":true}"#, br#"{"accepted":false,"agentId":"x"}"#]
        {
            assert!(party(vendor).enrolled("n", body).is_err(), "{vendor} {body:?}");
        }
    }
}

#[test]
fn ids_and_keys_that_could_break_out_of_a_request_make_no_agent() {
    let with_id = |id: &str| format!(r#"{{"accepted":true,"agentId":"{id}"}}"#);
    for id in ["a/b", "..", "a b", r"a\r\nx: y", "ü", "a%2e"] {
        assert!(party(Vendor::ZStack).enrolled("n", with_id(id).as_bytes()).is_err(), "{id}");
    }
    for key in [r"k\r\nx: y", r#"k\""#, "", "k k"] {
        let body = format!(r#"{{"success":true,"data":{{"agent_id":"a","api_key":"{key}"}}}}"#);
        assert!(party(Vendor::Achilles).enrolled("n", body.as_bytes()).is_err(), "{key}");
    }
}

#[test]
fn a_new_key_is_taken_over_and_a_quiet_answer_leads_to_nothing() {
    let (party, agent) = (party(Vendor::Achilles), agent());
    let heard = |body: &[u8]| heard(&party, &agent, ACHILLES_HEARTBEAT, body, false);
    let quiet = br#"{"success":true,"data":{"acknowledged":true,"server_time":"2026-01-01T00:00:00Z"}}"#;
    assert_eq!(heard(quiet), None);
    let rotated = br#"{"success":true,"data":{"acknowledged":true,"server_time":"2026-01-01T00:00:00Z","new_api_key":"ak_2"}}"#;
    assert_eq!(heard(rotated).unwrap().key.as_deref(), Some("ak_2"));
    assert_eq!(heard(b"new_api_key"), None);
}

#[test]
fn a_task_is_answered_by_a_result_that_breaks_no_rule() {
    let (party, agent) = (party(Vendor::Achilles), agent());
    let task = br#"{"success":true,"data":{"id":"t-1","type":"execute_command","status":"assigned","payload":{"command":"id"}}}"#;
    let follow_up = heard(&party, &agent, ACHILLES_POLL, task, true).unwrap();
    let (operation, request) = follow_up.send.unwrap();
    assert_eq!(operation, ACHILLES_RESULT);
    assert_eq!(parts(&request).0, "POST /below/api/agent/tasks/t-1/result HTTP/1.1");
    let result = taken::<achilles_wire::ReportResult>(&request, &[("id", "t-1")]).body;
    assert_eq!((result.task_id.as_str(), result.exit_code), ("t-1", 0));
    for none in [&b""[..], br#"{"success":true,"data":null}"#, b"<html>"] {
        assert_eq!(heard(&party, &agent, ACHILLES_POLL, none, true), None);
    }
}

#[test]
fn a_model_is_reported_from_then_on_and_only_by_who_does_work() {
    let (party, mut agent) = (party(Vendor::Acusight), agent());
    let told = br#"{"success":true,"pending_actions":[{"id":1,"type":"model_update","model_id":"m-2"}]}"#;
    assert_eq!(heard(&party, &agent, ACUSIGHT_CHECKIN, told, false), None);
    assert_eq!(heard(&party, &agent, ACUSIGHT_CHECKIN, told, true).unwrap().model.as_deref(), Some("m-2"));
    agent.model = "m-2".into();
    assert_eq!(heard(&party, &agent, ACUSIGHT_CHECKIN, told, true), None);
    let odd = br#"{"pending_actions":[{"id":1,"type":"model_update","model_id":"m\"2"}]}"#;
    assert_eq!(heard(&party, &agent, ACUSIGHT_CHECKIN, odd, true), None);
}

#[test]
fn a_command_is_answered_by_an_update_that_says_it_was_not_carried_out() {
    let (party, mut agent) = (party(Vendor::AgentMc), agent());
    agent.id = "f".repeat(64).into();
    let told = br#"{"ok":true,"server_time":"2026-01-01T00:00:00Z","host_runtime_commands":[{"id":5,"type":"agent.provision","provider":"openclaw","payload":{"agent_name":"x","runtime_key":"x"}}]}"#;
    assert_eq!(heard(&party, &agent, AGENTMC_HEARTBEAT, told, false), None);
    let (operation, request) = heard(&party, &agent, AGENTMC_HEARTBEAT, told, true).unwrap().send.unwrap();
    assert_eq!(operation, AGENTMC_HEARTBEAT);
    let updates = taken::<agentmc_wire::Heartbeat>(&request, &[]).body.host_runtime_updates;
    assert_eq!((updates.len(), updates[0].id), (1, 5));
}

#[test]
fn uptime_grows_with_time_and_differs_between_agents() {
    let at = AT.unsigned_abs();
    assert_eq!(uptime("a", at + 60), uptime("a", at) + 60);
    assert_ne!(uptime("a", at), uptime("b", at));
    assert!(uptime("a", 0) < MONTH);
}
