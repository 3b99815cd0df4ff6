//! Agents of ZStack: heartbeats, and how an agent comes to have a record to report to.
//!
//! Who has a record reports to it. Who has a token of the tenant and an id of its own announces itself with every
//! heartbeat, which can be repeated; who has no id either has itself registered once and keeps the id that it is
//! given. Nothing on the wire tells a second registration from a repeated one, so that a lost answer leaves a record
//! behind that nobody reports to.
//!
//! ```
//! use fleetwire_client::protocol::zstack::HeartbeatRequest;
//! use fleetwire_client::zstack::Agent;
//!
//! # fn main() -> Result<(), fleetwire_client::AddressError> {
//! let agent = Agent::announcing("https://fleet.example/zstack", "zsk_00ff", "agent-1", "Agent 1", "log")?
//!     .report(|| HeartbeatRequest::new("1.2.3", 86_400, 12.5, 35.2));
//! # Ok(())
//! # }
//! ```
//!
//! Any other operation is one call of [`Client`](crate::Client). Who is offline?
//!
#![cfg_attr(feature = "reqwest", doc = "```no_run")]
#![cfg_attr(not(feature = "reqwest"), doc = "```ignore")]
//! use fleetwire_client::protocol::Call;
//! use fleetwire_client::protocol::zstack::{BearerToken, LifecycleQuery, ListByLifecycleStatus};
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! let client = fleetwire_client::connect("https://fleet.example/zstack")?;
//! let token = BearerToken::from(std::env::var("TOKEN")?);
//! let query = LifecycleQuery::new("offline");
//! let page = client.send::<ListByLifecycleStatus>(&token, &Call::with(query, ())).await?;
//! println!("{:?}", page.items);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use fleetwire_protocol::codec::{self, EncodeError};
use fleetwire_protocol::zstack::{
    AgentPath, AgentType, AgentUuid, AutoRegisterHeartbeat, AutoRegisterRequest, BearerToken, Heartbeat,
    HeartbeatRequest, Register, RegisterRequest,
};
use fleetwire_protocol::{Call, FaultKind};
use http::{Request, Response};

use crate::agent::{
    Answer, Dialect, Ended, Never, Progress, Secret, Signing, Step, Stream, Taken, Trouble, TroubleKind,
    read_reply,
};
use crate::{AddressError, address};

/// An agent of ZStack.
pub type Agent = crate::Agent<ZStack>;

/// ZStack's dialect.
#[derive(Clone)]
pub struct ZStack {
    base: String,
    token: Secret,
    who: Who,
    #[cfg(feature = "host-facts")]
    version: String,
}

#[derive(Clone)]
enum Who {
    /// It has a record.
    Registered(AgentUuid),
    /// It has an id, and makes its record by reporting.
    Announcing { id: AgentUuid, name: String, kind: AgentType },
    /// It has neither.
    Newcomer(Box<RegisterRequest>),
}

/// What an agent says at its heartbeats.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Version, uptime and use.
    pub heartbeat: HeartbeatRequest,
    /// How much waits to be collected. Told by an agent that announces itself, since no other heartbeat has it.
    pub queue_depth: Option<i64>,
}

impl Report {
    /// A report with the depth of the agent's queue.
    #[must_use]
    pub const fn with_queue(heartbeat: HeartbeatRequest, depth: i64) -> Self {
        Self { heartbeat, queue_depth: Some(depth) }
    }
}

impl From<HeartbeatRequest> for Report {
    fn from(heartbeat: HeartbeatRequest) -> Self {
        Self { heartbeat, queue_depth: None }
    }
}

impl Agent {
    /// The version that the agent says it is in the reports that are made of the machine's facts; this crate's unless
    /// given.
    #[cfg(feature = "host-facts")]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.dialect.version = version.into();
        self
    }

    /// An agent that was registered by hand. `url` is the vendor's base address, such as
    /// `https://fleet.example/zstack`.
    ///
    /// # Errors
    /// `url` is not a plain `http` or `https` address.
    pub fn registered(
        url: &str,
        uuid: impl Into<AgentUuid>,
        token: impl Into<BearerToken>,
    ) -> Result<Self, AddressError> {
        Ok(Self::new(ZStack::new(address::base(url)?, uuid, token)))
    }

    /// An agent with an id of its own that is registered by its first heartbeat. Should the server confirm another id,
    /// it reports under that from then on.
    ///
    /// # Errors
    /// `url` is not a plain `http` or `https` address.
    pub fn announcing(
        url: &str,
        token: impl Into<BearerToken>,
        id: impl Into<AgentUuid>,
        name: impl Into<String>,
        kind: impl Into<AgentType>,
    ) -> Result<Self, AddressError> {
        Ok(Self::new(ZStack::announcing(address::base(url)?, token, id, name, kind)))
    }

    /// An agent that has itself registered when it first runs, under an id that the server chooses.
    ///
    /// # Errors
    /// `url` is not a plain `http` or `https` address.
    pub fn register(
        url: &str,
        token: impl Into<BearerToken>,
        agent: RegisterRequest,
    ) -> Result<Self, AddressError> {
        Ok(Self::new(ZStack::newcomer(address::base(url)?, token, agent)))
    }
}

impl ZStack {
    /// An agent that announces itself at the server of this base address, which has no slash at its end.
    pub fn announcing(
        base: impl Into<String>,
        token: impl Into<BearerToken>,
        id: impl Into<AgentUuid>,
        name: impl Into<String>,
        kind: impl Into<AgentType>,
    ) -> Self {
        let who = Who::Announcing { id: id.into(), name: name.into(), kind: kind.into() };
        Self::with(base.into(), &token.into(), who)
    }

