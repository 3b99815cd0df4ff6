//! The embedded store keeps the contract of every store.

use std::ops::Deref;

use fleetwire_server_core::store_contract;
use fleetwire_store_sqlite::SqliteStore;
use tempfile::TempDir;

/// A store in a folder of its own. The store is dropped first, then the folder.
struct Fresh {
    store: SqliteStore,
    _folder: TempDir,
}

impl Deref for Fresh {
    type Target = SqliteStore;

    fn deref(&self) -> &SqliteStore {
        &self.store
    }
}

async fn fresh() -> Fresh {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("fleet.db")).expect("an empty store");
    Fresh { store, _folder: folder }
}

store_contract!(fresh);
