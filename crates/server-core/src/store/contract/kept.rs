//! What every store must keep of batches, images, reports and offered keys.

use super::*;
use crate::domain::{Batch, BatchFilter, ImageFilter, WhyClosed};
use crate::events::{Event, EventKind, EventQuery, NewEvent};
use crate::lease::Sample;

const AGE: Duration = SMALL.age;

const EVERY: BatchFilter = BatchFilter { agent: None, open: None, before: None, limit: 100 };

fn in_batch(id: &str) -> ImageFilter {
    ImageFilter { agent: None, batch: Some(id.to_owned()), before: None, limit: 100 }
}

async fn batches<S: Store>(store: &S, filter: BatchFilter) -> Vec<Batch> {
    store.batches(DEFAULT_TENANT, filter).await.expect("the store reads")
}

async fn why<S: Store>(store: &S, id: &str) -> Option<WhyClosed> {
    let batch = store.batch_named(DEFAULT_TENANT, id.to_owned()).await.expect("the store reads");
    batch.expect("it is there").closed.map(|(why, _)| why)
}

async fn of_kind<S: Store>(store: &S, kind: EventKind) -> Vec<Event> {
    let query = EventQuery { after: Some(0), kind: Some(kind), limit: 1000, ..EventQuery::default() };
    store.events(DEFAULT_TENANT, query).await.expect("the store reads")
}

async fn sweep<S: Store>(store: &S, seconds: i64, limit: u32) -> u32 {
    store.close_old_batches(AGE, at(seconds), limit).await.expect("swept")
}

async fn close<S: Store>(store: &S, tenant: No, id: &str, seconds: i64) -> Option<Batch> {
    store.close_batch(tenant, id.to_owned(), at(seconds)).await.expect("answered")
}

pub async fn last_slot_closes_its_batch<S: Store>(store: &S) {
    let device = registered(store, "d-1").await;
    let id = batch_of(store, &device, 0, 0).await;
    assert_eq!(why(store, &id).await, None);
    assert_eq!(batch_of(store, &device, 1, 5).await, id);
    let closed = store.batch_named(DEFAULT_TENANT, id.clone()).await.expect("reads").expect("there");
    assert_eq!((closed.images, closed.closed), (2, Some((WhyClosed::Full, at(5)))));
    assert_eq!(of_kind(store, EventKind::BatchClosed).await.len(), 1);
    assert_ne!(batch_of(store, &device, 2, 6).await, id);
    assert_eq!(of_kind(store, EventKind::BatchClosed).await.len(), 1, "told once");
}

pub async fn old_batches_are_closed_without_an_image_and_once<S: Store>(store: &S) {
    let mut ids = Vec::new();
    for (name, seconds) in [("d-1", 0), ("d-2", 1), ("d-3", 30)] {
        let device = registered(store, name).await;
        ids.push(batch_of(store, &device, 0, seconds).await);
    }
    assert_eq!(sweep(store, 60, 9).await, 0, "not a moment too early");
    assert_eq!(sweep(store, 62, 1).await, 1);
    assert_eq!((why(store, &ids[0]).await, why(store, &ids[1]).await), (Some(WhyClosed::Old), None));
    assert_eq!(sweep(store, 62, 9).await, 1);
    assert_eq!(sweep(store, 62, 9).await, 0);
    assert_eq!(why(store, &ids[2]).await, None);
    let told = of_kind(store, EventKind::BatchClosed).await;
    assert_eq!(told.len(), 2);
    assert_eq!(Value::Object(told[0].detail.clone()), json!({"batch": ids[0], "images": 1, "why": "old"}));
    assert_eq!(told[0].at, at(62));
}

pub async fn batch_is_closed_by_hand_once<S: Store>(store: &S) {
    let device = registered(store, "d-1").await;
    let id = batch_of(store, &device, 0, 0).await;
    assert_eq!(close(store, OTHER_TENANT, &id, 1).await, None, "another tenant's");
    assert_eq!(close(store, DEFAULT_TENANT, "none", 1).await, None);
    let first = close(store, DEFAULT_TENANT, &id, 2).await;
    assert_eq!(first.as_ref().map(|batch| batch.closed), Some(Some((WhyClosed::Operator, at(2)))));
    assert_eq!(close(store, DEFAULT_TENANT, &id, 3).await, first, "it stays as it is");
    let next = batch_of(store, &device, 1, 4).await;
    assert_ne!(next, id);
    assert_eq!(of_kind(store, EventKind::BatchClosed).await.len(), 1);
    assert_eq!(sweep(store, 1000, 9).await, 1, "only the one that is open grows old");
}

