//! Bootstrap confidence intervals against scipy's, the binomial distribution, and themselves.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use enginora_rs::config::metric::Metric;
use enginora_rs::metrics::{Interval, Resampling, Scores, argmax, bootstrap, softmax_f64};
use enginora_rs::random::{Purpose, Stream};
use serde::Deserialize;

/// What `tests/fixtures/metrics/bootstrap.py` writes, in its words.
#[derive(Deserialize)]
struct Fixture {
    scipy: Sample,
    proportions: Vec<Proportion>,
}

#[derive(Deserialize)]
struct Sample {
    gold: Vec<u32>,
    logits: Vec<Vec<f32>>,
    confidence_level: f64,
    intervals: BTreeMap<String, (f64, f64)>,
}

#[derive(Deserialize)]
struct Proportion {
    hits: usize,
    n: usize,
    low: f64,
    high: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/metrics/bootstrap.json")).unwrap()
}

const RESAMPLING: Resampling = Resampling {
    n_resamples: 9999,
    confidence_level: 0.95,
    seed: 1,
    stage: 0,
};

fn metric(yaml: &str) -> Metric {
    Metric::parse(&serde_yaml::from_str(yaml).unwrap()).unwrap()
}

/// The intervals of the loss and the metrics of examples with these gold classes and logits
/// (N, C) of classes without names.
fn intervals(
    metrics: &[&str],
    gold: &[u32],
    logits: &[Vec<f32>],
    resampling: &Resampling,
) -> Vec<Interval> {
    let metrics: Vec<Metric> = metrics.iter().map(|yaml| metric(yaml)).collect();
    let labels: Vec<String> = (0..logits[0].len()).map(|c| c.to_string()).collect();
    let predicted: Vec<u32> = logits.iter().map(|row| argmax(row) as u32).collect();
    let probabilities: Vec<f64> = logits.iter().flat_map(|row| softmax_f64(row)).collect();
    let scores = Scores {
        gold,
        probabilities: &probabilities,
        logits: &logits.concat(),
        predicted: &predicted,
        labels: &labels,
    };
    bootstrap(&metrics.iter().collect::<Vec<_>>(), &scores, resampling).unwrap()
}

/// Two classes of which the second is gold; the model is right for so many.
fn right(hits: usize, n: usize) -> (Vec<u32>, Vec<Vec<f32>>) {
    let logits = (0..n).map(|i| {
        if i < hits {
            vec![0.0, 1.0]
        } else {
            vec![1.0, 0.0]
        }
    });
    (vec![1; n], logits.collect())
}

#[test]
fn intervals_are_scipys_within_the_noise_of_sampling() {
    let sample = fixture().scipy;
    let resampling = Resampling {
        confidence_level: sample.confidence_level,
        ..RESAMPLING
    };
    let metrics = [
        ("accuracy_score", "{name: accuracy_score}"),
        ("f1_score", "{name: f1_score, args: {average: macro}}"),
        ("roc_auc_score", "{name: roc_auc_score}"),
    ];
    let found = intervals(
        &metrics.map(|m| m.1),
        &sample.gold,
        &sample.logits,
        &resampling,
    );
    let names = std::iter::once("loss").chain(metrics.map(|m| m.0));
    for (name, interval) in names.zip(found) {
        let (low, high) = sample.intervals[name];
        // Five standard deviations of an end from 9,999 resamples, or one example.
        let tolerance = (0.06 * (high - low)).max(1.0 / 60.0 + 1e-9);
        assert!(
            (interval.low - low).abs() <= tolerance,
            "{name}: {interval:?}, {low}"
        );
        assert!(
            (interval.high - high).abs() <= tolerance,
            "{name}: {interval:?}, {high}"
        );
        assert_eq!(interval.n_undefined, 0, "{name}");
    }
}

