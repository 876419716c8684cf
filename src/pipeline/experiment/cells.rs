//! The cells of a grid: what each trains on, for how long, and where it lies.

use std::path::PathBuf;

use crate::config::{
    Budget, Config, Experiment, ExperimentConfig, Fraction, LoadedConfig, Seeds, SubsetRule,
};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::experiment::content::Content;
use crate::pipeline::experiment_results::ALL;
use crate::pipeline::inputs::{Inputs, ValidationSet};
use crate::pipeline::run_folder::RunFolder;

/// The folder of the cells in the output folder.
pub const CELLS: &str = "cells";

/// The map's table in the folder of a training on everything.
pub const MAP: &str = "data_map.parquet";

/// One training on one subset with one seed.
#[derive(Debug, Clone)]
pub struct Cell {
    /// What picks the subset; none: everything is trained on.
    pub rule: Option<SubsetRule>,
    /// How much is picked.
    pub fraction: Fraction,
    /// Decides head, order and dropout.
    pub seed: u64,
    /// How much that is.
    pub n_examples: usize,
    /// How often the subset is gone through.
    pub epochs: usize,
    /// Optimizer steps.
    pub n_steps: usize,
    /// What there is to compute but for test and control sets, which all cells have in common, in
    /// forward passes of one training example; a backward pass is two.
    pub work: u64,
    /// Whether it is in the results; one that is not only makes a map.
    pub is_scored: bool,
    /// What reproduces it, as the folder has it: a config with an experiment of this cell.
    pub config: Config,
    /// Where it lies; the name is the hash of all that decides its results.
    pub folder: PathBuf,
}

impl Cell {
    /// What picks its subset, in results.
    pub fn selection(&self) -> &str {
        self.rule.as_ref().map_or(ALL, |rule| &rule.name)
    }

    /// The name of its folder.
    pub fn id(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Whether it is done.
    pub fn is_complete(&self) -> bool {
        RunFolder::is_complete(&self.folder)
    }

    /// The seed of the training on everything whose map its subset is picked by, if it is.
    pub fn map_seed(&self) -> Option<u64> {
        let rule = self.rule.as_ref().filter(|rule| !rule.is_random())?;
        Some(rule.map_seed.unwrap_or(self.config.random_state))
    }

    /// The config that its training follows.
    pub fn training_config(&self) -> Config {
        let mut config = self.config.clone();
        config.random_state = self.seed;
        config.training.epochs = self.epochs;
        config
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let selection = self.selection();
        write!(f, "{selection} {} seed {}", self.fraction, self.seed)
    }
}

/// A config without what names or reports results: its data and training decide the cells, and
/// each cell has a folder of its own.
pub fn without_results(config: &Config) -> Config {
    let mut config = config.clone();
    let defaults = Config::default();
    let (training, unchanged) = (&mut config.training, defaults.training);
    training.results_file = None;
    training.data_cartography_results = PathBuf::from(MAP);
    training.report_to = unchanged.report_to;
    training.logging_steps = unchanged.logging_steps;
    training.save_steps = unchanged.save_steps;
    training.logging_dir = None;
    training.run_name = None;
    config.model.output_path = defaults.model.output_path;
    config.mlflow = None;
    config.dvc = defaults.dvc;
    if let Some(testing) = &mut config.testing {
        testing.results_file = None;
    }
    for control in &mut config.control {
        control.results_file = None;
    }
    config
}

/// All cells of an experiment, in the order of results: training on everything first, then by
/// selection, fraction and seed.
///
/// # Errors
/// A fraction of which these data leave no example.
pub fn all_cells(
    loaded: &LoadedConfig,
    inputs: &Inputs,
    experiment: &Experiment,
    content: &Content,
) -> Result<Vec<Cell>> {
    let grid = Grid {
        config: &loaded.config,
        inputs,
        experiment,
        content,
        n_examples: inputs.selection.subset.len(),
    };
    let (whole, parts): (Vec<&Fraction>, Vec<&Fraction>) = experiment
        .fractions
        .iter()
        .partition(|fraction| **fraction == Fraction::ONE);
    if let Some(fraction) = parts.iter().find(|f| f.of(grid.n_examples) == 0) {
        let message = format!(
            "the fraction {fraction} of {} examples leaves none",
            grid.n_examples
        );
        let problem = loaded.source.problem("experiment.fractions", message);
        return Err(Error::new(ErrorKind::Config, problem));
    }
    let scored: &[u64] = if whole.is_empty() {
        &[]
    } else {
        &experiment.seeds
    };
    let mut map_seeds: Vec<u64> = Vec::new();
    if !parts.is_empty() {
        let rules = experiment.selections.iter().filter(|r| !r.is_random());
        map_seeds.extend(rules.map(|r| r.map_seed.unwrap_or(grid.config.random_state)));
    }
    map_seeds.retain(|seed| !scored.contains(seed));
    map_seeds.sort_unstable();
    map_seeds.dedup();
    let mut cells = Vec::new();
    for seed in scored {
        cells.push(grid.cell(None, Fraction::ONE, *seed, true)?);
    }
    for seed in map_seeds {
        cells.push(grid.cell(None, Fraction::ONE, seed, false)?);
    }
    for rule in &experiment.selections {
        for fraction in &parts {
            for seed in &experiment.seeds {
                cells.push(grid.cell(Some(rule), **fraction, *seed, true)?);
            }
        }
    }
    Ok(cells)
}

/// What all cells have in common.
struct Grid<'a> {
    config: &'a Config,
    inputs: &'a Inputs,
    experiment: &'a Experiment,
    content: &'a Content,
    n_examples: usize,
}

