//! The deviations: patches to the sources, `schemas/deviations.toml`.
//!
//! A source is silent in places, contradicts itself in others, and here and there we differ on purpose. Each
//! such case is a patch to the source, with its reason. Claims are proved against the patched source, so that
//! nothing hides behind a waiver: what a patch does not say is still compared.
//!
//! ```
//! let deviations = fleetwire_spec::deviations::parse(r#"
//!     [[deviation]]
//!     operation = "acusight.notify_image"
//!     side = "request"
//!     at = "/properties/annotations/items/properties/geometry"
//!     op = "add"
//!     value = { type = "array", items = { type = "number" } }
//!     why = "The upload page shows boxes in this form."
//!     origin = "AC-5"
//! "#).unwrap();
//! assert_eq!(deviations.len(), 1);
//! ```

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::openapi;

/// Where the deviations stand, seen from the root of the work tree.
pub const FILE: &str = "schemas/deviations.toml";

/// A patch to a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// Our id of the operation; the vendor's short name for what stands in the document as a whole.
    pub operation: String,
    /// `request` and `response.<status>` for the schema of that body, `operation` for the operation's own
    /// object, `document` for the document.
    pub side: String,
    /// A JSON pointer in that part, references resolved. In a list of texts a text names itself; `-` is the
    /// place behind the last item.
    pub at: String,
    /// What to do there.
    pub op: Op,
    /// What to put there; for `add` and `replace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What the source has there; for `remove` and `replace`. A patch to a source that has changed since is one
    /// that somebody must look at again. What only explains (descriptions, examples, origins) is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Value>,
    /// Why we differ.
    pub why: String,
    /// Who says so: ids of the protocol notes, or a page.
    pub origin: String,
}

/// What a patch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Puts something where nothing is.
    Add,
    /// Takes something away.
    Remove,
    /// Puts something in the place of another.
    Replace,
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            Op::Add => "add",
            Op::Remove => "remove",
            Op::Replace => "replace",
        };
        write!(f, "{} {} {op} {}", self.operation, self.side, self.at)
    }
}

/// Why the deviations cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DeviationsError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The text is not a list of deviations.
    #[error("the deviations are not well-formed: {0}")]
    Malformed(#[from] toml::de::Error),
    /// A deviation lacks a reason, an origin or its value, or has a value and no use for it.
    #[error("deviation {number} ({deviation}) {fault}")]
    Incomplete {
        /// Its place in the list, from 1.
        number: usize,
        /// Which.
        deviation: Box<Deviation>,
        /// What is wrong with it.
        fault: &'static str,
    },
}

/// Whether a deviation is about a vendor's operations or document.
#[must_use]
pub(crate) fn belongs_to(deviation: &Deviation, vendor: &str) -> bool {
    deviation.operation.split_once('.').map_or(deviation.operation.as_str(), |(vendor, _)| vendor) == vendor
}

/// Reads the deviations; a file that is not there holds none.
///
/// # Errors
/// The file cannot be read, or a deviation is not whole.
pub fn read(root: &Path) -> Result<Vec<Deviation>, DeviationsError> {
    let path = root.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(DeviationsError::Unreadable { path, error }),
    }
}

/// Reads deviations from TOML.
///
/// # Errors
/// The text is not TOML, or a deviation is not whole.
pub fn parse(text: &str) -> Result<Vec<Deviation>, DeviationsError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        deviation: Vec<Deviation>,
    }
    let File { deviation: deviations } = toml::from_str(text)?;
    for (index, deviation) in deviations.iter().enumerate() {
        let fault = match (deviation.op, &deviation.value) {
            _ if deviation.why.trim().is_empty() => "does not say why",
            _ if deviation.origin.trim().is_empty() => "names no origin",
            (Op::Add | Op::Replace, None) => "has no value to put there",
            (Op::Remove, Some(_)) => "removes, and has a value",
            (Op::Add, _) if deviation.was.is_some() => "adds, and says what was there",
            (Op::Remove | Op::Replace, _) if deviation.was.is_none() => "does not say what was there",
            _ => continue,
        };
        return Err(DeviationsError::Incomplete {
            number: index + 1,
            deviation: Box::new(deviation.clone()),
            fault,
        });
    }
    Ok(deviations)
}

