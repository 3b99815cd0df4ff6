use std::future::Future;
use std::io;
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
use tower_service::Service;

use crate::service::PATIENCE;
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
    /// Connections at one time. Further ones wait to be accepted.
    pub connections: usize,
    /// How long the head of a request may take to arrive, and how long a connection may idle.
    pub header_timeout: Duration,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
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
            // Longer than the slowest default cadence, so that a connection can be used again.
            header_timeout: Duration::from_secs(75),
            body_timeout: PATIENCE,
            header_bytes: 16 * 1024,
            headers: 64,
            flush_interval: Duration::from_secs(1),
            stop_within: Duration::from_secs(10),
        }
    }
}

/// Serves agents and operators until `stop` is ready; then takes no more connections, lets requests under way
/// come to their end, and flushes the leases.
///
/// # Errors
/// The last flush fails. A connection that fails is its own affair.
pub async fn serve<S: Store>(
    listener: TcpListener,
    core: Arc<Core<S>>,
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let agents = AgentService::new(Arc::clone(&core))
        .with_rooting(settings.rooting.clone())
        .with_public_url(settings.public_url.clone())
        .with_body_timeout(settings.body_timeout);
    let operators = control::router(Arc::clone(&core));
    let (stopped, flush_until) = watch::channel(false);
    let flusher = tokio::spawn(flush(Arc::clone(&core), settings.flush_interval, flush_until));

    accept(listener, &agents, &operators, &settings, stop).await;

    // The flusher writes once more on its way out.
    let _ = stopped.send(true);
    flusher.await.map_err(io::Error::other)?.map_err(io::Error::other)
}

async fn accept<S: Store>(
    listener: TcpListener,
    agents: &AgentService<S>,
    operators: &Router,
    settings: &Settings,
    stop: impl Future<Output = ()>,
) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(settings.header_bytes.max(8192))
        .max_headers(settings.headers);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(settings.connections));
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            next = next => next,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
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
        let service = service_fn(move |request| route(agents.clone(), operators.clone(), request));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
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
    request: Request<Incoming>,
) -> Result<Response<Body>, std::convert::Infallible> {
    if agents.claims(&request) {
        return agents.call(request).await.map(|response| response.map(Body::new));
    }
    operators.call(request.map(Body::new)).await
}

/// Does what time alone does and nobody asks for, a batch at a time: what is left is done after the next flush.
async fn sweep<S: Store>(core: &Core<S>) {
    if let Err(error) = core.sweep_work().await {
        tracing::error!(%error, "work that is due could not be looked at");
    }
}

/// Flushes leases again and again, and once more at the end; in between, old events are forgotten.
async fn flush<S: Store>(
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
                if let Err(error) = core.flush().await {
                    tracing::error!(%error, "leases could not be written; they are kept for the next flush");
                }
                sweep(&core).await;
            }
            _ = forget.tick() => match core.forget_events().await {
                // A few at a time, so that no flush waits for long.
                Ok(true) => forget.reset_after(interval),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "old events could not be forgotten; it is tried again"),
            },
            // An error means that the server is gone, which ends the same way.
            _ = until.changed() => return core.flush().await.map(drop),
        }
    }
}
