//! What stands around the schemas: operations, parameters, bodies, answers, credentials, addresses.

mod answers;
mod bodies;
mod parameters;
mod security;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde_json::Value;

use super::change::{Affected, Change, OperationName, Said};
use super::rules::{Direction, Rule};
use super::schemas::Use;
use crate::document::{Document, Place};
use crate::pairing::without_names;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// What a document says where it says nothing.
pub(super) const NOTHING: &str = "nothing";

/// A finding, or a place at which the schemas must still be compared.
pub(super) enum Entry<'a> {
    Found(Box<Change>),
    Schemas(Use<'a>),
}

/// Walks two OpenAPI documents side by side.
pub(super) struct Walk<'a> {
    old: &'a Document,
    new: &'a Document,
    pub(super) entries: Vec<Entry<'a>>,
    /// How many operations, callbacks and webhooks both have.
    pub(super) operations: usize,
    today: Option<NaiveDate>,
    operation: Option<OperationName>,
    part: String,
    /// Whether it is the server that calls.
    calls: bool,
}

/// An operation of one document.
#[derive(Clone)]
struct Operation<'a> {
    method: &'static str,
    path: String,
    item: Place<'a>,
    place: Place<'a>,
}

impl Operation<'_> {
    fn id(&self) -> Option<&str> {
        self.place.text("operationId")
    }

    fn line(&self) -> String {
        format!("{} {}", self.method.to_ascii_uppercase(), self.path)
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(old: &'a Document, new: &'a Document) -> Self {
        Self {
            old,
            new,
            today: None,
            entries: Vec::new(),
            operations: 0,
            operation: None,
            part: String::new(),
            calls: false,
        }
    }

    /// Compares everything but what stands inside schemas.
    pub(super) fn documents(&mut self, today: Option<NaiveDate>) {
        self.today = today;
        let schemes = self.schemes();
        let (old, new) = (self.operations(self.old, "/paths"), self.operations(self.new, "/paths"));
        self.paired(&old, &new, &schemes);
        self.servers(&self.old.root(), &self.new.root());
        self.webhooks(&schemes);
    }

    fn operations(&mut self, document: &'a Document, paths: &str) -> Vec<Operation<'a>> {
        let mut operations = Vec::new();
        let Some(paths) = document.at(paths) else { return operations };
        for (path, item) in paths.members().filter(|(path, _)| !path.starts_with("x-")) {
            let Some(item) = self.resolve(&item, Rule::RequestUndecided) else { continue };
            operations.extend(of_item(path, &item));
        }
        operations
    }

    /// Pairs operations by method and path, the names of parameters left out, then by `operationId`.
    fn paired(&mut self, old: &[Operation<'a>], new: &[Operation<'a>], schemes: &BTreeMap<String, String>) {
        let mut by_path: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut by_line: BTreeMap<(&str, String), usize> = BTreeMap::new();
        let mut by_id: BTreeMap<String, usize> = BTreeMap::new();
        for (index, operation) in new.iter().enumerate() {
            by_path.insert((operation.method, &operation.path), index);
            by_line.entry((operation.method, without_names(&operation.path))).or_insert(index);
            if let Some(id) = operation.id() {
                by_id.insert(id.to_owned(), index);
            }
        }
        let lines: BTreeSet<(&str, String)> =
            old.iter().map(|operation| (operation.method, without_names(&operation.path))).collect();
        let mut taken = BTreeSet::new();
        for was in old {
            // Paths that differ only in the names of their parameters may not stand side by side, and do.
            let exact = by_path.get(&(was.method, was.path.as_str()));
            let same = exact.or_else(|| by_line.get(&(was.method, without_names(&was.path)))).copied();
            // One that keeps its old line is not a candidate for a move.
            let moved = || {
                let index = was.id().and_then(|id| by_id.get(id).copied())?;
                let is = new.get(index)?;
                (!lines.contains(&(is.method, without_names(&is.path)))).then_some(index)
            };
            let pair = same.or_else(moved).and_then(|index| Some((index, new.get(index)?)));
            match pair {
                Some((index, is)) if taken.insert(index) => {
                    self.operation(was, is, same.is_none(), schemes);
                }
                _ => self.removed(was),
            }
        }
        for (index, is) in new.iter().enumerate() {
            if !taken.contains(&index) {
                self.begin(is, None);
                let path = is.item.pointer().to_owned();
                self.found(Rule::OperationAdded, said_at(Some(path), NOTHING), said(&is.place, is.line()));
            }
        }
        self.operation = None;
    }

    fn begin(&mut self, operation: &Operation<'_>, other: Option<&Operation<'_>>) {
        let id = operation.id().or_else(|| other.and_then(|other| other.id()));
        self.operation = Some(OperationName {
            method: operation.method.to_ascii_uppercase(),
            path: operation.path.clone(),
            id: id.map(str::to_owned),
        });
        self.part = String::new();
    }

    fn removed(&mut self, was: &Operation<'_>) {
        self.begin(was, None);
        let deprecated = is_true(&was.place, "deprecated");
        let rule = match (deprecated, sunset(&was.place), self.today) {
            (false, ..) => Rule::OperationRemoved,
            (true, Some(day), Some(today)) if day <= today => Rule::OperationRemovedAfterSunset,
            (true, Some(_), Some(_)) => Rule::OperationRemovedBeforeSunset,
            (true, ..) => Rule::OperationRemovedWithoutSunset,
        };
        let text = match was.place.value().get("x-sunset") {
            Some(day) if deprecated => format!("{}, sunset {}", was.line(), plain(day)),
            _ => was.line(),
        };
        self.found(rule, said(&was.place, text), said_at(None, NOTHING));
    }

    fn operation(
        &mut self,
        was: &Operation<'a>,
        is: &Operation<'a>,
        moved: bool,
        schemes: &BTreeMap<String, String>,
    ) {
        self.begin(was, Some(is));
        self.operations += 1;
        if moved {
            self.found(Rule::OperationMoved, said(&was.place, was.line()), said(&is.place, is.line()));
        }
        let (names, new_names) = (path_names(&was.path), path_names(&is.path));
        if !moved && names != new_names {
            let (item, new_item) = (said(&was.item, &was.path), said(&is.item, &is.path));
            self.found(Rule::PathParameterRenamed, item, new_item);
        }
        if let Some(id) = was.id()
            && is.id() != Some(id)
        {
            let new = said_member(&is.place, "operationId", is.id().unwrap_or(NOTHING));
            self.found(Rule::OperationIdChanged, said_member(&was.place, "operationId", id), new);
        }
        let (tags, new_tags) = (texts(&was.place, "tags"), texts(&is.place, "tags"));
        if tags != new_tags {
            self.found(
                Rule::TagsChanged,
                said_member(&was.place, "tags", listed(&tags)),
                said_member(&is.place, "tags", listed(&new_tags)),
            );
        }
        self.deprecation(&was.place, &is.place);
        if !self.calls {
            self.security(was, is, schemes);
            let servers = |operation: &Operation<'a>| {
                [&operation.place, &operation.item]
                    .into_iter()
                    .find(|place| place.value().get("servers").is_some())
                    .cloned()
            };
            match (servers(was), servers(is)) {
                (None, None) => {}
                (old, new) => {
                    let old = old.unwrap_or_else(|| self.old.root());
                    let new = new.unwrap_or_else(|| self.new.root());
                    self.servers(&old, &new);
                }
            }
        }
        self.parameters(was, is, (!moved).then_some((&names, &new_names)));
        self.request_bodies(&was.place, &is.place);
        self.responses(&was.place, &is.place);
        self.callbacks(was, is, schemes);
    }

    fn deprecation(&mut self, was: &Place<'_>, is: &Place<'_>) {
        let (old, new) = (is_true(was, "deprecated"), is_true(is, "deprecated"));
        let (day, new_day) = (sunset(was), sunset(is));
        let text = |deprecated: bool, place: &Place<'_>| match (deprecated, place.value().get("x-sunset")) {
            (true, Some(day)) => format!("deprecated, sunset {}", plain(day)),
            (true, None) => "deprecated, no sunset".to_owned(),
            (false, _) => "not deprecated".to_owned(),
        };
        let rule = match (old, new) {
            (false, true) if new_day.is_some() => Rule::OperationDeprecated,
            (false, true) => Rule::OperationDeprecatedWithoutSunset,
            (true, false) => Rule::OperationReinstated,
            (true, true) => match (day, new_day) {
                (Some(day), Some(new_day)) if new_day < day => Rule::SunsetBroughtForward,
                (Some(day), Some(new_day)) if new_day > day => Rule::SunsetPutOff,
                (Some(_), None) => Rule::SunsetPutOff,
                (None, Some(_)) => Rule::OperationDeprecated,
                _ => return,
            },
            (false, false) => return,
        };
        self.found(
            rule,
            said_member(was, "deprecated", text(old, was)),
            said_member(is, "deprecated", text(new, is)),
        );
    }

    fn servers(&mut self, was: &Place<'_>, is: &Place<'_>) {
        fn urls(place: &Place<'_>) -> BTreeMap<String, String> {
            let servers = place.get("servers");
            let items = servers.iter().flat_map(Place::items);
            items
                .filter_map(|server| {
                    let url = server.text("url")?;
                    let url = if url.len() > 1 { url.trim_end_matches('/') } else { url };
                    Some((url.to_owned(), server.pointer().to_owned()))
                })
                .collect()
        }
        let (mut old, mut new) = (urls(was), urls(is));
        for urls in [&mut old, &mut new] {
            if urls.is_empty() {
                urls.insert("/".to_owned(), "/servers".to_owned());
            }
        }
        for (url, pointer) in &old {
            if !new.contains_key(url) {
                let nothing = said_member(is, "servers", NOTHING);
                self.found(Rule::ServerRemoved, said_at(Some(pointer.clone()), url), nothing);
            }
        }
        for (url, pointer) in &new {
            if !old.contains_key(url) {
                let nothing = said_member(was, "servers", NOTHING);
                self.found(Rule::ServerAdded, nothing, said_at(Some(pointer.clone()), url));
            }
        }
    }

    fn webhooks(&mut self, schemes: &BTreeMap<String, String>) {
        let (old, new) = (self.old.at("/webhooks"), self.new.at("/webhooks"));
        self.called(old.as_ref(), new.as_ref(), "webhook ", ["/webhooks", "/webhooks"], schemes);
    }

    fn callbacks(&mut self, was: &Operation<'a>, is: &Operation<'a>, schemes: &BTreeMap<String, String>) {
        if self.calls {
            return;
        }
        let outer = self.operation.clone();
        let listed = |place: &Place<'a>| -> BTreeMap<&'a str, Place<'a>> {
            let callbacks = place.get("callbacks");
            callbacks.iter().flat_map(Place::members).collect()
        };
        let (old, new) = (listed(&was.place), listed(&is.place));
        let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        for name in names {
            let mut resolved = |place: Option<&Place<'a>>| {
                place.and_then(|place| self.resolve(place, Rule::ResponseUndecided))
            };
            let (one, other) = (resolved(old.get(name)), resolved(new.get(name)));
            let prefix = format!("{} callback {name} ", was.path);
            let around = [was.place.pointer(), is.place.pointer()];
            self.called(one.as_ref(), other.as_ref(), &prefix, around, schemes);
            self.operation.clone_from(&outer);
        }
    }

    fn called(
        &mut self,
        old: Option<&Place<'a>>,
        new: Option<&Place<'a>>,
        prefix: &str,
        around: [&str; 2],
        schemes: &BTreeMap<String, String>,
    ) {
        let mut items = |place: Option<&Place<'a>>| {
            let members: Vec<_> = place
                .into_iter()
                .flat_map(Place::members)
                .filter(|(name, _)| !name.starts_with("x-"))
                .collect();
            let mut operations = BTreeMap::new();
            for (name, item) in members {
                if let Some(item) = self.resolve(&item, Rule::ResponseUndecided) {
                    for operation in of_item(&format!("{prefix}{name}"), &item) {
                        operations.insert((operation.path.clone(), operation.method), operation);
                    }
                }
            }
            operations
        };
        let (old, mut new) = (items(old), items(new));
        for (key, was) in old {
            match new.remove(&key) {
                Some(is) => {
                    self.calls = true;
                    self.operation(&was, &is, false, schemes);
                    self.calls = false;
                }
                None => {
                    self.begin(&was, None);
                    let nothing = said_at(Some(around[1].to_owned()), NOTHING);
                    self.found(Rule::CallbackRemoved, said(&was.place, was.line()), nothing);
                }
            }
        }
        for is in new.into_values() {
            self.begin(&is, None);
            let nothing = said_at(Some(around[0].to_owned()), NOTHING);
            self.found(Rule::CallbackAdded, nothing, said(&is.place, is.line()));
        }
        self.operation = None;
    }

    fn schemas(&mut self, was: Option<Place<'a>>, is: Option<Place<'a>>, direction: Direction) {
        // A place without a schema says nothing of it: anything may be there. Both sides must say something, or
        // there is only the one to be compared with anything.
        let (old, new) = match (was, is) {
            (None, None) => return,
            (old, new) => (old, new),
        };
        let direction = if self.calls { direction.reversed() } else { direction };
        self.entries.push(Entry::Schemas(Use {
            operation: self.operation.clone(),
            part: self.part.clone(),
            direction,
            affects: match (self.calls, direction) {
                (true, _) => Affected::Called,
                (false, Direction::Request) => Affected::Senders,
                (false, Direction::Response) => Affected::Readers,
            },
            old,
            new,
        }));
    }

    /// A reference that leads nowhere is a finding: what is behind it cannot be compared.
    fn resolve(&mut self, place: &Place<'a>, rule: Rule) -> Option<Place<'a>> {
        match place.resolved() {
            Ok(place) => Some(place),
            Err(error) => {
                let in_old = std::ptr::eq(place.document(), self.old);
                let other = if in_old { self.new } else { self.old };
                let same = other.at(place.pointer()).filter(|other| other.value() == place.value());
                if same.is_some_and(|same| same.resolved().is_err()) {
                    return None;
                }
                let broken = said(place, format!("`{}` {}", error.target, error.why));
                let other = Said::default();
                let (old, new) = if in_old { (broken, other) } else { (other, broken) };
                let mut change = self.change(rule, old, new);
                change.reasons.push(error.to_string());
                self.entries.push(Entry::Found(Box::new(change)));
                None
            }
        }
    }

    fn found(&mut self, rule: Rule, old: Said, new: Said) {
        let change = if self.calls && !matches!(rule, Rule::CallbackAdded | Rule::CallbackRemoved) {
            // Rules are about those who call us; of what we call with, they would say the wrong thing.
            let mut change = self.change(Rule::CallbackChanged, old, new);
            change.new.text = format!("{} ({rule})", change.new.text);
            change
        } else {
            self.change(rule, old, new)
        };
        self.entries.push(Entry::Found(Box::new(change)));
    }

    fn change(&self, rule: Rule, old: Said, new: Said) -> Change {
        let affects = match rule {
            Rule::OperationIdChanged => Some(Affected::Generators),
            Rule::CallbackRemoved | Rule::CallbackChanged => Some(Affected::Called),
            _ => None,
        };
        let mut change = Change::new(rule, old, new);
        change.affects = affects.or(change.affects);
        change.operation.clone_from(&self.operation);
        change.part.clone_from(&self.part);
        change
    }
}

