#![expect(clippy::unwrap_used, reason = "a test that cannot read its own input fails")]
//! Each rule finds what it is for, on the right line, and keeps silent about the same thing done right.

use std::collections::BTreeSet;

use fleetwire_spec::Severity;
use fleetwire_spec::document::{Document, Limits};
use fleetwire_spec::inclusion::{Prover, Settings};
use fleetwire_spec::lint::{Lint, LintRule, lint};

fn findings(text: &str) -> Vec<Lint> {
    let document =
        Document::parse("a.yaml", text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    lint(&document, &mut Prover::new(Settings::default()))
}

/// What is found but for infos, as `line rule: message`.
fn found(text: &str) -> Vec<String> {
    let findings = findings(text);
    let worse = findings.iter().filter(|lint| lint.severity != Severity::Info);
    worse
        .map(|lint| format!("{} {}: {}", lint.line.as_ref().unwrap().line, lint.rule, lint.message))
        .collect()
}

fn infos(text: &str) -> Vec<String> {
    let findings = findings(text);
    let infos = findings.iter().filter(|lint| lint.severity == Severity::Info);
    infos
        .map(|lint| format!("{} {}: {}", lint.line.as_ref().unwrap().line, lint.rule, lint.message))
        .collect()
}

/// A document of one schema, which begins on line 6.
fn schema(version: &str, schema: &str) -> String {
    let schema = schema.trim_end().replace('\n', "\n      ");
    format!(
        "openapi: {version}\ninfo: {{title: T, version: '1'}}\npaths: {{}}\ncomponents:\n  schemas:\n    A: {schema}\n"
    )
}

/// A document of one operation, `GET /a/{id}`, whose object begins on line 5.
fn operation(operation: &str) -> String {
    let operation = operation.trim_end().replace('\n', "\n      ");
    format!("openapi: 3.1.0\ninfo: {{title: T, version: '1'}}\npaths:\n  /a/{{id}}:\n    get: {operation}\n")
}

const FINE: &str =
    "{parameters: [{name: id, in: path, required: true, schema: {}}], responses: {200: {description: d}}}";

#[test]
fn document_without_faults_has_no_findings() {
    for text in [
        &operation(FINE),
        &schema("3.0.3", "{type: object, properties: {a: {type: string, nullable: true}}}"),
        &schema("3.1.0", "{type: [object, 'null'], properties: {a: {type: string}}}"),
        "$schema: http://json-schema.org/draft-07/schema#\nitems: [true, false]\ndependencies: {a: [b]}\n",
        "$defs: {a: {type: string}}\nproperties: {a: {$ref: '#/$defs/a', minLength: 1}}\n",
        "true",
    ] {
        assert_eq!(findings(text), [], "{text}");
    }
}

#[test]
fn example_that_contradicts_its_schema_is_found_wherever_it_stands() {
    let media = "{parameters: [{name: id, in: path, required: true, schema: {type: integer},\n  example: x,\n  examples: {b: {value: [1]}, c: {value: 7}}}],\nrequestBody: {content: {application/json: {schema: {required: [a]},\n  example: {b: 1}}}},\nresponses: {200: {description: d,\n  headers: {X: {schema: {enum: [u]}, example: v}},\n  content: {application/vnd.x+json: {schema: {type: object, properties: {a: {items: {maximum: 3}}}},\n  examples: {one: {value: {a: [1, 2,\n    5]}}}}}}}}";
    assert_eq!(
        found(&operation(media)),
        [
            "6 example-invalid: `x` is refused by `type`: `integer`",
            "7 example-invalid: [1] is refused by `type`: `integer`",
            "9 example-invalid: {\"b\":1} is refused by `required`: [\"a\"]",
            "11 example-invalid: `v` is refused by `enum`: [\"u\"]",
            "13 example-invalid: 5 at /a/2 is refused by `maximum`: 3",
        ]
    );
    let fine = media.replace("example: x", "example: 4").replace("[1]}", "5}").replace("{b: 1}", "{a: 1}");
    let fine = fine.replace("example: v", "example: u").replace("    5]", "    3]");
    assert_eq!(findings(&operation(&fine)), []);
}

#[test]
fn example_in_a_schema_is_held_against_that_schema() {
    assert_eq!(
        found(&schema(
            "3.1.0",
            "{type: string, format: date,\nexamples: ['2026-11-22',\n 'yesterday'], example: 7}"
        )),
        [
            "8 example-invalid: `yesterday` is refused by `format`: `date`",
            "8 example-invalid: 7 is refused by `type`: `string`",
        ]
    );
    assert_eq!(
        found(&schema("3.0.3", "{type: string, example: null}")),
        ["6 example-invalid: null is refused by `type`: `string`"]
    );
    assert_eq!(found(&schema("3.0.3", "{type: string, nullable: true, example: null}")), [""; 0]);
    // In a mere JSON Schema `example` means nothing.
    assert_eq!(found("type: string\nexample: 7\n"), [""; 0]);
    assert_eq!(
        found("type: string\nexamples: [7]\n"),
        ["2 example-invalid: 7 is refused by `type`: `string`"]
    );
}

#[test]
fn example_may_lack_what_is_for_the_other_direction() {
    let text = |example: &str| {
        schema(
            "3.0.3",
            &format!(
                "{{allOf: [{{type: object, properties: {{i: {{type: integer, readOnly: true}}}}}}], required: [i, p, n],\nproperties: {{p: {{type: string, writeOnly: true}}, n: {{type: string}}}},\nexample: {example}}}"
            ),
        )
    };
    for fine in ["{n: a}", "{n: a, i: 1}", "{n: a, p: b}"] {
        assert_eq!(found(&text(fine)), [""; 0], "{fine}");
    }
    assert_eq!(
        found(&text("{i: 1}")),
        ["8 example-invalid: {\"i\":1} is refused by `required`: [\"i\",\"p\",\"n\"]"]
    );
    assert_eq!(
        found(&text("{n: a, i: x}")),
        ["8 example-invalid: `x` at /i is refused by `type`: `integer`"]
    );
}

#[test]
fn default_that_contradicts_its_schema_is_found() {
    for version in ["3.0.3", "3.1.0"] {
        assert_eq!(
            found(&schema(version, "{properties: {a: {type: integer, minimum: 1,\ndefault: 0}}}")),
            ["7 default-invalid: 0 is refused by `minimum`: 1"]
        );
        assert_eq!(found(&schema(version, "{properties: {a: {type: integer, default: 1.0}}}")), [""; 0]);
    }
}

#[test]
fn example_that_cannot_be_held_against_its_schema_is_told() {
    let text = "{parameters: [{name: id, in: path, required: true, schema: {type: string}, examples: {far: {externalValue: 'https://example.com/x'}}}],\nrequestBody: {content: {application/xml: {schema: {type: object}, example: <a/>}, text/plain: {schema: {type: string}, example: hello}}},\nresponses: {200: {description: d}}}";
    assert_eq!(found(&operation(text)), [""; 0]);
    assert_eq!(
        infos(&operation(text)),
        [
            "5 example-unchecked: the example is in another file",
            "6 example-unchecked: the example is a text in a media type that is no JSON",
        ]
    );
}

#[test]
fn references_that_lead_nowhere_are_found_in_every_kind_of_object() {
    let text = "openapi: 3.0.3
info: {title: T, version: '1'}
paths:
  /a: {$ref: '#/components/pathItems/X'}
  /b:
    get:
      parameters: [{$ref: '#/components/parameters/Idd'}]
      responses:
        200: {$ref: 'https://example.com/x.yaml#/R'}
        default: {description: d, content: {application/json: {schema: {allOf: [{$ref: other.yaml}]}}}}
components:
  parameters: {Id: {name: i, in: query, schema: {}}}
  schemas: {Loop: {$ref: '#/components/schemas/Loop'}}
";
    let unresolved: Vec<String> =
        found(text).into_iter().filter(|line| line.contains("reference-unresolved")).collect();
    assert_eq!(
        unresolved,
        [
            "4 reference-unresolved: the reference `#/components/pathItems/X` leads nowhere: there is no `pathItems` in `#/components`",
            "7 reference-unresolved: the reference `#/components/parameters/Idd` leads nowhere; the nearest is `#/components/parameters/Id`",
            "9 reference-unresolved: the reference `https://example.com/x.yaml#/R` leads onto a network, and nothing is fetched from there",
            "10 reference-unresolved: the reference `other.yaml` leads nowhere: references to other files are not followed here",
            "13 reference-unresolved: the reference `#/components/schemas/Loop` leads in a circle",
        ]
    );
}

#[test]
fn schema_of_no_document_is_found_where_the_contradiction_is() {
    assert_eq!(
        found(&schema(
            "3.1.0",
            "\ntype: object\nrequired: [a]\nproperties:\n  a: {type: string, minLength: 3,\n    maxLength: 2}\n"
        )),
        ["10 schema-unsatisfiable: no document satisfies this schema"]
    );
    assert_eq!(
        found(&schema("3.1.0", "\nallOf:\n- {type: string}\n- {type: integer}\n")),
        ["6 schema-unsatisfiable: no document satisfies this schema"]
    );
    // What is written to refuse everything is meant so.
    assert_eq!(
        found(&schema("3.1.0", "{properties: {a: false, b: {not: {}}}, additionalProperties: false}")),
        [""; 0]
    );
}

#[test]
fn contradiction_is_found_once_and_not_again_by_all_who_refer_to_it() {
    let text = "openapi: 3.1.0
info: {title: T, version: '1'}
paths: {}
components:
  schemas:
    Bad: {enum: []}
    User: {type: object, required: [a], properties: {a: {$ref: '#/components/schemas/Bad'}}}
";
    assert_eq!(found(text), ["6 schema-unsatisfiable: no document satisfies this schema"]);
}

#[test]
fn required_member_that_a_closed_object_refuses_is_found() {
    let closed =
        "{type: object, additionalProperties: false, properties: {uptime: {}},\nrequired: [uptime, up_time]}";
    assert_eq!(
        found(&schema("3.1.0", closed)),
        ["7 required-unknown: `up_time` is required, and no property is called so"]
    );
    for fine in [
        closed.replace("additionalProperties: false, ", ""),
        closed.replace(", up_time", ""),
        closed.replace("properties:", "patternProperties: {^up: {}}, properties:"),
    ] {
        assert_eq!(found(&schema("3.1.0", &fine)), [""; 0], "{fine}");
    }
}

#[test]
fn word_of_another_type_is_found() {
    assert_eq!(
        found(&schema("3.1.0", "{type: string, enum: [no, a,\n 1, null]}")),
        ["7 enum-type: 1 is not of type string", "7 enum-type: null is not of type string"]
    );
    for fine in
        ["{type: [string, 'null'], enum: [no, null]}", "{type: integer, enum: [1, 2.0]}", "{enum: [1, a]}"]
    {
        assert_eq!(found(&schema("3.1.0", fine)), [""; 0], "{fine}");
    }
    assert_eq!(found(&schema("3.0.3", "{type: string, nullable: true, enum: [a, null]}")), [""; 0]);
}

#[test]
fn pattern_that_is_no_regular_expression_is_found() {
    let text = found(&schema(
        "3.1.0",
        "{type: object, properties: {a: {type: string,\npattern: '(a'}},\npatternProperties: {'[b': {}}}",
    ));
    assert_eq!(text.len(), 2, "{text:?}");
    assert!(text[0].starts_with("7 pattern-malformed: `(a` is no regular expression: "), "{text:?}");
    assert!(text[1].starts_with("8 pattern-malformed: `[b` is no regular expression: "), "{text:?}");
    assert_eq!(found(&schema("3.1.0", "{type: string, pattern: '^[a-z]+(?=x)'}")), [""; 0]);
}

#[test]
fn format_of_another_type_is_found() {
    assert_eq!(
        found(&schema(
            "3.0.3",
            "{properties: {a: {type: integer, format: date-time}, b: {type: string,\nformat: int32}}}"
        )),
        [
            "6 format-type: the format `date-time` says nothing about integer",
            "7 format-type: the format `int32` says nothing about string",
        ]
    );
    for fine in [
        "{type: string, format: int64}",
        "{type: string, format: acme}",
        "{type: integer, format: int64}",
        "{type: number, format: double}",
        "{format: date}",
    ] {
        assert_eq!(found(&schema("3.0.3", fine)), [""; 0], "{fine}");
    }
}

#[test]
fn branches_that_overlap_are_found_with_a_document_of_both() {
    let text = schema(
        "3.1.0",
        "\noneOf:\n- {type: object, required: [a], properties: {a: {type: integer}}}\n- {type: object, required: [b], properties: {b: {type: integer}}}\n- {type: string}\n",
    );
    let findings = findings(&text);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].rule, LintRule::OneOfOverlap);
    assert_eq!(findings[0].pointer, "/components/schemas/A/oneOf/1");
    assert_eq!(findings[0].line.as_ref().unwrap().line, 9);
    let witness = findings[0].witness.as_ref().unwrap();
    assert!(witness["a"].is_i64() && witness["b"].is_i64(), "{witness}");
    for fine in [
        "{oneOf: [{type: string}, {type: integer}]}",
        "{oneOf: [{required: [t], properties: {t: {const: a}}}, {required: [t], properties: {t: {const: b}}}], type: object}",
        // What stands beside the branches may keep them apart.
        "{oneOf: [{type: string}, {maxLength: 3}], type: integer, not: {type: integer}}",
    ] {
        let overlaps =
            found(&schema("3.1.0", fine)).into_iter().filter(|line| line.contains("one-of-overlap"));
        assert_eq!(overlaps.count(), 0, "{fine}");
    }
}

