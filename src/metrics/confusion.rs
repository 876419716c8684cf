//! The confusion counts, and the metrics that are plain functions of them.

use crate::config::metric::Normalize;
use crate::error::{Error, Problem, Result};

use super::classes::config_error;
use super::{MetricValue, Warnings};

/// How many examples of each gold class were predicted as each class.
#[derive(Debug)]
pub(super) struct Confusion {
    /// C.
    n_classes: usize,
    /// (C, C), gold by predicted.
    counts: Vec<u64>,
    /// The examples of each gold class, (C).
    gold: Vec<u64>,
    /// The examples predicted as each class, (C).
    predicted: Vec<u64>,
}

impl Confusion {
    /// Counts the pairs of `gold` and `predicted`, (N) each, in one pass.
    ///
    /// # Errors
    /// An internal error if the lengths differ or an index is not below `n_classes`.
    pub(super) fn count(gold: &[u32], predicted: &[u32], n_classes: usize) -> Result<Self> {
        if gold.len() != predicted.len() {
            return Err(Error::internal(format!(
                "{} gold labels, but {} predictions",
                gold.len(),
                predicted.len()
            )));
        }
        let mut confusion = Self {
            n_classes,
            counts: vec![0; n_classes * n_classes],
            gold: vec![0; n_classes],
            predicted: vec![0; n_classes],
        };
        for (&gold, &predicted) in gold.iter().zip(predicted) {
            let (gold, predicted) = (gold as usize, predicted as usize);
            if gold.max(predicted) >= n_classes {
                return Err(Error::internal(format!(
                    "class {} of {n_classes} classes",
                    gold.max(predicted)
                )));
            }
            confusion.counts[gold * n_classes + predicted] += 1;
            confusion.gold[gold] += 1;
            confusion.predicted[predicted] += 1;
        }
        Ok(confusion)
    }

    /// The examples of class `gold` that were predicted as class `predicted`.
    pub(super) fn at(&self, gold: usize, predicted: usize) -> u64 {
        self.counts[gold * self.n_classes + predicted]
    }

    /// The examples of `class` that were predicted as it: its true positives.
    pub(super) fn hits(&self, class: usize) -> u64 {
        self.at(class, class)
    }

    /// The examples of gold `class`.
    pub(super) fn gold(&self, class: usize) -> u64 {
        self.gold[class]
    }

    /// The examples predicted as `class`.
    pub(super) fn predicted(&self, class: usize) -> u64 {
        self.predicted[class]
    }

    /// The classes seen in gold or predictions, ascending.
    pub(super) fn present(&self) -> Vec<usize> {
        (0..self.n_classes)
            .filter(|&class| self.gold[class] + self.predicted[class] > 0)
            .collect()
    }

    /// All right predictions.
    pub(super) fn total_hits(&self) -> u64 {
        (0..self.n_classes).map(|class| self.hits(class)).sum()
    }

    /// N.
    pub(super) fn n_examples(&self) -> u64 {
        self.gold.iter().sum()
    }
}

/// The share of right predictions, or their number without `normalize`.
pub(super) fn accuracy(confusion: &Confusion, normalize: bool) -> f64 {
    let hits = confusion.total_hits() as f64;
    if normalize {
        hits / confusion.n_examples() as f64
    } else {
        hits
    }
}

/// The share of wrong predictions, or their number without `normalize`.
pub(super) fn zero_one_loss(confusion: &Confusion, normalize: bool) -> f64 {
    let wrong = (confusion.n_examples() - confusion.total_hits()) as f64;
    if normalize {
        wrong / confusion.n_examples() as f64
    } else {
        wrong
    }
}

/// The mean recall of the classes that have a gold example. Adjusted for chance it divides
/// by zero when there is one such class, as scikit-learn does: the value is then NaN, or
/// minus infinity when not all predictions are right.
pub(super) fn balanced_accuracy(
    confusion: &Confusion,
    adjusted: bool,
    warnings: &mut Warnings,
) -> f64 {
    let present = confusion.present();
    if present.iter().any(|&class| confusion.gold(class) == 0) {
        warnings.push("a class was predicted that no example has");
    }
    let recalls: Vec<f64> = (0..confusion.n_classes)
        .filter(|&class| confusion.gold(class) > 0)
        .map(|class| confusion.hits(class) as f64 / confusion.gold(class) as f64)
        .collect();
    let score = recalls.iter().sum::<f64>() / recalls.len() as f64;
    if adjusted {
        let chance = 1.0 / recalls.len() as f64;
        (score - chance) / (1.0 - chance)
    } else {
        score
    }
}

