//! Launches rotary positions.

use candle_core::Tensor;

use super::{Grid, Kernels};
use crate::error::Result;

impl Kernels {
    /// Turns the queries and keys of qkv (T, 3 D) in place, forwards (`direction` 1) or back (-1);
    /// positions (T), cosines and sines of each position's d / 2 angles.
    pub(crate) fn rotary(
        &self,
        qkv: &Tensor,
        positions: &Tensor,
        [cosines, sines]: [&Tensor; 2],
        head_width: usize,
        direction: f32,
    ) -> Result<()> {
        let (n_tokens, columns) = qkv.dims2()?;
        let width = columns / 3;
        self.call("rotary")
            .values(qkv)
            .pointer(positions)
            .pointer(cosines)
            .pointer(sines)
            .count(n_tokens * width)
            .count(width)
            .count(head_width)
            .f32(direction)
            .launch(Grid::threads(n_tokens * width))
    }
}
