use std::path::PathBuf;

use fleetwire_protocol::Call;
use fleetwire_protocol::achilles::{BinaryWish, DownloadBinary, Task};

use super::Achilles;
use crate::agent::{Progress, Signing};
use crate::download::{Download, DownloadError, Downloaded};
use crate::work::{Context, WorkError};
use crate::{Runtime, StreamTransport};

/// Binaries of tasks.
impl Context<Achilles> {
    /// The binary that a task has the agent run, to be fetched into a folder, where it lies under its own name. It is
    /// held to the size and SHA-256 that the task names, and its end is the end of the work.
    ///
    /// # Errors
    /// The task names no binary, or one that is no file's name, or no SHA-256: what is not known is not to be run.
    pub fn binary(&self, task: &Task, folder: impl Into<PathBuf>) -> Result<Download, WorkError> {
        let refused = |why: &str| WorkError::Refused(why.to_owned());
        let payload = &task.payload;
        let name = payload.binary_name.as_deref().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| refused("the task names no binary"))?;
        let sha256 = payload.binary_sha256.as_deref().ok_or_else(|| refused("the task names no SHA-256"))?;
        let mut wish = BinaryWish::new(name);
        wish.test_uuid = payload.test_uuid.clone().filter(|uuid| !uuid.is_empty());
        let sign = move |dialect: &Achilles, signing: &Signing<'_, Achilles>| {
            let call = Call::<DownloadBinary>::with(wish.clone(), ());
            dialect.encode(signing, &call).map_err(|error| error.to_string())
        };
        let download = self
            .signed_download(sign, folder, name)
            .and_then(|download| download.sha256(sha256))
            .map_err(|error| WorkError::Refused(error.to_string()))?;
        Ok(match payload.binary_size {
            Some(size) => download.size(size),
            None => download,
        })
    }

    /// Fetches the [`binary`](Self::binary) of a task while the handler waits, and tells the server that the work itself
    /// begins.
    ///
    /// # Errors
    /// It has no binary, or that could not be fetched, or is not what the task says.
    #[cfg(feature = "system")]
    pub fn fetch_binary(
        &self,
        task: &Task,
        folder: impl Into<PathBuf>,
        transport: &impl crate::BlockingStreamTransport,
    ) -> Result<Downloaded, WorkError> {
        let fetched = self.binary(task, folder)?.fetch_blocking(transport);
        self.fetched(fetched)
    }

    /// Fetches the [`binary`](Self::binary) of a task in the async driver, and tells the server that the work itself
    /// begins.
    ///
    /// # Errors
    /// It has no binary, or that could not be fetched, or is not what the task says.
    pub async fn fetch_binary_async(
        &self,
        task: &Task,
        folder: impl Into<PathBuf> + Send,
        transport: &impl StreamTransport,
        runtime: &impl Runtime,
    ) -> Result<Downloaded, WorkError> {
        let fetched = self.binary(task, folder)?.fetch(transport, runtime).await;
        self.fetched(fetched)
    }

    fn fetched(&self, fetched: Result<Downloaded, DownloadError>) -> Result<Downloaded, WorkError> {
        let fetched = fetched?;
        self.progress(Progress::Running);
        Ok(fetched)
    }
}