#[test]
fn branches_and_paths_that_are_too_many_to_be_compared_are_told() {
    let branches: Vec<String> = (0..65).map(|branch| format!("{{const: {branch}}}")).collect();
    let text = schema("3.1.0", &format!("{{oneOf: [{}]}}", branches.join(", ")));
    assert_eq!(
        infos(&text),
        ["6 undecided: it is not known whether branches overlap, because there are 2080 pairs of them"]
    );
    assert_eq!(infos(&schema("3.1.0", &format!("{{oneOf: [{}]}}", branches[..64].join(", ")))), [""; 0]);
    let mut text = "openapi: 3.1.0\ninfo: {title: T, version: '1'}\npaths:\n".to_owned();
    for path in 0..2001 {
        text.push_str(&format!("  /a{path}: {{}}\n"));
    }
    assert_eq!(
        infos(&text),
        ["3 undecided: it is not known whether the 2001 paths of 1 parts overlap, because there are so many"]
    );
}

#[test]
fn nullable_without_effect_is_found() {
    assert_eq!(
        found(&schema(
            "3.0.3",
            "{properties: {a: {nullable: true, allOf: [{type: string}]}, b: {type: string,\nnullable: true, enum: [x]}}}"
        )),
        [
            "6 nullable-without-type: `nullable` without `type` has no effect",
            "7 nullable-enum: null is of the type, and not among the words",
        ]
    );
    assert_eq!(
        found(&schema("3.1.0", "{type: [string, 'null'], enum: [x]}")),
        ["6 nullable-enum: null is of the type, and not among the words"]
    );
    assert_eq!(found(&schema("3.0.3", "{type: string, nullable: true, enum: [x, null]}")), [""; 0]);
}

