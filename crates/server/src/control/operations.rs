//! What operators may do: from JSON to the core and back.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use fleetwire_server_core::Core;
use fleetwire_server_core::domain::{
    self, FindingFilter, HIGHEST_NO, Kind, No, Standing, Vendor, WorkEvent, WorkState,
};
use fleetwire_server_core::lease::Liveness;
use fleetwire_server_core::operator::{Registration, WorkPage, WorkWish, WorkWord, usual_token_bounds};
use fleetwire_server_core::store::Store;
use http::StatusCode;

use super::Tenant;
use super::bounds::Faults;
use super::messages::{
    AgentBody, AgentCreated, AgentFilter, AgentList, KeyBody, NewAgentBody, NewKeyBody, NewTokenBody,
    NewWorkBody, ResultBody, ResultFilter, ResultList, TokenCreated, TokenList, WantedModelBody, WorkBody,
    WorkFilter, WorkList, WorkReportBody, WorkReported,
};
use super::refusal::{Body, Parameters, Refusal, Segments};

const NUMBER: RangeInclusive<No> = 1..=HIGHEST_NO;
const AFTER: RangeInclusive<No> = 0..=HIGHEST_NO;
const TTL_SECONDS: RangeInclusive<u64> = 1..=30 * 24 * 3600;
const MAX_USES: RangeInclusive<u32> = 1..=100_000;
pub(super) const LIMIT: RangeInclusive<u32> = 1..=1000;
const PRIORITY: RangeInclusive<i64> = -1000..=1000;
const TIMEOUT: RangeInclusive<u64> = 1..=86_400;
const RETRIES: RangeInclusive<u32> = 0..=5;
/// The same numbers as above: those that every reader of JSON can tell apart.
pub(super) const SIZE: RangeInclusive<u64> = 1..=(1 << 53) - 1;
const LABELS: usize = 64;
pub(super) const DEFAULT_LIMIT: u32 = 100;

/// What may be reported of work that is done in its agent's place.
const REPORTS: [WorkEvent; 4] =
    [WorkEvent::Acknowledge, WorkEvent::Start, WorkEvent::Succeed, WorkEvent::Fail];

const LIVENESSES: [Liveness; 4] = [Liveness::Online, Liveness::Delayed, Liveness::Offline, Liveness::Never];

pub(super) type Asked<S> = State<Arc<Core<S>>>;
pub(super) type By = Extension<Tenant>;
pub(super) type Answer<T> = Result<Json<T>, Refusal>;
type NamedAgent = Segments<(String, String)>;
type Created<T> = Result<(StatusCode, Json<T>), Refusal>;

fn created<T>(body: impl Into<T>) -> Created<T> {
    Ok((StatusCode::CREATED, Json(body.into())))
}

/// The vendor in a path. One that is unknown names no agent.
pub(super) fn vendor_segment(name: &str) -> Result<Vendor, Refusal> {
    Vendor::parse(name).ok_or_else(|| {
        let known = Vendor::ALL.map(Vendor::as_str).join(", ");
        Refusal::not_found(format!("there is no such vendor; there are {known}"))
    })
}

pub(super) async fn ready<S: Store>(State(core): Asked<S>) -> Result<&'static str, Refusal> {
    core.ready().await?;
    Ok("ready")
}

pub(super) async fn agents<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Parameters(filter): Parameters<AgentFilter>,
) -> Answer<AgentList> {
    let mut faults = Faults::default();
    let vendor = filter.vendor.as_deref().map(|name| faults.vendor("vendor", name));
    let status = filter.status.as_deref().map(|word| {
        let parse = |word: &str| LIVENESSES.into_iter().find(|known| known.as_str() == word);
        faults.word("status", word, parse, &LIVENESSES.map(Liveness::as_str))
    });
    let limit = filter.limit.unwrap_or(DEFAULT_LIMIT);
    faults.range("limit", limit, &LIMIT);
    let after = filter.after.unwrap_or(0);
    faults.range("after", after, &AFTER);
    faults.none_or(Some(()))?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let views = core.agents_after(tenant, after, limit, |view| {
        vendor.is_none_or(|vendor| vendor == Some(view.agent.vendor))
            && status.is_none_or(|status| status == Some(view.liveness))
    });
    let next = views.last().filter(|_| views.len() == limit).map(|view| view.agent.no);
    Ok(Json(AgentList { agents: views.into_iter().map(AgentBody::from).collect(), next }))
}

