//! The training loop, and what surrounds it: the optimizer, schedules, evaluation, callbacks.

mod adamw;
mod callback;
mod early_stopping;
mod evaluate;
mod rates;
mod schedule;

use std::ops::ControlFlow;

pub use adamw::AdamW;
pub use callback::{Callback, EvaluationEnd, LogitsPass, Plan, StepEnd};
pub use early_stopping::EarlyStopping;
pub use evaluate::{MetricSet, Predictions, StageMetrics, predict, run_model};
pub use rates::{FreezeProblem, learning_rate_shares};
pub use schedule::Schedule;

use crate::config::metric::Direction;
use crate::config::{Record, TrainingConfig};
use crate::data::{Dataset, ExampleIndex, Subset, TokenizedDataset};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::model::Classifier;
use crate::nn::{CrossEntropy, DropoutKey, Gradients, Saved, raw};
use crate::random::{Purpose, Stream};

/// Everything that the loop trains on and with.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// Batch size, epochs, optimizer, schedule.
    pub config: &'a TrainingConfig,
    /// The run's seed.
    pub seed: u64,
    /// The training file, for the ids in messages.
    pub dataset: &'a Dataset,
    /// Its tokens.
    pub tokens: &'a TokenizedDataset,
    /// The examples to train on.
    pub subset: &'a Subset,
    /// The examples whose logits are recorded after each epoch: those to train on, and where
    /// some are held out these, too.
    pub recorded: &'a Subset,
    /// Those of `subset` that are trained on more than once in an epoch, once for each further time.
    pub repeats: &'a [ExampleIndex],
    /// All of these in the order of every epoch; none: a new random order in each.
    pub curriculum: Option<&'a [ExampleIndex]>,
    /// What is made small.
    pub loss: &'a CrossEntropy,
    /// Each parameter's share of the learning rate, as [`learning_rate_shares`] gives them.
    pub learning_rate_shares: &'a [f64],
    /// Whether logits of all examples are to be taken, and when.
    pub record: Option<Record>,
    /// The validation set, if there is one.
    pub validation: Option<Validation<'a>>,
    /// The class names.
    pub labels: &'a [String],
    /// What is measured.
    pub metrics: &'a MetricSet,
}

/// What is evaluated after each epoch.
#[derive(Debug, Clone, Copy)]
pub struct Validation<'a> {
    /// Its tokens.
    pub tokens: &'a TokenizedDataset,
    /// Which examples.
    pub indices: &'a [ExampleIndex],
}

/// How training went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The epoch (from 0) whose weights the model has now: the best by `metric_for_best_model`
    /// on the validation set, else the last, as where it was defined after no epoch.
    pub best_epoch: usize,
    /// Its value of `metric_for_best_model`, where a validation set defines one.
    pub best_metric: Option<f64>,
    /// Optimizer steps done.
    pub n_steps: usize,
    /// Epochs done.
    pub n_epochs: usize,
}