#[test]
fn keywords_of_another_version_are_found() {
    for (text, expected) in [
        (
            schema("3.1.0", "{type: string, nullable: true}"),
            "6 keyword-foreign: `nullable` has no meaning in OpenAPI 3.1; write `null` among its types",
        ),
        (
            schema("3.0.3", "{type: string, const: a}"),
            "6 keyword-foreign: `const` has no meaning in OpenAPI 3.0; write an `enum` of one",
        ),
        (
            schema("3.0.3", "{type: object, patternProperties: {a: {}}}"),
            "6 keyword-foreign: `patternProperties` has no meaning in OpenAPI 3.0",
        ),
        (
            "$schema: http://json-schema.org/draft-07/schema\nprefixItems: [{}]\n".to_owned(),
            "2 keyword-foreign: `prefixItems` has no meaning in JSON Schema draft-07",
        ),
        (
            "type: array\ndependencies: {a: [b]}\n".to_owned(),
            "2 keyword-foreign: `dependencies` has no meaning in JSON Schema 2020-12",
        ),
        (
            schema("3.1.0", "{type: integer, minimum: 1, exclusiveMinimum: true}"),
            "6 keyword-malformed: `exclusiveMinimum` must be the bound, a number in OpenAPI 3.1, and this is true",
        ),
        (
            schema("3.0.3", "{type: integer, exclusiveMinimum: 1}"),
            "6 keyword-malformed: `exclusiveMinimum` must be a boolean beside the bound in OpenAPI 3.0, and this is 1",
        ),
        (
            schema("3.0.3", "{type: [string, 'null']}"),
            "6 keyword-malformed: `type` must be one word in OpenAPI 3.0, and this is [\"string\",\"null\"]",
        ),
        (
            schema("3.0.3", "{type: 'null'}"),
            "6 keyword-malformed: `type` must be another word, with `nullable`, in OpenAPI 3.0, and this is `null`",
        ),
        (
            schema("3.1.0", "{type: array, items: [{}]}"),
            "6 keyword-malformed: `items` must be one schema, with `prefixItems` for the first ones, in OpenAPI 3.1, and this is [{}]",
        ),
        (
            schema("3.0.3", "{properties: {a: {type: string, required: true}}}"),
            "6 keyword-malformed: `required` must be a list of texts in OpenAPI 3.0, and this is true",
        ),
        (
            schema("3.1.0", "{type: text}"),
            "6 keyword-malformed: `type` must be one of array, boolean, integer, null, number, object and string in OpenAPI 3.1, and this is `text`",
        ),
        (
            schema("3.1.0", "{type: string, maxLength: '3'}"),
            "6 keyword-malformed: `maxLength` must be a whole number from 0 on in OpenAPI 3.1, and this is `3`",
        ),
        (
            schema("3.0.3", "{properties: {a: true}}"),
            "6 keyword-malformed: a schema must be an object, and this is true",
        ),
    ] {
        assert_eq!(found(&text), [expected], "{text}");
    }
}

