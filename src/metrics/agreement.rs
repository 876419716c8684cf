//! Cohen's kappa and the likelihood ratios: how far predictions go beyond chance.

use crate::config::metric::{KappaWeights, Label};
use crate::error::{Problem, Result};

use super::classes::{config_error, listed, resolve_all};
use super::confusion::{Confusion, counts_among};
use super::{MetricValue, Warnings};

/// Cohen's kappa of `classes`, (K), among themselves, at most 1: 1 - (the cost of the
/// disagreements) / (their expected cost if gold and predicted classes were independent).
/// It is `undefined` where there is nothing to disagree about.
///
/// # Errors
/// A config error if none of the classes has a gold example.
pub(super) fn cohen_kappa(
    confusion: &Confusion,
    classes: &[usize],
    weights: KappaWeights,
    undefined: Option<f64>,
    warnings: &mut Warnings,
) -> Result<f64> {
    let counts = counts_among("cohen_kappa_score", confusion, classes)?;
    let k = classes.len();
    let gold: Vec<u64> = counts.iter().map(|row| row.iter().sum()).collect();
    let predicted: Vec<u64> = (0..k)
        .map(|column| counts.iter().map(|row| row[column]).sum())
        .collect();
    let n: u64 = gold.iter().sum();
    let cost = |a: usize, b: usize| {
        let distance = a.abs_diff(b) as f64;
        match weights {
            KappaWeights::None => distance.min(1.0),
            KappaWeights::Linear => distance,
            KappaWeights::Quadratic => distance * distance,
        }
    };
    let (mut observed, mut expected) = (0.0, 0.0);
    for a in 0..k {
        for b in 0..k {
            observed += cost(a, b) * counts[a][b] as f64;
            expected += cost(a, b) * gold[a] as f64 * predicted[b] as f64;
        }
    }
    if expected == 0.0 {
        warnings.push("gold and predicted labels have no two classes to disagree about");
        return Ok(undefined.unwrap_or(f64::NAN));
    }
    Ok(1.0 - observed * n as f64 / expected)
}

/// The negative and the positive class of the likelihood ratios.
///
/// # Errors
/// A config error if there are not exactly two.
pub(super) fn two_classes(wanted: Option<&[Label]>, labels: &[String]) -> Result<[usize; 2]> {
    let classes = match wanted {
        Some(wanted) => resolve_all(wanted, labels)?,
        None => (0..labels.len()).collect(),
    };
    match (classes.as_slice(), labels.len()) {
        (&[negative, positive], 2) => Ok([negative, positive]),
        (_, 2) => Err(config_error(Problem::new(format!(
            "`class_likelihood_ratios` needs two classes, but `labels` names {}",
            classes.len()
        )))),
        _ => Err(config_error(Problem::new(format!(
            "`class_likelihood_ratios` is for two classes, but there are {}: {}",
            labels.len(),
            listed(labels)
        )))),
    }
}

/// The positive likelihood ratio, sensitivity / (1 - specificity), and the negative one,
/// (1 - sensitivity) / specificity, of `[negative, positive]` classes; where there is nothing
/// to divide by they are `undefined`, and NaN where no example is positive.
pub(super) fn likelihood_ratios(
    confusion: &Confusion,
    [negative, positive]: [usize; 2],
    undefined: [Option<f64>; 2],
    warnings: &mut Warnings,
) -> MetricValue {
    let hits = confusion.at(positive, positive);
    let missed = confusion.at(positive, negative);
    let wrong = confusion.at(negative, positive);
    let others = confusion.at(negative, negative);
    let (n_positive, n_negative) = ((hits + missed) as f64, (others + wrong) as f64);
    let mut ratio = |numerator: u64, divisor: u64, undefined: Option<f64>| {
        if divisor == 0 || n_positive == 0.0 {
            warnings.push("a likelihood ratio divides by zero");
        }
        if divisor == 0 {
            undefined.unwrap_or(f64::NAN)
        } else {
            (numerator as f64 * n_negative) / (divisor as f64 * n_positive)
        }
    };
    MetricValue::map([
        (
            "positive_likelihood_ratio",
            MetricValue::Number(ratio(hits, wrong, undefined[0])),
        ),
        (
            "negative_likelihood_ratio",
            MetricValue::Number(ratio(missed, others, undefined[1])),
        ),
    ])
}
