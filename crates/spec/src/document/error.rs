use std::fmt;

/// Why a document cannot be read. Shown with its file, line, column and pointer, as far as they are known.
#[derive(Debug)]
pub struct DocumentError {
    document: String,
    spot: Option<(usize, usize)>,
    pointer: String,
    fault: DocumentFault,
}

/// What is wrong with a document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentFault {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// There are more bytes than [`Limits::bytes`](super::Limits::bytes).
    #[error("is longer than {0} bytes, which is the limit")]
    TooLong(u64),
    /// There are more values than [`Limits::nodes`](super::Limits::nodes), aliases written out.
    #[error("holds more than {0} values, which is the limit")]
    TooMany(usize),
    /// There are more levels than [`DEPTH`](super::DEPTH).
    #[error("is nested deeper than {} levels, which is the limit", super::DEPTH)]
    TooDeep,
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// It is no text.
    #[error("is not a text: it holds a NUL byte")]
    Binary,
    /// It is a text in another encoding.
    #[error("is not UTF-8")]
    Encoding,
    /// It is not JSON.
    #[error("is not JSON: {0}")]
    Json(String),
    /// It is not YAML, or YAML that JSON has no words for.
    #[error("is not YAML that can be read: {0}")]
    Yaml(String),
    /// An object names a key twice. Readers differ in which of the two they take.
    #[error("names the key `{0}` twice in one object")]
    Duplicate(String),
    /// It is no document of the kinds that are read.
    #[error(
        "{0}; what is read is OpenAPI 3.0 and 3.1, and JSON Schema 2020-12 and draft-07, each as JSON or YAML"
    )]
    Unsupported(String),
}

impl DocumentError {
    pub(super) fn new(fault: DocumentFault) -> Self {
        Self { document: String::new(), spot: None, pointer: String::new(), fault }
    }

    pub(super) fn at(fault: DocumentFault, line: usize, column: usize) -> Self {
        Self { spot: Some((line, column)), ..Self::new(fault) }
    }

    /// With the place that the tokens lead to, the outermost last.
    pub(super) fn under(mut self, outwards: &[String]) -> Self {
        self.pointer =
            outwards.iter().rev().fold(String::new(), |pointer, token| super::child(&pointer, token));
        self
    }

    pub(super) fn within(mut self, document: &str) -> Self {
        document.clone_into(&mut self.document);
        self
    }

    /// The name that the document was read under.
    #[must_use]
    pub fn document(&self) -> &str {
        &self.document
    }

    /// The line, counted from 1, if it is known.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.spot.map(|(line, _)| line)
    }

    /// The column, counted from 1 in characters, if it is known.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.spot.map(|(_, column)| column)
    }

    /// The place as a JSON pointer; empty for the whole document, or if it is not known.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// What is wrong.
    #[must_use]
    pub const fn fault(&self) -> &DocumentFault {
        &self.fault
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.document)?;
        match self.spot {
            Some((line, column)) => write!(f, ":{line}:{column}: {}", self.fault)?,
            None => write!(f, " {}", self.fault)?,
        }
        if self.pointer.is_empty() { Ok(()) } else { write!(f, ", at {}", self.pointer) }
    }
}

// The message says what an input error says, so that it is no source besides.
impl std::error::Error for DocumentError {}
