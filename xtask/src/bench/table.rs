//! Figures as lines of a table.

use serde_json::Value;

/// The head of the table of rows.
pub(crate) const HEAD: &str = "| row | µs CPU | bare hyper | ratio (spread) | requests/s | p50 / p99 / p99.9 at half that rate | mean batch |\n\
                               |---|--:|--:|--:|--:|--:|--:|";
/// The head of the table of sizes.
pub(crate) const SCALE_HEAD: &str = "| agents | µs CPU per check-in | bytes per agent | bytes per agent that has reported | flush | start to first answer | bytes per idle connection |\n\
                                     |--:|--:|--:|--:|--:|--:|--:|";

/// The head of the table of rehearsals.
pub(crate) const REHEARSE_HEAD: &str = "| fleet | heartbeats a second (spread) |\n|---|--:|";

/// The median; of an even number, the lower of the two in the middle. `None` if there are none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<_> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().checked_sub(1)? / 2).copied()
}

fn number(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer).and_then(Value::as_f64)
}

fn rounds<'a>(row: &'a Value, of: impl Fn(&Value) -> Option<f64> + 'a) -> impl Iterator<Item = f64> + 'a {
    row.get("rounds").and_then(Value::as_array).into_iter().flatten().filter_map(of)
}

/// Ratios to the bare server, of the two halves of each round, which were measured one right after the other.
pub(crate) fn ratios(row: &Value) -> Vec<f64> {
    rounds(row, |round| Some(number(round, "/ours_us")? / number(round, "/bare_us")?)).collect()
}

/// A row of the table.
pub(crate) fn line(row: &Value) -> String {
    let of = |member: &'static str| median(rounds(row, move |round| number(round, member)));
    let ratios = ratios(row);
    let shown = |figure: Option<f64>, digits| {
        figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.digits$}"))
    };
    let spread = ratios.iter().copied().reduce(f64::min).zip(ratios.iter().copied().reduce(f64::max));
    let spread = spread.map_or_else(String::new, |(least, most)| format!(" ({least:.2}–{most:.2})"));
    let micros = |member| number(row, member).map_or_else(|| "–".to_owned(), shown_micros);
    let latency = ["/latency/p50_us", "/latency/p99_us", "/latency/p999_us"].map(micros).join(" / ");
    format!(
        "| {} | {} | {} | {}{spread} | {} | {latency} | {} |",
        row.get("row").and_then(Value::as_str).unwrap_or_default(),
        shown(of("/ours_us"), 1),
        shown(of("/bare_us"), 1),
        shown(median(ratios), 2),
        shown(of("/ours_rate"), 0),
        shown(number(row, "/mean_batch"), 1),
    )
}

/// A row of the table of sizes.
pub(crate) fn scale_line(size: &Value) -> String {
    let of = |member: &str, unit: f64, digits: usize| {
        number(size, member).map_or_else(|| "–".to_owned(), |figure| format!("{:.digits$}", figure / unit))
    };
    let micros = size.get("checkin_us").and_then(Value::as_array);
    let micros = median(micros.into_iter().flatten().filter_map(Value::as_f64));
    format!(
        "| {} | {} | {} | {} | {} s, {} s CPU | {} s | {} |",
        of("/agents", 1.0, 0),
        micros.map_or_else(|| "–".to_owned(), |micros| format!("{micros:.1}")),
        of("/bytes_per_agent", 1.0, 0),
        of("/bytes_per_reporting_agent", 1.0, 0),
        of("/flush_s", 1.0, 3),
        of("/flush_cpu_s", 1.0, 3),
        of("/start_s", 1.0, 3),
        of("/bytes_per_connection", 1.0, 0),
    )
}

/// A row of the table of rehearsals.
pub(crate) fn rehearse_line(world: &Value) -> String {
    let rounds = world.get("heartbeats_per_second").and_then(Value::as_array);
    let rounds: Vec<_> = rounds.into_iter().flatten().filter_map(Value::as_f64).collect();
    let fleet = world.get("fleet").and_then(Value::as_str).unwrap_or_default();
    let least = rounds.iter().copied().reduce(f64::min).unwrap_or_default();
    let most = rounds.iter().copied().reduce(f64::max).unwrap_or_default();
    let middle = median(rounds).unwrap_or_default();
    format!("| {fleet} | {middle:.0} ({least:.0}–{most:.0}) |")
}

fn shown_micros(micros: f64) -> String {
    if micros < 1000.0 { format!("{micros:.0} µs") } else { format!("{:.1} ms", micros / 1000.0) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(2.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn the_ratio_is_that_of_rounds_and_not_of_medians() {
        let row = json!({
            "row": "r", "rounds": [
                {"bare_us": 10.0, "ours_us": 12.0, "ours_rate": 1000.0},
                {"bare_us": 20.0, "ours_us": 26.0, "ours_rate": 3000.0},
                {"bare_us": 10.0, "ours_us": 15.0, "ours_rate": 2000.0},
            ],
            "latency": {"p50_us": 99, "p99_us": 1500, "p999_us": 20000}, "mean_batch": null,
        });
        assert_eq!(
            line(&row),
            "| r | 15.0 | 10.0 | 1.30 (1.20–1.50) | 2000 | 99 µs / 1.5 ms / 20.0 ms | – |"
        );
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        assert_eq!(line(&json!({"row": "r"})), "| r | – | – | – | – | – / – / – | – |");
        assert_eq!(scale_line(&json!({"agents": 10})), "| 10 | – | – | – | – s, – s CPU | – s | – |");
    }
}
