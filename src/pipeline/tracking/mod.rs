//! Reports of a run while it trains, to `TensorBoard` and `MLflow`.
//!
//! [`Tracking`] is the callback: it decides what is reported, when, and under which names,
//! which are those of transformers' own reports. A [`Tracker`] takes the values to one place.

mod events;
#[cfg(feature = "mlflow")]
mod mlflow;
#[cfg(feature = "mlflow")]
mod mlflow_server;
mod tensorboard;

use std::ops::ControlFlow;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::{Config, LoadedConfig, ReportTo};
use crate::error::Result;
use crate::pipeline::run_folder::RunFolder;
use crate::pipeline::stages::StageResult;
use crate::train::{Callback, EvaluationEnd, Outcome, Plan, States, StepEnd};
use serde_json::Value as Json;
use tensorboard::TensorBoard;

/// The group of what is measured while training.
const TRAIN: &str = "train";

/// The group of the evaluations that the loop runs.
const EVALUATION: &str = "eval";

/// The name of what a checkpoint keeps of the reports.
const STATE: &str = "tracking.json";

/// A place that takes reports.
trait Tracker {
    /// The run has a folder now; nothing is trained yet.
    ///
    /// # Errors
    /// A place that does not take the run, which must be heard before hours of training.
    fn start(&mut self, run: &RunFolder, name: &str) -> Result<()>;

    /// What was measured up to a step: `group` is `train` or `eval`.
    ///
    /// # Errors
    /// A file that cannot be written. A server that does not answer is none: training goes on.
    fn log(&mut self, group: &str, step: usize, values: &[(&str, f64)]) -> Result<()>;

    /// What the best model reaches on the stage `train`, `validation`, `test`, `control` or
    /// `control_NAME`.
    ///
    /// # Errors
    /// As [`Tracker::log`].
    fn log_result(&mut self, stage: &str, step: usize, values: &[(&str, f64)]) -> Result<()>;

    /// What the place has not taken yet, to be kept with a checkpoint.
    fn pending(&self) -> Json {
        Json::Null
    }

    /// A run that was stopped goes on behind `step`; `pending` is what [`Tracker::pending`] gave
    /// then.
    fn take_up(&mut self, _pending: Json, _step: usize) {}

    /// The run's files are written, all but its manifest.
    ///
    /// # Errors
    /// As [`Tracker::log`].
    fn finish(&mut self, run: &RunFolder) -> Result<()>;
}

/// The callback that reports a run to every tracker of its config.
pub struct Tracking {
    trackers: Vec<Box<dyn Tracker>>,
    logging_steps: usize,
    steps_per_epoch: f64,
    /// Sum of the losses and number of the examples since the last report.
    loss: (f64, usize),
    last_step: Option<StepEnd>,
    /// Optimizer steps so far.
    n_steps: usize,
}

impl Tracking {
    /// Reaches every tracker that the config names.
    ///
    /// # Errors
    /// A server that does not answer or does not let us in.
    pub fn connect(loaded: &LoadedConfig) -> Result<Self> {
        let config = &loaded.config;
        let mut trackers: Vec<Box<dyn Tracker>> = Vec::new();
        if config.training.report_to.contains(&ReportTo::Tensorboard) {
            trackers.push(Box::new(TensorBoard::new(config)));
        }
        if config.mlflow.is_some() || config.training.report_to.contains(&ReportTo::Mlflow) {
            trackers.push(connect_mlflow(loaded)?);
        }
        Ok(Self {
            trackers,
            logging_steps: config.training.logging_steps,
            steps_per_epoch: 1.0,
            loss: (0.0, 0),
            last_step: None,
            n_steps: 0,
        })
    }

    /// Begins the reports of a run.
    ///
    /// # Errors
    /// A file that cannot be made, or a server that does not take the run.
    pub fn start(&mut self, config: &Config, run: &RunFolder) -> Result<()> {
        let name = run_name(config, run);
        let mut trackers = self.trackers.iter_mut();
        trackers.try_for_each(|tracker| tracker.start(run, &name))
    }

