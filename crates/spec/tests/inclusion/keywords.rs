//! Each keyword in both directions, with the very witness.

use serde_json::json;

use crate::{proved, refuted, strictly, witness};

#[test]
fn types_and_unions_of_types() {
    strictly(json!({"type": "integer"}), json!({"type": "number"}), json!(0.5));
    strictly(json!({"type": "string"}), json!({"type": ["string", "null"]}), json!(null));
    strictly(json!({"type": "string"}), json!({}), json!(null));
    strictly(json!(false), json!({"type": "object"}), json!({}));
    proved(
        json!({"type": ["integer", "string"]}),
        json!({"anyOf": [{"type": "string"}, {"type": "number"}]}),
    );
}

#[test]
fn integer_admits_a_number_written_with_a_point() {
    proved(json!({"const": 640.0}), json!({"type": "integer"}));
    proved(json!({"const": 1e3}), json!({"enum": [1000]}));
    proved(json!({"enum": [{"a": 1.0, "b": [2]}]}), json!({"const": {"b": [2.0], "a": 1}}));
}

#[test]
fn words_of_enums() {
    strictly(json!({"enum": ["up"]}), json!({"enum": ["up", "down"]}), json!("down"));
    strictly(json!({"const": "up"}), json!({"type": "string"}), json!(""));
    proved(json!({"type": "boolean"}), json!({"enum": [true, false]}));
    refuted(json!({"type": "boolean"}), json!({"enum": [true, 1]}), json!(false));
    proved(json!({"enum": [1, "a"], "type": "string"}), json!({"const": "a"}));
}

#[test]
fn value_of_an_enum_is_no_way_around_the_bounds() {
    strictly(
        json!({"enum": [5], "maximum": 5}),
        json!({"anyOf": [{"enum": [5, 6]}, {"const": 7}]}),
        json!(6),
    );
    proved(
        json!({"oneOf": [{"type": "number", "exclusiveMaximum": 9}, {"enum": [5]}]}),
        json!({"oneOf": [{"type": "number", "exclusiveMaximum": 10}, {"enum": [5]}]}),
    );
    let five = json!({"anyOf": [{"enum": [5, "a"]}, {"enum": [6, "b"]}], "minimum": 5, "maximum": 5});
    refuted(five, json!({"type": "string"}), json!(5));
}

#[test]
fn bounds_of_numbers() {
    strictly(json!({"minimum": 1}), json!({"minimum": 0}), json!(0));
    strictly(json!({"exclusiveMinimum": 0}), json!({"minimum": 0}), json!(0));
    proved(json!({"type": "integer", "exclusiveMinimum": 0}), json!({"type": "integer", "minimum": 1}));
    strictly(
        json!({"type": "integer", "maximum": 9}),
        json!({"type": "integer", "exclusiveMaximum": 11}),
        json!(10),
    );
    strictly(
        json!({"type": "integer", "multipleOf": 6}),
        json!({"type": "integer", "multipleOf": 3}),
        json!(3),
    );
    proved(json!({"type": "number", "minimum": 3, "maximum": 2}), json!(false));
}

#[test]
fn lengths_count_code_points() {
    strictly(
        json!({"type": "string", "maxLength": 1}),
        json!({"type": "string", "maxLength": 2}),
        json!("aa"),
    );
    strictly(json!({"type": "string", "minLength": 1}), json!({"type": "string"}), json!(""));
    proved(json!({"const": "😀"}), json!({"maxLength": 1}));
}

#[test]
fn patterns_are_searched_anywhere() {
    strictly(
        json!({"type": "string", "pattern": "^a"}),
        json!({"type": "string", "pattern": "a"}),
        json!("ba"),
    );
    proved(
        json!({"type": "string", "pattern": "^[0-9]{4}$"}),
        json!({"type": "string", "pattern": "\\d", "minLength": 4, "maxLength": 4}),
    );
}

