use std::collections::BTreeMap;
use std::fmt;

use http::{Method, StatusCode};
use serde::{Deserialize, Deserializer, Serialize};

use super::{AgentMc, AgentNo, ApiError, ApiKeyAuth, Fingerprint};
use crate::params::params;
use crate::wire::{FreeMap, Number, OrNull, TextOr, Timestamp, int, null_as_default};
use crate::{Documented, Endpoint, Envelope as _, Fault, Json, Source};

/// `POST /agents/heartbeat`: a host reports itself and the agent that runs on it.
///
/// Source: `agentmc-agent-heartbeat`.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat;

impl Endpoint for Heartbeat {
    type Vendor = AgentMc;
    type Auth = ApiKeyAuth;
    type Params = HostFingerprint;
    type Request = Json<HeartbeatRequest>;
    type Reply = Json<HeartbeatResponse>;
    type Error = ApiError;
    const ID: &'static str = "agentmc.heartbeat";
    const OPERATION_ID: Option<&'static str> = Some("agentHeartbeat");
    const SUMMARY: &'static str = "A host reports itself and the agent that runs on it";
    const TAG: &'static str = "Agents";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/agents/heartbeat";
    // The newer generation's path for the same request (AM-1).
    // And the older one's, which names the agent.
    const ALIASES: &'static [&'static str] = &["/hosts/heartbeat", "/agents/{agent}/heartbeat"];
    const SOURCE: Source = Source::new("agentmc-agent-heartbeat", "agentHeartbeat");
    const FAILURES: &'static [Documented] = &[
        Documented::new(401, "No or invalid credentials"),
        Documented::new(403, "Forbidden"),
        Documented::new(404, "Not found"),
        Documented::new(422, "The request does not have the documented form"),
    ];

    // The vendor's newer document has this status for what a plan does not allow.
    fn status(fault: &Fault) -> StatusCode {
        match fault {
            Fault::Conflict(_) => StatusCode::PAYMENT_REQUIRED,
            other => ApiError::status(other),
        }
    }
}

params! {
    /// What the heartbeat carries beside its body.
    ///
    /// Origin: `agentmc-agent-heartbeat`, "Parameters"; the path of the agent from the vendor's older versions.
    #[derive(Default)]
    pub struct HostFingerprint {
        /// The agent, where the older path names it (AM-1). It is the agent of the body where that has no id.
        optional Path "agent" => agent: AgentNo,
        /// The host's fingerprint, used only where the body has none (AM-3, AM-19).
        optional Header "X-Host-Fingerprint" => fingerprint: Fingerprint,
    }
}

/// What a host reports.
///
/// Origin: `agentmc-heartbeat-openapi`, `#/components/schemas/StoreAgentHeartbeatApiRequest`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "StoreAgentHeartbeatApiRequest")
)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct HeartbeatRequest {
    /// The agent's runtime. Required, open.
    ///
    /// Origin: request member `meta`.
    pub meta: RuntimeMeta,
    /// The host. Required.
    ///
    /// Origin: request member `host`.
    pub host: HostReport,
    /// The agent. Required by the source, unless `agents` is there (AM-5); null reads as absent.
    ///
    /// Origin: request member `agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentReport>,
    /// The agents, where a newer host reports several. Absent and null mean none.
    ///
    /// Origin: the vendor's newer document (AM-5).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::NullAsDefault<Vec<AgentReport>>"))]
    pub agents: Vec<AgentReport>,
    /// What became of commands that the server gave the host. Absent and null mean nothing to tell.
    ///
    /// Origin: the vendor's newer document.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "crate::wire::schema::NullAsDefault<Vec<RuntimeUpdate>>")
    )]
    pub host_runtime_updates: Vec<RuntimeUpdate>,
}

impl HeartbeatRequest {
    /// A heartbeat of a host with one agent.
    #[must_use]
    pub const fn new(meta: RuntimeMeta, host: HostReport, agent: AgentReport) -> Self {
        Self { meta, host, agent: Some(agent), agents: Vec::new(), host_runtime_updates: Vec::new() }
    }

    /// Every agent reported, in whichever member.
    pub fn reported_agents(&self) -> impl Iterator<Item = &AgentReport> {
        self.agent.iter().chain(&self.agents)
    }
}

