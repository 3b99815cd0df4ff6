//! The one table of what work may do. Stores and dialects go through it; there is no second truth.

use std::fmt;

/// How far a piece of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkState {
    /// Waiting.
    Queued,
    /// Handed to the agent, perhaps; handed over again until it acknowledges.
    Delivered,
    /// The agent is at it.
    Running,
    /// Done.
    Succeeded,
    /// Could not be done.
    Failed,
    /// No longer worth doing.
    Expired,
    /// Called off.
    Canceled,
}

impl WorkState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Delivered,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Expired,
        Self::Canceled,
    ];

    /// The word that stores and operators use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether the work is at its end, for good.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Expired | Self::Canceled)
    }

    /// What it means, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Queued => "waits for its agent, or for the time before which it is not handed over",
            Self::Delivered => "handed to its agent, and again until the agent acknowledges it",
            Self::Running => "its agent is at it",
            Self::Succeeded => "done",
            Self::Failed => "could not be done, or took too long, and may not be tried again",
            Self::Expired => "nobody began it in time",
            Self::Canceled => "called off",
        }
    }
}

impl fmt::Display for WorkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can happen to a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkEvent {
    /// It is handed over for the first time.
    Deliver,
    /// It is handed over again, since its agent has not acknowledged it.
    Redeliver,
    /// Its agent has it, and prepares.
    Acknowledge,
    /// Its agent is at it, or says so again.
    Start,
    /// It is done.
    Succeed,
    /// Its agent could not do it.
    Fail,
    /// Its time to live is over before it was begun.
    Expire,
    /// Its execution takes too long.
    TimeOut,
    /// An operator calls it off.
    Cancel,
    /// An execution came to nothing and another one is allowed.
    Retry,
}

impl WorkEvent {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Deliver,
        Self::Redeliver,
        Self::Acknowledge,
        Self::Start,
        Self::Succeed,
        Self::Fail,
        Self::Expire,
        Self::TimeOut,
        Self::Cancel,
        Self::Retry,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Redeliver => "redeliver",
            Self::Acknowledge => "acknowledge",
            Self::Start => "start",
            Self::Succeed => "succeed",
            Self::Fail => "fail",
            Self::Expire => "expire",
            Self::TimeOut => "time_out",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
        }
    }

    /// What it means, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Deliver => "it is handed over for the first time in this execution",
            Self::Redeliver => "it is handed over again, since its agent has not acknowledged it",
            Self::Acknowledge => "its agent has it and prepares; it is not handed over again",
            Self::Start => "its agent is at it, or says so once more",
            Self::Succeed => "its agent reports that it is done",
            Self::Fail => "its agent reports that it could not be done, and no further execution is allowed",
            Self::Expire => "its time to live is over before anybody began it",
            Self::TimeOut => "its execution takes too long, and no further execution is allowed",
            Self::Cancel => "an operator, or a newer wish, calls it off",
            Self::Retry => "an execution failed or took too long, and a further execution is allowed",
        }
    }
}

impl fmt::Display for WorkEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a transition does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The work moves to another state.
    Moves,
    /// The work stays in its state and is not handed over again; said twice, the second changes nothing.
    Acknowledges,
    /// Nothing: it has happened before, or the work is at its end.
    Nothing,
    /// This execution ends as failed, and the work waits for the next one, whose number is one higher.
    NextExecution,
}

impl Effect {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Moves => "moves",
            Self::Acknowledges => "acknowledges",
            Self::Nothing => "nothing",
            Self::NextExecution => "next_execution",
        }
    }

    /// Whether the same event may come again and changes nothing then.
    #[must_use]
    pub const fn is_repeat_safe(self) -> bool {
        matches!(self, Self::Nothing | Self::Acknowledges)
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// From which state.
    pub from: WorkState,
    /// On what.
    pub event: WorkEvent,
    /// To which state.
    pub to: WorkState,
    /// And what that does.
    pub effect: Effect,
}

const fn row(from: WorkState, event: WorkEvent, to: WorkState, effect: Effect) -> Transition {
    Transition { from, event, to, effect }
}

/// Every transition that there is. What is not here is an [`IllegalTransition`].
pub const TRANSITIONS: &[Transition] = {
    use Effect::{Acknowledges, Moves, NextExecution, Nothing};
    use WorkEvent as On;
    use WorkState::{Canceled, Delivered, Expired, Failed, Queued, Running, Succeeded};
    &[
        row(Queued, On::Deliver, Delivered, Moves),
        row(Queued, On::Expire, Expired, Moves),
        row(Queued, On::Cancel, Canceled, Moves),
        row(Delivered, On::Redeliver, Delivered, Nothing),
        row(Delivered, On::Acknowledge, Delivered, Acknowledges),
        row(Delivered, On::Start, Running, Moves),
        // A dialect need not say that work has begun: steps that are left out are implied.
        row(Delivered, On::Succeed, Succeeded, Moves),
        row(Delivered, On::Fail, Failed, Moves),
        row(Delivered, On::Expire, Expired, Moves),
        row(Delivered, On::TimeOut, Failed, Moves),
        row(Delivered, On::Cancel, Canceled, Moves),
        row(Delivered, On::Retry, Queued, NextExecution),
        row(Running, On::Start, Running, Nothing),
        row(Running, On::Succeed, Succeeded, Moves),
        row(Running, On::Fail, Failed, Moves),
        row(Running, On::TimeOut, Failed, Moves),
        row(Running, On::Cancel, Canceled, Moves),
        row(Running, On::Retry, Queued, NextExecution),
        // Whatever an agent still says of work at its end is heard and changes nothing.
        row(Succeeded, On::Acknowledge, Succeeded, Nothing),
        row(Succeeded, On::Start, Succeeded, Nothing),
        row(Succeeded, On::Succeed, Succeeded, Nothing),
        row(Succeeded, On::Fail, Succeeded, Nothing),
        row(Succeeded, On::Expire, Succeeded, Nothing),
        row(Failed, On::Acknowledge, Failed, Nothing),
        row(Failed, On::Start, Failed, Nothing),
        row(Failed, On::Succeed, Failed, Nothing),
        row(Failed, On::Fail, Failed, Nothing),
        row(Failed, On::Expire, Failed, Nothing),
        row(Expired, On::Acknowledge, Expired, Nothing),
        row(Expired, On::Start, Expired, Nothing),
        row(Expired, On::Succeed, Expired, Nothing),
        row(Expired, On::Fail, Expired, Nothing),
        row(Expired, On::Expire, Expired, Nothing),
        row(Canceled, On::Acknowledge, Canceled, Nothing),
        row(Canceled, On::Start, Canceled, Nothing),
        row(Canceled, On::Succeed, Canceled, Nothing),
        row(Canceled, On::Fail, Canceled, Nothing),
        row(Canceled, On::Expire, Canceled, Nothing),
        row(Canceled, On::Cancel, Canceled, Nothing),
    ]
};

