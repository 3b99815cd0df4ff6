//! The parts of an operation that carry a schema at both ends.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::finding::Side;
use crate::openapi::{self, escape};

/// A part of an operation, with the places of its schemas in the two operations.
pub(super) struct Part {
    pub(super) side: Side,
    /// Nothing for a JSON body.
    pub(super) name: String,
    /// Whether the source does not say what is in it.
    pub(super) silent: bool,
    /// Where the source has its schema, as a pointer in the operation.
    pub(super) source: String,
    /// Where we have it; in the same place of what we write and of what we read.
    pub(super) ours: String,
}

impl Part {
    pub(super) fn is_body(&self) -> bool {
        self.name.is_empty()
    }
}

/// The parts that both ends have. One that only one end has is a finding of coverage.
pub(super) fn of(theirs: &Value, emit: &Value, accept: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    let both = |parts: &mut Vec<Part>, side: &Side, source: Schemas, ours: Schemas, silent: bool| {
        for (name, source) in source {
            if let Some(ours) = ours.get(&name).filter(|at| accept.pointer(at).is_some()) {
                let silent = silent || is_silent(theirs.pointer(&source));
                let name = if name == JSON { String::new() } else { name };
                parts.push(Part { side: side.clone(), name, silent, source, ours: ours.clone() });
            }
        }
    };
    let request = Side::Request;
    both(&mut parts, &request, parameters(theirs), parameters(emit), false);
    let silent = is_silent(theirs.pointer("/requestBody"));
    both(&mut parts, &request, bodies(theirs, "/requestBody"), bodies(emit, "/requestBody"), silent);
    if silent && emit.get("requestBody").is_some() && parts.iter().all(|part| !part.is_body()) {
        parts.push(unsaid(request, "/requestBody"));
    }

    let own = openapi::responses(emit);
    for (status, response) in openapi::responses(theirs) {
        let side = Side::Response(status.to_owned());
        let at = format!("/responses/{}", escape(status));
        let silent = is_silent(Some(response));
        if silent {
            parts.push(unsaid(side, &at));
            continue;
        }
        for answer in own.keys().filter(|answer| openapi::meets(status, answer, &own)) {
            let ours = format!("/responses/{}", escape(answer));
            both(&mut parts, &side, headers(theirs, &at), headers(emit, &ours), false);
            both(&mut parts, &side, bodies(theirs, &at), bodies(emit, &ours), false);
        }
    }
    parts
}

fn unsaid(side: Side, at: &str) -> Part {
    Part { side, name: String::new(), silent: true, source: at.to_owned(), ours: at.to_owned() }
}

fn is_silent(node: Option<&Value>) -> bool {
    node.and_then(|node| node.get("x-silent")) == Some(&Value::Bool(true))
}

/// The places of schemas by the names of their parts.
type Schemas = BTreeMap<String, String>;

const JSON: &str = "application/json";

fn bodies(operation: &Value, at: &str) -> Schemas {
    let contents = operation.pointer(&format!("{at}/content")).and_then(Value::as_object);
    let body = |(media, content): (&String, &Value)| {
        content.get("schema")?;
        Some((openapi::essence(media), format!("{at}/content/{}/schema", escape(media))))
    };
    contents.into_iter().flatten().filter_map(body).collect()
}

fn headers(operation: &Value, at: &str) -> Schemas {
    let headers = operation.pointer(&format!("{at}/headers")).and_then(Value::as_object);
    let header = |(name, header): (&String, &Value)| {
        header.get("schema")?;
        let at = format!("{at}/headers/{}/schema", escape(name));
        Some((format!("header {}", name.to_ascii_lowercase()), at))
    };
    headers.into_iter().flatten().filter_map(header).collect()
}

