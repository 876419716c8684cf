//! scikit-learn's classification metrics from gold labels, predictions, probabilities and
//! logits, bootstrap confidence intervals for them, and their means over seeds.
//!
//! Pure functions in f64. The metrics of predictions alone are functions of the confusion
//! counts, which are taken in one pass over the examples ([`Counted`]). The rules are those
//! of `sklearn/metrics/_classification.py` and `_ranking.py`, version 1.9.1.
//!
//! Shapes: N examples, C classes, K classes that a metric reports.

mod agreement;
mod bootstrap;
mod classes;
mod confusion;
mod curves;
mod over_seeds;
mod precision_recall;
mod probabilities;
mod value;

use crate::config::metric::{Average, Label, Metric, PrecisionRecallArguments};
use crate::error::{Error, Problem, Result};
use confusion::Confusion;
use precision_recall::SetScore;

pub use bootstrap::{Interval, Resampling, bootstrap};
pub use curves::ranking_quality;
pub use over_seeds::{CONFIDENCE_LEVEL, OverSeeds, Spread, over_seeds, paired_difference};
pub use probabilities::{argmax, softmax_f64};
pub use value::MetricValue;

/// What a classifier said about the examples of a stage.
#[derive(Debug, Clone, Copy)]
pub struct Scores<'a> {
    /// The gold class indices, (N), each below C.
    pub gold: &'a [u32],
    /// The probabilities of the classes, (N, C) row by row, in [0, 1].
    pub probabilities: &'a [f64],
    /// The logits of the classes, (N, C) row by row; only the hinge loss and the loss's
    /// confidence interval read them.
    pub logits: &'a [f32],
    /// The predicted class indices, (N), each below C.
    pub predicted: &'a [u32],
    /// The names of the classes, (C).
    pub labels: &'a [String],
}

/// What the user should know of a value: why a score is not defined, or what it was set to.
pub type Warnings = Vec<&'static str>;

/// The value of `metric`, as scikit-learn's function of that name gives it.
///
/// # Errors
/// As for [`Counted::new`] and [`Counted::value`].
pub fn compute(metric: &Metric, scores: &Scores<'_>) -> Result<MetricValue> {
    Counted::new(*scores)?.value(metric, &mut Warnings::new())
}

/// The examples of a stage and their confusion counts, for any number of metrics.
#[derive(Debug)]
pub struct Counted<'a> {
    scores: Scores<'a>,
    confusion: Confusion,
}

impl<'a> Counted<'a> {
    /// Counts the examples by gold and predicted class.
    ///
    /// # Errors
    /// A data error if there are no examples. An internal error if the shapes disagree.
    pub fn new(scores: Scores<'a>) -> Result<Self> {
        if scores.gold.is_empty() {
            return Err(Error::data(
                Problem::new("no metric can be computed: there are no examples")
                    .hint("check that the stage's file and selectors leave some"),
            ));
        }
        let confusion = Confusion::count(scores.gold, scores.predicted, scores.labels.len())?;
        Ok(Self { scores, confusion })
    }

