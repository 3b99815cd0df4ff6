//! What operators may do: from JSON to the core and back.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use fleetwire_server_core::Core;
use fleetwire_server_core::domain::{FindingFilter, HIGHEST_NO, Kind, No, Vendor};
use fleetwire_server_core::keys::unhex;
use fleetwire_server_core::lease::Liveness;
use fleetwire_server_core::operator::{NewModel, NewRelease, Registration, WorkWish};
use fleetwire_server_core::store::Store;
use http::StatusCode;

use super::Tenant;
use super::bounds::Faults;
use super::messages::{
    AgentBody, AgentCreated, AgentFilter, AgentList, KeyBody, ModelBody, NewAgentBody, NewKeyBody,
    NewModelBody, NewReleaseBody, NewTokenBody, NewWorkBody, ReleaseBody, ReleaseKeyBody, ResultBody,
    ResultFilter, ResultList, TokenCreated, TokenList, WantedModelBody, WorkBody, WorkFilter, WorkList,
};
use super::refusal::{Body, Parameters, Refusal, Segments};

const NUMBER: RangeInclusive<No> = 1..=HIGHEST_NO;
const TTL_SECONDS: RangeInclusive<u64> = 1..=30 * 24 * 3600;
const MAX_USES: RangeInclusive<u32> = 1..=100_000;
pub(super) const LIMIT: RangeInclusive<u32> = 1..=1000;
const PRIORITY: RangeInclusive<i64> = -1000..=1000;
const TIMEOUT: RangeInclusive<u64> = 1..=86_400;
const RETRIES: RangeInclusive<u32> = 0..=5;
/// The same numbers as above: those that every reader of JSON can tell apart.
const SIZE: RangeInclusive<u64> = 1..=(1 << 53) - 1;
const LABELS: usize = 64;
pub(super) const DEFAULT_LIMIT: u32 = 100;

const LIVENESSES: [Liveness; 4] = [Liveness::Online, Liveness::Delayed, Liveness::Offline, Liveness::Never];

pub(super) type Asked<S> = State<Arc<Core<S>>>;
pub(super) type By = Extension<Tenant>;
pub(super) type Answer<T> = Result<Json<T>, Refusal>;
type Created<T> = Result<(StatusCode, Json<T>), Refusal>;

fn created<T>(body: impl Into<T>) -> Created<T> {
    Ok((StatusCode::CREATED, Json(body.into())))
}

/// The vendor in a path. One that is unknown names no agent.
fn vendor_segment(name: &str) -> Result<Vendor, Refusal> {
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
    faults.none_or(Some(()))?;
    let agents = core
        .agents(tenant)
        .into_iter()
        .filter(|view| vendor.is_none_or(|vendor| vendor == Some(view.agent.vendor)))
        .filter(|view| status.is_none_or(|status| status == Some(view.liveness)))
        .map(AgentBody::from)
        .collect();
    Ok(Json(AgentList { agents }))
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
    faults.range("priority", body.priority, &PRIORITY);
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
    let (limit, agent) =
        narrowed(&core, tenant, filter.limit, filter.vendor.as_ref(), filter.agent.as_ref())?;
    let work = core.work(tenant, agent, limit).await?;
    let work = work
        .into_iter()
        .map(|view| {
            let agent = core.agent_numbered(tenant, view.work.agent);
            WorkBody::new(view, agent.as_ref())
        })
        .collect();
    Ok(Json(WorkList { work }))
}

pub(super) async fn issue_token<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Body(body): Body<NewTokenBody>,
) -> Created<TokenCreated> {
    let mut faults = Faults::default();
    let vendor = faults.vendor("vendor", &body.vendor);
    faults.range("ttl_seconds", body.ttl_seconds, &TTL_SECONDS);
    faults.range("max_uses", body.max_uses, &MAX_USES);
    let vendor = faults.none_or(vendor)?;
    let ttl = Duration::from_secs(body.ttl_seconds);
    let (token, text) = core.issue_token(tenant, vendor, ttl, body.max_uses).await?;
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

pub(super) async fn add_model<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Body(body): Body<NewModelBody>,
) -> Created<ModelBody> {
    let mut faults = Faults::default();
    faults.optional_text("id", body.id.as_deref());
    faults.text("name", &body.name);
    faults.text("version", &body.version);
    faults.url("download_url", &body.download_url);
    faults.optional_text("file_ext", body.file_ext.as_deref());
    if let Some(label_map) = &body.label_map {
        faults.label_map("label_map", label_map);
    }
    let model = faults.none_or(Some(NewModel {
        id: body.id,
        name: body.name,
        version: body.version,
        download_url: body.download_url,
        file_ext: body.file_ext,
        label_map: body.label_map,
    }))?;
    created(core.add_model(tenant, model).await?)
}

pub(super) async fn add_release<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Body(body): Body<NewReleaseBody>,
) -> Created<ReleaseBody> {
    let mut faults = Faults::default();
    faults.text("version", &body.version);
    faults.text("os", &body.os);
    faults.text("arch", &body.arch);
    let sha256 = unhex(&body.sha256);
    if sha256.is_none() {
        faults.add("sha256", "must be 64 hex digits");
    }
    faults.range("size", body.size, &SIZE);
    faults.url("download_url", &body.download_url);
    let sha256 = faults.none_or(sha256)?;
    let release = NewRelease {
        version: body.version,
        os: body.os,
        arch: body.arch,
        sha256,
        size: body.size,
        download_url: body.download_url,
        mandatory: body.mandatory,
    };
    created(core.add_release(tenant, release).await?)
}

pub(super) async fn release_key<S: Store>(State(core): Asked<S>) -> Json<ReleaseKeyBody> {
    let public_key = core.release_key().to_owned();
    Json(ReleaseKeyBody { algorithm: "ed25519".to_owned(), public_key })
}
