//! What a path means that a page is to be made of.

use std::path::{Path, PathBuf};

use crate::config::{self, Config, LoadedConfig};
use crate::data::Dataset;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::pipeline::audit;
use crate::pipeline::experiment::CELLS;
use crate::pipeline::find_map::find_map;
use crate::pipeline::inputs::TrainingSet;

/// The files that a page can be made of, one of which a folder must have.
const FILES: [&str; 3] = ["config.resolved.yaml", "metrics.yaml", "results.csv"];

/// A run, an output folder, a finished experiment, or a map.
pub struct Source {
    /// Where everything but the map is looked for.
    pub folder: PathBuf,
    /// The config of the run, where there is one.
    pub config: Option<LoadedConfig>,
    /// The table of the map.
    pub map: Option<PathBuf>,
    /// The findings of an audit of the run.
    pub audit: Option<PathBuf>,
    /// The training file's name, or the map's.
    pub title: String,
}

impl Source {
    /// Finds out what `path` is.
    ///
    /// # Errors
    /// A path that is nothing of this; a config that cannot be read.
    pub fn find(path: &Path) -> Result<Self> {
        let map = match find_map(path) {
            Ok(map) => Some(map),
            Err(error) if path.is_dir() && FILES.iter().any(|name| path.join(name).is_file()) => {
                tracing::debug!("{error}");
                None
            }
            Err(_) if path.join(CELLS).is_dir() => {
                let message = "the results of this experiment are not gathered yet";
                let hint = "`experiment --config CONFIG --collect` gathers what there is";
                let problem = Problem::new(message).in_file(path).hint(hint);
                return Err(Error::new(ErrorKind::MissingInput, problem));
            }
            Err(error) => return Err(error),
        };
        let folder = if path.is_dir() {
            path.to_owned()
        } else {
            path.parent().unwrap_or(Path::new("")).to_owned()
        };
        let mut source = Self::new(folder, map)?;
        source.audit = audit::findings_of(path);
        Ok(source)
    }

    /// The run in a folder, with the map that it made.
    ///
    /// # Errors
    /// A config that cannot be read.
    pub fn of_run(folder: &Path, map: Option<PathBuf>) -> Result<Self> {
        Self::new(folder.to_owned(), map)
    }

    fn new(folder: PathBuf, map: Option<PathBuf>) -> Result<Self> {
        let config = folder.join("config.resolved.yaml");
        let config = config.is_file().then(|| config::read(&config, &[]));
        let config = config.transpose()?;
        let file_name = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let title = match (&config, &map) {
            (Some(loaded), _) => training_name(&loaded.config),
            (None, Some(map)) => Some(file_name(map)),
            (None, None) => None,
        };
        Ok(Self {
            title: title.unwrap_or_else(|| file_name(&folder)),
            folder,
            config,
            map,
            audit: None,
        })
    }

    /// The training file of the run, if it can still be read; else a warning says why not.
    pub fn training_set(&self) -> Option<Dataset> {
        let read = if let Some(loaded) = &self.config {
            // Nothing but the texts is wanted, so what else the run had need not be there.
            let mut loaded = loaded.clone();
            loaded.config.training.validation_dataset_path = None;
            loaded.config.training.validation_size = None;
            loaded.config.data.label_noise = None;
            TrainingSet::read(&loaded).map(|set| set.dataset)
        } else {
            let message = "there is no `config.resolved.yaml` that says where the texts are";
            let problem = Problem::new(message).in_file(&self.folder);
            Err(Error::new(ErrorKind::MissingInput, problem))
        };
        match read {
            Ok(dataset) => Some(dataset),
            Err(error) => {
                tracing::warn!("the page has no texts: {error}");
                None
            }
        }
    }
}

/// The name of the first training file.
fn training_name(config: &Config) -> Option<String> {
    let first = config.training.dataset_path.names().first()?;
    let name = Path::new(first).file_name()?;
    Some(name.to_string_lossy().into_owned())
}
