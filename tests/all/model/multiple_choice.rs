//! Multiple choice against transformers, by the numbers of
//! `tests/fixtures/models/make_multiple_choice.py`: three questions of two options each.

use std::collections::BTreeMap;

use candle_core::Device;
use enginora_rs::model::{LoadReport, ModelConfig, Task, load_for, save};
use enginora_rs::nn::Use;
use serde_json::{Value, json};

use super::parity::{expected_json, loss_and_gradients, model_of};
use super::{Expected, fixture, largest_difference, load_from, logits, values};
use crate::scratch::Scratch;

const MODELS: [&str; 4] = [
    "bert-tiny-choice",
    "roberta-tiny-choice",
    "electra-tiny-choice",
    "modernbert-tiny-choice",
];

#[test]
fn scores_loss_and_every_gradient_are_those_of_pytorch() {
    for name in MODELS {
        let expected = Expected::read(name);
        let model = model_of(name, &expected);
        assert_eq!(model.config().task, Task::MultipleChoice, "{name}");
        let scores = logits(&model, &expected.batch());
        let difference = largest_difference(&scores, expected.values("logits"));
        assert!(difference <= 1e-5, "{name}: scores differ by {difference}");

        let gradients = model.parameters().gradients().unwrap();
        let loss = loss_and_gradients(&model, &expected, &gradients);
        let expected_loss = expected_json(name)["loss"].as_f64().unwrap();
        assert!((loss - expected_loss).abs() <= 1e-6, "{name}: {loss}");
        let zero = expected_json(name)["zero_gradients"].to_string();
        let specs = model.parameters().specs();
        let n_expected = expected.names().filter(|n| n.starts_with("grad.")).count();
        assert_eq!(specs.len(), n_expected, "{name}");
        for (spec, gradient) in specs.iter().zip(gradients.values().unwrap()) {
            let what = format!("{name}: {}", spec.name);
            let gradient = values(gradient);
            let exact = expected.values(&format!("grad.{}", spec.name));
            let largest = exact.iter().fold(0.0_f64, |max, g| max.max(g.abs()));
            let difference = largest_difference(&gradient, exact);
            let is_zero = zero.contains(&format!("\"{}\"", spec.name));
            assert_eq!(largest < 1e-12, is_zero, "{what}");
            // What is 0 in theory is a sum that nearly cancels.
            let allowed = if is_zero { 1e-6 } else { 1e-4 * largest };
            assert!(difference <= allowed, "{what}: {difference} of {largest}");
        }
        assert!(zero.contains("classifier.bias"), "{name}: {zero}");
    }
}

#[test]
fn a_question_has_the_same_scores_alone_as_among_others() {
    let expected = Expected::read("roberta-tiny-choice");
    let model = model_of("roberta-tiny-choice", &expected);
    let together = logits(&model, &expected.batch());
    for question in 0..3 {
        let alone = expected.options_of(&[2 * question, 2 * question + 1]);
        let scores = logits(&model, &alone);
        let exact: Vec<f64> = together[2 * question..][..2]
            .iter()
            .map(|x| f64::from(*x))
            .collect();
        assert!(
            largest_difference(&scores, &exact) <= 1e-6,
            "question {question}"
        );
    }
}

#[test]
fn a_saved_model_is_for_multiple_choice_again() {
    for name in MODELS {
        let expected = Expected::read(name);
        let model = model_of(name, &expected);
        let folder = Scratch::new();
        save(&model, &["1".to_owned(), "2".to_owned()], folder.path()).unwrap();
        let config: Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("config.json")).unwrap())
                .unwrap();
        let original = expected_class(name.trim_end_matches("-choice"));
        assert_eq!(config["architectures"], json!([original]), "{name}");
        let (again, report) = load_from(folder.path(), 2, 5);
        assert_eq!(report, LoadReport::default(), "{name}");
        let batch = expected.batch();
        assert_eq!(logits(&again, &batch), logits(&model, &batch), "{name}");
    }
}

fn published() -> Value {
    let text = std::fs::read_to_string(fixture("multiple_choice.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn expected_class(name: &str) -> String {
    let class = published()["models"][name]["class"].clone();
    class.as_str().unwrap().to_owned()
}

#[test]
fn every_architecture_has_the_parameters_and_the_class_of_transformers() {
    let models = published()["models"].as_object().unwrap().clone();
    assert_eq!(models.len(), 11);
    for (name, published) in models {
        // Encoders that were trained to classify: all they lack is this task's head.
        let (model, report) = load_for(
            Task::MultipleChoice,
            &fixture(&name),
            4,
            0,
            Use::Inference,
            &Device::Cpu,
        )
        .unwrap();
        let specs = model.parameters().specs().iter();
        let found: BTreeMap<&str, Value> = specs
            .map(|spec| (spec.name.as_str(), json!(spec.shape)))
            .collect();
        assert_eq!(json!(found), sorted(&published["parameters"]), "{name}");
        let head = &report.initialized;
        assert!(head.contains(&"classifier.weight".to_owned()), "{name}");
        let config = ModelConfig::read_for(&fixture(&name), Task::MultipleChoice).unwrap();
        let saved: Value = serde_json::from_str(&config.to_json(&[])).unwrap();
        assert_eq!(
            saved["architectures"],
            json!([published["class"]]),
            "{name}"
        );
        // Without being asked for anything else it classifies.
        let task = ModelConfig::read(&fixture(&name)).unwrap().task;
        assert_eq!(task, Task::SequenceClassification, "{name}");
    }
}

fn sorted(parameters: &Value) -> Value {
    let parameters = parameters.as_object().unwrap();
    let sorted: BTreeMap<_, _> = parameters.iter().collect();
    json!(sorted)
}
