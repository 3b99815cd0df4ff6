use std::time::Duration;

use super::*;

fn report() -> Report {
    let latency = Latency { mean_ms: 1.0, p50_ms: 1.0, p90_ms: 2.0, p99_ms: 3.0, p999_ms: 4.0, max_ms: 5.0 };
    let total =
        Figures { requests: 10, errors: 1, error_rate: 0.1, latency: Some(latency), ..Figures::default() };
    let second = |at, latency| Second { at, per_second: 5.0, errors: 0, latency };
    Report {
        format: FORMAT,
        fleetwire: "0",
        target: "http://127.0.0.1:1/<script>".to_owned(),
        asked: Asked {
            per_second: 5.0,
            interval_seconds: None,
            duration_seconds: 2.0,
            ramp_seconds: 0.0,
            connections: 1,
            keep_alive: true,
            work: false,
            seed: 1,
        },
        agents: BTreeMap::from([("acusight", 1)]),
        enrolment: None,
        notes: vec!["a & b".to_owned()],
        seconds: 2.0,
        operations: BTreeMap::from([("acusight.checkin", total.clone())]),
        refusals: vec![Example {
            operation: "acusight.checkin",
            status: 500,
            body: "<img src=x onerror=y>".to_owned(),
        }],
        course: vec![second(1.0, Some(latency)), second(2.0, None)],
        histogram: vec![Bar { to_ms: 1.0, answers: 9 }],
        generator: Generator {
            cpu_seconds: 0.1,
            cpu_share: 0.05,
            cpu_per_request_us: 10.0,
            lateness: None,
            unsent: 0,
            connections_made: 1,
            bottleneck: false,
            evidence: Vec::new(),
        },
        server: Some(ServerReport {
            pid: 1,
            cpu_seconds: 0.1,
            cpu_cores: 0.05,
            cpu_per_request_us: 10.0,
            rss_max_bytes: 1 << 20,
            course: vec![ServerSecond { at: 1.0, cpu_cores: 0.05, rss_bytes: 1 << 20 }],
        }),
        thresholds: Limits { max_error_rate: 0.0, max_p99_ms: Some(2.0) }.hold(&total),
        total,
        ok: false,
    }
}

#[test]
fn the_page_fetches_nothing_and_what_servers_say_is_no_markup_in_it() {
    let page = report().page();
    assert_eq!(page.matches("<svg").count(), 5, "{page}");
    for way_out in ["<script", "<img", "<link", "href=", "url(", "@import", "<iframe"] {
        assert!(!page.contains(way_out), "{way_out}");
    }
    assert!(page.contains("&lt;img src=x onerror=y&gt;"));
    assert!(page.contains("a &amp; b"));
    assert!(page.contains("error_rate was 0.1, the limit is 0"));
}

#[test]
fn a_page_of_a_run_without_answers_is_a_page_all_the_same() {
    let mut report = report();
    (report.course, report.histogram, report.server) = (Vec::new(), Vec::new(), None);
    (report.total.latency, report.operations) = (None, BTreeMap::new());
    assert!(report.page().ends_with("</body></html>\n"));
}

#[test]
fn limits_that_are_not_kept_to_are_named_with_what_was_measured() {
    let limits = Limits { max_error_rate: 0.1, max_p99_ms: Some(3.0) };
    let total = report().total;
    assert!(limits.hold(&total).iter().all(|threshold| threshold.ok));
    let strict = Limits { max_error_rate: 0.05, max_p99_ms: Some(2.5) };
    let missed: Vec<_> = strict.hold(&total).into_iter().filter(|threshold| !threshold.ok).collect();
    assert_eq!(missed.iter().map(|missed| missed.of).collect::<Vec<_>>(), ["error_rate", "p99_ms"]);
    assert_eq!((missed[1].measured, missed[1].limit), (Some(3.0), 2.5));
}

#[test]
fn nothing_at_all_keeps_to_no_limit() {
    let none = Figures::default();
    assert!(!Limits::default().hold(&none).iter().all(|threshold| threshold.ok));
    let latency = Limits { max_error_rate: 1.0, max_p99_ms: Some(1e9) }.hold(&none);
    assert!(latency.iter().any(|threshold| threshold.of == "p99_ms" && !threshold.ok));
}

#[test]
fn bars_hold_every_answer_in_its_place() {
    let mut times = Latencies::new();
    for millis in [1, 1, 2, 300] {
        times.record(Duration::from_millis(millis));
    }
    let bars = bars(&times);
    assert_eq!(bars.iter().map(|bar| bar.answers).sum::<u64>(), 4);
    assert!(bars.is_sorted_by(|one, next| one.to_ms < next.to_ms));
    let slow: Vec<_> = bars.iter().filter(|bar| bar.to_ms >= 300.0).collect();
    assert_eq!((slow.len(), slow[0].answers), (1, 1));
    assert_eq!(bars[0].answers, 2);
    assert!(super::bars(&Latencies::new()).is_empty());
}
