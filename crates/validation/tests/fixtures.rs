//! Runs every request under `fixtures/` through the real codec and the rules of the accepting side: a plain or
//! `.accepted` one keeps them all, a `.refused` one has the wrong form or breaks a rule. Everything that a second
//! look finds in a refused one is a snapshot, with the vendor's answer.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy sees only the functions marked as tests"
)]

#[path = "../../protocol/tests/fixture/mod.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod fixture;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use chrono::{DateTime, Utc};
use fixture::{Class, Fixture, Kind, RefusedBy, folder};
use fleetwire_protocol::wire::Timestamp;
use fleetwire_protocol::{Endpoint, Fault, codec, for_each_endpoint};
use fleetwire_validation::look::{Raw, look};
use fleetwire_validation::{Context, Rule, Side, Validate, check, rules_of};
use serde::Deserialize;
use serde_json::Value;

/// What refused a request, and everything that a second look finds.
struct Refusal {
    by: RefusedBy,
    seen: String,
    rules: BTreeSet<&'static str>,
}

/// When a request is checked: at the time that its origin names, else at its own, else whenever.
fn clock(fixture: &Fixture) -> DateTime<Utc> {
    if let Some(at) = &fixture.origin.at {
        return at.parse().unwrap();
    }
    #[derive(Deserialize)]
    struct Own {
        timestamp: Timestamp,
    }
    let own = || serde_json::from_slice::<Own>(&fixture.body).ok()?.timestamp.parse();
    own().unwrap_or_default()
}

/// JSON with its members in order, whichever order serde_json keeps them in.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            members.into_iter().collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

fn run<E: Validate>(fixture: &Fixture) -> Result<(), Refusal> {
    let headers = fixture.headers();
    let raw =
        Raw { segment: &|name| fixture.segment(name), query: None, headers: &headers, body: &fixture.body };
    let context = Context::at(clock(fixture));
    let by = match codec::decode::<E>(raw.segment, raw.query, raw.headers, raw.body) {
        Ok(call) => match check(call, &context) {
            Ok(_) => return Ok(()),
            Err(_) => RefusedBy::Rules,
        },
        Err(_) => RefusedBy::Form,
    };
    let violations = look::<E>(&raw, &context).expect("what is refused has a fault");
    let mut seen = String::new();
    for violation in violations.as_slice() {
        writeln!(seen, "{:?}\n{}\n{}\n", violation.place, violation.rule, violation.message).unwrap();
    }
    let rules = violations.as_slice().iter().map(|violation| violation.rule).collect();
    let fault = Fault::Invalid(violations);
    let answer = codec::encode_fault::<E::Error>(E::status(&fault), &fault);
    let body = serde_json::to_string_pretty(&sorted(serde_json::from_slice(answer.body()).unwrap())).unwrap();
    writeln!(seen, "{}\n{body}", answer.status()).unwrap();
    Err(Refusal { by, seen, rules })
}

fn run_any(fixture: &Fixture) -> Result<(), Refusal> {
    macro_rules! dispatch {
        ([] $($op:path,)*) => {
            match fixture.operation.as_str() {
                $(id if id == <$op as Endpoint>::ID => run::<$op>(fixture),)*
                other => panic!("no operation {other}"),
            }
        };
    }
    for_each_endpoint!(dispatch!())
}

fn requests() -> impl Iterator<Item = Fixture> {
    fixture::fixtures(&folder()).into_iter().filter(|fixture| fixture.kind == Kind::Request)
}

#[test]
fn every_request_is_taken_or_refused_as_its_name_says() {
    let mut faults = Vec::new();
    for fixture in requests() {
        let wrong = match (fixture.class, fixture.origin.refused_by, run_any(&fixture)) {
            (Class::Exact | Class::Accepted, _, Ok(())) => continue,
            (Class::Refused, expected, Err(Refusal { by, seen, .. })) if by == expected => {
                let name = fixture.path.trim_end_matches(".json").replace('/', ".");
                let mut settings = insta::Settings::clone_current();
                settings.set_prepend_module_to_snapshot(false);
                settings.set_omit_expression(true);
                settings.bind(|| insta::assert_snapshot!(name, seen));
                continue;
            }
            (_, _, Ok(())) => "it is taken".to_owned(),
            (_, _, Err(Refusal { by: RefusedBy::Form, seen, .. })) => format!("its form is refused:\n{seen}"),
            (_, _, Err(Refusal { by: RefusedBy::Rules, seen, .. })) => format!("rules refuse it:\n{seen}"),
        };
        faults.push(format!("{}: {wrong}", fixture.path));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_operation_whose_rules_can_refuse_has_a_fixture_with_one_fault_and_one_with_several() {
    let mut broken: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for fixture in requests().filter(|fixture| fixture.origin.refused_by == RefusedBy::Rules) {
        let Err(Refusal { rules, .. }) = run_any(&fixture) else { continue };
        broken.entry(fixture.operation).or_default().insert(rules.len());
    }
    macro_rules! visit {
        ([] $($op:path,)*) => { $(
            let id = <$op as Endpoint>::ID;
            let refusing = |rule: &&Rule| rule.sides.cover(Side::Accept) && !rule.held_by_type;
            let expected = rules_of(id).iter().filter(refusing).count().min(2);
            let counts = broken.remove(id).unwrap_or_default();
            let seen = [counts.contains(&1), counts.iter().any(|count| *count > 1)];
            assert_eq!(seen.iter().filter(|seen| **seen).count(), expected, "{id}: {counts:?}");
        )* };
    }
    for_each_endpoint!(visit!());
    assert!(broken.is_empty());
}
