//! The transcribed source documents, `schemas/source/<vendor>.yaml`.
//!
//! ```
//! use fleetwire_spec::source::{Origin, parse};
//!
//! let node = parse("{type: string, x-origin: {document: a-page, place: Body Fields, how: structure}}")?;
//! assert_eq!(Origin::of(&node).expect("the node says where it is from").document, "a-page");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the transcriptions lie, seen from the root of the work tree.
pub const FOLDER: &str = "schemas/source";

/// A transcription.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Whose it is; the file's name without its ending.
    pub vendor: String,
    /// An OpenAPI document.
    pub document: Value,
}

/// Why a transcription cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or folder cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// A file is not YAML, or names a key twice.
    #[error("{path} is not well-formed")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: yaml_serde::Error,
    },
    /// The folder holds no transcription.
    #[error("{0} holds no .yaml file")]
    Empty(PathBuf),
}

/// Reads the transcriptions of all vendors, ordered by vendor.
///
/// # Errors
/// A file cannot be read or is not well-formed, or there is none.
pub fn read(root: &Path) -> Result<Vec<Source>, SourceError> {
    let folder = root.join(FOLDER);
    let unreadable = |path: &Path| {
        let path = path.to_path_buf();
        move |error| SourceError::Unreadable { path, error }
    };
    let mut sources = Vec::new();
    for entry in fs::read_dir(&folder).map_err(unreadable(&folder))? {
        let path = entry.map_err(unreadable(&folder))?.path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
        let document = parse(&text).map_err(|error| SourceError::Malformed { path: path.clone(), error })?;
        let vendor = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        sources.push(Source { vendor, document });
    }
    if sources.is_empty() {
        return Err(SourceError::Empty(folder));
    }
    sources.sort_by(|one, other| one.vendor.cmp(&other.vendor));
    Ok(sources)
}

/// Reads a document from YAML, of which JSON is a part.
///
/// # Errors
/// The text is not YAML, or names a key twice.
pub fn parse(text: &str) -> Result<Value, yaml_serde::Error> {
    // A JSON map would let the later of two equal keys win in silence; YAML's own refuses them.
    let document: yaml_serde::Value = yaml_serde::from_str(text)?;
    yaml_serde::from_value(document)
}

/// Where a source states something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The document.
    pub document: String,
    /// The place in it: a heading, or a JSON pointer.
    pub place: String,
    /// How it states it: in its structure, in prose, by an example.
    pub how: String,
}

impl Origin {
    /// The `x-origin` of a node, if it has one.
    #[must_use]
    pub fn of(node: &Value) -> Option<Self> {
        let origin = node.get("x-origin")?;
        let text = |key: &str| origin.get(key)?.as_str().map(str::to_owned);
        Some(Self {
            document: text("document")?,
            place: text("place")?,
            how: text("how").unwrap_or_default(),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.document, self.place)?;
        if self.how.is_empty() { Ok(()) } else { write!(f, ", {}", self.how) }
    }
}
