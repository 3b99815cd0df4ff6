use std::time::Duration;

use super::cadence::Cadence;
use super::spool::SpoolLimits;

/// How an agent behaves.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// How often it does what.
    pub cadence: Cadence,
    /// How much may wait to be handed over.
    pub spool: SpoolLimits,
    /// How many messages are handed over after each good heartbeat at most, so that a fleet which has been cut off
    /// does not hand over everything at once; 16 by default.
    pub deliveries_per_beat: u32,
    /// How long work that is called off may take to end, and how long work may go on once the agent is asked to
    /// stop before it is called off; 10 s by default.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cadence: Cadence::default(),
            spool: SpoolLimits::default(),
            deliveries_per_beat: 16,
            grace: Duration::from_secs(10),
        }
    }
}
