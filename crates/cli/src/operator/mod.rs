//! `fleetwire devices`, `work`, `events`, `results`, `instructions`, `tokens`, `keys`, `models`, `binaries` and `releases`: an operator's commands, done over the
//! control API of a server.

mod api;
mod arguments;
mod batches;
mod events;
mod files;
mod history;
mod instructions;

use std::fmt;
use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use fleetwire_client::{ReqwestTransport, Transport};
use fleetwire_server::control::{
    AgentBody, AgentCreated, AgentFilter, AgentList, Bound, HistoryQuery, KeyBody, NewAgentBody, NewKeyBody,
    NewTokenBody, NewWorkBody, ResultFilter, ResultList, TokenCreated, TokenList, WantedModelBody, WorkBody,
    WorkFilter, WorkList, WorkReportBody, WorkReported,
};
use fleetwire_server_core::domain::WorkState;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub(crate) use api::Api;
use batches::BatchesCommand;
use events::EventsCommand;
use files::{BinariesCommand, ModelsCommand, ReleasesCommand, Upload};
use instructions::InstructionsCommand;

use arguments::{Pair, duration, lifetime, object, pair, uses, vendor};

use crate::table::{self, Table};

/// What an operator wants.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// See, register and steer devices, agents and hosts.
    Devices {
        #[command(flatten)]
        connection: Connection,
        #[command(subcommand)]
        command: DevicesCommand,
    },
    /// Queue work for agents and see what came of it.
    Work {
        #[command(flatten)]
        connection: Connection,
        #[command(subcommand)]
        command: WorkCommand,
    },
    /// List what work has found, control by control, the latest first.
    Results {
        #[command(flatten)]
        connection: Connection,
        #[command(flatten)]
        command: ResultsCommand,
    },
    /// See what has happened, one event a line; as JSON with --json.
    Events {
        #[command(flatten)]
        connection: Connection,
        #[command(flatten)]
        events: EventsCommand,
    },
    /// Set and see the files that agents are to work by.
    Instructions {
        #[command(flatten)]
        connection: Connection,
        #[command(subcommand)]
        command: InstructionsCommand,
    },
    /// See and close the batches that devices' images are gathered in.
    Batches {
        #[command(flatten)]
        connection: Connection,
        #[command(subcommand)]
        command: BatchesCommand,
    },
    /// Make, see and revoke enrolment tokens.
    Tokens {
        #[command(flatten)]
        connection: Connection,
        #[command(subcommand)]
        command: TokensCommand,
    },
    /// Make keys that are good for every agent.
    Keys {
        #[command(flatten)]
        connection: Connection,
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Bring or register the models that devices run.
    Models {
        #[command(flatten)]
        connection: Connection,
        #[command(subcommand)]
        command: ModelsCommand,
    },
    /// Bring the binaries that tasks have agents run.
    Binaries {
        #[command(flatten)]
        connection: Connection,
        #[command(subcommand)]
        command: BinariesCommand,
    },
    /// Bring or register the releases that agents change to, and keep the keys that sign them.
    Releases {
        #[command(flatten)]
        connection: Connection,
        #[command(subcommand)]
        command: ReleasesCommand,
    },
}

/// Which server is asked, as whom, and in which form the answer is shown.
#[derive(Args)]
pub(crate) struct Connection {
    /// Address of the server
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "FLEETWIRE_SERVER",
        default_value = "http://127.0.0.1:8787",
        help_heading = "Connection"
    )]
    server: String,
    /// The operator's token; better kept in the environment, where other users do not see it
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "FLEETWIRE_TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    token: Option<String>,
    /// Print the server's answer as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Print nothing but the token, key or id that was made
    #[arg(long, short, global = true, conflicts_with = "json")]
    quiet: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the token nor an address, which may hold a password.
        f.debug_struct("Connection").field("json", &self.json).finish_non_exhaustive()
    }
}

