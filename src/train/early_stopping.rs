//! Early stopping, as transformers' `EarlyStoppingCallback` has it.

use std::ops::ControlFlow;

use crate::config::TrainingConfig;
use crate::config::metric::Direction;
use crate::error::Result;
use crate::train::{Callback, EvaluationEnd, MetricSet, States};

/// The name of what it keeps.
const STATE: &str = "early_stopping.json";

/// The watcher that stops training when `metric_for_best_model` has not become better for
/// `early_stopping_patience` evaluations in a row.
#[derive(Debug)]
pub struct EarlyStopping<'a> {
    metric: &'a str,
    direction: Direction,
    patience: usize,
    threshold: f64,
    best: Option<f64>,
    n_without_better: usize,
}

impl<'a> EarlyStopping<'a> {
    /// The watcher that `config` asks for, if it asks for one.
    pub fn new(config: &'a TrainingConfig, metrics: &MetricSet) -> Option<Self> {
        Some(Self {
            metric: &config.metric_for_best_model,
            direction: metrics.direction(&config.metric_for_best_model)?,
            patience: config.early_stopping_patience?,
            threshold: config.early_stopping_threshold,
            best: None,
            n_without_better: 0,
        })
    }
}

impl Callback for EarlyStopping<'_> {
    fn on_evaluation(&mut self, end: &EvaluationEnd<'_>) -> Result<ControlFlow<()>> {
        let Some(value) = end.metrics.number(self.metric) else {
            return Ok(ControlFlow::Continue(()));
        };
        let gain = self.best.map(|best| match self.direction {
            Direction::HigherIsBetter => value - best,
            Direction::LowerIsBetter => best - value,
        });
        if gain.is_none_or(|gain| gain > 0.0) {
            self.best = Some(value);
        }
        // A value that is better by less than the threshold is the best, but no reason to go on.
        if gain.is_none_or(|gain| gain > self.threshold) {
            self.n_without_better = 0;
            return Ok(ControlFlow::Continue(()));
        }
        self.n_without_better += 1;
        if self.n_without_better < self.patience {
            return Ok(ControlFlow::Continue(()));
        }
        tracing::info!(
            "stopping after epoch {}: no better `{}` for {} evaluations",
            end.epoch + 1,
            self.metric,
            self.n_without_better
        );
        Ok(ControlFlow::Break(()))
    }

    fn save(&self, states: &mut States) -> Result<()> {
        // A metric may be infinite or not defined, which JSON has no number for.
        let bits = self.best.map(f64::to_bits);
        states.put_json(STATE, &(bits, self.n_without_better))
    }

    fn restore(&mut self, states: &States) -> Result<()> {
        let (bits, n): (Option<u64>, usize) = states.json(STATE)?;
        self.best = bits.map(f64::from_bits);
        self.n_without_better = n;
        Ok(())
    }
}
