//! Running cargo: one command line that can be run, captured and shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A cargo command line. `Display` gives what one types to repeat it.
#[derive(Clone, Copy)]
pub(crate) struct Cargo {
    pub(crate) args: &'static [&'static str],
    pub(crate) env: &'static [(&'static str, &'static str)],
}

impl Cargo {
    pub(crate) const fn new(args: &'static [&'static str]) -> Self {
        Self { args, env: &[] }
    }

    /// Runs it in `root` with the terminal passed through.
    ///
    /// # Errors
    /// When it cannot be started or does not succeed.
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        self.run_with(root, &[])
    }

    /// Like [`Cargo::run`], with further variables that are known only at run time.
    ///
    /// # Errors
    /// When it cannot be started or does not succeed.
    pub(crate) fn run_with(&self, root: &Path, env: &[(&str, &Path)]) -> Result<()> {
        println!("$ {self}");
        let status = command(root)
            .args(self.args)
            .envs(self.env.iter().copied())
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("`{self}` could not be started"))?;
        if !status.success() {
            bail!("`{self}` ended with {status}");
        }
        Ok(())
    }
}

impl fmt::Display for Cargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str("cargo")?;
        for arg in self.args {
            write!(f, " {}", quoted(arg))?;
        }
        Ok(())
    }
}

fn quoted(word: &str) -> String {
    if word.contains([' ', '|', '{', '*']) { format!("'{word}'") } else { word.to_owned() }
}

/// What `cargo tree` with these arguments prints, one package a line and without any indentation unless the
/// arguments ask for one.
///
/// # Errors
/// When cargo fails (its own words are in the error), or prints only blanks and `may_be_empty` is false.
pub(crate) fn tree(root: &Path, args: &[&str], may_be_empty: bool) -> Result<String> {
    let args = [&["tree"], args].concat();
    let text = output(root, &args)?;
    if !may_be_empty && text.trim().is_empty() {
        bail!("`cargo {}` printed nothing", args.join(" "));
    }
    Ok(text)
}

/// What a cargo command prints.
///
/// # Errors
/// When cargo fails (its own words are in the error) or prints no UTF-8.
pub(crate) fn output(root: &Path, args: &[&str]) -> Result<String> {
    let shown = format!("cargo {}", args.join(" "));
    let output = command(root)
        .args(args)
        .env("CARGO_TERM_COLOR", "never")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{shown}` could not be started"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed no UTF-8"))
}

/// The root of the workspace that `cargo xtask` was called in.
///
/// # Errors
/// When the program was not started by cargo.
pub(crate) fn workspace_root() -> Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("start this program as `cargo xtask`")?;
    let root = Path::new(&manifest).parent().context("xtask has no folder above it")?;
    root.canonicalize().with_context(|| format!("{} cannot be resolved", root.display()))
}

fn command(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    clean_environment(&mut command);
    command
}

/// Takes from a command what `cargo run` has told us of the package xtask.
///
/// Handed on, it would make build scripts which watch these variables (ring's does) run again each time one
/// changes between `cargo xtask` and plain cargo.
pub(crate) fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_the_running_package) {
            command.env_remove(name);
        }
    }
}

fn describes_the_running_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_command_can_be_pasted_into_a_shell() {
        let command =
            Cargo { args: &["doc", "--format", "{p}|{l}"], env: &[("RUSTDOCFLAGS", "-D warnings")] };
        assert_eq!(command.to_string(), "RUSTDOCFLAGS='-D warnings' cargo doc --format '{p}|{l}'");
    }

    #[test]
    fn only_the_description_of_the_running_package_is_withheld() {
        assert!(describes_the_running_package("CARGO_PKG_NAME"));
        assert!(describes_the_running_package("CARGO_MANIFEST_DIR"));
        assert!(!describes_the_running_package("CARGO_TARGET_DIR"));
        assert!(!describes_the_running_package("CARGO_INCREMENTAL"));
    }
}