/// The agent's runtime. Open: members that it does not name are kept in [`extra`](Self::extra) (AM-13).
///
/// Origin: `agentmc-heartbeat-openapi`, `…/StoreAgentHeartbeatApiRequest/properties/meta`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct RuntimeMeta {
    /// What kind of runtime it is, at most 120 characters. Free text (AM-11).
    ///
    /// Origin: `meta.type`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The runtime. Required. It need not agree with the host's (AM-17).
    ///
    /// Origin: `meta.runtime`.
    pub runtime: Runtime,
    /// Version of OpenClaw, at most 120 characters.
    ///
    /// Origin: `meta.openclaw_version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openclaw_version: Option<String>,
    /// Build of OpenClaw, at most 120 characters.
    ///
    /// Origin: `meta.openclaw_build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openclaw_build: Option<String>,
    /// The models at hand, each a label or an object (AM-8). Required by the schema, asked for by the prose:
    /// absent and null read as none, always written (AM-18). Labels are opaque, mojibake included (AM-14).
    ///
    /// Origin: `meta.models`.
    #[serde(default, deserialize_with = "null_as_default")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "crate::wire::schema::NullAsDefault<Vec<TextOr<FreeMap>>>")
    )]
    pub models: Vec<TextOr<FreeMap>>,
    /// Tokens read, at least 0.
    ///
    /// Origin: `meta.tokens_in`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub tokens_in: Option<u64>,
    /// Tokens written, at least 0.
    ///
    /// Origin: `meta.tokens_out`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub tokens_out: Option<u64>,
    /// Mode of the runtime, at most 64 characters.
    ///
    /// Origin: `meta.runtime_mode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_mode: Option<String>,
    /// How the agent thinks: a word of at most 64 characters, or a switch (AM-9).
    ///
    /// Origin: `meta.thinking_mode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking_mode: Option<TextOr<bool>>,
    /// Share of tokens found in the cache, percent, 0 to 100.
    ///
    /// Origin: `meta.cache_hit_rate_percent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_hit_rate_percent: Option<Number>,
    /// Tokens in the cache, at least 0.
    ///
    /// Origin: `meta.cache_tokens_cached`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub cache_tokens_cached: Option<u64>,
    /// Tokens new to the cache, at least 0.
    ///
    /// Origin: `meta.cache_tokens_new`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub cache_tokens_new: Option<u64>,
    /// Tokens of the context in use, at least 0.
    ///
    /// Origin: `meta.context_tokens_used`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub context_tokens_used: Option<u64>,
    /// Tokens that the context can hold, at least 1.
    ///
    /// Origin: `meta.context_tokens_max`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub context_tokens_max: Option<u64>,
    /// Share of the context in use, percent, 0 to 100.
    ///
    /// Origin: `meta.context_percent_used`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_percent_used: Option<Number>,
    /// How often the context was compacted, at least 0.
    ///
    /// Origin: `meta.context_compactions`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub context_compactions: Option<u64>,
    /// Whether the browser tool is there.
    ///
    /// Origin: `meta.browser_tool_available`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser_tool_available: Option<bool>,
    /// Whether the exec tool is there.
    ///
    /// Origin: `meta.exec_tool_available`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec_tool_available: Option<bool>,
    /// Whether the nodes tool is there.
    ///
    /// Origin: `meta.nodes_tool_available`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_tool_available: Option<bool>,
    /// Whether the messaging tool is there.
    ///
    /// Origin: `meta.messaging_tool_available`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging_tool_available: Option<bool>,
    /// Whether the sessions tool is there.
    ///
    /// Origin: `meta.sessions_tool_available`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions_tool_available: Option<bool>,
    /// Whether the memory tool is there.
    ///
    /// Origin: `meta.memory_tool_available`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_tool_available: Option<bool>,
    /// Which tools are there, by names that vary between versions (AM-12).
    ///
    /// Origin: `meta.tool_availability`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_availability: Option<BTreeMap<String, bool>>,
    /// What is left of the usage window, percent, 0 to 100.
    ///
    /// Origin: `meta.usage_window_percent_left`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_window_percent_left: Option<Number>,
    /// Time left in the usage window, such as `3h 4m`, at most 120 characters.
    ///
    /// Origin: `meta.usage_window_time_left`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_window_time_left: Option<String>,
    /// What is left of the day's usage, percent, 0 to 100.
    ///
    /// Origin: `meta.usage_day_percent_left`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_day_percent_left: Option<Number>,
    /// Time left in the usage day, such as `3d 16h`, at most 120 characters.
    ///
    /// Origin: `meta.usage_day_time_left`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_day_time_left: Option<String>,
    /// Version of Node.js, at most 120 characters.
    ///
    /// Origin: `meta.node_version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_version: Option<String>,
    /// The session at work, such as `agent:main:main`.
    ///
    /// Origin: `meta.session`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// How the queue works, such as `collect`.
    ///
    /// Origin: `meta.queue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// How much waits in the queue, at least 0.
    ///
    /// Origin: `meta.queue_depth`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub queue_depth: Option<u64>,
    /// How the agent is signed in to its model's provider.
    ///
    /// Origin: `meta.auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// Members that the source leaves open.
    #[serde(flatten)]
    pub extra: FreeMap,
}