/// Trains the model, and leaves it with the best epoch's weights.
///
/// # Errors
/// [`ErrorKind::Training`] when a loss or gradient is not finite, naming step and examples; a
/// callback's own error.
pub fn train(
    model: &Classifier,
    training: &Training<'_>,
    callbacks: &mut [&mut dyn Callback],
) -> Result<Outcome> {
    let config = training.config;
    let plan = plan(training);
    let schedule = Schedule::new(config, plan.n_steps);
    let mut optimizer = AdamW::new(config, model.parameters(), training.learning_rate_shares);
    let grads = model.parameters().gradients()?;
    let mut best = Best::new(training);
    let mut step = 0;
    let mut n_epochs = 0;
    let mut stop = tell(callbacks, |c| c.on_train_start(&plan))?;

    for epoch in 0..config.epochs {
        if stop.is_break() {
            break;
        }
        for (i, examples) in order(training, epoch)
            .chunks(examples_per_step(config))
            .enumerate()
        {
            let learning_rate = schedule.learning_rate(step);
            let first_batch = i * config.gradient_accumulation_steps;
            let loss = forward_backward(
                model,
                training,
                &grads,
                (epoch, first_batch),
                examples,
                callbacks,
            )?;
            let grad_norm = optimizer.step(model.parameters(), &grads, learning_rate)?;
            if !loss.is_finite() || !grad_norm.is_finite() {
                return Err(not_finite(training, step, examples, loss, grad_norm));
            }
            step += 1;
            let end = StepEnd {
                epoch,
                step,
                n_examples: examples.len(),
                n_tokens: examples.iter().map(|i| training.tokens.length(*i)).sum(),
                loss,
                learning_rate,
                grad_norm,
            };
            stop = or(stop, tell(callbacks, |c| c.on_batch_end(&end))?);
            if stop.is_break() {
                break;
            }
        }
        if training.record == Some(Record::EpochEnd) {
            record_epoch(model, training, epoch, callbacks)?;
        }
        if let Some(validation) = &training.validation {
            let predictions = predict(model, validation.tokens, validation.indices, |_| {})?;
            let metrics = training.metrics.measure(&predictions, training.labels)?;
            best.offer(model, epoch, &metrics)?;
            let end = EvaluationEnd {
                epoch,
                step,
                stage: "validation",
                metrics: &metrics,
            };
            stop = or(stop, tell(callbacks, |c| c.on_evaluation(&end))?);
        }
        stop = or(stop, tell(callbacks, |c| c.on_epoch_end(epoch))?);
        n_epochs += 1;
    }
    best.restore(model)?;
    callbacks.iter_mut().try_for_each(|c| c.on_train_end())?;
    Ok(best.outcome(step, n_epochs))
}

/// Adds up the gradients of the (weighted) mean loss of one optimizer step's examples, batch by
/// batch; returns that mean loss. `first` is the epoch and the number of the first batch in it.
fn forward_backward(
    model: &Classifier,
    training: &Training<'_>,
    grads: &Gradients,
    first: (usize, usize),
    examples: &[ExampleIndex],
    callbacks: &mut [&mut dyn Callback],
) -> Result<f64> {
    let (epoch, first_batch) = first;
    grads.clear()?;
    let labels = examples.iter().map(|index| training.tokens.label(*index));
    let total_weight: f64 = labels.map(|y| f64::from(training.loss.weight(y))).sum();
    let mut loss = 0.0;
    for (i, indices) in examples.chunks(training.config.batch_size).enumerate() {
        let n_token_types = model.config().type_vocab_size;
        let batch = training
            .tokens
            .batch(indices, n_token_types, model.device())?;
        let mut saved = Saved::training(Some(DropoutKey {
            seed: training.seed,
            epoch: epoch as u32,
            step: (first_batch + i) as u32,
        }));
        let logits = model.forward(&batch, &mut saved)?;
        let losses = training.loss.losses(&logits, &batch.labels)?;
        let scale = 1.0 / total_weight as f32;
        let d_logits = training.loss.backward(&logits, &batch.labels, scale)?;
        model.backward(&d_logits, &batch, &mut saved, grads)?;
        let losses = raw::read::<f32>(&losses)?;
        loss += losses.iter().map(|loss| f64::from(*loss)).sum::<f64>();
        // A watcher that asks to stop is heard at the end of the step.
        let _ = tell(callbacks, |c| {
            c.on_logits(LogitsPass::Training, epoch, indices, &logits)
        })?;
    }
    Ok(loss / total_weight)
}

/// The pass without dropout over all examples that are recorded, for those who do.
fn record_epoch(
    model: &Classifier,
    training: &Training<'_>,
    epoch: usize,
    callbacks: &mut [&mut dyn Callback],
) -> Result<()> {
    run_model(
        model,
        training.tokens,
        training.recorded.indices(),
        |indices, logits, _| {
            let _ = tell(callbacks, |c| {
                c.on_logits(LogitsPass::EpochEnd, epoch, indices, logits)
            })?;
            Ok(())
        },
    )
}

/// The examples of an epoch in the order in which they are trained on: each once, or as often
/// as it was drawn, in the curriculum's order or in a new random one.
fn order(training: &Training<'_>, epoch: usize) -> Vec<ExampleIndex> {
    if let Some(curriculum) = training.curriculum {
        return curriculum.to_vec();
    }
    let mut order = [training.subset.indices(), training.repeats].concat();
    Stream::new(training.seed, Purpose::Order, epoch as u32, 0).shuffle(&mut order);
    order
}

