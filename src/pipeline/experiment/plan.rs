//! Which cells there are to do, in which order, and what that takes.

use std::fmt::Write;

use crate::config::LoadedConfig;
use crate::error::Result;
use crate::pipeline::experiment::cells::Cell;
use crate::pipeline::experiment::jobs::in_own_threads;
use crate::pipeline::experiment::measure::{measure, testing_work};
use crate::pipeline::experiment::shard::Shard;
use crate::pipeline::inputs::Inputs;
use crate::pipeline::progress::minutes;
use crate::pipeline::ready_model::{ModelStart, thousands};
use crate::pipeline::summary::print_text;

/// The cells of a part of the grid, all of them without one: dealt out one by one from the
/// longest to the shortest, so that all parts take about as long. In the order of results.
pub fn cells_of_shard(cells: &[Cell], shard: Option<Shard>) -> Vec<&Cell> {
    let mut scored: Vec<(usize, &Cell)> = cells.iter().enumerate().collect();
    scored.retain(|(_, cell)| cell.is_scored);
    scored.sort_by_key(|(_, cell)| std::cmp::Reverse(cell.work));
    let is_ours = |position: usize| shard.is_none_or(|shard| shard.has(position));
    let ours = scored.into_iter().enumerate();
    let ours = ours.filter(|(position, _)| is_ours(*position));
    let mut ours: Vec<(usize, &Cell)> = ours.map(|(_, cell)| cell).collect();
    ours.sort_by_key(|(i, _)| *i);
    ours.into_iter().map(|(_, cell)| cell).collect()
}

/// The cells of `ours` that are not done in the order of training: those that make maps which
/// others need come first, whoever's they are, then the longest.
pub fn in_order<'a>(ours: &[&'a Cell], all: &'a [Cell]) -> Vec<&'a Cell> {
    let mut todo: Vec<&Cell> = ours.to_vec();
    todo.retain(|cell| !cell.is_complete());
    let map_seeds: Vec<u64> = todo.iter().filter_map(|cell| cell.map_seed()).collect();
    let makes_map = |cell: &Cell| cell.rule.is_none() && map_seeds.contains(&cell.seed);
    todo.retain(|cell| !makes_map(cell));
    let maps = all.iter().filter(|cell| makes_map(cell));
    todo.extend(maps.filter(|cell| !cell.is_complete()));
    todo.sort_by_key(|cell| (!makes_map(cell), std::cmp::Reverse(cell.work)));
    todo
}

/// Prints the cells, what is done, and how long the others will take.
///
/// # Errors
/// A model that cannot be made, or standard output that cannot be written.
pub fn print(
    loaded: &LoadedConfig,
    inputs: &Inputs,
    ours: &[&Cell],
    todo: &[&Cell],
    n_jobs: usize,
    prepare: impl FnOnce() -> Result<ModelStart>,
) -> Result<()> {
    let (seconds_per_pass, testing_work) = if todo.is_empty() {
        (0.0, 0)
    } else {
        let start = prepare()?;
        let training = &loaded.config.training;
        let cost = in_own_threads(n_jobs, || measure(training, inputs, &start))?;
        (cost.seconds_per_pass, testing_work(inputs, &start))
    };
    let time = |work: u64| minutes(seconds_per_pass * work as f64);
    let others = todo.iter().copied();
    let others = others.filter(|cell| !ours.iter().any(|other| other.id() == cell.id()));
    let cells: Vec<&Cell> = others.chain(ours.iter().copied()).collect();
    let width = cells.iter().map(|cell| cell.selection().len()).max();
    let width = width.unwrap_or(0).max("selection".len());
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:<width$}  fraction  seed  examples  epochs   steps  id                state",
        "selection"
    );
    for cell in &cells {
        let state = match (cell.is_complete(), ours.iter().any(|o| o.id() == cell.id())) {
            (true, _) => "done".to_owned(),
            (false, true) => time(cell.work + testing_work),
            (false, false) => format!("{}, for its map", time(cell.work + testing_work)),
        };
        let _ = writeln!(
            text,
            "{:<width$}  {:>8}  {:>4}  {:>8}  {:>6}  {:>6}  {}  {state}",
            cell.selection(),
            cell.fraction.to_string(),
            cell.seed,
            cell.n_examples,
            cell.epochs,
            cell.n_steps,
            cell.id(),
        );
    }
    let n_steps: usize = todo.iter().map(|cell| cell.n_steps).sum();
    let work: u64 = todo.iter().map(|cell| cell.work + testing_work).sum();
    let n_maps = cells.len() - ours.len();
    let maps = match n_maps {
        0 => String::new(),
        n => format!(" and {n} more on everything, for the maps"),
    };
    let _ = writeln!(
        text,
        "\n{} cells, {} done; {} to train{maps}, {} steps",
        ours.len(),
        ours.len() + n_maps - todo.len(),
        todo.len() - n_maps,
        thousands(n_steps),
    );
    if !todo.is_empty() {
        let jobs = match n_jobs {
            1 => "one after the other".to_owned(),
            n => format!("{n} side by side"),
        };
        let _ = writeln!(
            text,
            "about {} {jobs}, at {:.0} training examples a second as a few steps took them",
            time(work / n_jobs as u64),
            1.0 / (3.0 * seconds_per_pass) * n_jobs as f64,
        );
    }
    print_text(&text)
}
