//! The best model's metrics and predictions on training, validation, test and control sets.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::config::{Config, SlicingScores};
use crate::data::{Column, Dataset, ExampleIndex, Table, TokenizedDataset};
use crate::error::Result;
use crate::metrics::{Interval, Resampling};
use crate::pipeline::Console;
use crate::pipeline::inputs::{Inputs, ValidationSet};
use crate::pipeline::ready_model::ReadyModel;
use crate::pipeline::run_folder::RunFolder;
use crate::pipeline::slices;
use crate::train::{Predictions, StageMetrics, predict};

/// What was measured on one stage.
pub struct StageResult {
    /// `train`, `validation`, `test`, `control` or `control_NAME`.
    pub stage: String,
    /// The number of examples.
    pub n_examples: usize,
    /// The numbers.
    pub metrics: StageMetrics,
    /// Where the loss and the single numbers lie with other examples of this kind, for test and
    /// control sets on request.
    pub intervals: Vec<(String, Interval)>,
    /// The numbers of the named subsets: metric to slice to value; none without slices.
    pub slicing_scores: Option<Map<String, Value>>,
    /// Where the predictions lie, for test and control sets.
    pub predictions: Option<PathBuf>,
}

/// Evaluates the model on every stage that the run has, and writes the predictions of test and
/// control sets.
///
/// # Errors
/// A metric that the predictions do not allow, or a file that cannot be written.
pub fn evaluate_all(
    config: &Config,
    inputs: &Inputs,
    model: &ReadyModel,
    run: &RunFolder,
    console: &Console,
) -> Result<Vec<StageResult>> {
    let mut results = Vec::new();
    let mut said_of_all: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut measure =
        |stage: &str, dataset: &Dataset, tokens: &TokenizedDataset, indices: &[ExampleIndex]| {
            let bar = console.bar(indices.len() as u64);
            let predictions = predict(&model.classifier, tokens, indices, |n| {
                if let Some(bar) = &bar {
                    bar.inc(n as u64);
                }
                Ok(())
            })?;
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            let metrics = inputs
                .metrics
                .measure(&predictions, inputs.labels.names())?;
            for warning in &metrics.warnings {
                tracing::warn!("{stage}: {warning}");
            }
            if let Some(class) = only_class(&predictions) {
                said_of_all.entry(class).or_default().push(stage.to_owned());
            }
            results.push(StageResult {
                stage: stage.to_owned(),
                n_examples: indices.len(),
                metrics,
                intervals: Vec::new(),
                slicing_scores: slices::score(inputs, stage, dataset, &predictions),
                predictions: None,
            });
            Ok::<_, crate::error::Error>(predictions)
        };

    let predictions = measure(
        "train",
        &inputs.training,
        &model.tokens.training,
        &inputs.selection.draws(),
    )?;
    let mut of_training = None;
    if let Some(name) = &config.training.results_file {
        let table = prediction_table(&predictions, &inputs.training, inputs.labels.names());
        table.write(&run.result_path(name))?;
        of_training = Some(run.shown_path(name));
    }
    if let Some((tokens, indices)) = model.tokens.validation(inputs) {
        let dataset = match &*inputs.validation {
            ValidationSet::File(dataset) => dataset,
            _ => &inputs.training,
        };
        measure("validation", dataset, tokens, indices)?;
    }
    let mut shown = Vec::new();
    for (i, (set, tokens)) in inputs.stages.iter().zip(&model.tokens.stages).enumerate() {
        let predictions = measure(&set.stage, &set.dataset, tokens, &set.selection.draws())?;
        let name = set.results_file();
        let table = prediction_table(&predictions, &set.dataset, inputs.labels.names());
        table.write(&run.result_path(&name))?;
        let intervals = intervals(config, inputs, &predictions, i)?;
        shown.push((run.shown_path(&name), intervals));
    }
    for (class, stages) in said_of_all {
        tracing::warn!(
            "the model says `{}` of every example of {}, which are not all of that class",
            inputs.labels.names()[class as usize],
            stages.join(", ")
        );
    }
    let first = results.len() - shown.len();
    for (result, (path, intervals)) in results[first..].iter_mut().zip(shown) {
        result.predictions = Some(path);
        result.intervals = intervals;
    }
    results[0].predictions = of_training;
    Ok(results)
}

/// The class that is said of every example, where they are not all of one class.
fn only_class(predictions: &Predictions) -> Option<u32> {
    let first = *predictions.predicted.first()?;
    let is_same = |classes: &[u32]| classes.iter().all(|class| *class == classes[0]);
    (is_same(&predictions.predicted) && !is_same(&predictions.gold)).then_some(first)
}

/// The confidence intervals of the test or control set `stage`, where the config asks for them.
fn intervals(
    config: &Config,
    inputs: &Inputs,
    predictions: &Predictions,
    stage: usize,
) -> Result<Vec<(String, Interval)>> {
    let Some(wanted) = &config.confidence_intervals else {
        return Ok(Vec::new());
    };
    let resampling = Resampling {
        n_resamples: wanted.n_resamples,
        confidence_level: wanted.confidence_level,
        seed: config.random_state,
        stage: stage as u32,
    };
    let labels = inputs.labels.names();
    inputs.metrics.intervals(predictions, labels, &resampling)
}

impl StageResult {
    /// Names to values as files have them: the loss, the metrics, the slices' scores.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut numbers = self.metrics.to_json();
        if let Some(scores) = &self.slicing_scores {
            let name = SlicingScores::NAME.to_owned();
            numbers.insert(name, Value::Object(scores.clone()));
        }
        numbers
    }
}

/// One row per prediction: ids, classes, probabilities, logits.
pub fn prediction_table(predictions: &Predictions, dataset: &Dataset, labels: &[String]) -> Table {
    let n_classes = labels.len();
    let names = |classes: &[u32]| {
        let names = classes.iter().map(|class| labels[*class as usize].clone());
        Column::Text(names.collect())
    };
    let guids = predictions
        .indices
        .iter()
        .map(|index| dataset.examples[*index as usize].guid.clone());
    let rows = || predictions.probabilities.chunks_exact(n_classes);
    let probability = rows()
        .zip(&predictions.predicted)
        .map(|(row, class)| row[*class as usize]);
    let logits = predictions
        .logits
        .chunks_exact(n_classes)
        .map(|row| row.iter().map(|x| f64::from(*x)).collect());
    let table = Table::new()
        .with("guid", Column::Text(guids.collect()))
        .with("label", names(&predictions.gold))
        .with("prediction", names(&predictions.predicted))
        .with("probability", Column::Real(probability.collect()))
        .with(
            "probabilities",
            Column::RealList(rows().map(<[f64]>::to_vec).collect()),
        )
        .with("logits", Column::RealList(logits.collect()));
    let indices = predictions.indices.iter().copied();
    match dataset.true_label_column(indices, labels) {
        Some(true_labels) => table.with("true_label", true_labels),
        None => table,
    }
}
