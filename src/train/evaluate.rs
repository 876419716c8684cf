//! Passes without dropout, and what they measure.

use candle_core::{Device, Tensor};
use serde_json::{Map, Value};

use crate::config::MetricConfig;
use crate::config::metric::{Direction, Metric, metric_names};
use crate::data::{ExampleIndex, TokenizedDataset};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::metrics::{
    Counted, Interval, MetricValue, Resampling, Scores, argmax, bootstrap, softmax_f64,
};
use crate::model::Classifier;
use crate::nn::kernels::{Arriving, send};
use crate::nn::{CrossEntropy, Saved, raw};
use crate::train::one_late::OneLate;

/// Examples in one forward pass without a backward pass; results do not depend on it.
const EVALUATION_BATCH: usize = 64;

/// What a model says of some examples.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Which examples, in the caller's order (N).
    pub indices: Vec<ExampleIndex>,
    /// Class indices of the data (N).
    pub gold: Vec<u32>,
    /// Class indices of the largest logits (N), ties to the lower one.
    pub predicted: Vec<u32>,
    /// (N, C).
    pub logits: Vec<f32>,
    /// (N, C), each row a softmax in f64.
    pub probabilities: Vec<f64>,
    /// Mean cross entropy, in nats.
    pub loss: f64,
}

impl Predictions {
    /// What the metrics are computed from; `labels` are the C class names.
    fn scores<'a>(&'a self, labels: &'a [String]) -> Scores<'a> {
        Scores {
            gold: &self.gold,
            probabilities: &self.probabilities,
            logits: &self.logits,
            predicted: &self.predicted,
            labels,
        }
    }
}

/// The loss and the metrics of one stage, in the order of the config.
#[derive(Debug, Clone, PartialEq)]
pub struct StageMetrics {
    /// Mean cross entropy, in nats.
    pub loss: f64,
    /// Names and values; a score that is not defined on these examples is NaN.
    pub metrics: Vec<(String, MetricValue)>,
    /// Which metric is not defined, or was set to something, and why.
    pub warnings: Vec<String>,
}

impl StageMetrics {
    /// The number of that name, `loss` included.
    pub fn number(&self, name: &str) -> Option<f64> {
        if name == "loss" {
            return Some(self.loss);
        }
        let (_, value) = self.metrics.iter().find(|(n, _)| n == name)?;
        value.as_number()
    }

    /// All single numbers with their names, the loss first.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, f64)> {
        let metrics = self.metrics.iter();
        let metrics = metrics.filter_map(|(name, value)| Some((name.as_str(), value.as_number()?)));
        std::iter::once(("loss", self.loss)).chain(metrics)
    }

    /// The names of the metrics that are more than one number.
    pub fn nested(&self) -> impl Iterator<Item = &str> {
        let nested = self.metrics.iter().filter(|(_, v)| v.as_number().is_none());
        nested.map(|(name, _)| name.as_str())
    }

    /// Names to values, `loss` first; what is not defined is null.
    pub fn to_json(&self) -> Map<String, Value> {
        let loss = ("loss".to_owned(), Value::from(self.loss));
        let metrics = self.metrics.iter().map(|(name, value)| {
            (
                name.clone(),
                serde_json::to_value(value).unwrap_or(Value::Null),
            )
        });
        std::iter::once(loss).chain(metrics).collect()
    }
}

/// The metrics of a run: the names that files and `metric_for_best_model` use, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSet {
    /// Each with a name of its own.
    pub metrics: Vec<(String, Metric)>,
}

impl MetricSet {
    /// The metrics of a config that was checked when it was read.
    pub fn new(configs: &[MetricConfig]) -> Self {
        let metrics = metric_names(configs).into_iter().zip(configs);
        Self {
            metrics: metrics
                .filter_map(|(name, config)| Some((name, Metric::parse(config).ok()?)))
                .collect(),
        }
    }

    /// Measures predictions; `labels` are the C class names. A metric that these examples do
    /// not allow, as one that needs a class which none of them has, is not defined and warned
    /// of: it ends no run.
    ///
    /// # Errors
    /// No examples, or probabilities that are not numbers.
    pub fn measure(&self, predictions: &Predictions, labels: &[String]) -> Result<StageMetrics> {
        let counted = Counted::new(predictions.scores(labels))?;
        let mut measured = StageMetrics {
            loss: predictions.loss,
            metrics: Vec::with_capacity(self.metrics.len()),
            warnings: Vec::new(),
        };
        for (name, metric) in &self.metrics {
            let mut warnings = Vec::new();
            let value = match counted.value(metric, &mut warnings) {
                Ok(value) => value,
                Err(error) if error.kind() == ErrorKind::Config => {
                    measured.warnings.push(error.problems()[0].message.clone());
                    match metric.direction() {
                        Some(_) => MetricValue::Number(f64::NAN),
                        None => MetricValue::Undefined,
                    }
                }
                Err(error) => return Err(error),
            };
            warnings.dedup();
            let said = warnings
                .iter()
                .map(|warning| format!("`{name}`: {warning}"));
            measured.warnings.extend(said);
            measured.metrics.push((name.clone(), value));
        }
        Ok(measured)
    }

