//! Linear layers: y = act(x W^T + b).
//!
//! Shapes: T rows (tokens or examples), `in` and `out` features; W is (out, in), b (out). A
//! layer may be without b.

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::nn::{Activation, Bias, Decay, Gradients, Initialization, Parameter, Saved, Vars, raw};

/// A linear layer, with the activation that follows it, if one does.
#[derive(Debug)]
pub struct Linear {
    weight: Parameter,
    bias: Option<Parameter>,
    activation: Option<Activation>,
}

impl Linear {
    /// A layer of `inputs` to `outputs` features with a bias, its weights first drawn with `std`.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(
        vars: &Vars<'_>,
        inputs: usize,
        outputs: usize,
        std: f64,
        activation: Option<Activation>,
    ) -> Result<Self> {
        let first = Initialization::Normal(std);
        Self::with_bias(vars, inputs, outputs, first, Bias::Yes, activation)
    }

    /// A layer of `inputs` to `outputs` features with or without a bias, its weights first
    /// drawn as `first` says.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn with_bias(
        vars: &Vars<'_>,
        inputs: usize,
        outputs: usize,
        first: Initialization,
        bias: Bias,
        activation: Option<Activation>,
    ) -> Result<Self> {
        Ok(Self {
            weight: vars.get("weight", &[outputs, inputs], first, Decay::Yes)?,
            bias: bias.of(vars, outputs)?,
            activation,
        })
    }

    /// x (T, in) -> y (T, out).
    ///
    /// # Errors
    /// Shapes that do not fit, or a device without kernels.
    pub fn forward(&self, x: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        saved.push(x);
        let outputs = self.weight.value().dim(0)?;
        let y = Tensor::zeros((x.dim(0)?, outputs), DType::F32, x.device())?;
        raw::product_into(&y, x, &self.weight.value().t()?, false)?;
        if let Some(bias) = &self.bias {
            add_bias(&y, bias.value())?;
        }
        let Some(activation) = self.activation else {
            return Ok(y);
        };
        saved.push(&y);
        let mut values = raw::read::<f32>(&y)?.to_vec();
        values
            .par_chunks_mut(raw::ROWS_PER_TASK * outputs)
            .for_each(|rows| activation.apply(rows));
        raw::tensor(values, y.dims(), y.device())
    }

    /// dy (T, out) -> dx (T, in); adds to the gradients of W and b.
    ///
    /// # Errors
    /// As [`Linear::forward`], or a stack that does not match.
    pub fn backward(&self, dy: &Tensor, saved: &mut Saved, grads: &Gradients) -> Result<Tensor> {
        let dy = match self.activation {
            None => dy.clone(),
            Some(activation) => before_activation(activation, dy, &saved.pop()?)?,
        };
        let x = saved.pop()?;
        raw::product_into(&grads[&self.weight], &dy.t()?, &x, true)?;
        if let Some(bias) = &self.bias {
            raw::accumulate(&grads[bias], &column_sums(&dy)?)?;
        }
        raw::product(&dy, self.weight.value())
    }
}

/// The query, key and value projections of an attention block, as one (T, 3 D) result with
/// the queries first, then the keys, then the values.
#[derive(Debug)]
pub struct QueryKeyValue {
    parts: [Linear; 3],
    width: usize,
}

impl QueryKeyValue {
    /// Three projections of `width` features each, named `names` in checkpoints.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(vars: &Vars<'_>, names: [&str; 3], width: usize, std: f64) -> Result<Self> {
        let part = |name| Linear::new(&vars.pp(name), width, width, std, None);
        let [q, k, v] = names;
        Ok(Self {
            parts: [part(q)?, part(k)?, part(v)?],
            width,
        })
    }

    /// The projection to queries, for inputs of its own.
    pub fn query(&self) -> &Linear {
        &self.parts[0]
    }

    /// The projection to keys, for inputs of its own.
    pub fn key(&self) -> &Linear {
        &self.parts[1]
    }

    /// x (T, D) -> qkv (T, 3 D).
    ///
    /// # Errors
    /// Shapes that do not fit, or a device without kernels.
    pub fn forward(&self, x: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        saved.push(x);
        let qkv = Tensor::zeros((x.dim(0)?, 3 * self.width), DType::F32, x.device())?;
        for (i, layer) in self.parts.iter().enumerate() {
            let part = qkv.narrow(1, i * self.width, self.width)?;
            raw::product_into(&part, x, &layer.weight.value().t()?, false)?;
        }
        let biases = self.parts.iter().filter_map(|part| part.bias.as_ref());
        let biases: Vec<&Tensor> = biases.map(Parameter::value).collect();
        add_bias(&qkv, &Tensor::cat(&biases, 0)?)?;
        Ok(qkv)
    }

    /// dqkv (T, 3 D) -> dx (T, D); adds to the gradients of the three projections.
    ///
    /// # Errors
    /// As [`QueryKeyValue::forward`], or a stack that does not match.
    pub fn backward(&self, dqkv: &Tensor, saved: &mut Saved, grads: &Gradients) -> Result<Tensor> {
        let x = saved.pop()?;
        let dx = x.zeros_like()?;
        let bias_sums = column_sums(dqkv)?;
        for (i, layer) in self.parts.iter().enumerate() {
            let part = dqkv.narrow(1, i * self.width, self.width)?;
            raw::product_into(&grads[&layer.weight], &part.t()?, &x, true)?;
            if let Some(bias) = &layer.bias {
                let sums = &bias_sums[i * self.width..(i + 1) * self.width];
                raw::accumulate(&grads[bias], sums)?;
            }
            raw::product_into(&dx, &part, layer.weight.value(), i > 0)?;
        }
        Ok(dx)
    }
}

/// The gradient before the activation, from that after it and from what went in.
fn before_activation(activation: Activation, dy: &Tensor, x: &Tensor) -> Result<Tensor> {
    let columns = dy.dim(1)?;
    let x_values = raw::read::<f32>(x)?;
    let mut values = raw::read::<f32>(dy)?.to_vec();
    let chunk = raw::ROWS_PER_TASK * columns;
    values
        .par_chunks_mut(chunk)
        .zip(x_values.par_chunks(chunk))
        .for_each(|(g, x)| activation.multiply_by_slope(x, g));
    raw::tensor(values, dy.dims(), dy.device())
}

fn add_bias(y: &Tensor, bias: &Tensor) -> Result<()> {
    let bias = raw::read::<f32>(bias)?;
    raw::update(y, |values| {
        values
            .par_chunks_mut(raw::ROWS_PER_TASK * bias.len())
            .for_each(|rows| {
                for row in rows.chunks_exact_mut(bias.len()) {
                    raw::add_to(row, &bias);
                }
            });
    })
}

/// (T, N) -> the N sums over the rows.
fn column_sums(x: &Tensor) -> Result<Vec<f32>> {
    let (n_rows, width) = x.dims2()?;
    let values = raw::read::<f32>(x)?;
    Ok(raw::sum_over_rows(n_rows, width, |rows, partial| {
        for row in values[rows.start * width..rows.end * width].chunks_exact(width) {
            raw::add_to(partial, row);
        }
    }))
}
