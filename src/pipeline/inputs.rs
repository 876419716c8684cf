//! Everything that a run reads, read and checked before a model is loaded.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::metric::Metric;
use crate::config::{
    ClassWeights, Config, DatasetPath, LoadedConfig, MetricConfig, ResultLocation, SectionColumns,
    SelectorSpec, Slice, SlicingScores, Source, result_location,
};
use crate::data::{
    DataFiles, Dataset, ExampleIndex, LabelSpace, Subset, add_label_noise, read_evaluation,
    read_training, stratified_split,
};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::map::{MapTable, read_map};
use crate::metrics;
use crate::pipeline::curriculum::curriculum_values;
use crate::pipeline::model_source::ModelSource;
use crate::pipeline::ready_model::thousands;
use crate::random::{Purpose, Stream};
use crate::select::{Chain, Commands, Selection, run_selectors};
use crate::train::MetricSet;

/// The data of a run; clones share what is large.
#[derive(Clone)]
pub struct Inputs {
    /// The whole training file.
    pub training: Arc<Dataset>,
    /// Its classes.
    pub labels: LabelSpace,
    /// The rows of it that are not split off for validation.
    pub training_part: Subset,
    /// What the selectors leave of them.
    pub selection: Selection,
    /// What a curriculum by a column sorts the rows of the training file by.
    pub curriculum_values: Option<Arc<Vec<f64>>>,
    /// How much each class counts in the training loss; none: the same.
    pub class_weights: Option<Vec<f32>>,
    /// What is validated on.
    pub validation: Arc<ValidationSet>,
    /// The test set and the control sets, in this order.
    pub stages: Arc<Vec<EvaluationSet>>,
    /// What is measured.
    pub metrics: MetricSet,
    /// The named subsets that are scored on every stage.
    pub slices: Vec<Slice>,
    /// What is measured on them.
    pub slice_metrics: MetricSet,
    /// What to start from, which may have to be fetched.
    pub model: Arc<ModelSource>,
}

/// Where validation examples come from.
pub enum ValidationSet {
    /// Nowhere.
    None,
    /// A file.
    File(Dataset),
    /// These rows of the training file.
    Split(Vec<ExampleIndex>),
}

/// A set that the finished model is evaluated on.
pub struct EvaluationSet {
    /// `test`, `control` or `control_NAME`.
    pub stage: String,
    /// The whole file.
    pub dataset: Dataset,
    /// What the selectors leave of it.
    pub selection: Selection,
    results_file: Option<PathBuf>,
}

impl EvaluationSet {
    /// Where the predictions go: the config's path, or `predictions_STAGE.csv`.
    pub fn results_file(&self) -> PathBuf {
        let default = || PathBuf::from(format!("predictions_{}.csv", self.stage));
        self.results_file.clone().unwrap_or_else(default)
    }
}

/// The training file and what is split off it.
pub struct TrainingSet {
    /// The whole file, with the labels that are trained on.
    pub dataset: Dataset,
    /// Its classes.
    pub labels: LabelSpace,
    /// What is validated on.
    pub validation: ValidationSet,
    /// The rows that are not split off for validation.
    pub part: Subset,
}

impl TrainingSet {
    /// Reads the training file and the validation set, and adds the label noise that the config
    /// wants.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(loaded: &LoadedConfig) -> Result<Self> {
        let LoadedConfig { config, source, .. } = loaded;
        let columns = config.columns_of(&config.training.columns);
        let (mut dataset, labels) = files(config, &config.training.dataset_path)
            .and_then(|files| read_training(files, &columns, config.model.num_labels))
            .map_err(|e| at_key(e, source, "training.dataset_path"))?;
        say_warnings(&dataset);
        let (validation, part) = validation_set(config, source, &dataset, &labels)?;
        add_noise(config, &mut dataset, &part)?;
        Ok(Self {
            dataset,
            labels,
            validation,
            part,
        })
    }
}