    /// Reports what the best model reaches, and the run's files.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(
        &mut self,
        run: &RunFolder,
        outcome: &Outcome,
        results: &[StageResult],
    ) -> Result<()> {
        for tracker in &mut self.trackers {
            for result in results {
                let values: Vec<(&str, f64)> = result.metrics.numbers().collect();
                tracker.log_result(&result.stage, outcome.n_steps, &values)?;
            }
            tracker.finish(run)?;
        }
        Ok(())
    }

    fn log(&mut self, group: &str, step: usize, values: &[(&str, f64)]) -> Result<()> {
        let mut trackers = self.trackers.iter_mut();
        trackers.try_for_each(|tracker| tracker.log(group, step, values))
    }

    /// Reports the steps since the last report: their mean loss, and the last one's numbers.
    fn log_steps(&mut self) -> Result<()> {
        let (sum, n) = std::mem::take(&mut self.loss);
        let Some(last) = self.last_step.take() else {
            return Ok(());
        };
        let values = [
            ("loss", sum / n as f64),
            ("learning_rate", last.learning_rate),
            ("grad_norm", last.grad_norm),
            ("epoch", last.step as f64 / self.steps_per_epoch),
        ];
        self.log(TRAIN, last.step, &values)
    }
}

impl Callback for Tracking {
    fn on_train_start(&mut self, plan: &Plan) -> Result<ControlFlow<()>> {
        self.steps_per_epoch = plan.n_steps as f64 / plan.n_epochs.max(1) as f64;
        Ok(ControlFlow::Continue(()))
    }

    fn on_batch_end(&mut self, step: &StepEnd) -> Result<ControlFlow<()>> {
        self.loss.0 += step.loss * step.n_examples as f64;
        self.loss.1 += step.n_examples;
        self.last_step = Some(*step);
        self.n_steps = step.step;
        if step.step.is_multiple_of(self.logging_steps) {
            self.log_steps()?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn on_evaluation(&mut self, evaluation: &EvaluationEnd<'_>) -> Result<ControlFlow<()>> {
        let values: Vec<(&str, f64)> = evaluation.metrics.numbers().collect();
        self.log(EVALUATION, evaluation.step, &values)?;
        Ok(ControlFlow::Continue(()))
    }

    fn on_train_end(&mut self) -> Result<()> {
        self.log_steps()
    }

    fn save(&self, states: &mut States) -> Result<()> {
        let pending: Vec<Json> = self.trackers.iter().map(|t| t.pending()).collect();
        states.put_json(STATE, &(self.loss, self.last_step, self.n_steps, pending))
    }

    fn restore(&mut self, states: &States) -> Result<()> {
        let pending: Vec<Json>;
        (self.loss, self.last_step, self.n_steps, pending) = states.json(STATE)?;
        for (tracker, pending) in self.trackers.iter_mut().zip(pending) {
            tracker.take_up(pending, self.n_steps);
        }
        Ok(())
    }
}

#[cfg(feature = "mlflow")]
fn connect_mlflow(loaded: &LoadedConfig) -> Result<Box<dyn Tracker>> {
    Ok(Box::new(mlflow::Mlflow::connect(loaded)?))
}

#[cfg(not(feature = "mlflow"))]
fn connect_mlflow(loaded: &LoadedConfig) -> Result<Box<dyn Tracker>> {
    use crate::error::{Error, ErrorKind};
    let key = if loaded.config.mlflow.is_some() {
        "mlflow"
    } else {
        "training.report_to"
    };
    let message = "this build of enginora-rs cannot report to MLflow";
    let problem = loaded.source.problem(key, message);
    let hint = "build it with the cargo feature `mlflow`, or report to `tensorboard`";
    Err(Error::new(ErrorKind::Config, problem.hint(hint)))
}

/// The run's name in reports: the config's, else `OUTPUT-NNNN`.
fn run_name(config: &Config, run: &RunFolder) -> String {
    if let Some(name) = &config.training.run_name {
        return name.clone();
    }
    let output = std::path::absolute(run.output_dir()).unwrap_or_default();
    let output = output.file_name().unwrap_or_default();
    let number = run.path().file_name().unwrap_or_default();
    format!("{}-{}", output.display(), number.display())
}

/// The time since 1970.
fn now() -> std::time::Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
