use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use serde_json::Value;

use super::number::Decimal;
use super::types::Types;

/// A JSON value as JSON Schema compares it: numbers by value, objects without order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Null,
    Bool(bool),
    Number(Decimal),
    /// A number beyond what a double reaches, as it is written.
    Vast(String),
    Text(String),
    Array(Vec<Key>),
    Object(BTreeMap<String, Key>),
}

impl Key {
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => match Decimal::from_number(number) {
                Some(decimal) => Self::Number(decimal),
                None => Self::Vast(number.to_string()),
            },
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::Array(items.iter().map(Self::of).collect()),
            Value::Object(members) => {
                Self::Object(members.iter().map(|(name, value)| (name.clone(), Self::of(value))).collect())
            }
        }
    }
}

/// The values of an `enum` or a `const`.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    by_key: BTreeMap<Key, Value>,
    types: Types,
}

impl Values {
    pub(crate) fn new(values: impl IntoIterator<Item = Value>) -> Self {
        let by_key: BTreeMap<Key, Value> = values.into_iter().map(|value| (Key::of(&value), value)).collect();
        let types = by_key.values().fold(Types::NONE, |types, value| types | Types::of(value));
        Self { by_key, types }
    }

    pub(crate) fn contains(&self, value: &Value) -> bool {
        self.by_key.contains_key(&Key::of(value))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.by_key.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn types(&self) -> Types {
        self.types
    }

    /// The types of which every value is here.
    pub(crate) fn exhausted(&self) -> Types {
        let mut types = Types::NONE;
        if self.by_key.contains_key(&Key::Null) {
            types = types | Types::NULL;
        }
        if self.by_key.contains_key(&Key::Bool(false)) && self.by_key.contains_key(&Key::Bool(true)) {
            types = types | Types::BOOLEAN;
        }
        types
    }

    pub(crate) fn is_disjoint(&self, other: &Self) -> bool {
        let (few, many) = if self.len() <= other.len() { (self, other) } else { (other, self) };
        !few.by_key.keys().any(|key| many.by_key.contains_key(key))
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut by_key = self.by_key.clone();
        by_key.extend(other.by_key.iter().map(|(key, value)| (key.clone(), value.clone())));
        Self { by_key, types: self.types | other.types }
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.by_key.keys().eq(other.by_key.keys())
    }
}

impl Eq for Values {}

impl Hash for Values {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        for key in self.by_key.keys() {
            key.hash(state);
        }
    }
}
