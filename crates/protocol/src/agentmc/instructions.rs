use http::Method;
use serde::{Deserialize, Serialize};

use super::{AgentMc, AgentNo, ApiError, ApiKeyAuth, BundleVersion, Defaults};
use crate::params::params;
use crate::wire::{Timestamp, int, null_as_default};
use crate::{Documented, Endpoint, Json, NoBody, Source};

/// `GET /agents/instructions`: an agent asks for the files that it is to work by.
///
/// The source-generation agent asks before its first heartbeat.
///
/// Source: the vendor's document of 0.3.38, `getAgentInstructions`; the agent's place in the request from the newer
/// one, `getAgentsInstructions`.
#[derive(Debug, Clone, Copy)]
pub struct Instructions;

impl Endpoint for Instructions {
    type Vendor = AgentMc;
    type Auth = ApiKeyAuth;
    type Params = InstructionsParams;
    type Request = NoBody;
    type Reply = Json<InstructionsResponse>;
    type Error = ApiError;
    const ID: &'static str = "agentmc.instructions";
    const OPERATION_ID: Option<&'static str> = Some("getAgentInstructions");
    const SUMMARY: &'static str = "An agent asks for the files that it is to work by";
    const TAG: &'static str = "Agents";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/agents/instructions";
    const SOURCE: Source =
        Source::new("agentmc-node 0.3.38, spec/openapi.filtered.json", "getAgentInstructions");
    const COMPANION: bool = true;
    const FAILURES: &'static [Documented] = &[
        Documented::new(401, "No or invalid credentials"),
        Documented::new(403, "Forbidden"),
        Documented::new(404, "Not found"),
        Documented::new(422, "The request does not have the documented form"),
    ];
}

params! {
    /// What an agent has, and who it is where its key does not say so.
    #[derive(Default)]
    pub struct InstructionsParams {
        /// The version of the bundle that the agent has: files are sent only if there is another.
        optional Query "current_bundle_version" => current_bundle_version: BundleVersion,
        /// The agent, where the header does not name it.
        optional Query "agent_id" => agent_id: AgentNo,
        /// The agent. Needed where the key is good for several.
        optional Header "X-Agent-Id" => acting: AgentNo,
    }
}

/// The files that an agent is to work by.
///
/// Origin: the vendor's document of 0.3.38, `AgentInstructionsResponse`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "AgentInstructionsResponse"))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct InstructionsResponse {
    /// Whether the question was taken; the status decides.
    pub ok: bool,
    /// Whether the bundle is another than the one that the agent has.
    pub changed: bool,
    /// The version of the bundle.
    pub bundle_version: BundleVersion,
    /// When the bundle was made.
    pub generated_at: Timestamp,
    /// The server's wishes.
    pub defaults: Defaults,
    /// The agent that they are for.
    pub agent: ActingAgent,
    /// The files; none if nothing has changed. Absent and null mean none.
    #[serde(default, deserialize_with = "null_as_default")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "crate::wire::schema::NullAsDefault<Vec<InstructionFile>>")
    )]
    pub files: Vec<InstructionFile>,
}

impl InstructionsResponse {
    /// The answer to an agent that has this version already, until [`changed`](Self::changed) and
    /// [`files`](Self::files) say otherwise.
    #[must_use]
    pub const fn new(
        bundle_version: BundleVersion,
        generated_at: Timestamp,
        defaults: Defaults,
        agent: ActingAgent,
    ) -> Self {
        Self { ok: true, changed: false, bundle_version, generated_at, defaults, agent, files: Vec::new() }
    }
}

/// The agent that instructions are for.
///
/// Origin: the vendor's document of 0.3.38, `agent` of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ActingAgent {
    /// Its id.
    #[serde(deserialize_with = "int::deserialize")]
    pub id: i64,
}

impl ActingAgent {
    /// The agent of an id.
    #[must_use]
    pub const fn new(id: i64) -> Self {
        Self { id }
    }
}

/// One of the files.
///
/// Origin: the vendor's document of 0.3.38, `files` of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct InstructionFile {
    /// Its id in the bundle.
    pub id: String,
    /// Where it goes, seen from the agent's own folder.
    pub path: String,
    /// Its text.
    pub content: String,
    /// SHA-256 of its text in UTF-8, in hexadecimal digits.
    pub sha256: String,
}

impl InstructionFile {
    /// A file; `sha256` is that of the text.
    pub fn new(
        id: impl Into<String>,
        path: impl Into<String>,
        content: impl Into<String>,
        sha256: impl Into<String>,
    ) -> Self {
        Self { id: id.into(), path: path.into(), content: content.into(), sha256: sha256.into() }
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(InstructionsResponse, ActingAgent, InstructionFile);
