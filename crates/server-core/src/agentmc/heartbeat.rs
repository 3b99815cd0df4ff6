use std::collections::BTreeMap;
use std::sync::Arc;

use fleetwire_protocol::agentmc::{
    AgentNo, AgentReport, AgentSummary, CommandPayload, Heartbeat, HeartbeatRequest, HeartbeatResponse, Host,
    HostStatus, RuntimeCommand, RuntimeUpdate, UpdateStatus,
};
use fleetwire_protocol::wire::{FreeMap, OrNull, TextOr, Timestamp};
use fleetwire_protocol::{Call, Fault, Place, Subject};
use fleetwire_validation::Checked;
use serde_json::{Map, Value};

use super::bad_parameter;
use crate::core::{KeyScope, internal};
use crate::domain::{
    Agent, CommandUpdate, HandedOver, HostLimits, HostReport, Hosted, HostedAgent, Kind, No, Observation,
    Reported, Vendor, Work, WorkEvent,
};
use crate::lease::{Liveness, Report};
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
        let Call { params, body: request } = call.into_inner();
        let mut reported: Vec<_> = request.reported_agents().map(hosted).collect();
        if let Some(agent) = &params.agent {
            take_from_path(&mut reported, agent, request.agent.is_some())?;
        }
        let own = self.own_agent(scope);
        if let Some(own) = &own {
            keep_to(own.agent().no, &mut reported)?;
        }
        // The rules have seen to it that one of the two is there; the body wins.
        let fingerprint = request.host.fingerprint.clone().or(params.fingerprint).ok_or(Fault::Internal)?;
        let meta = facts(&request)?;
        let now = self.now();

        let stable = meta.iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str()));
        let report = HostReport {
            tenant: scope.tenant,
            bound: scope.agent.filter(|_| own.is_none()),
            fingerprint: fingerprint.as_str().to_owned(),
            host: Observation {
                name: Some(request.host.name.clone()),
                version: Some(request.host.meta.runtime.version.clone()),
                facts: stable.map(|(name, value)| (name.clone(), value.clone())).collect(),
                parent: None,
            },
            agents: reported,
            limits: HostLimits {
                on_host: self.config.agents_per_host,
                in_tenant: self.config.agents_per_tenant,
            },
            // The commands of a host are no business of a single agent on it.
            updates: if own.is_none() { updates(&request) } else { Vec::new() },
            commands: own.is_none(),
            at: now,
        };
        let HostNow { host, agents, all, commands } = self.report_host(report).await?;

        if let Some(record) = self.registry.agent(host.no) {
            let meta = &request.host.meta;
            #[expect(clippy::cast_precision_loss, reason = "a second in a hundred million years")]
            let up = meta.uptime_seconds as f64;
            self.sight(&record, &sightings::Host { name: Some(&meta.hostname), up: Some(up) });
            self.renew(&record, host_report(&request));
        }
        for agent in agents.iter().flatten() {
            if let Some(record) = self.registry.agent(agent.no) {
                self.sight(&record, &sightings::Host { name: Some(&host.id), up: None });
                self.renew(&record, agent_report(&request));
            }
        }
        let online = all
            .iter()
            .filter_map(|no| self.registry.agent(*no))
            .filter(|record| matches!(self.liveness(record), Liveness::Online | Liveness::Delayed))
            .count();

        let mut answer =
            Host::new(host.no, host.tenant, host.name.as_str(), host.id.as_str(), HostStatus::Online);
        answer.last_seen_at = OrNull(Some(Timestamp::seconds(now)));
        answer.meta = OrNull(Some(FreeMap(meta.into_iter().collect())));
        answer.agents_total = i64::try_from(all.len()).unwrap_or(i64::MAX);
        answer.agents_online = i64::try_from(online).unwrap_or(i64::MAX);
        answer.created_at = OrNull(Some(Timestamp::seconds(host.created_at)));
        answer.updated_at = OrNull(Some(Timestamp::seconds(host.updated_at)));
        answer.agent_runtime = Some(request.meta.runtime.name.clone());
        answer.agent_runtime_version = Some(request.meta.runtime.version.clone());

        // Both generations are answered alike (D-1): a peer passes over what it does not know.
        let mut response = HeartbeatResponse::new(Timestamp::seconds(now), Some(answer));
        response.defaults = Some(self.defaults());
        response.host_runtime_commands = commands.iter().filter_map(command).collect();
        if request.agent.is_some() {
            response.agent = agents.first().and_then(Option::as_ref).map(summary);
        }
        if !request.agents.is_empty() {
            response.agents = agents.iter().flatten().map(summary).collect();
        }
        Ok(response)
    }
}

