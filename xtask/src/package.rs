//! What the crates are for others: what goes into their packages, and a project that depends on two of them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use toml::{Table, Value};

use crate::{cargo, cargo::Cargo, files};

/// What every package holds besides its code.
const COMMON: &[&str] = &["Cargo.toml", "README.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// What the consumer, which takes one vendor and no default feature, must not be burdened with.
const NOT_FOR_CONSUMERS: &[&str] =
    &["schemars", "utoipa", "proptest", "tokio", "reqwest", "rustls", "ring", "fleetwire-validation"];

/// Makes the packages, looks into each, and builds them all from nothing but what they hold.
///
/// cargo's own verification is [`verify`]: it builds from copies of the packages that it keeps by version, so that
/// a second run on the same machine would build a package against the former content of another.
///
/// # Errors
/// cargo refuses to package, a package does not build, or with one line per fault: a file that a package lacks or
/// should not hold, an example in a README that no program of the crate has.
pub(crate) fn check(root: &Path) -> Result<()> {
    // Whether the work tree is clean is a matter of the release, not of the check.
    let package =
        Cargo::new(&["package", "--workspace", "--exclude", "xtask", "--no-verify", "--allow-dirty"]);
    let target = build_folder()?;
    package.run_with(root, &[("CARGO_TARGET_DIR", &target)])?;

    let mut faults = Vec::new();
    let mut checked = 0;
    for member in members(root)? {
        let manifest = member.join("Cargo.toml");
        let manifest = manifest.to_str().context("the path of a manifest is no UTF-8")?;
        let listed =
            cargo::output(root, &["package", "--list", "--allow-dirty", "--manifest-path", manifest])?;
        let packaged = listed.lines().map(PathBuf::from).collect();
        let crate_name = files::relative(&member, root).display().to_string();
        let sources = sources(&member, &packaged)?;
        faults.extend(file_faults(&crate_name, &packaged, &sources));
        let readme = fs::read_to_string(member.join("README.md")).unwrap_or_default();
        let programs: Vec<_> = sources.iter().map(|(_, text)| text.as_str()).collect();
        faults.extend(readme_faults(&crate_name, &readme, &programs));
        checked += 1;
    }
    if !faults.is_empty() {
        bail!("packages:\n  {}", faults.join("\n  "));
    }
    println!("{checked} packages hold what they need and nothing else");
    build_unpacked(root, &target)
}

/// Makes a workspace of the unpacked packages, each standing in for itself in the registry, and builds it.
fn build_unpacked(root: &Path, target: &Path) -> Result<()> {
    let folder = target.join("packaged");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut workspace = "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n\n[patch.crates-io]\n".to_owned();
    for member in members(root)? {
        let (name, version) = name_and_version(root, &member)?;
        let package = target.join("package").join(format!("{name}-{version}.crate"));
        // Every file of a package bears the same old time, by which cargo would take it for built already.
        let status = Command::new("tar").arg("-xzmf").arg(&package).arg("-C").arg(&folder).status();
        let status = status.context("tar could not be started")?;
        ensure!(status.success(), "tar ended with {status} for {}", package.display());
        writeln!(workspace, "{name} = {{ path = \"{name}-{version}\" }}")?;
    }
    fs::write(folder.join("Cargo.toml"), workspace)?;
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    Cargo::new(&["check", "--workspace", "--all-features", "--examples", "--lib", "--bins"])
        .run_with(&folder, &[("CARGO_TARGET_DIR", target)])
}

fn name_and_version(root: &Path, member: &Path) -> Result<(String, String)> {
    let manifest = |folder: &Path| -> Result<Table> {
        let file = folder.join("Cargo.toml");
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        text.parse().with_context(|| format!("{} is not TOML", file.display()))
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let own = manifest(member)?;
    let name = text(own.get("package").and_then(|package| package.get("name")));
    let common = manifest(root)?;
    let package = common.get("workspace").and_then(|workspace| workspace.get("package"));
    let version = text(package.and_then(|package| package.get("version")));
    let both = name.zip(version);
    both.with_context(|| format!("{} has no name, or the workspace no version", member.display()))
}

/// Has cargo make and verify the packages, in a folder that it has never seen.
///
/// # Errors
/// It finds a fault.
pub(crate) fn verify(root: &Path) -> Result<()> {
    let unpacked = unpacked_sources()?;
    let target = build_folder()?.join(format!("verify-{}", std::process::id()));
    let outcome = Cargo::new(&["package", "--workspace", "--allow-dirty"])
        .run_with(root, &[("CARGO_TARGET_DIR", &target)]);
    if target.exists() {
        fs::remove_dir_all(&target).with_context(|| format!("{} cannot be removed", target.display()))?;
    }
    // cargo leaves what it has unpacked of our packages beside the sources of the registry's.
    for left in unpacked_sources()?.difference(&unpacked) {
        fs::remove_dir_all(left).with_context(|| format!("{} cannot be removed", left.display()))?;
    }
    outcome
}

/// Where cargo has unpacked packages that came from no registry with a host name.
fn unpacked_sources() -> Result<BTreeSet<PathBuf>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let sources = home.context("neither CARGO_HOME nor HOME is set")?.join("registry/src");
    let Ok(entries) = fs::read_dir(&sources) else { return Ok(BTreeSet::new()) };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths
        .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"-")))
        .collect())
}

