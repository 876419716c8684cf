//! The layers: their backward passes, dropout, products.

mod autograd;
mod dropout;
mod finite_differences;
mod layers;
mod products;
mod relative_positions;

use candle_core::{Device, Tensor};
use enginora_rs::nn::{DropoutKey, Parameters, Use, Vars, raw};
use enginora_rs::random::{Purpose, Stream};

pub const KEY: DropoutKey = DropoutKey {
    seed: 7,
    epoch: 3,
    step: 11,
};

/// Normal random values; each `name` has its own.
pub fn normal(name: u32, shape: &[usize]) -> Tensor {
    let stream = Stream::new(1, Purpose::Initialization, name, 0);
    let n_values = shape.iter().product::<usize>() as u64;
    let values = (0..n_values).map(|i| stream.normal_at(i) as f32);
    Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
}

pub fn ids(ids: &[u32]) -> Tensor {
    Tensor::new(ids, &Device::Cpu).unwrap()
}

/// All values of an f32 tensor, in order.
pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// What `build` makes, with every parameter filled with normal random values.
pub fn with_parameters<L>(
    build: impl Fn(&Vars<'_>) -> enginora_rs::error::Result<L>,
) -> (Parameters, L) {
    let parameters = Parameters::declare(&build, Use::Training, &Device::Cpu).unwrap();
    let layer = build(&parameters.binder().vars()).unwrap();
    for (i, view) in parameters.values().iter().enumerate() {
        let drawn = values(&normal(1000 + i as u32, view.dims()));
        raw::update(view, |values| values.copy_from_slice(&drawn)).unwrap();
    }
    (parameters, layer)
}

/// That two lists of numbers differ by at most `tolerance` times the largest one expected.
pub fn assert_close(what: &str, got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f64, |max, x| max.max(x.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let difference = (f64::from(*got) - expected).abs();
        assert!(
            difference <= tolerance * largest,
            "{what}: value {i} is {got}, expected {expected}; the largest is {largest}"
        );
    }
}
