//! What a fleet costs as it grows: memory for each agent that is known, the time of a start, and what a check-in and
//! the flush of its lease cost in processor time.
//!
//! `cargo bench -p fleetwire-store-sqlite --bench scale -- 1000 100000 1000000`; prints a line for each size. Agents are
//! Acusight's, each with a key of its own and a report; every one of them has checked in when memory is looked at. The
//! file lies under `target`, on a disk that is waited for.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use fleetwire_protocol::acusight::{Checkin, CheckinRequest, DeviceKey};
use fleetwire_protocol::{Auth, Call, Endpoint};
use fleetwire_server_core::domain::DEFAULT_TENANT;
use fleetwire_server_core::keys::{Digest, sha256};
use fleetwire_server_core::{Clock, Config, Core, Entropy, Origin, admit, answer};
use fleetwire_store_sqlite::SqliteStore;
use http::HeaderMap;
use rusqlite::{Connection, params};

const ORIGIN: Origin<'static> = Origin { public_url: None, scheme: "http", host: "fleet.test", mount: "" };

/// Check-ins of which the processor time is taken.
const CHECK_INS: usize = 200_000;

/// Seconds since a fixed time, moved by hand.
#[derive(Default)]
struct Time(AtomicI64);

impl Clock for Time {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(1_774_103_400 + self.0.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Chance(AtomicI64);

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = sha256(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<usize>().ok()).unwrap_or(0) * 1024
}

/// Processor time of this process, of all its threads.
fn processor_time() -> Duration {
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(entry.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    };
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    Duration::from_nanos(threads.filter_map(of).sum())
}

fn secret(number: usize) -> String {
    format!("{}{number:044}", DeviceKey::PREFIX)
}

/// Makes agents with keys, and leases that are a minute old.
fn populate(file: &Path, agents: usize) {
    let mut connection = Connection::open(file).unwrap();
    let transaction = connection.transaction().unwrap();
    let at = Time::default().now().timestamp_millis();
    {
        let mut agent = transaction
            .prepare(
                "INSERT INTO agents (no, tenant, vendor, kind, id, name, version, facts, labels, disabled, activated,
                     rotation, rotating, created_at, updated_at)
                 VALUES (?1, ?2, 'acusight', 'agent', ?3, ?3, NULL, '{}', '{}', 0, 1, 0, 0, ?4, ?4)",
            )
            .unwrap();
        let mut key = transaction
            .prepare("INSERT INTO keys (digest, tenant, vendor, agent, candidate) VALUES (?1, ?2, 'acusight', ?3, 0)")
            .unwrap();
        let mut lease =
            transaction.prepare("INSERT INTO leases (agent, last_seen, report) VALUES (?1, ?2, ?3)").unwrap();
        let mut online = transaction.prepare("INSERT INTO online (agent) VALUES (?1)").unwrap();
        let report = r#"{"metrics":{},"notes":{"ip_address":"192.168.1.100"},"status":"online"}"#;
        // Digests are inserted in their order, or the index would take longest.
        let mut digests: Vec<_> = (0..agents).map(|number| (Digest::of(&secret(number)).0, number)).collect();
        for number in 0..agents {
            let no = i64::try_from(number).unwrap() + 1;
            agent.execute(params![no, DEFAULT_TENANT, format!("cam-{number:07}"), at]).unwrap();
            lease.execute(params![no, at, report]).unwrap();
            online.execute([no]).unwrap();
        }
        digests.sort_unstable();
        for (digest, number) in digests {
            let no = i64::try_from(number).unwrap() + 1;
            key.execute(params![digest, DEFAULT_TENANT, no]).unwrap();
        }
    }
    transaction.execute("INSERT INTO uptime (id, up_until) VALUES (1, ?1)", [at]).unwrap();
    transaction.commit().unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

type Server = Core<SqliteStore>;

async fn start(file: &Path, time: &Arc<Time>) -> Server {
    let store = SqliteStore::open(file).unwrap();
    Core::start(store, Arc::clone(time) as _, Arc::<Chance>::default(), Config::default()).await.unwrap().0
}

async fn check_in(server: &Server, number: usize) {
    let mut headers = HeaderMap::new();
    let key = DeviceKey::from(secret(number));
    <Checkin as Endpoint>::Auth::attach(&key, DateTime::UNIX_EPOCH, &mut headers).unwrap();
    let caller = admit::<Checkin, _>(server, &headers, server.now()).await.unwrap();
    let mut request = CheckinRequest::new(format!("cam-{number:07}"));
    request.status = Some("online".to_owned());
    request.ip_address = Some("192.168.1.100".to_owned());
    answer(server, caller, &ORIGIN, Call::<Checkin>::new(request), &server.context(server.now()))
        .await
        .unwrap();
}

/// Agents in an order without one.
fn shuffled(agents: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| turn.wrapping_mul(2_654_435_761).wrapping_add(12_345) % agents)
}