    /// An agent that has itself registered at the server of this base address, which has no slash at its end.
    pub fn newcomer(base: impl Into<String>, token: impl Into<BearerToken>, agent: RegisterRequest) -> Self {
        Self::with(base.into(), &token.into(), Who::Newcomer(Box::new(agent)))
    }

    /// An agent that has a record at the server of this base address, which has no slash at its end.
    pub fn new(base: impl Into<String>, uuid: impl Into<AgentUuid>, token: impl Into<BearerToken>) -> Self {
        Self::with(base.into(), &token.into(), Who::Registered(uuid.into()))
    }

    fn with(base: String, token: &BearerToken, who: Who) -> Self {
        Self {
            base,
            token: Secret::new(token.expose()),
            who,
            #[cfg(feature = "host-facts")]
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The heartbeat of an agent that announces itself.
fn announcement(
    id: &AgentUuid,
    name: &str,
    kind: &AgentType,
    report: &Report,
) -> Call<AutoRegisterHeartbeat> {
    let said = &report.heartbeat;
    let mut body =
        AutoRegisterRequest::new(id.clone(), name, kind.clone(), said.version.as_str(), said.uptime);
    (body.cpu, body.memory) = (Some(said.cpu_usage), Some(said.mem_usage));
    body.queue_depth = report.queue_depth;
    Call::new(body)
}

impl Dialect for ZStack {
    type Identity = AgentUuid;
    type Applicant = RegisterRequest;
    type Report = Report;
    type Work = Never;
    type Outcome = Never;
    type Message = Never;
    type Update = Never;
    type Instructions = Never;

    const VENDOR: &'static str = "zstack";

    fn provisioned(&self) -> Option<(AgentUuid, Secret)> {
        match &self.who {
            Who::Registered(uuid) => Some((uuid.clone(), self.token.clone())),
            Who::Announcing { id, .. } => Some((id.clone(), self.token.clone())),
            Who::Newcomer(_) => None,
        }
    }

    fn given_key(&self) -> Option<Secret> {
        Some(self.token.clone())
    }

    #[cfg(feature = "host-facts")]
    fn report(&self, facts: &crate::host::Facts) -> Option<Report> {
        Some(facts.for_zstack(&self.version).into())
    }

    fn applicant(&self) -> Option<RegisterRequest> {
        match &self.who {
            Who::Newcomer(agent) => Some((**agent).clone()),
            Who::Registered(_) | Who::Announcing { .. } => None,
        }
    }

    // The agent's own uptime is not the machine's.
    fn introduce(&mut self, _: &Report) -> Option<Duration> {
        None
    }

    fn request(&self, step: &Step<Self>, signing: &Signing<'_, Self>) -> Result<Request<Bytes>, EncodeError> {
        // Before it is registered, the agent has no other key.
        let token = BearerToken::new(signing.key.unwrap_or(&self.token).expose());
        match (step, signing.identity) {
            (Step::Enroll(agent), _) => {
                codec::encode(&self.base, &token, signing.now, &Call::<Register>::new(agent.clone()))
            }
            (Step::Beat(beat), Some(id)) => match &self.who {
                Who::Announcing { name, kind, .. } => {
                    let call = announcement(id, name, kind, &beat.report);
                    codec::encode(&self.base, &token, signing.now, &call)
                }
                Who::Registered(_) | Who::Newcomer(_) => {
                    let report = beat.report.heartbeat.clone();
                    let call = Call::<Heartbeat>::with(AgentPath::new(id.clone()), report);
                    codec::encode(&self.base, &token, signing.now, &call)
                }
            },
            // The machine takes none of these steps: the dialect says that it has none of them.
            _ => Err(EncodeError::Header("Authorization")),
        }
    }

    fn read(&self, step: &Step<Self>, response: &Response<Bytes>) -> Result<Answer<Self>, Trouble> {
        if let Step::Enroll(_) = step {
            let uuid = read_reply::<Register>(response)?.uuid;
            let identity = uuid.ok_or_else(|| Trouble::foreign(response, "a registration without an id"))?;
            return Ok(Answer::Enrolled { identity, key: self.token.clone(), poll: None });
        }
        if !matches!(self.who, Who::Announcing { .. }) {
            read_reply::<Heartbeat>(response)?;
            // The record's own times are those of the last change: they say nothing of now.
            return Ok(Answer::Taken(Taken::default()));
        }
        let reply = read_reply::<AutoRegisterHeartbeat>(response)?;
        if reply.accepted == Some(false) {
            return Err(Trouble {
                kind: TroubleKind::Refused(FaultKind::Other, response.status()),
                retry_after: None,
                text: "the heartbeat was not accepted".to_owned(),
            });
        }
        Ok(Answer::Taken(Taken { identity: reply.agent_id, ..Taken::default() }))
    }

    fn work_id(work: &Never) -> String {
        match *work {}
    }

    fn work_kind(work: &Never) -> &str {
        match *work {}
    }

    fn work_timeout(work: &Never) -> Option<Duration> {
        match *work {}
    }

    fn progress(&self, _: &AgentUuid, work: &Never, _: Progress) -> Option<Never> {
        match *work {}
    }

    fn ended(&self, _: &AgentUuid, work: &Never, _: &Ended<Never>) -> Option<Never> {
        match *work {}
    }

    fn stream(message: &Never) -> Stream {
        match *message {}
    }

    fn ends_work(message: &Never) -> Option<&str> {
        match *message {}
    }
}

impl fmt::Debug for ZStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who: &dyn fmt::Debug = match &self.who {
            Who::Registered(id) | Who::Announcing { id, .. } => id,
            Who::Newcomer(agent) => &agent.name,
        };
        f.debug_struct("ZStack").field("base", &self.base).field("agent", who).finish_non_exhaustive()
    }
}
