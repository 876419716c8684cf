//! Large products: cuBLAS on a device.

use candle_core::Tensor;
#[cfg(feature = "cuda")]
use candle_core::{CudaDevice, DType};

#[cfg(feature = "cuda")]
use super::{Argument, Grid, cuda};
use super::{Backend, Kernels};
use crate::error::{Error, Result};
use crate::nn::{Precision, Start, raw};

/// Products with a side shorter than this are computed in full f32: they cost nothing, and logits
/// are what everything else is measured by.
#[cfg(feature = "cuda")]
const SHORTEST_TF32_SIDE: usize = 16;

/// A matrix in a device's memory.
#[cfg(feature = "cuda")]
pub(super) struct Operand {
    pub address: u64,
    pub dtype: DType,
    pub rows: usize,
    pub columns: usize,
    pub row_stride: usize,
    pub column_stride: usize,
    /// Holds the memory until the product is launched.
    _tensor: Tensor,
}

/// `destination = a b`, or `+=`.
#[cfg(feature = "cuda")]
pub(super) struct Product {
    pub destination: Operand,
    pub a: Operand,
    pub b: Operand,
    pub accumulate: bool,
    /// Whether factors of f32 are used as they are, not rounded to TF32.
    pub is_exact: bool,
}

impl Kernels {
    /// `a b + bias` as a new tensor, see [`raw::product`].
    pub(crate) fn product(
        &self,
        a: &Tensor,
        b: &Tensor,
        bias: Option<&Tensor>,
        precision: Precision,
        stored: Precision,
    ) -> Result<Tensor> {
        let y = self.output(&[a.dim(0)?, b.dim(1)?], stored)?;
        match &self.0 {
            #[cfg(feature = "cuda")]
            Backend::Cuda(device) => self.multiply(device, &y, [a, b], false, precision)?,
            Backend::Emulated(_) => {
                let product = raw::product_on_host(a, b, None, precision, stored)?;
                self.copy(&product, &y)?;
            }
        }
        if let Some(bias) = bias {
            self.add_row(&y, bias)?;
        }
        Ok(y)
    }

    /// `destination = start + a b`, see [`raw::product_into`].
    pub(crate) fn product_into(
        &self,
        destination: &Tensor,
        a: &Tensor,
        b: &Tensor,
        start: Start<'_>,
        precision: Precision,
    ) -> Result<()> {
        if let Start::Row(_) = start {
            return Err(Error::internal("a product that starts from a row"));
        }
        match &self.0 {
            #[cfg(feature = "cuda")]
            Backend::Cuda(device) => {
                let accumulate = matches!(start, Start::Destination);
                self.multiply(device, destination, [a, b], accumulate, precision)
            }
            Backend::Emulated(_) => raw::product_into_on_host(destination, a, b, start, precision),
        }
    }
}

#[cfg(feature = "cuda")]
impl Kernels {
    fn multiply(
        &self,
        device: &CudaDevice,
        destination: &Tensor,
        [a, b]: [&Tensor; 2],
        accumulate: bool,
        precision: Precision,
    ) -> Result<()> {
        let shortest = a.dim(0)?.min(a.dim(1)?).min(b.dim(1)?);
        if shortest == 0 {
            return Err(Error::internal("a product of nothing"));
        }
        let product = Product {
            destination: self.operand(destination)?,
            a: self.rounded(a, precision)?,
            b: self.rounded(b, precision)?,
            accumulate,
            is_exact: shortest < SHORTEST_TF32_SIDE,
        };
        cuda::multiply(device, &product)
    }

    fn operand(&self, tensor: &Tensor) -> Result<Operand> {
        let (rows, columns) = tensor.dims2()?;
        Ok(Operand {
            address: self.address_of_first(tensor)?,
            dtype: tensor.dtype(),
            rows,
            columns,
            row_stride: tensor.stride()[0],
            column_stride: tensor.stride()[1],
            _tensor: tensor.clone(),
        })
    }

    /// The same matrix stored in `precision`: all values from its first to its last are converted,
    /// so that the strides stay.
    fn rounded(&self, tensor: &Tensor, precision: Precision) -> Result<Operand> {
        let operand = self.operand(tensor)?;
        if operand.dtype == precision.dtype() {
            return Ok(operand);
        }
        let extent = (operand.rows - 1) * operand.row_stride
            + (operand.columns - 1) * operand.column_stride
            + 1;
        let converted = self.output(&[extent], precision)?;
        self.call("convert")
            .with(Ok(Argument::U64(operand.address)))
            .count(usize::from(operand.dtype == DType::BF16))
            .values(&converted)
            .count(extent)
            .launch(Grid::threads(extent))?;
        Ok(Operand {
            address: self.address(&converted)?,
            dtype: precision.dtype(),
            _tensor: converted,
            ..operand
        })
    }
}
