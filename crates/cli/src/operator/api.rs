//! Asking the control API of a server.

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use fleetwire_client::{Transport, TransportError};
use fleetwire_server::control::ErrorBody;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;

use super::files::{FileBody, Upload};

/// Everything but the unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const NO_TOKEN: &str = "no operator's token: set FLEETWIRE_TOKEN or pass --token; `fleetwire serve` printed it at \
                        its first start";

/// The control API of one server, asked by one operator.
pub(crate) struct Api<T> {
    /// Without a slash at its end.
    server: String,
    authorization: HeaderValue,
    transport: T,
}

impl<T: Transport> Api<T> {
    /// # Errors
    /// The address is none, or there is no usable token.
    pub(crate) fn new(server: &str, token: Option<&str>, transport: T) -> Result<Self> {
        let server = server.trim_end_matches('/');
        // Not repeated: an address may hold a password.
        let unusable = "the server's address must be one such as http://127.0.0.1:8787; see --server";
        let uri: Uri = server.parse().context(unusable)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.query().is_some() {
            bail!(unusable);
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            bail!(
                "the server's address must not hold a user; the token is passed by FLEETWIRE_TOKEN or --token"
            );
        }
        let token = token.map(str::trim).filter(|token| !token.is_empty()).context(NO_TOKEN)?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| anyhow!("the token holds characters that no token has"))?;
        authorization.set_sensitive(true);
        Ok(Self { server: server.to_owned(), authorization, transport })
    }

    #[cfg(test)]
    pub(super) const fn transport(&self) -> &T {
        &self.transport
    }

    /// Reads something; `filter` becomes the query.
    pub(super) async fn get(&self, path: &[&str], filter: &impl Serialize) -> Result<Value> {
        self.exchange(Method::GET, path, &query(filter)?, Bytes::new()).await
    }

    /// Has something done. `()` is sent as no body.
    pub(crate) async fn send(&self, method: Method, path: &[&str], body: &impl Serialize) -> Result<Value> {
        let body = match serde_json::to_value(body)? {
            Value::Null => Bytes::new(),
            body => body.to_string().into(),
        };
        self.exchange(method, path, "", body).await
    }

    /// Has something taken away; `how` becomes the query.
    pub(super) async fn delete(&self, path: &[&str], how: &impl Serialize) -> Result<Value> {
        self.exchange(Method::DELETE, path, &query(how)?, Bytes::new()).await
    }

    /// Brings a file; `wish` becomes the query.
    pub(super) async fn upload(&self, path: &[&str], wish: &impl Serialize, file: FileBody) -> Result<Value>
    where
        T: Upload,
    {
        let request = Request::post(self.uri(path, &query(wish)?)?)
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/octet-stream");
        let request = request.body(file).context("the request cannot be written")?;
        self.answer(self.transport.upload(request).await, true)
    }

    /// The address of something.
    fn uri(&self, path: &[&str], query: &str) -> Result<String> {
        let mut uri = format!("{}/control/v1", self.server);
        for segment in path {
            // Escaped or not, such a segment would be taken for a step up.
            if matches!(*segment, "" | "." | "..") {
                bail!("`{segment}` cannot be an id");
            }
            uri.push('/');
            uri.extend(utf8_percent_encode(segment, ESCAPED));
        }
        uri.push_str(query);
        Ok(uri)
    }

    async fn exchange(&self, method: Method, path: &[&str], query: &str, body: Bytes) -> Result<Value> {
        let uri = self.uri(path, query)?;
        let changes = method != Method::GET;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(body).context("the request cannot be written")?;
        self.answer(self.transport.exchange(request).await, changes)
    }

    fn answer(&self, outcome: Result<Response<Bytes>, T::Error>, changes: bool) -> Result<Value> {
        match outcome {
            Ok(response) => self.read(&response),
            Err(error) if !error.may_have_arrived() => {
                let hint = format!("is `fleetwire serve` running at {}?", self.server);
                Err(anyhow!("cannot reach the server: {error}; {hint}"))
            }
            Err(error) if changes => Err(anyhow!(
                "no whole answer from {}: {error}; it may have been done all the same, so look before you ask again",
                self.server
            )),
            Err(error) => Err(anyhow!("no whole answer from {}: {error}", self.server)),
        }
    }

    fn read(&self, response: &Response<Bytes>) -> Result<Value> {
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let foreign = || {
            let server = &self.server;
            format!("{server} answers {status}, but not as a Fleetwire server does; is it the right address?")
        };
        if status.is_success() {
            return serde_json::from_slice(response.body()).with_context(foreign);
        }
        let body: ErrorBody = serde_json::from_slice(response.body()).map_err(|_| anyhow!(foreign()))?;
        let message = super::table::line(&body.error.message).into_owned();
        match status {
            StatusCode::UNAUTHORIZED => {
                bail!(
                    "the server does not know this token: FLEETWIRE_TOKEN or --token must be the one that \
                       `fleetwire serve` printed at its first start"
                )
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                let seconds =
                    response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
                bail!("{message}; try again in {} s", seconds.unwrap_or("a few"))
            }
            _ => bail!("{message}"),
        }
    }
}

/// A query of the members of an object that are there.
fn query(filter: &impl Serialize) -> Result<String> {
    let mut query = String::new();
    if let Value::Object(members) = serde_json::to_value(filter)? {
        for (name, value) in members {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(&name);
            query.push('=');
            query.extend(utf8_percent_encode(&value, ESCAPED));
        }
    }
    Ok(query)
}
