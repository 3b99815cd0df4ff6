use chrono::{DateTime, Utc};

use super::{MemoryStore, State};
use crate::domain::{
    Agent, Binary, FileKind, FilePlace, Freed, HeldFile, Instructions, Model, No, Release, SigningKey,
};
use crate::events::NewEvent;
use crate::store::{Catalogue, Outcome, StoreError};

impl Catalogue for MemoryStore {
    async fn add_model(&self, model: Model) -> Outcome<()> {
        let mut state = self.state();
        let name = (model.tenant, model.id.clone());
        if state.models.contains_key(&name) {
            return Err(StoreError::Taken("model"));
        }
        state.models.insert(name, model);
        Ok(())
    }

    async fn models(&self, tenant: No) -> Outcome<Vec<Model>> {
        let state = self.state();
        let mut models: Vec<_> =
            state.models.values().filter(|model| model.tenant == tenant).cloned().collect();
        models.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(models)
    }

    async fn remove_model(&self, tenant: No, id: String) -> Outcome<Freed> {
        let mut state = self.state();
        let wanted = |agent: &Agent| agent.tenant == tenant && agent.desired_model.as_deref() == Some(&id);
        if state.agents.values().any(wanted) {
            return Err(StoreError::Taken("model"));
        }
        let model = state.models.remove(&(tenant, id)).ok_or(StoreError::Missing("model"))?;
        Ok(match model.place {
            FilePlace::Held(file) => state.freed(FileKind::Model, &file.sha256),
            FilePlace::Url(_) => Freed::No,
        })
    }

    async fn set_desired_model(&self, no: No, model: String, at: DateTime<Utc>) -> Outcome<Agent> {
        let mut state = self.state();
        let name = (state.agent(no)?.tenant, model);
        if !state.models.contains_key(&name) {
            return Err(StoreError::Missing("model"));
        }
        let agent = state.agent_mut(no)?;
        let before = agent.desired_model.replace(name.1);
        agent.desired_at = Some(at);
        agent.updated_at = at;
        let agent = agent.clone();
        state.tell(NewEvent::model_assigned(before.as_deref(), &agent, at));
        Ok(agent)
    }

    async fn set_instructions(&self, files: Instructions) -> Outcome<()> {
        let mut state = self.state();
        if let Some(no) = files.agent
            && state.agent(no)?.tenant != files.tenant
        {
            return Err(StoreError::Missing("agent"));
        }
        state.instructions.insert((files.tenant, files.agent), files);
        Ok(())
    }

    async fn drop_instructions(&self, tenant: No, agent: Option<No>) -> Outcome<bool> {
        Ok(self.state().instructions.remove(&(tenant, agent)).is_some())
    }

    async fn instructions(&self, tenant: No, agent: Option<No>) -> Outcome<Option<Instructions>> {
        let state = self.state();
        let own = state.instructions.get(&(tenant, agent));
        Ok(own.or_else(|| state.instructions.get(&(tenant, None))).cloned())
    }

    async fn add_release(&self, release: Release) -> Outcome<Release> {
        let mut state = self.state();
        state.last_release += 1;
        let release = Release { no: state.last_release, ..release };
        state.releases.push(release.clone());
        Ok(release)
    }

    async fn releases(&self, tenant: No) -> Outcome<Vec<Release>> {
        let state = self.state();
        let own = state.releases.iter().rev().filter(|release| release.tenant == tenant);
        Ok(own.cloned().collect())
    }

    async fn remove_release(&self, tenant: No, no: No) -> Outcome<Freed> {
        let mut state = self.state();
        let own = |release: &Release| release.tenant == tenant && release.no == no;
        let place = state.releases.iter().position(own).ok_or(StoreError::Missing("release"))?;
        let release = state.releases.remove(place);
        Ok(if release.download_url.is_some() {
            Freed::No
        } else {
            state.freed(FileKind::Release, &release.sha256)
        })
    }

    async fn latest_release(&self, tenant: No, os: String, arch: String) -> Outcome<Option<Release>> {
        let state = self.state();
        let mut latest = state.releases.iter().rev();
        Ok(latest
            .find(|release| release.tenant == tenant && release.os == os && release.arch == arch)
            .cloned())
    }

    async fn put_binary(&self, binary: Binary) -> Outcome<Freed> {
        let mut state = self.state();
        let before = state.binaries.insert((binary.tenant, binary.name.clone()), binary);
        Ok(before.map_or(Freed::No, |before| state.freed(FileKind::Binary, &before.file.sha256)))
    }

    async fn binary(&self, tenant: No, name: String) -> Outcome<Option<Binary>> {
        Ok(self.state().binaries.get(&(tenant, name)).cloned())
    }

    async fn binaries(&self, tenant: No) -> Outcome<Vec<Binary>> {
        let state = self.state();
        Ok(state.binaries.values().filter(|binary| binary.tenant == tenant).cloned().collect())
    }

    async fn remove_binary(&self, tenant: No, name: String) -> Outcome<Freed> {
        let mut state = self.state();
        let binary = state.binaries.remove(&(tenant, name)).ok_or(StoreError::Missing("binary"))?;
        Ok(state.freed(FileKind::Binary, &binary.file.sha256))
    }

    async fn signing_keys(&self) -> Outcome<Vec<SigningKey>> {
        Ok(self.state().signing_keys.clone())
    }

    async fn add_signing_key(&self, seed: [u8; 32], at: DateTime<Utc>) -> Outcome<SigningKey> {
        let mut state = self.state();
        let no = state.signing_keys.last().map_or(1, |last| last.no + 1);
        let key = SigningKey { no, seed, created_at: Some(at), retired_at: None };
        state.signing_keys.push(key.clone());
        Ok(key)
    }

    async fn retire_signing_key(&self, no: No, at: DateTime<Utc>) -> Outcome<SigningKey> {
        let mut state = self.state();
        let key = state.signing_keys.iter_mut().find(|key| key.no == no);
        let key = key.ok_or(StoreError::Missing("signing key"))?;
        key.retired_at.get_or_insert(at);
        Ok(key.clone())
    }
}

impl State {
    /// What becomes of a file now that something in it is gone.
    fn freed(&self, kind: FileKind, sha256: &[u8; 32]) -> Freed {
        let same = |file: &HeldFile| file.sha256 == *sha256;
        let needed = match kind {
            FileKind::Release => self
                .releases
                .iter()
                .any(|release| release.download_url.is_none() && release.sha256 == *sha256),
            FileKind::Binary => self.binaries.values().any(|binary| same(&binary.file)),
            FileKind::Model => self.models.values().any(|model| match &model.place {
                FilePlace::Held(file) => same(file),
                FilePlace::Url(_) => false,
            }),
        };
        if needed { Freed::No } else { Freed::Object(kind.object(sha256)) }
    }
}
