//! The metrics that a config can name, with their arguments.
//!
//! Names, arguments and defaults are scikit-learn's (`sklearn.metrics`, version 1.9.1);
//! what they compute is in [`crate::metrics`].

use std::fmt;

use serde_json::{Map, Value};

use super::nearest::nearest;
use super::types::MetricConfig;

/// A metric and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub enum Metric {
    /// The share of examples whose prediction is right.
    AccuracyScore {
        /// Whether the count of right predictions is divided by the number of examples.
        normalize: bool,
    },
    /// The mean of the recalls of all classes that have a gold example.
    BalancedAccuracyScore {
        /// Whether the score is rescaled so that guessing scores 0 and perfection 1.
        adjusted: bool,
    },
    /// The harmonic mean of precision and recall.
    F1Score(PrecisionRecallArguments),
    /// Of the examples predicted as a class, the share that belongs to it.
    PrecisionScore(PrecisionRecallArguments),
    /// Of the examples that belong to a class, the share predicted as it.
    RecallScore(PrecisionRecallArguments),
    /// The correlation of gold and predicted classes.
    MatthewsCorrcoef,
    /// The negative log-likelihood of the gold classes, in nats.
    LogLoss {
        /// Whether it is the mean over the examples rather than their sum.
        normalize: bool,
    },
    /// The counts of examples by gold class (rows) and predicted class (columns).
    ConfusionMatrix {
        /// The classes to count, in this order; none: those seen in gold or predictions.
        labels: Option<Vec<Label>>,
        /// What each count is divided by.
        normalize: Normalize,
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
            zero_division: ZeroDivision::Zero,
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
    /// 0.
    Zero,
    /// 1.
    One,
    /// Not a number; averages leave the class out.
    Nan,
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
const NAMES: [&str; 8] = [
    "accuracy_score",
    "balanced_accuracy_score",
    "f1_score",
    "precision_score",
    "recall_score",
    "matthews_corrcoef",
    "log_loss",
    "confusion_matrix",
];

impl Metric {
    /// The metric that a config means, with scikit-learn's defaults for what it leaves out.
    ///
    /// # Errors
    /// An unknown name or argument, or a value that the argument does not take; the first of
    /// several.
    pub fn parse(config: &MetricConfig) -> Result<Self, MetricProblem> {
        let name = config.name.as_str();
        let args = &config.args;
        let only = |allowed: &[&str]| refuse_others(name, args, allowed);
        match name {
            "accuracy_score" => {
                only(&["normalize"])?;
                let normalize = boolean(args, "normalize", true)?;
                Ok(Self::AccuracyScore { normalize })
            }
            "balanced_accuracy_score" => {
                only(&["adjusted"])?;
                let adjusted = boolean(args, "adjusted", false)?;
                Ok(Self::BalancedAccuracyScore { adjusted })
            }
            "f1_score" => precision_recall(name, args).map(Self::F1Score),
            "precision_score" => precision_recall(name, args).map(Self::PrecisionScore),
            "recall_score" => precision_recall(name, args).map(Self::RecallScore),
            "matthews_corrcoef" => {
                only(&[])?;
                Ok(Self::MatthewsCorrcoef)
            }
            "log_loss" => {
                only(&["normalize"])?;
                let normalize = boolean(args, "normalize", true)?;
                Ok(Self::LogLoss { normalize })
            }
            "confusion_matrix" => {
                only(&["labels", "normalize"])?;
                let (labels, normalize) = (labels(args)?, normalize(args)?);
                Ok(Self::ConfusionMatrix { labels, normalize })
            }
            _ => Err(unknown_metric(name)),
        }
    }

    /// The function's name in `sklearn.metrics`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AccuracyScore { .. } => "accuracy_score",
            Self::BalancedAccuracyScore { .. } => "balanced_accuracy_score",
            Self::F1Score(_) => "f1_score",
            Self::PrecisionScore(_) => "precision_score",
            Self::RecallScore(_) => "recall_score",
            Self::MatthewsCorrcoef => "matthews_corrcoef",
            Self::LogLoss { .. } => "log_loss",
            Self::ConfusionMatrix { .. } => "confusion_matrix",
        }
    }

    /// Which of two values is the better one; none where the value is not a single number.
    pub fn direction(&self) -> Option<Direction> {
        match self {
            Self::AccuracyScore { .. }
            | Self::BalancedAccuracyScore { .. }
            | Self::MatthewsCorrcoef => Some(Direction::HigherIsBetter),
            Self::F1Score(arguments)
            | Self::PrecisionScore(arguments)
            | Self::RecallScore(arguments) => match arguments.average {
                Average::PerClass => None,
                _ => Some(Direction::HigherIsBetter),
            },
            Self::LogLoss { .. } => Some(Direction::LowerIsBetter),
            Self::ConfusionMatrix { .. } => None,
        }
    }
}

type Args = Map<String, Value>;

