//! Gated activations: y = act(a) * g for x = [a | g], as feed-forward parts with a gated linear
//! unit have it between their two linear layers (Shazeer 2020, "GLU Variants Improve
//! Transformer").
//!
//! Shapes: T rows; x (T, 2 I) with `a` first; y (T, I).

use candle_core::Tensor;
use rayon::prelude::*;

use crate::error::Result;
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
        let (n_rows, width) = (x.dim(0)?, x.dim(1)? / 2);
        let mut y = vec![0.0; n_rows * width];
        {
            let values = raw::read::<f32>(x)?;
            y.par_chunks_mut(raw::ROWS_PER_TASK * width)
                .zip(values.par_chunks(raw::ROWS_PER_TASK * 2 * width))
                .for_each(|(y, x)| {
                    for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(2 * width)) {
                        let (a, g) = x.split_at(width);
                        y.copy_from_slice(a);
                        self.activation.apply(y);
                        multiply_by(y, g);
                    }
                });
        }
        saved.push(x);
        raw::tensor(y, &[n_rows, width], x.device())
    }

    /// dy (T, I) -> dx (T, 2 I).
    ///
    /// # Errors
    /// As [`Gate::forward`], or a stack that does not match.
    pub fn backward(&self, dy: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        let x = saved.pop()?;
        let (n_rows, width) = dy.dims2()?;
        let mut dx = vec![0.0; n_rows * 2 * width];
        {
            let (x, dy) = (raw::read::<f32>(&x)?, raw::read::<f32>(dy)?);
            dx.par_chunks_mut(raw::ROWS_PER_TASK * 2 * width)
                .zip(x.par_chunks(raw::ROWS_PER_TASK * 2 * width))
                .zip(dy.par_chunks(raw::ROWS_PER_TASK * width))
                .for_each(|((dx, x), dy)| {
                    let rows = dx
                        .chunks_exact_mut(2 * width)
                        .zip(x.chunks_exact(2 * width));
                    for ((dx, x), dy) in rows.zip(dy.chunks_exact(width)) {
                        self.backward_of_row(dx, x, dy);
                    }
                });
        }
        raw::tensor(dx, &[n_rows, 2 * width], dy.device())
    }

    /// da = dy g act'(a), dg = dy act(a).
    fn backward_of_row(self, dx: &mut [f32], x: &[f32], dy: &[f32]) {
        let (a, g) = x.split_at(dy.len());
        let (da, dg) = dx.split_at_mut(dy.len());
        da.copy_from_slice(dy);
        multiply_by(da, g);
        self.activation.multiply_by_slope(a, da);
        dg.copy_from_slice(a);
        self.activation.apply(dg);
        multiply_by(dg, dy);
    }
}

fn multiply_by(values: &mut [f32], factors: &[f32]) {
    for (value, factor) in values.iter_mut().zip(factors) {
        *value *= factor;
    }
}
