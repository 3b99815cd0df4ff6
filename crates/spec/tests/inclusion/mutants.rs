//! Schemas as people write them, changed at random: every answer is held against documents that `jsonschema` judges,
//! and what OpenAPI 3.0 says in its own way is said to it in that of JSON Schema by a translation of this test's own.

use std::sync::Arc;

use fleetwire_spec::document::Dialect;
use fleetwire_spec::inclusion::{Inclusion, Prover, Settings};
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use crate::generate::Random;

/// The seed. `SPEC_MUTANTS_SEED` and `SPEC_MUTANTS_PAIRS` ask for another one, or for more pairs.
const SEED: u64 = 0x0a11_ce5e;
const PAIRS: usize = 300;
const SAMPLES: usize = 60;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What all of the dialects can say: a schema, and documents that it accepts.
fn common() -> Vec<(Value, Vec<Value>)> {
    vec![
        (
            json!({
                "type": "object",
                "required": ["id", "amount", "currency"],
                "properties": {
                    "id": {"type": "string", "pattern": "^ch_[0-9a-z]{3,8}$"},
                    "amount": {"type": "integer", "minimum": 1, "maximum": 99_999_999},
                    "currency": {"type": "string", "enum": ["eur", "usd", "gbp"]},
                    "fee": {"type": "number", "minimum": 0, "multipleOf": 0.5},
                    "metadata": {"type": "object", "maxProperties": 3,
                        "additionalProperties": {"type": "string", "maxLength": 4}},
                    "created": {"type": "string", "format": "date-time"},
                },
            }),
            vec![
                json!({"id": "ch_1a2", "amount": 1, "currency": "eur"}),
                json!({"id": "ch_zzzz", "amount": 250, "currency": "usd", "fee": 2.5,
                    "metadata": {"k": "v"}, "created": "2024-05-01T10:00:00Z"}),
            ],
        ),
        (
            json!({
                "oneOf": [
                    {"type": "object", "required": ["kind", "to"], "properties": {
                        "kind": {"type": "string", "enum": ["email"]}, "to": {"type": "string", "minLength": 3},
                        "cc": {"type": "array", "items": {"type": "string"}, "maxItems": 2, "uniqueItems": true}}},
                    {"type": "object", "required": ["kind", "phone"], "properties": {
                        "kind": {"type": "string", "enum": ["sms"]},
                        "phone": {"type": "string", "pattern": "^\\+[0-9]{2,4}$"}}},
                    {"type": "object", "required": ["kind"], "additionalProperties": false, "properties": {
                        "kind": {"type": "string", "enum": ["none", "off"]}}},
                ],
            }),
            vec![
                json!({"kind": "email", "to": "a@b", "cc": ["x"]}),
                json!({"kind": "sms", "phone": "+123"}),
                json!({"kind": "off"}),
            ],
        ),
        (
            json!({
                "allOf": [
                    {"type": "object", "required": ["name"], "properties": {
                        "name": {"type": "string", "minLength": 1, "maxLength": 6}, "tag": {"type": "string"}}},
                    {"type": "object", "required": ["id"], "properties": {
                        "id": {"type": "integer"}, "parent": {"$ref": "#"},
                        "children": {"type": "array", "items": {"$ref": "#"}}}},
                ],
            }),
            vec![
                json!({"name": "a", "id": 1}),
                json!({"name": "ab", "id": 2, "tag": "t", "parent": {"name": "p", "id": 0},
                    "children": [{"name": "c", "id": 3}]}),
            ],
        ),
        (
            json!({
                "type": "array", "minItems": 1, "maxItems": 3,
                "items": {"anyOf": [
                    {"type": "string", "format": "uuid"},
                    {"type": "integer", "minimum": 0},
                    {"type": "object", "required": ["ip"], "properties": {
                        "ip": {"type": "string", "format": "ipv4"}, "port": {"type": "integer", "maximum": 65535}},
                        "not": {"required": ["host"]}},
                ]},
            }),
            vec![json!([7]), json!(["00000000-0000-4000-8000-000000000000", {"ip": "10.0.0.1", "port": 80}])],
        ),
    ]
}

