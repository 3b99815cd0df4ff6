//! The names and shapes of the generated schemas.
#![cfg(feature = "schema")]

use fleetwire_protocol::{acusight, agentmc};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

fn components(roots: impl FnOnce(&mut SchemaGenerator)) -> serde_json::Map<String, Value> {
    let mut generator = generator();
    roots(&mut generator);
    generator.take_definitions(true)
}

#[test]
fn components_carry_the_names_of_the_sources() {
    let acusight = components(|generator| {
        generator.subschema_for::<acusight::CheckinRequest>();
        generator.subschema_for::<acusight::CheckinResponse>();
        generator.subschema_for::<acusight::ImageNotificationRequest>();
    });
    let names: Vec<_> = acusight.keys().map(String::as_str).collect();
    let mut expected = vec![
        "handlers.CheckinRequest",
        "handlers.CheckinResponse",
        "handlers.DeviceRequest",
        "handlers.ImageNotificationRequest",
        "models.AnnotationData",
        "models.DeviceAction",
    ];
    let mut names = names;
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);

    let agentmc = components(|generator| {
        generator.subschema_for::<agentmc::HeartbeatRequest>();
        generator.subschema_for::<agentmc::HeartbeatResponse>();
        generator.subschema_for::<agentmc::ApiError>();
    });
    for name in ["StoreAgentHeartbeatApiRequest", "AgentHeartbeatResponse", "Host", "ApiError"] {
        assert!(agentmc.contains_key(name), "{name} is not among {:?}", agentmc.keys());
    }
}

#[test]
fn schema_requires_what_the_source_requires() {
    fn required<T: JsonSchema>() -> Vec<String> {
        let schema = generator().into_root_schema_for::<T>();
        let names = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        names.into_iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }
    assert_eq!(required::<acusight::CheckinRequest>(), ["device_id"]);
    let mut notify = required::<acusight::ImageNotificationRequest>();
    notify.sort();
    assert_eq!(notify, ["device_id", "filename", "height", "storage_key", "width"]);
    assert_eq!(required::<acusight::DeviceAction>(), [""; 0]);
    assert_eq!(required::<agentmc::HeartbeatResponse>(), ["ok", "server_time"]);
    assert_eq!(required::<agentmc::Host>().len(), 12);
}

#[test]
fn every_reference_resolves() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(target)) = members.get("$ref") {
                    found.push(target.clone());
                }
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    use fleetwire_protocol::{achilles, zstack};
    let definitions = components(|generator| {
        generator.subschema_for::<agentmc::HeartbeatRequest>();
        generator.subschema_for::<agentmc::HeartbeatResponse>();
        generator.subschema_for::<agentmc::ApiError>();
        generator.subschema_for::<zstack::Agent>();
        generator.subschema_for::<zstack::ErrorReply>();
        generator.subschema_for::<achilles::Answer<achilles::Task>>();
        generator.subschema_for::<achilles::Answer<achilles::EnrollData>>();
        generator.subschema_for::<achilles::TaskResultRequest>();
        generator.subschema_for::<achilles::HeartbeatRequest>();
    });
    let mut found = Vec::new();
    definitions.values().for_each(|schema| references(schema, &mut found));
    assert!(!found.is_empty());
    for target in found {
        let name = target.strip_prefix("#/$defs/").unwrap();
        assert!(definitions.contains_key(&name.replace("~1", "/").replace("~0", "~")), "{target}");
    }
}
