//! Work that is asked for by peers, and done by operators in its agent's place.

use super::{
    Asked, DEFAULT_TENANT, Delivery, Duration, NewAgent, NewWork, OTHER_TENANT, Reported, Store, Vendor,
    Work, WorkEvent, WorkFilter, WorkReport, WorkState, at, device, is_missing, is_taken, json, latest,
    registered, together, tried_again, work,
};
use crate::domain::Agent;

fn asked_for(agent: &Agent, kind: &str, id: &str) -> NewWork {
    NewWork { kind: kind.to_owned(), ttl: Duration::from_secs(60), ..work(agent, id) }
}

async fn asked<S: Store>(store: &S, wish: NewWork) -> Asked {
    store.ask(wish, 10).await.expect("the store answers")
}

async fn made<S: Store>(store: &S, wish: NewWork) -> Work {
    match asked(store, wish).await {
        Asked::Now(work) => work,
        other => panic!("{other:?}"),
    }
}

async fn taken<S: Store>(store: &S, id: &str, seconds: i64) -> Reported {
    store.take_work(DEFAULT_TENANT, id.to_owned(), at(seconds)).await.expect("the store answers")
}

async fn said<S: Store>(store: &S, work: &Work, event: WorkEvent, seconds: i64) -> Reported {
    let report = WorkReport {
        work: work.id.clone(),
        execution: None,
        tenant: work.tenant,
        agent: work.agent,
        event,
        step: None,
        result: None,
        findings: Vec::new(),
        at: at(seconds),
    };
    store.report_work(report).await.expect("the store answers")
}

pub async fn wish_for_what_waits_already_is_that<S: Store>(store: &S) {
    let (agent, other) = (registered(store, "a").await, registered(store, "b").await);
    let first = made(store, asked_for(&agent, "restart", "1")).await;
    assert_eq!(first, asked_for(&agent, "restart", "1").into_work(first.no));
    let again = NewWork { at: at(5), ..asked_for(&agent, "restart", "2") };
    assert_eq!(asked(store, again.clone()).await, Asked::Waiting(first.clone()));
    made(store, asked_for(&other, "restart", "3")).await;

    // What was asked for after it makes it another wish: the last word counts.
    made(store, asked_for(&agent, "stop", "4")).await;
    let second = made(store, asked_for(&agent, "restart", "5")).await;
    assert_eq!(asked(store, again.clone()).await, Asked::Waiting(second.clone()));
    // And so does that somebody has it.
    assert!(matches!(taken(store, "5", 6).await, Reported::Now(_)));
    made(store, NewWork { id: "6".to_owned(), ..again }).await;
}

pub async fn wish_for_what_has_expired_is_a_new_one<S: Store>(store: &S) {
    let agent = registered(store, "a").await;
    let first = made(store, asked_for(&agent, "restart", "1")).await;
    let late = NewWork { at: at(61), ..asked_for(&agent, "restart", "2") };
    let second = made(store, late).await;
    assert_ne!(second.no, first.no);
}

pub async fn same_wish_at_once_is_one_piece_of_work<S: Store>(store: &S) {
    let agent = registered(store, "a").await;
    let ids: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    let outcomes = together(ids.iter().map(|id| asked(store, asked_for(&agent, "restart", id)))).await;
    let made = outcomes.iter().filter(|outcome| matches!(outcome, Asked::Now(_))).count();
    assert_eq!(made, 1);
    assert_eq!(store.work(DEFAULT_TENANT, latest(100)).await.expect("listed").len(), 1);
}