pub(super) async fn register<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Body(body): Body<NewAgentBody>,
) -> Created<AgentCreated> {
    let mut faults = Faults::default();
    let vendor = faults.vendor("vendor", &body.vendor);
    let kind = body.kind.as_deref().map_or(Some(Kind::Agent), |word| faults.kind("kind", word));
    if let Some(number) = body.number {
        faults.range("number", number, &NUMBER);
    }
    faults.optional_text("id", body.id.as_deref());
    faults.optional_text("name", body.name.as_deref());
    if body.labels.len() > LABELS {
        faults.add("labels", format_args!("must be at most {LABELS}"));
    } else {
        for (name, value) in &body.labels {
            faults.text("labels: a name", name);
            faults.free_text("labels: a value", value);
        }
    }
    let (vendor, kind) = faults.none_or(vendor.zip(kind))?;
    let registration = Registration {
        vendor,
        kind,
        no: body.number,
        id: body.id,
        name: body.name,
        facts: body.facts,
        labels: body.labels,
    };
    let (view, key) = core.register(tenant, registration).await?;
    created(AgentCreated { agent: view.into(), key: key.into() })
}

pub(super) async fn agent<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments((vendor, id)): Segments<(String, String)>,
) -> Answer<AgentBody> {
    Ok(Json(core.find_agent(tenant, vendor_segment(&vendor)?, &id)?.into()))
}

pub(super) async fn rotate_key<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments((vendor, id)): Segments<(String, String)>,
) -> Answer<AgentBody> {
    Ok(Json(core.rotate_key(tenant, vendor_segment(&vendor)?, &id).await?.into()))
}

pub(super) async fn disable<S: Store>(asked: Asked<S>, by: By, named: NamedAgent) -> Answer<AgentBody> {
    stand(asked, by, named, Standing::Disabled).await
}

pub(super) async fn enable<S: Store>(asked: Asked<S>, by: By, named: NamedAgent) -> Answer<AgentBody> {
    stand(asked, by, named, Standing::Active).await
}

pub(super) async fn decommission<S: Store>(asked: Asked<S>, by: By, named: NamedAgent) -> Answer<AgentBody> {
    stand(asked, by, named, Standing::Decommissioned).await
}

async fn stand<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments((vendor, id)): NamedAgent,
    standing: Standing,
) -> Answer<AgentBody> {
    Ok(Json(core.stand(tenant, vendor_segment(&vendor)?, &id, standing).await?.into()))
}

pub(super) async fn revoke_keys<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments((vendor, id)): NamedAgent,
) -> Answer<AgentCreated> {
    let (view, key) = core.revoke_keys(tenant, vendor_segment(&vendor)?, &id).await?;
    Ok(Json(AgentCreated { agent: view.into(), key: key.into() }))
}

pub(super) async fn assign_model<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments((vendor, id)): Segments<(String, String)>,
    Body(body): Body<WantedModelBody>,
) -> Answer<AgentBody> {
    let vendor = vendor_segment(&vendor)?;
    let mut faults = Faults::default();
    faults.text("model", &body.model);
    let model = faults.none_or(Some(body.model))?;
    Ok(Json(core.assign_model(tenant, vendor, &id, model).await?.into()))
}

