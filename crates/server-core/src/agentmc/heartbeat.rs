use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fleetwire_protocol::agentmc::{
    AgentNo, AgentReport, AgentSummary, CommandPayload, Heartbeat, HeartbeatRequest, HeartbeatResponse, Host,
    HostStatus, RuntimeCommand, RuntimeUpdate, UpdateStatus,
};
use fleetwire_protocol::wire::{FreeMap, Number, OrNull, TextOr, Timestamp};
use fleetwire_protocol::{Call, Fault, Place, Subject};
use fleetwire_validation::Checked;
use serde::Serialize;
use serde_json::{Map, Value};

use super::bad_parameter;
use crate::core::{KeyScope, internal};
use crate::domain::{
    Agent, CommandUpdate, HOSTED_KEY, HandedOver, HostLimits, HostReport, Hosted, HostedAgent, Kind, No,
    Observation, Reported, Vendor, Work, WorkEvent,
};
use crate::lease::{Liveness, PackedReport};
use crate::packed::AgentLook;
use crate::registry::AgentRecord;
use crate::sightings;
use crate::store::Store;
use crate::{Core, Handle, Origin};

/// Facts of a host that change all the time: they travel with the lease.
const VOLATILE: [&str; 2] = ["uptime_seconds", "disk"];

impl<S: Store> Handle<Heartbeat> for Core<S> {
    async fn handle(
        &self,
        scope: KeyScope,
        _: &Origin<'_>,
        call: Checked<Heartbeat>,
    ) -> Result<HeartbeatResponse, Fault> {
        let now = call.at();
        let Call { params, body: mut request } = call.into_inner();
        let mut numbers: Vec<_> = request.reported_agents().map(|agent| agent.id).collect();
        if let Some(agent) = &params.agent {
            take_from_path(&mut numbers, agent, request.agent.is_some())?;
        }
        let own = self.own_agent(scope);
        if let Some(own) = &own {
            keep_to(own.no(), &mut numbers)?;
        }
        // The rules have seen to it that one of the two is there; the body wins.
        let fingerprint = request.host.fingerprint.take().or(params.fingerprint).ok_or(Fault::Internal)?;
        let told = Told {
            tenant: scope.tenant,
            bound: scope.agent.filter(|_| own.is_none()),
            fingerprint: fingerprint.as_str(),
            request: &request,
            numbers: &numbers,
            // The commands of a host are no business of a single agent on it.
            updates: if own.is_none() { updates(&request) } else { Vec::new() },
            commands: own.is_none(),
            limits: HostLimits {
                on_host: self.config.agents_per_host,
                in_tenant: self.config.agents_per_tenant,
            },
            at: now,
        };
        let HostNow { record, created_at, updated_at, agents, all, commands } =
            self.report_host(told).await?;

        let meta = &request.host.meta;
        #[expect(clippy::cast_precision_loss, reason = "a second in a hundred million years")]
        let up = meta.uptime_seconds as f64;
        self.sight(&record, &sightings::Host { name: Some(&meta.hostname), up: Some(up) }, now);
        self.renew(&record, host_report(&request), now);
        for (record, _) in agents.iter().flatten() {
            self.sight(record, &sightings::Host { name: Some(fingerprint.as_str()), up: None }, now);
            self.renew(record, agent_report(&request), now);
        }
        let online = all
            .iter()
            .filter_map(|no| self.registry.agent(*no))
            .filter(|record| matches!(self.liveness(record, now), Liveness::Online | Liveness::Delayed))
            .count();

        // What is known of the host by now is what it has just said.
        let now = Timestamp::seconds(now);
        let mut answer =
            Host::new(record.no(), scope.tenant, request.host.name, fingerprint, HostStatus::Online);
        answer.created_at = OrNull(Some(Timestamp::seconds(created_at)));
        answer.updated_at = OrNull(Some(Timestamp::seconds(updated_at)));
        answer.last_seen_at = OrNull(Some(now.clone()));
        answer.meta = OrNull(Some(request.host.meta.into()));
        answer.agents_total = i64::try_from(all.len()).unwrap_or(i64::MAX);
        answer.agents_online = i64::try_from(online).unwrap_or(i64::MAX);
        answer.agent_runtime = Some(request.meta.runtime.name);
        answer.agent_runtime_version = Some(request.meta.runtime.version);

        // Both generations are answered alike (D-1): a peer passes over what it does not know.
        let mut response = HeartbeatResponse::new(now, Some(answer));
        response.defaults = Some(self.defaults());
        response.host_runtime_commands = commands.iter().filter_map(command).collect();
        let mut agents = agents.into_iter().map(|agent| agent.map(|(_, summary)| summary));
        if request.agents.is_empty() {
            response.agent = agents.next().flatten();
        } else {
            let agents: Vec<_> = agents.collect();
            response.agent = request.agent.and_then(|_| agents.first().cloned().flatten());
            response.agents = agents.into_iter().flatten().collect();
        }
        Ok(response)
    }
}

