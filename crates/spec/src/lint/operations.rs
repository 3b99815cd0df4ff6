//! What is said of paths, operations, parameters, answers and credentials.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::outline::{Kind, Outline, operations};
use super::{Findings, LintRule};
use crate::document::{Dialect, Document, Place, child, references};

pub(super) fn look(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    let document = findings.document;
    if !document.dialect().is_openapi() {
        return;
    }
    fields(outline, findings);
    for place in outline.of_kind(Kind::Operation) {
        responses(place, findings);
        security(place, findings);
    }
    security(&document.root(), findings);
    for kind in [Kind::Operation, Kind::PathItem] {
        for place in outline.of_kind(kind) {
            duplicate_parameters(place, findings);
        }
    }
    if let Some(paths) = document.root().get("paths") {
        operation_ids(&paths, findings);
        paths_apart(&paths, findings);
        for (path, item) in paths.members().filter(|(path, _)| path.starts_with('/')) {
            path_parameters(path, &item, findings);
        }
    }
    unused_components(outline, document, findings);
}

/// Fields without which an object says nothing.
fn fields(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    let root = findings.document.root();
    let mut demand = |place: &Place<'_>, fields: &[&str]| {
        for field in fields {
            if place.value().is_object() && place.get(field).is_none() {
                findings.add(LintRule::FieldMissing, place, format!("`{field}` is missing"));
            }
        }
    };
    demand(&root, &["info"]);
    if root.document().dialect() == Dialect::OpenApi30 {
        demand(&root, &["paths"]);
    }
    if let Some(info) = root.get("info") {
        demand(&info, &["title", "version"]);
    }
    for parameter in outline.of_kind(Kind::Parameter) {
        demand(parameter, &["name", "in"]);
    }
    for body in outline.of_kind(Kind::RequestBody) {
        demand(body, &["content"]);
    }
    for scheme in outline.of_kind(Kind::SecurityScheme) {
        demand(scheme, &["type"]);
        match scheme.text("type") {
            Some("apiKey") => demand(scheme, &["name", "in"]),
            Some("http") => demand(scheme, &["scheme"]),
            Some("oauth2") => demand(scheme, &["flows"]),
            Some("openIdConnect") => demand(scheme, &["openIdConnectUrl"]),
            _ => {}
        }
    }
    for kind in [Kind::Parameter, Kind::Header] {
        for place in outline.of_kind(kind) {
            if place.value().is_object() && place.get("schema").is_none() && place.get("content").is_none() {
                findings.add(LintRule::FieldMissing, place, "`schema` is missing, and so is `content`");
            }
        }
    }
}

fn responses(operation: &Place<'_>, findings: &mut Findings<'_>) {
    let responses = operation.get("responses");
    let answers: Vec<(&str, Place<'_>)> =
        responses.iter().flat_map(Place::members).filter(|(status, _)| !status.starts_with("x-")).collect();
    if answers.is_empty() {
        // Newer documents may leave them out where the answers are not theirs to describe.
        if responses.is_some() || operation.document().dialect() == Dialect::OpenApi30 {
            findings.add(LintRule::ResponsesEmpty, operation, "there are no responses");
        }
        return;
    }
    for (status, answer) in &answers {
        if !is_status(status) {
            let message = format!("`{status}` is no status");
            findings.add(LintRule::StatusMalformed, answer, message);
        }
        if let Ok(resolved) = answer.resolved()
            && resolved.value().is_object()
            && resolved.get("description").is_none()
            && !findings.has(LintRule::ResponseDescriptionMissing, &resolved)
        {
            let message = format!("response {status} has no description");
            findings.add(LintRule::ResponseDescriptionMissing, &resolved, message);
        }
    }
    let any = |wanted: fn(&str) -> bool| answers.iter().any(|(status, _)| wanted(status));
    // What switches protocols answers 101 and nothing else.
    if !any(|status| status.starts_with(['1', '2', '3']) || status == "default") {
        findings.add(LintRule::ResponseSuccessMissing, operation, "there is no 2XX, no 3XX and no default");
    }
    let secured = operation.get("security").or_else(|| operation.document().root().get("security"));
    let demands = secured.is_some_and(|secured| {
        let mut sets = secured.items().peekable();
        sets.peek().is_some() && sets.all(|set| set.value().as_object().is_some_and(|set| !set.is_empty()))
    });
    if demands && !any(|status| matches!(status, "401" | "4XX" | "4xx" | "default")) {
        let message = "it asks for credentials, and there is no 401";
        findings.add(LintRule::UnauthorizedUndocumented, operation, message);
    }
}

fn is_status(status: &str) -> bool {
    match status.as_bytes() {
        [b'1'..=b'5', b'X', b'X'] => true,
        [b'1'..=b'9', tens, ones] => tens.is_ascii_digit() && ones.is_ascii_digit(),
        _ => status == "default",
    }
}

fn security(place: &Place<'_>, findings: &mut Findings<'_>) {
    let document = place.document();
    for (name, demand) in
        place.get("security").iter().flat_map(Place::items).flat_map(|set| set.members().collect::<Vec<_>>())
    {
        let declared = child("/components/securitySchemes", name);
        if document.at(&declared).is_none() {
            let message = format!("there is no security scheme `{name}`");
            findings.add(LintRule::SecurityUndeclared, &demand, message);
        }
    }
}

fn duplicate_parameters(place: &Place<'_>, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for parameter in place.get("parameters").iter().flat_map(Place::items) {
        let Ok(resolved) = parameter.resolved() else { continue };
        let (Some(name), Some(place_of)) = (resolved.text("name"), resolved.text("in")) else { continue };
        // The names of headers are the same in any case.
        let key = if place_of == "header" { name.to_ascii_lowercase() } else { name.to_owned() };
        if !seen.insert((key, place_of)) {
            let message = format!("the {place_of} parameter `{name}` is declared twice");
            findings.add(LintRule::ParameterDuplicate, &parameter, message);
        }
    }
}

