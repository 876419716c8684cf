//! What a metric's value can be.

use serde::{Serialize, Serializer};

/// A metric's value; serializes as a number, a list, or a map in its order. NaN and infinity
/// become null, in JSON as in YAML.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// A score.
    Number(f64),
    /// A number of examples.
    Count(u64),
    /// A value per class, or a row per class of a matrix.
    List(Vec<MetricValue>),
    /// Values by name.
    Map(Vec<(String, MetricValue)>),
    /// Nothing, where lists and maps are not defined; a score that is not is NaN.
    Undefined,
}

impl MetricValue {
    /// The value, where it is one score.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn list(values: impl IntoIterator<Item = Self>) -> Self {
        Self::List(values.into_iter().collect())
    }

    pub(super) fn numbers(values: Vec<f64>) -> Self {
        Self::list(values.into_iter().map(Self::Number))
    }

    pub(super) fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let entries = entries.into_iter();
        Self::Map(
            entries
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }
}

impl Serialize for MetricValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Undefined => serializer.serialize_none(),
            Self::Number(value) if !value.is_finite() => serializer.serialize_none(),
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::List(values) => serializer.collect_seq(values),
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(k, v)| (k, v))),
        }
    }
}
