//! Replays every message under `fixtures/` through the real codec.
//!
//! A fixture says by its name what it is (`request`, `response.200`, `error.422`) and what is to become of it:
//! a plain one is read and written again as it was, an `.accepted` one is written as its canonical fixture, a
//! `.refused` one names the place and the rule. `fixtures/origins.toml` says where each comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fleetwire_protocol::codec::{self, ReplyError};
use fleetwire_protocol::{Endpoint, Envelope, Fault, Reply, Request, Violation, for_each_endpoint};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    document: String,
    place: String,
    verbatim: bool,
    canonical: Option<String>,
    #[serde(default)]
    shows: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    path: BTreeMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Request,
    Response(StatusCode),
    Error(StatusCode),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Exact,
    Accepted,
    Refused,
}

struct Fixture {
    /// Below `fixtures`, with slashes.
    path: String,
    /// `vendor.operation`.
    operation: String,
    kind: Kind,
    class: Class,
    body: Bytes,
    origin: Origin,
}

/// What became of a message.
enum Outcome {
    Read { typed: String, status: Option<StatusCode>, written: Vec<u8> },
    Refused(String),
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn origins() -> BTreeMap<String, Origin> {
    let text = fs::read_to_string(folder().join("origins.toml")).expect("fixtures/origins.toml is there");
    toml::from_str(&text).expect("fixtures/origins.toml is well formed")
}

/// The paths of all files but the table of origins.
fn files() -> BTreeSet<String> {
    fn collect(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("a folder of fixtures") {
            let entry = entry.expect("an entry of a folder of fixtures");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            if entry.file_type().expect("a type of file").is_dir() {
                collect(&entry.path(), &format!("{prefix}{name}/"), found);
            } else {
                found.insert(format!("{prefix}{name}"));
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(&folder(), "", &mut found);
    assert!(found.remove("origins.toml"));
    found
}

/// Reads a name such as `error.422.bare.accepted.json`.
fn classify(name: &str) -> Option<(Kind, Class)> {
    let mut parts: Vec<_> = name.strip_suffix(".json")?.split('.').collect();
    let class = match *parts.last()? {
        "accepted" => Class::Accepted,
        "refused" => Class::Refused,
        _ => Class::Exact,
    };
    if class != Class::Exact {
        parts.pop();
    }
    let status = || parts.get(1)?.parse().ok();
    let kind = match parts[0] {
        "request" => Kind::Request,
        "response" => Kind::Response(status()?),
        "error" => Kind::Error(status()?),
        _ => return None,
    };
    let longest = if kind == Kind::Request { 2 } else { 3 };
    (parts.len() <= longest).then_some((kind, class))
}

fn fixtures() -> Vec<Fixture> {
    origins()
        .into_iter()
        .map(|(path, origin)| {
            let parts: Vec<_> = path.split('/').collect();
            let [vendor, operation, name] = parts[..] else { panic!("{path} is not vendor/operation/name") };
            let (kind, class) = classify(name).unwrap_or_else(|| panic!("{path} has no known name"));
            let body = fs::read(folder().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            let operation = format!("{vendor}.{operation}");
            Fixture { operation, kind, class, body: body.into(), origin, path }
        })
        .collect()
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

/// Indented JSON with its members in order, whichever order serde_json keeps them in.
fn pretty(bytes: &[u8]) -> String {
    fn sort(value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let members: BTreeMap<_, _> = members.into_iter().map(|(k, v)| (k, sort(v))).collect();
                members.into_iter().collect()
            }
            Value::Array(items) => items.into_iter().map(sort).collect(),
            other => other,
        }
    }
    serde_json::to_string_pretty(&sort(value(bytes))).expect("JSON")
}

fn violation(violation: &Violation) -> String {
    format!("{:?}\n{}\n{}\n", violation.place, violation.rule, violation.message)
}

fn headers(origin: &Origin) -> HeaderMap {
    let header = |(name, value): (&String, &String)| {
        (HeaderName::try_from(name).expect("a name"), HeaderValue::try_from(value).expect("a value"))
    };
    origin.headers.iter().map(header).collect()
}

fn response(fixture: &Fixture, status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(fixture.body.clone());
    *response.status_mut() = status;
    response
}

fn replay<E: Endpoint>(fixture: &Fixture) -> Outcome
where
    E::Params: Debug,
    <E::Request as Request>::Body: Debug,
    <E::Reply as Reply>::Value: Debug,
{
    match fixture.kind {
        Kind::Request => {
            let path = |name: &str| fixture.origin.path.get(name).map(String::as_str);
            match codec::decode::<E>(path, None, &headers(&fixture.origin), &fixture.body) {
                Ok(call) => Outcome::Read {
                    typed: format!("{call:#?}"),
                    status: None,
                    written: E::Request::write(&call.body).expect("what was read can be written").into(),
                },
                Err(fault) => {
                    let Fault::Invalid(violations) = &fault else { panic!("{fault:?}") };
                    let answer = codec::encode_fault::<E::Error>(E::status(&fault), &fault);
                    let seen: String = violations.iter().map(violation).collect();
                    Outcome::Refused(format!("{seen}\n{}\n{}", answer.status(), pretty(answer.body())))
                }
            }
        }
        Kind::Response(status) => match codec::decode_reply::<E>(&response(fixture, status)) {
            Ok(value) => {
                let written = E::Reply::write(&value).expect("what was read can be written");
                Outcome::Read {
                    typed: format!("{value:#?}"),
                    status: Some(written.status()),
                    written: written.into_body().into(),
                }
            }
            Err(ReplyError::Garbled { body, why, .. }) => {
                assert_eq!(body, fixture.body, "the answer is kept");
                Outcome::Refused(violation(&why))
            }
            Err(ReplyError::Refused(_)) => panic!("{status} means success"),
        },
        Kind::Error(status) => {
            let Err(ReplyError::Refused(refusal)) = codec::decode_reply::<E>(&response(fixture, status))
            else {
                panic!("{status} does not mean success")
            };
            assert_eq!(refusal.body, fixture.body, "the answer is kept");
            let Some(envelope) = &refusal.envelope else {
                return Outcome::Refused(format!("{:?}\n{refusal}\n", refusal.kind()));
            };
            let (code, message) = (envelope.code(), envelope.message());
            Outcome::Read {
                typed: format!(
                    "{:?}\ncode {code:?}\nmessage {message:?}\nretry after {:?}\n{envelope:#?}",
                    refusal.kind(),
                    refusal.retry_after
                ),
                status: Some(refusal.status),
                written: serde_json::to_vec(envelope).expect("what was read can be written"),
            }
        }
    }
}

/// Replays a fixture of whichever operation it belongs to; `None` if there is no such operation.
fn replay_any(fixture: &Fixture) -> Option<Outcome> {
    macro_rules! dispatch {
        ([] $($op:path,)*) => { $(
            if fixture.operation == <$op as Endpoint>::ID {
                return Some(replay::<$op>(fixture));
            }
        )* };
    }
    for_each_endpoint!(dispatch!());
    None
}

fn check(fixture: &Fixture, all: &[Fixture]) {
    let outcome = replay_any(fixture).expect("a known operation");
    let snapshot = match (fixture.class, outcome) {
        (Class::Exact, Outcome::Read { typed, status, written }) => {
            assert_eq!(value(&written), value(&fixture.body), "it is written as it was read");
            if let (Kind::Response(expected), Some(status)) = (fixture.kind, status) {
                assert_eq!(status, expected, "it is written with its status");
            }
            typed
        }
        (Class::Accepted, Outcome::Read { typed, status, written }) => {
            let canonical = fixture.origin.canonical.as_ref().expect("a canonical fixture");
            let canonical = all.iter().find(|other| other.path == *canonical).expect("a canonical fixture");
            assert!(canonical.class == Class::Exact, "the canonical fixture is a plain one");
            let same = fixture.kind == canonical.kind && value(&fixture.body) == value(&canonical.body);
            assert!(!same, "it differs from the canonical one");
            assert_eq!(value(&written), value(&canonical.body), "it is written as the canonical one");
            let Some(Outcome::Read { typed: other, status: other_status, .. }) = replay_any(canonical) else {
                panic!("the canonical fixture is not read")
            };
            assert_eq!(typed, other, "it means what the canonical one means");
            assert_eq!(status, other_status, "it is written with the canonical status");
            return;
        }
        (Class::Refused, Outcome::Refused(why)) => why,
        (Class::Refused, Outcome::Read { typed, .. }) => panic!("it is read: {typed}"),
        (_, Outcome::Refused(why)) => panic!("it is refused: {why}"),
    };
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let name = fixture.path.trim_end_matches(".json").replace('/', ".");
    settings.bind(|| insta::assert_snapshot!(name, snapshot));
}

#[test]
fn every_fixture_becomes_what_its_name_says() {
    let fixtures = fixtures();
    let mut failed = Vec::new();
    for fixture in &fixtures {
        // One that fails must not hide the others.
        if catch_unwind(AssertUnwindSafe(|| check(fixture, &fixtures))).is_err() {
            failed.push(fixture.path.as_str());
        }
    }
    assert!(failed.is_empty(), "{} of {} fixtures: {failed:#?}", failed.len(), fixtures.len());
}

#[test]
fn every_fixture_has_an_origin_and_every_origin_a_fixture() {
    let origins = origins();
    assert_eq!(files(), origins.keys().cloned().collect());

    let documents = [
        "PROTOCOLS",
        "achilles-agent-device",
        "acusight-agent-heartbeat",
        "acusight-image-notify",
        "agentmc-agent-heartbeat",
        "agentmc-heartbeat-openapi",
        "zstack-agent-heartbeat",
    ];
    for (path, origin) in &origins {
        assert!(documents.contains(&origin.document.as_str()), "{path}: {}", origin.document);
        assert!(!origin.place.is_empty(), "{path} has no place");
        assert!(!origin.verbatim || origin.document != "PROTOCOLS", "{path}: PROTOCOLS is our own text");
        let accepted = path.ends_with(".accepted.json");
        assert_eq!(accepted, origin.canonical.is_some(), "{path}: an accepted message names a canonical one");
        if let Some(canonical) = &origin.canonical {
            let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
            assert_eq!(folder(path), folder(canonical), "{path}: the canonical one is of the same operation");
        }
    }
}

#[test]
fn every_operation_has_a_plain_fixture_of_each_body_that_it_has() {
    let mut plain: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for fixture in fixtures() {
        let body = match fixture.kind {
            Kind::Request => "request",
            Kind::Response(_) => "response",
            Kind::Error(_) => "error",
        };
        let bodies = plain.entry(fixture.operation).or_default();
        if fixture.class == Class::Exact {
            bodies.insert(body);
        }
    }
    macro_rules! visit {
        ([] $($op:path,)*) => { $(
            ids.insert(<$op as Endpoint>::ID.to_owned());
            let mut expected = BTreeSet::from(["response", "error"]);
            if <<$op as Endpoint>::Request as Request>::MEDIA.is_some() {
                expected.insert("request");
            }
            assert_eq!(plain.get(<$op as Endpoint>::ID), Some(&expected), "{}", <$op as Endpoint>::ID);
        )* };
    }
    for_each_endpoint!(visit!());
    assert_eq!(plain.into_keys().collect::<BTreeSet<_>>(), ids, "every fixture belongs to an operation");
}

#[test]
fn every_contradiction_that_concerns_the_messages_has_a_fixture() {
    let wanted = "AC-3 AC-4 AC-5 AC-6 AC-7 AC-8 \
        ZS-1 ZS-2 ZS-3 ZS-4 ZS-5 ZS-6 ZS-7 ZS-8 ZS-9 ZS-11 \
        AM-2 AM-3 AM-4 AM-5 AM-6 AM-7 AM-8 AM-9 AM-10 AM-11 AM-12 AM-13 AM-14 AM-15 AM-16 AM-17 AM-18 AM-19 \
        PA-2 PA-3 PA-4 PA-5 PA-6 PA-7 PA-8 PA-9 PA-10 PA-11 PA-12 PA-13 PA-14 PA-16 PA-17 PA-20 PA-22 \
        PA-24 PA-25";
    let shown: BTreeSet<String> = origins().into_values().flat_map(|origin| origin.shows).collect();
    assert_eq!(shown, wanted.split_whitespace().map(str::to_owned).collect());
}
