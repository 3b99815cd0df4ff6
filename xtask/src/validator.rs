//! The generated OpenAPI documents before a judge that is not ours.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The judge, a Python package, and its version.
const JUDGE: &str = "openapi-spec-validator==0.7.2";

/// Has every document in `schemas/openapi` judged. The judge is installed below `target`.
///
/// # Errors
/// The judge cannot be installed (it needs Python 3 with venv, and a package index), or finds a fault.
pub(crate) fn check(root: &Path) -> Result<()> {
    let home = root.join("target/openapi-validator");
    let judge = home.join("bin/openapi-spec-validator");
    if !judge.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        run(Command::new(home.join("bin/pip")).args(["install", "--quiet", JUDGE]))?;
    }
    let mut judged = 0;
    for entry in fs::read_dir(root.join("schemas/openapi")).context("there are no generated documents")? {
        run(Command::new(&judge).arg(entry?.path()))?;
        judged += 1;
    }
    ensure!(judged > 0, "there are no generated documents");
    println!("{judged} documents are valid OpenAPI");
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} could not be started"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
