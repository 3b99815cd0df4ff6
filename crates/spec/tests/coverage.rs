//! What the comparison of a source with the documents from the types finds when the source is changed in one
//! place.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::Path;

use fleetwire_spec::coverage::{Coverage, Name, compare};
use fleetwire_spec::generate::{self, Version};
use fleetwire_spec::source::{self, Source};
use fleetwire_spec::{Contracts, Finding, Kind, deviations, names, prove};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn source(vendor: &str) -> Source {
    let sources = source::read(root()).unwrap();
    sources.into_iter().find(|source| source.vendor == vendor).unwrap()
}

fn generated(vendor: &str) -> Value {
    generate::openapi(vendor, Version::V31).unwrap()
}

/// What is found when the source is changed and our types stay as they are, the deviations applied.
fn found(vendor: &str, change: impl FnOnce(&mut Value)) -> Vec<Finding> {
    let unchanged = source(vendor).document;
    let mut source = unchanged.clone();
    change(&mut source);
    assert_ne!(source, unchanged, "the change changes something");
    let ours = generated(vendor);
    let deviations = deviations::read(root()).unwrap();
    compare(vendor, &source, &ours, &names(), &deviations.iter().collect::<Vec<_>>()).findings
}

/// A finding in brief: id, operation, part, place.
fn brief(finding: &Finding) -> String {
    let operation = finding.operation.as_deref().unwrap_or("-");
    let side = finding.side.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    format!("{} {operation}, {side}: {} | {} | {}", finding.id, finding.pointer, finding.source, finding.ours)
}

fn briefs(vendor: &str, change: impl FnOnce(&mut Value)) -> Vec<String> {
    found(vendor, change).iter().map(brief).collect()
}

fn object<'a>(document: &'a mut Value, pointer: &str) -> &'a mut serde_json::Map<String, Value> {
    document.pointer_mut(pointer).and_then(Value::as_object_mut).unwrap_or_else(|| panic!("no {pointer}"))
}

fn rename(document: &mut Value, pointer: &str, from: &str, to: &str) {
    let members = object(document, pointer);
    let value = members.remove(from).unwrap();
    members.insert(to.to_owned(), value);
}

const CHECKIN: &str = "/components/schemas/handlers.CheckinRequest/properties";
const ACTION: &str = "/components/schemas/models.DeviceAction/properties";

#[test]
fn document_covers_itself() {
    for Source { vendor, document } in source::read(root()).unwrap() {
        let Coverage { findings, compared, .. } = compare(&vendor, &document, &document, &names(), &[]);
        assert_eq!(findings, [], "{vendor}");
        assert!(compared.operations > 0 && compared.members > 10, "{vendor}: {compared:?}");
    }
}

#[test]
fn sources_and_types_agree_and_every_deviation_is_needed() {
    let contracts = |vendor: &str| (vendor.to_owned(), Contracts::of(vendor).unwrap());
    let ours = generate::vendors().into_iter().map(contracts).collect();
    let deviations = deviations::read(root()).unwrap();
    let proof = prove(&source::read(root()).unwrap(), &deviations, &ours, &names());
    let findings: Vec<_> = proof.coverage.findings.iter().map(ToString::to_string).collect();
    assert_eq!(findings, [""; 0]);
    assert_eq!(proof.coverage.compared.operations, names().len());
}

#[test]
fn renamed_member_is_found() {
    assert_eq!(
        briefs("acusight", |source| rename(source, CHECKIN, "ip_address", "ip_addr")),
        ["member-renamed acusight.checkin, request: /ip_addr | ip_addr | ip_address"]
    );
}

#[test]
fn renamed_member_deep_in_a_list_of_an_answer_is_found() {
    assert_eq!(
        briefs("acusight", |source| rename(source, ACTION, "download_url", "url")),
        [
            "member-renamed acusight.checkin, response 200: /pending_actions/*/url | url | download_url",
            "member-renamed acusight.device_checkin, response 200: /data/actions/*/url | url | download_url",
        ],
        "both check-ins answer with actions"
    );
}

#[test]
fn removed_member_is_found() {
    assert_eq!(
        briefs("acusight", |source| {
            object(source, ACTION).remove("label_map");
        }),
        [
            "member-added acusight.checkin, response 200: /pending_actions/*/label_map | nothing | string, optional",
            "member-added acusight.device_checkin, response 200: /data/actions/*/label_map | nothing | string, \
             optional",
        ]
    );
}

