//! Tasks that an operator wishes for.

use std::time::Duration;

use fleetwire_protocol::achilles::{TaskPayload, TaskType};
use fleetwire_protocol::codec;
use serde_json::{Map, Value};

use crate::operator::{Done, OperatorError, WorkWish};

/// How long an execution may take if nothing is said: what the dialect's agents take then.
const TIMEOUT: Duration = Duration::from_secs(300);

/// How often a test is tried again if nothing is said.
const TEST_RETRIES: u32 = 2;

/// What the dialect makes of a wish: a task that can be handed over whole, its timeout and retries settled.
pub(crate) fn settle(mut wish: WorkWish) -> Done<WorkWish> {
    wish.timeout = Some(settle_timeout(&mut wish.payload, wish.timeout)?);
    check_payload(&wish.payload)?;
    let is_test = wish.kind == TaskType::ExecuteTest.as_str();
    if !is_test && wish.max_retries.is_some_and(|retries| retries > 0) {
        let fault = "max_retries: must be 0, since only execute_test is tried again";
        return Err(OperatorError::Invalid(fault.to_owned()));
    }
    wish.max_retries = wish.max_retries.or(is_test.then_some(TEST_RETRIES));
    Ok(wish)
}

/// The time that an execution may take: said in one of two places, or in both alike. The agent is told what was
/// said.
fn settle_timeout(payload: &mut Map<String, Value>, wish: Option<Duration>) -> Done<Duration> {
    let told = payload.get("execution_timeout").and_then(Value::as_u64).map(Duration::from_secs);
    match (wish, told) {
        (Some(wish), Some(told)) if wish != told => Err(OperatorError::Invalid(
            "timeout_seconds: must be payload.execution_timeout, or only one of them be there".to_owned(),
        )),
        (Some(wish), None) => {
            payload.insert("execution_timeout".to_owned(), wish.as_secs().into());
            Ok(wish)
        }
        (_, told) => Ok(told.unwrap_or(TIMEOUT)),
    }
}

/// Whether a payload can be handed over whole. One that could not be read would be stuck in the queue, and a
/// member that tasks do not have would be left out on the way.
fn check_payload(payload: &Map<String, Value>) -> Done<()> {
    let given = Value::Object(payload.clone());
    let task: TaskPayload = codec::from_json(given.to_string().as_bytes()).map_err(|fault| {
        OperatorError::Invalid(format!("payload.{}: {}", fault.place.dotted(), fault.message))
    })?;
    let carried = serde_json::to_value(&task)
        .map_err(|error| OperatorError::Invalid(format!("payload: cannot be written as JSON: {error}")))?;
    let mut lost = Vec::new();
    find_lost("payload", &given, &carried, &mut lost);
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
