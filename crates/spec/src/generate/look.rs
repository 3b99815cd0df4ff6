//! The requests' accept schemas as `fleetwire-validation` carries them for its second look: all that they ask
//! and nothing that they tell.

use fleetwire_validation::Side;
use serde_json::{Map, Value};

use super::contract::Contract;
use super::document::json_schema;
use super::operation::Operation;

/// Where they belong. A crate can hold only what lies inside it.
pub(super) const PATH: &str = "crates/validation/src/look/accept.json";

/// What a schema says to people and tools.
const TOLD: [&str; 9] = [
    "$schema",
    "default",
    "description",
    "title",
    "x-contract",
    "x-generated-by",
    "x-known-values",
    "x-origin",
    "x-rules",
];

/// The schema of each request that has a body, by the operation's id.
pub(super) fn schemas(operations: &[Operation]) -> Map<String, Value> {
    let contract = Contract::new(operations, Side::Accept);
    let requests = operations.iter().zip(&contract.messages).filter_map(|(operation, messages)| {
        let request = messages.request.as_ref()?;
        Some((operation.id.to_owned(), bare(json_schema(&contract, request, Side::Accept))))
    });
    requests.collect()
}

/// A schema without what it tells.
fn bare(schema: Value) -> Value {
    match schema {
        Value::Object(keywords) => {
            let asked = keywords.into_iter().filter(|(keyword, _)| !TOLD.contains(&keyword.as_str()));
            asked.map(|(keyword, value)| (keyword.clone(), within(&keyword, value))).collect()
        }
        other => other,
    }
}

/// The value of a keyword, with the schemas in it bare; a member's name is no keyword.
fn within(keyword: &str, value: Value) -> Value {
    match (keyword, value) {
        ("properties" | "$defs", Value::Object(named)) => {
            named.into_iter().map(|(name, schema)| (name, bare(schema))).collect()
        }
        ("allOf" | "anyOf" | "oneOf", Value::Array(branches)) => branches.into_iter().map(bare).collect(),
        ("items" | "additionalProperties" | "not", schema) => bare(schema),
        (_, value) => value,
    }
}
