//! From logits to probabilities and predictions, and the metrics that average something over
//! the examples' probabilities or logits.

use std::slice::ChunksExact;

use crate::error::{Error, ErrorKind, Problem, Result};

use super::classes::config_error;
use super::confusion::Confusion;
use super::{Scores, Warnings};

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

/// The probabilities of the examples, each row (C); `name` is the metric's.
///
/// # Errors
/// As for [`check_probabilities`].
fn rows<'a>(name: &str, scores: &Scores<'a>) -> Result<ChunksExact<'a, f64>> {
    check_probabilities(name, scores)?;
    Ok(scores.probabilities.chunks_exact(scores.labels.len()))
}

/// Refuses probabilities that the metric `name` cannot score.
///
/// # Errors
/// A training error if a probability is not a number in [0, 1]; a config error if there are
/// fewer than two classes; an internal error if the shapes disagree.
pub(super) fn check_probabilities(name: &str, scores: &Scores<'_>) -> Result<()> {
    let n_classes = scores.labels.len();
    refuse_one_class(name, n_classes)?;
    let probabilities = scores.probabilities;
    check_shape("probabilities", probabilities.len(), scores)?;
    let mut all = probabilities.iter();
    if let Some(position) = all.position(|probability| !(0.0..=1.0).contains(probability)) {
        let message = format!(
            "`{name}`: the probability of class {} for example {} is {}",
            position % n_classes,
            position / n_classes,
            probabilities[position]
        );
        return Err(Error::new(ErrorKind::Training, Problem::new(message)));
    }
    Ok(())
}

fn check_shape(what: &str, n: usize, scores: &Scores<'_>) -> Result<()> {
    let (n_examples, n_classes) = (scores.gold.len(), scores.labels.len());
    if n == n_examples * n_classes {
        return Ok(());
    }
    Err(Error::internal(format!(
        "{n} {what} for {n_examples} examples of {n_classes} classes"
    )))
}

/// Refuses a score of probabilities without a choice between classes.
pub(super) fn refuse_one_class(name: &str, n_classes: usize) -> Result<()> {
    if n_classes >= 2 {
        return Ok(());
    }
    Err(config_error(Problem::new(format!(
        "`{name}` needs at least two classes, got {n_classes}"
    ))))
}

/// The negative log-likelihood of the gold classes, in nats: the mean over the examples, or
/// their sum without `normalize`. A probability is first moved into [eps, 1 - eps] with f64's
/// machine epsilon, and the row is not rescaled after that, as in scikit-learn 1.9.1.
///
/// # Errors
/// As for [`rows`].
pub(super) fn log_loss(scores: &Scores<'_>, normalize: bool) -> Result<f64> {
    let pairs = rows("log_loss", scores)?.zip(scores.gold);
    let sum = pairs.map(|(row, &gold)| surprise(row[gold as usize])).sum();
    Ok(mean_or_sum(sum, scores, normalize))
}

fn surprise(probability: f64) -> f64 {
    -probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
}

fn mean_or_sum(sum: f64, scores: &Scores<'_>, normalize: bool) -> f64 {
    if normalize {
        sum / scores.gold.len() as f64
    } else {
        sum
    }
}

/// 1 - (the log loss) / (the log loss of always predicting the shares of the gold classes);
/// NaN for a single example.
///
/// # Errors
/// As for [`rows`].
pub(super) fn d2_log_loss(
    scores: &Scores<'_>,
    confusion: &Confusion,
    warnings: &mut Warnings,
) -> Result<f64> {
    if scores.gold.len() < 2 {
        warnings.push("the score needs at least two examples");
        return Ok(f64::NAN);
    }
    let pairs = rows("d2_log_loss_score", scores)?.zip(scores.gold);
    let sum: f64 = pairs.map(|(row, &gold)| surprise(row[gold as usize])).sum();
    let n = scores.gold.len() as f64;
    let of_shares: f64 = (0..scores.labels.len())
        .map(|class| confusion.gold(class) as f64)
        .filter(|&count| count > 0.0)
        .map(|count| count * surprise(count / n))
        .sum();
    Ok(1.0 - sum / of_shares)
}

/// The mean over the examples of the squared distance between their probabilities and the
/// gold class as a one-hot row, in [0, 2]; halved by choice, or where there are two classes.
///
/// # Errors
/// As for [`rows`].
pub(super) fn brier_score(scores: &Scores<'_>, scale_by_half: Option<bool>) -> Result<f64> {
    let pairs = rows("brier_score_loss", scores)?.zip(scores.gold);
    let sum: f64 = pairs
        .map(|(row, &gold)| {
            let distance = |(class, probability): (usize, &f64)| {
                let one_hot = if class == gold as usize { 1.0 } else { 0.0 };
                (one_hot - probability) * (one_hot - probability)
            };
            row.iter().enumerate().map(distance).sum::<f64>()
        })
        .sum();
    let mean = sum / scores.gold.len() as f64;
    let is_halved = scale_by_half.unwrap_or(scores.labels.len() < 3);
    Ok(if is_halved { mean / 2.0 } else { mean })
}

