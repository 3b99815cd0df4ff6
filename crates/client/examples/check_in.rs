//! An agent that checks in once. `DEVICE_KEY=adk_… cargo run -p fleetwire-client --example check_in`

#![expect(clippy::print_stdout, reason = "an example prints what it got")]

use fleetwire_client::protocol::acusight::{Checkin, CheckinRequest, DeviceKey};
use fleetwire_client::{connect, protocol::Call};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = connect("http://127.0.0.1:8787/acusight/api")?;
    let key = DeviceKey::from(std::env::var("DEVICE_KEY")?);
    let answer = client.send::<Checkin>(&key, &Call::new(CheckinRequest::new("cam-1"))).await?;
    println!("{} actions", answer.pending_actions.len());
    Ok(())
}
