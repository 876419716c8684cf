//! Classification heads: one vector for each sequence to class logits.

use candle_core::Tensor;

use crate::data::Sequences;
use crate::error::Result;
use crate::model::{Family, ModelConfig, Pooling};
use crate::nn::{
    Bias, Dropout, Gradients, Initialization, LayerNorm, Linear, Saved, Vars, first_tokens,
    first_tokens_backward, mean_tokens, mean_tokens_backward,
};

/// (dropout) -> dense and activation -> (layer norm) -> dropout -> linear, on the first token or
/// on the mean of all tokens.
///
/// BERT's dense layer is the encoder's pooler; RoBERTa's and ELECTRA's belong to the head and
/// have one more dropout before it, as has DeBERTa's pooler; DistilBERT's stands beside its
/// output layer; ModernBERT's has a layer norm after it. For multiple choice RoBERTa has BERT's.
#[derive(Debug)]
pub struct Head {
    pooling: Pooling,
    first_dropout: Option<Dropout>,
    dense: Linear,
    norm: Option<LayerNorm>,
    dropout: Dropout,
    output: Linear,
}

impl Head {
    /// The head that `config` asks for, with `n_outputs` logits or one score.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(vars: &Vars<'_>, config: &ModelConfig, n_outputs: usize) -> Result<Self> {
        let (width, rate) = (config.hidden_size, config.classifier_dropout);
        let spec = config.head();
        let first_rate = match &config.family {
            Family::DebertaV2(own) => own.pooler_dropout,
            _ => rate,
        };
        let (dense, output) = (vars.pp(spec.dense), vars.pp(spec.output));
        let first = Initialization::Normal(config.initializer_range);
        let (pooling, [dense_first, output_first], [dense_bias, norm_bias]) = match &config.family {
            Family::Bert(_) | Family::DebertaV2(_) => {
                (Pooling::FirstToken, [first; 2], [Bias::Yes; 2])
            }
            Family::ModernBert(own) => (
                own.classifier_pooling,
                [
                    own.first_output_weights(config),
                    own.first_logit_weights(config),
                ],
                [own.classifier_bias, own.norm_bias],
            ),
        };
        let activation = Some(spec.activation);
        let norm =
            |name| LayerNorm::with_bias(&vars.pp(name), width, config.layer_norm_eps, norm_bias);
        Ok(Self {
            pooling,
            first_dropout: spec.drops_first.then(|| Dropout::new(vars, first_rate)),
            dense: Linear::with_bias(&dense, width, width, dense_first, dense_bias, activation)?,
            norm: spec.norm.map(norm).transpose()?,
            dropout: Dropout::new(vars, rate),
            output: Linear::with_bias(&output, width, n_outputs, output_first, Bias::Yes, None)?,
        })
    }

    /// x (T, D) of S sequences -> (S, outputs).
    ///
    /// # Errors
    /// A device without kernels.
    pub fn forward(&self, x: &Tensor, sequences: &Sequences, saved: &mut Saved) -> Result<Tensor> {
        let mut x = match self.pooling {
            Pooling::FirstToken => first_tokens(x, sequences)?,
            Pooling::Mean => mean_tokens(x, sequences)?,
        };
        if let Some(dropout) = &self.first_dropout {
            x = dropout.forward(&x, saved)?;
        }
        x = self.dense.forward(&x, saved)?;
        if let Some(norm) = &self.norm {
            x = norm.forward(&x, saved)?;
        }
        let x = self.dropout.forward(&x, saved)?;
        self.output.forward(&x, saved)
    }

    /// d (S, outputs) -> dx (T, D).
    ///
    /// # Errors
    /// As [`Head::forward`], or a stack that does not match.
    pub fn backward(
        &self,
        d_outputs: &Tensor,
        sequences: &Sequences,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<Tensor> {
        let dx = self.output.backward(d_outputs, saved, grads)?;
        let mut dx = self.dropout.backward(&dx, saved)?;
        if let Some(norm) = &self.norm {
            dx = norm.backward(&dx, saved, grads)?;
        }
        dx = self.dense.backward(&dx, saved, grads)?;
        if let Some(dropout) = &self.first_dropout {
            dx = dropout.backward(&dx, saved)?;
        }
        match self.pooling {
            Pooling::FirstToken => first_tokens_backward(&dx, sequences),
            Pooling::Mean => mean_tokens_backward(&dx, sequences),
        }
    }
}