impl RuntimeMeta {
    /// A runtime and nothing else.
    #[must_use]
    pub fn new(runtime: Runtime) -> Self {
        Self {
            kind: None,
            runtime,
            openclaw_version: None,
            openclaw_build: None,
            models: Vec::new(),
            tokens_in: None,
            tokens_out: None,
            runtime_mode: None,
            thinking_mode: None,
            cache_hit_rate_percent: None,
            cache_tokens_cached: None,
            cache_tokens_new: None,
            context_tokens_used: None,
            context_tokens_max: None,
            context_percent_used: None,
            context_compactions: None,
            browser_tool_available: None,
            exec_tool_available: None,
            nodes_tool_available: None,
            messaging_tool_available: None,
            sessions_tool_available: None,
            memory_tool_available: None,
            tool_availability: None,
            usage_window_percent_left: None,
            usage_window_time_left: None,
            usage_day_percent_left: None,
            usage_day_time_left: None,
            node_version: None,
            session: None,
            queue: None,
            queue_depth: None,
            auth: None,
            extra: FreeMap::default(),
        }
    }
}

/// The runtime of an agent.
///
/// Origin: `agentmc-heartbeat-openapi`, `meta.runtime`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct Runtime {
    /// Its name, at most 120 characters. Required.
    ///
    /// Origin: `meta.runtime.name`.
    pub name: String,
    /// Its version, at most 120 characters. Required.
    ///
    /// Origin: `meta.runtime.version`.
    pub version: String,
    /// Its build, at most 120 characters. Null reads as absent.
    ///
    /// Origin: `meta.runtime.build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// Its mode, at most 64 characters. Null reads as absent.
    ///
    /// Origin: `meta.runtime.mode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

impl Runtime {
    /// A runtime of a version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), build: None, mode: None }
    }
}

/// What runs the agents of a host.
///
/// Origin: `agentmc-heartbeat-openapi`, `host.meta.runtime`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct HostRuntime {
    /// Its name, at most 120 characters. Required.
    ///
    /// Origin: `host.meta.runtime.name`.
    pub name: String,
    /// Its version, at most 120 characters. Required.
    ///
    /// Origin: `host.meta.runtime.version`.
    pub version: String,
}

impl HostRuntime {
    /// A runtime of a version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into() }
    }
}

/// A host.
///
/// Origin: `agentmc-heartbeat-openapi`, `…/StoreAgentHeartbeatApiRequest/properties/host`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct HostReport {
    /// What tells it from all others. Required by the schema; may be left to the header (AM-3).
    ///
    /// Origin: `host.fingerprint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// Its name, at most 255 characters. Required.
    ///
    /// Origin: `host.name`.
    pub name: String,
    /// Its facts. Required.
    ///
    /// Origin: `host.meta`.
    pub meta: HostFacts,
}

impl HostReport {
    /// A host.
    pub fn new(fingerprint: impl Into<Fingerprint>, name: impl Into<String>, meta: HostFacts) -> Self {
        Self { fingerprint: Some(fingerprint.into()), name: name.into(), meta }
    }
}

