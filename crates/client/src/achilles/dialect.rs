use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetwire_protocol::achilles::{
    AgentCredentials, AgentId, AgentStatus, Arch, BundleResults, CheckUpdate, Enroll, EnrollRequest,
    EnrollmentToken, Heartbeat, HeartbeatRequest, Os, PollTasks, ReconnectContext, ReconnectReason,
    ReportResult, ReportStatus, RunningVersion, SystemMetrics, Task, TaskId, TaskPath, TaskResultRequest,
    TaskStatus, TaskStatusUpdate, UpdateInfo, Version, VersionInfo,
};
use fleetwire_protocol::codec::{self, EncodeError};
use fleetwire_protocol::wire::{OrNull, Timestamp};
use fleetwire_protocol::{Call, Endpoint, FaultKind};
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use crate::Cause;
use crate::agent::{
    Answer, Away, Beat, Dialect, Ended, Ending, Never, Progress, Reconnect, Secret, Signing, Step, Stream,
    Taken, Trouble, TroubleKind, read_reply,
};

/// How long a task may take where it does not say.
const TASK_TIMEOUT: Duration = Duration::from_secs(300);
/// The exit code of a task that took too long.
const TIMED_OUT: i64 = 259;
/// The exit code of a task that ended in a way that nobody expected, or was not begun.
const UNEXPECTED: i64 = 999;
/// The exit code of a task that was called off.
const CALLED_OFF: i64 = -1;
/// Bytes of each of the two texts that a task has printed; more is cut off (deployed).
const PRINTED: usize = 1 << 20;

/// ProjectAchilles's dialect: what an agent says of itself besides its reports.
#[derive(Clone)]
pub struct Achilles {
    base: String,
    token: EnrollmentToken,
    applicant: Applicant,
}

/// Who asks to be enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Applicant {
    /// The machine's name on the network.
    pub hostname: String,
    /// Its operating system.
    pub os: Os,
    /// Its architecture.
    pub arch: Arch,
    /// Version of the agent's binary.
    pub version: String,
}

impl Applicant {
    /// This machine, of the operating system and architecture that the program was built for.
    pub fn new(hostname: impl Into<String>, version: impl Into<String>) -> Self {
        let (os, arch) = (os(std::env::consts::OS), arch(std::env::consts::ARCH));
        Self { hostname: hostname.into(), os, arch, version: version.into() }
    }
}

/// An operating system, from Rust's word for it.
pub(crate) fn os(name: &str) -> Os {
    Os::from(if name == "macos" { "darwin" } else { name })
}

/// An architecture, from Rust's word for it.
pub(crate) fn arch(name: &str) -> Arch {
    Arch::from(match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    })
}

/// Who an agent is to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Identity {
    /// Its id.
    pub agent_id: AgentId,
    /// The organisation that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_id: Option<String>,
    /// The server's own address, as it was told at enrolment. The agent keeps to the address that it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_url: Option<String>,
    /// The key that signs updates, base64 of 32 bytes of Ed25519. It is taken once, at enrolment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_key: Option<String>,
}

/// What comes of a task.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct TaskOutcome {
    /// How it ended: 0 is well.
    pub exit_code: i64,
    /// What it printed; the server gets the first MiB.
    pub stdout: String,
    /// What it printed beside that; the server gets the first MiB.
    pub stderr: String,
    /// Why it failed.
    pub error: Option<String>,
    /// The outcome of each control of a bundle.
    pub bundle: Option<BundleResults>,
    /// SHA-256 of the binary that was run, 64 hex digits; empty where none was, or that of the task's payload.
    pub binary_sha256: String,
}

impl TaskOutcome {
    /// An outcome that says no more than this.
    #[must_use]
    pub fn exit(exit_code: i64) -> Self {
        Self { exit_code, ..Self::default() }
    }

    /// A task that was done, and what it printed.
    pub fn printed(stdout: impl Into<String>) -> Self {
        Self { stdout: stdout.into(), ..Self::default() }
    }
}

/// What an agent hands over besides its heartbeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Message {
    /// How far a task is, or that it failed without anything having come of it.
    Status {
        /// The task.
        task: TaskId,
        /// The word, and the reason of a failure.
        said: TaskStatusUpdate,
    },
    /// What came of a task.
    Result(Box<TaskResultRequest>),
}

