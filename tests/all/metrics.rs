//! Metrics against scikit-learn's values, and what a config may say about them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use enginora_rs::config::metric::{Direction, Metric};
use enginora_rs::config::types::MetricConfig;
use enginora_rs::error::ErrorKind;
use enginora_rs::metrics::{
    Counted, MetricValue, Scores, Warnings, argmax, check, compute, softmax_f64,
};
use serde::Deserialize;
use serde_json::Value;

/// What `tests/fixtures/metrics/make.py` writes, in its words.
#[derive(Deserialize)]
struct Fixture {
    spaces: Vec<Space>,
}

#[derive(Deserialize)]
struct Space {
    labels: Vec<String>,
    metrics: Vec<(String, serde_json::Map<String, Value>)>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    gold: Vec<u32>,
    predicted: Vec<u32>,
    probabilities: Vec<Vec<f64>>,
    #[serde(default)]
    logits: Vec<Vec<f32>>,
    expected: Vec<Value>,
    warned: Vec<usize>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/metrics/expected.json")).unwrap()
}

/// A metric as a config has it, from a YAML flow mapping such as `{name: log_loss}`.
fn config(yaml: &str) -> MetricConfig {
    serde_yaml::from_str(yaml).unwrap()
}

fn metric(yaml: &str) -> Metric {
    Metric::parse(&config(yaml)).unwrap()
}

fn names(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|&label| label.to_owned()).collect()
}

/// Whether a value is the expected one to 1e-9; NaN equals NaN.
fn agrees(value: &MetricValue, expected: &Value) -> bool {
    match (value, expected) {
        (MetricValue::Number(value), expected) => close(*value, expected),
        (MetricValue::Count(count), expected) => close(*count as f64, expected),
        (MetricValue::List(values), Value::Array(expected)) => {
            let all = || values.iter().zip(expected).all(|(v, e)| agrees(v, e));
            values.len() == expected.len() && all()
        }
        (MetricValue::Map(entries), Value::Object(expected)) => {
            let same = |((name, value), (key, e)): (&(String, MetricValue), (&String, &Value))| {
                name == key && agrees(value, e)
            };
            entries.len() == expected.len() && entries.iter().zip(expected).all(same)
        }
        _ => false,
    }
}

/// Where scikit-learn says nothing of a value that is not defined: a `beta` of 0 or infinity, and
/// one against one of a single class.
fn scikit_learn_is_silent(name: &str, value: &MetricValue) -> bool {
    name == "fbeta_score" || matches!(value, MetricValue::Number(score) if score.is_nan())
}

fn close(value: f64, expected: &Value) -> bool {
    match expected {
        Value::String(word) if word == "nan" => value.is_nan(),
        Value::String(word) if word == "-inf" => value.is_infinite() && value < 0.0,
        number => {
            let expected = number.as_f64().unwrap();
            (value - expected).abs() <= 1e-9 * expected.abs().max(1.0)
        }
    }
}

