//! What is said in schemas, keyword by keyword.

use serde_json::{Map, Value};

use super::outline::{Kind, Outline};
use super::{Findings, LintRule};
use crate::document::{Dialect, Place};
use crate::schema::Pattern;

/// Names of types.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// What the value of a keyword must be.
#[derive(Clone, Copy)]
enum Shape {
    Boolean,
    Number,
    /// A whole number from 0 on.
    Count,
    Text,
    Texts,
    List,
    Object,
    /// A schema.
    Schema,
    /// A list of schemas, not empty.
    Schemas,
}

use Shape::{Boolean, Count, List, Number, Object, Schema, Schemas, Text, Texts};

/// Keywords that are the same in every version.
const SHAPES: &[(&str, Shape)] = &[
    ("$anchor", Text),
    ("$defs", Object),
    ("$ref", Text),
    ("allOf", Schemas),
    ("anyOf", Schemas),
    ("contains", Schema),
    ("definitions", Object),
    ("dependentRequired", Object),
    ("dependentSchemas", Object),
    ("else", Schema),
    ("enum", List),
    ("format", Text),
    ("if", Schema),
    ("maxContains", Count),
    ("maxItems", Count),
    ("maxLength", Count),
    ("maxProperties", Count),
    ("maximum", Number),
    ("minContains", Count),
    ("minItems", Count),
    ("minLength", Count),
    ("minProperties", Count),
    ("minimum", Number),
    ("multipleOf", Number),
    ("not", Schema),
    ("oneOf", Schemas),
    ("pattern", Text),
    ("patternProperties", Object),
    ("prefixItems", Schemas),
    ("properties", Object),
    ("propertyNames", Schema),
    ("required", Texts),
    ("then", Schema),
    ("uniqueItems", Boolean),
];