#[test]
fn keyword_beside_a_reference_is_found_where_it_means_nothing() {
    let text = |version: &str| {
        format!(
            "openapi: {version}\ninfo: {{title: T, version: '1'}}\npaths: {{}}\ncomponents:\n  schemas:\n    A: {{type: string}}\n    B: {{properties: {{a: {{$ref: '#/components/schemas/A', description: d,\n      minLength: 3}}}}}}\n"
        )
    };
    assert_eq!(
        found(&text("3.0.3")),
        ["8 keyword-foreign: `minLength` beside a `$ref` has no meaning in OpenAPI 3.0"]
    );
    assert_eq!(found(&text("3.1.0")), [""; 0]);
}

const CREATURES: &str = "openapi: 3.0.3
info: {title: T, version: '1'}
paths: {}
components:
  schemas:
    Pet:
      oneOf: [{$ref: '#/components/schemas/Cat'}, {$ref: '#/components/schemas/Dog'}]
      discriminator:
        propertyName: kind
        mapping:
          cat: '#/components/schemas/Cat'
          dog: Dog
    Base: {type: object, required: [kind]}
    Cat: {allOf: [{$ref: '#/components/schemas/Base'}], properties: {kind: {type: string, enum: [cat]}}}
    Dog:
      {type: object, required: [kind], properties: {kind: {type: string, enum: [dog]}}}
