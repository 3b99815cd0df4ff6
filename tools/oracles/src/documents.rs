//! Changes between two OpenAPI documents.

use anyhow::{Context, Result};
use jsoncompat::{OpenApiDocument, check_openapi_compat};
use serde_json::{Value, json};

use crate::judged;

/// What `drift` and `jsoncompat` say of `{old, new}`: `compared` with a list of changes each, or `error`.
pub(crate) fn answer(question: &Value) -> Result<Value> {
    let document = |name: &str| question.get(name).with_context(|| format!("{name} is missing: {question}"));
    let (old, new) = (document("old")?, document("new")?);
    Ok(json!({
        "drift": judged(|| drift_changes(old, new)),
        "jsoncompat": judged(|| jsoncompat_issues(old, new)),
    }))
}

fn drift_changes(old: &Value, new: &Value) -> Result<Value> {
    let mut found = Vec::new();
    for change in drift::compare(old, new)? {
        let places: Vec<Value> = change
            .paths
            .iter()
            .map(|path| json!({"way": format!("{:?}", path.comparison), "old": path.old.to_string()}))
            .collect();
        for what in change.changes {
            found.push(json!({
                "class": format!("{:?}", what.class),
                "message": what.message,
                "at": what.old_subpath,
                "places": places,
            }));
        }
    }
    Ok(json!({"is": "compared", "changes": found}))
}

/// `jsoncompat` reads 3.1 alone. A document of 3.0 is handed over as one of 3.1 when it uses nothing that the two
/// versions read differently, and with the mark that a path parameter must have.
fn jsoncompat_issues(old: &Value, new: &Value) -> Result<Value> {
    let document = |document: &Value| {
        let mut document = document.clone();
        if document["openapi"].as_str().is_some_and(|version| version.starts_with("3.0")) {
            if let Some(keyword) = means_another_thing(&document) {
                anyhow::bail!("3.1 has no such `{keyword}`");
            }
            document["openapi"] = json!("3.1.0");
        }
        require_path_parameters(&mut document);
        Ok(OpenApiDocument::from_json(&document)?)
    };
    let report = check_openapi_compat(&document(old)?, &document(new)?)?;
    let issues: Vec<Value> = report
        .issues()
        .iter()
        .map(|issue| {
            json!({
                "operation": format!("{} {}", issue.method.to_ascii_uppercase(), issue.path),
                "surface": issue.surface,
                "kind": issue.kind,
                "message": issue.message,
            })
        })
        .collect();
    Ok(json!({"is": "compared", "changes": issues}))
}

/// The first keyword of 3.0 that 3.1 does not have, or has in another meaning.
fn means_another_thing(document: &Value) -> Option<&'static str> {
    match document {
        Value::Object(members) => {
            if members.contains_key("nullable") {
                return Some("nullable");
            }
            if members
                .get("exclusiveMinimum")
                .or(members.get("exclusiveMaximum"))
                .is_some_and(Value::is_boolean)
            {
                return Some("exclusiveMinimum");
            }
            members.values().find_map(means_another_thing)
        }
        Value::Array(items) => items.iter().find_map(means_another_thing),
        _ => None,
    }
}

fn require_path_parameters(document: &mut Value) {
    match document {
        Value::Object(members) => {
            if members.get("in").is_some_and(|place| place == "path") && members.contains_key("name") {
                members.insert("required".to_owned(), json!(true));
            }
            members.values_mut().for_each(require_path_parameters);
        }
        Value::Array(items) => items.iter_mut().for_each(require_path_parameters),
        _ => {}
    }
}
