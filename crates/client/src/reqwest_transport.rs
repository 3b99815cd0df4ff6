use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use reqwest::redirect;
use rustls::crypto::{CryptoProvider, ring};

use crate::{AddressError, Cause, Chunks, Client, StreamTransport, Transport, TransportError};

/// A client of the server at `base`, the vendor's base address, with every default.
///
/// # Errors
/// `base` is not a plain `http` or `https` address, or TLS cannot be set up.
pub fn connect(base: &str) -> Result<Client<ReqwestTransport>, ConnectError> {
    Ok(Client::new(base, ReqwestTransport::new()?)?)
}

/// Why [`connect`] gave no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The base address is not usable.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The transport cannot be set up.
    #[error(transparent)]
    Transport(#[from] ReqwestError),
}

/// HTTP/1.1 by reqwest, TLS by rustls on ring against the certificates that the system trusts.
///
/// Follows no redirect, keeps no cookie, tries once. Proxies that the environment names are not used unless
/// asked for. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct ReqwestTransport {
    client: reqwest::Client,
    body_limit: usize,
    timeout: Duration,
    no_roots: Option<Arc<reqwest::Error>>,
}

impl ReqwestTransport {
    /// A transport with every default.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new() -> Result<Self, ReqwestError> {
        Self::builder().build()
    }

    /// Settings to start from.
    pub fn builder() -> ReqwestTransportBuilder {
        ReqwestTransportBuilder::default()
    }
}

/// Settings of a [`ReqwestTransport`].
#[derive(Debug, Clone)]
#[must_use = "settings do nothing until they are built"]
pub struct ReqwestTransportBuilder {
    timeout: Duration,
    connect_timeout: Duration,
    body_limit: usize,
    user_agent: String,
    environment_proxies: bool,
    extra_roots: Vec<u8>,
}

impl Default for ReqwestTransportBuilder {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            body_limit: 16 * 1024 * 1024,
            user_agent: concat!("fleetwire-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            environment_proxies: false,
            extra_roots: Vec::new(),
        }
    }
}

impl ReqwestTransportBuilder {
    /// Time for one attempt, from the first packet to the answer's last byte; 30 s by default.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Time for a connection to be made, TLS included; 10 s by default.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The most bytes that the body of an answer may have; 16 MiB by default.
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// What the client calls itself; `fleetwire-client/<version>` by default.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// Whether proxies named by `HTTP_PROXY`, `HTTPS_PROXY` and their like are used; not by default, since
    /// such a proxy sees the keys of calls that do not use TLS.
    pub const fn environment_proxies(mut self, used: bool) -> Self {
        self.environment_proxies = used;
        self
    }

    /// Certificates (PEM, one or more) of authorities to trust besides those of the system, such as a fleet's
    /// own.
    pub fn extra_roots(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.extra_roots = pem.into();
        self
    }

    /// Makes the transport.
    ///
    /// # Errors
    /// The user agent or a certificate is malformed.
    pub fn build(self) -> Result<ReqwestTransport, ReqwestError> {
        let roots = reqwest::Certificate::from_pem_bundle(&self.extra_roots).map_err(ReqwestError::setup)?;
        if roots.is_empty() && !self.extra_roots.is_empty() {
            return Err(ReqwestError {
                kind: ReqwestErrorKind::Setup,
                cause: Some("no certificate in the PEM text".into()),
            });
        }
        if CryptoProvider::get_default().is_none() {
            // The verifier of the system's roots takes the process's provider, and reqwest panics where there
            // is none. Losing the race to somebody else's provider is as good as winning it.
            let _lost_race = ring::default_provider().install_default();
        }
        let has_extra_roots = !roots.is_empty();
        let (client, no_roots) = match self.settings().tls_certs_merge(roots).build() {
            Ok(client) => (client, None),
            Err(error) if has_extra_roots => return Err(ReqwestError::setup(error)),
            // A bare container has no roots, and yet a plain connection within it or to the next machine
            // needs none. So this is told when TLS is asked for, not before.
            Err(error) => {
                let client = self.settings().tls_certs_only([]).build().map_err(ReqwestError::setup)?;
                (client, Some(Arc::new(error)))
            }
        };
        Ok(ReqwestTransport { client, body_limit: self.body_limit, timeout: self.timeout, no_roots })
    }

    fn settings(&self) -> reqwest::ClientBuilder {
        let settings = reqwest::Client::builder()
            .timeout(self.timeout)
            .connect_timeout(self.connect_timeout)
            .user_agent(&self.user_agent)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false);
        if self.environment_proxies { settings } else { settings.no_proxy() }
    }
}