/// What is wanted of agents.
#[derive(Debug, Subcommand)]
pub(crate) enum DevicesCommand {
    /// List them.
    List {
        /// Only those of a vendor
        #[arg(long, value_parser = vendor())]
        vendor: Option<String>,
        /// Only those that are in time, late, silent, or have never reported
        #[arg(long, value_parser = ["online", "delayed", "offline", "never"])]
        status: Option<String>,
    },
    /// Register one and print its key, once.
    Add {
        /// Whose dialect is spoken
        #[arg(value_parser = vendor())]
        vendor: String,
        /// An agent, or a host that reports for the agents on it
        #[arg(long, value_parser = ["agent", "host"], default_value = "agent")]
        kind: String,
        /// Its number, where agents of the vendor are known by one
        #[arg(long)]
        number: Option<i64>,
        /// Its id on the wire; made up if there is none
        #[arg(long)]
        id: Option<String>,
        /// Its name for people
        #[arg(long)]
        name: Option<String>,
        /// A mark; may be given again
        #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
        labels: Vec<Pair>,
        /// Something known of it, the value being JSON or else a text; may be given again
        #[arg(long = "fact", value_name = "NAME=VALUE", value_parser = pair)]
        facts: Vec<Pair>,
    },
    /// Show one with all that it last said.
    Show(Named),
    /// Show what one has reported over time.
    History {
        #[command(flatten)]
        device: Named,
        /// Only since this time, such as 2026-03-01T12:00:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
    },
    /// Offer one a new key; the old one stays good until the new one has been used.
    RotateKey(Named),
    /// Shut one out until it is enabled; it keeps its keys and its work.
    Disable(Named),
    /// Let one in again that was shut out.
    Enable(Named),
    /// Send one away for good: its keys end and its open work is called off.
    Decommission(Named),
    /// End every key of one and print another, once; it is locked out until you bring it that one.
    RevokeKeys(Named),
    /// Say which model one is to run.
    Model {
        #[command(flatten)]
        device: Named,
        /// The model's id
        model: String,
    },
}

/// One agent.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Whose dialect it speaks
    #[arg(value_parser = vendor())]
    vendor: String,
    /// Its id on the wire, or its number where agents of the vendor are known by one
    id: String,
}

impl Named {
    /// Its address, or that of something beneath it.
    fn path<'a>(&'a self, beneath: &[&'a str]) -> Vec<&'a str> {
        [&["agents", &self.vendor, &self.id], beneath].concat()
    }
}

/// What is wanted of work.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkCommand {
    /// List it, the latest first.
    List {
        /// Only that of a vendor's agents
        #[arg(long, value_parser = vendor())]
        vendor: Option<String>,
        /// Only that of an agent
        #[arg(long, value_name = "ID", requires = "vendor")]
        agent: Option<String>,
        /// Only that which is in a state: queued is what waits
        #[arg(long, value_parser = PossibleValuesParser::new(WorkState::ALL.map(WorkState::as_str)))]
        state: Option<String>,
        /// Only that with a lower number: the next page after the one that ended there
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show one piece with its executions and what came of it.
    Show {
        /// Its id, as listed
        id: String,
    },
    /// Call one piece off.
    Cancel {
        /// Its id, as listed
        id: String,
    },
    /// Say how far a piece is that you do in its agent's place, where agents cannot be told of it by the server.
    Report {
        /// Its id, as listed
        id: String,
        /// What has happened: acknowledge takes it, start says that it was begun, succeed and fail end it
        #[arg(long, value_parser = ["acknowledge", "start", "succeed", "fail"])]
        state: String,
        /// What came of it, with succeed and fail: a JSON object, or @FILE that holds one; a text `error` in it is told
        /// to those who asked
        #[arg(long, value_name = "JSON", value_parser = object)]
        result: Option<Map<String, Value>>,
        /// Which execution it speaks of [default: the latest]
        #[arg(long, value_name = "NUMBER")]
        execution: Option<u32>,
    },
    /// Give an agent something to do.
    #[command(alias = "queue")]
    Add {
        #[command(flatten)]
        agent: Named,
        /// What is to be done, in the vendor's word, such as execute_command
        #[arg(value_name = "TYPE")]
        kind: String,
        /// The particulars: a JSON object, or @FILE that holds one
        #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}")]
        payload: Map<String, Value>,
        /// How urgent it is: higher is sooner [default: what the vendor's servers take, or 0]
        #[arg(
            long,
            allow_negative_numbers = true,
            value_parser = clap::value_parser!(i64).range(-1000..=1000)
        )]
        priority: Option<i64>,
        /// What you call it: asked again with the same key, it is made once
        #[arg(long)]
        key: Option<String>,
        /// Do not hand it over before this time, such as 2026-03-01T12:00:00Z
        #[arg(long, value_name = "TIME")]
        not_before: Option<String>,
        /// How long it is worth beginning, such as 90s, 30m, 24h or 7d [default: as the server is configured]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        ttl: Option<u64>,
        /// How long an execution may take [default: what the payload says, or 300s]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        timeout: Option<u64>,
        /// How many further executions may follow one that fails or takes too long [default: 2 for a test]
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(0..=5))]
        max_retries: Option<u32>,
    },
}

