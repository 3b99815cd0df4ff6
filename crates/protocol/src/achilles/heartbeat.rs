use http::Method;
use serde::{Deserialize, Serialize};

use super::{Achilles, AgentAuth, AgentKey, Answer, Arch, ErrorReply, Os, TaskId};
use crate::wire::{Number, OrNull, Timestamp, int};
use crate::{Documented, Endpoint, Json, Source};

/// `POST /api/agent/heartbeat`: an agent reports its state and its machine's load.
///
/// Source: `achilles-agent-device`, "Heartbeat".
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat;

impl Endpoint for Heartbeat {
    type Vendor = Achilles;
    type Auth = AgentAuth;
    type Params = ();
    type Request = Json<HeartbeatRequest>;
    type Reply = Json<Answer<HeartbeatData>>;
    type Error = ErrorReply;
    const ID: &'static str = "achilles.heartbeat";
    const SUMMARY: &'static str = "An agent reports its state and its machine's load";
    const TAG: &'static str = "Agent Device Endpoints";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/agent/heartbeat";
    const SOURCE: Source = Source::new("achilles-agent-device", "Heartbeat");
    const FAILURES: &'static [Documented] = &[];
}

/// What an agent reports.
///
/// Origin: `achilles-agent-device`, "Heartbeat", body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct HeartbeatRequest {
    /// When it was written, ISO 8601 in UTC; within 300 s of the server's clock (deployed). Required.
    ///
    /// Origin: `timestamp`.
    pub timestamp: Timestamp,
    /// What the agent is doing. Required.
    ///
    /// Origin: `status`.
    pub status: AgentStatus,
    /// The task at work. Required, may be null; absent reads as null (PA-7).
    ///
    /// Origin: `current_task`.
    #[serde(default)]
    pub current_task: OrNull<TaskId>,
    /// The machine's load and the agent's own. Required.
    ///
    /// Origin: `system`.
    pub system: SystemMetrics,
    /// Version of the agent's binary. Required, may be empty.
    ///
    /// Origin: `agent_version`.
    pub agent_version: String,
    /// The task last finished. Required, may be null; absent reads as null (PA-7).
    ///
    /// Origin: `last_task_completed`.
    #[serde(default)]
    pub last_task_completed: OrNull<TaskId>,
    /// Why the agent was away; only in the first heartbeat after a gap. Null reads as absent, never written.
    ///
    /// Origin: `reconnect_reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnect_reason: Option<ReconnectReason>,
    /// When the agent's process started, ISO 8601; sent with `reconnect_reason`. Null reads as absent.
    ///
    /// Origin: `process_start_time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_start_time: Option<Timestamp>,
    /// More about the gap. Null reads as absent.
    ///
    /// Origin: deployed agent (PA-6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnect_context: Option<ReconnectContext>,
}

impl HeartbeatRequest {
    /// A heartbeat of an agent that has nothing to do and was not away.
    pub fn new(
        timestamp: Timestamp,
        status: AgentStatus,
        system: SystemMetrics,
        agent_version: impl Into<String>,
    ) -> Self {
        Self {
            timestamp,
            status,
            current_task: OrNull::NULL,
            system,
            agent_version: agent_version.into(),
            last_task_completed: OrNull::NULL,
            reconnect_reason: None,
            process_start_time: None,
            reconnect_context: None,
        }
    }
}

crate::open_enum! {
    /// What an agent is doing. Origin: table, `status`; `updating`, `error`, `offline` are deployed (PA-5).
    pub enum AgentStatus {
        /// Nothing.
        Idle = "idle",
        /// A task.
        Executing = "executing",
        /// Changing its version.
        Updating = "updating",
        /// It is in trouble.
        Error = "error",
        /// Going away.
        Offline = "offline",
    }
}

crate::open_enum! {
    /// Why an agent was away. Origin: table, `reconnect_reason`, the first four; the rest is deployed (PA-5).
    pub enum ReconnectReason {
        /// Its service was started again.
        ServiceRestart = "service_restart",
        /// The network came back.
        NetworkRecovery = "network_recovery",
        /// The machine was started again.
        MachineReboot = "machine_reboot",
        /// It changed its version.
        UpdateRestart = "update_restart",
        /// The network adapter was off.
        NetworkAdapterDisabled = "network_adapter_disabled",
        /// The server's name could not be resolved.
        DnsFailure = "dns_failure",
        /// The server did not answer.
        ServerUnreachable = "server_unreachable",
        /// There was no way to the server.
        NetworkUnreachable = "network_unreachable",
        /// The connection was not made in time.
        ConnectionTimeout = "connection_timeout",
        /// The connection broke.
        ConnectionReset = "connection_reset",
        /// TLS failed.
        TlsError = "tls_error",
        /// The disk was full.
        DiskPressureCrash = "disk_pressure_crash",
        /// Memory was short.
        MemoryPressureCrash = "memory_pressure_crash",
        /// Nobody knows.
        Unknown = "unknown",
    }
}