#[test]
fn addresses_exclude_each_other_only_as_demands() {
    let either =
        json!({"oneOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]});
    let any = json!({"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]});
    proved(any.clone(), either.clone());
    proved(either, any);
}

#[test]
fn members_required_and_typed() {
    let of = |schema| json!({"type": "object", "properties": {"a": schema}});
    strictly(of(json!({"type": "integer"})), of(json!({"type": "number"})), json!({"a": 0.5}));
    strictly(json!({"type": "object", "required": ["a"]}), json!({"type": "object"}), json!({}));
    proved(json!({"type": "object", "properties": {"a": false}, "required": ["a"]}), json!(false));
    let found = witness(of(json!({"type": "string"})), of(json!({"type": "string", "minLength": 2})));
    assert_eq!((found.pointer.as_str(), found.keyword.as_str()), ("/a", "minLength"));
    assert_eq!(found.schema, "/properties/a/minLength");
}

#[test]
fn additional_members() {
    let closed = json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false});
    strictly(closed.clone(), json!({"type": "object", "properties": {"a": {}}}), json!({"extra": null}));
    strictly(
        closed,
        json!({"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}}),
        json!({"extra": 0}),
    );
    refuted(
        json!({"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": false}),
        json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false}),
        json!({"b": null}),
    );
}

#[test]
fn names_by_pattern() {
    strictly(
        json!({"type": "object", "patternProperties": {"^x-": {"type": "integer"}}}),
        json!({"type": "object", "patternProperties": {"^x-": {"type": "number"}}}),
        json!({"x-": 0.5}),
    );
    proved(
        json!({"type": "object", "patternProperties": {"^a": false, "^[^a]": false}, "minProperties": 2}),
        json!(false),
    );
    proved(
        json!({"type": "object", "propertyNames": {"enum": ["a", "b"]}}),
        json!({"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": false}),
    );
    refuted(json!({"type": "object"}), json!({"propertyNames": {"pattern": "^a"}}), json!({"extra": null}));
    refuted(
        json!({"type": "object", "propertyNames": {"minLength": 3, "maxLength": 3}}),
        json!({"propertyNames": {"pattern": "^a"}}),
        json!({"baa": null}),
    );
}

#[test]
fn numbers_of_members() {
    strictly(
        json!({"type": "object", "minProperties": 2}),
        json!({"type": "object", "minProperties": 1}),
        json!({"extra": null}),
    );
    proved(
        json!({"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": false}),
        json!({"maxProperties": 2}),
    );
    proved(
        json!({
            "type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": false, "minProperties": 3,
        }),
        json!(false),
    );
    proved(json!({"type": "object", "required": ["a", "b"]}), json!({"minProperties": 2}));
}

#[test]
fn dependencies_between_members() {
    strictly(
        json!({"type": "object", "required": ["b"]}),
        json!({"type": "object", "dependentRequired": {"a": ["b"]}}),
        json!({}),
    );
    refuted(json!({"type": "object"}), json!({"dependentRequired": {"a": ["b"]}}), json!({"a": null}));
    refuted(
        json!({"type": "object"}),
        json!({"dependentSchemas": {"a": {"properties": {"b": {"type": "string"}}}}}),
        json!({"a": null, "b": null}),
    );
    proved(json!({"type": "string"}), json!({"dependentSchemas": {"a": {"type": "object"}}}));
}

#[test]
fn items() {
    let of = |schema| json!({"type": "array", "items": schema});
    strictly(of(json!({"type": "integer"})), of(json!({"type": "number"})), json!([0.5]));
    strictly(
        json!({"type": "array", "maxItems": 1}),
        json!({"type": "array", "maxItems": 2}),
        json!([null, null]),
    );
    proved(of(json!(false)), json!({"maxItems": 0}));
    proved(json!({"type": "array", "items": false, "minItems": 1}), json!(false));
    refuted(
        json!({"type": "array", "prefixItems": [{"type": "null"}, {"type": "string"}]}),
        json!({"prefixItems": [{"type": "null"}, {"type": "string", "minLength": 1}]}),
        json!([null, ""]),
    );
    refuted(
        json!({"type": "array", "prefixItems": [{"type": "null"}]}),
        json!({"prefixItems": [{}], "items": {"type": "null"}}),
        json!([null, false]),
    );
}

#[test]
fn different_items() {
    strictly(json!({"type": "array", "uniqueItems": true}), json!({"type": "array"}), json!([null, null]));
    proved(json!({"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": true}), json!({"maxItems": 2}));
    proved(
        json!({"type": "array", "items": {"type": "boolean"}, "uniqueItems": true, "minItems": 3}),
        json!(false),
    );
    // Two of one kind leave no room, whatever the third may be.
    proved(
        json!({
            "type": "array", "prefixItems": [{"const": 1}, {"const": 1.0}, {}], "uniqueItems": true, "minItems": 3,
        }),
        json!(false),
    );
}

#[test]
fn what_an_array_contains() {
    strictly(
        json!({"type": "array", "contains": {"type": "integer"}}),
        json!({"type": "array", "contains": {"type": "number"}}),
        json!([0.5]),
    );
    refuted(json!({"type": "array"}), json!({"contains": {"type": "null"}}), json!([]));
    proved(json!({"type": "array", "contains": {"const": 1}, "items": {"const": 2}}), json!(false));
    strictly(
        json!({"type": "array", "contains": {"const": 1}, "minContains": 2}),
        json!({"type": "array", "contains": {"const": 1}}),
        json!([1]),
    );
    refuted(
        json!({"type": "array", "contains": {"const": 1}}),
        json!({"contains": {"const": 1}, "maxContains": 1}),
        json!([1, 1]),
    );
}

#[test]
fn logic() {
    strictly(
        json!({"allOf": [{"minimum": 1}, {"maximum": 3}], "type": "integer"}),
        json!({"type": "integer", "minimum": 1}),
        json!(4),
    );
    strictly(json!({"anyOf": [{"const": 1}, {"const": 2}]}), json!({"type": "integer"}), json!(0));
    refuted(json!({"type": "integer"}), json!({"oneOf": [{"minimum": 0}, {"maximum": 0}]}), json!(0));
    proved(
        json!({"not": {"type": "string"}}),
        json!({"type": ["null", "boolean", "number", "array", "object"]}),
    );
    refuted(json!({"type": "integer"}), json!({"not": {"minimum": 5}}), json!(5));
    proved(
        json!({"if": {"type": "integer"}, "then": {"minimum": 1}, "else": {"type": "string"}}),
        json!({"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string"}]}),
    );
    refuted(json!({"type": "integer"}), json!({"if": {"minimum": 3}, "then": {"maximum": 4}}), json!(5));
}

