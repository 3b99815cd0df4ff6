//! `fleetwire agent`: a ready agent for each vendor. It reports its machine, does work that harms nothing, and runs no
//! command.

mod address;
mod status;
mod work;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, Subcommand};
use fleetwire_client::agent::{Dialect, Event, Settings, Status, Trouble};
use fleetwire_client::host::Host;
use fleetwire_client::store::{DiskError, DiskStore};
use fleetwire_client::{AddressError, Agent, Handle, ReqwestTransport, RunError, TokioRuntime};
use fleetwire_client::{achilles, acusight, agentmc, zstack};
use ring::rand::{SecureRandom, SystemRandom};
use tracing::{error, info, warn};

use address::Noting;
use status::StatusCommand;

/// The server does not take the agent in, or refuses its key: asking again with the same does not help.
const NOT_TAKEN_IN: u8 = 3;
/// The folder of the state is in use, or cannot be used.
const NO_FOLDER: u8 = 4;
/// How many failures in a row an agent that is to check in once gets over.
const PATIENCE: u32 = 3;
/// What every agent says its version is.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What makes the tokens and keys.
const TOKEN_OF_ACHILLES: &str = "fleetwire tokens create achilles";
const TOKEN_OF_ACUSIGHT: &str = "fleetwire tokens create acusight";
const KEY_OF_ACUSIGHT: &str = "fleetwire devices add acusight";
const KEY_OF_ZSTACK: &str = "fleetwire keys create zstack";
const KEY_OF_AGENTMC: &str = "fleetwire devices add agentmc";

/// Be an agent on this machine.
///
/// It reports the machine's own facts, and does work that harms nothing, within the folder `files` of its state:
///
/// Achilles: report_facts prints them; fetch_binary fetches payload.binary_name, held to payload.binary_sha256; checksum
/// says the SHA-256 of a file that lies there.
///
/// Acusight: model_update fetches the model and has the next check-in report it.
///
/// AgentMC: report_facts; fetch_instructions fetches the agent's files, each held to its SHA-256; checksum of the file
/// that payload.runtime_key names.
///
/// ZStack tells its agents of no work. Anything else is refused with a reason; no command is run.
///
/// SIGINT and SIGTERM stop it: work at hand gets ten seconds, and what it came to is sent, or kept for the next start.
///
/// Exit status 0: stopped as asked; 1: something else failed; 3: the server does not take it in, so that starting it
/// again does not help; 4: the folder of its state is in use or cannot be used.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Enrol with a token of `fleetwire tokens create achilles`, then report and take tasks.
    Achilles(Achilles),
    /// Check in as a device, with its key or with a token of `fleetwire tokens create acusight`.
    Acusight(Acusight),
    /// Report to the record of an agent that is there already.
    Zstack(Zstack),
    /// Report this host and one agent on it.
    Agentmc(Agentmc),
    /// Say what the state in a folder knows: who the agent is, when it was last heard, what waits. Shows no key.
    Status(StatusCommand),
}

#[derive(Debug, Args)]
pub(crate) struct Achilles {
    #[command(flatten)]
    common: Common,
    /// Milliseconds between two looks for work, where the server does not say
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(20..))]
    poll_ms: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Acusight {
    #[command(flatten)]
    common: Common,
    /// The device's id
    #[arg(long, value_name = "ID")]
    device: String,
}

#[derive(Debug, Args)]
pub(crate) struct Zstack {
    #[command(flatten)]
    common: Common,
    /// The id of the agent's record
    #[arg(long, value_name = "UUID")]
    agent: String,
}

#[derive(Debug, Args)]
pub(crate) struct Agentmc {
    #[command(flatten)]
    common: Common,
    /// The number that the server has given the agent on this host
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    agent: i64,
    /// The agent's name
    #[arg(long, value_name = "NAME", default_value = "fleetwire")]
    name: String,
}

