//! Training on CUDA kernels: on the CPU, thread by thread, or on a GPU. See `nn/kernels.rs`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use candle_core::Device;
use enginora_rs::config::TrainingConfig;
use enginora_rs::data::{PackedBatch, TokenizedExample};
use enginora_rs::error::Result;
use enginora_rs::model::{Classifier, ModelConfig};
use enginora_rs::nn::kernels::Emulator;
use enginora_rs::nn::{CrossEntropy, DropoutKey, Precision, Saved, Use, raw};
use enginora_rs::random::{Purpose, Stream};
use enginora_rs::train::{Callback, Checkpoints, Origin, States, StepEnd};

use crate::model::fixture;
use crate::scratch::Scratch;
use crate::train::{World, config, weights_of};

/// Where kernels run.
pub enum Backend {
    /// On the CPU, for a block's threads taking turns in some order.
    Emulated(Emulator),
    /// On a GPU.
    Gpu(Device),
}

impl Backend {
    /// Does `work` on tensors that are there.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        match self {
            Self::Emulated(emulator) => emulator.run(work),
            Self::Gpu(device) => crate::nn::on(device, work),
        }
    }

    /// Makes tensors there.
    pub fn making<T>(&self, work: impl FnOnce() -> T) -> T {
        match self {
            Self::Emulated(_) => work(),
            Self::Gpu(device) => crate::nn::on(device, work),
        }
    }

    /// What must give the same bytes.
    pub fn repetitions(&self) -> Vec<Self> {
        match self {
            Self::Emulated(emulator) => (1..Emulator::N_ORDERS)
                .map(|order| Self::Emulated(emulator.in_order(order)))
                .collect(),
            Self::Gpu(device) => vec![Self::Gpu(device.clone())],
        }
    }

    fn device(&self) -> &Device {
        match self {
            Self::Emulated(_) => &Device::Cpu,
            Self::Gpu(device) => device,
        }
    }
}

/// The kernels that `tests/cuda/emulate.sh` compiled.
pub fn emulated() -> Backend {
    let library = std::env::var_os("ENGINORA_EMULATED_KERNELS");
    let library = library.expect("ENGINORA_EMULATED_KERNELS names the library");
    Backend::Emulated(Emulator::open(library.as_ref()).unwrap())
}

/// The first GPU.
#[cfg(feature = "cuda")]
pub fn gpu() -> Backend {
    Backend::Gpu(enginora_rs::nn::kernels::open(0).unwrap())
}

/// The losses that it is told.
#[derive(Default)]
struct Losses(Vec<f64>);

impl Callback for Losses {
    fn on_batch_end(&mut self, step: &StepEnd) -> Result<ControlFlow<()>> {
        assert_eq!(step.step, self.0.len() + 1);
        self.0.push(step.loss);
        Ok(ControlFlow::Continue(()))
    }
}

/// All gradients of a batch, by parameter.
fn gradients(model: &Classifier, batch: &PackedBatch) -> Vec<Vec<f32>> {
    let mut saved = Saved::training(Some(DropoutKey {
        seed: 5,
        epoch: 1,
        step: 2,
    }));
    let grads = model.parameters().gradients().unwrap();
    let logits = model.forward(batch, &mut saved).unwrap();
    let loss = CrossEntropy::default();
    let d_logits = loss.backward(&logits, &batch.labels, 0.125).unwrap();
    model
        .backward(&d_logits, batch, &mut saved, &grads)
        .unwrap();
    let values = grads.values().unwrap().iter();
    values
        .map(|g| raw::read::<f32>(g).unwrap().to_vec())
        .collect()
}

/// Those of the world's first batch.
fn first_gradients(world: &World, model: Classifier, precision: Precision) -> Vec<Vec<f32>> {
    let model = model.in_precision(precision).unwrap();
    let indices: Vec<u32> = (0..8).collect();
    let batch = world.tokens.batch(&indices, 2, model.device()).unwrap();
    gradients(&model, &batch)
}

/// That gradients differ by at most `tolerance` times the largest of their parameter.
fn assert_same_gradients(
    what: &str,
    model: &Classifier,
    [got, expected]: [&[Vec<f32>]; 2],
    tolerance: f32,
) {
    let largest = |values: &[f32]| values.iter().fold(0.0_f32, |max, g| max.max(g.abs()));
    let of_all = expected.iter().map(|g| largest(g)).fold(0.0, f32::max);
    for ((spec, got), expected) in model.parameters().specs().iter().zip(got).zip(expected) {
        // A key's bias has no gradient but what rounding leaves.
        let scale = largest(expected).max(1e-3 * of_all);
        for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
            assert!(
                (got - expected).abs() <= tolerance * scale,
                "{what}, {}: gradient {i} is {got}, expected {expected}; to scale: {scale}",
                spec.name
            );
        }
    }
}

