//! The one domain behind the four dialects.
//!
//! ```
//! use fleetwire_server_core::domain::{Observation, Vendor};
//!
//! assert_eq!(Vendor::ALL.map(Vendor::as_str), ["acusight", "zstack", "agentmc", "achilles"]);
//! // What an agent says of itself; what it does not say stays as it was.
//! let seen = Observation { version: Some("1.2.3".to_owned()), ..Observation::default() };
//! assert!(seen.facts.is_empty());
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fleetwire_validation::acusight::reaches_over_edge;
use serde_json::{Map, Value, json};

use crate::keys::Digest;

mod batch;
mod files;
mod instructions;
mod machine;
mod standing;
mod work;

pub use batch::{Batch, BatchFilter, ImageFilter, ImageRow, PROJECT_LABEL, WhyClosed};
pub use files::{Binary, FileKind, FilePlace, Freed, HeldFile, SigningKey};
pub use instructions::{InstructionFile, Instructions};
pub use machine::{Effect, IllegalTransition, TRANSITIONS, Transition, WorkEvent, WorkState, transition};
pub use standing::{Standing, UNINSTALL};
pub(crate) use work::ended_by_server;
pub use work::{
    Asked, Delivery, Execution, Finding, FindingFilter, FoundRow, HandedOver, MODEL_UPDATE, Moved, NewWork,
    Queued, Reported, SECRETS, Stage, Swept, TIMEOUT_GRACE, Work, WorkFilter, WorkReport, WorkStep,
};

/// A row's number: unique among the agents, or the works, of a store. Two dialects show it as an id.
pub type No = i64;

/// The tenant that a first start makes.
pub const DEFAULT_TENANT: No = 1;

/// Whose dialect an agent speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Vendor {
    /// Acusight.
    Acusight,
    /// ZStack agents.
    ZStack,
    /// AgentMC.
    AgentMc,
    /// ProjectAchilles.
    Achilles,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Acusight, Self::ZStack, Self::AgentMc, Self::Achilles];

    /// The short name, as in operation ids.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acusight => "acusight",
            Self::ZStack => "zstack",
            Self::AgentMc => "agentmc",
            Self::Achilles => "achilles",
        }
    }

    /// The vendor of a short name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|vendor| vendor.as_str() == name)
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an [`Agent`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A device or agent that reports for itself.
    Agent,
    /// A host that reports for the agents on it.
    Host,
}

impl Kind {
    /// The word that stores and operators use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Host => "host",
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Agent, Self::Host].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A member of the fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Its number.
    pub no: No,
    /// Whose it is.
    pub tenant: No,
    /// Its dialect.
    pub vendor: Vendor,
    /// What it is.
    pub kind: Kind,
    /// Its id on the wire, unique in tenant, vendor and kind: a device id, a UUID, a fingerprint. Where the
    /// dialect shows numbers it is the number as text.
    pub id: String,
    /// The host that it runs on.
    pub parent: Option<No>,
    /// Its name for people.
    pub name: String,
    /// Version of its program.
    pub version: Option<String>,
    /// What else is known of it and seldom changes.
    pub facts: Map<String, Value>,
    /// What an operator has marked it with.
    pub labels: BTreeMap<String, String>,
    /// Whether it is shut out.
    pub disabled: bool,
    /// How it left the fleet, if it has: for good, and shut out.
    pub departed: Option<Standing>,
    /// How often it was shut out, let in again or sent away, which tells the later of two of its rows.
    pub turns: u32,
    /// Whether it has ever signed in.
    pub activated: bool,
    /// The model that it is to run.
    pub desired_model: Option<String>,
    /// When that was last said: an action for it that came to nothing since then is not made again.
    pub desired_at: Option<DateTime<Utc>>,
    /// The model that it last said it runs.
    pub current_model: Option<String>,
    /// The number of the key last offered to it.
    pub rotation: u32,
    /// Whether that key waits to be used.
    pub rotating: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// An agent to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAgent {
    /// Whose it is to be.
    pub tenant: No,
    /// Its dialect.
    pub vendor: Vendor,
    /// What it is.
    pub kind: Kind,
    /// Its number, where an operator has chosen one.
    pub no: Option<No>,
    /// Its id on the wire; `None` where the dialect shows its number.
    pub id: Option<String>,
    /// The host that it runs on.
    pub parent: Option<No>,
    /// Its name for people.
    pub name: String,
    /// Version of its program.
    pub version: Option<String>,
    /// What else is known of it.
    pub facts: Map<String, Value>,
    /// What an operator has marked it with.
    pub labels: BTreeMap<String, String>,
    /// The digest of its key, if it gets one of its own.
    pub key: Option<Digest>,
    /// When.
    pub at: DateTime<Utc>,
}

