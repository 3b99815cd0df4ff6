//! ZStack "Infrastructure/Agents": log, metric and trace agents of a cloud platform.
//!
//! Source: `zstack-agent-heartbeat`, a page of the vendor's API explorer.
//!
//! # Quirks: do not spread
//! * The page's own example contradicts its table: `uptime` is a string there and a number here, the
//!   percentages are "Long" and have a fraction (ZS-1, ZS-2).
//! * Ids are called UUIDs and are not (ZS-7).
//! * `labels` is JSON text inside a string (ZS-6).
//! * Failures are documented for one operation of the group only; their statuses for none.

mod auth;
mod envelope;
mod heartbeat;

pub use auth::{BearerAuth, BearerToken};
pub use envelope::{ErrorCode, ErrorReply};
pub use heartbeat::{Agent, AgentPath, AgentStatus, AgentType, Heartbeat, HeartbeatRequest};

use crate::Vendor;

/// The vendor.
#[derive(Debug, Clone, Copy)]
pub struct ZStack;

impl Vendor for ZStack {
    const ID: &'static str = "zstack";
    const NAME: &'static str = "ZStack agents";
    const BASE: &'static str = "";
    type Error = ErrorReply;
}

crate::text_id! {
    /// An agent's id, such as `agent-abc123-def456`: opaque, whatever its name says (ZS-7).
    pub struct AgentUuid;
}
