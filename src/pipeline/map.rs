//! `map`: dynamics, ours or another program's, to a map, its tables and its picture.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::data::Table;
use crate::dynamics::{DynamicsFiles, DynamicsFormat};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::map::{MapOptions, Point};
use crate::pipeline::map_folder::{MapFolder, STABILITY};
use crate::pipeline::map_tables::write_tables;
use crate::pipeline::signals::{self, Finishing};
use crate::pipeline::stability::{Runs, Stability, epochs_right, mean_map, td_metrics};
use crate::pipeline::summary::print_text;
use crate::pipeline::training_run::{draw_map, figure_point, write_pictures};
use crate::report::figure::FigurePoint;
use crate::report::scatter::{Colour, Scatter, Signal, scatter_svg};

/// What `map` needs of the command line.
#[derive(Debug, Clone)]
pub struct MapCommandOptions {
    /// Dynamics of one or several runs: files or folders.
    pub paths: Vec<PathBuf>,
    /// Who wrote them; found out where none is given.
    pub format: Option<DynamicsFormat>,
    /// How the map is made.
    pub map: MapOptions,
    /// Whether it is drawn.
    pub plots: bool,
    /// The folder for tables and pictures.
    pub output: PathBuf,
}

/// Makes a map of training dynamics: `data_map.parquet`, `td_metrics.jsonl`, `data_map.tsv` and, if
/// asked for, `data_map.svg` and `.png`. Of several runs each has its map in a folder of its own,
/// `1`, `2` and so on; beside these lie the map of their means, and how much the runs agree:
/// `stability.tsv`, and the picture `stability.svg` and `.png`. What an earlier `map` left in the
/// folder is replaced; when something fails or a signal comes, it stays as it was.
///
/// # Errors
/// Dynamics that are not there or not what they should be, or are given twice; an output that
/// cannot be written.
pub fn run_map(options: &MapCommandOptions) -> Result<()> {
    signals::say_at_stop("no map was made; the same command begins anew".to_owned());
    let finishing = Finishing::begin();
    let start = Instant::now();
    let found: Vec<DynamicsFiles> = options
        .paths
        .iter()
        .map(|path| DynamicsFiles::find(path, options.format))
        .collect::<Result<_>>()?;
    check_different(&options.paths)?;
    let folder = MapFolder::begin(&options.output, &found)?;
    let summary = match (&options.paths[..], &found[..]) {
        ([path], [files]) => {
            make_map(options, path, files, folder.path())?;
            None
        }
        _ => Some(compare_maps(options, &found, folder.path())?),
    };
    signals::check()?;
    folder.finish()?;
    drop(finishing);
    signals::check()?;
    let (output, seconds) = (options.output.display(), start.elapsed().as_secs_f64());
    match options.paths.len() {
        1 => tracing::info!("the map is in {output} ({seconds:.2} s)"),
        n => tracing::info!(
            "the mean map is in {output}, the runs' maps are in its folders 1 to {n} ({seconds:.2} s)"
        ),
    }
    summary.map_or(Ok(()), |text| print_text(&text))
}

/// Sees that no path is given twice.
fn check_different(paths: &[PathBuf]) -> Result<()> {
    let places = paths.iter().map(|path| path.canonicalize().ok());
    let places: Vec<_> = places.collect();
    let Some(again) = (1..places.len()).find(|i| places[..*i].contains(&places[*i])) else {
        return Ok(());
    };
    let message = "these dynamics are given twice, and would agree with themselves";
    let problem = Problem::new(message)
        .in_file(&paths[again])
        .hint("compare runs with other seeds");
    Err(Error::new(ErrorKind::Usage, problem))
}

