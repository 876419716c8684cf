//! What a run tells its user at the end: the numbers, where everything is, what to run next.

use std::fmt::Write;
use std::io::{self, Write as _};
use std::path::Path;

use crate::config::{Config, Region, SelectorSpec};
use crate::dynamics::DynamicsFiles;
use crate::error::{Error, Result};
use crate::map::DataMap;
use crate::map::label_errors::{ConfidentLearning, Judged, mean_probabilities};
use crate::pipeline::ConfigOptions;
use crate::pipeline::inputs::{Inputs, ValidationSet};
use crate::pipeline::ready_model::thousands;
use crate::pipeline::report::PAGE;
use crate::pipeline::run_folder::RunFolder;
use crate::pipeline::selection_record;
use crate::pipeline::stages::StageResult;
use crate::pipeline::training_run::Trained;

/// Prints the closing summary to standard output.
///
/// # Errors
/// Standard output that cannot be written.
pub fn print(
    config: &Config,
    inputs: &Inputs,
    run: &RunFolder,
    trained: &Trained,
    options: &ConfigOptions,
) -> Result<()> {
    let Trained {
        outcome,
        map,
        results,
    } = trained;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n{}", result_table(results));
    let metric = &config.training.metric_for_best_model;
    if let Some(value) = outcome.best_metric {
        let _ = writeln!(
            text,
            "The weights are those of epoch {} of {}, the best on the validation set ({metric} {value:.4}).\n",
            outcome.best_epoch + 1,
            outcome.n_epochs,
        );
    } else {
        let why = match &*inputs.validation {
            ValidationSet::None => "there is no validation set to choose by".to_owned(),
            _ => format!("{metric} is not defined on the validation set"),
        };
        let _ = writeln!(text, "The weights are those of the last epoch: {why}.\n");
    }
    if let Some(map) = map {
        let _ = writeln!(text, "{}", map_lines(map));
        let _ = writeln!(text, "{}", label_error_lines(inputs, run)?);
    }
    let shown = |name: &str| run.output_dir().join(name).display().to_string();
    let mut files = vec![("run".to_owned(), run.path().display().to_string())];
    let mut add = |what: &str, path: String| files.push((what.to_owned(), path));
    if map.is_some() {
        add("picture of the map", shown("data_map.svg"));
        let table = run.shown_path(&config.training.data_cartography_results);
        add("table of the map", table.display().to_string());
        add("training dynamics", shown("training_dynamics"));
    }
    if selection_record::is_worth_a_record(&inputs.selection) {
        add("selected examples", shown("selection.csv"));
    }
    add("metrics", shown("metrics.yaml"));
    add("page of the run", shown(PAGE));
    for result in results {
        if let Some(path) = &result.predictions {
            add(
                &format!("{} predictions", result.stage),
                path.display().to_string(),
            );
        }
    }
    let model = run.shown_path(&config.model.output_path);
    add("model", model.display().to_string());
    let _ = writeln!(text, "Results in {}:", run.output_dir().display());
    text.push_str(&listed(&files));
    let _ = write!(text, "\n{}", next_step(config, map.is_some(), options)?);
    print_text(&text)
}

/// Prints what a run of this config would do.
///
/// # Errors
/// Standard output that cannot be written.
pub fn print_plan(config: &Config, inputs: &Inputs) -> Result<()> {
    let mut lines = Vec::new();
    let mut line = |what: &str, said: String| lines.push((what.to_owned(), said));
    let file = |path: &Path, n: usize| format!("{}: {} examples", path.display(), thousands(n));
    line(
        "training",
        file(&inputs.training.path, inputs.training.len()),
    );
    line("classes", inputs.labels.names().join(", "));
    if inputs.selection.n_draws() < inputs.training.len() {
        line(
            "trained on",
            format!("{} examples", thousands(inputs.selection.n_draws())),
        );
    }
    for step in &inputs.selection.steps {
        line("selected by", step.report.clone());
    }
    match &*inputs.validation {
        ValidationSet::None => line("validation", "none: the last epoch's model is kept".into()),
        ValidationSet::File(dataset) => line("validation", file(&dataset.path, dataset.len())),
        ValidationSet::Split(indices) => {
            line(
                "validation",
                format!("{} examples of the training file", thousands(indices.len())),
            );
        }
    }
    for set in inputs.stages.iter() {
        line(&set.stage, file(&set.dataset.path, set.selection.n_draws()));
        for step in &set.selection.steps {
            line("selected by", step.report.clone());
        }
    }
    line("model", inputs.model.plan(&config.model.model_name));
    line("results", config.output_dir().display().to_string());
    print_text(&format!(
        "The config and its data are fine.\n{}",
        listed(&lines)
    ))
}

/// What each thing is called and what is said of it, a line each, the latter below each other.
pub fn listed(things: &[(String, String)]) -> String {
    let width = |(what, _): &(String, String)| what.chars().count();
    let width = things.iter().map(width).max().unwrap_or(0);
    let line = |(what, said): &(String, String)| format!("  {what:<width$}  {said}\n");
    things.iter().map(line).collect()
}

/// The widest table of results, in characters, that has the metrics across.
const WIDEST_TABLE: usize = 100;

