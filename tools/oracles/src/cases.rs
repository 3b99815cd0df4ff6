//! Questions: generated ones, and those that the judges ship with their own tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::write;
use generate::{Random, Tier};

#[path = "../../../crates/spec/tests/inclusion/generate.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "the tests make documents besides")]
mod generate;

/// Generated pairs of schemas, the same for the same tier and seed.
pub(crate) fn pairs(tier: &str, seed: u64, count: u64) -> Result<()> {
    let kind = match tier {
        "a" => Tier::A,
        "b" => Tier::B,
        _ => bail!("there is no tier `{tier}`, only `a` and `b`"),
    };
    for number in 0..count {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let (narrow, wide) = random.pair(kind);
        write(&json!({"id": format!("{tier}-{number}"), "narrow": narrow, "wide": wide}))?;
    }
    Ok(())
}

/// The cases of `drift`: patches to a document.
pub(crate) fn of_drift() -> Result<()> {
    let mut count = 0;
    for folder in entries(&source("drift")?.join("tests/cases"))? {
        let old = read(&folder.join("base.json"))?;
        for file in entries(&folder.join("patch"))? {
            let patch: json_patch::Patch = serde_json::from_value(read(&file)?)?;
            let mut new = old.clone();
            json_patch::patch(&mut new, &patch).with_context(|| file.display().to_string())?;
            write(&json!({"id": format!("{}/{}", stem(&folder)?, stem(&file)?), "old": old, "new": new}))?;
            count += 1;
        }
    }
    ensure!(count > 0, "the package `drift` ships no cases any more");
    Ok(())
}

/// The cases of `jsoncompat`: pairs of schemas, each asked in both directions.
pub(crate) fn of_jsoncompat() -> Result<()> {
    let fixtures = source("jsoncompat")?.join("tests/fixtures");
    let ask = |id: &str, old: &Value, new: &Value| {
        write(&json!({"id": format!("{id}/forth"), "narrow": old, "wide": new}))?;
        write(&json!({"id": format!("{id}/back"), "narrow": new, "wide": old}))
    };
    for folder in entries(&fixtures.join("backcompat"))? {
        ask(stem(&folder)?, &read(&folder.join("old.json"))?, &read(&folder.join("new.json"))?)?;
    }
    for file in entries(&fixtures.join("compatibility"))? {
        for (number, case) in read(&file)?.as_array().into_iter().flatten().enumerate() {
            ask(&format!("{}-{number}", stem(&file)?), &case["old"], &case["new"])?;
        }
    }
    Ok(())
}

/// Where the sources of a package lie that this program is built from.
fn source(package: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .context("cargo could not be started")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| one["name"] == package)
        .and_then(|one| Path::new(one["manifest_path"].as_str()?).parent())
        .map(Path::to_owned)
        .with_context(|| format!("cargo knows no package `{package}`"))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn read(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

fn stem(path: &Path) -> Result<&str> {
    path.file_stem().and_then(|name| name.to_str()).with_context(|| path.display().to_string())
}
