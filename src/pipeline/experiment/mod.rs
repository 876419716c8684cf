//! The paper's subset experiments: a grid of trainings on subsets of the training set.

mod cells;
mod claims;
mod content;
mod grid_progress;
mod jobs;
mod measure;
mod memory;
mod plan;
mod scores;
mod shard;
mod subset;

pub(super) use cells::CELLS;
pub use shard::Shard;

use crate::config::{CurriculumOrder, LoadedConfig, SelectorSpec};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio::{self, Sharing};
use crate::pipeline::inputs::Inputs;
use crate::pipeline::ready_model::{ModelStart, ReadyModel};
use crate::pipeline::signals;
use crate::pipeline::start::OutputLock;
use crate::pipeline::summary::{print_text, this_program};
use crate::pipeline::{ConfigOptions, Console, DeviceChoice, open_device, read_config};
use crate::select::Commands;
use cells::{Cell, all_cells, without_results};
use claims::Claims;
use content::Content;
use grid_progress::GridProgress;
use jobs::{Failure, Grid, in_own_threads, train_cells};
use measure::{measure, testing_work};

/// What `experiment` needs of the command line.
#[derive(Debug, Clone)]
pub struct ExperimentOptions {
    /// The config.
    pub config: ConfigOptions,
    /// Cells that are trained side by side, at least 1.
    pub n_jobs: usize,
    /// The part of the grid to do; none: that of a job array's variables, else all of it.
    pub shard: Option<Shard>,
    /// What to do with it.
    pub action: ExperimentAction,
}

/// What `experiment` does with the cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExperimentAction {
    /// Trains those that are not done.
    Train,
    /// Says which there are and how long they will take.
    Plan,
    /// Gathers the results of those that are done.
    Collect,
}

/// Trains on everything with cartography, then on the subsets that the config's section
/// `experiment` asks for, each from the same base weights; gathers what came out.
///
/// # Errors
/// Everything that can be wrong with config and data, before any training; after the other
/// cells are done, what failed in some.
pub fn run_experiment(
    options: &ExperimentOptions,
    device: DeviceChoice,
    console: &Console,
) -> Result<()> {
    let device = open_device(device)?;
    let loaded = read_experiment(&options.config)?;
    signals::say_at_stop("the same command goes on where it was stopped".to_owned());
    let folder = loaded.config.output_dir();
    if options.action != ExperimentAction::Plan && folder.is_dir() {
        fsio::tidy_up(folder)?;
    }
    let mut lock = OutputLock::take_early(&loaded.config, Sharing::Shared)?;
    let shard = shard_of(options)?;
    let inputs = Inputs::read(&loaded, Commands::Run)?;
    check_inputs(&loaded, &inputs)?;
    let checkpoint = inputs.model.bring(&loaded.source, console)?;
    let content = Content::read(&loaded.config, &inputs, checkpoint.as_deref())?;
    let section = loaded.config.experiment.clone().unwrap_or_default();
    let experiment = section.resolve(loaded.config.random_state);
    let experiment = experiment.map_err(|_| Error::internal("the section was not checked"))?;
    let cells = all_cells(&loaded, &inputs, &experiment, &content)?;
    if options.action == ExperimentAction::Collect {
        return scores::gather(&loaded, &inputs, &cells);
    }
    let ours = plan::cells_of_shard(&cells, shard);
    let todo: Vec<&Cell> = plan::in_order(&ours, &cells);
    let n_jobs = useful_jobs(options.n_jobs, todo.len());
    let prepare = || {
        let model = ReadyModel::prepare(&loaded.config, &inputs, checkpoint.as_deref(), &device)?;
        model.into_start()
    };
    if options.action == ExperimentAction::Plan {
        return plan::print(&loaded, &inputs, &ours, &todo, n_jobs, prepare);
    }
    if inputs.stages.is_empty() {
        tracing::warn!(
            "there is neither a test nor a control set, on which subsets could be compared"
        );
    }
    say_beginning(&cells, &ours, &todo, shard);
    let failures = if todo.is_empty() {
        Vec::new()
    } else {
        lock.take(&loaded.config, Sharing::Shared)?;
        let start = prepare()?;
        let cells = (&*todo, &*cells);
        train_all(&loaded, &inputs, &start, cells, n_jobs, console)?
    };
    let failed = failed(&failures, todo.len());
    let has_results = failed.is_none() || cells.iter().any(|c| c.is_scored && c.is_complete());
    match shard {
        None if has_results => scores::gather(&loaded, &inputs, &cells)?,
        Some(shard) if failed.is_none() => print_text(&format!(
            "Part {shard} of the grid is done; when all are:\n  {} {} --collect\n",
            this_program(),
            options.config.arguments("experiment")
        ))?,
        _ => {}
    }
    failed.map_or(Ok(()), Err)
}

