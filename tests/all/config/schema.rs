//! The schema that editors get.

use enginora_rs::config::{Config, json_schema, to_yaml};
use serde_json::Value;

use super::{SEED_MAP, SEED_SUBSET};

/// Every subschema that describes a struct, with its path.
fn structs<'a>(schema: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    if let Some(properties) = schema["properties"].as_object() {
        found.push((path.to_owned(), schema));
        for (key, property) in properties {
            structs(property, &format!("{path}.{key}"), found);
        }
    }
    structs_of_choices(schema, path, found);
}

fn structs_of_choices<'a>(schema: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    if schema["items"].is_object() {
        structs(&schema["items"], path, found);
    }
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        structs(choice, path, found);
    }
}

#[test]
fn every_struct_is_closed_and_every_key_described() {
    let schema = json_schema();
    let mut found = Vec::new();
    structs(&schema, "", &mut found);
    assert!(found.len() >= 12, "only {} structs", found.len());
    for (path, schema) in found {
        assert_eq!(schema["additionalProperties"], false, "{path}");
        for (key, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{path}.{key}");
            let required = schema["required"].as_array();
            let is_required = required.is_some_and(|r| r.iter().any(|k| k == key));
            assert!(
                is_required || property.get("default").is_some(),
                "{path}.{key}"
            );
        }
    }
}

#[test]
fn bounds_words_and_defaults_are_in_the_schema() {
    let schema = json_schema();
    let check = |pointer: &str, expected: &str| {
        let got = schema.pointer(pointer).unwrap();
        assert_eq!(got.to_string(), expected, "{pointer}");
    };
    let training = "/properties/training/properties";
    check("/required", r#"["training"]"#);
    check("/properties/training/required", r#"["dataset_path"]"#);
    check("/properties/training/type", r#""object""#);
    check(
        &format!("{training}/dataset_path/anyOf"),
        r#"[{"type":"string"},{"type":"array","items":{"type":"string"},"minItems":1}]"#,
    );
    check(&format!("{training}/epochs/minimum"), "1");
    check(&format!("{training}/epochs/default"), "1");
    check(&format!("{training}/epochs/type"), r#"["integer","null"]"#);
    check(&format!("{training}/learning_rate/exclusiveMinimum"), "0");
    check(&format!("{training}/validation_size/exclusiveMaximum"), "1");
    check(
        &format!("{training}/lr_scheduler_type/oneOf/1/const"),
        r#""cosine""#,
    );
    check(
        "/properties/data/properties/has_header/enum",
        r#"["auto",true,false,null]"#,
    );
    check("/properties/control/anyOf/0/type", r#""array""#);
}

/// Whether a value's keys are all known to the schema.
fn keys_are_known(schema: &Value, value: &serde_yaml::Value) -> bool {
    use serde_yaml::Value as Yaml;
    let choices = schema["anyOf"].as_array();
    if let Some(choices) = choices {
        return choices.iter().any(|choice| keys_are_known(choice, value));
    }
    match value {
        Yaml::Mapping(entries) if schema["properties"].is_object() => {
            entries.iter().all(|(key, value)| {
                match schema["properties"].get(key.as_str().unwrap()) {
                    Some(property) => keys_are_known(property, value),
                    None => false,
                }
            })
        }
        Yaml::Sequence(items) => items
            .iter()
            .all(|item| keys_are_known(&schema["items"], item)),
        _ => true,
    }
}

#[test]
fn the_schema_knows_the_keys_of_real_configs() {
    let schema = json_schema();
    let resolved = to_yaml(&Config::default()).unwrap();
    for text in [SEED_MAP, SEED_SUBSET, &resolved] {
        let value: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
        assert!(keys_are_known(&schema, &value), "{text}");
    }
    let unknown: serde_yaml::Value = serde_yaml::from_str("training: {epoch: 1}").unwrap();
    assert!(!keys_are_known(&schema, &unknown));
}
