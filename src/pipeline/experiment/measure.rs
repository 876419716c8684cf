//! What a cell costs in time and memory, by a few steps of it.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::config::TrainingConfig;
use crate::data::{ExampleIndex, Subset, TokenizedDataset};
use crate::error::Result;
use crate::nn::CrossEntropy;
use crate::pipeline::experiment::memory;
use crate::pipeline::inputs::Inputs;
use crate::pipeline::ready_model::{ModelStart, ReadyModel};
use crate::random::{Purpose, Stream};
use crate::train::{Callback, Checkpoints, StepEnd, Training, train};

/// Steps that are timed, after one that is not: the first touches the memory.
const TIMED_STEPS: usize = 6;

/// What a cell costs.
pub struct Cost {
    /// Of the forward pass of one training example; a training step costs three of them.
    pub seconds_per_pass: f64,
    /// Of a whole cell; none where the system does not say it.
    pub bytes: Option<u64>,
}

/// What the test and control sets of a cell cost, in forward passes of one training example: their
/// texts may be much longer than those that are trained on, so it goes by tokens.
pub fn testing_work(inputs: &Inputs, start: &ModelStart) -> u64 {
    let tokens = start.tokens();
    let mean_length = |tokens: &TokenizedDataset, subset: &Subset| {
        let lengths = subset.indices().iter().map(|index| tokens.length(*index));
        lengths.sum::<usize>() as f64 / subset.len() as f64
    };
    let of_training = mean_length(&tokens.training, &inputs.selection.subset);
    let stages = inputs.stages.iter().zip(&tokens.stages);
    let work = stages.map(|(set, tokens)| {
        let selection = &set.selection;
        selection.n_draws() as f64 * mean_length(tokens, &selection.subset) / of_training
    });
    work.sum::<f64>().round() as u64
}

/// Trains for a few steps: one on the longest texts, for the memory, then some on any, for the
/// time.
///
/// # Errors
/// As [`train`].
pub fn measure(config: &TrainingConfig, inputs: &Inputs, start: &ModelStart) -> Result<Cost> {
    let before = memory::resident();
    memory::forget_peak();
    let model = start.model(0)?;
    let per_step = config.batch_size * config.gradient_accumulation_steps;
    let mut examples = inputs.selection.subset.indices().to_vec();
    let tokens = &start.tokens().training;
    examples.sort_by_key(|index| std::cmp::Reverse(tokens.length(*index)));
    steps(
        config,
        inputs,
        &model,
        &examples[..per_step.min(examples.len())],
    )?;
    let peak = memory::peak();

    Stream::new(0, Purpose::Order, 0, 0).shuffle(&mut examples);
    examples.truncate((TIMED_STEPS + 1) * per_step);
    let timer = steps(config, inputs, &model, &examples)?;
    Ok(Cost {
        seconds_per_pass: timer.seconds / timer.n_examples.max(1) as f64 / 3.0,
        bytes: before.zip(peak).map(|(before, peak)| {
            // Parameters, two moments, gradients, and the best epoch's weights; what the
            // allocator had kept from earlier work is not seen in the peak.
            let numbers = 5 * 4 * start.n_parameters() as u64;
            let best = 4 * start.n_parameters() as u64;
            numbers.max(peak.saturating_sub(before) + best)
        }),
    })
}

fn steps(
    config: &TrainingConfig,
    inputs: &Inputs,
    model: &ReadyModel,
    examples: &[ExampleIndex],
) -> Result<Timer> {
    let config = TrainingConfig {
        epochs: 1,
        // The weights must not run away before the data are seen.
        learning_rate: f64::MIN_POSITIVE,
        ..config.clone()
    };
    let subset: Subset = examples.to_vec().into();
    let loss = CrossEntropy::new(inputs.class_weights.clone(), config.label_smoothing_factor);
    let training = Training {
        config: &config,
        seed: 0,
        dataset: &inputs.training,
        tokens: &model.tokens.training,
        subset: &subset,
        recorded: &subset,
        repeats: &[],
        curriculum: None,
        loss: &loss,
        learning_rate_shares: &vec![1.0; model.classifier.parameters().specs().len()],
        record: None,
        validation: None,
        labels: inputs.labels.names(),
        metrics: &inputs.metrics,
    };
    let mut timer = Timer::new();
    let checkpoints = &mut Checkpoints::none();
    train(&model.classifier, &training, &mut [&mut timer], checkpoints)?;
    Ok(timer)
}

/// The callback that times all steps but the first, or the first if it is the only one.
struct Timer {
    last: Instant,
    n_steps: usize,
    seconds: f64,
    n_examples: usize,
}

impl Timer {
    fn new() -> Self {
        Self {
            last: Instant::now(),
            n_steps: 0,
            seconds: 0.0,
            n_examples: 0,
        }
    }
}

impl Callback for Timer {
    fn on_batch_end(&mut self, step: &StepEnd) -> Result<ControlFlow<()>> {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        self.n_steps += 1;
        if self.n_steps <= 2 {
            (self.seconds, self.n_examples) = (0.0, 0);
        }
        self.seconds += seconds;
        self.n_examples += step.n_examples;
        Ok(ControlFlow::Continue(()))
    }
}
