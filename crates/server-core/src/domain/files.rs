//! Files that agents fetch: programs, binaries of tests, models.

use std::fmt;

use chrono::{DateTime, Utc};

use super::No;
use crate::keys::hex;

/// What a file that is held here is. Each kind has a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A release of an agent's program.
    Release,
    /// A binary that a task has an agent run.
    Binary,
    /// A model.
    Model,
}

impl FileKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Release, Self::Binary, Self::Model];

    /// The folder that they lie in.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Release => "releases",
            Self::Binary => "binaries",
            Self::Model => "models",
        }
    }

    /// The name by which its keeper finds a file: what is in it, so that the same file is kept once.
    #[must_use]
    pub fn object(self, sha256: &[u8; 32]) -> String {
        format!("{}/{}", self.folder(), hex(sha256))
    }
}

/// A file that is held here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeldFile {
    /// SHA-256 of it.
    pub sha256: [u8; 32],
    /// Its size in bytes.
    pub size: u64,
}

impl fmt::Debug for HeldFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeldFile({}…, {} bytes)", hex(&self.sha256[..4]), self.size)
    }
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilePlace {
    /// At an address elsewhere.
    Url(String),
    /// Here.
    Held(HeldFile),
}

/// A binary that a task has an agent run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Whose it is.
    pub tenant: No,
    /// The name that tasks call it by, unique in its tenant.
    pub name: String,
    /// Its file.
    pub file: HeldFile,
    /// When it was brought.
    pub created_at: DateTime<Utc>,
}

/// What became of the file of something that was removed or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freed {
    /// Something else is in the same file, or none was held.
    No,
    /// Nothing needs the object of this name any more.
    Object(String),
}

/// A key that signs releases.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its number, from 1 on: the latest one that is not retired signs.
    pub no: No,
    /// The seed of Ed25519.
    pub seed: [u8; 32],
    /// When it was made; not known of the first one.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was retired.
    pub retired_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("no", &self.no)
            .field("created_at", &self.created_at)
            .field("retired_at", &self.retired_at)
            .finish_non_exhaustive()
    }
}
