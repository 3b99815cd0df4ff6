use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, header};

use super::AgentId;
use crate::auth::{bearer, put};
use crate::wire::Timestamp;
use crate::{Auth, AuthHeader, Fault, private};

crate::secret! {
    /// An agent's key, `ak_` and 64 hex digits.
    ///
    /// Origin: `achilles-agent-device`, "Authentication"; the form is deployed.
    pub struct AgentKey("ak_");
}

/// What an agent signs in with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
pub struct AgentCredentials {
    /// Who it is.
    pub agent_id: AgentId,
    /// Its key.
    pub key: AgentKey,
}

impl AgentCredentials {
    /// An agent and its key.
    pub fn new(agent_id: impl Into<AgentId>, key: impl Into<AgentKey>) -> Self {
        Self { agent_id: agent_id.into(), key: key.into() }
    }
}

/// What a request says about who sent it and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedAgent {
    /// Who.
    pub credentials: AgentCredentials,
    /// When, by the agent's clock. The server checks that it is near its own (deployed: 300 s).
    pub timestamp: DateTime<Utc>,
}

/// `X-Agent-Key` or a bearer token, with `X-Agent-ID` and `X-Request-Timestamp` (RFC 3339, UTC).
///
/// Origin: `achilles-agent-device`, "Authentication"; the bearer form is deployed (PA-1).
#[derive(Debug, Clone, Copy)]
pub struct AgentAuth;

const KEY: AuthHeader = AuthHeader::secret("AgentKey", "X-Agent-Key", "ak_<64 hex>", "The agent's key.");
const BEARER: AuthHeader = AuthHeader::secret(
    "AgentKeyBearer",
    "Authorization",
    "Bearer ak_<64 hex>",
    "The agent's key as a bearer token, the deployed form (PA-1).",
);
const ID: AuthHeader = AuthHeader::plain("AgentId", "X-Agent-ID", "<agent id>", "The agent's id.");
const TIMESTAMP: AuthHeader = AuthHeader::plain(
    "RequestTimestamp",
    "X-Request-Timestamp",
    "<RFC 3339, UTC>",
    "When the request was written, by the agent's clock.",
);

/// Names as they are looked up, which makes nothing of their texts first.
static KEY_NAME: HeaderName = HeaderName::from_static("x-agent-key");
static ID_NAME: HeaderName = HeaderName::from_static("x-agent-id");
static TIMESTAMP_NAME: HeaderName = HeaderName::from_static("x-request-timestamp");

impl Auth for AgentAuth {
    type Credentials = AgentCredentials;
    type Presented = PresentedAgent;
    const ALTERNATIVES: &'static [&'static [AuthHeader]] = &[&[KEY, ID, TIMESTAMP], &[BEARER, ID, TIMESTAMP]];

    fn attach(
        credentials: &AgentCredentials,
        now: DateTime<Utc>,
        headers: &mut HeaderMap,
    ) -> Result<(), &'static str> {
        put(headers, &KEY, credentials.key.expose())?;
        put(headers, &BEARER, &format!("Bearer {}", credentials.key.expose()))?;
        put(headers, &ID, credentials.agent_id.as_str())?;
        put(headers, &TIMESTAMP, Timestamp::seconds(now).as_str())
    }

    fn extract(headers: &HeaderMap) -> Result<PresentedAgent, Fault> {
        let key = match (private::header(headers, &KEY_NAME), bearer(headers)) {
            (Some(key), Some(token)) if key == token => key,
            (Some(key), None) if !headers.contains_key(header::AUTHORIZATION) => key,
            (None, Some(token)) => token,
            _ => return Err(Fault::Unauthenticated),
        };
        let agent_id = private::header(headers, &ID_NAME).ok_or(Fault::Unauthenticated)?;
        let timestamp = private::header(headers, &TIMESTAMP_NAME)
            .and_then(crate::wire::parse_time)
            .ok_or(Fault::Unauthenticated)?;
        Ok(PresentedAgent { credentials: AgentCredentials::new(agent_id, key), timestamp })
    }
}
