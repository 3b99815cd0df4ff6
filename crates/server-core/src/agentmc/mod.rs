//! AgentMC's operations.

mod heartbeat;
mod instructions;
mod wish;

pub(crate) use wish::{settle, word};

use chrono::{DateTime, Utc};
use fleetwire_protocol::agentmc::{ApiKey, ApiKeyAuth, Defaults};
use fleetwire_protocol::{Fault, Place, Violation};

use crate::core::KeyScope;
use crate::domain::{Kind, Vendor};
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Identify};

impl<S: Store> Identify<ApiKeyAuth> for Core<S> {
    type Caller = KeyScope;

    async fn identify(&self, key: ApiKey, now: DateTime<Utc>) -> Result<KeyScope, Fault> {
        self.scope(Vendor::AgentMc, key.expose(), now).await
    }
}

/// The least that a peer of this vendor takes as an interval, in seconds.
const LEAST_INTERVAL: u64 = 5;

impl<S: Store> Core<S> {
    /// What the server wishes of every peer.
    fn defaults(&self) -> Defaults {
        let interval = self.config.agentmc.interval.as_secs().max(LEAST_INTERVAL);
        Defaults::new(u32::try_from(interval).unwrap_or(u32::MAX))
    }

    /// The one agent that a key is good for, if it is that of an agent and not of a host or a tenant.
    fn own_agent(&self, scope: KeyScope) -> Option<AgentRecord> {
        let own = self.registry.agent(scope.agent?)?;
        (own.identity().kind == Kind::Agent).then_some(own)
    }
}

/// A fault of a parameter that no rule can state, since it depends on who asks or on the body.
fn bad_parameter(place: Place, rule: &'static str, message: &str) -> Fault {
    Violation { place, rule, message: message.to_owned() }.into()
}
