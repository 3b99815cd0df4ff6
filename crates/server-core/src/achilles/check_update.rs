use fleetwire_protocol::Fault;
use fleetwire_protocol::achilles::{Answer, CheckUpdate, UpdateInfo};
use fleetwire_protocol::wire::OrNull;
use fleetwire_validation::Checked;

use crate::catalogue::address;
use crate::keys::hex;
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<CheckUpdate> for Core<S> {
    async fn handle(
        &self,
        record: AgentRecord,
        origin: &Origin<'_>,
        _: Checked<CheckUpdate>,
    ) -> Result<Answer<OrNull<UpdateInfo>>, Fault> {
        let agent = record.agent();
        let newer = self.other_release(&agent, None).await?;
        Ok(Answer::new(OrNull(newer.map(|release| {
            let mut info = UpdateInfo::new(
                release.version.as_str(),
                hex(&release.sha256),
                release.size,
                release.mandatory,
            );
            info.download_url = address(&release, origin);
            info.signature = Some(hex(&self.signature_for(&agent, &release)));
            info
        }))))
    }
}
