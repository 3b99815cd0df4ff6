//! The list of rules as data.

use std::collections::BTreeSet;

use fleetwire_protocol::{Endpoint, for_each_endpoint};
use fleetwire_validation::{
    CLOCK_WINDOW, Context, HouseRules, Keyword, MAX_OPEN_BYTES, MAX_OPEN_DEPTH, MAX_OPEN_MEMBERS,
    NotSwitchable, Origin, Rule, Severity, Side, Sides, find_rule, rules, rules_of,
};

#[test]
fn the_list_of_rules_changes_only_on_purpose() {
    let line = |rule: &Rule| {
        let sides = match rule.sides {
            Sides::Both => "",
            Sides::Accept => " (accept)",
            Sides::Emit => " (emit)",
        };
        let mark = if rule.severity == Severity::Mark { " (mark)" } else { "" };
        let house = if rule.is_house_rule() { " (house rule)" } else { "" };
        format!("{}{sides}{mark}{house}: {}", rule.id, rule.statement)
    };
    insta::assert_snapshot!(rules().map(line).collect::<Vec<_>>().join("\n"));
}

#[test]
fn ids_are_unique() {
    let ids: BTreeSet<_> = rules().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), rules().count());
}

#[test]
fn an_id_is_the_operation_the_place_and_the_keyword() {
    for rule in rules() {
        let place = match rule.pointer.strip_prefix("header:") {
            Some(name) => format!(".header.{}", name.to_lowercase().replace('-', "_")),
            None => rule.pointer.replace("/*", "").replace('/', "."),
        };
        let expected = format!("{}{place}.", rule.operation);
        let word =
            rule.id.strip_prefix(&expected).unwrap_or_else(|| panic!("{} is not {expected}…", rule.id));
        assert!(!word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", rule.id);
        if let Some(name) = rule.keyword.name() {
            assert_eq!(word, name, "{}", rule.id);
        }
    }
}

#[test]
fn every_rule_says_what_it_asks_and_who_says_so() {
    for rule in rules() {
        assert!(rule.statement.starts_with("must ") || rule.statement.starts_with("is "), "{}", rule.id);
        assert!(!rule.statement.ends_with('.'), "{}", rule.id);
        match rule.origin {
            Origin::Source { document, place, .. } => {
                assert!(!document.is_empty() && !place.is_empty(), "{}", rule.id);
            }
            Origin::HouseRule { why } => assert!(!why.is_empty(), "{}", rule.id),
        }
    }
}

#[test]
fn statements_name_their_bounds() {
    for rule in rules() {
        let bounds = match rule.keyword {
            Keyword::Minimum(min) => vec![min.to_string()],
            Keyword::Range { min, max } => vec![min.to_string(), max.to_string()],
            Keyword::MinLength(1) => vec!["empty".to_owned()],
            Keyword::MinLength(n) | Keyword::MaxLength(n) | Keyword::Items(n) => vec![n.to_string()],
            Keyword::MaxMembers(n) | Keyword::MaxOpenMembers(n) => {
                assert_eq!(n, MAX_OPEN_MEMBERS);
                vec![n.to_string()]
            }
            Keyword::MaxDepth(n) => {
                assert_eq!(n, MAX_OPEN_DEPTH);
                vec![n.to_string()]
            }
            Keyword::MaxBytes(n) => {
                // Of what is open, or as one source has it.
                assert!(n == MAX_OPEN_BYTES || matches!(rule.origin, Origin::Source { .. }), "{}", rule.id);
                vec![n.to_string()]
            }
            Keyword::Window { seconds } => {
                assert_eq!(seconds, CLOCK_WINDOW.as_secs());
                vec![seconds.to_string()]
            }
            Keyword::Pattern(pattern) => vec![pattern.to_owned()],
            Keyword::Words(words) => words.split_inclusive(',').map(|word| word.trim().to_owned()).collect(),
            _ => vec![],
        };
        for bound in bounds {
            assert!(rule.statement.split(' ').any(|word| word == bound), "{}: {}", rule.id, rule.statement);
        }
    }
}

#[test]
fn severity_follows_the_sides() {
    for rule in rules() {
        // What a server does not look at, it does not refuse.
        assert_eq!(rule.severity == Severity::Refuse, rule.sides.cover(Side::Accept), "{}", rule.id);
    }
    let marked: Vec<_> = rules().filter(|rule| rule.severity == Severity::Mark).map(|rule| rule.id).collect();
    assert_eq!(marked, ["acusight.notify_image.annotations.inside_image"]);
}

#[test]
fn rules_are_found_by_their_ids() {
    for rule in rules() {
        assert_eq!(find_rule(rule.id), Some(rule));
    }
    assert_eq!(find_rule("agentmc.heartbeat.host.fingerprint"), None);
}

#[test]
fn open_objects_are_bounded_in_members_depth_and_bytes() {
    let words = |pointer: &str, operation: &str| -> BTreeSet<_> {
        let here = rules_of(operation).iter().filter(|rule| rule.pointer == pointer);
        here.filter_map(|rule| rule.keyword.name()).filter(|word| word.starts_with("max_")).collect()
    };
    let mut open = 0;
    for rule in rules().filter(|rule| rule.keyword.name() == Some("max_members")) {
        open += 1;
        let bounds = words(rule.pointer, rule.operation);
        // A map of true and false has no depth.
        let flat = rule.pointer == "/meta/tool_availability";
        let expected = ["max_bytes", "max_depth", "max_members"]
            .into_iter()
            .filter(|word| !flat || *word != "max_depth");
        assert_eq!(bounds, expected.collect(), "{}", rule.id);
    }
    assert_eq!(open, 13);
}

#[test]
fn exactly_the_house_rules_that_a_check_runs_can_be_switched_off() {
    let mut off = 0;
    for rule in rules() {
        let switched = HouseRules::without([rule.id]);
        match (rule.is_house_rule(), rule.held_by_type) {
            (false, _) => assert_eq!(switched, Err(NotSwitchable::Sourced(rule.id))),
            (true, true) => assert_eq!(switched, Err(NotSwitchable::HeldByType(rule.id))),
            (true, false) => {
                let switched = switched.unwrap();
                let kept: Vec<_> = rules().filter(|other| !switched.keeps(other)).collect();
                assert_eq!(kept, [rule], "one is off and no other");
                off += 1;
            }
        }
    }
    assert!(off > 20, "{off}");
    let all: Vec<_> = rules().filter(|rule| rule.is_switchable()).map(|rule| rule.id).collect();
    let none = HouseRules::without(&all).unwrap();
    assert!(rules().all(|rule| none.keeps(rule) != rule.is_switchable()));
    assert_eq!(HouseRules::without([] as [&str; 0]).unwrap(), HouseRules::default());
}

#[test]
fn an_id_that_no_rule_has_is_not_switched_off_in_silence() {
    let unknown =
        HouseRules::without(["acusight.checkin.device_id.min_length", "acusight.checkin.device_id"]);
    let refused = unknown.unwrap_err();
    assert_eq!(refused, NotSwitchable::Unknown("acusight.checkin.device_id".to_owned()));
    assert_eq!(refused.to_string(), r#"there is no rule "acusight.checkin.device_id""#);
}

/// What breaks a house rule passes where that rule is off, and only there.
#[test]
fn a_rule_that_is_off_finds_nothing_and_the_others_still_do() {
    let mut sample = crate::common::valid("acusight.notify_image", Side::Accept);
    sample.set("/annotations/1/geometry", serde_json::json!([2, 0, 0, 0]));
    sample.set("/annotations/0/confidence", serde_json::json!(2));
    let found = |rules: HouseRules| -> Vec<_> {
        let context = Context::at(crate::common::now()).with_house_rules(rules);
        sample.faults(Side::Accept, &context).unwrap().into_iter().map(|fault| fault.rule).collect()
    };
    let confidence = "acusight.notify_image.annotations.confidence.range";
    let geometry = "acusight.notify_image.annotations.geometry.range";
    assert_eq!(found(HouseRules::ALL), [confidence, geometry]);
    assert_eq!(found(HouseRules::without([geometry]).unwrap()), [confidence]);
}

#[test]
fn patterns_have_the_one_form_that_the_check_knows() {
    for rule in rules() {
        if let Keyword::Pattern(pattern) = rule.keyword {
            let class = pattern.strip_prefix("^[").and_then(|rest| rest.strip_suffix("]+$"));
            let class = class.unwrap_or_else(|| panic!("{pattern}"));
            assert!(!class.starts_with('^') && !class.contains(['[', ']', '\\']), "{pattern}");
        }
    }
}

#[test]
fn every_operation_finds_its_own_rules() {
    macro_rules! ids {
        ([] $($operation:path,)*) => { [$(<$operation as Endpoint>::ID),*] };
    }
    let ids = for_each_endpoint!(ids!());
    let without: Vec<_> = ids.into_iter().filter(|id| rules_of(id).is_empty()).collect();
    let expected = [
        "acusight.device_self",
        "zstack.register",
        "zstack.list_by_lifecycle_status",
        "zstack.send_action",
        "zstack.action_result",
        "agentmc.instructions",
        "achilles.poll_tasks",
        "achilles.check_update",
        "achilles.version",
        "achilles.download_update",
        "achilles.download_binary",
    ];
    assert_eq!(without, expected);
    assert!(ids.iter().all(|id| rules_of(id).iter().all(|rule| rule.operation == *id)));
    assert!(rules_of("acusight.reboot").is_empty());
    assert_eq!(ids.iter().map(|id| rules_of(id).len()).sum::<usize>(), rules().count());
}

/// The rules of the slice are looked up in the slice's own words, so that a slip of the pen shows.
#[test]
fn places_in_the_slice_end_with_the_member_that_the_rule_is_about() {
    for rule in rules_of("agentmc.heartbeat") {
        if let Origin::Source { document: "agentmc-heartbeat-openapi", place, .. } = rule.origin {
            let Some(path) = place.strip_prefix("#/components/schemas/StoreAgentHeartbeatApiRequest/") else {
                assert!(rule.pointer.starts_with("header:"), "{}", rule.id);
                continue;
            };
            let named = path.trim_end_matches("/oneOf/0").replace("properties/", "");
            let member = rule.pointer.trim_start_matches('/');
            let parent =
                member.rsplit_once('/').map_or("required".to_owned(), |(p, _)| format!("{p}/required"));
            let presence = matches!(rule.keyword, Keyword::Required | Keyword::RequiredUnless(_));
            let expected = if presence { &parent } else { member };
            assert_eq!(named, *expected, "{}", rule.id);
        }
    }
}