/// The facts of a host. Everything is required.
///
/// Origin: `agentmc-heartbeat-openapi`, `host.meta`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct HostFacts {
    /// Its name on the network, at most 255 characters.
    ///
    /// Origin: `host.meta.hostname`.
    pub hostname: String,
    /// Its address, IPv4 or IPv6.
    ///
    /// Origin: `host.meta.ip`.
    pub ip: String,
    /// Its addresses. Open.
    ///
    /// Origin: `host.meta.network`.
    pub network: Network,
    /// Its operating system, at most 120 characters.
    ///
    /// Origin: `host.meta.os`.
    pub os: String,
    /// The version of that, at most 120 characters.
    ///
    /// Origin: `host.meta.os_version`.
    pub os_version: String,
    /// Its processor's architecture, at most 120 characters.
    ///
    /// Origin: `host.meta.arch`.
    pub arch: String,
    /// Its processor: a label, or an object (AM-6).
    ///
    /// Origin: `host.meta.cpu`.
    pub cpu: TextOr<FreeMap>,
    /// Its cores, 1 to 4096.
    ///
    /// Origin: `host.meta.cpu_cores`.
    #[serde(deserialize_with = "int::deserialize")]
    pub cpu_cores: u32,
    /// Its memory in GB, at least 0; may have a fraction (AM-7).
    ///
    /// Origin: `host.meta.ram_gb`.
    pub ram_gb: Number,
    /// Its disk.
    ///
    /// Origin: `host.meta.disk`.
    pub disk: Disk,
    /// Seconds since it started, at least 0.
    ///
    /// Origin: `host.meta.uptime_seconds`.
    #[serde(deserialize_with = "int::deserialize")]
    pub uptime_seconds: u64,
    /// What runs its agents. It need not agree with the agent's own (AM-17).
    ///
    /// Origin: `host.meta.runtime`.
    pub runtime: HostRuntime,
}

/// The addresses of a host. Open: members that it does not name are kept.
///
/// Origin: `agentmc-heartbeat-openapi`, `host.meta.network`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct Network {
    /// Address inside, IPv4 or IPv6. Required.
    ///
    /// Origin: `host.meta.network.private_ip`.
    pub private_ip: String,
    /// Address outside, IPv4 or IPv6. Required.
    ///
    /// Origin: `host.meta.network.public_ip`.
    pub public_ip: String,
    /// Members that the source leaves open.
    #[serde(flatten)]
    pub extra: FreeMap,
}

impl Network {
    /// The two addresses.
    pub fn new(private_ip: impl Into<String>, public_ip: impl Into<String>) -> Self {
        Self { private_ip: private_ip.into(), public_ip: public_ip.into(), extra: FreeMap::default() }
    }
}

/// The disk of a host.
///
/// Origin: `agentmc-heartbeat-openapi`, `host.meta.disk`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct Disk {
    /// Its size in bytes, at least 0. Required.
    ///
    /// Origin: `host.meta.disk.total_bytes`.
    #[serde(deserialize_with = "int::deserialize")]
    pub total_bytes: u64,
    /// What is free of it, in bytes, at least 0. Required.
    ///
    /// Origin: `host.meta.disk.free_bytes`.
    #[serde(deserialize_with = "int::deserialize")]
    pub free_bytes: u64,
}

impl Disk {
    /// A disk; both figures in bytes.
    #[must_use]
    pub const fn new(total_bytes: u64, free_bytes: u64) -> Self {
        Self { total_bytes, free_bytes }
    }
}

impl HostFacts {
    /// The facts of a host; `ram_gb` in GB, `uptime_seconds` in seconds.
    #[expect(clippy::too_many_arguments, reason = "the source requires every one of them")]
    pub fn new(
        hostname: impl Into<String>,
        ip: impl Into<String>,
        network: Network,
        os: impl Into<String>,
        os_version: impl Into<String>,
        arch: impl Into<String>,
        cpu: TextOr<FreeMap>,
        cpu_cores: u32,
        ram_gb: impl Into<Number>,
        disk: Disk,
        uptime_seconds: u64,
        runtime: HostRuntime,
    ) -> Self {
        Self {
            hostname: hostname.into(),
            ip: ip.into(),
            network,
            os: os.into(),
            os_version: os_version.into(),
            arch: arch.into(),
            cpu,
            cpu_cores,
            ram_gb: ram_gb.into(),
            disk,
            uptime_seconds,
            runtime,
        }
    }
}