impl Deviation {
    /// Applies the patch to the part of the source that it is about.
    ///
    /// # Errors
    /// Why it cannot be applied.
    pub(crate) fn apply(&self, part: &mut Value) -> Result<(), String> {
        let (parent, last) =
            self.at.rsplit_once('/').ok_or("the pointer is empty or does not begin with /")?;
        let last = openapi::unescape(last);
        let parent = part.pointer_mut(parent).ok_or_else(|| format!("there is no {parent} in the source"))?;
        let value = self.value.clone().map(|value| self.with_origin(value)).unwrap_or_default();
        let occupied = || format!("{} is there already; replace it", self.at);
        let absent = || format!("there is no {} in the source", self.at);
        let replaced = match parent {
            Value::Object(members) => members.get(&last),
            Value::Array(items) => index_of(items, &last).and_then(|index| items.get(index)),
            _ => None,
        };
        if let (Some(was), Some(is)) = (&self.was, replaced)
            && *was != stated(is)
        {
            return Err(format!("the source has changed: {} is {}, and was {was}", self.at, stated(is)));
        }
        match parent {
            Value::Object(members) => match self.op {
                Op::Add if members.contains_key(&last) => Err(occupied()),
                Op::Add => {
                    members.insert(last, value);
                    Ok(())
                }
                Op::Replace => members.get_mut(&last).map(|place| *place = value).ok_or_else(absent),
                Op::Remove => members.remove(&last).map(drop).ok_or_else(absent),
            },
            Value::Array(items) => {
                let index = index_of(items, &last);
                match (self.op, index) {
                    (Op::Add, _) if items.contains(&value) => Err(occupied()),
                    (Op::Add, _) if last == "-" => {
                        items.push(value);
                        Ok(())
                    }
                    (Op::Add, Some(index)) => {
                        items.insert(index, value);
                        Ok(())
                    }
                    (Op::Replace, Some(index)) => {
                        items[index] = value;
                        Ok(())
                    }
                    (Op::Remove, Some(index)) => {
                        items.remove(index);
                        Ok(())
                    }
                    (_, None) => Err(absent()),
                }
            }
            _ => Err(absent()),
        }
    }

    /// What a patch puts into the source is traced back to the patch, and not to the node around it.
    fn with_origin(&self, mut value: Value) -> Value {
        // The keys of these are names, among which an x-origin would be one more.
        let names = ["/properties", "/responses", "/content", "/headers", "/schemas", "/securitySchemes"];
        if names.iter().any(|names| self.at.ends_with(names)) || self.at.starts_with("/security/") {
            return value;
        }
        if let Value::Object(members) = &mut value {
            members
                .entry("x-origin")
                .or_insert_with(|| json!({"document": FILE, "place": self.origin, "how": "deviation"}));
        }
        value
    }
}

/// The place of a text in a list of texts, or the place of that number.
fn index_of(items: &[Value], last: &str) -> Option<usize> {
    let named = items.iter().position(|item| item.as_str() == Some(last));
    named.or_else(|| last.parse().ok().filter(|&index: &usize| index < items.len()))
}

/// A node without what only explains it.
fn stated(node: &Value) -> Value {
    without_remarks(node, false)
}

