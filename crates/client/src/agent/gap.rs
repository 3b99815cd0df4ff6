use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::Cause;

/// Why an agent was away for more than two intervals, told with the first heartbeat after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnect {
    /// Why.
    pub reason: Away,
    /// How long, as far as the agent can tell.
    pub away: Duration,
    /// Heartbeats that failed.
    pub failures: u32,
    /// When the first of them failed, by the server's clock.
    pub first_failure: Option<DateTime<Utc>>,
    /// What the last failure said.
    pub detail: Option<String>,
}

/// What an agent was away for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Away {
    /// Its process was started again.
    ProcessRestart,
    /// The machine was started again.
    MachineReboot,
    /// It changed its version.
    UpdateRestart,
    /// The machine was suspended.
    Suspended,
    /// No answer came.
    Network(Cause),
    /// The server, or something before it, answered and took no heartbeat.
    Refused,
}