pub async fn no_more_is_asked_for_than_may_wait<S: Store>(store: &S) {
    let (agent, other) = (registered(store, "a").await, registered(store, "b").await);
    let wish = |agent: &Agent, id: &str| asked_for(agent, id, id);
    for id in ["1", "2", "3"] {
        assert!(matches!(store.ask(wish(&agent, id), 3).await, Ok(Asked::Now(_))));
    }
    assert_eq!(store.ask(wish(&agent, "4"), 3).await.expect("answered"), Asked::Full);
    let waiting = store.ask(NewWork { id: "5".to_owned(), ..wish(&agent, "3") }, 3).await.expect("answered");
    assert!(
        matches!(&waiting, Asked::Waiting(work) if work.id == "3"),
        "a repeat needs no room: {waiting:?}"
    );
    assert!(matches!(store.ask(wish(&other, "6"), 3).await, Ok(Asked::Now(_))));
    store.cancel_work(DEFAULT_TENANT, "1".to_owned(), at(1)).await.expect("answered");
    assert!(matches!(store.ask(wish(&agent, "7"), 3).await, Ok(Asked::Now(_))));
}

pub async fn wish_is_for_an_agent_of_its_tenant<S: Store>(store: &S) {
    let agent = registered(store, "a").await;
    let wish = asked_for(&agent, "restart", "1");
    assert!(is_missing(&store.ask(NewWork { agent: 404, ..wish.clone() }, 10).await));
    assert!(is_missing(&store.ask(NewWork { tenant: OTHER_TENANT, ..wish.clone() }, 10).await));
    made(store, wish.clone()).await;
    assert!(
        is_missing(&store.ask(NewWork { tenant: OTHER_TENANT, ..wish }, 10).await),
        "nor is it told of one"
    );
    assert!(is_taken(&store.ask(asked_for(&agent, "stop", "1"), 10).await), "ids are unique");
}

pub async fn work_that_is_taken_is_delivered_and_acknowledged<S: Store>(store: &S) {
    let agent = registered(store, "a").await;
    let made =
        made(store, NewWork { timeout: Some(Duration::from_secs(30)), ..asked_for(&agent, "stop", "1") })
            .await;
    let Reported::Now(work) = taken(store, "1", 5).await else { panic!("it waited") };
    assert_eq!(work.state, WorkState::Delivered);
    assert_eq!((work.delivered_at, work.acknowledged_at), (Some(at(5)), Some(at(5))));
    assert_eq!(work.deadline, Some(at(5 + 30 + 120)));
    let again = taken(store, "1", 6).await;
    assert_eq!(again, Reported::Before(work.clone()), "nobody takes it a second time");
    let handed_over = store.deliver(agent.no, Delivery::All, at(7)).await.expect("answered");
    assert!(handed_over.work.is_empty(), "its agent is not told of it");

    assert!(matches!(said(store, &made, WorkEvent::Start, 8).await, Reported::Now(_)));
    assert!(matches!(said(store, &made, WorkEvent::Succeed, 9).await, Reported::Now(_)));
    let ended = taken(store, "1", 10).await;
    assert!(matches!(&ended, Reported::Before(work) if work.state == WorkState::Succeeded), "{ended:?}");
}

pub async fn work_is_taken_from_its_agent_until_the_agent_acknowledges<S: Store>(store: &S) {
    let agent = registered(store, "a").await;
    made(store, asked_for(&agent, "stop", "1")).await;
    store.deliver(agent.no, Delivery::All, at(1)).await.expect("answered");
    let Reported::Now(work) = taken(store, "1", 2).await else { panic!("nobody has acknowledged it") };
    assert_eq!((work.delivered_at, work.acknowledged_at), (Some(at(1)), Some(at(2))));
}

pub async fn takers_at_once_are_told_who_was_first<S: Store>(store: &S) {
    let agent = registered(store, "a").await;
    made(store, asked_for(&agent, "stop", "1")).await;
    let outcomes = together((0..10).map(|_| taken(store, "1", 1))).await;
    let now = outcomes.iter().filter(|outcome| matches!(outcome, Reported::Now(_))).count();
    let before = outcomes.iter().filter(|outcome| matches!(outcome, Reported::Before(_))).count();
    assert_eq!((now, before), (1, 9));
}

