use fleetwire_protocol::agentmc::{
    ActingAgent, AgentNo, InstructionFile, Instructions, InstructionsParams, InstructionsResponse,
};
use fleetwire_protocol::wire::Timestamp;
use fleetwire_protocol::{Fault, Place, Subject};
use fleetwire_validation::Checked;

use super::bad_parameter;
use crate::core::{KeyScope, internal};
use crate::domain::{self, Kind, No, Vendor};
use crate::keys::{hex, sha256};
use crate::operator::{Done, OperatorError};
use crate::store::Store;
use crate::{Core, Handle, Origin};

const MAX_FILES: usize = domain::Instructions::MAX_FILES;
const MAX_BYTES: usize = domain::Instructions::MAX_BYTES;

/// The longest path of one of its files, in bytes.
const LONGEST_PATH: usize = 255;

impl<S: Store> Handle<Instructions> for Core<S> {
    async fn handle(
        &self,
        scope: KeyScope,
        _: &Origin<'_>,
        call: Checked<Instructions>,
    ) -> Result<InstructionsResponse, Fault> {
        let params = call.into_inner().params;
        if params.current_bundle_version.as_ref().is_some_and(|version| !version.is_well_formed()) {
            return Err(bad_parameter(
                Place::Query("current_bundle_version"),
                "agentmc.instructions.current_bundle_version",
                "must have 1 to 120 characters of A-Za-z0-9._:-",
            ));
        }
        let agent = self.acting_agent(scope, &params)?;
        let found = self.store.instructions(scope.tenant, Some(agent)).await.map_err(internal)?;
        let files = found.unwrap_or_else(|| domain::Instructions::none(scope.tenant, self.now()));

        let version = files.version();
        let mut answer = InstructionsResponse::new(
            version.as_str().into(),
            Timestamp::seconds(files.at),
            self.defaults(),
            ActingAgent::new(agent),
        );
        answer.changed = params.current_bundle_version.is_none_or(|known| known.as_str() != version);
        if answer.changed {
            answer.files = files.files.into_iter().map(file).collect();
        }
        Ok(answer)
    }
}

impl<S: Store> Core<S> {
    /// The agent that asks. Its own key says who it is, and so does that of a host with no other agent: agents of the
    /// source's generation name nobody. Any other key is good for several, and the request has to say for which.
    fn acting_agent(&self, scope: KeyScope, params: &InstructionsParams) -> Result<No, Fault> {
        const RULE: &str = "agentmc.instructions.agent";
        let number = |place, id: &AgentNo| {
            id.number().ok_or_else(|| bad_parameter(place, RULE, "must be the id of an agent"))
        };
        let named = match (&params.acting, &params.agent_id) {
            (Some(id), _) => Some(number(Place::Header("X-Agent-Id"), id)?),
            (None, Some(id)) => Some(number(Place::Query("agent_id"), id)?),
            (None, None) => None,
        };
        let own = self.own_agent(scope);
        let Some(no) = named else {
            if let Some(own) = own {
                return Ok(own.no());
            }
            let members = scope.agent.map(|host| self.hosted_on(host)).unwrap_or_default();
            return match members[..] {
                [only] => Ok(only),
                _ => Err(bad_parameter(Place::Header("X-Agent-Id"), RULE, "is required")),
            };
        };
        let record = self.registry.agent(no).ok_or(Fault::Unknown(Subject::Agent))?;
        let agent = record.agent();
        if agent.tenant != scope.tenant || agent.vendor != Vendor::AgentMc || agent.kind != Kind::Agent {
            return Err(Fault::Unknown(Subject::Agent));
        }
        let is_covered = match scope.agent {
            None => true,
            Some(bound) => agent.no == bound || agent.parent == Some(bound),
        };
        if is_covered && !agent.disabled { Ok(no) } else { Err(Fault::NotYours(Subject::Agent)) }
    }

    /// The agents of a host, also before its first report to this process.
    fn hosted_on(&self, host: No) -> Vec<No> {
        self.registry.members(host).unwrap_or_else(|| {
            let all = self.registry.all();
            all.filter(|agent| agent.look(|row| row.parent == Some(host))).map(|agent| agent.no()).collect()
        })
    }

    /// Sets the files that an agent is to work by, or every agent of the tenant that has none of its own. They take
    /// the place of those that were there.
    ///
    /// # Errors
    /// The tenant has no such agent, the files are too many or too large, a path leads out of the agent's folder or is
    /// there twice, or the store fails.
    pub async fn set_instructions(
        &self,
        tenant: No,
        agent: Option<No>,
        mut files: Vec<domain::InstructionFile>,
    ) -> Done<domain::Instructions> {
        self.instructed(tenant, agent)?;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        check(&files).map_err(OperatorError::Invalid)?;
        let files = domain::Instructions { tenant, agent, files, at: self.now() };
        self.store.set_instructions(files.clone()).await?;
        Ok(files)
    }

