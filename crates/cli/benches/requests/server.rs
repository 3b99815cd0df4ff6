//! Servers: as the process that one is, and as the child that is measured.

use std::future::Future;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use fleetwire_server::{Settings, SystemClock, SystemEntropy, serve};
use fleetwire_server_core::{Config, Core, Rate};
use fleetwire_store_sqlite::SqliteStore;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

/// When a server writes its leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    /// Not while it is measured.
    Memory,
    /// Once a second, as it does by default.
    Flushed,
    /// Before it answers.
    Committed,
}

impl Variant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Flushed => "flushed",
            Self::Committed => "committed",
        }
    }
}

/// The database's name in a folder.
pub(crate) const DATABASE: &str = "fleetwire.sqlite";

/// The runtime of the command.
pub(crate) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Ready when whoever started this process lets go of it.
pub(crate) fn end_of_input() -> impl Future<Output = ()> {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Whatever comes is an end.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    async {
        let _ = end.await;
    }
}

pub(crate) fn config(variant: Variant) -> Config {
    Config {
        commits_check_ins: variant == Variant::Committed,
        agents_per_tenant: u64::MAX >> 1,
        rate: None::<Rate>,
        ..Config::default()
    }
}

pub(crate) fn run(folder: &Path, variant: Variant) -> Result<()> {
    // As the command has it.
    tracing_subscriber::fmt().with_env_filter(EnvFilter::new("info")).with_writer(std::io::stderr).init();
    runtime()?.block_on(async {
        let store = SqliteStore::open(folder.join(DATABASE))?;
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy::default()));
        let (core, _) = Core::start(store, clock, entropy, config(variant)).await?;
        let core = Arc::new(core);
        let socket = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", socket.local_addr()?);
        let settings = Settings {
            flush_interval: if variant == Variant::Memory {
                Duration::from_secs(3600)
            } else {
                Settings::default().flush_interval
            },
            connections: 20_000,
            objects: Some(folder.join("objects")),
            stop_within: Duration::from_millis(200),
            ..Settings::default()
        };
        serve(socket, Arc::clone(&core), settings, end_of_input()).await?;
        // Connections that were cut off may hold the core still.
        for _ in 0..50 {
            if Arc::strong_count(&core) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let core = Arc::into_inner(core).context("a connection outlived the server")?;
        let (groups, calls) = core.into_store().committed();
        println!("{groups} {calls}");
        Ok(())
    })
}

/// A server that runs beside.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn bare(core: usize) -> Result<Self> {
        Self::start(pinned(core)?, &["--bare"])
    }

    pub(crate) fn ours(core: usize, folder: &Path, variant: Variant) -> Result<Self> {
        Self::serving(pinned(core)?, folder, variant)
    }

    /// One that has every core, as it has where nobody measures: a start uses two.
    pub(crate) fn ours_unpinned(folder: &Path, variant: Variant) -> Result<Self> {
        Self::serving(Command::new(std::env::current_exe()?), folder, variant)
    }

    fn serving(program: Command, folder: &Path, variant: Variant) -> Result<Self> {
        let folder = folder.to_str().context("the folder's name is no UTF-8")?;
        Self::start(program, &["--serve", folder, "--variant", variant.name()])
    }

    fn start(mut program: Command, arguments: &[&str]) -> Result<Self> {
        let mut child = program
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("a server could not be started; taskset pins it to its core")?;
        let mut out = BufReader::new(child.stdout.take().context("a server has an output")?);
        let mut line = String::new();
        out.read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("a server did not start: {line:?}"))?;
        Ok(Self { address, child, out })
    }

    /// The process: taskset becomes the program that it starts.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it. Ours says how many transactions its store has had, and how many calls were in them.
    pub(crate) fn stop(mut self) -> Result<Option<(u64, u64)>> {
        drop(self.child.stdin.take());
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "a server ended with {status}");
        let mut figures = line.split_whitespace().map(str::parse);
        Ok(match (figures.next(), figures.next()) {
            (Some(Ok(groups)), Some(Ok(calls))) => Some((groups, calls)),
            _ => None,
        })
    }
}

/// This program, on one core.
fn pinned(core: usize) -> Result<Command> {
    let mut taskset = Command::new("taskset");
    taskset.args(["-c", &core.to_string()]).arg(std::env::current_exe()?);
    Ok(taskset)
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
