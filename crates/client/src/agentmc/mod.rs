//! Hosts of AgentMC, which report themselves and the agents that run on them.
//!
//! A report names one agent or several (`agent`, `agents`). The interval is the server's; until it has said one, the
//! settings' or a minute. A server that does not know the source's path is spoken to under the newer one (AM-1).
//!
//! A heartbeat may be answered with commands for the host. Each is work for the handler of its type, and done once; how
//! it ended leaves with a heartbeat of its own at once, and with each one after that until one was taken:
//!
//! ```
//! use fleetwire_client::agentmc::{Agent, AgentMc};
//! use fleetwire_client::protocol::agentmc::{HeartbeatRequest, RuntimeCommand};
//! use fleetwire_client::protocol::wire::FreeMap;
//! use fleetwire_client::work::Context;
//!
//! # fn host(report: fn() -> HeartbeatRequest) -> Result<(), fleetwire_client::AddressError> {
//! let agent = Agent::with_key("https://fleet.example/agentmc/api/v1", "cc_00ff")?
//!     .report(report)
//!     .on("agent.provision", |command: &RuntimeCommand, _: &Context<AgentMc>| {
//!         let key = command.payload.runtime_key.as_str().into();
//!         Ok(FreeMap([("runtime_key".to_owned(), key)].into()))
//!     });
//! # Ok(())
//! # }
//! ```
//!
//! Any other operation is one call of [`Client`](crate::Client). What am I to work by?
//!
#![cfg_attr(feature = "reqwest", doc = "```no_run")]
#![cfg_attr(not(feature = "reqwest"), doc = "```ignore")]
//! use fleetwire_client::protocol::Call;
//! use fleetwire_client::protocol::agentmc::{ApiKey, Instructions, InstructionsParams};
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! let client = fleetwire_client::connect("https://fleet.example/agentmc/api/v1")?;
//! let key = ApiKey::from(std::env::var("API_KEY")?);
//! let params = InstructionsParams { acting: Some(42.into()), ..Default::default() };
//! let bundle = client.send::<Instructions>(&key, &Call::with(params, ())).await?;
//! println!("{} files", bundle.files.len());
//! # Ok(())
//! # }
//! ```

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use fleetwire_protocol::agentmc::{
    ApiKey, Heartbeat, HeartbeatRequest, HostFingerprint, Instructions, InstructionsParams,
    InstructionsResponse, RuntimeCommand, RuntimeUpdate, UpdateStatus,
};
use fleetwire_protocol::codec::{self, EncodeError};
use fleetwire_protocol::wire::FreeMap;
use fleetwire_protocol::{Call, Endpoint, FaultKind};
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use crate::agent::{
    Answer, Beat, Dialect, Ended, Ending, Never, Progress, Secret, Signing, Step, Stream, Taken, Trouble,
    TroubleKind, code_of, read_reply,
};
use crate::{AddressError, address};

/// A host of AgentMC.
pub type Agent = crate::Agent<AgentMc>;

/// AgentMC's dialect.
#[derive(Clone)]
pub struct AgentMc {
    base: String,
    key: Secret,
    instructions: Option<InstructionsParams>,
    #[cfg(feature = "host-facts")]
    host: OwnHost,
}

/// How a command ended, as it waits to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CommandEnd {
    /// The command's id.
    pub command: String,
    /// What the server is told.
    pub update: RuntimeUpdate,
}

/// With these codes the server says that the key is good for nothing here, whatever the status. The vendor's client
/// gives up at them; this one keeps the key, says so, and goes on at longer and longer intervals.
const KEY_REFUSED: [&str; 5] = [
    "auth.invalid_api_key",
    "auth.insufficient_scope",
    "auth.api_key_expired",
    "auth.team_not_found",
    "auth.unsupported_token",
];

/// What the machine's facts do not say of a host.
#[cfg(feature = "host-facts")]
#[derive(Clone, Default)]
struct OwnHost {
    fingerprint: Option<String>,
    agent: Option<(i64, String, String)>,
}

impl Agent {
    /// The agent on the host: the id that the server has given it, its name and its version. With it the machine's own
    /// facts are a report; without it a source of reports has to be given.
    #[cfg(feature = "host-facts")]
    pub fn on_host(mut self, id: i64, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.dialect.host.agent = Some((id, name.into(), version.into()));
        self
    }

