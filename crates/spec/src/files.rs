//! Committed files against generated ones: one path for writing and for checking.
//!
//! ```
//! use fleetwire_spec::files::{Mode, settle};
//! use fleetwire_spec::generate::documents;
//!
//! let root = tempfile::tempdir()?;
//! let generated = documents()?;
//! assert!(!settle(root.path(), &generated, Mode::Check)?.is_empty(), "nothing is committed yet");
//! settle(root.path(), &generated, Mode::Write)?;
//! assert!(settle(root.path(), &generated, Mode::Check)?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::finding::{Finding, Kind};
use crate::generate::Document;

/// Folders in which everything is generated: a file there that nothing generates does not belong there.
pub const FOLDERS: [&str; 2] = ["schemas/openapi", "schemas/json-schema"];

/// How many lines of either side a diff shows.
const SHOWN: usize = 8;

/// What becomes of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is reported, and nothing is written.
    Check,
    /// It is reported and settled.
    Write,
}

/// A file that cannot be read, written or removed.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read or written")]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub error: io::Error,
}

/// Compares the files under `root` with the generated ones and reports each difference once, ordered by path.
///
/// # Errors
/// A file cannot be read, written or removed.
pub fn settle(root: &Path, generated: &[Document], mode: Mode) -> Result<Vec<Finding>, FileError> {
    let mut findings = Vec::new();
    let mut known = BTreeSet::new();
    for Document { path, content: fresh } in generated {
        let path = Path::new(path);
        known.insert(path.to_path_buf());
        let full = root.join(path);
        let committed = match fs::read(&full) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(FileError { path: full, error }),
        };
        let (kind, source, ours) = match committed {
            Some(bytes) if bytes == fresh.as_bytes() => continue,
            None => {
                (Kind::FileMissing, "no such file".to_owned(), format!("{} lines", fresh.lines().count()))
            }
            Some(bytes) => {
                let committed = String::from_utf8_lossy(&bytes);
                (Kind::FileDiffers, format!("{} lines", committed.lines().count()), diff(&committed, fresh))
            }
        };
        findings.push(finding(kind, path, source, ours));
        if mode == Mode::Write {
            write(&full, fresh)?;
        }
    }
    for folder in FOLDERS {
        let mut found = Vec::new();
        walk(&root.join(folder), &mut found)?;
        for full in found {
            let path = full.strip_prefix(root).unwrap_or(&full);
            if known.contains(path) {
                continue;
            }
            findings.push(finding(Kind::FileExtra, path, "a file".to_owned(), "no such file".to_owned()));
            if mode == Mode::Write {
                fs::remove_file(&full).map_err(|error| FileError { path: full.clone(), error })?;
            }
        }
    }
    findings.sort_by(|one, other| one.pointer.cmp(&other.pointer));
    Ok(findings)
}

fn finding(kind: Kind, path: &Path, source: String, ours: String) -> Finding {
    Finding {
        witness: None,
        id: kind,
        severity: kind.severity(),
        fix: kind.fix(),
        vendor: None,
        operation: None,
        side: None,
        pointer: path.display().to_string(),
        source,
        origin: None,
        ours,
        advice: kind.advice().to_owned(),
    }
}

fn write(path: &Path, content: &str) -> Result<(), FileError> {
    let fault = |error| FileError { path: path.to_path_buf(), error };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fault)?;
    }
    fs::write(path, content).map_err(fault)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let fault = |error| FileError { path: folder.to_path_buf(), error };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault(error)),
    };
    for entry in entries {
        let entry = entry.map_err(fault)?;
        if entry.file_type().map_err(fault)?.is_dir() {
            walk(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// The part in which two texts differ, as a diff of one hunk cut after a few lines.
fn diff(committed: &str, fresh: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (committed.lines().collect(), fresh.lines().collect());
    let head = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    if old.is_empty() && new.is_empty() {
        return "the same lines, ended otherwise".to_owned();
    }
    let mut text = format!("differs from line {} on", head + 1);
    for (sign, lines) in [('-', old), ('+', new)] {
        for line in lines.iter().take(SHOWN) {
            text.push_str(&format!("\n{sign} {line}"));
        }
        if lines.len() > SHOWN {
            text.push_str(&format!("\n{sign} … and {} lines more", lines.len() - SHOWN));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(root: &Path, mode: Mode) -> Vec<(Kind, String)> {
        let document = |path: &str, content: &str| Document { path: path.into(), content: content.into() };
        let generated = [
            document("schemas/openapi/a.json", "{\n  \"a\": 1\n}\n"),
            document("docs/rules.md", "# Rules\n"),
        ];
        settle(root, &generated, mode).unwrap().into_iter().map(|found| (found.id, found.pointer)).collect()
    }

    #[test]
    fn each_difference_is_reported_and_settled_by_writing() {
        let root = tempfile::tempdir().unwrap();
        let openapi = root.path().join("schemas/openapi");
        fs::create_dir_all(openapi.join("old")).unwrap();
        fs::write(openapi.join("a.json"), "{}\n").unwrap();
        fs::write(openapi.join("old/b.json"), "{}\n").unwrap();
        fs::write(root.path().join("schemas/deviations.toml"), "").unwrap();

        let expected = [
            (Kind::FileMissing, "docs/rules.md".to_owned()),
            (Kind::FileDiffers, "schemas/openapi/a.json".to_owned()),
            (Kind::FileExtra, "schemas/openapi/old/b.json".to_owned()),
        ];
        assert_eq!(settled(root.path(), Mode::Check), expected);
        assert_eq!(settled(root.path(), Mode::Check), expected, "checking writes nothing");
        assert_eq!(settled(root.path(), Mode::Write), expected);
        assert_eq!(settled(root.path(), Mode::Check), []);
        assert!(root.path().join("schemas/deviations.toml").exists());
    }

    #[test]
    fn diff_shows_the_lines_that_differ() {
        assert_eq!(diff("a\nb\nc\n", "a\nx\ny\nc\n"), "differs from line 2 on\n- b\n+ x\n+ y");
        assert_eq!(diff("a\n", "a\nb\n"), "differs from line 2 on\n+ b");
        assert_eq!(diff("a", "a\n"), "the same lines, ended otherwise");
        let long: String = (0..20).map(|n| format!("{n}\n")).collect();
        assert!(diff("", &long).ends_with("+ … and 12 lines more"));
    }
}
