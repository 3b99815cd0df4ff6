//! ZStack's operations.

mod action_result;
mod auto_register_heartbeat;
mod heartbeat;
mod list_by_lifecycle_status;
mod register;
mod send_action;
mod wish;

pub(crate) use action_result::word;
pub(crate) use wish::settle;

use std::time::Duration;

use chrono::{DateTime, Utc};
use fleetwire_protocol::wire::{JsonText, Number, Timestamp};
use fleetwire_protocol::zstack::{self, AgentStatus, AgentType, BearerAuth, BearerToken};
use fleetwire_protocol::{Fault, Subject};
use serde_json::Value;

use crate::core::KeyScope;
use crate::domain::{Kind, Vendor};
use crate::lease::{Liveness, Report};
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Identify};

/// When to come back if a fleet has no room: an operator has to make some.
const FULL: Fault = Fault::Overloaded {
    what: "the fleet has as many agents as it may have",
    retry_after: Duration::from_secs(300),
};

/// The fact that holds the labels which an agent was registered with.
const LABELS: &str = "labels";

impl<S: Store> Identify<BearerAuth> for Core<S> {
    type Caller = KeyScope;

    async fn identify(&self, token: BearerToken, now: DateTime<Utc>) -> Result<KeyScope, Fault> {
        self.scope(Vendor::ZStack, token.expose(), now).await
    }
}

impl<S: Store> Core<S> {
    /// The agent of an id, if the caller's token is good for it.
    async fn covered(&self, scope: KeyScope, uuid: &str) -> Result<AgentRecord, Fault> {
        let record = self.named(scope.tenant, Vendor::ZStack, Kind::Agent, uuid).await?;
        let record = record.ok_or(Fault::Unknown(Subject::Agent))?;
        covers(scope, &record)?;
        Ok(record)
    }

    /// An agent's record as it is told at a time.
    fn told(&self, record: &AgentRecord, at: DateTime<Utc>) -> zstack::Agent {
        let mut told = zstack::Agent::default();
        told.status = Some(status(self.liveness(record, at)));
        told.last_heartbeat_at = record.lease().last_seen().map(Timestamp::seconds);
        record.look(|agent| {
            let text = |name: &str| agent.text(name).map(str::to_owned);
            told.uuid = Some(agent.id().into());
            told.name = Some(agent.name().to_owned());
            told.kind = agent.text("type").map(AgentType::from);
            told.version = agent.version().map(str::to_owned);
            told.endpoint = text("endpoint");
            told.platform_id = text("platformId");
            told.region = text("region");
            // Those of operators, or else what the agent has said, as it said it.
            let labels = agent.labels();
            let own = if labels.len() == 0 { text(LABELS).map(JsonText::new) } else { None };
            told.labels = Some(own.unwrap_or_else(|| JsonText::from(&Value::from_iter(labels))));
            told.create_date = Some(Timestamp::seconds(agent.created_at()));
            told.last_op_date = Some(Timestamp::seconds(agent.updated_at()));
        });
        told
    }
}

/// Whether a token is good for an agent. One that is shut out is covered by none.
fn covers(scope: KeyScope, record: &AgentRecord) -> Result<(), Fault> {
    let disabled = record.look(|row| row.disabled);
    if disabled || scope.agent.is_some_and(|bound| bound != record.no()) {
        return Err(Fault::NotYours(Subject::Agent));
    }
    Ok(())
}

/// The vendor's word. It has none for an agent that has never reported.
const fn status(liveness: Liveness) -> AgentStatus {
    match liveness {
        Liveness::Online => AgentStatus::Online,
        Liveness::Delayed => AgentStatus::Delayed,
        Liveness::Offline | Liveness::Never => AgentStatus::Offline,
    }
}

/// What a heartbeat says of an agent's load, as far as it says so.
fn report(figures: [(&str, Option<Number>); 3]) -> Report {
    let mut report = Report::default();
    for (name, value) in figures {
        report.metrics.extend(value.map(|value| (name.to_owned(), value.get())));
    }
    report
}
