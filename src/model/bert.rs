//! The BERT encoder (Devlin et al. 2019) and its kin: RoBERTa (Liu et al. 2019) and its
//! multilingual and French versions, DistilBERT (Sanh et al. 2019), ELECTRA (Clark et al. 2020)
//! and ALBERT (Lan et al. 2020).
//!
//! Shapes: T tokens, D features, E features of the embeddings. Names of parameters are those
//! of Hugging Face's checkpoints.

use candle_core::Tensor;

use crate::data::{PackedBatch, Sequences};
use crate::error::Result;
use crate::model::after_attention::{AfterAttention, LayerNames};
use crate::model::{Architecture, BertShape, ModelConfig, Sharing};
use crate::nn::{
    Dropout, EmbeddingSum, Gradients, LayerNorm, Linear, QueryKeyValue, Saved, SelfAttention, Vars,
    shifted,
};

/// What the parts of an encoder are called.
#[derive(Debug, Clone, Copy)]
struct Names {
    /// What leads from E to D features.
    projection: &'static str,
    /// The list of blocks, or of groups of them.
    blocks: &'static str,
    query_key_value: [&'static str; 3],
    after_attention: LayerNames,
}

impl Names {
    const BERT: Self = Self {
        projection: "embeddings_project",
        blocks: "encoder.layer",
        query_key_value: [
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
        ],
        after_attention: LayerNames {
            attention_output: "attention.output.dense",
            attention_norm: "attention.output.LayerNorm",
            intermediate: "intermediate.dense",
            output: "output.dense",
            output_norm: "output.LayerNorm",
        },
    };
    const DISTILBERT: Self = Self {
        projection: "",
        blocks: "transformer.layer",
        query_key_value: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
        after_attention: LayerNames {
            attention_output: "attention.out_lin",
            attention_norm: "sa_layer_norm",
            intermediate: "ffn.lin1",
            output: "ffn.lin2",
            output_norm: "output_layer_norm",
        },
    };
    const ALBERT: Self = Self {
        projection: "encoder.embedding_hidden_mapping_in",
        blocks: "encoder.albert_layer_groups",
        query_key_value: ["attention.query", "attention.key", "attention.value"],
        after_attention: LayerNames {
            attention_output: "attention.dense",
            attention_norm: "attention.LayerNorm",
            intermediate: "ffn",
            output: "ffn_output",
            output_norm: "full_layer_layer_norm",
        },
    };

    fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::DistilBert => Self::DISTILBERT,
            Architecture::Albert => Self::ALBERT,
            _ => Self::BERT,
        }
    }
}

/// Embeddings and a stack of blocks: tokens in, one vector per token out.
#[derive(Debug)]
pub struct BertEncoder {
    embeddings: Embeddings,
    /// E to D features; ALBERT has it even where they are as many.
    projection: Option<Linear>,
    blocks: Vec<Block>,
}

impl BertEncoder {
    /// The encoder that `config` describes, its parameters below `vars`.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(vars: &Vars<'_>, config: &ModelConfig, shape: BertShape) -> Result<Self> {
        let names = Names::of(config.architecture);
        let (width, embedding) = (config.hidden_size, shape.embedding_size);
        let std = config.initializer_range;
        let embeddings = Embeddings::new(&vars.pp("embeddings"), config, embedding)?;
        let has_projection = embedding != width || shape.sharing.is_some();
        let projection = has_projection
            .then(|| Linear::new(&vars.pp(names.projection), embedding, width, std, None))
            .transpose()?;
        let blocks = block_vars(
            &vars.pp(names.blocks),
            config.num_hidden_layers,
            shape.sharing,
        );
        Ok(Self {
            embeddings,
            projection,
            blocks: blocks
                .iter()
                .map(|vars| Block::new(vars, config, &names))
                .collect::<Result<_>>()?,
        })
    }

    /// A batch of T tokens -> (T, D).
    ///
    /// # Errors
    /// An id outside its table, or a device without kernels.
    pub fn forward(&self, batch: &PackedBatch, saved: &mut Saved) -> Result<Tensor> {
        let mut x = self.embeddings.forward(batch, saved)?;
        if let Some(projection) = &self.projection {
            x = projection.forward(&x, saved)?;
        }
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
        if let Some(projection) = &self.projection {
            dx = projection.backward(&dx, saved, grads)?;
        }
        self.embeddings.backward(&dx, saved, grads)
    }
}