fn micros(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}

async fn measure(file: &Path, agents: usize) {
    let time = Arc::<Time>::default();
    time.0.store(20, Ordering::Relaxed);

    let before = resident();
    let (began, used) = (Instant::now(), processor_time());
    let server = start(file, &time).await;
    let started = began.elapsed();
    check_in(&server, agents / 2).await;
    let first = began.elapsed();
    let used = processor_time() - used;
    let loaded = resident().saturating_sub(before);

    time.0.fetch_add(10, Ordering::Relaxed);
    for number in 0..agents {
        check_in(&server, number).await;
    }
    let began_flush = Instant::now();
    server.flush().await.unwrap();
    let first_flush = began_flush.elapsed();
    let active = resident().saturating_sub(before);

    // Memory is warm for small fleets and cold for large ones: that is what is measured.
    time.0.fetch_add(10, Ordering::Relaxed);
    for number in shuffled(agents, CHECK_INS) {
        check_in(&server, number).await;
    }
    server.flush().await.unwrap();
    time.0.fetch_add(10, Ordering::Relaxed);
    let cpu = processor_time();
    for number in shuffled(agents, CHECK_INS) {
        check_in(&server, number).await;
    }
    let check_in_cpu = processor_time() - cpu;
    let (began_flush, cpu) = (Instant::now(), processor_time());
    let flushed = server.flush().await.unwrap();
    let (flush, flush_cpu) = (began_flush.elapsed(), processor_time() - cpu);
    let cpu = processor_time();
    server.flush().await.unwrap();
    let idle = processor_time() - cpu;
    let settled = resident().saturating_sub(before);
    server.into_store().close().unwrap();
    println!(
        "{agents} agents: start {:.0} ms, first answer {:.0} ms, {:.2} µs of processor each; \
         memory {} B each once loaded, {} B after a check-in of each, {} B in the end; \
         check-in {:.2} µs; first flush {:.0} ms; flush of {flushed}: {:.0} ms, {:.2} µs of processor each; \
         a flush of nothing {:.1} ms of processor",
        started.as_secs_f64() * 1e3,
        first.as_secs_f64() * 1e3,
        micros(used, agents),
        loaded / agents,
        active / agents,
        settled / agents,
        micros(check_in_cpu, CHECK_INS),
        first_flush.as_secs_f64() * 1e3,
        flush.as_secs_f64() * 1e3,
        micros(flush_cpu, flushed),
        idle.as_secs_f64() * 1e3,
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // Each in a process of its own, so that what one leaves behind is not taken for memory of the next.
    match &arguments[..] {
        [step, size, file] if step == "populate" => {
            SqliteStore::open(file).unwrap().close().unwrap();
            populate(Path::new(file), size.parse().unwrap());
        }
        [step, size, file] if step == "measure" => measure(Path::new(file), size.parse().unwrap()).await,
        sizes => {
            let usual = ["1000".to_owned(), "100000".to_owned()];
            for size in if sizes.is_empty() { &usual } else { sizes } {
                let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
                let file = folder.path().join("fleet.db");
                for step in ["populate", "measure"] {
                    let mut command = Command::new(std::env::current_exe().unwrap());
                    assert!(command.arg(step).arg(size).arg(&file).status().unwrap().success());
                }
            }
        }
    }
}
