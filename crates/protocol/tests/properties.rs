//! What holds of every message of every operation: it survives its own codec, and no bytes make a reader panic.

use std::fmt::Debug;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_protocol::achilles::AgentCredentials;
use fleetwire_protocol::acusight::DeviceKey;
use fleetwire_protocol::agentmc::ApiKey;
use fleetwire_protocol::codec::{self, EncodeError, ReplyError};
use fleetwire_protocol::zstack::BearerToken;
use fleetwire_protocol::{
    Auth, Call, Endpoint, Fault, ParamPlace, Params, Reply, Request, for_each_endpoint,
};
use http::{HeaderMap, Response, StatusCode};
use proptest::arbitrary::Arbitrary;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

/// Credentials to send a request with.
trait Sample {
    fn sample() -> Self;
}
impl Sample for () {
    fn sample() -> Self {}
}
impl Sample for DeviceKey {
    fn sample() -> Self {
        Self::new("adk_00ff")
    }
}
impl Sample for BearerToken {
    fn sample() -> Self {
        Self::new("zsk_00ff")
    }
}
impl Sample for ApiKey {
    fn sample() -> Self {
        Self::new("cc_00ff")
    }
}
impl Sample for AgentCredentials {
    fn sample() -> Self {
        Self::new("agent-1", "ak_00ff")
    }
}

const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_774_103_400_000_000_000);

/// Runs a property for every operation in an eighth of the usual cases, and without a file of past failures:
/// a failure that matters becomes a fixture.
fn holds<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> TestCaseResult) {
    let usual = Config::default();
    let config = Config { cases: usual.cases.div_ceil(8), failure_persistence: None, ..usual };
    if let Err(failure) = TestRunner::new(config).run(strategy, property) {
        panic!("{failure}");
    }
}

/// The segment of a path that stands where a template has a parameter.
fn segment<'a>(template: &str, path: &'a str, name: &str) -> Option<&'a str> {
    assert_eq!(template.split('/').count(), path.split('/').count(), "{path} does not fit {template}");
    let pairs = template.split('/').zip(path.split('/'));
    pairs.filter(|(wanted, _)| wanted.trim_matches(['{', '}']) == name).map(|(_, found)| found).next()
}

/// A request as a server sees it.
fn read<E: Endpoint>(request: &http::Request<Bytes>) -> Result<Call<E>, Fault> {
    let asked = request.uri().path();
    let fits = |template: &&str| {
        let is_fit = |(wanted, found): (&str, &str)| wanted.starts_with('{') || wanted == found;
        template.split('/').count() == asked.split('/').count()
            && template.split('/').zip(asked.split('/')).all(is_fit)
    };
    let template =
        std::iter::once(&E::PATH).chain(E::ALIASES).copied().find(fits).expect("a path of its own");
    let path = |name: &str| segment(template, asked, name);
    codec::decode::<E>(path, request.uri().query(), request.headers(), request.body())
}

fn request_survives<E: Endpoint>()
where
    E::Params: Arbitrary + Debug + PartialEq,
    <E::Request as Request>::Body: Arbitrary + Debug + PartialEq,
    <E::Auth as Auth>::Credentials: Sample,
{
    let credentials = <E::Auth as Auth>::Credentials::sample();
    let strategy = (any::<E::Params>(), any::<<E::Request as Request>::Body>());
    holds(&strategy, |(params, body)| {
        let bytes = E::Request::write(&body).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let same = E::Request::read(&bytes);
        prop_assert_eq!(same.as_ref(), Ok(&body));

        let mut bad_path = false;
        let mut bad_header = false;
        params.write(&mut |param, text| match param.place {
            ParamPlace::Path => bad_path |= matches!(text, "" | "." | ".."),
            ParamPlace::Header => {
                let ascii = text.chars().all(|c| matches!(c, '\t' | ' '..='~'));
                bad_header |= !ascii || text.trim() != text;
            }
            ParamPlace::Query => {}
        });
        let call = Call::<E>::with(params, body);
        let request = match codec::encode::<E>("http://fleet.example.com/mount", &credentials, NOW, &call) {
            Err(EncodeError::Path(_)) if bad_path => return Ok(()),
            Err(EncodeError::Header(_)) if bad_header => return Ok(()),
            other => other.map_err(|error| TestCaseError::fail(error.to_string()))?,
        };
        prop_assert!(!bad_path && !bad_header, "a parameter that cannot be carried is refused");
        prop_assert_eq!(request.method(), &E::METHOD);

        // The server strips the mount.
        let mut request = request;
        let uri = request.uri().to_string().replace("http://fleet.example.com/mount", "");
        *request.uri_mut() = uri.parse().expect("an address");
        let read = read::<E>(&request).map_err(|fault| TestCaseError::fail(format!("{fault:?}")))?;
        prop_assert_eq!(read.params, call.params);
        prop_assert_eq!(read.body, call.body);
        Ok(())
    });
}

