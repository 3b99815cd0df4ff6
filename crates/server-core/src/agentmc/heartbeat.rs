use fleetwire_protocol::agentmc::{
    AgentReport, AgentSummary, Defaults, Heartbeat, HeartbeatRequest, HeartbeatResponse, Host, HostStatus,
};
use fleetwire_protocol::wire::{FreeMap, OrNull, TextOr, Timestamp};
use fleetwire_protocol::{Fault, Subject};
use fleetwire_validation::Checked;
use serde_json::{Map, Value};

use crate::core::{KeyScope, internal};
use crate::domain::{Agent, HostReport, Hosted, HostedAgent, Kind, No, Observation, Vendor};
use crate::lease::{Liveness, Report};
use crate::sightings;
use crate::store::Store;
use crate::{Core, Handle, Origin};

/// Facts of a host that change all the time: they travel with the lease.
const VOLATILE: [&str; 2] = ["uptime_seconds", "disk"];

/// The least that a peer of this vendor takes as an interval, in seconds.
const LEAST_INTERVAL: u64 = 5;

impl<S: Store> Handle<Heartbeat> for Core<S> {
    async fn handle(
        &self,
        scope: KeyScope,
        _: &Origin<'_>,
        call: Checked<Heartbeat>,
    ) -> Result<HeartbeatResponse, Fault> {
        let call = call.into_inner();
        let request = call.body;
        // The rules have seen to it that one of the two is there; the body wins.
        let fingerprint =
            request.host.fingerprint.clone().or(call.params.fingerprint).ok_or(Fault::Internal)?;
        let meta = facts(&request)?;
        let now = self.now();

        let stable = meta.iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str()));
        let report = HostReport {
            tenant: scope.tenant,
            bound: scope.agent,
            fingerprint: fingerprint.as_str().to_owned(),
            host: Observation {
                name: Some(request.host.name.clone()),
                version: Some(request.host.meta.runtime.version.clone()),
                facts: stable.map(|(name, value)| (name.clone(), value.clone())).collect(),
                parent: None,
            },
            agents: request.reported_agents().map(hosted).collect(),
            at: now,
        };
        let (host, agents, all) = self.hosts(report).await?;

        if let Some(record) = self.registry.agent(host.no) {
            let meta = &request.host.meta;
            #[expect(clippy::cast_precision_loss, reason = "a second in a hundred million years")]
            let up = meta.uptime_seconds as f64;
            self.sight(&record, &sightings::Host { name: Some(&meta.hostname), up: Some(up) });
            self.renew(&record, host_report(&request));
        }
        for agent in &agents {
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

        let mut response = HeartbeatResponse::new(Timestamp::seconds(now), Some(answer));
        let interval = self.config.agentmc.interval.as_secs().max(LEAST_INTERVAL);
        response.defaults = Some(Defaults::new(u32::try_from(interval).unwrap_or(u32::MAX)));
        let mut summaries: Vec<_> = agents.iter().map(summary).collect();
        if request.agents.is_empty() {
            response.agent = summaries.pop();
        } else {
            response.agents = summaries;
        }
        Ok(response)
    }
}

impl<S: Store> Core<S> {
    /// Host and agents as they now stand; asks the store only if the report says something new.
    async fn hosts(&self, report: HostReport) -> Result<(Agent, Vec<Agent>, Vec<No>), Fault> {
        if let Some(known) = self.known_hosts(&report) {
            return Ok(known);
        }
        match self.store.report_host(report).await.map_err(internal)? {
            Hosted::Taken { host, agents, all } => {
                self.registry.put(host.clone());
                for agent in &agents {
                    self.registry.put_member(agent.clone());
                }
                self.registry.set_members(host.no, all.clone());
                Ok((host, agents, all))
            }
            Hosted::OtherHost => Err(Fault::NotYours(Subject::Host)),
            Hosted::OtherAgent => Err(Fault::NotYours(Subject::Agent)),
            Hosted::UnknownAgent => Err(Fault::Unknown(Subject::Agent)),
        }
    }

    /// Host and agents, if the report says of each just what is known already.
    fn known_hosts(&self, report: &HostReport) -> Option<(Agent, Vec<Agent>, Vec<No>)> {
        let host =
            self.registry.named(report.tenant, Vendor::AgentMc, Kind::Host, &report.fingerprint)?.agent();
        if report.bound.is_some_and(|bound| bound != host.no) || report.host.changes(&host) {
            return None;
        }
        let all = self.registry.members(host.no)?;
        let mut agents = Vec::with_capacity(report.agents.len());
        for reported in &report.agents {
            // One without a number is looked up by the store, which keeps the key that it is known by.
            let agent = self.registry.agent(reported.no?)?.agent();
            let same = agent.tenant == report.tenant
                && agent.vendor == Vendor::AgentMc
                && agent.kind == Kind::Agent
                && agent.parent == Some(host.no)
                && all.contains(&agent.no);
            if !same || reported.seen.changes(&agent) {
                return None;
            }
            agents.push(Agent::clone(&agent));
        }
        Some((Agent::clone(&host), agents, all))
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
    if let Some(kind) = &agent.kind {
        facts.insert("type".to_owned(), Value::String(kind.clone()));
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
    summary
}