/// What every agent needs.
#[derive(Args)]
struct Common {
    /// The vendor's base address, as `fleetwire serve` prints it, such as http://127.0.0.1:8787/achilles
    #[arg(long, value_name = "URL")]
    server: String,
    /// The token or key; better kept in a file or in the environment, where other users do not see it. Not needed
    /// any more once the agent has enrolled
    #[arg(long, value_name = "TOKEN", env = "FLEETWIRE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file that holds the token or key and nothing else; goes before --token
    #[arg(long, value_name = "FILE", env = "FLEETWIRE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The folder of the agent's state, its own; made if it is not there
    #[arg(long, value_name = "DIR", env = "FLEETWIRE_STATE")]
    state: PathBuf,
    /// Stop after one good check-in, and end at once if the address or the key is wrong, or after three failures
    #[arg(long)]
    once: bool,
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the token nor an address, which may hold a password.
        f.debug_struct("Common").field("state", &self.state).field("once", &self.once).finish_non_exhaustive()
    }
}

impl AgentCommand {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let outcome = match self {
            Self::Achilles(command) => command.run().await,
            Self::Acusight(command) => command.run().await,
            Self::Zstack(command) => command.run().await,
            Self::Agentmc(command) => command.run().await,
            Self::Status(status) => status.run(),
        };
        match outcome {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => match exit_status(&error) {
                Some(status) => {
                    // Standard error may be closed; the exit code still tells.
                    let _ = writeln!(io::stderr(), "fleetwire: {error:#}");
                    Ok(status.into())
                }
                None => Err(error),
            },
        }
    }
}

/// The exit status that tells a failure apart from others.
fn exit_status(error: &anyhow::Error) -> Option<u8> {
    if error.is::<DiskError>() {
        return Some(NO_FOLDER);
    }
    match error.downcast_ref::<RunError>()? {
        RunError::NotTakenIn(_) => Some(NOT_TAKEN_IN),
        RunError::Store(_) | RunError::Start(_) => Some(NO_FOLDER),
        _ => None,
    }
}

impl Achilles {
    async fn run(self) -> Result<()> {
        let Self { common, poll_ms } = self;
        let kept = common.kept("achilles")?;
        let token = common.token(kept.is_some(), TOKEN_OF_ACHILLES)?;
        let agent = achilles::Agent::enroll(&common.server, token).map_err(unusable)?.version(VERSION);
        let mut settings = Settings::default();
        settings.cadence.poll = Duration::from_millis(poll_ms);
        let transport = transport()?;
        let agent = work::achilles::equip(agent.settings(settings), &common.state, &transport);
        common.be(agent, kept, TOKEN_OF_ACHILLES, work::achilles::KINDS, transport).await
    }
}

impl Acusight {
    async fn run(self) -> Result<()> {
        let Self { common, device } = self;
        let kept = common.kept("acusight")?;
        let token = common.token(kept.is_some(), TOKEN_OF_ACUSIGHT)?;
        let (agent, made_by) = if token.starts_with("adk_") {
            (acusight::Agent::provisioned(&common.server, device, token), KEY_OF_ACUSIGHT)
        } else {
            (acusight::Agent::provision(&common.server, token, device), TOKEN_OF_ACUSIGHT)
        };
        let transport = transport()?;
        let agent = work::acusight::equip(agent.map_err(unusable)?, &common.state, &transport)?;
        common.be(agent, kept, made_by, work::acusight::KINDS, transport).await
    }
}

impl Zstack {
    async fn run(self) -> Result<()> {
        let Self { common, agent } = self;
        let kept = common.kept("zstack")?;
        let token = common.token(false, KEY_OF_ZSTACK)?;
        let agent = zstack::Agent::registered(&common.server, agent, token).map_err(unusable)?;
        common.be(agent.version(VERSION), kept, KEY_OF_ZSTACK, &[], transport()?).await
    }
}

impl Agentmc {
    async fn run(self) -> Result<()> {
        let Self { common, agent: number, name } = self;
        let kept = common.kept("agentmc")?;
        let token = common.token(false, KEY_OF_AGENTMC)?;
        let agent = agentmc::Agent::with_key(&common.server, token.as_str()).map_err(unusable)?;
        let facts = Host::new(&common.state).facts();
        ensure!(facts.ip.is_some(), "this machine has no address that it could report: is it on a network?");
        let fingerprint = match facts.fingerprint {
            Some(fingerprint) => fingerprint,
            None => own_fingerprint(&common.state)?,
        };
        let transport = transport()?;
        let who = work::agentmc::Who {
            server: &common.server,
            key: &token,
            agent: number,
            name: &name,
            fingerprint: &fingerprint,
        };
        let agent = work::agentmc::equip(agent, &common.state, &transport, &who).map_err(unusable)?;
        let agent = agent.on_host(number, name, VERSION).fingerprint(fingerprint);
        common.be(agent, kept, KEY_OF_AGENTMC, work::agentmc::KINDS, transport).await
    }
}

