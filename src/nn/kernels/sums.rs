//! Launches the sums over rows.

use candle_core::{DType, Tensor};

use super::{Grid, Kernels};
use crate::error::Result;

/// Rows that one block adds up.
const ROWS_PER_BLOCK: usize = 256;
/// Columns that one block works on.
const COLUMNS_PER_BLOCK: usize = 32;

impl Kernels {
    /// Adds the sums over the rows of x (T, N) to the destination (N).
    pub(crate) fn add_column_sums(&self, destination: &Tensor, x: &Tensor) -> Result<()> {
        let (n_rows, width) = x.dims2()?;
        let n_chunks = n_rows.div_ceil(ROWS_PER_BLOCK);
        let sums = self.empty(&[n_chunks, width], DType::F32)?;
        self.call("column_sums")
            .values(x)
            .pointer(&sums)
            .count(n_rows)
            .count(width)
            .count(ROWS_PER_BLOCK)
            .launch(Grid::blocks(width.div_ceil(COLUMNS_PER_BLOCK), n_chunks))?;
        self.add_rows_in_order(destination, &sums)
    }

    /// Adds the sums over the rows of dy x and of dy, each (T, N), to the gradients (N) of a layer
    /// norm's weight and of its bias, if it has one.
    pub(crate) fn add_norm_gradients(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        dy: &Tensor,
        x: &Tensor,
    ) -> Result<()> {
        let (n_rows, width) = dy.dims2()?;
        let n_chunks = n_rows.div_ceil(ROWS_PER_BLOCK);
        let products = self.empty(&[n_chunks, width], DType::F32)?;
        let sums = self.empty(&[n_chunks, width], DType::F32)?;
        self.call("norm_parameter_sums")
            .values(dy)
            .values(x)
            .pointer(&products)
            .pointer(&sums)
            .count(n_rows)
            .count(width)
            .count(ROWS_PER_BLOCK)
            .launch(Grid::blocks(width.div_ceil(COLUMNS_PER_BLOCK), n_chunks))?;
        self.add_rows_in_order(weight, &products)?;
        if let Some(bias) = bias {
            self.add_rows_in_order(bias, &sums)?;
        }
        Ok(())
    }

    fn add_rows_in_order(&self, destination: &Tensor, x: &Tensor) -> Result<()> {
        let (n_rows, width) = x.dims2()?;
        self.call("add_rows_in_order")
            .pointer(destination)
            .pointer(x)
            .count(n_rows)
            .count(width)
            .launch(Grid::threads(width))
    }
}
