//! What a host of AgentMC does. Its commands carry two texts, of which `runtime_key` names the file that is meant.

use std::path::{Component, Path, PathBuf};

use fleetwire_client::agentmc::{Agent, AgentMc};
use fleetwire_client::host::Host;
use fleetwire_client::protocol::Call;
use fleetwire_client::protocol::agentmc::{
    ApiKey, HeartbeatRequest, InstructionFile, Instructions, InstructionsParams, RuntimeCommand,
};
use fleetwire_client::protocol::wire::FreeMap;
use fleetwire_client::work::{AsyncHandler, Context, Handler, WorkError};
use fleetwire_client::{AddressError, Client, ReqwestTransport};
use ring::digest::{self, SHA256};
use serde_json::{Value, json};

use super::{FILES, hex, inside, put, sha256};

pub(in super::super) const KINDS: &[&str] = &["report_facts", "fetch_instructions", "checksum"];

/// Who the host is, as far as its work asks.
pub(in super::super) struct Who<'a> {
    pub(in super::super) server: &'a str,
    pub(in super::super) key: &'a str,
    pub(in super::super) agent: i64,
    pub(in super::super) name: &'a str,
    pub(in super::super) fingerprint: &'a str,
}

/// The host with its kinds of work.
pub(in super::super) fn equip(
    agent: Agent,
    state: &Path,
    transport: &ReqwestTransport,
    who: &Who<'_>,
) -> Result<Agent, AddressError> {
    let files = state.join(FILES);
    let facts = ReportFacts {
        state: state.to_owned(),
        agent: who.agent,
        name: who.name.to_owned(),
        fingerprint: who.fingerprint.to_owned(),
    };
    let fetch = FetchInstructions {
        files: files.clone(),
        client: Client::new(who.server, transport.clone())?,
        key: ApiKey::from(who.key),
        agent: who.agent,
    };
    let agent = agent.on("report_facts", facts).on("checksum", Checksum { files });
    Ok(agent.on_async("fetch_instructions", fetch))
}

/// An object as what came of a command.
fn outcome(value: Value) -> FreeMap {
    match value {
        Value::Object(members) => members.into_iter().collect(),
        other => FreeMap([("value".to_owned(), other)].into()),
    }
}

/// Says what the host's reports say of it.
struct ReportFacts {
    state: PathBuf,
    agent: i64,
    name: String,
    fingerprint: String,
}

impl Handler<AgentMc> for ReportFacts {
    fn handle(&self, _: &RuntimeCommand, _: &Context<AgentMc>) -> Result<FreeMap, WorkError> {
        let facts = Host::new(&self.state).facts();
        let report = facts.for_agentmc(&self.fingerprint, self.agent, &self.name, super::super::VERSION);
        let report: HeartbeatRequest =
            report.ok_or_else(|| WorkError::Failed("the machine has no address at the moment".to_owned()))?;
        let host = serde_json::to_value(&report.host.meta);
        host.map(outcome).map_err(|error| WorkError::Failed(error.to_string()))
    }

    fn may_repeat(&self, _: &RuntimeCommand) -> bool {
        true
    }
}

/// Says size and SHA-256 of a file.
struct Checksum {
    files: PathBuf,
}

impl Handler<AgentMc> for Checksum {
    fn handle(&self, command: &RuntimeCommand, context: &Context<AgentMc>) -> Result<FreeMap, WorkError> {
        let name = command.payload.runtime_key.as_str();
        let path = inside(&self.files, name)?;
        let (size, sum) = sha256(&path, context)?;
        Ok(outcome(json!({"file": name, "size": size, "sha256": sum})))
    }

    fn may_repeat(&self, _: &RuntimeCommand) -> bool {
        true
    }
}

/// Fetches the files that the agent on the host is to work by, and puts them where [`Checksum`] finds those that lie in
/// no folder of their own. None is put anywhere unless all are what they should be.
struct FetchInstructions {
    files: PathBuf,
    client: Client<ReqwestTransport>,
    key: ApiKey,
    agent: i64,
}

impl AsyncHandler<AgentMc> for FetchInstructions {
    async fn handle(&self, _: RuntimeCommand, _: Context<AgentMc>) -> Result<FreeMap, WorkError> {
        let params = InstructionsParams { acting: Some(self.agent.into()), ..InstructionsParams::default() };
        let sent = self.client.send::<Instructions>(&self.key, &Call::with(params, ())).await;
        let bundle = sent.map_err(|error| WorkError::Failed(error.to_string()))?;
        let mut kept = Vec::new();
        for file in &bundle.files {
            kept.push((place(&self.files, file)?, file));
        }
        for (path, file) in &kept {
            let failed = |error| WorkError::Failed(format!("{:?} cannot be written: {error}", file.path));
            put(path, file.content.as_bytes()).map_err(failed)?;
        }
        let told = kept.iter().map(|(_, file)| json!({"path": file.path, "sha256": file.sha256}));
        let told: Vec<_> = told.collect();
        Ok(outcome(json!({"bundle_version": bundle.bundle_version, "files": told})))
    }

    fn may_repeat(&self, _: &RuntimeCommand) -> bool {
        true
    }
}

/// Where a file of the instructions goes, if it is what it should be and leads nowhere else.
fn place(folder: &Path, file: &InstructionFile) -> Result<PathBuf, WorkError> {
    let path = Path::new(&file.path);
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if file.path.is_empty() || file.path.contains(['\\', '\0']) || !path.components().all(is_plain) {
        return Err(WorkError::Failed(format!("{:?} is no path within the agent's folder", file.path)));
    }
    let mut place = folder.to_owned();
    for part in path.components() {
        place.push(part);
        if place.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            return Err(WorkError::Failed(format!("{:?} leads out of the agent's folder", file.path)));
        }
    }
    let sum = hex(digest::digest(&SHA256, file.content.as_bytes()));
    if !sum.eq_ignore_ascii_case(&file.sha256) {
        let (told, path) = (&file.sha256, &file.path);
        return Err(WorkError::Failed(format!("{path:?} has the SHA-256 {sum}, and should have {told:?}")));
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> InstructionFile {
        let sum = hex(digest::digest(&SHA256, content.as_bytes()));
        InstructionFile::new("f", path, content, sum)
    }

    #[test]
    fn instructions_go_nowhere_but_into_the_agents_own_folder() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join(FILES);
        std::fs::create_dir_all(&files).unwrap();
        assert_eq!(place(&files, &file("AGENTS.md", "x")), Ok(files.join("AGENTS.md")));
        assert_eq!(place(&files, &file(".agentmc/skill.md", "x")), Ok(files.join(".agentmc/skill.md")));
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), files.join("link")).unwrap();
        for path in
            ["", "/etc/cron.d/x", "..", "../state", "a/../../state", "a\\b", "a\0", "link", "link/state"]
        {
            assert!(matches!(place(&files, &file(path, "x")), Err(WorkError::Failed(_))), "{path:?}");
        }
    }

    #[test]
    fn instructions_that_are_not_what_they_should_be_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut spoiled = file("AGENTS.md", "x");
        spoiled.content.push('y');
        let Err(WorkError::Failed(why)) = place(folder.path(), &spoiled) else { panic!("it was taken") };
        assert!(why.contains("AGENTS.md") && why.contains(&spoiled.sha256), "{why}");
    }
}
