use std::time::Duration;

use chrono::TimeDelta;
use fleetwire_protocol::Call;
use fleetwire_protocol::achilles::{
    CheckUpdate, DownloadBinary, DownloadUpdate, Enroll, Heartbeat, PollTasks, ReportResult, ReportStatus,
    Version,
};

use crate::report::Report;
use crate::rule::house;
use crate::{Context, How, Origin, Side};

const fn deployed(place: &'static str) -> Origin {
    Origin::Source { document: "ProjectAchilles 48293d8", place, how: How::Deployed }
}

const fn prose(place: &'static str) -> Origin {
    Origin::Source { document: "achilles-agent-device", place, how: How::Prose }
}

const SCHEMAS: Origin = deployed("backend/src/schemas/agent.schemas.ts");
const CUT: Origin = deployed("agent: stdout and stderr are cut at 1 MiB each");
const FULL: Origin =
    house("a result says what ran, where and when; the deployed agent leaves that out for an update (PA-8)");
const SUMS: Origin = house("figures that contradict each other help nobody; deployed servers do not look");
const COUNTS: Origin = house("nothing lasts or counts less than nothing; deployed servers do not look");

rules! {
    Enroll, "achilles.enroll" {
        "token.min_length": "/token" => (.token), MinLength(1), Both, SCHEMAS;
        "hostname.min_length": "/hostname" => (.hostname), MinLength(1), Both, SCHEMAS;
        "os.min_length": "/os" => (.os), MinLength(1), Both, SCHEMAS;
        "arch.min_length": "/arch" => (.arch), MinLength(1), Both, SCHEMAS;
        // A heartbeat may leave the version empty, and an agent is not turned away for what it may do later.
        "agent_version.min_length": "/agent_version" => (.agent_version), MinLength(1), Emit, SCHEMAS;
    }

    Heartbeat, "achilles.heartbeat" {
        "timestamp.time": "/timestamp" => {timestamp_is_a_time}, Time, Both, prose("Heartbeat, table, timestamp");
        "timestamp.window": "/timestamp"
            => {timestamp_is_recent}, Window, Both, deployed("backend/src/api/agent/heartbeat.routes.ts");
        "current_task.uuid": "/current_task"
            => (.current_task.0?), Uuid, Emit, prose("Heartbeat, table, current_task");
        "last_task_completed.uuid": "/last_task_completed"
            => (.last_task_completed.0?), Uuid, Emit, prose("Heartbeat, table, last_task_completed");
        "status.min_length": "/status" => (.status), MinLength(1), Both, SCHEMAS;
        "process_start_time.time": "/process_start_time"
            => (.process_start_time?), Time, Emit, prose("Heartbeat, table, process_start_time");
        "process_start_time.required_with": "/process_start_time"
            => {start_goes_with_reason}, RequiredWith("/reconnect_reason"), Emit,
            prose("Heartbeat, table, process_start_time");
        "process_start_time.only_with": "/process_start_time"
            => {start_goes_only_with_reason}, OnlyWith("/reconnect_reason"), Emit,
            prose("Heartbeat, table, process_start_time");
        "reconnect_reason.required_with": "/reconnect_reason"
            => {reason_goes_with_context}, RequiredWith("/reconnect_context"), Emit,
            deployed("agent/internal/poller/poller.go (PA-6)");
        "reconnect_context.offline_duration_seconds.minimum": "/reconnect_context/offline_duration_seconds"
            => (.reconnect_context?.offline_duration_seconds), Minimum(0), Emit, COUNTS;
        "reconnect_context.failure_count.minimum": "/reconnect_context/failure_count"
            => held, Minimum(0), Both, COUNTS;
    }

    PollTasks, "achilles.poll_tasks" {}

    ReportResult, "achilles.report_result" {
        "task_id.min_length": "/task_id" => (.task_id), MinLength(1), Emit, FULL;
        "started_at.time": "/started_at" => (.started_at), Time, Emit, FULL;
        "completed_at.time": "/completed_at" => (.completed_at), Time, Emit, FULL;
        "hostname.min_length": "/hostname" => (.hostname), MinLength(1), Emit, FULL;
        // A server takes an empty one for the enrolled one (PA-8).
        "os.min_length": "/os" => (.os), MinLength(1), Emit, SCHEMAS;
        "arch.min_length": "/arch" => (.arch), MinLength(1), Emit, SCHEMAS;
        "stdout.max_bytes": "/stdout" => (.stdout), MaxBytes(1048576), Emit, CUT;
        "stderr.max_bytes": "/stderr" => (.stderr), MaxBytes(1048576), Emit, CUT;
        "execution_duration_ms.minimum": "/execution_duration_ms"
            => (.execution_duration_ms), Minimum(0), Emit, COUNTS;
        "bundle_results.bundle_id.same": "/bundle_results/bundle_id"
            => {bundle_is_the_test}, Custom("must be the test_uuid"), Emit,
            deployed("agent/internal/executor/executor.go");
        "bundle_results.passed_controls.minimum": "/bundle_results/passed_controls"
            => (.bundle_results?.passed_controls), Minimum(0), Emit, COUNTS;
        "bundle_results.failed_controls.minimum": "/bundle_results/failed_controls"
            => (.bundle_results?.failed_controls), Minimum(0), Emit, COUNTS;
        "bundle_results.total_controls.counted": "/bundle_results/total_controls"
            => {total_is_counted}, Custom("must be the number of controls"), Emit, SUMS;
        "bundle_results.total_controls.sum": "/bundle_results/total_controls"
            => {outcomes_fit_total}, Custom("must not be less than passed_controls and failed_controls together"),
            Emit, SUMS;
    }

    ReportStatus, "achilles.report_status" {
        // The one list of words that is closed: the word drives the task (PA-5).
        "status.words": "/status"
            => (.status), Words("pending, assigned, downloading, executing, completed, failed, expired"), Both,
            SCHEMAS;
    }

    Version, "achilles.version" {}

    CheckUpdate, "achilles.check_update" {}

    DownloadUpdate, "achilles.download_update" {}

    DownloadBinary, "achilles.download_binary" {}
}

