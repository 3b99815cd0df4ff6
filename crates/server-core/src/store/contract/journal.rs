//! What every store must tell of what it does.

use super::*;
use crate::events::{Event, EventKind, EventQuery, NewEvent};

async fn events<S: Store>(store: &S, tenant: No, query: EventQuery) -> Vec<Event> {
    store.events(tenant, query).await.expect("the store reads")
}

/// Everything that was told, from the beginning on.
async fn told<S: Store>(store: &S) -> Vec<Event> {
    events(store, DEFAULT_TENANT, EventQuery { after: Some(0), limit: 1000, ..EventQuery::default() }).await
}

async fn kinds<S: Store>(store: &S) -> Vec<&'static str> {
    told(store).await.iter().map(|event| event.kind.as_str()).collect()
}

/// The particulars of what was told last.
async fn last<S: Store>(store: &S) -> Value {
    Value::Object(told(store).await.pop().expect("something was told").detail)
}

fn turn(agent: &Agent, online: bool, seconds: i64) -> NewEvent {
    NewEvent {
        tenant: agent.tenant,
        agent: Some(agent.no),
        kind: if online { EventKind::Online } else { EventKind::Offline },
        detail: facts(json!({"reason": "unknown"})),
        at: at(seconds),
    }
}

async fn flush<S: Store>(store: &S, events: impl IntoIterator<Item = NewEvent>) {
    store.flush(Vec::new(), events.into_iter().collect(), at(0)).await.expect("flushed");
}

pub async fn agent_that_is_made_or_changed_is_told<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let first = told(store).await.pop().expect("it is told");
    let detail = facts(json!({"name": "name of d-1", "version": "1.0"}));
    let (tenant, kind) = (DEFAULT_TENANT, EventKind::Registered);
    assert_eq!(first, Event { no: first.no, tenant, agent: Some(agent.no), kind, detail, at: at(0) });

    let seen = Observation { version: Some("1.1".to_owned()), ..Observation::default() };
    store.observe(agent.no, seen.clone(), at(1)).await.expect("known");
    assert_eq!(last(store).await, json!({"from": "1.0", "to": "1.1"}));
    store.observe(agent.no, seen, at(2)).await.expect("known");
    store
        .observe(agent.no, Observation { name: Some("n".to_owned()), ..Observation::default() }, at(3))
        .await
        .expect("known");
    assert_eq!(kinds(store).await, ["registered", "version_changed"]);
}

pub async fn first_known_version_is_no_change<S: Store>(store: &S) {
    let agent = store.register(NewAgent { version: None, ..device("d-1") }).await.expect("free");
    let seen = Observation { version: Some("1.0".to_owned()), ..Observation::default() };
    store.observe(agent.no, seen, at(1)).await.expect("known");
    assert_eq!(kinds(store).await, ["registered"]);
}

pub async fn host_and_its_agents_are_told_when_they_are_made<S: Store>(store: &S) {
    let (host, agents, _) = taken(store, host_report("f", vec![hosted(None, "k")])).await;
    taken(store, host_report("f", vec![hosted(None, "k")])).await;
    let about: Vec<_> = told(store).await.into_iter().map(|event| (event.kind, event.agent)).collect();
    let made = |agent: &Agent| (EventKind::Registered, Some(agent.no));
    assert_eq!(about, [made(&host), made(&agents[0])]);
    assert_eq!(last(store).await["host"], json!(host.no));
}

pub async fn token_and_what_it_makes_are_told<S: Store>(store: &S) {
    issued(store, "t", 2).await;
    newly_enrolled(store, newcomer("t", "host", "1", 1)).await;
    enrolled(store, newcomer("t", "host", "2", 2)).await;
    assert_eq!(last(store).await["token"], json!("t"));
    for _ in 0..2 {
        store.revoke_token(DEFAULT_TENANT, "t".to_owned(), at(3)).await.expect("answered");
    }
    enrolled(store, newcomer("t", "other", "3", 4)).await;
    assert_eq!(last(store).await, json!({"token": "t"}));
    assert_eq!(kinds(store).await, ["token_issued", "enrolled", "enrolled_again", "token_revoked"]);
    let at_once = told(store).await.into_iter().map(|event| (event.agent.is_some(), event.at));
    let expected = [(false, at(0)), (true, at(1)), (true, at(2)), (false, at(3))];
    assert_eq!(at_once.collect::<Vec<_>>(), expected);
}

