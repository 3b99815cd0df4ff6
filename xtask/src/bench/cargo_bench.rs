//! Building the programs of benches.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cargo;

/// Builds a target of a package in release mode, such as its `--bench` of a name, and says where the program is. A bench is
/// built like the binaries of `cargo build --release`, so that what both need is built once.
///
/// # Errors
/// When it does not build.
pub(crate) fn build(root: &Path, package: &str, kind: &str, name: &str) -> Result<PathBuf> {
    eprintln!("$ cargo build --release -p {package} {kind} {name}");
    let messages = cargo::output(
        root,
        &["build", "--release", "-p", package, kind, name, "--message-format", "json-render-diagnostics"],
    )?;
    program(&messages, name).with_context(|| format!("cargo built no program `{name}`"))
}

/// The program of a target in what cargo says in JSON, a message a line.
fn program(messages: &str, target: &str) -> Option<PathBuf> {
    let message = |line: &str| serde_json::from_str::<Value>(line).ok();
    messages.lines().filter_map(message).find_map(|message| {
        let named = message.pointer("/target/name").and_then(Value::as_str) == Some(target);
        let path = message.get("executable").and_then(Value::as_str).filter(|_| named)?;
        Some(PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_that_of_the_named_target_which_has_one() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"a"},"executable":null}
not a message
{"reason":"compiler-artifact","target":{"name":"b"},"executable":"/t/b-1"}
{"reason":"compiler-artifact","target":{"name":"a"},"executable":"/t/a-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(program(messages, "a"), Some(PathBuf::from("/t/a-1")));
        assert_eq!(program(messages, "c"), None);
    }
}
