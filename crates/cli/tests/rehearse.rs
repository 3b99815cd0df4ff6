//! `fleetwire rehearse`: what it prints, what it writes, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn rehearse(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetwire"));
    for name in ["SEED", "SEEDS", "AGENTS"] {
        command.env_remove(format!("FLEETWIRE_WORLD_{name}"));
    }
    command.current_dir(folder).arg("rehearse").args(arguments).output().unwrap()
}

#[test]
fn a_world_is_told_as_json_and_drawn_on_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--agents", "8", "--hours", "0.3", "--seed", "7", "--json", "--html", "page.html"];
    let output = rehearse(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["ok"], &told["seed"], &told["agents"]), (&true.into(), &7.into(), &8.into()));
    assert!(told["world"]["counts"]["beats"].as_u64().unwrap() > 0);
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(!folder.path().join("rehearsal.json").exists(), "no law was broken");
}

#[test]
fn a_scenario_of_a_file_is_lived_through_twice_alike() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = r#"{"seed": 3, "fleet": {"zstack": {"count": 3}}, "seconds": 600, "settle": 0, "faults": [
        {"at": 60, "what": {"server_down": {"seconds": 30, "orderly": true}}}]}"#;
    fs::write(folder.path().join("scenario.json"), scenario).unwrap();
    let journal = || {
        let output = rehearse(folder.path(), &["--replay", "scenario.json", "--json"]);
        assert_eq!(output.status.code(), Some(0));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["world"]["digest"].clone()
    };
    assert_eq!(journal(), journal());
}

#[test]
fn what_is_no_scenario_is_told_with_an_exit_status_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("misspelt.json"), r#"{"seed": 3, "fleets": {}}"#).unwrap();
    for (file, why) in [("missing.json", "cannot read"), ("misspelt.json", "unknown field `fleets`")] {
        let output = rehearse(folder.path(), &["--replay", file]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(why) && said.contains(file), "{said}");
    }
    assert_eq!(rehearse(folder.path(), &["--agents", "0"]).status.code(), Some(2));
}
