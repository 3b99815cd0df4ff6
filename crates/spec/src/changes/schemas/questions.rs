//! Questions about single differences, written as one small document of JSON Schema 2020-12.
//!
//! What one end demands at one place of a message, and nothing else, is a schema of that message: the demand with
//! the way to it around it. Whether all that the other end sends meets it is what the difference comes to by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::differences::{Demand, Step, Version, anything};
use crate::document::{Dialect, Document};

/// A document of questions in the making.
pub(super) struct Questions<'a> {
    old: &'a Document,
    new: &'a Document,
    asked: Vec<Value>,
    names: BTreeMap<(Version, String), String>,
    /// Schemas that are referred to and have not been written yet.
    open: Vec<(Version, String)>,
    schemas: Map<String, Value>,
}

impl<'a> Questions<'a> {
    pub(super) fn new(old: &'a Document, new: &'a Document) -> Self {
        Self { old, new, asked: Vec::new(), names: BTreeMap::new(), open: Vec::new(), schemas: Map::new() }
    }

    /// Adds the schema of a message that demands something at the end of a way. Returns its pointer.
    pub(super) fn ask(&mut self, demand: &Demand, way: &[Step], narrow: Version) -> String {
        let mut schema = self.written(&demand.schema, demand.of);
        for step in way.iter().rev() {
            schema = match step {
                Step::Member { name, .. } => json!({ "properties": { name: schema } }),
                Step::Item(place) => {
                    let mut items = vec![Value::Bool(true); *place];
                    items.push(schema);
                    json!({ "prefixItems": items })
                }
                Step::Items(0) => json!({ "items": schema }),
                Step::Items(from) => {
                    json!({ "prefixItems": vec![Value::Bool(true); *from], "items": schema })
                }
                Step::Extra { names, patterns } => json!({
                    "properties": anything(names),
                    "patternProperties": anything(patterns),
                    "additionalProperties": schema,
                }),
                Step::Pattern(pattern) => json!({ "patternProperties": { pattern: schema } }),
                Step::Branch { old, new } => {
                    // What another alternative of the sending end lets through has nothing to do with this one.
                    let others = if narrow == Version::Old { old } else { new };
                    let null = others.with_null.then(|| json!({ "const": null }));
                    let mut branches: Vec<Value> = null.into_iter().collect();
                    for other in &others.pointers {
                        branches.push(self.reference(narrow, other.clone()));
                    }
                    branches.push(schema);
                    json!({ "anyOf": branches })
                }
            };
        }
        self.asked.push(schema);
        format!("/asked/{}", self.asked.len() - 1)
    }

    /// The document with all that its questions refer to.
    pub(super) fn finish(mut self) -> Arc<Value> {
        while let Some((version, pointer)) = self.open.pop() {
            let Some(name) = self.names.get(&(version, pointer.clone())).cloned() else { continue };
            let document = self.document(version);
            let schema = document.value().pointer(&pointer).cloned().unwrap_or(Value::Bool(true));
            let schema = self.written(&schema, version);
            self.schemas.insert(name, schema);
        }
        Arc::new(json!({ "$defs": self.schemas, "asked": self.asked }))
    }

    const fn document(&self, version: Version) -> &'a Document {
        match version {
            Version::Old => self.old,
            Version::New => self.new,
        }
    }

    fn reference(&mut self, version: Version, pointer: String) -> Value {
        let next = self.names.len();
        let name = self.names.entry((version, pointer.clone())).or_insert_with(|| {
            self.open.push((version, pointer));
            format!("s{next}")
        });
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    /// A schema of one of the documents in the words of 2020-12, its references leading into this one.
    fn written(&mut self, schema: &Value, version: Version) -> Value {
        let Value::Object(members) = schema else { return schema.clone() };
        let dialect = self.document(version).dialect();
        if let Some(target) = members.get("$ref").and_then(Value::as_str) {
            // What leads nowhere is left as it is: who reads it says so.
            let target = self.document(version).root().follow(target).map(|place| place.pointer().to_owned());
            let reference = target.map(|pointer| self.reference(version, pointer));
            let alone = members.len() == 1 || matches!(dialect, Dialect::OpenApi30 | Dialect::Draft07);
            return match (reference, alone) {
                (Ok(reference), true) => reference,
                (Ok(reference), false) => {
                    let mut siblings = members.clone();
                    siblings.remove("$ref");
                    let siblings = self.written(&Value::Object(siblings), version);
                    json!({ "allOf": [reference, siblings] })
                }
                (Err(_), _) => schema.clone(),
            };
        }
        let mut written = Map::new();
        for (keyword, value) in members {
            let value = match (keyword.as_str(), value) {
                ("$id" | "$anchor" | "$schema" | "$defs" | "definitions", _) => continue,
                ("properties" | "patternProperties" | "dependentSchemas", Value::Object(schemas)) => schemas
                    .iter()
                    .map(|(name, schema)| (name.clone(), self.written(schema, version)))
                    .collect::<Map<_, _>>()
                    .into(),
                ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(schemas)) => {
                    let schemas = schemas.iter().map(|schema| self.written(schema, version)).collect();
                    if keyword == "items" {
                        written.insert("prefixItems".to_owned(), schemas);
                        continue;
                    }
                    schemas
                }
                ("dependencies", Value::Object(dependencies)) if dialect == Dialect::Draft07 => {
                    let (names, schemas): (Vec<_>, Vec<_>) =
                        dependencies.iter().partition(|(_, value)| value.is_array());
                    let names = names.into_iter().map(|(name, value)| (name.clone(), value.clone()));
                    written.insert("dependentRequired".to_owned(), names.collect::<Map<_, _>>().into());
                    let schemas: Map<_, _> = schemas
                        .into_iter()
                        .map(|(name, schema)| (name.clone(), self.written(schema, version)))
                        .collect();
                    written.insert("dependentSchemas".to_owned(), schemas.into());
                    continue;
                }
                (
                    "not"
                    | "if"
                    | "then"
                    | "else"
                    | "contains"
                    | "items"
                    | "additionalProperties"
                    | "propertyNames"
                    | "unevaluatedItems"
                    | "unevaluatedProperties",
                    schema,
                ) => self.written(schema, version),
                ("additionalItems", schema) if members.get("items").is_some_and(Value::is_array) => {
                    let schema = self.written(schema, version);
                    written.insert("items".to_owned(), schema);
                    continue;
                }
                (_, value) => value.clone(),
            };
            written.insert(keyword.clone(), value);
        }
        if dialect == Dialect::OpenApi30 {
            from_openapi_30(&mut written);
        }
        Value::Object(written)
    }
}

/// Puts what OpenAPI 3.0 says otherwise into the words of 2020-12.
fn from_openapi_30(schema: &mut Map<String, Value>) {
    if schema.remove("nullable") == Some(Value::Bool(true))
        && let Some(Value::String(name)) = schema.get("type")
    {
        let types = json!([name, "null"]);
        schema.insert("type".to_owned(), types);
    }
    for (keyword, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        match schema.remove(exclusive) {
            Some(Value::Bool(true)) => {
                if let Some(bound) = schema.remove(keyword) {
                    schema.insert(exclusive.to_owned(), bound);
                }
            }
            Some(other) if !other.is_boolean() => {
                schema.insert(exclusive.to_owned(), other);
            }
            _ => {}
        }
    }
}