pub async fn project_of_a_device_has_batches_of_its_own<S: Store>(store: &S) {
    let labels = |project: &str| BTreeMap::from([("project".to_owned(), project.to_owned())]);
    let device = store.register(NewAgent { labels: labels("north"), ..device("d-1") }).await.expect("free");
    let id = batch_of(store, &device, 0, 0).await;
    let plain = registered(store, "d-2").await;
    batch_of(store, &plain, 0, 1).await;
    let projects = batches(store, EVERY).await.into_iter().map(|batch| (batch.id, batch.project));
    let plain = format!("batch {} 0", plain.no);
    assert_eq!(projects.collect::<Vec<_>>(), [(plain, None), (id, Some("north".to_owned()))]);
}

pub async fn batches_and_images_are_listed_latest_first_page_by_page<S: Store>(store: &S) {
    let one = registered(store, "d-1").await;
    let two = registered(store, "d-2").await;
    for n in 0..5 {
        recorded(store, image(&one, n, 0), SMALL).await;
    }
    let crossing = vec![
        Annotation { class: None, confidence: None, bounds: Some([0.9, 0.5, 0.4, 0.1]) },
        Annotation { class: Some("dog".to_owned()), confidence: Some(0.5), bounds: None },
    ];
    let crossing = NewImage { annotations: crossing, model: [None, None, None], ..image(&two, 9, 3) };
    recorded(store, crossing.clone(), SMALL).await;

    let all = batches(store, EVERY).await;
    assert_eq!(all.len(), 4);
    assert!(all.windows(2).all(|pair| pair[0].no > pair[1].no));
    let page = BatchFilter { limit: 3, ..EVERY };
    assert_eq!(batches(store, page).await, all[..3]);
    assert_eq!(batches(store, BatchFilter { before: Some(all[2].no), ..page }).await, all[3..]);
    let of = |filter| async move { batches(store, filter).await.len() };
    assert_eq!(of(BatchFilter { agent: Some(one.no), ..EVERY }).await, 3);
    assert_eq!(of(BatchFilter { open: Some(true), ..EVERY }).await, 2);
    assert_eq!(of(BatchFilter { open: Some(false), agent: Some(two.no), ..EVERY }).await, 0);
    assert_eq!(store.batches(OTHER_TENANT, EVERY).await.expect("reads"), []);

    let images = |filter| async { store.images(DEFAULT_TENANT, filter).await.expect("the store reads") };
    let found = images(in_batch(&crossing.batch)).await;
    assert_eq!(found.iter().map(|row| &row.image).collect::<Vec<_>>(), [&crossing]);
    assert_eq!(
        found[0].image.annotations.iter().map(Annotation::crosses_edge).collect::<Vec<_>>(),
        [true, false]
    );
    let first = format!("batch {} 0", one.no);
    let found = images(in_batch(&first)).await;
    let named = |n: u32| NewImage { batch: first.clone(), ..image(&one, n, 0) };
    assert_eq!(found.iter().map(|row| row.image.clone()).collect::<Vec<_>>(), [named(1), named(0)]);
    let everything = ImageFilter { agent: Some(one.no), batch: None, before: None, limit: 4 };
    let page = images(everything.clone()).await;
    assert_eq!(page.len(), 4);
    assert_eq!(images(ImageFilter { before: Some(page[3].no), ..everything }).await.len(), 1);
    assert_eq!(store.images(OTHER_TENANT, in_batch(&first)).await.expect("reads"), []);
}

