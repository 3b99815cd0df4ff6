use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use fleetwire_server_core::Core;
use fleetwire_server_core::store::Store;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service;

use crate::limits::AddressLimits;
use crate::objects::{ObjectLimits, Objects, Payload};
use crate::patience::{HeadTimer, Patient};
use crate::service::{BODY_BYTES, IN_FLIGHT, PATIENCE};
use crate::{AgentService, Answering, Rooting, control};

/// Time between two looks for events that are too old to be kept.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

/// Headers that hyper reads unless it is told another number, which costs it a list of so many at each request.
const HEADERS: usize = 100;

/// What bounds a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The address that agents are told to use; built from each request if there is none.
    pub public_url: Option<String>,
    /// How vendors are found other than by prefix.
    pub rooting: Rooting,
    /// Connections at one time, of all listeners together. Further ones wait to be accepted.
    pub connections: usize,
    /// Requests of agents that may be under way at one time, while they are signed in and once they have arrived whole; what is beyond is
    /// answered 503.
    pub in_flight: usize,
    /// Bytes that bodies may hold which arrive piece by piece, all together; what is beyond is answered 503.
    pub body_bytes: usize,
    /// How often an address may ask.
    pub addresses: AddressLimits,
    /// How long the head of a request may take to arrive, and how long a connection may idle.
    pub header_timeout: Duration,
    /// How long a body may take to arrive; each piece of it, where files are brought.
    pub body_timeout: Duration,
    /// How long a peer may not read at all what it is sent.
    pub write_timeout: Duration,
    /// The folder of the files that agents fetch; made if it is not there. Without one none can be brought.
    pub objects: Option<PathBuf>,
    /// How large files may be that operators bring.
    pub object_limits: ObjectLimits,
    /// Bytes that the head of a request may have.
    pub header_bytes: usize,
    /// Headers that a request may have.
    pub headers: usize,
    /// Time between two flushes of leases.
    pub flush_interval: Duration,
    /// How long requests under way may take once the server is to stop.
    pub stop_within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: None,
            rooting: Rooting::default(),
            connections: 8192,
            in_flight: IN_FLIGHT,
            body_bytes: BODY_BYTES,
            addresses: AddressLimits::default(),
            // Longer than the slowest default cadence, so that a connection can be used again.
            header_timeout: Duration::from_secs(75),
            body_timeout: PATIENCE,
            write_timeout: PATIENCE,
            objects: None,
            object_limits: ObjectLimits::default(),
            header_bytes: 16 * 1024,
            headers: 64,
            flush_interval: Duration::from_secs(1),
            stop_within: Duration::from_secs(10),
        }
    }
}

/// A socket, and what stands at its root.
#[derive(Debug)]
pub struct Listener {
    /// Where connections come in.
    pub socket: TcpListener,
    /// The vendor that has this listener for itself; every vendor under its prefix, and operators, if there is none.
    pub vendor: Option<String>,
}

/// Serves agents and operators on one socket; see [`serve_all`].
///
/// # Errors
/// The last flush fails. A connection that fails is its own affair.
pub async fn serve<S: Store>(
    socket: TcpListener,
    core: Arc<Core<S>>,
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_all(vec![Listener { socket, vendor: None }], core, settings, stop).await
}

