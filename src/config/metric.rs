//! The metrics that a config can name, with their arguments.
//!
//! Names, arguments and defaults are scikit-learn's (`sklearn.metrics`, version 1.9.1);
//! `expected_calibration_error` is ours. What they compute is in [`crate::metrics`].

mod arguments;
mod names;

use std::fmt;

use super::nearest::nearest;
use super::types::MetricConfig;
use arguments::Arguments;

pub use names::metric_names;

/// A metric and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub enum Metric {
    /// The share of examples whose prediction is right.
    AccuracyScore {
        /// Whether the count of right predictions is divided by the number of examples.
        normalize: bool,
    },
    /// The precision at each threshold of a class's probability, weighted by the recall that
    /// the threshold adds.
    AveragePrecisionScore {
        /// How the scores of more than two classes become one; never [`Average::Binary`].
        average: Average,
        /// The class whose score is reported where there are two.
        pos_label: Label,
    },
    /// The mean of the recalls of all classes that have a gold example.
    BalancedAccuracyScore {
        /// Whether the score is rescaled so that guessing scores 0 and perfection 1.
        adjusted: bool,
    },
    /// The mean squared distance of the probabilities from the gold class.
    BrierScoreLoss {
        /// Checked, but without effect: the distances of both of two classes count.
        pos_label: Option<Label>,
        /// Whether the score is halved; none (`auto`): where there are two classes.
        scale_by_half: Option<bool>,
    },
    /// How many times likelier a prediction is for examples of one of two classes than for
    /// the others.
    ClassLikelihoodRatios {
        /// The negative and the positive class; none: the two classes in their order.
        labels: Option<Vec<Label>>,
        /// The positive and the negative ratio where the formula divides by zero; none: NaN.
        replace_undefined_by: [Option<f64>; 2],
    },
    /// Precision, recall and F1 of every class and their averages.
    ClassificationReport {
        /// The classes to report, in this order; none: those seen in gold or predictions.
        labels: Option<Vec<Label>>,
        /// The score of a class where the formula divides by zero.
        zero_division: ZeroDivision,
    },
    /// The agreement of gold and predicted classes beyond chance.
    CohenKappaScore {
        /// The classes to count, in this order; none: those seen in gold or predictions.
        labels: Option<Vec<Label>>,
        /// What a disagreement costs.
        weights: KappaWeights,
        /// The score where the formula divides by zero; none: NaN.
        replace_undefined_by: Option<f64>,
    },
    /// The counts of examples by gold class (rows) and predicted class (columns).
    ConfusionMatrix {
        /// The classes to count, in this order; none: those seen in gold or predictions.
        labels: Option<Vec<Label>>,
        /// What each count is divided by.
        normalize: Normalize,
    },
    /// The share of the log loss that the model takes off that of always predicting the
    /// classes' shares.
    D2LogLossScore,
    /// The mean distance between the probability of the predicted class and how often it is
    /// right (Guo et al. 2017).
    ExpectedCalibrationError {
        /// The number of equally wide bins of the probability, at least 1.
        n_bins: usize,
    },
    /// The harmonic mean of precision and recall.
    F1Score(PrecisionRecallArguments),
    /// The harmonic mean of precision and recall, the recall weighted by beta.
    FbetaScore {
        /// Recall counts beta times as much as precision, in [0, infinity].
        beta: f64,
        /// The others.
        arguments: PrecisionRecallArguments,
    },
    /// The share of wrong predictions.
    HammingLoss,
    /// How far the gold class's logit falls short of the others' by less than 1 (for more
    /// than two classes Crammer and Singer's).
    HingeLoss,
    /// Of the examples that belong to a class or are predicted as it, the share of both.
    JaccardScore(PrecisionRecallArguments),
    /// The negative log-likelihood of the gold classes, in nats.
    LogLoss {
        /// Whether it is the mean over the examples rather than their sum.
        normalize: bool,
    },
    /// The correlation of gold and predicted classes.
    MatthewsCorrcoef,
    /// For each class the counts of examples by whether they belong to it (rows) and whether
    /// they are predicted as it (columns).
    MultilabelConfusionMatrix {
        /// The classes to count, in this order; none: those seen in gold or predictions.
        labels: Option<Vec<Label>>,
    },
    /// Precision, recall, F-beta and the number of gold examples.
    PrecisionRecallFscoreSupport {
        /// Recall counts beta times as much as precision, in [0, infinity].
        beta: f64,
        /// The others.
        arguments: PrecisionRecallArguments,
    },
    /// Of the examples predicted as a class, the share that belongs to it.
    PrecisionScore(PrecisionRecallArguments),
    /// Of the examples that belong to a class, the share predicted as it.
    RecallScore(PrecisionRecallArguments),
    /// The probability that an example of a class gets a higher probability for it than an
    /// example of another class does.
    RocAucScore {
        /// How the scores of more than two classes become one; never [`Average::Binary`].
        average: Average,
        /// What more than two classes are compared with.
        multi_class: MultiClass,
        /// The false positive rate up to which the area is taken, in (0, 1], standardised;
        /// none: 1. For two classes.
        max_fpr: Option<f64>,
    },
    /// The share of examples whose gold class is among the k likeliest.
    TopKAccuracyScore {
        /// At least 1.
        k: usize,
        /// Whether the count is divided by the number of examples.
        normalize: bool,
    },
    /// The share of wrong predictions, or their number.
    ZeroOneLoss {
        /// Whether the count of wrong predictions is divided by the number of examples.
        normalize: bool,
    },
}

