//! What a message may look like, read from the schema of its type.

use fleetwire_protocol::wire::schema::{finish, generator};
use schemars::JsonSchema;
use schemars::generate::Contract;
use serde_json::{Map, Value, json};

/// How deep objects stand in one another before anything may stand there.
const DEEPEST: usize = 32;

/// The values that may stand at a place: those of any of the kinds.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    pub(super) kinds: Vec<Kind>,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Null,
    Boolean,
    /// With the bounds of its Rust type.
    Integer {
        least: i128,
        greatest: i128,
    },
    Number,
    /// With the words that are known, where it is one.
    Text(Vec<String>),
    /// The digits of a number in a text.
    Digits,
    List(Box<Shape>),
    Object(Vec<Member>, Open),
    Any,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    /// Other names under which it is read.
    pub(super) aliases: Vec<String>,
    pub(super) required: bool,
    pub(super) shape: Shape,
}

/// What an object says of members that it does not name.
#[derive(Debug, Clone)]
pub(super) enum Open {
    /// Nothing: who reads them ignores them.
    Silent,
    /// They may be anything.
    Anything,
    /// They have this shape.
    Only(Box<Shape>),
}

impl Shape {
    pub(super) fn of<T: JsonSchema>(contract: &Contract) -> Self {
        let mut generator = generator(contract.clone());
        let mut schema = T::json_schema(&mut generator);
        finish(contract, &mut schema);
        let document = json!({ "components": { "schemas": generator.take_definitions(true) } });
        Self::read(&document, schema.as_value(), 0)
    }

    fn read(document: &Value, schema: &Value, depth: usize) -> Self {
        if depth > DEEPEST {
            return Self { kinds: vec![Kind::Any] };
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = document.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
            return Self::read(document, target, depth + 1);
        }
        let mut kinds = Vec::new();
        for keyword in ["anyOf", "oneOf"] {
            let branches = schema.get(keyword).and_then(Value::as_array).into_iter().flatten();
            kinds.extend(branches.flat_map(|branch| Self::read(document, branch, depth + 1).kinds));
        }
        let Some(node) = schema.as_object() else { return Self { kinds: vec![Kind::Any] } };
        match node.get("type") {
            Some(Value::String(name)) => kinds.push(Kind::read(document, node, name, depth)),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                kinds.extend(names.map(|name| Kind::read(document, node, name, depth)));
            }
            _ if kinds.is_empty() => kinds.push(Kind::Any),
            _ => {}
        }
        Self { kinds }
    }

    /// Hands over this shape and each one below it, with its place: a pointer with `*` for every element of a
    /// list. Members that an object leaves open have no place.
    pub(super) fn each<'a>(&'a self, place: &str, visit: &mut dyn FnMut(&str, &'a Self)) {
        visit(place, self);
        for kind in &self.kinds {
            match kind {
                Kind::List(element) => element.each(&format!("{place}/*"), visit),
                Kind::Object(members, _) => {
                    for member in members {
                        member.shape.each(&format!("{place}/{}", member.name), visit);
                    }
                }
                _ => {}
            }
        }
    }

    /// The shape at a place.
    pub(super) fn at(&self, place: &str) -> Option<&Self> {
        let mut found = None;
        self.each("", &mut |here, shape| {
            if here == place && found.is_none() {
                found = Some(shape);
            }
        });
        found
    }
}

impl Kind {
    fn read(document: &Value, node: &Map<String, Value>, name: &str, depth: usize) -> Self {
        let bound = |keyword: &str| node.get(keyword).and_then(whole);
        match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer {
                least: bound("minimum").unwrap_or(i64::MIN.into()),
                greatest: bound("maximum").unwrap_or(i64::MAX.into()),
            },
            "number" => Self::Number,
            // The types state one pattern: that of digits.
            "string" if node.contains_key("pattern") => Self::Digits,
            "string" => {
                let known = node.get("x-known-values").and_then(Value::as_array).into_iter().flatten();
                Self::Text(known.filter_map(Value::as_str).map(str::to_owned).collect())
            }
            "array" => {
                let element = node.get("items").map(|items| Shape::read(document, items, depth + 1));
                Self::List(Box::new(element.unwrap_or_default()))
            }
            "object" => Self::Object(members(document, node, depth), open(document, node, depth)),
            _ => Self::Any,
        }
    }
}

fn whole(bound: &Value) -> Option<i128> {
    bound.as_u64().map(i128::from).or_else(|| bound.as_i64().map(i128::from))
}

fn open(document: &Value, node: &Map<String, Value>, depth: usize) -> Open {
    match node.get("additionalProperties") {
        None | Some(Value::Bool(false)) => Open::Silent,
        Some(Value::Object(schema)) if !schema.is_empty() => {
            Open::Only(Box::new(Shape::read(document, &Value::Object(schema.clone()), depth + 1)))
        }
        Some(_) => Open::Anything,
    }
}

fn members(document: &Value, node: &Map<String, Value>, depth: usize) -> Vec<Member> {
    let names = |list: Option<&Value>| -> Vec<String> {
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut required = names(node.get("required"));
    // One of several names is required: the first is its own, the others are aliases.
    for choice in node.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        let branches = choice.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        required.extend(branches.flat_map(|branch| names(branch.get("required"))).take(1));
    }
    let Some(properties) = node.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let alias_of = |schema: &Value| schema.get("x-alias-of").and_then(Value::as_str).map(str::to_owned);
    let own = properties.iter().filter(|(_, schema)| alias_of(schema).is_none());
    let member = |(name, schema): (&String, &Value)| Member {
        name: name.clone(),
        aliases: properties
            .iter()
            .filter(|(_, other)| alias_of(other).as_ref() == Some(name))
            .map(|(alias, _)| alias.clone())
            .collect(),
        required: required.contains(name),
        shape: Shape::read(document, schema, depth + 1),
    };
    own.map(member).collect()
}
