//! Input that wants to hang or to crash: an error or *undecided*, soon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fleetwire_spec::document::Dialect;
use fleetwire_spec::inclusion::{Inclusion, Prover, Settings};
use serde_json::{Map, Value, json};

/// Generous, since what is tested is the difference between moments and for ever.
const SOON: Duration = Duration::from_secs(20);

/// Built by moving, since `json!` would walk down at every level.
fn nested(levels: usize, keyword: &str, list: bool) -> Value {
    (0..levels).fold(json!({"type": "string"}), |inner, _| {
        let inner = if list { Value::Array(vec![inner]) } else { inner };
        Value::Object(Map::from_iter([(keyword.to_owned(), inner)]))
    })
}

/// Values so deep end a thread when they are dropped in the ordinary way.
fn forget(value: Arc<Value>) {
    std::mem::forget(value);
}

#[test]
fn deep_nesting_is_an_error() {
    for (keyword, list) in [("allOf", true), ("items", false), ("not", false), ("propertyNames", false)] {
        let deep = Arc::new(nested(10_000, keyword, list));
        let error = Prover::new(Settings::default()).read(&deep, Dialect::Draft202012, "").unwrap_err();
        assert!(error.message.contains("deep"), "{error}");
        forget(deep);
    }
}

#[test]
fn long_chains_of_references_are_followed() {
    let chain = |last: Value| {
        let mut definitions = Map::new();
        for number in 0..5_000 {
            let next = json!({"properties": {"n": {"$ref": format!("#/$defs/d{}", number + 1)}}});
            definitions.insert(format!("d{number}"), next);
        }
        definitions.insert("d5000".to_owned(), last);
        Arc::new(json!({"$ref": "#/$defs/d0", "$defs": definitions}))
    };
    let mut prover = Prover::new(Settings::default());
    let (one, other) = (chain(json!({"type": "string"})), chain(json!({"type": "integer"})));
    let one = prover.read(&one, Dialect::Draft202012, "").unwrap();
    let other = prover.read(&other, Dialect::Draft202012, "").unwrap();
    // The difference lies deeper than anybody looks.
    assert!(matches!(prover.included(one, other), Inclusion::Undecided(_)));
    let closed = prover.closed(one);
    assert!(prover.accepts(closed, &json!({"n": {}})));
    assert!(!prover.accepts(closed, &json!({"m": {}})));
}

#[test]
fn chains_read_from_their_end_are_followed_too() {
    let mut definitions = Map::new();
    for number in 0..3_000 {
        let schema = if number == 0 {
            json!({"type": "string"})
        } else {
            json!({"allOf": [{"$ref": format!("#/d{}", number - 1)}], "minLength": number})
        };
        definitions.insert(format!("d{number}"), schema);
    }
    let document = Arc::new(Value::Object(definitions));
    let mut prover = Prover::new(Settings::default());
    let mut last = prover.always();
    for number in 0..3_000 {
        last = prover.read(&document, Dialect::OpenApi31, &format!("/d{number}")).unwrap();
    }
    let closed = prover.closed(last);
    let _ = prover.accepts(closed, &json!("a"));
    let first = prover.read(&document, Dialect::OpenApi31, "/d0").unwrap();
    let _ = prover.included(last, first);
    let mut not = last;
    for _ in 0..3_000 {
        not = prover.not(not);
        let more = prover.all(&[not, first]);
        not = more;
    }
    let _ = prover.accepts(not, &json!("a"));
    let _ = prover.included(not, first);
    let _ = prover.closed(not);
}

