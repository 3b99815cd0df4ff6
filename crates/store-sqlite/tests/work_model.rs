//! Work in both stores against a small pure model, under operations drawn at random.
#![expect(clippy::unwrap_used, reason = "a test ends at its first fault")]

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fleetwire_server_core::domain::{
    DEFAULT_TENANT, Delivery, Kind, NewAgent, NewWork, No, Queued, Reported, Vendor, WorkEvent, WorkFilter,
    WorkReport, WorkState,
};
use fleetwire_server_core::store::{MemoryStore, Store};
use fleetwire_store_sqlite::SqliteStore;
use proptest::prelude::*;
use serde_json::{Map, json};

/// Seconds for which work is worth beginning.
const TTL: i64 = 400;

/// Seconds after which an execution has taken too long: 30 and the grace.
const TOO_LONG: i64 = 150;

#[derive(Debug, Clone)]
enum Op {
    Queue { key: Option<u8>, retries: u32 },
    Poll,
    Report { work: usize, back: u32, event: WorkEvent },
    Cancel { work: usize },
    Sweep { limit: u32 },
    Pass { seconds: i64 },
}

fn op() -> impl Strategy<Value = Op> {
    let said = prop::sample::select(vec![
        WorkEvent::Acknowledge,
        WorkEvent::Start,
        WorkEvent::Succeed,
        WorkEvent::Fail,
        WorkEvent::Expire,
    ]);
    prop_oneof![
        2 => (prop::option::of(0..3_u8), 0..3_u32).prop_map(|(key, retries)| Op::Queue { key, retries }),
        4 => Just(Op::Poll),
        5 => (0..6_usize, 0..3_u32, said).prop_map(|(work, back, event)| Op::Report { work, back, event }),
        1 => (0..6_usize).prop_map(|work| Op::Cancel { work }),
        1 => (1..4_u32).prop_map(|limit| Op::Sweep { limit }),
        3 => (1..200_i64).prop_map(|seconds| Op::Pass { seconds }),
    ]
}

/// A piece of work as it should be.
#[derive(Debug, Clone)]
struct Modelled {
    key: Option<u8>,
    retries: u32,
    state: WorkState,
    number: u32,
    acknowledged: bool,
    handed_over: i64,
    made: i64,
}

impl Modelled {
    fn unbegun(&self) -> bool {
        self.state == WorkState::Queued || self.state == WorkState::Delivered && !self.acknowledged
    }

    fn under_way(&self) -> bool {
        matches!(self.state, WorkState::Delivered | WorkState::Running)
    }

    fn fail(&mut self) {
        if self.number <= self.retries {
            (self.state, self.number, self.acknowledged) = (WorkState::Queued, self.number + 1, false);
        } else {
            self.state = WorkState::Failed;
        }
    }

    fn pass(&mut self, now: i64) {
        let late = self.under_way() && now > self.handed_over + TOO_LONG;
        let stale = self.unbegun() && now > self.made + TTL;
        if late && (!stale || self.handed_over + TOO_LONG < self.made + TTL) {
            self.fail();
            self.pass(now);
        } else if stale {
            self.state = WorkState::Expired;
        }
    }

    /// Whether word of the present execution changes anything; `None` if it cannot be.
    fn hear(&mut self, event: WorkEvent) -> Option<bool> {
        if self.state.is_terminal() {
            return Some(false);
        }
        let delivered = self.state == WorkState::Delivered;
        match event {
            _ if self.state == WorkState::Queued && event != WorkEvent::Expire => None,
            WorkEvent::Acknowledge if delivered => Some(!std::mem::replace(&mut self.acknowledged, true)),
            WorkEvent::Start => {
                (self.state, self.acknowledged) = (WorkState::Running, true);
                Some(delivered)
            }
            WorkEvent::Succeed => {
                self.state = WorkState::Succeeded;
                Some(true)
            }
            WorkEvent::Fail => {
                self.fail();
                Some(true)
            }
            WorkEvent::Expire if self.state != WorkState::Running => {
                self.state = WorkState::Expired;
                Some(true)
            }
            _ => None,
        }
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + seconds)
}

async fn agent<S: Store>(store: &S) -> No {
    let agent = NewAgent {
        tenant: DEFAULT_TENANT,
        vendor: Vendor::Achilles,
        kind: Kind::Agent,
        no: None,
        id: Some("a".to_owned()),
        parent: None,
        name: "a".to_owned(),
        version: None,
        facts: Map::new(),
        labels: [].into(),
        key: None,
        at: at(0),
    };
    store.register(agent).await.unwrap().no
}

