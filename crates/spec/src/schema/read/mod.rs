//! Reading schemas of any dialect into the arena.

mod keywords;
mod lexicon;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::arena::Arena;
use super::node::Node;
use super::text::Automata;
use super::{SchemaError, SchemaId};
use crate::document::Dialect;
use crate::openapi::escape;
pub(crate) use lexicon::Lexicon;

/// How deep schemas may stand in each other. What lies deeper behind a reference is read by itself.
const DEEPEST: usize = 100;
/// From this depth on, the target of a reference is read later, by itself.
const DEFERRED_FROM: usize = 60;

type Read<T> = Result<T, SchemaError>;

/// A reading that is under way.
pub(super) struct Reader<'a> {
    arena: &'a mut Arena,
    automata: &'a mut Automata,
    lexicon: &'a mut Lexicon,
    root: Arc<Value>,
    /// Whether `format` demands anything.
    formats: bool,
    /// Where schemas were met first.
    places: &'a mut HashMap<SchemaId, Arc<str>>,
    /// The places that are being read, outermost first.
    chain: Vec<Opened>,
    /// References to places that wait to be read.
    deferred: Vec<(u32, String)>,
    /// The places that this reading has added to what is known.
    learned: Vec<String>,
    /// The place of the schema being read.
    at: String,
    depth: usize,
    /// How many steps into values (not merely into further schemas of the same value) were taken.
    descents: usize,
}

struct Opened {
    pointer: String,
    descents: usize,
    promise: Option<(u32, SchemaId)>,
}

impl Arena {
    /// The schema at a pointer.
    pub(crate) fn read(
        &mut self,
        automata: &mut Automata,
        lexicon: &mut Lexicon,
        places: &mut HashMap<SchemaId, Arc<str>>,
        formats: bool,
        pointer: &str,
    ) -> Read<SchemaId> {
        if let Some(known) = lexicon.known.get(pointer) {
            return Ok(*known);
        }
        let root = Arc::clone(&lexicon.root);
        let mut reader = Reader {
            arena: self,
            automata,
            lexicon,
            root,
            formats,
            places,
            chain: Vec::new(),
            deferred: Vec::new(),
            learned: Vec::new(),
            at: String::new(),
            depth: 0,
            descents: 0,
        };
        let read = reader.everything(pointer);
        if read.is_err() {
            // What was read meanwhile may refer to what could not be.
            for pointer in reader.learned {
                lexicon.known.remove(&pointer);
            }
        }
        read
    }
}

