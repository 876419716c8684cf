//! How much the maps of several runs agree: whether a map says something of the data, or only of
//! one run's seed.
//!
//! ```text
//! runs      the signals of all runs, example by example
//! spearman  rank correlation
//! mean_map  the map of the means, with how uncertain each is
//! ```

mod mean_map;
mod runs;
mod spearman;

use std::fmt::Write;
use std::path::Path;

use crate::config::{Fraction, Fractions, Region};
use crate::data::{Column, ExampleIndex, Table};
use crate::error::{Error, Result};
use crate::pipeline::ready_model::thousands;
use crate::select::{Coordinates, select_regions};

pub(super) use mean_map::{UNCERTAINTIES, epochs_right, mean_map, td_metrics};
pub(super) use runs::Runs;
pub(super) use spearman::spearman;

/// The share of the examples that is compared as hard, easy and ambiguous: the paper's third.
const SHARE: &str = "0.33";

/// The regions that are compared.
const REGIONS: [Region; 3] = [Region::HardToLearn, Region::EasyToLearn, Region::Ambiguous];

/// The signals that the summary tells of.
const TOLD: [&str; 8] = [
    "confidence",
    "variability",
    "correctness",
    "forgetfulness",
    "aum",
    "el2n",
    "entropy",
    "loss",
];

/// How much the runs agree.
#[derive(Debug)]
pub(super) struct Stability {
    /// For each pair of runs their numbers, from 0.
    pairs: Vec<(usize, usize)>,
    /// For each signal its name and, for each pair, Spearman's rank correlation, -1 to 1; NaN
    /// where one of both is constant or missing.
    correlations: Vec<(String, Vec<f64>)>,
    /// For each region, and each pair, which share of its third of the examples is the same.
    same: [Vec<f64>; 3],
    /// For each region which share of its third of the examples is the same in all runs.
    same_in_all: [f64; 3],
}

impl Stability {
    /// Compares the runs over the examples that all of them have.
    ///
    /// # Errors
    /// None but a bug of ours.
    pub fn of(runs: &Runs) -> Result<Self> {
        let n_runs = runs.runs().len();
        let pairs: Vec<(usize, usize)> = (0..n_runs)
            .flat_map(|a| (a + 1..n_runs).map(move |b| (a, b)))
            .collect();
        let correlations = runs.signal_names().map(|name| {
            let values: Vec<Vec<f64>> = (0..n_runs).map(|run| runs.signal(run, name)).collect();
            let of_pairs = pairs
                .iter()
                .map(|(a, b)| spearman(&values[*a], &values[*b]));
            (name.to_owned(), of_pairs.collect())
        });
        let correlations = correlations.collect();
        let mut same: [Vec<f64>; 3] = Default::default();
        let mut same_in_all = [f64::NAN; 3];
        for (i, region) in REGIONS.into_iter().enumerate() {
            let picked = (0..n_runs).map(|run| thirds(runs, run, region));
            let picked = picked.collect::<Result<Vec<_>>>()?;
            let of_pairs = pairs.iter();
            same[i] = of_pairs
                .map(|(a, b)| share_in_all(&[&picked[*a], &picked[*b]]))
                .collect();
            same_in_all[i] = share_in_all(&picked.iter().collect::<Vec<_>>());
        }
        Ok(Self {
            pairs,
            correlations,
            same,
            same_in_all,
        })
    }