#[test]
fn unevaluated_members_and_items() {
    let one = json!({"type": "object", "properties": {"a": {}}, "unevaluatedProperties": false});
    let other = json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false});
    proved(one.clone(), other.clone());
    proved(other, one);
    let through = json!({
        "type": "object", "allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": false,
    });
    refuted(json!({"type": "object", "maxProperties": 1}), through, json!({"extra": null}));
    let branches = json!({
        "type": "object",
        "anyOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {}}}],
        "unevaluatedProperties": false,
    });
    refuted(json!({"type": "object"}), branches.clone(), json!({"extra": null}));
    proved(branches, json!({"propertyNames": {"enum": ["a", "b"]}}));
    // An array does not evaluate members, nor an object items.
    refuted(
        json!({"type": "object"}),
        json!({"items": {}, "unevaluatedProperties": false}),
        json!({"extra": null}),
    );
    refuted(
        json!({"type": "array"}),
        json!({"prefixItems": [{}], "unevaluatedItems": false}),
        json!([null, null]),
    );
}

#[test]
fn recursion_in_both() {
    let tree = |value| {
        json!({"$ref": "#/$defs/tree", "$defs": {"tree": {
            "type": "object",
            "properties": {"value": value, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
            "required": ["value"],
        }}})
    };
    proved(tree(json!({"type": "integer"})), tree(json!({"type": "number"})));
    refuted(tree(json!({"type": "number"})), tree(json!({"type": "integer"})), json!({"value": 0.5}));
    // Nothing finite is of a list that never ends.
    let endless = json!({"$ref": "#/$defs/list", "$defs": {"list": {
        "type": "object", "properties": {"next": {"$ref": "#/$defs/list"}}, "required": ["next"],
    }}});
    proved(endless, json!(false));
}

#[test]
fn difference_below_a_recursive_member_is_found() {
    let list = |least: usize| {
        json!({"$ref": "#/$defs/list", "$defs": {"list": {
            "type": "object",
            "properties": {"tail": {"anyOf": [{"$ref": "#/$defs/list"}, {"type": "string", "minLength": least}]}},
            "required": ["tail"],
        }}})
    };
    refuted(list(0), list(1), json!({"tail": ""}));
}

#[test]
fn wide_unions_of_tagged_branches_are_told_apart() {
    let union = |skip: usize, least: i64| {
        let branches: Vec<_> = (0..40)
            .filter(|number| *number != skip)
            .map(|number| {
                json!({
                    "type": "object",
                    "properties": {"kind": {"const": format!("k{number}")}, "size": {"type": "integer", "minimum": least}},
                    "required": ["kind", "size"],
                })
            })
            .collect();
        json!({"oneOf": branches})
    };
    proved(union(99, 1), union(99, 0));
    refuted(union(99, 0), union(7, 0), json!({"kind": "k7", "size": 0}));
    let found = witness(union(99, 0), union(99, 1));
    assert_eq!(found.document["size"], 0);
}

#[test]
fn look_around_is_undecided_or_judged_on_the_document() {
    let ahead = json!({"type": "string", "pattern": "^(?=a)"});
    let behind = json!({"type": "string", "pattern": "^(?=a).*b$"});
    match crate::compare(behind, ahead) {
        fleetwire_spec::inclusion::Inclusion::Undecided(reasons) => {
            let text = reasons[0].to_string();
            assert!(text.starts_with("undecided because ") && text.contains("look"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn wide_unions_with_optional_members_are_told_apart() {
    let union = |least: i64, count: i64| {
        let branches: Vec<_> = (0..count)
            .map(|number| {
                json!({
                    "type": "object",
                    "properties": {
                        "kind": {"const": format!("k{number}")},
                        "size": {"type": "integer", "minimum": least + number},
                    },
                    "required": ["kind"],
                })
            })
            .collect();
        json!({"oneOf": branches})
    };
    proved(union(1, 30), union(0, 30));
    refuted(union(0, 3), union(1, 3), json!({"kind": "k0", "size": 0}));
}

#[test]
fn schema_of_a_missing_member_evaluates_nothing() {
    let schema = json!({
        "type": "object",
        "properties": {"id": {"type": "string"}},
        "dependentSchemas": {"unit": {"additionalProperties": true}},
        "unevaluatedProperties": false,
    });
    refuted(
        json!({"type": "object", "properties": {"unit": false}, "required": ["extra"]}),
        schema,
        json!({"extra": null}),
    );
}
