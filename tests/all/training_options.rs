//! What a config can ask of training beside the plain loop.

use std::ops::ControlFlow;

use enginora_rs::config::metric::Metric;
use enginora_rs::config::{MetricConfig, TrainingConfig};
use enginora_rs::metrics::MetricValue;
use enginora_rs::train::{Callback, EarlyStopping, EvaluationEnd, MetricSet, StageMetrics};
use serde_json::Value;

use crate::project::{LOOP, Project, tiny_project};

#[test]
fn training_stops_when_the_metric_has_not_become_better_for_long_enough() {
    // metric, patience, threshold, its values, the evaluation (from 1) that stops training.
    let check = |metric: &str, patience, threshold, values: &[f64], expected: Option<usize>| {
        let accuracy = MetricConfig::with_default_args("accuracy_score");
        let accuracy = Metric::parse(&accuracy).unwrap();
        let metrics = MetricSet {
            metrics: vec![("accuracy_score".into(), accuracy)],
        };
        let config = TrainingConfig {
            metric_for_best_model: metric.into(),
            early_stopping_patience: Some(patience),
            early_stopping_threshold: threshold,
            ..TrainingConfig::default()
        };
        let mut watcher = EarlyStopping::new(&config, &metrics).unwrap();
        let stopped = values.iter().enumerate().find(|(epoch, value)| {
            let metrics = StageMetrics {
                loss: **value,
                warnings: vec![],
                metrics: vec![("accuracy_score".into(), MetricValue::Number(**value))],
            };
            let end = EvaluationEnd {
                epoch: *epoch,
                step: 0,
                stage: "validation",
                metrics: &metrics,
            };
            watcher.on_evaluation(&end).unwrap() == ControlFlow::Break(())
        });
        let stopped = stopped.map(|(epoch, _)| epoch + 1);
        assert_eq!(
            stopped, expected,
            "{metric} {patience} {threshold} {values:?}"
        );
    };
    check("loss", 1, 0.0, &[0.5, 0.4, 0.3], None);
    check("loss", 1, 0.0, &[0.5, 0.4, 0.4], Some(3));
    check("loss", 2, 0.0, &[0.5, 0.6, 0.4, 0.5, 0.4], Some(5));
    check("accuracy_score", 1, 0.0, &[0.5, 0.6, 0.7], None);
    check("accuracy_score", 2, 0.0, &[0.5, 0.4, 0.5, 0.6], Some(3));
    check("accuracy_score", 2, 0.15, &[0.5, 0.6, 0.7, 0.9], Some(3));
    // Each step is too small, but the third value beats the best so far by enough.
    check(
        "accuracy_score",
        3,
        0.15,
        &[0.5, 0.4, 0.7, 0.8, 0.9, 1.0],
        Some(6),
    );
}

fn resolved(project: &Project, setting: &str, arguments: &[&str]) -> (bool, String) {
    let arguments = [&LOOP[..], &["--set", setting], arguments].concat();
    let output = project.run(&arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

#[test]
fn what_cannot_be_done_is_refused_with_its_key() {
    let project = tiny_project();
    let check = |setting: &str, expected: &str| {
        let (succeeded, said) = resolved(&project, setting, &[]);
        assert!(!succeeded && said.contains(expected), "{setting}: {said}");
    };
    check(
        "training.freeze=['bert.encoder.*', 'roberta.*']",
        "`training.freeze[1]`: `roberta.*` fits none of the",
    );
    check(
        "training.freeze=['*']",
        "every parameter of the model is frozen",
    );
    check(
        "training.class_weights={'0': 1, maybe: 2}",
        "has `maybe`, which is no label of the training set; its labels are 0, 1",
    );
    check(
        "training.curriculum_learning=true",
        "train.csv has no column `order` for the curriculum",
    );
    check(
        "training={dataset_path: train.csv, curriculum_learning: true, curriculum_order: text}",
        "of the example `train-0` in train.csv is `the film was dull and the scene too`, which is no number",
    );
    check(
        "training={dataset_path: train.csv, curriculum_learning: true, curriculum_order: map.aum}",
        "there is no data map",
    );
    check(
        "training={dataset_path: train.csv, early_stopping_patience: 2}",
        "`training.early_stopping_patience` needs a validation set to watch",
    );
}

/// The tensors of two runs' best models that differ.
fn changed(project: &Project, a: &str, b: &str) -> Vec<String> {
    let read = |run: &str| {
        let path = format!("out/runs/{run}/best_model/model.safetensors");
        std::fs::read(project.path().join(path)).unwrap()
    };
    let (a, b) = (read(a), read(b));
    let a = safetensors::SafeTensors::deserialize(&a).unwrap();
    let b = safetensors::SafeTensors::deserialize(&b).unwrap();
    let mut names: Vec<String> = a
        .names()
        .into_iter()
        .filter(|name| a.tensor(name).unwrap().data() != b.tensor(name).unwrap().data())
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

#[test]
fn frozen_parameters_stay_as_they_were_and_the_others_learn() {
    let project = tiny_project();
    let run = |epochs: &str, freeze: &str| {
        let arguments = [&LOOP[..], &["--set", epochs, "--set", freeze]].concat();
        project.succeed(&arguments);
    };
    let freeze = "training.freeze=['bert.embeddings.*', 'bert.encoder.layer.0.*']";
    run("training.epochs=1", freeze);
    run("training.epochs=2", freeze);
    let learnt = changed(&project, "0001", "0002");
    let expected = [
        "bert.pooler.dense.bias",
        "bert.pooler.dense.weight",
        "classifier.bias",
        "classifier.weight",
    ];
    assert_eq!(learnt, expected);
}

#[test]
fn every_option_changes_the_run_and_is_kept_in_its_config() {
    let project = tiny_project();
    project.succeed(&LOOP);
    let options = [
        "training.label_smoothing_factor=0.2",
        "training.class_weights={'0': 3}",
        "training.layerwise_lr_decay=0.5",
        "training={dataset_path: train.csv, validation_size: 0.25, batch_size: 8, epochs: 3, learning_rate: 1e-2, curriculum_learning: true, curriculum_order: length}",
        "training={dataset_path: train.csv, validation_size: 0.25, batch_size: 8, epochs: 3, learning_rate: 1e-2, curriculum_learning: true, curriculum_order: map.variability, data_cartography_results: map.jsonl, curriculum_descending: true}",
    ];
    for (i, option) in options.into_iter().enumerate() {
        let run = format!("{:04}", i + 2);
        project.succeed(&[&LOOP[..], &["--set", option]].concat());
        assert!(!changed(&project, "0001", &run).is_empty(), "{option}");
        let config: Value =
            serde_yaml::from_str(&project.read(&format!("out/runs/{run}/config.resolved.yaml")))
                .unwrap();
        for key in [
            "label_smoothing_factor",
            "class_weights",
            "curriculum_order",
        ] {
            assert!(config["training"].get(key).is_some(), "{key}");
        }
    }
    // The classes of the training set are of one size, so that balanced weights are 1.
    project.succeed(&[&LOOP[..], &["--set", "training.class_weights=balanced"]].concat());
    assert_eq!(changed(&project, "0001", "0007"), [""; 0]);
}
