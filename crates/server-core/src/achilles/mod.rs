//! Achilles's operations.

mod check_update;
mod enroll;
mod heartbeat;
mod poll_tasks;
mod report_result;
mod task;
mod wish;

pub(crate) use task::word;
pub(crate) use wish::settle;

use std::sync::Arc;

use fleetwire_protocol::achilles::{AgentAuth, PresentedAgent};
use fleetwire_protocol::{Fault, NoAuth};

use crate::domain::{No, Vendor};
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Identify};

impl<S: Store> Identify<AgentAuth> for Core<S> {
    type Caller = Arc<AgentRecord>;

    async fn identify(&self, presented: PresentedAgent) -> Result<Arc<AgentRecord>, Fault> {
        // The key takes effect only if everything else is right: a stale request must not end the old key.
        let skew = (self.now() - presented.timestamp).abs().to_std().unwrap_or_default();
        let timely = skew <= self.config.clock_skew;
        let credentials = presented.credentials;
        let named = |id: &str| id == credentials.agent_id.as_str();
        self.sign_in(Vendor::Achilles, credentials.key.expose(), |agent| named(&agent.id) && timely).await
    }
}

impl<S: Store> Identify<NoAuth> for Core<S> {
    type Caller = ();

    async fn identify(&self, (): ()) -> Result<(), Fault> {
        Ok(())
    }
}

/// The organisation that a tenant is called in this dialect.
fn organisation(tenant: No) -> String {
    format!("org_{tenant}")
}
