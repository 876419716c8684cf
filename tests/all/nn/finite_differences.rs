//! Backward passes against the slope of the output along random directions.
//!
//! For a loss L = sum(dy y), a direction u with normal entries and the gradient g, the slope of
//! L along u is g . u, which is of the size of |g|. The five-point formula with step h is off
//! by h^4 times a fifth derivative, and by the rounding of f32 outputs divided by h.

use candle_core::Tensor;
use enginora_rs::nn::raw;

use super::layers::{Case, all};
use super::{normal, values};

const STEP: f32 = 0.02;
const DIRECTIONS: u32 = 4;
/// Relative to |g|. Rounding is about 1e-6 |L| / h, of which this is several times.
const TOLERANCE: f64 = 1e-3;

fn loss(case: &Case, inputs: &[Tensor], dy: &[f32]) -> f64 {
    let y = values(&case.output(inputs));
    let products = y
        .iter()
        .zip(dy)
        .map(|(y, dy)| f64::from(*y) * f64::from(*dy));
    products.sum()
}

/// The derivative at 0 of a function of a step.
fn slope(at: impl Fn(f32) -> f64) -> f64 {
    let h = f64::from(STEP);
    (8.0 * (at(STEP) - at(-STEP)) - (at(2.0 * STEP) - at(-2.0 * STEP))) / (12.0 * h)
}

fn check(case: &Case) {
    let dy = normal(30, case.output(&case.inputs).dims());
    let (_, gradients) = case.run(&dy);
    let dy = values(&dy);
    let n_inputs = case.inputs.len();
    for (i, (name, gradient)) in case.gradient_names().iter().zip(&gradients).enumerate() {
        for direction in 0..DIRECTIONS {
            let u = normal(40 + direction, gradient.dims());
            let found = slope(|step| {
                let along = (&u * f64::from(step)).unwrap();
                if i < n_inputs {
                    let mut inputs = case.inputs.clone();
                    inputs[i] = (&inputs[i] + along).unwrap();
                    return loss(case, &inputs, &dy);
                }
                let parameter = &case.parameters.values()[i - n_inputs];
                let before = values(parameter);
                raw::accumulate(parameter, &values(&along)).unwrap();
                let loss = loss(case, &case.inputs, &dy);
                raw::update(parameter, |values| values.copy_from_slice(&before)).unwrap();
                loss
            });
            let (g, u) = (values(gradient), values(&u));
            let expected: f64 = g
                .iter()
                .zip(&u)
                .map(|(g, u)| f64::from(*g) * f64::from(*u))
                .sum();
            let norm = g.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            assert!(
                (found - expected).abs() <= TOLERANCE * norm,
                "{name}: the slope is {found}, the gradient says {expected}; its norm is {norm}"
            );
        }
    }
}

#[test]
fn backward_passes_agree_with_finite_differences() {
    all().iter().for_each(check);
}
