//! Each vendor's agent before a script: what it sends, and what it makes of the answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use fleetwire_client::agent::{
    Command, Dialect, Ending, Event, Input, Machine, Moment, NoAnswer, Settings, Stopped,
};
use fleetwire_client::protocol::acusight::{
    AnnotationData, CheckinRequest, DeviceAction, DeviceCheckinRequest, DeviceHealth, DeviceInfo,
    DeviceRequest, ImageNotificationRequest,
};
use fleetwire_client::protocol::agentmc::{
    AgentReport, Disk, HeartbeatRequest, HostFacts, HostReport, HostRuntime, InstructionsParams, Network,
    Runtime, RuntimeCommand, RuntimeMeta,
};
use fleetwire_client::protocol::wire::{FreeMap, TextOr};
use fleetwire_client::protocol::zstack as zstack_proto;
use fleetwire_client::store::{DiskStore, MemoryStore, Store};
use fleetwire_client::work::Context;
use fleetwire_client::{Agent, BlockingTransport, Cause, Handle, TransportError, acusight, agentmc, zstack};
use http::{Request, Response};

#[derive(Debug, thiserror::Error)]
#[error("nobody is there")]
struct Nobody;

impl TransportError for Nobody {
    fn may_have_arrived(&self) -> bool {
        false
    }
    fn is_retryable(&self) -> bool {
        true
    }
    fn is_timeout(&self) -> bool {
        false
    }
}

/// A server that gives one answer after the other to each path, the last one for ever.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: Vec<(&'static str, Vec<(u16, String)>)>,
    seen: Vec<Request<Bytes>>,
}

impl Script {
    fn answer(self, path: &'static str, answers: &[(u16, &str)]) -> Self {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        self.0.lock().unwrap().answers.push((path, answers));
        self
    }

    fn sent(&self, path: &str) -> Vec<Request<Bytes>> {
        let state = self.0.lock().unwrap();
        state.seen.iter().filter(|request| request.uri().path() == path).cloned().collect()
    }
}

impl BlockingTransport for Script {
    type Error = Nobody;

    fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Nobody> {
        let mut state = self.0.lock().unwrap();
        let path = request.uri().path().to_owned();
        state.seen.push(request);
        let found = state.answers.iter_mut().find(|(known, _)| *known == path);
        let (_, answers) = found.ok_or(Nobody)?;
        let (status, body) = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Ok(Response::builder().status(status).body(Bytes::from(body)).unwrap())
    }
}

/// Runs an agent in a hurry until something is true of what it has sent.
fn run<D: Dialect>(agent: Agent<D>, script: &Script, done: impl Fn(&Script) -> bool)
where
    D::Report: Send,
{
    let mut settings = Settings::default();
    settings.cadence.heartbeat = Some(Duration::from_millis(50));
    let handle: Handle<D> = agent.handle();
    let failed = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&failed);
    let agent = agent.settings(settings).observe(move |event: &Event<D>| {
        if let Event::Failed { .. } = event {
            told.lock().unwrap().push(format!("{event:?}"));
        }
    });
    let transport = script.clone();
    let running = thread::spawn(move || agent.run_blocking(MemoryStore::default(), &transport));
    let began = Instant::now();
    while !done(script) {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", failed.lock().unwrap());
        thread::sleep(Duration::from_millis(5));
    }
    handle.stop();
    running.join().unwrap().unwrap();
}

const CHECKIN: &str = "/acusight/api/core/agent/checkin";
const NOTIFY: &str = "/acusight/api/data/agent/images/notify";