/// The losses of all steps, and the weights at the end.
fn training(world: &World, device: &Device, config: &TrainingConfig) -> (Vec<f64>, Vec<f32>) {
    let model = world.model_on(device);
    let mut losses = Losses::default();
    world
        .train(&model, config, 5, None, &mut [&mut losses])
        .unwrap();
    (losses.0, weights_of(&model))
}

/// What it is told, and when: with which weights, and of how much before each checkpoint.
struct Witness<'a> {
    model: &'a Classifier,
    weights: Vec<Vec<f32>>,
    told_of_at_checkpoints: RefCell<Vec<usize>>,
}

impl Callback for Witness<'_> {
    fn on_batch_end(&mut self, _step: &StepEnd) -> Result<ControlFlow<()>> {
        self.weights.push(weights_of(self.model));
        Ok(ControlFlow::Continue(()))
    }

    fn save(&self, _states: &mut States) -> Result<()> {
        self.told_of_at_checkpoints
            .borrow_mut()
            .push(self.weights.len());
        Ok(())
    }
}

/// Trains with a checkpoint after every third step.
fn check_telling(backend: &Backend, is_late: bool) {
    let world = World::new(0.1);
    let config = TrainingConfig {
        batch_size: 5,
        epochs: 1,
        ..config()
    };
    let folder = Scratch::new();
    backend.run(|| {
        let model = world.model_on(backend.device());
        let mut witness = Witness {
            model: &model,
            weights: vec![],
            told_of_at_checkpoints: RefCell::default(),
        };
        let origin = Origin::default();
        let mut checkpoints = Checkpoints::new(folder.at("checkpoints"), 3, origin, || Ok(()));
        let callbacks: &mut [&mut dyn Callback] = &mut [&mut witness];
        world
            .train_with(&mut checkpoints, &model, &config, 5, None, callbacks)
            .unwrap();
        // 40 examples are 8 steps.
        assert_eq!(*witness.told_of_at_checkpoints.borrow(), [3, 6, 8]);
        // Of a step that is followed by one without a checkpoint between them, the next step's
        // weights are there already.
        let changes: Vec<bool> = witness.weights.windows(2).map(|w| w[0] != w[1]).collect();
        let expected = if is_late {
            [true, false, true, true, false, true, false]
        } else {
            [true; 7]
        };
        assert_eq!(changes, expected);
    });
}

fn check_gradients(backend: &Backend) {
    let world = World::new(0.1);
    for (name, model_on) in [
        ("BERT", World::model_on as fn(&World, &Device) -> Classifier),
        ("DeBERTa", World::deberta_on),
    ] {
        for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::Bf16, 3e-2)] {
            let model = || model_on(&world, &Device::Cpu);
            let expected = first_gradients(&world, model(), precision);
            let got = backend.run(|| {
                let there = model_on(&world, backend.device());
                first_gradients(&world, there, precision)
            });
            let what = format!("{name} in {precision:?}");
            assert_same_gradients(&what, &model(), [&got, &expected], tolerance);
        }
    }
}

/// Tiny models of all architectures, whose layers differ in their number and in their inputs.
fn check_architectures(backend: &Backend) {
    for name in [
        "albert-tiny",
        "bert-tiny",
        "camembert-tiny",
        "deberta-c2p-tiny",
        "deberta-v2-tiny",
        "deberta-v3-tiny",
        "distilbert-tiny",
        "electra-tiny",
        "modernbert-tiny",
        "modernbert-tiny-mean",
        "roberta-tiny",
        "xlm-roberta-tiny",
    ] {
        let mut config = ModelConfig::read(&fixture(name)).unwrap();
        config.hidden_dropout_prob = 0.1;
        config.attention_probs_dropout_prob = 0.2;
        let of_random_texts = |device: &Device| {
            let model = Classifier::zeros(config.clone(), 3, Use::Training, device).unwrap();
            model.parameters().initialize(3, &BTreeSet::new()).unwrap();
            let found = gradients(&model, &random_batch(&config, device));
            (model, found)
        };
        let (model, expected) = of_random_texts(&Device::Cpu);
        let (_, got) = backend.run(|| of_random_texts(backend.device()));
        assert_same_gradients(name, &model, [&got, &expected], 1e-4);
    }
}

