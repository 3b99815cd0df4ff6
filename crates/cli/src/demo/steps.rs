//! The steps of a demonstration: sent over a socket, watched, and written down.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use fleetwire_client::{Check, Client, ReqwestTransport, RetryPolicy, SendError, Transport};
use fleetwire_protocol::{Auth, Call, Endpoint, Envelope, Refusal, Reply, Vendor, for_each_endpoint};
use fleetwire_server::mounts;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use serde::Serialize;
use serde_json::Value;

/// One step.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    /// Our id of the operation.
    pub(super) operation: &'static str,
    /// What was sent.
    pub(super) request: String,
    /// The status that came back.
    pub(super) status: u16,
    /// How long that took, in milliseconds.
    pub(super) milliseconds: f64,
    /// What it proves, or what was other than expected.
    pub(super) proved: String,
    /// Whether it went as expected.
    pub(super) ok: bool,
}

/// What the last exchange looked like from outside.
#[derive(Debug, Clone, Default)]
struct Seen {
    status: StatusCode,
    headers: HeaderMap,
    took: Duration,
}

/// A transport that is watched.
#[derive(Clone)]
pub(super) struct Probe {
    transport: Arc<ReqwestTransport>,
    last: Arc<Mutex<Seen>>,
}

impl Transport for Probe {
    type Error = <ReqwestTransport as Transport>::Error;

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Self::Error> {
        let start = Instant::now();
        let response = self.transport.exchange(request).await?;
        let seen =
            Seen { status: response.status(), headers: response.headers().clone(), took: start.elapsed() };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(response)
    }
}

/// A report under way: whether it was taken.
type Report = Pin<Box<dyn Future<Output = bool> + Send>>;

/// A report that can be sent again and again.
type Again = Box<dyn Fn(Probe) -> Report + Send + Sync>;

/// A demonstration under way.
pub(super) struct Steps {
    address: SocketAddr,
    token: String,
    probe: Probe,
    rows: Vec<Row>,
    again: Vec<Again>,
}

impl Steps {
    pub(super) fn new(address: SocketAddr, token: &str) -> Result<Self> {
        let transport = ReqwestTransport::new().context("cannot make an HTTP client")?;
        Ok(Self {
            address,
            token: token.to_owned(),
            probe: Probe { transport: Arc::new(transport), last: Arc::default() },
            rows: Vec::new(),
            again: Vec::new(),
        })
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The operations shown so far.
    pub(super) fn operations(&self) -> Vec<&'static str> {
        let mut operations: Vec<_> = self.rows.iter().map(|row| row.operation).collect();
        operations.sort_unstable();
        operations.dedup();
        operations
    }

