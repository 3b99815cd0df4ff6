//! The fleet that a server knows, and its keys.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fleetwire_protocol::achilles::{AgentCredentials, PollTasks};
use fleetwire_protocol::{Auth, Call, Endpoint};
use fleetwire_server::{SystemClock, SystemEntropy};
use fleetwire_server_core::domain::{DEFAULT_TENANT, Kind, No, Vendor};
use fleetwire_server_core::operator::{Registration, WorkWish};
use fleetwire_server_core::{Clock, Core, Origin, admit, answer};
use fleetwire_store_sqlite::SqliteStore;
use http::HeaderMap;
use serde_json::{Map, json};
use tokio::task::JoinSet;

use crate::server::{DATABASE, Server, Variant, config, runtime};

/// Agents of each vendor but Acusight.
pub(crate) const OTHERS: usize = 1000;
/// Registrations at one time, which share their transactions.
const AT_ONCE: usize = 1024;
pub(crate) const BINARY: &str = "bench.bin";

const ORIGIN: Origin<'static> = Origin { public_url: None, scheme: "http", host: "fleet.test", mount: "" };

/// An agent, as it signs in.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) key: String,
}

pub(crate) struct Fleet {
    /// The folder whose copies servers run over.
    template: PathBuf,
    pub(crate) acusight: Vec<Member>,
    pub(crate) zstack: Vec<Member>,
    pub(crate) zstack_token: String,
    /// Ids are numbers.
    pub(crate) agentmc: Vec<Member>,
    pub(crate) achilles: Vec<Member>,
    /// Who has a task, and which.
    pub(crate) tasks: Vec<(Member, String)>,
    /// Whose action was asked for, and its id.
    pub(crate) action: (String, String),
    pub(crate) provisioning: String,
    pub(crate) enrolment: String,
}

type OurCore = Arc<Core<SqliteStore>>;

fn registration(vendor: Vendor, number: usize) -> Registration {
    let agentmc = vendor == Vendor::AgentMc;
    Registration {
        vendor,
        kind: Kind::Agent,
        no: agentmc.then(|| 1_000_000_000 + number as No),
        id: (!agentmc).then(|| match vendor {
            Vendor::Acusight => format!("BENCH:{number:07}"),
            _ => format!("bench-{number:07}"),
        }),
        name: Some("an agent".to_owned()),
        facts: Map::new(),
        labels: BTreeMap::new(),
    }
}

async fn register(core: &OurCore, vendor: Vendor, count: usize) -> Result<Vec<Member>> {
    let mut members = Vec::with_capacity(count);
    for start in (0..count).step_by(AT_ONCE) {
        let mut made = JoinSet::new();
        for number in start..count.min(start + AT_ONCE) {
            let core = Arc::clone(core);
            made.spawn(async move {
                let wish = registration(vendor, number);
                let id = wish.id.clone().or_else(|| wish.no.map(|no| no.to_string())).unwrap_or_default();
                core.register(DEFAULT_TENANT, wish).await.map(|(_, key)| Member { id, key })
            });
        }
        while let Some(member) = made.join_next().await {
            members.push(member??);
        }
    }
    Ok(members)
}

/// Devices of Acusight, and nothing else, in a folder that is made.
pub(crate) fn devices(folder: &Path, count: usize) -> Result<Vec<Member>> {
    fs::create_dir_all(folder)?;
    runtime()?.block_on(async {
        let core = open(folder).await?;
        let members = register(&core, Vendor::Acusight, count).await?;
        close(core)?;
        Ok(members)
    })
}

pub(crate) async fn open(folder: &Path) -> Result<OurCore> {
    let store = SqliteStore::open(folder.join(DATABASE))?;
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy::default()));
    Ok(Arc::new(Core::start(store, clock, entropy, config(Variant::Flushed)).await?.0))
}

pub(crate) fn close(core: OurCore) -> Result<()> {
    Ok(Arc::into_inner(core).context("the core is in use")?.into_store().close()?)
}