impl Transport for ReqwestTransport {
    type Error = ReqwestError;

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ReqwestError> {
        self.has_roots_for(&request)?;
        let request = request.try_into().map_err(ReqwestError::setup)?;
        self.whole(self.client.execute(request).await.map_err(ReqwestError::of)?).await
    }

    #[cfg(feature = "disk")]
    async fn fetch_file(
        &self,
        download: &crate::download::Download,
        runtime: &impl crate::Runtime,
    ) -> Option<Result<crate::download::Downloaded, crate::download::DownloadError>> {
        Some(download.fetch(self, runtime).await)
    }
}

impl ReqwestTransport {
    /// Sends a request whose body is as long as it likes, such as a file, and waits for the whole answer. The bound
    /// on time is for the answer, from when the body has been sent.
    ///
    /// # Errors
    /// As of [`Transport::exchange`].
    pub async fn upload<B>(&self, request: Request<B>) -> Result<Response<Bytes>, ReqwestError>
    where
        B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.has_roots_for(&request)?;
        let request = request.map(reqwest::Body::wrap);
        let mut request: reqwest::Request = request.try_into().map_err(ReqwestError::setup)?;
        *request.timeout_mut() = Some(LONG);
        let response = self.client.execute(request).await.map_err(ReqwestError::of)?;
        tokio::time::timeout(self.timeout, self.whole(response))
            .await
            .unwrap_or(Err(ReqwestError::too_slow()))
    }

    fn has_roots_for<B>(&self, request: &Request<B>) -> Result<(), ReqwestError> {
        match &self.no_roots {
            Some(cause) if request.uri().scheme() == Some(&http::uri::Scheme::HTTPS) => {
                let cause = Some(Box::from(Arc::clone(cause)));
                Err(ReqwestError { kind: ReqwestErrorKind::NoTrustedRoots, cause })
            }
            _ => Ok(()),
        }
    }

    async fn whole(&self, mut response: reqwest::Response) -> Result<Response<Bytes>, ReqwestError> {
        let status = response.status();
        let too_long = || ReqwestError {
            kind: ReqwestErrorKind::BodyTooLong { status, limit: self.body_limit },
            cause: None,
        };
        let limit = u64::try_from(self.body_limit).unwrap_or(u64::MAX);
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_long());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(ReqwestError::of)? {
            if chunk.len() > self.body_limit - body.len() {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = Response::new(body.freeze());
        *answer.status_mut() = status;
        *answer.version_mut() = response.version();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    }
}

/// For what has bounds of its own on time.
const LONG: Duration = Duration::from_secs(365 * 86_400);

impl StreamTransport for ReqwestTransport {
    type Body = ReqwestBody;

    async fn open(&self, request: Request<Bytes>) -> Result<Response<ReqwestBody>, ReqwestError> {
        self.has_roots_for(&request)?;
        let mut request: reqwest::Request = request.try_into().map_err(ReqwestError::setup)?;
        *request.timeout_mut() = Some(LONG);
        let response = tokio::time::timeout(self.timeout, self.client.execute(request)).await;
        let mut response = response.map_err(|_| ReqwestError::too_slow())?.map_err(ReqwestError::of)?;
        let (status, version) = (response.status(), response.version());
        let headers = std::mem::take(response.headers_mut());
        let mut answer = Response::new(ReqwestBody { response, patience: self.timeout });
        (*answer.status_mut(), *answer.version_mut(), *answer.headers_mut()) = (status, version, headers);
        Ok(answer)
    }
}

/// The body of an answer on its way.
#[derive(Debug)]
pub struct ReqwestBody {
    response: reqwest::Response,
    patience: Duration,
}

impl Chunks for ReqwestBody {
    type Error = ReqwestError;

    async fn next(&mut self) -> Result<Option<Bytes>, ReqwestError> {
        let piece = tokio::time::timeout(self.patience, self.response.chunk()).await;
        piece.map_err(|_| ReqwestError::too_slow())?.map_err(ReqwestError::of)
    }
}

/// Why reqwest gave no answer. Shows neither headers nor the address.
#[derive(Debug)]
pub struct ReqwestError {
    kind: ReqwestErrorKind,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// What went wrong in an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReqwestErrorKind {
    /// A setting or an address cannot be used.
    Setup,
    /// TLS was asked for on a system that has no trusted certificates.
    NoTrustedRoots,
    /// No connection came about: the name is unknown, the port is closed, the TLS handshake failed.
    Connect,
    /// The server's certificate is not trusted.
    Certificate,
    /// No connection came about in time.
    ConnectTimeout,
    /// The whole answer did not come in time.
    Timeout,
    /// The connection broke, or what came was not HTTP.
    Interrupted,
    /// The answer's body is longer than we take.
    BodyTooLong {
        /// The status of the answer.
        status: StatusCode,
        /// The most bytes that are taken.
        limit: usize,
    },
}

