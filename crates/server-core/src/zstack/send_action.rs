use std::time::Duration;

use fleetwire_protocol::zstack::{ActionReply, SendAction};
use fleetwire_protocol::{Fault, Place, Subject, Violation};
use fleetwire_validation::Checked;
use serde_json::Map;

use super::wish::{ACTIONS, TIMEOUT};
use crate::core::{KeyScope, internal};
use crate::domain::{Asked, NewWork};
use crate::store::Store;
use crate::{Core, Handle, Origin};

/// Actions that may wait for one agent. Who has the tenant's token could otherwise fill the store.
const WAITING: u32 = 100;

impl<S: Store> Handle<SendAction> for Core<S> {
    async fn handle(
        &self,
        scope: KeyScope,
        _: &Origin<'_>,
        call: Checked<SendAction>,
    ) -> Result<ActionReply, Fault> {
        let at = call.at();
        let asked = call.into_inner().params;
        let agent = self.covered(scope, asked.uuid.as_str()).await?.agent();
        // An agent reports; it is not the one to say what agents do.
        if scope.agent.is_some() {
            return Err(Fault::NotYours(Subject::Fleet));
        }
        let action = asked.action.as_str();
        if !ACTIONS.contains(&action) {
            let message = format!("must be one of {}", ACTIONS.join(", "));
            return Err(Violation { place: Place::Path("action"), rule: "param.word", message }.into());
        }
        let work = NewWork {
            id: self.new_id(),
            key: None,
            tenant: agent.tenant,
            agent: agent.no,
            kind: action.to_owned(),
            payload: Map::new(),
            priority: 0,
            not_before: None,
            ttl: self.config.work_ttl,
            timeout: Some(TIMEOUT),
            max_retries: 0,
            at,
        };
        // No word of the request tells a wish that is sent again from a second one.
        let work = match self.store.ask(work, WAITING).await.map_err(internal)? {
            Asked::Now(work) | Asked::Waiting(work) => work,
            Asked::Full => {
                let what = "too many actions wait for this agent";
                return Err(Fault::Overloaded { what, retry_after: Duration::from_secs(60) });
            }
        };
        let mut reply = ActionReply::default();
        reply.action_id = Some(work.id.into());
        Ok(reply)
    }
}
