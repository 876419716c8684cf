//! The stratified split of the training set into training and validation examples.

use crate::error::{Error, Problem, Result};
use crate::random::Stream;

use super::ExampleIndex;

/// Splits the examples 0..`labels.len()` into training and validation ones, each in
/// ascending order.
///
/// `labels` holds each example's class, `fraction` is above 0 and below 1. Validation gets
/// ceil(`fraction` n) of n examples, as with scikit-learn's `train_test_split`, but with the
/// fraction taken as the decimal number that it is written as: 0.07 of 100 is 7. Every class
/// gets its proportional share, the examples left over by rounding down going to the classes
/// with the largest remainders, of equal ones to the lower class. The last example of a class
/// always stays in training; where that leaves no room, validation is smaller.
///
/// The result depends on the arguments alone.
///
/// # Errors
/// [`crate::error::ErrorKind::Data`] if the fraction is out of range or either side would be
/// empty.
pub fn stratified_split(
    labels: &[u32],
    fraction: f64,
    stream: Stream,
) -> Result<(Vec<ExampleIndex>, Vec<ExampleIndex>)> {
    let n = labels.len();
    if !(fraction > 0.0 && fraction < 1.0) {
        let message = format!("the validation share is `{fraction}`, expected above 0 and below 1");
        return Err(Error::data(Problem::new(message)));
    }
    let total = ceil_of(fraction, n);
    let mut left = shares(&class_counts(labels), total);
    if total == n || left.iter().all(|&share| share == 0) {
        let side = if total == n { "training" } else { "validation" };
        let message = format!("a validation share of `{fraction}` leaves no {side} example of {n}");
        let hint =
            "change `training.validation_size`, or name a `training.validation_dataset_path`";
        return Err(Error::data(Problem::new(message).hint(hint)));
    }

    let mut order: Vec<ExampleIndex> = (0..n as ExampleIndex).collect();
    stream.shuffle(&mut order);
    let (mut training, mut validation) = (Vec::with_capacity(n - total), Vec::with_capacity(total));
    for index in order {
        let left = &mut left[labels[index as usize] as usize];
        if *left > 0 {
            *left -= 1;
            validation.push(index);
        } else {
            training.push(index);
        }
    }
    training.sort_unstable();
    validation.sort_unstable();
    Ok((training, validation))
}

/// Deals the examples 0..`labels.len()` out to `n_folds` folds; the fold of each, from 0.
///
/// The sizes of the folds differ by at most one example, and so do those of each class's parts.
/// Which examples come together is random; the result depends on the arguments alone.
///
/// # Errors
/// [`crate::error::ErrorKind::Data`] if there are fewer than two folds, or fewer examples than
/// folds.
pub fn stratified_folds(labels: &[u32], n_folds: usize, stream: Stream) -> Result<Vec<usize>> {
    if n_folds < 2 || labels.len() < n_folds {
        let message = format!("{n_folds} folds of {} examples", labels.len());
        let hint = "expected at least 2 folds, and an example for each";
        return Err(Error::data(Problem::new(message).hint(hint)));
    }
    let mut order: Vec<usize> = (0..labels.len()).collect();
    stream.shuffle(&mut order);
    // Stable, so that the order within a class stays random; one class goes on where the one
    // before it has stopped.
    order.sort_by_key(|i| labels[*i]);
    let mut folds = vec![0; labels.len()];
    for (dealt, i) in order.into_iter().enumerate() {
        folds[i] = dealt % n_folds;
    }
    Ok(folds)
}

fn class_counts(labels: &[u32]) -> Vec<usize> {
    let n_classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
    let mut counts = vec![0; n_classes];
    for &label in labels {
        counts[label as usize] += 1;
    }
    counts
}

/// How many of each class's examples make up `total`, or as many as there is room for.
fn shares(counts: &[usize], total: usize) -> Vec<usize> {
    let n: usize = counts.iter().sum();
    let room = |class: usize| counts[class].saturating_sub(1);
    let product = |class: usize| total as u128 * counts[class] as u128;
    let mut shares: Vec<usize> = (0..counts.len())
        .map(|class| ((product(class) / n as u128) as usize).min(room(class)))
        .collect();
    let mut by_remainder: Vec<usize> = (0..counts.len()).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(product(class) % n as u128));

    let mut missing = total - shares.iter().sum::<usize>();
    loop {
        by_remainder.retain(|&class| shares[class] < room(class));
        if missing == 0 || by_remainder.is_empty() {
            return shares;
        }
        for &class in by_remainder.iter().take(missing) {
            shares[class] += 1;
        }
        missing = missing.saturating_sub(by_remainder.len());
    }
}

/// The least whole number that is at least `fraction` times `n`, for the decimal number that
/// `fraction` is written as.
fn ceil_of(fraction: f64, n: usize) -> usize {
    let written = fraction.to_string();
    let decimals = written.strip_prefix("0.").unwrap_or_default();
    // More decimals than this do not fit into the exact product, and nobody writes them.
    match decimals.parse::<u128>() {
        Ok(numerator) if decimals.len() <= 18 => {
            (numerator * n as u128).div_ceil(10_u128.pow(decimals.len() as u32)) as usize
        }
        _ => (fraction * n as f64).ceil() as usize,
    }
}