/// Makes a map of each run, their mean map, and how much they agree; says the latter in words.
fn compare_maps(
    options: &MapCommandOptions,
    found: &[DynamicsFiles],
    output: &Path,
) -> Result<String> {
    let mut runs = Runs::default();
    for (i, (path, files)) in options.paths.iter().zip(found).enumerate() {
        let folder = output.join((i + 1).to_string());
        let n_epochs = make_map(options, path, files, &folder)?;
        let map = Table::read(&folder.join("data_map.parquet"))?;
        runs.add(path.display().to_string(), n_epochs, &map)?;
    }
    if runs.n_left_out() > 0 {
        tracing::warn!(
            "{} of a run's examples are not in all runs, and not in the mean map",
            runs.n_left_out()
        );
    }
    let stability = Stability::of(&runs)?;
    stability.write(&runs, &output.join(STABILITY))?;
    let map = mean_map(&runs);
    map.write(&output.join("data_map.parquet"))?;
    td_metrics(&runs, &map).write(&output.join("td_metrics.jsonl"))?;
    if options.plots {
        draw_mean_map(&runs, &map, output)?;
    }
    Ok(stability.summary(&runs, &map))
}

/// Draws the mean map, once as any map and once with how much the runs' confidence differs.
fn draw_mean_map(runs: &Runs, map: &Table, output: &Path) -> Result<()> {
    let column = |name: &str| Signal {
        name: name.to_owned(),
        values: map.reals(name).unwrap_or_default(),
    };
    let (variability, confidence) = (column("variability"), column("confidence"));
    let n_runs = runs.runs().len();
    let n_epochs = runs.runs().iter().map(|run| run.n_epochs).max();
    let n_epochs = n_epochs.unwrap_or(1);
    let places = variability.values.iter().zip(&confidence.values);
    let points: Vec<FigurePoint> = places
        .zip(epochs_right(map, n_epochs))
        .map(|((variability, confidence), correctness)| FigurePoint {
            confidence: *confidence,
            variability: *variability,
            correctness,
        })
        .collect();
    draw_map(
        &format!("Mean data map of {n_runs} runs"),
        n_epochs,
        &points,
        output,
    )?;
    let svg = scatter_svg(&Scatter {
        title: format!("How much the confidence of {n_runs} runs differs"),
        note: "places are means over the runs, colours the standard deviation".to_owned(),
        x: variability,
        y: confidence,
        colour: Colour::Signal(column("confidence_std")),
    })?;
    write_pictures(&svg, &output.join("stability"))
}

/// Makes the map of one run; the number of its epochs.
fn make_map(
    options: &MapCommandOptions,
    path: &Path,
    files: &DynamicsFiles,
    output: &Path,
) -> Result<usize> {
    let mut counts = Counts::default();
    let mut drawn: Vec<FigurePoint> = Vec::new();
    let n_epochs = write_tables(files, options.map, output, |points| {
        counts.add(points);
        if options.plots {
            drawn.extend(points.iter().map(figure_point));
        }
    })?;
    if n_epochs == 1 {
        tracing::warn!("a map of one epoch has variability 0 everywhere");
    }
    if options.plots {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        draw_map(&format!("Data map of {name}"), n_epochs, &drawn, output)?;
    }
    tracing::info!(
        "{}: {} examples, {n_epochs} epochs, {} classes; mean confidence {:.3}, mean variability {:.3}; {} never right, {} forgotten at least once",
        files.format().name(),
        counts.n_examples,
        counts.n_classes,
        counts.confidence / counts.n_examples.max(1) as f64,
        counts.variability / counts.n_examples.max(1) as f64,
        counts.n_never_right,
        counts.n_forgotten,
    );
    Ok(n_epochs)
}

/// What is said of a map.
#[derive(Debug, Default)]
struct Counts {
    n_examples: usize,
    n_classes: usize,
    confidence: f64,
    variability: f64,
    n_never_right: usize,
    n_forgotten: usize,
}

impl Counts {
    fn add(&mut self, points: &[Point]) {
        self.n_examples += points.len();
        for Point { signals, .. } in points {
            self.n_classes = signals.pred_dist.len();
            self.confidence += signals.confidence;
            self.variability += signals.variability;
            self.n_never_right += usize::from(signals.correctness == 0);
            self.n_forgotten +=
                usize::from(signals.correctness > 0 && signals.forgetfulness.exported() > 0);
        }
    }
}
