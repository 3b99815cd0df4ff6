use http::Method;
use serde::{Deserialize, Serialize};

use super::{Achilles, AgentAuth, Answer, ErrorReply};
use crate::params::params;
use crate::wire::int;
use crate::{Documented, Endpoint, JsonOr204, NoBody, Source};

/// `GET /api/agent/version`: an agent asks which version of it is the latest for the machine that it has enrolled.
///
/// A companion: deployed agents ask here and fetch the bytes from `/api/agent/update` (PA-4). What stands in the query
/// is not read (PA-23).
#[derive(Debug, Clone, Copy)]
pub struct Version;

impl Endpoint for Version {
    type Vendor = Achilles;
    type Auth = AgentAuth;
    type Params = RunningVersion;
    type Request = NoBody;
    type Reply = JsonOr204<Answer<VersionInfo>>;
    type Error = ErrorReply;
    const ID: &'static str = "achilles.version";
    const SUMMARY: &'static str = "An agent asks which version of it is the latest";
    const TAG: &'static str = "Agent Device Endpoints";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/agent/version";
    const SOURCE: Source =
        Source::new("ProjectAchilles 48293d8", "backend/src/api/agent/update.routes.ts, GET /version");
    const COMPANION: bool = true;
    const FAILURES: &'static [Documented] =
        &[Documented::new(401, "Invalid agent credentials"), Documented::new(429, "Too many requests")];
}

params! {
    /// Which version an agent runs.
    ///
    /// Origin: deployed, `agent/internal/httpclient/client.go`: it stands on every request of an agent, and the server
    /// reads it here.
    #[derive(Default)]
    pub struct RunningVersion {
        /// The version that the agent runs; where it is not said, the one that it last told of.
        optional Header "X-Agent-Version" => agent_version: String,
    }
}

impl RunningVersion {
    /// Of an agent that runs this version.
    pub fn new(agent_version: impl Into<String>) -> Self {
        Self { agent_version: Some(agent_version.into()) }
    }
}

/// A version of the agent, without the address of its bytes.
///
/// Origin: deployed, `backend/src/types/agent.ts`, `VersionData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct VersionInfo {
    /// The version.
    ///
    /// Origin: deployed, `version`.
    pub version: String,
    /// The binary's SHA-256, 64 lower hex digits.
    ///
    /// Origin: deployed, `sha256`.
    pub sha256: String,
    /// The binary's size in bytes.
    ///
    /// Origin: deployed, `size`.
    #[serde(deserialize_with = "int::deserialize")]
    pub size: u64,
    /// Whether the agent must change to it, even if it is older.
    ///
    /// Origin: deployed, `mandatory`.
    pub mandatory: bool,
    /// Ed25519 over the 32 bytes of the binary's SHA-256, 128 hex digits. Absent where it is not signed.
    ///
    /// Origin: deployed, `signature`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

impl VersionInfo {
    /// A version and its binary; `size` in bytes.
    pub fn new(version: impl Into<String>, sha256: impl Into<String>, size: u64, mandatory: bool) -> Self {
        Self { version: version.into(), sha256: sha256.into(), size, mandatory, signature: None }
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(VersionInfo);
