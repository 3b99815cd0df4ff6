//! The schemas of a vendor's messages in one of the two contracts, with the rules laid over them.

use std::collections::BTreeSet;

use fleetwire_protocol::Param;
use fleetwire_protocol::wire::schema::{DEFINITIONS, finish, generator};
use fleetwire_validation::{Rule, Side, Sides, rules_of};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::laying::{Laying, Tree};
use super::operation::{Describe, Operation};

pub(super) struct Contract {
    /// The shared schemas, by name.
    pub(super) components: Map<String, Value>,
    /// The messages of each operation, in the operations' order.
    pub(super) messages: Vec<Messages>,
}

/// The schema of a parameter, its rules aside.
fn parameter(param: &Param) -> Value {
    if param.words.is_empty() {
        return json!({ "type": "string" });
    }
    json!({ "type": "string", "x-known-values": param.words })
}

pub(super) struct Messages {
    pub(super) request: Option<Message>,
    pub(super) reply: Option<Message>,
    pub(super) error: Option<Message>,
    /// The schemas of the parameters, in their order.
    pub(super) params: Vec<Value>,
}

impl Messages {
    pub(super) fn all(&self) -> impl Iterator<Item = &Message> {
        self.request.iter().chain(&self.reply).chain(&self.error)
    }
}

#[derive(Clone)]
pub(super) struct Message {
    pub(super) name: String,
    /// A reference to a component, or the schema itself.
    pub(super) schema: Value,
}

impl Contract {
    pub(super) fn new(operations: &[Operation], side: Side) -> Self {
        let mut generator = generator(match side {
            Side::Emit => schemars::generate::Contract::Serialize,
            Side::Accept => schemars::generate::Contract::Deserialize,
        });
        let mut messages: Vec<_> = operations
            .iter()
            .map(|operation| Messages {
                request: message(&mut generator, operation.request),
                reply: message(&mut generator, operation.reply),
                error: message(&mut generator, operation.error),
                params: operation.params.iter().map(parameter).collect(),
            })
            .collect();
        let mut contract = Self { components: generator.take_definitions(true), messages: Vec::new() };
        let sites = contract.references(&messages);
        for (operation, messages) in operations.iter().zip(&mut messages) {
            contract.lay_rules(operation, messages, &sites, side);
        }
        contract.messages = messages;
        contract.drop_unused();
        contract
    }

    /// The components that more than one place refers to.
    fn references(&self, messages: &[Messages]) -> BTreeSet<String> {
        let mut once = BTreeSet::new();
        let mut again = BTreeSet::new();
        let mut note = |name: &str| {
            if !once.insert(name.to_owned()) {
                again.insert(name.to_owned());
            }
        };
        let distinct: Vec<&Value> = messages.iter().flat_map(Messages::all).map(|one| &one.schema).collect();
        for (index, schema) in distinct.iter().enumerate() {
            // One envelope serves every operation of a vendor: it is one place.
            if !distinct[..index].contains(schema) {
                each_reference(schema, &mut note);
            }
        }
        for schema in self.components.values() {
            each_reference(schema, &mut note);
        }
        again
    }

    fn lay_rules(
        &mut self,
        operation: &Operation,
        messages: &mut Messages,
        shared: &BTreeSet<String>,
        side: Side,
    ) {
        // What a server refuses, a client does not send: the emit contract has every rule that can be laid.
        let rules = rules_of(operation.id).iter().filter(|rule| side == Side::Emit || rule.sides.cover(side));
        let (headers, body): (Vec<&'static Rule>, Vec<_>) =
            rules.partition(|rule| rule.pointer.starts_with("header:"));
        for (param, schema) in operation.params.iter().zip(&mut messages.params) {
            let own = headers.iter().filter(|rule| rule.pointer.strip_prefix("header:") == Some(param.name));
            let tree = Tree::at_root(own.copied());
            Laying::new(&mut self.components, shared).lay(schema, &tree);
        }
        let Some(request) = &mut messages.request else { return };
        let mut laying = Laying::new(&mut self.components, shared);
        laying.lay(&mut request.schema, &Tree::of(&body));
        let laid = laying.into_laid();
        let unsaid: Vec<_> = body
            .iter()
            .filter(|rule| !laid.contains(rule.id) && (side == Side::Accept || rule.sides != Sides::Accept))
            .map(|rule| json!({ "id": rule.id, "place": rule.pointer, "statement": rule.statement }))
            .collect();
        if !unsaid.is_empty() {
            let schema = match component_of(&request.schema) {
                Some(name) => self.components.get_mut(&name),
                None => Some(&mut request.schema),
            };
            if let Some(Value::Object(schema)) = schema {
                schema.insert("x-rules".to_owned(), unsaid.into());
            }
        }
    }

    /// Components that a rule has split into the places that used them.
    fn drop_unused(&mut self) {
        let mut used = BTreeSet::new();
        for message in self.messages.iter().flat_map(Messages::all) {
            self.reach(&message.schema, &mut used);
        }
        self.components.retain(|name, _| used.contains(name));
    }

    /// Adds the components that a schema leads to.
    pub(super) fn reach(&self, schema: &Value, used: &mut BTreeSet<String>) {
        let mut found = Vec::new();
        each_reference(schema, &mut |name| found.push(name.to_owned()));
        for name in found {
            if used.insert(name.clone())
                && let Some(schema) = self.components.get(&name)
            {
                self.reach(schema, used);
            }
        }
    }
}

fn message(generator: &mut SchemaGenerator, describe: Describe) -> Option<Message> {
    let (name, mut schema) = describe(generator)?;
    finish(&generator.contract().clone(), &mut schema);
    Some(Message { name, schema: schema.into() })
}

/// The component that a schema refers to.
pub(super) fn component_of(schema: &Value) -> Option<String> {
    let reference = schema.get("$ref")?.as_str()?;
    // A name holds neither `~` nor `/`, so that nothing in it is escaped.
    Some(reference.strip_prefix('#')?.strip_prefix(DEFINITIONS)?.strip_prefix('/')?.to_owned())
}

fn each_reference(schema: &Value, note: &mut impl FnMut(&str)) {
    if let Some(name) = component_of(schema) {
        note(&name);
    }
    match schema {
        Value::Object(members) => members.values().for_each(|value| each_reference(value, note)),
        Value::Array(elements) => elements.iter().for_each(|value| each_reference(value, note)),
        _ => {}
    }
}
