//! Launches the optimizer: the norm of all gradients, and the step.

use candle_core::{DType, Tensor};

use super::{Grid, Kernels};
use crate::error::{Error, Result};

/// Values that one block works on.
const VALUES_PER_BLOCK: usize = 1 << 14;

/// Some values in a row among all N that belong to one parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    /// The number of the first value.
    pub start: usize,
    /// How many they are.
    pub length: usize,
    /// Whether weight decay acts on them.
    pub decays: bool,
    /// Their share of the learning rate, above 0.
    pub share: f32,
}

/// What one step does with every value; see `train::AdamW`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepFactors {
    /// The largest norm that is not clipped; 0 for no clipping.
    pub max_grad_norm: f64,
    /// The rate, before shares of it.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// 1 - beta1^t.
    pub first_correction: f64,
    /// sqrt(1 - beta2^t).
    pub second_correction: f32,
    /// Of the first moment.
    pub beta1: f32,
    /// Of the second moment.
    pub beta2: f32,
    /// In the denominator.
    pub epsilon: f32,
}

/// AdamW on a device: which values it changes.
#[derive(Debug, Clone)]
pub(crate) struct DeviceAdamW {
    kernels: Kernels,
    /// (P, 4), u32; see `Piece` in optimizer.cu.
    pieces: Tensor,
}

impl DeviceAdamW {
    /// For a `state` of N values and their moments; values in none of the pieces stay.
    ///
    /// # Errors
    /// More values than 32 bits count, or no memory on the device.
    pub fn new(kernels: Kernels, state: &Tensor, parts: &[Piece]) -> Result<Self> {
        let mut words = Vec::new();
        for part in parts {
            for first in (0..part.length).step_by(VALUES_PER_BLOCK) {
                let start = u32::try_from(part.start + first)
                    .map_err(|_| Error::internal("more values than 32 bits count"))?;
                let length = (part.length - first).min(VALUES_PER_BLOCK) as u32;
                words.extend([start, length, u32::from(part.decays), part.share.to_bits()]);
            }
        }
        let shape = (words.len() / 4, 4);
        let pieces = Tensor::from_vec(words, shape, state.device())?;
        Ok(Self { kernels, pieces })
    }

    /// Changes the values of `state` (3N) by one step with these gradients (N); returns their norm
    /// before clipping, one f64 on the device. Where it is not finite nothing is changed.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn step(
        &self,
        state: &Tensor,
        gradients: &Tensor,
        factors: &StepFactors,
    ) -> Result<Tensor> {
        let n_pieces = self.pieces.dim(0)?;
        let sums = self.kernels.empty(&[n_pieces], DType::F64)?;
        let norm = self.kernels.empty(&[1], DType::F64)?;
        self.kernels
            .call("square_sums")
            .pointer(gradients)
            .pointer(&self.pieces)
            .pointer(&sums)
            .launch(Grid::blocks(n_pieces, 1))?;
        self.kernels
            .call("norm_of_sums")
            .pointer(&sums)
            .count(n_pieces)
            .pointer(&norm)
            .launch(Grid::blocks(1, 1))?;
        self.kernels
            .call("adamw")
            .pointer(state)
            .pointer(gradients)
            .u64(gradients.elem_count())
            .pointer(&self.pieces)
            .pointer(&norm)
            .f64(factors.max_grad_norm)
            .f64(factors.learning_rate)
            .f64(factors.weight_decay)
            .f64(factors.first_correction)
            .f32(factors.second_correction)
            .f32(factors.beta1)
            .f32(factors.beta2)
            .f32(factors.epsilon)
            .launch(Grid::blocks(n_pieces, 1))?;
        Ok(norm)
    }
}
