use std::collections::BTreeMap;

use fleetwire_protocol::agentmc::{
    AgentNo, AgentReport, AgentSummary, CommandPayload, Heartbeat, HeartbeatRequest, HeartbeatResponse, Host,
    HostStatus, RuntimeCommand, RuntimeUpdate, UpdateStatus,
};
use fleetwire_protocol::wire::{FreeMap, Number, OrNull, TextOr, Timestamp};
use fleetwire_protocol::{Call, Fault, Place, Subject};
use fleetwire_validation::Checked;
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
        let Call { params, body: request } = call.into_inner();
        let mut reported: Vec<_> = request.reported_agents().map(hosted).collect();
        if let Some(agent) = &params.agent {
            take_from_path(&mut reported, agent, request.agent.is_some())?;
        }
        let own = self.own_agent(scope);
        if let Some(own) = &own {
            keep_to(own.no(), &mut reported)?;
        }
        // The rules have seen to it that one of the two is there; the body wins.
        let fingerprint = request.host.fingerprint.clone().or(params.fingerprint).ok_or(Fault::Internal)?;
        let mut stable = facts(&request)?;
        let volatile: Vec<_> = VOLATILE.iter().filter_map(|name| stable.remove_entry(*name)).collect();
        let now = self.now();

        let report = HostReport {
            tenant: scope.tenant,
            bound: scope.agent.filter(|_| own.is_none()),
            fingerprint: fingerprint.as_str().to_owned(),
            host: Observation {
                name: Some(request.host.name.clone()),
                version: Some(request.host.meta.runtime.version.clone()),
                facts: stable,
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
        let HostNow { record, mut answer, said, agents, all, commands } = self.report_host(report).await?;

        let meta = &request.host.meta;
        #[expect(clippy::cast_precision_loss, reason = "a second in a hundred million years")]
        let up = meta.uptime_seconds as f64;
        self.sight(&record, &sightings::Host { name: Some(&meta.hostname), up: Some(up) });
        self.renew(&record, host_report(&request));
        for (record, _) in agents.iter().flatten() {
            self.sight(record, &sightings::Host { name: Some(answer.fingerprint.as_str()), up: None });
            self.renew(record, agent_report(&request));
        }
        let online = all
            .iter()
            .filter_map(|no| self.registry.agent(*no))
            .filter(|record| matches!(self.liveness(record), Liveness::Online | Liveness::Delayed))
            .count();

        answer.last_seen_at = OrNull(Some(Timestamp::seconds(now)));
        answer.meta = OrNull(Some(FreeMap(said.into_iter().chain(volatile).collect())));
        answer.agents_total = i64::try_from(all.len()).unwrap_or(i64::MAX);
        answer.agents_online = i64::try_from(online).unwrap_or(i64::MAX);
        answer.agent_runtime = Some(request.meta.runtime.name.clone());
        answer.agent_runtime_version = Some(request.meta.runtime.version.clone());

        // Both generations are answered alike (D-1): a peer passes over what it does not know.
        let mut response = HeartbeatResponse::new(Timestamp::seconds(now), Some(answer));
        response.defaults = Some(self.defaults());
        response.host_runtime_commands = commands.iter().filter_map(command).collect();
        let told: Vec<_> = agents.into_iter().map(|agent| agent.map(|(_, summary)| summary)).collect();
        if request.agent.is_some() {
            response.agent = told.first().cloned().flatten();
        }
        if !request.agents.is_empty() {
            response.agents = told.into_iter().flatten().collect();
        }
        Ok(response)
    }
}

/// A host as it now stands, and what it is to do.
struct HostNow {
    record: AgentRecord,
    /// It as it is told of itself, as far as its row goes.
    answer: Host,
    /// What it has said of itself that seldom changes.
    said: Map<String, Value>,
    /// The agents reported; `None` for those that there is no room for.
    agents: Vec<Option<(AgentRecord, AgentSummary)>>,
    all: Vec<No>,
    commands: Vec<Work>,
}

