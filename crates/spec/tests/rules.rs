//! Every constraint of the sources is held by a rule or by a wire type, on both sides of the wire, and every rule
//! is a constraint of a source or marked as a house rule. What is not so stands here by name.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod carries;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use carries::Carries;
use fleetwire_protocol::wire::schema::{DEFINITIONS, generator};
use fleetwire_protocol::{Content, Endpoint, ParamPlace, Params, Reply, Request, Vendor, for_each_endpoint};
use fleetwire_spec::deviations::{self, Op};
use fleetwire_spec::source;
use fleetwire_validation::{Keyword, Origin, Rule, Side, Validate, rules, rules_of};
use schemars::JsonSchema;
use schemars::generate::Contract;
use serde_json::Value;

const SIDES: [Side; 2] = [Side::Emit, Side::Accept];

/// One keyword of a source, at one place.
#[derive(Debug)]
struct Constraint {
    /// A rule's pointer, with `{}` for every member of a map; or `header:` or `path:` and a name.
    place: String,
    /// Where the keyword stands in the schema.
    at: String,
    keyword: String,
    value: Value,
}

/// Keywords that ask nothing of a value.
const REMARKS: [&str; 5] = ["description", "example", "examples", "title", "default"];

/// A node without references, and without a list of one schema that it keeps as a whole.
fn resolved(document: &Value, node: &Value) -> Value {
    let mut rest = node.as_object().expect("a schema").clone();
    let inner = match (rest.remove("$ref"), rest.remove("allOf")) {
        (Some(reference), None) => {
            document.pointer(reference.as_str().unwrap().trim_start_matches('#')).unwrap().clone()
        }
        (None, Some(all)) => match all.as_array().unwrap().as_slice() {
            [one] => one.clone(),
            _ => panic!("several schemas at once: {node}"),
        },
        (None, None) => return node.clone(),
        both => panic!("{both:?}"),
    };
    let mut inner = resolved(document, &inner);
    inner.as_object_mut().unwrap().extend(rest);
    inner
}

/// Collects what a source's schema asks.
fn walk(document: &Value, node: &Value, place: &str, at: &str, out: &mut Vec<Constraint>) {
    let node = resolved(document, node);
    let mut say = |keyword: &str, value: Value| {
        let (place, at) = (place.to_owned(), format!("{at}/{keyword}"));
        out.push(Constraint { place, at, keyword: keyword.to_owned(), value });
    };
    let types = source_types(&node);
    if !types.is_empty() {
        say("type", types.into_iter().collect());
    }
    let mut within = Vec::new();
    for (keyword, value) in node.as_object().unwrap() {
        match keyword.as_str() {
            "type" | "nullable" => {}
            "minimum" | "maximum" | "minLength" | "maxLength" | "pattern" | "format" | "enum" => {
                say(keyword, value.clone());
            }
            "required" => {
                for name in value.as_array().unwrap() {
                    let name = name.as_str().unwrap();
                    within.push(Constraint {
                        place: format!("{place}/{name}"),
                        at: format!("{at}/required/{name}"),
                        keyword: "required".to_owned(),
                        value: true.into(),
                    });
                }
            }
            "properties" => {
                for (name, member) in value.as_object().unwrap() {
                    let at = format!("{at}/properties/{name}");
                    walk(document, member, &format!("{place}/{name}"), &at, &mut within);
                }
            }
            "items" => walk(document, value, &format!("{place}/*"), &format!("{at}/items"), &mut within),
            "additionalProperties" if value.is_object() => {
                let at = format!("{at}/additionalProperties");
                walk(document, value, &format!("{place}/{{}}"), &at, &mut within);
            }
            // Open, as an object is anyway.
            "additionalProperties" => assert_eq!(*value, true, "{place} is closed"),
            "oneOf" => {
                let branches = value.as_array().unwrap();
                let formats: Vec<_> =
                    branches.iter().filter_map(|branch| branch["format"].as_str()).collect();
                if formats.len() == branches.len() {
                    say("format", formats.join("|").into());
                    continue;
                }
                for (index, branch) in branches.iter().enumerate() {
                    let at = format!("{at}/oneOf/{index}");
                    walk(document, branch, place, &at, &mut within);
                }
                // The types of the branches are those of the choice.
                within.retain(|one| {
                    one.keyword != "type"
                        || !one.at.starts_with(&format!("{at}/oneOf/"))
                        || one.place != place
                });
            }
            other => assert!(REMARKS.contains(&other) || other.starts_with("x-"), "{place} has {other}"),
        }
    }
    out.extend(within);
}

