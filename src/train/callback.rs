//! What the training loop tells those who watch it.

use std::ops::ControlFlow;

use candle_core::Tensor;

use crate::data::ExampleIndex;
use crate::error::Result;
use crate::train::{StageMetrics, States};
use serde::{Deserialize, Serialize};

/// A watcher. It changes nothing but one thing: `Break` asks the loop to stop after what it is
/// doing, as if the last epoch had ended. An error ends the run.
pub trait Callback {
    /// Before the first step.
    ///
    /// # Errors
    /// The watcher's own.
    fn on_train_start(&mut self, _plan: &Plan) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// After each optimizer step. On a GPU the next one may have been begun: what is asked for
    /// then happens after that.
    ///
    /// # Errors
    /// The watcher's own.
    fn on_batch_end(&mut self, _step: &StepEnd) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// After each forward pass over training examples: the logits (B, C) of the examples at
    /// `indices`, detached. `epoch` counts from 0.
    ///
    /// # Errors
    /// The watcher's own.
    fn on_logits(
        &mut self,
        _pass: LogitsPass,
        _epoch: usize,
        _indices: &[ExampleIndex],
        _logits: &Tensor,
    ) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// After an evaluation; `epoch` counts from 0.
    ///
    /// # Errors
    /// The watcher's own.
    fn on_evaluation(&mut self, _evaluation: &EvaluationEnd<'_>) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// After the last thing that belongs to an epoch, which counts from 0.
    ///
    /// # Errors
    /// The watcher's own.
    fn on_epoch_end(&mut self, _epoch: usize) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// After the last step.
    ///
    /// # Errors
    /// The watcher's own.
    fn on_train_end(&mut self) -> Result<()> {
        Ok(())
    }

    /// At a checkpoint: keeps what it must know to go on from there, under a name of its own.
    ///
    /// # Errors
    /// The watcher's own.
    fn save(&self, _states: &mut States) -> Result<()> {
        Ok(())
    }

    /// After `on_train_start` of a training that goes on from a checkpoint: what it kept there.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Integrity`] where it cannot go on from that; then the checkpoint
    /// before may be tried.
    fn restore(&mut self, _states: &States) -> Result<()> {
        Ok(())
    }
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Times through the training set.
    pub n_epochs: usize,
    /// Examples in the training set.
    pub n_examples: usize,
    /// Optimizer steps in all.
    pub n_steps: usize,
}

/// What one optimizer step did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepEnd {
    /// From 0.
    pub epoch: usize,
    /// The steps done so far in all epochs.
    pub step: usize,
    /// The examples in this step.
    pub n_examples: usize,
    /// Their tokens, without padding.
    pub n_tokens: usize,
    /// Their mean loss, in nats.
    pub loss: f64,
    /// The rate that the step was taken with.
    pub learning_rate: f64,
    /// The gradients' norm before clipping.
    pub grad_norm: f64,
}

/// Which forward pass over the training examples logits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitsPass {
    /// The training pass itself, with dropout, the weights changing from batch to batch.
    Training,
    /// A pass without dropout at the end of an epoch.
    EpochEnd,
}

/// The result of an evaluation.
#[derive(Debug, Clone, Copy)]
pub struct EvaluationEnd<'a> {
    /// From 0.
    pub epoch: usize,
    /// The optimizer steps done so far.
    pub step: usize,
    /// `validation`, for the evaluations that the loop runs.
    pub stage: &'a str,
    /// What was measured.
    pub metrics: &'a StageMetrics,
}