#[test]
fn every_metric_equals_scikit_learns_to_1e9_and_warns_where_it_warns() {
    let mut checked = 0;
    // The first of each metric.
    let mut wrong = BTreeMap::new();
    for space in fixture().spaces {
        for case in &space.cases {
            let probabilities = case.probabilities.concat();
            let logits = case.logits.concat();
            let scores = Scores {
                gold: &case.gold,
                probabilities: &probabilities,
                logits: &logits,
                predicted: &case.predicted,
                labels: &space.labels,
            };
            let counted = Counted::new(scores).unwrap();
            assert_eq!(space.metrics.len(), case.expected.len());
            for (i, ((name, args), expected)) in
                space.metrics.iter().zip(&case.expected).enumerate()
            {
                let config = MetricConfig {
                    name: name.clone(),
                    args: args.clone(),
                    name_as: None,
                };
                let metric = Metric::parse(&config).unwrap();
                let mut warnings = Warnings::new();
                let value = counted.value(&metric, &mut warnings);
                let right = match &value {
                    Err(error) => expected == "error" && error.kind() == ErrorKind::Config,
                    Ok(value) => {
                        expected != "error"
                            && agrees(value, expected)
                            && (warnings.is_empty() != case.warned.contains(&i)
                                || scikit_learn_is_silent(name, value))
                    }
                };
                if !right {
                    wrong.entry(name.clone()).or_insert_with(|| {
                        format!(
                            "{:?}, {}: {name} {args:?} is {value:?} {warnings:?}, expected {expected}",
                            space.labels, case.name
                        )
                    });
                }
                checked += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 15_000, "only {checked} values in the fixture");
}

#[test]
fn the_order_of_the_examples_does_not_matter() {
    let labels = names(&["a", "b", "c"]);
    let (gold, predicted) = ([0, 1, 2, 2, 1, 0], [0, 2, 2, 1, 1, 0]);
    let backwards = |values: [u32; 6]| values.into_iter().rev().collect::<Vec<u32>>();
    let one = Scores {
        gold: &gold,
        probabilities: &[],
        logits: &[],
        predicted: &predicted,
        labels: &labels,
    };
    let (gold, predicted) = (backwards(gold), backwards(predicted));
    let other = Scores {
        gold: &gold,
        predicted: &predicted,
        ..one
    };
    for yaml in [
        "{name: balanced_accuracy_score}",
        "{name: matthews_corrcoef}",
        "{name: recall_score, args: {average: null}}",
        "{name: confusion_matrix, args: {normalize: all}}",
    ] {
        let metric = metric(yaml);
        assert_eq!(
            compute(&metric, &one).unwrap(),
            compute(&metric, &other).unwrap()
        );
    }
}

#[test]
fn an_integer_names_a_class_index_where_labels_are_words() {
    let labels = names(&["negative", "positive"]);
    let scores = Scores {
        gold: &[0, 1, 1, 0, 1],
        probabilities: &[],
        logits: &[],
        predicted: &[0, 0, 1, 1, 1],
        labels: &labels,
    };
    let same = |a: &str, b: &str| {
        let (a, b) = (metric(a), metric(b));
        assert_eq!(compute(&a, &scores).unwrap(), compute(&b, &scores).unwrap());
    };
    same(
        "{name: f1_score}",
        "{name: f1_score, args: {pos_label: positive}}",
    );
    same(
        "{name: recall_score, args: {pos_label: 0}}",
        "{name: recall_score, args: {pos_label: negative}}",
    );
    same(
        "{name: recall_score, args: {average: null, labels: [1, 0]}}",
        "{name: recall_score, args: {average: null, labels: [positive, negative]}}",
    );
}

#[test]
fn yamls_own_spellings_of_arguments_are_understood() {
    let same = |a: &str, b: &str| assert_eq!(metric(a), metric(b));
    same(
        "{name: f1_score, args: {average: macro, zero_division: .nan}}",
        "{name: f1_score, args: {average: macro, zero_division: nan}}",
    );
    same(
        "{name: f1_score, args: {zero_division: 1.0}}",
        "{name: f1_score, args: {zero_division: 1}}",
    );
    same(
        "{name: f1_score, args: {zero_division: warn}}",
        "{name: f1_score}",
    );
    same(
        "{name: confusion_matrix, args: {normalize: true}}",
        "{name: confusion_matrix, args: {normalize: 'true'}}",
    );
    same(
        "{name: confusion_matrix, args: {normalize: null, labels: null}}",
        "{name: confusion_matrix}",
    );
}

#[test]
fn a_wrong_metric_of_a_config_is_named_with_what_is_allowed() {
    let all = "accuracy_score, average_precision_score, balanced_accuracy_score, brier_score_loss, \
               class_likelihood_ratios, classification_report, cohen_kappa_score, \
               confusion_matrix, d2_log_loss_score, expected_calibration_error, f1_score, \
               fbeta_score, hamming_loss, hinge_loss, jaccard_score, log_loss, \
               matthews_corrcoef, multilabel_confusion_matrix, \
               precision_recall_fscore_support, precision_score, recall_score, roc_auc_score, \
               top_k_accuracy_score, zero_one_loss";
    let averages = "allowed: binary, micro, macro, weighted, null";
    let check = |yaml: &str, argument: Option<&str>, message: &str, hint: Option<&str>| {
        let problem = Metric::parse(&config(yaml)).unwrap_err();
        assert_eq!(problem.argument.as_deref(), argument, "{yaml}");
        assert_eq!(problem.message, message, "{yaml}");
        assert_eq!(problem.hint.as_deref(), hint, "{yaml}");
    };
    check(
        "{name: f1}",
        None,
        &format!("unknown metric `f1`; allowed: {all}"),
        Some("did you mean `f1_score`?"),
    );
    check(
        "{name: acuracy_score}",
        None,
        &format!("unknown metric `acuracy_score`; allowed: {all}"),
        Some("did you mean `accuracy_score`?"),
    );
    check(
        "{name: bleu}",
        None,
        &format!("unknown metric `bleu`; allowed: {all}"),
        None,
    );
    check(
        "{name: loss}",
        None,
        &format!("unknown metric `loss`; allowed: {all}"),
        Some("the loss is always computed and need not be listed"),
    );
    check(
        "{name: f1_score, args: {averge: macro}}",
        Some("averge"),
        "`f1_score` has no argument `averge`; \
         allowed: average, labels, pos_label, zero_division",
        Some("did you mean `average`?"),
    );
    check(
        "{name: accuracy_score, args: {sample_weight: [1]}}",
        Some("sample_weight"),
        "`accuracy_score` has no argument `sample_weight`; allowed: normalize",
        Some("leave it out: all examples of a stage count alike; use a selector to leave some out"),
    );
    check(
        "{name: matthews_corrcoef, args: {average: macro}}",
        Some("average"),
        "`matthews_corrcoef` takes no arguments, got `average`",
        None,
    );
    check(
        "{name: f1_score, args: {average: foo}}",
        Some("average"),
        &format!("`average` is `foo`; {averages}"),
        None,
    );
    check(
        "{name: f1_score, args: {average: 3}}",
        Some("average"),
        &format!("`average` is `3`; {averages}"),
        None,
    );
    check(
        "{name: f1_score, args: {average: samples}}",
        Some("average"),
        &format!("`average` is `samples`; {averages}"),
        Some("`samples` is for examples with several labels, which are not supported"),
    );
    check(
        "{name: recall_score, args: {zero_division: 0.5}}",
        Some("zero_division"),
        "`zero_division` is `0.5`; allowed: 0, 1, warn, nan",
        None,
    );
    check(
        "{name: recall_score, args: {pos_label: true}}",
        Some("pos_label"),
        "`pos_label` names a label `true`; allowed: a label's name, an integer",
        Some("put quotes around a name that YAML reads as something else"),
    );
    check(
        "{name: recall_score, args: {labels: [a, 1.5]}}",
        Some("labels"),
        "`labels` names a label `1.5`; allowed: a label's name, an integer",
        Some("put quotes around a name that YAML reads as something else"),
    );
    check(
        "{name: recall_score, args: {labels: []}}",
        Some("labels"),
        "`labels` is `[]`; allowed: a list of at least one label, null",
        None,
    );
    check(
        "{name: log_loss, args: {normalize: 1}}",
        Some("normalize"),
        "`normalize` is `1`; allowed: true, false",
        None,
    );
    check(
        "{name: confusion_matrix, args: {normalize: rows}}",
        Some("normalize"),
        "`normalize` is `rows`; allowed: true, pred, all, null",
        None,
    );
}

#[test]
fn a_wrong_argument_of_the_other_metrics_is_named_with_what_is_allowed() {
    let check = |yaml: &str, message: &str, hint: Option<&str>| {
        let problem = Metric::parse(&config(yaml)).unwrap_err();
        assert_eq!(problem.message, message, "{yaml}");
        assert_eq!(problem.hint.as_deref(), hint, "{yaml}");
    };
    let beta = "a number of at least 0, inf";
    check(
        "{name: fbeta_score}",
        &format!("`fbeta_score` needs the argument `beta`: {beta}"),
        Some("above 1 recall counts more, below 1 precision does"),
    );
    check(
        "{name: fbeta_score, args: {beta: -1}}",
        &format!("`beta` is `-1`; allowed: {beta}"),
        None,
    );
    check(
        "{name: roc_auc_score, args: {labels: [0, 1]}}",
        "`roc_auc_score` has no argument `labels`; allowed: average, max_fpr, multi_class",
        Some("leave it out: the probabilities are always those of all the model's classes"),
    );
    check(
        "{name: classification_report, args: {digits: 4}}",
        "`classification_report` has no argument `digits`; \
         allowed: labels, output_dict, zero_division",
        Some("leave it out: the report is written in full precision"),
    );
    for (yaml, message) in [
        (
            "{name: classification_report, args: {output_dict: false}}",
            "`output_dict` is `false`; allowed: true",
        ),
        (
            "{name: roc_auc_score, args: {average: binary}}",
            "`average` is `binary`; allowed: micro, macro, weighted, null",
        ),
        (
            "{name: roc_auc_score, args: {multi_class: all}}",
            "`multi_class` is `all`; allowed: ovr, ovo, raise",
        ),
        (
            "{name: roc_auc_score, args: {max_fpr: 0}}",
            "`max_fpr` is `0`; allowed: a number above 0 and at most 1, null",
        ),
        (
            "{name: jaccard_score, args: {zero_division: nan}}",
            "`zero_division` is `nan`; allowed: 0, 1, warn",
        ),
        (
            "{name: cohen_kappa_score, args: {weights: cubic}}",
            "`weights` is `cubic`; allowed: linear, quadratic, null",
        ),
        (
            "{name: cohen_kappa_score, args: {replace_undefined_by: 2}}",
            "`replace_undefined_by` is `2`; allowed: a number from -1 to 1, nan",
        ),
        (
            "{name: class_likelihood_ratios, args: {replace_undefined_by: {LR+: 0, LR-: 0}}}",
            "`replace_undefined_by` is `{\"LR+\":0,\"LR-\":0}`; \
             allowed: 1, nan, or {LR+: from 1, LR-: from 0 to 1}, each also nan",
        ),
        (
            "{name: top_k_accuracy_score, args: {k: 0}}",
            "`k` is `0`; allowed: a whole number of at least 1",
        ),
        (
            "{name: expected_calibration_error, args: {n_bins: 1.5}}",
            "`n_bins` is `1.5`; allowed: a whole number of at least 1",
        ),
        (
            "{name: expected_calibration_error, args: {norm: l2}}",
            "`norm` is `l2`; allowed: l1",
        ),
        (
            "{name: brier_score_loss, args: {scale_by_half: 1}}",
            "`scale_by_half` is `1`; allowed: auto, true, false",
        ),
    ] {
        check(yaml, message, None);
    }
}

#[test]
fn a_metric_that_does_not_suit_the_labels_is_refused_before_and_after_scoring() {
    let labels = names(&["a", "b", "c"]);
    let scores = Scores {
        gold: &[0, 1, 2],
        probabilities: &[1.0 / 3.0; 9],
        logits: &[],
        predicted: &[0, 1, 1],
        labels: &labels,
    };
    let refused = |yaml: &str, message: &str| {
        let metric = metric(yaml);
        let before = check(&metric, &labels).unwrap_err();
        let after = compute(&metric, &scores).unwrap_err();
        for error in [before, after] {
            assert_eq!(error.kind(), ErrorKind::Config, "{yaml}");
            assert_eq!(error.to_string(), message, "{yaml}");
        }
    };
    refused(
        "{name: f1_score}",
        "`f1_score` with `average: binary` is for two classes, but there are 3: `a`, `b`, `c`\n  \
         hint: set the metric's `args` to {average: macro}; also: micro, weighted, null",
    );
    refused(
        "{name: f1_score, args: {average: null, labels: [a, d]}}",
        "`labels` names the label `d`, which does not exist; the labels are `a`, `b`, `c`",
    );
    refused(
        "{name: confusion_matrix, args: {labels: [a, 3]}}",
        "`labels` names the label `3`, which does not exist; the labels are `a`, `b`, `c`",
    );
    refused(
        "{name: confusion_matrix, args: {labels: [a, b, 0]}}",
        "`labels` names `a` twice\n  hint: name each label once",
    );
    refused(
        "{name: roc_auc_score}",
        "`roc_auc_score` of 3 classes needs `multi_class`\n  \
         hint: set the metric's `args` to {multi_class: ovr}; also: ovo",
    );
    refused(
        "{name: roc_auc_score, args: {multi_class: ovr, max_fpr: 0.5}}",
        "`max_fpr` is for two classes, but there are 3\n  hint: leave it out",
    );
    refused(
        "{name: roc_auc_score, args: {multi_class: ovo, average: micro}}",
        "`roc_auc_score` with `multi_class: ovo` has no `average: micro` or `null`\n  \
         hint: set `average` to macro or weighted, or `multi_class` to ovr",
    );
    refused(
        "{name: average_precision_score, args: {pos_label: a}}",
        "`average_precision_score` has `pos_label` for two classes, but there are 3\n  \
         hint: leave `pos_label` out",
    );
    refused(
        "{name: class_likelihood_ratios}",
        "`class_likelihood_ratios` is for two classes, but there are 3: `a`, `b`, `c`",
    );
    for yaml in [
        "{name: f1_score, args: {average: macro, labels: [c, a]}}",
        "{name: log_loss}",
        "{name: confusion_matrix}",
        "{name: accuracy_score}",
    ] {
        check(&metric(yaml), &labels).unwrap();
    }
}

#[test]
fn what_cannot_be_computed_is_an_error_of_the_right_kind() {
    let two = names(&["a", "b"]);
    let one = names(&["a"]);
    let scores = Scores {
        gold: &[0, 1],
        probabilities: &[0.5, 0.5, 0.5, 0.5],
        logits: &[],
        predicted: &[0, 1],
        labels: &two,
    };
    let check = |metric: Metric, scores: Scores<'_>, kind: ErrorKind, part: &str| {
        let error = compute(&metric, &scores).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    let accuracy = || metric("{name: accuracy_score}");
    let log_loss = || metric("{name: log_loss}");
    let (gold, predicted): (&[u32], &[u32]) = (&[], &[]);
    let empty = Scores {
        gold,
        predicted,
        probabilities: &[],
        ..scores
    };
    check(accuracy(), empty, ErrorKind::Data, "there are no examples");
    check(log_loss(), empty, ErrorKind::Data, "there are no examples");
    let nan = Scores {
        probabilities: &[0.5, 0.5, f64::NAN, 0.5],
        ..scores
    };
    let part = "the probability of class 0 for example 1 is NaN";
    check(log_loss(), nan, ErrorKind::Training, part);
    let too_few = Scores {
        probabilities: &[0.5, 0.5],
        ..scores
    };
    let part = "2 probabilities for 2 examples of 2 classes";
    check(log_loss(), too_few, ErrorKind::Internal, part);
    let unequal = Scores {
        predicted: &[0],
        ..scores
    };
    let part = "2 gold labels, but 1 predictions";
    check(accuracy(), unequal, ErrorKind::Internal, part);
    let out_of_range = Scores {
        labels: &one,
        ..scores
    };
    check(
        accuracy(),
        out_of_range,
        ErrorKind::Internal,
        "class 1 of 1 classes",
    );
    let single = Scores {
        gold: &[0],
        predicted: &[0],
        probabilities: &[1.0],
        logits: &[],
        labels: &one,
    };
    check(
        log_loss(),
        single,
        ErrorKind::Config,
        "at least two classes",
    );
    let three = names(&["a", "b", "c"]);
    let other_two = Scores {
        gold: &[0, 2],
        predicted: &[2, 2],
        labels: &three,
        ..scores
    };
    let part = "`recall_score` has `pos_label` `b`, but gold and predicted labels are `a`, `c`";
    check(
        metric("{name: recall_score}"),
        other_two,
        ErrorKind::Config,
        part,
    );
}

#[test]
fn every_metric_has_a_name_and_a_direction() {
    let check = |yaml: &str, direction: Option<Direction>| {
        let config = config(yaml);
        let metric = Metric::parse(&config).unwrap();
        assert_eq!(metric.name(), config.name);
        assert_eq!(metric.direction(), direction, "{yaml}");
    };
    let higher = Some(Direction::HigherIsBetter);
    check("{name: accuracy_score}", higher);
    check("{name: balanced_accuracy_score}", higher);
    check("{name: f1_score}", higher);
    check("{name: precision_score, args: {average: micro}}", higher);
    check("{name: recall_score, args: {average: null}}", None);
    check("{name: matthews_corrcoef}", higher);
    check("{name: log_loss}", Some(Direction::LowerIsBetter));
    check("{name: confusion_matrix}", None);
    check("{name: classification_report}", None);
    check(
        "{name: precision_recall_fscore_support, args: {average: macro}}",
        None,
    );
    check("{name: multilabel_confusion_matrix}", None);
    check("{name: class_likelihood_ratios}", None);
    check("{name: roc_auc_score, args: {multi_class: ovr}}", higher);
    check("{name: roc_auc_score, args: {average: null}}", None);
    check("{name: average_precision_score}", higher);
    check("{name: fbeta_score, args: {beta: 0.5}}", higher);
    check(
        "{name: fbeta_score, args: {beta: 0.5, average: null}}",
        None,
    );
    check("{name: jaccard_score}", higher);
    check("{name: cohen_kappa_score}", higher);
    check("{name: d2_log_loss_score}", higher);
    check("{name: top_k_accuracy_score}", higher);
    for lower in [
        "brier_score_loss",
        "expected_calibration_error",
        "hamming_loss",
        "hinge_loss",
        "zero_one_loss",
    ] {
        let yaml = format!("{{name: {lower}}}");
        check(&yaml, Some(Direction::LowerIsBetter));
    }
}

#[test]
fn values_are_written_as_numbers_lists_and_maps() {
    let check = |value: MetricValue, json: &str, number: Option<f64>| {
        assert_eq!(serde_json::to_string(&value).unwrap(), json);
        assert_eq!(value.as_number(), number);
    };
    check(MetricValue::Number(0.5), "0.5", Some(0.5));
    check(
        MetricValue::Number(f64::NEG_INFINITY),
        "null",
        Some(f64::NEG_INFINITY),
    );
    check(MetricValue::Undefined, "null", None);
    let list = MetricValue::List(vec![MetricValue::Number(0.5), MetricValue::Count(1)]);
    check(list.clone(), "[0.5,1]", None);
    check(
        MetricValue::Map(vec![
            ("b".into(), list),
            ("a".into(), MetricValue::Number(f64::NAN)),
        ]),
        r#"{"b":[0.5,1],"a":null}"#,
        None,
    );
}

#[test]
fn ties_go_to_the_lower_class() {
    let check = |row: &[f32], expected: usize| assert_eq!(argmax(row), expected, "{row:?}");
    check(&[0.1, 0.9], 1);
    check(&[0.5, 0.5], 0);
    check(&[0.0, -0.0], 0);
    check(&[1.0, 3.0, 2.0, 3.0], 1);
    check(&[f32::NEG_INFINITY, -1e30], 1);
    check(&[7.0], 0);
    assert_eq!(argmax(&[0.25_f64, 0.75]), 1);
}

#[test]
fn softmax_sums_to_one_and_survives_extreme_logits() {
    let check = |logits: &[f32], expected: &[f64]| {
        let probabilities = softmax_f64(logits);
        let sum: f64 = probabilities.iter().sum();
        assert!((sum - 1.0).abs() < 1e-15, "{logits:?}: {sum}");
        for (value, expected) in probabilities.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-15, "{logits:?}: {value}");
        }
    };
    check(&[0.0, 0.0], &[0.5, 0.5]);
    check(&[900.0, -900.0], &[1.0, 0.0]);
    check(&[-900.0, -900.0, -900.0, -900.0], &[0.25; 4]);
    check(&[900.0, 900.0], &[0.5, 0.5]);
    check(&[f32::MAX, f32::MIN], &[1.0, 0.0]);
    // The logistic function of the difference.
    check(
        &[2.0, 1.0],
        &[1.0 / (1.0 + (-1.0_f64).exp()), 1.0 / (1.0 + 1.0_f64.exp())],
    );
    // Moving all logits by the same amount changes nothing.
    assert_eq!(
        softmax_f64(&[1.0, 2.0, 4.0]),
        softmax_f64(&[-3.0, -2.0, 0.0])
    );
}
