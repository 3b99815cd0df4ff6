use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Read, Reader, is_modern};
use crate::document::Dialect;
use crate::schema::SchemaId;
use crate::schema::arena::Arena;
use crate::schema::node::{Name, Node};
use crate::schema::number::{Bound, Decimal};
use crate::schema::text::Format;
use crate::schema::types::Types;

impl Reader<'_> {
    pub(super) fn types_and_values(
        &mut self,
        members: &Map<String, Value>,
        parts: &mut Vec<SchemaId>,
    ) -> Read<()> {
        if let Some(types) = self.types(members)? {
            self.atom(Node::Type(types), parts);
        }
        if let Some(words) = members.get("enum") {
            let Some(words) = words.as_array() else {
                return Err(self.error(Some("enum"), "enum is a list of values".to_owned()));
            };
            let values = self.arena.values(words.iter().cloned());
            self.remember(values);
            parts.push(values);
        }
        if let Some(value) = members.get("const")
            && self.lexicon.dialect != Dialect::OpenApi30
        {
            let values = self.arena.values([value.clone()]);
            self.remember(values);
            parts.push(values);
        }
        Ok(())
    }

    fn types(&mut self, members: &Map<String, Value>) -> Read<Option<Types>> {
        let word = |word: &Value| word.as_str().and_then(Types::named);
        let types = match members.get("type") {
            None => return Ok(None),
            Some(Value::Array(words)) if self.lexicon.dialect != Dialect::OpenApi30 => {
                words.iter().map(word).try_fold(Types::NONE, |types, word| Some(types | word?))
            }
            Some(other) => word(other),
        };
        let Some(types) = types else {
            return Err(self.error(Some("type"), "type names none of the JSON types".to_owned()));
        };
        let nullable =
            self.lexicon.dialect == Dialect::OpenApi30 && members.get("nullable") == Some(&Value::Bool(true));
        Ok(Some(if nullable { types | Types::NULL } else { types }))
    }

    /// `nullable` where no `type` stands beside it. By the letter it then means nothing, but every document that has
    /// it around a reference means that the member may be null.
    pub(super) fn with_null(&mut self, members: &Map<String, Value>, schema: SchemaId) -> SchemaId {
        let composed = ["allOf", "anyOf", "oneOf"].iter().any(|keyword| members.contains_key(*keyword));
        let nullable = members.get("nullable") == Some(&Value::Bool(true));
        if !nullable || !composed || members.contains_key("type") {
            return schema;
        }
        let null = self.arena.type_of(Types::NULL);
        self.arena.any([null, schema])
    }

    pub(super) fn numbers(&mut self, members: &Map<String, Value>, parts: &mut Vec<SchemaId>) -> Read<()> {
        for (keyword, strict, lower) in
            [("minimum", "exclusiveMinimum", true), ("maximum", "exclusiveMaximum", false)]
        {
            let mut exclusive = false;
            if self.lexicon.dialect == Dialect::OpenApi30 {
                exclusive = match members.get(strict) {
                    None => false,
                    Some(Value::Bool(flag)) => *flag,
                    Some(_) => {
                        return Err(self.error(Some(strict), format!("{strict} is a boolean in OpenAPI 3.0")));
                    }
                };
            } else if let Some(value) = self.number(members, strict)? {
                let bound = Bound { value, exclusive: true };
                self.atom(if lower { Node::Lower(bound) } else { Node::Upper(bound) }, parts);
            }
            if let Some(value) = self.number(members, keyword)? {
                let bound = Bound { value, exclusive };
                self.atom(if lower { Node::Lower(bound) } else { Node::Upper(bound) }, parts);
            }
        }
        if let Some(step) = self.number(members, "multipleOf")? {
            if step <= Decimal::from(0_i64) {
                return Err(self.error(Some("multipleOf"), "multipleOf is greater than zero".to_owned()));
            }
            self.atom(Node::MultipleOf(step), parts);
        }
        Ok(())
    }

    fn number(&self, members: &Map<String, Value>, keyword: &str) -> Read<Option<Decimal>> {
        match members.get(keyword) {
            None => Ok(None),
            Some(value) => value
                .as_number()
                .and_then(Decimal::from_number)
                .map(Some)
                .ok_or_else(|| self.error(Some(keyword), format!("{keyword} is a number"))),
        }
    }

    fn count(&self, members: &Map<String, Value>, keyword: &str) -> Read<Option<u64>> {
        let Some(value) = members.get(keyword) else { return Ok(None) };
        // 3.0 is as good as 3.
        let count = value.as_u64().or_else(|| {
            let decimal = Decimal::from_number(value.as_number()?)?;
            (decimal.is_integer() && decimal >= Decimal::from(0_i64))
                .then(|| decimal.to_number().and_then(|number| number.as_u64()).unwrap_or(u64::MAX))
        });
        count
            .map(Some)
            .ok_or_else(|| self.error(Some(keyword), format!("{keyword} is a whole number, not below zero")))
    }

    pub(super) fn texts(&mut self, members: &Map<String, Value>, parts: &mut Vec<SchemaId>) -> Read<()> {
        if let Some(least) = self.count(members, "minLength")?
            && least > 0
        {
            self.atom(Node::MinLength(least), parts);
        }
        if let Some(most) = self.count(members, "maxLength")? {
            self.atom(Node::MaxLength(most), parts);
        }
        if let Some(pattern) = members.get("pattern") {
            let Some(text) = pattern.as_str() else {
                return Err(self.error(Some("pattern"), "pattern is a string".to_owned()));
            };
            let pattern = self.pattern(text, "pattern")?;
            self.atom(pattern, parts);
        }
        if let Some(format) = members.get("format") {
            let Some(word) = format.as_str() else {
                return Err(self.error(Some("format"), "format is a string".to_owned()));
            };
            let known = self.lexicon.dialect != Dialect::Draft07 || !matches!(word, "uuid" | "duration");
            if self.formats
                && known
                && let Some(format) = Format::named(word)
            {
                self.atom(Node::Format(format), parts);
            }
        }
        Ok(())
    }

    fn pattern(&mut self, text: &str, keyword: &str) -> Read<Node> {
        match self.automata.pattern(text) {
            Ok(pattern) => Ok(Node::Pattern(pattern)),
            Err(error) => Err(self.error(Some(keyword), format!("{text:?} is no pattern: {error}"))),
        }
    }

    pub(super) fn arrays(&mut self, members: &Map<String, Value>, parts: &mut Vec<SchemaId>) -> Read<()> {
        if let Some(least) = self.count(members, "minItems")?
            && least > 0
        {
            self.atom(Node::MinItems(least), parts);
        }
        if let Some(most) = self.count(members, "maxItems")? {
            self.atom(Node::MaxItems(most), parts);
        }
        match members.get("uniqueItems") {
            None | Some(Value::Bool(false)) => {}
            Some(Value::Bool(true)) => self.atom(Node::Unique, parts),
            Some(_) => return Err(self.error(Some("uniqueItems"), "uniqueItems is a boolean".to_owned())),
        }
        let dialect = self.lexicon.dialect;
        let (prefix, rest) = match (dialect, members.get("items")) {
            (Dialect::Draft07, Some(Value::Array(_))) => (Some("items"), "additionalItems"),
            _ if is_modern(dialect) => (Some("prefixItems"), "items"),
            _ => (None, "items"),
        };
        let mut from = 0;
        if let Some(prefix) = prefix
            && let Some(items) = members.get(prefix)
        {
            self.descents += 1;
            let schemas = self.list(prefix, items)?;
            self.descents -= 1;
            from = schemas.len();
            for (index, schema) in schemas.into_iter().enumerate() {
                self.atom(Node::Item(index, schema), parts);
            }
        }
        if let Some(items) = members.get(rest) {
            let schema = self.within(rest, items)?;
            self.atom(Node::Rest(from, schema), parts);
        }
        if dialect != Dialect::OpenApi30
            && let Some(contains) = members.get("contains")
        {
            let schema = self.within("contains", contains)?;
            let mut least = 1;
            if is_modern(dialect) {
                least = self.count(members, "minContains")?.unwrap_or(1);
                if let Some(most) = self.count(members, "maxContains")? {
                    self.atom(Node::ContainsMax(schema, most), parts);
                }
            }
            self.atom(Node::ContainsMin(schema, least), parts);
        }
        Ok(())
    }

    pub(super) fn objects(&mut self, members: &Map<String, Value>, parts: &mut Vec<SchemaId>) -> Read<()> {
        if let Some(least) = self.count(members, "minProperties")?
            && least > 0
        {
            self.atom(Node::MinProperties(least), parts);
        }
        if let Some(most) = self.count(members, "maxProperties")? {
            self.atom(Node::MaxProperties(most), parts);
        }
        if let Some(required) = members.get("required") {
            for name in self.names("required", required)? {
                self.atom(Node::Has(name), parts);
            }
        }
        let mut names = Vec::new();
        if let Some(properties) = members.get("properties") {
            for (name, schema) in self.map("properties", properties)? {
                let name = Name::from(name);
                names.push(Arc::clone(&name));
                self.atom(Node::Property(name, schema), parts);
            }
        }
        let mut patterns = Vec::new();
        if self.lexicon.dialect != Dialect::OpenApi30
            && let Some(matching) = members.get("patternProperties")
        {
            for (text, schema) in self.map("patternProperties", matching)? {
                if let Node::Pattern(pattern) = self.pattern(text, "patternProperties")? {
                    patterns.push(Arc::clone(&pattern));
                    self.atom(Node::Matching(pattern, schema), parts);
                }
            }
        }
        if let Some(additional) = members.get("additionalProperties") {
            let schema = self.within("additionalProperties", additional)?;
            if schema != Arena::NEVER {
                self.atom(Node::Open, parts);
            }
            names.sort_unstable();
            let others = Node::Others { names: names.into(), patterns: patterns.into(), schema };
            self.atom(others, parts);
        }
        if self.lexicon.dialect != Dialect::OpenApi30 {
            if let Some(schema) = members.get("propertyNames") {
                let schema = self.within("propertyNames", schema)?;
                self.atom(Node::Names(schema), parts);
            }
            self.dependent(members, parts)?;
        }
        Ok(())
    }

    fn names(&self, keyword: &str, value: &Value) -> Read<Vec<Name>> {
        let names: Option<Vec<_>> = value
            .as_array()
            .and_then(|names| names.iter().map(|name| name.as_str().map(Name::from)).collect());
        names.ok_or_else(|| self.error(Some(keyword), format!("{keyword} is a list of names")))
    }

    fn dependent(&mut self, members: &Map<String, Value>, parts: &mut Vec<SchemaId>) -> Read<()> {
        let keywords: &[&str] = if is_modern(self.lexicon.dialect) {
            &["dependentRequired", "dependentSchemas"]
        } else {
            &["dependencies"]
        };
        for keyword in keywords {
            let Some(value) = members.get(*keyword) else { continue };
            let Some(rules) = value.as_object() else {
                return Err(self.error(Some(keyword), format!("{keyword} is a map")));
            };
            for (name, rule) in rules {
                let place = format!("{keyword}/{}", crate::openapi::escape(name));
                let has = self.arena.intern(Node::Has(Name::from(name.as_str())));
                let lacks = self.arena.not(has);
                let rule = if *keyword == "dependentRequired" || rule.is_array() {
                    let names = self.names(&place, rule)?;
                    let has: Vec<_> =
                        names.into_iter().map(|name| self.arena.intern(Node::Has(name))).collect();
                    let all = self.arena.all(has);
                    self.arena.any([lacks, all])
                } else {
                    let schema = self.beside(&place, rule)?;
                    let other = self.arena.type_of(!Types::OBJECT);
                    // Without the member the schema is not asked, and evaluates nothing.
                    let asked = self.arena.all([has, schema]);
                    self.arena.any([other, lacks, asked])
                };
                parts.push(rule);
            }
        }
        Ok(())
    }

    pub(super) fn logic(&mut self, members: &Map<String, Value>, parts: &mut Vec<SchemaId>) -> Read<()> {
        if let Some(all) = members.get("allOf") {
            parts.extend(self.list("allOf", all)?);
        }
        if let Some(any) = members.get("anyOf") {
            let branches = self.list("anyOf", any)?;
            let any = self.arena.any(branches);
            self.remember(any);
            parts.push(any);
        }
        if let Some(one) = members.get("oneOf") {
            let branches = self.list("oneOf", one)?;
            let one = self.arena.one(branches);
            self.remember(one);
            parts.push(one);
        }
        if let Some(not) = members.get("not") {
            let inner = self.beside("not", not)?;
            let not = self.arena.not(inner);
            self.remember(not);
            parts.push(not);
        }
        if self.lexicon.dialect != Dialect::OpenApi30
            && let Some(condition) = members.get("if")
        {
            let condition = self.beside("if", condition)?;
            let mut branch = |keyword: &str| match members.get(keyword) {
                Some(schema) => self.beside(keyword, schema),
                None => Ok(Arena::ALWAYS),
            };
            let (then, otherwise) = (branch("then")?, branch("else")?);
            let fails = self.arena.not(condition);
            let then = self.arena.all([condition, then]);
            let otherwise = self.arena.all([fails, otherwise]);
            let either = self.arena.any([then, otherwise]);
            parts.push(either);
        }
        Ok(())
    }

    /// `unevaluated…` sees what everything else at this place has evaluated, so it is read last.
    pub(super) fn unevaluated(
        &mut self,
        members: &Map<String, Value>,
        parts: &mut Vec<SchemaId>,
    ) -> Read<()> {
        let before = parts.clone();
        if let Some(schema) = members.get("unevaluatedItems") {
            let schema = self.within("unevaluatedItems", schema)?;
            let of = self.arena.all(before.iter().copied());
            self.atom(Node::UnevaluatedItems { of, schema }, parts);
        }
        if let Some(schema) = members.get("unevaluatedProperties") {
            let schema = self.within("unevaluatedProperties", schema)?;
            if schema != Arena::NEVER {
                self.atom(Node::Open, parts);
            }
            let of = self.arena.all(before);
            self.atom(Node::UnevaluatedProperties { of, schema }, parts);
        }
        Ok(())
    }
}