impl Reader<'_> {
    fn everything(&mut self, pointer: &str) -> Read<SchemaId> {
        let schema = self.place(pointer)?;
        while let Some((reference, pointer)) = self.deferred.pop() {
            let target = self.place(&pointer)?;
            self.arena.keep_promise(reference, target);
        }
        Ok(schema)
    }

    /// The schema at a pointer, which is remembered.
    fn place(&mut self, pointer: &str) -> Read<SchemaId> {
        if let Some(known) = self.lexicon.known.get(pointer) {
            return Ok(*known);
        }
        let descents = self.descents;
        if let Some(index) = self.chain.iter().position(|opened| opened.pointer == pointer) {
            return self.again(index);
        }
        let root = Arc::clone(&self.root);
        let Some(value) = root.pointer(pointer) else {
            return Err(self.error(None, format!("no schema stands at {pointer:?} of this document")));
        };
        self.chain.push(Opened { pointer: pointer.to_owned(), descents, promise: None });
        let outer = std::mem::replace(&mut self.at, pointer.to_owned());
        let schema = self.schema(value)?;
        self.at = outer;
        let opened = self.chain.pop();
        if let Some((reference, _)) = opened.and_then(|opened| opened.promise) {
            self.arena.keep_promise(reference, schema);
        }
        let schema = self.arena.low(schema);
        self.lexicon.known.insert(pointer.to_owned(), schema);
        self.learned.push(pointer.to_owned());
        Ok(schema)
    }

    /// A reference to a place that is being read.
    fn again(&mut self, index: usize) -> Read<SchemaId> {
        let opened = self.chain.get(index).map(|opened| (opened.descents, opened.promise));
        match opened {
            Some((descents, _)) if descents == self.descents => {
                let names: Vec<_> =
                    self.chain.iter().skip(index).map(|opened| format!("#{}", opened.pointer)).collect();
                let first = names.first().cloned().unwrap_or_default();
                Err(self.error(
                    Some("$ref"),
                    format!("circular reference that reaches no schema: {} → {first}", names.join(" → ")),
                ))
            }
            Some((_, Some((_, schema)))) => Ok(schema),
            _ => {
                let promise = self.arena.promise();
                if let Some(opened) = self.chain.get_mut(index) {
                    opened.promise = Some(promise);
                }
                Ok(promise.1)
            }
        }
    }

    /// The target of a reference that stands at `self.at`.
    fn referred(&mut self, reference: &str) -> Read<SchemaId> {
        if let Some(place) = self.embedded() {
            let message = format!("a reference below {place}, which has an $id of its own, is not followed");
            return Err(self.error(Some("$ref"), message));
        }
        let pointer = self.lexicon.resolve(reference).map_err(|message| self.error(Some("$ref"), message))?;
        let known = self.lexicon.known.contains_key(&pointer)
            || self.chain.iter().any(|opened| opened.pointer == pointer);
        if !known && self.root.pointer(&pointer).is_none() {
            return Err(self.error(Some("$ref"), format!("the reference {reference:?} leads nowhere")));
        }
        if !known && self.depth >= DEFERRED_FROM {
            let (reference, schema) = self.arena.promise();
            self.deferred.push((reference, pointer));
            return Ok(schema);
        }
        self.place(&pointer)
    }

    /// The place around this one, the root apart, that is a document of its own within the document.
    fn embedded(&self) -> Option<&str> {
        let ends = self.at.match_indices('/').map(|(index, _)| index).skip(1).chain([self.at.len()]);
        ends.filter(|end| *end > 0).find_map(|end| {
            let place = self.at.get(..end)?;
            let id = self.root.pointer(place)?.get("$id")?.as_str()?;
            (!id.starts_with('#')).then_some(place)
        })
    }

    /// The schema that is `value`, at `self.at`.
    fn schema(&mut self, value: &Value) -> Read<SchemaId> {
        if self.depth >= DEEPEST {
            return Err(self.error(None, format!("schemas stand in each other more than {DEEPEST} deep")));
        }
        self.depth += 1;
        let schema = match value {
            Value::Bool(true) => Ok(Arena::ALWAYS),
            Value::Bool(false) => Ok(Arena::NEVER),
            Value::Object(members) => self.object(members),
            _ => Err(self.error(None, "a schema is an object or a boolean".to_owned())),
        };
        self.depth -= 1;
        let schema = schema?;
        self.remember(schema);
        Ok(schema)
    }

    fn remember(&mut self, schema: SchemaId) {
        if !self.places.contains_key(&schema) {
            self.places.insert(schema, Arc::from(self.at.as_str()));
        }
    }

    fn object(&mut self, members: &Map<String, Value>) -> Read<SchemaId> {
        let dialect = self.lexicon.dialect;
        let mut parts = Vec::new();
        if let Some(reference) = members.get("$ref") {
            let Some(reference) = reference.as_str() else {
                return Err(self.error(Some("$ref"), "a reference is a string".to_owned()));
            };
            let target = self.referred(reference)?;
            if matches!(dialect, Dialect::OpenApi30 | Dialect::Draft07) {
                return Ok(target);
            }
            parts.push(target);
        }
        if let Some(reference) = members.get("$dynamicRef").and_then(Value::as_str)
            && is_modern(dialect)
        {
            // Within one document a dynamic anchor stands once, so that it is as good as any other.
            let target = self.referred(reference)?;
            parts.push(target);
        }
        self.types_and_values(members, &mut parts)?;
        self.numbers(members, &mut parts)?;
        self.texts(members, &mut parts)?;
        self.arrays(members, &mut parts)?;
        self.objects(members, &mut parts)?;
        self.logic(members, &mut parts)?;
        if is_modern(dialect) {
            self.unevaluated(members, &mut parts)?;
        }
        let schema = self.arena.all(parts);
        Ok(if dialect == Dialect::OpenApi30 { self.with_null(members, schema) } else { schema })
    }

    /// The schema below a keyword, for the same value.
    fn beside(&mut self, keyword: &str, value: &Value) -> Read<SchemaId> {
        let length = self.at.len();
        self.at.push('/');
        self.at.push_str(keyword);
        let schema = self.schema(value);
        if schema.is_ok() {
            self.at.truncate(length);
        }
        schema
    }

    /// The schema below a keyword, for what lies within the value.
    fn within(&mut self, keyword: &str, value: &Value) -> Read<SchemaId> {
        self.descents += 1;
        let schema = self.beside(keyword, value);
        self.descents -= 1;
        schema
    }

    /// The schemas below a keyword whose value is a list of schemas.
    fn list(&mut self, keyword: &str, value: &Value) -> Read<Vec<SchemaId>> {
        let Some(items) = value.as_array() else {
            return Err(self.error(Some(keyword), format!("{keyword} is a list of schemas")));
        };
        items
            .iter()
            .enumerate()
            .map(|(index, item)| self.beside(&format!("{keyword}/{index}"), item))
            .collect()
    }

    /// The schemas below a keyword whose value is a map of schemas.
    fn map<'v>(&mut self, keyword: &str, value: &'v Value) -> Read<Vec<(&'v str, SchemaId)>> {
        let Some(members) = value.as_object() else {
            return Err(self.error(Some(keyword), format!("{keyword} is a map of schemas")));
        };
        members
            .iter()
            .map(|(name, value)| {
                Ok((name.as_str(), self.within(&format!("{keyword}/{}", escape(name)), value)?))
            })
            .collect()
    }

    fn atom(&mut self, node: Node, parts: &mut Vec<SchemaId>) {
        let atom = self.arena.intern(node);
        self.remember(atom);
        parts.push(atom);
    }

    fn error(&self, keyword: Option<&str>, message: String) -> SchemaError {
        let pointer = match keyword {
            Some(keyword) => format!("{}/{keyword}", self.at),
            None => self.at.clone(),
        };
        SchemaError { pointer, message }
    }
}

/// Whether keywords are those of 2020-12.
fn is_modern(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OpenApi31 | Dialect::Draft202012)
}
