//! Drawings as SVG.

use std::ops::Range;

use plotters::chart::ChartBuilder;
use plotters::element::{PathElement, Rectangle};
use plotters::series::LineSeries;
use plotters::style::{Color, RGBColor, TextStyle, WHITE};

use super::{Bar, Second, ServerSecond, figure};
use crate::page::{Drawn, drawn};

const SIZE: (u32, u32) = (920, 300);
const FONT: (&str, i32) = ("sans-serif", 13);
/// Told apart by who does not tell all colours apart (Okabe and Ito).
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const RED: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);

/// A line with its name.
struct Line {
    name: &'static str,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// Requests and errors a second.
pub(super) fn rate(course: &[Second]) -> Option<String> {
    let of = |value: fn(&Second) -> f64| course.iter().map(|second| (second.at, value(second))).collect();
    let lines = [
        Line { name: "requests", colour: BLUE, points: of(|second| second.per_second) },
        Line { name: "errors", colour: RED, points: of(|second| figure(second.errors)) },
    ];
    over_time("a second", &lines).ok()
}

/// Percentiles of each second.
pub(super) fn latency(course: &[Second]) -> Option<String> {
    let of = |value: fn(&super::Latency) -> f64| {
        course.iter().filter_map(|second| Some((second.at, value(second.latency.as_ref()?)))).collect()
    };
    let lines = [
        Line { name: "p50", colour: BLUE, points: of(|latency| latency.p50_ms) },
        Line { name: "p90", colour: GREEN, points: of(|latency| latency.p90_ms) },
        Line { name: "p99", colour: ORANGE, points: of(|latency| latency.p99_ms) },
        Line { name: "slowest", colour: RED, points: of(|latency| latency.max_ms) },
    ];
    over_time("milliseconds", &lines).ok()
}

/// Cores and memory of the server.
pub(super) fn server(course: &[ServerSecond]) -> [Option<String>; 2] {
    let of =
        |value: fn(&ServerSecond) -> f64| course.iter().map(|second| (second.at, value(second))).collect();
    let cores = Line { name: "cores", colour: BLUE, points: of(|second| second.cpu_cores) };
    let memory =
        Line { name: "MiB", colour: GREEN, points: of(|second| figure(second.rss_bytes) / 1_048_576.0) };
    [over_time("cores", &[cores]).ok(), over_time("MiB", &[memory]).ok()]
}

/// How many answers took how long. Both axes tell of far more than a line could: places are those of the bars.
pub(super) fn histogram(bars: &[Bar]) -> Option<String> {
    draw_histogram(bars).ok()
}

fn over_time(unit: &str, lines: &[Line]) -> Drawn {
    let points = || lines.iter().flat_map(|line| &line.points);
    let end = points().map(|point| point.0).fold(1.0, f64::max);
    let top = points().map(|point| point.1).fold(0.0, f64::max).max(0.001) * 1.05;
    drawn(SIZE, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..end, 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc("seconds")
            .y_desc(unit)
            .label_style(FONT)
            .axis_desc_style(FONT)
            .max_light_lines(0)
            .draw()?;
        for line in lines {
            let colour = line.colour;
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?
                .label(line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        if lines.len() > 1 {
            chart.configure_series_labels().background_style(WHITE.mix(0.8)).label_font(FONT).draw()?;
        }
        Ok(())
    })
}

fn draw_histogram(bars: &[Bar]) -> Drawn {
    let count = bars.len().max(1);
    let places: Range<f64> = 0.0..figure(count as u64);
    let top = bars.iter().map(|bar| figure(bar.answers)).fold(1.0, f64::max) * 1.05;
    drawn(SIZE, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(places, 0.0..top)?;
        let name = |place: &f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
            let place = place.max(0.0) as usize;
            let before = place.checked_sub(1).and_then(|before| bars.get(before));
            before.map_or_else(|| "0".to_owned(), |bar| format!("{}", bar.to_ms))
        };
        chart
            .configure_mesh()
            .x_desc("milliseconds, each bar a quarter wider than the one before")
            .y_desc("answers")
            .x_label_formatter(&name)
            .x_labels(count.min(12))
            .label_style(TextStyle::from(FONT))
            .axis_desc_style(FONT)
            .max_light_lines(0)
            .draw()?;
        chart.draw_series(bars.iter().enumerate().map(|(place, bar)| {
            let from = figure(place as u64);
            Rectangle::new([(from + 0.05, 0.0), (from + 0.95, figure(bar.answers))], BLUE.filled())
        }))?;
        Ok(())
    })
}
