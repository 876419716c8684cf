//! Precision, recall, F-beta and Jaccard scores: one fraction per class, and four ways to
//! average them.

use std::ops::Add;

use crate::config::metric::{Average, Label, PrecisionRecallArguments, ZeroDivision};
use crate::error::{Problem, Result};

use super::classes::{config_error, listed, reported, resolve};
use super::confusion::Confusion;
use super::{MetricValue, Scores, Warnings};

/// The counts of one class, or of several summed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// The examples that belong to the class and were predicted as it.
    hits: u64,
    /// The examples that belong to the class.
    pub(super) gold: u64,
    /// The examples predicted as the class.
    predicted: u64,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            gold: self.gold + other.gold,
            predicted: self.predicted + other.predicted,
        }
    }
}

/// What a score is a fraction of.
#[derive(Debug, Clone, Copy)]
pub(super) enum SetScore {
    Precision,
    Recall,
    /// (1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp), which is defined where precision
    /// or recall alone is not.
    Fbeta(f64),
    Jaccard,
}

impl SetScore {
    /// Its numerator and its denominator.
    fn fraction(self, counts: Counts) -> (f64, f64) {
        let Counts {
            hits,
            gold,
            predicted,
        } = counts;
        let (hits, union) = (hits as f64, (gold + predicted - hits) as f64);
        let (gold, predicted) = (gold as f64, predicted as f64);
        match self {
            Self::Recall | Self::Fbeta(f64::INFINITY) => (hits, gold),
            // A beta of 0 is the precision by the formula.
            Self::Precision => (hits, predicted),
            Self::Fbeta(beta) => {
                let beta2 = beta * beta;
                ((1.0 + beta2) * hits, beta2 * gold + predicted)
            }
            Self::Jaccard => (hits, union),
        }
    }
}

/// A set score, averaged as `arguments` say; `name` is the metric's.
///
/// # Errors
/// A config error if the arguments do not suit the classes that are seen.
pub(super) fn score(
    name: &str,
    score: SetScore,
    arguments: &PrecisionRecallArguments,
    scores: &Scores<'_>,
    confusion: &Confusion,
    warnings: &mut Warnings,
) -> Result<MetricValue> {
    let counts = counts(name, arguments, scores.labels, confusion)?;
    let (average, zero_division) = (arguments.average, arguments.zero_division);
    Ok(averaged(&counts, score, average, zero_division, warnings))
}

/// Precision, recall, F-beta and the number of gold examples, which an average has not.
///
/// # Errors
/// As for [`score`].
pub(super) fn all_scores(
    beta: f64,
    arguments: &PrecisionRecallArguments,
    scores: &Scores<'_>,
    confusion: &Confusion,
    warnings: &mut Warnings,
) -> Result<MetricValue> {
    let name = "precision_recall_fscore_support";
    let counts = counts(name, arguments, scores.labels, confusion)?;
    let (average, zero_division) = (arguments.average, arguments.zero_division);
    let mut value = |score| averaged(&counts, score, average, zero_division, warnings);
    let mut entries = vec![
        ("precision", value(SetScore::Precision)),
        ("recall", value(SetScore::Recall)),
        ("fbeta_score", value(SetScore::Fbeta(beta))),
    ];
    if average == Average::PerClass {
        let support = counts.iter().map(|class| MetricValue::Count(class.gold));
        entries.push(("support", MetricValue::list(support)));
    }
    Ok(MetricValue::map(entries))
}

/// Precision, recall, F1 and support of every class, the accuracy (of some of the classes
/// only: their micro average), and the macro and weighted averages.
///
/// # Errors
/// A config error if `wanted` names a label that does not exist.
pub(super) fn report(
    wanted: Option<&[Label]>,
    zero_division: ZeroDivision,
    labels: &[String],
    confusion: &Confusion,
    warnings: &mut Warnings,
) -> Result<MetricValue> {
    let classes = reported(wanted, labels, confusion)?;
    let counts = counts_of(&classes, confusion);
    let mut row = |counts: &[Counts], average: Average| {
        let mut value = |score| averaged(counts, score, average, zero_division, warnings);
        let support = counts.iter().map(|class| class.gold).sum();
        [
            ("precision", value(SetScore::Precision)),
            ("recall", value(SetScore::Recall)),
            ("f1-score", value(SetScore::Fbeta(1.0))),
            ("support", MetricValue::Count(support)),
        ]
    };
    let mut entries: Vec<(&str, MetricValue)> = Vec::new();
    for (&class, counts) in classes.iter().zip(&counts) {
        let one = row(&[*counts], Average::Binary);
        entries.push((&labels[class], MetricValue::map(one)));
    }
    let micro = row(&counts, Average::Micro);
    let present = confusion.present();
    if present.iter().all(|class| classes.contains(class)) {
        let [(_, precision), ..] = micro;
        entries.push(("accuracy", precision));
    } else {
        entries.push(("micro avg", MetricValue::map(micro)));
    }
    for (name, average) in [
        ("macro avg", Average::Macro),
        ("weighted avg", Average::Weighted),
    ] {
        entries.push((name, MetricValue::map(row(&counts, average))));
    }
    Ok(MetricValue::map(entries))
}

