//! `map`: dynamics, ours or another program's, to a map, its tables and its picture.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use crate::data::TableWriter;
use crate::dynamics::{DynamicsFiles, DynamicsFormat};
use crate::error::{Error, Result};
use crate::fsio;
use crate::map::{
    MapOptions, Point, map_in_parts, map_table, write_td_metrics, write_trustai_header,
    write_trustai_rows,
};
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

/// Writes the map's three tables a part at a time, and shows each part to `see`; the number of
/// epochs.
fn write_tables(
    files: &DynamicsFiles,
    options: MapOptions,
    output: &Path,
    mut see: impl FnMut(&[Point]),
) -> Result<usize> {
    let [parquet, metrics, trustai] =
        ["data_map.parquet", "td_metrics.jsonl", "data_map.tsv"].map(|name| output.join(name));
    let mut n_epochs = 0;
    TableWriter::write_file(&parquet, |table| {
        fsio::write_atomically(&metrics, |metrics_file| {
            fsio::write_atomically(&trustai, |trustai_file| {
                let writing = |path: &Path, e| Error::writing(path, &e);
                write_trustai_header(trustai_file).map_err(|e| writing(&trustai, e))?;
                let mut labels = Vec::new();
                n_epochs = map_in_parts(files, options, |points| {
                    if labels.is_empty() {
                        labels = labels_of(files, &points);
                    }
                    see(&points);
                    let (to_table, to_others) = rayon::join(
                        || table.write(&map_table(&points, &labels)),
                        || {
                            write_td_metrics(&points, metrics_file)
                                .map_err(|e| writing(&metrics, e))?;
                            write_trustai_rows(&points, trustai_file)
                                .map_err(|e| writing(&trustai, e))
                        },
                    );
                    to_table.and(to_others)
                })?;
                trustai_file.flush().map_err(|e| writing(&trustai, e))
            })
        })
    })?;
    Ok(n_epochs)
}

/// The names of the classes: those of the model beside a run's dynamics, else their indices.
fn labels_of(files: &DynamicsFiles, points: &[Point]) -> Vec<String> {
    let n_classes = points
        .first()
        .map_or(0, |point| point.signals.pred_dist.len());
    let named = || {
        let DynamicsFiles::Enginora(folder) = files else {
            return None;
        };
        let config = folder.parent()?.join("best_model").join("config.json");
        let config: Value = serde_json::from_slice(&std::fs::read(config).ok()?).ok()?;
        let names = config.get("id2label")?;
        (0..n_classes)
            .map(|class| Some(names.get(class.to_string())?.as_str()?.to_owned()))
            .collect()
    };
    named().unwrap_or_else(|| (0..n_classes).map(|class| class.to_string()).collect())
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
