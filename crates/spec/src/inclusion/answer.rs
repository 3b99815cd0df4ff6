use std::fmt;

use serde_json::Value;

/// The answer to whether every document of one schema is a document of another.
#[derive(Debug, Clone, PartialEq)]
pub enum Inclusion {
    /// Every one is.
    Proved,
    /// This one is not.
    Refuted(Witness),
    /// Not known, because of these.
    Undecided(Vec<Reason>),
}

/// The answer to whether a schema accepts anything.
#[derive(Debug, Clone, PartialEq)]
pub enum Inhabitant {
    /// It accepts nothing.
    Empty,
    /// It accepts this.
    Found(Value),
    /// Not known, because of these.
    Undecided(Vec<Reason>),
}

/// A document that is valid under the narrow schema and not under the wide one. Two judges have said so.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Witness {
    /// The document, as small as one was found.
    pub document: Value,
    /// Where in the document the wide schema refuses it, as a JSON pointer.
    pub pointer: String,
    /// The keyword of the wide schema that refuses it.
    pub keyword: String,
    /// Where that keyword stands, as a JSON pointer into the document of the wide schema. Empty when the schema was
    /// not read but made.
    pub schema: String,
}

/// Why a question is undecided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Reason {
    /// Where the schema stands that could not be decided, as a JSON pointer into its document.
    pub pointer: String,
    /// What it is about, such as `pattern has a look-ahead`.
    pub message: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "undecided because {}", self.message)?;
        if self.pointer.is_empty() { Ok(()) } else { write!(f, " at {}", self.pointer) }
    }
}
