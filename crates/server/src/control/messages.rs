//! What goes over the wire between operators and the server.
//!
//! Requests refuse members that they do not have, so that a typing error is told; answers may grow.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use fleetwire_server_core::domain::{Execution, FilePlace, FoundRow, Model, Release, Token};
use fleetwire_server_core::keys::hex;
use fleetwire_server_core::lease::Report;
use fleetwire_server_core::operator::{AgentView, WorkView};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A time as operators see it: RFC 3339 in UTC, to the millisecond.
pub(super) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A key or token on its way to the operator who asked for it. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// The text, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The reason.
    pub error: ErrorDetail,
}

/// The reason why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// For programs: `unauthenticated`, `not_found`, `method_not_allowed`, `taken`, `illegal_transition`, `invalid`, `too_large`,
    /// `unsupported_media_type`, `limited`, `unavailable` or `internal`.
    pub code: String,
    /// For people. Of an invalid request it names every fault, each with its place, between semicolons; a body
    /// that cannot be read has one.
    pub message: String,
    /// The state that work is in, with `illegal_transition`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Which agents to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentFilter {
    /// Only those of a vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Only those that are `online`, `delayed`, `offline` or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Only those with a higher number: the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// How many at most: 1 to 1000, 100 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Agents, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentList {
    /// The agents.
    pub agents: Vec<AgentBody>,
    /// The number after which to ask for the next page, if there may be one.
    pub next: Option<i64>,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentBody {
    /// Its number, unique among all agents of the server.
    pub number: i64,
    /// The short name of its vendor.
    pub vendor: String,
    /// `agent`, or `host` for one that reports for the agents on it.
    pub kind: String,
    /// Its id on the wire.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Version of its program.
    pub version: Option<String>,
    /// Whether it reports in time: `online`, `delayed`, `offline`, or `never` if it never has.
    pub status: String,
    /// When it last reported.
    pub last_seen: Option<String>,
    /// The number of the host that it runs on.
    pub host: Option<i64>,
    /// The model that it last said it runs.
    pub current_model: Option<String>,
    /// The model that it is to run.
    pub desired_model: Option<String>,
    /// Whether it has been offered a key that it has not used yet.
    pub rotating: bool,
    /// Whether it is shut out.
    pub disabled: bool,
    /// How it stands: `active`, or `disabled` until it is enabled, or for good `decommissioned` or `uninstalled`.
    #[serde(default)]
    pub standing: String,
    /// What an operator has marked it with.
    pub labels: BTreeMap<String, String>,
    /// What is known of it and seldom changes.
    pub facts: Map<String, Value>,
    /// What it last said of itself.
    pub report: Option<AgentReport>,
    /// When it was made.
    pub created_at: String,
    /// When it last changed, reports aside.
    pub updated_at: String,
}

impl From<AgentView> for AgentBody {
    fn from(view: AgentView) -> Self {
        let agent = &view.agent;
        Self {
            number: agent.no,
            vendor: agent.vendor.to_string(),
            kind: agent.kind.as_str().to_owned(),
            id: agent.id.clone(),
            name: agent.name.clone(),
            version: agent.version.clone(),
            status: view.liveness.as_str().to_owned(),
            last_seen: view.last_seen.map(rfc3339),
            host: agent.parent,
            current_model: agent.current_model.clone(),
            desired_model: agent.desired_model.clone(),
            rotating: agent.rotating,
            disabled: agent.disabled,
            standing: agent.standing().as_str().to_owned(),
            labels: agent.labels.clone(),
            facts: agent.facts.clone(),
            report: view.report.map(Into::into),
            created_at: rfc3339(agent.created_at),
            updated_at: rfc3339(agent.updated_at),
        }
    }
}

/// What an agent last said of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentReport {
    /// What it is doing or how it is, in its own word.
    pub status: Option<String>,
    /// Figures by name, in the units of the dialect.
    pub metrics: BTreeMap<String, f64>,
    /// Texts by name.
    pub notes: BTreeMap<String, String>,
}