#[test]
fn the_interval_of_an_accuracy_is_the_binomial_distributions() {
    for Proportion { hits, n, low, high } in fixture().proportions {
        let (gold, logits) = right(hits, n);
        let n_resamples = if n > 1000 { 2000 } else { 9999 };
        let resampling = Resampling {
            n_resamples,
            ..RESAMPLING
        };
        let found = intervals(&["{name: accuracy_score}"], &gold, &logits, &resampling)[1];
        let deviation = (hits as f64 / n as f64 * (1.0 - hits as f64 / n as f64) / n as f64).sqrt();
        let tolerance = (0.2 * deviation).max(1.0 / n as f64 + 1e-9);
        assert!(
            (found.low - low).abs() <= tolerance,
            "{hits} of {n}: {found:?}, {low}"
        );
        assert!(
            (found.high - high).abs() <= tolerance,
            "{hits} of {n}: {found:?}, {high}"
        );
    }
}

#[test]
fn nineteen_in_twenty_intervals_hold_the_true_value() {
    let stream = Stream::new(5, Purpose::Order, 0, 0);
    let (n, n_samples, true_accuracy) = (100, 300, 0.7);
    let mut covered = 0;
    for sample in 0..n_samples {
        let draws = (0..n).map(|i| stream.below(sample * n + i, 1000));
        let hits = draws.filter(|&draw| draw < 700).count();
        let (gold, logits) = right(hits, n as usize);
        let resampling = Resampling {
            n_resamples: 200,
            seed: sample,
            ..RESAMPLING
        };
        let found = intervals(&["{name: accuracy_score}"], &gold, &logits, &resampling)[1];
        covered += usize::from(found.low <= true_accuracy && true_accuracy <= found.high);
    }
    let share = covered as f64 / n_samples as f64;
    assert!((0.90..=0.98).contains(&share), "{share}");
}

#[test]
fn intervals_depend_on_seed_and_stage_and_on_nothing_else() {
    let sample = fixture().scipy;
    let resampling = Resampling {
        n_resamples: 100,
        ..RESAMPLING
    };
    let found = |n_threads: usize, resampling: &Resampling| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .build()
            .unwrap();
        let metrics = ["{name: log_loss}"];
        pool.install(|| intervals(&metrics, &sample.gold, &sample.logits, resampling))
    };
    let one = found(1, &resampling);
    assert_eq!(one, found(4, &resampling));
    assert_ne!(
        one,
        found(
            1,
            &Resampling {
                seed: 2,
                ..resampling
            }
        )
    );
    assert_ne!(
        one,
        found(
            1,
            &Resampling {
                stage: 1,
                ..resampling
            }
        )
    );
    // The log loss is the loss.
    assert!((one[0].low - one[1].low).abs() < 1e-12, "{one:?}");
}

#[test]
fn resamples_in_which_a_metric_is_not_defined_are_left_out_and_counted() {
    let logits = vec![vec![0.0, 1.0], vec![0.5, 0.0], vec![0.0, 2.0]];
    let metrics = [
        "{name: roc_auc_score}",
        "{name: f1_score, args: {average: null}}",
    ];
    let found = intervals(&metrics, &[1, 0, 1], &logits, &RESAMPLING);
    // (2/3)^3 + (1/3)^3 of the resamples have one class.
    let share = found[1].n_undefined as f64 / RESAMPLING.n_resamples as f64;
    assert!((share - 1.0 / 3.0).abs() < 0.03, "{share}");
    assert_eq!((found[1].low, found[1].high), (1.0, 1.0));
    assert_eq!(
        found[2].n_undefined, RESAMPLING.n_resamples,
        "a list is no number"
    );
    assert!(found[2].low.is_nan() && found[2].high.is_nan());
    // Of three classes one is missing altogether, which scikit-learn refuses.
    let logits = vec![vec![0.0, 1.0, 0.0]; 3];
    let found = intervals(
        &["{name: average_precision_score}"],
        &[0, 1, 1],
        &logits,
        &RESAMPLING,
    );
    assert_eq!(found[1].n_undefined, RESAMPLING.n_resamples);
}
