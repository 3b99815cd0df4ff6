//! What each dialect means by its keywords, and what cannot be read.

use std::sync::Arc;

use fleetwire_spec::document::Dialect;
use fleetwire_spec::inclusion::{Formats, Inclusion, Prover, SchemaError, Settings};
use serde_json::{Value, json};

use crate::compare_in;

fn accepts(dialect: Dialect, schema: Value, document: Value) -> bool {
    let mut prover = Prover::new(Settings::default());
    let schema = prover.read(&Arc::new(schema), dialect, "").unwrap();
    prover.accepts(schema, &document)
}

fn error(dialect: Dialect, schema: Value) -> SchemaError {
    Prover::new(Settings::default()).read(&Arc::new(schema), dialect, "").unwrap_err()
}

#[test]
fn nullable_adds_null_to_a_type_and_to_what_is_composed() {
    let v30 = Dialect::OpenApi30;
    assert!(accepts(v30, json!({"type": "string", "nullable": true}), json!(null)));
    assert!(!accepts(v30, json!({"type": "string"}), json!(null)));
    assert!(!accepts(v30, json!({"type": "string", "nullable": true, "enum": ["a"]}), json!(null)));
    let around = json!({"allOf": [{"type": "object"}], "nullable": true});
    assert!(accepts(v30, around, json!(null)));
    assert!(!accepts(Dialect::OpenApi31, json!({"type": "string", "nullable": true}), json!(null)));
    let three_one = Arc::new(json!({"type": ["string", "null"]}));
    let three_zero = Arc::new(json!({"type": "string", "nullable": true}));
    let mut prover = Prover::new(Settings::default());
    let one = prover.read(&three_one, Dialect::OpenApi31, "").unwrap();
    let zero = prover.read(&three_zero, v30, "").unwrap();
    assert_eq!(one, zero);
}

#[test]
fn exclusive_bounds_of_openapi_3_0_are_booleans() {
    let above = json!({"type": "integer", "minimum": 3, "exclusiveMinimum": true});
    assert!(!accepts(Dialect::OpenApi30, above.clone(), json!(3)));
    let Inclusion::Refuted(witness) =
        compare_in(Dialect::OpenApi30, json!({"type": "integer", "minimum": 3}), above.clone())
    else {
        panic!("3 is not above 3")
    };
    assert_eq!(witness.document, json!(3));
    assert_eq!(error(Dialect::OpenApi31, above).pointer, "/exclusiveMinimum");
    assert_eq!(error(Dialect::OpenApi30, json!({"exclusiveMinimum": 3})).pointer, "/exclusiveMinimum");
}

#[test]
fn siblings_of_a_reference_hold_only_in_new_dialects() {
    let schema = json!({
        "properties": {"a": {"$ref": "#/definitions/text", "minLength": 3}},
        "definitions": {"text": {"type": "string"}},
    });
    let short = json!({"a": "x"});
    assert!(accepts(Dialect::Draft07, schema.clone(), short.clone()));
    assert!(accepts(Dialect::OpenApi30, schema.clone(), short.clone()));
    assert!(!accepts(Dialect::Draft202012, schema.clone(), short.clone()));
    assert!(!accepts(Dialect::OpenApi31, schema, short));
}

#[test]
fn lists_of_items_and_dependencies_of_draft_07() {
    let v7 = Dialect::Draft07;
    let pair = json!({"type": "array", "items": [{"type": "string"}], "additionalItems": false});
    assert!(accepts(v7, pair.clone(), json!(["a"])));
    assert!(!accepts(v7, pair.clone(), json!(["a", 1])));
    let Inclusion::Refuted(witness) = compare_in(v7, json!({"type": "array"}), pair) else { panic!() };
    assert_eq!(witness.document, json!([null]));
    let depends = json!({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}});
    assert!(!accepts(v7, depends.clone(), json!({"a": 1})));
    assert!(!accepts(v7, depends.clone(), json!({"c": 1})));
    assert!(accepts(v7, depends.clone(), json!([])));
    assert!(accepts(Dialect::Draft202012, depends, json!({"a": 1})));
}

