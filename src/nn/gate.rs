//! Gated activations: y = act(a) * g for x = [a | g], as feed-forward parts with a gated linear
//! unit have it between their two linear layers (Shazeer 2020, "GLU Variants Improve
//! Transformer").
//!
//! Shapes: T rows; x (T, 2 I) with `a` first; y (T, I).

use candle_core::Tensor;

use crate::error::Result;
use crate::nn::kernels::Kernels;
use crate::nn::raw::multiply_by;
use crate::nn::values::{Output, rows};
use crate::nn::{Activation, Saved, raw};

/// A gate; it has no parameters.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    activation: Activation,
}

impl Gate {
    /// A gate whose first half goes through `activation`.
    pub fn new(activation: Activation) -> Self {
        Self { activation }
    }

    /// x (T, 2 I) -> y (T, I).
    ///
    /// # Errors
    /// A tensor that is not contiguous f32, or a device without kernels.
    pub fn forward(&self, x: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        if let Some(kernels) = Kernels::of(x) {
            saved.push(x);
            return kernels.gate_forward(self.activation, x);
        }
        let (n_rows, width) = (x.dim(0)?, x.dim(1)? / 2);
        let values = raw::read::<f32>(x)?;
        let ([y], _) = rows(x.device(), n_rows, [Output::f32(width)], |rows, [y]| {
            let x = values[rows.start * 2 * width..].chunks_exact(2 * width);
            for (y, x) in y.chunks_exact_mut(width).zip(x) {
                let (a, g) = x.split_at(width);
                self.activation.apply(a, y);
                multiply_by(y, g);
            }
        })?;
        saved.push(x);
        Ok(y)
    }

    /// dy (T, I) -> dx (T, 2 I).
    ///
    /// # Errors
    /// As [`Gate::forward`], or a stack that does not match.
    pub fn backward(&self, dy: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        let x = saved.pop()?;
        if let Some(kernels) = Kernels::of(dy) {
            return kernels.gate_backward(self.activation, dy, &x);
        }
        let (n_rows, width) = dy.dims2()?;
        let (x, dy_values) = (raw::read::<f32>(&x)?, raw::read::<f32>(dy)?);
        let outputs = [Output::f32(2 * width)];
        let ([dx], _) = rows(dy.device(), n_rows, outputs, |rows, [dx]| {
            let x = x[rows.start * 2 * width..].chunks_exact(2 * width);
            let dy = dy_values[rows.start * width..].chunks_exact(width);
            for ((dx, x), dy) in dx.chunks_exact_mut(2 * width).zip(x).zip(dy) {
                self.backward_of_row(dx, x, dy);
            }
        })?;
        Ok(dx)
    }

    /// da = dy g act'(a), dg = dy act(a).
    fn backward_of_row(self, dx: &mut [f32], x: &[f32], dy: &[f32]) {
        let (a, g) = x.split_at(dy.len());
        let (da, dg) = dx.split_at_mut(dy.len());
        self.activation.apply_with_slopes(a, dg, da);
        multiply_by(dg, dy);
        multiply_by(da, dy);
        multiply_by(da, g);
    }
}
