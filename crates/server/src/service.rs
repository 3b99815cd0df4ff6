use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_protocol::{
    Auth as _, Call, Endpoint, Fault, Piece, Reply as _, Request as _, Vendor, codec, for_each_endpoint,
};
use fleetwire_server_core::store::{Store, StoreError};
use fleetwire_server_core::{Core, Handle, Origin, admit, answer};
use fleetwire_validation::look::{Raw, look};
use fleetwire_validation::{Context as CheckContext, Validate};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, Uri, header, request};
use http_body::Body;
use tower_service::Service;

use crate::body::{self, Room, Whole};
use crate::committer::Committer;
use crate::limits::{AddressLimits, Gate, Peer, Place, Places, Visit, secrets};
use crate::mounts::{Mount, mount_of, mounts};
use crate::objects::{Objects, Payload};
use crate::through::Through;

/// How a vendor is found other than by its prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rooting {
    /// Host names, without a port, at whose root a vendor stands.
    pub hosts: HashMap<String, String>,
    /// The vendor that stands at the root of this service whatever the host, for a listener of its own.
    pub listener: Option<String>,
}

/// The agents' side of a server: every operation of every vendor, as a tower service that can stand in any
/// server built on `http`.
///
/// Cloning it is cheap; clones share one [`Core`].
pub struct AgentService<S> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    core: Arc<Core<S>>,
    routes: Arc<matchit::Router<Route>>,
    rooting: Rooting,
    public_url: Option<String>,
    patience: Duration,
    gate: Arc<Gate>,
    /// Requests that may be under way at one time: being signed in, or served once they have arrived whole.
    in_flight: Arc<Places>,
    /// What bodies may hold that are on their way.
    room: Arc<Room>,
    /// Who flushes: one at a time.
    committer: Arc<Committer>,
    /// Where the files are that agents fetch.
    objects: Option<Objects>,
}

impl<S> Clone for Inner<S> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            routes: Arc::clone(&self.routes),
            rooting: self.rooting.clone(),
            public_url: self.public_url.clone(),
            patience: self.patience,
            gate: Arc::clone(&self.gate),
            in_flight: Arc::clone(&self.in_flight),
            room: Arc::clone(&self.room),
            committer: Arc::clone(&self.committer),
            objects: self.objects.clone(),
        }
    }
}

/// The operations of a path.
#[derive(Debug, Default, Clone)]
struct Route {
    operations: Vec<Candidate>,
}

/// An operation that a path may lead to.
#[derive(Debug, Clone)]
struct Candidate {
    method: Method,
    /// The query parameters that select it among those of the same method.
    selected_by: &'static [&'static str],
    /// Its place in the list of operations.
    place: usize,
    /// The parameters of the path, in its order.
    parameters: Arc<[&'static str]>,
}

impl Route {
    /// The operation that a request is for.
    fn operation(&self, method: &Method, query: Option<&str>) -> Option<&Candidate> {
        let mut candidates = self.operations.iter().filter(|candidate| candidate.method == *method);
        let first = candidates.next()?;
        // Hardly any request line is shared.
        if first.selected_by.is_empty() && candidates.next().is_none() {
            return Some(first);
        }
        let candidates: Vec<_> =
            self.operations.iter().filter(|candidate| candidate.method == *method).collect();
        let selected = codec::select(candidates.iter().map(|candidate| candidate.selected_by), query)?;
        candidates.get(selected).copied()
    }
}

impl<S> Clone for AgentService<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// How long a body may take to arrive, unless it is said otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How many requests may be under way, unless it is said otherwise: fewer than may wait for a store.
pub(crate) const IN_FLIGHT: usize = 2048;

/// How many bytes bodies may hold that are on their way, unless it is said otherwise.
pub(crate) const BODY_BYTES: usize = 64 << 20;

/// When to come back to a server that has too much to do.
const BUSY_RETRY: Duration = Duration::from_secs(2);