impl Message {
    /// A task that was not begun, or of which nobody knows how far it got: it has no result.
    fn failed(task: &Task, why: String) -> Self {
        Self::Status { task: task.id.clone(), said: TaskStatusUpdate::failed(why) }
    }
}

impl Achilles {
    /// An agent that enrols with a token at the server of this base address, which has no slash at its end.
    pub fn new(base: impl Into<String>, token: impl Into<EnrollmentToken>, applicant: Applicant) -> Self {
        Self { base: base.into(), token: token.into(), applicant }
    }

    pub(crate) const fn applicant_mut(&mut self) -> &mut Applicant {
        &mut self.applicant
    }

    /// The server's base address, and the machine that the agent is on.
    #[cfg(feature = "update")]
    pub(crate) fn place(&self) -> (&str, &Os, &Arch) {
        (&self.base, &self.applicant.os, &self.applicant.arch)
    }

    pub(crate) fn encode<E: Endpoint<Auth = fleetwire_protocol::achilles::AgentAuth>>(
        &self,
        signing: &Signing<'_, Self>,
        call: &Call<E>,
    ) -> Result<Request<Bytes>, EncodeError> {
        let (Some(identity), Some(key)) = (signing.identity, signing.key) else {
            return Err(EncodeError::Header("X-Agent-Key"));
        };
        let credentials = AgentCredentials::new(identity.agent_id.clone(), key.expose());
        codec::encode(&self.base, &credentials, signing.now, call)
    }

    fn heartbeat(&self, beat: &Beat<SystemMetrics, Message>, now: DateTime<Utc>) -> HeartbeatRequest {
        let status = if beat.current.is_some() { AgentStatus::Executing } else { AgentStatus::Idle };
        let version = self.applicant.version.as_str();
        let mut request = HeartbeatRequest::new(Timestamp::millis(now), status, beat.report.clone(), version);
        request.current_task = OrNull(beat.current.as_deref().map(TaskId::from));
        request.last_task_completed = OrNull(beat.last.as_deref().map(TaskId::from));
        if let Some(gap) = &beat.reconnect {
            let started = Timestamp::millis(beat.process_start);
            request.reconnect_reason = Some(in_the_sources_words(gap.reason));
            request.process_start_time = Some(started.clone());
            request.reconnect_context = Some(context(gap, started));
        }
        request
    }
}

fn context(gap: &Reconnect, started: Timestamp) -> ReconnectContext {
    let mut context = ReconnectContext::new(
        in_the_deployed_words(gap.reason),
        gap.away.as_secs_f64().round(),
        gap.failures.into(),
    );
    context.detail = match gap.reason {
        Away::Suspended => Some("the machine was suspended".to_owned()),
        _ => gap.detail.clone(),
    };
    context.first_failure_at = gap.first_failure.map(Timestamp::millis);
    context.process_start_time = Some(started);
    context
}

/// The source has four words.
const fn in_the_sources_words(reason: Away) -> ReconnectReason {
    match reason {
        Away::ProcessRestart => ReconnectReason::ServiceRestart,
        Away::MachineReboot => ReconnectReason::MachineReboot,
        Away::UpdateRestart => ReconnectReason::UpdateRestart,
        Away::Suspended | Away::Network(_) | Away::Refused => ReconnectReason::NetworkRecovery,
    }
}

/// The deployed server has more, and reads them before those of the source.
const fn in_the_deployed_words(reason: Away) -> ReconnectReason {
    match reason {
        Away::Suspended => ReconnectReason::Unknown,
        Away::Refused => ReconnectReason::ServerUnreachable,
        Away::Network(cause) => match cause {
            Cause::Name => ReconnectReason::DnsFailure,
            Cause::Unreachable => ReconnectReason::ServerUnreachable,
            Cause::Tls => ReconnectReason::TlsError,
            Cause::Broken => ReconnectReason::ConnectionReset,
            Cause::Timeout => ReconnectReason::ConnectionTimeout,
        },
        other => in_the_sources_words(other),
    }
}

impl Dialect for Achilles {
    type Identity = Identity;
    type Applicant = Applicant;
    type Report = SystemMetrics;
    type Work = Task;
    type Outcome = TaskOutcome;
    type Message = Message;
    type Update = UpdateInfo;
    type Instructions = Never;

    const VENDOR: &'static str = "achilles";
    const POLLS: bool = true;
    const CHECKS_UPDATES: bool = true;

    fn provisioned(&self) -> Option<(Identity, Secret)> {
        None
    }