/// The arguments that precision, recall and F1 share.
#[derive(Debug, Clone, PartialEq)]
pub struct PrecisionRecallArguments {
    /// How the scores of the classes become one.
    pub average: Average,
    /// The class whose score is reported with [`Average::Binary`]; others ignore it.
    pub pos_label: Label,
    /// The classes to score, in this order; none: those seen in gold or predictions.
    /// [`Average::Binary`] ignores it.
    pub labels: Option<Vec<Label>>,
    /// The score of a class where the formula divides by zero.
    pub zero_division: ZeroDivision,
}

impl Default for PrecisionRecallArguments {
    fn default() -> Self {
        Self {
            average: Average::Binary,
            pos_label: Label::Integer(1),
            labels: None,
            zero_division: ZeroDivision::Warn,
        }
    }
}

/// How the scores of the classes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Average {
    /// The score of `pos_label` alone; for at most two classes.
    Binary,
    /// The score of the counts summed over the classes.
    Micro,
    /// The mean over the classes.
    Macro,
    /// The mean over the classes, weighted by their gold examples.
    Weighted,
    /// Not at all: a score per class (`null`).
    PerClass,
}

/// What a confusion matrix's counts are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalize {
    /// Nothing (`null`).
    None,
    /// The sum of the row: the class's gold examples.
    True,
    /// The sum of the column: the examples predicted as the class.
    Pred,
    /// The sum of the matrix.
    All,
}

/// The score of a class where the formula divides by zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZeroDivision {
    /// 0, with a warning.
    Warn,
    /// 0.
    Zero,
    /// 1.
    One,
    /// Not a number; averages leave the class out.
    Nan,
}

/// What a disagreement of gold and predicted class costs Cohen's kappa.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KappaWeights {
    /// 1 (`null`).
    None,
    /// The distance of the two classes in the list of labels.
    Linear,
    /// Its square.
    Quadratic,
}

/// What a class of more than two is compared with for the area under its ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MultiClass {
    /// Nothing: more than two classes are refused.
    Raise,
    /// All others together.
    OneVsRest,
    /// Each other alone.
    OneVsOne,
}

/// A class, as a config names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// The class of this number where the data's labels are integers; where they are words,
    /// the class at this index.
    Integer(i64),
    /// The class of this name.
    Name(String),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Which of two values of a metric is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The higher one.
    HigherIsBetter,
    /// The lower one.
    LowerIsBetter,
}

/// What is wrong with a metric of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricProblem {
    /// The key in `args` that is wrong; none: the name is.
    pub argument: Option<String>,
    /// What was got and what is allowed.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
}

/// Every metric's name, in the order in which messages list them.
const NAMES: [&str; 24] = [
    "accuracy_score",
    "average_precision_score",
    "balanced_accuracy_score",
    "brier_score_loss",
    "class_likelihood_ratios",
    "classification_report",
    "cohen_kappa_score",
    "confusion_matrix",
    "d2_log_loss_score",
    "expected_calibration_error",
    "f1_score",
    "fbeta_score",
    "hamming_loss",
    "hinge_loss",
    "jaccard_score",
    "log_loss",
    "matthews_corrcoef",
    "multilabel_confusion_matrix",
    "precision_recall_fscore_support",
    "precision_score",
    "recall_score",
    "roc_auc_score",
    "top_k_accuracy_score",
    "zero_one_loss",
];

/// The arguments of the metrics that score sets of examples.
const SET_WISE: [&str; 4] = ["average", "labels", "pos_label", "zero_division"];

/// The same and `beta`.
const SET_WISE_BETA: [&str; 5] = ["average", "beta", "labels", "pos_label", "zero_division"];

