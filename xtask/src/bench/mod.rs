//! `cargo xtask bench`: what a request costs, in processor time beside a bare hyper server and in instructions.
//!
//! What is measured is measured by programs of their own, built in release mode: `crates/cli/benches/requests` and
//! `crates/server/benches/instructions.rs`. Here is what is made of their figures.

mod cargo_bench;
mod flame;
pub(crate) mod instructions;
mod page;
mod plots;
mod table;
mod targets;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::cargo;

const PACKAGE: &str = "fleetwire";
const BENCH: &str = "requests";

/// Fleets that are rehearsed.
const FLEETS: [&str; 5] = ["acusight", "zstack", "agentmc", "achilles", MIX];
/// All vendors in equal parts.
const MIX: &str = "mix";

/// Known agents of the curves.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// The arguments of `cargo xtask bench`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    output: Output,
    /// Three short rounds and 10,000 known devices: for a look, not for a page.
    #[arg(long)]
    quick: bool,
    /// Only the rows of this operation, such as acusight.checkin; can be given again.
    #[arg(long, value_name = "ID")]
    operation: Vec<String>,
    /// The core that servers run on; load comes from another.
    #[arg(long, default_value_t = 0, value_name = "CORE")]
    server_core: usize,
    /// The core that load comes from.
    #[arg(long, default_value_t = 1, value_name = "CORE")]
    load_core: usize,
}

/// Where figures go.
#[derive(clap::Args)]
struct Output {
    /// Print the figures as one JSON object, and nothing else on standard output.
    #[arg(long)]
    json: bool,
    /// Put the figures into docs/performance.json, and tables and plots into docs.
    #[arg(long)]
    write: bool,
}

#[derive(Subcommand)]
enum What {
    /// Count the instructions of the steps of a request, and compare them with the committed figures.
    Instructions(instructions::Args),
    /// Measure servers that know 1,000, 10,000, 100,000 and 1,000,000 agents.
    Scale(ScaleArgs),
    /// Measure how many heartbeats a second pass under the virtual clock, on one core.
    Rehearse(Output),
    /// Draw where a server's processor time goes while it serves an operation.
    Flame(flame::Args),
    /// Write the tables and plots of docs/performance.md again from docs/performance.json.
    Page,
}

#[derive(clap::Args)]
struct ScaleArgs {
    #[command(flatten)]
    output: Output,
    /// Only up to 100,000 agents, and short rounds.
    #[arg(long)]
    quick: bool,
}

impl Output {
    /// Puts figures where they are to go, those that are kept by a member that names them.
    fn put(&self, root: &Path, table: &str, name: &str, found: Vec<Value>) -> Result<()> {
        if self.json {
            println!("{}", json!({table: found}));
        }
        if self.write {
            let mut figures = page::read(root)?;
            page::put(&mut figures, table, name, found);
            page::write(root, &figures)?;
        }
        Ok(())
    }
}

/// Runs what was asked for.
///
/// # Errors
/// A program does not build or fails, an operation is not known, or a figure is worse than allowed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = cargo::workspace_root()?;
    match &args.what {
        Some(What::Instructions(args)) => instructions::run(&root, args),
        Some(What::Scale(args)) => scale(&root, args),
        Some(What::Rehearse(output)) => rehearse(&root, output),
        Some(What::Flame(args)) => flame::run(&root, args),
        Some(What::Page) => page::write(&root, &page::read(&root)?),
        None => rows(&root, args),
    }
}

fn rows(root: &Path, args: &Args) -> Result<()> {
    let program = cargo_bench::build(root, PACKAGE, "--bench", BENCH)?;
    let list = lines(Command::new(&program).arg("--list"), |_| {})?;
    let chosen = chosen(&list, &args.operation)?;
    let mut command = pinned(&program, args.load_core, args.server_core, root)?;
    if args.quick {
        command.args(["--rounds", "3", "--milliseconds", "300", "--known", "10000"]);
    }
    for row in &chosen {
        command.args(["--row", row]);
    }
    if !args.output.json {
        println!("{}", table::HEAD);
    }
    let found = lines(&mut command, |row| {
        if !args.output.json {
            println!("{}", table::line(row));
        }
    })?;
    args.output.put(root, "rows", "row", found)
}

