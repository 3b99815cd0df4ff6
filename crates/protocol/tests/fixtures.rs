//! Replays every message under `fixtures/` through the real codec.
//!
//! A fixture says by its name what it is (`request`, `response.200`, `error.422`) and what is to become of it:
//! a plain one is read and written again as it was, an `.accepted` one is written as its canonical fixture, a
//! `.refused` one names the place and the rule. `fixtures/origins.toml` says where each comes from. Those that
//! only the rules refuse are read here and no more: the tests of the rules see to them.

mod fixture;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use fixture::{Class, Fixture, Kind, RefusedBy, files, folder};
use fleetwire_protocol::codec::{self, ReplyError};
use fleetwire_protocol::{Content, Endpoint, Envelope, Fault, Reply, Request, Violation, for_each_endpoint};
use http::{Response, StatusCode};
use serde_json::Value;

/// What became of a message.
enum Outcome {
    Read { typed: String, status: Option<StatusCode>, written: Vec<u8> },
    Refused(String),
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
            match codec::decode::<E>(|name| fixture.segment(name), None, &fixture.headers(), &fixture.body) {
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
            // Compared as text: a member that is there twice and a number spelt otherwise are differences.
            let text =
                |body: &[u8]| body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect::<Vec<_>>();
            let same = fixture.kind == canonical.kind && text(&fixture.body) == text(&canonical.body);
            assert!(!same, "it differs from the canonical one");
            assert_eq!(value(&written), value(&canonical.body), "it is written as the canonical one");
            let Some(Outcome::Read { typed: other, status: other_status, .. }) = replay_any(canonical) else {
                panic!("the canonical fixture is not read")
            };
            assert_eq!(typed, other, "it means what the canonical one means");
            assert_eq!(status, other_status, "it is written with the canonical status");
            return;
        }
        (Class::Refused, Outcome::Read { .. }) if fixture.origin.refused_by == RefusedBy::Rules => return,
        (Class::Refused, Outcome::Refused(why)) if fixture.origin.refused_by == RefusedBy::Form => why,
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
    let fixtures = fixture::fixtures(&folder());
    let mut failed = Vec::new();
    for fixture in &fixtures {
        // One that fails must not hide the others.
        if catch_unwind(AssertUnwindSafe(|| check(fixture, &fixtures))).is_err() {
            failed.push(fixture.path.as_str());
        }
    }
    assert!(failed.is_empty(), "{} of {} fixtures: {failed:#?}", failed.len(), fixtures.len());
}

/// The kinds of hostility that every operation with a request body shows an example of.
const HOSTILE: [&str; 10] = [
    "unknown_member",
    "unknown_word",
    "null",
    "wrong_type",
    "deep_nesting",
    "huge_integer",
    "fractional_integer",
    "duplicate_key",
    "emoji",
    "bad_utf8",
];

/// Those that an operation cannot show, and why.
const NOT_HOSTILE: [(&str, &str, &str); 12] = [
    ("acusight.checkin", "fractional_integer", "no integer is named"),
    ("acusight.provision", "unknown_word", "no word is named"),
    ("acusight.provision", "fractional_integer", "no integer is named"),
    ("acusight.device_checkin", "fractional_integer", "no integer is named"),
    ("acusight.notify_image", "unknown_word", "no word is named: a class is free text"),
    ("zstack.heartbeat", "unknown_word", "no word is named"),
    ("zstack.register", "fractional_integer", "no integer is named"),
    ("zstack.send_action", "unknown_word", "no word is named in the body"),
    ("zstack.send_action", "fractional_integer", "no integer is named"),
    ("zstack.send_action", "duplicate_key", "no member is named"),
    ("achilles.enroll", "fractional_integer", "no number is named"),
    ("achilles.report_status", "fractional_integer", "no number is named"),
];

#[test]
fn every_operation_with_a_body_has_hostile_fixtures_of_each_kind() {
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for fixture in fixture::fixtures(&folder()) {
        assert!(fixture.kind == Kind::Request || fixture.origin.hostile.is_empty(), "{}", fixture.path);
        shown.entry(fixture.operation).or_default().extend(fixture.origin.hostile);
    }
    macro_rules! visit {
        ([] $($op:path,)*) => { $( if <<$op as Endpoint>::Request as Request>::MEDIA.is_some() {
            let id = <$op as Endpoint>::ID;
            let excused = NOT_HOSTILE.iter().filter(|(operation, ..)| *operation == id);
            let excused: BTreeSet<_> = excused.map(|(_, kind, _)| (*kind).to_owned()).collect();
            let expected = HOSTILE.map(str::to_owned).into_iter().filter(|kind| !excused.contains(kind));
            assert_eq!(shown[id], expected.collect(), "{id}");
        } )* };
    }
    for_each_endpoint!(visit!());
}