/// An agent.
///
/// Origin: `agentmc-heartbeat-openapi`, `…/StoreAgentHeartbeatApiRequest/properties/agent`; `emoji` and `meta`
/// from the vendor's newer document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct AgentReport {
    /// Its id, at least 1; it must be in the key's scope. Required by the source; a newer peer leaves it out
    /// or sends null, and the server finds the agent by its name, or makes it (AM-4).
    ///
    /// Origin: `agent.id`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub id: Option<i64>,
    /// Its name, at most 255 characters. Required.
    ///
    /// Origin: `agent.name`.
    pub name: String,
    /// What it is, at most 120 characters. Free text (AM-11).
    ///
    /// Origin: `agent.type`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Who it is: a text or an open object (AM-10). Required.
    ///
    /// Origin: `agent.identity`.
    pub identity: TextOr<FreeMap>,
    /// Its emoji, at most 32 characters. Null reads as absent.
    ///
    /// Origin: the vendor's newer document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
    /// Anything else about it. Open.
    ///
    /// Origin: the vendor's newer document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<FreeMap>,
}

impl AgentReport {
    /// An agent that the server knows by its id.
    pub fn new(id: i64, name: impl Into<String>, identity: TextOr<FreeMap>) -> Self {
        Self { id: Some(id), name: name.into(), kind: None, identity, emoji: None, meta: None }
    }
}

/// What became of a command that the server gave a host.
///
/// Origin: the vendor's newer document, `host_runtime_updates`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct RuntimeUpdate {
    /// The command.
    #[serde(deserialize_with = "int::deserialize")]
    pub id: i64,
    /// Whether it was done.
    pub status: UpdateStatus,
    /// What came of it. Open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<FreeMap>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl RuntimeUpdate {
    /// What became of the command of an id.
    #[must_use]
    pub const fn new(id: i64, status: UpdateStatus) -> Self {
        Self { id, status, result: None, error: None }
    }
}

crate::open_enum! {
    /// What became of a command. Origin: the vendor's newer document, `host_runtime_updates`.
    pub enum UpdateStatus {
        /// It was done.
        Completed = "completed",
        /// It could not be done.
        Failed = "failed",
    }
}

/// The answer to a heartbeat.
///
/// Origin: `agentmc-heartbeat-openapi`, `#/components/schemas/AgentHeartbeatResponse`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AgentHeartbeatResponse"))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct HeartbeatResponse {
    /// Whether the heartbeat was taken; the status decides.
    ///
    /// Origin: response member `ok`.
    pub ok: bool,
    /// The server's time. Required.
    ///
    /// Origin: response member `server_time`.
    pub server_time: Timestamp,
    /// The host as it now stands. Null reads as absent.
    ///
    /// Origin: response member `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// The server's wishes. Absent in the source's answer (AM-16).
    ///
    /// Origin: the vendor's newer document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<Defaults>,
    /// The agent, once the server knows it.
    ///
    /// Origin: the vendor's newer document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentSummary>,
    /// The agents, where several were reported.
    ///
    /// Origin: the vendor's newer client, which reads it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::NullAsDefault<Vec<AgentSummary>>"))]
    pub agents: Vec<AgentSummary>,
    /// What the host is to do. The same command comes again until its [update](RuntimeUpdate) was taken.
    ///
    /// Origin: the vendor's newer document.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "crate::wire::schema::NullAsDefault<Vec<RuntimeCommand>>")
    )]
    pub host_runtime_commands: Vec<RuntimeCommand>,
}

impl HeartbeatResponse {
    /// A taken heartbeat.
    #[must_use]
    pub const fn new(server_time: Timestamp, host: Option<Host>) -> Self {
        Self {
            ok: true,
            server_time,
            host,
            defaults: None,
            agent: None,
            agents: Vec::new(),
            host_runtime_commands: Vec::new(),
        }
    }
}

