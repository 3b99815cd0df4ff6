use http::Method;
use serde::{Deserialize, Serialize};

use super::{Agent, AgentType, BearerAuth, ErrorReply, ZStack};
use crate::wire::JsonText;
use crate::{Documented, Endpoint, Json, Source, Traffic};

/// `POST /api/v1/agents`: an agent is made under an id that the server chooses.
///
/// Nothing on the wire tells a repeat from a second agent of the same name, so each call makes an agent; who has an
/// id of its own uses [`AutoRegisterHeartbeat`](super::AutoRegisterHeartbeat), which can be repeated.
///
/// Source: the vendor's page of RegisterAgent.
#[derive(Debug, Clone, Copy)]
pub struct Register;

impl Endpoint for Register {
    type Vendor = ZStack;
    type Auth = BearerAuth;
    type Params = ();
    type Request = Json<RegisterRequest>;
    type Reply = Json<Agent>;
    type Error = ErrorReply;
    const ID: &'static str = "zstack.register";
    const OPERATION_ID: Option<&'static str> = Some("RegisterAgent");
    const SUMMARY: &'static str = "An agent is made under an id that the server chooses";
    const TAG: &'static str = "Infrastructure/Agents";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/v1/agents";
    const SOURCE: Source = Source::new("zstack-api-explorer", "RegisterAgent");
    const COMPANION: bool = true;
    const TRAFFIC: Traffic = Traffic::Newcomer;
    // What is stored of an agent is what it sends here.
    const BODY_LIMIT: usize = 16 * 1024;
    const FAILURES: &'static [Documented] = &[];
}

/// An agent to be made.
///
/// Origin: page RegisterAgent, "Body Fields"; `region` and `labels` from its request example (ZS-4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RegisterRequest {
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
    /// Where it serves gRPC or HTTP.
    ///
    /// Origin: body field `endpoint`.
    pub endpoint: String,
    /// The platform that it belongs to.
    ///
    /// Origin: body field `platformId`.
    pub platform_id: String,
    /// The region that it runs in.
    ///
    /// Origin: request example (ZS-4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its labels: JSON text of an object of text; an object is read too (ZS-6).
    ///
    /// Origin: request example (ZS-4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<JsonText>,
}

impl RegisterRequest {
    /// An agent without region and labels.
    pub fn new(
        name: impl Into<String>,
        kind: impl Into<AgentType>,
        version: impl Into<String>,
        endpoint: impl Into<String>,
        platform_id: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            version: version.into(),
            endpoint: endpoint.into(),
            platform_id: platform_id.into(),
            region: None,
            labels: None,
        }
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(RegisterRequest);