    /// What tells the host from all others in those reports, 64 to 128 characters of `A-Za-z0-9._-`; one made of the
    /// machine's id unless given. A machine without an id has no report of its own.
    #[cfg(feature = "host-facts")]
    pub fn fingerprint(mut self, fingerprint: impl Into<String>) -> Self {
        self.dialect.host.fingerprint = Some(fingerprint.into());
        self
    }

    /// A host that signs in with a key. `url` is the vendor's base address, such as
    /// `https://fleet.example/agentmc/api/v1`.
    ///
    /// # Errors
    /// `url` is not a plain `http` or `https` address.
    pub fn with_key(url: &str, key: impl Into<ApiKey>) -> Result<Self, AddressError> {
        Ok(Self::new(AgentMc::new(address::base(url)?, key)))
    }

    /// Asks for instructions before the first heartbeat, as hosts of the source's generation do; those of the newer one
    /// do not. What comes is told as `Event::Instructed`, and the interval in it holds. A host that gets none reports
    /// all the same.
    ///
    /// `params` says which bundle the host has already, and which agent asks if the key is good for several.
    pub fn instructions_first(mut self, params: InstructionsParams) -> Self {
        self.dialect = self.dialect.with_instructions(params);
        self
    }
}

impl AgentMc {
    /// A host at the server of this base address, which has no slash at its end.
    pub fn new(base: impl Into<String>, key: impl Into<ApiKey>) -> Self {
        Self {
            base: base.into(),
            key: Secret::new(key.into().expose()),
            instructions: None,
            #[cfg(feature = "host-facts")]
            host: OwnHost::default(),
        }
    }

    /// The same host, asking for instructions before its first heartbeat.
    #[must_use]
    pub fn with_instructions(self, params: InstructionsParams) -> Self {
        Self { instructions: Some(params), ..self }
    }
}

impl Dialect for AgentMc {
    type Identity = ();
    type Applicant = Never;
    type Report = HeartbeatRequest;
    type Work = RuntimeCommand;
    type Outcome = FreeMap;
    type Message = CommandEnd;
    type Update = Never;
    type Instructions = InstructionsResponse;

    const VENDOR: &'static str = "agentmc";

    fn provisioned(&self) -> Option<((), Secret)> {
        Some(((), self.key.clone()))
    }

    #[cfg(feature = "host-facts")]
    fn report(&self, facts: &crate::host::Facts) -> Option<HeartbeatRequest> {
        let fingerprint = self.host.fingerprint.as_ref().or(facts.fingerprint.as_ref())?;
        let (id, name, version) = self.host.agent.as_ref()?;
        facts.for_agentmc(fingerprint, *id, name, version)
    }

    fn applicant(&self) -> Option<Never> {
        None
    }

    fn asks_for_instructions(&self) -> bool {
        self.instructions.is_some()
    }

    fn introduce(&mut self, report: &HeartbeatRequest) -> Option<Duration> {
        Some(Duration::from_secs(report.host.meta.uptime_seconds))
    }

    fn request(&self, step: &Step<Self>, signing: &Signing<'_, Self>) -> Result<Request<Bytes>, EncodeError> {
        let Some(key) = signing.key.map(|key| ApiKey::new(key.expose())) else {
            return Err(EncodeError::Header("X-Api-Key"));
        };
        match step {
            Step::Instruct => {
                let params = self.instructions.clone().unwrap_or_default();
                codec::encode(&self.base, &key, signing.now, &Call::<Instructions>::with(params, ()))
            }
            Step::Beat(beat) => {
                // Servers look for it in either place.
                let fingerprint = beat.report.host.fingerprint.clone();
                let params = HostFingerprint { fingerprint, ..Default::default() };
                let mut report = Cow::Borrowed(&beat.report);
                if !beat.riders.is_empty() {
                    let updates = beat.riders.iter().map(|(_, end)| end.update.clone());
                    report.to_mut().host_runtime_updates.extend(updates);
                }
                let mut request =
                    codec::encode_parts::<Heartbeat>(&self.base, &key, signing.now, &params, &report)?;
                if let (true, Some(newer)) = (beat.otherwise, Heartbeat::ALIASES.first()) {
                    let address = format!("{}{newer}", self.base).parse();
                    *request.uri_mut() =
                        address.map_err(|error: http::uri::InvalidUri| EncodeError::Address(error.into()))?;
                }
                Ok(request)
            }
            // The machine takes none of these steps: the dialect says that it has none of them.
            Step::Enroll(_) | Step::Poll | Step::Deliver { .. } | Step::CheckUpdate { .. } => {
                Err(EncodeError::Header("X-Api-Key"))
            }
        }
    }

