mod tcp;

use std::error::Error;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use rustls::crypto::{CryptoProvider, KeyProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::{Connector, RustlsConnector};

use self::tcp::{Later, Tcp};
use crate::{BlockingChunks, BlockingStreamTransport, BlockingTransport, Cause, TransportError};

/// How long a connection is kept between two requests: longer than the usual time between two heartbeats, since a new
/// one costs a TLS handshake. Whether the server still has it is looked at before it is used.
const IDLE: Duration = Duration::from_secs(180);
/// Bytes of each of a connection's buffers. The head of an answer has to fit in.
const BUFFER: usize = 32 << 10;

/// HTTP/1.1 by ureq while the caller waits, TLS by rustls on ring against the certificates that the system trusts.
///
/// Follows no redirect, keeps no cookie, tries once, uses no proxy. Clones share their connections.
#[derive(Debug, Clone)]
pub struct UreqTransport {
    agent: ureq::Agent,
    body_limit: u64,
    timeout: Duration,
}

/// Settings of a [`UreqTransport`].
#[derive(Debug, Clone)]
#[must_use = "settings do nothing until they are built"]
pub struct UreqTransportBuilder {
    timeout: Duration,
    connect_timeout: Duration,
    body_limit: u64,
    user_agent: String,
    roots: Vec<u8>,
}

impl Default for UreqTransportBuilder {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            body_limit: 16 << 20,
            user_agent: concat!("fleetwire-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            roots: Vec::new(),
        }
    }
}

impl UreqTransportBuilder {
    /// Time for one attempt, from the first packet to the answer's last byte; 30 s by default.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Time for a connection to be made; 10 s by default.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The most bytes that the body of an answer may have; 16 MiB by default.
    pub const fn body_limit(mut self, bytes: u64) -> Self {
        self.body_limit = bytes;
        self
    }

    /// What the client calls itself; `fleetwire-client/<version>` by default.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// Certificates (PEM, one or more) of the authorities to trust in place of those of the system.
    pub fn roots(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = pem.into();
        self
    }

    /// Makes the transport.
    ///
    /// # Errors
    /// A certificate is malformed, or there is none in the text.
    pub fn build(self) -> Result<UreqTransport, UreqError> {
        let roots = if self.roots.is_empty() {
            RootCerts::PlatformVerifier
        } else {
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.roots).collect();
            let read = read.map_err(|error| UreqError::Setup(error.to_string()))?;
            if read.is_empty() {
                return Err(UreqError::Setup("no certificate in the PEM text".to_owned()));
            }
            let certificates: Vec<_> =
                read.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
            RootCerts::new_with_certs(&certificates)
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(Arc::new(cryptography()))
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(self.timeout))
            .timeout_connect(Some(self.connect_timeout))
            .user_agent(self.user_agent)
            .max_idle_age(IDLE)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_response_header_size(BUFFER)
            .build();
        let connector = Tcp::default().chain(RustlsConnector::default());
        let agent = ureq::Agent::with_parts(config, connector, Later);
        Ok(UreqTransport { agent, body_limit: self.body_limit, timeout: self.timeout })
    }
}

/// rustls's cryptography by ring, without what signs: no vendor's agent shows a certificate of its own.
fn cryptography() -> CryptoProvider {
    CryptoProvider { key_provider: &NoKeys, ..ring::default_provider() }
}

#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(
        &self,
        _: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn rustls::sign::SigningKey>, rustls::Error> {
        Err(rustls::Error::General("agents show no certificate".to_owned()))
    }
}

impl UreqTransport {
    /// A transport with every default.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new() -> Result<Self, UreqError> {
        Self::builder().build()
    }

    /// Settings to start from.
    pub fn builder() -> UreqTransportBuilder {
        UreqTransportBuilder::default()
    }
}

impl BlockingTransport for UreqTransport {
    type Error = UreqError;

    fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, UreqError> {
        let (head, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(head, &*body));
        let (head, body) = answer.map_err(UreqError::exchange)?.into_parts();
        let body = body.into_with_config().limit(self.body_limit).read_to_vec();
        Ok(Response::from_parts(head, Bytes::from(body.map_err(UreqError::exchange)?)))
    }

    #[cfg(feature = "disk")]
    fn file_fetcher(&self) -> Option<crate::FileFetcher> {
        let transport = self.clone();
        Some(Box::new(move |download| download.fetch_blocking(&transport)))
    }
}

impl BlockingStreamTransport for UreqTransport {
    type Body = UreqBody;

    fn open(
        &self,
        request: Request<Bytes>,
        within: Option<Duration>,
    ) -> Result<Response<UreqBody>, UreqError> {
        let (head, body) = request.into_parts();
        let request = self
            .agent
            .configure_request(Request::from_parts(head, &*body))
            .timeout_global(within)
            .timeout_recv_response(Some(self.timeout))
            .timeout_per_read(Some(self.timeout))
            .build();
        let (head, body) = self.agent.run(request).map_err(UreqError::exchange)?.into_parts();
        let reader = body.into_with_config().limit(u64::MAX).reader();
        Ok(Response::from_parts(head, UreqBody { reader, buffer: vec![0; PIECE] }))
    }
}

/// The most bytes of a body that are read at once.
const PIECE: usize = 64 << 10;

/// The body of an answer on its way.
pub struct UreqBody {
    reader: ureq::BodyReader<'static>,
    buffer: Vec<u8>,
}

impl fmt::Debug for UreqBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UreqBody")
    }
}

impl BlockingChunks for UreqBody {
    type Error = UreqError;

