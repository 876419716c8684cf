//! Launches embedding tables and the rows that a head reads.

use candle_core::{DType, Tensor};

use super::{Grid, Kernels};
use crate::error::Result;

/// The `TOKENS` of embedding.cu.
const TOKENS_PER_CHUNK: usize = 128;

impl Kernels {
    /// The sum of the rows of (V, D) tables that the ids (T) of each name, (T, D).
    pub(crate) fn embedding_forward(&self, tables: &[(&Tensor, &Tensor)]) -> Result<Tensor> {
        let (n_tokens, width) = (tables[0].1.elem_count(), tables[0].0.dim(1)?);
        let y = self.empty(&[n_tokens, width], DType::F32)?;
        for (i, (table, ids)) in tables.iter().enumerate() {
            self.call("embedding_forward")
                .pointer(table)
                .pointer(ids)
                .pointer(&y)
                .count(n_tokens * width)
                .count(width)
                .count(table.dim(0)?)
                .count(usize::from(i == 0))
                .launch(Grid::threads(n_tokens * width))?;
        }
        Ok(y)
    }

    /// Adds each row of dy (T, D) to the row of a table's gradient (V, D) that `ids` (T) names.
    pub(crate) fn embedding_backward(
        &self,
        gradient: &Tensor,
        ids: &Tensor,
        dy: &Tensor,
    ) -> Result<()> {
        let (n_tokens, width) = dy.dims2()?;
        let sums = self.empty(&[n_tokens, width], DType::F32)?;
        let keys = self.empty(&[n_tokens], DType::U32)?;
        let n_chunks = n_tokens.div_ceil(TOKENS_PER_CHUNK);
        self.call("embedding_chunk_sums")
            .pointer(dy)
            .pointer(ids)
            .pointer(&sums)
            .pointer(&keys)
            .count(n_tokens)
            .count(width)
            .launch(Grid::blocks(n_chunks, width.div_ceil(256)))?;
        self.call("embedding_add_sums")
            .pointer(gradient)
            .pointer(&sums)
            .pointer(&keys)
            .count(n_tokens)
            .count(width)
            .count(gradient.dim(0)?)
            .launch(Grid::blocks(n_tokens, 1))
    }

    /// x (T, D) -> the rows of the first tokens (B, D); `limits` are the (B + 1) sums of lengths.
    pub(crate) fn first_tokens(&self, x: &Tensor, limits: &Tensor) -> Result<Tensor> {
        self.pooled("first_tokens_forward", x, limits)
    }

    /// x (T, D) -> the means of each sequence's rows (B, D).
    pub(crate) fn mean_tokens(&self, x: &Tensor, limits: &Tensor) -> Result<Tensor> {
        self.pooled("mean_tokens_forward", x, limits)
    }

    fn pooled(&self, kernel: &'static str, x: &Tensor, limits: &Tensor) -> Result<Tensor> {
        let (n_sequences, width) = (limits.elem_count() - 1, x.dim(1)?);
        let y = self.empty(&[n_sequences, width], DType::F32)?;
        self.call(kernel)
            .pointer(x)
            .pointer(limits)
            .pointer(&y)
            .count(n_sequences * width)
            .count(width)
            .launch(Grid::threads(n_sequences * width))?;
        Ok(y)
    }

    /// dy (B, D) -> dx (T, D), 0 at all tokens that are not the first.
    pub(crate) fn first_tokens_backward(
        &self,
        dy: &Tensor,
        limits: &Tensor,
        n_tokens: usize,
    ) -> Result<Tensor> {
        let width = dy.dim(1)?;
        let dx = self.empty(&[n_tokens, width], DType::F32)?;
        self.fill(&dx, 0.0)?;
        self.call("first_tokens_backward")
            .pointer(dy)
            .pointer(limits)
            .pointer(&dx)
            .count(dy.elem_count())
            .count(width)
            .launch(Grid::threads(dy.elem_count()))?;
        Ok(dx)
    }

    /// dy (B, D) -> dx (T, D).
    pub(crate) fn mean_tokens_backward(
        &self,
        dy: &Tensor,
        limits: &Tensor,
        n_tokens: usize,
    ) -> Result<Tensor> {
        let (n_sequences, width) = dy.dims2()?;
        let dx = self.empty(&[n_tokens, width], DType::F32)?;
        self.call("mean_tokens_backward")
            .pointer(dy)
            .pointer(limits)
            .pointer(&dx)
            .count(width)
            .launch(Grid::blocks(n_sequences, 1))?;
        Ok(dx)
    }
}
