//! How much the maps of several runs agree: whether a map says something of the data, or only of
//! one run's seed.

use std::collections::HashMap;
use std::path::Path;

use crate::config::{Fraction, Fractions};
use crate::data::{Column, ExampleIndex, Table};
use crate::error::{Error, Problem, Result};
use crate::map::Point;
use crate::select::{Coordinates, select_regions};

/// The share of the examples that is compared as hard, easy and ambiguous: the paper's third.
const SHARE: &str = "0.33";

/// What is compared of a run's map.
#[derive(Debug)]
pub(super) struct ComparedMap {
    name: String,
    guids: Vec<String>,
    confidence: Vec<f64>,
    variability: Vec<f64>,
    correctness: Vec<f64>,
}

impl ComparedMap {
    /// A map without points of the run of that name.
    pub fn new(name: String) -> Self {
        Self {
            name,
            guids: Vec::new(),
            confidence: Vec::new(),
            variability: Vec::new(),
            correctness: Vec::new(),
        }
    }

    /// Takes in some of the map's points.
    pub fn add(&mut self, points: &[Point]) {
        for Point { example, signals } in points {
            self.guids.push(example.guid.clone());
            self.confidence.push(signals.confidence);
            self.variability.push(signals.variability);
            self.correctness.push(signals.correctness.into());
        }
    }

    /// The positions of the examples that both maps have, in the order of this one.
    fn common(&self, other: &Self) -> Vec<(usize, usize)> {
        let positions: HashMap<&str, usize> = other
            .guids
            .iter()
            .enumerate()
            .map(|(i, guid)| (guid.as_str(), i))
            .collect();
        let guids = self.guids.iter().enumerate();
        guids
            .filter_map(|(i, guid)| Some((i, *positions.get(guid.as_str())?)))
            .collect()
    }
}

/// Writes `stability.tsv`, a row for each pair of runs: how many examples they share, Spearman's
/// rank correlation of confidence, variability and correctness (-1 to 1; none where one of them
/// is constant), and which share of a third of the examples is the same: of the hardest, the
/// easiest and the most ambiguous. Where runs do not agree, chance would give 0.33.
///
/// # Errors
/// Maps without an example in common, or a file that cannot be written.
pub(super) fn write_stability(maps: &[ComparedMap], path: &Path) -> Result<()> {
    let pairs: Vec<(&ComparedMap, &ComparedMap)> = maps
        .iter()
        .enumerate()
        .flat_map(|(i, a)| maps[i + 1..].iter().map(move |b| (a, b)))
        .collect();
    let mut counts = Vec::new();
    let mut values: [Vec<f64>; 6] = Default::default();
    for (a, b) in &pairs {
        let common = a.common(b);
        if common.is_empty() {
            let message = format!("no example is also in the map of `{}`", b.name);
            return Err(Error::data(Problem::new(message).in_file(&a.name)));
        }
        counts.push(common.len() as i64);
        for (column, value) in values.iter_mut().zip(agreement(a, b, &common)?) {
            column.push(value);
        }
    }
    let names = |f: &dyn Fn(&(&ComparedMap, &ComparedMap)) -> String| {
        Column::Text(pairs.iter().map(f).collect())
    };
    let mut table = Table::new()
        .with("run_a", names(&|(a, _)| a.name.clone()))
        .with("run_b", names(&|(_, b)| b.name.clone()))
        .with("n_examples", Column::Integer(counts));
    let columns = [
        "spearman_confidence",
        "spearman_variability",
        "spearman_correctness",
        "same_hard_to_learn",
        "same_easy_to_learn",
        "same_ambiguous",
    ];
    for (name, values) in columns.into_iter().zip(values) {
        table = table.with(name, Column::Real(values));
    }
    table.write(path)
}

/// Three rank correlations, then three shares of picks.
fn agreement(a: &ComparedMap, b: &ComparedMap, common: &[(usize, usize)]) -> Result<[f64; 6]> {
    let signals: [fn(&ComparedMap) -> &[f64]; 3] = [
        |map| &map.confidence,
        |map| &map.variability,
        |map| &map.correctness,
    ];
    let [confidence, variability, correctness] = signals.map(|signal| {
        let (of_a, of_b): (Vec<f64>, Vec<f64>) = common
            .iter()
            .map(|(i, j)| (signal(a)[*i], signal(b)[*j]))
            .unzip();
        spearman(&of_a, &of_b)
    });
    let share: Fraction = SHARE.parse().map_err(Error::internal)?;
    let none = Fractions::default();
    let regions = [
        Fractions {
            hard_to_learn: share,
            ..none
        },
        Fractions {
            easy_to_learn: share,
            ..none
        },
        Fractions {
            ambiguous: share,
            ..none
        },
    ];
    let [of_a, of_b] = [
        coordinates(a, common.iter().map(|(i, _)| *i)),
        coordinates(b, common.iter().map(|(_, j)| *j)),
    ];
    let [hard, easy, ambiguous] = regions.map(|fractions| {
        let [mut of_a, of_b] = [&of_a, &of_b].map(|coordinates| {
            let picks = select_regions(&fractions, coordinates, 0);
            picks.iter().map(|pick| pick.index).collect::<Vec<_>>()
        });
        of_a.sort_unstable();
        let n_same = of_b
            .iter()
            .filter(|index| of_a.binary_search(index).is_ok())
            .count();
        n_same as f64 / of_a.len() as f64
    });
    Ok([confidence, variability, correctness, hard, easy, ambiguous])
}

/// The coordinates of the examples at these positions, whose indices count from 0.
fn coordinates(map: &ComparedMap, positions: impl Iterator<Item = usize>) -> Vec<Coordinates> {
    positions
        .enumerate()
        .map(|(index, position)| Coordinates {
            index: index as ExampleIndex,
            confidence: map.confidence[position],
            variability: map.variability[position],
        })
        .collect()
}

/// Spearman's rank correlation, -1 to 1: Pearson's of the ranks, where equal values share the
/// mean of theirs. NaN where either side is constant.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let sum = |of: &mut dyn Iterator<Item = f64>| of.sum::<f64>();
    let covariance = sum(&mut a.iter().zip(&b).map(|(a, b)| (a - mean) * (b - mean)));
    let [of_a, of_b] = [&a, &b].map(|ranks| sum(&mut ranks.iter().map(|r| (r - mean).powi(2))));
    covariance / (of_a * of_b).sqrt()
}

/// Ranks from 0.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|i, j| values[*i].total_cmp(&values[*j]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|i, j| values[*i].total_cmp(&values[*j]).is_eq()) {
        let mean = first as f64 + (equal.len() as f64 - 1.0) / 2.0;
        for i in equal {
            ranks[*i] = mean;
        }
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate_as_spearman_defined() {
        // Expected: scipy.stats.spearmanr, version 1.17.1.
        let check = |a: &[f64], b: &[f64], expected: f64| {
            assert!(
                (spearman(a, b) - expected).abs() < 1e-12,
                "{a:?} {b:?} {}",
                spearman(a, b)
            );
        };
        check(&[1.0, 2.0, 3.0], &[10.0, 20.0, 1e9], 1.0);
        check(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0], -1.0);
        check(&[1.0, 2.0, 2.0, 3.0], &[1.0, 3.0, 2.0, 2.0], 0.5);
        assert!(spearman(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
    }
}