impl Inputs {
    /// Reads all files that the config names and checks what they hold.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(loaded: &LoadedConfig, commands: Commands) -> Result<Self> {
        let LoadedConfig { config, source, .. } = loaded;
        let model = ModelSource::find(config, source)?;
        let TrainingSet {
            dataset: mut training,
            labels,
            validation,
            part: training_part,
        } = TrainingSet::read(loaded)?;
        let metrics = MetricSet::new(&config.metrics);
        let slice_metrics = slice_metric_set(config, &metrics);
        let positions = metric_positions(config);
        for ((_, metric), i) in metrics.metrics.iter().zip(positions) {
            metrics::check(metric, labels.names()).map_err(|e| in_metric(&e, source, i))?;
        }
        let position = config.metrics.iter().position(is_slicing_scores);
        for (_, metric) in &slice_metrics.metrics {
            let position = position.unwrap_or_default();
            metrics::check(metric, labels.names()).map_err(|e| in_metric(&e, source, position))?;
        }
        let stages = evaluation_sets(loaded, &labels, commands)?;
        let selectors = super::selectors(&config.training.selectors, "training")?;
        let part = training_part.clone();
        let chain = (&*selectors, "train", "training");
        let selection = select(loaded, chain, &labels, commands, &mut training, part)?;
        let slices = slices(config)?;
        let curriculum_values = curriculum_values(loaded, &training, &selection)?;
        let class_weights = class_weights(loaded, &training, &labels, &selection.draws())?;
        Ok(Self {
            training: Arc::new(training),
            labels,
            training_part,
            selection,
            curriculum_values: curriculum_values.map(Arc::new),
            class_weights,
            validation: Arc::new(validation),
            stages: Arc::new(stages),
            metrics,
            slices,
            slice_metrics,
            model: Arc::new(model),
        })
    }

    /// The same data, of which `selection` is trained on.
    ///
    /// # Errors
    /// Class weights for labels that there are not.
    pub fn with_selection(&self, loaded: &LoadedConfig, selection: Selection) -> Result<Self> {
        let draws = selection.draws();
        let class_weights = class_weights(loaded, &self.training, &self.labels, &draws)?;
        Ok(Self {
            selection,
            class_weights,
            ..self.clone()
        })
    }
}

/// Makes the labels wrong that the config wants wrong, and says how many. Validation examples
/// keep theirs, so that the best epoch is chosen by labels that are right.
fn add_noise(config: &Config, training: &mut Dataset, part: &Subset) -> Result<()> {
    let Some(noise) = &config.data.label_noise else {
        return Ok(());
    };
    let n_changed = add_label_noise(training, part.indices(), noise)?.len();
    let said = format!(
        "label noise: the labels of {} of {} training examples were made wrong",
        thousands(n_changed),
        thousands(part.len())
    );
    if n_changed == 0 {
        tracing::warn!("{said}: `data.label_noise.fraction` of them is less than one");
    } else {
        tracing::info!("{said}");
    }
    Ok(())
}

/// The weight of each class in the training loss, if the config gives any.
fn class_weights(
    loaded: &LoadedConfig,
    training: &Dataset,
    labels: &LabelSpace,
    examples: &[ExampleIndex],
) -> Result<Option<Vec<f32>>> {
    match &loaded.config.training.class_weights {
        None => Ok(None),
        Some(ClassWeights::Balanced) => {
            let mut counts = vec![0_usize; labels.len()];
            for index in examples {
                counts[training.examples[*index as usize].label as usize] += 1;
            }
            let n_present = counts.iter().filter(|n| **n > 0).count();
            let mean = examples.len() as f64 / n_present as f64;
            // A class that is not trained on has no examples to weigh.
            let weight = |n: &usize| if *n > 0 { mean / *n as f64 } else { 1.0 };
            Ok(Some(counts.iter().map(|n| weight(n) as f32).collect()))
        }
        Some(ClassWeights::Given(given)) => {
            let mut weights = vec![1.0; labels.len()];
            for (label, weight) in given {
                let class = labels.index_of(label).ok_or_else(|| {
                    let message = format!(
                        "`training.class_weights` has `{label}`, which is no label of the training set; its labels are {}",
                        labels.names().join(", ")
                    );
                    let key = format!("training.class_weights.{label}");
                    Error::new(ErrorKind::Config, loaded.source.problem(&key, message))
                })?;
                weights[class as usize] = *weight as f32;
            }
            Ok(Some(weights))
        }
    }
}

