//! Classification heads: the vector of a sequence's first token to class logits.

use candle_core::Tensor;

use crate::data::Sequences;
use crate::error::Result;
use crate::model::ModelConfig;
use crate::nn::{Dropout, Gradients, Linear, Saved, Vars, first_tokens, first_tokens_backward};

/// (dropout) -> dense and activation -> dropout -> linear, on the first token.
///
/// BERT's dense layer is the encoder's pooler; RoBERTa's and ELECTRA's belong to the head and
/// have one more dropout before it; DistilBERT's stands beside its output layer.
#[derive(Debug)]
pub struct Head {
    first_dropout: Option<Dropout>,
    dense: Linear,
    dropout: Dropout,
    output: Linear,
}

impl Head {
    /// The head that `config` asks for, with `n_classes` logits.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(vars: &Vars<'_>, config: &ModelConfig, n_classes: usize) -> Result<Self> {
        let (width, std, rate) = (
            config.hidden_size,
            config.initializer_range,
            config.classifier_dropout,
        );
        let spec = config.architecture.head();
        let (dense, output) = (vars.pp(spec.dense), vars.pp(spec.output));
        Ok(Self {
            first_dropout: spec.drops_first.then(|| Dropout::new(vars, rate)),
            dense: Linear::new(&dense, width, width, std, Some(spec.activation))?,
            dropout: Dropout::new(vars, rate),
            output: Linear::new(&output, width, n_classes, std, None)?,
        })
    }

    /// x (T, D) -> logits (B, C).
    ///
    /// # Errors
    /// A device without kernels.
    pub fn forward(&self, x: &Tensor, sequences: &Sequences, saved: &mut Saved) -> Result<Tensor> {
        let mut x = first_tokens(x, sequences)?;
        if let Some(dropout) = &self.first_dropout {
            x = dropout.forward(&x, saved)?;
        }
        let x = self.dense.forward(&x, saved)?;
        let x = self.dropout.forward(&x, saved)?;
        self.output.forward(&x, saved)
    }

    /// dlogits (B, C) -> dx (T, D).
    ///
    /// # Errors
    /// As [`Head::forward`], or a stack that does not match.
    pub fn backward(
        &self,
        d_logits: &Tensor,
        sequences: &Sequences,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<Tensor> {
        let dx = self.output.backward(d_logits, saved, grads)?;
        let dx = self.dropout.backward(&dx, saved)?;
        let mut dx = self.dense.backward(&dx, saved, grads)?;
        if let Some(dropout) = &self.first_dropout {
            dx = dropout.backward(&dx, saved)?;
        }
        first_tokens_backward(&dx, sequences)
    }
}
