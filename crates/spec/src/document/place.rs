use std::fmt;

use serde_json::Value;

use super::files::{decoded, encoded};
use super::{Document, Line, child, tokens};

/// References that may follow one another before a target is reached.
const HOPS: usize = 64;

/// A value of a document, with where it stands.
///
/// ```
/// use fleetwire_spec::document::Document;
///
/// let text = b"{openapi: 3.0.3, paths: {/beat: {$ref: '#/components/x'}}, components: {x: {get: {}}}}";
/// let document = Document::parse("beat.yaml", text)?;
/// let item = document.at("/paths/~1beat").expect("it is there").resolved()?;
/// assert_eq!(item.pointer(), "/components/x");
/// assert_eq!(item.members().next().map(|(method, _)| method), Some("get"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Place<'a> {
    document: &'a Document,
    value: &'a Value,
    pointer: String,
}

impl<'a> Place<'a> {
    pub(super) fn root(document: &'a Document) -> Self {
        Self { document, value: &document.root, pointer: String::new() }
    }

    pub(super) fn at(document: &'a Document, pointer: &str) -> Option<Self> {
        let value = document.root.pointer(pointer)?;
        Some(Self { document, value, pointer: pointer.to_owned() })
    }

    /// The document.
    #[must_use]
    pub const fn document(&self) -> &'a Document {
        self.document
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &'a Value {
        self.value
    }

    /// Its JSON pointer.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Its line.
    #[must_use]
    pub fn line(&self) -> Option<Line> {
        self.document.line(&self.pointer)
    }

    /// A member, or an item by its number. No reference is followed: see [`Self::resolved`].
    #[must_use]
    pub fn get(&self, token: &str) -> Option<Self> {
        let value = match self.value {
            Value::Object(members) => members.get(token)?,
            Value::Array(items) => items.get(token.parse::<usize>().ok()?)?,
            _ => return None,
        };
        Some(Self { document: self.document, value, pointer: child(&self.pointer, token) })
    }

    /// The text that a member is, if it is one.
    #[must_use]
    pub fn text(&self, member: &str) -> Option<&'a str> {
        self.value.get(member)?.as_str()
    }

    /// The items, if it is a list; none otherwise.
    pub fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let (document, pointer) = (self.document, self.pointer.clone());
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(move |(place, value)| Self {
            document,
            value,
            pointer: child(&pointer, &place.to_string()),
        })
    }

    /// The members by their names, if it is an object; none otherwise.
    pub fn members(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let (document, pointer) = (self.document, self.pointer.clone());
        let members = self.value.as_object().into_iter().flatten();
        members.map(move |(name, value)| {
            (name.as_str(), Self { document, value, pointer: child(&pointer, name) })
        })
    }

    /// What it refers to by `$ref`, over any number of references; itself, if it is none. What stands beside a
    /// reference is left behind.
    ///
    /// # Errors
    /// A reference leads nowhere, onto a network, or in a circle.
    pub fn resolved(&self) -> Result<Self, ReferenceError> {
        let mut place = self.clone();
        let mut seen = vec![place.pointer.clone()];
        while let Some(target) = place.text("$ref") {
            let next = place.follow(target)?;
            if seen.contains(&next.pointer) || seen.len() > HOPS {
                return Err(place.error(target, "leads in a circle".to_owned()));
            }
            seen.push(next.pointer.clone());
            place = next;
        }
        Ok(place)
    }

    /// The place that a reference leads to which stands here, such as `#/components/schemas/Agent`.
    ///
    /// # Errors
    /// It leads nowhere or onto a network.
    pub fn follow(&self, target: &str) -> Result<Self, ReferenceError> {
        let (base, fragment) = target.split_once('#').unwrap_or((target, ""));
        let Some(fragment) = decoded(fragment) else {
            return Err(self.error(target, "is no reference: its percent signs are no UTF-8".to_owned()));
        };
        let start = if base.is_empty() {
            self.base()
        } else {
            match self.document.named(base) {
                Some(pointer) => pointer.to_owned(),
                None => return Err(self.error(target, self.document.why_missing(base))),
            }
        };
        if !fragment.is_empty() && !fragment.starts_with('/') {
            let pointer = self.document.named(&format!("#{fragment}"));
            return match pointer.and_then(|pointer| Self::at(self.document, pointer)) {
                Some(place) => Ok(place),
                None => Err(self.error(target, "leads nowhere: no schema has that `$anchor`".to_owned())),
            };
        }
        // Documents are met whose references count from the root although a schema around them has an `$id`.
        let inner = Self::at(self.document, &format!("{start}{fragment}"));
        match inner.or_else(|| Self::at(self.document, &fragment).filter(|_| base.is_empty())) {
            Some(place) => Ok(place),
            None => Err(self.error(target, self.nearest(&start, &fragment))),
        }
    }

    /// The innermost schema around this place that has an `$id` of its own, as a pointer.
    fn base(&self) -> String {
        let mut base = String::new();
        if self.document.dialect == super::Dialect::OpenApi30 {
            return base;
        }
        let mut pointer = String::new();
        let mut value: &Value = &self.document.root;
        for token in tokens(&self.pointer) {
            let next = match value {
                Value::Object(members) => members.get(&token),
                Value::Array(items) => token.parse::<usize>().ok().and_then(|place| items.get(place)),
                _ => None,
            };
            let Some(next) = next else { break };
            value = next;
            pointer = child(&pointer, &token);
            if value.get("$id").and_then(Value::as_str).is_some_and(|id| !id.starts_with('#')) {
                base.clone_from(&pointer);
            }
        }
        base
    }

    /// That a pointer leads nowhere, with the name that comes nearest to what is missing.
    fn nearest(&self, start: &str, fragment: &str) -> String {
        let mut pointer = start.to_owned();
        for token in tokens(fragment) {
            let next = child(&pointer, &token);
            if self.document.root.pointer(&next).is_some() {
                pointer = next;
                continue;
            }
            let names = self.document.root.pointer(&pointer).and_then(Value::as_object);
            let near = names
                .into_iter()
                .flat_map(serde_json::Map::keys)
                .map(|name| (strsim::damerau_levenshtein(&name.to_lowercase(), &token.to_lowercase()), name));
            let near = near.min().filter(|(distance, _)| *distance * 2 <= token.chars().count());
            return match near {
                Some((_, name)) => {
                    format!("leads nowhere; the nearest is `#{}`", encoded(&child(&pointer, name)))
                }
                None if pointer.is_empty() => format!("leads nowhere: there is no `{token}`"),
                None => format!("leads nowhere: there is no `{token}` in `#{}`", encoded(&pointer)),
            };
        }
        "leads nowhere".to_owned()
    }

    fn error(&self, target: &str, why: String) -> ReferenceError {
        ReferenceError { pointer: self.pointer.clone(), target: target.to_owned(), why, line: self.line() }
    }
}

impl Document {
    fn why_missing(&self, base: &str) -> String {
        if let Some(why) = self.parts.missing.get(base) {
            return format!("leads nowhere: {why}");
        }
        if base.starts_with("http://") || base.starts_with("https://") {
            return "leads onto a network, and nothing is fetched from there".to_owned();
        }
        if base.contains(':') {
            return "leads nowhere: no schema has that `$id`".to_owned();
        }
        "leads nowhere: no such file, and no schema has that `$id`".to_owned()
    }
}

/// A reference that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReferenceError {
    /// The object that the reference stands in, as a JSON pointer.
    pub pointer: String,
    /// The reference as it is written.
    pub target: String,
    /// Why it leads nowhere, and what comes near to it.
    pub why: String,
    /// Where it stands.
    pub line: Option<Line>,
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = &self.line {
            write!(f, "{line}: ")?;
        }
        write!(f, "the reference `{}` {}, at {}", self.target, self.why, self.pointer)
    }
}

impl std::error::Error for ReferenceError {}
