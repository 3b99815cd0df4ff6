use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::openapi;
use crate::source::Origin;

/// What a schema says of a value, as far as coverage asks: types, words, members.
///
/// Branches of unions are seen as one: a value that may be a text or an object has both types and the members
/// of the object. Null counts for nothing beside another type.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// `None` is any type; an empty set is no value at all.
    pub(super) types: Option<BTreeSet<String>>,
    pub(super) words: BTreeSet<String>,
    /// Keywords that bound a value, with what they say; of a union, those of all its branches.
    pub(super) bounds: BTreeSet<Bound>,
    pub(super) members: BTreeMap<String, Member>,
    pub(super) items: Option<Box<Shape>>,
    /// The values of a map, where the schema says anything of them.
    pub(super) values: Option<Box<Shape>>,
    /// The source says that there is something and not what.
    pub(super) silent: bool,
    pub(super) origin: Option<Origin>,
    /// Schemas that this one contains itself in.
    pub(super) cycles: BTreeSet<String>,
}

/// A keyword with its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bound {
    pub(super) keyword: &'static str,
    pub(super) value: String,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) required: bool,
    pub(super) shape: Shape,
}

impl Shape {
    /// What a schema with resolved references says; `around` is the origin of what it stands in.
    pub(super) fn of(schema: &Value, around: Option<&Origin>) -> Self {
        let mut shape = Self::read(schema, around);
        if let Some(types) = &mut shape.types
            && types.len() > 1
        {
            types.remove("null");
        }
        shape
    }

    fn read(schema: &Value, around: Option<&Origin>) -> Self {
        if schema == &Value::Bool(false) {
            return Self { types: Some(BTreeSet::new()), ..Self::default() };
        }
        let origin = Origin::of(schema).or_else(|| around.cloned());
        if let Some(reference) = openapi::reference(schema) {
            let cycles = BTreeSet::from([reference.to_owned()]);
            return Self { types: Some(BTreeSet::new()), cycles, origin, ..Self::default() };
        }

        let words = words(schema);
        let mut shape = Self {
            types: types(schema),
            silent: schema.get("x-silent") == Some(&Value::Bool(true)),
            origin: origin.clone(),
            words,
            bounds: bounds(schema),
            ..Self::default()
        };
        let required: BTreeSet<&str> = texts(schema.get("required")).collect();
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            let required = required.contains(name.as_str());
            let member = Member { required, shape: Self::of(schema, origin.as_ref()) };
            shape.members.insert(name.clone(), member);
        }
        for name in required {
            shape.members.entry(name.to_owned()).or_insert_with(|| Member {
                required: true,
                shape: Self { origin: origin.clone(), ..Self::default() },
            });
        }
        let under = |key: &str| {
            let schema = schema.get(key).filter(|schema| schema.is_object())?;
            let shape = Self::of(schema, origin.as_ref());
            (!shape.says_nothing()).then(|| Box::new(shape))
        };
        shape.items = under("items");
        shape.values = under("additionalProperties");

        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            shape = shape.and(Self::of(part, origin.as_ref()));
        }
        for union in ["oneOf", "anyOf"] {
            let branches = schema.get(union).and_then(Value::as_array).into_iter().flatten();
            let branches = branches.map(|branch| Self::of(branch, origin.as_ref()));
            if let Some(branches) = branches.reduce(Self::or) {
                shape = shape.and(branches);
            }
        }
        shape
    }

    fn says_nothing(&self) -> bool {
        self.types.is_none()
            && self.words.is_empty()
            && self.bounds.is_empty()
            && self.members.is_empty()
            && self.items.is_none()
            && self.values.is_none()
            && self.cycles.is_empty()
            && !self.silent
    }

    /// Whether it is one of these types, or may be anything.
    pub(super) fn may_be(&self, kind: &str) -> bool {
        self.types.as_ref().is_none_or(|types| types.contains(kind))
    }

    /// Both hold.
    fn and(mut self, other: Self) -> Self {
        self.types = match (self.types, other.types) {
            (None, types) | (types, None) => types,
            (Some(one), Some(other)) => Some(common(&one, &other)),
        };
        self.words.extend(other.words);
        self.bounds.extend(other.bounds);
        for (name, member) in other.members {
            match self.members.remove(&name) {
                None => self.members.insert(name, member),
                Some(own) => {
                    let required = own.required || member.required;
                    self.members.insert(name, Member { required, shape: own.shape.and(member.shape) })
                }
            };
        }
        self.items = merged(self.items, other.items, Self::and);
        self.values = merged(self.values, other.values, Self::and);
        self.silent |= other.silent;
        self.origin = self.origin.or(other.origin);
        self.cycles.extend(other.cycles);
        self
    }

    /// One of the two holds.
    pub(super) fn or(mut self, mut other: Self) -> Self {
        // A member is certain only where every branch that is an object has it.
        let (left, right) = (self.may_be("object"), other.may_be("object"));
        if right {
            for (name, member) in &mut self.members {
                member.required &= other.members.get(name).is_some_and(|other| other.required);
            }
        }
        for (name, mut member) in std::mem::take(&mut other.members) {
            match self.members.remove(&name) {
                None => {
                    member.required &= !left;
                    self.members.insert(name, member)
                }
                Some(own) => {
                    let required = own.required;
                    self.members.insert(name, Member { required, shape: own.shape.or(member.shape) })
                }
            };
        }
        self.types = match (self.types, other.types) {
            (None, _) | (_, None) => None,
            (Some(mut one), Some(other)) => {
                one.extend(other);
                Some(one)
            }
        };
        self.words.extend(other.words);
        self.bounds.extend(other.bounds);
        self.items = merged(self.items, other.items, Self::or);
        self.values = merged(self.values, other.values, Self::or);
        self.silent |= other.silent;
        self.origin = self.origin.or(other.origin);
        self.cycles.extend(other.cycles);
        self
    }

    /// The types in words.
    pub(super) fn type_names(&self) -> String {
        match &self.types {
            None => "anything".to_owned(),
            Some(types) if types.is_empty() => "nothing".to_owned(),
            Some(types) => types.iter().map(String::as_str).collect::<Vec<_>>().join(" or "),
        }
    }
}