impl From<Report> for AgentReport {
    fn from(Report { status, metrics, notes }: Report) -> Self {
        Self { status, metrics, notes }
    }
}

/// An agent to be registered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAgentBody {
    /// The short name of its vendor.
    pub vendor: String,
    /// `agent` or `host`; `agent` if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its number, if it is known beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// Its id on the wire, if it is known beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name for people; its id if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is known of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
    /// What to mark it with; at most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// An agent that was registered, or whose keys were ended, with the one key that is good for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentCreated {
    /// The agent.
    pub agent: AgentBody,
    /// The key that it signs in with, shown this once.
    pub key: SecretText,
}

/// The model that a device is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedModelBody {
    /// The model's id.
    pub model: String,
}

/// Work to be queued.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewWorkBody {
    /// What is to be done, in the dialect's word.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its particulars, in the dialect's form.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub payload: Map<String, Value>,
    /// How urgent it is, −1000 to 1000: higher is sooner; what the vendor's servers take, or else 0, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// What you call it: the same key for the same agent is the same work, however often it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Before when it is not handed over: RFC 3339, within a year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Seconds for which it is worth beginning, 1 to 2,592,000 (30 days), counted from `not_before` if that is
    /// there; as configured if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// Seconds that an execution may take, 1 to 86,400 (a day); what the payload says, or else 300, if nothing is
    /// said. An execution is given up 120 s after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// How many further executions may follow one that fails or takes too long: 0 to 5, where the vendor's work can
    /// be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
}

/// Which work to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkFilter {
    /// Only that of a vendor's agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Only that of an agent, by its id on the wire; its vendor must be there too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Only that which is in a state: `queued` is what waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only that with a lower number: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// How many at most: 1 to 1000, 100 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Work, the latest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkList {
    /// The work.
    pub work: Vec<WorkBody>,
    /// What to give as `before` for the next page; null if this page was not full.
    pub next: Option<i64>,
}

/// What somebody says of work that is done in its agent's place.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkReportBody {
    /// What has happened: `acknowledge` takes the work, `start` says that it was begun, `succeed` and `fail` end it.
    pub state: String,
    /// Which execution it speaks of: the latest if nothing is said. Not with `acknowledge`, whose answer says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_number: Option<u32>,
    /// What came of it, with `succeed` and `fail`: any JSON. An `error` in it that is a text, or a text in its place,
    /// is what those who asked for the work are told went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// Work, and what a report did to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkReported {
    /// Whether the report changed anything. The same said again does not, nor what is said of work at its end; who
    /// acknowledges work and changes nothing is not the first to take it.
    pub changed: bool,
    /// The work.
    pub work: WorkBody,
}

/// A piece of work for one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkBody {
    /// Its number, unique among all work of the server.
    pub number: i64,
    /// Its id.
    pub id: String,
    /// What its maker calls it.
    pub key: Option<String>,
    /// The agent that is to do it.
    pub agent: WorkAgent,
    /// What is to be done, in the dialect's word.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its particulars, in the dialect's form.
    pub payload: Map<String, Value>,
    /// How far it is: `queued`, `delivered`, `running`, `succeeded`, `failed`, `expired` or `canceled`.
    pub state: String,
    /// How urgent it is: higher is sooner.
    pub priority: i64,
    /// Before when it is not handed over.
    pub not_before: Option<String>,
    /// Seconds for which it is worth beginning.
    pub ttl_seconds: u64,
    /// When it is no longer worth beginning.
    pub expires_at: String,
    /// Seconds that an execution may take, as its agent is told.
    pub timeout_seconds: Option<u64>,
    /// How many further executions may follow the first.
    pub max_retries: u32,
    /// Which execution this is, from 1.
    pub execution_number: u32,
    /// When this execution is given up.
    pub deadline: Option<String>,
    /// The executions before this one, the first one first; told of one piece of work that was asked for by its id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_executions: Vec<WorkExecution>,
    /// What came of it, in the dialect's form.
    pub result: Option<Value>,
    /// When it was made.
    pub created_at: String,
    /// When it was first handed over, in this execution.
    pub delivered_at: Option<String>,
    /// When its agent said that it has it, in this execution.
    pub acknowledged_at: Option<String>,
    /// When it came to its end.
    pub completed_at: Option<String>,
    /// When it last changed.
    pub updated_at: String,
}

