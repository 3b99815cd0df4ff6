//! OpenAPI 3.1 documents and JSON Schema files.

use std::collections::{BTreeMap, BTreeSet};

use fleetwire_protocol::wire::schema::DEFINITIONS;
use fleetwire_protocol::{AuthHeader, Content as Carries, ParamPlace};
use fleetwire_validation::Side;
use http::Method;
use serde_json::{Map, Value, json};
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::server::ServerVariableBuilder;
use utoipa::openapi::{
    ComponentsBuilder, Content, ContentBuilder, HeaderBuilder, HttpMethod, InfoBuilder, LicenseBuilder,
    OpenApiBuilder, PathItem, PathsBuilder, Ref, Required, ResponseBuilder, ResponsesBuilder, Server,
    ServerBuilder, Tag,
};

use super::contract::{Contract, Message, component_of};
use super::operation::{Operation, VendorFacts};
use super::{COMMAND, Error};

/// Stands in for a name that every customer fills in, where OpenAPI demands a default.
const EXAMPLE_ADDRESS: &str = "https://fleet.example.org";

/// Where schemas wait until utoipa's document is done: its own type of schema drops what it does not model.
struct Slots(Vec<Value>);

impl Slots {
    const PREFIX: &str = "slot:";

    fn put(&mut self, schema: &Value) -> Ref {
        self.0.push(schema.clone());
        Ref::new(format!("{}{}", Self::PREFIX, self.0.len() - 1))
    }

    fn fill(&self, value: &mut Value) {
        let slot = value.get("$ref").and_then(Value::as_str).and_then(|slot| slot.strip_prefix(Self::PREFIX));
        if let Some(schema) = slot.and_then(|slot| slot.parse().ok()).and_then(|slot: usize| self.0.get(slot))
        {
            *value = schema.clone();
            return;
        }
        match value {
            Value::Object(members) => members.values_mut().for_each(|value| self.fill(value)),
            Value::Array(elements) => elements.iter_mut().for_each(|value| self.fill(value)),
            _ => {}
        }
    }

    fn content(&mut self, schema: &Value) -> Content {
        ContentBuilder::new().schema(Some(self.put(schema))).build()
    }
}

/// The document of a vendor's operations.
pub(super) fn openapi(operations: &[Operation], contract: Contract) -> Result<Value, Error> {
    let mut slots = Slots(Vec::new());
    let mut paths = PathsBuilder::new();
    let mut schemes = BTreeMap::new();
    let mut tags = Vec::new();
    let mut lines = BTreeSet::new();
    let mut shared = Vec::new();
    for (operation, messages) in operations.iter().zip(&contract.messages) {
        let mut built = OperationBuilder::new()
            .operation_id(Some(operation.operation_id.unwrap_or(operation.id)))
            .summary(Some(operation.summary))
            .description(Some(description(operation)))
            .tag(operation.tag);
        for (param, schema) in operation.params.iter().zip(&messages.params) {
            // One that only the path of an alias has is no parameter of the path that is published.
            if param.place == ParamPlace::Path && !operation.path.contains(&format!("{{{}}}", param.name)) {
                continue;
            }
            built = built.parameter(
                ParameterBuilder::new()
                    .name(param.name)
                    .parameter_in(match param.place {
                        ParamPlace::Path => ParameterIn::Path,
                        ParamPlace::Query => ParameterIn::Query,
                        ParamPlace::Header => ParameterIn::Header,
                    })
                    .required(if param.required { Required::True } else { Required::False })
                    .description(Some(param.description.trim()))
                    .schema(Some(slots.put(schema)))
                    .build(),
            );
        }
        if let (Some(media), Some(request)) = (operation.media, &messages.request) {
            built = built.request_body(Some(
                RequestBodyBuilder::new()
                    .description(Some(
                        sentence(&contract, request).unwrap_or_else(|| "The request.".to_owned()),
                    ))
                    .required(Some(Required::True))
                    .content(media, slots.content(&request.schema))
                    .build(),
            ));
        }
        let mut responses = ResponsesBuilder::new();
        for shape in operation.shapes {
            let mut response = ResponseBuilder::new();
            response = match (shape.content, &messages.reply) {
                (Carries::Json, Some(reply)) => response
                    .description(sentence(&contract, reply).unwrap_or_else(|| "Success.".to_owned()))
                    .content(fleetwire_protocol::codec::JSON, slots.content(&reply.schema)),
                (Carries::Bytes, _) => {
                    let bytes = json!({ "type": "string", "format": "binary" });
                    response.description("A file.").content("application/octet-stream", slots.content(&bytes))
                }
                (Carries::Nothing | Carries::Json, _) => response.description("There is nothing."),
            };
            for &name in shape.headers {
                let header = HeaderBuilder::new()
                    .description(Some("A mark on some of these answers."))
                    .schema(Some(slots.put(&json!({ "type": "string" }))))
                    .build();
                response = response.header(name, header);
            }
            responses = responses.response(shape.status.to_string(), response.build());
        }
        if let Some(error) = &messages.error {
            for failure in operation.failures {
                let response = ResponseBuilder::new()
                    .description(format!("{}.", failure.when))
                    .content(fleetwire_protocol::codec::JSON, slots.content(&error.schema));
                responses = responses.response(failure.status.to_string(), response.build());
            }
            let retry_after = HeaderBuilder::new()
                .description(Some("Seconds after which to come back, with 429 and 503."))
                .schema(Some(slots.put(&json!({ "type": "integer", "minimum": 0 }))))
                .build();
            let response = ResponseBuilder::new()
                .description("Any other failure.")
                .header("Retry-After", retry_after)
                .content(fleetwire_protocol::codec::JSON, slots.content(&error.schema));
            responses = responses.response("default", response.build());
        }
        built = built.responses(responses.build());
        let mut required = Vec::new();
        for alternative in operation.auth {
            let mut requirement = SecurityRequirement::default();
            for header in *alternative {
                requirement = requirement.add(header.scheme, [""; 0]);
                schemes.insert(header.scheme, scheme(header));
            }
            required.push(requirement);
        }
        // An empty list is not the same as none: it says that nothing is asked for.
        built = built.securities(Some(required));
        // A document has one operation on each request line: what a query tells apart stands in it together.
        if lines.insert((operation.path, operation.method.as_str())) {
            paths = paths.path(operation.path, PathItem::new(method(&operation.method), built.build()));
        } else {
            shared.push((operation, serde_json::to_value(built.build())?));
        }
        if !tags.contains(&operation.tag) {
            tags.push(operation.tag);
        }
    }
    let Some(vendor) = operations.first().map(|operation| operation.vendor) else {
        return Ok(Value::Null);
    };
    let mut components = ComponentsBuilder::new();
    for (name, scheme) in schemes {
        components = components.security_scheme(name, scheme);
    }
    let document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title(vendor.name)
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("What agents write and servers answer, as Fleetwire does both."))
                .license(Some(
                    LicenseBuilder::new()
                        .name(env!("CARGO_PKG_LICENSE"))
                        .identifier(Some(env!("CARGO_PKG_LICENSE")))
                        .build(),
                ))
                .build(),
        )
        .servers(Some(servers(vendor)))
        .tags(Some(tags.into_iter().map(Tag::new)))
        .paths(paths.build())
        .components(Some(components.build()))
        .build();
    let mut document = serde_json::to_value(document)?;
    for (operation, also) in shared {
        if let Some(node) = node_of(&mut document, operation) {
            share(node, operation, also);
        }
    }
    slots.fill(&mut document);
    for operation in operations {
        annotate(&mut document, operation);
    }
    if let Value::Object(members) = &mut document {
        members.insert("x-generated-by".to_owned(), COMMAND.into());
        let components = members.entry("components").or_insert_with(|| json!({}));
        if let Value::Object(components) = components {
            components.insert("schemas".to_owned(), contract.components.into());
        }
    }
    Ok(document)
}