impl NewAgent {
    /// What it says of itself where it is known already.
    #[must_use]
    pub fn observation(&self) -> Observation {
        Observation {
            name: Some(self.name.clone()),
            version: self.version.clone(),
            facts: self.facts.clone(),
            parent: self.parent,
        }
    }

    /// The row that it becomes under a number.
    #[must_use]
    pub fn into_agent(self, no: No) -> Agent {
        Agent {
            no,
            tenant: self.tenant,
            vendor: self.vendor,
            kind: self.kind,
            id: self.id.unwrap_or_else(|| no.to_string()),
            parent: self.parent,
            name: self.name,
            version: self.version,
            facts: self.facts,
            labels: self.labels,
            disabled: false,
            departed: None,
            turns: 0,
            activated: false,
            desired_model: None,
            desired_at: None,
            current_model: None,
            rotation: 0,
            rotating: false,
            created_at: self.at,
            updated_at: self.at,
        }
    }
}

/// What came of an agent that says who it is and is made if nobody knows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Announced {
    /// It was made.
    New(Agent),
    /// It was known, and now is as it says; one that is shut out is left as it was.
    Known(Agent),
    /// It is not known, and its tenant has as many agents as it may have.
    Full,
}

/// What a heartbeat says that seldom changes. `None` leaves the row as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observation {
    /// Its name.
    pub name: Option<String>,
    /// Version of its program.
    pub version: Option<String>,
    /// Facts to be set; others stay.
    pub facts: Map<String, Value>,
    /// The host that it runs on.
    pub parent: Option<No>,
}

impl Observation {
    /// Whether it says anything that `agent` does not say already.
    #[must_use]
    pub fn changes(&self, agent: &Agent) -> bool {
        self.name.as_ref().is_some_and(|name| *name != agent.name)
            || self.version.as_ref().is_some_and(|version| Some(version) != agent.version.as_ref())
            || self.parent.is_some_and(|parent| Some(parent) != agent.parent)
            || self.facts.iter().any(|(name, value)| agent.facts.get(name) != Some(value))
    }

    /// Writes it into a row.
    pub fn apply(self, agent: &mut Agent, at: DateTime<Utc>) {
        if let Some(name) = self.name {
            agent.name = name;
        }
        if let Some(version) = self.version {
            agent.version = Some(version);
        }
        if let Some(parent) = self.parent {
            agent.parent = Some(parent);
        }
        agent.facts.extend(self.facts);
        agent.updated_at = at;
    }
}

/// A key as stores keep it: its digest and what it is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// Whose it is.
    pub tenant: No,
    /// The dialect that it is good for.
    pub vendor: Vendor,
    /// The agent that it is bound to; `None` for a key of the whole tenant.
    pub agent: Option<No>,
    /// Whether it was offered in a rotation and has not been used yet.
    pub candidate: bool,
}

/// An enrolment token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its id, for operators.
    pub id: String,
    /// Its digest.
    pub digest: Digest,
    /// Whose agents it makes.
    pub tenant: No,
    /// The dialect that they speak.
    pub vendor: Vendor,
    /// When it ends; `None` if no time ends it.
    pub expires_at: Option<DateTime<Utc>>,
    /// How many agents it may make; `None` for as many as there are.
    pub max_uses: Option<u32>,
    /// When it was made.
    pub at: DateTime<Utc>,
}

/// An enrolment token, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id, for operators.
    pub id: String,
    /// Whose agents it makes.
    pub tenant: No,
    /// The dialect that they speak.
    pub vendor: Vendor,
    /// When it ends; `None` if no time ends it.
    pub expires_at: Option<DateTime<Utc>>,
    /// How many agents it may make; `None` for as many as there are.
    pub max_uses: Option<u32>,
    /// How many it has made.
    pub uses: u32,
    /// When it last made one.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Whether it was taken back.
    pub revoked: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl Token {
    /// Whether it may make another agent.
    #[must_use]
    pub fn is_live(&self, at: DateTime<Utc>) -> bool {
        !self.revoked && !self.has_expired(at) && self.max_uses.is_none_or(|most| self.uses < most)
    }

    /// Whether its time has come.
    #[must_use]
    pub fn has_expired(&self, at: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= at)
    }

    /// Why it makes no agent, if it makes none. One that was taken back is told from no other that is unknown.
    #[must_use]
    pub fn refusal(&self, vendor: Vendor, at: DateTime<Utc>) -> Option<Enrolled> {
        if self.vendor != vendor || self.revoked {
            Some(Enrolled::Refused)
        } else if self.has_expired(at) {
            Some(Enrolled::Expired)
        } else {
            (!self.is_live(at)).then(|| self.last_used_at.map_or(Enrolled::Refused, Enrolled::UsedUp))
        }
    }
}

