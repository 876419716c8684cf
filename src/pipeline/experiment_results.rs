//! What came out of a grid of experiments, over seeds, as tables and pictures.

mod figures;
mod markdown;
mod summary;

use std::path::Path;

use serde_json::{Value, json};

use crate::config::Fraction;
use crate::data::{Column, Table};
use crate::error::Result;
use crate::fsio;
use crate::metrics::{CONFIDENCE_LEVEL, OverSeeds};
use crate::train::MetricSet;
use markdown::Page;
use summary::{SummaryRow, groups, metrics, stages, summary};

/// The selection that trains on everything; its fraction is 1.
pub const ALL: &str = "all";

/// The selection that all others are compared with.
pub const RANDOM: &str = "random";

/// The stage whose examples are each cell's own, so that cells cannot be compared by it.
const TRAIN: &str = "train";

/// What one cell of a grid measured: one selection, fraction and seed.
#[derive(Debug, Clone, PartialEq)]
pub struct CellScore {
    /// The name of its folder.
    pub id: String,
    /// What picked the examples, [`ALL`], [`RANDOM`] or any other name.
    pub selection: String,
    /// The share of the training set that was asked for, 1 for [`ALL`].
    pub fraction: Fraction,
    /// The seed of the training; a selection and fraction has each once.
    pub seed: u64,
    /// The number of examples that were trained on.
    pub n_examples: usize,
    /// The best model's scores, in the order of the stages in `metrics.yaml`.
    pub stages: Vec<StageScores>,
}

/// The scores of one stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageScores {
    /// `train`, `validation`, `test`, `control` or `control_NAME`.
    pub stage: String,
    /// Metrics that are one number, by name and in the order of `metrics.yaml`; NaN where a metric
    /// is not defined.
    pub metrics: Vec<(String, f64)>,
}

impl CellScore {
    /// The value of that metric on that stage, where the cell has it; NaN where it is not defined.
    fn value(&self, stage: &str, metric: &str) -> Option<f64> {
        let stage = self.stages.iter().find(|scores| scores.stage == stage)?;
        let (_, value) = stage.metrics.iter().find(|(name, _)| name == metric)?;
        Some(*value)
    }
}

/// Writes what the cells measured into `folder`, and gives the text of `results.md`.
///
/// Cells may come in any order, and any of them may be missing; the result is the same as if
/// there were none of those. The first of `metrics` that is one number is drawn, else the loss.
///
/// | file | what it is |
/// | --- | --- |
/// | `results.md` | means over seeds with their intervals, differences from [`RANDOM`] and [`ALL`] |
/// | `results.csv` | a row per cell, stage and metric |
/// | `summary.csv` | a row per selection, fraction, stage and metric: all that `results.md` is made of |
/// | `results.json` | both tables |
/// | `results_STAGE.svg`, `.png` | the metric against the fraction, for test and control sets |
///
/// # Errors
/// Files that cannot be written.
pub fn write_results(cells: &[CellScore], metric_set: &MetricSet, folder: &Path) -> Result<String> {
    let groups = groups(cells);
    let rows = summary(cells, &groups);
    cell_table(cells).write(&folder.join("results.csv"))?;
    summary_table(&rows).write(&folder.join("summary.csv"))?;
    let mut json = serde_json::to_string_pretty(&as_json(cells, &rows)).unwrap_or_default();
    json.push('\n');
    fsio::write(&folder.join("results.json"), json.as_bytes())?;

    let shown = shown_stages(&stages(cells));
    let metrics = ordered(metrics(cells), metric_set);
    let pictures = match metrics.first() {
        Some(metric) => figures::draw(&rows, metric, &shown, folder)?,
        None => Vec::new(),
    };
    let directed: Vec<_> = metrics
        .iter()
        .map(|name| (*name, metric_set.direction(name)))
        .collect();
    let page = Page {
        groups: &groups,
        rows: &rows,
        stages: &shown,
        metrics: &directed,
        pictures: &pictures,
    };
    let text = page.text();
    fsio::write(&folder.join("results.md"), text.as_bytes())?;
    Ok(text)
}

/// The stages that subsets are compared on: test and control sets, else the validation set, else
/// what each was trained on.
fn shown_stages<'a>(stages: &[&'a str]) -> Vec<&'a str> {
    let of_others = |stage: &&&str| !matches!(**stage, TRAIN | "validation");
    let mut shown: Vec<&str> = stages.iter().filter(of_others).copied().collect();
    if shown.is_empty() {
        shown.extend(stages.iter().filter(|stage| **stage != TRAIN));
    }
    if shown.is_empty() {
        shown.extend(stages);
    }
    shown
}

/// The cells' metrics in the order of the config's; the loss, which no config lists, comes last.
fn ordered<'a>(mut names: Vec<&'a str>, metric_set: &MetricSet) -> Vec<&'a str> {
    let of_config = |name: &str| {
        let mut listed = metric_set.metrics.iter();
        listed.position(|(other, _)| other == name)
    };
    names.sort_by_key(|name| of_config(name).unwrap_or(usize::MAX));
    names
}

