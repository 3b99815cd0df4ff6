//! What an agent has reported, for operators.

use axum::extract::State;
use axum::{Extension, Json};
use fleetwire_server_core::store::Store;
use serde::{Deserialize, Serialize};

use super::Tenant;
use super::bounds::Faults;
use super::messages::{AgentReport, rfc3339};
use super::operations::{Answer, Asked, By, vendor_segment};
use super::refusal::{Parameters, Segments};

/// Which reports of an agent to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// Only those since a time, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// The reports of an agent that are kept, the earliest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryBody {
    /// Seconds between two reports that are kept.
    pub every_seconds: u64,
    /// Seconds for which they are kept.
    pub keep_seconds: u64,
    /// The reports.
    pub reports: Vec<KeptReport>,
}

/// A report that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptReport {
    /// When it came.
    pub at: String,
    /// What was said.
    pub report: AgentReport,
}

pub(super) async fn history<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments((vendor, id)): Segments<(String, String)>,
    Parameters(query): Parameters<HistoryQuery>,
) -> Answer<HistoryBody> {
    let vendor = vendor_segment(&vendor)?;
    let mut faults = Faults::default();
    let since = query.since.as_deref().and_then(|text| faults.time("since", text));
    faults.none_or(Some(()))?;
    let samples = core.history(tenant, vendor, &id, since).await?;
    let sampling = core.config().sampling;
    let reports =
        samples.into_iter().map(|sample| KeptReport { at: rfc3339(sample.at), report: sample.report.into() });
    Ok(Json(HistoryBody {
        every_seconds: sampling.every.as_secs(),
        keep_seconds: sampling.keep.as_secs(),
        reports: reports.collect(),
    }))
}
