//! What answers carry, by the types of the replies.

use fleetwire_protocol::{Json, JsonOr204, JsonReading204, Repeatable, Streamed};
use schemars::JsonSchema;

/// What an answer carries where it carries JSON.
pub(crate) trait Carries {
    type Body: JsonSchema;
}
impl<T: JsonSchema, const STATUS: u16> Carries for Json<T, STATUS> {
    type Body = T;
}
/// No JSON.
impl<const VERSIONED: bool> Carries for Streamed<VERSIONED> {
    type Body = ();
}
impl<T: JsonSchema> Carries for JsonOr204<T> {
    type Body = T;
}
impl<T: JsonSchema> Carries for JsonReading204<T> {
    type Body = T;
}
impl<T: JsonSchema> Carries for Repeatable<T> {
    type Body = T;
}
