use http::Method;
use serde::{Deserialize, Serialize};

use super::{Achilles, AgentId, AgentKey, Answer, Arch, ErrorReply, Os};
use crate::wire::int;
use crate::{Documented, Endpoint, Json, NoAuth, Source};

/// `POST /api/agent/enroll`: a new agent trades a token for an id and a key.
///
/// Source: `achilles-agent-device`, "Enroll". The source shows no status; the deployed one is 201, and 200 is
/// read too.
#[derive(Debug, Clone, Copy)]
pub struct Enroll;

impl Endpoint for Enroll {
    type Vendor = Achilles;
    type Auth = NoAuth;
    type Params = ();
    type Request = Json<EnrollRequest>;
    type Reply = Json<Answer<EnrollData>, 201>;
    type Error = ErrorReply;
    const ID: &'static str = "achilles.enroll";
    const SUMMARY: &'static str = "A new agent trades a token for an id and a key";
    const TAG: &'static str = "Agent Device Endpoints";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/agent/enroll";
    const SOURCE: Source = Source::new("achilles-agent-device", "Enroll");
    const BODY_LIMIT: usize = 64 * 1024;
    const FAILURES: &'static [Documented] = &[];
}

crate::secret! {
    /// An enrolment token, `acht_` and 64 hex digits.
    ///
    /// Origin: `achilles-agent-device`, "Enroll"; the form is deployed.
    pub struct EnrollmentToken("acht_");
}

/// Who wants to enrol. Every field is required: the source shows all of them.
///
/// Origin: `achilles-agent-device`, "Enroll", body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct EnrollRequest {
    /// The token.
    ///
    /// Origin: `token`.
    pub token: EnrollmentToken,
    /// The machine's name on the network; need not be unique.
    ///
    /// Origin: `hostname`.
    pub hostname: String,
    /// The machine's operating system.
    ///
    /// Origin: `os`.
    pub os: Os,
    /// The machine's architecture.
    ///
    /// Origin: `arch`.
    pub arch: Arch,
    /// Version of the agent's binary.
    ///
    /// Origin: `agent_version`.
    pub agent_version: String,
}

impl EnrollRequest {
    /// A machine that wants to enrol.
    pub fn new(
        token: impl Into<EnrollmentToken>,
        hostname: impl Into<String>,
        os: Os,
        arch: Arch,
        agent_version: impl Into<String>,
    ) -> Self {
        Self { token: token.into(), hostname: hostname.into(), os, arch, agent_version: agent_version.into() }
    }
}

/// What a new agent gets. The key and the public key come under the source's names and under the deployed
/// ones (PA-2): both are written, either is read.
///
/// Origin: `achilles-agent-device`, "Enroll", response; `agent_key`, `org_id`, `server_url`, `poll_interval`,
/// `update_public_key` are deployed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct EnrollData {
    /// The agent's id.
    ///
    /// Origin: `agent_id`.
    pub agent_id: AgentId,
    /// The agent's key, under the source's name.
    ///
    /// Origin: `api_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<AgentKey>,
    /// The key that signs updates, under the source's name: base64 of 32 bytes of Ed25519.
    ///
    /// Origin: `public_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The agent's key, under its deployed name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_key: Option<AgentKey>,
    /// The organisation that the agent now belongs to. Deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_id: Option<String>,
    /// Where the agent is to report: the server's address, to which the agent adds `/api/agent/…`. Deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_url: Option<String>,
    /// Seconds between two polls. Deployed.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub poll_interval: Option<u32>,
    /// The key that signs updates, under its deployed name; empty where there is none (PA-25).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_public_key: Option<String>,
}

impl EnrollData {
    /// An id and a key, under both names.
    pub fn new(agent_id: impl Into<AgentId>, key: AgentKey) -> Self {
        Self {
            agent_id: agent_id.into(),
            api_key: Some(key.clone()),
            public_key: None,
            agent_key: Some(key),
            org_id: None,
            server_url: None,
            poll_interval: None,
            update_public_key: None,
        }
    }

    /// The agent's key, under whichever name it came.
    #[must_use]
    pub fn key(&self) -> Option<&AgentKey> {
        self.agent_key.as_ref().or(self.api_key.as_ref())
    }

    /// The key that signs updates, under whichever name it came; `None` where it is empty (PA-25).
    #[must_use]
    pub fn update_key(&self) -> Option<&str> {
        let named = self.update_public_key.as_deref().or(self.public_key.as_deref());
        named.filter(|key| !key.is_empty())
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(EnrollRequest, EnrollData);
