/// In memory.
pub struct MemoryStore;
