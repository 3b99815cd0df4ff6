//! The guide to agents and the README's part on them show what is there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The blocks of a language in a document.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    document.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_program_of_the_guide_is_the_example() {
    let guide = read("docs/write-an-agent.md");
    let shown = blocks(&guide, "rust");
    let example = read("crates/client/examples/agent.rs");
    assert_eq!(shown.len(), 1);
    assert!(example.contains(shown[0]), "the guide shows another program than the example:\n{}", shown[0]);
}

#[test]
fn every_way_to_begin_that_the_readme_and_the_guide_name_is_there() {
    for document in ["README.md", "docs/write-an-agent.md"] {
        let text = read(document);
        let rows: Vec<_> =
            text.lines().filter(|line| line.contains("::Agent::") && line.starts_with('|')).collect();
        assert_eq!(rows.len(), 4, "{document}: {rows:?}");
        for row in rows {
            let cell = row.split('|').nth(2).unwrap();
            let (vendor, _) = cell.trim().trim_start_matches('`').split_once("::Agent::").unwrap();
            let source = read(&format!("crates/client/src/{vendor}/mod.rs"));
            let code = cell.split('`').skip(1).step_by(2);
            let named = code.map(|call| call.trim_start_matches(&format!("{vendor}::Agent::")));
            for call in named {
                let name = call.split('(').next().unwrap();
                assert!(source.contains(&format!("pub fn {name}(")), "{document}: {vendor} has no {call}");
            }
        }
    }
}

/// By systemd's own judgement, where it is there; elsewhere that is said.
#[test]
fn the_unit_of_the_guide_is_one_that_systemd_takes() {
    let guide = read("docs/write-an-agent.md");
    let [unit] = blocks(&guide, "ini")[..] else { panic!("the guide shows one unit") };
    let installed = "/usr/local/bin/fleetwire";
    assert!(unit.contains(&format!("ExecStart={installed} agent ")), "{unit}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleetwire-agent.service");
    std::fs::write(&path, unit.replace(installed, env!("CARGO_BIN_EXE_fleetwire"))).unwrap();
    match Command::new("systemd-analyze").arg("verify").arg(&path).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            // Other units of the machine are none of ours.
            assert!(output.status.success() && !said.contains("fleetwire-agent.service"), "{said}");
        }
        Err(error) => println!("systemd-analyze cannot be run, and the unit was not verified: {error}"),
    }
}
