//! What a run writes down about its evaluations: `history.jsonl`, `metrics.yaml` and
//! `trainer_state.json`.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::config::TrainingConfig;
use crate::error::{Error, Result};
use crate::fsio;
use crate::metrics::Interval;
use crate::pipeline::run_folder::RunFolder;
use crate::pipeline::stages::StageResult;
use crate::train::{Callback, EvaluationEnd, Outcome, Plan, States, StepEnd};

/// The name of what a checkpoint keeps of them.
const STATE: &str = "records.json";

/// The callback that keeps the records; no clock, host name or path is in them.
pub struct Records {
    history_path: PathBuf,
    batch_size: usize,
    history: String,
    log: Vec<Value>,
    plan: Option<Plan>,
    /// Loss and steps since the last line of the log.
    epoch_loss: (f64, usize),
    last_step: Option<StepEnd>,
}

impl Records {
    /// Records of a run, empty.
    pub fn new(run: &RunFolder, config: &TrainingConfig) -> Self {
        Self {
            history_path: run.path().join("history.jsonl"),
            batch_size: config.batch_size,
            history: String::new(),
            log: Vec::new(),
            plan: None,
            epoch_loss: (0.0, 0),
            last_step: None,
        }
    }

    /// Writes all files, with the final evaluations of the best model.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(
        &mut self,
        run: &RunFolder,
        outcome: &Outcome,
        results: &[StageResult],
    ) -> Result<()> {
        let mut stages = Map::new();
        let mut intervals = Map::new();
        for result in results {
            self.add_to_history(
                outcome.best_epoch,
                outcome.n_steps,
                &result.stage,
                result.to_json(),
            )?;
            stages.insert(result.stage.clone(), Value::Object(result.to_json()));
            if !result.intervals.is_empty() {
                intervals.insert(result.stage.clone(), intervals_to_json(&result.intervals));
            }
        }
        if !intervals.is_empty() {
            stages.insert("confidence_intervals".into(), Value::Object(intervals));
        }
        let text = serde_yaml::to_string(&stages)
            .map_err(|e| Error::internal(format!("metrics.yaml: {e}")))?;
        fsio::write(&run.path().join("metrics.yaml"), text.as_bytes())?;
        let mut state =
            serde_json::to_string_pretty(&self.trainer_state(outcome)).unwrap_or_default();
        state.push('\n');
        fsio::write(&run.path().join("trainer_state.json"), state.as_bytes())
    }

    /// The keys and meanings are those of transformers' `TrainerState`; epochs count from 1.
    fn trainer_state(&self, outcome: &Outcome) -> Value {
        let plan = self.plan.unwrap_or(Plan {
            n_epochs: 0,
            n_examples: 0,
            n_steps: 0,
        });
        let steps_per_epoch = plan.n_steps.checked_div(plan.n_epochs).unwrap_or(0);
        let best_step = (outcome.best_epoch + 1) * steps_per_epoch;
        json!({
            "best_global_step": outcome.best_metric.map(|_| best_step),
            "best_metric": outcome.best_metric,
            "best_model_checkpoint": outcome.best_metric.map(|_| "best_model"),
            "epoch": outcome.n_epochs as f64,
            "eval_steps": steps_per_epoch,
            "global_step": outcome.n_steps,
            "is_hyper_param_search": false,
            "is_local_process_zero": true,
            "is_world_process_zero": true,
            "log_history": self.log,
            "logging_steps": steps_per_epoch,
            "max_steps": plan.n_steps,
            "num_train_epochs": plan.n_epochs,
            "train_batch_size": self.batch_size,
        })
    }

    fn add_to_history(
        &mut self,
        epoch: usize,
        step: usize,
        stage: &str,
        numbers: Map<String, Value>,
    ) -> Result<()> {
        let mut line = Map::new();
        line.insert("epoch".into(), json!(epoch + 1));
        line.insert("step".into(), json!(step));
        line.insert("stage".into(), json!(stage));
        line.extend(numbers);
        self.history.push_str(&Value::Object(line).to_string());
        self.history.push('\n');
        fsio::write(&self.history_path, self.history.as_bytes())
    }

    /// Adds the mean training loss of the epoch that has ended.
    fn log_training(&mut self) {
        let (sum, n) = std::mem::take(&mut self.epoch_loss);
        if let Some(step) = &self.last_step
            && n > 0
        {
            self.log.push(json!({
                "epoch": (step.epoch + 1) as f64,
                "grad_norm": step.grad_norm,
                "learning_rate": step.learning_rate,
                "loss": sum / n as f64,
                "step": step.step,
            }));
        }
    }
}

impl Callback for Records {
    fn on_train_start(&mut self, plan: &Plan) -> Result<ControlFlow<()>> {
        self.plan = Some(*plan);
        Ok(ControlFlow::Continue(()))
    }

    fn on_batch_end(&mut self, step: &StepEnd) -> Result<ControlFlow<()>> {
        self.epoch_loss.0 += step.loss * step.n_examples as f64;
        self.epoch_loss.1 += step.n_examples;
        self.last_step = Some(*step);
        Ok(ControlFlow::Continue(()))
    }

    fn on_evaluation(&mut self, evaluation: &EvaluationEnd<'_>) -> Result<ControlFlow<()>> {
        let EvaluationEnd {
            epoch,
            step,
            stage,
            metrics,
        } = *evaluation;
        self.log_training();
        let mut entry = Map::new();
        entry.insert("epoch".into(), json!((epoch + 1) as f64));
        for (name, value) in metrics.to_json() {
            entry.insert(format!("eval_{name}"), value);
        }
        entry.insert("step".into(), json!(step));
        self.log.push(Value::Object(entry));
        self.add_to_history(epoch, step, stage, metrics.to_json())?;
        Ok(ControlFlow::Continue(()))
    }

    fn on_epoch_end(&mut self, _epoch: usize) -> Result<ControlFlow<()>> {
        // Where there was an evaluation, it has logged the epoch's loss before its own numbers.
        self.log_training();
        Ok(ControlFlow::Continue(()))
    }

    fn save(&self, states: &mut States) -> Result<()> {
        let Self {
            history,
            log,
            epoch_loss,
            last_step,
            ..
        } = self;
        states.put_json(STATE, &(history, log, epoch_loss, last_step))
    }

    fn restore(&mut self, states: &States) -> Result<()> {
        (self.history, self.log, self.epoch_loss, self.last_step) = states.json(STATE)?;
        Ok(())
    }
}

fn intervals_to_json(intervals: &[(String, Interval)]) -> Value {
    let entries = intervals.iter().map(|(name, interval)| {
        let ends = json!({
            "low": interval.low,
            "high": interval.high,
            "n_undefined": interval.n_undefined,
        });
        (name.clone(), ends)
    });
    Value::Object(entries.collect())
}
