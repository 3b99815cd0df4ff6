//! For every operation with a body, what the sources ask (after the deviations, formats asserted) and what a server
//! of ours takes are the same for bodies that are good, nearly good and bad. Where they differ, it is a house rule or
//! stands here by name.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../protocol/tests/fixture/mod.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod fixture;
mod sourced;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::DateTime;
use fixture::{Class, Fixture, Kind, folder};
use fleetwire_protocol::{Endpoint, Fault, Place, Request, Violation, codec, for_each_endpoint};
use fleetwire_validation::strategies::{Drawable, accepted, nearly_valid, valid};
use fleetwire_validation::{Context, Rule, Side, Validate, check, lint};
use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

/// A named difference: operation (`*` for all), place with `*` for an index (`**` for any place), what is said
/// there, and who says so.
type Named = (&'static str, &'static str, &'static str, &'static str);

/// What we take and the source does not: the keyword of its schema that is broken. `null` is a null where the source
/// has a member that it requires, `null for absent` one where it does not.
const TAKEN: &[Named] = &[
    ("*", "**", "null for absent", "AC-8, PA-7: null reads as absent"),
    ("zstack.heartbeat", "/uptime", "type", "ZS-1: digits in a text are a number"),
    ("zstack.heartbeat", "/cpuUsage", "type", "ZS-2: digits in a text are a number"),
    ("zstack.heartbeat", "/memUsage", "type", "ZS-2: digits in a text are a number"),
    ("zstack.heartbeat", "/cpuUsage", "required", "ZS-3: it is called cpu elsewhere"),
    ("zstack.heartbeat", "/memUsage", "required", "ZS-3: it is called memory elsewhere"),
    ("zstack.register", "/labels", "type", "ZS-6: an object is read as its text"),
    ("zstack.auto_register_heartbeat", "/uptime", "type", "ZS-1: digits in a text are a number"),
    ("zstack.auto_register_heartbeat", "/cpu", "type", "ZS-2: digits in a text are a number"),
    ("zstack.auto_register_heartbeat", "/memory", "type", "ZS-2: digits in a text are a number"),
    ("agentmc.heartbeat", "/agent", "required", "AM-5: agents in its place"),
    ("agentmc.heartbeat", "/agent", "null", "AM-5: agents in its place"),
    ("agentmc.heartbeat", "/agent/id", "required", "AM-4: the server finds or makes the agent"),
    ("agentmc.heartbeat", "/agent/id", "null", "AM-4: the server finds or makes the agent"),
    ("agentmc.heartbeat", "/meta/models", "required", "AM-18: absent reads as none"),
    ("agentmc.heartbeat", "/meta/models", "null", "AM-18: absent reads as none"),
    ("achilles.heartbeat", "/current_task", "required", "PA-7: absent reads as null"),
    ("achilles.heartbeat", "/last_task_completed", "required", "PA-7: absent reads as null"),
];

/// What we refuse and the source takes, besides what house rules refuse: the rule of ours that is broken.
/// `integer` is an integer that no integer type of 64 bits holds for certain.
const REFUSED: &[Named] = &[
    ("*", "**", "integer", "machine integers"),
    ("acusight.notify_image", "/annotations/*/type", "json.type", "AC-5: a member of the other shape"),
    ("acusight.notify_image", "/annotations/*/geometry", "json.type", "AC-5: a member of the other shape"),
    ("acusight.notify_image", "/annotations/*/geometry/*", "json.type", "AC-5: a member of the other shape"),
    ("zstack.heartbeat", "/cpu", "json.type", "ZS-3: another name of cpuUsage"),
    ("zstack.heartbeat", "/cpuUsage", "json.duplicate", "ZS-3: not under both names"),
    ("zstack.heartbeat", "/memUsage", "json.duplicate", "ZS-3: not under both names"),
    ("zstack.auto_register_heartbeat", "/cpuUsage", "json.type", "ZS-3: another name of cpu"),
    ("zstack.auto_register_heartbeat", "/memUsage", "json.type", "ZS-3: another name of memory"),
    (
        "achilles.heartbeat",
        "/timestamp",
        "achilles.heartbeat.timestamp.time",
        "D-14: ISO 8601 stands in its prose",
    ),
    (
        "achilles.report_result",
        "**",
        "json.required",
        "4b: the source is silent, members are the deployed ones",
    ),
    ("achilles.report_result", "**", "json.type", "4b: the source is silent, members are the deployed ones"),
    ("achilles.report_result", "**", "json.value", "4b: the source is silent, members are the deployed ones"),
];

