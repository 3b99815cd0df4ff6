//! `fleetwire devices history`: what an agent has reported over time.

use std::collections::BTreeMap;

use fleetwire_server::control::HistoryBody;

use crate::table::{self, Table};

/// Characters that a line of figures has at most.
const WIDTH: usize = 60;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The figures of the reports, each as a line of bars.
pub(super) fn history(body: HistoryBody) -> String {
    let HistoryBody { reports, every_seconds, .. } = body;
    let (Some(first), Some(last)) = (reports.first(), reports.last()) else {
        return format!("Nothing yet: a report is kept every {} min.\n", every_seconds / 60);
    };
    let head = format!("{} reports, {} to {}\n", reports.len(), first.at, last.at);
    let mut figures: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for report in &reports {
        for (name, figure) in &report.report.metrics {
            figures.entry(name).or_default().push(*figure);
        }
    }
    let mut table = Table::new(["FIGURE", "LEAST", "MOST", "LATEST", "OVER TIME"]);
    for (name, figures) in &figures {
        let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let latest = figures.last().copied().unwrap_or_default();
        let [least, most, latest] = [least, most, latest].map(short);
        table.row([name, &least, &most, &latest, &sparkline(figures)]);
    }
    table::line(head.trim_end()).into_owned() + "\n" + &table.finish("They hold no figures.")
}

/// A figure with as many places as say something.
fn short(figure: f64) -> String {
    if figure.fract() == 0.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

/// Figures as bars from the least to the most, several in one bar where there are too many.
fn sparkline(figures: &[f64]) -> String {
    let each = figures.len().div_ceil(WIDTH).max(1);
    let means = figures.chunks(each).map(|chunk| chunk.iter().sum::<f64>() / chunk.len() as f64);
    let means: Vec<f64> = means.collect();
    let least = means.iter().copied().fold(f64::INFINITY, f64::min);
    let span = means.iter().copied().fold(f64::NEG_INFINITY, f64::max) - least;
    let bar = |mean: &f64| {
        // What never changes lies at the bottom.
        let share = if span > 0.0 { (mean - least) / span } else { 0.0 };
        let place = (share * 7.0).round();
        let steps = BARS.iter().zip(0_u8..).take_while(|(_, step)| f64::from(*step) <= place);
        steps.last().map_or(BARS[0], |(bar, _)| *bar)
    };
    means.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_bars_from_the_least_to_the_most() {
        assert_eq!(sparkline(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[-5.0, 5.0, -5.0]), "▁█▁");
        assert_eq!(sparkline(&[3.0, 3.0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn a_long_time_still_fits_on_a_line() {
        let figures: Vec<f64> = (0..2880).map(f64::from).collect();
        let line = sparkline(&figures);
        assert_eq!(line.chars().count(), WIDTH);
        assert!(line.starts_with('▁') && line.ends_with('█'));
    }

    #[test]
    fn no_figure_breaks_the_line() {
        for figures in [&[f64::NAN, 1.0][..], &[f64::MAX, f64::MIN], &[f64::INFINITY, 0.0]] {
            assert_eq!(sparkline(figures).chars().count(), figures.len());
        }
    }
}
