use std::sync::Arc;

use fleetwire_protocol::Fault;
use fleetwire_protocol::achilles::{AgentKey, Answer, Heartbeat, HeartbeatData, HeartbeatRequest};
use fleetwire_protocol::wire::Timestamp;
use fleetwire_validation::Checked;
use serde_json::{Map, json};

use crate::core::internal;
use crate::domain::Observation;
use crate::lease::Report;
use crate::registry::AgentRecord;
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
        let report = report(&request);
        if says_something_new(&request, &agent) {
            let agent =
                self.store.observe(agent.no, observation(request), self.now()).await.map_err(internal)?;
            self.registry.put(agent);
        }
        self.renew(&record, report);

        let agent = record.agent();
        let mut data = HeartbeatData::new(Timestamp::millis(self.now()));
        if agent.rotating {
            let key = self.rotations.candidate(AgentKey::PREFIX, agent.no, agent.rotation);
            data.new_api_key = Some(AgentKey::from(key));
        }
        Ok(Answer::new(data))
    }
}

/// Looks without building an observation: most heartbeats say nothing new.
fn says_something_new(request: &HeartbeatRequest, agent: &crate::domain::Agent) -> bool {
    let fact = |name: &str| agent.facts.get(name).and_then(serde_json::Value::as_str);
    let system = &request.system;
    let version = request.agent_version.as_str();
    (!version.is_empty() && agent.version.as_deref() != Some(version))
        || fact("hostname") != Some(system.hostname.as_str())
        || fact("os") != Some(system.os.as_str())
        || fact("arch") != Some(system.arch.as_str())
}

fn observation(request: HeartbeatRequest) -> Observation {
    let mut facts = Map::new();
    facts.insert("hostname".to_owned(), json!(request.system.hostname));
    facts.insert("os".to_owned(), json!(request.system.os));
    facts.insert("arch".to_owned(), json!(request.system.arch));
    Observation {
        name: None,
        version: (!request.agent_version.is_empty()).then_some(request.agent_version),
        facts,
        parent: None,
    }
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
    if let Some(reason) = &request.reconnect_reason {
        report.notes.insert("reconnect_reason".to_owned(), reason.to_string());
    }
    report
}
