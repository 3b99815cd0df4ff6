//! Bodies, their media types and encodings.

use serde_json::Value;

use super::super::media;
use super::super::rules::{Direction, Rule};
use super::{NOTHING, Walk, is_true, mark, plain, said, said_member};
use crate::document::Place;

impl<'a> Walk<'a> {
    pub(super) fn request_bodies(&mut self, was: &Place<'a>, is: &Place<'a>) {
        self.part = "request body".to_owned();
        let body = |place: &Place<'a>| place.get("requestBody");
        let (old, new) = (body(was), body(is));
        let old = old.and_then(|body| self.resolve(&body, Rule::RequestUndecided));
        let new = new.and_then(|body| self.resolve(&body, Rule::RequestUndecided));
        match (old, new) {
            (None, None) => {}
            (Some(old), None) => {
                let nothing = said_member(is, "requestBody", NOTHING);
                self.found(Rule::RequestBodyRemoved, said(&old, mark(is_true(&old, "required"))), nothing);
            }
            (None, Some(new)) => {
                let required = is_true(&new, "required");
                let rule = if required { Rule::RequestBodyAddedRequired } else { Rule::RequestBodyAdded };
                let nothing = said_member(was, "requestBody", NOTHING);
                self.found(rule, nothing, said(&new, mark(required)));
            }
            (Some(old), Some(new)) => {
                let (required, now) = (is_true(&old, "required"), is_true(&new, "required"));
                if required != now {
                    let rule =
                        if now { Rule::RequestBodyBecameRequired } else { Rule::RequestBodyBecameOptional };
                    self.found(
                        rule,
                        said_member(&old, "required", mark(required)),
                        said_member(&new, "required", mark(now)),
                    );
                }
                self.contents(&old, &new, Direction::Request, "request body");
            }
        }
        self.part = String::new();
    }

    /// Compares the media types of a body and what they hold.
    pub(super) fn contents(&mut self, was: &Place<'a>, is: &Place<'a>, direction: Direction, part: &str) {
        let contents = |place: &Place<'a>| -> Vec<(&'a str, Place<'a>)> {
            place.get("content").map(|content| content.members().collect()).unwrap_or_default()
        };
        let (old, new) = (contents(was), contents(is));
        self.part = part.to_owned();
        if direction == Direction::Response {
            let names = |list: &[(&str, Place<'_>)]| {
                list.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
            };
            let rule = match (old.is_empty(), new.is_empty()) {
                (false, true) => Some(Rule::ResponseBodyRemoved),
                (true, false) => Some(Rule::ResponseBodyAdded),
                _ => None,
            };
            if let Some(rule) = rule {
                let text = |list: &[(&str, Place<'_>)]| match list.is_empty() {
                    true => "no body".to_owned(),
                    false => names(list),
                };
                self.found(
                    rule,
                    said_member(was, "content", text(&old)),
                    said_member(is, "content", text(&new)),
                );
                return;
            }
        }
        let (removed, added) = match direction {
            Direction::Request => (Rule::RequestMediaTypeRemoved, Rule::RequestMediaTypeAdded),
            Direction::Response => (Rule::ResponseMediaTypeRemoved, Rule::ResponseMediaTypeAdded),
        };
        for (name, one) in &old {
            match media::covering(name, new.iter().map(|(name, _)| *name)) {
                Some(index) => {
                    let Some((_, other)) = new.get(index) else { continue };
                    self.part = format!("{part} {name}");
                    self.encodings(one, other);
                    self.schemas(one.get("schema"), other.get("schema"), direction);
                }
                None => {
                    // A range of which a part is left is no longer there as a whole, which only matters to those
                    // who send. What is left of it is compared below.
                    let left = new.iter().any(|(other, _)| media::covers(name, other));
                    if !left || direction == Direction::Request {
                        self.part = part.to_owned();
                        let nothing = said_member(is, "content", NOTHING);
                        self.found(removed, said(one, *name), nothing);
                    }
                }
            }
        }
        for (name, other) in &new {
            let covering = media::covering(name, old.iter().map(|(name, _)| *name));
            match covering.and_then(|index| old.get(index)) {
                Some((was_name, one)) => {
                    // Those that cover each other have been compared above.
                    if !media::covers(name, was_name) {
                        self.part = format!("{part} {name}");
                        self.schemas(one.get("schema"), other.get("schema"), direction);
                    }
                }
                None => {
                    self.part = part.to_owned();
                    self.found(added, said_member(was, "content", NOTHING), said(other, *name));
                }
            }
        }
        self.part = part.to_owned();
    }

    pub(super) fn encodings(&mut self, was: &Place<'_>, is: &Place<'_>) {
        let (old, new) = (was.value().get("encoding"), is.value().get("encoding"));
        if old != new {
            let text = |encoding: Option<&Value>| encoding.map_or_else(|| NOTHING.to_owned(), plain);
            self.found(
                Rule::EncodingChanged,
                said_member(was, "encoding", text(old)),
                said_member(is, "encoding", text(new)),
            );
        }
    }
}
