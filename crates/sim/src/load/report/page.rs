//! The report as a page of HTML that fetches nothing.

use std::fmt::Write;

use super::{Figures, Report, plots};
use crate::page::escaped;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}th,td{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #ddd}\
th:first-child,td:first-child{text-align:left}.ok{color:#00704f}.bad{color:#a33b00;font-weight:600}\
svg{max-width:100%;height:auto}code{background:#f3f3f3;padding:0 .25rem}.wide{overflow-x:auto}";

/// Writing to a `String` does not fail: the results of `write!` are dropped here.
pub(super) fn page(report: &Report) -> String {
    let mut html = String::with_capacity(256 * 1024);
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Load on {target}</title><style>{STYLE}</style></head><body>\n<h1>Load on {target}</h1>\n",
        target = escaped(&report.target)
    );
    let class = if report.ok { "ok" } else { "bad" };
    let _ = write!(html, "<p class=\"{class}\">{}</p>\n<p>", escaped(&standing(report)));
    let agents: Vec<_> =
        report.agents.iter().map(|(vendor, count)| format!("{count} agents of {vendor}")).collect();
    let _ = writeln!(
        html,
        "{}; {:.1} requests a second asked for, over {} connections; {} s measured; seed {}.</p>",
        agents.join(", "),
        report.asked.per_second,
        report.asked.connections,
        report.seconds,
        report.asked.seed
    );
    if let Some(enrolment) = &report.enrolment {
        let _ = writeln!(
            html,
            "<p>{} agents were taken in within {} s, {:.0} a second.</p>",
            enrolment.agents, enrolment.seconds, enrolment.per_second
        );
    }
    for note in &report.notes {
        let _ = writeln!(html, "<p>{}</p>", escaped(note));
    }
    let class = if report.generator.bottleneck { "bad" } else { "ok" };
    let _ = writeln!(html, "<p class=\"{class}\">{}</p>", escaped(&report.generator.verdict()));
    operations(&mut html, report);
    for (title, plot) in [
        ("Requests", plots::rate(&report.course)),
        ("Latency, from when a request was due", plots::latency(&report.course)),
        ("How many answers took how long", plots::histogram(&report.histogram)),
    ] {
        let _ = writeln!(html, "<h2>{title}</h2>\n<div class=\"wide\">{}</div>", plot.unwrap_or_default());
    }
    if let Some(server) = &report.server {
        let _ = writeln!(
            html,
            "<h2>The server, process {}</h2>\n<p>{} s of processor time, {} cores, {} µs a request; at most {:.1} MiB \
             of memory.</p>",
            server.pid,
            server.cpu_seconds,
            server.cpu_cores,
            server.cpu_per_request_us,
            super::figure(server.rss_max_bytes) / 1_048_576.0
        );
        for plot in plots::server(&server.course).into_iter().flatten() {
            let _ = writeln!(html, "<div class=\"wide\">{plot}</div>");
        }
    }
    html.push_str("</body></html>\n");
    html
}

/// How the run stands to what it was held to.
fn standing(report: &Report) -> String {
    let missed: Vec<_> = report
        .thresholds
        .iter()
        .filter(|threshold| !threshold.ok)
        .map(|threshold| match threshold.measured {
            Some(measured) => format!("{} was {measured}, the limit is {}", threshold.of, threshold.limit),
            None => format!("{} could not be measured", threshold.of),
        })
        .collect();
    if missed.is_empty() {
        "The run kept to its limits.".to_owned()
    } else {
        format!("The run did not keep to its limits: {}.", missed.join("; "))
    }
}

fn operations(html: &mut String, report: &Report) {
    html.push_str(
        "<h2>Operations</h2>\n<div class=\"wide\"><table><tr><th>operation</th><th>requests</th><th>a second</th>\
         <th>p50 ms</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th><th>errors</th><th>statuses</th>\
         <th>failures</th></tr>\n",
    );
    for (name, figures) in report.operations.iter().map(|(name, figures)| (*name, figures)) {
        row(html, name, figures);
    }
    row(html, "all", &report.total);
    html.push_str("</table></div>\n");
    for example in &report.refusals {
        let _ = writeln!(
            html,
            "<p>{} was answered {}: <code>{}</code></p>",
            example.operation,
            example.status,
            escaped(&example.body)
        );
    }
}

fn row(html: &mut String, name: &str, figures: &Figures) {
    let _ =
        write!(html, "<tr><td>{name}</td><td>{}</td><td>{:.1}</td>", figures.requests, figures.per_second);
    match &figures.latency {
        Some(latency) => {
            for value in [latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms] {
                let _ = write!(html, "<td>{value:.2}</td>");
            }
        }
        None => html.push_str("<td></td><td></td><td></td><td></td><td></td>"),
    }
    let _ = writeln!(
        html,
        "<td>{}</td><td>{}</td><td>{}</td></tr>",
        figures.errors,
        counts(figures.statuses.iter()),
        counts(figures.failures.iter())
    );
}

/// `200: 17, 429: 3`.
fn counts<K: std::fmt::Display>(counts: impl Iterator<Item = (K, impl std::fmt::Display)>) -> String {
    counts.map(|(what, count)| format!("{what}: {count}")).collect::<Vec<_>>().join(", ")
}
