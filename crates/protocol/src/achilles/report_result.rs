use http::Method;
use serde::{Deserialize, Serialize};

use super::{Achilles, AgentAuth, Arch, ErrorReply, Os, Task, TaskId};
use crate::params::params;
use crate::wire::{Number, Timestamp, int, null_as_default};
use crate::{Documented, Endpoint, Json, MarksRepeats, Repeatable, Source};

/// `POST /api/agent/tasks/{id}/result`: an agent reports what came of a task.
///
/// Source: `achilles-agent-device`, "Report Result". A result that comes again is answered as the first one
/// was and changes nothing.
#[derive(Debug, Clone, Copy)]
pub struct ReportResult;

impl Endpoint for ReportResult {
    type Vendor = Achilles;
    type Auth = AgentAuth;
    type Params = TaskPath;
    type Request = Json<TaskResultRequest>;
    type Reply = Repeatable<ResultAnswer>;
    type Error = ErrorReply;
    const ID: &'static str = "achilles.report_result";
    const SUMMARY: &'static str = "An agent reports what came of a task";
    const TAG: &'static str = "Agent Device Endpoints";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/agent/tasks/{id}/result";
    const SOURCE: Source = Source::new("achilles-agent-device", "Report Result");
    // Deployed: the agent cuts stdout and stderr at 1 MiB each.
    const BODY_LIMIT: usize = 10 * 1024 * 1024;
    const FAILURES: &'static [Documented] = &[];
}

params! {
    /// Which task.
    ///
    /// Origin: `achilles-agent-device`, "Report Result", path.
    pub struct TaskPath {
        /// The task.
        required Path "id" => id: TaskId,
    }
}

impl TaskPath {
    /// Names a task.
    pub fn new(id: impl Into<TaskId>) -> Self {
        Self { id: id.into() }
    }
}

/// What came of a task.
///
/// The source names `bundle_results` only; the other fields and their marks are deployed. Texts may be empty:
/// the deployed agent reports an update with hardly anything filled in (PA-8).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct TaskResultRequest {
    /// The task, as in the path; not compared with it.
    pub task_id: TaskId,
    /// The test, empty for a task that is none.
    pub test_uuid: String,
    /// How the work ended. Up to 32 unsigned bits on Windows (PA-24), −1 when a signal ended it, 259 when it
    /// took too long, 999 when something unexpected happened.
    #[serde(deserialize_with = "int::deserialize")]
    pub exit_code: i64,
    /// What it printed.
    pub stdout: String,
    /// What it printed beside that.
    pub stderr: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Timestamp,
    /// Milliseconds that it took.
    pub execution_duration_ms: Number,
    /// SHA-256 of the binary that was run, in hex.
    pub binary_sha256: String,
    /// The machine's name.
    pub hostname: String,
    /// The machine's operating system; empty means as enrolled (PA-8).
    pub os: Os,
    /// The machine's architecture; empty means as enrolled (PA-8).
    pub arch: Arch,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The outcome of each control of a bundle.
    ///
    /// Origin: `achilles-agent-device`, "Report Result", `bundle_results`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_results: Option<BundleResults>,
}

impl TaskResultRequest {
    /// A result; what is not given is empty.
    pub fn new(
        task_id: impl Into<TaskId>,
        exit_code: i64,
        started_at: Timestamp,
        completed_at: Timestamp,
        execution_duration_ms: impl Into<Number>,
    ) -> Self {
        Self {
            task_id: task_id.into(),
            test_uuid: String::new(),
            exit_code,
            stdout: String::new(),
            stderr: String::new(),
            started_at,
            completed_at,
            execution_duration_ms: execution_duration_ms.into(),
            binary_sha256: String::new(),
            hostname: String::new(),
            os: Os::from(""),
            arch: Arch::from(""),
            error: None,
            bundle_results: None,
        }
    }
}

/// The outcome of a bundle of controls. Everything is required; the marks are deployed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct BundleResults {
    /// Version of this form.
    pub schema_version: String,
    /// The bundle.
    pub bundle_id: String,
    /// Its name.
    pub bundle_name: String,
    /// Its category.
    pub bundle_category: String,
    /// Its subcategory.
    pub bundle_subcategory: String,
    /// This run of it.
    pub execution_id: String,
    /// When the run began.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Timestamp,
    /// How it ended.
    #[serde(deserialize_with = "int::deserialize")]
    pub overall_exit_code: i64,
    /// Controls in it.
    #[serde(deserialize_with = "int::deserialize")]
    pub total_controls: i64,
    /// Those that passed.
    #[serde(deserialize_with = "int::deserialize")]
    pub passed_controls: i64,
    /// Those that failed.
    #[serde(deserialize_with = "int::deserialize")]
    pub failed_controls: i64,
    /// The controls; null reads as none (PA-10).
    #[serde(default, deserialize_with = "null_as_default")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "crate::wire::schema::NullAsDefault<Vec<BundleControl>>")
    )]
    // A control holds fifteen members: the usual hundred of them make for slow tests and show nothing more.
    #[cfg_attr(
        feature = "arbitrary",
        proptest(strategy = "proptest::collection::vec(proptest::arbitrary::any::<BundleControl>(), 0..4)")
    )]
    pub controls: Vec<BundleControl>,
}

/// The outcome of one control. Everything is required; the marks are deployed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct BundleControl {
    /// The control.
    pub control_id: String,
    /// Its name.
    pub control_name: String,
    /// What checked it.
    pub validator: String,
    /// How the check ended.
    #[serde(deserialize_with = "int::deserialize")]
    pub exit_code: i64,
    /// Whether the machine complies.
    pub compliant: bool,
    /// How bad it is if not.
    pub severity: String,
    /// Its category.
    pub category: String,
    /// Its subcategory.
    pub subcategory: String,
    /// Its techniques; null reads as none (PA-10).
    #[serde(default, deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::NullAsDefault<Vec<String>>"))]
    pub techniques: Vec<String>,
    /// Its tactics; null reads as none (PA-10).
    #[serde(default, deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::NullAsDefault<Vec<String>>"))]
    pub tactics: Vec<String>,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub actual: String,
    /// More about it.
    pub details: String,
    /// Whether it was passed over.
    pub skipped: bool,
    /// Why the check itself failed.
    pub error_message: String,
}

/// The answer to a result or a status: the task as it now stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct ResultAnswer {
    /// True; the status decides.
    pub success: bool,
    /// The task.
    pub data: Task,
    /// True when the task was already at its end and what was said changed nothing. Absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
}

impl ResultAnswer {
    /// The task as it now stands, and whether it had been at its end before.
    #[must_use]
    pub fn new(task: Task, repeated: bool) -> Self {
        Self { success: true, data: task, idempotent: repeated.then_some(true) }
    }
}

impl MarksRepeats for ResultAnswer {
    fn is_repeat(&self) -> bool {
        self.idempotent == Some(true)
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(TaskResultRequest, BundleResults, BundleControl, ResultAnswer);