/// Ours to say of an operation, where a reader of OpenAPI does not look for it.
fn annotate(document: &mut Value, operation: &Operation) {
    if let Some(node) = node_of(document, operation) {
        if node.contains_key("x-fleetwire-id") {
            let also = node.entry("x-fleetwire-also").or_insert_with(|| json!([]));
            if let Value::Array(also) = also {
                also.push(json!({ "id": operation.id, "selected-by": operation.selected_by }));
            }
            return;
        }
        node.insert("x-fleetwire-id".to_owned(), operation.id.into());
        node.insert(
            "x-origin".to_owned(),
            json!({ "document": operation.source.document, "place": operation.source.place }),
        );
        if operation.companion {
            node.insert("x-companion".to_owned(), true.into());
        }
        if !operation.aliases.is_empty() {
            node.insert("x-also-at".to_owned(), json!(operation.aliases));
        }
    }
}

/// An operation's place in the document.
fn node_of<'a>(document: &'a mut Value, operation: &Operation) -> Option<&'a mut Map<String, Value>> {
    let method = operation.method.as_str().to_ascii_lowercase();
    document.get_mut("paths")?.get_mut(operation.path)?.get_mut(method)?.as_object_mut()
}

/// Puts an operation beside the one whose request line it has: their parameters, none of which is required of both,
/// and the answers of either.
fn share(node: &mut Map<String, Value>, operation: &Operation, also: Value) {
    let Value::Object(mut also) = also else { return };
    if let Some(Value::String(text)) = node.get_mut("description") {
        let names = operation.selected_by.join(" and ");
        text.push_str(&format!(
            " With the query parameters {names} it is another operation, `{}`. {}",
            operation.id,
            description(operation)
        ));
    }
    if let Some(Value::Array(mut params)) = also.remove("parameters") {
        for param in &mut params {
            param["required"] = false.into();
        }
        if let Value::Array(all) = node.entry("parameters").or_insert_with(|| json!([])) {
            all.extend(params);
        }
    }
    let Some(Value::Object(responses)) = also.remove("responses") else { return };
    let Some(Value::Object(own)) = node.get_mut("responses") else { return };
    for (status, response) in responses {
        let Some(Value::Object(own)) = own.get_mut(&status) else {
            own.insert(status, response);
            continue;
        };
        for part in ["content", "headers"] {
            if let Some(Value::Object(more)) = response.get(part)
                && let Value::Object(all) = own.entry(part).or_insert_with(|| json!({}))
            {
                more.iter().for_each(|(name, value)| {
                    all.entry(name.clone()).or_insert_with(|| value.clone());
                });
            }
        }
        if let (Some(Value::String(text)), Some(Value::String(more))) =
            (own.get_mut("description"), response.get("description"))
            && text != more
        {
            text.push_str(&format!(" Or: {more}"));
        }
    }
}