/// Whom a piece of work is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkAgent {
    /// Its number.
    pub number: i64,
    /// The short name of its vendor.
    pub vendor: Option<String>,
    /// Its id on the wire.
    pub id: Option<String>,
}

/// An execution that came to nothing and was followed by another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkExecution {
    /// Which it was, from 1.
    pub number: u32,
    /// How it ended.
    pub state: String,
    /// When it was first handed over.
    pub delivered_at: Option<String>,
    /// When its agent said that it has it.
    pub acknowledged_at: Option<String>,
    /// When it ended.
    pub ended_at: String,
    /// What came of it, in the dialect's form.
    pub result: Option<Value>,
}

impl From<Execution> for WorkExecution {
    fn from(execution: Execution) -> Self {
        Self {
            number: execution.number,
            state: execution.state.as_str().to_owned(),
            delivered_at: execution.delivered_at.map(rfc3339),
            acknowledged_at: execution.acknowledged_at.map(rfc3339),
            ended_at: rfc3339(execution.ended_at),
            result: execution.result,
        }
    }
}

/// Which results to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultFilter {
    /// The vendor of the agent below; the two go together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Only those of an agent, by its id on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Only those of a piece of work, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<String>,
    /// Only those of a control, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// Only those with a lower number: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// How many at most: 1 to 1000, 100 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Results, the latest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultList {
    /// The results.
    pub results: Vec<ResultBody>,
    /// What to give as `before` for the next page; null if this page was not full.
    pub next: Option<i64>,
}

/// One thing that work has found: what a test came to, or one control of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultBody {
    /// Its number, unique among all results of the server.
    pub number: i64,
    /// Its id: that of the task, and of the control if it is one of a bundle.
    pub id: String,
    /// The agent that reported it.
    pub agent: WorkAgent,
    /// The id of the work that it came of.
    pub work: String,
    /// And which execution of it.
    pub execution_number: u32,
    /// The test or bundle.
    pub test: String,
    /// The control, if the test is a bundle of them.
    pub control: Option<String>,
    /// How the check ended.
    pub exit_code: i64,
    /// Whether the machine complies, where that was said.
    pub compliant: Option<bool>,
    /// What else was said of it, in the dialect's form.
    pub detail: Map<String, Value>,
    /// When it was reported.
    pub at: String,
}

impl ResultBody {
    pub(super) fn new(row: FoundRow, agent: Option<&AgentView>) -> Self {
        Self {
            number: row.no,
            id: row.finding.id,
            agent: WorkAgent::new(row.agent, agent),
            work: row.work,
            execution_number: row.execution,
            test: row.finding.test,
            control: row.finding.control,
            exit_code: row.finding.exit_code,
            compliant: row.finding.compliant,
            detail: row.finding.detail,
            at: rfc3339(row.at),
        }
    }
}

impl WorkAgent {
    fn new(number: i64, agent: Option<&AgentView>) -> Self {
        let agent = agent.map(|view| &view.agent);
        Self {
            number,
            vendor: agent.map(|agent| agent.vendor.to_string()),
            id: agent.map(|agent| agent.id.clone()),
        }
    }
}

