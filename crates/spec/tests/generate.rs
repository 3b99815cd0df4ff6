//! The generated documents: whole, stable, and what the sources and the rules say.

#![expect(clippy::unwrap_used, reason = "a document that is not as expected has failed its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fleetwire_spec::claims::{Role, Standing, conform};
use fleetwire_spec::document::Document;
use fleetwire_spec::generate::{
    COMMAND, Error, OPERATIONS_BEGIN, OPERATIONS_END, Version, documents, json_schemas, openapi, vendors,
    with_operations,
};
use fleetwire_spec::inclusion::{Prover, Settings};
use fleetwire_validation::{Keyword, Rule, Side, Sides, rules};
use serde_json::{Value, json};

const VERSIONS: [Version; 2] = [Version::V31, Version::V30];
const SIDES: [Side; 2] = [Side::Emit, Side::Accept];
const BRANCHES: [&str; 3] = ["allOf", "anyOf", "oneOf"];

fn document(vendor: &str, version: Version) -> Value {
    openapi(vendor, version).unwrap()
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values())
}

/// Calls `visit` with each schema of an OpenAPI document or of a JSON Schema file.
fn each_schema(document: &Value, visit: &mut impl FnMut(&Value)) {
    fn within(schema: &Value, visit: &mut impl FnMut(&Value)) {
        visit(schema);
        for keyword in BRANCHES {
            schema[keyword].as_array().into_iter().flatten().for_each(|branch| within(branch, visit));
        }
        for keyword in ["properties", "$defs"] {
            schema[keyword].as_object().into_iter().flatten().for_each(|(_, member)| within(member, visit));
        }
        for keyword in ["items", "additionalProperties", "not"] {
            if schema[keyword].is_object() {
                within(&schema[keyword], visit);
            }
        }
    }
    fn outside(value: &Value, visit: &mut impl FnMut(&Value)) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if name == "schema" { within(value, visit) } else { outside(value, visit) }
                }
            }
            Value::Array(elements) => elements.iter().for_each(|value| outside(value, visit)),
            _ => {}
        }
    }
    if document.get("openapi").is_none() {
        return within(document, visit);
    }
    document["components"]["schemas"].as_object().unwrap().values().for_each(|schema| within(schema, visit));
    outside(&document["paths"], visit);
}

fn every_document() -> Vec<Value> {
    let openapi = vendors().into_iter().flat_map(|vendor| VERSIONS.map(|version| document(vendor, version)));
    let schemas = vendors()
        .into_iter()
        .flat_map(|vendor| SIDES.map(|side| json_schemas(vendor, side).unwrap()))
        .flat_map(|files| files.into_iter().map(|(_, schema)| schema));
    openapi.chain(schemas).collect()
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => resolved(document, document.pointer(&reference[1..]).unwrap()),
        None => schema,
    }
}

/// A schema, what it refers to, and the branches of its choices.
fn alternatives<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let schema = resolved(document, schema);
    let branches = BRANCHES.iter().flat_map(|keyword| schema[*keyword].as_array().into_iter().flatten());
    std::iter::once(schema).chain(branches.flat_map(|branch| alternatives(document, branch))).collect()
}

/// The schemas at a place of a rule.
fn at<'a>(document: &'a Value, root: &'a Value, pointer: &str) -> Vec<&'a Value> {
    let mut here = alternatives(document, root);
    for segment in pointer.split('/').skip(1) {
        here = here
            .into_iter()
            .filter_map(|schema| match segment {
                "*" => schema.get("items"),
                name => schema.get("properties")?.get(name),
            })
            .flat_map(|schema| alternatives(document, schema))
            .collect();
    }
    here
}

#[test]
fn every_reference_resolves() {
    for document in every_document() {
        let mut references = 0;
        each_schema(&document, &mut |schema| {
            if let Some(reference) = schema["$ref"].as_str() {
                assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
                references += 1;
            }
        });
        let shared = document.pointer("/components/schemas").or_else(|| document.get("$defs"));
        assert_eq!(references > 0, shared.is_some_and(|shared| !shared.as_object().unwrap().is_empty()));
    }
}

