//! What a training changes from step to step, beside the model's storage.

use serde::{Deserialize, Serialize};

use crate::config::metric::Direction;
use crate::error::{Error, Result};
use crate::model::Classifier;
use crate::nn::raw;
use crate::train::{AdamW, Outcome, StageMetrics, Training};

/// Where a training is, between two optimizer steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Epochs done, which is the number of the one under way.
    pub epoch: usize,
    /// Steps done in it.
    pub step_in_epoch: usize,
    /// Steps done in all.
    pub step: usize,
    /// Whether a watcher has asked to stop.
    pub is_stopping: bool,
}

impl Position {
    /// Whether there is no further epoch, not even to finish one under way.
    pub(super) fn is_over(&self, n_epochs: usize) -> bool {
        self.epoch >= n_epochs || (self.is_stopping && self.step_in_epoch == 0)
    }

    pub(super) fn end_step(&mut self) {
        self.step_in_epoch += 1;
        self.step += 1;
    }

    pub(super) fn end_epoch(&mut self) {
        self.step_in_epoch = 0;
        self.epoch += 1;
    }
}

/// A training under way.
pub struct State<'a> {
    pub(super) at: Position,
    pub(super) optimizer: AdamW,
    pub(super) best: Best<'a>,
}

/// The best epoch so far and its weights.
pub struct Best<'a> {
    metric: &'a str,
    direction: Direction,
    pub(super) so_far: Option<BestEpoch>,
}

pub(super) struct BestEpoch {
    pub(super) epoch: usize,
    pub(super) value: f64,
    pub(super) weights: Vec<f32>,
}

impl<'a> Best<'a> {
    pub(super) fn new(training: &Training<'a>) -> Self {
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
    pub(super) fn offer(
        &mut self,
        model: &Classifier,
        epoch: usize,
        metrics: &StageMetrics,
    ) -> Result<()> {
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
            .is_none_or(|best| match self.direction {
                Direction::HigherIsBetter => value > best.value,
                Direction::LowerIsBetter => value < best.value,
            });
        if is_better {
            let values = model.parameters().flat()?;
            let weights = raw::read::<f32>(&values)?.to_vec();
            self.so_far = Some(BestEpoch {
                epoch,
                value,
                weights,
            });
        }
        Ok(())
    }

    pub(super) fn restore(&self, model: &Classifier) -> Result<()> {
        let Some(best) = &self.so_far else {
            return Ok(());
        };
        raw::update(&model.parameters().flat()?, |values| {
            values.copy_from_slice(&best.weights);
        })
    }
}

impl State<'_> {
    pub(super) fn outcome(&self) -> Outcome {
        let best = self.best.so_far.as_ref();
        Outcome {
            best_epoch: best.map_or(self.at.epoch.saturating_sub(1), |best| best.epoch),
            best_metric: best.map(|best| best.value),
            n_steps: self.at.step,
            n_epochs: self.at.epoch,
        }
    }
}