impl WorkBody {
    pub(super) fn new(WorkView { work, earlier }: WorkView, agent: Option<&AgentView>) -> Self {
        let expires_at = rfc3339(work.expires_at());
        Self {
            number: work.no,
            id: work.id,
            key: work.key,
            agent: WorkAgent::new(work.agent, agent),
            kind: work.kind,
            payload: work.payload,
            state: work.state.as_str().to_owned(),
            priority: work.priority,
            not_before: work.not_before.map(rfc3339),
            ttl_seconds: work.ttl.as_secs(),
            expires_at,
            timeout_seconds: work.timeout.map(|timeout| timeout.as_secs()),
            max_retries: work.max_retries,
            execution_number: work.execution_number,
            deadline: work.deadline.map(rfc3339),
            earlier_executions: earlier.into_iter().map(Into::into).collect(),
            result: work.result,
            created_at: rfc3339(work.created_at),
            delivered_at: work.delivered_at.map(rfc3339),
            acknowledged_at: work.acknowledged_at.map(rfc3339),
            completed_at: work.completed_at.map(rfc3339),
            updated_at: rfc3339(work.updated_at),
        }
    }
}

/// An enrolment token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTokenBody {
    /// The short name of the vendor whose agents it makes.
    pub vendor: String,
    /// Seconds that it lives: 1 to 2,592,000 (30 days), null if no time is to end it. What is usual with the vendor if
    /// nothing is said: 30 days where tokens are for many agents, else a day.
    #[serde(default, skip_serializing_if = "Bound::is_usual")]
    pub ttl_seconds: Bound<u64>,
    /// How many agents it may make: 1 to 100,000, null for as many as there are. What is usual with the vendor if
    /// nothing is said: as many as there are where tokens are for many agents, else one.
    #[serde(default, skip_serializing_if = "Bound::is_usual")]
    pub max_uses: Bound<u32>,
}

/// A bound that can be left to custom, lifted or set: absent, null or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bound<T> {
    /// What is usual.
    #[default]
    Usual,
    /// There is none.
    Lifted,
    /// This one.
    Of(T),
}

impl<T: Copy> Bound<T> {
    /// Whether it is left to custom.
    #[must_use]
    pub const fn is_usual(&self) -> bool {
        matches!(self, Self::Usual)
    }

    /// The number, if one was set.
    #[must_use]
    pub const fn number(self) -> Option<T> {
        match self {
            Self::Of(number) => Some(number),
            Self::Usual | Self::Lifted => None,
        }
    }

    /// The bound that comes of it: `None` where there is none.
    #[must_use]
    pub fn or_usual(self, usual: Option<T>) -> Option<T> {
        match self {
            Self::Usual => usual,
            Self::Lifted => None,
            Self::Of(number) => Some(number),
        }
    }
}

impl<T: Serialize> Serialize for Bound<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Of(number) => serializer.serialize_some(number),
            Self::Usual | Self::Lifted => serializer.serialize_none(),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bound<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|number| number.map_or(Self::Lifted, Self::Of))
    }
}

/// An enrolment token that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreated {
    /// Its id.
    pub id: String,
    /// The token, shown this once.
    pub token: SecretText,
    /// The short name of the vendor whose agents it makes.
    pub vendor: String,
    /// When it ends; null if no time ends it.
    pub expires_at: Option<String>,
    /// How many agents it may make; null for as many as there are.
    pub max_uses: Option<u32>,
}

impl TokenCreated {
    pub(super) fn new(token: Token, text: String) -> Self {
        Self {
            id: token.id,
            token: text.into(),
            vendor: token.vendor.to_string(),
            expires_at: token.expires_at.map(rfc3339),
            max_uses: token.max_uses,
        }
    }
}

/// Enrolment tokens, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenList {
    /// The tokens.
    pub tokens: Vec<TokenBody>,
}

/// An enrolment token, without the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBody {
    /// Its id.
    pub id: String,
    /// The short name of the vendor whose agents it makes.
    pub vendor: String,
    /// When it ends; null if no time ends it.
    pub expires_at: Option<String>,
    /// How many agents it may make; null for as many as there are.
    pub max_uses: Option<u32>,
    /// How many it has made.
    pub uses: u32,
    /// Whether it was taken back.
    pub revoked: bool,
    /// When it was made.
    pub created_at: String,
}