impl<S: Store> AgentService<S> {
    /// A service over a core, every vendor under its prefix.
    #[must_use]
    pub fn new(core: Arc<Core<S>>) -> Self {
        let inner = Inner {
            core,
            routes: Arc::new(routes()),
            rooting: Rooting::default(),
            public_url: None,
            patience: PATIENCE,
            gate: Arc::new(Gate::new(AddressLimits::default())),
            in_flight: Arc::new(Places::new(IN_FLIGHT)),
            room: Arc::new(Room::new(BODY_BYTES)),
            committer: Arc::default(),
            objects: None,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The same with vendors found by host name or listener as well.
    #[must_use]
    pub fn with_rooting(self, rooting: Rooting) -> Self {
        self.with(|inner| inner.rooting = rooting)
    }

    /// The same with the address that agents are told to use, such as `https://fleet.example.org`. Without
    /// one it is built from each request.
    #[must_use]
    pub fn with_public_url(self, url: Option<String>) -> Self {
        let url = url.map(|url| url.trim_end_matches('/').to_owned());
        self.with(|inner| inner.public_url = url)
    }

    /// The same with another bound on the time that a body may take to arrive.
    #[must_use]
    pub fn with_body_timeout(self, patience: Duration) -> Self {
        self.with(|inner| inner.patience = patience)
    }

    /// The same with other limits by address, counted anew. They hold for requests that carry a
    /// [`Peer`](crate::Peer).
    #[must_use]
    pub fn with_address_limits(self, limits: AddressLimits) -> Self {
        self.with(|inner| inner.gate = Arc::new(Gate::new(limits)))
    }

    /// The same with other bounds on what is under way at one time: requests, and bytes of bodies that arrive
    /// piece by piece. What is beyond them is answered 503.
    #[must_use]
    pub fn with_room_for(self, requests: usize, body_bytes: usize) -> Self {
        self.with(|inner| {
            inner.in_flight = Arc::new(Places::new(requests.max(1)));
            inner.room = Arc::new(Room::new(body_bytes));
        })
    }

    /// The same with files that agents can fetch. Without any a download fails.
    #[must_use]
    pub fn with_objects(self, objects: Option<Objects>) -> Self {
        self.with(|inner| inner.objects = objects)
    }

    fn with(self, change: impl FnOnce(&mut Inner<S>)) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.inner);
        change(&mut inner);
        Self { inner: Arc::new(inner) }
    }

    /// Flushes leases, one flush at a time; see [`Core::flush`]. Returns how many.
    ///
    /// # Errors
    /// The store fails; leases and events are kept for the next flush.
    pub async fn flush(&self) -> Result<usize, StoreError> {
        let _alone = self.inner.committer.alone().await;
        self.inner.core.flush().await
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    pub(crate) fn core(&self) -> &Core<S> {
        &self.inner.core
    }

    /// Whether a request is for a vendor, and not for whatever else stands beside this service.
    pub fn claims<B>(&self, request: &Request<B>) -> bool {
        self.inner.locate(request.headers(), request.uri()).is_some()
    }

    /// Answers a request that comes from `peer`, or hands it back if it is for no vendor.
    #[expect(clippy::result_large_err, reason = "a request that is handed back is as large as it came")]
    pub(crate) fn answer<B>(&self, request: Request<B>, peer: IpAddr) -> Result<Answering, Request<B>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: std::fmt::Display + Send,
    {
        match self.inner.locate(request.headers(), request.uri()) {
            Some(stand) => Ok(Answering(self.inner.answer(request, stand, Some(peer)))),
            None => Err(request),
        }
    }
}

/// Where a vendor stands that a request is for.
#[derive(Debug, Clone, Copy)]
struct Stand {
    mount: &'static Mount,
    /// Whether that is the root, and not below its prefix.
    is_root: bool,
}

impl<S: Store> Inner<S> {
    /// The vendor that a request is for.
    fn locate(&self, headers: &HeaderMap, uri: &Uri) -> Option<Stand> {
        let named = |name: &String| mounts().iter().find(|mount| mount.vendor == name);
        if let Some(mount) = self.rooting.listener.as_ref().and_then(named) {
            return Some(Stand { mount, is_root: true });
        }
        let by_host = || {
            let host =
                host(headers, uri).filter(|host| !host.contains('@') && host.parse::<Authority>().is_ok())?;
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            self.rooting.hosts.get(name).and_then(named)
        };
        if !self.rooting.hosts.is_empty()
            && let Some(mount) = by_host()
        {
            return Some(Stand { mount, is_root: true });
        }
        mounts().iter().find(|mount| mount.holds(uri.path())).map(|mount| Stand { mount, is_root: false })
    }
}

/// The host and port that a caller named. Nobody has looked yet whether they could stand in an address.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let named = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    named.or_else(|| uri.authority().map(Authority::as_str))
}

