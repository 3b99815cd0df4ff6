//! Agents of a file from before they could leave for good.

use chrono::{DateTime, Utc};
use fleetwire_server_core::domain::Standing;
use fleetwire_server_core::store::Directory;
use fleetwire_store_sqlite::SqliteStore;

use crate::left_by;

#[tokio::test]
async fn agent_of_the_third_version_stands_as_it_did() {
    let (_folder, path) = left_by(
        3,
        "INSERT INTO agents (no, tenant, vendor, kind, id, name, facts, labels, disabled, activated,
             desired_model, rotation, rotating, created_at, updated_at)
         VALUES (1, 1, 'achilles', 'agent', 'a', 'a', '{}', '{}', 0, 1, NULL, 0, 0, 0, 0),
                (2, 1, 'achilles', 'agent', 'b', 'b', '{}', '{}', 1, 1, NULL, 0, 0, 0, 0);",
    );

    let store = SqliteStore::open(&path).unwrap();
    for (no, standing) in [(1, Standing::Active), (2, Standing::Disabled)] {
        let agent = store.agent(no).await.unwrap().unwrap();
        assert_eq!((agent.standing(), agent.departed, agent.turns), (standing, None, 0));
    }
    let gone = store.stand(2, Standing::Decommissioned, DateTime::<Utc>::UNIX_EPOCH).await.unwrap();
    store.close().unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.agent(2).await.unwrap(), Some(gone));
    store.close().unwrap();
}
