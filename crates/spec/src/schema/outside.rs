use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::arena::Arena;
use super::text::{Format, Pattern};

/// Validators of single patterns and formats, each made once.
#[derive(Default)]
pub(super) struct Outside {
    validators: Mutex<HashMap<String, Option<Arc<Validator>>>>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

impl Outside {
    fn accepts(&self, schema: &Value, text: &str) -> Option<bool> {
        let validator = {
            let mut validators = self.validators.lock().ok()?;
            let made = validators.entry(schema.to_string()).or_insert_with(|| {
                jsonschema::options().should_validate_formats(true).build(schema).ok().map(Arc::new)
            });
            made.clone()?
        };
        Some(validator.is_valid(&Value::String(text.to_owned())))
    }
}

impl Arena {
    /// Whether a pattern is found in a text. What no automaton models is asked of the `jsonschema` crate.
    pub(crate) fn matches(&self, pattern: &Pattern, text: &str) -> Option<bool> {
        pattern.is_match(text).or_else(|| self.outside.accepts(&json!({"pattern": pattern.text()}), text))
    }

    /// Whether a text has a format, likewise.
    pub(crate) fn has_format(&self, format: &Format, text: &str) -> Option<bool> {
        format.accepts(text).or_else(|| self.outside.accepts(&json!({"format": format.word()}), text))
    }
}
