use chrono::{DateTime, Utc};
use http::HeaderMap;

use crate::auth::put;
use crate::{Auth, AuthHeader, Fault, private};

crate::secret! {
    /// A host's or a team's key, `cc_…`.
    ///
    /// Origin: `agentmc-heartbeat-openapi`, `#/components/securitySchemes/ApiKeyAuth`; the prefix from the
    /// vendor's newer document.
    pub struct ApiKey("cc_");
}

/// `X-Api-Key: cc_…`. The scheme's name is the source's.
#[derive(Debug, Clone, Copy)]
pub struct ApiKeyAuth;

const HEADER: AuthHeader =
    AuthHeader::secret("ApiKeyAuth", "X-Api-Key", "cc_<key>", "The key of a host or a team.");

impl Auth for ApiKeyAuth {
    type Credentials = ApiKey;
    type Presented = ApiKey;
    const ALTERNATIVES: &'static [&'static [AuthHeader]] = &[&[HEADER]];

    fn attach(key: &ApiKey, _: DateTime<Utc>, headers: &mut HeaderMap) -> Result<(), &'static str> {
        put(headers, &HEADER, key.expose())
    }
    fn extract(headers: &HeaderMap) -> Result<ApiKey, Fault> {
        private::header(headers, HEADER.name).map(ApiKey::from).ok_or(Fault::Unauthenticated)
    }
}
