use fleetwire_protocol::achilles::{ReportStatus, ResultAnswer, TaskStatus};
use fleetwire_protocol::{Fault, Subject};
use fleetwire_validation::Checked;

use super::task::{answer, named, status};
use crate::core::internal;
use crate::domain::{Reported, Stage, WorkEvent, WorkReport, WorkState, WorkStep, ended_by_server};
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<ReportStatus> for Core<S> {
    async fn handle(
        &self,
        record: AgentRecord,
        _: &Origin<'_>,
        call: Checked<ReportStatus>,
    ) -> Result<ResultAnswer, Fault> {
        let at = call.at();
        let call = call.into_inner();
        let agent = record.agent();
        let said = call.body;
        // The rules let no other word pass.
        let Some((to, event, step)) = step(&said.status) else { return Err(Fault::Internal) };
        let id = call.params.id.into_string();
        let (work, execution) = named(&id);
        let failure = said.error.filter(|_| event == WorkEvent::Fail);
        let report = WorkReport {
            work: work.to_owned(),
            execution: Some(execution),
            tenant: agent.tenant,
            agent: agent.no,
            event,
            step: Some(step),
            result: failure.map(|error| ended_by_server(&error, &error)),
            findings: Vec::new(),
            at,
        };
        match self.store.report_work(report).await.map_err(internal)? {
            Reported::Now(work) => {
                if work.state == WorkState::Failed {
                    // Another execution may wait already.
                    record.lease().expect_work(None);
                }
                answer(&work, &agent, false)
            }
            Reported::Before(work) => answer(&work, &agent, work.state.is_terminal()),
            Reported::Illegal(work, _) => {
                Err(Fault::Transition { subject: Subject::Task, from: status(&work), to })
            }
            Reported::NotYours => Err(Fault::NotYours(Subject::Task)),
            Reported::Unknown => Err(Fault::Unknown(Subject::Task)),
        }
    }
}

const PENDING: Stage = (WorkState::Queued, false);
const ASSIGNED: Stage = (WorkState::Delivered, false);
const DOWNLOADING: Stage = (WorkState::Delivered, true);
const EXECUTING: Stage = (WorkState::Running, true);

/// What a word does to a task, and from where: the dialect's list, which allows less than the table of work. A result
/// implies the steps before it (D-9), a word does not.
fn step(status: &TaskStatus) -> Option<(&'static str, WorkEvent, WorkStep)> {
    let (to, event, from, stage): (_, _, &'static [Stage], _) = match status {
        // Nothing leads back to it; what is pending may be said to be so.
        TaskStatus::Pending => ("pending", WorkEvent::Retry, &[], PENDING),
        TaskStatus::Assigned => ("assigned", WorkEvent::Deliver, &[PENDING], ASSIGNED),
        TaskStatus::Downloading => ("downloading", WorkEvent::Acknowledge, &[ASSIGNED], DOWNLOADING),
        TaskStatus::Executing => ("executing", WorkEvent::Start, &[ASSIGNED, DOWNLOADING], EXECUTING),
        TaskStatus::Completed => {
            ("completed", WorkEvent::Succeed, &[EXECUTING], (WorkState::Succeeded, true))
        }
        TaskStatus::Failed => {
            ("failed", WorkEvent::Fail, &[ASSIGNED, DOWNLOADING, EXECUTING], (WorkState::Failed, true))
        }
        TaskStatus::Expired => {
            ("expired", WorkEvent::Expire, &[PENDING, ASSIGNED, DOWNLOADING], (WorkState::Expired, true))
        }
        _ => return None,
    };
    Some((to, event, WorkStep { from, to: stage }))
}

#[cfg(test)]
mod tests {
    use fleetwire_protocol::wire::Word;

    use super::*;
    use crate::achilles::word;
    use crate::domain::transition;

    /// The dialect's list, as the deployed server has it: from each word to these.
    const LIST: [(Stage, &str); 4] = [
        (PENDING, "assigned expired"),
        (ASSIGNED, "downloading executing failed expired"),
        (DOWNLOADING, "executing failed expired"),
        (EXECUTING, "completed failed"),
    ];

    #[test]
    fn steps_are_those_of_the_deployed_server_and_each_is_one_of_the_table() {
        for (from, list) in LIST {
            for word_to in TaskStatus::KNOWN {
                let (to, event, step) = step(&TaskStatus::from(*word_to)).unwrap();
                assert_eq!(to, *word_to);
                let listed = list.split(' ').any(|listed| listed == to);
                assert_eq!(step.from.contains(&from), listed, "{} to {to}", word(from.0, from.1));
                if listed {
                    let row = transition(from.0, event).unwrap();
                    assert_eq!(word(row.to, true), word(step.to.0, true), "{} to {to}", word(from.0, from.1));
                }
                // Said again, a word is that of the stage to which it leads.
                assert_eq!(word(step.to.0, step.to.1), to);
            }
        }
    }

    #[test]
    fn what_no_step_leads_to_is_of_no_step() {
        for (state, acknowledged) in
            [WorkState::Succeeded, WorkState::Failed, WorkState::Expired, WorkState::Canceled]
                .into_iter()
                .flat_map(|state| [(state, false), (state, true)])
        {
            for word in TaskStatus::KNOWN {
                let (.., step) = step(&TaskStatus::from(*word)).unwrap();
                assert!(!step.from.contains(&(state, acknowledged)), "{state} to {word}: an end is final");
            }
        }
        assert_eq!(step(&TaskStatus::from("reporting")), None);
    }
}
