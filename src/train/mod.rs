//! The training loop, and what surrounds it: the optimizer, schedules, evaluation, callbacks.

mod adamw;
mod callback;
mod checkpoint;
mod checkpoints;
mod early_stopping;
mod evaluate;
mod one_late;
mod rates;
mod schedule;
mod state;
mod states;

use std::ops::ControlFlow;

use candle_core::Device;

pub use adamw::{AdamW, GradientNorm};
pub use callback::{Callback, EvaluationEnd, LogitsPass, Plan, StepEnd};
pub use checkpoint::{Checkpoint, Origin, read_checkpoint};
pub use checkpoints::Checkpoints;
pub use early_stopping::EarlyStopping;
use evaluate::naming_batch;
pub use evaluate::{MetricSet, Predictions, StageMetrics, predict, run_model};
pub use rates::{FreezeProblem, learning_rate_shares};
pub use schedule::Schedule;
pub use state::{Position, State};
pub use states::{States, unusable};

use crate::config::{Record, TrainingConfig};
use crate::data::{Dataset, ExampleIndex, Subset, TokenizedDataset};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::model::Classifier;
use crate::nn::kernels::{Arriving, send};
use crate::nn::{CrossEntropy, DropoutKey, Gradients, Saved, raw};
use crate::random::{Purpose, Stream};
use one_late::OneLate;
use state::Best;

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

/// Trains the model, and leaves it with the best epoch's weights. Where there is a checkpoint it
/// goes on from there, and ends as if it had never been stopped.
///
/// # Errors
/// [`ErrorKind::Training`] when a loss or gradient is not finite, naming step and examples; a
/// callback's own error; a checkpoint that cannot be written.
pub fn train(
    model: &Classifier,
    training: &Training<'_>,
    callbacks: &mut [&mut dyn Callback],
    checkpoints: &mut Checkpoints,
) -> Result<Outcome> {
    let config = training.config;
    let plan = plan(training);
    let schedule = Schedule::new(config, plan.n_steps);
    let grads = model.parameters().gradients()?;
    let mut state = State {
        at: Position::default(),
        optimizer: AdamW::new(config, model.parameters(), training.learning_rate_shares),
        best: Best::new(training),
    };
    state.at.is_stopping = tell(callbacks, |c| c.on_train_start(&plan))?.is_break();
    checkpoints.restore(model, &mut state, callbacks)?;

    while !state.at.is_over(config.epochs) {
        let epoch = state.at.epoch;
        let order = order(training, epoch);
        let mut steps = OneLate::of(model);
        for examples in order
            .chunks(examples_per_step(config))
            .skip(state.at.step_in_epoch)
        {
            if state.at.is_stopping {
                break;
            }
            let learning_rate = schedule.learning_rate(state.at.step);
            let batches = forward_backward(model, training, &grads, state.at, examples)?;
            let parameters = model.parameters();
            let grad_norm = state.optimizer.step(parameters, &grads, learning_rate)?;
            state.at.end_step();
            let done = Step {
                epoch,
                number: state.at.step,
                examples,
                batches,
                learning_rate,
                grad_norm,
            };
            tell_of(steps.next(done), training, &mut state.at, callbacks)?;
            if let Some(stop) = checkpoints.due_after_step(&state) {
                tell_of(steps.rest(), training, &mut state.at, callbacks)?;
                checkpoints.save(model, &state, callbacks)?;
                stop?;
            }
        }
        tell_of(steps.rest(), training, &mut state.at, callbacks)?;
        if training.record == Some(Record::EpochEnd) {
            record_epoch(model, training, &state, callbacks, checkpoints)?;
        }
        if let Some(validation) = &training.validation {
            let predictions = predict(model, validation.tokens, validation.indices, |_| {
                checkpoints.stop_if_asked(model, &state, callbacks)
            })?;
            let metrics = training.metrics.measure(&predictions, training.labels)?;
            state.best.offer(model, epoch, &metrics)?;
            let end = EvaluationEnd {
                epoch,
                step: state.at.step,
                stage: "validation",
                metrics: &metrics,
            };
            state.at.is_stopping |= tell(callbacks, |c| c.on_evaluation(&end))?.is_break();
        }
        state.at.is_stopping |= tell(callbacks, |c| c.on_epoch_end(epoch))?.is_break();
        state.at.end_epoch();
        checkpoints.after_epoch(model, &state, callbacks)?;
    }
    state.best.restore(model)?;
    callbacks.iter_mut().try_for_each(|c| c.on_train_end())?;
    Ok(state.outcome())
}

/// What was done in one optimizer step; a device may still be at it.
struct Step<'a> {
    epoch: usize,
    /// The steps so far, with this one.
    number: usize,
    examples: &'a [ExampleIndex],
    batches: Vec<Batch<'a>>,
    learning_rate: f64,
    grad_norm: GradientNorm,
}