/// Somebody with a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Enrolment {
    /// The digest of the token presented.
    pub token: Digest,
    /// What tells this newcomer from another with the same token, so that one who lost the answer is
    /// recognised.
    pub identity: String,
    /// How long after an enrolment the same newcomer gets the same agent again.
    pub repeat_within: Duration,
    /// The agent to be made; its tenant is the token's.
    pub agent: NewAgent,
}

/// What came of an enrolment.
#[derive(Debug, Clone, PartialEq)]
pub enum Enrolled {
    /// A new agent.
    New(Agent),
    /// The agent of an enrolment whose answer seems to have been lost; it has the fresh key besides the
    /// earlier one.
    Again(Agent),
    /// The token is unknown or revoked, or another dialect's.
    Refused,
    /// The token has made as many agents as it may, the last one for who came at this time.
    UsedUp(DateTime<Utc>),
    /// The token's time is over.
    Expired,
    /// The tenant has an agent of this id, and this is not [taken for it](Enrolment::may_take_over).
    Exists,
}

/// What a device says about its model at a check-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelReport {
    /// The device.
    pub agent: No,
    /// The model that it runs; `None` if it does not say.
    pub model: Option<String>,
    /// The id of the action that may have to be made.
    pub action: String,
    /// How long that action is worth doing.
    pub ttl: Duration,
    /// When.
    pub at: DateTime<Utc>,
}

/// A device after its model was compared with the desired one.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconciled {
    /// The device.
    pub agent: Agent,
    /// Its open work, handed over.
    pub handed_over: HandedOver,
}

/// The member of the particulars of work that names the file of a model which is held here.
pub const MODEL_OBJECT: &str = "object";

/// A model that devices can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: No,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where its file is.
    pub place: FilePlace,
    /// The ending of its file.
    pub file_ext: Option<String>,
    /// The names of its classes: JSON text.
    pub label_map: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl Model {
    /// The particulars of the work that brings it to a device. The address of a file that is held here is made when
    /// the work is handed over, since it does not live for long.
    #[must_use]
    pub fn payload(&self) -> Map<String, Value> {
        let mut payload = Map::new();
        payload.insert("model_id".to_owned(), json!(self.id));
        payload.insert("model_name".to_owned(), json!(self.name));
        payload.insert("version".to_owned(), json!(self.version));
        match &self.place {
            FilePlace::Url(url) => payload.insert("download_url".to_owned(), json!(url)),
            FilePlace::Held(file) => {
                payload.insert(MODEL_OBJECT.to_owned(), json!(FileKind::Model.object(&file.sha256)))
            }
        };
        if let Some(file_ext) = &self.file_ext {
            payload.insert("file_ext".to_owned(), json!(file_ext));
        }
        if let Some(label_map) = &self.label_map {
            payload.insert("label_map".to_owned(), json!(label_map));
        }
        payload
    }
}

/// A version of an agent's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its number, which the store gives it.
    pub no: No,
    /// Whose it is.
    pub tenant: No,
    /// The version.
    pub version: String,
    /// The operating system that it runs on.
    pub os: String,
    /// The architecture that it runs on.
    pub arch: String,
    /// SHA-256 of its file.
    pub sha256: [u8; 32],
    /// Ed25519 over those 32 bytes.
    pub signature: [u8; 64],
    /// Size of its file in bytes.
    pub size: u64,
    /// Where its file is; here if nothing is said.
    pub download_url: Option<String>,
    /// Whether agents must change to it.
    pub mandatory: bool,
    /// When it was registered; the latest one is offered.
    pub created_at: DateTime<Utc>,
}

/// An image that a device has uploaded.
#[derive(Debug, Clone, PartialEq)]
pub struct NewImage {
    /// Its id, unless it is known already.
    pub id: String,
    /// The id of the batch that may have to be opened for it.
    pub batch: String,
    /// The device.
    pub agent: No,
    /// Where it lies; the same again is the same image.
    pub storage_key: String,
    /// Its file name.
    pub filename: String,
    /// Its width in pixels.
    pub width: i64,
    /// Its height in pixels.
    pub height: i64,
    /// Id, name and version of the model that annotated it.
    pub model: [Option<String>; 3],
    /// What the model found.
    pub annotations: Vec<Annotation>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A box around something in an image, in fractions of its size.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// What it is.
    pub class: Option<String>,
    /// How sure the model is, 0 to 1.
    pub confidence: Option<f64>,
    /// Centre x, centre y, width, height; `None` if it was not given whole.
    pub bounds: Option<[f64; 4]>,
}

impl Annotation {
    /// Whether the box reaches over the image's edge.
    #[must_use]
    pub fn crosses_edge(&self) -> bool {
        self.bounds.is_some_and(reaches_over_edge)
    }
}

/// The vendor whose devices put images into batches.
pub const OF_IMAGES: Vendor = Vendor::Acusight;

