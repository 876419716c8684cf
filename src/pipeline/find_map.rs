//! The map that a command is to work on.

use std::path::{Path, PathBuf};

use crate::config::{self, Config, ResultLocation, result_location};
use crate::error::{Error, ErrorKind, Problem, Result};

/// The names that a map may have in a folder that says nothing else.
const MAP_NAMES: [&str; 3] = [
    "data_map.parquet",
    "td_metrics.jsonl",
    "data_cartography_metrics.pickle",
];

/// The file of the map that `path` means: `path` itself, or in a folder the map that the
/// folder's `config.resolved.yaml` names, else the first of `data_map.parquet`,
/// `td_metrics.jsonl` and `data_cartography_metrics.pickle` that is there.
///
/// # Errors
/// Nothing there, or no map in the folder ([`ErrorKind::MissingInput`]); a config that cannot be
/// read.
pub fn find_map(path: &Path) -> Result<PathBuf> {
    let kind = std::fs::metadata(path).map_err(|e| Error::reading(path, &e))?;
    if !kind.is_dir() {
        return Ok(path.to_owned());
    }
    let config = config_beside(path)?;
    let named =
        config.map(
            |config| match result_location(&config.training.data_cartography_results) {
                ResultLocation::InRun(name) => path.join(name),
                ResultLocation::At(path) => path,
            },
        );
    let names = MAP_NAMES.map(|name| path.join(name));
    let mut candidates: Vec<PathBuf> = named.into_iter().chain(names).collect();
    candidates.dedup();
    if let Some(found) = candidates.iter().find(|path| path.is_file()) {
        return Ok(found.clone());
    }
    let names: Vec<String> = candidates
        .iter()
        .map(|p| format!("`{}`", p.display()))
        .collect();
    let message = format!(
        "no data map in this folder; looked for {}",
        names.join(", ")
    );
    let problem = Problem::new(message).in_file(path).hint(
        "a run has one with `training.perform_data_cartography: true`; a map of another name is named itself",
    );
    Err(Error::new(ErrorKind::MissingInput, problem))
}

/// The config of the run that a map is part of: that of the folder `path`, or of the file's
/// folder.
///
/// # Errors
/// A config that cannot be read.
pub fn config_beside(path: &Path) -> Result<Option<Config>> {
    let folder = if path.is_dir() {
        Some(path)
    } else {
        path.parent()
    };
    let config = folder.map(|folder| folder.join("config.resolved.yaml"));
    match config.filter(|config| config.is_file()) {
        Some(config) => Ok(Some(config::read(&config, &[])?.config)),
        None => Ok(None),
    }
}
