//! What holds of every request of every operation: no bytes make a check panic, what is good is taken, and what
//! is wrong in one thing is refused for that one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use chrono::{DateTime, Utc};
use fleetwire_protocol::{Call, Fault, ParamPlace, Place, Violation, Violations, for_each_endpoint};
use fleetwire_validation::look::{Raw, look};
use fleetwire_validation::strategies::{
    Drawable, NearlyValid, Sent, accepted, breaking, nearly_valid, valid,
};
use fleetwire_validation::{Context, Keyword, MAX_REPORTED, Side, check, find_rule, lint};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

const SIDES: [Side; 2] = [Side::Accept, Side::Emit];

fn context() -> Context {
    Context::at("2026-03-21T14:30:00Z".parse::<DateTime<Utc>>().unwrap())
}

/// Runs a property for every operation in a quarter of the usual cases, and without a file of past failures: a
/// failure that matters becomes a fixture.
fn holds<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> TestCaseResult) {
    let usual = Config::default();
    let config = Config { cases: usual.cases.div_ceil(4), failure_persistence: None, ..usual };
    if let Err(failure) = TestRunner::new(config).run(strategy, property) {
        panic!("{failure}");
    }
}

macro_rules! of_every_operation {
    ([$property:ident] $($operation:path,)*) => { $( $property::<$operation>(); )* };
}

/// What a side says of a request.
fn said<E: Drawable>(sent: &Sent, side: Side) -> Vec<Violation> {
    let call = match sent.read::<E>() {
        Ok(call) => call,
        Err(Fault::Invalid(violations)) => return violations.as_slice().to_vec(),
        Err(other) => panic!("{other} does not come from a form"),
    };
    of_call(call, side)
}

fn of_call<E: Drawable>(call: Call<E>, side: Side) -> Vec<Violation> {
    match side {
        Side::Accept => {
            check(call, &context()).map_or_else(|broken| broken.as_slice().to_vec(), |_| Vec::new())
        }
        Side::Emit => lint(&call, &context()),
    }
}

fn valid_is_taken<E: Drawable>() {
    holds(&valid::<E>(&context()), |call| {
        prop_assert_eq!(lint(&call, &context()), []);
        prop_assert_eq!(of_call(call, Side::Accept), []);
        Ok(())
    });
}

#[test]
fn what_is_valid_is_sent_and_taken() {
    for_each_endpoint!(of_every_operation!(valid_is_taken));
}

fn accepted_is_taken<E: Drawable>() {
    holds(&accepted::<E>(&context()), |sent| {
        prop_assert_eq!(said::<E>(&sent, Side::Accept), []);
        prop_assert_eq!(seen::<E>(&sent), None);
        Ok(())
    });
}

#[test]
fn what_is_put_up_with_is_taken() {
    for_each_endpoint!(of_every_operation!(accepted_is_taken));
}

fn one_fault<E: Drawable>(broken: &NearlyValid, side: Side) -> TestCaseResult {
    let said = said::<E>(&broken.sent, side);
    let found: Vec<_> = said.iter().map(|violation| (&violation.place, violation.rule)).collect();
    // Where a type holds a rule by itself, the reader knows only that the value is none of the type's.
    let is_held = find_rule(broken.rule).is_some_and(|rule| rule.held_by_type);
    let rule = if is_held { "json.value" } else { broken.rule };
    prop_assert_eq!(found, [(&broken.place, rule)], "{}", broken.mutation);
    // The second look, which goes another way about it, finds that one fault too.
    if side == Side::Accept {
        let seen = seen::<E>(&broken.sent).unwrap();
        let found: Vec<_> = seen.iter().map(|violation| (&violation.place, violation.rule)).collect();
        prop_assert_eq!(found, [(&broken.place, broken.rule)], "{}", broken.mutation);
        prop_assert_eq!(seen.more(), 0);
    }
    Ok(())
}

