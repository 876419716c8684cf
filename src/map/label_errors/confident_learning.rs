//! Confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating
//! Uncertainty in Dataset Labels", JAIR 70), as cleanlab 2.9.0 computes it.

use super::{Judged, LabelScore, Suspect, predictions};

/// How far below its threshold a probability still counts as confident, for rounding.
const TOLERANCE: f64 = 1e-6;

/// What confident learning says of N labels of C classes.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfidentLearning {
    /// The mean probability of each class over the examples that are labelled so, (C); 1 for a
    /// class without examples, which nothing is then confident of.
    pub thresholds: Vec<f64>,
    /// How many examples labelled i are confidently of class j, (C, C); at least 1 on the
    /// diagonal.
    pub confident_joint: Vec<Vec<usize>>,
    /// The estimated number of examples labelled i that truly are of class j, (C, C): the
    /// confident joint with rows scaled to the numbers of examples labelled i, rounded.
    pub joint: Vec<Vec<usize>>,
    /// Whether the label is likely to be wrong (N), by pruning by noise rate: of the examples
    /// labelled i as many as the joint says are of class j, those with the largest probability
    /// of j less that of i; never one that is predicted as it is labelled.
    pub is_likely_error: Vec<bool>,
}

impl ConfidentLearning {
    /// Applies confident learning.
    pub fn new(judged: &Judged<'_>) -> Self {
        let n_classes = judged.n_classes;
        let mut counts = vec![0_usize; n_classes];
        for gold in judged.gold {
            counts[*gold as usize] += 1;
        }
        let thresholds = thresholds(judged, &counts);
        let confident_joint = confident_joint(judged, &thresholds);
        let joint: Vec<Vec<usize>> = confident_joint
            .iter()
            .zip(&counts)
            .map(|(row, count)| scaled_to(row, *count))
            .collect();
        let is_likely_error = pruned_by_noise_rate(judged, &joint, &counts);
        Self {
            thresholds,
            confident_joint,
            joint,
            is_likely_error,
        }
    }

    /// How many labels are likely to be wrong.
    pub fn n_likely_errors(&self) -> usize {
        self.is_likely_error.iter().filter(|is| **is).count()
    }

    /// The estimated number of wrong labels, found or not: all of the joint but its diagonal.
    pub fn n_estimated_errors(&self) -> usize {
        let rows = self.joint.iter().enumerate();
        rows.map(|(i, row)| row.iter().sum::<usize>() - row[i])
            .sum()
    }

    /// The margin, less 2 where the label is likely to be wrong, so that these come first: low
    /// values are suspect.
    pub(super) fn score(&self, judged: &Judged<'_>) -> LabelScore {
        let margins = judged.margin().into_iter().zip(&self.is_likely_error);
        let values = margins.map(|(margin, is)| if *is { margin - 2.0 } else { margin });
        LabelScore::new("confident_learning", Suspect::Low, values.collect())
    }
}

fn thresholds(judged: &Judged<'_>, counts: &[usize]) -> Vec<f64> {
    let mut sums = vec![0.0; judged.n_classes];
    for (gold, row) in judged.rows() {
        sums[gold] += row[gold];
    }
    let mean = |(sum, n): (&f64, &usize)| if *n > 0 { sum / *n as f64 } else { 1.0 };
    sums.iter().zip(counts).map(mean).collect()
}

fn confident_joint(judged: &Judged<'_>, thresholds: &[f64]) -> Vec<Vec<usize>> {
    let mut joint = vec![vec![0; judged.n_classes]; judged.n_classes];
    for ((gold, row), predicted) in judged.rows().zip(predictions(judged)) {
        let mut confident = (0..row.len()).filter(|c| row[*c] >= thresholds[*c] - TOLERANCE);
        match (confident.next(), confident.next()) {
            (Some(class), None) => joint[gold][class] += 1,
            // Of several classes the most probable of all; it need not be one of them.
            (Some(_), Some(_)) => joint[gold][predicted] += 1,
            _ => {}
        }
    }
    for (class, row) in joint.iter_mut().enumerate() {
        row[class] = row[class].max(1);
    }
    joint
}

/// The row scaled to the sum `total` and rounded so that this is the sum, by cleanlab's rule: each
/// to the nearest number (halves to the even one), and then those by one that are the furthest
/// from theirs, of equal ones the lower class where there is too much and the higher one where
/// there is too little.
fn scaled_to(row: &[usize], total: usize) -> Vec<usize> {
    let sum: usize = row.iter().sum();
    let exact: Vec<f64> = row
        .iter()
        .map(|n| *n as f64 / sum as f64 * total as f64)
        .collect();
    let mut rounded: Vec<f64> = exact.iter().map(|x| x.round_ties_even()).collect();
    let missing = total as f64 - rounded.iter().sum::<f64>();
    let mut order: Vec<usize> = (0..row.len()).collect();
    let left = |class: usize, rounded: &[f64]| exact[class] - rounded[class];
    order.sort_by(|a, b| left(*a, &rounded).total_cmp(&left(*b, &rounded)));
    if missing > 0.0 {
        order.reverse();
    }
    for class in order.into_iter().take(missing.abs() as usize) {
        rounded[class] += missing.signum();
    }
    rounded.into_iter().map(|x| x as usize).collect()
}

fn pruned_by_noise_rate(judged: &Judged<'_>, joint: &[Vec<usize>], counts: &[usize]) -> Vec<bool> {
    let rows: Vec<(usize, &[f64])> = judged.rows().collect();
    let mut is_error = vec![false; rows.len()];
    for (given, row) in joint.iter().enumerate() {
        // The last example of a class is left alone.
        if counts[given] < 2 {
            continue;
        }
        let labelled: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].0 == given).collect();
        for (truth, n_wrong) in row.iter().enumerate().filter(|(truth, _)| *truth != given) {
            if *n_wrong == 0 {
                continue;
            }
            let margin = |i: usize| rows[i].1[truth] - rows[i].1[given];
            let mut order = labelled.clone();
            order.sort_by(|a, b| margin(*b).total_cmp(&margin(*a)));
            for i in order.into_iter().take(*n_wrong) {
                is_error[i] = true;
            }
        }
    }
    for (is_error, (gold, row)) in is_error.iter_mut().zip(&rows) {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if row[*gold] >= largest {
            *is_error = false;
        }
    }
    is_error
}
