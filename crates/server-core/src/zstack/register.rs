use std::collections::BTreeMap;

use fleetwire_protocol::zstack::{self, Register};
use fleetwire_protocol::{Fault, Subject};
use fleetwire_validation::Checked;
use serde_json::Map;

use super::{FULL, LABELS};
use crate::core::{KeyScope, internal};
use crate::domain::{Announced, Kind, NewAgent, Vendor};
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<Register> for Core<S> {
    async fn handle(
        &self,
        scope: KeyScope,
        _: &Origin<'_>,
        call: Checked<Register>,
    ) -> Result<zstack::Agent, Fault> {
        if scope.agent.is_some() {
            return Err(Fault::NotYours(Subject::Fleet));
        }
        let at = call.at();
        let body = call.into_inner().body;
        let facts = [
            ("type", Some(body.kind.as_str().to_owned())),
            ("endpoint", Some(body.endpoint)),
            ("platformId", Some(body.platform_id)),
            ("region", body.region),
            (LABELS, body.labels.map(|labels| labels.as_str().to_owned())),
        ];
        let facts = facts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
        let agent = NewAgent {
            tenant: scope.tenant,
            vendor: Vendor::ZStack,
            kind: Kind::Agent,
            no: None,
            id: Some(format!("agent-{}", self.new_id())),
            parent: None,
            name: body.name,
            version: Some(body.version),
            facts: Map::from_iter(facts),
            labels: BTreeMap::new(),
            key: None,
            at,
        };
        match self.store.announce(agent, self.config.agents_per_tenant).await.map_err(internal)? {
            Announced::New(agent) | Announced::Known(agent) => Ok(self.told(&self.registry.put(agent), at)),
            Announced::Full => Err(FULL),
        }
    }
}