fn source_types(node: &Value) -> BTreeSet<String> {
    let mut types: BTreeSet<_> = node["type"].as_str().map(str::to_owned).into_iter().collect();
    for branch in node["oneOf"].as_array().into_iter().flatten() {
        types.extend(source_types(branch));
    }
    if node["nullable"] == true {
        types.insert("null".to_owned());
    }
    types
}

/// The schema of a type, with what it refers to.
struct Ours {
    root: Value,
    definitions: serde_json::Map<String, Value>,
}

impl Ours {
    fn of<T: JsonSchema>(side: Side) -> Self {
        let contract = if side == Side::Emit { Contract::Serialize } else { Contract::Deserialize };
        let mut generator = generator(contract);
        let root = generator.subschema_for::<T>().into();
        Self { root, definitions: generator.take_definitions(true) }
    }

    /// A schema, what it refers to, and the branches of its choices.
    fn alternatives<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.trim_start_matches('#').strip_prefix(DEFINITIONS).unwrap();
            return self.alternatives(&self.definitions[&name[1..]]);
        }
        let branches = ["allOf", "anyOf", "oneOf"].iter().flat_map(|keyword| schema[*keyword].as_array());
        std::iter::once(schema).chain(branches.flatten().flat_map(|one| self.alternatives(one))).collect()
    }

    fn at(&self, place: &str) -> Vec<&Value> {
        let mut here = self.alternatives(&self.root);
        for segment in place.split('/').skip(1) {
            here = here
                .into_iter()
                .filter_map(|schema| match segment {
                    "*" => schema.get("items"),
                    "{}" => schema.get("additionalProperties"),
                    name => schema.get("properties")?.get(name),
                })
                .flat_map(|schema| self.alternatives(schema))
                .collect();
        }
        here
    }

    fn types(&self, place: &str) -> BTreeSet<String> {
        let mut types = BTreeSet::new();
        for schema in self.at(place) {
            match &schema["type"] {
                Value::String(one) => drop(types.insert(one.clone())),
                Value::Array(several) => {
                    types.extend(several.iter().map(|one| one.as_str().unwrap().to_owned()));
                }
                _ => {}
            }
        }
        types
    }

    fn requires(&self, place: &str) -> bool {
        let (parent, name) = place.rsplit_once('/').unwrap();
        self.at(parent).iter().any(|schema| {
            schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name))
        })
    }

    fn says(&self, place: &str, keyword: &str, value: &Value) -> bool {
        self.at(place).iter().any(|schema| schema[keyword] == *value)
    }
}

/// Whether a rule says what a constraint of its place says.
fn states(rule: &Rule, constraint: &Constraint) -> bool {
    let number = |bound: i32| constraint.value.as_f64() == Some(f64::from(bound));
    let length = |bound: usize| constraint.value == bound;
    match (constraint.keyword.as_str(), rule.keyword) {
        ("required", Keyword::Required | Keyword::RequiredUnless(_)) => true,
        ("minimum", Keyword::Minimum(min) | Keyword::Range { min, .. }) => number(min),
        ("maximum", Keyword::Range { max, .. }) => number(max),
        ("minLength", Keyword::MinLength(min)) => length(min),
        ("maxLength", Keyword::MaxLength(max)) => length(max),
        ("pattern", Keyword::Pattern(pattern)) => constraint.value == pattern,
        ("format", Keyword::Ip) => constraint.value == "ipv4|ipv6",
        ("enum", Keyword::Words(words)) => constraint.value == words.split(", ").collect::<Value>(),
        _ => false,
    }
}

