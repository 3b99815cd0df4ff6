use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use fleetwire_server_core::Core;
use fleetwire_server_core::store::Store;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service;

use crate::limits::{AddressLimits, Peer};
use crate::objects::{ObjectLimits, Objects};
use crate::patience::Patient;
use crate::service::{BODY_BYTES, IN_FLIGHT, PATIENCE};
use crate::{AgentService, Rooting, control};

/// Time between two looks for events that are too old to be kept.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

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
        let (operators, room, settings) = (operators.clone(), Arc::clone(&room), settings.clone());
        let mut asked_to_stop = asked_to_stop.clone();
        accepting.spawn(async move {
            // An error means that the server is gone, which ends the same way.
            let stop = async { drop(asked_to_stop.wait_for(|asked| *asked).await) };
            accept(socket, &agents, &operators, &room, &settings, stop).await;
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
    agents: &AgentService<S>,
    operators: &Router,
    room: &Arc<Semaphore>,
    settings: &Settings,
    stop: impl Future<Output = ()>,
) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(settings.header_bytes.max(8192))
        .max_headers(settings.headers);
    let graceful = GracefulShutdown::new();
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
        let (agents, operators) = (agents.clone(), operators.clone());
        let service = service_fn(move |request| route(agents.clone(), operators.clone(), peer.ip(), request));
        let connection = graceful.watch(
            http.serve_connection(TokioIo::new(Patient::new(stream, settings.write_timeout)), service),
        );
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(settings.stop_within, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were cut off at the stop");
    }
}

/// Agents by mount, everything else to the operators' side.
async fn route<S: Store>(
    mut agents: AgentService<S>,
    mut operators: Router,
    peer: IpAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, std::convert::Infallible> {
    request.extensions_mut().insert(Peer(peer));
    // Files are fetched at the server's own address, wherever a vendor stands.
    if !request.uri().path().starts_with(control::OBJECTS) && agents.claims(&request) {
        return agents.call(request).await.map(|response| response.map(Body::new));
    }
    let gate = agents.gate();
    let visit = gate.visit(request.extensions(), request.headers(), ["authorization"].into_iter());
    let Some(visit) = visit else { return operators.call(request.map(Body::new)).await };
    // Operators' tokens are guessed no faster than agents' keys.
    if let Err(fault) = gate.admit(&visit, None, None, agents.core().now()) {
        return Ok(control::put_off(fault.retry_after().map(|wait| agents.core().spread(wait))));
    }
    let operator = request.headers().contains_key(http::header::AUTHORIZATION);
    let response = operators.call(request.map(Body::new)).await?;
    if response.status() == http::StatusCode::UNAUTHORIZED {
        gate.refused(&visit, agents.core().now());
    } else if operator && response.status().is_success() {
        gate.welcomed(&visit, agents.core().now());
    }
    Ok(response)
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