impl Metric {
    /// The metric that a config means, with scikit-learn's defaults for what it leaves out.
    ///
    /// # Errors
    /// An unknown name or argument, or a value that the argument does not take; the first of
    /// several.
    pub fn parse(config: &MetricConfig) -> Result<Self, MetricProblem> {
        let name = config.name.as_str();
        let take = |allowed| Arguments::take(name, &config.args, allowed);
        Ok(match name {
            "accuracy_score" => Self::AccuracyScore {
                normalize: take(&["normalize"])?.boolean("normalize", true)?,
            },
            "average_precision_score" => {
                let args = take(&["average", "pos_label"])?;
                let (average, pos_label) = (args.average_of_curves()?, args.pos_label()?);
                Self::AveragePrecisionScore { average, pos_label }
            }
            "balanced_accuracy_score" => Self::BalancedAccuracyScore {
                adjusted: take(&["adjusted"])?.boolean("adjusted", false)?,
            },
            "brier_score_loss" => {
                let args = take(&["pos_label", "scale_by_half"])?;
                Self::BrierScoreLoss {
                    pos_label: args.optional_pos_label()?,
                    scale_by_half: args.scale_by_half()?,
                }
            }
            "class_likelihood_ratios" => {
                let args = take(&["labels", "replace_undefined_by"])?;
                Self::ClassLikelihoodRatios {
                    labels: args.labels()?,
                    replace_undefined_by: args.likelihood_ratios()?,
                }
            }
            "classification_report" => {
                let args = take(&["labels", "output_dict", "zero_division"])?;
                args.structure_only()?;
                Self::ClassificationReport {
                    labels: args.labels()?,
                    zero_division: args.zero_division()?,
                }
            }
            "cohen_kappa_score" => {
                let args = take(&["labels", "replace_undefined_by", "weights"])?;
                Self::CohenKappaScore {
                    labels: args.labels()?,
                    weights: args.kappa_weights()?,
                    replace_undefined_by: args.kappa_replacement()?,
                }
            }
            "confusion_matrix" => {
                let args = take(&["labels", "normalize"])?;
                let (labels, normalize) = (args.labels()?, args.normalize_by()?);
                Self::ConfusionMatrix { labels, normalize }
            }
            "d2_log_loss_score" => take(&[]).map(|_| Self::D2LogLossScore)?,
            "expected_calibration_error" => {
                let args = take(&["n_bins", "norm"])?;
                args.l1_norm_only()?;
                let n_bins = args.at_least_one("n_bins", 15)?;
                Self::ExpectedCalibrationError { n_bins }
            }
            "f1_score" => Self::F1Score(take(&SET_WISE)?.set_wise(Average::Binary)?),
            "fbeta_score" => {
                let args = take(&SET_WISE_BETA)?;
                Self::FbetaScore {
                    beta: args.beta(None)?,
                    arguments: args.set_wise(Average::Binary)?,
                }
            }
            "hamming_loss" => take(&[]).map(|_| Self::HammingLoss)?,
            "hinge_loss" => take(&[]).map(|_| Self::HingeLoss)?,
            "jaccard_score" => {
                let args = take(&SET_WISE)?;
                args.refuse_nan_for_zero_division()?;
                Self::JaccardScore(args.set_wise(Average::Binary)?)
            }
            "log_loss" => Self::LogLoss {
                normalize: take(&["normalize"])?.boolean("normalize", true)?,
            },
            "matthews_corrcoef" => take(&[]).map(|_| Self::MatthewsCorrcoef)?,
            "multilabel_confusion_matrix" => Self::MultilabelConfusionMatrix {
                labels: take(&["labels"])?.labels()?,
            },
            "precision_recall_fscore_support" => {
                let args = take(&SET_WISE_BETA)?;
                Self::PrecisionRecallFscoreSupport {
                    beta: args.beta(Some(1.0))?,
                    arguments: args.set_wise(Average::PerClass)?,
                }
            }
            "precision_score" => Self::PrecisionScore(take(&SET_WISE)?.set_wise(Average::Binary)?),
            "recall_score" => Self::RecallScore(take(&SET_WISE)?.set_wise(Average::Binary)?),
            "roc_auc_score" => {
                let args = take(&["average", "max_fpr", "multi_class"])?;
                Self::RocAucScore {
                    average: args.average_of_curves()?,
                    multi_class: args.multi_class()?,
                    max_fpr: args.max_fpr()?,
                }
            }
            "top_k_accuracy_score" => {
                let args = take(&["k", "normalize"])?;
                let (k, normalize) = (args.at_least_one("k", 2)?, args.boolean("normalize", true)?);
                Self::TopKAccuracyScore { k, normalize }
            }
            "zero_one_loss" => Self::ZeroOneLoss {
                normalize: take(&["normalize"])?.boolean("normalize", true)?,
            },
            _ => return Err(unknown_metric(name)),
        })
    }

