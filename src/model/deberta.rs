//! The encoder of DeBERTa-v2 (He et al. 2021) and v3 (He et al. 2023).
//!
//! Shapes: T tokens, D features; R rows of the table of relative embeddings that the batch
//! uses. Names of parameters are those of Hugging Face's checkpoints.

use candle_core::Tensor;

use crate::data::{PackedBatch, Sequences};
use crate::error::Result;
use crate::model::after_attention::{AfterAttention, LayerNames};
use crate::model::{DebertaConfig, ModelConfig, RelativeEmbeddings};
use crate::nn::{
    Decay, DisentangledAttention, DistanceRows, Dropout, EmbeddingSum, Gradients, Initialization,
    LayerNorm, Linear, Parameter, PositionTerms, QueryKeyValue, RelativePositions, RelativeRows,
    Saved, Vars, raw,
};

/// What the layers after the attention are called in a block.
const AFTER_ATTENTION: LayerNames = LayerNames {
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    intermediate: "intermediate.dense",
    output: "output.dense",
    output_norm: "output.LayerNorm",
};

/// Embeddings and a stack of blocks: tokens in, one vector per token out.
#[derive(Debug)]
pub struct DebertaEncoder {
    embeddings: Embeddings,
    relative: Option<RelativeTable>,
    blocks: Vec<Block>,
}

impl DebertaEncoder {
    /// The encoder that `config` and `deberta` describe, its parameters below `vars`.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(vars: &Vars<'_>, config: &ModelConfig, deberta: &DebertaConfig) -> Result<Self> {
        let encoder = vars.pp("encoder");
        let blocks = encoder.pp("layer");
        Ok(Self {
            embeddings: Embeddings::new(&vars.pp("embeddings"), config, deberta)?,
            relative: deberta
                .relative
                .map(|table| RelativeTable::new(&encoder, config, table))
                .transpose()?,
            blocks: (0..config.num_hidden_layers)
                .map(|i| Block::new(&blocks.pp(i), config, deberta))
                .collect::<Result<_>>()?,
        })
    }

    /// A batch of T tokens -> (T, D).
    ///
    /// # Errors
    /// An id outside its table, or a device without kernels.
    pub fn forward(&self, batch: &PackedBatch, saved: &mut Saved) -> Result<Tensor> {
        let mut x = self.embeddings.forward(batch, saved)?;
        let distances = self.distances(&batch.sequences);
        let table = self.relative.as_ref();
        let table = table.map(|table| table.forward(&distances, saved));
        let table = table.transpose()?;
        for block in &self.blocks {
            x = block.forward(&x, table.as_ref(), &distances, &batch.sequences, saved)?;
        }
        Ok(x)
    }

    /// dy (T, D): adds the gradients of all parameters.
    ///
    /// # Errors
    /// As [`DebertaEncoder::forward`], or a stack that does not match.
    pub fn backward(
        &self,
        dy: &Tensor,
        batch: &PackedBatch,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<()> {
        let mut dx = dy.clone();
        let distances = self.distances(&batch.sequences);
        let shape = (distances.used().len(), dy.dim(1)?);
        let d_table = Tensor::zeros(shape, dy.dtype(), dy.device())?;
        for block in self.blocks.iter().rev() {
            dx = block.backward(&dx, &d_table, &distances, &batch.sequences, saved, grads)?;
        }
        if let Some(table) = &self.relative {
            table.backward(&d_table, &distances, saved, grads)?;
        }
        self.embeddings.backward(&dx, saved, grads)
    }

    /// The rows of the distances in a batch; without relative embeddings there is nothing to
    /// look up in them.
    fn distances(&self, sequences: &Sequences) -> DistanceRows {
        let nowhere = RelativePositions {
            buckets: None,
            max_distance: 1,
        };
        let positions = self
            .relative
            .as_ref()
            .map_or(nowhere, |table| table.positions);
        let longest = sequences.ranges().map(|range| range.len()).max();
        DistanceRows::new(positions, longest.unwrap_or(1))
    }
}

/// dropout(layer norm(word + position + token type)), with positions and token types only where
/// the config has them.
#[derive(Debug)]
struct Embeddings {
    sum: EmbeddingSum,
    has_positions: bool,
    has_types: bool,
    norm: LayerNorm,
    dropout: Dropout,
}

