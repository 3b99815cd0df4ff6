//! An agent without an async runtime. Built to be small:
//! `cargo build --profile small -p fleetwire-client --no-default-features --features achilles,disk,ureq --example small_device`

use fleetwire_client::achilles::{Achilles, Agent, TaskOutcome};
use fleetwire_client::protocol::achilles::{Arch, Os, SystemMetrics, Task};
use fleetwire_client::work::Context;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [url, token, folder] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("small_device URL TOKEN FOLDER".into());
    };
    let began = std::time::Instant::now();
    let report = move || {
        SystemMetrics::new("device-1", Os::Linux, Arch::Arm64, began.elapsed().as_secs_f64(), 5, 16, 200)
    };
    let blink = |task: &Task, _: &Context<Achilles>| {
        Ok(TaskOutcome::printed(format!("{:?}", task.payload.arguments)))
    };
    Agent::enroll(url, token.as_str())?
        .version("1.0.0")
        .report(report)
        .on("blink", blink)
        .run_blocking_in(folder)?;
    Ok(())
}
