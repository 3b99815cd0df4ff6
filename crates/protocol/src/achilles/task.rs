use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AgentId, TaskId};
use crate::wire::{Number, Timestamp, int, null_as_default, one_or_many};

/// A task, as poll and result answers carry it.
///
/// The source shows none. The fields are deployed; only `id`, `type` and `payload` are needed to do the work,
/// so that everything else is optional.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct Task {
    /// Its id; `task_id` in an early design (PA-22).
    #[serde(alias = "task_id")]
    #[cfg_attr(feature = "schema", schemars(extend("x-aliases" = ["task_id"])))]
    pub id: TaskId,
    /// The agent that is to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// The organisation that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_id: Option<String>,
    /// The batch that it was made in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<String>,
    /// The machine's name; null on agent routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_hostname: Option<String>,
    /// What is to be done.
    #[serde(rename = "type")]
    pub kind: TaskType,
    /// How urgent it is: higher is sooner, 0 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub priority: Option<i64>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// Its particulars.
    pub payload: TaskPayload,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<TaskResult>,
    /// An operator's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// The note's earlier forms.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::NullAsDefault<Vec<NoteRevision>>"))]
    pub notes_history: Vec<NoteRevision>,
    /// When it was made; SQL text at the deployed server (PA-11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it was first delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_at: Option<Timestamp>,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Seconds after which it is no longer worth doing.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub ttl: Option<i64>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// The index that its result goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_index: Option<String>,
    /// The first task of a row of retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_task_id: Option<TaskId>,
    /// When its result was last indexed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ingest_attempt_at: Option<Timestamp>,
    /// How often it has been tried again.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub retry_count: Option<i64>,
    /// How often it may be.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub max_retries: Option<i64>,
    /// Whether its result is indexed: 0 or 1, not a boolean.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub es_ingested: Option<i64>,
    /// How often indexing was tried.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub ingest_attempts: Option<i64>,
}

impl Task {
    /// A task.
    pub fn new(id: impl Into<TaskId>, kind: TaskType, payload: TaskPayload) -> Self {
        Self {
            id: id.into(),
            agent_id: None,
            org_id: None,
            batch_id: None,
            agent_hostname: None,
            kind,
            priority: None,
            status: None,
            payload,
            result: None,
            notes: None,
            notes_history: Vec::new(),
            created_at: None,
            assigned_at: None,
            completed_at: None,
            ttl: None,
            created_by: None,
            target_index: None,
            original_task_id: None,
            last_ingest_attempt_at: None,
            retry_count: None,
            max_retries: None,
            es_ingested: None,
            ingest_attempts: None,
        }
    }
}

crate::open_enum! {
    /// What a task asks for. Deployed.
    pub enum TaskType {
        /// Run a test binary.
        ExecuteTest = "execute_test",
        /// Run a command.
        ExecuteCommand = "execute_command",
        /// Change the agent's version.
        UpdateAgent = "update_agent",
        /// Remove the agent.
        Uninstall = "uninstall",
    }
}

crate::open_enum! {
    /// How far a task is. Deployed; `reporting` is drawn in a guide and never sent (PA-17).
    pub enum TaskStatus {
        /// Not delivered yet.
        Pending = "pending",
        /// Delivered.
        Assigned = "assigned",
        /// Its binary is on the way.
        Downloading = "downloading",
        /// At work.
        Executing = "executing",
        /// Done, whatever the exit code.
        Completed = "completed",
        /// Could not be done.
        Failed = "failed",
        /// No longer worth doing.
        Expired = "expired",
    }
}

/// The particulars of a task. Deployed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct TaskPayload {
    /// The test; empty for a task that is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_uuid: Option<String>,
    /// The test's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_name: Option<String>,
    /// The binary's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_name: Option<String>,
    /// The binary's SHA-256 in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_sha256: Option<String>,
    /// The binary's size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub binary_size: Option<u64>,
    /// Seconds that the work may take; 300 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub execution_timeout: Option<u64>,
    /// Arguments of the binary or command.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::NullAsDefault<Vec<String>>"))]
    pub arguments: Vec<String>,
    /// What the test is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TaskMetadata>,
    /// The command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Environment of the work; only in the first delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_vars: Option<BTreeMap<String, String>>,
}

impl TaskPayload {
    /// A command with its arguments.
    pub fn command(command: impl Into<String>, arguments: Vec<String>) -> Self {
        Self { command: Some(command.into()), arguments, ..Self::default() }
    }
}

/// What a test is about. Deployed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct TaskMetadata {
    /// Its category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Its subcategory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subcategory: Option<String>,
    /// How bad a failure is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Whose methods it imitates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threat_actor: Option<String>,
    /// How hard it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complexity: Option<String>,
    /// Its techniques.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::NullAsDefault<Vec<String>>"))]
    pub techniques: Vec<String>,
    /// Its tactics.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::NullAsDefault<Vec<String>>"))]
    pub tactics: Vec<String>,
    /// What it aims at: one text or a list (PA-22).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::ListReadFromOne<String>"))]
    pub target: Vec<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::NullAsDefault<Vec<String>>"))]
    pub tags: Vec<String>,
    /// Its integrations.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::wire::schema::NullAsDefault<Vec<String>>"))]
    pub integrations: Vec<String>,
    /// Its score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Number>,
}

/// What came of a task. The server's own results carry five of these (PA-9), so that nothing is required.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[non_exhaustive]
pub struct TaskResult {
    /// How the work ended; −1 when a signal ended it or the server did.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "int::option")]
    pub exit_code: Option<i64>,
    /// What it printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// What it printed beside that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Milliseconds that it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_duration_ms: Option<Number>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An earlier form of a note. Deployed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NoteRevision {
    /// The text.
    pub content: String,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
}

#[cfg(feature = "openapi")]
crate::__to_schema!(Task, TaskPayload, TaskMetadata, TaskResult, NoteRevision);
