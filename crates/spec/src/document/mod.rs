//! Documents as they are read: OpenAPI 3.0 and 3.1, and JSON Schema 2020-12 and draft-07, each as JSON or YAML.
//!
//! A [`Document`] is a value with its [`Dialect`] and its text, so that a finding can name a line. A [`Place`]
//! stands somewhere in it, follows references and knows its canonical pointer.
//!
//! ```
//! use fleetwire_spec::document::{Dialect, Document};
//!
//! let document = Document::parse("beat.yaml", b"openapi: 3.1.0\npaths:\n  /beat: {}\n")?;
//! assert_eq!(document.dialect(), Dialect::OpenApi31);
//! let line = document.line("/paths/~1beat").expect("it is there");
//! assert_eq!(line.to_string(), "beat.yaml:3");
//!
//! let error = Document::parse("beat.yaml", b"openapi: 3.1.0\npaths:\n  /beat: {}\n  /beat: {}\n");
//! let error = error.expect_err("a name is there twice");
//! assert_eq!(error.to_string(), "beat.yaml:4:3: names the key `/beat` twice in one object, at /paths");
//! # Ok::<(), fleetwire_spec::document::DocumentError>(())
//! ```
//!
//! # What is read
//! The content decides, not the name of the file: JSON is tried where a text begins with `{` or `[`, and YAML
//! otherwise, or if it was no JSON and the file is not called so. YAML is that of version 1.2: `no`, `on` and dates
//! are texts, keys such as `200` are names, aliases are written out, and `<<` merges. Keys that are there twice are
//! refused. References to other files in the folder of the document, or beneath it, are followed
//! ([`Document::read`], [`Document::gather`]); nothing is ever fetched from a network.

mod error;
mod files;
mod json;
mod marks;
mod place;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

pub use self::error::{DocumentError, DocumentFault};
pub use self::files::references;
use self::marks::Marks;
pub use self::place::{Place, ReferenceError};

/// Levels that a document may be nested in. It is the depth that `serde_json` reads, and some 60 levels of objects
/// within objects in a schema; what walks a document may rely on it.
pub const DEPTH: usize = 127;

/// The member of a document under which other files that it refers to are kept.
pub(crate) const FILES: &str = "x-fleetwire-files";

/// The language that the schemas of a document are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// OpenAPI 3.0: `nullable`, boolean `exclusiveMinimum`, nothing stands beside a `$ref`.
    OpenApi30,
    /// OpenAPI 3.1, whose schemas are those of JSON Schema 2020-12.
    OpenApi31,
    /// JSON Schema draft-07: an array of `items`, `dependencies`, nothing stands beside a `$ref`.
    Draft07,
    /// JSON Schema 2020-12.
    Draft202012,
}

impl Dialect {
    /// Whether it is one of OpenAPI.
    #[must_use]
    pub const fn is_openapi(self) -> bool {
        matches!(self, Self::OpenApi30 | Self::OpenApi31)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenApi30 => "OpenAPI 3.0",
            Self::OpenApi31 => "OpenAPI 3.1",
            Self::Draft07 => "JSON Schema draft-07",
            Self::Draft202012 => "JSON Schema 2020-12",
        })
    }
}

/// How large a document may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of each file. Unless set, 64 MiB.
    pub bytes: u64,
    /// Values of each file, with YAML's aliases written out. Unless set, four million, which a usual document of
    /// 50 MB stays under.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, nodes: 4_000_000 }
    }
}

/// A document with its text. A clone is cheap.
#[derive(Debug, Clone)]
pub struct Document {
    root: Arc<Value>,
    dialect: Dialect,
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    main: File,
    /// The other files by the pointer that they stand at.
    others: Vec<(String, File)>,
    /// Why other files that are referred to could not be had, by their names.
    missing: BTreeMap<String, String>,
    /// What has an `$anchor` or `$id`, once it was asked for.
    named: OnceLock<BTreeMap<String, String>>,
}

/// One file of a document.
#[derive(Debug)]
struct File {
    name: String,
    text: String,
    /// Those of YAML are there at once, those of JSON when they are first asked for.
    marks: OnceLock<Option<Marks>>,
}

impl Document {
    /// Reads a file, and the other files of its folder that it refers to.
    ///
    /// # Errors
    /// One of the files cannot be read, exceeds the default [`Limits`], is malformed or of an unknown kind. A file
    /// that is referred to and is not there is no error here, but one of who follows that reference.
    pub fn read(path: &Path) -> Result<Self, DocumentError> {
        let limits = Limits::default();
        let name = path.display().to_string();
        let bytes = files::read(path, &limits).map_err(|fault| DocumentError::new(fault).within(&name))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Self::gather(&name, &bytes, &limits, &mut |other| files::read_beneath(&folder, other, &limits))
    }

