//! The reqwest transport over loopback sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::error::Error as _;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fleetwire_client::protocol::Call;
use fleetwire_client::protocol::acusight::{Checkin, CheckinRequest, CheckinResponse, DeviceKey, ErrorMap};
use fleetwire_client::{
    Cause, Client, ReqwestError, ReqwestErrorKind, ReqwestTransport, ReqwestTransportBuilder, RetryPolicy,
    Runtime, SendError, Sleep, Transport, TransportError,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const REPLY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"success\":true}";

/// Retries at once.
struct Hasty;

impl Runtime for Hasty {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }
    fn random(&self) -> f64 {
        0.0
    }
    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(std::future::ready(()))
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

/// Reads a request with a body of the length it states.
async fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        assert_ne!(count, 0, "the client hung up in the middle of its request");
        text.extend_from_slice(&chunk[..count]);
        let so_far = String::from_utf8(text.clone()).unwrap().to_lowercase();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return so_far;
        }
    }
}

/// Answers one request in a task of its own, so that a client which never sends one fails at once.
fn answer(listener: TcpListener, response: impl Into<String>) -> JoinHandle<String> {
    let response = response.into();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = request(&mut stream).await;
        // A client that has seen enough may be gone before it has all.
        let _gone = stream.write_all(response.as_bytes()).await;
        let _gone = stream.shutdown().await;
        request
    })
}

fn client(base: &str, settings: ReqwestTransportBuilder) -> Client<ReqwestTransport> {
    Client::with_runtime(base, settings.build().unwrap(), Hasty).unwrap()
}

async fn check_in(
    client: &Client<ReqwestTransport>,
) -> Result<CheckinResponse, SendError<ErrorMap, ReqwestError>> {
    let call = Call::<Checkin>::new(CheckinRequest::new("ABCD:1234"));
    client.send(&DeviceKey::from("adk_5ec2e7"), &call).await
}

