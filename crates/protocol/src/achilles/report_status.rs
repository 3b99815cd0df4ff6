use http::Method;
use serde::{Deserialize, Serialize};

use super::{Achilles, AgentAuth, ErrorReply, ResultAnswer, TaskPath, TaskStatus};
use crate::{Documented, Endpoint, Json, Repeatable, Source};

/// `PATCH /api/agent/tasks/{id}/status`: an agent says how far it is with a task.
///
/// A companion: the source has no such step, deployed agents take it before and after the work. A step that was taken
/// already is answered with the task as it stands (PA-19); one that cannot follow is 400 and names both words.
#[derive(Debug, Clone, Copy)]
pub struct ReportStatus;

impl Endpoint for ReportStatus {
    type Vendor = Achilles;
    type Auth = AgentAuth;
    type Params = TaskPath;
    type Request = Json<TaskStatusUpdate>;
    type Reply = Repeatable<ResultAnswer>;
    type Error = ErrorReply;
    const ID: &'static str = "achilles.report_status";
    const SUMMARY: &'static str = "An agent says how far it is with a task";
    const TAG: &'static str = "Agent Device Endpoints";
    const METHOD: Method = Method::PATCH;
    const PATH: &'static str = "/api/agent/tasks/{id}/status";
    const SOURCE: Source = Source::new(
        "ProjectAchilles 48293d8",
        "backend/src/api/agent/tasks.routes.ts, PATCH /tasks/:id/status",
    );
    const COMPANION: bool = true;
    // An error may be what a program has printed, which the agent cuts at 1 MiB.
    const BODY_LIMIT: usize = 2 * 1024 * 1024;
    const FAILURES: &'static [Documented] = &[
        Documented::new(400, "The word is none of the list, or the task cannot take this step"),
        Documented::new(401, "Invalid agent credentials"),
        Documented::new(403, "The task is another agent's"),
        Documented::new(404, "There is no such task"),
        Documented::new(429, "Too many requests"),
    ];
}

/// How far a task is.
///
/// Origin: deployed, `backend/src/schemas/agent.schemas.ts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct TaskStatusUpdate {
    /// How far it is. The one list of words in this dialect that is closed (PA-5): the word drives the task.
    ///
    /// Origin: deployed, `status`.
    pub status: TaskStatus,
    /// Why it failed; said of a task that has failed.
    ///
    /// Origin: deployed, `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl TaskStatusUpdate {
    /// A task that is so far.
    #[must_use]
    pub const fn new(status: TaskStatus) -> Self {
        Self { status, error: None }
    }

    /// A task that has failed.
    pub fn failed(error: impl Into<String>) -> Self {
        Self { status: TaskStatus::Failed, error: Some(error.into()) }
    }
}

#[cfg(feature = "openapi")]
crate::__to_schema!(TaskStatusUpdate);
