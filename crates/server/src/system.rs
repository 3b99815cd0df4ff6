//! The real clock and the real randomness.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use fleetwire_server_core::{Clock, Entropy};
use ring::rand::{SecureRandom, SystemRandom};

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the server's one real clock")]
    fn now(&self) -> DateTime<Utc> {
        SystemTime::now().into()
    }
}

/// The machine's randomness.
#[derive(Debug, Clone)]
pub struct SystemEntropy(SystemRandom);

impl Default for SystemEntropy {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // A machine that has no randomness must not hand out keys.
        self.0.fill(bytes).expect("the system has no randomness");
    }
}
