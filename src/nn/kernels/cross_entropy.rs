//! Launches the cross entropy.

use candle_core::{DType, Tensor};

use super::{Grid, Kernels};
use crate::error::Result;

impl Kernels {
    /// logits (B, C), labels (B), class weights (C) if there are any -> losses (B).
    pub(crate) fn cross_entropy_forward(
        &self,
        logits: &Tensor,
        labels: &Tensor,
        weights: Option<&Tensor>,
        smoothing: f32,
    ) -> Result<Tensor> {
        let (n_examples, n_classes) = logits.dims2()?;
        let losses = self.empty(&[n_examples], DType::F32)?;
        self.call("cross_entropy_forward")
            .pointer(logits)
            .pointer(labels)
            .optional(weights)
            .f32(smoothing)
            .pointer(&losses)
            .count(n_examples)
            .count(n_classes)
            .launch(Grid::threads(n_examples))?;
        Ok(losses)
    }

    /// The gradient of `scale` times the sum of the losses, (B, C).
    pub(crate) fn cross_entropy_backward(
        &self,
        logits: &Tensor,
        labels: &Tensor,
        weights: Option<&Tensor>,
        smoothing: f32,
        scale: f32,
    ) -> Result<Tensor> {
        let (n_examples, n_classes) = logits.dims2()?;
        let gradient = self.empty(logits.dims(), DType::F32)?;
        self.call("cross_entropy_backward")
            .pointer(logits)
            .pointer(labels)
            .optional(weights)
            .f32(smoothing)
            .f32(scale)
            .pointer(&gradient)
            .count(n_examples)
            .count(n_classes)
            .launch(Grid::threads(n_examples))?;
        Ok(gradient)
    }
}
