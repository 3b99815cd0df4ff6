//! AgentMC: hosts that run language-model agents.
//!
//! Sources: `agentmc-agent-heartbeat`, a page made from the vendor's OpenAPI document, and
//! `agentmc-heartbeat-openapi`, the slice of that document (0.3.38) from which every required mark, length,
//! range and pattern comes.
//!
//! # Quirks: do not spread
//! * The documented bodies of 401, 403 and 404 are the body of 422 (AM-2): decide by status.
//! * The fingerprint is required in the body by the schema and may stand in a header by the prose (AM-3).
//! * Newer peers send `agents` in place of `agent`, and agents without an id (AM-4, AM-5).
//! * Ids are integers here and nowhere else.
//!
//! ```
//! use fleetwire_protocol::agentmc::{ApiError, Fingerprint};
//!
//! let fingerprint = Fingerprint::from("a3f56f330f311a2159f8c101eaf1439a29f1d57f007375d56aa79f304bc4f112");
//! assert_eq!(fingerprint.as_str().len(), 64);
//!
//! let text = r#"{"error":{"code":"auth.invalid","message":"The key is not known."}}"#;
//! let refused: ApiError = serde_json::from_str(text).unwrap();
//! assert_eq!(refused.error.code, "auth.invalid");
//! ```

mod auth;
mod envelope;
mod heartbeat;
mod instructions;

pub use auth::{ApiKey, ApiKeyAuth};
pub use envelope::{ApiError, ApiErrorBody};
pub use heartbeat::{
    AgentReport, AgentSummary, CommandPayload, Defaults, Disk, Heartbeat, HeartbeatRequest,
    HeartbeatResponse, Host, HostFacts, HostFingerprint, HostMeta, HostReport, HostRuntime, HostStatus,
    Network, Runtime, RuntimeCommand, RuntimeMeta, RuntimeUpdate, UpdateStatus,
};
pub use instructions::{
    ActingAgent, InstructionFile, Instructions, InstructionsParams, InstructionsResponse,
};

use crate::Vendor;

/// The vendor.
#[derive(Debug, Clone, Copy)]
pub struct AgentMc;

impl Vendor for AgentMc {
    const ID: &'static str = "agentmc";
    const NAME: &'static str = "AgentMC";
    const BASE: &'static str = "/api/v1";
    const ADDRESS: &'static str = "https://agentmc.ai/api/v1";
    type Error = ApiError;
}

crate::text_id! {
    /// What tells a host from all others: 64 to 128 characters of `A-Za-z0-9._-`.
    pub struct Fingerprint;

    /// An agent's id where it stands in a path, a query or a header: digits, of a number of at least 1.
    pub struct AgentNo;

    /// The version of a bundle of instructions: at most 120 characters of `A-Za-z0-9._:-`.
    pub struct BundleVersion;
}

impl AgentNo {
    /// The number; `None` if it is none, or not above 0.
    ///
    /// ```
    /// use fleetwire_protocol::agentmc::AgentNo;
    ///
    /// assert_eq!(AgentNo::from("42").number(), Some(42));
    /// assert_eq!(AgentNo::from("0").number(), None);
    /// assert_eq!(AgentNo::from("+42").number(), None);
    /// ```
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        let digits = self.as_str();
        let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
        number.filter(|number| *number > 0)
    }
}

impl BundleVersion {
    /// Whether it has the form that the vendor's newer document gives it.
    ///
    /// ```
    /// use fleetwire_protocol::agentmc::BundleVersion;
    ///
    /// assert!(BundleVersion::from("bundle_2fa07fcadd6575cc").is_well_formed());
    /// assert!(!BundleVersion::from("a b").is_well_formed());
    /// ```
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let is_in_class = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b':' | b'-');
        (1..=120).contains(&self.as_str().len()) && self.as_str().bytes().all(is_in_class)
    }
}

impl From<i64> for AgentNo {
    fn from(number: i64) -> Self {
        Self::new(number.to_string())
    }
}