/// Which results are wanted.
#[derive(Debug, Args)]
pub(crate) struct ResultsCommand {
    /// The vendor of the agent
    #[arg(long, value_parser = vendor(), requires = "agent")]
    vendor: Option<String>,
    /// Only those of an agent
    #[arg(long, value_name = "ID", requires = "vendor")]
    agent: Option<String>,
    /// Only those of a piece of work
    #[arg(long, value_name = "ID")]
    work: Option<String>,
    /// Only those of a control
    #[arg(long, value_name = "ID")]
    control: Option<String>,
    /// Only those with a lower number: the next page after the one that ended there
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

/// What is wanted of enrolment tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Make one and print it, once.
    Create {
        /// Whose dialect is spoken
        #[arg(value_parser = vendor())]
        vendor: String,
        /// How long it lives, such as 90s, 30m, 24h or 7d, or `never` if no time is to end it [default: 30d for acusight,
        /// else 24h]
        #[arg(long, value_name = "TIME", value_parser = lifetime)]
        ttl: Option<Bound<u64>>,
        /// How many agents may enrol with it, or `unlimited` [default: unlimited for acusight, else 1]
        #[arg(long, value_name = "NUMBER", value_parser = uses)]
        max_uses: Option<Bound<u32>>,
    },
    /// List them, the latest first.
    List,
    /// Take one back.
    Revoke {
        /// Its id, as listed
        id: String,
    },
}

/// What is wanted of keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make one that is good for every agent of a vendor and print it, once.
    Create {
        /// Whose dialect is spoken
        #[arg(value_parser = vendor())]
        vendor: String,
    },
}

/// Bytes that an answer may have: a list of some hundred thousand agents.
const ANSWER_LIMIT: usize = 256 << 20;

impl OperatorCommand {
    /// Does it and prints the answer.
    pub(crate) async fn run(self) -> Result<()> {
        let connection = self.connection();
        let transport = ReqwestTransport::builder()
            .user_agent(concat!("fleetwire/", env!("CARGO_PKG_VERSION")))
            .body_limit(ANSWER_LIMIT)
            .build()
            .context("HTTP cannot be set up")?;
        let api = Api::new(&connection.server, connection.token.as_deref(), transport)?;
        let form = match connection {
            Connection { json: true, .. } => Form::Json,
            Connection { quiet: true, .. } => Form::Quiet,
            _ => Form::Text,
        };
        // Events are shown as they come, and the end of a long look is no failure.
        if let Self::Events { events, .. } = self {
            let mut out = io::stdout();
            return tokio::select! {
                outcome = events.show(&api, form, &mut out) => outcome,
                () = crate::serve::stop_signal() => Ok(()),
            };
        }
        let text = self.ask(&api, form).await?;
        match io::stdout().lock().write_all(text.as_bytes()) {
            // Whoever reads us, `head` perhaps, has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome.context("the answer cannot be written"),
        }
    }

    const fn connection(&self) -> &Connection {
        match self {
            Self::Devices { connection, .. }
            | Self::Work { connection, .. }
            | Self::Events { connection, .. }
            | Self::Results { connection, .. }
            | Self::Instructions { connection, .. }
            | Self::Batches { connection, .. }
            | Self::Tokens { connection, .. }
            | Self::Keys { connection, .. }
            | Self::Models { connection, .. }
            | Self::Binaries { connection, .. }
            | Self::Releases { connection, .. } => connection,
        }
    }

