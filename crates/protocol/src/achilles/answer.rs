use serde::{Deserialize, Serialize};

/// The envelope of a successful answer.
///
/// Origin: `achilles-agent-device`, the two "Response" examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "{T}Answer"))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct Answer<T> {
    /// True; the status decides.
    pub success: bool,
    /// What was asked for.
    pub data: T,
}

impl<T> Answer<T> {
    /// A successful answer.
    pub const fn new(data: T) -> Self {
        Self { success: true, data }
    }
}

impl<T: Default> Default for Answer<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(@<T> Answer<T>);
