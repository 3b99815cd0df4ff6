//! Every rule, at its bound and just beyond it.

use crate::common::{Sample, now, valid};
use fleetwire_protocol::{Fault, Place};
use fleetwire_validation::{Context, HouseRules, Keyword, Rule, Side, Sides, rules};
use serde_json::{Value, json};

const SIDES: [Side; 2] = [Side::Accept, Side::Emit];

/// A rule's pointer with the index of the last element of each list, so that a wrong index shows.
fn concrete(rule: &Rule) -> String {
    match rule.pointer {
        "/annotations/*/geometry/*" => "/annotations/1/geometry/3".to_owned(),
        other => other.replace('*', "1"),
    }
}

/// The samples that a rule's values are put into.
fn base(rule: &Rule, side: Side) -> Sample {
    let mut sample = valid(rule.operation, side);
    if rule.pointer.starts_with("header:") && side == Side::Accept {
        // A header beside a fingerprint in the body is not looked at.
        sample.remove("/host/fingerprint");
    }
    sample
}

/// A sample with a value at a rule's place.
fn with(rule: &Rule, side: Side, value: Value) -> Sample {
    let mut sample = base(rule, side);
    if rule.pointer.starts_with("header:") {
        sample.fingerprint = Some(value.as_str().unwrap().to_owned());
    } else {
        sample.set(&concrete(rule), value);
    }
    sample
}

/// A sample with more members in an open object.
fn with_members(rule: &Rule, side: Side, count: usize) -> Sample {
    let mut sample = base(rule, side);
    let members = sample.body.pointer_mut(&concrete(rule)).unwrap().as_object_mut().unwrap();
    for index in 0..count {
        members.insert(format!("x{index}"), json!(true));
    }
    sample
}

/// A sample whose open object goes so deep.
fn with_levels(rule: &Rule, side: Side, levels: usize) -> Sample {
    let deep = (2..levels)
        .fold(json!([]), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) });
    let mut sample = base(rule, side);
    sample.set(&format!("{}/deep", concrete(rule)), deep);
    sample
}

