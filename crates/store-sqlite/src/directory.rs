use chrono::{DateTime, Utc};
use fleetwire_server_core::domain::{
    Agent, Announced, Credential, Delivery, HIGHEST_NO, HandedOver, HostReport, Hosted, Kind, NewAgent, No,
    Observation, Standing, Vendor,
};
use fleetwire_server_core::events::NewEvent;
use fleetwire_server_core::keys::Digest;
use fleetwire_server_core::store::{Directory, Outcome, StoreError};
use rusqlite::{Connection, params};

use crate::SqliteStore;
use crate::error::Done;
use crate::events::tell;
use crate::keys::{add_key, end_keys, find_key};
use crate::rows::{Column, Columns, agent, agent_columns, all, find_agent, first};
use crate::work::call_off_all;
use crate::work::{hand_over, tell_command};

impl Directory for SqliteStore {
    async fn credential(&self, digest: Digest) -> Outcome<Option<Credential>> {
        self.read(move |connection| find_key(connection, digest)).await
    }

    async fn agent(&self, no: No) -> Outcome<Option<Agent>> {
        self.read(move |connection| find_agent(connection, no)).await
    }

    async fn agent_named(
        &self,
        tenant: No,
        vendor: Vendor,
        kind: Kind,
        id: String,
    ) -> Outcome<Option<Agent>> {
        self.read(move |connection| find_named(connection, tenant, vendor, kind, &id)).await
    }

    async fn register(&self, agent: NewAgent) -> Outcome<Agent> {
        self.write(move |connection| register_and_tell(connection, agent)).await
    }

    async fn announce(&self, agent: NewAgent, most: u64) -> Outcome<Announced> {
        self.write(move |connection| announce(connection, agent, most)).await
    }

    async fn observe(&self, no: No, seen: Observation, at: DateTime<Utc>) -> Outcome<Agent> {
        self.write(move |connection| observe(connection, known_agent(connection, no)?, seen, at)).await
    }

    async fn stand(&self, no: No, standing: Standing, at: DateTime<Utc>) -> Outcome<Agent> {
        self.write(move |connection| stand(connection, known_agent(connection, no)?, standing, at)).await
    }

    async fn report_host(&self, report: HostReport) -> Outcome<Hosted> {
        self.write(move |connection| report_host(connection, &report)).await
    }
}

pub(crate) fn known_agent(connection: &Connection, no: No) -> Done<Agent> {
    Ok(find_agent(connection, no)?.ok_or(StoreError::Missing("agent"))?)
}

pub(crate) fn find_named(
    connection: &Connection,
    tenant: No,
    vendor: Vendor,
    kind: Kind,
    id: &str,
) -> Done<Option<Agent>> {
    const SQL: &str = concat!(
        "SELECT ",
        agent_columns!(),
        " FROM agents WHERE tenant = ?1 AND vendor = ?2 AND kind = ?3 AND id = ?4"
    );
    let name = params![tenant, Column(vendor), Column(kind), id];
    first(connection, SQL, name, |row| agent(&mut Columns::of(row)))
}

fn check_parent(connection: &Connection, tenant: No, parent: Option<No>) -> Done<()> {
    let Some(parent) = parent else { return Ok(()) };
    let sql = "SELECT 1 FROM agents WHERE no = ?1 AND tenant = ?2";
    let known = first(connection, sql, [parent, tenant], |_| Ok(()))?;
    Ok(known.ok_or(StoreError::Missing("host"))?)
}

/// The number after the highest. A number that somebody else has as an id would be refused as an id.
fn next_agent(connection: &Connection, agent: &NewAgent) -> Done<No> {
    let sql = "SELECT max(no) FROM agents WHERE no < ?1";
    let highest: Option<No> = first(connection, sql, [HIGHEST_NO], |row| row.get(0))?.flatten();
    let mut no = highest.unwrap_or(0).max(0) + 1;
    while find_agent(connection, no)?.is_some()
        || agent.id.is_none()
            && find_named(connection, agent.tenant, agent.vendor, agent.kind, &no.to_string())?.is_some()
    {
        no += 1;
    }
    Ok(no)
}