/// Says whether a name's place is a place.
fn is_at(pattern: &str, place: &str) -> bool {
    if pattern == "**" {
        return true;
    }
    let (pattern, place): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), place.split('/').collect());
    pattern.len() == place.len()
        && pattern.iter().zip(&place).all(|(name, segment)| *name == "*" || name == segment)
}

fn named(list: &[Named], operation: &str, place: &str, said: &str) -> Option<usize> {
    list.iter().position(|(one, at, what, _)| {
        (*one == "*" || *one == operation) && is_at(at, place) && *what == said
    })
}

/// A check that reads every time and refuses none for its age.
fn ageless() -> Context {
    Context::at(DateTime::UNIX_EPOCH).with_clock_window(Some(Duration::MAX))
}

/// What we have against a body.
fn ours<E: Validate>(body: &Value) -> Vec<Violation> {
    let text = body.to_string();
    // A header would stand in for a fingerprint, and the sources' schemas see the body alone.
    let headers = http::HeaderMap::new();
    let fault = match codec::decode::<E>(|_| Some("some-id"), None, &headers, text.as_bytes()) {
        Ok(call) => match check(call, &ageless()) {
            Ok(_) => return Vec::new(),
            Err(violations) => Fault::Invalid(violations),
        },
        Err(fault) => fault,
    };
    match fault {
        Fault::Invalid(violations) => violations.as_slice().to_vec(),
        other => panic!("{other:?}: {text}"),
    }
}

/// A source's schema, ready to judge.
struct Judge {
    schema: Value,
    validator: Validator,
}

impl Judge {
    fn of<E: Endpoint>() -> Option<Self> {
        let schema = sourced::request::<E>()?;
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema");
        Some(Self { schema, validator })
    }

    /// Whether the source has a member at a place that it does not require.
    fn is_optional(&self, place: &str) -> bool {
        let Some((parent, name)) = place.rsplit_once('/') else { return false };
        let mut node = &self.schema;
        for segment in parent.split('/').skip(1) {
            let inner = node.get("properties").and_then(|members| members.get(segment));
            let Some(inner) = inner.or(node.get("items")) else { return false };
            node = inner;
        }
        let required = node["required"].as_array().into_iter().flatten().any(|one| one == name);
        !required && node["properties"].get(name).is_some()
    }
}

/// What a source has against a body: places and keywords.
fn theirs(judge: &Judge, body: &Value) -> Vec<(String, String)> {
    judge
        .validator
        .iter_errors(body)
        .map(|error| {
            let place = error.instance_path().to_string();
            if let ValidationErrorKind::Required { property } = error.kind() {
                return (format!("{place}/{}", property.as_str().unwrap()), "required".to_owned());
            }
            let keyword = match &**error.instance() {
                Value::Null if judge.is_optional(&place) => "null for absent",
                Value::Null => "null",
                _ => error.kind().keyword(),
            };
            (place, keyword.to_owned())
        })
        .collect()
}

/// What the comparison came to.
#[derive(Debug, Default)]
struct Outcome {
    /// Bodies that both take.
    good: usize,
    /// Bodies that both refuse.
    bad: usize,
    /// Differences with a name, by its place in its list.
    taken: BTreeMap<usize, usize>,
    refused: BTreeMap<usize, usize>,
    /// Refusals by house rules.
    house: BTreeMap<&'static str, usize>,
    /// Differences without a name, each with one body that shows it.
    unnamed: BTreeMap<String, String>,
}

/// The house rule that refused something, be it by the type of the member.
fn house_rule<E: Validate>(violation: &Violation, place: &str) -> Option<&'static Rule> {
    let is_it = |rule: &&Rule| {
        let held = rule.held_by_type && violation.rule == "json.value" && is_at(rule.pointer, place);
        rule.is_house_rule() && (held || rule.id == violation.rule)
    };
    E::RULES.iter().find(is_it)
}

