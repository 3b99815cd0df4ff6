//! `fleetwire demo`: every operation of every vendor, over real sockets, against a server of its own.

mod achilles;
mod acusight;
mod agentmc;
mod steps;
mod zstack;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use fleetwire_server::Settings;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::serve::{OBJECTS, Running, stop_signal};
use steps::{Row, Steps};

/// Start a server in a temporary folder, send it every operation of every vendor, and say what was proved.
///
/// Exit status 1 if anything was other than expected. Without --once it goes on with one agent of each vendor
/// until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Stop when every operation has been shown
    #[arg(long)]
    once: bool,
    /// Print the steps as JSON
    #[arg(long)]
    json: bool,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// The demonstration as data.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    /// Whether every step went as expected.
    ok: bool,
    /// The operations shown.
    operations: Vec<&'static str>,
    /// The steps in their order.
    steps: &'a [Row],
}

impl Demo {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let server =
            Running::open(folder.path(), self.listen, fleetwire_server_core::Config::default()).await?;
        let token = server.operator_token.clone().context("a new database has a new operator")?;
        let address = server.address;
        let (stop, stopped) = oneshot::channel::<()>();
        let settings = Settings { objects: Some(folder.path().join(OBJECTS)), ..Settings::default() };
        let serving = tokio::spawn(server.serve(settings, async move {
            // An error means that the demonstration is over, which is as good a reason to stop.
            let _ = stopped.await;
        }));

        let outcome = self.show(address, &token).await;

        let _ = stop.send(());
        serving.await??;
        outcome
    }

    async fn show(&self, address: SocketAddr, token: &str) -> Result<ExitCode> {
        let mut steps = Steps::new(address, token)?;
        achilles::live(&mut steps).await?;
        acusight::live(&mut steps).await?;
        zstack::live(&mut steps).await?;
        agentmc::live(&mut steps).await?;
        let missing = steps.missing_operations();
        let ok = missing.is_empty() && steps.rows().iter().all(|row| row.ok);

        let mut out = std::io::stdout().lock();
        if self.json {
            let outcome = Outcome { ok, operations: steps.operations(), steps: steps.rows() };
            serde_json::to_writer_pretty(&mut out, &outcome)?;
            writeln!(out)?;
        } else {
            steps::table(&mut out, steps.rows(), std::io::stdout().is_terminal())?;
            let (count, all) = (steps.operations().len(), steps.rows().len());
            let failed = steps.rows().iter().filter(|row| !row.ok).count();
            writeln!(out, "\n{count} operations, {all} steps, {failed} other than expected.")?;
            for operation in &missing {
                writeln!(out, "{operation} was not shown.")?;
            }
        }
        out.flush()?;
        drop(out);
        if !self.once {
            self.go_on(&steps, address, token).await?;
        }
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Keeps one agent of each vendor alive until somebody asks the process to end.
    async fn go_on(&self, steps: &Steps, address: SocketAddr, token: &str) -> Result<()> {
        let mut out = std::io::stderr();
        writeln!(out, "\nOne agent of each vendor goes on reporting. Look at them from another terminal:")?;
        writeln!(out, "  export FLEETWIRE_SERVER=http://{address} FLEETWIRE_TOKEN={token}")?;
        writeln!(out, "  fleetwire devices list")?;
        writeln!(out, "or open http://{address}/control/v1/agents with the token as bearer. Ctrl-C stops.")?;
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        let mut stop = std::pin::pin!(stop_signal());
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                _ = ticks.tick() => {
                    let taken = steps.report_again().await;
                    writeln!(out, "{taken} of 4 reports taken")?;
                }
            }
        }
    }
}