pub(super) async fn queue_work<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments((vendor, id)): Segments<(String, String)>,
    Body(body): Body<NewWorkBody>,
) -> Created<WorkBody> {
    let vendor = vendor_segment(&vendor)?;
    let mut faults = Faults::default();
    faults.text("type", &body.kind);
    if let Some(priority) = body.priority {
        faults.range("priority", priority, &PRIORITY);
    }
    faults.optional_text("key", body.key.as_deref());
    let not_before = body.not_before.as_deref().and_then(|text| faults.time("not_before", text));
    for (place, seconds, range) in
        [("ttl_seconds", body.ttl_seconds, &TTL_SECONDS), ("timeout_seconds", body.timeout_seconds, &TIMEOUT)]
    {
        if let Some(seconds) = seconds {
            faults.range(place, seconds, range);
        }
    }
    if let Some(retries) = body.max_retries {
        faults.range("max_retries", retries, &RETRIES);
    }
    let wish = faults.none_or(Some(WorkWish {
        kind: body.kind,
        payload: body.payload,
        priority: body.priority,
        key: body.key,
        not_before,
        ttl: body.ttl_seconds.map(Duration::from_secs),
        timeout: body.timeout_seconds.map(Duration::from_secs),
        max_retries: body.max_retries,
    }))?;
    let (view, now) = core.queue_work(tenant, vendor, &id, wish).await?;
    let agent = core.agent_numbered(tenant, view.work.agent);
    let status = if now { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(WorkBody::new(view, agent.as_ref()))))
}

pub(super) async fn work_named<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments(id): Segments<String>,
) -> Answer<WorkBody> {
    let view = core.work_named(tenant, id).await?;
    let agent = core.agent_numbered(tenant, view.work.agent);
    Ok(Json(WorkBody::new(view, agent.as_ref())))
}

pub(super) async fn cancel_work<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments(id): Segments<String>,
) -> Answer<WorkBody> {
    let view = core.cancel_work(tenant, id).await?;
    let agent = core.agent_numbered(tenant, view.work.agent);
    Ok(Json(WorkBody::new(view, agent.as_ref())))
}

pub(super) async fn report_work<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments(id): Segments<String>,
    Body(body): Body<WorkReportBody>,
) -> Answer<WorkReported> {
    let mut faults = Faults::default();
    let parse = |word: &str| REPORTS.into_iter().find(|event| event.as_str() == word);
    let event = faults.word("state", &body.state, parse, &REPORTS.map(WorkEvent::as_str));
    let event = faults.none_or(event)?;
    let said = WorkWord { event, execution: body.execution_number, result: body.result };
    let (view, changed) = core.report_work(tenant, id, said).await?;
    let agent = core.agent_numbered(tenant, view.work.agent);
    Ok(Json(WorkReported { changed, work: WorkBody::new(view, agent.as_ref()) }))
}

/// How many rows a filter asks for, and the agent that it names.
fn narrowed<S: Store>(
    core: &Core<S>,
    tenant: No,
    limit: Option<u32>,
    vendor: Option<&String>,
    agent: Option<&String>,
) -> Result<(u32, Option<No>), Refusal> {
    let mut faults = Faults::default();
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    faults.range("limit", limit, &LIMIT);
    let named = named_agent(&mut faults, vendor, agent);
    let agent = match faults.none_or(named)? {
        Some((vendor, id)) => Some(core.find_agent(tenant, vendor, &id)?.agent.no),
        None => None,
    };
    Ok((limit, agent))
}

/// The agent that a filter names by vendor and id, which go together.
fn named_agent(
    faults: &mut Faults,
    vendor: Option<&String>,
    id: Option<&String>,
) -> Option<Option<(Vendor, String)>> {
    match (vendor, id) {
        (Some(vendor), Some(id)) => faults.vendor("vendor", vendor).map(|vendor| Some((vendor, id.clone()))),
        (None, None) => Some(None),
        (Some(_), None) => {
            faults.add("agent", "must be there too, since there is a vendor");
            None
        }
        (None, Some(_)) => {
            faults.add("vendor", "must be there too, since ids are unique within a vendor only");
            None
        }
    }
}

