//! A schema as it constrains one value, whichever way it is written: references followed, `allOf` taken apart,
//! alternatives that only add null or only list types or words written as such.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use crate::document::{Dialect, Place};
use crate::openapi::type_of;

/// References and `allOf` within one another that are looked through.
const DEPTH: usize = 64;

/// Keywords that say nothing of what a value may be.
const ANNOTATIONS: [&str; 20] = [
    "title",
    "description",
    "summary",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "nullable",
    "discriminator",
    "externalDocs",
    "xml",
    "$comment",
    "$id",
    "$schema",
    "$anchor",
    "$defs",
    "definitions",
    "contentMediaType",
];

pub(super) fn is_annotation(keyword: &str) -> bool {
    keyword.starts_with("x-") || ANNOTATIONS.contains(&keyword)
}

/// Types that a value may have; all of them if there is no list.
pub(super) type Types = Option<BTreeSet<String>>;

/// What a schema demands of one value.
pub(super) struct View<'a> {
    /// The schema, references followed.
    pub(super) place: Place<'a>,
    /// The schemas that all hold, this one first.
    pub(super) parts: Vec<Place<'a>>,
    /// The types, with null.
    pub(super) types: Types,
    /// The words of `enum` and `const`, without null.
    pub(super) words: Option<Vec<Value>>,
    /// The alternatives that are left.
    pub(super) unions: Vec<Union<'a>>,
    /// Those that only list types or words, and stand in `types` and `words`.
    pub(super) lists: Vec<Union<'a>>,
    /// The one alternative to null, where the schema is nothing else. It stands in `parts`.
    pub(super) single: Option<Union<'a>>,
    /// Whether a reference leads nowhere, so that not all is known of what is demanded.
    pub(super) is_broken: bool,
}

/// A list of alternatives, without those that only stand for null.
#[derive(Clone)]
pub(super) struct Union<'a> {
    /// The list itself; the schema, where it is one alternative against several.
    pub(super) place: Place<'a>,
    /// Whether exactly one must match.
    pub(super) one_of: bool,
    /// Whether null was among them.
    pub(super) with_null: bool,
    /// The alternatives, references not followed.
    pub(super) branches: Vec<Place<'a>>,
}

/// Where a schema stands, references followed that say nothing else.
pub(super) fn canonical<'a>(place: &Place<'a>) -> Place<'a> {
    let mut place = place.clone();
    for _ in 0..DEPTH {
        let Some(target) = place.text("$ref").filter(|_| is_alone(&place)) else { break };
        let Ok(next) = place.follow(target) else { break };
        place = next;
    }
    place
}

/// Whether nothing stands beside a reference that holds as well.
fn is_alone(place: &Place<'_>) -> bool {
    matches!(place.document().dialect(), Dialect::OpenApi30 | Dialect::Draft07)
        || place.value().as_object().is_some_and(|members| members.len() == 1)
}

impl<'a> View<'a> {
    pub(super) fn new(place: &Place<'a>) -> Self {
        let place = canonical(place);
        let mut view = Self {
            place: place.clone(),
            parts: Vec::new(),
            types: None,
            words: None,
            unions: Vec::new(),
            lists: Vec::new(),
            single: None,
            is_broken: false,
        };
        let mut seen = BTreeSet::new();
        view.add(&place, &mut seen, 0);
        if let Some(words) = &view.words {
            let types = words.iter().map(|word| type_of(word).to_owned()).collect();
            meet(&mut view.types, Some(types));
        }
        view
    }

