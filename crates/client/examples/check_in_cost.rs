//! What a check-in costs an agent: CPU of this process, over many of them at a server nearby, with the state on a disk.
//! `cargo run --profile small -p fleetwire-client --no-default-features --features disk,ureq,zstack --example check_in_cost
//! -- URL AGENT TOKEN FOLDER COUNT`

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::fs;
use std::time::Duration;

use fleetwire_client::agent::{Event, Settings};
use fleetwire_client::protocol::zstack::HeartbeatRequest;
use fleetwire_client::zstack::Agent;

/// Nanoseconds of CPU that this thread has used.
fn cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [url, agent, token, folder, count] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("check_in_cost URL AGENT TOKEN FOLDER COUNT".into());
    };
    let (count, mut taken, mut began): (u32, u32, f64) = (count.parse()?, 0, 0.0);
    let mut settings = Settings::default();
    // Long enough that the state is saved as often as with the usual interval: every five heartbeats.
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
    Ok(())
}
