//! What only ModernBERT has: two forms of its config, its first weights, its dropout places.

use enginora_rs::error::ErrorKind;
use enginora_rs::model::{Classifier, Family, ModelConfig, save};
use enginora_rs::nn::{CrossEntropy, DropoutKey, Saved, raw};
use serde_json::{Value, json};

use super::architectures::with_config;
use super::checkpoint::check;
use super::{Expected, fixture, load_from, logits, values};
use crate::scratch::Scratch;

const NAME: &str = "modernbert-tiny";

fn logits_with(changes: &Value) -> Vec<f32> {
    let (model, _) = load_from(with_config(NAME, changes).path(), 2, 0);
    logits(&model, &Expected::read(NAME).batch())
}

#[test]
fn the_config_of_transformers_4_is_the_same_model_as_that_of_5() {
    let with_5 = logits_with(&json!({}));
    // As in the published checkpoints.
    let mut changes = json!({
        "layer_types": null, "rope_parameters": null, "global_attn_every_n_layers": 3,
        "global_rope_theta": 160_000.0, "local_rope_theta": 10_000.0, "reference_compile": true,
    });
    assert_eq!(logits_with(&changes), with_5);
    // The defaults.
    for key in [
        "global_attn_every_n_layers",
        "global_rope_theta",
        "local_rope_theta",
    ] {
        changes[key] = Value::Null;
    }
    assert_eq!(logits_with(&changes), with_5);
    // Each of them has an effect.
    for (key, value) in [
        ("global_attn_every_n_layers", json!(2)),
        ("global_rope_theta", json!(1000.0)),
        ("local_rope_theta", json!(100.0)),
        ("local_attention", json!(6)),
    ] {
        let mut changed = changes.clone();
        changed[key] = value;
        assert_ne!(logits_with(&changed), with_5, "{key}");
    }
    // Where both are there, the form of 5 counts, as in transformers 5.
    assert_eq!(logits_with(&json!({"global_rope_theta": 1000.0})), with_5);
    assert_eq!(
        logits_with(&json!({"global_attn_every_n_layers": 2})),
        with_5
    );
}

#[test]
fn what_is_saved_says_in_the_form_of_transformers_5_what_was_said_in_that_of_4() {
    let folder = with_config(
        NAME,
        &json!({
            "layer_types": null, "rope_parameters": null, "global_attn_every_n_layers": 2,
            "global_rope_theta": 5000.0,
        }),
    );
    // In transformers 4 a base of null is that of the global layers.
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["local_rope_theta"] = Value::Null;
    std::fs::write(&path, config.to_string()).unwrap();

    let (model, _) = load_from(folder.path(), 2, 0);
    let Family::ModernBert(own) = &model.config().family else {
        panic!("{:?}", model.config().family);
    };
    let bases = [own.global_theta, own.local_theta];
    assert_eq!(json!(bases), json!([5000.0, 5000.0]));
    let saved = Scratch::new();
    save(&model, &["no".into(), "yes".into()], saved.path()).unwrap();
    let text = std::fs::read_to_string(saved.path().join("config.json")).unwrap();
    let config: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        config["layer_types"],
        json!([
            "full_attention",
            "sliding_attention",
            "full_attention",
            "sliding_attention"
        ])
    );
    let rope = json!({"rope_type": "default", "rope_theta": 5000.0});
    assert_eq!(
        config["rope_parameters"],
        json!({"full_attention": rope, "sliding_attention": rope})
    );
    assert_eq!(
        config["architectures"],
        json!(["ModernBertForSequenceClassification"])
    );
    let (again, _) = load_from(saved.path(), 2, 0);
    let batch = Expected::read(NAME).batch();
    assert_eq!(logits(&again, &batch), logits(&model, &batch));
}