#[test]
fn added_member_is_found_with_its_origin() {
    let findings = found("acusight", |source| {
        let origin = json!({"document": "newer-page", "place": "Body", "how": "example"});
        object(source, CHECKIN).insert("uptime".into(), json!({"type": "integer", "x-origin": origin}));
    });
    assert_eq!(
        findings.iter().map(brief).collect::<Vec<_>>(),
        ["member-lost acusight.checkin, request: /uptime | integer, optional | nothing"]
    );
    assert_eq!(findings[0].origin.as_ref().unwrap().to_string(), "newer-page, Body, example");
}

#[test]
fn finding_without_an_origin_of_its_own_takes_that_of_its_surroundings() {
    let findings = found("acusight", |source| {
        object(source, CHECKIN).remove("status");
    });
    let origin = findings[0].origin.as_ref().unwrap();
    assert_eq!(origin.place, "#/components/schemas/handlers.CheckinRequest");
}

#[test]
fn changed_type_is_found() {
    assert_eq!(
        briefs("acusight", |source| {
            object(source, &format!("{ACTION}/id")).insert("type".into(), json!("string"));
        }),
        [
            "type-differs acusight.checkin, response 200: /pending_actions/*/id | string | integer",
            "type-differs acusight.device_checkin, response 200: /data/actions/*/id | string | integer",
        ]
    );
    // An integer is a number, and a number is not always an integer.
    assert_eq!(
        briefs("agentmc", |source| {
            let agent = "/components/schemas/StoreAgentHeartbeatApiRequest/properties/agent/properties/id";
            object(source, agent).insert("type".into(), json!("number"));
        }),
        ["type-differs agentmc.heartbeat, request: /agent/id | number | integer"]
    );
}

#[test]
fn changed_type_of_items_and_of_map_values_is_found() {
    let meta = "/components/schemas/StoreAgentHeartbeatApiRequest/properties/meta/properties";
    assert_eq!(
        briefs("agentmc", |source| {
            *source.pointer_mut(&format!("{meta}/models/items")).unwrap() = json!({"type": "string"});
        }),
        ["type-differs agentmc.heartbeat, request: /meta/models/* | string | object or string"]
    );
    assert_eq!(
        briefs("agentmc", |source| {
            *source.pointer_mut(&format!("{meta}/tool_availability/additionalProperties")).unwrap() =
                json!(true);
        }),
        ["type-differs agentmc.heartbeat, request: /meta/tool_availability/* | anything | boolean"]
    );
}

#[test]
fn lost_branch_of_a_union_is_found() {
    assert_eq!(
        briefs("agentmc", |source| {
            let cpu = "/components/schemas/StoreAgentHeartbeatApiRequest/properties/host/properties/meta/properties/cpu";
            source.pointer_mut(&format!("{cpu}/oneOf")).unwrap().as_array_mut().unwrap().remove(1);
        }),
        ["type-differs agentmc.heartbeat, request: /host/meta/cpu | string | object or string"]
    );
}

#[test]
fn toggled_required_mark_is_found_both_ways() {
    let required = "/components/schemas/handlers.CheckinRequest";
    assert_eq!(
        briefs("acusight", |source| {
            object(source, required).insert("required".into(), json!([]));
        }),
        ["required-differs acusight.checkin, request: /device_id | optional | required"]
    );
    assert_eq!(
        briefs("acusight", |source| {
            object(source, required).insert("required".into(), json!(["device_id", "status"]));
        }),
        ["required-differs acusight.checkin, request: /status | required | optional"]
    );
}

#[test]
fn dropped_word_is_found_in_open_and_closed_lists() {
    assert_eq!(
        briefs("zstack", |source| {
            let status = object(source, "/components/schemas/Agent/properties/status");
            status.insert("x-words".into(), json!(["online", "offline"]));
        }),
        [
            "word-added zstack.register, response 200: /status | offline, online, upgrading | delayed",
            "word-added zstack.heartbeat, response 200: /status | offline, online, upgrading | delayed",
        ]
    );
    // The patch that opens the list does not hide that the list has changed.
    let found = briefs("agentmc", |source| {
        object(source, "/components/schemas/Host/properties/status").insert("enum".into(), json!(["online"]));
    });
    assert!(found[0].starts_with("deviation-misplaced agentmc.heartbeat, -: response.200"), "{found:#?}");
    assert_eq!(
        found[1..],
        [
            "bound-lost agentmc.heartbeat, response 200: /host/status | enum closed | nothing",
            "word-added agentmc.heartbeat, response 200: /host/status | online | offline",
        ]
    );
}

