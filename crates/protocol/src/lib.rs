//! Typed wire models of four fleet check-in protocols: Acusight, ZStack agents, AgentMC, ProjectAchilles.
//!
//! An operation is a type that implements [`Endpoint`]: its method, path, credentials, parameters, request,
//! reply and error envelope stand in one file and nowhere else. [`for_each_endpoint!`] is the one list of
//! them. [`codec`] turns calls and replies into bytes and back, for both roles.
//!
#![cfg_attr(feature = "acusight", doc = "```")]
#![cfg_attr(not(feature = "acusight"), doc = "```ignore")]
//! use fleetwire_protocol::{Endpoint, acusight, for_each_endpoint};
//!
//! assert_eq!(acusight::Checkin::PATH, "/core/agent/checkin");
//! macro_rules! request_lines {
//!     ([] $($op:path,)*) => { vec![$(format!("{} {}", <$op>::METHOD, <$op>::PATH)),*] };
//! }
//! let lines = for_each_endpoint!(request_lines!());
//! assert!(lines.contains(&"POST /core/agent/checkin".to_owned()));
//! ```
//!
//! # Features
//! * `acusight`, `zstack`, `agentmc`, `achilles`: the vendors' operations; `all-vendors` (default) is all.
//! * `schema`: `schemars::JsonSchema` of every wire type, in both contracts: what is written, what is read.
//! * `openapi`: `utoipa::ToSchema` of every wire type, converted from that schema. Brings `schema`.
//! * `arbitrary`: proptest strategies of every message.
//!
//! An agent of one vendor switches the default off: schemars, utoipa and proptest are then not in its tree.
//!
//! # Invariants
//! * No async, no IO, no clock, no randomness: where a time is needed it is an argument.
//! * Every status code is chosen here, from a [`Fault`], by the vendor's [`Envelope`] or its endpoint.
//! * Readers ignore members that they do not know, and keep them where a source declares an object open.
//! * A secret never shows itself: no `Display`, a redacted `Debug`.

mod auth;
pub mod codec;
mod endpoint;
mod error;
mod file;
mod operations;
mod params;
mod reply;
mod request;
pub mod wire;

#[cfg(feature = "achilles")]
pub mod achilles;
#[cfg(feature = "acusight")]
pub mod acusight;
#[cfg(feature = "agentmc")]
pub mod agentmc;
#[cfg(feature = "zstack")]
pub mod zstack;

#[doc(hidden)]
pub mod private;

pub use auth::{Auth, AuthHeader, NoAuth};
pub use endpoint::{Call, Documented, Endpoint, Pace, Source, Traffic, Vendor};
pub use error::{Envelope, Fault, FaultKind, Place, Refusal, RetryAfter, Subject, Violation, Violations};
pub use file::{Conditions, File, FileBody, FileHead, Part, Piece, base_name};
pub use params::{Param, ParamPlace, Params};
pub use reply::{
    Content, JsonOr204, JsonReading204, MarksRepeats, Repeatable, Reply, Shape, Streamed, TASK_STATE,
};
pub use request::{Json, NoBody, Request};