    /// The function's name in `sklearn.metrics`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AccuracyScore { .. } => "accuracy_score",
            Self::AveragePrecisionScore { .. } => "average_precision_score",
            Self::BalancedAccuracyScore { .. } => "balanced_accuracy_score",
            Self::BrierScoreLoss { .. } => "brier_score_loss",
            Self::ClassLikelihoodRatios { .. } => "class_likelihood_ratios",
            Self::ClassificationReport { .. } => "classification_report",
            Self::CohenKappaScore { .. } => "cohen_kappa_score",
            Self::ConfusionMatrix { .. } => "confusion_matrix",
            Self::D2LogLossScore => "d2_log_loss_score",
            Self::ExpectedCalibrationError { .. } => "expected_calibration_error",
            Self::F1Score(_) => "f1_score",
            Self::FbetaScore { .. } => "fbeta_score",
            Self::HammingLoss => "hamming_loss",
            Self::HingeLoss => "hinge_loss",
            Self::JaccardScore(_) => "jaccard_score",
            Self::LogLoss { .. } => "log_loss",
            Self::MatthewsCorrcoef => "matthews_corrcoef",
            Self::MultilabelConfusionMatrix { .. } => "multilabel_confusion_matrix",
            Self::PrecisionRecallFscoreSupport { .. } => "precision_recall_fscore_support",
            Self::PrecisionScore(_) => "precision_score",
            Self::RecallScore(_) => "recall_score",
            Self::RocAucScore { .. } => "roc_auc_score",
            Self::TopKAccuracyScore { .. } => "top_k_accuracy_score",
            Self::ZeroOneLoss { .. } => "zero_one_loss",
        }
    }

    /// Whether it reads the probabilities or logits rather than the predictions alone.
    pub fn reads_scores(&self) -> bool {
        matches!(
            self,
            Self::AveragePrecisionScore { .. }
                | Self::BrierScoreLoss { .. }
                | Self::D2LogLossScore
                | Self::ExpectedCalibrationError { .. }
                | Self::HingeLoss
                | Self::LogLoss { .. }
                | Self::RocAucScore { .. }
                | Self::TopKAccuracyScore { .. }
        )
    }

    /// Which of two values is the better one; none where the value is not a single number
    /// whatever the labels are.
    pub fn direction(&self) -> Option<Direction> {
        match self {
            Self::AccuracyScore { .. }
            | Self::BalancedAccuracyScore { .. }
            | Self::CohenKappaScore { .. }
            | Self::D2LogLossScore
            | Self::MatthewsCorrcoef
            | Self::TopKAccuracyScore { .. } => Some(Direction::HigherIsBetter),
            Self::F1Score(PrecisionRecallArguments { average, .. })
            | Self::FbetaScore {
                arguments: PrecisionRecallArguments { average, .. },
                ..
            }
            | Self::JaccardScore(PrecisionRecallArguments { average, .. })
            | Self::PrecisionScore(PrecisionRecallArguments { average, .. })
            | Self::RecallScore(PrecisionRecallArguments { average, .. })
            | Self::AveragePrecisionScore { average, .. }
            | Self::RocAucScore { average, .. } => match average {
                Average::PerClass => None,
                _ => Some(Direction::HigherIsBetter),
            },
            Self::BrierScoreLoss { .. }
            | Self::ExpectedCalibrationError { .. }
            | Self::HammingLoss
            | Self::HingeLoss
            | Self::LogLoss { .. }
            | Self::ZeroOneLoss { .. } => Some(Direction::LowerIsBetter),
            Self::ClassLikelihoodRatios { .. }
            | Self::ClassificationReport { .. }
            | Self::ConfusionMatrix { .. }
            | Self::MultilabelConfusionMatrix { .. }
            | Self::PrecisionRecallFscoreSupport { .. } => None,
        }
    }
}

fn unknown_metric(name: &str) -> MetricProblem {
    let hint = match name {
        "loss" => Some("the loss is always computed and need not be listed".to_owned()),
        _ => did_you_mean(name, &NAMES),
    };
    MetricProblem {
        argument: None,
        message: format!("unknown metric `{name}`; allowed: {}", NAMES.join(", ")),
        hint,
    }
}

/// Names the nearest known word; the first part of one, such as `f1`, is as near as can be.
fn did_you_mean(word: &str, known: &[&str]) -> Option<String> {
    let begun = known
        .iter()
        .copied()
        .find(|candidate| word.len() >= 2 && candidate.starts_with(word));
    begun
        .or_else(|| nearest(word, known.iter().copied()))
        .map(|meant| format!("did you mean `{meant}`?"))
}