#[test]
fn new_word_is_found() {
    assert_eq!(
        briefs("zstack", |source| {
            let status = object(source, "/components/schemas/Agent/properties/status");
            status.insert("x-words".into(), json!(["online", "offline", "delayed", "gone"]));
        }),
        [
            "word-lost zstack.register, response 200: /status | gone | delayed, offline, online, upgrading",
            "word-lost zstack.heartbeat, response 200: /status | gone | delayed, offline, online, upgrading",
        ]
    );
}

#[test]
fn removed_and_added_statuses_are_found() {
    let responses = "/paths/~1core~1agent~1checkin/post/responses";
    assert_eq!(
        briefs("acusight", |source| {
            object(source, responses).remove("404");
        }),
        ["status-added acusight.checkin, response 404:  | nothing | 404"]
    );
    assert_eq!(
        briefs("acusight", |source| {
            let body = object(source, responses)["404"].clone();
            object(source, responses).insert("409".into(), body);
        }),
        ["status-lost acusight.checkin, response 409:  | 409 | nothing"]
    );
}

#[test]
fn unstated_success_is_met_by_any_success_and_by_nothing_else() {
    let ours = source("achilles").document;
    let mut source = ours.clone();
    let answers = |document: &mut Value, statuses: &[&str]| {
        let responses = object(document, "/paths/~1api~1agent~1heartbeat/post/responses");
        let answer = responses.remove("2XX").unwrap();
        responses.extend(statuses.iter().map(|status| ((*status).to_owned(), answer.clone())));
    };
    let mut own = ours.clone();
    answers(&mut own, &["200", "202"]);
    assert_eq!(compare("achilles", &source, &own, &names(), &[]).findings, []);

    own = ours.clone();
    answers(&mut own, &["300"]);
    let findings = compare("achilles", &source, &own, &names(), &[]).findings;
    let kinds: Vec<_> = findings.iter().map(|finding| finding.id).collect();
    assert_eq!(kinds, [Kind::StatusLost, Kind::StatusAdded]);

    // A difference in the body is found in each answer that has one.
    own = ours;
    answers(&mut own, &["200", "201"]);
    rename(&mut source, "/components/schemas/HeartbeatData/properties", "new_api_key", "next_key");
    let findings = compare("achilles", &source, &own, &names(), &[]).findings;
    assert_eq!(findings.iter().map(|finding| finding.id).collect::<Vec<_>>(), [Kind::MemberRenamed; 2]);
}

#[test]
fn renamed_removed_and_added_request_headers_are_found() {
    let parameters = "/paths/~1agents~1heartbeat/post/parameters";
    assert_eq!(
        briefs("agentmc", |source| {
            object(source, &format!("{parameters}/0")).insert("name".into(), json!("X-Fingerprint"));
        }),
        [
            "parameter-renamed agentmc.heartbeat, request: header X-Fingerprint | X-Fingerprint | X-Host-Fingerprint"
        ]
    );
    assert_eq!(
        briefs("agentmc", |source| *source.pointer_mut(parameters).unwrap() = json!([])),
        [
            "parameter-added agentmc.heartbeat, request: header X-Host-Fingerprint | nothing | string, optional"
        ]
    );
    assert_eq!(
        briefs("agentmc", |source| {
            let more = json!({"name": "X-Agent-Id", "in": "header", "schema": {"type": "integer"}});
            source.pointer_mut(parameters).unwrap().as_array_mut().unwrap().push(more);
        }),
        ["parameter-lost agentmc.heartbeat, request: header X-Agent-Id | integer, optional | nothing"]
    );
    // The case of a header's name does not travel.
    assert_eq!(
        briefs("agentmc", |source| {
            object(source, &format!("{parameters}/0")).insert("name".into(), json!("x-host-fingerprint"));
        }),
        [""; 0]
    );
}