pub async fn last_slots_are_taken_exactly_by_many_at_once<S: Store>(store: &S) {
    let limits = BatchLimits { images: 100, quota: 140, ..SMALL };
    let device = registered(store, "d-1").await;
    for n in 0..95 {
        recorded(store, image(&device, n, 0), limits).await;
    }
    // Five slots are left in the batch, and forty-five in the quota.
    let notify = (1000..1064).map(|n| store.record_image(image(&device, n, 0), limits));
    let mut taken = BTreeMap::new();
    let mut full = 0;
    for outcome in together(notify).await {
        match outcome.expect("the store answers") {
            Recorded::Now { batch, .. } => *taken.entry(batch).or_insert(0_u32) += 1,
            Recorded::Full => full += 1,
            Recorded::Before { .. } => panic!("each has a storage key of its own"),
        }
    }
    assert_eq!(full, 64 - 45);
    assert_eq!(taken.remove(&format!("batch {} 0", device.no)), Some(5));
    assert_eq!(taken.into_values().collect::<Vec<_>>(), [40]);
    let counts = batches(store, EVERY).await.into_iter().map(|batch| (batch.images, batch.closed.is_some()));
    assert_eq!(counts.collect::<Vec<_>>(), [(40, false), (100, true)]);
    assert_eq!(of_kind(store, EventKind::BatchClosed).await.len(), 1);
}

async fn kept<S: Store>(store: &S, agent: No, since: i64) -> Vec<Sample> {
    store.history(agent, at(since)).await.expect("the store reads")
}

pub async fn report_takes_its_place_in_the_history<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await.no;
    let other = registered(store, "d-2").await.no;
    let row = |seconds, place| LeaseRow {
        agent,
        last_seen: at(seconds),
        report: Some(report(&seconds.to_string()).into()),
        place,
    };
    let sample = |seconds: i64| Sample { at: at(seconds), report: report(&seconds.to_string()) };
    for (seconds, place) in [(1, Some(2)), (2, None), (3, Some(0)), (4, Some(1)), (5, Some(2))] {
        store.flush(vec![row(seconds, place)], Vec::new(), at(seconds)).await.expect("flushed");
    }
    // The first one's place was taken; what has none is a lease only.
    assert_eq!(kept(store, agent, 0).await, [sample(3), sample(4), sample(5)]);
    assert_eq!(kept(store, agent, 4).await, [sample(4), sample(5)]);
    let again = vec![row(5, Some(2)), LeaseRow { report: None, ..row(6, Some(3)) }];
    store.flush(again, Vec::new(), at(6)).await.expect("flushed");
    let late = vec![row(1, Some(7)), LeaseRow { agent: 404, ..row(7, Some(0)) }];
    store.flush(late, Vec::new(), at(7)).await.expect("flushed");
    assert_eq!(kept(store, agent, 0).await.len(), 3, "neither what says nothing nor what comes late is kept");
    assert_eq!(kept(store, other, 0).await, []);
    assert_eq!(leases(store).await[0].place, None, "a lease has no place");
}

pub async fn unused_key_is_told_once_for_each_offer<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let unused = |rotation| NewEvent::key_unused(&agent, rotation, at(1), at(400));
    let flush =
        async |rotation| store.flush(Vec::new(), vec![unused(rotation)], at(0)).await.expect("flushed");
    let waiting = async || whole(store).await.offers;
    flush(1).await;
    assert_eq!(of_kind(store, EventKind::KeyUnused).await.len(), 0, "nothing was offered");

    store.offer_key(agent.no, 1, Digest::of("one"), at(1)).await.expect("offered");
    assert_eq!(waiting().await, [Offer { agent: agent.no, rotation: 1, at: at(1) }]);
    flush(1).await;
    flush(1).await;
    assert_eq!(waiting().await, [], "it was told");
    let told = of_kind(store, EventKind::KeyUnused).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].detail.get("rotation"), Some(&json!(1)));
    assert!(stored(store, agent.no).await.rotating, "the offer goes on");
    assert!(key(store, "one").await.is_some_and(|key| key.candidate));

    store.settle_key(Digest::of("one"), at(500)).await.expect("known");
    store.offer_key(agent.no, 2, Digest::of("two"), at(600)).await.expect("offered");
    flush(1).await;
    assert_eq!(of_kind(store, EventKind::KeyUnused).await.len(), 1, "that one was used since");
    assert_eq!(waiting().await, [Offer { agent: agent.no, rotation: 2, at: at(600) }]);
    flush(2).await;
    assert_eq!(of_kind(store, EventKind::KeyUnused).await.len(), 2);
}
