//! Rules that only their statement tells: how a message is made to keep each, and to break it.

use serde_json::{Value, json};

/// A rule of [`Keyword::Custom`](crate::Keyword::Custom), for a message that is only JSON.
pub(super) struct Custom {
    /// The rule's id.
    pub(super) rule: &'static str,
    /// Changes a body that has the right form so that it keeps the rule.
    pub(super) keep: fn(&mut Value),
    /// Changes a body that keeps all rules so that it breaks this one and no other, by `much`, at least 1, at
    /// the place given; says what it has done.
    pub(super) break_: fn(&mut Value, &str, u8) -> Option<String>,
    /// Places that must be there for it to be broken.
    pub(super) needs: &'static [&'static str],
}

/// Every custom rule. A rule whose keeping depends on that of another one comes after it.
pub(super) const CUSTOM: &[Custom] = &[
    Custom {
        rule: "acusight.notify_image.annotations.inside_image",
        keep: boxes_inside_image,
        break_: box_over_edge,
        needs: &["/annotations/*"],
    },
    Custom {
        rule: "achilles.report_result.bundle_results.bundle_id.same",
        keep: |body| {
            let test = body.pointer("/test_uuid").cloned().unwrap_or_default();
            set(body, "/bundle_results/bundle_id", test);
        },
        break_: |body, place, much| {
            let other = format!("{}{much}", body.pointer(place)?.as_str()?);
            set(body, place, json!(other));
            Some(format!("adds {much} to the end of {place}"))
        },
        needs: &["/bundle_results/bundle_id"],
    },
    Custom {
        rule: "achilles.report_result.bundle_results.total_controls.counted",
        keep: |body| {
            let counted =
                body.pointer("/bundle_results/controls").and_then(Value::as_array).map_or(0, Vec::len);
            set(body, "/bundle_results/total_controls", json!(counted));
        },
        break_: |body, place, much| {
            let counted = body.pointer(place)?.as_i64()?;
            let wrong = counted.checked_add(much.into())?;
            set(body, place, json!(wrong));
            Some(format!("sets {place} to {wrong} where there are {counted} controls"))
        },
        needs: &["/bundle_results/controls"],
    },
    Custom {
        rule: "achilles.report_result.bundle_results.total_controls.sum",
        keep: |body| {
            let figure = |place: &str| body.pointer(place).and_then(Value::as_i64).unwrap_or_default();
            let total = figure("/bundle_results/total_controls");
            let passed = figure("/bundle_results/passed_controls").clamp(0, total);
            let failed = figure("/bundle_results/failed_controls").clamp(0, total - passed);
            set(body, "/bundle_results/passed_controls", json!(passed));
            set(body, "/bundle_results/failed_controls", json!(failed));
        },
        break_: |body, place, much| {
            let total = body.pointer(place)?.as_i64()?;
            set(body, "/bundle_results/passed_controls", json!(total));
            set(body, "/bundle_results/failed_controls", json!(much));
            Some(format!("lets {total} controls of {total} pass and {much} fail"))
        },
        needs: &["/bundle_results/controls"],
    },
];

/// Sets what is there already.
fn set(body: &mut Value, place: &str, value: Value) {
    if let Some(there) = body.pointer_mut(place) {
        *there = value;
    }
}

/// Makes each box as small as its centre asks for.
fn boxes_inside_image(body: &mut Value) {
    let Some(Value::Array(annotations)) = body.pointer_mut("/annotations") else { return };
    for annotation in annotations {
        for (centre, size) in [
            ("/x_center", "/width"),
            ("/y_center", "/height"),
            ("/geometry/0", "/geometry/2"),
            ("/geometry/1", "/geometry/3"),
        ] {
            let figure = |place: &str| annotation.pointer(place).and_then(Value::as_f64);
            let Some((centre, wide)) = figure(centre).zip(figure(size)) else { continue };
            let widest = 2.0 * centre.min(1.0 - centre);
            if wide > widest {
                set(annotation, size, json!(widest));
            }
        }
    }
}

fn box_over_edge(body: &mut Value, place: &str, much: u8) -> Option<String> {
    let annotation = body.pointer_mut(place)?.as_object_mut()?;
    let reach = f64::from(much) / 1000.0;
    for (name, figure) in [("x_center", reach / 4.0), ("width", reach), ("y_center", 0.5), ("height", 0.5)] {
        annotation.insert(name.to_owned(), json!(figure));
    }
    Some(format!("moves the box of {place} over the left edge"))
}