/// Builds and tests the project in `consumer`, and looks at its dependency tree.
///
/// # Errors
/// It does not build, its test fails, or its tree holds what no consumer asked for.
pub(crate) fn check_consumer(root: &Path) -> Result<()> {
    let consumer = root.join("consumer");
    // The same versions as in the workspace, so that what is built already serves here too.
    let (from, to) = (root.join("Cargo.lock"), consumer.join("Cargo.lock"));
    fs::copy(&from, &to)
        .with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))?;
    Cargo::new(&["test", "--quiet"]).run_with(&consumer, &[("CARGO_TARGET_DIR", &build_folder()?)])?;

    let tree = cargo::tree(&consumer, &["-e", "normal,build", "--target", "all", "--prefix", "none"], false)?;
    let present: BTreeSet<_> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let burdens: Vec<_> = NOT_FOR_CONSUMERS.iter().filter(|name| present.contains(*name)).copied().collect();
    if !burdens.is_empty() {
        bail!("a consumer of one vendor has in its dependency tree: {}", burdens.join(", "));
    }
    println!("the consumer's tree has {} packages, and none that it did not ask for", present.len());
    Ok(())
}

/// The folder that the running program was built into.
pub(crate) fn build_folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("the running program cannot be found")?;
    let folder = program.parent().and_then(Path::parent).context("the running program is in no folder")?;
    Ok(folder.to_owned())
}

/// The folders of the crates that are published.
fn members(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join("crates");
    let unreadable = || format!("{} cannot be read", folder.display());
    let mut members = Vec::new();
    for entry in fs::read_dir(&folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.join("Cargo.toml").is_file() {
            members.push(path);
        }
    }
    members.sort();
    Ok(members)
}

/// The Rust files of a package and what is in them.
fn sources(member: &Path, packaged: &BTreeSet<PathBuf>) -> Result<Vec<(PathBuf, String)>> {
    let rust = packaged.iter().filter(|file| file.extension().is_some_and(|ending| ending == "rs"));
    rust.map(|file| {
        let text = fs::read_to_string(member.join(file))
            .with_context(|| format!("{} of {} cannot be read", file.display(), member.display()))?;
        Ok((file.clone(), text))
    })
    .collect()
}

fn file_faults(crate_name: &str, packaged: &BTreeSet<PathBuf>, sources: &[(PathBuf, String)]) -> Vec<String> {
    let mut faults = Vec::new();
    for name in COMMON {
        if !packaged.contains(Path::new(name)) {
            faults.push(format!("{crate_name} lacks {name}"));
        }
    }
    let mut compiled_in = BTreeSet::new();
    for (file, text) in sources {
        for included in included(text) {
            let target = plain(&file.parent().unwrap_or(Path::new("")).join(included));
            if !packaged.contains(&target) {
                let (file, target) = (file.display(), target.display());
                faults.push(format!("{crate_name} lacks {target}, which {file} compiles in"));
            }
            compiled_in.insert(target);
        }
    }
    for file in packaged {
        if file.starts_with("fixtures") && !compiled_in.contains(file) {
            faults.push(format!("{crate_name} holds {}, which nothing compiles in", file.display()));
        }
        if file.extension().is_some_and(|ending| ending == "snap") {
            faults.push(format!("{crate_name} holds {}, whose test is of no use to others", file.display()));
        }
    }
    faults
}

