use fleetwire_protocol::achilles::DownloadBinary;
use fleetwire_protocol::{Fault, File, Subject, base_name};
use fleetwire_validation::Checked;

use crate::catalogue::held;
use crate::core::internal;
use crate::domain::FileKind;
use crate::registry::AgentRecord;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<DownloadBinary> for Core<S> {
    async fn handle(
        &self,
        record: AgentRecord,
        _: &Origin<'_>,
        call: Checked<DownloadBinary>,
    ) -> Result<File, Fault> {
        let wish = call.into_inner().params;
        let unknown = Fault::Unknown(Subject::File);
        let name = base_name(&wish.name).ok_or(unknown.clone())?.to_owned();
        let binary = self.store.binary(record.identity().tenant, name).await.map_err(internal)?;
        let binary = binary.ok_or(unknown)?;
        Ok(held(FileKind::Binary, &binary.file, &binary.name, &wish.conditions()))
    }
}