/// What the second look finds in a request.
fn seen<E: Drawable>(sent: &Sent) -> Option<Violations> {
    let of = |name: &str| sent.params.iter().find(|(param, _)| param.name == name);
    let mut headers = HeaderMap::new();
    for (param, value) in sent.params.iter().filter(|(param, _)| param.place == ParamPlace::Header) {
        let value = HeaderValue::from_str(value).unwrap();
        headers.insert(HeaderName::try_from(param.name).unwrap(), value);
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (param, value) in sent.params.iter().filter(|(param, _)| param.place == ParamPlace::Query) {
        query.append_pair(param.name, value);
    }
    let raw = Raw {
        segment: &|name| of(name).map(|(_, value)| value.as_str()),
        query: Some(&query.finish()),
        headers: &headers,
        body: &sent.bytes(),
    };
    look::<E>(&raw, &context())
}

fn nearly_valid_is_refused<E: Drawable>() {
    for side in SIDES {
        if let Some(strategy) = nearly_valid::<E>(&context(), side) {
            holds(&strategy, |broken| one_fault::<E>(&broken, side));
        }
    }
}

#[test]
fn what_is_wrong_in_one_thing_is_refused_for_it_and_for_nothing_else() {
    for_each_endpoint!(of_every_operation!(nearly_valid_is_refused));
}

fn each_rule_is_broken_alone<E: Drawable>() {
    for side in SIDES {
        for rule in E::RULES.iter().filter(|rule| rule.sides.cover(side)) {
            let Some(strategy) = breaking::<E>(&context(), side, rule.id) else {
                // What a type holds, a call cannot break; and a map of switches has no depth.
                let cannot =
                    rule.held_by_type && side == Side::Emit || matches!(rule.keyword, Keyword::MaxDepth(_));
                assert!(cannot, "{} {side:?} is never broken", rule.id);
                continue;
            };
            let config = Config { cases: 4, failure_persistence: None, ..Config::default() };
            let outcome = TestRunner::new(config).run(&strategy, |broken| {
                prop_assert_eq!(broken.rule, rule.id);
                one_fault::<E>(&broken, side)
            });
            outcome.unwrap_or_else(|failure| panic!("{}: {failure}", rule.id));
        }
    }
}

#[test]
fn every_rule_of_the_table_is_broken_by_some_request_that_breaks_no_other() {
    for_each_endpoint!(of_every_operation!(each_rule_is_broken_alone));
}

/// A body with one byte changed, or cut off there.
fn damaged<E: Drawable>() -> impl Strategy<Value = Vec<u8>> {
    let parts = (accepted::<E>(&context()), any::<Index>(), any::<u8>(), any::<bool>());
    parts.prop_map(|(sent, at, byte, cut)| {
        let mut bytes = sent.bytes();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
            }
        }
        bytes
    })
}

fn no_bytes_panic<E: Drawable>() {
    let no_params = valid::<E>(&context());
    let look = |bytes: &[u8], call: Call<E>| {
        // The parameters of a good call, so that the body is reached.
        let Ok(body) = <E::Request as fleetwire_protocol::Request>::read(bytes) else { return Ok(()) };
        let call = Call::<E>::with(call.params, body);
        let linted = lint(&call, &context());
        prop_assert!(linted.len() <= MAX_REPORTED);
        prop_assert!(of_call(call, Side::Accept).len() <= MAX_REPORTED);
        Ok(())
    };
    holds(&(vec(any::<u8>(), 0..64), no_params.clone()), |(bytes, call)| look(&bytes, call));
    holds(&(damaged::<E>(), no_params), |(bytes, call)| look(&bytes, call));
}

#[test]
fn no_bytes_make_a_check_panic() {
    for_each_endpoint!(of_every_operation!(no_bytes_panic));
}

fn the_same_is_said_again<E: Drawable>() {
    let Some(strategy) = nearly_valid::<E>(&context(), Side::Accept) else { return };
    // Two requests with a fault each, member by member in one: several faults at once.
    holds(&vec(strategy, 1..4), |broken| {
        let mut bodies = broken.into_iter().map(|broken| broken.sent);
        let mut all = bodies.next().unwrap();
        for other in bodies {
            if let (Some(into), Some(from)) = (&mut all.body, other.body) {
                merge(into, from);
            }
        }
        for side in SIDES {
            let first = said::<E>(&all, side);
            prop_assert!(first.len() <= MAX_REPORTED);
            prop_assert_eq!(&first, &said::<E>(&all, side));
            let order = |violation: &Violation| {
                let of_rule = E::RULES.iter().position(|rule| rule.id == violation.rule);
                (of_rule, indices(&violation.place))
            };
            prop_assert!(first.is_sorted_by_key(order), "{:?}", first);
        }
        Ok(())
    });
}

/// Lays the members of one value over those of another.
fn merge(into: &mut serde_json::Value, from: serde_json::Value) {
    match (into, from) {
        (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert_with(Default::default), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// The indices of lists in a place.
fn indices(place: &Place) -> Vec<usize> {
    match place {
        Place::Body(pointer) => pointer.split('/').filter_map(|segment| segment.parse().ok()).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_report_is_bounded_and_in_the_order_of_the_table() {
    for_each_endpoint!(of_every_operation!(the_same_is_said_again));
}
