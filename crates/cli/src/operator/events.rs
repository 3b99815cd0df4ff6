//! `fleetwire events`: what has happened in the fleet.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use fleetwire_client::Transport;
use fleetwire_server::control::{EventBody, EventFilter, EventList};
use fleetwire_server_core::events::EventKind;
use serde::Deserialize;
use serde_json::Value;

use super::Form;
use super::api::Api;
use super::arguments::vendor;
use crate::table;

/// Time between two questions when nothing more is there.
const PAUSE: Duration = Duration::from_secs(2);

/// Which events are shown.
#[derive(Debug, Args)]
pub(crate) struct EventsCommand {
    /// Those after this number, from the earliest on; without it, the latest
    #[arg(long, value_name = "NUMBER")]
    after: Option<i64>,
    /// How many at most, or at a time with --follow
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only those about an agent
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// The vendor of that agent, where agents of several have the id
    #[arg(long, value_parser = vendor(), requires = "agent")]
    vendor: Option<String>,
    /// Only those of a kind, such as offline
    #[arg(long, value_parser = kind)]
    kind: Option<String>,
    /// Go on with what happens from now on, until interrupted
    #[arg(long, short)]
    follow: bool,
}

fn kind(word: &str) -> Result<String, String> {
    match EventKind::parse(word) {
        Some(_) => Ok(word.to_owned()),
        None => {
            let known: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
            Err(format!("must be one of {}", known.join(", ")))
        }
    }
}

impl EventsCommand {
    /// Shows them, one a line; with --follow, until `out` is closed.
    pub(super) async fn show<T: Transport>(
        self,
        api: &Api<T>,
        form: Form,
        out: &mut impl Write,
    ) -> Result<()> {
        let Self { after, limit, agent, vendor, kind, follow } = self;
        let mut filter = EventFilter { after, limit: Some(limit), agent, vendor, kind };
        loop {
            let answer = api.get(&["events"], &filter).await;
            let answer = match filter.after {
                Some(after) if follow => {
                    answer.with_context(|| format!("to go on from here: --after {after}"))?
                }
                _ => answer?,
            };
            let page = Page::of(&answer)?;
            let lines: String = page.lines(form)?;
            match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
                // Whoever reads us, `head` perhaps, has seen enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                outcome => outcome.context("the events cannot be written")?,
            }
            if !follow {
                return Ok(());
            }
            filter.after = Some(page.list.next);
            if page.list.events.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A part of the journal, as it came and as it is understood.
struct Page {
    answer: Vec<Value>,
    list: EventList,
}

impl Page {
    fn of(answer: &Value) -> Result<Self> {
        let unknown = "the server's answer is not what this version knows";
        let list = EventList::deserialize(answer).context(unknown)?;
        let answer = answer.get("events").and_then(Value::as_array).cloned().context(unknown)?;
        Ok(Self { answer, list })
    }

    fn lines(&self, form: Form) -> Result<String> {
        let lines = match form {
            // As it came, so that what a newer server adds is there.
            Form::Json => self.answer.iter().map(|event| format!("{event}\n")).collect(),
            Form::Quiet => self.list.events.iter().map(|event| format!("{}\n", event.number)).collect(),
            Form::Text => self.list.events.iter().map(line).collect(),
        };
        Ok(lines)
    }
}

/// An event on one line: a table would have to wait for its last row.
fn line(event: &EventBody) -> String {
    let about = event.agent.as_ref().map_or_else(
        || "-".to_owned(),
        |agent| match (&agent.vendor, &agent.id) {
            (Some(vendor), Some(id)) => format!("{vendor}/{id}"),
            _ => agent.number.to_string(),
        },
    );
    let mut detail = String::new();
    for (name, value) in &event.detail {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        detail.push_str(&format!("  {name}={value}"));
    }
    let line = format!("{:>6}  {}  {:<15}  {about}{detail}", event.number, event.at, event.kind);
    format!("{}\n", table::line(&line))
}