/// A sample with so many bytes in a text, or in the members of an object that its type does not name.
fn with_bytes(rule: &Rule, side: Side, bytes: usize) -> Sample {
    if !is_object(rule, side) {
        return with(rule, side, json!("a".repeat(bytes)));
    }
    let mut sample = base(rule, side);
    if rule.pointer == "/meta/tool_availability" {
        let name = "a".repeat(bytes - r#"{"":true}"#.len());
        sample.set(&concrete(rule), json!({ name: true }));
    } else {
        let text = "a".repeat(bytes - r#"{"a":""}"#.len());
        sample.set(&format!("{}/a", concrete(rule)), json!(text));
    }
    sample
}

fn is_object(rule: &Rule, side: Side) -> bool {
    base(rule, side).body.pointer(&concrete(rule)).is_some_and(Value::is_object)
}

fn patched(rule: &Rule, side: Side, patches: &[(&str, Value)]) -> Sample {
    let mut sample = base(rule, side);
    for (pointer, value) in patches {
        sample.set(pointer, value.clone());
    }
    sample
}

fn without(rule: &Rule, side: Side, pointers: &[&str]) -> Sample {
    let mut sample = base(rule, side);
    for pointer in pointers {
        sample.remove(pointer);
    }
    sample
}

/// The same, and where the reason of a gap goes, what another rule wants beside it goes too.
fn without_linked(rule: &Rule, side: Side, pointers: &[&str]) -> Sample {
    let mut sample = without(rule, side, pointers);
    if pointers.contains(&"/reconnect_reason") {
        let other = match rule.pointer {
            "/process_start_time" => "reconnect_context",
            _ => "process_start_time",
        };
        sample.body.as_object_mut().unwrap().remove(other);
    }
    sample
}

/// What keeps a rule by a hair, and what breaks it by one.
struct Boundary {
    keeps: Vec<Sample>,
    breaks: Vec<Sample>,
}

fn boundary(rule: &Rule, side: Side) -> Boundary {
    let text = |length: usize| json!("a".repeat(length));
    let values = |keeps: Vec<Value>, breaks: Vec<Value>| Boundary {
        keeps: keeps.into_iter().map(|value| with(rule, side, value)).collect(),
        breaks: breaks.into_iter().map(|value| with(rule, side, value)).collect(),
    };
    match rule.keyword {
        Keyword::Minimum(min) => {
            values(vec![json!(min)], vec![json!(min - 1), json!(f64::from(min) - 0.001)])
        }
        Keyword::Range { min, max } => values(
            vec![json!(min), json!(max)],
            vec![
                json!(min - 1),
                json!(max + 1),
                json!(f64::from(min) - 0.001),
                json!(f64::from(max) + 0.001),
            ],
        ),
        Keyword::MinLength(min) => values(vec![text(min)], vec![text(min - 1)]),
        Keyword::MaxLength(max) if rule.pointer.ends_with("ingerprint") => {
            values(vec![text(max)], vec![text(max + 1)])
        }
        // Three bytes each, so that counting bytes would show.
        Keyword::MaxLength(max) => {
            values(vec![json!("é€".repeat(max / 2))], vec![json!("€".repeat(max + 1))])
        }
        Keyword::Pattern(_) => {
            let with_first = |first: char| json!(format!("{first}{}", "a".repeat(63)));
            values(
                "azAZ09._-".chars().map(with_first).collect(),
                " !/:@[`{,+".chars().map(with_first).collect(),
            )
        }
        Keyword::Words(words) => values(
            words.split(", ").map(|word| json!(word)).collect(),
            vec![json!(""), json!("reporting"), json!("Failed"), json!("failed "), json!(words)],
        ),
        Keyword::Ip => values(
            vec![json!("0.0.0.0"), json!("255.255.255.255"), json!("::"), json!("2001:db8::1")],
            vec![json!(""), json!("256.0.0.1"), json!("10.0.2.15/24"), json!(":::"), json!("worker-01")],
        ),
        Keyword::Time => values(
            vec![json!("2026-03-21T15:30:00.123456789+01:00"), json!("2026-03-21 14:30:00")],
            vec![json!(""), json!("soon"), json!("1774103400"), json!("2026-02-30T14:30:00Z")],
        ),
        Keyword::Window { seconds: 300 } => values(
            vec![json!("2026-03-21T14:35:00Z"), json!("2026-03-21T14:25:00Z")],
            vec![
                json!("2026-03-21T14:35:00.001Z"),
                json!("2026-03-21T14:24:59Z"),
                json!("0001-01-01T00:00:00Z"),
            ],
        ),
        Keyword::Items(4) => {
            values(vec![json!([0, 0, 1, 1])], vec![json!([]), json!([0, 0, 1]), json!([0, 0, 1, 1, 1])])
        }
        Keyword::Uuid => values(
            vec![json!("6f1b2c3d-0000-4abc-8def-0123456789AB"), Value::Null],
            vec![json!(""), json!("task-1"), json!("6f1b2c3d00004abc8def0123456789ab")],
        ),
        Keyword::MaxDepth(max) => Boundary {
            keeps: vec![with_levels(rule, side, max)],
            breaks: vec![with_levels(rule, side, max + 1), with_levels(rule, side, max + 60)],
        },
        Keyword::MaxBytes(max) => Boundary {
            keeps: vec![with_bytes(rule, side, max)],
            breaks: vec![with_bytes(rule, side, max + 1), with_bytes(rule, side, max * 2)],
        },
        Keyword::MaxMembers(max) | Keyword::MaxOpenMembers(max) => Boundary {
            keeps: vec![with_members(rule, side, 0), with_members(rule, side, max)],
            breaks: vec![with_members(rule, side, max + 1)],
        },
        Keyword::Required => Boundary {
            keeps: vec![base(rule, side)],
            breaks: vec![without(rule, side, &[rule.pointer]), with(rule, side, Value::Null)],
        },
        Keyword::RequiredUnless(other) => {
            let both = match other {
                "/agents" => vec!["/agent", "/agents"],
                _ => vec![rule.pointer],
            };
            let mut other_only = without(rule, side, &[rule.pointer]);
            other_only.fingerprint = Some(crate::common::FINGERPRINT.to_owned());
            Boundary { keeps: vec![base(rule, side), other_only], breaks: vec![without(rule, side, &both)] }
        }
        Keyword::RequiredWith(other) => Boundary {
            keeps: vec![base(rule, side), without_linked(rule, side, &[rule.pointer, other])],
            breaks: vec![without_linked(rule, side, &[rule.pointer])],
        },
        Keyword::OnlyWith(other) => Boundary {
            keeps: vec![base(rule, side), without_linked(rule, side, &[rule.pointer, other])],
            breaks: vec![without_linked(rule, side, &[other])],
        },
        Keyword::Absent => {
            let value =
                if rule.pointer.ends_with("geometry") { json!([0.5, 0.5, 0, 0]) } else { json!("bbox") };
            values(vec![Value::Null], vec![value])
        }
        Keyword::Custom => {
            let patch = |patches: &[(&str, Value)]| patched(rule, side, patches);
            match rule.id {
                "acusight.notify_image.annotations.inside_image" => {
                    let reach = |centre: &str, size: &str, at: f64, wide: f64| {
                        let pointers = [format!("/annotations/1/{centre}"), format!("/annotations/1/{size}")];
                        patch(&[(pointers[0].as_str(), json!(at)), (pointers[1].as_str(), json!(wide))])
                    };
                    Boundary {
                        keeps: vec![
                            reach("x_center", "width", 0.5, 1.0),
                            reach("y_center", "height", 0.1, 0.2),
                            // What single precision makes of the right edge.
                            reach("x_center", "width", f64::from(0.9_f32), f64::from(0.2_f32)),
                        ],
                        breaks: vec![
                            reach("x_center", "width", 0.0999, 0.2),
                            reach("x_center", "width", 0.9001, 0.2),
                            reach("y_center", "height", 0.0999, 0.2),
                            reach("y_center", "height", 0.9001, 0.2),
                        ],
                    }
                }
                "achilles.report_result.bundle_results.bundle_id.same" => Boundary {
                    keeps: vec![
                        without(rule, side, &["/bundle_results"]),
                        patch(&[("/test_uuid", json!("é")), ("/bundle_results/bundle_id", json!("é"))]),
                    ],
                    breaks: vec![
                        patch(&[("/test_uuid", json!(""))]),
                        patch(&[("/bundle_results/bundle_id", json!("B"))]),
                    ],
                },
                "achilles.report_result.bundle_results.total_controls.counted" => Boundary {
                    keeps: vec![base(rule, side), without(rule, side, &["/bundle_results"])],
                    breaks: vec![
                        patch(&[("/bundle_results/total_controls", json!(4))]),
                        patch(&[("/bundle_results/total_controls", json!(2))]),
                        patch(&[("/bundle_results/controls", Value::Null)]),
                    ],
                },
                "achilles.report_result.bundle_results.total_controls.sum" => Boundary {
                    keeps: vec![patch(&[("/bundle_results/failed_controls", json!(2))])],
                    breaks: vec![
                        patch(&[("/bundle_results/failed_controls", json!(3))]),
                        patch(&[
                            ("/bundle_results/failed_controls", json!(i64::MAX)),
                            ("/bundle_results/passed_controls", json!(i64::MAX)),
                        ]),
                    ],
                },
                other => panic!("{other} needs a boundary"),
            }
        }
        other => panic!("{}: {other:?} needs a boundary", rule.id),
    }
}

fn place(rule: &Rule) -> String {
    match rule.pointer.strip_prefix("header:") {
        Some(name) => format!("header {name}"),
        None if rule.keyword == Keyword::Custom => rule.pointer.replace('*', "1"),
        None => concrete(rule),
    }
}

#[test]
fn samples_keep_every_rule() {
    for rule in rules() {
        for side in SIDES {
            assert_eq!(valid(rule.operation, side).broken(side), [], "{} {side:?}", rule.operation);
        }
    }
}

#[test]
fn what_is_at_the_bound_passes() {
    for rule in rules() {
        for side in SIDES.into_iter().filter(|side| rule.sides.cover(*side)) {
            for sample in boundary(rule, side).keeps {
                assert_eq!(sample.broken(side), [], "{} {side:?} {:?}", rule.id, sample.body);
            }
        }
    }
}

#[test]
fn what_is_just_outside_breaks_exactly_its_rule_at_its_place() {
    for rule in rules().filter(|rule| !rule.held_by_type) {
        for side in SIDES.into_iter().filter(|side| rule.sides.cover(*side)) {
            let mut confirmed = 0;
            for sample in boundary(rule, side).breaks {
                // A fraction where the type wants an integer is not for the rules to find.
                let Ok(faults) = sample.faults(side, &Context::at(now())) else { continue };
                confirmed += 1;
                let found: Vec<_> =
                    faults.iter().map(|fault| (fault.place.to_string(), fault.rule)).collect();
                assert_eq!(found, [(place(rule), rule.id)], "{} {side:?}", rule.id);
                let message = &faults[0].message;
                assert!(message.starts_with("must ") || message.starts_with("is "), "{message}");
                assert!(!message.ends_with('.') && message.len() < 200, "{message}");
            }
            assert!(confirmed > 0, "{} {side:?}: nothing breaks it", rule.id);
        }
    }
}

#[test]
fn the_other_side_is_not_held_to_a_rule() {
    for rule in rules() {
        let (held, free) = match rule.sides {
            Sides::Both => continue,
            Sides::Accept => (Side::Accept, Side::Emit),
            Sides::Emit => (Side::Emit, Side::Accept),
        };
        for sample in boundary(rule, held).breaks {
            if let Ok(faults) = sample.faults(free, &Context::at(now())) {
                assert!(faults.iter().all(|fault| fault.rule != rule.id), "{}", rule.id);
            }
        }
    }
}

#[test]
fn what_breaks_a_house_rule_passes_where_that_rule_is_off() {
    for rule in rules().filter(|rule| rule.is_switchable()) {
        let off = HouseRules::without([rule.id]).unwrap();
        let context = Context::at(now()).with_house_rules(off);
        for side in SIDES.into_iter().filter(|side| rule.sides.cover(*side)) {
            for sample in boundary(rule, side).breaks {
                // A fraction where the type wants an integer is not for the rules to find.
                let Ok(faults) = sample.faults(side, &context) else { continue };
                assert_eq!(faults, [], "{} {side:?}", rule.id);
            }
        }
    }
}

#[test]
fn what_a_type_holds_is_refused_before_the_rules_run() {
    for rule in rules().filter(|rule| rule.held_by_type) {
        let Keyword::Minimum(min) = rule.keyword else { panic!("{}", rule.id) };
        let sample = with(rule, Side::Accept, json!(min - 1));
        let Err(Fault::Invalid(faults)) = sample.faults(Side::Accept, &Context::at(now())) else {
            panic!("{} is read", rule.id)
        };
        assert_eq!(faults.as_slice()[0].place, Place::Body(concrete(rule)), "{}", rule.id);
    }
}
