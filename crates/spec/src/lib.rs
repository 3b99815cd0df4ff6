//! Is every message that one document allows a message that another accepts?
//!
//! * [`inclusion`]: the engine. Is every document of one JSON Schema a document of another? Proved, refuted by a
//!   document, or undecided with the reasons.
//! * [`changes`]: two versions of one OpenAPI document or schema; every difference, for whom it breaks, and a message
//!   that shows it.
//! * [`claims`]: two documents of two parties. [`claims::conform`] proves the one against the other in the role of a
//!   server or a client; [`coverage`] is the claim that every name of either is at the other.
//! * [`lint`]: what is wrong within one document.
//! * [`document`]: OpenAPI 3.0 and 3.1 and JSON Schema, in JSON or YAML, with the line of every place.
//!
//! ```
//! use fleetwire_spec::Severity;
//! use fleetwire_spec::changes::{Options, compare};
//! use fleetwire_spec::document::Document;
//! use fleetwire_spec::inclusion::{Prover, Settings};
//!
//! let schema = |most: u32| format!("type: object\nproperties:\n  load: {{type: number, maximum: {most}}}\n");
//! let old = Document::parse("beat.yaml", schema(100).as_bytes())?;
//! let new = Document::parse("beat.yaml", schema(90).as_bytes())?;
//! let changes = compare(&old, &new, &Options::default(), &mut Prover::new(Settings::default()))?;
//! let worst = changes.findings.iter().find(|found| found.severity == Severity::Error).unwrap();
//! assert_eq!(worst.at, "/load");
//! assert_eq!(worst.witness.as_ref().unwrap().document, serde_json::json!({"load": 91}));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! On these stands the check of our own types. Three documents must agree: the *source* (the vendor's, transcribed in
//! `schemas/source/`), the *generated* one (from the types, [`generate`]) and the *committed* one. [`check()`] reconciles
//! them and tells what is broken from what is merely stale; [`generate_into`] writes the generated documents by the
//! same path; [`baseline`] holds them against what released versions promised.
//!
//! # Invariants
//! * Nothing is printed here, and nothing but [`generate_into`], [`generate_with`] and [`baseline::keep`] writes. No
//!   network.
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
    CheckError, Contracts, Held, Proof, Report, Verdict, check, check_with, contracts, generate_into,
    generate_with, names, prove, prove_vendor,
};
pub use finding::{Finding, Fix, Kind, Severity, Side};