pub(super) async fn results<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Parameters(filter): Parameters<ResultFilter>,
) -> Answer<ResultList> {
    let (limit, agent) =
        narrowed(&core, tenant, filter.limit, filter.vendor.as_ref(), filter.agent.as_ref())?;
    let ResultFilter { work, control, before, .. } = filter;
    let rows = core.findings(tenant, FindingFilter { agent, work, control, before, limit }).await?;
    let full = u32::try_from(rows.len()).is_ok_and(|rows| rows == limit);
    let next = rows.last().filter(|_| full).map(|row| row.no);
    let results = rows.into_iter().map(|row| {
        let agent = core.agent_numbered(tenant, row.agent);
        ResultBody::new(row, agent.as_ref())
    });
    Ok(Json(ResultList { results: results.collect(), next }))
}

pub(super) async fn work<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Parameters(filter): Parameters<WorkFilter>,
) -> Answer<WorkList> {
    let mut faults = Faults::default();
    let limit = filter.limit.unwrap_or(DEFAULT_LIMIT);
    faults.range("limit", limit, &LIMIT);
    let vendor = filter.vendor.as_deref().and_then(|name| faults.vendor("vendor", name));
    if filter.agent.is_some() && filter.vendor.is_none() {
        faults.add("vendor", "must be there too, since ids are unique within a vendor only");
    }
    let state = filter.state.as_deref().and_then(|word| {
        faults.word("state", word, WorkState::parse, &WorkState::ALL.map(WorkState::as_str))
    });
    faults.none_or(Some(()))?;
    let agent = match vendor.zip(filter.agent.as_ref()) {
        Some((vendor, id)) => Some(core.find_agent(tenant, vendor, id)?.agent.no),
        None => None,
    };
    let asked = domain::WorkFilter { agent, vendor, state, before: filter.before, limit };
    let WorkPage { work, next } = core.work(tenant, asked).await?;
    let work = work
        .into_iter()
        .map(|view| {
            let agent = core.agent_numbered(tenant, view.work.agent);
            WorkBody::new(view, agent.as_ref())
        })
        .collect();
    Ok(Json(WorkList { work, next }))
}

pub(super) async fn issue_token<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Body(body): Body<NewTokenBody>,
) -> Created<TokenCreated> {
    let mut faults = Faults::default();
    let vendor = faults.vendor("vendor", &body.vendor);
    if let Some(seconds) = body.ttl_seconds.number() {
        faults.range("ttl_seconds", seconds, &TTL_SECONDS);
    }
    if let Some(uses) = body.max_uses.number() {
        faults.range("max_uses", uses, &MAX_USES);
    }
    let vendor = faults.none_or(vendor)?;
    let (ttl, max_uses) = usual_token_bounds(vendor);
    let ttl = body.ttl_seconds.or_usual(Some(ttl.as_secs())).map(Duration::from_secs);
    let (token, text) = core.issue_token(tenant, vendor, ttl, body.max_uses.or_usual(max_uses)).await?;
    created(TokenCreated::new(token, text))
}

pub(super) async fn tokens<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
) -> Answer<TokenList> {
    let tokens = core.tokens(tenant).await?.into_iter().map(Into::into).collect();
    Ok(Json(TokenList { tokens }))
}

pub(super) async fn revoke_token<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Refusal> {
    core.revoke_token(tenant, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn issue_key<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Body(body): Body<NewKeyBody>,
) -> Created<KeyBody> {
    let mut faults = Faults::default();
    let vendor = faults.vendor("vendor", &body.vendor);
    let vendor = faults.none_or(vendor)?;
    let key = core.issue_tenant_key(tenant, vendor).await?;
    created(KeyBody { vendor: body.vendor, key: key.into() })
}