/// A host as the server has it. Everything is required; four members may be null.
///
/// Origin: `agentmc-heartbeat-openapi`, `#/components/schemas/Host`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct Host {
    /// Its id.
    ///
    /// Origin: `Host.id`.
    #[serde(deserialize_with = "int::deserialize")]
    pub id: i64,
    /// The team that it belongs to.
    ///
    /// Origin: `Host.team_id`.
    #[serde(deserialize_with = "int::deserialize")]
    pub team_id: i64,
    /// Its name.
    ///
    /// Origin: `Host.name`.
    pub name: String,
    /// What tells it from all others.
    ///
    /// Origin: `Host.fingerprint`.
    pub fingerprint: Fingerprint,
    /// Whether it reports in time.
    ///
    /// Origin: `Host.status`.
    pub status: HostStatus,
    /// When it last reported.
    ///
    /// Origin: `Host.last_seen_at`.
    #[serde(default)]
    pub last_seen_at: OrNull<Timestamp>,
    /// Its facts, as many as there are (AM-15).
    ///
    /// Origin: `Host.meta`.
    #[serde(default)]
    pub meta: OrNull<HostMeta>,
    /// The person who made it.
    ///
    /// Origin: `Host.created_by_user_id`.
    #[serde(default, deserialize_with = "int::or_null")]
    pub created_by_user_id: OrNull<i64>,
    /// Its agents.
    ///
    /// Origin: `Host.agents_total`.
    #[serde(deserialize_with = "int::deserialize")]
    pub agents_total: i64,
    /// Those of them that report in time.
    ///
    /// Origin: `Host.agents_online`.
    #[serde(deserialize_with = "int::deserialize")]
    pub agents_online: i64,
    /// When its record was made.
    ///
    /// Origin: `Host.created_at`.
    #[serde(default)]
    pub created_at: OrNull<Timestamp>,
    /// When its record last changed.
    ///
    /// Origin: `Host.updated_at`.
    #[serde(default)]
    pub updated_at: OrNull<Timestamp>,
    /// The runtime of its agents. Null reads as absent.
    ///
    /// Origin: the vendor's newer document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_runtime: Option<String>,
    /// The version of that runtime. Null reads as absent.
    ///
    /// Origin: the vendor's newer document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_runtime_version: Option<String>,
}

impl Host {
    /// A host with a status; the members that may be null are.
    pub fn new(
        id: i64,
        team_id: i64,
        name: impl Into<String>,
        fingerprint: impl Into<Fingerprint>,
        status: HostStatus,
    ) -> Self {
        Self {
            id,
            team_id,
            name: name.into(),
            fingerprint: fingerprint.into(),
            status,
            last_seen_at: OrNull::NULL,
            meta: OrNull::NULL,
            created_by_user_id: OrNull::NULL,
            agents_total: 0,
            agents_online: 0,
            created_at: OrNull::NULL,
            updated_at: OrNull::NULL,
            agent_runtime: None,
            agent_runtime_version: None,
        }
    }
}

/// The facts of a host as a server tells them: an open object (AM-15).
///
/// A server that has just been told them by the host hands them back as they are.
#[derive(Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum HostMeta {
    /// As a server may have them, and as they are always read.
    Open(FreeMap),
    /// As the host has told them.
    Told(Box<HostFacts>),
}

impl fmt::Debug for HostMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(facts) => facts.fmt(f),
            Self::Told(facts) => facts.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for HostMeta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        FreeMap::deserialize(deserializer).map(Self::Open)
    }
}

impl HostMeta {
    /// The facts by their names.
    ///
    /// ```
    /// use fleetwire_protocol::agentmc::HostMeta;
    ///
    /// let meta: HostMeta = serde_json::from_str(r#"{"os":"Ubuntu"}"#).unwrap();
    /// assert_eq!(meta.into_open().unwrap()["os"], "Ubuntu");
    /// ```
    ///
    /// # Errors
    /// A value that JSON cannot carry.
    pub fn into_open(self) -> Result<FreeMap, serde_json::Error> {
        match self {
            Self::Open(facts) => Ok(facts),
            Self::Told(facts) => serde_json::from_value(serde_json::to_value(facts)?),
        }
    }
}

impl From<FreeMap> for HostMeta {
    fn from(facts: FreeMap) -> Self {
        Self::Open(facts)
    }
}

impl From<HostFacts> for HostMeta {
    fn from(facts: HostFacts) -> Self {
        Self::Told(Box::new(facts))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for HostMeta {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        FreeMap::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        FreeMap::json_schema(generator)
    }
}

// What is read is never told, so that what is written and read again would be another.
#[cfg(feature = "arbitrary")]
impl proptest::arbitrary::Arbitrary for HostMeta {
    type Parameters = ();
    type Strategy = proptest::strategy::BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        use proptest::strategy::Strategy as _;
        proptest::arbitrary::any::<FreeMap>().prop_map(Self::Open).boxed()
    }
}

