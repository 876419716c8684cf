//! The map of the means of several runs' maps.

use super::runs::Runs;
use crate::data::{Column, Table};
use crate::dynamics::is_canonical_number;
use crate::map::Forgetfulness;

/// The signals whose standard deviation over the runs the map has, and in which column.
pub(in crate::pipeline) const UNCERTAINTIES: [(&str, &str); 2] = [
    ("confidence", "confidence_std"),
    ("variability", "variability_std"),
];

/// The columns of the paper's code, in its order.
const TD_METRICS: [&str; 7] = [
    "guid",
    "index",
    "threshold_closeness",
    "confidence",
    "variability",
    "correctness",
    "forgetfulness",
];

/// A map with the columns of a run's map, of the examples that all runs have: `index` and `label`
/// are the first run's, every signal is the mean over the runs, and two more columns say how
/// much the places on the map differ: `confidence_std` and `variability_std`, the sample standard
/// deviations over the runs.
///
/// `forgetfulness` is the mean over the runs in which the example was learnt, or that of a never
/// learnt one where it was learnt in none; `threshold_closeness` is that of the mean confidence.
pub(in crate::pipeline) fn mean_map(runs: &Runs) -> Table {
    let n_runs = runs.runs().len();
    let of_runs =
        |name: &str| -> Vec<Vec<f64>> { (0..n_runs).map(|run| runs.signal(run, name)).collect() };
    let by_example = |values: &[Vec<f64>], f: &dyn Fn(&[f64]) -> f64| {
        let rows = 0..runs.n_common();
        let of_row = |row: usize| values.iter().map(|run| run[row]).collect::<Vec<f64>>();
        Column::Real(rows.map(|row| f(&of_row(row))).collect())
    };
    let mut table = Table::new()
        .with("guid", Column::Text(runs.guids()))
        .with("index", indices(runs))
        .with("label", Column::Text(runs.labels()));
    for name in runs.signal_names() {
        let column = match name {
            "forgetfulness" => by_example(&of_runs(name), &mean_forgetfulness),
            "threshold_closeness" => by_example(&of_runs("confidence"), &|values| {
                let confidence = mean(values);
                confidence * (1.0 - confidence)
            }),
            _ => by_example(&of_runs(name), &mean),
        };
        table = table.with(name, column);
    }
    for (signal, name) in UNCERTAINTIES {
        table = table.with(name, by_example(&of_runs(signal), &deviation));
    }
    table
}

fn indices(runs: &Runs) -> Column {
    Column::Integer(runs.indices().into_iter().map(i64::from).collect())
}

/// The columns of the mean map that the paper's code has, in its order. Ids are numbers where all
/// of them look like ones.
pub(in crate::pipeline) fn td_metrics(runs: &Runs, map: &Table) -> Table {
    TD_METRICS.iter().fold(Table::new(), |table, name| {
        let column = match *name {
            "guid" => guids(runs),
            "index" => indices(runs),
            _ => Column::Real(map.reals(name).unwrap_or_default()),
        };
        table.with(*name, column)
    })
}

fn guids(runs: &Runs) -> Column {
    let guids = runs.guids();
    let number = |guid: &String| is_canonical_number(guid).then(|| guid.parse().ok())?;
    match guids.iter().map(number).collect::<Option<Vec<i64>>>() {
        Some(numbers) => Column::Integer(numbers),
        None => Column::Text(guids),
    }
}

/// In how many of so many epochs the examples were right on average, to the nearest whole number.
pub(in crate::pipeline) fn epochs_right(map: &Table, n_epochs: usize) -> Vec<u32> {
    let ratios = map.reals("correct_ratio").unwrap_or_default();
    ratios
        .iter()
        .map(|ratio| (ratio * n_epochs as f64).round() as u32)
        .collect()
}

/// The mean; exactly the value where all are the same, so that equal runs do not differ.
fn mean(values: &[f64]) -> f64 {
    match values {
        [first, others @ ..] if others.iter().all(|x| x.total_cmp(first).is_eq()) => *first,
        _ => values.iter().sum::<f64>() / values.len() as f64,
    }
}

fn mean_forgetfulness(values: &[f64]) -> f64 {
    let never_learnt = f64::from(Forgetfulness::NeverLearnt.exported());
    let learnt: Vec<f64> = values
        .iter()
        .copied()
        .filter(|x| *x < never_learnt)
        .collect();
    if learnt.is_empty() {
        never_learnt
    } else {
        mean(&learnt)
    }
}

/// The sample standard deviation: the runs stand for all that could have been.
fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0)).sqrt()
}