impl<S: Store> Core<S> {
    /// Takes a report; asks the store only if it says something new, or there may be commands for the host.
    async fn report_host(&self, mut report: HostReport) -> Result<HostNow, Fault> {
        let record = self.registry.named(report.tenant, Vendor::AgentMc, Kind::Host, &report.fingerprint);
        if let Some(record) = &record {
            // It cannot sign in with a key of its own any more, and no other key brings it back.
            let disabled = record.look(|row| row.disabled);
            if disabled || report.bound.is_some_and(|bound| bound != record.no()) {
                return Err(Fault::NotYours(Subject::Host));
            }
            let is_quiet =
                report.updates.is_empty() && !(report.commands && record.lease().has_work(self.now()));
            if is_quiet && let Some((agents, all)) = self.known_on(record, &report) {
                let said = std::mem::take(&mut report.host.facts);
                let (answer, commands) = (record.look(told_of), Vec::new());
                return Ok(HostNow { record: record.clone(), answer, said, agents, all, commands });
            }
        }
        let said = report.host.facts.clone();
        let updates: Vec<_> = report.updates.iter().map(|update| update.no).collect();
        let is_handed_commands = report.commands;
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
                    self.registry.put_member(agent.clone());
                    let record = self.registry.agent(agent.no)?;
                    let summary = record.look(summary);
                    Some((record, summary))
                };
                let record = self.registry.put(host);
                let agents = agents.into_iter().map(|agent| agent.and_then(put)).collect();
                self.registry.set_members(record.no(), all.clone());
                let answer = record.look(told_of);
                Ok(HostNow { record, answer, said, agents, all, commands: handed_over.work })
            }
            Hosted::OtherHost => Err(Fault::NotYours(Subject::Host)),
            Hosted::OtherAgent => Err(Fault::NotYours(Subject::Agent)),
            Hosted::UnknownAgent => Err(Fault::Unknown(Subject::Agent)),
            Hosted::Full => Err(Fault::Conflict("the plan allows no more hosts")),
        }
    }

    /// The agents reported and all agents of the host, if the report says of each and of the host just what is known
    /// already.
    #[expect(clippy::type_complexity, reason = "as it stands in the host now")]
    fn known_on(
        &self,
        host: &AgentRecord,
        report: &HostReport,
    ) -> Option<(Vec<Option<(AgentRecord, AgentSummary)>>, Vec<No>)> {
        if host.look(|row| row.is_changed_by(&report.host)) {
            return None;
        }
        let all = self.registry.members(host.no())?;
        let keys = report.agents.iter().filter(|agent| agent.no.is_none()).map(|agent| agent.key.as_str());
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
        let has_room = report.limits.has_room_on_host(all.len());
        let mut agents = Vec::with_capacity(report.agents.len());
        for reported in &report.agents {
            let known = match reported.no {
                Some(no) => Some(self.registry.agent(no)?),
                None => by_key.get(reported.key.as_str()).cloned().flatten(),
            };
            let Some(known) = known else {
                if has_room {
                    return None;
                }
                agents.push(None);
                continue;
            };
            let summary = known.look(|row| {
                let same = row.tenant == report.tenant
                    && row.vendor == Vendor::AgentMc
                    && row.kind == Kind::Agent
                    && row.parent == Some(host.no())
                    && all.contains(&row.no);
                (same && !row.is_changed_by(&reported.seen)).then(|| summary(row))
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
    let figures: Vec<_> = figures.into_iter().filter_map(|(name, figure)| Some((name, figure?))).collect();
    let runtime = format!("{} {}", meta.runtime.name, meta.runtime.version);
    PackedReport::new(None, figures.into_iter(), [("runtime", runtime.as_str())].into_iter())
}

/// A host as it is told of itself.
fn told_of(host: &AgentLook<'_>) -> Host {
    let mut told = Host::new(host.no, host.tenant, host.name(), host.id(), HostStatus::Online);
    told.created_at = OrNull(Some(Timestamp::seconds(host.created_at())));
    told.updated_at = OrNull(Some(Timestamp::seconds(host.updated_at())));
    told
}

fn summary(agent: &AgentLook<'_>) -> AgentSummary {
    let mut summary = AgentSummary::new(agent.no, agent.name());
    summary.kind = agent.text("type").map(str::to_owned);
    summary.runtime_key = agent.text(HOSTED_KEY).map(str::to_owned);
    summary
}