/// A heartbeat, and by whose key it comes.
struct Told<'a> {
    tenant: No,
    /// The host that the key is bound to, if it is.
    bound: Option<No>,
    fingerprint: &'a str,
    request: &'a HeartbeatRequest,
    /// The number of each agent reported, if it has one: by the body, the path, or the key.
    numbers: &'a [Option<No>],
    /// What became of commands.
    updates: Vec<CommandUpdate>,
    /// Whether open commands are handed over.
    commands: bool,
    limits: HostLimits,
    at: DateTime<Utc>,
}

impl<'a> Told<'a> {
    /// The agents reported, with their numbers.
    fn agents(&self) -> impl Iterator<Item = (Option<No>, &'a AgentReport)> {
        self.numbers.iter().copied().zip(self.request.reported_agents())
    }

    /// Whether it says of the host just what the row has. The same as an [`Observation`] of it would say, which most
    /// heartbeats are spared.
    fn is_known_of(&self, row: &AgentLook<'_>) -> bool {
        let host = &self.request.host;
        row.name() == host.name
            && row.version() == Some(&host.meta.runtime.version)
            && row.has_facts(&host.meta, &VOLATILE)
    }

    /// It as stores take it.
    fn report(self) -> Result<HostReport, Fault> {
        let host = &self.request.host;
        let mut facts = object(&host.meta)?;
        facts.retain(|name, _| !VOLATILE.contains(&name.as_str()));
        let hosted = |(no, agent): (_, &AgentReport)| {
            let seen = Observation {
                name: Some(agent.name.clone()),
                version: None,
                facts: object(&AgentFacts::of(agent))?,
                parent: None,
            };
            Ok(HostedAgent { no, key: key(agent).to_owned(), seen })
        };
        Ok(HostReport {
            tenant: self.tenant,
            bound: self.bound,
            fingerprint: self.fingerprint.to_owned(),
            host: Observation {
                name: Some(host.name.clone()),
                version: Some(host.meta.runtime.version.clone()),
                facts,
                parent: None,
            },
            agents: self.agents().map(hosted).collect::<Result<_, Fault>>()?,
            limits: self.limits,
            updates: self.updates,
            commands: self.commands,
            at: self.at,
        })
    }
}

/// A host as it now stands, and what it is to do.
struct HostNow {
    record: AgentRecord,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// The agents reported; `None` for those that there is no room for.
    agents: Vec<Option<(AgentRecord, AgentSummary)>>,
    all: Vec<No>,
    commands: Vec<Work>,
}

impl<S: Store> Core<S> {
    /// Takes a report; asks the store only if it says something new, or there may be commands for the host.
    async fn report_host(&self, told: Told<'_>) -> Result<HostNow, Fault> {
        let record = self.registry.named(told.tenant, Vendor::AgentMc, Kind::Host, told.fingerprint);
        if let Some(record) = &record {
            let (disabled, is_known, created_at, updated_at) =
                record.look(|row| (row.disabled, told.is_known_of(row), row.created_at(), row.updated_at()));
            // It cannot sign in with a key of its own any more, and no other key brings it back.
            if disabled || told.bound.is_some_and(|bound| bound != record.no()) {
                return Err(Fault::NotYours(Subject::Host));
            }
            let is_quiet = told.updates.is_empty() && !(told.commands && record.lease().has_work(told.at));
            if is_known
                && is_quiet
                && let Some((agents, all)) = self.known_on(record.no(), &told)
            {
                let (record, commands) = (record.clone(), Vec::new());
                return Ok(HostNow { record, created_at, updated_at, agents, all, commands });
            }
        }
        let is_handed_commands = told.commands;
        let report = told.report()?;
        let updates: Vec<_> = report.updates.iter().map(|update| update.no).collect();
        let call = || self.store.report_host(report);
        let hosted = match &record {
            Some(record) if is_handed_commands => {
                let hosted = self.handing_over(record, call, handed_over).await?;
                if !matches!(hosted, Hosted::Taken { .. }) {
                    // Nothing was looked at, so that there may be work still.
                    record.lease().expect_work(None);
                }
                hosted
            }
            _ => call().await.map_err(internal)?,
        };
        match hosted {
            Hosted::Taken { host, agents, all, told, handed_over } => {
                for (no, told) in updates.into_iter().zip(&told) {
                    note(&host, no, told);
                }
                let put = |agent: Agent| {
                    let record = self.registry.put_member(agent);
                    let summary = record.look(summary);
                    (record, summary)
                };
                let (created_at, updated_at) = (host.created_at, host.updated_at);
                let record = self.registry.put(host);
                let agents = agents.into_iter().map(|agent| agent.map(put)).collect();
                self.registry.set_members(record.no(), all.clone());
                Ok(HostNow { record, created_at, updated_at, agents, all, commands: handed_over.work })
            }
            Hosted::OtherHost => Err(Fault::NotYours(Subject::Host)),
            Hosted::OtherAgent => Err(Fault::NotYours(Subject::Agent)),
            Hosted::UnknownAgent => Err(Fault::Unknown(Subject::Agent)),
            Hosted::Full => Err(Fault::Conflict("the plan allows no more hosts")),
        }
    }

