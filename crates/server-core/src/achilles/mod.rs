//! Achilles's operations.

mod check_update;
mod download_binary;
mod download_update;
mod enroll;
mod heartbeat;
mod poll_tasks;
mod report_result;
mod report_status;
mod task;
mod version;
mod wish;

pub(crate) use task::word;
pub(crate) use wish::settle;

use chrono::{DateTime, Utc};
use fleetwire_protocol::achilles::{AgentAuth, PresentedAgent};
use fleetwire_protocol::{Fault, NoAuth};
use serde_json::Value;

use crate::core::internal;
use crate::domain::{Agent, No, Release, Vendor};
use crate::packed::AgentLook;
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Identify};

impl<S: Store> Identify<AgentAuth> for Core<S> {
    type Caller = AgentRecord;

    async fn identify(&self, presented: PresentedAgent, now: DateTime<Utc>) -> Result<AgentRecord, Fault> {
        // The key takes effect only if everything else is right: a stale request must not end the old key.
        let skew = (now - presented.timestamp).abs().to_std().unwrap_or_default();
        let timely = skew <= self.config.clock_skew;
        let credentials = presented.credentials;
        let named = |id: &str| id == credentials.agent_id.as_str();
        let plausible = |agent: &AgentLook<'_>| timely && named(agent.id());
        self.sign_in(Vendor::Achilles, credentials.key.expose(), now, plausible).await
    }
}

impl<S: Store> Identify<NoAuth> for Core<S> {
    type Caller = ();

    async fn identify(&self, (): (), _: DateTime<Utc>) -> Result<(), Fault> {
        Ok(())
    }
}

impl<S: Store> Core<S> {
    /// The release that an agent is offered: the one registered last for the machine that it has enrolled, if it is
    /// another than the one that it runs. `running` is the version as the request says it, if it does.
    async fn other_release(&self, agent: &Agent, running: Option<&str>) -> Result<Option<Release>, Fault> {
        let fact = |name: &str| agent.facts.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let latest = self.store.latest_release(agent.tenant, fact("os"), fact("arch"));
        let running = running.or(agent.version.as_deref());
        Ok(latest.await.map_err(internal)?.filter(|release| running != Some(release.version.as_str())))
    }
}

/// The organisation that a tenant is called in this dialect.
fn organisation(tenant: No) -> String {
    format!("org_{tenant}")
}