fn plan(training: &Training<'_>) -> Plan {
    let config = training.config;
    let n_examples = training.subset.len() + training.repeats.len();
    Plan {
        n_epochs: config.epochs,
        n_examples,
        n_steps: config.epochs * n_examples.div_ceil(examples_per_step(config)),
    }
}

fn examples_per_step(config: &TrainingConfig) -> usize {
    config.batch_size * config.gradient_accumulation_steps
}

/// Tells every watcher; the answer is `Break` if one of them wants to stop.
fn tell(
    callbacks: &mut [&mut dyn Callback],
    mut event: impl FnMut(&mut dyn Callback) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let mut stop = ControlFlow::Continue(());
    for callback in callbacks {
        stop = or(stop, event(*callback)?);
    }
    Ok(stop)
}

fn or(a: ControlFlow<()>, b: ControlFlow<()>) -> ControlFlow<()> {
    if a.is_break() { a } else { b }
}

/// The best epoch so far and its weights.
struct Best<'a> {
    metric: &'a str,
    direction: Direction,
    so_far: Option<(usize, f64, Vec<f32>)>,
}

impl<'a> Best<'a> {
    fn new(training: &Training<'a>) -> Self {
        let metric = training.config.metric_for_best_model.as_str();
        Self {
            metric,
            // A metric without a direction is refused when the config is read.
            direction: training
                .metrics
                .direction(metric)
                .unwrap_or(Direction::HigherIsBetter),
            so_far: None,
        }
    }

    /// Keeps the weights if they are better than the best; of equal ones the earlier stay.
    fn offer(&mut self, model: &Classifier, epoch: usize, metrics: &StageMetrics) -> Result<()> {
        let Some(value) = metrics.number(self.metric) else {
            return Err(Error::internal(format!(
                "`{}` was not measured",
                self.metric
            )));
        };
        if value.is_nan() {
            tracing::warn!(
                "`{}` is not defined on the validation set after epoch {}: its weights are not kept",
                self.metric,
                epoch + 1
            );
            return Ok(());
        }
        let is_better = self
            .so_far
            .as_ref()
            .is_none_or(|(_, best, _)| match self.direction {
                Direction::HigherIsBetter => value > *best,
                Direction::LowerIsBetter => value < *best,
            });
        if is_better {
            let parameters = model.parameters();
            let state = raw::read::<f32>(parameters.state())?;
            self.so_far = Some((epoch, value, state[..parameters.n_elements()].to_vec()));
        }
        Ok(())
    }

    fn restore(&self, model: &Classifier) -> Result<()> {
        let Some((_, _, values)) = &self.so_far else {
            return Ok(());
        };
        raw::update(model.parameters().state(), |state| {
            state[..values.len()].copy_from_slice(values);
        })
    }

    fn outcome(&self, n_steps: usize, n_epochs: usize) -> Outcome {
        let best = self.so_far.as_ref();
        Outcome {
            best_epoch: best.map_or(n_epochs.saturating_sub(1), |(epoch, _, _)| *epoch),
            best_metric: best.map(|(_, value, _)| *value),
            n_steps,
            n_epochs,
        }
    }
}

fn not_finite(
    training: &Training<'_>,
    step: usize,
    examples: &[ExampleIndex],
    loss: f64,
    grad_norm: f64,
) -> Error {
    /// Ids in the message; the log would be unreadable with all of a large batch.
    const SHOWN: usize = 32;
    let guids: Vec<String> = examples
        .iter()
        .take(SHOWN)
        .map(|index| format!("`{}`", training.dataset.examples[*index as usize].guid))
        .collect();
    let more = examples.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let message = format!(
        "training diverged at step {}: the loss is {loss}, the gradient's norm {grad_norm}; the step's examples: {}{more}",
        step + 1,
        guids.join(", "),
    );
    let hint = "lower `training.learning_rate`, add a warmup, or look at these examples";
    Error::new(ErrorKind::Training, Problem::new(message).hint(hint))
}
