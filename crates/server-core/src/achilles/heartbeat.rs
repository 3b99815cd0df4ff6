use std::sync::Arc;

use fleetwire_protocol::Fault;
use fleetwire_protocol::achilles::{AgentKey, Answer, Heartbeat, HeartbeatData, HeartbeatRequest};
use fleetwire_protocol::wire::Timestamp;
use fleetwire_validation::Checked;
use serde_json::Value;

use crate::core::internal;
use crate::domain::{Agent, Observation};
use crate::lease::{RECONNECT_REASON, Report};
use crate::registry::AgentRecord;
use crate::sightings::Host;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<Heartbeat> for Core<S> {
    async fn handle(
        &self,
        record: Arc<AgentRecord>,
        _: &Origin<'_>,
        call: Checked<Heartbeat>,
    ) -> Result<Answer<HeartbeatData>, Fault> {
        let request = call.into_inner().body;
        let agent = record.agent();
        if let Some(seen) = news(&request, &agent) {
            let agent = self.store.observe(agent.no, seen, self.now()).await.map_err(internal)?;
            self.registry.put(agent);
        }
        let system = &request.system;
        let host = Host { name: Some(&system.hostname), up: Some(system.uptime_seconds.get()) };
        self.sight(&record, &host);
        self.renew(&record, report(&request));

        let agent = record.agent();
        let mut data = HeartbeatData::new(Timestamp::millis(self.now()));
        if agent.rotating {
            let key = self.rotations.candidate(AgentKey::PREFIX, agent.no, agent.rotation);
            data.new_api_key = Some(AgentKey::from(key));
        }
        Ok(Answer::new(data))
    }
}

/// What a heartbeat says that the row does not say already. Looks without building it: most say nothing new.
///
/// Operating system and architecture stay as enrolled, since they choose the releases that an agent is offered
/// (D-12); one that was registered without them is taken at its first word.
fn news(request: &HeartbeatRequest, agent: &Agent) -> Option<Observation> {
    let fact = |name: &str| agent.facts.get(name).and_then(Value::as_str);
    let system = &request.system;
    let version = Some(request.agent_version.as_str()).filter(|version| !version.is_empty());
    let version = version.filter(|version| agent.version.as_deref() != Some(*version));
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

fn report(request: &HeartbeatRequest) -> Report {
    let system = &request.system;
    let metrics = [
        ("uptime_seconds", Some(system.uptime_seconds)),
        ("cpu_percent", Some(system.cpu_percent)),
        ("memory_mb", Some(system.memory_mb)),
        ("total_memory_mb", system.total_memory_mb),
        ("disk_free_mb", Some(system.disk_free_mb)),
        ("process_cpu_percent", system.process_cpu_percent),
        ("process_memory_mb", system.process_memory_mb),
    ];
    let mut report = Report { status: Some(request.status.as_str().to_owned()), ..Report::default() };
    for (name, value) in metrics {
        if let Some(value) = value {
            report.metrics.insert(name.to_owned(), value.get());
        }
    }
    for (name, task) in
        [("current_task", &request.current_task), ("last_task_completed", &request.last_task_completed)]
    {
        if let Some(task) = &task.0 {
            report.notes.insert(name.to_owned(), task.to_string());
        }
    }
    // Agents fill in both, for servers that know only the one.
    let context = request.reconnect_context.as_ref().map(|context| &context.reason);
    if let Some(reason) = context.or(request.reconnect_reason.as_ref()) {
        report.notes.insert(RECONNECT_REASON.to_owned(), reason.to_string());
    }
    report
}
