use std::collections::BTreeMap;

use fleetwire_protocol::zstack::{AutoRegisterHeartbeat, AutoRegisterReply};
use fleetwire_protocol::{Fault, Subject};
use fleetwire_validation::Checked;
use serde_json::Map;

use super::{FULL, covers, report};
use crate::core::{KeyScope, internal};
use crate::domain::{Announced, Kind, NewAgent, Vendor};
use crate::sightings::Host;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<AutoRegisterHeartbeat> for Core<S> {
    async fn handle(
        &self,
        scope: KeyScope,
        _: &Origin<'_>,
        call: Checked<AutoRegisterHeartbeat>,
    ) -> Result<AutoRegisterReply, Fault> {
        let at = call.at();
        let body = call.into_inner().body;
        let says = NewAgent {
            tenant: scope.tenant,
            vendor: Vendor::ZStack,
            kind: Kind::Agent,
            no: None,
            id: Some(body.agent_id.as_str().to_owned()),
            parent: None,
            name: body.name,
            version: Some(body.version),
            facts: Map::from_iter([("type".to_owned(), body.kind.as_str().into())]),
            labels: BTreeMap::new(),
            key: None,
            at,
        };

        let known = self.registry.named(scope.tenant, Vendor::ZStack, Kind::Agent, body.agent_id.as_str());
        match &known {
            Some(record) => covers(scope, record)?,
            // A token of one agent makes no other.
            None if scope.agent.is_some() => return Err(Fault::NotYours(Subject::Agent)),
            None => {}
        }
        let quiet = known.filter(|record| !record.look(|row| row.is_changed_by(&says.observation())));
        let record = match quiet {
            Some(record) => record,
            None => match self.store.announce(says, self.config.agents_per_tenant).await.map_err(internal)? {
                Announced::New(agent) | Announced::Known(agent) => self.registry.put(agent),
                Announced::Full => return Err(FULL),
            },
        };
        // What the store knows may be newer than what was known here.
        covers(scope, &record)?;

        self.sight(&record, &Host { name: None, up: Some(body.uptime.get()) }, at);
        let mut report = report([
            ("uptime_seconds", Some(body.uptime)),
            ("cpu_percent", body.cpu),
            ("memory_percent", body.memory),
        ]);
        if let Some(depth) = body.queue_depth {
            #[expect(clippy::cast_precision_loss, reason = "nobody needs the last digits of such a queue")]
            report.metrics.insert("queue_depth".to_owned(), depth as f64);
        }
        self.renew(&record, report, at);
        let mut reply = AutoRegisterReply::default();
        reply.accepted = Some(true);
        reply.agent_id = Some(body.agent_id);
        Ok(reply)
    }
}
