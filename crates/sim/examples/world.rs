//! An hour of forty agents of all vendors, with faults, in seconds: `cargo run -p fleetwire-sim --example world`.

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use fleetwire_sim::world::{Fleet, Scenario, live};

fn main() {
    let world = live(&Scenario::draw(7, Fleet::mixed(40), 3600));
    println!("{} heartbeats, {:?}", world.counts.beats, world.broken);
}
