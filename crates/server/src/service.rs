use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fleetwire_protocol::{Call, Endpoint, Fault, Request as _, codec, for_each_endpoint};
use fleetwire_server_core::store::Store;
use fleetwire_server_core::{Core, Handle, Origin, admit, answer};
use fleetwire_validation::look::{Raw, look};
use fleetwire_validation::{Context as CheckContext, Validate};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, Uri, header, request};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use crate::body;
use crate::mounts::{Mount, mount_of, mounts};

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
    routes: matchit::Router<Route>,
    rooting: Rooting,
    public_url: Option<String>,
    patience: Duration,
}

/// The operations of a path, by method: their places in the list of operations.
#[derive(Debug, Default, Clone)]
struct Route {
    operations: Vec<(Method, usize)>,
}

impl<S> Clone for AgentService<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// How long a body may take to arrive, unless it is said otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

impl<S: Store> AgentService<S> {
    /// A service over a core, every vendor under its prefix.
    #[must_use]
    pub fn new(core: Arc<Core<S>>) -> Self {
        let inner = Inner {
            core,
            routes: routes(),
            rooting: Rooting::default(),
            public_url: None,
            patience: PATIENCE,
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

    fn with(self, change: impl FnOnce(&mut Inner<S>)) -> Self {
        let mut inner = match Arc::try_unwrap(self.inner) {
            Ok(inner) => inner,
            Err(shared) => Inner {
                core: Arc::clone(&shared.core),
                routes: routes(),
                rooting: shared.rooting.clone(),
                public_url: shared.public_url.clone(),
                patience: shared.patience,
            },
        };
        change(&mut inner);
        Self { inner: Arc::new(inner) }
    }

    /// Whether a request is for a vendor, and not for whatever else stands beside this service.
    pub fn claims<B>(&self, request: &Request<B>) -> bool {
        self.inner.locate(request.headers(), request.uri()).is_some()
    }
}

impl<S: Store> Inner<S> {
    /// The vendor that a request is for, and whether it stands at the root.
    fn locate(&self, headers: &HeaderMap, uri: &Uri) -> Option<(&'static Mount, bool)> {
        let named = |name: &String| mounts().iter().find(|mount| mount.vendor == name);
        if let Some(mount) = self.rooting.listener.as_ref().and_then(named) {
            return Some((mount, true));
        }
        let by_host = || {
            let host = host(headers, uri)?;
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            self.rooting.hosts.get(name).and_then(named)
        };
        if !self.rooting.hosts.is_empty()
            && let Some(mount) = by_host()
        {
            return Some((mount, true));
        }
        mounts().iter().find(|mount| mount.holds(uri.path())).map(|mount| (mount, false))
    }
}

/// The host and port that a caller named, if they could stand in an address.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let named = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    named
        .or_else(|| uri.authority().map(Authority::as_str))
        .filter(|host| !host.contains('@') && host.parse::<Authority>().is_ok())
}

impl<S, B> Service<Request<B>> for AgentService<S>
where
    S: Store,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display + Send,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { Ok(inner.respond(request).await.map(Full::new)) })
    }
}

impl<S: Store> Inner<S> {
    async fn respond<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: std::fmt::Display,
    {
        let Some((mount, rooted)) = self.locate(request.headers(), request.uri()) else {
            // Outside every mount there is no vendor whose words could be used; the flat envelope it is.
            return mounts()[0].refuse(&Fault::NoRoute);
        };
        let (parts, body) = request.into_parts();
        // A vendor at the root is routed as if its prefix had been there.
        let rooted_path = rooted.then(|| format!("{}{}", mount.prefix, parts.uri.path()));
        let path = rooted_path.as_deref().unwrap_or(parts.uri.path());
        let Ok(matched) = self.routes.at(path) else {
            return mount.unrouted(&parts.headers);
        };
        let operations = &matched.value.operations;
        let Some((_, operation)) = operations.iter().find(|(method, _)| *method == parts.method) else {
            let allow = operations.iter().map(|(method, _)| method.clone()).collect();
            return mount.refuse(&Fault::MethodNotAllowed { allow });
        };
        let arrival = Arrival { inner: self, parts: &parts, params: &matched.params, mount, rooted };
        arrival.dispatch(*operation, body).await
    }
}

