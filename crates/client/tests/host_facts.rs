//! What the machine says of itself is a report that each vendor's rules take.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use fleetwire_client::host::{Facts, Host};
use fleetwire_client::protocol::achilles::{AgentStatus, Heartbeat, HeartbeatRequest, SystemMetrics};
use fleetwire_client::protocol::acusight::{Checkin, CheckinRequest};
use fleetwire_client::protocol::agentmc::HostFingerprint;
use fleetwire_client::protocol::wire::Timestamp;
use fleetwire_client::protocol::zstack::AgentPath;
use fleetwire_client::protocol::{Call, agentmc, zstack};
use fleetwire_client::store::MemoryStore;
use fleetwire_client::{BlockingTransport, TransportError, acusight};
use fleetwire_validation::{Context, Validate, lint};
use http::{Request, Response};
use serde_json::Value;

fn facts() -> Facts {
    Host::new(".").facts()
}

fn breaks<E: Validate>(call: &Call<E>) -> Vec<String> {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    lint(call, &Context::at(now)).iter().map(ToString::to_string).collect()
}

#[test]
fn every_vendors_report_of_this_machine_keeps_the_rules() {
    let mut facts = facts();
    // A machine without a network has no report for the one vendor that requires an address.
    facts.ip = Some("192.0.2.1".parse().unwrap());
    let now = Timestamp::millis(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    let system = SystemMetrics::from(&facts);
    let none = Vec::<String>::new();
    let beat = HeartbeatRequest::new(now, AgentStatus::Idle, system, "1.0.0");
    assert_eq!(breaks(&Call::<Heartbeat>::new(beat)), none);
    let mut checkin = CheckinRequest::from(&facts);
    checkin.device_id = "cam-1".into();
    assert_eq!(breaks(&Call::<Checkin>::new(checkin)), none);
    let call = Call::<zstack::Heartbeat>::with(AgentPath::new("agent-1"), facts.for_zstack("1.0.0"));
    assert_eq!(breaks(&call), none);
    let fingerprint = "0".repeat(64);
    let report = facts.for_agentmc(&fingerprint, 42, "edge", "1.0.0").unwrap();
    assert_eq!(breaks(&Call::<agentmc::Heartbeat>::with(HostFingerprint::default(), report)), none);
    facts.ip = None;
    assert_eq!(facts.for_agentmc(&fingerprint, 42, "edge", "1.0.0"), None);
}

#[test]
fn facts_of_a_machine_that_says_nothing_keep_the_rules_as_well() {
    let mut facts = facts();
    (facts.os_version, facts.cpu, facts.memory, facts.disk, facts.disk_free) =
        (String::new(), String::new(), 0, 0, 0);
    facts.ip = Some("2001:db8::1".parse().unwrap());
    let report = facts.for_agentmc(&"0".repeat(64), 42, "edge", "1.0.0").unwrap();
    let call = Call::<agentmc::Heartbeat>::with(HostFingerprint::default(), report);
    assert_eq!(breaks(&call), Vec::<String>::new());
    let call = Call::<zstack::Heartbeat>::with(AgentPath::new("agent-1"), facts.for_zstack("1.0.0"));
    assert_eq!(breaks(&call), Vec::<String>::new());
}

#[test]
fn the_operating_system_and_the_architecture_are_in_the_vendors_words() {
    let mut facts = facts();
    (facts.os, facts.arch) = ("macos", "aarch64");
    let system = SystemMetrics::from(&facts);
    assert_eq!((system.os.as_str(), system.arch.as_str()), ("darwin", "arm64"));
    (facts.os, facts.arch) = ("linux", "x86_64");
    let system = SystemMetrics::from(&facts);
    assert_eq!((system.os.as_str(), system.arch.as_str()), ("linux", "amd64"));
}

#[cfg(target_os = "linux")]
#[test]
fn the_figures_are_the_machines_own() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let mut host = Host::new(".");
    host.facts();
    let facts = host.facts();
    assert_eq!(facts.hostname, read("/proc/sys/kernel/hostname").trim());
    let uptime: f64 = read("/proc/uptime").split(' ').next().unwrap().parse().unwrap();
    assert!((facts.uptime.as_secs_f64() - uptime).abs() < 5.0, "{:?} {uptime}", facts.uptime);
    assert!(facts.memory_used > 0 && facts.memory_used <= facts.memory, "{facts:?}");
    assert!(facts.process_memory > 0 && facts.process_memory < facts.memory, "{facts:?}");
    assert!(facts.disk > 0 && facts.disk_free <= facts.disk, "{facts:?}");
    assert!((0.0..=100.0).contains(&facts.cpu_percent), "{facts:?}");
    assert_eq!(facts.fingerprint, host.facts().fingerprint);
}

/// Takes every check-in, and hands on what it said.
struct Taken(Mutex<Sender<Value>>);

impl BlockingTransport for Taken {
    type Error = Unreachable;

    fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Unreachable> {
        self.0.lock().unwrap().send(serde_json::from_slice(request.body()).unwrap()).unwrap();
        Ok(Response::new(Bytes::from_static(br#"{"pending_actions":[],"success":true}"#)))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Unreachable;

impl TransportError for Unreachable {
    fn may_have_arrived(&self) -> bool {
        false
    }

    fn is_retryable(&self) -> bool {
        false
    }

    fn is_timeout(&self) -> bool {
        false
    }
}

#[test]
fn an_agent_without_a_source_of_reports_reports_its_machine() {
    let (tell, told) = channel();
    let agent = acusight::Agent::provisioned("https://fleet.example", "cam-1", "adk_00ff").unwrap();
    let handle = agent.handle();
    let running = thread::spawn(move || agent.run_blocking(MemoryStore::default(), &Taken(Mutex::new(tell))));
    let body = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!((&body["device_id"], &body["status"]), (&"cam-1".into(), &"healthy".into()), "{body}");
    handle.stop();
    running.join().unwrap().unwrap();
}
