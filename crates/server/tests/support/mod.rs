//! A server on a real socket, under a clock that stands still, and requests made byte by byte.
//!
//! A test file that does not use all of it says so: `#[expect(dead_code, reason = "…")] mod support;`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use fleetwire_server::{Settings, serve};
use fleetwire_server_core::store::Store;
use fleetwire_server_core::{Clock, Config, Core, Entropy};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Long enough for every honest wait, so that a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that moves when it is told to. Clones show the same time.
#[derive(Debug, Clone)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// The time that the sources' examples are from: 2026-03-21T14:30:00Z.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_774_103_400_000)))
    }

    /// Moves on by so many milliseconds, or back.
    pub(crate) fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// The time so many milliseconds from now, as agents write it.
    pub(crate) fn text(&self, millis: i64) -> String {
        (self.now() + chrono::Duration::milliseconds(millis)).to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Randomness that is the same in every run and never the same twice in one.
#[derive(Debug, Default)]
struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            // The low bytes last: a key of fewer bytes than a number must differ from the next as well.
            let number = count.to_be_bytes();
            chunk.copy_from_slice(&number[8 - chunk.len()..]);
        }
    }
}

/// A server on a port of its own. Dropped without [`TestServer::stop`] it is cut off.
pub(crate) struct TestServer<S: Store> {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it decides by, for everything that does not go over the wire.
    pub(crate) core: Arc<Core<S>>,
    /// Its clock.
    pub(crate) clock: TestClock,
    /// The operator's token, if the store was new.
    pub(crate) operator: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl<S: Store> TestServer<S> {
    /// Starts over a store.
    pub(crate) async fn start(store: S, clock: TestClock, config: Config, settings: Settings) -> Self {
        let entropy = Arc::new(Counted::default());
        let (core, operator) = Core::start(store, Arc::new(clock.clone()), entropy, config).await.unwrap();
        let core = Arc::new(core);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            // Dropping the sender means the same.
            let _ = stopped.await;
        };
        let serving = tokio::spawn(serve(listener, Arc::clone(&core), settings, stopped));
        Self { address, core, clock, operator, stop: Some(stop), serving }
    }

    /// Asks the server to stop, without waiting for it.
    pub(crate) fn ask_to_stop(&mut self) {
        self.stop.take();
    }

    /// Waits until the server has ended, which it does only when asked to.
    pub(crate) async fn outcome(mut self) -> std::io::Result<()> {
        in_time(&mut self.serving).await.unwrap()
    }

    /// Stops the server and waits until requests under way have come to their end and leases are written.
    pub(crate) async fn stop(mut self) {
        self.ask_to_stop();
        self.outcome().await.unwrap();
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn ask(&self, ask: &Ask) -> Answer {
        let mut connection = self.connect().await;
        connection.send(&ask.to_bytes()).await;
        let answer =
            if ask.method == "HEAD" { connection.receive_head().await } else { connection.receive().await };
        answer.unwrap_or_else(|| panic!("{} {} was not answered", ask.method, ask.target))
    }
}

impl<S: Store> Drop for TestServer<S> {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Waits, but not for ever.
pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("this takes too long")
}

/// A request that may be as wrong as one likes.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The method.
    pub(crate) method: String,
    /// What stands in the request line.
    pub(crate) target: String,
    /// The headers besides `Host`, `Content-Length` and, with a body, `Content-Type`, which are added
    /// where they are not among these.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Ask {
    /// A request without headers or body.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// The same with a header, in place of one of the same name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// The same with a body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same with JSON as its body.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    /// The request as it goes over the wire.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head().into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Its head, the empty line included.
    pub(crate) fn head(&self) -> String {
        let length = self.body.len().to_string();
        let has = |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let added = [
            ("Host", "fleet.test", true),
            ("Content-Type", "application/json", !self.body.is_empty()),
            ("Content-Length", &length, !has("Transfer-Encoding")),
        ];
        let added = added.into_iter().filter(|(name, _, wanted)| *wanted && !has(name));
        let given = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in added.map(|(name, value, _)| (name, value)).chain(given) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head
    }
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A connection.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Opens one.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(BufReader::new(in_time(TcpStream::connect(address)).await.unwrap()))
    }

    /// Sends bytes. That a server has heard enough and hung up is no failure: its answer is still to be read.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = in_time(self.0.write_all(bytes)).await;
    }

    /// Closes the sending side: nothing more will come.
    pub(crate) async fn send_no_more(&mut self) {
        let _ = in_time(self.0.shutdown()).await;
    }

    /// Reads an answer; `None` if the server has hung up instead.
    pub(crate) async fn receive(&mut self) -> Option<Answer> {
        in_time(self.read(true)).await
    }

    /// Reads the answer to a HEAD request.
    pub(crate) async fn receive_head(&mut self) -> Option<Answer> {
        in_time(self.read(false)).await
    }

    async fn read(&mut self, with_body: bool) -> Option<Answer> {
        let status_line = self.line().await?;
        let status: u16 = status_line.split(' ').nth(1)?.parse().unwrap();
        let mut answer = Answer { status, headers: Vec::new(), body: Vec::new() };
        loop {
            let line = self.line().await.expect("the head of an answer ends with an empty line");
            let Some((name, value)) = line.split_once(':') else { break };
            answer.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if !with_body || status < 200 || matches!(status, 204 | 304) {
            return Some(answer);
        }
        if answer.header("transfer-encoding").is_some() {
            loop {
                let length = self.line().await.expect("a chunk begins with its length");
                let length = usize::from_str_radix(length.trim(), 16).unwrap();
                let mut chunk = vec![0; length];
                self.0.read_exact(&mut chunk).await.unwrap();
                self.line().await.expect("a chunk ends with a line break");
                if length == 0 {
                    return Some(answer);
                }
                answer.body.extend(chunk);
            }
        }
        match answer.header("content-length").map(|length| length.parse().unwrap()) {
            Some(length) => {
                answer.body = vec![0; length];
                self.0.read_exact(&mut answer.body).await.unwrap();
            }
            None => {
                self.0.read_to_end(&mut answer.body).await.unwrap();
            }
        }
        Some(answer)
    }

    /// A line without its end; `None` at the end of the stream.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await.ok()?;
        (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }
}
