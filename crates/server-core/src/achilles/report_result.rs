use chrono::{DateTime, Utc};
use fleetwire_protocol::achilles::{Arch, BundleControl, Os, ReportResult, ResultAnswer, TaskResultRequest};
use fleetwire_protocol::{Fault, Subject};
use fleetwire_validation::Checked;
use serde_json::{Map, Value};

use super::task::{answer, named, status};
use crate::core::internal;
use crate::domain::{Agent, Finding, Reported, Standing, WorkEvent, WorkReport};
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<ReportResult> for Core<S> {
    async fn handle(
        &self,
        record: AgentRecord,
        _: &Origin<'_>,
        call: Checked<ReportResult>,
    ) -> Result<ResultAnswer, Fault> {
        let at = call.at();
        let call = call.into_inner();
        let agent = record.agent();
        let mut result = call.body;
        fill_in(&mut result, &agent);
        let id = call.params.id.into_string();
        let (work, execution) = named(&id);
        let report = WorkReport {
            work: work.to_owned(),
            execution: Some(execution),
            tenant: agent.tenant,
            agent: agent.no,
            // Whatever the exit code: a test that found something has done its work.
            event: WorkEvent::Succeed,
            step: None,
            findings: findings(&id, &result),
            result: Some(serde_json::to_value(result).map_err(|_| Fault::Internal)?),
            at,
        };
        match self.store.report_work(report).await.map_err(internal)? {
            Reported::Now(work) => {
                if agent.has_left_by(&work) {
                    self.note_departure(&agent, work.updated_at);
                }
                answer(&work, &agent, false)
            }
            Reported::Before(work) => answer(&work, &agent, true),
            Reported::Illegal(work, _) => {
                Err(Fault::Transition { subject: Subject::Task, from: status(&work), to: "completed" })
            }
            Reported::NotYours => Err(Fault::NotYours(Subject::Task)),
            Reported::Unknown => Err(Fault::Unknown(Subject::Task)),
        }
    }
}

impl<S: Store> Core<S> {
    /// Notes what the store has done to an agent that has removed itself: it is shut out from here on.
    fn note_departure(&self, agent: &Agent, at: DateTime<Utc>) {
        let mut left = agent.clone();
        left.stand(Standing::Uninstalled, at);
        self.registry.forget_keys(left.no);
        self.registry.put(left);
    }
}

/// What a test has found, one by one: each control of a bundle, or the test as a whole. What is no test finds
/// nothing.
fn findings(task: &str, result: &TaskResultRequest) -> Vec<Finding> {
    let bundle = result.bundle_results.as_ref().filter(|bundle| !bundle.controls.is_empty());
    let Some(bundle) = bundle else {
        let whole = Finding {
            id: task.to_owned(),
            test: result.test_uuid.clone(),
            control: None,
            exit_code: result.exit_code,
            compliant: None,
            detail: Map::new(),
        };
        return if result.test_uuid.is_empty() { Vec::new() } else { vec![whole] };
    };
    let controls = bundle.controls.iter().map(|control| Finding {
        id: format!("{task}::{}", control.control_id),
        test: bundle.bundle_id.clone(),
        control: Some(control.control_id.clone()),
        exit_code: control.exit_code,
        compliant: Some(control.compliant),
        detail: detail(control),
    });
    controls.collect()
}

/// What is said of a control besides.
fn detail(control: &BundleControl) -> Map<String, Value> {
    let Ok(Value::Object(mut detail)) = serde_json::to_value(control) else { return Map::new() };
    for told in ["control_id", "exit_code", "compliant"] {
        detail.remove(told);
    }
    detail
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
