//! The best model's metrics and predictions on training, validation, test and control sets.

use std::path::PathBuf;

use crate::data::{Column, Dataset, ExampleIndex, Table, TokenizedDataset};
use crate::error::Result;
use crate::pipeline::Console;
use crate::pipeline::inputs::Inputs;
use crate::pipeline::ready_model::ReadyModel;
use crate::pipeline::run_folder::RunFolder;
use crate::train::{Predictions, StageMetrics, predict};

/// What was measured on one stage.
pub struct StageResult {
    /// `train`, `validation`, `test`, `control` or `control_NAME`.
    pub stage: String,
    /// The number of examples.
    pub n_examples: usize,
    /// The numbers.
    pub metrics: StageMetrics,
    /// Where the predictions lie, for test and control sets.
    pub predictions: Option<PathBuf>,
}

/// Evaluates the model on every stage that the run has, and writes the predictions of test and
/// control sets.
///
/// # Errors
/// A metric that the predictions do not allow, or a file that cannot be written.
pub fn evaluate_all(
    inputs: &Inputs,
    model: &ReadyModel,
    run: &RunFolder,
    console: &Console,
) -> Result<Vec<StageResult>> {
    let mut results = Vec::new();
    let mut measure = |stage: &str, tokens: &TokenizedDataset, indices: &[ExampleIndex]| {
        let bar = console.bar(indices.len() as u64);
        let predictions = predict(&model.classifier, tokens, indices, |n| {
            if let Some(bar) = &bar {
                bar.inc(n as u64);
            }
        })?;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let metrics = inputs
            .metrics
            .measure(&predictions, inputs.labels.names())?;
        results.push(StageResult {
            stage: stage.to_owned(),
            n_examples: indices.len(),
            metrics,
            predictions: None,
        });
        Ok::<_, crate::error::Error>(predictions)
    };

    measure(
        "train",
        &model.tokens.training,
        inputs.selection.subset.indices(),
    )?;
    if let Some((tokens, indices)) = model.tokens.validation(inputs) {
        measure("validation", tokens, indices)?;
    }
    let mut shown = Vec::new();
    for (set, tokens) in inputs.stages.iter().zip(&model.tokens.stages) {
        let predictions = measure(&set.stage, tokens, set.subset.indices())?;
        let name = set.results_file();
        let table = prediction_table(&predictions, &set.dataset, inputs.labels.names());
        table.write(&run.result_path(&name))?;
        shown.push(run.shown_path(&name));
    }
    let first = results.len() - shown.len();
    for (result, path) in results[first..].iter_mut().zip(shown) {
        result.predictions = Some(path);
    }
    Ok(results)
}

fn prediction_table(predictions: &Predictions, dataset: &Dataset, labels: &[String]) -> Table {
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
    Table::new()
        .with("guid", Column::Text(guids.collect()))
        .with("label", names(&predictions.gold))
        .with("prediction", names(&predictions.predicted))
        .with("probability", Column::Real(probability.collect()))
        .with(
            "probabilities",
            Column::RealList(rows().map(<[f64]>::to_vec).collect()),
        )
        .with("logits", Column::RealList(logits.collect()))
}
