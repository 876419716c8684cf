//! Layer norm, alone and fused with the residual sum and the dropout before it.
//!
//! Shapes: T rows of D features; per row, y = gamma (x - mean) / sqrt(var + eps) + beta with
//! the population variance (Ba et al. 2016). A layer norm may be without beta.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::error::Result;
use crate::nn::dropout::Masks;
use crate::nn::{Bias, Decay, Dropout, Gradients, Initialization, Parameter, Saved, Vars, raw};

/// A layer norm over the last dimension.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Parameter,
    bias: Option<Parameter>,
    epsilon: f32,
}

impl LayerNorm {
    /// A layer norm over `width` features, with a bias.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(vars: &Vars<'_>, width: usize, epsilon: f64) -> Result<Self> {
        Self::with_bias(vars, width, epsilon, Bias::Yes)
    }

    /// A layer norm over `width` features, with or without a bias.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn with_bias(vars: &Vars<'_>, width: usize, epsilon: f64, bias: Bias) -> Result<Self> {
        Ok(Self {
            weight: vars.get("weight", &[width], Initialization::Ones, Decay::No)?,
            bias: bias.of(vars, width)?,
            epsilon: epsilon as f32,
        })
    }

    /// x (T, D) -> y (T, D).
    ///
    /// # Errors
    /// Tensors that are not contiguous f32, or a device without kernels.
    pub fn forward(&self, x: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        let sums = raw::read::<f32>(x)?.to_vec();
        self.normalize(sums, x, saved)
    }

    /// dy (T, D) -> dx (T, D); adds to the gradients of weight and bias.
    ///
    /// # Errors
    /// As [`LayerNorm::forward`], or a stack that does not match.
    pub fn backward(&self, dy: &Tensor, saved: &mut Saved, grads: &Gradients) -> Result<Tensor> {
        let inverse_std = saved.pop()?;
        let normalized = saved.pop()?;
        let (n_rows, width) = dy.dims2()?;
        let dy_values = raw::read::<f32>(dy)?;
        let inverse_std = raw::read::<f32>(&inverse_std)?;
        let normalized = raw::read::<f32>(&normalized)?;
        let gamma = raw::read::<f32>(self.weight.value())?;

        // The sums for the weight, then those for the bias, if there is one.
        let n_sums = width * (1 + usize::from(self.bias.is_some()));
        let sums = raw::sum_over_rows(n_rows, n_sums, |rows, partial| {
            let (d_weight, d_bias) = partial.split_at_mut(width);
            for row in rows {
                let at = row * width..(row + 1) * width;
                raw::add_to(d_bias, &dy_values[at.clone()]);
                for ((sum, g), x) in d_weight
                    .iter_mut()
                    .zip(&dy_values[at.clone()])
                    .zip(&normalized[at])
                {
                    *sum += g * x;
                }
            }
        });
        raw::accumulate(&grads[&self.weight], &sums[..width])?;
        if let Some(bias) = &self.bias {
            raw::accumulate(&grads[bias], &sums[width..])?;
        }

        let mut dx = vec![0.0; n_rows * width];
        let chunk = raw::ROWS_PER_TASK * width;
        dx.par_chunks_mut(chunk)
            .enumerate()
            .for_each(|(task, rows)| {
                for (i, dx) in rows.chunks_exact_mut(width).enumerate() {
                    let row = task * raw::ROWS_PER_TASK + i;
                    let at = row * width..(row + 1) * width;
                    input_gradient(
                        dx,
                        &dy_values[at.clone()],
                        &normalized[at],
                        &gamma,
                        inverse_std[row],
                    );
                }
            });
        raw::tensor(dx, dy.dims(), dy.device())
    }

    /// Turns the rows of `sums` into y, and saves what the backward pass needs.
    fn normalize(&self, mut sums: Vec<f32>, like: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        let (n_rows, width) = like.dims2()?;
        let gamma = raw::read::<f32>(self.weight.value())?;
        let beta = self
            .bias
            .as_ref()
            .map(|bias| raw::read::<f32>(bias.value()));
        let beta = beta.transpose()?;
        let mut inverse_std = vec![0.0; n_rows];
        sums.par_chunks_mut(raw::ROWS_PER_TASK * width)
            .zip(inverse_std.par_chunks_mut(raw::ROWS_PER_TASK))
            .for_each(|(rows, inverse_std)| {
                for (row, inverse_std) in rows.chunks_exact_mut(width).zip(inverse_std) {
                    *inverse_std = standardize(row, self.epsilon);
                }
            });
        let normalized = raw::tensor(sums, like.dims(), like.device())?;
        let mut y = vec![0.0; n_rows * width];
        {
            let normalized = raw::read::<f32>(&normalized)?;
            let chunk = raw::ROWS_PER_TASK * width;
            y.par_chunks_mut(chunk)
                .zip(normalized.par_chunks(chunk))
                .for_each(|(y, x)| {
                    for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                        for ((y, x), gamma) in y.iter_mut().zip(x).zip(&*gamma) {
                            *y = gamma * x;
                        }
                        if let Some(beta) = &beta {
                            raw::add_to(y, beta);
                        }
                    }
                });
        }
        saved.push(&normalized);
        saved.push(&raw::tensor(inverse_std, &[n_rows], like.device())?);
        raw::tensor(y, like.dims(), like.device())
    }
}

