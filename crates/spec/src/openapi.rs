//! OpenAPI 3.0 and 3.1 documents as they are read here: operations with their references resolved.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Keywords that say nothing of what a value may be.
const ANNOTATIONS: [&str; 9] = [
    "description",
    "title",
    "summary",
    "example",
    "examples",
    "deprecated",
    "nullable",
    "readOnly",
    "writeOnly",
];

/// Keywords whose values are no part of the document's structure.
const OPAQUE: [&str; 5] = ["example", "examples", "default", "enum", "const"];

/// An operation of a document.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// In capitals.
    pub(crate) method: String,
    pub(crate) path: String,
    /// Its object, references resolved but for those in which a schema contains itself.
    pub(crate) object: Value,
}

impl Operation {
    pub(crate) fn request_line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(crate) fn id(&self) -> Option<&str> {
        self.object.get("operationId")?.as_str()
    }
}

/// The operations of a document. The parameters of a path and the security of the document are put into each
/// operation that they hold for.
pub(crate) fn operations(document: &Value) -> Vec<Operation> {
    let paths = document.get("paths").and_then(Value::as_object);
    paths.into_iter().flatten().flat_map(|(path, item)| of_path(document, path, item)).collect()
}

/// The operations on one path of a document, as [`operations`] has them.
pub(crate) fn operations_at(document: &Value, path: &str) -> Vec<Operation> {
    let item = document.get("paths").and_then(|paths| paths.get(path));
    item.map_or_else(Vec::new, |item| of_path(document, path, item))
}

fn of_path(document: &Value, path: &str, item: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    let item = inlined(document, item);
    for method in METHODS {
        let Some(object) = item.get(method).and_then(Value::as_object) else { continue };
        let mut object = object.clone();
        if !object.contains_key("security")
            && let Some(security) = document.get("security")
        {
            object.insert("security".to_owned(), security.clone());
        }
        if let Some(shared) = item.get("parameters").and_then(Value::as_array) {
            let own = object.entry("parameters").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(own) = own {
                let same = |one: &Value, other: &Value| {
                    one.get("name") == other.get("name") && one.get("in") == other.get("in")
                };
                let missing = shared.iter().filter(|shared| !own.iter().any(|own| same(own, shared)));
                own.extend(missing.cloned().collect::<Vec<_>>());
            }
        }
        operations.push(Operation {
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            object: Value::Object(object),
        });
    }
    operations
}

/// A node with its references resolved. A reference to a schema that it stands in is left as it is.
pub(crate) fn inlined(document: &Value, node: &Value) -> Value {
    inline(document, node, false, &mut Vec::new())
}

/// The target of a reference, resolved in turn.
pub(crate) fn target(document: &Value, reference: &str) -> Option<Value> {
    let node = document.pointer(&fragment(reference)?)?;
    Some(inline(document, node, false, &mut vec![reference.to_owned()]))
}

/// The reference that a node is, unless its keys are names.
pub(crate) fn reference(node: &Value) -> Option<&str> {
    node.get("$ref")?.as_str()
}

fn fragment(reference: &str) -> Option<String> {
    unescaped_fragment(reference.strip_prefix('#')?)
}

