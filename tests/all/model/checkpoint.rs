//! Model folders: a round trip, and folders that are no model.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::Device;
use enginora_rs::data::Tokenizer;
use enginora_rs::error::ErrorKind;
use enginora_rs::model::{LoadReport, ModelConfig, load, save};
use enginora_rs::nn::{Use, raw};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};

use super::parity::MODELS;
use super::{fixture, load_from, values};
use crate::scratch::Scratch;

#[test]
fn a_saved_model_is_read_back_bit_for_bit() {
    for name in MODELS.into_iter().chain(["bert-tiny-legacy"]) {
        let has_three = ["bert-tiny-3class", "deberta-v2-tiny"].contains(&name);
        let n_classes = if has_three { 3 } else { 2 };
        let (model, _) = load_from(&fixture(name), n_classes, 1);
        let labels: Vec<String> = ["no", "yes", "per\"haps"][..n_classes]
            .iter()
            .map(ToString::to_string)
            .collect();
        let folder = Scratch::new();
        save(&model, &labels, folder.path()).unwrap();
        let (again, report) = load_from(folder.path(), n_classes, 2);
        assert_eq!(report, LoadReport::default(), "{name}");
        assert_eq!(again.config().label_names(), Some(labels.clone()));
        let bits = |tensor: &candle_core::Tensor| -> Vec<u32> {
            values(tensor).iter().map(|x| x.to_bits()).collect()
        };
        for (spec, (a, b)) in model.parameters().specs().iter().zip(
            model
                .parameters()
                .values()
                .iter()
                .zip(again.parameters().values()),
        ) {
            assert_eq!(bits(a), bits(b), "{name}: {}", spec.name);
        }
        // Saving what was read gives the same files.
        let second = Scratch::new();
        save(&again, &labels, second.path()).unwrap();
        for file in ["model.safetensors", "config.json"] {
            let read = |folder: &Scratch| fs::read(folder.path().join(file)).unwrap();
            assert_eq!(read(&folder), read(&second), "{name}: {file}");
        }
    }
}

#[test]
fn a_model_for_inference_holds_the_values_alone() {
    let (model, _) = load(&fixture("bert-tiny"), 2, 0, Use::Inference, &Device::Cpu).unwrap();
    let n = model.parameters().n_elements();
    assert_eq!(model.parameters().state().dims(), [n]);
}

