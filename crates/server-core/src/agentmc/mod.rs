//! AgentMC's operation, and keys that may be good for a whole tenant.

mod heartbeat;

use fleetwire_protocol::Fault;
use fleetwire_protocol::agentmc::{ApiKey, ApiKeyAuth};

use crate::domain::{No, Vendor};
use crate::store::Store;
use crate::{Core, Identify};

/// What a key is good for, in the dialects whose keys need not belong to one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyScope {
    /// Whose key it is.
    pub tenant: No,
    /// The agent or host that it is bound to; `None` for all of the tenant.
    pub agent: Option<No>,
}

impl<S: Store> Core<S> {
    /// Finds what a key is good for.
    pub(crate) async fn scope(&self, vendor: Vendor, secret: &str) -> Result<KeyScope, Fault> {
        let (digest, credential) = self.credential(vendor, secret).await?;
        if let Some(no) = credential.agent {
            let record = self.record(no).await?.ok_or(Fault::Unauthenticated)?;
            let agent = record.agent();
            if agent.disabled {
                return Err(Fault::Unauthenticated);
            }
            if credential.candidate || !agent.activated {
                self.settle(digest, no).await?;
            }
        }
        Ok(KeyScope { tenant: credential.tenant, agent: credential.agent })
    }
}

impl<S: Store> Identify<ApiKeyAuth> for Core<S> {
    type Caller = KeyScope;

    async fn identify(&self, key: ApiKey) -> Result<KeyScope, Fault> {
        self.scope(Vendor::AgentMc, key.expose()).await
    }
}