";

#[test]
fn discriminator_that_may_be_missing_or_leads_nowhere_is_found() {
    assert_eq!(found(CREATURES), [""; 0]);
    let optional = found(&CREATURES.replace("{type: object, required: [kind], ", "{type: object, "));
    assert!(
        optional.contains(&"7 discriminator-optional: `kind` is not required in `Dog`".to_owned()),
        "{optional:?}"
    );
    assert_eq!(
        found(&CREATURES.replace("dog: Dog", "dog: Dig")),
        [
            "12 discriminator-unresolved: `dog` is mapped to `Dig`, which leads nowhere: no such file, and no schema has that `$id`"
        ]
    );
    assert_eq!(
        found(&CREATURES.replace("schemas/Cat'\n", "schemas/Catt'\n")),
        [
            "11 discriminator-unresolved: `cat` is mapped to `#/components/schemas/Catt`, which leads nowhere; the nearest is `#/components/schemas/Cat`"
        ]
    );
}

#[test]
fn operations_of_one_id_are_found() {
    let text = "openapi: 3.1.0
info: {title: T, version: '1'}
paths:
  /a:
    get: {operationId: one, responses: {200: {description: d}}}
    put: {operationId: two, responses: {200: {description: d}}}
  /b:
    get:
      operationId: one
      responses: {200: {description: d}}
";
    assert_eq!(found(text), ["9 operation-id-duplicate: `one` is also the id of GET /a"]);
    assert_eq!(found(&text.replace("operationId: one\n", "operationId: other\n")), [""; 0]);
}

