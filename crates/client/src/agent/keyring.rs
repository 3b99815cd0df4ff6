use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// After a swap, a refused key may be the fault of a server that has not heard of the swap everywhere.
const GRACE: Duration = Duration::from_secs(60);
/// How long a candidate is left alone after it was refused; twice as long each time, up to the second.
const REST: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3600));

/// A secret that does not show itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Which of its keys an agent signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that is known to be good.
    Current,
    /// The one that the server has offered.
    Candidate,
    /// The one that was good before the last swap.
    Previous,
}

/// The keys of an agent. None is ever thrown away on the word of a refusal alone: the offered one takes the place
/// of the current one when the server has accepted it, and the one before that is kept until the next swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keyring {
    current: Secret,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidate: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Secret>,
    #[serde(skip)]
    candidate_rests_until: Option<Duration>,
    #[serde(skip)]
    candidate_refused: u32,
    #[serde(skip)]
    swapped_at: Option<Duration>,
}

impl Keyring {
    pub(crate) const fn new(key: Secret) -> Self {
        Self {
            current: key,
            candidate: None,
            previous: None,
            candidate_rests_until: None,
            candidate_refused: 0,
            swapped_at: None,
        }
    }

    pub(crate) fn get(&self, which: Which) -> Option<&Secret> {
        match which {
            Which::Current => Some(&self.current),
            Which::Candidate => self.candidate.as_ref(),
            Which::Previous => self.previous.as_ref(),
        }
    }

    /// How many keys these are.
    pub(crate) fn count(&self) -> usize {
        1 + usize::from(self.candidate.is_some()) + usize::from(self.previous.is_some())
    }

    /// Whether a key is among these.
    pub(crate) fn holds(&self, key: &Secret) -> bool {
        [Some(&self.current), self.candidate.as_ref(), self.previous.as_ref()].contains(&Some(key))
    }

    /// The key to sign with. `saved` says whether the candidate would survive a crash; before that it is not used.
    pub(crate) fn choose(&self, now: Duration, saved: bool) -> Which {
        let rested = self.candidate_rests_until.is_none_or(|until| now >= until);
        if self.candidate.is_some() && saved && rested { Which::Candidate } else { Which::Current }
    }

    /// Another key to try after `refused` was refused, within the same exchange.
    pub(crate) fn other(&self, refused: Which, now: Duration, saved: bool) -> Option<Which> {
        match refused {
            Which::Candidate => Some(Which::Current),
            Which::Current if self.candidate.is_some() && saved => Some(Which::Candidate),
            Which::Current => {
                let fresh = self.swapped_at.is_some_and(|at| now.saturating_sub(at) <= GRACE);
                (fresh && self.previous.is_some()).then_some(Which::Previous)
            }
            Which::Previous => None,
        }
    }

    /// The server has refused the candidate: it is left alone for a while and kept.
    pub(crate) fn refused(&mut self, which: Which, now: Duration) {
        if which == Which::Candidate {
            let rest = REST.0.saturating_mul(2_u32.saturating_pow(self.candidate_refused)).min(REST.1);
            self.candidate_refused = self.candidate_refused.saturating_add(1);
            self.candidate_rests_until = Some(now.saturating_add(rest));
        }
    }

    /// The server has accepted a key. Whether anything has changed that is to be saved.
    pub(crate) fn accepted(&mut self, which: Which, now: Duration) -> bool {
        let Some(candidate) = self.candidate.take_if(|_| which == Which::Candidate) else { return false };
        self.previous = Some(std::mem::replace(&mut self.current, candidate));
        self.candidate_rests_until = None;
        self.swapped_at = Some(now);
        true
    }

    /// The server offers a key, in answer to a request signed with one that it accepted. Whether it is a new offer.
    pub(crate) fn offered(&mut self, key: &Secret) -> bool {
        if *key == self.current || self.candidate.as_ref() == Some(key) {
            return false;
        }
        self.candidate = Some(key.clone());
        self.candidate_rests_until = None;
        self.candidate_refused = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn after(seconds: u64) -> Duration {
        NOW + Duration::from_secs(seconds)
    }

    fn ring() -> Keyring {
        let mut ring = Keyring::new(Secret::new("old"));
        assert!(ring.offered(&Secret::new("new")));
        ring
    }

    #[test]
    fn an_offered_key_is_used_once_it_is_saved() {
        assert_eq!(ring().choose(NOW, false), Which::Current);
        assert_eq!(ring().choose(NOW, true), Which::Candidate);
    }

    #[test]
    fn the_same_offer_again_changes_nothing() {
        let mut ring = ring();
        assert!(!ring.offered(&Secret::new("new")));
        assert!(!ring.offered(&Secret::new("old")));
        ring.accepted(Which::Candidate, NOW);
        assert!(!ring.offered(&Secret::new("new")), "PA-12: it is offered on after it has been taken");
    }

    #[test]
    fn a_refused_candidate_rests_and_is_tried_again() {
        let mut ring = ring();
        assert_eq!(ring.other(Which::Candidate, NOW, true), Some(Which::Current));
        ring.refused(Which::Candidate, NOW);
        assert_eq!(ring.choose(after(29), true), Which::Current);
        assert_eq!(ring.choose(after(30), true), Which::Candidate);
    }

    #[test]
    fn the_candidate_is_tried_at_once_when_the_current_key_is_refused() {
        let mut ring = ring();
        ring.refused(Which::Candidate, NOW);
        assert_eq!(ring.other(Which::Current, NOW, true), Some(Which::Candidate));
        assert_eq!(ring.other(Which::Current, NOW, false), None, "not before it is saved");
    }

    #[test]
    fn within_a_minute_of_a_swap_the_old_key_is_tried_once_more() {
        let mut ring = ring();
        assert!(ring.accepted(Which::Candidate, NOW));
        assert_eq!(ring.other(Which::Current, after(60), true), Some(Which::Previous));
        assert_eq!(ring.other(Which::Current, after(61), true), None);
        assert_eq!(ring.other(Which::Previous, NOW, true), None);
    }

    #[test]
    fn no_refusal_removes_a_key() {
        let mut ring = ring();
        for which in [Which::Current, Which::Candidate, Which::Previous, Which::Candidate] {
            ring.refused(which, NOW);
        }
        assert_eq!(ring.get(Which::Current), Some(&Secret::new("old")));
        assert_eq!(ring.get(Which::Candidate), Some(&Secret::new("new")));
    }

    #[test]
    fn keys_survive_being_written_and_do_not_show_themselves() {
        let ring = ring();
        let text = serde_json::to_string(&ring).unwrap();
        assert_eq!(serde_json::from_str::<Keyring>(&text).unwrap(), ring);
        assert!(!format!("{ring:?}").contains("old"));
    }
}
