//! Layer norm, alone and fused with the residual sum and the dropout before it.
//!
//! Shapes: T rows of D features; per row, y = gamma (x - mean) / sqrt(var + eps) + beta with
//! the population variance (Ba et al. 2016). A layer norm may be without beta.

use candle_core::Tensor;

use crate::error::Result;
use crate::nn::cpu::vectorized;
use crate::nn::dropout::Masks;
use crate::nn::kernels::Kernels;
use crate::nn::math::{sum, sum_of_pairs};
use crate::nn::values::{Output, Values, rows};
use crate::nn::{
    Bias, Decay, Dropout, Gradients, Initialization, Parameter, Precision, Saved, Vars, raw,
};

/// A layer norm over the last dimension.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Parameter,
    bias: Option<Parameter>,
    epsilon: f32,
    /// How the normalized rows are kept.
    stored: Precision,
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
            stored: Precision::F32,
        })
    }

    /// x (T, D) -> y (T, D).
    ///
    /// # Errors
    /// Tensors that are not contiguous f32, or a device without kernels.
    pub fn forward(&self, x: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        if let Some(kernels) = Kernels::of(x) {
            return self.normalize_by(&kernels, x, None, None, saved);
        }
        let values = Values::of(x)?;
        self.normalize(x, saved, |first, rows| values.copy_to(first, rows))
    }

    /// dy (T, D) -> dx (T, D); adds to the gradients of weight and bias.
    ///
    /// # Errors
    /// As [`LayerNorm::forward`], or a stack that does not match.
    pub fn backward(&self, dy: &Tensor, saved: &mut Saved, grads: &Gradients) -> Result<Tensor> {
        if let Some(kernels) = Kernels::of(dy) {
            let (d_sum, _) = self.input_gradients_by(&kernels, dy, None, saved, grads)?;
            return Ok(d_sum);
        }
        let output = Output::f32(dy.dim(1)?);
        let [dx] = self.input_gradients(dy, saved, grads, [output], |_, [_]| {})?;
        Ok(dx)
    }

    /// Normalizes the rows that `fill(number of the first value, row)` gives (T, D) into y, and
    /// saves what the backward pass needs.
    fn normalize(
        &self,
        like: &Tensor,
        saved: &mut Saved,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<Tensor> {
        let (n_rows, width) = like.dims2()?;
        let gamma = raw::read::<f32>(self.weight.value())?;
        let beta = self
            .bias
            .as_ref()
            .map(|bias| raw::read::<f32>(bias.value()));
        let beta = beta.transpose()?;
        let outputs = [
            Output::new(width, self.stored),
            Output::f32(width),
            Output::f32(1),
        ];
        let ([normalized, y, inverse_std], _) = rows(
            like.device(),
            n_rows,
            outputs,
            |rows, [normalized, y, inverse_std]| {
                fill(rows.start * width, normalized);
                let normalized = normalized.chunks_exact_mut(width);
                let y = y.chunks_exact_mut(width);
                for ((x, y), inverse_std) in normalized.zip(y).zip(inverse_std) {
                    *inverse_std = standardize(x, self.epsilon);
                    scale_and_shift(y, x, &gamma, beta.as_deref());
                }
            },
        )?;
        saved.push(&normalized);
        saved.push(&inverse_std);
        Ok(y)
    }

    /// As `normalize`, of residual + dropout(x), where there are kernels.
    fn normalize_by(
        &self,
        kernels: &Kernels,
        x: &Tensor,
        residual: Option<&Tensor>,
        masks: Option<Masks>,
        saved: &mut Saved,
    ) -> Result<Tensor> {
        let parameters = (
            self.weight.value(),
            self.bias.as_ref().map(Parameter::value),
        );
        let made =
            kernels.norm_forward(x, residual, masks, parameters, self.epsilon, self.stored)?;
        saved.push(&made.rows);
        saved.push(&made.inverse_std);
        Ok(made.y)
    }

    /// The gradients of the sum (T, D) that was normalized and of x in it, from dy (T, D), where
    /// there are kernels. Adds to the gradients of weight and bias.
    fn input_gradients_by(
        &self,
        kernels: &Kernels,
        dy: &Tensor,
        dropout: Option<(Masks, Precision)>,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<(Tensor, Tensor)> {
        let (inverse_std, normalized) = (saved.pop()?, saved.pop()?);
        let bias = self.bias.as_ref().map(|bias| grads.of(bias)).transpose()?;
        kernels.add_norm_gradients(grads.of(&self.weight)?, bias, dy, &normalized)?;
        let gamma = self.weight.value();
        kernels.norm_backward(dy, &normalized, &inverse_std, gamma, dropout)
    }

    /// dx (T, D) from dy (T, D), and N - 1 more matrices like it that `and_then` makes of it
    /// while it is at hand: it gets the number of the first value, and some rows of all of them,
    /// dx first. Adds to the gradients of weight and bias.
    fn input_gradients<const N: usize>(
        &self,
        dy: &Tensor,
        saved: &mut Saved,
        grads: &Gradients,
        outputs: [Output; N],
        and_then: impl Fn(usize, [&mut [f32]; N]) + Sync,
    ) -> Result<[Tensor; N]> {
        let (inverse_std, normalized) = (saved.pop()?, saved.pop()?);
        let (n_rows, width) = dy.dims2()?;
        let gradients = Values::of(dy)?;
        let inverse_std = raw::read::<f32>(&inverse_std)?;
        let normalized = Values::of(&normalized)?;
        let gamma = raw::read::<f32>(self.weight.value())?;
        let (gradients, sums) = rows(dy.device(), n_rows, outputs, |rows, parts| {
            let (mut d_weight, mut d_bias) = (vec![0.0; width], vec![0.0; width]);
            let values = rows.start * width..rows.end * width;
            let (dy, x) = (gradients.part(values.clone()), normalized.part(values));
            let each = dy
                .chunks_exact(width)
                .zip(x.chunks_exact(width))
                .zip(&inverse_std[rows.clone()]);
            for (dx, ((dy, x), inverse_std)) in parts[0].chunks_exact_mut(width).zip(each) {
                raw::add_to(&mut d_bias, dy);
                add_products(&mut d_weight, dy, x);
                input_gradient(dx, dy, x, &gamma, *inverse_std);
            }
            and_then(rows.start * width, parts);
            [d_weight, d_bias]
        })?;
        for [d_weight, d_bias] in &sums {
            raw::accumulate(grads.of(&self.weight)?, d_weight)?;
            if let Some(bias) = &self.bias {
                raw::accumulate(grads.of(bias)?, d_bias)?;
            }
        }
        Ok(gradients)
    }
}

/// y = layer norm(residual + dropout(x)): the end of an attention and of a feed-forward block.
#[derive(Debug)]
pub struct ResidualLayerNorm {
    norm: LayerNorm,
    dropout: Dropout,
    /// How the gradient of x is stored.
    stored: Precision,
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
            stored: Precision::F32,
        })
    }

    /// The same layer, which keeps what it needs for the backward pass, and hands back the
    /// gradient of x, in the precision of products.
    #[must_use]
    pub fn compact(mut self, vars: &Vars<'_>) -> Self {
        self.norm.stored = vars.precision();
        self.stored = vars.precision();
        self
    }

    /// x (T, D), residual (T, D) -> y (T, D).
    ///
    /// # Errors
    /// Tensors that are not contiguous f32, or a device without kernels.
    pub fn forward(&self, x: &Tensor, residual: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        let masks = self.dropout.masks(saved);
        if let Some(kernels) = Kernels::of(x) {
            return self
                .norm
                .normalize_by(&kernels, x, Some(residual), masks, saved);
        }
        let (values, residual) = (Values::of(x)?, raw::read::<f32>(residual)?);
        self.norm.normalize(x, saved, |first, rows| {
            values.copy_to(first, rows);
            if let Some(masks) = masks {
                masks.apply(first, rows);
            }
            raw::add_to(rows, &residual[first..first + rows.len()]);
        })
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
        if let Some(kernels) = Kernels::of(dy) {
            let dropout = self.dropout.masks(saved).map(|masks| (masks, self.stored));
            let norm = &self.norm;
            let (d_sum, dx) = norm.input_gradients_by(&kernels, dy, dropout, saved, grads)?;
            return Ok((dx, d_sum));
        }
        let Some(masks) = self.dropout.masks(saved) else {
            let d_sum = self.norm.backward(dy, saved, grads)?;
            return Ok((d_sum.clone(), d_sum));
        };
        let drop_out = |first, [d_sum, dx]: [&mut [f32]; 2]| {
            dx.copy_from_slice(d_sum);
            masks.apply(first, dx);
        };
        let width = dy.dim(1)?;
        let outputs = [Output::f32(width), Output::new(width, self.stored)];
        let norm = &self.norm;
        let [d_sum, dx] = norm.input_gradients(dy, saved, grads, outputs, drop_out)?;
        Ok((dx, d_sum))
    }
}

