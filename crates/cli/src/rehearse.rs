//! `fleetwire rehearse`: agents and a server live through faults under a virtual clock.

use std::fs;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use fleetwire_server_core::domain::Vendor;
use fleetwire_sim::world::{Fleet, Law, Scenario, Shrunk, World, live, page, shrink};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// Have a whole fleet and a server live through days of faults in seconds, under a virtual clock.
///
/// The agents are the SDK's own, the server is the real one over a store in memory, and nothing goes over a network.
/// Faults are drawn from a seed: restarts, lost and late messages, wrong clocks, crashes, new keys, work. A law that is
/// broken ends the run; the scenario is then made as small as it can be and written to a file that can be replayed.
///
/// Exit status 0: every law held; 1: one was broken; 2: something could not be read or written.
#[derive(Debug, Args)]
pub(crate) struct Rehearse {
    /// The seed that the first scenario is drawn from
    #[arg(long, env = "FLEETWIRE_WORLD_SEED", default_value_t = 1)]
    seed: u64,
    /// How many seeds to live through, one after the other
    #[arg(long, env = "FLEETWIRE_WORLD_SEEDS", default_value_t = 1, value_name = "N")]
    seeds: u64,
    /// How many agents there are
    #[arg(long, env = "FLEETWIRE_WORLD_AGENTS", default_value_t = 400, value_name = "N")]
    agents: u32,
    /// Whose agents they are; of all vendors in equal parts unless given
    #[arg(long, value_parser = vendors())]
    vendor: Option<String>,
    /// For how many hours faults fall; 45 minutes to settle come after them
    #[arg(long, default_value_t = 24.0, value_name = "HOURS", value_parser = hours)]
    hours: f64,
    /// Nothing befalls anybody: to see what a usual day looks like, or how fast it passes
    #[arg(long)]
    calm: bool,
    /// Live through the scenario of this file instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seeds", "agents", "vendor", "hours", "calm"])]
    replay: Option<PathBuf>,
    /// Where the smallest scenario goes in which a law is still broken
    #[arg(long, value_name = "FILE", default_value = "rehearsal.json")]
    smallest: PathBuf,
    /// How many smaller scenarios are tried at most; 0 leaves the scenario as it is
    #[arg(long, value_name = "N", default_value_t = 1000)]
    shrink: u32,
    /// Write a page with drawings of the last world: one HTML file that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
}

fn vendors() -> PossibleValuesParser {
    PossibleValuesParser::new(Vendor::ALL.map(Vendor::as_str))
}

/// Long enough for something to happen, and no longer than there are seconds for.
fn hours(text: &str) -> Result<f64, String> {
    let hours: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if (0.1..=8760.0).contains(&hours) { Ok(hours) } else { Err("must be from 0.1 to 8760".to_owned()) }
}

/// A world as data.
#[derive(Serialize)]
struct Rehearsed<'a> {
    /// Whether every law held.
    ok: bool,
    seed: u64,
    agents: u32,
    faults: usize,
    /// Seconds of this machine's time.
    took_seconds: f64,
    /// Reports that the server took, in each second of this machine's time.
    heartbeats_per_second: f64,
    world: &'a World,
    /// What is left of a scenario in which a law is broken.
    smallest: Option<Smallest<'a>>,
}

#[derive(Serialize)]
struct Smallest<'a> {
    /// How many worlds were lived through to find it.
    lives: u32,
    broken: String,
    file: &'a Path,
    scenario: &'a Scenario,
}

