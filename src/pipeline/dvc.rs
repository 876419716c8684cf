//! What a run leaves, put under DVC with `dvc add`.
//!
//! The Python enginora added the config, the metrics, the model, the data sets and the results
//! one by one. Here the first three and the results lie in the run's folder, which is added as
//! one, or in parts where the config leaves some of it out.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::config::{Config, ResultLocation, result_location};
use crate::error::Result;
use crate::pipeline::inputs::{Inputs, ValidationSet};
use crate::pipeline::run_folder::RunFolder;

/// Says so before training where DVC is asked for and missing; the run can do without, since
/// its files can be added at any later time.
pub fn check(config: &Config) {
    if config.dvc.enabled && run(&["version"]).is_err_and(|e| e.is_missing) {
        tracing::warn!(
            "`dvc.enabled` is true, but there is no program `dvc`: the run will not be put under \
             DVC (install it with `pip install dvc`)"
        );
    }
}

/// Adds the run and its data sets. What DVC refuses is said and is no error: the run is complete
/// and stays.
///
/// # Errors
/// A run folder that cannot be listed.
pub fn add(config: &Config, inputs: &Inputs, folder: &RunFolder) -> Result<()> {
    if !config.dvc.enabled {
        return Ok(());
    }
    for path in paths(config, inputs, folder)? {
        let path = path.to_string_lossy();
        match run(&["add", &path]) {
            Ok(()) => tracing::info!("dvc add {path}"),
            Err(failure) => tracing::warn!("`dvc add {path}` failed: {}", failure.message),
        }
    }
    Ok(())
}

/// Adds a complete run that was stopped before all of it was added: as [`add`], unless DVC has it
/// all, which the files that it leaves say.
///
/// # Errors
/// A run folder that cannot be listed.
pub fn add_missing(config: &Config, inputs: &Inputs, folder: &RunFolder) -> Result<()> {
    let is_added = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!("{name}.dvc")).exists()
    };
    if paths(config, inputs, folder)?.iter().all(is_added) {
        return Ok(());
    }
    check(config);
    add(config, inputs, folder)
}

/// Why a command of DVC's did not do what it should.
struct Failure {
    is_missing: bool,
    message: String,
}

/// Runs DVC in the working directory.
fn run(arguments: &[&str]) -> Result<(), Failure> {
    let output = Command::new("dvc")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Failure {
            is_missing: e.kind() == ErrorKind::NotFound,
            message: format!("the program `dvc` cannot be run: {e}"),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure {
        is_missing: false,
        message: said.trim().to_owned(),
    })
}

/// What is added, each once: the data sets, then the run, then results outside of it.
fn paths(config: &Config, inputs: &Inputs, folder: &RunFolder) -> Result<Vec<PathBuf>> {
    let dvc = &config.dvc;
    let mut paths = Vec::new();
    if dvc.training.track_dataset {
        paths.push(inputs.training.path.clone());
        if let ValidationSet::File(dataset) = &*inputs.validation {
            paths.push(dataset.path.clone());
        }
    }
    // The results that a key of `dvc` is about, and whether they are added.
    let mut results: Vec<(PathBuf, bool)> =
        vec![(config.model.output_path.clone(), dvc.track_model)];
    for set in inputs.stages.iter() {
        let tracked = if set.stage == "test" {
            dvc.test
        } else {
            dvc.control
        };
        if tracked.track_dataset {
            paths.push(set.dataset.path.clone());
        }
        results.push((set.results_file(), tracked.track_results));
    }
    if config.training.perform_data_cartography {
        let map = config.training.data_cartography_results.clone();
        let others = ["training_dynamics", "data_map.svg", "data_map.png"].map(PathBuf::from);
        let map = std::iter::once(map).chain(others);
        results.extend(map.map(|path| (path, dvc.training.track_results)));
    }
    let mut untracked: Vec<PathBuf> = Vec::new();
    for (path, is_tracked) in results {
        match result_location(&path) {
            ResultLocation::InRun(name) if !is_tracked => untracked.push(name),
            ResultLocation::At(path) if is_tracked => paths.push(path),
            _ => {}
        }
    }
    if untracked.is_empty() {
        paths.push(folder.path().to_path_buf());
    } else {
        let mut names: Vec<PathBuf> = folder.files()?.iter().map(PathBuf::from).collect();
        names.retain(|name| !untracked.iter().any(|left_out| name.starts_with(left_out)));
        // A folder by its own name.
        let tops = names.iter().filter_map(|name| name.iter().next());
        paths.extend(tops.map(|top| folder.path().join(top)));
    }
    let mut once: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !once.contains(&path) {
            once.push(path);
        }
    }
    Ok(once)
}
