//! Commands that an operator wishes for.

use fleetwire_protocol::agentmc::CommandPayload;
use fleetwire_protocol::codec;
use serde_json::Value;

use crate::domain::{Kind, WorkState};
use crate::operator::{Done, OperatorError, WorkWish};

/// The longest name of a command, in characters: that of the kind of an agent.
const LONGEST: usize = 120;

/// What the dialect makes of a wish: a command that a host can be given whole.
///
/// The words for what is to be done are the vendor's and open; what it takes is not.
pub(crate) fn settle(kind: Kind, mut wish: WorkWish) -> Done<WorkWish> {
    if kind != Kind::Host {
        return Err(OperatorError::Unsuitable(
            "commands of this vendor are given to a host, not to the agents on it",
        ));
    }
    if wish.kind.is_empty() || wish.kind.chars().count() > LONGEST {
        return Err(OperatorError::Invalid(format!("kind: must have 1 to {LONGEST} characters")));
    }
    // What became of a command is told by its number alone, and told again until it was heard: of a later execution
    // nobody could tell it apart.
    if wish.max_retries.is_some_and(|retries| retries > 0) {
        return Err(OperatorError::Invalid(
            "max_retries: must be 0, since hosts do not tell one execution of a command from another"
                .to_owned(),
        ));
    }
    wish.max_retries = Some(0);
    let given = Value::Object(wish.payload.clone());
    let command: CommandPayload = codec::from_json(given.to_string().as_bytes()).map_err(|fault| {
        OperatorError::Invalid(format!("payload.{}: {}", fault.place.dotted(), fault.message))
    })?;
    let carried = serde_json::to_value(&command)
        .map_err(|error| OperatorError::Invalid(format!("payload: cannot be written as JSON: {error}")))?;
    let lost = wish.payload.iter().find(|(name, value)| !value.is_null() && carried.get(name).is_none());
    match lost {
        Some((name, _)) => {
            Err(OperatorError::Invalid(format!("payload.{name}: commands have no such member")))
        }
        None => Ok(wish),
    }
}

/// The dialect's word for a state, where it has one.
pub(crate) const fn word(state: WorkState) -> Option<&'static str> {
    match state {
        WorkState::Succeeded => Some("completed"),
        WorkState::Failed => Some("failed"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn wish(payload: Value) -> WorkWish {
        let Value::Object(payload) = payload else { unreachable!("it is an object") };
        WorkWish { kind: "agent.provision".to_owned(), payload, ..WorkWish::default() }
    }

    fn refused(kind: Kind, wish: WorkWish) -> String {
        settle(kind, wish).unwrap_err().to_string()
    }

    #[test]
    fn a_command_is_for_a_host_and_is_not_tried_again() {
        let good = wish(json!({"agent_name": "Jarvis", "runtime_key": "jarvis", "agent_emoji": null}));
        assert_eq!(settle(Kind::Host, good.clone()).unwrap().max_retries, Some(0));
        assert!(refused(Kind::Agent, good.clone()).contains("to a host"));
        let again = WorkWish { max_retries: Some(1), ..good.clone() };
        assert!(refused(Kind::Host, again).starts_with("max_retries: "));
        let odd = WorkWish { kind: "agent.dance".to_owned(), ..good.clone() };
        assert!(settle(Kind::Host, odd).is_ok(), "the words are open");
        let nameless = WorkWish { kind: String::new(), ..good };
        assert!(refused(Kind::Host, nameless).starts_with("kind: "));
    }

    #[test]
    fn what_a_host_could_not_be_told_is_refused_with_its_place() {
        for (payload, place) in [
            (json!({"runtime_key": "k"}), "payload.agent_name: "),
            (json!({"agent_name": "a"}), "payload.runtime_key: "),
            (json!({"agent_name": 7, "runtime_key": "k"}), "payload.agent_name: "),
            (json!({"agent_name": "a", "runtime_key": "k", "x": 1}), "payload.x: "),
        ] {
            let told = refused(Kind::Host, wish(payload));
            assert!(told.starts_with(place), "{told}");
        }
        assert!(settle(Kind::Host, WorkWish { payload: Map::new(), ..WorkWish::default() }).is_err());
    }
}
