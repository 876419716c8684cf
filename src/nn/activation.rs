//! The functions between two linear layers, by their Hugging Face names.

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
        for x in values {
            *x = match self {
                Self::Gelu => *x * normal_cdf(*x),
                Self::GeluTanh => 0.5 * *x * (1.0 + gelu_inner(*x).tanh()),
                Self::Relu => x.max(0.0),
                Self::Tanh => x.tanh(),
            };
        }
    }

    /// Multiplies each gradient by the function's slope at the matching x.
    pub(super) fn multiply_by_slope(self, x: &[f32], gradient: &mut [f32]) {
        for (x, g) in x.iter().copied().zip(gradient) {
            *g *= match self {
                Self::Gelu => normal_cdf(x) + x * normal_density(x),
                Self::GeluTanh => {
                    let t = gelu_inner(x).tanh();
                    let inner_slope = SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBIC * x * x);
                    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner_slope
                }
                Self::Relu => f32::from(x > 0.0),
                Self::Tanh => {
                    let t = x.tanh();
                    1.0 - t * t
                }
            };
        }
    }
}

fn normal_cdf(x: f32) -> f32 {
    0.5 * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2))
}

fn normal_density(x: f32) -> f32 {
    /// 1 / sqrt(2 pi).
    const SCALE: f32 = 0.398_942_3;
    SCALE * (-0.5 * x * x).exp()
}

fn gelu_inner(x: f32) -> f32 {
    SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x)
}
