//! Agents of ProjectAchilles.
//!
#![cfg_attr(all(feature = "reqwest", feature = "disk"), doc = "```no_run")]
#![cfg_attr(not(all(feature = "reqwest", feature = "disk")), doc = "```ignore")]
//! use fleetwire_client::achilles::{Achilles, Agent, TaskOutcome};
//! use fleetwire_client::protocol::achilles::{Arch, Os, SystemMetrics, Task};
//! use fleetwire_client::work::Context;
//!
//! # async fn live() -> Result<(), Box<dyn std::error::Error>> {
//! Agent::enroll("https://fleet.example/achilles", std::env::var("TOKEN")?)?
//!     .version(env!("CARGO_PKG_VERSION"))
//!     .report(|| SystemMetrics::new("host-1", Os::Linux, Arch::Amd64, 3600, 5, 128, 9000))
//!     .on("execute_test", |task: &Task, _: &Context<Achilles>| {
//!         Ok(TaskOutcome::printed(format!("{:?}", task.payload.test_name)))
//!     })
//!     .run_in("/var/lib/agent")
//!     .await?;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "disk")]
mod binary;
mod dialect;

use fleetwire_protocol::achilles::EnrollmentToken;

pub use dialect::{Achilles, Applicant, Identity, Message, TaskOutcome};
#[cfg(feature = "host-facts")]
pub(crate) use dialect::{arch, os};

use crate::{AddressError, address};

/// An agent of ProjectAchilles.
pub type Agent = crate::Agent<Achilles>;

impl Agent {
    /// An agent that enrols with a token, unless it has enrolled before. `url` is the vendor's base address, such as
    /// `https://fleet.example/achilles`. The machine's name is that of its reports.
    ///
    /// # Errors
    /// `url` is not a plain `http` or `https` address.
    pub fn enroll(url: &str, token: impl Into<EnrollmentToken>) -> Result<Self, AddressError> {
        Ok(Self::new(Achilles::new(address::base(url)?, token, Applicant::new("", ""))))
    }

    /// The version that the agent says it is; empty unless given.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.dialect.applicant_mut().version = version.into();
        self
    }
}