#[test]
fn every_operation_and_every_answer_is_described() {
    for vendor in vendors() {
        for version in VERSIONS {
            let document = document(vendor, version);
            let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
            for operation in operations(&document) {
                let text =
                    |pointer: &str| operation.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                assert!(text("/description").len() > 10, "{operation}");
                assert_ne!(text("/summary"), text("/x-fleetwire-id"));
                assert!(!text("/operationId").is_empty());
                assert!(tags.contains(&&operation["tags"][0]), "{operation}");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    assert!(
                        parameter["description"].as_str().is_some_and(|text| text.len() > 5),
                        "{parameter}"
                    );
                    assert_eq!(parameter["schema"]["type"], "string");
                }
                for (status, answer) in operation["responses"].as_object().unwrap() {
                    assert!(
                        answer["description"].as_str().is_some_and(|text| text.len() > 5),
                        "{status}: {answer}"
                    );
                    // What carries nothing by its status: no task, the same file still, no such part of it.
                    let is_bare = ["204", "304", "416"].contains(&status.as_str());
                    assert_eq!(answer["content"].is_null(), is_bare, "{status}: {operation}");
                }
            }
        }
    }
}

#[test]
fn names_are_the_sources() {
    let names = |vendor: &str| -> Vec<(String, String)> {
        let document = document(vendor, Version::V31);
        operations(&document)
            .map(|operation| {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                (text(&operation["operationId"]), text(&operation["tags"][0]))
            })
            .collect()
    };
    let zstacks: BTreeSet<_> = [
        "AutoRegisterHeartbeat",
        "GetActionResult",
        "Heartbeat",
        "ListByLifecycleStatus",
        "RegisterAgent",
        "SendAction",
    ]
    .map(|name| (name.to_owned(), "Infrastructure/Agents".to_owned()))
    .into();
    assert_eq!(names("zstack").into_iter().collect::<BTreeSet<_>>(), zstacks);
    let agentmcs = ["agentHeartbeat", "getAgentInstructions"];
    assert_eq!(names("agentmc"), agentmcs.map(|name| (name.to_owned(), "Agents".to_owned())));
    for vendor in vendors() {
        let (ours, source) = (document(vendor, Version::V31), source(vendor));
        for (path, item) in source["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let own = &ours["paths"][path][method];
                assert!(own.is_object(), "{method} {path}");
                // A scheme of the source's is one of ours by its name; we may take another besides.
                for requirement in operation["security"].as_array().unwrap() {
                    assert!(own["security"].as_array().unwrap().contains(requirement), "{method} {path}");
                }
            }
        }
        for (name, scheme) in source["components"]["securitySchemes"].as_object().unwrap() {
            if name == "SessionCookieAuth" {
                continue;
            }
            let own = &ours["components"]["securitySchemes"][name];
            for keyword in ["type", "in", "name", "scheme"] {
                assert_eq!(own.get(keyword), scheme.get(keyword), "{name}");
            }
        }
    }
}

#[test]
fn documents_are_the_same_each_time() {
    let first = documents().unwrap();
    assert_eq!(first, documents().unwrap());
    let paths: BTreeSet<_> = first.iter().map(|document| &document.path).collect();
    assert_eq!(paths.len(), first.len());
    for document in &first {
        assert!(document.content.ends_with('\n') && !document.content.ends_with("\n\n"), "{}", document.path);
        assert!(document.content.contains(COMMAND), "{}", document.path);
        assert!(!document.path.starts_with('/') && !document.path.contains('\\'), "{}", document.path);
    }
    for vendor in vendors() {
        for ending in ["json", "3.0.json"] {
            assert!(paths.contains(&format!("schemas/openapi/{vendor}.{ending}")), "{vendor}");
        }
    }
    assert!(paths.contains(&"schemas/json-schema/acusight/handlers.CheckinRequest.accept.json".to_owned()));
}

#[test]
fn no_schema_says_nothing() {
    const SAYS: [&str; 9] = ["type", "$ref", "allOf", "anyOf", "oneOf", "not", "required", "format", "enum"];
    for document in every_document() {
        each_schema(&document, &mut |schema| {
            let node = schema.as_object().unwrap_or_else(|| panic!("{schema} in {}", document["title"]));
            assert!(SAYS.iter().any(|keyword| node.contains_key(*keyword)), "{schema}");
        });
    }
}

