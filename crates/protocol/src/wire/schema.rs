//! The two contracts of every wire type: *emit*, what we write, and *accept*, what we read.
//!
//! ```
//! use fleetwire_protocol::acusight::CheckinRequest;
//! use fleetwire_protocol::wire::schema::generator;
//! use schemars::generate::Contract;
//!
//! let status = |contract: Contract| {
//!     let schema = generator(contract).into_root_schema_for::<CheckinRequest>();
//!     schema.pointer("/properties/status/type").cloned()
//! };
//! assert_eq!(status(Contract::Serialize), Some("string".into()));
//! assert_eq!(status(Contract::Deserialize), Some(["string", "null"].into()));
//! ```

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::generate::{Contract, SchemaSettings};
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// Where shared schemas stand, as in an OpenAPI document.
pub const DEFINITIONS: &str = "/components/schemas";

/// The keyword, on a member, that lists the other names under which it is read.
const ALIASES: &str = "x-aliases";

/// The keyword, in the accept contract, on a member that is another name of the one it gives.
pub const ALIAS_OF: &str = "x-alias-of";

/// A generator for one of the contracts.
#[must_use]
pub fn generator(contract: Contract) -> SchemaGenerator {
    let emit = contract.is_serialize();
    let mut settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = DEFINITIONS.into();
        settings.meta_schema = None;
    });
    settings.contract = contract;
    settings.with_transform(Finish { emit }).into_generator()
}

/// Finishes a schema that a generator of [`generator`] handed out before its own transforms ran.
pub fn finish(contract: &Contract, schema: &mut Schema) {
    Finish { emit: contract.is_serialize() }.transform(schema);
}

/// What schemars cannot know of a contract.
#[derive(Debug, Clone, Copy)]
struct Finish {
    emit: bool,
}

impl Transform for Finish {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(node) = schema.as_object_mut() else { return };
        if self.emit {
            forget_what_is_never_written(node);
        } else {
            read_other_names(node);
        }
        bound_integer(node);
        split_description(node);
        if let Some(Value::Array(required)) = node.get_mut("required") {
            required.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
    }
}

/// A member that may be left out is left out when there is nothing to say: it is never null. A default
/// concerns readers only.
fn forget_what_is_never_written(node: &mut Map<String, Value>) {
    let required = node.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|list| list.iter().any(|r| r == name));
    let Some(Value::Object(members)) = node.get_mut("properties") else { return };
    for (name, member) in members {
        let Some(member) = member.as_object_mut() else { continue };
        member.remove(ALIASES);
        member.remove("default");
        if !is_required(name) {
            remove_null(member);
        }
    }
}

fn remove_null(node: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = node.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            node.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(branches)) = node.get_mut("anyOf") {
        branches.retain(|branch| *branch != json!({ "type": "null" }));
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            node.remove("anyOf");
            for (keyword, value) in only {
                // What the member says of itself goes before what its type says.
                node.entry(keyword).or_insert(value);
            }
        }
    }
}

/// Each alias is a member of its own; the reader refuses a member that comes under two names.
fn read_other_names(node: &mut Map<String, Value>) {
    let Some(Value::Object(members)) = node.get_mut("properties") else { return };
    let mut families = Vec::new();
    for (name, member) in members.iter_mut() {
        let Some(Value::Array(aliases)) = member.as_object_mut().and_then(|member| member.remove(ALIASES))
        else {
            continue;
        };
        let aliases: Vec<String> =
            aliases.iter().filter_map(|alias| alias.as_str().map(str::to_owned)).collect();
        families.push((name.clone(), member.clone(), aliases));
    }
    for (name, mut member, aliases) in families {
        if let Some(member) = member.as_object_mut() {
            member.insert("description".to_owned(), format!("Another name of `{name}`.").into());
            member.insert(ALIAS_OF.to_owned(), name.clone().into());
        }
        for alias in &aliases {
            if let Some(Value::Object(members)) = node.get_mut("properties") {
                members.insert(alias.clone(), member.clone());
            }
        }
        let names = std::iter::once(&name).chain(&aliases);
        let one_of_them: Vec<Value> = names.map(|name| json!({ "required": [name] })).collect();
        let was_required = match node.get_mut("required") {
            Some(Value::Array(required)) => {
                let before = required.len();
                required.retain(|required| *required != name);
                required.len() < before
            }
            _ => false,
        };
        let choice = if was_required {
            json!({ "oneOf": one_of_them })
        } else {
            json!({ "not": { "required": std::iter::once(&name).chain(&aliases).collect::<Vec<_>>() } })
        };
        if let Value::Array(all) = node.entry("allOf").or_insert_with(|| json!([])) {
            all.push(choice);
        }
    }
}

