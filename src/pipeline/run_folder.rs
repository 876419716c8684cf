//! A run's folder: `output_dir/runs/NNNN/`, complete when its manifest is there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::config::{Config, ResultLocation, result_location, to_yaml};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;
use crate::pipeline::Console;
use crate::pipeline::inputs::{EvaluationSet, Inputs};
use crate::pipeline::report::PAGE;
use crate::pipeline::selection_record;

/// What a complete run has: names, sizes and hashes of its files.
const MANIFEST: &str = "manifest.json";

/// The config with all defaults.
const CONFIG: &str = "config.resolved.yaml";

/// The folder of all runs of an output folder.
const RUNS: &str = "runs";

/// The log, which holds times and so is in no manifest.
const LOG: &str = "run.log";

/// The folder of what an unfinished run goes on from, which is gone when the run is complete.
const CHECKPOINTS: &str = "checkpoints";

/// What an `MLflow` server never took, one metric a line with its time.
pub const UNSENT: &str = "mlflow_unsent.jsonl";

/// The folder of the event files, which hold times, too. The output folder does not show it:
/// `TensorBoard`, looking through that, would find the run twice.
pub const TENSORBOARD: &str = "tensorboard";

/// The folder of the run that is being made.
pub struct RunFolder {
    output_dir: PathBuf,
    path: PathBuf,
}

/// What `output_dir` holds for a run that is to go on.
pub enum Latest {
    /// Nothing.
    Nothing,
    /// A complete run of this very config.
    Complete(RunFolder),
    /// A run that was stopped.
    Unfinished(RunFolder),
}

