//! What changed between two versions of a document: every rule before and after, and two generations of a real one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[path = "changes/large.rs"]
mod large;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fleetwire_spec::Severity;
use fleetwire_spec::changes::{Area, Change, Changes, Direction, Options, Policy, Rule, compare};
use fleetwire_spec::document::Document;
use fleetwire_spec::inclusion::{Prover, Settings};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Two versions of a document, and exactly what is found between them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Members of either document, over those of `with`.
    #[serde(default)]
    with: Map<String, Value>,
    #[serde(default)]
    old: Value,
    #[serde(default)]
    new: Value,
    /// Two schemas instead, for the body of a request and for that of an answer.
    #[serde(default)]
    schemas: Option<[Value; 2]>,
    /// Versions of OpenAPI, unless both are 3.1.
    #[serde(default)]
    openapi: Option<[String; 2]>,
    #[serde(default)]
    policy: Option<String>,
    /// The findings in any order: severity, rule, and the place in the message where there is one.
    find: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/changes")
}

fn cases() -> Vec<Case> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder().join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let some: Vec<Case> =
            yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        cases.extend(some);
    }
    cases
}

impl Case {
    fn documents(&self) -> [Document; 2] {
        let versions = ["1.0.0", "2.0.0"];
        let sides = [("old", &self.old), ("new", &self.new)];
        let mut documents = sides.iter().zip(versions).enumerate().map(|(index, ((name, side), version))| {
            let openapi = self.openapi.as_ref().map_or("3.1.0", |versions| &versions[index]);
            let mut root =
                json!({"openapi": openapi, "info": {"title": "t", "version": version}, "paths": {}});
            let members = root.as_object_mut().unwrap();
            members.extend(self.with.clone());
            if let Some(schemas) = &self.schemas {
                let content = json!({"application/json": {"schema": schemas[index]}});
                let operation = json!({
                    "requestBody": {"required": true, "content": content},
                    "responses": {"200": {"description": "-", "content": content}},
                });
                members.insert("paths".to_owned(), json!({"/x": {"post": operation}}));
            }
            if let Some(side) = side.as_object() {
                members.extend(side.clone());
            }
            Document::parse(&format!("{name}.json"), root.to_string().as_bytes()).unwrap()
        });
        [documents.next().unwrap(), documents.next().unwrap()]
    }

    fn changes(&self) -> Changes {
        let [old, new] = self.documents();
        let mut options = Options::default();
        options.today = "2026-11-22".parse().ok();
        if let Some(policy) = &self.policy {
            options.policy = Policy::parse(policy).unwrap();
        }
        compare(&old, &new, &options, &mut Prover::new(Settings::default())).unwrap()
    }
}

fn short(change: &Change) -> String {
    format!("{} {} {}", change.severity, change.rule, change.at).trim_end().to_owned()
}

