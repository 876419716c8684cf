//! The section `data`: where data lies, which columns it has, and where results go.
//!
//! As in [`super::types`], the comment of a key is its description in the JSON Schema.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fraction;

/// Where data lies, which columns it has, and where results go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DataConfig {
    /// A folder put before every relative `dataset_path`; empty: the working directory.
    pub data_dir: PathBuf,
    /// The folder that keeps the runs and shows the latest one's files.
    pub output_dir: PathBuf,
    /// Whether the first row of CSV and TSV files names the columns; `auto`: it does when one of its cells is a label column's name.
    pub has_header: HasHeader,
    /// The text column's position, counted from 0.
    pub text_column_id: Option<usize>,
    /// The label column's position, counted from 0.
    pub label_column_id: Option<usize>,
    /// The text column's name.
    pub text_column: Option<String>,
    /// The second text's column name, for pairs of texts.
    pub text_pair_column: Option<String>,
    /// The columns of the options of a multiple choice, in the order of the labels, of which there are as many, at least two: each option makes a pair with the text, and the model picks one.
    pub option_columns: Vec<String>,
    /// The mark in the text that an option takes the place of, once in every text, as `_`: what is before it is the first text of the pair, the option and what follows it the second. None: the option is the second text, or follows it.
    pub option_blank: Option<String>,
    /// The label column's name.
    pub label_column: Option<String>,
    /// The id column's name; without an id column an example's id is its row number, counted from 0 over all files of the set.
    pub id_column: Option<String>,
    /// The name of the column with the true labels of a training set whose labels are known to be noisy: kept for reports, never trained on; an empty one is unknown, other sets need not have the column.
    pub true_label_column: Option<String>,
    /// How quotes in CSV and TSV files are read.
    pub quoting: Quoting,
    /// Makes some of the training labels wrong on purpose, to see whether they are found again.
    pub label_noise: Option<LabelNoiseConfig>,
    /// Further columns to keep of every file that has them, by name, or by position (from 0)
    /// where a file has no header; not a key, but what the rest of the config needs.
    #[serde(skip)]
    #[schemars(skip)]
    pub extra_columns: Vec<String>,
    /// Whether files need no labels, as those of texts to predict; not a key either.
    #[serde(skip)]
    #[schemars(skip)]
    pub without_labels: bool,
}

/// Labels that are made wrong on purpose, after the validation examples were split off, which keep theirs; the true ones stay known to reports, as those of `true_label_column` do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["fraction"]))]
pub struct LabelNoiseConfig {
    /// The share of the training examples whose label becomes another class, above 0 and below 1: of N examples floor(fraction N).
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub fraction: f64,
    /// What the labels become.
    pub kind: LabelNoiseKind,
    /// Decides which labels; apart from `random_state`, so that runs with other seeds have the same noise.
    pub seed: u64,
}

impl LabelNoiseConfig {
    /// The share as the exact decimal that it is written as.
    ///
    /// # Errors
    /// What is expected instead, where it has too many decimals.
    pub fn share(&self) -> Result<Fraction, &'static str> {
        Fraction::parse(&self.fraction.to_string())
    }
}

/// What labels that are made wrong become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelNoiseKind {
    /// Any of the other classes, each as likely.
    #[default]
    Uniform,
    /// The next class, after the last the first; of each class's n examples floor(fraction n). In the literature: pair flipping.
    ByClass,
}

/// How quotes in CSV and TSV files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quoting {
    /// Commas: `minimal`. Tabs: `minimal` if the whole file is quoted as a program quotes it (every cell of the first row, or exactly the cells that need it), else `none`.
    #[default]
    Auto,
    /// A cell that starts with a double quote ends at the next one that is not doubled.
    Minimal,
    /// A quote is a character of the text, as in GLUE's files.
    None,
}

/// Whether the first row of a file names the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HasHeader {
    /// It does when one of its cells is a label column's name.
    #[default]
    Auto,
    /// It does.
    Yes,
    /// It is an example.
    No,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::new(),
            output_dir: PathBuf::from("results"),
            has_header: HasHeader::Auto,
            text_column_id: None,
            label_column_id: None,
            text_column: None,
            text_pair_column: None,
            option_columns: Vec::new(),
            option_blank: None,
            label_column: None,
            id_column: None,
            extra_columns: Vec::new(),
            without_labels: false,
            true_label_column: None,
            quoting: Quoting::Auto,
            label_noise: None,
        }
    }
}

/// Without a share, which is required; the seed is any number but 0, which many set themselves.
impl Default for LabelNoiseConfig {
    fn default() -> Self {
        Self {
            fraction: 0.0,
            kind: LabelNoiseKind::Uniform,
            seed: 1,
        }
    }
}
