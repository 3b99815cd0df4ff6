//! YAML 1.2 with the core schema: `no` and `on` are texts, and so are dates. Merge keys (`<<`), which are of YAML
//! 1.1, are followed, because documents are written with them and no name of ours is called so.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::{Map, Number, Value};

use super::error::{DocumentError, DocumentFault};
use super::marks::Marks;
use super::{DEPTH, Limits};

/// Reads a text as YAML, with the lines of its values.
pub(super) fn read(text: &str, limits: &Limits) -> Result<(Value, Marks), DocumentError> {
    let mut options = granit_parser::options! {
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
    };
    options.set_emit_comments(false);
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        left: limits.nodes,
        limits,
        outwards: Vec::new(),
    };
    reader.document().map_err(|error| error.under(&reader.outwards))
}

/// A value with its marks and the number of levels in it.
#[derive(Debug)]
struct Node {
    value: Value,
    marks: Marks,
    levels: usize,
}

struct Reader<'t> {
    events: Parser<'t, granit_parser::StrInput<'t>>,
    /// What aliases stand for; nothing while it is being read.
    anchors: HashMap<usize, Option<Kept>>,
    /// Values that may still come.
    left: usize,
    limits: &'t Limits,
    /// After an error, the way from it to the root.
    outwards: Vec<String>,
}

struct Kept {
    value: Value,
    marks: Marks,
    levels: usize,
}

type Next<'t> = (Event<'t>, Marker);