fn transport_error(error: SendError<ErrorMap, ReqwestError>) -> (ReqwestError, u32) {
    match error {
        SendError::Transport { error, attempts, .. } => (error, attempts),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_check_in_crosses_the_wire() {
    let (listener, base) = listen().await;
    let client = fleetwire_client::connect(&format!("{base}/acusight/api/")).unwrap();
    let server = answer(listener, REPLY);
    assert_eq!(check_in(&client).await.unwrap().success, Some(true));
    let request = server.await.unwrap();
    assert!(request.starts_with("post /acusight/api/core/agent/checkin http/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nx-device-key: adk_5ec2e7\r\n"), "{request}");
    assert!(request.contains(concat!(
        "\r\nuser-agent: fleetwire-client/",
        env!("CARGO_PKG_VERSION"),
        "\r\n"
    )));
    assert!(request.ends_with("\r\n\r\n{\"device_id\":\"abcd:1234\"}"), "{request}");
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken() {
    let (listener, base) = listen().await;
    let client = client(&base, ReqwestTransport::builder().body_limit(16));
    answer(listener, REPLY);
    check_in(&client).await.unwrap();
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_whether_or_not_it_says_its_length() {
    let stated = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"success\":true} ";
    let claimed = "HTTP/1.1 200 OK\r\nContent-Length: 9007199254740993\r\n\r\n{";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"success\":true}\r\n1\r\n \r\n0\r\n\r\n";
    for response in [stated, claimed, chunked] {
        let (listener, base) = listen().await;
        let client = client(&base, ReqwestTransport::builder().body_limit(16));
        answer(listener, response);
        let reply = check_in(&client).await;
        let error = reply.unwrap_err();
        assert_eq!(
            error.to_string(),
            "acusight.checkin got no answer: the body of the answer (200 OK) has more than 16 bytes"
        );
        let (error, attempts) = transport_error(error);
        assert!(matches!(error.kind(), ReqwestErrorKind::BodyTooLong { limit: 16, .. }));
        assert_eq!((attempts, error.may_have_arrived(), error.is_retryable()), (1, true, false));
    }
}

#[tokio::test]
async fn a_silent_server_and_one_that_stops_in_the_middle_run_out_of_time() {
    for beginning in ["", "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"succ"] {
        let (listener, base) = listen().await;
        let settings = ReqwestTransport::builder().timeout(Duration::from_millis(200));
        let client = client(&base, settings).with_retries(RetryPolicy::none());
        let stall = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            stream.write_all(beginning.as_bytes()).await.unwrap();
            stream
        };
        let (reply, _open) = tokio::join!(check_in(&client), stall);
        let (error, _) = transport_error(reply.unwrap_err());
        assert_eq!(error.kind(), ReqwestErrorKind::Timeout, "{error:?}");
        assert!(error.is_timeout() && error.may_have_arrived() && error.is_retryable());
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again() {
    let (listener, base) = listen().await;
    let client = client(&base, ReqwestTransport::builder());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let first = request(&mut stream).await;
        drop(stream);
        (first, answer(listener, REPLY).await.unwrap())
    });
    check_in(&client).await.unwrap();
    let (first, second) = server.await.unwrap();
    assert_eq!(first, second);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_whole() {
    let (listener, base) = listen().await;
    let client = client(&base, ReqwestTransport::builder()).with_retries(RetryPolicy::none());
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"success\":true}";
    answer(listener, cut);
    let reply = check_in(&client).await;
    let (error, _) = transport_error(reply.unwrap_err());
    assert_eq!(error.kind(), ReqwestErrorKind::Interrupted);
    assert!(error.may_have_arrived());
}

#[tokio::test]
async fn a_closed_port_is_tried_as_often_as_the_policy_says() {
    let (listener, base) = listen().await;
    drop(listener);
    let error = check_in(&client(&base, ReqwestTransport::builder())).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("acusight.checkin got no answer: cannot connect: "), "{text}");
    let (error, attempts) = transport_error(error);
    assert_eq!((error.kind(), attempts), (ReqwestErrorKind::Connect, 4));
    assert!(!error.may_have_arrived() && error.source().is_some());
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_the_other_place_hears_nothing() {
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let place = elsewhere.local_addr().unwrap();
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let (listener, base) = listen().await;
        let client = client(&base, ReqwestTransport::builder()).with_retries(RetryPolicy::none());
        let response = format!("HTTP/1.1 {status}\r\nLocation: http://{place}/\r\nContent-Length: 0\r\n\r\n");
        answer(listener, response);
        let reply = check_in(&client).await;
        let error = reply.unwrap_err();
        assert!(status.starts_with(error.status().unwrap().as_str()));
        assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn tls_is_spoken_without_the_program_setting_up_a_provider() {
    let (listener, base) = listen().await;
    let base = base.replace("http:", "https:");
    let client = client(&base, ReqwestTransport::builder()).with_retries(RetryPolicy::none());
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let first = stream.read_u8().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        first
    };
    let (reply, first) = tokio::join!(check_in(&client), server);
    assert_eq!(first, 0x16, "a TLS handshake begins with its record type");
    let (error, _) = transport_error(reply.unwrap_err());
    assert_eq!(error.kind(), ReqwestErrorKind::Connect, "{error:?}");
    assert!(!error.may_have_arrived());
}

/// Serves one connection over TLS with a certificate of the test authority; the authority's key is gone.
fn serve_tls(listener: std::net::TcpListener) -> std::thread::JoinHandle<std::io::Result<()>> {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept()?;
        let connection = rustls::ServerConnection::new(Arc::new(settings)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, socket);
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut chunk = [0; 4096];
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            request.extend_from_slice(&chunk[..count]);
        }
        stream.write_all(REPLY.as_bytes())?;
        stream.flush()
    })
}

#[tokio::test]
async fn a_fleet_with_its_own_authority_is_trusted_when_told_to_be_and_only_then() {
    let authority = include_bytes!("tls/authority.pem").as_slice();
    for told in [true, false] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let server = serve_tls(listener);
        let settings = ReqwestTransport::builder();
        let settings = if told { settings.extra_roots(authority) } else { settings };
        let reply = check_in(&client(&base, settings)).await;
        if told {
            reply.unwrap();
            server.join().unwrap().unwrap();
        } else {
            let (error, attempts) = transport_error(reply.unwrap_err());
            assert_eq!((error.kind(), attempts), (ReqwestErrorKind::Certificate, 1), "{error:?}");
            assert!(!error.may_have_arrived());
            server.join().unwrap().unwrap_err();
        }
    }
}

