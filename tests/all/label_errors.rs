//! Labels that are made wrong, and scores that find wrong labels again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use enginora_rs::config::{LabelNoiseConfig, LabelNoiseKind};
use enginora_rs::data::{Dataset, Example, add_label_noise, stratified_folds};
use enginora_rs::dynamics::{RecordedExample, TrainingDynamics, ValueKind};
use enginora_rs::map::label_errors::{
    ConfidentLearning, CrossValidated, Judged, LabelEvidence, detection,
};
use enginora_rs::random::{Purpose, Stream};
use serde::Deserialize;

fn dataset(labels: &[u32]) -> Dataset {
    let example = |(i, label): (usize, &u32)| Example {
        guid: i.to_string(),
        label: *label,
        ..Example::default()
    };
    Dataset {
        path: PathBuf::from("train.csv"),
        examples: labels.iter().enumerate().map(example).collect(),
        extra: BTreeMap::new(),
        warnings: Vec::new(),
    }
}

fn noise(fraction: f64, kind: LabelNoiseKind, seed: u64) -> LabelNoiseConfig {
    LabelNoiseConfig {
        fraction,
        kind,
        seed,
    }
}

#[test]
fn so_many_labels_become_wrong_and_the_true_ones_stay_known() {
    let of = |counts: &[usize]| -> Vec<u32> {
        let classes = counts.iter().enumerate();
        classes
            .flat_map(|(class, n)| vec![class as u32; *n])
            .collect()
    };
    // By class: of each class's examples floor(fraction n), from which class how many.
    let check = |labels: &[u32], fraction: f64, kind, expected: usize| {
        for seed in 1..4 {
            let mut noisy = dataset(labels);
            let all: Vec<u32> = (0..labels.len() as u32).collect();
            let changed = add_label_noise(&mut noisy, &all, &noise(fraction, kind, seed)).unwrap();
            assert_eq!(changed.len(), expected, "{fraction} {kind:?}");
            assert!(changed.is_sorted());
            for (i, example) in noisy.examples.iter().enumerate() {
                assert_eq!(example.true_label, Some(labels[i]));
                let is_changed = changed.binary_search(&(i as u32)).is_ok();
                assert_eq!(example.label != labels[i], is_changed, "{i}");
                assert!(labels.contains(&example.label), "{i}");
            }
        }
    };
    let (uniform, by_class) = (LabelNoiseKind::Uniform, LabelNoiseKind::ByClass);
    check(&of(&[50, 50]), 0.29, uniform, 29);
    check(&of(&[50, 50]), 0.29, by_class, 14 + 14);
    check(&of(&[10, 20, 70]), 0.15, uniform, 15);
    check(&of(&[10, 20, 70]), 0.15, by_class, 1 + 3 + 10);
    check(&of(&[3, 3]), 0.1, uniform, 0);
    check(&of(&[5]), 0.5, uniform, 0);
    // The class without examples is given to nobody.
    check(&of(&[10, 0, 10]), 0.9, by_class, 18);
    check(&of(&[10, 0, 10]), 0.9, uniform, 18);
}

#[test]
fn only_those_that_are_named_become_wrong_and_the_next_class_is_given() {
    let labels: Vec<u32> = (0..90).map(|i| i % 3).collect();
    let among: Vec<u32> = (30..90).collect();
    let mut noisy = dataset(&labels);
    let by_class = noise(0.5, LabelNoiseKind::ByClass, 1);
    let changed = add_label_noise(&mut noisy, &among, &by_class).unwrap();
    assert_eq!(changed.len(), 30);
    for index in changed {
        assert!(index >= 30);
        let index = index as usize;
        assert_eq!(noisy.examples[index].label, (labels[index] + 1) % 3);
    }
}

