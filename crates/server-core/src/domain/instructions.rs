//! Files that agents are to work by.

use chrono::{DateTime, Utc};

use super::No;
use crate::keys::{hex, sha256};

/// The files that an agent, or every agent of a tenant that has none of its own, is to work by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instructions {
    /// Whose they are.
    pub tenant: No,
    /// The agent that they are for; `None` if they are for all that have none of their own.
    pub agent: Option<No>,
    /// The files, in the order of their paths.
    pub files: Vec<InstructionFile>,
    /// When they were set.
    pub at: DateTime<Utc>,
}

/// One of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstructionFile {
    /// Where it goes, seen from the agent's own folder.
    pub path: String,
    /// Its text.
    pub content: String,
}

impl Instructions {
    /// The most files that there may be.
    pub const MAX_FILES: usize = 64;

    /// The most bytes that their paths and texts may have together.
    pub const MAX_BYTES: usize = 256 * 1024;

    /// None at all.
    #[must_use]
    pub const fn none(tenant: No, at: DateTime<Utc>) -> Self {
        Self { tenant, agent: None, files: Vec::new(), at }
    }

    /// What tells these files from others: the same files have the same version, whenever they were set.
    #[must_use]
    pub fn version(&self) -> String {
        let mut text = Vec::new();
        for part in self.files.iter().flat_map(|file| [&file.path, &file.content]) {
            // With its length, so that what moves from one file to the next is seen.
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        hex(&sha256(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(files: &[(&str, &str)]) -> String {
        let file = |(path, content): &(&str, &str)| InstructionFile {
            path: (*path).to_owned(),
            content: (*content).to_owned(),
        };
        let files = files.iter().map(file).collect();
        Instructions { files, ..Instructions::none(1, DateTime::UNIX_EPOCH) }.version()
    }

    #[test]
    fn version_changes_with_every_path_and_text_and_with_nothing_else() {
        let one = version(&[("a", "bc"), ("d", "")]);
        assert_eq!((one.len(), &one), (64, &version(&[("a", "bc"), ("d", "")])));
        for other in [&[("ab", "c"), ("d", "")][..], &[("a", "bcd"), ("", "")], &[("a", "bc")], &[]] {
            assert_ne!(version(other), one, "{other:?}");
        }
        let later = Instructions::none(2, DateTime::<Utc>::MAX_UTC);
        assert_eq!(later.version(), version(&[]));
    }
}