/// One forward pass in training.
struct Batch<'a> {
    indices: &'a [ExampleIndex],
    /// (B, C).
    logits: Arriving,
    /// (B).
    losses: Arriving,
}

impl Step<'_> {
    /// Tells every watcher of the batches' logits and of the step's end; an error if the loss or
    /// the gradient is not finite.
    fn tell(
        self,
        training: &Training<'_>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<ControlFlow<()>> {
        let grad_norm = self.grad_norm.wait()?;
        let mut loss = 0.0;
        for batch in self.batches {
            let (logits, losses) = (batch.logits.wait()?, batch.losses.wait()?);
            let losses = raw::read::<f32>(&losses)?;
            loss += losses.iter().map(|loss| f64::from(*loss)).sum::<f64>();
            // A watcher that asks to stop is heard at the end of the step.
            let _ = tell(callbacks, |c| {
                let pass = LogitsPass::Training;
                c.on_logits(pass, self.epoch, batch.indices, &logits)
            })?;
        }
        loss /= total_weight(training, self.examples);
        if !loss.is_finite() || !grad_norm.is_finite() {
            let step = self.number - 1;
            return Err(not_finite(training, step, self.examples, loss, grad_norm));
        }
        let lengths = self.examples.iter().map(|i| training.tokens.length(*i));
        let end = StepEnd {
            epoch: self.epoch,
            step: self.number,
            n_examples: self.examples.len(),
            n_tokens: lengths.sum(),
            loss,
            learning_rate: self.learning_rate,
            grad_norm,
        };
        tell(callbacks, |c| c.on_batch_end(&end))
    }
}

/// Tells of a step, if there is one to tell of; notes if a watcher wants to stop.
fn tell_of(
    step: Option<Step<'_>>,
    training: &Training<'_>,
    at: &mut Position,
    callbacks: &mut [&mut dyn Callback],
) -> Result<()> {
    if let Some(step) = step {
        at.is_stopping |= step.tell(training, callbacks)?.is_break();
    }
    Ok(())
}

/// Adds up the gradients of the (weighted) mean loss of one optimizer step's examples, batch by
/// batch, for the step that comes `at` this position.
fn forward_backward<'a>(
    model: &Classifier,
    training: &Training<'_>,
    grads: &Gradients,
    at: Position,
    examples: &'a [ExampleIndex],
) -> Result<Vec<Batch<'a>>> {
    let first_batch = at.step_in_epoch * training.config.gradient_accumulation_steps;
    grads.clear()?;
    let scale = 1.0 / total_weight(training, examples) as f32;
    let batches = examples.chunks(training.config.batch_size).enumerate();
    let pass = |(i, indices): (usize, &'a [ExampleIndex])| {
        let n_token_types = model.config().type_vocab_size;
        let tokens = training.tokens;
        let batch = tokens.batch(indices, n_token_types, &Device::Cpu)?;
        let batch = send(batch, model.device())?;
        let mut saved = Saved::training(Some(DropoutKey {
            seed: training.seed,
            epoch: at.epoch as u32,
            step: (first_batch + i) as u32,
        }));
        let logits = model.forward(&batch, &mut saved)?;
        let losses = training.loss.losses(&logits, &batch.labels)?;
        let d_logits = training.loss.backward(&logits, &batch.labels, scale)?;
        model.backward(&d_logits, &batch, &mut saved, grads)?;
        Ok(Batch {
            indices,
            logits: Arriving::of(&logits)?,
            losses: Arriving::of(&losses)?,
        })
    };
    batches
        .map(|batch| pass(batch).map_err(|error| naming_batch(error, training.tokens, batch.1)))
        .collect()
}

/// The sum of the examples' weights in a mean.
fn total_weight(training: &Training<'_>, examples: &[ExampleIndex]) -> f64 {
    let labels = examples.iter().map(|index| training.tokens.label(*index));
    labels.map(|y| f64::from(training.loss.weight(y))).sum()
}

/// The pass without dropout over all examples that are recorded, for those who do.
fn record_epoch(
    model: &Classifier,
    training: &Training<'_>,
    state: &State<'_>,
    callbacks: &mut [&mut dyn Callback],
    checkpoints: &mut Checkpoints,
) -> Result<()> {
    run_model(
        model,
        training.tokens,
        training.recorded.indices(),
        |indices, logits, _| {
            let _ = tell(callbacks, |c| {
                c.on_logits(LogitsPass::EpochEnd, state.at.epoch, indices, logits)
            })?;
            checkpoints.stop_if_asked(model, state, callbacks)
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
        if event(*callback)?.is_break() {
            stop = ControlFlow::Break(());
        }
    }
    Ok(stop)
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