fn description(operation: &Operation) -> String {
    let mut text = format!("{}.", operation.summary);
    if operation.companion {
        text.push_str(" A companion of the source's operations: it stands in none of the source documents.");
    }
    if operation.media.is_some() {
        text.push_str(&format!(" A request has at most {} bytes of body.", operation.body_limit));
    }
    if !operation.aliases.is_empty() {
        text.push_str(&format!(" A server also takes it at {}.", operation.aliases.join(", ")));
    }
    text
}

/// The first sentence that a message says of itself.
fn sentence(contract: &Contract, message: &Message) -> Option<String> {
    let schema = match component_of(&message.schema) {
        Some(name) => contract.components.get(&name)?,
        None => &message.schema,
    };
    let text = schema.get("description")?.as_str()?;
    let end = text.find(". ").or_else(|| text.find(".\n")).map_or(text.len(), |dot| dot + 1);
    Some(text[..end].to_owned())
}

fn scheme(header: &AuthHeader) -> SecurityScheme {
    // The one header that HTTP itself has schemes for.
    if header.name.eq_ignore_ascii_case("authorization") {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(header.description));
        return SecurityScheme::Http(bearer.build());
    }
    let description = format!("{} Its form: `{}`.", header.description, header.format);
    SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(header.name, &description)))
}

fn servers(vendor: VendorFacts) -> [Server; 2] {
    let mut own = ServerBuilder::new().url(vendor.address).description(Some("The vendor's own service."));
    for name in
        vendor.address.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
    {
        let variable = ServerVariableBuilder::new()
            .default_value(EXAMPLE_ADDRESS)
            .description(Some("The address of one customer's own service."));
        own = own.parameter(name, variable);
    }
    let mount = ServerBuilder::new()
        .url(format!("/{}{}", vendor.id, vendor.base))
        .description(Some("A Fleetwire server, where the vendor has its usual place."));
    [own.build(), mount.build()]
}

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::DELETE => HttpMethod::Delete,
        Method::OPTIONS => HttpMethod::Options,
        Method::HEAD => HttpMethod::Head,
        Method::PATCH => HttpMethod::Patch,
        Method::TRACE => HttpMethod::Trace,
        _ => HttpMethod::Get,
    }
}

/// A file for each message: what it refers to is in it.
pub(super) fn json_schemas(
    operations: &[Operation],
    contract: &Contract,
    side: Side,
) -> Result<BTreeMap<String, Value>, Error> {
    let mut files = BTreeMap::new();
    for (operation, messages) in operations.iter().zip(&contract.messages) {
        for message in messages.all() {
            let file = json_schema(contract, message, side);
            if files.get(&message.name).is_some_and(|other| *other != file) {
                return Err(Error::Ambiguous { vendor: operation.vendor.id, name: message.name.clone() });
            }
            files.insert(message.name.clone(), file);
        }
    }
    Ok(files)
}

/// The file of a message.
pub(super) fn json_schema(contract: &Contract, message: &Message, side: Side) -> Value {
    let root = component_of(&message.schema);
    let schema = root.as_ref().and_then(|name| contract.components.get(name)).unwrap_or(&message.schema);
    let mut file = schema.as_object().cloned().unwrap_or_default();
    let mut used = BTreeSet::new();
    contract.reach(schema, &mut used);
    let definitions: Map<_, _> = used
        .into_iter()
        .filter_map(|name| contract.components.get(&name).map(|schema| (name, schema.clone())))
        .collect();
    if !definitions.is_empty() {
        file.insert("$defs".to_owned(), definitions.into());
    }
    file.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    file.insert("title".to_owned(), message.name.clone().into());
    file.insert("x-generated-by".to_owned(), COMMAND.into());
    file.insert(
        "x-contract".to_owned(),
        match side {
            Side::Emit => "emit: what is written",
            Side::Accept => "accept: what is read",
        }
        .into(),
    );
    let mut file = Value::Object(file);
    refer_to_definitions(&mut file);
    file
}

fn refer_to_definitions(schema: &mut Value) {
    if let Some(name) = component_of(schema) {
        schema["$ref"] = format!("#/$defs/{name}").into();
    }
    match schema {
        Value::Object(members) => members.values_mut().for_each(refer_to_definitions),
        Value::Array(elements) => elements.iter_mut().for_each(refer_to_definitions),
        _ => {}
    }
}

/// Where a document keeps the schemas that it shares, as a pointer.
pub(super) const SHARED: &str = DEFINITIONS;