fn of_draft_07() -> Vec<(Value, Vec<Value>)> {
    vec![
        (
            json!({
                "type": "object",
                "properties": {
                    "country": {"enum": ["US", "NL", "DE"]},
                    "zip": {"type": "string"},
                    "state": {"type": "string", "minLength": 2, "maxLength": 2},
                },
                "required": ["country"],
                "allOf": [
                    {"if": {"properties": {"country": {"const": "US"}}},
                     "then": {"required": ["state"], "properties": {"zip": {"pattern": "^[0-9]{5}$"}}},
                     "else": {"properties": {"state": false}}},
                    {"if": {"properties": {"country": {"const": "NL"}}, "required": ["country"]},
                     "then": {"properties": {"zip": {"pattern": "^[0-9]{4}[A-Z]{2}$"}}}},
                ],
                "dependencies": {"zip": ["country"], "note": {"properties": {"lang": {"type": "string"}},
                    "required": ["lang"]}},
            }),
            vec![
                json!({"country": "US", "state": "NY", "zip": "10001"}),
                json!({"country": "NL", "zip": "1234AB"}),
                json!({"country": "DE", "note": 1, "lang": "de"}),
            ],
        ),
        (
            json!({
                "definitions": {"port": {"type": "integer", "minimum": 1, "maximum": 9}},
                "type": "object",
                "propertyNames": {"pattern": "^[a-z_]+$"},
                "patternProperties": {"^svc_": {"type": "object", "properties": {"port": {"$ref": "#/definitions/port"}}}},
                "properties": {
                    "range": {"type": "array", "items": [{"$ref": "#/definitions/port"}, {"type": "string"}],
                        "additionalItems": {"type": "boolean"}},
                    "tags": {"type": "array", "contains": {"const": "main"}},
                },
                "additionalProperties": {"type": ["string", "null"]},
                "minProperties": 1,
            }),
            vec![
                json!({"svc_a": {"port": 3}, "range": [1, "x", true]}),
                json!({"tags": ["main", 1], "other": null}),
            ],
        ),
    ]
}

fn of_2020_12() -> Vec<(Value, Vec<Value>)> {
    vec![
        (
            json!({
                "$defs": {"base": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}},
                "$ref": "#/$defs/base",
                "properties": {"size": {"type": ["integer", "null"], "exclusiveMinimum": 0}},
                "dependentRequired": {"size": ["unit"]},
                "dependentSchemas": {"unit": {"properties": {"unit": {"enum": ["kb", "mb"]}}}},
                "unevaluatedProperties": {"type": "string"},
            }),
            vec![json!({"id": "a"}), json!({"id": "b", "size": 3, "unit": "kb"})],
        ),
        (
            json!({
                "type": "array",
                "prefixItems": [{"const": "point"}, {"type": "number"}, {"type": "number"}],
                "items": {"type": "object", "if": {"required": ["z"]}, "then": {"properties": {"z": {"type": "number"}}},
                    "else": {"maxProperties": 1}},
                "contains": {"type": "number", "minimum": 0}, "minContains": 1, "maxContains": 2,
            }),
            vec![json!(["point", 1, -2]), json!(["point", 1, 2, {"z": 1, "w": 2}])],
        ),
    ]
}

fn of_openapi_30() -> Vec<(Value, Vec<Value>)> {
    vec![
        (
            json!({
                "type": "object",
                "required": ["user", "state"],
                "properties": {
                    "user": {"type": "object", "nullable": true, "required": ["login"],
                        "properties": {"login": {"type": "string"}, "age": {"type": "integer", "minimum": 0,
                            "exclusiveMinimum": true}}},
                    "state": {"type": "string", "nullable": true, "enum": ["open", "closed", null]},
                    "owner": {"nullable": true, "allOf": [{"$ref": "#/properties/user"}]},
                    "next": {"nullable": true, "oneOf": [{"$ref": "#"}, {"type": "string"}]},
                    "score": {"type": "number", "maximum": 1, "exclusiveMaximum": true},
                },
            }),
            vec![
                json!({"user": null, "state": "open"}),
                json!({"user": {"login": "a", "age": 3}, "state": null, "owner": null, "next": "x", "score": 0.5}),
                json!({"user": {"login": "a"}, "state": "closed", "next": {"user": null, "state": "open"}}),
            ],
        ),
        (
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "map": {"type": "object", "additionalProperties": {"type": "integer", "nullable": true}},
                    "any": {"nullable": true},
                    "ref": {"$ref": "#/properties/map", "maxProperties": 1},
                    "choice": {"anyOf": [{"type": "object", "nullable": true, "enum": [null]},
                        {"$ref": "#/properties/map"}]},
                },
            }),
            vec![json!({"map": {"a": 1, "b": null}, "any": 3}), json!({"ref": {}, "choice": null})],
        ),
    ]
}