    #[cfg(feature = "host-facts")]
    fn report(&self, facts: &crate::host::Facts) -> Option<SystemMetrics> {
        Some(facts.into())
    }

    fn applicant(&self) -> Option<Applicant> {
        Some(self.applicant.clone())
    }

    fn introduce(&mut self, report: &SystemMetrics) -> Option<Duration> {
        self.applicant.hostname.clone_from(&report.hostname);
        self.applicant.os = report.os.clone();
        self.applicant.arch = report.arch.clone();
        Duration::try_from_secs_f64(report.uptime_seconds.get()).ok()
    }

    fn request(&self, step: &Step<Self>, signing: &Signing<'_, Self>) -> Result<Request<Bytes>, EncodeError> {
        match step {
            Step::Enroll(applicant) => {
                let Applicant { hostname, os, arch, version } = applicant.clone();
                let body = EnrollRequest::new(self.token.clone(), hostname, os, arch, version);
                codec::encode(&self.base, &(), signing.now, &Call::<Enroll>::new(body))
            }
            Step::Beat(beat) => {
                self.encode(signing, &Call::<Heartbeat>::new(self.heartbeat(beat, signing.now)))
            }
            // The dialect says that it has no such step, and the machine takes none.
            Step::Instruct => Err(EncodeError::Header("X-Agent-Key")),
            Step::Poll => self.encode(signing, &Call::<PollTasks>::new(())),
            Step::Deliver { message: Message::Result(result), .. } => {
                let path = TaskPath::new(result.task_id.clone());
                self.encode(signing, &Call::<ReportResult>::with(path, (**result).clone()))
            }
            Step::Deliver { message: Message::Status { task, said }, .. } => {
                let path = TaskPath::new(task.clone());
                self.encode(signing, &Call::<ReportStatus>::with(path, said.clone()))
            }
            Step::CheckUpdate { otherwise: false } => {
                let version = self.applicant.version.as_str();
                let running = match version.is_empty() {
                    true => RunningVersion::default(),
                    false => RunningVersion::new(version),
                };
                self.encode(signing, &Call::<Version>::with(running, ()))
            }
            Step::CheckUpdate { otherwise: true } => self.encode(signing, &Call::<CheckUpdate>::new(())),
        }
    }

    fn read(&self, step: &Step<Self>, response: &Response<Bytes>) -> Result<Answer<Self>, Trouble> {
        Ok(match step {
            Step::Enroll(_) => {
                let data = read_reply::<Enroll>(response)?.data;
                let key =
                    data.key().ok_or_else(|| Trouble::foreign(response, "an enrolment without a key"))?;
                Answer::Enrolled {
                    key: Secret::new(key.expose()),
                    poll: data.poll_interval.map(|seconds| Duration::from_secs(seconds.into())),
                    identity: Identity {
                        update_key: data.update_key().map(ToOwned::to_owned),
                        agent_id: data.agent_id,
                        org_id: data.org_id,
                        server_url: data.server_url,
                    },
                }
            }
            Step::Beat(_) => {
                let data = read_reply::<Heartbeat>(response)?.data;
                Answer::Taken(Taken {
                    server_time: data.server_time.parse(),
                    new_key: data.new_api_key.map(|key| Secret::new(key.expose())),
                    ..Taken::default()
                })
            }
            Step::Instruct => return Err(Trouble::foreign(response, "nothing was asked for")),
            Step::Poll => Answer::Work(
                read_reply::<PollTasks>(response)?.map(|answer| answer.data.0).unwrap_or_default(),
            ),
            Step::Deliver { message: Message::Result(_), .. } => {
                read_reply::<ReportResult>(response)?;
                Answer::Delivered
            }
            Step::Deliver { message: Message::Status { .. }, .. } => {
                read_reply::<ReportStatus>(response)?;
                Answer::Delivered
            }
            Step::CheckUpdate { otherwise: false } => {
                Answer::Update(read_reply::<Version>(response)?.map(|answer| update(answer.data)))
            }
            Step::CheckUpdate { otherwise: true } => {
                Answer::Update(read_reply::<CheckUpdate>(response)?.data.0)
            }
        })
    }