/// A fragment of a URI as the text that it stands for: component names may hold what a URI writes with a percent sign.
pub(crate) fn unescaped_fragment(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The type of a value, as schemas name it.
pub(crate) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn inline(document: &Value, node: &Value, keys_are_names: bool, within: &mut Vec<String>) -> Value {
    match node {
        Value::Array(items) => items.iter().map(|item| inline(document, item, false, within)).collect(),
        Value::Object(members) => {
            if !keys_are_names
                && let Some(reference) = reference(node)
                && !within.iter().any(|outer| outer == reference)
                && let Some(target) = fragment(reference).and_then(|pointer| document.pointer(&pointer))
            {
                within.push(reference.to_owned());
                let target = inline(document, target, false, within);
                within.pop();
                let mut siblings = members.clone();
                siblings.remove("$ref");
                let siblings = inline(document, &Value::Object(siblings), false, within);
                return beside(target, siblings);
            }
            let mut resolved = Map::new();
            for (key, value) in members {
                let opaque = !keys_are_names && (OPAQUE.contains(&key.as_str()) || key.starts_with("x-"));
                let value = if opaque {
                    value.clone()
                } else {
                    let names = !keys_are_names
                        && matches!(key.as_str(), "properties" | "responses" | "headers" | "content");
                    inline(document, value, names, within)
                };
                resolved.insert(key.clone(), value);
            }
            through_single_all_of(resolved, keys_are_names)
        }
        scalar => scalar.clone(),
    }
}

/// OpenAPI 3.0 lets nothing stand beside a reference, so that documents wrap one in `allOf` to describe it.
fn through_single_all_of(mut members: Map<String, Value>, keys_are_names: bool) -> Value {
    let single =
        !keys_are_names && members.get("allOf").and_then(Value::as_array).is_some_and(|all| all.len() == 1);
    if single && only_annotates(&members, "allOf") {
        let Some(Value::Array(mut all)) = members.remove("allOf") else { return Value::Object(members) };
        let Some(inner) = all.pop() else { return Value::Object(members) };
        return beside(inner, Value::Object(members));
    }
    Value::Object(members)
}

fn only_annotates(members: &Map<String, Value>, but: &str) -> bool {
    members.keys().all(|key| key == but || key.starts_with("x-") || ANNOTATIONS.contains(&key.as_str()))
}

/// A resolved reference with what stood beside it: remarks win over those of the target, and everything else
/// holds as well.
fn beside(target: Value, siblings: Value) -> Value {
    match (target, siblings) {
        (target, Value::Object(siblings)) if siblings.is_empty() => target,
        (Value::Object(mut target), Value::Object(siblings)) if only_annotates(&siblings, "") => {
            target.extend(siblings);
            Value::Object(target)
        }
        (target, siblings) => serde_json::json!({ "allOf": [siblings, target] }),
    }
}

/// The schema of a parameter, a header or a media type; one that is not there says nothing.
pub(crate) fn schema_of(node: &Value) -> &Value {
    const ANYTHING: &Value = &Value::Null;
    let content = || node.get("content")?.as_object()?.values().next()?.get("schema");
    node.get("schema").or_else(content).unwrap_or(ANYTHING)
}

/// The schemas of a body by media type, parameters of the media type left off.
pub(crate) fn contents(body: &Value) -> BTreeMap<String, &Value> {
    let list = body.get("content").and_then(Value::as_object);
    list.into_iter().flatten().map(|(media, content)| (essence(media), schema_of(content))).collect()
}

pub(crate) fn essence(media: &str) -> String {
    media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The schema of a body's JSON.
pub(crate) fn json_schema(body: &mut Value) -> Option<&mut Value> {
    let contents = body.get_mut("content")?.as_object_mut()?;
    let is_json =
        |media: &str| matches!(essence(media).as_str(), "application/json") || media.ends_with("+json");
    contents.iter_mut().find(|(media, _)| is_json(media))?.1.get_mut("schema")
}

pub(crate) fn responses(operation: &Value) -> BTreeMap<&str, &Value> {
    let list = operation.get("responses").and_then(Value::as_object);
    list.into_iter()
        .flatten()
        .filter(|(status, _)| !status.starts_with("x-"))
        .map(|(s, r)| (s.as_str(), r))
        .collect()
}

/// Whether our status answers the source's; `2XX` is met by its like, else by all of its class.
pub(crate) fn meets(status: &str, own: &str, ours: &BTreeMap<&str, &Value>) -> bool {
    if status == own {
        return true;
    }
    let class = status.strip_suffix("XX").filter(|_| !ours.contains_key(status));
    class.is_some_and(|class| own.len() == 3 && own.starts_with(class))
}

/// The key that a JSON pointer's token names.
pub(crate) fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// The token of a JSON pointer that names a key.
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_resolved_through_single_all_of_and_remarks_of_the_user_win() {
        let document = json!({"components": {"schemas": {"a.B": {"type": "object", "x-origin": 1, "properties": {
            "c": {"allOf": [{"$ref": "#/components/schemas/C"}], "x-origin": 2},
        }}, "C": {"type": "string", "x-origin": 3}}}});
        let resolved = inlined(&document, &json!({"$ref": "#/components/schemas/a.B"}));
        assert_eq!(
            resolved,
            json!({"type": "object", "x-origin": 1, "properties": {"c": {"type": "string", "x-origin": 2}}})
        );
    }

    #[test]
    fn schema_that_contains_itself_keeps_the_inner_reference() {
        let tree = json!({"type": "object", "properties": {"next": {"$ref": "#/s/T"}}});
        let document = json!({"s": {"T": tree}});
        assert_eq!(inlined(&document, &json!({"$ref": "#/s/T"})), tree);
    }

    #[test]
    fn member_may_be_called_like_a_keyword() {
        let document = json!({"s": {"T": {"type": "string"}}});
        let node = json!({"properties": {
            "$ref": {"$ref": "#/s/T"}, "example": {"$ref": "#/s/T"}, "allOf": {"$ref": "#/s/T"},
        }});
        let resolved = inlined(&document, &node);
        for name in ["$ref", "example", "allOf"] {
            assert_eq!(resolved["properties"][name], json!({"type": "string"}), "{name}");
        }
    }

    #[test]
    fn what_holds_for_all_operations_of_a_path_is_in_each() {
        let document = json!({
            "security": [{"key": []}],
            "paths": {"/a/{id}": {
                "parameters": [{"name": "id", "in": "path"}, {"name": "X", "in": "header"}],
                "get": {"parameters": [{"name": "X", "in": "header", "required": true}]},
                "post": {"security": []},
            }},
        });
        let operations = operations(&document);
        assert_eq!(
            operations.iter().map(Operation::request_line).collect::<Vec<_>>(),
            ["GET /a/{id}", "POST /a/{id}"]
        );
        assert_eq!(operations[0].object["parameters"].as_array().map(Vec::len), Some(2));
        assert_eq!(operations[0].object["parameters"][0]["required"], true);
        assert_eq!(operations[0].object["security"], json!([{"key": []}]));
        assert_eq!(operations[1].object["security"], json!([]));
    }
}