#[test]
fn a_config_of_modernbert_that_makes_no_model_is_refused() {
    let yarn = json!({"full_attention": {"rope_type": "yarn", "factor": 2.0}});
    for (changes, words) in [
        (
            json!({"classifier_pooling": "max"}),
            "`classifier_pooling` is `max`",
        ),
        (
            json!({"classifier_activation": "silu"}),
            "`classifier_activation` is `silu`",
        ),
        (
            json!({"hidden_activation": "silu"}),
            "`hidden_activation` is `silu`",
        ),
        (
            json!({"layer_types": ["full_attention"]}),
            "each of 4 layers",
        ),
        (
            json!({"layer_types": ["full_attention", 1, 2, 3]}),
            "each of 4 layers",
        ),
        (
            json!({"global_attn_every_n_layers": 0}),
            "`global_attn_every_n_layers` is 0",
        ),
        (json!({"rope_parameters": yarn}), "`rope_type` is `yarn`"),
        (
            json!({"rope_scaling": {"type": "linear"}}),
            "`rope_type` is `linear`",
        ),
        (
            json!({"rope_parameters": {"sliding_attention": {"rope_theta": 0}}}),
            "the base of rotary positions is 0",
        ),
        (
            json!({"norm_bias": "no"}),
            "`norm_bias` is `\"no\"`; expected true or false",
        ),
        (
            json!({"norm_bias": true}),
            "model.final_norm.bias` is missing",
        ),
        (
            json!({"mlp_bias": true}),
            "model.layers.3.mlp.Wi.bias` is missing",
        ),
        (
            json!({"attention_bias": true}),
            "model.layers.0.attn.Wqkv.bias` is missing",
        ),
        (json!({"num_attention_heads": 8}), "heads of 3 features"),
        (json!({"vocab_size": 100_000_000}), "far fewer weights"),
        (json!({"embedding_dropout": 1}), "`embedding_dropout` is 1"),
    ] {
        check(&with_config(NAME, &changes), ErrorKind::Data, &[words]);
    }
}

#[test]
fn a_text_may_be_as_long_as_the_positions_that_the_config_names() {
    for (changes, expected) in [
        (json!({}), 8192),
        (json!({"max_position_embeddings": null}), 8192),
        (json!({"max_position_embeddings": 512}), 512),
    ] {
        let config = ModelConfig::read(with_config(NAME, &changes).path()).unwrap();
        assert_eq!(config.max_length(), expected, "{changes}");
    }
}

#[test]
fn a_new_head_is_drawn_as_transformers_draws_it() {
    let (model, report) = load_from(&fixture(NAME), 1000, 3);
    assert_eq!(report.initialized, ["classifier.bias", "classifier.weight"]);
    let drawn = values(model.parameters().value("classifier.weight").unwrap());
    let std = 24_f64.powf(-0.5);
    let largest = drawn.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    assert!(
        f64::from(largest) <= 2.0 * std && f64::from(largest) > 1.9 * std,
        "{largest}"
    );
    // A standard normal distribution cut off at 2 has this variance; of 24,000 draws the mean
    // square is off by 1 % at most.
    let variance = drawn.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / drawn.len() as f64;
    assert!(
        (variance / (0.773_741 * std * std) - 1.0).abs() < 0.03,
        "{variance}"
    );
    let bias = values(model.parameters().value("classifier.bias").unwrap());
    assert!(bias.iter().all(|b| *b == 0.0));
}

/// The sum of the losses with dropout, and its gradient.
fn loss_and_gradient(model: &Classifier) -> (f64, Vec<f32>) {
    let key = DropoutKey {
        seed: 1,
        epoch: 2,
        step: 3,
    };
    let mut saved = Saved::training(Some(key));
    let batch = Expected::read(NAME).batch();
    let logits = model.forward(&batch, &mut saved).unwrap();
    let losses = values(
        &CrossEntropy::default()
            .losses(&logits, &batch.labels)
            .unwrap(),
    );
    let d_logits = CrossEntropy::default()
        .backward(&logits, &batch.labels, 1.0)
        .unwrap();
    let gradients = model.parameters().gradients().unwrap();
    model
        .backward(&d_logits, &batch, &mut saved, &gradients)
        .unwrap();
    let loss = losses.iter().map(|loss| f64::from(*loss)).sum();
    (loss, values(gradients.flat().unwrap()))
}

#[test]
fn with_dropout_at_every_place_the_gradient_is_the_slope_of_the_loss() {
    let rates = [
        "embedding_dropout",
        "attention_dropout",
        "mlp_dropout",
        "classifier_dropout",
    ];
    for place in rates {
        let folder = with_config(NAME, &json!({place: 0.25}));
        let (model, _) = load_from(folder.path(), 2, 0);
        let (loss, gradient) = loss_and_gradient(&model);
        let (undropped, _) = loss_and_gradient(&load_from(&fixture(NAME), 2, 0).0);
        assert!((loss - undropped).abs() > 1e-3, "{place} drops nothing");

        let square: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
        let step = 2e-3 / square.sqrt();
        let parameters = model
            .parameters()
            .state()
            .narrow(0, 0, gradient.len())
            .unwrap();
        let moved = |by: f64| {
            let along: Vec<f32> = gradient
                .iter()
                .map(|g| (by * f64::from(*g)) as f32)
                .collect();
            raw::accumulate(&parameters, &along).unwrap();
            loss_and_gradient(&model).0
        };
        let (after, before) = (moved(step), moved(-2.0 * step));
        let slope = (after - before) / (2.0 * step);
        assert!(
            (slope / square - 1.0).abs() < 5e-3,
            "{place}: {slope}, {square}"
        );
    }
}