    /// The value of `metric`, as scikit-learn's function of that name gives it; where that
    /// warns of a score that is not defined, `warnings` says so.
    ///
    /// # Errors
    /// A config error if the metric names a label that does not exist or cannot be computed
    /// from these examples, as with `average: binary` and more than two classes in gold and
    /// predictions. A training error if it meets probabilities that are not numbers in
    /// [0, 1]. An internal error if the shapes disagree.
    pub fn value(&self, metric: &Metric, warnings: &mut Warnings) -> Result<MetricValue> {
        let (scores, confusion) = (&self.scores, &self.confusion);
        let mut set_wise = |score: SetScore, arguments: &PrecisionRecallArguments| {
            precision_recall::score(metric.name(), score, arguments, scores, confusion, warnings)
        };
        let number = match metric {
            Metric::F1Score(arguments) => return set_wise(SetScore::Fbeta(1.0), arguments),
            Metric::FbetaScore { beta, arguments } => {
                return set_wise(SetScore::Fbeta(*beta), arguments);
            }
            Metric::JaccardScore(arguments) => return set_wise(SetScore::Jaccard, arguments),
            Metric::PrecisionScore(arguments) => return set_wise(SetScore::Precision, arguments),
            Metric::RecallScore(arguments) => return set_wise(SetScore::Recall, arguments),
            Metric::PrecisionRecallFscoreSupport { beta, arguments } => {
                return precision_recall::all_scores(*beta, arguments, scores, confusion, warnings);
            }
            Metric::ClassificationReport {
                labels,
                zero_division,
            } => {
                return precision_recall::report(
                    labels.as_deref(),
                    *zero_division,
                    scores.labels,
                    confusion,
                    warnings,
                );
            }
            Metric::ConfusionMatrix { labels, normalize } => {
                let classes = classes::reported(labels.as_deref(), scores.labels, confusion)?;
                return confusion::matrix(confusion, &classes, *normalize, warnings);
            }
            Metric::MultilabelConfusionMatrix { labels } => {
                let classes = classes::reported(labels.as_deref(), scores.labels, confusion)?;
                return Ok(confusion::one_against_others(confusion, &classes));
            }
            Metric::ClassLikelihoodRatios {
                labels,
                replace_undefined_by,
            } => {
                let classes = agreement::two_classes(labels.as_deref(), scores.labels)?;
                let undefined = *replace_undefined_by;
                return Ok(agreement::likelihood_ratios(
                    confusion, classes, undefined, warnings,
                ));
            }
            Metric::RocAucScore {
                average,
                multi_class,
                max_fpr,
            } => {
                let (average, multi_class, max_fpr) = (*average, *multi_class, *max_fpr);
                return curves::roc_auc(average, multi_class, max_fpr, scores, confusion, warnings);
            }
            Metric::AveragePrecisionScore { average, pos_label } => {
                return curves::average_precision(*average, pos_label, scores, confusion, warnings);
            }
            Metric::CohenKappaScore {
                labels,
                weights,
                replace_undefined_by,
            } => {
                let classes = classes::reported(labels.as_deref(), scores.labels, confusion)?;
                let undefined = *replace_undefined_by;
                agreement::cohen_kappa(confusion, &classes, *weights, undefined, warnings)?
            }
            Metric::AccuracyScore { normalize } => confusion::accuracy(confusion, *normalize),
            Metric::BalancedAccuracyScore { adjusted } => {
                confusion::balanced_accuracy(confusion, *adjusted, warnings)
            }
            Metric::HammingLoss => confusion::zero_one_loss(confusion, true),
            Metric::ZeroOneLoss { normalize } => confusion::zero_one_loss(confusion, *normalize),
            Metric::MatthewsCorrcoef => confusion::matthews_corrcoef(confusion),
            Metric::BrierScoreLoss {
                pos_label,
                scale_by_half,
            } => {
                check_pos_label(pos_label.as_ref(), scores.labels)?;
                probabilities::brier_score(scores, *scale_by_half)?
            }
            Metric::D2LogLossScore => probabilities::d2_log_loss(scores, confusion, warnings)?,
            Metric::ExpectedCalibrationError { n_bins } => {
                probabilities::expected_calibration_error(scores, *n_bins)?
            }
            Metric::HingeLoss => probabilities::hinge_loss(scores)?,
            Metric::LogLoss { normalize } => probabilities::log_loss(scores, *normalize)?,
            Metric::TopKAccuracyScore { k, normalize } => {
                probabilities::top_k_accuracy(scores, *k, *normalize, warnings)?
            }
        };
        Ok(MetricValue::Number(number))
    }
}

/// Whether `metric` suits a label space, (C): what can be known before any example is scored.
///
/// # Errors
/// A config error if it names a label that does not exist, scores the probabilities of fewer
/// than two classes, or is for two classes where there are more, as `average: binary` is.
pub fn check(metric: &Metric, labels: &[String]) -> Result<()> {
    match metric {
        Metric::F1Score(arguments)
        | Metric::FbetaScore { arguments, .. }
        | Metric::JaccardScore(arguments)
        | Metric::PrecisionRecallFscoreSupport { arguments, .. }
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
        Metric::ClassificationReport { labels: wanted, .. }
        | Metric::CohenKappaScore { labels: wanted, .. }
        | Metric::ConfusionMatrix { labels: wanted, .. }
        | Metric::MultilabelConfusionMatrix { labels: wanted } => match wanted {
            Some(wanted) => classes::resolve_all(wanted, labels).map(|_| ()),
            None => Ok(()),
        },
        Metric::ClassLikelihoodRatios { labels: wanted, .. } => {
            agreement::two_classes(wanted.as_deref(), labels).map(|_| ())
        }
        Metric::AveragePrecisionScore { pos_label, .. } => {
            probabilities::refuse_one_class(metric.name(), labels.len())?;
            curves::check_average_precision(pos_label, labels)
        }
        Metric::RocAucScore {
            average,
            multi_class,
            max_fpr,
        } => {
            probabilities::refuse_one_class(metric.name(), labels.len())?;
            curves::check_roc_auc(*average, *multi_class, *max_fpr, labels.len())
        }
        Metric::BrierScoreLoss { pos_label, .. } => {
            probabilities::refuse_one_class(metric.name(), labels.len())?;
            check_pos_label(pos_label.as_ref(), labels)
        }
        Metric::D2LogLossScore
        | Metric::ExpectedCalibrationError { .. }
        | Metric::HingeLoss
        | Metric::LogLoss { .. }
        | Metric::TopKAccuracyScore { .. } => {
            probabilities::refuse_one_class(metric.name(), labels.len())
        }
        Metric::AccuracyScore { .. }
        | Metric::BalancedAccuracyScore { .. }
        | Metric::HammingLoss
        | Metric::MatthewsCorrcoef
        | Metric::ZeroOneLoss { .. } => Ok(()),
    }
}

fn check_pos_label(pos_label: Option<&Label>, labels: &[String]) -> Result<()> {
    match pos_label {
        Some(label) => classes::resolve(label, "pos_label", labels).map(|_| ()),
        None => Ok(()),
    }
}
