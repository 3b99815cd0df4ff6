//! ProjectAchilles: endpoint agents that run security tests.
//!
//! Source: `achilles-agent-device`, a page of prose with one example for each of three messages. What it does
//! not say is taken from the vendor's deployed server and agent and marked *deployed*.
//!
//! # Quirks: do not spread
//! * The key travels in `X-Agent-Key` in the source and in `Authorization` in the deployed form (PA-1); our
//!   client sends both, and two different ones are refused.
//! * Enrolment answers with two names for the key and two for the public key (PA-2).
//! * A poll answers one task, not a list, or 204 (PA-3).
//! * Members that are null when empty stand beside members that must be absent (PA-7).
//!
//! ```
//! use fleetwire_protocol::achilles::{AgentCredentials, TaskStatus};
//!
//! // Keys never show themselves.
//! let credentials = AgentCredentials::new("agent-1", "ak_00ff");
//! assert!(!format!("{credentials:?}").contains("00ff"));
//! assert_eq!(TaskStatus::from("assigned"), TaskStatus::Assigned);
//! ```

mod answer;
mod auth;
mod check_update;
mod download_binary;
mod download_update;
mod enroll;
mod envelope;
mod heartbeat;
mod poll_tasks;
mod report_result;
mod report_status;
mod task;
mod version;

pub use answer::Answer;
pub use auth::{AgentAuth, AgentCredentials, AgentKey, PresentedAgent};
pub use check_update::{CheckUpdate, UpdateInfo};
pub use download_binary::{BinaryWish, DownloadBinary};
pub use download_update::{DownloadUpdate, UpdateWish};
pub use enroll::{Enroll, EnrollData, EnrollRequest, EnrollmentToken};
pub use envelope::{ErrorDetail, ErrorReply};
pub use heartbeat::{
    AgentStatus, Heartbeat, HeartbeatData, HeartbeatRequest, ReconnectContext, ReconnectReason,
    SystemAtFailure, SystemMetrics,
};
pub use poll_tasks::PollTasks;
pub use report_result::{
    BundleControl, BundleResults, ReportResult, ResultAnswer, TaskPath, TaskResultRequest,
};
pub use report_status::{ReportStatus, TaskStatusUpdate};
pub use task::{NoteRevision, Task, TaskMetadata, TaskPayload, TaskResult, TaskStatus, TaskType};
pub use version::{RunningVersion, Version, VersionInfo};

use std::time::Duration;

use http::HeaderMap;

use crate::{Auth, Fault, Pace, Vendor};

/// The vendor.
#[derive(Debug, Clone, Copy)]
pub struct Achilles;

impl Vendor for Achilles {
    const ID: &'static str = "achilles";
    const NAME: &'static str = "ProjectAchilles";
    const BASE: &'static str = "";
    const ADDRESS: &'static str = "{server_url}";
    // Deployed: counted for each address and agent.
    const PACE: Option<Pace> = Some(Pace { requests: 30, within: Duration::from_secs(60) });
    type Error = ErrorReply;

    // The deployed server asks for credentials before it looks at the route.
    fn unrouted(headers: &HeaderMap) -> Fault {
        AgentAuth::extract(headers).err().unwrap_or(Fault::NoRoute)
    }
}

crate::text_id! {
    /// An agent's id: a UUID.
    pub struct AgentId;
    /// A task's id: a UUID.
    pub struct TaskId;
}

crate::open_enum! {
    /// An operating system. Origin: the example; the words are deployed.
    pub enum Os {
        /// Windows.
        Windows = "windows",
        /// Linux.
        Linux = "linux",
        /// macOS.
        Darwin = "darwin",
    }
}

crate::open_enum! {
    /// A processor's architecture. Origin: the example; the words are deployed.
    pub enum Arch {
        /// x86-64.
        Amd64 = "amd64",
        /// AArch64.
        Arm64 = "arm64",
    }
}
