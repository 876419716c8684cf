//! A run's folder: `output_dir/runs/NNNN/`, complete when its manifest is there.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::config::{Config, ResultLocation, result_location, to_yaml};
use crate::error::{Error, Result};
use crate::fsio;
use crate::pipeline::Console;
use crate::pipeline::inputs::{EvaluationSet, Inputs};
use crate::pipeline::selection_record;

/// What a complete run has: names, sizes and hashes of its files.
const MANIFEST: &str = "manifest.json";

/// The log, which holds times and so is in no manifest.
const LOG: &str = "run.log";

/// The folder of the event files, which hold times, too. The output folder does not show it:
/// `TensorBoard`, looking through that, would find the run twice.
pub const TENSORBOARD: &str = "tensorboard";

/// The folder of the run that is being made.
pub struct RunFolder {
    output_dir: PathBuf,
    path: PathBuf,
}

impl RunFolder {
    /// Makes the next folder below the output folder's `runs` and starts its log.
    ///
    /// # Errors
    /// A folder that cannot be made, or something of the user's where a result is to be shown:
    /// better said now than after the training.
    pub fn create(config: &Config, inputs: &Inputs, console: &Console) -> Result<Self> {
        let output_dir = config.output_dir();
        for name in shown_names(config, inputs) {
            fsio::check_showable(&output_dir.join(name))?;
        }
        let runs = output_dir.join("runs");
        fsio::create_folder(&runs)?;
        let path = next_folder(&runs)?;
        let log = path.join(LOG);
        console.log_to(File::create(&log).map_err(|e| Error::creating(&log, &e))?);
        tracing::info!("run {}", path.display());
        Ok(Self {
            output_dir: output_dir.to_path_buf(),
            path,
        })
    }

    /// Makes the folder `path` anew for a run below `output_dir` that has no number, is not shown
    /// there and keeps no log; what an unfinished run has left in it goes.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn anew(output_dir: &Path, path: &Path) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(path).map_err(|e| Error::writing(path, &e))?;
        }
        fsio::create_folder(path)?;
        Ok(Self {
            output_dir: output_dir.to_path_buf(),
            path: path.to_path_buf(),
        })
    }

    /// Whether a run in the folder `path` has all its files.
    pub fn is_complete(path: &Path) -> bool {
        path.join(MANIFEST).is_file()
    }

    /// Where the run's files lie.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that shows the latest run's files.
    pub fn output_dir(&self) -> &Path {
        &self.output_dir
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
        fsio::write(&self.path.join("config.resolved.yaml"), text.as_bytes())
    }

    /// The names of the run's files so far, sorted, with `/`; those that hold times are left out.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn files(&self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        list_files(&self.path, &self.path, &mut files)?;
        files.retain(|name| name != LOG && !Path::new(name).starts_with(TENSORBOARD));
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

    /// Writes the manifest, which makes the run complete.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn complete(&self) -> Result<()> {
        let mut entries = Map::new();
        for name in self.files()? {
            let bytes = fsio::read(&self.path.join(&name))?;
            let hash = hexadecimal(&Sha256::digest(&bytes));
            entries.insert(name, json!({"bytes": bytes.len(), "sha256": hash}));
        }
        let manifest = json!({
            "enginora_rs_version": env!("CARGO_PKG_VERSION"),
            "files": Value::Object(entries),
        });
        let mut text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
        text.push('\n');
        fsio::write(&self.path.join(MANIFEST), text.as_bytes())
    }

    fn show(&self) -> Result<()> {
        let makes_map = self.dynamics_folder().exists();
        let mut names = names_in(&self.path)?;
        names.retain(|name| name != TENSORBOARD);
        for old in names_in(&self.output_dir)? {
            let link = self.output_dir.join(&old);
            let is_link = link.symlink_metadata().is_ok_and(|data| data.is_symlink());
            let is_ours =
                is_link && fs::read_link(&link).is_ok_and(|target| target.starts_with("runs"));
            if is_ours && !names.contains(&old) && (makes_map || !belongs_to_map(&link, &old)) {
                fs::remove_file(&link).map_err(|e| Error::writing(&link, &e))?;
            }
        }
        for name in &names {
            fsio::show(&self.path.join(name), &self.output_dir.join(name))?;
        }
        Ok(())
    }
}

/// Bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
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
        "config.resolved.yaml",
        "data_map.png",
        "data_map.svg",
        "history.jsonl",
        "metrics.yaml",
        "trainer_state.json",
        "training_dynamics",
        LOG,
        MANIFEST,
    ];
    let mut names: Vec<PathBuf> = fixed.iter().map(PathBuf::from).collect();
    let results = inputs.stages.iter().map(EvaluationSet::results_file);
    names.extend(selection_record::names(inputs).map(PathBuf::from));
    let others = [
        config.training.data_cartography_results.clone(),
        config.model.output_path.clone(),
    ];
    let of_training = config.training.results_file.iter().cloned();
    for path in results.chain(others).chain(of_training) {
        if let ResultLocation::InRun(name) = result_location(&path) {
            names.push(name);
        }
    }
    names
}

/// Makes the folder of the next number; another run may be doing the same.
fn next_folder(runs: &Path) -> Result<PathBuf> {
    loop {
        let last = names_in(runs)?
            .iter()
            .filter_map(|name| name.parse::<u32>().ok())
            .max();
        let path = runs.join(format!("{:04}", last.unwrap_or(0) + 1));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::creating(&path, &e)),
        }
    }
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
