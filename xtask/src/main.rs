//! The project's own commands, started as `cargo xtask COMMAND`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks on its terminal")]

mod bans;
mod bench;
mod cargo;
mod check;
mod ci;
mod files;
mod guide;
mod licences;
mod oracles;
mod package;
mod snapshots;
mod validator;
mod work_machine;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the checks that every change must pass.
    Ci(ci::Args),
    /// Measure what requests cost: processor time beside a bare hyper server, instructions, and curves over the number of
    /// known agents.
    Bench(bench::Args),
    /// Write the generated documents: OpenAPI, JSON Schema, the rules, the README's table of operations.
    Generate(check::GenerateArgs),
    /// Reconcile the source, committed and generated documents, and write nothing: exits with 0 when they
    /// agree, 4 when committed files are stale, 1 when something is broken.
    Check(check::CheckArgs),
    /// Keep today's documents as what this version promises, unless they break a promise.
    Baseline(check::BaselineArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Ci(args) => ci::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => bench::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Generate(args) => check::generate(args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::check(args),
        Command::Baseline(args) => check::baseline(args).map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