    /// The agents reported and all agents of the host, if of each agent just that is said which is known already.
    #[expect(clippy::type_complexity, reason = "as it stands in the host now")]
    fn known_on(
        &self,
        host: No,
        told: &Told<'_>,
    ) -> Option<(Vec<Option<(AgentRecord, AgentSummary)>>, Vec<No>)> {
        let all = self.registry.members(host)?;
        let keys = told.agents().filter(|(no, _)| no.is_none()).map(|(_, agent)| key(agent));
        let mut by_key: BTreeMap<_, Option<AgentRecord>> = keys.map(|key| (key, None)).collect();
        if !by_key.is_empty() {
            for member in all.iter().filter_map(|no| self.registry.agent(*no)) {
                // As in stores, the one with the lowest number has a key.
                member.look(|row| {
                    let place = row.text(HOSTED_KEY).and_then(|key| by_key.get_mut(key));
                    if let Some(place @ None) = place {
                        *place = Some(member.clone());
                    }
                });
            }
        }
        let has_room = told.limits.has_room_on_host(all.len());
        let mut agents = Vec::with_capacity(told.numbers.len());
        for (no, reported) in told.agents() {
            let known = match no {
                Some(no) => Some(self.registry.agent(no)?),
                None => by_key.get(key(reported)).cloned().flatten(),
            };
            let Some(known) = known else {
                if has_room {
                    return None;
                }
                agents.push(None);
                continue;
            };
            let summary = known.look(|row| {
                let same = row.tenant == told.tenant
                    && row.vendor == Vendor::AgentMc
                    && row.kind == Kind::Agent
                    && row.parent == Some(host)
                    && all.contains(&row.no)
                    && row.name() == reported.name
                    && row.has_facts(&AgentFacts::of(reported), &[]);
                same.then(|| summary(row))
            })?;
            agents.push(Some((known, summary)));
        }
        Some((agents, all))
    }
}

/// What a call has handed over to a host.
fn handed_over(hosted: &Hosted) -> &HandedOver {
    static NOTHING: HandedOver = HandedOver { work: Vec::new(), due: None, ended: Vec::new() };
    match hosted {
        Hosted::Taken { handed_over, .. } => handed_over,
        _ => &NOTHING,
    }
}

/// Gives the agent of the path to the body, where the older path names one (AM-1).
fn take_from_path(numbers: &mut [Option<No>], path: &AgentNo, is_single: bool) -> Result<(), Fault> {
    const PLACE: Place = Place::Path("agent");
    let no = path
        .number()
        .ok_or_else(|| bad_parameter(PLACE, "agentmc.heartbeat.path.agent", "must be the id of an agent"))?;
    match numbers {
        [first @ None, ..] if is_single => *first = Some(no),
        [only @ None] => *only = Some(no),
        [Some(first), ..] if is_single && *first == no => {}
        numbers if !is_single && numbers.contains(&Some(no)) => {}
        _ => {
            let message = "must be the agent that the body reports";
            return Err(bad_parameter(PLACE, "agentmc.heartbeat.path.agent", message));
        }
    }
    Ok(())
}

/// The key of one agent is good for that agent and no other.
fn keep_to(own: No, numbers: &mut [Option<No>]) -> Result<(), Fault> {
    match numbers {
        [only] if only.is_none_or(|no| no == own) => {
            *only = Some(own);
            Ok(())
        }
        _ => Err(Fault::NotYours(Subject::Agent)),
    }
}

