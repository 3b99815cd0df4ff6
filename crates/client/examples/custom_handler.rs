//! An agent whose work takes its time: it says how far it is, ends when it is called off, refuses what it cannot do, and
//! may be done again after a crash.
//! `TOKEN=acht_… cargo run -p fleetwire-client --features host-facts --example custom_handler`

use std::time::Duration;

use fleetwire_client::achilles::{Achilles, Agent, TaskOutcome};
use fleetwire_client::protocol::achilles::Task;
use fleetwire_client::work::{Context, Handler, WorkError};

/// Waits for as many seconds as the task's first argument says.
struct Wait;

impl Handler<Achilles> for Wait {
    fn handle(&self, task: &Task, context: &Context<Achilles>) -> Result<TaskOutcome, WorkError> {
        let seconds = task.payload.arguments.first().and_then(|text| text.parse::<u64>().ok());
        let seconds = seconds.ok_or_else(|| WorkError::Refused("how many seconds?".to_owned()))?;
        if context.remaining().is_some_and(|remaining| remaining < Duration::from_secs(seconds)) {
            return Err(WorkError::Refused("there is not so much time".to_owned()));
        }
        for _ in 0..seconds.saturating_mul(10) {
            if context.is_called_off() {
                return Err(WorkError::CalledOff);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(TaskOutcome::printed(format!("waited {seconds} s")))
    }

    fn may_repeat(&self, _: &Task) -> bool {
        true
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let agent = Agent::enroll("http://127.0.0.1:8787/achilles", std::env::var("TOKEN")?)?.on("wait", Wait);
    let handle = agent.handle();
    tokio::spawn(async move {
        // Work at hand gets its grace; what it came to is sent, or kept.
        let _ = tokio::signal::ctrl_c().await;
        handle.stop();
    });
    agent.run_in("./agent").await?;
    Ok(())
}
