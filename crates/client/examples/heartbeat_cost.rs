//! What one quiet heartbeat costs each vendor's machine, without a transport: asking for a report, writing the request,
//! reading the answer, planning the next. Time on this machine, and what is allocated.
//! `cargo run --release -p fleetwire-client --example heartbeat_cost`

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::error::Error;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use fleetwire_client::achilles::{Achilles, Applicant};
use fleetwire_client::acusight::{Acusight, Report};
use fleetwire_client::agent::{Command, Dialect, Event, Input, Machine, Moment, Settings};
use fleetwire_client::agentmc::AgentMc;
use fleetwire_client::protocol::achilles::{Arch, Os, SystemMetrics};
use fleetwire_client::protocol::acusight::CheckinRequest;
use fleetwire_client::protocol::agentmc as agentmc_proto;
use fleetwire_client::protocol::wire::TextOr;
use fleetwire_client::protocol::zstack::HeartbeatRequest;
use fleetwire_client::store::Saved;
use fleetwire_client::zstack::ZStack;
use http::{Response, header};

const ROUNDS: u32 = 200_000;
const START: DateTime<Utc> = DateTime::from_timestamp_nanos(1_774_103_400_000_000_000);

const ENROLLED: &str = r#"{"success":true,"data":{"agent_id":"agent-1","org_id":"org-1","agent_key":"ak_00ff","server_url":"https://fleet.example","poll_interval":86400}}"#;
const ACHILLES: &str =
    r#"{"success":true,"data":{"acknowledged":true,"server_time":"2026-03-21T14:30:01Z"}}"#;
const ACUSIGHT: &str = r#"{"success":true,"pending_actions":[]}"#;
const ZSTACK: &str = r#"{"uuid":"agent-1","name":"agent-1","type":"log","version":"1.2.3","status":"online","region":"us-east-1"}"#;
const AGENTMC: &str = r#"{"ok":true,"server_time":"2026-02-22T17:21:02Z","host":{"id":12,"team_id":7,"name":"worker-01","fingerprint":"a3f56f330f311a2159f8c101eaf1439a29f1d57f007375d56aa79f304bc4f112","status":"online","last_seen_at":"2026-02-22T17:21:02Z","meta":{"hostname":"worker-01","os":"Ubuntu","arch":"x86_64","runtime":{"name":"codex","version":"2026.02.1"}},"created_by_user_id":1,"agents_total":1,"agents_online":1,"created_at":"2026-02-22T17:21:02Z","updated_at":"2026-02-22T17:21:02Z"}}"#;

/// One machine, and the time that it is told.
struct Bench<D: Dialect> {
    machine: Machine<D>,
    report: D::Report,
    answer: &'static str,
    moment: Moment,
}

impl<D: Dialect> Bench<D> {
    /// Goes on until so many heartbeats were taken.
    fn beat(&mut self, count: u32) -> Result<(), Box<dyn Error>> {
        let mut taken = 0;
        while taken < count {
            self.moment.random = self.moment.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let input = match self.machine.next(&self.moment) {
                Command::Collect => Input::Collected(self.report.clone()),
                Command::Persist(_) => Input::Persisted(Ok(())),
                Command::Send(request) => {
                    let path = request.uri().path();
                    let (status, body) = match path {
                        _ if path.ends_with("/enroll") => (201, ENROLLED),
                        _ if path.ends_with("/tasks") => (204, ""),
                        _ => (200, self.answer),
                    };
                    Input::Answered(Ok(Response::builder()
                        .status(status)
                        .header(header::CONTENT_TYPE, "application/json")
                        .body(Bytes::from_static(body.as_bytes()))?))
                }
                Command::Report(Event::Taken { .. }) => {
                    taken += 1;
                    continue;
                }
                Command::Report(Event::Failed { trouble, .. }) => return Err(trouble.into()),
                Command::Report(_) => continue,
                Command::Wait(Some(until)) => {
                    let wait = until.saturating_sub(self.moment.monotonic);
                    self.moment.monotonic += wait;
                    self.moment.wall += TimeDelta::from_std(wait)?;
                    continue;
                }
                other => return Err(format!("nobody asked for {other:?}").into()),
            };
            self.machine.input(&self.moment, input);
        }
        Ok(())
    }
}

fn cost<D: Dialect>(dialect: D, report: D::Report, answer: &'static str) -> Result<(), Box<dyn Error>> {
    let moment = Moment { monotonic: Duration::ZERO, wall: START, random: 1 };
    let mut settings = Settings::default();
    // A heartbeat, and nothing besides it.
    (settings.cadence.update, settings.cadence.poll) = (None, Duration::from_secs(86_400));
    let machine = Machine::start(dialect, settings, &Saved::default(), &moment, None)?;
    let mut bench = Bench { machine, report, answer, moment };
    bench.beat(100)?;
    let mut failed = None;
    let allocated = measure(|| failed = bench.beat(1000).err());
    let began = Instant::now();
    bench.beat(ROUNDS)?;
    let each = began.elapsed() / ROUNDS;
    println!(
        "{:9} {each:?} for each heartbeat, {:.1} allocations of {:.0} bytes in all",
        D::VENDOR,
        allocated.count_total as f64 / 1000.0,
        allocated.bytes_total as f64 / 1000.0
    );
    failed.map_or(Ok(()), Err)
}

fn host() -> agentmc_proto::HeartbeatRequest {
    let facts = agentmc_proto::HostFacts::new(
        "h",
        "10.0.0.1",
        agentmc_proto::Network::new("10.0.0.1", "192.0.2.1"),
        "linux",
        "6",
        "x86_64",
        TextOr::Text("cpu".to_owned()),
        8,
        16,
        agentmc_proto::Disk::new(2, 1),
        100,
        agentmc_proto::HostRuntime::new("r", "1"),
    );
    agentmc_proto::HeartbeatRequest::new(
        agentmc_proto::RuntimeMeta::new(agentmc_proto::Runtime::new("r", "1")),
        agentmc_proto::HostReport::new("f".repeat(64), "h", facts),
        agentmc_proto::AgentReport::new(1, "a", TextOr::Text("me".to_owned())),
    )
}

fn main() -> Result<(), Box<dyn Error>> {
    let base = "https://fleet.example/vendor";
    let report = Report::Agent(CheckinRequest::new(""));
    cost(Acusight::new(base, "ABCD:1234:5678:EFGH", "adk_00ff"), report, ACUSIGHT)?;
    cost(
        ZStack::new(base, "agent-1", "zsk_00ff"),
        HeartbeatRequest::new("1.2.3", 60, 12.5, 35).into(),
        ZSTACK,
    )?;
    cost(AgentMc::new(base, "cc_00ff"), host(), AGENTMC)?;
    let metrics = SystemMetrics::new("host-1", Os::Linux, Arch::Amd64, 3600, 5, 128, 9000);
    cost(Achilles::new(base, "token", Applicant::new("host-1", "1.0.0")), metrics, ACHILLES)
}