impl RunFolder {
    /// Makes the next folder below the output folder's `runs` and starts its log.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn create(config: &Config, console: &Console) -> Result<Self> {
        let output_dir = config.output_dir();
        let runs = output_dir.join(RUNS);
        fsio::create_folder(&runs)?;
        let run = Self {
            output_dir: output_dir.to_path_buf(),
            path: next_folder(&runs)?,
        };
        run.log_to(console)?;
        tracing::info!("run {}", run.path.display());
        Ok(run)
    }

    /// Sees that results can be shown in the output folder, and that those with a folder of their
    /// own have it: better now than after the training.
    ///
    /// # Errors
    /// Something of the user's in the way, or a folder that cannot be made.
    pub fn check_results(config: &Config, inputs: &Inputs) -> Result<()> {
        for path in paths_of_results(config, inputs) {
            if let ResultLocation::At(path) = result_location(&path) {
                fsio::create_folder(path.parent().unwrap_or(Path::new(".")))?;
            }
        }
        let mut names = shown_names(config, inputs).into_iter();
        names.try_for_each(|name| fsio::check_showable(&config.output_dir().join(name)))
    }

    /// The latest run of the output folder that was stopped, unless there is a later one of this
    /// config that is complete. Complete runs of other configs are passed over.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn latest(config: &Config) -> Result<Latest> {
        let output_dir = config.output_dir();
        let runs = output_dir.join(RUNS);
        if !runs.exists() {
            return Ok(Latest::Nothing);
        }
        let text = to_yaml(config)?;
        for number in numbers_in(&runs)?.into_iter().rev() {
            let run = Self {
                output_dir: output_dir.to_path_buf(),
                path: runs.join(folder_name(number)),
            };
            if !Self::is_complete(&run.path) {
                return Ok(Latest::Unfinished(run));
            }
            if fsio::read(&run.path.join(CONFIG)).is_ok_and(|found| found == text.as_bytes()) {
                return Ok(Latest::Complete(run));
            }
        }
        Ok(Latest::Nothing)
    }

    /// Takes up a run that was stopped: its log goes on, and what was half made is removed.
    ///
    /// # Errors
    /// A folder that cannot be read or changed.
    pub fn take_up(&self, console: &Console) -> Result<()> {
        self.log_to(console)?;
        tracing::info!("going on with run {}", self.path.display());
        fsio::remove_temporaries(&self.output_dir)?;
        self.remove_half_made()
    }

    /// Removes everything but the log.
    ///
    /// # Errors
    /// A folder that cannot be read or changed.
    pub fn clear(&self) -> Result<()> {
        for name in names_in(&self.path)? {
            let path = self.path.join(&name);
            match path.is_dir() {
                true => fsio::remove_folder(&path)?,
                false if name == LOG => {}
                false => fsio::remove_file(&path)?,
            }
        }
        Ok(())
    }

    /// What comes after the manifest: the checkpoints go, and the run's files are shown, if there
    /// is no later run.
    ///
    /// # Errors
    /// As [`RunFolder::finish`].
    pub fn finish_again(&self) -> Result<()> {
        self.remove_checkpoints()?;
        let last = numbers_in(&self.output_dir.join(RUNS))?.pop();
        if last.map(folder_name).as_deref() == self.path.file_name().and_then(|n| n.to_str()) {
            fsio::remove_temporaries(&self.output_dir)?;
            self.show()?;
        }
        Ok(())
    }

    fn log_to(&self, console: &Console) -> Result<()> {
        let log = self.path.join(LOG);
        let file = fsio::append(&log)?;
        console.log_to(file).map_err(|e| Error::writing(&log, &e))
    }

    /// The folder `path` for a training below `output_dir` that is part of something larger: it
    /// has no number, is not shown there and keeps no log.
    pub fn of_part(output_dir: &Path, path: &Path) -> Self {
        Self {
            output_dir: output_dir.to_path_buf(),
            path: path.to_path_buf(),
        }
    }

    /// Makes the folder anew; what an unfinished run has left in it goes.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn begin(&self) -> Result<()> {
        fsio::remove_folder(&self.path)?;
        fsio::create_folder(&self.path)
    }

    /// Removes what was half made in the folder of a run that was stopped.
    ///
    /// # Errors
    /// A folder that cannot be read or changed.
    pub fn remove_half_made(&self) -> Result<()> {
        remove_temporaries(&self.path)
    }

    /// Whether a run in the folder `path` has all its files.
    pub fn is_complete(path: &Path) -> bool {
        path.join(MANIFEST).is_file()
    }

    /// Whether `path` is a run's folder, or an output folder, which shows the files of one.
    pub fn is_run(path: &Path) -> bool {
        path.join(CONFIG).is_file()
    }

    /// The bytes of a file of the complete run in the folder `path`.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not what the manifest says.
    pub fn read_checked(path: &Path, name: &str) -> Result<Vec<u8>> {
        let manifest = fsio::read(&path.join(MANIFEST))?;
        let manifest: Value = serde_json::from_slice(&manifest).unwrap_or_default();
        let bytes = fsio::read(&path.join(name))?;
        let hash = fsio::hexadecimal(&Sha256::digest(&bytes));
        if manifest["files"][name]["sha256"] == hash {
            return Ok(bytes);
        }
        let message = format!("not the file that `{MANIFEST}` beside it has the hash of");
        let problem = Problem::new(message).in_file(path.join(name));
        Err(Error::new(ErrorKind::Integrity, problem))
    }

    /// What tells a complete run in the folder `path` from all that are not the same to the byte,
    /// in hexadecimal digits.
    pub fn manifest_hash(path: &Path) -> Option<String> {
        let manifest = fsio::read(&path.join(MANIFEST)).ok()?;
        Some(fsio::hexadecimal(&Sha256::digest(&manifest)))
    }

    /// Where the run's files lie.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that shows the latest run's files.
    pub fn output_dir(&self) -> &Path {
        &self.output_dir
    }

    /// Where what an unfinished run goes on from lies.
    pub fn checkpoints_folder(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// Where the training dynamics lie.
    pub fn dynamics_folder(&self) -> PathBuf {
        self.path.join("training_dynamics")
    }

    /// Where a result goes whose path the config gives.
    pub fn result_path(&self, path: &Path) -> PathBuf {
        match result_location(path) {
            ResultLocation::InRun(name) => self.path.join(name),
            ResultLocation::At(path) => path,
        }
    }

    /// Where a user finds a result: in `output_dir`, which shows it, or at its own path.
    pub fn shown_path(&self, path: &Path) -> PathBuf {
        match result_location(path) {
            ResultLocation::InRun(name) => self.output_dir.join(name),
            ResultLocation::At(path) => path,
        }
    }

    /// Writes `config.resolved.yaml`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_config(&self, config: &Config) -> Result<()> {
        let text = to_yaml(config)?;
        fsio::write(&self.path.join(CONFIG), text.as_bytes())
    }

    /// The names of the run's files so far, sorted, with `/`; those that hold times are left out,
    /// and so are checkpoints.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn files(&self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        list_files(&self.path, &self.path, &mut files)?;
        files.retain(|name| {
            let is_below = |folder| Path::new(name).starts_with(folder);
            name != LOG && name != UNSENT && !is_below(TENSORBOARD) && !is_below(CHECKPOINTS)
        });
        files.sort();
        Ok(files)
    }

    /// Writes the manifest, which makes the run complete, and shows its files in `output_dir`.
    ///
    /// What an earlier run showed there and this one lacks is no longer shown, but for the map:
    /// only a run that makes one replaces it. The files of earlier runs stay where they are.
    ///
    /// # Errors
    /// A file that cannot be written, or something of the user's where a link should be.
    pub fn finish(&self) -> Result<()> {
        self.complete()?;
        self.show()
    }

    /// Writes the manifest, which makes the run complete, and removes the checkpoints.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn complete(&self) -> Result<()> {
        let mut entries = Map::new();
        for name in self.files()? {
            let bytes = fsio::read(&self.path.join(&name))?;
            let hash = fsio::hexadecimal(&Sha256::digest(&bytes));
            entries.insert(name, json!({"bytes": bytes.len(), "sha256": hash}));
        }
        let manifest = json!({
            "enginora_rs_version": env!("CARGO_PKG_VERSION"),
            "files": Value::Object(entries),
        });
        let mut text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
        text.push('\n');
        fsio::write(&self.path.join(MANIFEST), text.as_bytes())?;
        self.remove_checkpoints()
    }

    /// Removes what only an unfinished run needs: also what one has left that was killed between
    /// its manifest and this.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn remove_checkpoints(&self) -> Result<()> {
        fsio::remove_folder(&self.checkpoints_folder())
    }

    fn show(&self) -> Result<()> {
        let makes_map = self.dynamics_folder().exists();
        let mut names = names_in(&self.path)?;
        names.retain(|name| name != TENSORBOARD);
        for old in names_in(&self.output_dir)? {
            let link = self.output_dir.join(&old);
            let is_link = link.symlink_metadata().is_ok_and(|data| data.is_symlink());
            let is_ours =
                is_link && fs::read_link(&link).is_ok_and(|target| target.starts_with(RUNS));
            if is_ours && !names.contains(&old) && (makes_map || !belongs_to_map(&link, &old)) {
                fsio::remove_file(&link)?;
            }
        }
        for name in &names {
            fsio::show(&self.path.join(name), &self.output_dir.join(name))?;
        }
        Ok(())
    }
}

