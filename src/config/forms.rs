//! Keys that may be written in more than one way.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::data::HasHeader;
use super::types::{ClassWeights, CurriculumOrder, MetricConfig};

/// One thing, or a list of them.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMany<T> {
    // A list comes first: serde would also read an empty one as a struct of defaults.
    Many(Vec<T>),
    One(T),
}

/// Reads one thing as the list of it.
pub(super) fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// A metric: its name alone, or with arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum MetricEntry {
    Name(String),
    Full(MetricConfig),
}

/// Reads metrics; a name alone has scikit-learn's default arguments.
pub(super) fn metric_list<'de, D>(deserializer: D) -> Result<Vec<MetricConfig>, D::Error>
where
    D: Deserializer<'de>,
{
    let entries = Vec::<MetricEntry>::deserialize(deserializer)?;
    Ok(entries
        .into_iter()
        .map(|entry| match entry {
            MetricEntry::Full(metric) => metric,
            MetricEntry::Name(name) => MetricConfig {
                name,
                ..MetricConfig::default()
            },
        })
        .collect())
}

/// The files of a data set as a config names them: a path, a glob, or several of either.
///
/// Which files these are is looked up when they are read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct DatasetPath(#[serde(deserialize_with = "one_or_many")] Vec<PathBuf>);

impl DatasetPath {
    /// The paths and globs, in their order.
    pub fn names(&self) -> &[PathBuf] {
        &self.0
    }
}

impl From<&str> for DatasetPath {
    fn from(name: &str) -> Self {
        Self(vec![name.into()])
    }
}

impl Serialize for DatasetPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            names => names.serialize(serializer),
        }
    }
}

impl JsonSchema for DatasetPath {
    fn schema_name() -> Cow<'static, str> {
        "DatasetPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
        ]})
    }
}

impl Serialize for HasHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Yes => serializer.serialize_bool(true),
            Self::No => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for HasHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(true) => Ok(Self::Yes),
            Value::Bool(false) => Ok(Self::No),
            Value::String(word) if word == "auto" => Ok(Self::Auto),
            other => Err(D::Error::invalid_value(
                Unexpected::Other(&other.to_string()),
                &"`auto`, `true` or `false`",
            )),
        }
    }
}

impl JsonSchema for HasHeader {
    fn schema_name() -> Cow<'static, str> {
        "HasHeader".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": ["auto", true, false]})
    }
}

/// The word for [`ClassWeights::Balanced`].
const BALANCED: &str = "balanced";

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Balanced => serializer.serialize_str(BALANCED),
            Self::Given(weights) => weights.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(word) if word == BALANCED => Ok(Self::Balanced),
            value => BTreeMap::deserialize(value)
                .map(Self::Given)
                .map_err(D::Error::custom),
        }
    }
}

impl JsonSchema for ClassWeights {
    fn schema_name() -> Cow<'static, str> {
        "ClassWeights".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"enum": [BALANCED]},
                {
                    "type": "object",
                    "additionalProperties": {"type": "number", "exclusiveMinimum": 0}
                }
            ]
        })
    }
}

/// What stands before a map's column in [`CurriculumOrder::Map`].
const MAP_COLUMN: &str = "map.";

impl Serialize for CurriculumOrder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Length => serializer.serialize_str("length"),
            Self::Map(column) => serializer.collect_str(&format_args!("{MAP_COLUMN}{column}")),
            Self::Column(column) => serializer.serialize_str(column),
        }
    }
}

impl<'de> Deserialize<'de> for CurriculumOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.strip_prefix(MAP_COLUMN) {
            _ if text == "length" => Self::Length,
            Some(column) => Self::Map(column.to_owned()),
            None => Self::Column(text),
        })
    }
}