/// A host as it now stands, and what it is to do.
struct HostNow {
    host: Agent,
    /// The agents reported; `None` for those that there is no room for.
    agents: Vec<Option<Agent>>,
    all: Vec<No>,
    commands: Vec<Work>,
}

impl<S: Store> Core<S> {
    /// Takes a report; asks the store only if it says something new, or there may be commands for the host.
    async fn report_host(&self, report: HostReport) -> Result<HostNow, Fault> {
        let record = self.registry.named(report.tenant, Vendor::AgentMc, Kind::Host, &report.fingerprint);
        if let Some(record) = &record {
            // It cannot sign in with a key of its own any more, and no other key brings it back.
            let host = record.agent();
            if host.disabled || report.bound.is_some_and(|bound| bound != host.no) {
                return Err(Fault::NotYours(Subject::Host));
            }
            let is_quiet =
                report.updates.is_empty() && !(report.commands && record.lease.has_work(self.now()));
            if is_quiet && let Some(known) = self.known_host(&host, &report) {
                return Ok(known);
            }
        }
        let updates: Vec<_> = report.updates.iter().map(|update| update.no).collect();
        let is_handed_commands = report.commands;
        let call = || self.store.report_host(report);
        let hosted = match &record {
            Some(record) if is_handed_commands => {
                let hosted = self.handing_over(record, call, handed_over).await?;
                if !matches!(hosted, Hosted::Taken { .. }) {
                    // Nothing was looked at, so that there may be work still.
                    record.lease.expect_work(None);
                }
                hosted
            }
            _ => call().await.map_err(internal)?,
        };
        match hosted {
            Hosted::Taken { host, agents, all, told, handed_over } => {
                self.registry.put(host.clone());
                for agent in agents.iter().flatten() {
                    self.registry.put_member(agent.clone());
                }
                self.registry.set_members(host.no, all.clone());
                for (no, told) in updates.into_iter().zip(&told) {
                    note(&host, no, told);
                }
                Ok(HostNow { host, agents, all, commands: handed_over.work })
            }
            Hosted::OtherHost => Err(Fault::NotYours(Subject::Host)),
            Hosted::OtherAgent => Err(Fault::NotYours(Subject::Agent)),
            Hosted::UnknownAgent => Err(Fault::Unknown(Subject::Agent)),
            Hosted::Full => Err(Fault::Conflict("the plan allows no more hosts")),
        }
    }

