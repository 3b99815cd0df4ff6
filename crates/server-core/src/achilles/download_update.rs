use fleetwire_protocol::achilles::DownloadUpdate;
use fleetwire_protocol::{Fault, File, Subject};
use fleetwire_validation::Checked;
use serde_json::Value;

use crate::catalogue::held;
use crate::core::internal;
use crate::domain::{FileKind, HeldFile};
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<DownloadUpdate> for Core<S> {
    async fn handle(
        &self,
        record: AgentRecord,
        _: &Origin<'_>,
        call: Checked<DownloadUpdate>,
    ) -> Result<File, Fault> {
        let wish = call.into_inner().params;
        let agent = record.agent();
        let or_own = |word: &str, fact: &str| match word {
            "" => agent.facts.get(fact).and_then(Value::as_str).unwrap_or_default().to_owned(),
            word => word.to_owned(),
        };
        let (os, arch) = (or_own(wish.os.as_str(), "os"), or_own(wish.arch.as_str(), "arch"));
        let release =
            self.store.latest_release(agent.tenant, os.clone(), arch.clone()).await.map_err(internal)?;
        let release =
            release.filter(|release| release.download_url.is_none()).ok_or(Fault::Unknown(Subject::File))?;

        let ending = if os == "windows" { ".exe" } else { "" };
        let name = format!("achilles-agent-{os}-{arch}{ending}");
        let file = HeldFile { sha256: release.sha256, size: release.size };
        let mut file = held(FileKind::Release, &file, &name, &wish.conditions());
        file.head = file.head.with_version(release.version);
        Ok(file)
    }
}
