//! A world on a page: what held, what was counted, and what changed over time, drawn.

use std::fmt::Write as _;

use fleetwire_server_core::domain::WorkState;
use plotters::prelude::*;

use super::{Law, Sample, Scenario, World};
use crate::page::{Drawn, drawn, escaped};

/// Width and height of a drawing.
const SIZE: (u32, u32) = (960, 300);
/// How much is shown before and after the server's return, in seconds.
const AROUND: (u32, u32) = (180, 900);

/// Why a page could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("a drawing failed: {0}")]
pub struct DrawError(String);

/// The page of a world: one HTML file that needs nothing else.
///
/// # Errors
/// A drawing fails.
pub fn page(scenario: &Scenario, world: &World) -> Result<String, DrawError> {
    let mut page = String::from(HEAD);
    let fleet = scenario.fleet;
    let verdict = match &world.broken {
        None => "every law held".to_owned(),
        Some(broken) => format!("<strong class=\"bad\">{}</strong>", escaped(&broken.to_string())),
    };
    let _ = write!(
        page,
        "<h1>World {}: {verdict}</h1>\n<p>{} agents (Acusight {}, ZStack {}, AgentMC {}, Achilles {}) and one server \
         over {:.1} hours, {} faults, journal <code>{}</code>.</p>\n",
        scenario.seed,
        fleet.agents(),
        fleet.acusight.count,
        fleet.zstack.count,
        fleet.agentmc.count,
        fleet.achilles.count,
        hours(world.seconds),
        scenario.faults.len(),
        world.digest.get(..16).unwrap_or_default(),
    );
    let drawings = [
        ("Requests in each second around a return of the server", requests(world)),
        ("Leases", leases(&world.series.samples)),
        ("Work", work(&world.series.samples)),
    ];
    for (title, drawn) in drawings {
        let svg = drawn.map_err(|error| DrawError(error.to_string()))?;
        let _ = write!(page, "<h2>{title}</h2>\n{svg}\n");
    }
    page.push_str("<h2>Counted</h2>\n<table>\n");
    if let Ok(serde_json::Value::Object(counts)) = serde_json::to_value(world.counts) {
        for (name, count) in counts {
            let _ = writeln!(page, "<tr><th>{name}</th><td>{count}</td></tr>");
        }
    }
    page.push_str("</table>\n<h2>Laws</h2>\n<table>\n");
    for law in Law::ALL {
        let is_broken = world.broken.as_ref().is_some_and(|broken| broken.law == *law);
        let class = if is_broken { " class=\"bad\"" } else { "" };
        let _ = writeln!(page, "<tr><th{class}>{law}</th><td>{}</td></tr>", law.meaning());
    }
    page.push_str("</table>\n<h2>Scenario</h2>\n<pre>");
    let text = serde_json::to_string_pretty(scenario).unwrap_or_default();
    page.push_str(&escaped(&text));
    page.push_str("</pre>\n");
    Ok(page)
}

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Fleetwire: a world</title>\n<style>\
body{font:15px/1.5 system-ui,sans-serif;max-width:980px;margin:2em auto;padding:0 1em}\
svg{max-width:100%;height:auto}table{border-collapse:collapse}\
th{text-align:left;padding:.1em 1em .1em 0;font-weight:600;vertical-align:top}.bad{color:#b00020}\
pre{background:#f6f6f6;padding:1em;overflow:auto;max-height:30em}</style>\n";

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn hours(seconds: u64) -> f64 {
    seconds as f64 / 3600.0
}

/// Requests around the return of the server with the most of them; of the whole world if it was always there.
fn requests(world: &World) -> Drawn {
    let sent = &world.series.sent;
    let count = |second: u32| sent.get(second as usize).copied().unwrap_or_default();
    let last = u32::try_from(sent.len()).unwrap_or(u32::MAX);
    let window = |back: u32| (back.saturating_sub(AROUND.0), back.saturating_add(AROUND.1).min(last));
    let busiest = |back: &&u32| {
        let (from, to) = window(**back);
        (from..to).map(count).max()
    };
    let back = world.series.returns.iter().max_by_key(busiest).copied();
    let (from, to) = back.map_or((0, last), window);
    let most = (from..to).map(count).max().unwrap_or_default();
    let bound = 2.0 * world.usual;
    drawn(SIZE, |area| {
        let top = f64::from(most).max(bound) * 1.1 + 1.0;
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(48)
            .build_cartesian_2d(from..to.max(from + 1), 0.0..top)?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc("second").y_desc("requests").disable_x_mesh().draw()?;
        let line =
            |points: Vec<(u32, f64)>, colour: RGBColor| LineSeries::new(points, colour.stroke_width(1));
        let requests = (from..to).map(|second| (second, f64::from(count(second)))).collect();
        chart.draw_series(line(requests, BLUE))?;
        chart.draw_series(line(vec![(from, bound), (to, bound)], RED))?;
        if let Some(back) = back {
            let upright = vec![(back, 0.0), (back, top)];
            chart.draw_series(line(upright, BLACK))?;
        }
        Ok(())
    })
}

/// What an area is called, its colour, and how high it is.
type Band = (&'static str, RGBColor, fn(&Sample) -> u32);

fn leases(samples: &[Sample]) -> Drawn {
    let bands: [Band; 4] = [
        ("online", RGBColor(46, 125, 50), |sample| sample.online),
        ("delayed", RGBColor(249, 168, 37), |sample| sample.delayed),
        ("offline", RGBColor(198, 40, 40), |sample| sample.offline),
        ("never reported", RGBColor(158, 158, 158), |sample| sample.never),
    ];
    let there: Vec<_> = samples.iter().filter(|sample| sample.server).cloned().collect();
    stacked(&there, &bands)
}

fn work(samples: &[Sample]) -> Drawn {
    fn of(sample: &Sample, state: WorkState) -> u32 {
        sample.work.iter().find(|(name, _)| name == state.as_str()).map_or(0, |(_, count)| *count)
    }
    let bands: [Band; 7] = [
        ("queued", RGBColor(158, 158, 158), |sample| of(sample, WorkState::Queued)),
        ("delivered", RGBColor(3, 155, 229), |sample| of(sample, WorkState::Delivered)),
        ("running", RGBColor(249, 168, 37), |sample| of(sample, WorkState::Running)),
        ("succeeded", RGBColor(46, 125, 50), |sample| of(sample, WorkState::Succeeded)),
        ("failed", RGBColor(198, 40, 40), |sample| of(sample, WorkState::Failed)),
        ("expired", RGBColor(121, 85, 72), |sample| of(sample, WorkState::Expired)),
        ("canceled", RGBColor(84, 110, 122), |sample| of(sample, WorkState::Canceled)),
    ];
    stacked(samples, &bands)
}

/// Areas one upon the other.
fn stacked(samples: &[Sample], bands: &[Band]) -> Drawn {
    let total = |sample: &Sample| bands.iter().map(|(_, _, of)| of(sample)).sum::<u32>();
    let most = samples.iter().map(total).max().unwrap_or_default();
    let hour = |sample: &Sample| hours(sample.second.into());
    let last = samples.last().map_or(1.0, hour);
    drawn(SIZE, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..last, 0..most + most / 10 + 1)?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc("hour").disable_x_mesh().draw()?;
        // The highest first: what lies below is drawn over it.
        for (place, (name, colour, _)) in bands.iter().enumerate().rev() {
            let up_to = |sample: &Sample| bands[..=place].iter().map(|(_, _, of)| of(sample)).sum::<u32>();
            let points = samples.iter().map(|sample| (hour(sample), up_to(sample)));
            let colour = *colour;
            let drawn = chart.draw_series(AreaSeries::new(points, 0, colour.filled()));
            let square = move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled());
            drawn?.label(*name).legend(square);
        }
        let mut labels = chart.configure_series_labels();
        labels.position(SeriesLabelPosition::LowerLeft).background_style(WHITE.mix(0.85)).border_style(BLACK);
        labels.draw()?;
        Ok(())
    })
}
