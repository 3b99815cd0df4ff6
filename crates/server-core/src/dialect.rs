//! What the vendors call what all of them have.

use std::time::Duration;

use crate::domain::{Agent, MODEL_UPDATE, Vendor, WorkState};
use crate::lease::Cadence;
use crate::operator::{Done, WorkWish};
use crate::{achilles, acusight, agentmc, zstack};

/// What a dialect makes of an operator's wish for work: what was left open is settled, and what its agents could
/// not be told of is refused.
pub(crate) fn settle(agent: &Agent, wish: WorkWish) -> Done<WorkWish> {
    match agent.vendor {
        Vendor::Achilles => achilles::settle(wish),
        Vendor::ZStack => zstack::settle(wish),
        Vendor::AgentMc => agentmc::settle(agent.kind, wish),
        Vendor::Acusight => acusight::settle(wish),
    }
}

/// How long nothing may be heard of an agent of a vendor before what it is at is given up; `None` where the dialect has
/// no such end. Twice the silence after which it is offline: 360 s for Achilles.
pub(crate) fn patience_with_work(vendor: Vendor, cadence: &Cadence) -> Option<Duration> {
    (vendor == Vendor::Achilles).then(|| cadence.offline_after.saturating_mul(2))
}

/// Whether an operator's own program does such work and says what came of it, since no public page says how an agent of
/// the vendor is told of it, or how it answers.
pub(crate) fn is_done_by_operators(vendor: Vendor, kind: &str) -> bool {
    match vendor {
        Vendor::ZStack => true,
        // That one is done when the device says that it runs the model.
        Vendor::Acusight => kind != MODEL_UPDATE,
        Vendor::AgentMc | Vendor::Achilles => false,
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
/// assert_eq!(work_words(Vendor::ZStack, WorkState::Delivered), ["pending"]);
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
        Vendor::ZStack => vec![zstack::word(state)],
        Vendor::AgentMc => agentmc::word(state).into_iter().collect(),
    }
}