    fn add(&mut self, place: &Place<'a>, seen: &mut BTreeSet<String>, depth: usize) {
        if depth > DEPTH || !seen.insert(place.pointer().to_owned()) {
            return;
        }
        let value = place.value();
        let dialect = place.document().dialect();
        let reference = place.text("$ref");
        let is_only_reference = reference.is_some() && is_alone(place);
        if !is_only_reference {
            self.parts.push(place.clone());
        }
        if let Some(target) = reference {
            match place.follow(target) {
                Ok(target) => self.add(&target, seen, depth + 1),
                Err(_) => self.is_broken = true,
            }
        }
        if is_only_reference {
            return;
        }
        meet(&mut self.types, types(value, dialect));
        self.meet_words(words(value));
        for part in place.get("allOf").iter().flat_map(Place::items) {
            self.add(&part, seen, depth + 1);
        }
        // Around alternatives, OpenAPI 3.0 says so of null.
        let nullable = dialect == Dialect::OpenApi30
            && value.get("nullable") == Some(&Value::Bool(true))
            && value.get("type").is_none();
        for (keyword, one_of) in [("anyOf", false), ("oneOf", true)] {
            let Some(list) = place.get(keyword) else { continue };
            let all: Vec<Place<'a>> = list.items().collect();
            let branches: Vec<Place<'a>> =
                all.iter().filter(|branch| !is_null(branch.value())).cloned().collect();
            let with_null = branches.len() < all.len() || nullable;
            if let [only] = branches.as_slice() {
                // The one alternative to null is the schema, but for null, which it leaves to the list.
                if depth == 0 && says_only(value, &["anyOf", "oneOf"]) {
                    let branches = vec![only.clone()];
                    self.single = Some(Union { place: list.clone(), one_of, with_null, branches });
                }
                self.add(only, seen, depth + 1);
                continue;
            }
            let union = Union { place: list, one_of, with_null, branches };
            if let Some(mut listed) = all_types(&union.branches, dialect) {
                if with_null {
                    listed.insert("null".to_owned());
                }
                meet(&mut self.types, Some(listed));
                self.lists.push(union);
            } else if let Some(listed) = all_words(&union.branches) {
                self.meet_words(Some(listed));
                self.lists.push(union);
            } else if !union.branches.is_empty() {
                self.unions.push(union);
            }
        }
    }

    fn meet_words(&mut self, words: Option<Vec<Value>>) {
        let Some(words) = words else { return };
        self.words = Some(match self.words.take() {
            None => words,
            Some(others) => {
                let words: HashSet<&Value> = words.iter().collect();
                others.into_iter().filter(|word| words.contains(word)).collect()
            }
        });
    }

    /// The values of a keyword, part by part.
    pub(super) fn values<'s>(&'s self, keyword: &'s str) -> impl Iterator<Item = Place<'a>> + 's {
        self.parts.iter().filter_map(move |part| part.get(keyword))
    }

    /// The first value of an annotation: what stands nearest to the use wins.
    pub(super) fn annotation(&self, keyword: &str) -> Option<&'a Value> {
        self.parts.iter().find_map(|part| part.value().get(keyword))
    }

    /// The members that are named, each with the schemas for it.
    pub(super) fn members(&self) -> BTreeMap<&'a str, Vec<Place<'a>>> {
        let mut members: BTreeMap<&'a str, Vec<Place<'a>>> = BTreeMap::new();
        for properties in self.values("properties") {
            for (name, place) in properties.members() {
                members.entry(name).or_default().push(place);
            }
        }
        members
    }

    /// The members that must be there, each with where that is said.
    pub(super) fn required(&self) -> BTreeMap<&'a str, String> {
        let mut required = BTreeMap::new();
        for list in self.values("required") {
            for item in list.items() {
                if let Some(name) = item.value().as_str() {
                    required.insert(name, item.pointer().to_owned());
                }
            }
        }
        required
    }

    /// Whether members that are not named are refused.
    pub(super) fn is_closed(&self) -> bool {
        let mut keywords =
            ["additionalProperties", "unevaluatedProperties"].into_iter().flat_map(|word| self.values(word));
        keywords.any(|value| value.value() == &Value::Bool(false))
    }

    /// Whether the schema says that members may be there which it does not name.
    pub(super) fn is_declared_open(&self) -> bool {
        !self.is_closed()
            && self
                .values("additionalProperties")
                .any(|value| matches!(value.value(), Value::Bool(true) | Value::Object(_)))
    }

    /// The schema of members that are not named, if there is one.
    pub(super) fn extra(&self) -> Option<Place<'a>> {
        self.values("additionalProperties").find(|value| value.value().is_object())
    }

    /// Patterns for members, each with its schema.
    pub(super) fn patterns(&self) -> BTreeMap<&'a str, Place<'a>> {
        self.values("patternProperties").flat_map(|patterns| patterns.members()).collect()
    }

    /// The schemas of the first items, and that of the others.
    pub(super) fn items(&self) -> (Vec<Place<'a>>, Option<Place<'a>>) {
        let draft07 = self.place.document().dialect() == Dialect::Draft07;
        let mut first = Vec::new();
        let mut rest = None;
        for part in &self.parts {
            let list = part.get(if draft07 { "items" } else { "prefixItems" });
            let list = list.filter(|list| list.value().is_array());
            let others = match (&list, draft07) {
                (Some(_), true) => part.get("additionalItems"),
                _ => part.get("items").filter(|items| !items.value().is_array()),
            };
            if let Some(list) = list
                && first.is_empty()
            {
                first = list.items().collect();
            }
            rest = rest.or(others);
        }
        (first, rest)
    }

    /// Whether the list of alternatives is all that is demanded.
    pub(super) fn is_only_union(&self) -> bool {
        self.unions.len() + self.lists.len() == 1
            && self.parts.iter().all(|part| {
                let keywords = part.value().as_object().into_iter().flatten();
                keywords.into_iter().all(|(keyword, _)| {
                    is_annotation(keyword)
                        || matches!(keyword.as_str(), "anyOf" | "oneOf" | "allOf" | "$ref" | "type")
                })
            })
    }

    /// Whether null is among the alternatives.
    pub(super) fn lists_null(&self) -> bool {
        self.unions.iter().chain(&self.single).any(|union| union.with_null)
    }

    /// Whether both say the same, letter by letter; what they refer to is not looked at.
    pub(super) fn reads_like(&self, other: &View<'_>) -> bool {
        self.place.document().dialect() == other.place.document().dialect()
            && self.parts.len() == other.parts.len()
            && self.parts.iter().zip(&other.parts).all(|(one, other)| one.value() == other.value())
    }
}

