//! The machine over the store in memory.

use std::sync::Arc;

use fleetwire_server_core::store::MemoryStore;
use fleetwire_server_core::store::contract::machine::{self, Ground};

struct Memory(Arc<MemoryStore>);

impl Ground for Memory {
    type Store = MemoryStore;

    fn new() -> Self {
        Self(Arc::default())
    }

    fn store(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.0)
    }
}

#[test]
fn core_does_what_the_model_says() {
    machine::run::<Memory>("cargo test -p fleetwire-server-core --test machine", 10_000);
}