/// Compares what the two say of a body.
fn compare<E: Validate>(judge: &Judge, body: &Value, outcome: &mut Outcome) {
    let (own, valid) = (ours::<E>(body), judge.validator.is_valid(body));
    let mut unnamed = |difference: String| {
        outcome.unnamed.entry(difference).or_insert_with(|| body.to_string().chars().take(400).collect());
    };
    match (own.is_empty(), valid) {
        (true, true) => outcome.good += 1,
        (false, false) => outcome.bad += 1,
        (true, false) => {
            for (place, keyword) in &theirs(judge, body) {
                match named(TAKEN, E::ID, place, keyword) {
                    Some(index) => *outcome.taken.entry(index).or_default() += 1,
                    None => unnamed(format!("{} {place}: taken against {keyword}", E::ID)),
                }
            }
        }
        (false, true) => {
            for violation in &own {
                let Place::Body(place) = &violation.place else { panic!("{violation}") };
                let value = body.pointer(place).unwrap_or(&Value::Null);
                let said = if violation.rule == "json.value" && is_beyond(value) {
                    "integer"
                } else {
                    violation.rule
                };
                if let Some(index) = named(REFUSED, E::ID, place, said) {
                    *outcome.refused.entry(index).or_default() += 1;
                } else if let Some(rule) = house_rule::<E>(violation, place) {
                    *outcome.house.entry(rule.id).or_default() += 1;
                } else {
                    unnamed(format!("{} {place}: refused by {said}", E::ID));
                }
            }
        }
    }
}

/// Whether a number is beyond what 64 bits, or a double, hold of integers exactly.
fn is_beyond(value: &Value) -> bool {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.is_number() && value.as_f64().is_none_or(|number| number.abs() >= EXACT)
}

/// Every place of a body.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(members) => {
            // One of a crowd is like the others, and so is one of a list.
            let some = if members.len() > 100 { 3 } else { members.len() };
            for (name, member) in members.iter().take(some) {
                places(member, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate().take(2) {
                places(item, &format!("{at}/{index}"), out);
            }
        }
        _ => {}
    }
}

/// What can be done to a place.
#[derive(Debug, Clone)]
enum Mutation {
    /// Put this in its place.
    Put(Value),
    /// Take it away.
    Remove,
    /// Give an object a member.
    Add(String, Value),
    /// Give an object so many more.
    Crowd(usize),
    /// Give a list its first element again, or any.
    Again,
}

/// Values at, below and above every bound that the sources and the rules have, and of every type.
fn values() -> Vec<Value> {
    let mut values = vec![
        Value::Null,
        json!(true),
        json!([]),
        json!({}),
        json!([[1]]),
        json!({"a": {"b": [null]}}),
        json!([null]),
        json!(0.5),
        json!(640.0),
        json!(-0.001),
        json!(100.5),
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(18_446_744_073_709_551_616.0),
        json!(9_007_199_254_740_994.0),
        json!("12"),
        json!("12.5"),
        json!("-1"),
        json!("1e99"),
        json!("1e400"),
        json!("12,5"),
        json!("2001:db8::1"),
        json!("256.1.1.1"),
        json!("10.0.2.15"),
        json!("2026-03-21T14:30:00Z"),
        json!("2026-03-21 14:30:00"),
        json!("soon"),
        json!("a b"),
        json!("ä"),
    ];
    for bound in [0, 1, 100, 4096] {
        values.extend([bound - 1, bound, bound + 1].map(|number: i64| json!(number)));
    }
    for bound in [1, 32, 64, 120, 128, 255] {
        values.extend([bound - 1, bound, bound + 1].map(|length: usize| json!("x".repeat(length))));
    }
    values.push(json!("🦞".repeat(120)));
    values.push((0..40).fold(json!(0), |inner, _| json!({ "a": inner })));
    values.push(json!({ "a": "x".repeat(70_000) }));
    values
}

/// Names of members that the source or a body has in the objects of each place, and one that nobody has.
fn names(schema: &Value, bodies: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    fn of_schema(schema: &Value, at: &str, out: &mut BTreeMap<String, BTreeSet<String>>) {
        if let Some(members) = schema["properties"].as_object() {
            out.entry(at.to_owned()).or_default().extend(members.keys().cloned());
            members.iter().for_each(|(name, member)| of_schema(member, &format!("{at}/{name}"), out));
        }
        if schema["items"].is_object() {
            of_schema(&schema["items"], &format!("{at}/*"), out);
        }
    }
    let mut names = BTreeMap::new();
    of_schema(schema, "", &mut names);
    for body in bodies {
        let mut at = Vec::new();
        places(body, "", &mut at);
        for place in at {
            if let Some(Value::Object(members)) = body.pointer(&place) {
                let short = members.keys().filter(|name| name.len() < 40).cloned();
                names.entry(pattern(&place)).or_default().extend(short);
            }
        }
    }
    names.values_mut().for_each(|names| names.extend(["nobody".to_owned()]));
    names
}

