use std::time::Duration;

use http::StatusCode;

/// How often and how patiently a call is tried.
///
/// The wait before attempt n + 1 is drawn evenly between nothing and `base` × 2ⁿ⁻¹, at most `cap`, so that
/// agents which failed together do not come back together. A server that names a wait (`Retry-After`) is
/// given at least that, and the draw comes on top of it.
///
/// The default is 4 attempts, 500 ms, 30 s, and waits of up to one minute for a server that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The most attempts, the first one counted; 0 counts as 1.
    pub attempts: u32,
    /// Bound of the first wait; it doubles from wait to wait.
    pub base: Duration,
    /// The most that the bound grows to.
    pub cap: Duration,
    /// The longest wait that a server may ask for. A longer one ends the call, and the error names it: the
    /// caller has better things to do meanwhile.
    pub longest_retry_after: Duration,
    /// Whether to try again when the server may have acted on the request already: after a connection that
    /// broke, a timeout, or a 500, 502 or 504. True by default: the operations of agents are safe to repeat.
    pub resend_if_unsure: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            longest_retry_after: Duration::from_secs(60),
            resend_if_unsure: true,
        }
    }
}

impl RetryPolicy {
    /// One attempt.
    #[must_use]
    pub fn none() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// The longest wait after `failed` failed attempts, when the server asks for none.
    #[must_use]
    pub fn backoff(&self, failed: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failed.saturating_sub(1));
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// How long to wait after `failed` failed attempts; `None` when it is time to give up. `retry_after` is
    /// what the server asked for, `random` a number from 0 to 1.
    #[must_use]
    pub fn wait(&self, failed: u32, retry_after: Option<Duration>, random: f64) -> Option<Duration> {
        let floor = retry_after.unwrap_or_default();
        if failed >= self.attempts || floor > self.longest_retry_after {
            return None;
        }
        // A long common wait needs a wide spread, or a fleet returns within half a second.
        let spread = self.backoff(failed).max(floor / 10);
        let drawn = Duration::try_from_secs_f64(spread.as_secs_f64() * random).unwrap_or(spread).min(spread);
        Some(floor.saturating_add(drawn))
    }

    /// Whether an answer with this status is worth another attempt.
    pub(crate) fn covers(&self, status: StatusCode) -> bool {
        is_retryable(status) && (self.resend_if_unsure || !matches!(status.as_u16(), 500 | 502 | 504))
    }
}

/// Whether the same request may be answered otherwise later.
pub(crate) fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Duration = Duration::from_secs(40);

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let policy = RetryPolicy::default();
        let bounds: Vec<_> = (1..=8).map(|failed| policy.backoff(failed).as_millis()).collect();
        assert_eq!(bounds, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        assert_eq!(policy.backoff(u32::MAX), policy.cap);
    }

    #[test]
    fn the_wait_is_drawn_from_the_whole_range() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait(2, None, 0.0), Some(Duration::ZERO));
        assert_eq!(policy.wait(2, None, 0.5), Some(Duration::from_millis(500)));
        assert_eq!(policy.wait(2, None, 1.0), Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_the_server_asks_for_is_a_floor_with_a_spread_on_top() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait(1, Some(ASKED), 0.0), Some(ASKED));
        assert_eq!(policy.wait(1, Some(ASKED), 0.5), Some(ASKED + Duration::from_secs(2)));
        assert_eq!(
            policy.wait(1, Some(Duration::from_secs(1)), 0.5),
            Some(Duration::from_millis(1250)),
            "a short wait is spread by the backoff"
        );
    }

    #[test]
    fn a_wait_that_is_too_long_ends_the_call() {
        let policy = RetryPolicy { longest_retry_after: ASKED, ..RetryPolicy::default() };
        assert!(policy.wait(1, Some(ASKED), 0.0).is_some());
        assert_eq!(policy.wait(1, Some(ASKED + Duration::from_nanos(1)), 0.0), None);
        assert_eq!(policy.wait(1, Some(Duration::MAX), 0.0), None);
    }

    #[test]
    fn odd_settings_and_odd_randomness_do_not_panic() {
        let policy = RetryPolicy {
            attempts: u32::MAX,
            base: Duration::MAX,
            cap: Duration::MAX,
            longest_retry_after: Duration::MAX,
            resend_if_unsure: true,
        };
        for random in [f64::NAN, f64::INFINITY, -1.0, 0.0, 0.5, 1.0, 2.0] {
            assert!(policy.wait(77, Some(Duration::MAX), random).is_some());
            assert!(RetryPolicy::default().wait(1, None, random).unwrap() <= Duration::from_millis(500));
        }
        let never = RetryPolicy { attempts: 0, ..RetryPolicy::default() };
        assert_eq!(never.wait(1, None, 0.5), None);
    }
}
