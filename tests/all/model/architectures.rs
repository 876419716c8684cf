//! What differs among the models, as transformers 5.23 has it.

use enginora_rs::error::ErrorKind;
use enginora_rs::model::ModelConfig;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use super::checkpoint::{Model, check};
use super::parity::MODELS;
use super::{Expected, fixture, load_from, logits};
use crate::scratch::Scratch;

/// The model of a fixture with some keys of its config set, or taken away by a null.
pub fn with_config(name: &str, changes: &Value) -> Scratch {
    let folder = Scratch::new();
    let mut model = Model::of(name);
    for (key, value) in changes.as_object().unwrap() {
        let config = model.config.as_object_mut().unwrap();
        if value.is_null() {
            config.remove(key);
        } else {
            config.insert(key.clone(), value.clone());
        }
    }
    model.write(folder.path());
    folder
}

#[test]
fn dropout_rates_come_from_the_keys_of_each_architecture() {
    let check = |name: &str, changes: Value, expected: [f64; 3]| {
        let folder = with_config(name, &changes);
        let config = ModelConfig::read(folder.path()).unwrap();
        let rates = [
            config.hidden_dropout_prob,
            config.attention_probs_dropout_prob,
            config.classifier_dropout,
        ];
        assert_eq!(json!(rates), json!(expected), "{name} with {changes}");
    };
    let bert = json!({"hidden_dropout_prob": 0.25, "attention_probs_dropout_prob": 0.5});
    for name in [
        "bert-tiny",
        "roberta-tiny",
        "xlm-roberta-tiny",
        "camembert-tiny",
        "electra-tiny",
    ] {
        check(name, bert.clone(), [0.25, 0.5, 0.25]);
        let mut with_head = bert.clone();
        with_head["classifier_dropout"] = json!(0.0);
        check(name, with_head, [0.25, 0.5, 0.0]);
        let none = json!({
            "hidden_dropout_prob": null, "attention_probs_dropout_prob": null,
        });
        check(name, none, [0.1, 0.1, 0.1]);
    }
    check(
        "distilbert-tiny",
        json!({"dropout": 0.25, "attention_dropout": 0.5, "seq_classif_dropout": 0.75}),
        [0.25, 0.5, 0.75],
    );
    let none = json!({"dropout": null, "attention_dropout": null, "seq_classif_dropout": null});
    check("distilbert-tiny", none, [0.1, 0.1, 0.2]);
    let mut albert = bert.clone();
    albert["classifier_dropout_prob"] = json!(0.75);
    check("albert-tiny", albert, [0.25, 0.5, 0.75]);
    let none = json!({
        "hidden_dropout_prob": null, "attention_probs_dropout_prob": null,
        "classifier_dropout_prob": null,
    });
    check("albert-tiny", none, [0.0, 0.0, 0.1]);
    check(
        "modernbert-tiny",
        json!({"mlp_dropout": 0.25, "attention_dropout": 0.5, "classifier_dropout": 0.75}),
        [0.25, 0.5, 0.75],
    );
    let none = json!({"mlp_dropout": null, "attention_dropout": null, "classifier_dropout": null});
    check("modernbert-tiny", none, [0.0, 0.0, 0.0]);
}

#[test]
fn sizes_that_make_no_model_are_named_by_the_keys_of_the_architecture() {
    for (name, changes, words) in [
        ("distilbert-tiny", json!({"dim": null}), "`dim` is missing"),
        (
            "distilbert-tiny",
            json!({"n_heads": 3}),
            "`dim` 16 is not a multiple of `n_heads` 3",
        ),
        (
            "distilbert-tiny",
            json!({"activation": "silu"}),
            "`activation` is `silu`",
        ),
        (
            "distilbert-tiny",
            json!({"seq_classif_dropout": 1}),
            "`seq_classif_dropout` is 1",
        ),
        (
            "albert-tiny",
            json!({"num_hidden_groups": 4}),
            "`num_hidden_groups` is 4, but `num_hidden_layers` 3",
        ),
        (
            "albert-tiny",
            json!({"num_hidden_layers": 1_000_000}),
            "is more than 1000",
        ),
        (
            "electra-tiny",
            json!({"embedding_size": 16}),
            "embeddings.word_embeddings.weight",
        ),
    ] {
        check(&with_config(name, &changes), ErrorKind::Data, &[words]);
    }
}

/// What checkpoints hold that were made by pretraining: the encoder, and other heads.
const PRETRAINED: [(&str, &str, &[&str]); 8] = [
    (
        "bert-tiny",
        "bert",
        &[
            "cls.predictions.bias",
            "cls.predictions.transform.dense.weight",
            "cls.seq_relationship.weight",
        ],
    ),
    (
        "roberta-tiny",
        "roberta",
        &["lm_head.bias", "lm_head.dense.weight"],
    ),
    (
        "xlm-roberta-tiny",
        "roberta",
        &["lm_head.layer_norm.weight"],
    ),
    (
        "camembert-tiny",
        "roberta",
        &["lm_head.bias", "roberta.pooler.dense.weight"],
    ),
    (
        "distilbert-tiny",
        "distilbert",
        &[
            "vocab_layer_norm.bias",
            "vocab_projector.bias",
            "vocab_transform.weight",
        ],
    ),
    (
        "electra-tiny",
        "electra",
        &[
            "discriminator_predictions.dense.weight",
            "discriminator_predictions.dense_prediction.bias",
        ],
    ),
    (
        "albert-tiny",
        "albert",
        &[
            "predictions.dense.weight",
            "sop_classifier.classifier.weight",
        ],
    ),
    ("modernbert-tiny", "model", &["decoder.bias"]),
];