    /// Asks the server and gives what is to be printed.
    async fn ask<T: Upload>(self, api: &Api<T>, form: Form) -> Result<String> {
        match self {
            Self::Devices { command, .. } => command.ask(api, form).await,
            Self::Work { command, .. } => command.ask(api, form).await,
            Self::Events { events, .. } => {
                let mut lines = Vec::new();
                events.show(api, form, &mut lines).await?;
                Ok(String::from_utf8(lines)?)
            }
            Self::Results { command, .. } => command.ask(api, form).await,
            Self::Instructions { command, .. } => command.ask(api, form).await,
            Self::Batches { command, .. } => command.ask(api, form).await,
            Self::Tokens { command, .. } => command.ask(api, form).await,
            Self::Keys { command, .. } => command.ask(api, form).await,
            Self::Models { command, .. } => command.ask(api, form).await,
            Self::Binaries { command, .. } => command.ask(api, form).await,
            Self::Releases { command, .. } => command.ask(api, form).await,
        }
    }
}

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// For programs.
    Json,
    /// For people.
    Text,
    /// For shell variables.
    Quiet,
}

impl Form {
    /// Shows an answer. JSON is shown as it came, so that what a newer server adds is there.
    fn show<B: DeserializeOwned>(self, answer: Value, text: impl FnOnce(B) -> String) -> Result<String> {
        match self {
            Self::Json => Ok(format!("{answer:#}\n")),
            Self::Quiet => {
                let made =
                    ["token", "key", "public_key", "id"].iter().find_map(|name| answer.get(name)?.as_str());
                Ok(made.map(|made| format!("{}\n", table::line(made))).unwrap_or_default())
            }
            Self::Text => {
                let body = serde_json::from_value(answer).context(
                    "the server's answer is not what this version knows; --json shows it as it is",
                )?;
                Ok(text(body))
            }
        }
    }
}

impl DevicesCommand {
    async fn ask<T: Transport>(self, api: &Api<T>, form: Form) -> Result<String> {
        match self {
            Self::List { vendor, status } => form.show(
                every_agent(api, AgentFilter { vendor, status, after: None, limit: None }).await?,
                agents,
            ),
            Self::Add { vendor, kind, number, id, name, labels, facts } => {
                let facts = facts.into_iter().map(Pair::with_json_value).collect();
                let labels = labels.into_iter().map(|Pair(name, value)| (name, value)).collect();
                let body = NewAgentBody { vendor, kind: Some(kind), number, id, name, facts, labels };
                let answer = api.send(Method::POST, &["agents"], &body).await?;
                form.show(answer, |made: AgentCreated| {
                    let key = table::pairs(&[("key", made.key.reveal())]);
                    format!("{}{key}\n{SHOWN_ONCE}\n", agent(&made.agent))
                })
            }
            Self::Show(device) => {
                form.show(api.get(&device.path(&[]), &()).await?, |body: AgentBody| agent(&body))
            }
            Self::History { device, since } => {
                let answer = api.get(&device.path(&["history"]), &HistoryQuery { since }).await?;
                form.show(answer, history::history)
            }
            Self::RotateKey(device) => {
                let answer = api.send(Method::POST, &device.path(&["rotate-key"]), &()).await?;
                form.show(answer, |body: AgentBody| {
                    let name = table::line(&body.name);
                    format!(
                        "{name} is offered a new key; its old one stays good until it uses the new one.\n"
                    )
                })
            }
            Self::Disable(device) => stand(api, form, &device, "disable").await,
            Self::Enable(device) => stand(api, form, &device, "enable").await,
            Self::Decommission(device) => stand(api, form, &device, "decommission").await,
            Self::RevokeKeys(device) => {
                let answer = api.send(Method::POST, &device.path(&["revoke-keys"]), &()).await?;
                form.show(answer, |made: AgentCreated| {
                    let name = table::line(&made.agent.name);
                    let key = table::pairs(&[("key", made.key.reveal())]);
                    format!(
                        "Every key of {name} has ended, and this one is good instead.\n{key}\n{SHOWN_ONCE}\n"
                    )
                })
            }
            Self::Model { device, model } => {
                let answer =
                    api.send(Method::PUT, &device.path(&["model"]), &WantedModelBody { model }).await?;
                form.show(answer, |body: AgentBody| {
                    let model = body.desired_model.as_deref().unwrap_or("no model");
                    format!("{} is to run {}.\n", table::line(&body.name), table::line(model))
                })
            }
        }
    }
}