impl From<Token> for TokenBody {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            vendor: token.vendor.to_string(),
            expires_at: token.expires_at.map(rfc3339),
            max_uses: token.max_uses,
            uses: token.uses,
            revoked: token.revoked,
            created_at: rfc3339(token.created_at),
        }
    }
}

/// A key that is good for every agent of the tenant, to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKeyBody {
    /// The short name of the vendor whose agents sign in with it.
    pub vendor: String,
}

/// A key that is good for every agent of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBody {
    /// The short name of the vendor whose agents sign in with it.
    pub vendor: String,
    /// The key, shown this once.
    pub key: SecretText,
}

/// A model to be registered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewModelBody {
    /// Its id; made up if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where its file is: an `http` or `https` address.
    pub download_url: String,
    /// The ending of its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_ext: Option<String>,
    /// The names of its classes: JSON text of at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_map: Option<String>,
}

/// A model that devices can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelBody {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where its file is; nothing if it is held by the server.
    pub download_url: Option<String>,
    /// SHA-256 of its file in hex, if it is held by the server.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Size of its file in bytes, likewise.
    #[serde(default)]
    pub size: Option<u64>,
    /// The ending of its file.
    pub file_ext: Option<String>,
    /// The names of its classes: JSON text.
    pub label_map: Option<String>,
    /// When it was registered.
    pub created_at: String,
}

impl From<Model> for ModelBody {
    fn from(model: Model) -> Self {
        let (download_url, file) = match model.place {
            FilePlace::Url(url) => (Some(url), None),
            FilePlace::Held(file) => (None, Some(file)),
        };
        Self {
            id: model.id,
            name: model.name,
            version: model.version,
            download_url,
            sha256: file.map(|file| hex(&file.sha256)),
            size: file.map(|file| file.size),
            file_ext: model.file_ext,
            label_map: model.label_map,
            created_at: rfc3339(model.created_at),
        }
    }
}

/// A release of an agent's program, to be registered and signed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewReleaseBody {
    /// The version.
    pub version: String,
    /// The operating system that it runs on.
    pub os: String,
    /// The architecture that it runs on.
    pub arch: String,
    /// SHA-256 of its file: 64 hex digits.
    pub sha256: String,
    /// Size of its file in bytes.
    pub size: u64,
    /// Where its file is: an `http` or `https` address.
    pub download_url: String,
    /// Whether agents must change to it; not if nothing is said.
    #[serde(default)]
    pub mandatory: bool,
}

/// A release of an agent's program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseBody {
    /// Its number.
    #[serde(default)]
    pub number: i64,
    /// The version.
    pub version: String,
    /// The operating system that it runs on.
    pub os: String,
    /// The architecture that it runs on.
    pub arch: String,
    /// SHA-256 of its file in hex.
    pub sha256: String,
    /// Size of its file in bytes.
    pub size: u64,
    /// Where its file is; nothing if it is held by the server.
    pub download_url: Option<String>,
    /// Whether agents must change to it.
    pub mandatory: bool,
    /// Ed25519 over the 32 bytes of the SHA-256, in hex.
    pub signature: String,
    /// When it was registered; the latest one is offered.
    pub created_at: String,
}

impl From<Release> for ReleaseBody {
    fn from(release: Release) -> Self {
        Self {
            number: release.no,
            version: release.version,
            os: release.os,
            arch: release.arch,
            sha256: hex(&release.sha256),
            size: release.size,
            download_url: release.download_url,
            mandatory: release.mandatory,
            signature: hex(&release.signature),
            created_at: rfc3339(release.created_at),
        }
    }
}

/// The key that checks the signatures of releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseKeyBody {
    /// `ed25519`.
    pub algorithm: String,
    /// The public key: base64 of 32 bytes.
    pub public_key: String,
}