/// The fingerprint of a machine that has no id: drawn once and kept beside the agent's state.
fn own_fingerprint(folder: &Path) -> Result<String> {
    let path = folder.join("fingerprint");
    match fs::read_to_string(&path) {
        Ok(text) if text.len() == 64 => return Ok(text),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
        _ => {}
    }
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system has no randomness"))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let fresh = folder.join("fingerprint.new");
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&fresh, &text));
    written
        .and_then(|()| fs::rename(&fresh, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(text)
}

fn transport() -> Result<ReqwestTransport> {
    ReqwestTransport::new().context("TLS cannot be set up")
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn unusable(error: AddressError) -> anyhow::Error {
    anyhow!("{error}; --server takes the vendor's base address, as `fleetwire serve` prints it")
}

impl Common {
    /// What the folder knows of an agent that was taken in before.
    fn kept(&self, vendor: &str) -> Result<Option<Status>> {
        let status = status::read(&self.state)?.filter(|status| status.identity.is_some());
        if let Some(status) = &status {
            ensure!(
                status.vendor == vendor,
                "{} is the state of an agent of {}; --state takes another folder",
                self.state.display(),
                status.vendor
            );
        }
        Ok(status)
    }

    /// The token or key. Who has one of its own needs none to be taken in.
    fn token(&self, optional: bool, made_by: &str) -> Result<String> {
        let given = match &self.token_file {
            Some(path) => {
                Some(fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?)
            }
            None => self.token.clone(),
        };
        let token = given.unwrap_or_default().trim().to_owned();
        if token.is_empty() && !optional {
            bail!("no token: pass it by --token-file or FLEETWIRE_TOKEN; `{made_by}` makes one");
        }
        if token.starts_with("fwo_") {
            bail!(
                "this is an operator's token, which no agent should have; `{made_by}` makes one for an agent"
            );
        }
        Ok(token)
    }

    /// Is an agent until it is asked to stop. It does work of these kinds.
    async fn be<D: Dialect>(
        &self,
        agent: Agent<D>,
        kept: Option<Status>,
        made_by: &str,
        kinds: &'static [&'static str],
        transport: ReqwestTransport,
    ) -> Result<()> {
        let store = DiskStore::open(&self.state)?;
        let transport = Noting::new(transport);
        let handle = agent.handle();
        let news = Arc::new(News::default());
        let watcher = Watcher {
            news: Arc::clone(&news),
            handle: handle.clone(),
            transport: transport.clone(),
            server: self.server.clone(),
            once: self.once,
            // One that was started with a key has an identity before any server has heard it.
            known: kept.is_some_and(|status| status.last_taken.is_some()),
            kinds,
            failures: 0,
        };
        let agent = agent.observe(observer(watcher));
        let mut running = std::pin::pin!(agent.run(store, transport.clone(), TokioRuntime));
        let outcome = tokio::select! {
            outcome = &mut running => outcome,
            () = crate::serve::stop_signal() => {
                info!("stopping");
                handle.stop();
                running.await
            }
        };
        let taken = news.taken.load(Ordering::Relaxed);
        let given_up = news.given_up.lock().map_or(None, |mut held| held.take());
        match outcome {
            Err(error @ RunError::NotTakenIn(_)) => {
                let next = format!(
                    "the token is not good here{}: `{made_by}` makes a new one, for --token-file",
                    self.or_elsewhere(D::VENDOR)
                );
                Err(anyhow::Error::from(error).context(next))
            }
            Err(error) => Err(error.into()),
            Ok(()) if !taken && let Some(trouble) = given_up => {
                if trouble.is_unauthenticated() {
                    let next = format!(
                        "the key is not good here{}: see that it is the one that `{made_by}` made",
                        self.or_elsewhere(D::VENDOR)
                    );
                    return Err(anyhow::Error::from(RunError::NotTakenIn(trouble)).context(next));
                }
                let next = address::advice(D::VENDOR, &self.server, &trouble);
                let next = next.map_or_else(String::new, |next| format!("; {next}"));
                bail!("{}: {trouble}{next}", transport.last())
            }
            Ok(()) if self.once && !taken => bail!("stopped before a check-in was taken"),
            Ok(()) => Ok(()),
        }
    }

    /// Where else a Fleetwire server has the vendor: one that does not know an address may take every stranger for one
    /// without a key.
    fn or_elsewhere(&self, vendor: &str) -> String {
        let base = self.server.trim().parse().ok();
        let elsewhere = base.and_then(|base| address::elsewhere(vendor, &base));
        elsewhere.map_or_else(String::new, |elsewhere| format!(", or the address is another's ({elsewhere})"))
    }
}

/// What has happened to an agent.
#[derive(Default)]
struct News {
    /// A heartbeat was taken.
    taken: AtomicBool,
    /// The failure over which it was stopped.
    given_up: Mutex<Option<Trouble>>,
}

/// Who watches an agent.
struct Watcher<D: Dialect> {
    news: Arc<News>,
    handle: Handle<D>,
    transport: Noting,
    server: String,
    once: bool,
    /// Whether a server has known the agent before.
    known: bool,
    /// The kinds of work that it does.
    kinds: &'static [&'static str],
    /// How many steps in a row have failed without which there is no check-in.
    failures: u32,
}

