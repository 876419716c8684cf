//! Every section and key of a config, with its meaning, default and unit.
//!
//! The doc comment of a key is also its description in the JSON Schema, and the `schemars`
//! attribute beside it (`minimum`, `exclusiveMaximum`, `required`, ...) is the one place that
//! says which values the key may have: reading a config checks them, and so do editors.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::data::{DataConfig, HasHeader};
use super::experiment::ExperimentConfig;
use super::forms::{DatasetPath, MetricEntry, OneOrMany, metric_list, one_or_many};
use super::tracking::{DvcConfig, MlflowConfig, ReportTo, trackers};

/// A whole run, as the YAML file says it and the defaults complete it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["training"]))]
pub struct Config {
    /// The seed of everything random in the run: initial weights, dropout, order, splits, random picks.
    pub random_state: u64,
    /// Where data lies, which columns it has, and where results go.
    pub data: DataConfig,
    /// The classifier to fine-tune.
    pub model: ModelConfig,
    /// What to compute on every stage beside the loss; none given: `accuracy_score`, `balanced_accuracy_score` and macro `f1_score`.
    #[serde(deserialize_with = "metric_list")]
    #[schemars(with = "Vec<MetricEntry>")]
    pub metrics: Vec<MetricConfig>,
    /// The training set and how to train on it.
    pub training: TrainingConfig,
    /// The test set (in distribution); without it nothing is tested.
    pub testing: Option<TestingConfig>,
    /// The control set (out of distribution), or a list of named ones.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<ControlConfig>")]
    pub control: Vec<ControlConfig>,
    /// Asks for bootstrap confidence intervals of loss and metrics on test and control sets; an empty section has the defaults, none asks for none.
    pub confidence_intervals: Option<ConfidenceIntervalsConfig>,
    /// How the training dynamics are recorded and mapped, when `training.perform_data_cartography` is on.
    pub cartography: CartographyConfig,
    /// The grid of subsets that the command `experiment` trains on; `loop` ignores it.
    pub experiment: Option<ExperimentConfig>,
    /// The `MLflow` server that the run is reported to.
    pub mlflow: Option<MlflowConfig>,
    /// What is put under DVC at the end of a run.
    pub dvc: DvcConfig,
}

/// The classifier to fine-tune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ModelConfig {
    /// A local folder in Hugging Face's layout, a hub id, or `scratch`: a small BERT with random weights and a vocabulary made from the training texts.
    pub model_name: String,
    /// The number of classes; inferred from the training file, more than observed is allowed.
    #[schemars(extend("minimum" = 2))]
    pub num_labels: Option<usize>,
    /// The longest input in tokens, special tokens included; the rest of a text is cut off.
    #[schemars(extend("minimum" = 3))]
    pub max_length: usize,
    /// Accepted for old configs and without effect: batches are packed, nothing is padded.
    pub padding: Option<Value>,
    /// Whether longer texts are cut at `max_length`; when off, one is an error.
    pub truncation: bool,
    /// Accepted for old configs and without effect.
    pub return_tensors: Option<String>,
    /// The folder of the best model, inside the run unless it has a folder of its own.
    pub output_path: PathBuf,
    /// The size of a `scratch` model.
    pub scratch: ScratchConfig,
}

/// The size of a `scratch` model; the keys are those of Hugging Face's `BertConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScratchConfig {
    /// The most word pieces in the vocabulary.
    #[schemars(extend("minimum" = 100))]
    pub vocab_size: usize,
    /// The width of the model; a multiple of `num_attention_heads`.
    #[schemars(extend("minimum" = 1))]
    pub hidden_size: usize,
    /// The number of blocks.
    #[schemars(extend("minimum" = 1))]
    pub num_hidden_layers: usize,
    /// The number of attention heads in a block.
    #[schemars(extend("minimum" = 1))]
    pub num_attention_heads: usize,
    /// The width inside a block's feed-forward part.
    #[schemars(extend("minimum" = 1))]
    pub intermediate_size: usize,
    /// The dropout rate everywhere but in the attention weights, in [0, 1).
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub hidden_dropout_prob: f64,
    /// The dropout rate of the attention weights, in [0, 1).
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub attention_probs_dropout_prob: f64,
}

/// A metric by scikit-learn's name, with scikit-learn's arguments.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["name"]))]
pub struct MetricConfig {
    /// The function's name in `sklearn.metrics`.
    pub name: String,
    /// Its keyword arguments.
    pub args: Map<String, Value>,
    /// The name that files and `metric_for_best_model` have for it; without one it is `name`, to which a second metric of that name has its arguments appended.
    pub name_as: Option<String>,
}