/// An answer under way. What was begun comes to its end even if this is dropped.
#[derive(Debug)]
#[must_use = "nothing is done before it is polled"]
pub struct Answering(Through<Response<Payload>>);

impl Future for Answering {
    type Output = Result<Response<Payload>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(Ok)
    }
}

impl<S, B> Service<Request<B>> for AgentService<S>
where
    S: Store,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display + Send,
{
    type Response = Response<Payload>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        let Some(stand) = self.inner.locate(request.headers(), request.uri()) else {
            // Outside every mount there is no vendor whose words could be used; the flat envelope it is.
            let refusal = mounts()[0].refuse(&Fault::NoRoute);
            return Answering(Through::answered(refusal.map(Payload::from)));
        };
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        Answering(self.inner.answer(request, stand, peer))
    }
}

impl<S: Store> Inner<S> {
    /// Who is asking, if they are held to limits.
    fn visit<E: Endpoint>(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<Visit> {
        self.gate.visit(peer?, headers, secrets(E::Auth::ALTERNATIVES))
    }

    /// Opens a piece of a file that a handler has answered.
    async fn fetch(&self, piece: Piece) -> Result<Payload, Fault> {
        let Some(objects) = &self.objects else {
            tracing::error!(object = piece.object, "this service was given no folder of files");
            return Err(Fault::Internal);
        };
        objects.fetch(piece).await.map_err(|error| {
            tracing::error!(%error, "a file could not be opened");
            Fault::Internal
        })
    }

    /// A place among the requests under way.
    fn place(&self) -> Result<Place<'_>, Fault> {
        self.in_flight.take().ok_or(Fault::Overloaded {
            what: "the server is busy with other requests",
            retry_after: BUSY_RETRY,
        })
    }

    /// Has whoever is put off come back at a moment of their own.
    fn spread(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Limited { retry_after } => Fault::Limited { retry_after: self.core.spread(retry_after) },
            Fault::Overloaded { what, retry_after } => {
                Fault::Overloaded { what, retry_after: self.core.spread(retry_after) }
            }
            other => other,
        }
    }

    /// Finds the operation that a request is for; what does not need one is answered at once.
    fn answer<B>(
        self: &Arc<Self>,
        request: Request<B>,
        stand: Stand,
        peer: Option<IpAddr>,
    ) -> Through<Response<Payload>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: std::fmt::Display + Send,
    {
        let Stand { mount, is_root } = stand;
        let (parts, body) = request.into_parts();
        // A vendor at the root is routed as if its prefix had been there.
        let rooted = is_root.then(|| format!("{}{}", mount.prefix, parts.uri.path()));
        let path = rooted.as_deref().unwrap_or(parts.uri.path());
        let refused = |refusal: Response<Bytes>| Through::answered(refusal.map(Payload::from));
        let Ok(matched) = self.routes.at(path) else { return refused(mount.unrouted(&parts.headers)) };
        let Some(operation) = matched.value.operation(&parts.method, parts.uri.query()) else {
            let operations = matched.value.operations.iter();
            let mut allow: Vec<_> = operations.map(|candidate| candidate.method.clone()).collect();
            allow.dedup();
            return refused(mount.refuse(&Fault::MethodNotAllowed { allow }));
        };
        let segments =
            Segments::of(path, operation, &matched.params, rooted.as_ref().map_or(0, |_| mount.prefix.len()));
        let place = operation.place;
        let arrival = Arrival { inner: Arc::clone(self), parts, segments, stand, peer };
        arrival.dispatch(place, body)
    }
}