/// The machine's load and the agent's own.
///
/// Origin: `achilles-agent-device`, "Heartbeat", `system`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct SystemMetrics {
    /// The machine's name on the network. Required.
    ///
    /// Origin: `system.hostname`.
    pub hostname: String,
    /// Its operating system. Required.
    ///
    /// Origin: `system.os`.
    pub os: Os,
    /// Its architecture. Required.
    ///
    /// Origin: `system.arch`.
    pub arch: Arch,
    /// Seconds since it started. Required; no range is given.
    ///
    /// Origin: `system.uptime_seconds`.
    pub uptime_seconds: Number,
    /// CPU in use, percent. Required; no range is given.
    ///
    /// Origin: `system.cpu_percent`.
    pub cpu_percent: Number,
    /// Memory in use, MB. Required.
    ///
    /// Origin: `system.memory_mb`.
    pub memory_mb: Number,
    /// Memory there is, MB. Optional.
    ///
    /// Origin: deployed agent (PA-6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_memory_mb: Option<Number>,
    /// Free disk, MB. Required.
    ///
    /// Origin: `system.disk_free_mb`.
    pub disk_free_mb: Number,
    /// CPU that the agent uses, percent. Optional.
    ///
    /// Origin: `system.process_cpu_percent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_cpu_percent: Option<Number>,
    /// Memory that the agent uses, MB. Optional.
    ///
    /// Origin: `system.process_memory_mb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_memory_mb: Option<Number>,
}

impl SystemMetrics {
    /// The required figures; uptime in seconds, CPU in percent, memory and disk in MB.
    pub fn new(
        hostname: impl Into<String>,
        os: Os,
        arch: Arch,
        uptime_seconds: impl Into<Number>,
        cpu_percent: impl Into<Number>,
        memory_mb: impl Into<Number>,
        disk_free_mb: impl Into<Number>,
    ) -> Self {
        Self {
            hostname: hostname.into(),
            os,
            arch,
            uptime_seconds: uptime_seconds.into(),
            cpu_percent: cpu_percent.into(),
            memory_mb: memory_mb.into(),
            total_memory_mb: None,
            disk_free_mb: disk_free_mb.into(),
            process_cpu_percent: None,
            process_memory_mb: None,
        }
    }
}

/// More about a gap between heartbeats.
///
/// Origin: deployed agent (PA-6). The deployed server refuses members that it does not know; we ignore them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ReconnectContext {
    /// Why. Required.
    pub reason: ReconnectReason,
    /// How long, seconds. Required.
    pub offline_duration_seconds: Number,
    /// Heartbeats that failed. Required.
    #[serde(deserialize_with = "int::deserialize")]
    pub failure_count: u64,
    /// The last failure in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When the first heartbeat failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failure_at: Option<Timestamp>,
    /// How the network was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_state: Option<String>,
    /// When the agent's process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_start_time: Option<Timestamp>,
    /// How the machine was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_at_failure: Option<SystemAtFailure>,
}

impl ReconnectContext {
    /// A gap; its length in seconds.
    pub fn new(
        reason: ReconnectReason,
        offline_duration_seconds: impl Into<Number>,
        failure_count: u64,
    ) -> Self {
        Self {
            reason,
            offline_duration_seconds: offline_duration_seconds.into(),
            failure_count,
            detail: None,
            first_failure_at: None,
            network_state: None,
            process_start_time: None,
            system_at_failure: None,
        }
    }
}

/// How a machine was when heartbeats began to fail.
///
/// Origin: deployed agent (PA-6).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct SystemAtFailure {
    /// Free disk, MB. Required.
    pub disk_free_mb: Number,
    /// Memory in use, MB. Required.
    pub memory_mb: Number,
    /// Memory there is, MB. Required.
    pub total_memory_mb: Number,
    /// CPU in use, percent. Required.
    pub cpu_percent: Number,
}

/// The answer to a heartbeat.
///
/// Origin: `achilles-agent-device`, "Heartbeat", response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct HeartbeatData {
    /// True.
    ///
    /// Origin: `acknowledged`.
    pub acknowledged: bool,
    /// The server's time.
    ///
    /// Origin: `server_time`.
    pub server_time: Timestamp,
    /// A key to change to; only while the server is rotating it, and then in every answer until the agent has
    /// used it (PA-12). Absent otherwise, never null.
    ///
    /// Origin: `new_api_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_api_key: Option<AgentKey>,
}

impl HeartbeatData {
    /// A taken heartbeat.
    #[must_use]
    pub const fn new(server_time: Timestamp) -> Self {
        Self { acknowledged: true, server_time, new_api_key: None }
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(HeartbeatRequest, SystemMetrics, ReconnectContext, SystemAtFailure, HeartbeatData);
