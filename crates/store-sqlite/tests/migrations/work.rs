//! Work that was queued before executions were counted.

use std::time::Duration;

use fleetwire_server_core::domain::{DEFAULT_TENANT, Delivery, WorkFilter, WorkState};
use fleetwire_server_core::store::{Directory, WorkQueue};
use fleetwire_store_sqlite::SqliteStore;

use crate::{at, left_by};

#[tokio::test]
async fn work_of_the_first_version_is_at_its_first_execution_and_expires_as_before() {
    let (_folder, path) = left_by(
        1,
        "INSERT INTO agents (no, tenant, vendor, kind, id, name, facts, labels, disabled, activated,
             desired_model, rotation, rotating, created_at, updated_at)
         VALUES (1, 1, 'achilles', 'agent', 'a', 'a', '{}', '{}', 0, 1, 'm', 0, 0, 0, 7000);
         INSERT INTO work (no, tenant, id, agent, kind, payload, state, priority, ttl, created_at, delivered_at,
             updated_at)
         VALUES (1, 1, 'short', 1, 'x', '{}', 'queued', 0, 60000, 1000, NULL, 1000),
                (2, 1, 'endless', 1, 'x', '{}', 'delivered', 0, 9223372036854775807, 1000, 2000, 2000);",
    );

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.agent(1).await.unwrap().unwrap().desired_at, Some(at(7000)));
    for work in store.work(DEFAULT_TENANT, WorkFilter { limit: 9, ..WorkFilter::default() }).await.unwrap() {
        assert_eq!((work.execution_number, work.max_retries, work.timeout), (1, 0, None));
        assert_eq!((work.key, work.not_before, work.deadline), (None, None, None));
    }
    assert_eq!(store.sweep_work(at(61_000), 9).await.unwrap().moved, 0);
    assert_eq!(store.sweep_work(at(61_001), 9).await.unwrap().moved, 1);
    let (short, earlier) = store.work_named(DEFAULT_TENANT, "short".to_owned()).await.unwrap().unwrap();
    assert_eq!((short.state, short.ttl, earlier.len()), (WorkState::Expired, Duration::from_secs(60), 0));
    let handed_over = store.deliver(1, Delivery::All, at(90_000)).await.unwrap();
    assert_eq!(handed_over.work.iter().map(|work| work.id.as_str()).collect::<Vec<_>>(), ["endless"]);
    store.close().unwrap();
}