impl<'t> Reader<'t> {
    fn document(&mut self) -> Result<(Value, Marks), DocumentError> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::StreamEnd, _) => return Err(DocumentError::new(DocumentFault::Empty)),
                event => {
                    let node = self.node(event, 0)?;
                    loop {
                        match self.next()? {
                            (Event::StreamEnd, _) => return Ok((node.value, node.marks)),
                            (Event::DocumentStart(..), at) => {
                                return Err(fault("a second document begins here", at));
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }

    fn next(&mut self) -> Result<Next<'t>, DocumentError> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start)),
            Some(Err(error)) => {
                let at = error.marker();
                let what = match error.kind() {
                    ErrorKind::RecursionLimitExceeded => DocumentFault::TooDeep,
                    _ => DocumentFault::Yaml(error.info()),
                };
                Err(DocumentError::at(what, at.line().max(1), at.col() + 1))
            }
            None => Ok((Event::StreamEnd, Marker::default())),
        }
    }

    fn node(&mut self, (event, at): Next<'t>, depth: usize) -> Result<Node, DocumentError> {
        if depth >= DEPTH && matches!(event, Event::SequenceStart(..) | Event::MappingStart(..)) {
            return Err(located(DocumentFault::TooDeep, at));
        }
        if !matches!(event, Event::Alias(_)) {
            self.count(1, at)?;
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref(), at)?, anchor),
            Event::SequenceStart(_, anchor, tag) => {
                tagged(tag.as_deref(), "seq", at)?;
                self.anchors.insert(anchor, None);
                (self.sequence(at, depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                tagged(tag.as_deref(), "map", at)?;
                self.anchors.insert(anchor, None);
                (self.mapping(at, depth)?, anchor)
            }
            Event::Alias(anchor) => (self.alias(anchor, at, depth)?, 0),
            _ => return Err(fault("a value is missing", at)),
        };
        if anchor != 0 {
            let Node { value, marks, levels, .. } = &node;
            self.count(marks.len(), at)?;
            let kept = Kept { value: value.clone(), marks: marks.clone(), levels: *levels };
            self.anchors.insert(anchor, Some(kept));
        }
        Ok(node)
    }

    fn count(&mut self, values: usize, at: Marker) -> Result<(), DocumentError> {
        let too_many = || located(DocumentFault::TooMany(self.limits.nodes), at);
        self.left = self.left.checked_sub(values).ok_or_else(too_many)?;
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Marker, depth: usize) -> Result<Node, DocumentError> {
        let Some(Some(kept)) = self.anchors.get(&anchor) else {
            return Err(fault("an alias stands within what it is an alias of", at));
        };
        if depth + kept.levels > DEPTH {
            return Err(located(DocumentFault::TooDeep, at));
        }
        // Before it is copied: aliases of aliases grow without bounds.
        let values = kept.marks.len();
        self.count(values, at)?;
        let Some(Some(Kept { value, marks, levels })) = self.anchors.get(&anchor) else {
            return Err(fault("an alias of nothing", at));
        };
        let (line, column) = position(at)?;
        let marks = marks.clone().moved(line, column);
        Ok(Node { value: value.clone(), marks, levels: *levels })
    }

    fn sequence(&mut self, at: Marker, depth: usize) -> Result<Node, DocumentError> {
        let (mut items, mut parts, mut levels) = (Vec::new(), Vec::new(), 0);
        loop {
            let event = self.next()?;
            if matches!(event.0, Event::SequenceEnd) {
                break;
            }
            let node =
                self.node(event, depth + 1).inspect_err(|_| self.outwards.push(items.len().to_string()))?;
            items.push(node.value);
            parts.push(node.marks);
            levels = levels.max(node.levels);
        }
        let (line, column) = position(at)?;
        let marks = Marks::tree(line, column, parts);
        Ok(Node { value: Value::Array(items), marks, levels: levels + 1 })
    }

    fn mapping(&mut self, at: Marker, depth: usize) -> Result<Node, DocumentError> {
        let mut members: Map<String, Value> = Map::new();
        let mut parts: HashMap<String, Marks> = HashMap::new();
        let mut merged = Vec::new();
        let mut levels = 0;
        loop {
            let event = self.next()?;
            if matches!(event.0, Event::MappingEnd) {
                break;
            }
            let key_at = event.1;
            let (key, merges) = self.key(event)?;
            let event = self.next().inspect_err(|_| self.outwards.push(key.clone()))?;
            let value_at = event.1;
            let node = self.node(event, depth + 1).inspect_err(|_| self.outwards.push(key.clone()))?;
            levels = levels.max(node.levels);
            if merges {
                if !merged.is_empty() {
                    return Err(located(DocumentFault::Duplicate(key), key_at));
                }
                merged.push((node, value_at));
                continue;
            }
            let (line, column) = position(key_at)?;
            if members.insert(key.clone(), node.value).is_some() {
                return Err(located(DocumentFault::Duplicate(key), key_at));
            }
            parts.insert(key, node.marks.moved(line, column));
        }
        for (node, at) in merged {
            self.merge(node, at, &mut members, &mut parts)?;
        }
        let (line, column) = position(at)?;
        // By key, as the members are.
        let parts = members.keys().map(|key| parts.remove(key).unwrap_or_else(|| Marks::leaf(line, column)));
        let marks = Marks::tree(line, column, parts.collect::<Vec<_>>());
        Ok(Node { value: Value::Object(members), marks, levels: levels + 1 })
    }

    /// The key of a member, and whether it is a merge key.
    fn key(&mut self, (event, at): Next<'t>) -> Result<(String, bool), DocumentError> {
        match event {
            // A status that is written without quotes is a name like any other.
            Event::Scalar(text, style, anchor, _) => {
                if anchor != 0 {
                    let (line, column) = position(at)?;
                    let value = Value::String(text.clone().into_owned());
                    let kept = Kept { value, marks: Marks::leaf(line, column), levels: 0 };
                    self.anchors.insert(anchor, Some(kept));
                }
                let merges = style == ScalarStyle::Plain && text == "<<";
                Ok((text.into_owned(), merges))
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(Some(Kept { value: Value::String(text), .. })) => Ok((text.clone(), false)),
                _ => Err(fault("a key is an alias of something that is no text", at)),
            },
            _ => Err(fault("a key is a list or an object, which JSON does not have", at)),
        }
    }

    /// Puts what `<<` refers to beside the members that are written out, which win, as the first of several does.
    fn merge(
        &mut self,
        node: Node,
        at: Marker,
        members: &mut Map<String, Value>,
        parts: &mut HashMap<String, Marks>,
    ) -> Result<(), DocumentError> {
        let objects = match node.value {
            Value::Array(items) => items,
            object => vec![object],
        };
        let (line, column) = position(at)?;
        for object in objects {
            let Value::Object(object) = object else {
                return Err(fault("`<<` refers to something that is no object", at));
            };
            for (key, value) in object {
                if !members.contains_key(&key) {
                    parts.insert(key.clone(), everywhere(&value, line, column));
                    members.insert(key, value);
                }
            }
        }
        Ok(())
    }
}