    // Deployed servers answer the source's question with the binary itself, so that it is asked only where there is
    // no other (PA-4).
    fn otherwise(&self, step: &Step<Self>, trouble: &Trouble) -> Option<Step<Self>> {
        let unknown = match trouble.kind {
            TroubleKind::Refused(kind, _) => kind == FaultKind::NotFound,
            TroubleKind::Foreign(status) => matches!(status.as_u16(), 404 | 405),
            _ => false,
        };
        (unknown && matches!(step, Step::CheckUpdate { otherwise: false }))
            .then_some(Step::CheckUpdate { otherwise: true })
    }

    fn work_id(task: &Task) -> String {
        task.id.as_str().to_owned()
    }

    fn work_kind(task: &Task) -> &str {
        task.kind.as_str()
    }

    fn work_timeout(task: &Task) -> Option<Duration> {
        Some(task.payload.execution_timeout.map_or(TASK_TIMEOUT, Duration::from_secs))
    }

    fn begins_with(task: &Task) -> Progress {
        let has_binary = task.payload.binary_name.as_ref().is_some_and(|name| !name.is_empty());
        if has_binary { Progress::Fetching } else { Progress::Running }
    }

    // A deployed server takes a result only after one of the two words.
    fn progress(&self, _: &Identity, task: &Task, progress: Progress) -> Option<Message> {
        let status = match progress {
            Progress::Fetching => TaskStatus::Downloading,
            Progress::Running => TaskStatus::Executing,
        };
        Some(Message::Status { task: task.id.clone(), said: TaskStatusUpdate::new(status) })
    }

    fn ended(&self, _: &Identity, task: &Task, end: &Ended<TaskOutcome>) -> Option<Message> {
        let outcome = match &end.ending {
            Ending::Done(outcome) => outcome.clone(),
            Ending::Refused(why) => return Some(Message::failed(task, format!("refused: {why}"))),
            Ending::Failed(why) => in_trouble(UNEXPECTED, why.clone()),
            Ending::TimedOut => in_trouble(TIMED_OUT, "took too long".to_owned()),
            Ending::Canceled => in_trouble(CALLED_OFF, "called off: the agent was asked to stop".to_owned()),
            Ending::Interrupted => {
                let why = "interrupted: the agent went down while it was at work";
                return Some(Message::failed(task, why.to_owned()));
            }
        };
        let mut result = TaskResultRequest::new(
            task.id.clone(),
            outcome.exit_code,
            Timestamp::millis(end.started),
            Timestamp::millis(end.ended),
            f64::from(u32::try_from(end.took.as_millis()).unwrap_or(u32::MAX)),
        );
        result.test_uuid = task.payload.test_uuid.clone().unwrap_or_default();
        result.binary_sha256 = match outcome.binary_sha256.is_empty() {
            true => task.payload.binary_sha256.clone().unwrap_or_default(),
            false => outcome.binary_sha256,
        };
        result.stdout = cut(outcome.stdout);
        result.stderr = cut(outcome.stderr);
        result.hostname.clone_from(&self.applicant.hostname);
        result.os = self.applicant.os.clone();
        result.arch = self.applicant.arch.clone();
        result.error = outcome.error;
        // Deployed: a bundle of another test is not taken for this one's.
        result.bundle_results = outcome.bundle.filter(|bundle| bundle.bundle_id == result.test_uuid);
        Some(Message::Result(Box::new(result)))
    }

    fn stream(message: &Message) -> Stream {
        match message {
            Message::Status { said, .. } if said.status != TaskStatus::Failed => Stream::Status,
            Message::Status { .. } | Message::Result(_) => Stream::Result,
        }
    }

    fn ends_work(message: &Message) -> Option<&str> {
        match message {
            Message::Status { task, said } => (said.status == TaskStatus::Failed).then_some(task.as_str()),
            Message::Result(result) => Some(result.task_id.as_str()),
        }
    }
}

/// The version in the words of the source, which knows where its binary is.
fn update(latest: VersionInfo) -> UpdateInfo {
    let mut update = UpdateInfo::new(latest.version, latest.sha256, latest.size, latest.mandatory);
    update.signature = latest.signature;
    update
}

fn in_trouble(exit_code: i64, why: String) -> TaskOutcome {
    TaskOutcome { exit_code, stderr: why.clone(), error: Some(why), ..TaskOutcome::default() }
}

/// The first MiB, whole characters only.
fn cut(mut text: String) -> String {
    if text.len() > PRINTED {
        let end = (0..=PRINTED).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
    }
    text
}

impl fmt::Debug for Achilles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Achilles")
            .field("base", &self.base)
            .field("applicant", &self.applicant)
            .finish_non_exhaustive()
    }
}