/// Whether a shown file is the map of an earlier run, or was made with it.
fn belongs_to_map(link: &Path, name: &str) -> bool {
    let is_picture = matches!(name, "data_map.svg" | "data_map.png" | "training_dynamics");
    // The map's table has whatever name the config gave it; it is a table with the coordinates.
    is_picture || crate::map::read_map(link).is_ok()
}

/// The names that a run of this config may show in the output folder.
fn shown_names(config: &Config, inputs: &Inputs) -> Vec<PathBuf> {
    let fixed = [
        CONFIG,
        "data_map.png",
        "data_map.svg",
        "history.jsonl",
        "metrics.yaml",
        PAGE,
        "trainer_state.json",
        "training_dynamics",
        LOG,
        MANIFEST,
    ];
    let mut names: Vec<PathBuf> = fixed.iter().map(PathBuf::from).collect();
    names.extend(selection_record::names(inputs).map(PathBuf::from));
    for path in paths_of_results(config, inputs) {
        if let ResultLocation::InRun(name) = result_location(&path) {
            names.push(name);
        }
    }
    names
}

/// The results whose paths the config gives.
fn paths_of_results(config: &Config, inputs: &Inputs) -> Vec<PathBuf> {
    let of_stages = inputs.stages.iter().map(EvaluationSet::results_file);
    let others = [
        config.training.data_cartography_results.clone(),
        config.model.output_path.clone(),
    ];
    let of_training = config.training.results_file.iter().cloned();
    of_stages.chain(others).chain(of_training).collect()
}

/// Makes the folder of the next number; another run may be doing the same.
fn next_folder(runs: &Path) -> Result<PathBuf> {
    loop {
        let last = numbers_in(runs)?.pop();
        let path = runs.join(folder_name(last.unwrap_or(0) + 1));
        if fsio::create_folder_exclusively(&path)? {
            return Ok(path);
        }
    }
}

fn folder_name(number: u32) -> String {
    format!("{number:04}")
}

/// The numbers of all runs, ascending.
fn numbers_in(runs: &Path) -> Result<Vec<u32>> {
    let names = names_in(runs)?;
    let numbers = names.iter().filter_map(|name| name.parse::<u32>().ok());
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes what was half made in a folder and those below it.
fn remove_temporaries(folder: &Path) -> Result<()> {
    fsio::remove_temporaries(folder)?;
    for name in names_in(folder)? {
        let path = folder.join(name);
        if path.is_dir() && !path.is_symlink() {
            remove_temporaries(&path)?;
        }
    }
    Ok(())
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(|e| Error::reading(folder, &e))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// The files below `folder`, named from `root` with `/`.
fn list_files(root: &Path, folder: &Path, files: &mut Vec<String>) -> Result<()> {
    for name in names_in(folder)? {
        let path = folder.join(&name);
        if path.is_dir() {
            list_files(root, &path, files)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            let parts: Vec<_> = relative
                .components()
                .map(|c| c.as_os_str().to_string_lossy())
                .collect();
            files.push(parts.join("/"));
        }
    }
    Ok(())
}