#[test]
fn each_version_keeps_to_its_own_keywords() {
    const ONLY_31: [&str; 9] = [
        "const",
        "examples",
        "prefixItems",
        "$defs",
        "$schema",
        "$id",
        "patternProperties",
        "if",
        "unevaluatedProperties",
    ];
    for vendor in vendors() {
        let (v31, v30) = (document(vendor, Version::V31), document(vendor, Version::V30));
        assert_eq!((&v31["openapi"], &v30["openapi"]), (&json!("3.1.0"), &json!("3.0.3")));
        assert!(v31["info"]["license"]["identifier"].is_string());
        assert!(v30["info"]["license"].get("identifier").is_none());
        let (mut nullable, mut null) = (0, 0);
        each_schema(&v30, &mut |schema| {
            for keyword in ONLY_31 {
                assert!(schema.get(keyword).is_none(), "{keyword} in {schema}");
            }
            assert!(schema.get("type").is_none_or(|name| name.is_string() && name != "null"), "{schema}");
            assert!(schema.get("$ref").is_none() || schema.as_object().unwrap().len() == 1, "{schema}");
            assert!(schema["exclusiveMinimum"].as_f64().is_none(), "{schema}");
            nullable += usize::from(schema["nullable"] == true);
        });
        each_schema(&v31, &mut |schema| {
            for keyword in ["nullable", "example"] {
                assert!(schema.get(keyword).is_none(), "{keyword} in {schema}");
            }
            null +=
                usize::from(schema["type"].as_array().is_some_and(|names| names.contains(&json!("null"))));
            let branches = schema["anyOf"].as_array().into_iter().flatten();
            null += branches.filter(|branch| **branch == json!({ "type": "null" })).count();
        });
        assert_eq!(nullable, null, "{vendor}");
        assert_eq!(null > 0, matches!(vendor, "agentmc" | "achilles"), "{vendor}");
    }
}

#[test]
fn what_is_written_is_null_only_where_it_must_be_there() {
    let admits_null = |schema: &Value| {
        let types = schema["type"].as_array().into_iter().flatten();
        let branches = schema["anyOf"].as_array().into_iter().flatten();
        types.chain(branches.map(|branch| &branch["type"])).any(|name| name == "null")
    };
    for vendor in vendors() {
        for (name, file) in json_schemas(vendor, Side::Emit).unwrap() {
            each_schema(&file, &mut |schema| {
                let required = schema["required"].as_array().cloned().unwrap_or_default();
                for (member, of) in schema["properties"].as_object().into_iter().flatten() {
                    assert!(!admits_null(of) || required.contains(&json!(member)), "{name}: {member}");
                    assert!(of.get("default").is_none(), "{name}: {member}");
                }
            });
        }
    }
    let accept = |vendor: &str, name: &str| json_schemas(vendor, Side::Accept).unwrap()[name].clone();
    let checkin = accept("acusight", "handlers.CheckinRequest");
    assert_eq!(checkin["required"], json!(["device_id"]));
    for (member, of) in checkin["properties"].as_object().unwrap() {
        assert_eq!(admits_null(of), member != "device_id", "{member}");
    }
    let heartbeat = json_schemas("achilles", Side::Emit).unwrap()["HeartbeatRequest"].clone();
    assert!(admits_null(&heartbeat["properties"]["current_task"]));
    let heartbeat = accept("zstack", "HeartbeatRequest");
    assert_eq!(heartbeat["properties"]["uptime"]["type"], json!(["number", "string"]));
    assert_eq!(heartbeat["properties"]["cpu"]["maximum"], 100);
    assert!(
        heartbeat["allOf"]
            .as_array()
            .unwrap()
            .contains(&json!({ "oneOf": [{ "required": ["cpuUsage"] }, { "required": ["cpu"] }] }))
    );
}