/// The config without what names or reports the results of one run.
fn read_experiment(options: &ConfigOptions) -> Result<LoadedConfig> {
    let mut loaded = read_config(options)?;
    let config = &loaded.config;
    let training = &config.training;
    if !training.report_to.is_empty() || config.mlflow.is_some() || config.dvc.enabled {
        tracing::warn!("an experiment's cells are reported nowhere: trackers and DVC are left out");
    }
    let by_map = super::selectors(&training.selectors, "training")?;
    let by_map = by_map.iter().position(|selector| match selector {
        SelectorSpec::DataCartography(_) => true,
        SelectorSpec::Command(command) => command.signals,
        _ => false,
    });
    let key = match (by_map, &training.curriculum_order) {
        (Some(i), _) => format!("training.selectors[{i}]"),
        (None, Some(CurriculumOrder::Map(_))) => "training.curriculum_order".to_owned(),
        _ => {
            let save_steps = config.training.save_steps;
            loaded.config = without_results(config);
            loaded.config.training.save_steps = save_steps;
            return Ok(loaded);
        }
    };
    let message = format!("`{key}` goes by a data map, but an experiment makes its own");
    let hint = "leave it out: `experiment.selections` picks by the map";
    let problem = loaded.source.problem(&key, message).hint(hint);
    Err(Error::new(ErrorKind::Config, problem))
}

/// A subset of a subset has each example once.
fn check_inputs(loaded: &LoadedConfig, inputs: &Inputs) -> Result<()> {
    if inputs.selection.repeats.is_empty() {
        return Ok(());
    }
    let message = "the selectors draw with replacement, from which no subset can be picked";
    let problem = loaded.source.problem("training.selectors", message);
    Err(Error::new(ErrorKind::Config, problem))
}

fn shard_of(options: &ExperimentOptions) -> Result<Option<Shard>> {
    if options.shard.is_some() || options.action == ExperimentAction::Collect {
        return Ok(options.shard);
    }
    let shard = Shard::of_job_array(|name| std::env::var(name).ok())?;
    if let Some(shard) = shard {
        tracing::info!("part {shard} of the grid, as the job array says");
    }
    Ok(shard)
}

fn say_beginning(cells: &[Cell], ours: &[&Cell], todo: &[&Cell], shard: Option<Shard>) {
    let n_done = ours.iter().filter(|cell| cell.is_complete()).count();
    let n_cells = cells.iter().filter(|cell| cell.is_scored).count();
    let part = shard.map_or_else(String::new, |shard| {
        format!(", {} in part {shard}", ours.len())
    });
    let n_maps = todo
        .iter()
        .filter(|cell| !ours.iter().any(|o| o.id() == cell.id()))
        .count();
    let maps = match n_maps {
        0 => String::new(),
        n => format!("; {n} more on everything, for the maps"),
    };
    tracing::info!(
        "experiment of {n_cells} cells{part}: {n_done} done, {} to do{maps}",
        ours.len() - n_done
    );
}

/// Trains the cells `todo` of all `cells`, as many side by side as fit into the memory.
fn train_all<'a>(
    loaded: &LoadedConfig,
    inputs: &Inputs,
    start: &ModelStart,
    (todo, cells): (&[&'a Cell], &'a [Cell]),
    n_jobs: usize,
    console: &Console,
) -> Result<Vec<Failure<'a>>> {
    let folder = loaded.config.output_dir().join(CELLS);
    fsio::create_folder(&folder)?;
    let n_jobs = fitting_jobs(loaded, inputs, start, n_jobs)?;
    let claims = Claims::new(folder);
    let progress = GridProgress::new(console, todo, testing_work(inputs, start));
    let grid = Grid {
        loaded,
        inputs,
        start,
        claims: &claims,
        progress: &progress,
    };
    let failures = train_cells(&grid, todo, cells, n_jobs);
    progress.finish();
    signals::check()?;
    Ok(failures)
}

/// At most `n_jobs`: one for each cell and thread, with which the processor is busy.
fn useful_jobs(n_jobs: usize, n_cells: usize) -> usize {
    let n_threads = rayon::current_num_threads();
    if n_jobs > n_threads {
        tracing::warn!("{n_threads} cells instead of {n_jobs} side by side: one for each thread");
    }
    n_jobs.min(n_threads).min(n_cells).max(1)
}

/// At most `n_jobs`: as many as there is memory for.
fn fitting_jobs(
    loaded: &LoadedConfig,
    inputs: &Inputs,
    start: &ModelStart,
    n_jobs: usize,
) -> Result<usize> {
    let Some(available) = memory::available().filter(|_| n_jobs > 1) else {
        return Ok(n_jobs);
    };
    let training = &loaded.config.training;
    let cost = in_own_threads(n_jobs, || measure(training, inputs, start))?;
    let Some(bytes) = cost.bytes else {
        return Ok(n_jobs);
    };
    let fitting = n_jobs.min((available / bytes.max(1)) as usize).max(1);
    let (mib, available) = (bytes >> 20, available >> 20);
    if fitting < n_jobs {
        tracing::warn!(
            "{fitting} cells instead of {n_jobs} side by side: each needs {mib} MiB, and {available} MiB are available"
        );
    } else {
        tracing::info!("{n_jobs} cells side by side, {mib} MiB each of {available} MiB available");
    }
    Ok(fitting)
}

/// What is to be said of the cells that failed, if any.
fn failed(failures: &[Failure<'_>], n_cells: usize) -> Option<Error> {
    let first = failures.first()?;
    let mut problems = vec![Problem::new(format!(
        "{} of {n_cells} cells failed; the same command tries them again",
        failures.len()
    ))];
    for Failure { cell, error } in failures {
        let said = error.problems().iter().cloned();
        problems.extend(said.map(|mut problem| {
            problem.message = format!("{cell}: {}", problem.message);
            problem
        }));
    }
    Some(Error::all(first.error.kind(), problems))
}