    /// The operations that there are and that were not shown.
    pub(super) fn missing_operations(&self) -> Vec<&'static str> {
        macro_rules! ids { ([] $($op:path,)*) => { [$(<$op as Endpoint>::ID),*] } }
        let shown = self.operations();
        for_each_endpoint!(ids!()).into_iter().filter(|id| !shown.contains(id)).collect()
    }

    /// The base address of a vendor.
    pub(super) fn base<E: Endpoint>(&self) -> Result<String> {
        let mount = mounts().iter().find(|mount| mount.vendor == E::Vendor::ID);
        let mount = mount.context("a vendor has a mount")?;
        Ok(format!("http://{}{}{}", self.address, mount.prefix, mount.base))
    }

    /// Sends a call that is expected to succeed. `prove` looks at the answer and says what it proves, or what
    /// is wrong with it. The answer is returned, whatever it was found to prove.
    pub(super) async fn send<E: Endpoint>(
        &mut self,
        request: &str,
        credentials: &<E::Auth as Auth>::Credentials,
        call: &Call<E>,
        prove: impl FnOnce(&<E::Reply as Reply>::Value, &HeaderMap) -> Proof,
    ) -> Result<<E::Reply as Reply>::Value> {
        match self.exchange(credentials, call).await? {
            Ok(value) => {
                let headers = self.seen().headers;
                self.note(E::ID, request, prove(&value, &headers));
                Ok(value)
            }
            Err(refusal) => {
                self.note(E::ID, request, Err(format!("refused: {refusal}")));
                bail!("{}: {request}: refused: {refusal}", E::ID)
            }
        }
    }

    /// Sends a call that is expected to be refused.
    pub(super) async fn refused<E: Endpoint>(
        &mut self,
        request: &str,
        credentials: &<E::Auth as Auth>::Credentials,
        call: &Call<E>,
        prove: impl FnOnce(&Refusal<E::Error>) -> Proof,
    ) -> Result<()> {
        let proof = match self.exchange(credentials, call).await? {
            Ok(_) => Err("taken, where it had to be refused".to_owned()),
            Err(refusal) => prove(&refusal),
        };
        self.note(E::ID, request, proof);
        Ok(())
    }

    async fn exchange<E: Endpoint>(
        &self,
        credentials: &<E::Auth as Auth>::Credentials,
        call: &Call<E>,
    ) -> Result<Result<<E::Reply as Reply>::Value, Refusal<E::Error>>> {
        // Examples of the sources go out word for word, also where we would write them otherwise.
        let client = Client::new(&self.base::<E>()?, self.probe.clone())?
            .with_retries(RetryPolicy::none())
            .check_before_send(Check::Off);
        match client.send(credentials, call).await {
            Ok(value) => Ok(Ok(value)),
            Err(SendError::Refused { refusal, .. }) => Ok(Err(refusal)),
            Err(other) => bail!("{other}"),
        }
    }

    /// Sends bytes that no typed call would write, as the operation `E`.
    pub(super) async fn send_raw<E: Endpoint>(
        &mut self,
        request: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &'static str,
        prove: impl FnOnce(&Value) -> Proof,
    ) -> Result<()> {
        let mut builder = Request::builder().method(E::METHOD).uri(format!("{}{path}", self.base::<E>()?));
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let message = builder.header(header::CONTENT_TYPE, "application/json").body(Bytes::from(body))?;
        let response = self.probe.exchange(message).await?;
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        self.note(E::ID, request, prove(&answer));
        Ok(())
    }

    /// Does something as the operator, through the control API.
    pub(super) async fn operate(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let uri = format!("http://{}/control/v1{path}", self.address);
        let request = Request::builder()
            .method(&method)
            .uri(&uri)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json");
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(serde_json::to_vec(body)?) };
        let response = self.probe.transport.exchange(request.body(body)?).await?;
        if !response.status().is_success() {
            let text = String::from_utf8_lossy(response.body()).into_owned();
            bail!("{method} {uri}: {} {text}", response.status());
        }
        Ok(serde_json::from_slice(response.body()).unwrap_or_default())
    }

    /// Brings a file as the operator.
    pub(super) async fn bring(&self, path: &str, file: &'static [u8]) -> Result<()> {
        let uri = format!("http://{}/control/v1{path}", self.address);
        let request = Request::post(&uri)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/octet-stream");
        let response = self.probe.transport.exchange(request.body(Bytes::from_static(file))?).await?;
        if !response.status().is_success() {
            bail!("POST {uri}: {} {}", response.status(), String::from_utf8_lossy(response.body()));
        }
        Ok(())
    }

    fn seen(&self) -> Seen {
        self.probe.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&mut self, operation: &'static str, request: &str, proof: Proof) {
        let seen = self.seen();
        let (ok, proved) = match proof {
            Ok(proved) => (true, proved),
            Err(wrong) => (false, wrong),
        };
        self.rows.push(Row {
            operation,
            request: request.to_owned(),
            status: seen.status.as_u16(),
            milliseconds: (seen.took.as_secs_f64() * 100_000.0).round() / 100.0,
            proved,
            ok,
        });
    }

    /// Keeps a report to be sent again.
    pub(super) fn keep<E: Endpoint>(
        &mut self,
        credentials: <E::Auth as Auth>::Credentials,
        make: impl Fn() -> Call<E> + Send + Sync + 'static,
    ) -> Result<()>
    where
        <E::Auth as Auth>::Credentials: Clone + 'static,
    {
        let base = self.base::<E>()?;
        self.again.push(Box::new(move |probe| {
            let (base, credentials, call) = (base.clone(), credentials.clone(), make());
            Box::pin(async move {
                match Client::new(&base, probe) {
                    Ok(client) => {
                        client.check_before_send(Check::Off).send::<E>(&credentials, &call).await.is_ok()
                    }
                    Err(_) => false,
                }
            })
        }));
        Ok(())
    }

    /// Sends the reports that were kept. Says how many were taken.
    pub(super) async fn report_again(&self) -> usize {
        let mut taken = 0;
        for report in &self.again {
            taken += usize::from(report(self.probe.clone()).await);
        }
        taken
    }
}

/// What an answer proves, or what is wrong with it.
pub(super) type Proof = Result<String, String>;

/// `proved` if everything holds, else what does not.
pub(super) fn proof(proved: &str, checks: &[(bool, &str)]) -> Proof {
    let wrong: Vec<_> = checks.iter().filter(|(holds, _)| !holds).map(|(_, what)| *what).collect();
    if wrong.is_empty() { Ok(proved.to_owned()) } else { Err(format!("does not hold: {}", wrong.join("; "))) }
}

/// Whether a refusal has a status and speaks of something.
pub(super) fn refusal<B: Envelope>(refusal: &Refusal<B>, status: u16, about: &str, proved: &str) -> Proof {
    let text = String::from_utf8_lossy(&refusal.body);
    proof(proved, &[(refusal.status.as_u16() == status, "its status"), (text.contains(about), about)])
}

/// Writes the rows as a table.
pub(super) fn table(out: &mut impl Write, rows: &[Row], colour: bool) -> io::Result<()> {
    let width = |heading: &str, cell: fn(&Row) -> usize| {
        rows.iter().map(cell).chain([heading.len()]).max().unwrap_or_default()
    };
    let operation = width("operation", |row| row.operation.len());
    let request = width("request", |row| row.request.chars().count());
    writeln!(out, "  {:operation$}  {:request$}  status      ms  what was proved", "operation", "request")?;
    for row in rows {
        let mark = match (row.ok, colour) {
            (true, true) => "\x1b[32m✓\x1b[0m",
            (false, true) => "\x1b[31m✗\x1b[0m",
            (true, false) => "✓",
            (false, false) => "✗",
        };
        writeln!(
            out,
            "{mark} {:operation$}  {:request$}  {:>6}  {:>6.2}  {}",
            row.operation, row.request, row.status, row.milliseconds, row.proved
        )?;
    }
    Ok(())
}

/// Members of an answer that differ from an example, by name.
pub(super) fn differing(example: &str, answer: &Value) -> Vec<String> {
    let example: BTreeMap<String, Value> = serde_json::from_str(example).unwrap_or_default();
    let differs = |(name, value): &(&String, &Value)| answer.get(name.as_str()) != Some(*value);
    example.iter().filter(differs).map(|(name, _)| name.clone()).collect()
}
