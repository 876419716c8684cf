//! The ModernBERT encoder (Warner et al. 2024, "Smarter, Better, Faster, Longer"): rotary
//! positions, gated feed-forward parts, layer norms before the blocks' parts and not after
//! their sums, and attention that is local in most layers.
//!
//! Shapes: T tokens, D features. Names of parameters are those of Hugging Face's checkpoints.

use std::sync::Arc;

use candle_core::Tensor;

use crate::data::{PackedBatch, Sequences};
use crate::error::Result;
use crate::model::{ModelConfig, ModernBertConfig, Reach};
use crate::nn::{
    Dropout, EmbeddingSum, Gate, Gradients, LayerNorm, Linear, Rotary, Saved, SelfAttention, Vars,
    raw,
};

/// Embeddings, a stack of blocks and a last layer norm: tokens in, one vector per token out.
#[derive(Debug)]
pub struct ModernBertEncoder {
    embeddings: Embeddings,
    blocks: Vec<Block>,
    final_norm: LayerNorm,
}

impl ModernBertEncoder {
    /// The encoder that `config` and its `own` part describe, its parameters below `vars`.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(vars: &Vars<'_>, config: &ModelConfig, own: &ModernBertConfig) -> Result<Self> {
        let head_width = config.hidden_size / config.num_attention_heads;
        let [global, local] = [own.global_theta, own.local_theta]
            .map(|theta| Arc::new(Rotary::new(head_width, theta)));
        let layers = vars.pp("layers");
        let embeddings = Embeddings::new(&vars.pp("embeddings"), config, own)?;
        let blocks = own.layers.iter().enumerate().map(|(i, reach)| {
            let rotary = match reach {
                Reach::Global => &global,
                Reach::Local => &local,
            };
            Block::new(&layers.pp(i), config, own, i, Arc::clone(rotary))
        });
        Ok(Self {
            embeddings,
            blocks: blocks.collect::<Result<_>>()?,
            final_norm: norm(&vars.pp("final_norm"), config, own)?,
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
        self.final_norm.forward(&x, saved)
    }

    /// dy (T, D): adds the gradients of all parameters.
    ///
    /// # Errors
    /// As [`ModernBertEncoder::forward`], or a stack that does not match.
    pub fn backward(
        &self,
        dy: &Tensor,
        batch: &PackedBatch,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<()> {
        let mut dx = self.final_norm.backward(dy, saved, grads)?;
        for block in self.blocks.iter().rev() {
            dx = block.backward(&dx, &batch.sequences, saved, grads)?;
        }
        self.embeddings.backward(&dx, saved, grads)
    }
}

/// dropout(layer norm(word)).
#[derive(Debug)]
struct Embeddings {
    words: EmbeddingSum,
    norm: LayerNorm,
    dropout: Dropout,
}

impl Embeddings {
    fn new(vars: &Vars<'_>, config: &ModelConfig, own: &ModernBertConfig) -> Result<Self> {
        let tables = [("tok_embeddings", config.vocab_size)];
        let (width, std) = (config.hidden_size, config.initializer_range);
        Ok(Self {
            words: EmbeddingSum::new(vars, &tables, width, std)?,
            norm: norm(&vars.pp("norm"), config, own)?,
            dropout: Dropout::new(vars, own.embedding_dropout),
        })
    }

    fn forward(&self, batch: &PackedBatch, saved: &mut Saved) -> Result<Tensor> {
        let x = self.words.forward(&[&batch.input_ids], saved)?;
        let x = self.norm.forward(&x, saved)?;
        self.dropout.forward(&x, saved)
    }

    fn backward(&self, dy: &Tensor, saved: &mut Saved, grads: &Gradients) -> Result<()> {
        let dx = self.dropout.backward(dy, saved)?;
        let dx = self.norm.backward(&dx, saved, grads)?;
        self.words.backward(&dx, saved, grads)
    }
}

/// One block: x + attention(norm(x)), then that sum + feed-forward(norm(of it)).
#[derive(Debug)]
struct Block {
    /// The first block has none: the embeddings have just been normalized.
    attention_norm: Option<LayerNorm>,
    qkv: Linear,
    rotary: Arc<Rotary>,
    attention: SelfAttention,
    attention_output: Linear,
    attention_dropout: Dropout,
    inner_norm: LayerNorm,
    inner: Linear,
    gate: Gate,
    inner_dropout: Dropout,
    output: Linear,
}

impl Block {
    fn new(
        vars: &Vars<'_>,
        config: &ModelConfig,
        own: &ModernBertConfig,
        index: usize,
        rotary: Arc<Rotary>,
    ) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let (first, last) = (own.first_weights(config), own.first_output_weights(config));
        let (attention, mlp) = (vars.pp("attn"), vars.pp("mlp"));
        let (attention_bias, mlp_bias) = (own.attention_bias, own.mlp_bias);
        let rate = config.attention_probs_dropout_prob;
        let all_heads = SelfAttention::new(vars, config.num_attention_heads, rate);
        let projection = |name, outputs, first| -> Result<Linear> {
            Linear::with_bias(
                &attention.pp(name),
                width,
                outputs,
                first,
                attention_bias,
                None,
            )
        };
        Ok(Self {
            attention_norm: (index > 0)
                .then(|| norm(&vars.pp("attn_norm"), config, own))
                .transpose()?,
            qkv: projection("Wqkv", 3 * width, first)?,
            rotary,
            attention: match own.layers[index] {
                Reach::Global => all_heads,
                Reach::Local => all_heads.within(own.window),
            },
            attention_output: projection("Wo", width, last)?,
            attention_dropout: Dropout::new(vars, rate),
            inner_norm: norm(&vars.pp("mlp_norm"), config, own)?,
            inner: Linear::with_bias(&mlp.pp("Wi"), width, 2 * inner, first, mlp_bias, None)?,
            gate: Gate::new(config.activation),
            inner_dropout: Dropout::new(vars, config.hidden_dropout_prob),
            output: Linear::with_bias(&mlp.pp("Wo"), inner, width, last, mlp_bias, None)?,
        })
    }

    fn forward(&self, x: &Tensor, sequences: &Sequences, saved: &mut Saved) -> Result<Tensor> {
        let qkv = match &self.attention_norm {
            Some(norm) => self.qkv.forward(&norm.forward(x, saved)?, saved)?,
            None => self.qkv.forward(x, saved)?,
        };
        self.rotary.forward(&qkv, sequences)?;
        let attended = self.attention.forward(&qkv, sequences, saved)?;
        let attended = self.attention_output.forward(&attended, saved)?;
        // The sums are made in place in results that nobody else holds.
        let sum = self.attention_dropout.forward(&attended, saved)?;
        raw::add_tensor(&sum, x)?;

        let inner = self.inner_norm.forward(&sum, saved)?;
        let inner = self.inner.forward(&inner, saved)?;
        let inner = self.gate.forward(&inner, saved)?;
        let inner = self.inner_dropout.forward(&inner, saved)?;
        let y = self.output.forward(&inner, saved)?;
        raw::add_tensor(&y, &sum)?;
        Ok(y)
    }

    fn backward(
        &self,
        dy: &Tensor,
        sequences: &Sequences,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<Tensor> {
        let d_inner = self.output.backward(dy, saved, grads)?;
        let d_inner = self.inner_dropout.backward(&d_inner, saved)?;
        let d_inner = self.gate.backward(&d_inner, saved)?;
        let d_inner = self.inner.backward(&d_inner, saved, grads)?;
        let d_sum = self.inner_norm.backward(&d_inner, saved, grads)?;
        raw::add_tensor(&d_sum, dy)?;

        let d_attended = self.attention_dropout.backward(&d_sum, saved)?;
        let d_attended = self.attention_output.backward(&d_attended, saved, grads)?;
        let d_qkv = self.attention.backward(&d_attended, sequences, saved)?;
        self.rotary.backward(&d_qkv, sequences)?;
        let mut dx = self.qkv.backward(&d_qkv, saved, grads)?;
        if let Some(norm) = &self.attention_norm {
            dx = norm.backward(&dx, saved, grads)?;
        }
        raw::add_tensor(&dx, &d_sum)?;
        Ok(dx)
    }
}

fn norm(vars: &Vars<'_>, config: &ModelConfig, own: &ModernBertConfig) -> Result<LayerNorm> {
    LayerNorm::with_bias(
        vars,
        config.hidden_size,
        config.layer_norm_eps,
        own.norm_bias,
    )
}