/// Keywords of newer versions that OpenAPI 3.0 does not have.
const NOT_IN_30: [&str; 25] = [
    "$anchor",
    "$defs",
    "$dynamicRef",
    "$id",
    "additionalItems",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "examples",
    "if",
    "maxContains",
    "minContains",
    "patternProperties",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

const NOT_IN_DRAFT_07: [&str; 12] = [
    "$anchor",
    "$dynamicRef",
    "contentSchema",
    "dependentRequired",
    "dependentSchemas",
    "discriminator",
    "maxContains",
    "minContains",
    "nullable",
    "prefixItems",
    "unevaluatedItems",
    "unevaluatedProperties",
];

const NOT_IN_2020_12: [&str; 4] = ["$recursiveRef", "additionalItems", "dependencies", "nullable"];

/// Keywords that say nothing of what a value may be, and may stand beside a reference in every version.
const REMARKS: [&str; 9] =
    ["$ref", "$comment", "default", "deprecated", "description", "example", "examples", "summary", "title"];

pub(super) fn look(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    for place in outline.schemas() {
        match place.value() {
            Value::Object(members) => schema(place, members, findings),
            Value::Bool(_) if allows_boolean(place) => {}
            other => {
                let message = format!("a schema must be an object, and this is {}", shown(other));
                findings.add(LintRule::KeywordMalformed, place, message);
            }
        }
    }
    for (kind, place) in &outline.objects {
        if *kind != Kind::Schema && findings.document.dialect().is_openapi() && !place.value().is_object() {
            let message = format!("an object belongs here, and this is {}", shown(place.value()));
            findings.add(LintRule::FieldMissing, place, message);
        }
    }
}

fn allows_boolean(place: &Place<'_>) -> bool {
    place.document().dialect() != Dialect::OpenApi30 || place.pointer().ends_with("/additionalProperties")
}

fn schema(place: &Place<'_>, members: &Map<String, Value>, findings: &mut Findings<'_>) {
    let dialect = place.document().dialect();
    let alone = matches!(dialect, Dialect::OpenApi30 | Dialect::Draft07);
    if alone && members.contains_key("$ref") {
        let beside =
            |key: &&String| !REMARKS.contains(&key.as_str()) && !key.starts_with("x-") && is_keyword(key);
        for key in members.keys().filter(beside) {
            let at = place.get(key).unwrap_or_else(|| place.clone());
            let message = format!("`{key}` beside a `$ref` has no meaning in {dialect}");
            findings.add(LintRule::KeywordForeign, &at, message);
        }
        return;
    }
    foreign(place, members, findings);
    malformed(place, members, findings);
    let types = types(members);
    if let Some(types) = &types {
        words(place, types, findings);
        format(place, types, findings);
    }
    nullable(place, members, types.as_deref(), findings);
    required(place, members, findings);
    patterns(place, findings);
    discriminator(place, members, findings);
}

fn is_keyword(key: &str) -> bool {
    SHAPES.iter().any(|(keyword, _)| *keyword == key)
        || NOT_IN_30.contains(&key)
        || matches!(key, "type" | "nullable" | "items" | "additionalProperties" | "discriminator")
        || key.starts_with("exclusive")
}

fn foreign(place: &Place<'_>, members: &Map<String, Value>, findings: &mut Findings<'_>) {
    let dialect = place.document().dialect();
    let foreign: &[&str] = match dialect {
        Dialect::OpenApi30 => &NOT_IN_30,
        Dialect::OpenApi31 | Dialect::Draft202012 => &NOT_IN_2020_12,
        Dialect::Draft07 => &NOT_IN_DRAFT_07,
    };
    for key in members.keys().filter(|key| foreign.contains(&key.as_str())) {
        let at = place.get(key).unwrap_or_else(|| place.clone());
        let instead = match (key.as_str(), dialect) {
            ("nullable", _) => "; write `null` among its types",
            ("const", _) => "; write an `enum` of one",
            ("examples", _) => "; write `example`",
            _ => "",
        };
        findings.add(LintRule::KeywordForeign, &at, format!("`{key}` has no meaning in {dialect}{instead}"));
    }
}

fn malformed(place: &Place<'_>, members: &Map<String, Value>, findings: &mut Findings<'_>) {
    let dialect = place.document().dialect();
    let of_30 = dialect == Dialect::OpenApi30;
    let mut refuse = |key: &str, must: &str| {
        let at = place.get(key).unwrap_or_else(|| place.clone());
        let message = format!("`{key}` must be {must} in {dialect}, and this is {}", shown(at.value()));
        findings.add(LintRule::KeywordMalformed, &at, message);
    };
    for (key, shape) in SHAPES {
        if let Some(value) = members.get(*key)
            && !(of_30 && NOT_IN_30.contains(key))
            && let Some(must) = lacks(value, *shape)
        {
            refuse(key, must);
        }
    }
    for key in ["exclusiveMinimum", "exclusiveMaximum"] {
        match members.get(key) {
            Some(value) if of_30 && !value.is_boolean() => refuse(key, "a boolean beside the bound"),
            Some(value) if !of_30 && !value.is_number() => refuse(key, "the bound, a number"),
            _ => {}
        }
    }
    match members.get("type") {
        Some(Value::Array(_)) if of_30 => refuse("type", "one word"),
        Some(Value::String(word)) if of_30 && word == "null" => {
            refuse("type", "another word, with `nullable`,");
        }
        Some(Value::String(word)) if TYPES.contains(&word.as_str()) => {}
        Some(Value::Array(words))
            if !words.is_empty()
                && words.iter().all(|word| word.as_str().is_some_and(|word| TYPES.contains(&word))) => {}
        Some(_) => refuse("type", "one of array, boolean, integer, null, number, object and string"),
        None => {}
    }
    match (members.get("items"), dialect) {
        (Some(Value::Array(_)), Dialect::Draft07) => {}
        (Some(Value::Array(_)), Dialect::OpenApi30) => refuse("items", "one schema"),
        (Some(Value::Array(_)), _) => refuse("items", "one schema, with `prefixItems` for the first ones,"),
        (None, Dialect::OpenApi30) if members.get("type").is_some_and(|word| word == "array") => {
            findings.add(LintRule::FieldMissing, place, "an array in OpenAPI 3.0 must have `items`");
        }
        _ => {}
    }
    if let Some(value) = members.get("nullable")
        && of_30
        && !value.is_boolean()
    {
        let at = place.get("nullable").unwrap_or_else(|| place.clone());
        let message = format!("`nullable` must be a boolean, and this is {}", shown(value));
        findings.add(LintRule::KeywordMalformed, &at, message);
    }
}

/// What a value must be, if it is something else.
fn lacks(value: &Value, shape: Shape) -> Option<&'static str> {
    let (is, must) = match shape {
        Boolean => (value.is_boolean(), "a boolean"),
        Number => (value.is_number(), "a number"),
        Count => {
            let whole = value.as_u64().is_some()
                || value.as_f64().is_some_and(|number| number >= 0.0 && number.fract() == 0.0);
            (whole, "a whole number from 0 on")
        }
        Text => (value.is_string(), "a text"),
        Texts => {
            (value.as_array().is_some_and(|texts| texts.iter().all(Value::is_string)), "a list of texts")
        }
        List => (value.is_array(), "a list"),
        Object => (value.is_object(), "an object"),
        Schema => (value.is_object() || value.is_boolean(), "a schema"),
        Schemas => (value.as_array().is_some_and(|list| !list.is_empty()), "a list of at least one schema"),
    };
    (!is).then_some(must)
}