#[test]
fn paths_that_cannot_be_told_apart_are_found() {
    let paths = |paths: &[&str]| {
        let mut text = "openapi: 3.1.0\ninfo: {title: T, version: '1'}\npaths:\n".to_owned();
        for path in paths {
            text.push_str(&format!("  '{path}': {{}}\n"));
        }
        found(&text)
    };
    assert_eq!(paths(&["/a/{x}", "/a/{y}"]), ["5 path-ambiguous: it is the same path as /a/{x}"]);
    assert_eq!(paths(&["/a/{x}", "/{y}/b"]), ["5 path-overlap: /a/b is a path of /a/{x} and of /{y}/b"]);
    for fine in [
        &["/a/{x}", "/a/b"][..],
        &["/a/{x}", "/b/{x}"],
        &["/a/{x}", "/a/{x}/b"],
        &["/a/{x}.json", "/a/{x}.xml"],
        &["/{x}.json/a", "/b/{y}"],
    ] {
        assert_eq!(paths(fine), [""; 0], "{fine:?}");
    }
}

#[test]
fn parameters_of_a_path_are_held_against_it() {
    let responses = "responses: {200: {description: d}}";
    assert_eq!(
        found(&operation(&format!("{{{responses}}}"))),
        ["5 path-parameter-missing: `{id}` of the path is no parameter of GET"]
    );
    let parameters =
        "parameters: [{name: id, in: path, schema: {}},\n  {name: x, in: path, required: true, schema: {}}]";
    assert_eq!(
        found(&operation(&format!("{{{parameters},\n{responses}}}"))),
        [
            "5 path-parameter-optional: the parameter `id` of the path is not `required: true`",
            "6 path-parameter-superfluous: the path has no `{x}`",
        ]
    );
    let twice = "parameters: [{name: id, in: path, required: true, schema: {}}, {name: X, in: header, schema: {}},\n  {name: x, in: header, schema: {}}, {name: X, in: query, schema: {}}]";
    assert_eq!(
        found(&operation(&format!("{{{twice},\n{responses}}}"))),
        ["6 parameter-duplicate: the header parameter `x` is declared twice"]
    );
    // Those of the path item count for each of its operations.
    let shared = "openapi: 3.1.0\ninfo: {title: T, version: '1'}\npaths:\n  /a/{id}:\n    parameters: [{$ref: '#/components/parameters/Id'}]\n    get: {responses: {200: {description: d}}}\ncomponents: {parameters: {Id: {name: id, in: path, required: true, schema: {}}}}\n";
    assert_eq!(findings(shared), []);
}

#[test]
fn answers_that_say_too_little_are_found() {
    let with = |responses: &str| found(&operation(&FINE.replace("{200: {description: d}}", responses)));
    assert_eq!(with("{}"), ["5 responses-empty: there are no responses"]);
    assert_eq!(
        with("{404: {description: d}}"),
        ["5 response-success-missing: there is no 2XX, no 3XX and no default"]
    );
    assert_eq!(with("{200: {}}"), ["5 response-description-missing: response 200 has no description"]);
    assert_eq!(
        with("{200: {description: d}, 2000: {description: d}, 6XX: {description: d}, ok: {description: d}}"),
        [
            "5 status-malformed: `2000` is no status",
            "5 status-malformed: `6XX` is no status",
            "5 status-malformed: `ok` is no status",
        ]
    );
    for fine in [
        "{2XX: {description: d}}",
        "{default: {description: d}}",
        "{301: {description: d}}",
        "{101: {description: d}}",
    ] {
        assert_eq!(with(fine), [""; 0], "{fine}");
    }
}

#[test]
fn credentials_without_a_scheme_or_an_answer_are_found() {
    let text = "openapi: 3.1.0
info: {title: T, version: '1'}
security:
- key: []
paths:
  /a:
    get: {responses: {200: {description: d}}}
    put: {security: [{other: []}], responses: {200: {description: d}, 401: {description: d}}}
    post: {security: [], responses: {200: {description: d}}}
    patch: {security: [{key: []}, {}], responses: {200: {description: d}}}
components:
  securitySchemes: {key: {type: apiKey, name: K, in: header}}
";
    assert_eq!(found(text), ["8 security-undeclared: there is no security scheme `other`"]);
    assert_eq!(infos(text), ["7 unauthorized-undocumented: it asks for credentials, and there is no 401"]);
}