type NotHeld = (&'static str, &'static str, &'static str, &'static str, Option<Side>, &'static str);

/// Constraints that a side (`None`: either) does not hold: operation, part, place, keyword, side, and who says so.
/// What `schemas/deviations.toml` patches does not stand here.
const NOT_HELD: &[NotHeld] = &[
    (
        "acusight.checkin",
        "response.200",
        "/pending_actions/*/id",
        "type",
        ON_ACCEPT,
        "AC-3: at older servers an id is a text",
    ),
    (
        "acusight.checkin",
        "response.200",
        "/pending_actions/*/label_map",
        "type",
        ON_ACCEPT,
        "1b: text of JSON, or the JSON itself",
    ),
    ("acusight.checkin", "response.400", "/{}", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.checkin", "response.404", "/{}", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.checkin", "response.500", "/{}", "type", ON_ACCEPT, "AC-4: any map is read"),
    (
        "acusight.device_checkin",
        "response.200",
        "/data/actions/*/id",
        "type",
        ON_ACCEPT,
        "AC-3: at older servers an id is a text",
    ),
    (
        "acusight.device_checkin",
        "response.200",
        "/data/actions/*/label_map",
        "type",
        ON_ACCEPT,
        "1b: text of JSON, or the JSON itself",
    ),
    ("acusight.provision", "response.400", "/error", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.400", "/error/code", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.400", "/error/details", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.400", "/error/message", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.400", "/success", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.401", "/error", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.401", "/error/code", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.401", "/error/details", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.401", "/error/message", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.401", "/success", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.409", "/error", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.409", "/error/code", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.409", "/error/details", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.409", "/error/message", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.provision", "response.409", "/success", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.notify_image", "response.400", "/{}", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.notify_image", "response.500", "/{}", "type", ON_ACCEPT, "AC-4: any map is read"),
    ("acusight.notify_image", "response.503", "/{}", "type", ON_ACCEPT, "AC-4: any map is read"),
    (
        "zstack.heartbeat",
        "response.200",
        "/labels",
        "type",
        ON_ACCEPT,
        "ZS-6: text of JSON, or the JSON itself",
    ),
    ("zstack.register", "request", "/labels", "type", ON_ACCEPT, "ZS-6: text of JSON, or the JSON itself"),
    (
        "zstack.register",
        "response.200",
        "/labels",
        "type",
        ON_ACCEPT,
        "ZS-6: text of JSON, or the JSON itself",
    ),
    (
        "zstack.auto_register_heartbeat",
        "request",
        "/cpu",
        "type",
        ON_ACCEPT,
        "ZS-2: digits in a text are a number",
    ),
    (
        "zstack.auto_register_heartbeat",
        "request",
        "/memory",
        "type",
        ON_ACCEPT,
        "ZS-2: digits in a text are a number",
    ),
    (
        "agentmc.heartbeat",
        "request",
        "/agent/id",
        "required",
        ON_ACCEPT,
        "AM-4: the server finds or makes the agent",
    ),
    ("agentmc.heartbeat", "request", "/meta/models", "required", ON_ACCEPT, "AM-18: absent reads as none"),
    (
        "agentmc.heartbeat",
        "response.200",
        "/host/last_seen_at",
        "required",
        ON_ACCEPT,
        "AM-15: answers show a part of a host",
    ),
    (
        "agentmc.heartbeat",
        "response.200",
        "/host/meta",
        "required",
        ON_ACCEPT,
        "AM-15: answers show a part of a host",
    ),
    (
        "agentmc.heartbeat",
        "response.200",
        "/host/created_by_user_id",
        "required",
        ON_ACCEPT,
        "AM-15: answers show a part of a host",
    ),
    (
        "agentmc.heartbeat",
        "response.200",
        "/host/created_at",
        "required",
        ON_ACCEPT,
        "AM-15: answers show a part of a host",
    ),
    (
        "agentmc.heartbeat",
        "response.200",
        "/host/updated_at",
        "required",
        ON_ACCEPT,
        "AM-15: answers show a part of a host",
    ),
    (
        "agentmc.instructions",
        "response.200",
        "/files",
        "required",
        ON_ACCEPT,
        "absent reads as none, as null does",
    ),
    ("achilles.heartbeat", "request", "/current_task", "required", ON_ACCEPT, "PA-7: absent reads as null"),
    (
        "achilles.heartbeat",
        "request",
        "/last_task_completed",
        "required",
        ON_ACCEPT,
        "PA-7: absent reads as null",
    ),
    (
        "achilles.report_status",
        "response.200",
        "/data/payload/metadata/target",
        "type",
        ON_ACCEPT,
        "PA-22: a text in an early design",
    ),
    ("achilles.report_status", "response.400", "/success", "required", ON_ACCEPT, "the status decides"),
    ("achilles.report_status", "response.401", "/success", "required", ON_ACCEPT, "the status decides"),
    ("achilles.report_status", "response.403", "/success", "required", ON_ACCEPT, "the status decides"),
    ("achilles.report_status", "response.404", "/success", "required", ON_ACCEPT, "the status decides"),
    ("achilles.report_status", "response.429", "/success", "required", ON_ACCEPT, "the status decides"),
    ("achilles.version", "response.401", "/success", "required", ON_ACCEPT, "the status decides"),
    ("achilles.version", "response.429", "/success", "required", ON_ACCEPT, "the status decides"),
    ("achilles.download_binary", "response.400", "/success", "required", ON_ACCEPT, "the status decides"),
    ("achilles.download_binary", "response.401", "/success", "required", ON_ACCEPT, "the status decides"),
    ("achilles.download_binary", "response.404", "/success", "required", ON_ACCEPT, "the status decides"),
];

const ON_ACCEPT: Option<Side> = Some(Side::Accept);

/// What is wrong with how a side holds a constraint.
fn fault(operation: &str, constraint: &Constraint, ours: &Ours, side: Side) -> Option<String> {
    let Constraint { place, keyword, value, .. } = constraint;
    let by_rule = rules_of(operation)
        .iter()
        .any(|rule| rule.pointer == place && rule.sides.cover(side) && states(rule, constraint));
    if by_rule {
        return None;
    }
    match keyword.as_str() {
        "type" => {
            let theirs: BTreeSet<_> =
                value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect();
            let own = ours.types(place);
            // What we write has to be of its types, and what we read of no others; but that null stands for a
            // member that may be missing (AC-8, PA-7).
            let lacking: BTreeSet<_> = match side {
                Side::Emit => own.difference(&theirs).cloned().collect(),
                Side::Accept => theirs
                    .symmetric_difference(&own)
                    .filter(|one| theirs.contains(*one) || *one != "null" || ours.requires(place))
                    .cloned()
                    .collect(),
            };
            (own.is_empty() || !lacking.is_empty()).then(|| format!("types {lacking:?} of {own:?}"))
        }
        "required" => (!ours.requires(place)).then(|| "it may be missing".to_owned()),
        "format" if value != "ipv4|ipv6" => {
            (!ours.says(place, "format", value)).then(|| "the type has another format".to_owned())
        }
        "enum" => (!ours.says(place, "enum", value)).then(|| "other words are taken".to_owned()),
        _ => Some("no rule states it".to_owned()),
    }
}

/// A part of an operation in its source, with the types that stand for it on both sides.
struct Part {
    name: String,
    constraints: Vec<Constraint>,
    ours: [Ours; 2],
}

fn parts<E: Validate>(documents: &BTreeMap<String, Value>) -> Vec<Part>
where
    <E::Request as Request>::Body: JsonSchema,
    E::Reply: Carries,
    E::Error: JsonSchema,
{
    let document = &documents[E::Vendor::ID];
    let operation = &document["paths"][E::PATH][E::METHOD.as_str().to_ascii_lowercase()];
    assert!(operation.is_object(), "{} stands in its source", E::ID);
    let mut parts = Vec::new();
    let mut part = |name: String, body: &Value, ours: [Ours; 2]| {
        let body = if body["$ref"].is_string() { resolved(document, body) } else { body.clone() };
        let mut contents = body["content"].as_object().into_iter().flatten();
        if let Some((media, content)) = contents.next() {
            if E::Reply::SHAPES.iter().any(|shape| shape.content == Content::Bytes) && name == "response.200"
            {
                let schema = &content["schema"];
                let said = (media.as_str(), schema["type"].as_str(), schema["format"].as_str());
                assert_eq!(said, ("application/octet-stream", Some("string"), Some("binary")), "{}", E::ID);
                return;
            }
            assert_eq!((media.as_str(), contents.count()), ("application/json", 0), "{} {name}", E::ID);
            let mut constraints = Vec::new();
            walk(document, &content["schema"], "", "", &mut constraints);
            assert!(!constraints.is_empty(), "{} {name}", E::ID);
            parts.push(Part { name, constraints, ours });
        }
    };
    part(
        "request".to_owned(),
        &operation["requestBody"],
        SIDES.map(Ours::of::<<E::Request as Request>::Body>),
    );
    for (status, answer) in operation["responses"].as_object().unwrap() {
        let ours = if status.starts_with('2') {
            SIDES.map(Ours::of::<<E::Reply as Carries>::Body>)
        } else {
            SIDES.map(Ours::of::<E::Error>)
        };
        part(format!("response.{status}"), answer, ours);
    }
    parts
}

/// What a source asks of an operation's parameters, and whether ours ask the same.
fn parameter_faults<E: Validate>(documents: &BTreeMap<String, Value>) -> Vec<String> {
    let document = &documents[E::Vendor::ID];
    let operation = &document["paths"][E::PATH][E::METHOD.as_str().to_ascii_lowercase()];
    let mut faults = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let place = match parameter["in"].as_str().unwrap() {
            "path" => ParamPlace::Path,
            "query" => ParamPlace::Query,
            "header" => ParamPlace::Header,
            other => panic!("{name} is in {other}"),
        };
        let own = E::Params::LIST.iter().find(|own| own.name == name && own.place == place);
        if own.is_none_or(|own| Value::Bool(own.required) != parameter["required"]) {
            faults.push(format!("{} {name}: another mark of being required", E::ID));
        }
        let mut constraints = Vec::new();
        walk(document, &parameter["schema"], &format!("header:{name}"), "", &mut constraints);
        for constraint in constraints.iter().filter(|one| one.keyword != "type") {
            for side in SIDES {
                let stated = rules_of(E::ID).iter().any(|rule| {
                    rule.pointer == constraint.place && rule.sides.cover(side) && states(rule, constraint)
                });
                if !stated {
                    faults.push(format!("{} {}: {} by no rule", E::ID, constraint.place, constraint.keyword));
                }
            }
        }
    }
    faults
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The sources, with what deviations replace in schemas that operations share. What they add there is no constraint
/// of a source.
fn documents() -> BTreeMap<String, Value> {
    let mut documents: BTreeMap<_, _> =
        source::read(root()).unwrap().into_iter().map(|one| (one.vendor, one.document)).collect();
    for patch in deviations::read(root()).unwrap() {
        if patch.side == "document" && patch.op == Op::Replace {
            let document = documents.get_mut(&patch.operation).unwrap();
            *document.pointer_mut(&patch.at).unwrap() = patch.value.unwrap();
        }
    }
    documents
}

macro_rules! every_part {
    ([$documents:ident] $($operation:path,)*) => {
        [$((<$operation as Endpoint>::ID, parts::<$operation>(&$documents))),*]
    };
}

#[test]
fn every_constraint_of_the_sources_has_a_rule_or_is_held_by_a_type() {
    let documents = documents();
    let patches = deviations::read(root()).unwrap();
    // A patch of the keyword itself, or one of the whole schema that says otherwise.
    let is_patched = |operation: &str, part: &str, constraint: &Constraint| {
        patches.iter().filter(|one| one.operation == operation && one.side == part).any(|one| {
            let keyword = constraint.at.strip_prefix(&one.at).and_then(|rest| rest.strip_prefix('/'));
            one.at == constraint.at
                || keyword.is_some_and(|keyword| {
                    let (was, value) = (one.was.as_ref(), one.value.as_ref());
                    was.and_then(|was| was.get(keyword)) != value.and_then(|value| value.get(keyword))
                })
        })
    };
    let mut counted = 0;
    let mut missing = Vec::new();
    let mut unused: BTreeSet<usize> = (0..NOT_HELD.len()).collect();
    for (operation, parts) in for_each_endpoint!(every_part!(documents)) {
        for part in &parts {
            for constraint in &part.constraints {
                counted += 1;
                if is_patched(operation, &part.name, constraint) {
                    continue;
                }
                for (side, ours) in SIDES.into_iter().zip(&part.ours) {
                    let Some(fault) = fault(operation, constraint, ours, side) else { continue };
                    let Constraint { place, keyword, .. } = constraint;
                    let named = NOT_HELD.iter().position(|(o, p, at, k, s, _)| {
                        *o == operation
                            && *p == part.name
                            && at == place
                            && k == keyword
                            && s.is_none_or(|s| s == side)
                    });
                    match named {
                        Some(index) => drop(unused.remove(&index)),
                        None => missing.push(format!(
                            "{operation} {} {place}: {keyword} {} is not held by {side:?}: {fault}",
                            part.name, constraint.value
                        )),
                    }
                }
            }
        }
    }
    macro_rules! parameters {
        ([] $($operation:path,)*) => { [$(parameter_faults::<$operation>(&documents)),*] };
    }
    missing.extend(for_each_endpoint!(parameters!()).into_iter().flatten());
    assert!(missing.is_empty(), "{} constraints:\n{}", missing.len(), missing.join("\n"));
    let unused: Vec<_> = unused.into_iter().map(|index| NOT_HELD[index]).collect();
    assert!(unused.is_empty(), "held after all: {unused:#?}");
    assert!(counted > 300, "{counted} constraints were found");
}

/// The proof is no proof if a bound that is off by one passes.
#[test]
fn a_bound_that_no_rule_has_is_missed() {
    let documents = documents();
    let mut changed = 0;
    for (operation, parts) in for_each_endpoint!(every_part!(documents)) {
        for part in parts {
            for mut constraint in part.constraints {
                constraint.value = match (constraint.keyword.as_str(), &constraint.value) {
                    ("minimum" | "maximum" | "minLength" | "maxLength", bound) => {
                        (bound.as_i64().unwrap() + 1).into()
                    }
                    ("pattern" | "format", text) => format!("{}x", text.as_str().unwrap()).into(),
                    _ => continue,
                };
                changed += 1;
                for (side, ours) in SIDES.into_iter().zip(&part.ours) {
                    let fault = fault(operation, &constraint, ours, side);
                    assert!(fault.is_some(), "{operation} {}: {constraint:?}", part.name);
                }
            }
        }
    }
    assert!(changed > 50, "{changed}");
}

/// A node's own places in documents: those of its `x-origin`, of what that adds, and of the branches of its choice.
fn origins(node: &Value, out: &mut BTreeSet<(String, String)>) {
    let also = node["x-origin"]["also"].as_array().into_iter().flatten();
    for origin in std::iter::once(&node["x-origin"]).chain(also) {
        if let (Some(document), Some(place)) = (origin["document"].as_str(), origin["place"].as_str()) {
            out.insert((document.to_owned(), place.to_owned()));
        }
    }
    for branch in node["oneOf"].as_array().into_iter().flatten() {
        origins(branch, out);
    }
}

/// The node of a source at a rule's pointer.
fn source_node(document: &Value, operation: &Value, pointer: &str) -> Option<Value> {
    if let Some(name) = pointer.strip_prefix("header:") {
        let parameters = operation["parameters"].as_array()?;
        return parameters.iter().find(|one| one["name"] == name).cloned();
    }
    let body = resolved(document, &operation["requestBody"]);
    let mut node = resolved(document, body.pointer("/content/application~1json/schema")?);
    for segment in pointer.split('/').skip(1) {
        let inner = if segment == "*" { node.get("items")? } else { node.get("properties")?.get(segment)? };
        node = resolved(document, inner);
    }
    Some(node)
}

/// Whether the source's node at a rule's place says what the rule says, in a keyword or in its words.
fn says_so(rule: &Rule, document: &Value, operation: &Value, constraints: &[Constraint]) -> bool {
    let by_keyword = constraints.iter().any(|one| one.place == rule.pointer && states(rule, one));
    if by_keyword {
        return true;
    }
    let Some(node) = source_node(document, operation, rule.pointer) else { return false };
    let words = |keyword: &str, words: &str| node[keyword].as_str().is_some_and(|text| text.contains(words));
    match rule.keyword {
        Keyword::Time => words("x-format", "ISO 8601"),
        Keyword::Uuid => words("x-format", "UUID"),
        Keyword::RequiredWith(other) | Keyword::OnlyWith(other) => words("description", &other[1..]),
        _ => false,
    }
}

fn unfounded<E: Validate>(documents: &BTreeMap<String, Value>) -> Vec<String> {
    let document = &documents[E::Vendor::ID];
    let operation = &document["paths"][E::PATH][E::METHOD.as_str().to_ascii_lowercase()];
    let mut constraints = Vec::new();
    if operation["requestBody"].is_object() {
        let body = resolved(document, &operation["requestBody"]);
        walk(document, &body["content"]["application/json"]["schema"], "", "", &mut constraints);
    }
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let place = format!("header:{}", parameter["name"].as_str().unwrap());
        walk(document, &parameter["schema"], &place, "", &mut constraints);
    }
    let mut faults = Vec::new();
    for rule in E::RULES.iter().filter(|rule| !rule.is_house_rule()) {
        let Origin::Source { document: name, place, .. } = rule.origin else {
            unreachable!("it is no house rule")
        };
        if !says_so(rule, document, operation, &constraints) {
            faults.push(format!("{}: the source does not say so; is it a house rule?", rule.id));
        }
        // A mark of being required stands in the object, and a choice of two places in either.
        let mut here = BTreeSet::new();
        let parent = rule.pointer.rsplit_once('/').map(|(parent, _)| parent);
        let other = match rule.keyword {
            Keyword::RequiredUnless(other) => Some(other),
            _ => None,
        };
        for pointer in [Some(rule.pointer), parent, other].into_iter().flatten() {
            let node = source_node(document, operation, pointer).unwrap_or_default();
            origins(&node, &mut here);
            origins(&node["schema"], &mut here);
        }
        let place = place.strip_suffix("/required").unwrap_or(place).trim_end_matches('/');
        if !here.contains(&(name.to_owned(), place.to_owned())) {
            faults.push(format!("{}: {name}, {place} is not where its node is from: {here:?}", rule.id));
        }
    }
    faults
}

#[test]
fn every_rule_is_a_constraint_of_its_source_or_a_house_rule() {
    let documents = documents();
    macro_rules! every {
        ([] $($operation:path,)*) => { [$(unfounded::<$operation>(&documents)),*] };
    }
    let faults: Vec<_> = for_each_endpoint!(every!()).into_iter().flatten().collect();
    assert!(faults.is_empty(), "{} rules:\n{}", faults.len(), faults.join("\n"));
    let sourced = rules().filter(|rule| !rule.is_house_rule()).count();
    assert!(sourced > 60, "{sourced} rules of sources");
}