/// Where each block in turn has its parameters. ALBERT's layer i of n uses the weights of group
/// floor(i / (n / groups)), with the division in floating point, as transformers has it.
fn block_vars<'a>(vars: &Vars<'a>, n_layers: usize, sharing: Option<Sharing>) -> Vec<Vars<'a>> {
    let Some(sharing) = sharing else {
        return (0..n_layers).map(|i| vars.pp(i)).collect();
    };
    let layers_per_group = n_layers as f64 / sharing.num_hidden_groups as f64;
    (0..n_layers)
        .map(|i| vars.pp((i as f64 / layers_per_group) as usize).shared())
        .flat_map(|group| {
            let blocks = 0..sharing.inner_group_num;
            blocks.map(move |i| group.pp("albert_layers").pp(i))
        })
        .collect()
}

/// dropout(layer norm(word + position + token type)), in E features; DistilBERT has no types.
#[derive(Debug)]
struct Embeddings {
    sum: EmbeddingSum,
    norm: LayerNorm,
    dropout: Dropout,
    first_position: u32,
}

impl Embeddings {
    fn new(vars: &Vars<'_>, config: &ModelConfig, width: usize) -> Result<Self> {
        let mut tables = vec![
            ("word_embeddings", config.vocab_size),
            ("position_embeddings", config.max_position_embeddings),
        ];
        if config.type_vocab_size > 0 {
            tables.push(("token_type_embeddings", config.type_vocab_size));
        }
        let std = config.initializer_range;
        Ok(Self {
            sum: EmbeddingSum::new(vars, &tables, width, std)?,
            norm: LayerNorm::new(&vars.pp("LayerNorm"), width, config.layer_norm_eps)?,
            dropout: Dropout::new(vars, config.hidden_dropout_prob),
            first_position: config.first_position(),
        })
    }

    fn forward(&self, batch: &PackedBatch, saved: &mut Saved) -> Result<Tensor> {
        let positions = shifted(&batch.positions, self.first_position)?;
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
    after: AfterAttention,
}

impl Block {
    fn new(vars: &Vars<'_>, config: &ModelConfig, names: &Names) -> Result<Self> {
        let (width, std) = (config.hidden_size, config.initializer_range);
        let rate = config.hidden_dropout_prob;
        // As in transformers' forward passes: DistilBERT drops nothing after its attention, and
        // ALBERT nothing after its feed-forward part, though it makes a dropout for it.
        let rates = match config.architecture {
            Architecture::DistilBert => [0.0, rate],
            Architecture::Albert => [rate, 0.0],
            _ => [rate, rate],
        };
        Ok(Self {
            qkv: QueryKeyValue::new(vars, names.query_key_value, width, std)?.compact(),
            attention: SelfAttention::new(
                vars,
                config.num_attention_heads,
                config.attention_probs_dropout_prob,
            )
            .compact(vars),
            after: AfterAttention::new(vars, config, names.after_attention, rates)?,
        })
    }

    fn forward(&self, x: &Tensor, sequences: &Sequences, saved: &mut Saved) -> Result<Tensor> {
        let qkv = self.qkv.forward(x, saved)?;
        let attended = self.attention.forward(&qkv, sequences, saved)?;
        self.after.forward(&attended, x, saved)
    }

    fn backward(
        &self,
        dy: &Tensor,
        sequences: &Sequences,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<Tensor> {
        let (d_attended, dx) = self.after.backward(dy, saved, grads)?;
        let d_qkv = self.attention.backward(&d_attended, sequences, saved)?;
        self.qkv.backward_onto(&dx, &d_qkv, saved, grads)?;
        Ok(dx)
    }
}