/// y = layer norm(residual + dropout(x)): the end of an attention and of a feed-forward block.
#[derive(Debug)]
pub struct ResidualLayerNorm {
    norm: LayerNorm,
    dropout: Dropout,
}

impl ResidualLayerNorm {
    /// A layer norm over `width` features, after dropout at `rate` and the residual sum.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(vars: &Vars<'_>, width: usize, epsilon: f64, rate: f64) -> Result<Self> {
        Ok(Self {
            norm: LayerNorm::new(vars, width, epsilon)?,
            dropout: Dropout::new(vars, rate),
        })
    }

    /// x (T, D), residual (T, D) -> y (T, D).
    ///
    /// # Errors
    /// Tensors that are not contiguous f32, or a device without kernels.
    pub fn forward(&self, x: &Tensor, residual: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        let width = x.dim(1)?;
        let masks = self.dropout.masks(saved);
        let mut sums = raw::read::<f32>(x)?.to_vec();
        {
            let residual = raw::read::<f32>(residual)?;
            let chunk = raw::ROWS_PER_TASK * width;
            sums.par_chunks_mut(chunk)
                .zip(residual.par_chunks(chunk))
                .enumerate()
                .for_each(|(task, (sums, residual))| {
                    drop_out(masks, task * chunk, sums);
                    raw::add_to(sums, residual);
                });
        }
        self.norm.normalize(sums, x, saved)
    }

    /// dy (T, D) -> (dx, dresidual), each (T, D); adds to the gradients of the layer norm.
    ///
    /// # Errors
    /// As [`ResidualLayerNorm::forward`], or a stack that does not match.
    pub fn backward(
        &self,
        dy: &Tensor,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<(Tensor, Tensor)> {
        let d_sum = self.norm.backward(dy, saved, grads)?;
        let dx = self.dropout.backward(&d_sum, saved)?;
        Ok((dx, d_sum))
    }
}

fn drop_out(masks: Option<Masks>, first: usize, values: &mut [f32]) {
    if let Some(masks) = masks {
        masks.apply(first, values);
    }
}

/// Makes mean 0 and variance 1 of a row; returns 1 / sqrt(var + eps).
fn standardize(row: &mut [f32], epsilon: f32) -> f32 {
    let width = row.len() as f32;
    let mean = row.iter().sum::<f32>() / width;
    let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / width;
    let inverse_std = 1.0 / (variance + epsilon).sqrt();
    for x in row {
        *x = (*x - mean) * inverse_std;
    }
    inverse_std
}

/// dx = (g - mean(g) - x mean(g x)) / std with g = gamma dy and x the normalized row.
fn input_gradient(dx: &mut [f32], dy: &[f32], x: &[f32], gamma: &[f32], inverse_std: f32) {
    let width = dx.len() as f32;
    let (mut mean, mut mean_x) = (0.0, 0.0);
    for ((d, dy), (x, gamma)) in dx.iter_mut().zip(dy).zip(x.iter().zip(gamma)) {
        *d = gamma * dy;
        mean += *d;
        mean_x += *d * x;
    }
    mean /= width;
    mean_x /= width;
    for (d, x) in dx.iter_mut().zip(x) {
        *d = (*d - mean - x * mean_x) * inverse_std;
    }
}
