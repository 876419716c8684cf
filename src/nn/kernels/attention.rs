//! Launches self-attention.

use candle_core::{DType, Tensor};

use super::{Grid, Kernels};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::nn::Precision;
use crate::nn::dropout::Masks;

/// The widest heads that there are kernels for.
const WIDEST_HEAD: usize = 128;

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
            65..=WIDEST_HEAD => (2, 8, kernels!(8)),
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

impl Kernels {
    /// qkv (T, 3 D) -> y (T, D) and the logarithms of the sums of exponentials (T, H).
    pub(in crate::nn) fn attention_forward(
        &self,
        qkv: &Tensor,
        tiles: &Tiles,
        n_heads: usize,
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
            .masks(masks)
            .launch(Grid::blocks(tiles.0.dim(0)?, n_heads).with_shared(cut.shared_bytes(2)))?;
        Ok((y, log_sums))
    }

    /// dy, y (T, D), qkv (T, 3 D), the kept logarithms (T, H) -> dqkv (T, 3 D).
    pub(in crate::nn) fn attention_backward(
        &self,
        dy: &Tensor,
        [y, qkv, log_sums]: [&Tensor; 3],
        tiles: &Tiles,
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
                .pointer(&tiles.0)
                .count(n_heads)
                .count(width / n_heads)
                .masks(masks)
                .launch(Grid::blocks(tiles.0.dim(0)?, n_heads).with_shared(cut.shared_bytes(4)))?;
        }
        Ok(dqkv)
    }
}
