use chrono::{DateTime, Utc};
use http::{HeaderMap, header};

use crate::Fault;

/// How a caller says who it is: a set of headers, or one of several sets.
pub trait Auth: Send + Sync + 'static {
    /// What an agent holds in order to sign in.
    type Credentials: Send + Sync;
    /// What a server finds in a request. It has been read, not believed.
    type Presented: Send;

    /// The sets of headers that are accepted, in plain terms; empty when nothing is asked for.
    const ALTERNATIVES: &'static [&'static [AuthHeader]];

    /// Writes the headers of a request sent at `now`.
    ///
    /// # Errors
    /// The name of the header whose value cannot be carried in one (a line break in a key, say).
    fn attach(
        credentials: &Self::Credentials,
        now: DateTime<Utc>,
        headers: &mut HeaderMap,
    ) -> Result<(), &'static str>;

    /// Finds the credentials in a request.
    ///
    /// # Errors
    /// [`Fault::Unauthenticated`] when they are missing or malformed.
    fn extract(headers: &HeaderMap) -> Result<Self::Presented, Fault>;
}

/// One header of a set of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthHeader {
    /// The name of the security scheme, the source's where it has one.
    pub scheme: &'static str,
    /// The header's name, as the source writes it.
    pub name: &'static str,
    /// What its value looks like.
    pub format: &'static str,
    /// What it says.
    pub description: &'static str,
    /// Whether the value must stay secret.
    pub secret: bool,
}

impl AuthHeader {
    /// A header that carries a secret.
    #[must_use]
    pub const fn secret(
        scheme: &'static str,
        name: &'static str,
        format: &'static str,
        description: &'static str,
    ) -> Self {
        Self { scheme, name, format, description, secret: true }
    }

    /// A header that goes with a secret one.
    #[must_use]
    pub const fn plain(
        scheme: &'static str,
        name: &'static str,
        format: &'static str,
        description: &'static str,
    ) -> Self {
        Self { scheme, name, format, description, secret: false }
    }
}

/// No credentials: the request proves itself by its body, or needs no proof.
#[derive(Debug, Clone, Copy)]
pub struct NoAuth;

impl Auth for NoAuth {
    type Credentials = ();
    type Presented = ();
    const ALTERNATIVES: &'static [&'static [AuthHeader]] = &[];

    fn attach((): &(), _: DateTime<Utc>, _: &mut HeaderMap) -> Result<(), &'static str> {
        Ok(())
    }
    fn extract(_: &HeaderMap) -> Result<(), Fault> {
        Ok(())
    }
}

/// Writes one header, marked so that HTTP libraries do not log or index its value if it is secret.
#[cfg(any(feature = "acusight", feature = "zstack", feature = "agentmc", feature = "achilles"))]
pub(crate) fn put(headers: &mut HeaderMap, header: &AuthHeader, value: &str) -> Result<(), &'static str> {
    let name = http::HeaderName::try_from(header.name).map_err(|_| header.name)?;
    let mut value = crate::private::header_value(value).ok_or(header.name)?;
    value.set_sensitive(header.secret);
    headers.insert(name, value);
    Ok(())
}

/// The token of `Authorization: Bearer <token>`: exactly two parts, the scheme as written here.
#[cfg(any(feature = "zstack", feature = "achilles"))]
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let token = crate::private::header(headers, header::AUTHORIZATION)?.strip_prefix("Bearer ")?;
    (!token.is_empty() && !token.contains(' ')).then_some(token)
}
