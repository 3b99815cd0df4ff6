//! The real core in this process: a request goes in, an answer comes out, without a socket.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Polling, Poll, Waker};

use bytes::Bytes;
use fleetwire_protocol::achilles::Achilles;
use fleetwire_protocol::acusight::Acusight;
use fleetwire_protocol::agentmc::AgentMc;
use fleetwire_protocol::zstack::ZStack;
use fleetwire_protocol::{Call, Endpoint, Fault, Reply, Vendor, codec, for_each_endpoint};
use fleetwire_server_core::store::MemoryStore;
use fleetwire_server_core::{Config, Core, Handle, Origin, StartError, admit, answer};
use fleetwire_validation::Validate;
use http::{HeaderValue, Request, Response, StatusCode, header};
use matchit::Router;

use super::chance::{Draws, VirtualClock};

/// The host that agents are told of.
pub(super) const HOST: &str = "fleet.test";

/// Waits for something that is ready at once: nothing in a memory store waits for anything.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Polling::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// The base address of a vendor's operations.
pub(super) fn base<V: Vendor>() -> String {
    format!("http://{HOST}/{}{}", V::ID, V::BASE)
}

/// An answer, and which operation gave it; `None` if the request reached none.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) operation: Option<&'static str>,
    pub(super) response: Response<Bytes>,
}

/// A server whose process comes and goes, and the store that stays.
pub(super) struct Server {
    /// The store of a server that is down.
    store: Option<MemoryStore>,
    core: Option<Core<MemoryStore>>,
    routes: Router<Vec<Candidate>>,
    clock: Arc<VirtualClock>,
    entropy: Arc<Draws>,
    config: Config,
    /// The second whose `Date` it is.
    date: (i64, HeaderValue),
}

/// An operation that a path may lead to.
struct Candidate {
    method: http::Method,
    selected_by: &'static [&'static str],
    /// Its place in the list of operations.
    place: usize,
}

macro_rules! collect_routes {
    ([$routes:ident] $($op:path,)*) => {
        let mut place = 0;
        $(
            add::<$op>(&mut $routes, place);
            place += 1;
        )*
        let _ = place;
    };
}

fn routes() -> Router<Vec<Candidate>> {
    let mut routes = std::collections::BTreeMap::new();
    for_each_endpoint!(collect_routes!(routes));
    let mut router = Router::new();
    for (path, candidates) in routes {
        let inserted = router.insert(path, candidates);
        debug_assert!(inserted.is_ok(), "{inserted:?}");
    }
    router
}

fn add<E: Endpoint>(routes: &mut std::collections::BTreeMap<String, Vec<Candidate>>, place: usize) {
    for path in [E::PATH].iter().chain(E::ALIASES) {
        let path = format!("/{}{}{path}", E::Vendor::ID, E::Vendor::BASE);
        let candidate = Candidate { method: E::METHOD, selected_by: E::SELECTED_BY, place };
        routes.entry(path).or_default().push(candidate);
    }
}

/// Expands over the list of operations: which one has a place in it.
macro_rules! dispatch {
    ([$arrival:ident $operation:ident] $($op:path,)*) => {{
        let mut place = 0;
        $(
            if $operation == place {
                return $arrival.serve::<$op>();
            }
            place += 1;
        )*
        let _ = place;
        unrouted()
    }};
}

impl Server {
    pub(super) fn new(clock: Arc<VirtualClock>, seed: u64, config: Config) -> Self {
        Self {
            store: Some(MemoryStore::new()),
            core: None,
            routes: routes(),
            clock,
            entropy: Arc::new(Draws::new(seed)),
            config,
            date: (i64::MIN, HeaderValue::from_static("")),
        }
    }

    /// The core, while the process is there.
    pub(super) const fn core(&self) -> Option<&Core<MemoryStore>> {
        self.core.as_ref()
    }

    /// Starts over what was committed.
    pub(super) fn start(&mut self) -> Result<(), StartError> {
        let Some(store) = self.store.take() else { return Ok(()) };
        let clock = Arc::clone(&self.clock);
        let entropy = Arc::clone(&self.entropy);
        let started = at_once(Core::start(store, clock, entropy, self.config.clone()));
        self.core = started.transpose()?.map(|(core, _)| core);
        Ok(())
    }

    /// The process is gone, and with it what it had not written.
    pub(super) fn die(&mut self) {
        if let Some(core) = self.core.take() {
            self.store = Some(core.into_store());
        }
    }

    /// Serves a request; `None` if nobody listens.
    pub(super) fn serve(&mut self, request: &Request<Bytes>) -> Option<Served> {
        let core = self.core.as_ref()?;
        let now = core.now();
        if self.date.0 != now.timestamp() {
            // As HTTP servers do; agents set their time by it.
            let text = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            if let Ok(value) = HeaderValue::try_from(text) {
                self.date = (now.timestamp(), value);
            }
        }
        let mut served = self.route(core, request);
        served.response.headers_mut().insert(header::DATE, self.date.1.clone());
        Some(served)
    }

    fn route(&self, core: &Core<MemoryStore>, request: &Request<Bytes>) -> Served {
        let uri = request.uri();
        let Ok(matched) = self.routes.at(uri.path()) else { return unrouted() };
        let fitting = || matched.value.iter().filter(|candidate| candidate.method == *request.method());
        let selected = codec::select(fitting().map(|candidate| candidate.selected_by), uri.query());
        let place = selected.and_then(|at| fitting().nth(at)).map(|candidate| candidate.place);
        match place {
            Some(place) => Arrival { core, request, params: matched.params }.dispatch(place),
            None => unrouted(),
        }
    }
}

/// The answer to a request that reaches no operation.
fn unrouted() -> Served {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NOT_FOUND;
    Served { operation: None, response }
}

/// A request that has found its path.
struct Arrival<'a> {
    core: &'a Core<MemoryStore>,
    request: &'a Request<Bytes>,
    params: matchit::Params<'a, 'a>,
}

impl Arrival<'_> {
    fn dispatch(self, operation: usize) -> Served {
        for_each_endpoint!(dispatch!(self operation))
    }

    fn serve<E>(self) -> Served
    where
        E: Validate,
        Core<MemoryStore>: Handle<E>,
    {
        // That a memory store has something wait is a fault of ours, and answered as one.
        let outcome = at_once(self.run::<E>()).unwrap_or(Err(Fault::Internal));
        Served { operation: Some(E::ID), response: codec::encode_reply::<E>(outcome) }
    }

    async fn run<E>(&self) -> Result<<E::Reply as Reply>::Value, Fault>
    where
        E: Validate,
        Core<MemoryStore>: Handle<E>,
    {
        let (headers, now) = (self.request.headers(), self.core.now());
        let caller = admit::<E, _>(self.core, headers, now).await?;
        let segment = |name: &str| self.params.get(name);
        let call: Call<E> = codec::decode(segment, self.request.uri().query(), headers, self.request.body())?;
        let origin = Origin { public_url: None, scheme: "http", host: HOST, mount: mount::<E::Vendor>() };
        answer::<E, _>(self.core, caller, &origin, call, &self.core.context(now)).await
    }
}

/// Where a vendor is mounted: under its own short name.
fn mount<V: Vendor>() -> &'static str {
    const MOUNTS: [(&str, &str); 4] = [
        (Acusight::ID, "/acusight"),
        (ZStack::ID, "/zstack"),
        (AgentMc::ID, "/agentmc"),
        (Achilles::ID, "/achilles"),
    ];
    MOUNTS.iter().find(|(id, _)| *id == V::ID).map_or("", |(_, mount)| mount)
}
