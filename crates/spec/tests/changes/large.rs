//! Large documents: many operations that share components, in two generations.

use serde_json::{Value, json};

/// A document of this many operations. The second generation differs in one shared component and in every tenth
/// operation.
pub(crate) fn document(operations: usize, second: bool) -> Value {
    let mut paths = serde_json::Map::new();
    let mut schemas = serde_json::Map::new();
    for number in 0..operations {
        let changed = second && number.is_multiple_of(10);
        let resource = format!("resource{number}");
        let mut members = json!({
            "id": {"type": "string", "format": "uuid"},
            "name": {"type": "string", "minLength": 1, "maxLength": if changed { 64 } else { 80 }},
            "state": {"type": "string", "enum": ["new", "active", "gone"]},
            "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}},
            "meta": {"$ref": "#/components/schemas/Meta"},
            "weight": {"type": "number", "minimum": 0, "maximum": 100},
            "parent": {"anyOf": [{"$ref": format!("#/components/schemas/{resource}")}, {"type": "null"}]},
        });
        for extra in 0..4 {
            members[format!("field{extra}")] = json!({"type": ["integer", "null"], "minimum": 0});
        }
        schemas.insert(
            resource.clone(),
            json!({"type": "object", "required": ["id", "name", "state"], "properties": members}),
        );
        let body =
            json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{resource}")}}});
        paths.insert(
            format!("/v1/{resource}/{{id}}"),
            json!({"post": {
                "operationId": format!("update{number}"),
                "tags": ["resources"],
                "parameters": [
                    {"name": "id", "in": "path", "required": true, "schema": {"type": "string"}},
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
                ],
                "requestBody": {"required": true, "content": body.clone()},
                "responses": {
                    "200": {"description": "Done.", "content": body},
                    "404": {"$ref": "#/components/responses/Error"},
                    "422": {"$ref": "#/components/responses/Error"},
                },
            }}),
        );
    }
    let meta = json!({
        "type": "object",
        "required": if second { vec!["created_at"] } else { vec!["created_at", "created_by"] },
        "properties": {
            "created_at": {"type": "string", "format": "date-time"},
            "created_by": {"type": "string", "maxLength": 120},
            "host": {"oneOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]},
        },
    });
    schemas.insert("Meta".to_owned(), meta);
    schemas.insert(
        "Error".to_owned(),
        json!({"type": "object", "required": ["code"], "properties": {"code": {"type": "string"}, "details": {}}}),
    );
    let error = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}});
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Large", "version": if second { "2.0.0" } else { "1.0.0" }},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Error": {"description": "Refused.", "content": error}},
        },
    })
}
