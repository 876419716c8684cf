//! Labels that are made wrong on purpose, as in the paper's experiment on mislabelled examples
//! (Swayamdipta et al. 2020, section 5).

use crate::config::{Fraction, LabelNoiseConfig, LabelNoiseKind};
use crate::error::{Error, Result};
use crate::random::{Purpose, Stream};

use super::{Dataset, ExampleIndex};

/// Gives some of the examples at `among` a wrong label; all examples of the data set know their
/// true one afterwards, which is what the file said unless it has a column of true labels. The
/// examples that were changed, in ascending order.
///
/// Only classes that occur at `among` are given. [`LabelNoiseKind::Uniform`]: of N examples
/// floor(fraction N) get any of the other classes, each as likely. [`LabelNoiseKind::ByClass`]:
/// of each class's n examples floor(fraction n) get the next class, those of the last the first,
/// which is the "pair flipping" of Han et al. 2018 ("Co-teaching", section 4).
///
/// The result depends on the arguments alone.
///
/// # Errors
/// [`crate::error::ErrorKind::Internal`] for a fraction that a checked config cannot have.
pub fn add_label_noise(
    dataset: &mut Dataset,
    among: &[ExampleIndex],
    noise: &LabelNoiseConfig,
) -> Result<Vec<ExampleIndex>> {
    for example in &mut dataset.examples {
        example.true_label.get_or_insert(example.label);
    }
    let labels: Vec<u32> = among
        .iter()
        .map(|index| dataset.examples[*index as usize].label)
        .collect();
    let mut changed = Vec::new();
    for (position, label) in wrong_labels(&labels, noise)? {
        let index = among[position];
        dataset.examples[index as usize].label = label;
        changed.push(index);
    }
    changed.sort_unstable();
    Ok(changed)
}

/// Positions in `labels` and the wrong classes that the labels there become.
///
/// # Errors
/// As [`add_label_noise`].
fn wrong_labels(labels: &[u32], noise: &LabelNoiseConfig) -> Result<Vec<(usize, u32)>> {
    let share = noise.share().map_err(Error::internal)?;
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    // With one class there is no wrong label to give.
    if classes.len() < 2 {
        return Ok(Vec::new());
    }
    let mut order: Vec<usize> = (0..labels.len()).collect();
    Stream::new(noise.seed, Purpose::LabelNoise, 0, 0).shuffle(&mut order);
    Ok(match noise.kind {
        LabelNoiseKind::Uniform => uniform(labels, &classes, share, noise.seed, order),
        LabelNoiseKind::ByClass => by_class(labels, &classes, share, &order),
    })
}

fn uniform(
    labels: &[u32],
    classes: &[u32],
    share: Fraction,
    seed: u64,
    mut order: Vec<usize>,
) -> Vec<(usize, u32)> {
    order.truncate(share.of(labels.len()));
    let draws = Stream::new(seed, Purpose::LabelNoise, 1, 0);
    let n_others = classes.len() as u64 - 1;
    let wrong = |position: usize| {
        let others = classes.iter().filter(|class| **class != labels[position]);
        let draw = draws.below(position as u64, n_others) as usize;
        others.copied().nth(draw).map(|class| (position, class))
    };
    order.into_iter().filter_map(wrong).collect()
}

fn by_class(
    labels: &[u32],
    classes: &[u32],
    share: Fraction,
    order: &[usize],
) -> Vec<(usize, u32)> {
    let mut changed = Vec::new();
    for (i, class) in classes.iter().enumerate() {
        let next = classes[(i + 1) % classes.len()];
        let own: Vec<usize> = order
            .iter()
            .copied()
            .filter(|position| labels[*position] == *class)
            .collect();
        let n_changed = share.of(own.len());
        changed.extend(own.into_iter().take(n_changed).map(|at| (at, next)));
    }
    changed
}
