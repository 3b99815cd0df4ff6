//! ZStack "Infrastructure/Agents": log, metric and trace agents of a cloud platform.
//!
//! Source: `zstack-agent-heartbeat`, a page of the vendor's API explorer. The companions are from other pages of it,
//! named here as `zstack-api-explorer`.
//!
//! # Quirks: do not spread
//! * The page's own example contradicts its table: `uptime` is a string there and a number here, the
//!   percentages are "Long" and have a fraction (ZS-1, ZS-2).
//! * Ids are called UUIDs and are not (ZS-7).
//! * `labels` is JSON text inside a string (ZS-6).
//! * Failures are documented for one operation of the group only; their statuses for none.
//!
//! ```
//! use fleetwire_protocol::zstack::HeartbeatRequest;
//!
//! // The source's table has `uptime` as text, its example as a number: both are read, a number is written.
//! let text = r#"{"version":"1.2.3","uptime":"86400","cpuUsage":12.5,"memUsage":35.2}"#;
//! let read: HeartbeatRequest = serde_json::from_str(text).unwrap();
//! assert_eq!(read, HeartbeatRequest::new("1.2.3", 86400, 12.5, 35.2));
//! assert_eq!(serde_json::to_string(&read).unwrap(), text.replace(r#""86400""#, "86400"));
//! ```

mod action_result;
mod auth;
mod auto_register_heartbeat;
mod envelope;
mod heartbeat;
mod list_by_lifecycle_status;
mod register;
mod send_action;

pub use action_result::{ActionResult, ActionResultPath, ActionStatus, GetActionResult};
pub use auth::{BearerAuth, BearerToken};
pub use auto_register_heartbeat::{AutoRegisterHeartbeat, AutoRegisterReply, AutoRegisterRequest};
pub use envelope::{ErrorCode, ErrorReply};
pub use heartbeat::{Agent, AgentPath, AgentStatus, AgentType, Heartbeat, HeartbeatRequest};
pub use list_by_lifecycle_status::{
    LifecyclePage, LifecycleQuery, LifecycleSnapshot, ListByLifecycleStatus, PageFigure,
};
pub use register::{Register, RegisterRequest};
pub use send_action::{ActionId, ActionName, ActionPath, ActionReply, ActionRequest, SendAction};

use crate::Vendor;

/// The vendor.
#[derive(Debug, Clone, Copy)]
pub struct ZStack;

impl Vendor for ZStack {
    const ID: &'static str = "zstack";
    const NAME: &'static str = "ZStack agents";
    const BASE: &'static str = "";
    const ADDRESS: &'static str = "{host}";
    type Error = ErrorReply;
}

crate::text_id! {
    /// An agent's id, such as `agent-abc123-def456`: opaque, whatever its name says (ZS-7).
    pub struct AgentUuid;
}