impl<D: Dialect> Watcher<D> {
    /// A step has failed. An agent that is to check in once is stopped over a mistake, and over the third failure; any
    /// other says what is wrong and goes on.
    fn failed(&mut self, step: &str, trouble: &Trouble, next: Option<Duration>) {
        let again = next.map_or_else(|| "not again".to_owned(), |wait| format!("again in {wait:.0?}"));
        let checks_in = matches!(step, "enroll" | "heartbeat");
        if !checks_in || self.news.taken.load(Ordering::Relaxed) {
            warn!("{step} failed: {trouble}; {again}");
            return;
        }
        self.failures += 1;
        let tried = self.transport.last();
        match address::advice(D::VENDOR, &self.server, trouble).filter(|_| address::is_mistake(trouble)) {
            Some(advice) => error!("{step} failed: {tried}: {trouble}; {advice}; {again}"),
            None => warn!("{step} failed: {trouble}; {again}"),
        }
        // A key that was never good is a mistake of who started it, and not a server's bad day.
        let refused = !self.known && step == "heartbeat" && trouble.is_unauthenticated();
        if refused || self.once && (address::is_mistake(trouble) || self.failures >= PATIENCE) {
            self.give_up(trouble);
        }
    }

    fn give_up(&self, trouble: &Trouble) {
        if let Ok(mut given_up) = self.news.given_up.lock() {
            *given_up = Some(trouble.clone());
        }
        self.handle.stop();
    }
}

/// Tells the log what happens, and stops an agent that has done what it was asked for or never will.
fn observer<D: Dialect>(mut watcher: Watcher<D>) -> impl FnMut(&Event<D>) + Send + 'static {
    move |event| match event {
        Event::Enrolled(identity) => {
            watcher.failures = 0;
            info!(?identity, "the server has taken this agent in");
        }
        Event::Taken { after_failures } => {
            if !watcher.news.taken.swap(true, Ordering::Relaxed) || *after_failures > 0 {
                info!(after_failures, "checked in");
            }
            if watcher.once {
                watcher.handle.stop();
            }
        }
        Event::Failed { step, trouble, next } => watcher.failed(step, trouble, *next),
        Event::KeysRefused => warn!("the server refuses this agent's keys; they are kept and tried again"),
        Event::ClockOff(millis) => {
            warn!("this machine's clock is {millis} ms behind the server's; corrected for");
        }
        Event::Accepted(work) => {
            let (id, kind) = (D::work_id(work), D::work_kind(work));
            if watcher.kinds.contains(&kind) {
                info!(id, kind, "work accepted");
            } else {
                // Not every dialect has a word in which the server could be told.
                warn!(id, kind, "work refused: this agent does {}", known(watcher.kinds));
            }
        }
        Event::StoreFailed(why) => warn!("the state cannot be saved: {why}"),
        Event::StoreDamaged(what) => warn!("damaged and set aside: {what}"),
        Event::Dropped { why, .. } => warn!("a message is lost: {why}"),
        other => info!("{other:?}"),
    }
}

fn known(kinds: &[&str]) -> String {
    if kinds.is_empty() { "no work".to_owned() } else { format!("{} only", kinds.join(", ")) }
}
