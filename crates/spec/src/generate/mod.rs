//! The published documents, made from the wire types, their rules and their operations.
//!
//! What is committed under `schemas/openapi`, `schemas/json-schema`, in `docs/rules.md` and in
//! `crates/validation/src/look/accept.json` is exactly what [`documents`] makes; the operations' table of a
//! README is put between two marks by [`with_operations`].
//!
//! ```
//! use fleetwire_spec::generate::{Version, openapi};
//!
//! let document = openapi("acusight", Version::V31)?;
//! let status = "/components/schemas/handlers.CheckinRequest/properties/status/type";
//! assert_eq!(document.pointer(status), Some(&"string".into()));
//! # Ok::<(), fleetwire_spec::generate::Error>(())
//! ```

mod contract;
mod document;
mod laying;
mod look;
mod markdown;
mod operation;
mod v30;

use serde_json::{Map, Value};

use contract::Contract;
use fleetwire_validation::Side;
use operation::Operation;

pub use markdown::{OPERATIONS_BEGIN, OPERATIONS_END, operations_table, with_operations};

/// The command that makes the documents, as each of them says.
pub const COMMAND: &str = "cargo xtask generate";

/// A generated document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Where it belongs, from the root of the repository, with `/` between folders.
    pub path: String,
    /// Its whole text.
    pub content: String,
}

/// A version of OpenAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// 3.1.0, whose schemas are JSON Schema 2020-12.
    V31,
    /// 3.0.3.
    V30,
}

/// Why the documents cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No operation belongs to a vendor of this name.
    #[error("there is no vendor {0:?}")]
    UnknownVendor(String),
    /// Two messages of a vendor bear one name and do not have one schema.
    #[error("{vendor} has two messages called {name} that differ")]
    Ambiguous {
        /// The vendor's short name.
        vendor: &'static str,
        /// The name of both.
        name: String,
    },
    /// A text has no pair of marks to put the operations' table between.
    #[error("the marks {OPERATIONS_BEGIN:?} and {OPERATIONS_END:?} do not stand in the text, in this order")]
    NoMarks,
    /// A document that cannot be written as JSON.
    #[error("a document cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// The short names of the vendors, in the order of the list of operations.
#[must_use]
pub fn vendors() -> Vec<&'static str> {
    let mut vendors: Vec<_> = operation::all().iter().map(|operation| operation.vendor.id).collect();
    vendors.dedup();
    vendors
}

/// The OpenAPI document of a vendor: the emit contract, under the source's own paths and names.
///
/// # Errors
/// There is no such vendor.
pub fn openapi(vendor: &str, version: Version) -> Result<Value, Error> {
    let mut document = contract(vendor, Side::Emit)?;
    if version == Version::V30 {
        v30::convert(&mut document);
    }
    Ok(sorted(document))
}

/// The OpenAPI 3.1 document of a vendor's operations in either contract. That of the emitting side is published;
/// that of the accepting side holds the tolerances as well.
///
/// # Errors
/// There is no such vendor.
pub fn contract(vendor: &str, side: Side) -> Result<Value, Error> {
    let operations = operations_of(vendor)?;
    document::openapi(&operations, Contract::new(&operations, side))
}

/// The JSON Schema of each message of a vendor, by the message's name.
///
/// # Errors
/// There is no such vendor, or two of its messages cannot be told apart.
pub fn json_schemas(vendor: &str, side: Side) -> Result<Map<String, Value>, Error> {
    let operations = operations_of(vendor)?;
    let schemas = document::json_schemas(&operations, &Contract::new(&operations, side), side)?;
    Ok(schemas.into_iter().map(|(name, schema)| (name, sorted(schema))).collect())
}

/// Every document that is a file of its own, in the order of the paths.
///
/// # Errors
/// Two messages of a vendor cannot be told apart.
pub fn documents() -> Result<Vec<Document>, Error> {
    let mut documents = vec![
        Document { path: "docs/rules.md".to_owned(), content: markdown::rules() },
        Document { path: "docs/spec-rules.md".to_owned(), content: markdown::guard_rules() },
    ];
    let mut looked_at = Map::from_iter([("x-generated-by".to_owned(), COMMAND.into())]);
    for vendor in vendors() {
        looked_at.extend(look::schemas(&operations_of(vendor)?));
        for (version, ending) in [(Version::V31, "json"), (Version::V30, "3.0.json")] {
            let path = format!("schemas/openapi/{vendor}.{ending}");
            documents.push(Document { path, content: written(&openapi(vendor, version)?)? });
        }
        for (side, ending) in [(Side::Emit, "json"), (Side::Accept, "accept.json")] {
            for (name, schema) in json_schemas(vendor, side)? {
                let path = format!("schemas/json-schema/{vendor}/{name}.{ending}");
                documents.push(Document { path, content: written(&schema)? });
            }
        }
    }
    let content = written(&sorted(looked_at.into()))?;
    documents.push(Document { path: look::PATH.to_owned(), content });
    documents.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(documents)
}

fn operations_of(vendor: &str) -> Result<Vec<Operation>, Error> {
    let operations: Vec<_> = operation::all().into_iter().filter(|one| one.vendor.id == vendor).collect();
    if operations.is_empty() { Err(Error::UnknownVendor(vendor.to_owned())) } else { Ok(operations) }
}

/// Orders the members of every object by their names: a build may have switched on serde_json's
/// `preserve_order`, and the documents must not change with it.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            members.into_iter().map(|(name, value)| (name, sorted(value))).collect()
        }
        Value::Array(elements) => elements.into_iter().map(sorted).collect(),
        other => other,
    }
}

fn written(value: &Value) -> Result<String, Error> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}
