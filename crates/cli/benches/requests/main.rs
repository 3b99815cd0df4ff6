//! What a request costs a server in processor time, beside a bare hyper server built from the same lockfile.
//!
//! `cargo xtask bench` builds this program, pins it to one core and shows what it prints: a JSON object a line. It starts
//! its servers itself, pinned to another core: itself with `--bare`, which collects a body and answers a fixed reply, and
//! itself with `--serve`, which is `fleetwire serve` with its flushes as a row wants them. Both have the runtime that the
//! command has. What is read is the servers' time in `/proc`, from the end of the warm-up of a round to its end.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod bare;
mod fleet;
mod measure;
mod rows;
mod scale;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use self::fleet::Fleet;
use self::rows::ROWS;
use self::server::{Server, Variant};

#[derive(Parser)]
struct Arguments {
    /// Say which rows there are, a JSON object a line.
    #[arg(long)]
    list: bool,
    /// Be the bare server.
    #[arg(long)]
    bare: bool,
    /// Be our server, over a folder.
    #[arg(long, value_name = "DIR")]
    serve: Option<PathBuf>,
    /// When our server writes its leases.
    #[arg(long, value_enum, default_value = "flushed")]
    variant: Variant,
    /// Measure these rows only.
    #[arg(long, value_name = "ROW")]
    row: Vec<String>,
    /// Measure a server that knows so many agents: its start, its memory, a flush and a check-in.
    #[arg(long, value_name = "AGENTS")]
    scale: Option<usize>,
    /// Acusight devices that a server knows in the rows.
    #[arg(long, default_value_t = 100_000)]
    known: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Serve the rows once each, and have `perf` write down what the server does, to this file.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// How long one server is measured in a round.
    #[arg(long, default_value_t = 1000)]
    milliseconds: u64,
    /// The core of the servers.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Where servers have their folders: a disk that is waited for.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// What cargo adds on its own.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.list {
        for row in ROWS {
            println!("{}", json!({"row": row.name, "operation": row.operation}));
        }
        return Ok(());
    }
    if arguments.bare {
        return bare::run();
    }
    if let Some(folder) = &arguments.serve {
        return server::run(folder, arguments.variant);
    }
    let chosen: Vec<_> = ROWS
        .iter()
        .filter(|row| arguments.row.is_empty() || arguments.row.iter().any(|name| name == row.name))
        .collect();
    ensure!(!chosen.is_empty(), "there are no such rows");
    let folder = tempfile::tempdir_in(&arguments.folder)
        .with_context(|| format!("no folder can be made in {}", arguments.folder.display()))?;
    if let Some(agents) = arguments.scale {
        println!("{}", scale::measure(folder.path(), agents, &arguments)?);
        return Ok(());
    }

    let duration = Duration::from_millis(arguments.milliseconds);
    if let Some(record) = &arguments.record {
        let fleet = Fleet::make(&folder.path().join("template"), arguments.known, arguments.core)?;
        for row in chosen {
            measure::record(row, &fleet, folder.path(), duration, &arguments, record)
                .with_context(|| format!("row {:?}", row.name))?;
        }
        return Ok(());
    }
    let steps = chosen.len() * (arguments.rounds + 2) + 1;
    // Hidden by itself where there is no terminal.
    let bar = ProgressBar::new(steps as u64);
    bar.set_style(ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg}")?);
    bar.set_message("making the fleet");
    let fleet = Fleet::make(&folder.path().join("template"), arguments.known, arguments.core)?;
    bar.inc(1);
    let bare = Server::bare(arguments.core)?;
    for row in chosen {
        bar.set_message(row.name);
        let found = measure::row(row, &fleet, &bare, folder.path(), duration, &arguments, &bar)
            .with_context(|| format!("row {:?}", row.name))?;
        bar.suspend(|| println!("{found}"));
    }
    bar.finish_and_clear();
    Ok(())
}
