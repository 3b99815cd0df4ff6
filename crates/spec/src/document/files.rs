//! The files that a document consists of: read, and put together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File as OpenFile;
use std::io::{self, Read};
use std::path::{Component, Path};

use serde_json::{Map, Value};

use super::error::{DocumentError, DocumentFault};
use super::{DEPTH, FILES, File, Limits, child, read_file};

/// Members whose values are objects of names.
const NAMED: [&str; 25] = [
    "$defs",
    "callbacks",
    "content",
    "definitions",
    "dependencies",
    "dependentSchemas",
    "encoding",
    "examples",
    "headers",
    "links",
    "mapping",
    "mediaTypes",
    "parameters",
    "pathItems",
    "paths",
    "patternProperties",
    "properties",
    "requestBodies",
    "responses",
    "schemas",
    "scopes",
    "securitySchemes",
    "variables",
    "webhooks",
    FILES,
];

/// Members whose values are data, not part of the document's structure.
const DATA: [&str; 6] = ["const", "default", "enum", "example", "required", "value"];

/// Bytes of a file, no more of them than the limit allows and one.
pub(super) fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, DocumentFault> {
    let unreadable = DocumentFault::Unreadable;
    if path.is_dir() {
        return Err(unreadable(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    let mut bytes = Vec::new();
    let file = OpenFile::open(path).map_err(unreadable)?;
    file.take(limits.bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limits.bytes {
        return Err(DocumentFault::TooLong(limits.bytes));
    }
    Ok(bytes)
}

/// Bytes of another file. Links that lead out of the folder are not followed.
pub(super) fn read_beneath(folder: &Path, name: &str, limits: &Limits) -> Result<Vec<u8>, String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let cannot = |error: io::Error| format!("{name} cannot be read: {error}");
    let path = folder.join(name).canonicalize().map_err(cannot)?;
    if !path.starts_with(folder.canonicalize().map_err(cannot)?) {
        return Err(format!("{name} leads out of the folder of the document"));
    }
    read(&path, limits).map_err(|fault| format!("{name} {fault}"))
}

/// What stands in the place of a node.
#[derive(Clone, Copy, PartialEq)]
enum Keys {
    /// Its keys are keywords.
    Words,
    /// Its keys are names.
    Names,
    /// Its keys are names, and its values may be references that are mere texts: the mapping of a discriminator.
    Mapping,
}

/// Every `$ref` of a document, with the pointer of the object that it stands in. What looks like one in an example,
/// a default or an extension is data.
#[must_use]
pub fn references(value: &Value) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    walk(value, Keys::Words, "", 0, &mut |pointer, keys, target| {
        if keys == Keys::Words {
            found.push((pointer.to_owned(), target));
        }
    });
    found
}

fn walk<'v>(
    value: &'v Value,
    keys: Keys,
    pointer: &str,
    depth: usize,
    visit: &mut impl FnMut(&str, Keys, &'v str),
) {
    // Files within files make a document a few levels deeper than one file may be.
    if depth > 2 * DEPTH {
        return;
    }
    match value {
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                walk(item, Keys::Words, &child(pointer, &place.to_string()), depth + 1, visit);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                match keys {
                    Keys::Words if key == "$ref" => {
                        if let Value::String(target) = member {
                            visit(pointer, keys, target);
                        }
                    }
                    Keys::Words if is_data(key, member) => {}
                    Keys::Words => {
                        let keys = match key.as_str() {
                            "mapping" => Keys::Mapping,
                            key if NAMED.contains(&key) => Keys::Names,
                            _ => Keys::Words,
                        };
                        walk(member, keys, &child(pointer, key), depth + 1, visit);
                    }
                    Keys::Names => walk(member, Keys::Words, &child(pointer, key), depth + 1, visit),
                    Keys::Mapping => {
                        if let Value::String(target) = member {
                            visit(&child(pointer, key), keys, target);
                        }
                    }
                }
            }
        }
        _ => {}
    }
}

fn is_data(key: &str, member: &Value) -> bool {
    DATA.contains(&key) || (key == "examples" && member.is_array()) || (key.starts_with("x-") && key != FILES)
}

/// Pointers of what has an `$anchor` or `$id`, by `#anchor` or by id.
pub(super) fn named(value: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    name(value, Keys::Words, "", 0, &mut found);
    found
}

fn name(value: &Value, keys: Keys, pointer: &str, depth: usize, found: &mut BTreeMap<String, String>) {
    if depth > 2 * DEPTH {
        return;
    }
    match value {
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                name(item, Keys::Words, &child(pointer, &place.to_string()), depth + 1, found);
            }
        }
        Value::Object(members) => {
            if keys == Keys::Words {
                let text = |key| members.get(key).and_then(Value::as_str);
                let anchors = ["$anchor", "$dynamicAnchor"].into_iter().filter_map(text);
                let anchors = anchors.map(|anchor| format!("#{anchor}"));
                let ids = text("$id").map(|id| id.strip_suffix('#').unwrap_or(id).to_owned());
                for key in anchors.chain(ids) {
                    found.entry(key).or_insert_with(|| pointer.to_owned());
                }
            }
            for (key, member) in members {
                if keys == Keys::Words && is_data(key, member) {
                    continue;
                }
                let named = keys == Keys::Words && NAMED.contains(&key.as_str());
                let keys = if named { Keys::Names } else { Keys::Words };
                name(member, keys, &child(pointer, key), depth + 1, found);
            }
        }
        _ => {}
    }
}

