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

    /// Sets each y to the function's value at x.
    pub(super) fn apply(self, x: &[f32], y: &mut [f32]) {
        // The choice stands outside the loops, so that each of them is a plain one.
        match self {
            Self::Gelu => apply_gelu(x, y),
            Self::GeluTanh => apply_gelu_tanh(x, y),
            Self::Relu => apply_relu(x, y),
            Self::Tanh => apply_tanh(x, y),
        }
    }

    /// As [`Activation::apply`]; sets each slope to that of the function at x.
    pub(super) fn apply_with_slopes(self, x: &[f32], y: &mut [f32], slopes: &mut [f32]) {
        match self {
            Self::Gelu => apply_gelu_with_slopes(x, y, slopes),
            Self::GeluTanh => apply_gelu_tanh_with_slopes(x, y, slopes),
            Self::Relu => apply_relu_with_slopes(x, y, slopes),
            Self::Tanh => apply_tanh_with_slopes(x, y, slopes),
        }
    }
}

vectorized! {
    fn apply_gelu(x: &[f32], y: &mut [f32]) {
        each(x, y, |x| gelu(x).0);
    }

    fn apply_gelu_tanh(x: &[f32], y: &mut [f32]) {
        each(x, y, |x| gelu_tanh(x).0);
    }

    fn apply_relu(x: &[f32], y: &mut [f32]) {
        each(x, y, |x| relu(x).0);
    }

    fn apply_tanh(x: &[f32], y: &mut [f32]) {
        each(x, y, |x| hyperbolic_tangent(x).0);
    }

    fn apply_gelu_with_slopes(x: &[f32], y: &mut [f32], slopes: &mut [f32]) {
        each_of_both(x, y, slopes, gelu);
    }

    fn apply_gelu_tanh_with_slopes(x: &[f32], y: &mut [f32], slopes: &mut [f32]) {
        each_of_both(x, y, slopes, gelu_tanh);
    }

    fn apply_relu_with_slopes(x: &[f32], y: &mut [f32], slopes: &mut [f32]) {
        each_of_both(x, y, slopes, relu);
    }

    fn apply_tanh_with_slopes(x: &[f32], y: &mut [f32], slopes: &mut [f32]) {
        each_of_both(x, y, slopes, hyperbolic_tangent);
    }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
fn each(x: &[f32], y: &mut [f32], function: impl Fn(f32) -> f32) {
    for (x, y) in x.iter().zip(y) {
        *y = function(*x);
    }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
fn each_of_both(
    x: &[f32],
    y: &mut [f32],
    slopes: &mut [f32],
    function: impl Fn(f32) -> (f32, f32),
) {
    for ((x, y), slope) in x.iter().zip(y).zip(slopes) {
        (*y, *slope) = function(*x);
    }
}

// The functions: x -> (value, slope).

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
fn gelu(x: f32) -> (f32, f32) {
    let (cumulated, density) = normal(x);
    (x * cumulated, x.mul_add(density, cumulated))
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
fn gelu_tanh(x: f32) -> (f32, f32) {
    let t = tanh(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x));
    let inner_slope = SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBIC * x * x);
    let slope = 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner_slope;
    (0.5 * x * (1.0 + t), slope)
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
fn relu(x: f32) -> (f32, f32) {
    (x.max(0.0), f32::from(x > 0.0))
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
fn hyperbolic_tangent(x: f32) -> (f32, f32) {
    let t = tanh(x);
    (t, 1.0 - t * t)
}
