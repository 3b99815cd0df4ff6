use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::document::Dialect;
use crate::schema::Lexicon;

/// A schema taken out of its document, with everything that it refers to, as a validator can read it.
pub(super) struct Bundle {
    pub(super) schema: Value,
    /// Where each definition stood in the document.
    places: Vec<String>,
    definitions: &'static str,
}

/// Keywords whose value is a schema, a list of schemas (or a schema), a map of schemas.
const SCHEMA: [&str; 14] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "allOf",
    "anyOf",
    "oneOf",
];
const LIST: [&str; 1] = ["prefixItems"];
const MAP: [&str; 4] = ["dependencies", "dependentSchemas", "patternProperties", "properties"];
/// Keywords that stay as they are.
const PLAIN: [&str; 20] = [
    "const",
    "dependentRequired",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "uniqueItems",
];
/// The keywords of JSON Schema that OpenAPI 3.0 does not have.
const NOT_IN_30: [&str; 15] = [
    "additionalItems",
    "const",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "patternProperties",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
];

struct Bundling<'a> {
    lexicon: &'a mut Lexicon,
    definitions: &'static str,
    numbers: HashMap<String, usize>,
    places: Vec<String>,
}

impl Bundle {
    /// `None` where something leads nowhere.
    pub(super) fn new(lexicon: &mut Lexicon, pointer: &str) -> Option<Self> {
        let root = std::sync::Arc::clone(&lexicon.root);
        let definitions = if lexicon.dialect == Dialect::Draft07 { "definitions" } else { "$defs" };
        let mut bundling = Bundling { lexicon, definitions, numbers: HashMap::new(), places: Vec::new() };
        let first = bundling.refer(pointer.to_owned());
        let mut defined = Map::new();
        let mut next = 0;
        while let Some(pointer) = bundling.places.get(next).cloned() {
            let schema = bundling.schema(root.pointer(&pointer)?)?;
            defined.insert(next.to_string(), schema);
            next += 1;
        }
        let schema = json!({"allOf": [first], definitions: defined});
        Some(Self { schema, places: bundling.places, definitions })
    }

    /// A place within the bundle as one of the document.
    pub(super) fn place(&self, pointer: &str) -> Option<String> {
        let (_, rest) = pointer.rsplit_once(&format!("/{}/", self.definitions))?;
        let (number, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let place = self.places.get(number.parse::<usize>().ok()?)?;
        Some(if rest.is_empty() { place.clone() } else { format!("{place}/{rest}") })
    }
}

impl Bundling<'_> {
    fn refer(&mut self, pointer: String) -> Value {
        let number = match self.numbers.get(&pointer) {
            Some(number) => *number,
            None => {
                let number = self.places.len();
                self.numbers.insert(pointer.clone(), number);
                self.places.push(pointer);
                number
            }
        };
        json!({"$ref": format!("#/{}/{number}", self.definitions)})
    }

    fn schema(&mut self, schema: &Value) -> Option<Value> {
        let Value::Object(members) = schema else { return Some(schema.clone()) };
        let dialect = self.lexicon.dialect;
        let mut bundled = Map::new();
        for keyword in ["$ref", "$dynamicRef"] {
            if let Some(reference) = members.get(keyword).and_then(Value::as_str) {
                let alone = matches!(dialect, Dialect::OpenApi30 | Dialect::Draft07);
                if alone && keyword != "$ref" {
                    continue;
                }
                let pointer = self.lexicon.resolve(reference).ok()?;
                let target = self.refer(pointer);
                if alone {
                    return Some(target);
                }
                if bundled.is_empty() {
                    bundled.extend(target.as_object().cloned()?);
                } else {
                    bundled = Map::from_iter([("allOf".to_owned(), json!([bundled, target]))]);
                }
            }
        }
        let mut all = bundled.remove("allOf");
        for (keyword, value) in members {
            let name = keyword.as_str();
            let unknown_to_30 = NOT_IN_30.contains(&name) || name == "unevaluatedProperties";
            if dialect == Dialect::OpenApi30 && unknown_to_30 {
                continue;
            }
            let value = match value {
                Value::Array(items) if SCHEMA.contains(&name) || LIST.contains(&name) => {
                    items.iter().map(|item| self.schema(item)).collect::<Option<Value>>()?
                }
                value if SCHEMA.contains(&name) => self.schema(value)?,
                Value::Object(schemas) if MAP.contains(&name) => {
                    let mut map = Map::new();
                    for (name, schema) in schemas {
                        map.insert(name.clone(), self.schema(schema)?);
                    }
                    Value::Object(map)
                }
                value if PLAIN.contains(&name) || name == "type" => value.clone(),
                _ => continue,
            };
            if name == "allOf"
                && let Some(Value::Array(before)) = &mut all
            {
                before.extend(value.as_array().cloned().unwrap_or_default());
                continue;
            }
            bundled.insert(keyword.clone(), value);
        }
        if let Some(all) = all {
            bundled.insert("allOf".to_owned(), all);
        }
        Some(if dialect == Dialect::OpenApi30 {
            without_30(members, bundled)
        } else {
            Value::Object(bundled)
        })
    }
}

/// What OpenAPI 3.0 says in its own way, said in that of JSON Schema.
fn without_30(members: &Map<String, Value>, mut schema: Map<String, Value>) -> Value {
    for (bound, strict) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        let exclusive = schema.remove(strict) == Some(Value::Bool(true));
        if exclusive && let Some(value) = schema.remove(bound) {
            schema.insert(strict.to_owned(), value);
        }
    }
    if members.get("nullable") != Some(&Value::Bool(true)) {
        return Value::Object(schema);
    }
    let composed = ["allOf", "anyOf", "oneOf"].iter().any(|keyword| schema.contains_key(*keyword));
    if let Some(word) = schema.get_mut("type") {
        *word = json!([word.take(), "null"]);
    } else if composed {
        return json!({"anyOf": [{"type": "null"}, schema]});
    }
    Value::Object(schema)
}
