//! What a check-in costs an agent: CPU of this process, over many of them at a server nearby, with the state on a disk;
//! and what it costs to save that state, which happens after every fifth heartbeat at the usual interval and hardly ever
//! at this one.
//! `cargo run --profile small -p fleetwire-client --no-default-features --features disk,ureq,zstack --example check_in_cost
//! -- URL AGENT TOKEN FOLDER COUNT`

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::fs;
use std::time::Duration;

use fleetwire_client::agent::{Event, Settings};
use fleetwire_client::protocol::zstack::HeartbeatRequest;
use fleetwire_client::store::{Change, DiskStore, Store};
use fleetwire_client::zstack::Agent;

/// Nanoseconds of CPU that this thread has used.
fn cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

/// Microseconds of CPU for each of so many saves of a folder's state.
fn save_cost(folder: &str, count: u32) -> Result<f64, Box<dyn std::error::Error>> {
    let mut store = DiskStore::open(folder)?;
    let state = store.load()?.state.ok_or("no state was kept")?;
    let began = cpu();
    for _ in 0..count {
        store.apply(&Change::Save(state.clone()))?;
    }
    Ok((cpu() - began) / f64::from(count) / 1e3)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [url, agent, token, folder, count] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("check_in_cost URL AGENT TOKEN FOLDER COUNT".into());
    };
    let (count, mut taken, mut began): (u32, u32, f64) = (count.parse()?, 0, 0.0);
    let mut settings = Settings::default();
    settings.cadence.heartbeat = Some(Duration::from_millis(5));
    let agent = Agent::registered(url, agent.as_str(), token.as_str())?
        .settings(settings)
        .report(|| HeartbeatRequest::new("1.0.0", 60, 1.5, 20));
    let handle = agent.handle();
    let observe = move |event: &Event<_>| {
        match event {
            Event::Taken { .. } => taken += 1,
            Event::Failed { trouble, .. } => println!("{trouble}"),
            _ => {}
        }
        if taken == 100 && began == 0.0 {
            // The first ones make the connection and whatever is made once.
            began = cpu();
        } else if taken == count + 100 {
            println!(
                "{:.1} µs of CPU for each of {count} check-ins",
                (cpu() - began) / f64::from(count) / 1e3
            );
            handle.stop();
        }
    };
    agent.observe(observe).run_blocking_in(folder)?;
    let status = fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default());
    let save = save_cost(folder, count / 5)?;
    println!("{save:.1} µs of CPU for a save, {:.1} of them for each check-in", save / 5.0);
    Ok(())
}
