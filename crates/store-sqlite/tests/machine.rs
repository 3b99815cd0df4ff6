//! The machine over the store in a file, which is closed and opened again with every restart.

use std::path::Path;
use std::sync::Arc;

use fleetwire_server_core::store::contract::machine::{self, Ground};
use fleetwire_store_sqlite::SqliteStore;
use tempfile::TempDir;

struct InFile {
    /// `None` only while it is opened again.
    store: Option<Arc<SqliteStore>>,
    folder: TempDir,
}

impl InFile {
    fn open(folder: &TempDir) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(folder.path().join("fleet.db")).expect("the store opens"))
    }
}

impl Ground for InFile {
    type Store = SqliteStore;

    fn new() -> Self {
        // Nobody pulls the plug here, so that there is no need to wait for a disk.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder");
        Self { store: Some(Self::open(&folder)), folder }
    }

    fn store(&self) -> Arc<SqliteStore> {
        Arc::clone(self.store.as_ref().expect("it is open"))
    }

    fn reopen(&mut self) {
        let store = self.store.take().and_then(Arc::into_inner).expect("nobody else holds it");
        store.close().expect("it closes");
        self.store = Some(Self::open(&self.folder));
    }
}

#[test]
fn core_does_what_the_model_says() {
    machine::run::<InFile>("cargo test -p fleetwire-store-sqlite --test machine", 1_000);
}