#[test]
fn every_rule_is_a_keyword_at_its_place_or_is_told_in_words() {
    for vendor in vendors() {
        for side in SIDES {
            let files = json_schemas(vendor, side).unwrap();
            let document = document(vendor, Version::V31);
            for rule in rules().filter(|rule| rule.operation.starts_with(&format!("{vendor}."))) {
                let operation = operations(&document)
                    .find(|operation| operation["x-fleetwire-id"] == rule.operation)
                    .unwrap_or_else(|| panic!("{}", rule.operation));
                if let Some(header) = rule.pointer.strip_prefix("header:") {
                    let parameters = operation["parameters"].as_array().unwrap();
                    let parameter = parameters.iter().find(|parameter| parameter["name"] == header).unwrap();
                    assert!(states(&parameter["schema"], rule), "{}", rule.id);
                    continue;
                }
                let body = &operation["requestBody"]["content"]["application/json"]["schema"];
                let name = body["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
                let file = &files[name];
                let told = file["x-rules"]
                    .as_array()
                    .is_some_and(|told| told.iter().any(|one| one["id"] == rule.id));
                let laid = is_laid(file, rule);
                // A rule of one side says nothing of the other, but that what is not taken is not sent.
                match (side, rule.sides) {
                    (Side::Accept, Sides::Emit) => assert!(!told && !laid, "{}", rule.id),
                    (Side::Emit, Sides::Accept) => assert!(!told, "{}", rule.id),
                    _ => assert!(laid != told, "{} is a keyword: {laid}; in words: {told}", rule.id),
                }
                assert!(!(has_keyword(rule) && told), "{} is told in words", rule.id);
            }
        }
    }
}

#[test]
fn every_rule_has_its_row_and_its_anchor() {
    let documents = documents().unwrap();
    let table = &documents.iter().find(|document| document.path == "docs/rules.md").unwrap().content;
    for rule in rules() {
        let anchor = format!("| <a id=\"{}\"></a>", rule.id);
        let row: Vec<_> = table.lines().filter(|line| line.starts_with(&anchor)).collect();
        let [row] = row[..] else { panic!("{} has {} rows", rule.id, row.len()) };
        assert!(row.contains(&rule.statement.replace('|', "\\|")), "{row}");
        assert_eq!(row.contains("*house rule*"), rule.is_house_rule(), "{row}");
        assert_eq!(row.contains("held by the type"), rule.held_by_type, "{row}");
        let severity = format!("{:?}", rule.severity).to_lowercase();
        assert!(row.contains(&format!("| {severity} |")), "{row}");
    }
}

/// Whether a keyword can say the rule exactly.
fn has_keyword(rule: &Rule) -> bool {
    rule.keyword == Keyword::Required || rule.keyword.schema().is_some()
}

fn is_laid(file: &Value, rule: &Rule) -> bool {
    let (parent, member) = rule.pointer.rsplit_once('/').unwrap();
    match rule.keyword {
        Keyword::Required => at(file, file, parent)
            .iter()
            .any(|schema| schema["required"].as_array().is_some_and(|names| names.contains(&json!(member)))),
        _ => at(file, file, rule.pointer).iter().any(|schema| states(schema, rule)),
    }
}

fn states(schema: &Value, rule: &Rule) -> bool {
    let is = |keyword: &str, bound: Value| schema[keyword] == bound;
    match rule.keyword {
        Keyword::Minimum(min) => is("minimum", min.into()),
        Keyword::Range { min, max } => is("minimum", min.into()) && is("maximum", max.into()),
        Keyword::MinLength(min) => is("minLength", min.into()),
        Keyword::MaxLength(max) => is("maxLength", max.into()),
        Keyword::Pattern(pattern) => is("pattern", pattern.into()),
        Keyword::Words(words) => is("enum", words.split(", ").collect()),
        Keyword::Ip => is("anyOf", json!([{ "format": "ipv4" }, { "format": "ipv6" }])),
        Keyword::Uuid => is("format", "uuid".into()),
        Keyword::Items(exactly) => is("minItems", exactly.into()) && is("maxItems", exactly.into()),
        Keyword::MaxMembers(max) => is("maxProperties", max.into()),
        _ => false,
    }
}

#[test]
fn rules_of_one_place_do_not_reach_another_of_the_same_type() {
    let files = json_schemas("agentmc", Side::Emit).unwrap();
    let file = &files["StoreAgentHeartbeatApiRequest"];
    let required = |pointer| at(file, file, pointer)[0]["required"].clone();
    assert_eq!(required("/agent"), json!(["id", "identity", "name"]));
    assert_eq!(required("/agents/*"), json!(["identity", "name"]));
}

fn source(vendor: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../schemas/source/{vendor}.yaml"));
    yaml_serde::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The members of a schema and of what is in it, each with whether it is required.
fn members(document: &Value, schema: &Value, place: &str, found: &mut BTreeMap<String, bool>) {
    for schema in alternatives(document, schema) {
        let required = schema["required"].as_array();
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}/{name}");
            let required = required.is_some_and(|names| names.contains(&json!(name)));
            *found.entry(place.clone()).or_default() |= required;
            members(document, member, &place, found);
        }
        if schema["items"].is_object() {
            members(document, &schema["items"], &format!("{place}/*"), found);
        }
    }
}

