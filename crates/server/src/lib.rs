//! HTTP for a fleet: the agents' side as one tower [`AgentService`], the operators' side as a [`control`] API,
//! and [`serve`], which puts both on a listener.
//!
//! The agents' side in an axum application of one's own:
//!
//! ```
//! use std::sync::Arc;
//! use fleetwire_server::{AgentService, SystemClock, SystemEntropy};
//! use fleetwire_server_core::{Config, Core, store::MemoryStore};
//!
//! # async fn app() -> Result<(), fleetwire_server_core::StartError> {
//! let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy::default()));
//! let (core, _operator_token) = Core::start(MemoryStore::default(), clock, entropy, Config::default()).await?;
//! let app: axum::Router = axum::Router::new()
//!     .route("/hello", axum::routing::get(|| async { "my own route" }))
//!     .fallback_service(AgentService::new(Arc::new(core)));
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! * No vendor is named outside `mounts.rs`: everything else is generic over operations.
//! * No status is chosen for an agent here: a fault goes to the protocol, which knows the vendor's words.
//! * The caller is identified before its body is read.
//! * Whatever a stranger can send is bounded: headers, body, time, connections.
//! * The one real clock and the one real source of randomness are in `system.rs`.

mod body;
mod committer;
pub mod control;
mod limits;
mod mounts;
mod objects;
mod patience;
mod serve;
mod service;
mod system;
mod through;

pub use limits::{AddressLimits, Peer};
pub use mounts::{Mount, mounts};
pub use objects::{ObjectLimits, Objects, Payload};
pub use serve::{Listener, Settings, serve, serve_all};
pub use service::{AgentService, Answering, Rooting};
pub use system::{SystemClock, SystemEntropy};