impl Fleet {
    /// Makes a fleet in a folder: through the core, without a socket, which takes seconds for 100,000 agents.
    pub(crate) fn make(template: &Path, known: usize, cpu: usize) -> Result<Self> {
        fs::create_dir_all(template)?;
        let (fleet, operator) = runtime()?.block_on(async {
            let store = SqliteStore::open(template.join(DATABASE))?;
            let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy::default()));
            let (core, operator) = Core::start(store, clock, entropy, config(Variant::Flushed)).await?;
            let core = Arc::new(core);
            let fleet = Self::through(&core, template, known).await?;
            close(core)?;
            Ok::<_, anyhow::Error>((fleet, operator.context("a new database has an operator")?))
        })?;
        // Files come over the control API and no other way.
        let server = Server::ours(cpu, template, Variant::Flushed)?;
        bring(server.address, &operator, &format!("/binaries?name={BINARY}"), &[b'b'; 4096])?;
        bring(server.address, &operator, "/releases?version=0.6.1&os=windows&arch=amd64", &[b'r'; 4096])?;
        server.stop()?;
        Ok(fleet)
    }

    async fn through(core: &OurCore, template: &Path, known: usize) -> Result<Self> {
        let zstack = register(core, Vendor::ZStack, OTHERS).await?;
        let achilles = register(core, Vendor::Achilles, OTHERS).await?;
        let hour = Duration::from_secs(3600);
        let mut fleet = Self {
            template: template.to_owned(),
            acusight: register(core, Vendor::Acusight, known).await?,
            zstack_token: core.issue_tenant_key(DEFAULT_TENANT, Vendor::ZStack).await?,
            agentmc: register(core, Vendor::AgentMc, OTHERS).await?,
            tasks: Vec::new(),
            action: (String::new(), String::new()),
            provisioning: core.issue_token(DEFAULT_TENANT, Vendor::Acusight, hour, u32::MAX).await?.1,
            enrolment: core.issue_token(DEFAULT_TENANT, Vendor::Achilles, hour, u32::MAX).await?.1,
            zstack,
            achilles,
        };
        let wish =
            |kind: &str| WorkWish { kind: kind.to_owned(), payload: Map::new(), ..WorkWish::default() };
        let first = fleet.zstack[0].id.clone();
        let action = core.queue_work(DEFAULT_TENANT, Vendor::ZStack, &first, wish("restart")).await?;
        fleet.action = (first, action.0.work.id.to_string());
        for agent in fleet.achilles.split_off(OTHERS / 2) {
            let mut wish = wish("execute_command");
            wish.payload = Map::from_iter([("command".to_owned(), json!("hostname"))]);
            core.queue_work(DEFAULT_TENANT, Vendor::Achilles, &agent.id, wish).await?;
            let credentials = AgentCredentials::new(agent.id.as_str(), agent.key.as_str());
            let mut headers = HeaderMap::new();
            <PollTasks as Endpoint>::Auth::attach(&credentials, SystemClock.now(), &mut headers)
                .map_err(anyhow::Error::msg)?;
            let refused = |fault| anyhow::anyhow!("a poll was refused: {fault:?}");
            let caller = admit::<PollTasks, _>(&**core, &headers, core.now()).await.map_err(refused)?;
            let (call, context) = (Call::<PollTasks>::new(()), core.context(core.now()));
            let polled = answer(&**core, caller, &ORIGIN, call, &context).await.map_err(refused)?;
            let polled = polled.context("there is a task")?;
            let task = polled.data.0.first().context("there is a task")?.id.to_string();
            fleet.tasks.push((agent, task));
        }
        core.flush().await?;
        Ok(fleet)
    }

    /// A copy of the folder for a server of its own.
    pub(crate) fn copy(&self, to: &Path) -> Result<()> {
        copy(&self.template, to)
    }
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), &place)?;
        }
    }
    Ok(())
}

/// Brings a file as the operator.
fn bring(address: SocketAddr, operator: &str, path: &str, file: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "POST /control/v1{path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {operator}\r\n\
         content-type: application/octet-stream\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        file.len()
    )?;
    stream.write_all(file)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 2") {
        bail!("{path}: {answer}");
    }
    Ok(())
}