fn without_remarks(node: &Value, keys_are_names: bool) -> Value {
    const REMARKS: [&str; 7] =
        ["description", "title", "example", "examples", "x-origin", "x-note", "x-status"];
    match node {
        Value::Object(members) => members
            .iter()
            .filter(|(key, _)| keys_are_names || !REMARKS.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), without_remarks(value, !keys_are_names && key == "properties")))
            .collect(),
        Value::Array(items) => items.iter().map(stated).collect(),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deviation(at: &str, op: Op, value: Option<Value>) -> Deviation {
        Deviation {
            operation: "v.op".into(),
            side: "request".into(),
            at: at.into(),
            op,
            value,
            was: None,
            why: "so".into(),
            origin: "X-1".into(),
        }
    }

    fn applied(at: &str, op: Op, value: Option<Value>) -> Result<Value, String> {
        let mut part = json!({"required": ["a", "b"], "properties": {"a": {"type": "string"}}, "x/y": 1});
        deviation(at, op, value).apply(&mut part).map(|()| part)
    }

    #[test]
    fn patch_to_a_place_that_has_changed_is_refused() {
        let patched = |was: Value| {
            let mut part =
                json!({"properties": {"a": {"type": "string", "description": "A.", "x-origin": 1}}});
            let mut deviation = deviation("/properties/a", Op::Replace, Some(json!({"type": "integer"})));
            deviation.was = Some(was);
            deviation.apply(&mut part).map(|()| part)
        };
        assert_eq!(patched(json!({"type": "string"})).unwrap()["properties"]["a"]["type"], "integer");
        let refused = patched(json!({"type": "number"})).unwrap_err();
        assert!(refused.contains(r#"is {"type":"string"}, and was {"type":"number"}"#), "{refused}");
    }

    #[test]
    fn patch_says_what_it_replaces() {
        let text = "[[deviation]]\noperation = 'v.op'\nside = 'request'\nat = '/a'\nop = 'replace'\nvalue = 1\n\
                    why = 'so'\norigin = 'X'\n";
        assert!(parse(text).unwrap_err().to_string().ends_with("does not say what was there"));
        assert!(parse(&format!("{text}was = 2\n")).is_ok());
    }

    #[test]
    fn text_in_a_list_names_itself() {
        let part = applied("/required/a", Op::Remove, None).unwrap();
        assert_eq!(part["required"], json!(["b"]));
        let part = applied("/required/-", Op::Add, Some(json!("c"))).unwrap();
        assert_eq!(part["required"], json!(["a", "b", "c"]));
        let part = applied("/required/1", Op::Replace, Some(json!("c"))).unwrap();
        assert_eq!(part["required"], json!(["a", "c"]));
    }

    #[test]
    fn member_is_added_with_the_deviation_as_its_origin() {
        let part = applied("/properties/c", Op::Add, Some(json!({"type": "integer"}))).unwrap();
        assert_eq!(part["properties"]["c"]["type"], "integer");
        assert_eq!(part["properties"]["c"]["x-origin"]["place"], "X-1");
    }

    #[test]
    fn escaped_pointer_reaches_its_member() {
        assert_eq!(applied("/x~1y", Op::Remove, None).unwrap().get("x/y"), None);
    }

    #[test]
    fn patch_without_a_place_is_refused() {
        assert!(applied("/properties/b", Op::Remove, None).unwrap_err().contains("no /properties/b"));
        assert!(applied("/properties/b", Op::Replace, Some(json!(1))).is_err());
        assert!(applied("/properties/a", Op::Add, Some(json!(1))).unwrap_err().contains("already"));
        assert!(applied("/required/-", Op::Add, Some(json!("a"))).unwrap_err().contains("already"));
        assert!(applied("/nothing/a", Op::Add, Some(json!(1))).unwrap_err().contains("no /nothing"));
        assert!(applied("/required/7", Op::Remove, None).is_err());
        assert!(applied("", Op::Remove, None).is_err());
    }

    #[test]
    fn deviation_that_is_not_whole_is_refused() {
        let whole = "[[deviation]]\noperation = 'v.op'\nside = 'request'\nat = '/a'\nop = 'remove'\nwas = 1\n\
                     why = 'so'\norigin = 'X-1'\n";
        let expected = Deviation { was: Some(json!(1)), ..deviation("/a", Op::Remove, None) };
        assert_eq!(parse(whole).unwrap(), [expected]);
        for (from, to, fault) in [
            ("'so'", "' '", "does not say why"),
            ("'X-1'", "''", "names no origin"),
            ("'remove'\nwas = 1", "'add'", "has no value"),
            ("'remove'", "'add'\nvalue = 1", "adds, and says what was there"),
            ("was = 1", "", "does not say what was there"),
            ("op = 'remove'", "op = 'remove'\nvalue = 1", "removes, and has a value"),
            ("why =", "because =", "not well-formed"),
            ("'remove'", "'move'", "not well-formed"),
        ] {
            let error = parse(&whole.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(fault), "{from} -> {to}: {error}");
        }
    }
}