/// A row per cell, stage and metric.
fn cell_table(cells: &[CellScore]) -> Table {
    let mut rows = Vec::new();
    for cell in cells {
        for stage in &cell.stages {
            for (metric, value) in &stage.metrics {
                rows.push((cell, &stage.stage, metric, *value));
            }
        }
    }
    let text = |f: &dyn Fn(&CellScore) -> String| {
        Column::Text(rows.iter().map(|(cell, ..)| f(cell)).collect())
    };
    let n_examples = rows.iter().map(|(cell, ..)| cell.n_examples as i64);
    let stages = rows.iter().map(|(_, stage, ..)| (*stage).clone());
    let metrics = rows.iter().map(|(_, _, metric, _)| (*metric).clone());
    let values = rows.iter().map(|(.., value)| *value);
    Table::new()
        .with("selection", text(&|cell| cell.selection.clone()))
        .with("fraction", text(&|cell| cell.fraction.to_string()))
        .with("seed", text(&|cell| cell.seed.to_string()))
        .with("n_examples", Column::Integer(n_examples.collect()))
        .with("stage", Column::Text(stages.collect()))
        .with("metric", Column::Text(metrics.collect()))
        .with("value", Column::Real(values.collect()))
        .with("id", text(&|cell| cell.id.clone()))
}

/// What is said of a number over seeds; NaN, an empty cell, where there is none.
const OF_SEEDS: [&str; 5] = ["n", "mean", "standard_deviation", "low", "high"];

fn of_seeds(numbers: Option<&OverSeeds>) -> [f64; 5] {
    let Some(numbers) = numbers else {
        return [0.0, f64::NAN, f64::NAN, f64::NAN, f64::NAN];
    };
    let [deviation, low, high] = match numbers.spread {
        Some(spread) => [spread.standard_deviation, spread.low, spread.high],
        None => [f64::NAN; 3],
    };
    [numbers.n as f64, numbers.mean, deviation, low, high]
}

/// A row per selection, fraction, stage and metric.
fn summary_table(rows: &[SummaryRow]) -> Table {
    let text = |f: &dyn Fn(&SummaryRow) -> String| Column::Text(rows.iter().map(f).collect());
    let n_examples = rows.iter().map(|row| row.n_examples as i64);
    let mut table = Table::new()
        .with("selection", text(&|row| row.selection.to_owned()))
        .with("fraction", text(&|row| row.fraction.to_string()))
        .with("n_examples", Column::Integer(n_examples.collect()))
        .with("stage", text(&|row| row.stage.to_owned()))
        .with("metric", text(&|row| row.metric.to_owned()));
    for (prefix, numbers_of) in NUMBERS {
        for (i, name) in OF_SEEDS.into_iter().enumerate() {
            let values = rows.iter().map(|row| of_seeds(numbers_of(row).as_ref())[i]);
            let column = if name == "n" {
                Column::Integer(values.map(|n| n as i64).collect())
            } else {
                Column::Real(values.collect())
            };
            table = table.with(format!("{prefix}{name}"), column);
        }
    }
    table
}

type NumbersOf = fn(&SummaryRow) -> Option<OverSeeds>;

/// The numbers of a row, and what their names begin with.
const NUMBERS: [(&str, NumbersOf); 3] = [
    ("", |row| row.scores),
    ("against_random_", |row| row.against_random),
    ("against_all_", |row| row.against_all),
];

/// Both tables, for programs; what is not defined is null.
fn as_json(cells: &[CellScore], rows: &[SummaryRow]) -> Value {
    let cells = cells.iter().map(|cell| {
        let stages = cell.stages.iter().map(|stage| {
            let metrics = stage.metrics.iter();
            let metrics = metrics.map(|(name, value)| (name.clone(), json!(value)));
            (stage.stage.clone(), Value::Object(metrics.collect()))
        });
        json!({
            "id": cell.id,
            "selection": cell.selection,
            "fraction": cell.fraction.to_f64(),
            "seed": cell.seed,
            "n_examples": cell.n_examples,
            "stages": Value::Object(stages.collect()),
        })
    });
    let rows = rows.iter().map(|row| {
        let mut value = json!({
            "selection": row.selection,
            "fraction": row.fraction.to_f64(),
            "n_examples": row.n_examples,
            "stage": row.stage,
            "metric": row.metric,
        });
        for (prefix, numbers_of) in NUMBERS {
            let numbers = numbers_of(row).map(|numbers| {
                let [n, mean, standard_deviation, low, high] = of_seeds(Some(&numbers));
                json!({
                    "n": n as usize,
                    "mean": mean,
                    "standard_deviation": standard_deviation,
                    "low": low,
                    "high": high,
                })
            });
            let name = match prefix.trim_end_matches('_') {
                "" => "scores",
                name => name,
            };
            value[name] = json!(numbers);
        }
        value
    });
    json!({
        "confidence_level": CONFIDENCE_LEVEL,
        "cells": cells.collect::<Vec<_>>(),
        "summary": rows.collect::<Vec<_>>(),
    })
}