#[test]
fn malformed_settings_are_errors() {
    let broken = [
        ReqwestTransport::builder().extra_roots("no certificate at all"),
        ReqwestTransport::builder()
            .extra_roots("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ReqwestTransport::builder().user_agent("two\nlines"),
    ];
    for settings in broken {
        let error = settings.build().unwrap_err();
        assert_eq!(error.kind(), ReqwestErrorKind::Setup);
        assert!(!error.is_retryable());
    }
}

/// Set in the process that has the odd environment.
const ODD: &str = "FLEETWIRE_TEST_ODD_ENVIRONMENT";

/// The environment belongs to the process, so that the test starts itself again in one of its own.
#[tokio::test]
async fn an_odd_environment_does_not_disturb_plain_connections() {
    if std::env::var_os(ODD).is_some() {
        return in_an_odd_environment().await;
    }
    let nothing = std::env::current_exe().unwrap().join("nothing");
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "an_odd_environment_does_not_disturb_plain_connections"]).env(ODD, "1");
    child.env("SSL_CERT_FILE", &nothing).env("SSL_CERT_DIR", &nothing);
    for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(proxy, "http://127.0.0.1:1");
    }
    for exception in ["no_proxy", "NO_PROXY"] {
        child.env_remove(exception);
    }
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

async fn in_an_odd_environment() {
    let (listener, base) = listen().await;
    let plain = client(&base, ReqwestTransport::builder());
    answer(listener, REPLY);
    check_in(&plain).await.unwrap();

    let proxied = client(&base, ReqwestTransport::builder().environment_proxies(true));
    let (error, _) = transport_error(check_in(&proxied).await.unwrap_err());
    assert_eq!(error.kind(), ReqwestErrorKind::Connect, "{error}");

    let secure = client(&base.replace("http:", "https:"), ReqwestTransport::builder());
    let (error, attempts) = transport_error(check_in(&secure).await.unwrap_err());
    if cfg!(all(unix, not(target_vendor = "apple"))) {
        assert_eq!((error.kind(), attempts), (ReqwestErrorKind::NoTrustedRoots, 1), "{error}");
    }
}

/// Agents explain to the server why they were away, and people what is wrong with an address.
#[tokio::test]
async fn what_kept_an_answer_from_coming_is_told_apart() {
    async fn cause(base: &str) -> Cause {
        let transport = ReqwestTransport::builder().build().unwrap();
        let request = http::Request::get(format!("{base}/a")).body(bytes::Bytes::new()).unwrap();
        TransportError::cause(&transport.exchange(request).await.unwrap_err())
    }

    let (listener, closed) = listen().await;
    drop(listener);
    assert_eq!(cause(&closed).await, Cause::Unreachable);
    assert_eq!(cause("http://nobody.invalid").await, Cause::Name);

    let (listener, plain) = listen().await;
    let serving = tokio::spawn(async move {
        // It speaks HTTP to who speaks TLS, and then hangs up on who speaks HTTP.
        for says in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _read = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(says.as_bytes()).await.unwrap();
        }
    });
    assert_eq!(cause(&plain.replace("http:", "https:")).await, Cause::Tls);
    assert_eq!(cause(&plain).await, Cause::Broken);
    serving.await.unwrap();
}
