use fleetwire_protocol::wire::{JsonText, Timestamp};
use fleetwire_protocol::zstack::{self, AgentStatus, AgentType, Heartbeat};
use fleetwire_protocol::{Fault, Subject};
use fleetwire_validation::Checked;
use serde_json::Value;

use crate::core::{KeyScope, internal};
use crate::domain::{Agent, Kind, Observation, Vendor};
use crate::lease::{Liveness, Report};
use crate::registry::AgentRecord;
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
        let uuid = call.params.uuid.as_str();
        let record = self
            .named(scope.tenant, Vendor::ZStack, Kind::Agent, uuid)
            .await?
            .ok_or(Fault::Unknown(Subject::Agent))?;
        let agent = record.agent();
        if agent.disabled || scope.agent.is_some_and(|bound| bound != agent.no) {
            return Err(Fault::NotYours(Subject::Agent));
        }

        let seen = Observation { version: Some(call.body.version), ..Observation::default() };
        if seen.changes(&agent) {
            let agent = self.store.observe(agent.no, seen, self.now()).await.map_err(internal)?;
            self.registry.put(agent);
        }
        let mut report = Report::default();
        for (name, value) in [
            ("uptime_seconds", call.body.uptime),
            ("cpu_percent", call.body.cpu_usage),
            ("memory_percent", call.body.mem_usage),
        ] {
            report.metrics.insert(name.to_owned(), value.get());
        }
        self.sight(&record, &Host { name: None, up: Some(call.body.uptime.get()) });
        self.renew(&record, report);
        Ok(answer(&record.agent(), &record, self.liveness(&record)))
    }
}

fn answer(agent: &Agent, record: &AgentRecord, liveness: Liveness) -> zstack::Agent {
    let text = |name: &str| agent.facts.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut answer = zstack::Agent::default();
    answer.uuid = Some(agent.id.as_str().into());
    answer.name = Some(agent.name.clone());
    answer.kind = text("type").map(|word| AgentType::from(word.as_str()));
    answer.version = agent.version.clone();
    answer.status = Some(match liveness {
        Liveness::Online => AgentStatus::Online,
        Liveness::Delayed => AgentStatus::Delayed,
        Liveness::Offline | Liveness::Never => AgentStatus::Offline,
    });
    answer.endpoint = text("endpoint");
    answer.platform_id = text("platformId");
    answer.region = text("region");
    answer.labels = Some(JsonText::from(&Value::from_iter(agent.labels.clone())));
    answer.last_heartbeat_at = record.lease.last_seen().map(Timestamp::seconds);
    answer.create_date = Some(Timestamp::seconds(agent.created_at));
    answer.last_op_date = Some(Timestamp::seconds(agent.updated_at));
    answer
}