    /// Host and agents, if the report says of each just what is known already.
    fn known_host(&self, host: &Arc<Agent>, report: &HostReport) -> Option<HostNow> {
        if report.host.changes(host) {
            return None;
        }
        let all = self.registry.members(host.no)?;
        // As in stores, the one with the lowest number has a key.
        let by_key: BTreeMap<_, _> = if report.agents.iter().all(|agent| agent.no.is_some()) {
            BTreeMap::new()
        } else {
            let members = all.iter().rev().filter_map(|no| self.registry.agent(*no));
            members.filter_map(|member| Some((member.agent().hosted_key()?.to_owned(), member))).collect()
        };
        let has_room = report.limits.has_room_on_host(all.len());
        let mut agents = Vec::with_capacity(report.agents.len());
        for reported in &report.agents {
            let known = match reported.no {
                Some(no) => Some(self.registry.agent(no)?),
                None => by_key.get(reported.key.as_str()).cloned(),
            };
            let Some(known) = known else {
                if has_room {
                    return None;
                }
                agents.push(None);
                continue;
            };
            let agent = known.agent();
            let same = agent.tenant == report.tenant
                && agent.vendor == Vendor::AgentMc
                && agent.kind == Kind::Agent
                && agent.parent == Some(host.no)
                && all.contains(&agent.no);
            if !same || reported.seen.changes(&agent) {
                return None;
            }
            agents.push(Some(Agent::clone(&agent)));
        }
        Some(HostNow { host: Agent::clone(host), agents, all, commands: Vec::new() })
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
fn take_from_path(reported: &mut [HostedAgent], path: &AgentNo, is_single: bool) -> Result<(), Fault> {
    const PLACE: Place = Place::Path("agent");
    let no = path
        .number()
        .ok_or_else(|| bad_parameter(PLACE, "agentmc.heartbeat.path.agent", "must be the id of an agent"))?;
    match reported {
        [first, ..] if is_single && first.no.is_none() => first.no = Some(no),
        [only] if only.no.is_none() => only.no = Some(no),
        [first, ..] if is_single && first.no == Some(no) => {}
        reported if !is_single && reported.iter().any(|agent| agent.no == Some(no)) => {}
        _ => {
            let message = "must be the agent that the body reports";
            return Err(bad_parameter(PLACE, "agentmc.heartbeat.path.agent", message));
        }
    }
    Ok(())
}

/// The key of one agent is good for that agent and no other.
fn keep_to(own: No, reported: &mut [HostedAgent]) -> Result<(), Fault> {
    match reported {
        [only] if only.no.is_none_or(|no| no == own) => {
            only.no = Some(own);
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

/// The host's facts as an object.
fn facts(request: &HeartbeatRequest) -> Result<Map<String, Value>, Fault> {
    match serde_json::to_value(&request.host.meta) {
        Ok(Value::Object(facts)) => Ok(facts),
        _ => Err(Fault::Internal),
    }
}

fn hosted(agent: &AgentReport) -> HostedAgent {
    let identity = match &agent.identity {
        TextOr::Text(text) => Value::String(text.clone()),
        TextOr::Other(object) => object.0.clone().into_iter().collect(),
    };
    let key = identity.get("agent_key").and_then(Value::as_str).unwrap_or(&agent.name).to_owned();
    let mut facts = Map::new();
    facts.insert("identity".to_owned(), identity);
    for (name, text) in [("type", &agent.kind), ("emoji", &agent.emoji)] {
        if let Some(text) = text {
            facts.insert(name.to_owned(), Value::String(text.clone()));
        }
    }
    HostedAgent {
        no: agent.id,
        key,
        seen: Observation { name: Some(agent.name.clone()), version: None, facts, parent: None },
    }
}

fn host_report(request: &HeartbeatRequest) -> Report {
    let meta = &request.host.meta;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let metrics = [
        ("uptime_seconds", meta.uptime_seconds as f64),
        ("disk_total_bytes", meta.disk.total_bytes as f64),
        ("disk_free_bytes", meta.disk.free_bytes as f64),
        ("ram_gb", meta.ram_gb.get()),
    ];
    Report {
        metrics: metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Report::default()
    }
}

fn agent_report(request: &HeartbeatRequest) -> Report {
    let meta = &request.meta;
    let mut report = Report::default();
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let counts = [
        ("tokens_in", meta.tokens_in),
        ("tokens_out", meta.tokens_out),
        ("queue_depth", meta.queue_depth),
        ("context_tokens_used", meta.context_tokens_used),
    ]
    .map(|(name, count)| (name, count.map(|count| count as f64)));
    let shares = [
        ("context_percent_used", meta.context_percent_used),
        ("cache_hit_rate_percent", meta.cache_hit_rate_percent),
        ("usage_window_percent_left", meta.usage_window_percent_left),
        ("usage_day_percent_left", meta.usage_day_percent_left),
    ]
    .map(|(name, share)| (name, share.map(|share| share.get())));
    for (name, value) in counts.into_iter().chain(shares) {
        if let Some(value) = value {
            report.metrics.insert(name.to_owned(), value);
        }
    }
    report.notes.insert("runtime".to_owned(), format!("{} {}", meta.runtime.name, meta.runtime.version));
    report
}

fn summary(agent: &Agent) -> AgentSummary {
    let mut summary = AgentSummary::new(agent.no, agent.name.as_str());
    summary.kind = agent.facts.get("type").and_then(Value::as_str).map(str::to_owned);
    summary.runtime_key = agent.hosted_key().map(str::to_owned);
    summary
}
