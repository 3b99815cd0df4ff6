use fleetwire_protocol::Fault;
use fleetwire_protocol::achilles::{Answer, Version, VersionInfo};
use fleetwire_validation::Checked;

use crate::keys::hex;
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<Version> for Core<S> {
    async fn handle(
        &self,
        record: AgentRecord,
        _: &Origin<'_>,
        call: Checked<Version>,
    ) -> Result<Option<Answer<VersionInfo>>, Fault> {
        let running = call.into_inner().params.agent_version;
        let agent = record.agent();
        let other = self.other_release(&agent, running.as_deref()).await?;
        Ok(other.map(|release| {
            let signature = self.signature_for(&agent, &release);
            let mut info =
                VersionInfo::new(release.version, hex(&release.sha256), release.size, release.mandatory);
            info.signature = Some(hex(&signature));
            Answer::new(info)
        }))
    }
}
