use fleetwire_protocol::Fault;
use fleetwire_protocol::zstack::{self, Heartbeat};
use fleetwire_validation::Checked;

use crate::core::{KeyScope, internal};
use crate::domain::Observation;
use crate::lease::PackedReport;
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
        let at = call.at();
        let call = call.into_inner();
        let record = self.covered(scope, call.params.uuid.as_str()).await?;

        let seen = Observation { version: Some(call.body.version), ..Observation::default() };
        if record.look(|row| row.is_changed_by(&seen)) {
            let agent = self.store.observe(record.no(), seen, at).await.map_err(internal)?;
            self.registry.put(agent);
        }
        self.sight(&record, &Host { name: None, up: Some(call.body.uptime.get()) }, at);
        let figures = [
            ("cpu_percent", call.body.cpu_usage.get()),
            ("memory_percent", call.body.mem_usage.get()),
            ("uptime_seconds", call.body.uptime.get()),
        ];
        self.renew(&record, PackedReport::new(None, figures.into_iter(), [].into_iter()), at);
        Ok(self.told(&record, at))
    }
}