impl Embeddings {
    fn new(vars: &Vars<'_>, config: &ModelConfig, deberta: &DebertaConfig) -> Result<Self> {
        let (has_positions, has_types) =
            (deberta.position_biased_input, config.type_vocab_size > 0);
        let mut tables = vec![("word_embeddings", config.vocab_size)];
        if has_positions {
            tables.push(("position_embeddings", config.max_position_embeddings));
        }
        if has_types {
            tables.push(("token_type_embeddings", config.type_vocab_size));
        }
        let (width, std) = (config.hidden_size, config.initializer_range);
        Ok(Self {
            sum: EmbeddingSum::new(vars, &tables, width, std)?,
            has_positions,
            has_types,
            norm: LayerNorm::new(&vars.pp("LayerNorm"), width, config.layer_norm_eps)?,
            dropout: Dropout::new(vars, config.hidden_dropout_prob),
        })
    }

    fn forward(&self, batch: &PackedBatch, saved: &mut Saved) -> Result<Tensor> {
        let mut ids = vec![&batch.input_ids];
        if self.has_positions {
            ids.push(&batch.positions);
        }
        if self.has_types {
            ids.push(&batch.token_type_ids);
        }
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

/// The relative embeddings, normalized once for all blocks.
#[derive(Debug)]
struct RelativeTable {
    positions: RelativePositions,
    embeddings: Parameter,
    norm: Option<LayerNorm>,
}

impl RelativeTable {
    fn new(vars: &Vars<'_>, config: &ModelConfig, table: RelativeEmbeddings) -> Result<Self> {
        let (width, epsilon) = (config.hidden_size, config.layer_norm_eps);
        let shape = [table.positions.n_rows(), width];
        let drawn = Initialization::Normal(config.initializer_range);
        let norm = table
            .has_norm
            .then(|| LayerNorm::new(&vars.pp("LayerNorm"), width, epsilon));
        Ok(Self {
            positions: table.positions,
            embeddings: vars
                .pp("rel_embeddings")
                .get("weight", &shape, drawn, Decay::Yes)?,
            norm: norm.transpose()?,
        })
    }

    /// The rows that a batch uses (R, D).
    fn forward(&self, distances: &DistanceRows, saved: &mut Saved) -> Result<Tensor> {
        let used = distances.used();
        let rows = self.embeddings.value().narrow(0, used.start, used.len())?;
        match &self.norm {
            Some(norm) => norm.forward(&rows, saved),
            None => Ok(rows),
        }
    }

    /// dy (R, D), the sum over the blocks.
    fn backward(
        &self,
        dy: &Tensor,
        distances: &DistanceRows,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<()> {
        let d_rows = match &self.norm {
            Some(norm) => norm.backward(dy, saved, grads)?,
            None => dy.clone(),
        };
        let used = distances.used();
        let gradient = grads
            .of(&self.embeddings)?
            .narrow(0, used.start, used.len())?;
        raw::add_tensor(&gradient, &d_rows)
    }
}

/// A block's way from the relative embeddings to keys and queries: dropout and a projection,
/// which is that of the tokens where the config shares it.
#[derive(Debug)]
struct RelativeProjection {
    terms: PositionTerms,
    dropout: Dropout,
    own_key: Option<Linear>,
    own_query: Option<Linear>,
}

impl RelativeProjection {
    fn new(
        vars: &Vars<'_>,
        config: &ModelConfig,
        terms: PositionTerms,
        table: RelativeEmbeddings,
    ) -> Result<Self> {
        let (width, std) = (config.hidden_size, config.initializer_range);
        let own = |is_used: bool, name: &str| {
            let is_own = is_used && !table.shares_projections;
            is_own
                .then(|| Linear::new(&vars.pp(name), width, width, std, None))
                .transpose()
        };
        Ok(Self {
            terms,
            dropout: Dropout::new(vars, config.hidden_dropout_prob),
            own_key: own(terms.content_to_position, "pos_key_proj")?,
            own_query: own(terms.position_to_content, "pos_query_proj")?,
        })
    }

    fn key<'a>(&'a self, qkv: &'a QueryKeyValue) -> &'a Linear {
        self.own_key.as_ref().unwrap_or(qkv.key())
    }

    fn query<'a>(&'a self, qkv: &'a QueryKeyValue) -> &'a Linear {
        self.own_query.as_ref().unwrap_or(qkv.query())
    }

    /// table (R, D) -> the rows of the terms there are.
    fn forward(
        &self,
        table: &Tensor,
        qkv: &QueryKeyValue,
        saved: &mut Saved,
    ) -> Result<RelativeRows> {
        let table = self.dropout.forward(table, saved)?;
        let mut rows = RelativeRows::default();
        if self.terms.content_to_position {
            rows.keys = Some(self.key(qkv).forward(&table, saved)?);
        }
        if self.terms.position_to_content {
            rows.queries = Some(self.query(qkv).forward(&table, saved)?);
        }
        Ok(rows)
    }

    /// Adds to the gradient of the table, `d_table` (R, D).
    fn backward(
        &self,
        d_rows: &RelativeRows,
        d_table: &Tensor,
        qkv: &QueryKeyValue,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<()> {
        if let Some(dy) = &d_rows.queries {
            let dx = self.query(qkv).backward(dy, saved, grads)?;
            raw::add_tensor(d_table, &self.dropout.backward(&dx, saved)?)?;
        }
        if let Some(dy) = &d_rows.keys {
            let dx = self.key(qkv).backward(dy, saved, grads)?;
            raw::add_tensor(d_table, &self.dropout.backward(&dx, saved)?)?;
        }
        Ok(())
    }
}

/// One block: attention and feed-forward, each with residual sum, dropout and layer norm.
#[derive(Debug)]
struct Block {
    qkv: QueryKeyValue,
    relative: Option<RelativeProjection>,
    attention: DisentangledAttention,
    after: AfterAttention,
}

impl Block {
    fn new(vars: &Vars<'_>, config: &ModelConfig, deberta: &DebertaConfig) -> Result<Self> {
        let (width, std) = (config.hidden_size, config.initializer_range);
        let of_attention = vars.pp("attention.self");
        let names = ["query_proj", "key_proj", "value_proj"];
        let has_table = deberta.relative.is_some();
        let terms = PositionTerms {
            content_to_position: has_table && deberta.terms.content_to_position,
            position_to_content: has_table && deberta.terms.position_to_content,
        };
        let n_heads = config.num_attention_heads;
        // The scale counts the terms that the config names, whether or not there is a table.
        let squared_scale = width / n_heads * deberta.scale_factor();
        Ok(Self {
            qkv: QueryKeyValue::new(&of_attention, names, width, std)?,
            relative: deberta
                .relative
                .map(|table| RelativeProjection::new(&of_attention, config, terms, table))
                .transpose()?,
            attention: DisentangledAttention::new(
                vars,
                n_heads,
                terms,
                1.0 / (squared_scale as f64).sqrt(),
                config.attention_probs_dropout_prob,
            ),
            after: AfterAttention::new(
                vars,
                config,
                AFTER_ATTENTION,
                [config.hidden_dropout_prob; 2],
            )?,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        table: Option<&Tensor>,
        distances: &DistanceRows,
        sequences: &Sequences,
        saved: &mut Saved,
    ) -> Result<Tensor> {
        let qkv = self.qkv.forward(x, saved)?;
        let rows = match (&self.relative, table) {
            (Some(relative), Some(table)) => relative.forward(table, &self.qkv, saved)?,
            _ => RelativeRows::default(),
        };
        let attended = self
            .attention
            .forward(&qkv, &rows, distances, sequences, saved)?;
        self.after.forward(&attended, x, saved)
    }

    /// Adds to the gradient of the relative embeddings, `d_table` (R, D), as well.
    fn backward(
        &self,
        dy: &Tensor,
        d_table: &Tensor,
        distances: &DistanceRows,
        sequences: &Sequences,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<Tensor> {
        let (d_attended, dx) = self.after.backward(dy, saved, grads)?;
        let (d_qkv, d_rows) = self
            .attention
            .backward(&d_attended, distances, sequences, saved)?;
        if let Some(relative) = &self.relative {
            relative.backward(&d_rows, d_table, &self.qkv, saved, grads)?;
        }
        self.qkv.backward_onto(&dx, &d_qkv, saved, grads)?;
        Ok(dx)
    }
}