fn files(config: &Config, path: &DatasetPath) -> Result<DataFiles> {
    DataFiles::find(&config.data.data_dir, path.names())
}

fn is_slicing_scores(metric: &MetricConfig) -> bool {
    metric.name == SlicingScores::NAME
}

/// Where the metrics of the set stand in the config.
fn metric_positions(config: &Config) -> impl Iterator<Item = usize> {
    let metrics = config.metrics.iter().enumerate();
    metrics
        .filter(|(_, metric)| !is_slicing_scores(metric))
        .map(|(i, _)| i)
}

/// What is measured on slices: what `slicing_scores` says, else all that the run measures.
fn slice_metric_set(config: &Config, metrics: &MetricSet) -> MetricSet {
    let Some(entry) = config
        .metrics
        .iter()
        .find(|metric| is_slicing_scores(metric))
    else {
        return metrics.clone();
    };
    // What cannot be parsed was refused when the config was read.
    let scores = SlicingScores::parse(entry, &"metrics".into());
    let named = scores.map(|scores| scores.metrics).unwrap_or_default();
    let named = named.into_iter();
    MetricSet {
        metrics: named
            .filter_map(|(name, metric)| Some((name, Metric::parse(&metric).ok()?)))
            .collect(),
    }
}

/// The slices of all selectors, each once.
fn slices(config: &Config) -> Result<Vec<Slice>> {
    let mut slices: Vec<Slice> = Vec::new();
    let testing = config.testing.iter().map(|t| (&t.selectors, "testing"));
    let training = std::iter::once((&config.training.selectors, "training"));
    for (configs, key) in training.chain(testing) {
        for selector in super::selectors(configs, key)? {
            let new = selector.slices().iter();
            let new = new.filter(|slice| slices.iter().all(|other| other.name != slice.name));
            slices.extend(new.cloned().collect::<Vec<_>>());
        }
    }
    Ok(slices)
}

/// Runs the selectors of the stage and config section that `chain` names, and says what they do.
fn select(
    loaded: &LoadedConfig,
    (selectors, stage, key): (&[SelectorSpec], &str, &str),
    labels: &LabelSpace,
    commands: Commands,
    dataset: &mut Dataset,
    start: Subset,
) -> Result<Selection> {
    let LoadedConfig { config, source, .. } = loaded;
    let place = |position: usize, argument: &str, problem: Problem| {
        let key = format!("{key}.selectors[{position}].args.{argument}");
        let mut placed = source.problem(&key, problem.message);
        placed.hint = problem.hint;
        placed
    };
    let chain = Chain {
        selectors,
        stage,
        labels,
        seed: config.random_state,
        commands,
        place: &place,
    };
    let mut map = || find_map(config, source);
    let selection = run_selectors(&chain, dataset, start, &mut map)?;
    for step in &selection.steps {
        tracing::info!("{stage}: selected by {}", step.report);
    }
    Ok(selection)
}

fn validation_set(
    config: &Config,
    source: &Source,
    training: &Dataset,
    labels: &LabelSpace,
) -> Result<(ValidationSet, Subset)> {
    if let Some(path) = &config.training.validation_dataset_path {
        let columns = config.columns_of(&config.training.columns);
        let dataset = files(config, path)
            .and_then(|files| read_evaluation(files, &columns, labels, "validation"))
            .map_err(|e| at_key(e, source, "training.validation_dataset_path"))?;
        say_warnings(&dataset);
        return Ok((ValidationSet::File(dataset), training.all()));
    }
    let Some(size) = config.training.validation_size else {
        return Ok((ValidationSet::None, training.all()));
    };
    let stream = Stream::new(config.random_state, Purpose::Split, 0, 0);
    let (rest, validation) = stratified_split(&training.labels(), size, stream)
        .map_err(|e| at_key(e, source, "training.validation_size"))?;
    Ok((ValidationSet::Split(validation), rest.into()))
}

