//! `map`: dynamics, ours or another program's, to a map, its tables and its picture.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::dynamics::{DynamicsFiles, DynamicsFormat};
use crate::error::{Error, Result};
use crate::map::{MapOptions, Point};
use crate::pipeline::map_tables::write_tables;
use crate::pipeline::stability::{ComparedMap, write_stability};
use crate::pipeline::summary::print_text;
use crate::pipeline::training_run::{draw_map, figure_point};
use crate::report::figure::FigurePoint;

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
/// `1`, `2` and so on, and `stability.tsv` says how much they agree.
///
/// # Errors
/// Dynamics that are not there or not what they should be, an output that cannot be written.
pub fn run_map(options: &MapCommandOptions) -> Result<()> {
    let found: Vec<DynamicsFiles> = options
        .paths
        .iter()
        .map(|path| DynamicsFiles::find(path, options.format))
        .collect::<Result<_>>()?;
    if let ([path], [files]) = (&options.paths[..], &found[..]) {
        return make_map(options, path, files, &options.output, |_| {});
    }
    let mut maps = Vec::new();
    for (i, (path, files)) in options.paths.iter().zip(&found).enumerate() {
        let mut map = ComparedMap::new(path.display().to_string());
        let output = options.output.join((i + 1).to_string());
        make_map(options, path, files, &output, |points| map.add(points))?;
        maps.push(map);
    }
    let path = options.output.join("stability.tsv");
    write_stability(&maps, &path)?;
    print_text(&std::fs::read_to_string(&path).map_err(|e| Error::reading(&path, &e))?)
}

fn make_map(
    options: &MapCommandOptions,
    path: &Path,
    files: &DynamicsFiles,
    output: &Path,
    mut see: impl FnMut(&[Point]),
) -> Result<()> {
    let start = Instant::now();
    let mut counts = Counts::default();
    let mut drawn: Vec<FigurePoint> = Vec::new();
    let n_epochs = write_tables(files, options.map, output, |points| {
        counts.add(points);
        see(points);
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
    } else {
        // Those of an earlier map would belie the tables.
        for name in ["data_map.svg", "data_map.png"] {
            let _ = std::fs::remove_file(output.join(name));
        }
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
    tracing::info!(
        "the map is in {} ({:.2} s)",
        output.display(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
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
