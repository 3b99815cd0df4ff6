//! What is seen of a run: a bar while it goes on, at a terminal only, and a table at its end.

use std::fmt::Write;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleetwire_server_core::domain::Vendor;
use fleetwire_sim::load::{Figures, Live, Report, Watch};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::table::{self, Table};

/// The bar, and whether somebody wants the run to end.
pub(super) struct Screen {
    bar: ProgressBar,
    vendor: Option<Vendor>,
    stop: Arc<AtomicBool>,
}

impl Screen {
    pub(super) fn new(stop: Arc<AtomicBool>) -> Self {
        Self { bar: ProgressBar::hidden(), vendor: None, stop }
    }

    pub(super) fn enrolling(&mut self, vendor: Vendor) {
        self.vendor = Some(vendor);
        self.bar = bar(0, "{msg} {bar:32} {pos} of {len}, {per_sec}, {eta} to go");
        self.bar.set_message(format!("enrolling {vendor}"));
    }

    pub(super) fn reporting(&mut self, duration: Duration) {
        self.bar = bar(duration.as_secs().max(1), "{bar:20} {pos} of {len} s  {msg}");
    }

    pub(super) fn clear(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn bar(length: u64, form: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(5)).with_style(style)
}

impl Watch for Screen {
    fn enrolled(&mut self, done: usize, of: usize) -> ControlFlow<()> {
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
        self.flow()
    }

    fn second(&mut self, live: &Live) -> ControlFlow<()> {
        self.bar.set_position(live.at.as_secs());
        self.bar.set_message(line(live));
        self.flow()
    }
}

/// The last second on a line.
fn line(live: &Live) -> String {
    let mut line = format!("{:.0}/s", live.second.per_second);
    // Writing to a `String` does not fail.
    let _ = match live.second.latency {
        Some(latency) => write!(line, ", p50 {:.1} ms, p99 {:.1} ms", latency.p50_ms, latency.p99_ms),
        None => write!(line, ", no answer"),
    };
    let _ = write!(line, ", {} errors, {} connections", live.errors, live.connections);
    if live.behind > Duration::from_millis(100) {
        let _ = write!(line, ", {:.1} s behind", live.behind.as_secs_f64());
    }
    line
}

/// The report for people. Writing to a `String` does not fail: the results of `write!` are dropped here.
pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    let agents: Vec<_> = report.agents.iter().map(|(vendor, count)| format!("{count} of {vendor}")).collect();
    let _ = writeln!(text, "{}: agents: {}; seed {}", report.target, agents.join(", "), report.asked.seed);
    if let Some(enrolment) = &report.enrolment {
        let _ = write!(
            text,
            "{} agents enrolled in {:.1} s, {:.0} a second",
            enrolment.agents, enrolment.seconds, enrolment.per_second
        );
        let _ = match enrolment.repeated {
            0 => writeln!(text, "."),
            repeated => writeln!(text, "; {repeated} requests were sent again."),
        };
    }
    for note in &report.notes {
        let _ = writeln!(text, "{note}");
    }
    let _ = writeln!(
        text,
        "{:.1} s measured, {:.1} requests a second asked for, {:.1} done.\n",
        report.seconds, report.asked.per_second, report.total.per_second
    );
    let mut table = Table::new([
        "OPERATION",
        "REQUESTS",
        "PER S",
        "P50 MS",
        "P90",
        "P99",
        "P99.9",
        "MAX",
        "ERRORS",
        "STATUSES",
        "FAILURES",
    ]);
    for (operation, figures) in &report.operations {
        row(&mut table, operation, figures);
    }
    row(&mut table, "all", &report.total);
    text.push_str(&table.finish(""));
    text.push('\n');
    for example in &report.refusals {
        let _ = writeln!(
            text,
            "{} was answered {}: {}",
            example.operation,
            example.status,
            table::line(&example.body)
        );
    }
    if let Some(server) = &report.server {
        let _ = writeln!(
            text,
            "The server, process {}: {:.2} cores, {:.1} µs a request, at most {} MiB of memory.",
            server.pid,
            server.cpu_cores,
            server.cpu_per_request_us,
            server.rss_max_bytes >> 20
        );
    }
    let _ = writeln!(text, "{}", report.generator.verdict());
    for threshold in report.thresholds.iter().filter(|threshold| !threshold.ok) {
        let _ = match (threshold.of, threshold.measured) {
            ("requests", _) => writeln!(text, "Not a single request came to an end."),
            (of, Some(measured)) => {
                writeln!(text, "Beyond its limit: {of} is {measured:.5}, and may be {}.", threshold.limit)
            }
            (of, None) => writeln!(text, "Beyond its limit: {of} could not be measured."),
        };
    }
    text
}

fn row(table: &mut Table<11>, operation: &str, figures: &Figures) {
    let latency = |value: fn(&fleetwire_sim::load::Latency) -> f64| {
        figures.latency.as_ref().map_or_else(|| "-".to_owned(), |latency| format!("{:.2}", value(latency)))
    };
    let counts = |counts: Vec<String>| if counts.is_empty() { "-".to_owned() } else { counts.join(" ") };
    table.row([
        operation,
        &figures.requests.to_string(),
        &format!("{:.1}", figures.per_second),
        &latency(|latency| latency.p50_ms),
        &latency(|latency| latency.p90_ms),
        &latency(|latency| latency.p99_ms),
        &latency(|latency| latency.p999_ms),
        &latency(|latency| latency.max_ms),
        &figures.errors.to_string(),
        &counts(figures.statuses.iter().map(|(status, count)| format!("{status}:{count}")).collect()),
        &counts(figures.failures.iter().map(|(cause, count)| format!("{cause}:{count}")).collect()),
    ]);
}
