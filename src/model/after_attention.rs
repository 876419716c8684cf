//! What BERT's and DeBERTa's blocks share: all that comes after the attention itself.
//!
//! Shapes: T tokens, D features.

use candle_core::Tensor;

use crate::error::Result;
use crate::model::ModelConfig;
use crate::nn::{Gradients, Linear, ResidualLayerNorm, Saved, Vars};

/// The names of the layers, below those of their block.
#[derive(Debug, Clone, Copy)]
pub struct LayerNames {
    pub attention_output: &'static str,
    pub attention_norm: &'static str,
    pub intermediate: &'static str,
    pub output: &'static str,
    pub output_norm: &'static str,
}

/// Dense, dropout, residual sum and layer norm; then the feed-forward part with the same.
#[derive(Debug)]
pub struct AfterAttention {
    attention_output: Linear,
    attention_norm: ResidualLayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: ResidualLayerNorm,
}

impl AfterAttention {
    /// The layers called `names`, with dropout at `rates` (in [0, 1)) after the attention's
    /// dense layer and after the feed-forward part.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(
        vars: &Vars<'_>,
        config: &ModelConfig,
        names: LayerNames,
        rates: [f64; 2],
    ) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let linear = |name, inputs, outputs, activation| {
            let std = config.initializer_range;
            Linear::new(&vars.pp(name), inputs, outputs, std, activation).map(Linear::compact)
        };
        let norm = |name, rate| {
            ResidualLayerNorm::new(&vars.pp(name), width, config.layer_norm_eps, rate)
                .map(|norm| norm.compact(vars))
        };
        let [attention_rate, output_rate] = rates;
        Ok(Self {
            attention_output: linear(names.attention_output, width, width, None)?,
            attention_norm: norm(names.attention_norm, attention_rate)?,
            intermediate: linear(names.intermediate, width, inner, Some(config.activation))?,
            output: linear(names.output, inner, width, None)?,
            output_norm: norm(names.output_norm, output_rate)?,
        })
    }

    /// What was attended (T, D) and the block's input x (T, D) -> the block's output (T, D).
    ///
    /// # Errors
    /// Tensors that are not contiguous f32, or a device without kernels.
    pub fn forward(&self, attended: &Tensor, x: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        let attended = self.attention_output.forward(attended, saved)?;
        let x = self.attention_norm.forward(&attended, x, saved)?;
        let inner = self.intermediate.forward(&x, saved)?;
        let outer = self.output.forward(&inner, saved)?;
        self.output_norm.forward(&outer, &x, saved)
    }

    /// dy (T, D) -> the gradients of what was attended and of x past the attention, each (T, D).
    ///
    /// # Errors
    /// As [`AfterAttention::forward`], or a stack that does not match.
    pub fn backward(
        &self,
        dy: &Tensor,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<(Tensor, Tensor)> {
        let (d_outer, d_residual) = self.output_norm.backward(dy, saved, grads)?;
        let d_inner = self.output.backward(&d_outer, saved, grads)?;
        self.intermediate
            .backward_onto(&d_residual, &d_inner, saved, grads)?;

        let (d_attended, dx) = self.attention_norm.backward(&d_residual, saved, grads)?;
        Ok((
            self.attention_output.backward(&d_attended, saved, grads)?,
            dx,
        ))
    }
}
