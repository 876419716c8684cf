//! The layers: their backward passes, dropout, products.

mod autograd;
mod dropout;
mod finite_differences;
mod kernels;
mod layers;
mod products;
mod relative_positions;

use std::cell::RefCell;

use candle_core::{DType, Device, Tensor};
use enginora_rs::nn::{DropoutKey, Parameters, Precision, Use, Vars, raw};
use enginora_rs::random::{Purpose, Stream};

pub const KEY: DropoutKey = DropoutKey {
    seed: 7,
    epoch: 3,
    step: 11,
};

thread_local! {
    static DEVICE: RefCell<Device> = const { RefCell::new(Device::Cpu) };
}

/// Does `work` with all that is made here on another device than the CPU.
pub fn on<T>(device: &Device, work: impl FnOnce() -> T) -> T {
    let before = DEVICE.replace(device.clone());
    let result = work();
    DEVICE.set(before);
    result
}

fn device() -> Device {
    DEVICE.with_borrow(Clone::clone)
}

/// Normal random values; each `name` has its own.
pub fn normal(name: u32, shape: &[usize]) -> Tensor {
    let stream = Stream::new(1, Purpose::Initialization, name, 0);
    let n_values = shape.iter().product::<usize>() as u64;
    let values = (0..n_values).map(|i| stream.normal_at(i) as f32);
    Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &device()).unwrap()
}

pub fn ids(ids: &[u32]) -> Tensor {
    Tensor::new(ids, &device()).unwrap()
}

/// All values of a tensor as f32, in order.
pub fn values(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_dtype(DType::F32).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// What `build` makes, with every parameter filled with normal random values.
pub fn with_parameters<L>(
    build: impl Fn(&Vars<'_>) -> enginora_rs::error::Result<L>,
) -> (Parameters, L) {
    with_parameters_in(Precision::F32, build)
}

/// As [`with_parameters`], for layers that multiply in `precision`.
pub fn with_parameters_in<L>(
    precision: Precision,
    build: impl Fn(&Vars<'_>) -> enginora_rs::error::Result<L>,
) -> (Parameters, L) {
    let parameters = Parameters::declare(&build, Use::Training, &device()).unwrap();
    let layer = build(&parameters.binder().in_precision(precision).vars()).unwrap();
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
