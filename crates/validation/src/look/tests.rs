//! The law of the second look: it finds a fault if and only if the codec or the rules refuse.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use chrono::DateTime;
use fleetwire_protocol::{Endpoint, Fault, for_each_endpoint};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::walk::walk;
use super::*;
use crate::{HouseRules, check, rules};

/// JSON as it is written: members may be there twice, numbers may be anything.
#[derive(Debug, Clone)]
enum Tree {
    Scalar(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Tree {
    fn of(value: &Value) -> Self {
        match value {
            Value::Object(members) => {
                Self::Object(members.iter().map(|(name, value)| (name.clone(), Self::of(value))).collect())
            }
            Value::Array(elements) => Self::List(elements.iter().map(Self::of).collect()),
            scalar => Self::Scalar(scalar.to_string()),
        }
    }

    fn count(&self) -> usize {
        1 + match self {
            Self::Scalar(_) => 0,
            Self::List(elements) => elements.iter().map(Self::count).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| value.count()).sum(),
        }
    }

    /// The value with a number, as they are come upon.
    fn nth(&mut self, mut number: usize) -> &mut Self {
        if number == 0 {
            return self;
        }
        number -= 1;
        let below: Vec<&mut Self> = match self {
            Self::Scalar(_) => Vec::new(),
            Self::List(elements) => elements.iter_mut().collect(),
            Self::Object(members) => members.iter_mut().map(|(_, value)| value).collect(),
        };
        for value in below {
            let count = value.count();
            if number < count {
                return value.nth(number);
            }
            number -= count;
        }
        unreachable!("there are not so many")
    }

    fn write(&self, out: &mut String) {
        let between = |out: &mut String, index: usize| out.push_str(if index > 0 { " ,\n" } else { " " });
        match self {
            Self::Scalar(text) => out.push_str(text),
            Self::List(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    between(out, index);
                    element.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    between(out, index);
                    out.push_str(&format!("{} : ", Value::from(name.as_str())));
                    value.write(out);
                }
                out.push_str(" }");
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Replace(String),
    Remove(Index),
    Repeat(Index),
    Rename(Index, String),
    Add(String, String),
}

fn change() -> impl Strategy<Value = (Index, Change)> {
    let value = prop_oneof![
        3 => proptest::sample::select(VALUES).prop_map(str::to_owned),
        1 => Just(format!("\"{}\"", "x".repeat(300))),
        1 => (100_usize..140).prop_map(|depth| "[".repeat(depth) + &"]".repeat(depth)),
        1 => (100_usize..140).prop_map(|depth| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)),
        1 => any::<i128>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_filter("a number", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
    ];
    let name = || proptest::sample::select(NAMES).prop_map(str::to_owned);
    let change = prop_oneof![
        4 => value.clone().prop_map(Change::Replace),
        2 => any::<Index>().prop_map(Change::Remove),
        1 => any::<Index>().prop_map(Change::Repeat),
        1 => (any::<Index>(), name()).prop_map(|(index, name)| Change::Rename(index, name)),
        1 => (name(), value).prop_map(|(name, value)| Change::Add(name, value)),
    ];
    (any::<Index>(), change)
}

const VALUES: &[&str] = &[
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1.5",
    "640.0",
    "6.4e2",
    "1e300",
    "1e400",
    "-1e999",
    "1e-999",
    "4097",
    "4294967296",
    "9223372036854775808",
    "18446744073709551616",
    "9007199254740993.0",
    "\"\"",
    "\"x\"",
    "\"12.5\"",
    "\"1e400\"",
    "\"\\u006fn\"",
    "\"\\ud800\"",
    "\"2026-03-21T14:30:00Z\"",
    "[]",
    "[null]",
    "[1,\"a\",{}]",
    "{}",
    "{\"a\":1,\"a\":2}",
    "{\"a\":{\"b\":[1e400]}}",
    "{\"\\ud800\":1}",
    "{\"$serde_json::private::Number\":\"1\"}",
];

const NAMES: &[&str] =
    &["", "cpu", "cpuUsage", "memory", "agents", "fingerprint", "x", "a/b~c", "$serde_json::private::Number"];

fn changed(mut tree: Tree, changes: &[(Index, Change)]) -> String {
    for (place, change) in changes {
        let count = tree.count();
        let at = tree.nth(place.index(count));
        match (change, at) {
            (Change::Replace(value), at) => *at = Tree::Scalar(value.clone()),
            (Change::Remove(index), Tree::Object(members)) if !members.is_empty() => {
                members.remove(index.index(members.len()));
            }
            (Change::Repeat(index), Tree::Object(members)) if !members.is_empty() => {
                let again = members[index.index(members.len())].clone();
                members.push(again);
            }
            (Change::Rename(index, name), Tree::Object(members)) if !members.is_empty() => {
                let index = index.index(members.len());
                members[index].0.clone_from(name);
            }
            (Change::Add(name, value), Tree::Object(members)) => {
                members.insert(0, (name.clone(), Tree::Scalar(value.clone())));
            }
            _ => {}
        }
    }
    let mut text = String::new();
    tree.write(&mut text);
    text
}

const FINGERPRINT: &str = "a3f56f330f311a2159f8c101eaf1439a29f1d57f007375d56aa79f304bc4f112";

/// The bodies of every request's fixtures that are JSON.
fn bodies(operation: &str) -> Vec<(String, Vec<u8>)> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(operation.replace('.', "/"));
    let mut bodies = Vec::new();
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("request.") {
            bodies.push((name, fs::read(path).expect("a fixture")));
        }
    }
    bodies.sort();
    bodies
}

fn context() -> Context {
    Context::at("2026-03-21T14:30:00Z".parse().expect("a time"))
}

/// What disagrees about a body, with every house rule and with none.
fn disagreement<E: Validate>(body: &[u8], header: Option<&str>) -> Result<(), String> {
    static NONE: LazyLock<HouseRules> = LazyLock::new(|| {
        let switchable = rules().filter(|rule| rule.is_switchable());
        HouseRules::without(switchable.map(|rule| rule.id)).expect("they can be switched off")
    });
    disagreement_in::<E>(&context(), body, header)?;
    disagreement_in::<E>(&context().with_house_rules(*NONE), body, header)
}

fn disagreement_in<E: Validate>(context: &Context, body: &[u8], header: Option<&str>) -> Result<(), String> {
    let mut headers = HeaderMap::new();
    if let Some(header) = header {
        headers.insert(
            HeaderName::from_static("x-host-fingerprint"),
            HeaderValue::from_str(header).expect("a value"),
        );
    }
    let raw = Raw { segment: &|_| Some("an-id"), query: None, headers: &headers, body };
    let read = raw.decode::<E>(body);
    let refused = match read {
        Ok(call) => check(call, context).err().map(|_| "rules"),
        Err(Fault::Invalid(_)) => Some("form"),
        Err(other) => return Err(format!("no fault of a message: {other}")),
    };
    let found = look::<E>(&raw, context);
    if refused.is_some() != found.is_some() {
        return Err(format!("refused by {refused:?}, found {found:?}"));
    }
    for violation in found.iter().flat_map(Violations::iter) {
        if violation.message.len() > 200 || violation.place.to_string().len() > 200 {
            return Err(format!("too much is repeated: {violation}"));
        }
    }
    if refused != Some("form") {
        return Ok(());
    }
    // Without a fault of its own the look would fall back on the codec's; with one, what is repaired is read.
    let (Some(shape), Ok(text)) = (Shape::of(E::ID), json(body)) else { return Ok(()) };
    let mut walked = walk(text, shape, E::RULES, context);
    if walked.unreadable.is_some() {
        return Ok(());
    }
    if walked.count == 0 {
        return Err(format!("only the codec finds a fault: {:?}", raw.decode::<E>(body).err()));
    }
    let Some(repaired) = walked.repaired(text, shape) else { return Ok(()) };
    match raw.decode::<E>(repaired.as_bytes()) {
        Ok(_) => Ok(()),
        Err(fault) => Err(format!("not repaired: {fault}\n{repaired}")),
    }
}

fn holds<E: Validate>() {
    let bodies = bodies(E::ID);
    for (name, body) in &bodies {
        if let Err(why) = disagreement::<E>(body, None) {
            panic!("{}/{name}: {why}", E::ID);
        }
    }
    let trees: Vec<_> = bodies
        .iter()
        .filter_map(|(_, body)| serde_json::from_slice::<Value>(body).ok())
        .map(|value| Tree::of(&value))
        .filter(|tree| tree.count() < 400)
        .collect();
    if trees.is_empty() {
        return;
    }
    let header = prop_oneof![Just(None), Just(Some(FINGERPRINT)), Just(Some("short"))];
    let case = (any::<Index>(), proptest::collection::vec(change(), 1..6), header);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(800) });
    let outcome = runner.run(&case, |(tree, changes, header)| {
        let body = changed(tree.get(&trees).clone(), &changes);
        disagreement::<E>(body.as_bytes(), header)
            .map_err(|why| TestCaseError::fail(format!("{why}\n{body}")))
    });
    if let Err(error) = outcome {
        panic!("{}: {error}", E::ID);
    }
}