#[test]
fn the_seed_alone_decides_which_labels_become_wrong() {
    let labels: Vec<u32> = (0..200).map(|i| i % 4).collect();
    let all: Vec<u32> = (0..200).collect();
    let run = |seed| {
        let mut noisy = dataset(&labels);
        let uniform = noise(0.2, LabelNoiseKind::Uniform, seed);
        add_label_noise(&mut noisy, &all, &uniform).unwrap();
        noisy.labels()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    // Each of the three other classes is given: 40 draws miss one with less than 1e-6.
    let given: Vec<u32> = run(1)
        .iter()
        .zip(&labels)
        .filter(|(new, old)| new != old)
        .map(|(new, old)| (new + 4 - old) % 4)
        .collect();
    assert!(
        [1, 2, 3].iter().all(|shift| given.contains(shift)),
        "{given:?}"
    );
}

#[test]
fn a_column_of_true_labels_wins_over_what_the_label_was() {
    let mut noisy = dataset(&[0, 1, 0, 1]);
    noisy.examples[0].true_label = Some(1);
    let half = noise(0.5, LabelNoiseKind::Uniform, 3);
    add_label_noise(&mut noisy, &[0, 1, 2, 3], &half).unwrap();
    let known: Vec<Option<u32>> = noisy.examples.iter().map(|e| e.true_label).collect();
    assert_eq!(known, [Some(1), Some(1), Some(0), Some(1)]);
}

#[test]
fn folds_are_a_partition_of_equal_parts_of_each_class() {
    let check = |counts: &[usize], n_folds: usize| {
        let classes = counts.iter().enumerate();
        let labels: Vec<u32> = classes
            .flat_map(|(class, n)| vec![class as u32; *n])
            .collect();
        let stream = Stream::new(3, Purpose::Folds, 0, 0);
        let folds = stratified_folds(&labels, n_folds, stream).unwrap();
        assert_eq!(folds.len(), labels.len());
        let even = |sizes: &[usize]| sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1;
        let mut sizes = vec![0; n_folds];
        for fold in &folds {
            sizes[*fold] += 1;
        }
        assert!(even(&sizes), "{sizes:?}");
        for class in 0..counts.len() {
            let mut sizes = vec![0; n_folds];
            for (fold, _) in folds
                .iter()
                .zip(&labels)
                .filter(|(_, l)| **l as usize == class)
            {
                sizes[*fold] += 1;
            }
            assert!(even(&sizes), "class {class}: {sizes:?}");
        }
        let other = Stream::new(4, Purpose::Folds, 0, 0);
        assert_eq!(folds, stratified_folds(&labels, n_folds, stream).unwrap());
        assert_ne!(folds, stratified_folds(&labels, n_folds, other).unwrap());
    };
    check(&[30, 30], 3);
    check(&[31, 17, 2], 5);
    check(&[1, 1, 1, 40], 4);
    let stream = Stream::new(3, Purpose::Folds, 0, 0);
    assert!(stratified_folds(&[0, 1], 3, stream).is_err());
    assert!(stratified_folds(&[0, 1], 1, stream).is_err());
}

/// A case of `tests/fixtures/label_errors/make.py`.
#[derive(Deserialize)]
struct Case {
    gold: Vec<u32>,
    probabilities: Vec<f64>,
    n_classes: usize,
    thresholds: Vec<f64>,
    confident_joint: Vec<Vec<usize>>,
    joint: Vec<Vec<usize>>,
    is_likely_error: Vec<bool>,
    margin: Vec<f64>,
    self_confidence: Vec<f64>,
}

#[track_caller]
fn close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-12, "{got}, expected {expected}");
    }
}

#[test]
fn confident_learning_says_what_cleanlab_says() {
    let text = include_str!("../fixtures/label_errors/cleanlab.json");
    let cases: Vec<Case> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 4);
    for case in &cases {
        let judged = Judged::new(&case.gold, &case.probabilities, case.n_classes);
        let learning = ConfidentLearning::new(&judged);
        close(&learning.thresholds, &case.thresholds);
        assert_eq!(learning.confident_joint, case.confident_joint);
        assert_eq!(learning.joint, case.joint);
        assert_eq!(learning.is_likely_error, case.is_likely_error);
        close(&judged.margin(), &case.margin);
        close(&judged.self_confidence(), &case.self_confidence);
    }
}

#[test]
fn a_joint_by_hand_has_the_numbers_of_its_definition() {
    // Thresholds: (0.9 + 0.8 + 0.1) / 3 = 0.6 and (0.7 + 0.9) / 2 = 0.8.
    let gold = [0, 0, 0, 1, 1];
    let of_class_0 = [0.9, 0.8, 0.1, 0.3, 0.1];
    let probabilities: Vec<f64> = of_class_0.iter().flat_map(|p| [*p, 1.0 - p]).collect();
    let judged = Judged::new(&gold, &probabilities, 2);
    let learning = ConfidentLearning::new(&judged);
    close(&learning.thresholds, &[0.6, 0.8]);
    // The fourth is confidently of neither class.
    assert_eq!(learning.confident_joint, [[2, 1], [0, 1]]);
    assert_eq!(learning.joint, [[2, 1], [0, 2]]);
    assert_eq!(learning.is_likely_error, [false, false, true, false, false]);
    assert_eq!(
        (learning.n_likely_errors(), learning.n_estimated_errors()),
        (1, 1)
    );
    assert_eq!(judged.suggested_labels(), [None, None, Some(1), None, None]);
}

