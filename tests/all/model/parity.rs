//! Against PyTorch and transformers, by the numbers that tests/fixtures/models/make.py wrote.

use enginora_rs::config::TrainingConfig;
use enginora_rs::model::{Classifier, LoadReport};
use enginora_rs::nn::{CrossEntropy, Decay, Gradients, Precision, Saved};
use enginora_rs::train::{AdamW, Schedule};
use serde_json::Value;

use super::{Expected, fixture, largest_difference, load_from, logits, values};

/// The fixtures with logits, gradients and a training.
pub const MODELS: [&str; 13] = [
    "bert-tiny",
    "bert-tiny-3class",
    "roberta-tiny",
    "xlm-roberta-tiny",
    "camembert-tiny",
    "distilbert-tiny",
    "electra-tiny",
    "albert-tiny",
    "modernbert-tiny",
    "modernbert-tiny-mean",
    "deberta-v3-tiny",
    "deberta-v2-tiny",
    "deberta-c2p-tiny",
];

pub fn expected_json(name: &str) -> Value {
    let text = std::fs::read_to_string(fixture(name).join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

pub fn model_of(name: &str, expected: &Expected) -> Classifier {
    let (model, report) = load_from(&fixture(name), expected.shape("logits")[1], 0);
    assert_eq!(report, LoadReport::default(), "{name}");
    model
}

/// The mean loss over the batch; its gradients are added to `gradients`.
pub fn loss_and_gradients(model: &Classifier, expected: &Expected, gradients: &Gradients) -> f64 {
    let batch = expected.batch();
    let mut saved = Saved::training(None);
    let logits = model.forward(&batch, &mut saved).unwrap();
    let loss = CrossEntropy::default();
    let losses = values(&loss.losses(&logits, &batch.labels).unwrap());
    let scale = 1.0 / batch.len() as f32;
    let d_logits = loss.backward(&logits, &batch.labels, scale).unwrap();
    model
        .backward(&d_logits, &batch, &mut saved, gradients)
        .unwrap();
    losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len() as f64
}

#[test]
fn logits_and_loss_are_those_of_pytorch() {
    for name in MODELS {
        let expected = Expected::read(name);
        let model = model_of(name, &expected);
        let difference = largest_difference(
            &logits(&model, &expected.batch()),
            expected.values("logits"),
        );
        assert!(difference <= 1e-5, "{name}: logits differ by {difference}");
        let gradients = model.parameters().gradients().unwrap();
        let loss = loss_and_gradients(&model, &expected, &gradients);
        let expected_loss = expected_json(name)["loss"].as_f64().unwrap();
        assert!((loss - expected_loss).abs() <= 1e-6, "{name}: {loss}");
    }
}

/// In bf16 the logits may be off by 2e-2, and each gradient by 3e-2 of its length.
#[test]
fn bf16_is_near_pytorchs_f32() {
    for name in MODELS {
        let expected = Expected::read(name);
        let model = model_of(name, &expected);
        let model = model.in_precision(Precision::Bf16).unwrap();
        let difference = largest_difference(
            &logits(&model, &expected.batch()),
            expected.values("logits"),
        );
        assert!(difference <= 2e-2, "{name}: logits differ by {difference}");
        assert!(difference > 1e-6, "{name}: nothing was rounded");
        let gradients = model.parameters().gradients().unwrap();
        loss_and_gradients(&model, &expected, &gradients);
        let length = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let exact: Vec<f64> = model
            .parameters()
            .specs()
            .iter()
            .flat_map(|spec| expected.values(&format!("grad.{}", spec.name)).to_vec())
            .collect();
        let got = values(gradients.flat().unwrap());
        let off: Vec<f64> = got
            .iter()
            .zip(&exact)
            .map(|(g, e)| f64::from(*g) - e)
            .collect();
        let ratio = length(&off) / length(&exact);
        assert!(
            ratio <= 3e-2,
            "{name}: the gradient is off by {ratio} of its length"
        );
    }
}

#[test]
fn every_gradient_is_that_of_pytorch() {
    for name in MODELS {
        let expected = Expected::read(name);
        let model = model_of(name, &expected);
        let gradients = model.parameters().gradients().unwrap();
        loss_and_gradients(&model, &expected, &gradients);
        let specs = model.parameters().specs();
        let n_expected = expected.names().filter(|n| n.starts_with("grad.")).count();
        assert_eq!(specs.len(), n_expected, "{name}");
        let zero = &expected_json(name)["zero_gradients"];
        let zero: Vec<&str> = zero
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_str().unwrap())
            .collect();
        // A key's bias that is turned with its position is not cancelled, nor is one that
        // positions ask for, too.
        let has_none = name.contains("modernbert") || name == "deberta-v3-tiny";
        assert_eq!(zero.is_empty(), has_none, "{name}");
        let size = |values: &[f32]| values.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        for (spec, gradient) in specs.iter().zip(gradients.values().unwrap()) {
            let what = format!("{name}: {}", spec.name);
            let gradient_values = values(gradient);
            assert!(gradient_values.iter().all(|g| g.is_finite()), "{what}");
            let exact = expected.values(&format!("grad.{}", spec.name));
            if zero.contains(&spec.name.as_str()) {
                let query = spec
                    .name
                    .replace("pos_key", "query")
                    .replace("key", "query");
                let query = query.replace("k_lin", "q_lin");
                assert_ne!(query, spec.name);
                let slot = specs.iter().position(|s| s.name == query).unwrap();
                let ratio =
                    size(&gradient_values) / size(&values(&gradients.values().unwrap()[slot]));
                assert!(ratio < 1e-6, "{what}: {ratio} of the query bias's");
                continue;
            }
            let largest = exact.iter().fold(0.0_f64, |max, g| max.max(g.abs()));
            let difference = largest_difference(&gradient_values, exact);
            assert!(
                difference <= 1e-4 * largest,
                "{what}: {difference} of {largest}"
            );
            // A row is 0 where PyTorch's is (an id that the batch lacks, or a feature that a ReLU
            // shuts for all of it) and nowhere else: nothing is cut off.
            let width = spec.shape.last().unwrap();
            for (row, exact) in gradient_values
                .chunks_exact(*width)
                .zip(exact.chunks_exact(*width))
            {
                let is_zero = row.iter().all(|g| *g == 0.0);
                let should_be = exact.iter().all(|g| *g == 0.0);
                assert_eq!(is_zero, should_be, "{what}");
            }
        }
    }
}

#[test]
fn twenty_steps_of_adamw_are_those_of_pytorch() {
    for name in MODELS {
        let expected = Expected::read(name);
        let training = &expected_json(name)["training"];
        let number = |key: &str| training[key].as_f64().unwrap();
        let series = |key: &str| -> Vec<f64> {
            let values = training[key].as_array().unwrap().iter();
            values.map(|x| x.as_f64().unwrap()).collect()
        };
        let config = TrainingConfig {
            learning_rate: number("learning_rate"),
            weight_decay: number("weight_decay"),
            max_grad_norm: number("max_grad_norm"),
            adam_epsilon: number("epsilon"),
            adam_beta1: training["betas"][0].as_f64().unwrap(),
            adam_beta2: training["betas"][1].as_f64().unwrap(),
            ..TrainingConfig::default()
        };
        let n_steps = number("steps") as usize;
        let model = model_of(name, &expected);
        let parameters = model.parameters();

        let decayed: Vec<&str> = parameters
            .specs()
            .iter()
            .filter(|spec| spec.decay == Decay::Yes)
            .map(|spec| spec.name.as_str())
            .collect();
        assert_eq!(training["decayed"], serde_json::json!(decayed), "{name}");

        let schedule = Schedule::new(&config, n_steps);
        let shares = vec![1.0; parameters.specs().len()];
        let mut optimizer = AdamW::new(&config, parameters, &shares);
        let gradients = parameters.gradients().unwrap();
        let [losses, norms, rates] = ["losses", "gradient_norms", "learning_rates"].map(series);
        for step in 0..n_steps {
            gradients.clear().unwrap();
            let loss = loss_and_gradients(&model, &expected, &gradients);
            let rate = schedule.learning_rate(step);
            let norm = optimizer.step(parameters, &gradients, rate).unwrap();
            let norm = norm.wait().unwrap();
            let what = format!("{name}, step {step}");
            assert!((loss - losses[step]).abs() <= 1e-4, "{what}: loss {loss}");
            assert!(
                (norm - norms[step]).abs() <= 1e-4 * norms[step],
                "{what}: norm {norm}, expected {}",
                norms[step]
            );
            assert!((rate - rates[step]).abs() <= 1e-15, "{what}: rate {rate}");
        }
        gradients.clear().unwrap();
        let loss = loss_and_gradients(&model, &expected, &gradients);
        assert!(
            (loss - number("final_loss")).abs() <= 1e-4,
            "{name}: {loss}"
        );
        for watched in training["final_parameters"].as_array().unwrap() {
            let watched = watched.as_str().unwrap();
            let value = values(parameters.value(watched).unwrap());
            let exact = expected.values(&format!("final.{watched}"));
            let difference = largest_difference(&value, exact);
            // A twentieth of one step's length.
            assert!(difference <= 5e-5, "{name}: {watched}: {difference}");
        }
    }
}

#[test]
fn weights_of_16_bits_give_the_logits_of_pytorch() {
    for name in ["model_f16", "model_bf16"] {
        let expected = Expected::read(name);
        let model = model_of(name, &expected);
        let batch = Expected::read("bert-tiny").batch();
        let difference = largest_difference(&logits(&model, &batch), expected.values("logits"));
        assert!(difference <= 1e-5, "{name}: {difference}");
    }
}

#[test]
fn an_old_checkpoint_without_prefix_and_head_has_the_same_encoder() {
    let name = "bert-tiny-legacy";
    let (model, report) = load_from(&fixture(name), 2, 5);
    assert_eq!(
        serde_json::json!(report.initialized),
        expected_json(name)["classifier_missing"]
    );
    assert_eq!(report.unused, Vec::<String>::new());

    // With the head of the checkpoint that it was made from, the logits are that one's.
    let expected = Expected::read("bert-tiny");
    let original = model_of("bert-tiny", &expected);
    for name in &report.initialized {
        let of_original = values(original.parameters().value(name).unwrap());
        let drawn = values(model.parameters().value(name).unwrap());
        assert_ne!(drawn, of_original, "{name}");
        model.parameters().set(name, &of_original).unwrap();
    }
    let batch = expected.batch();
    assert_eq!(logits(&model, &batch), logits(&original, &batch));
}

#[test]
fn a_new_head_is_drawn_as_the_config_says_and_depends_on_the_seed() {
    let folder = fixture("bert-tiny-legacy");
    let weights = |seed, name| {
        let (model, _) = load_from(&folder, 2, seed);
        values(model.parameters().value(name).unwrap())
    };
    let pooler = "bert.pooler.dense.weight";
    assert_eq!(weights(5, pooler), weights(5, pooler));
    assert_ne!(weights(5, pooler), weights(6, pooler));
    let drawn = weights(5, pooler);
    let variance = drawn.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / drawn.len() as f64;
    // 1,024 draws: the standard deviation's own is 2.2 % of it.
    assert!((variance.sqrt() / 0.02 - 1.0).abs() < 0.1, "{variance}");
    assert!(weights(5, "classifier.bias").iter().all(|b| *b == 0.0));
}

#[test]
fn a_head_for_another_number_of_classes_is_new() {
    let (model, report) = load_from(&fixture("bert-tiny"), 4, 1);
    assert_eq!(report.initialized, ["classifier.bias", "classifier.weight"]);
    assert_eq!(report.unused, Vec::<String>::new());
    assert_eq!(
        logits(&model, &Expected::read("bert-tiny").batch()).len(),
        24
    );
}
