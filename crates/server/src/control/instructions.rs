//! The files that agents are to work by, for operators.

use axum::extract::State;
use axum::{Extension, Json};
use fleetwire_server_core::Core;
use fleetwire_server_core::domain::{InstructionFile, Instructions, No};
use fleetwire_server_core::store::Store;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Tenant;
use super::messages::rfc3339;
use super::operations::{Answer, Asked, By, vendor_segment};
use super::refusal::{Body, Refusal, Segments};

/// Files to work by, in place of those that were there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewInstructionsBody {
    /// The files: at most 64, of 256 KiB together.
    pub files: Vec<InstructionText>,
}

/// One of the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstructionText {
    /// Where it goes, seen from the agent's own folder, with `/` between folders.
    pub path: String,
    /// Its text.
    pub content: String,
}

/// The files that somebody is to work by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstructionsBody {
    /// The number of the agent that they are for; `null` if they are for all that have none of their own.
    pub agent: Option<i64>,
    /// What tells them from others.
    pub version: String,
    /// When they were set.
    pub set_at: String,
    /// The files, in the order of their paths.
    pub files: Vec<InstructionText>,
}

impl From<Instructions> for InstructionsBody {
    fn from(files: Instructions) -> Self {
        let version = files.version();
        let text = |file: InstructionFile| InstructionText { path: file.path, content: file.content };
        Self {
            agent: files.agent,
            version,
            set_at: rfc3339(files.at),
            files: files.files.into_iter().map(text).collect(),
        }
    }
}

impl NewInstructionsBody {
    fn into_files(self) -> Vec<InstructionFile> {
        let file = |text: InstructionText| InstructionFile { path: text.path, content: text.content };
        self.files.into_iter().map(file).collect()
    }
}

/// The agent that a path names.
fn named<S: Store>(core: &Core<S>, tenant: No, vendor: &str, id: &str) -> Result<Option<No>, Refusal> {
    Ok(Some(core.find_agent(tenant, vendor_segment(vendor)?, id)?.agent.no))
}

pub(super) async fn of_all<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
) -> Answer<InstructionsBody> {
    Ok(Json(core.instructions(tenant, None).await?.into()))
}

pub(super) async fn of_agent<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments((vendor, id)): Segments<(String, String)>,
) -> Answer<InstructionsBody> {
    let agent = named(&core, tenant, &vendor, &id)?;
    Ok(Json(core.instructions(tenant, agent).await?.into()))
}

pub(super) async fn set_for_all<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Body(body): Body<NewInstructionsBody>,
) -> Answer<InstructionsBody> {
    Ok(Json(core.set_instructions(tenant, None, body.into_files()).await?.into()))
}

pub(super) async fn set_for_agent<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments((vendor, id)): Segments<(String, String)>,
    Body(body): Body<NewInstructionsBody>,
) -> Answer<InstructionsBody> {
    let agent = named(&core, tenant, &vendor, &id)?;
    Ok(Json(core.set_instructions(tenant, agent, body.into_files()).await?.into()))
}

pub(super) async fn drop_for_all<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
) -> Result<StatusCode, Refusal> {
    core.drop_instructions(tenant, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn drop_for_agent<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments((vendor, id)): Segments<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let agent = named(&core, tenant, &vendor, &id)?;
    core.drop_instructions(tenant, agent).await?;
    Ok(StatusCode::NO_CONTENT)
}
