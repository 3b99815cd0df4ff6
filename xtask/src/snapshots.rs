//! Snapshots that no test reads any more, and those that nobody has accepted yet.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{cargo::Cargo, files};

/// Runs the tests, then compares the snapshots they read with those that are there.
///
/// # Errors
/// When a test fails, or a snapshot is an orphan or pending.
pub(crate) fn run_tests(tests: &Cargo, root: &Path) -> Result<()> {
    let references = references_file()?;
    // insta appends, so what an earlier run referenced must go first.
    if references.exists() {
        fs::remove_file(&references)
            .with_context(|| format!("{} cannot be removed", references.display()))?;
    }
    tests.run_with(root, &[("INSTA_SNAPSHOT_REFERENCES_FILE", &references)])?;

    // insta creates the file with the first snapshot that a test reads.
    let text = if references.exists() {
        fs::read_to_string(&references).with_context(|| format!("{} cannot be read", references.display()))?
    } else {
        String::new()
    };
    // A path that cannot be resolved belongs to a snapshot which does not exist; its test has failed.
    let referenced = text.lines().filter_map(|line| Path::new(line).canonicalize().ok()).collect();
    let faults = faults(&files::all_under(&root.join("crates"))?, &referenced, root);
    if !faults.is_empty() {
        bail!("snapshots:\n  {}", faults.join("\n  "));
    }
    println!("{} snapshots, each of them read by a test", referenced.len());
    Ok(())
}

/// In the build folder, beside the running program: nothing outside it is written.
fn references_file() -> Result<PathBuf> {
    let program = std::env::current_exe().context("the running program cannot be found")?;
    Ok(program.with_file_name("xtask-snapshot-references"))
}

fn faults(found: &[PathBuf], referenced: &BTreeSet<PathBuf>, root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for file in found {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let shown = files::relative(file, root).display();
        if name.ends_with(".snap.new") || name.ends_with(".pending-snap") {
            faults.push(format!(
                "{shown} waits for a decision: accept it with `cargo insta review` or delete it"
            ));
        } else if name.ends_with(".snap") && !referenced.contains(file) {
            faults.push(format!("{shown} is an orphan: no test reads it, so delete it"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| Path::new("/w").join(name)).collect()
    }

    #[test]
    fn snapshot_that_a_test_read_is_no_fault() {
        let found = paths(&["crates/a/src/snapshots/one.snap", "crates/a/src/lib.rs"]);
        let referenced = paths(&["crates/a/src/snapshots/one.snap"]).into_iter().collect();
        assert_eq!(faults(&found, &referenced, Path::new("/w")), Vec::<String>::new());
    }

    #[test]
    fn snapshot_that_no_test_read_is_named() {
        let found = paths(&["crates/a/src/snapshots/one.snap", "crates/b/src/snapshots/one.snap"]);
        let referenced = paths(&["crates/a/src/snapshots/one.snap"]).into_iter().collect();
        let faults = faults(&found, &referenced, Path::new("/w"));
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("crates/b/src/snapshots/one.snap is an orphan"), "{faults:?}");
    }

    #[test]
    fn undecided_snapshots_are_faults_in_both_spellings() {
        let found = paths(&["crates/a/src/snapshots/one.snap.new", "crates/a/src/.lib.rs.pending-snap"]);
        let faults = faults(&found, &BTreeSet::new(), Path::new("/w"));
        assert_eq!(faults.len(), 2);
        assert!(faults.iter().all(|fault| fault.contains("waits for a decision")), "{faults:?}");
    }
}