/// The whole of a model folder that a test then spoils.
pub struct Model {
    pub config: Value,
    pub tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Model {
    fn bert_tiny() -> Self {
        Self::of("bert-tiny")
    }

    pub fn of(name: &str) -> Self {
        let config = fs::read(fixture(name).join("config.json")).unwrap();
        let weights = fs::read(fixture(name).join("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&weights).unwrap();
        let tensors = file.tensors().into_iter().map(|(name, view)| {
            let shape = view.shape().to_vec();
            (name, view.dtype(), shape, view.data().to_vec())
        });
        Self {
            config: serde_json::from_slice(&config).unwrap(),
            tensors: tensors.collect(),
        }
    }

    fn tensor(&mut self, name: &str) -> &mut (String, Dtype, Vec<usize>, Vec<u8>) {
        self.tensors.iter_mut().find(|t| t.0 == name).unwrap()
    }

    pub fn write(&self, folder: &Path) {
        fs::write(folder.join("config.json"), self.config.to_string()).unwrap();
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        let none: Option<HashMap<String, String>> = None;
        let bytes = safetensors::serialize(views, none).unwrap();
        fs::write(folder.join("model.safetensors"), bytes).unwrap();
    }
}

/// That a folder is refused with that kind of error and these words in its message.
pub fn check(folder: &Scratch, kind: ErrorKind, words: &[&str]) {
    let error = load(folder.path(), 2, 0, Use::Training, &Device::Cpu).unwrap_err();
    let shown = folder.shown(&error);
    assert_eq!(error.kind(), kind, "{shown}");
    for word in words {
        assert!(shown.contains(word), "`{word}` is missing in: {shown}");
    }
}

fn check_config(change: impl FnOnce(&mut Value), words: &[&str]) {
    let folder = Scratch::new();
    let mut model = Model::bert_tiny();
    change(&mut model.config);
    model.write(folder.path());
    check(&folder, ErrorKind::Data, words);
}

fn check_weights(change: impl FnOnce(&mut Model), words: &[&str]) {
    let folder = Scratch::new();
    let mut model = Model::bert_tiny();
    change(&mut model);
    model.write(folder.path());
    check(&folder, ErrorKind::Data, words);
}

#[test]
fn a_missing_file_is_a_missing_input() {
    for file in ["config.json", "model.safetensors"] {
        let folder = Scratch::new();
        Model::bert_tiny().write(folder.path());
        fs::remove_file(folder.path().join(file)).unwrap();
        check(&folder, ErrorKind::MissingInput, &[file]);
    }
}

#[test]
fn a_config_that_makes_no_model_is_refused() {
    let folder = Scratch::new();
    Model::bert_tiny().write(folder.path());
    for (text, place) in [
        ("{\"a\": 1,\n}", "config.json:2:1: not valid JSON"),
        ("", "not valid"),
        ("[]", "object"),
    ] {
        fs::write(folder.path().join("config.json"), text).unwrap();
        check(&folder, ErrorKind::Data, &[place]);
    }
    let set = |key: &'static str, value: Value| move |config: &mut Value| config[key] = value;
    for (key, value, words) in [
        (
            "model_type",
            json!("gpt2"),
            &[
                "`gpt2`",
                "bert, roberta, xlm-roberta, camembert, distilbert, electra, albert",
            ][..],
        ),
        ("model_type", Value::Null, &["`missing`"]),
        (
            "position_embedding_type",
            json!("relative_key"),
            &["`relative_key`", "absolute"],
        ),
        ("hidden_act", json!("silu"), &["`silu`", "gelu"]),
        (
            "is_decoder",
            json!(true),
            &["`is_decoder` is true", "encoders"],
        ),
        ("hidden_size", json!(0), &["`hidden_size` is 0"]),
        ("hidden_size", json!(-32), &["`hidden_size` is `-32`"]),
        ("hidden_size", json!(3.5), &["whole number"]),
        ("hidden_size", json!(1_u64 << 40), &["`hidden_size`"]),
        ("num_attention_heads", json!(5), &["not a multiple"]),
        ("hidden_dropout_prob", json!(1.0), &["below 1"]),
        ("layer_norm_eps", json!(-1e-5), &["at least 0"]),
        ("max_position_embeddings", json!(2), &["no room"]),
        ("vocab_size", Value::Null, &["`vocab_size` is missing"]),
    ] {
        check_config(set(key, value), words);
    }
}

#[test]
fn a_file_that_is_not_safetensors_is_refused() {
    let folder = Scratch::new();
    Model::bert_tiny().write(folder.path());
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let mut lying_length = whole.clone();
    lying_length[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let header_length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(whole[8..8 + header_length].to_vec()).unwrap();
    // The same length of header, but a tensor that claims other bytes than its own.
    let mut lying_offsets = whole.clone();
    let lie = header.replacen("\"data_offsets\":[0,", "\"data_offsets\":[4,", 1);
    assert_ne!(lie, header);
    lying_offsets[8..8 + header_length].copy_from_slice(lie.as_bytes());
    for bytes in [
        &b""[..],
        b"\x80\x02}q\x00(X\x07\x00\x00\x00",
        &whole[..4],
        &whole[..header_length],
        &whole[..whole.len() - 1],
        &lying_length,
        &lying_offsets,
    ] {
        fs::write(&path, bytes).unwrap();
        check(
            &folder,
            ErrorKind::Data,
            &["model.safetensors: not a safetensors file"],
        );
    }
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let query = "bert.encoder.layer.0.attention.self.query.weight";
    check_weights(
        |model| model.tensors.retain(|t| t.0 != query),
        &[query, "is missing"],
    );
    check_weights(
        |model| model.tensor(query).2 = vec![16, 64],
        &[query, "[16, 64]", "[32, 32]"],
    );
    check_weights(
        |model| model.tensor(query).1 = Dtype::I32,
        &[query, "I32", "F32, F16, BF16, F64"],
    );
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        check_weights(
            |model| model.tensor(query).3[40..44].copy_from_slice(&value.to_le_bytes()),
            &[query, shown],
        );
    }
    // A config for a wider model, and more blocks than there are.
    check_weights(
        |model| model.config["intermediate_size"] = json!(128),
        &[
            "bert.encoder.layer.0.intermediate.dense.weight",
            "[64, 32]",
            "[128, 32]",
        ],
    );
    check_weights(
        |model| model.config["num_hidden_layers"] = json!(3),
        &["bert.encoder.layer.2", "is missing"],
    );
    // A config that asks for more than there is, and more than there is memory.
    check_weights(
        |model| model.config["vocab_size"] = json!(200_000_000),
        &["far fewer weights than config.json asks for"],
    );
    // All that is wrong is told at once.
    check_weights(
        |model| model.tensors.retain(|t| !t.0.contains("LayerNorm")),
        &[
            "layer.0.output.LayerNorm.bias",
            "layer.1.output.LayerNorm.weight",
        ],
    );
}

#[test]
fn tensors_without_use_are_listed() {
    let folder = Scratch::new();
    let mut model = Model::bert_tiny();
    let extra = model.tensor("classifier.bias").clone();
    for name in ["cls.predictions.bias", "bert.embeddings.position_ids"] {
        let mut extra = extra.clone();
        extra.0 = name.to_owned();
        model.tensors.push(extra);
    }
    model.write(folder.path());
    let (_, report) = load_from(folder.path(), 2, 0);
    assert_eq!(report.unused, ["cls.predictions.bias"]);
    assert_eq!(report.initialized, Vec::<String>::new());
}

#[test]
fn weights_of_64_bits_are_rounded() {
    let folder = Scratch::new();
    let mut model = Model::bert_tiny();
    let name = "classifier.bias";
    let tensor = model.tensor(name);
    let wide: Vec<u8> = tensor
        .3
        .chunks_exact(4)
        .flat_map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())).to_le_bytes())
        .collect();
    (tensor.1, tensor.3) = (Dtype::F64, wide);
    model.write(folder.path());
    let (found, _) = load_from(folder.path(), 2, 0);
    let (original, _) = load_from(&fixture("bert-tiny"), 2, 0);
    let value = |model: &enginora_rs::model::Classifier| {
        raw::read::<f32>(model.parameters().value(name).unwrap())
            .unwrap()
            .to_vec()
    };
    assert_eq!(value(&found), value(&original));
}

#[test]
fn a_tokenizer_with_more_ids_than_embeddings_is_refused() {
    let folder = Scratch::new();
    let mut model = Model::bert_tiny();
    model.config["vocab_size"] = json!(107);
    model.write(folder.path());
    let tokenizer = Tokenizer::read(&fixture("bert-tiny")).unwrap();
    let config = ModelConfig::read(folder.path()).unwrap();
    let error = config
        .check_tokenizer(&tokenizer, folder.path())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    let shown = folder.shown(&error);
    assert!(
        shown.contains("ids up to 107, but `vocab_size` makes 107"),
        "{shown}"
    );
    // Rows without a token are common: vocabularies are padded to round numbers.
    for vocab_size in [108, 128] {
        model.config["vocab_size"] = json!(vocab_size);
        model.write(folder.path());
        let config = ModelConfig::read(folder.path()).unwrap();
        config.check_tokenizer(&tokenizer, folder.path()).unwrap();
    }
}
