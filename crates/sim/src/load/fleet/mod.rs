//! Who sends: simulated agents, each with an id and a key of its own, and the words of their dialects.

mod achilles;
mod acusight;
mod agentmc;
mod zstack;

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use fleetwire_protocol::codec::EncodeError;
use fleetwire_protocol::{Endpoint, achilles as achilles_wire, acusight as acusight_wire};
use fleetwire_protocol::{agentmc as agentmc_wire, zstack as zstack_wire};
use fleetwire_server_core::domain::Vendor;
use serde::{Deserialize, Serialize};

use super::engine::Target;
use super::template::{Base, Filling, Template};

/// What is sent, as a place in [`OPERATIONS`].
pub(super) type Operation = usize;

/// Every operation that simulated agents send.
pub(super) const OPERATIONS: [&str; 9] = [
    acusight_wire::Checkin::ID,
    zstack_wire::Heartbeat::ID,
    agentmc_wire::Heartbeat::ID,
    achilles_wire::Heartbeat::ID,
    achilles_wire::PollTasks::ID,
    achilles_wire::ReportResult::ID,
    acusight_wire::Provision::ID,
    zstack_wire::AutoRegisterHeartbeat::ID,
    achilles_wire::Enroll::ID,
];

pub(super) const ACUSIGHT_CHECKIN: Operation = 0;
pub(super) const ZSTACK_HEARTBEAT: Operation = 1;
pub(super) const AGENTMC_HEARTBEAT: Operation = 2;
pub(super) const ACHILLES_HEARTBEAT: Operation = 3;
pub(super) const ACHILLES_POLL: Operation = 4;
pub(super) const ACHILLES_RESULT: Operation = 5;
const ACUSIGHT_PROVISION: Operation = 6;
const ZSTACK_REGISTER: Operation = 7;
const ACHILLES_ENROLL: Operation = 8;

/// What an agent says that its version is.
const VERSION: &str = "1.0.0";

/// One simulated agent, as it is kept between runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Agent {
    /// What it calls itself.
    pub name: Box<str>,
    /// The id that it reports under. For AgentMC the fingerprint of its host.
    pub id: Box<str>,
    /// The key that it signs in with.
    pub key: Box<str>,
    /// The number that AgentMC's servers give the agent on the host; 0 where there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub number: u64,
    /// The model that an Acusight device was told to run; empty where it was told nothing.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub model: Box<str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde hands it over")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Agent {
    /// An agent that has a key.
    pub fn new(name: impl Into<Box<str>>, id: impl Into<Box<str>>, key: impl Into<Box<str>>) -> Self {
        Self { name: name.into(), id: id.into(), key: key.into(), number: 0, model: Box::default() }
    }
}

/// Simulated agents of one vendor at one server.
#[derive(Clone)]
pub struct Party {
    pub(super) vendor: Vendor,
    pub(super) base: Base,
    /// What takes new agents in; empty where none has to be taken in.
    pub(super) token: Box<str>,
    pub(super) agents: Vec<Agent>,
    /// How many of them report.
    pub(super) active: usize,
}

impl std::fmt::Debug for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the token nor a key.
        let agents = self.agents.len();
        f.debug_struct("Party").field("vendor", &self.vendor).field("agents", &agents).finish_non_exhaustive()
    }
}

impl Party {
    /// A party without agents. `base` is the vendor's base address, `keep_alive` whether a connection is kept for the
    /// next request.
    #[must_use]
    pub fn new(vendor: Vendor, base: Target, keep_alive: bool) -> Self {
        Self {
            vendor,
            base: Base { target: base, keep_alive },
            token: Box::default(),
            agents: Vec::new(),
            active: 0,
        }
    }

    /// With the token that takes new agents in: an enrolment token, or where agents share a key, that.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = token.into();
        self
    }

    /// With agents that have keys already.
    #[must_use]
    pub fn with(mut self, agents: impl IntoIterator<Item = Agent>) -> Self {
        self.agents.extend(agents);
        self.active = self.agents.len();
        self
    }

    /// The base address that its agents report to.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}{}", self.base.target.authority, self.base.target.prefix)
    }

    /// Whose dialect they speak.
    #[must_use]
    pub const fn vendor(&self) -> Vendor {
        self.vendor
    }

    /// The agents.
    #[must_use]
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// The request that takes an agent of a name in, and what it is.
    pub(super) fn enrolment(
        &self,
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<(Operation, Vec<u8>), EncodeError> {
        match self.vendor {
            Vendor::Achilles => {
                achilles::enrolment(&self.base, &self.token, name, now).map(|bytes| (ACHILLES_ENROLL, bytes))
            }
            Vendor::Acusight => acusight::enrolment(&self.base, &self.token, name, now)
                .map(|bytes| (ACUSIGHT_PROVISION, bytes)),
            Vendor::ZStack => {
                zstack::enrolment(&self.base, &self.token, name, now).map(|bytes| (ZSTACK_REGISTER, bytes))
            }
            Vendor::AgentMc => {
                agentmc::enrolment(&self.base, &self.token, name, now).map(|bytes| (AGENTMC_HEARTBEAT, bytes))
            }
        }
    }

    /// The agent that an answer to its enrolment has made. The body as the reason if it has made none.
    pub(super) fn enrolled(&self, name: &str, body: &[u8]) -> Result<Agent, String> {
        let agent = match self.vendor {
            Vendor::Achilles => achilles::enrolled(name, body),
            Vendor::Acusight => acusight::enrolled(name, body),
            Vendor::ZStack => zstack::enrolled(name, &self.token, body),
            Vendor::AgentMc => agentmc::enrolled(name, &self.token, body),
        };
        agent.filter(|agent| is_usable(self.vendor, agent)).ok_or_else(|| excerpt(body))
    }

    /// The requests that its agents send over and over.
    pub(super) fn templates(&self) -> Result<Templates, EncodeError> {
        match self.vendor {
            Vendor::Achilles => achilles::templates(&self.base),
            Vendor::Acusight => acusight::templates(&self.base),
            Vendor::ZStack => zstack::templates(&self.base),
            Vendor::AgentMc => agentmc::templates(&self.base),
        }
    }
}

