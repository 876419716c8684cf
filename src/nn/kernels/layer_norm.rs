//! Launches layer norms.

use candle_core::{DType, Tensor};

use super::{Grid, Kernels};
use crate::error::Result;
use crate::nn::Precision;
use crate::nn::dropout::Masks;

/// What a layer norm makes of rows.
pub(in crate::nn) struct Normalized {
    /// With mean 0 and variance 1, (T, D).
    pub rows: Tensor,
    /// (T, D).
    pub y: Tensor,
    /// 1 / sqrt(var + eps), (T, 1).
    pub inverse_std: Tensor,
}

impl Kernels {
    /// Normalizes residual + dropout(x); `parameters` are gamma and beta, if there is one.
    pub(in crate::nn) fn norm_forward(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        masks: Option<Masks>,
        parameters: (&Tensor, Option<&Tensor>),
        epsilon: f32,
        stored: Precision,
    ) -> Result<Normalized> {
        let (n_rows, width) = x.dims2()?;
        let normalized = self.output(&[n_rows, width], stored)?;
        let y = self.empty(&[n_rows, width], DType::F32)?;
        let inverse_std = self.empty(&[n_rows, 1], DType::F32)?;
        let (gamma, beta) = parameters;
        let rows_per_block = 8;
        self.call("norm_forward")
            .values(x)
            .optional(residual)
            .masks(masks)
            .pointer(gamma)
            .optional(beta)
            .f32(epsilon)
            .values(&normalized)
            .pointer(&y)
            .pointer(&inverse_std)
            .count(n_rows)
            .count(width)
            .launch(Grid::warps(n_rows).with_shared(rows_per_block * width * size_of::<f32>()))?;
        Ok(Normalized {
            rows: normalized,
            y,
            inverse_std,
        })
    }

    /// dy (T, D) -> the gradient of the sum, and that of x stored as said, which is another one
    /// where there is dropout.
    pub(in crate::nn) fn norm_backward(
        &self,
        dy: &Tensor,
        normalized: &Tensor,
        inverse_std: &Tensor,
        gamma: &Tensor,
        dropout: Option<(Masks, Precision)>,
    ) -> Result<(Tensor, Tensor)> {
        let (n_rows, width) = dy.dims2()?;
        let d_sum = self.empty(&[n_rows, width], DType::F32)?;
        let dx = match dropout {
            Some((_, stored)) => self.output(&[n_rows, width], stored)?,
            None => d_sum.clone(),
        };
        self.call("norm_backward")
            .values(dy)
            .values(normalized)
            .pointer(inverse_std)
            .pointer(gamma)
            .masks(dropout.map(|(masks, _)| masks))
            .pointer(&d_sum)
            .values(&dx)
            .count(n_rows)
            .count(width)
            .launch(Grid::warps(n_rows))?;
        Ok((d_sum, dx))
    }
}
