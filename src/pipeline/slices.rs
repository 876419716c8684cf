//! The scores of the named subsets of a stage.

use serde_json::{Map, Value, json};

use crate::config::OVERALL;
use crate::data::Dataset;
use crate::pipeline::inputs::Inputs;
use crate::select::slice_members;
use crate::train::Predictions;

/// Scores every slice of the run on what was predicted of `dataset`: metric to slice to value,
/// with `overall` for the whole stage, as the Python project's `slicing_scores` has it. None
/// where the run has no slices.
///
/// A metric that cannot be computed of so few examples is null. A slice whose column the file
/// lacks is left out, with a warning.
pub fn score(
    inputs: &Inputs,
    stage: &str,
    dataset: &Dataset,
    predictions: &Predictions,
) -> Option<Map<String, Value>> {
    if inputs.slices.is_empty() {
        return None;
    }
    let everything = vec![true; predictions.indices.len()];
    let mut subsets = vec![(OVERALL, everything)];
    for slice in &inputs.slices {
        match slice_members(slice, dataset, &predictions.indices) {
            Ok(members) => subsets.push((&slice.name, members)),
            Err(column) => tracing::warn!(
                "the slice `{}` is not scored on {stage}: there is no column `{column}`",
                slice.name
            ),
        }
    }
    let mut scores = Map::new();
    let mut add = |metric: &str, slice: &str, value: Value| {
        let row = scores.entry(metric).or_insert_with(|| json!({}));
        row[slice] = value;
    };
    let metrics = &inputs.slice_metrics;
    for (slice, members) in subsets {
        let part = part_of(predictions, &members);
        add("n_examples", slice, json!(part.gold.len()));
        // A slice may well be empty here, or have one class: what is not defined of it is null.
        let measured = metrics.measure(&part, inputs.labels.names());
        let measured = measured
            .map(|measured| measured.metrics)
            .unwrap_or_default();
        for (i, (name, _)) in metrics.metrics.iter().enumerate() {
            let value = measured.get(i).map(|(_, value)| value);
            add(name, slice, json!(value));
        }
    }
    Some(scores)
}

/// The predictions of some examples; their loss is not taken.
fn part_of(predictions: &Predictions, members: &[bool]) -> Predictions {
    let rows: Vec<usize> = (0..members.len()).filter(|i| members[*i]).collect();
    let n_classes = predictions.logits.len() / members.len().max(1);
    let row = |i: &usize| i * n_classes..(i + 1) * n_classes;
    Predictions {
        indices: rows.iter().map(|i| predictions.indices[*i]).collect(),
        gold: rows.iter().map(|i| predictions.gold[*i]).collect(),
        predicted: rows.iter().map(|i| predictions.predicted[*i]).collect(),
        logits: rows
            .iter()
            .flat_map(|i| &predictions.logits[row(i)])
            .copied()
            .collect(),
        probabilities: rows
            .iter()
            .flat_map(|i| &predictions.probabilities[row(i)])
            .copied()
            .collect(),
        loss: f64::NAN,
    }
}