/// The counts of the classes that `arguments` pick, (K).
fn counts(
    name: &str,
    arguments: &PrecisionRecallArguments,
    labels: &[String],
    confusion: &Confusion,
) -> Result<Vec<Counts>> {
    let classes = match arguments.average {
        Average::Binary => vec![positive_class(name, arguments, labels, confusion)?],
        _ => reported(arguments.labels.as_deref(), labels, confusion)?,
    };
    Ok(counts_of(&classes, confusion))
}

fn counts_of(classes: &[usize], confusion: &Confusion) -> Vec<Counts> {
    let counts = |&class: &usize| Counts {
        hits: confusion.hits(class),
        gold: confusion.gold(class),
        predicted: confusion.predicted(class),
    };
    classes.iter().map(counts).collect()
}

fn averaged(
    counts: &[Counts],
    score: SetScore,
    average: Average,
    zero_division: ZeroDivision,
    warnings: &mut Warnings,
) -> MetricValue {
    let mut one = |counts| divide(score.fraction(counts), zero_division, warnings);
    if average == Average::Micro {
        let sum = counts.iter().copied().fold(Counts::default(), Counts::add);
        return MetricValue::Number(one(sum));
    }
    let per_class: Vec<f64> = counts.iter().copied().map(one).collect();
    match average {
        Average::PerClass => MetricValue::numbers(per_class),
        Average::Weighted => {
            let weights: Vec<u64> = counts.iter().map(|class| class.gold).collect();
            MetricValue::Number(mean(&per_class, &weights))
        }
        Average::Binary | Average::Macro | Average::Micro => {
            MetricValue::Number(mean(&per_class, &vec![1; counts.len()]))
        }
    }
}

/// Refuses `average: binary` for more than two `classes`, (K).
pub(super) fn refuse_more_than_two(name: &str, classes: &[usize], labels: &[String]) -> Result<()> {
    if classes.len() <= 2 {
        return Ok(());
    }
    let names: Vec<&str> = classes
        .iter()
        .map(|&class| labels[class].as_str())
        .collect();
    Err(config_error(
        Problem::new(format!(
            "`{name}` with `average: binary` is for two classes, but there are {}: {}",
            classes.len(),
            listed(&names)
        ))
        .hint("set the metric's `args` to {average: macro}; also: micro, weighted, null"),
    ))
}

/// The class that `average: binary` reports. It need not be seen where only one class is.
fn positive_class(
    name: &str,
    arguments: &PrecisionRecallArguments,
    labels: &[String],
    confusion: &Confusion,
) -> Result<usize> {
    let present = confusion.present();
    refuse_more_than_two(name, &present, labels)?;
    let class = resolve(&arguments.pos_label, "pos_label", labels)?;
    if present.len() == 2 && !present.contains(&class) {
        let names: Vec<&str> = present
            .iter()
            .map(|&class| labels[class].as_str())
            .collect();
        return Err(config_error(
            Problem::new(format!(
                "`{name}` has `pos_label` `{}`, but gold and predicted labels are {}",
                labels[class],
                listed(&names)
            ))
            .hint("set `pos_label` to one of them, or `average` to macro"),
        ));
    }
    Ok(class)
}

fn divide(
    (numerator, denominator): (f64, f64),
    zero_division: ZeroDivision,
    warnings: &mut Warnings,
) -> f64 {
    if denominator > 0.0 {
        return numerator / denominator;
    }
    match zero_division {
        ZeroDivision::Warn => {
            warnings.push("the score of a class without examples to divide by counts as 0");
            0.0
        }
        ZeroDivision::Zero => 0.0,
        ZeroDivision::One => 1.0,
        ZeroDivision::Nan => f64::NAN,
    }
}

/// The weighted mean of the scores that are numbers; their plain mean where all weights are
/// 0; NaN where no score is a number.
fn mean(scores: &[f64], weights: &[u64]) -> f64 {
    let numbers: Vec<(f64, u64)> = scores
        .iter()
        .copied()
        .zip(weights.iter().copied())
        .filter(|(score, _)| !score.is_nan())
        .collect();
    let weight: u64 = numbers.iter().map(|&(_, weight)| weight).sum();
    if weight == 0 {
        numbers.iter().map(|&(score, _)| score).sum::<f64>() / numbers.len() as f64
    } else {
        let sum: f64 = numbers
            .iter()
            .map(|&(score, weight)| score * weight as f64)
            .sum();
        sum / weight as f64
    }
}
