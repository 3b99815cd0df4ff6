use std::future::Future;

use chrono::{DateTime, Utc};
use fleetwire_protocol::{Auth, Call, Endpoint, Fault, Reply};
use fleetwire_validation::{Checked, Context, Validate, check};
use http::HeaderMap;
use http::uri::Authority;

/// Says who a caller is.
pub trait Identify<A: Auth>: Send + Sync {
    /// What is known of a caller.
    type Caller: Send;

    /// Believes the credentials that were presented at a time, or does not.
    fn identify(
        &self,
        presented: A::Presented,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<Self::Caller, Fault>> + Send;
}

/// Serves an operation.
pub trait Handle<E: Endpoint>: Identify<E::Auth> {
    /// Does what the operation is for, at [the time of the call](Checked::at).
    fn handle(
        &self,
        caller: Self::Caller,
        origin: &Origin<'_>,
        call: Checked<E>,
    ) -> impl Future<Output = Result<<E::Reply as Reply>::Value, Fault>> + Send;
}

/// How a caller reached us, for the addresses that we hand out.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The address that operators have configured, without a slash at its end.
    pub public_url: Option<&'a str>,
    /// `http` or `https`, as the connection was.
    pub scheme: &'a str,
    /// Host and port that the caller named, whatever that is.
    pub host: &'a str,
    /// The path under which the vendor is mounted, without its base path; empty at the root.
    pub mount: &'a str,
}

impl Origin<'_> {
    /// The vendor's address as the caller should use it, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        match self.public_url {
            Some(url) => format!("{url}{}", self.mount),
            None => format!("{}://{}{}", self.scheme, self.named_host(), self.mount),
        }
    }

    /// The host, if it can stand in an address. Only who is told an address pays for the look.
    fn named_host(&self) -> &str {
        let is_good = !self.host.contains('@') && self.host.parse::<Authority>().is_ok();
        if is_good { self.host } else { "localhost" }
    }

    /// The server's own address, outside every mount, without a slash at its end.
    #[must_use]
    pub fn root(&self) -> String {
        Self { mount: "", ..*self }.url()
    }
}

/// Who is calling? Asked before the body is read, so that 401 wins over 400.
///
/// # Errors
/// [`Fault::Unauthenticated`], or a failure of our own.
pub async fn admit<E: Endpoint, H: Handle<E>>(
    handler: &H,
    headers: &HeaderMap,
    now: DateTime<Utc>,
) -> Result<H::Caller, Fault> {
    handler.identify(E::Auth::extract(headers)?, now).await
}

/// Checks the rules and serves the operation.
///
/// # Errors
/// Every violation of a rule, or what the handler fails with.
pub async fn answer<E: Validate, H: Handle<E>>(
    handler: &H,
    caller: H::Caller,
    origin: &Origin<'_>,
    call: Call<E>,
    context: &Context,
) -> Result<<E::Reply as Reply>::Value, Fault> {
    let call = check(call, context)?;
    handler.handle(caller, origin, call).await
}
