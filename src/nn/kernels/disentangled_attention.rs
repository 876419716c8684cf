//! Launches disentangled attention: products with the rows of the relative tables by cuBLAS, head by
//! head, and the kernels of self-attention, which look up in these what belongs to a pair of tokens.

use candle_core::{DType, Tensor};

use super::attention::{PositionScores, Scores};
use super::{Kernels, Tiles};
use crate::error::Result;
use crate::nn::dropout::Masks;
use crate::nn::{DistanceRows, Precision, RelativeRows, Start};

/// What the passes both ways have in common.
pub(in crate::nn) struct Disentangled<'a> {
    pub relative: &'a RelativeRows,
    pub distances: &'a DistanceRows,
    pub n_heads: usize,
    pub scale: f32,
    pub tiles: Tiles,
    pub masks: Option<Masks>,
}

impl Disentangled<'_> {
    fn tables(&self) -> [Option<&Tensor>; 2] {
        [self.relative.keys.as_ref(), self.relative.queries.as_ref()]
    }

    /// Rows of one head in qkv (T, 3 D), 0 for queries and 1 for keys, or in a table (R, D).
    fn head(&self, x: &Tensor, part: usize, h: usize, width: usize) -> Result<Tensor> {
        let d = width / self.n_heads;
        Ok(x.narrow(1, part * width + h * d, d)?)
    }
}

impl Kernels {
    /// qkv (T, 3 D) -> y (T, D) and the logarithms of the sums of exponentials (T, H).
    pub(in crate::nn) fn disentangled_forward(
        &self,
        qkv: &Tensor,
        pass: &Disentangled<'_>,
    ) -> Result<(Tensor, Tensor)> {
        let scores = self.scores(qkv, pass)?;
        let (tiles, n_heads) = (&pass.tiles, pass.n_heads);
        self.attention_forward(qkv, tiles, n_heads, &scores, pass.masks, Precision::F32)
    }

    /// dy, y (T, D), qkv (T, 3 D), the kept logarithms (T, H) -> dqkv (T, 3 D) and the gradients of
    /// the relative rows.
    pub(in crate::nn) fn disentangled_backward(
        &self,
        dy: &Tensor,
        [y, qkv, log_sums]: [&Tensor; 3],
        pass: &Disentangled<'_>,
    ) -> Result<(Tensor, RelativeRows)> {
        let scores = self.scores(qkv, pass)?;
        let mut d_products = [None, None];
        for (of_part, table) in d_products.iter_mut().zip(pass.tables()) {
            if let Some(table) = table {
                let zeros = self.room_for_products(qkv, table, pass)?;
                self.fill(&zeros, 0.0)?;
                *of_part = Some(zeros);
            }
        }
        let dqkv = self.attention_backward(
            dy,
            [y, qkv, log_sums],
            &pass.tiles,
            (&scores, d_products.each_ref().map(Option::as_ref)),
            pass.masks,
            Precision::F32,
        )?;
        // With G the gradients of the products, (T, R) for each head: dQ += G K' and dK' = G^T Q,
        // and so for K and Q'.
        let mut d_tables = [None, None];
        for (part, table) in pass.tables().into_iter().enumerate() {
            let (Some(table), Some(d_products)) = (table, &d_products[part]) else {
                continue;
            };
            let width = table.dim(1)?;
            let d_table = self.empty(table.dims(), DType::F32)?;
            for h in 0..pass.n_heads {
                let gradient = d_products.get(h)?;
                let to = pass.head(&dqkv, part, h, width)?;
                let rows = pass.head(table, 0, h, width)?;
                self.product_into(&to, &gradient, &rows, Start::Destination, Precision::F32)?;
                let to = pass.head(&d_table, 0, h, width)?;
                let content = pass.head(qkv, part, h, width)?;
                self.product_into(&to, &gradient.t()?, &content, Start::Zeros, Precision::F32)?;
            }
            d_tables[part] = Some(d_table);
        }
        let [keys, queries] = d_tables;
        Ok((dqkv, RelativeRows { keys, queries }))
    }

    /// The products of all tokens with all rows that the batch uses.
    fn scores(&self, qkv: &Tensor, pass: &Disentangled<'_>) -> Result<Scores> {
        let mut products = [None, None];
        for (part, table) in pass.tables().into_iter().enumerate() {
            let Some(table) = table else { continue };
            let width = table.dim(1)?;
            let all = self.room_for_products(qkv, table, pass)?;
            for h in 0..pass.n_heads {
                let content = pass.head(qkv, part, h, width)?;
                let rows = pass.head(table, 0, h, width)?.t()?;
                self.product_into(&all.get(h)?, &content, &rows, Start::Zeros, Precision::F32)?;
            }
            products[part] = Some(all);
        }
        let has_positions = products.iter().any(Option::is_some);
        let positions = has_positions.then(|| -> Result<_> {
            Ok(PositionScores {
                products,
                rows: pass.distances.on(qkv.device())?,
                longest: pass.distances.longest(),
            })
        });
        Ok(Scores {
            scale: pass.scale,
            positions: positions.transpose()?,
        })
    }

    /// (H, T, R).
    fn room_for_products(
        &self,
        qkv: &Tensor,
        table: &Tensor,
        pass: &Disentangled<'_>,
    ) -> Result<Tensor> {
        self.empty(&[pass.n_heads, qkv.dim(0)?, table.dim(0)?], DType::F32)
    }
}
