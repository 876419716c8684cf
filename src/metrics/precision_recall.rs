//! Precision, recall and F1: one fraction per class, and four ways to average them.

use std::ops::Add;

use crate::config::metric::{Average, PrecisionRecallArguments, ZeroDivision};
use crate::error::{Problem, Result};

use super::classes::{config_error, listed, reported, resolve};
use super::confusion::Confusion;
use super::{MetricValue, Scores};

/// The counts of one class, or of several summed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// The examples that belong to the class and were predicted as it.
    hits: u64,
    /// The examples that belong to the class.
    gold: u64,
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

/// A score as a fraction: its numerator and its denominator.
pub(super) type Fraction = (u64, u64);

pub(super) fn precision(counts: Counts) -> Fraction {
    (counts.hits, counts.predicted)
}

pub(super) fn recall(counts: Counts) -> Fraction {
    (counts.hits, counts.gold)
}

/// 2 tp / (2 tp + fp + fn), which is defined where precision or recall alone is not.
pub(super) fn f1(counts: Counts) -> Fraction {
    (2 * counts.hits, counts.gold + counts.predicted)
}

/// The score that `fraction` defines, averaged as `arguments` say; `name` is the metric's.
///
/// # Errors
/// A config error if the arguments do not suit the classes that are seen.
pub(super) fn score(
    name: &str,
    fraction: fn(Counts) -> Fraction,
    arguments: &PrecisionRecallArguments,
    scores: &Scores<'_>,
    confusion: &Confusion,
) -> Result<MetricValue> {
    let classes = match arguments.average {
        Average::Binary => vec![positive_class(name, arguments, scores.labels, confusion)?],
        _ => reported(arguments.labels.as_deref(), scores.labels, confusion)?,
    };
    let counts: Vec<Counts> = classes
        .iter()
        .map(|&class| Counts {
            hits: confusion.hits(class),
            gold: confusion.gold(class),
            predicted: confusion.predicted(class),
        })
        .collect();
    let one = |counts: Counts| divide(fraction(counts), arguments.zero_division);
    let per_class = || counts.iter().copied().map(one).collect::<Vec<f64>>();
    Ok(match arguments.average {
        Average::PerClass => MetricValue::PerClass(per_class()),
        Average::Micro => {
            let sum = counts.iter().copied().fold(Counts::default(), Counts::add);
            MetricValue::Number(one(sum))
        }
        Average::Binary | Average::Macro => {
            MetricValue::Number(average(&per_class(), &vec![1; counts.len()]))
        }
        Average::Weighted => {
            let weights: Vec<u64> = counts.iter().map(|class| class.gold).collect();
            MetricValue::Number(average(&per_class(), &weights))
        }
    })
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

fn divide((numerator, denominator): Fraction, zero_division: ZeroDivision) -> f64 {
    if denominator > 0 {
        return numerator as f64 / denominator as f64;
    }
    match zero_division {
        ZeroDivision::Zero => 0.0,
        ZeroDivision::One => 1.0,
        ZeroDivision::Nan => f64::NAN,
    }
}

/// The weighted mean of the scores that are numbers; their plain mean where all weights are
/// 0; NaN where no score is a number.
fn average(scores: &[f64], weights: &[u64]) -> f64 {
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
