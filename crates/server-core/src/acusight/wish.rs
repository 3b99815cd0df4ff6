//! Actions that an operator wishes for.

use crate::domain::MODEL_UPDATE;
use crate::operator::{Done, OperatorError, WorkWish};

/// What the dialect makes of a wish: an action of any type, its particulars in the `payload`.
///
/// Devices have no way to say that they have an action or have done it. It is handed over at every check-in until its
/// time to live is over, an operator calls it off, or an operator's own program says what came of it.
pub(crate) fn settle(wish: WorkWish) -> Done<WorkWish> {
    let unsuitable = |why: &str| Err(OperatorError::Invalid(why.to_owned()));
    if wish.kind == MODEL_UPDATE {
        return unsuitable("type: a model is brought to a device by assigning it: `devices model`");
    }
    if wish.timeout.is_some() {
        return unsuitable(
            "timeout_seconds: must be left out, since devices do not say when they begin; ttl_seconds ends an action",
        );
    }
    if wish.max_retries.is_some_and(|retries| retries > 0) {
        return unsuitable("max_retries: must be 0, since devices do not say that an action has failed");
    }
    Ok(wish)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn wish(kind: &str) -> WorkWish {
        WorkWish { kind: kind.to_owned(), ..WorkWish::default() }
    }

    #[test]
    fn any_type_but_the_models_own_can_be_wished_for() {
        assert_eq!(settle(wish("deploy")).unwrap().kind, "deploy");
        let refused = settle(wish(MODEL_UPDATE)).unwrap_err().to_string();
        assert!(refused.starts_with("type: "), "{refused}");
    }

    #[test]
    fn what_needs_an_answer_of_the_device_is_refused() {
        let timed = WorkWish { timeout: Some(Duration::from_secs(1)), ..wish("deploy") };
        assert!(settle(timed).unwrap_err().to_string().starts_with("timeout_seconds: "));
        let retried = |retries| settle(WorkWish { max_retries: Some(retries), ..wish("deploy") });
        assert!(retried(1).unwrap_err().to_string().starts_with("max_retries: "));
        assert!(retried(0).is_ok());
    }
}
