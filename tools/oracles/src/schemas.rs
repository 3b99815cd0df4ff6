//! Inclusion of one schema in another.

use anyhow::{Context, Result};
use jsoncompat::{CompatibilityResult, Role, SchemaDocument, SchemaOptions, analyze_compat};
use serde_json::{Value, json};

use crate::judged;

/// What `jsoncompat` says of `{narrow, wide}`: `proved`, `refuted` with a `document`, `unknown` with a `reason`, or
/// `error`.
pub(crate) fn answer(question: &Value) -> Result<Value> {
    let schema = |name: &str| question.get(name).with_context(|| format!("{name} is missing: {question}"));
    let (narrow, wide) = (schema("narrow")?, schema("wide")?);
    Ok(json!({"jsoncompat": judged(|| included(narrow, wide))}))
}

fn included(narrow: &Value, wide: &Value) -> Result<Value> {
    let options = SchemaOptions { assert_formats: Some(true), ..SchemaOptions::default() };
    let narrow = SchemaDocument::from_json_with_options(narrow, &options)?;
    let wide = SchemaDocument::from_json_with_options(wide, &options)?;
    // What the new schema writes is to be read by the old one.
    Ok(match analyze_compat(&wide, &narrow, Role::Serializer)? {
        CompatibilityResult::Compatible => json!({"is": "proved"}),
        CompatibilityResult::Incompatible { counterexample, .. } => {
            json!({"is": "refuted", "document": counterexample})
        }
        CompatibilityResult::Unknown { reason } => json!({"is": "unknown", "reason": reason}),
    })
}
