//! What a fleet server decides, whichever vendor's dialect an agent speaks.
//!
//! [`Core`] holds the decisions: who a caller is ([`Identify`]), what each operation does ([`Handle`]), what
//! an operator may do ([`operator`]). It keeps liveness in memory ([`lease`]) and everything else in a
//! [`store::Store`].
//!
//! ```
//! use std::sync::Arc;
//! use fleetwire_server_core::{Clock, Config, Core, Entropy, store::MemoryStore};
//!
//! # async fn start(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<(), Box<dyn std::error::Error>> {
//! let (core, operator) = Core::start(MemoryStore::default(), clock, entropy, Config::default()).await?;
//! // The operator's token of a first start is shown this once; the store keeps its digest.
//! let tenant = operator.and_then(|token| core.operator_tenant(&token));
//! assert!(tenant.is_some());
//! // Liveness is written behind: every second or so, and once at the end.
//! core.flush().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! * No sockets, no SQL, no HTTP framework; time and randomness are arguments ([`Clock`], [`Entropy`]).
//! * No HTTP status is chosen here: a handler fails with a `Fault`, and the protocol puts it into words.
//! * One handler makes at most one store call, and one store call is one transaction.
//! * Everything but liveness is committed before it is answered.
//! * Whoever calls a handler sees it through to its end: one that is dropped midway may have changed the store without
//!   this process knowing of it.
//! * Nothing crosses tenants: a key of one never names a row of another, not even to say that it exists.
//! * Domain types are not wire types, and cannot be written as such.

mod achilles;
mod acusight;
mod agentmc;
mod catalogue;
mod core;
mod dialect;
pub mod domain;
mod enrolling;
pub mod events;
mod handle;
pub mod keys;
pub mod lease;
pub mod operator;
mod packed;
mod ports;
mod rate;
mod registry;
mod sightings;
pub mod store;
mod zstack;

pub use self::core::{Config, Core, KeyScope, StartError};
pub use dialect::work_words;
pub use handle::{Handle, Identify, Origin, admit, answer};
pub use ports::{Clock, Entropy};
pub use rate::{Meters, Rate};
pub use registry::AgentRecord;