/// The paths that `include_str!` and `include_bytes!` name.
fn included(text: &str) -> impl Iterator<Item = &str> {
    ["include_str!(\"", "include_bytes!(\""].into_iter().flat_map(move |opening| {
        text.split(opening).skip(1).filter_map(|rest| rest.split_once('"').map(|(path, _)| path))
    })
}

/// A path without `..`, which names the same file where no folder on the way is a link.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// What a README shows as Rust must stand, line for line, in a program that is compiled.
fn readme_faults(crate_name: &str, readme: &str, programs: &[&str]) -> Vec<String> {
    let trimmed = |text: &str| -> String {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect()
    };
    let programs: Vec<_> = programs.iter().map(|text| trimmed(text)).collect();
    let mut faults = Vec::new();
    for block in readme.split("```rust\n").skip(1).filter_map(|rest| rest.split_once("```")) {
        let block = trimmed(block.0);
        if !programs.iter().any(|program| program.contains(&block)) {
            let first = block.lines().next().unwrap_or_default();
            faults.push(format!(
                "{crate_name}: no example has the lines that its README shows from `{first}` on"
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packaged(names: &[&str]) -> BTreeSet<PathBuf> {
        COMMON.iter().chain(names).map(PathBuf::from).collect()
    }

    fn source(file: &str, text: &str) -> Vec<(PathBuf, String)> {
        vec![(PathBuf::from(file), text.to_owned())]
    }

    #[test]
    fn package_without_readme_or_licence_is_reported() {
        let mut files = packaged(&["src/lib.rs"]);
        assert_eq!(file_faults("a", &files, &[]), Vec::<String>::new());
        files.remove(Path::new("LICENSE-MIT"));
        assert_eq!(file_faults("a", &files, &[]), ["a lacks LICENSE-MIT"]);
    }

    #[test]
    fn file_that_the_code_compiles_in_must_be_packaged_and_a_fixture_be_compiled_in() {
        // Put together here, so that this file compiles nothing in by that name.
        let code = concat!("const A: &str = include", "_str!(\"../../fixtures/v/request.json\");");
        let code = source("src/demo/a.rs", code);
        let with = packaged(&["src/demo/a.rs", "fixtures/v/request.json"]);
        assert_eq!(file_faults("a", &with, &code), Vec::<String>::new());
        let without = packaged(&["src/demo/a.rs", "fixtures/v/other.json"]);
        assert_eq!(
            file_faults("a", &without, &code),
            [
                "a lacks fixtures/v/request.json, which src/demo/a.rs compiles in",
                "a holds fixtures/v/other.json, which nothing compiles in",
            ]
        );
    }

    #[test]
    fn snapshot_has_no_place_in_a_package() {
        let faults = file_faults("a", &packaged(&["tests/snapshots/one.snap"]), &[]);
        assert_eq!(faults, ["a holds tests/snapshots/one.snap, whose test is of no use to others"]);
    }

    #[test]
    fn example_of_a_readme_is_found_whatever_its_indentation_and_missed_when_a_line_differs() {
        let program = "fn main() {\n    let a = 1;\n\n    let b = 2;\n}\n";
        let readme = |line: &str| format!("# a\n\n```rust\nlet a = 1;\n{line}\n```\n\n```sh\nls\n```\n");
        assert_eq!(readme_faults("a", &readme("let b = 2;"), &[program]), Vec::<String>::new());
        let faults = readme_faults("a", &readme("let b = 3;"), &["", program]);
        assert_eq!(faults, ["a: no example has the lines that its README shows from `let a = 1;` on"]);
    }
}
