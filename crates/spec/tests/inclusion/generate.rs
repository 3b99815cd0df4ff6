//! Schemas made from the keywords that are modelled, and documents that are telling for a pair of them.

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::{Map, Value, json};

pub(crate) struct Random(TestRng);

/// What the schemas are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Types, members, items, values, bounds, lengths, patterns, formats, unions, references.
    A,
    /// Negation, conditions, `contains`, patterns of names, dependencies, `unevaluated…`, recursion besides.
    B,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Patterns with texts that match, or nearly do.
const PATTERNS: [(&str, [&str; 3]); 9] = [
    ("^a", ["a", "ab", "ba"]),
    ("b$", ["b", "ab", "ba"]),
    ("^[a-c]+$", ["abc", "a", "abd"]),
    ("^\\d{2,3}$", ["12", "123", "1234"]),
    ("x|y", ["x", "aya", "z"]),
    ("^.{2}$", ["zz", "ab", "abc"]),
    ("[A-Z]", ["A", "aB", "ab"]),
    ("^(foo|bar)$", ["foo", "bar", "foobar"]),
    ("^[^a]*$", ["bcd", "", "bad"]),
];
const NAME_PATTERNS: [&str; 4] = ["^a", "^[a-b]$", "^x-", "c"];
const FORMATS: [(&str, [&str; 2]); 5] = [
    ("ipv4", ["10.0.0.1", "10.0.0"]),
    ("ipv6", ["::1", "::g"]),
    ("date", ["2024-02-29", "2023-02-29"]),
    ("uuid", ["00000000-0000-4000-8000-000000000000", "0000"]),
    ("date-time", ["2024-01-01T00:00:00Z", "2024-01-01"]),
];

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [0_u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        if limit == 0 { 0 } else { usize::try_from(self.0.next_u64() % limit as u64).unwrap() }
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn number(&mut self) -> Value {
        self.pick(&[
            json!(0),
            json!(1),
            json!(2),
            json!(3),
            json!(5),
            json!(-1),
            json!(0.5),
            json!(1.5),
            json!(10),
            json!(2.0),
            json!(1e3),
        ])
    }

    fn scalar(&mut self) -> Value {
        match self.below(5) {
            0 => Value::Null,
            1 => json!(self.percent(50)),
            2 => self.number(),
            _ => {
                let words = ["a", "b", "ab", "foo", "x", "", "12", "red"];
                json!(self.pick(&words))
            }
        }
    }

    /// A schema with at most so many levels.
    pub(crate) fn schema(&mut self, tier: Tier, depth: usize) -> Value {
        if self.percent(3) {
            return json!(self.percent(80));
        }
        let mut schema = Map::new();
        let kind = self.below(if depth == 0 { 4 } else { 9 });
        match kind {
            0 => self.enumeration(&mut schema),
            1 => self.number_schema(&mut schema),
            2 | 3 => self.string_schema(&mut schema),
            4 => self.array_schema(tier, depth, &mut schema),
            5 | 6 => self.object_schema(tier, depth, &mut schema),
            7 => self.logic(tier, depth, &mut schema),
            _ => {
                self.object_schema(tier, depth, &mut schema);
                self.logic(tier, depth, &mut schema);
            }
        }
        if tier == Tier::B && depth > 0 && self.percent(25) {
            self.tier_b(depth, &mut schema);
        }
        if self.percent(8) {
            let types = ["null", "boolean", "integer", "number", "string", "array", "object"];
            let (one, other) = (self.pick(&types), self.pick(&types));
            schema.insert("type".to_owned(), if one == other { json!(one) } else { json!([one, other]) });
        }
        Value::Object(schema)
    }

    fn enumeration(&mut self, schema: &mut Map<String, Value>) {
        if self.percent(30) {
            let value = self.scalar();
            schema.insert("const".to_owned(), value);
        } else {
            let count = 1 + self.below(4);
            let mut values: Vec<Value> = Vec::new();
            for _ in 0..count {
                let value = self.scalar();
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            schema.insert("enum".to_owned(), json!(values));
        }
    }

    fn number_schema(&mut self, schema: &mut Map<String, Value>) {
        if self.percent(85) {
            let word = self.pick(&["integer", "number"]);
            schema.insert("type".to_owned(), json!(word));
        }
        for (keyword, chance) in
            [("minimum", 40), ("maximum", 40), ("exclusiveMinimum", 15), ("exclusiveMaximum", 15)]
        {
            if self.percent(chance) {
                let value = self.number();
                schema.insert(keyword.to_owned(), value);
            }
        }
        if self.percent(15) {
            let step = self.pick(&[json!(2), json!(3), json!(0.5), json!(5)]);
            schema.insert("multipleOf".to_owned(), step);
        }
    }

    fn string_schema(&mut self, schema: &mut Map<String, Value>) {
        if self.percent(85) {
            schema.insert("type".to_owned(), json!("string"));
        }
        if self.percent(30) {
            let least = self.below(4);
            schema.insert("minLength".to_owned(), json!(least));
        }
        if self.percent(30) {
            let most = self.below(5);
            schema.insert("maxLength".to_owned(), json!(most));
        }
        if self.percent(40) {
            let (pattern, _) = self.pick(&PATTERNS);
            schema.insert("pattern".to_owned(), json!(pattern));
        }
        if self.percent(15) {
            let (format, _) = self.pick(&FORMATS);
            schema.insert("format".to_owned(), json!(format));
        }
    }

    fn array_schema(&mut self, tier: Tier, depth: usize, schema: &mut Map<String, Value>) {
        if self.percent(85) {
            schema.insert("type".to_owned(), json!("array"));
        }
        if self.percent(70) {
            let items = self.schema(tier, depth - 1);
            schema.insert("items".to_owned(), items);
        }
        if self.percent(20) {
            let count = 1 + self.below(2);
            let items: Vec<_> = (0..count).map(|_| self.schema(tier, depth - 1)).collect();
            schema.insert("prefixItems".to_owned(), json!(items));
        }
        if self.percent(30) {
            let least = self.below(3);
            schema.insert("minItems".to_owned(), json!(least));
        }
        if self.percent(30) {
            let most = self.below(4);
            schema.insert("maxItems".to_owned(), json!(most));
        }
        if self.percent(15) {
            schema.insert("uniqueItems".to_owned(), json!(true));
        }
    }

    fn object_schema(&mut self, tier: Tier, depth: usize, schema: &mut Map<String, Value>) {
        if self.percent(85) {
            schema.insert("type".to_owned(), json!("object"));
        }
        let mut properties = Map::new();
        for name in NAMES {
            if self.percent(45) {
                let member = self.schema(tier, depth - 1);
                properties.insert(name.to_owned(), member);
            }
        }
        if !properties.is_empty() {
            schema.insert("properties".to_owned(), Value::Object(properties));
        }
        if self.percent(60) {
            let names: Vec<_> = NAMES.into_iter().filter(|_| self.percent(30)).collect();
            schema.insert("required".to_owned(), json!(names));
        }
        if self.percent(35) {
            let additional = if self.percent(60) { json!(false) } else { self.schema(tier, depth - 1) };
            schema.insert("additionalProperties".to_owned(), additional);
        }
        if self.percent(8) {
            let least = self.below(4);
            schema.insert("minProperties".to_owned(), json!(least));
        }
        if self.percent(8) {
            let most = self.below(4);
            schema.insert("maxProperties".to_owned(), json!(most));
        }
    }

    fn logic(&mut self, tier: Tier, depth: usize, schema: &mut Map<String, Value>) {
        let keyword = self.pick(&["allOf", "anyOf", "oneOf", "oneOf", "$ref"]);
        if keyword == "$ref" {
            let name = self.pick(&["first", "second"]);
            schema.insert("$ref".to_owned(), json!(format!("#/$defs/{name}")));
            return;
        }
        let count = 1 + self.below(3);
        let branches: Vec<_> = (0..count).map(|_| self.schema(tier, depth - 1)).collect();
        schema.insert(keyword.to_owned(), json!(branches));
    }

    fn tier_b(&mut self, depth: usize, schema: &mut Map<String, Value>) {
        let inner = |random: &mut Self| random.schema(Tier::B, depth - 1);
        match self.below(11) {
            0 | 1 => {
                let not = inner(self);
                schema.insert("not".to_owned(), not);
            }
            2 => {
                for keyword in ["if", "then", "else"] {
                    if keyword == "if" || self.percent(70) {
                        let part = inner(self);
                        schema.insert(keyword.to_owned(), part);
                    }
                }
            }
            3 => {
                let contains = inner(self);
                schema.insert("contains".to_owned(), contains);
                if self.percent(40) {
                    let least = self.below(3);
                    schema.insert("minContains".to_owned(), json!(least));
                }
                if self.percent(40) {
                    let most = self.below(3);
                    schema.insert("maxContains".to_owned(), json!(most));
                }
            }
            4 | 5 => {
                let mut matching = Map::new();
                for _ in 0..1 + self.below(2) {
                    let pattern = self.pick(&NAME_PATTERNS);
                    matching.insert(pattern.to_owned(), inner(self));
                }
                schema.insert("patternProperties".to_owned(), Value::Object(matching));
            }
            6 => {
                let names = self.pick(&[
                    json!({"pattern": "^a"}),
                    json!({"maxLength": 1}),
                    json!({"enum": ["a", "b", "zz"]}),
                    json!({"minLength": 2}),
                ]);
                schema.insert("propertyNames".to_owned(), names);
            }
            7 => {
                let (one, other) = (self.pick(&NAMES), self.pick(&NAMES));
                schema.insert("dependentRequired".to_owned(), json!({one: [other]}));
            }
            8 => {
                let (one, part) = (self.pick(&NAMES), inner(self));
                schema.insert("dependentSchemas".to_owned(), json!({one: part}));
            }
            9 => {
                let part = if self.percent(60) { json!(false) } else { inner(self) };
                schema.insert("unevaluatedProperties".to_owned(), part);
            }
            _ => {
                let part = if self.percent(60) { json!(false) } else { inner(self) };
                schema.insert("unevaluatedItems".to_owned(), part);
            }
        }
    }

    /// A whole document: a schema with the definitions that it refers to.
    pub(crate) fn document(&mut self, tier: Tier) -> Value {
        let depth = 1 + self.below(3);
        let mut schema = match self.schema(tier, depth) {
            Value::Object(schema) => schema,
            flag => Map::from_iter([("allOf".to_owned(), json!([flag]))]),
        };
        // The second definition may refer to nothing, the first to the second, so that references end. In tier B one
        // may contain itself.
        let second = without_references(self.schema(tier, 1));
        let mut first = self.schema(tier, 1);
        rename(&mut first, "#/$defs/first", "#/$defs/second");
        if tier == Tier::B && self.percent(30) {
            first = json!({"type": "object", "properties": {
                "a": self.schema(Tier::A, 0), "b": {"anyOf": [{"$ref": "#/$defs/first"}, {"type": "null"}]},
            }});
        }
        schema.insert("$defs".to_owned(), json!({"first": first, "second": second}));
        Value::Object(schema)
    }

    /// Two documents of which one may be in the other.
    pub(crate) fn pair(&mut self, tier: Tier) -> (Value, Value) {
        let one = self.document(tier);
        // Schemas that differ in one thing are the most telling.
        let other = if self.percent(70) { self.mutated(&one) } else { self.document(tier) };
        if self.percent(50) { (one, other) } else { (other, one) }
    }

    /// The same with one thing changed.
    fn mutated(&mut self, document: &Value) -> Value {
        let mut places = Vec::new();
        collect(document, String::new(), &mut places);
        let mut mutated = document.clone();
        for _ in 0..1 + self.below(2) {
            let place = self.pick(&places);
            let Some(Value::Object(schema)) = mutated.pointer_mut(&place) else { continue };
            let keywords: Vec<_> = schema.keys().filter(|key| *key != "$defs").cloned().collect();
            let replacement = match self.below(4) {
                0 if !keywords.is_empty() => {
                    let keyword = self.pick(&keywords);
                    schema.remove(&keyword);
                    continue;
                }
                1 => self.schema(Tier::A, 0),
                _ if !keywords.is_empty() => {
                    let keyword = self.pick(&keywords);
                    let Some(value) = schema.get_mut(&keyword) else { continue };
                    self.nudge(value);
                    continue;
                }
                _ => self.schema(Tier::A, 0),
            };
            if let Value::Object(more) = replacement {
                schema.extend(more);
            }
        }
        mutated
    }

    fn nudge(&mut self, value: &mut Value) {
        match value {
            Value::Number(number) => {
                if let Some(whole) = number.as_u64() {
                    *value = json!(if self.percent(50) { whole + 1 } else { whole.saturating_sub(1).max(1) });
                }
            }
            Value::Array(items) if !items.is_empty() => {
                let index = self.below(items.len());
                if items.len() > 1 {
                    items.remove(index);
                }
            }
            Value::Bool(flag) => *flag = !*flag,
            Value::String(word) => match word.as_str() {
                "integer" => *value = json!("number"),
                "number" => *value = json!("integer"),
                _ => {}
            },
            _ => {}
        }
    }

    /// A document that is telling for the two schemas.
    pub(crate) fn sample(&mut self, one: &Value, other: &Value) -> Value {
        let root = if self.percent(70) { one } else { other };
        self.sample_of(root, root, 4)
    }

    fn sample_of(&mut self, root: &Value, schema: &Value, depth: usize) -> Value {
        let Value::Object(members) = schema else { return self.anything(depth) };
        if depth == 0 || self.percent(4) {
            return self.anything(depth);
        }
        if let Some(value) = members.get("const")
            && self.percent(90)
        {
            return value.clone();
        }
        if let Some(Value::Array(values)) = members.get("enum")
            && !values.is_empty()
            && self.percent(90)
        {
            return self.pick(values);
        }
        // One of the schemas that hold for the same value, or this one's own keywords.
        let mut others: Vec<Value> = Vec::new();
        for keyword in ["allOf", "anyOf", "oneOf"] {
            others.extend(members.get(keyword).and_then(Value::as_array).cloned().unwrap_or_default());
        }
        for keyword in ["if", "then", "else", "not"] {
            others.extend(members.get(keyword).cloned());
        }
        if let Some(reference) = members.get("$ref").and_then(Value::as_str)
            && let Some(target) = root.pointer(&reference[1..])
        {
            others.push(target.clone());
        }
        let own =
            ["properties", "items", "prefixItems", "type", "minLength", "pattern", "minimum", "required"];
        let own = members.keys().any(|key| own.contains(&key.as_str()));
        if !others.is_empty() && (!own || self.percent(40)) {
            let chosen = self.pick(&others);
            let inner = self.sample_of(root, &chosen, depth);
            if !own {
                return inner;
            }
            if let (Value::Object(inner), Value::Object(mut object)) =
                (inner.clone(), self.object_of(root, members, depth))
            {
                object.extend(inner);
                return Value::Object(object);
            }
            return inner;
        }
        let kind = match members.get("type") {
            Some(Value::String(word)) => word.clone(),
            Some(Value::Array(words)) => self.pick(words).as_str().unwrap().to_owned(),
            _ => {
                let guess = if members.contains_key("properties") || members.contains_key("required") {
                    "object"
                } else if members.contains_key("items") || members.contains_key("contains") {
                    "array"
                } else if members.contains_key("pattern") || members.contains_key("minLength") {
                    "string"
                } else {
                    "number"
                };
                guess.to_owned()
            }
        };
        match kind.as_str() {
            "object" => self.object_of(root, members, depth),
            "array" => self.array_of(root, members, depth),
            "string" => self.text_of(members),
            "integer" | "number" => self.number_of(members),
            "boolean" => json!(self.percent(50)),
            "null" => Value::Null,
            _ => self.anything(depth),
        }
    }

    fn object_of(&mut self, root: &Value, members: &Map<String, Value>, depth: usize) -> Value {
        let mut object = Map::new();
        let required: Vec<_> = members
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let properties = members.get("properties").and_then(Value::as_object);
        for name in NAMES {
            let chance = if required.contains(&name) { 95 } else { 35 };
            if self.percent(chance) {
                let schema = properties.and_then(|properties| properties.get(name));
                let value = match schema.or(members.get("additionalProperties")) {
                    Some(schema) => self.sample_of(root, schema, depth - 1),
                    None => self.anything(depth - 1),
                };
                object.insert(name.to_owned(), value);
            }
        }
        if self.percent(20) {
            let name = self.pick(&["z", "aa", "x-y", "zz", "cc", ""]);
            let mut schemas: Vec<Value> = members
                .get("patternProperties")
                .and_then(Value::as_object)
                .map(|schemas| schemas.values().cloned().collect())
                .unwrap_or_default();
            schemas.extend(members.get("additionalProperties").cloned());
            let value = if schemas.is_empty() {
                self.anything(1)
            } else {
                let schema = self.pick(&schemas);
                self.sample_of(root, &schema, depth - 1)
            };
            object.insert(name.to_owned(), value);
        }
        Value::Object(object)
    }

    fn array_of(&mut self, root: &Value, members: &Map<String, Value>, depth: usize) -> Value {
        let bound = |keyword: &str| members.get(keyword).and_then(Value::as_u64).map(|count| count as usize);
        let least = bound("minItems").unwrap_or(0);
        let most = bound("maxItems").unwrap_or(least + 3).max(least);
        let length = match self.below(10) {
            0 => least.saturating_sub(1),
            1 => most + 1,
            _ => least + self.below(most - least + 1),
        };
        let prefix = members.get("prefixItems").and_then(Value::as_array);
        let items: Vec<_> = (0..length)
            .map(|index| {
                let schema = prefix.and_then(|prefix| prefix.get(index)).or(members.get("items"));
                let schema = if self.percent(30) { members.get("contains").or(schema) } else { schema };
                match schema {
                    Some(schema) => self.sample_of(root, schema, depth - 1),
                    None => self.anything(depth - 1),
                }
            })
            .collect();
        json!(items)
    }

    fn text_of(&mut self, members: &Map<String, Value>) -> Value {
        if let Some(pattern) = members.get("pattern").and_then(Value::as_str)
            && self.percent(70)
            && let Some((_, texts)) = PATTERNS.iter().find(|(own, _)| *own == pattern)
        {
            return json!(self.pick(texts));
        }
        if let Some(format) = members.get("format").and_then(Value::as_str)
            && self.percent(80)
            && let Some((_, texts)) = FORMATS.iter().find(|(own, _)| *own == format)
        {
            return json!(self.pick(texts));
        }
        let bound = |keyword: &str| members.get(keyword).and_then(Value::as_u64).map(|count| count as usize);
        let least = bound("minLength").unwrap_or(0);
        let most = bound("maxLength").unwrap_or(least + 3).max(least);
        let length = match self.below(10) {
            0 => least.saturating_sub(1),
            1 => most + 1,
            _ => least + self.below(most - least + 1),
        };
        let letters = ['a', 'b', 'c', 'A', '1', '2', 'x', 'é', '😀'];
        json!((0..length).map(|_| self.pick(&letters)).collect::<String>())
    }

    fn number_of(&mut self, members: &Map<String, Value>) -> Value {
        let bounds: Vec<f64> = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]
            .iter()
            .filter_map(|keyword| members.get(*keyword)?.as_f64())
            .collect();
        if bounds.is_empty() {
            return self.number();
        }
        let near = self.pick(&bounds) + self.pick(&[0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 10.0, -10.0, 0.25]);
        if near.fract() == 0.0 && self.percent(70) { json!(near as i64) } else { json!(near) }
    }

    fn anything(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 5 } else { 8 }) {
            5 => json!([]),
            6 => json!({}),
            7 => {
                let (item, name) = (self.scalar(), self.pick(&NAMES));
                if self.percent(50) { json!([item]) } else { json!({name: item}) }
            }
            _ => self.scalar(),
        }
    }

    /// The same document with one value changed.
    pub(crate) fn nudged(&mut self, document: &Value) -> Value {
        let mut nudged = document.clone();
        match &mut nudged {
            Value::Object(members) => {
                let names: Vec<_> = members.keys().cloned().collect();
                match self.below(4) {
                    0 if !names.is_empty() => {
                        let name = self.pick(&names);
                        members.remove(&name);
                    }
                    1 | 2 if !names.is_empty() => {
                        let name = self.pick(&names);
                        if let Some(value) = members.get_mut(&name) {
                            *value = self.nudged(&value.clone());
                        }
                    }
                    _ => {
                        let (name, value) = (self.pick(&NAMES), self.scalar());
                        members.insert(name.to_owned(), value);
                    }
                }
            }
            Value::Array(items) if !items.is_empty() => {
                let index = self.below(items.len());
                match self.below(3) {
                    0 => {
                        items.remove(index);
                    }
                    1 => items.push(items[index].clone()),
                    _ => items[index] = self.nudged(&items[index].clone()),
                }
            }
            _ => nudged = self.scalar(),
        }
        nudged
    }
}