/// The requests that agents of one vendor send over and over.
#[derive(Debug)]
pub(super) struct Templates {
    operation: Operation,
    /// Of an agent of which nothing more is known than its id.
    plain: Template,
    /// Of one that has been told its number, or its model.
    told: Option<Template>,
    poll: Option<Template>,
}

impl Templates {
    /// Whether its agents ask for work in requests of their own.
    pub(super) const fn polls(&self) -> bool {
        self.poll.is_some()
    }

    /// Appends a check-in, or a poll for work.
    pub(super) fn write(
        &self,
        agent: &Agent,
        poll: bool,
        moment: &Moment<'_>,
        out: &mut Vec<u8>,
    ) -> Operation {
        let filling = Filling {
            id: &agent.id,
            name: &agent.name,
            key: &agent.key,
            model: &agent.model,
            time: moment.text,
            number: agent.number,
            uptime: uptime(&agent.name, moment.seconds),
            load: 10 + (moment.seconds / 60 + u64::from(spread(&agent.name))) % 80,
        };
        if let (true, Some(template)) = (poll, &self.poll) {
            template.write(&filling, out);
            return ACHILLES_POLL;
        }
        let is_told =
            if self.operation == ACUSIGHT_CHECKIN { !agent.model.is_empty() } else { agent.number > 0 };
        self.told.as_ref().filter(|_| is_told).unwrap_or(&self.plain).write(&filling, out);
        self.operation
    }
}

/// The last of all agents' machines was booted then, so that none seems to have been restarted between two runs.
const BOOTED: u64 = 1_735_689_600;
/// All of them were booted within so many seconds.
const MONTH: u64 = 30 * 24 * 3600;

/// Seconds that the machine of an agent has been running at a time since 1970.
fn uptime(name: &str, seconds: u64) -> u64 {
    seconds.saturating_sub(BOOTED) + u64::from(spread(name)) % MONTH
}

/// The time by the system's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a load runs by the real clock, and messages must say the true time"
)]
pub(super) fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// Seconds since 1970; 0 before that.
pub(super) fn seconds(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp()).unwrap_or_default()
}

/// The time of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    /// RFC 3339 in UTC.
    pub(super) text: &'a str,
    /// Since 1970.
    pub(super) seconds: u64,
}

/// A number of an agent's own, the same in each run (FNV-1a).
fn spread(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Whether what an agent is called can stand in requests as it is: nothing that JSON, a header or a path would escape.
pub(super) fn is_usable(vendor: Vendor, agent: &Agent) -> bool {
    let in_path = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let path = vendor != Vendor::ZStack || agent.id.chars().all(in_path) && !matches!(&*agent.id, "." | "..");
    let texts = [&agent.name, &agent.id, &agent.key];
    path && texts.iter().all(|text| !text.is_empty() && is_plain(text)) && is_plain(&agent.model)
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\'))
}

/// What follows from an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FollowUp {
    /// The key to sign in with from now on.
    pub(super) key: Option<Box<str>>,
    /// The model to report from now on.
    pub(super) model: Option<Box<str>>,
    /// What is to be sent at once.
    pub(super) send: Option<(Operation, Vec<u8>)>,
}

/// What follows from a good answer; `None` for nothing, which is what nearly all come to.
pub(super) fn heard(
    party: &Party,
    agent: &Agent,
    operation: Operation,
    body: &[u8],
    work: bool,
) -> Option<FollowUp> {
    match operation {
        ACHILLES_HEARTBEAT => achilles::rotated(body),
        ACHILLES_POLL => achilles::task(&party.base, agent, body),
        ACUSIGHT_CHECKIN if work => acusight::told(agent, body),
        AGENTMC_HEARTBEAT if work => agentmc::commanded(&party.base, agent, body),
        _ => None,
    }
}

/// Whether a text is in another.
fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// As much of an answer as is worth showing, on one line.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests;
