//! ZStack's operation.

mod heartbeat;

use fleetwire_protocol::Fault;
use fleetwire_protocol::zstack::{BearerAuth, BearerToken};

use crate::core::KeyScope;
use crate::domain::Vendor;
use crate::store::Store;
use crate::{Core, Identify};

impl<S: Store> Identify<BearerAuth> for Core<S> {
    type Caller = KeyScope;

    async fn identify(&self, token: BearerToken) -> Result<KeyScope, Fault> {
        self.scope(Vendor::ZStack, token.expose()).await
    }
}