/// How much a device may put where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Images in a batch; the next one opens another.
    pub images: u32,
    /// Age of a batch that still takes images.
    pub age: Duration,
    /// Images that a device may have in all.
    pub quota: u64,
}

impl Default for BatchLimits {
    /// The vendor's defaults: 1,000 images and 30 minutes; and a million images for a device.
    fn default() -> Self {
        Self { images: 1000, age: Duration::from_secs(30 * 60), quota: 1_000_000 }
    }
}

/// Where an image went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// Into a batch, now.
    Now {
        /// The image.
        image: String,
        /// The batch.
        batch: String,
    },
    /// Into a batch, before.
    Before {
        /// The image.
        image: String,
        /// The batch.
        batch: String,
    },
    /// Nowhere: the device's quota is full.
    Full,
}

/// What a host reports of itself and the agents on it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostReport {
    /// Whose it is.
    pub tenant: No,
    /// The host that the key is bound to, if it is.
    pub bound: Option<No>,
    /// What tells the host from all others.
    pub fingerprint: String,
    /// The host.
    pub host: Observation,
    /// The agents on it.
    pub agents: Vec<HostedAgent>,
    /// How many there may be.
    pub limits: HostLimits,
    /// What became of its commands.
    pub updates: Vec<CommandUpdate>,
    /// Whether its open commands are handed over to it.
    pub commands: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// How many agents there may be that hosts report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLimits {
    /// Agents on one host. Those beyond are left out.
    pub on_host: u32,
    /// Agents of the tenant, of all dialects and hosts among them, up to which one is made.
    pub in_tenant: u64,
}

impl Default for HostLimits {
    /// 256 agents on a host, and a million in a tenant.
    fn default() -> Self {
        Self { on_host: 256, in_tenant: 1_000_000 }
    }
}

/// What a host says of a command that it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandUpdate {
    /// The command's number.
    pub no: No,
    /// [`WorkEvent::Succeed`] or [`WorkEvent::Fail`].
    pub event: WorkEvent,
    /// What came of it, in the dialect's form.
    pub result: Option<Value>,
}

/// An agent on a host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostedAgent {
    /// Its number, if it says one.
    pub no: Option<No>,
    /// What tells it from the others on its host where it says none.
    pub key: String,
    /// What it says.
    pub seen: Observation,
}

/// What became of a host's report.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "moved once; a box would only cost an allocation")]
pub enum Hosted {
    /// Host and agents as they now stand.
    Taken {
        /// The host.
        host: Agent,
        /// The agents reported, in the order of the report; `None` for those that there is no room for.
        agents: Vec<Option<Agent>>,
        /// Numbers of all agents of the host.
        all: Vec<No>,
        /// What became of each update. One of another host's command changes nothing.
        told: Vec<Reported>,
        /// Its open commands.
        handed_over: HandedOver,
    },
    /// The host is not known, and its tenant has as many agents as it may have.
    Full,
    /// The key is bound to another host.
    OtherHost,
    /// An agent belongs to another host than the key's.
    OtherAgent,
    /// The tenant has no agent of a number reported.
    UnknownAgent,
}

// What follows is what stores have to decide in the middle of a transaction, so that they all decide alike.

/// The highest number that a store gives out of itself. Beyond it, peers that read JSON numbers as doubles could
/// not tell two apart; an operator may still choose one.
pub const HIGHEST_NO: No = (1 << 53) - 1;

/// The fact that tells an agent without a number of its own from the others on its host.
pub const HOSTED_KEY: &str = "key";

impl Agent {
    /// What tells it from the others on its host.
    #[must_use]
    pub fn hosted_key(&self) -> Option<&str> {
        self.facts.get(HOSTED_KEY).and_then(Value::as_str)
    }

    /// Whether an action for the model that it is to run failed or was called off since that was last said: it is
    /// not made again until it is said again.
    #[must_use]
    pub fn gave_up(&self, action: &Work) -> bool {
        matches!(action.state, WorkState::Failed | WorkState::Canceled)
            && self.desired_model.as_deref().is_some_and(|model| action.asks_for_model(model))
            && action.completed_at > self.desired_at
    }

    /// Whether it can be offered the key of this number: none waits to be used, it has not left for good, and it is the
    /// next one.
    #[must_use]
    pub fn takes_offer(&self, rotation: u32) -> bool {
        !self.rotating && self.departed.is_none() && self.rotation.checked_add(1) == Some(rotation)
    }

    /// It has signed in. The first use of an offered key takes the offer; an offer that waits while another key
    /// is used goes on waiting, since the agent may be told of it at any moment.
    pub fn settle(&mut self, offered: bool, at: DateTime<Utc>) {
        self.activated = true;
        self.rotating &= !offered;
        self.updated_at = at;
    }
}

