use serde_json::json;

use super::{at, delivered, device, done, heard, key, named, queued, stored, work};
use crate::domain::{
    Agent, Delivery, NewAgent, NewWork, Reported, Standing, UNINSTALL, Vendor, WorkReport, WorkState,
};
use crate::events::{EventKind, EventQuery};
use crate::keys::Digest;
use crate::store::{Store, StoreError};

/// An agent with a key that is called as it is.
async fn signed_up<S: Store>(store: &S, id: &str, vendor: Vendor) -> Agent {
    let agent = NewAgent { vendor, key: Some(Digest::of(id)), ..device(id) };
    store.register(agent).await.expect("the id is free")
}

pub async fn standing_changes_once_and_is_told<S: Store>(store: &S) {
    let agent = signed_up(store, "d-1", Vendor::Acusight).await;
    let stand = |standing, seconds| store.stand(agent.no, standing, at(seconds));
    let disabled = stand(Standing::Disabled, 1).await.expect("there is such an agent");
    assert_eq!((disabled.standing(), disabled.disabled, disabled.turns), (Standing::Disabled, true, 1));
    assert_eq!(disabled, stored(store, agent.no).await);
    assert_eq!(stand(Standing::Disabled, 2).await.expect("it stands so"), disabled);
    assert!(key(store, "d-1").await.is_some(), "it keeps its key");
    let enabled = stand(Standing::Active, 3).await.expect("there is such an agent");
    assert_eq!((enabled.standing(), enabled.disabled, enabled.turns), (Standing::Active, false, 2));
    let gone = stand(Standing::Decommissioned, 4).await.expect("there is such an agent");
    assert_eq!((gone.standing(), gone.disabled), (Standing::Decommissioned, true));
    for standing in Standing::ALL {
        assert_eq!(stand(standing, 5).await.expect("there is such an agent"), gone, "nothing leads back");
    }
    let restored = super::whole(store).await.agents;
    assert!(restored.iter().any(|(agent, _)| *agent == gone));
    assert!(matches!(store.stand(404, Standing::Disabled, at(6)).await, Err(StoreError::Missing("agent"))));
    let query = EventQuery { agent: Some(agent.no), ..EventQuery::default() };
    let told = store.events(agent.tenant, query).await.expect("read");
    let told: Vec<_> = told.iter().map(|event| (event.kind, event.at)).collect();
    let since =
        [(EventKind::Disabled, at(1)), (EventKind::Enabled, at(3)), (EventKind::Decommissioned, at(4))];
    assert!(told.ends_with(&since), "{told:?}");
}

pub async fn departure_ends_keys_and_calls_work_off<S: Store>(store: &S) {
    let agent = signed_up(store, "d-1", Vendor::Acusight).await;
    let other = signed_up(store, "d-2", Vendor::Acusight).await;
    store.offer_key(agent.no, 1, Digest::of("offered"), at(1)).await.expect("offered");
    for (whose, id) in [(&agent, "w"), (&agent, "begun"), (&other, "other's")] {
        queued(store, work(whose, id)).await;
    }
    delivered(store, &agent, Delivery::One, 1).await;
    let gone = store.stand(agent.no, Standing::Decommissioned, at(9)).await.expect("there is such an agent");
    assert!(!gone.rotating && gone.activated);
    assert_eq!((key(store, "d-1").await, key(store, "offered").await), (None, None));
    assert!(key(store, "d-2").await.is_some());
    for id in ["w", "begun"] {
        assert_eq!(named(store, &agent, id).await.0.state, WorkState::Canceled, "{id}");
    }
    assert_eq!(named(store, &other, "other's").await.0.state, WorkState::Queued);
}

pub async fn agent_leaves_by_an_uninstall_that_went_well<S: Store>(store: &S) {
    let agent = signed_up(store, "d-1", Vendor::Achilles).await;
    let uninstall = |id: &str| NewWork { kind: UNINSTALL.to_owned(), ..work(&agent, id) };
    let result = |id: &str, exit_code: i64| WorkReport {
        result: Some(json!({"exit_code": exit_code})),
        ..done(&agent, id)
    };
    queued(store, uninstall("fails")).await;
    delivered(store, &agent, Delivery::All, 1).await;
    heard(store, result("fails", 1)).await;
    assert_eq!(stored(store, agent.no).await.standing(), Standing::Active, "it is there still");
    queued(store, uninstall("works")).await;
    queued(store, work(&agent, "waits")).await;
    delivered(store, &agent, Delivery::All, 2).await;
    assert!(matches!(heard(store, result("works", 0)).await, Reported::Now(_)));
    let left = stored(store, agent.no).await;
    assert_eq!((left.standing(), left.updated_at), (Standing::Uninstalled, at(50)));
    assert_eq!(key(store, "d-1").await, None);
    assert_eq!(named(store, &agent, "works").await.0.state, WorkState::Succeeded);
    assert_eq!(named(store, &agent, "waits").await.0.state, WorkState::Canceled);
    assert!(matches!(heard(store, result("works", 0)).await, Reported::Before(_)));
    let query = EventQuery { kind: Some(EventKind::Uninstalled), ..EventQuery::default() };
    assert_eq!(store.events(agent.tenant, query).await.expect("read").len(), 1);
}

pub async fn replaced_keys_have_ended_and_are_told<S: Store>(store: &S) {
    let agent = signed_up(store, "d-1", Vendor::Acusight).await;
    signed_up(store, "d-2", Vendor::Acusight).await;
    store.offer_key(agent.no, 1, Digest::of("offered"), at(1)).await.expect("offered");
    let replace = |no, key: &str| store.replace_keys(no, Digest::of(key), at(2));
    assert!(matches!(replace(404, "new").await, Err(StoreError::Missing("agent"))));
    assert!(matches!(replace(agent.no, "d-2").await, Err(StoreError::Taken("key"))));
    assert!(key(store, "d-1").await.is_some(), "what was refused has changed nothing");
    let replaced = replace(agent.no, "new").await.expect("the key is free");
    assert_eq!((replaced.rotating, replaced.rotation, replaced.activated), (false, 1, true));
    let good = |secret| key(store, secret);
    assert_eq!((good("d-1").await, good("offered").await), (None, None));
    assert_eq!(good("new").await.map(|key| (key.agent, key.candidate)), Some((Some(agent.no), false)));
    assert!(good("d-2").await.is_some());
    // The next rotation offers a key that was never offered before.
    assert!(store.offer_key(agent.no, 2, Digest::of("next"), at(3)).await.expect("offered").rotating);
    let query = EventQuery { kind: Some(EventKind::KeysRevoked), ..EventQuery::default() };
    assert_eq!(store.events(agent.tenant, query).await.expect("read").len(), 1);
}

pub async fn agent_that_has_left_is_given_no_key<S: Store>(store: &S) {
    let agent = signed_up(store, "d-1", Vendor::Achilles).await;
    let left = store.stand(agent.no, Standing::Decommissioned, at(1)).await.expect("it stands");
    // Who asked for a key before it left may come to the store after that.
    let replaced = store.replace_keys(agent.no, Digest::of("new"), at(2)).await;
    let offered = store.offer_key(agent.no, 1, Digest::of("offered"), at(2)).await;
    assert_eq!((replaced.expect("no fault"), offered.expect("no fault")), (left.clone(), left));
    assert_eq!((key(store, "new").await, key(store, "offered").await), (None, None));
    for kind in [EventKind::KeysRevoked, EventKind::KeyOffered] {
        let query = EventQuery { kind: Some(kind), ..EventQuery::default() };
        assert_eq!(store.events(agent.tenant, query).await.expect("read"), []);
    }
}