/// Marks of a value that all stand at one place.
fn everywhere(value: &Value, line: u32, column: u32) -> Marks {
    match value {
        Value::Array(items) => {
            Marks::tree(line, column, items.iter().map(|item| everywhere(item, line, column)))
        }
        Value::Object(members) => {
            Marks::tree(line, column, members.values().map(|member| everywhere(member, line, column)))
        }
        _ => Marks::leaf(line, column),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Marker) -> Result<Node, DocumentError> {
    let value = match tag {
        None if style == ScalarStyle::Plain => resolved(text, at)?,
        None => Value::from(text),
        Some(tag) if tag.is_yaml_core_schema_tag("str") || tag.parts() == ("", "!") => Value::from(text),
        Some(tag) if tag.is_yaml_core_schema() => {
            let value = resolved(text, at)?;
            let holds = match &value {
                Value::Null => tag.is_yaml_core_schema_tag("null"),
                Value::Bool(_) => tag.is_yaml_core_schema_tag("bool"),
                Value::Number(number) => {
                    tag.is_yaml_core_schema_tag("float")
                        || (!number.is_f64() && tag.is_yaml_core_schema_tag("int"))
                }
                _ => false,
            };
            if !holds {
                return Err(fault(&format!("`{text}` is not what its tag says"), at));
            }
            value
        }
        Some(tag) => return Err(unknown_tag(tag, at)),
    };
    let (line, column) = position(at)?;
    Ok(Node { value, marks: Marks::leaf(line, column), levels: 0 })
}

fn tagged(tag: Option<&Tag>, suffix: &str, at: Marker) -> Result<(), DocumentError> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema_tag(suffix) => Err(unknown_tag(tag, at)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, at: Marker) -> DocumentError {
    let (handle, suffix) = tag.parts();
    fault(&format!("the tag `{handle}{suffix}` has no meaning in JSON"), at)
}

/// What a plain scalar is in the core schema.
fn resolved(text: &str, at: Marker) -> Result<Value, DocumentError> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match number(text, at)? {
            Some(number) => Value::Number(number),
            None => Value::from(text),
        },
    })
}

fn number(text: &str, at: Marker) -> Result<Option<Number>, DocumentError> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(fault(&format!("JSON has no number `{text}`"), at));
    }
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|digit| digit.is_digit(radix))
        {
            let number = u64::from_str_radix(digits, radix)
                .map_err(|_| fault(&format!("the number `{text}` is too large"), at))?;
            return Ok(Some(number.into()));
        }
    }
    if !is_decimal(unsigned) {
        return Ok(None);
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = text.parse::<u64>() {
        return Ok(Some(whole.into()));
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Ok(Some(whole.into()));
    }
    match text.parse::<f64>().ok().and_then(Number::from_f64) {
        Some(number) => Ok(Some(number)),
        None => Err(fault(&format!("the number `{text}` is too large"), at)),
    }
}

/// Digits with at most one point, and then perhaps an exponent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(part)
        && !(whole.is_empty() && part.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

fn position(at: Marker) -> Result<(u32, u32), DocumentError> {
    let counted = |number: usize| {
        u32::try_from(number).map_err(|_| fault("the text is too long for its lines to be counted", at))
    };
    Ok((counted(at.line())?, counted(at.col() + 1)?))
}

fn fault(message: &str, at: Marker) -> DocumentError {
    located(DocumentFault::Yaml(message.to_owned()), at)
}

fn located(fault: DocumentFault, at: Marker) -> DocumentError {
    DocumentError::at(fault, at.line().max(1), at.col() + 1)
}
