//! What `fleetwire-validation` carries of the accept schemas is what is published, less what is only told.

#![expect(clippy::unwrap_used, reason = "a document that is not as expected has failed its test")]

use std::fs;
use std::path::Path;

use fleetwire_protocol::{Endpoint, Json, NoBody, Vendor, for_each_endpoint};
use fleetwire_spec::generate::documents;
use schemars::JsonSchema;
use serde_json::Value;

const CARRIED: &str = "crates/validation/src/look/accept.json";

/// What a keyword must not be called that is left out: it would be asked of a message.
const ASKED: [&str; 20] = [
    "$defs",
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
    "x-alias-of",
];

/// The body of a request, by its type.
trait Carries {
    fn name() -> Option<String>;
}
impl Carries for NoBody {
    fn name() -> Option<String> {
        None
    }
}
impl<T: JsonSchema, const STATUS: u16> Carries for Json<T, STATUS> {
    fn name() -> Option<String> {
        Some(T::schema_name().into_owned())
    }
}

fn committed(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

/// Holds a schema against the published one; a member's name is no keyword.
fn same(published: &Value, carried: &Value, are_names: bool, place: &str) {
    match (published, carried) {
        (Value::Object(published), Value::Object(carried)) => {
            for (name, value) in published {
                let place = format!("{place}/{name}");
                match carried.get(name) {
                    Some(own) => {
                        let holds_names = !are_names && matches!(name.as_str(), "properties" | "$defs");
                        same(value, own, holds_names, &place);
                    }
                    None => assert!(!are_names && !ASKED.contains(&name.as_str()), "{place} is left out"),
                }
            }
            let more: Vec<_> = carried.keys().filter(|name| !published.contains_key(*name)).collect();
            assert!(more.is_empty(), "{place}: {more:?} is not published");
        }
        (Value::Array(published), Value::Array(carried)) => {
            assert_eq!(published.len(), carried.len(), "{place}");
            for (index, (published, carried)) in published.iter().zip(carried).enumerate() {
                same(published, carried, false, &format!("{place}/{index}"));
            }
        }
        _ => assert_eq!(published, carried, "{place}"),
    }
}

#[test]
fn a_second_look_is_held_against_the_published_accept_schemas() {
    let carried: Value = serde_json::from_str(&committed(CARRIED)).unwrap();
    let mut requests = 0;
    macro_rules! each {
        ([] $($operation:path,)*) => { $(
            if let Some(name) = <<$operation as Endpoint>::Request as Carries>::name() {
                requests += 1;
                let vendor = <<$operation as Endpoint>::Vendor as Vendor>::ID;
                let published = committed(&format!("schemas/json-schema/{vendor}/{name}.accept.json"));
                let id = <$operation as Endpoint>::ID;
                same(&serde_json::from_str(&published).unwrap(), &carried[id], false, id);
            }
        )* };
    }
    for_each_endpoint!(each!());
    let schemas = carried.as_object().unwrap().values().filter(|schema| schema.is_object());
    assert_eq!(schemas.count(), requests);
}

#[test]
fn what_is_carried_is_generated_with_the_rest() {
    let generated = documents().unwrap();
    let fresh = generated.iter().find(|document| document.path == CARRIED).unwrap();
    assert!(fresh.content == committed(CARRIED), "run `cargo xtask generate`");
}