/// The training set and how to train on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["dataset_path"]))]
pub struct TrainingConfig {
    /// The training file (CSV, TSV, JSONL, also with .gz, or Parquet), a glob, or a list of these that makes one set; required.
    pub dataset_path: DatasetPath,
    /// The validation file, glob or list; it wins over `validation_size`.
    pub validation_dataset_path: Option<DatasetPath>,
    /// Its columns, where they are not those of `data`; they hold for the validation file, too.
    #[serde(flatten)]
    pub columns: SectionColumns,
    /// Where the best model's predictions on the training set go, the format by extension: .csv .tsv .jsonl .parquet .pickle; none: nowhere.
    pub results_file: Option<PathBuf>,
    /// The share of the training set (above 0, below 1) that is split off for validation, stratified by label.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub validation_size: Option<f64>,
    /// What picks the examples to train on, in this order.
    pub selectors: Vec<SelectorConfig>,
    /// Examples in one forward pass; times `gradient_accumulation_steps` in one optimizer step.
    #[schemars(extend("minimum" = 1))]
    pub batch_size: usize,
    /// How often the training set is gone through.
    #[schemars(extend("minimum" = 1))]
    pub epochs: usize,
    /// The highest learning rate of the schedule.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// How the learning rate changes after the warmup.
    pub lr_scheduler_type: LrSchedulerType,
    /// The share of all steps over which the learning rate rises from 0, in [0, 1].
    #[schemars(extend("minimum" = 0, "maximum" = 1))]
    pub warmup_ratio: f64,
    /// The number of steps over which the learning rate rises from 0; above 0 it wins over `warmup_ratio`.
    pub warmup_steps: usize,
    /// `AdamW`'s decoupled weight decay; biases and layer norms have none.
    #[schemars(extend("minimum" = 0))]
    pub weight_decay: f64,
    /// The largest norm of the gradient; a longer one is scaled down to it. 0: no limit.
    #[schemars(extend("minimum" = 0))]
    pub max_grad_norm: f64,
    /// Forward passes whose gradients make one optimizer step.
    #[schemars(extend("minimum" = 1))]
    pub gradient_accumulation_steps: usize,
    /// `AdamW`'s decay of the first moment, in [0, 1).
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub adam_beta1: f64,
    /// `AdamW`'s decay of the second moment, in [0, 1).
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub adam_beta2: f64,
    /// `AdamW`'s epsilon.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub adam_epsilon: f64,
    /// What the products of the linear layers are computed in; everything else is f32.
    pub precision: PrecisionConfig,
    /// How much of the target is spread evenly over all classes, in [0, 1).
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub label_smoothing_factor: f64,
    /// How much an example of each class counts in the training loss: `balanced` (examples / (classes x examples of the class), counted on what is trained on), or a number per label; a label without one counts 1. The loss of an evaluation has no weights.
    pub class_weights: Option<ClassWeights>,
    /// The learning rate of each block as a share of that of the block above it, in (0, 1]; the head has the full rate, the embeddings the smallest.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub layerwise_lr_decay: Option<f64>,
    /// Parameters that are not trained, as patterns of their names in the checkpoint, in which `*` stands for anything: `bert.embeddings.*`.
    pub freeze: Vec<String>,
    /// Whether the examples are trained on in the order of `curriculum_order`, the same in every epoch, instead of a random one.
    pub curriculum_learning: bool,
    /// What the curriculum goes by, smallest first: `length` (in tokens), `map.COLUMN` (a column of the table at `data_cartography_results`), or the name of a column of the training file. None: the order that a selector gives, else the column `order`.
    #[schemars(with = "Option<String>")]
    pub curriculum_order: Option<CurriculumOrder>,
    /// Whether the curriculum begins with the largest.
    pub curriculum_descending: bool,
    /// After how many evaluations in a row without a better `metric_for_best_model` training stops; needs a validation set.
    #[schemars(extend("minimum" = 1))]
    pub early_stopping_patience: Option<usize>,
    /// By how much a value must beat the best so far to count as better for early stopping.
    #[schemars(extend("minimum" = 0))]
    pub early_stopping_threshold: f64,
    /// What decides which epoch's model is the best: `loss` or any metric's name; one that `metrics` does not list is added.
    pub metric_for_best_model: String,
    /// Whether to record the training dynamics and make the data map.
    pub perform_data_cartography: bool,
    /// The map's table, its format by extension: .parquet .csv .tsv .jsonl .pickle.
    pub data_cartography_results: PathBuf,
    /// Wins over `data.output_dir`.
    pub output_dir: Option<PathBuf>,
    /// Where the run is reported while it trains: `tensorboard`, `mlflow` (which an `mlflow` section also turns on), or a list of them.
    #[serde(deserialize_with = "trackers")]
    #[schemars(with = "OneOrMany<ReportTo>")]
    pub report_to: Vec<ReportTo>,
    /// Optimizer steps between two reports of loss, learning rate and gradient norm.
    #[schemars(extend("minimum" = 1))]
    pub logging_steps: usize,
    /// Optimizer steps between two checkpoints, which `loop --resume` goes on from. 0: only those at the ends of epochs, which are made in any case where they are worth their time.
    pub save_steps: usize,
    /// The folder for `TensorBoard`'s event files, with a folder for each run in it; none: the run's own folder.
    pub logging_dir: Option<PathBuf>,
    /// The run's name in reports; none: the output folder's name and the run's number.
    pub run_name: Option<String>,
}

