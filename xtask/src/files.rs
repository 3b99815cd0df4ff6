//! Walking the work tree.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Every file under `folder`, in a stable order, without build output and without git's own files. Links are
/// not followed.
///
/// # Errors
/// When a folder cannot be read; one that does not exist is an error too, so that a check of a renamed folder
/// does not pass over nothing.
pub(crate) fn all_under(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        let unreadable = || format!("{} cannot be read", folder.display());
        for entry in fs::read_dir(&folder).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let kind = entry.file_type().with_context(unreadable)?;
            if kind.is_file() {
                found.push(entry.path());
            } else if kind.is_dir() && entry.file_name() != "target" && entry.file_name() != ".git" {
                waiting.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `path` as it is written from `root`.
pub(crate) fn relative<'a>(path: &'a Path, root: &Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walk_finds_this_very_file() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = all_under(here).unwrap();
        assert!(found.iter().any(|file| relative(file, here) == Path::new("src/files.rs")));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let missing = Path::new(env!("CARGO_MANIFEST_DIR")).join("no-such-folder");
        let error = all_under(&missing).unwrap_err();
        assert!(error.to_string().contains("no-such-folder"), "{error}");
    }
}
