//! `fleetwire serve`.

use std::fs::File as LockFile;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use fleetwire_server::{Listener, Settings, SystemClock, SystemEntropy, mounts};
use fleetwire_server_core::Core;
use fleetwire_store_sqlite::SqliteStore;
use tokio::net::TcpListener;

use crate::config::{File, OwnListener};

/// The folder of the files that agents fetch, beside the database.
pub(crate) const OBJECTS: &str = "objects";

/// Serve agents and operators.
///
/// The first start creates the database and prints an operator's token, once.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Folder of the database; made if it is not there [default: fleetwire-data]
    #[arg(long, value_name = "DIR", env = "FLEETWIRE_DATA")]
    data: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDR", env = "FLEETWIRE_LISTEN")]
    listen: Option<SocketAddr>,
    /// Address that agents are told to use, such as `https://fleet.example.org`
    #[arg(long, value_name = "URL", env = "FLEETWIRE_PUBLIC_URL")]
    public_url: Option<String>,
    /// A configuration file
    #[arg(long, value_name = "FILE", env = "FLEETWIRE_CONFIG")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<()> {
        let mut file = self.config.as_deref().map(File::read).transpose()?.unwrap_or_default();
        file.listen = self.listen.or(file.listen);
        file.public_url = self.public_url.or(file.public_url);
        let data = self.data.or(file.data.clone()).unwrap_or_else(|| PathBuf::from("fleetwire-data"));
        let listen = file.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8787)));

        let mut settings = file.settings()?;
        settings.objects.get_or_insert_with(|| data.join(OBJECTS));
        let mut server = Running::open(&data, listen, file.core()?).await?;
        server.listen_for(&file.listeners).await?;
        let mut out = std::io::stdout();
        if let Some(token) = &server.operator_token {
            writeln!(out, "A new database was made in {}.", data.display())?;
            writeln!(out, "The operator's token, shown this once:\n  {token}")?;
        }
        writeln!(out, "Serving on http://{}", server.address)?;
        for mount in mounts() {
            writeln!(out, "  {:<9} http://{}{}{}", mount.vendor, server.address, mount.prefix, mount.base)?;
        }
        for (listener, vendor) in server.own_listeners()? {
            writeln!(out, "  {vendor:<9} http://{listener}, at its root")?;
        }
        out.flush()?;
        server.serve(settings, stop_signal()).await
    }
}

/// A server that has a database and a listener, and has not begun to serve.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// The operator's token, if the database was made just now.
    pub(crate) operator_token: Option<String>,
    listeners: Vec<Listener>,
    core: Arc<Core<SqliteStore>>,
    /// Held for as long as the server runs: a second server on the same folder would see stale leases.
    _lock: LockFile,
}

impl Running {
    pub(crate) async fn open(
        data: &Path,
        listen: SocketAddr,
        config: fleetwire_server_core::Config,
    ) -> Result<Self> {
        make_private_folder(data).with_context(|| format!("cannot make the folder {}", data.display()))?;
        let lock = lock(data)?;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}; --listen takes another address"))?;
        let path = data.join("fleetwire.sqlite");
        let store = SqliteStore::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let (core, operator_token) =
            Core::start(store, Arc::new(SystemClock), Arc::new(SystemEntropy::default()), config).await?;
        let address = listener.local_addr()?;
        let listeners = vec![Listener { socket: listener, vendor: None }];
        Ok(Self { address, operator_token, listeners, core: Arc::new(core), _lock: lock })
    }

    /// Listens on further addresses, each for one vendor at its root.
    async fn listen_for(&mut self, listeners: &[OwnListener]) -> Result<()> {
        for OwnListener { address, vendor } in listeners {
            let socket = TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address} for {vendor}; see [[listeners]]"))?;
            self.listeners.push(Listener { socket, vendor: Some(vendor.clone()) });
        }
        Ok(())
    }

    /// The addresses that vendors have for themselves.
    fn own_listeners(&self) -> std::io::Result<Vec<(SocketAddr, &str)>> {
        let own = self.listeners.iter().filter_map(|listener| Some((listener, listener.vendor.as_deref()?)));
        own.map(|(listener, vendor)| Ok((listener.socket.local_addr()?, vendor))).collect()
    }

    pub(crate) async fn serve(self, settings: Settings, stop: impl Future<Output = ()>) -> Result<()> {
        fleetwire_server::serve_all(self.listeners, Arc::clone(&self.core), settings, stop)
            .await
            .context("the leases could not be written at the stop")?;
        // Connections that were cut off may hold the core still; the store then closes with them.
        if let Some(core) = Arc::into_inner(self.core) {
            core.into_store().close().context("the database could not be closed")?;
        }
        Ok(())
    }
}

/// The database holds secrets: nobody but the owner looks into its folder.
fn make_private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn lock(data: &Path) -> Result<LockFile> {
    let path = data.join("lock");
    let file = LockFile::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            bail!("another server runs on {}; stop it, or take another folder by --data", data.display())
        }
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// Ready when somebody asks the process to end.
pub(crate) async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        else {
            let _ = interrupt.await;
            return;
        };
        tokio::select! {
            _ = interrupt => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = interrupt.await;
}
