//! Confidence intervals by the bootstrap: how much a metric would vary with other examples of
//! the same kind.

use rayon::prelude::*;

use crate::config::metric::Metric;
use crate::error::{ErrorKind, Result};
use crate::random::{Purpose, Stream};

use super::probabilities::losses;
use super::{Counted, Scores, Warnings};

/// How often and from which random numbers the examples are drawn again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampling {
    /// The number of resamples, at least 1.
    pub n_resamples: usize,
    /// The probability that an interval is to hold the true value with, in (0, 1).
    pub confidence_level: f64,
    /// The run's seed.
    pub seed: u64,
    /// Tells the stages of a run apart.
    pub stage: u32,
}

/// Where a number lies in the middle share of the resamples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end; NaN where no resample has a value.
    pub low: f64,
    /// The upper end; NaN where no resample has a value.
    pub high: f64,
    /// The resamples in which the metric is not defined; the others make the interval.
    pub n_undefined: usize,
}

/// The intervals of the mean loss and of each of `metrics`, in this order; a metric whose
/// value is not one number is not defined in any resample.
///
/// Each resample draws N examples with replacement and computes everything from them. The
/// ends are percentiles of the resamples' values, interpolated between neighbours as numpy
/// does; that is `scipy.stats.bootstrap` with `method="percentile"` (Efron and Tibshirani
/// 1993, "An Introduction to the Bootstrap", section 13.3). The result does not depend on
/// the number of threads.
///
/// # Errors
/// As for [`Counted::new`] and [`Counted::value`], but a metric that a resample does not allow
/// is only counted.
pub fn bootstrap(
    metrics: &[&Metric],
    scores: &Scores<'_>,
    resampling: &Resampling,
) -> Result<Vec<Interval>> {
    let losses = losses(scores)?;
    let needs_scores = metrics.iter().any(|metric| metric.reads_scores());
    let resamples: Vec<Vec<f64>> = (0..resampling.n_resamples)
        .into_par_iter()
        .map(|number| {
            let Resampling { seed, stage, .. } = *resampling;
            let stream = Stream::new(seed, Purpose::Bootstrap, number as u32, stage);
            let resample = Resample::draw(scores, stream, needs_scores);
            resample.values(metrics, &losses, scores.labels)
        })
        .collect::<Result<_>>()?;
    Ok((0..=metrics.len())
        .map(|i| {
            let values: Vec<f64> = resamples.iter().map(|values| values[i]).collect();
            interval(values, resampling.confidence_level)
        })
        .collect())
}

/// As many examples as there are, drawn with replacement.
struct Resample {
    indices: Vec<usize>,
    gold: Vec<u32>,
    predicted: Vec<u32>,
    probabilities: Vec<f64>,
    logits: Vec<f32>,
}

impl Resample {
    fn draw(scores: &Scores<'_>, stream: Stream, needs_scores: bool) -> Self {
        let n = scores.gold.len() as u64;
        let indices: Vec<usize> = (0..n).map(|i| stream.below(i, n) as usize).collect();
        let n_classes = scores.labels.len();
        let row = |&i: &usize| i * n_classes..(i + 1) * n_classes;
        let of_scores = if needs_scores { &indices[..] } else { &[] };
        let rows = || of_scores.iter().map(row);
        Self {
            gold: indices.iter().map(|&i| scores.gold[i]).collect(),
            predicted: indices.iter().map(|&i| scores.predicted[i]).collect(),
            probabilities: rows()
                .flat_map(|row| &scores.probabilities[row])
                .copied()
                .collect(),
            logits: rows()
                .flat_map(|row| &scores.logits[row])
                .copied()
                .collect(),
            indices,
        }
    }

    /// The mean loss and the metrics; NaN for one that is not defined.
    fn values(&self, metrics: &[&Metric], losses: &[f64], labels: &[String]) -> Result<Vec<f64>> {
        let loss: f64 = self.indices.iter().map(|&i| losses[i]).sum();
        let mut values = vec![loss / self.indices.len() as f64];
        let counted = Counted::new(Scores {
            gold: &self.gold,
            probabilities: &self.probabilities,
            logits: &self.logits,
            predicted: &self.predicted,
            labels,
        })?;
        let mut warnings = Warnings::new();
        for metric in metrics {
            values.push(match counted.value(metric, &mut warnings) {
                Ok(value) => value.as_number().unwrap_or(f64::NAN),
                Err(error) if error.kind() == ErrorKind::Config => f64::NAN,
                Err(error) => return Err(error),
            });
        }
        Ok(values)
    }
}

fn interval(values: Vec<f64>, confidence_level: f64) -> Interval {
    let n_resamples = values.len();
    let mut values: Vec<f64> = values.into_iter().filter(|x| x.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - confidence_level) / 2.0;
    Interval {
        low: percentile(&values, tail),
        high: percentile(&values, 1.0 - tail),
        n_undefined: n_resamples - values.len(),
    }
}

/// The value below which a share of the sorted values lies, on the straight line between its
/// two neighbours; NaN of no values.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = share * last as f64;
    let below = (at.floor() as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}