pub async fn rotation_is_told_when_offered_and_when_taken<S: Store>(store: &S) {
    let agent =
        store.register(NewAgent { key: Some(Digest::of("old")), ..device("d-1") }).await.expect("free");
    store.settle_key(Digest::of("old"), at(1)).await.expect("settled");
    for _ in 0..2 {
        store.offer_key(agent.no, 1, Digest::of("new"), at(2)).await.expect("offered");
    }
    store.settle_key(Digest::of("old"), at(3)).await.expect("settled");
    for _ in 0..2 {
        store.settle_key(Digest::of("new"), at(4)).await.expect("settled");
    }
    assert_eq!(kinds(store).await, ["registered", "key_offered", "key_rotated"]);
    assert_eq!(last(store).await, json!({"rotation": 1}));
    assert_eq!(told(store).await.last().map(|event| event.at), Some(at(4)));
}

pub async fn work_is_told_at_each_turn_and_once<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    queued(store, work(&agent, "w-1")).await;
    delivered(store, &agent, Delivery::All, 1).await;
    delivered(store, &agent, Delivery::All, 2).await;
    assert_eq!(kinds(store).await, ["registered", "work_queued", "work_delivered"]);
    assert_eq!(told(store).await.last().map(|event| event.at), Some(at(1)));
    delivered(store, &agent, Delivery::All, 9999).await;
    delivered(store, &agent, Delivery::All, 9999).await;
    assert_eq!(kinds(store).await, ["registered", "work_queued", "work_delivered", "work_ended"]);
    let ended = last(store).await;
    assert_eq!(
        (&ended["work"], &ended["type"], &ended["end"]),
        (&json!("w-1"), &json!("run"), &json!("expired"))
    );
}

pub async fn models_are_told_when_wished_for_and_when_run<S: Store>(store: &S) {
    let device = device_to_run(store, "m-2").await;
    assert_eq!(last(store).await, json!({"to": "m-2"}));
    store.set_desired_model(device.no, "m-2".to_owned(), at(5)).await.expect("known");
    for _ in 0..2 {
        check_in(store, &device, Some("m-1"), 6).await;
        check_in(store, &device, None, 7).await;
    }
    let first: BTreeSet<_> = kinds(store).await.into_iter().collect();
    let expected = ["model_assigned", "model_reported", "registered", "work_delivered", "work_queued"];
    assert_eq!((first, told(store).await.len()), (BTreeSet::from(expected), 5));
    check_in(store, &device, Some("m-2"), 8).await;
    let said: Vec<_> =
        told(store).await.into_iter().skip(5).map(|event| (event.kind, event.detail)).collect();
    let reported = facts(json!({"from": "m-1", "to": "m-2"}));
    assert!(said.contains(&(EventKind::ModelReported, reported)), "{said:?}");
    assert!(said.iter().any(|(kind, _)| *kind == EventKind::WorkEnded) && said.len() == 2, "{said:?}");
}

pub async fn batches_are_told_when_opened_and_when_closed<S: Store>(store: &S) {
    let device = registered(store, "d-1").await;
    for (n, seconds) in [(0, 0), (0, 1), (1, 1), (2, 2), (3, 500)] {
        recorded(store, image(&device, n, seconds), SMALL).await;
    }
    let batches =
        told(store).await.into_iter().skip(1).map(|event| (event.kind, Value::Object(event.detail)));
    let batch = |n: u32| format!("batch {} {n}", device.no);
    assert_eq!(
        batches.collect::<Vec<_>>(),
        [
            (EventKind::BatchOpened, json!({"batch": batch(0)})),
            (EventKind::BatchClosed, json!({"batch": batch(0), "images": 2, "why": "full"})),
            (EventKind::BatchOpened, json!({"batch": batch(2)})),
            (EventKind::BatchClosed, json!({"batch": batch(2), "images": 1, "why": "old"})),
            (EventKind::BatchOpened, json!({"batch": batch(3)})),
        ]
    );
}