fn mutate(body: &mut Value, place: &str, mutation: &Mutation) {
    if let Mutation::Remove = mutation {
        let Some((parent, name)) = place.rsplit_once('/') else { return };
        match body.pointer_mut(parent) {
            Some(Value::Object(members)) => {
                members.remove(&name.replace("~1", "/").replace("~0", "~"));
            }
            Some(Value::Array(items)) => {
                items.remove(name.parse().unwrap());
            }
            other => panic!("{other:?}"),
        }
        return;
    }
    let Some(value) = body.pointer_mut(place) else { return };
    match (value, mutation) {
        (value, Mutation::Put(other)) => *value = other.clone(),
        (Value::Object(members), Mutation::Add(name, member)) => {
            members.insert(name.clone(), member.clone());
        }
        (Value::Object(members), Mutation::Crowd(count)) => {
            members.extend((0..*count).map(|index| (format!("n{index}"), json!(true))));
        }
        (Value::Array(items), Mutation::Again) => {
            let first = items.first().cloned().unwrap_or_default();
            items.push(first);
        }
        _ => {}
    }
}

/// The fixtures of an operation that the server takes without a header's help, the fullest first.
fn good<E: Validate>(fixtures: &[Fixture]) -> Vec<Value> {
    let own = fixtures.iter().filter(|fixture| fixture.operation == E::ID && fixture.kind == Kind::Request);
    let mut bodies: Vec<Value> = own
        .filter(|fixture| fixture.class != Class::Refused)
        .filter_map(|fixture| serde_json::from_slice(&fixture.body).ok())
        .filter(|body| ours::<E>(body).is_empty())
        .collect();
    bodies.sort_by_key(|body| {
        let mut at = Vec::new();
        places(body, "", &mut at);
        std::cmp::Reverse(at.len())
    });
    bodies
}

