use fleetwire_protocol::Fault;
use fleetwire_protocol::zstack::{self, Heartbeat};
use fleetwire_validation::Checked;

use super::report;
use crate::core::{KeyScope, internal};
use crate::domain::Observation;
use crate::sightings::Host;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<Heartbeat> for Core<S> {
    async fn handle(
        &self,
        scope: KeyScope,
        _: &Origin<'_>,
        call: Checked<Heartbeat>,
    ) -> Result<zstack::Agent, Fault> {
        let call = call.into_inner();
        let record = self.covered(scope, call.params.uuid.as_str()).await?;
        let agent = record.agent();

        let seen = Observation { version: Some(call.body.version), ..Observation::default() };
        if seen.changes(&agent) {
            let agent = self.store.observe(agent.no, seen, self.now()).await.map_err(internal)?;
            self.registry.put(agent);
        }
        self.sight(&record, &Host { name: None, up: Some(call.body.uptime.get()) });
        let report = report([
            ("uptime_seconds", Some(call.body.uptime)),
            ("cpu_percent", Some(call.body.cpu_usage)),
            ("memory_percent", Some(call.body.mem_usage)),
        ]);
        self.renew(&record, report);
        Ok(self.told(&record))
    }
}