/// Keywords that OpenAPI 3.0 knows, besides those of schemas in schemas.
const PLAIN_30: [&str; 13] = [
    "enum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
];

fn translated(schema: &Value) -> Value {
    let Some(members) = schema.as_object() else { return schema.clone() };
    if let Some(reference) = members.get("$ref") {
        return json!({ "$ref": reference });
    }
    let flag = |name: &str| members.get(name) == Some(&Value::Bool(true));
    let mut said = Map::new();
    for (keyword, value) in members {
        let value = match (keyword.as_str(), value) {
            ("properties", Value::Object(map)) => map
                .iter()
                .map(|(name, schema)| (name.clone(), translated(schema)))
                .collect::<Map<_, _>>()
                .into(),
            ("allOf" | "anyOf" | "oneOf", Value::Array(list)) => list.iter().map(translated).collect(),
            ("items" | "not" | "additionalProperties", schema) => translated(schema),
            ("minimum", bound) if flag("exclusiveMinimum") => {
                said.insert("exclusiveMinimum".to_owned(), bound.clone());
                continue;
            }
            ("maximum", bound) if flag("exclusiveMaximum") => {
                said.insert("exclusiveMaximum".to_owned(), bound.clone());
                continue;
            }
            ("type", name) if flag("nullable") => json!([name, "null"]),
            ("type" | "uniqueItems", value) => value.clone(),
            (plain, value) if PLAIN_30.contains(&plain) => value.clone(),
            _ => continue,
        };
        said.insert(keyword.clone(), value);
    }
    let composed = ["allOf", "anyOf", "oneOf"].iter().any(|keyword| members.contains_key(*keyword));
    if flag("nullable") && composed && !members.contains_key("type") {
        return json!({ "anyOf": [said, { "type": "null" }] });
    }
    Value::Object(said)
}

fn validator(schema: &Value, dialect: Dialect) -> Option<Validator> {
    let draft = if dialect == Dialect::Draft07 { Draft::Draft7 } else { Draft::Draft202012 };
    let schema = if dialect == Dialect::OpenApi30 { translated(schema) } else { schema.clone() };
    jsonschema::options().with_draft(draft).should_validate_formats(true).build(&schema).ok()
}

/// The schemas inside one, by their pointers.
fn places(schema: &Value, at: &str, found: &mut Vec<String>) {
    let Some(members) = schema.as_object() else { return };
    found.push(at.to_owned());
    for (keyword, value) in members {
        let here = format!("{at}/{keyword}");
        match (keyword.as_str(), value) {
            (
                "properties" | "patternProperties" | "dependentSchemas" | "$defs" | "definitions",
                Value::Object(map),
            ) => {
                for (name, inner) in map {
                    places(inner, &format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")), found);
                }
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(list)) => {
                for (index, inner) in list.iter().enumerate() {
                    places(inner, &format!("{here}/{index}"), found);
                }
            }
            (
                "items"
                | "not"
                | "if"
                | "then"
                | "else"
                | "contains"
                | "additionalProperties"
                | "propertyNames"
                | "additionalItems"
                | "unevaluatedProperties",
                inner,
            ) => places(inner, &here, found),
            _ => {}
        }
    }
}

struct Mutation<'a> {
    random: &'a mut Random,
    dialect: Dialect,
    donors: &'a [Value],
}