/// The expected calibration error, in [0, 1]: the sum over the bins b of
/// `n_b / N |acc(b) - conf(b)|`, where bin b of M holds the examples whose highest probability
/// is in ((b - 1) / M, b / M], acc is their share of right predictions and conf the mean of
/// that probability (Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3).
///
/// # Errors
/// As for [`rows`].
pub(super) fn expected_calibration_error(scores: &Scores<'_>, n_bins: usize) -> Result<f64> {
    let inner_edges: Vec<f64> = (1..n_bins).map(|b| b as f64 / n_bins as f64).collect();
    // Right predictions minus confidence, summed in each bin: n_b (acc - conf).
    let mut gaps = vec![0.0; n_bins];
    for (row, &gold) in rows("expected_calibration_error", scores)?.zip(scores.gold) {
        let predicted = argmax(row);
        let bin = inner_edges.partition_point(|edge| *edge < row[predicted]);
        gaps[bin] += f64::from(u8::from(predicted == gold as usize)) - row[predicted];
    }
    let sum: f64 = gaps.iter().map(|gap| gap.abs()).sum();
    Ok(sum / scores.gold.len() as f64)
}

/// The share, or number, of examples whose gold class is among the k of the highest
/// probability. Ties are scikit-learn's: of more than two classes the higher index comes
/// first, of two the lower.
///
/// # Errors
/// As for [`rows`].
pub(super) fn top_k_accuracy(
    scores: &Scores<'_>,
    k: usize,
    normalize: bool,
    warnings: &mut Warnings,
) -> Result<f64> {
    let n_classes = scores.labels.len();
    if k >= n_classes {
        warnings.push("`k` is not below the number of classes, so that every example counts");
    }
    let pairs = rows("top_k_accuracy_score", scores)?.zip(scores.gold);
    let is_hit = |row: &[f64], gold: usize| {
        if n_classes == 2 {
            return k >= 2 || (row[1] > 0.5) == (gold == 1);
        }
        let before = |(class, probability): &(usize, &f64)| {
            if *class > gold {
                **probability >= row[gold]
            } else {
                **probability > row[gold]
            }
        };
        row.iter().enumerate().filter(before).count() < k
    };
    let hits = pairs.filter(|(row, gold)| is_hit(row, **gold as usize));
    Ok(mean_or_sum(hits.count() as f64, scores, normalize))
}

/// The mean over the examples of max(0, 1 - margin); the margin is the gold class's logit
/// minus the largest other (Crammer and Singer 2001), which for two classes is the usual
/// margin of the decision `logit_1 - logit_0`.
///
/// Where all examples have one of two classes, scikit-learn takes it for the negative one
/// whichever it is; here it is itself.
///
/// # Errors
/// A config error if there are fewer than two classes; an internal error if the shapes
/// disagree.
pub(super) fn hinge_loss(scores: &Scores<'_>) -> Result<f64> {
    let n_classes = scores.labels.len();
    refuse_one_class("hinge_loss", n_classes)?;
    check_shape("logits", scores.logits.len(), scores)?;
    let pairs = scores.logits.chunks_exact(n_classes).zip(scores.gold);
    let sum: f64 = pairs
        .map(|(row, &gold)| {
            let others = row.iter().enumerate().filter(|(c, _)| *c != gold as usize);
            let largest = others.fold(f64::NEG_INFINITY, |m, (_, &logit)| m.max(logit.into()));
            (1.0 - (f64::from(row[gold as usize]) - largest)).max(0.0)
        })
        .sum();
    Ok(sum / scores.gold.len() as f64)
}

/// The cross entropy of each example, in nats, from its logits.
///
/// # Errors
/// An internal error if the shapes disagree.
pub(super) fn losses(scores: &Scores<'_>) -> Result<Vec<f64>> {
    check_shape("logits", scores.logits.len(), scores)?;
    let rows = scores.logits.chunks_exact(scores.labels.len());
    let loss = |(row, &gold): (&[f32], &u32)| {
        let largest = row.iter().fold(f32::NEG_INFINITY, |m, &x| m.max(x));
        let sum: f64 = row.iter().map(|&x| f64::from(x - largest).exp()).sum();
        sum.ln() - f64::from(row[gold as usize] - largest)
    };
    Ok(rows.zip(scores.gold).map(loss).collect())
}