/// How the learning rate changes after the warmup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedulerType {
    /// Falls in a straight line to 0 at the last step.
    #[default]
    Linear,
    /// Falls along half a cosine to 0 at the last step.
    Cosine,
    /// Stays.
    Constant,
    /// Stays; the name that Hugging Face has for a constant rate after a warmup.
    ConstantWithWarmup,
}

/// What products of matrices are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionConfig {
    /// `bf16` where it is multiplied natively (a processor with AMX or AVX-512 for bf16, a GPU), else `f32`.
    #[default]
    Auto,
    /// 24 significant bits.
    F32,
    /// Factors of 8 significant bits, sums in f32; weights and optimizer stay f32.
    Bf16,
}

/// What a curriculum goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CurriculumOrder {
    /// The number of tokens.
    Length,
    /// A column of the data map's table.
    Map(String),
    /// A column of the training file.
    Column(String),
}

/// The column of the training file that a curriculum goes by where none is named.
pub const DEFAULT_CURRICULUM_COLUMN: &str = "order";

/// How much an example of each class counts in the training loss.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassWeights {
    /// All examples / (classes x examples of the class): every class counts the same.
    Balanced,
    /// By label; all above 0.
    Given(BTreeMap<String, f64>),
}

/// A selector by name, with its arguments.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["name"]))]
pub struct SelectorConfig {
    /// `dummy` (takes everything), `data_cartography`, `random_under_sampler`, `slicing` or `command`.
    pub name: String,
    /// Its arguments; keys may use `-` or `_`.
    pub args: Map<String, Value>,
}

/// The test set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["dataset_path"]))]
pub struct TestingConfig {
    /// The test file, glob or list; required when there is a `testing` section.
    pub dataset_path: DatasetPath,
    /// Its columns, where they are not those of `data`.
    #[serde(flatten)]
    pub columns: SectionColumns,
    /// What picks the examples to test on, in this order.
    pub selectors: Vec<SelectorConfig>,
    /// Where the predictions go, the format by extension: .csv .tsv .jsonl .parquet .pickle.
    pub results_file: Option<PathBuf>,
}

/// The columns of one section's files; each wins over the key of the same name in `data`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SectionColumns {
    /// `data.has_header` for this section's files.
    pub has_header: Option<HasHeader>,
    /// `data.text_column_id` for this section's files.
    pub text_column_id: Option<usize>,
    /// `data.label_column_id` for this section's files.
    pub label_column_id: Option<usize>,
}

/// A control set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["dataset_path"]))]
pub struct ControlConfig {
    /// Its name, needed when there are several; its stage is then `control_NAME`.
    pub name: Option<String>,
    /// The control file, glob or list; required.
    pub dataset_path: DatasetPath,
    /// Its columns, where they are not those of `data`.
    #[serde(flatten)]
    pub columns: SectionColumns,
    /// Where the predictions go, the format by extension: .csv .tsv .jsonl .parquet .pickle.
    pub results_file: Option<PathBuf>,
}

/// Confidence intervals by the bootstrap's percentiles; the keys are those of `scipy.stats.bootstrap`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConfidenceIntervalsConfig {
    /// How often the examples are drawn again, with replacement.
    #[schemars(extend("minimum" = 1, "maximum" = 1_000_000))]
    pub n_resamples: usize,
    /// The probability with which an interval is to hold the true value, above 0 and below 1.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence_level: f64,
}