/// 7 texts of 1 to 30 tokens.
fn random_batch(config: &ModelConfig, device: &Device) -> PackedBatch {
    let n_words = config.vocab_size as u64;
    let stream = Stream::new(9, Purpose::Order, 0, 0);
    let texts: Vec<Vec<u32>> = (0..7)
        .map(|i| {
            let length = 1 + stream.below(i, 30);
            let ids = (0..length).map(|j| stream.below(100 * (i + 1) + j, n_words) as u32);
            ids.collect()
        })
        .collect();
    let types: Vec<u32> = (0..30)
        .map(|i| u32::from(i > 12 && config.type_vocab_size > 1))
        .collect();
    let examples: Vec<TokenizedExample<'_>> = texts
        .iter()
        .map(|ids| TokenizedExample {
            index: 0,
            input_ids: ids,
            token_type_ids: &types[..ids.len()],
            label: ids[0] % 3,
        })
        .collect();
    PackedBatch::new(&examples, device).unwrap()
}

fn check_training(backend: &Backend) {
    let world = World::new(0.1);
    let config = TrainingConfig {
        gradient_accumulation_steps: 2,
        batch_size: 4,
        ..config()
    };
    let (expected, _) = training(&world, &Device::Cpu, &config);
    let (losses, weights) = backend.run(|| training(&world, backend.device(), &config));
    assert_eq!(losses.len(), expected.len());
    for (step, (got, expected)) in losses.iter().zip(&expected).enumerate() {
        assert!(
            (got - expected).abs() < 1e-3,
            "the loss of step {step} is {got}, expected {expected}"
        );
    }
    for again in backend.repetitions() {
        let (_, second) = again.run(|| training(&world, again.device(), &config));
        let bits = |w: &[f32]| w.iter().map(|w| w.to_bits()).collect::<Vec<_>>();
        assert!(bits(&weights) == bits(&second), "other bytes");
    }
}

#[test]
#[ignore = "needs the kernels compiled for the CPU: tests/cuda/emulate.sh"]
fn emulated_gradients_of_a_whole_model_are_those_of_the_cpu() {
    check_gradients(&emulated());
}

#[test]
#[ignore = "needs the kernels compiled for the CPU: tests/cuda/emulate.sh"]
fn emulated_gradients_of_every_architecture_are_those_of_the_cpu() {
    check_architectures(&emulated());
}

#[test]
fn the_cpu_tells_of_every_step_at_once() {
    // On the CPU itself no kernels are in use.
    let model = World::new(0.0).model_on(&Device::Cpu);
    assert!(!model.is_on_device());
    check_telling(&Backend::Gpu(Device::Cpu), false);
}

#[test]
#[ignore = "needs the kernels compiled for the CPU: tests/cuda/emulate.sh"]
fn emulated_steps_are_told_of_one_late_and_before_every_checkpoint() {
    check_telling(&emulated(), true);
}

#[test]
#[ignore = "needs the kernels compiled for the CPU: tests/cuda/emulate.sh"]
fn emulated_training_has_the_losses_of_the_cpu_and_the_same_bytes_in_every_order_of_threads() {
    check_training(&emulated());
}

#[cfg(feature = "cuda")]
mod gpu_tests {
    use super::*;
    use enginora_rs::error::ErrorKind;
    use enginora_rs::nn::{Initialization, Parameters};

    #[test]
    #[ignore = "tells tests/cuda/run-all.sh whether there is a GPU"]
    fn gpu_can_be_opened() {
        if let Err(error) = enginora_rs::nn::kernels::open(0) {
            panic!("no GPU: {error}");
        }
    }

    #[test]
    #[ignore = "needs a GPU: tests/cuda/run-all.sh"]
    fn gpu_gradients_of_a_whole_model_are_those_of_the_cpu() {
        check_gradients(&gpu());
    }

    #[test]
    #[ignore = "needs a GPU: tests/cuda/run-all.sh"]
    fn gpu_training_has_the_losses_of_the_cpu_and_the_same_bytes_twice() {
        check_training(&gpu());
    }

    #[test]
    #[ignore = "needs a GPU: tests/cuda/run-all.sh"]
    fn gpu_memory_that_is_too_little_is_said() {
        let backend = gpu();
        let huge = |vars: &enginora_rs::nn::Vars<'_>| {
            vars.table("weight", [1 << 20, 1 << 18], Initialization::Zeros)
        };
        let error = Parameters::declare(huge, Use::Training, backend.device()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeviceMemory, "{error}");
    }
}