#[test]
fn changed_parameter_is_found() {
    let parameter = "/paths/~1agents~1heartbeat/post/parameters/0";
    assert_eq!(
        briefs("agentmc", |source| {
            object(source, parameter).insert("required".into(), json!(true));
            object(source, &format!("{parameter}/schema")).insert("type".into(), json!("integer"));
        }),
        [
            "required-differs agentmc.heartbeat, request: header X-Host-Fingerprint | required | optional",
            "type-differs agentmc.heartbeat, request: header X-Host-Fingerprint | integer | string",
        ]
    );
    assert_eq!(
        briefs("agentmc", |source| {
            object(source, parameter).insert("in".into(), json!("query"));
        }),
        [
            "parameter-lost agentmc.heartbeat, request: query parameter X-Host-Fingerprint | string, optional | \
             nothing",
            "parameter-added agentmc.heartbeat, request: header X-Host-Fingerprint | nothing | string, optional",
        ]
    );
}

#[test]
fn renamed_path_parameter_is_found_once() {
    assert_eq!(
        briefs("zstack", |source| {
            rename(source, "/paths", "/api/v1/agents/{uuid}/heartbeat", "/api/v1/agents/{id}/heartbeat");
            let parameter = "/paths/~1api~1v1~1agents~1{id}~1heartbeat/put/parameters/0";
            object(source, parameter).insert("name".into(), json!("id"));
        }),
        ["parameter-renamed zstack.heartbeat, request: path parameter id | id | uuid"]
    );
}

#[test]
fn headers_of_answers_are_compared_both_ways() {
    let ok = "/paths/~1core~1agent~1checkin/post/responses/200";
    let retry = json!({"X-Retry": {"schema": {"type": "integer"}}});
    assert_eq!(
        briefs("acusight", |source| {
            object(source, ok).insert("headers".into(), retry.clone());
        }),
        ["header-lost acusight.checkin, response 200: header X-Retry | integer, optional | nothing"]
    );

    let mut ours = source("acusight").document;
    let plain = ours.clone();
    object(&mut ours, ok).insert("headers".into(), retry);
    let findings = compare("acusight", &plain, &ours, &names(), &[]).findings;
    assert_eq!(
        findings.iter().map(brief).collect::<Vec<_>>(),
        ["header-added acusight.checkin, response 200: header X-Retry | nothing | integer, optional"]
    );

    let mut source = ours.clone();
    rename(&mut source, &format!("{ok}/headers"), "X-Retry", "X-Again");
    let findings = compare("acusight", &source, &ours, &names(), &[]).findings;
    assert_eq!(
        findings.iter().map(brief).collect::<Vec<_>>(),
        ["header-renamed acusight.checkin, response 200: header X-Again | X-Again | X-Retry"]
    );
}

#[test]
fn changed_path_is_found_and_what_lies_under_it_is_still_compared() {
    assert_eq!(
        briefs("acusight", |source| {
            rename(source, "/paths", "/core/agent/checkin", "/core/agent/check-in");
            rename(source, CHECKIN, "status", "state");
        }),
        [
            "path-differs acusight.checkin, -:  | /core/agent/check-in | /core/agent/checkin",
            "member-renamed acusight.checkin, request: /state | state | status",
        ]
    );
}

#[test]
fn changed_method_is_found() {
    assert_eq!(
        briefs("acusight", |source| rename(source, "/paths/~1core~1agent~1checkin", "post", "put")),
        ["method-differs acusight.checkin, -:  | PUT | POST"]
    );
}

#[test]
fn lost_and_added_operations_are_found() {
    assert_eq!(
        briefs("acusight", |source| {
            object(source, "/paths").remove("/core/agent/checkin");
        }),
        ["operation-added acusight.checkin, -:  | nothing | POST /core/agent/checkin"]
    );
    assert_eq!(
        briefs("acusight", |source| {
            object(source, "/paths").insert("/device/settings".into(), json!({"get": {"responses": {}}}));
        }),
        ["operation-lost GET /device/settings, -:  | GET /device/settings | nothing"],
        "beside an operation of both on nearly the same path"
    );
}

#[test]
fn operation_id_and_tags_of_the_source_are_kept() {
    let operation = "/paths/~1agents~1heartbeat/post";
    assert_eq!(
        briefs("agentmc", |source| {
            object(source, operation).insert("operationId".into(), json!("hostHeartbeat"));
            object(source, operation).insert("tags".into(), json!(["Hosts"]));
        }),
        [
            "operation-id-differs agentmc.heartbeat, -:  | hostHeartbeat | agentHeartbeat",
            "tags-differ agentmc.heartbeat, -:  | Hosts | Agents",
        ]
    );
    // Where the source has none, ours are free.
    assert_eq!(
        briefs("agentmc", |source| {
            object(source, operation).remove("operationId");
            object(source, operation).remove("tags");
        }),
        [""; 0]
    );
}