impl ReqwestError {
    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> ReqwestErrorKind {
        self.kind
    }

    fn setup(error: reqwest::Error) -> Self {
        Self { kind: ReqwestErrorKind::Setup, cause: Some(error.without_url().into()) }
    }

    const fn too_slow() -> Self {
        Self { kind: ReqwestErrorKind::Timeout, cause: None }
    }

    fn of(error: reqwest::Error) -> Self {
        let kind = if error.is_builder() {
            ReqwestErrorKind::Setup
        } else if error.is_connect() && error.is_timeout() {
            ReqwestErrorKind::ConnectTimeout
        } else if error.is_timeout() {
            ReqwestErrorKind::Timeout
        } else if has_bad_certificate(&error) {
            ReqwestErrorKind::Certificate
        } else if error.is_connect() {
            ReqwestErrorKind::Connect
        } else {
            ReqwestErrorKind::Interrupted
        };
        Self { kind, cause: Some(error.without_url().into()) }
    }
}

/// The errors from `error` down. An `io::Error` hides the one it wraps from `source`.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn has_bad_certificate(error: &(dyn Error + 'static)) -> bool {
    chain(error)
        .filter_map(|error| error.downcast_ref())
        .any(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
}

impl fmt::Display for ReqwestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ReqwestErrorKind::ConnectTimeout => return f.write_str("timed out while connecting"),
            ReqwestErrorKind::Timeout => return f.write_str("timed out before the whole answer came"),
            ReqwestErrorKind::BodyTooLong { status, limit } => {
                return write!(f, "the body of the answer ({status}) has more than {limit} bytes");
            }
            ReqwestErrorKind::Setup => f.write_str("cannot be set up")?,
            ReqwestErrorKind::NoTrustedRoots => f.write_str("no certificate authority to trust")?,
            ReqwestErrorKind::Connect => f.write_str("cannot connect")?,
            ReqwestErrorKind::Certificate => f.write_str("the server's certificate is not trusted")?,
            ReqwestErrorKind::Interrupted => f.write_str("the connection broke")?,
        }
        // The outer layers only say in which library it happened.
        match self.source().and_then(|cause| chain(cause).last()) {
            Some(root) => write!(f, ": {root}"),
            None => Ok(()),
        }
    }
}

impl Error for ReqwestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl TransportError for ReqwestError {
    fn may_have_arrived(&self) -> bool {
        matches!(
            self.kind,
            ReqwestErrorKind::Timeout | ReqwestErrorKind::Interrupted | ReqwestErrorKind::BodyTooLong { .. }
        )
    }

    fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            ReqwestErrorKind::Connect
                | ReqwestErrorKind::ConnectTimeout
                | ReqwestErrorKind::Timeout
                | ReqwestErrorKind::Interrupted
        )
    }

    fn is_timeout(&self) -> bool {
        matches!(self.kind, ReqwestErrorKind::ConnectTimeout | ReqwestErrorKind::Timeout)
    }

    fn cause(&self) -> Cause {
        let has =
            |is: fn(&(dyn Error + 'static)) -> bool| self.source().is_some_and(|top| chain(top).any(is));
        match self.kind {
            ReqwestErrorKind::NoTrustedRoots | ReqwestErrorKind::Certificate => Cause::Tls,
            ReqwestErrorKind::Connect if has(|error| error.is::<rustls::Error>()) => Cause::Tls,
            // The connector's own type has no name outside it.
            ReqwestErrorKind::Connect if has(|error| error.to_string() == "dns error") => Cause::Name,
            ReqwestErrorKind::Setup | ReqwestErrorKind::Connect => Cause::Unreachable,
            ReqwestErrorKind::ConnectTimeout | ReqwestErrorKind::Timeout => Cause::Timeout,
            ReqwestErrorKind::Interrupted | ReqwestErrorKind::BodyTooLong { .. } => Cause::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layers in which a TLS fault arrives: rustls's error in an `io::Error` in another library's.
    #[derive(Debug, thiserror::Error)]
    #[error("client error")]
    struct Layer(#[source] io::Error);

    fn layered(error: rustls::Error) -> Layer {
        Layer(io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    #[test]
    fn a_bad_certificate_is_found_under_its_layers() {
        let certificate = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(has_bad_certificate(&layered(certificate)));
        assert!(!has_bad_certificate(&layered(rustls::Error::DecryptError)));
    }
}
