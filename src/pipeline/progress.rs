//! How far training is: a bar on a terminal, plain lines otherwise.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use candle_core::Tensor;
use indicatif::{ProgressBar, ProgressStyle};

use crate::config::Record;
use crate::data::ExampleIndex;
use crate::error::Result;
use crate::pipeline::Console;
use crate::pipeline::ready_model::thousands;
use crate::train::{Callback, EvaluationEnd, LogitsPass, Plan, States, StepEnd};

/// The name of what a checkpoint keeps of it.
const STATE: &str = "progress.json";

/// The work of training on an example, in forward passes: one forward, two backward.
const TRAINING_WORK: u64 = 3;

/// Seconds between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The callback that shows loss, speed and time left.
pub struct Progress {
    console: Console,
    has_epoch_pass: bool,
    plan: Option<Plan>,
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Instant,
    last_event: Instant,
    done: u64,
    /// What was done before this process took the run up.
    done_before: u64,
    total: u64,
    loss: Smoothed,
    examples_per_second: Smoothed,
    trained: Trained,
}

impl Progress {
    /// Progress on this console.
    pub fn new(console: &Console, record: Option<Record>) -> Self {
        let now = Instant::now();
        Self {
            console: console.clone(),
            has_epoch_pass: record == Some(Record::EpochEnd),
            plan: None,
            bar: None,
            started: now,
            last_line: now,
            last_event: now,
            done: 0,
            done_before: 0,
            total: 0,
            loss: Smoothed::default(),
            examples_per_second: Smoothed::default(),
            trained: Trained::default(),
        }
    }

    fn advance(&mut self, work: u64) {
        self.done += work;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }

    /// Shows a message beside the bar, or as a line now and then.
    fn say(&mut self, message: String) {
        match &self.bar {
            Some(bar) => bar.set_message(message),
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let percent = 100 * self.done / self.total.max(1);
                tracing::info!("{percent:3}%  {message}");
            }
            None => {}
        }
    }

    fn summary(&self) -> String {
        let Trained {
            epochs,
            examples,
            tokens,
            first_step,
        } = self.trained;
        let seconds = self.started.elapsed().as_secs_f64();
        let per_second = |n: usize| n as f64 / seconds.max(1e-9);
        format!(
            "trained {epochs} epochs in {seconds:.2} s: {} examples, {} tokens, {:.1} examples/s, {:.1} tokens/s; first step after {:.2} s",
            thousands(examples),
            thousands(tokens),
            per_second(examples),
            per_second(tokens),
            first_step.unwrap_or_default(),
        )
    }

    fn seconds_left(&self) -> f64 {
        let elapsed = self.started.elapsed().as_secs_f64();
        let done = self.done - self.done_before;
        elapsed / done.max(1) as f64 * self.total.saturating_sub(self.done) as f64
    }

    fn message(&self, epoch: usize) -> String {
        let n_epochs = self.plan.map_or(0, |plan| plan.n_epochs);
        format!(
            "epoch {}/{n_epochs}  loss {:.4}  {:.0} examples/s  {} left",
            epoch + 1,
            self.loss.value,
            self.examples_per_second.value,
            minutes(self.seconds_left()),
        )
    }
}

/// What was trained on so far.
#[derive(Debug, Clone, Copy, Default)]
struct Trained {
    epochs: usize,
    examples: usize,
    tokens: usize,
    /// From the start of the program, in seconds.
    first_step: Option<f64>,
}

impl Callback for Progress {
    fn on_train_start(&mut self, plan: &Plan) -> Result<ControlFlow<()>> {
        let per_example = TRAINING_WORK + u64::from(self.has_epoch_pass);
        self.total = (plan.n_epochs * plan.n_examples) as u64 * per_example;
        self.plan = Some(*plan);
        (self.started, self.last_event) = (Instant::now(), Instant::now());
        self.bar = self.console.bar(self.total).inspect(|bar| {
            let template = "{bar:30.cyan/blue} {percent:>3}%  {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
        });
        tracing::info!(
            "training on {} examples, epochs: {}, steps: {}",
            plan.n_examples,
            plan.n_epochs,
            plan.n_steps
        );
        Ok(ControlFlow::Continue(()))
    }

    fn on_batch_end(&mut self, step: &StepEnd) -> Result<ControlFlow<()>> {
        self.advance(step.n_examples as u64 * TRAINING_WORK);
        self.trained.examples += step.n_examples;
        self.trained.tokens += step.n_tokens;
        let now = self.console.seconds_since_start();
        self.trained.first_step.get_or_insert(now);
        let seconds = self.last_event.elapsed().as_secs_f64();
        self.last_event = Instant::now();
        self.loss.add(step.loss);
        self.examples_per_second
            .add(step.n_examples as f64 / seconds.max(1e-9));
        let message = self.message(step.epoch);
        self.say(message);
        Ok(ControlFlow::Continue(()))
    }

    fn on_logits(
        &mut self,
        pass: LogitsPass,
        epoch: usize,
        indices: &[ExampleIndex],
        _logits: &Tensor,
    ) -> Result<ControlFlow<()>> {
        if pass == LogitsPass::EpochEnd {
            self.advance(indices.len() as u64);
            self.last_event = Instant::now();
            let left = minutes(self.seconds_left());
            self.say(format!(
                "epoch {}  recording dynamics  {left} left",
                epoch + 1
            ));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn on_evaluation(&mut self, evaluation: &EvaluationEnd<'_>) -> Result<ControlFlow<()>> {
        let numbers: Vec<String> = evaluation
            .metrics
            .numbers()
            .map(|(name, value)| format!("{name} {value:.4}"))
            .collect();
        tracing::info!(
            "epoch {}  training loss {:.4}  {}: {}",
            evaluation.epoch + 1,
            self.loss.value,
            evaluation.stage,
            numbers.join("  ")
        );
        Ok(ControlFlow::Continue(()))
    }

    fn on_epoch_end(&mut self, _epoch: usize) -> Result<ControlFlow<()>> {
        self.last_event = Instant::now();
        self.trained.epochs += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn on_train_end(&mut self) -> Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        tracing::info!("{}", self.summary());
        Ok(())
    }

    fn save(&self, states: &mut States) -> Result<()> {
        states.put_json(STATE, &self.done)
    }

    fn restore(&mut self, states: &States) -> Result<()> {
        self.done_before = states.json(STATE)?;
        self.done = self.done_before;
        Ok(())
    }
}

/// An exponential mean of what was added, which follows the last twenty or so.
#[derive(Debug, Clone, Copy, Default)]
struct Smoothed {
    value: f64,
    has_value: bool,
}

impl Smoothed {
    fn add(&mut self, new: f64) {
        /// The weight of the new value.
        const SHARE: f64 = 0.05;
        self.value = if self.has_value {
            self.value + SHARE * (new - self.value)
        } else {
            new
        };
        self.has_value = true;
    }
}

/// `75.2` seconds as `1:15`, more than an hour as `1:02:03`.
pub(super) fn minutes(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}
