//! A run's YAML file to a typed, checked and resolved [`Config`].
//!
//! [`read()`] does it all: the text becomes a tree of values (`yaml`), `--set` options go
//! over it (`overrides`), the schema says what fits (`shape`), and what depends on more
//! than one key is checked last (`checks`). Every problem is reported with its place, and
//! all of them together. The keys themselves, with their meaning and defaults, are in
//! [`types`].

mod checks;
mod data;
mod experiment;
mod forms;
mod fraction;
mod key_path;
pub mod metric;
mod nearest;
mod overrides;
mod paths;
mod read;
mod schema;
mod selector;
mod shape;
mod source;
mod tracking;
pub mod types;
mod yaml;

pub use data::{DataConfig, HasHeader, LabelNoiseConfig, LabelNoiseKind, Quoting};
pub use experiment::{Budget, Experiment, ExperimentConfig, Seeds, SelectionConfig, SubsetRule};
pub use forms::DatasetPath;
pub use fraction::Fraction;
pub use key_path::KeyPath;
pub use nearest::{by_nearness, nearest};
pub use paths::{ResultLocation, TABLE_EXTENSIONS, result_location};
pub use read::{LoadedConfig, read};
pub use schema::{json_schema, to_yaml};
pub use selector::{
    CellTest, CommandSpec, Condition, End, Fractions, LengthUnit, OVERALL, Program, Range, Region,
    Rule, RuleShare, RuleShares, SamplingStrategy, SelectorSpec, Share, Slice, Slicing,
    SlicingScores, UnderSampling,
};
pub use source::{KeyProblem, Source};
pub use tracking::{DvcConfig, DvcSetConfig, MlflowConfig, ReportTo};
pub use types::*;
