//! The sections and values that say where a run is reported and what is put under DVC.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::forms::one_or_many;

/// Where a run is reported while it trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReportTo {
    /// Event files for `TensorBoard`.
    Tensorboard,
    /// The server that the `mlflow` section or `MLFLOW_TRACKING_URI` names.
    Mlflow,
    /// Nowhere: Hugging Face's word for an empty list.
    None,
}

/// Reads one tracker or a list of them. What the shape's check refused has left a null behind,
/// which was said there.
pub(super) fn trackers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<ReportTo>, D::Error> {
    let trackers: Vec<Option<ReportTo>> = one_or_many(deserializer)?;
    Ok(trackers.into_iter().flatten().collect())
}

/// The `MLflow` server that a run is reported to; the section's presence turns it on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MlflowConfig {
    /// The server, such as `http://localhost:5000`; none: `MLFLOW_TRACKING_URI`.
    pub tracking_uri: Option<String>,
    /// The experiment, which is made where there is none of this name; none: `MLFLOW_EXPERIMENT_NAME`, else `Default`.
    pub experiment_name: Option<String>,
    /// Tags of the experiment and of the run, names to texts or numbers.
    pub tags: Map<String, Value>,
    /// Whether the best model is stored with the run, too.
    pub log_model: bool,
}

/// What is put under DVC, with `dvc add`, at the end of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DvcConfig {
    /// Whether anything is.
    pub enabled: bool,
    /// The training set's files.
    pub training: DvcSetConfig,
    /// The test set's files.
    pub test: DvcSetConfig,
    /// The control sets' files.
    pub control: DvcSetConfig,
    /// Whether the best model is.
    pub track_model: bool,
}

/// Which files of a data set are put under DVC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DvcSetConfig {
    /// The data set itself.
    pub track_dataset: bool,
    /// What the run found out about it: predictions, and for the training set dynamics and map.
    pub track_results: bool,
}

impl Default for DvcConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            training: DvcSetConfig::default(),
            test: DvcSetConfig::default(),
            control: DvcSetConfig::default(),
            track_model: true,
        }
    }
}

impl Default for DvcSetConfig {
    fn default() -> Self {
        Self {
            track_dataset: true,
            track_results: true,
        }
    }
}
