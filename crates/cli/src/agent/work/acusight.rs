//! What a device of Acusight does: it brings itself to the model that it is to run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use fleetwire_client::acusight::{Acusight, Agent};
use fleetwire_client::download::Download;
use fleetwire_client::host::Host;
use fleetwire_client::protocol::acusight::{CheckinRequest, DeviceAction};
use fleetwire_client::work::{AsyncHandler, Context, WorkError};
use fleetwire_client::{ReqwestTransport, TokioRuntime};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{FILES, put};

pub(in super::super) const KINDS: &[&str] = &["model_update"];

/// Where the device notes which model it has.
const NOTE: &str = "model.json";
/// The most bytes that a model may have.
const LARGEST: u64 = 8 << 30;

/// The device with its one kind of work. What it reports says which model it has.
pub(in super::super) fn equip(agent: Agent, state: &Path, transport: &ReqwestTransport) -> Result<Agent> {
    let shelf = Arc::new(Shelf::open(state)?);
    let reported = Arc::clone(&shelf);
    let mut host = Host::new(state);
    let report = move || {
        let mut report = CheckinRequest::from(&host.facts());
        report.current_model_id = reported.current().map(Into::into);
        report
    };
    Ok(agent.report(report).on_async("model_update", ModelUpdate { shelf, transport: transport.clone() }))
}

/// The models of a device: the one that it has, and where it lies.
struct Shelf {
    state: PathBuf,
    held: Mutex<Option<Held>>,
}

/// A model that has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    model_id: String,
    file: String,
    size: u64,
    sha256: String,
}

impl Shelf {
    /// The model of the note, if its file is still there: what is gone is not reported.
    fn open(state: &Path) -> Result<Self> {
        let path = state.join(NOTE);
        let held = match fs::read(&path) {
            Ok(note) => Some(
                serde_json::from_slice::<Held>(&note)
                    .with_context(|| format!("{} cannot be read", path.display()))?,
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let is_there = |held: &Held| {
            let found = fs::symlink_metadata(state.join(FILES).join(&held.file));
            found.is_ok_and(|found| found.is_file() && found.len() == held.size)
        };
        if let Some(lost) = held.as_ref().filter(|held| !is_there(held)) {
            warn!(model = lost.model_id, file = lost.file, "the model is not there any more");
        }
        Ok(Self { state: state.to_owned(), held: Mutex::new(held.filter(is_there)) })
    }

    fn current(&self) -> Option<String> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map(|held| held.model_id.clone())
    }

    /// Notes the model that has come, and lets go of the one before it.
    fn take(&self, fresh: &Held) -> std::io::Result<()> {
        put(&self.state.join(NOTE), &serde_json::to_vec(fresh)?)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = held.replace(fresh.clone()).filter(|before| before.file != fresh.file) {
            // One that cannot be removed only takes room.
            let _ = fs::remove_file(self.state.join(FILES).join(before.file));
        }
        Ok(())
    }
}

/// Fetches the model that an action names, whole or not at all, and has the next check-in say that it is the device's.
///
/// The action is told of no digest, so that the file is held to the length that its server announced; its SHA-256 is
/// noted beside it.
struct ModelUpdate {
    shelf: Arc<Shelf>,
    transport: ReqwestTransport,
}

impl AsyncHandler<Acusight> for ModelUpdate {
    async fn handle(&self, action: DeviceAction, context: Context<Acusight>) -> Result<(), WorkError> {
        let outcome = self.update(&action, &context).await;
        // The dialect has no word for it: the server learns of a model by the next check-in, and of nothing else.
        match &outcome {
            Ok(Held { model_id, size, sha256, .. }) => info!(model_id, size, sha256, "a model has come"),
            Err(why) => warn!("the model was not brought here: {why}"),
        }
        outcome.map(drop)
    }

    fn may_repeat(&self, _: &DeviceAction) -> bool {
        true
    }
}

impl ModelUpdate {
    async fn update(&self, action: &DeviceAction, context: &Context<Acusight>) -> Result<Held, WorkError> {
        let refused = |why: &str| WorkError::Refused(why.to_owned());
        let model = action.model_id.as_ref().ok_or_else(|| refused("the action names no model"))?.as_str();
        let address = action.download_url.as_deref().ok_or_else(|| refused("the action has no address"))?;
        // With its dot in the source, and without it where operators write it themselves.
        let ending = action.file_ext.as_ref().map_or("", |ending| ending.as_str()).trim_start_matches('.');
        let file = if ending.is_empty() { model.to_owned() } else { format!("{model}.{ending}") };
        let switch = context.clone();
        let download = Download::at(address, self.shelf.state.join(FILES), &file)
            .map_err(|error| WorkError::Refused(error.to_string()))?
            .limit(LARGEST)
            .stop_if(move || switch.is_called_off());
        let fetched = download.fetch(&self.transport, &TokioRuntime).await?;
        if fetched.size == 0 {
            return Err(WorkError::Failed("the file of the model is empty".to_owned()));
        }
        let held = Held { model_id: model.to_owned(), file, size: fetched.size, sha256: fetched.sha256 };
        let noted = self.shelf.take(&held);
        noted.map_err(|error| WorkError::Failed(format!("the model cannot be noted: {error}")))?;
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(model: &str) -> Held {
        let file = format!("{model}.onnx");
        Held { model_id: model.to_owned(), file, size: 1, sha256: "0".repeat(64) }
    }

    #[test]
    fn a_model_is_reported_as_long_as_its_file_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join(FILES);
        fs::create_dir(&files).unwrap();
        let shelf = Shelf::open(folder.path()).unwrap();
        assert_eq!(shelf.current(), None);
        for model in ["one", "two"] {
            fs::write(files.join(format!("{model}.onnx")), "x").unwrap();
            shelf.take(&held(model)).unwrap();
            assert_eq!(shelf.current().as_deref(), Some(model));
        }
        assert!(!files.join("one.onnx").exists(), "the one before is let go of");
        assert_eq!(Shelf::open(folder.path()).unwrap().current().as_deref(), Some("two"));
        fs::write(files.join("two.onnx"), "cut off").unwrap();
        assert_eq!(Shelf::open(folder.path()).unwrap().current(), None);
        fs::write(folder.path().join(NOTE), "{").unwrap();
        assert!(Shelf::open(folder.path()).is_err(), "a note that cannot be read is said");
    }
}