#[test]
fn component_that_nothing_refers_to_is_told() {
    let text = "openapi: 3.1.0
info: {title: T, version: '1'}
paths: {/a: {get: {responses: {200: {$ref: '#/components/responses/Used'}}}}}
components:
  responses:
    Used: {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/Used/properties/a'}}}}
  schemas:
    Used: {properties: {a: {}}}
    Unused: {type: string}
    Itself: {properties: {a: {$ref: '#/components/schemas/Itself'}}}
    Base: {type: object, required: [t], discriminator: {propertyName: t, mapping: {m: Mapped}}}
    Mapped: {type: object}
    Built: {allOf: [{$ref: '#/components/schemas/Base'}]}
";
    assert_eq!(found(text), [""; 0]);
    assert_eq!(
        infos(text),
        [
            "9 component-unused: nothing refers to `Unused` of schemas",
            "10 component-unused: nothing refers to `Itself` of schemas",
        ]
    );
    // A document of nothing but components is there for others.
    assert_eq!(infos(&schema("3.1.0", "{}")), [""; 0]);
}

#[test]
fn fields_that_openapi_demands_are_missed() {
    assert_eq!(
        found("openapi: 3.0.3"),
        ["1 field-missing: `info` is missing", "1 field-missing: `paths` is missing"]
    );
    assert_eq!(found("openapi: 3.1.0\ninfo: {title: T}"), ["2 field-missing: `version` is missing"]);
    let text = operation(
        "{parameters: [{name: id, in: path, required: true}],\nrequestBody: {},\nresponses: {200: 7}}",
    );
    assert_eq!(
        found(&text),
        [
            "5 field-missing: `schema` is missing, and so is `content`",
            "6 field-missing: `content` is missing",
            "7 field-missing: an object belongs here, and this is 7",
        ]
    );
}

#[test]
fn schema_in_another_file_is_looked_at_and_named_by_that_file() {
    let main = "openapi: 3.1.0\ninfo: {title: T, version: '1'}\npaths: {/a: {get: {responses: {200: {description: d, content: {application/json: {schema: {$ref: 'b.yaml#/A'}}}}}}}}\n";
    let document = Document::gather("dir/a.yaml", main.as_bytes(), &Limits::default(), &mut |_| {
        Ok(b"A:\n  type: string\n  example: 7\n".to_vec())
    });
    let findings = lint(&document.unwrap(), &mut Prover::new(Settings::default()));
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        findings[0].to_string(),
        "dir/b.yaml:3: error example-invalid: 7 is refused by `type`: `string`, at /A/example"
    );
}

#[test]
fn document_of_hostile_shapes_is_looked_at_without_a_panic() {
    // Every part of a document in turn is replaced by every kind of value.
    let document = Document::parse("a.yaml", CREATURES.as_bytes()).unwrap();
    let more = operation(FINE);
    let more = Document::parse("a.yaml", more.as_bytes()).unwrap();
    for document in [document, more] {
        let mut pointers = Vec::new();
        every(document.value(), String::new(), &mut pointers);
        for pointer in pointers.iter().filter(|pointer| *pointer != "/openapi") {
            for value in
                ["null", "true", "7", "\"x\"", "[]", "[7]", "{}", "{\"$ref\": \"#\"}", "{\"$ref\": 7}"]
            {
                let mut changed = (**document.value()).clone();
                *changed.pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
                if let Ok(document) = Document::parse("a", changed.to_string().as_bytes()) {
                    let _ = lint(&document, &mut Prover::new(Settings::default()));
                }
            }
        }
    }
}

fn every(value: &serde_json::Value, pointer: String, pointers: &mut Vec<String>) {
    match value {
        serde_json::Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                every(item, format!("{pointer}/{at}"), pointers);
            }
        }
        serde_json::Value::Object(members) => {
            for (key, member) in members {
                let key = key.replace('~', "~0").replace('/', "~1");
                every(member, format!("{pointer}/{key}"), pointers);
            }
        }
        _ => {}
    }
    pointers.push(pointer);
}

#[test]
fn ids_of_rules_are_stable_words_each_its_own() {
    let ids: BTreeSet<&str> = LintRule::ALL.iter().map(|rule| rule.as_str()).collect();
    assert_eq!(ids.len(), LintRule::ALL.len());
    for rule in LintRule::ALL {
        assert_eq!(rule.as_str().parse(), Ok(*rule));
        assert!(rule.statement().ends_with('.') && !rule.advice().is_empty(), "{rule}");
    }
    assert_eq!("absent".parse::<LintRule>().unwrap_err().to_string(), "there is no rule `absent`");
}