    /// Reads a document from the content of a file. References to other files lead nowhere.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, DocumentError> {
        Self::gather(name, bytes, &Limits::default(), &mut |_| {
            Err("references to other files are not followed here".to_owned())
        })
    }

    /// Reads a document from the content of a file, and has the other files that it refers to given by `fetch`: their
    /// names are paths from the folder of the document, such as `common/agent.yaml`, and never lead out of it. The
    /// text of an error of `fetch` is shown to who follows the reference.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn gather(
        name: &str,
        bytes: &[u8],
        limits: &Limits,
        fetch: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, DocumentError> {
        let (mut root, main) = read_file(name, bytes, limits)?;
        let dialect = dialect(&root).map_err(|(pointer, fault)| {
            let mark = main.find(&root, pointer);
            let error = match mark {
                Some(mark) if !pointer.is_empty() => {
                    DocumentError::at(fault, mark.line as usize, mark.column as usize)
                }
                _ => DocumentError::new(fault),
            };
            error.within(name)
        })?;
        let (others, missing) = files::gather(&mut root, name, limits, fetch)?;
        Ok(Self {
            root: Arc::new(root),
            dialect,
            parts: Arc::new(Parts { main, others, missing, named: OnceLock::new() }),
        })
    }

    /// The name that it was read under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.parts.main.name
    }

    /// Its text, without a byte order mark.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.parts.main.text
    }

    /// Its value. Other files that it refers to are kept in a member `x-fleetwire-files`, and the references lead
    /// there.
    #[must_use]
    pub const fn value(&self) -> &Arc<Value> {
        &self.root
    }

    /// What it is written in.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> Place<'_> {
        Place::root(self)
    }

    /// The place that a JSON pointer leads to, without following references.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<Place<'_>> {
        Place::at(self, pointer)
    }

    /// The line of a value; that of its key if it is a member of an object. Where a value is not there, that of the
    /// innermost one on the way that is.
    #[must_use]
    pub fn line(&self, pointer: &str) -> Option<Line> {
        let (file, inner) = self.file(pointer);
        let value = match &self.parts.others.iter().find(|(_, other)| std::ptr::eq(other, file)) {
            Some((prefix, _)) => self.root.pointer(prefix)?,
            None => &*self.root,
        };
        let mark = file.find(value, inner)?;
        Some(Line { file: file.name.clone(), line: mark.line as usize, column: mark.column as usize })
    }

    /// A pointer as its file knows it: the name of the file, and the pointer in it.
    #[must_use]
    pub fn origin<'p>(&self, pointer: &'p str) -> (&str, &'p str) {
        let (file, inner) = self.file(pointer);
        (&file.name, inner)
    }

    /// The pointer of what has an id, or an `$anchor` behind a `#`.
    fn named(&self, name: &str) -> Option<&str> {
        self.parts.named.get_or_init(|| files::named(&self.root)).get(name).map(String::as_str)
    }

    fn file<'p>(&self, pointer: &'p str) -> (&File, &'p str) {
        let other = self.parts.others.iter().find_map(|(prefix, file)| {
            let inner = pointer.strip_prefix(prefix.as_str())?;
            (inner.is_empty() || inner.starts_with('/')).then_some((file, inner))
        });
        other.unwrap_or((&self.parts.main, pointer))
    }
}

