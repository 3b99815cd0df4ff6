//! One server by how many agents it knows.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fleetwire_protocol::acusight::{Checkin, CheckinRequest, DeviceKey};
use fleetwire_protocol::{Auth, Call, Endpoint};
use fleetwire_server::SystemClock;
use fleetwire_server_core::{Clock, Origin, admit, answer};
use fleetwire_sim::load::engine::{self, Observer, Pacing, Plan, Snapshot, cpu};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::Arguments;
use crate::fleet::{self, Member};
use crate::measure::{Ready, round};
use crate::rows::checkins_of;
use crate::server::{Server, Variant, runtime};

/// Connections that are held and quiet while memory is looked at.
const IDLE: usize = 5000;

/// How much memory a server has when so many connections are held.
struct Memory {
    pid: u32,
    connections: usize,
    resident: Option<u64>,
}

impl Observer for Memory {
    fn second(&mut self, snapshot: &Snapshot<'_>) -> ControlFlow<()> {
        if snapshot.connections < self.connections || snapshot.in_flight > 0 {
            return ControlFlow::Continue(());
        }
        self.resident = cpu::resident(self.pid).ok();
        ControlFlow::Break(())
    }
}

pub(crate) fn measure(folder: &Path, agents: usize, arguments: &Arguments) -> Result<Value> {
    let (none, all) = (folder.join("none"), folder.join("all"));
    fleet::devices(&none, 0)?;
    let making = Instant::now();
    let devices = fleet::devices(&all, agents)?;
    let making = making.elapsed();

    let server = Server::ours(arguments.core, &none, Variant::Flushed)?;
    let empty = cpu::resident(server.pid())?;
    server.stop()?;

    // Once to have the file in the system's cache, then as it is warm.
    let mut start = Duration::MAX;
    for _ in 0..3 {
        let begin = Instant::now();
        let server = Server::ours_unpinned(&all, Variant::Flushed)?;
        first_answer(&server, &devices)?;
        start = start.min(begin.elapsed());
        server.stop()?;
    }

    let server = Server::ours(arguments.core, &all, Variant::Flushed)?;
    first_answer(&server, &devices)?;
    let known = cpu::resident(server.pid())?;
    let requests = checkins_of(&devices, SystemClock.now())?;
    report_twice(&server, &requests)?;
    let reported = cpu::resident(server.pid())?;
    let idle = idle(&server, &requests)?;
    server.stop()?;

    // What the flushes of a second cost depends on how many agents report in it, and is told apart.
    let server = Server::ours(arguments.core, &all, Variant::Memory)?;
    report_twice(&server, &requests)?;
    let duration = Duration::from_millis(arguments.milliseconds);
    let plan = Plan {
        warm_up: duration / 3,
        wakeful: true,
        ..Plan::new(server.address, 64, Pacing::Closed, duration)
    };
    let rounds = 0..arguments.rounds.max(1);
    let micros = rounds.map(|_| Ok(round(&server, &plan, Ready::new(&server, &requests))?.micros));
    let micros = micros.collect::<Result<Vec<_>>>()?;
    server.stop()?;

    let (wall, processor) = flush(&all, &devices)?;
    for place in [none, all] {
        fs::remove_dir_all(place)?;
    }
    Ok(json!({
        "agents": agents, "made_s": making.as_secs_f64(), "start_s": start.as_secs_f64(),
        "bytes_per_agent": known.saturating_sub(empty) as f64 / agents.max(1) as f64,
        "bytes_per_reporting_agent": reported.saturating_sub(empty) as f64 / agents.max(1) as f64,
        "resident": reported, "checkin_us": micros, "bytes_per_connection": idle,
        "flush_s": wall.as_secs_f64(), "flush_cpu_s": processor.map(|processor| processor.as_secs_f64()),
    }))
}

/// Has everybody report who is to be known. At the first use of a key the store is asked, and whoever asks for another key
/// meanwhile asks again.
fn report_twice(server: &Server, requests: &[http::Request<bytes::Bytes>]) -> Result<()> {
    let plan = Plan::new(server.address, 64, Pacing::Closed, Duration::from_secs(600));
    for _ in 0..2 {
        round(server, &plan, Ready::new(server, requests).once())?;
    }
    Ok(())
}

/// Waits for the answer to a check-in.
fn first_answer(server: &Server, devices: &[Member]) -> Result<()> {
    let requests = checkins_of(devices.get(..1).context("there is a device")?, SystemClock.now())?;
    let plan = Plan::new(server.address, 1, Pacing::Closed, Duration::from_secs(60));
    round(server, &plan, Ready::new(server, &requests).once()).map(drop)
}

/// Bytes of memory for a connection that is kept open and has sent one request.
fn idle(server: &Server, requests: &[http::Request<bytes::Bytes>]) -> Result<f64> {
    let before = cpu::resident(server.pid())?;
    let connections = IDLE.min(requests.len());
    let ready = Ready::new(server, requests.get(..connections).unwrap_or(requests)).once();
    let mut memory = Memory { pid: server.pid(), connections, resident: None };
    // One after another, so that each connection has its turn; the plan's end is not reached.
    let plan = Plan::new(server.address, connections, Pacing::Rate(2000.0), Duration::from_secs(60));
    engine::run(&plan, ready.then_wait(), &mut memory)?;
    let held = memory.resident.context("the connections were not all held")?;
    Ok(held.saturating_sub(before) as f64 / connections as f64)
}

/// Has every device check in with a core of this process, and writes their leases: how long that takes.
fn flush(folder: &Path, devices: &[Member]) -> Result<(Duration, Option<Duration>)> {
    const ORIGIN: Origin<'static> =
        Origin { public_url: None, scheme: "http", host: "fleet.test", mount: "" };
    runtime()?.block_on(async {
        let core = fleet::open(folder).await?;
        let mut least = (Duration::MAX, None);
        // The first tells for each device that it is online.
        for turn in 0..2 {
            for device in devices {
                let mut headers = HeaderMap::new();
                let key = DeviceKey::from(device.key.as_str());
                <Checkin as Endpoint>::Auth::attach(&key, SystemClock.now(), &mut headers)
                    .map_err(anyhow::Error::msg)?;
                let refused = |fault| anyhow::anyhow!("a check-in was refused: {fault:?}");
                let caller = admit::<Checkin, _>(&*core, &headers, core.now()).await.map_err(refused)?;
                let call = Call::<Checkin>::new(CheckinRequest::new(device.id.as_str()));
                let context = core.context(core.now());
                answer(&*core, caller, &ORIGIN, call, &context).await.map_err(refused)?;
            }
            let (begin, before) = (Instant::now(), cpu::Usage::of(std::process::id()).ok());
            let written = core.flush().await?;
            let wall = begin.elapsed();
            let after = cpu::Usage::of(std::process::id()).ok();
            ensure!(written == devices.len(), "{written} leases were written");
            if turn == 1 {
                least = (wall, before.zip(after).map(|(before, after)| after.since(&before)));
            }
        }
        fleet::close(core)?;
        Ok(least)
    })
}
