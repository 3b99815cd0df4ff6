//! Load of 1,000 Acusight devices for a minute: `cargo run -p fleetwire-sim --example load -- URL TOKEN`.

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::time::Duration;

use fleetwire_server_core::domain::Vendor;
use fleetwire_sim::load::{self, Enrolling, Party, Settings, engine::Target};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [url, token] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err(
            "load URL TOKEN, such as http://127.0.0.1:8787/acusight/api and a provisioning token".into()
        );
    };
    let mut party = Party::new(Vendor::Acusight, Target::find(url)?, true).token(token);
    load::enrol(&mut party, 1_000, &Enrolling::default(), &mut ())?;
    let settings = Settings::every(Duration::from_secs(30), Duration::from_secs(60));
    let (report, _) = load::load(vec![party], &settings, &mut ())?;
    println!("{}", report.generator.verdict());
    Ok(())
}