pub(crate) fn register(connection: &Connection, mut agent: NewAgent) -> Done<Agent> {
    let no = match agent.no {
        Some(no) if find_agent(connection, no)?.is_some() => return Err(StoreError::Taken("number").into()),
        Some(no) => no,
        None => next_agent(connection, &agent)?,
    };
    let key = agent.key.take();
    let agent = agent.into_agent(no);
    if find_named(connection, agent.tenant, agent.vendor, agent.kind, &agent.id)?.is_some() {
        return Err(StoreError::Taken("id").into());
    }
    check_parent(connection, agent.tenant, agent.parent)?;
    connection
        .prepare_cached(
            "INSERT INTO agents (no, tenant, vendor, kind, id, parent, hosted_key, name, version, facts, labels,
                 disabled, activated, desired_model, current_model, rotation, rotating, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?
        .execute(params![
            agent.no,
            agent.tenant,
            Column(agent.vendor),
            Column(agent.kind),
            agent.id,
            agent.parent,
            agent.hosted_key(),
            agent.name,
            agent.version,
            Column(&agent.facts),
            Column(&agent.labels),
            agent.disabled,
            agent.activated,
            agent.desired_model,
            agent.current_model,
            agent.rotation,
            agent.rotating,
            Column(agent.created_at),
            Column(agent.updated_at),
        ])?;
    if let Some(digest) = key {
        add_key(connection, digest, bound_to(&agent))?;
    }
    Ok(agent)
}

fn register_and_tell(connection: &Connection, agent: NewAgent) -> Done<Agent> {
    let agent = register(connection, agent)?;
    tell(connection, [NewEvent::registered(&agent, agent.created_at)])?;
    Ok(agent)
}

fn announce(connection: &Connection, agent: NewAgent, most: u64) -> Done<Announced> {
    let known = match agent.id.as_deref() {
        Some(id) => find_named(connection, agent.tenant, agent.vendor, agent.kind, id)?,
        None => None,
    };
    let Some(row) = known else {
        let sql = "SELECT agents FROM fleets WHERE tenant = ?1";
        let size: Option<i64> = first(connection, sql, [agent.tenant], |row| row.get(0))?;
        if size.is_some_and(|size| u64::try_from(size).is_ok_and(|size| size >= most)) {
            return Ok(Announced::Full);
        }
        return Ok(Announced::New(register_and_tell(connection, agent)?));
    };
    let seen = agent.observation();
    if row.disabled || !seen.changes(&row) {
        return Ok(Announced::Known(row));
    }
    Ok(Announced::Known(observe(connection, row, seen, agent.at)?))
}

/// A key of this agent.
pub(crate) fn bound_to(agent: &Agent) -> Credential {
    Credential { tenant: agent.tenant, vendor: agent.vendor, agent: Some(agent.no), candidate: false }
}

/// Writes what can change of an agent.
pub(crate) fn put(connection: &Connection, agent: &Agent) -> Done<()> {
    connection
        .prepare_cached(
            "UPDATE agents SET parent = ?2, hosted_key = ?3, name = ?4, version = ?5, facts = ?6, labels = ?7,
                 disabled = ?8, activated = ?9, desired_model = ?10, current_model = ?11, rotation = ?12,
                 rotating = ?13, updated_at = ?14, desired_at = ?15, departed = ?16, turns = ?17
             WHERE no = ?1",
        )?
        .execute(params![
            agent.no,
            agent.parent,
            agent.hosted_key(),
            agent.name,
            agent.version,
            Column(&agent.facts),
            Column(&agent.labels),
            agent.disabled,
            agent.activated,
            agent.desired_model,
            agent.current_model,
            agent.rotation,
            agent.rotating,
            Column(agent.updated_at),
            agent.desired_at.map(Column),
            agent.departed.map(Column),
            agent.turns,
        ])?;
    Ok(())
}

fn observe(connection: &Connection, mut agent: Agent, seen: Observation, at: DateTime<Utc>) -> Done<Agent> {
    check_parent(connection, agent.tenant, seen.parent)?;
    let version = agent.version.clone();
    seen.apply(&mut agent, at);
    put(connection, &agent)?;
    tell(connection, NewEvent::version_changed(version.as_deref(), &agent, at))?;
    Ok(agent)
}

/// Has an agent stand so; one that leaves loses its keys, and its open work is called off.
pub(crate) fn stand(
    connection: &Connection,
    mut agent: Agent,
    standing: Standing,
    at: DateTime<Utc>,
) -> Done<Agent> {
    if agent.stand(standing, at) {
        put(connection, &agent)?;
        tell(connection, [NewEvent::stands(&agent, at)])?;
        if standing.is_final() {
            end_keys(connection, agent.no)?;
            call_off_all(connection, agent.no, at)?;
        }
    }
    Ok(agent)
}

fn report_host(connection: &Connection, report: &HostReport) -> Done<Hosted> {
    let known = find_named(connection, report.tenant, Vendor::AgentMc, Kind::Host, &report.fingerprint)?;
    let known_no = known.as_ref().map(|host| host.no);
    if report.bound.is_some() && report.bound != known_no {
        return Ok(Hosted::OtherHost);
    }
    // Everything that may refuse is looked at before anything is written: a refusal is no failure, and so is
    // not undone.
    for no in report.agents.iter().filter_map(|agent| agent.no) {
        let agent = find_agent(connection, no)?.filter(|agent| {
            agent.tenant == report.tenant && agent.vendor == Vendor::AgentMc && agent.kind == Kind::Agent
        });
        let Some(agent) = agent else { return Ok(Hosted::UnknownAgent) };
        if report.bound.is_some() && agent.parent.is_some() && agent.parent != known_no {
            return Ok(Hosted::OtherAgent);
        }
    }

    if known.is_none() && !has_room(connection, report)? {
        return Ok(Hosted::Full);
    }

    let host = match known {
        Some(host) if report.host.changes(&host) => {
            observe(connection, host, report.host.clone(), report.at)?
        }
        Some(host) => host,
        None => register_and_tell(connection, report.new_host())?,
    };
    let mut on_host: usize = {
        let sql = "SELECT count(*) FROM agents WHERE parent = ?1";
        let count: Option<i64> = first(connection, sql, [host.no], |row| row.get(0))?;
        usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX)
    };
    let mut numbers = Vec::new();
    for hosted in &report.agents {
        let no = match hosted.no {
            Some(no) => Some(no),
            None => first(
                connection,
                "SELECT no FROM agents WHERE parent = ?1 AND hosted_key = ?2 ORDER BY no LIMIT 1",
                params![host.no, hosted.key],
                |row| row.get(0),
            )?,
        };
        let known = no.map(|no| known_agent(connection, no)).transpose()?;
        if known.as_ref().is_none_or(|agent| agent.parent != Some(host.no)) {
            let is_left_out =
                !report.limits.has_room_on_host(on_host) || known.is_none() && !has_room(connection, report)?;
            if is_left_out {
                numbers.push(None);
                continue;
            }
            on_host += 1;
        }
        let Some(agent) = known else {
            numbers.push(Some(register_and_tell(connection, report.new_agent(hosted, host.no))?.no));
            continue;
        };
        let no = agent.no;
        let seen = hosted.observation(host.no);
        if seen.changes(&agent) {
            observe(connection, agent, seen, report.at)?;
        }
        numbers.push(Some(no));
    }
    let told = report.updates.iter().map(|update| tell_command(connection, report, host.no, update));
    let told = told.collect::<Done<_>>()?;
    let handed_over = match report.commands {
        true => hand_over(connection, host.no, Delivery::All, report.at)?,
        false => HandedOver::default(),
    };
    let on_host = "SELECT no FROM agents WHERE parent = ?1 ORDER BY no";
    let agent = |no: Option<No>| no.map(|no| known_agent(connection, no)).transpose();
    Ok(Hosted::Taken {
        agents: numbers.into_iter().map(agent).collect::<Done<_>>()?,
        all: all(connection, on_host, [host.no], |row| row.get(0))?,
        host,
        told,
        handed_over,
    })
}

/// Whether the tenant of a host may have another agent.
fn has_room(connection: &Connection, report: &HostReport) -> Done<bool> {
    let sql = "SELECT agents FROM fleets WHERE tenant = ?1";
    let size: Option<i64> = first(connection, sql, [report.tenant], |row| row.get(0))?;
    Ok(report.limits.has_room(u64::try_from(size.unwrap_or(0)).unwrap_or(0)))
}
