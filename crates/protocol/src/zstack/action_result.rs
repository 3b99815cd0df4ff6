use http::Method;
use serde::{Deserialize, Serialize};

use super::{ActionId, ActionName, AgentUuid, BearerAuth, ErrorCode, ErrorReply, ZStack};
use crate::params::params;
use crate::wire::{TextOr, Timestamp};
use crate::{Documented, Endpoint, Json, NoBody, Source};

/// `GET /api/v1/agents/{uuid}/actions/{actionId}/result`: how an action stands.
///
/// Source: the vendor's page of GetActionResult.
#[derive(Debug, Clone, Copy)]
pub struct GetActionResult;

impl Endpoint for GetActionResult {
    type Vendor = ZStack;
    type Auth = BearerAuth;
    type Params = ActionResultPath;
    type Request = NoBody;
    type Reply = Json<ActionResult>;
    type Error = ErrorReply;
    const ID: &'static str = "zstack.action_result";
    const OPERATION_ID: Option<&'static str> = Some("GetActionResult");
    const SUMMARY: &'static str = "How an action stands";
    const TAG: &'static str = "Infrastructure/Agents";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/v1/agents/{uuid}/actions/{actionId}/result";
    const SOURCE: Source = Source::new("zstack-api-explorer", "GetActionResult");
    const COMPANION: bool = true;
    const FAILURES: &'static [Documented] = &[];
}

params! {
    /// Which action of which agent.
    ///
    /// Origin: page GetActionResult, "Path Parameters".
    pub struct ActionResultPath {
        /// The agent.
        required Path "uuid" => uuid: AgentUuid,
        /// The action.
        required Path "actionId" => action_id: ActionId,
    }
}

impl ActionResultPath {
    /// Names an action of an agent.
    pub fn new(uuid: impl Into<AgentUuid>, action_id: impl Into<ActionId>) -> Self {
        Self { uuid: uuid.into(), action_id: action_id.into() }
    }
}

/// How an action stands. No field is marked required; our server writes all but `error`, which it writes where the
/// action came to nothing.
///
/// Origin: page GetActionResult, "Responses".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ActionResult {
    /// The action.
    ///
    /// Origin: response field `actionId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_id: Option<ActionId>,
    /// The agent.
    ///
    /// Origin: response field `agentId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentUuid>,
    /// What it is to do.
    ///
    /// Origin: response field `action`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionName>,
    /// How far it is. This says whether it went well, and not whether there is an `error` (ZS-9).
    ///
    /// Origin: response field `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ActionStatus>,
    /// What went wrong. The page's example has one beside `success` (ZS-9); an error code is read as well as a text.
    ///
    /// Origin: response field `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TextOr<ErrorCode>>,
    /// When it was asked for. The page's example has the word "example" (ZS-11).
    ///
    /// Origin: response field `createdAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

crate::open_enum! {
    /// How far an action is. Origin: `success` from the response example of page GetActionResult, `failed` from page
    /// UpgradeSingle; the words for what has no end yet are ours, since no page has any.
    pub enum ActionStatus {
        /// Nobody is at it yet.
        Pending = "pending",
        /// Somebody is at it.
        Running = "running",
        /// It was done.
        Success = "success",
        /// It was not done: it failed, took too long, was called off, or was begun by nobody in time.
        Failed = "failed",
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(ActionResult);
