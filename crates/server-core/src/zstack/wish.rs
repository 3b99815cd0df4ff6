//! Actions that an operator wishes for.

use std::time::Duration;

use crate::operator::{Done, OperatorError, WorkWish};

/// What an agent can be told to do.
pub(super) const ACTIONS: [&str; 3] = ["start", "stop", "restart"];

/// How long an execution may take if nothing is said: whoever does it may die over it, and the action must come to an
/// end all the same.
pub(super) const TIMEOUT: Duration = Duration::from_secs(300);

/// What the dialect makes of a wish: one of its three actions, which have no particulars.
pub(crate) fn settle(mut wish: WorkWish) -> Done<WorkWish> {
    if !ACTIONS.contains(&wish.kind.as_str()) {
        return Err(OperatorError::Invalid(format!("type: must be one of {}", ACTIONS.join(", "))));
    }
    if !wish.payload.is_empty() {
        return Err(OperatorError::Invalid(
            "payload: must be empty, since actions have no particulars".to_owned(),
        ));
    }
    wish.timeout = wish.timeout.or(Some(TIMEOUT));
    Ok(wish)
}
