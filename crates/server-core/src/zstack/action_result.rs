use fleetwire_protocol::wire::Timestamp;
use fleetwire_protocol::zstack::{ActionName, ActionResult, GetActionResult};
use fleetwire_protocol::{Fault, Subject};
use fleetwire_validation::Checked;
use serde_json::Value;

use crate::core::{KeyScope, internal};
use crate::domain::{Work, WorkState};
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<GetActionResult> for Core<S> {
    async fn handle(
        &self,
        scope: KeyScope,
        _: &Origin<'_>,
        call: Checked<GetActionResult>,
    ) -> Result<ActionResult, Fault> {
        let at = call.at();
        let asked = call.into_inner().params;
        let agent = self.covered(scope, asked.uuid.as_str()).await?.agent();
        let id = asked.action_id.as_str().to_owned();
        let found = self.store.work_named(agent.tenant, id).await.map_err(internal)?;
        let mut work = found.map(|(work, _)| work).filter(|work| work.agent == agent.no);
        let work = work.as_mut().ok_or(Fault::Unknown(Subject::Action))?;
        work.look(at);

        let mut result = ActionResult::default();
        result.action_id = Some(asked.action_id);
        result.agent_id = Some(asked.uuid);
        result.action = Some(ActionName::from(work.kind.as_str()));
        result.status = Some(word(work.state).into());
        result.error = error(work).map(|text| text.as_str().into());
        result.created_at = Some(Timestamp::seconds(work.created_at));
        Ok(result)
    }
}

/// The vendor's word for a state.
pub(crate) const fn word(state: WorkState) -> &'static str {
    match state {
        WorkState::Queued | WorkState::Delivered => "pending",
        WorkState::Running => "running",
        WorkState::Succeeded => "success",
        WorkState::Failed | WorkState::Expired | WorkState::Canceled => "failed",
    }
}

/// Why an action came to nothing, if it did: what was reported, or else what the state means. One that went well has
/// no error, whatever the page's example shows (ZS-9).
fn error(work: &Work) -> Option<String> {
    if !work.state.is_terminal() || work.state == WorkState::Succeeded {
        return None;
    }
    let said = match &work.result {
        Some(Value::String(text)) => Some(text.as_str()),
        Some(Value::Object(members)) => members.get("error").and_then(Value::as_str),
        _ => None,
    };
    Some(said.unwrap_or(work.state.meaning()).to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, Utc};
    use serde_json::{Map, json};

    use super::*;
    use crate::domain::NewWork;

    fn ended(state: WorkState, result: Option<Value>) -> Work {
        let at = DateTime::<Utc>::UNIX_EPOCH;
        let new = NewWork {
            id: "w".to_owned(),
            key: None,
            tenant: 1,
            agent: 7,
            kind: "restart".to_owned(),
            payload: Map::new(),
            priority: 0,
            not_before: None,
            ttl: Duration::from_secs(60),
            timeout: None,
            max_retries: 0,
            at,
        };
        Work { state, result, ..new.into_work(1) }
    }

    #[test]
    fn only_what_came_to_nothing_has_an_error_and_it_always_has_one() {
        for (result, said) in [
            (Some(json!("no such unit")), Some("no such unit")),
            (Some(json!({"error": "no such unit"})), Some("no such unit")),
            (Some(json!({"error": 7})), None),
            (Some(json!([1])), None),
            (None, None),
        ] {
            for state in WorkState::ALL {
                let error = error(&ended(state, result.clone()));
                let expected = said.unwrap_or(state.meaning());
                let failed = word(state) == "failed";
                assert_eq!(error.as_deref(), failed.then_some(expected), "{state} {result:?}");
            }
        }
    }
}