impl Mutation<'_> {
    fn mutate(&mut self, schema: &mut Value) {
        let mut all = Vec::new();
        places(schema, "", &mut all);
        let Some(place) = all.get(self.random.below(all.len())).cloned() else { return };
        let donor = self.donor();
        let Some(target) = schema.pointer_mut(&place) else { return };
        let modern = self.dialect != Dialect::OpenApi30;
        let whole = place.is_empty();
        match self.random.below(16) {
            0 => *target = if whole { target.clone() } else { donor },
            1 => self.wrapped(target, &donor, whole),
            2 => self.flag(target, "nullable", !modern),
            3 => {
                let keyword = if modern && self.random.percent(40) { "const" } else { "enum" };
                let value = self.value();
                let value = if keyword == "enum" { json!([value, self.value()]) } else { value };
                set(target, keyword, value);
            }
            4 => set(
                target,
                "additionalProperties",
                if self.random.percent(50) { json!(false) } else { donor },
            ),
            5 => self.required(target),
            6 if modern => {
                set(target, "if", donor);
                let then = self.donor();
                set(target, if self.random.percent(50) { "then" } else { "else" }, then);
            }
            7 if modern => set(target, "contains", donor),
            8 => set(target, "not", donor),
            9 => self.swapped(target),
            10 => {
                let types = ["null", "boolean", "integer", "number", "string", "array", "object"];
                let kinds = if modern { types.len() } else { types.len() - 1 };
                let start = usize::from(!modern);
                let name = types.get(start + self.random.below(kinds)).copied().unwrap_or("string");
                set(target, "type", json!(name));
            }
            11 => {
                let pattern = ["^a", "[0-9]$", "^(x|ab)*$", "^ch_", "\\d{2}"][self.random.below(5)];
                set(target, "pattern", json!(pattern));
            }
            _ => self.changed(target),
        }
    }

    fn donor(&mut self) -> Value {
        let Some(schema) = self.donors.get(self.random.below(self.donors.len())) else { return json!({}) };
        let mut all = Vec::new();
        places(schema, "", &mut all);
        let place = all.get(self.random.below(all.len())).cloned().unwrap_or_default();
        let donor = schema.pointer(&place).cloned().unwrap_or_default();
        // What a reference in it means depends on where it stands.
        if donor.to_string().contains("$ref") || !donor.is_object() {
            json!({"type": "string"})
        } else {
            donor
        }
    }

    fn value(&mut self) -> Value {
        let values = [
            json!(null),
            json!(true),
            json!(0),
            json!(1),
            json!(1.5),
            json!(-1),
            json!("a"),
            json!("open"),
            json!("US"),
            json!(""),
            json!([]),
            json!({}),
            json!({"id": "a"}),
            json!(["point"]),
        ];
        values[self.random.below(values.len())].clone()
    }

    fn flag(&mut self, target: &mut Value, keyword: &str, fits: bool) {
        let Some(members) = target.as_object_mut() else { return };
        if !fits {
            let with_null = match members.get("type") {
                Some(Value::String(name)) => json!([name, "null"]),
                _ => json!(["null", "string"]),
            };
            members.insert("type".to_owned(), with_null);
        } else if members.remove(keyword).is_none() {
            members.insert(keyword.to_owned(), json!(true));
        }
    }

    fn wrapped(&mut self, target: &mut Value, donor: &Value, whole: bool) {
        let keyword = ["allOf", "anyOf", "oneOf", "not"][self.random.below(4)];
        if whole {
            let value = if keyword == "not" { donor.clone() } else { json!([donor, {}]) };
            set(target, keyword, value);
        } else if keyword == "not" {
            *target = json!({"not": {"not": target.take()}});
        } else {
            *target = json!({ keyword: [target.take(), donor] });
        }
    }

    fn required(&mut self, target: &mut Value) {
        let Some(members) = target.as_object_mut() else { return };
        let named: Vec<String> = members
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        let name = named.get(self.random.below(named.len())).cloned().unwrap_or_else(|| "id".to_owned());
        match members.get_mut("required").and_then(Value::as_array_mut) {
            Some(list) if self.random.percent(50) && list.len() > 1 => {
                list.pop();
            }
            Some(list) if !list.contains(&json!(name)) => list.push(json!(name)),
            Some(_) => {}
            None => {
                members.insert("required".to_owned(), json!([name]));
            }
        }
    }

    fn swapped(&mut self, target: &mut Value) {
        let Some(members) = target.as_object_mut() else { return };
        for (one, other) in [("anyOf", "oneOf"), ("oneOf", "anyOf"), ("allOf", "anyOf"), ("then", "else")] {
            if let Some(value) = members.remove(one) {
                members.insert(other.to_owned(), value);
                return;
            }
        }
    }

    /// A keyword less, or another number or word in one.
    fn changed(&mut self, target: &mut Value) {
        let Some(members) = target.as_object_mut() else { return };
        let keywords: Vec<String> = members.keys().cloned().collect();
        let Some(keyword) = keywords.get(self.random.below(keywords.len())).cloned() else { return };
        if ["$defs", "definitions", "$ref", "properties", "type"].contains(&keyword.as_str())
            && self.random.percent(80)
        {
            return;
        }
        let step = if self.random.percent(50) { 1 } else { -1 };
        match members.get_mut(&keyword) {
            Some(Value::Number(number)) => {
                if let Some(whole) = number.as_i64() {
                    let whole = whole + step;
                    if whole > 0 || ["minimum", "maximum"].contains(&keyword.as_str()) {
                        *number = whole.into();
                    }
                }
            }
            Some(Value::Array(list)) if list.len() > 1 => {
                let index = self.random.below(list.len());
                list.remove(index);
            }
            _ if keyword != "$defs" && keyword != "definitions" && keyword != "properties" => {
                members.remove(&keyword);
            }
            _ => {}
        }
    }
}