    /// The confidence intervals of the loss and of each metric that is one number, with their
    /// names.
    ///
    /// # Errors
    /// As for [`MetricSet::measure`].
    pub fn intervals(
        &self,
        predictions: &Predictions,
        labels: &[String],
        resampling: &Resampling,
    ) -> Result<Vec<(String, Interval)>> {
        let single = || self.metrics.iter().filter(|(_, m)| m.direction().is_some());
        let metrics: Vec<&Metric> = single().map(|(_, metric)| metric).collect();
        let intervals = bootstrap(&metrics, &predictions.scores(labels), resampling)?;
        let names = single().map(|(name, _)| name.clone());
        Ok(std::iter::once("loss".to_owned())
            .chain(names)
            .zip(intervals)
            .collect())
    }

    /// Whether higher or lower is better, for `loss` or one of the metrics.
    pub fn direction(&self, name: &str) -> Option<Direction> {
        if name == "loss" {
            return Some(Direction::LowerIsBetter);
        }
        let (_, metric) = self.metrics.iter().find(|(n, _)| n == name)?;
        metric.direction()
    }
}

/// Runs the model without dropout over the examples at `indices`; `watch` sees the logits
/// (B, C) of each batch, batches in no particular order.
///
/// # Errors
/// A token that the model lacks, a device without kernels, or `watch`'s own error.
pub fn run_model(
    model: &Classifier,
    data: &TokenizedDataset,
    indices: &[ExampleIndex],
    mut watch: impl FnMut(&[ExampleIndex], &Tensor, &[f32]) -> Result<()>,
) -> Result<()> {
    let loss = CrossEntropy::default();
    let mut passes = OneLate::of(model);
    let mut show = |pass: Option<Pass>| {
        let Some(pass) = pass else { return Ok(()) };
        let (logits, losses) = (pass.logits.wait()?, pass.losses.wait()?);
        watch(&pass.indices, &logits, &raw::read::<f32>(&losses)?)
    };
    for indices in data.batches_by_length(indices, EVALUATION_BATCH) {
        let pass = || {
            let n_token_types = model.config().type_vocab_size;
            let batch = data.batch(&indices, n_token_types, &Device::Cpu)?;
            let batch = send(batch, model.device())?;
            let logits = model.forward(&batch, &mut Saved::evaluation())?;
            let losses = loss.losses(&logits, &batch.labels)?;
            Ok(Pass {
                logits: Arriving::of(&logits)?,
                losses: Arriving::of(&losses)?,
                indices: batch.example_indices,
            })
        };
        let pass = pass().map_err(|error| naming_batch(error, data, &indices))?;
        show(passes.next(pass))?;
    }
    show(passes.rest())
}

/// A forward pass without a backward pass; a device may still be at it.
struct Pass {
    indices: Vec<ExampleIndex>,
    /// (B, C).
    logits: Arriving,
    /// (B).
    losses: Arriving,
}

/// Where a GPU has too little memory for a batch, says for which; other errors stay as they are.
pub(super) fn naming_batch(
    error: Error,
    data: &TokenizedDataset,
    indices: &[ExampleIndex],
) -> Error {
    if error.kind() != ErrorKind::DeviceMemory {
        return error;
    }
    let longest = indices.iter().map(|index| data.length(*index)).max();
    let message = format!(
        "the GPU has too little memory for a batch of {} examples, the longest of {} tokens",
        indices.len(),
        longest.unwrap_or(0)
    );
    let hint = "lower `training.batch_size` (and raise `training.gradient_accumulation_steps` as much, which leaves the result as it is) or `model.max_length`";
    Error::new(ErrorKind::DeviceMemory, Problem::new(message).hint(hint))
}

/// What the model says of the examples at `indices`, in their order. `progress` hears of each
/// batch's size.
///
/// # Errors
/// As [`run_model`], and `progress`'s own.
pub fn predict(
    model: &Classifier,
    data: &TokenizedDataset,
    indices: &[ExampleIndex],
    mut progress: impl FnMut(usize) -> Result<()>,
) -> Result<Predictions> {
    let n_classes = model.n_classes();
    let mut logits_of = vec![0.0_f32; data.len() * n_classes];
    let mut loss_of = vec![0.0_f32; data.len()];
    run_model(model, data, indices, |batch, logits, losses| {
        let logits = raw::read::<f32>(logits)?;
        for ((index, row), loss) in batch.iter().zip(logits.chunks_exact(n_classes)).zip(losses) {
            let at = *index as usize;
            logits_of[at * n_classes..][..n_classes].copy_from_slice(row);
            loss_of[at] = *loss;
        }
        progress(batch.len())
    })?;
    let logits: Vec<f32> = indices
        .iter()
        .flat_map(|index| &logits_of[*index as usize * n_classes..][..n_classes])
        .copied()
        .collect();
    let rows = || logits.chunks_exact(n_classes);
    let loss_sum: f64 = indices
        .iter()
        .map(|index| f64::from(loss_of[*index as usize]))
        .sum();
    Ok(Predictions {
        indices: indices.to_vec(),
        gold: indices.iter().map(|index| data.label(*index)).collect(),
        predicted: rows().map(|row| argmax(row) as u32).collect(),
        probabilities: rows().flat_map(softmax_f64).collect(),
        loss: loss_sum / indices.len().max(1) as f64,
        logits,
    })
}