/// The bounds of the Rust type, where schemars leaves them to the name of the format.
fn bound_integer(node: &mut Map<String, Value>) {
    let (min, max): (Value, Value) = match node.get("format").and_then(Value::as_str) {
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        Some("uint32") => (u32::MIN.into(), u32::MAX.into()),
        Some("int64") => (i64::MIN.into(), i64::MAX.into()),
        Some("uint64") => (u64::MIN.into(), u64::MAX.into()),
        _ => return,
    };
    node.entry("minimum").or_insert(min);
    node.entry("maximum").or_insert(max);
}

/// Takes the origin out of the description and links out of its text: neither means anything outside Rust.
fn split_description(node: &mut Map<String, Value>) {
    let Some(Value::String(text)) = node.get("description") else { return };
    let (origins, kept): (Vec<&str>, Vec<&str>) =
        text.split("\n\n").partition(|paragraph| paragraph.starts_with("Origin: "));
    let plain = |text: String| unlinked(&text.replace('\n', " "));
    let origin = origins.iter().map(|origin| &origin["Origin: ".len()..]).collect::<Vec<_>>().join(" ");
    let description = kept.iter().map(|text| plain((*text).to_owned())).collect::<Vec<_>>().join("\n\n");
    if !origin.is_empty() {
        node.insert("x-origin".to_owned(), plain(origin).into());
    }
    if description.is_empty() {
        node.remove("description");
    } else {
        node.insert("description".to_owned(), description.into());
    }
}

/// Writes a link of Rust's documentation as its text.
fn unlinked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("[`") {
        let Some(end) = rest[start..].find("`]").map(|end| start + end) else { break };
        out.push_str(&rest[..start]);
        out.push_str(&rest[start + 1..=end]);
        rest = &rest[end + 2..];
        if let Some(target) = rest.strip_prefix('(') {
            rest = target.split_once(')').map_or("", |(_, rest)| rest);
        }
    }
    out.push_str(rest);
    out
}

/// A schema without a type of its own: what a member read by [`null_as_default`](super::null_as_default)
/// looks like.
#[derive(Debug)]
pub struct NullAsDefault<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for NullAsDefault<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        format!("NullAsDefault<{}>", T::schema_id()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            T::json_schema(generator)
        } else {
            Option::<T>::json_schema(generator)
        }
    }
}

/// What a member read by [`one_or_many`](super::one_or_many) looks like.
#[derive(Debug)]
pub struct ListReadFromOne<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for ListReadFromOne<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        format!("ListReadFromOne<{}>", T::schema_id()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            Vec::<T>::json_schema(generator)
        } else {
            super::OneOrMany::<T>::json_schema(generator)
        }
    }
}

/// What a member read by [`digits`](super::digits) looks like.
#[derive(Debug)]
pub struct Digits;

impl JsonSchema for Digits {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Digits".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            json_schema!({ "type": "number" })
        } else {
            json_schema!({
                "type": ["number", "string"],
                "maxLength": super::scalar::LONGEST_DIGITS,
                "pattern": r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?$",
            })
        }
    }
}

/// What an id looks like that is read from text too and written as the integer that the source shows.
#[derive(Debug)]
pub struct IntReadFromText;

impl JsonSchema for IntReadFromText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "IntReadFromText".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            i64::json_schema(generator)
        } else {
            super::IntOrText::json_schema(generator)
        }
    }
}