/// What a host says of its commands. A word that means neither end is noted and changes nothing.
fn updates(request: &HeartbeatRequest) -> Vec<CommandUpdate> {
    let event = |status: &UpdateStatus| match status {
        UpdateStatus::Completed => Some(WorkEvent::Succeed),
        UpdateStatus::Failed => Some(WorkEvent::Fail),
        _ => None,
    };
    let update = |update: &RuntimeUpdate| {
        let Some(event) = event(&update.status) else {
            tracing::warn!(
                command = update.id,
                status = update.status.as_str(),
                "an update of no known status"
            );
            return None;
        };
        let mut result = Map::new();
        if let Some(outcome) = &update.result {
            result.insert("result".to_owned(), outcome.0.clone().into_iter().collect());
        }
        if let Some(error) = &update.error {
            result.insert("error".to_owned(), Value::String(error.clone()));
        }
        let result = (!result.is_empty()).then_some(Value::Object(result));
        Some(CommandUpdate { no: update.id, event, result })
    };
    request.host_runtime_updates.iter().filter_map(update).collect()
}

/// Says of an update that changed nothing why it did not. A host keeps its updates until a heartbeat was taken, and one
/// that was refused for good would never come back: so none is refused.
fn note(host: &Agent, command: No, told: &Reported) {
    match told {
        Reported::Now(_) | Reported::Before(_) => {}
        Reported::Illegal(_, illegal) => {
            tracing::warn!(host = host.id, command, %illegal, "an update of a command that was not given yet");
        }
        // Of another tenant's nothing is said, as if there were none.
        Reported::NotYours | Reported::Unknown => {
            tracing::warn!(host = host.id, command, "an update of no command of this host");
        }
    }
}

/// A command as the host is told of it.
fn command(work: &Work) -> Option<RuntimeCommand> {
    match serde_json::from_value::<CommandPayload>(Value::Object(work.payload.clone())) {
        Ok(payload) => Some(RuntimeCommand::new(work.no, work.kind.as_str(), payload)),
        Err(error) => {
            // Wishes are looked at before they are taken.
            tracing::error!(work = work.id, %error, "a command cannot be told");
            None
        }
    }
}

/// What is said, as the facts of a row.
fn object(said: &impl Serialize) -> Result<Map<String, Value>, Fault> {
    match serde_json::to_value(said) {
        Ok(Value::Object(facts)) => Ok(facts),
        _ => Err(Fault::Internal),
    }
}

/// What an agent is said to be, under the names of its facts.
#[derive(Serialize)]
struct AgentFacts<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    emoji: Option<&'a str>,
    identity: &'a TextOr<FreeMap>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
}

impl<'a> AgentFacts<'a> {
    fn of(agent: &'a AgentReport) -> Self {
        Self { emoji: agent.emoji.as_deref(), identity: &agent.identity, kind: agent.kind.as_deref() }
    }
}

/// What tells an agent that has no number from the others on its host.
fn key(agent: &AgentReport) -> &str {
    let identity = agent.identity.as_other();
    identity.and_then(|identity| identity.get("agent_key")).and_then(Value::as_str).unwrap_or(&agent.name)
}

fn host_report(request: &HeartbeatRequest) -> PackedReport {
    let meta = &request.host.meta;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let metrics = [
        ("disk_free_bytes", meta.disk.free_bytes as f64),
        ("disk_total_bytes", meta.disk.total_bytes as f64),
        ("ram_gb", meta.ram_gb.get()),
        ("uptime_seconds", meta.uptime_seconds as f64),
    ];
    PackedReport::new(None, metrics.into_iter(), [].into_iter())
}

fn agent_report(request: &HeartbeatRequest) -> PackedReport {
    let meta = &request.meta;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let count = |count: Option<u64>| count.map(|count| count as f64);
    let share = |share: Option<Number>| share.map(Number::get);
    let figures = [
        ("cache_hit_rate_percent", share(meta.cache_hit_rate_percent)),
        ("context_percent_used", share(meta.context_percent_used)),
        ("context_tokens_used", count(meta.context_tokens_used)),
        ("queue_depth", count(meta.queue_depth)),
        ("tokens_in", count(meta.tokens_in)),
        ("tokens_out", count(meta.tokens_out)),
        ("usage_day_percent_left", share(meta.usage_day_percent_left)),
        ("usage_window_percent_left", share(meta.usage_window_percent_left)),
    ];
    let mut said = [("", 0.0); 8];
    let known = figures.into_iter().filter_map(|(name, figure)| Some((name, figure?)));
    let count = said.iter_mut().zip(known).map(|(place, figure)| *place = figure).count();
    let runtime = [&*meta.runtime.name, " ", &*meta.runtime.version].concat();
    PackedReport::new(None, said.into_iter().take(count), [("runtime", runtime.as_str())].into_iter())
}

fn summary(agent: &AgentLook<'_>) -> AgentSummary {
    let mut summary = AgentSummary::new(agent.no, agent.name());
    summary.kind = agent.text("type").map(str::to_owned);
    summary.runtime_key = agent.text(HOSTED_KEY).map(str::to_owned);
    summary
}