    /// The files that an agent is to work by: its own, else its tenant's. Without an agent, the tenant's.
    ///
    /// # Errors
    /// The tenant has no such agent, nobody has set any, or the store fails.
    pub async fn instructions(&self, tenant: No, agent: Option<No>) -> Done<domain::Instructions> {
        self.instructed(tenant, agent)?;
        let found = self.store.instructions(tenant, agent).await?;
        found.ok_or(OperatorError::Missing("bundle of instructions"))
    }

    /// Forgets the files of an agent, so that it works by its tenant's; or those of the tenant.
    ///
    /// # Errors
    /// The tenant has no such agent, nobody has set any, or the store fails.
    pub async fn drop_instructions(&self, tenant: No, agent: Option<No>) -> Done<()> {
        self.instructed(tenant, agent)?;
        let was_there = self.store.drop_instructions(tenant, agent).await?;
        if was_there { Ok(()) } else { Err(OperatorError::Missing("bundle of instructions")) }
    }

    /// Whether an agent is one that asks for instructions.
    fn instructed(&self, tenant: No, agent: Option<No>) -> Done<()> {
        let Some(no) = agent else { return Ok(()) };
        let record = self.registry.agent(no).ok_or(OperatorError::Missing("agent"))?;
        let agent = record.agent();
        if agent.tenant != tenant {
            return Err(OperatorError::Missing("agent"));
        }
        if agent.vendor != Vendor::AgentMc || agent.kind != Kind::Agent {
            return Err(OperatorError::Unsuitable("it is not one of the agents that ask for instructions"));
        }
        Ok(())
    }
}

/// A file as the agent is told of it. Its path tells it from the others, so that it is its id as well.
fn file(file: domain::InstructionFile) -> InstructionFile {
    let sha256 = hex(&sha256(file.content.as_bytes()));
    InstructionFile::new(file.path.clone(), file.path, file.content, sha256)
}

/// Says what is wrong with files in the order of their paths.
fn check(files: &[domain::InstructionFile]) -> Result<(), String> {
    if files.len() > MAX_FILES {
        return Err(format!("files: must be at most {MAX_FILES}, not {}", files.len()));
    }
    let bytes: usize = files.iter().map(|file| file.path.len() + file.content.len()).sum();
    if bytes > MAX_BYTES {
        return Err(format!("files: must have at most {MAX_BYTES} bytes together, not {bytes}"));
    }
    for file in files {
        if !stays_inside(&file.path) {
            return Err(format!(
                "files: {:?} must be a path inside the agent's folder, of at most {LONGEST_PATH} bytes, \
                 without backslash and colon",
                file.path
            ));
        }
    }
    let twice = files.windows(2).find(|pair| matches!(pair, [one, other] if one.path == other.path));
    match twice {
        Some([file, ..]) => Err(format!("files: {:?} is there twice", file.path)),
        _ => Ok(()),
    }
}

/// Whether a path leads to a file below the folder that it is seen from, on every system.
fn stays_inside(path: &str) -> bool {
    let is_odd = |c: char| c.is_control() || matches!(c, '\\' | ':');
    path.len() <= LONGEST_PATH
        && !path.contains(is_odd)
        && path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<domain::InstructionFile> {
        let file =
            |path: &&str| domain::InstructionFile { path: (*path).to_owned(), content: "text".to_owned() };
        paths.iter().map(file).collect()
    }

    #[test]
    fn paths_that_lead_out_of_the_folder_are_refused() {
        for path in ["AGENTS.md", ".agentmc/skills/skill.md", "a b/ü.md", "..a", "a/...", &"a".repeat(255)] {
            assert_eq!(check(&files(&[path])), Ok(()), "{path}");
        }
        let long = "a".repeat(256);
        for path in
            ["", "/etc/passwd", "a//b", "a/", "..", "a/../b", "./a", "C:a", "a\\b", "a\0", "a\n", &long]
        {
            assert!(check(&files(&[path])).is_err(), "{path:?}");
        }
    }

    #[test]
    fn bundle_is_bounded_and_names_each_file_once() {
        let paths: Vec<_> = (0..65).map(|number| format!("f{number:02}")).collect();
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        assert_eq!(check(&files(&paths[..MAX_FILES])), Ok(()));
        assert!(check(&files(&paths)).unwrap_err().contains("at most 64"));
        assert!(check(&files(&["a", "a"])).unwrap_err().contains("twice"));
        let mut large = files(&["a"]);
        large[0].content = "x".repeat(MAX_BYTES - 1);
        assert_eq!(check(&large), Ok(()));
        large[0].content.push('x');
        assert!(check(&large).unwrap_err().contains("bytes together"));
    }
}
