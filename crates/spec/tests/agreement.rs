//! The published schemas say of every message what the code does with it: they take what it writes and reads,
//! and refuse what it refuses, as far as a schema can say so. The exceptions stand here by name.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy sees only the functions marked as tests"
)]

#[path = "../../protocol/tests/fixture/mod.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod fixture;

mod carries;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use carries::Carries;
use chrono::DateTime;
use fixture::{Class, Fixture, Kind, RefusedBy, folder};
use fleetwire_protocol::{
    Call, Content, Endpoint, Fault, Place, Reply, Request, Vendor, Violation, codec, for_each_endpoint,
};
use fleetwire_validation::{Context, Keyword, Side, Validate, check, lint, rules};
use jsonschema::Validator;
use proptest::arbitrary::Arbitrary;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use schemars::JsonSchema;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contract {
    Emit,
    Accept,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The published schema of a type.
fn published<E: Endpoint, T: JsonSchema>(contract: Contract) -> Value {
    let ending = if contract == Contract::Emit { "json" } else { "accept.json" };
    let file = format!("schemas/json-schema/{}/{}.{ending}", E::Vendor::ID, T::schema_name());
    let text = fs::read(root().join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_slice(&text).unwrap()
}

fn judge<E: Endpoint, T: JsonSchema>(contract: Contract) -> Validator {
    let schema = published::<E, T>(contract);
    jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema")
}

/// What a judge says against a message; empty if nothing.
fn objections(judge: &Validator, message: &Value) -> String {
    let said = judge.iter_errors(message).map(|error| format!("  {}: {error}", error.instance_path()));
    said.collect::<Vec<_>>().join("\n")
}

/// The judges of an operation, of what a kind of message carries.
fn judges<E: Endpoint>(kind: Kind) -> [Validator; 2]
where
    <E::Request as Request>::Body: JsonSchema,
    E::Reply: Carries,
    E::Error: JsonSchema,
{
    [Contract::Emit, Contract::Accept].map(|contract| match kind {
        Kind::Request => judge::<E, <E::Request as Request>::Body>(contract),
        Kind::Response(_) => judge::<E, <E::Reply as Carries>::Body>(contract),
        Kind::Error(_) => judge::<E, E::Error>(contract),
    })
}

/// A check in which no time is too old or too new: schemas have no clock.
fn timeless() -> Context {
    Context::at(DateTime::UNIX_EPOCH).with_clock_window(None)
}

fn decode<E: Endpoint>(fixture: &Fixture, body: &[u8]) -> Result<Call<E>, Fault> {
    codec::decode(|name| fixture.segment(name), None, &fixture.headers(), body)
}

/// What no schema can say: it never sees the bytes, and a member that is there twice is one to it.
const BEYOND_SCHEMAS: [&str; 3] = ["json.utf8", "json.syntax", "json.duplicate"];

/// Answers that are kept and written again as they came, and that our server never writes: the emit schema
/// does not know them.
const NOT_WRITTEN: [(&str, &str); 4] = [
    ("achilles/poll_tasks/response.200.pa-3-list-of-two.json", "one task is written (D-5)"),
    ("achilles/poll_tasks/response.200.pa-3-null.json", "204 is written (D-5)"),
    ("acusight/checkin/response.200.ac-3-string-id.json", "an action's id is written as an integer (AC-3)"),
    (
        "acusight/device_checkin/response.200.ac-3-string-id.json",
        "an action's id is written as an integer (AC-3)",
    ),
];

/// What is wrong with a fixture, by the schemas.
fn disagreement<E: Validate>(fixture: &Fixture) -> Option<String>
where
    <E::Request as Request>::Body: JsonSchema,
    E::Reply: Carries,
    E::Error: JsonSchema,
{
    let [emit, accept] = judges::<E>(fixture.kind);
    let message: Option<Value> = serde_json::from_slice(&fixture.body).ok();
    if fixture.class == Class::Refused {
        let message = message?;
        if !accept.is_valid(&message) {
            return None;
        }
        let unsaid = |violation: &Violation| BEYOND_SCHEMAS.contains(&violation.rule);
        // What the schema should say of what rules refuse has a test of its own.
        let excused = fixture.origin.refused_by == RefusedBy::Rules
            || matches!(decode::<E>(fixture, &fixture.body), Err(Fault::Invalid(v)) if v.as_slice().iter().all(unsaid));
        return (!excused).then(|| "the accept schema takes it".to_owned());
    }
    let message = message.expect("JSON");
    let refused = objections(&accept, &message);
    if !refused.is_empty() {
        return Some(format!("the accept schema refuses it:\n{refused}"));
    }
    if fixture.class == Class::Accepted {
        return None;
    }
    if fixture.kind == Kind::Request {
        let call = decode::<E>(fixture, &fixture.body).expect("it is read");
        // What we put up with and do not send is no matter of the emit schema.
        if !lint(&call, &timeless()).is_empty() {
            return None;
        }
    }
    let refused = objections(&emit, &message);
    let written = NOT_WRITTEN.iter().all(|(path, _)| *path != fixture.path);
    match (written, refused.is_empty()) {
        (true, true) | (false, false) => None,
        (true, false) => Some(format!("the emit schema refuses it:\n{refused}")),
        (false, true) => Some("the emit schema takes it after all".to_owned()),
    }
}

#[test]
fn schemas_take_and_refuse_the_fixtures_as_the_code_does() {
    let mut faults = Vec::new();
    for fixture in fixture::fixtures(&folder()) {
        macro_rules! dispatch {
            ([] $($op:path,)*) => {
                match fixture.operation.as_str() {
                    $(id if id == <$op as Endpoint>::ID => disagreement::<$op>(&fixture),)*
                    other => panic!("no operation {other}"),
                }
            };
        }
        if let Some(fault) = for_each_endpoint!(dispatch!()) {
            faults.push(format!("{}: {fault}", fixture.path));
        }
    }
    assert!(faults.is_empty(), "{} fixtures:\n{}", faults.len(), faults.join("\n"));
}

/// Refused fixtures that break a rule which stands in the accept schema are refused by the schema already.
#[test]
fn rules_that_a_schema_can_say_are_in_the_accept_schema() {
    fn said<E: Validate>(fixture: &Fixture) -> Option<String>
    where
        <E::Request as Request>::Body: JsonSchema,
        E::Reply: Carries,
        E::Error: JsonSchema,
    {
        let call = decode::<E>(fixture, &fixture.body).expect("it is read");
        let violations = check(call, &timeless()).err()?;
        let sayable: Vec<_> =
            violations.as_slice().iter().filter(|violation| can_be_said(violation)).collect();
        let [_, accept] = judges::<E>(Kind::Request);
        let message: Value = serde_json::from_slice(&fixture.body).unwrap();
        (!sayable.is_empty() && accept.is_valid(&message)).then(|| format!("{}: {sayable:?}", fixture.path))
    }
    let mut faults = Vec::new();
    for fixture in fixture::fixtures(&folder()) {
        if fixture.origin.refused_by != RefusedBy::Rules {
            continue;
        }
        macro_rules! dispatch {
            ([] $($op:path,)*) => {
                match fixture.operation.as_str() {
                    $(id if id == <$op as Endpoint>::ID => said::<$op>(&fixture),)*
                    other => panic!("no operation {other}"),
                }
            };
        }
        faults.extend(for_each_endpoint!(dispatch!()));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn keyword(violation: &Violation) -> Keyword {
    let rule = rules().find(|rule| rule.id == violation.rule).expect("a rule");
    rule.keyword
}

/// Whether a rule is one that a schema of the body can hold: that of the value, or that of what it stands in.
fn can_be_said(violation: &Violation) -> bool {
    let keyword = keyword(violation);
    let by_its_parent = matches!(keyword, Keyword::Required | Keyword::Absent);
    (by_its_parent || keyword.schema().is_some()) && matches!(violation.place, Place::Body(_))
}

/// Runs a property in an eighth of the usual cases, and without a file of past failures: a failure that
/// matters becomes a fixture.
fn holds<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let usual = Config::default();
    let config = Config { cases: usual.cases.div_ceil(8), failure_persistence: None, ..usual };
    if let Err(failure) = TestRunner::new(config).run(strategy, property) {
        panic!("{failure}");
    }
}

/// Puts what the example has in a place, or nothing if it has nothing there or nothing must be there.
fn mend(message: &mut Value, example: &Value, pointer: &str, keyword: Keyword) {
    let (above, name) = pointer.rsplit_once('/').unwrap_or_default();
    if pointer == "/bundle_results/bundle_id" {
        // It is to say what another member says.
        message["bundle_results"]["bundle_id"] = message["test_uuid"].clone();
        return;
    }
    if keyword == Keyword::Custom {
        // The fault may be a neighbour's.
        if let (Some(parent), Some(good)) = (message.pointer_mut(above), example.pointer(above)) {
            *parent = good.clone();
        } else {
            mend(message, example, above, Keyword::Absent);
        }
        return;
    }
    let name = name.replace("~1", "/").replace("~0", "~");
    let Some(parent) = message.pointer_mut(above) else { return };
    let must_go = matches!(keyword, Keyword::OnlyWith(_) | Keyword::Absent);
    match (parent, example.pointer(pointer).filter(|_| !must_go)) {
        (Value::Object(members), Some(value)) => {
            members.insert(name, value.clone());
        }
        (Value::Object(members), None) => {
            members.remove(&name);
        }
        (Value::Array(items), _) => {
            if let Ok(index) = name.parse::<usize>() {
                items.remove(index);
            }
        }
        _ => {}
    }
}

/// Mends a request until it keeps the rules of a side, with what a good example has.
fn mended<E: Validate>(
    example: &Fixture,
    call: Call<E>,
    broken: impl Fn(&Call<E>) -> Vec<Violation>,
) -> Result<Value, TestCaseError>
where
    <E::Request as Request>::Body: Debug,
{
    let write = |call: &Call<E>| -> Value {
        serde_json::from_slice(&E::Request::write(&call.body).expect("JSON")).expect("JSON")
    };
    let good: Value = serde_json::from_slice(&example.body).expect("JSON");
    let mut call = call;
    let mut message = write(&call);
    // Every round mends each place; lists lose an element where they break a rule, so that indices move.
    for _ in 0..64 {
        let violations = broken(&call);
        if violations.is_empty() {
            return Ok(message);
        }
        for violation in violations.iter().rev() {
            if let Place::Body(pointer) = &violation.place {
                mend(&mut message, &good, pointer, keyword(violation));
            }
        }
        call = decode::<E>(example, message.to_string().as_bytes())
            .map_err(|fault| TestCaseError::fail(format!("{fault:?}: {message}")))?;
        message = write(&call);
    }
    Err(TestCaseError::fail(format!("{:?}: {message}", broken(&call))))
}

fn every_request_validates<E: Validate>()
where
    E::Params: Debug,
    <E::Request as Request>::Body: Arbitrary + Clone + JsonSchema + Debug,
    E::Reply: Carries,
    E::Error: JsonSchema,
{
    if <E::Request as Request>::MEDIA.is_none() {
        return;
    }
    let [emit, accept] = judges::<E>(Kind::Request);
    let good = |fixture: &Fixture| {
        let plain =
            fixture.operation == E::ID && fixture.kind == Kind::Request && fixture.class == Class::Exact;
        plain && lint(&decode::<E>(fixture, &fixture.body).expect("it is read"), &timeless()).is_empty()
    };
    let fixtures = fixture::fixtures(&folder()).into_iter().filter(good);
    let example = fixtures.max_by_key(|fixture| fixture.body.len()).expect("a good example");
    let params = || decode::<E>(&example, &example.body).expect("the example is read").params;
    holds(&any::<<E::Request as Request>::Body>(), |body| {
        let message: Value = serde_json::from_slice(&E::Request::write(&body).expect("JSON")).expect("JSON");
        let call = Call::<E>::with(params(), body.clone());
        let violations = lint(&call, &timeless());
        let sayable: Vec<_> = violations.iter().filter(|violation| can_be_said(violation)).collect();
        prop_assert!(sayable.is_empty() || !emit.is_valid(&message), "{sayable:?} is not in the schema");

        let sent = mended(&example, call, |call| lint(call, &timeless()))?;
        prop_assert_eq!(objections(&emit, &sent), "", "emit: {}", sent);
        let call = Call::<E>::with(params(), body);
        let read = mended(&example, call, |call| {
            let mut violations = Vec::new();
            E::violations(call, &timeless(), Side::Accept, &mut violations);
            violations
        })?;
        prop_assert_eq!(objections(&accept, &read), "", "accept: {}", read);
        Ok(())
    });
}

fn every_reply_validates<E: Endpoint>()
where
    <E::Request as Request>::Body: JsonSchema,
    <E::Reply as Reply>::Value: Arbitrary + Debug,
    E::Reply: Carries,
    E::Error: JsonSchema + Arbitrary,
{
    // What is in a file is nobody's schema.
    let is_json = E::Reply::SHAPES.iter().any(|shape| shape.content == Content::Json);
    if !is_json {
        return every_envelope_validates::<E>();
    }
    let [emit, accept] = judges::<E>(Kind::Response(http::StatusCode::OK));
    holds(&any::<<E::Reply as Reply>::Value>(), |value| {
        let response = E::Reply::write(&value).expect("JSON");
        if !response.body().is_empty() {
            let message: Value = serde_json::from_slice(response.body()).expect("JSON");
            prop_assert_eq!(objections(&emit, &message), "", "emit: {}", message);
            prop_assert_eq!(objections(&accept, &message), "", "accept: {}", message);
        }
        Ok(())
    });
    every_envelope_validates::<E>();
}

fn every_envelope_validates<E: Endpoint>()
where
    <E::Request as Request>::Body: JsonSchema,
    E::Reply: Carries,
    E::Error: JsonSchema + Arbitrary,
{
    let [emit, accept] = judges::<E>(Kind::Error(http::StatusCode::BAD_REQUEST));
    holds(&any::<E::Error>(), |envelope| {
        let message = serde_json::to_value(&envelope).expect("JSON");
        prop_assert_eq!(objections(&emit, &message), "", "emit: {}", message);
        prop_assert_eq!(objections(&accept, &message), "", "accept: {}", message);
        Ok(())
    });
}

macro_rules! of_every_operation {
    ([$property:ident] $($op:path,)*) => { $( $property::<$op>(); )* };
}

#[test]
fn every_request_that_keeps_the_rules_validates_and_no_other() {
    for_each_endpoint!(of_every_operation!(every_request_validates));
}

#[test]
fn every_reply_and_every_refusal_validates() {
    for_each_endpoint!(of_every_operation!(every_reply_validates));
}

/// A schema as far as it says what may be written: references resolved, spellings of the same thing made one,
/// and by place. Openness is left out, for an object is open where nothing is said, and so are the bounds of
/// Rust's integers.
fn shape(document: &Value, node: &Value, place: &str, out: &mut BTreeMap<String, String>) {
    let node = resolved(document, node);
    let say = |out: &mut BTreeMap<_, _>, what: &str, value: &Value| {
        out.insert(format!("{place} {what}"), value.to_string());
    };
    say(out, "type", &types(&node));
    for (keyword, value) in node.as_object().into_iter().flatten() {
        match keyword.as_str() {
            "minimum" | "maximum" if value.as_f64().is_some_and(|n| n.abs() < 1e15) => {
                // In an integer's schema of ours, zero is the bound of an unsigned type and a rule's as well.
                say(out, keyword, &json!(value.as_f64()));
            }
            "minLength" | "maxLength" | "pattern" | "minItems" | "maxItems" | "maxProperties" => {
                say(out, keyword, value);
            }
            "format" if !value.as_str().is_some_and(|f| f.contains("int") || f == "double") => {
                say(out, keyword, value);
            }
            "enum" | "x-words" | "x-known-values" => {
                let mut words = value.as_array().cloned().unwrap_or_default();
                words.sort_by_key(Value::to_string);
                say(out, if keyword == "enum" { "enum" } else { "words" }, &Value::Array(words));
            }
            "required" => {
                for name in value.as_array().into_iter().flatten() {
                    out.insert(format!("{place}/{} required", name.as_str().unwrap()), "true".to_owned());
                }
            }
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    shape(document, member, &format!("{place}/{name}"), out);
                }
            }
            "items" => shape(document, value, &format!("{place}/*"), out),
            "additionalProperties" if value.is_object() => shape(document, value, &format!("{place}/*"), out),
            "oneOf" | "anyOf" => {
                for branch in value.as_array().into_iter().flatten() {
                    let mut branch = resolved(document, branch);
                    if branch == json!({"type": "null"}) {
                        continue;
                    }
                    if let (Some(members), Some(outer)) = (branch.as_object_mut(), node.get("type")) {
                        members.entry("type").or_insert_with(|| outer.clone());
                    }
                    let name = branch.get("format").or(branch.get("type")).cloned().unwrap_or_default();
                    shape(document, &branch, &format!("{place}|{}", name.as_str().unwrap_or_default()), out);
                }
            }
            _ => {}
        }
    }
}

/// A node without references, and without a list of one schema that it keeps as a whole.
fn resolved(document: &Value, node: &Value) -> Value {
    let only =
        node.get("allOf").and_then(Value::as_array).and_then(|all| <&[_; 1]>::try_from(all.as_slice()).ok());
    if let Some([only]) = only {
        let mut node = node.clone();
        node.as_object_mut().expect("an object").remove("allOf");
        let mut merged = resolved(document, only);
        for (keyword, value) in node.as_object().into_iter().flatten() {
            merged[keyword] = value.clone();
        }
        return merged;
    }
    let Some(reference) = node.get("$ref").and_then(Value::as_str) else { return node.clone() };
    let target = document.pointer(reference.trim_start_matches('#')).expect("what is referred to");
    let mut target = resolved(document, target);
    // What stands beside a reference counts too.
    for (keyword, value) in node.as_object().into_iter().flatten().filter(|(keyword, _)| *keyword != "$ref") {
        target[keyword] = value.clone();
    }
    target
}

/// The types that a node takes by itself or by its branches, sorted.
fn types(node: &Value) -> Value {
    let mut found: Vec<Value> = match &node["type"] {
        Value::Array(several) => several.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    for branches in [&node["oneOf"], &node["anyOf"]] {
        let all = branches.as_array().into_iter().flatten();
        found.extend(all.filter_map(|branch| branch.get("type").cloned()));
    }
    if node["nullable"] == true {
        found.push("null".into());
    }
    found.sort_by_key(Value::to_string);
    found.dedup();
    Value::Array(found)
}

/// Members that the source does not have and where we took them from.
const MEMBERS_OF_OURS: [(&str, &str); 11] = [
    ("handlers.CheckinResponse/pending_actions/*/payload", "older pages of the vendor (AC-3)"),
    ("StoreAgentHeartbeatApiRequest/agent/emoji", "the newer document"),
    ("StoreAgentHeartbeatApiRequest/agent/meta", "the newer document"),
    ("StoreAgentHeartbeatApiRequest/agents", "the newer document (AM-5)"),
    ("StoreAgentHeartbeatApiRequest/host_runtime_updates", "the newer document"),
    ("AgentHeartbeatResponse/agent", "the newer document"),
    ("AgentHeartbeatResponse/agents", "the newer client, which reads it"),
    ("AgentHeartbeatResponse/defaults", "the newer document (AM-16)"),
    ("AgentHeartbeatResponse/host/agent_runtime", "the newer document"),
    ("AgentHeartbeatResponse/host/agent_runtime_version", "the newer document"),
    ("AgentHeartbeatResponse/host_runtime_commands", "the newer document"),
];

/// Places, what the source says there, what we say, and why.
const SAID_OTHERWISE: [(&str, &str, &str, &str); 22] = [
    ("handlers.CheckinRequest/device_id minLength", "-", "1", NAMED),
    ("handlers.CheckinResponse/pending_actions required", "-", "true", "always written (AC-8)"),
    ("handlers.ImageNotificationRequest/device_id minLength", "-", "1", NAMED),
    ("handlers.ImageNotificationRequest/filename minLength", "-", "1", NAMED),
    ("handlers.ImageNotificationRequest/storage_key minLength", "-", "1", NAMED),
    ("handlers.ImageNotificationRequest/width minimum", "-", "1.0", "an image has at least one pixel"),
    ("handlers.ImageNotificationRequest/height minimum", "-", "1.0", "an image has at least one pixel"),
    ("StoreAgentHeartbeatApiRequest/meta/runtime/build type", NULLABLE_TEXT, TEXT, NEVER_NULL),
    ("StoreAgentHeartbeatApiRequest/meta/runtime/mode type", NULLABLE_TEXT, TEXT, NEVER_NULL),
    ("handlers.CheckinRequest/pending_requests/*/payload maxProperties", "-", "256", BOUNDED),
    ("StoreAgentHeartbeatApiRequest/agent/identity|object maxProperties", "-", "256", BOUNDED),
    ("StoreAgentHeartbeatApiRequest/host/meta/cpu|object maxProperties", "-", "256", BOUNDED),
    ("StoreAgentHeartbeatApiRequest/meta/models/*|object maxProperties", "-", "256", BOUNDED),
    ("StoreAgentHeartbeatApiRequest/meta/tool_availability maxProperties", "-", "256", BOUNDED),
    ("AgentHeartbeatResponse/host type", r#"["null","object"]"#, r#"["object"]"#, NEVER_NULL),
    ("ApiError/error/details type", r#"["null","object"]"#, r#"["object"]"#, NEVER_NULL),
    ("AgentHeartbeatResponse/server_time format", DATE_TIME, "-", TIME),
    ("AgentHeartbeatResponse/host/last_seen_at format", DATE_TIME, "-", TIME),
    ("AgentHeartbeatResponse/host/created_at format", DATE_TIME, "-", TIME),
    ("AgentHeartbeatResponse/host/updated_at format", DATE_TIME, "-", TIME),
    ("AgentHeartbeatResponse/host/status enum", HOST_WORDS, "-", "words are open"),
    ("AgentHeartbeatResponse/host/status words", "-", HOST_WORDS, "words are open"),
];

const TEXT: &str = r#"["string"]"#;
const NULLABLE_TEXT: &str = r#"["null","string"]"#;
const NEVER_NULL: &str = "what there is nothing to say of is left out, never null";
const DATE_TIME: &str = r#""date-time""#;
const TIME: &str = "a time is a text that is kept as it came: no message is lost over one";
const HOST_WORDS: &str = r#"["offline","online"]"#;
const BOUNDED: &str = "what is open is bounded";
const NAMED: &str = "an empty name identifies nothing";

#[test]
fn components_say_what_the_vendors_own_say_but_for_what_is_listed() {
    let components = [
        ("acusight", "handlers.CheckinRequest"),
        ("acusight", "handlers.CheckinResponse"),
        ("acusight", "handlers.ImageNotificationRequest"),
        ("agentmc", "StoreAgentHeartbeatApiRequest"),
        ("agentmc", "AgentHeartbeatResponse"),
        ("agentmc", "ApiError"),
    ];
    let mut differences = Vec::new();
    for (vendor, name) in components {
        let text = fs::read_to_string(root().join(format!("schemas/source/{vendor}.yaml"))).unwrap();
        let source: Value = yaml_serde::from_str(&text).unwrap();
        let text =
            fs::read_to_string(root().join(format!("schemas/json-schema/{vendor}/{name}.json"))).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let (mut theirs, mut ours) = (BTreeMap::new(), BTreeMap::new());
        shape(&source, &source["components"]["schemas"][name], name, &mut theirs);
        shape(&document, &document, name, &mut ours);
        assert!(theirs.len() > 3, "{name} is in the source");
        for place in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
            let [theirs, ours] = [&theirs, &ours].map(|of| of.get(place).map_or("-", String::as_str));
            if theirs != ours {
                differences.push((place.clone(), theirs.to_owned(), ours.to_owned()));
            }
        }
    }
    let mut unused: BTreeSet<_> = MEMBERS_OF_OURS.iter().map(|(place, _)| *place).collect();
    unused.extend(SAID_OTHERWISE.iter().map(|(place, ..)| *place));
    differences.retain(|(place, theirs, ours)| {
        let below = |rest: &str| rest.starts_with([' ', '/']);
        let member = MEMBERS_OF_OURS
            .iter()
            .find(|(member, _)| theirs == "-" && place.strip_prefix(member).is_some_and(below));
        let said = SAID_OTHERWISE.iter().find(|(at, a, b, _)| place == at && theirs == a && ours == b);
        let listed = member.map(|(name, _)| *name).or(said.map(|(name, ..)| *name));
        listed.is_none_or(|name| {
            unused.remove(name);
            false
        })
    });
    assert!(differences.is_empty(), "place, the source's, ours: {differences:#?}");
    assert!(unused.is_empty(), "no longer so: {unused:#?}");
}
