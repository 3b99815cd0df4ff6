//! `fleetwire batches`: what devices' images are gathered in.

use anyhow::Result;
use clap::Subcommand;
use fleetwire_client::Transport;
use fleetwire_server::control::{
    AnnotationBody, BatchBody, BatchList, BatchQuery, ImageBody, ImageList, ImageQuery,
};
use http::Method;

use super::api::Api;
use super::{Form, or_dash};
use crate::table::{self, Table};

/// What is wanted of batches.
#[derive(Debug, Subcommand)]
pub(crate) enum BatchesCommand {
    /// List them, the latest first.
    List {
        /// Only those of a device
        #[arg(long, value_name = "ID")]
        device: Option<String>,
        /// Only those that take images still, or those that do not
        #[arg(long, value_parser = ["open", "closed"])]
        state: Option<String>,
        /// Only those with a lower number: the next page after the one that ended there
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show one.
    Show {
        /// Its id, as listed
        id: String,
    },
    /// Close one, so that the next image of its device opens another.
    Close {
        /// Its id, as listed
        id: String,
    },
    /// List its images with what was found in them, the latest first.
    Images {
        /// Its id, as listed
        id: String,
        /// Only those with a lower number: the next page after the one that ended there
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
}

impl BatchesCommand {
    pub(super) async fn ask<T: Transport>(self, api: &Api<T>, form: Form) -> Result<String> {
        match self {
            Self::List { device, state, before, limit } => {
                let query = BatchQuery { device, state, before, limit: Some(limit) };
                form.show(api.get(&["batches"], &query).await?, batches)
            }
            Self::Show { id } => {
                form.show(api.get(&["batches", &id], &()).await?, |found: BatchBody| batch(&found))
            }
            Self::Close { id } => {
                let answer = api.send(Method::POST, &["batches", &id, "close"], &()).await?;
                form.show(answer, |closed: BatchBody| {
                    let why = or_dash(closed.why_closed.as_deref());
                    format!("{} is closed ({why}).\n", table::line(&closed.id))
                })
            }
            Self::Images { id, before, limit } => {
                let query = ImageQuery { before, limit: Some(limit) };
                form.show(api.get(&["batches", &id, "images"], &query).await?, images)
            }
        }
    }
}

/// The end of a page.
fn more(next: Option<i64>) -> String {
    next.map(|next| format!("There may be more: --before {next}\n")).unwrap_or_default()
}

fn batches(list: BatchList) -> String {
    let mut table =
        Table::new(["NUMBER", "ID", "DEVICE", "PROJECT", "STATE", "IMAGES", "OPENED", "WHY CLOSED"]);
    for batch in list.batches {
        let number = batch.device_number.to_string();
        table.row([
            &batch.number.to_string(),
            &batch.id,
            batch.device.as_deref().unwrap_or(&number),
            or_dash(batch.project.as_deref()),
            &batch.state,
            &batch.images.to_string(),
            &batch.opened_at,
            or_dash(batch.why_closed.as_deref()),
        ]);
    }
    table.finish("No batches. A device's first image opens one.") + &more(list.next)
}

fn batch(batch: &BatchBody) -> String {
    let number = batch.device_number.to_string();
    table::pairs(&[
        ("number", &batch.number.to_string()),
        ("id", &batch.id),
        ("device", batch.device.as_deref().unwrap_or(&number)),
        ("project", or_dash(batch.project.as_deref())),
        ("state", &batch.state),
        ("images", &batch.images.to_string()),
        ("opened", &batch.opened_at),
        ("closed", or_dash(batch.closed_at.as_deref())),
        ("why", or_dash(batch.why_closed.as_deref())),
    ])
}

fn images(list: ImageList) -> String {
    let mut table = Table::new(["NUMBER", "ID", "STORAGE KEY", "SIZE", "MODEL", "AT", "FOUND"]);
    for image in list.images {
        let ImageBody { number, id, storage_key, width, height, model_id, at, annotations, .. } = image;
        let found: Vec<_> = annotations.iter().map(annotation).collect();
        let found = if found.is_empty() { "-".to_owned() } else { found.join(", ") };
        let size = format!("{width}x{height}");
        table.row([&number.to_string(), &id, &storage_key, &size, or_dash(model_id.as_deref()), &at, &found]);
    }
    table.finish("No images.") + &more(list.next)
}

/// What was found and how surely, marked where it reaches over the image's edge.
fn annotation(annotation: &AnnotationBody) -> String {
    let mut text = or_dash(annotation.class.as_deref()).to_owned();
    if let Some(confidence) = annotation.confidence {
        text.push_str(&format!(" {:.0} %", confidence * 100.0));
    }
    if annotation.crosses_edge {
        text.push_str(" (crosses the edge)");
    }
    text
}
