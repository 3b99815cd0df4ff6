//! A whole agent. `TOKEN=acht_… cargo run -p fleetwire-client --features host-facts --example agent`

use fleetwire_client::achilles::{Achilles, Agent, TaskOutcome};
use fleetwire_client::protocol::achilles::Task;
use fleetwire_client::work::Context;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let test = |task: &Task, _: &Context<Achilles>| Ok(TaskOutcome::printed(format!("{:?}", task.payload)));
    Agent::enroll("http://127.0.0.1:8787/achilles", std::env::var("TOKEN")?)?
        .version(env!("CARGO_PKG_VERSION"))
        .on("execute_test", test)
        .run_in("./agent")
        .await?;
    Ok(())
}
