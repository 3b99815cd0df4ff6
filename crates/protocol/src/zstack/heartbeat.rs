use http::Method;
use serde::{Deserialize, Serialize};

use super::{AgentUuid, BearerAuth, ErrorReply, ZStack};
use crate::params::params;
use crate::wire::{JsonText, Number, Timestamp, digits};
use crate::{Documented, Endpoint, Json, Source};

/// `PUT /api/v1/agents/{uuid}/heartbeat`: an agent reports its version and load and gets its own record.
///
/// Source: `zstack-agent-heartbeat`.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat;

impl Endpoint for Heartbeat {
    type Vendor = ZStack;
    type Auth = BearerAuth;
    type Params = AgentPath;
    type Request = Json<HeartbeatRequest>;
    type Reply = Json<Agent>;
    type Error = ErrorReply;
    const ID: &'static str = "zstack.heartbeat";
    const OPERATION_ID: Option<&'static str> = Some("Heartbeat");
    const SUMMARY: &'static str = "An agent reports its version and load and gets its own record";
    const TAG: &'static str = "Infrastructure/Agents";
    const METHOD: Method = Method::PUT;
    const PATH: &'static str = "/api/v1/agents/{uuid}/heartbeat";
    const SOURCE: Source = Source::new("zstack-agent-heartbeat", "Heartbeat");
    const FAILURES: &'static [Documented] = &[];
}

params! {
    /// Which agent reports.
    ///
    /// Origin: `zstack-agent-heartbeat`, "Path Parameters".
    pub struct AgentPath {
        /// The agent.
        required Path "uuid" => uuid: AgentUuid,
    }
}

impl AgentPath {
    /// Names an agent.
    pub fn new(uuid: impl Into<AgentUuid>) -> Self {
        Self { uuid: uuid.into() }
    }
}

/// What an agent says of itself. Every field is required.
///
/// Origin: `zstack-agent-heartbeat`, "Body Fields".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HeartbeatRequest {
    /// Version of the agent's binary.
    ///
    /// Origin: body field `version`.
    pub version: String,
    /// Seconds that the agent's process has been running, at least 0.
    ///
    /// A string in the source's table, a number in its example (ZS-1): both are read, a number is written.
    ///
    /// Origin: body field `uptime`.
    #[serde(deserialize_with = "digits::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::Digits"))]
    pub uptime: Number,
    /// CPU in use, percent, 0 to 100.
    ///
    /// "Long" in the source's table, 12.5 in its example (ZS-2); `cpu` in a sibling operation (ZS-3).
    ///
    /// Origin: body field `cpuUsage`, range in prose.
    #[serde(alias = "cpu", deserialize_with = "digits::deserialize")]
    #[cfg_attr(feature = "schema", schemars(extend("x-aliases" = ["cpu"])))]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::Digits"))]
    pub cpu_usage: Number,
    /// Memory in use, percent, 0 to 100.
    ///
    /// "Long" in the source's table, 35.2 in its example (ZS-2); `memory` in a sibling operation (ZS-3).
    ///
    /// Origin: body field `memUsage`, range in prose.
    #[serde(alias = "memory", deserialize_with = "digits::deserialize")]
    #[cfg_attr(feature = "schema", schemars(extend("x-aliases" = ["memory"])))]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::Digits"))]
    pub mem_usage: Number,
}

impl HeartbeatRequest {
    /// A heartbeat; `uptime` in seconds, the rest in percent.
    pub fn new(
        version: impl Into<String>,
        uptime: impl Into<Number>,
        cpu_usage: impl Into<Number>,
        mem_usage: impl Into<Number>,
    ) -> Self {
        Self {
            version: version.into(),
            uptime: uptime.into(),
            cpu_usage: cpu_usage.into(),
            mem_usage: mem_usage.into(),
        }
    }
}

/// An agent's record, as it stands after the heartbeat. No field is marked required, and the source's own
/// example leaves four out (ZS-5); our server writes all that it knows.
///
/// Origin: `zstack-agent-heartbeat`, "Responses".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Agent {
    /// The agent's id.
    ///
    /// Origin: response field `uuid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<AgentUuid>,
    /// Its name for people.
    ///
    /// Origin: response field `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it collects.
    ///
    /// Origin: response field `type`, words in prose, given as examples.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AgentType>,
    /// Version of its binary.
    ///
    /// Origin: response field `version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether it reports in time.
    ///
    /// Origin: response field `status`, words in prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AgentStatus>,
    /// Where it serves gRPC or HTTP.
    ///
    /// Origin: response field `endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The platform that it belongs to.
    ///
    /// Origin: response field `platformId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_id: Option<String>,
    /// The region that it runs in.
    ///
    /// Origin: response field `region`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its labels: JSON text of an object of text (ZS-6).
    ///
    /// Origin: response field `labels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<JsonText>,
    /// When it last reported.
    ///
    /// Origin: response field `lastHeartbeatAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_at: Option<Timestamp>,
    /// When its record was made.
    ///
    /// Origin: response field `createDate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_date: Option<Timestamp>,
    /// When its record last changed.
    ///
    /// Origin: response field `lastOpDate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_op_date: Option<Timestamp>,
}

crate::open_enum! {
    /// What an agent collects. Origin: examples in the prose of response field `type`.
    pub enum AgentType {
        /// Logs.
        Log = "log",
        /// Metrics.
        Metric = "metric",
        /// Traces.
        Trace = "trace",
    }
}

crate::open_enum! {
    /// Whether an agent reports in time. Origin: prose of response field `status`; `upgrading` from a sibling
    /// operation (ZS-8).
    pub enum AgentStatus {
        /// In time.
        Online = "online",
        /// Not for long enough to be given up.
        Offline = "offline",
        /// Late.
        Delayed = "delayed",
        /// Changing its version.
        Upgrading = "upgrading",
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(HeartbeatRequest, Agent);