fn parameters(operation: &Value) -> Schemas {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let parameter = |(index, parameter): (usize, &Value)| {
        parameter.get("schema")?;
        let (name, place) = (parameter.get("name")?.as_str()?, parameter.get("in")?.as_str()?);
        let name = match place {
            "header" => format!("header {}", name.to_ascii_lowercase()),
            // The names of path parameters do not travel: their order does.
            "path" => format!("path parameter {}", path_position(operation, index)),
            place => format!("{place} parameter {name}"),
        };
        Some((name, format!("/parameters/{index}/schema")))
    };
    parameters.into_iter().flatten().enumerate().filter_map(parameter).collect()
}

/// Which of the path parameters one is, from 1.
fn path_position(operation: &Value, index: usize) -> usize {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let before = parameters.into_iter().flatten().take(index + 1);
    before.filter(|parameter| parameter.get("in").and_then(Value::as_str) == Some("path")).count()
}

/// What a part of a message stands for of which the source says that it is there and not what it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// On the side that must be included: documents that have it are left out, since nothing can be claimed of them.
    Nothing,
    /// On the side that includes: it may be anything of its type.
    Anything,
}

/// An operation without its silent nodes.
pub(super) fn without_silence(node: &Value, silence: Silence) -> Value {
    match node {
        Value::Array(items) => items.iter().map(|item| without_silence(item, silence)).collect(),
        Value::Object(members) if silence == Silence::Anything && is_silent(Some(node)) => {
            let kept =
                members.iter().filter(|(key, _)| matches!(key.as_str(), "type" | "nullable" | "description"));
            kept.map(|(key, value)| (key.clone(), value.clone())).collect()
        }
        Value::Object(members) => {
            let mut members: Map<String, Value> =
                members.iter().map(|(key, value)| (key.clone(), without_silence(value, silence))).collect();
            if silence == Silence::Nothing {
                leave_out_silent_members(&mut members);
            }
            members.into()
        }
        scalar => scalar.clone(),
    }
}

fn leave_out_silent_members(schema: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    let silent: Vec<String> = properties
        .iter()
        .filter(|(_, member)| is_silent(Some(member)))
        .map(|(name, _)| name.clone())
        .collect();
    for name in &silent {
        properties.insert(name.clone(), never());
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| !silent.iter().any(|silent| name.as_str() == Some(silent)));
    }
}

/// Takes the documents out of a part of the source that have members which only ours names, in objects that the
/// source does not declare open.
pub(super) fn leave_out_foreign_names(theirs: &mut Value, part: &Part, ours: &Value) {
    let mut known = BTreeSet::new();
    let mut own = BTreeSet::new();
    let (Some(source), Some(ours)) = (theirs.pointer_mut(&part.source), ours.pointer(&part.ours)) else {
        return;
    };
    names(source, &mut known);
    names(ours, &mut own);
    let foreign: Vec<&String> = own.difference(&known).collect();
    if !foreign.is_empty() {
        forbid(source, &foreign);
    }
}

/// The names of all members in a schema.
fn names(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        Value::Object(keywords) => {
            for (keyword, value) in keywords {
                match value.as_object().filter(|_| keyword == "properties") {
                    Some(members) => {
                        found.extend(members.keys().cloned());
                        members.values().for_each(|member| names(member, found));
                    }
                    None if is_of_schemas(keyword) => names(value, found),
                    None => {}
                }
            }
        }
        _ => {}
    }
}

fn forbid(schema: &mut Value, foreign: &[&String]) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| forbid(item, foreign)),
        Value::Object(keywords) => {
            for (keyword, value) in keywords.iter_mut() {
                match value.as_object_mut().filter(|_| keyword == "properties") {
                    Some(members) => members.values_mut().for_each(|member| forbid(member, foreign)),
                    None if is_of_schemas(keyword) => forbid(value, foreign),
                    None => {}
                }
            }
            if !keywords.contains_key("additionalProperties")
                && let Some(Value::Object(members)) = keywords.get_mut("properties")
            {
                for name in foreign {
                    members.entry(name.as_str()).or_insert_with(never);
                }
            }
        }
        _ => {}
    }
}

