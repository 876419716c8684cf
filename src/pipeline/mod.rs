//! Each command as one function that reads as the program.
//!
//! This is the only module that sees all others.

mod audit;
mod begun;
mod console;
mod curriculum;
mod device;
#[cfg(feature = "hub")]
mod download;
mod dvc;
mod experiment;
mod experiment_results;
mod export;
mod find_map;
mod input_files;
mod inputs;
mod map;
mod map_folder;
mod map_tables;
mod model_source;
mod plot;
mod predict;
mod progress;
mod ready_model;
mod records;
mod report;
mod run_folder;
mod select;
mod selection_record;
mod signals;
mod slices;
mod stability;
mod stages;
mod start;
mod summary;
mod tracking;
mod training_run;

use std::path::PathBuf;

pub use audit::{AuditOptions, run_audit};
pub use console::Console;
pub use device::DeviceChoice;
pub use experiment::{ExperimentAction, ExperimentOptions, Shard, run_experiment};
pub use experiment_results::{ALL, CellScore, RANDOM, StageScores, write_results};
pub use export::{ExportOptions, run_export};
pub use map::{MapCommandOptions, run_map};
pub use plot::{PlotOptions, run_plot};
pub use predict::{ColumnNames, PredictOptions, run_evaluate, run_predict};
pub use report::{ReportOptions, run_report};
pub use select::{SelectOptions, run_select};
pub use signals::listen;
pub use start::Start;

use crate::config::{LoadedConfig, SelectorSpec};
use crate::error::{Error, Result};
use crate::fsio::Sharing;
use crate::select::Commands;
use crate::train::Callback;
use begun::Begun;
use device::open_device;
use inputs::Inputs;
use progress::Progress;
use ready_model::ReadyModel;
use run_folder::RunFolder;
use start::{Found, OutputLock};
use summary::print_text;
use tracking::Tracking;
use training_run::{recording, train_and_evaluate};

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

impl ConfigOptions {
    /// The command that goes on with a run that was stopped, in words.
    fn to_go_on(&self, device: DeviceChoice) -> String {
        // A run goes on where it was begun: another device's numbers differ by rounding.
        let device = match device {
            DeviceChoice::Auto => String::new(),
            DeviceChoice::Cpu => " --device cpu".to_owned(),
            DeviceChoice::Cuda(number) => format!(" --device cuda:{number}"),
        };
        let arguments = self.arguments("loop");
        format!("`enginora-rs {arguments}{device} --resume` goes on")
    }

    /// A command of this program with this config and settings, for a shell.
    fn arguments(&self, command: &str) -> String {
        let settings = self.overrides.iter();
        let settings: String = settings.map(|s| [" --set '", s, "'"].concat()).collect();
        let folder = self.output_dir.as_ref();
        let folder = folder.map(|folder| format!(" --output-dir {}", folder.display()));
        let folder = folder.unwrap_or_default();
        format!(
            "{command} --config {}{settings}{folder}",
            self.config.display()
        )
    }
}

/// The main job: fine-tunes, records the dynamics, makes the map, tests and controls, and
/// leaves a complete run folder. With [`Start::Resume`] it goes on with the latest run that was
/// stopped, and ends with the same bytes as if that had never been.
///
/// # Errors
/// Everything that can be wrong with config and data, before any model is loaded; training
/// that diverges; files that cannot be written; another process in the output folder. Earlier
/// runs are never harmed.
pub fn run_loop(
    options: &ConfigOptions,
    start: Start,
    device: DeviceChoice,
    console: &Console,
) -> Result<()> {
    signals::say_at_stop(options.to_go_on(device));
    let device = open_device(device)?;
    let loaded = read_config(options)?;
    let config = &loaded.config;
    let mut lock = OutputLock::take_early(config, Sharing::Alone)?;
    let unfinished = match start::find(config, start)? {
        Found::None => None,
        Found::Unfinished(run) => Some(run),
        Found::Complete(run) => return add_to_dvc(&loaded, &run),
    };
    let inputs = Inputs::read(&loaded, Commands::Run)?;
    dvc::check(config);
    let mut tracking = Tracking::connect(&loaded)?;
    let checkpoint = inputs.model.bring(&loaded.source, console)?;

    let begun = Begun::of(config, &inputs, checkpoint.as_deref(), &device)?;

    let model = ReadyModel::prepare(config, &inputs, checkpoint.as_deref(), &device)?;

    lock.take(config, Sharing::Alone)?;
    let (run, mut checkpoints) = start::open(unfinished, &loaded, &inputs, &begun, console)?;
    run.write_config(config)?;
    tracking.start(config, &run)?;
    selection_record::write(&run, &inputs)?;
    let mut progress = Progress::new(console, recording(config));
    let watchers: &mut [&mut dyn Callback] = &mut [&mut progress, &mut tracking];
    let trained = train_and_evaluate(
        &loaded,
        &inputs,
        &model,
        &run,
        watchers,
        &mut checkpoints,
        console,
    )?;
    model.save(config, &inputs, &run)?;
    report::write_page_of_run(&run, config, &inputs)?;
    tracking.finish(&run, &trained.outcome, &trained.results)?;
    run.finish()?;
    dvc::add(config, &inputs, &run)?;
    summary::print(config, &inputs, &run, &trained, options)
}

/// What comes after a run is complete, for one that was stopped before that was done.
fn add_to_dvc(loaded: &LoadedConfig, run: &RunFolder) -> Result<()> {
    if !loaded.config.dvc.enabled {
        return Ok(());
    }
    let inputs = Inputs::read(loaded, Commands::Describe)?;
    dvc::add_missing(&loaded.config, &inputs, run)
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
