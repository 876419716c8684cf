//! The BERT encoder (Devlin et al. 2019), which RoBERTa (Liu et al. 2019) shares.
//!
//! Shapes: T tokens, D features. Names of parameters are those of Hugging Face's checkpoints.

use candle_core::Tensor;

use crate::data::{PackedBatch, Sequences};
use crate::error::Result;
use crate::model::ModelConfig;
use crate::nn::{
    Dropout, EmbeddingSum, Gradients, LayerNorm, Linear, QueryKeyValue, ResidualLayerNorm, Saved,
    SelfAttention, Vars, raw,
};

/// Embeddings and a stack of blocks: tokens in, one vector per token out.
#[derive(Debug)]
pub struct BertEncoder {
    embeddings: Embeddings,
    blocks: Vec<Block>,
}

impl BertEncoder {
    /// The encoder that `config` describes, its parameters below `vars`.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(vars: &Vars<'_>, config: &ModelConfig) -> Result<Self> {
        let blocks = vars.pp("encoder").pp("layer");
        Ok(Self {
            embeddings: Embeddings::new(&vars.pp("embeddings"), config)?,
            blocks: (0..config.num_hidden_layers)
                .map(|i| Block::new(&blocks.pp(i), config))
                .collect::<Result<_>>()?,
        })
    }

    /// A batch of T tokens -> (T, D).
    ///
    /// # Errors
    /// An id outside its table, or a device without kernels.
    pub fn forward(&self, batch: &PackedBatch, saved: &mut Saved) -> Result<Tensor> {
        let mut x = self.embeddings.forward(batch, saved)?;
        for block in &self.blocks {
            x = block.forward(&x, &batch.sequences, saved)?;
        }
        Ok(x)
    }

    /// dy (T, D): adds the gradients of all parameters.
    ///
    /// # Errors
    /// As [`BertEncoder::forward`], or a stack that does not match.
    pub fn backward(
        &self,
        dy: &Tensor,
        batch: &PackedBatch,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<()> {
        let mut dx = dy.clone();
        for block in self.blocks.iter().rev() {
            dx = block.backward(&dx, &batch.sequences, saved, grads)?;
        }
        self.embeddings.backward(&dx, saved, grads)
    }
}

/// dropout(layer norm(word + position + token type)).
#[derive(Debug)]
struct Embeddings {
    sum: EmbeddingSum,
    norm: LayerNorm,
    dropout: Dropout,
    first_position: u32,
}

impl Embeddings {
    fn new(vars: &Vars<'_>, config: &ModelConfig) -> Result<Self> {
        let tables = [
            ("word_embeddings", config.vocab_size),
            ("position_embeddings", config.max_position_embeddings),
            ("token_type_embeddings", config.type_vocab_size),
        ];
        let (width, std) = (config.hidden_size, config.initializer_range);
        Ok(Self {
            sum: EmbeddingSum::new(vars, &tables, width, std)?,
            norm: LayerNorm::new(&vars.pp("LayerNorm"), width, config.layer_norm_eps)?,
            dropout: Dropout::new(vars, config.hidden_dropout_prob),
            first_position: config.first_position(),
        })
    }

    fn forward(&self, batch: &PackedBatch, saved: &mut Saved) -> Result<Tensor> {
        let first = Tensor::new(self.first_position, batch.positions.device())?;
        let positions = batch.positions.broadcast_add(&first)?;
        let ids = [&batch.input_ids, &positions, &batch.token_type_ids];
        let x = self.sum.forward(&ids, saved)?;
        let x = self.norm.forward(&x, saved)?;
        self.dropout.forward(&x, saved)
    }

    fn backward(&self, dy: &Tensor, saved: &mut Saved, grads: &Gradients) -> Result<()> {
        let dx = self.dropout.backward(dy, saved)?;
        let dx = self.norm.backward(&dx, saved, grads)?;
        self.sum.backward(&dx, saved, grads)
    }
}

/// One block: attention and feed-forward, each with residual sum, dropout and layer norm.
#[derive(Debug)]
struct Block {
    qkv: QueryKeyValue,
    attention: SelfAttention,
    attention_output: Linear,
    attention_norm: ResidualLayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: ResidualLayerNorm,
}

impl Block {
    fn new(vars: &Vars<'_>, config: &ModelConfig) -> Result<Self> {
        let (width, inner, std) = (
            config.hidden_size,
            config.intermediate_size,
            config.initializer_range,
        );
        let (rate, epsilon) = (config.hidden_dropout_prob, config.layer_norm_eps);
        let attention = vars.pp("attention");
        let attention_output = attention.pp("output");
        let output = vars.pp("output");
        Ok(Self {
            qkv: QueryKeyValue::new(&attention.pp("self"), ["query", "key", "value"], width, std)?,
            attention: SelfAttention::new(
                vars,
                config.num_attention_heads,
                config.attention_probs_dropout_prob,
            ),
            attention_output: Linear::new(&attention_output.pp("dense"), width, width, std, None)?,
            attention_norm: ResidualLayerNorm::new(
                &attention_output.pp("LayerNorm"),
                width,
                epsilon,
                rate,
            )?,
            intermediate: Linear::new(
                &vars.pp("intermediate").pp("dense"),
                width,
                inner,
                std,
                Some(config.activation),
            )?,
            output: Linear::new(&output.pp("dense"), inner, width, std, None)?,
            output_norm: ResidualLayerNorm::new(&output.pp("LayerNorm"), width, epsilon, rate)?,
        })
    }

    fn forward(&self, x: &Tensor, sequences: &Sequences, saved: &mut Saved) -> Result<Tensor> {
        let qkv = self.qkv.forward(x, saved)?;
        let attended = self.attention.forward(&qkv, sequences, saved)?;
        let attended = self.attention_output.forward(&attended, saved)?;
        let x = self.attention_norm.forward(&attended, x, saved)?;
        let inner = self.intermediate.forward(&x, saved)?;
        let outer = self.output.forward(&inner, saved)?;
        self.output_norm.forward(&outer, &x, saved)
    }

    fn backward(
        &self,
        dy: &Tensor,
        sequences: &Sequences,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<Tensor> {
        let (d_outer, d_residual) = self.output_norm.backward(dy, saved, grads)?;
        let d_inner = self.output.backward(&d_outer, saved, grads)?;
        let dx = self.intermediate.backward(&d_inner, saved, grads)?;
        raw::add_tensor(&d_residual, &dx)?;

        let (d_attended, dx) = self.attention_norm.backward(&d_residual, saved, grads)?;
        let d_attended = self.attention_output.backward(&d_attended, saved, grads)?;
        let d_qkv = self.attention.backward(&d_attended, sequences, saved)?;
        raw::add_tensor(&dx, &self.qkv.backward(&d_qkv, saved, grads)?)?;
        Ok(dx)
    }
}