impl NewToken {
    /// The row that it becomes.
    #[must_use]
    pub fn into_token(self) -> Token {
        Token {
            id: self.id,
            tenant: self.tenant,
            vendor: self.vendor,
            expires_at: self.expires_at,
            max_uses: self.max_uses,
            uses: 0,
            last_used_at: None,
            revoked: false,
            created_at: self.at,
        }
    }
}

impl Enrolment {
    /// Whether it repeats an enrolment of the same token and identity at that time: the answer was lost, if
    /// the agent has not signed in since.
    #[must_use]
    pub fn repeats(&self, enrolled_at: DateTime<Utc>, agent: &Agent) -> bool {
        !agent.activated && !agent.disabled && is_within(self.agent.at, enrolled_at, self.repeat_within)
    }

    /// Whether it takes over an agent of the same id that a token made at that time: it never signed in, and too much
    /// time has passed for a repetition. Its answer was lost, and without another key it could never come.
    #[must_use]
    pub fn may_take_over(&self, enrolled_at: DateTime<Utc>, agent: &Agent) -> bool {
        !agent.activated && !agent.disabled && !is_within(self.agent.at, enrolled_at, self.repeat_within)
    }
}

impl ModelReport {
    /// Writes the model into the device's row, and brings to its end the open work that it makes pointless.
    /// Returns the model for which an action has to be made, unless the device
    /// [could not be brought to it](Agent::gave_up).
    pub fn reconcile(&self, agent: &mut Agent, open: &mut [Work]) -> Option<String> {
        if self.model.is_some() && agent.current_model != self.model {
            agent.current_model.clone_from(&self.model);
            agent.updated_at = self.at;
        }
        let desired = agent.desired_model.as_deref();
        let current = agent.current_model.as_deref();
        let mut asked_for = false;
        for work in open.iter_mut().filter(|work| work.kind == MODEL_UPDATE && !work.state.is_terminal()) {
            if current.is_some_and(|model| work.asks_for_model(model)) {
                // One that was never handed over has not brought it there.
                let handed_over = work.state != WorkState::Queued;
                work.end(if handed_over { WorkEvent::Succeed } else { WorkEvent::Cancel }, self.at);
            } else if desired.is_some_and(|model| !work.asks_for_model(model)) {
                // It would bring the device to a model from which the next action takes it away again.
                work.end(WorkEvent::Cancel, self.at);
            } else {
                // Of model actions no execution is followed by another.
                let _ = work.look(self.at);
                asked_for |= !work.state.is_terminal();
            }
        }
        desired.filter(|_| desired != current && !asked_for).map(str::to_owned)
    }

    /// The action that brings a model to the device.
    #[must_use]
    pub fn action(&self, agent: &Agent, model: &Model) -> NewWork {
        NewWork {
            id: self.action.clone(),
            tenant: agent.tenant,
            agent: agent.no,
            key: None,
            kind: MODEL_UPDATE.to_owned(),
            payload: model.payload(),
            priority: 0,
            not_before: None,
            ttl: self.ttl,
            timeout: None,
            max_retries: 0,
            at: self.at,
        }
    }
}

impl BatchLimits {
    /// Whether a batch with so many images, opened at that time, takes another one.
    #[must_use]
    pub fn takes_another(&self, images: u32, opened_at: DateTime<Utc>, at: DateTime<Utc>) -> bool {
        images < self.images && is_within(at, opened_at, self.age)
    }
}

impl HostLimits {
    /// Whether a tenant with so many agents may have another.
    #[must_use]
    pub const fn has_room(&self, in_tenant: u64) -> bool {
        in_tenant < self.in_tenant
    }

    /// Whether a host with so many agents may have another.
    #[must_use]
    pub fn has_room_on_host(&self, on_host: usize) -> bool {
        u32::try_from(on_host).is_ok_and(|on_host| on_host < self.on_host)
    }
}

impl HostReport {
    /// What an update says of the command that it names, as the host says it.
    #[must_use]
    pub fn word_of(&self, host: No, work: &Work, update: &CommandUpdate) -> WorkReport {
        WorkReport {
            work: work.id.clone(),
            execution: None,
            tenant: self.tenant,
            agent: host,
            event: update.event,
            step: None,
            result: update.result.clone(),
            findings: Vec::new(),
            at: self.at,
        }
    }

    /// The host, if it is not known yet.
    #[must_use]
    pub fn new_host(&self) -> NewAgent {
        NewAgent {
            tenant: self.tenant,
            vendor: Vendor::AgentMc,
            kind: Kind::Host,
            no: None,
            id: Some(self.fingerprint.clone()),
            parent: None,
            name: self.host.name.clone().unwrap_or_else(|| self.fingerprint.clone()),
            version: self.host.version.clone(),
            facts: self.host.facts.clone(),
            labels: BTreeMap::new(),
            key: None,
            at: self.at,
        }
    }

