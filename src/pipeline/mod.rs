//! Each command as one function that reads as the program.
//!
//! This is the only module that sees all others.

mod console;
mod curriculum;
#[cfg(feature = "hub")]
mod download;
mod dvc;
mod experiment_results;
mod export;
mod find_map;
mod inputs;
mod map;
mod model_source;
mod plot;
mod predict;
mod progress;
mod ready_model;
mod records;
mod run_folder;
mod select;
mod selection_record;
mod slices;
mod stability;
mod stages;
mod summary;
mod tracking;

use std::path::{Path, PathBuf};

pub use console::Console;
pub use experiment_results::{ALL, CellScore, RANDOM, StageScores, write_results};
pub use export::{ExportOptions, run_export};
pub use map::{MapCommandOptions, run_map};
pub use plot::{PlotOptions, run_plot};
pub use predict::{ColumnNames, PredictOptions, run_evaluate, run_predict};
pub use select::{SelectOptions, run_select};

use crate::config::{Config, LoadedConfig, SelectorSpec};
use crate::dynamics::Recorder;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::map::{DataMap, Point, Variability, map_of_dynamics, map_table};
use crate::nn::CrossEntropy;
use crate::report::figure::{FigurePoint, MapFigure, data_map_svg};
use crate::report::raster;
use crate::select::Commands;
use crate::train::{
    Callback, EarlyStopping, FreezeProblem, Outcome, Training, Validation, learning_rate_shares,
    train,
};
use curriculum::curriculum;
use inputs::Inputs;
use progress::Progress;
use ready_model::ReadyModel;
use records::Records;
use run_folder::RunFolder;
use summary::print_text;
use tracking::Tracking;

/// Pixels per unit of the drawing: sharp on paper and on dense screens.
const PICTURE_SCALE: f32 = 2.0;

/// What a command that takes a config needs of the command line.
#[derive(Debug, Clone, Default)]
pub struct ConfigOptions {
    /// The YAML file.
    pub config: PathBuf,
    /// `a.b=c` settings that go over the file.
    pub overrides: Vec<String>,
    /// Wins over both `output_dir`s of the config.
    pub output_dir: Option<PathBuf>,
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The best there is.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The graphics processor of this number.
    Cuda(usize),
}

/// The main job: fine-tunes, records the dynamics, makes the map, tests and controls, and
/// leaves a complete run folder.
///
/// # Errors
/// Everything that can be wrong with config and data, before any model is loaded; training
/// that diverges; files that cannot be written. Earlier runs are never harmed.
pub fn run_loop(options: &ConfigOptions, device: DeviceChoice, console: &Console) -> Result<()> {
    let device = open_device(device)?;
    let loaded = read_config(options)?;
    let config = &loaded.config;
    let inputs = Inputs::read(&loaded, Commands::Run)?;
    dvc::check(config);
    let mut tracking = Tracking::connect(&loaded)?;
    let checkpoint = inputs.model.bring(&loaded.source, console)?;

    let run = RunFolder::create(config, &inputs, console)?;
    run.write_config(config)?;
    tracking.start(config, &run)?;
    selection_record::write(&run, &inputs)?;
    let model = ReadyModel::prepare(config, &inputs, checkpoint.as_deref(), &device)?;
    let mut records = Records::new(&run, &config.training);
    let watchers = (&mut records, &mut tracking);
    let outcome = train_and_record(&loaded, &inputs, &model, &run, watchers, console)?;

    let map = config.training.perform_data_cartography;
    let map = map.then(|| make_map(config, &inputs, &run)).transpose()?;
    let results = stages::evaluate_all(config, &inputs, &model, &run, console)?;
    records.finish(&run, &outcome, &results)?;
    model.save(config, &inputs, &run)?;
    tracking.finish(&run, &outcome, &results)?;
    run.finish()?;
    dvc::add(config, &inputs, &run)?;
    summary::print(
        config,
        &inputs,
        &run,
        &outcome,
        map.as_ref(),
        &results,
        options,
    )
}

/// Checks everything that can be checked without training, and says what a run would do.
///
/// # Errors
/// As [`run_loop`], short of training.
pub fn validate(options: &ConfigOptions) -> Result<()> {
    let loaded = read_config(options)?;
    let inputs = Inputs::read(&loaded, Commands::Describe)?;
    summary::print_plan(&loaded.config, &inputs)
}

/// The JSON Schema of the config, for editors.
pub fn schema() -> String {
    let mut text = serde_json::to_string_pretty(&crate::config::json_schema()).unwrap_or_default();
    text.push('\n');
    text
}

fn read_config(options: &ConfigOptions) -> Result<LoadedConfig> {
    let mut loaded = crate::config::read(&options.config, &options.overrides)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(output_dir) = &options.output_dir {
        loaded.config.training.output_dir = Some(output_dir.clone());
    }
    Ok(loaded)
}

