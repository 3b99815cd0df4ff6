//! OpenAPI 3.0.3 from 3.1.

use serde_json::{Map, Value, json};

use super::document::SHARED;

/// Rewrites a whole document.
pub(super) fn convert(document: &mut Value) {
    if let Some(Value::Object(licence)) = document.pointer_mut("/info/license") {
        licence.remove("identifier");
    }
    if let Some(Value::Object(schemas)) = document.pointer_mut(SHARED) {
        schemas.values_mut().for_each(schema);
    }
    if let Some(paths) = document.get_mut("paths") {
        below(paths);
    }
    document["openapi"] = "3.0.3".into();
}

/// Finds the schemas of parameters, headers and bodies.
fn below(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if name == "schema" { schema(value) } else { below(value) }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(below),
        _ => {}
    }
}

fn schema(value: &mut Value) {
    let Value::Object(node) = value else { return };
    for keyword in ["allOf", "anyOf", "oneOf"] {
        if let Some(Value::Array(branches)) = node.get_mut(keyword) {
            branches.iter_mut().for_each(schema);
        }
    }
    for keyword in ["items", "additionalProperties", "not"] {
        if let Some(below) = node.get_mut(keyword) {
            schema(below);
        }
    }
    if let Some(Value::Object(members)) = node.get_mut("properties") {
        members.values_mut().for_each(schema);
    }
    if let Some(constant) = node.remove("const") {
        node.insert("enum".to_owned(), json!([constant]));
    }
    if let Some(Value::Array(examples)) = node.remove("examples")
        && let Some(first) = examples.into_iter().next()
    {
        node.insert("example".to_owned(), first);
    }
    one_type(node);
    null_branch(node);
    lone_reference(node);
}

/// A list of types becomes one type, null a mark, and several types a choice.
fn one_type(node: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = node.get("type").cloned() else { return };
    let (nulls, types): (Vec<_>, Vec<_>) = types.into_iter().partition(|name| name == "null");
    if !nulls.is_empty() {
        node.insert("nullable".to_owned(), true.into());
    }
    match types.as_slice() {
        [only] => {
            node.insert("type".to_owned(), only.clone());
        }
        several => {
            node.remove("type");
            // A format is a type's, and the other types must not be held to it.
            let format = node.remove("format");
            let choice = several
                .iter()
                .map(|name| match &format {
                    Some(format) if name == "integer" || name == "number" => {
                        json!({ "type": name, "format": format })
                    }
                    _ => json!({ "type": name }),
                })
                .collect::<Vec<_>>();
            // A choice that is there already holds as well.
            match node.remove("anyOf") {
                None => node.insert("anyOf".to_owned(), choice.into()),
                Some(own) => {
                    let both = json!([{ "anyOf": own }, { "anyOf": choice }]);
                    node.insert("allOf".to_owned(), both)
                }
            };
        }
    }
}

/// A choice that null is a branch of becomes a choice that may be null.
fn null_branch(node: &mut Map<String, Value>) {
    for keyword in ["anyOf", "oneOf"] {
        let Some(Value::Array(branches)) = node.get_mut(keyword) else { continue };
        let before = branches.len();
        branches.retain(|branch| branch.get("type").is_none_or(|name| name != "null"));
        if branches.len() == before {
            continue;
        }
        // `nullable` is heard only beside a type: a choice of nothing but references needs a branch for null.
        let typed =
            branches.iter_mut().filter_map(Value::as_object_mut).filter(|own| own.contains_key("type"));
        let marked = typed.map(|branch| branch.insert("nullable".to_owned(), true.into())).count();
        if marked == 0 {
            branches.push(json!({ "type": "object", "nullable": true, "enum": [null] }));
        }
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            node.remove(keyword);
            for (name, value) in only {
                node.entry(name).or_insert(value);
            }
        }
    }
}

/// In 3.0 whatever stands beside a reference is not seen.
fn lone_reference(node: &mut Map<String, Value>) {
    if node.len() > 1
        && let Some(reference) = node.remove("$ref")
    {
        node.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
    }
}