    fn read(&self, step: &Step<Self>, response: &Response<Bytes>) -> Result<Answer<Self>, Trouble> {
        if let Step::Instruct = step {
            let answer = read_reply::<Instructions>(response).map_err(|trouble| judge(trouble, response))?;
            let interval = Some(Duration::from_secs(answer.defaults.heartbeat_interval_seconds.into()));
            return Ok(Answer::Instructed { interval, instructions: answer.changed.then_some(answer) });
        }
        let answer = read_reply::<Heartbeat>(response).map_err(|trouble| judge(trouble, response))?;
        let seconds = answer.defaults.map(|defaults| defaults.heartbeat_interval_seconds);
        Ok(Answer::Taken(Taken {
            server_time: answer.server_time.parse(),
            interval: seconds.map(|seconds| Duration::from_secs(seconds.into())),
            work: answer.host_runtime_commands,
            ..Taken::default()
        }))
    }

    fn otherwise(&self, step: &Step<Self>, trouble: &Trouble) -> Option<Step<Self>> {
        let Step::Beat(beat) = step else { return None };
        let unknown = match trouble.kind {
            TroubleKind::Refused(kind, _) => {
                matches!(kind, FaultKind::NotFound | FaultKind::MethodNotAllowed)
            }
            TroubleKind::Foreign(status) => matches!(status.as_u16(), 404 | 405),
            _ => false,
        };
        unknown.then(|| Step::Beat(Beat { otherwise: !beat.otherwise, ..beat.clone() }))
    }

    fn work_id(command: &RuntimeCommand) -> String {
        command.id.to_string()
    }

    fn work_kind(command: &RuntimeCommand) -> &str {
        &command.kind
    }

    fn work_timeout(_: &RuntimeCommand) -> Option<Duration> {
        None
    }

    fn progress(&self, (): &(), _: &RuntimeCommand, _: Progress) -> Option<CommandEnd> {
        None
    }

    fn ended(&self, (): &(), command: &RuntimeCommand, end: &Ended<FreeMap>) -> Option<CommandEnd> {
        let failed = |why: String| {
            let mut update = RuntimeUpdate::new(command.id, UpdateStatus::Failed);
            update.error = Some(why);
            update
        };
        let update = match &end.ending {
            Ending::Done(result) => {
                let mut update = RuntimeUpdate::new(command.id, UpdateStatus::Completed);
                update.result = Some(result.clone()).filter(|result| !result.0.is_empty());
                update
            }
            Ending::Refused(why) => failed(format!("refused: {why}")),
            Ending::Failed(why) => failed(why.clone()),
            Ending::TimedOut => failed("took too long".to_owned()),
            Ending::Canceled => failed("called off: the host was asked to stop".to_owned()),
            Ending::Interrupted => failed("interrupted: the host went down while it was at work".to_owned()),
        };
        Some(CommandEnd { command: Self::work_id(command), update })
    }

    fn stream(_: &CommandEnd) -> Stream {
        Stream::Beat
    }

    fn ends_work(end: &CommandEnd) -> Option<&str> {
        Some(&end.command)
    }
}

/// What a refusal means: the status decides (AM-2), unless the code says that it is for the key.
fn judge(trouble: Trouble, response: &Response<Bytes>) -> Trouble {
    let is_for_key =
        || code_of::<Heartbeat>(response).is_some_and(|code| KEY_REFUSED.contains(&code.as_str()));
    match trouble.kind {
        TroubleKind::Refused(_, status) if status.is_client_error() && is_for_key() => {
            Trouble { kind: TroubleKind::Refused(FaultKind::Unauthenticated, status), ..trouble }
        }
        _ => trouble,
    }
}

impl fmt::Debug for AgentMc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentMc").field("base", &self.base).finish_non_exhaustive()
    }
}