#[test]
fn there_is_a_fault_if_and_only_if_the_request_is_refused() {
    macro_rules! each {
        ([] $($operation:path,)*) => { $(holds::<$operation>();)* };
    }
    for_each_endpoint!(each!());
}

#[test]
fn no_bytes_are_too_odd_to_be_looked_at() {
    fn of<E: Validate>() {
        let headers = HeaderMap::new();
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(200) });
        let json = "[\\[\\]{}\":, 0-9a-z\\\\u.eE+-]{0,64}";
        let body =
            prop_oneof![proptest::collection::vec(any::<u8>(), 0..64), json.prop_map(String::into_bytes)];
        let outcome = runner.run(&body, |body| {
            let raw = Raw { segment: &|_| None, query: Some("a=%"), headers: &headers, body: &body };
            let is_refused = raw.decode::<E>(&body).is_err();
            prop_assert!(!is_refused || look::<E>(&raw, &Context::at(DateTime::UNIX_EPOCH)).is_some());
            Ok(())
        });
        assert!(outcome.is_ok(), "{}: {outcome:?}", E::ID);
    }
    macro_rules! each {
        ([] $($operation:path,)*) => { $(of::<$operation>();)* };
    }
    for_each_endpoint!(each!());
}

#[test]
fn ids_of_faults_of_form_are_few_and_stable() {
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    macro_rules! each {
        ([] $($operation:path,)*) => { $(
            for (_, body) in bodies(<$operation as Endpoint>::ID) {
                let headers = HeaderMap::new();
                let raw = Raw { segment: &|_| Some("an-id"), query: None, headers: &headers, body: &body };
                for violation in look::<$operation>(&raw, &context()).iter().flat_map(Violations::iter) {
                    if violation.rule.starts_with("json.") {
                        seen.entry(violation.rule).or_insert_with(|| violation.to_string());
                    }
                }
            }
        )* };
    }
    for_each_endpoint!(each!());
    // And `json.depth`, where no rule bounds the depth.
    let ids: Vec<_> = seen.into_keys().collect();
    assert_eq!(
        ids,
        ["json.duplicate", "json.required", "json.syntax", "json.type", "json.utf8", "json.value"]
    );
}
