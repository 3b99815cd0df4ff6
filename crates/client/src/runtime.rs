use std::pin::Pin;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// A pause.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a client takes from the world besides the network. A test passes one of its own.
pub trait Runtime: Send + Sync + 'static {
    /// The time of day, which goes into signed requests.
    fn now(&self) -> DateTime<Utc>;

    /// A number from 0 up to but not including 1, evenly spread; it need not be secret.
    fn random(&self) -> f64;

    /// A future that is ready after `duration`.
    fn sleep(&self, duration: Duration) -> Sleep;

    /// Time since an arbitrary point, by a clock that nobody sets; the process's own unless said otherwise.
    fn monotonic(&self) -> Duration {
        since_start()
    }
}

/// Time since this was first asked in this process.
pub(crate) fn since_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// The system's time of day.
#[cfg(feature = "system")]
#[expect(clippy::disallowed_methods, reason = "the client's one real clock")]
pub(crate) fn system_now() -> DateTime<Utc> {
    Utc::now()
}

/// 64 bits of the system's randomness; all of them set where there is none.
#[cfg(feature = "system")]
pub(crate) fn system_random() -> u64 {
    use ring::rand::SecureRandom;

    // Without randomness the longest wait is the one that does least harm.
    let mut bytes = [u8::MAX; 8];
    if ring::rand::SystemRandom::new().fill(&mut bytes).is_err() {
        bytes = [u8::MAX; 8];
    }
    u64::from_ne_bytes(bytes)
}

/// The system's clock and randomness, tokio's timer.
///
/// Sleeping panics outside of a tokio runtime whose timer is enabled, as everything does that tokio times.
#[cfg(feature = "tokio")]
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioRuntime;

#[cfg(feature = "tokio")]
impl Runtime for TokioRuntime {
    fn now(&self) -> DateTime<Utc> {
        system_now()
    }

    fn random(&self) -> f64 {
        unit_interval(system_random())
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The upper 53 bits, which is what an `f64` holds exactly, as a fraction below 1.
pub(crate) fn unit_interval(bits: u64) -> f64 {
    const STEPS: f64 = (1_u64 << 53) as f64;
    (bits >> 11) as f64 / STEPS
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_bits_is_at_least_zero_and_below_one() {
        assert_eq!(unit_interval(0), 0.0);
        assert_eq!(unit_interval(1 << 63), 0.5);
        assert!(unit_interval(u64::MAX) < 1.0);
        assert!(unit_interval(u64::MAX) > 0.999);
    }

    #[test]
    fn the_system_gives_different_numbers() {
        let first = TokioRuntime.random();
        assert!((0..64).any(|_| TokioRuntime.random() != first));
    }
}