impl Rehearse {
    pub(crate) fn run(self) -> ExitCode {
        match self.rehearse() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => {
                // Standard error may be closed; the exit code still tells.
                let _ = writeln!(stderr(), "fleetwire: {error:#}");
                ExitCode::from(2)
            }
        }
    }

    fn rehearse(&self) -> Result<bool> {
        if let Some(file) = &self.replay {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            let scenario: Scenario = serde_json::from_str(&text)
                .with_context(|| format!("{} holds no scenario", file.display()))?;
            return self.live_through(&scenario, true);
        }
        if self.agents == 0 || self.seeds == 0 {
            bail!("--agents and --seeds must be at least 1");
        }
        let last = self.seed.saturating_add(self.seeds - 1);
        for seed in self.seed..=last {
            if !self.live_through(&self.scenario(seed), seed == last)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn scenario(&self, seed: u64) -> Scenario {
        let fleet = match self.vendor.as_deref().and_then(Vendor::parse) {
            Some(vendor) => Fleet::only(vendor, self.agents),
            None => Fleet::mixed(self.agents),
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was looked at when it was read"
        )]
        let seconds = (self.hours * 3600.0) as u32;
        if self.calm { Scenario::calm(seed, fleet, seconds) } else { Scenario::draw(seed, fleet, seconds) }
    }

    /// Lives through a scenario, and says what came of it. Whether every law held.
    fn live_through(&self, scenario: &Scenario, is_last: bool) -> Result<bool> {
        let began = Instant::now();
        let bar = spinner();
        bar.set_message(format!("world {}", scenario.seed));
        let world = live(scenario);
        let took = began.elapsed();
        let smallest = world.broken.as_ref().and_then(|_| self.smallest(scenario, &bar));
        bar.finish_and_clear();
        if let Some(found) = &smallest {
            let text = serde_json::to_string_pretty(&found.scenario)?;
            fs::write(&self.smallest, text + "\n")
                .with_context(|| format!("cannot write {}", self.smallest.display()))?;
        }
        if let Some(file) = self.html.as_ref().filter(|_| is_last || world.broken.is_some()) {
            fs::write(file, page(scenario, &world)?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        let mut out = stdout().lock();
        if self.json {
            self.write_json(&mut out, scenario, &world, took, smallest.as_ref())?;
        } else {
            self.write_text(&mut out, scenario, &world, took, smallest.as_ref())?;
        }
        Ok(world.broken.is_none())
    }

    fn smallest(&self, scenario: &Scenario, bar: &ProgressBar) -> Option<Shrunk> {
        if self.shrink == 0 {
            return None;
        }
        shrink(scenario, self.shrink, |smaller| {
            let (faults, agents) = (smaller.faults.len(), smaller.fleet.agents());
            bar.set_message(format!("a law is broken; trying {faults} faults and {agents} agents"));
            live(smaller)
        })
    }

    fn write_json(
        &self,
        out: &mut impl Write,
        scenario: &Scenario,
        world: &World,
        took: Duration,
        smallest: Option<&Shrunk>,
    ) -> Result<()> {
        let rehearsed = Rehearsed {
            ok: world.broken.is_none(),
            seed: scenario.seed,
            agents: scenario.fleet.agents(),
            faults: scenario.faults.len(),
            took_seconds: took.as_secs_f64(),
            heartbeats_per_second: rate(world.counts.beats, took),
            world,
            smallest: smallest.map(|found| Smallest {
                lives: found.lives,
                broken: found.broken.to_string(),
                file: &self.smallest,
                scenario: &found.scenario,
            }),
        };
        serde_json::to_writer(&mut *out, &rehearsed)?;
        Ok(writeln!(out)?)
    }

    fn write_text(
        &self,
        out: &mut impl Write,
        scenario: &Scenario,
        world: &World,
        took: Duration,
        smallest: Option<&Shrunk>,
    ) -> Result<()> {
        let counts = world.counts;
        let hours = rate(world.seconds, Duration::from_secs(3600));
        writeln!(
            out,
            "world {}: {} agents, {} faults, {hours:.1} hours in {:.1} s: {:.0} heartbeats a second",
            scenario.seed,
            scenario.fleet.agents(),
            scenario.faults.len(),
            took.as_secs_f64(),
            rate(counts.beats, took),
        )?;
        writeln!(
            out,
            "  {} requests, {} heartbeats taken; {} lost, {} late, {} twice, {} refused on the way",
            counts.requests, counts.beats, counts.lost, counts.delayed, counts.duplicated, counts.refused,
        )?;
        writeln!(
            out,
            "  {} returns of the server, {} pieces of work, {} begun, {} results, {} keys changed, {} trespasses",
            counts.returns, counts.work, counts.runs, counts.results, counts.keys, counts.trespasses,
        )?;
        let digest = world.digest.get(..16).unwrap_or_default();
        writeln!(
            out,
            "  busiest second {} where {:.1} are usual; {} events, journal {digest}",
            world.busiest, world.usual, counts.events,
        )?;
        match (&world.broken, smallest) {
            (None, _) => writeln!(out, "  every one of {} laws held", Law::ALL.len())?,
            (Some(broken), None) => writeln!(out, "  BROKEN {broken}")?,
            (Some(broken), Some(found)) => {
                writeln!(out, "  BROKEN {broken}")?;
                writeln!(
                    out,
                    "  smallest of {} scenarios: {} faults, {} agents, {} s: {}",
                    found.lives,
                    found.scenario.faults.len(),
                    found.scenario.fleet.agents(),
                    found.scenario.end(),
                    found.broken,
                )?;
                writeln!(out, "  again: fleetwire rehearse --replay {}", self.smallest.display())?;
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn rate(count: u64, span: Duration) -> f64 {
    count as f64 / span.as_secs_f64().max(1e-9)
}

/// Shows that something goes on, where somebody looks.
fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_draw_target(if stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    });
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
