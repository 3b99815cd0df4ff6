use http::Method;
use serde::{Deserialize, Serialize};

use super::{AgentUuid, BearerAuth, ErrorReply, ZStack};
use crate::params::params;
use crate::{Documented, Endpoint, Json, Source};

/// `POST /api/v1/agents/{uuid}/actions/{action}`: an agent is to be started, stopped or restarted.
///
/// How an agent is told of it, and how it says what came of it, stands on no public page.
///
/// Source: the vendor's page of SendAction.
#[derive(Debug, Clone, Copy)]
pub struct SendAction;

impl Endpoint for SendAction {
    type Vendor = ZStack;
    type Auth = BearerAuth;
    type Params = ActionPath;
    type Request = Json<ActionRequest>;
    type Reply = Json<ActionReply>;
    type Error = ErrorReply;
    const ID: &'static str = "zstack.send_action";
    const OPERATION_ID: Option<&'static str> = Some("SendAction");
    const SUMMARY: &'static str = "An agent is to be started, stopped or restarted";
    const TAG: &'static str = "Infrastructure/Agents";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/v1/agents/{uuid}/actions/{action}";
    const SOURCE: Source = Source::new("zstack-api-explorer", "SendAction");
    const COMPANION: bool = true;
    const FAILURES: &'static [Documented] = &[];
}

params! {
    /// Who is to do what.
    ///
    /// Origin: page SendAction, "Path Parameters".
    pub struct ActionPath {
        /// The agent.
        required Path "uuid" => uuid: AgentUuid,
        /// What it is to do.
        required Path "action" => action: ActionName [word],
    }
}

impl ActionPath {
    /// Names an agent and what it is to do.
    pub fn new(uuid: impl Into<AgentUuid>, action: impl Into<ActionName>) -> Self {
        Self { uuid: uuid.into(), action: action.into() }
    }
}

crate::open_enum! {
    /// What an agent can be told to do. Origin: page SendAction, prose of path parameter `action`.
    pub enum ActionName {
        /// To start.
        Start = "start",
        /// To stop.
        Stop = "stop",
        /// To stop and to start again.
        Restart = "restart",
    }
}

/// The particulars of an action: there are none.
///
/// Origin: page SendAction, request example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ActionRequest {}

/// The action has been taken down. No field is marked required; our server writes it.
///
/// Origin: page SendAction, "Responses".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ActionReply {
    /// What to ask for its result by.
    ///
    /// Origin: response field `actionId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_id: Option<ActionId>,
}

crate::text_id! {
    /// The id of an action.
    pub struct ActionId;
}

#[cfg(feature = "openapi")]
crate::__to_schema!(ActionRequest, ActionReply);