/// Bounds the members of objects that are declared open, or of which no member is named.
pub(super) fn bound_open_objects(node: &mut Value, most: usize) {
    match node {
        Value::Array(items) => items.iter_mut().for_each(|item| bound_open_objects(item, most)),
        Value::Object(keywords) => {
            let others = keywords.get("additionalProperties");
            let is_object = keywords.get("type").and_then(Value::as_str) == Some("object");
            let is_open = others.is_some_and(|others| others != &Value::Bool(false))
                || (is_object && others.is_none() && !keywords.contains_key("properties"));
            if is_open {
                keywords.entry("maxProperties").or_insert_with(|| most.into());
            }
            for (keyword, value) in keywords.iter_mut() {
                if !matches!(keyword.as_str(), "example" | "examples" | "default" | "enum" | "const") {
                    bound_open_objects(value, most);
                }
            }
        }
        _ => {}
    }
}

/// Whether schemas stand under a keyword.
fn is_of_schemas(keyword: &str) -> bool {
    matches!(keyword, "items" | "additionalProperties" | "allOf" | "anyOf" | "oneOf" | "not")
}

/// The schema of nothing. Not every dialect has `false`.
fn never() -> Value {
    serde_json::json!({ "not": {} })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parts(theirs: &Value, ours: &Value) -> Vec<(String, String, bool)> {
        let named = |part: Part| (part.side.to_string(), part.name, part.silent);
        of(theirs, ours, ours).into_iter().map(named).collect()
    }

    #[test]
    fn parts_that_both_ends_have_are_found_by_what_travels() {
        let theirs = json!({
            "parameters": [
                {"in": "header", "name": "X-Key", "schema": {}},
                {"in": "path", "name": "uuid", "schema": {}},
                {"in": "query", "name": "lost", "schema": {}},
            ],
            "requestBody": {"content": {"application/json; charset=utf-8": {"schema": {}}}},
            "responses": {"2XX": {"content": {"application/json": {"schema": {}}}, "headers": {"ETag": {"schema": {}}}}},
        });
        let ours = json!({
            "parameters": [
                {"in": "path", "name": "id", "schema": {}},
                {"in": "header", "name": "x-key", "schema": {}},
            ],
            "requestBody": {"content": {"application/json": {"schema": {}}}},
            "responses": {
                "200": {"content": {"application/json": {"schema": {}}}, "headers": {"etag": {"schema": {}}}},
                "204": {},
            },
        });
        let request = |name: &str| ("request".to_owned(), name.to_owned(), false);
        let response = |name: &str| ("response 2XX".to_owned(), name.to_owned(), false);
        assert_eq!(
            parts(&theirs, &ours),
            [
                request("header x-key"),
                request("path parameter 1"),
                request(""),
                response("header etag"),
                response(""),
            ]
        );
    }

    #[test]
    fn silent_bodies_are_parts_of_which_nothing_is_claimed() {
        let theirs = json!({
            "requestBody": {"content": {"application/json": {"schema": {"x-silent": true}}}},
            "responses": {"2XX": {"x-silent": true}},
        });
        let ours = json!({
            "requestBody": {"content": {"application/json": {"schema": {}}}},
            "responses": {"204": {}},
        });
        let silent = |side: &str| (side.to_owned(), String::new(), true);
        assert_eq!(parts(&theirs, &ours), [silent("request"), silent("response 2XX")]);
    }

    #[test]
    fn silent_member_may_be_anything_on_the_including_side_and_is_left_out_on_the_other() {
        let schema = json!({"required": ["a", "b"], "properties": {
            "a": {"x-silent": true, "type": "object", "properties": {"c": {"type": "string"}}}, "b": {},
        }});
        let wide = without_silence(&schema, Silence::Anything);
        assert_eq!(wide["properties"]["a"], json!({"type": "object"}));
        let narrow = without_silence(&schema, Silence::Nothing);
        assert_eq!(narrow["properties"]["a"], json!({"not": {}}));
        assert_eq!(narrow["required"], json!(["b"]));
    }
}