/// The types that a schema names itself, with null where it is nullable.
fn types(members: &Map<String, Value>) -> Option<Vec<&str>> {
    let mut types: Vec<&str> = match members.get("type")? {
        Value::String(word) => vec![word],
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    if types.iter().any(|word| !TYPES.contains(word)) {
        return None;
    }
    if members.get("nullable") == Some(&Value::Bool(true)) {
        types.push("null");
    }
    Some(types)
}

fn is_of(value: &Value, types: &[&str]) -> bool {
    types.iter().any(|word| match (*word, value) {
        ("array", Value::Array(_))
        | ("boolean", Value::Bool(_))
        | ("null", Value::Null)
        | ("number", Value::Number(_))
        | ("object", Value::Object(_))
        | ("string", Value::String(_)) => true,
        ("integer", Value::Number(number)) => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        _ => false,
    })
}

fn words(place: &Place<'_>, types: &[&str], findings: &mut Findings<'_>) {
    let constant = place.get("const").filter(|_| place.document().dialect() != Dialect::OpenApi30);
    for word in place.get("enum").iter().flat_map(Place::items).chain(constant) {
        if !is_of(word.value(), types) {
            let message = format!("{} is not of type {}", shown(word.value()), types.join(" or "));
            findings.add(LintRule::EnumType, &word, message);
        }
    }
}

fn format(place: &Place<'_>, types: &[&str], findings: &mut Findings<'_>) {
    let Some((format, at)) = place.text("format").zip(place.get("format")) else { return };
    let about: &[&str] = match format {
        "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64" | "float"
        | "double" | "double-int" | "decimal" | "decimal128" => &["integer", "number"],
        "date"
        | "date-time"
        | "time"
        | "duration"
        | "email"
        | "idn-email"
        | "hostname"
        | "idn-hostname"
        | "ipv4"
        | "ipv6"
        | "uri"
        | "uri-reference"
        | "iri"
        | "iri-reference"
        | "uri-template"
        | "uuid"
        | "json-pointer"
        | "relative-json-pointer"
        | "regex"
        | "byte"
        | "binary"
        | "base64url"
        | "password" => &["string"],
        _ => return,
    };
    // Numbers are sent as texts of digits, and say so: `decimal` and `int64` are registered for both.
    let also_text =
        matches!(format, "int64" | "uint64" | "decimal" | "decimal128") && types.contains(&"string");
    if !also_text && !types.iter().any(|word| about.contains(word)) {
        let message = format!("the format `{format}` says nothing about {}", types.join(" or "));
        findings.add(LintRule::FormatType, &at, message);
    }
}

fn nullable(
    place: &Place<'_>,
    members: &Map<String, Value>,
    types: Option<&[&str]>,
    findings: &mut Findings<'_>,
) {
    if place.document().dialect() == Dialect::OpenApi30
        && members.get("nullable") == Some(&Value::Bool(true))
        && !members.contains_key("type")
        && let Some(at) = place.get("nullable")
    {
        findings.add(LintRule::NullableWithoutType, &at, "`nullable` without `type` has no effect");
    }
    if let (Some(types), Some(Value::Array(words))) = (types, members.get("enum"))
        && types.contains(&"null")
        && !words.contains(&Value::Null)
        && let Some(at) = place.get("enum")
    {
        findings.add(LintRule::NullableEnum, &at, "null is of the type, and not among the words");
    }
}

fn required(place: &Place<'_>, members: &Map<String, Value>, findings: &mut Findings<'_>) {
    if members.get("additionalProperties") != Some(&Value::Bool(false)) {
        return;
    }
    // Whether a pattern covers a name is a question for the proofs.
    if members
        .get("patternProperties")
        .and_then(Value::as_object)
        .is_some_and(|patterns| !patterns.is_empty())
    {
        return;
    }
    let named = members.get("properties").and_then(Value::as_object);
    for name in place.get("required").iter().flat_map(Place::items) {
        let Some(text) = name.value().as_str() else { continue };
        if named.is_none_or(|named| !named.contains_key(text)) {
            let message = format!("`{text}` is required, and no property is called so");
            findings.add(LintRule::RequiredUnknown, &name, message);
        }
    }
}

fn patterns(place: &Place<'_>, findings: &mut Findings<'_>) {
    let own = place.get("pattern").and_then(|at| Some((at.value().as_str()?, at)));
    let names = place
        .get("patternProperties")
        .filter(|_| place.document().dialect() != Dialect::OpenApi30)
        .into_iter()
        .flat_map(|patterns| patterns.members().collect::<Vec<_>>());
    for (pattern, at) in own.into_iter().chain(names) {
        if let Err(error) = Pattern::ecma(pattern) {
            let message = format!("`{pattern}` is no regular expression: {error}");
            findings.add(LintRule::PatternMalformed, &at, message);
        }
    }
}

fn discriminator(place: &Place<'_>, members: &Map<String, Value>, findings: &mut Findings<'_>) {
    let Some(discriminator) = place.get("discriminator").filter(|_| place.document().dialect().is_openapi())
    else {
        return;
    };
    for (word, target) in discriminator.get("mapping").iter().flat_map(|it| it.members().collect::<Vec<_>>())
    {
        let Some(text) = target.value().as_str() else { continue };
        let component = crate::document::child("/components/schemas", text);
        if place.document().at(&component).is_none()
            && let Err(error) = target.follow(text)
        {
            let message = format!("`{word}` is mapped to `{text}`, which {}", error.why);
            findings.add(LintRule::DiscriminatorUnresolved, &target, message);
        }
    }
    let Some(name) = discriminator.text("propertyName") else {
        findings.add(LintRule::FieldMissing, &discriminator, "`propertyName` is missing");
        return;
    };
    if requires(place, name, 0) {
        return;
    }
    let branches: Vec<Place<'_>> = ["oneOf", "anyOf"]
        .into_iter()
        .filter(|keyword| members.contains_key(*keyword))
        .filter_map(|keyword| place.get(keyword))
        .flat_map(|list| list.items())
        .collect();
    if branches.is_empty() {
        let message = format!("`{name}` is not required");
        findings.add(LintRule::DiscriminatorOptional, &discriminator, message);
    }
    for branch in branches {
        if !requires(&branch, name, 0) {
            let message = format!("`{name}` is not required in {}", called(&branch));
            findings.add(LintRule::DiscriminatorOptional, &branch, message);
        }
    }
}

/// Whether a schema, or one that must hold with it, requires a member.
fn requires(place: &Place<'_>, name: &str, depth: usize) -> bool {
    let Ok(resolved) = place.resolved() else { return true };
    let here = |place: &Place<'_>| {
        place.get("required").is_some_and(|required| required.items().any(|item| item.value() == name))
    };
    if here(place) || here(&resolved) {
        return true;
    }
    // A schema that contains itself requires nothing more the second time.
    depth < 16
        && resolved.get("allOf").is_some_and(|all| all.items().any(|part| requires(&part, name, depth + 1)))
}

fn called(branch: &Place<'_>) -> String {
    match branch.text("$ref") {
        Some(target) => format!("`{}`", target.rsplit('/').next().unwrap_or(target)),
        None => format!("the branch at {}", branch.pointer()),
    }
}

/// A value in few words.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::String(text) => format!("`{text}`"),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
