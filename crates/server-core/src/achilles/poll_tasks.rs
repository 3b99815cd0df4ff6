use fleetwire_protocol::Fault;
use fleetwire_protocol::achilles::{Answer, PollTasks, Task};
use fleetwire_protocol::wire::OneOrMany;
use fleetwire_validation::Checked;

use super::task::task;
use crate::domain::Delivery;
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<PollTasks> for Core<S> {
    async fn handle(
        &self,
        record: AgentRecord,
        _: &Origin<'_>,
        call: Checked<PollTasks>,
    ) -> Result<Option<Answer<OneOrMany<Task>>>, Fault> {
        let work = self.deliver(&record, Delivery::One, call.at()).await?;
        let Some(work) = work.first() else { return Ok(None) };
        Ok(Some(Answer::new(OneOrMany::from(task(work, &record.agent())?))))
    }
}
