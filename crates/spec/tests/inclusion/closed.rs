//! Closed objects, machine integers and schemas that are made of others.

use std::sync::Arc;

use fleetwire_spec::document::Dialect;
use fleetwire_spec::inclusion::{Inclusion, Inhabitant, Prover, SchemaId, Settings};
use serde_json::{Value, json};

fn read(prover: &mut Prover, schema: Value) -> SchemaId {
    prover.read(&Arc::new(schema), Dialect::Draft202012, "").unwrap()
}

fn closed(schema: Value) -> (Prover, SchemaId) {
    let mut prover = Prover::new(Settings::default());
    let open = read(&mut prover, schema);
    let closed = prover.closed(open);
    (prover, closed)
}

#[test]
fn names_are_collected_from_all_schemas_of_an_object() {
    let (prover, closed) = closed(json!({
        "allOf": [{"$ref": "#/$defs/base"}],
        "anyOf": [{"properties": {"b": {}}}, {"properties": {"c": {}}, "required": ["d"]}],
        "if": {"properties": {"e": {"const": 1}}}, "then": {"properties": {"f": {}}},
        "$defs": {"base": {"type": "object", "properties": {"a": {"properties": {"inner": {}}}}}},
    }));
    assert!(prover.accepts(closed, &json!({"a": {"inner": 1}, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1})));
    assert!(!prover.accepts(closed, &json!({"g": 1})));
    assert!(!prover.accepts(closed, &json!({"a": {"outer": 1}})));
}

#[test]
fn what_declares_itself_open_stays_open() {
    for schema in [
        json!({"type": "object"}),
        json!({"properties": {"a": {}}, "additionalProperties": true}),
        json!({"properties": {"a": {}}, "additionalProperties": {"type": "integer"}}),
        json!({"properties": {"a": {}}, "unevaluatedProperties": {}}),
        json!({"anyOf": [{"type": "object"}, {"properties": {"a": {}}}]}),
    ] {
        let (prover, closed) = closed(schema.clone());
        assert!(prover.accepts(closed, &json!({"z": 1})), "{schema}");
    }
    let (prover, closed) = closed(json!({"properties": {"a": {}}, "patternProperties": {"^x-": {}}}));
    assert!(prover.accepts(closed, &json!({"x-y": 1})));
    assert!(!prover.accepts(closed, &json!({"y": 1})));
}

#[test]
fn branch_that_lists_its_values_opens_nothing() {
    let (prover, closed) = closed(json!({"anyOf": [
        {"type": "object", "properties": {"a": {}}}, {"type": ["object", "null"], "enum": [null]},
    ]}));
    assert!(prover.accepts(closed, &json!(null)) && prover.accepts(closed, &json!({"a": 1})));
    assert!(!prover.accepts(closed, &json!({"z": 1})));
}

#[test]
fn renamed_optional_member_is_seen_against_the_closed_source() {
    let mut prover = Prover::new(Settings::default());
    let ours = read(&mut prover, json!({"type": "object", "properties": {"up_time": {"type": "integer"}}}));
    let source = read(&mut prover, json!({"type": "object", "properties": {"uptime": {"type": "integer"}}}));
    let closed = prover.closed(source);
    let ours = prover.closed(ours);
    let ours = prover.machine_integers(ours);
    assert_eq!(prover.included(ours, source), Inclusion::Proved);
    let Inclusion::Refuted(witness) = prover.included(ours, closed) else { panic!("the name differs") };
    assert_eq!(witness.document, json!({"up_time": 0}));
    assert_eq!((witness.pointer.as_str(), witness.keyword.as_str()), ("/up_time", "additionalProperties"));
}

#[test]
fn recursive_schema_is_closed_at_every_depth() {
    let (mut prover, closed) = closed(json!({"$ref": "#/$defs/t", "$defs": {"t": {
        "type": "object", "properties": {"next": {"$ref": "#/$defs/t"}},
    }}}));
    assert!(prover.accepts(closed, &json!({"next": {"next": {}}})));
    assert!(!prover.accepts(closed, &json!({"next": {"next": {"last": 1}}})));
    assert_eq!(prover.closed(closed), closed);
    let names = read(&mut prover, json!({"type": "object", "propertyNames": {"const": "next"}}));
    assert_eq!(prover.included(closed, names), Inclusion::Proved);
}

#[test]
fn integers_without_bounds_are_those_of_a_machine() {
    let mut prover = Prover::new(Settings::default());
    let source = json!({"type": "object", "properties": {
        "a": {"type": "integer"}, "b": {"type": ["integer", "null"], "maximum": 9},
    }});
    let any = read(&mut prover, source);
    let wide = read(
        &mut prover,
        json!({"properties": {
            "a": {"minimum": -9_223_372_036_854_775_808_i64, "maximum": 18_446_744_073_709_551_615_u64},
            "b": {"minimum": -9_223_372_036_854_775_808_i64},
        }}),
    );
    assert!(matches!(prover.included(any, wide), Inclusion::Refuted(_)));
    let machine = prover.machine_integers(any);
    assert_eq!(prover.included(machine, wide), Inclusion::Proved);
    assert_eq!(prover.included(machine, any), Inclusion::Proved);
}

#[test]
fn made_schemas_are_judged_by_their_parts() {
    let mut prover = Prover::new(Settings::default());
    let text = read(&mut prover, json!({"type": "string"}));
    let short = read(&mut prover, json!({"maxLength": 2}));
    let both = prover.all(&[text, short]);
    let either = prover.any(&[text, short]);
    assert_eq!(prover.included(both, either), Inclusion::Proved);
    let Inclusion::Refuted(witness) = prover.included(either, both) else { panic!("null is in one only") };
    assert_eq!(witness.document, Value::Null);
    let neither = prover.not(either);
    assert_eq!(prover.inhabitant(neither), Inhabitant::Empty);
    let nothing = prover.never();
    let everything = prover.always();
    assert_eq!(prover.included(nothing, both), Inclusion::Proved);
    assert!(matches!(prover.included(everything, nothing), Inclusion::Refuted(_)));
    assert_eq!(prover.inhabitant(both), Inhabitant::Found(json!("")));
}