    /// Writes a row for each pair of runs: how many examples are compared, the rank correlation of
    /// each signal, and the shares of the regions' thirds that are the same. Where runs do not
    /// agree, chance would give 0.33.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, runs: &Runs, path: &Path) -> Result<()> {
        let name = |run: usize| runs.runs()[run].name.clone();
        let n_examples = runs.n_common() as i64;
        let mut table = Table::new()
            .with(
                "run_a",
                Column::Text(self.pairs.iter().map(|(a, _)| name(*a)).collect()),
            )
            .with(
                "run_b",
                Column::Text(self.pairs.iter().map(|(_, b)| name(*b)).collect()),
            )
            .with(
                "n_examples",
                Column::Integer(vec![n_examples; self.pairs.len()]),
            );
        for (signal, values) in &self.correlations {
            table = table.with(format!("spearman_{signal}"), Column::Real(values.clone()));
        }
        for (region, values) in REGIONS.iter().zip(&self.same) {
            table = table.with(format!("same_{region}"), Column::Real(values.clone()));
        }
        table.write(path)
    }

    /// The same in words and rounded, with how much the examples' places differ: `map` is the
    /// [`mean_map`].
    pub fn summary(&self, runs: &Runs, map: &Table) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} runs, {} examples in all of them",
            runs.runs().len(),
            thousands(runs.n_common())
        );
        for (run, number) in runs.runs().iter().zip(1..) {
            let (n_epochs, n_examples) = (run.n_epochs, thousands(run.n_examples));
            let _ = writeln!(
                text,
                "  {number}  {}: {n_examples} examples, {n_epochs} epochs",
                run.name
            );
        }
        let n_pairs = match self.pairs.len() {
            1 => "of the pair of runs".to_owned(),
            n => format!("of the {n} pairs of runs"),
        };
        let _ = writeln!(
            text,
            "\n{:<36}{:>8}{:>8}",
            "rank correlation (Spearman's)", "mean", "least"
        );
        for (signal, values) in &self.correlations {
            let values: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
            if TOLD.contains(&signal.as_str()) && !values.is_empty() {
                let _ = writeln!(
                    text,
                    "  {signal:<34}{:>8.3}{:>8.3}",
                    mean(&values),
                    least(&values)
                );
            }
        }
        let _ = writeln!(
            text,
            "\n{:<36}{:>8}{:>8}{:>12}",
            "share of a region's third that stays", "mean", "least", "in all runs"
        );
        for ((region, values), in_all) in REGIONS.iter().zip(&self.same).zip(self.same_in_all) {
            let _ = writeln!(
                text,
                "  {:<34}{:>8.3}{:>8.3}{in_all:>12.3}",
                region.name(),
                mean(values),
                least(values)
            );
        }
        let _ = writeln!(text, "  (means and least {n_pairs}; chance gives {SHARE})");
        let _ = writeln!(
            text,
            "\n{:<36}{:>8}{:>8}",
            "standard deviation over the runs", "mean", "most"
        );
        for (signal, column) in UNCERTAINTIES {
            let values = map.reals(column).unwrap_or_default();
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let _ = writeln!(text, "  {signal:<34}{:>8.3}{most:>8.3}", mean(&values));
        }
        text
    }
}

/// The examples of a region's third in a run's map, in ascending order.
fn thirds(runs: &Runs, run: usize, region: Region) -> Result<Vec<ExampleIndex>> {
    let share: Fraction = SHARE.parse().map_err(Error::internal)?;
    let mut fractions = Fractions::default();
    match region {
        Region::HardToLearn => fractions.hard_to_learn = share,
        Region::EasyToLearn => fractions.easy_to_learn = share,
        Region::Ambiguous => fractions.ambiguous = share,
        Region::Random => fractions.random = share,
    }
    let (confidence, variability) = (
        runs.signal(run, "confidence"),
        runs.signal(run, "variability"),
    );
    let coordinates = runs.indices().into_iter().zip(confidence).zip(variability);
    let coordinates: Vec<Coordinates> = coordinates
        .map(|((index, confidence), variability)| Coordinates {
            index,
            confidence,
            variability,
        })
        .collect();
    let picks = select_regions(&fractions, &coordinates, 0);
    let mut indices: Vec<ExampleIndex> = picks.iter().map(|pick| pick.index).collect();
    indices.sort_unstable();
    Ok(indices)
}

/// The share of the first run's picks that all others have as well; NaN without any.
fn share_in_all(of_runs: &[&Vec<ExampleIndex>]) -> f64 {
    let [first, others @ ..] = of_runs else {
        return f64::NAN;
    };
    let is_in_all = |index: &&ExampleIndex| {
        others
            .iter()
            .all(|other| other.binary_search(index).is_ok())
    };
    first.iter().filter(is_in_all).count() as f64 / first.len() as f64
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