#[test]
fn every_fixture_has_an_origin_and_every_origin_a_fixture() {
    let origins = fixture::origins(&folder());
    assert_eq!(files(&folder()), origins.keys().cloned().collect());

    let documents = [
        "deployed",
        "achilles-agent-device",
        "acusight-agent-heartbeat",
        "acusight-image-notify",
        "agentmc-agent-heartbeat",
        "agentmc-heartbeat-openapi",
        "zstack-agent-heartbeat",
    ];
    for fixture in fixture::fixtures(&folder()) {
        let Fixture { path, origin, class, kind, .. } = &fixture;
        assert!(documents.contains(&origin.document.as_str()), "{path}: {}", origin.document);
        assert!(!origin.place.is_empty(), "{path} has no place");
        assert!(
            !origin.verbatim || origin.document != "deployed",
            "{path}: what is deployed is told in our own text"
        );
        let accepted = *class == Class::Accepted;
        assert_eq!(accepted, origin.canonical.is_some(), "{path}: an accepted message names a canonical one");
        if let Some(canonical) = &origin.canonical {
            let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
            assert_eq!(folder(path), folder(canonical), "{path}: the canonical one is of the same operation");
        }
        let request = *kind == Kind::Request;
        let by_rules = origin.refused_by == RefusedBy::Rules;
        assert!(!by_rules || request && *class == Class::Refused, "{path}: rules refuse requests");
        let of_a_request = !origin.headers.is_empty() || !origin.path.is_empty() || origin.at.is_some();
        assert!(request || !of_a_request, "{path}: only a request has headers, a path and a time");
    }
}

#[test]
fn every_operation_has_a_plain_fixture_of_each_body_that_it_has() {
    let mut plain: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for fixture in fixture::fixtures(&folder()) {
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
            let mut expected = BTreeSet::from(["error"]);
            // What is in a file is nobody's message.
            if <<$op as Endpoint>::Reply as Reply>::SHAPES.iter().any(|shape| shape.content == Content::Json) {
                expected.insert("response");
            }
            if <<$op as Endpoint>::Request as Request>::MEDIA.is_some() {
                expected.insert("request");
            }
            assert_eq!(plain.get(<$op as Endpoint>::ID), Some(&expected), "{}", <$op as Endpoint>::ID);
        )* };
    }
    for_each_endpoint!(visit!());
    assert_eq!(plain.into_keys().collect::<BTreeSet<_>>(), ids, "every fixture belongs to an operation");
}

/// How many contradictions docs/contradictions.md lists of each vendor.
const CONTRADICTIONS: [(&str, u8); 4] = [("AC", 9), ("ZS", 13), ("AM", 19), ("PA", 25)];

#[test]
fn every_contradiction_has_its_row_on_the_page() {
    let page = folder().join("../docs/contradictions.md");
    let page = std::fs::read_to_string(page).expect("the page of contradictions");
    for (vendor, count) in CONTRADICTIONS {
        for number in 1..=count {
            assert!(page.contains(&format!("\n| {vendor}-{number} | ")), "{vendor}-{number}");
        }
    }
}

/// The contradictions that no message of ours can show, and why.
const NOT_SHOWN: [(&str, &str); 8] = [
    ("AC-2", "paths of the device routes; no payload at stake"),
    ("ZS-10", "the body of batch upgrades, which we do not have"),
    ("ZS-12", "the bodies of upgrades and locks, which we do not have"),
    ("ZS-13", "a query of releasing locks, which we do not have"),
    ("PA-1", "headers that name the caller; no payload at stake: see the tests of authentication"),
    ("PA-15", "a threshold on the server's clock; no payload at stake"),
    ("PA-21", "tokens made by operators, which have an interface of ours"),
    ("PA-23", "a query that is not read; no payload at stake: see the tests of the server"),
];

#[test]
fn every_contradiction_is_shown_by_a_fixture_named_after_it_or_excused() {
    let every =
        CONTRADICTIONS.iter().flat_map(|(vendor, last)| (1..=*last).map(move |n| format!("{vendor}-{n}")));
    let mut wanted: BTreeSet<String> = every.collect();
    for (id, _) in NOT_SHOWN {
        assert!(wanted.remove(id), "{id} is a contradiction, excused once");
    }
    let origins = fixture::origins(&folder());
    let shown: BTreeSet<_> = origins.values().flat_map(|origin| origin.shows.iter().cloned()).collect();
    assert_eq!(shown, wanted);
    for id in shown {
        let name = id.to_lowercase();
        let named = origins.iter().filter(|(_, origin)| origin.shows.contains(&id)).any(|(path, _)| {
            path.split('.').any(|part| {
                part.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
        });
        assert!(named, "no fixture is named after {id}");
    }
}
