//! scikit-learn's classification metrics from gold labels, predictions and probabilities.
//!
//! Pure functions in f64. Every metric but the log loss is a function of the confusion
//! counts, which are taken in one pass over the examples ([`compute_all`]). The rules are
//! those of `sklearn/metrics/_classification.py`, version 1.9.1.
//!
//! Shapes: N examples, C classes, K classes that a metric reports.

mod classes;
mod confusion;
mod precision_recall;
mod probabilities;

use serde::Serialize;

use crate::config::metric::{Average, Metric};
use crate::error::{Error, Problem, Result};
use confusion::Confusion;

pub use probabilities::{argmax, softmax_f64};

/// What a classifier said about the examples of a stage.
#[derive(Debug, Clone, Copy)]
pub struct Scores<'a> {
    /// The gold class indices, (N), each below C.
    pub gold: &'a [u32],
    /// The probabilities of the classes, (N, C) row by row, in [0, 1]; only the log loss
    /// reads them.
    pub probabilities: &'a [f64],
    /// The predicted class indices, (N), each below C.
    pub predicted: &'a [u32],
    /// The names of the classes, (C).
    pub labels: &'a [String],
}

/// A metric's value; serializes as a number, a list, or a list of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum MetricValue {
    /// One number.
    Number(f64),
    /// A number per class, (K).
    PerClass(Vec<f64>),
    /// Counts by gold class (rows) and predicted class (columns), (K, K).
    Counts(Vec<Vec<u64>>),
    /// The same as shares in [0, 1], (K, K).
    Matrix(Vec<Vec<f64>>),
}

impl MetricValue {
    /// The value, where it is one number.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            _ => None,
        }
    }
}

/// The value of `metric`, as scikit-learn's function of that name gives it.
///
/// # Errors
/// As for [`compute_all`].
pub fn compute(metric: &Metric, scores: &Scores<'_>) -> Result<MetricValue> {
    value(metric, scores, &count(scores)?)
}

/// The values of `metrics`, in their order; the examples are counted once.
///
/// # Errors
/// A data error if there are no examples. A config error if a metric names a label that does
/// not exist or cannot be computed from these examples, as with `average: binary` and more
/// than two classes in gold and predictions. A training error if a log loss meets
/// probabilities that are not numbers in [0, 1]. An internal error if the shapes disagree.
pub fn compute_all(metrics: &[Metric], scores: &Scores<'_>) -> Result<Vec<MetricValue>> {
    let confusion = count(scores)?;
    metrics
        .iter()
        .map(|metric| value(metric, scores, &confusion))
        .collect()
}

/// Whether `metric` suits a label space, (C): what can be known before any example is scored.
///
/// # Errors
/// A config error if it names a label that does not exist, is the log loss of fewer than two
/// classes, or has `average: binary` with more than two.
pub fn check(metric: &Metric, labels: &[String]) -> Result<()> {
    match metric {
        Metric::F1Score(arguments)
        | Metric::PrecisionScore(arguments)
        | Metric::RecallScore(arguments) => {
            if arguments.average == Average::Binary {
                let all: Vec<usize> = (0..labels.len()).collect();
                precision_recall::refuse_more_than_two(metric.name(), &all, labels)?;
                classes::resolve(&arguments.pos_label, "pos_label", labels)?;
            } else if let Some(wanted) = &arguments.labels {
                classes::resolve_all(wanted, labels)?;
            }
            Ok(())
        }
        Metric::ConfusionMatrix {
            labels: Some(wanted),
            ..
        } => classes::resolve_all(wanted, labels).map(|_| ()),
        Metric::LogLoss { .. } => probabilities::refuse_one_class(labels.len()),
        Metric::AccuracyScore { .. }
        | Metric::BalancedAccuracyScore { .. }
        | Metric::MatthewsCorrcoef
        | Metric::ConfusionMatrix { labels: None, .. } => Ok(()),
    }
}

fn count(scores: &Scores<'_>) -> Result<Confusion> {
    if scores.gold.is_empty() {
        return Err(Error::data(
            Problem::new("no metric can be computed: there are no examples")
                .hint("check that the stage's file and selectors leave some"),
        ));
    }
    Confusion::count(scores.gold, scores.predicted, scores.labels.len())
}

fn value(metric: &Metric, scores: &Scores<'_>, confusion: &Confusion) -> Result<MetricValue> {
    let name = metric.name();
    match metric {
        Metric::AccuracyScore { normalize } => Ok(MetricValue::Number(confusion::accuracy(
            confusion, *normalize,
        ))),
        Metric::BalancedAccuracyScore { adjusted } => Ok(MetricValue::Number(
            confusion::balanced_accuracy(confusion, *adjusted),
        )),
        Metric::MatthewsCorrcoef => {
            Ok(MetricValue::Number(confusion::matthews_corrcoef(confusion)))
        }
        Metric::F1Score(arguments) => {
            precision_recall::score(name, precision_recall::f1, arguments, scores, confusion)
        }
        Metric::PrecisionScore(arguments) => precision_recall::score(
            name,
            precision_recall::precision,
            arguments,
            scores,
            confusion,
        ),
        Metric::RecallScore(arguments) => {
            precision_recall::score(name, precision_recall::recall, arguments, scores, confusion)
        }
        Metric::ConfusionMatrix { labels, normalize } => {
            let classes = classes::reported(labels.as_deref(), scores.labels, confusion)?;
            confusion::matrix(confusion, &classes, *normalize)
        }
        Metric::LogLoss { normalize } => {
            probabilities::log_loss(scores, *normalize).map(MetricValue::Number)
        }
    }
}
