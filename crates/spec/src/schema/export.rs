use serde_json::{Map, Value, json};

use super::SchemaId;
use super::arena::Arena;
use super::node::Node;
use super::number::Bound;
use super::types::Types;

impl Arena {
    /// The schema in JSON Schema 2020-12, if all of it can be said there.
    pub(crate) fn export(&self, schema: SchemaId) -> Option<Value> {
        let mut definitions = Map::new();
        let mut rest = vec![schema];
        while let Some(id) = rest.pop() {
            let name = name(id);
            if !definitions.contains_key(&name) {
                definitions.insert(name, self.said(id)?);
                let node = self.node(id);
                rest.extend(node.children());
                if let Node::Reference(reference) = node {
                    rest.push(self.target(*reference)?);
                }
            }
        }
        Some(json!({"$ref": format!("#/$defs/{}", name(schema)), "$defs": definitions}))
    }

    /// One node, with references to those that it is made of.
    fn said(&self, id: SchemaId) -> Option<Value> {
        let refer = |schema: &SchemaId| json!({"$ref": format!("#/$defs/{}", name(*schema))});
        let list = |parts: &[SchemaId]| parts.iter().map(refer).collect::<Vec<_>>();
        let skipped = |count: usize| vec![Value::Bool(true); count];
        Some(match self.node(id) {
            Node::Always | Node::Open => json!(true),
            Node::Never => json!(false),
            Node::Type(types) => types_said(*types),
            Node::Values(values) => json!({"enum": values.iter().collect::<Vec<_>>()}),
            Node::Lower(bound) => bound_said(bound, "minimum", "exclusiveMinimum")?,
            Node::Upper(bound) => bound_said(bound, "maximum", "exclusiveMaximum")?,
            Node::MultipleOf(step) => json!({"multipleOf": step.to_number()?}),
            Node::MinLength(least) => json!({"minLength": least}),
            Node::MaxLength(most) => json!({"maxLength": most}),
            Node::Pattern(pattern) => json!({"pattern": pattern.text()}),
            Node::Format(format) => json!({"format": format.word()}),
            Node::MinItems(least) => json!({"minItems": least}),
            Node::MaxItems(most) => json!({"maxItems": most}),
            Node::Unique => json!({"uniqueItems": true}),
            Node::Item(index, schema) => {
                let mut prefix = skipped(*index);
                prefix.push(refer(schema));
                json!({"prefixItems": prefix})
            }
            Node::Rest(0, schema) => json!({"items": refer(schema)}),
            Node::Rest(from, schema) => json!({"prefixItems": skipped(*from), "items": refer(schema)}),
            Node::ContainsMin(schema, least) => json!({"contains": refer(schema), "minContains": least}),
            Node::ContainsMax(schema, most) => {
                json!({"contains": refer(schema), "minContains": 0, "maxContains": most})
            }
            Node::UnevaluatedItems { of, schema } => {
                json!({"allOf": [refer(of)], "unevaluatedItems": refer(schema)})
            }
            Node::MinProperties(least) => json!({"minProperties": least}),
            Node::MaxProperties(most) => json!({"maxProperties": most}),
            Node::Has(name) => json!({"required": [&**name]}),
            Node::Property(name, schema) => json!({"properties": {&**name: refer(schema)}}),
            Node::Matching(pattern, schema) => json!({"patternProperties": {pattern.text(): refer(schema)}}),
            Node::Others { names, patterns, schema } => {
                let named: Map<_, _> = names.iter().map(|name| (name.to_string(), json!(true))).collect();
                let matched: Map<_, _> =
                    patterns.iter().map(|pattern| (pattern.text().to_owned(), json!(true))).collect();
                json!({"properties": named, "patternProperties": matched, "additionalProperties": refer(schema)})
            }
            Node::Names(schema) => json!({"propertyNames": refer(schema)}),
            Node::UnevaluatedProperties { of, schema } => {
                json!({"allOf": [refer(of)], "unevaluatedProperties": refer(schema)})
            }
            Node::All(parts) => json!({"allOf": list(parts)}),
            Node::Any(parts) => json!({"anyOf": list(parts)}),
            Node::One(parts) => json!({"oneOf": list(parts)}),
            Node::Not(inner) => json!({"not": refer(inner)}),
            Node::Reference(reference) => refer(&self.target(*reference)?),
        })
    }

    /// The keyword that says this.
    pub(crate) fn keyword(&self, id: SchemaId) -> &'static str {
        match self.node(id) {
            Node::Always | Node::Never | Node::Open => "false",
            Node::Type(_) => "type",
            Node::Values(values) if values.len() == 1 => "const",
            Node::Values(_) => "enum",
            Node::Lower(bound) if bound.exclusive => "exclusiveMinimum",
            Node::Lower(_) => "minimum",
            Node::Upper(bound) if bound.exclusive => "exclusiveMaximum",
            Node::Upper(_) => "maximum",
            Node::MultipleOf(_) => "multipleOf",
            Node::MinLength(_) => "minLength",
            Node::MaxLength(_) => "maxLength",
            Node::Pattern(_) => "pattern",
            Node::Format(_) => "format",
            Node::MinItems(_) => "minItems",
            Node::MaxItems(_) => "maxItems",
            Node::Unique => "uniqueItems",
            Node::Item(..) => "prefixItems",
            Node::Rest(..) => "items",
            Node::ContainsMin(..) => "contains",
            Node::ContainsMax(..) => "maxContains",
            Node::UnevaluatedItems { .. } => "unevaluatedItems",
            Node::MinProperties(_) => "minProperties",
            Node::MaxProperties(_) => "maxProperties",
            Node::Has(_) => "required",
            Node::Property(..) => "properties",
            Node::Matching(..) => "patternProperties",
            Node::Others { .. } => "additionalProperties",
            Node::Names(_) => "propertyNames",
            Node::UnevaluatedProperties { .. } => "unevaluatedProperties",
            Node::All(_) => "allOf",
            Node::Any(_) => "anyOf",
            Node::One(_) => "oneOf",
            Node::Not(_) => "not",
            Node::Reference(_) => "$ref",
        }
    }
}

fn name(id: SchemaId) -> String {
    format!("s{}", id.0)
}

fn types_said(types: Types) -> Value {
    if let Some(words) = types.words() {
        return json!({"type": words});
    }
    let words = (types & !Types::NUMBER).words().unwrap_or_default();
    let fraction = json!({"type": "number", "not": {"type": "integer"}});
    if words.is_empty() { fraction } else { json!({"anyOf": [fraction, {"type": words}]}) }
}

fn bound_said(bound: &Bound, inclusive: &str, exclusive: &str) -> Option<Value> {
    let keyword = if bound.exclusive { exclusive } else { inclusive };
    Some(json!({keyword: bound.value.to_number()?}))
}
