//! Curves over the number of known agents, as SVG.

use anyhow::{Result, anyhow};
use plotters::prelude::{
    ChartBuilder, Circle, EmptyElement, IntoDrawingArea, IntoLogRange, LineSeries, PointSeries, RGBColor,
    SVGBackend, WHITE,
};
use serde_json::Value;

use super::table::median;

const INK: RGBColor = RGBColor(0x1f, 0x5f, 0x8b);
const SIZE: (u32, u32) = (640, 360);

/// A plot: its file, what it shows, and where its figures are.
const PLOTS: &[(&str, &str, &str)] = &[
    ("performance-cpu.svg", "µs of CPU per check-in", "/checkin_us"),
    ("performance-memory.svg", "bytes of memory per agent that has reported", "/bytes_per_reporting_agent"),
    ("performance-flush.svg", "seconds of CPU for a flush of all leases", "/flush_cpu_s"),
    ("performance-start.svg", "seconds from start to first answer", "/start_s"),
];

/// Every plot for which there are figures, by the name of its file.
///
/// # Errors
/// The drawing fails.
pub(crate) fn all(scale: &[Value]) -> Result<Vec<(String, String)>> {
    let mut drawn = Vec::new();
    for (file, title, figure) in PLOTS {
        let points = points(scale, figure);
        if points.len() > 1 {
            drawn.push(((*file).to_owned(), draw(title, &points)?));
        }
    }
    Ok(drawn)
}

/// Agents and figure of each size at which there is one; of several figures, the median.
fn points(scale: &[Value], figure: &str) -> Vec<(f64, f64)> {
    let of = |size: &Value| {
        let figure = match size.pointer(figure)? {
            Value::Array(rounds) => median(rounds.iter().filter_map(Value::as_f64))?,
            figure => figure.as_f64()?,
        };
        Some((size.get("agents")?.as_f64()?, figure))
    };
    scale.iter().filter_map(of).filter(|(agents, _)| *agents >= 1.0).collect()
}

fn draw(title: &str, points: &[(f64, f64)]) -> Result<String> {
    let failed = |error: &dyn std::fmt::Display| anyhow!("{title}: {error}");
    let most = points.iter().map(|(_, figure)| *figure).fold(f64::MIN_POSITIVE, f64::max) * 1.1;
    let least = points.iter().map(|(agents, _)| *agents).fold(f64::INFINITY, f64::min);
    let furthest = points.iter().map(|(agents, _)| *agents).fold(least, f64::max);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(|error| failed(&error))?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d((least..furthest * 1.1).log_scale(), 0.0..most)
            .map_err(|error| failed(&error))?;
        chart
            .configure_mesh()
            .x_desc("known agents")
            .x_label_formatter(&|agents| format!("{agents:.0}"))
            .draw()
            .map_err(|error| failed(&error))?;
        chart.draw_series(LineSeries::new(points.iter().copied(), &INK)).map_err(|error| failed(&error))?;
        chart
            .draw_series(PointSeries::of_element(points.iter().copied(), 4, &INK, &|at, size, style| {
                EmptyElement::at(at) + Circle::new((0, 0), size, style.filled())
            }))
            .map_err(|error| failed(&error))?;
        area.present().map_err(|error| failed(&error))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plot_has_a_point_for_each_size_that_was_measured() {
        let scale = [
            json!({"agents": 1000, "checkin_us": [3.0, 1.0, 2.0], "start_s": 0.1}),
            json!({"agents": 10000, "checkin_us": [4.0]}),
            json!({"agents": 100_000}),
        ];
        assert_eq!(points(&scale, "/checkin_us"), [(1000.0, 2.0), (10_000.0, 4.0)]);
        let drawn = all(&scale).unwrap();
        // One point is no curve.
        assert_eq!(drawn.iter().map(|(file, _)| &**file).collect::<Vec<_>>(), ["performance-cpu.svg"]);
        let drawing = &drawn[0].1;
        assert!(drawing.starts_with("<svg") && drawing.contains("known agents"), "{drawing}");
        assert_eq!(drawing.matches("<circle").count(), 2, "{drawing}");
        assert_eq!(
            draw("t", &points(&scale, "/checkin_us")).unwrap(),
            draw("t", &points(&scale, "/checkin_us")).unwrap()
        );
    }
}