/// Serves agents and operators until `stop` is ready; then takes no more connections, lets requests under way
/// come to their end, and flushes the leases.
///
/// # Errors
/// The last flush fails. A connection that fails is its own affair.
pub async fn serve_all<S: Store>(
    listeners: Vec<Listener>,
    core: Arc<Core<S>>,
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let objects = match &settings.objects {
        Some(folder) => Some(Objects::open(folder, settings.object_limits.clone())?),
        None => None,
    };
    let agents = AgentService::new(Arc::clone(&core))
        .with_rooting(settings.rooting.clone())
        .with_public_url(settings.public_url.clone())
        .with_body_timeout(settings.body_timeout)
        .with_address_limits(settings.addresses.clone())
        .with_room_for(settings.in_flight, settings.body_bytes)
        .with_objects(objects.clone());
    let operators = control::router_with_files(Arc::clone(&core), objects, settings.body_timeout);
    let (stopped, flush_until) = watch::channel(false);
    let flusher =
        tokio::spawn(flush(agents.clone(), Arc::clone(&core), settings.flush_interval, flush_until));

    let (stopping, asked_to_stop) = watch::channel(false);
    let room = Arc::new(Semaphore::new(settings.connections));
    let mut accepting = JoinSet::new();
    for Listener { socket, vendor } in listeners {
        let agents = match vendor {
            None => agents.clone(),
            vendor => agents.clone().with_rooting(Rooting { listener: vendor, ..settings.rooting.clone() }),
        };
        let site = Arc::new(Site { agents, operators: operators.clone() });
        let (room, settings) = (Arc::clone(&room), settings.clone());
        let mut asked_to_stop = asked_to_stop.clone();
        accepting.spawn(async move {
            // An error means that the server is gone, which ends the same way.
            let stop = async { drop(asked_to_stop.wait_for(|asked| *asked).await) };
            accept(socket, &site, &room, &settings, stop).await;
        });
    }
    stop.await;
    let _ = stopping.send(true);
    while let Some(ended) = accepting.join_next().await {
        ended.map_err(io::Error::other)?;
    }

    // The flusher writes once more on its way out.
    let _ = stopped.send(true);
    flusher.await.map_err(io::Error::other)?.map_err(io::Error::other)
}

