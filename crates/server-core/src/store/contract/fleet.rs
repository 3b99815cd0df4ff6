//! Agents that say who they are and are made if nobody knows them.

use super::{
    Agent, Announced, BTreeMap, DEFAULT_TENANT, Digest, Kind, NewAgent, OTHER_TENANT, Store, Vendor, at,
    device, facts, is_taken, key, registered, stored, together,
};
use crate::events::{EventKind, EventQuery};
use serde_json::json;

fn newcomer(id: &str) -> NewAgent {
    NewAgent {
        vendor: Vendor::ZStack,
        facts: facts(json!({"type": "log"})),
        labels: BTreeMap::new(),
        ..device(id)
    }
}

async fn announced<S: Store>(store: &S, agent: NewAgent) -> Announced {
    store.announce(agent, 10).await.expect("the store answers")
}

async fn made<S: Store>(store: &S, id: &str) -> Agent {
    match announced(store, newcomer(id)).await {
        Announced::New(agent) => agent,
        other => panic!("{other:?}"),
    }
}

pub async fn agent_that_nobody_knows_is_made_by_its_word<S: Store>(store: &S) {
    let agent = made(store, "a").await;
    assert_eq!(agent, newcomer("a").into_agent(agent.no));
    assert_eq!(stored(store, agent.no).await, agent);
    assert_eq!(announced(store, newcomer("a")).await, Announced::Known(agent.clone()));
    let events = store.events(DEFAULT_TENANT, EventQuery { limit: 10, ..EventQuery::default() }).await;
    let events: Vec<_> = events.expect("read").into_iter().map(|event| (event.kind, event.agent)).collect();
    assert_eq!(events, [(EventKind::Registered, Some(agent.no))], "told once");
}

pub async fn agent_that_is_known_becomes_what_it_says<S: Store>(store: &S) {
    let before = made(store, "a").await;
    let says = NewAgent {
        name: "renamed".to_owned(),
        version: Some("2.0".to_owned()),
        facts: facts(json!({"type": "trace"})),
        labels: BTreeMap::from([("site".to_owned(), "south".to_owned())]),
        key: Some(Digest::of("key")),
        at: at(9),
        ..newcomer("a")
    };
    let Announced::Known(after) = announced(store, says).await else { panic!("it is known") };
    let expected = Agent {
        name: "renamed".to_owned(),
        version: Some("2.0".to_owned()),
        facts: facts(json!({"type": "trace"})),
        updated_at: at(9),
        ..before.clone()
    };
    assert_eq!(after, expected, "labels are the operators'");
    assert_eq!(stored(store, before.no).await, expected);
    assert_eq!(key(store, "key").await, None, "no key is made for an agent that was there");
}

pub async fn agents_that_say_the_same_at_once_are_one<S: Store>(store: &S) {
    let outcomes = together((0..20).map(|_| announced(store, newcomer("a")))).await;
    let new = outcomes.iter().filter(|outcome| matches!(outcome, Announced::New(_))).count();
    assert_eq!(new, 1);
    let numbers: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Announced::New(agent) | Announced::Known(agent) => agent.no,
            Announced::Full => panic!("there is room"),
        })
        .collect();
    assert!(numbers.iter().all(|no| *no == numbers[0]), "{numbers:?}");
    assert_eq!(super::whole(store).await.agents.len(), 1);
}

pub async fn full_fleet_takes_no_newcomer_and_knows_its_agents<S: Store>(store: &S) {
    // Of whatever vendor: all count.
    registered(store, "camera").await;
    let known = made(store, "a").await;
    let two = |agent| store.announce(agent, 2);
    assert_eq!(two(newcomer("b")).await.expect("answered"), Announced::Full);
    assert_eq!(two(newcomer("a")).await.expect("answered"), Announced::Known(known));
    let theirs = NewAgent { tenant: OTHER_TENANT, ..newcomer("b") };
    let theirs = two(theirs).await.expect("answered");
    assert!(matches!(theirs, Announced::New(_)), "another tenant has room: {theirs:?}");
    // Operators are not bound.
    store.register(newcomer("by hand")).await.expect("registered");
    let three = store.announce(newcomer("b"), 3).await.expect("answered");
    assert_eq!(three, Announced::Full, "who was registered by hand counts");
    assert!(matches!(store.announce(newcomer("b"), 4).await, Ok(Announced::New(_))));
}

pub async fn newcomers_at_once_fill_a_fleet_exactly<S: Store>(store: &S) {
    let ids: Vec<_> = (0..20).map(|number| format!("a-{number}")).collect();
    let outcomes = together(ids.iter().map(|id| store.announce(newcomer(id), 7))).await;
    let made = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Announced::New(_)))).count();
    let full = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Announced::Full))).count();
    assert_eq!((made, full), (7, 13));
    assert_eq!(super::whole(store).await.agents.len(), 7);
}

pub async fn newcomer_that_cannot_be_made_takes_no_room<S: Store>(store: &S) {
    let first = NewAgent { key: Some(Digest::of("key")), ..newcomer("a") };
    assert!(matches!(announced(store, first).await, Announced::New(_)));
    let same_key = NewAgent { key: Some(Digest::of("key")), ..newcomer("b") };
    assert!(is_taken(&store.announce(same_key, 2).await));
    assert!(matches!(store.announce(newcomer("c"), 2).await, Ok(Announced::New(_))));
}

pub async fn same_word_is_another_agent_in_another_tenant_vendor_and_kind<S: Store>(store: &S) {
    made(store, "same").await;
    for other in [
        NewAgent { tenant: OTHER_TENANT, ..newcomer("same") },
        NewAgent { vendor: Vendor::AgentMc, ..newcomer("same") },
        NewAgent { kind: Kind::Host, ..newcomer("same") },
    ] {
        assert!(matches!(announced(store, other.clone()).await, Announced::New(_)), "{other:?}");
    }
}