fn merged(
    one: Option<Box<Shape>>,
    other: Option<Box<Shape>>,
    both: impl FnOnce(Shape, Shape) -> Shape,
) -> Option<Box<Shape>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Box::new(both(*one, *other))),
        (one, other) => one.or(other),
    }
}

/// The types that both sets allow; every integer is a number.
fn common(one: &BTreeSet<String>, other: &BTreeSet<String>) -> BTreeSet<String> {
    let mut common: BTreeSet<String> = one.intersection(other).cloned().collect();
    let (integer, number) = ("integer", "number");
    if (one.contains(integer) && other.contains(number)) || (one.contains(number) && other.contains(integer))
    {
        common.insert(integer.to_owned());
    }
    common
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

const BOUNDS: [&str; 14] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

fn bounds(schema: &Value) -> BTreeSet<Bound> {
    let text = |value: &Value| match value {
        // One number has several spellings.
        Value::Number(number) => number.as_f64().unwrap_or_default().to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let stated =
        BOUNDS.iter().filter_map(|&keyword| Some(Bound { keyword, value: text(schema.get(keyword)?) }));
    let closed = |keyword, is_closed: bool| is_closed.then(|| Bound { keyword, value: "closed".to_owned() });
    let members = schema.get("additionalProperties") == Some(&Value::Bool(false));
    // A source that names a form in prose, and breaks it in its own example, has it as a remark.
    let remarked =
        schema.get("x-format").and_then(Value::as_str).filter(|form| form.eq_ignore_ascii_case("uuid"));
    let remarked = remarked.map(|form| Bound { keyword: "format", value: form.to_ascii_lowercase() });
    stated
        .chain(closed(
            "enum",
            schema.get("enum").and_then(Value::as_array).is_some_and(|own| own.iter().any(Value::is_string)),
        ))
        .chain(closed("additionalProperties", members))
        .chain(remarked)
        .collect()
}

/// The words that a schema names, whether it closes the list (`enum`, `const`) or not. Beside a closed list an open
/// one says nothing: a word that only the open one has is none that may stand there.
fn words(schema: &Value) -> BTreeSet<String> {
    let word = |value: &Value| match value {
        Value::Null => None,
        Value::String(word) => Some(word.clone()),
        other => Some(other.to_string()),
    };
    let listed = |lists: &[&str]| -> BTreeSet<String> {
        let listed = lists.iter().filter_map(|key| schema.get(*key)?.as_array()).flatten();
        listed.filter_map(word).collect()
    };
    let mut closed = listed(&["enum"]);
    closed.extend(schema.get("const").and_then(word));
    if closed.is_empty() { listed(&["x-words", "x-known-values"]) } else { closed }
}

fn types(schema: &Value) -> Option<BTreeSet<String>> {
    match schema.get("type") {
        Some(Value::String(kind)) => return Some(BTreeSet::from([kind.clone()])),
        Some(Value::Array(_)) => return Some(texts(schema.get("type")).map(str::to_owned).collect()),
        _ => {}
    }
    // A schema without a type still tells it by its words or by what it says of an object or a list.
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let kinds: BTreeSet<String> =
        listed.chain(schema.get("const")).map(openapi::type_of).map(str::to_owned).collect();
    if !kinds.is_empty() {
        return Some(kinds);
    }
    let implied = [("properties", "object"), ("required", "object"), ("items", "array")];
    let implied = implied.iter().find(|(key, _)| schema.get(key).is_some())?;
    // Beside a union the branches tell it.
    let union = ["oneOf", "anyOf", "allOf"].iter().any(|key| schema.get(key).is_some());
    (!union).then(|| BTreeSet::from([implied.1.to_owned()]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(schema: &Value) -> Shape {
        Shape::of(schema, None)
    }

    #[test]
    fn union_has_the_types_of_its_branches_and_the_members_of_its_objects() {
        let shape = shape(&json!({"oneOf": [
            {"type": "string"},
            {"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "string"}, "b": {}}},
            {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
            {"type": "null"},
        ]}));
        assert_eq!(shape.type_names(), "object or string");
        assert!(shape.members["a"].required && !shape.members["b"].required);
        assert_eq!(shape.members["a"].shape.type_names(), "integer or string");
    }

    #[test]
    fn text_beside_an_object_makes_no_member_optional() {
        let object = json!({"type": "object", "required": ["a"]});
        for branches in [json!([{"type": "string"}, object]), json!([object, {"type": "string"}])] {
            assert!(shape(&json!({"anyOf": branches})).members["a"].required);
        }
    }

    #[test]
    fn parts_of_all_of_hold_together() {
        let shape = shape(&json!({"allOf": [
            {"type": "object", "properties": {"a": {"type": "number"}}},
            {"required": ["a"], "properties": {"a": {"type": "integer"}}},
        ]}));
        assert!(shape.members["a"].required);
        assert_eq!(shape.members["a"].shape.type_names(), "integer");
    }

    #[test]
    fn null_counts_only_alone() {
        assert_eq!(shape(&json!({"type": ["string", "null"]})).type_names(), "string");
        assert_eq!(shape(&json!({"anyOf": [{"type": "null"}, {"type": "integer"}]})).type_names(), "integer");
        assert_eq!(shape(&json!({"type": "null"})).type_names(), "null");
    }

    #[test]
    fn words_are_found_in_each_of_their_spellings() {
        for schema in [
            json!({"enum": ["a", "b", null]}),
            json!({"type": "string", "x-words": ["a", "b"]}),
            json!({"type": "string", "x-known-values": ["a", "b"]}),
            json!({"oneOf": [{"const": "a"}, {"const": "b"}]}),
        ] {
            let shape = shape(&schema);
            assert_eq!(shape.words.iter().collect::<Vec<_>>(), ["a", "b"], "{schema}");
            assert_eq!(shape.type_names(), "string", "{schema}");
        }
    }

    #[test]
    fn closed_list_counts_and_an_open_one_beside_it_does_not() {
        let schema = json!({"type": "string", "enum": ["a"], "x-known-values": ["a", "b"]});
        assert_eq!(shape(&schema).words.iter().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn required_member_without_a_schema_is_a_member() {
        assert!(shape(&json!({"type": "object", "required": ["a"]})).members["a"].required);
    }
}
