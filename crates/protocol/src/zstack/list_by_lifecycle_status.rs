use http::Method;
use serde::{Deserialize, Serialize};

use super::{AgentStatus, AgentUuid, BearerAuth, ErrorReply, ZStack};
use crate::params::params;
use crate::wire::{Timestamp, int, null_as_default};
use crate::{Documented, Endpoint, Json, NoBody, Source};

/// `GET /api/v1/agents/by-lifecycle-status/{status}`: the agents that are in a state, a page at a time.
///
/// The page shows no way to ask for another page and an answer that says which one it is; so `limit` and `offset`,
/// the words of the answer, are read from the query.
///
/// Source: the vendor's page of ListByLifecycleStatus.
#[derive(Debug, Clone, Copy)]
pub struct ListByLifecycleStatus;

impl Endpoint for ListByLifecycleStatus {
    type Vendor = ZStack;
    type Auth = BearerAuth;
    type Params = LifecycleQuery;
    type Request = NoBody;
    type Reply = Json<LifecyclePage>;
    type Error = ErrorReply;
    const ID: &'static str = "zstack.list_by_lifecycle_status";
    const OPERATION_ID: Option<&'static str> = Some("ListByLifecycleStatus");
    const SUMMARY: &'static str = "The agents that are in a state, a page at a time";
    const TAG: &'static str = "Infrastructure/Agents";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/v1/agents/by-lifecycle-status/{status}";
    const SOURCE: Source = Source::new("zstack-api-explorer", "ListByLifecycleStatus");
    const COMPANION: bool = true;
    const FAILURES: &'static [Documented] = &[];
}

params! {
    /// Which agents are asked for.
    ///
    /// Origin: page ListByLifecycleStatus, "Path Parameters"; the rest from its answer.
    pub struct LifecycleQuery {
        /// The state; one that is not known is one in which no agent is.
        required Path "status" => status: AgentStatus [word],
        /// How many at most, 1 to 1000; 100 if nothing is said.
        optional Query "limit" => limit: PageFigure,
        /// How many to pass over, in the order in which they were made; 0 if nothing is said.
        optional Query "offset" => offset: PageFigure,
    }
}

impl LifecycleQuery {
    /// The first page of the agents in a state.
    pub fn new(status: impl Into<AgentStatus>) -> Self {
        Self { status: status.into(), limit: None, offset: None }
    }

    /// The same, at most `limit` of them, `offset` of them passed over.
    #[must_use]
    pub fn page(self, limit: u64, offset: u64) -> Self {
        let figure = |figure: u64| Some(PageFigure::new(figure.to_string()));
        Self { limit: figure(limit), offset: figure(offset), ..self }
    }
}

crate::text_id! {
    /// A figure in a query: digits. What stands there may be anything.
    pub struct PageFigure;
}

impl PageFigure {
    /// The figure, if it is one.
    #[must_use]
    pub fn parse(&self) -> Option<u64> {
        // A sign is no digit, though Rust reads one.
        let digits = self.as_str().bytes().all(|byte| byte.is_ascii_digit());
        self.as_str().parse().ok().filter(|_| digits)
    }
}

/// Agents in a state. No field is marked required; our server writes all of them.
///
/// Origin: page ListByLifecycleStatus, "Responses".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LifecyclePage {
    /// The agents of this page, in the order in which they were made.
    ///
    /// Origin: response field `items`.
    #[serde(default, deserialize_with = "null_as_default")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "crate::wire::schema::NullAsDefault<Vec<LifecycleSnapshot>>")
    )]
    pub items: Vec<LifecycleSnapshot>,
    /// How many there are in all.
    ///
    /// Origin: response field `total`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub total: Option<i64>,
    /// How many this page may have.
    ///
    /// Origin: response field `limit`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub limit: Option<i64>,
    /// How many were passed over.
    ///
    /// Origin: response field `offset`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub offset: Option<i64>,
}

/// How an agent stands. The page's example shows it as an empty object (ZS-11).
///
/// Origin: page ListByLifecycleStatus, "Responses", fields of `items`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LifecycleSnapshot {
    /// The agent.
    ///
    /// Origin: response field `items.agentId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentUuid>,
    /// Its state.
    ///
    /// Origin: response field `items.status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AgentStatus>,
    /// Version of its binary.
    ///
    /// Origin: response field `items.currentVersion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<String>,
    /// When it last reported.
    ///
    /// Origin: response field `items.lastHeartbeat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat: Option<Timestamp>,
}

#[cfg(feature = "openapi")]
crate::__to_schema!(LifecyclePage, LifecycleSnapshot);
