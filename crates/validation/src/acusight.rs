//! What Acusight's operations ask beyond their types.
//!
//! ```
//! use fleetwire_validation::acusight::reaches_over_edge;
//!
//! assert!(!reaches_over_edge([0.5, 0.5, 1.0, 1.0]));
//! assert!(reaches_over_edge([0.05, 0.5, 0.2, 1.0]));
//! ```

use fleetwire_protocol::Call;
use fleetwire_protocol::acusight::{Checkin, DeviceCheckin, DeviceSelf, NotifyImage, Provision};

use crate::report::Report;
use crate::rule::{BOUNDED, house};
use crate::{Context, How, Origin, Side};

/// How far a box may reach over the image's edge and still count as inside: what sums of single-precision
/// fractions are off by.
const EDGE_TOLERANCE: f64 = 1e-6;

const NAMED: Origin = house("an empty name identifies nothing");
const KEPT: Origin = house("what is kept of a device for ever is short");
const ONE_PIXEL: Origin = house("an image has at least one pixel");
const OTHER_SHAPE: Origin = house("the two shapes of an annotation mean the same box (AC-5)");
const SOURCE_SHAPE: Origin = house("the source's operation knows only its own shape of an annotation (AC-5)");

/// A range that the source states in a field's description.
macro_rules! prose {
    ($field:literal) => {
        Origin::Source {
            document: "acusight-image-notify",
            place: concat!("#/components/schemas/models.AnnotationData/properties/", $field, "/description"),
            how: How::Prose,
        }
    };
}

rules! {
    Checkin, "acusight.checkin" {
        "device_id.min_length": "/device_id" => (.device_id), MinLength(1), Emit, NAMED;
        "pending_requests.payload.max_members": "/pending_requests/*/payload"
            => (.pending_requests[*].payload?), MaxMembers, Both, BOUNDED;
        "pending_requests.payload.max_depth": "/pending_requests/*/payload"
            => (.pending_requests[*].payload?), MaxDepth, Both, BOUNDED;
        "pending_requests.payload.max_bytes": "/pending_requests/*/payload"
            => (.pending_requests[*].payload?), MaxBytes, Both, BOUNDED;
    }

    Provision, "acusight.provision" {
        "device_info.device_id.min_length": "/device_info/device_id"
            => (.device_info.device_id), MinLength(1), Both, NAMED;
        "device_info.device_id.max_length": "/device_info/device_id"
            => (.device_info.device_id), MaxLength(255), Both, KEPT;
        "device_info.name.max_length": "/device_info/name"
            => (.device_info.name?), MaxLength(255), Both, KEPT;
        "device_info.agent_version.max_length": "/device_info/agent_version"
            => (.device_info.agent_version?), MaxLength(255), Both, KEPT;
        "device_info.ip_address.max_length": "/device_info/ip_address"
            => (.device_info.ip_address?), MaxLength(255), Both, KEPT;
        "device_info.max_members": "/device_info" => (.device_info.extra), MaxOpenMembers, Both, BOUNDED;
        "device_info.max_depth": "/device_info" => (.device_info.extra), MaxDepth, Both, BOUNDED;
        "device_info.max_bytes": "/device_info" => (.device_info.extra), MaxBytes, Both, BOUNDED;
    }

    DeviceCheckin, "acusight.device_checkin" {
        "metrics.max_members": "/metrics" => (.metrics?), MaxMembers, Both, BOUNDED;
        "metrics.max_depth": "/metrics" => (.metrics?), MaxDepth, Both, BOUNDED;
        "metrics.max_bytes": "/metrics" => (.metrics?), MaxBytes, Both, BOUNDED;
    }

    DeviceSelf, "acusight.device_self" {}

    NotifyImage, "acusight.notify_image" {
        "device_id.min_length": "/device_id" => (.device_id), MinLength(1), Emit, NAMED;
        "filename.min_length": "/filename" => (.filename), MinLength(1), Emit, NAMED;
        "storage_key.min_length": "/storage_key" => (.storage_key), MinLength(1), Emit, NAMED;
        "width.minimum": "/width" => (.width), Minimum(1), Emit, ONE_PIXEL;
        "height.minimum": "/height" => (.height), Minimum(1), Emit, ONE_PIXEL;
        "annotations.confidence.range": "/annotations/*/confidence"
            => (.annotations[*].confidence?), Range(0, 1), Both, prose!("confidence");
        "annotations.x_center.range": "/annotations/*/x_center"
            => (.annotations[*].x_center?), Range(0, 1), Both, prose!("x_center");
        "annotations.y_center.range": "/annotations/*/y_center"
            => (.annotations[*].y_center?), Range(0, 1), Both, prose!("y_center");
        "annotations.width.range": "/annotations/*/width"
            => (.annotations[*].width?), Range(0, 1), Both, prose!("width");
        "annotations.height.range": "/annotations/*/height"
            => (.annotations[*].height?), Range(0, 1), Both, prose!("height");
        "annotations.geometry.items": "/annotations/*/geometry"
            => (.annotations[*].geometry?), Items(4), Accept, OTHER_SHAPE;
        "annotations.geometry.range": "/annotations/*/geometry/*"
            => (.annotations[*].geometry?[*]), Range(0, 1), Accept, OTHER_SHAPE;
        "annotations.type.absent": "/annotations/*/type"
            => (.annotations[*].kind?), Absent, Emit, SOURCE_SHAPE;
        "annotations.geometry.absent": "/annotations/*/geometry"
            => (.annotations[*].geometry?), Absent, Emit, SOURCE_SHAPE;
        "annotations.inside_image": "/annotations/*"
            => {boxes_inside_image}, Custom("must lie inside the image"), Mark,
            house("servers take a box that reaches over the edge and mark it (D-13)");
    }
}

/// Whether a box, given as `[x_center, y_center, width, height]` in fractions of the image, reaches over the
/// image's edge. A server takes such a box and marks it (D-13).
#[must_use]
pub fn reaches_over_edge([x, y, width, height]: [f64; 4]) -> bool {
    let outside = |centre: f64, size: f64| {
        centre - size / 2.0 < -EDGE_TOLERANCE || centre + size / 2.0 > 1.0 + EDGE_TOLERANCE
    };
    outside(x, width) || outside(y, height)
}

fn boxes_inside_image(call: &Call<NotifyImage>, _: &Context, _: Side, report: &mut Report<'_>) {
    for (index, annotation) in call.body.annotations.iter().enumerate() {
        // A number that is out of range is a fault of its own.
        let in_range = |numbers: &[f64; 4]| numbers.iter().all(|number| (0.0..=1.0).contains(number));
        if annotation.bounding_box().filter(in_range).is_some_and(reaches_over_edge) {
            report.broken(&[index], "");
        }
    }
}