#[test]
fn keywords_that_a_dialect_lacks_are_remarks() {
    let later = json!({"const": 1, "patternProperties": {"a": false}, "if": true, "then": false});
    assert!(accepts(Dialect::OpenApi30, later, json!({"a": 2})));
    assert!(accepts(Dialect::OpenApi31, json!({"discriminator": {"propertyName": "kind"}}), json!({})));
}

#[test]
fn format_is_a_demand_or_a_remark() {
    let schema = Arc::new(json!({"type": "string", "format": "ipv4"}));
    let mut settings = Settings::default();
    settings.formats = Formats::Annotation;
    let mut prover = Prover::new(settings);
    let remark = prover.read(&schema, Dialect::OpenApi31, "").unwrap();
    assert!(prover.accepts(remark, &json!("x")));
    assert!(!accepts(Dialect::OpenApi31, json!({"type": "string", "format": "ipv4"}), json!("x")));
}

#[test]
fn anchors_and_percent_escapes_are_followed() {
    let schema = json!({
        "properties": {"a": {"$ref": "#here"}, "b": {"$ref": "#/$defs/x%7By%7D"}},
        "$defs": {"one": {"$anchor": "here", "type": "null"}, "x{y}": {"type": "null"}},
    });
    assert!(!accepts(Dialect::Draft202012, schema.clone(), json!({"a": 1})));
    assert!(!accepts(Dialect::Draft202012, schema, json!({"b": 1})));
}

#[test]
fn same_schema_from_two_documents_is_one() {
    let mut prover = Prover::new(Settings::default());
    let one = Arc::new(json!({"s": {"required": ["a", "b"], "type": "object", "title": "one"}}));
    let other = Arc::new(json!({"type": "object", "required": ["b", "a"]}));
    let one = prover.read(&one, Dialect::OpenApi31, "/s").unwrap();
    let other = prover.read(&other, Dialect::Draft07, "").unwrap();
    assert_eq!(one, other);
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    for (schema, pointer) in [
        (json!({"properties": {"a": {"minimum": "1"}}}), "/properties/a/minimum"),
        (json!({"type": "text"}), "/type"),
        (json!({"required": "a"}), "/required"),
        (json!({"properties": {"a": 3}}), "/properties/a"),
        (json!({"items": [{}]}), "/items"),
        (json!({"enum": 1}), "/enum"),
        (json!({"pattern": "("}), "/pattern"),
        (json!({"minLength": -1}), "/minLength"),
        (json!({"multipleOf": 0}), "/multipleOf"),
        (json!({"anyOf": {"a": 1}}), "/anyOf"),
        (json!({"properties": {"a": {"$ref": "#/nowhere"}}}), "/properties/a/$ref"),
        (json!({"properties": {"a/b": {"$ref": "other.json#/x"}}}), "/properties/a~1b/$ref"),
        (json!({"$ref": "#/$defs/a%zz"}), "/$ref"),
    ] {
        assert_eq!(error(Dialect::Draft202012, schema.clone()).pointer, pointer, "{schema}");
    }
    let mut prover = Prover::new(Settings::default());
    assert!(prover.read(&Arc::new(json!({})), Dialect::Draft07, "/x").is_err());
}

#[test]
fn reference_below_an_id_of_its_own_is_not_misread() {
    let schema = json!({
        "properties": {"a": {"$id": "https://example.com/a", "properties": {"b": {"$ref": "#/$defs/x"}}}},
        "$defs": {"x": {}},
    });
    let error = error(Dialect::Draft202012, schema);
    assert_eq!(error.pointer, "/properties/a/properties/b/$ref");
    assert!(error.message.contains("$id"), "{error}");
}

#[test]
fn references_that_go_in_circles_name_the_circle() {
    let schema = json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}});
    let error = error(Dialect::Draft202012, schema);
    assert!(error.message.contains("#/$defs/a → #/$defs/b → #/$defs/a"), "{error}");
    let mut prover = Prover::new(Settings::default());
    let broken = Arc::new(json!({
        "good": {"$ref": "#/tree"},
        "tree": {"properties": {"next": {"$ref": "#/tree"}, "other": {"$ref": "#/bad"}}},
        "bad": {"$ref": "#/bad"},
    }));
    // The failure leaves nothing behind that a second reading could mistake for a schema.
    assert!(prover.read(&broken, Dialect::Draft07, "/good").is_err());
    assert!(prover.read(&broken, Dialect::Draft07, "/good").is_err());
}
