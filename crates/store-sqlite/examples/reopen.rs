//! What was answered is there after a restart. `cargo run -p fleetwire-store-sqlite --example reopen`

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use chrono::DateTime;
use fleetwire_server_core::domain::{DEFAULT_TENANT, Kind, NewAgent, Vendor};
use fleetwire_server_core::keys::{Digest, Foundation};
use fleetwire_server_core::store::{Directory, Founding};
use fleetwire_store_sqlite::SqliteStore;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("fleet.sqlite");

    let store = SqliteStore::open(&file)?;
    // The secrets of a server's first start; a real one takes them from its source of randomness.
    let fresh = Foundation { rotation: [1; 32], signing: [2; 32], operator: Digest::of("fwo_example") };
    let (_, first) = store.found(fresh).await?;
    let agent = store.register(new_agent()).await?;
    store.close()?;

    let store = SqliteStore::open(&file)?;
    let found = store.agent(agent.no).await?;
    println!("first start: {first}; after the restart: {:?}", found.map(|agent| agent.name));
    store.close()?;
    Ok(())
}

fn new_agent() -> NewAgent {
    NewAgent {
        tenant: DEFAULT_TENANT,
        vendor: Vendor::ZStack,
        kind: Kind::Agent,
        no: None,
        id: Some("agent-1".to_owned()),
        parent: None,
        name: "gate agent".to_owned(),
        version: None,
        facts: serde_json::Map::new(),
        labels: [].into(),
        key: None,
        at: DateTime::UNIX_EPOCH,
    }
}
