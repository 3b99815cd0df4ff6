//! `fleetwire agent status`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chrono::SecondsFormat;
use clap::Args;
use fleetwire_client::agent::Status;
use fleetwire_client::store::{DiskError, DiskStore};
use serde_json::{Value, json};

use crate::table;

#[derive(Debug, Args)]
pub(crate) struct StatusCommand {
    /// The folder of the agent's state
    #[arg(long, value_name = "DIR", env = "FLEETWIRE_STATE")]
    state: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// What a folder knows; `None` if nothing was ever kept there.
pub(super) fn read(folder: &Path) -> Result<Option<Status>> {
    let saved = match DiskStore::look(folder) {
        Err(DiskError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        looked => looked?,
    };
    Status::of(&saved).with_context(|| format!("{} cannot be read", folder.display()))
}

impl StatusCommand {
    pub(super) fn run(&self) -> Result<()> {
        let Some(status) = read(&self.state)? else {
            bail!("no agent has kept anything in {}", self.state.display());
        };
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &as_json(&status))?;
            writeln!(out)?;
        } else {
            out.write_all(as_text(&status).as_bytes())?;
        }
        Ok(())
    }
}

fn last_taken(status: &Status) -> Option<String> {
    status.last_taken.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn as_json(status: &Status) -> Value {
    json!({
        "vendor": status.vendor,
        "identity": status.identity,
        "keys": status.keys,
        "last_heartbeat": last_taken(status),
        "stopped": status.stopped,
        "at_work": status.at_work,
        "work_queued": status.queued,
        "spool": { "messages": status.waiting, "bytes": status.waiting_bytes },
    })
}

fn as_text(status: &Status) -> String {
    let identity = match &status.identity {
        None => "not taken in yet".to_owned(),
        Some(Value::String(id)) => id.clone(),
        Some(Value::Object(members)) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            let shown = members.map(|(name, value)| match value {
                Value::String(text) => format!("{name} {text}"),
                other => format!("{name} {other}"),
            });
            shown.collect::<Vec<_>>().join(", ")
        }
        Some(_) => "known by its key".to_owned(),
    };
    let last = last_taken(status).unwrap_or_else(|| "none yet".to_owned());
    let last = if status.stopped || status.last_taken.is_none() { last } else { format!("{last} or later") };
    let work = match (status.at_work, status.queued) {
        (false, 0) => "none".to_owned(),
        (true, 0) => "one at hand".to_owned(),
        (true, queued) => format!("one at hand, {queued} queued"),
        (false, queued) => format!("{queued} queued"),
    };
    table::pairs(&[
        ("vendor", &status.vendor),
        ("identity", &identity),
        ("keys", &status.keys.to_string()),
        ("heartbeat", &last),
        ("work", &work),
        ("spool", &format!("{} messages, {} bytes", status.waiting, status.waiting_bytes)),
    ])
}
