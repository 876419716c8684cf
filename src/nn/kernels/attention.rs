//! Launches self-attention.

use candle_core::{DType, Tensor};

use super::{Argument, Call, Grid, Kernels};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::nn::Precision;
use crate::nn::dropout::Masks;

/// The widest heads that there are kernels for.
const WIDEST_HEAD: usize = 256;

/// How a head's width is cut up: the `R` and `C` of attention.cu.
#[derive(Debug, Clone, Copy)]
struct Cut {
    rows: usize,
    columns: usize,
    kernels: [&'static str; 3],
}

impl Cut {
    fn of(head_width: usize) -> Result<Self> {
        macro_rules! kernels {
            ($columns:literal) => {
                [
                    concat!("attention_forward_", $columns),
                    concat!("attention_backward_queries_", $columns),
                    concat!("attention_backward_keys_", $columns),
                ]
            };
        }
        let (rows, columns, kernels) = match head_width {
            0..=32 => (4, 2, kernels!(2)),
            33..=64 => (4, 4, kernels!(4)),
            65..=128 => (2, 8, kernels!(8)),
            129..=WIDEST_HEAD => (1, 16, kernels!(16)),
            _ => {
                let message = format!(
                    "attention heads of {head_width} features have no CUDA kernels; they may have up to {WIDEST_HEAD}"
                );
                let problem = Problem::new(message).hint("use `--device cpu`");
                return Err(Error::new(ErrorKind::Usage, problem));
            }
        };
        Ok(Self {
            rows,
            columns,
            kernels,
        })
    }

    /// Shared memory for `n` tiles of a head's rows and one of weights.
    fn shared_bytes(self, n: usize) -> usize {
        let rows = 16 * self.rows;
        size_of::<f32>() * rows * (n * (16 * self.columns + 1) + rows + 1)
    }
}

/// A batch's tiles (N, 7), u32; see `Tile` in attention.cu.
#[derive(Debug, Clone)]
pub(in crate::nn) struct Tiles(pub Tensor);

/// Tokens in a tile of heads of this width.
pub(in crate::nn) fn tokens_per_tile(head_width: usize) -> Result<usize> {
    Ok(16 * Cut::of(head_width)?.rows)
}

/// How the scores of queries and keys are made.
#[derive(Debug)]
pub(in crate::nn) struct Scores {
    /// What all products are multiplied by.
    pub scale: f32,
    /// What belongs to the distance of two tokens.
    pub positions: Option<PositionScores>,
}

/// The products of all tokens with all rows of tables of relative embeddings: the `Terms` of
/// attention.cu.
#[derive(Debug)]
pub(in crate::nn) struct PositionScores {
    /// (H, T, R), of the queries and of the keys, for the terms that there are.
    pub products: [Option<Tensor>; 2],
    /// The rows for the distances longest - 1 down to 1 - longest, u32.
    pub rows: Tensor,
    /// Tokens of the longest sequence.
    pub longest: usize,
}

impl PositionScores {
    fn n_rows(&self) -> Result<usize> {
        let product = self.products.iter().flatten().next();
        Ok(product
            .map(|product| product.dim(2))
            .transpose()?
            .unwrap_or(0))
    }
}

impl Call<'_> {
    fn scores(self, scores: &Scores, n_tokens: usize) -> Self {
        let positions = scores.positions.as_ref();
        let products = positions.map_or([None, None], |positions| {
            positions.products.each_ref().map(Option::as_ref)
        });
        let n_rows = positions.map_or(Ok(0), PositionScores::n_rows);
        self.optional(products[0])
            .optional(products[1])
            .optional(positions.map(|positions| &positions.rows))
            .count(n_tokens)
            .with(n_rows.map(|n| Argument::U32(n as u32)))
            .count(positions.map_or(0, |positions| positions.longest))
            .f32(scores.scale)
    }
}

impl Kernels {
    /// qkv (T, 3 D) -> y (T, D) and the logarithms of the sums of exponentials (T, H).
    pub(in crate::nn) fn attention_forward(
        &self,
        qkv: &Tensor,
        tiles: &Tiles,
        n_heads: usize,
        scores: &Scores,
        masks: Option<Masks>,
        stored: Precision,
    ) -> Result<(Tensor, Tensor)> {
        let (n_tokens, width) = (qkv.dim(0)?, qkv.dim(1)? / 3);
        let cut = Cut::of(width / n_heads)?;
        let y = self.output(&[n_tokens, width], stored)?;
        let log_sums = self.empty(&[n_tokens, n_heads], DType::F32)?;
        self.call(cut.kernels[0])
            .values(qkv)
            .values(&y)
            .pointer(&log_sums)
            .pointer(&tiles.0)
            .count(n_heads)
            .count(width / n_heads)
            .scores(scores, n_tokens)
            .masks(masks)
            .launch(Grid::blocks(tiles.0.dim(0)?, n_heads).with_shared(cut.shared_bytes(2)))?;
        Ok((y, log_sums))
    }

    /// dy, y (T, D), qkv (T, 3 D), the kept logarithms (T, H) -> dqkv (T, 3 D); sets the gradients
    /// of the products with relative embeddings, which are 0 before, where a sequence has them.
    pub(in crate::nn) fn attention_backward(
        &self,
        dy: &Tensor,
        [y, qkv, log_sums]: [&Tensor; 3],
        tiles: &Tiles,
        (scores, d_products): (&Scores, [Option<&Tensor>; 2]),
        masks: Option<Masks>,
        stored: Precision,
    ) -> Result<Tensor> {
        let ((n_tokens, width), n_heads) = (dy.dims2()?, log_sums.dim(1)?);
        let cut = Cut::of(width / n_heads)?;
        let products = self.empty(&[n_tokens, n_heads], DType::F32)?;
        self.call("attention_products")
            .values(dy)
            .values(y)
            .pointer(&products)
            .count(n_tokens * n_heads)
            .count(width / n_heads)
            .launch(Grid::warps(n_tokens * n_heads))?;
        let dqkv = self.output(qkv.dims(), stored)?;
        for kernel in &cut.kernels[1..] {
            self.call(kernel)
                .values(qkv)
                .values(dy)
                .pointer(log_sums)
                .pointer(&products)
                .values(&dqkv)
                .optional(d_products[0])
                .optional(d_products[1])
                .pointer(&tiles.0)
                .count(n_heads)
                .count(width / n_heads)
                .scores(scores, n_tokens)
                .masks(masks)
                .launch(Grid::blocks(tiles.0.dim(0)?, n_heads).with_shared(cut.shared_bytes(4)))?;
        }
        Ok(dqkv)
    }
}
