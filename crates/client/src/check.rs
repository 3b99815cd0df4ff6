use std::any::Any;

use chrono::{DateTime, Utc};
use fleetwire_protocol::{Call, Endpoint, Violations, for_each_endpoint};
use fleetwire_validation::{Context, lint};

/// What a client does with a call that breaks a rule, before it sends it.
///
/// The rules are those of the emitting side, which is stricter than what servers put up with. A call that keeps
/// them costs the check no allocation. By default a build with debug assertions refuses, so that a fault shows
/// where it was made; other builds do not look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// Does not look.
    Off,
    /// Sends it, and says in the log what it breaks.
    Warn,
    /// Does not send it: [`SendError::Invalid`](crate::SendError::Invalid).
    Refuse,
}

impl Default for Check {
    fn default() -> Self {
        if cfg!(debug_assertions) { Self::Refuse } else { Self::Off }
    }
}

impl Check {
    /// Looks at a call that is to be sent at `now`.
    ///
    /// # Errors
    /// Every rule that it breaks, if it is not to be sent therefore.
    pub(crate) fn look_over<E: Endpoint>(self, call: &Call<E>, now: DateTime<Utc>) -> Result<(), Violations> {
        if self == Self::Off {
            return Ok(());
        }
        let Err(violations) = violations(call, &Context::at(now)) else { return Ok(()) };
        if self == Self::Refuse {
            return Err(violations);
        }
        tracing::warn!(operation = E::ID, %violations, "the call breaks rules and is sent all the same");
        Ok(())
    }
}

/// The rules that a call breaks; none of an operation that is not ours and so has none.
///
/// The operation is found by its type, so that a client sends any operation, whether or not this is compiled in.
fn violations<E: Endpoint>(call: &Call<E>, context: &Context) -> Result<(), Violations> {
    let call: &dyn Any = call;
    macro_rules! lint_ours {
        ([$call:ident, $context:ident] $($operation:path,)*) => { $(
            if let Some(call) = $call.downcast_ref::<Call<$operation>>() {
                return Violations::check(lint(call, $context));
            }
        )* };
    }
    for_each_endpoint!(lint_ours!(call, context));
    Ok(())
}
