//! The JSON Schema of a config, and a config as YAML.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::types::Config;
use crate::error::{Error, Result};

/// The JSON Schema (draft 2020-12) of a config, for editors: every key with its description,
/// default and allowed values, and no key beside them. As in reading, null stands for a
/// key's default.
pub fn json_schema() -> Value {
    let mut schema = strict_schema();
    allow_null(&mut schema);
    schema["title"] = json!("enginora-rs config");
    schema
}

/// The schema by which configs are checked: everything in its place, without references and
/// without null, because reading drops nulls first.
pub(super) fn strict_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Config>();
    let mut schema = schema.to_value();
    tidy(&mut schema);
    schema
}

/// Closes every struct to other keys and takes the null out of every optional key's type.
fn tidy(schema: &mut Value) {
    if schema.get("properties").is_some() {
        schema["additionalProperties"] = json!(false);
    }
    if let Some(types) = schema.get("type").and_then(Value::as_array) {
        let types: Vec<Value> = types.iter().filter(|t| *t != "null").cloned().collect();
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    // Rust's names for its number types mean nothing to a JSON Schema.
    if let Some(object) = schema.as_object_mut() {
        object.shift_remove("format");
    }
    for_each_subschema(schema, tidy);
}

/// Lets every key that is not required be null.
fn allow_null(schema: &mut Value) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required = |key: &str| {
        required
            .as_array()
            .is_some_and(|r| r.iter().any(|k| k == key))
    };
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (key, property) in properties {
            if !is_required(key) {
                add_null(property);
            }
        }
    }
    for_each_subschema(schema, allow_null);
}

fn add_null(property: &mut Value) {
    if let Some(word) = property.get("type").and_then(Value::as_str) {
        property["type"] = json!([word, "null"]);
    }
    for (word, null) in [
        ("enum", Value::Null),
        ("oneOf", json!({"type": "null"})),
        ("anyOf", json!({"type": "null"})),
    ] {
        if let Some(choices) = property.get_mut(word).and_then(Value::as_array_mut) {
            choices.push(null);
        }
    }
}

fn for_each_subschema(schema: &mut Value, change: fn(&mut Value)) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(change);
    }
    if let Some(items) = schema.get_mut("items") {
        change(items);
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get_mut(word).and_then(Value::as_array_mut) {
            choices.iter_mut().for_each(change);
        }
    }
}

/// A config as YAML: every key with its resolved value. Read back, it is the same config.
///
/// # Errors
/// [`crate::error::ErrorKind::Internal`] where a path is not UTF-8, which no config file can
/// give.
pub fn to_yaml(config: &Config) -> Result<String> {
    serde_yaml::to_string(config)
        .map_err(|e| Error::internal(format!("the config cannot be written as YAML: {e}")))
}