/// Has a device stand otherwise, and says how it stands.
async fn stand<T: Transport>(api: &Api<T>, form: Form, device: &Named, turn: &str) -> Result<String> {
    let answer = api.send(Method::POST, &device.path(&[turn]), &()).await?;
    form.show(answer, |body: AgentBody| {
        format!("{} is {}.\n", table::line(&body.name), table::line(&body.standing))
    })
}

/// All agents, page by page, as if they had come in one.
async fn every_agent<T: Transport>(api: &Api<T>, mut filter: AgentFilter) -> Result<Value> {
    filter.limit = Some(AGENTS_AT_ONCE);
    let mut answer = api.get(&["agents"], &filter).await?;
    while let Some(next) = answer.get("next").and_then(Value::as_i64) {
        filter.after = Some(next);
        let mut page = api.get(&["agents"], &filter).await?;
        if let (Some(Value::Array(all)), Some(Value::Array(more))) =
            (answer.get_mut("agents"), page.get_mut("agents"))
        {
            all.append(more);
        }
        // A page that leads no further is the last one, whatever it says.
        let further = page.get("next").filter(|further| further.as_i64().is_some_and(|no| no > next));
        answer["next"] = further.cloned().unwrap_or_default();
    }
    Ok(answer)
}

impl WorkCommand {
    async fn ask<T: Transport>(self, api: &Api<T>, form: Form) -> Result<String> {
        match self {
            Self::List { vendor, agent, state, before, limit } => {
                let filter = WorkFilter { vendor, agent, state, before, limit: Some(limit) };
                form.show(api.get(&["work"], &filter).await?, works)
            }
            Self::Show { id } => {
                form.show(api.get(&["work", &id], &()).await?, |work: WorkBody| piece_of_work(&work))
            }
            Self::Cancel { id } => {
                let answer = api.send(Method::POST, &["work", &id, "cancel"], &()).await?;
                form.show(answer, |work: WorkBody| {
                    format!("{} is {}.\n", table::line(&work.id), table::line(&work.state))
                })
            }
            Self::Report { id, state, result, execution: execution_number } => {
                let body = WorkReportBody { state, execution_number, result: result.map(Value::Object) };
                let answer = api.send(Method::POST, &["work", &id, "report"], &body).await?;
                form.show(answer, |WorkReported { changed, work }: WorkReported| {
                    let already = if changed { "" } else { " already" };
                    let (id, state) = (table::line(&work.id), table::line(&work.state));
                    format!("{id} is {state}{already}, in execution {}.\n", work.execution_number)
                })
            }
            Self::Add {
                agent,
                kind,
                payload,
                priority,
                key,
                not_before,
                ttl: ttl_seconds,
                timeout: timeout_seconds,
                max_retries,
            } => {
                let body = NewWorkBody {
                    kind,
                    payload,
                    priority,
                    key,
                    not_before,
                    ttl_seconds,
                    timeout_seconds,
                    max_retries,
                };
                let answer = api.send(Method::POST, &agent.path(&["work"]), &body).await?;
                form.show(answer, |work: WorkBody| works(WorkList { work: vec![work], next: None }))
            }
        }
    }
}

impl ResultsCommand {
    async fn ask<T: Transport>(self, api: &Api<T>, form: Form) -> Result<String> {
        let Self { vendor, agent, work, control, before, limit } = self;
        let filter = ResultFilter { vendor, agent, work, control, before, limit: Some(limit) };
        form.show(api.get(&["results"], &filter).await?, results)
    }
}