fn precision_recall(name: &str, args: &Args) -> Result<PrecisionRecallArguments, MetricProblem> {
    let allowed = ["average", "labels", "pos_label", "zero_division"];
    refuse_others(name, args, &allowed)?;
    Ok(PrecisionRecallArguments {
        average: average(args)?,
        pos_label: pos_label(args)?,
        labels: labels(args)?,
        zero_division: zero_division(args)?,
    })
}

fn boolean(args: &Args, argument: &str, default: bool) -> Result<bool, MetricProblem> {
    match args.get(argument) {
        None => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => Err(not_allowed(argument, other, "true, false")),
    }
}

fn average(args: &Args) -> Result<Average, MetricProblem> {
    let Some(value) = args.get("average") else {
        return Ok(Average::Binary);
    };
    let allowed = "binary, micro, macro, weighted, null";
    match value {
        Value::Null => Ok(Average::PerClass),
        Value::String(word) => match word.as_str() {
            "binary" => Ok(Average::Binary),
            "micro" => Ok(Average::Micro),
            "macro" => Ok(Average::Macro),
            "weighted" => Ok(Average::Weighted),
            "samples" => Err(not_allowed("average", value, allowed)
                .hint("`samples` is for examples with several labels, which are not supported")),
            _ => Err(not_allowed("average", value, allowed)),
        },
        other => Err(not_allowed("average", other, allowed)),
    }
}

fn normalize(args: &Args) -> Result<Normalize, MetricProblem> {
    match args.get("normalize") {
        None | Some(Value::Null) => Ok(Normalize::None),
        // An unquoted `true` is a boolean in YAML; here it can only mean the word.
        Some(Value::Bool(true)) => Ok(Normalize::True),
        Some(Value::String(word)) if word == "true" => Ok(Normalize::True),
        Some(Value::String(word)) if word == "pred" => Ok(Normalize::Pred),
        Some(Value::String(word)) if word == "all" => Ok(Normalize::All),
        Some(other) => Err(not_allowed("normalize", other, "true, pred, all, null")),
    }
}

fn zero_division(args: &Args) -> Result<ZeroDivision, MetricProblem> {
    let Some(value) = args.get("zero_division") else {
        return Ok(ZeroDivision::Zero);
    };
    match value {
        // JSON's data model has no such number, so that YAML's `.nan` arrives as null.
        Value::Null => Ok(ZeroDivision::Nan),
        Value::String(word) if word == "nan" => Ok(ZeroDivision::Nan),
        Value::String(word) if word == "warn" => Ok(ZeroDivision::Zero),
        Value::Number(number) if number.as_f64() == Some(0.0) => Ok(ZeroDivision::Zero),
        Value::Number(number) if number.as_f64() == Some(1.0) => Ok(ZeroDivision::One),
        other => Err(not_allowed("zero_division", other, "0, 1, warn, nan")),
    }
}

fn pos_label(args: &Args) -> Result<Label, MetricProblem> {
    match args.get("pos_label") {
        None => Ok(Label::Integer(1)),
        Some(value) => label("pos_label", value),
    }
}

fn labels(args: &Args) -> Result<Option<Vec<Label>>, MetricProblem> {
    match args.get("labels") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(values)) if !values.is_empty() => values
            .iter()
            .map(|value| label("labels", value))
            .collect::<Result<Vec<_>, _>>()
            .map(Some),
        Some(other) => Err(not_allowed(
            "labels",
            other,
            "a list of at least one label, null",
        )),
    }
}

fn label(argument: &str, value: &Value) -> Result<Label, MetricProblem> {
    let label = match value {
        Value::String(name) => Some(Label::Name(name.clone())),
        Value::Number(number) => number.as_i64().map(Label::Integer),
        _ => None,
    };
    label.ok_or_else(|| {
        let message = format!(
            "`{argument}` names a label `{}`; allowed: a label's name, an integer",
            shown(value)
        );
        MetricProblem::new(argument, message)
            .hint("put quotes around a name that YAML reads as something else")
    })
}

/// Refuses any argument that is not `allowed`.
fn refuse_others(name: &str, args: &Args, allowed: &[&str]) -> Result<(), MetricProblem> {
    let Some(other) = args.keys().find(|key| !allowed.contains(&key.as_str())) else {
        return Ok(());
    };
    let message = if allowed.is_empty() {
        format!("`{name}` takes no arguments, got `{other}`")
    } else {
        format!(
            "`{name}` has no argument `{other}`; allowed: {}",
            allowed.join(", ")
        )
    };
    let mut problem = MetricProblem::new(other, message);
    problem.hint = did_you_mean(other, allowed);
    Err(problem)
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

fn not_allowed(argument: &str, value: &Value, allowed: &str) -> MetricProblem {
    MetricProblem::new(
        argument,
        format!("`{argument}` is `{}`; allowed: {allowed}", shown(value)),
    )
}

/// A value as its writer knows it: text without JSON's quotes.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl MetricProblem {
    fn new(argument: &str, message: String) -> Self {
        Self {
            argument: Some(argument.to_owned()),
            message,
            hint: None,
        }
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}