fn reply_survives<E: Endpoint>()
where
    <E::Reply as Reply>::Value: Arbitrary + Debug + PartialEq,
    E::Error: PartialEq,
{
    holds(&any::<<E::Reply as Reply>::Value>(), |value| {
        let response = E::Reply::write(&value).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let stated = E::Reply::SHAPES.iter().any(|shape| shape.status == response.status().as_u16());
        prop_assert!(stated, "{} is none of the stated answers", response.status());
        prop_assert_eq!(codec::decode_reply::<E>(&response), Ok(value));
        Ok(())
    });
}

fn envelope_survives<E: Endpoint>()
where
    E::Error: Arbitrary,
    <E::Reply as Reply>::Value: Debug,
{
    holds(&any::<E::Error>(), |envelope| {
        let mut response = Response::new(Bytes::from(serde_json::to_vec(&envelope).expect("JSON")));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        let Err(ReplyError::Refused(refusal)) = codec::decode_reply::<E>(&response) else {
            return Err(TestCaseError::fail("500 is a refusal"));
        };
        prop_assert_eq!(refusal.envelope, Some(envelope));
        Ok(())
    });
}

fn no_request_makes_the_reader_panic<E: Endpoint>()
where
    <E::Request as Request>::Body: Arbitrary + Debug,
{
    let read = |body: &[u8]| match codec::decode::<E>(|_| Some("%FF%zz"), Some("%"), &HeaderMap::new(), body)
    {
        Ok(_) => Ok(()),
        Err(Fault::Invalid(violations)) => {
            prop_assert!(!violations.as_slice().is_empty());
            Ok(())
        }
        Err(other) => Err(TestCaseError::fail(format!("{other:?} does not come from a form"))),
    };
    holds(&vec(any::<u8>(), 0..64), |bytes| read(&bytes));
    // Nearly right gets further than noise does.
    let damaged = (any::<<E::Request as Request>::Body>(), any::<Index>(), any::<u8>(), any::<bool>());
    holds(&damaged, |(body, at, byte, cut)| {
        let mut bytes = E::Request::write(&body).expect("JSON").to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
            }
        }
        read(&bytes)
    });
}

fn no_answer_is_lost<E: Endpoint>()
where
    <E::Reply as Reply>::Value: Arbitrary + Debug,
{
    let check = |status: u16, body: Vec<u8>| {
        let mut response = Response::new(Bytes::from(body.clone()));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        let is_reply = E::Reply::reads(response.status());
        match codec::decode_reply::<E>(&response) {
            Ok(_) => prop_assert!(is_reply),
            Err(ReplyError::Garbled { status: seen, body: kept, .. }) => {
                prop_assert!(is_reply);
                prop_assert_eq!(seen.as_u16(), status);
                prop_assert_eq!(kept, body);
            }
            Err(ReplyError::Refused(refusal)) => {
                prop_assert!(!is_reply);
                prop_assert_eq!(refusal.status.as_u16(), status);
                prop_assert_eq!(refusal.body, body);
            }
        }
        Ok(())
    };
    holds(&(100..1000u16, vec(any::<u8>(), 0..64)), |(status, body)| check(status, body));
    let damaged = (100..1000u16, any::<<E::Reply as Reply>::Value>(), any::<Index>(), any::<u8>());
    holds(&damaged, |(status, value, at, byte)| {
        let mut body = E::Reply::write(&value).expect("JSON").into_body().to_vec();
        if !body.is_empty() {
            let at = at.index(body.len());
            body[at] = byte;
        }
        check(status, body)
    });
}

macro_rules! of_every_operation {
    ([$property:ident] $($op:path,)*) => { $( $property::<$op>(); )* };
}

#[test]
fn every_request_survives_the_codec() {
    for_each_endpoint!(of_every_operation!(request_survives));
}

#[test]
fn every_reply_survives_the_codec() {
    for_each_endpoint!(of_every_operation!(reply_survives));
}

#[test]
fn every_envelope_survives_the_codec() {
    for_each_endpoint!(of_every_operation!(envelope_survives));
}

#[test]
fn bytes_of_a_request_never_panic() {
    for_each_endpoint!(of_every_operation!(no_request_makes_the_reader_panic));
}

#[test]
fn bytes_of_an_answer_never_panic_and_are_kept() {
    for_each_endpoint!(of_every_operation!(no_answer_is_lost));
}

#[test]
fn every_number_that_a_double_holds_is_read_as_it_was_written() {
    use fleetwire_protocol::wire::Number;
    holds(&any::<f64>().prop_filter("finite", |n| n.is_finite()), |n| {
        let text = serde_json::to_string(&Number::new(n)).expect("JSON");
        prop_assert!(!text.contains("null"));
        let read: Number =
            serde_json::from_str(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(read.get(), n);
        Ok(())
    });
}