fn evaluation_sets(
    loaded: &LoadedConfig,
    labels: &LabelSpace,
    commands: Commands,
) -> Result<Vec<EvaluationSet>> {
    let LoadedConfig { config, source, .. } = loaded;
    let mut sets = Vec::new();
    let mut add = |stage: String,
                   key: &str,
                   (path, columns): (&DatasetPath, &SectionColumns),
                   selectors: &[SelectorSpec],
                   results_file: &Option<PathBuf>| {
        let columns = config.columns_of(columns);
        let mut dataset = files(config, path)
            .and_then(|files| read_evaluation(files, &columns, labels, &stage))
            .map_err(|e| at_key(e, source, &format!("{key}.dataset_path")))?;
        say_warnings(&dataset);
        let all = dataset.all();
        let chain = (selectors, stage.as_str(), key);
        let selection = select(loaded, chain, labels, commands, &mut dataset, all)?;
        sets.push(EvaluationSet {
            stage,
            dataset,
            selection,
            results_file: results_file.clone(),
        });
        Ok::<_, Error>(())
    };
    if let Some(testing) = &config.testing {
        let selectors = super::selectors(&testing.selectors, "testing")?;
        add(
            "test".into(),
            "testing",
            (&testing.dataset_path, &testing.columns),
            &selectors,
            &testing.results_file,
        )?;
    }
    for (i, control) in config.control.iter().enumerate() {
        let key = config.control_key(i);
        add(
            config.control_stage(i),
            &key,
            (&control.dataset_path, &control.columns),
            &[],
            &control.results_file,
        )?;
    }
    Ok(sets)
}

/// The map that an earlier run left, for the selectors.
fn find_map(config: &Config, source: &Source) -> Result<MapTable> {
    let path = map_path(config, source, "training.selectors")?;
    tracing::info!("the data map is {}", path.display());
    read_map(&path)
}

/// The file of the data map that the config goes by, on behalf of `key`.
///
/// # Errors
/// There is no such file.
pub fn map_path(config: &Config, source: &Source, key: &str) -> Result<PathBuf> {
    let path = match result_location(&config.training.data_cartography_results) {
        ResultLocation::InRun(name) => config.output_dir().join(name),
        ResultLocation::At(path) => path,
    };
    if !path.exists() {
        let message = format!("there is no data map `{}`", path.display());
        let problem = source.problem(key, message).hint(
            "first run a config with `training.perform_data_cartography: true` and the same `output_dir`, or set `training.data_cartography_results` to a map",
        );
        return Err(Error::new(ErrorKind::MissingInput, problem));
    }
    Ok(path)
}

/// Says what is odd about a data set.
pub fn say_warnings(dataset: &Dataset) {
    for warning in &dataset.warnings {
        tracing::warn!("{warning}");
    }
}

/// A missing file is a problem of the key that names it.
fn at_key(error: Error, source: &Source, key: &str) -> Error {
    match error.kind() {
        ErrorKind::MissingInput => {
            let said = error.problems()[0].to_string();
            Error::new(ErrorKind::MissingInput, source.problem(key, said))
        }
        _ => error,
    }
}

/// What a metric cannot do with these labels is a problem of its place in the config.
fn in_metric(error: &Error, source: &Source, index: usize) -> Error {
    let said = &error.problems()[0];
    let mut problem = source.problem(&format!("metrics[{index}]"), said.message.clone());
    problem.hint.clone_from(&said.hint);
    Error::new(ErrorKind::Config, problem)
}
