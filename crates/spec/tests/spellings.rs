//! Changes as teams make them to documents: one finding for each, by the right name, and none for another spelling.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use fleetwire_spec::Severity;
use fleetwire_spec::changes::{Change, Options, compare};
use fleetwire_spec::document::Document;
use fleetwire_spec::inclusion::{Prover, Settings};

/// A document whose one operation takes and answers with the schema `T`.
fn document(version: &str, schemas: &str) -> Document {
    let text = format!(
        "{{openapi: {version}, info: {{title: t, version: not-numbered}}, paths: {{/t: {{post: {{
          parameters: [{{name: page, in: query, schema: {{type: integer, format: int32}} }}],
          requestBody: {{required: true, content: {{application/json: {{schema: {{$ref: '#/components/schemas/T'}} }} }} }},
          responses: {{'200': {{description: d,
            content: {{application/json: {{schema: {{$ref: '#/components/schemas/T'}} }} }} }} }} }} }} }},
          components: {{schemas: {{ {schemas} }} }} }}"
    );
    Document::parse("t.yaml", text.as_bytes()).unwrap()
}

fn changes(old: &Document, new: &Document) -> Vec<Change> {
    let mut prover = Prover::new(Settings::default());
    let mut found = compare(old, new, &Options::default(), &mut prover).unwrap().findings;
    found.retain(|change| change.rule.as_str() != "version-undecidable");
    found
}

fn between(old: &str, new: &str) -> Vec<(Severity, String)> {
    let found = changes(&document("3.0.3", old), &document("3.0.3", new));
    found.iter().map(|change| (change.severity, change.rule.to_string())).collect()
}

fn said(severity: Severity, rule: &str) -> (Severity, String) {
    (severity, rule.to_owned())
}

const D: &str = "D: {type: object, properties: {x: {type: integer}}}";

#[test]
fn null_listed_as_an_object_that_is_null_is_no_change() {
    let around = format!(
        "{D}, T: {{type: object, properties: {{d: {{nullable: true, allOf: [{{$ref: '#/components/schemas/D'}}]}} }} }}"
    );
    let listed = format!(
        "{D}, T: {{type: object, properties: {{d: {{anyOf: [{{$ref: '#/components/schemas/D'}},
          {{type: object, nullable: true, enum: [null]}}]}} }} }}"
    );
    assert_eq!(between(&around, &listed), []);
    assert_eq!(between(&listed, &around), []);
}

#[test]
fn alternative_beside_null_has_its_own_witness() {
    let listed = |more: &str| {
        format!(
            "{D}, T: {{type: object, required: [c], properties: {{c: {{nullable: true,
              anyOf: [{{type: string, maxLength: 9}}, {{$ref: '#/components/schemas/D'}}{more}]}} }} }}"
        )
    };
    let found = between(&listed(""), &listed(", {type: boolean}"));
    let wanted =
        [said(Severity::Info, "request-branch-added"), said(Severity::Error, "response-branch-added")];
    assert_eq!(found, wanted);
}

#[test]
fn member_of_answers_alone_changes_for_answers_alone() {
    let user = |id: &str| {
        format!("T: {{type: object, required: [id], properties: {{id: {{type: {id}, readOnly: true}} }} }}")
    };
    assert_eq!(between(&user("string"), &user("integer")), [said(Severity::Error, "response-type-changed")]);
}

#[test]
fn another_type_is_one_finding_though_it_has_other_bounds() {
    let found = between("T: {type: string, format: uuid, maxLength: 36}", "T: {type: integer, minimum: 1}");
    let wanted =
        [said(Severity::Error, "request-type-changed"), said(Severity::Error, "response-type-changed")];
    assert_eq!(found, wanted);
}

#[test]
fn word_for_an_alternative_that_came_is_told_with_it() {
    let kind = |name: &str| {
        format!(
            "{name}: {{type: object, required: [k], properties: {{k: {{type: string, enum: [{name}]}} }} }}"
        )
    };
    let union = |names: &[&str]| {
        let schemas: Vec<String> = names.iter().map(|name| kind(name)).collect();
        let refs: Vec<String> =
            names.iter().map(|name| format!("{{$ref: '#/components/schemas/{name}'}}")).collect();
        let words: Vec<String> =
            names.iter().map(|name| format!("{name}: '#/components/schemas/{name}'")).collect();
        let (schemas, refs, words) = (schemas.join(", "), refs.join(", "), words.join(", "));
        format!(
            "{schemas}, T: {{oneOf: [{refs}], discriminator: {{propertyName: k, mapping: {{ {words} }} }} }}"
        )
    };
    let wanted =
        [said(Severity::Info, "request-branch-added"), said(Severity::Error, "response-branch-added")];
    assert_eq!(between(&union(&["A", "B"]), &union(&["A", "B", "C"])), wanted);
}

#[test]
fn heir_that_changed_is_not_passed_over() {
    let car = |required: &str| {
        format!(
            "T: {{type: object, required: [k], properties: {{k: {{type: string}} }},
               discriminator: {{propertyName: k, mapping: {{car: '#/components/schemas/Car'}} }} }},
             Car: {{allOf: [{{$ref: '#/components/schemas/T'}},
               {{type: object, {required} properties: {{doors: {{type: integer}} }} }}]}}"
        )
    };
    let wanted = [
        said(Severity::Warning, "request-discriminator-changed"),
        said(Severity::Warning, "response-discriminator-changed"),
    ];
    assert_eq!(between(&car("required: [doors],"), &car("")), wanted);
    assert_eq!(between(&car(""), &car("")), []);
}

#[test]
fn how_one_value_is_exploded_and_a_wider_number_break_nobody() {
    let one = document("3.0.3", "T: {type: string}");
    let text = one.text().replace("in: query,", "in: query, explode: false,").replace("int32", "int64");
    let other = Document::parse("t.yaml", text.as_bytes()).unwrap();
    let found = changes(&one, &other);
    let rules: Vec<_> = found.iter().map(|change| change.rule.as_str()).collect();
    assert_eq!(rules, ["request-constraint-loosened"]);
}

#[test]
fn witness_names_the_keyword_of_the_alternative_that_was_meant() {
    let phone = |least: u8| {
        format!(
            "T: {{oneOf: [{{type: object, required: [k, to], properties: {{k: {{type: string, enum: [mail]}} }} }},
              {{type: object, required: [k], properties: {{k: {{type: string, enum: [sms]}},
                phone: {{type: string, minLength: {least}}} }} }}]}}"
        )
    };
    let found = changes(&document("3.0.3", &phone(2)), &document("3.0.3", &phone(4)));
    let witness = found.iter().find_map(|change| change.witness.as_ref()).unwrap();
    assert_eq!((witness.pointer.as_str(), witness.keyword.as_str()), ("/phone", "minLength"));
}