crate::open_enum! {
    /// Whether a host reports in time. Origin: `Host.status`.
    pub enum HostStatus {
        /// It does.
        Online = "online",
        /// It does not.
        Offline = "offline",
    }
}

/// The server's wishes.
///
/// Origin: the vendor's newer document, `defaults`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct Defaults {
    /// Seconds between two heartbeats: at least 1 is read, at least 5 written (AM-16).
    #[serde(deserialize_with = "int::deserialize", alias = "heartbeatIntervalSeconds")]
    #[cfg_attr(feature = "schema", schemars(extend("x-aliases" = ["heartbeatIntervalSeconds"])))]
    pub heartbeat_interval_seconds: u32,
}

impl Defaults {
    /// An interval in seconds.
    #[must_use]
    pub const fn new(heartbeat_interval_seconds: u32) -> Self {
        Self { heartbeat_interval_seconds }
    }
}

/// An agent as the server has it.
///
/// Origin: the vendor's newer document, `agent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct AgentSummary {
    /// Its id.
    #[serde(deserialize_with = "int::deserialize")]
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What its runtime calls it. The vendor's newer client reads it under three names.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "runtimeKey", alias = "agent_key")]
    #[cfg_attr(feature = "schema", schemars(extend("x-aliases" = ["runtimeKey", "agent_key"])))]
    pub runtime_key: Option<String>,
}

impl AgentSummary {
    /// An agent of a name.
    pub fn new(id: i64, name: impl Into<String>) -> Self {
        Self { id, name: name.into(), kind: None, runtime_key: None }
    }
}

/// What a host is to do.
///
/// Origin: the vendor's newer document, `host_runtime_commands`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct RuntimeCommand {
    /// Its id, which its update repeats.
    #[serde(deserialize_with = "int::deserialize")]
    pub id: i64,
    /// What is to be done, such as `agent.provision`. Free text.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whose runtime it is for, such as [`openclaw`](Self::PROVIDER). Free text.
    pub provider: String,
    /// Its particulars.
    pub payload: CommandPayload,
}

impl RuntimeCommand {
    /// The one provider that the vendor's newer document names.
    pub const PROVIDER: &'static str = "openclaw";

    /// A command for the vendor's own runtime.
    pub fn new(id: i64, kind: impl Into<String>, payload: CommandPayload) -> Self {
        Self { id, kind: kind.into(), provider: Self::PROVIDER.to_owned(), payload }
    }
}

/// The particulars of a command.
///
/// Origin: the vendor's newer document, `host_runtime_commands`, `payload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct CommandPayload {
    /// The agent's name.
    pub agent_name: String,
    /// The agent's emoji. Null reads as absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_emoji: Option<String>,
    /// What the runtime is to call the agent.
    pub runtime_key: String,
}

impl CommandPayload {
    /// An agent of a name, and what its runtime is to call it.
    pub fn new(agent_name: impl Into<String>, runtime_key: impl Into<String>) -> Self {
        Self { agent_name: agent_name.into(), agent_emoji: None, runtime_key: runtime_key.into() }
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(
    HeartbeatRequest,
    RuntimeMeta,
    Runtime,
    HostRuntime,
    HostReport,
    HostFacts,
    Network,
    Disk,
    AgentReport,
    RuntimeUpdate,
    HeartbeatResponse,
    Host,
    Defaults,
    AgentSummary,
    RuntimeCommand,
    CommandPayload
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_that_are_handed_back_are_read_as_what_was_told() {
        let network = Network::new("10.0.2.15", "34.222.10.10");
        let (disk, runtime) =
            (Disk::new(536_870_912_000, 322_122_547_200), HostRuntime::new("codex", "2026.02.1"));
        let facts = HostFacts::new(
            "worker-01",
            "10.0.2.15",
            network,
            "Ubuntu",
            "24.04",
            "x86_64",
            "Intel Xeon".into(),
            8,
            31.5,
            disk,
            86_400,
            runtime,
        );
        let told = HostMeta::from(facts.clone());
        let written = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<HostFacts>(&written).unwrap(), facts);
        let read: HostMeta = serde_json::from_str(&written).unwrap();
        assert!(matches!(read, HostMeta::Open(_)));
        assert_eq!(read.into_open().unwrap(), told.into_open().unwrap());
    }
}