/// A request that has found its operation.
struct Arrival<'a, S> {
    inner: &'a Inner<S>,
    parts: &'a request::Parts,
    params: &'a matchit::Params<'a, 'a>,
    mount: &'static Mount,
    rooted: bool,
}

/// Expands over the list of operations: which one has a place in it.
macro_rules! dispatch {
    ([$arrival:ident $operation:ident $body:ident] $($op:path,)*) => {{
        let mut place = 0;
        $(
            if $operation == place {
                return $arrival.serve::<$op, _>($body).await;
            }
            place += 1;
        )*
        debug_assert!(place <= $operation, "routes are made from the same list");
        $arrival.mount.refuse(&Fault::NoRoute)
    }};
}

impl<S: Store> Arrival<'_, S> {
    async fn dispatch<B>(self, operation: usize, body: B) -> Response<Bytes>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: std::fmt::Display,
    {
        for_each_endpoint!(dispatch!(self operation body))
    }

    async fn serve<E, B>(self, body: B) -> Response<Bytes>
    where
        E: Validate,
        Core<S>: Handle<E>,
        B: Body + Send,
        B::Data: Send,
        B::Error: std::fmt::Display,
    {
        let outcome = self.run::<E, B>(body).await;
        if let Err(fault) = &outcome {
            tracing::debug!(operation = E::ID, status = E::status(fault).as_u16(), "refused");
        }
        codec::encode_reply::<E>(outcome)
    }

    async fn run<E, B>(&self, body: B) -> Result<<E::Reply as fleetwire_protocol::Reply>::Value, Fault>
    where
        E: Validate,
        Core<S>: Handle<E>,
        B: Body + Send,
        B::Data: Send,
        B::Error: std::fmt::Display,
    {
        let core = &*self.inner.core;
        let caller = admit::<E, _>(core, &self.parts.headers).await?;
        let bytes = if E::Request::MEDIA.is_some() {
            body::read(&self.parts.headers, body, E::BODY_LIMIT, self.inner.patience).await?
        } else {
            Bytes::new()
        };
        let origin = Origin {
            public_url: self.inner.public_url.as_deref(),
            scheme: self.parts.uri.scheme_str().unwrap_or("http"),
            host: host(&self.parts.headers, &self.parts.uri).unwrap_or("localhost"),
            mount: if self.rooted { "" } else { self.mount.prefix },
        };
        let context = core.context();
        let segment = |name: &str| self.params.get(name);
        let read: Result<Call<E>, Fault> =
            codec::decode(segment, self.parts.uri.query(), &self.parts.headers, &bytes);
        let outcome = match read {
            Ok(call) => answer::<E, _>(core, caller, &origin, call, &context).await,
            Err(fault) => Err(fault),
        };
        outcome.map_err(|fault| self.in_full::<E>(fault, &bytes, &context))
    }

    /// Puts everything that is wrong with a request in the place of the first thing. A fault that lies not in
    /// the request's form stays as it is.
    #[cold]
    fn in_full<E: Validate>(&self, fault: Fault, body: &[u8], context: &CheckContext) -> Fault {
        if !matches!(fault, Fault::Invalid(_)) {
            return fault;
        }
        let raw = Raw {
            segment: &|name| self.params.get(name),
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
    for path in [E::PATH].iter().chain(E::ALIASES) {
        let path = format!("{}{}{path}", mount.prefix, mount.base);
        routes.entry(path).or_default().operations.push((E::METHOD, place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_route_of_its_own() {
        let router = routes();
        macro_rules! each { ([] $($op:path,)*) => { [$((<$op as Endpoint>::METHOD, mount_of::<<$op as Endpoint>::Vendor>().unwrap(), <$op as Endpoint>::PATH)),*] } }
        let operations = for_each_endpoint!(each!());
        for (place, (method, mount, path)) in operations.into_iter().enumerate() {
            let path = format!("{}{}{}", mount.prefix, mount.base, path.replace(['{', '}'], ""));
            let route = router.at(&path).unwrap().value;
            assert!(route.operations.contains(&(method, place)), "{path}");
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
