//! The demonstration, as a newcomer starts it.

use std::process::Command;

use fleetwire_protocol::{Endpoint, for_each_endpoint};
use serde_json::Value;

#[test]
fn the_demonstration_shows_every_operation_and_ends_well() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fleetwire")).args(["demo", "--once", "--json"]).output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{shown:#}");
    assert_eq!(shown["ok"], true);
    macro_rules! ids { ([] $($op:path,)*) => { [$(<$op as Endpoint>::ID),*] } }
    for id in for_each_endpoint!(ids!()) {
        assert!(shown["operations"].as_array().unwrap().iter().any(|shown| shown == id), "{id} is missing");
    }
    for step in shown["steps"].as_array().unwrap() {
        assert_eq!(step["ok"], true, "{step}");
    }
}