/// Matthews' correlation for any number of classes (Gorodkin 2004), in [-1, 1]; 0 when all
/// examples have one gold class or one predicted class.
pub(super) fn matthews_corrcoef(confusion: &Confusion) -> f64 {
    let n = confusion.n_examples() as f64;
    let dot =
        |a: &[u64], b: &[u64]| -> f64 { a.iter().zip(b).map(|(&a, &b)| a as f64 * b as f64).sum() };
    let (gold, predicted) = (&confusion.gold, &confusion.predicted);
    let between = confusion.total_hits() as f64 * n - dot(gold, predicted);
    let of_predicted = n * n - dot(predicted, predicted);
    let of_gold = n * n - dot(gold, gold);
    let variances = of_predicted * of_gold;
    if variances == 0.0 {
        0.0
    } else {
        between / variances.sqrt()
    }
}

/// The counts of `classes`, (K), among themselves: (K, K), gold by predicted.
///
/// # Errors
/// A config error if none of the classes has a gold example, as scikit-learn has it; `name`
/// is the metric's.
pub(super) fn counts_among(
    name: &str,
    confusion: &Confusion,
    classes: &[usize],
) -> Result<Vec<Vec<u64>>> {
    if classes.iter().all(|&class| confusion.gold(class) == 0) {
        return Err(config_error(
            Problem::new(format!(
                "`{name}`: no example has any of the classes in `labels`"
            ))
            .hint("leave `labels` out for the classes that do occur"),
        ));
    }
    let row = |&gold: &usize| classes.iter().map(|&to| confusion.at(gold, to)).collect();
    Ok(classes.iter().map(row).collect())
}

/// The counts of `classes`, (K), among themselves: (K, K), gold by predicted. Where a sum to
/// divide by is 0, so is the share.
///
/// # Errors
/// As for [`counts_among`].
pub(super) fn matrix(
    confusion: &Confusion,
    classes: &[usize],
    normalize: Normalize,
    warnings: &mut Warnings,
) -> Result<MetricValue> {
    let counts = counts_among("confusion_matrix", confusion, classes)?;
    if counts.len() == 1 {
        warnings.push("the matrix has a single class; `labels` can name all of them");
    }
    let row_sums: Vec<u64> = counts.iter().map(|row| row.iter().sum()).collect();
    let column_sums: Vec<u64> = (0..classes.len())
        .map(|column| counts.iter().map(|row| row[column]).sum())
        .collect();
    let all: u64 = row_sums.iter().sum();
    let value = |row: usize, column: usize| {
        let count = counts[row][column];
        let sum = match normalize {
            Normalize::None => return MetricValue::Count(count),
            Normalize::True => row_sums[row],
            Normalize::Pred => column_sums[column],
            Normalize::All => all,
        };
        MetricValue::Number(if sum == 0 {
            0.0
        } else {
            count as f64 / sum as f64
        })
    };
    let row = |row| MetricValue::list((0..classes.len()).map(|column| value(row, column)));
    Ok(MetricValue::list((0..classes.len()).map(row)))
}

/// A matrix for each of `classes`, (K): [[true negatives, false positives], [false negatives,
/// true positives]].
pub(super) fn one_against_others(confusion: &Confusion, classes: &[usize]) -> MetricValue {
    let matrix = |&class: &usize| {
        let hits = confusion.hits(class);
        let (missed, wrong) = (
            confusion.gold(class) - hits,
            confusion.predicted(class) - hits,
        );
        let others = confusion.n_examples() - hits - missed - wrong;
        let row = |counts: [u64; 2]| MetricValue::list(counts.map(MetricValue::Count));
        MetricValue::list([row([others, wrong]), row([missed, hits])])
    };
    MetricValue::list(classes.iter().map(matrix))
}