    fn next(&mut self) -> Result<Option<Bytes>, UreqError> {
        loop {
            match self.reader.read(&mut self.buffer) {
                Ok(count) => {
                    let piece = self.buffer.get(..count).filter(|piece| !piece.is_empty());
                    return Ok(piece.map(Bytes::copy_from_slice));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(UreqError::exchange(ureq::Error::from(error))),
            }
        }
    }
}

/// Why [`UreqTransport`] gave no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum UreqError {
    /// The transport cannot be set up.
    Setup(String),
    /// No answer came.
    NoAnswer {
        /// What kept it from coming.
        cause: Cause,
        /// Whether it is too long or not HTTP, so that sending the request again does not help.
        unreadable: bool,
        /// ureq's own account.
        error: Box<ureq::Error>,
    },
}

impl UreqError {
    fn exchange(error: ureq::Error) -> Self {
        use std::io::ErrorKind;

        let (cause, unreadable) = match &error {
            ureq::Error::Timeout(_) => (Cause::Timeout, false),
            ureq::Error::HostNotFound => (Cause::Name, false),
            ureq::Error::ConnectionFailed => (Cause::Unreachable, false),
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => (Cause::Tls, false),
            ureq::Error::Io(error) => match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                    (Cause::Unreachable, false)
                }
                ErrorKind::TimedOut | ErrorKind::WouldBlock => (Cause::Timeout, false),
                _ => (Cause::Broken, false),
            },
            _ => (Cause::Broken, true),
        };
        Self::NoAnswer { cause, unreadable, error: Box::new(error) }
    }
}

impl fmt::Display for UreqError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(why) => write!(f, "the transport cannot be set up: {why}"),
            Self::NoAnswer { error, .. } => error.fmt(f),
        }
    }
}

impl Error for UreqError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Setup(_) => None,
            Self::NoAnswer { error, .. } => error.source(),
        }
    }
}

impl TransportError for UreqError {
    fn may_have_arrived(&self) -> bool {
        matches!(self, Self::NoAnswer { cause: Cause::Broken | Cause::Timeout, .. })
    }

    fn is_retryable(&self) -> bool {
        matches!(self, Self::NoAnswer { unreadable: false, .. })
    }

    fn is_timeout(&self) -> bool {
        matches!(self, Self::NoAnswer { cause: Cause::Timeout, .. })
    }

    fn cause(&self) -> Cause {
        match self {
            Self::Setup(_) => Cause::Unreachable,
            Self::NoAnswer { cause, .. } => *cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    fn request(base: &str, body: &'static str) -> Request<Bytes> {
        Request::post(format!("{base}/check-in")).body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    fn transport() -> UreqTransport {
        UreqTransport::builder().timeout(Duration::from_secs(5)).build().unwrap()
    }

    /// What comes in one piece.
    fn piece(mut stream: &TcpStream) -> String {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).unwrap();
        String::from_utf8(piece[..length].to_vec()).unwrap()
    }

    #[test]
    fn requests_go_over_one_connection_each_in_one_piece() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // A name: the first of its addresses may be one that nobody listens on.
        let base = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            [(); 3].map(|()| {
                let piece = piece(&stream);
                stream.write_all(ANSWER).unwrap();
                piece
            })
        });
        let transport = transport();
        for body in ["one", "two", "three"] {
            assert_eq!(transport.exchange(request(&base, body)).unwrap().body(), "ok");
        }
        let pieces = server.join().unwrap();
        for (piece, body) in pieces.iter().zip(["one", "two", "three"]) {
            assert!(piece.starts_with("POST /check-in HTTP/1.1\r\n"), "{piece}");
            assert!(piece.ends_with(&format!("\r\n\r\n{body}")), "{piece}");
        }
    }

    #[test]
    fn a_body_longer_than_what_is_held_back_arrives_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let body: Bytes = (0..=250_u8).cycle().take(300_000).collect();
        let sent = body.clone();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            while !all.ends_with(&sent) {
                let mut piece = vec![0; 65_536];
                let length = stream.read(&mut piece).unwrap();
                assert!(length > 0, "the connection ended after {} bytes", all.len());
                all.extend_from_slice(&piece[..length]);
            }
            stream.write_all(ANSWER).unwrap();
        });
        let answer = transport().exchange(Request::post(base).body(body).unwrap()).unwrap();
        assert_eq!(answer.body(), "ok");
        server.join().unwrap();
    }

    #[test]
    fn a_connection_that_the_server_has_closed_is_not_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (closed, is_closed) = std::sync::mpsc::channel();
        let server = thread::spawn(move || {
            for _ in 0..3 {
                let (mut stream, _) = listener.accept().unwrap();
                piece(&stream);
                stream.write_all(ANSWER).unwrap();
                drop(stream);
                closed.send(()).unwrap();
            }
        });
        let transport = transport();
        for _ in 0..3 {
            assert_eq!(transport.exchange(request(&base, "x")).unwrap().body(), "ok");
            is_closed.recv().unwrap();
        }
        server.join().unwrap();
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let transport = UreqTransport::builder().timeout(Duration::from_millis(300)).build().unwrap();
        let began = crate::runtime::since_start();
        let error = transport.exchange(request(&base, "x")).unwrap_err();
        let took = crate::runtime::since_start() - began;
        assert_eq!(
            (TransportError::cause(&error), error.may_have_arrived()),
            (Cause::Timeout, true),
            "{error}"
        );
        assert!(took >= Duration::from_millis(295) && took < Duration::from_secs(5), "{took:?}");
    }

    #[test]
    fn a_port_that_nobody_listens_on_is_unreachable() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = transport().exchange(request(&base, "x")).unwrap_err();
        assert_eq!(
            (TransportError::cause(&error), error.may_have_arrived()),
            (Cause::Unreachable, false),
            "{error}"
        );
    }
}