fn operation_ids(paths: &Place<'_>, findings: &mut Findings<'_>) {
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for (path, item) in paths.members() {
        for (method, operation) in operations(&item) {
            let (Some(id), Some(place)) = (operation.text("operationId"), operation.get("operationId"))
            else {
                continue;
            };
            let line = format!("{} {path}", method.to_ascii_uppercase());
            if let Some(first) = seen.get(id) {
                let message = format!("`{id}` is also the id of {first}");
                findings.add(LintRule::OperationIdDuplicate, &place, message);
            } else {
                seen.insert(id, line);
            }
        }
    }
}

/// The parts of a path, and of each whether there are parameters in it.
type Segments<'a> = Vec<(&'a str, bool)>;

fn segments(path: &str) -> Segments<'_> {
    path.split('/').skip(1).map(|part| (part, part.contains('{'))).collect()
}

/// Pairs of paths of one length that are looked at: those of 2,000 paths.
const PAIRS: usize = 1_999_000;

fn paths_apart(paths: &Place<'_>, findings: &mut Findings<'_>) {
    let all: Vec<(&str, Place<'_>)> = paths.members().filter(|(path, _)| path.starts_with('/')).collect();
    let mut first_of: BTreeMap<String, &str> = BTreeMap::new();
    // Only paths of one length can be mistaken for one another.
    let mut by_length: BTreeMap<usize, Vec<(usize, Segments<'_>)>> = BTreeMap::new();
    for (place, (path, item)) in all.iter().enumerate() {
        match first_of.entry(without_names(path)) {
            Entry::Occupied(first) => {
                findings.add(
                    LintRule::PathAmbiguous,
                    item,
                    format!("it is the same path as {}", first.get()),
                );
                continue;
            }
            Entry::Vacant(first) => first.insert(path),
        };
        let segments = segments(path);
        by_length.entry(segments.len()).or_default().push((place, segments));
    }
    for (length, group) in &by_length {
        let pairs = group.len().saturating_mul(group.len().saturating_sub(1)) / 2;
        if pairs > PAIRS {
            let message = format!(
                "it is not known whether the {} paths of {length} parts overlap, because there are so many",
                group.len()
            );
            findings.add(LintRule::Undecided, paths, message);
            continue;
        }
        for (at, (one, first)) in group.iter().enumerate() {
            for (other, second) in group.iter().skip(at + 1) {
                let Some(example) = crossed(first, second) else { continue };
                let (Some((one, _)), Some((other, item))) = (all.get(*one), all.get(*other)) else {
                    continue;
                };
                let message = format!("{example} is a path of {one} and of {other}");
                findings.add(LintRule::PathOverlap, item, message);
            }
        }
    }
}

/// A path of both, if either is plainer than the other in one of its parts. One that is plainer throughout goes
/// first.
fn crossed(one: &[(&str, bool)], other: &[(&str, bool)]) -> Option<String> {
    let (mut one_plainer, mut other_plainer) = (false, false);
    let mut example = String::new();
    for ((first, first_open), (second, second_open)) in one.iter().zip(other) {
        match (first_open, second_open) {
            (false, false) if first != second => return None,
            (false, false) => {}
            (false, true) if !fits(second, first) => return None,
            (true, false) if !fits(first, second) => return None,
            (false, true) => one_plainer = true,
            (true, false) => other_plainer = true,
            // Whether two templates within a part overlap is for the server to say.
            (true, true) if without_names(first) != without_names(second) => return None,
            (true, true) => {}
        }
        example.push('/');
        example.push_str(if *first_open { second } else { first });
    }
    (one_plainer && other_plainer).then_some(example)
}

/// Whether a fixed part is one of a template: begins and ends as it does.
fn fits(template: &str, fixed: &str) -> bool {
    let (Some(start), Some(end)) = (template.find('{'), template.rfind('}')) else { return false };
    let (prefix, suffix) =
        (template.get(..start).unwrap_or_default(), template.get(end + 1..).unwrap_or_default());
    fixed.len() > prefix.len() + suffix.len() && fixed.starts_with(prefix) && fixed.ends_with(suffix)
}

fn without_names(template: &str) -> String {
    let mut depth = 0_usize;
    let mut plain = String::new();
    for c in template.chars() {
        match c {
            '{' => {
                depth += 1;
                plain.push('{');
            }
            '}' => depth = depth.saturating_sub(1),
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    plain
}

fn names_in(path: &str) -> Vec<&str> {
    path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect()
}

/// The parameters of the path that an operation or path item declares, by their names.
fn declared<'a>(place: &Place<'a>) -> Vec<(String, Place<'a>)> {
    let parameters = place.get("parameters");
    let of_path = parameters.iter().flat_map(Place::items).filter_map(|parameter| {
        let resolved = parameter.resolved().ok()?;
        let name = resolved.text("name").unwrap_or_default().to_owned();
        (resolved.text("in") == Some("path")).then_some((name, parameter))
    });
    of_path.collect()
}

fn path_parameters(path: &str, item: &Place<'_>, findings: &mut Findings<'_>) {
    let Ok(item) = item.resolved() else { return };
    let wanted = names_in(path);
    let shared = declared(&item);
    let mut all = Vec::new();
    for (method, operation) in operations(&item) {
        let own = declared(&operation);
        for name in &wanted {
            let here = |(declared, _): &&(String, Place<'_>)| declared == name;
            if own.iter().chain(&shared).find(here).is_none() {
                let message =
                    format!("`{{{name}}}` of the path is no parameter of {}", method.to_ascii_uppercase());
                findings.add(LintRule::PathParameterMissing, &operation, message);
            }
        }
        all.extend(own);
    }
    for (name, parameter) in all.iter().chain(&shared) {
        if !wanted.contains(&name.as_str()) {
            let message = format!("the path has no `{{{name}}}`");
            findings.add(LintRule::PathParameterSuperfluous, parameter, message);
        }
        if let Ok(resolved) = parameter.resolved()
            && resolved.value().get("required") != Some(&Value::Bool(true))
            && !findings.has(LintRule::PathParameterOptional, &resolved)
        {
            let message = format!("the parameter `{name}` of the path is not `required: true`");
            findings.add(LintRule::PathParameterOptional, &resolved, message);
        }
    }
}

/// Components that nothing refers to, but for what refers to itself.
fn unused_components(outline: &Outline<'_>, document: &Document, findings: &mut Findings<'_>) {
    let Some(components) = document.at("/components") else { return };
    // A document of nothing but components is there for others.
    if ["/paths", "/webhooks"]
        .iter()
        .all(|pointer| document.at(pointer).is_none_or(|place| place.members().next().is_none()))
    {
        return;
    }
    let mut used = BTreeSet::new();
    for (pointer, target) in references(document.value()) {
        let Some(place) = document.at(&pointer) else { continue };
        let Ok(target) = place.follow(target) else { continue };
        // A part of a component may be referred to, and a component may refer to itself.
        let component = component_of(target.pointer());
        if component.is_some() && component != component_of(&pointer) {
            used.extend(component);
        }
    }
    for (kind, place) in &outline.objects {
        // A schema that is told apart by the discriminator of one that it builds upon is named by a message.
        let base = place.get("allOf").filter(|_| *kind == Kind::Schema);
        if base.iter().flat_map(Place::items).any(|part| {
            part.text("$ref").is_some()
                && part.resolved().is_ok_and(|base| base.get("discriminator").is_some())
        }) {
            used.extend(component_of(place.pointer()));
        }
        for (_, target) in place
            .get("discriminator")
            .iter()
            .filter_map(|it| it.get("mapping"))
            .flat_map(|it| it.members().collect::<Vec<_>>())
        {
            let Some(target) = target.value().as_str() else { continue };
            used.insert(child("/components/schemas", target));
            used.extend(place.follow(target).ok().and_then(|place| component_of(place.pointer())));
        }
    }
    for place in outline.of_kind(Kind::Operation).cloned().chain([document.root()]) {
        for set in place.get("security").iter().flat_map(Place::items) {
            used.extend(set.members().map(|(name, _)| child("/components/securitySchemes", name)));
        }
    }
    for (kind, group) in components.members().filter(|(kind, _)| !kind.starts_with("x-")) {
        for (name, component) in group.members() {
            if !used.contains(component.pointer()) {
                findings.add(
                    LintRule::ComponentUnused,
                    &component,
                    format!("nothing refers to `{name}` of {kind}"),
                );
            }
        }
    }
}

/// The pointer of the component that a pointer leads into.
fn component_of(pointer: &str) -> Option<String> {
    let mut parts = pointer.splitn(5, '/');
    let (root, components) = (parts.next()?, parts.next()?);
    let (kind, name) = (parts.next()?, parts.next()?);
    (root.is_empty() && components == "components").then(|| format!("/components/{kind}/{name}"))
}
