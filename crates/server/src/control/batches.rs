//! Batches and images, for operators.

use std::ops::RangeInclusive;

use axum::extract::State;
use axum::{Extension, Json};
use fleetwire_server_core::domain::{Batch, BatchFilter, HIGHEST_NO, ImageFilter, ImageRow, OF_IMAGES};
use fleetwire_server_core::operator::AgentView;
use fleetwire_server_core::store::Store;
use serde::{Deserialize, Serialize};

use super::Tenant;
use super::bounds::Faults;
use super::messages::rfc3339;
use super::operations::{Answer, Asked, By, DEFAULT_LIMIT, LIMIT};
use super::refusal::{Parameters, Segments};

const BEFORE: RangeInclusive<i64> = 1..=HIGHEST_NO;

/// Which batches to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchQuery {
    /// Only those of a device, by its id on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Only those that are `open`, or those that are `closed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only those with a lower number: the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// How many at most: 1 to 1000, 100 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which images of a batch to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageQuery {
    /// Only those with a lower number: the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// How many at most: 1 to 1000, 100 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Batches, the latest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchList {
    /// The batches.
    pub batches: Vec<BatchBody>,
    /// The number before which to ask for the next page, if there may be one.
    pub next: Option<i64>,
}

/// What a device's images are gathered in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchBody {
    /// Its number.
    pub number: i64,
    /// Its id on the wire.
    pub id: String,
    /// The device's id on the wire.
    pub device: Option<String>,
    /// The device's number.
    pub device_number: i64,
    /// What the device's label `project` said when the batch was opened.
    pub project: Option<String>,
    /// `open` or `closed`.
    pub state: String,
    /// The images in it.
    pub images: u32,
    /// When its first image came.
    pub opened_at: String,
    /// Since when it takes no more.
    pub closed_at: Option<String>,
    /// Why: `full`, `old`, `project` or `operator`.
    pub why_closed: Option<String>,
}

/// Images, the latest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageList {
    /// The images.
    pub images: Vec<ImageBody>,
    /// The number before which to ask for the next page, if there may be one.
    pub next: Option<i64>,
}

/// An image that a device has uploaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageBody {
    /// Its number.
    pub number: i64,
    /// Its id on the wire.
    pub id: String,
    /// The batch that it is in.
    pub batch: String,
    /// Where it lies.
    pub storage_key: String,
    /// Its file name.
    pub filename: String,
    /// Its width in pixels.
    pub width: i64,
    /// Its height in pixels.
    pub height: i64,
    /// The id of the model that annotated it.
    pub model_id: Option<String>,
    /// That model's name.
    pub model_name: Option<String>,
    /// That model's version.
    pub model_version: Option<String>,
    /// What was found in it.
    pub annotations: Vec<AnnotationBody>,
    /// When it came.
    pub at: String,
}

/// Something in an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnnotationBody {
    /// What it is.
    pub class: Option<String>,
    /// How sure the model is, 0 to 1.
    pub confidence: Option<f64>,
    /// Its box: centre x, centre y, width and height in fractions of the image's size.
    pub bounds: Option<[f64; 4]>,
    /// Whether the box reaches over the image's edge.
    pub crosses_edge: bool,
}

impl BatchBody {
    fn new(batch: Batch, device: Option<&AgentView>) -> Self {
        let (why, closed_at) = batch.closed.unzip();
        Self {
            number: batch.no,
            id: batch.id,
            device: device.map(|view| view.agent.id.clone()),
            device_number: batch.agent,
            project: batch.project,
            state: if closed_at.is_some() { "closed" } else { "open" }.to_owned(),
            images: batch.images,
            opened_at: rfc3339(batch.opened_at),
            closed_at: closed_at.map(rfc3339),
            why_closed: why.map(|why| why.as_str().to_owned()),
        }
    }
}

impl From<ImageRow> for ImageBody {
    fn from(ImageRow { no, image }: ImageRow) -> Self {
        let [model_id, model_name, model_version] = image.model;
        let annotations = image.annotations.into_iter().map(|annotation| AnnotationBody {
            crosses_edge: annotation.crosses_edge(),
            class: annotation.class,
            confidence: annotation.confidence,
            bounds: annotation.bounds,
        });
        Self {
            number: no,
            id: image.id,
            batch: image.batch,
            storage_key: image.storage_key,
            filename: image.filename,
            width: image.width,
            height: image.height,
            model_id,
            model_name,
            model_version,
            annotations: annotations.collect(),
            at: rfc3339(image.at),
        }
    }
}

fn page(faults: &mut Faults, limit: Option<u32>, before: Option<i64>) -> u32 {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    faults.range("limit", limit, &LIMIT);
    if let Some(before) = before {
        faults.range("before", before, &BEFORE);
    }
    limit
}

/// The last number of a full page: there may be another.
fn next(count: usize, limit: u32, last: Option<i64>) -> Option<i64> {
    last.filter(|_| u32::try_from(count).is_ok_and(|count| count == limit))
}

pub(super) async fn batches<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Parameters(query): Parameters<BatchQuery>,
) -> Answer<BatchList> {
    let mut faults = Faults::default();
    let limit = page(&mut faults, query.limit, query.before);
    let open = query.state.as_deref().and_then(|word| {
        let parse = |word: &str| match word {
            "open" => Some(true),
            "closed" => Some(false),
            _ => None,
        };
        faults.word("state", word, parse, &["open", "closed"])
    });
    faults.none_or(Some(()))?;
    let device = query.device.as_deref().map(|id| core.find_agent(tenant, OF_IMAGES, id)).transpose()?;
    let agent = device.map(|view| view.agent.no);
    let filter = BatchFilter { agent, open, before: query.before, limit };
    let batches = core.batches(tenant, filter).await?;
    let next = next(batches.len(), limit, batches.last().map(|batch| batch.no));
    let batches = batches.into_iter().map(|batch| {
        let device = core.agent_numbered(tenant, batch.agent);
        BatchBody::new(batch, device.as_ref())
    });
    Ok(Json(BatchList { batches: batches.collect(), next }))
}

pub(super) async fn batch<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments(id): Segments<String>,
) -> Answer<BatchBody> {
    let batch = core.batch(tenant, id).await?;
    let device = core.agent_numbered(tenant, batch.agent);
    Ok(Json(BatchBody::new(batch, device.as_ref())))
}

pub(super) async fn close_batch<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments(id): Segments<String>,
) -> Answer<BatchBody> {
    let batch = core.close_batch(tenant, id).await?;
    let device = core.agent_numbered(tenant, batch.agent);
    Ok(Json(BatchBody::new(batch, device.as_ref())))
}

pub(super) async fn images<S: Store>(
    State(core): Asked<S>,
    Extension(Tenant(tenant)): By,
    Segments(id): Segments<String>,
    Parameters(query): Parameters<ImageQuery>,
) -> Answer<ImageList> {
    let mut faults = Faults::default();
    let limit = page(&mut faults, query.limit, query.before);
    faults.none_or(Some(()))?;
    // A batch that is not there is not an empty one.
    let batch = Some(core.batch(tenant, id).await?.id);
    let filter = ImageFilter { agent: None, batch, before: query.before, limit };
    let images = core.images(tenant, filter).await?;
    let next = next(images.len(), limit, images.last().map(|row| row.no));
    Ok(Json(ImageList { images: images.into_iter().map(ImageBody::from).collect(), next }))
}