type Gathered = (Vec<(String, File)>, BTreeMap<String, String>);

/// Puts the files that a document refers to into it, and turns the references to them into ones within it.
pub(super) fn gather(
    root: &mut Value,
    main: &str,
    limits: &Limits,
    fetch: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
) -> Result<Gathered, DocumentError> {
    let (folder, own) = main.rsplit_once('/').map_or(("", main), |(folder, own)| (folder, own));
    let ids = named(root);
    let mut gathering = Gathering {
        own,
        ids: ids.into_keys().collect(),
        folder,
        limits,
        fetch,
        values: Map::new(),
        files: Vec::new(),
        missing: BTreeMap::new(),
        waiting: Vec::new(),
    };
    gathering.follow(root, None)?;
    while let Some(file) = gathering.waiting.pop() {
        let Some(mut value) = gathering.values.get_mut(&file).map(Value::take) else { continue };
        gathering.follow(&mut value, Some(&file))?;
        gathering.values.insert(file, value);
    }
    let Gathering { values, files, missing, .. } = gathering;
    if let (false, Value::Object(members)) = (values.is_empty(), root) {
        members.insert(FILES.to_owned(), Value::Object(values));
    }
    Ok((files, missing))
}

struct Gathering<'a> {
    /// The name of the document's own file in its folder.
    own: &'a str,
    /// Names that schemas of the document give themselves.
    ids: BTreeSet<String>,
    folder: &'a str,
    limits: &'a Limits,
    fetch: &'a mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
    values: Map<String, Value>,
    files: Vec<(String, File)>,
    missing: BTreeMap<String, String>,
    waiting: Vec<String>,
}

impl Gathering<'_> {
    /// Turns the references of one file into ones within the document.
    fn follow(&mut self, value: &mut Value, file: Option<&str>) -> Result<(), DocumentError> {
        let mut places = Vec::new();
        walk(value, Keys::Words, "", 0, &mut |pointer, keys, target| {
            places.push((pointer.to_owned(), keys, target.to_owned()));
        });
        for (pointer, keys, target) in places {
            let target = match (keys, file) {
                (Keys::Mapping, Some(_)) if value.pointer(&component(&target)).is_some() => {
                    format!("#{}", component(&target))
                }
                (Keys::Mapping, None) if !target.contains(['#', '/', '.']) => continue,
                _ => target,
            };
            let Some(rewritten) = self.rewritten(&target, file, value)? else { continue };
            let place = match keys {
                Keys::Mapping => value.pointer_mut(&pointer),
                _ => value.pointer_mut(&format!("{pointer}/$ref")),
            };
            if let Some(place) = place {
                *place = Value::String(rewritten);
            }
        }
        Ok(())
    }

    /// A reference as it is written within the whole document; none if it stays as it is.
    fn rewritten(
        &mut self,
        target: &str,
        from: Option<&str>,
        own: &Value,
    ) -> Result<Option<String>, DocumentError> {
        let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
        if path.contains(':') || self.ids.contains(path) && !path.is_empty() {
            return Ok(None);
        }
        let file = if path.is_empty() {
            match from {
                Some(from) => from.to_owned(),
                None => return Ok(None),
            }
        } else {
            let folder = from.and_then(|from| Some(from.rsplit_once('/')?.0)).unwrap_or_default();
            let Some(file) = decoded(path).and_then(|path| joined(folder, &path)) else {
                let why = format!("{path} leads out of the folder of the document");
                self.missing.insert(path.to_owned(), why);
                return Ok(None);
            };
            file
        };
        if file == self.own {
            return Ok(Some(format!("#{fragment}")));
        }
        if from != Some(file.as_str()) && !self.values.contains_key(&file) {
            match (self.fetch)(&file) {
                Ok(bytes) => {
                    let name = match self.folder {
                        "" => file.clone(),
                        folder => format!("{folder}/{file}"),
                    };
                    let (value, read) = read_file(&name, &bytes, self.limits)?;
                    self.values.insert(file.clone(), value);
                    self.files.push((format!("{}{}", child("", FILES), child("", &file)), read));
                    self.waiting.push(file.clone());
                }
                Err(why) => {
                    self.missing.insert(path.to_owned(), why);
                    return Ok(None);
                }
            }
        }
        let fragment = if fragment.is_empty() || fragment.starts_with('/') {
            fragment.to_owned()
        } else {
            let there = if from == Some(file.as_str()) { Some(own) } else { self.values.get(&file) };
            match there.and_then(|there| named(there).remove(&format!("#{fragment}"))) {
                Some(pointer) => encoded(&pointer),
                None => return Ok(None),
            }
        };
        Ok(Some(format!("#{}{}{fragment}", child("", FILES), encoded(&child("", &file)))))
    }
}

/// The pointer of the component that a mapping names.
fn component(name: &str) -> String {
    child("/components/schemas", name)
}

/// A path within the folder of the document; none if it leads out of it.
fn joined(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// A part of a URI without its percent signs.
pub(super) fn decoded(part: &str) -> Option<String> {
    percent_encoding::percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A pointer as it stands in a URI.
pub(super) fn encoded(pointer: &str) -> String {
    const PLAIN: percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b'/')
        .remove(b'$');
    percent_encoding::utf8_percent_encode(pointer, &PLAIN).to_string()
}