fn is_head(name: &str) -> bool {
    ["classifier.", "pre_classifier.", "head."]
        .iter()
        .any(|part| name.starts_with(part))
}

#[test]
fn a_checkpoint_from_pretraining_gets_a_new_head_and_its_own_heads_are_told() {
    for (name, _, extra) in PRETRAINED {
        let folder = Scratch::new();
        let mut model = Model::of(name);
        let head: Vec<String> = model.tensors.iter().map(|t| t.0.clone()).collect();
        let mut head: Vec<String> = head.into_iter().filter(|name| is_head(name)).collect();
        head.sort();
        model.tensors.retain(|t| !is_head(&t.0));
        for name in extra {
            let bytes = vec![0; 8];
            model
                .tensors
                .push(((*name).to_owned(), Dtype::F32, vec![2], bytes));
        }
        model.write(folder.path());
        let (_, report) = load_from(folder.path(), 2, 0);
        assert_eq!(report.initialized, head, "{name}");
        assert_eq!(report.unused, extra, "{name}");
    }
}

#[test]
fn an_encoder_without_its_prefix_is_the_same_model() {
    for (name, prefix, _) in PRETRAINED {
        let folder = Scratch::new();
        let mut model = Model::of(name);
        for tensor in &mut model.tensors {
            if let Some(rest) = tensor.0.strip_prefix(&format!("{prefix}.")) {
                tensor.0 = rest.to_owned();
            }
        }
        model.write(folder.path());
        let (found, report) = load_from(folder.path(), 2, 0);
        assert_eq!(report, enginora_rs::model::LoadReport::default(), "{name}");
        let (original, _) = load_from(&super::fixture(name), 2, 0);
        let batch = Expected::read(name).batch();
        assert_eq!(logits(&found, &batch), logits(&original, &batch), "{name}");
    }
}

#[test]
fn every_parameter_is_there_once_even_where_blocks_share_it() {
    for name in MODELS {
        let n_classes = Expected::read(name).shape("logits")[1];
        let (model, _) = load_from(&super::fixture(name), n_classes, 0);
        let mut saved: Vec<String> = Model::of(name).tensors.into_iter().map(|t| t.0).collect();
        saved.sort();
        let specs = model.parameters().specs().iter();
        assert_eq!(
            specs.map(|s| s.name.clone()).collect::<Vec<_>>(),
            saved,
            "{name}"
        );
    }
}

#[test]
fn every_architecture_has_its_head_on_top_and_its_embeddings_at_the_bottom() {
    let check = |name: &str, cases: &[(&str, usize)]| {
        let (model, _) = load_from(&fixture(name), 2, 0);
        for (parameter, expected) in cases {
            let is_there = model.parameters().value(parameter).is_some();
            assert!(is_there, "{name} has no {parameter}");
            assert_eq!(model.depth_of(parameter), *expected, "{name}: {parameter}");
        }
    };
    check(
        "distilbert-tiny",
        &[
            ("pre_classifier.weight", 0),
            ("distilbert.transformer.layer.1.ffn.lin1.weight", 1),
            ("distilbert.transformer.layer.0.ffn.lin1.weight", 2),
            ("distilbert.embeddings.word_embeddings.weight", 3),
        ],
    );
    check(
        "electra-tiny",
        &[
            ("classifier.dense.weight", 0),
            ("electra.encoder.layer.1.output.dense.weight", 1),
            ("electra.embeddings_project.weight", 3),
        ],
    );
    // Shared blocks lie together below the head.
    check(
        "albert-tiny",
        &[
            ("albert.pooler.weight", 0),
            (
                "albert.encoder.albert_layer_groups.1.albert_layers.0.ffn.weight",
                1,
            ),
            (
                "albert.encoder.albert_layer_groups.0.albert_layers.1.ffn.weight",
                1,
            ),
            ("albert.encoder.embedding_hidden_mapping_in.weight", 4),
        ],
    );
    check(
        "deberta-v3-tiny",
        &[
            ("pooler.dense.weight", 0),
            ("deberta.encoder.layer.1.output.dense.weight", 1),
            ("deberta.encoder.layer.0.output.dense.weight", 2),
            ("deberta.encoder.rel_embeddings.weight", 3),
        ],
    );
    check(
        "modernbert-tiny",
        &[
            ("head.dense.weight", 0),
            ("model.final_norm.weight", 0),
            ("model.layers.3.mlp.Wi.weight", 1),
            ("model.layers.0.mlp.Wi.weight", 4),
            ("model.embeddings.tok_embeddings.weight", 5),
        ],
    );
}
