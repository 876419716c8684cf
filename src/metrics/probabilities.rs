//! From logits to probabilities, predictions and the log loss.

use crate::error::{Error, ErrorKind, Problem, Result};

use super::Scores;
use super::classes::config_error;

/// The index of the largest value of a row, (C); ties go to the lower index.
///
/// 0 for an empty row. Values are assumed to be numbers.
pub fn argmax<T: PartialOrd>(row: &[T]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate().skip(1) {
        if *value > row[best] {
            best = index;
        }
    }
    best
}

/// The probabilities, (C), that logits, (C) in f32 or f64, stand for, computed in f64.
///
/// The largest logit is subtracted first, so that any finite logits are safe. An infinite
/// logit or NaN gives NaN.
pub fn softmax_f64<T: Copy + Into<f64>>(logits: &[T]) -> Vec<f64> {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |largest, &logit| {
        largest.max(logit.into())
    });
    let mut probabilities: Vec<f64> = logits
        .iter()
        .map(|&logit| (logit.into() - largest).exp())
        .collect();
    let sum: f64 = probabilities.iter().sum();
    for probability in &mut probabilities {
        *probability /= sum;
    }
    probabilities
}

/// The negative log-likelihood of the gold classes, in nats: the mean over the examples, or
/// their sum without `normalize`. A probability is first moved into [eps, 1 - eps] with f64's
/// machine epsilon, and the row is not rescaled after that, as in scikit-learn 1.9.1.
///
/// # Errors
/// A training error if a probability is not a number in [0, 1]; a config error if there are
/// fewer than two classes; an internal error if the shapes disagree.
pub(super) fn log_loss(scores: &Scores<'_>, normalize: bool) -> Result<f64> {
    let n_classes = scores.labels.len();
    refuse_one_class(n_classes)?;
    if scores.probabilities.len() != scores.gold.len() * n_classes {
        return Err(Error::internal(format!(
            "{} probabilities for {} examples of {n_classes} classes",
            scores.probabilities.len(),
            scores.gold.len()
        )));
    }
    if let Some(position) = scores
        .probabilities
        .iter()
        .position(|probability| !(0.0..=1.0).contains(probability))
    {
        let message = format!(
            "`log_loss`: the probability of class {} for example {} is {}",
            position % n_classes,
            position / n_classes,
            scores.probabilities[position]
        );
        return Err(Error::new(ErrorKind::Training, Problem::new(message)));
    }
    let rows = scores.probabilities.chunks_exact(n_classes);
    let sum: f64 = rows
        .zip(scores.gold)
        .map(|(row, &gold)| {
            -row[gold as usize]
                .clamp(f64::EPSILON, 1.0 - f64::EPSILON)
                .ln()
        })
        .sum();
    Ok(if normalize {
        sum / scores.gold.len() as f64
    } else {
        sum
    })
}

/// Refuses a log loss without a choice between classes.
pub(super) fn refuse_one_class(n_classes: usize) -> Result<()> {
    if n_classes >= 2 {
        return Ok(());
    }
    Err(config_error(Problem::new(format!(
        "`log_loss` needs at least two classes, got {n_classes}"
    ))))
}