fn open_device(choice: DeviceChoice) -> Result<candle_core::Device> {
    match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(candle_core::Device::Cpu),
        DeviceChoice::Cuda(_) => {
            let problem = Problem::new("this build of enginora-rs has no CUDA kernels");
            let hint = "use `--device cpu`, or leave `--device` out";
            Err(Error::new(ErrorKind::Usage, problem.hint(hint)))
        }
    }
}

fn train_and_record(
    loaded: &LoadedConfig,
    inputs: &Inputs,
    model: &ReadyModel,
    run: &RunFolder,
    (records, tracking): (&mut Records, &mut Tracking),
    console: &Console,
) -> Result<Outcome> {
    let config = &loaded.config;
    let smoothing = config.training.label_smoothing_factor;
    let loss = CrossEntropy::new(inputs.class_weights.clone(), smoothing);
    let shares = learning_rate_shares(&model.classifier, &config.training)
        .map_err(|problem| bad_freeze(loaded, &problem))?;
    let curriculum = curriculum(loaded, inputs, &model.tokens.training);
    let training = Training {
        config: &config.training,
        seed: config.random_state,
        dataset: &inputs.training,
        tokens: &model.tokens.training,
        subset: &inputs.selection.subset,
        repeats: &inputs.selection.repeats,
        curriculum: curriculum.as_deref(),
        loss: &loss,
        learning_rate_shares: &shares,
        record: config
            .training
            .perform_data_cartography
            .then_some(config.cartography.record),
        validation: model
            .tokens
            .validation(inputs)
            .map(|(tokens, indices)| Validation { tokens, indices }),
        labels: inputs.labels.names(),
        metrics: &inputs.metrics,
    };
    let mut recorder = Recorder::new(
        &run.dynamics_folder(),
        config.cartography.record,
        &inputs.training,
        &inputs.selection.subset,
        inputs.labels.len(),
    );
    let mut progress = Progress::new(console, training.record);
    let mut early_stopping = EarlyStopping::new(&config.training, &inputs.metrics);
    let mut callbacks: Vec<&mut dyn Callback> = vec![&mut progress, records, tracking];
    if let Some(early_stopping) = &mut early_stopping {
        callbacks.push(early_stopping);
    }
    if training.record.is_some() {
        callbacks.push(&mut recorder);
    }
    train(&model.classifier, &training, &mut callbacks)
}

/// A pattern that cannot be followed is a problem of its place in the config.
fn bad_freeze(loaded: &LoadedConfig, problem: &FreezeProblem) -> Error {
    let key = match problem.pattern {
        Some(i) => format!("training.freeze[{i}]"),
        None => "training.freeze".to_owned(),
    };
    let message = format!("`{key}`: {}", problem.message);
    Error::new(ErrorKind::Config, loaded.source.problem(&key, message))
}

/// Makes the map of the run's dynamics; writes its table and its pictures.
fn make_map(config: &Config, inputs: &Inputs, run: &RunFolder) -> Result<DataMap> {
    let variability = if config.cartography.include_ci {
        Variability::WithConfidenceInterval
    } else {
        Variability::Plain
    };
    let map = map_of_dynamics(
        &run.dynamics_folder(),
        config.cartography.burn_out,
        variability,
    )?;
    if map.n_epochs == 1 {
        tracing::warn!("a map of one epoch has variability 0 everywhere: train for more epochs");
    }
    let labels = inputs.labels.names();
    let mut table = map_table(&map.points, labels);
    let indices = map.points.iter().map(|point| point.example.index);
    if let Some(true_labels) = inputs.training.true_label_column(indices, labels) {
        table = table.with("true_label", true_labels);
    }
    table.write(&run.result_path(&config.training.data_cartography_results))?;
    let points: Vec<FigurePoint> = map.points.iter().map(figure_point).collect();
    let file = inputs
        .training
        .path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    draw_map(
        &format!("Data map of {file}"),
        map.n_epochs,
        &points,
        run.path(),
    )?;
    Ok(map)
}

fn figure_point(point: &Point) -> FigurePoint {
    FigurePoint {
        confidence: point.signals.confidence,
        variability: point.signals.variability,
        correctness: point.signals.correctness,
    }
}

/// Draws the map as `data_map.svg` and `data_map.png`.
fn draw_map(title: &str, n_epochs: usize, points: &[FigurePoint], folder: &Path) -> Result<()> {
    let svg = data_map_svg(&MapFigure {
        title,
        n_epochs,
        points,
    })?;
    crate::fsio::write(&folder.join("data_map.svg"), svg.as_bytes())?;
    let pixels = raster::png(&svg, PICTURE_SCALE)?;
    crate::fsio::write(&folder.join("data_map.png"), &pixels)
}

/// The selectors of a config section, which were checked when the config was read.
fn selectors(configs: &[crate::config::SelectorConfig], key: &str) -> Result<Vec<SelectorSpec>> {
    configs
        .iter()
        .enumerate()
        .map(|(i, selector)| {
            SelectorSpec::parse(selector, &format!("{key}.selectors[{i}]")).map_err(|_| {
                Error::internal(format!("the selector `{}` was not checked", selector.name))
            })
        })
        .collect()
}