fn collect(schema: &Value, at: String, places: &mut Vec<String>) {
    let Value::Object(members) = schema else { return };
    for keyword in ["items", "additionalProperties", "not", "contains", "if", "then", "else"] {
        if let Some(inner) = members.get(keyword) {
            collect(inner, format!("{at}/{keyword}"), places);
        }
    }
    for keyword in ["properties", "patternProperties", "dependentSchemas", "$defs"] {
        for (name, inner) in members.get(keyword).and_then(Value::as_object).into_iter().flatten() {
            collect(inner, format!("{at}/{keyword}/{name}"), places);
        }
    }
    for keyword in ["allOf", "anyOf", "oneOf", "prefixItems"] {
        for (index, inner) in members.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            collect(inner, format!("{at}/{keyword}/{index}"), places);
        }
    }
    places.push(at);
}

fn rename(schema: &mut Value, from: &str, to: &str) {
    match schema {
        Value::String(text) if text == from => *text = to.to_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, from, to)),
        Value::Object(members) => members.values_mut().for_each(|member| rename(member, from, to)),
        _ => {}
    }
}

fn without_references(mut schema: Value) -> Value {
    match &mut schema {
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_references(item.take())),
        Value::Object(members) => {
            members.remove("$ref");
            members.values_mut().for_each(|member| *member = without_references(member.take()));
        }
        _ => {}
    }
    schema
}