fn of_item<'a>(path: &str, item: &Place<'a>) -> Vec<Operation<'a>> {
    let operation = |method: &'static str| {
        let place = item.get(method).filter(|place| place.value().is_object())?;
        Some(Operation { method, path: path.to_owned(), item: item.clone(), place })
    };
    METHODS.iter().copied().filter_map(operation).collect()
}

/// The names of a path's parameters, in order.
fn path_names(path: &str) -> Vec<String> {
    path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect()
}

fn sunset(place: &Place<'_>) -> Option<NaiveDate> {
    let text = place.text("x-sunset")?;
    // A day, or a point in time that begins with one.
    text.get(..10)?.parse().ok()
}

fn is_true(place: &Place<'_>, member: &str) -> bool {
    place.value().get(member) == Some(&Value::Bool(true))
}

const fn mark(required: bool) -> &'static str {
    if required { "required" } else { "optional" }
}

/// The schema of a parameter or header.
fn schema_of<'a>(place: &Place<'a>) -> Option<Place<'a>> {
    let content = || place.get("content")?.members().next()?.1.get("schema");
    place.get("schema").or_else(content)
}

fn texts(place: &Place<'_>, member: &str) -> BTreeSet<String> {
    let list = place.value().get(member).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn listed(words: &BTreeSet<String>) -> String {
    match words.is_empty() {
        true => NOTHING.to_owned(),
        false => words.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// A value in a line: a text without its quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn said(place: &Place<'_>, text: impl Into<String>) -> Said {
    said_at(Some(place.pointer().to_owned()), text)
}

/// What is said by a member of a place, or of it.
fn said_member(place: &Place<'_>, member: &str, text: impl Into<String>) -> Said {
    said_at(Some(crate::document::child(place.pointer(), member)), text)
}

fn said_at(pointer: Option<String>, text: impl Into<String>) -> Said {
    Said { pointer, text: text.into() }
}
