//! Tasks that an operator wishes for.

use std::time::Duration;

use fleetwire_protocol::achilles::{TaskPayload, TaskType};
use fleetwire_protocol::codec;
use serde_json::{Map, Value};

use crate::operator::{Done, OperatorError, WorkWish};

/// How long an agent lets an execution take that it is told no time for.
const AGENTS_TIMEOUT: Duration = Duration::from_secs(300);

/// How often a test is tried again if nothing is said.
const TEST_RETRIES: u32 = 2;

/// Characters that a command may have.
const COMMAND_LENGTH: usize = 10_240;

/// What the deployed server gives a task of a type if nothing is said.
struct Custom {
    timeout: Duration,
    /// How long it is worth beginning; as configured if nothing is here.
    ttl: Option<Duration>,
    priority: i64,
    retries: Option<u32>,
}

impl Custom {
    fn of(kind: &TaskType) -> Self {
        let usual = Self { timeout: AGENTS_TIMEOUT, ttl: None, priority: 1, retries: None };
        match kind {
            TaskType::ExecuteTest => Self { retries: Some(TEST_RETRIES), ..usual },
            TaskType::UpdateAgent => Self { timeout: Duration::from_secs(600), priority: 10, ..usual },
            TaskType::Uninstall => Self { ttl: Some(Duration::from_secs(86_400)), priority: 10, ..usual },
            _ => usual,
        }
    }
}

/// What the dialect makes of a wish: a task that can be handed over whole, what was left open settled as the deployed
/// server settles it.
pub(crate) fn settle(mut wish: WorkWish) -> Done<WorkWish> {
    let kind = TaskType::from(wish.kind.as_str());
    let custom = Custom::of(&kind);
    wish.timeout = Some(settle_timeout(&mut wish.payload, wish.timeout, custom.timeout)?);
    check_payload(&kind, &wish.payload)?;
    if custom.retries.is_none() && wish.max_retries.is_some_and(|retries| retries > 0) {
        let fault = "max_retries: must be 0, since only execute_test is tried again";
        return Err(OperatorError::Invalid(fault.to_owned()));
    }
    wish.max_retries = wish.max_retries.or(custom.retries);
    wish.ttl = wish.ttl.or(custom.ttl);
    wish.priority = wish.priority.or(Some(custom.priority));
    Ok(wish)
}

/// The time that an execution may take: said in one of two places, or in both alike. The agent is told what was
/// said.
fn settle_timeout(
    payload: &mut Map<String, Value>,
    wish: Option<Duration>,
    custom: Duration,
) -> Done<Duration> {
    let told = payload.get("execution_timeout").and_then(Value::as_u64).map(Duration::from_secs);
    match (wish, told) {
        (Some(wish), Some(told)) if wish != told => Err(OperatorError::Invalid(
            "timeout_seconds: must be payload.execution_timeout, or only one of them be there".to_owned(),
        )),
        (_, Some(told)) => Ok(told),
        (wish, None) => {
            // What is not said either way is what the agent takes if it is told nothing, unless that is another time.
            let timeout = wish.unwrap_or(custom);
            if wish.is_some() || timeout != AGENTS_TIMEOUT {
                payload.insert("execution_timeout".to_owned(), timeout.as_secs().into());
            }
            Ok(timeout)
        }
    }
}

/// Whether a payload can be handed over whole. One that could not be read would be stuck in the queue, and a
/// member that tasks do not have would be left out on the way.
fn check_payload(kind: &TaskType, payload: &Map<String, Value>) -> Done<()> {
    let given = Value::Object(payload.clone());
    let task: TaskPayload = codec::from_json(given.to_string().as_bytes()).map_err(|fault| {
        OperatorError::Invalid(format!("payload.{}: {}", fault.place.dotted(), fault.message))
    })?;
    let carried = serde_json::to_value(&task)
        .map_err(|error| OperatorError::Invalid(format!("payload: cannot be written as JSON: {error}")))?;
    let mut lost = Vec::new();
    find_lost("payload", &given, &carried, &mut lost);
    let command = task.command.as_deref().unwrap_or_default();
    if command.chars().count() > COMMAND_LENGTH {
        lost.push(format!("payload.command: must have at most {COMMAND_LENGTH} characters"));
    }
    if *kind == TaskType::Uninstall && !matches!(command, "" | "cleanup") {
        lost.push("payload.command: of an uninstall must be cleanup, or empty".to_owned());
    }
    if lost.is_empty() { Ok(()) } else { Err(OperatorError::Invalid(lost.join("; "))) }
}

/// Names the members of objects that `carried` no longer has.
fn find_lost(place: &str, given: &Value, carried: &Value, lost: &mut Vec<String>) {
    let (Value::Object(given), Value::Object(carried)) = (given, carried) else { return };
    for (name, value) in given {
        let place = format!("{place}.{name}");
        match carried.get(name) {
            Some(carried) => find_lost(&place, value, carried, lost),
            // Absent is how tasks say this.
            None if value.is_null() || value.as_array().is_some_and(Vec::is_empty) => {}
            None => lost.push(format!("{place}: tasks have no such member")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wish(kind: &str, payload: Value) -> WorkWish {
        let Value::Object(payload) = payload else { panic!("{payload} is no payload") };
        WorkWish { kind: kind.to_owned(), payload, ..WorkWish::default() }
    }

    #[test]
    fn what_is_left_open_is_settled_as_the_deployed_server_does() {
        let seconds = Duration::from_secs;
        for (kind, timeout, ttl, priority, retries) in [
            ("execute_test", 300, None, 1, Some(2)),
            ("execute_command", 300, None, 1, None),
            ("update_agent", 600, None, 10, None),
            ("uninstall", 300, Some(seconds(86_400)), 10, None),
        ] {
            let settled = settle(wish(kind, json!({}))).unwrap();
            assert_eq!(settled.timeout, Some(seconds(timeout)), "{kind}");
            assert_eq!((settled.ttl, settled.priority), (ttl, Some(priority)), "{kind}");
            assert_eq!(settled.max_retries, retries, "{kind}");
            // The agent takes 300 s of itself, and is told of any other time.
            let told = settled.payload.get("execution_timeout").and_then(Value::as_u64);
            assert_eq!(told, (timeout != 300).then_some(timeout), "{kind}");
        }
        let said = WorkWish { priority: Some(0), ttl: Some(seconds(9)), ..wish("uninstall", json!({})) };
        let settled = settle(said).unwrap();
        assert_eq!((settled.priority, settled.ttl), (Some(0), Some(seconds(9))));
    }

    #[test]
    fn command_has_its_length_and_an_uninstall_its_word() {
        let long = "é".repeat(COMMAND_LENGTH);
        assert!(settle(wish("execute_command", json!({"command": long}))).is_ok());
        let longer = json!({"command": format!("{long}é")});
        assert!(settle(wish("execute_command", longer)).unwrap_err().to_string().contains("10240"));
        for (command, ok) in [("", true), ("cleanup", true), ("rm", false)] {
            assert_eq!(settle(wish("uninstall", json!({"command": command}))).is_ok(), ok, "{command:?}");
        }
    }
}
