//! What an agent of Achilles does.

use std::path::{Path, PathBuf};

use fleetwire_client::achilles::{Achilles, Agent, TaskOutcome};
use fleetwire_client::host::Host;
use fleetwire_client::protocol::achilles::{SystemMetrics, Task};
use fleetwire_client::work::{AsyncHandler, Context, Handler, WorkError};
use fleetwire_client::{ReqwestTransport, TokioRuntime};
use serde_json::json;

use super::{FILES, inside, sha256};

pub(in super::super) const KINDS: &[&str] = &["report_facts", "fetch_binary", "checksum"];

/// The agent with its kinds of work.
pub(in super::super) fn equip(agent: Agent, state: &Path, transport: &ReqwestTransport) -> Agent {
    let files = state.join(FILES);
    agent
        .on("report_facts", ReportFacts { state: state.to_owned() })
        .on("checksum", Checksum { files: files.clone() })
        .on_async("fetch_binary", FetchBinary { files, transport: transport.clone() })
}

/// Prints the machine's facts.
struct ReportFacts {
    state: PathBuf,
}

impl Handler<Achilles> for ReportFacts {
    fn handle(&self, _: &Task, _: &Context<Achilles>) -> Result<TaskOutcome, WorkError> {
        let facts = SystemMetrics::from(&Host::new(&self.state).facts());
        let text = serde_json::to_string(&facts).map_err(|error| WorkError::Failed(error.to_string()))?;
        Ok(TaskOutcome::printed(text))
    }

    fn may_repeat(&self, _: &Task) -> bool {
        true
    }
}

/// Prints size and SHA-256 of a file, and compares them with those of the task where it has some.
struct Checksum {
    files: PathBuf,
}

impl Handler<Achilles> for Checksum {
    fn handle(&self, task: &Task, context: &Context<Achilles>) -> Result<TaskOutcome, WorkError> {
        let name = task.payload.binary_name.as_deref().unwrap_or_default();
        let path = inside(&self.files, name)?;
        let (size, sum) = sha256(&path, context)?;
        let mut outcome =
            TaskOutcome::printed(json!({"file": name, "size": size, "sha256": sum}).to_string());
        let differs = |wanted: &str| !wanted.is_empty() && !wanted.eq_ignore_ascii_case(&sum);
        if task.payload.binary_sha256.as_deref().is_some_and(differs) {
            outcome.exit_code = 1;
            outcome.error = Some(format!("{name} is not the file that was expected"));
        }
        outcome.binary_sha256 = sum;
        Ok(outcome)
    }

    fn may_repeat(&self, _: &Task) -> bool {
        true
    }
}

/// Fetches the binary that a task names, checks it, and keeps it where [`Checksum`] finds it. It is not run.
struct FetchBinary {
    files: PathBuf,
    transport: ReqwestTransport,
}

impl AsyncHandler<Achilles> for FetchBinary {
    async fn handle(&self, task: Task, context: Context<Achilles>) -> Result<TaskOutcome, WorkError> {
        let fetched = context.fetch_binary_async(&task, &self.files, &self.transport, &TokioRuntime).await?;
        let name = task.payload.binary_name.unwrap_or_default();
        let text = json!({"file": name, "size": fetched.size, "sha256": fetched.sha256}).to_string();
        let mut outcome = TaskOutcome::printed(text);
        outcome.binary_sha256 = fetched.sha256;
        Ok(outcome)
    }

    fn may_repeat(&self, _: &Task) -> bool {
        true
    }
}