/// Where the parameters of a path are in it. A path that has none costs nothing.
#[derive(Debug, Default)]
struct Segments(Vec<(&'static str, Range<usize>)>);

impl Segments {
    /// Those of a path that has matched, less the bytes that were put before it.
    fn of(path: &str, operation: &Candidate, found: &matchit::Params<'_, '_>, less: usize) -> Self {
        let place = |(name, (_, value)): (&&'static str, (&str, &str))| {
            // A value is a part of the path.
            let start = value.as_ptr().addr().checked_sub(path.as_ptr().addr())?.checked_sub(less)?;
            Some((*name, start..start + value.len()))
        };
        Self(operation.parameters.iter().zip(found.iter()).filter_map(place).collect())
    }

    /// The segment of a parameter, still escaped.
    fn get<'a>(&self, path: &'a str, name: &str) -> Option<&'a str> {
        let (_, place) = self.0.iter().find(|(known, _)| *known == name)?;
        path.get(place.clone())
    }
}

/// A request that has found its operation.
struct Arrival<S> {
    inner: Arc<Inner<S>>,
    parts: request::Parts,
    segments: Segments,
    stand: Stand,
    peer: Option<IpAddr>,
}

/// Expands over the list of operations: which one has a place in it.
macro_rules! dispatch {
    ([$arrival:ident $operation:ident $body:ident] $($op:path,)*) => {{
        let mut place = 0;
        $(
            if $operation == place {
                return Through::new($arrival.serve::<$op, _>($body));
            }
            place += 1;
        )*
        debug_assert!(place <= $operation, "routes are made from the same list");
        Through::answered($arrival.stand.mount.refuse(&Fault::NoRoute).map(Payload::from))
    }};
}

impl<S: Store> Arrival<S> {
    /// Each operation has a future of its own size: the largest would make all of them large.
    fn dispatch<B>(self, operation: usize, body: B) -> Through<Response<Payload>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: std::fmt::Display + Send,
    {
        for_each_endpoint!(dispatch!(self operation body))
    }

    async fn serve<E, B>(self, body: B) -> Response<Payload>
    where
        E: Validate,
        Core<S>: Handle<E>,
        B: Body + Send,
        B::Data: Send,
        B::Error: std::fmt::Display,
    {
        let visit = self.inner.visit::<E>(self.peer, &self.parts.headers);
        let now = self.inner.core.now();
        let outcome = self.run::<E, B>(body, visit.as_ref(), now).await;
        if let (Some(visit), Err(Fault::Unauthenticated | Fault::TokenRefused)) = (&visit, &outcome) {
            self.inner.gate.refused(visit, now);
        }
        let mut outcome = outcome.map_err(|fault| self.inner.spread(fault));
        let mut file = None;
        if let Some(piece) = outcome.as_ref().ok().and_then(E::Reply::piece) {
            // Boxed: hardly any answer has one.
            match Box::pin(self.inner.fetch(piece)).await {
                Ok(opened) => file = Some(opened),
                Err(fault) => outcome = Err(fault),
            }
        }
        if let Err(fault) = &outcome {
            tracing::debug!(operation = E::ID, status = E::status(fault).as_u16(), "refused");
        }
        let response = codec::encode_reply::<E>(outcome);
        match file {
            Some(file) => response.map(|_| file),
            None => response.map(Payload::from),
        }
    }

