use http::Method;
use serde::{Deserialize, Serialize};

use super::{AgentType, AgentUuid, BearerAuth, ErrorReply, ZStack};
use crate::wire::{Number, digits, int};
use crate::{Documented, Endpoint, Json, Source};

/// `POST /api/v1/agents/heartbeat`: an agent reports under an id of its own, and is made if nobody knows it.
///
/// Source: the vendor's page of AutoRegisterHeartbeat.
#[derive(Debug, Clone, Copy)]
pub struct AutoRegisterHeartbeat;

impl Endpoint for AutoRegisterHeartbeat {
    type Vendor = ZStack;
    type Auth = BearerAuth;
    type Params = ();
    type Request = Json<AutoRegisterRequest>;
    type Reply = Json<AutoRegisterReply>;
    type Error = ErrorReply;
    const ID: &'static str = "zstack.auto_register_heartbeat";
    const OPERATION_ID: Option<&'static str> = Some("AutoRegisterHeartbeat");
    const SUMMARY: &'static str = "An agent reports under an id of its own, and is made if nobody knows it";
    const TAG: &'static str = "Infrastructure/Agents";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/v1/agents/heartbeat";
    const SOURCE: Source = Source::new("zstack-api-explorer", "AutoRegisterHeartbeat");
    const COMPANION: bool = true;
    // What is stored of an agent is what it sends here.
    const BODY_LIMIT: usize = 16 * 1024;
    const FAILURES: &'static [Documented] = &[];
}

/// What an agent says of itself.
///
/// Origin: page AutoRegisterHeartbeat, "Body Fields"; `cpu`, `memory` and `queueDepth` from its request example (ZS-4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AutoRegisterRequest {
    /// The id under which it wants to be known; the same again is the same agent.
    ///
    /// Origin: body field `agentId`.
    pub agent_id: AgentUuid,
    /// Its name for people.
    ///
    /// Origin: body field `name`.
    pub name: String,
    /// What it collects.
    ///
    /// Origin: body field `type`.
    #[serde(rename = "type")]
    pub kind: AgentType,
    /// Version of its binary.
    ///
    /// Origin: body field `version`.
    pub version: String,
    /// Seconds that its process has been running, at least 0.
    ///
    /// A string in the page's table, a number in its example (ZS-1): both are read, a number is written.
    ///
    /// Origin: body field `uptime`.
    #[serde(deserialize_with = "digits::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::Digits"))]
    pub uptime: Number,
    /// CPU in use, percent, 0 to 100; `cpuUsage` in the heartbeat of the source (ZS-3).
    ///
    /// Origin: request example (ZS-4).
    #[serde(
        default,
        alias = "cpuUsage",
        skip_serializing_if = "Option::is_none",
        deserialize_with = "digits::option"
    )]
    #[cfg_attr(feature = "schema", schemars(extend("x-aliases" = ["cpuUsage"])))]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::wire::schema::Digits>"))]
    pub cpu: Option<Number>,
    /// Memory in use, percent, 0 to 100; `memUsage` in the heartbeat of the source (ZS-3).
    ///
    /// Origin: request example (ZS-4).
    #[serde(
        default,
        alias = "memUsage",
        skip_serializing_if = "Option::is_none",
        deserialize_with = "digits::option"
    )]
    #[cfg_attr(feature = "schema", schemars(extend("x-aliases" = ["memUsage"])))]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::wire::schema::Digits>"))]
    pub memory: Option<Number>,
    /// How much waits in its queue.
    ///
    /// Origin: request example (ZS-4).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub queue_depth: Option<i64>,
}

impl AutoRegisterRequest {
    /// A report without figures; `uptime` in seconds.
    pub fn new(
        agent_id: impl Into<AgentUuid>,
        name: impl Into<String>,
        kind: impl Into<AgentType>,
        version: impl Into<String>,
        uptime: impl Into<Number>,
    ) -> Self {
        Self {
            agent_id: agent_id.into(),
            name: name.into(),
            kind: kind.into(),
            version: version.into(),
            uptime: uptime.into(),
            cpu: None,
            memory: None,
            queue_depth: None,
        }
    }
}

/// The report has been taken. No field is marked required; our server writes both.
///
/// Origin: page AutoRegisterHeartbeat, "Responses".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AutoRegisterReply {
    /// Whether it was taken.
    ///
    /// Origin: response field `accepted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<bool>,
    /// The id under which the agent is known from now on, which need not be the one that it sent; our server
    /// confirms that one.
    ///
    /// Origin: response field `agentId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentUuid>,
}

#[cfg(feature = "openapi")]
crate::__to_schema!(AutoRegisterRequest, AutoRegisterReply);
