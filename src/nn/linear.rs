//! Linear layers: y = act(x W^T + b).
//!
//! Shapes: T rows (tokens or examples), `in` and `out` features; W is (out, in), b (out). A
//! layer may be without b.

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::nn::kernels::Kernels;
use crate::nn::values::{Output, Values, rows};
use crate::nn::{
    Activation, Bias, Decay, Gradients, Initialization, Parameter, Precision, Saved, Start, Vars,
    raw,
};

/// Layers with fewer outputs than this are computed in f32: their products cost nothing, and
/// logits are what everything else is measured by.
const FEWEST_OUTPUTS_IN_BF16: usize = 16;

/// A linear layer, with the activation that follows it, if one does.
#[derive(Debug)]
pub struct Linear {
    weight: Parameter,
    bias: Option<Parameter>,
    activation: Option<Activation>,
    precision: Precision,
    stored: Precision,
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
            precision: if outputs < FEWEST_OUTPUTS_IN_BF16 {
                Precision::F32
            } else {
                vars.precision()
            },
            stored: Precision::F32,
        })
    }

    /// The same layer, whose results and gradients are stored in the precision of its products:
    /// for layers between others that read them as they are.
    #[must_use]
    pub fn compact(self) -> Self {
        Self {
            stored: self.precision,
            ..self
        }
    }

    /// x (T, in) -> y (T, out).
    ///
    /// # Errors
    /// Shapes that do not fit, or a device without kernels.
    pub fn forward(&self, x: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        if let Some(kernels) = Kernels::of(x) {
            return self.forward_by(&kernels, x, saved);
        }
        saved.push(x);
        let weight = self.weight.value().t()?;
        let bias = self.bias.as_ref().map(Parameter::value);
        let y = raw::product(x, &weight, bias, self.precision, self.stored)?;
        let Some(activation) = self.activation else {
            return Ok(y);
        };
        self.activated(activation, &y, saved)
    }

    /// As [`Linear::forward`], where there are kernels. Both factors are converted once, and kept
    /// as they went into the product.
    fn forward_by(&self, kernels: &Kernels, x: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        let (precision, stored) = (self.precision, self.stored);
        let x = kernels.stored_in(x, precision)?;
        let weight = kernels.stored_in(self.weight.value(), precision)?;
        saved.push(&x);
        saved.push(&weight);
        let (weight, bias) = (weight.t()?, self.bias.as_ref().map(Parameter::value));
        let Some(activation) = self.activation else {
            return kernels.product(&x, &weight, bias, precision, stored);
        };
        let before = kernels.product(&x, &weight, None, precision, stored)?;
        saved.push(&before);
        kernels.bias_activation(activation, &before, bias, stored)
    }

    /// dy (T, out) -> dx (T, in); adds to the gradients of W and b.
    ///
    /// # Errors
    /// As [`Linear::forward`], or a stack that does not match.
    pub fn backward(&self, dy: &Tensor, saved: &mut Saved, grads: &Gradients) -> Result<Tensor> {
        let (dy, weight) = self.weight_gradients(dy, saved, grads)?;
        raw::product(&dy, &weight, None, self.precision, self.stored)
    }

    /// As [`Linear::backward`], but adds dx to `sum` (T, in), the gradient of x from elsewhere.
    ///
    /// # Errors
    /// As [`Linear::backward`].
    pub fn backward_onto(
        &self,
        sum: &Tensor,
        dy: &Tensor,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<()> {
        let (dy, weight) = self.weight_gradients(dy, saved, grads)?;
        raw::product_into(sum, &dy, &weight, Start::Destination, self.precision)
    }

    /// Adds to the gradients of W and b; returns the gradient before the activation (T, out) and W.
    fn weight_gradients(
        &self,
        dy: &Tensor,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<(Tensor, Tensor)> {
        if let Some(kernels) = Kernels::of(dy) {
            return self.weight_gradients_by(&kernels, dy, saved, grads);
        }
        let (dy, d_bias) = match self.activation {
            None => (dy.clone(), column_sums(dy)?),
            Some(_) => self.before_activation(dy, &saved.pop()?)?,
        };
        let x = saved.pop()?;
        grads.add_product(&self.weight, &dy.t()?, &x, self.precision)?;
        if let Some(bias) = &self.bias {
            raw::accumulate(grads.of(bias)?, &d_bias)?;
        }
        Ok((dy, self.weight.value().clone()))
    }

    /// As `weight_gradients`, where there are kernels.
    fn weight_gradients_by(
        &self,
        kernels: &Kernels,
        dy: &Tensor,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<(Tensor, Tensor)> {
        let dy = match self.activation {
            None => dy.clone(),
            Some(activation) => {
                kernels.activation_backward(activation, dy, &saved.pop()?, self.stored)?
            }
        };
        if let Some(bias) = &self.bias {
            kernels.add_column_sums(grads.of(bias)?, &dy)?;
        }
        let dy = kernels.stored_in(&dy, self.precision)?;
        let (weight, x) = (saved.pop()?, saved.pop()?);
        grads.add_product(&self.weight, &dy.t()?, &x, self.precision)?;
        Ok((dy, weight))
    }

    /// x (T, out) -> the activation's values (T, out). Its slopes are kept rather than x, since
    /// both are made of one exponential.
    fn activated(&self, activation: Activation, x: &Tensor, saved: &mut Saved) -> Result<Tensor> {
        let (n_rows, width) = x.dims2()?;
        let values = Values::of(x)?;
        let output = Output::new(width, self.stored);
        if !saved.keeps() {
            let ([y], _) = rows(x.device(), n_rows, [output], |rows, [y]| {
                activation.apply(&values.part(rows.start * width..rows.end * width), y);
            })?;
            return Ok(y);
        }
        let ([y, slopes], _) = rows(x.device(), n_rows, [output; 2], |rows, [y, slopes]| {
            let x = values.part(rows.start * width..rows.end * width);
            activation.apply_with_slopes(&x, y, slopes);
        })?;
        saved.push(&slopes);
        Ok(y)
    }

    /// The gradient before the activation (T, out), from that after it and from the slopes, and
    /// the sums of its columns.
    fn before_activation(&self, dy: &Tensor, slopes: &Tensor) -> Result<(Tensor, Vec<f32>)> {
        let (n_rows, width) = dy.dims2()?;
        let (slopes, gradients) = (Values::of(slopes)?, Values::of(dy)?);
        let outputs = [Output::new(width, self.stored)];
        let ([dx], sums) = rows(dy.device(), n_rows, outputs, |rows, [dx]| {
            gradients.copy_to(rows.start * width, dx);
            raw::multiply_by(dx, &slopes.part(rows.start * width..rows.end * width));
            raw::sum_of_rows(dx, width)
        })?;
        Ok((dx, raw::sum_of_rows(&sums.concat(), width)))
    }
}

/// The query, key and value projections of an attention block, as one (T, 3 D) result with
/// the queries first, then the keys, then the values.
#[derive(Debug)]
pub struct QueryKeyValue {
    parts: [Linear; 3],
    width: usize,
    stored: Precision,
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
            stored: Precision::F32,
        })
    }

    /// The same layer, whose results are stored in the precision of its products.
    #[must_use]
    pub fn compact(self) -> Self {
        Self {
            stored: self.parts[0].precision,
            ..self
        }
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
        let parts = &self.parts;
        let weights = parts.each_ref().map(|part| part.weight.value());
        let biases = parts.iter().filter_map(|part| part.bias.as_ref());
        let biases: Vec<&Tensor> = biases.map(Parameter::value).collect();
        let precision = parts[0].precision;
        let (x, weights, biases) = match Kernels::of(x) {
            Some(kernels) => (
                &kernels.stored_in(x, precision)?,
                kernels.stack(&weights, precision)?,
                kernels.stack(&biases, Precision::F32)?,
            ),
            None => (x, Tensor::cat(&weights, 0)?, Tensor::cat(&biases, 0)?),
        };
        saved.push(x);
        let y = raw::product(x, &weights.t()?, Some(&biases), precision, self.stored)?;
        saved.push(&weights);
        Ok(y)
    }

    /// dqkv (T, 3 D): adds dx (T, D) to `sum`, the gradient of x from elsewhere, and to the
    /// gradients of the three projections.
    ///
    /// # Errors
    /// As [`QueryKeyValue::forward`], or a stack that does not match.
    pub fn backward_onto(
        &self,
        sum: &Tensor,
        dqkv: &Tensor,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<()> {
        let (weights, x) = (saved.pop()?, saved.pop()?);
        let bias_sums = match Kernels::of(dqkv) {
            Some(kernels) => {
                let sums = kernels.empty(&[3 * self.width], DType::F32)?;
                kernels.fill(&sums, 0.0)?;
                kernels.add_column_sums(&sums, dqkv)?;
                sums
            }
            None => raw::tensor(column_sums(dqkv)?, &[3 * self.width], dqkv.device())?,
        };
        for (i, layer) in self.parts.iter().enumerate() {
            let dy = dqkv.narrow(1, i * self.width, self.width)?;
            grads.add_product(&layer.weight, &dy.t()?, &x, layer.precision)?;
            if let Some(bias) = &layer.bias {
                let sums = bias_sums.narrow(0, i * self.width, self.width)?;
                raw::add_tensor(grads.of(bias)?, &sums)?;
            }
        }
        let precision = self.parts[0].precision;
        raw::product_into(sum, dqkv, &weights, Start::Destination, precision)
    }
}

/// (T, N) -> the N sums over the rows.
fn column_sums(x: &Tensor) -> Result<Vec<f32>> {
    let (n_rows, width) = x.dims2()?;
    let values = Values::of(x)?;
    let (_, sums) = rows(x.device(), n_rows, [], |rows, []| {
        raw::sum_of_rows(&values.part(rows.start * width..rows.end * width), width)
    })?;
    Ok(raw::sum_of_rows(&sums.concat(), width))
}
