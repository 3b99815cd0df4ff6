//! What the vendors call what all of them have.

use crate::domain::{Vendor, WorkState};
use crate::operator::{Done, OperatorError, WorkWish};
use crate::{achilles, acusight};

/// What a dialect makes of an operator's wish for work: what was left open is settled, and what its agents could
/// not be told of is refused.
pub(crate) fn settle(vendor: Vendor, wish: WorkWish) -> Done<WorkWish> {
    match vendor {
        Vendor::Achilles => achilles::settle(wish),
        Vendor::Acusight | Vendor::ZStack | Vendor::AgentMc => {
            Err(OperatorError::Unsuitable("agents of this vendor are given no tasks"))
        }
    }
}

/// The words in which agents of a vendor are told of a state of their work: none where the dialect has none, several
/// where it tells more states apart than there are.
///
/// ```
/// use fleetwire_server_core::domain::{Vendor, WorkState};
/// use fleetwire_server_core::work_words;
///
/// assert_eq!(work_words(Vendor::Achilles, WorkState::Delivered), ["assigned", "downloading"]);
/// assert!(work_words(Vendor::ZStack, WorkState::Delivered).is_empty());
/// ```
#[must_use]
pub fn work_words(vendor: Vendor, state: WorkState) -> Vec<&'static str> {
    match vendor {
        Vendor::Acusight => acusight::word(state).into_iter().collect(),
        Vendor::Achilles => {
            let mut words = vec![achilles::word(state, false), achilles::word(state, true)];
            words.dedup();
            words
        }
        Vendor::ZStack | Vendor::AgentMc => Vec::new(),
    }
}