#[test]
fn a_ranking_is_measured_at_each_depth() {
    let suspicion = [0.9, 0.1, 0.8, 0.4, 0.2];
    let is_wrong = [true, false, false, true, false];
    let found = detection(&suspicion, &is_wrong, &[1, 2, 3, 9]);
    // Found at ranks 1 and 3: (1/1 + 2/3) / 2; of 6 pairs 5 are in order.
    close(
        &[found.average_precision, found.roc_auc],
        &[5.0 / 6.0, 5.0 / 6.0],
    );
    let expected = [
        (1, 1.0, 0.5),
        (2, 0.5, 0.5),
        (3, 2.0 / 3.0, 1.0),
        (5, 0.4, 1.0),
    ];
    assert_eq!(found.at, expected);
    assert!(detection(&[0.1], &[true], &[]).roc_auc.is_nan());
}

/// Dynamics of two classes from the logits of class 0 less those of class 1, epoch by epoch.
fn dynamics(gold: &[u32], epochs: &[&[f64]]) -> TrainingDynamics {
    let example = |(i, gold): (usize, &u32)| RecordedExample {
        guid: i.to_string(),
        guid_is_number: true,
        index: i as u32,
        gold: *gold,
        noisy_label: 0,
    };
    TrainingDynamics {
        kind: ValueKind::Logits,
        n_classes: 2,
        examples: gold.iter().enumerate().map(example).collect(),
        epochs: epochs
            .iter()
            .map(|epoch| epoch.iter().flat_map(|x| [*x, 0.0]).collect())
            .collect(),
    }
}

#[test]
fn labels_that_the_model_does_not_follow_come_first() {
    // Example 2 is learnt by heart in the end, example 5 never is.
    let gold = [0, 0, 0, 1, 1, 1];
    let early: &[f64] = &[2.0, 3.0, -3.0, -2.0, -3.0, 3.0];
    let late: &[f64] = &[4.0, 5.0, 1.0, -4.0, -5.0, 3.0];
    let evidence = LabelEvidence::new(&dynamics(&gold, &[early, late]), None);
    assert_eq!(evidence.ranking()[..2], [5, 2]);
    assert_eq!(evidence.suggested[5], Some(0));
    assert!(
        evidence
            .combined()
            .iter()
            .all(|score| (0.0..=1.0).contains(score))
    );
    let names: Vec<&str> = evidence.scores.iter().map(|score| score.name).collect();
    let expected = [
        "confidence",
        "aum",
        "el2n",
        "loss",
        "forgetfulness",
        "last_confidence",
        "normalized_margin",
        "confident_learning",
        "combined",
    ];
    assert_eq!(names, expected);
    for score in &evidence.scores {
        assert_eq!(score.values.len(), 6, "{}", score.name);
        let suspicion = score.suspicion();
        if score.name != "forgetfulness" {
            assert!(suspicion[5] > suspicion[0], "{}", score.name);
        }
    }
    // With folds that are sure of example 2's other class it comes first.
    let row = |p: f64| [p, 1.0 - p];
    let held_out: Vec<f64> = [0.9, 0.9, 0.0, 0.1, 0.1, 0.4]
        .into_iter()
        .flat_map(row)
        .collect();
    let crossed = CrossValidated {
        held_out: held_out.clone(),
        held_out_last: held_out.clone(),
        trained_on: held_out,
    };
    let evidence = LabelEvidence::new(&dynamics(&gold, &[early, late]), Some(&crossed));
    assert_eq!(evidence.ranking()[0], 2);
    assert_eq!(evidence.scores.len(), expected.len() + 2);
    // All but that one.
    assert_eq!(evidence.held_out_accuracy, Some(5.0 / 6.0));
}

#[test]
fn examples_of_a_frequent_class_are_not_suspect_because_the_other_is_rare() {
    // Nine of class 0, one of class 1. The model is less sure of example 0, and against 9.
    let gold = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    let epoch: &[f64] = &[0.8, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, -2.0, -0.5];
    let evidence = LabelEvidence::new(&dynamics(&gold, &[epoch]), None);
    assert_eq!(evidence.ranking()[..2], [9, 0]);
    let suggested: Vec<usize> = (0..10)
        .filter(|i| evidence.suggested[*i].is_some())
        .collect();
    assert_eq!(suggested, [9]);
}