/// Holds our components to the source's: no member is missing, the marks agree but for `marks`, and what we have
/// besides is exactly `extra` (with all that is in it).
fn compare(vendor: &str, extra: &[&str], marks: &[&str]) {
    let (ours, source) = (document(vendor, Version::V31), source(vendor));
    let of = |document: &Value| {
        let mut found = BTreeMap::new();
        for name in source["components"]["schemas"].as_object().unwrap().keys() {
            let schema = &document["components"]["schemas"][name];
            assert!(schema.is_object(), "{vendor} has no {name}");
            members(document, schema, name, &mut found);
        }
        found
    };
    let (own, theirs) = (of(&ours), of(&source));
    let missing: Vec<_> = theirs.keys().filter(|place| !own.contains_key(*place)).collect();
    assert!(missing.is_empty(), "{vendor} lacks {missing:?}");
    let differing: Vec<_> =
        theirs.iter().filter(|(place, required)| own[*place] != **required).map(|(place, _)| place).collect();
    assert_eq!(differing, marks, "{vendor}");
    let beside: Vec<_> = own.keys().filter(|place| !theirs.contains_key(*place)).collect();
    let below = |place: &str| {
        extra.iter().any(|extra| place.strip_prefix(extra).is_some_and(|rest| rest.starts_with('/')))
    };
    let beside: Vec<_> = beside.into_iter().filter(|place| !below(place)).collect();
    assert_eq!(beside, extra, "{vendor}");
}

#[test]
fn acusights_components_have_the_sources_members() {
    compare(
        "acusight",
        &[
            "DeviceActions/actions/*/payload",
            "DeviceCheckinResponse/data/actions/*/payload",
            "handlers.CheckinResponse/pending_actions/*/payload",
            "models.DeviceAction/payload",
        ],
        &[
            "DeviceActions/actions",
            "DeviceCheckinResponse/data",
            "DeviceCheckinResponse/data/actions",
            "ErrorEnvelope/error",
            "ErrorEnvelope/success",
            "handlers.CheckinResponse/pending_actions",
        ],
    );
}

#[test]
fn agentmcs_components_have_the_sources_members() {
    compare(
        "agentmc",
        &[
            "AgentHeartbeatResponse/agent",
            "AgentHeartbeatResponse/agents",
            "AgentHeartbeatResponse/defaults",
            "AgentHeartbeatResponse/host/agent_runtime",
            "AgentHeartbeatResponse/host/agent_runtime_version",
            "AgentHeartbeatResponse/host_runtime_commands",
            "Host/agent_runtime",
            "Host/agent_runtime_version",
            "StoreAgentHeartbeatApiRequest/agent/emoji",
            "StoreAgentHeartbeatApiRequest/agent/meta",
            "StoreAgentHeartbeatApiRequest/agents",
            "StoreAgentHeartbeatApiRequest/host_runtime_updates",
        ],
        &[],
    );
}

#[test]
fn table_goes_between_its_marks_and_nowhere_else() {
    let readme = format!("before\n{OPERATIONS_BEGIN}\nold\n{OPERATIONS_END}\nafter\n");
    let once = with_operations(&readme).unwrap();
    assert!(once.starts_with("before\n") && once.ends_with("\nafter\n") && !once.contains("old"));
    assert!(once.contains("| `acusight.checkin` | `POST /core/agent/checkin` | `X-Device-Key` |"));
    assert_eq!(with_operations(&once).unwrap(), once);
    for text in ["", OPERATIONS_BEGIN, &format!("{OPERATIONS_END}{OPERATIONS_BEGIN}")] {
        assert!(matches!(with_operations(text), Err(Error::NoMarks)), "{text}");
    }
}

#[test]
fn vendor_that_there_is_not_has_no_document() {
    assert!(matches!(openapi("acme", Version::V31), Err(Error::UnknownVendor(name)) if name == "acme"));
    assert!(json_schemas("", Side::Emit).is_err());
}

/// What a reader of the one document may send and be sent is what a reader of the other may.
#[test]
fn documents_of_both_versions_say_the_same() {
    let mut prover = Prover::new(Settings::default());
    for vendor in vendors() {
        let document = |version| {
            let text = openapi(vendor, version).unwrap().to_string();
            Document::parse(&format!("{vendor}.json"), text.as_bytes()).unwrap()
        };
        let (new, old) = (document(Version::V31), document(Version::V30));
        for (one, other) in [(&new, &old), (&old, &new)] {
            for role in [Role::Server, Role::Client] {
                let found = conform(one, other, role, &[], &mut prover);
                let unproved: Vec<_> = found
                    .claims
                    .iter()
                    .filter(|claimed| claimed.standing != Standing::Proved)
                    .map(ToString::to_string)
                    .collect();
                assert_eq!(unproved, [""; 0], "{vendor}, {role}");
                assert!(found.claims.len() > 3, "{vendor}, {role}");
            }
        }
    }
}
