//! DeBERTa: what its config may ask for, and gradients that do not depend on the threads.

use std::fs;

use candle_core::Device;
use enginora_rs::data::{PackedBatch, TokenizedExample};
use enginora_rs::error::ErrorKind;
use enginora_rs::model::{Classifier, Family, ModelConfig};
use enginora_rs::nn::{CrossEntropy, DropoutKey, Saved, Use};
use enginora_rs::random::{Purpose, Stream};
use serde_json::{Value, json};

use super::{fixture, values};
use crate::scratch::Scratch;

/// The config of a fixture with some keys changed.
fn config_with(changes: &[(&str, Value)]) -> (Scratch, enginora_rs::error::Result<ModelConfig>) {
    let text = fs::read_to_string(fixture("deberta-v3-tiny").join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    for (key, value) in changes {
        config[key] = value.clone();
    }
    let folder = Scratch::new();
    folder.write("config.json", config.to_string());
    let config = ModelConfig::read(folder.path());
    (folder, config)
}

#[test]
fn a_config_that_asks_for_what_is_not_there_is_refused() {
    for (key, value, words) in [
        ("conv_kernel_size", json!(3), "asks for a convolution"),
        (
            "embedding_size",
            json!(16),
            "`embedding_size` is 16; supported: 32",
        ),
        ("pooler_hidden_size", json!(64), "supported: 32"),
        ("attention_head_size", json!(64), "supported: 8"),
        (
            "position_buckets",
            json!(1),
            "`position_buckets` is 1; expected 2 to 76",
        ),
        ("position_buckets", json!(78), "expected 2 to 76"),
        ("position_buckets", json!(2.5), "whole number"),
        ("relative_attention", json!("yes"), "expected true or false"),
        (
            "pos_att_type",
            json!(3),
            "`pos_att_type` is not a list of texts",
        ),
        ("pooler_dropout", json!(1), "below 1"),
        ("pooler_hidden_act", json!("silu"), "`silu`"),
        ("type_vocab_size", json!(1_u64 << 40), "`type_vocab_size`"),
    ] {
        let (folder, config) = config_with(&[(key, value.clone())]);
        let error = config.unwrap_err();
        let shown = folder.shown(&error);
        assert_eq!(error.kind(), ErrorKind::Data, "{shown}");
        assert!(shown.contains(words), "{key} {value}: {shown}");
    }
}

#[test]
fn keys_that_are_missing_or_off_have_the_meaning_of_transformers() {
    let deberta = |changes: &[(&str, Value)]| {
        let config = config_with(changes).1.unwrap();
        let Family::DebertaV2(deberta) = config.family else {
            panic!("another family");
        };
        (deberta, config)
    };
    let (own, config) = deberta(&[]);
    let table = own.relative.unwrap();
    assert_eq!(config.type_vocab_size, 0);
    assert_eq!((own.scale_factor(), own.position_biased_input), (3, false));
    assert_eq!(table.positions.max_distance, 40);
    assert_eq!(table.positions.n_rows(), 16);
    // What a microsoft config says beside the rest, with the values that change nothing.
    let same = [
        ("conv_kernel_size", json!(0)),
        ("attention_head_size", json!(8)),
        ("pos_att_type", json!(["p2c", " C2P"])),
        ("norm_rel_ebd", json!("none|layer_norm")),
        ("max_relative_positions", json!(40)),
    ];
    assert_eq!(deberta(&same).0, own);
    let (bare, config) = deberta(&[
        ("relative_attention", Value::Null),
        ("position_biased_input", Value::Null),
        ("pos_att_type", Value::Null),
        ("cls_dropout", json!(0.3)),
        ("type_vocab_size", json!(2)),
    ]);
    assert_eq!((bare.relative, bare.position_biased_input), (None, true));
    assert_eq!(bare.scale_factor(), 1);
    assert_eq!(
        (config.classifier_dropout, config.type_vocab_size),
        (0.3, 2)
    );
    let (each, _) = deberta(&[("position_buckets", json!(-1))]);
    assert_eq!(each.relative.unwrap().positions.n_rows(), 80);
}

#[test]
fn a_model_without_relative_attention_learns_as_well() {
    for changes in [
        vec![("relative_attention", json!(false))],
        vec![("pos_att_type", json!([]))],
        vec![
            ("pos_att_type", json!("p2c")),
            ("share_att_key", json!(false)),
        ],
    ] {
        let config = config_with(&changes).1.unwrap();
        let gradients = gradients(config, 2);
        assert!(gradients.iter().all(|g| g.is_finite()), "{changes:?}");
        assert!(gradients.iter().any(|g| *g != 0.0), "{changes:?}");
    }
}

/// The gradients of a pass in training, with dropout, over 12 texts of 1 to 40 tokens.
fn gradients(config: ModelConfig, n_threads: usize) -> Vec<f32> {
    let model = Classifier::zeros(config, 2, Use::Training, &Device::Cpu).unwrap();
    let none = std::collections::BTreeSet::new();
    model.parameters().initialize(3, &none).unwrap();
    let stream = Stream::new(9, Purpose::Order, 0, 0);
    let texts: Vec<Vec<u32>> = (0..12)
        .map(|i| {
            let length = 1 + u64::from(stream.u32_at(i)) % 40;
            let ids = (0..length).map(|j| stream.u32_at(100 * (i + 1) + j) % 108);
            ids.collect()
        })
        .collect();
    let types = [0; 40];
    let examples: Vec<TokenizedExample<'_>> = texts
        .iter()
        .map(|ids| TokenizedExample {
            index: 0,
            input_ids: ids,
            token_type_ids: &types[..ids.len()],
            label: ids[0] % 2,
        })
        .collect();
    let batch = PackedBatch::new(&examples, &Device::Cpu).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads);
    pool.build().unwrap().install(|| {
        let gradients = model.parameters().gradients().unwrap();
        let mut saved = Saved::training(Some(DropoutKey {
            seed: 1,
            epoch: 2,
            step: 3,
        }));
        let logits = model.forward(&batch, &mut saved).unwrap();
        let loss = CrossEntropy::default();
        let d_logits = loss.backward(&logits, &batch.labels, 0.1).unwrap();
        model
            .backward(&d_logits, &batch, &mut saved, &gradients)
            .unwrap();
        values(gradients.flat().unwrap())
    })
}

#[test]
fn the_number_of_threads_does_not_change_a_bit_of_the_gradients() {
    let gradients = |n_threads| {
        let rates = [
            ("hidden_dropout_prob", json!(0.1)),
            ("attention_probs_dropout_prob", json!(0.2)),
            ("pooler_dropout", json!(0.3)),
        ];
        gradients(config_with(&rates).1.unwrap(), n_threads)
    };
    let one = gradients(1);
    assert!(one.iter().any(|g| *g != 0.0));
    assert!(one == gradients(2) && one == gradients(3));
}
