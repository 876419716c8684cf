//! What the finished cells have measured, gathered into the results of the experiment.

use serde_json::{Map, Value};

use crate::config::LoadedConfig;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::pipeline::experiment::cells::{CELLS, Cell};
use crate::pipeline::experiment_results::{CellScore, StageScores, write_results};
use crate::pipeline::inputs::Inputs;
use crate::pipeline::run_folder::RunFolder;
use crate::pipeline::summary::print_text;
use crate::train::MetricSet;

/// What every cell measured.
const METRICS: &str = "metrics.yaml";

/// Writes the results of the cells that are done, and says what is missing.
///
/// # Errors
/// No cell that is done, or files that cannot be read or written.
pub fn gather(loaded: &LoadedConfig, inputs: &Inputs, cells: &[Cell]) -> Result<()> {
    let output_dir = loaded.config.output_dir();
    let scored = || cells.iter().filter(|cell| cell.is_scored);
    for cell in cells.iter().filter(|cell| cell.is_complete()) {
        RunFolder::of_part(output_dir, &cell.folder).remove_checkpoints()?;
    }
    let done = scored().filter(|cell| cell.is_complete());
    let scores = done.map(|cell| score_of(cell, &inputs.metrics));
    let scores = scores.collect::<Result<Vec<CellScore>>>()?;
    if scores.is_empty() {
        let message = "no cell of this experiment is done";
        let problem = Problem::new(message).in_file(output_dir.join(CELLS));
        let hint = "run `experiment` with the same config, data and program first";
        return Err(Error::new(ErrorKind::MissingInput, problem.hint(hint)));
    }
    let missing: Vec<&Cell> = scored().filter(|cell| !cell.is_complete()).collect();
    if let Some(first) = missing.first() {
        tracing::warn!(
            "{} of {} cells are missing, the first of them `{first}`; `--plan` lists them",
            missing.len(),
            scored().count()
        );
    }
    let text = write_results(&scores, &inputs.metrics, output_dir)?;
    print_text(&text)?;
    let cells = output_dir.join(CELLS);
    print_text(&format!(
        "\nResults of {} cells in {}, each cell's own in {}\n",
        scores.len(),
        output_dir.display(),
        cells.display()
    ))
}

fn score_of(cell: &Cell, metrics: &MetricSet) -> Result<CellScore> {
    let bytes = RunFolder::read_checked(&cell.folder, METRICS).map_err(|error| {
        let problems = error.problems().iter().cloned();
        let hint = format!(
            "remove {}, and the same command trains this cell anew",
            cell.folder.display()
        );
        Error::all(error.kind(), problems.map(|p| p.hint(&hint)).collect())
    })?;
    let stages: Map<String, Value> = serde_yaml::from_slice(&bytes)
        .map_err(|e| Error::internal(format!("{}: {e}", cell.folder.join(METRICS).display())))?;
    let stages = stages.into_iter();
    // What is no single number, as a table or an interval, has no direction.
    let stages = stages.map(|(stage, values)| StageScores {
        stage,
        metrics: values.as_object().map_or_else(Vec::new, |values| {
            let single = values.iter();
            let single = single.filter(|(name, _)| metrics.direction(name).is_some());
            single
                .map(|(name, value)| (name.clone(), value.as_f64().unwrap_or(f64::NAN)))
                .collect()
        }),
    });
    Ok(CellScore {
        id: cell.id(),
        selection: cell.selection().to_owned(),
        fraction: cell.fraction,
        seed: cell.seed,
        n_examples: cell.n_examples,
        stages: stages.filter(|stage| !stage.metrics.is_empty()).collect(),
    })
}
