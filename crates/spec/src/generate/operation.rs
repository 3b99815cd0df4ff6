//! The operations in plain data, with a way to the schemas of their messages.

use fleetwire_protocol::{
    Auth, AuthHeader, Documented, Endpoint, Json, JsonOr204, JsonReading204, NoBody, Param, Params,
    Repeatable, Reply, Request, Shape, Source, Streamed, Vendor, for_each_endpoint,
};
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

pub(super) struct Operation {
    pub(super) vendor: VendorFacts,
    pub(super) id: &'static str,
    pub(super) operation_id: Option<&'static str>,
    pub(super) summary: &'static str,
    pub(super) tag: &'static str,
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) aliases: &'static [&'static str],
    pub(super) selected_by: &'static [&'static str],
    pub(super) source: Source,
    pub(super) companion: bool,
    pub(super) body_limit: usize,
    pub(super) params: &'static [Param],
    pub(super) auth: &'static [&'static [AuthHeader]],
    pub(super) media: Option<&'static str>,
    pub(super) shapes: &'static [Shape],
    pub(super) failures: &'static [Documented],
    pub(super) request: Describe,
    pub(super) reply: Describe,
    pub(super) error: Describe,
}

#[derive(Clone, Copy)]
pub(super) struct VendorFacts {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) base: &'static str,
    pub(super) address: &'static str,
}

/// Gives the name and the schema of a message; `None` where there is no body.
pub(super) type Describe = fn(&mut SchemaGenerator) -> Option<(String, Schema)>;

macro_rules! operations {
    ([] $($operation:path,)*) => { vec![$(operation::<$operation>()),*] };
}

/// Every operation, in the order of the list.
pub(super) fn all() -> Vec<Operation> {
    for_each_endpoint!(operations!())
}

fn operation<E>() -> Operation
where
    E: Endpoint<Request: Described, Reply: Described, Error: JsonSchema>,
{
    Operation {
        vendor: VendorFacts {
            id: E::Vendor::ID,
            name: E::Vendor::NAME,
            base: E::Vendor::BASE,
            address: E::Vendor::ADDRESS,
        },
        id: E::ID,
        operation_id: E::OPERATION_ID,
        summary: E::SUMMARY,
        tag: E::TAG,
        method: E::METHOD,
        path: E::PATH,
        aliases: E::ALIASES,
        selected_by: E::SELECTED_BY,
        source: E::SOURCE,
        companion: E::COMPANION,
        body_limit: E::BODY_LIMIT,
        params: E::Params::LIST,
        auth: E::Auth::ALTERNATIVES,
        media: E::Request::MEDIA,
        shapes: E::Reply::SHAPES,
        failures: E::FAILURES,
        request: E::Request::describe,
        reply: E::Reply::describe,
        error: of::<E::Error>,
    }
}

/// A request or a reply whose message has a schema.
trait Described {
    fn describe(generator: &mut SchemaGenerator) -> Option<(String, Schema)>;
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Option<(String, Schema)> {
    Some((T::schema_name().into_owned(), generator.subschema_for::<T>()))
}

impl Described for NoBody {
    fn describe(_: &mut SchemaGenerator) -> Option<(String, Schema)> {
        None
    }
}

/// Bytes have no schema of ours.
impl<const VERSIONED: bool> Described for Streamed<VERSIONED> {
    fn describe(_: &mut SchemaGenerator) -> Option<(String, Schema)> {
        None
    }
}

impl<T: JsonSchema, const STATUS: u16> Described for Json<T, STATUS> {
    fn describe(generator: &mut SchemaGenerator) -> Option<(String, Schema)> {
        of::<T>(generator)
    }
}

macro_rules! described {
    ($($reply:ident)*) => { $(
        impl<T: JsonSchema> Described for $reply<T> {
            fn describe(generator: &mut SchemaGenerator) -> Option<(String, Schema)> {
                of::<T>(generator)
            }
        }
    )* };
}
described! { JsonOr204 JsonReading204 Repeatable }
