//! The one binary of Fleetwire: a fleet server, a demonstration of it, and its operators' commands.

mod agent;
mod config;
mod demo;
mod operator;
mod rehearse;
mod serve;
mod simulate;
mod spec;
mod table;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Typed wire protocols for fleets of agents and edge devices: the server and its operators' commands.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a server in a temporary folder, send it every operation of every vendor, and say what was proved.
    Demo(demo::Demo),
    /// Serve agents and operators.
    Serve(serve::Serve),
    /// Be an agent of one of the four vendors, which reports its machine and harms nothing.
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Be a whole fleet: load over real sockets on any server that speaks a vendor's protocol, and how it was answered.
    Simulate(simulate::Simulate),
    /// Have a whole fleet and a server live through days of faults in seconds, under a virtual clock.
    Rehearse(rehearse::Rehearse),
    /// Guard OpenAPI documents and JSON Schemas: find what is wrong in one, and what breaks between two.
    #[command(subcommand)]
    Spec(spec::SpecCommand),
    /// Check captured messages: JSON, JSONL, HAR or the text of HTTP/1.1.
    ///
    /// Exit status 0: no faults; 1: faults; 2: something could not be read.
    Validate(validate::Validate),
    #[command(flatten)]
    Operator(operator::OperatorCommand),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Only a server and an agent have something to tell that is neither their answer nor their failure.
    let level = if matches!(cli.command, Command::Serve(_) | Command::Agent(_)) { "info" } else { "warn" };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("FLEETWIRE_LOG").unwrap_or_else(|_| EnvFilter::new(level)))
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .init();
    // Nothing in it waits for anything but files.
    if let Command::Validate(validate) = cli.command {
        return validate.run().unwrap_or_else(|error| fail(&error));
    }
    // Its time is virtual.
    if let Command::Rehearse(rehearse) = cli.command {
        return rehearse.run();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Agent(agent) => agent.run().await,
            Command::Simulate(simulate) => simulate.run().await,
            Command::Spec(spec) => Ok(spec.run()),
            Command::Demo(demo) => demo.run().await,
            Command::Serve(serve) => serve.run().await.map(|()| ExitCode::SUCCESS),
            Command::Validate(validate) => validate.run(),
            Command::Rehearse(rehearse) => Ok(rehearse.run()),
            Command::Operator(command) => command.run().await.map(|()| ExitCode::SUCCESS),
        }
    });
    outcome.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &anyhow::Error) -> ExitCode {
    use std::io::Write;
    // Standard error may be closed; the exit code still tells.
    let _ = writeln!(std::io::stderr(), "fleetwire: {error:#}");
    ExitCode::FAILURE
}