fn is_null(branch: &Value) -> bool {
    let Some(members) = branch.as_object() else { return false };
    let nullable = members.get("nullable") == Some(&Value::Bool(true));
    let keyword = |(keyword, value): (&String, &Value)| match keyword.as_str() {
        // In OpenAPI 3.0 null alone is a type that may be null, and of its values null only.
        "type" if nullable && members.contains_key("enum") => None,
        "type" => Some(value == "null" || value == &serde_json::json!(["null"])),
        "const" => Some(value.is_null()),
        "enum" => {
            Some(value.as_array().is_some_and(|words| !words.is_empty() && words.iter().all(Value::is_null)))
        }
        other if is_annotation(other) => None,
        _ => Some(false),
    };
    let mut said: Vec<bool> = members.iter().filter_map(keyword).collect();
    said.sort_unstable();
    said.first() == Some(&true)
}

/// The types that a schema lists, with null where OpenAPI 3.0 marks it.
fn types(schema: &Value, dialect: Dialect) -> Types {
    let mut types: BTreeSet<String> = match schema.get("type")? {
        Value::String(name) => BTreeSet::from([name.clone()]),
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return None,
    };
    if dialect == Dialect::OpenApi30 && schema.get("nullable") == Some(&Value::Bool(true)) {
        types.insert("null".to_owned());
    }
    if types.contains("number") {
        types.remove("integer");
    }
    Some(types)
}

/// What both lists allow.
fn meet(types: &mut Types, others: Types) {
    let Some(others) = others else { return };
    *types = Some(match types.take() {
        None => others,
        Some(types) => {
            let mut both: BTreeSet<String> = types.intersection(&others).cloned().collect();
            let integer = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
                one.contains("integer") && other.contains("number")
            };
            if integer(&types, &others) || integer(&others, &types) {
                both.insert("integer".to_owned());
            }
            both
        }
    });
}

/// The words that a schema lists, without null.
fn words(schema: &Value) -> Option<Vec<Value>> {
    let listed = schema.get("enum").and_then(Value::as_array).cloned();
    let single = schema.get("const").map(|word| vec![word.clone()]);
    let words = match (listed, single) {
        (Some(listed), Some(single)) => listed.into_iter().filter(|word| single.contains(word)).collect(),
        (listed, single) => listed.or(single)?,
    };
    Some(words.into_iter().filter(|word| !word.is_null()).collect())
}

/// The types that alternatives list, if they do nothing else.
fn all_types(branches: &[Place<'_>], dialect: Dialect) -> Option<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for branch in branches {
        all.extend(types(branch.value(), dialect).filter(|_| says_only(branch.value(), &["type"]))?);
    }
    (!all.is_empty()).then_some(all)
}

/// The words that alternatives list, if they do nothing else that a word does not say itself.
fn all_words(branches: &[Place<'_>]) -> Option<Vec<Value>> {
    let mut all = Vec::new();
    for branch in branches {
        all.extend(words(branch.value()).filter(|_| says_only(branch.value(), &["enum", "const", "type"]))?);
    }
    (!all.is_empty()).then_some(all)
}

fn says_only(schema: &Value, keywords: &[&str]) -> bool {
    schema.as_object().is_some_and(|members| {
        members.keys().all(|key| keywords.contains(&key.as_str()) || is_annotation(key))
    })
}