pub async fn change_that_fails_is_not_told<S: Store>(store: &S) {
    let agent =
        store.register(NewAgent { key: Some(Digest::of("old")), ..device("d-1") }).await.expect("free");
    issued(store, "t", 1).await;
    recorded(store, image(&agent, 0, 0), SMALL).await;
    let before = kinds(store).await;

    assert!(is_taken(&store.register(device("d-1")).await));
    assert!(is_taken(&store.issue_token(token("t", 1)).await));
    // The key is found to be in use only after the agent was made.
    assert!(is_taken(&store.enroll(newcomer("t", "host", "old", 1)).await));
    assert!(is_taken(&store.offer_key(agent.no, 1, Digest::of("old"), at(2)).await));
    assert!(is_missing(&store.settle_key(Digest::of("none"), at(2)).await));
    assert!(is_missing(&store.set_desired_model(agent.no, "none".to_owned(), at(2)).await));
    let seen = Observation { parent: Some(404), version: Some("9".to_owned()), ..Observation::default() };
    assert!(is_missing(&store.observe(agent.no, seen, at(2)).await));
    assert!(!store.revoke_token(OTHER_TENANT, "t".to_owned(), at(2)).await.expect("answered"));
    assert_eq!(enrolled(store, newcomer("none", "host", "key", 1)).await, Enrolled::Refused);
    recorded(store, image(&agent, 1, 0), BatchLimits { quota: 1, ..SMALL }).await;
    assert_eq!(kinds(store).await, before);
}

pub async fn online_and_offline_are_told_in_turn<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let other = registered(store, "d-2").await;
    let unknown = device("d-3").into_agent(404);
    let stays = [turn(&agent, false, 1), turn(&unknown, true, 1), turn(&unknown, false, 1)];
    flush(store, stays).await;
    flush(store, [turn(&agent, true, 2), turn(&agent, true, 3), turn(&other, true, 3)]).await;
    flush(store, [turn(&agent, true, 4)]).await;
    let online = whole(store).await.online;
    assert_eq!(online, BTreeSet::from([agent.no, other.no]));
    flush(
        store,
        [turn(&agent, false, 5), turn(&agent, true, 6), turn(&agent, false, 7), turn(&agent, false, 8)],
    )
    .await;
    assert_eq!(whole(store).await.online, BTreeSet::from([other.no]));
    let turns = told(store).await.into_iter().skip(2);
    let turns: Vec<_> =
        turns.map(|event| (event.agent.expect("of an agent"), event.kind, event.at)).collect();
    let (on, off) = (EventKind::Online, EventKind::Offline);
    assert_eq!(
        turns,
        [
            (agent.no, on, at(2)),
            (other.no, on, at(3)),
            (agent.no, off, at(5)),
            (agent.no, on, at(6)),
            (agent.no, off, at(7))
        ]
    );
}

pub async fn other_news_is_told_as_often_as_it_comes<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let suspicion = NewEvent { kind: EventKind::CloneSuspected, ..turn(&agent, true, 1) };
    flush(store, [suspicion.clone(), suspicion.clone()]).await;
    assert_eq!(kinds(store).await, ["registered", "clone_suspected", "clone_suspected"]);
    let kept = told(store).await.pop().expect("told");
    assert_eq!(kept, suspicion.into_event(kept.no));
    assert_eq!(whole(store).await.online, BTreeSet::new());
}

pub async fn events_are_read_on_from_a_number<S: Store>(store: &S) {
    for n in 0..7 {
        registered(store, &format!("d-{n}")).await;
    }
    let all = told(store).await;
    assert!(all.is_sorted_by(|one, next| one.no < next.no) && all.iter().all(|event| event.no > 0));
    let (mut after, mut read) = (0, Vec::new());
    loop {
        let query = EventQuery { after: Some(after), limit: 3, ..EventQuery::default() };
        let page = events(store, DEFAULT_TENANT, query).await;
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = last.no;
        read.extend(page);
    }
    assert_eq!(read, all);
    // A number that nothing has, or never will have.
    for (after, count) in [(i64::MIN, 7), (-1, 7), (after, 0), (after + 1, 0), (i64::MAX, 0)] {
        let query = EventQuery { after: Some(after), ..EventQuery::default() };
        assert_eq!(events(store, DEFAULT_TENANT, query).await.len(), count, "{after}");
    }
    registered(store, "later").await;
    let query = EventQuery { after: Some(after), limit: u32::MAX, ..EventQuery::default() };
    assert_eq!(events(store, DEFAULT_TENANT, query).await.len(), 1);
}