vectorized! {
    /// Makes mean 0 and variance 1 of a row; returns 1 / sqrt(var + eps).
    fn standardize(row: &mut [f32], epsilon: f32) -> f32 {
        let width = row.len() as f32;
        let mean = sum(row, |x| x) / width;
        let variance = sum(row, |x| (x - mean) * (x - mean)) / width;
        let inverse_std = 1.0 / (variance + epsilon).sqrt();
        for x in row {
            *x = (*x - mean) * inverse_std;
        }
        inverse_std
    }

    /// y = gamma x + beta.
    fn scale_and_shift(y: &mut [f32], x: &[f32], gamma: &[f32], beta: Option<&[f32]>) {
        for ((y, x), gamma) in y.iter_mut().zip(x).zip(gamma) {
            *y = gamma * x;
        }
        if let Some(beta) = beta {
            for (y, beta) in y.iter_mut().zip(beta) {
                *y += beta;
            }
        }
    }

    /// sums[i] += a[i] b[i].
    fn add_products(sums: &mut [f32], a: &[f32], b: &[f32]) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }

    /// dx = (g - mean(g) - x mean(g x)) / std with g = gamma dy and x the normalized row.
    fn input_gradient(dx: &mut [f32], dy: &[f32], x: &[f32], gamma: &[f32], inverse_std: f32) {
        for ((d, dy), gamma) in dx.iter_mut().zip(dy).zip(gamma) {
            *d = gamma * dy;
        }
        let width = dx.len() as f32;
        let mean = sum(dx, |g| g) / width;
        let mean_x = sum_of_pairs(dx, x, |g, x| g * x) / width;
        for (d, x) in dx.iter_mut().zip(x) {
            *d = (*d - mean - x * mean_x) * inverse_std;
        }
    }
}
