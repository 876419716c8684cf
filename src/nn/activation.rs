//! The functions between two linear layers, by their Hugging Face names.

use crate::nn::cpu::vectorized;
use crate::nn::math::{normal, tanh};

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x Phi(x), with the error function: BERT's `gelu`.
    Gelu,
    /// GELU through tanh: `gelu_new`, `gelu_pytorch_tanh`.
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// tanh(x), as poolers have it.
    Tanh,
}

/// sqrt(2 / pi), of GELU through tanh (Hendrycks and Gimpel 2016, section 2).
const SQRT_2_OVER_PI: f32 = 0.797_884_6;
/// The cubic term of GELU through tanh (Hendrycks and Gimpel 2016, section 2).
const GELU_CUBIC: f32 = 0.044_715;

impl Activation {
    /// The activation that a model's `hidden_act` names.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
            "tanh" => Some(Self::Tanh),
            _ => None,
        }
    }

    /// Replaces each value x by the function's value.
    pub(super) fn apply(self, values: &mut [f32]) {
        // The choice stands outside the loops, so that each of them is a plain one.
        match self {
            Self::Gelu => gelu(values),
            Self::GeluTanh => gelu_tanh(values),
            Self::Relu => relu(values),
            Self::Tanh => hyperbolic_tangent(values),
        }
    }

    /// Multiplies each gradient by the function's slope at the matching x.
    pub(super) fn multiply_by_slope(self, x: &[f32], gradient: &mut [f32]) {
        match self {
            Self::Gelu => gelu_slope(x, gradient),
            Self::GeluTanh => gelu_tanh_slope(x, gradient),
            Self::Relu => relu_slope(x, gradient),
            Self::Tanh => tanh_slope(x, gradient),
        }
    }
}

vectorized! {
    fn gelu(values: &mut [f32]) {
        replace(values, |x| x * normal(x).0);
    }

    fn gelu_tanh(values: &mut [f32]) {
        replace(values, |x| 0.5 * x * (1.0 + tanh(gelu_inner(x))));
    }

    fn relu(values: &mut [f32]) {
        replace(values, |x| x.max(0.0));
    }

    fn hyperbolic_tangent(values: &mut [f32]) {
        replace(values, tanh);
    }

    fn gelu_slope(x: &[f32], gradient: &mut [f32]) {
        multiply(x, gradient, |x| {
            let (cumulated, density) = normal(x);
            cumulated + x * density
        });
    }

    fn gelu_tanh_slope(x: &[f32], gradient: &mut [f32]) {
        multiply(x, gradient, |x| {
            let t = tanh(gelu_inner(x));
            let inner_slope = SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBIC * x * x);
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner_slope
        });
    }

    fn relu_slope(x: &[f32], gradient: &mut [f32]) {
        multiply(x, gradient, |x| f32::from(x > 0.0));
    }

    fn tanh_slope(x: &[f32], gradient: &mut [f32]) {
        multiply(x, gradient, |x| 1.0 - tanh(x) * tanh(x));
    }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
fn replace(values: &mut [f32], function: impl Fn(f32) -> f32) {
    for value in values {
        *value = function(*value);
    }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
fn multiply(x: &[f32], gradient: &mut [f32], slope: impl Fn(f32) -> f32) {
    for (x, g) in x.iter().zip(gradient) {
        *g *= slope(*x);
    }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
fn gelu_inner(x: f32) -> f32 {
    SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x)
}
