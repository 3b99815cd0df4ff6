//! The list of rules as data.

use std::collections::BTreeSet;

use fleetwire_protocol::{Endpoint, for_each_endpoint};
use fleetwire_validation::{CLOCK_WINDOW, Keyword, MAX_OPEN_MEMBERS, Origin, Rule, Sides, rules, rules_of};

#[test]
fn the_list_of_rules_changes_only_on_purpose() {
    let line = |rule: &Rule| {
        let sides = match rule.sides {
            Sides::Both => "",
            Sides::Accept => " (accept)",
            Sides::Emit => " (emit)",
        };
        format!("{}{sides}: {}", rule.id, rule.statement)
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
            Keyword::MaxMembers(n) => {
                assert_eq!(n, MAX_OPEN_MEMBERS);
                vec![n.to_string()]
            }
            Keyword::Window { seconds } => {
                assert_eq!(seconds, CLOCK_WINDOW.as_secs());
                vec![seconds.to_string()]
            }
            Keyword::Pattern(pattern) => vec![pattern.to_owned()],
            _ => vec![],
        };
        for bound in bounds {
            assert!(rule.statement.split(' ').any(|word| word == bound), "{}: {}", rule.id, rule.statement);
        }
    }
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
    assert_eq!(without, ["achilles.poll_tasks", "achilles.check_update"]);
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
            let expected = if rule.keyword == Keyword::Required { &parent } else { member };
            assert_eq!(named, *expected, "{}", rule.id);
        }
    }
}
