//! Agents that were there before they were counted.

use std::collections::BTreeMap;

use chrono::DateTime;
use fleetwire_server_core::domain::{Announced, Kind, NewAgent, Vendor};
use fleetwire_server_core::store::Directory;
use fleetwire_store_sqlite::SqliteStore;
use rusqlite::Connection;

use crate::left_by;

fn newcomer(tenant: i64, id: &str) -> NewAgent {
    NewAgent {
        tenant,
        vendor: Vendor::ZStack,
        kind: Kind::Agent,
        no: None,
        id: Some(id.to_owned()),
        parent: None,
        name: id.to_owned(),
        version: None,
        facts: serde_json::Map::new(),
        labels: BTreeMap::new(),
        key: None,
        at: DateTime::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn agents_of_the_first_version_take_room_in_their_tenants() {
    let (_folder, path) = left_by(
        1,
        "INSERT INTO agents (no, tenant, vendor, kind, id, name, facts, labels, disabled, activated, rotation,
             rotating, created_at, updated_at)
         VALUES (1, 1, 'zstack', 'agent', 'a', 'a', '{}', '{}', 0, 0, 0, 0, 0, 0),
                (2, 1, 'achilles', 'agent', 'b', 'b', '{}', '{}', 0, 0, 0, 0, 0, 0),
                (3, 2, 'zstack', 'agent', 'a', 'a', '{}', '{}', 0, 0, 0, 0, 0, 0);",
    );

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.announce(newcomer(1, "c"), 2).await.unwrap(), Announced::Full);
    assert!(
        matches!(store.announce(newcomer(1, "a"), 2).await.unwrap(), Announced::Known(agent) if agent.no == 1)
    );
    assert!(matches!(store.announce(newcomer(2, "c"), 2).await.unwrap(), Announced::New(_)));
    assert_eq!(store.announce(newcomer(2, "d"), 2).await.unwrap(), Announced::Full);
    store.close().unwrap();

    // Rows that go, whoever removes them, make room.
    let connection = Connection::open(&path).unwrap();
    assert_eq!(connection.execute("DELETE FROM agents WHERE no = 2", []).unwrap(), 1);
    connection.close().unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert!(matches!(store.announce(newcomer(1, "c"), 2).await.unwrap(), Announced::New(_)));
    store.close().unwrap();
}
