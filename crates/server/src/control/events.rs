//! What has happened in the fleet, for operators.

use std::ops::RangeInclusive;

use axum::extract::State;
use axum::{Extension, Json};
use fleetwire_server_core::Core;
use fleetwire_server_core::domain::{HIGHEST_NO, No, Vendor};
use fleetwire_server_core::events::{Event, EventKind, EventQuery};
use fleetwire_server_core::operator::AgentView;
use fleetwire_server_core::store::Store;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Tenant;
use super::bounds::Faults;
use super::messages::rfc3339;
use super::operations::{Answer, Asked, By, DEFAULT_LIMIT, LIMIT};
use super::refusal::{Parameters, Refusal};

const AFTER: RangeInclusive<i64> = 0..=HIGHEST_NO;

/// Which events to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventFilter {
    /// Those after this number, the earliest of them: 0 for the very first. If nothing is said, the latest that
    /// there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// How many at most: 1 to 1000, 100 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only those about an agent, by its id on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The vendor of that agent, where agents of several have the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Only those of a kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Events, the earlier first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventList {
    /// The events.
    pub events: Vec<EventBody>,
    /// The number after which to ask next.
    pub next: i64,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventBody {
    /// Its place in the journal; numbers grow, and some are left out.
    pub number: i64,
    /// When, by the server's clock.
    pub at: String,
    /// What kind of thing has happened.
    pub kind: String,
    /// The agent that it is about, if it is about one.
    pub agent: Option<EventAgent>,
    /// Its particulars, which depend on the kind.
    pub detail: Map<String, Value>,
}

/// The agent that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventAgent {
    /// Its number.
    pub number: i64,
    /// The short name of its vendor.
    pub vendor: Option<String>,
    /// Its id on the wire.
    pub id: Option<String>,
    /// Its name for people, as it is now.
    pub name: Option<String>,
}

impl EventBody {
    fn new(event: Event, agent: Option<&AgentView>) -> Self {
        let known = agent.map(|view| &view.agent);
        Self {
            number: event.no,
            at: rfc3339(event.at),
            kind: event.kind.as_str().to_owned(),
            agent: event.agent.map(|number| EventAgent {
                number,
                vendor: known.map(|agent| agent.vendor.to_string()),
                id: known.map(|agent| agent.id.clone()),
                name: known.map(|agent| agent.name.clone()),
            }),
            detail: event.detail,
        }
    }
}

pub(super) async fn events<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Parameters(filter): Parameters<EventFilter>,
) -> Answer<EventList> {
    let mut faults = Faults::default();
    let limit = filter.limit.unwrap_or(DEFAULT_LIMIT);
    faults.range("limit", limit, &LIMIT);
    if let Some(after) = filter.after {
        faults.range("after", after, &AFTER);
    }
    let kind = filter.kind.as_deref().and_then(|word| {
        let known: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        faults.word("kind", word, EventKind::parse, &known)
    });
    let vendor = filter.vendor.as_deref().and_then(|name| faults.vendor("vendor", name));
    if filter.vendor.is_some() && filter.agent.is_none() {
        faults.add("agent", "must be there too, since there is a vendor");
    }
    faults.none_or(Some(()))?;
    let agent = filter.agent.as_deref().map(|id| find(&core, tenant, vendor, id)).transpose()?;

    let query = EventQuery { after: filter.after, agent, kind, limit };
    let events = core.events(tenant, query).await?;
    let next = events.last().map_or(filter.after.unwrap_or_default(), |event| event.no);
    let events = events
        .into_iter()
        .map(|event| {
            let agent = event.agent.and_then(|no| core.agent_numbered(tenant, no));
            EventBody::new(event, agent.as_ref())
        })
        .collect();
    Ok(Json(EventList { events, next }))
}

/// The number of the agent that has an id.
fn find<S: Store>(core: &Core<S>, tenant: No, vendor: Option<Vendor>, id: &str) -> Result<No, Refusal> {
    let asked = Vendor::ALL.into_iter().filter(|one| vendor.is_none_or(|vendor| vendor == *one));
    let found: Vec<_> = asked.filter_map(|vendor| core.find_agent(tenant, vendor, id).ok()).collect();
    match found.as_slice() {
        [] => Err(Refusal::not_found("there is no such agent")),
        [view] => Ok(view.agent.no),
        several => {
            let vendors: Vec<_> = several.iter().map(|view| view.agent.vendor.as_str()).collect();
            let vendors = vendors.join(", ");
            Err(Refusal::invalid(format!("vendor: must be there too, since several have this id: {vendors}")))
        }
    }
}
