//! Launches what works element by element.

use candle_core::{DType, Tensor};

use super::{Grid, Kernels};
use crate::error::Result;
use crate::nn::dropout::Masks;
use crate::nn::{Activation, Precision};

impl Activation {
    /// Its number in elementwise.cu.
    fn number(self) -> usize {
        match self {
            Self::Gelu => 0,
            Self::GeluTanh => 1,
            Self::Relu => 2,
            Self::Tanh => 3,
        }
    }
}

impl Kernels {
    /// x += bias in place, then the activation's values of it; both (T, N).
    pub(crate) fn bias_activation(
        &self,
        activation: Activation,
        x: &Tensor,
        bias: Option<&Tensor>,
        stored: Precision,
    ) -> Result<Tensor> {
        let y = self.output(x.dims(), stored)?;
        self.call("bias_activation_forward")
            .values(x)
            .optional(bias)
            .values(&y)
            .count(x.elem_count())
            .count(x.dim(1)?)
            .count(activation.number())
            .launch(Grid::threads(x.elem_count()))?;
        Ok(y)
    }

    /// The gradient before the activation from that after it and from what went in.
    pub(crate) fn activation_backward(
        &self,
        activation: Activation,
        dy: &Tensor,
        x: &Tensor,
        stored: Precision,
    ) -> Result<Tensor> {
        let dx = self.output(x.dims(), stored)?;
        self.call("activation_backward")
            .values(dy)
            .values(x)
            .values(&dx)
            .count(x.elem_count())
            .count(activation.number())
            .launch(Grid::threads(x.elem_count()))?;
        Ok(dx)
    }

    /// x (T, 2 I) -> y (T, I), see [`crate::nn::Gate`].
    pub(crate) fn gate_forward(&self, activation: Activation, x: &Tensor) -> Result<Tensor> {
        let (n_rows, width) = (x.dim(0)?, x.dim(1)? / 2);
        let y = self.empty(&[n_rows, width], DType::F32)?;
        self.call("gate_forward")
            .pointer(x)
            .pointer(&y)
            .count(n_rows * width)
            .count(width)
            .count(activation.number())
            .launch(Grid::threads(n_rows * width))?;
        Ok(y)
    }

    /// dy (T, I), x (T, 2 I) -> dx (T, 2 I).
    pub(crate) fn gate_backward(
        &self,
        activation: Activation,
        dy: &Tensor,
        x: &Tensor,
    ) -> Result<Tensor> {
        let (n_rows, width) = dy.dims2()?;
        let dx = self.empty(x.dims(), DType::F32)?;
        self.call("gate_backward")
            .pointer(dy)
            .pointer(x)
            .pointer(&dx)
            .count(n_rows * width)
            .count(width)
            .count(activation.number())
            .launch(Grid::threads(n_rows * width))?;
        Ok(dx)
    }

    /// x times its masks, as f32.
    pub(in crate::nn) fn dropout(&self, x: &Tensor, masks: Masks) -> Result<Tensor> {
        let y = self.empty(x.dims(), DType::F32)?;
        self.call("dropout")
            .values(x)
            .pointer(&y)
            .count(x.elem_count())
            .masks(Some(masks))
            .launch(Grid::threads(x.elem_count()))?;
        Ok(y)
    }

    /// Matrices of as many columns each, one below the other.
    pub(crate) fn stack(&self, parts: &[&Tensor], stored: Precision) -> Result<Tensor> {
        let n_rows = parts.iter().map(|part| part.dims()[0]).sum();
        let mut shape = parts[0].dims().to_vec();
        shape[0] = n_rows;
        let all = self.output(&shape, stored)?;
        let mut row = 0;
        for part in parts {
            let n_rows = part.dims()[0];
            self.copy(part, &all.narrow(0, row, n_rows)?)?;
            row += n_rows;
        }
        Ok(all)
    }

    /// The same values stored in `precision`: the tensor itself where they are.
    pub(crate) fn stored_in(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        if x.dtype() == precision.dtype() {
            return Ok(x.clone());
        }
        let y = self.output(x.dims(), precision)?;
        self.copy(x, &y)?;
        Ok(y)
    }

    /// Makes the values of `to` those of `from`.
    pub(crate) fn copy(&self, from: &Tensor, to: &Tensor) -> Result<()> {
        self.call("convert")
            .values(from)
            .values(to)
            .count(from.elem_count())
            .launch(Grid::threads(from.elem_count()))
    }

    /// destination += source.
    pub(crate) fn add(&self, destination: &Tensor, source: &Tensor) -> Result<()> {
        self.call("add")
            .pointer(destination)
            .values(source)
            .count(source.elem_count())
            .launch(Grid::threads(source.elem_count()))
    }

    /// Adds a row (N) to each row of y (T, N).
    pub(crate) fn add_row(&self, y: &Tensor, row: &Tensor) -> Result<()> {
        self.call("add_row")
            .values(y)
            .pointer(row)
            .count(y.elem_count())
            .count(y.dim(1)?)
            .launch(Grid::threads(y.elem_count()))
    }

    /// Makes all values of f32 `value`.
    pub(crate) fn fill(&self, destination: &Tensor, value: f32) -> Result<()> {
        self.call("fill")
            .pointer(destination)
            .f32(value)
            .count(destination.elem_count())
            .launch(Grid::threads(destination.elem_count()))
    }

    /// x + number, u32.
    pub(crate) fn add_number(&self, x: &Tensor, number: u32) -> Result<Tensor> {
        let y = self.empty(x.dims(), DType::U32)?;
        self.call("add_number")
            .pointer(x)
            .pointer(&y)
            .count(number as usize)
            .count(x.elem_count())
            .launch(Grid::threads(x.elem_count()))?;
        Ok(y)
    }
}
