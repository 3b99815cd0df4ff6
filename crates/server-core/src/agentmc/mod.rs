//! AgentMC's operation.

mod heartbeat;

use fleetwire_protocol::Fault;
use fleetwire_protocol::agentmc::{ApiKey, ApiKeyAuth};

use crate::core::KeyScope;
use crate::domain::Vendor;
use crate::store::Store;
use crate::{Core, Identify};

impl<S: Store> Identify<ApiKeyAuth> for Core<S> {
    type Caller = KeyScope;

    async fn identify(&self, key: ApiKey) -> Result<KeyScope, Fault> {
        self.scope(Vendor::AgentMc, key.expose()).await
    }
}