/// Stages down and single numbers across, each with its confidence interval where there is one;
/// a table that would be too wide has the stages across.
fn result_table(results: &[StageResult]) -> String {
    let Some(first) = results.first() else {
        return String::new();
    };
    let names: Vec<&str> = first.metrics.numbers().map(|(name, _)| name).collect();
    let mut rows = vec![vec![String::new(), "examples".to_owned()]];
    rows[0].extend(names.iter().map(|&name| name.to_owned()));
    for result in results {
        let mut row = vec![result.stage.clone(), thousands(result.n_examples)];
        row.extend(names.iter().map(|name| cell(result, name)));
        rows.push(row);
    }
    let mut text = aligned(&rows);
    if text.lines().any(|line| line.len() > WIDEST_TABLE) {
        let turned: Vec<Vec<String>> = (0..rows[0].len())
            .map(|column| rows.iter().map(|row| row[column].clone()).collect())
            .collect();
        text = aligned(&turned);
    }
    let nested: Vec<&str> = first.metrics.nested().collect();
    if !nested.is_empty() {
        let _ = writeln!(text, "In metrics.yaml: {}.", nested.join(", "));
    }
    text
}

/// Rows of cells as lines: the first column to the left, the others to the right.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].len());
        let least = if column == 0 { 10 } else { 8 };
        cells.max().unwrap_or(0).max(least)
    };
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let _ = write!(text, "{:width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    text
}

/// A number with its confidence interval, as in `0.753 [0.741, 0.765]`.
fn cell(result: &StageResult, name: &str) -> String {
    let value = match result.metrics.number(name) {
        Some(value) if value.is_nan() => return "undefined".to_owned(),
        Some(value) => format!("{value:.4}"),
        None => return String::new(),
    };
    match result.intervals.iter().find(|(other, _)| other == name) {
        Some((_, interval)) => {
            format!("{value} [{:.4}, {:.4}]", interval.low, interval.high)
        }
        None => value,
    }
}

/// The map in two sentences.
fn map_lines(map: &DataMap) -> String {
    let n = map.points.len();
    let mean = |f: &dyn Fn(&crate::map::Point) -> f64| {
        map.points.iter().map(f).sum::<f64>() / n.max(1) as f64
    };
    let never = map
        .points
        .iter()
        .filter(|p| p.signals.correctness == 0)
        .count();
    format!(
        "The data map has {} examples over {} epoch{}: mean confidence {:.3}, mean variability {:.3}.\n\
         {} examples were never predicted right; those with the lowest confidence may be mislabelled.\n",
        thousands(n),
        map.n_epochs,
        if map.n_epochs == 1 { "" } else { "s" },
        mean(&|p| p.signals.confidence),
        mean(&|p| p.signals.variability),
        thousands(never),
    )
}

/// How many labels are likely to be wrong, and the command that says which.
fn label_error_lines(inputs: &Inputs, run: &RunFolder) -> Result<String> {
    let dynamics = DynamicsFiles::Enginora(run.dynamics_folder()).read(None)?;
    let gold: Vec<u32> = dynamics.examples.iter().map(|e| e.gold).collect();
    let mean = mean_probabilities(&dynamics);
    let judged = Judged::new(&gold, &mean, inputs.labels.len());
    let n_likely = ConfidentLearning::new(&judged).n_likely_errors();
    Ok(format!(
        "{} labels are likely to be wrong, by confident learning over the dynamics; to see which:\n  {} audit {}\n",
        thousands(n_likely),
        this_program(),
        run.output_dir().display()
    ))
}

/// What to run next, as a line for the shell that started this run.
fn next_step(config: &Config, has_map: bool, options: &ConfigOptions) -> Result<String> {
    let selectors = super::selectors(&config.training.selectors, "training")?;
    let program = this_program();
    let command = |options: &ConfigOptions| format!("{program} {}", options.arguments("loop"));
    let by_map = selectors.iter().find_map(|selector| match selector {
        SelectorSpec::DataCartography(shares) => Some(shares),
        _ => None,
    });
    Ok(match by_map {
        Some(shares) if selectors.len() == 1 => {
            let share = shares.total();
            let other = if shares.random == share {
                Region::Ambiguous
            } else {
                Region::Random
            };
            let mut options = options.clone();
            let sets_selectors = |setting: &String| setting.starts_with("training.selectors");
            options.overrides.retain(|setting| !sets_selectors(setting));
            format!(
                "Next: compare with as many {other} examples:\n  {} \\\n    \
                 --set 'training.selectors=[{{name: data_cartography, args: {{{other}: {share}}}}}]'\n",
                command(&options)
            )
        }
        Some(shares) => format!(
            "Next: compare with as many random examples: `random: {}` in place of the regions.\n",
            shares.total()
        ),
        None if has_map => format!(
            "Next: train on the ambiguous third of the map:\n  \
             {} --set training.perform_data_cartography=false \\\n    \
             --set 'training.selectors=[{{name: data_cartography, args: {{ambiguous: 0.33}}}}]'\n",
            command(options)
        ),
        None => format!(
            "Next: make the data map of the training set:\n  \
             {} --set training.perform_data_cartography=true\n",
            command(options)
        ),
    })
}

/// This program as it was called.
pub fn this_program() -> String {
    let program = std::env::args().next();
    program.unwrap_or_else(|| "enginora-rs".to_owned())
}

/// Prints to standard output.
///
/// # Errors
/// Standard output that cannot be written.
pub fn print_text(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // A reader that has seen enough, as `head` has, is no failure.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|e| Error::writing(Path::new("standard output"), &e)),
    }
}