impl TokensCommand {
    async fn ask<T: Transport>(self, api: &Api<T>, form: Form) -> Result<String> {
        match self {
            Self::Create { vendor, ttl, max_uses } => {
                let body = NewTokenBody {
                    vendor,
                    ttl_seconds: ttl.unwrap_or_default(),
                    max_uses: max_uses.unwrap_or_default(),
                };
                let answer = api.send(Method::POST, &["tokens"], &body).await?;
                form.show(answer, |made: TokenCreated| {
                    let lines = table::pairs(&[
                        ("id", &made.id),
                        ("vendor", &made.vendor),
                        ("expires", made.expires_at.as_deref().unwrap_or("never")),
                        ("uses", &uses_of(0, made.max_uses)),
                        ("token", made.token.reveal()),
                    ]);
                    format!("{lines}\n{SHOWN_ONCE}\n")
                })
            }
            Self::List => form.show(api.get(&["tokens"], &()).await?, tokens),
            Self::Revoke { id } => {
                api.send(Method::DELETE, &["tokens", &id], &()).await?;
                // The server answers nothing that could be shown as JSON.
                Ok(if form == Form::Text {
                    format!("{} is revoked.\n", table::line(&id))
                } else {
                    String::new()
                })
            }
        }
    }
}

impl KeysCommand {
    async fn ask<T: Transport>(self, api: &Api<T>, form: Form) -> Result<String> {
        let Self::Create { vendor } = self;
        let answer = api.send(Method::POST, &["keys"], &NewKeyBody { vendor }).await?;
        form.show(answer, |made: KeyBody| {
            let lines = table::pairs(&[("vendor", &made.vendor), ("key", made.key.reveal())]);
            format!("{lines}\n{SHOWN_ONCE}\n")
        })
    }
}

/// Agents that are asked for at a time.
const AGENTS_AT_ONCE: u32 = 1000;

const SHOWN_ONCE: &str = "Keep it: it is shown this once.";

const fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn or_dash(text: Option<&str>) -> &str {
    text.unwrap_or("-")
}

fn agents(list: AgentList) -> String {
    let mut table = Table::new(["NUMBER", "VENDOR", "KIND", "ID", "NAME", "STATUS", "LAST SEEN", "VERSION"]);
    for agent in list.agents {
        table.row([
            &agent.number.to_string(),
            &agent.vendor,
            &agent.kind,
            &agent.id,
            &agent.name,
            if agent.disabled { &agent.standing } else { &agent.status },
            or_dash(agent.last_seen.as_deref()),
            or_dash(agent.version.as_deref()),
        ]);
    }
    table.finish("No agents. `fleetwire devices add` registers one.")
}

fn agent(agent: &AgentBody) -> String {
    let host = agent.host.map(|host| host.to_string());
    let mut lines = table::pairs(&[
        ("number", &agent.number.to_string()),
        ("vendor", &agent.vendor),
        ("kind", &agent.kind),
        ("id", &agent.id),
        ("name", &agent.name),
        ("version", or_dash(agent.version.as_deref())),
        ("status", &agent.status),
        ("last seen", or_dash(agent.last_seen.as_deref())),
        ("host", or_dash(host.as_deref())),
        ("current model", or_dash(agent.current_model.as_deref())),
        ("desired model", or_dash(agent.desired_model.as_deref())),
        ("rotating", yes_or_no(agent.rotating)),
        ("standing", &agent.standing),
        ("created", &agent.created_at),
        ("updated", &agent.updated_at),
    ]);
    let mut group = |title: &str, members: Vec<(&str, String)>| {
        for (name, value) in members {
            lines.push_str(&table::pairs(&[(title, &format!("{name} = {value}"))]));
        }
    };
    group("label", agent.labels.iter().map(|(name, value)| (name.as_str(), value.clone())).collect());
    group("fact", agent.facts.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect());
    if let Some(report) = &agent.report {
        group("report", report.status.iter().map(|status| ("status", status.clone())).collect());
        group(
            "report",
            report.metrics.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect(),
        );
        group("report", report.notes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect());
    }
    lines
}

