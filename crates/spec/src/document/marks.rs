//! Where each value of a document stands in its text.

use serde_json::Value;

/// Where a value stands, and how many values are in it, itself included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) nodes: u32,
}

/// The marks of a document's values in the order of the value that was read from it: members by key, not as they
/// are written. Twelve bytes a value, where a map of pointers would be larger than the document.
#[derive(Debug, Clone)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    /// Those of a value without parts.
    pub(super) fn leaf(line: u32, column: u32) -> Self {
        Self(vec![Mark { line, column, nodes: 1 }])
    }

    /// Those of a value with parts, in their order.
    pub(super) fn tree(line: u32, column: u32, parts: impl IntoIterator<Item = Self>) -> Self {
        let mut marks = vec![Mark { line, column, nodes: 1 }];
        for part in parts {
            marks.extend(part.0);
        }
        let nodes = u32::try_from(marks.len()).unwrap_or(u32::MAX);
        if let Some(own) = marks.first_mut() {
            own.nodes = nodes;
        }
        Self(marks)
    }

    /// The same, the value itself standing elsewhere: a member stands where its key does.
    pub(super) fn moved(mut self, line: u32, column: u32) -> Self {
        if let Some(own) = self.0.first_mut() {
            (own.line, own.column) = (line, column);
        }
        self
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The mark of what the tokens lead to, or of the last thing on the way that is there. Keys that `skipped`
    /// names were not in the text.
    pub(super) fn find(&self, mut value: &Value, tokens: &[String], skipped: &str) -> Option<Mark> {
        let mut index = 0;
        for token in tokens {
            let first = index + 1;
            let found = match value {
                Value::Object(members) => {
                    let before = members.keys().filter(|key| *key != skipped).position(|key| key == token);
                    before.zip(members.get(token))
                }
                Value::Array(items) => {
                    token.parse::<usize>().ok().and_then(|place| Some((place, items.get(place)?)))
                }
                _ => None,
            };
            let Some((before, next)) = found else { break };
            index = (0..before).try_fold(first, |at, _| Some(at + self.0.get(at)?.nodes as usize))?;
            value = next;
        }
        self.0.get(index).copied()
    }
}