#[test]
fn body_and_media_types_are_compared_both_ways() {
    let body = "/paths/~1core~1agent~1checkin/post/requestBody";
    assert_eq!(
        briefs("acusight", |source| rename(
            source,
            &format!("{body}/content"),
            "application/json",
            "text/json"
        )),
        [
            "media-type-lost acusight.checkin, request:  | text/json | nothing",
            "media-type-added acusight.checkin, request:  | nothing | application/json",
        ]
    );
    assert_eq!(
        briefs("acusight", |source| {
            object(source, body).insert("required".into(), json!(false));
        }),
        ["required-differs acusight.checkin, request:  | optional | required"]
    );
    assert_eq!(
        briefs("acusight", |source| {
            object(source, "/paths/~1core~1agent~1checkin/post").remove("requestBody");
        }),
        ["body-added acusight.checkin, request:  | nothing | a body"]
    );
    assert_eq!(
        briefs("achilles", |source| {
            let body = json!({"content": {"application/json": {"schema": {"type": "object"}}}});
            object(source, "/paths/~1api~1agent~1tasks/get").insert("requestBody".into(), body);
        }),
        ["body-lost achilles.poll_tasks, request:  | a body | nothing"]
    );
}

#[test]
fn changed_security_scheme_is_found() {
    let schemes = "/components/securitySchemes";
    assert_eq!(
        briefs("acusight", |source| {
            object(source, &format!("{schemes}/DeviceKeyAuth")).insert("name".into(), json!("X-Key"));
        }),
        ["scheme-differs -, -: securitySchemes/DeviceKeyAuth | apiKey in header x-key | \
          apiKey in header x-device-key"]
    );
    assert_eq!(
        briefs("agentmc", |source| {
            let scheme = json!({"type": "http", "scheme": "basic"});
            object(source, schemes).insert("Basic".into(), scheme);
        }),
        ["scheme-lost -, -: securitySchemes/Basic | http basic | nothing"]
    );
    assert_eq!(
        briefs("zstack", |source| {
            rename(source, schemes, "BearerAuth", "Token");
            *source.pointer_mut("/paths/~1api~1v1~1agents~1{uuid}~1heartbeat/put/security").unwrap() =
                json!([{"Token": []}]);
        }),
        ["scheme-renamed -, -: securitySchemes/Token | Token | BearerAuth"]
    );
}

#[test]
fn changed_requirement_of_credentials_is_found() {
    assert_eq!(
        briefs("achilles", |source| {
            let security = source.pointer_mut("/paths/~1api~1agent~1heartbeat/post/security").unwrap();
            *security = json!([{"AgentKey": [], "AgentId": []}]);
        }),
        [
            "security-lost achilles.heartbeat, -: security | AgentId + AgentKey | nothing",
            "security-added achilles.heartbeat, -: security | nothing | AgentId + AgentKey + RequestTimestamp",
        ]
    );
    assert_eq!(
        briefs("acusight", |source| {
            object(source, "/paths/~1core~1agent~1checkin/post").remove("security");
        }),
        [
            "security-lost acusight.checkin, -: security | no credentials | nothing",
            "security-added acusight.checkin, -: security | nothing | DeviceKeyAuth",
        ]
    );
}

#[test]
fn silent_source_is_listed_and_asks_for_nothing_more_than_it_names() {
    let source = source("achilles").document;
    let mut ours = source.clone();
    let result = "/components/schemas/TaskResultRequest";
    object(&mut ours, &format!("{result}/properties")).insert("stdout".into(), json!({"type": "string"}));
    object(&mut ours, &format!("{result}/properties/bundle_results")).insert("type".into(), json!("object"));
    let Coverage { findings, silent, .. } = compare("achilles", &source, &ours, &names(), &[]);
    assert_eq!(findings, []);
    let silent: Vec<_> = silent.iter().map(|s| format!("{} {} {}", s.operation, s.side, s.pointer)).collect();
    assert_eq!(
        silent,
        [
            "achilles.poll_tasks response 2XX ",
            "achilles.report_result request ",
            "achilles.report_result request /bundle_results",
            "achilles.report_result response 2XX ",
            "achilles.check_update response 2XX ",
        ]
    );

    object(&mut ours, &format!("{result}/properties")).remove("bundle_results");
    let findings = compare("achilles", &source, &ours, &names(), &[]).findings;
    assert_eq!(
        findings.iter().map(brief).collect::<Vec<_>>(),
        ["member-lost achilles.report_result, request: /bundle_results | anything, optional | nothing"]
    );
}