    /// An agent on it that is not known yet.
    #[must_use]
    pub fn new_agent(&self, agent: &HostedAgent, host: No) -> NewAgent {
        let seen = agent.observation(host);
        NewAgent {
            tenant: self.tenant,
            vendor: Vendor::AgentMc,
            kind: Kind::Agent,
            no: None,
            id: None,
            parent: seen.parent,
            name: seen.name.unwrap_or_else(|| agent.key.clone()),
            version: seen.version,
            facts: seen.facts,
            labels: BTreeMap::new(),
            key: None,
            at: self.at,
        }
    }
}

impl HostedAgent {
    /// What is seen of it, its host and its key among it.
    #[must_use]
    pub fn observation(&self, host: No) -> Observation {
        let mut seen = self.seen.clone();
        seen.parent = Some(host);
        seen.facts.insert(HOSTED_KEY.to_owned(), json!(self.key));
        seen
    }
}

/// Whether `at` is no more than `span` after `since`. A clock that steps back makes nothing late.
pub(crate) fn is_within(at: DateTime<Utc>, since: DateTime<Utc>, span: Duration) -> bool {
    (at - since).to_std().map_or(true, |age| age <= span)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_774_103_400 + seconds, 0).unwrap()
    }

    fn agent() -> Agent {
        let new = NewAgent {
            tenant: 1,
            vendor: Vendor::Acusight,
            kind: Kind::Agent,
            no: None,
            id: None,
            parent: None,
            name: "cam".to_owned(),
            version: None,
            facts: Map::new(),
            labels: BTreeMap::new(),
            key: None,
            at: at(0),
        };
        new.into_agent(7)
    }

    fn work(no: No, kind: &str, payload: Value) -> Work {
        let Value::Object(payload) = payload else { panic!("a payload is an object") };
        let new = NewWork {
            id: format!("w-{no}"),
            tenant: 1,
            agent: 7,
            key: None,
            kind: kind.to_owned(),
            payload,
            priority: 0,
            not_before: None,
            ttl: TTL,
            timeout: None,
            max_retries: 0,
            at: at(0),
        };
        new.into_work(no)
    }

    fn model_update(no: No, model: &str) -> Work {
        work(no, MODEL_UPDATE, json!({"model_id": model}))
    }

    fn runs(model: Option<&str>, seconds: i64) -> ModelReport {
        let model = model.map(str::to_owned);
        ModelReport { agent: 7, model, action: "next".to_owned(), ttl: TTL, at: at(seconds) }
    }

    fn states(works: &[Work]) -> Vec<WorkState> {
        works.iter().map(|work| work.state).collect()
    }

    #[test]
    fn every_word_is_read_as_what_it_was_written_for() {
        for vendor in Vendor::ALL {
            assert_eq!(Vendor::parse(vendor.as_str()), Some(vendor));
        }
        for kind in [Kind::Agent, Kind::Host] {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        for state in WorkState::ALL {
            assert_eq!(WorkState::parse(state.as_str()), Some(state));
        }
        assert_eq!(
            (Vendor::parse("Acusight"), Kind::parse(""), WorkState::parse("done")),
            (None, None, None)
        );
    }

    #[test]
    fn an_agent_without_an_id_is_called_by_its_number() {
        assert_eq!(agent().id, "7");
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let mut agent = agent();
        let seen = Observation {
            name: Some("renamed".to_owned()),
            version: Some("1.0".to_owned()),
            facts: Map::from_iter([("os".to_owned(), json!("linux"))]),
            parent: Some(9),
        };
        agent.facts.insert("kept".to_owned(), json!(true));
        assert!(!Observation::default().changes(&agent));
        assert!(seen.changes(&agent));
        seen.clone().apply(&mut agent, at(5));
        assert!(!seen.changes(&agent));
        assert_eq!(
            (agent.name.as_str(), agent.version.as_deref(), agent.parent),
            ("renamed", Some("1.0"), Some(9))
        );
        assert_eq!((agent.facts.len(), agent.updated_at), (2, at(5)));
        for other in [
            Observation { name: Some("cam".to_owned()), ..seen.clone() },
            Observation { version: Some("1.1".to_owned()), ..seen.clone() },
            Observation { parent: Some(8), ..seen.clone() },
            Observation { facts: Map::from_iter([("os".to_owned(), json!("windows"))]), ..seen.clone() },
            Observation { facts: Map::from_iter([("arch".to_owned(), json!(null))]), ..seen },
        ] {
            assert!(other.changes(&agent), "{other:?}");
        }
    }

    #[test]
    fn a_token_lives_until_its_last_moment_and_its_last_use() {
        let new = NewToken {
            id: "t".to_owned(),
            digest: Digest::of("t"),
            tenant: 1,
            vendor: Vendor::Achilles,
            expires_at: Some(at(10)),
            max_uses: Some(2),
            at: at(0),
        };
        let token = new.into_token();
        assert!(token.is_live(at(9)));
        assert!(!token.is_live(at(10)));
        assert!(Token { uses: 1, ..token.clone() }.is_live(at(9)));
        assert!(!Token { uses: 2, ..token.clone() }.is_live(at(9)));
        assert!(!Token { revoked: true, ..token.clone() }.is_live(at(9)));
        let unbounded = Token { expires_at: None, max_uses: None, uses: u32::MAX, ..token };
        assert!(unbounded.is_live(DateTime::<Utc>::MAX_UTC));
    }

    #[test]
    fn only_a_good_token_of_the_dialect_is_told_to_have_expired() {
        let new = NewToken {
            id: "t".to_owned(),
            digest: Digest::of("t"),
            tenant: 1,
            vendor: Vendor::Acusight,
            expires_at: Some(at(10)),
            max_uses: Some(1),
            at: at(0),
        };
        let token = new.into_token();
        let refusal = |token: &Token, seconds| token.refusal(Vendor::Acusight, at(seconds));
        assert_eq!(refusal(&token, 9), None);
        assert_eq!(refusal(&token, 10), Some(Enrolled::Expired));
        assert_eq!(token.refusal(Vendor::Achilles, at(10)), Some(Enrolled::Refused));
        let used_up = Token { uses: 1, last_used_at: Some(at(3)), ..token.clone() };
        assert_eq!(refusal(&used_up, 9), Some(Enrolled::UsedUp(at(3))));
        assert_eq!(refusal(&used_up, 10), Some(Enrolled::Expired));
        assert_eq!(refusal(&Token { revoked: true, ..token }, 10), Some(Enrolled::Refused));
    }

    #[test]
    fn an_enrolment_is_a_repeat_within_its_window_and_before_the_first_sign_in() {
        let enrolment = |seconds| Enrolment {
            token: Digest::of("t"),
            identity: "ws".to_owned(),
            repeat_within: Duration::from_secs(600),
            agent: NewAgent {
                tenant: 1,
                vendor: Vendor::Achilles,
                kind: Kind::Agent,
                no: None,
                id: None,
                parent: None,
                name: "ws".to_owned(),
                version: None,
                facts: Map::new(),
                labels: BTreeMap::new(),
                key: None,
                at: at(seconds),
            },
        };
        assert!(enrolment(600).repeats(at(0), &agent()));
        assert!(!enrolment(601).repeats(at(0), &agent()));
        assert!(enrolment(-5).repeats(at(0), &agent()), "the clock has stepped back");
        assert!(!enrolment(1).repeats(at(0), &Agent { activated: true, ..agent() }));
        assert!(!enrolment(1).repeats(at(0), &Agent { disabled: true, ..agent() }));
        assert!(!enrolment(600).may_take_over(at(0), &agent()), "it is a repetition");
        assert!(enrolment(601).may_take_over(at(0), &agent()));
        assert!(!enrolment(601).may_take_over(at(0), &Agent { activated: true, ..agent() }));
        assert!(!enrolment(601).may_take_over(at(0), &Agent { disabled: true, ..agent() }));
    }

    #[test]
    fn one_key_is_offered_at_a_time_and_in_order() {
        let mut agent = agent();
        assert!(agent.takes_offer(1));
        assert!(!agent.takes_offer(0) && !agent.takes_offer(2));
        (agent.rotation, agent.rotating) = (1, true);
        assert!(!agent.takes_offer(2));
        agent.settle(false, at(1));
        assert!(agent.activated && agent.rotating, "another key's use leaves the offer");
        agent.settle(true, at(2));
        assert!(!agent.rotating && agent.takes_offer(2));
        agent.rotation = u32::MAX;
        assert!(!agent.takes_offer(0), "numbers are not used twice");
    }

    #[test]
    fn a_desired_model_is_asked_for_once() {
        let mut device = Agent { desired_model: Some("new".to_owned()), ..agent() };
        assert_eq!(runs(Some("old"), 1).reconcile(&mut device, &mut []), Some("new".to_owned()));
        assert_eq!((device.current_model.as_deref(), device.updated_at), (Some("old"), at(1)));
        let mut open = [model_update(1, "new")];
        assert_eq!(runs(Some("old"), 2).reconcile(&mut device, &mut open), None);
        assert_eq!((states(&open), device.updated_at), (vec![WorkState::Queued], at(1)));
    }

    #[test]
    fn a_reported_model_ends_the_actions_that_asked_for_it() {
        let mut device = Agent { desired_model: Some("new".to_owned()), ..agent() };
        let mut open = [model_update(1, "new"), model_update(2, "old"), work(3, "reboot", json!({}))];
        open[0].state = WorkState::Delivered;
        assert_eq!(runs(Some("new"), 1).reconcile(&mut device, &mut open), None);
        assert_eq!(states(&open), [WorkState::Succeeded, WorkState::Canceled, WorkState::Queued]);
        let mut never_handed_over = [model_update(4, "new")];
        assert_eq!(runs(Some("new"), 2).reconcile(&mut device, &mut never_handed_over), None);
        assert_eq!(states(&never_handed_over), [WorkState::Canceled]);
    }

    #[test]
    fn a_device_that_says_nothing_is_taken_to_run_what_it_ran() {
        let mut device = Agent { desired_model: Some("new".to_owned()), ..agent() };
        assert_eq!(runs(None, 1).reconcile(&mut device, &mut []), Some("new".to_owned()), "it never said");
        device.current_model = Some("new".to_owned());
        assert_eq!(runs(None, 2).reconcile(&mut device, &mut []), None);
        assert_eq!(device.updated_at, at(0));
    }

    #[test]
    fn an_overdue_action_expires_and_is_asked_for_anew() {
        let mut device = Agent { desired_model: Some("new".to_owned()), ..agent() };
        let mut open = [model_update(1, "new")];
        assert_eq!(runs(Some("old"), 61).reconcile(&mut device, &mut open), Some("new".to_owned()));
        assert_eq!(states(&open), [WorkState::Expired]);
    }

    #[test]
    fn an_action_that_came_to_nothing_is_made_again_only_when_it_is_wished_for_again() {
        let device = Agent { desired_model: Some("new".to_owned()), desired_at: Some(at(5)), ..agent() };
        let ended =
            |state, seconds| Work { state, completed_at: Some(at(seconds)), ..model_update(1, "new") };
        assert!(
            device.gave_up(&ended(WorkState::Failed, 6)) && device.gave_up(&ended(WorkState::Canceled, 6))
        );
        assert!(!device.gave_up(&ended(WorkState::Expired, 6)), "nobody has tried it");
        assert!(!device.gave_up(&ended(WorkState::Failed, 5)), "it has been wished for since");
        let wish = Agent { desired_model: Some("other".to_owned()), ..device };
        assert!(!wish.gave_up(&ended(WorkState::Failed, 6)), "it was another model");
    }

    #[test]
    fn nothing_is_asked_of_a_device_that_is_to_run_nothing() {
        let mut device = agent();
        assert_eq!(runs(Some("old"), 1).reconcile(&mut device, &mut []), None);
        let mut open = [model_update(1, "other")];
        assert_eq!(runs(Some("old"), 1).reconcile(&mut device, &mut open), None);
        assert_eq!(states(&open), [WorkState::Queued]);
    }

    #[test]
    fn a_batch_takes_images_up_to_its_number_and_its_age() {
        let limits = BatchLimits { images: 2, age: TTL, quota: 9 };
        assert!(limits.takes_another(1, at(0), at(60)));
        assert!(!limits.takes_another(2, at(0), at(0)));
        assert!(!limits.takes_another(1, at(0), at(61)));
        assert!(limits.takes_another(1, at(0), at(-61)), "the clock has stepped back");
    }

    #[test]
    fn a_box_crosses_the_edge_only_beyond_rounding() {
        for (bounds, crosses) in [
            (Some([0.5, 0.5, 1.0, 1.0]), false),
            (Some([0.95, 0.5, 0.1, 0.1]), false),
            (Some([0.95, 0.5, 0.100_001, 0.1]), false),
            (Some([0.95, 0.5, 0.2, 0.1]), true),
            (Some([0.5, 0.05, 0.1, 0.2]), true),
            (Some([0.5, 0.95, 0.1, 0.2]), true),
            (Some([0.05, 0.5, 0.2, 0.1]), true),
            (None, false),
        ] {
            let annotation = Annotation { class: None, confidence: None, bounds };
            assert_eq!(annotation.crosses_edge(), crosses, "{bounds:?}");
        }
    }

    #[test]
    fn an_agent_on_a_host_is_made_with_its_host_and_its_key() {
        let hosted = HostedAgent { no: None, key: "k".to_owned(), seen: Observation::default() };
        let report = HostReport {
            tenant: 3,
            bound: None,
            fingerprint: "f".to_owned(),
            host: Observation::default(),
            agents: vec![hosted.clone()],
            limits: HostLimits::default(),
            updates: Vec::new(),
            commands: true,
            at: at(0),
        };
        let host = report.new_host().into_agent(9);
        assert_eq!((host.id.as_str(), host.name.as_str(), host.kind, host.tenant), ("f", "f", Kind::Host, 3));
        let agent = report.new_agent(&hosted, host.no).into_agent(10);
        assert_eq!((agent.parent, agent.hosted_key(), agent.name.as_str()), (Some(9), Some("k"), "k"));
        assert!(!hosted.observation(9).changes(&agent));
        assert!(hosted.observation(8).changes(&agent), "it has moved");
    }
}
