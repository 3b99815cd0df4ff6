use http::Method;
use serde::{Deserialize, Serialize};

use super::{Achilles, AgentAuth, Answer, ErrorReply};
use crate::wire::{OrNull, int};
use crate::{Documented, Endpoint, JsonReading204, NoBody, Source};

/// `GET /api/agent/update`: an agent asks whether there is a newer version of it.
///
/// Source: `achilles-agent-device`, "Check for Updates", which promises a version, a download address and an
/// Ed25519 signature and shows no body. Null means that there is nothing newer; 204 is read so too.
#[derive(Debug, Clone, Copy)]
pub struct CheckUpdate;

impl Endpoint for CheckUpdate {
    type Vendor = Achilles;
    type Auth = AgentAuth;
    type Params = ();
    type Request = NoBody;
    type Reply = JsonReading204<Answer<OrNull<UpdateInfo>>>;
    type Error = ErrorReply;
    const ID: &'static str = "achilles.check_update";
    const SUMMARY: &'static str = "An agent asks whether there is a newer version of it";
    const TAG: &'static str = "Agent Device Endpoints";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/agent/update";
    const SOURCE: Source = Source::new("achilles-agent-device", "Check for Updates");
    const FAILURES: &'static [Documented] = &[];
}

/// A version of the agent to change to.
///
/// Origin: `achilles-agent-device`, "Check for Updates", prose; the names are deployed, but for
/// `download_url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct UpdateInfo {
    /// The version.
    pub version: String,
    /// Where its binary is. Absent where a server answers with the deployed metadata (PA-4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_url: Option<String>,
    /// Ed25519 over the 32 bytes of the binary's SHA-256, 128 hex digits. Absent where it is not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The binary's SHA-256, 64 lower hex digits.
    pub sha256: String,
    /// The binary's size in bytes.
    #[serde(deserialize_with = "int::deserialize")]
    pub size: u64,
    /// Whether the agent must change to it, even if it is older.
    #[serde(default)]
    pub mandatory: bool,
}

impl UpdateInfo {
    /// A version and its binary; `size` in bytes.
    pub fn new(version: impl Into<String>, sha256: impl Into<String>, size: u64, mandatory: bool) -> Self {
        Self {
            version: version.into(),
            download_url: None,
            signature: None,
            sha256: sha256.into(),
            size,
            mandatory,
        }
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(UpdateInfo);
