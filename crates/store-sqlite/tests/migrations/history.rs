//! Batches and offers of keys from before either was said to have an end.

use fleetwire_server_core::domain::{BatchFilter, DEFAULT_TENANT, WhyClosed};
use fleetwire_server_core::store::{Founding, Images, Leases, Offer};
use fleetwire_store_sqlite::SqliteStore;

use crate::{at, left_by};

#[tokio::test]
async fn each_devices_latest_batch_goes_on_and_the_others_are_closed_as_they_were_told() {
    let (_folder, path) = left_by(
        3,
        "INSERT INTO agents (no, tenant, vendor, kind, id, name, facts, labels, disabled, activated, rotation,
             rotating, images, created_at, updated_at)
         VALUES (1, 1, 'acusight', 'agent', 'cam-1', 'cam-1', '{}', '{}', 0, 1, 0, 0, 5, 0, 0),
                (2, 1, 'acusight', 'agent', 'cam-2', 'cam-2', '{}', '{}', 0, 1, 0, 0, 1, 0, 0),
                (3, 1, 'achilles', 'agent', 'a-3', 'a-3', '{}', '{}', 0, 1, 4, 1, 0, 0, 7000);
         INSERT INTO batches (no, id, agent, images, opened_at)
         VALUES (1, 'full', 1, 2, 1000), (2, 'other', 2, 1, 1500), (3, 'old', 1, 1, 2000),
                (4, 'open', 1, 2, 9000);
         INSERT INTO events (tenant, agent, kind, detail, at)
         VALUES (1, 1, 'batch_closed', '{\"batch\":\"full\",\"images\":2,\"why\":\"full\"}', 2000),
                (1, 1, 'batch_closed', '{\"batch\":\"old\",\"images\":1,\"why\":\"old\"}', 9000);",
    );

    let store = SqliteStore::open(&path).unwrap();
    let every = BatchFilter { agent: None, open: None, before: None, limit: 9 };
    let batches = store.batches(DEFAULT_TENANT, every).await.unwrap();
    let batches: Vec<_> = batches.iter().map(|batch| (batch.id.as_str(), batch.closed)).collect();
    assert_eq!(
        batches,
        [
            ("open", None),
            ("old", Some((WhyClosed::Old, at(9000)))),
            ("other", None),
            ("full", Some((WhyClosed::Full, at(2000)))),
        ]
    );
    assert_eq!(store.restore().await.unwrap().offers, [Offer { agent: 3, rotation: 4, at: at(7000) }]);
    assert_eq!(store.history(1, at(0)).await.unwrap(), []);
    store.close().unwrap();
}
