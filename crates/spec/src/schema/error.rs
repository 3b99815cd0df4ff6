/// Why a schema cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at {place}", place = if pointer.is_empty() { "the root" } else { pointer })]
pub struct SchemaError {
    /// Where in the document, as a JSON pointer.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}