fn scale(root: &Path, args: &ScaleArgs) -> Result<()> {
    let program = cargo_bench::build(root, PACKAGE, "--bench", BENCH)?;
    if !args.output.json {
        println!("{}", table::SCALE_HEAD);
    }
    let mut found = Vec::new();
    for size in SIZES.into_iter().filter(|size| !args.quick || *size <= 100_000) {
        let mut command = pinned(&program, 1, 0, root)?;
        command.args(["--scale", &size.to_string()]);
        if args.quick {
            command.args(["--rounds", "3", "--milliseconds", "300"]);
        }
        let one = lines(&mut command, |_| {})?;
        if !args.output.json {
            one.iter().for_each(|one| println!("{}", table::scale_line(one)));
        }
        found.extend(one);
    }
    args.output.put(root, "scale", "agents", found)
}

fn rehearse(root: &Path, output: &Output) -> Result<()> {
    let program = cargo_bench::build(root, PACKAGE, "--bin", PACKAGE)?;
    if !output.json {
        println!("{}", table::REHEARSE_HEAD);
    }
    let mut found = Vec::new();
    for fleet in FLEETS {
        let mut rounds = Vec::new();
        for _ in 0..5 {
            let mut command = Command::new("taskset");
            command.args(["-c", "0"]).arg(&program);
            // Long enough for a second or more.
            command.args(["rehearse", "--calm", "--hours", "2", "--agents", "1000", "--json"]);
            if fleet != MIX {
                command.args(["--vendor", fleet]);
            }
            rounds.extend(lines(&mut command, |_| {})?);
        }
        let all: Vec<_> = rounds.iter().filter_map(|world| world.get("heartbeats_per_second")).collect();
        let one = json!({"fleet": fleet, "heartbeats_per_second": all});
        if !output.json {
            println!("{}", table::rehearse_line(&one));
        }
        found.push(one);
    }
    output.put(root, "rehearse", "fleet", found)
}

/// The program on its core, told which core its servers have.
fn pinned(program: &PathBuf, load: usize, server: usize, root: &Path) -> Result<Command> {
    let cores = std::thread::available_parallelism().context("the cores cannot be counted")?.get();
    ensure!(cores >= 2 && load != server, "server and load must not share a core, and there are {cores}");
    let mut command = Command::new("taskset");
    cargo::clean_environment(&mut command);
    command.args(["-c", &load.to_string()]).arg(program).args(["--core", &server.to_string()]);
    command.arg("--folder").arg(root.join("target")).current_dir(root);
    Ok(command)
}

/// Runs a program that prints a JSON object a line, and hands each on as it comes.
fn lines(command: &mut Command, mut each: impl FnMut(&Value)) -> Result<Vec<Value>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{:?} could not be started", command.get_program()))?;
    let out = child.stdout.take().context("a program has an output")?;
    let mut found = Vec::new();
    for line in BufReader::new(out).lines() {
        let line = line?;
        let value: Value = serde_json::from_str(&line).with_context(|| format!("no figures: {line}"))?;
        each(&value);
        found.push(value);
    }
    let status = child.wait()?;
    ensure!(status.success(), "the bench ended with {status}");
    Ok(found)
}

/// The names of the rows of these operations; of all if none is named.
fn chosen(list: &[Value], operations: &[String]) -> Result<Vec<String>> {
    let text = |row: &Value, member| row.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    for wanted in operations {
        if list.iter().all(|row| text(row, "operation") != *wanted) {
            let known = list.iter().map(|row| text(row, "operation"));
            let nearest =
                known.min_by_key(|known| strsim::damerau_levenshtein(known, wanted)).unwrap_or_default();
            bail!("there is no operation `{wanted}`; did you mean `{nearest}`?");
        }
    }
    let wanted = |row: &&Value| operations.is_empty() || operations.contains(&text(row, "operation"));
    Ok(list.iter().filter(wanted).map(|row| text(row, "row")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<Value> {
        vec![
            json!({"row": "check-in, in memory", "operation": "acusight.checkin"}),
            json!({"row": "check-in, flushed", "operation": "acusight.checkin"}),
            json!({"row": "heartbeat", "operation": "zstack.heartbeat"}),
        ]
    }

    #[test]
    fn an_operation_chooses_all_its_rows_and_none_chooses_every_row() {
        let of = |operations: &[&str]| {
            let operations: Vec<_> = operations.iter().map(|&id| id.to_owned()).collect();
            chosen(&list(), &operations).unwrap()
        };
        assert_eq!(of(&["acusight.checkin"]), ["check-in, in memory", "check-in, flushed"]);
        assert_eq!(of(&[]).len(), 3);
    }

    #[test]
    fn an_unknown_operation_is_refused_with_the_nearest_known_one() {
        let error = chosen(&list(), &["acusight.chekin".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("did you mean `acusight.checkin`"), "{error}");
    }
}