impl Grid<'_> {
    fn cell(
        &self,
        rule: Option<&SubsetRule>,
        fraction: Fraction,
        seed: u64,
        is_scored: bool,
    ) -> Result<Cell> {
        let training = &self.config.training;
        let per_step = training.batch_size * training.gradient_accumulation_steps;
        let n_examples = fraction.of(self.n_examples);
        let steps_per_epoch = n_examples.div_ceil(per_step);
        let epochs = match self.experiment.budget {
            Budget::Epochs => training.epochs,
            Budget::Steps => {
                let n_steps = training.epochs * self.n_examples.div_ceil(per_step);
                // The nearest whole number of epochs, halves up.
                ((2 * n_steps + steps_per_epoch) / (2 * steps_per_epoch)).max(1)
            }
        };
        let config = self.written_config(rule, fraction, seed);
        let id = self.content.id(&config)?;
        Ok(Cell {
            rule: rule.cloned(),
            fraction,
            seed,
            n_examples,
            epochs,
            n_steps: epochs * steps_per_epoch,
            work: self.work(n_examples, epochs, rule.is_none()),
            is_scored,
            config,
            folder: self.config.output_dir().join(CELLS).join(id),
        })
    }

    /// The config with an experiment of this cell alone and without the output folder, so that
    /// neither the rest of the grid nor its place decides the cell's id.
    fn written_config(&self, rule: Option<&SubsetRule>, fraction: Fraction, seed: u64) -> Config {
        let mut config = without_results(self.config);
        config.data.output_dir = Config::default().data.output_dir;
        config.training.output_dir = None;
        config.training.perform_data_cartography = rule.is_none();
        let selection =
            rule.map_or_else(|| SubsetRule::random().to_config(), SubsetRule::to_config);
        config.experiment = Some(ExperimentConfig {
            selections: vec![selection],
            fractions: vec![fraction.to_string().parse().unwrap_or(1.0)],
            seeds: Seeds::List(vec![seed]),
            // Everything takes as long by either.
            budget: rule.map_or_else(Budget::default, |_| self.experiment.budget),
        });
        config
    }

    fn work(&self, n_examples: usize, epochs: usize, makes_map: bool) -> u64 {
        let n_validation = match &*self.inputs.validation {
            ValidationSet::None => 0,
            ValidationSet::File(dataset) => dataset.len(),
            ValidationSet::Split(indices) => indices.len(),
        };
        let per_example = 3 + usize::from(makes_map);
        let in_epochs = epochs * (per_example * n_examples + n_validation);
        (in_epochs + n_examples + n_validation) as u64
    }
}
