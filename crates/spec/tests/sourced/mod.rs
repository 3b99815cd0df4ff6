//! The sources' schemas of requests after the deviations, as JSON Schema 2020-12.

use std::path::Path;

use fleetwire_protocol::{Endpoint, Vendor};
use fleetwire_spec::deviations::{self, Deviation, Op};
use fleetwire_spec::source;
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What a source asks of an operation's body, after its deviations; `None` for an operation without a body.
pub(crate) fn request<E: Endpoint>() -> Option<Value> {
    let sources = source::read(root()).expect("sources");
    let document =
        &sources.iter().find(|source| source.vendor == E::Vendor::ID).expect("its source").document;
    let operation = &document["paths"][E::PATH][E::METHOD.as_str().to_ascii_lowercase()];
    assert!(operation.is_object(), "{} stands in its source", E::ID);
    let body = resolved(document, operation.get("requestBody")?);
    let mut schema = body["content"]["application/json"]["schema"].clone();
    for deviation in deviations::read(root()).expect("deviations") {
        if deviation.operation == E::ID && deviation.side == "request" {
            patch(&mut schema, &deviation);
        }
    }
    Some(modern(schema))
}

/// A node with every reference and every list of one schema replaced by what it stands for.
fn resolved(document: &Value, node: &Value) -> Value {
    let members = match node {
        Value::Object(members) => members,
        Value::Array(items) => return items.iter().map(|item| resolved(document, item)).collect(),
        scalar => return scalar.clone(),
    };
    let mut own = serde_json::Map::new();
    for (key, value) in members {
        // Examples are data.
        let data = key.starts_with("x-") || ["example", "examples"].contains(&key.as_str());
        own.insert(key.clone(), if data { value.clone() } else { resolved(document, value) });
    }
    let inner = match (own.remove("$ref"), own.remove("allOf")) {
        (Some(reference), None) => {
            let pointer = reference.as_str().expect("a reference").trim_start_matches('#');
            resolved(document, document.pointer(pointer).expect("what is referred to"))
        }
        (None, Some(Value::Array(mut one))) if one.len() == 1 => one.remove(0),
        (None, None) => return own.into(),
        other => panic!("{other:?}"),
    };
    let Value::Object(mut merged) = inner else { panic!("{inner} is no object") };
    merged.extend(own);
    merged.into()
}

/// What `cargo xtask check` does with a deviation, on plain objects and lists of names.
fn patch(schema: &mut Value, deviation: &Deviation) {
    let (parent, last) = deviation.at.rsplit_once('/').expect("a pointer");
    let place = schema.pointer_mut(parent).unwrap_or_else(|| panic!("{deviation}"));
    let value = deviation.value.clone();
    match (place, deviation.op) {
        (Value::Object(members), Op::Remove) => drop(members.remove(last)),
        (Value::Object(members), _) => drop(members.insert(last.to_owned(), value.expect("a value"))),
        (Value::Array(names), Op::Remove) => names.retain(|name| name != last),
        (Value::Array(names), _) => names.push(value.expect("a value")),
        _ => panic!("{deviation}"),
    }
}

/// Writes `nullable` as a type, and drops what only describes.
fn modern(schema: Value) -> Value {
    let Value::Object(mut members) = schema else { return schema };
    let nullable = members.remove("nullable") == Some(true.into());
    members.retain(|key, _| !key.starts_with("x-") && key != "example" && key != "description");
    let map = |value: Value| -> Value {
        let Value::Object(members) = value else { return value };
        members.into_iter().map(|(name, member)| (name, modern(member))).collect()
    };
    let mut modern_members = serde_json::Map::new();
    for (key, value) in members {
        let value = match (key.as_str(), value) {
            ("properties", value) => map(value),
            ("items" | "additionalProperties", value) => modern(value),
            ("oneOf", Value::Array(branches)) => branches.into_iter().map(modern).collect(),
            ("type", one @ Value::String(_)) if nullable => json!([one, "null"]),
            (_, value) => value,
        };
        modern_members.insert(key, value);
    }
    modern_members.into()
}