/// How the training dynamics are recorded and mapped.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CartographyConfig {
    /// When an example's logits are taken.
    pub record: Record,
    /// Only the first so many epochs make the map; none: all.
    #[schemars(extend("minimum" = 1))]
    pub burn_out: Option<usize>,
    /// Whether variability becomes sqrt(var + var^2 / (epochs - 1)), as the paper's code has it on request.
    pub include_ci: bool,
}

/// When an example's logits are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// In a pass without dropout, with the weights at the end of each epoch: the paper's definition.
    #[default]
    EpochEnd,
    /// In the training forward pass itself, as the paper's code does; costs nothing.
    DuringTraining,
}

/// The seed of a run whose config gives no `random_state`.
pub const DEFAULT_RANDOM_STATE: u64 = 42;

/// The encoder of a run whose config gives no `model_name`.
pub const DEFAULT_MODEL: &str = "bert-base-cased";

impl Default for Config {
    fn default() -> Self {
        Self {
            random_state: DEFAULT_RANDOM_STATE,
            data: DataConfig::default(),
            model: ModelConfig::default(),
            metrics: MetricConfig::defaults(),
            training: TrainingConfig::default(),
            testing: None,
            control: Vec::new(),
            confidence_intervals: None,
            cartography: CartographyConfig::default(),
            experiment: None,
            mlflow: None,
            dvc: DvcConfig::default(),
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            model_name: DEFAULT_MODEL.to_owned(),
            num_labels: None,
            max_length: 256,
            padding: None,
            truncation: true,
            return_tensors: None,
            output_path: PathBuf::from("best_model"),
            scratch: ScratchConfig::default(),
        }
    }
}

/// A model that learns a few thousand sentences in minutes on two cores.
impl Default for ScratchConfig {
    fn default() -> Self {
        Self {
            vocab_size: 8000,
            hidden_size: 128,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 512,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
        }
    }
}

/// The 1,000 resamples of Efron and Tibshirani (1993), section 12.5, for percentiles.
impl Default for ConfidenceIntervalsConfig {
    fn default() -> Self {
        Self {
            n_resamples: 1000,
            confidence_level: 0.95,
        }
    }
}

impl MetricConfig {
    /// The metric `name` as it is computed where a config gives no arguments for it: with the
    /// macro average and one class against the rest where that also holds for more than two
    /// classes, and with scikit-learn's defaults elsewhere.
    pub fn with_default_args(name: &str) -> Self {
        let mut args = Map::new();
        match name {
            "f1_score" | "jaccard_score" | "precision_score" | "recall_score" => {
                args.insert("average".to_owned(), Value::from("macro"));
            }
            "roc_auc_score" => {
                args.insert("multi_class".to_owned(), Value::from("ovr"));
            }
            _ => {}
        }
        Self {
            name: name.to_owned(),
            args,
            name_as: None,
        }
    }

    /// What is computed where a config gives no metrics.
    pub fn defaults() -> Vec<Self> {
        ["accuracy_score", "balanced_accuracy_score", "f1_score"]
            .map(Self::with_default_args)
            .to_vec()
    }
}

/// Optimizer and schedule as Hugging Face's `TrainingArguments` (transformers 4.57) has
/// them; batch size and learning rate as in the Python enginora.
impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            dataset_path: DatasetPath::default(),
            columns: SectionColumns::default(),
            results_file: None,
            validation_dataset_path: None,
            validation_size: None,
            selectors: Vec::new(),
            batch_size: 32,
            epochs: 1,
            learning_rate: 1e-5,
            precision: PrecisionConfig::Auto,
            lr_scheduler_type: LrSchedulerType::Linear,
            warmup_ratio: 0.0,
            warmup_steps: 0,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            gradient_accumulation_steps: 1,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            label_smoothing_factor: 0.0,
            class_weights: None,
            layerwise_lr_decay: None,
            freeze: Vec::new(),
            curriculum_learning: false,
            curriculum_order: None,
            curriculum_descending: false,
            early_stopping_patience: None,
            early_stopping_threshold: 0.0,
            metric_for_best_model: "loss".to_owned(),
            perform_data_cartography: false,
            data_cartography_results: PathBuf::from("data_cartography_metrics.pickle"),
            output_dir: None,
            report_to: Vec::new(),
            logging_steps: 10,
            save_steps: 500,
            logging_dir: None,
            run_name: None,
        }
    }
}
