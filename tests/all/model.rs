//! Whole classifiers: parity with PyTorch, packing, checkpoints.

mod architectures;
mod checkpoint;
mod deberta;
mod modernbert;
mod multiple_choice;
mod packed;
mod parity;
mod sentence;
mod weights;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use enginora_rs::data::{PackedBatch, TokenizedExample};
use enginora_rs::model::{Classifier, LoadReport, load};
use enginora_rs::nn::{Saved, Use};
use safetensors::tensor::{Dtype, SafeTensors};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/models")
        .join(name)
}

pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The tensors of a fixture's `expected.safetensors`: shapes and values.
pub struct Expected(BTreeMap<String, (Vec<usize>, Vec<f64>)>);

impl Expected {
    pub fn read(name: &str) -> Self {
        let bytes = std::fs::read(fixture(name).join("expected.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.tensors().into_iter().map(|(name, view)| {
            let bytes = view.data();
            let values: Vec<f64> = match view.dtype() {
                Dtype::F32 => numbers(bytes, |b| f64::from(f32::from_le_bytes(b))),
                Dtype::F64 => numbers(bytes, f64::from_le_bytes),
                Dtype::I64 => numbers(bytes, |b| i64::from_le_bytes(b) as f64),
                other => panic!("{other:?}"),
            };
            (name, (view.shape().to_vec(), values))
        });
        Self(tensors.collect())
    }

    pub fn shape(&self, name: &str) -> &[usize] {
        &self.0[name].0
    }

    pub fn values(&self, name: &str) -> &[f64] {
        &self.0[name].1
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        self.values(name).iter().map(|x| *x as u32).collect()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The examples at these places of the batch, in this order.
    pub fn batch_of(&self, examples: &[usize]) -> PackedBatch {
        let n_options = self.n_options();
        let option = |i| (0..n_options).map(move |option| i * n_options + option);
        self.options_of(
            &examples
                .iter()
                .copied()
                .flat_map(option)
                .collect::<Vec<_>>(),
        )
    }

    /// The sequences of an example: options where there is a choice, else 1.
    fn n_options(&self) -> usize {
        self.shape("lengths")[0] / self.shape("labels")[0]
    }

    /// The sequences at these places, in this order; all of an example's together.
    pub fn options_of(&self, options: &[usize]) -> PackedBatch {
        let n_options = self.n_options();
        let (ids, types) = (self.ids("input_ids"), self.ids("token_type_ids"));
        let lengths = self.ids("lengths");
        let labels = self.ids("labels");
        let options: Vec<TokenizedExample<'_>> = options
            .iter()
            .map(|&i| {
                let start = lengths[..i].iter().sum::<u32>() as usize;
                let range = start..start + lengths[i] as usize;
                TokenizedExample {
                    index: i as u32,
                    input_ids: &ids[range.clone()],
                    token_type_ids: &types[range],
                    label: labels[i / n_options],
                }
            })
            .collect();
        PackedBatch::of_options(&options, n_options, &Device::Cpu).unwrap()
    }

    pub fn batch(&self) -> PackedBatch {
        self.batch_of(&(0..self.shape("labels")[0]).collect::<Vec<_>>())
    }
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let chunks = bytes.chunks_exact(N);
    chunks
        .map(|chunk| number(chunk.try_into().unwrap()))
        .collect()
}

pub fn load_from(folder: &Path, n_classes: usize, seed: u64) -> (Classifier, LoadReport) {
    load(folder, n_classes, seed, Use::Training, &Device::Cpu).unwrap()
}

/// The logits of an evaluation pass.
pub fn logits(model: &Classifier, batch: &PackedBatch) -> Vec<f32> {
    values(&model.forward(batch, &mut Saved::evaluation()).unwrap())
}

/// The largest difference of two lists of numbers.
pub fn largest_difference(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).abs());
    differences.fold(0.0, f64::max)
}