async fn run<S: Store>(store: &S, ops: &[Op]) {
    let agent = agent(store).await;
    let mut model: Vec<Modelled> = Vec::new();
    let mut ended: BTreeSet<(usize, u32)> = BTreeSet::new();
    let mut now = 0;
    for op in ops {
        let before = model.clone();
        if let Op::Pass { seconds } = op {
            now += seconds;
        }
        model.iter_mut().for_each(|work| work.pass(now));
        match op {
            Op::Pass { .. } => {}
            Op::Queue { key, retries } => {
                let wish = NewWork {
                    id: format!("w-{}", model.len()),
                    key: key.map(|key| key.to_string()),
                    tenant: DEFAULT_TENANT,
                    agent,
                    kind: "x".to_owned(),
                    payload: Map::new(),
                    priority: 0,
                    not_before: None,
                    ttl: Duration::from_secs(TTL.unsigned_abs()),
                    timeout: Some(Duration::from_secs(30)),
                    max_retries: *retries,
                    at: at(now),
                };
                let known =
                    model.iter().find(|work| key.is_some() && work.key == *key).map(|work| work.retries);
                match (store.queue(wish).await.unwrap(), known) {
                    (Queued::Now(_), None) => model.push(Modelled {
                        key: *key,
                        retries: *retries,
                        state: WorkState::Queued,
                        number: 1,
                        acknowledged: false,
                        handed_over: 0,
                        made: now,
                    }),
                    (Queued::Before(_), Some(known)) => assert_eq!(known, *retries),
                    (Queued::Conflict(_), Some(known)) => assert_ne!(known, *retries),
                    (queued, known) => panic!("{known:?}: {queued:?}"),
                }
            }
            Op::Poll => {
                let handed_over = store.deliver(agent, Delivery::One, at(now)).await.unwrap();
                let found = handed_over.work.first().map(|work| (work.id.clone(), work.execution_number));
                let expected = model.iter().position(Modelled::unbegun);
                let named = expected.map(|place| (format!("w-{place}"), model[place].number));
                assert_eq!(found, named, "no work is lost, and none is handed over that is not to be");
                if let Some(place) = expected {
                    let work = &mut model[place];
                    assert!(
                        !ended.contains(&(place, work.number)),
                        "an execution that has ended is not run again"
                    );
                    if work.state == WorkState::Queued {
                        (work.state, work.handed_over) = (WorkState::Delivered, now);
                    }
                }
            }
            Op::Report { work: place, back, event } => {
                let number = model.get(*place).map_or(1, |work| work.number).saturating_sub(*back).max(1);
                let report = WorkReport {
                    work: format!("w-{place}"),
                    execution: Some(number),
                    tenant: DEFAULT_TENANT,
                    agent,
                    event: *event,
                    step: None,
                    result: Some(json!({})),
                    findings: Vec::new(),
                    at: at(now),
                };
                let reported = store.report_work(report).await.unwrap();
                match model.get_mut(*place) {
                    None => assert_eq!(reported, Reported::Unknown),
                    Some(work) if number < work.number => {
                        assert!(matches!(reported, Reported::Before(_)), "{reported:?}");
                    }
                    Some(work) => match (work.hear(*event), &reported) {
                        (Some(true), Reported::Now(_)) | (Some(false), Reported::Before(_)) => {}
                        (None, Reported::Illegal(shown, _)) => assert_eq!(shown.state, work.state),
                        (expected, reported) => panic!("{expected:?}: {reported:?}"),
                    },
                }
            }
            Op::Cancel { work: place } => {
                let reported =
                    store.cancel_work(DEFAULT_TENANT, format!("w-{place}"), at(now)).await.unwrap();
                match (model.get_mut(*place), &reported) {
                    (None, Reported::Unknown) => {}
                    (Some(work), Reported::Now(_)) if !work.state.is_terminal() => {
                        work.state = WorkState::Canceled;
                    }
                    (Some(work), Reported::Before(_)) => assert_eq!(work.state, WorkState::Canceled),
                    (Some(work), Reported::Illegal(..)) => assert!(work.state.is_terminal()),
                    (work, reported) => panic!("{work:?}: {reported:?}"),
                }
            }
            Op::Sweep { limit } => {
                assert!(store.sweep_work(at(now), *limit).await.unwrap().moved <= *limit);
            }
        }
        // What an execution has left behind may have been too old by then.
        model.iter_mut().for_each(|work| work.pass(now));
        for (place, (work, before)) in model.iter().zip(&before).enumerate() {
            if before.state.is_terminal() {
                assert_eq!((work.state, work.number), (before.state, before.number), "an end is final");
            }
            ended.extend((before.number..work.number).map(|number| (place, number)));
        }
        let mut stored =
            store.work(DEFAULT_TENANT, WorkFilter { limit: 1000, ..WorkFilter::default() }).await.unwrap();
        stored.reverse();
        assert_eq!(stored.len(), model.len());
        for (mut work, expected) in stored.into_iter().zip(&model) {
            let mut earlier = store.work_named(DEFAULT_TENANT, work.id.clone()).await.unwrap().unwrap().1;
            earlier.extend(work.look(at(now)));
            assert_eq!((work.state, work.execution_number), (expected.state, expected.number), "{}", work.id);
            let numbers: Vec<_> = earlier.iter().map(|execution| execution.number).collect();
            assert_eq!(numbers, (1..expected.number).collect::<Vec<_>>(), "numbers grow by one");
        }
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

#[test]
fn a_retry_that_is_due_after_the_end_of_its_work_is_none() {
    let report = |event| Op::Report { work: 0, back: 0, event };
    let ops = [
        Op::Queue { key: None, retries: 1 },
        Op::Pass { seconds: TTL - 50 },
        Op::Poll,
        report(WorkEvent::Acknowledge),
        Op::Pass { seconds: 60 },
        report(WorkEvent::Fail),
        Op::Poll,
    ];
    block_on(run(&MemoryStore::new(), &ops));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn work_in_memory_is_as_the_model_says(ops in prop::collection::vec(op(), 1..60)) {
        block_on(run(&MemoryStore::new(), &ops));
    }
}

proptest! {
    // Each step waits for the disk.
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn work_in_a_file_is_as_the_model_says(ops in prop::collection::vec(op(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("fleet.db")).unwrap();
        block_on(run(&store, &ops));
        store.close().unwrap();
    }
}