/// A place without its indices.
fn pattern(place: &str) -> String {
    let segments =
        place.split('/').map(|segment| if segment.parse::<usize>().is_ok() { "*" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// Every value at every place of the good bodies, and every known name in every object of them.
fn singly<E: Validate>(fixtures: &[Fixture], outcome: &mut Outcome) {
    let Some(judge) = Judge::of::<E>() else { return };
    let bases = good::<E>(fixtures);
    let (values, names) = (values(), names(&judge.schema, &bases));
    let mut seen = BTreeSet::new();
    for base in &bases {
        compare::<E>(&judge, base, outcome);
        let mut at = Vec::new();
        places(base, "", &mut at);
        at.retain(|place| place.matches('/').count() < 9 && seen.insert(pattern(place)));
        for place in &at {
            let puts = values.iter().cloned().map(Mutation::Put);
            let mut mutations: Vec<_> =
                puts.chain([Mutation::Remove, Mutation::Crowd(300), Mutation::Again]).collect();
            if base.pointer(place).is_some_and(Value::is_object) {
                let added = [Value::Null, json!(7), json!({})];
                let add = |name: &String| added.clone().map(|value| Mutation::Add(name.clone(), value));
                mutations.extend(names.get(&pattern(place)).into_iter().flatten().flat_map(add));
            }
            for mutation in mutations {
                let mut body = base.clone();
                mutate(&mut body, place, &mutation);
                compare::<E>(&judge, &body, outcome);
            }
        }
    }
}

/// Says what is different and has no name.
fn assert_named(outcome: &Outcome) {
    let lines: Vec<_> = outcome.unnamed.iter().map(|(what, body)| format!("{what}\n      {body}")).collect();
    assert!(lines.is_empty(), "{} differences without a name:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn sources_and_server_agree_on_every_single_change_of_good_bodies() {
    let fixtures = fixture::fixtures(&folder());
    let mut outcome = Outcome::default();
    macro_rules! every {
        ([] $($operation:path,)*) => { $(singly::<$operation>(&fixtures, &mut outcome);)* };
    }
    for_each_endpoint!(every!());
    assert_named(&outcome);
    let needless = |list: &[Named], used: &BTreeMap<usize, usize>| -> Vec<Named> {
        list.iter()
            .enumerate()
            .filter(|(index, _)| !used.contains_key(index))
            .map(|(_, name)| *name)
            .collect()
    };
    assert_eq!(needless(TAKEN, &outcome.taken), [], "not taken, or taken by the source after all");
    assert_eq!(needless(REFUSED, &outcome.refused), [], "not refused, or refused by the source after all");
    assert!(outcome.good > 1000 && outcome.bad > 1000, "{} good, {} bad", outcome.good, outcome.bad);
}

/// Bodies that are good, tolerated, broken in one place, or changed in up to four.
fn bodies<E: Drawable>(fixtures: &[Fixture], judge: &Judge) -> BoxedStrategy<Value> {
    let context = Context::at(DateTime::UNIX_EPOCH);
    let bases = good::<E>(fixtures);
    let mutation = {
        let values = values();
        let names: BTreeSet<_> = names(&judge.schema, &bases).into_values().flatten().collect();
        let names: Vec<_> = names.into_iter().collect();
        let value = prop::sample::select(values);
        prop_oneof![
            8 => value.clone().prop_map(Mutation::Put),
            2 => Just(Mutation::Remove),
            2 => (prop::sample::select(names), value).prop_map(|(name, value)| Mutation::Add(name, value)),
            1 => (1..400_usize).prop_map(Mutation::Crowd),
            1 => Just(Mutation::Again),
        ]
    };
    let changes = prop::collection::vec((any::<Index>(), mutation), 1..=4);
    let changed = (prop::sample::select(bases), changes).prop_map(|(mut body, changes)| {
        for (index, mutation) in changes {
            let mut at = Vec::new();
            places(&body, "", &mut at);
            mutate(&mut body, index.get::<String>(&at), &mutation);
        }
        body
    });
    let drawn = accepted::<E>(&context).prop_filter_map("it has a body", |sent| sent.body);
    let all = prop_oneof![1 => drawn, 2 => changed];
    match nearly_valid::<E>(&context, Side::Accept) {
        Some(broken) => {
            let broken = broken.prop_filter_map("it has a body", |broken| broken.sent.body);
            prop_oneof![3 => all, 1 => broken].boxed()
        }
        None => all.boxed(),
    }
}

fn at_random<E: Drawable>(fixtures: &[Fixture]) {
    let Some(judge) = Judge::of::<E>() else { return };
    let outcome = RefCell::new(Outcome::default());
    // A failure that matters becomes a fixture, not a file of seeds.
    let config = Config { failure_persistence: None, ..Config::default() };
    let cases = config.cases;
    let run = TestRunner::new(config).run(&bodies::<E>(fixtures, &judge), |body| {
        let mut outcome = outcome.borrow_mut();
        compare::<E>(&judge, &body, &mut outcome);
        let unnamed = std::mem::take(&mut outcome.unnamed);
        prop_assert!(unnamed.is_empty(), "{:?}", unnamed);
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{}: {failure}", E::ID);
    }
    let outcome = outcome.into_inner();
    let both = outcome.good.min(outcome.bad);
    assert!(cases < 100 || both > 0 || E::ID == "achilles.report_result", "{}: {outcome:?}", E::ID);
}

#[test]
fn sources_and_server_agree_on_bodies_drawn_at_random() {
    let fixtures = fixture::fixtures(&folder());
    macro_rules! every {
        ([] $($operation:path,)*) => { $(at_random::<$operation>(&fixtures);)* };
    }
    for_each_endpoint!(every!());
}

/// What a client of ours sends, checked as it checks it, is what the source asks for.
fn sent<E: Drawable>() {
    let Some(judge) = Judge::of::<E>() else { return };
    let context = Context::at(DateTime::UNIX_EPOCH);
    let config = Config { failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&valid::<E>(&context), |call| {
        prop_assert!(lint(&call, &context).is_empty());
        let body = E::Request::write(&call.body).expect("JSON");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let said = theirs(&judge, &body);
        prop_assert!(said.is_empty(), "{:?}: {}", said, body);
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{}: {failure}", E::ID);
    }
}

#[test]
fn what_a_client_sends_is_what_the_source_asks_for() {
    macro_rules! every {
        ([] $($operation:path,)*) => { $(sent::<$operation>();)* };
    }
    for_each_endpoint!(every!());
}
