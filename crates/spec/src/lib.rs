//! OpenAPI and JSON Schema from the wire types, and proof that they cover the documents that the types were
//! made after.
//!
//! Three documents must agree: the *source* (the vendor's, transcribed in `schemas/source/`), the *generated*
//! one (from the types) and the *committed* one. [`check()`] reconciles them and tells what is broken from what
//! is merely stale; [`generate_into`] writes the generated documents by the same path. [`coverage::compare`]
//! works on any two OpenAPI documents.
//!
//! ```
//! use fleetwire_spec::coverage::compare;
//! use serde_json::json;
//!
//! let document = |member: &str| json!({"paths": {"/beat": {"post": {
//!     "requestBody": {"content": {"application/json": {"schema": {"properties": {member: {"type": "string"}}}}}},
//!     "responses": {"204": {}},
//! }}}});
//! let coverage = compare("acme", &document("uptime"), &document("up_time"), &[], &[]);
//! assert_eq!(coverage.findings[0].id.as_str(), "member-renamed");
//! assert_eq!(coverage.findings[0].pointer, "/uptime");
//! ```
//!
//! # Invariants
//! * Nothing is printed here, and nothing but [`generate_into`] writes.
//! * A difference is either gone or a finding: there are no waivers, only patches to the source that say why.

pub mod baseline;
mod changelog;
pub mod changes;
mod check;
pub mod claims;
pub mod coverage;
pub mod deviations;
pub mod document;
pub mod files;
mod finding;
pub mod generate;
pub mod inclusion;
pub mod lint;
mod openapi;
mod pairing;
pub mod schema;
pub mod source;

pub use check::{
    CheckError, Contracts, Held, Proof, Report, Verdict, check, contracts, generate_into, names, prove,
    prove_vendor,
};
pub use finding::{Finding, Fix, Kind, Severity, Side};