#[test]
fn each_case_finds_exactly_what_it_says() {
    let mut wrong = Vec::new();
    for case in cases() {
        let changes = case.changes();
        let mut found: Vec<String> = changes.findings.iter().map(short).collect();
        let mut wanted = case.find.clone();
        found.sort();
        wanted.sort();
        if found != wanted {
            let lines: Vec<String> =
                changes.findings.iter().map(|change| format!("    {change} {:?}", change.reasons)).collect();
            wrong.push(format!("{}\n  wanted {wanted:#?}\n  found\n{}", case.name, lines.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_rule_is_found_by_a_case() {
    let found: BTreeSet<String> = cases()
        .iter()
        .flat_map(|case| case.find.iter())
        .filter_map(|line| line.split(' ').nth(1).map(str::to_owned))
        .collect();
    let missing: Vec<&str> =
        Rule::ALL.iter().map(|rule| rule.as_str()).filter(|rule| !found.contains(*rule)).collect();
    assert!(missing.is_empty(), "no case finds {missing:?}");
}

/// What breaks inside a schema is shown by a message, and the two documents judge it as the finding says.
#[test]
fn error_inside_a_schema_has_a_witness_that_the_other_end_refuses() {
    let mut witnesses = 0;
    for case in cases() {
        let [old, new] = case.documents();
        for change in case.changes().findings {
            let by_grade = case.policy.is_some();
            if change.area != Area::Schemas || change.severity != Severity::Error || by_grade {
                continue;
            }
            let witness = change.witness.as_ref().unwrap_or_else(|| panic!("{}: {change}", case.name));
            witnesses += 1;
            let Some(pointer) = body(&change) else { continue };
            // There, what is required depends on the way that the message goes.
            if json!(case.schemas).to_string().contains("readOnly") {
                continue;
            }
            let mut prover = Prover::new(Settings::default());
            let mut accepts = |document: &Document| {
                let schema = prover.read(document.value(), document.dialect(), pointer).unwrap();
                prover.accepts(schema, &witness.document)
            };
            let (sent, read) = match change.direction {
                Some(Direction::Request) => (accepts(&old), accepts(&new)),
                _ => (accepts(&new), accepts(&old)),
            };
            assert!(sent && !read, "{}: {change}: {}", case.name, witness.document);
        }
    }
    assert!(witnesses > 20, "{witnesses}");
}

/// The schema of the body of a case that is given as two schemas.
fn body(change: &Change) -> Option<&'static str> {
    match (change.operation.as_ref()?.path.as_str(), change.part.as_str()) {
        ("/x", "request body application/json") => {
            Some("/paths/~1x/post/requestBody/content/application~1json/schema")
        }
        ("/x", "response 200 application/json") => {
            Some("/paths/~1x/post/responses/200/content/application~1json/schema")
        }
        _ => None,
    }
}

/// The places that a finding names are there, so that lines can be shown.
#[test]
fn pointers_of_findings_lead_somewhere() {
    for case in cases() {
        let [old, new] = case.documents();
        for change in case.changes().findings {
            for (document, said) in [(&old, &change.old), (&new, &change.new)] {
                if let Some(pointer) = &said.pointer {
                    assert!(document.line(pointer).is_some(), "{}: {change}: {pointer}", case.name);
                }
            }
            assert!(change.advice == "nothing" || !change.advice.is_empty());
        }
    }
}

#[test]
fn document_has_no_changes_from_itself() {
    for folder in ["source", "openapi", "json-schema/acusight", "json-schema/agentmc"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas").join(folder);
        for entry in fs::read_dir(&folder).unwrap() {
            let document = Document::read(&entry.unwrap().path()).unwrap();
            let changes =
                compare(&document, &document, &Options::default(), &mut Prover::new(Settings::default()));
            let changes = changes.unwrap();
            assert_eq!(changes.findings, [], "{}", document.name());
        }
    }
    for case in cases() {
        for document in case.documents() {
            let changes =
                compare(&document, &document, &Options::default(), &mut Prover::new(Settings::default()));
            assert_eq!(changes.unwrap().findings, [], "{}", case.name);
        }
    }
}

/// The same inclusion is asked when the documents change places and the message goes the other way.
#[test]
fn breaking_a_request_one_way_is_breaking_an_answer_the_other_way() {
    let errors = |old: &Document, new: &Document, direction: Direction| -> usize {
        let changes = compare(old, new, &Options::default(), &mut Prover::new(Settings::default())).unwrap();
        let inside = changes.findings.iter().filter(|change| change.area == Area::Schemas);
        inside
            .filter(|change| change.direction == Some(direction) && change.severity == Severity::Error)
            .count()
    };
    for case in cases().iter().filter(|case| case.schemas.is_some()) {
        let [old, new] = case.documents();
        // What goes one way only, and what is merely relied on, is not the same seen from the other end.
        let one_way = json!(case.schemas).to_string().contains("readOnly");
        if one_way || case.find.iter().any(|line| line.contains("open-member-named")) {
            continue;
        }
        for (one, other) in [(&old, &new), (&new, &old)] {
            let (request, response) =
                (errors(one, other, Direction::Request), errors(other, one, Direction::Response));
            assert_eq!(request > 0, response > 0, "{}", case.name);
        }
    }
}

/// What AgentMC changed between the generation of the source and the newer one.
#[test]
fn generations_of_agentmc_differ_as_noted() {
    let read = |path: PathBuf| -> Value { yaml_serde::from_str(&fs::read_to_string(path).unwrap()).unwrap() };
    let mut old = read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/source/agentmc.yaml"));
    let companions = read(folder().join("agentmc/source-companions.yaml"));
    for at in ["/paths", "/components/schemas", "/components/responses"] {
        let more = companions.pointer(at).unwrap().as_object().unwrap().clone();
        old.pointer_mut(at).unwrap().as_object_mut().unwrap().extend(more);
    }
    let old = Document::parse("source.json", old.to_string().as_bytes()).unwrap();
    let new = Document::read(&folder().join("agentmc/newer.yaml")).unwrap();
    let changes = compare(&old, &new, &Options::default(), &mut Prover::new(Settings::default())).unwrap();

    let mut text = String::new();
    for change in &changes.findings {
        text.push_str(&format!("{change}\n"));
        if let Some(witness) = &change.witness {
            text.push_str(&format!("    {}\n", witness.document));
        }
        for reason in &change.reasons {
            text.push_str(&format!("    {reason}\n"));
        }
    }
    let file = folder().join("agentmc/findings.txt");
    let wanted = fs::read_to_string(&file).unwrap();
    assert!(text == wanted, "{} says otherwise than\n{text}", file.display());
}

/// Twice the operations are twice the questions, and what they share is found once.
#[test]
fn work_grows_with_the_operations_and_shared_changes_are_told_once() {
    let changes = |operations: usize| {
        let [old, new] = [false, true].map(|second| {
            let text = large::document(operations, second).to_string();
            Document::parse("large.json", text.as_bytes()).unwrap()
        });
        compare(&old, &new, &Options::default(), &mut Prover::new(Settings::default())).unwrap()
    };
    let (few, many) = (changes(20), changes(40));
    assert!(many.questions <= 2 * few.questions + 8, "{} {}", few.questions, many.questions);

    let shared: Vec<&Change> =
        many.findings.iter().filter(|change| change.rule == Rule::ResponseMemberBecameOptional).collect();
    let [shared] = shared.as_slice() else { panic!("{shared:?}") };
    assert_eq!(shared.at, "/meta/created_by");
    assert_eq!((shared.severity, shared.other_count), (Severity::Error, 39));
    assert!(shared.others.len() < 10, "a finding names only the first of the others");
}

/// Every change of one keyword, name, word or mark of one schema, with its place.
fn mutations(document: &Value) -> Vec<(String, Value)> {
    fn schemas(node: &Value, at: &str, is_schema: bool, all: &mut Vec<String>) {
        let Some(members) = node.as_object() else {
            for (index, item) in node.as_array().into_iter().flatten().enumerate() {
                schemas(item, &format!("{at}/{index}"), is_schema, all);
            }
            return;
        };
        if is_schema && !members.contains_key("$ref") {
            all.push(at.to_owned());
        }
        for (name, value) in members {
            let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            match name.as_str() {
                "example" | "examples" | "enum" | "default" | "required" => {}
                "schema" | "items" | "oneOf" | "anyOf" | "allOf" => schemas(value, &at, true, all),
                "properties" | "schemas" => {
                    for (name, schema) in value.as_object().into_iter().flatten() {
                        schemas(schema, &format!("{at}/{name}"), true, all);
                    }
                }
                _ if name.starts_with("x-") || is_schema => {}
                _ => schemas(value, &at, false, all),
            }
        }
    }
    let mut places = Vec::new();
    schemas(document, "", false, &mut places);
    let mut mutations = Vec::new();
    for at in places {
        let schema = document.pointer(&at).unwrap().as_object().unwrap();
        let mut mutants: Vec<Map<String, Value>> = Vec::new();
        let mut with = |change: &dyn Fn(&mut Map<String, Value>)| {
            let mut mutant = schema.clone();
            change(&mut mutant);
            mutants.push(mutant);
        };
        if let Some(Value::Object(members)) = schema.get("properties") {
            for name in members.keys() {
                with(&|mutant| {
                    let member = mutant["properties"].as_object_mut().unwrap().remove(name).unwrap();
                    mutant["properties"][format!("{name}_")] = member;
                });
                with(&|mutant| {
                    mutant["properties"].as_object_mut().unwrap().remove(name);
                });
                with(&|mutant| {
                    let required = mutant.entry("required").or_insert_with(|| json!([]));
                    let required = required.as_array_mut().unwrap();
                    match required.iter().position(|other| other == name) {
                        Some(index) => drop(required.remove(index)),
                        None => required.push(json!(name)),
                    }
                });
            }
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => {
                with(&|mutant| drop(mutant.insert("type".to_owned(), json!("integer"))));
                if !schema.contains_key("enum") && !schema.contains_key("format") {
                    with(&|mutant| drop(mutant.insert("maxLength".to_owned(), json!(77))));
                }
            }
            Some("integer" | "number") => {
                with(&|mutant| drop(mutant.insert("minimum".to_owned(), json!(3))));
                with(&|mutant| drop(mutant.insert("type".to_owned(), json!("boolean"))));
            }
            _ => {}
        }
        if schema.contains_key("type") {
            with(&|mutant| match mutant.remove("nullable") {
                Some(Value::Bool(true)) => {}
                _ => drop(mutant.insert("nullable".to_owned(), json!(true))),
            });
        }
        if schema.contains_key("enum") && schema.get("nullable").is_none() {
            with(&|mutant| mutant["enum"].as_array_mut().unwrap().push(json!("zz")));
            with(&|mutant| drop(mutant["enum"].as_array_mut().unwrap().remove(0)));
        }
        for mutant in mutants.into_iter().filter(|mutant| mutant != schema) {
            let mut mutated = document.clone();
            *mutated.pointer_mut(&at).unwrap() = Value::Object(mutant);
            mutations.push((at.clone(), mutated));
        }
    }
    mutations
}

/// Whatever is changed in a schema of the sources is found, there and back, and every break is shown by a message.
#[test]
fn no_change_of_a_source_is_passed_over() {
    // Primes, so that another kind of change is met at every other place.
    for (vendor, stride) in [("acusight", 7), ("zstack", 3), ("agentmc", 11), ("achilles", 13)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../schemas/source/{vendor}.yaml"));
        let source = Document::read(&path).unwrap();
        let mutations = mutations(source.value());
        assert!(mutations.len() > 20, "{vendor}: {}", mutations.len());
        for (at, mutated) in mutations.iter().step_by(stride) {
            let mutant = Document::parse("mutant.json", mutated.to_string().as_bytes()).unwrap();
            let schema = || mutated.pointer(at).unwrap().to_string();
            for (old, new) in [(&source, &mutant), (&mutant, &source)] {
                let changes =
                    compare(old, new, &Options::default(), &mut Prover::new(Settings::default())).unwrap();
                let inside: Vec<&Change> =
                    changes.findings.iter().filter(|change| change.area == Area::Schemas).collect();
                // A schema of an alternative that takes the same values as another may say it otherwise.
                assert!(!inside.is_empty(), "{vendor} {at}: {}", schema());
                for change in inside {
                    assert_eq!(change.reasons, [] as [String; 0], "{vendor} {at}: {change}");
                    let is_error = change.severity == Severity::Error;
                    assert!(!is_error || change.witness.is_some(), "{vendor} {at}: {change}");
                    let generic = matches!(change.rule, Rule::RequestNarrowed | Rule::ResponseWidened);
                    assert!(!generic, "{vendor} {at}: {change}: {}", schema());
                }
            }
        }
    }
}

#[test]
fn plain_schemas_are_compared_in_the_directions_asked_for_whatever_the_draft() {
    let parse = |text: &str| Document::parse("schema.json", text.as_bytes()).unwrap();
    let old = parse(
        r##"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "array",
            "items": [{"type": "string"}, {"$ref": "#/definitions/n"}], "additionalItems": false,
            "definitions": {"n": {"type": "integer"}}}"##,
    );
    let same = parse(
        r##"{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "array",
            "prefixItems": [{"type": "string"}, {"$ref": "#/$defs/n"}], "items": false,
            "$defs": {"n": {"type": "integer"}}}"##,
    );
    let wider = parse(
        r##"{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "array",
            "prefixItems": [{"type": "string"}, {"$ref": "#/$defs/n"}], "items": false,
            "$defs": {"n": {"type": "number"}}}"##,
    );
    let found = |new: &Document, directions: &[Direction]| -> Vec<String> {
        let mut options = Options::default();
        options.directions = directions.to_vec();
        let changes = compare(&old, new, &options, &mut Prover::new(Settings::default())).unwrap();
        changes.findings.iter().map(short).collect()
    };
    let both = [Direction::Request, Direction::Response];
    assert_eq!(found(&same, &both), [] as [&str; 0]);
    assert_eq!(found(&wider, &both), ["info request-type-widened /1", "error response-type-widened /1"]);
    assert_eq!(found(&wider, &[Direction::Request]), ["info request-type-widened /1"]);

    let openapi = parse(r#"{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {}}"#);
    let error = compare(&old, &openapi, &Options::default(), &mut Prover::new(Settings::default()));
    let error = error.unwrap_err().to_string();
    assert_eq!(
        error,
        "schema.json is JSON Schema draft-07 and schema.json is OpenAPI 3.1, which cannot be compared"
    );
}

#[test]
fn finding_that_is_not_decided_is_a_warning_with_its_reason() {
    let document = |least: usize| {
        let schema = json!({"contains": {"type": "integer"}, "minContains": least, "maxContains": 4, "type": "array",
            "uniqueItems": true, "items": {"not": {"contains": {"multipleOf": least}}}});
        Document::parse("schema.json", schema.to_string().as_bytes()).unwrap()
    };
    let mut settings = Settings::default();
    settings.budget = 1;
    let changes =
        compare(&document(3), &document(2), &Options::default(), &mut Prover::new(settings)).unwrap();
    assert_eq!(changes.worst(), Some(Severity::Warning));
    for change in changes.findings.iter().filter(|change| change.severity == Severity::Warning) {
        assert!(!change.reasons.is_empty(), "{change}");
        assert!(change.witness.is_none(), "{change}");
    }
}

/// A chain of schemas longer than any message, and one that leads in a circle.
#[test]
fn deep_and_circular_schemas_end() {
    let document = |links: usize, last: &str| {
        let mut schemas = Map::new();
        for link in 0..links {
            let next = json!({"$ref": format!("#/components/schemas/s{}", link + 1)});
            schemas.insert(format!("s{link}"), json!({"type": "object", "properties": {"next": next}}));
        }
        schemas.insert(format!("s{links}"), json!({"type": last}));
        schemas.insert("round".to_owned(), json!({"$ref": "#/components/schemas/about"}));
        schemas.insert("about".to_owned(), json!({"allOf": [{"$ref": "#/components/schemas/round"}]}));
        let content = |name: &str| json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{name}")}}});
        let root = json!({
            "openapi": "3.1.0",
            "info": {"title": "t", "version": "1.0.0"},
            "paths": {
                "/deep": {"post": {"requestBody": {"content": content("s0")}, "responses": {}}},
                "/round": {"post": {"requestBody": {"content": content("round")}, "responses": {}}},
            },
            "components": {"schemas": schemas},
        });
        Document::parse("deep.json", root.to_string().as_bytes()).unwrap()
    };
    let changes = compare(
        &document(2_000, "string"),
        &document(2_000, "integer"),
        &Options::default(),
        &mut Prover::new(Settings::default()),
    )
    .unwrap();
    let found: Vec<String> = changes.findings.iter().map(short).collect();
    assert_eq!(found, ["warning request-undecided"], "{:?}", changes.findings);
}

/// Documents of which any one place is not what belongs there are compared to an end, whatever is found.
#[test]
fn documents_with_anything_anywhere_are_compared() {
    fn pointers(node: &Value, at: String, all: &mut Vec<String>) {
        match node {
            Value::Object(members) => {
                for (name, value) in members {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    pointers(value, format!("{at}/{name}"), all);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    pointers(value, format!("{at}/{index}"), all);
                }
            }
            _ => {}
        }
        all.push(at);
    }
    let junk = [
        json!(null),
        json!(-1.5),
        json!("\u{7}\n"),
        json!([]),
        json!([[], {"$ref": "#"}]),
        json!({"$ref": 5}),
        json!({"$ref": "#/paths"}),
        json!({"": {"in": 3}, "allOf": {"type": []}}),
        json!(true),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/source/zstack.yaml");
    let source = Document::read(&path).unwrap();
    let mut places = Vec::new();
    pointers(source.value(), String::new(), &mut places);
    let mut compared = 0;
    for (place, at) in places.iter().filter(|at| !at.contains("x-")).enumerate() {
        let mut value = Value::clone(source.value());
        *value.pointer_mut(at).unwrap() = junk[place % junk.len()].clone();
        let Ok(document) = Document::parse("junk.json", value.to_string().as_bytes()) else { continue };
        if !document.dialect().is_openapi() {
            continue;
        }
        compared += 1;
        for (old, new) in [(&source, &document), (&document, &source), (&document, &document)] {
            let changes =
                compare(old, new, &Options::default(), &mut Prover::new(Settings::default())).unwrap();
            for change in changes.findings {
                assert!(!change.to_string().contains(char::is_control), "{at}: {change:?}");
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn document_before_itself_has_nothing_to_ask_however_hard_it_is() {
    let text = r#"{"openapi": "3.1.0", "info": {"title": "t", "version": "1.0.0"}, "paths": {"/a": {"post": {
        "requestBody": {"content": {"application/json": {"schema": {"pattern": "^(?=a)(?!ab)"}}}},
        "responses": {"204": {"description": "taken"}}
    }}}}"#;
    let document = Document::parse("hard.json", text.as_bytes()).unwrap();
    let mut prover = Prover::new(Settings::default());
    let changes = compare(&document, &document, &Options::default(), &mut prover).unwrap();
    assert_eq!((changes.findings.len(), changes.questions, changes.operations), (0, 0, 1));
}