impl File {
    fn find(&self, value: &Value, pointer: &str) -> Option<marks::Mark> {
        let marks = self.marks.get_or_init(|| json::marks(&self.text)).as_ref()?;
        let tokens: Vec<String> = tokens(pointer).collect();
        marks.find(value, &tokens, FILES)
    }
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[non_exhaustive]
pub struct Line {
    /// The name that the file was read under.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters; in bytes in JSON from the 4096th byte of a line on.
    pub column: usize,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Reads one file.
fn read_file(name: &str, bytes: &[u8], limits: &Limits) -> Result<(Value, File), DocumentError> {
    let (value, text, marks) = read_text(name, bytes, limits).map_err(|error| error.within(name))?;
    let marks = marks.map_or_else(OnceLock::new, |marks| OnceLock::from(Some(marks)));
    Ok((value, File { name: name.to_owned(), text: text.to_owned(), marks }))
}

fn read_text<'b>(
    name: &str,
    bytes: &'b [u8],
    limits: &Limits,
) -> Result<(Value, &'b str, Option<Marks>), DocumentError> {
    if bytes.len() as u64 > limits.bytes {
        return Err(DocumentError::new(DocumentFault::TooLong(limits.bytes)));
    }
    let line_of = |at: usize| bytes.iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let start = bytes.iter().take(at).rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let before = bytes.get(start..at).unwrap_or_default();
        let column = String::from_utf8_lossy(before).chars().count() + 1;
        DocumentError::at(DocumentFault::Encoding, line_of(at), column)
    })?;
    if bytes.contains(&0) {
        return Err(DocumentError::new(DocumentFault::Binary));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let start = text.trim_start();
    if start.is_empty() {
        return Err(DocumentError::new(DocumentFault::Empty));
    }
    let called_json = name.to_ascii_lowercase().ends_with(".json");
    if !called_json && !start.starts_with(['{', '[']) {
        let (value, marks) = yaml::read(text, limits)?;
        return Ok((value, text, Some(marks)));
    }
    match json::read(text, limits) {
        Ok(value) => Ok((value, text, None)),
        // A flow mapping of YAML begins like an object of JSON.
        Err(error) if !called_json && matches!(error.fault(), DocumentFault::Json(_)) => {
            match yaml::read(text, limits) {
                Ok((value, marks)) => Ok((value, text, Some(marks))),
                Err(_) if start[1..].trim_start().starts_with(['"', '{', '[']) => Err(error),
                Err(other) => Err(other),
            }
        }
        Err(error) => Err(error),
    }
}

/// What a document is written in, or where it says that it is something else, and what.
fn dialect(root: &Value) -> Result<Dialect, (&'static str, DocumentFault)> {
    let unsupported = |pointer, what: String| Err((pointer, DocumentFault::Unsupported(what)));
    let members = match root {
        Value::Object(members) => members,
        // A schema may be a mere yes or no.
        Value::Bool(_) => return Ok(Dialect::Draft202012),
        other => return unsupported("", format!("is {}, not an object", kind(other))),
    };
    if let Some(version) = members.get("swagger") {
        return unsupported("/swagger", format!("is Swagger {}", shown(version)));
    }
    if let Some(version) = members.get("openapi") {
        let dialect = match version {
            Value::String(version) if is_of(version, "3.0") => Dialect::OpenApi30,
            Value::String(version) if is_of(version, "3.1") => Dialect::OpenApi31,
            Value::String(version) => return unsupported("/openapi", format!("is OpenAPI {version}")),
            other => {
                let what = format!("has `openapi: {}`, which is {}, not a text", shown(other), kind(other));
                return unsupported("/openapi", what);
            }
        };
        return match members.get("jsonSchemaDialect") {
            None => Ok(dialect),
            Some(Value::String(uri))
                if uri.starts_with("https://spec.openapis.org/oas/3.1/dialect/")
                    || schema_dialect(uri) == Some(Dialect::Draft202012) =>
            {
                Ok(dialect)
            }
            Some(other) => {
                unsupported("/jsonSchemaDialect", format!("has schemas of the dialect {}", shown(other)))
            }
        };
    }
    for (member, what) in [("asyncapi", "AsyncAPI"), ("arazzo", "Arazzo"), ("overlay", "Overlay")] {
        if let (Some(version @ Value::String(_)), false) = (members.get(member), members.contains_key("type"))
        {
            return unsupported("", format!("is {what} {}", shown(version)));
        }
    }
    match members.get("$schema") {
        Some(Value::String(uri)) => match schema_dialect(uri) {
            Some(dialect) => Ok(dialect),
            None => unsupported("/$schema", format!("is written in {uri}")),
        },
        Some(other) => unsupported("/$schema", format!("has a `$schema` that is {}", kind(other))),
        None if members.contains_key("paths") || members.contains_key("info") => {
            unsupported("", "has `paths` or `info` like OpenAPI, but no `openapi`".to_owned())
        }
        None => Ok(Dialect::Draft202012),
    }
}

fn is_of(version: &str, minor: &str) -> bool {
    version.strip_prefix(minor).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
}

fn schema_dialect(uri: &str) -> Option<Dialect> {
    let uri = uri.strip_prefix("https://").or_else(|| uri.strip_prefix("http://"))?;
    match uri.trim_end_matches('#') {
        "json-schema.org/draft/2020-12/schema" => Some(Dialect::Draft202012),
        "json-schema.org/draft-07/schema" => Some(Dialect::Draft07),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The pointer of a member or item.
pub(crate) fn child(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}

/// The keys that a pointer names.
pub(crate) fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}
