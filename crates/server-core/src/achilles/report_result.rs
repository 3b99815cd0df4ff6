use std::sync::Arc;

use fleetwire_protocol::achilles::{Arch, Os, ReportResult, ResultAnswer, TaskResultRequest};
use fleetwire_protocol::{Fault, Subject};
use fleetwire_validation::Checked;
use serde_json::Value;

use super::task::task;
use crate::core::internal;
use crate::domain::{Agent, Completed, Completion, WorkState};
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<ReportResult> for Core<S> {
    async fn handle(
        &self,
        record: Arc<AgentRecord>,
        _: &Origin<'_>,
        call: Checked<ReportResult>,
    ) -> Result<ResultAnswer, Fault> {
        let call = call.into_inner();
        let agent = record.agent();
        let mut result = call.body;
        fill_in(&mut result, &agent);
        let completion = Completion {
            work: call.params.id.into_string(),
            tenant: agent.tenant,
            agent: agent.no,
            // Whatever the exit code: a test that found something has done its work.
            state: WorkState::Succeeded,
            result: serde_json::to_value(result).map_err(|_| Fault::Internal)?,
            at: self.now(),
        };
        match self.store.complete(completion).await.map_err(internal)? {
            Completed::Now(work) => Ok(ResultAnswer::new(task(&work, &agent)?, false)),
            Completed::Before(work) => Ok(ResultAnswer::new(task(&work, &agent)?, true)),
            Completed::NotDelivered(_) => {
                Err(Fault::Transition { subject: Subject::Task, from: "pending", to: "completed" })
            }
            Completed::NotYours => Err(Fault::NotYours(Subject::Task)),
            Completed::Unknown => Err(Fault::Unknown(Subject::Task)),
        }
    }
}

/// The deployed agent reports an update with hardly anything filled in: what is empty is as enrolled.
fn fill_in(result: &mut TaskResultRequest, agent: &Agent) {
    let fact = |name: &str| agent.facts.get(name).and_then(Value::as_str).unwrap_or_default();
    if result.os.as_str().is_empty() {
        result.os = Os::from(fact("os"));
    }
    if result.arch.as_str().is_empty() {
        result.arch = Arch::from(fact("arch"));
    }
    if result.hostname.is_empty() {
        result.hostname = fact("hostname").to_owned();
    }
}
