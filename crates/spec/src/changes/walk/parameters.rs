//! Parameters of path, query, header and cookie.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::rules::{Direction, Rule};
use super::{NOTHING, Operation, Walk, is_true, mark, said, said_member, schema_of};
use crate::document::Place;

/// HTTP or the security schemes own headers of these names.
const NOT_PARAMETERS: [&str; 3] = ["accept", "content-type", "authorization"];

impl<'a> Walk<'a> {
    pub(super) fn parameters(
        &mut self,
        was: &Operation<'a>,
        is: &Operation<'a>,
        names: Option<(&Vec<String>, &Vec<String>)>,
    ) {
        let mut old = self.listed_parameters(was, names.map(|names| names.0));
        let mut new = self.listed_parameters(is, names.map(|names| names.1));
        let keys: Vec<_> = old.keys().cloned().collect();
        for key in keys {
            let Some(one) = old.get(&key).cloned() else { continue };
            if let Some(other) = new.remove(&key) {
                old.remove(&key);
                self.parameter(&one, &other);
            }
        }
        // What is left over and has another place in the other document has moved.
        for (key, one) in old {
            let moved = new
                .iter()
                .find(|((place, name), _)| *place != key.0 && name.eq_ignore_ascii_case(&key.1))
                .map(|(key, _)| key.clone());
            self.part = part_of(&one);
            if let Some(other) = moved.and_then(|key| new.remove(&key)) {
                self.found(
                    Rule::ParameterMoved,
                    said_member(&one, "in", part_of(&one)),
                    said_member(&other, "in", part_of(&other)),
                );
                self.parameter(&one, &other);
            } else if one.text("in") != Some("path") {
                // A path of fewer parameters is another path, and an operation of its own.
                let text = mark(is_true(&one, "required"));
                self.found(
                    Rule::ParameterRemoved,
                    said(&one, text),
                    said_member(&is.place, "parameters", NOTHING),
                );
            }
        }
        for other in new.into_values() {
            if other.text("in") == Some("path") {
                continue;
            }
            self.part = part_of(&other);
            let required = is_true(&other, "required");
            let rule = if required { Rule::ParameterAddedRequired } else { Rule::ParameterAdded };
            let nothing = said_member(&was.place, "parameters", NOTHING);
            self.found(rule, nothing, said(&other, mark(required)));
        }
        self.part = String::new();
    }

    /// The parameters of an operation by place and name. Those of a path go by their number in it.
    pub(super) fn listed_parameters(
        &mut self,
        operation: &Operation<'a>,
        names: Option<&Vec<String>>,
    ) -> BTreeMap<(String, String), Place<'a>> {
        let mut parameters = BTreeMap::new();
        for owner in [&operation.item, &operation.place] {
            let Some(list) = owner.get("parameters") else { continue };
            for parameter in list.items() {
                let Some(parameter) = self.resolve(&parameter, Rule::RequestUndecided) else { continue };
                let (Some(name), Some(place)) = (parameter.text("name"), parameter.text("in")) else {
                    continue;
                };
                let key = match place {
                    "header" => name.to_ascii_lowercase(),
                    "path" => names
                        .and_then(|names| names.iter().position(|other| other == name))
                        .map_or_else(|| name.to_owned(), |number| number.to_string()),
                    _ => name.to_owned(),
                };
                if place == "header" && NOT_PARAMETERS.contains(&key.as_str()) {
                    continue;
                }
                parameters.insert((place.to_owned(), key), parameter);
            }
        }
        parameters
    }

    pub(super) fn parameter(&mut self, was: &Place<'a>, is: &Place<'a>) {
        self.part = part_of(was);
        let path = is.text("in") == Some("path");
        let (old, new) = (is_true(was, "required") || path, is_true(is, "required") || path);
        if old != new {
            let rule = if new { Rule::ParameterBecameRequired } else { Rule::ParameterBecameOptional };
            self.found(rule, said_member(was, "required", mark(old)), said_member(is, "required", mark(new)));
        }
        if is_true(is, "deprecated") && !is_true(was, "deprecated") {
            self.found(
                Rule::ParameterDeprecated,
                said_member(was, "deprecated", "not deprecated"),
                said_member(is, "deprecated", "deprecated"),
            );
        }
        // One value without parts is written in one way, exploded or not.
        let exploded = !(is_scalar(was) && is_scalar(is));
        let (old, new) = (serialization(was, exploded), serialization(is, exploded));
        if old != new && was.text("in") == is.text("in") {
            self.found(Rule::ParameterSerializationChanged, said(was, old), said(is, new));
        }
        self.schemas(schema_of(was), schema_of(is), Direction::Request);
    }
}

fn part_of(parameter: &Place<'_>) -> String {
    let text = |member| parameter.text(member).unwrap_or_default();
    match text("in") {
        "header" => format!("header {}", text("name")),
        place => format!("{place} parameter {}", text("name")),
    }
}

fn is_scalar(parameter: &Place<'_>) -> bool {
    let schema = parameter.get("schema").and_then(|schema| schema.resolved().ok());
    let name = schema.as_ref().and_then(|schema| schema.text("type"));
    matches!(name, Some("boolean" | "integer" | "number" | "string"))
}

/// How a parameter is written, with what OpenAPI says where it says nothing.
fn serialization(parameter: &Place<'_>, exploded: bool) -> String {
    if let Some(content) = parameter.get("content") {
        let names: Vec<&str> = content.members().map(|(name, _)| name).collect();
        return names.join(", ");
    }
    let style = parameter.text("style").unwrap_or(match parameter.text("in") {
        Some("query" | "cookie") => "form",
        _ => "simple",
    });
    let explode = parameter.value().get("explode").and_then(Value::as_bool).unwrap_or(style == "form");
    let mut text = format!("style {style}");
    if exploded {
        text.push_str(&format!(", explode {explode}"));
    }
    if is_true(parameter, "allowReserved") {
        text.push_str(", reserved letters as they are");
    }
    text
}
