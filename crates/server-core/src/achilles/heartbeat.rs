use fleetwire_protocol::Fault;
use fleetwire_protocol::achilles::{
    AgentKey, Answer, Heartbeat, HeartbeatData, HeartbeatRequest, ReconnectReason, TaskId,
};
use fleetwire_protocol::wire::Timestamp;
use fleetwire_validation::Checked;
use serde_json::Value;

use crate::core::internal;
use crate::domain::Observation;
use crate::lease::{PackedReport, RECONNECT_REASON};
use crate::packed::AgentLook;
use crate::registry::AgentRecord;
use crate::sightings::Host;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<Heartbeat> for Core<S> {
    async fn handle(
        &self,
        record: AgentRecord,
        _: &Origin<'_>,
        call: Checked<Heartbeat>,
    ) -> Result<Answer<HeartbeatData>, Fault> {
        let at = call.at();
        let request = call.into_inner().body;
        if let Some(seen) = record.look(|row| news(&request, row)) {
            let agent = self.store.observe(record.no(), seen, at).await.map_err(internal)?;
            self.registry.put(agent);
        }
        let system = &request.system;
        let host = Host { name: Some(&system.hostname), up: Some(system.uptime_seconds.get()) };
        self.sight(&record, &host, at);
        self.renew(&record, report(&request), at);

        let offered = record.look(|row| row.rotating.then_some(row.rotation));
        let mut data = HeartbeatData::new(Timestamp::millis(at));
        if let Some(rotation) = offered {
            let key = self.rotations.candidate(AgentKey::PREFIX, record.no(), rotation);
            data.new_api_key = Some(AgentKey::from(key));
        }
        Ok(Answer::new(data))
    }
}

/// What a heartbeat says that the row does not say already. Looks without building it: most say nothing new.
///
/// Operating system and architecture stay as enrolled, since they choose the releases that an agent is offered
/// (D-12); one that was registered without them is taken at its first word.
fn news(request: &HeartbeatRequest, agent: &AgentLook<'_>) -> Option<Observation> {
    let fact = |name: &str| agent.text(name);
    let system = &request.system;
    let version = Some(request.agent_version.as_str()).filter(|version| !version.is_empty());
    let version = version.filter(|version| agent.version() != Some(*version));
    let facts = [
        ("hostname", Some(system.hostname.as_str()).filter(|hostname| fact("hostname") != Some(*hostname))),
        ("os", Some(system.os.as_str()).filter(|_| fact("os").is_none())),
        ("arch", Some(system.arch.as_str()).filter(|_| fact("arch").is_none())),
    ];
    if version.is_none() && facts.iter().all(|(_, news)| news.is_none()) {
        return None;
    }
    let facts = facts.into_iter().filter_map(|(name, news)| Some((name.to_owned(), Value::from(news?))));
    Some(Observation {
        name: None,
        version: version.map(str::to_owned),
        facts: facts.collect(),
        parent: None,
    })
}

fn report(request: &HeartbeatRequest) -> PackedReport {
    let system = &request.system;
    let figures = [
        ("cpu_percent", Some(system.cpu_percent)),
        ("disk_free_mb", Some(system.disk_free_mb)),
        ("memory_mb", Some(system.memory_mb)),
        ("process_cpu_percent", system.process_cpu_percent),
        ("process_memory_mb", system.process_memory_mb),
        ("total_memory_mb", system.total_memory_mb),
        ("uptime_seconds", Some(system.uptime_seconds)),
    ];
    let figures: Vec<_> =
        figures.into_iter().filter_map(|(name, figure)| Some((name, figure?.get()))).collect();
    // Agents fill in both, for servers that know only the one.
    let context = request.reconnect_context.as_ref().map(|context| &context.reason);
    let reason = context.or(request.reconnect_reason.as_ref()).map(ReconnectReason::as_str);
    let notes = [
        ("current_task", request.current_task.0.as_ref().map(TaskId::as_str)),
        ("last_task_completed", request.last_task_completed.0.as_ref().map(TaskId::as_str)),
        (RECONNECT_REASON, reason),
    ];
    let notes: Vec<_> = notes.into_iter().filter_map(|(name, note)| Some((name, note?))).collect();
    PackedReport::new(Some(request.status.as_str()), figures.into_iter(), notes.into_iter())
}