pub async fn latest_events_come_in_their_order<S: Store>(store: &S) {
    for n in 0..5 {
        registered(store, &format!("d-{n}")).await;
    }
    let all = told(store).await;
    let latest = |limit| EventQuery { limit, ..EventQuery::default() };
    assert_eq!(events(store, DEFAULT_TENANT, latest(2)).await, all[3..]);
    assert_eq!(events(store, DEFAULT_TENANT, latest(9)).await, all);
    assert_eq!(events(store, DEFAULT_TENANT, latest(0)).await, []);
}

pub async fn events_of_an_agent_or_a_kind_are_read_alone<S: Store>(store: &S) {
    let (one, other) = (registered(store, "d-1").await, registered(store, "d-2").await);
    flush(store, [turn(&one, true, 1), turn(&other, true, 1), turn(&one, false, 2)]).await;
    issued(store, "t", 1).await;
    for after in [None, Some(0)] {
        for (agent, kind, count) in [
            (Some(one.no), None, 3),
            (None, Some(EventKind::Online), 2),
            (Some(one.no), Some(EventKind::Offline), 1),
            (Some(other.no), Some(EventKind::Offline), 0),
            (None, Some(EventKind::KeyOffered), 0),
            (Some(404), None, 0),
        ] {
            let query = EventQuery { after, agent, kind, limit: 100 };
            let read = events(store, DEFAULT_TENANT, query).await;
            assert_eq!(read.len(), count, "{query:?}");
            assert!(read.iter().all(|event| query.wants(event)), "{query:?}");
            assert!(read.is_sorted_by_key(|event| event.no));
        }
    }
}

pub async fn nobody_reads_another_tenants_events<S: Store>(store: &S) {
    let ours = registered(store, "d-1").await;
    let theirs = store
        .register(NewAgent { tenant: OTHER_TENANT, ..device("d-1") })
        .await
        .expect("free in that tenant");
    flush(store, [turn(&theirs, true, 1)]).await;
    for after in [None, Some(0)] {
        for kind in [None, Some(EventKind::Registered), Some(EventKind::Online)] {
            for agent in [None, Some(ours.no), Some(theirs.no)] {
                let query = EventQuery { after, agent, kind, limit: 100 };
                for (tenant, no) in [(DEFAULT_TENANT, ours.no), (OTHER_TENANT, theirs.no)] {
                    let read = events(store, tenant, query).await;
                    let own = |event: &Event| event.tenant == tenant && event.agent == Some(no);
                    assert!(read.iter().all(own), "{query:?}: {read:?}");
                }
            }
        }
    }
    assert_eq!(kinds(store).await, ["registered"]);
}

pub async fn old_events_are_forgotten_and_their_numbers_not_given_again<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    flush(store, (1..=9).map(|n| turn(&agent, n % 2 == 1, n))).await;
    let before = told(store).await;
    assert_eq!(before.len(), 10);
    assert_eq!(store.forget_events(at(5), 3).await.expect("forgotten"), 3);
    assert_eq!(told(store).await, before[3..]);
    assert_eq!(store.forget_events(at(5), 3).await.expect("forgotten"), 2);
    assert_eq!(store.forget_events(at(5), 3).await.expect("forgotten"), 0);
    assert_eq!(told(store).await, before[5..]);
    assert_eq!(store.forget_events(at(100), 100).await.expect("forgotten"), 5);
    assert_eq!(told(store).await, []);
    // What an agent was last told to be is not forgotten with the event.
    flush(store, [turn(&agent, true, 101), turn(&agent, false, 102)]).await;
    let after = told(store).await;
    assert_eq!(after.len(), 1);
    assert!(after[0].no > before[9].no);
}
