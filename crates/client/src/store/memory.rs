use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::{Change, Saved, Store};

/// Keeps everything for as long as one of its clones lives, and so nothing beyond the process.
///
/// For tests, and for agents that are provisioned anew at every start.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    state: Option<Bytes>,
    messages: BTreeMap<u64, Bytes>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore(…)")
    }
}

impl Store for MemoryStore {
    type Error = Infallible;

    fn load(&mut self) -> Result<Saved, Infallible> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = kept.messages.iter().map(|(seq, bytes)| (*seq, bytes.clone())).collect();
        Ok(Saved { state: kept.state.clone(), messages, damaged: Vec::new() })
    }

    fn apply(&mut self, change: &Change) -> Result<(), Infallible> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Save(state) => kept.state = Some(state.clone()),
            Change::Append(seq, bytes) => {
                kept.messages.insert(*seq, bytes.clone());
            }
            Change::Remove(seq) => {
                kept.messages.remove(seq);
            }
        }
        Ok(())
    }
}