async fn accept<S: Store>(
    listener: TcpListener,
    site: &Arc<Site<S>>,
    room: &Arc<Semaphore>,
    settings: &Settings,
    stop: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.header_read_timeout(settings.header_timeout).max_buf_size(settings.header_bytes.max(8192));
    if settings.headers > HEADERS {
        http.max_headers(settings.headers);
    }
    let (stopping, asked_to_stop) = watch::channel(());
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let place = Arc::clone(room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: what helps is that some connection ends.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // A small answer must not wait for the acknowledgement of an earlier one.
        let _ = stream.set_nodelay(true);
        let front = Front { site: Arc::clone(site), peer: peer.ip(), headers: settings.headers };
        let stream = TokioIo::new(Patient::new(stream, settings.write_timeout));
        let connection = http.timer(HeadTimer::default()).serve_connection(stream, front);
        let asked_to_stop = asked_to_stop.clone();
        tokio::spawn(async move {
            if let Err(error) = until_asked(connection, asked_to_stop).await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
    drop((listener, asked_to_stop));
    let _ = stopping.send(());
    if tokio::time::timeout(settings.stop_within, stopping.closed()).await.is_err() {
        tracing::warn!("some requests were cut off at the stop");
    }
}

/// Serves a connection until it ends; once it is asked to stop, until the requests that are under way have their answers.
/// Whoever asks waits for the receiver to be dropped.
async fn until_asked<S: Store>(
    connection: http1::Connection<TokioIo<Patient<TcpStream>>, Front<S>>,
    mut asked_to_stop: watch::Receiver<()>,
) -> hyper::Result<()> {
    let asked = asked_to_stop.clone();
    let mut stop = std::pin::pin!(asked_to_stop.changed());
    let mut connection = std::pin::pin!(connection);
    let mut listening: Option<Waker> = None;
    let mut is_stopping = false;
    poll_fn(|context| {
        // Who is listening already need not listen again at each of its requests.
        let is_listening = listening.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        let is_quiet = is_listening && asked.has_changed().is_ok_and(|asked| !asked);
        if !is_stopping && !is_quiet {
            listening = Some(context.waker().clone());
            is_stopping = stop.as_mut().poll(context).is_ready();
            if is_stopping {
                connection.as_mut().graceful_shutdown();
            }
        }
        connection.as_mut().poll(context)
    })
    .await
}

/// What stands on a listener.
struct Site<S> {
    agents: AgentService<S>,
    operators: Router,
}

/// What a connection is answered by: agents by mount, everything else goes to the operators' side.
struct Front<S> {
    site: Arc<Site<S>>,
    peer: IpAddr,
    /// Headers that a request may have.
    headers: usize,
}

impl<S: Store> hyper::service::Service<Request<Incoming>> for Front<S> {
    type Response = Response<Outgoing>;
    type Error = Infallible;
    type Future = Reply;

    fn call(&self, request: Request<Incoming>) -> Reply {
        if request.headers().len() > self.headers {
            return Reply::TooManyHeaders;
        }
        // Files are fetched at the server's own address, wherever a vendor stands.
        if request.uri().path().starts_with(control::OBJECTS) {
            return Reply::Operators(Box::pin(operate(Arc::clone(&self.site), self.peer, request)));
        }
        match self.site.agents.answer(request, self.peer) {
            Ok(answering) => Reply::Agents(answering),
            Err(request) => Reply::Operators(Box::pin(operate(Arc::clone(&self.site), self.peer, request))),
        }
    }
}

/// An answer under way, of either side.
enum Reply {
    Agents(Answering),
    Operators(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
    TooManyHeaders,
}

impl Future for Reply {
    type Output = Result<Response<Outgoing>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Agents(answering) => {
                let answered = Pin::new(answering).poll(context);
                answered.map_ok(|response| response.map(Outgoing::Agents))
            }
            Self::Operators(answering) => {
                let answered = answering.as_mut().poll(context);
                answered.map(|response| Ok(response.map(Outgoing::Operators)))
            }
            Self::TooManyHeaders => Poll::Ready(Ok(too_many_headers())),
        }
    }
}

/// What hyper itself answers if a request has more headers than it reads.
#[cold]
fn too_many_headers() -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::Operators(Body::empty()));
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The body of an answer of either side.
enum Outgoing {
    Agents(Payload),
    Operators(Body),
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Agents(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Operators(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Agents(body) => body.is_end_stream(),
            Self::Operators(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Agents(body) => body.size_hint(),
            Self::Operators(body) => body.size_hint(),
        }
    }
}

/// Answers on the operators' side.
async fn operate<S: Store>(site: Arc<Site<S>>, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let Site { agents, operators } = &*site;
    let mut operators = operators.clone();
    let gate = agents.gate();
    let visit = gate.visit(peer, request.headers(), ["authorization"].into_iter());
    // Operators' tokens are guessed no faster than agents' keys.
    if let Some(visit) = &visit
        && let Err(fault) = gate.admit(visit, None, None, agents.core().now())
    {
        return control::put_off(fault.retry_after().map(|wait| agents.core().spread(wait)));
    }
    let operator = request.headers().contains_key(header::AUTHORIZATION);
    let response = match operators.call(request.map(Body::new)).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if let Some(visit) = &visit {
        if response.status() == StatusCode::UNAUTHORIZED {
            gate.refused(visit, agents.core().now());
        } else if operator && response.status().is_success() {
            gate.welcomed(visit, agents.core().now());
        }
    }
    response
}

/// Does what time alone does and nobody asks for, a batch at a time: what is left is done after the next flush.
async fn sweep<S: Store>(core: &Core<S>) {
    if let Err(error) = core.sweep_work().await {
        tracing::error!(%error, "work that is due could not be looked at");
    }
    if let Err(error) = core.sweep_batches().await {
        tracing::error!(%error, "batches whose time is over could not be closed");
    }
}

/// Flushes leases again and again, and once more at the end; in between, old events are forgotten.
async fn flush<S: Store>(
    agents: AgentService<S>,
    core: Arc<Core<S>>,
    interval: Duration,
    mut until: watch::Receiver<bool>,
) -> Result<(), fleetwire_server_core::store::StoreError> {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut forget = tokio::time::interval(FORGET_INTERVAL);
    forget.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if let Err(error) = agents.flush().await {
                    tracing::error!(%error, "leases could not be written; they are kept for the next flush");
                }
                sweep(&core).await;
            }
            _ = forget.tick() => {
                agents.gate().forget(core.now());
                match core.forget_events().await {
                    // A few at a time, so that no flush waits for long.
                    Ok(true) => forget.reset_after(interval),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::error!(%error, "old events could not be forgotten; it is tried again");
                    }
                }
            }
            // An error means that the server is gone, which ends the same way.
            _ = until.changed() => return agents.flush().await.map(drop),
        }
    }
}
