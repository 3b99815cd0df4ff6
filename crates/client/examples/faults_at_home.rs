//! A call with two faults, which are told before anything goes out.
//! `cargo run -p fleetwire-client --example faults_at_home`

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use fleetwire_client::protocol::acusight::{DeviceKey, ImageNotificationRequest, NotifyImage};
use fleetwire_client::{Check, connect, protocol::Call};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = DeviceKey::from("adk_00ff");
    let client = connect("http://127.0.0.1:8787/acusight/api")?.check_before_send(Check::Refuse);
    let image = ImageNotificationRequest::new("cam-1", "", "raw-data/a.jpg", 0, 480);
    if let Err(error) = client.send::<NotifyImage>(&key, &Call::new(image)).await {
        for violation in error.violations().into_iter().flatten() {
            println!("{violation}");
        }
    }
    Ok(())
}