#[test]
fn a_device_does_an_action_once_however_often_it_is_handed_over() {
    let action = r#"{"success":true,"pending_actions":[{"id":7,"type":"model_update","model_id":"m","status":"pending"}]}"#;
    let script = Script::default().answer(CHECKIN, &[(200, action)]);
    let done = Arc::new(Mutex::new(0));
    let count = Arc::clone(&done);
    let agent = acusight::Agent::provisioned("http://fleet.test/acusight/api/", "ABCD:1234", "adk_1")
        .unwrap()
        .report(|| CheckinRequest::new(""))
        .on("model_update", move |action: &DeviceAction, _: &Context<acusight::Acusight>| {
            assert_eq!(action.model_id.as_ref().unwrap().as_str(), "m");
            *count.lock().unwrap() += 1;
            Ok(())
        });
    run(agent, &script, |script| script.sent(CHECKIN).len() > 4);
    assert_eq!(*done.lock().unwrap(), 1);
    let sent = script.sent(CHECKIN);
    assert_eq!(sent[0].headers()["x-device-key"], "adk_1");
    assert_eq!(sent[0].body(), r#"{"device_id":"ABCD:1234"}"#);
}

#[test]
fn an_action_that_is_asked_for_anew_is_done_anew() {
    let none = r#"{"success":true,"pending_actions":[]}"#;
    let action = r#"{"success":true,"pending_actions":[{"type":"model_update","model_id":"m"}]}"#;
    let script =
        Script::default().answer(CHECKIN, &[(200, action), (200, action), (200, none), (200, action)]);
    let done = Arc::new(Mutex::new(0));
    let count = Arc::clone(&done);
    let agent = acusight::Agent::provisioned("http://fleet.test/acusight/api", "ABCD:1234", "adk_1")
        .unwrap()
        .report(|| CheckinRequest::new(""))
        .on("model_update", move |_: &DeviceAction, _: &Context<acusight::Acusight>| {
            *count.lock().unwrap() += 1;
            Ok(())
        });
    run(agent, &script, |script| script.sent(CHECKIN).len() > 7);
    assert_eq!(*done.lock().unwrap(), 2);
}

#[test]
fn notifications_go_in_order_and_one_that_is_refused_for_good_lets_the_others_by() {
    let taken = (201, r#"{"success":true,"image_id":"i","batch_id":"b"}"#);
    let script = Script::default()
        .answer(CHECKIN, &[(200, r#"{"success":true,"pending_actions":[]}"#)])
        .answer(NOTIFY, &[(400, r#"{"error":"bad"}"#), taken]);
    let agent = acusight::Agent::provisioned("http://fleet.test/acusight/api", "ABCD:1234", "adk_1")
        .unwrap()
        .report(|| CheckinRequest::new(""));
    for name in ["a", "b", "c"] {
        agent.handle().post(ImageNotificationRequest::new("ABCD:1234", name, name, 640, 480));
    }
    run(agent, &script, |script| script.sent(NOTIFY).len() == 3);
    for (request, name) in script.sent(NOTIFY).iter().zip(["a", "b", "c"]) {
        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(body["storage_key"], name);
    }
}

#[test]
fn an_agent_of_zstack_reports_to_its_own_record() {
    let path = "/zstack/api/v1/agents/agent-1/heartbeat";
    let script = Script::default().answer(path, &[(200, r#"{"uuid":"agent-1"}"#)]);
    let agent = zstack::Agent::registered("http://fleet.test/zstack", "agent-1", "zsk_1")
        .unwrap()
        .report(|| fleetwire_client::protocol::zstack::HeartbeatRequest::new("1.2.3", 60, 12.5, 35));
    run(agent, &script, |script| script.sent(path).len() > 2);
    let sent = script.sent(path);
    assert_eq!(
        (sent[0].method(), &sent[0].headers()["authorization"]),
        (&http::Method::PUT, &"Bearer zsk_1".parse().unwrap())
    );
    assert_eq!(sent[0].body(), r#"{"version":"1.2.3","uptime":60,"cpuUsage":12.5,"memUsage":35}"#);
}

fn host() -> HeartbeatRequest {
    let facts = HostFacts::new(
        "h",
        "10.0.0.1",
        Network::new("10.0.0.1", "192.0.2.1"),
        "linux",
        "6",
        "x86_64",
        TextOr::Text("cpu".to_owned()),
        4,
        16,
        Disk::new(2, 1),
        100,
        HostRuntime::new("r", "1"),
    );
    let agent = AgentReport::new(1, "a", TextOr::Text("me".to_owned()));
    HeartbeatRequest::new(
        RuntimeMeta::new(Runtime::new("r", "1")),
        HostReport::new("f".repeat(64), "h", facts),
        agent,
    )
}

#[test]
fn a_host_of_agentmc_keeps_to_the_interval_that_the_server_asks_for() {
    let path = "/agentmc/api/v1/agents/heartbeat";
    let answer = |seconds: u32| {
        format!(
            r#"{{"ok":true,"server_time":"2026-03-21T14:30:00Z","defaults":{{"heartbeat_interval_seconds":{seconds}}}}}"#
        )
    };
    // An interval of nothing is none, and the settings hold; then ten minutes.
    let script = Script::default().answer(path, &[(200, &answer(0)), (200, &answer(600))]);
    let agent = agentmc::Agent::with_key("http://fleet.test/agentmc/api/v1", "cc_1").unwrap().report(host);
    let seen = Mutex::new(None);
    run(agent, &script, |script| {
        let mut seen = seen.lock().unwrap();
        if script.sent(path).len() == 2 {
            // Long enough for four more at the old interval.
            return seen.get_or_insert_with(Instant::now).elapsed() > Duration::from_millis(250);
        }
        false
    });
    let sent = script.sent(path);
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].headers()["x-api-key"], "cc_1");
    assert_eq!(sent[0].headers()["x-host-fingerprint"], "f".repeat(64).as_str());
    assert_eq!(Nobody.cause(), Cause::Unreachable);
}

/// An agent's machine under a virtual clock, and what it has done.
struct Driven<D: Dialect, S = MemoryStore> {
    machine: Machine<D>,
    store: S,
    now: Duration,
    sent: Vec<(u64, Request<Bytes>)>,
    begun: Vec<String>,
    events: Vec<String>,
    stopped: Option<Stopped>,
}

/// The answer to a request at a second; `None` if none comes.
type Served = Option<Response<Bytes>>;

fn said(status: u16, body: impl Into<String>) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::from(body.into())).unwrap()
}

impl<D: Dialect, S: Store> Driven<D, S> {
    fn start(dialect: D, store: S) -> Self {
        let moment = at(Duration::ZERO, 1);
        let mut store = store;
        let saved = store.load().unwrap();
        let machine = Machine::start(dialect, Settings::default(), &saved, &moment, None).unwrap();
        let (now, sent, begun, events) = (Duration::ZERO, Vec::new(), Vec::new(), Vec::new());
        Self { machine, store, now, sent, begun, events, stopped: None }
    }

    /// Lives until a second.
    fn until(
        &mut self,
        second: u64,
        report: impl Fn() -> D::Report,
        mut serve: impl FnMut(&Request<Bytes>, u64) -> Served,
        mut work: impl FnMut(&D::Work) -> Ending<D::Outcome>,
    ) {
        let (end, mut random) = (Duration::from_secs(second), 7_u64);
        let mut steps = 0;
        while self.now < end && self.stopped.is_none() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            steps += 1;
            assert!(steps < 100_000, "the agent does not come to rest: {:?}", self.events);
            let moment = at(self.now, random);
            let input = match self.machine.next(&moment) {
                Command::Send(request) => {
                    let answer = serve(&request, self.now.as_secs());
                    self.sent.push((self.now.as_secs(), request));
                    let none = NoAnswer { cause: Cause::Timeout, text: "lost".to_owned() };
                    Input::Answered(answer.ok_or(none))
                }
                Command::Persist(change) => {
                    Input::Persisted(self.store.apply(&change).map_err(|error| error.to_string()))
                }
                Command::Collect => Input::Collected(report()),
                Command::Run(assignment) => {
                    self.begun.push(D::work_id(&assignment.work));
                    Input::Ended { run: assignment.run, ending: work(&assignment.work) }
                }
                Command::Cancel(run) => Input::Ended { run, ending: Ending::Canceled },
                Command::Report(event) => {
                    self.events.push(format!("{event:?}"));
                    continue;
                }
                Command::Wait(until) => {
                    self.now = until.unwrap_or(end).max(self.now + Duration::from_millis(1)).min(end);
                    continue;
                }
                Command::Stopped(stopped) => {
                    self.stopped = Some(stopped);
                    continue;
                }
            };
            self.machine.input(&at(self.now, random), input);
        }
    }

    fn post(&mut self, message: D::Message) {
        self.machine.input(&at(self.now, 3), Input::Post(message));
    }

    /// The second and the body of each request whose path ends so.
    fn bodies(&self, path: &str) -> Vec<(u64, serde_json::Value)> {
        let sent = self.sent.iter().filter(|(_, request)| request.uri().path().ends_with(path));
        sent.map(|(second, request)| (*second, serde_json::from_slice(request.body()).unwrap())).collect()
    }

    fn count(&self, event: &str) -> usize {
        self.events.iter().filter(|told| told.contains(event)).count()
    }
}

fn at(now: Duration, random: u64) -> Moment {
    let wall = DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::from_std(now).unwrap();
    Moment { monotonic: now, wall, random }
}

fn device(id: &str) -> acusight::Report {
    CheckinRequest::new(id).into()
}

fn newcomer(base: &str) -> acusight::Acusight {
    acusight::Acusight::newcomer(base, "apt_1".into(), DeviceInfo::new("ABCD:1234"))
}

fn nothing_to_do(_: &DeviceAction) -> Ending<()> {
    panic!("there is nothing to do")
}

/// A server that provisions and tells this address.
fn provisioning(endpoint: &'static str) -> impl FnMut(&Request<Bytes>, u64) -> Served {
    move |request, _| {
        Some(if request.uri().path().ends_with("/devices/provision") {
            let data = format!(r#"{{"device_id":"cam-7","api_key":"adk_1","api_endpoint":"{endpoint}"}}"#);
            said(201, format!(r#"{{"success":true,"data":{data}}}"#))
        } else {
            said(200, r#"{"success":true}"#)
        })
    }
}

#[test]
fn a_device_trades_its_token_for_a_key_and_reports_where_it_is_told() {
    // AC-9: the address has no /api.
    for (told, reports_to) in [
        ("https://cloud.test", "https://cloud.test/api/core/agent/checkin"),
        ("https://cloud.test/api/", "https://cloud.test/api/core/agent/checkin"),
        ("http://cloud.test", "https://fleet.test/api/core/agent/checkin"),
        ("https://user:pass@cloud.test", "https://fleet.test/api/core/agent/checkin"),
        ("no address", "https://fleet.test/api/core/agent/checkin"),
    ] {
        let mut agent = Driven::start(newcomer("https://fleet.test/api"), MemoryStore::default());
        agent.until(90, || device(""), provisioning(told), nothing_to_do);
        assert_eq!(agent.sent[0].1.uri(), "https://fleet.test/api/devices/provision");
        let (_, first) = &agent.sent[1];
        assert_eq!(
            (first.uri().to_string().as_str(), first.headers()["x-device-key"].to_str().unwrap()),
            (reports_to, "adk_1")
        );
        assert_eq!(first.body(), r#"{"device_id":"cam-7"}"#, "the server's word for the device");
        // The next process is the same device.
        let sent = agent.sent.len();
        let mut agent = Driven::start(newcomer("https://fleet.test/api"), agent.store);
        agent.until(30, || device(""), provisioning("https://elsewhere.test"), nothing_to_do);
        assert!(sent >= 3 && agent.sent.iter().all(|(_, request)| *request.uri() == *reports_to));
    }
}

#[test]
fn a_device_that_is_registered_already_ends_and_says_what_helps() {
    let taken = r#"{"success":false,"error":{"code":"DEVICE_EXISTS","message":"The device is registered."}}"#;
    let mut agent = Driven::start(newcomer("http://fleet.test/api"), MemoryStore::default());
    agent.until(600, || device(""), |_, _| Some(said(409, taken)), nothing_to_do);
    assert_eq!(agent.sent.len(), 1, "asking again does not help");
    let Some(Stopped::NotTakenIn(trouble)) = agent.stopped else { panic!("{:?}", agent.stopped) };
    assert!(!trouble.is_retryable() && trouble.is_from_server());
    for part in ["DEVICE_EXISTS", "\"ABCD:1234\"", "state folder", "operator"] {
        assert!(trouble.to_string().contains(part), "{trouble}");
    }
}

#[test]
fn a_provisioning_that_lost_a_race_is_tried_again_and_one_with_a_bad_token_is_not() {
    let lost = r#"{"success":false,"error":{"code":"CONFLICT","message":"another was first"}}"#;
    let bad = r#"{"success":false,"error":{"code":"TOKEN_EXPIRED","message":"its time is over"}}"#;
    let mut asked = 0;
    let serve = |_: &Request<Bytes>, _| {
        asked += 1;
        Some(if asked == 1 { said(409, lost) } else { said(401, bad) })
    };
    let mut agent = Driven::start(newcomer("http://fleet.test/api"), MemoryStore::default());
    agent.until(600, || device(""), serve, nothing_to_do);
    assert_eq!(agent.sent.len(), 2);
    assert!(
        matches!(agent.stopped, Some(Stopped::NotTakenIn(trouble)) if trouble.text.contains("TOKEN_EXPIRED"))
    );
}

/// The address is another's, or the server is not all there yet: that says nothing of the token.
#[test]
fn who_enrols_where_nobody_knows_how_goes_on_until_somebody_does() {
    let nobody = |body: &'static str| {
        let mut asked = 0;
        move |request: &Request<Bytes>, _: u64| {
            let enrols = request.method() == "POST" && !request.uri().path().ends_with("checkin");
            asked += u32::from(enrols);
            Some(match request.uri().path() {
                _ if enrols && asked < 4 => said(404, body),
                "/api/devices/provision" => said(
                    201,
                    r#"{"success":true,"data":{"api_key":"adk_1","device_id":"ABCD:1234","endpoint":"http://fleet.test/api"}}"#,
                ),
                "/api/v1/agents" => said(200, r#"{"uuid":"agent-7","name":"edge"}"#),
                "/api/v1/agents/agent-7/heartbeat" => said(200, r#"{"uuid":"agent-7"}"#),
                _ => said(200, r#"{"success":true,"pending_actions":[]}"#),
            })
        }
    };
    for body in ["<html>", r#"{"success":false,"error":{"code":"NOT_FOUND","message":"no such route"}}"#] {
        let mut agent = Driven::start(newcomer("http://fleet.test/api"), MemoryStore::default());
        agent.until(100, || device(""), nobody(body), nothing_to_do);
        assert_eq!((&agent.stopped, agent.count("Enrolled")), (&None, 1), "{:?}", agent.events);
        assert!(agent.count("Taken") > 1, "{:?}", agent.events);
    }
    for body in ["<html>", r#"{"error":{"code":"SYS.1006","description":"no such route"}}"#] {
        let mut agent = Driven::start(registering("zsk_1"), MemoryStore::default());
        agent.until(100, zstack_report, nobody(body), |work| match *work {});
        assert_eq!((&agent.stopped, agent.count("Enrolled")), (&None, 1), "{:?}", agent.events);
    }
}

#[test]
fn an_action_is_done_once_for_its_id_in_whichever_process_and_whatever_came_of_it() {
    let offered = |second: u64| {
        // Away for a while, as behind a server that has just come back.
        let actions = if (100..200).contains(&second) {
            "[]"
        } else {
            r#"[{"id":7,"type":"model_update","model_id":"m"},{"id":"act_8","type":"reboot"},{"type":"model_update","model_id":"n"}]"#
        };
        Some(said(200, format!(r#"{{"success":true,"pending_actions":{actions}}}"#)))
    };
    let dialect = || acusight::Acusight::new("http://fleet.test/api", "ABCD:1234", "adk_1");
    let failing = |_: &DeviceAction| Ending::Failed("no".to_owned());
    let mut agent = Driven::start(dialect(), MemoryStore::default());
    agent.until(300, || device(""), |_, second| offered(second), failing);
    assert_eq!(agent.begun, ["7", "act_8", "? model_update n", "? model_update n"]);
    let mut agent = Driven::start(dialect(), agent.store);
    agent.until(90, || device(""), |_, second| offered(second), failing);
    assert!(agent.begun.is_empty(), "{:?}", agent.begun);
}

#[test]
fn a_server_that_hands_over_more_actions_than_can_be_remembered_has_none_done_twice() {
    let actions: Vec<_> = (0..600).map(|id| format!(r#"{{"id":{id},"type":"reboot"}}"#)).collect();
    let answer = format!(r#"{{"success":true,"pending_actions":[{}]}}"#, actions.join(","));
    let dialect = acusight::Acusight::new("http://fleet.test/api", "ABCD:1234", "adk_1");
    let mut agent = Driven::start(dialect, MemoryStore::default());
    agent.until(3600, || device(""), |_, _| Some(said(200, answer.as_str())), |_| Ending::Done(()));
    let mut once = agent.begun.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), agent.begun.len());
    assert!(once.len() >= 200 && agent.count("TurnedAway") > 0, "{}", once.len());
}

#[test]
fn a_device_may_report_at_its_own_check_in_and_gets_its_actions_there() {
    let dialect = acusight::Acusight::new("http://fleet.test/api", "ABCD:1234", "adk_1");
    let report = || {
        let mut report = DeviceCheckinRequest::default();
        report.status = Some(DeviceHealth::Degraded);
        report.into()
    };
    let answer = r#"{"success":true,"data":{"actions":[{"id":7,"type":"reboot"}]}}"#;
    let mut agent = Driven::start(dialect, MemoryStore::default());
    agent.until(60, report, |_, _| Some(said(200, answer)), |_| Ending::Done(()));
    assert_eq!(agent.begun, ["7"]);
    assert_eq!(agent.bodies("/device/checkin")[0].1, serde_json::json!({ "status": "degraded" }));
    assert_eq!(agent.bodies("/device/checkin").len(), agent.sent.len());
}

#[test]
fn what_a_device_asks_for_and_which_model_it_runs_is_in_its_report() {
    let dialect = acusight::Acusight::new("http://fleet.test/api", "ABCD:1234", "adk_1");
    let report = || {
        let mut report = CheckinRequest::new("");
        report.current_model_id = Some("m".into());
        let mut request = DeviceRequest::default();
        request.kind = Some("credentials".to_owned());
        report.pending_requests.push(request);
        report.into()
    };
    let mut agent = Driven::start(dialect, MemoryStore::default());
    agent.until(10, report, |_, _| Some(said(200, r#"{"success":true}"#)), nothing_to_do);
    let body = serde_json::json!({
        "device_id": "ABCD:1234", "current_model_id": "m", "pending_requests": [{ "type": "credentials" }],
    });
    assert_eq!(agent.bodies("/checkin")[0].1, body);
}

#[test]
fn a_notification_without_a_slot_waits_as_long_as_the_server_asks_and_check_ins_go_on() {
    let dialect = acusight::Acusight::new("http://fleet.test/api", "ABCD:1234", "adk_1");
    let mut agent = Driven::start(dialect, MemoryStore::default());
    let mut image = ImageNotificationRequest::new("ABCD:1234", "a.jpg", "images/a.jpg", 640, 480);
    let mut defect = AnnotationData::default();
    (defect.class_value, defect.confidence) = (Some("defect".to_owned()), Some(0.5.into()));
    image.annotations.push(defect);
    agent.post(image);
    let mut asked = 0;
    let serve = |request: &Request<Bytes>, _| {
        if !request.uri().path().ends_with("/notify") {
            return Some(said(200, r#"{"success":true}"#));
        }
        asked += 1;
        let mut full = said(503, r#"{"error":"no slot"}"#);
        full.headers_mut().insert("retry-after", "120".parse().unwrap());
        // The second time it is taken and its answer is lost; a repeated one is fine.
        [Some(full), None, Some(said(201, r#"{"success":true,"image_id":"i"}"#))]
            .into_iter()
            .nth(asked - 1)?
    };
    agent.until(600, || device(""), serve, nothing_to_do);
    let sent = agent.bodies("/notify");
    assert_eq!(sent.len(), 3, "{:?}", agent.events);
    assert!(sent[1].0 - sent[0].0 >= 120, "{sent:?}");
    assert_eq!((&sent[0].1["annotations"][0]["class_value"], &sent[0].1), (&"defect".into(), &sent[2].1));
    let between = agent.bodies("/checkin").into_iter().filter(|(second, _)| *second < sent[1].0).count();
    assert!(between >= 4, "{between} check-ins while the image waited");
    assert_eq!((agent.machine.waiting(), agent.machine.failures()), (0, 0));
}

fn zstack_report() -> zstack::Report {
    zstack::Report::with_queue(zstack_proto::HeartbeatRequest::new("1.2.3", 60, 12.5, 35), 4)
}

fn registering(token: &str) -> zstack::ZStack {
    let agent = zstack_proto::RegisterRequest::new("edge", "log", "1.2.3", "http://10.0.0.1:7890", "plat-1");
    zstack::ZStack::newcomer("http://fleet.test", token, agent)
}

#[test]
fn an_agent_registers_once_and_takes_a_new_token_of_its_tenant() {
    let serve = |request: &Request<Bytes>, _| {
        Some(match (request.method().as_str(), request.uri().path()) {
            ("POST", "/api/v1/agents") => said(200, r#"{"uuid":"agent-7","name":"edge"}"#),
            ("PUT", "/api/v1/agents/agent-7/heartbeat") => said(200, r#"{"uuid":"agent-7"}"#),
            other => panic!("{other:?}"),
        })
    };
    let mut agent = Driven::start(registering("zsk_1"), MemoryStore::default());
    agent.until(150, zstack_report, serve, |work| match *work {});
    assert_eq!(agent.sent.iter().filter(|(_, request)| request.method() == "POST").count(), 1);
    assert_eq!(agent.bodies("/agents")[0].1["platformId"], "plat-1");
    assert!(agent.sent.iter().all(|(_, request)| request.headers()["authorization"] == "Bearer zsk_1"));
    let mut agent = Driven::start(registering("zsk_2"), agent.store);
    agent.until(150, zstack_report, serve, |work| match *work {});
    let (_, last) = agent.sent.last().unwrap();
    assert_eq!(
        (last.method().as_str(), last.headers()["authorization"].to_str().unwrap()),
        ("PUT", "Bearer zsk_2")
    );
    assert_eq!(agent.count("KeyChanged"), 1);
}

#[test]
fn an_agent_that_announces_itself_goes_by_the_id_that_is_confirmed() {
    let dialect = || zstack::ZStack::announcing("http://fleet.test", "zsk_1", "mine", "Edge", "log");
    let serve = |_: &Request<Bytes>, _| Some(said(200, r#"{"accepted":true,"agentId":"yours"}"#));
    let mut agent = Driven::start(dialect(), MemoryStore::default());
    agent.until(150, zstack_report, serve, |work| match *work {});
    let sent = agent.bodies("/api/v1/agents/heartbeat");
    let first = serde_json::json!({
        "agentId": "mine", "name": "Edge", "type": "log", "version": "1.2.3", "uptime": 60, "cpu": 12.5,
        "memory": 35, "queueDepth": 4,
    });
    assert_eq!((sent.len(), &sent[0].1), (agent.sent.len(), &first));
    assert!(sent.len() >= 2 && sent[1..].iter().all(|(_, body)| body["agentId"] == "yours"));
    let refuse = |_: &Request<Bytes>, _| Some(said(200, r#"{"accepted":false}"#));
    let mut agent = Driven::start(dialect(), MemoryStore::default());
    agent.until(150, zstack_report, refuse, |work| match *work {});
    assert!(agent.machine.failures() >= 2 && agent.count("Taken") == 0, "{:?}", agent.events);
}

const TAKEN: &str = r#"{"ok":true,"server_time":"2024-10-04T00:00:00Z"}"#;

fn command(id: u32) -> String {
    format!(
        r#"{{"id":{id},"type":"agent.provision","provider":"openclaw","payload":{{"agent_name":"J","runtime_key":"main"}}}}"#
    )
}

fn with_commands(ids: impl IntoIterator<Item = u32>) -> String {
    let commands: Vec<_> = ids.into_iter().map(command).collect();
    format!(r#"{}, "host_runtime_commands":[{}]}}"#, TAKEN.trim_end_matches('}'), commands.join(","))
}

fn hosted() -> agentmc::AgentMc {
    agentmc::AgentMc::new("http://fleet.test/api/v1", "cc_1")
}

fn provisioned(_: &RuntimeCommand) -> Ending<FreeMap> {
    Ending::Done(FreeMap([("runtime_key".to_owned(), "main".into())].into()))
}

fn updates(body: &serde_json::Value) -> Vec<i64> {
    let updates = body["host_runtime_updates"].as_array().into_iter().flatten();
    updates.map(|update| update["id"].as_i64().unwrap()).collect()
}

#[test]
fn a_command_is_done_once_and_its_end_travels_with_heartbeats_until_one_was_taken() {
    let mut told = 0;
    let serve = |request: &Request<Bytes>, second: u64| {
        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        if updates(&body).is_empty() {
            // Handed over again afterwards as well.
            return Some(said(200, with_commands([3])));
        }
        told += 1;
        match told {
            1 => None,
            2 => Some(said(503, "{}")),
            _ => {
                assert!(second >= 60);
                Some(said(200, with_commands([3])))
            }
        }
    };
    let mut agent = Driven::start(hosted(), MemoryStore::default());
    agent.until(600, host, serve, provisioned);
    assert_eq!(agent.begun, ["3"]);
    let sent = agent.bodies("/heartbeat");
    assert_eq!((sent[0].0, sent[1].0), (0, 0), "one extra heartbeat at once");
    let update = serde_json::json!({ "id": 3, "status": "completed", "result": { "runtime_key": "main" } });
    for (_, body) in &sent[1..4] {
        assert_eq!(body["host_runtime_updates"], serde_json::json!([update]));
    }
    assert!(sent.len() > 5 && sent[4..].iter().all(|(_, body)| updates(body).is_empty()));
}

#[test]
fn an_end_that_waits_is_kept_for_the_next_process() {
    let mut agent = Driven::start(hosted(), MemoryStore::default());
    let deaf = |_: &Request<Bytes>, second| (second == 0).then(|| said(200, with_commands([3])));
    let mut first = true;
    let once =
        |request: &Request<Bytes>, second| deaf(request, second).filter(|_| std::mem::take(&mut first));
    agent.until(30, host, once, |_| Ending::Failed("no room".to_owned()));
    let mut agent = Driven::start(hosted(), agent.store);
    agent.until(30, host, |_, _| Some(said(200, with_commands([3]))), |_| panic!("done twice"));
    let update = serde_json::json!([{ "id": 3, "status": "failed", "error": "no room" }]);
    assert_eq!(agent.bodies("/heartbeat")[0].1["host_runtime_updates"], update);
    assert_eq!(agent.machine.waiting(), 0);
}

#[test]
fn an_end_that_the_server_does_not_take_silences_neither_the_host_nor_the_other_ends() {
    let mut handed_over = false;
    let mut taken = Vec::new();
    let serve = |request: &Request<Bytes>, _| {
        let updates = updates(&serde_json::from_slice(request.body()).unwrap());
        if updates.contains(&2) {
            return Some(said(422, r#"{"error":{"code":"validation.failed","message":"no"}}"#));
        }
        taken.extend(updates);
        let commands = if std::mem::replace(&mut handed_over, true) { vec![] } else { vec![1, 2, 3] };
        Some(said(200, with_commands(commands)))
    };
    let mut agent = Driven::start(hosted(), MemoryStore::default());
    agent.until(1200, host, serve, provisioned);
    assert_eq!(agent.begun, ["1", "2", "3"]);
    taken.sort_unstable();
    assert_eq!(taken, [1, 3], "{:?}", agent.events);
    assert_eq!(agent.count("Dropped"), 1);
    assert_eq!((agent.machine.waiting(), agent.machine.failures()), (0, 0));
}

#[test]
fn a_server_that_answers_each_heartbeat_with_a_command_is_not_reported_to_in_a_loop() {
    let mut next = 0;
    let serve = |_: &Request<Bytes>, _| {
        next += 1;
        Some(said(200, with_commands([next])))
    };
    let mut agent = Driven::start(hosted(), MemoryStore::default());
    agent.until(100, host, serve, provisioned);
    assert!((15..=23).contains(&agent.sent.len()), "{} heartbeats in 100 s", agent.sent.len());
}

#[test]
fn a_host_may_ask_for_instructions_first_and_reports_without_them_too() {
    let bundle = r#"{"ok":true,"changed":true,"bundle_version":"b1","generated_at":"2024-10-04T00:00:00Z",
        "defaults":{"heartbeat_interval_seconds":300},"agent":{"id":42},
        "files":[{"id":"f","path":"AGENTS.md","content":"x","sha256":"y"}]}"#;
    let run = |answer: fn(usize, &str) -> Served| {
        let params = InstructionsParams { acting: Some(42.into()), ..Default::default() };
        let mut asked = 0;
        let serve = move |request: &Request<Bytes>, _| {
            if request.method() != "GET" {
                return Some(said(200, TAKEN));
            }
            assert_eq!(request.headers()["x-agent-id"], "42");
            asked += 1;
            answer(asked, bundle)
        };
        let mut agent = Driven::start(hosted().with_instructions(params), MemoryStore::default());
        agent.until(1000, host, serve, provisioned);
        let sent = agent.sent.iter().map(|(second, request)| (*second, request.method() == "GET"));
        (sent.collect::<Vec<_>>(), agent.count("Instructed"), agent.machine.failures())
    };
    let (sent, instructed, failures) = run(|_, bundle| Some(said(200, bundle)));
    assert_eq!((&sent[..2], instructed, failures), (&[(0, true), (0, false)][..], 1, 0));
    assert!(sent.iter().filter(|(_, asks)| *asks).count() == 1 && sent.len() <= 6, "every 300 s: {sent:?}");
    // Nobody there at first: asked again before the next heartbeat.
    let (sent, instructed, _) = run(|asked, bundle| (asked > 1).then(|| said(200, bundle)));
    assert_eq!((&sent[..2], instructed), (&[(0, true), (0, false)][..], 1));
    // The server has none for it: never asked again.
    let (sent, instructed, failures) =
        run(|_, _| Some(said(404, r#"{"error":{"code":"x","message":"no"}}"#)));
    assert_eq!((instructed, failures, sent.iter().filter(|(_, asks)| *asks).count()), (0, 0, 1));
    assert!(sent.len() > 14, "every minute: {sent:?}");
}

#[test]
fn a_host_whose_server_knows_only_the_newer_path_finds_it_and_keeps_to_it() {
    for (status, body) in [(404, "<html>"), (405, "<html>"), (404, r#"{"error":{"code":"x","message":"y"}}"#)]
    {
        let serve = |request: &Request<Bytes>, _| {
            let newer = request.uri() == "http://fleet.test/api/v1/hosts/heartbeat";
            Some(if newer { said(200, TAKEN) } else { said(status, body) })
        };
        let mut agent = Driven::start(hosted(), MemoryStore::default());
        agent.until(300, host, serve, provisioned);
        let older = agent.bodies("/agents/heartbeat").len();
        assert_eq!((older, agent.count("Failed")), (1, 0), "{:?}", agent.events);
        assert!(agent.sent.len() > 4);
    }
    // Known under neither: two requests for each heartbeat, and no more.
    let mut agent = Driven::start(hosted(), MemoryStore::default());
    agent.until(290, host, |_, _| Some(said(404, "<html>")), provisioned);
    assert_eq!(agent.sent.len(), agent.count("Failed") * 2);
    assert!(agent.count("Failed") >= 4, "{:?}", agent.events);
}

#[test]
fn a_key_that_is_refused_in_the_vendors_words_is_told_and_kept() {
    for (status, code) in [
        (401, "auth.invalid_api_key"),
        (403, "auth.insufficient_scope"),
        (403, "auth.api_key_expired"),
        (404, "auth.team_not_found"),
        (400, "auth.unsupported_token"),
    ] {
        let refusal = format!(r#"{{"error":{{"code":"{code}","message":"no"}}}}"#);
        let serve = |_: &Request<Bytes>, second| {
            Some(if second < 3600 { said(status, refusal.as_str()) } else { said(200, TAKEN) })
        };
        let mut agent = Driven::start(hosted(), MemoryStore::default());
        agent.until(3600 + 2000, host, serve, provisioned);
        assert_eq!(agent.count("KeysRefused"), 1, "{code}: {:?}", agent.events);
        assert!(agent.events.iter().any(|event| event.contains("Failed") && event.contains(code)));
        assert_eq!(agent.machine.failures(), 0, "it comes back with the same key");
        assert!(agent.sent.iter().all(|(_, request)| request.headers()["x-api-key"] == "cc_1"));
    }
}

#[test]
fn a_host_reports_all_agents_that_run_on_it() {
    let report = || {
        let mut report = host();
        report.agents =
            ["one", "two"].map(|name| AgentReport::new(1, name, TextOr::Text("me".to_owned()))).into();
        report.agent = None;
        report
    };
    let mut agent = Driven::start(hosted(), MemoryStore::default());
    agent.until(10, report, |_, _| Some(said(200, TAKEN)), provisioned);
    let body = &agent.bodies("/heartbeat")[0].1;
    assert_eq!((body["agents"].as_array().unwrap().len(), body.get("agent")), (2, None));
}

/// The failures are the system's own: the folder of the spool is no folder for a while.
#[test]
fn a_folder_that_cannot_be_written_to_holds_ends_back_and_no_heartbeat() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, aside) = (folder.path().join("spool"), folder.path().join("aside"));
    let mut agent = Driven::start(hosted(), DiskStore::open(folder.path()).unwrap());
    agent.until(10, host, |_, _| Some(said(200, TAKEN)), provisioned);
    std::fs::rename(&spool, &aside).unwrap();
    std::fs::write(&spool, "no folder").unwrap();
    let serve = |_: &Request<Bytes>, _| Some(said(200, with_commands([3])));
    agent.until(300, host, serve, provisioned);
    assert!(agent.count("StoreFailed") > 3, "{:?}", agent.events);
    let sent = agent.bodies("/heartbeat");
    assert!(sent.len() > 4 && sent.iter().all(|(_, body)| updates(body).is_empty()), "{:?}", agent.events);
    std::fs::remove_file(&spool).unwrap();
    std::fs::rename(&aside, &spool).unwrap();
    agent.until(500, host, serve, provisioned);
    let told: Vec<_> = agent.bodies("/heartbeat").iter().flat_map(|(_, body)| updates(body)).collect();
    assert_eq!((agent.begun, told, agent.machine.waiting()), (vec!["3".to_owned()], vec![3], 0));
}
