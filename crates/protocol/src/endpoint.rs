use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};

use crate::{Auth, Envelope, Fault, Params, Reply, Request};

/// One operation, stated once: what the client sends, the server mounts and the documents publish.
///
/// Implemented by a marker type that carries the operation's name, such as `acusight::Checkin`.
pub trait Endpoint: Sized + Send + Sync + 'static {
    /// Whose operation it is.
    type Vendor: Vendor;
    /// How the caller says who it is.
    type Auth: Auth;
    /// What the request carries besides its body and credentials.
    type Params: Params;
    /// The request's body.
    type Request: Request;
    /// The answers that mean success.
    type Reply: Reply;
    /// The shape of the answers that do not.
    type Error: Envelope;

    /// Our name for the operation, `vendor.operation`.
    const ID: &'static str;
    /// The source's own operation id, where it has one.
    const OPERATION_ID: Option<&'static str> = None;
    /// What the operation does, in a line for people.
    const SUMMARY: &'static str = Self::ID;
    /// The group that the source puts it in.
    const TAG: &'static str = <Self::Vendor as Vendor>::NAME;
    /// The method of the request line.
    const METHOD: Method;
    /// The path below the vendor's base, parameters in braces.
    const PATH: &'static str;
    /// Other paths under which deployed peers send the same request. A path parameter that only one of these has is
    /// an optional one: it is read where that path was asked for, and a call that has it goes there.
    const ALIASES: &'static [&'static str] = &[];
    /// The query parameters that select it among the operations of its request line: a request that has them all
    /// is for the one that names the most of them.
    const SELECTED_BY: &'static [&'static str] = &[];
    /// Where the source describes it.
    const SOURCE: Source;
    /// Whether it is a companion: an operation without which the vendor's real agents cannot live, known from the
    /// vendor's other pages or deployed code, and not from one of the source documents.
    const COMPANION: bool = false;
    /// The most bytes that a request body may have.
    const BODY_LIMIT: usize = 256 * 1024;
    /// What sort of traffic it is; whoever needs no credentials is a newcomer unless the operation says otherwise.
    const TRAFFIC: Traffic =
        if Self::Auth::ALTERNATIVES.is_empty() { Traffic::Newcomer } else { Traffic::Routine };
    /// The failures that the source documents.
    const FAILURES: &'static [Documented];

    /// The status under which a fault leaves; an operation whose source differs from its siblings says so
    /// here.
    #[must_use]
    fn status(fault: &Fault) -> StatusCode {
        Self::Error::status(fault)
    }
}

/// A vendor: what its operations share.
pub trait Vendor: Send + Sync + 'static {
    /// Short name, as used in operation ids and mounts.
    const ID: &'static str;
    /// The vendor's own name.
    const NAME: &'static str;
    /// Path between a server's address and the paths of the operations.
    const BASE: &'static str;
    /// The address of the vendor's own service, the base included; a name in braces where every customer has
    /// one of its own.
    const ADDRESS: &'static str;
    /// How often the vendor lets one agent at one address ask, where it says so.
    const PACE: Option<Pace> = None;
    /// The envelope of answers to requests that reach no operation.
    type Error: Envelope;

    /// What a request that reaches no operation is told.
    ///
    /// Most vendors answer every stranger alike; one hides its routes from callers without credentials.
    #[must_use]
    fn unrouted(_headers: &HeaderMap) -> Fault {
        Fault::NoRoute
    }
}

/// What sort of traffic an operation is: servers hold each sort to a pace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// What agents send day in, day out.
    Routine,
    /// What somebody sends who has no key yet: enrolment, provisioning, registration.
    Newcomer,
    /// A download of a file.
    Download,
}

/// So many requests in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Requests. At least 1.
    pub requests: u32,
    /// The time in which they may come.
    pub within: Duration,
}

/// The place in the vendor's documentation that an operation was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The document's name.
    pub document: &'static str,
    /// The place in it: a heading, or a JSON pointer in an OpenAPI document.
    pub place: &'static str,
}

impl Source {
    /// Names a document and a place in it.
    #[must_use]
    pub const fn new(document: &'static str, place: &'static str) -> Self {
        Self { document, place }
    }
}

/// A failure that a source documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Documented {
    /// Its status.
    pub status: u16,
    /// When it is sent.
    pub when: &'static str,
}

impl Documented {
    /// Names a status and when it is sent.
    #[must_use]
    pub const fn new(status: u16, when: &'static str) -> Self {
        Self { status, when }
    }
}

/// A request of an operation, without its credentials.
pub struct Call<E: Endpoint> {
    /// Path, query and header parameters.
    pub params: E::Params,
    /// The body.
    pub body: <E::Request as Request>::Body,
}

impl<E: Endpoint<Params = ()>> Call<E> {
    /// A call of an operation that has no parameters.
    pub const fn new(body: <E::Request as Request>::Body) -> Self {
        Self { params: (), body }
    }
}

impl<E: Endpoint> Call<E> {
    /// A call with parameters.
    pub const fn with(params: E::Params, body: <E::Request as Request>::Body) -> Self {
        Self { params, body }
    }
}

impl<E: Endpoint> std::fmt::Debug for Call<E>
where
    E::Params: std::fmt::Debug,
    <E::Request as Request>::Body: std::fmt::Debug,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(E::ID).field("params", &self.params).field("body", &self.body).finish()
    }
}
