use std::sync::Arc;

use fleetwire_protocol::Fault;
use fleetwire_protocol::achilles::{Answer, CheckUpdate, UpdateInfo};
use fleetwire_protocol::wire::OrNull;
use fleetwire_validation::Checked;
use serde_json::Value;

use crate::core::internal;
use crate::keys::hex;
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<CheckUpdate> for Core<S> {
    async fn handle(
        &self,
        record: Arc<AgentRecord>,
        _: &Origin<'_>,
        _: Checked<CheckUpdate>,
    ) -> Result<Answer<OrNull<UpdateInfo>>, Fault> {
        let agent = record.agent();
        let fact = |name: &str| agent.facts.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let release =
            self.store.latest_release(agent.tenant, fact("os"), fact("arch")).await.map_err(internal)?;
        let newer = release.filter(|release| agent.version.as_ref() != Some(&release.version));
        Ok(Answer::new(OrNull(newer.map(|release| {
            let mut info =
                UpdateInfo::new(release.version, hex(&release.sha256), release.size, release.mandatory);
            info.download_url = Some(release.download_url);
            info.signature = Some(hex(&release.signature));
            info
        }))))
    }
}
