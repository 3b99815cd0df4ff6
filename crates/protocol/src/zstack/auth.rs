use chrono::{DateTime, Utc};
use http::HeaderMap;

use crate::auth::{bearer, put};
use crate::{Auth, AuthHeader, Fault};

crate::secret! {
    /// A bearer token. The source does not say how one is got or what it covers; the ones that we mint cover
    /// every agent of a tenant, or one agent.
    ///
    /// Origin: `zstack-agent-heartbeat`, request example.
    pub struct BearerToken("zsk_");
}

/// `Authorization: Bearer …`.
#[derive(Debug, Clone, Copy)]
pub struct BearerAuth;

const HEADER: AuthHeader =
    AuthHeader::secret("BearerAuth", "Authorization", "Bearer <token>", "A token for one agent or for all.");

impl Auth for BearerAuth {
    type Credentials = BearerToken;
    type Presented = BearerToken;
    const ALTERNATIVES: &'static [&'static [AuthHeader]] = &[&[HEADER]];

    fn attach(token: &BearerToken, _: DateTime<Utc>, headers: &mut HeaderMap) -> Result<(), &'static str> {
        put(headers, &HEADER, &format!("Bearer {}", token.expose()))
    }
    fn extract(headers: &HeaderMap) -> Result<BearerToken, Fault> {
        bearer(headers).map(BearerToken::from).ok_or(Fault::Unauthenticated)
    }
}
