use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::document::Dialect;
use crate::openapi::{escape, unescaped_fragment};
use crate::schema::SchemaId;

/// What is known of one document.
#[derive(Debug)]
pub(crate) struct Lexicon {
    pub(crate) root: Arc<Value>,
    pub(crate) dialect: Dialect,
    /// The schemas read so far, by their pointers.
    pub(super) known: HashMap<String, SchemaId>,
    /// The places that anchors name, looked for when the first one is asked for.
    anchors: Option<HashMap<String, String>>,
}

impl Lexicon {
    pub(crate) fn new(root: Arc<Value>, dialect: Dialect) -> Self {
        Self { root, dialect, known: HashMap::new(), anchors: None }
    }

    /// The pointer that a reference means.
    pub(crate) fn resolve(&mut self, reference: &str) -> Result<String, String> {
        let own = self.root.get("$id").and_then(Value::as_str).map(|id| id.trim_end_matches('#'));
        let fragment = match reference.split_once('#') {
            Some(("", fragment)) => fragment,
            Some((document, fragment)) if Some(document) == own => fragment,
            None if Some(reference) == own => "",
            _ => return Err(format!("the reference {reference:?} leads out of this document")),
        };
        let fragment = unescaped_fragment(fragment)
            .ok_or_else(|| format!("the reference {reference:?} has a broken percent escape"))?;
        if fragment.is_empty() || fragment.starts_with('/') {
            return Ok(fragment);
        }
        let root = &self.root;
        let anchors = self.anchors.get_or_insert_with(|| anchors(root));
        anchors.get(&fragment).cloned().ok_or_else(|| format!("no anchor {fragment:?} is in this document"))
    }
}

fn anchors(root: &Value) -> HashMap<String, String> {
    let mut anchors = HashMap::new();
    let mut rest = vec![(String::new(), root)];
    while let Some((pointer, value)) = rest.pop() {
        match value {
            Value::Object(members) => {
                for keyword in ["$anchor", "$dynamicAnchor"] {
                    if let Some(anchor) = members.get(keyword).and_then(Value::as_str) {
                        anchors.entry(anchor.to_owned()).or_insert_with(|| pointer.clone());
                    }
                }
                // draft-07 has `$id: "#name"`.
                if let Some(anchor) =
                    members.get("$id").and_then(Value::as_str).and_then(|id| id.strip_prefix('#'))
                {
                    anchors.entry(anchor.to_owned()).or_insert_with(|| pointer.clone());
                }
                rest.extend(
                    members.iter().map(|(name, value)| (format!("{pointer}/{}", escape(name)), value)),
                );
            }
            Value::Array(items) => {
                rest.extend(
                    items.iter().enumerate().map(|(index, value)| (format!("{pointer}/{index}"), value)),
                );
            }
            _ => {}
        }
    }
    anchors
}