fn set(target: &mut Value, keyword: &str, value: Value) {
    if let Some(members) = target.as_object_mut() {
        members.insert(keyword.to_owned(), value);
    }
}

/// The values that stand in a schema, and those beside its bounds.
fn literals(schema: &Value, found: &mut Vec<Value>) {
    match schema {
        Value::Object(members) => {
            for (keyword, value) in members {
                match (keyword.as_str(), value) {
                    ("enum", Value::Array(words)) => found.extend(words.iter().cloned()),
                    ("const", word) => found.push(word.clone()),
                    (
                        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum",
                        Value::Number(number),
                    ) => {
                        if let Some(whole) = number.as_i64() {
                            found.extend([json!(whole - 1), json!(whole), json!(whole + 1)]);
                        }
                    }
                    ("minLength" | "maxLength", Value::Number(number)) => {
                        let length =
                            usize::try_from(number.as_u64().unwrap_or_default().min(12)).unwrap_or_default();
                        found.extend([json!("a".repeat(length)), json!("a".repeat(length + 1))]);
                    }
                    (_, inner) => literals(inner, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| literals(inner, found)),
        _ => {}
    }
}

/// A document with something changed in it.
fn nudged(random: &mut Random, document: &Value, pool: &[Value], names: &[String]) -> Value {
    let any = |random: &mut Random| pool.get(random.below(pool.len())).cloned().unwrap_or_default();
    if random.percent(15) {
        return any(random);
    }
    let mut changed = document.clone();
    match &mut changed {
        Value::Object(members) if !members.is_empty() || random.percent(60) => {
            let keys: Vec<String> = members.keys().cloned().collect();
            match (keys.get(random.below(keys.len())), random.below(4)) {
                (Some(name), 0) => {
                    members.remove(name);
                }
                (Some(name), 1 | 2) => {
                    let inner = members.get(name).cloned().unwrap_or_default();
                    let inner = nudged(random, &inner, pool, names);
                    members.insert(name.clone(), inner);
                }
                _ => {
                    let name = names.get(random.below(names.len())).cloned().unwrap_or_default();
                    let value = any(random);
                    members.insert(name, value);
                }
            }
        }
        Value::Array(items) if !items.is_empty() || random.percent(60) => {
            let index = random.below(items.len().max(1));
            match (items.get(index).cloned(), random.below(3)) {
                (Some(_), 0) => {
                    items.remove(index);
                }
                (Some(item), 1) => items[index] = nudged(random, &item, pool, names),
                _ => items.push(any(random)),
            }
        }
        other => *other = any(random),
    }
    changed
}

fn names_in(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            for (keyword, value) in members {
                if keyword == "properties"
                    && let Some(map) = value.as_object()
                {
                    found.extend(map.keys().cloned());
                }
                names_in(value, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| names_in(inner, found)),
        _ => {}
    }
}

fn run(dialect: Dialect, seeds: &[(Value, Vec<Value>)]) {
    let pairs = from_environment("SPEC_MUTANTS_PAIRS").map_or(PAIRS, |pairs| pairs as usize);
    let seed = from_environment("SPEC_MUTANTS_SEED").unwrap_or(SEED);
    let donors: Vec<Value> = seeds.iter().map(|(schema, _)| schema.clone()).collect();
    let (mut proved, mut refuted, mut undecided, mut unread) = (0, 0, 0, 0);
    let mut wrong: Vec<String> = Vec::new();
    for number in 0..pairs {
        let mut random = Random::new(seed.wrapping_mul(999_983).wrapping_add(number as u64));
        let (start, documents) = seeds[random.below(seeds.len())].clone();
        let mut mutation = Mutation { random: &mut random, dialect, donors: &donors };
        let (mut narrow, mut wide) = (start.clone(), start);
        for _ in 0..mutation.random.below(4) {
            mutation.mutate(&mut narrow);
        }
        for _ in 0..=mutation.random.below(3) {
            mutation.mutate(&mut wide);
        }
        let mut prover = Prover::new(Settings::default());
        let read = [&narrow, &wide].map(|schema| prover.read(&Arc::new(schema.clone()), dialect, "").ok());
        let judges = [&narrow, &wide].map(|schema| validator(schema, dialect));
        let ([Some(narrow_id), Some(wide_id)], [Some(narrow_judge), Some(wide_judge)]) = (read, judges)
        else {
            unread += 1;
            continue;
        };
        let mut pool =
            vec![json!(null), json!(0), json!(0.5), json!(""), json!("x"), json!([]), json!({}), json!(true)];
        let mut names = vec!["extra".to_owned(), "svc_a".to_owned(), "A".to_owned()];
        for schema in [&narrow, &wide] {
            literals(schema, &mut pool);
            names_in(schema, &mut names);
        }
        pool.extend(documents.iter().cloned());
        let mut last = documents[0].clone();
        let mut samples = documents;
        for _ in 0..SAMPLES {
            let from =
                if random.percent(50) { last.clone() } else { samples[random.below(samples.len())].clone() };
            let sample = nudged(&mut random, &from, &pool, &names);
            if narrow_judge.is_valid(&sample) {
                last = sample.clone();
            }
            samples.push(sample);
        }
        for sample in &samples {
            for (id, judge) in [(narrow_id, &narrow_judge), (wide_id, &wide_judge)] {
                let ours = prover.accepts(id, sample);
                if ours != judge.is_valid(sample) {
                    wrong.push(format!("pair {number}: {sample} is {ours}\n  {narrow}\n  {wide}"));
                }
            }
        }
        let counter =
            samples.iter().find(|sample| narrow_judge.is_valid(sample) && !wide_judge.is_valid(sample));
        match prover.included(narrow_id, wide_id) {
            Inclusion::Proved => {
                proved += 1;
                if let Some(sample) = counter {
                    wrong.push(format!("pair {number}: proved, but {sample}\n  {narrow}\n  {wide}"));
                }
            }
            Inclusion::Refuted(witness) => {
                refuted += 1;
                let document = &witness.document;
                if !narrow_judge.is_valid(document) || wide_judge.is_valid(document) {
                    wrong.push(format!("pair {number}: {document} is no witness\n  {narrow}\n  {wide}"));
                }
            }
            Inclusion::Undecided(reasons) => {
                undecided += 1;
                if std::env::var("SPEC_MUTANTS_VERBOSE").is_ok() {
                    let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
                    eprintln!("pair {number} undecided {reasons:?}\n  {narrow}\n  {wide}");
                }
            }
        }
    }
    eprintln!(
        "{dialect:?}, seed {seed:#x}, {pairs} pairs: {proved} proved, {refuted} refuted, {undecided} undecided, {unread} unread"
    );
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(6)].join("\n"));
    assert!(proved > pairs / 10 && refuted > pairs / 10 && unread < pairs / 4 && undecided < pairs / 10);
}

#[test]
fn changed_schemas_of_draft_07_are_never_decided_wrongly() {
    run(Dialect::Draft07, &[common(), of_draft_07()].concat());
}

#[test]
fn changed_schemas_of_2020_12_are_never_decided_wrongly() {
    run(Dialect::Draft202012, &[common(), of_2020_12()].concat());
}

#[test]
fn changed_schemas_of_openapi_30_are_never_decided_wrongly() {
    run(Dialect::OpenApi30, &[common(), of_openapi_30()].concat());
}