fn works(list: WorkList) -> String {
    let mut table = Table::new(["NUMBER", "ID", "VENDOR", "AGENT", "TYPE", "STATE", "PRIORITY", "CREATED"]);
    for work in list.work {
        let number = work.agent.number.to_string();
        table.row([
            &work.number.to_string(),
            &work.id,
            or_dash(work.agent.vendor.as_deref()),
            work.agent.id.as_deref().unwrap_or(&number),
            &work.kind,
            &state_of(&work),
            &work.priority.to_string(),
            &work.created_at,
        ]);
    }
    let mut text = table.finish("No work. `fleetwire work add` gives an agent some.");
    if let Some(next) = list.next {
        text.push_str(&format!("There are more: --before {next}\n"));
    }
    text
}

/// The state, with the exit code where that says otherwise: to Achilles a task that was reported on is completed,
/// whatever came of it.
fn state_of(work: &WorkBody) -> String {
    let code = work.result.as_ref().and_then(|result| result.get("exit_code")).and_then(Value::as_i64);
    match code {
        Some(code) if code != 0 => format!("{}, exit code {code}", work.state),
        _ => work.state.clone(),
    }
}

fn piece_of_work(work: &WorkBody) -> String {
    let number = work.agent.number.to_string();
    let vendor = or_dash(work.agent.vendor.as_deref());
    let agent = format!("{vendor} {}", work.agent.id.as_deref().unwrap_or(&number));
    let timeout = work.timeout_seconds.map(|seconds| format!("{seconds} s"));
    let executions = work.max_retries.saturating_add(1);
    let mut lines = table::pairs(&[
        ("number", &work.number.to_string()),
        ("id", &work.id),
        ("key", or_dash(work.key.as_deref())),
        ("agent", &agent),
        ("type", &work.kind),
        ("payload", &Value::Object(work.payload.clone()).to_string()),
        ("state", &state_of(work)),
        ("execution", &format!("{} of at most {executions}", work.execution_number)),
        ("priority", &work.priority.to_string()),
        ("not before", or_dash(work.not_before.as_deref())),
        ("expires", &work.expires_at),
        ("timeout", or_dash(timeout.as_deref())),
        ("deadline", or_dash(work.deadline.as_deref())),
        ("created", &work.created_at),
        ("delivered", or_dash(work.delivered_at.as_deref())),
        ("acknowledged", or_dash(work.acknowledged_at.as_deref())),
        ("completed", or_dash(work.completed_at.as_deref())),
        ("updated", &work.updated_at),
    ]);
    for execution in &work.earlier_executions {
        let from = or_dash(execution.delivered_at.as_deref());
        let number = execution.number;
        let told = format!("{number}: {}, {from} to {}", execution.state, execution.ended_at);
        lines.push_str(&table::pairs(&[("before", &told)]));
    }
    if let Some(result) = &work.result {
        lines.push_str(&table::pairs(&[("result", &result.to_string())]));
    }
    lines
}

fn results(list: ResultList) -> String {
    let mut table = Table::new(["NUMBER", "VENDOR", "AGENT", "TEST", "CONTROL", "EXIT", "COMPLIANT", "AT"]);
    for result in list.results {
        let number = result.agent.number.to_string();
        table.row([
            &result.number.to_string(),
            or_dash(result.agent.vendor.as_deref()),
            result.agent.id.as_deref().unwrap_or(&number),
            &result.test,
            or_dash(result.control.as_deref()),
            &result.exit_code.to_string(),
            result.compliant.map_or("-", yes_or_no),
            &result.at,
        ]);
    }
    let mut text = table.finish("No results. Tests report them: see `fleetwire work list`.");
    if let Some(next) = list.next {
        text.push_str(&format!("There are more: --before {next}\n"));
    }
    text
}

/// How many of its uses a token has had.
fn uses_of(uses: u32, most: Option<u32>) -> String {
    most.map_or_else(|| format!("{uses} of any"), |most| format!("{uses} of {most}"))
}

fn tokens(list: TokenList) -> String {
    let mut table = Table::new(["ID", "VENDOR", "USES", "EXPIRES", "REVOKED"]);
    for token in list.tokens {
        table.row([
            &token.id,
            &token.vendor,
            &uses_of(token.uses, token.max_uses),
            token.expires_at.as_deref().unwrap_or("never"),
            yes_or_no(token.revoked),
        ]);
    }
    table.finish("No tokens. `fleetwire tokens create` makes one.")
}

#[cfg(test)]
mod tests;