#[test]
fn exponential_unions_end_within_the_budget() {
    let started = Instant::now();
    let choices: Vec<_> = (0..24)
        .map(|number| {
            json!({"oneOf": [
                {"required": [format!("a{number}")], "properties": {format!("x{number}"): {"minimum": 1}}},
                {"required": [format!("b{number}")], "properties": {format!("x{}", number + 1): {"maximum": 0}}},
                {"minProperties": number + 1},
            ]})
        })
        .collect();
    let narrow = Arc::new(json!({"type": "object", "allOf": choices, "maxProperties": 20}));
    let wide = Arc::new(json!({"type": "object", "required": ["never"]}));
    let mut prover = Prover::new(Settings::default());
    let narrow = prover.read(&narrow, Dialect::Draft202012, "").unwrap();
    let wide = prover.read(&wide, Dialect::Draft202012, "").unwrap();
    let _ = prover.included(narrow, wide);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn doubling_recursion_ends() {
    let started = Instant::now();
    let mut definitions = Map::new();
    for number in 0..40 {
        let next = format!("#/$defs/d{}", number + 1);
        let branch = |name: &str| json!({"properties": {name: {"$ref": next}}, "required": [name]});
        let schema = json!({"type": "object", "anyOf": [branch("a"), branch("b")]});
        definitions.insert(format!("d{number}"), schema);
    }
    definitions.insert("d40".to_owned(), json!({"type": "string"}));
    let narrow = Arc::new(json!({"$ref": "#/$defs/d0", "$defs": definitions.clone()}));
    definitions.insert("d40".to_owned(), json!({"type": "string", "minLength": 1}));
    let wide = Arc::new(json!({"$ref": "#/$defs/d0", "$defs": definitions}));
    let mut prover = Prover::new(Settings::default());
    let narrow = prover.read(&narrow, Dialect::Draft202012, "").unwrap();
    let wide = prover.read(&wide, Dialect::Draft202012, "").unwrap();
    assert_eq!(prover.included(wide, narrow), Inclusion::Proved);
    let _ = prover.included(narrow, wide);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn huge_enums_are_sets() {
    let started = Instant::now();
    let words = |count: usize| (0..count).map(|number| json!(format!("w{number}"))).collect::<Vec<_>>();
    let mut prover = Prover::new(Settings::default());
    let many = Arc::new(json!({"enum": words(100_000)}));
    let fewer = Arc::new(json!({"enum": words(99_999)}));
    let many = prover.read(&many, Dialect::Draft202012, "").unwrap();
    let fewer = prover.read(&fewer, Dialect::Draft202012, "").unwrap();
    assert_eq!(prover.included(fewer, many), Inclusion::Proved);
    let Inclusion::Refuted(witness) = prover.included(many, fewer) else { panic!("one word is missing") };
    assert_eq!(witness.document, "w99999");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn vast_counts_are_no_vast_documents() {
    let compare = |schema| {
        let mut prover = Prover::new(Settings::default());
        let narrow = prover.read(&Arc::new(schema), Dialect::Draft202012, "").unwrap();
        let never = prover.never();
        prover.included(narrow, never)
    };
    for schema in [
        json!({"type": "array", "minItems": 1_000_000_000}),
        json!({"type": "object", "minProperties": 1_000_000_000_000_u64}),
        json!({"type": "array", "contains": {}, "minContains": 18_446_744_073_709_551_615_u64}),
        json!({"type": "string", "minLength": 18_446_744_073_709_551_615_u64}),
    ] {
        assert!(
            matches!(compare(schema.clone()), Inclusion::Undecided(_) | Inclusion::Refuted(_)),
            "{schema}"
        );
    }
    assert_eq!(
        compare(json!({"type": "array", "minItems": 1_000_000_000, "items": false})),
        Inclusion::Proved
    );
    assert_eq!(
        compare(json!({"type": "object", "minProperties": 1_000_000_000, "maxProperties": 5})),
        Inclusion::Proved
    );
}

#[test]
fn budget_ends_in_undecided() {
    let mut settings = Settings::default();
    settings.budget = 3;
    let mut prover = Prover::new(settings);
    let tree = |least: usize| {
        let inner = json!({"properties": {"b": {"properties": {"c": {"minLength": least}}}}});
        Arc::new(json!({"type": "object", "properties": {"a": inner}}))
    };
    let one = prover.read(&tree(1), Dialect::Draft202012, "").unwrap();
    let other = prover.read(&tree(2), Dialect::Draft202012, "").unwrap();
    let Inclusion::Undecided(reasons) = prover.included(one, other) else {
        panic!("three steps are too few")
    };
    assert!(reasons[0].to_string().contains("budget"), "{}", reasons[0]);
}

#[test]
fn doubling_without_a_step_into_the_value_ends() {
    let started = Instant::now();
    let mut definitions = Map::new();
    for number in 0..45 {
        let next = json!({"$ref": format!("#/$defs/d{}", number + 1)});
        let schema = json!({
            "anyOf": [
                {"allOf": [next.clone()], "properties": {"a": {"minLength": number}}},
                {"allOf": [next], "properties": {"b": {"minLength": number}}},
            ],
            "unevaluatedProperties": false,
        });
        definitions.insert(format!("d{number}"), schema);
    }
    definitions.insert("d45".to_owned(), json!({"not": {"required": ["never"]}, "minProperties": 1}));
    let doubling = Arc::new(json!({"$ref": "#/$defs/d0", "$defs": definitions}));
    let objects: Vec<_> = (0..200).map(|number| json!({"a": number, "c": "x"})).collect();
    let objects = Arc::new(json!({"enum": objects}));
    let mut prover = Prover::new(Settings::default());
    let doubling = prover.read(&doubling, Dialect::Draft202012, "").unwrap();
    let objects = prover.read(&objects, Dialect::Draft202012, "").unwrap();
    let _ = prover.included(objects, doubling);
    let _ = prover.included(doubling, objects);
    let closed = prover.closed(doubling);
    let _ = prover.accepts(closed, &json!({"a": "x"}));
    let _ = prover.inhabitant(closed);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}
