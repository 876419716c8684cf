//! Packing: what the model says of an example does not depend on the examples beside it.

use candle_core::Device;
use enginora_rs::config::ScratchConfig;
use enginora_rs::data::{PackedBatch, TokenizedExample};
use enginora_rs::model::{Classifier, ModelConfig, Task};
use enginora_rs::nn::{Precision, Use};
use enginora_rs::random::{Purpose, Stream};

use super::parity::MODELS;
use super::{Expected, fixture, largest_difference, load_from, logits};

/// Of the largest logit. The bits differ: the matrix product adds up in another order for one
/// row, for 256 results and fewer, and for other depths of its blocks, which go by the number
/// of rows. With the same number of tokens in the batch they are equal. On a Zen 4, whose f32
/// products are those of the `gemm` crate, it was 1.05e-6.
const TOLERANCE: f64 = 2e-6;

fn check_each_alone(model: &Classifier, whole: &[f32], alone: impl Fn(usize) -> PackedBatch) {
    let n_classes = model.n_classes();
    let largest = whole.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    for (i, together) in whole.chunks_exact(n_classes).enumerate() {
        let together: Vec<f64> = together.iter().map(|x| f64::from(*x)).collect();
        let difference = largest_difference(&logits(model, &alone(i)), &together);
        assert!(
            difference <= TOLERANCE * f64::from(largest),
            "example {i}: {difference} of {largest}"
        );
    }
}

#[test]
fn an_example_alone_has_the_logits_that_it_has_in_a_batch() {
    for name in MODELS {
        let expected = Expected::read(name);
        let (model, _) = load_from(&fixture(name), expected.shape("logits")[1], 0);
        let whole = logits(&model, &expected.batch());
        check_each_alone(&model, &whole, |i| expected.batch_of(&[i]));
    }
}

#[test]
fn the_order_of_the_examples_does_not_matter() {
    let expected = Expected::read("bert-tiny");
    let (model, _) = load_from(&fixture("bert-tiny"), 2, 0);
    let whole = logits(&model, &expected.batch());
    for order in [[5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]] {
        let found = logits(&model, &expected.batch_of(&order));
        for (i, logits) in order.iter().zip(found.chunks_exact(2)) {
            assert_eq!(logits, &whole[2 * i..2 * i + 2], "example {i} in {order:?}");
        }
    }
}

/// A model that is wide enough for products to be shared out among threads.
fn wide_model() -> Classifier {
    let scratch = ScratchConfig {
        hidden_size: 384,
        intermediate_size: 1536,
        num_hidden_layers: 2,
        num_attention_heads: 12,
        ..ScratchConfig::default()
    };
    let config = ModelConfig::scratch(&scratch, 300, 128, Task::default()).unwrap();
    let model = Classifier::zeros(config, 3, Use::Inference, &Device::Cpu).unwrap();
    model
        .parameters()
        .initialize(3, &std::collections::BTreeSet::new())
        .unwrap();
    model
}

/// 24 examples of 1 to 128 random tokens.
fn random_examples() -> Vec<Vec<u32>> {
    let stream = Stream::new(9, Purpose::Order, 0, 0);
    (0..24_u64)
        .map(|i| {
            let length = 1 + u64::from(stream.u32_at(i)) % 128;
            (0..length)
                .map(|j| stream.u32_at(1000 * (i + 1) + j) % 300)
                .collect()
        })
        .collect()
}

fn pack(examples: &[Vec<u32>]) -> PackedBatch {
    let types: Vec<Vec<u32>> = examples.iter().map(|ids| vec![0; ids.len()]).collect();
    let examples: Vec<TokenizedExample<'_>> = examples
        .iter()
        .zip(&types)
        .map(|(input_ids, token_type_ids)| TokenizedExample {
            index: 0,
            input_ids,
            token_type_ids,
            label: 0,
        })
        .collect();
    PackedBatch::new(&examples, &Device::Cpu).unwrap()
}

#[test]
fn an_example_alone_agrees_with_a_batch_in_a_wide_model_as_well() {
    let model = wide_model();
    let examples = random_examples();
    let whole = logits(&model, &pack(&examples));
    check_each_alone(&model, &whole, |i| pack(&examples[i..=i]));
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    for precision in [Precision::F32, Precision::Bf16] {
        let model = wide_model().in_precision(precision).unwrap();
        let batch = pack(&random_examples());
        let [one, two, three] = [1, 2, 3].map(|n_threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(n_threads)
                .build()
                .unwrap();
            pool.install(|| logits(&model, &batch))
        });
        assert_eq!(one, two, "{precision:?}");
        assert_eq!(one, three, "{precision:?}");
    }
}