pub async fn work_cannot_be_taken_before_its_time_nor_after<S: Store>(store: &S) {
    let agent = registered(store, "a").await;
    made(store, NewWork { not_before: Some(at(10)), ..asked_for(&agent, "stop", "1") }).await;
    let early = taken(store, "1", 9).await;
    assert!(matches!(&early, Reported::Illegal(work, _) if work.state == WorkState::Queued), "{early:?}");
    assert!(matches!(taken(store, "1", 10).await, Reported::Now(_)));

    made(store, asked_for(&agent, "start", "2")).await;
    let late = taken(store, "2", 61).await;
    assert!(matches!(&late, Reported::Before(work) if work.state == WorkState::Expired), "{late:?}");
    assert_eq!(taken(store, "404", 1).await, Reported::Unknown);
    let foreign = store.take_work(OTHER_TENANT, "1".to_owned(), at(11)).await.expect("answered");
    assert_eq!(foreign, Reported::Unknown);
}

pub async fn work_that_nobody_has_taken_cannot_be_reported_on<S: Store>(store: &S) {
    let agent = registered(store, "a").await;
    let made = made(store, asked_for(&agent, "stop", "1")).await;
    for event in [WorkEvent::Start, WorkEvent::Succeed, WorkEvent::Fail] {
        let refused = said(store, &made, event, 1).await;
        assert!(
            matches!(&refused, Reported::Illegal(work, _) if work.state == WorkState::Queued),
            "{refused:?}"
        );
    }
}

pub async fn execution_that_fails_is_taken_again<S: Store>(store: &S) {
    let agent = registered(store, "a").await;
    let wish = NewWork { max_retries: 1, ..tried_again(&agent, "1") };
    let made = made(store, wish).await;
    taken(store, "1", 1).await;
    let failed = said(store, &made, WorkEvent::Fail, 2).await;
    assert!(matches!(&failed, Reported::Now(work) if work.execution_number == 1), "{failed:?}");
    let Reported::Now(work) = taken(store, "1", 3).await else { panic!("it waits again") };
    assert_eq!((work.execution_number, work.delivered_at), (2, Some(at(3))));
}

pub async fn work_is_listed_by_vendor_state_and_page<S: Store>(store: &S) {
    let camera = registered(store, "camera").await;
    let zstack = store.register(NewAgent { vendor: Vendor::ZStack, ..device("agent") }).await.expect("free");
    for (agent, id) in [(&camera, "1"), (&zstack, "2"), (&camera, "3"), (&zstack, "4"), (&zstack, "5")] {
        made(store, asked_for(agent, id, id)).await;
    }
    taken(store, "4", 1).await;
    let ids = async |filter: WorkFilter| -> Vec<String> {
        let listed = store.work(DEFAULT_TENANT, filter).await.expect("listed");
        listed.into_iter().map(|work| work.id).collect()
    };
    let (vendor, state) = (Some(Vendor::ZStack), Some(WorkState::Queued));
    assert_eq!(ids(WorkFilter { vendor, ..latest(9) }).await, ["5", "4", "2"]);
    assert_eq!(ids(WorkFilter { state, ..latest(9) }).await, ["5", "3", "2", "1"]);
    assert_eq!(ids(WorkFilter { vendor, state, ..latest(9) }).await, ["5", "2"]);
    assert_eq!(ids(WorkFilter { agent: Some(camera.no), vendor, ..latest(9) }).await, [""; 0]);
    assert_eq!(ids(WorkFilter { agent: Some(camera.no), state, ..latest(1) }).await, ["3"]);
    let first = store.work(DEFAULT_TENANT, WorkFilter { state, ..latest(2) }).await.expect("listed");
    let before = first.last().map(|work| work.no);
    assert_eq!(ids(WorkFilter { state, before, ..latest(2) }).await, ["2", "1"]);
    assert_eq!(ids(WorkFilter { before: Some(0), ..latest(9) }).await, [""; 0]);
    let expected = json!(["4"]);
    assert_eq!(json!(ids(WorkFilter { state: Some(WorkState::Delivered), ..latest(9) }).await), expected);
}
