//! The work that the agent does: it harms nothing, so that what a crash interrupted is simply done again.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use fleetwire_client::achilles::{Achilles, Agent, TaskOutcome};
use fleetwire_client::host::Host;
use fleetwire_client::protocol::achilles::{SystemMetrics, Task};
use fleetwire_client::work::{AsyncHandler, Context, Handler, WorkError};
use fleetwire_client::{ReqwestTransport, TokioRuntime};
use ring::digest::{self, SHA256};
use serde_json::json;

/// The folder of the files that work may name, within that of the state.
const FILES: &str = "files";

/// The agent with its kinds of work.
pub(super) fn achilles(agent: Agent, state: &Path, transport: &ReqwestTransport) -> Agent {
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

/// The place of a file within a folder. A name that leads elsewhere, by itself or by a link, is refused.
fn inside(folder: &Path, name: &str) -> Result<PathBuf, WorkError> {
    let refused = || WorkError::Refused(format!("{name:?} is no file of the agent's folder {FILES:?}"));
    let mut parts = Path::new(name).components();
    let (Some(Component::Normal(part)), None) = (parts.next(), parts.next()) else { return Err(refused()) };
    // A name such as `a/` has one part and is no file's.
    if part != name || name.contains(['/', '\\']) {
        return Err(refused());
    }
    let path = folder.join(part);
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => Ok(path),
        _ => Err(refused()),
    }
}

/// Size and SHA-256 of a file, in hex, unless the work is called off meanwhile.
fn sha256(path: &Path, context: &Context<Achilles>) -> Result<(u64, String), WorkError> {
    let failed = |error: io::Error| WorkError::Failed(format!("the file cannot be read: {error}"));
    let mut file = File::open(path).map_err(failed)?;
    let mut sum = digest::Context::new(&SHA256);
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0_u64;
    loop {
        if context.is_called_off() {
            return Err(WorkError::CalledOff);
        }
        let read = file.read(&mut buffer).map_err(failed)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        sum.update(piece);
        size = size.saturating_add(read as u64);
    }
    Ok((size, sum.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_the_agents_own_folder_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join(FILES);
        fs::create_dir_all(files.join("deeper")).unwrap();
        fs::write(folder.path().join("state"), "secret").unwrap();
        fs::write(files.join("model.bin"), "x").unwrap();
        fs::write(files.join("deeper/model.bin"), "x").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path().join("state"), files.join("link")).unwrap();
        assert_eq!(inside(&files, "model.bin"), Ok(files.join("model.bin")));
        for name in [
            "",
            ".",
            "..",
            "/",
            "../state",
            "/etc/passwd",
            "deeper",
            "deeper/model.bin",
            "model.bin/",
            "./model.bin",
            "link",
            "missing",
            "..\\state",
            "\0",
        ] {
            assert!(matches!(inside(&files, name), Err(WorkError::Refused(_))), "{name:?}");
        }
    }
}
