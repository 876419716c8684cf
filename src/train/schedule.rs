//! The learning rate at each optimizer step, as Hugging Face's schedules have it.

use crate::config::{LrSchedulerType, TrainingConfig};

/// A schedule over all steps of a run.
#[derive(Debug, Clone)]
pub struct Schedule {
    kind: LrSchedulerType,
    peak: f64,
    n_warmup_steps: usize,
    n_steps: usize,
}

impl Schedule {
    /// The schedule that the config asks for, over `n_steps` optimizer steps.
    pub fn new(config: &TrainingConfig, n_steps: usize) -> Self {
        let n_warmup_steps = match config.warmup_steps {
            0 => (config.warmup_ratio * n_steps as f64).ceil() as usize,
            n => n,
        };
        Self {
            kind: config.lr_scheduler_type,
            peak: config.learning_rate,
            n_warmup_steps,
            n_steps,
        }
    }

    /// The learning rate of the step with number `step`, from 0.
    pub fn learning_rate(&self, step: usize) -> f64 {
        if step < self.n_warmup_steps {
            return self.peak * step as f64 / self.n_warmup_steps as f64;
        }
        let n_after = self.n_steps.saturating_sub(self.n_warmup_steps).max(1) as f64;
        let progress = (step - self.n_warmup_steps) as f64 / n_after;
        let share = match self.kind {
            LrSchedulerType::Linear => (1.0 - progress).max(0.0),
            LrSchedulerType::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            LrSchedulerType::Constant | LrSchedulerType::ConstantWithWarmup => 1.0,
        };
        self.peak * share
    }
}
