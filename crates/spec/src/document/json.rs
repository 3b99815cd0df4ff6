//! JSON: read with equal keys refused, and the lines of its values.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Limits;
use super::error::{DocumentError, DocumentFault};
use super::marks::Marks;

/// Reads a text as JSON.
pub(super) fn read(text: &str, limits: &Limits) -> Result<Value, DocumentError> {
    let reading =
        Reading { left: Cell::new(limits.nodes), outwards: RefCell::default(), fault: RefCell::default() };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let outcome = Node(&reading).deserialize(&mut deserializer).and_then(|value| {
        deserializer.end()?;
        Ok(value)
    });
    outcome.map_err(|error| {
        let fault = reading.fault.into_inner().unwrap_or_else(|| {
            let message = error.to_string();
            // The position is shown in front of it.
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
            if message == "recursion limit exceeded" {
                DocumentFault::TooDeep
            } else {
                DocumentFault::Json(message.to_owned())
            }
        });
        let fault = match fault {
            DocumentFault::TooMany(_) => DocumentFault::TooMany(limits.nodes),
            fault => fault,
        };
        // Counted in bytes there, and 0 in front of a line.
        let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        let before = line.get(..error.column().saturating_sub(1)).unwrap_or(line);
        DocumentError::at(fault, error.line().max(1), before.chars().count() + 1)
            .under(&reading.outwards.into_inner())
    })
}

struct Reading {
    /// Values that may still come.
    left: Cell<usize>,
    /// After an error, the way from it to the root.
    outwards: RefCell<Vec<String>>,
    /// After an error that is not one of syntax, what it is.
    fault: RefCell<Option<DocumentFault>>,
}

impl Reading {
    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.fail(DocumentFault::TooMany(0))),
        }
    }

    fn fail<E: serde::de::Error>(&self, fault: DocumentFault) -> E {
        self.fault.replace(Some(fault));
        E::custom("")
    }
}

struct Node<'r>(&'r Reading);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.0.count()?;
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.0.count()?;
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.0.count()?;
        Ok(value.into())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.0.count()?;
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.0.count()?;
        Ok(value.into())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.0.count()?;
        Ok(value.into())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.0.count()?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.0.count()?;
        let mut items = Vec::new();
        loop {
            match access.next_element_seed(Node(self.0)) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return Ok(Value::Array(items)),
                Err(error) => {
                    self.0.outwards.borrow_mut().push(items.len().to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.0.count()?;
        let mut members = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if members.contains_key(&key) {
                return Err(self.0.fail(DocumentFault::Duplicate(key)));
            }
            match access.next_value_seed(Node(self.0)) {
                Ok(value) => drop(members.insert(key, value)),
                Err(error) => {
                    self.0.outwards.borrow_mut().push(key);
                    return Err(error);
                }
            }
        }
        Ok(Value::Object(members))
    }
}

/// The marks of a text that has been read.
pub(super) fn marks(text: &str) -> Option<Marks> {
    let lines: Vec<usize> =
        text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let start = text.len() - text.trim_start().len();
    Lines { text, lines }.marks(text.get(start..)?).ok()
}

/// Bytes of a line from which on columns are counted in bytes.
const LONG_LINE: usize = 4096;

struct Lines<'t> {
    text: &'t str,
    /// Where each line ends.
    lines: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// Goes no deeper than the text that was read, which is held to [`DEPTH`](super::DEPTH).
    fn marks(&self, json: &'t str) -> Result<Marks, serde_json::Error> {
        let (line, column) = self.spot(json)?;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        match json.as_bytes().first() {
            Some(b'[') => {
                let parts = deserializer.deserialize_seq(Parts)?;
                let parts = parts.iter().map(|(_, raw)| self.marks(raw.get()));
                Ok(Marks::tree(line, column, parts.collect::<Result<Vec<_>, _>>()?))
            }
            Some(b'{') => {
                let mut parts = deserializer.deserialize_map(Parts)?;
                parts.sort_by(|(one, _), (other, _)| one.cmp(other));
                let parts = parts.iter().map(|(_, raw)| self.marks(raw.get()));
                Ok(Marks::tree(line, column, parts.collect::<Result<Vec<_>, _>>()?))
            }
            _ => Ok(Marks::leaf(line, column)),
        }
    }

    /// The line and column of a part of the text.
    fn spot(&self, part: &str) -> Result<(u32, u32), serde_json::Error> {
        let outside = || serde_json::Error::custom("the text is too long for its lines to be counted");
        let at = (part.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize).ok_or_else(outside)?;
        let line = self.lines.partition_point(|end| *end < at);
        let start = line.checked_sub(1).and_then(|before| self.lines.get(before)).map_or(0, |end| end + 1);
        let before = self.text.get(start..at).ok_or_else(outside)?;
        // Counting to every value of a document on one line would take the square of its length.
        let column = if before.len() > LONG_LINE { before.len() } else { before.chars().count() };
        let counted = |number: usize| u32::try_from(number + 1).map_err(|_| outside());
        Ok((counted(line)?, counted(column)?))
    }
}

/// The parts of an array or object, unread. The parts of an array have no names.
struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = access.next_element()? {
            parts.push((String::new(), part));
        }
        Ok(parts)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = access.next_entry::<String, &RawValue>()? {
            parts.push(part);
        }
        Ok(parts)
    }
}