fn timestamp_is_a_time(call: &Call<Heartbeat>, context: &Context, side: Side, report: &mut Report<'_>) {
    // Without a window nobody reads the time, and a heartbeat is not lost over it.
    if side == Side::Accept && context.clock_window.is_none() {
        return;
    }
    if let Some(tail) = crate::measure::time(&call.body.timestamp) {
        report.broken(&[], &tail);
    }
}

fn timestamp_is_recent(call: &Call<Heartbeat>, context: &Context, _: Side, report: &mut Report<'_>) {
    let (Some(window), Some(time)) = (context.clock_window, call.body.timestamp.parse()) else { return };
    let skew = time - context.now;
    // A window too long for the clock's arithmetic takes everything.
    let window_is_kept = TimeDelta::from_std(window).map_or(true, |window| skew.abs() <= window);
    if !window_is_kept {
        let direction = if skew < TimeDelta::zero() { "behind" } else { "ahead" };
        let allowed = Seconds(window);
        let skew = Seconds(skew.abs().to_std().unwrap_or(Duration::MAX));
        report
            .broken_so(format!("must be within {allowed} s of the reader's clock, not {skew} s {direction}"));
    }
}

/// A duration in seconds, with a fraction only where there is one.
struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{}", self.0.as_secs()),
            millis => write!(f, "{}.{millis:03}", self.0.as_secs()),
        }
    }
}

fn start_goes_with_reason(call: &Call<Heartbeat>, _: &Context, _: Side, report: &mut Report<'_>) {
    if call.body.reconnect_reason.is_some() && call.body.process_start_time.is_none() {
        report.broken(&[], "");
    }
}

fn start_goes_only_with_reason(call: &Call<Heartbeat>, _: &Context, _: Side, report: &mut Report<'_>) {
    if call.body.reconnect_reason.is_none() && call.body.process_start_time.is_some() {
        report.broken(&[], "");
    }
}

fn reason_goes_with_context(call: &Call<Heartbeat>, _: &Context, _: Side, report: &mut Report<'_>) {
    if call.body.reconnect_context.is_some() && call.body.reconnect_reason.is_none() {
        report.broken(&[], "");
    }
}

fn bundle_is_the_test(call: &Call<ReportResult>, _: &Context, _: Side, report: &mut Report<'_>) {
    let Some(bundle) = &call.body.bundle_results else { return };
    if bundle.bundle_id != call.body.test_uuid {
        report.broken(&[], "");
    }
}

fn total_is_counted(call: &Call<ReportResult>, _: &Context, _: Side, report: &mut Report<'_>) {
    let Some(bundle) = &call.body.bundle_results else { return };
    let counted = bundle.controls.len();
    if i64::try_from(counted) != Ok(bundle.total_controls) {
        report.broken(&[], &format!(", {counted}, not {}", bundle.total_controls));
    }
}

fn outcomes_fit_total(call: &Call<ReportResult>, _: &Context, _: Side, report: &mut Report<'_>) {
    let Some(bundle) = &call.body.bundle_results else { return };
    let outcomes = bundle.passed_controls.saturating_add(bundle.failed_controls);
    if outcomes > bundle.total_controls {
        report.broken(&[], &format!(", {outcomes}"));
    }
}
