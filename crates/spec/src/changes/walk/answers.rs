//! Answers: statuses, headers, links.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::rules::{Direction, Rule};
use super::{NOTHING, Walk, is_true, mark, plain, said, said_member, schema_of};
use crate::document::Place;

impl<'a> Walk<'a> {
    pub(super) fn responses(&mut self, was: &Place<'a>, is: &Place<'a>) {
        let listed = |place: &Place<'a>| -> BTreeMap<String, Place<'a>> {
            let responses = place.get("responses");
            let members = responses.iter().flat_map(Place::members);
            members
                .filter(|(status, _)| !status.starts_with("x-"))
                .map(|(status, place)| (status.to_ascii_uppercase(), place))
                .collect()
        };
        let (old, new) = (listed(was), listed(is));
        for (status, one) in &old {
            match answering(status, &new) {
                Some(other) => self.response(status, one, other),
                None => {
                    self.part = format!("response {}", shown_status(status));
                    let rule = match is_success(status) {
                        true => Rule::ResponseSuccessRemoved,
                        false => Rule::ResponseFailureRemoved,
                    };
                    let nothing = said_member(is, "responses", NOTHING);
                    self.found(rule, said(one, shown_status(status)), nothing);
                }
            }
        }
        for (status, other) in &new {
            if old.contains_key(status) {
                continue;
            }
            match answering(status, &old) {
                Some(one) => self.response(status, one, other),
                None => {
                    self.part = format!("response {}", shown_status(status));
                    let rule = match is_success(status) {
                        true => Rule::ResponseSuccessAdded,
                        false => Rule::ResponseFailureAdded,
                    };
                    let nothing = said_member(was, "responses", NOTHING);
                    self.found(rule, nothing, said(other, shown_status(status)));
                }
            }
        }
        self.part = String::new();
    }

    pub(super) fn response(&mut self, status: &str, was: &Place<'a>, is: &Place<'a>) {
        let part = format!("response {}", shown_status(status));
        self.part.clone_from(&part);
        let Some(was) = self.resolve(was, Rule::ResponseUndecided) else { return };
        let Some(is) = self.resolve(is, Rule::ResponseUndecided) else { return };
        self.headers(&was, &is, &part);
        self.contents(&was, &is, Direction::Response, &part);
        self.links(&was, &is);
    }

    pub(super) fn headers(&mut self, was: &Place<'a>, is: &Place<'a>, part: &str) {
        let mut listed = |place: &Place<'a>| -> BTreeMap<String, (&'a str, Place<'a>)> {
            let headers = place.get("headers");
            let members: Vec<_> = headers.iter().flat_map(Place::members).collect();
            let mut listed = BTreeMap::new();
            for (name, header) in members {
                let key = name.to_ascii_lowercase();
                if key == "content-type" || key.starts_with("x-origin") {
                    continue;
                }
                if let Some(header) = self.resolve(&header, Rule::ResponseUndecided) {
                    listed.insert(key, (name, header));
                }
            }
            listed
        };
        let (old, mut new) = (listed(was), listed(is));
        for (key, (name, one)) in old {
            self.part = format!("{part} header {name}");
            let required = is_true(&one, "required");
            let Some((_, other)) = new.remove(&key) else {
                let rule = match required {
                    true => Rule::ResponseHeaderRemoved,
                    false => Rule::ResponseOptionalHeaderRemoved,
                };
                self.found(rule, said(&one, mark(required)), said_member(is, "headers", NOTHING));
                continue;
            };
            let now = is_true(&other, "required");
            if required != now {
                let rule = match now {
                    true => Rule::ResponseHeaderBecameRequired,
                    false => Rule::ResponseHeaderBecameOptional,
                };
                self.found(
                    rule,
                    said_member(&one, "required", mark(required)),
                    said_member(&other, "required", mark(now)),
                );
            }
            self.schemas(schema_of(&one), schema_of(&other), Direction::Response);
        }
        for (name, other) in new.into_values() {
            self.part = format!("{part} header {name}");
            let text = mark(is_true(&other, "required"));
            self.found(Rule::ResponseHeaderAdded, said_member(was, "headers", NOTHING), said(&other, text));
        }
        self.part = part.to_owned();
    }

    pub(super) fn links(&mut self, was: &Place<'a>, is: &Place<'a>) {
        let listed = |place: &Place<'a>| -> BTreeMap<&'a str, Place<'a>> {
            let links = place.get("links");
            links.iter().flat_map(Place::members).collect()
        };
        let (old, mut new) = (listed(was), listed(is));
        for (name, one) in old {
            match new.remove(name) {
                None => {
                    self.found(Rule::LinkRemoved, said(&one, name), said_member(is, "links", NOTHING));
                }
                Some(other) => {
                    let (before, after) = (described(&one), described(&other));
                    if before != after {
                        self.found(
                            Rule::LinkChanged,
                            said(&one, plain(&before)),
                            said(&other, plain(&after)),
                        );
                    }
                }
            }
        }
        for (name, other) in new {
            self.found(Rule::LinkAdded, said_member(was, "links", NOTHING), said(&other, name));
        }
    }
}

/// The response that a document has for a status: its own, that of its range, or for a failure the default one.
fn answering<'l, 'a>(status: &str, responses: &'l BTreeMap<String, Place<'a>>) -> Option<&'l Place<'a>> {
    if let Some(own) = responses.get(status) {
        return Some(own);
    }
    let class = status.chars().next().filter(char::is_ascii_digit)?;
    let range = responses.get(&format!("{class}XX"));
    range.or_else(|| if is_success(status) { None } else { responses.get("DEFAULT") })
}

fn is_success(status: &str) -> bool {
    status.starts_with('2')
}

fn shown_status(status: &str) -> &str {
    if status == "DEFAULT" { "default" } else { status }
}

/// A link without what only describes it.
fn described(place: &Place<'_>) -> Value {
    let mut value = place.value().clone();
    if let Value::Object(members) = &mut value {
        members.retain(|name, _| name != "description" && !name.starts_with("x-"));
    }
    value
}