/// Something that cannot happen to work in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("work that is {from} does not take `{event}`")]
pub struct IllegalTransition {
    /// The state that the work is in, and stays in.
    pub from: WorkState,
    /// What was to happen.
    pub event: WorkEvent,
}

/// Looks into the table.
///
/// # Errors
/// The table has no such row.
///
/// ```
/// use fleetwire_server_core::domain::{Effect, WorkEvent, WorkState, transition};
///
/// let begun = transition(WorkState::Delivered, WorkEvent::Start).map(|row| row.to);
/// assert_eq!(begun, Ok(WorkState::Running));
/// let again = transition(WorkState::Running, WorkEvent::Start).map(|row| row.effect);
/// assert_eq!(again, Ok(Effect::Nothing));
/// let illegal = transition(WorkState::Succeeded, WorkEvent::Cancel).unwrap_err();
/// assert_eq!(illegal.from, WorkState::Succeeded);
/// ```
pub fn transition(from: WorkState, event: WorkEvent) -> Result<&'static Transition, IllegalTransition> {
    let found = TRANSITIONS.iter().find(|row| row.from == from && row.event == event);
    found.ok_or(IllegalTransition { from, event })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table once more, as a picture: a row for each state, a column for each event in the order of
    /// [`WorkEvent::ALL`]. A letter is the state that follows, `.` that nothing changes, `a` an acknowledgement,
    /// `+` the next execution, and `-` that it is illegal.
    const PICTURE: [(WorkState, &str); 7] = [
        // deliver redeliver acknowledge start succeed fail expire time_out cancel retry
        (WorkState::Queued, "D-----E-C-"),
        (WorkState::Delivered, "-.aRSFEFC+"),
        (WorkState::Running, "---.SF-FC+"),
        (WorkState::Succeeded, "--.....---"),
        (WorkState::Failed, "--.....---"),
        (WorkState::Expired, "--.....---"),
        (WorkState::Canceled, "--.....-.-"),
    ];

    #[test]
    fn every_state_takes_exactly_these_events() {
        for (from, picture) in PICTURE {
            for (event, expected) in WorkEvent::ALL.into_iter().zip(picture.chars()) {
                let drawn = match transition(from, event) {
                    Err(illegal) => {
                        assert_eq!(illegal, IllegalTransition { from, event });
                        '-'
                    }
                    Ok(row) => match row.effect {
                        Effect::Moves => row.to.as_str().to_uppercase().chars().next().unwrap(),
                        Effect::Nothing => '.',
                        Effect::Acknowledges => 'a',
                        Effect::NextExecution => '+',
                    },
                };
                assert_eq!(drawn, expected, "{from} on {event}");
            }
            assert_eq!(picture.len(), WorkEvent::ALL.len(), "{from}");
        }
    }

    #[test]
    fn no_pair_stands_twice() {
        for (place, row) in TRANSITIONS.iter().enumerate() {
            let same = |other: &&Transition| other.from == row.from && other.event == row.event;
            assert_eq!(TRANSITIONS.iter().position(|other| same(&other)), Some(place), "{row:?}");
        }
    }

    #[test]
    fn effects_are_what_the_states_say() {
        for row in TRANSITIONS {
            match row.effect {
                Effect::Moves => assert_ne!(row.from, row.to, "{row:?}"),
                Effect::Nothing | Effect::Acknowledges => assert_eq!(row.from, row.to, "{row:?}"),
                Effect::NextExecution => assert_eq!(row.to, WorkState::Queued, "{row:?}"),
            }
            assert!(!row.from.is_terminal() || row.effect == Effect::Nothing, "an end is final: {row:?}");
        }
    }

    #[test]
    fn every_state_can_be_reached_and_every_live_one_left() {
        for state in WorkState::ALL {
            let reached = TRANSITIONS.iter().any(|row| row.to == state && row.from != state);
            assert!(reached, "{state}");
            let left = TRANSITIONS.iter().any(|row| row.from == state && row.to != state);
            assert_eq!(left, !state.is_terminal(), "{state}");
        }
    }

    #[test]
    fn live_work_can_always_be_called_off() {
        for state in WorkState::ALL.into_iter().filter(|state| !state.is_terminal()) {
            assert_eq!(transition(state, WorkEvent::Cancel).map(|row| row.to), Ok(WorkState::Canceled));
        }
    }
}