    /// Answers a request that came at a time. It has that one time, unless its body comes later than its head.
    async fn run<E, B>(
        &self,
        body: B,
        visit: Option<&Visit>,
        now: DateTime<Utc>,
    ) -> Result<<E::Reply as fleetwire_protocol::Reply>::Value, Fault>
    where
        E: Validate,
        Core<S>: Handle<E>,
        B: Body + Send,
        B::Data: Send,
        B::Error: std::fmt::Display,
    {
        let Inner { core, gate, room, patience, .. } = &*self.inner;
        let core = &**core;
        if let Some(visit) = visit {
            gate.admit(visit, Some(E::TRAFFIC), E::Vendor::PACE, now)?;
        }
        let place = self.inner.place()?;
        let caller = admit::<E, _>(core, &self.parts.headers, now).await?;
        // Whoever takes their time to send a body keeps nobody else out meanwhile.
        drop(place);
        if let Some(visit) = visit {
            gate.welcomed(visit, now);
        }
        let body = if E::Request::MEDIA.is_some() {
            body::read(&self.parts.headers, body, E::BODY_LIMIT, *patience, room).await?
        } else {
            Whole::empty()
        };
        let now = if body.is_late { core.now() } else { now };
        let bytes = &body.bytes;
        let _place = self.inner.place()?;
        let origin = Origin {
            public_url: self.inner.public_url.as_deref(),
            scheme: self.parts.uri.scheme_str().unwrap_or("http"),
            host: host(&self.parts.headers, &self.parts.uri).unwrap_or("localhost"),
            mount: if self.stand.is_root { "" } else { self.stand.mount.prefix },
        };
        let context = core.context(now);
        let segment = |name: &str| self.segments.get(self.parts.uri.path(), name);
        let read: Result<Call<E>, Fault> =
            codec::decode(segment, self.parts.uri.query(), &self.parts.headers, bytes);
        let outcome = match read {
            Ok(call) => answer::<E, _>(core, caller, &origin, call, &context).await,
            Err(fault) => Err(fault),
        };
        let value = outcome.map_err(|fault| self.in_full::<E>(fault, bytes, &context))?;
        if core.config().commits_check_ins {
            let flush = || async { core.flush_renewed().await.map(drop).map_err(|error| core.fault(error)) };
            // Boxed: by default nobody is in need of the room.
            Box::pin(self.inner.committer.commit(flush)).await?;
        }
        Ok(value)
    }

    /// Puts everything that is wrong with a request in the place of the first thing. A fault that lies not in
    /// the request's form stays as it is.
    #[cold]
    fn in_full<E: Validate>(&self, fault: Fault, body: &[u8], context: &CheckContext) -> Fault {
        if !matches!(fault, Fault::Invalid(_)) {
            return fault;
        }
        let raw = Raw {
            segment: &|name| self.segments.get(self.parts.uri.path(), name),
            query: self.parts.uri.query(),
            headers: &self.parts.headers,
            body,
        };
        look::<E>(&raw, context).map_or(fault, Fault::Invalid)
    }
}

/// Expands over the list of operations: the paths of each.
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

fn routes() -> matchit::Router<Route> {
    let mut routes: HashMap<String, Route> = HashMap::new();
    for_each_endpoint!(collect_routes!(routes));
    let mut router = matchit::Router::new();
    for (path, route) in routes {
        let inserted = router.insert(path.as_str(), route);
        debug_assert!(inserted.is_ok(), "{path}: {inserted:?}");
    }
    router
}

fn add<E: Endpoint>(routes: &mut HashMap<String, Route>, place: usize) {
    let Some(mount) = mount_of::<E::Vendor>() else {
        debug_assert!(false, "{} has no mount", E::ID);
        return;
    };
    for template in [E::PATH].iter().chain(E::ALIASES) {
        let path = format!("{}{}{template}", mount.prefix, mount.base);
        let candidate = Candidate {
            method: E::METHOD,
            selected_by: E::SELECTED_BY,
            place,
            parameters: parameters(template),
        };
        routes.entry(path).or_default().operations.push(candidate);
    }
}

/// The names in braces of a path.
fn parameters(template: &'static str) -> Arc<[&'static str]> {
    template.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_route_of_its_own() {
        let router = routes();
        macro_rules! each { ([] $($op:path,)*) => { [$((<$op as Endpoint>::METHOD, mount_of::<<$op as Endpoint>::Vendor>().unwrap(), <$op as Endpoint>::PATH, <$op as Endpoint>::SELECTED_BY)),*] } }
        let operations = for_each_endpoint!(each!());
        for (place, (method, mount, path, selected_by)) in operations.into_iter().enumerate() {
            let path = format!("{}{}{}", mount.prefix, mount.base, path.replace(['{', '}'], ""));
            let route = router.at(&path).unwrap().value;
            let query: String = selected_by.iter().map(|name| format!("{name}=&")).collect();
            let operation = route.operation(&method, Some(&query)).map(|operation| operation.place);
            assert_eq!(operation, Some(place), "{path}");
        }
    }

    #[test]
    fn a_prefix_does_not_hold_a_longer_word() {
        let mount = mounts()[0];
        assert!(mount.holds(mount.prefix));
        assert!(mount.holds(&format!("{}/x", mount.prefix)));
        assert!(!mount.holds(&format!("{}x", mount.prefix)));
    }
}
