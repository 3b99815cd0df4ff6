//! `fleetwire simulate`: a fleet of agents over real sockets, against any server that speaks a vendor's protocol.

mod screen;
mod tokens;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{ArgAction, Args};
use fleetwire_server::mounts;
use fleetwire_server_core::domain::Vendor;
use fleetwire_sim::load::engine::Target;
use fleetwire_sim::load::{self, Enrolling, EnrolmentReport, Limits, Party, Report, Rhythm, Settings, State};
use ring::rand::{SecureRandom, SystemRandom};

use crate::serve::stop_signal;
use screen::Screen;
use tokens::Tokens;

/// The run did not keep to its limits: errors, or a latency.
const BEYOND_LIMITS: u8 = 3;
/// What was measured is the generator.
const BOTTLENECK: u8 = 4;
/// How an address is to look.
const ADDRESS: &str = "the address must be one such as http://127.0.0.1:8787/acusight/api";

/// Be a fleet: enrol agents, have them report at their cadence or at a rate, and say how they were answered.
///
/// Latencies count from the moment at which a request was due, so that a server that stalls is seen to stall.
///
/// Exit status 0: it ran and kept to its limits; 1: it could not run; 3: there were more errors, or slower answers, than
/// --max-error-rate and --max-p99 allow; 4: the generator was the bottleneck, so that the figures are not the server's.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The vendor's base address, as `fleetwire serve` prints it; with an operator's token, or for `mix`, the address of
    /// a Fleetwire server
    #[arg(value_name = "URL")]
    url: String,
    /// Whose agents: one vendor's, or as many of each
    #[arg(long, default_value = "mix", value_parser = ["acusight", "zstack", "agentmc", "achilles", "mix"])]
    vendor: String,
    /// How many agents
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    agents: u32,
    /// Seconds between two reports of one agent, each at a moment of its own [default: 60]
    #[arg(long, value_name = "S", value_parser = seconds)]
    interval: Option<Duration>,
    /// Requests a second instead, at even distances, agents taking their turns
    #[arg(long, value_name = "R", value_parser = rate, conflicts_with = "interval")]
    rate: Option<f64>,
    /// How long, the ramp included: seconds, or such as 10m
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    duration: Duration,
    /// The time over which agents join
    #[arg(long, value_name = "S", default_value = "0", value_parser = seconds_or_none)]
    ramp: Duration,
    /// Connections at one time; as many as agents, at most 4096, unless told otherwise
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    connections: Option<u32>,
    /// Whether a connection is kept for the next request
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    keep_alive: bool,
    /// How long one request may take
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    timeout: Duration,
    /// What takes agents in: an operator's token of a Fleetwire server, or a vendor's enrolment token or key; for several
    /// vendors given several times. VENDOR=TOKEN where the token does not say whose it is
    #[arg(
        long,
        value_name = "TOKEN",
        env = "FLEETWIRE_TOKEN",
        hide_env_values = true,
        value_delimiter = ','
    )]
    token: Vec<String>,
    /// A file that keeps the agents with their keys for the next run
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The most agents to enrol in a second
    #[arg(long, value_name = "R", default_value = "5000", value_parser = rate)]
    enrol_rate: f64,
    /// Have agents ask for work and do it: they run nothing, and say so
    #[arg(long)]
    work: bool,
    /// What decides who reports when and what new agents are called; drawn if it is not given
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// The process of the server, if it is on this machine: its processor time and memory are reported too
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// The share of requests that may fail, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    max_error_rate: f64,
    /// The 99th percentile of latency that is allowed, in milliseconds
    #[arg(long, value_name = "MS", value_parser = positive)]
    max_p99: Option<f64>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write the report as a page that needs nothing besides itself
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Simulate {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let tokens = Tokens::new(&self.token)?;
        let vendors = match Vendor::parse(&self.vendor) {
            Some(vendor) => vec![vendor],
            None => Vendor::ALL.to_vec(),
        };
        let mut state = match &self.state {
            Some(path) => State::read(path)?,
            None => State::default(),
        };
        let seed = self.seed.map_or_else(drawn, Ok)?;
        let address = Address::read(&self.url, vendors.len() > 1 || tokens.operator().is_some())?;

        let mut parties = Vec::new();
        for (place, vendor) in (0_u32..).zip(&vendors) {
            let wanted = share_of(self.agents, place, u32::try_from(vendors.len())?);
            if wanted == 0 {
                continue;
            }
            let base = address.of(*vendor, state.base(*vendor))?;
            let target = Target::find(&base)?;
            let known = state.agents(*vendor).to_vec();
            let missing = wanted.saturating_sub(known.len());
            let mut party = Party::new(*vendor, target, self.keep_alive).with(known);
            if missing > 0 {
                party = party.token(&tokens.of(*vendor, vendors.len() == 1, address.root(), missing).await?);
            }
            parties.push((party, wanted, base));
        }

        let stop = Arc::new(AtomicBool::new(false));
        let asked_to_stop = Arc::clone(&stop);
        let waiting = tokio::spawn(async move {
            stop_signal().await;
            asked_to_stop.store(true, Ordering::Relaxed);
        });
        // The engine has a thread of its own, outside the runtime.
        let (command, outcome) = tokio::task::spawn_blocking(move || {
            let outcome = self.drive(parties, &mut state, seed, stop);
            (self, outcome)
        })
        .await?;
        waiting.abort();
        command.tell(&outcome?)
    }

    /// Enrols who is missing, and lets them report.
    fn drive(
        &self,
        parties: Vec<(Party, usize, String)>,
        state: &mut State,
        seed: u64,
        stop: Arc<AtomicBool>,
    ) -> Result<Report> {
        let mut screen = Screen::new(stop);
        let mut enrolled: Option<EnrolmentReport> = None;
        let how =
            Enrolling { per_second: self.enrol_rate, timeout: self.timeout, seed, ..Enrolling::default() };
        let mut ready = Vec::new();
        for (mut party, wanted, base) in parties {
            screen.enrolling(party.vendor());
            let outcome = load::enrol(&mut party, wanted, &how, &mut screen);
            screen.clear();
            // Whoever was taken in is kept, whatever came after.
            self.keep(state, &party, &base)?;
            if let Some(report) =
                outcome.with_context(|| format!("agents of {} cannot be enrolled", party.vendor()))?
            {
                enrolled = Some(match enrolled {
                    Some(before) => before.and(&report),
                    None => report,
                });
            }
            ready.push((party, base));
        }
        let (parties, bases): (Vec<_>, Vec<_>) = ready.into_iter().unzip();
        load::probe(&parties, self.timeout)?;

        let settings = Settings {
            rhythm: match (self.rate, self.interval) {
                (Some(rate), _) => Rhythm::Rate(rate),
                (None, interval) => Rhythm::Interval(interval.unwrap_or(Duration::from_secs(60))),
            },
            duration: self.duration,
            ramp: self.ramp,
            connections: self.connections.map(|connections| connections as usize),
            timeout: self.timeout,
            work: self.work,
            seed,
            limits: Limits { max_error_rate: self.max_error_rate, max_p99_ms: self.max_p99 },
            server_pid: self.server_pid,
        };
        screen.reporting(self.duration);
        let outcome = load::load(parties, &settings, &mut screen);
        screen.clear();
        let (mut report, parties) = outcome?;
        for (party, base) in parties.iter().zip(&bases) {
            self.keep(state, party, base)?;
        }
        report.enrolment = enrolled;
        // What was given, and not the base of whichever vendor came first.
        self.url.trim().trim_end_matches('/').clone_into(&mut report.target);
        Ok(report)
    }

    fn keep(&self, state: &mut State, party: &Party, base: &str) -> Result<()> {
        if let Some(path) = &self.state {
            state.set(party.vendor(), base, party.agents().to_vec());
            state.write(path)?;
        }
        Ok(())
    }

    /// Shows the report, and says with which status to end.
    fn tell(&self, report: &Report) -> Result<ExitCode> {
        if let Some(path) = &self.html {
            fs::write(path, report.page()).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, report)?;
            writeln!(out)?;
        } else {
            out.write_all(screen::text(report).as_bytes())?;
        }
        out.flush()?;
        Ok(if !report.ok {
            BEYOND_LIMITS.into()
        } else if report.generator.bottleneck {
            BOTTLENECK.into()
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// Where vendors are found.
struct Address {
    /// As it was given, without a slash at its end.
    given: String,
    /// The Fleetwire server that has every vendor below it, if it must be one.
    root: Option<String>,
}

impl Address {
    /// Reads an address. What is no address is not repeated: it may hold a password.
    fn read(text: &str, is_root: bool) -> Result<Self> {
        let text = text.trim();
        ensure!(
            !text.contains('@'),
            "the address must not hold a user name or password; credentials belong to --token"
        );
        ensure!(!text.contains(['?', '#']), "the address must have neither query nor fragment");
        if text.starts_with("https://") {
            bail!(
                "https is not spoken here: what TLS costs this side would be measured as if it were the server's. Send the \
                 load to the plain port behind whatever ends TLS"
            );
        }
        ensure!(text.starts_with("http://"), ADDRESS);
        let given = text.trim_end_matches('/').to_owned();
        let root = is_root.then(|| {
            let below = mounts().iter().map(|mount| format!("{}{}", mount.prefix, mount.base));
            let found =
                below.into_iter().find_map(|path| given.strip_suffix(path.as_str()).map(str::to_owned));
            found.unwrap_or_else(|| given.clone())
        });
        Ok(Self { given, root })
    }

    fn root(&self) -> &str {
        self.root.as_deref().unwrap_or(&self.given)
    }

    /// The base of a vendor. Agents that were taken in before report to where they are known.
    fn of(&self, vendor: Vendor, known: Option<&str>) -> Result<String> {
        let mount = mounts().iter().find(|mount| mount.vendor == vendor.as_str());
        let mount = mount.map(|mount| format!("{}{}{}", self.root(), mount.prefix, mount.base));
        let mount = mount.with_context(|| format!("{vendor} has no place on a server"))?;
        match known {
            Some(known) if known == mount || self.root.is_none() && known == self.given => {
                Ok(known.to_owned())
            }
            Some(known) => bail!(
                "the agents of {vendor} in the file of --state are known at {known}, which is not below {}",
                self.given
            ),
            None if self.root.is_some() => Ok(mount),
            None => Ok(self.given.clone()),
        }
    }
}

/// How many of so many fall to one of several: what does not divide falls to the first.
fn share_of(agents: u32, place: u32, of: u32) -> usize {
    let of = of.max(1);
    (agents / of + u32::from(place < agents % of)) as usize
}

fn drawn() -> Result<u64> {
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system has no randomness"))?;
    // As many digits as one types again.
    Ok(u32::from_be_bytes(bytes).into())
}

/// Seconds, or numbers with their units.
fn seconds(text: &str) -> Result<Duration, String> {
    match seconds_or_none(text)? {
        Duration::ZERO => Err("must be more than nothing".to_owned()),
        time => Ok(time),
    }
}

fn seconds_or_none(text: &str) -> Result<Duration, String> {
    const FORM: &str = "must be seconds, such as 60 or 0.5, or a number and its unit, such as 10m";
    let (number, unit) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1.0),
        Some(b'm') => (&text[..text.len() - 1], 60.0),
        Some(b'h') => (&text[..text.len() - 1], 3600.0),
        _ => (text, 1.0),
    };
    let number: f64 = number.parse().map_err(|_| FORM)?;
    let time = Duration::try_from_secs_f64(number * unit).map_err(|_| FORM)?;
    // A month: schedules count nanoseconds.
    if time <= Duration::from_secs(30 * 24 * 3600) {
        Ok(time)
    } else {
        Err("must be 30 days at most".to_owned())
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = positive(text)?;
    if rate <= 1e7 { Ok(rate) } else { Err("must be 10,000,000 at most".to_owned()) }
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "must be a number")?;
    if number.is_finite() && number >= 0.001 { Ok(number) } else { Err("must be 0.001 at least".to_owned()) }
}

fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "must be a number")?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err("must be from 0 to 1".to_owned()) }
}

#[cfg(test)]
mod tests;