#[test]
fn schema_that_contains_itself_is_compared_to_its_end() {
    let document = |leaf: &str| {
        json!({
            "paths": {"/tree": {"post": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}},
                "responses": {},
            }}},
            "components": {"schemas": {"Node": {"type": "object", "properties": {
                "left": {"anyOf": [{"$ref": "#/components/schemas/Node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
                leaf: {"type": "string"},
            }}}},
        })
    };
    assert_eq!(compare("v", &document("leaf"), &document("leaf"), &[], &[]).findings, []);
    let findings = compare("v", &document("leaf"), &document("blade"), &[], &[]).findings;
    assert!(findings.iter().all(|finding| finding.id == Kind::MemberRenamed));
    assert_eq!(findings[0].operation.as_deref(), Some("POST /tree"));
    assert!(findings.iter().any(|finding| finding.pointer == "/leaf"));

    // The other end may have unrolled it.
    let mut flat = document("leaf");
    *flat.pointer_mut("/components/schemas/Node/properties/left").unwrap() = json!({"type": "object"});
    let findings = compare("v", &flat, &document("leaf"), &[], &[]).findings;
    assert!(
        findings.iter().any(|finding| finding.pointer == "/left/leaf" && finding.id == Kind::MemberAdded)
    );
}

#[test]
fn names_of_our_operations_are_in_the_sources() {
    let documents: Vec<_> = source::read(root()).unwrap();
    for Name { id, method, path } in names() {
        let vendor = id.split('.').next().unwrap();
        let document = &documents.iter().find(|source| source.vendor == vendor).unwrap().document;
        let item = &document["paths"][&path];
        assert!(item.get(method.to_lowercase()).is_some(), "{id}: {method} {path}");
    }
}

/// Every member name of a document: the pointer of its `properties` and the name.
fn members(node: &Value, at: &str, found: &mut Vec<(String, String)>) {
    match node {
        Value::Object(keys) => {
            for (key, value) in keys {
                let inner = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                if key.starts_with("x-") || key.starts_with("example") {
                    continue;
                }
                if key == "properties"
                    && let Some(properties) = value.as_object()
                {
                    for (name, schema) in properties {
                        found.push((inner.clone(), name.clone()));
                        members(schema, &format!("{inner}/{name}"), found);
                    }
                } else {
                    members(value, &inner, found);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                members(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn renaming_any_single_member_of_any_source_is_found() {
    let mut count = 0;
    let (names, deviations) = (names(), deviations::read(root()).unwrap());
    let deviations: Vec<_> = deviations.iter().collect();
    for Source { vendor, document } in source::read(root()).unwrap() {
        let ours = generated(&vendor);
        let mut all = Vec::new();
        members(&document, "", &mut all);
        for (properties, name) in &all {
            let mut source = document.clone();
            let renamed = format!("{name}_renamed");
            rename(&mut source, properties, name, &renamed);
            let owner = properties.strip_suffix("/properties").unwrap();
            if let Some(required) =
                object(&mut source, owner).get_mut("required").and_then(Value::as_array_mut)
            {
                required
                    .iter_mut()
                    .filter(|item| item.as_str() == Some(name))
                    .for_each(|item| *item = json!(renamed));
            }
            let named = |finding: &Finding| {
                matches!(finding.id, Kind::MemberRenamed | Kind::MemberLost)
                    && finding.pointer.ends_with(&format!("/{renamed}"))
            };
            // Against a document that is right but for this name, nothing else is found.
            let findings = compare(&vendor, &source, &document, &names, &[]).findings;
            assert!(
                !findings.is_empty() && findings.iter().all(named),
                "{vendor} {properties}/{name}: {findings:#?}"
            );
            // Against ours, a deviation about this member may besides find no place.
            let findings = compare(&vendor, &source, &ours, &names, &deviations).findings;
            assert!(findings.iter().any(named), "{vendor} {properties}/{name}: {findings:#?}");
            count += 1;
        }
    }
    assert!(count > 150, "{count} members");
}
