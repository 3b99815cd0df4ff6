//! Everything that is wrong with a refused request. `cargo run -p fleetwire-validation --example look --features look`

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use chrono::DateTime;
use fleetwire_protocol::zstack::Heartbeat;
use fleetwire_validation::Context;
use fleetwire_validation::look::{Raw, look};
use http::HeaderMap;

fn main() {
    let headers = HeaderMap::new();
    let raw = Raw {
        segment: &|name| (name == "uuid").then_some("agent-1"),
        query: None,
        headers: &headers,
        body: br#"{"uptime": "soon", "cpuUsage": 112.5, "memUsage": null}"#,
    };
    // Four faults: two of form, a broken rule, and a member that is not there.
    for violation in look::<Heartbeat>(&raw, &Context::at(DateTime::UNIX_EPOCH)).iter().flatten() {
        println!("{}: {} ({})", violation.place, violation.message, violation.rule);
    }
}
