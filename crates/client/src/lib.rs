//! Agent SDK: whole agents of four fleet check-in protocols, and the typed calls below them.
//!
//! [`Agent`] is an agent that enrols, reports, does work, hands over what came of it, and survives whatever happens
//! to it meanwhile: see the vendors' modules for ten lines each, [`agent`] for what it promises, [`work`] for who
//! does the work, and [`store`] for where its state lies. The rest of this page is about single calls.
//!
//! [`Client::send`] takes any operation of [`protocol`] and gives its reply, or an error that still holds what
//! the server said. What may pass is tried again by a [`RetryPolicy`]; what cannot is handed up at once.
//!
//! A device's first check-in:
//!
#![cfg_attr(all(feature = "reqwest", feature = "acusight"), doc = "```no_run")]
#![cfg_attr(not(all(feature = "reqwest", feature = "acusight")), doc = "```ignore")]
//! use fleetwire_client::protocol::Call;
//! use fleetwire_client::protocol::acusight::{Checkin, CheckinRequest, DeviceKey};
//!
//! # async fn check_in() -> Result<(), Box<dyn std::error::Error>> {
//! let client = fleetwire_client::connect("http://127.0.0.1:8080/acusight/api")?;
//! let key = DeviceKey::from(std::env::var("DEVICE_KEY")?);
//! let call = Call::<Checkin>::new(CheckinRequest::new("ABCD:1234:5678:EFGH"));
//! let reply = client.send(&key, &call).await?;
//! for action in &reply.pending_actions {
//!     println!("{action:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! * `reqwest` (default): `connect` and `ReqwestTransport`, over TLS by rustls on ring. Brings `tokio`.
//! * `ureq`: `UreqTransport` and the blocking driver over it, for small devices: no async runtime.
//! * `disk` (default): `DiskStore`, an agent's state in a folder, sealed if wanted, and `download`. Brings `ring`.
//! * `host-facts`: `host`, what the machine says of itself; an agent that is given no source of reports reports that.
//! * `update`: `update`, a program that changes itself for a newer version and back if that is no good.
//! * `tokio`: `TokioRuntime`, the real clock. Without it the crate needs no async runtime: bring a
//!   [`Transport`] and a [`Runtime`].
//! * `system`: the system's clock and randomness, and with them the blocking driver over any [`BlockingTransport`].
//! * `acusight`, `zstack`, `agentmc`, `achilles`: the vendors' operations; `all-vendors` (default) is all.
//! * `check` (default): a call that breaks a rule is told before it is sent, with every place and rule; see
//!   `Check`. On by itself in builds with debug assertions only. Brings the rules of all vendors.
//!
//! # Invariants
//! * No crate of the server side is known here; the two meet only in tests.
//! * A secret is never logged or shown: of requests, errors and `Debug` show nothing; of answers, which may
//!   hold a new key, the vendor's error envelope and the one value that is not what a reply has there.
//! * Time, randomness and sleeping are arguments ([`Runtime`]); one type has the real ones.
//! * Credentials never follow a redirect: a redirect is an answer like any other.

pub mod agent;
#[cfg(feature = "disk")]
pub mod download;
#[cfg(feature = "host-facts")]
pub mod host;
pub mod store;
#[cfg(feature = "update")]
pub mod update;
pub mod work;

#[cfg(feature = "achilles")]
pub mod achilles;
#[cfg(feature = "acusight")]
pub mod acusight;
#[cfg(feature = "agentmc")]
pub mod agentmc;
#[cfg(feature = "zstack")]
pub mod zstack;

mod address;
#[cfg(feature = "check")]
mod check;
mod client;
mod driver;
mod error;
mod retry;
mod runtime;
mod transport;

#[cfg(feature = "reqwest")]
mod reqwest_transport;
#[cfg(feature = "ureq")]
mod ureq_transport;

pub use address::AddressError;
#[cfg(feature = "check")]
pub use check::Check;
pub use client::{Client, Fetched};
pub use driver::{Agent, Handle, RunError};
pub use error::SendError;
pub use fleetwire_protocol as protocol;
pub use retry::RetryPolicy;
pub use runtime::{Runtime, Sleep};
pub use transport::{
    BlockingChunks, BlockingStreamTransport, BlockingTransport, Cause, Chunks, StreamTransport, Transport,
    TransportError,
};

#[cfg(feature = "reqwest")]
pub use reqwest_transport::{
    ConnectError, ReqwestBody, ReqwestError, ReqwestErrorKind, ReqwestTransport, ReqwestTransportBuilder,
    connect,
};
#[cfg(feature = "tokio")]
pub use runtime::TokioRuntime;
#[cfg(feature = "disk")]
pub use transport::FileFetcher;
#[cfg(feature = "ureq")]
pub use ureq_transport::{UreqBody, UreqError, UreqTransport, UreqTransportBuilder};
