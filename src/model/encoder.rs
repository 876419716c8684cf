//! The encoders there are, as one.

use candle_core::Tensor;

use crate::data::PackedBatch;
use crate::error::Result;
use crate::model::bert::BertEncoder;
use crate::model::deberta::DebertaEncoder;
use crate::model::modernbert::ModernBertEncoder;
use crate::model::{Family, ModelConfig};
use crate::nn::{Gradients, Saved, Vars};

/// Tokens in, one vector per token out.
#[derive(Debug)]
pub enum Encoder {
    /// BERT's and that of the models that share it.
    Bert(BertEncoder),
    /// ModernBERT's.
    ModernBert(ModernBertEncoder),
    /// DeBERTa's, versions 2 and 3.
    DebertaV2(DebertaEncoder),
}

impl Encoder {
    /// The encoder that `config` describes; `vars` is the root of the checkpoint.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(vars: &Vars<'_>, config: &ModelConfig) -> Result<Self> {
        let vars = vars.pp(config.architecture.prefix());
        match &config.family {
            Family::Bert(shape) => Ok(Self::Bert(BertEncoder::new(&vars, config, *shape)?)),
            Family::ModernBert(own) => Ok(Self::ModernBert(ModernBertEncoder::new(
                &vars, config, own,
            )?)),
            Family::DebertaV2(deberta) => {
                let encoder = DebertaEncoder::new(&vars, config, deberta)?;
                Ok(Self::DebertaV2(encoder))
            }
        }
    }

    /// A batch of T tokens -> (T, D).
    ///
    /// # Errors
    /// An id outside its table, or a device without kernels.
    pub fn forward(&self, batch: &PackedBatch, saved: &mut Saved) -> Result<Tensor> {
        match self {
            Self::Bert(encoder) => encoder.forward(batch, saved),
            Self::ModernBert(encoder) => encoder.forward(batch, saved),
            Self::DebertaV2(encoder) => encoder.forward(batch, saved),
        }
    }

    /// dy (T, D): adds the gradients of all parameters.
    ///
    /// # Errors
    /// As [`Encoder::forward`], or a stack that does not match.
    pub fn backward(
        &self,
        dy: &Tensor,
        batch: &PackedBatch,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<()> {
        match self {
            Self::Bert(encoder) => encoder.backward(dy, batch, saved, grads),
            Self::ModernBert(encoder) => encoder.backward(dy, batch, saved, grads),
            Self::DebertaV2(encoder) => encoder.backward(dy, batch, saved, grads),
        }
    }
}