/// Gives types the schema that they have for schemars, as utoipa's `ToSchema`: the emit contract, what it
/// refers to included.
#[cfg(feature = "openapi")]
#[doc(hidden)]
#[macro_export]
macro_rules! __to_schema {
    ($($(@<$param:ident>)? $type:ty),+ $(,)?) => { $(
        impl $(<$param: schemars::JsonSchema>)? utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $crate::wire::schema::converted::<Self>().0
            }
        }
        impl $(<$param: schemars::JsonSchema>)? utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                <Self as schemars::JsonSchema>::schema_name()
            }
            fn schemas(
                schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>,
            ) {
                schemas.extend($crate::wire::schema::converted::<Self>().1);
            }
        }
    )+ };
}
#[cfg(feature = "openapi")]
__to_schema!(super::FreeMap, super::IntOrText, super::JsonText, super::Number, super::Timestamp);

#[cfg(feature = "openapi")]
type Converted = utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>;

/// The schema of a type, and those that it refers to.
///
/// # Panics
/// Never: every JSON Schema of an object can be read as one of utoipa's, which drops what it does not model.
#[cfg(feature = "openapi")]
#[doc(hidden)]
#[must_use]
pub fn converted<T: JsonSchema>() -> (Converted, Vec<(String, Converted)>) {
    let convert = |schema: Value| -> Converted {
        serde_json::from_value(schema).unwrap_or_else(|fault| panic!("a schema utoipa cannot read: {fault}"))
    };
    let mut generator = generator(Contract::Serialize);
    let mut schema = T::json_schema(&mut generator);
    finish(&Contract::Serialize, &mut schema);
    let definitions = generator.take_definitions(true);
    (convert(schema.into()), definitions.into_iter().map(|(name, schema)| (name, convert(schema))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_their_text_and_origins_their_own_keyword() {
        let mut node = json!({
            "description": "Kept in [`extra`](Self::extra),\nas [`Other`] is.\n\nMore.\n\nOrigin: `a` of\n[`b`].",
        });
        split_description(node.as_object_mut().unwrap());
        assert_eq!(
            node,
            json!({ "description": "Kept in `extra`, as `Other` is.\n\nMore.", "x-origin": "`a` of `b`." })
        );
    }

    #[cfg(all(feature = "openapi", feature = "all-vendors"))]
    #[test]
    fn utoipa_gets_the_schemas_that_schemars_makes() {
        use crate::{achilles, acusight, agentmc, zstack};
        fn same<T: JsonSchema + utoipa::ToSchema>() {
            let mut own = generator(Contract::Serialize);
            let mut schema = T::json_schema(&mut own);
            finish(&Contract::Serialize, &mut schema);
            let mut schemas = own.take_definitions(true);
            schemas.insert(T::name().into_owned(), schema.into());
            let mut converted = Vec::new();
            T::schemas(&mut converted);
            converted.push((T::name().into_owned(), T::schema()));
            for (name, converted) in converted {
                let (converted, own) = (serde_json::to_value(converted).unwrap(), &schemas[&name]);
                for keyword in ["type", "required", "additionalProperties", "x-known-values"] {
                    assert_eq!(converted.get(keyword), own.get(keyword), "{name}: {keyword}");
                }
                let members = |schema: &Value| {
                    let members = schema.get("properties").and_then(Value::as_object);
                    members.map(|members| members.keys().cloned().collect::<Vec<_>>())
                };
                assert_eq!(members(&converted), members(own), "{name}");
                schemas.remove(&name);
            }
            assert!(schemas.is_empty(), "{schemas:?}");
        }
        same::<acusight::ImageNotificationRequest>();
        same::<acusight::CheckinResponse>();
        same::<acusight::ErrorMap>();
        same::<acusight::DeviceId>();
        same::<zstack::HeartbeatRequest>();
        same::<zstack::Agent>();
        same::<zstack::AgentStatus>();
        same::<agentmc::HeartbeatRequest>();
        same::<agentmc::HeartbeatResponse>();
        same::<agentmc::ApiError>();
        same::<achilles::HeartbeatRequest>();
        same::<achilles::Answer<achilles::HeartbeatData>>();
        same::<achilles::ResultAnswer>();
        same::<achilles::TaskResultRequest>();
        same::<achilles::ErrorReply>();
    }
}
